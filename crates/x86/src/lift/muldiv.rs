//! Multiplication and division.

use super::{CF_OF, Flow, Lifter, Place};
use demotic_ir::block::Val;
use demotic_ir::ops::Op;
use demotic_ir::state::reg;
use demotic_ir::ty::Ty;

/// CF = OF = whether the signed product does not fit the low half.
fn signed_overflow(l: &mut Lifter, lo: Val, hi: Val) -> Val {
    let ty = l.b.ty(lo);
    let n = l.b.c(Ty::I8, u64::from(ty.bits() - 1));
    let sign = l.b.shift(Op::Sar, lo, n);
    let fits = l.b.eq(hi, sign);
    l.b.not(fits)
}

/// mul and one-operand imul: rDX:rAX := rAX * SRC (AX for bytes).
pub fn wide(l: &mut Lifter, signed: bool) -> Flow {
    let ty = l.ty(0);
    let b = l.read(0);
    let a = l.gpr(reg::RAX, ty);
    let lo = l.b.mul(a, b);
    let hi = if signed { l.b.mulhis(a, b) } else { l.b.mulhiu(a, b) };
    let over = if signed {
        signed_overflow(l, lo, hi)
    } else {
        let z = l.b.is_zero(hi);
        l.b.not(z)
    };
    l.set_gpr(reg::RAX, lo);
    if ty == Ty::I8 {
        l.store(Place::High(reg::RAX), hi);
    } else {
        l.set_gpr(reg::RDX, hi);
    }
    l.set_flag_if(over, CF_OF);
    Flow::Next
}

/// imul: one, two or three operands.
pub fn imul(l: &mut Lifter) -> Flow {
    if l.count() == 1 {
        return wide(l, true);
    }
    let ty = l.ty(0);
    let (a, b) = if l.count() == 2 {
        let dst = l.place(0);
        (l.load(dst), l.read(1))
    } else {
        let a = l.read(1);
        (a, l.read_as(2, ty))
    };
    let lo = l.b.mul(a, b);
    let hi = l.b.mulhis(a, b);
    let over = signed_overflow(l, lo, hi);
    l.write(0, lo);
    l.set_flag_if(over, CF_OF);
    Flow::Next
}

/// div and idiv: rAX, rDX := quotient and remainder of rDX:rAX by SRC. Flags are undefined and stay.
pub fn div(l: &mut Lifter, signed: bool) -> Flow {
    let ty = l.ty(0);
    let d = l.read(0);
    let lo = l.gpr(reg::RAX, ty);
    let hi = if ty == Ty::I8 { l.load(Place::High(reg::RAX)) } else { l.gpr(reg::RDX, ty) };
    let (q_op, r_op) = if signed { (Op::DivS, Op::RemS) } else { (Op::DivU, Op::RemU) };
    let q = l.b.op(q_op, ty, &[hi, lo, d]);
    let r = l.b.op(r_op, ty, &[hi, lo, d]);
    l.set_gpr(reg::RAX, q);
    if ty == Ty::I8 {
        l.store(Place::High(reg::RAX), r);
    } else {
        l.set_gpr(reg::RDX, r);
    }
    Flow::Next
}
