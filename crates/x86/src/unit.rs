//! Block discovery: which guest instructions are translated together.
//!
//! A unit is a region: the entry, then the direct targets and return addresses found in it, first come first served, until
//! the limits are reached. A block ends at a branch, at the address where another block of the unit begins, or at the
//! size limit. Every block can be entered on its own.

use crate::lift::{Flow, Lifter};
use demotic_ir::block::{Block, Edge, Term, Unit};
use demotic_ir::build::{Builder, MAX_INSTS};
use demotic_ir::state::Mode;
use iced_x86::{Decoder, DecoderError, DecoderOptions, Instruction};

/// How much is translated at a time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most blocks in a unit.
    pub blocks: usize,
    /// Most guest instructions in a block.
    pub instructions: usize,
    /// Farthest target, in bytes from the entry, that is taken in.
    pub reach: u64,
    /// Whether a block ends behind an instruction that writes memory: it may have written what follows.
    pub end_at_stores: bool,
}

impl Limits {
    /// One instruction.
    pub const SINGLE: Limits = Limits { blocks: 1, instructions: 1, reach: 0, end_at_stores: false };
}

impl Default for Limits {
    fn default() -> Self {
        Limits { blocks: 8, instructions: 64, reach: 4096, end_at_stores: false }
    }
}

/// Bytes asked for at a time. Longer than an instruction, so that one never ends in the middle unless the mapping does.
const WINDOW: usize = 128;

/// Where guest code comes from: copies bytes at a guest address, returns how many are executable there.
pub type Fetch<'a> = &'a mut dyn FnMut(u64, &mut [u8]) -> usize;

/// Translates the region that begins at `pc`. Always gives at least one block; one that cannot be fetched or decoded ends in
/// the fault that the guest has to see.
pub fn lift(pc: u64, mode: Mode, limits: &Limits, fetch: Fetch) -> Unit {
    lift_beside(pc, mode, limits, fetch, &mut |_| false)
}

/// The same, leaving out blocks (other than the entry) for which `known` says that there is a translation already.
pub fn lift_beside(pc: u64, mode: Mode, limits: &Limits, fetch: Fetch, known: &mut dyn FnMut(u64) -> bool) -> Unit {
    let mut unit = Unit { mode, blocks: Vec::with_capacity(limits.blocks) };
    let mut wanted = vec![pc];
    let mut next = 0;
    while next < wanted.len() && unit.blocks.len() < limits.blocks {
        let at = wanted[next];
        next += 1;
        if unit.blocks.iter().any(|b| b.pc == at) || next > 1 && known(at) {
            continue;
        }
        let block = lift_block(at, mode, limits, fetch, &unit.blocks);
        // A look ahead into unmapped memory is not the program's doing: leave it until it happens.
        if next > 1 && matches!(block.term, Term::FetchFault { .. }) && block.insts.is_empty() {
            continue;
        }
        let mut term = block.term;
        // Of a branch's ways the one straight on and the one back into a loop are the likely ones; code for the others is made when they are taken.
        let forward = match term {
            Term::Branch { taken, fall, .. } if taken.pc > at && taken.pc != fall.pc => Some(taken.pc),
            Term::Call { target, .. } => Some(target.pc),
            _ => None,
        };
        for edge in term.edges_mut() {
            if Some(edge.pc) != forward && edge.pc.abs_diff(pc) <= limits.reach && !wanted.contains(&edge.pc) {
                wanted.push(edge.pc);
            }
        }
        unit.blocks.push(block);
    }
    unit.link();
    unit
}

/// Translates one block at `pc`, which ends where one of `others` begins.
pub fn lift_block(pc: u64, mode: Mode, limits: &Limits, fetch: Fetch, others: &[Block]) -> Block {
    build(Builder::new(pc), pc, mode, limits, fetch, others)
}

/// The same for a block on its own, in the tables of one that is not needed any more.
pub fn lift_block_in(spare: Option<Block>, pc: u64, mode: Mode, limits: &Limits, fetch: Fetch) -> Block {
    let b = spare.map_or_else(|| Builder::new(pc), |block| Builder::again(block, pc));
    build(b, pc, mode, limits, fetch, &[])
}

fn build(mut b: Builder, pc: u64, mode: Mode, limits: &Limits, fetch: Fetch, others: &[Block]) -> Block {
    let mut window = [0u8; WINDOW];
    let mut at = pc;
    let mut count = 0;
    let mut insn = Instruction::default();
    // One window after the other.
    loop {
        let have = fetch(at, &mut window).min(WINDOW);
        let mut decoder = Decoder::with_ip(mode.bits(), &window[..have], at, DecoderOptions::NONE);
        loop {
            if count > 0 && (count >= limits.instructions || others.iter().any(|o| o.pc == at))
                || b.len() > MAX_INSTS - 800
            {
                return b.finish(Term::Jump(Edge::to(at)), at);
            }
            let left = have - decoder.position();
            if left < 16 && decoder.position() > 0 || decoder.ip() != at {
                break;
            }
            decoder.decode_out(&mut insn);
            if insn.is_invalid() {
                let term = if decoder.last_error() == DecoderError::NoMoreBytes && left < 15 {
                    if count > 0 {
                        return b.finish(Term::Jump(Edge::to(at)), at);
                    }
                    Term::FetchFault { pc: at, addr: wrap(mode, at.wrapping_add(left as u64)) }
                } else {
                    // Longer than 15 bytes is #GP; everything else that does not decode is #UD.
                    let vector = if decoder.last_error() == DecoderError::NoMoreBytes { 13 } else { 6 };
                    Term::Fault { vector, code: 0, pc: at }
                };
                return b.finish(term, at);
            }
            let next = wrap(mode, insn.next_ip());
            b.mark(at, insn.len() as u8);
            let before = b.len();
            let mut lifter = Lifter::new(&mut b, &insn, mode, at, next);
            match crate::table::dispatch(&mut lifter) {
                Flow::Next => at = next,
                Flow::End(term) => return b.finish(term, next),
                Flow::Undefined => {
                    b.unmark();
                    return b.finish(Term::Fault { vector: 6, code: 0, pc: at }, at);
                }
                Flow::Unimplemented => {
                    b.unmark();
                    return b.finish(Term::Unimplemented { pc: at }, at);
                }
            }
            count += 1;
            if limits.end_at_stores && b.writes_since(before) {
                return b.finish(Term::Jump(Edge::to(at)), at);
            }
        }
    }
}

/// An instruction address in the width of the mode.
pub fn wrap(mode: Mode, pc: u64) -> u64 {
    match mode {
        Mode::Long => pc,
        Mode::Compat32 => pc & 0xffff_ffff,
        Mode::Compat16 => pc & 0xffff,
    }
}
