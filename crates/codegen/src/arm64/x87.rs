//! x87: which instructions of a block work on live state, the block's entry and end, and where the stack's registers are.
//!
//! A block that uses x87 is emitted twice. The first version begins with a check that the state is live ([`crate::x87`]), that every register that the
//! block reads is there and every one that it pushes to is free; then TOP and tags are known relative to the entry from there on, pushes
//! and pops emit nothing, and arithmetic is what [`super::x87_ops`] has. The second one, out of line, calls the interpreter for every operation as
//! for anything else. A block that jumps to itself with the stack as it found it does so behind the check.
//!
//! The registers are in memory, at fixed distances from the top at the entry; what an instruction writes goes there with its last host instruction. The
//! temporaries that hold them as well are a cache that may be dropped at any time. TOP, tags, C1 and the precision flag are written back when
//! the block ends, or before an instruction that is not known here; until then places tell what they are ([`crate::X87`]).
//!
//! One guest instruction is one group of operations, emitted at its last one; places in it name its first one, so whatever stops there has
//! the interpreter do all of it. Operands that are out of the ordinary, and results that get there, have the instruction executed as a whole by a
//! helper ([`crate::frame::X87_INSN`]), which neither moves TOP nor changes tags in memory: what the code believes stays true.

use super::regs::{FRAME, Own, S0, S1, TEMPS};
use super::{Cold, Emit};
use crate::class;
use crate::frame::{Frame, X87_ENTER, X87_LEAVE};
use crate::x64::x87::{Host, is_x87, recognise};
use crate::x87::{self, From, Insn, Live, Significand, TOP_TAG};
use crate::{Loc, Place};
use core::mem::offset_of;
use demotic_asm::arm64::branch;
use demotic_asm::arm64::int::{self, Arith, Logic};
use demotic_asm::arm64::mem::{self, Access, Mode, Pair};
use demotic_asm::arm64::{Imm12, LogicImm, Number, Reg, Shift, Sz, ZR, x};
use demotic_asm::buffer::{Field, Label};
use demotic_ir::block::{Block, Inst, Val};
use demotic_ir::ops::{Op, X87Fn};
use demotic_ir::slot::Slot;
use demotic_ir::ty::Ty;

/// Offset in the frame of a field of the live state.
pub(super) const fn live(field: usize) -> usize {
    offset_of!(Frame, x87) + field
}

/// One guest instruction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub first: usize,
    pub end: usize,
    pub what: What,
    /// Opcode and second byte.
    pub code: (u8, u8),
    /// Address of the operand in memory.
    pub addr: Option<Val>,
    /// The comparison whose result goes to the flags.
    pub fl: Option<usize>,
    /// For `fldcw`: rounding may be any up to the next one.
    pub any_rounding: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    Insn(Insn),
    /// fnstsw ax.
    StatusToAx,
    /// fcmov: from ST(i) by an i1 value, or if `turned` by its opposite.
    Cmov {
        from: u8,
        cond: Val,
        turned: bool,
    },
}

/// What a block does with the stack.
#[derive(Debug, Default)]
pub(super) struct Usage {
    pub groups: Vec<Group>,
    /// Operations that are part of a group.
    member: Vec<bool>,
    /// The operation before which the state goes back to where the interpreter finds it; the number of operations if there is none.
    leave: usize,
    /// Tags that are looked at, and what they have to be.
    need: u32,
    expect: u32,
}

/// TOP and tags relative to the entry.
#[derive(Clone, Copy, Debug, Default)]
struct Stack {
    top: i8,
    known: u32,
    valid: u32,
    need: u32,
    expect: u32,
}

impl Stack {
    fn bit(k: i8) -> Option<u32> {
        (-8..8).contains(&k).then(|| 1 << (k + TOP_TAG as i8))
    }

    /// Demands that a register is there, or that it is free.
    fn demand(&mut self, k: i8, there: bool) -> Option<()> {
        let bit = Self::bit(k)?;
        if self.known & bit == 0 {
            self.known |= bit;
            self.need |= bit;
            if there {
                (self.valid, self.expect) = (self.valid | bit, self.expect | bit);
            }
        }
        ((self.valid & bit != 0) == there).then_some(())
    }

    fn read(&mut self, i: u8) -> Option<()> {
        self.demand(self.top + i as i8, true)
    }

    fn push(&mut self) -> Option<()> {
        self.demand(self.top - 1, false)?;
        self.top -= 1;
        self.valid |= Self::bit(self.top)?;
        Some(())
    }

    fn pop(&mut self, times: u8) -> Option<()> {
        for _ in 0..times {
            self.demand(self.top, true)?;
            self.valid &= !Self::bit(self.top)?;
            self.top += 1;
        }
        Some(())
    }

    /// What an instruction does; `None` when it is not known what becomes of the stack.
    fn step(&mut self, insn: Insn) -> Option<()> {
        let operand = |s: &mut Self, from: From| match from {
            From::St(i) => s.read(i),
            _ => Some(()),
        };
        match insn {
            Insn::Wait | Insn::LoadControl => {}
            Insn::Load(from) => {
                operand(self, from)?;
                self.push()?;
            }
            Insn::Store { pops, .. } | Insn::StoreInt { pops, .. } => {
                self.read(0)?;
                self.pop(u8::from(pops))?;
            }
            Insn::StoreSt { to, pops } => {
                self.read(0)?;
                let bit = Self::bit(self.top + to as i8)?;
                // Its old content does not matter, but that there is such a register.
                if self.known & bit == 0 {
                    self.read(to)?;
                }
                self.valid |= bit;
                self.pop(u8::from(pops))?;
            }
            Insn::Arith { to, from, pops, .. } => {
                self.read(to)?;
                operand(self, from)?;
                self.pop(u8::from(pops))?;
            }
            Insn::Compare { with, pops, .. } => {
                self.read(0)?;
                operand(self, with)?;
                self.pop(pops)?;
            }
            Insn::Exchange(i) => {
                self.read(0)?;
                self.read(i)?;
            }
            Insn::Function(f) => match f {
                X87Fn::Fld1
                | X87Fn::Fldl2t
                | X87Fn::Fldl2e
                | X87Fn::Fldpi
                | X87Fn::Fldlg2
                | X87Fn::Fldln2
                | X87Fn::Fldz => self.push()?,
                X87Fn::Fscale | X87Fn::Fprem | X87Fn::Fprem1 => {
                    self.read(0)?;
                    self.read(1)?;
                }
                _ => self.read(0)?,
            },
        }
        Some(())
    }
}

/// What is known of C1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum C1 {
    /// As the frame says.
    Memory,
    Zero,
    /// Set when the temporary and the significand of that register differ.
    Rounded(u8, i8),
    /// The temporary is in the frame.
    Spilled(i8),
}

/// The live state while a block is emitted.
#[derive(Debug)]
pub(super) struct State {
    /// Address of the top at the entry.
    pub base: Reg,
    /// Not zero when a result was inexact.
    pub inexact: Reg,
    stack: Stack,
    pub c1: C1,
    /// Temporaries that hold registers: which, significand, word.
    cache: Vec<(i8, u8, u8)>,
    /// Rounding may be any at the moment; else it is to nearest.
    pub any_rounding: bool,
    /// A register that is in temporaries and not in memory for the moment.
    pub held: Option<(i8, Reg, Reg)>,
    /// The first operation of the group being worked on that has not been done.
    pub pending: Option<usize>,
    /// Whether the tags are in the frame, and TOP is not yet.
    tagged: bool,
    /// Behind the check.
    inner: Label,
}

impl Usage {
    /// Looks at a block. `None` when it is nothing for this.
    fn of(block: &Block, lone: &dyn Fn(usize, usize) -> bool) -> Option<(Usage, Stack)> {
        if !block.insts.iter().any(|x| x.op.touches_x87()) {
            return None;
        }
        let n = block.insts.len();
        let mut usage = Usage { member: vec![false; n], leave: n, ..Usage::default() };
        let mut stack = Stack::default();
        for (m, mark) in block.marks.iter().enumerate() {
            let from = usize::from(mark.first);
            let to = block.marks.get(m + 1).map_or(n, |next| usize::from(next.first));
            // A way out from the middle takes no live state along; before the first group there is nothing to be written.
            let exit = (from..to).find(|&k| block.insts[k].op == Op::ExitIf).filter(|_| !usage.groups.is_empty());
            // The control word is where it always is.
            let reads_control = |x: &Inst| x.op == Op::Get && x.imm == u64::from(Slot::FCW.0);
            let first = (from..to).find(|&k| is_x87(&block.insts[k]) && !reads_control(&block.insts[k]));
            if let Some(exit) = exit {
                // What the instruction does with the stack before it leaves is no group.
                usage.leave = first.map_or(exit, |first| first.min(exit));
                break;
            }
            let Some(first) = first else { continue };
            let before = stack;
            let group = recognise(block, from, to).and_then(|found| {
                let (first, end) = found.range();
                let (what, code) = match found.host {
                    Host::StatusToAx => (What::StatusToAx, (0, 0)),
                    Host::Wait => (What::Insn(Insn::Wait), (0x9b, 0xc0)),
                    Host::Mem(op, code) | Host::Reg(op, code) => (What::Insn(Insn::decode(op, code)?), (op, code)),
                    Host::Cmov(from, cond, turned) => (What::Cmov { from, cond, turned }, (0, 0)),
                    Host::Emms | Host::Mmx(_) => return None,
                };
                let keeps = |k: usize| {
                    block.insts[k].result() == Ty::None
                        || lone(k, end)
                        || found.fl == Some(k)
                        || what == What::StatusToAx
                };
                if !found.members().all(keeps) {
                    return None;
                }
                match what {
                    What::Insn(insn) => stack.step(insn)?,
                    What::Cmov { from, .. } => stack.step(Insn::Exchange(from))?,
                    What::StatusToAx => {}
                }
                found.members().for_each(|k| usage.member[k] = true);
                Some(Group { first, end, what, code, addr: found.addr, fl: found.fl, any_rounding: false })
            });
            match group {
                Some(g) => usage.groups.push(g),
                None => {
                    stack = before;
                    usage.leave = first;
                    break;
                }
            }
        }
        usage.find_any_rounding();
        (usage.need, usage.expect) = (stack.need, stack.expect);
        (usage.need != 0).then_some((usage, stack))
    }
}

impl Usage {
    /// Marks the control words that need not ask for rounding to nearest, because the next one comes before anything that depends on it.
    fn find_any_rounding(&mut self) {
        let mut fits = false;
        for g in self.groups.iter_mut().rev() {
            match g.what {
                What::Insn(Insn::LoadControl) => (g.any_rounding, fits) = (fits, true),
                What::Insn(insn) => fits &= insn.takes_any_rounding(),
                What::StatusToAx | What::Cmov { .. } => {}
            }
        }
    }
}

impl Emit<'_> {
    /// Prepares the version of the current block that works on live state.
    pub(super) fn x87_usage(&mut self) -> Option<Usage> {
        let an = &self.an;
        if an.seen.0 & class::X87 == 0 {
            return None;
        }
        let lone = |k: usize, end: usize| an[k].end() <= end && !an[k].lazy;
        let (usage, _) = Usage::of(self.block, &lone)?;
        for g in &usage.groups {
            // Whatever stops in a group starts at its first operation again.
            let mut todo: Vec<Val> =
                (g.first..=g.end).flat_map(|k| self.block.insts[k].operands().iter().copied()).collect();
            while let Some(v) = todo.pop() {
                let k = v.index();
                self.an[k].needed_at(g.end);
                if self.an[k].lazy {
                    todo.extend_from_slice(self.block.insts[k].operands());
                }
            }
        }
        Some(usage)
    }

    /// The check at the entry; `other` is the version that works on any state.
    pub(super) fn x87_enter(&mut self, usage: &Usage, other: Label) {
        let (again, cold) = (self.buf.label(), self.buf.label());
        self.buf.bind(again);
        self.frame_access(Access::LdrX, S0, self.x87_mask());
        let low = usage.need.trailing_zeros();
        let width = 32 - usage.need.leading_zeros() - low;
        if usage.need >> low == (1 << width) - 1 {
            self.w(int::ubfx(Sz::X, S0, S0, low, width));
        } else {
            self.mov_imm(Sz::X, S1, u64::from(usage.need));
            self.w(int::logic(Logic::And, Sz::X, S0, S0, S1, Shift::Lsl, 0));
            self.w(int::lsr_imm(Sz::X, S0, S0, low));
        }
        let expect = u64::from(usage.expect >> low);
        match Imm12::new(expect) {
            Some(imm) if expect != 0 => self.w(int::arith_imm(Arith::Sub, Sz::X, S0, S0, imm)),
            Some(_) => {}
            None => {
                self.mov_imm(Sz::X, S1, expect);
                self.w(int::arith(Arith::Sub, Sz::X, S0, S0, S1, Shift::Lsl, 0));
            }
        }
        self.w_to(branch::cbz(true, Sz::X, S0), cold, Field::Arm19);
        self.later(Cold::X87Check { label: cold, again, other });
        let (base, inexact) = (self.x87_take(), self.x87_take());
        self.frame_access(Access::LdrX, base, live(offset_of!(Live, base)));
        self.frame_access(Access::LdrX, inexact, live(offset_of!(Live, inexact)));
        let inner = self.buf.label();
        self.buf.bind(inner);
        self.x87 = Some(State {
            base,
            inexact,
            stack: Stack::default(),
            c1: C1::Memory,
            cache: Vec::new(),
            any_rounding: false,
            held: None,
            pending: None,
            tagged: false,
            inner,
        });
        self.end_op(0);
    }

    /// Offset in the frame of the tags that code of this precision looks at.
    fn x87_mask(&self) -> usize {
        live(offset_of!(Live, masks)) + 8 * self.request.significand as usize
    }

    /// What stands behind the code for a check that failed.
    pub(super) fn x87_check(&mut self, again: Label, other: Label) {
        self.frame_access(Access::LdrX, S0, live(offset_of!(Live, live)));
        self.w_to(branch::cbz(true, Sz::X, S0), other, Field::Arm19);
        self.call_helper(X87_ENTER, 0);
        self.frame_access(Access::LdrX, S0, live(offset_of!(Live, live)));
        self.w_to(branch::cbz(true, Sz::X, S0), again, Field::Arm19);
        self.w_to(branch::B, other, Field::Arm26);
    }

    /// The operations of the block, on live state.
    pub(super) fn x87_body(&mut self, usage: &Usage) {
        let n = self.block.insts.len();
        let mut next = 0;
        for i in 0..n {
            self.index = i;
            if i == usage.leave {
                self.x87_leave();
            }
            if self.done[i] {
                continue;
            }
            while usage.groups.get(next).is_some_and(|g| g.end < i) {
                next += 1;
            }
            let group = usage.groups.get(next).copied().filter(|g| g.first <= i);
            if let Some(g) = group {
                if i == g.first {
                    self.commit(i);
                }
                if let Some(x) = &mut self.x87 {
                    x.pending = Some(g.first);
                }
                if i == g.end {
                    self.x87_group(g);
                    if let Some(x) = &mut self.x87 {
                        x.pending = None;
                    }
                    self.end_op(i);
                    continue;
                }
                if usage.member[i] {
                    continue;
                }
            }
            if !self.batched(i) {
                self.op(i);
            }
            if let Some(x) = &mut self.x87 {
                x.pending = None;
            }
            self.end_op(i);
        }
        self.index = n;
        self.commit(n);
        if self.x87.is_some() {
            self.x87_end();
        }
        self.terminal();
        self.x87 = None;
    }

    /// A temporary for longer than one operation.
    fn x87_take(&mut self) -> Reg {
        let r = self.scratch();
        self.own_x87(r);
        r
    }

    fn own_x87(&mut self, r: Reg) {
        if let Some(t) = TEMPS.iter().position(|&t| t == r.n() as u8) {
            self.books.set_own(t, Own::X87);
        }
    }

    /// Makes a temporary one of the current operation only.
    fn release_x87(&mut self, r: Reg) {
        if let Some(t) = TEMPS.iter().position(|&t| t == r.n() as u8) {
            self.books.set_own(t, Own::Scratch);
        }
    }

    /// Gives up temporaries that hold what is in memory, or has C1 in memory. False when there are none.
    pub(super) fn x87_make_room(&mut self) -> bool {
        let Some(s) = &mut self.x87 else { return false };
        let pinned = |t: u8| TEMPS.iter().position(|&k| k == t).is_some_and(|k| self.books.is_pinned(k));
        if let Some(k) = s.cache.iter().position(|&(_, m, w)| !pinned(m) && !pinned(w)) {
            let (_, m, w) = s.cache.remove(k);
            for t in [m, w] {
                if let Some(t) = TEMPS.iter().position(|&k| k == t) {
                    self.books.set_own(t, Own::Free);
                }
            }
            return true;
        }
        if let C1::Rounded(t, slot) = s.c1 {
            if !pinned(t) {
                self.frame_access(Access::StrX, x(t), live(offset_of!(Live, c1)));
                self.x87_set_c1(C1::Spilled(slot));
                if let Some(t) = TEMPS.iter().position(|&k| k == t) {
                    self.books.set_own(t, Own::Free);
                }
                return true;
            }
        }
        false
    }

    /// From here on C1 is that.
    pub(super) fn x87_set_c1(&mut self, c1: C1) {
        let Some(s) = &mut self.x87 else { return };
        let old = std::mem::replace(&mut s.c1, c1);
        if let C1::Rounded(t, _) = old {
            if !matches!(c1, C1::Rounded(u, _) if u == t) {
                self.release_x87(x(t));
            }
        }
        if let C1::Rounded(t, _) = c1 {
            self.own_x87(x(t));
        }
    }

    /// What places say of the state.
    pub(super) fn x87_report(&self, values: &mut Vec<(Val, Loc)>) {
        let Some(s) = &self.x87 else { return };
        let mut say = |what: u64| values.push((crate::X87, Loc::Const(what)));
        if let Some((slot, m, w)) = s.held {
            say(x87::register(m.n() as u8, w.n() as u8, slot));
        }
        match s.c1 {
            C1::Memory => {}
            C1::Zero => say(x87::c1_zero()),
            C1::Rounded(t, slot) => say(x87::c1_pair(t, slot)),
            C1::Spilled(slot) => say(x87::c1_spilled(slot)),
        }
        say(x87::inexact(s.inexact.n() as u8));
        say(self.x87_change());
    }

    /// What has become of TOP and tags since the entry.
    pub(super) fn x87_change(&self) -> u64 {
        let Some(s) = &self.x87 else { return 0 };
        if s.tagged {
            return x87::moved(s.stack.top);
        }
        let changed = s.stack.known & (s.stack.valid ^ s.stack.expect);
        x87::stack(s.stack.top, changed & s.stack.valid, changed & !s.stack.valid)
    }

    /// The group's effect on TOP and tags.
    pub(super) fn x87_step(&mut self, insn: Insn) {
        let Some(s) = &mut self.x87 else { return };
        if s.stack.step(insn).is_none() {
            self.fail();
        }
    }

    /// The register ST(i) relative to the entry.
    pub(super) fn x87_slot(&self, i: u8) -> i8 {
        self.x87.as_ref().map_or(0, |s| s.stack.top + i as i8)
    }

    pub(super) fn x87_base(&self) -> Reg {
        self.x87.as_ref().map_or(ZR, |s| s.base)
    }

    pub(super) fn x87_inexact(&self) -> Reg {
        self.x87.as_ref().map_or(ZR, |s| s.inexact)
    }

    /// Load or store of both parts of a register.
    pub(super) fn x87_pair(&self, load: bool, m: Reg, w: Reg, slot: i8) -> u32 {
        // 16 * 8 is within reach.
        mem::pair(load, Pair::X, m, w, self.x87_base(), 16 * i64::from(slot), Mode::Offset).unwrap_or(branch::brk(2))
    }

    /// The temporaries that hold a register, if there are such.
    pub(super) fn x87_cached(&mut self, slot: i8) -> Option<(Reg, Reg)> {
        let s = self.x87.as_mut()?;
        let k = s.cache.iter().position(|c| c.0 == slot)?;
        // The last one is the one used last.
        let c = s.cache.remove(k);
        s.cache.push(c);
        let (m, w) = (x(c.1), x(c.2));
        self.books.pin(&[m, w]);
        Some((m, w))
    }

    /// A register in temporaries, which stay its.
    pub(super) fn x87_operand(&mut self, slot: i8) -> (Reg, Reg) {
        if let Some(c) = self.x87_cached(slot) {
            return c;
        }
        let (m, w) = (self.x87_take(), self.x87_take());
        let word = self.x87_pair(true, m, w, slot);
        self.w(word);
        if let Some(s) = &mut self.x87 {
            s.cache.push((slot, m.n() as u8, w.n() as u8));
        }
        (m, w)
    }

    /// A register in temporaries that the operation may overwrite.
    pub(super) fn x87_own(&mut self, slot: i8) -> (Reg, Reg) {
        let c = self.x87_operand(slot);
        self.x87_forget(slot);
        c
    }

    /// The temporaries that hold a register hold it no more.
    pub(super) fn x87_forget(&mut self, slot: i8) {
        let Some(s) = &mut self.x87 else { return };
        if let Some(k) = s.cache.iter().position(|c| c.0 == slot) {
            let (_, m, w) = s.cache.remove(k);
            self.release_x87(x(m));
            self.release_x87(x(w));
        }
    }

    /// The same, and they are free for others.
    pub(super) fn x87_evict(&mut self, slot: i8) {
        let Some(s) = &mut self.x87 else { return };
        let Some(k) = s.cache.iter().position(|c| c.0 == slot) else { return };
        let (_, m, w) = s.cache.remove(k);
        for t in [m, w] {
            if let Some(t) = TEMPS.iter().position(|&k| k == t) {
                let own = if self.books.is_pinned(t) { Own::Scratch } else { Own::Free };
                self.books.set_own(t, own);
            }
        }
    }

    /// These temporaries hold a register, which is in memory as well.
    pub(super) fn x87_remember(&mut self, slot: i8, m: Reg, w: Reg) {
        self.x87_forget(slot);
        self.own_x87(m);
        self.own_x87(w);
        if let Some(s) = &mut self.x87 {
            s.cache.push((slot, m.n() as u8, w.n() as u8));
        }
    }

    /// The registers that are in temporaries now.
    pub(super) fn x87_all_cached(&self) -> Vec<(i8, Reg, Reg)> {
        let cache = self.x87.as_ref().map(|s| s.cache.as_slice()).unwrap_or_default();
        cache.iter().map(|&(slot, m, w)| (slot, x(m), x(w))).collect()
    }

    /// C1 to the frame.
    pub(super) fn x87_write_c1(&mut self) {
        let Some(s) = &self.x87 else { return };
        let at = live(offset_of!(Live, c1));
        let pair = |e: &mut Self, a: Reg, b: Reg| {
            e.wo(mem::pair(false, Pair::X, a, b, FRAME, at as i64, Mode::Offset));
        };
        match s.c1 {
            C1::Memory => return,
            C1::Zero => pair(self, ZR, ZR),
            C1::Rounded(t, slot) => {
                let m = self.x87_significand(slot);
                pair(self, x(t), m);
            }
            C1::Spilled(slot) => {
                let m = self.x87_significand(slot);
                self.frame_access(Access::StrX, m, at + 8);
            }
        }
        let old = self.x87.as_ref().map(|s| s.c1);
        self.x87_set_c1(C1::Memory);
        if let Some(C1::Rounded(t, _)) = old {
            self.free_x87(t);
        }
    }

    /// A temporary of the state is free for the operation at hand.
    fn free_x87(&mut self, t: u8) {
        if let Some(k) = TEMPS.iter().position(|&k| k == t) {
            self.books.free(k);
        }
    }

    /// The significand of a register for reading; may use S0.
    fn x87_significand(&mut self, slot: i8) -> Reg {
        if let Some((m, _)) = self.x87_cached(slot) {
            return m;
        }
        let base = self.x87_base();
        self.wo(mem::offset(Access::LdrX, S0, base, 16 * i64::from(slot)));
        S0
    }

    /// TOP and tags to the frame.
    fn x87_write_stack(&mut self) {
        let Some(s) = &self.x87 else { return };
        let (stack, base) = (s.stack, s.base);
        let changed = stack.known & (stack.valid ^ stack.expect);
        if stack.top == 0 && changed == 0 {
            return;
        }
        self.frame_access(Access::LdrX, S0, self.x87_mask());
        for (bits, op) in [(changed & !stack.valid, Logic::Bic), (changed & stack.valid, Logic::Orr)] {
            if bits == 0 {
                continue;
            }
            let bits = u64::from(bits);
            let (imm, by_imm) = if op == Logic::Bic { (!bits, Logic::And) } else { (bits, Logic::Orr) };
            match LogicImm::new(Sz::X, imm).and_then(|imm| int::logic_imm(by_imm, Sz::X, S0, S0, imm)) {
                Some(w) => self.w(w),
                None => {
                    self.mov_imm(Sz::X, S1, bits);
                    self.w(int::logic(op, Sz::X, S0, S0, S1, Shift::Lsl, 0));
                }
            }
        }
        let by = u32::from(stack.top.unsigned_abs());
        if stack.top < 0 {
            // Ones come in from below.
            self.w(int::logic(Logic::Orn, Sz::X, S0, ZR, S0, Shift::Lsl, 0));
            self.w(int::logic(Logic::Orn, Sz::X, S0, ZR, S0, Shift::Lsl, by));
        } else if stack.top > 0 {
            self.w(int::lsr_imm(Sz::X, S0, S0, by));
        }
        let bytes = 16 * u64::from(by);
        let op = if stack.top < 0 { Arith::Sub } else { Arith::Add };
        self.wo(Imm12::new(bytes).map(|imm| int::arith_imm(op, Sz::X, S1, base, imm)));
        let at = live(offset_of!(Live, base));
        if self.request.significand == Significand::Extended {
            // The first word of tags is behind it.
            self.wo(mem::pair(false, Pair::X, S1, S0, FRAME, at as i64, Mode::Offset));
        } else {
            self.frame_access(Access::StrX, S0, self.x87_mask());
            if let Some(s) = &mut self.x87 {
                s.tagged = true;
            }
            self.frame_access(Access::StrX, S1, at);
        }
        if let Some(s) = &mut self.x87 {
            s.tagged = false;
            s.stack = Stack::default();
        }
        // From here on `base` is not the top any more, and nothing but the two words below may be written.
        self.x87_settled();
    }

    /// TOP has been written: registers are not addressed any more.
    fn x87_settled(&mut self) {
        for (slot, ..) in self.x87_all_cached() {
            self.x87_forget(slot);
        }
    }

    fn x87_write_inexact(&mut self) {
        let inexact = self.x87_inexact();
        self.frame_access(Access::StrX, inexact, live(offset_of!(Live, inexact)));
    }

    /// Everything to the frame; the rest of the block has no live state.
    fn x87_leave(&mut self) {
        if self.x87.is_none() {
            return;
        }
        self.commit(self.index);
        self.x87_write_c1();
        self.x87_write_inexact();
        self.x87_write_stack();
        self.x87_drop();
        self.end_op(self.index.saturating_sub(1));
    }

    /// The temporaries of the state are free again.
    fn x87_drop(&mut self) {
        if let Some(s) = self.x87.take() {
            for r in [s.base, s.inexact] {
                self.release_x87(r);
            }
            for (_, m, w) in s.cache {
                self.release_x87(x(m));
                self.release_x87(x(w));
            }
        }
    }

    /// The block ends: what remains to be written when it does not go on at its own inner entry.
    fn x87_end(&mut self) {
        self.x87_write_c1();
        let Some(s) = &self.x87 else { return };
        let same = s.stack.top == 0 && s.stack.known & (s.stack.valid ^ s.stack.expect) == 0;
        if same && self.loops() {
            return;
        }
        self.x87_leave();
    }

    /// Whether the block's terminal leads to its own beginning, on one side.
    fn loops(&self) -> bool {
        use demotic_ir::block::Term;
        match self.block.term {
            Term::Branch { taken, fall, .. } => (taken.block == Some(self.number)) != (fall.block == Some(self.number)),
            _ => false,
        }
    }

    /// At the terminal of a block that goes on behind its own check: that label.
    pub(super) fn x87_inner(&self) -> Option<Label> {
        self.x87.as_ref().map(|s| s.inner)
    }

    /// The way out of such a loop.
    pub(super) fn x87_exit(&mut self) {
        if self.x87.is_some() {
            self.x87_write_inexact();
            self.x87_drop();
        }
    }

    /// The place before the next instruction with C1 as the frame says.
    pub(super) fn x87_place_after(&mut self, end: usize) -> Place {
        let index = self.index;
        self.index = end + 1;
        let old = self.x87.as_mut().map(|s| (std::mem::replace(&mut s.c1, C1::Memory), s.pending.take()));
        let place = self.here();
        if let (Some(s), Some((c1, pending))) = (&mut self.x87, old) {
            (s.c1, s.pending) = (c1, pending);
        }
        self.index = index;
        place
    }

    /// The state goes where the interpreter finds it: for reads and writes of the status and tag words.
    pub(super) fn x87_to_state(&mut self) {
        self.call_helper(X87_LEAVE, 0);
    }
}
