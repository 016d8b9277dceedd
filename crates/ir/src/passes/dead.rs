//! Dead operations and dead flags: what has no effect and no user goes, and the block closes up.
//!
//! One traversal from the end. Of every write of flags those stay that somebody reads; the others go, to the side table where a fault could
//! show them ([`super::flags`]). A write of a slot goes when the next one replaces it before anybody can look: no read of the slot or the value, no
//! fault, no way out in between. Then what is left moves together.
//!
//! What "somebody reads" means goes bit by bit: a condition demands the flags it depends on, a shift by a variable count hands on those old
//! flags that are demanded of its result, and so on. Flags that live at the block's end are [`Block::live_out`].
//!
//! Operands of deferred flags count as uses. Marks and side tables are renumbered together with the operations.

use super::flags::{self, Killers, Precision};
use crate::block::{Block, Deferred, Inst, Val};
use crate::ops::Op;
use crate::properties::traits;
use crate::slot::Slot;
use crate::state::eflags::ARITH;
use crate::ty::Ty;

/// Runs the pass.
pub fn run(block: &mut Block) {
    Dead::default().run(block, Precision::Exact);
}

/// In the table of wants, beside the EFLAGS bits wanted of a flags value: somebody uses the operation.
const USED: u16 = 1 << 15;

/// The same, and that is an operation, not a definition in the side table.
const READ: u16 = 1 << 14;

/// Length of the tables: a power of two above the number of operations of any block ([`crate::build::MAX_INSTS`]). Indices are cut to it instead
/// of being checked, and [`Val::NONE`] is the last one.
const TABLE: usize = 4096;

/// The entry of operands that are not there.
const NOBODY: usize = Val::NONE.0 as usize % TABLE;

/// The pass with its tables, to be used for many blocks.
#[derive(Debug)]
pub struct Dead {
    want: Want,
    number: Box<[u16; TABLE]>,
}

impl Default for Dead {
    fn default() -> Dead {
        let want = Want { of: Box::new([0; TABLE]), gone: [0; SLOTS], stretch: 0 };
        Dead { want, number: Box::new([0; TABLE]) }
    }
}

impl Dead {
    /// Runs the pass.
    pub fn run(&mut self, block: &mut Block, precision: Precision) {
        let n = block.insts.len();
        // No lifter makes such a block, and everything in it may stay.
        if n + 2 > NOBODY {
            return;
        }
        let want = &mut self.want;
        want.of[..n].fill(0);
        want.mark(&block.term.operands(), USED | READ);
        for d in &block.deferred {
            want.mark(&d.def.args, USED);
        }
        let first = want.backward(block, precision);
        if first < n {
            self.close(block, first);
        }
    }

    /// Moves what is wanted together; `first` is the first operation that is not.
    fn close(&mut self, block: &mut Block, first: usize) {
        let Dead { want: Want { of: want, .. }, number } = self;
        let n = block.insts.len();
        // New number of every position from there on (of a removed one: of what follows it), and what is no operand.
        number[NOBODY] = Val::NONE.0;
        let renamed =
            |number: &[u16; TABLE], v: u16| if usize::from(v) < first { v } else { number[usize::from(v) % TABLE] };
        let rename = |number: &[u16; TABLE], v: Val| Val(renamed(number, v.0));
        let mut next = first;
        for i in first..n {
            number[i % TABLE] = next as u16;
            let mut inst = block.insts[i];
            if want[i % TABLE] == 0 {
                continue;
            }
            let [a, b, c, d] = inst.args;
            inst.args[..2].copy_from_slice(&[rename(number, a), rename(number, b)]);
            if inst.op.traits() & traits::MANY != 0 {
                inst.args[2..].copy_from_slice(&[rename(number, c), rename(number, d)]);
            }
            block.insts[next] = inst;
            next += 1;
        }
        number[n] = next as u16;
        number[n + 1] = next as u16 + 1;
        block.insts.truncate(next);
        let rename = |v: &mut Val| v.0 = renamed(number, v.0);
        block.term.operands_mut().filter(|v| **v != Val::NONE).for_each(rename);
        if !block.deferred.is_empty() {
            for d in &mut block.deferred {
                let arity = d.def.arity();
                d.def.args[..arity].iter_mut().for_each(rename);
                // One behind the operations is the terminal, two behind them its end.
                d.from = renamed(number, d.from);
                d.to = renamed(number, d.to);
            }
            block.deferred.retain(|d| d.from < d.to);
        }
        for m in block.marks.iter_mut().rev().take_while(|m| usize::from(m.first) > first) {
            m.first = number[usize::from(m.first).min(n)];
        }
    }
}

/// A power of two above the number of slots.
const SLOTS: usize = 128;

/// What is wanted of every operation.
#[derive(Debug)]
struct Want {
    of: Box<[u16; TABLE]>,
    /// The slots that are overwritten as a whole before anybody looks: each has the number of the stretch of operations in which nobody looks at all of
    /// them at once.
    gone: [u64; SLOTS],
    /// The last number of a stretch. Numbers go on from block to block, so that nothing has to be cleared.
    stretch: u64,
}

impl Want {
    #[inline(always)]
    fn of(&self, i: usize) -> u16 {
        self.of[i % TABLE]
    }

    #[inline(always)]
    fn set(&mut self, i: usize, want: u16) {
        self.of[i % TABLE] = want;
    }

    #[inline(always)]
    fn mark(&mut self, args: &[Val], how: u16) {
        for v in args {
            self.of[v.index() % TABLE] |= how;
        }
    }

    #[inline(always)]
    fn demand(&mut self, v: Val, bits: u32) {
        self.mark(&[v], bits as u16);
    }

    /// The operation is used: so are its operands.
    #[inline(always)]
    fn used(&mut self, inst: &Inst, is: u8) {
        self.mark(&inst.args[..2], USED | READ);
        if is & traits::MANY != 0 {
            self.mark(&inst.args[2..], USED | READ);
        }
    }

    /// Finds out what is wanted, and gives the first operation that is not (or the number of all).
    fn backward(&mut self, block: &mut Block, precision: Precision) -> usize {
        let n = block.insts.len();
        let hands_on = flags::hands_on(block, precision) && block.live_out == 0;
        let mut live = block.live_out & ARITH;
        let mut killers = Killers::new(n as u16 + u16::from(hands_on));
        // The nearest later operation that may fault: ranges without one need no entry.
        let mut fault = if hands_on { n as u16 } else { u16::MAX };
        let defers = precision.is_exact() || hands_on;
        let mut stretch = self.stretch + 1;
        let mut first = n;
        let given = block.deferred.len();
        let Block { insts, deferred, .. } = block;
        for i in (0..n).rev() {
            let inst = &insts[i];
            let is = inst.op.traits();
            if is & !traits::MANY == 0 {
                if self.of(i) != 0 {
                    self.used(inst, is);
                } else {
                    first = i;
                }
                continue;
            }
            if is & traits::SLOT != 0 {
                let slot = inst.imm as usize % SLOTS;
                let writes = is & traits::STAYS != 0;
                if !writes {
                    if self.of(i) == 0 {
                        first = i;
                    } else {
                        self.gone[slot] = 0;
                    }
                    continue;
                }
                let value = inst.args[0];
                // A value that is read meanwhile is best where it was to go.
                if self.gone[slot] == stretch && self.of(value.index()) & READ == 0 {
                    first = i;
                    continue;
                }
                let widest = Slot(inst.imm as u8).ty();
                self.set(i, USED);
                self.mark(&[value], USED | READ);
                // A narrow write keeps the rest.
                let whole = inst.op == Op::Set && (inst.ty == widest || inst.ty == Ty::I32 && widest == Ty::I64);
                self.gone[slot] = if whole { stretch } else { 0 };
                continue;
            }
            if inst.op == Op::SetFl {
                let source = inst.args[0];
                let mask = inst.imm as u32 & ARITH;
                let mut stays = mask & live;
                let dead = mask & !live;
                if dead != 0 && defers && killers.shown(dead, fault).next().is_some() {
                    let lazy = flags::rebuilds(insts, source)
                        && !(precision == Precision::Kept && flags::with_result(insts, source));
                    if lazy {
                        let def = flags::by_result(insts, i);
                        for (mask, to) in killers.shown(dead, fault) {
                            deferred.push(Deferred { from: i as u16 + 1, to, mask, def });
                            self.mark(&def.args, USED);
                            self.demands(&def, mask);
                        }
                    } else {
                        // Nothing to rebuild it from, or not worth it: it stays, with all that it writes.
                        stays = mask;
                    }
                }
                killers.write(mask, i as u16);
                live &= !mask;
                insts[i].imm = u64::from(stays);
                if stays != 0 {
                    self.set(i, USED);
                    self.mark(&[source], USED | READ);
                    self.demand(source, stays);
                } else {
                    first = i;
                }
                continue;
            }
            if is & traits::STAYS != 0 {
                self.mark(&[Val(i as u16)], USED);
                if is & traits::FAULTS != 0 && !hands_on {
                    fault = i as u16;
                }
                if is & traits::SHOWS != 0 {
                    stretch += 1;
                }
            }
            if self.of(i) == 0 {
                first = i;
                continue;
            }
            if is & traits::FLAGS != 0 {
                match inst.op {
                    Op::GetFl => live |= u32::from(self.of(i)) & ARITH,
                    Op::Cond => self.demand(inst.args[0], flags::cond_reads(inst.imm)),
                    // Leaves the block with whatever the flags are then.
                    Op::ExitIf => live = ARITH,
                    _ => self.demands(inst, u32::from(self.of(i))),
                }
            }
            self.used(inst, is);
        }
        self.stretch = stretch;
        // Entries are applied in order, so the oldest write comes first.
        if deferred.len() > given {
            deferred[given..].reverse();
            deferred.rotate_left(given);
        }
        first
    }

    /// What an operation of which `mask` is wanted wants of the flags values it is made of.
    fn demands(&mut self, inst: &Inst, mask: u32) {
        match flags::old_flags(inst.op) {
            Some(k) => self.demand(inst.args[k], mask & ARITH),
            None => inst.operands().iter().for_each(|v| self.demand(*v, ARITH)),
        }
    }
}
