//! RFLAGS: the home of the guest's flags, and the place where conditions are tested.
//!
//! For every bit it is known whether it is exact as the home and of which flags value it is a part. Before an instruction changes bits,
//! conditions that still need them are stored as truth values ([`Emit::before_flags`]); when the home has to survive, its image goes to
//! a spill slot and comes back before anything can see it.

use super::shape::Shape;
use super::spill;
use super::unit::Emit;
use super::values::{At, Src};
use crate::plan::Table;
use demotic_asm::x64::flow::FlagOp;
use demotic_asm::x64::int::{Alu, Shift};
use demotic_asm::x64::{Reg, Size};
use demotic_ir::block::{Block, Val};
use demotic_ir::ops::Op;
use demotic_ir::passes::flags::cond_reads;
use demotic_ir::state::eflags::{ARITH, CF, TF};
use demotic_ir::ty::Ty;

/// Spill slot for the home's image.
pub(super) const SAVED: u16 = crate::frame::SPILLS as u16 - 1;

/// What RFLAGS holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Flags {
    /// Bits that are exact as the home.
    pub home: u32,
    /// Bits whose home's image is in the spill slot instead.
    pub saved: u32,
    /// The flags value that each bit is a part of.
    value: [Option<Val>; 12],
    /// For each bit: the operation behind the last write of the home.
    since: [u16; 12],
    /// Last user of a flags value (of others nothing is said); conditions count where they stand, not where they are tested.
    image_last: Table<u16>,
    /// Conditions and flags values, in order: what may be nowhere but in RFLAGS.
    watched: Vec<u16>,
    /// How many of those, from the first on, are over.
    over: usize,
}

impl Flags {
    /// At the beginning of a block.
    pub(super) fn enter(&mut self, block: &Block, shape: &Shape) {
        (self.home, self.saved, self.value, self.since) = (ARITH, 0, [None; 12], [0; 12]);
        self.watched.clear();
        self.over = 0;
        let image_last = &mut self.image_last;
        shape.plan.flag_ops.iter().for_each(|i| image_last[usize::from(*i)] = 0);
        for i in shape.plan.flag_ops.iter().map(|i| usize::from(*i)) {
            let inst = &block.insts[i];
            if inst.op == Op::Cond || inst.result() == Ty::Fl {
                self.watched.push(i as u16);
            }
            if !inst.op.takes_flags() {
                continue;
            }
            // A lazy user reads its operands when somebody reads it; one that only deferred flags need, where they are shown. Conditions of what
            // RFLAGS has held are truth values by then.
            let source = inst.args[0].index();
            let condition = inst.op == Op::Cond;
            let anew = !condition || shape.lazy(source) && !shape.grouped(source);
            let at = if shape.lazy(i) && anew && !shape.used(i) {
                shape.last(i)
            } else if shape.lazy(i) && !condition {
                image_last[i].max(i as u16)
            } else {
                i as u16
            };
            for v in inst.operands() {
                if block.insts[v.index()].result() == Ty::Fl {
                    image_last[v.index()] = image_last[v.index()].max(at);
                }
            }
        }
        self.watched.reverse();
    }
}

/// How a truth value can be tested.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Test {
    /// It is known.
    Known(bool),
    /// By this condition of RFLAGS.
    Cc(u8),
    /// It says that RCX is zero (true) or is not.
    RcxZero(bool),
}

fn bits(mask: u32) -> impl Iterator<Item = usize> {
    let mut left = mask & ARITH;
    std::iter::from_fn(move || {
        let bit = (left != 0).then(|| left.trailing_zeros() as usize);
        left &= left.wrapping_sub(1);
        bit
    })
}

impl Emit<'_> {
    /// Whether RFLAGS has those bits of a flags value.
    pub(super) fn flags_ready(&self, f: Val, reads: u32) -> bool {
        if self.b.insts[f.index()].op == Op::GetFl && self.at(f) == At::Flags {
            return reads & !self.rf.home == 0 && bits(reads).all(|b| usize::from(self.rf.since[b]) <= f.index());
        }
        bits(reads).all(|b| self.rf.value[b] == Some(f))
    }

    /// Whether the saved image of the home has those bits of a flags value that was read from there.
    fn saved_home(&self, f: Val, reads: u32) -> bool {
        self.b.insts[f.index()].op == Op::GetFl
            && self.at(f) == At::Flags
            && reads & !self.rf.saved == 0
            && bits(reads).all(|b| usize::from(self.rf.since[b]) <= f.index())
    }

    /// Before an instruction that changes `clobbers` in RFLAGS and makes `set` of them the home's new content; `end` is the last
    /// operation that it belongs to.
    pub(super) fn before_flags(&mut self, clobbers: u32, end: usize, set: u32) {
        self.keep_conditions(clobbers, end);
        let survive = self.home_behind(end) & !set;
        if self.rf.saved != 0 && self.rf.saved & survive == 0 && !self.carried {
            self.rf.saved = 0;
        }
        if survive & clobbers & self.rf.home != 0 {
            if self.rf.saved != 0 {
                // Two partial images: rare enough to be left to the interpreter.
                return self.fail("flags saved twice");
            }
            self.pushfq();
            self.a.pop_mem(spill(SAVED));
            self.rf.saved = self.rf.home & survive;
            self.sync();
        }
    }

    /// Bits of the home that have to be exact behind `end`, or where the operation at hand leaves the block.
    fn home_behind(&self, end: usize) -> u32 {
        // A store that an exception holds back computes its condition and may fault then; so does a load that depends on one, and a conditional move
        // of the x87 stack. So does every operation that may fault, as long as its operands are only being computed.
        let leaves = self.b.insts.get(self.index).is_some_and(|x| {
            let late = matches!(x.op, Op::ExitIf | Op::StUnless | Op::XChk);
            late || self.preparing && crate::plan::shows_state(x)
        });
        let at = if leaves { self.index } else { end + 1 };
        self.shape.plan.flags_home(at.min(self.b.insts.len()))
    }

    /// Conditions and images that operations behind `end` need and that are only in these bits of RFLAGS are stored.
    fn keep_conditions(&mut self, clobbers: u32, end: usize) {
        let behind = self.index.max(end).min(self.at.len());
        for w in self.rf.over..self.rf.watched.len() {
            let k = usize::from(self.rf.watched[w]);
            if k >= behind {
                break;
            }
            // What nobody needs behind what is executed already is not looked at again.
            if w == self.rf.over && usize::from(self.shape.last(k)) < self.index {
                self.rf.over += 1;
                continue;
            }
            if self.at[k] != At::Lazy && self.at[k] != At::Flags {
                continue;
            }
            let v = Val(k as u16);
            if !self.needed(v, end) {
                continue;
            }
            let inst = self.b.insts[k];
            if inst.op == Op::Cond {
                let reads = cond_reads(inst.imm);
                if reads & clobbers != 0 && self.flags_ready(inst.args[0], reads) {
                    let lazy_source = self.at(inst.args[0]) == At::Lazy;
                    // A source that can be computed again is left alone unless it is what RFLAGS is about to lose for good.
                    if lazy_source && self.pure_source(inst.args[0]) {
                        continue;
                    }
                    self.keep_condition(v);
                }
            } else if self.at[k] == At::Flags && usize::from(self.rf.image_last[k]) > end {
                if self.flags_ready(v, ARITH) || inst.op != Op::GetFl {
                    let n = self.spill_slot();
                    self.pushfq();
                    self.a.pop_mem(spill(n));
                    self.spill_in(Val(k as u16), n);
                    self.sync();
                } else {
                    self.fail("flags image");
                }
            }
        }
    }

    /// Stores a condition that RFLAGS tells as a truth value.
    fn keep_condition(&mut self, v: Val) {
        let cc = self.b.insts[v.index()].imm as u8;
        if self.available() > 0 {
            let t = self.temp();
            self.a.setcc(cc, t);
            self.define(v, t);
            self.unlock(t);
        } else {
            let n = self.spill_slot();
            self.a.store_imm(Size::Q, spill(n), 0);
            self.a.setcc(cc, spill(n));
            self.spill_in(v, n);
        }
        self.sync();
    }

    /// Conditions of flags that a division makes undefined.
    pub(super) fn keep_for_division(&mut self, end: usize) {
        self.keep_conditions(ARITH, end);
    }

    fn pure_source(&self, f: Val) -> bool {
        !self.shape.member(f.index()) && self.shape.group(f.index()).is_none()
    }

    /// An instruction has changed those bits; they are part of `f` now.
    pub(super) fn wrote_flags(&mut self, clobbers: u32, f: Option<Val>) {
        self.lost_flags(clobbers);
        self.rf.home &= !clobbers;
        if clobbers == ARITH {
            self.rf.value = [f; 12];
            return;
        }
        for b in bits(clobbers) {
            self.rf.value[b] = f;
        }
    }

    /// Those bits of RFLAGS are the home's new content, written by the operation at `i`.
    pub(super) fn set_home(&mut self, mask: u32, i: usize) {
        self.rf.home |= mask & ARITH;
        self.rf.saved &= !mask;
        for b in bits(mask) {
            self.rf.since[b] = i as u16 + 1;
        }
    }

    /// Brings the home back to RFLAGS. Conditions that operations behind `end` need are kept.
    #[inline(always)]
    pub(super) fn restore_flags(&mut self, end: usize) {
        if self.rf.saved != 0 {
            self.restore_saved(end);
        }
    }

    #[cold]
    fn restore_saved(&mut self, end: usize) {
        self.keep_conditions(ARITH, end);
        let newer = self.rf.home & !self.rf.saved & self.home_behind(end);
        if newer == 0 {
            self.a.push_mem(spill(SAVED));
            self.a.popfq();
        } else {
            // Some bits were written since.
            let (now, old) = (self.temp(), self.temp());
            self.pushfq();
            self.a.pop(now);
            self.blind();
            self.a.mov(Size::D, old, spill(SAVED));
            self.a.alu_imm(Alu::And, Size::D, old, (self.rf.saved & !newer) as i32);
            self.a.alu_imm(Alu::And, Size::D, now, (newer | TF) as i32);
            self.a.alu(Alu::Or, Size::D, now, old);
            self.a.push(now);
            self.a.popfq();
            self.unlock(now);
            self.unlock(old);
        }
        let saved = self.rf.saved;
        self.wrote_flags(ARITH, None);
        self.rf.home = saved | newer;
        self.rf.saved = 0;
        self.sync();
    }

    /// The same behind a conditional branch, where nothing else is needed of RFLAGS.
    pub(super) fn restore_after_test(&mut self) {
        if self.rf.saved != 0 {
            self.a.push_mem(spill(SAVED));
            self.a.popfq();
            let saved = self.rf.saved;
            self.wrote_flags(ARITH, None);
            self.rf.home = saved;
            self.rf.saved = 0;
        }
    }

    /// Makes a truth value testable; `branch` when a jump is to test it. `end`: the operation that tests.
    pub(super) fn condition(&mut self, v: Val, end: usize, branch: bool) -> Test {
        let inst = self.b.insts[v.index()];
        match self.at(v) {
            At::Const(c) => Test::Known(c != 0),
            At::Lazy => match inst.op {
                Op::Cond => {
                    let (f, cc) = (inst.args[0], inst.imm as u8);
                    let reads = cond_reads(inst.imm);
                    if !self.flags_ready(f, reads) && self.saved_home(f, reads) {
                        self.restore_flags(end.saturating_sub(1));
                    }
                    if !self.flags_ready(f, reads) {
                        self.produce(f, end);
                    }
                    Test::Cc(cc)
                }
                Op::Not => match self.condition(inst.args[0], end, branch) {
                    Test::Known(b) => Test::Known(!b),
                    Test::Cc(cc) => Test::Cc(cc ^ 1),
                    Test::RcxZero(b) => Test::RcxZero(!b),
                },
                Op::Eq | Op::LtU | Op::LtS => self.compare(v, end, branch),
                _ => {
                    self.fail("condition");
                    Test::Known(false)
                }
            },
            _ => {
                let r = self.reg(v);
                self.before_flags(ARITH, end, 0);
                self.a.test(Size::B, r, r);
                self.wrote_flags(ARITH, None);
                Test::Cc(5)
            }
        }
    }

    fn compare(&mut self, v: Val, end: usize, branch: bool) -> Test {
        let inst = self.b.insts[v.index()];
        let [a, b, ..] = inst.args;
        let zero = self.constant(b) == Some(0) && inst.op == Op::Eq;
        let live = self.home_behind(end) & self.rf.home != 0;
        let rcx = self.at(a) == At::Home(1) && (inst.ty == Ty::I64 || inst.ty == Ty::I32 && !self.long);
        if zero && branch && live && rcx {
            // The ways on bring nothing back.
            self.restore_flags(end);
            return Test::RcxZero(true);
        }
        let size = Size::of_bits(inst.ty.bits());
        if let (Some(_), None) = (self.constant(a), self.constant(b)) {
            // Immediates come second.
            let cc = match inst.op {
                Op::Eq => 4,
                Op::LtU => 7,
                _ => 15,
            };
            self.compare_operands(size, b, a, end);
            return Test::Cc(cc);
        }
        self.compare_operands(size, a, b, end);
        Test::Cc(match inst.op {
            Op::Eq => 4,
            Op::LtU => 2,
            _ => 12,
        })
    }

    fn compare_operands(&mut self, size: Size, a: Val, b: Val, end: usize) {
        let (x, y) = (self.src(a), self.src(b));
        let (x, y) = match (x, y) {
            (Src::Imm(_), y) => (Src::Reg(self.reg(a)), y),
            (Src::Mem(_), Src::Mem(_)) => (Src::Reg(self.reg(a)), y),
            other => other,
        };
        self.before_flags(ARITH, end, 0);
        match (x, y) {
            (Src::Reg(r), Src::Imm(0)) => self.a.test(size, r, r),
            (Src::Reg(r), Src::Imm(i)) => self.a.alu_imm(Alu::Cmp, size, r, i),
            (Src::Reg(r), Src::Reg(s)) => self.a.alu(Alu::Cmp, size, r, s),
            (Src::Reg(r), Src::Mem(m)) => self.a.alu(Alu::Cmp, size, r, m),
            (Src::Mem(m), Src::Imm(i)) => self.a.alu_imm(Alu::Cmp, size, m, i),
            (Src::Mem(m), Src::Reg(s)) => self.a.alu_store(Alu::Cmp, size, m, s),
            _ => self.fail("comparison"),
        }
        self.wrote_flags(ARITH, None);
    }

    /// A truth value as 0 or 1 in a scratch register.
    pub(super) fn truth(&mut self, v: Val) -> Reg {
        let end = self.index;
        match self.condition(v, end, false) {
            Test::Cc(cc) => {
                let t = self.temp();
                self.a.setcc(cc, t);
                t
            }
            Test::Known(b) => {
                let t = self.temp();
                self.a.mov_imm(t, u64::from(b));
                t
            }
            Test::RcxZero(_) => {
                self.fail("truth value");
                Reg::R14
            }
        }
    }

    /// Computes a flags value into RFLAGS, all of it. `end`: the operation that wants it.
    pub(super) fn produce(&mut self, f: Val, end: usize) {
        let inst = self.b.insts[f.index()];
        let size = Size::of_bits(inst.ty.bits());
        if self.at(f) == At::Lazy {
            match inst.op {
                Op::FlSub => {
                    self.compare_operands(size, inst.args[0], inst.args[1], end);
                    return self.wrote_flags(ARITH, Some(f));
                }
                Op::FlLogic => {
                    let r = self.reg(inst.args[0]);
                    self.before_flags(ARITH, end, 0);
                    self.a.test(size, r, r);
                    return self.wrote_flags(ARITH, Some(f));
                }
                Op::FlAdd => {
                    let t = self.temp();
                    self.load_into(inst.args[0], t);
                    let b = self.src(inst.args[1]);
                    self.before_flags(ARITH, end, 0);
                    self.alu_src(Alu::Add, size, t, b);
                    self.unlock(t);
                    return self.wrote_flags(ARITH, Some(f));
                }
                Op::FlShl | Op::FlShr | Op::FlSar => {
                    if let Some(n) = self.constant(inst.args[1]).filter(|n| *n > 0 && *n < u64::from(inst.ty.bits())) {
                        let t = self.temp();
                        self.load_into(inst.args[0], t);
                        self.before_flags(ARITH, end, 0);
                        let op = match inst.op {
                            Op::FlShl => Shift::Shl,
                            Op::FlShr => Shift::Shr,
                            _ => Shift::Sar,
                        };
                        self.a.shift_imm(op, size, t, n as u8);
                        self.unlock(t);
                        return self.wrote_flags(ARITH, Some(f));
                    }
                }
                _ => {}
            }
        }
        let t = self.flags_image(f);
        self.before_flags(ARITH, end, 0);
        if self.available() > 0 {
            // The trap flag stays what it is, for whoever steps through this.
            let now = self.temp();
            self.pushfq();
            self.a.pop(now);
            self.a.alu_imm(Alu::And, Size::D, now, TF as i32);
            self.lost_flags(ARITH);
            self.a.alu_imm(Alu::And, Size::D, t, ARITH as i32);
            self.a.alu(Alu::Or, Size::D, t, now);
            self.unlock(now);
        }
        self.a.push(t);
        self.a.popfq();
        self.unlock(t);
        self.wrote_flags(ARITH, Some(f));
    }

    /// The image of a flags value in a scratch register; bits other than the arithmetic flags are noise that may be loaded into RFLAGS.
    pub(super) fn flags_image(&mut self, f: Val) -> Reg {
        let inst = self.b.insts[f.index()];
        if self.flags_ready(f, ARITH) {
            let t = self.temp();
            self.pushfq();
            self.a.pop(t);
            return t;
        }
        if self.saved_home(f, ARITH) {
            let t = self.temp();
            self.a.mov(Size::D, t, spill(SAVED));
            return t;
        }
        match self.at(f) {
            At::Spill(n) => {
                let t = self.temp();
                self.a.mov(Size::D, t, spill(n));
                t
            }
            At::Lazy if inst.op == Op::FlFrom => {
                let t = self.temp();
                self.load_into(inst.args[0], t);
                // Nothing but the arithmetic flags may reach RFLAGS.
                let end = self.index;
                self.before_flags(ARITH, end, 0);
                self.a.alu_imm(Alu::And, Size::D, t, ARITH as i32);
                self.wrote_flags(ARITH, None);
                t
            }
            At::Lazy => {
                // By the interpreter, which leaves registers and flags alone.
                self.helper_pure(f.index());
                let t = self.temp();
                self.a.mov(Size::D, t, super::result());
                t
            }
            _ => {
                self.fail("flags value");
                Reg::R14
            }
        }
    }

    /// Stores the image of a lazy flags value.
    pub(super) fn keep_image(&mut self, f: Val) {
        if self.flags_ready(f, ARITH) {
            return;
        }
        let t = self.flags_image(f);
        let n = self.spill_slot();
        self.a.store(Size::Q, spill(n), t);
        self.unlock(t);
        self.spill_in(f, n);
        self.sync();
    }

    /// Writes of flags that are not part of a group.
    pub(super) fn set_flags(&mut self, i: usize) {
        let inst = self.b.insts[i];
        let f = inst.args[0];
        let mask = inst.imm as u32 & ARITH;
        let wanted = self.shape.plan.flags_home(i + 1);
        let def = self.b.insts[f.index()];
        if wanted & mask == 0 {
            self.keep_conditions(0, i);
            self.rf.home &= !mask;
            self.rf.saved &= !mask;
            bits(mask).for_each(|b| self.rf.since[b] = i as u16 + 1);
            return;
        }
        // Conditions of the old flags that are read later.
        self.keep_get(mask, i);
        if self.flags_ready(f, wanted & mask) && self.rf.saved & wanted & !mask == 0 {
            self.rf.saved = 0;
            return self.set_home(mask & wanted, i);
        }
        if self.rf.saved & wanted & !mask != 0 && self.at(f) == At::Flags && def.op != Op::GetFl {
            // What RFLAGS holds now makes room for the home.
            let n = self.spill_slot();
            self.pushfq();
            self.a.pop_mem(spill(n));
            self.spill_in(f, n);
            self.sync();
        }
        self.restore_flags(i);
        let survive = wanted & !mask;
        if mask == CF && def.op == Op::FlFrom && self.at(f) == At::Lazy {
            if let Some(c) = self.constant(def.args[0]) {
                self.keep_conditions(CF, i);
                self.two_bytes();
                self.a.flag(if c as u32 & CF != 0 { FlagOp::Stc } else { FlagOp::Clc });
                self.wrote_flags(CF, Some(f));
                return self.set_home(CF, i);
            }
        }
        if survive == 0 {
            // What the new flags are computed of, if the interpreter does it, is taken from the home before.
            let lazy = self.at(f) == At::Lazy;
            for v in def.operands() {
                if lazy && self.at(*v) == At::Flags && self.flags_ready(*v, ARITH) {
                    let n = self.spill_slot();
                    self.pushfq();
                    self.a.pop_mem(spill(n));
                    self.spill_in(*v, n);
                    self.sync();
                }
                // So is a carry of the old flags.
                let x = &self.b.insts[v.index()];
                let of_home = x.op == Op::Cond && self.b.insts[x.args[0].index()].op == Op::GetFl;
                if lazy && of_home && self.at(*v) == At::Lazy && self.flags_ready(x.args[0], cond_reads(x.imm)) {
                    self.keep_condition(*v);
                }
            }
            // `produce` would save a home that nobody wants any more.
            self.rf.home &= !mask;
            self.produce(f, i);
            self.rf.saved = 0;
            return self.set_home(wanted & mask, i);
        }
        // Old and new mixed.
        if !self.flags_ready(f, wanted & mask) {
            self.produce_image_then_mix(f, mask, i);
        } else {
            self.fail("mixed flags");
        }
    }

    fn produce_image_then_mix(&mut self, f: Val, mask: u32, i: usize) {
        let survive = self.shape.plan.flags_home(i + 1) & !mask;
        self.keep_conditions(ARITH, i);
        self.pushfq();
        self.a.pop_mem(spill(SAVED));
        // What is computed on the way need not save the home again.
        let home = self.rf.home;
        self.rf.saved = home;
        self.rf.home = 0;
        self.sync();
        let new = if self.at(f) == At::Lazy && self.b.insts[f.index()].op != Op::FlFrom {
            self.produce(f, i);
            // Its operands have done their duty.
            self.locked = 0;
            let t = self.temp();
            self.pushfq();
            self.a.pop(t);
            t
        } else {
            let t = self.flags_image(f);
            self.locked = 0;
            self.lock(t);
            t
        };
        self.a.alu_imm(Alu::And, Size::D, new, mask as i32);
        let old = self.temp();
        self.a.mov(Size::D, old, spill(SAVED));
        self.a.alu_imm(Alu::And, Size::D, old, (survive & home | TF) as i32);
        self.a.alu(Alu::Or, Size::D, old, new);
        self.a.push(old);
        self.a.popfq();
        self.wrote_flags(ARITH, None);
        self.rf.home = survive & home;
        self.rf.saved = 0;
        self.set_home(mask, i);
    }

    /// Before the home changes: conditions of `getfl` values that are read behind `i`.
    fn keep_get(&mut self, mask: u32, i: usize) {
        for w in 0..self.rf.watched.len() {
            let k = usize::from(self.rf.watched[w]);
            if k >= i {
                break;
            }
            let inst = self.b.insts[k];
            if inst.op == Op::Cond && self.at[k] == At::Lazy && self.needed(Val(k as u16), i) {
                let f = inst.args[0];
                let reads = cond_reads(inst.imm);
                if self.b.insts[f.index()].op == Op::GetFl && reads & mask != 0 && self.flags_ready(f, reads) {
                    self.keep_condition(Val(k as u16));
                }
            }
            if inst.op == Op::GetFl && self.at[k] == At::Flags && usize::from(self.rf.image_last[k]) > i {
                let n = self.spill_slot();
                self.pushfq();
                self.a.pop_mem(spill(n));
                self.spill_in(Val(k as u16), n);
                self.sync();
            }
        }
    }

    /// `fl.bits`: the image as an integer.
    pub(super) fn flags_bits(&mut self, i: usize) {
        let f = self.b.insts[i].args[0];
        let t = self.flags_image(f);
        self.before_flags(ARITH, i, 0);
        self.a.alu_imm(Alu::And, Size::D, t, ARITH as i32);
        self.wrote_flags(ARITH, None);
        self.define(Val(i as u16), t);
    }
}
