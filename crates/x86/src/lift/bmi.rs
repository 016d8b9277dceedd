//! BMI1, BMI2, ADX and CRC32: general registers only, flags few and simple.

use super::{CF_OF, Flow, Lifter};
use demotic_ir::block::Val;
use demotic_ir::ops::Op;
use demotic_ir::slot::Slot;
use demotic_ir::state::eflags::{CF, OF, SF, ZF};
use demotic_ir::state::reg;
use demotic_ir::ty::Ty;

/// SF and ZF by the result, OF 0, CF as said; PF and AF are undefined and stay.
fn result_flags(l: &mut Lifter, r: Val, carry: Option<Val>) {
    let fl = l.b.op(Op::FlLogic, l.b.ty(r), &[r]);
    l.b.setfl(SF | ZF | OF | CF, fl);
    if let Some(c) = carry {
        l.set_flag_if(c, CF);
    }
}

/// andn: ~first & second.
pub fn andn(l: &mut Lifter) -> Flow {
    let b = l.read(2);
    let a = l.read(1);
    let n = l.b.not(a);
    let r = l.b.and(n, b);
    l.write(0, r);
    result_flags(l, r, None);
    Flow::Next
}

/// blsi, blsr, blsmsk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lowest {
    /// Isolate the lowest one.
    Isolate,
    /// Reset it.
    Reset,
    /// All bits up to it.
    Mask,
}

/// blsi (CF := source is not 0), blsr and blsmsk (CF := source is 0).
pub fn lowest(l: &mut Lifter, what: Lowest) -> Flow {
    let ty = l.ty(0);
    let a = l.read(1);
    let zero = l.b.is_zero(a);
    let less = l.b.addi(a, -1);
    let r = match what {
        Lowest::Isolate => {
            let none = l.b.c(ty, 0);
            let negative = l.b.sub(none, a);
            l.b.and(a, negative)
        }
        Lowest::Reset => l.b.and(a, less),
        Lowest::Mask => l.b.xor(a, less),
    };
    let carry = if what == Lowest::Isolate { l.b.not(zero) } else { zero };
    l.write(0, r);
    result_flags(l, r, Some(carry));
    Flow::Next
}

/// The low `n` (i8) bits of a value; all of them when `n` is the width or more.
fn low_bits(l: &mut Lifter, a: Val, n: Val) -> Val {
    let ty = l.b.ty(a);
    let one = l.b.c(ty, 1);
    let above = l.b.shift(Op::Shl, one, n);
    let mask = l.b.addi(above, -1);
    l.b.and(a, mask)
}

/// bextr: bits from start (byte 0 of the third operand), as many as byte 1 says.
pub fn bextr(l: &mut Lifter) -> Flow {
    let a = l.read(1);
    let control = l.read(2);
    let start = l.b.zext(Ty::I8, control);
    let high = l.b.shri(control, 8);
    let length = l.b.zext(Ty::I8, high);
    let moved = l.b.shift(Op::Shr, a, start);
    let r = low_bits(l, moved, length);
    l.write(0, r);
    result_flags(l, r, None);
    Flow::Next
}

/// bzhi: bits from the index in the third operand on are cleared; CF := index beyond the operand.
pub fn bzhi(l: &mut Lifter) -> Flow {
    let ty = l.ty(0);
    let a = l.read(1);
    let index = l.read(2);
    let n = l.b.zext(Ty::I8, index);
    let width = l.b.c(Ty::I8, u64::from(ty.bits()));
    let inside = l.b.op(Op::LtU, Ty::I8, &[n, width]);
    let beyond = l.b.not(inside);
    let r = low_bits(l, a, n);
    l.write(0, r);
    result_flags(l, r, Some(beyond));
    Flow::Next
}

/// pdep, pext.
pub fn scatter(l: &mut Lifter, op: Op) -> Flow {
    let ty = l.ty(0);
    let mask = l.read(2);
    let a = l.read(1);
    let r = l.b.op(op, ty, &[a, mask]);
    l.write(0, r);
    Flow::Next
}

/// mulx: the product of RDX and the source, high half to the first operand, low half to the second (high when they are one).
pub fn mulx(l: &mut Lifter) -> Flow {
    let ty = l.ty(0);
    let b = l.read(2);
    let a = l.gpr(reg::RDX, ty);
    let low = l.b.mul(a, b);
    let high = l.b.op(Op::MulHiU, ty, &[a, b]);
    l.write(1, low);
    l.write(0, high);
    Flow::Next
}

/// rorx.
pub fn rorx(l: &mut Lifter) -> Flow {
    let ty = l.ty(0);
    let a = l.read(1);
    let n = l.b.c(Ty::I8, u64::from(l.insn.immediate8()) & u64::from(ty.bits() - 1));
    let r = l.b.shift(Op::Ror, a, n);
    l.write(0, r);
    Flow::Next
}

/// sarx, shlx, shrx: the count modulo the width, no flags.
pub fn shift(l: &mut Lifter, op: Op) -> Flow {
    let ty = l.ty(0);
    let a = l.read(1);
    let count = l.read(2);
    let n = l.b.zext(Ty::I8, count);
    let n = l.b.andi(n, u64::from(ty.bits() - 1));
    let r = l.b.shift(op, a, n);
    l.write(0, r);
    Flow::Next
}

/// adcx, adox: addition with one flag as carry in and out.
pub fn add_with(l: &mut Lifter, flag: u32) -> Flow {
    let b = l.read(1);
    let a = l.read(0);
    let fl = l.b.getfl();
    let carry = l.b.cond(if flag == CF { 2 } else { 0 }, fl);
    let c = l.b.zext(l.b.ty(a), carry);
    let sum = l.b.add(a, b);
    let r = l.b.add(sum, c);
    let ty = l.b.ty(a);
    let first = l.b.op(Op::LtU, ty, &[sum, a]);
    let second = l.b.op(Op::LtU, ty, &[r, sum]);
    let out = l.b.or(first, second);
    l.write(0, r);
    l.set_flag_if(out, flag & CF_OF);
    Flow::Next
}

/// crc32: the accumulator is the low half of the first operand.
pub fn crc32(l: &mut Lifter) -> Flow {
    let b = l.read(1);
    let n = l.insn.op_register(0).number();
    let a = l.gpr(n, Ty::I32);
    let r = l.b.op(Op::Crc32, l.b.ty(b), &[a, b]);
    // A 64-bit destination is zero-extended like a 32-bit one.
    l.b.set(Slot::gpr(n), r);
    Flow::Next
}
