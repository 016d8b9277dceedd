//! What only AMD's processors had: SSE4a, and 3DNow! (AMD64 Architecture Programmer's Manual, vol. 4 and 5).

use super::{Flow, Lifter, Place, sse_int, system};
use demotic_ir::block::Val;
use demotic_ir::ops::{Now3dFn, Op};
use demotic_ir::ty::Ty;

/// Length and place of a field in a quadword: both of 6 bits, length 0 is 64. From the instruction, or from bits 0 and 8 of a lane of its last operand.
fn field(l: &mut Lifter, first: u32, lane: u64) -> (Val, Val) {
    if l.count() > first + 1 {
        let (length, index) = (u64::from(l.insn.immediate8()), u64::from(l.insn.immediate8_2nd()));
        return (l.b.c(Ty::I8, length & 63), l.b.c(Ty::I8, index & 63));
    }
    let v = l.read(1);
    let word = l.b.op_imm(Op::VExt, Ty::I64, &[v], lane);
    let length = l.b.zext(Ty::I8, word);
    let length = l.b.andi(length, 63);
    let eight = l.b.c(Ty::I8, 8);
    let index = l.b.shift(Op::Shr, word, eight);
    let index = l.b.zext(Ty::I8, index);
    (length, l.b.andi(index, 63))
}

/// As many ones as a field is long.
fn ones(l: &mut Lifter, length: Val) -> Val {
    let all = l.b.c(Ty::I64, u64::MAX);
    // 64 - length, where 0 stays.
    let zero = l.b.c(Ty::I8, 0);
    let rest = l.b.sub(zero, length);
    let rest = l.b.andi(rest, 63);
    l.b.shift(Op::Shr, all, rest)
}

/// Writes a quadword; the upper half becomes zero, as on processors, where the manual leaves it open.
fn write(l: &mut Lifter, v: Val) -> Flow {
    let v = l.b.op(Op::VZext, Ty::I64, &[v]);
    l.write(0, v);
    Flow::Next
}

/// extrq: a field of the low quadword.
pub fn extract(l: &mut Lifter) -> Flow {
    let (length, index) = field(l, 1, 0);
    let v = l.read(0);
    let v = l.b.op_imm(Op::VExt, Ty::I64, &[v], 0);
    let v = l.b.shift(Op::Shr, v, index);
    let mask = ones(l, length);
    let v = l.b.and(v, mask);
    write(l, v)
}

/// insertq: the low bits of the source become a field of the low quadword.
pub fn insert(l: &mut Lifter) -> Flow {
    let (length, index) = field(l, 2, 1);
    let (to, from) = (l.read(0), l.read(1));
    let [to, from] = [to, from].map(|v| l.b.op_imm(Op::VExt, Ty::I64, &[v], 0));
    let mask = ones(l, length);
    let from = l.b.and(from, mask);
    let from = l.b.shift(Op::Shl, from, index);
    let mask = l.b.shift(Op::Shl, mask, index);
    let rest = l.b.not(mask);
    let kept = l.b.and(to, rest);
    let v = l.b.or(kept, from);
    write(l, v)
}

/// movntss, movntsd.
pub fn move_low(l: &mut Lifter, ty: Ty) -> Flow {
    let dst = l.place(0);
    let Place::Mem(addr, _, attr) = dst else { return Flow::Undefined };
    let v = l.read(1);
    let v = l.b.op_imm(Op::VExt, ty, &[v], 0);
    l.b.st(addr, v, attr);
    Flow::Next
}

/// An instruction of 3DNow! with two operands.
pub fn now3d(l: &mut Lifter, what: Now3dFn) -> Flow {
    system::advertised(l, |l| {
        let b = sse_int::source(l, 1, true);
        let p = l.place(0);
        let a = l.load(p);
        let r = l.b.op_imm(Op::VNow3d, Ty::V128, &[a, b], what as u64);
        l.write(0, r);
        Flow::Next
    })
}
