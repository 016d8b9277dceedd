//! Floating-point arithmetic in batches: many operations, one look for NaNs.
//!
//! The host's arithmetic gives x86's results but for some NaNs: of an invalid operation (whose default NaN has the other sign), and of a quiet
//! and a signalling NaN together. Both raise the invalid-operation flag. A NaN goes through sums, products, quotients and roots, so only
//! the results at the ends of the chains have to be looked at, in pairs, when somebody is about to see them.
//!
//! Until then the results are *tentative*. Writes of vector registers wait; what the operations were computed from is held where it
//! is; places list the operations ([`REDO`]) and the writes ([`PENDING`]), and whoever stops in between computes them again by the
//! interpreter. Nothing else of the block is repeated. A batch ends ([`Emit::commit`]) before the first operation that needs to know:
//! stores, ways out, other uses of a tentative value, flags.
//!
//! A NaN at the end of a batch: when the host's invalid flag is clear, all NaNs are what they should be, and it goes on. Else the interpreter does
//! the batch; a unit where that happens again and again is emitted with a look behind every operation ([`crate::Request::nans`]).
//!
//! Scalar operations leave the upper lanes of their first operand in place. Within a batch only the low lane is computed; it is put together with
//! the rest when the register is written, once, however many operations there were. A host scalar operation clears the rest: nothing is
//! to be done where that is zero anyway.

use super::regs::{VS0, VTEMPS, W};
use super::{Cold, Emit};
use crate::Loc;
use demotic_asm::arm64::branch;
use demotic_asm::arm64::float::{self, Fmt, One, Two, Vec1, Vec2};
use demotic_asm::arm64::mem::Access;
use demotic_asm::arm64::simd::{self, Lane};
use demotic_asm::arm64::{Cond, V, v};
use demotic_asm::buffer::Field;
use demotic_ir::block::{Inst, Val};
use demotic_ir::ops::{Effects, Op};
use demotic_ir::ty::Ty;
use std::collections::BTreeMap;

/// All lanes instead of lane 0.
pub(super) const PACKED: u64 = 0x100;
/// Free vector temporaries below which a batch ends.
pub(super) const ROOM: usize = 4;

/// A result to be looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Result {
    pub val: u16,
    pub f: Fmt,
    pub packed: bool,
}

/// What is open.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Tentative operations, in order.
    pub(super) ops: Vec<u16>,
    /// Results of arithmetic that no later one stands for.
    pub(super) results: Vec<Result>,
    /// Writes of vector registers that wait.
    pub(super) sets: Vec<(u8, Val)>,
    /// Values that have to stay where they are although nobody else needs them, and how long they would be needed otherwise.
    pub(super) held: BTreeMap<u16, usize>,
    /// There are fused multiplications: NaNs of operands are chosen in another order, too.
    pub(super) fused: bool,
    /// Values whose register has only the low lane, its width, and the value whose upper lanes belong above it.
    pub(super) low: BTreeMap<u16, (Fmt, Val)>,
}

impl Batch {
    pub fn is_open(&self) -> bool {
        !self.ops.is_empty() || !self.sets.is_empty()
    }

    pub fn tentative(&self, v: Val) -> bool {
        self.ops.binary_search(&v.0).is_ok()
    }

    /// What a place says of all this.
    pub fn report(&self, values: &mut Vec<(Val, Loc)>) {
        values.extend(self.sets.iter().map(|&(slot, v)| (crate::PENDING, crate::pending(slot, v))));
        values.extend(self.ops.iter().map(|&op| (crate::REDO, Loc::Const(u64::from(op)))));
    }
}

pub(super) fn format(ty: Ty) -> Fmt {
    if ty == Ty::F64 { Fmt::D } else { Fmt::S }
}

fn lane(f: Fmt) -> Lane {
    if f == Fmt::D { Lane::D } else { Lane::S }
}

fn bits(f: Fmt) -> u32 {
    if f == Fmt::D { 64 } else { 32 }
}

fn is_arithmetic(op: Op) -> bool {
    matches!(op, Op::FAdd | Op::FSub | Op::FMul | Op::FDiv | Op::FSqrt)
}

/// Pure operations on vectors that are emitted without calling anybody.
fn is_plain(inst: &Inst) -> bool {
    matches!(inst.op, Op::VAnd | Op::VAndN | Op::VOr | Op::VXor | Op::VZipLo | Op::VZipHi | Op::VShuf | Op::VLow)
}

impl Emit<'_> {
    /// To be called before operation `i`. True when the operation has been done.
    pub(super) fn batched(&mut self, i: usize) -> bool {
        let op = self.block.insts[i].op;
        // Nothing is open, and this opens nothing: nearly always.
        if !self.batch.is_open() && !op.is_sse_arithmetic() && op != Op::FFmaFl {
            return false;
        }
        if !self.an[i].live || self.an[i].lazy || op == Op::Nop {
            return false;
        }
        let inst = self.block.insts[i];
        let tentative = |e: &Self, v: Val| {
            let lane = &e.block.insts[v.index()];
            e.batch.tentative(v) || lane.op == Op::VExt && e.batch.tentative(lane.args[0])
        };
        let vectors = inst.operands().iter().any(|&v| tentative(self, v));
        if is_arithmetic(inst.op) && self.fp_inline() && !self.request.nans {
            if self.room() < ROOM {
                self.commit(i);
            }
            self.arithmetic_later(i);
            return true;
        }
        if self.fp_inline() && !self.request.nans && self.wide_later(i) {
            return true;
        }
        if !self.batch.is_open() {
            return false;
        }
        if inst.op == Op::FComi && self.compares_with_batch(i) {
            return false;
        }
        let upper_slot = matches!(inst.op, Op::Get | Op::Set) && (54..70).contains(&inst.imm);
        let vector_slot = (16..32).contains(&inst.imm) || upper_slot;
        let known = match inst.op {
            Op::Set if vector_slot && self.an[i].dead => return true,
            Op::Set if vector_slot && inst.ty == Ty::V128 => {
                self.wait(inst.imm as u8, inst.args[0]);
                return true;
            }
            Op::Get | Op::GetHi => {
                !self.batch.sets.iter().any(|s| u64::from(s.0) == inst.imm) && (inst.imm < 32 || upper_slot)
            }
            Op::Set | Op::SetHi => !vectors && inst.imm < 16,
            Op::Const => true,
            // What is stored is not computed again.
            Op::Ld | Op::St => !vectors,
            // An inexact one has a flag of its own.
            Op::FFromInt => !vectors && self.fp_inline() && (!self.exact() || self.is_exact_integer(i)),
            _ if vectors => is_plain(&inst),
            op => {
                op.effects() == Effects::PURE && inst.result() != Ty::Fl && self.an[i].fused() == super::analysis::NONE
            }
        };
        if !known || self.room() < ROOM {
            self.commit(i);
            return false;
        }
        if vectors {
            // Computed again with its operands.
            inst.operands().iter().for_each(|&v| self.hold(v));
            self.op(i);
            self.batch.ops.push(i as u16);
            return true;
        }
        false
    }

    pub(super) fn room(&self) -> usize {
        self.books.free_vectors()
    }

    /// Keeps a value where it is until the batch ends.
    pub(super) fn hold(&mut self, v: Val) {
        if self.batch.tentative(v) {
            return;
        }
        self.keep(v);
    }

    pub(super) fn keep(&mut self, v: Val) {
        let end = self.block.insts.len() + 1;
        let own = self.an[v.index()].replace_end(end);
        self.batch.held.entry(v.0).or_insert(own);
    }

    fn release(&mut self, v: u16) {
        if let Some(end) = self.batch.held.remove(&v) {
            self.an[usize::from(v)].replace_end(end);
        }
    }

    /// A write of a vector register waits for the end of the batch; it replaces an earlier one.
    fn wait(&mut self, slot: u8, val: Val) {
        if let Some(n) = self.batch.sets.iter().position(|s| s.0 == slot) {
            let (_, old) = self.batch.sets.remove(n);
            let needed =
                self.batch.sets.iter().any(|s| s.1 == old) || self.batch.results.iter().any(|r| r.val == old.0);
            if self.batch.tentative(old) && !needed {
                self.release(old.0);
            }
        }
        self.batch.sets.push((slot, val));
        self.keep(val);
    }

    /// Bits from which on upwards a vector is known to be zero.
    fn zero_from(&self, v: Val) -> u32 {
        let inst = &self.block.insts[v.index()];
        match inst.op {
            Op::Const if inst.imm == 0 => 0,
            Op::VXor if inst.args[0] == inst.args[1] => 0,
            Op::VZext => inst.ty.bits(),
            Op::VLow => 64,
            Op::FCvt | Op::FFromInt => self.zero_from(inst.args[0]).max(bits(format(inst.ty))),
            op if is_arithmetic(op) && inst.imm & PACKED == 0 => {
                self.zero_from(inst.args[0]).max(bits(format(inst.ty)))
            }
            _ => 128,
        }
    }

    /// Whether the upper lanes of a scalar result, which are those of `a`, are zero.
    pub(super) fn clear_above(&self, a: Val, f: Fmt) -> bool {
        self.zero_from(a) <= bits(f)
    }

    fn arithmetic_later(&mut self, i: usize) {
        let inst = self.block.insts[i];
        let f = format(inst.ty);
        let packed = inst.imm & PACKED != 0;
        let (a, b) = (inst.args[0], inst.args[1]);
        self.hold(a);
        self.hold(b);
        for val in [a, b] {
            // A lane of the other width is another part of the register.
            if self.batch.low.get(&val.0).is_some_and(|l| l.0 != f) {
                self.complete(val);
            }
        }
        let root = inst.op == Op::FSqrt;
        let (ra, rb) = if packed {
            (self.vr(a), self.vr(b))
        } else {
            let rb = self.vr_low(b);
            (if root { rb } else { self.vr_low(a) }, rb)
        };
        let d = self.vscratch();
        self.w(match (packed, inst.op) {
            (false, Op::FAdd) => float::two(Two::Fadd, f, d, ra, rb),
            (false, Op::FSub) => float::two(Two::Fsub, f, d, ra, rb),
            (false, Op::FMul) => float::two(Two::Fmul, f, d, ra, rb),
            (false, Op::FDiv) => float::two(Two::Fdiv, f, d, ra, rb),
            (false, _) => float::one(One::Fsqrt, f, d, rb),
            (true, Op::FAdd) => float::vec2(Vec2::Fadd, true, f, d, ra, rb),
            (true, Op::FSub) => float::vec2(Vec2::Fsub, true, f, d, ra, rb),
            (true, Op::FMul) => float::vec2(Vec2::Fmul, true, f, d, ra, rb),
            (true, Op::FDiv) => float::vec2(Vec2::Fdiv, true, f, d, ra, rb),
            (true, _) => float::vec1(Vec1::Fsqrt, true, f, d, rb),
        });
        self.vresult(i, d);
        if !packed && !self.clear_above(a, f) {
            let rest = self.batch.low.get(&a.0).map_or(a, |l| l.1);
            self.batch.low.insert(i as u16, (f, rest));
            // The rest is looked at at the end.
            self.keep(rest);
        }
        // A NaN in an operand is one in the result.
        let operands = [a, b];
        self.stands_for(&operands[usize::from(root)..], f, packed);
        self.batch.ops.push(i as u16);
        self.batch.results.push(Result { val: i as u16, f, packed });
        self.keep(Val(i as u16));
    }

    /// A result is about to be entered that is a NaN where one of these is, so they need not be looked at.
    pub(super) fn stands_for(&mut self, operands: &[Val], f: Fmt, packed: bool) {
        for v in operands {
            let covered = |r: &Result| r.val == v.0 && r.f == f && (packed || !r.packed);
            if let Some(n) = self.batch.results.iter().position(covered) {
                self.batch.results.remove(n);
                let needed = self.batch.sets.iter().any(|s| s.1 == *v) || self.batch.low.values().any(|l| l.1 == *v);
                if !needed {
                    self.release(v.0);
                }
            }
        }
    }

    /// The register with the low lane of a value; above it may be anything.
    pub(super) fn vr_low(&mut self, val: Val) -> V {
        self.vector(val)
    }

    /// Puts a value together that has only its low lane in a register.
    pub(super) fn complete(&mut self, val: Val) {
        let Some(&(f, rest)) = self.batch.low.get(&val.0) else { return };
        let (t, r) = (self.vr_low(val), self.vr(rest));
        let d = self.vscratch();
        self.w(simd::mov(d, r));
        self.w(simd::ins(lane(f), d, 0, t, 0));
        self.batch.low.remove(&val.0);
        self.books.move_vector(val, d);
    }

    /// Where a value is that has only its low lane in a register.
    pub(super) fn low_place(&self, k: usize) -> Option<Loc> {
        let &(f, rest) = self.batch.low.get(&(k as u16))?;
        let reg = |w: W| match w {
            W::Home(s) => Some(s),
            W::V(t) => Some(t),
            _ => None,
        };
        let (low, rest) = (reg(self.books.loc[k])?, reg(self.books.loc[rest.index()])?);
        Some(Loc::Low { low, bits: bits(f) as u8, rest })
    }

    /// Ends the batch before operation `i`: from here on its results are right and its writes done.
    pub(super) fn commit(&mut self, i: usize) {
        if !self.batch.is_open() {
            return;
        }
        if !self.batch.results.is_empty() {
            self.look(i);
        }
        let ops = std::mem::take(&mut self.batch.ops);
        self.batch.results.clear();
        let held = std::mem::take(&mut self.batch.held);
        for (&v, &end) in &held {
            self.an[usize::from(v)].replace_end(end);
        }
        // What still counts: the writes, and the upper lanes for them.
        let needed: Vec<Val> = self.batch.sets.iter().map(|s| s.1).collect();
        needed.iter().for_each(|&v| self.keep(v));
        for &op in &ops {
            if self.an[usize::from(op)].end() >= i {
                self.keep_rest(op);
            } else {
                self.batch.low.remove(&op);
            }
        }
        // Others first, so that upper lanes are still there; then those that only get their low lane changed.
        for own in [false, true, false] {
            let mut n = 0;
            while let Some(&(slot, val)) = self.batch.sets.get(n) {
                if self.stays_above(slot, val) == own {
                    self.write_now(i, slot, val);
                    self.batch.sets.remove(n);
                } else {
                    n += 1;
                }
            }
        }
        for op in ops {
            let own = self.batch.held.get(&op).copied().unwrap_or(self.an[usize::from(op)].end());
            if own >= i && self.batch.low.contains_key(&op) {
                self.complete(Val(op));
            }
        }
        let held = std::mem::take(&mut self.batch.held);
        for (v, end) in held {
            self.an[usize::from(v)].replace_end(end);
        }
        self.batch = Batch::default();
        if i > 0 {
            self.end_op(i - 1);
        }
    }

    /// Both parts of a value in registers, until it is put together.
    fn keep_rest(&mut self, op: u16) {
        if let Some(&(_, rest)) = self.batch.low.get(&op) {
            self.keep(rest);
            self.vr(rest);
            self.vr_low(Val(op));
        }
    }

    /// Whether a register that is to be written has the right upper lanes already.
    fn stays_above(&self, slot: u8, val: Val) -> bool {
        self.batch.low.get(&val.0).is_some_and(|l| self.books.loc[l.1.index()] == W::Home(slot))
    }

    fn write_now(&mut self, i: usize, slot: u8, val: Val) {
        if let Some((offset, _)) = super::int::slot_field(slot) {
            let n = self.vr(val);
            self.frame_access(Access::StrQ, n, offset);
            return;
        }
        let home = v(slot);
        if let Some(&(f, rest)) = self.batch.low.get(&val.0) {
            let t = self.vr_low(val);
            let r = self.vr(rest);
            if r == home {
                // Whoever needs only what is above finds it there still.
                let end = self.batch.held.get(&rest.0).copied().unwrap_or(self.an[rest.index()].end());
                let long = self.an[rest.index()].replace_end(end);
                self.evacuate(slot, i.saturating_sub(1));
                self.an[rest.index()].replace_end(long);
            } else {
                self.evacuate(slot, i.saturating_sub(1));
                self.w(simd::mov(home, r));
            }
            self.w(simd::ins(lane(f), home, 0, t, 0));
            self.batch.low.remove(&val.0);
        } else {
            if self.books.loc[val.index()] == W::Home(slot) {
                return;
            }
            let n = self.vr(val);
            self.evacuate(slot, i.saturating_sub(1));
            self.w(simd::mov(home, n));
        }
        self.settle(slot, val);
    }

    /// Looks for NaNs in the results.
    fn look(&mut self, i: usize) {
        if self.exact() {
            self.index = i;
            self.look_here();
            // What is not invalid has the right NaNs.
            if !self.batch.fused {
                return;
            }
        }
        let results = self.batch.results.clone();
        let free = i > 0 && self.nzcv_free(i - 1);
        self.index = i;
        let label = self.buf.label();
        let back = self.buf.label();
        for f in [Fmt::S, Fmt::D] {
            let scalars: Vec<V> =
                results.iter().filter(|r| r.f == f && !r.packed).map(|r| self.vr_low(Val(r.val))).collect();
            let packed: Vec<V> = results.iter().filter(|r| r.f == f && r.packed).map(|r| self.vr(Val(r.val))).collect();
            let mut all = scalars;
            if let Some((&first, others)) = packed.split_first() {
                let mut from = first;
                for &r in others {
                    self.w(float::vec2(Vec2::Fmax, true, f, VS0, from, r));
                    from = VS0;
                }
                self.w(float::max_across(f, VS0, from));
                all.push(VS0);
            }
            if all.is_empty() {
                continue;
            }
            if free {
                for (n, pair) in all.chunks(2).enumerate() {
                    let (x, y) = (pair[0], pair[pair.len() - 1]);
                    // Unordered: a NaN here, or there was one before.
                    self.w(if n == 0 { float::fcmp(false, f, x, y) } else { float::fccmp(f, x, y, 1, Cond::Vc) });
                }
                self.w_to(branch::b_cond(Cond::Vs), label, Field::Arm19);
            } else {
                all.into_iter().for_each(|r| self.when_nan(false, f, r, label));
            }
        }
        self.buf.bind(back);
        self.later(if self.batch.fused { Cold::Deopt(label) } else { Cold::Invalid(label, back) });
    }
}

impl super::regs::Books {
    fn free_vectors(&self) -> usize {
        (0..usize::from(VTEMPS)).filter(|&k| self.vector_is_free(k)).count()
    }
}
