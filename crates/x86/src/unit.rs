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

/// The longest instruction.
const LONGEST: usize = 15;

/// Where guest code comes from: copies bytes at a guest address, returns how many are executable there.
pub type Fetch<'a> = &'a mut dyn FnMut(u64, &mut [u8]) -> usize;

/// A piece of guest code as it was fetched.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    base: u64,
    have: usize,
    bytes: [u8; WINDOW],
}

impl Window {
    pub(crate) const EMPTY: Window = Window { base: 0, have: 0, bytes: [0; WINDOW] };

    /// The bytes from an address on: at least a whole instruction, unless the mapping ends before.
    pub(crate) fn at(&mut self, at: u64, fetch: Fetch) -> &[u8] {
        let from = at.wrapping_sub(self.base);
        if from < self.have as u64 && self.have - from as usize > LONGEST {
            return &self.bytes[from as usize..self.have];
        }
        self.base = at;
        self.have = fetch(at, &mut self.bytes).min(WINDOW);
        &self.bytes[..self.have]
    }
}

/// What code is lifted with: buffers that one unit leaves to the next.
#[derive(Debug)]
pub struct Reader {
    builder: Builder,
    window: Window,
    insn: Instruction,
    wanted: Vec<u64>,
    spare: Vec<Block>,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader {
            builder: Builder::simplifying(),
            window: Window::EMPTY,
            insn: Instruction::default(),
            wanted: Vec::new(),
            spare: Vec::new(),
        }
    }
}

impl Reader {
    /// Translates the region that begins at `pc` into `unit`, whose old blocks give their tables. Always gives at least one block; one that cannot
    /// be fetched or decoded ends in the fault that the guest has to see. Blocks (other than the entry) are left out for which `known`
    /// says that there is a translation already.
    pub fn lift(
        &mut self,
        unit: &mut Unit,
        pc: u64,
        mode: Mode,
        limits: &Limits,
        fetch: Fetch,
        known: &mut dyn FnMut(u64) -> bool,
    ) {
        self.spare.append(&mut unit.blocks);
        unit.mode = mode;
        self.window.have = 0;
        self.wanted.clear();
        self.wanted.push(pc);
        let mut next = 0;
        while next < self.wanted.len() && unit.blocks.len() < limits.blocks {
            let at = self.wanted[next];
            next += 1;
            if unit.blocks.iter().any(|b| b.pc == at) || next > 1 && known(at) {
                continue;
            }
            let mut block = self.build(at, mode, limits, fetch, &unit.blocks);
            // A look ahead into unmapped memory is not the program's doing: leave it until it happens.
            if next > 1 && matches!(block.term, Term::FetchFault { .. }) && block.insts.is_empty() {
                self.spare.push(block);
                continue;
            }
            // Of a branch's ways the one straight on and the one back into a loop are the likely ones; code for the others is made when they are taken.
            let forward = match block.term {
                Term::Branch { taken, fall, .. } if taken.pc > at && taken.pc != fall.pc => Some(taken.pc),
                Term::Call { target, .. } => Some(target.pc),
                _ => None,
            };
            for edge in block.term.edges_mut() {
                if Some(edge.pc) != forward && edge.pc.abs_diff(pc) <= limits.reach && !self.wanted.contains(&edge.pc) {
                    self.wanted.push(edge.pc);
                }
            }
            unit.blocks.push(block);
        }
        unit.link();
    }

    /// Translates one block at `pc`, in the tables of one that is not needed any more.
    pub fn block(&mut self, spare: Option<Block>, pc: u64, mode: Mode, limits: &Limits, fetch: Fetch) -> Block {
        self.spare.extend(spare);
        self.window.have = 0;
        self.build(pc, mode, limits, fetch, &[])
    }

    /// One block, which ends where one of `others` begins.
    fn build(&mut self, pc: u64, mode: Mode, limits: &Limits, fetch: Fetch, others: &[Block]) -> Block {
        let Reader { builder: b, window, insn, spare, .. } = self;
        b.begin(spare.pop().unwrap_or_else(|| Block::new(pc)), pc);
        let mut at = pc;
        let mut count = 0;
        loop {
            let code = window.at(at, fetch);
            let mut decoder = Decoder::with_ip(mode.bits(), code, at, DecoderOptions::NONE);
            // One instruction after the other, as far as they are whole in the window.
            loop {
                if count > 0 && (count >= limits.instructions || others.iter().any(|o| o.pc == at))
                    || b.len() > MAX_INSTS - 800
                {
                    return b.finish(Term::Jump(Edge::to(at)), at);
                }
                let left = code.len() - decoder.position();
                if left <= LONGEST && decoder.position() > 0 || decoder.ip() != at {
                    break;
                }
                decoder.decode_out(insn);
                if insn.is_invalid() {
                    let term = if decoder.last_error() == DecoderError::NoMoreBytes && left < LONGEST {
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
                let mut lifter = Lifter::new(b, insn, mode, at, next);
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
}

/// [`Reader::lift`] of everything in reach, for those who lift one unit.
pub fn lift(pc: u64, mode: Mode, limits: &Limits, fetch: Fetch) -> Unit {
    lift_beside(pc, mode, limits, fetch, &mut |_| false)
}

/// [`Reader::lift`] for those who lift one unit.
pub fn lift_beside(pc: u64, mode: Mode, limits: &Limits, fetch: Fetch, known: &mut dyn FnMut(u64) -> bool) -> Unit {
    let mut unit = Unit { mode, blocks: Vec::new() };
    Reader::default().lift(&mut unit, pc, mode, limits, fetch, known);
    unit
}

/// [`Reader::block`] for those who lift one block.
pub fn lift_block(pc: u64, mode: Mode, limits: &Limits, fetch: Fetch) -> Block {
    Reader::default().block(None, pc, mode, limits, fetch)
}

/// An instruction address in the width of the mode.
pub fn wrap(mode: Mode, pc: u64) -> u64 {
    match mode {
        Mode::Long => pc,
        Mode::Compat32 => pc & 0xffff_ffff,
        Mode::Compat16 => pc & 0xffff,
    }
}
