//! The AArch64 emitter.
//!
//! Guest registers live in x0..x15 and v16..v31, the flags in NZCV (C inverted, as `subs` leaves it) and the raw parity and
//! auxiliary registers x26 and x27; x28 is the frame, x29 the table for indirect jumps, x18 that for indirect calls; x19..x25 and v0..v12 hold values of a block ([`regs`]); x16, x17,
//! x30 and v13..v15 are scratch within one operation.
//!
//! One pass over the operations of a block, after a pass that decided what emits nothing ([`analysis`]). What is not
//! emitted inline calls the interpreter for the one operation ([`helper`]). i8 and i16 values have noise in the upper bits of
//! their register; users extend where it matters.
//!
//! Entries: everybody comes in at a block's first instruction, the code before it too; the pre-entries stand behind the blocks. Calls come in one
//! instruction earlier, with the guest's return address in x16 and the host's in x30, which that instruction pushes on the shadow stack. Where
//! the code before runs into the block, it stands elsewhere with a branch behind it.

mod analysis;
mod batch;
mod crypto;
mod flags;
mod float;
mod helper;
mod int;
mod mem;
mod muldiv;
mod regs;
mod repeat;
mod runtime;
mod ssse3;
mod strings;
mod term;
mod vector;
mod x87;
mod x87_ops;

#[cfg(test)]
mod tests;

use crate::frame::HostRegs;
use crate::plan::Plan;
use crate::{Compiled, EdgeKind, EdgeSite, Emitter, Error, Patch, Place, Reloc, Request, Runtime, Stub, target};
use analysis::Analysis;
use demotic_asm::arm64::branch;
use demotic_asm::buffer::{CodeBuffer, Field, Label};
use demotic_ir::block::{Block, Edge, Inst, Term, Unit};
use demotic_ir::state::{GuestState, Mode};
use regs::Books;
use std::collections::BTreeMap;

/// The emitter for AArch64 hosts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Arm64;

/// Something that stands behind the code of the blocks.
#[derive(Debug)]
enum Cold {
    /// Give up at this place.
    Deopt(Label),
    /// A patchable jump.
    Edge(Label, u64),
    /// `mov x16, reg`, then to a stub.
    Miss(Label, u8, Stub),
    /// The same for a call: x16 and the landing go on the shadow stack first.
    CallMiss(Label, u8, Label),
    /// An operation by the interpreter, with everything that is needed for it, and the way back.
    Helper(Label, helper::Late),
    /// A NaN came out: back when it is the right one, else give up.
    Invalid(Label, Label),
    /// Some instructions and a jump back.
    Fix(Label, Vec<u32>, Label),
    /// The state of the x87 is not what the block needs: make it so, or go to the version that works on any state.
    X87Check { label: Label, again: Label, other: Label },
    /// A piece of an x87 instruction.
    X87Piece(x87_ops::Piece),
    /// A whole x87 instruction by a helper.
    X87Slow(Box<x87_ops::Slow>),
}

/// One unit being emitted.
struct Emit<'a> {
    unit: &'a Unit,
    request: &'a Request,
    buf: CodeBuffer,
    out: Compiled,
    stop: Option<u32>,
    place: Option<Place>,
    /// What to report instead of the current books (code out of line).
    fixed_place: Option<Place>,
    failed: bool,
    /// NZCV is in this register at the moment.
    saved_flags: Option<u8>,
    /// General registers whose homes lag behind at the moment, and by what.
    lag: Vec<(u8, i32)>,
    cold: Vec<(Cold, Option<Place>)>,
    pool: BTreeMap<u64, Label>,
    vector_pool: BTreeMap<[u64; 2], Label>,
    /// Branches of 14 bits reach everything.
    small: bool,
    entries: Vec<Label>,
    /// Where calls come in.
    calls: Vec<Label>,
    /// Offset behind an instruction that has used the block's return address from x16.
    link: Option<u32>,
    // The current block.
    number: u32,
    block: &'a Block,
    plan: Plan,
    an: Analysis,
    books: Books,
    index: usize,
    next: Option<u32>,
    batch: batch::Batch,
    /// Operations that another one has done already.
    done: Vec<bool>,
    /// The live state of the x87, in the version of a block that works on it.
    x87: Option<x87::State>,
    /// Its code out of line.
    x87_pieces: Vec<(Cold, Option<Place>)>,
    /// The block's code runs into what comes behind it.
    runs_on: bool,
    /// Blocks that need their second version, and its label.
    seconds: Vec<(u32, Label)>,
}

impl Emit<'_> {
    fn narrow(&self) -> bool {
        self.unit.mode != Mode::Long
    }

    fn fp_inline(&self) -> bool {
        !self.request.fp_by_helper
    }

    /// A label of a literal.
    fn literal(&mut self, n: u64) -> Label {
        let buf = &mut self.buf;
        *self.pool.entry(n).or_insert_with(|| buf.label())
    }

    /// A label of a vector literal.
    fn vector_literal(&mut self, n: [u64; 2]) -> Label {
        let buf = &mut self.buf;
        *self.vector_pool.entry(n).or_insert_with(|| buf.label())
    }

    /// A branch to the runtime.
    fn stub(&mut self, call: bool, stub: Stub) {
        self.out.relocs.push(Reloc { at: self.buf.offset(), field: Field::Arm26, stub });
        self.w(if call { branch::BL } else { branch::B });
    }

    /// Code out of line, with the state as it is now.
    fn later(&mut self, cold: Cold) {
        let place = self.stop.is_some().then(|| self.here());
        self.cold.push((cold, place));
    }

    /// A label that gives up at the current operation.
    fn deopt(&mut self) -> Label {
        let label = self.buf.label();
        self.later(Cold::Deopt(label));
        label
    }

    /// The label of a block for a branch from the current one.
    fn target(&self, block: u32) -> Option<Label> {
        let b = block as usize;
        self.entries.get(b).copied()
    }

    /// The label to branch to for an edge: a block of the unit, or a patchable jump out of line.
    fn edge_label(&mut self, edge: Edge) -> Label {
        if let Some(label) = edge.block.and_then(|b| self.target(b)) {
            return label;
        }
        let label = self.buf.label();
        self.later(Cold::Edge(label, edge.pc));
        label
    }

    /// A patchable jump here.
    fn edge_site(&mut self, pc: u64) {
        self.out.edges.push(EdgeSite { at: self.buf.offset(), kind: EdgeKind::Jump, pc });
        self.stub(true, Stub::EdgeJump);
    }

    /// Goes on at an edge: nothing when the code of the target comes next.
    fn go(&mut self, edge: Edge) {
        match edge.block {
            Some(b) if self.next == Some(b) => self.runs_on = true,
            block => match block.and_then(|b| self.target(b)) {
                Some(label) => self.w_to(branch::B, label, Field::Arm26),
                None => self.edge_site(edge.pc),
            },
        }
    }

    fn blocks(&mut self) {
        let layout = layout(self.unit);
        let unit = self.unit;
        for _ in &unit.blocks {
            let (entry, call) = (self.buf.label(), self.buf.label());
            self.entries.push(entry);
            self.calls.push(call);
        }
        let mut run_into = Vec::new();
        for (p, &b) in layout.iter().enumerate() {
            if self.runs_on {
                run_into.push(b);
            } else {
                self.call_entry(b);
            }
            self.enter_block(b, layout.get(p + 1).copied());
            self.out.entries[b as usize] = self.buf.offset();
            let label = self.entries[b as usize];
            self.buf.bind(label);
            match self.x87_usage() {
                Some(usage) => {
                    let other = self.buf.label();
                    self.seconds.push((b, other));
                    self.x87_enter(&usage, other);
                    self.x87_body(&usage);
                }
                None => self.block_body(),
            }
            // What the code branches to is near, and not where it runs into the next block.
            if !self.runs_on {
                self.x87_cold();
            } else if self.x87_pieces.len() > 60 {
                self.x87_cold_between();
            }
        }
        for (b, label) in core::mem::take(&mut self.seconds) {
            self.enter_block(b, None);
            self.buf.bind(label);
            self.block_body();
        }
        // Where an entry leads that is no longer valid.
        self.out.pre_entries = self.buf.offset();
        for b in 0..unit.blocks.len() as u32 {
            self.fixed_place = Some(Place { block: b, index: 0, values: Vec::new() });
            self.stub(true, Stub::Stale);
        }
        for b in run_into {
            self.call_entry(b);
            self.w_to(branch::B, self.entries[b as usize], Field::Arm26);
        }
        self.cold_code();
        self.fixed_place = None;
        if !self.vector_pool.is_empty() {
            while self.buf.offset() % 16 != 0 {
                self.buf.word(branch::NOP);
            }
            for (n, label) in core::mem::take(&mut self.vector_pool) {
                self.buf.bind(label);
                n.iter().for_each(|half| self.buf.put(&half.to_le_bytes()));
            }
        }
        if !self.pool.is_empty() {
            if self.buf.offset() % 8 != 0 {
                self.buf.word(branch::NOP);
            }
            for (n, label) in core::mem::take(&mut self.pool) {
                self.buf.bind(label);
                self.buf.put(&n.to_le_bytes());
            }
        }
    }

    /// What calls of a block run before its entry.
    fn call_entry(&mut self, b: u32) {
        self.fixed_place = Some(Place { block: b, index: 0, values: Vec::new() });
        self.out.calls[b as usize] = self.buf.offset();
        self.buf.bind(self.calls[b as usize]);
        self.push_shadow();
    }

    fn enter_block(&mut self, b: u32, next: Option<u32>) {
        let unit = self.unit;
        self.number = b;
        self.next = next;
        self.runs_on = false;
        self.block = &unit.blocks[b as usize];
        self.plan = Plan::new(self.block);
        let exact = self.request.precision.is_exact();
        self.plan.flags_home = analysis::flags_home(self.block, &self.plan, self.fp_inline(), exact);
        self.an = Analysis::new(self.block, &self.plan, unit.mode, self.fp_inline(), !self.tso());
        self.books = Books::new(self.block.insts.len(), self.narrow());
        self.done = vec![false; self.block.insts.len()];
        self.batch = batch::Batch::default();
        self.index = 0;
        self.link = None;
        self.fixed_place = None;
    }

    fn block_body(&mut self) {
        let n = self.block.insts.len();
        for i in 0..n {
            self.index = i;
            if self.done[i] {
                continue;
            }
            if !self.batched(i) {
                self.op(i);
            }
            self.end_op(i);
        }
        self.index = n;
        self.commit(n);
        self.terminal();
    }

    fn cold_code(&mut self) {
        let mut at = 0;
        while at < self.cold.len() {
            let (cold, place) = core::mem::replace(
                &mut self.cold[at],
                (Cold::Fix(Label::clone(&self.entries[0]), Vec::new(), self.entries[0]), None),
            );
            at += 1;
            self.fixed_place = place;
            match cold {
                Cold::Deopt(label) => {
                    self.buf.bind(label);
                    self.stub(true, Stub::Deopt);
                }
                Cold::Edge(label, pc) => {
                    self.buf.bind(label);
                    self.edge_site(pc);
                }
                Cold::Miss(label, reg, stub) => {
                    self.buf.bind(label);
                    if reg != 16 {
                        self.w(runtime::mov(demotic_asm::arm64::x(16), demotic_asm::arm64::x(reg)));
                    }
                    // The address behind it tells the engine where the flags are.
                    self.stub(true, stub);
                }
                Cold::CallMiss(label, reg, landing) => {
                    self.buf.bind(label);
                    self.w_to(branch::adr(demotic_asm::arm64::LR), landing, Field::Adr);
                    self.push_shadow();
                    self.w(runtime::mov(demotic_asm::arm64::x(16), demotic_asm::arm64::x(reg)));
                    self.stub(true, Stub::Indirect);
                }
                Cold::Invalid(label, back) => {
                    self.buf.bind(label);
                    let over = self.buf.label();
                    self.w(branch::mrs(regs::S0, branch::SysReg::Fpsr));
                    self.w_to(branch::tbz(true, regs::S0, 0), over, Field::Arm14);
                    self.w_to(branch::B, back, Field::Arm26);
                    self.buf.bind(over);
                    self.stub(true, Stub::Deopt);
                }
                Cold::Fix(label, words, back) => {
                    self.buf.bind(label);
                    for w in words {
                        self.w(w);
                    }
                    self.w_to(branch::B, back, Field::Arm26);
                }
                Cold::X87Check { label, again, other } => {
                    self.buf.bind(label);
                    self.x87_check(again, other);
                }
                // Stands behind its block.
                Cold::X87Piece(_) | Cold::X87Slow(_) => {}
                Cold::Helper(label, late) => {
                    self.buf.bind(label);
                    self.late_helper(late);
                }
            }
        }
        self.out.edges.sort_by_key(|e| e.at);
    }
}

/// The order of the blocks: the guest's, where one runs into the next, and along the edges that are likely to be followed.
fn layout(unit: &Unit) -> Vec<u32> {
    let n = unit.blocks.len();
    let likely = |b: usize| {
        let edges = match unit.blocks[b].term {
            Term::Jump(e) => [e.block, None],
            Term::Branch { taken, fall, .. } => [fall.block, taken.block],
            term => [term.ret().and_then(|e| e.block), None],
        };
        edges.into_iter().flatten().map(|b| b as usize).filter(|&b| b < n)
    };
    // The block that runs into another one.
    let mut before = vec![None; n];
    for b in 0..n {
        for t in likely(b).filter(|&t| t != b && unit.blocks[t].pc == unit.blocks[b].end) {
            before[t] = Some(b);
        }
    }
    let mut placed = vec![false; n];
    let mut order = Vec::with_capacity(n);
    for start in 0..n {
        let mut at = Some(start).filter(|&b| !placed[b]);
        while let Some(b) = at.and_then(|b| before[b]).filter(|&b| !placed[b] && b != start) {
            at = Some(b);
        }
        while let Some(b) = at.filter(|&b| !placed[b]) {
            placed[b] = true;
            order.push(b as u32);
            at = likely(b).find(|&b| !placed[b]);
        }
    }
    order
}

/// Emits a unit; with `stop` also says what that offset means.
fn emit(unit: &Unit, request: &Request, stop: Option<u32>) -> Result<(Compiled, Option<Place>), Error> {
    let Some(first) = unit.blocks.first() else { return Err(Error::Missing("a block")) };
    // One x87 operation has some 20 instructions, most of them out of line.
    let weight = |x: &Inst| if x.op.touches_x87() { 24 } else { 1 };
    let size: usize = unit.blocks.iter().map(|b| b.insts.iter().map(weight).sum::<usize>() + 8).sum();
    let n = unit.blocks.len();
    let plan = Plan::default();
    let mut e = Emit {
        unit,
        request,
        buf: CodeBuffer::default(),
        out: Compiled { entries: vec![0; n], calls: vec![0; n], ..Compiled::default() },
        stop,
        place: None,
        fixed_place: None,
        failed: false,
        saved_flags: None,
        x87: None,
        x87_pieces: Vec::new(),
        runs_on: false,
        seconds: Vec::new(),
        lag: Vec::new(),
        cold: Vec::new(),
        pool: BTreeMap::new(),
        vector_pool: BTreeMap::new(),
        small: size < 1200,
        entries: Vec::new(),
        calls: Vec::new(),
        link: None,
        number: 0,
        block: first,
        an: Analysis::empty(),
        plan,
        books: Books::default(),
        index: 0,
        next: None,
        batch: batch::Batch::default(),
        done: Vec::new(),
    };
    e.blocks();
    if e.failed {
        return Err(Error::Missing("a register or an encoding"));
    }
    let Emit { buf, mut out, place, .. } = e;
    out.code = buf.finish().map_err(Error::TooLarge)?;
    Ok((out, place))
}

impl Emitter for Arm64 {
    fn emit_into(&self, unit: &Unit, request: &Request, out: &mut Compiled) -> Result<(), Error> {
        *out = emit(unit, request, None)?.0;
        Ok(())
    }

    fn locate(&self, unit: &Unit, request: &Request, offset: u32) -> Option<Place> {
        emit(unit, request, Some(offset)).ok()?.1
    }

    fn runtime(&self, target: &target::Target) -> Runtime {
        runtime::runtime(target)
    }

    fn load(&self, state: &GuestState, regs: &mut HostRegs) {
        runtime::load(state, regs);
    }

    fn store(&self, mode: Mode, regs: &HostRegs, state: &mut GuestState) {
        runtime::store(mode, regs, state);
    }

    fn condition(&self, regs: &HostRegs, cond: u8) -> bool {
        runtime::condition(regs.flags, cond)
    }

    fn edge(&self, kind: EdgeKind, from: u64, to: u64, link: bool) -> Option<Patch> {
        let words = (to.wrapping_sub(from) as i64) >> 2;
        let word = branch::b_to(kind == EdgeKind::Call || !link, words)?;
        Some(patch(word))
    }

    fn stale(&self, distance: i64) -> Patch {
        // The unit's own code is within reach.
        patch(branch::b_to(false, distance >> 2).unwrap_or(branch::NOP))
    }
}

fn patch(word: u32) -> Patch {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&word.to_le_bytes());
    Patch { bytes, len: 4 }
}
