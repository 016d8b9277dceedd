//! What every emitter wants to know of a block before it emits it: lifetimes, which flags' homes must be exact where, and which values
//! may be computed straight into the home of the slot that they are written to.
//!
//! All of it is derived from the IR, so a second emission derives the same.

use crate::class;
use demotic_ir::block::{Block, Inst, Val};
use demotic_ir::ops::{Effects, Op};
use demotic_ir::slot::Slot;
use demotic_ir::state::eflags::ARITH;
use demotic_ir::ty::Ty;
use std::ops::{Index, IndexMut};

/// Length of a [`Table`]: a power of two above the number of operations of any block ([`demotic_ir::build::MAX_INSTS`]).
pub const TABLE: usize = 4096;

/// One entry for each operation of a block. The indices of values are cut to its length instead of being checked: there are two or three for each
/// operation and each analysis.
#[derive(Clone, Debug)]
pub struct Table<T>(Box<[T; TABLE]>);

impl<T: Copy + Default> Default for Table<T> {
    fn default() -> Table<T> {
        // On the heap from the beginning: pages that no block needs stay untouched.
        match vec![T::default(); TABLE].into_boxed_slice().try_into() {
            Ok(table) => Table(table),
            Err(_) => Table(Box::new([T::default(); TABLE])),
        }
    }
}

impl<T: Copy> Table<T> {
    /// Makes the first `n` entries that.
    pub fn reset(&mut self, n: usize, value: T) {
        self.0[..n.min(TABLE)].fill(value);
    }

    /// The first `n` entries.
    pub fn first(&self, n: usize) -> &[T] {
        &self.0[..n.min(TABLE)]
    }

    /// The same, to be written.
    pub fn first_mut(&mut self, n: usize) -> &mut [T] {
        &mut self.0[..n.min(TABLE)]
    }
}

impl<T> Index<usize> for Table<T> {
    type Output = T;
    #[inline(always)]
    fn index(&self, i: usize) -> &T {
        &self.0[i % TABLE]
    }
}

impl<T> IndexMut<usize> for Table<T> {
    #[inline(always)]
    fn index_mut(&mut self, i: usize) -> &mut T {
        &mut self.0[i % TABLE]
    }
}

/// What is known of the value of one operation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fact {
    /// Index of the last operation that needs the value; the number of operations for the terminal. Also counts deferred flags:
    /// their operands are needed up to the last operation of the range that may fault. The value's own index when nobody does.
    pub last_use: u16,
    /// How many operands of operations and the terminal name the value.
    pub uses: u16,
    /// Index of the first operation that writes the value to a slot, whole; [`NEVER`] when none does.
    pub first_set: u16,
    /// The first operations that use the value in ways that the emitter tells apart.
    pub since: [u16; 4],
    /// What the emitter notes meanwhile.
    pub bits: u8,
}

/// The result of the analysis of one block, by operation unless said otherwise.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Of every value.
    pub of: Table<Fact>,
    /// The slot in whose home the value may be computed: its `Set` replaces the whole slot, and in between nothing can
    /// fault or leave, and nothing looks at the slot's old value.
    pub into: Table<Option<Slot>>,
    /// EFLAGS bits whose homes must be exact before the operation (one more for the terminal): somebody reads them later, or a fault may show
    /// them and no deferred definition gives them.
    pub flags_home: Table<u32>,
    /// Operations that compute flags or read them as a value, the last one first.
    pub flag_ops: Vec<u16>,
    /// [`class`] bits of all operations together.
    pub seen: u16,
}

/// The traversal of a block from the end to the beginning, all of it at hand.
#[derive(Debug)]
pub struct Round<'a> {
    /// Of every value.
    pub of: &'a mut [Fact; TABLE],
    flags_home: &'a mut [u32; TABLE],
    flag_ops: &'a mut Vec<u16>,
    /// EFLAGS bits whose homes must be exact before the operation that was looked at last.
    home: u32,
    seen: u16,
}

/// No operation.
pub const NEVER: u16 = u16::MAX;

/// Whether an operation, when it faults or leaves, shows the state to the guest.
#[inline(always)]
pub fn shows_state(inst: &Inst) -> bool {
    class::of(inst.op) & class::SHOWS != 0
}

/// Whether a write of this type leaves nothing of the slot's old value.
pub fn replaces(ty: Ty, slot: Slot) -> bool {
    ty == slot.ty() || ty == Ty::I32 && slot.ty() == Ty::I64
}

impl Plan {
    /// Analyses a block.
    pub fn new(block: &Block) -> Plan {
        let mut plan = Plan::default();
        let mut round = plan.begin(block);
        for (i, inst) in block.insts.iter().enumerate().rev() {
            round.look(i, inst, class::of(inst.op));
            inst.operands().iter().for_each(|v| round.using(i, *v).bits = 0);
        }
        plan.seen = round.seen();
        plan.homes(block);
        plan
    }

    /// Begins the analysis of another block: [`Round::look`] at every operation from the last to the first has to follow, then [`Plan::homes`]. Whoever
    /// traverses the block looks at the operations for their own purposes in the same round.
    pub fn begin(&mut self, block: &Block) -> Round<'_> {
        let n = block.insts.len();
        self.of.reset(n, Fact { first_set: NEVER, ..Fact::default() });
        self.flag_ops.clear();
        for v in block.term.operands().into_iter().filter(|v| *v != Val::NONE) {
            self.of[v.index()].last_use = n as u16;
            self.of[v.index()].uses += 1;
        }
        // What deferred definitions cover stands in the table until its place is taken by what is asked for.
        self.flags_home.reset(n, 0);
        self.flags_home[n] = block.live_out;
        for d in &block.deferred {
            let range = usize::from(d.from)..usize::from(d.to).min(n);
            range.clone().for_each(|i| self.flags_home[i] |= d.mask);
            let last =
                if usize::from(d.to) > n { Some(n) } else { range.rev().find(|&i| shows_state(&block.insts[i])) };
            let Some(last) = last else { continue };
            for v in d.def.operands() {
                let end = &mut self.of[v.index()].last_use;
                *end = (*end).max(last as u16);
            }
        }
        let Plan { of, flags_home, flag_ops, .. } = self;
        Round { of: &mut of.0, flags_home: &mut flags_home.0, flag_ops, home: block.live_out, seen: 0 }
    }

    /// Which values are computed where they go, once all operations are looked at.
    pub fn homes(&mut self, block: &Block) {
        let n = block.insts.len();
        self.into.reset(n, None);
        // The last operation so far that needs the slot's current value (values read from it included), and the last that writes it.
        let mut busy = [0u16; Slot::COUNT as usize];
        let mut written = [0u16; Slot::COUNT as usize];
        // Last operation so far at which the state must be exact.
        let mut shown = 0u16;
        for (i, inst) in block.insts.iter().enumerate() {
            let class = class::of(inst.op);
            if class & (class::SHOWS | class::SLOT) == 0 {
                continue;
            }
            let at = i as u16;
            let slot = usize::from(inst.imm as u8 % Slot::COUNT);
            match inst.op {
                Op::Get | Op::GetHi => {
                    busy[slot] = busy[slot].max(self.of[i].last_use).max(at);
                }
                Op::Set => {
                    let v = inst.args[0];
                    let def = v.index();
                    let made = v.0;
                    let producer = &block.insts[def];
                    let ok = replaces(inst.ty, Slot(slot as u8))
                        && slot < 32
                        && !matches!(producer.op, Op::Get | Op::GetHi | Op::Const)
                        && producer.result() == inst.ty
                        && self.into[def].is_none()
                        // An operation may use the old value itself: it reads its operands first.
                        && busy[slot] <= made
                        && written[slot] <= made
                        && shown <= made
                        // One that faults behind its effect on the register does not exist, but helpers write late.
                        && producer.op.effects().0 & Effects::EXIT.0 == 0;
                    if ok {
                        self.into[def] = Some(Slot(slot as u8));
                    }
                    written[slot] = at;
                    // The home may be the only place of the value from now on.
                    busy[slot] = busy[slot].max(self.of[def].last_use);
                }
                Op::SetHi => written[slot] = at,
                _ => {}
            }
            if class & class::SHOWS != 0 {
                shown = at;
            }
        }
    }
}

impl Round<'_> {
    /// Looks at the operation at `i`, all those behind it being known: `class` is what [`class::of`] says of it. At its operands, [`Plan::using`] has to.
    #[inline(always)]
    pub fn look(&mut self, i: usize, inst: &Inst, class: u16) {
        let at = i as u16;
        self.seen |= class;
        let own = &mut self.of[i % TABLE];
        own.last_use = own.last_use.max(at);
        if class & (class::SHOWS | class::FLAGS | class::SLOT | class::FLAG_VALUE) == 0 {
            self.flags_home[i % TABLE] = self.home;
            return;
        }
        if inst.op == Op::GetFl && own.uses > 0 {
            self.home |= ARITH;
        }
        if class & class::SLOT != 0 {
            if inst.imm > 31 {
                self.seen |= class::FAR_SLOT;
            }
            if inst.op == Op::Set && replaces(inst.ty, Slot(inst.imm as u8)) {
                self.of[inst.args[0].index() % TABLE].first_set = at;
            }
        } else {
            if class & class::FLAG_VALUE != 0 {
                self.flag_ops.push(at);
            }
            if inst.op == Op::SetFl {
                self.home &= !(inst.imm as u32);
            }
            if class & class::SHOWS != 0 {
                self.home |= ARITH & !self.flags_home[i % TABLE];
            }
        }
        self.flags_home[i % TABLE] = self.home;
    }

    /// The operation at `i`, which is looked at, has that value as an operand.
    #[inline(always)]
    pub fn using(&mut self, i: usize, v: Val) -> &mut Fact {
        let fact = &mut self.of[v.index() % TABLE];
        fact.last_use = fact.last_use.max(i as u16);
        fact.uses += 1;
        fact
    }

    /// The end: [`class`] bits of all operations together.
    pub fn seen(self) -> u16 {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use demotic_ir::block::{Edge, Term};
    use demotic_ir::build::Builder;

    #[test]
    fn a_sum_goes_straight_to_its_register() {
        let mut b = Builder::new(0);
        let (x, y) = (b.get(Ty::I64, Slot::gpr(0)), b.get(Ty::I64, Slot::gpr(1)));
        let sum = b.add(x, y);
        b.set(Slot::gpr(0), sum);
        let block = b.finish(Term::Jump(Edge::to(4)), 4);
        let plan = Plan::new(&block);
        assert_eq!(plan.into[sum.index()], Some(Slot::gpr(0)));
        assert_eq!(plan.of[x.index()].last_use, 2);
        assert_eq!(plan.flags_home[0], ARITH);
    }

    #[test]
    fn not_when_the_old_value_is_needed_or_a_fault_could_show() {
        let mut b = Builder::new(0);
        let (x, y) = (b.get(Ty::I64, Slot::gpr(0)), b.get(Ty::I64, Slot::gpr(1)));
        let sum = b.add(x, y);
        b.st(x, y, 0);
        b.set(Slot::gpr(0), sum);
        let other = b.add(sum, y);
        b.set(Slot::gpr(1), other);
        let last = b.sub(other, y);
        b.set(Slot::gpr(2), last);
        let block = b.finish(Term::Jump(Edge::to(4)), 4);
        let plan = Plan::new(&block);
        assert_eq!(plan.into[sum.index()], None);
        // `y` is the old value of the slot and is read once more.
        assert_eq!(plan.into[other.index()], None);
        assert_eq!(plan.into[last.index()], Some(Slot::gpr(2)));
    }
}
