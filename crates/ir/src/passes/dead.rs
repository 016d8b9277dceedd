//! Dead operations: what has no effect and no user goes, and the block closes up.
//!
//! A write of a slot goes when the next one replaces it before anybody can look: no read, no fault, no way out in between.
//!
//! Operands of deferred flags count as uses. Marks and side tables are renumbered together with the operations.

use crate::block::{Block, Val};
use crate::ops::Op;
use crate::slot::Slot;
use crate::ty::Ty;

/// Runs the pass.
pub fn run(block: &mut Block) {
    Dead::default().run(block);
}

/// The pass with its tables, to be used for many blocks.
#[derive(Debug, Default)]
pub struct Dead {
    used: Vec<bool>,
    number: Vec<u16>,
}

impl Dead {
    /// Runs the pass.
    pub fn run(&mut self, block: &mut Block) {
        let n = block.insts.len();
        let Dead { used, number } = self;
        used.clear();
        used.resize(n, false);
        for v in block.term.operands().into_iter().filter(|v| *v != Val::NONE) {
            used[v.index()] = true;
        }
        for d in &block.deferred {
            d.def.operands().iter().for_each(|v| used[v.index()] = true);
        }
        // Slots that are overwritten as a whole before anybody looks.
        let mut gone = 0u64;
        for i in (0..n).rev() {
            let inst = &block.insts[i];
            let slot = Slot(inst.imm as u8);
            let bit = 1u64 << (inst.imm & 63);
            match inst.op {
                Op::Set if gone & bit != 0 => continue,
                Op::Set if inst.ty == slot.ty() || inst.ty == Ty::I32 && slot.ty() == Ty::I64 => gone |= bit,
                Op::SetHi if gone & bit != 0 => continue,
                // A narrow write keeps the rest.
                Op::Set | Op::SetHi => gone &= !bit,
                Op::Get | Op::GetHi => gone &= !bit,
                Op::SetFl | Op::GetFl => {}
                op if op.effects().0 & !8 != 0 => gone = 0,
                _ => {}
            }
            if used[i] || !inst.op.effects().removable() {
                for v in inst.operands() {
                    used[v.index()] = true;
                }
                used[i] = true;
            }
        }
        // New number of every position (of a removed one: of what follows it), and the operations closed up.
        number.clear();
        let mut next = 0;
        for i in 0..n {
            number.push(next as u16);
            if used[i] && block.insts[i].op != Op::Nop {
                if next < i {
                    // Copied first and renamed in place: small writes followed by a wide read of the same bytes stall the processor.
                    block.insts[next] = block.insts[i];
                    let inst = &mut block.insts[next];
                    let arity = inst.op.arity();
                    inst.args[..arity].iter_mut().for_each(|v| v.0 = number[v.index()]);
                }
                next += 1;
            }
        }
        number.push(next as u16);
        if next == n {
            return;
        }
        block.insts.truncate(next);
        let rename = |v: &mut Val| v.0 = number[v.index()];
        block.term.operands_mut().filter(|v| **v != Val::NONE).for_each(rename);
        for d in &mut block.deferred {
            let arity = d.def.arity();
            d.def.args[..arity].iter_mut().for_each(rename);
            d.from = number[usize::from(d.from)];
            // One behind the operations is the terminal, two behind them its end.
            d.to = if usize::from(d.to) > n { next as u16 + 1 } else { number[usize::from(d.to)] };
        }
        block.deferred.retain(|d| d.from < d.to);
        for m in &mut block.marks {
            m.first = number[usize::from(m.first).min(n)];
        }
    }
}
