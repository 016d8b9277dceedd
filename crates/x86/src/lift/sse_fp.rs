//! SSE and SSE2 floating-point arithmetic and comparison.

use super::{ALL, Flow, Lifter, Place, sse_int};
use demotic_ir::block::Val;
use demotic_ir::ops::Op;
use demotic_ir::ty::Ty;

/// Immediate bit: all lanes.
pub const PACKED: u64 = 0x100;

/// The scalar or packed source operand as a vector. Scalars in memory are narrower than a vector and need no alignment.
pub fn source(l: &mut Lifter, i: u32) -> Val {
    sse_int::source(l, i, true)
}

/// DEST := DEST op SRC; `imm` says packed or scalar, and the predicate of comparisons.
pub fn binary(l: &mut Lifter, op: Op, ty: Ty, imm: u64) -> Flow {
    let b = source(l, 1);
    let p = l.place(0);
    let a = l.load(p);
    let r = l.b.op_imm(op, ty, &[a, b], imm);
    l.store(p, r);
    Flow::Next
}

/// cmpps cmppd cmpss cmpsd with the predicate in an immediate.
pub fn compare(l: &mut Lifter, ty: Ty, packed: bool) -> Flow {
    let predicate = u64::from(l.insn.immediate8()) & 7;
    binary(l, Op::FCmp, ty, predicate | if packed { PACKED } else { 0 })
}

/// ucomiss ucomisd comiss comisd: ZF PF CF; OF SF AF := 0.
pub fn comi(l: &mut Lifter, ty: Ty, signalling: bool) -> Flow {
    let b = source(l, 1);
    let a = l.read(0);
    let fl = l.b.op_imm(Op::FComi, ty, &[a, b], u64::from(signalling));
    l.b.setfl(ALL, fl);
    Flow::Next
}

/// Bitwise operations on floating-point registers.
pub fn logic(l: &mut Lifter, op: Op) -> Flow {
    let b = source(l, 1);
    let p: Place = l.place(0);
    let a = l.load(p);
    let r = l.b.op(op, Ty::V128, &[a, b]);
    l.store(p, r);
    Flow::Next
}
