//! Sums, products and quotients. The result takes the destination's temporaries; what it is before rounding stays in another one, so that C1 can be told.
//!
//! A sum has the greater operand first when it is of the same sign, which is one comparison of the difference of their words; the other orders, signs and zeros
//! stand out of line. A product is normalised by one place or not at all. A quotient has two digits of 32 bits.

use super::super::Emit;
use super::super::regs::{S0, S1, S2};
use super::super::x87::{C1, Group};
use super::{Piece, SIGN, Work, X, logic_imm};
use crate::x87::{BOXED, BOXED_SIGN, EXPONENTS, From, Insn, Significand};
use demotic_asm::arm64::branch;
use demotic_asm::arm64::int::{self, Arith, Logic, One, Three, Two};
use demotic_asm::arm64::mem::{self as memory, Access, Pair};
use demotic_asm::arm64::{Cond, Number, Reg, Shift, ZR};
use demotic_asm::buffer::Label;
use demotic_ir::ops::Op;

/// The registers of an addition or multiplication.
#[derive(Clone, Copy)]
struct Regs {
    ma: Reg,
    sa: Reg,
    mb: Reg,
    sb: Reg,
    h: Reg,
}

impl Emit<'_> {
    pub(super) fn x87_arith(&mut self, g: Group, insn: Insn, op: Op, reversed: bool, to: u8, from: From, pops: bool) {
        let mut work = self.x87_begin(g, insn, true);
        let (to, top) = (self.x87_slot(to), self.x87_slot(0));
        let memory = match from {
            From::St(_) => None,
            From::Real(ty) | From::Int(ty) if op == Op::XDiv => {
                Some((self.x87_late_address(&mut work, ty), matches!(from, From::Int(_))))
            }
            From::Real(ty) => Some((self.x87_address(g, ty), false)),
            From::Int(ty) => Some((self.x87_address(g, ty), true)),
        };
        work.load = memory.map(|m| m.0);
        // The other operand where it is, if it is in temporaries.
        let other = match from {
            From::St(i) => self.x87_other(&work, i, op == Op::XDiv),
            _ => None,
        };
        if op == Op::XDiv && (work.flags.is_some() || self.tight) {
            // Not enough temporaries.
            self.put_flags(&mut work);
            return self.x87_by_helper(g, insn);
        }
        let same = matches!(from, From::St(i) if self.x87_slot(i) == to);
        let (ma, sa) = self.x87_own(to);
        let h = self.scratch();
        // A division needs two more.
        let more = if op == Op::XDiv { Some((self.scratch(), self.scratch())) } else { None };
        self.x87_taken(&mut work);
        if let Some(late) = work.late {
            self.x87_late(late);
        }
        let (mb, sb) = match (memory, other, from) {
            (Some((at, integer)), ..) => {
                self.x87_convert(&mut work, at, integer, S2, S0, h);
                (S2, S0)
            }
            (_, Some(regs), _) if !same => regs,
            (_, _, From::St(i)) => {
                let slot = self.x87_slot(i);
                let word = self.x87_pair(true, S2, S0, slot);
                self.w(word);
                (S2, S0)
            }
            _ => (S2, S0),
        };
        let commit = self.buf.label();
        let regs = Regs { ma, sa, mb, sb, h };
        let mut p = Piece::default();
        if op == Op::XMul {
            self.x87_mul(&mut work, &mut p, regs, to, commit);
        } else if let Some(more) = more {
            self.x87_div(&mut work, &mut p, regs, more, reversed, to, commit);
        } else {
            let negate = match (op, reversed) {
                (Op::XSub, false) => Some(false),
                (Op::XSub, true) => Some(true),
                _ => None,
            };
            self.x87_add(&mut work, &mut p, regs, negate, commit);
        }
        p.bind(commit);
        self.put(&p);
        self.x87_store(to, ma, sa);
        let popped = [top];
        let changed = &popped[..usize::from(pops && top != to)];
        self.x87_finish(work, C1::Rounded(h.n() as u8, to), &[(to, ma, sa)], changed, None);
    }

    /// Product of a and b to a.
    fn x87_mul(&mut self, work: &mut Work, p: &mut Piece, r: Regs, slot: i8, commit: Label) {
        let Regs { ma, sa, mb, sb, h } = r;
        let [shift, zero] = [(); 2].map(|()| self.buf.label());
        p.w(int::three(Three::Umulh, X, h, ma, mb, ZR));
        p.w(int::three(Three::Madd, X, S1, ma, mb, ZR));
        p.add(sa, sa, sb);
        p.if_bit(false, h, 63, shift);
        // Exponents less the bias: 0x3000 - 0x3fff, and one for the product's top bit.
        p.sub_imm(sa, sa, 0xffe);
        p.w(logic_imm(Logic::Ands, ZR, sa, EXPONENTS));
        p.b_if(Cond::Ne, zero);
        self.x87_round(work, p, (ma, h, S1, S0), false);

        let mut out = Piece::at(shift);
        out.w(int::extr(X, h, h, S1, 63));
        out.lsl(S1, S1, 1);
        out.sub_imm(sa, sa, 0xfff);
        out.w(logic_imm(Logic::Ands, ZR, sa, EXPONENTS));
        out.b_if(Cond::Ne, zero);
        self.x87_round(work, &mut out, (ma, h, S1, S0), true);
        out.b(commit);
        work.pieces.push(out);

        // Zero times a usual number or zero.
        let [b_zero, fast, make] = [(); 3].map(|()| self.buf.label());
        let mut out = Piece::at(zero);
        let word = memory::offset(Access::LdrX, sa, self.x87_base(), 16 * i64::from(slot) + 8);
        out.w(word.unwrap_or(branch::brk(6)));
        out.unless_zero(ma, sa, S1, b_zero);
        out.if_bit(false, sb, BOXED, fast);
        out.unless_zero(mb, sb, S1, work.slow);
        out.logic(Logic::Eor, sa, sa, sb);
        out.lsl(sa, sa, 63 - BOXED_SIGN);
        out.b(make);
        out.bind(fast);
        out.lsl(sa, sa, 63 - BOXED_SIGN);
        out.logic(Logic::Eor, sa, sa, sb);
        out.b(make);
        out.bind(b_zero);
        out.unless_zero(mb, sb, S1, work.slow);
        out.if_bit(true, sa, BOXED, work.slow);
        out.lsl(S1, sb, 63 - BOXED_SIGN);
        out.logic(Logic::Eor, sa, sa, S1);
        out.bind(make);
        out.lsr(sa, sa, 63);
        out.zero_word(sa);
        out.mov(ma, ZR);
        out.mov(h, ZR);
        out.b(commit);
        work.pieces.push(out);
    }

    /// Rounds a significand `h` with the bits `low` below it to `m`, and remembers whether that was exact. `t` may be destroyed. `carries`: the 64 bits may
    /// be too few.
    pub(super) fn x87_round(
        &mut self,
        work: &mut Work,
        p: &mut Piece,
        (m, h, low, t): (Reg, Reg, Reg, Reg),
        carries: bool,
    ) {
        let inexact = self.x87_inexact();
        if self.request.significand == Significand::Extended {
            let [fix, back] = [(); 2].map(|()| self.buf.label());
            p.round(m, h, low, fix);
            p.bind(back);
            if carries {
                p.if_bit(false, m, 63, work.slow);
            }
            p.logic(Logic::Orr, inexact, inexact, low);
            work.pieces.push(Piece::fix(m, low, fix, back));
        } else {
            if carries {
                // Boxed operands: what falls off of their sum means nothing.
                p.if_bit(false, h, 63, work.slow);
            }
            p.round_to(self.request.significand.bits(), m, h, low, t, inexact);
            p.if_bit(false, m, 63, work.slow);
        }
    }

    /// The flags where they were before [`Emit::x87_begin`].
    pub(super) fn put_flags(&mut self, work: &mut Work) {
        if work.flags.take().is_some() {
            // Nothing has destroyed them yet.
            self.saved_flags = None;
        }
    }

    /// Quotient of a and b to a; b is in S2 and S0. `reversed`: of b and a.
    #[allow(clippy::too_many_arguments, reason = "registers")]
    fn x87_div(
        &mut self,
        work: &mut Work,
        p: &mut Piece,
        r: Regs,
        more: (Reg, Reg),
        reversed: bool,
        slot: i8,
        commit: Label,
    ) {
        let Regs { ma, sa, mb, sb, h } = r;
        let (t, u) = more;
        let inexact = self.x87_inexact();
        let (n, v) = if reversed { (mb, ma) } else { (ma, mb) };
        let (sn, sd) = if reversed { (sb, sa) } else { (sa, sb) };
        let [less, go, fix, fixed, fix2, fixed2, special] = [(); 7].map(|()| self.buf.label());
        p.if_bit(false, v, 63, special);
        p.sub(sa, sn, sd);
        p.cmp(n, v);
        p.b_if(Cond::Cc, less);
        p.add_imm(sa, sa, 0xfff);
        p.w(int::ubfiz(X, u, n, 31, 1));
        p.lsr(n, n, 1);
        p.bind(go);
        p.w(logic_imm(Logic::Ands, ZR, sa, EXPONENTS));
        p.b_if(Cond::Ne, special);
        // Two digits of 32 bits, each estimated by the upper half of the divisor (Knuth, volume 2, 4.3.1, algorithm D).
        p.lsr(S0, v, 32);
        p.w(int::ubfx(X, S1, v, 0, 32));
        p.shift(Two::Udiv, h, n, S0);
        p.w(int::three(Three::Msub, X, n, h, S0, n));
        p.w(int::three(Three::Madd, X, t, h, S1, ZR));
        p.w(int::logic(Logic::Orr, X, n, u, n, Shift::Lsl, 32));
        p.cmp(t, n);
        p.b_if(Cond::Hi, fix);
        p.bind(fixed);
        p.sub(n, n, t);
        p.shift(Two::Udiv, u, n, S0);
        p.w(int::three(Three::Msub, X, n, u, S0, n));
        p.w(int::three(Three::Madd, X, t, u, S1, ZR));
        p.lsl(n, n, 32);
        p.cmp(t, n);
        p.b_if(Cond::Hi, fix2);
        p.bind(fixed2);
        p.sub(n, n, t);
        p.w(int::arith(Arith::Add, X, h, u, h, Shift::Lsl, 32));
        if self.request.significand == Significand::Extended {
            // More than half of the divisor is left, or less: exactly half never is.
            p.sub(t, v, n);
            p.logic(Logic::Orr, inexact, inexact, n);
            p.cmp(n, t);
            p.w(int::carry(Arith::Add, X, ma, h, ZR));
            p.if_bit(false, ma, 63, work.slow);
        } else {
            self.x87_round(work, p, (ma, h, n, t), true);
        }

        let mut out = Piece::at(less);
        out.add_imm(sa, sa, 0xffe);
        out.mov(u, ZR);
        out.b(go);
        work.pieces.push(out);
        for (q, fix, fixed) in [(h, fix, fixed), (u, fix2, fixed2)] {
            // The digit was one or two too much.
            let mut out = Piece::at(fix);
            out.sub_imm(q, q, 1);
            out.sub(t, t, S1);
            out.w(int::arith(Arith::Adds, X, n, n, S0, Shift::Lsl, 32));
            out.b_if(Cond::Cs, fixed);
            out.cmp(t, n);
            out.b_if(Cond::Ls, fixed);
            out.sub_imm(q, q, 1);
            out.sub(t, t, S1);
            out.w(int::arith(Arith::Add, X, n, n, S0, Shift::Lsl, 32));
            out.b(fixed);
            work.pieces.push(out);
        }
        // Zero divided by a usual number.
        let mut out = Piece::at(special);
        if !reversed {
            let word = memory::pair(true, Pair::X, ma, sa, self.x87_base(), 16 * i64::from(slot), memory::Mode::Offset);
            out.w(word.unwrap_or(branch::brk(9)));
            out.unless_zero(ma, sa, S1, work.slow);
            out.if_bit(true, sb, BOXED, work.slow);
            out.lsl(sa, sa, 63 - BOXED_SIGN);
            out.logic(Logic::Eor, sa, sa, sb);
            out.lsr(sa, sa, 63);
            out.zero_word(sa);
            out.mov(ma, ZR);
            out.mov(h, ZR);
            out.b(commit);
        } else {
            out.b(work.slow);
        }
        work.pieces.push(out);
    }

    /// Sum of a and b to a; `negate`: the difference, of b and a when true.
    fn x87_add(&mut self, work: &mut Work, p: &mut Piece, r: Regs, negate: Option<bool>, commit: Label) {
        let Regs { ma, sa, mb, mut sb, h } = r;
        let slow = work.slow;
        let all_bits = self.request.significand == Significand::Extended;
        let [turned, rest, carry, round] = [(); 4].map(|()| self.buf.label());
        match negate {
            Some(true) => p.eor_imm(sa, sa, SIGN),
            Some(false) => {
                p.eor_imm(S0, sb, SIGN);
                sb = S0;
            }
            None => {}
        }
        // a is the greater one, of the same sign, and neither is boxed or both are.
        p.sub(S1, sa, sb);
        p.cmp_imm(S1, 63);
        p.b_if(Cond::Hi, turned);
        p.split(S2, S0, mb, S1);
        p.w(int::arith(Arith::Adds, X, h, ma, S2, Shift::Lsl, 0));
        p.b_if(Cond::Cs, carry);
        p.bind(round);
        self.x87_round(work, p, (ma, h, S0, S1), true);

        let mut out = Piece::at(carry);
        out.w(int::extr(X, S0, h, S0, 1));
        out.lsr(h, h, 1);
        out.orr_imm(h, h, SIGN);
        out.add_imm(sa, sa, 1);
        out.if_bit(true, sa, 13, slow);
        self.x87_round(work, &mut out, (ma, h, S0, S1), false);
        out.b(commit);
        work.pieces.push(out);

        // b is the greater one.
        let mut out = Piece::at(turned);
        out.neg(S1, S1);
        out.cmp_imm(S1, 63);
        out.b_if(Cond::Hi, rest);
        out.mov(sa, sb);
        out.split(ma, S0, ma, S1);
        out.w(int::arith(Arith::Adds, X, h, mb, ma, Shift::Lsl, 0));
        out.b_if(Cond::Cc, round);
        out.b(carry);
        work.pieces.push(out);

        let [zeros, swap, small, ordered, a_zero, far] = [(); 6].map(|()| self.buf.label());
        let mut out = Piece::at(rest);
        out.logic(Logic::Orr, S1, sa, sb);
        out.if_bit(true, S1, BOXED, zeros);
        out.logic(Logic::Eor, S1, sa, sb);
        out.if_bit(false, S1, 63, far);
        // Of different signs: the difference of the exponents, and which is the greater one.
        out.eor_imm(S1, sa, SIGN);
        out.sub(S1, S1, sb);
        out.if_bit(true, S1, 63, swap);
        out.if_zero(false, S1, small);
        out.cmp(ma, mb);
        out.b_if(Cond::Cs, small);
        out.bind(swap);
        out.neg(S1, S1);
        out.mov(sa, sb);
        out.mov(h, ma);
        out.mov(ma, mb);
        out.mov(S2, h);
        out.b(ordered);
        out.bind(small);
        out.mov(S2, mb);
        out.bind(ordered);
        out.cmp_imm(S1, 63);
        out.b_if(Cond::Hi, slow);
        out.split(h, S0, S2, S1);
        out.w(int::arith(Arith::Subs, X, S0, ZR, S0, Shift::Lsl, 0));
        out.w(int::carry(Arith::Sub, X, h, ma, h));
        let some = self.buf.label();
        out.if_zero(false, h, some);
        out.if_zero(false, S0, slow);
        // Equal numbers.
        out.w(int::movz(X, sa, 1 << (BOXED - 32), 2));
        out.mov(ma, ZR);
        out.b(commit);
        out.bind(some);
        out.w(int::one(One::Clz, X, S1, h));
        out.sub(sa, sa, S1);
        out.shift(Two::Lslv, h, h, S1);
        out.lsr(S2, S0, 1);
        out.shift(Two::Lslv, S0, S0, S1);
        out.mvn(S1, S1);
        out.shift(Two::Lsrv, S2, S2, S1);
        out.logic(Logic::Orr, h, h, S2);
        out.w(logic_imm(Logic::Ands, ZR, sa, EXPONENTS));
        out.b_if(Cond::Eq, round);
        out.b(slow);
        // Of the same sign, and one does not reach the other: only what is more than 64 below is less than half of the last place.
        out.bind(far);
        out.b(slow);
        // Zero and a usual number, which may have more bits than the result.
        let done = |out: &mut Piece, m: Reg| {
            out.mov(h, m);
            if all_bits {
                out.mov(ma, m);
                out.b(commit);
            } else {
                out.mov(S0, ZR);
                out.b(round);
            }
        };
        out.bind(zeros);
        out.unless_zero(mb, sb, S1, a_zero);
        out.if_bit(true, sa, BOXED, slow);
        done(&mut out, ma);
        out.bind(a_zero);
        out.unless_zero(ma, sa, S1, slow);
        out.if_bit(true, sb, BOXED, slow);
        out.mov(sa, sb);
        done(&mut out, mb);
        work.pieces.push(out);
    }
}
