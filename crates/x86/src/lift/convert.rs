//! SSE and SSE2 conversions.

use super::{Flow, Lifter, Place, sse_int};
use demotic_ir::ops::{Op, PackedCvt};
use demotic_ir::ty::Ty;

/// cvtsi2ss, cvtsi2sd.
pub fn from_int(l: &mut Lifter, ty: Ty) -> Flow {
    let x = l.read(1);
    let bits = u64::from(l.b.ty(x).bits());
    let a = l.read(0);
    let r = l.b.op_imm(Op::FFromInt, ty, &[a, x], bits);
    l.write(0, r);
    Flow::Next
}

/// cvtss2si cvttss2si cvtsd2si cvttsd2si.
pub fn to_int(l: &mut Lifter, double: bool, truncate: bool) -> Flow {
    let v = sse_int::source(l, 1, true);
    let ty = l.ty(0);
    let r = l.b.op_imm(Op::FToInt, ty, &[v], u64::from(double) | u64::from(truncate) << 1);
    l.write(0, r);
    Flow::Next
}

/// cvtss2sd (`to` f64), cvtsd2ss (`to` f32).
pub fn scalar(l: &mut Lifter, to: Ty) -> Flow {
    let b = sse_int::source(l, 1, true);
    let a = l.read(0);
    let r = l.b.op(Op::FCvt, to, &[a, b]);
    l.write(0, r);
    Flow::Next
}

/// Packed conversions between vectors, from or to MMX registers.
pub fn packed(l: &mut Lifter, kind: PackedCvt) -> Flow {
    sse_int::check_mmx(l);
    let v = sse_int::source_plain(l, 1);
    let r = l.b.op_imm(Op::FCvtP, Ty::V128, &[v], kind as u64);
    sse_int::reset_mmx(l);
    if kind == PackedCvt::PiToPs {
        // Only the low half of the destination changes.
        let x = l.b.op_imm(Op::VExt, Ty::I64, &[r], 0);
        let p: Place = l.place(0);
        let a = l.load(p);
        let r = l.b.op_imm(Op::VIns, Ty::I64, &[a, x], 0);
        l.store(p, r);
        return Flow::Next;
    }
    l.write(0, r);
    Flow::Next
}
