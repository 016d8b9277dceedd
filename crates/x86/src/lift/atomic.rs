//! Compare and exchange.

use super::{ALL, Flow, Lifter, Place};
use demotic_ir::ops::Op;
use demotic_ir::slot::Slot;
use demotic_ir::state::eflags::ZF;
use demotic_ir::state::reg;
use demotic_ir::ty::Ty;

/// cmpxchg: if rAX = DEST then DEST := SRC else rAX := DEST.
pub fn cmpxchg(l: &mut Lifter) -> Flow {
    let dst = l.place_rw(0);
    let ty = l.ty(0);
    let src = l.read(1);
    let acc = l.gpr(reg::RAX, ty);
    let locked = l.insn.has_lock_prefix();
    let old = match dst {
        Place::Mem(addr, ..) if locked => l.atomic(Op::ACas, ty, &[addr, acc, src]),
        _ => l.load(dst),
    };
    let same = l.b.eq(acc, old);
    let fl = l.b.fl_sub(acc, old);
    if !locked {
        // The destination is written in any case: with its old value when the comparison fails.
        match dst {
            // A failed comparison of 32 bits leaves the upper half of a register alone.
            Place::Gpr(n, Ty::I32) if l.long() => {
                let wide_src = l.b.zext(Ty::I64, src);
                let before = l.gpr(n, Ty::I64);
                let v = l.b.sel(same, wide_src, before);
                l.set_gpr(n, v);
            }
            _ => {
                let v = l.b.sel(same, src, old);
                l.store(dst, v);
            }
        }
    }
    if ty == Ty::I32 && l.long() {
        let keep = l.gpr(reg::RAX, Ty::I64);
        let wide = l.b.zext(Ty::I64, old);
        // When the destination is rAX itself the comparison always succeeds, and the value just written must stay.
        let v = l.b.sel(same, keep, wide);
        l.set_gpr(reg::RAX, v);
    } else {
        let now = l.gpr(reg::RAX, ty);
        let v = l.b.sel(same, now, old);
        l.set_gpr(reg::RAX, v);
    }
    l.b.setfl(ALL, fl);
    Flow::Next
}

/// cmpxchg8b, cmpxchg16b: rDX:rAX against memory, rCX:rBX in exchange; only ZF.
pub fn cmpxchg_pair(l: &mut Lifter, half: Ty) -> Flow {
    let addr = l.ea();
    let [lo, hi, new_lo, new_hi] = [reg::RAX, reg::RDX, reg::RBX, reg::RCX].map(|n| l.gpr(n, half));
    if half == Ty::I32 {
        let join = |l: &mut Lifter, lo, hi| {
            let lo = l.b.zext(Ty::I64, lo);
            let hi = l.b.zext(Ty::I64, hi);
            let hi = l.b.shli(hi, 32);
            l.b.or(lo, hi)
        };
        let expected = join(l, lo, hi);
        let new = join(l, new_lo, new_hi);
        let old = l.atomic(Op::ACas, Ty::I64, &[addr, expected, new]);
        let same = l.b.eq(old, expected);
        let old_hi = l.b.shri(old, 32);
        for (n, v) in [(reg::RAX, old), (reg::RDX, old_hi)] {
            // Success leaves the registers, their upper halves included, alone.
            let v = l.b.zext(Ty::I32, v);
            let wide = l.b.zext(Ty::I64, v);
            let keep = l.gpr(n, Ty::I64);
            let r = l.b.sel(same, keep, wide);
            l.set_gpr(n, r);
        }
        l.set_flag_if(same, ZF);
        return Flow::Next;
    }
    let join = |l: &mut Lifter, lo, hi| {
        let v = l.b.op(Op::VZext, Ty::I64, &[lo]);
        l.b.op_imm(Op::VIns, Ty::I64, &[v, hi], 1)
    };
    let expected = join(l, lo, hi);
    let new = join(l, new_lo, new_hi);
    let old = l.atomic(Op::ACas, Ty::V128, &[addr, expected, new]);
    let old_lo = l.b.op_imm(Op::VExt, Ty::I64, &[old], 0);
    let old_hi = l.b.op_imm(Op::VExt, Ty::I64, &[old], 1);
    let same_lo = l.b.eq(old_lo, lo);
    let same_hi = l.b.eq(old_hi, hi);
    let same = l.b.and(same_lo, same_hi);
    l.b.set(Slot::gpr(reg::RAX), old_lo);
    l.b.set(Slot::gpr(reg::RDX), old_hi);
    l.set_flag_if(same, ZF);
    Flow::Next
}
