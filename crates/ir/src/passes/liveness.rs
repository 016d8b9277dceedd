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

/// The analysis with its tables, to be used for many units.
#[derive(Debug, Default)]
pub struct Live {
    flow: Flow,
    /// What a block needs itself, which of the flags live at its end it hands on, and what is live at its beginning and end.
    table: Vec<[u32; 4]>,
    /// What was asked about addresses outside.
    known: Vec<(u64, u32)>,
}

impl Live {
    /// Sets [`crate::block::Block::live_out`] of all blocks. `ahead`: the flags that are live at a guest address outside.
    pub fn run(&mut self, unit: &mut Unit, precision: Precision, ahead: &mut dyn FnMut(u64) -> u32) {
        let Live { flow, table, known } = self;
        table.clear();
        known.clear();
        let mut inside = false;
        for block in &unit.blocks {
            let (need, pass) = quick(block, precision).unwrap_or_else(|| flow.summary(block, precision));
            let mut live = 0;
            for edge in successors(&block.term) {
                match edge {
                    Next::Edge(Edge { block: Some(_), .. }) => inside = true,
                    Next::None => {}
                    _ if live == ARITH => {}
                    Next::Edge(Edge { pc, .. }) => live |= asked(known, pc, ahead),
                    // Whoever leaves for code that reads them rebuilds them first.
                    Next::Anywhere if flags::hands_on(block, precision) => {}
                    Next::Anywhere => live = ARITH,
                }
            }
            table.push([need, pass, need | pass & live, live]);
        }
        while inside {
            inside = false;
            for i in (0..table.len()).rev() {
                let [need, pass, before, mut out] = table[i];
                for edge in successors(&unit.blocks[i].term) {
                    if let Next::Edge(Edge { block: Some(b), .. }) = edge {
                        out |= table.get(b as usize).map_or(ARITH, |t| t[2]);
                    }
                }
                let now = need | pass & out;
                inside |= now != before || out != table[i][3];
                table[i] = [need, pass, now, out];
            }
        }
        for (block, t) in unit.blocks.iter_mut().zip(&*table) {
            block.live_out = t[3];
            block.reads = t[2] != 0;
            let Some(ret) = block.term.ret().filter(|_| !precision.is_exact()) else { continue };
            let live = match ret.block {
                Some(b) => table.get(b as usize).map_or(ARITH, |t| t[2]),
                None => asked(known, ret.pc, ahead),
            };
            block.landing = live != 0;
        }
    }
}

/// The flags that are live at an address outside; every one is asked about once.
fn asked(known: &mut Vec<(u64, u32)>, pc: u64, ahead: &mut dyn FnMut(u64) -> u32) -> u32 {
    if let Some((_, bits)) = known.iter().find(|(at, _)| *at == pc) {
        return *bits;
    }
    let bits = ahead(pc) & ARITH;
    known.push((pc, bits));
    bits
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
