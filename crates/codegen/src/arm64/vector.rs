//! Vectors of integers.
//!
//! A result that takes several instructions is built in a scratch register when its register is also an operand's; else where it
//! belongs.

use super::Emit;
use super::flags::sz;
use super::regs::{S0, S1, VS0, VS1, VS2, W};
use demotic_asm::arm64::int::Logic;
use demotic_asm::arm64::mem::literal_q;
use demotic_asm::arm64::simd::{self, Bits, Lane, Long, Misc, Permute, Same, ShiftLeft, ShiftRight};
use demotic_asm::arm64::{Shift, Sz, V, float, int, v};
use demotic_asm::buffer::Field;
use demotic_ir::ops::Op;
use demotic_ir::ty::Ty;

/// Lane of an integer type.
pub(super) fn lane(ty: Ty) -> Option<Lane> {
    Some(match ty {
        Ty::I8 => Lane::B,
        Ty::I16 => Lane::H,
        Ty::I32 | Ty::F32 => Lane::S,
        Ty::I64 | Ty::F64 => Lane::D,
        _ => return None,
    })
}

impl Emit<'_> {
    /// Emits a vector operation; false when there is no code for it.
    pub(super) fn vector_op(&mut self, i: usize) -> bool {
        let inst = self.block.insts[i];
        let wide = lane(inst.ty);
        let same = |op: Same| wide.map(|l| (op, l));
        let narrow = |op: Same| wide.filter(|l| *l != Lane::D).map(|l| (op, l));
        let simple = match inst.op {
            Op::VAdd => same(Same::Add),
            Op::VSub => same(Same::Sub),
            Op::VAddSS => same(Same::Sqadd),
            Op::VAddUS => same(Same::Uqadd),
            Op::VSubSS => same(Same::Sqsub),
            Op::VSubUS => same(Same::Uqsub),
            Op::VMulLo => narrow(Same::Mul),
            Op::VAvgU => narrow(Same::Urhadd),
            Op::VMinU => narrow(Same::Umin),
            Op::VMaxU => narrow(Same::Umax),
            Op::VMinS => narrow(Same::Smin),
            Op::VMaxS => narrow(Same::Smax),
            Op::VCmpEq => same(Same::Cmeq),
            Op::VCmpGtS => same(Same::Cmgt),
            _ => None,
        };
        if let Some((op, l)) = simple {
            let (a, b) = (self.vr(inst.args[0]), self.vr(inst.args[1]));
            let d = self.vdest(i);
            self.w(simd::same(op, true, l, d, a, b));
            self.vresult(i, d);
            return true;
        }
        match inst.op {
            Op::VAnd | Op::VAndN | Op::VOr | Op::VXor => self.vector_bits(i),
            Op::VZext => self.vector_from(i),
            Op::VExt => {
                let Some(l) = wide else { return false };
                let a = self.vr(inst.args[0]);
                let d = self.dest(i);
                self.w(simd::umov(l, d, a, inst.imm as u32 & (128 / l.bits() - 1)));
                self.result(i, d, l.bits() as u8);
            }
            Op::VIns => {
                let Some(l) = wide else { return false };
                let (a, r) = (self.vr(inst.args[0]), self.r(inst.args[1]));
                let d = self.vdest(i);
                let k = inst.imm as u32 & (128 / l.bits() - 1);
                if d != a {
                    self.w(simd::mov(d, a));
                }
                self.w(simd::ins_reg(l, d, k, r));
                self.vresult(i, d);
            }
            Op::VLow => {
                let a = self.vr(inst.args[0]);
                let d = self.vdest(i);
                self.w(float::one(float::One::Fmov, float::Fmt::D, d, a));
                self.vresult(i, d);
            }
            Op::VZipLo | Op::VZipHi => {
                let Some(l) = wide else { return false };
                let op = if inst.op == Op::VZipLo { Permute::Zip1 } else { Permute::Zip2 };
                let (a, b) = (self.vr(inst.args[0]), self.vr(inst.args[1]));
                let d = self.vdest(i);
                self.w(simd::permute(op, true, l, d, a, b));
                self.vresult(i, d);
            }
            Op::VMulHiS | Op::VMulHiU if inst.ty == Ty::I16 => {
                let op = if inst.op == Op::VMulHiS { Long::Smull } else { Long::Umull };
                let (a, b) = (self.vr(inst.args[0]), self.vr(inst.args[1]));
                let d = self.vdest(i);
                self.w(simd::long(op, false, Lane::H, VS0, a, b));
                if self.low_half_only(i) {
                    self.wo(simd::shrn(false, Lane::H, d, VS0, 16));
                    self.vresult(i, d);
                    return true;
                }
                self.w(simd::long(op, true, Lane::H, VS1, a, b));
                self.w(simd::permute(Permute::Uzp2, true, Lane::H, d, VS0, VS1));
                self.vresult(i, d);
            }
            Op::VMulEvenU => {
                let (a, b) = (self.vr(inst.args[0]), self.vr(inst.args[1]));
                let d = self.vdest(i);
                if self.low_half_only(i) {
                    self.w(simd::long(Long::Umull, false, Lane::S, d, a, b));
                    self.vresult(i, d);
                    return true;
                }
                self.w(simd::misc(Misc::Xtn, false, Lane::S, VS0, a));
                self.w(simd::misc(Misc::Xtn, false, Lane::S, VS1, b));
                self.w(simd::long(Long::Umull, false, Lane::S, d, VS0, VS1));
                self.vresult(i, d);
            }
            Op::VMulAddS => {
                let (a, b) = (self.vr(inst.args[0]), self.vr(inst.args[1]));
                let d = self.vdest(i);
                self.w(simd::long(Long::Smull, false, Lane::H, VS0, a, b));
                let upper = if self.low_half_only(i) { VS0 } else { VS1 };
                if upper == VS1 {
                    self.w(simd::long(Long::Smull, true, Lane::H, VS1, a, b));
                }
                self.w(simd::same(Same::Addp, true, Lane::S, d, VS0, upper));
                self.vresult(i, d);
            }
            Op::VSad => {
                let (a, b) = (self.vr(inst.args[0]), self.vr(inst.args[1]));
                let d = self.vdest(i);
                self.w(simd::same(Same::Uabd, true, Lane::B, VS0, a, b));
                self.w(simd::misc(Misc::Uaddlp, true, Lane::B, VS0, VS0));
                self.w(simd::misc(Misc::Uaddlp, true, Lane::H, VS0, VS0));
                self.w(simd::misc(Misc::Uaddlp, true, Lane::S, d, VS0));
                self.vresult(i, d);
            }
            Op::VShl | Op::VShr | Op::VSar => return self.vector_shift(i),
            Op::VShlB | Op::VShrB => self.byte_shift(i),
            Op::VPackSS | Op::VPackUS => {
                let to = match inst.ty {
                    Ty::I16 => Lane::B,
                    Ty::I32 => Lane::H,
                    _ => return false,
                };
                let op = if inst.op == Op::VPackSS { Misc::Sqxtn } else { Misc::Sqxtun };
                let (a, b) = (self.vr(inst.args[0]), self.vr(inst.args[1]));
                let d = self.vdest(i);
                if self.low_half_only(i) {
                    self.w(simd::misc(op, false, to, d, a));
                    self.vresult(i, d);
                    return true;
                }
                let t = if d == a || d == b { VS0 } else { d };
                self.w(simd::misc(op, false, to, t, a));
                self.w(simd::misc(op, true, to, t, b));
                if t != d {
                    self.w(simd::mov(d, t));
                }
                self.vresult(i, d);
            }
            Op::VShuf => return self.shuffle(i),
            Op::VMovMsk => return self.sign_mask(i),
            Op::VTest => self.vector_test(i),
            Op::VShlV | Op::VShrV | Op::VSarV => return self.shift_lanes(i),
            Op::VPerm => return self.permute_lanes(i),
            _ => return self.newer_vector_op(i),
        }
        true
    }

    fn vector_bits(&mut self, i: usize) {
        let inst = self.block.insts[i];
        if inst.op == Op::VXor && inst.args[0] == inst.args[1] {
            let d = self.vdest(i);
            self.w(simd::movi_b(d, 0));
            return self.vresult(i, d);
        }
        let (a, b) = (self.vr(inst.args[0]), self.vr(inst.args[1]));
        let d = self.vdest(i);
        self.w(match inst.op {
            Op::VAnd => simd::bits(Bits::And, true, d, a, b),
            Op::VAndN => simd::bits(Bits::Bic, true, d, b, a),
            Op::VOr => simd::bits(Bits::Orr, true, d, a, b),
            _ => simd::bits(Bits::Eor, true, d, a, b),
        });
        self.vresult(i, d);
    }

    fn vector_from(&mut self, i: usize) {
        let inst = self.block.insts[i];
        let from = inst.args[0];
        // A load went to a vector register already.
        let at = self.books.loc[from.index()];
        if let W::V(_) | W::Home(16..) = at {
            let home = self.an[i].into;
            if (home.is_none() || at == W::Home(home.unwrap_or(0))) && self.share(i, from) {
                return;
            }
            let n = match at {
                W::Home(s) => v(s),
                _ => self.vr(from),
            };
            let d = self.vdest(i);
            self.w(simd::mov(d, n));
            return self.vresult(i, d);
        }
        if self.constant(from) == Some(0) {
            let d = self.vdest(i);
            self.w(simd::movi_b(d, 0));
            return self.vresult(i, d);
        }
        let size = sz(inst.ty);
        let r = if inst.ty.bits() < 32 { self.extended(from, S0, inst.ty.bits()) } else { self.r(from) };
        let d = self.vdest(i);
        self.w(float::fmov_from(size, d, r));
        self.vresult(i, d);
    }

    fn vector_shift(&mut self, i: usize) -> bool {
        let inst = self.block.insts[i];
        let Some(l) = lane(inst.ty) else { return false };
        let a = self.vr(inst.args[0]);
        if let Some(n) = self.constant(inst.args[1]) {
            let d = self.vdest(i);
            let n = n.min(u64::from(l.bits())) as u32;
            if n == 0 {
                self.w(simd::mov(d, a));
            } else if n == l.bits() && inst.op != Op::VSar {
                self.w(simd::movi_b(d, 0));
            } else {
                self.wo(match inst.op {
                    Op::VShl => simd::shift_left(ShiftLeft::Shl, true, l, d, a, n),
                    Op::VShr => simd::shift_right(ShiftRight::Ushr, true, l, d, a, n),
                    _ => simd::shift_right(ShiftRight::Sshr, true, l, d, a, n),
                });
            }
            self.vresult(i, d);
            return true;
        }
        // The count, at most 64, in every lane: its low byte counts, as a signed number.
        let lane0 = self.block.insts[inst.args[1].index()];
        let n = if lane0.op == Op::VExt && self.an[inst.args[1].index()].lazy {
            self.vr(lane0.args[0])
        } else {
            let n = self.r(inst.args[1]);
            self.w(float::fmov_from(Sz::X, VS0, n));
            VS0
        };
        let d = self.vdest(i);
        self.w(simd::misc(Misc::Uqxtn, false, Lane::S, VS0, n));
        self.w(simd::movi_s(false, VS1, 64, 0));
        self.w(simd::same(Same::Umin, false, Lane::S, VS0, VS0, VS1));
        self.w(simd::dup(true, l, VS0, VS0, 0));
        if inst.op != Op::VShl {
            self.w(simd::misc(Misc::Neg, true, l, VS0, VS0));
        }
        let op = if inst.op == Op::VSar { Same::Sshl } else { Same::Ushl };
        self.w(simd::same(op, true, l, d, a, VS0));
        self.vresult(i, d);
        true
    }

    fn byte_shift(&mut self, i: usize) {
        let inst = self.block.insts[i];
        let a = self.vr(inst.args[0]);
        let d = self.vdest(i);
        let n = inst.imm.min(16) as u32;
        match n {
            0 => self.w(simd::mov(d, a)),
            16 => self.w(simd::movi_b(d, 0)),
            _ => {
                self.w(simd::movi_b(VS0, 0));
                self.w(match inst.op {
                    Op::VShlB => simd::ext(d, VS0, a, 16 - n),
                    _ => simd::ext(d, a, VS0, n),
                });
            }
        }
        self.vresult(i, d);
    }

    /// Lanes picked from two vectors: one instruction for the patterns that have one, else a table lookup.
    fn shuffle(&mut self, i: usize) -> bool {
        let inst = self.block.insts[i];
        let Some(l) = lane(inst.ty) else { return false };
        let n = 128 / l.bits();
        let (a, b) = (self.vr(inst.args[0]), self.vr(inst.args[1]));
        let twice = inst.args[0] == inst.args[1];
        let pick = |k: u32| (inst.imm >> (4 * k) & 15) as u32 % (2 * n);
        let lanes: Vec<u32> = (0..n).map(|k| if twice { pick(k) % n } else { pick(k) }).collect();
        let d = self.vdest(i);
        if let Some(word) = pattern(l, d, a, b, &lanes) {
            self.w(word);
            self.vresult(i, d);
            return true;
        }
        let bytes = l.bits() / 8;
        let mut table = [0u8; 16];
        for (k, &from) in lanes.iter().enumerate() {
            for j in 0..bytes {
                table[k * bytes as usize + j as usize] = (from * bytes + j) as u8;
            }
        }
        let half = |k: usize| u64::from_le_bytes(core::array::from_fn(|j| table[8 * k + j]));
        let label = self.vector_literal([half(0), half(1)]);
        self.w_to(literal_q(VS0), label, Field::Arm19);
        if lanes.iter().all(|&k| k < n) {
            self.w(simd::tbl(false, d, a, 0, VS0));
        } else {
            self.w(simd::mov(VS2, a));
            self.w(simd::mov(VS1, b));
            self.w(simd::tbl(false, d, VS2, 1, VS0));
        }
        self.vresult(i, d);
        true
    }

    /// The sign bits of the lanes.
    fn sign_mask(&mut self, i: usize) -> bool {
        let inst = self.block.insts[i];
        let a = self.vr(inst.args[0]);
        let right = |op, l, d, n, by| simd::shift_right(op, true, l, d, n, by);
        match inst.ty {
            Ty::I8 => {
                let d = self.dest(i);
                self.wo(right(ShiftRight::Ushr, Lane::B, VS0, a, 7));
                self.wo(right(ShiftRight::Usra, Lane::H, VS0, VS0, 7));
                self.wo(right(ShiftRight::Usra, Lane::S, VS0, VS0, 14));
                self.wo(right(ShiftRight::Usra, Lane::D, VS0, VS0, 28));
                self.w(simd::ins(Lane::B, VS0, 1, VS0, 8));
                self.w(simd::umov(Lane::H, d, VS0, 0));
                self.result(i, d, 16);
            }
            Ty::I32 | Ty::F32 => {
                let d = self.dest(i);
                self.wo(right(ShiftRight::Ushr, Lane::S, VS0, a, 31));
                self.wo(right(ShiftRight::Usra, Lane::D, VS0, VS0, 31));
                self.w(simd::umov(Lane::B, S0, VS0, 0));
                self.w(simd::umov(Lane::B, S1, VS0, 8));
                self.w(int::logic(Logic::Orr, Sz::W, d, S0, S1, Shift::Lsl, 2));
                self.result(i, d, 4);
            }
            Ty::I64 | Ty::F64 => {
                let d = self.dest(i);
                self.wo(right(ShiftRight::Ushr, Lane::D, VS0, a, 63));
                self.w(simd::umov(Lane::B, S0, VS0, 0));
                self.w(simd::umov(Lane::B, S1, VS0, 8));
                self.w(int::logic(Logic::Orr, Sz::W, d, S0, S1, Shift::Lsl, 1));
                self.result(i, d, 2);
            }
            _ => return false,
        }
        true
    }
}

/// The instruction for a selection of lanes of a then b, when there is one.
fn pattern(l: Lane, d: V, a: V, b: V, lanes: &[u32]) -> Option<u32> {
    let n = lanes.len() as u32;
    if let Some(&first) = lanes.first() {
        if lanes.iter().all(|&k| k == first) {
            return Some(if first < n { simd::dup(true, l, d, a, first) } else { simd::dup(true, l, d, b, first - n) });
        }
        if lanes.iter().enumerate().all(|(k, &x)| x == k as u32) {
            return Some(simd::mov(d, a));
        }
    }
    for (x, fx) in [(a, 0), (b, n)] {
        for (y, fy) in [(a, 0), (b, n)] {
            let at = |k: u32| if k < n { fx + k } else { fy + k - n };
            for by in 1..n {
                if lanes.iter().enumerate().all(|(k, &s)| s == at(k as u32 + by)) {
                    return Some(simd::ext(d, x, y, by * l.bits() / 8));
                }
            }
            for op in [Permute::Uzp1, Permute::Uzp2, Permute::Trn1, Permute::Trn2, Permute::Zip1, Permute::Zip2] {
                let source = |k: u32| match op {
                    Permute::Uzp1 => at(2 * k),
                    Permute::Uzp2 => at(2 * k + 1),
                    Permute::Trn1 => at((k & !1) + n * (k & 1)),
                    Permute::Trn2 => at((k | 1) + n * (k & 1)),
                    Permute::Zip1 => at(k / 2 + n * (k & 1)),
                    Permute::Zip2 => at(n / 2 + k / 2 + n * (k & 1)),
                };
                if lanes.iter().enumerate().all(|(k, &s)| s == source(k as u32)) {
                    return Some(simd::permute(op, true, l, d, x, y));
                }
            }
        }
        if l != Lane::D && lanes.iter().enumerate().all(|(k, &s)| s == fx + ((k as u32) ^ (64 / l.bits() - 1))) {
            return Some(simd::misc(Misc::Rev64, true, l, d, x));
        }
    }
    None
}
