//! A unit: layout of its blocks, their terminals, edges, cold code, and what a host PC means.

use super::shape::Shape;
use super::values::{At, Books, NO_ALIASES};
use super::{at, scratch, spill};
use crate::plan;
use crate::{Compiled, EdgeKind, EdgeSite, Error, Loc, Place, Reloc, Request, Stub, TermSite};
use demotic_asm::buffer::{Field, Label};
use demotic_asm::x64::sse::Sse;
use demotic_asm::x64::{Asm, Mem, Reg, Size, Xmm};
use demotic_ir::block::{Block, Edge, Indirect, Inst, Term, Unit, Val};
use demotic_ir::ops::Op;
use demotic_ir::slot::Slot;
use demotic_ir::state::Mode;
use demotic_ir::state::eflags::ARITH;
use demotic_ir::ty::Ty;
use std::cell::Cell;

/// Code that is not on the straight path.
#[derive(Debug)]
struct Cold {
    label: Label,
    /// What a PC in it means.
    place: Option<Place>,
    /// Whether the flags have to be loaded from where they were saved.
    restore: bool,
    to: Edge,
}

/// The emission of one unit.
#[derive(Debug)]
pub(super) struct Emit<'a> {
    pub a: &'a mut Asm,
    unit: &'a Unit,
    pub request: &'a Request,
    pub long: bool,
    stop: Option<u32>,
    place: Option<Place>,
    pub out: &'a mut Compiled,
    entries: &'a mut Vec<Label>,
    cold: &'a mut Vec<Cold>,
    pub failed: Option<&'static str>,
    /// Operations, by block, that the interpreter has to do.
    forced: Vec<(u32, usize)>,
    /// Layout of the blocks, and which are in it.
    placed: &'a mut Vec<bool>,
    order: &'a mut Vec<u32>,
    /// The operation at hand.
    current: usize,
    /// Offset of the block's entry.
    entry: u32,
    // ---- the block at hand
    number: u32,
    pub b: &'a Block,
    pub shape: &'a mut Shape,
    pub at: &'a mut Vec<At>,
    /// What is in homes, registers and spill slots.
    pub books: &'a mut Books,
    /// Nodes of its lists of aliases, with the next ones.
    pub alias_nodes: &'a mut Vec<(Val, u16)>,
    /// The first operation not executed yet.
    pub index: usize,
    /// Whether the carry was brought to CF for a group that accesses memory: a fault there still shows the flags before the group.
    pub carried: bool,
    /// Whether an operand of the operation at hand is being computed, so that the operation may still fault.
    pub preparing: bool,
    /// A load that is postponed into a later group.
    pub pending: Option<usize>,
    // ---- registers
    pub temps: u16,
    pub vtemps: u16,
    pub locked: u16,
    pub vlocked: u16,
    /// Registers that hold a value.
    pub owned: u16,
    pub vowned: u16,
    /// Those whose value is a slot's in memory ([`Emit::origin`]).
    pub cached: u16,
    /// Spill slots in use.
    pub spilled: u128,
    /// Operands of the `test` about to be emitted.
    pub test: Option<(super::values::Src, super::values::Src)>,
    // ---- flags
    pub rf: &'a mut super::flags::Flags,
    /// Where the x87 state is.
    pub x87: super::x87::Where,
}

static NO_BLOCK: Block = Block {
    landing: true,
    reads: true,
    pc: 0,
    end: 0,
    insts: Vec::new(),
    marks: Vec::new(),
    deferred: Vec::new(),
    live_out: ARITH,
    term: Term::Syscall { next: 0 },
};

/// Buffers that one emission leaves to the next, where they are: nothing is allocated for a unit but what is given to the caller, and nothing moves.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    a: Asm,
    entries: Vec<Label>,
    cold: Vec<Cold>,
    shape: Shape,
    at: Vec<At>,
    books: Books,
    alias_nodes: Vec<(Val, u16)>,
    rf: super::flags::Flags,
    placed: Vec<bool>,
    order: Vec<u32>,
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

impl<'a> Emit<'a> {
    fn new(
        unit: &'a Unit,
        request: &'a Request,
        stop: Option<u32>,
        scratch: &'a mut Scratch,
        out: &'a mut Compiled,
    ) -> Emit<'a> {
        let long = unit.mode == Mode::Long;
        let Scratch { a, entries, cold, shape, at, books, alias_nodes, rf, placed, order } = scratch;
        a.buf.clear();
        out.code.clear();
        out.entries.clear();
        out.edges.clear();
        out.terms.clear();
        out.relocs.clear();
        out.alone = false;
        entries.clear();
        cold.clear();
        Emit {
            a,
            placed,
            order,
            unit,
            request,
            long,
            stop,
            place: None,
            out,
            entries,
            cold,
            failed: None,
            forced: Vec::new(),
            current: 0,
            entry: u32::MAX,
            number: 0,
            b: &NO_BLOCK,
            shape,
            at,
            books,
            alias_nodes,
            index: 0,
            carried: false,
            preparing: false,
            pending: None,
            temps: if long { 0x6000 } else { 0x7f00 },
            vtemps: if long { 0xf000 } else { 0xff00 },
            locked: 0,
            vlocked: 0,
            owned: 0,
            vowned: 0,
            cached: 0,
            spilled: 0,
            test: None,
            rf,
            x87: super::x87::Where::Unknown,
        }
    }

    /// Emits. An operation that finds no temporary register is left to the interpreter, and everything begins again.
    fn attempt<R>(
        unit: &Unit,
        request: &Request,
        stop: Option<u32>,
        out: &mut Compiled,
        finish: impl FnOnce(&mut Emit) -> R,
    ) -> Result<R, Error> {
        let mut scratch = SCRATCH.take().unwrap_or_default();
        let mut forced = Vec::new();
        let result = loop {
            let mut this = Emit::new(unit, request, stop, &mut scratch, out);
            this.forced = forced;
            let result = this.emit();
            let out = matches!(
                this.failed,
                Some(
                    "temporary registers"
                        | "temporary vector registers"
                        | "flags saved twice"
                        | "condition of a selection"
                )
            );
            let place = (this.number, this.current);
            let op = this.b.insts.get(this.current).map_or(Op::Nop, |x| x.op);
            let own = |op: Op| {
                let none = matches!(op, Op::Nop | Op::Get | Op::GetFl | Op::Const);
                !none && !matches!(op, Op::Set | Op::SetHi | Op::SetFl | Op::ExitIf)
            };
            // What a write needs too many registers for is computed before, at its own place; so is what the interpreter needs.
            let mut place = place;
            while let Some(x) = this.b.insts.get(place.1) {
                let written = matches!(op, Op::Set | Op::SetHi) && place.1 == this.current;
                if !written && !this.forced.contains(&place) {
                    break;
                }
                place.1 = x.operands().first().map_or(usize::MAX, |v| v.index());
            }
            // Nothing has code of its own between the members of a group.
            let inside = |k: usize| (0..k).any(|a| this.shape.group(a).is_some_and(|g| g.end > k));
            let apart = place.1 == this.current || !inside(place.1);
            let helps = apart && this.b.insts.get(place.1).is_some_and(|x| own(x.op));
            if !(out && helps && !this.forced.contains(&place) && this.forced.len() < 64) {
                break result.map(|()| finish(&mut this));
            }
            forced = std::mem::take(&mut this.forced);
            forced.push(place);
        };
        SCRATCH.set(Some(scratch));
        result
    }

    pub(super) fn run(unit: &Unit, request: &Request, out: &mut Compiled) -> Result<(), Error> {
        Emit::attempt(unit, request, None, out, |this| {
            this.out.code.extend_from_slice(this.a.buf.patched().map_err(Error::TooLarge)?);
            this.out.edges.sort_by_key(|e| e.at);
            this.out.terms.sort_by_key(|t| t.after);
            Ok(())
        })?
    }

    pub(super) fn locate(unit: &Unit, request: &Request, stop: u32) -> Option<Place> {
        let mut out = Compiled::default();
        let found = |this: &mut Emit| {
            let code =
                if cfg!(debug_assertions) { this.a.buf.patched().unwrap_or_default().to_vec() } else { Vec::new() };
            (this.place.take(), code)
        };
        let (place, again) = Emit::attempt(unit, request, Some(stop), &mut out, found).ok()?;
        if cfg!(debug_assertions) {
            Emit::run(unit, request, &mut out).ok()?;
            assert!(again == out.code, "a place is looked for in other code: {:x?}", unit.blocks[0].pc);
        }
        place
    }

    fn emit(&mut self) -> Result<(), Error> {
        if self.unit.mode == Mode::Compat16 {
            return Err(Error::Missing("16-bit code"));
        }
        for block in &self.unit.blocks {
            if block.insts.len() >= plan::TABLE {
                return Err(Error::Missing("so long a block"));
            }
            self.entries.push(self.a.buf.label());
        }
        self.out.entries.resize(self.unit.blocks.len(), 0);
        self.layout();
        for k in 0..self.order.len() {
            self.block(self.order[k], self.order.get(k + 1).copied());
            if let Some(why) = self.failed {
                return Err(Error::Missing(why));
            }
        }
        self.cold_code();
        Ok(())
    }

    /// Blocks in an order in which most edges are to the next one.
    fn layout(&mut self) {
        let blocks = &self.unit.blocks;
        let (placed, order) = (&mut *self.placed, &mut *self.order);
        placed.clear();
        placed.resize(blocks.len(), false);
        order.clear();
        for start in 0..blocks.len() {
            let mut at = Some(start as u32);
            while let Some(n) = at.filter(|n| placed.get(*n as usize) == Some(&false)) {
                placed[n as usize] = true;
                order.push(n);
                let free = |e: Edge| e.block.filter(|b| placed.get(*b as usize) == Some(&false));
                at = match blocks[n as usize].term {
                    Term::Jump(e) => free(e),
                    Term::Branch { taken, fall, .. } => free(fall).or_else(|| free(taken)),
                    Term::Call { ret, .. } => free(ret),
                    Term::Indirect { ret: Some(ret), .. } => free(ret),
                    _ => None,
                };
            }
        }
    }

    // ---- what a host PC means ---------------------------------------------------------------------------------------

    /// From the next instruction on, the map of values and the index are what they are now.
    pub(super) fn sync(&mut self) {
        let Some(stop) = self.stop else { return };
        if self.a.here() > stop {
            return;
        }
        let index = self.pending.unwrap_or(self.index);
        self.place = self.snapshot(index);
    }

    /// From the next instruction on, a PC means that place.
    fn meaning(&mut self, place: impl FnOnce() -> Option<Place>) {
        if self.stop.is_some_and(|stop| self.a.here() <= stop) {
            self.place = place();
        }
    }

    /// Before an instruction of one byte: what is patched over an entry's first instruction has two.
    pub(super) fn two_bytes(&mut self) {
        if self.a.here() == self.entry {
            self.a.nops(2);
        }
    }

    /// `pushfq`.
    pub(super) fn pushfq(&mut self) {
        self.two_bytes();
        self.a.pushfq();
    }

    /// From the next instruction on, a PC has no meaning of its own.
    pub(super) fn blind(&mut self) {
        self.meaning(|| None);
    }

    /// An instruction has changed those bits of RFLAGS: a place that knows its flags, or values, by them is none any more, until the map is what it is
    /// behind the whole group.
    pub(super) fn lost_flags(&mut self, clobbers: u32) {
        let open = self.stop.is_some_and(|stop| self.a.here() <= stop);
        let Some(place) = self.place.as_ref().filter(|p| open && p.block == self.number) else { return };
        let image = place.values.last().is_some_and(|(v, _)| *v == Val::NONE);
        let by_flags = |(v, loc): &(Val, Loc)| match loc {
            Loc::FlagsHome => true,
            Loc::Recompute => {
                self.b.insts[v.index()].operands().iter().any(|a| self.b.insts[a.index()].result() == Ty::Fl)
            }
            _ => false,
        };
        let home = self.shape.plan.flags_home((place.index as usize).min(self.b.insts.len())) & clobbers != 0;
        if !image && home || place.values.iter().any(by_flags) {
            self.blind();
        }
    }

    fn is_getfl(&self, v: usize) -> bool {
        self.b.insts[v].op == Op::GetFl
    }

    fn snapshot(&self, index: usize) -> Option<Place> {
        let mut values = Vec::new();
        let want = if index > self.b.insts.len() { ARITH } else { self.shape.plan.flags_home(index) };
        // All of them from one place: what is partly in both is between two places. An image stays what it is when RFLAGS changes.
        let image = want & !self.rf.saved == 0 && want != 0;
        if !image && want & !self.rf.home != 0 {
            return None;
        }
        for v in 0..index.min(self.at.len()) {
            if usize::from(self.shape.last(v)) < index || self.shape.last(v) as usize == v {
                continue;
            }
            let ty = self.b.insts[v].result();
            let loc = match self.at[v] {
                At::Const(c) => Loc::Const(c),
                At::Home(slot) => Loc::Slot(slot),
                At::Reg(r) => Loc::Gpr(r.0),
                At::Vec(x) => Loc::Vec(x.0),
                At::Spill(n) => Loc::Spill(n),
                At::Result => Loc::Result,
                // The flags of before, which have been saved since.
                At::Flags
                    if ty == Ty::Fl
                        && self.rf.saved != 0
                        && self.is_getfl(v)
                        && !self.flags_ready(Val(v as u16), ARITH) =>
                {
                    Loc::Spill(super::flags::SAVED)
                }
                At::Flags if ty == Ty::Fl => Loc::FlagsHome,
                At::Lazy => Loc::Recompute,
                At::Nowhere | At::Flags => return None,
            };
            values.push((Val(v as u16), loc));
        }
        if image {
            values.push((Val::NONE, Loc::Spill(super::flags::SAVED)));
        }
        Some(Place { block: self.number, index: index as u32, values })
    }

    // ---- blocks -----------------------------------------------------------------------------------------------------

    fn block(&mut self, n: u32, next: Option<u32>) {
        let unit = self.unit;
        self.number = n;
        self.b = &unit.blocks[n as usize];
        let avx2 = self.request.target.features.avx2;
        self.shape.analyse(self.b, self.long, avx2);
        self.at.clear();
        self.at.resize(self.b.insts.len(), At::Nowhere);
        self.alias_nodes.clear();
        self.books.aliases = [NO_ALIASES; Slot::COUNT as usize];
        self.index = 0;
        self.pending = None;
        self.owned = 0;
        self.vowned = 0;
        self.cached = 0;
        self.x87 = super::x87::Where::Unknown;
        self.spilled = 0;
        self.locked = 0;
        self.vlocked = 0;
        self.rf.enter(self.b, self.shape);
        // The pre-entry is five bytes before the entry, in an instruction that does nothing when control falls through.
        let odd = (self.a.here() + 10) & 1;
        self.a.nops(odd);
        self.a.buf.put_word(0x90_9090_be49, 5);
        self.sync();
        self.stub(Stub::Stale);
        self.a.buf.bind(self.entries[n as usize]);
        let entry = self.a.here();
        self.out.entries[n as usize] = entry;
        self.entry = entry;
        if let Some((op, size)) = self.string_loop(n) {
            return self.repeat(op, size, next);
        }
        // Whether operations without code have passed since the last one with some.
        let mut behind = false;
        for (i, inst) in self.b.insts.iter().enumerate() {
            if !self.shape.grouped(i) {
                if self.without_code(i, inst) {
                    behind = true;
                    continue;
                }
            } else if self.shape.member(i) {
                continue;
            }
            self.index = i;
            if std::mem::take(&mut behind) {
                self.release(i - 1);
                self.sync();
            }
            self.operation(i);
            if self.failed.is_some() {
                return;
            }
            if self.a.here() == entry + 1 {
                // What is patched over the entry is two bytes long.
                self.a.nops(1);
            }
        }
        self.index = self.b.insts.len();
        self.current = self.index;
        self.pending = None;
        self.terminal(entry, next);
    }

    /// Whether block `n` is nothing but one element of `rep movs` or `rep stos` that goes back to itself: the host's opcode and size.
    fn string_loop(&self, n: u32) -> Option<(u8, Size)> {
        let Term::Branch { fall, .. } = self.b.term else { return None };
        if fall.block != Some(n) || self.b.marks.len() != 1 {
            return None;
        }
        let insts = &self.b.insts;
        let is_get = |v: Val, slot: u64| {
            let x = &insts[v.index()];
            let y = if x.op == Op::Zext { &insts[x.args[0].index()] } else { x };
            y.op == Op::Get && y.imm == slot && y.ty == if self.long { Ty::I64 } else { Ty::I32 }
        };
        let (mut load, mut store, mut sets) = (None, None, [false; 8]);
        for (k, x) in insts.iter().enumerate() {
            match x.op {
                Op::Get if matches!(x.imm, 0 | 1 | 6 | 7 | 44) => {}
                Op::Set if matches!(x.imm, 1 | 6 | 7) => sets[x.imm as usize] = true,
                Op::Const | Op::Nop | Op::Bulk | Op::Add | Op::And | Op::Eq | Op::Sel | Op::Zext => {}
                Op::ExitIf if x.imm != self.b.pc => {}
                Op::Ld if load.is_none() && is_get(x.args[0], 6) => load = Some(k),
                Op::St if store.is_none() && is_get(x.args[0], 7) => store = Some(k),
                _ => return None,
            }
        }
        let store = insts[store?];
        if self.shape.steps.len() != 1 || !sets[1] || !sets[7] || !insts.iter().any(|x| x.op == Op::ExitIf) {
            return None;
        }
        let size = Size::of_bits(store.ty.bits());
        match load {
            Some(l) if sets[6] && store.args[1].index() == l => Some((0xa4, size)),
            None if !sets[6] && insts[store.args[1].index()].op == Op::Get && insts[store.args[1].index()].imm == 0 => {
                Some((0xaa, size))
            }
            _ => None,
        }
    }

    /// The whole of a repeated string instruction: upwards as itself, downwards, which hosts are slow at, by a loop of ordinary instructions. A fault finds
    /// RCX, RSI and RDI where it happened, which is the state at the block's beginning. The flags stay: the direction is a jump to one of two places,
    /// 16 bytes apart.
    fn repeat(&mut self, op: u8, size: Size, next: Option<u32>) {
        let Term::Branch { taken, .. } = self.b.term else { return };
        let (up, done) = (self.a.buf.label(), self.a.buf.label());
        let (at, step) = (Reg::R13, Reg::R14);
        self.a.mov(Size::Q, step, Mem::gs(scratch::STEP));
        self.a.lea_label(at, up);
        self.a.lea(Size::Q, at, Mem::index(at, step, 3, -8));
        self.a.jmp_rm(at);
        let each = self.a.buf.label();
        self.a.buf.bind(each);
        self.element_down(op == 0xa4, size, each, done);
        let down = self.a.here();
        self.a.jmp(each);
        self.a.nops(16 - (self.a.here() - down));
        self.a.buf.bind(up);
        self.element(op, size);
        self.a.buf.bind(done);
        // Whatever comes next, the block's beginning still says it: the count is 0.
        self.sync();
        self.go(taken, next);
    }

    /// One round downwards, if there is any left: to `done` or back to `again`.
    fn element_down(&mut self, moves: bool, size: Size, again: Label, done: Label) {
        let (rcx, rsi, rdi) = (Reg::RCX, Reg::RSI, Reg::RDI);
        self.a.jrcxz(done);
        let value = if moves { Reg::R13 } else { Reg::RAX };
        if moves {
            self.a.movzx(size, value, Mem::base(rsi, 0));
        }
        self.a.store(size, Mem::base(rdi, 0), value);
        // The element is done, its registers are not.
        self.blind();
        let (width, by) = (if self.long { Size::Q } else { Size::D }, -(size.bits() as i32 / 8));
        if moves {
            self.a.lea(width, rsi, Mem::base(rsi, by));
        }
        self.a.lea(width, rdi, Mem::base(rdi, by));
        self.a.lea(width, rcx, Mem::base(rcx, -1));
        self.sync();
        self.a.jmp(again);
    }

    fn element(&mut self, op: u8, size: Size) {
        if !self.long {
            self.a.byte(0x67);
        }
        self.a.string(0xf3, op, size);
    }

    /// Half of all operations, and of no group: those that only say where a value is. What the map says in between is nobody's business until there is code again.
    #[inline(always)]
    fn without_code(&mut self, i: usize, inst: &Inst) -> bool {
        match inst.op {
            Op::Const => self.at[i] = At::Const(inst.imm & inst.ty.mask()),
            Op::Get if inst.imm < u64::from(Slot::MXCSR.0) => self.found_home(Val(i as u16), inst.imm as u8),
            _ if self.shape.lazy(i) && !self.is_forced(i) => self.at[i] = At::Lazy,
            _ => return false,
        }
        true
    }

    #[inline(always)]
    fn operation(&mut self, i: usize) {
        if !self.shape.x87.is_empty() {
            if let Some(g) = self.x87_at(i) {
                if self.shape.folded(i) {
                    self.pending = self.pending.or(Some(i));
                    return;
                }
                self.current = i;
                return self.x87_group(i, g);
            }
        }
        if self.shape.grouped(i) {
            return self.grouped(i);
        }
        let inst = &self.b.insts[i];
        if plan::shows_state(inst) || inst.op == Op::GetFl {
            self.restore_flags(i.saturating_sub(1));
        }
        self.sync();
        self.current = i;
        if self.is_forced(i) {
            self.helper(i);
        } else {
            self.single(i);
        }
        self.done(i);
        if inst.op != Op::Get {
            self.sync();
        }
    }

    /// A load that is part of a group, or where a group is anchored.
    fn grouped(&mut self, i: usize) {
        let Some(g) = self.shape.group(i).filter(|_| !self.shape.folded(i)) else {
            self.pending = self.pending.or(Some(i));
            return;
        };
        // A load that takes part in a group faults there.
        if g.load.is_some() || g.store.is_some() || plan::shows_state(&self.b.insts[i]) {
            self.restore_flags(i.saturating_sub(1));
        }
        self.sync();
        self.current = i;
        if self.is_forced(i) {
            self.group_by_helper(i, &g);
        } else {
            self.group(i, &g);
        }
        if g.load.is_some() {
            self.pending = None;
        }
        self.done(g.end);
        if !self.shape.lazy(i) {
            self.sync();
        }
    }

    /// Whether the interpreter has to do the operation.
    #[inline(always)]
    fn is_forced(&self, i: usize) -> bool {
        !self.forced.is_empty() && self.forced.contains(&(self.number, i))
    }

    /// Everything up to the operation `end` has been emitted.
    #[inline(always)]
    fn done(&mut self, end: usize) {
        self.carried = false;
        if self.pending.is_none() {
            self.index = end + 1;
        }
        self.release(end);
    }

    // ---- leaving ----------------------------------------------------------------------------------------------------

    /// `call stub`.
    pub(super) fn stub(&mut self, stub: Stub) {
        self.out.relocs.push(Reloc { at: self.a.here() + 1, field: Field::Rel32, stub });
        self.a.buf.put_word(0xe8, 5);
    }

    /// A patchable branch out of the unit, within an aligned word.
    fn site(&mut self, kind: EdgeKind, pc: u64) {
        let at = self.a.here() & 7;
        if at > 3 {
            self.a.nops(8 - at);
        }
        self.out.edges.push(EdgeSite { at: self.a.here(), kind, pc });
        self.stub(match kind {
            EdgeKind::Jump => Stub::EdgeJump,
            EdgeKind::Call => Stub::EdgeCall,
        });
    }

    /// Goes on at an edge by a jump, or by falling through.
    fn go(&mut self, e: Edge, next: Option<u32>) {
        match e.block {
            Some(b) if Some(b) == next => {}
            Some(b) => self.a.jmp(self.entries[b as usize]),
            None => self.site(EdgeKind::Jump, e.pc),
        }
    }

    /// A label from which control goes on at an edge.
    fn cold_edge(&mut self, to: Edge, cond: Val, yes: bool) -> Label {
        let restore = self.rf.saved != 0;
        if let (Some(b), false) = (to.block, restore) {
            return self.entries[b as usize];
        }
        let label = self.a.buf.label();
        let place = self.decided(cond, yes);
        self.cold.push(Cold { label, place, restore, to });
        label
    }

    fn cold_code(&mut self) {
        for k in 0..self.cold.len() {
            let Cold { label, restore, to, .. } = self.cold[k];
            let c = Cold { label, place: self.cold[k].place.take(), restore, to };
            self.a.buf.bind(c.label);
            let place = c.place.clone();
            self.meaning(|| place);
            if c.restore {
                self.a.push_mem(spill(super::flags::SAVED));
                self.a.popfq();
                let mut place = c.place;
                if let Some(p) = &mut place {
                    // The flags are at home again.
                    p.values.retain(|(v, _)| *v != Val::NONE);
                }
                self.meaning(|| place);
            }
            self.go(c.to, None);
        }
    }

    fn terminal(&mut self, entry: u32, next: Option<u32>) {
        let n = self.b.insts.len();
        if !matches!(self.b.term, Term::Branch { .. }) {
            self.restore_flags(n);
        }
        self.sync();
        match self.b.term {
            Term::Jump(e) => {
                self.at_least_two_bytes(entry);
                self.go(e, next);
            }
            Term::Branch { cond, taken, fall } => self.branch(cond, taken, fall, next),
            Term::Call { target, ret } => {
                self.push_return(ret.pc);
                match target.block {
                    Some(b) => self.a.call(self.entries[b as usize]),
                    None => self.site(EdgeKind::Call, target.pc),
                }
                self.landing(ret, next);
            }
            Term::Indirect { target, kind, ret } => {
                self.load_into(target, Reg::R14);
                if !matches!(self.at(target), At::Const(_)) {
                    self.define(target, Reg::R14);
                }
                self.sync();
                if kind == Indirect::Ret {
                    return self.ret();
                }
                match (kind, ret) {
                    (Indirect::Call, Some(ret)) => {
                        self.push_return_with(ret.pc, Reg::R13);
                        let (probe, over) = (self.a.buf.label(), self.a.buf.label());
                        self.a.call(probe);
                        self.landing_code(ret);
                        self.a.jmp(over);
                        self.a.buf.bind(probe);
                        self.sync();
                        self.probe();
                        self.a.buf.bind(over);
                        self.land(ret, next);
                    }
                    _ => self.probe(),
                }
            }
            term => {
                for (k, v) in term.operands().into_iter().enumerate().filter(|(_, v)| *v != Val::NONE) {
                    self.put_arg(k, v);
                }
                self.stub(Stub::Term);
                let after = self.a.here();
                self.out.terms.push(TermSite { after, block: self.number, term });
                // Never reached: the engine goes on elsewhere.
                self.a.ud2();
            }
        }
        self.release(n);
    }

    fn at_least_two_bytes(&mut self, entry: u32) {
        // An empty block that falls through would share its entry with the next one.
        if self.a.here() == entry {
            self.a.nops(2);
        }
    }

    /// Pushes the guest's return address on the shadow stack.
    fn push_return(&mut self, pc: u64) {
        self.push_return_with(pc, Reg::R14);
    }

    fn push_return_with(&mut self, pc: u64, t: Reg) {
        match i32::try_from(pc as i64) {
            Ok(imm) => self.a.push_imm(imm),
            Err(_) => {
                self.a.mov_imm(t, pc);
                self.a.push(t);
            }
        }
    }

    /// Where a call comes back to: drops the other half of the shadow stack entry.
    fn landing(&mut self, ret: Edge, next: Option<u32>) {
        self.landing_code(ret);
        self.land(ret, next);
    }

    fn landing_code(&mut self, ret: Edge) {
        self.returned(ret);
        self.a.lea(Size::Q, Reg::RSP, Mem::base(Reg::RSP, 8));
    }

    fn land(&mut self, ret: Edge, next: Option<u32>) {
        self.returned(ret);
        self.go(ret, next);
    }

    /// The call is over: a PC here is at the return address.
    fn returned(&mut self, ret: Edge) {
        let (block, behind) = (self.number, self.b.insts.len() as u32 + 1);
        self.meaning(|| {
            Some(match ret.block {
                Some(block) => Place { block, index: 0, values: Vec::new() },
                None => Place { block, index: behind, values: Vec::new() },
            })
        });
    }

    /// Place of the terminal or side exit at hand once it is decided.
    fn decided(&self, cond: Val, yes: bool) -> Option<Place> {
        let mut place = self.stop.and_then(|_| self.snapshot(self.index))?;
        place.values.retain(|(v, _)| *v != cond);
        let at = place.values.partition_point(|(v, _)| *v < cond);
        place.values.insert(at, (cond, Loc::Const(u64::from(yes))));
        Some(place)
    }

    /// Behind a conditional branch that was not taken: brings the home of the flags back.
    fn not_taken(&mut self, cond: Val) {
        if self.rf.saved == 0 {
            return;
        }
        let before = self.decided(cond, false);
        self.meaning(|| before);
        self.restore_after_test();
        let after = self.decided(cond, false);
        self.meaning(|| after);
    }

    /// Looks R14 up in the table of targets and jumps there. Flags are not touched.
    fn probe(&mut self) {
        let (x, y) = (Xmm(14), Xmm(15));
        self.a.movd_to(Size::Q, x, Reg::R14);
        // (pc & 4095) * 16
        self.a.vshift_imm(demotic_asm::x64::sse::VShift::PSLLQ, x, 52);
        self.a.vshift_imm(demotic_asm::x64::sse::VShift::PSRLQ, x, 48);
        self.a.sse(Sse::MOVQ, y, Mem::gs(at!(targets)));
        self.a.sse(Sse::PADDQ, x, y);
        self.a.movd_from(Size::Q, Reg::R13, x);
        self.a.movd_to(Size::Q, x, Reg::R14);
        self.a.sse(Sse::PCMPEQQ, x, Mem::base(Reg::R13, 0));
        self.a.sse(Sse::MOVQ, y, Mem::base(Reg::R13, 8));
        self.a.sse(Sse::PAND, y, x);
        self.a.sse(Sse::PANDN, x, Mem::gs(scratch::INDIRECT));
        self.a.sse(Sse::POR, x, y);
        self.a.movd_from(Size::Q, Reg::R13, x);
        self.a.jmp_rm(Reg::R13);
    }

    /// Returns to R14: the shadow stack's landing when it is for that address, else the stub. Flags are not touched.
    fn ret(&mut self) {
        let (x, y) = (Xmm(14), Xmm(15));
        self.a.movd_to(Size::Q, x, Reg::R14);
        self.a.sse(Sse::MOVQ, y, Mem::base(Reg::RSP, 8));
        self.a.sse(Sse::PCMPEQQ, y, x);
        self.a.sse(Sse::MOVQ, x, Mem::base(Reg::RSP, 0));
        self.a.sse(Sse::PAND, x, y);
        self.a.sse(Sse::PANDN, y, Mem::gs(scratch::RETURN));
        self.a.sse(Sse::POR, x, y);
        self.a.sse_store(Sse::MOVQ, Mem::base(Reg::RSP, 0), x);
        self.a.ret();
    }

    /// Before the branch at `i`, whose ways bring the saved image of the flags back as a whole.
    fn unmix(&mut self, i: usize) {
        if self.rf.saved != 0 && self.rf.home & !self.rf.saved & self.shape.plan.flags_home(i) != 0 {
            self.restore_flags(i.saturating_sub(1));
        }
    }

    fn branch(&mut self, cond: Val, taken: Edge, fall: Edge, next: Option<u32>) {
        use super::flags::Test;
        let n = self.b.insts.len();
        self.unmix(n);
        let test = self.condition(cond, n, true);
        self.sync();
        match test {
            Test::Known(yes) => {
                self.restore_flags(n);
                self.go(if yes { taken } else { fall }, next);
            }
            Test::Cc(cc) => {
                if taken.block.is_some() && taken.block == next && self.rf.saved == 0 {
                    let to = self.cold_edge(fall, cond, false);
                    self.a.jcc(cc ^ 1, to);
                    return;
                }
                let to = self.cold_edge(taken, cond, true);
                self.a.jcc(cc, to);
                self.not_taken(cond);
                self.go(fall, next);
            }
            Test::RcxZero(yes) => {
                let (zero, other) = if yes { (taken, fall) } else { (fall, taken) };
                let l = self.a.buf.label();
                self.a.jrcxz(l);
                // The short branch reaches over one jump.
                if other.block.is_none() || other.block != next {
                    let to = self.cold_edge(other, cond, !yes);
                    self.a.jmp(to);
                    self.a.buf.bind(l);
                    self.go(zero, next);
                } else {
                    let over = self.a.buf.label();
                    self.a.jmp_short(over);
                    self.a.buf.bind(l);
                    let to = self.cold_edge(zero, cond, yes);
                    self.a.jmp(to);
                    self.a.buf.bind(over);
                }
            }
        }
    }

    /// Leaves for `pc` when a value is 1.
    pub(super) fn exit_if(&mut self, i: usize) {
        use super::flags::Test;
        self.unmix(i);
        let inst = self.b.insts[i];
        let block = self.unit.blocks.iter().position(|b| b.pc == inst.imm).map(|b| b as u32);
        let to = Edge { pc: inst.imm, block };
        let cond = inst.args[0];
        match self.condition(cond, i, true) {
            Test::Known(false) => self.restore_flags(i),
            Test::Known(true) => {
                self.restore_flags(i);
                let l = self.cold_edge(to, cond, true);
                self.a.jmp(l);
            }
            Test::Cc(cc) => {
                let l = self.cold_edge(to, cond, true);
                self.a.jcc(cc, l);
                self.not_taken(cond);
            }
            Test::RcxZero(yes) => {
                let (l, over) = (self.a.buf.label(), self.a.buf.label());
                let to = self.cold_edge(to, cond, true);
                self.a.jrcxz(l);
                if yes {
                    self.a.jmp_short(over);
                    self.a.buf.bind(l);
                    self.a.jmp(to);
                    self.a.buf.bind(over);
                } else {
                    self.a.jmp(to);
                    self.a.buf.bind(l);
                }
            }
        }
    }
}
