//! SSE arithmetic with all status flags of x86 ([`Arithmetic::Exact`]).
//!
//! AArch64 says nothing of denormal operands and looks for underflow before rounding, but for FPCR.FZ: with that it takes denormal operands for zeros, gives
//! zeros for results that are tiny before rounding, and says so in IDC and UFC. Whatever x86 has DE or UE for, and every invalid operation, thus leaves a bit
//! in FPSR. This variant runs with FZ, and one look at FPSR before results are seen tells whether they are x86's, however many operations there were. If they
//! are not, the interpreter does the operations.
//!
//! For that it has to be known which flags were there before. MXCSR in the frame has them all whenever nothing is open: the look includes the flags that MXCSR
//! does not have yet ([`Frame::sse_unseen`]), and a short way out of line ([`Stub::SseFlags`]) takes them over when results are right. So what else is in FPSR
//! counts for nothing: attempts that went wrong leave no trace, and whoever stops at a place takes MXCSR alone.

use super::regs::{S0, S1};
use super::{Cold, Emit};
use crate::frame::{Frame, WRONG};
use crate::{Arithmetic, Stub};
use core::mem::offset_of;
use demotic_asm::arm64::branch::{self, SysReg};
use demotic_asm::arm64::int::{self, Logic};
use demotic_asm::arm64::mem::Access;
use demotic_asm::arm64::{LogicImm, Reg, Shift, Sz, V, ZR, float};
use demotic_asm::buffer::{Field, Label};

/// The labels of an operation that is looked at by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guard {
    /// Something was raised.
    rare: Label,
    /// The result is right nevertheless.
    again: Label,
    /// The interpreter has done the operation.
    back: Label,
}

impl Emit<'_> {
    /// Whether all status flags are kept.
    pub(super) fn exact(&self) -> bool {
        self.request.arithmetic == Arithmetic::Exact
    }

    /// Branches when arithmetic since the last look has raised something that has to be looked after. Destroys S0 and S1.
    fn raised(&mut self, label: Label) {
        self.w(branch::mrs(S0, SysReg::Fpsr));
        self.frame_access(Access::LdrW, S1, offset_of!(Frame, sse_unseen));
        self.w(int::logic(Logic::And, Sz::W, S0, S0, S1, Shift::Lsl, 0));
        self.w_to(branch::cbz(true, Sz::W, S0), label, Field::Arm19);
    }

    /// To be called before operation `i` is attempted, with all that it needs in registers; where its result goes. None where no flags are kept.
    pub(super) fn guard(&mut self, i: usize, general: Option<Reg>, vector: Option<V>) -> Option<Guard> {
        if !self.exact() {
            return None;
        }
        let (again, back) = (self.buf.label(), self.buf.label());
        let rare = self.rarely_or(i, general, vector, back, Some(again));
        Some(Guard { rare, again, back })
    }

    /// The attempt has been made, and the operands are still there.
    pub(super) fn look_at(&mut self, guard: Option<Guard>) {
        if let Some(Guard { rare, again, .. }) = guard {
            self.raised(rare);
            self.buf.bind(again);
        }
    }

    /// The result is where it goes.
    pub(super) fn guarded(&mut self, guard: Option<Guard>) {
        if let Some(Guard { back, .. }) = guard {
            self.buf.bind(back);
        }
    }

    /// Looks at what was attempted at the current place, which gives up when that went wrong.
    pub(super) fn look_here(&mut self) {
        let (label, again) = (self.buf.label(), self.buf.label());
        self.raised(label);
        self.buf.bind(again);
        self.later(Cold::Raised(label, again));
    }

    /// Ends the batch before comparison `i` with one look for both, if that can be.
    pub(super) fn compares_with_batch(&mut self, i: usize) -> bool {
        let inst = self.block.insts[i];
        let own = self.an[i].how == super::analysis::Fl::Home;
        if !self.exact() || !own || self.batch.results.is_empty() || self.batch.fused || self.request.nans {
            return false;
        }
        let f = super::batch::format(inst.ty);
        self.take_flags(i);
        for val in [inst.args[0], inst.args[1]] {
            // A lane of the other width is another part of the register.
            if self.batch.low.get(&val.0).is_some_and(|l| l.0 != f) {
                self.complete(val);
            }
        }
        let (a, b) = (self.vr_low(inst.args[0]), self.vr_low(inst.args[1]));
        self.w(float::fcmp(inst.imm & 1 != 0, f, a, b));
        self.compared = Some(i);
        self.commit(i);
        true
    }

    /// Out of line: back to `again` when what was raised had only to be taken over.
    pub(super) fn take_over_flags(&mut self, again: Label) {
        self.stub(true, Stub::SseFlags);
        self.w_to(branch::cbz(false, Sz::W, S0), again, Field::Arm19);
    }

    /// MXCSR was written with `r`, and has all flags.
    pub(super) fn flags_written(&mut self, r: Reg) {
        self.wo(LogicImm::new(Sz::W, 0x3f).and_then(|imm| int::logic_imm(Logic::Eor, Sz::W, S1, r, imm)));
        self.w(int::ubfx(Sz::W, S1, S1, 2, 4));
        self.w(int::movz(Sz::W, S0, WRONG as u16, 0));
        self.w(int::logic(Logic::Orr, Sz::W, S0, S0, S1, Shift::Lsl, 1));
        self.frame_access(Access::StrX, S0, offset_of!(Frame, sse_unseen));
        self.w(branch::msr(SysReg::Fpsr, ZR));
    }
}
