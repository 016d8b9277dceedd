//! Multiplication and division.

use super::Emit;
use super::flags::sz;
use super::regs::{S0, S1, W};
use demotic_asm::arm64::branch;
use demotic_asm::arm64::int::{self, Logic, Three, Two};
use demotic_asm::arm64::{Imm12, Shift, Sz, ZR};
use demotic_asm::buffer::Field;
use demotic_ir::block::Val;
use demotic_ir::ops::Op;
use demotic_ir::ty::Ty;

impl Emit<'_> {
    pub(super) fn multiply(&mut self, i: usize) {
        let inst = self.block.insts[i];
        let (ty, size) = (inst.ty, sz(inst.ty));
        let (a, b) = (self.r(inst.args[0]), self.r(inst.args[1]));
        let signed = inst.op == Op::MulHiS;
        let d = self.dest(i);
        if inst.op == Op::Mul {
            self.w(int::three(Three::Madd, size, d, a, b, ZR));
            return self.result(i, d, size.bits() as u8);
        }
        match ty {
            Ty::I64 => {
                self.w(int::three(if signed { Three::Smulh } else { Three::Umulh }, Sz::X, d, a, b, ZR));
                self.result(i, d, 64);
            }
            Ty::I32 => {
                self.w(int::three(if signed { Three::Smaddl } else { Three::Umaddl }, Sz::X, S0, a, b, ZR));
                self.w(int::lsr_imm(Sz::X, d, S0, 32));
                self.result(i, d, 32);
            }
            _ => {
                let width = ty.bits();
                let ext = if signed { int::sbfx } else { int::ubfx };
                self.w(ext(Sz::W, S0, a, 0, width));
                self.w(ext(Sz::W, S1, b, 0, width));
                self.w(int::three(Three::Madd, Sz::W, S0, S0, S1, ZR));
                self.w(int::ubfx(Sz::W, d, S0, width, width));
                self.result(i, d, width as u8);
            }
        }
    }

    /// Whether the high half is the sign of the low half (cdq, cqo).
    fn sign_of(&self, hi: Val, lo: Val, ty: Ty) -> bool {
        let inst = &self.block.insts[hi.index()];
        inst.op == Op::Sar
            && inst.ty == ty
            && inst.args[0] == lo
            && self.constant(inst.args[1]).is_some_and(|n| n >= u64::from(ty.bits()) - 1)
    }

    /// The division of the same operands that has been done already.
    fn quotient(&self, i: usize) -> Option<Val> {
        let inst = &self.block.insts[i];
        let div = if inst.op == Op::RemU { Op::DivU } else { Op::DivS };
        if !matches!(inst.op, Op::RemU | Op::RemS) {
            return None;
        }
        (0..i)
            .rev()
            .take(8)
            .find(|&k| {
                let other = &self.block.insts[k];
                other.op == div && other.ty == inst.ty && other.args == inst.args && self.an[k].end() >= i
            })
            .filter(|&k| matches!(self.books.loc[k], W::T(_) | W::Home(_)))
            .map(|k| Val(k as u16))
    }

    pub(super) fn divide(&mut self, i: usize) {
        let inst = self.block.insts[i];
        let (ty, size) = (inst.ty, sz(inst.ty));
        if !matches!(ty, Ty::I32 | Ty::I64) {
            return self.helper(i);
        }
        let (hi, lo, by) = (inst.args[0], inst.args[1], inst.args[2]);
        let bits = size.bits() as u8;
        if let Some(q) = self.quotient(i) {
            // The division found no fault; the remainder is below the divisor, so its low half is all of it.
            let (q, n, c) = (self.r(q), self.r(lo), self.r(by));
            let d = self.dest(i);
            self.w(int::three(Three::Msub, size, d, q, c, n));
            return self.result(i, d, bits);
        }
        let signed = matches!(inst.op, Op::DivS | Op::RemS);
        let rem = matches!(inst.op, Op::RemU | Op::RemS);
        let div = if signed { Two::Sdiv } else { Two::Udiv };
        let zero_hi = !signed && self.constant(hi) == Some(0);
        let sign_hi = signed && self.sign_of(hi, lo, ty);
        let (rhi, n, c) = (self.r(hi), self.r(lo), self.r(by));
        let d = self.dest(i);
        if zero_hi || sign_hi || ty == Ty::I64 {
            let back = self.buf.label();
            let rare = self.rarely(i, Some(d), None, back);
            if signed {
                // 0 and -1: faults and the one quotient that does not fit.
                self.wo(Imm12::new(1).map(|imm| int::arith_imm(int::Arith::Add, size, S0, c, imm)));
                self.w(int::lsr_imm(size, S0, S0, 1));
                self.w_to(branch::cbz(false, size, S0), rare, Field::Arm19);
                if !sign_hi {
                    self.w(int::logic(Logic::Eor, size, S0, rhi, n, Shift::Asr, size.bits() - 1));
                    self.w_to(branch::cbz(true, size, S0), rare, Field::Arm19);
                }
            } else {
                self.w_to(branch::cbz(false, size, c), rare, Field::Arm19);
                if !zero_hi {
                    self.w_to(branch::cbz(true, size, rhi), rare, Field::Arm19);
                }
            }
            if rem {
                self.w(int::two(div, size, S0, n, c));
                self.w(int::three(Three::Msub, size, d, S0, c, n));
            } else {
                self.w(int::two(div, size, d, n, c));
            }
            self.buf.bind(back);
            return self.result(i, d, bits);
        }
        // 64 by 32 bits in a 64-bit division: faults when the quotient has more than 32 bits.
        let fault = self.deopt();
        self.w(int::logic(Logic::Orr, Sz::W, S0, ZR, n, Shift::Lsl, 0));
        self.w(int::bfi(Sz::X, S0, rhi, 32, 32));
        self.w(if signed { int::sbfx(Sz::X, S1, c, 0, 32) } else { int::ubfx(Sz::X, S1, c, 0, 32) });
        self.w_to(branch::cbz(false, Sz::X, S1), fault, Field::Arm19);
        let q = self.scratch();
        self.w(int::two(div, Sz::X, q, S0, S1));
        let check = self.scratch();
        if signed {
            self.w(int::sbfx(Sz::X, check, q, 0, 32));
            self.w(int::logic(Logic::Eor, Sz::X, check, check, q, Shift::Lsl, 0));
        } else {
            self.w(int::lsr_imm(Sz::X, check, q, 32));
        }
        self.w_to(branch::cbz(true, Sz::X, check), fault, Field::Arm19);
        if rem {
            self.w(int::three(Three::Msub, Sz::W, d, q, S1, S0));
        } else {
            self.w(int::logic(Logic::Orr, Sz::W, d, ZR, q, Shift::Lsl, 0));
        }
        self.result(i, d, 32);
    }
}
