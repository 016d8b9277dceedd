//! What this emitter decides about a block before it emits it.
//!
//! Which operations anybody needs at all (the rest is recomputed by the interpreter in the rare case that a deferred flag
//! definition asks); which ones emit nothing themselves because their only user takes them into an operand, an address or a
//! compare-and-branch (*lazy*); which flags operation rides on the instruction of a value operation (*fused*); how long every
//! value has to be found; and which value may be computed in the home of the slot it is written to. Derived from the IR and
//! nothing else, so that a second emission decides the same.

use super::class;
use crate::class as of_all;
use crate::plan;
use core::mem::take;
use demotic_asm::arm64::Sz;
use demotic_ir::block::{Block, Inst, Term, Val};
use demotic_ir::interp::ATTR_ALIGN16;
use demotic_ir::ops::{Effects, Op};
use demotic_ir::passes::flags::cond_reads;
use demotic_ir::slot::Slot;
use demotic_ir::state::Mode;
use demotic_ir::state::eflags::{AF, ARITH, CF, OF, PF, SF, ZF};
use demotic_ir::ty::Ty;
use std::ops::{Index, IndexMut};

/// EFLAGS bits whose home is NZCV.
pub(super) const IN_NZCV: u32 = CF | ZF | SF | OF;
/// No operation: above the number of operations of any block.
pub(super) const NONE: usize = NOTHING as usize;
const NOTHING: u16 = u16::MAX;

/// How a flags value comes to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fl {
    /// In the homes, where the operation stands.
    Home,
    /// In the homes, but only where it is written: somebody looks at the old flags in between.
    AtSet,
    /// As an EFLAGS image in a register.
    Image,
}

/// What is decided about one operation. Those that name others have [`NONE`] for nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fact {
    /// Flags of a flags value that somebody reads.
    pub need: u32,
    end: u16,
    user: u16,
    set: u16,
    fused: u16,
    host_of: u16,
    popped: u16,
    pushed: u16,
    push_sum: u16,
    /// Number of live users.
    pub uses: u16,
    /// How many of those take the value as an address.
    addresses: u16,
    /// Emitted at all.
    pub live: bool,
    /// Emitted by its user.
    pub lazy: bool,
    /// A write of a register that nobody sees.
    pub dead: bool,
    /// An access whose address is known to be aligned: another one before it was, at a distance that keeps it.
    pub aligned: bool,
    /// How flags are computed.
    pub how: Fl,
    /// The slot in whose home the value may be computed.
    pub into: Option<u8>,
    /// A load that is only sign-extended, and to what.
    pub extended: Option<Sz>,
}

/// Nothing is known yet, but [`Fact::end`].
const FRESH: Fact = Fact {
    need: 0,
    end: 0,
    user: NOTHING,
    set: NOTHING,
    fused: NOTHING,
    host_of: NOTHING,
    popped: NOTHING,
    pushed: NOTHING,
    push_sum: NOTHING,
    uses: 0,
    addresses: 0,
    live: false,
    lazy: false,
    dead: false,
    aligned: false,
    how: Fl::Home,
    into: None,
    extended: None,
};

impl Fact {
    /// Last operation that needs the value; the number of operations for the terminal.
    #[inline(always)]
    pub fn end(&self) -> usize {
        self.end.into()
    }
    /// Another [`Fact::end`]; gives the one before.
    #[inline(always)]
    pub fn replace_end(&mut self, end: usize) -> usize {
        core::mem::replace(&mut self.end, end as u16).into()
    }
    /// The operation at `i` needs the value as well.
    #[inline(always)]
    pub fn needed_at(&mut self, i: usize) {
        self.end = self.end.max(i as u16);
    }
    /// One live user; the number of operations for the terminal.
    #[inline(always)]
    pub fn user(&self) -> usize {
        self.user.into()
    }
    /// The live `SetFl` of a flags value.
    #[inline(always)]
    pub fn set(&self) -> usize {
        self.set.into()
    }
    /// For a value operation: the flags operation that its instruction computes as well.
    #[inline(always)]
    pub fn fused(&self) -> usize {
        self.fused.into()
    }
    /// The other way round.
    #[inline(always)]
    fn host_of(&self) -> usize {
        self.host_of.into()
    }
    /// For a load: the addition to its address register that it can do as well.
    #[inline(always)]
    pub fn popped(&self) -> usize {
        self.popped.into()
    }
    /// For a store: the `Set` of the address register that it can do as well.
    #[inline(always)]
    pub fn pushed(&self) -> usize {
        self.pushed.into()
    }
    /// For such a store: the addition that gives its address.
    #[inline(always)]
    pub fn push_sum(&self) -> usize {
        self.push_sum.into()
    }
}

/// By operation.
#[derive(Debug, Default)]
pub(super) struct Analysis {
    of: Vec<Fact>,
    /// [`class`] bits of all operations together: those of every emitter, and this one's.
    pub seen: (u16, u8),
    // ---- operations by what is to be decided about them, the last one first
    /// Those that name a slot or show the state.
    slots: Vec<u16>,
    loads: Vec<u16>,
    stores: Vec<u16>,
    /// Those that may be lazy.
    lazies: Vec<u16>,
    /// Those that make flags.
    flags: Vec<u16>,
    /// Whether some access asks for an aligned address.
    aligns: bool,
    /// Stores that write their address register, in order.
    pushes: Vec<usize>,
    /// Addresses that were looked at: a value and what is to be added to it for a multiple of 16.
    checked: Vec<(usize, u64)>,
    /// What only deferred definitions need.
    todo: Vec<Val>,
}

impl Index<usize> for Analysis {
    type Output = Fact;
    #[inline(always)]
    fn index(&self, i: usize) -> &Fact {
        &self.of[i]
    }
}

impl IndexMut<usize> for Analysis {
    #[inline(always)]
    fn index_mut(&mut self, i: usize) -> &mut Fact {
        &mut self.of[i]
    }
}

fn is_const(block: &Block, v: Val) -> Option<u64> {
    let inst = block.insts.get(v.index())?;
    (inst.op == Op::Const).then_some(inst.imm & inst.ty.mask())
}

/// How floating-point operations are done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fp {
    /// By code.
    pub inline: bool,
    /// Comparisons, too.
    pub comparisons: bool,
    /// A comparison may be done where its flags are written.
    pub later: bool,
}

impl Analysis {
    /// Looks at a block. `flags_home` becomes the EFLAGS bits whose homes must be exact before every operation and the terminal; `exact`: also those
    /// that only a fault shows.
    pub fn analyse(&mut self, block: &Block, flags_home: &mut Vec<u32>, mode: Mode, how: Fp, exact: bool, plain: bool) {
        let fp = how.inline;
        self.clear(block.insts.len());
        self.liveness(block, flags_home, fp, exact);
        if !block.deferred.is_empty() {
            self.deferred(block, fp);
        }
        if plain {
            self.pushes(block);
        }
        self.laziness(block, mode);
        self.extensions(block);
        self.flags(block, flags_home, how);
        self.lifetimes(block, fp);
        self.homes(block, fp);
        self.overwritten(block, fp);
        if self.aligns {
            self.alignment(block);
        }
        if plain {
            self.pops(block);
        }
    }

    fn clear(&mut self, n: usize) {
        self.of.clear();
        self.of.extend((0..n as u16).map(|end| Fact { end, ..FRESH }));
        self.pushes.clear();
        for list in [&mut self.slots, &mut self.loads, &mut self.stores, &mut self.lazies, &mut self.flags] {
            list.clear();
        }
    }

    /// Writes of registers that are written again before anybody can look.
    fn overwritten(&mut self, block: &Block, fp: bool) {
        const UPPER: core::ops::Range<u64> = 54..70;
        let mut later = [false; 70];
        for k in 0..self.slots.len() {
            let i = usize::from(self.slots[k]);
            let inst = &block.insts[i];
            let homed = inst.imm < 32 || UPPER.contains(&inst.imm);
            let slot = if homed { inst.imm as usize } else { 0 };
            match inst.op {
                Op::Set if homed => {
                    if later[slot] && !self.pushes.iter().any(|&st| self[st].pushed() == i) {
                        self[i].dead = true;
                    } else if plan::replaces(inst.ty, Slot(slot as u8)) {
                        later[slot] = true;
                    }
                }
                Op::Get | Op::GetHi | Op::SetHi if homed => later[slot] = false,
                _ => {}
            }
            if shows(inst, fp) {
                later = [false; 70];
            }
        }
    }

    /// Which accesses need no check of their alignment.
    fn alignment(&mut self, block: &Block) {
        self.checked.clear();
        for (i, inst) in block.insts.iter().enumerate() {
            if !matches!(inst.op, Op::Ld | Op::St) || inst.imm & ATTR_ALIGN16 == 0 {
                continue;
            }
            let (mut root, mut by) = (inst.args[0].index(), 0u64);
            loop {
                let v = &block.insts[root];
                match (v.op, is_const(block, v.args[1])) {
                    (Op::Add, Some(c)) => by = by.wrapping_add(c) & 15,
                    (Op::Zext, _) if block.insts[v.args[0].index()].result().bits() >= 32 => {}
                    _ => break,
                }
                root = v.args[0].index();
            }
            let v = &block.insts[root];
            let cut = v.op == Op::And && by == 0 && is_const(block, v.args[1]).is_some_and(|c| c & 15 == 0);
            self[i].aligned = cut || self.checked.contains(&(root, by));
            if !self[i].aligned {
                self.checked.push((root, by));
            }
        }
    }

    /// Operations strictly between that emit nothing and do not name a slot.
    fn quiet(&self, block: &Block, from: usize, to: usize, slot: u64) -> bool {
        (from + 1..to).all(|k| {
            let inst = &block.insts[k];
            match inst.op {
                Op::Nop | Op::Const => true,
                Op::Get => inst.imm < 16 && inst.imm != slot,
                _ => !self[k].live && inst.op.info().effects.removable(),
            }
        })
    }

    /// Stores at a register minus a constant which is then what the register becomes.
    fn pushes(&mut self, block: &Block) {
        for k in (0..self.stores.len()).rev() {
            let i = usize::from(self.stores[k]);
            let st = &block.insts[i];
            if !matches!(st.ty, Ty::I16 | Ty::I32 | Ty::I64) || st.imm & 1 != 0 {
                continue;
            }
            let mut k = st.args[0].index();
            let through = block.insts[k].op == Op::Zext && self[k].uses == 1;
            if through {
                k = block.insts[k].args[0].index();
            }
            let sum = &block.insts[k];
            if sum.op != Op::Add || !matches!(sum.ty, Ty::I32 | Ty::I64) || (sum.ty == Ty::I32) != through {
                continue;
            }
            let small = is_const(block, sum.args[1]).is_some_and(|c| {
                let c = if sum.ty == Ty::I32 { i64::from(c as i32) } else { c as i64 };
                (-256..0).contains(&c)
            });
            if !small {
                continue;
            }
            // The first users are this store and the write.
            let v = Val(k as u16);
            let Some(set) =
                (i + 1..block.insts.len()).find(|&j| self[j].live && block.insts[j].operands().contains(&v))
            else {
                continue;
            };
            let write = &block.insts[set];
            let before = (k + 1..i).any(|j| {
                self[j].live && block.insts[j].operands().contains(&v) && !(through && j == st.args[0].index())
            });
            if write.op == Op::Set
                && write.imm < 16
                && holds(block, sum.args[0], sum.ty, write.imm, set)
                && plan::replaces(write.ty, Slot(write.imm as u8))
                && !before
                && st.args[1] != v
                && st.args[1] != st.args[0]
                && self.quiet(block, i, set, write.imm)
            {
                self[i].pushed = set as u16;
                self.pushes.push(i);
                self[i].push_sum = k as u16;
            }
        }
    }

    /// Loads at a register that then becomes itself plus a constant.
    fn pops(&mut self, block: &Block) {
        for i in self.loads.iter().rev().map(|&i| usize::from(i)) {
            let ld = &block.insts[i];
            if ld.imm & 1 != 0 || !matches!(ld.ty, Ty::I8 | Ty::I16 | Ty::I32 | Ty::I64 | Ty::V128) {
                continue;
            }
            let mut k = ld.args[0].index();
            if block.insts[k].op == Op::Zext && self.of[k].uses == 1 {
                k = block.insts[k].args[0].index();
            }
            // The next user and the last one: what stands between has to be quiet.
            let j = self.of[k].end();
            let Some(sum) = block.insts.get(j).filter(|sum| j > i && sum.op == Op::Add && self.of[j].live) else {
                continue;
            };
            let small = is_const(block, sum.args[1]).is_some_and(|c| {
                let c = if sum.ty == Ty::I32 { i64::from(c as i32) } else { c as i64 };
                (-256..256).contains(&c) && c != 0
            });
            let Some(slot) = self.of[j].into.filter(|&s| s < 16) else { continue };
            if sum.args[0].index() == k
                && small
                && self.of[i].into != Some(slot)
                && holds(block, Val(k as u16), sum.ty, u64::from(slot), j)
                && self.of[j].fused() == NONE
                && self.quiet(block, i, j, u64::from(slot))
            {
                self.of[i].popped = j as u16;
            }
        }
    }

    fn extensions(&mut self, block: &Block) {
        for k in 0..self.loads.len() {
            let i = usize::from(self.loads[k]);
            let ld = &block.insts[i];
            if self[i].uses != 1 || !self[i].live {
                continue;
            }
            if let Some(u) = block.insts.get(self[i].user()) {
                if u.op == Op::Sext
                    && u.imm == u64::from(ld.ty.bits())
                    && matches!(ld.ty, Ty::I8 | Ty::I16 | Ty::I32)
                    && matches!(u.ty, Ty::I32 | Ty::I64)
                    && u.ty > ld.ty
                {
                    self[i].extended = Some(if u.ty == Ty::I64 { Sz::X } else { Sz::W });
                }
            }
        }
    }

    /// The one traversal of everything: who is needed by whom, which flags have to be in their homes where, and who is to be looked at more closely.
    fn liveness(&mut self, block: &Block, flags_home: &mut Vec<u32>, fp: bool, exact: bool) {
        // What deferred definitions cover stands in the table until its place is taken by what is asked for; the flags themselves, when somebody reads
        // them, above that.
        const READ: u32 = 1 << 31;
        let n = block.insts.len();
        flags_home.clear();
        flags_home.resize(n + 1, 0);
        for d in &block.deferred {
            let range = usize::from(d.from).min(n)..usize::from(d.to).min(n);
            flags_home[range].iter_mut().for_each(|c| *c |= d.mask & ARITH);
        }
        for v in block.term.operands().into_iter().filter(|v| v.index() < n) {
            let fact = &mut self[v.index()];
            fact.live = true;
            fact.uses += 1;
            fact.user = n as u16;
            flags_home[v.index()] |= READ;
        }
        let mut home = block.live_out;
        flags_home[n] = home;
        let (mut seen, mut aligns) = ((0, 0), false);
        for (i, inst) in block.insts.iter().enumerate().rev() {
            let at = i as u16;
            let (all, class) = class::of(inst.op);
            seen = (seen.0 | all, seen.1 | class);
            if all & (of_all::SLOT | of_all::SHOWS) != 0 {
                self.slots.push(at);
            }
            if class & class::LAZY != 0 {
                self.lazies.push(at);
            }
            // Flags that are written count by who reads them behind.
            let mut written = 0;
            if (all & (of_all::SHOWS | of_all::FLAGS)) != 0 || class & (class::FLAGS | class::TAKES) != 0 {
                if class & class::FLAGS != 0 {
                    self.flags.push(at);
                }
                if class & class::TAKES != 0 {
                    for v in inst.operands().iter().filter(|v| block.insts[v.index()].op == Op::GetFl) {
                        flags_home[v.index()] |= READ;
                    }
                }
                match inst.op {
                    Op::SetFl => {
                        written = inst.imm as u32 & home;
                        home &= !(inst.imm as u32);
                    }
                    Op::GetFl if flags_home[i] & READ != 0 => home |= ARITH,
                    _ => {}
                }
                if inst.op == Op::ExitIf || exact && all & of_all::SHOWS != 0 && shows(inst, fp) {
                    home |= ARITH & !flags_home[i];
                }
            }
            flags_home[i] = home;
            if class & (class::LOAD | class::STORE) != 0 {
                aligns |= inst.imm & ATTR_ALIGN16 != 0;
                if class & class::LOAD != 0 { &mut self.loads } else { &mut self.stores }.push(at);
            }
            let own = &mut self.of[i];
            let flags = class & class::FLAGS != 0 && inst.result() == Ty::Fl;
            let root = if inst.op == Op::SetFl { written != 0 } else { class & class::REMOVABLE == 0 };
            own.live = inst.op != Op::Nop && (root || if flags { own.need != 0 } else { own.live });
            if !own.live {
                continue;
            }
            let by_constant = is_const_shift_flags(block, inst);
            for &v in inst.operands() {
                let of = &mut self.of[v.index()];
                if class & class::TAKES != 0 && block.insts[v.index()].result() == Ty::Fl {
                    if by_constant {
                        // A count other than 0 leaves nothing of the old flags.
                        continue;
                    }
                    of.need |= match inst.op {
                        Op::Cond => cond_reads(inst.imm),
                        Op::SetFl => written,
                        _ => ARITH,
                    };
                }
                of.live = true;
                of.uses += 1;
                of.user = at;
            }
            if class & class::ADDRESS != 0 && is_address(inst, inst.args[0]) {
                self.of[inst.args[0].index()].addresses += 1;
            }
            if inst.op == Op::SetFl {
                self.of[inst.args[0].index()].set = at;
            }
        }
        (self.seen, self.aligns) = (seen, aligns);
    }

    /// What only deferred definitions need: reads of slots have to be tracked, pure operations can be recomputed from their operands.
    fn deferred(&mut self, block: &Block, fp: bool) {
        let n = block.insts.len();
        let mut todo = take(&mut self.todo);
        for d in &block.deferred {
            let mut range = usize::from(d.from)..usize::from(d.to).min(n);
            if usize::from(d.to) > n || range.any(|i| shows(&block.insts[i], fp)) {
                todo.extend_from_slice(d.def.operands());
            }
        }
        let mut emitted: Vec<Val> = Vec::new();
        while let Some(v) = todo.pop() {
            let inst = &block.insts[v.index()];
            if self[v.index()].live {
                continue;
            }
            if inst.op.info().effects == Effects::PURE {
                todo.extend_from_slice(inst.operands());
            } else {
                emitted.push(v);
            }
        }
        while let Some(v) = emitted.pop() {
            let inst = &block.insts[v.index()];
            if self[v.index()].live {
                continue;
            }
            self[v.index()].live = true;
            if inst.result() == Ty::Fl {
                self[v.index()].need = ARITH;
            }
            for &a in inst.operands() {
                // Counted more than once, so that nothing is folded away.
                self[a.index()].uses += 2;
                self[a.index()].user = v.0;
                if block.insts[a.index()].result() == Ty::Fl {
                    self[a.index()].need = ARITH;
                }
                emitted.push(a);
            }
        }
        self.todo = todo;
    }

    fn laziness(&mut self, block: &Block, mode: Mode) {
        let n = block.insts.len();
        // Users that are all plain accesses at this address.
        let only_addresses = |a: &Analysis, i: usize| a[i].addresses > 0 && a[i].addresses == a[i].uses;
        // Backward, so that a user's own laziness is known.
        for k in 0..self.lazies.len() {
            let i = usize::from(self.lazies[k]);
            if !self[i].live {
                continue;
            }
            let pushed = |&st: &usize| {
                self[st].push_sum() == i || block.insts[st].args[0].index() == i && block.insts[i].op == Op::Zext
            };
            if self.pushes.iter().any(pushed) {
                self[i].lazy = true;
                continue;
            }
            let inst = &block.insts[i];
            let single = self[i].uses == 1;
            let user = (single && self[i].user() < n).then(|| &block.insts[self[i].user()]);
            let v = Val(i as u16);
            self[i].lazy = match inst.op {
                Op::Const => true,
                Op::Cond => true,
                Op::Eq | Op::LtU | Op::LtS if single => match user {
                    None => matches!(block.term, Term::Branch { .. }),
                    Some(u) => match u.op {
                        Op::ExitIf => true,
                        Op::Sel => u.args[0] == v && u.result() != Ty::Fl,
                        Op::Not => self[self[i].user()].lazy,
                        _ => false,
                    },
                },
                Op::Not if inst.ty == Ty::I1 && single => match user {
                    None => matches!(block.term, Term::Branch { .. }),
                    Some(u) => u.op == Op::ExitIf || u.op == Op::Sel && u.args[0] == v && u.result() != Ty::Fl,
                },
                // base + constant, base + index, base + (index << k): part of an address.
                Op::Add if inst.ty == Ty::I64 => {
                    let constant = is_const(block, inst.args[1]).is_some();
                    let cut = single && user.is_some_and(|u| u.op == Op::Zext && u.ty == Ty::I32);
                    cut || (constant && only_addresses(self, i))
                        || (single && user.is_some_and(|u| is_address(u, v)))
                        || (!constant
                            && single
                            && user.is_some_and(|u| {
                                u.op == Op::Add
                                    && self[self[i].user()].lazy
                                    && is_const(block, u.args[1]).is_some()
                                    && only_addresses(self, self[i].user())
                                    && self[self[i].user()].uses == 1
                            }))
                }
                Op::Zext if inst.ty == Ty::I64 => {
                    let from = &block.insts[inst.args[0].index()];
                    mode != Mode::Long
                        && from.op == Op::Add
                        && from.ty == Ty::I32
                        && is_const(block, from.args[1]).is_some_and(small32)
                        && only_addresses(self, i)
                }
                Op::Shl => {
                    let by = is_const(block, inst.args[1]);
                    matches!(inst.ty, Ty::I32 | Ty::I64)
                        && by.is_some_and(|by| by < u64::from(inst.ty.bits()))
                        && single
                        && user.is_some_and(|u| {
                            u.ty == inst.ty
                                && u.args[0] != u.args[1]
                                && match u.op {
                                    Op::Add | Op::And | Op::Or | Op::Xor => {
                                        is_const(block, u.args[0]).is_none()
                                            && is_const(block, u.args[1]).is_none()
                                            && !(self.lazy_shift(block, u.args[0], v)
                                                || self.lazy_shift(block, u.args[1], v))
                                    }
                                    Op::Sub => u.args[1] == v,
                                    _ => false,
                                }
                        })
                }
                // The sum under a lazy Zext, when nobody else wants it.
                Op::Add if inst.ty == Ty::I32 => {
                    single && user.is_some_and(|u| u.op == Op::Zext && self[self[i].user()].lazy)
                }
                Op::XFrom | Op::VIns | Op::VZext => user.is_some_and(|u| self.ends_in_mmx(block, i, u)),
                // A count.
                Op::VExt if user.is_some_and(|u| matches!(u.op, Op::VShl | Op::VShr | Op::VSar)) => {
                    inst.imm == 0 && inst.ty == Ty::I64
                }
                // A lane that is stored.
                Op::VExt if user.is_some_and(|u| u.op == Op::VZext) => {
                    user.is_some_and(|u| self.ends_in_mmx(block, i, u))
                }
                Op::VExt => {
                    inst.imm == 0
                        && matches!(inst.ty, Ty::I32 | Ty::I64)
                        && user.is_some_and(|u| u.op == Op::St && u.args[1] == v && u.args[0] != v)
                }
                _ => false,
            };
        }
    }

    /// Whether another operand is a lazy shift already: one instruction takes one.
    fn lazy_shift(&self, block: &Block, operand: Val, except: Val) -> bool {
        operand != except && self[operand.index()].lazy && block.insts[operand.index()].op == Op::Shl
    }

    /// An operation that emits no code at its own position and does not look at anything that changes.
    fn silent(&self, block: &Block, i: usize) -> bool {
        let inst = &block.insts[i];
        match inst.op {
            Op::Nop | Op::Const => true,
            Op::Get => inst.imm < 16,
            _ => (!self[i].live || self[i].lazy) && inst.op.info().effects.removable() && inst.op != Op::GetFl,
        }
    }

    fn flags(&mut self, block: &Block, flags_home: &[u32], fp: Fp) {
        for k in (0..self.flags.len()).rev() {
            let f = usize::from(self.flags[k]);
            let inst = &block.insts[f];
            if !self[f].live || inst.result() != Ty::Fl || inst.op == Op::GetFl {
                continue;
            }
            let mask = match self[f].set() {
                NONE => 0,
                s => block.insts[s].imm as u32,
            };
            let required = flags_home[f + 1];
            let other_users = |a: &Analysis| {
                // Conditions before the write need the value earlier.
                block.insts[f + 1..]
                    .iter()
                    .enumerate()
                    .any(|(k, u)| a[f + 1 + k].live && u.operands().contains(&Val(f as u16)) && f + 1 + k < a[f].set())
            };
            // Flags that stay while others change: C can be saved over one instruction, P and A are not written when they need not be.
            let quiet = matches!(inst.op, Op::FlAdd | Op::FlSub | Op::FlLogic)
                && matches!(inst.ty, Ty::I32 | Ty::I64)
                && self[f].need & (PF | AF) == 0;
            let need = self[f].need;
            let possible = |required: u32| {
                let stay = required & !mask;
                stay & CF & need == 0
                    && (stay & (PF | AF) == 0 || quiet)
                    && stay & IN_NZCV & !CF == 0
                    && (mask != 0 || stay & CF == 0)
            };
            if inst.op == Op::VTest && self[f].set() == NONE && self.one_branch(block, f, &[1, 2]) {
                self[f].lazy = true;
                continue;
            }
            // With the old carry in a scratch register nobody may give up, as a comparison may that does not wait.
            let kept = !fp.later && required & !mask & CF != 0;
            self[f].how = if !inlined(block, inst) || (inst.op == Op::FComi && (!fp.comparisons || kept)) {
                Fl::Image
            } else if required & mask == 0 && possible(required) {
                Fl::Home
            } else if mask != 0
                && (inst.op != Op::FComi || fp.later)
                && !other_users(self)
                && possible(flags_home[self[f].set() + 1])
                && self.can_wait(block, f)
            {
                Fl::AtSet
            } else {
                Fl::Image
            };
            if self[f].how != Fl::Home {
                continue;
            }
            if self.branch_only(block, f) {
                self[f].lazy = true;
                continue;
            }
            // Flags that are put together behind the instruction cannot share it: it may overwrite its operands.
            if !matches!(inst.ty, Ty::I32 | Ty::I64) || required & !mask & CF != 0 {
                continue;
            }
            let partner = |d: usize| {
                let v = &block.insts[d];
                if !self[d].live || self[d].lazy || v.ty != inst.ty || self[d].fused() != NONE {
                    return false;
                }
                match (inst.op, v.op) {
                    (Op::FlAdd, Op::Add) => {
                        v.args[..2] == inst.args[..2] || (v.args[0] == inst.args[1] && v.args[1] == inst.args[0])
                    }
                    (Op::FlSub, Op::Sub) => v.args[..2] == inst.args[..2],
                    (Op::FlLogic, Op::And) => inst.args[0].index() == d && self[f].need & (CF | AF) == 0,
                    _ => false,
                }
            };
            let mut d = f;
            while d > 0 {
                d -= 1;
                if let Some([x, z]) = self.carried(block, inst, d) {
                    self[d].fused = f as u16;
                    self[f].host_of = d as u16;
                    self[x].lazy = true;
                    self[z].lazy = true;
                    break;
                }
                if partner(d) {
                    self[d].fused = f as u16;
                    self[f].host_of = d as u16;
                    break;
                }
                if !self.silent(block, d) {
                    break;
                }
            }
        }
    }

    /// Whether `d` is the value of an addition or subtraction with carry whose flags `inst` is: then the two operations that it is
    /// made of.
    fn carried(&self, block: &Block, inst: &Inst, d: usize) -> Option<[usize; 2]> {
        let (outer, op) = match inst.op {
            Op::FlAdc => (&block.insts[d], Op::Add),
            Op::FlSbb => (&block.insts[d], Op::Sub),
            _ => return None,
        };
        if outer.op != op || outer.ty != inst.ty || !self[d].live || self[d].lazy || self[d].fused() != NONE {
            return None;
        }
        let (x, z) = (outer.args[0].index(), outer.args[1].index());
        let (inner, carry) = (&block.insts[x], &block.insts[z]);
        (inner.op == op
            && inner.ty == inst.ty
            && inner.args[..2] == inst.args[..2]
            && carry.op == Op::Zext
            && carry.args[0] == inst.args[2]
            && self[x].uses == 1
            && self[z].uses == 1
            && self[x].fused() == NONE
            && !self[x].lazy)
            .then_some([x, z])
    }

    /// Whether flags may be computed where they are written instead of where they stand: whoever stops in between computes them anew, which is not for
    /// operations with effects of their own.
    fn can_wait(&self, block: &Block, f: usize) -> bool {
        let pure = |k: usize| block.insts[k].op.info().effects == Effects::PURE;
        let slot = |k: usize| {
            matches!(block.insts[k].op, Op::Get | Op::GetHi | Op::Set | Op::SetHi | Op::Nop) && block.insts[k].imm < 32
        };
        pure(f) || (f + 1..self[f].set()).all(|k| pure(k) || slot(k))
    }

    /// Whether flags have the branch at the end as their only reader, with one of these conditions.
    fn one_branch(&self, block: &Block, f: usize, conditions: &[u64]) -> bool {
        let c = self[f].user();
        self[f].uses == 1
            && c < block.insts.len()
            && block.insts[c].op == Op::Cond
            && conditions.contains(&(block.insts[c].imm >> 1 & 7))
            && self[c].uses == 1
            && self[c].user() == block.insts.len()
            && matches!(block.term, Term::Branch { .. })
    }

    /// Flags whose only reader is the branch at the end, asking for zero or sign of a value: cbz, tbz.
    fn branch_only(&self, block: &Block, f: usize) -> bool {
        let inst = &block.insts[f];
        let c = self[f].user();
        if self[f].uses != 1 || c >= block.insts.len() || self[f].set() != NONE {
            return false;
        }
        let cond = &block.insts[c];
        let zero = match inst.op {
            Op::FlLogic => true,
            Op::FlSub => is_const(block, inst.args[1]) == Some(0),
            _ => false,
        };
        cond.op == Op::Cond
            && zero
            && self[c].uses == 1
            && self[c].user() == block.insts.len()
            && matches!(block.term, Term::Branch { .. })
            && match cond.imm >> 1 & 7 {
                // What is loaded has zeros above.
                2 => {
                    let loaded =
                        block.insts[inst.args[0].index()].op == Op::Ld && self[inst.args[0].index()].extended.is_none();
                    matches!(inst.ty, Ty::I32 | Ty::I64) || matches!(inst.ty, Ty::I8 | Ty::I16) && loaded
                }
                4 => matches!(inst.ty, Ty::I8 | Ty::I16 | Ty::I32 | Ty::I64),
                _ => false,
            }
    }

    fn lifetimes(&mut self, block: &Block, fp: bool) {
        let n = block.insts.len();
        for v in block.term.operands().into_iter().filter(|v| v.index() < n) {
            self[v.index()].end = n as u16;
        }
        for d in &block.deferred {
            let range = usize::from(d.from)..usize::from(d.to).min(n);
            let last = if usize::from(d.to) > n { Some(n) } else { range.rev().find(|&i| shows(&block.insts[i], fp)) };
            let Some(last) = last else { continue };
            for v in d.def.operands() {
                self[v.index()].needed_at(last);
            }
        }
        for (i, inst) in block.insts.iter().enumerate().rev() {
            if inst.arity() == 0 {
                continue;
            }
            let own = &self.of[i];
            // Dead operations matter only when the interpreter may have to recompute them.
            if !own.live && own.end() == i {
                continue;
            }
            // The sums of pushes are taken by the store, whatever comes later.
            let at = if let Some(&st) = self.pushes.iter().find(|&&st| self.of[st].push_sum() == i) {
                st
            } else if !own.live || own.lazy {
                own.end()
            } else if own.how == Fl::AtSet {
                own.end().max(own.set())
            } else if own.host_of() != NONE {
                own.host_of()
            } else {
                i
            };
            for &v in inst.operands() {
                self.of[v.index()].needed_at(at);
            }
        }
    }

    fn homes(&mut self, block: &Block, fp: bool) {
        // Last operations so far that read or write the slot, and that show the state.
        let mut busy = [0u16; Slot::COUNT as usize];
        let mut written = [0u16; Slot::COUNT as usize];
        let mut shown = 0;
        for k in (0..self.slots.len()).rev() {
            let i = self.slots[k];
            let inst = &block.insts[usize::from(i)];
            let slot = usize::from(inst.imm as u8 % Slot::COUNT);
            match inst.op {
                // Values that are needed longer are moved out of the way.
                Op::Get | Op::GetHi => busy[slot] = i,
                Op::Set => {
                    let def = inst.args[0].index();
                    let producer = &block.insts[def];
                    let ok = slot < 32
                        && plan::replaces(inst.ty, Slot(slot as u8))
                        && self[def].live
                        && !self[def].lazy
                        && !matches!(producer.op, Op::Get | Op::GetHi | Op::Const | Op::Cond)
                        && producer.result() == inst.ty
                        && self[def].into.is_none()
                        && busy[slot].max(written[slot]).max(shown) <= inst.args[0].0;
                    if ok {
                        self[def].into = Some(slot as u8);
                        // What is only widened on its way there.
                        let src = producer.args[0].index();
                        if matches!(producer.op, Op::Zext | Op::Sext | Op::VZext)
                            && self[src].uses == 1
                            && self[src].end() == def
                            && self[src].live
                            && !self[src].lazy
                            && block.insts[src].op == Op::Ld
                            && self[src].into.is_none()
                            && busy[slot].max(written[slot]).max(shown) <= producer.args[0].0
                            && (producer.op != Op::Sext || self[src].extended.is_some())
                        {
                            self[src].into = Some(slot as u8);
                        }
                    }
                    written[slot] = i;
                }
                Op::SetHi => written[slot] = i,
                _ => {}
            }
            if shows(inst, fp) {
                shown = i;
            }
        }
    }
}

/// Whether a value of type `ty` is what a general register's slot holds before operation `at`.
fn holds(block: &Block, v: Val, ty: Ty, slot: u64, at: usize) -> bool {
    let inst = &block.insts[v.index()];
    if inst.result() != ty {
        return false;
    }
    let last = (0..at).rev().find(|&j| matches!(block.insts[j].op, Op::Set | Op::SetHi) && block.insts[j].imm == slot);
    match last {
        Some(j) if block.insts[j].op == Op::Set && block.insts[j].ty == ty && block.insts[j].args[0] == v => true,
        Some(j) => inst.op == Op::Get && inst.imm == slot && v.index() > j,
        None => inst.op == Op::Get && inst.imm == slot,
    }
}

/// Whether an operation shows the state when it faults or leaves. Arithmetic inline has its exceptions masked.
pub(super) fn shows(inst: &Inst, fp: bool) -> bool {
    plan::shows_state(inst) && !(fp && inst.op.is_sse_arithmetic())
}

/// Whether an operation has that value as the address of an access that addressing modes are there for, and as nothing else.
fn is_address(user: &Inst, v: Val) -> bool {
    let plain =
        matches!(user.op, Op::Ld | Op::St) && matches!(user.ty, Ty::I8 | Ty::I16 | Ty::I32 | Ty::I64 | Ty::V128);
    // Those of x87 instructions, which are emitted as a whole.
    let x87 = user.op == Op::StUnless || user.op == Op::Ld && user.ty == Ty::F80;
    let any = user.imm & ATTR_ALIGN16 == 0 || user.ty == Ty::V128;
    any && (plain || x87) && user.args[0] == v && user.args[1] != v
}

/// Constants that may be added to a 32-bit address without wrapping it: the engine keeps the ends of the space unmapped.
pub(super) fn small32(c: u64) -> bool {
    (c as i32).unsigned_abs() < 1 << 20
}

/// Flags of a shift by a constant that is not 0.
fn is_const_shift_flags(block: &Block, inst: &Inst) -> bool {
    matches!(inst.op, Op::FlShl | Op::FlShr | Op::FlSar) && is_const(block, inst.args[1]).is_some_and(|n| n != 0)
}

/// Whether the flags can be computed into the homes by code of this emitter.
fn inlined(block: &Block, inst: &Inst) -> bool {
    let by = |v: Val| is_const(block, v);
    match inst.op {
        Op::FlAdd | Op::FlSub | Op::FlLogic => matches!(inst.ty, Ty::I8 | Ty::I16 | Ty::I32 | Ty::I64),
        Op::FlAdc | Op::FlSbb => matches!(inst.ty, Ty::I32 | Ty::I64),
        Op::FlShl | Op::FlShr | Op::FlSar => {
            matches!(inst.ty, Ty::I32 | Ty::I64)
                && by(inst.args[1]).is_some_and(|n| n > 0 && n < u64::from(inst.ty.bits()))
        }
        Op::FComi => true,
        _ => false,
    }
}
