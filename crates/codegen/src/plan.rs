//! What an emitter wants to know of a block before it emits it: lifetimes, which flags' homes must be exact where, and which values
//! may be computed straight into the home of the slot that they are written to. One traversal from the end finds all of it
//! ([`Round`]), in which the emitter asks its own questions as well: there is one record for each operation, and it is read and written once.
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
/// operation and each analysis. [`Val::NONE`] is the last one, which no operation has.
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

/// What is known of one operation and its value.
#[derive(Clone, Copy, Debug)]
pub struct Fact {
    /// Index of the last operation that needs the value; the number of operations for the terminal. Also counts deferred flags:
    /// their operands are needed up to the last operation of the range that may fault. The value's own index when nobody does.
    pub last: u16,
    /// How many operands of operations and the terminal name the value.
    pub uses: u16,
    /// Index of the first operation that writes the value to a slot, whole; [`NEVER`] when none does.
    pub first_set: u16,
    /// The first operation that uses the value in a way that the emitter cares about.
    pub since: u16,
    /// EFLAGS bits whose homes must be exact before the operation: see [`Plan::flags_home`].
    home: u16,
    /// The next operation whose value goes to the same slot.
    next: u16,
    /// A number that the emitter notes.
    pub note: u16,
    /// See [`Plan::goes_to`]; [`NOWHERE`].
    into: u8,
    /// What the emitter notes meanwhile.
    pub bits: u8,
}

/// No slot.
const NOWHERE: u8 = u8::MAX;

impl Fact {
    const NONE: Fact =
        Fact { last: 0, uses: 0, first_set: NEVER, since: 0, home: 0, next: NEVER, note: 0, into: NOWHERE, bits: 0 };
}

impl Default for Fact {
    fn default() -> Fact {
        Fact::NONE
    }
}

/// The result of the analysis of one block.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Of every operation.
    pub of: Table<Fact>,
    /// Operations that compute flags or read them as a value, the last one first.
    pub flag_ops: Vec<u16>,
    /// [`class`] bits of all operations together, as far as they have been asked for.
    pub seen: u16,
}

/// Slots of registers, which have homes.
const REGISTERS: usize = 32;

/// The traversal of a block from the end to the beginning, all of it at hand.
#[derive(Debug)]
pub struct Round<'a> {
    /// Of every operation.
    pub of: &'a mut [Fact; TABLE],
    flag_ops: &'a mut Vec<u16>,
    block: &'a Block,
    /// EFLAGS bits whose homes must be exact before the operation that was looked at last.
    home: u32,
    seen: u16,
    /// The nearest operation behind that shows the state.
    shown: u16,
    /// The nearest one behind that reads or writes each register.
    touched: [u16; REGISTERS],
    /// The nearest one behind whose value goes to each register early.
    early: [u16; REGISTERS],
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
        plan
    }

    /// The slot in whose home the value of `i` may be computed: its `Set` replaces the whole slot, and in between nothing can
    /// fault or leave, and nothing looks at the slot's old value.
    #[inline(always)]
    pub fn goes_to(&self, i: usize) -> Option<Slot> {
        let slot = self.of[i].into;
        (slot != NOWHERE).then_some(Slot(slot))
    }

    /// EFLAGS bits whose homes must be exact before the operation at `i` (their number: the terminal): somebody reads them later, or a fault may show
    /// them and no deferred definition gives them.
    #[inline(always)]
    pub fn flags_home(&self, i: usize) -> u32 {
        u32::from(self.of[i].home)
    }

    /// Begins the analysis of another block: [`Round::look`] at every operation from the last to the first has to follow. Whoever
    /// traverses the block looks at the operations for their own purposes in the same round.
    pub fn begin<'a>(&'a mut self, block: &'a Block) -> Round<'a> {
        let n = block.insts.len();
        self.of.reset(n + 1, Fact::NONE);
        self.flag_ops.clear();
        for v in block.term.operands().into_iter().filter(|v| *v != Val::NONE) {
            self.of[v.index()].last = n as u16;
            self.of[v.index()].uses += 1;
        }
        self.of[n].home = (block.live_out & ARITH) as u16;
        // What deferred definitions cover stands in the table until its place is taken by what is asked for.
        for d in &block.deferred {
            let range = usize::from(d.from)..usize::from(d.to).min(n);
            range.clone().for_each(|i| self.of[i].home |= d.mask as u16);
            let last =
                if usize::from(d.to) > n { Some(n) } else { range.rev().find(|&i| shows_state(&block.insts[i])) };
            let Some(last) = last else { continue };
            for v in d.def.operands() {
                let end = &mut self.of[v.index()].last;
                *end = (*end).max(last as u16);
            }
        }
        Round {
            of: &mut self.of.0,
            flag_ops: &mut self.flag_ops,
            block,
            home: block.live_out & ARITH,
            seen: 0,
            shown: NEVER,
            touched: [NEVER; REGISTERS],
            early: [NEVER; REGISTERS],
        }
    }
}

impl Round<'_> {
    /// Looks at the operation at `i`, all those behind it being known: `class` is what [`class::of`] says of it. At its operands, [`Round::using`] has to.
    #[inline(always)]
    pub fn look(&mut self, i: usize, inst: &Inst, class: u16) {
        self.seen |= class;
        if class & (class::SHOWS | class::FLAGS | class::SLOT | class::FLAG_VALUE) == 0 {
            return self.pure(i, inst);
        }
        match inst.op {
            Op::Get | Op::GetHi => self.read(i, inst),
            Op::Set => self.write(i, inst),
            Op::SetHi => self.write_part(i, inst),
            _ if class & class::SHOWS != 0 => self.shows(i, inst, class),
            _ => self.flags(i, inst, class),
        }
    }

    /// The same of an operation that computes a value and nothing else.
    #[inline(always)]
    pub fn pure(&mut self, i: usize, inst: &Inst) {
        if self.own(i).first_set != NEVER {
            self.goes_early(i, inst);
        }
    }

    /// The same of a constant, and of whatever else needs no home.
    #[inline(always)]
    pub fn own(&mut self, i: usize) -> &mut Fact {
        let own = &mut self.of[i % TABLE];
        own.last = own.last.max(i as u16);
        own.home = self.home as u16;
        own
    }

    /// The same of the read of a slot.
    #[inline(always)]
    pub fn read(&mut self, i: usize, inst: &Inst) {
        let busy = self.own(i).last;
        self.slot(i, inst, busy);
    }

    /// The same of the write of a slot.
    #[inline(always)]
    pub fn write(&mut self, i: usize, inst: &Inst) {
        self.own(i);
        let value = &mut self.of[inst.args[0].index() % TABLE];
        if replaces(inst.ty, Slot(inst.imm as u8)) {
            value.first_set = i as u16;
        }
        let busy = value.last;
        self.slot(i, inst, busy);
    }

    /// The same of the write of a part that no home is made for.
    #[inline(always)]
    fn write_part(&mut self, i: usize, inst: &Inst) {
        self.own(i);
        self.slot(i, inst, 0);
    }

    /// The same of an operation that may fault or leaves.
    #[inline(always)]
    pub fn shows(&mut self, i: usize, inst: &Inst, class: u16) {
        let covered = u32::from(self.of[i % TABLE].home);
        self.pure(i, inst);
        if class & class::FLAG_VALUE != 0 {
            self.flag_ops.push(i as u16);
        }
        self.home |= ARITH & !covered;
        self.shown = i as u16;
        self.of[i % TABLE].home = self.home as u16;
    }

    /// The same of an operation that has to do with flags and cannot fault.
    #[inline(always)]
    pub fn flags(&mut self, i: usize, inst: &Inst, class: u16) {
        self.pure(i, inst);
        if class & class::FLAG_VALUE != 0 {
            self.flag_ops.push(i as u16);
        }
        let own = &mut self.of[i % TABLE];
        match inst.op {
            Op::GetFl if own.uses > 0 => self.home |= ARITH,
            Op::SetFl => self.home &= !(inst.imm as u32),
            _ => return,
        }
        own.home = self.home as u16;
    }

    /// The operation at `i` reads or writes a slot, whose home is where a value is up to the operation `busy`.
    #[inline(always)]
    fn slot(&mut self, i: usize, inst: &Inst, busy: u16) {
        let n = inst.imm as usize;
        if n >= REGISTERS {
            self.seen |= class::FAR_SLOT;
            return;
        }
        self.touched[n] = i as u16;
        while self.early[n] < busy {
            let fact = &mut self.of[usize::from(self.early[n]) % TABLE];
            fact.into = NOWHERE;
            self.early[n] = fact.next;
        }
    }

    /// The value of the operation at `i` is written to a slot: into its home from the beginning, if nothing looks at the old value or the state before.
    /// Values in that home that are needed longer will be found further on.
    #[inline(always)]
    fn goes_early(&mut self, i: usize, inst: &Inst) {
        let own = &mut self.of[i % TABLE];
        let set = &self.block.insts[usize::from(own.first_set)];
        let n = set.imm as usize;
        let free = n < REGISTERS
            && self.touched[n] == own.first_set
            && self.shown > own.first_set
            && inst.op != Op::Const
            && inst.result() == set.ty
            // One that faults behind its effect on the register does not exist, but helpers write late.
            && inst.op.effects().0 & Effects::EXIT.0 == 0;
        if free {
            own.into = n as u8;
            own.next = self.early[n];
            self.early[n] = i as u16;
        }
    }

    /// The operation at `i`, which is looked at, has that value as an operand.
    #[inline(always)]
    pub fn using(&mut self, i: usize, v: Val) -> &mut Fact {
        let fact = &mut self.of[v.index() % TABLE];
        fact.last = fact.last.max(i as u16);
        // The entry of operands that are not there counts on from block to block.
        fact.uses = fact.uses.wrapping_add(1);
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
        assert_eq!(plan.goes_to(sum.index()), Some(Slot::gpr(0)));
        assert_eq!(plan.of[x.index()].last, 2);
        assert_eq!(plan.flags_home(0), ARITH);
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
        assert_eq!(plan.goes_to(sum.index()), None);
        // `y` is the old value of the slot and is read once more.
        assert_eq!(plan.goes_to(other.index()), None);
        assert_eq!(plan.goes_to(last.index()), Some(Slot::gpr(2)));
    }
}
