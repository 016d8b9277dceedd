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
mod avx;
mod batch;
mod class;
mod crypto;
mod exact;
mod flags;
mod float;
mod helper;
mod int;
mod mem;
mod mmx;
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
use crate::{
    Arithmetic, Compiled, EdgeKind, EdgeSite, Emitter, Error, Patch, Place, Reloc, Request, Runtime, Stub, target,
};
use analysis::Analysis;
use core::mem::take;
use demotic_asm::arm64::branch;
use demotic_asm::buffer::{CodeBuffer, Field, Label};
use demotic_ir::block::{Block, Edge, Inst, Term, Unit};
use demotic_ir::state::{GuestState, Mode};
use regs::Books;
use std::cell::Cell;

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
    /// Arithmetic has raised something: back when that had only to be taken over, else give up.
    Raised(Label, Label),
    /// Some instructions and a jump back.
    Fix(Label, Vec<u32>, Label),
    /// The state of the x87 is not what the block needs: make it so, or go to the version that works on any state.
    X87Check { label: Label, again: Label, other: Label },
    /// The x87 state is live and has to be where it always is; and back.
    X87Leave(Label, Label),
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
    /// Where NZCV is at the moment, if not where it belongs: in a register or in the frame.
    saved_flags: Option<crate::Loc>,
    /// Whether x87 code has to do with fewer temporaries, at the cost of accesses to the frame.
    tight: bool,
    /// General registers whose homes lag behind at the moment, and by what.
    lag: Vec<(u8, i32)>,
    cold: Vec<(Cold, Option<Place>)>,
    pool: Vec<(u64, Label)>,
    vector_pool: Vec<([u64; 2], Label)>,
    /// Branches of 14 bits reach everything.
    small: bool,
    entries: Vec<Label>,
    /// Where calls come in.
    calls: Vec<Label>,
    /// Blocks that the one before runs into.
    run_into: Vec<u32>,
    /// Offset behind an instruction that has used the block's return address from x16.
    link: Option<u32>,
    // The current block.
    number: u32,
    block: &'a Block,
    flags_home: Vec<u32>,
    an: Box<Analysis>,
    books: Box<Books>,
    index: usize,
    next: Option<u32>,
    batch: batch::Batch,
    /// Operations that another one has done already.
    done: Vec<bool>,
    /// The comparison that was made before the batch in front of it was looked at.
    compared: Option<usize>,
    /// The live state of the x87, in the version of a block that works on it.
    x87: Option<x87::State>,
    /// What MMX instructions of the block have done.
    mmx: mmx::Mmx,
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
        self.request.arithmetic != Arithmetic::Helper
    }

    /// A label of a literal.
    fn literal(&mut self, n: u64) -> Label {
        let known = self.pool.iter().find(|l| l.0 == n).map(|l| l.1);
        known.unwrap_or_else(|| {
            let label = self.buf.label();
            self.pool.push((n, label));
            label
        })
    }

    /// A label of a vector literal.
    fn vector_literal(&mut self, n: [u64; 2]) -> Label {
        let known = self.vector_pool.iter().find(|l| l.0 == n).map(|l| l.1);
        known.unwrap_or_else(|| {
            let label = self.buf.label();
            self.vector_pool.push((n, label));
            label
        })
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

    fn blocks(&mut self, layout: &[u32]) {
        let unit = self.unit;
        for _ in &unit.blocks {
            let (entry, call) = (self.buf.label(), self.buf.label());
            self.entries.push(entry);
            self.calls.push(call);
        }
        for (p, &b) in layout.iter().enumerate() {
            if self.runs_on {
                self.run_into.push(b);
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
        for (b, label) in take(&mut self.seconds) {
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
        // In the order of the blocks, so that it can be told where each of them is.
        self.run_into.sort_unstable();
        for k in 0..self.run_into.len() {
            let b = self.run_into[k];
            self.call_entry(b);
            self.w_to(branch::B, self.entries[b as usize], Field::Arm26);
        }
        self.cold_code();
        self.fixed_place = None;
        if !self.vector_pool.is_empty() {
            while self.buf.offset() % 16 != 0 {
                self.buf.word(branch::NOP);
            }
            for &(n, label) in &self.vector_pool {
                self.buf.bind(label);
                n.iter().for_each(|half| self.buf.put(&half.to_le_bytes()));
            }
        }
        if !self.pool.is_empty() {
            if self.buf.offset() % 8 != 0 {
                self.buf.word(branch::NOP);
            }
            for &(n, label) in &self.pool {
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
        let (inline, exact, plain) = (self.fp_inline(), self.request.precision.is_exact(), !self.tso());
        // Where comparisons raise something again and again they are the interpreter's.
        let comparisons = inline && !(self.exact() && self.request.nans);
        let fp = analysis::Fp { inline, comparisons, later: !self.exact() };
        self.an.analyse(self.block, &mut self.flags_home, unit.mode, fp, exact, plain);
        let n = self.block.insts.len();
        self.books.clear(n, self.narrow());
        self.done.clear();
        self.done.resize(n, false);
        self.batch = batch::Batch::default();
        self.mmx_forget();
        self.compared = None;
        self.index = 0;
        self.link = None;
        self.fixed_place = None;
    }

    fn block_body(&mut self) {
        let n = self.block.insts.len();
        let batches = self.an.seen.1 & class::BATCH != 0;
        // The last operation without code since one with some: what nobody needs behind it is given back before there is code again.
        let mut behind = None;
        for i in 0..n {
            if self.done[i] {
                continue;
            }
            if !self.an[i].live || self.an[i].lazy {
                behind = Some(i);
                continue;
            }
            if let Some(before) = behind.take() {
                self.end_op(before);
            }
            self.index = i;
            if !(batches && self.batched(i)) {
                self.op(i);
            }
            self.end_op(i);
        }
        if let Some(before) = behind {
            self.end_op(before);
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
                Cold::Raised(label, again) => {
                    self.buf.bind(label);
                    self.take_over_flags(again);
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
                Cold::X87Leave(label, back) => {
                    self.buf.bind(label);
                    self.x87_to_state();
                    self.w_to(branch::B, back, Field::Arm26);
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
#[derive(Debug, Default)]
struct Layout {
    order: Vec<u32>,
    /// The block that runs into another one.
    before: Vec<Option<usize>>,
    placed: Vec<bool>,
}

impl Layout {
    fn find(&mut self, unit: &Unit) {
        let n = unit.blocks.len();
        let likely = |b: usize| {
            let edges = match unit.blocks[b].term {
                Term::Jump(e) => [e.block, None],
                Term::Branch { taken, fall, .. } => [fall.block, taken.block],
                term => [term.ret().and_then(|e| e.block), None],
            };
            edges.into_iter().flatten().map(|b| b as usize).filter(|&b| b < n)
        };
        let Layout { order, before, placed } = self;
        order.clear();
        before.clear();
        before.resize(n, None);
        placed.clear();
        placed.resize(n, false);
        for b in 0..n {
            for t in likely(b).filter(|&t| t != b && unit.blocks[t].pc == unit.blocks[b].end) {
                before[t] = Some(b);
            }
        }
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
    }
}

/// Buffers that one emission leaves to the next: hardly anything is allocated for a unit but what is given to the caller.
#[derive(Debug, Default)]
struct Scratch {
    buf: CodeBuffer,
    entries: Vec<Label>,
    calls: Vec<Label>,
    cold: Vec<(Cold, Option<Place>)>,
    pool: Vec<(u64, Label)>,
    vector_pool: Vec<([u64; 2], Label)>,
    flags_home: Vec<u32>,
    an: Option<Box<Analysis>>,
    books: Option<Box<Books>>,
    done: Vec<bool>,
    run_into: Vec<u32>,
    layout: Layout,
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// Units of so many operations have branches of 14 bits only.
const SMALL: usize = 1200;
/// For how many an operation of the x87 counts.
const X87_WEIGHT: usize = 24;

/// Emits a unit into `out`; with `stop` also says what that offset means. Where temporaries do not suffice for x87 code, once more with fewer.
fn emit(unit: &Unit, request: &Request, stop: Option<u32>, out: &mut Compiled) -> Result<Option<Place>, Error> {
    match emit_with(unit, request, stop, out, false) {
        Err(Error::Missing(_)) if unit.blocks.iter().any(|b| b.insts.iter().any(|x| x.op.touches_x87())) => {
            emit_with(unit, request, stop, out, true)
        }
        result => result,
    }
}

fn emit_with(
    unit: &Unit,
    request: &Request,
    stop: Option<u32>,
    out: &mut Compiled,
    tight: bool,
) -> Result<Option<Place>, Error> {
    let Some(first) = unit.blocks.first() else { return Err(Error::Missing("a block")) };
    // One x87 operation has some 20 instructions, most of them out of line.
    let weight = |x: &Inst| if x.op.touches_x87() { X87_WEIGHT } else { 1 };
    let size: usize = unit.blocks.iter().map(|b| b.insts.len() * X87_WEIGHT + 8).sum();
    // Most units are small whatever they have.
    let small = size < SMALL || {
        let exact: usize = unit.blocks.iter().map(|b| b.insts.iter().map(weight).sum::<usize>() + 8).sum();
        exact < SMALL
    };
    let n = unit.blocks.len();
    let mut scratch = SCRATCH.take().unwrap_or_default();
    let s = &mut *scratch;
    s.buf.clear();
    s.entries.clear();
    s.calls.clear();
    s.cold.clear();
    s.pool.clear();
    s.vector_pool.clear();
    s.run_into.clear();
    out.code.clear();
    out.edges.clear();
    out.terms.clear();
    out.relocs.clear();
    out.alone = false;
    for table in [&mut out.entries, &mut out.calls] {
        table.clear();
        table.resize(n, 0);
    }
    let mut e = Emit {
        unit,
        request,
        buf: take(&mut s.buf),
        out: take(out),
        stop,
        place: None,
        fixed_place: None,
        failed: false,
        saved_flags: None,
        tight,
        x87: None,
        mmx: mmx::Mmx::default(),
        x87_pieces: Vec::new(),
        runs_on: false,
        seconds: Vec::new(),
        lag: Vec::new(),
        cold: take(&mut s.cold),
        pool: take(&mut s.pool),
        vector_pool: take(&mut s.vector_pool),
        small,
        entries: take(&mut s.entries),
        calls: take(&mut s.calls),
        run_into: take(&mut s.run_into),
        link: None,
        number: 0,
        block: first,
        an: s.an.take().unwrap_or_default(),
        flags_home: take(&mut s.flags_home),
        books: s.books.take().unwrap_or_default(),
        index: 0,
        next: None,
        batch: batch::Batch::default(),
        done: take(&mut s.done),
        compared: None,
    };
    s.layout.find(unit);
    e.blocks(&s.layout.order);
    let code = e.buf.patched().map_err(Error::TooLarge);
    let result = match (e.failed, code) {
        (true, _) => Err(Error::Missing("a register or an encoding")),
        (false, Err(error)) => Err(error),
        (false, Ok(code)) => {
            e.out.code.extend_from_slice(code);
            Ok(e.place.take())
        }
    };
    *out = e.out;
    (s.buf, s.cold, s.pool, s.vector_pool) = (e.buf, e.cold, e.pool, e.vector_pool);
    (s.entries, s.calls, s.run_into, s.done) = (e.entries, e.calls, e.run_into, e.done);
    (s.an, s.flags_home, s.books) = (Some(e.an), e.flags_home, Some(e.books));
    SCRATCH.set(Some(scratch));
    result
}

impl Emitter for Arm64 {
    fn emit_into(&self, unit: &Unit, request: &Request, out: &mut Compiled) -> Result<(), Error> {
        emit(unit, request, None, out).map(|_| ())
    }

    fn locate(&self, unit: &Unit, request: &Request, offset: u32) -> Option<Place> {
        let mut again = Compiled::default();
        let place = emit(unit, request, Some(offset), &mut again).ok()?;
        if cfg!(debug_assertions) {
            let mut out = Compiled::default();
            emit(unit, request, None, &mut out).ok()?;
            assert!(again.code == out.code, "a place is looked for in other code: {:x?}", unit.blocks[0].pc);
        }
        place
    }

    fn runtime(&self, target: &target::Target) -> Runtime {
        runtime::runtime(target)
    }

    fn load(&self, state: &GuestState, arithmetic: Arithmetic, regs: &mut HostRegs) {
        runtime::load(state, arithmetic, regs);
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
