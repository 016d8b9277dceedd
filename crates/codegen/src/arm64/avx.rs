//! What AVX has besides SSE: two halves under one exception, fused multiplications, stores of 32 bytes, counts and indices for each lane.
//!
//! The upper half of a YMM register is in the frame. An operation on two halves ([`Op::FLo`], [`Op::FHi`], the three of a fused multiplication) is done
//! as one: both halves when the first of its operations is reached. So nobody sees the flags of one of them, and what stops in between does all of it
//! again. Arithmetic of both kinds takes part in batches ([`super::batch`]).
//!
//! Of a fused multiplication's NaN operands the host takes another one than x86, and a product of infinity and zero is invalid for it even when a NaN is
//! added. So a batch with one of them that has a NaN in a result is always done again by the interpreter, and the engine takes back what such a
//! product has raised ([`demotic_ir::interp::invalid_for_host`]).

use super::Emit;
use super::batch::{PACKED, ROOM, Result, format};
use super::regs::{S0, S1, VS0, VS1, VS2};
use super::vector::lane;
use demotic_asm::arm64::float::{self, Fmt, Three, Vec1, Vec2};
use demotic_asm::arm64::int::{self, Arith, Logic};
use demotic_asm::arm64::mem::{self, Access, Mode, Pair, literal_q};
use demotic_asm::arm64::simd::{self, Bits, Lane, Misc, Same};
use demotic_asm::arm64::{Imm12, Shift, Sz, V, branch};
use demotic_asm::buffer::Field;
use demotic_ir::block::Val;
use demotic_ir::interp::ATTR_ALIGN16;
use demotic_ir::ops::{Op, PackedCvt, WIDE};
use demotic_ir::ty::Ty;

/// Bytes of a page within which a store is done as a whole or not at all, by the bit of the address that tells two of them apart.
const PAGE_BIT: u32 = 12;

impl Emit<'_> {
    /// The operation `op` of the operands of `i`, if it comes right behind it.
    fn follows(&self, i: usize, op: Op) -> Option<usize> {
        let inst = &self.block.insts[i];
        let next = self.block.insts.get(i + 1)?;
        let same = next.op == op && next.ty == inst.ty && next.imm == inst.imm && next.args == inst.args;
        (same && self.an[i + 1].live).then_some(i + 1)
    }

    /// Arithmetic on two halves, and fused multiplications, as part of a batch. False when it is something else.
    pub(super) fn wide_later(&mut self, i: usize) -> bool {
        let inst = self.block.insts[i];
        match inst.op {
            Op::FLo => {
                let Some(&op) = WIDE.get((inst.imm >> 16) as usize) else { return false };
                let (vec2, root) = match op {
                    Op::FAdd => (Vec2::Fadd, false),
                    Op::FSub => (Vec2::Fsub, false),
                    Op::FMul => (Vec2::Fmul, false),
                    Op::FDiv => (Vec2::Fdiv, false),
                    Op::FSqrt => (Vec2::Fadd, true),
                    _ => return false,
                };
                let f = format(inst.ty);
                let [a, b, c, d] = inst.args;
                self.open(i, &[a, b, c, d]);
                let high = self.follows(i, Op::FHi);
                for (result, a, b) in [(Some(i), a, b), (high, c, d)] {
                    let (ra, rb) = (self.vr(a), self.vr(b));
                    let r = self.vscratch();
                    self.w(if root {
                        float::vec1(Vec1::Fsqrt, true, f, r, rb)
                    } else {
                        float::vec2(vec2, true, f, r, ra, rb)
                    });
                    let through: &[Val] = if root { &[b] } else { &[a, b] };
                    self.tentative_result(result, r, through, f);
                }
                true
            }
            Op::FFma if inst.imm & PACKED == 0 => self.scalar_fused(i),
            Op::FFma => {
                if self.constant(inst.args[3]) != Some(0) {
                    return false;
                }
                self.open(i, &inst.args);
                let r = self.fused_lanes(i, inst.args, Some(i), (i, [Val::NONE; 4]));
                self.tentative_result(Some(i), r, &inst.args[..3], format(inst.ty));
                self.batch.fused = true;
                true
            }
            Op::FFmaFl => {
                let low = self.block.insts.get(i + 1).copied();
                let Some(low) = low.filter(|x| {
                    x.op == Op::FFma
                        && x.args[3].index() == i
                        && x.ty == inst.ty
                        && x.imm == inst.imm
                        && x.imm & PACKED != 0
                }) else {
                    return false;
                };
                if self.an[i].uses != 1 {
                    return false;
                }
                let high = self.block.insts.get(i + 2).is_some_and(|x| {
                    x.op == Op::FFmaHi
                        && x.args == inst.args
                        && x.ty == inst.ty
                        && x.imm == inst.imm
                        && self.an[i + 2].live
                });
                self.open(i, &inst.args[..3]);
                low.args[..3].iter().for_each(|&v| self.hold(v));
                // The flags are those of both.
                self.batch.ops.push(i as u16);
                let last = if high { i + 2 } else { i + 1 };
                let halves = [(Some(i + 1), low.args, inst.args), (high.then_some(i + 2), inst.args, [Val::NONE; 4])];
                for (result, args, later) in halves {
                    let r = self.fused_lanes(i, args, result, (last, later));
                    self.tentative_result(result, r, &args[..3], format(inst.ty));
                }
                self.batch.fused = true;
                self.done[i + 1] = true;
                true
            }
            _ => false,
        }
    }

    /// Room for two results in the batch; operands stay. Putting many of them together would take more registers than there are.
    fn open(&mut self, i: usize, operands: &[Val]) {
        let apart = operands.iter().filter(|v| self.batch.low.contains_key(&v.0)).count();
        if self.room() < ROOM + 3 || apart > 1 {
            self.commit(i);
        }
        operands.iter().for_each(|&v| self.hold(v));
    }

    /// Enters a result of all lanes. Those of later operations have been done with it.
    fn tentative_result(&mut self, k: Option<usize>, r: V, through: &[Val], f: Fmt) {
        let Some(k) = k else { return };
        self.vresult(k, r);
        self.stands_for(through, f, true);
        self.batch.ops.push(k as u16);
        self.batch.results.push(Result { val: k as u16, f, packed: true });
        self.keep(Val(k as u16));
        if k != self.index {
            self.done[k] = true;
        }
    }

    /// The register of an addend that nobody needs any more but those who do the batch again, and they compute it: operation `k` may add to it, whose
    /// group ends at `last` and has `later` for other operands yet.
    fn take_over(&mut self, args: [Val; 4], k: Option<usize>, (last, later): (usize, [Val; 4])) -> Option<V> {
        let [a, b, c, _] = args;
        let k = k?;
        let end = self.batch.held.get(&c.0).copied().unwrap_or(self.an[c.index()].end());
        let low = self.batch.low.contains_key(&c.0) || self.batch.low.values().any(|l| l.1 == c);
        let other = self.batch.results.iter().any(|r| r.val == c.0 && r.f != format(self.block.insts[k].ty));
        if other || !self.batch.tentative(c) || c == a || c == b || later[..3].contains(&c) || end > last || low {
            return None;
        }
        // Writes of registers that wait for it have to be replaced before anything else happens.
        let insts = &self.block.insts;
        let replaced = |slot: u8| {
            insts[last + 1..]
                .iter()
                .zip(last + 1..)
                .take_while(|(x, _)| x.op == Op::Set && x.ty == Ty::V128)
                .any(|(x, at)| x.imm == u64::from(slot) && x.args[0].index() == k && !self.an[at].dead)
        };
        if !self.batch.sets.iter().filter(|s| s.1 == c).all(|s| replaced(s.0)) {
            return None;
        }
        self.books.give_up_vector(c)
    }

    /// All lanes of a * b + c, signs as `i` says, for operation `k`.
    fn fused_lanes(&mut self, i: usize, args: [Val; 4], k: Option<usize>, rest: (usize, [Val; 4])) -> V {
        let inst = self.block.insts[i];
        let f = format(inst.ty);
        if inst.imm & 14 == 0 {
            let [a, b] = [0, 1].map(|k| self.vr(args[k]));
            if let Some(d) = self.take_over(args, k, rest) {
                let op = if inst.imm & 1 != 0 { Vec2::Fmls } else { Vec2::Fmla };
                self.w(float::vec2(op, true, f, d, a, b));
                return d;
            }
        }
        let [a, b, c] = [0, 1, 2].map(|k| self.vr(args[k]));
        let d = self.vscratch();
        let sign = if f == Fmt::D { 1 << 63 } else { 1 << 31 };
        match inst.imm & 14 {
            0 => self.w(simd::mov(d, c)),
            2 => self.w(float::vec1(Vec1::Fneg, true, f, d, c)),
            some => {
                // Bit 2: even lanes, bit 3: odd ones.
                let (even, odd) = (some & 4 != 0, some & 8 != 0);
                let mask = match f {
                    Fmt::D => [u64::from(even) * sign, u64::from(odd) * sign],
                    Fmt::S => [(u64::from(even) * sign) | ((u64::from(odd) * sign) << 32); 2],
                };
                let label = self.vector_literal(mask);
                self.w_to(literal_q(VS0), label, Field::Arm19);
                self.w(simd::bits(Bits::Eor, true, d, c, VS0));
            }
        }
        let op = if inst.imm & 1 != 0 { Vec2::Fmls } else { Vec2::Fmla };
        self.w(float::vec2(op, true, f, d, a, b));
        d
    }

    /// A fused multiplication of lane 0, and its way into the destination.
    fn scalar_fused(&mut self, i: usize) -> bool {
        let inst = self.block.insts[i];
        let f = format(inst.ty);
        let [a, b, c, flags] = inst.args;
        let lane = if f == Fmt::D { Ty::I64 } else { Ty::I32 };
        let (Some(ext), Some(ins)) = (self.block.insts.get(i + 1).copied(), self.block.insts.get(i + 2).copied())
        else {
            return false;
        };
        let known = self.constant(flags) == Some(0)
            && (ext.op, ext.ty, ext.imm, ext.args[0]) == (Op::VExt, lane, 0, Val(i as u16))
            && (ins.op, ins.ty, ins.imm, ins.args[1]) == (Op::VIns, lane, 0, Val(i as u16 + 1))
            && self.an[i].uses == 1
            && self.an[i + 1].uses == 1
            && self.an[i + 2].live
            && !self.an[i + 1].lazy
            && !self.an[i + 2].lazy;
        let op = match inst.imm & 15 {
            0 => Three::Fmadd,
            1 => Three::Fmsub,
            2 => Three::Fnmsub,
            3 => Three::Fnmadd,
            _ => return false,
        };
        if !known {
            return false;
        }
        let rest = ins.args[0];
        self.open(i, &[a, b, c, flags, rest]);
        for val in [a, b, c, rest] {
            if self.batch.low.get(&val.0).is_some_and(|l| l.0 != f) {
                self.complete(val);
            }
        }
        let [ra, rb, rc] = [a, b, c].map(|v| self.vr_low(v));
        let d = self.vscratch();
        self.w(float::three(op, f, d, ra, rb, rc));
        let result = i as u16 + 2;
        self.vresult(i + 2, d);
        if !self.clear_above(rest, f) {
            let rest = self.batch.low.get(&rest.0).map_or(rest, |l| l.1);
            self.batch.low.insert(result, (f, rest));
            self.keep(rest);
        }
        self.stands_for(&[a, b, c], f, false);
        self.batch.ops.extend([i as u16, i as u16 + 1, result]);
        self.batch.results.push(Result { val: result, f, packed: false });
        self.batch.fused = true;
        self.keep(Val(result));
        (self.done[i + 1], self.done[i + 2]) = (true, true);
        true
    }

    /// Other operations on two halves. False when there is no code for it.
    pub(super) fn wide_op(&mut self, i: usize) -> bool {
        let inst = self.block.insts[i];
        let Some(&op) = WIDE.get((inst.imm >> 16) as usize) else { return false };
        let imm = inst.imm & 0xffff;
        if !self.fp_inline() || !has_lanes(op, imm) || self.exact() && self.request.nans {
            return false;
        }
        let high = self.follows(i, Op::FHi);
        let [a, b, c, d] = inst.args.map(|v| self.vr(v));
        let upper = self.vscratch();
        if self.exact() {
            // Both halves, then one look; the operands are there until then.
            let lower = self.vscratch();
            self.lanes(op, format(inst.ty), imm, upper, c, d);
            self.lanes(op, format(inst.ty), imm, lower, a, b);
            self.look_here();
            self.vresult(i, lower);
            if let Some(h) = high {
                self.vresult(h, upper);
                self.done[h] = true;
            }
            return true;
        }
        self.lanes(op, format(inst.ty), imm, upper, c, d);
        // The other half is done, so nobody needs the operands for it.
        if high.is_some() {
            for v in inst.args {
                let fact = &mut self.an[v.index()];
                if fact.end() == i + 1 {
                    fact.replace_end(i);
                }
            }
        }
        let lower = self.vdest(i);
        self.lanes(op, format(inst.ty), imm, lower, a, b);
        self.vresult(i, lower);
        if let Some(h) = high {
            self.vresult(h, upper);
            self.done[h] = true;
        }
        true
    }

    /// An operation on all lanes, written to `d` by the last instruction.
    pub(super) fn lanes(&mut self, op: Op, f: Fmt, imm: u64, d: V, a: V, b: V) {
        let compare = |e: &mut Self, op: Vec2, d: V, n: V, m: V| e.w(float::vec2(op, true, f, d, n, m));
        match op {
            Op::FMin | Op::FMax => {
                let (n, m) = if op == Op::FMin { (b, a) } else { (a, b) };
                compare(self, Vec2::Fcmgt, VS0, n, m);
                if d == a {
                    self.w(simd::bits(Bits::Bif, true, d, b, VS0));
                } else if d == b {
                    self.w(simd::bits(Bits::Bit, true, d, a, VS0));
                } else {
                    self.w(simd::bits(Bits::Bsl, true, VS0, a, b));
                    if d != VS0 {
                        self.w(simd::mov(d, VS0));
                    }
                }
            }
            Op::FCmp | Op::FCmpX => {
                let (n, m, op, not) = match imm & 31 {
                    0 => (a, b, Vec2::Fcmeq, false),
                    1 => (b, a, Vec2::Fcmgt, false),
                    2 => (b, a, Vec2::Fcmge, false),
                    4 => (a, b, Vec2::Fcmeq, true),
                    5 => (b, a, Vec2::Fcmgt, true),
                    6 => (b, a, Vec2::Fcmge, true),
                    9 => (a, b, Vec2::Fcmge, true),
                    10 => (a, b, Vec2::Fcmgt, true),
                    13 => (a, b, Vec2::Fcmge, false),
                    14 => (a, b, Vec2::Fcmgt, false),
                    n => {
                        compare(self, Vec2::Fcmeq, VS0, a, a);
                        compare(self, Vec2::Fcmeq, VS1, b, b);
                        self.w(simd::bits(Bits::And, true, if n == 3 { VS0 } else { d }, VS0, VS1));
                        if n == 3 {
                            self.w(simd::misc(Misc::Not, true, Lane::B, d, VS0));
                        }
                        return;
                    }
                };
                compare(self, op, if not { VS0 } else { d }, n, m);
                if not {
                    self.w(simd::misc(Misc::Not, true, Lane::B, d, VS0));
                }
            }
            Op::FRound => self.w(float::vec1(rounding(imm).unwrap_or(Vec1::Frintx), true, f, d, b)),
            _ => match PackedCvt::from_imm(imm & 0xff) {
                Some(PackedCvt::PsToPd) => self.w(float::fcvtl(false, d, a)),
                Some(PackedCvt::PdToPs) => self.w(float::fcvtn(false, d, a)),
                Some(PackedCvt::DqToPs) => self.w(float::vec1(Vec1::Scvtf, true, Fmt::S, d, a)),
                Some(PackedCvt::PhToPs) => self.w(float::fcvtl_half(d, a)),
                Some(PackedCvt::DqToPd) => {
                    self.wo(simd::shll(false, false, Lane::S, VS0, a, 0));
                    self.w(float::vec1(Vec1::Scvtf, true, Fmt::D, d, VS0));
                }
                kind => {
                    // 2^31 and more, and NaNs, give the least integer; the host has it right for what is too small, and the flags.
                    let mut from = a;
                    if kind == Some(PackedCvt::PsToDq) {
                        self.w(float::vec1(Vec1::Frintx, true, Fmt::S, VS2, a));
                        from = VS2;
                    }
                    self.w(simd::movi_s(false, VS1, 0x4f, 3));
                    compare(self, Vec2::Fcmgt, VS0, VS1, from);
                    self.w(float::vec1(Vec1::Fcvtzs, true, Fmt::S, VS2, from));
                    self.w(simd::movi_s(false, VS1, 0x80, 3));
                    self.w(simd::bits(Bits::Bif, true, VS2, VS1, VS0));
                    self.w(simd::mov(d, VS2));
                }
            },
        }
    }

    /// A store of 32 bytes, all or nothing: at the end of a page it is the interpreter's.
    pub(super) fn store_pair(&mut self, i: usize) -> bool {
        let inst = self.block.insts[i];
        if inst.imm & ATTR_ALIGN16 != 0 {
            return false;
        }
        let (base, lo, hi) = (self.r(inst.args[0]), self.vr(inst.args[1]), self.vr(inst.args[2]));
        let back = self.buf.label();
        if self.checked_before(i) {
            if self.tso() {
                self.w(branch::DMB_ISH);
            }
            self.wo(mem::pair(false, Pair::Q, lo, hi, base, 0, Mode::Offset));
            return true;
        }
        let crossing = self.rarely(i, None, None, back);
        self.wo(Imm12::new(31).map(|imm| int::arith_imm(Arith::Add, Sz::X, S0, base, imm)));
        self.w(int::logic(Logic::Eor, Sz::X, S0, S0, base, Shift::Lsl, 0));
        if self.small {
            self.w_to(branch::tbz(true, S0, PAGE_BIT), crossing, Field::Arm14);
        } else {
            self.w(int::ubfx(Sz::X, S0, S0, PAGE_BIT, 1));
            self.w_to(branch::cbz(true, Sz::X, S0), crossing, Field::Arm19);
        }
        if self.tso() {
            self.w(branch::DMB_ISH);
        }
        self.wo(mem::pair(false, Pair::Q, lo, hi, base, 0, Mode::Offset));
        self.buf.bind(back);
        true
    }

    /// Masked loads, and elements of gathers, which are masked loads of one lane: each lane behind a test of its sign. False for lanes that x86 does
    /// not have.
    pub(super) fn load_lanes(&mut self, i: usize) -> bool {
        let inst = self.block.insts[i];
        let (lane, load) = match inst.ty {
            Ty::I32 => (Lane::S, Access::LdrW),
            Ty::I64 => (Lane::D, Access::LdrX),
            _ => return false,
        };
        if inst.imm & ATTR_ALIGN16 != 0 {
            return false;
        }
        let (base, mask) = (self.r(inst.args[0]), self.vr(inst.args[1]));
        let (lanes, old) = match inst.op {
            Op::LdLane => {
                let n = (inst.imm >> 8) as u32;
                (n..n + 1, Some(self.vr(inst.args[2])))
            }
            _ => (0..128 / inst.ty.bits(), None),
        };
        // In a register of its own: a later lane may fault, and the operands are then what they were.
        let d = self.vscratch();
        self.w(match old {
            Some(old) => simd::mov(d, old),
            None => simd::movi_d(d, 0),
        });
        for (k, n) in lanes.enumerate() {
            let skip = self.buf.label();
            self.w(simd::umov(lane, S0, mask, n));
            self.w_to(branch::tbz(false, S0, inst.ty.bits() - 1), skip, Field::Arm14);
            self.wo(mem::offset(load, S1, base, k as i64 * i64::from(inst.ty.bytes())));
            self.w(simd::ins_reg(lane, d, n, S1));
            self.buf.bind(skip);
        }
        self.vresult(i, d);
        if self.tso() {
            self.index = i + 1;
            self.w(branch::DMB_ISHLD);
        }
        true
    }

    /// Whether the address of `i` is known to be a multiple of 32: the instruction has looked.
    fn checked_before(&self, i: usize) -> bool {
        let insts = &self.block.insts;
        let same = |v: Val, w: Val| {
            let (a, b) = (&insts[v.index()], &insts[w.index()]);
            v == w || a.op == b.op && a.ty == b.ty && a.imm == b.imm && a.args == b.args && a.op == Op::Add
        };
        let Some(check) = insts[..i].iter().rev().take(8).find(|x| x.op == Op::CheckGp) else { return false };
        let cut = &insts[check.args[0].index()];
        let addr = insts[i].args[0];
        cut.op == Op::And && self.constant(cut.args[1]) == Some(31) && same(cut.args[0], addr)
            || self.constant(check.args[0]) == Some(0) && self.constant(addr).is_some_and(|c| c % 32 == 0)
    }

    /// Shifts by the lanes of another vector. False for lanes that x86 does not have.
    pub(super) fn shift_lanes(&mut self, i: usize) -> bool {
        let inst = self.block.insts[i];
        let Some(l) = lane(inst.ty).filter(|l| matches!(l, Lane::S | Lane::D)) else { return false };
        let (a, b) = (self.vr(inst.args[0]), self.vr(inst.args[1]));
        let d = self.vdest(i);
        // Counts of 64 are beyond the width of either; only the low byte of a lane counts, with its sign.
        self.w(simd::movi_s(false, VS1, 64, 0));
        if l == Lane::D {
            self.w(simd::misc(Misc::Uqxtn, false, Lane::S, VS0, b));
            self.w(simd::same(Same::Umin, false, Lane::S, VS0, VS0, VS1));
            self.wo(simd::shll(true, false, Lane::S, VS0, VS0, 0));
        } else {
            self.w(simd::same(Same::Umin, true, Lane::S, VS0, b, VS1));
        }
        if inst.op != Op::VShlV {
            self.w(simd::misc(Misc::Neg, true, l, VS0, VS0));
        }
        let op = if inst.op == Op::VSarV { Same::Sshl } else { Same::Ushl };
        self.w(simd::same(op, true, l, d, a, VS0));
        self.vresult(i, d);
        true
    }

    /// Lanes of 32 bits picked from two vectors by the lanes of a third.
    pub(super) fn permute_lanes(&mut self, i: usize) -> bool {
        let inst = self.block.insts[i];
        if lane(inst.ty) != Some(Lane::S) {
            return false;
        }
        let [a, b, c] = [0, 1, 2].map(|k| self.vr(inst.args[k]));
        let t = self.vscratch();
        let d = self.vdest(i);
        // Four bytes of each index: 4 n, and what counts from there.
        self.w(simd::movi_s(false, VS0, 7, 0));
        self.w(simd::bits(Bits::And, true, t, c, VS0));
        self.w(simd::movi_b(VS0, 4));
        self.w(simd::same(Same::Mul, true, Lane::S, t, t, VS0));
        let label = self.vector_literal([0x0302_0100_0302_0100; 2]);
        self.w_to(literal_q(VS0), label, Field::Arm19);
        self.w(simd::same(Same::Add, true, Lane::B, t, t, VS0));
        self.w(simd::mov(VS2, a));
        self.w(simd::mov(VS1, b));
        self.w(simd::tbl(false, d, VS2, 1, t));
        self.vresult(i, d);
        true
    }
}

/// The instruction for a rounding to integers that says nothing of being inexact; or says so, by the rounding in force.
pub(super) fn rounding(imm: u64) -> Option<Vec1> {
    Some(match imm & 15 {
        8 => Vec1::Frintn,
        9 => Vec1::Frintm,
        10 => Vec1::Frintp,
        11 => Vec1::Frintz,
        12..=15 => Vec1::Frinti,
        4..=7 => Vec1::Frintx,
        _ => return None,
    })
}

/// Whether [`Emit::lanes`] has the operation.
pub(super) fn has_lanes(op: Op, imm: u64) -> bool {
    use PackedCvt::*;
    match op {
        Op::FMin | Op::FMax => true,
        Op::FCmp | Op::FCmpX => matches!(imm & 31, 0..=7 | 9 | 10 | 13 | 14),
        Op::FRound => rounding(imm).is_some(),
        Op::FCvtP => PackedCvt::from_imm(imm & 0xff)
            .is_some_and(|k| matches!(k, PsToPd | PdToPs | DqToPs | DqToPd | PhToPs | PsToDq | PsToDqTrunc)),
        _ => false,
    }
}
