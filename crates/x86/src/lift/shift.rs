//! Shifts and rotates. The count is masked to 5 bits (6 for 64-bit operands); a count of 0 leaves all flags alone.

use super::{ALL, CF_OF, Flow, Lifter, Place};
use demotic_ir::block::Val;
use demotic_ir::ops::Op;
use demotic_ir::ty::Ty;

/// The masked count of operand `i`: a value, and the number itself when it is known.
fn count(l: &mut Lifter, i: u32, ty: Ty) -> (Val, Option<u64>) {
    let mask = if ty == Ty::I64 { 63 } else { 31 };
    match l.place(i) {
        Place::Imm(n, _) => constant(l, ty, n),
        p => {
            let n = l.load(p);
            (l.b.andi(n, mask), None)
        }
    }
}

/// The same of a count that is known.
pub fn constant(l: &mut Lifter, ty: Ty, n: u64) -> (Val, Option<u64>) {
    let n = n & if ty == Ty::I64 { 63 } else { 31 };
    (l.b.c(Ty::I8, n), Some(n))
}

/// Old flags for the case of a zero count; a constant when the count is known not to be zero.
fn old_flags(l: &mut Lifter, known: Option<u64>) -> Val {
    if known.is_some() { l.no_flags() } else { l.b.getfl() }
}

/// shl, shr, sar.
pub fn shift(l: &mut Lifter, op: Op, fl_op: Op) -> Flow {
    let dst = l.place_rw(0);
    let ty = l.ty(0);
    plain(l, op, fl_op, dst, ty, |l| count(l, 1, ty))
}

/// The same by the place of the operand and how the count is read: a value, and the number itself when it is known.
pub fn plain(
    l: &mut Lifter,
    op: Op,
    fl_op: Op,
    dst: Place,
    ty: Ty,
    count: impl FnOnce(&mut Lifter) -> (Val, Option<u64>),
) -> Flow {
    let a = l.load(dst);
    let (n, known) = count(l);
    let r = l.b.shift(op, a, n);
    l.store(dst, r);
    if known != Some(0) {
        let old = old_flags(l, known);
        let fl = l.b.op(fl_op, ty, &[a, n, old]);
        l.b.setfl(ALL, fl);
    }
    Flow::Next
}

/// rol, ror: only CF and OF.
pub fn rotate(l: &mut Lifter, op: Op, fl_op: Op) -> Flow {
    let dst = l.place_rw(0);
    let ty = l.ty(0);
    let a = l.load(dst);
    let (n, known) = count(l, 1, ty);
    let r = l.b.shift(op, a, n);
    l.store(dst, r);
    if known != Some(0) {
        let old = old_flags(l, known);
        let fl = l.b.op(fl_op, ty, &[r, n, old]);
        l.b.setfl(CF_OF, fl);
    }
    Flow::Next
}

/// rcl, rcr: through the carry.
pub fn rotate_carry(l: &mut Lifter, op: Op, fl_op: Op) -> Flow {
    let dst = l.place_rw(0);
    let ty = l.ty(0);
    let a = l.load(dst);
    let (n, known) = count(l, 1, ty);
    let c = l.carry();
    let r = l.b.op(op, ty, &[a, n, c]);
    l.store(dst, r);
    if known != Some(0) {
        let old = old_flags(l, known);
        let fl = l.b.op(fl_op, ty, &[a, n, c, old]);
        l.b.setfl(CF_OF, fl);
    }
    Flow::Next
}

/// shld, shrd.
pub fn double(l: &mut Lifter, op: Op, fl_op: Op) -> Flow {
    let dst = l.place_rw(0);
    let ty = l.ty(0);
    let a = l.load(dst);
    let b = l.read(1);
    let (n, known) = count(l, 2, ty);
    let r = l.b.op(op, ty, &[a, b, n]);
    l.store(dst, r);
    if known != Some(0) {
        let old = old_flags(l, known);
        let fl = l.b.op(fl_op, ty, &[a, b, n, old]);
        l.b.setfl(ALL, fl);
    }
    Flow::Next
}
