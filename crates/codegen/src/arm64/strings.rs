//! Comparison of strings: pcmpestri and its family (SDM vol. 2, section 4.1).
//!
//! Elements are compared as vectors. What comes out is a mask of 64 bits in a general register, 4 for a byte and 8 for a word, and so are the
//! elements behind the ends of the strings: with implicit lengths everything from the lowest bit of the mask of zeros on. The index is a count of
//! zeros in it. The flags follow the index or mask of the same comparison and are made with it, as an image.

use super::Emit;
use super::regs::{S0, S1, S2, VS0, VS1, VS2};
use demotic_asm::arm64::int::{self, Arith, Logic, One};
use demotic_asm::arm64::mem::literal_q;
use demotic_asm::arm64::simd::{self, Across, Bits, Lane, Misc, Permute, Same, ShiftRight};
use demotic_asm::arm64::{LogicImm, Reg, Shift, Sz, V, ZR, float};
use demotic_asm::buffer::Field;
use demotic_ir::block::Val;
use demotic_ir::ops::Op;
use demotic_ir::state::eflags::{CF, OF, SF, ZF};

/// Bits of a comparison's immediate.
mod bit {
    pub const WORDS: u64 = 1;
    pub const SIGNED: u64 = 2;
    pub const LAST: u64 = 0x40;
    pub const IMPLICIT: u64 = 0x100;
}

fn logic(op: Logic, d: Reg, n: Reg, m: Reg) -> u32 {
    int::logic(op, Sz::X, d, n, m, Shift::Lsl, 0)
}

impl Emit<'_> {
    /// S0: not zero when two vectors have common bits, or b has some that a does not have.
    pub(super) fn common_bits(&mut self, a: Val, b: Val, without: bool) {
        let same = a == b && !without;
        let (a, b) = (self.vr(a), self.vr(b));
        let n = if same { a } else { VS0 };
        if !same {
            self.w(simd::bits(if without { Bits::Bic } else { Bits::And }, true, VS0, b, a));
        }
        self.w(simd::same(Same::Umaxp, true, Lane::S, VS0, n, n));
        self.w(float::fmov_to(Sz::X, S0, VS0));
    }

    /// ptest: its flags as an image.
    pub(super) fn vector_test(&mut self, i: usize) {
        let inst = self.block.insts[i];
        let d = self.scratch();
        let need = self.an[i].need;
        self.w(int::movz(Sz::W, d, 0, 0));
        for flag in [ZF, CF].into_iter().filter(|flag| need & flag != 0) {
            self.common_bits(inst.args[0], inst.args[1], flag == CF);
            // 64 is the count for none.
            self.w(int::one(One::Clz, Sz::X, S0, S0));
            self.w(int::lsr_imm(Sz::X, S0, S0, 6));
            self.w(int::logic(Logic::Orr, Sz::X, d, d, S0, Shift::Lsl, flag.trailing_zeros()));
        }
        self.result(i, d, 32);
    }

    /// Emits such an operation, with the flags of the same that come next.
    pub(super) fn compare_strings(&mut self, i: usize) -> bool {
        let inst = self.block.insts[i];
        if !matches!(inst.op, Op::VStrI | Op::VStrM | Op::VStrF) {
            return false;
        }
        let twin = |t: usize| {
            let next = self.block.insts.get(t)?;
            (next.op == Op::VStrF && next.args == inst.args && next.imm == inst.imm && self.an[t].live).then_some(t)
        };
        let flags = if inst.op == Op::VStrF { Some(i) } else { twin(i + 1) };
        let need = flags.map_or(0, |f| self.an[f].need);
        let imm = inst.imm;
        let lane = if imm & bit::WORDS != 0 { Lane::H } else { Lane::B };
        let (a, b) = (self.vr(inst.args[0]), self.vr(inst.args[1]));
        let (x, y) = match imm & bit::IMPLICIT {
            0 => (Some(self.r(inst.args[2])), Some(self.r(inst.args[3]))),
            _ => (None, None),
        };
        let (image, t) = (flags.map(|_| self.scratch()), self.scratch());
        // Behind the first difference or the strings' common end nothing matters when the first difference is asked for.
        let first = imm & 0x17c == 0x118 && inst.op != Op::VStrM && need & OF == 0;
        if first {
            self.first_difference(a, b, lane);
        } else {
            self.matches(imm, lane, [a, b], [x, y], t);
        }
        if imm & bit::LAST == 0 {
            self.w(int::one(One::Rbit, Sz::X, t, S0));
            self.w(int::one(One::Clz, Sz::X, t, t));
        } else {
            self.w(int::one(One::Clz, Sz::X, t, S0));
        }
        if let Some(image) = image {
            self.flags_of_strings(image, need, t, first.then_some([a, b]), lane);
        }
        match inst.op {
            Op::VStrI => {
                let d = self.dest(i);
                self.index_of_match(d, t, imm, lane);
                self.result(i, d, 5);
            }
            Op::VStrM => {
                let d = self.vdest(i);
                self.mask_of_matches(d, imm, lane);
                self.vresult(i, d);
            }
            _ => {}
        }
        if let (Some(f), Some(image)) = (flags, image) {
            if self.an[f].end() > f {
                self.result(f, image, 32);
            }
            self.done[f] = true;
        }
        true
    }

    /// S0: the mask of a vector whose lanes are all ones or zero.
    fn mask_to(&mut self, d: Reg, n: V) {
        self.wo(simd::shrn(false, Lane::B, VS0, n, 4));
        self.w(float::fmov_to(Sz::X, d, VS0));
    }

    /// S0: where implicit strings differ, up to the end of the first, for their first difference.
    fn first_difference(&mut self, a: V, b: V, l: Lane) {
        self.w(simd::same(Same::Cmeq, true, l, VS0, a, b));
        self.mask_to(S0, VS0);
        self.w(simd::misc(Misc::Cmeq0, true, l, VS0, a));
        self.mask_to(S1, VS0);
        // From its lowest bit down; all of them when there is none.
        self.wo(demotic_asm::arm64::Imm12::new(1).map(|one| int::arith_imm(Arith::Sub, Sz::X, S2, S1, one)));
        self.w(logic(Logic::Eor, S2, S2, S1));
        self.w(logic(Logic::Bic, S0, S2, S0));
    }

    /// S0: the result's mask. S1, S2: what is behind the ends of the strings. `t` is free.
    fn matches(&mut self, imm: u64, l: Lane, [a, b]: [V; 2], [x, y]: [Option<Reg>; 2], t: Reg) {
        let how = imm >> 2 & 3;
        let numbers = self.vscratch();
        if how != 2 || x.is_some() {
            let list: [u64; 2] = match l {
                Lane::B => [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908],
                _ => [0x0003_0002_0001_0000, 0x0007_0006_0005_0004],
            };
            let label = self.vector_literal(list);
            self.w_to(literal_q(numbers), label, Field::Arm19);
        }
        let valid_a = self.ends(a, x, l, [S1, t], numbers, how != 2);
        let valid_b = self.ends(b, y, l, [S2, t], numbers, how == 3);
        match (how, valid_a, valid_b) {
            (0, Some(va), _) => self.any(va, a, b, l),
            (1, Some(va), _) => self.ranges(va, a, b, l, imm & bit::SIGNED != 0),
            (3, Some(va), Some(vb)) => self.ordered(va, vb, a, b, l),
            _ => {
                self.w(simd::same(Same::Cmeq, true, l, VS0, a, b));
                self.mask_to(S0, VS0);
                // Equal where both are valid, or neither.
                self.w(logic(Logic::Orr, t, S1, S2));
                self.w(logic(Logic::Bic, S0, S0, t));
                self.w(logic(Logic::And, t, S1, S2));
                self.w(logic(Logic::Orr, S0, S0, t));
            }
        }
        if how < 2 {
            self.w(logic(Logic::Bic, S0, S0, S2));
        }
        match imm >> 4 & 3 {
            1 => self.w(logic(Logic::Orn, S0, ZR, S0)),
            3 => self.w(logic(Logic::Eon, S0, S0, S2)),
            _ => {}
        }
    }

    /// The elements of a string behind its end as a mask in `d`, and those before as a vector. `t` is free.
    fn ends(&mut self, n: V, length: Option<Reg>, l: Lane, [d, t]: [Reg; 2], numbers: V, vector: bool) -> Option<V> {
        let valid = (vector || length.is_some()).then(|| self.vscratch());
        match (length, valid) {
            (Some(length), Some(valid)) => {
                // The absolute value, as far as a lane can hold it.
                self.w(float::fmov_from(Sz::X, valid, length));
                self.w(simd::misc(Misc::Abs, true, Lane::D, valid, valid));
                self.w(simd::misc(Misc::Uqxtn, false, Lane::S, valid, valid));
                self.w(simd::misc(Misc::Uqxtn, false, Lane::H, valid, valid));
                if l == Lane::B {
                    self.w(simd::misc(Misc::Uqxtn, false, Lane::B, valid, valid));
                }
                self.w(simd::dup(true, l, valid, valid, 0));
                self.w(simd::same(Same::Cmhi, true, l, valid, valid, numbers));
                self.mask_to(d, valid);
                self.w(logic(Logic::Orn, d, ZR, d));
            }
            (_, valid) => {
                self.w(simd::misc(Misc::Cmeq0, true, l, VS0, n));
                self.mask_to(d, VS0);
                if let Some(valid) = valid {
                    self.w(int::one(One::Rbit, Sz::X, t, d));
                    self.w(int::one(One::Clz, Sz::X, t, t));
                    self.w(int::lsr_imm(Sz::X, t, t, 2 + l as u32));
                    self.w(simd::dup_reg(true, l, valid, t));
                    self.w(simd::same(Same::Cmhi, true, l, valid, valid, numbers));
                }
                self.w(int::arith(Arith::Sub, Sz::X, t, ZR, d, Shift::Lsl, 0));
                self.w(logic(Logic::Orr, d, d, t));
            }
        }
        valid
    }

    /// S0: elements of b that are equal to any of a. Those of a that do not count look like the first.
    fn any(&mut self, valid: V, a: V, b: V, l: Lane) {
        let (set, found) = (VS1, VS2);
        self.w(simd::dup(true, l, VS0, a, 0));
        self.w(simd::mov(set, valid));
        self.w(simd::bits(Bits::Bsl, true, set, a, VS0));
        for k in 0..128 / l.bits() {
            self.w(simd::dup(true, l, VS0, set, k));
            self.w(simd::same(Same::Cmeq, true, l, if k == 0 { found } else { VS0 }, VS0, b));
            if k != 0 {
                self.w(simd::bits(Bits::Orr, true, found, found, VS0));
            }
        }
        self.w(simd::dup(true, l, VS0, valid, 0));
        self.w(simd::bits(Bits::And, true, found, found, VS0));
        self.mask_to(S0, found);
    }

    /// S0: elements of b in any of the ranges that pairs of a are. Pairs that do not count look like the first.
    fn ranges(&mut self, valid: V, a: V, b: V, l: Lane, signed: bool) {
        let pair = if l == Lane::B { Lane::H } else { Lane::S };
        let compare = if signed { Same::Cmge } else { Same::Cmhs };
        let (set, found, t) = (VS1, VS2, self.vscratch());
        // A pair counts when its second element does.
        self.wo(simd::shift_right(ShiftRight::Sshr, true, pair, set, valid, pair.bits() - 1));
        self.w(simd::dup(true, pair, VS0, a, 0));
        self.w(simd::bits(Bits::Bsl, true, set, a, VS0));
        for k in 0..128 / pair.bits() {
            self.w(simd::dup(true, l, VS0, set, 2 * k));
            self.w(simd::same(compare, true, l, VS0, b, VS0));
            self.w(simd::dup(true, l, t, set, 2 * k + 1));
            self.w(simd::same(compare, true, l, t, t, b));
            let to = if k == 0 { found } else { VS0 };
            self.w(simd::bits(Bits::And, true, to, VS0, t));
            if k != 0 {
                self.w(simd::bits(Bits::Orr, true, found, found, VS0));
            }
        }
        self.w(simd::dup(true, l, VS0, valid, 1));
        self.w(simd::bits(Bits::And, true, found, found, VS0));
        self.mask_to(S0, found);
    }

    /// S0: where in b the string a begins, as far as b goes.
    fn ordered(&mut self, valid_a: V, valid_b: V, a: V, b: V, l: Lane) {
        let (found, behind, ones) = (VS2, self.vscratch(), self.vscratch());
        self.w(simd::movi_b(ones, 0xff));
        self.w(simd::misc(Misc::Not, true, Lane::B, behind, valid_a));
        for k in 0..128 / l.bits() {
            self.w(simd::dup(true, l, VS0, a, k));
            self.w(simd::same(Same::Cmeq, true, l, VS0, VS0, b));
            self.w(simd::bits(Bits::And, true, VS0, VS0, valid_b));
            // What is behind the register counts as equal.
            if k != 0 {
                self.w(simd::ext(VS0, VS0, ones, k * l.bits() / 8));
            }
            self.w(simd::dup(true, l, VS1, behind, k));
            self.w(simd::bits(Bits::Orr, true, if k == 0 { found } else { VS0 }, VS0, VS1));
            if k != 0 {
                self.w(simd::bits(Bits::And, true, found, found, VS0));
            }
        }
        self.mask_to(S0, found);
    }

    /// The image of the flags: `count` is 64 when nothing was found. `strings`: S1 and S2 do not say where they end.
    fn flags_of_strings(&mut self, image: Reg, need: u32, count: Reg, strings: Option<[V; 2]>, l: Lane) {
        self.w(int::lsr_imm(Sz::X, image, count, 6));
        self.wo(LogicImm::new(Sz::X, 1).and_then(|one| int::logic_imm(Logic::Eor, Sz::X, image, image, one)));
        const { assert!(CF == 1) };
        for (n, flag, d) in [(1, ZF, S2), (0, SF, S1)] {
            if need & flag == 0 {
                continue;
            }
            let mut up = flag.trailing_zeros();
            match strings {
                Some(strings) => {
                    self.w(simd::misc(Misc::Cmeq0, true, l, VS0, strings[n]));
                    self.w(simd::across(Across::Umaxv, true, Lane::B, VS0, VS0));
                    self.w(simd::umov(Lane::B, d, VS0, 0));
                    self.wo(LogicImm::new(Sz::X, u64::from(flag))
                        .and_then(|flag| int::logic_imm(Logic::And, Sz::X, d, d, flag)));
                    up = 0;
                }
                // A string that fills the register leaves the highest element valid.
                None => self.w(int::lsr_imm(Sz::X, d, d, 63)),
            }
            self.w(int::logic(Logic::Orr, Sz::X, image, image, d, Shift::Lsl, up));
        }
        if need & OF != 0 {
            // Not S0, which the mask still needs.
            self.wo(LogicImm::new(Sz::X, 1).and_then(|one| int::logic_imm(Logic::And, Sz::X, S2, S0, one)));
            self.w(int::logic(Logic::Orr, Sz::X, image, image, S2, Shift::Lsl, OF.trailing_zeros()));
        }
    }

    fn index_of_match(&mut self, d: Reg, count: Reg, imm: u64, l: Lane) {
        let (n, by) = (128 / l.bits(), 2 + l as u32);
        if imm & bit::LAST == 0 {
            return self.w(int::lsr_imm(Sz::X, d, count, by));
        }
        // n - 1 - count / 4; one more than n more when there is none.
        self.w(int::movz(Sz::W, S0, n as u16 - 1, 0));
        self.w(int::arith(Arith::Sub, Sz::X, S0, S0, count, Shift::Lsr, by));
        self.w(int::lsr_imm(Sz::X, S1, count, 6));
        self.w(int::arith(Arith::Add, Sz::X, S0, S0, S1, Shift::Lsl, n.trailing_zeros()));
        self.w(int::arith(Arith::Add, Sz::X, d, S0, S1, Shift::Lsl, 0));
    }

    fn mask_of_matches(&mut self, d: V, imm: u64, l: Lane) {
        self.w(float::fmov_from(Sz::X, VS0, S0));
        self.w(simd::permute(Permute::Zip1, true, Lane::B, VS0, VS0, VS0));
        if l == Lane::B {
            let label = self.vector_literal([0xf00f_f00f_f00f_f00f; 2]);
            self.w_to(literal_q(VS1), label, Field::Arm19);
            self.w(simd::same(Same::Cmtst, true, Lane::B, VS0, VS0, VS1));
        }
        if imm & bit::LAST != 0 {
            return self.w(simd::mov(d, VS0));
        }
        let weights = match l {
            Lane::B => [0x8040_2010_0804_0201; 2],
            _ => [0x0008_0004_0002_0001, 0x0080_0040_0020_0010],
        };
        let label = self.vector_literal(weights);
        self.w_to(literal_q(VS1), label, Field::Arm19);
        self.w(simd::bits(Bits::And, true, VS0, VS0, VS1));
        for _ in 0..3 {
            self.w(simd::same(Same::Addp, true, l, VS0, VS0, VS0));
        }
        // Sums of bytes: one for each half. Of words: one.
        self.w(simd::dup_scalar(Lane::H, d, VS0, 0));
    }
}
