//! Vector operations that came with SSSE3 and SSE4.1: table lookup, horizontal arithmetic, widening, selection by sign.

use super::Emit;
use super::regs::{VS0, VS1, VS2};
use super::vector::lane;
use demotic_asm::arm64::V;
use demotic_asm::arm64::simd::{self, Bits, Lane, Long, Misc, Permute, Same};
use demotic_ir::ops::Op;
use demotic_ir::ty::Ty;

impl Emit<'_> {
    /// Emits such an operation; false when there is no code for it.
    pub(super) fn newer_vector_op(&mut self, i: usize) -> bool {
        let inst = self.block.insts[i];
        let Some(l) = lane(inst.ty).or(Some(Lane::B)).filter(|_| self.has_code(i)) else { return false };
        let a = self.vr(inst.args[0]);
        let b = if inst.op.arity() > 1 { self.vr(inst.args[1]) } else { a };
        let c = if inst.op.arity() > 2 { self.vr(inst.args[2]) } else { a };
        let d = self.vdest(i);
        match inst.op {
            Op::VTbl => {
                // Bit 7 makes an index too large; bits 4 to 6 do not count.
                self.w(simd::movi_b(VS0, 0x8f));
                self.w(simd::bits(Bits::And, true, VS0, b, VS0));
                self.w(simd::tbl(false, d, a, 0, VS0));
            }
            Op::VHAdd => self.w(simd::same(Same::Addp, true, l, d, a, b)),
            Op::VHAddSS => self.neighbours(Same::Sqadd, l, d, a, b),
            Op::VHSub => self.neighbours(Same::Sub, l, d, a, b),
            Op::VHSubSS => self.neighbours(Same::Sqsub, l, d, a, b),
            Op::VMulAddUS => {
                // Products of an unsigned and a signed byte fit 16 bits.
                for (upper, to) in [(false, VS0), (true, VS1)] {
                    self.wo(simd::shll(true, upper, Lane::B, to, a, 0));
                    self.wo(simd::shll(false, upper, Lane::B, VS2, b, 0));
                    self.w(simd::same(Same::Mul, true, Lane::H, to, to, VS2));
                }
                self.neighbours(Same::Sqadd, Lane::H, d, VS0, VS1);
            }
            Op::VMulHiR => {
                self.w(simd::long(Long::Smull, false, Lane::H, VS0, a, b));
                self.w(simd::long(Long::Smull, true, Lane::H, VS1, a, b));
                // An operand in this register counts until the last instruction.
                let to = if [a, b].contains(&d) { VS0 } else { d };
                self.wo(simd::rshrn(false, Lane::H, to, VS0, 15));
                self.wo(simd::rshrn(true, Lane::H, to, VS1, 15));
                if to != d {
                    self.w(simd::mov(d, to));
                }
            }
            Op::VMulEvenS => {
                self.w(simd::misc(Misc::Xtn, false, Lane::S, VS0, a));
                self.w(simd::misc(Misc::Xtn, false, Lane::S, VS1, b));
                self.w(simd::long(Long::Smull, false, Lane::S, d, VS0, VS1));
            }
            Op::VSign => {
                self.w(simd::misc(Misc::Cmlt0, true, l, VS0, b));
                self.w(simd::bits(Bits::Eor, true, VS1, a, VS0));
                self.w(simd::same(Same::Sub, true, l, VS1, VS1, VS0));
                self.w(simd::misc(Misc::Cmeq0, true, l, VS0, b));
                self.w(simd::bits(Bits::Bic, true, d, VS1, VS0));
            }
            Op::VAbs => self.w(simd::misc(Misc::Abs, true, l, d, a)),
            Op::VAlign => match inst.imm as u32 {
                0 => self.w(simd::mov(d, b)),
                n @ 1..=15 => self.w(simd::ext(d, b, a, n)),
                16 => self.w(simd::mov(d, a)),
                n @ 17..=31 => {
                    self.w(simd::movi_b(VS0, 0));
                    self.w(simd::ext(d, a, VS0, n - 16));
                }
                _ => self.w(simd::movi_b(d, 0)),
            },
            Op::VSelS => {
                self.w(simd::misc(Misc::Cmlt0, true, l, VS0, c));
                self.w(simd::bits(Bits::Bsl, true, VS0, b, a));
                self.w(simd::mov(d, VS0));
            }
            _ => {
                let unsigned = inst.op == Op::VWidenU;
                let steps = [(Lane::B, 8), (Lane::H, 16), (Lane::S, 32)];
                let mut from = a;
                for (lane, bits) in steps.into_iter().filter(|(_, bits)| *bits >= inst.imm as u32 && *bits < l.bits()) {
                    // The register may be the operand's, which counts until the last instruction.
                    let to = if 2 * bits == l.bits() { d } else { VS0 };
                    self.wo(simd::shll(unsigned, false, lane, to, from, 0));
                    from = to;
                }
            }
        }
        self.vresult(i, d);
        true
    }

    /// Whether there is code for the operation and its lane.
    fn has_code(&self, i: usize) -> bool {
        let inst = self.block.insts[i];
        match inst.op {
            Op::VTbl | Op::VMulAddUS | Op::VMulHiR | Op::VMulEvenS | Op::VAlign | Op::VSelS => true,
            Op::VWidenS | Op::VWidenU => matches!(inst.imm, 8 | 16 | 32) && u64::from(inst.ty.bits()) > inst.imm,
            Op::VHAdd | Op::VHSub | Op::VHAddSS | Op::VHSubSS | Op::VSign | Op::VAbs => {
                matches!(inst.ty, Ty::I8 | Ty::I16 | Ty::I32)
            }
            _ => false,
        }
    }

    /// Even lanes of a then b, combined with the odd ones.
    fn neighbours(&mut self, op: Same, l: Lane, d: V, a: V, b: V) {
        self.w(simd::permute(Permute::Uzp1, true, l, VS2, a, b));
        self.w(simd::permute(Permute::Uzp2, true, l, VS1, a, b));
        self.w(simd::same(op, true, l, d, VS2, VS1));
    }
}
