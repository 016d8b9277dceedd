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

/// The result of the analysis of one block; vectors are indexed by operation unless said otherwise.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Index of the last operation that needs the value; the number of operations for the terminal. Also counts deferred flags:
    /// their operands are needed up to the last operation of the range that may fault. The value's own index when nobody does.
    pub last_use: Vec<u16>,
    /// How many operands of operations and the terminal name the value.
    pub uses: Vec<u16>,
    /// The slot in whose home the value may be computed: its `Set` (index in `set_at`) replaces the whole slot, and in between nothing can
    /// fault or leave, and nothing looks at the slot's old value.
    pub into: Vec<Option<Slot>>,
    /// Index of that `Set`.
    pub set_at: Vec<u16>,
    /// EFLAGS bits whose homes must be exact before the operation (length: operations + 1): somebody reads them later, or a fault may show
    /// them and no deferred definition gives them.
    pub flags_home: Vec<u32>,
    /// The same with only reads counted.
    pub flags_read: Vec<u32>,
    /// Index of the first operation that writes the value to a slot, whole; [`NEVER`] when none does.
    pub first_set: Vec<u16>,
    /// Operations that compute flags or read them as a value, in order.
    pub flag_ops: Vec<u16>,
    /// [`class`] bits of all operations together.
    pub seen: u16,
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

/// Makes a table of `n` equal entries.
fn reset<T: Clone>(table: &mut Vec<T>, n: usize, value: T) {
    table.clear();
    table.resize(n, value);
}

impl Plan {
    /// Analyses a block.
    pub fn new(block: &Block) -> Plan {
        let mut plan = Plan::default();
        plan.analyse(block);
        plan
    }

    /// The same, in tables that are there already.
    pub fn analyse(&mut self, block: &Block) {
        self.lifetimes(block);
        self.flags(block);
        self.homes(block);
    }

    fn lifetimes(&mut self, block: &Block) {
        let n = block.insts.len();
        self.last_use.clear();
        self.last_use.extend(0..n as u16);
        reset(&mut self.uses, n, 0);
        reset(&mut self.first_set, n, NEVER);
        let (last_use, uses, first_set) = (&mut self.last_use[..n], &mut self.uses[..n], &mut self.first_set[..n]);
        let mut seen = 0;
        self.flag_ops.clear();
        for (i, inst) in block.insts.iter().enumerate() {
            let class = class::of(inst.op);
            seen |= class;
            if class & class::FLAG_VALUE != 0 {
                self.flag_ops.push(i as u16);
            }
            for v in inst.operands() {
                last_use[v.index()] = i as u16;
                uses[v.index()] += 1;
            }
            if class & class::SLOT != 0 {
                if inst.imm > 31 {
                    seen |= class::FAR_SLOT;
                }
                if inst.op == Op::Set && replaces(inst.ty, Slot(inst.imm as u8)) {
                    let first = &mut first_set[inst.args[0].index()];
                    *first = (*first).min(i as u16);
                }
            }
        }
        self.seen = seen;
        for v in block.term.operands().into_iter().filter(|v| *v != Val::NONE) {
            self.last_use[v.index()] = n as u16;
            self.uses[v.index()] += 1;
        }
        for d in &block.deferred {
            let range = usize::from(d.from)..usize::from(d.to).min(n);
            let last =
                if usize::from(d.to) > n { Some(n) } else { range.rev().find(|&i| shows_state(&block.insts[i])) };
            let Some(last) = last else { continue };
            for v in d.def.operands() {
                let end = &mut self.last_use[v.index()];
                *end = (*end).max(last as u16);
            }
        }
    }

    fn flags(&mut self, block: &Block) {
        let n = block.insts.len();
        // What deferred definitions cover stands in the table until its place is taken by what is asked for.
        reset(&mut self.flags_home, n + 1, 0);
        for d in &block.deferred {
            let covered = &mut self.flags_home[usize::from(d.from)..usize::from(d.to).min(n)];
            covered.iter_mut().for_each(|c| *c |= d.mask);
        }
        reset(&mut self.flags_read, n + 1, block.live_out);
        self.flags_home[n] = block.live_out;
        let (mut home, mut read) = (block.live_out, block.live_out);
        let (flags_home, flags_read, uses) = (&mut self.flags_home[..n], &mut self.flags_read[..n], &self.uses[..n]);
        for (i, inst) in block.insts.iter().enumerate().rev() {
            let class = class::of(inst.op);
            if class & (class::SHOWS | class::FLAGS) == 0 {
                flags_home[i] = home;
                flags_read[i] = read;
                continue;
            }
            if inst.op == Op::SetFl {
                home &= !(inst.imm as u32);
                read &= !(inst.imm as u32);
            }
            if inst.op == Op::GetFl && uses[i] > 0 {
                home |= ARITH;
                read |= ARITH;
            }
            if class & class::SHOWS != 0 {
                home |= ARITH & !flags_home[i];
            }
            if inst.op == Op::ExitIf {
                read |= ARITH;
            }
            flags_home[i] = home;
            flags_read[i] = read;
        }
    }

    fn homes(&mut self, block: &Block) {
        let n = block.insts.len();
        reset(&mut self.into, n, None);
        // Only looked at where `into` says so.
        self.set_at.resize(n.max(self.set_at.len()), 0);
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
                    busy[slot] = busy[slot].max(self.last_use[i]).max(at);
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
                        self.set_at[def] = at;
                    }
                    written[slot] = at;
                    // The home may be the only place of the value from now on.
                    busy[slot] = busy[slot].max(self.last_use[def]);
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
        assert_eq!(plan.last_use[x.index()], 2);
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
