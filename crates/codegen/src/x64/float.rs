//! SSE floating point as itself: the host's MXCSR is the guest's while translated code runs.
//!
//! An unmasked exception arrives as SIGFPE at the instruction, whose place says that nothing has happened yet.

use super::unit::Emit;
use super::values::{At, Src};
use demotic_asm::x64::sse::Sse;
use demotic_asm::x64::{Rm, Size};
use demotic_ir::block::Val;
use demotic_ir::ops::{Op, PackedCvt};
use demotic_ir::state::eflags::ARITH;
use demotic_ir::ty::Ty;

pub(super) fn arithmetic(op: Op, double: bool, packed: bool) -> Option<Sse> {
    let pick = |ss, sd, ps, pd| match (packed, double) {
        (false, false) => ss,
        (false, true) => sd,
        (true, false) => ps,
        (true, true) => pd,
    };
    Some(match op {
        Op::FAdd => pick(Sse::ADDSS, Sse::ADDSD, Sse::ADDPS, Sse::ADDPD),
        Op::FSub => pick(Sse::SUBSS, Sse::SUBSD, Sse::SUBPS, Sse::SUBPD),
        Op::FMul => pick(Sse::MULSS, Sse::MULSD, Sse::MULPS, Sse::MULPD),
        Op::FDiv => pick(Sse::DIVSS, Sse::DIVSD, Sse::DIVPS, Sse::DIVPD),
        Op::FMin => pick(Sse::MINSS, Sse::MINSD, Sse::MINPS, Sse::MINPD),
        Op::FMax => pick(Sse::MAXSS, Sse::MAXSD, Sse::MAXPS, Sse::MAXPD),
        Op::FSqrt => pick(Sse::SQRTSS, Sse::SQRTSD, Sse::SQRTPS, Sse::SQRTPD),
        Op::FCmp => pick(Sse::CMPSS, Sse::CMPSD, Sse::CMPPS, Sse::CMPPD),
        Op::FRound => pick(Sse::ROUNDSS, Sse::ROUNDSD, Sse::ROUNDPS, Sse::ROUNDPD),
        Op::FDot => pick(Sse::DPPS, Sse::DPPD, Sse::DPPS, Sse::DPPD),
        Op::FHAdd => pick(Sse::HADDPS, Sse::HADDPD, Sse::HADDPS, Sse::HADDPD),
        Op::FHSub => pick(Sse::HSUBPS, Sse::HSUBPD, Sse::HSUBPS, Sse::HSUBPD),
        Op::FAddSub => pick(Sse::ADDSUBPS, Sse::ADDSUBPD, Sse::ADDSUBPS, Sse::ADDSUBPD),
        _ => return None,
    })
}

impl Emit<'_> {
    /// Emits a floating-point operation; false when the interpreter has to do it.
    pub(super) fn float(&mut self, i: usize) -> bool {
        let inst = self.b.insts[i];
        let [a, b, ..] = inst.args;
        let double = inst.ty == Ty::F64;
        if inst.op == Op::FDot && !self.request.target.features.dot {
            return false;
        }
        if let Some(op) = arithmetic(inst.op, double, inst.imm & 0x100 != 0) {
            if inst.op == Op::FSqrt && inst.imm & 0x100 != 0 {
                let y = self.vreg(b);
                let x = self.vtarget(i);
                self.sync();
                self.a.sse(op, x, y);
                self.vcomputed(i, x);
                return true;
            }
            let imm = match inst.op {
                Op::FCmp => Some(inst.imm as u8 & 7),
                Op::FRound | Op::FDot => Some(inst.imm as u8),
                _ => None,
            };
            if inst.op == Op::FRound && inst.imm & 0x100 != 0 {
                let y = self.vreg(b);
                let x = self.vtarget(i);
                self.sync();
                self.a.sse_imm(op, x, y, inst.imm as u8);
                self.vcomputed(i, x);
                return true;
            }
            self.vop(i, op, imm, a, b, true);
            return true;
        }
        match inst.op {
            Op::FComi => {
                let y = self.vreg(b);
                let x = self.vreg(a);
                self.before_flags(ARITH, i, 0);
                self.sync();
                self.a.sse(
                    match (double, inst.imm & 1 != 0) {
                        (false, false) => Sse::UCOMISS,
                        (false, true) => Sse::COMISS,
                        (true, false) => Sse::UCOMISD,
                        (true, true) => Sse::COMISD,
                    },
                    x,
                    y,
                );
                self.at[i] = At::Flags;
                self.wrote_flags(ARITH, Some(Val(i as u16)));
            }
            Op::FFromInt if inst.imm == 32 || inst.imm == 64 => {
                let size = Size::of_bits(inst.imm as u32);
                let from: Rm = match self.src(b) {
                    Src::Reg(r) => r.into(),
                    Src::Mem(m) => m.into(),
                    Src::Imm(_) => self.reg(b).into(),
                };
                let in_place = self.vector_of_result(i).is_some_and(|(s, _)| self.at(a) == At::Home(s));
                if self.request.target.features.avx && !in_place {
                    let y = self.vreg(a);
                    let x = self.vtarget(i);
                    self.sync();
                    self.a.vcvtsi2f(double, size, x, y, from);
                    self.vcomputed(i, x);
                    return true;
                }
                let x = if in_place {
                    self.vstart(i, a, None)
                } else {
                    let y = self.vreg(a);
                    let t = self.vtemp();
                    self.a.sse(Sse::MOVAPS, t, y);
                    t
                };
                self.sync();
                self.a.cvtsi2f(double, size, x, from);
                self.vcomputed(i, x);
            }
            Op::FToInt => {
                let x = self.vreg(a);
                let d = match self.slot_of_result(i) {
                    Some((s, r)) => {
                        self.clobber_home(s, i);
                        r
                    }
                    None => self.temp(),
                };
                self.sync();
                self.a.cvtf2si(inst.imm & 1 != 0, inst.imm & 2 != 0, Size::of_bits(inst.ty.bits()), d, x);
                self.computed(i, d);
            }
            Op::FCvt => {
                self.vop(i, if double { Sse::CVTSS2SD } else { Sse::CVTSD2SS }, None, a, b, true);
            }
            Op::FCvtP => {
                let op = match PackedCvt::from_imm(inst.imm) {
                    Some(PackedCvt::PsToPd) => Sse::CVTPS2PD,
                    Some(PackedCvt::PdToPs) => Sse::CVTPD2PS,
                    Some(PackedCvt::DqToPs) => Sse::CVTDQ2PS,
                    Some(PackedCvt::DqToPd) => Sse::CVTDQ2PD,
                    Some(PackedCvt::PsToDq) => Sse::CVTPS2DQ,
                    Some(PackedCvt::PsToDqTrunc) => Sse::CVTTPS2DQ,
                    Some(PackedCvt::PdToDq) => Sse::CVTPD2DQ,
                    Some(PackedCvt::PdToDqTrunc) => Sse::CVTTPD2DQ,
                    _ => return false,
                };
                let y = self.vreg(a);
                let x = self.vtarget(i);
                self.sync();
                self.a.sse(op, x, y);
                self.vcomputed(i, x);
            }
            _ => return false,
        }
        true
    }
}
