//! SSE floating point: the host's arithmetic, with the cases that differ out of line.
//!
//! A NaN that comes out goes to the interpreter, because x86 and AArch64 choose different ones; so do conversions to integer that do
//! not fit. Minimum and maximum are a comparison and a selection, as x86 defines them. The denormal-operand flag is not set, and
//! underflow is detected before rounding, unless all flags are wanted ([`super::exact`]).

use super::Emit;
use super::flags::sz;
use super::regs::{S0, VS0, VS1};
use demotic_asm::arm64::branch;
use demotic_asm::arm64::float::{self, Fmt, One, Round, Two, Vec1, Vec2};
use demotic_asm::arm64::int::{self, Logic};
use demotic_asm::arm64::simd::{self, Across, Bits, Lane, Misc};
use demotic_asm::arm64::{Cond, LogicImm, Sz, V};
use demotic_asm::buffer::{Field, Label};
use demotic_ir::ops::{Op, PackedCvt};
use demotic_ir::ty::Ty;

use super::batch::PACKED;

impl Emit<'_> {
    /// Emits a floating-point operation; false when there is no code for it.
    pub(super) fn float_op(&mut self, i: usize) -> bool {
        let inst = self.block.insts[i];
        if !self.fp_inline() {
            return false;
        }
        let f = match inst.ty {
            Ty::F64 => Fmt::D,
            _ => Fmt::S,
        };
        match inst.op {
            Op::FAdd | Op::FSub | Op::FMul | Op::FDiv | Op::FSqrt => self.arithmetic(i, f),
            Op::FMin | Op::FMax | Op::FCmp => self.choice(i, f),
            Op::FFromInt => {
                let r = self.r(inst.args[1]);
                let guard = |e: &mut Self, d| if e.is_exact_integer(i) { None } else { e.guard(i, None, Some(d)) };
                if self.clear_above(inst.args[0], f) {
                    let d = self.vdest(i);
                    let guard = guard(self, d);
                    self.w(float::from_int(if inst.imm == 64 { Sz::X } else { Sz::W }, f, d, r));
                    self.look_at(guard);
                    self.vresult(i, d);
                    self.guarded(guard);
                    return true;
                }
                let a = self.vr(inst.args[0]);
                let d = self.vdest(i);
                let guard = guard(self, d);
                self.w(float::from_int(if inst.imm == 64 { Sz::X } else { Sz::W }, f, VS0, r));
                self.look_at(guard);
                self.low_lane(i, f, d, a, &[]);
                self.guarded(guard);
            }
            Op::FToInt => self.float_to_int(i),
            Op::FCvt => {
                let from = if f == Fmt::D { Fmt::S } else { Fmt::D };
                let b = self.vr(inst.args[1]);
                if self.clear_above(inst.args[0], f) {
                    let d = self.vdest(i);
                    let guard = self.guard(i, None, Some(d));
                    let t = self.attempt(d, &[b]);
                    self.w(float::fcvt(from, t, b));
                    self.look_at(guard);
                    self.succeed(d, t);
                    self.vresult(i, d);
                    self.guarded(guard);
                    return true;
                }
                let a = self.vr(inst.args[0]);
                let d = self.vdest(i);
                let guard = self.guard(i, None, Some(d));
                self.w(float::fcvt(from, VS0, b));
                self.look_at(guard);
                self.low_lane(i, f, d, a, &[b]);
                self.guarded(guard);
            }
            Op::FCvtP => return self.packed_conversion(i),
            Op::FRound => return self.round(i, f),
            Op::FCmpX if inst.imm & PACKED != 0 && super::avx::has_lanes(Op::FCmpX, inst.imm) => {
                let (a, b) = (self.vr(inst.args[0]), self.vr(inst.args[1]));
                self.lanes_looked_at(i, Op::FCmpX, f, inst.imm & 31, a, b);
            }
            _ => return false,
        }
        true
    }

    /// Whether a conversion from an integer is always exact.
    pub(super) fn is_exact_integer(&self, i: usize) -> bool {
        let inst = &self.block.insts[i];
        inst.ty == Ty::F64 && inst.imm != 64
    }

    /// Where a result that goes to `d` is made: where operands have to be kept until it was looked at, not in one of them.
    fn attempt(&self, d: V, operands: &[V]) -> V {
        if self.exact() && operands.contains(&d) { VS0 } else { d }
    }

    /// What was made in `t` is the result in `d`.
    fn succeed(&mut self, d: V, t: V) {
        if t != d {
            self.w(simd::mov(d, t));
        }
    }

    /// An operation on all lanes ([`Emit::lanes`]), its flags and its result.
    fn lanes_looked_at(&mut self, i: usize, op: Op, f: Fmt, imm: u64, a: V, b: V) {
        let d = self.vdest(i);
        let guard = self.guard(i, None, Some(d));
        let t = self.attempt(d, &[a, b]);
        self.lanes(op, f, imm, t, a, b);
        self.look_at(guard);
        self.succeed(d, t);
        self.vresult(i, d);
        self.guarded(guard);
    }

    /// The result is `a` with lane 0 from VS0; `others` are operands that must stay until the end.
    fn low_lane(&mut self, i: usize, f: Fmt, d: V, a: V, others: &[V]) {
        let l = if f == Fmt::D { Lane::D } else { Lane::S };
        if d == a {
            self.w(simd::ins(l, d, 0, VS0, 0));
        } else if others.contains(&d) {
            self.w(simd::mov(VS1, a));
            self.w(simd::ins(l, VS1, 0, VS0, 0));
            self.w(simd::mov(d, VS1));
        } else {
            self.w(simd::mov(d, a));
            self.w(simd::ins(l, d, 0, VS0, 0));
        }
        self.vresult(i, d);
    }

    /// Branches when the scalar in `n` is a NaN.
    pub(super) fn when_nan(&mut self, free: bool, f: Fmt, n: V, label: Label) {
        if free {
            self.w(float::fcmp(false, f, n, n));
            self.w_to(branch::b_cond(Cond::Vs), label, Field::Arm19);
        } else {
            self.wo(float::scalar_compare(Vec2::Fcmeq, f, VS1, n, n));
            self.w(float::fmov_to(Sz::W, S0, VS1));
            self.w_to(branch::cbz(false, Sz::W, S0), label, Field::Arm19);
        }
    }

    fn arithmetic(&mut self, i: usize, f: Fmt) {
        let inst = self.block.insts[i];
        let (a, b) = (self.vr(inst.args[0]), self.vr(inst.args[1]));
        let free = self.nzcv_free(i);
        let d = self.vdest(i);
        let back = self.buf.label();
        let guard = self.guard(i, None, Some(d));
        let nans = if guard.is_none() { Some(self.rarely(i, None, Some(d), back)) } else { None };
        if inst.imm & PACKED == 0 {
            self.w(match inst.op {
                Op::FAdd => float::two(Two::Fadd, f, VS0, a, b),
                Op::FSub => float::two(Two::Fsub, f, VS0, a, b),
                Op::FMul => float::two(Two::Fmul, f, VS0, a, b),
                Op::FDiv => float::two(Two::Fdiv, f, VS0, a, b),
                _ => float::one(One::Fsqrt, f, VS0, b),
            });
            if let Some(rare) = nans {
                self.when_nan(free, f, VS0, rare);
            }
            self.look_at(guard);
            self.low_lane(i, f, d, a, &[b]);
            self.buf.bind(back);
            self.guarded(guard);
            return;
        }
        let t = if d == a || d == b { VS0 } else { d };
        self.w(match inst.op {
            Op::FAdd => float::vec2(Vec2::Fadd, true, f, t, a, b),
            Op::FSub => float::vec2(Vec2::Fsub, true, f, t, a, b),
            Op::FMul => float::vec2(Vec2::Fmul, true, f, t, a, b),
            Op::FDiv => float::vec2(Vec2::Fdiv, true, f, t, a, b),
            _ => float::vec1(Vec1::Fsqrt, true, f, t, b),
        });
        match nans {
            Some(rare) if free => {
                self.w(float::max_across(f, VS1, t));
                self.w(float::fcmp(false, f, VS1, VS1));
                self.w_to(branch::b_cond(Cond::Vs), rare, Field::Arm19);
            }
            Some(rare) => {
                self.w(float::vec2(Vec2::Fcmeq, true, f, VS1, t, t));
                self.w(simd::across(Across::Uminv, true, Lane::S, VS1, VS1));
                self.w(float::fmov_to(Sz::W, S0, VS1));
                self.w_to(branch::cbz(false, Sz::W, S0), rare, Field::Arm19);
            }
            None => self.look_at(guard),
        }
        self.succeed(d, t);
        self.buf.bind(back);
        self.guarded(guard);
        self.vresult(i, d);
    }

    /// Comparisons into masks, and what selects by one.
    fn choice(&mut self, i: usize, f: Fmt) {
        let inst = self.block.insts[i];
        let (a, b) = (self.vr(inst.args[0]), self.vr(inst.args[1]));
        if inst.imm & PACKED != 0 {
            return self.lanes_looked_at(i, inst.op, f, inst.imm & 7, a, b);
        }
        let d = self.vdest(i);
        let guard = self.guard(i, None, Some(d));
        let compare = |e: &mut Self, op: Vec2, d: V, n: V, m: V| {
            e.wo(float::scalar_compare(op, f, d, n, m));
        };
        match (inst.op, inst.imm & 7) {
            (Op::FMin, _) => compare(self, Vec2::Fcmgt, VS0, b, a),
            (Op::FMax, _) => compare(self, Vec2::Fcmgt, VS0, a, b),
            (_, 0 | 4) => compare(self, Vec2::Fcmeq, VS0, a, b),
            (_, 1 | 5) => compare(self, Vec2::Fcmgt, VS0, b, a),
            (_, 2 | 6) => compare(self, Vec2::Fcmge, VS0, b, a),
            _ => {
                compare(self, Vec2::Fcmeq, VS0, a, a);
                compare(self, Vec2::Fcmeq, VS1, b, b);
                self.w(simd::bits(Bits::And, true, VS0, VS0, VS1));
            }
        }
        match (inst.op, inst.imm & 7) {
            (Op::FMin | Op::FMax, _) => self.w(simd::bits(Bits::Bsl, true, VS0, a, b)),
            (_, 3..=6) => self.w(simd::misc(Misc::Not, true, Lane::B, VS0, VS0)),
            _ => {}
        }
        self.look_at(guard);
        self.low_lane(i, f, d, a, &[b]);
        self.guarded(guard);
    }

    fn float_to_int(&mut self, i: usize) {
        let inst = self.block.insts[i];
        let f = if inst.imm & 1 != 0 { Fmt::D } else { Fmt::S };
        let truncate = inst.imm & 2 != 0;
        let size = sz(inst.ty);
        let a = self.vr(inst.args[0]);
        let free = self.nzcv_free(i);
        let d = self.dest(i);
        if let Some(guard) = self.guard(i, Some(d), None) {
            // What does not fit is an invalid operation.
            let n = if truncate { a } else { VS0 };
            if !truncate {
                self.w(float::one(One::Frintx, f, n, a));
            }
            self.w(float::to_int(Round::Zero, size, f, d, n));
            self.look_at(Some(guard));
            self.guarded(Some(guard));
            return self.result(i, d, size.bits() as u8);
        }
        let back = self.buf.label();
        let rare = self.rarely(i, Some(d), None, back);
        let mut n = a;
        if !truncate {
            self.w(float::one(One::Frinti, f, VS0, a));
            n = VS0;
        }
        self.w(float::to_int(Round::Zero, size, f, d, n));
        // NaN gives 0, too large a number the greatest integer.
        if free {
            self.w(float::fcmp(false, f, n, n));
            // Rounding may be inexact, and is to say so only when the number fits: the least integer is looked at as well.
            self.w(if truncate {
                int::ccmp_imm(true, size, d, 1, 1, Cond::Vc)
            } else {
                int::ccmp(true, size, d, d, 1, Cond::Vc)
            });
            self.w_to(branch::b_cond(Cond::Vs), rare, Field::Arm19);
        } else {
            self.when_nan(false, f, n, rare);
            let most = if size == Sz::X { u64::MAX >> 1 } else { u64::from(u32::MAX >> 1) };
            self.wo(LogicImm::new(size, most).and_then(|imm| int::logic_imm(Logic::Eor, size, S0, d, imm)));
            self.w_to(branch::cbz(false, size, S0), rare, Field::Arm19);
            if !truncate {
                let least = if size == Sz::X { 1 << 63 } else { 1 << 31 };
                self.wo(LogicImm::new(size, least).and_then(|imm| int::logic_imm(Logic::Eor, size, S0, d, imm)));
                self.w_to(branch::cbz(false, size, S0), rare, Field::Arm19);
            }
        }
        if !truncate {
            // Says whether it was inexact.
            self.w(float::one(One::Frintx, f, VS0, a));
        }
        self.buf.bind(back);
        self.result(i, d, size.bits() as u8);
    }

    /// Rounding to integers. False when the rounding is fixed and the precision flag counts.
    fn round(&mut self, i: usize, f: Fmt) -> bool {
        let inst = self.block.insts[i];
        let Some(lanes) = super::avx::rounding(inst.imm) else { return false };
        let (a, b) = (self.vr(inst.args[0]), self.vr(inst.args[1]));
        let d = self.vdest(i);
        let guard = self.guard(i, None, Some(d));
        if inst.imm & PACKED != 0 {
            let t = self.attempt(d, &[b]);
            self.w(float::vec1(lanes, true, f, t, b));
            self.look_at(guard);
            self.succeed(d, t);
            self.vresult(i, d);
            self.guarded(guard);
            return true;
        }
        let scalar = match lanes {
            Vec1::Frintn => One::Frintn,
            Vec1::Frintm => One::Frintm,
            Vec1::Frintp => One::Frintp,
            Vec1::Frintz => One::Frintz,
            Vec1::Frinti => One::Frinti,
            _ => One::Frintx,
        };
        if self.clear_above(inst.args[0], f) {
            let t = self.attempt(d, &[a, b]);
            self.w(float::one(scalar, f, t, b));
            self.look_at(guard);
            self.succeed(d, t);
            self.vresult(i, d);
        } else {
            self.w(float::one(scalar, f, VS0, b));
            self.look_at(guard);
            self.low_lane(i, f, d, a, &[b]);
        }
        self.guarded(guard);
        true
    }

    fn packed_conversion(&mut self, i: usize) -> bool {
        let inst = self.block.insts[i];
        let Some(kind) = PackedCvt::from_imm(inst.imm & 0xff) else { return false };
        if kind != PackedCvt::PiToPs && !super::avx::has_lanes(Op::FCvtP, inst.imm) {
            return false;
        }
        let a = self.vr(inst.args[0]);
        if kind != PackedCvt::PiToPs {
            self.lanes_looked_at(i, Op::FCvtP, Fmt::S, inst.imm, a, a);
            return true;
        }
        let d = self.vdest(i);
        let guard = self.guard(i, None, Some(d));
        let t = self.attempt(d, &[a]);
        self.w(float::vec1(Vec1::Scvtf, false, Fmt::S, t, a));
        self.look_at(guard);
        self.succeed(d, t);
        self.vresult(i, d);
        self.guarded(guard);
        true
    }
}
