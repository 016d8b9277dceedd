//! Dead operations: what has no effect and no user goes, and the block closes up.
//!
//! Operands of deferred flags count as uses. Marks and side tables are renumbered together with the operations.

use crate::block::{Block, Val};
use crate::ops::Op;

/// Runs the pass.
pub fn run(block: &mut Block) {
    let n = block.insts.len();
    let mut used = vec![false; n];
    for v in block.term.operands().into_iter().filter(|v| *v != Val::NONE) {
        used[v.index()] = true;
    }
    for d in &block.deferred {
        d.def.operands().iter().for_each(|v| used[v.index()] = true);
    }
    for i in (0..n).rev() {
        let inst = &block.insts[i];
        if used[i] || !inst.op.info().effects.removable() {
            for v in inst.operands() {
                used[v.index()] = true;
            }
            used[i] = true;
        }
    }
    // New number of every position (of a removed one: of what follows it).
    let mut number = vec![0u16; n + 1];
    let mut next = 0;
    for i in 0..n {
        number[i] = next;
        if used[i] && block.insts[i].op != Op::Nop {
            next += 1;
        }
    }
    number[n] = next;
    let rename = |v: &mut Val| {
        if *v != Val::NONE {
            v.0 = number[v.index()];
        }
    };
    let mut at = 0;
    block.insts.retain_mut(|inst| {
        let keep = used[at] && inst.op != Op::Nop;
        at += 1;
        inst.args.iter_mut().for_each(rename);
        keep
    });
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
