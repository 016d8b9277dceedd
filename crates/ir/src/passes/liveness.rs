//! Live flags over a whole unit: what of the six flags every block has to leave right for those behind it.
//!
//! Backward data flow with one bit for each flag: at a block's end those are live that are live at the beginning of a successor. Inside the
//! unit that is found by iteration from below (the least fixed point, so that loops do not keep flags alive by themselves). Behind
//! the unit a callback answers, which looks at the guest code there; whoever answers from code bytes has to drop the unit
//! when they change. At returns, indirect branches and whatever leaves translated code everything is live.
//!
//! With [`Precision::Exact`] an operation that may fault reads what its block has not written before it: flags are dead at a block's end only
//! when they are overwritten before anybody can look. With [`Precision::Relaxed`] nothing is live at indirect branches and returns: nearly no
//! code takes flags from there. What does is reached in another way, with the flags rebuilt ([`flags::hands_on`], [`Block::landing`]).

use crate::block::{Block, Edge, Term, Unit};
use crate::ops::Op;
use crate::passes::flags::{self, Flow, Precision};
use crate::state::eflags::ARITH;

/// Sets [`crate::block::Block::live_out`] of all blocks. `ahead`: the flags that are live at a guest address outside.
pub fn run(unit: &mut Unit, precision: Precision, flow: &mut Flow, ahead: &mut dyn FnMut(u64) -> u32) {
    let n = unit.blocks.len();
    // Bits separate: what is live at a block's beginning is what it needs itself and a part of what is live at its end.
    let mut needs = Vec::with_capacity(n);
    let mut passes = Vec::with_capacity(n);
    let mut known: Vec<(u64, u32)> = Vec::new();
    let mut outside = Vec::with_capacity(n);
    for block in &unit.blocks {
        let (need, pass) = quick(block, precision).unwrap_or_else(|| flow.summary(block, precision));
        needs.push(need);
        passes.push(pass);
        let mut live = 0;
        for edge in successors(&block.term) {
            match edge {
                _ if live == ARITH => break,
                Next::Edge(Edge { block: Some(_), .. }) | Next::None => {}
                Next::Edge(Edge { pc, .. }) => {
                    live |= match known.iter().find(|(at, _)| *at == pc) {
                        Some((_, bits)) => *bits,
                        None => {
                            let bits = ahead(pc) & ARITH;
                            known.push((pc, bits));
                            bits
                        }
                    }
                }
                // Whoever leaves for code that reads them rebuilds them first.
                Next::Anywhere if flags::hands_on(block, precision) => {}
                Next::Anywhere => live = ARITH,
            }
        }
        outside.push(live);
    }
    let mut live_in = needs.clone();
    let mut live_out = outside;
    loop {
        let mut changed = false;
        for i in (0..n).rev() {
            let mut out = live_out[i];
            for edge in successors(&unit.blocks[i].term) {
                if let Next::Edge(Edge { block: Some(b), .. }) = edge {
                    out |= live_in.get(b as usize).copied().unwrap_or(ARITH);
                }
            }
            let now = needs[i] | passes[i] & out;
            changed |= now != live_in[i] || out != live_out[i];
            live_in[i] = now;
            live_out[i] = out;
        }
        if !changed {
            break;
        }
    }
    for (i, (block, out)) in unit.blocks.iter_mut().zip(live_out).enumerate() {
        block.live_out = out;
        block.reads = live_in[i] != 0;
        let Some(ret) = block.term.ret().filter(|_| !precision.is_exact()) else { continue };
        let live = match ret.block {
            Some(b) => live_in.get(b as usize).copied().unwrap_or(ARITH),
            None => match known.iter().find(|(at, _)| *at == ret.pc) {
                Some((_, bits)) => *bits,
                None => ahead(ret.pc) & ARITH,
            },
        };
        block.landing = live != 0;
    }
}

/// What a block needs and what it passes on, looking no further than necessary: most blocks soon come to something that may fault. `None` for
/// blocks that read flags back, where it takes the whole analysis.
fn quick(block: &Block, precision: Precision) -> Option<(u32, u32)> {
    let mut open = ARITH;
    for inst in &block.insts {
        match inst.op {
            Op::GetFl => return None,
            Op::SetFl => {
                open &= !(inst.imm as u32);
                if open == 0 {
                    return Some((0, 0));
                }
            }
            Op::ExitIf => return Some((open, 0)),
            op if precision.is_exact() && op.effects().may_fault() => return Some((open, 0)),
            _ => {}
        }
    }
    Some((0, open))
}

/// Where control goes behind a terminal.
#[derive(Clone, Copy)]
enum Next {
    Edge(Edge),
    Anywhere,
    None,
}

fn successors(term: &Term) -> [Next; 2] {
    match *term {
        Term::Jump(e) => [Next::Edge(e), Next::None],
        Term::Branch { taken, fall, .. } => [Next::Edge(taken), Next::Edge(fall)],
        // The return address is the callee's business.
        Term::Call { target, .. } => [Next::Edge(target), Next::None],
        _ => [Next::Anywhere, Next::None],
    }
}
