//! AES, carry-less products, SHA and CRC-32C, where the processor has them. Message steps of SHA-1 need no more than vectors.
//!
//! AArch64 takes the state of SHA with its first word in the lowest lane, x86 in the highest. AES rounds add the key at the other end: with a key
//! of zeros in front the rest is the same. Four rounds of SHA-256 leave in two words of each half what two rounds make: the later two do not touch
//! them.

use super::Emit;
use super::regs::{VS0, VS1, VS2};
use demotic_asm::arm64::int;
use demotic_asm::arm64::mem::literal_q;
use demotic_asm::arm64::simd::{
    self, Bits, Crypto2, Crypto3, Lane, Misc, Permute, Same, ShiftLeft, ShiftRight, crypto2, crypto3,
};
use demotic_asm::arm64::{Reg, V};
use demotic_asm::buffer::Field;
use demotic_ir::ops::{AesFn, Op, ShaFn};

impl Emit<'_> {
    /// Emits such an operation; false when the processor has no instruction for it.
    pub(super) fn crypto_op(&mut self, i: usize) -> bool {
        let inst = self.block.insts[i];
        let features = self.request.target.features;
        match inst.op {
            Op::Crc32 if features.crc => {
                let (crc, data) = (self.r(inst.args[0]), self.r(inst.args[1]));
                let d: Reg = self.dest(i);
                // Only as many bits of the data as count are looked at.
                self.w(int::crc32c(inst.ty.bits().ilog2() - 3, d, crc, data));
                self.result(i, d, 32);
                true
            }
            Op::VClMul if features.aes => {
                let (a, b) = (self.vr(inst.args[0]), self.vr(inst.args[1]));
                let d = self.vdest(i);
                let (upper_a, upper_b) = (inst.imm & 1 != 0, inst.imm & 16 != 0);
                let mut b = b;
                if upper_a != upper_b {
                    self.w(simd::dup(true, Lane::D, VS0, b, u32::from(upper_b)));
                    b = VS0;
                }
                self.w(simd::pmull(upper_a, d, a, b));
                self.vresult(i, d);
                true
            }
            Op::VAes if features.aes => self.aes(i),
            Op::VSha => self.sha(i),
            _ => false,
        }
    }

    fn vector_constant(&mut self, d: V, words: [u32; 4]) {
        let pair = |k: usize| u64::from(words[k]) | u64::from(words[k + 1]) << 32;
        let label = self.vector_literal([pair(0), pair(2)]);
        self.w_to(literal_q(d), label, Field::Arm19);
    }

    fn aes(&mut self, i: usize) -> bool {
        let inst = self.block.insts[i];
        let Some(step) = AesFn::from_imm(inst.imm & 0xff) else { return false };
        let (a, b) = (self.vr(inst.args[0]), self.vr(inst.args[1]));
        let d = self.vdest(i);
        let round = match step {
            AesFn::Enc => Some((Crypto2::Aese, Some(Crypto2::Aesmc))),
            AesFn::EncLast => Some((Crypto2::Aese, None)),
            AesFn::Dec => Some((Crypto2::Aesd, Some(Crypto2::Aesimc))),
            AesFn::DecLast => Some((Crypto2::Aesd, None)),
            _ => None,
        };
        if let Some((substitute, mix)) = round {
            self.w(simd::movi_b(VS0, 0));
            self.w(crypto2(substitute, VS0, a));
            if let Some(mix) = mix {
                self.w(crypto2(mix, VS0, VS0));
            }
            self.w(simd::bits(Bits::Eor, true, d, VS0, b));
        } else if step == AesFn::InverseMixColumns {
            self.w(crypto2(Crypto2::Aesimc, d, b));
        } else {
            // Words 1 and 3 through the table; rows are shifted on the way, so byte r of word w comes from column w - r.
            self.w(simd::movi_b(VS0, 0));
            self.w(crypto2(Crypto2::Aese, VS0, b));
            let from = |word: u32, byte: u32| ((word + 4 - byte) % 4 * 4 + byte) << (8 * byte);
            let straight = |word: u32| (0..4).map(|r| from(word, r)).sum::<u32>();
            let rotated = |word: u32| straight(word).rotate_right(8);
            self.vector_constant(VS1, [straight(1), rotated(1), straight(3), rotated(3)]);
            self.w(simd::tbl(false, VS0, VS0, 0, VS1));
            let constant = (inst.imm >> 8 & 0xff) as u32;
            if constant == 0 {
                self.w(simd::mov(d, VS0));
            } else {
                self.vector_constant(VS1, [0, constant, 0, constant]);
                self.w(simd::bits(Bits::Eor, true, d, VS0, VS1));
            }
        }
        self.vresult(i, d);
        true
    }

    /// `d = n` with its lanes in the opposite order.
    fn turn(&mut self, d: V, n: V) {
        self.w(simd::misc(Misc::Rev64, true, Lane::S, d, n));
        self.w(simd::ext(d, d, d, 8));
    }

    fn sha(&mut self, i: usize) -> bool {
        let inst = self.block.insts[i];
        let Some(step) = ShaFn::from_imm(inst.imm & 0xff) else { return false };
        if !self.request.target.features.sha && !matches!(step, ShaFn::Sha1NextE | ShaFn::Sha1Msg1 | ShaFn::Sha1Msg2) {
            return false;
        }
        let (a, b, c) = (self.vr(inst.args[0]), self.vr(inst.args[1]), self.vr(inst.args[2]));
        let d = self.vdest(i);
        let add = |d, n, m| simd::same(Same::Add, true, Lane::S, d, n, m);
        let eor = |d, n, m| simd::bits(Bits::Eor, true, d, n, m);
        match step {
            ShaFn::Sha1Rnds4 => {
                let (op, constant) = match inst.imm >> 8 & 3 {
                    0 => (Crypto3::Sha1c, 0x5a82_7999),
                    1 => (Crypto3::Sha1p, 0x6ed9_eba1),
                    2 => (Crypto3::Sha1m, 0x8f1b_bcdc),
                    _ => (Crypto3::Sha1p, 0xca62_c1d6),
                };
                // The first word has the fifth variable in it already.
                self.turn(VS0, b);
                self.vector_constant(VS1, [constant; 4]);
                self.w(add(VS0, VS0, VS1));
                self.turn(VS2, a);
                self.w(simd::movi_b(VS1, 0));
                self.w(crypto3(op, VS2, VS1, VS0));
                // The register may be the operand's, which counts until the last instruction.
                self.w(simd::misc(Misc::Rev64, true, Lane::S, VS2, VS2));
                self.w(simd::ext(d, VS2, VS2, 8));
            }
            ShaFn::Sha1NextE => {
                self.w(simd::movi_b(VS1, 0));
                self.wo(simd::shift_left(ShiftLeft::Shl, true, Lane::S, VS0, a, 30));
                self.wo(simd::shift_right(ShiftRight::Usra, true, Lane::S, VS0, a, 2));
                // Its highest word, alone.
                self.w(simd::ins(Lane::S, VS1, 3, VS0, 3));
                self.w(add(d, b, VS1));
            }
            ShaFn::Sha1Msg1 => {
                self.w(simd::ext(VS0, b, a, 8));
                self.w(eor(d, VS0, a));
            }
            ShaFn::Sha1Msg2 => {
                let rotate = |me: &mut Self, d: V, n: V| {
                    me.wo(simd::shift_left(ShiftLeft::Shl, true, Lane::S, d, n, 1));
                    me.wo(simd::shift_right(ShiftRight::Usra, true, Lane::S, d, n, 31));
                };
                self.w(simd::movi_b(VS2, 0));
                // Lanes 1 to 3 have what comes before them in b.
                self.w(simd::ext(VS0, VS2, b, 12));
                self.w(eor(VS0, VS0, a));
                rotate(self, VS1, VS0);
                // The lowest word takes in the highest of the result, too.
                self.w(simd::ins(Lane::S, VS2, 0, VS1, 3));
                self.w(eor(VS0, VS0, VS2));
                rotate(self, VS1, VS0);
                self.w(simd::mov(d, VS1));
            }
            ShaFn::Sha256Rnds2 => {
                let pairs = |upper: bool, d: V, n: V, m: V| {
                    simd::permute(if upper { Permute::Zip2 } else { Permute::Zip1 }, true, Lane::D, d, n, m)
                };
                self.w(simd::misc(Misc::Rev64, true, Lane::S, VS0, b));
                self.w(simd::misc(Misc::Rev64, true, Lane::S, VS1, a));
                let t = self.vscratch();
                self.w(pairs(true, VS2, VS0, VS1));
                self.w(pairs(false, VS0, VS0, VS1));
                self.w(simd::mov(t, VS2));
                self.w(crypto3(Crypto3::Sha256h, VS2, VS0, c));
                self.w(crypto3(Crypto3::Sha256h2, VS0, t, c));
                self.w(pairs(true, VS0, VS0, VS2));
                self.w(simd::misc(Misc::Rev64, true, Lane::S, d, VS0));
            }
            ShaFn::Sha256Msg1 => {
                self.w(simd::mov(VS0, a));
                self.w(crypto2(Crypto2::Sha256su0, VS0, b));
                self.w(simd::mov(d, VS0));
            }
            ShaFn::Sha256Msg2 => {
                self.w(simd::movi_b(VS0, 0));
                self.w(simd::mov(VS1, b));
                self.w(simd::ins(Lane::S, VS1, 0, VS0, 0));
                self.w(simd::mov(VS2, a));
                self.w(crypto3(Crypto3::Sha256su1, VS2, VS0, VS1));
                self.w(simd::mov(d, VS2));
            }
        }
        self.vresult(i, d);
        true
    }
}
