//! Block discovery: which guest instructions are translated together.
//!
//! A unit is a region: the entry, then the direct targets and return addresses found in it, first come first served, until
//! the limits are reached. A block ends at a branch, at the address where another block of the unit begins, or at the
//! size limit. Every block can be entered on its own.

use crate::features::Features;
use crate::lift::{Flow, Lifter};
use crate::quick;
use demotic_ir::block::{Block, Edge, Term, Unit};
use demotic_ir::build::{Builder, MAX_INSTS};
use demotic_ir::ops::Op;
use demotic_ir::state::Mode;
use iced_x86::{Decoder, DecoderError, DecoderOptions, Instruction, InstructionInfoFactory, OpAccess, Register};

/// How much is translated at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Most blocks in a unit.
    pub blocks: usize,
    /// Most guest instructions in a block.
    pub instructions: usize,
    /// Farthest target, in bytes from the entry, that is taken in.
    pub reach: u64,
    /// Whether a block ends behind an instruction that writes memory: it may have written what follows.
    pub end_at_stores: bool,
    /// What the guest's processor can do.
    pub features: Features,
    /// For one instruction of code with segments.
    pub segmented: Option<Segmented>,
    /// Whether every block leaves the last x87 instruction of its own in the state: for hosts whose code does not keep it by itself.
    pub pointers: bool,
}

/// What code with segments that are not flat looks like for the moment. Its linear addresses have the number of the segment, from 1 on, at
/// [`TAG`] and above, for those who check limits: each access knows what it is and how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segmented {
    /// Whether the stack pointer has 16 bits.
    pub stack16: bool,
    /// The last byte of the code segment.
    pub code_limit: u32,
}

/// First bit of the number of the segment in an address of segmented code.
pub const TAG: u32 = 48;

impl Limits {
    /// One instruction.
    pub const SINGLE: Limits = Limits {
        blocks: 1,
        instructions: 1,
        reach: 0,
        end_at_stores: false,
        features: Features::DEFAULT,
        segmented: None,
        pointers: false,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Limits { blocks: 8, instructions: 64, reach: 4096, ..Limits::SINGLE }
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

    /// The bytes from an address on: as many as anybody looks at for an instruction, unless the mapping ends before.
    pub(crate) fn at(&mut self, at: u64, fetch: Fetch) -> &[u8] {
        let from = at.wrapping_sub(self.base);
        if from < self.have as u64 && self.have - from as usize >= quick::BYTES_SEEN {
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
    /// No instruction, for handlers that take none.
    none: Instruction,
    usual: quick::Insn,
    /// Whether the usual instructions take the quick way.
    quick: bool,
    /// Whether an instruction of the unit has taken the general one.
    general: bool,
    wanted: Vec<u64>,
    spare: Vec<Block>,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader {
            builder: Builder::simplifying(),
            window: Window::EMPTY,
            insn: Instruction::default(),
            none: Instruction::default(),
            usual: quick::Insn::NONE,
            quick: true,
            general: false,
            wanted: Vec::new(),
            spare: Vec::new(),
        }
    }
}

impl Reader {
    /// One that takes the general way for every instruction: what the quick way is compared with.
    pub fn general() -> Reader {
        Reader { quick: false, ..Reader::default() }
    }

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
        unit.mode = mode;
        self.window.have = 0;
        self.wanted.clear();
        self.wanted.push(pc);
        self.general = false;
        let (mut next, mut count) = (0, 0);
        let mut inside = false;
        while next < self.wanted.len() && count < limits.blocks {
            let at = self.wanted[next];
            next += 1;
            if unit.blocks[..count].iter().any(|b| b.pc == at) || next > 1 && known(at) {
                continue;
            }
            if count == unit.blocks.len() {
                unit.blocks.push(self.spare.pop().unwrap_or_else(|| Block::new(at)));
            }
            // Built in its place.
            let (others, place) = unit.blocks.split_at_mut(count);
            self.builder.take(&mut place[0], at);
            self.build(at, mode, limits, fetch, others);
            // Looked at before it is copied: see [`Lifter::end`].
            let (empty, term) = (self.builder.is_empty(), self.builder.term_mut());
            // A look ahead into unmapped memory is not the program's doing: leave it until it happens.
            let beyond = next > 1 && matches!(term, Term::FetchFault { .. }) && empty;
            if !beyond {
                // Of a branch's ways the one straight on and the one back into a loop are the likely ones; code for the others is made when they are
                // taken.
                let forward = match *term {
                    Term::Branch { taken, fall, .. } if taken.pc > at && taken.pc != fall.pc => Some(taken.pc),
                    Term::Call { target, .. } => Some(target.pc),
                    _ => None,
                };
                for edge in term.edges_mut() {
                    let near = Some(edge.pc) != forward && edge.pc.abs_diff(pc) <= limits.reach;
                    inside |= edge.pc == at;
                    if near && !self.wanted.contains(&edge.pc) {
                        self.wanted.push(edge.pc);
                    }
                }
                count += 1;
            }
            self.builder.give(&mut place[0]);
        }
        self.spare.extend(unit.blocks.drain(count..));
        // The usual instructions have nothing to do with the x87 unit.
        let told = || unit.blocks.iter().any(|b| b.insts.iter().any(|x| x.op == Op::XPtr));
        if limits.pointers || self.general && told() {
            crate::lift::pointers::tell(unit);
        }
        // Edges lead outside until they are linked.
        if inside || count > 1 {
            unit.link();
        }
    }

    /// Translates one block at `pc`, in the tables of one that is not needed any more.
    pub fn block(&mut self, block: &mut Block, pc: u64, mode: Mode, limits: &Limits, fetch: Fetch) {
        self.window.have = 0;
        self.builder.take(block, pc);
        self.build(pc, mode, limits, fetch, &[]);
        self.builder.give(block);
    }

    /// One block in the builder, which ends where one of `others` begins.
    fn build(&mut self, pc: u64, mode: Mode, limits: &Limits, fetch: Fetch, others: &[Block]) {
        let Reader { builder: b, window, insn, none, usual, quick, general, .. } = self;
        let quick = *quick && mode != Mode::Compat16 && limits.segmented.is_none();
        let mut l = Lifter::new(b, none, &[], mode, pc, pc, limits);
        let mut at = pc;
        let mut count = 0;
        // The nearest beginning of another block that is not passed yet.
        let nearest = |from: u64| others.iter().map(|o| o.pc).filter(|pc| *pc >= from).min();
        let mut stop = nearest(at);
        loop {
            if stop.is_some_and(|s| s < at) {
                stop = nearest(at);
            }
            if count > 0 && (count >= limits.instructions || stop == Some(at)) || l.b.len() > MAX_INSTS - 800 {
                return l.b.end(Term::Jump(Edge::to(at)), at);
            }
            let code = window.at(at, fetch);
            let before = l.b.len();
            if code.first_chunk().is_some_and(|c| quick && quick::decode(usual, c, mode == Mode::Long)) {
                let next = wrap(mode, at.wrapping_add(u64::from(usual.len)));
                l.b.mark(at, usual.len);
                (l.pc, l.next) = (at, next);
                if !quick::lift(&mut l, usual) {
                    return;
                }
                at = next;
            } else {
                *general = true;
                let mut decoder = Decoder::with_ip(mode.bits(), code, at, DecoderOptions::NONE);
                decoder.decode_out(insn);
                if insn.is_invalid() {
                    let term = if decoder.last_error() == DecoderError::NoMoreBytes && code.len() < LONGEST {
                        if count > 0 {
                            return l.b.end(Term::Jump(Edge::to(at)), at);
                        }
                        Term::FetchFault { pc: at, addr: wrap(mode, at.wrapping_add(code.len() as u64)) }
                    } else {
                        // Longer than 15 bytes is #GP; everything else that does not decode is #UD.
                        let vector = if decoder.last_error() == DecoderError::NoMoreBytes { 13 } else { 6 };
                        Term::Fault { vector, code: 0, pc: at }
                    };
                    return l.b.end(term, at);
                }
                // Code segments cannot be written; where segments are not flat, the memory says so.
                let through_cs =
                    insn.segment_prefix() == Register::CS && mode != Mode::Long && limits.segmented.is_none();
                if through_cs && writes_memory(insn) {
                    return l.b.end(Term::Fault { vector: 13, code: 0, pc: at }, at);
                }
                let next = wrap(mode, insn.next_ip());
                l.b.mark(at, insn.len() as u8);
                match crate::table::dispatch(&mut Lifter::new(l.b, insn, code, mode, at, next, limits)) {
                    Flow::Next => at = next,
                    Flow::End => return,
                    Flow::Undefined => {
                        l.b.unmark();
                        return l.b.end(Term::Fault { vector: 6, code: 0, pc: at }, at);
                    }
                    Flow::Unimplemented => {
                        l.b.unmark();
                        return l.b.end(Term::Unimplemented { pc: at }, at);
                    }
                }
            }
            count += 1;
            if limits.end_at_stores && l.b.writes_since(before) {
                return l.b.end(Term::Jump(Edge::to(at)), at);
            }
        }
    }
}

/// Whether an instruction with one operand in memory writes it.
#[cold]
fn writes_memory(insn: &Instruction) -> bool {
    let mut factory = InstructionInfoFactory::new();
    let writes = |access| {
        matches!(access, OpAccess::Write | OpAccess::ReadWrite | OpAccess::CondWrite | OpAccess::ReadCondWrite)
    };
    let info = factory.info(insn);
    info.used_memory().iter().any(|m| m.segment() == Register::CS && writes(m.access()))
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
    let mut block = Block::new(pc);
    Reader::default().block(&mut block, pc, mode, limits, fetch);
    block
}

/// An instruction address in the width of the mode. 16-bit code, too, goes on behind 64 KiB if its segment does.
pub fn wrap(mode: Mode, pc: u64) -> u64 {
    match mode {
        Mode::Long => pc,
        Mode::Compat32 | Mode::Compat16 => pc & 0xffff_ffff,
    }
}
