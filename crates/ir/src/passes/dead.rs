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

use super::flags::{self, Precision};
use crate::block::{Block, Inst, Val};
use crate::ops::{Op, traits};
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

/// The pass with its tables, to be used for many blocks.
#[derive(Debug, Default)]
pub struct Dead {
    /// What is wanted of every operation; one more for operands that are not there.
    want: Vec<u16>,
    number: Vec<u16>,
}

impl Dead {
    /// Runs the pass.
    pub fn run(&mut self, block: &mut Block, precision: Precision) {
        let n = block.insts.len();
        self.want.clear();
        self.want.resize(n + 1, 0);
        self.mark(&block.term.operands(), USED | READ);
        for d in &block.deferred {
            self.mark(&d.def.args, USED);
        }
        self.backward(block, precision);
        self.close(block);
    }

    #[inline(always)]
    fn mark(&mut self, args: &[Val], how: u16) {
        let none = self.want.len() - 1;
        for v in args {
            self.want[v.index().min(none)] |= how;
        }
    }

    #[inline(always)]
    fn demand(&mut self, v: Val, bits: u32) {
        self.want[v.index()] |= bits as u16;
    }

    fn backward(&mut self, block: &mut Block, precision: Precision) {
        let n = block.insts.len();
        let hands_on = flags::hands_on(block, precision) && block.live_out == 0;
        let mut live = block.live_out & ARITH;
        // For every flag, the nearest later write of it.
        let mut killer = [n as u16; 12];
        // The nearest later operation that may fault: ranges without one need no entry.
        let mut fault = u16::MAX;
        if hands_on {
            fault = n as u16;
            killer = [n as u16 + 1; 12];
        }
        let defers = precision.is_exact() || hands_on;
        // Slots that are overwritten as a whole before anybody looks.
        let mut gone = 0u128;
        let given = block.deferred.len();
        let Block { insts, deferred, .. } = block;
        for i in (0..n).rev() {
            let inst = insts[i];
            let is = inst.op.traits();
            if is & traits::STAYS != 0 {
                self.want[i] |= USED;
            }
            if is & traits::FAULTS != 0 && !hands_on {
                fault = i as u16;
            }
            if is & traits::SHOWS != 0 {
                gone = 0;
            }
            if is & traits::SLOT != 0 {
                let bit = 1u128 << (inst.imm & 127);
                let widest = Slot(inst.imm as u8).ty();
                let writes = matches!(inst.op, Op::Set | Op::SetHi);
                // A value that is read meanwhile is best where it was to go.
                if writes && gone & bit != 0 && self.want[inst.args[0].index()] & READ == 0 {
                    self.want[i] = 0;
                    continue;
                }
                if !writes && self.want[i] == 0 {
                    continue;
                }
                // A narrow write keeps the rest.
                let whole = inst.op == Op::Set && (inst.ty == widest || inst.ty == Ty::I32 && widest == Ty::I64);
                gone = if whole { gone | bit } else { gone & !bit };
            }
            if inst.op == Op::SetFl {
                let mask = inst.imm as u32 & ARITH;
                let mut stays = mask & live;
                let dead = mask & !live;
                if dead != 0 {
                    let first = deferred.len();
                    if defers && fault != u16::MAX {
                        flags::defer(insts, i, dead, &killer, fault, deferred);
                    }
                    if deferred.len() > first {
                        let source = inst.args[0];
                        let lazy = flags::rebuilds(insts, source)
                            && !(precision == Precision::Kept && flags::with_result(insts, source));
                        if lazy {
                            for k in first..deferred.len() {
                                let d = deferred[k];
                                self.mark(&d.def.args, USED);
                                self.demands(&d.def, d.mask);
                            }
                        } else {
                            // Nothing to rebuild it from, or not worth it: it stays, with all that it writes.
                            deferred.truncate(first);
                            stays = mask;
                        }
                    }
                }
                flags::bits(mask).for_each(|b| killer[b] = i as u16);
                live &= !mask;
                insts[i].imm = u64::from(stays);
                if stays == 0 {
                    self.want[i] = 0;
                } else {
                    self.mark(&inst.args[..1], USED | READ);
                    self.demand(inst.args[0], stays);
                }
                continue;
            }
            if self.want[i] == 0 {
                continue;
            }
            if is & traits::FLAGS != 0 {
                match inst.op {
                    Op::GetFl => live |= u32::from(self.want[i]) & ARITH,
                    Op::Cond => self.demand(inst.args[0], flags::cond_reads(inst.imm)),
                    // Leaves the block with whatever the flags are then.
                    Op::ExitIf => live = ARITH,
                    _ => self.demands(&inst, u32::from(self.want[i])),
                }
            }
            self.mark(&inst.args, USED | READ);
        }
        // Entries are applied in order, so the oldest write comes first.
        deferred[given..].reverse();
        deferred.rotate_left(given);
    }

    /// What an operation of which `mask` is wanted wants of the flags values it is made of.
    fn demands(&mut self, inst: &Inst, mask: u32) {
        match flags::old_flags(inst.op) {
            Some(k) => self.demand(inst.args[k], mask & ARITH),
            None => inst.operands().iter().for_each(|v| self.demand(*v, ARITH)),
        }
    }

    /// Moves what is wanted together.
    fn close(&mut self, block: &mut Block) {
        let Dead { want, number } = self;
        let n = block.insts.len();
        // New number of every position (of a removed one: of what follows it), and what is no operand.
        number.clear();
        number.resize(n + 2, 0);
        let mut next = 0;
        while next < n && want[next] != 0 && block.insts[next].op != Op::Nop {
            number[next] = next as u16;
            next += 1;
        }
        if next == n {
            return;
        }
        let first = next;
        for i in first..n {
            number[i] = next as u16;
            let mut inst = block.insts[i];
            let arity = inst.op.arity();
            inst.args[..arity].iter_mut().for_each(|v| v.0 = number[v.index()]);
            block.insts[next] = inst;
            next += usize::from(want[i] != 0 && inst.op != Op::Nop);
        }
        number[n] = next as u16;
        number[n + 1] = next as u16 + 1;
        block.insts.truncate(next);
        let rename = |v: &mut Val| v.0 = number[v.index()];
        block.term.operands_mut().filter(|v| **v != Val::NONE).for_each(rename);
        if !block.deferred.is_empty() {
            for d in &mut block.deferred {
                let arity = d.def.arity();
                d.def.args[..arity].iter_mut().for_each(rename);
                // One behind the operations is the terminal, two behind them its end.
                d.from = number[usize::from(d.from)];
                d.to = number[usize::from(d.to)];
            }
            block.deferred.retain(|d| d.from < d.to);
        }
        for m in &mut block.marks {
            m.first = number[usize::from(m.first).min(n)];
        }
    }
}
