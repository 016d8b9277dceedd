//! Square roots, in integers: the host's own would leave a trace in its status flags.
//!
//! Significand and parity of the exponent make a number N of 128 bits whose root has 64. The root of its upper half, of 32 bits, comes from a line close to
//! it and three steps of Newton's; a division by it gives the other 32 (Zimmermann, Karatsuba Square Root, 1999). What is left of N tells how to round.

use super::super::Emit;
use super::super::regs::{S0, S1, S2};
use super::super::x87::{C1, Group};
use super::{Piece, X};
use crate::x87::{BIAS, BOXED, Insn, Significand};
use demotic_asm::arm64::int::{self, Arith, Logic, Three, Two};
use demotic_asm::arm64::{Cond, Number, Shift, ZR};

/// What the word of one has below the sign.
const ONE: u64 = 0x3fff - BIAS;

impl Emit<'_> {
    /// fsqrt.
    pub(super) fn x87_root(&mut self, g: Group, insn: Insn) {
        let mut work = self.x87_begin(g, insn, true);
        if work.flags.is_some() {
            // Not enough temporaries.
            self.put_flags(&mut work);
            return self.x87_by_helper(g, insn);
        }
        let top = self.x87_slot(0);
        let (m, s) = self.x87_own(top);
        let (h, t, q) = (self.scratch(), self.scratch(), self.scratch());
        self.x87_taken(&mut work);
        let [special, less, enough, below, fits, commit] = [(); 6].map(|()| self.buf.label());
        let mut p = Piece::default();
        p.if_bit(true, s, 63, work.slow);
        p.if_bit(true, s, BOXED, special);
        // Half the exponent, downwards. An even one has the significand one place lower.
        p.sub_imm(S0, s, ONE);
        p.mvn(S1, S0);
        p.and_imm(S1, S1, 1);
        p.w(int::asr_imm(X, S0, S0, 1));
        p.add_imm(s, S0, ONE);
        p.shift(Two::Lsrv, t, m, S1);
        p.logic(Logic::And, S1, m, S1);
        // S2: 3/8 x + 5/8 is at most 6 % from the root of x between 1 and 4; three steps leave less than one unit.
        p.lsr(S2, t, 33);
        p.w(int::arith(Arith::Add, X, S2, S2, t, Shift::Lsr, 34));
        p.w(int::movz(X, q, 0x5000, 1));
        p.add(S2, S2, q);
        for _ in 0..3 {
            p.shift(Two::Udiv, q, t, S2);
            p.add(S2, S2, q);
            p.lsr(S2, S2, 1);
        }
        p.w(int::three(Three::Msub, X, t, S2, S2, t));
        p.if_bit(true, t, 63, less);
        p.bind(enough);
        // The other digit: what is left and the next bits, halved, by the first one.
        p.lsl(t, t, 31);
        p.w(int::arith(Arith::Add, X, t, t, S1, Shift::Lsl, 30));
        p.shift(Two::Udiv, q, t, S2);
        p.w(int::three(Three::Msub, X, t, q, S2, t));
        p.lsr(S0, q, 32);
        p.if_zero(false, S0, work.slow);
        p.w(int::arith(Arith::Add, X, h, q, S2, Shift::Lsl, 32));
        // What is left, in two words.
        p.w(int::three(Three::Madd, X, S0, q, q, ZR));
        p.lsl(S1, t, 33);
        p.lsr(t, t, 31);
        p.w(int::arith(Arith::Subs, X, S1, S1, S0, Shift::Lsl, 0));
        p.w(int::carry(Arith::Sub, X, t, t, ZR));
        p.if_bit(true, t, 63, below);
        p.bind(fits);
        if self.request.significand == Significand::Extended {
            // More than the root is left: it is more than a half of the last place. Exactly a half never is.
            let inexact = self.x87_inexact();
            p.logic(Logic::Orr, inexact, inexact, S1);
            p.logic(Logic::Orr, inexact, inexact, t);
            p.cmp(h, S1);
            p.w(int::carry(Arith::Subs, X, ZR, ZR, t));
            p.w(int::cset(t, Cond::Cc));
            p.add(m, h, t);
        } else {
            p.logic(Logic::Orr, S1, S1, t);
            self.x87_round(&mut work, &mut p, (m, h, S1, t), true);
        }
        p.bind(commit);
        self.put(&p);

        let mut out = Piece::at(less);
        // One too many: the square grows by twice the number and one.
        out.sub_imm(S2, S2, 1);
        out.w(int::arith(Arith::Add, X, t, t, S2, Shift::Lsl, 1));
        out.add_imm(t, t, 1);
        out.b(enough);
        work.pieces.push(out);
        let mut out = Piece::at(below);
        out.sub_imm(h, h, 1);
        for _ in 0..2 {
            out.w(int::arith(Arith::Adds, X, S1, S1, h, Shift::Lsl, 0));
            out.w(int::carry(Arith::Add, X, t, t, ZR));
        }
        out.w(super::arith_imm(Arith::Adds, S1, S1, 1));
        out.w(int::carry(Arith::Add, X, t, t, ZR));
        out.b(fits);
        work.pieces.push(out);
        let mut out = Piece::at(special);
        out.unless_zero(m, s, S0, work.slow);
        out.mov(h, m);
        out.b(commit);
        work.pieces.push(out);
        self.x87_store(top, m, s);
        self.x87_finish(work, C1::Rounded(h.n() as u8, top), &[(top, m, s)], &[], None);
    }
}
