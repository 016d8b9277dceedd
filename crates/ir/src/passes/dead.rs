//! Dead operations: what has no effect and no user goes, and the block closes up.
//!
//! A write of a slot goes when the next one replaces it before anybody can look: no read, no fault, no way out in between.
//!
//! Operands of deferred flags count as uses. Marks and side tables are renumbered together with the operations.

use crate::block::{Block, Val};
use crate::ops::Op;
use crate::slot::Slot;
use crate::ty::Ty;
use std::cell::RefCell;

/// Memory that the pass uses again and again: blocks are many and small.
#[derive(Debug, Default)]
struct Buffers {
    used: Vec<bool>,
    number: Vec<u16>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// Runs the pass.
pub fn run(block: &mut Block) {
    BUFFERS.with_borrow_mut(|buffers| with(block, buffers));
}

fn with(block: &mut Block, Buffers { used, number }: &mut Buffers) {
    let n = block.insts.len();
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
    // New number of every position (of a removed one: of what follows it); what stays moves up.
    number.clear();
    number.resize(n + 1, 0);
    let mut next = 0u16;
    for i in 0..n {
        number[i] = next;
        if !used[i] || block.insts[i].op == Op::Nop {
            continue;
        }
        // Copied first and renamed in place: small writes followed by a wide read of the same bytes stall the processor.
        block.insts[usize::from(next)] = block.insts[i];
        let inst = &mut block.insts[usize::from(next)];
        let arity = inst.op.arity();
        inst.args[..arity].iter_mut().for_each(|v| v.0 = number[v.index()]);
        next += 1;
    }
    block.insts.truncate(usize::from(next));
    number[n] = next;
    let rename = |v: &mut Val| {
        if *v != Val::NONE {
            v.0 = number[v.index()];
        }
    };
    block.term.operands_mut().for_each(rename);
    for d in &mut block.deferred {
        d.def.args.iter_mut().for_each(rename);
        d.from = number[usize::from(d.from)];
        d.to = number[usize::from(d.to)];
    }
    block.deferred.retain(|d| d.from < d.to);
    for m in &mut block.marks {
        m.first = number[usize::from(m.first).min(n)];
    }
}
