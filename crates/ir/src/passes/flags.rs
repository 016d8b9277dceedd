//! Dead flags: most arithmetic instructions set six flags that the next one overwrites.
//!
//! Two steps. Forward: a read of the flags behind a write of the same block takes the written value directly. Backward: a
//! write whose flags are all overwritten before anybody reads them is taken out of the block. The state must stay exact
//! where a fault can happen in between, so the definition moves to the side table ([`Deferred`]) for that range; it is
//! evaluated only when somebody looks. Its operands are values of the block and stay where they are.
//!
//! A partial write (inc leaves CF) keeps the flags that nobody overwrites; it is removed only when all it writes is dead.

use crate::block::{Block, Deferred, Inst, Val};
use crate::ops::{Effects, Op};
use crate::state::eflags::{self, ARITH};

/// The flags that condition `cc` depends on.
pub fn cond_reads(cc: u64) -> u32 {
    match cc >> 1 & 7 {
        0 => eflags::OF,
        1 => eflags::CF,
        2 => eflags::ZF,
        3 => eflags::CF | eflags::ZF,
        4 => eflags::SF,
        5 => eflags::PF,
        6 => eflags::SF | eflags::OF,
        _ => eflags::SF | eflags::OF | eflags::ZF,
    }
}

/// Runs the pass.
pub fn run(block: &mut Block) {
    forward(block);
    backward(block);
}

/// Replaces the operand of conditions on `getfl` by the value that the last `setfl` wrote, when that wrote all that the
/// condition reads.
fn forward(block: &mut Block) {
    // Writes since the last full one, newest last.
    let mut writes: Vec<(Val, u32)> = Vec::new();
    // For every `getfl`: how many entries of `history` were there.
    let mut at_get: Vec<(Val, Vec<(Val, u32)>)> = Vec::new();
    for i in 0..block.insts.len() {
        let inst = block.insts[i];
        match inst.op {
            Op::SetFl => {
                if inst.imm as u32 & ARITH == ARITH {
                    writes.clear();
                }
                writes.push((inst.args[0], inst.imm as u32));
            }
            Op::GetFl if !writes.is_empty() => at_get.push((Val(i as u16), writes.clone())),
            Op::Cond => {
                let reads = cond_reads(inst.imm);
                if let Some((_, seen)) = at_get.iter().find(|(v, _)| *v == inst.args[0]) {
                    if let Some(v) = source(seen, reads) {
                        block.insts[i].args[0] = v;
                    }
                }
            }
            Op::GetFl => {}
            _ => {
                // Other users of a whole flags value want one full write.
                for k in 0..inst.arity() {
                    let found = at_get.iter().find(|(v, _)| *v == inst.args[k]);
                    if let Some(v) = found.and_then(|(_, seen)| source(seen, ARITH)) {
                        block.insts[i].args[k] = v;
                    }
                }
            }
        }
    }
}

/// The single value that holds all of `reads`, if there is one.
fn source(writes: &[(Val, u32)], reads: u32) -> Option<Val> {
    let (v, mask) = writes.iter().rev().find(|(_, mask)| mask & reads != 0)?;
    (mask & reads == reads).then_some(*v)
}

/// What an instruction reads of the flags in the guest state.
fn reads_state(inst: &Inst, used_getfl: bool) -> u32 {
    match inst.op {
        Op::GetFl if used_getfl => ARITH,
        // Leaves the block with whatever the flags are then.
        Op::ExitIf => ARITH,
        _ => 0,
    }
}

fn backward(block: &mut Block) {
    let mut used = vec![false; block.insts.len()];
    for inst in &block.insts {
        inst.operands().iter().for_each(|v| used[v.index()] = true);
    }
    for v in block.term.operands().into_iter().filter(|v| *v != Val::NONE) {
        used[v.index()] = true;
    }
    // Everything is live at the end of the block.
    let mut live = ARITH;
    // For every flag, the nearest later write that kills it.
    let mut killer = [block.insts.len(); 32];
    for i in (0..block.insts.len()).rev() {
        let inst = block.insts[i];
        if inst.op == Op::SetFl {
            let mask = inst.imm as u32 & ARITH;
            let lazy = block.insts[inst.args[0].index()].op.info().effects == Effects::PURE;
            if mask & live == 0 && lazy {
                defer(block, i, mask, &killer);
                continue;
            }
            live &= !mask;
            (0..32).filter(|b| mask >> b & 1 != 0).for_each(|b| killer[b] = i);
        }
        let reads = reads_state(&inst, used[i]);
        live |= reads;
    }
}

/// Takes the write at `i` out; it stays known to the side table until each of its flags is overwritten.
fn defer(block: &mut Block, i: usize, mask: u32, killer: &[usize; 32]) {
    let source = block.insts[i].args[0];
    let def = block.insts[source.index()];
    let ends = |b: &u32| killer[*b as usize];
    let bits: Vec<u32> = (0..32).filter(|b| mask >> b & 1 != 0).collect();
    let mut starts: Vec<usize> = bits.iter().map(ends).collect();
    starts.sort_unstable();
    starts.dedup();
    let faults = |from: usize, to: usize| block.insts[from..to].iter().any(|x| x.op.info().effects.may_fault());
    let mut entries = Vec::new();
    for end in starts {
        // Only ranges in which somebody could look are worth an entry.
        if faults(i + 1, end) {
            let mask = bits.iter().filter(|b| ends(b) == end).fold(0, |m, b| m | 1 << b);
            entries.push(Deferred { from: i as u16 + 1, to: end as u16, mask, def });
        }
    }
    block.insts[i] = Inst::NOP;
    // Entries are applied in order, so the oldest write comes first.
    block.deferred.splice(0..0, entries);
}
