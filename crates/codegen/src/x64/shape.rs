//! Which operations are one host instruction, and which are computed where they are used.
//!
//! A [`Group`] is anchored at the operation that computes the value; it takes in the flags of the same operands, the write of the value
//! to a register, the write of the flags, and a load or a load and store of one operand in memory. Everything between the
//! members is free of code. A lazy operation is pure and has no code of its own: its users compute it (addresses, conditions, flags that
//! nothing has computed on the way). What it needs lives as long as it does ([`Shape::last`]).

use super::class;
use crate::class as of_all;
use crate::plan::{self, Fact, Plan, TABLE};
use demotic_ir::block::{Block, Inst, Val};
use demotic_ir::interp::ATTR_ALIGN16;
use demotic_ir::ops::Op;
use demotic_ir::slot::Slot;
use demotic_ir::state::eflags::{ARITH, CF, DF, OF};
use demotic_ir::ty::Ty;
use std::mem::take;

/// Operations that are executed together. Indices into the block.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Group {
    /// The last member.
    pub end: usize,
    /// The flags of the same operands.
    pub fl: Option<usize>,
    /// The write of those flags.
    pub setfl: Option<usize>,
    /// The write of the value to a slot.
    pub set: Option<usize>,
    /// The write of the value to where `load` read.
    pub store: Option<usize>,
    /// The load of an operand.
    pub load: Option<usize>,
    /// A second value of the same host instruction (remainder, high half) and its write.
    pub other: Option<(usize, usize)>,
    /// Which operand of a product is in the accumulator.
    pub acc: usize,
}

/// The result.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    /// What is known of each operation: the bits are those of [`bit`]. The note of one that a group is anchored at is its number in `groups`, that
    /// of a load in a group where it is done.
    pub plan: Plan,
    groups: Vec<Group>,
    /// Selections between a size and its negative by the direction flag, with the logarithm of the size.
    pub steps: Vec<(usize, u8)>,
    /// x87 instructions, by increasing end.
    pub x87: Vec<super::x87::Group>,
    /// Whether the host has AVX2 and FMA.
    avx2: bool,
    // ---- scratch of the analysis
    candidates: Vec<u16>,
    /// Lazy operations with operands, and loads, the last one first; then with what needs their value, whoever computes it.
    deep: Vec<(u16, u16)>,
}

/// Bits of a [`Fact`].
mod bit {
    /// Computed where it is used.
    pub const LAZY: u8 = 1;
    /// A load that is part of a group.
    pub const FOLDED: u8 = 2;
    /// A member of a group other than its anchor and load.
    pub const MEMBER: u8 = 4;
    /// A group is anchored there. Known once [`FIRM`], whose place it takes, is of no interest any more: it is taken back when its operation is
    /// looked at.
    pub const ANCHOR: u8 = FIRM;
    /// [`BAD`], wherever the value is written to before.
    pub const FIRM: u8 = 8;
    /// Something that is executed uses the value; the rest is for deferred flags.
    pub const USED: u8 = 16;
    /// Lazy whatever its users want.
    pub const FORCED: u8 = 32;
    /// Some user does not take the value lazily.
    pub const BAD: u8 = 64;
    /// Some user takes the value lazily only when it is a part of an address.
    pub const ADDRESS: u8 = 128;
}

/// The value of a constant.
pub(super) fn constant(block: &Block, v: Val) -> Option<u64> {
    let inst = block.insts.get(v.index())?;
    (inst.op == Op::Const).then_some(inst.imm & inst.ty.mask())
}

/// An addition or subtraction with carry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carry {
    /// Both operands and the carry.
    pub parts: [Val; 3],
    /// The sum without the carry, when it is an operation of its own.
    pub inner: Option<usize>,
}

/// The operation at `i` as one with carry: `op(op(a, b), zext(c))` with flags of a, b and c behind it, or without flags when c is a carry.
#[inline(always)]
pub(super) fn with_carry(block: &Block, i: usize) -> Option<Carry> {
    let inst = &block.insts[i];
    if !matches!(inst.op, Op::Add | Op::Sub) || block.insts.get(inst.args[1].index())?.op != Op::Zext {
        return None;
    }
    carry_of(block, i)
}

fn carry_of(block: &Block, i: usize) -> Option<Carry> {
    let inst = &block.insts[i];
    let fl_op = match inst.op {
        Op::Add => Op::FlAdc,
        Op::Sub => Op::FlSbb,
        _ => return None,
    };
    let zext = block.insts.get(inst.args[1].index()).filter(|z| z.op == Op::Zext)?;
    let mut behind = block.insts[i + 1..].iter().take(4);
    let fl = behind.find(|x| x.op == fl_op && x.ty == inst.ty && x.args[2] == zext.args[0]);
    let x = inst.args[0];
    let sum = block.insts.get(x.index())?;
    let [a, b, c] = match fl {
        Some(fl) => [fl.args[0], fl.args[1], fl.args[2]],
        None => {
            let c = block.insts.get(zext.args[0].index()).filter(|c| c.op == Op::Cond && c.imm == 2);
            // The carry of the sum itself would have to be computed apart.
            let two = c.is_some() && zext.args[0] < x && sum.op == inst.op && sum.ty == inst.ty;
            two.then_some([sum.args[0], sum.args[1], zext.args[0]])?
        }
    };
    if sum.op == inst.op && sum.ty == inst.ty && sum.args[..2] == [a, b] {
        return Some(Carry { parts: [a, b, c], inner: Some(x.index()) });
    }
    let nothing = x == a && constant(block, b) == Some(0);
    let same = inst.op == Op::Sub && a == b && constant(block, x) == Some(0);
    (nothing || same).then_some(Carry { parts: [a, b, c], inner: None })
}

/// The step of a string instruction: the comparison, the masking of the direction flag, and the logarithm of the size.
fn step(block: &Block, used: &Used) -> Option<(usize, usize, u8)> {
    let inst = &block.insts[used.by];
    if inst.op != Op::Sel || !matches!(inst.ty, Ty::I32 | Ty::I64) {
        return None;
    }
    let size = constant(block, inst.args[1]).filter(|n| matches!(n, 1 | 2 | 4 | 8))?;
    let back = constant(block, inst.args[2])?;
    let eq = &block.insts[inst.args[0].index()];
    let and = &block.insts[eq.args.first()?.index().min(block.insts.len() - 1)];
    let fits = eq.op == Op::Eq
        && used.once(inst.args[0].index())
        && constant(block, eq.args[1]) == Some(0)
        && and.op == Op::And
        && used.once(eq.args[0].index())
        && constant(block, and.args[1]) == Some(u64::from(DF))
        && back == size.wrapping_neg() & inst.ty.mask();
    let sys = block.insts.get(and.args[0].index()).filter(|x| x.op == Op::Get && x.imm == u64::from(Slot::SYS.0))?;
    let _ = sys;
    fits.then(|| (inst.args[0].index(), eq.args[0].index(), size.trailing_zeros() as u8))
}

/// How often values are used, while the block is traversed backwards and has come to an operation whose operands are not counted yet.
struct Used<'a> {
    block: &'a Block,
    of: &'a [Fact; TABLE],
    by: usize,
}

impl Used<'_> {
    /// Whether the value of `k` is used once.
    fn once(&self, k: usize) -> bool {
        let near = self.block.insts.get(k + 1..=self.by).unwrap_or(&[]);
        let times = |x: &Inst| x.operands().iter().filter(|v| v.index() == k).count();
        let known = usize::from(self.of[k % TABLE].uses);
        known <= 1 && known + near.iter().map(times).sum::<usize>() == 1
    }
}

/// Whether a general register is written as a whole before anything looks at it, from operation `at` on.
pub(super) fn overwritten(block: &Block, at: usize, slot: u64) -> bool {
    for x in &block.insts[at..] {
        match x.op {
            Op::Set if x.imm == slot && plan::replaces(x.ty, Slot(slot as u8)) => return true,
            Op::Get | Op::GetHi | Op::Set | Op::SetHi if x.imm == slot => return false,
            _ if plan::shows_state(x) => return false,
            _ => {}
        }
    }
    false
}

/// Whether the operation before `at` left the value `v` in a slot, whole.
pub(super) fn in_slot(block: &Block, at: usize, v: Val, slot: u64) -> bool {
    for k in (0..at).rev() {
        let x = &block.insts[k];
        match x.op {
            Op::Set if x.imm == slot => return x.args[0] == v && plan::replaces(x.ty, Slot(slot as u8)),
            Op::SetHi if x.imm == slot => return false,
            Op::Get if x.imm == slot && k == v.index() => return true,
            _ => {}
        }
    }
    false
}

impl Shape {
    /// Looks at a block.
    pub(super) fn analyse(&mut self, block: &Block, long: bool, avx2: bool) {
        self.groups.clear();
        self.steps.clear();
        self.x87.clear();
        self.avx2 = avx2;
        self.laziness(block, long);
        if self.plan.seen & of_all::SHIFT != 0 {
            super::shift::counts(self, block);
        }
        if self.plan.seen & (of_all::X87 | of_all::FAR_SLOT) != 0 {
            super::x87::find(block, self);
        }
        let candidates = take(&mut self.candidates);
        for i in candidates.iter().rev().map(|i| usize::from(*i)) {
            if self.plan.of[i].bits & bit::MEMBER == 0 {
                self.find(block, i);
            }
        }
        self.candidates = candidates;
        self.lifetimes(block);
    }

    /// Index of the last operation that needs the value; the number of operations for the terminal.
    #[inline(always)]
    pub(super) fn last(&self, v: usize) -> u16 {
        self.plan.of[v].last
    }

    /// The value is needed up to the operation `end`, too.
    #[inline(always)]
    pub(super) fn needed_until(&mut self, v: Val, end: u16) {
        let last = &mut self.plan.of[v.index()].last;
        *last = (*last).max(end);
    }

    /// Whether the operation is computed where it is used.
    #[inline(always)]
    pub(super) fn lazy(&self, i: usize) -> bool {
        self.plan.of[i].bits & bit::LAZY != 0
    }
    /// Whether something that is executed uses the value, not only deferred flags.
    pub(super) fn used(&self, i: usize) -> bool {
        self.plan.of[i].bits & bit::USED != 0
    }
    /// Whether it is not only itself: a group is anchored there, or it is part of one.
    #[inline(always)]
    pub(super) fn grouped(&self, i: usize) -> bool {
        self.plan.of[i].bits & (bit::ANCHOR | bit::FOLDED | bit::MEMBER) != 0
    }
    /// Lazy after all, although nothing but the operation itself says so.
    pub(super) fn set_lazy(&mut self, i: usize) {
        self.plan.of[i].bits |= bit::LAZY;
        let at = self.deep.partition_point(|d| usize::from(d.0) > i);
        self.deep.insert(at, (i as u16, 0));
    }
    /// Whether it is a load that is part of a group.
    #[inline(always)]
    pub(super) fn folded(&self, i: usize) -> bool {
        self.plan.of[i].bits & bit::FOLDED != 0
    }
    pub(super) fn set_folded(&mut self, i: usize) {
        let fact = &mut self.plan.of[i];
        fact.bits |= bit::FOLDED;
        fact.note = i as u16;
    }
    /// Whether it is a member of a group other than its anchor and load.
    #[inline(always)]
    pub(super) fn member(&self, i: usize) -> bool {
        self.plan.of[i].bits & bit::MEMBER != 0
    }
    pub(super) fn set_member(&mut self, i: usize, is: bool) {
        let bits = &mut self.plan.of[i].bits;
        if is { *bits |= bit::MEMBER } else { *bits &= !bit::MEMBER }
    }

    /// The group anchored at `i`.
    #[inline(always)]
    pub(super) fn group(&self, i: usize) -> Option<Group> {
        let fact = &self.plan.of[i];
        if fact.bits & bit::ANCHOR == 0 {
            return None;
        }
        self.groups.get(usize::from(fact.note)).copied()
    }

    pub(super) fn anchor(&mut self, i: usize, group: Group) {
        if let Some(load) = group.load {
            self.plan.of[load].note = i as u16;
        }
        let fact = &mut self.plan.of[i];
        fact.note = self.groups.len() as u16;
        fact.bits |= bit::ANCHOR;
        self.groups.push(group);
    }

    /// The one traversal from the end: what `plan` wants to know of each operation, and then whether it is lazy, all users of its value being known.
    #[inline(never)]
    fn laziness(&mut self, block: &Block, long: bool) {
        let Shape { plan, candidates, deep, steps, .. } = self;
        candidates.clear();
        deep.clear();
        let mut round = plan.begin(block);
        for v in block.term.operands().into_iter().filter(|v| *v != Val::NONE) {
            let branch = matches!(block.term, demotic_ir::block::Term::Branch { .. });
            round.of[v.index() % TABLE].bits |= if branch { bit::USED } else { bit::USED | bit::BAD | bit::FIRM };
        }
        // The nearest operation behind that makes flags.
        let mut flags = usize::MAX;
        let mut i = block.insts.len();
        while let Some(inst) = i.checked_sub(1).and_then(|i| block.insts.get(i)) {
            i -= 1;
            let (all, class, arity) = class::of(inst.op);
            // Nine of ten operations are one of these.
            match inst.op {
                Op::Const => {
                    let fact = round.own(i);
                    fact.bits = fact.bits & !bit::FIRM | bit::LAZY;
                    continue;
                }
                Op::Get => {
                    round.read(i, inst);
                    round.of[i % TABLE].bits &= !bit::FIRM;
                    continue;
                }
                Op::Set => {
                    round.write(i, inst);
                    let register = inst.imm < 16 && inst.ty >= Ty::I32;
                    tell(&mut round, i, inst.args[0], bit::USED | if register { bit::ADDRESS } else { bit::BAD });
                    continue;
                }
                Op::SetFl => {
                    round.flags(i, inst, of_all::FLAG_VALUE);
                    tell(&mut round, i, inst.args[0], bit::USED | bit::BAD);
                    continue;
                }
                Op::Ld => {
                    round.shows(i, inst, 0);
                    round.of[i % TABLE].bits &= !bit::FIRM;
                    deep.push((i as u16, 0));
                    tell(&mut round, i, inst.args[0], bit::USED);
                    continue;
                }
                Op::St => {
                    round.shows(i, inst, 0);
                    tell(&mut round, i, inst.args[0], bit::USED);
                    tell(&mut round, i, inst.args[1], bit::USED | bit::BAD);
                    continue;
                }
                _ => round.look(i, inst, all),
            }
            let fact = &mut round.of[i % TABLE];
            let own = fact.bits;
            fact.bits = own & !bit::FIRM;
            let unused = class & class::PURE != 0 && own & bit::USED == 0;
            if class & class::ANCHOR != 0 {
                candidates.push(i as u16);
            }
            let next_flags = flags;
            if class & class::FLAGS != 0 {
                flags = i;
            }
            let mut lazy = own & bit::FORCED != 0;
            // What the first operand and the others are told: nothing, when the operation has no code.
            let (mut first, mut others) = (0, 0);
            // What an instruction with carry computes on the way is not computed apart, and it is nothing that an address has room for.
            let silent = unused || lazy || matches!(inst.op, Op::Add | Op::Sub) && carries(block, round.of, i);
            lazy |= unused;
            if !silent {
                let mut linears = false;
                if class & class::PURE != 0 {
                    if class & class::ALWAYS != 0 {
                        lazy = true;
                    } else if class & class::LINEAR != 0 {
                        linears = own & bit::FIRM == 0
                            && linear(block, inst, long)
                            && (own & bit::BAD == 0 || set_before(block, &round.of[i % TABLE], i));
                        lazy = linears && (next_flags > i + 4 || !has_flags(block, i));
                    } else if class & class::TRUTH != 0 || inst.op == Op::Not && inst.ty == Ty::I1 {
                        lazy = own & (bit::BAD | bit::ADDRESS) == 0 && round.of[i % TABLE].uses == 1;
                    }
                }
                // Whether it takes an operand lazily, whatever it is; else perhaps when it is a part of an address.
                let otherwise = if lazy && linears { bit::USED | bit::ADDRESS } else { bit::USED | bit::BAD };
                first = if class & class::ADDRESS != 0 { bit::USED } else { otherwise };
                others = otherwise;
                if class & class::OWN != 0 {
                    match inst.op {
                        Op::Zext if block.insts[inst.args[0].index()].result() == Ty::I1 => first = bit::USED,
                        Op::ExitIf => first = bit::USED,
                        Op::Not if inst.ty == Ty::I1 && lazy => first = bit::USED,
                        Op::Sel => {
                            first = bit::USED;
                            if let Some((eq, and, size)) = step(block, &Used { block, of: round.of, by: i }) {
                                for k in [eq, and] {
                                    round.of[k % TABLE].bits |= bit::LAZY | bit::FORCED;
                                }
                                steps.push((i, size));
                                (first, others) = (0, 0);
                            }
                        }
                        _ => {}
                    }
                }
            }
            if lazy {
                round.of[i % TABLE].bits |= bit::LAZY;
            }
            if arity == 0 {
                continue;
            }
            if lazy {
                deep.push((i as u16, 0));
            }
            // There is an entry for what is no operand.
            tell(&mut round, i, inst.args[0], first);
            tell(&mut round, i, inst.args[1], others);
            if arity > 2 {
                inst.args[2..].iter().for_each(|v| tell(&mut round, i, *v, others));
            }
        }
        plan.seen = round.seen();
    }

    /// No code of its own.
    fn free(&self, block: &Block, k: usize) -> bool {
        self.lazy(k) || matches!(block.insts[k].op, Op::Get | Op::GetFl | Op::Nop)
    }

    fn find(&mut self, block: &Block, i: usize) {
        let inst = &block.insts[i];
        if inst.op == Op::Mul && self.product(block, i) {
            return;
        }
        let compare = matches!(inst.op, Op::FlSub | Op::FlAdd | Op::FlLogic);
        match inst.op {
            Op::DivU | Op::DivS => return self.division(block, i),
            Op::ACas => return self.compare_exchange(block, i),
            Op::FLo | Op::FFmaFl if self.avx2 => return super::avx::find(self, block, i),
            Op::AAdd | Op::AAnd | Op::AOr | Op::AXor => return super::atomic::find(self, block, i),
            Op::ShlD | Op::ShrD | Op::Rcl | Op::Rcr => return super::shift::find(self, block, i),
            Op::Add | Op::Sub | Op::And | Op::Or | Op::Xor | Op::Not => {}
            Op::Shl | Op::Shr | Op::Sar | Op::Rol | Op::Ror | Op::Mul => {}
            _ if compare => {}
            _ => return,
        }
        if inst.ty == Ty::I1 || self.lazy(i) && !compare {
            return;
        }
        let mut g = Group { end: i, ..Group::default() };
        // The general registers read so far.
        let mut read = 0u16;
        let shifts = matches!(inst.op, Op::Shl | Op::Shr | Op::Sar | Op::Rol | Op::Ror);
        let mut fl = compare.then_some(i);
        let carry = with_carry(block, i);
        let first = carry.map_or(inst.args[0], |c| c.parts[0]);
        for k in i + 1..block.insts.len().min(i + 16) {
            let x = &block.insts[k];
            match x.op {
                Op::Const | Op::Nop => {}
                Op::Get if x.imm < 16 => read |= 1 << x.imm,
                Op::Get => {}
                Op::Set if x.args[0].index() == i && g.set.is_none() && g.store.is_none() && !compare => {
                    if x.imm >= 16 || read >> x.imm & 1 != 0 || x.ty != inst.ty {
                        break;
                    }
                    g.set = Some(k);
                    g.end = k;
                }
                Op::St if x.args[1].index() == i && g.set.is_none() && g.store.is_none() && !compare => {
                    // A shift's flags come behind the store.
                    let fl = fl.or_else(|| self.flags_behind(block, i, k).filter(|_| shifts));
                    let Some(load) = self.memory_operand(block, i, fl, first) else { break };
                    let own = matches!(inst.op, Op::And | Op::Or | Op::Xor | Op::Rol | Op::Ror);
                    let extra = u16::from(own && fl.is_some());
                    let l = block.insts[load];
                    if l.args[0] != x.args[0]
                        || l.ty != x.ty
                        || self.plan.of[i].uses != 1 + extra
                        || x.imm & ATTR_ALIGN16 != 0
                    {
                        break;
                    }
                    g.store = Some(k);
                    g.load = Some(load);
                    g.end = k;
                }
                Op::SetFl if Some(x.args[0].index()) == fl => {
                    if allowed(block, &self.plan, i, k) {
                        g.fl = fl;
                        g.setfl = Some(k);
                        g.end = k;
                    }
                    break;
                }
                // The old flags of a shift are read by the shift itself; whoever else wants them has to come first.
                Op::GetFl if self.plan.of[k].uses > 1 || self.plan.of[k].uses == 1 && !shifts => break,
                _ if fl.is_none() && same_operands(block, i, x) => fl = Some(k),
                _ if self.free(block, k) => {}
                _ => break,
            }
        }
        // Flags that only conditions read, with no home to spare: the host computes them on the way.
        if let (Some(f), None, false) = (fl, g.setfl, compare) {
            let end = g.end.max(f);
            if self.plan.of[f].uses > 0 && self.plan.flags_home(end + 1) == 0 {
                g.fl = Some(f);
                g.end = end;
            }
        }
        // A load that the flags want as well is no part of a group without them.
        if g.store.is_some() && g.fl.is_none() && self.memory_operand(block, i, None, first) != g.load {
            g = Group { end: i, ..Group::default() };
        }
        // A sum without flags is computed by its lone user or by a lea.
        if compare && g.setfl.is_none() {
            return;
        }
        if g.load.is_none() && !matches!(inst.op, Op::Shl | Op::Shr | Op::Sar | Op::Rol | Op::Ror | Op::Not) {
            let both = [inst.args[1], inst.args[0]];
            let commutes = matches!(inst.op, Op::Add | Op::And | Op::Or | Op::Xor | Op::Mul);
            let count = match inst.op {
                Op::FlLogic => 0,
                Op::FlSub => 2,
                _ if commutes || compare => 2,
                _ => 1,
            };
            let wide = inst.op != Op::Mul || inst.ty >= Ty::I16;
            if carry.is_none() || g.fl.is_none() {
                for v in both.into_iter().take(if wide { count } else { 0 }) {
                    g.load = g.load.or_else(|| self.memory_operand(block, i, g.fl, v));
                }
            }
            if inst.op == Op::FlLogic {
                g.load = self.memory_operand(block, i, None, inst.args[0]);
            }
        }
        if let Some(l) = g.load {
            self.set_folded(l);
        }
        [g.fl, g.setfl, g.set, g.store]
            .into_iter()
            .flatten()
            .filter(|k| *k != i)
            .for_each(|k| self.set_member(k, true));
        self.anchor(i, g);
    }

    /// The flags of the operation at `i` that are computed and written right behind the one at `k`, where its host instruction may do that.
    fn flags_behind(&self, block: &Block, i: usize, k: usize) -> Option<usize> {
        let mut fl = None;
        for (k, x) in block.insts.iter().enumerate().skip(k + 1).take(5) {
            match x.op {
                Op::SetFl if Some(x.args[0].index()) == fl => return fl.filter(|_| allowed(block, &self.plan, i, k)),
                _ if fl.is_none() && same_operands(block, i, x) => fl = Some(k),
                Op::GetFl if self.plan.of[k].uses > 1 => return None,
                _ if self.free(block, k) => {}
                _ => return None,
            }
        }
        None
    }

    /// The load that computes `v`, when nobody else needs it and no code stands between.
    #[inline(always)]
    fn memory_operand(&self, block: &Block, i: usize, fl: Option<usize>, v: Val) -> Option<usize> {
        block.insts.get(v.index()).filter(|x| x.op == Op::Ld)?;
        self.loaded_operand(block, i, fl, v)
    }

    fn loaded_operand(&self, block: &Block, i: usize, fl: Option<usize>, v: Val) -> Option<usize> {
        let l = v.index();
        let load = block.insts.get(l).filter(|x| x.imm & ATTR_ALIGN16 == 0)?;
        if load.ty == Ty::V128 || load.ty == Ty::F80 || l >= i || self.folded(l) {
            return None;
        }
        let times = |k: usize| block.insts[k].operands().iter().filter(|o| **o == v).count() as u16;
        let by = with_carry(block, i).and_then(|c| c.inner).unwrap_or(i);
        let mine = times(by) + fl.filter(|f| *f != i).map_or(0, times);
        // `x op x` reads memory once.
        if self.plan.of[l].uses != mine || times(by) != 1 || usize::from(self.last(l)) > fl.unwrap_or(i).max(i) {
            return None;
        }
        (l + 1..i).all(|k| self.free(block, k)).then_some(l)
    }

    /// `mul`, `imul`: the product with its high half, or with the flags that tell whether there is one.
    fn product(&mut self, block: &Block, i: usize) -> bool {
        let inst = block.insts[i];
        if inst.ty < Ty::I16 || self.lazy(i) || i + 1 >= block.insts.len() {
            return false;
        }
        let next = block.insts[i + 1];
        let hi = i + 1;
        if !matches!(next.op, Op::MulHiU | Op::MulHiS) || next.args != inst.args || next.ty != inst.ty {
            return false;
        }
        let signed = next.op == Op::MulHiS;
        let is = |v: Val, k: Option<usize>| k == Some(v.index());
        let (mut sign, mut eq, mut not, mut sel) = (None, None, None, None);
        let mut g = Group { end: i, ..Group::default() };
        let mut hi_set = None;
        let mut hi_uses = self.plan.of[hi].uses;
        for k in hi + 1..block.insts.len().min(i + 16) {
            let x = block.insts[k];
            let [a, b, c, _] = x.args;
            match x.op {
                Op::Const | Op::Nop => {}
                Op::Sar if signed && is(a, Some(i)) && self.plan.of[k].uses == 1 => sign = Some(k),
                Op::Eq if is(a, Some(hi)) && self.plan.of[k].uses == 1 => {
                    let zero = !signed && constant(block, b) == Some(0);
                    if !(zero || is(b, sign)) {
                        break;
                    }
                    hi_uses -= 1;
                    eq = Some(k);
                }
                Op::Not if is(a, eq) && self.plan.of[k].uses == 1 => not = Some(k),
                Op::Sel if is(a, not) && self.plan.of[k].uses == 1 => {
                    let both = u64::from(CF | OF);
                    if constant(block, b) != Some(both) || constant(block, c) != Some(0) {
                        break;
                    }
                    sel = Some(k);
                }
                Op::FlFrom if is(a, sel) && self.plan.of[k].uses == 1 => g.fl = Some(k),
                Op::Set if x.args[0].index() == i && g.set.is_none() && x.ty == inst.ty && x.imm < 16 => {
                    g.set = Some(k);
                    g.end = k;
                }
                Op::Set if is(a, Some(hi)) && hi_set.is_none() && x.ty == inst.ty && x.imm == 2 => {
                    hi_set = Some(k);
                    hi_uses -= 1;
                    g.end = k;
                }
                Op::SetFl if g.fl.is_some() && is(a, g.fl) => {
                    g.setfl = Some(k);
                    g.end = k;
                    break;
                }
                _ => break,
            }
        }
        let Some(set) = g.set else { return false };
        // The parts of the flags must all be in, or none of them be there.
        let parts = [sign, eq, not, sel, g.fl];
        if g.setfl.is_none() && parts.iter().any(|p| p.is_some_and(|p| p <= g.end && !self.lazy(p))) {
            return false;
        }
        if g.setfl.is_none() {
            g.fl = None;
        }
        match hi_set {
            Some(h) => {
                let from_rax = |v: Val| in_slot(block, i, v, 0);
                let Some(acc) = inst.args[..2].iter().position(|v| from_rax(*v)) else { return false };
                if block.insts[set].imm != 0 {
                    return false;
                }
                g.acc = acc;
                g.other = Some((hi, h));
            }
            // Without a use of its own the high half is only looked at by the flags.
            None if hi_uses > 0 || usize::from(self.last(hi)) > g.end => return false,
            None if !signed && g.setfl.is_some() => return false,
            None => {}
        }
        let both = [inst.args[1], inst.args[0]];
        for v in both {
            let l = v.index();
            let rax = g.other.is_some() && v == inst.args[g.acc];
            let load = block.insts[l];
            if g.load.is_none()
                && !rax
                && load.op == Op::Ld
                && self.plan.of[l].uses == 2
                && usize::from(self.last(l)) <= hi
                && inst.args[0] != inst.args[1]
                && !self.folded(l)
                && (l + 1..i).all(|k| self.free(block, k))
            {
                g.load = Some(l);
                self.set_folded(l);
            }
        }
        let members = [g.setfl, g.set, hi_set].into_iter().flatten();
        members.for_each(|k| self.set_member(k, true));
        if g.setfl.is_some() {
            parts.iter().flatten().for_each(|k| self.set_member(*k, true));
        }
        self.set_member(hi, true);
        self.anchor(i, g);
        true
    }

    /// `lock cmpxchg`: the accumulator compared and replaced, with the flags of the comparison.
    fn compare_exchange(&mut self, block: &Block, i: usize) {
        let inst = block.insts[i];
        let acc = inst.args[1];
        if !inst.ty.is_int() || inst.ty == Ty::I1 || !in_slot(block, i, acc, 0) {
            return;
        }
        let is = |v: Val, k: Option<usize>| k == Some(v.index());
        let kept = |v: Val| {
            let same = constant(block, v).is_some() && constant(block, v) == constant(block, acc);
            v == acc || same || in_slot(block, i, v, 0) || super::atomic::reads_accumulator(block, i, v)
        };
        let mut g = Group { end: i, ..Group::default() };
        let (mut eq, mut wide, mut sel, mut uses) = (None, None, None, self.plan.of[i].uses);
        for k in i + 1..block.insts.len().min(i + 12) {
            let x = block.insts[k];
            let [a, b, c, _] = x.args;
            match x.op {
                Op::Const | Op::Nop => {}
                Op::Get if x.imm == 0 => {}
                Op::Eq
                    if eq.is_none()
                        && (is(a, Some(i)) && b == acc || a == acc && is(b, Some(i)))
                        && self.plan.of[k].uses == 1 =>
                {
                    uses -= 1;
                    eq = Some(k);
                }
                Op::FlSub if g.fl.is_none() && a == acc && is(b, Some(i)) => {
                    uses -= 1;
                    g.fl = Some(k);
                }
                Op::Zext if is(a, Some(i)) && inst.ty == Ty::I32 && x.ty == Ty::I64 && self.plan.of[k].uses == 1 => {
                    uses -= 1;
                    wide = Some(k);
                }
                Op::Sel if is(a, eq) && kept(b) && (is(c, Some(i)) || is(c, wide)) => {
                    if is(c, Some(i)) {
                        uses -= 1;
                    }
                    sel = Some(k);
                }
                Op::Set if x.imm == 0 && is(x.args[0], sel) && g.set.is_none() => {
                    g.set = Some(k);
                    g.end = k;
                }
                Op::SetFl if g.fl.is_some() && is(a, g.fl) => {
                    g.setfl = Some(k);
                    g.end = k;
                    break;
                }
                _ => break,
            }
        }
        let (Some(sel), Some(_), Some(eq), Some(f)) = (sel, g.set, eq, g.fl) else { return };
        let early = [Some(eq), wide, Some(sel)].into_iter().flatten().all(|k| k < g.end);
        let whole = inst.ty != Ty::I32 || block.insts[sel].ty == Ty::I64 || plan::replaces(Ty::I32, Slot(0));
        if uses != 0 || !early || !whole || usize::from(self.last(i)) > g.end || f > g.end {
            return;
        }
        // Without a write of the flags conditions read them, on the way, when there is no home to spare.
        let mask = g.setfl.map_or(0, |s| block.insts[s].imm as u32) & ARITH;
        if self.plan.flags_home(g.end + 1) & !mask != 0 {
            return;
        }
        g.other = Some((sel, sel));
        [Some(eq), wide, Some(sel), g.fl, g.setfl, g.set].into_iter().flatten().for_each(|k| self.set_member(k, true));
        self.anchor(i, g);
    }

    /// `div`, `idiv`: quotient and remainder of the pair of accumulators.
    fn division(&mut self, block: &Block, i: usize) {
        let inst = block.insts[i];
        let [hi, lo, d, _] = inst.args;
        let whole = |v: Val, slot: u64| {
            let x = &block.insts[v.index()];
            // A narrow read of the slot as it is now, or what was written there last.
            in_slot(block, i, v, slot) && (x.op == Op::Get || x.result() == inst.ty)
        };
        if inst.ty < Ty::I16 || !whole(hi, 2) || !whole(lo, 0) || i + 1 >= block.insts.len() {
            return;
        }
        let rem = if inst.op == Op::DivU { Op::RemU } else { Op::RemS };
        let r = block.insts[i + 1];
        if r.op != rem || r.args != inst.args || r.ty != inst.ty {
            return;
        }
        // A write that is overwritten before anybody looks may be missing.
        let mut end = i + 1;
        for (v, slot) in [(i, 0), (i + 1, 2)] {
            let set = block.insts.get(end + 1);
            if set.is_some_and(|x| x.op == Op::Set && x.imm == slot && x.args[0].index() == v && x.ty == inst.ty) {
                end += 1;
            } else if self.plan.of[v].uses != 0 || !overwritten(block, end + 1, slot) {
                return;
            }
        }
        let l = d.index();
        let load = block.insts[l].op == Op::Ld
            && self.plan.of[l].uses == 2
            && usize::from(self.last(l)) <= i + 1
            && (l + 1..i).all(|k| self.free(block, k));
        if load {
            self.set_folded(l);
        }
        (i + 1..=end).for_each(|k| self.set_member(k, true));
        let load = load.then_some(l);
        self.anchor(i, Group { end, set: Some(end), other: Some((i + 1, end)), load, ..Group::default() });
    }

    #[inline(never)]
    fn lifetimes(&mut self, block: &Block) {
        let n = block.insts.len();
        let Shape { plan, groups, deep, .. } = self;
        // Where an operation is done: a load that is part of a group at its anchor.
        let done = |of: &Fact, i: u16| if of.bits & bit::FOLDED != 0 { of.note } else { i };
        // A fault of a load that is done later shows flags that are defined by values from before.
        if !block.deferred.is_empty() && groups.iter().any(|g| g.load.is_some()) {
            for d in &block.deferred {
                let range = usize::from(d.from)..usize::from(d.to).min(n);
                let Some(shown) = range.rev().find(|&i| plan::shows_state(&block.insts[i])) else { continue };
                let end = done(&plan.of[shown], shown as u16);
                for v in d.def.operands() {
                    let last = &mut plan.of[v.index()].last;
                    *last = (*last).max(end);
                }
            }
        }
        // What a lazy value needs, it needs until the value itself is somewhere: in a register that it was written to, or to the end.
        deep.iter_mut().for_each(|(i, own)| *own = plan.of[usize::from(*i)].last);
        for &(at, own) in &*deep {
            let i = usize::from(at);
            let fact = plan.of[i];
            let end = if fact.bits & bit::FOLDED != 0 {
                fact.note
            } else if fact.bits & (bit::LAZY | bit::MEMBER | bit::ANCHOR) == bit::LAZY {
                let until = if fact.first_set < own { fact.first_set } else { fact.last };
                until.min(fact.last.max(at))
            } else {
                continue;
            };
            for v in block.insts[i].operands() {
                let last = &mut plan.of[v.index()].last;
                *last = (*last).max(end);
            }
        }
    }
}

/// The operation at `i` uses a value in that way.
#[inline(always)]
fn tell(round: &mut plan::Round, i: usize, v: Val, how: u8) {
    let fact = round.using(i, v);
    fact.bits |= how;
    fact.since = if how & bit::BAD != 0 { i as u16 } else { fact.since };
}

/// Whether an operation is a part of an address: a sum, a scaled index, a cut.
pub(super) fn linear(block: &Block, inst: &Inst, long: bool) -> bool {
    let k = |v: Val| constant(block, v);
    let near = |c: Option<u64>| c.is_some_and(|c| inst.ty == Ty::I32 || i32::try_from(c as i64).is_ok());
    match inst.op {
        Op::Add => {
            let by = k(inst.args[1]);
            matches!(inst.ty, Ty::I32 | Ty::I64) && (by.is_none() || near(by)) && k(inst.args[0]).is_none()
        }
        Op::Sub => matches!(inst.ty, Ty::I32 | Ty::I64) && near(k(inst.args[1])),
        Op::Shl => matches!(inst.ty, Ty::I32 | Ty::I64) && matches!(k(inst.args[1]), Some(1..=3)),
        Op::Zext => {
            let from = block.insts[inst.args[0].index()].result();
            matches!((inst.ty, from), (Ty::I64, Ty::I32) | (Ty::I32, Ty::I64))
        }
        Op::And => !long && inst.ty == Ty::I64 && k(inst.args[1]) == Some(0xffff_ffff),
        _ => false,
    }
}

/// Whether the operation at `i` is an addition or subtraction with carry that computes its parts itself: they are told so.
fn carries(block: &Block, of: &mut [Fact; TABLE], i: usize) -> bool {
    let Some(carry) = with_carry(block, i) else { return false };
    let used = Used { block, of, by: i };
    let z = block.insts[i].args[1].index();
    let inner = carry.inner.filter(|x| used.once(*x));
    if !used.once(z) || inner.is_none() && carry.inner.is_some() {
        return false;
    }
    for k in [Some(z), inner].into_iter().flatten() {
        of[k % TABLE].bits |= bit::LAZY | bit::FORCED;
    }
    let [a, b, c] = carry.parts.map(|v| v.index() % TABLE);
    of[c].bits |= bit::USED;
    [a, b].iter().for_each(|v| of[*v].bits |= bit::USED | bit::BAD | bit::FIRM);
    true
}

/// Whether the value of `i` goes to a register soon (`lea`, `push`), where the users that want it in one find it.
#[inline(never)]
fn set_before(block: &Block, of: &Fact, i: usize) -> bool {
    let wrote = |x: &Inst| {
        let whole = x.op == Op::Set && x.imm < 16 && plan::replaces(x.ty, Slot(x.imm as u8));
        whole && x.args[0].index() == i
    };
    let near = i + 1..block.insts.len().min(i + 7);
    if of.first_set >= near.end as u16 {
        return false;
    }
    near.into_iter().find(|k| wrote(&block.insts[*k])).is_some_and(|set| usize::from(of.since) > set)
}

impl Shape {
    /// Operands and carry of the operation at `i`, when its group computes them at once: with its flags, or because nothing else computes the parts.
    pub(super) fn carry(&self, block: &Block, i: usize, g: &Group) -> Option<[Val; 3]> {
        let carry = with_carry(block, i)?;
        let parts = [Some(block.insts[i].args[1].index()), carry.inner];
        (g.fl.is_some() || parts.iter().flatten().all(|k| self.lazy(*k))).then_some(carry.parts)
    }
}

/// Whether flags of the same operands follow closely.
fn has_flags(block: &Block, i: usize) -> bool {
    block.insts[i + 1..].iter().take(4).any(|x| same_operands(block, i, x))
}

/// Whether `x` computes the flags of the operation at `i`.
fn same_operands(block: &Block, i: usize, x: &Inst) -> bool {
    let inst = &block.insts[i];
    if x.ty != inst.ty {
        return false;
    }
    let [a, b, ..] = inst.args;
    let v = Val(i as u16);
    match (inst.op, x.op) {
        (Op::Add, Op::FlAdd) | (Op::Sub, Op::FlSub) => x.args[0] == a && x.args[1] == b,
        (Op::Add, Op::FlAdc) | (Op::Sub, Op::FlSbb) => {
            with_carry(block, i).is_some_and(|carry| x.args[..3] == carry.parts)
        }
        (Op::And | Op::Or | Op::Xor, Op::FlLogic) => x.args[0] == v,
        (Op::Shl, Op::FlShl) | (Op::Shr, Op::FlShr) | (Op::Sar, Op::FlSar) => x.args[0] == a && x.args[1] == b,
        (Op::Rol, Op::FlRol) | (Op::Ror, Op::FlRor) => x.args[0] == v && x.args[1] == b,
        _ => false,
    }
}

/// Whether the host instruction of the operation at `i` may write its flags to their home as `setfl` asks.
fn allowed(block: &Block, plan: &Plan, i: usize, setfl: usize) -> bool {
    let inst = &block.insts[i];
    let mask = block.insts[setfl].imm as u32 & ARITH;
    let clobbers = match inst.op {
        Op::Rol | Op::Ror => CF | OF,
        _ => ARITH,
    };
    let survive = plan.flags_home(setfl + 1) & !mask & clobbers;
    if survive == 0 {
        return true;
    }
    // inc and dec leave the carry.
    survive == CF
        && matches!(inst.op, Op::Add | Op::Sub)
        && constant(block, inst.args[1]) == Some(1)
        && with_carry(block, i).is_none()
}
