//! The control word, and rounding as it says.
//!
//! Compilers without SSE3 wrap every cast to an integer in two `fldcw`, and C libraries `frndint` in `floor` and its like. The first word is looked at for what
//! live state needs but rounding; what stands between the two loads the rounding control from the state where it depends on it. The second word has to
//! bring back rounding to nearest. Words that are otherwise have the interpreter go on.

use super::super::Emit;
use super::super::regs::{FRAME, S0, S1, S2};
use super::super::x87::{C1, Group};
use super::{INTEGER, Piece, ROUNDING, SIGN, Work, X};
use crate::frame::FRAME_CONTROL;
use crate::x87::{BIAS, BOXED, CONTROL, Insn};
use demotic_asm::arm64::branch;
use demotic_asm::arm64::int::{self, Csel, Logic, Two};
use demotic_asm::arm64::mem::{self as memory, Access};
use demotic_asm::arm64::{Cond, Number, Reg, Shift, ZR};
use demotic_asm::buffer::Label;
use demotic_ir::ty::Ty;

fn load_control(d: Reg) -> u32 {
    memory::offset(Access::Ldrh, d, FRAME, FRAME_CONTROL as i64).unwrap_or(branch::brk(10))
}

impl Emit<'_> {
    /// Whether rounding may be any.
    pub(super) fn x87_any_rounding(&self) -> bool {
        self.x87.as_ref().is_some_and(|s| s.any_rounding)
    }

    /// fldcw.
    pub(super) fn x87_control(&mut self, g: Group, insn: Insn) {
        let mut work = self.x87_begin(g, insn, false);
        let at = self.x87_address(g, Ty::I16);
        self.x87_taken(&mut work);
        let give_up = self.deopt();
        let mut p = Piece::default();
        p.w(memory::offset(Access::Ldrh, S0, at.base, at.off).unwrap_or(branch::brk(11)));
        if self.tso() {
            p.w(branch::DMB_ISHLD);
        }
        let looked_at = if g.any_rounding { CONTROL & !(ROUNDING as u16) } else { CONTROL };
        p.w(int::movz(X, S1, self.request.significand.control(), 0));
        p.logic(Logic::Eor, S1, S1, S0);
        p.w(int::movz(X, S2, looked_at, 0));
        p.logic(Logic::And, S1, S1, S2);
        p.if_zero(false, S1, give_up);
        // As the lifter keeps it (`x86::lift::x87::control_word`).
        p.and_imm(S0, S0, 0x1fff);
        p.and_imm(S0, S0, !0x80);
        p.orr_imm(S0, S0, 0x40);
        p.w(memory::offset(Access::Strh, S0, FRAME, FRAME_CONTROL as i64).unwrap_or(branch::brk(10)));
        self.put(&p);
        if let Some(s) = &mut self.x87 {
            s.any_rounding = g.any_rounding;
            s.pending = None;
        }
        self.index = g.end + 1;
    }

    /// S0 becomes the integer S1 with the fraction S2 below it, rounded as the control word says: towards zero at `truncated`, up or down at `rounded`, and to
    /// nearest, which is not done yet, behind this. `s` is the number's word; `t` and NZCV are destroyed.
    pub(super) fn x87_directed(
        &mut self,
        work: &mut Work,
        p: &mut Piece,
        s: Reg,
        t: Reg,
        rounded: Label,
        truncated: Label,
    ) {
        let (other, nearest) = (self.buf.label(), self.buf.label());
        p.w(load_control(t));
        p.w(int::ubfx(X, t, t, ROUNDING.trailing_zeros(), 2));
        p.if_zero(true, t, nearest);
        p.mov(S0, S1);
        p.cmp_imm(t, 3);
        p.b_if(Cond::Ne, other);
        p.b(truncated);
        p.bind(nearest);
        // Away from zero when something is below: downwards a negative number, upwards a positive one.
        let mut out = Piece::at(other);
        out.sub_imm(t, t, 1);
        out.w(int::logic(Logic::Eor, X, t, t, s, Shift::Lsr, 63));
        out.cmp_imm(S2, 0);
        out.w(int::csel(Csel::Csel, X, t, ZR, t, Cond::Eq));
        out.add(S0, S1, t);
        out.b(rounded);
        work.pieces.push(out);
    }

    /// frndint.
    pub(super) fn x87_round_to_int(&mut self, g: Group, insn: Insn) {
        let mut work = self.x87_begin(g, insn, true);
        let top = self.x87_slot(0);
        let (m, s) = self.x87_own(top);
        let t = self.scratch();
        self.x87_taken(&mut work);
        let [special, rounded, fix, back, carry, done] = [(); 6].map(|()| self.buf.label());
        let (inexact, any) = (self.x87_inexact(), self.x87_any_rounding());
        let mut p = Piece::default();
        // The number of bits behind the point.
        p.and_imm(S0, s, !SIGN);
        p.w(int::movz(X, S1, INTEGER as u16, 0));
        p.sub(S1, S1, S0);
        p.sub_imm(S2, S1, 1);
        p.cmp_imm(S2, 62);
        p.b_if(Cond::Hi, special);
        p.neg(S2, S1);
        p.shift(Two::Lslv, S2, m, S2);
        p.shift(Two::Lsrv, S1, m, S1);
        if any {
            self.x87_directed(&mut work, &mut p, s, t, rounded, rounded);
        }
        p.round(S0, S1, S2, fix);
        p.bind(back);
        p.bind(rounded);
        work.pieces.push(Piece::fix(S0, S2, fix, back));
        // As many places to the left again; what it was before rounding tells C1.
        p.neg(t, s);
        p.add_imm(t, t, INTEGER % 64);
        p.shift(Two::Lslv, m, S0, t);
        p.shift(Two::Lslv, t, S1, t);
        p.logic(Logic::Orr, inexact, inexact, S2);
        p.if_zero(true, m, carry);
        p.bind(done);
        self.put(&p);
        let mut out = Piece::at(carry);
        let one = |p: &mut Piece| p.w(int::movz(X, m, 1 << 15, 3));
        one(&mut out);
        out.add_imm(s, s, 1);
        out.b(done);
        work.pieces.push(out);

        let [same, nearest, up, zero] = [(); 4].map(|()| self.buf.label());
        let mut out = Piece::at(special);
        let boxed = self.buf.label();
        out.if_bit(true, s, BOXED, boxed);
        out.cmp_imm(S1, 64);
        out.b_if(Cond::Lt, same);
        // Less than one.
        if any {
            out.w(load_control(S0));
            out.w(int::ubfx(X, S0, S0, ROUNDING.trailing_zeros(), 2));
            out.if_zero(true, S0, nearest);
            out.cmp_imm(S0, 3);
            out.b_if(Cond::Eq, zero);
            out.sub_imm(S0, S0, 1);
            out.w(int::logic(Logic::Eor, X, S0, S0, s, Shift::Lsr, 63));
            out.if_zero(false, S0, up);
            out.b(zero);
            out.bind(nearest);
            out.cmp_imm(S1, 64);
        }
        out.b_if(Cond::Ne, zero);
        out.lsl(S0, m, 1);
        out.if_zero(true, S0, zero);
        out.bind(up);
        one(&mut out);
        out.mov(t, ZR);
        out.and_imm(s, s, SIGN);
        out.orr_imm(s, s, 0x3fff - BIAS);
        out.logic(Logic::Orr, inexact, inexact, m);
        out.b(done);
        out.bind(zero);
        out.logic(Logic::Orr, inexact, inexact, m);
        out.lsr(s, s, 63);
        out.zero_word(s);
        out.mov(m, ZR);
        out.mov(t, ZR);
        out.b(done);
        out.bind(boxed);
        out.unless_zero(m, s, S0, work.slow);
        out.bind(same);
        out.mov(t, m);
        out.b(done);
        work.pieces.push(out);
        self.x87_store(top, m, s);
        self.x87_finish(work, C1::Rounded(t.n() as u8, top), &[(top, m, s)], &[], None);
    }
}
