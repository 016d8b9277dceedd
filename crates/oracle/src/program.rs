//! Random IR programs: verified units of several blocks in which every operation stands that lifters make, in the forms in which they
//! make it.
//!
//! The forms are not listed here: [`Shapes`] lifts random instructions and notes operation, type, operand types and immediate, so a new
//! handler brings its operations along. A program is a random sequence of shapes on random operands, cut into guest instructions so
//! that the effect-order rule holds. It runs forward only, so it ends.
//!
//! Where an operand has a range (shift counts of the flag operations, addresses), the generator keeps to it most of the time or always, as
//! [`demotic_ir::ops`] says.

use crate::case::{CODE, Case, DATA, DATA_LEN};
use crate::generate::{self, Rng};
use crate::model::Window;
use demotic_ir::block::{Block, Edge, Inst, Term, Unit, Val};
use demotic_ir::build::Builder;
use demotic_ir::interp::{self, Leave, Scratch};
use demotic_ir::ops::{ImmKind, Op};
use demotic_ir::passes::flags::cond_reads;
use demotic_ir::slot::Slot;
use demotic_ir::state::{GuestState, Mode, eflags};
use demotic_ir::ty::Ty;
use demotic_x86::features::Features;
use demotic_x86::unit::{Limits, lift_block};
use std::collections::BTreeSet;

/// One form of an operation: its type, immediate and operand types.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// What to do.
    pub op: Op,
    /// The `T` of the table.
    pub ty: Ty,
    /// Immediate, where it is part of the form; 0 for slots, conditions and constants.
    pub imm: u64,
    /// Types of the operands in use.
    pub args: [Ty; 4],
}

/// All forms that were seen in a mode.
#[derive(Debug)]
pub struct Shapes {
    mode: Mode,
    /// By operation, in the order in which they were met.
    of: Vec<Vec<Shape>>,
}

/// Where units stand: not in the data window, reachable by 32-bit code.
pub const PC: u64 = 0x3000_0000;
/// Guest addresses outside of the unit that side exits lead to.
pub const OUTSIDE: u64 = 0x3100_0000;

impl Shapes {
    /// Lifts `rounds` random instructions of a mode. The same arguments give the same shapes.
    pub fn collect(mode: Mode, rounds: u32) -> Shapes {
        let mut rng = Rng::new(1);
        let mut seen = BTreeSet::new();
        let mut of: Vec<Vec<Shape>> = Vec::new();
        // What no processor has goes by the interpreter all the same.
        let features = Features::parse("max,+3dnowext").unwrap_or(Features::MAX);
        let limits = Limits { features, ..Limits::SINGLE };
        let mut add = |bytes: &[u8]| {
            let mut fetch = |at: u64, buf: &mut [u8]| {
                buf.fill(0x90);
                let skip = at.wrapping_sub(CODE) as usize;
                buf.iter_mut().zip(bytes.iter().skip(skip)).for_each(|(b, c)| *b = *c);
                buf.len()
            };
            let block = lift_block(CODE, mode, &limits, &mut fetch);
            for inst in &block.insts {
                let Some(shape) = Shape::of(&block, inst) else { continue };
                let key = (shape.op as u8, shape.ty, shape.imm, shape.args);
                if seen.insert(key) {
                    match of.iter_mut().find(|list| list[0].op == shape.op) {
                        Some(list) => list.push(shape),
                        None => of.push(vec![shape]),
                    }
                }
            }
        };
        for _ in 0..rounds {
            if let Some(case) = generate::generate(&mut rng, mode) {
                add(&case.bytes);
            }
        }
        // Random instructions have no segments with ends: mov eax, gs:[eax].
        add(&[0x65, 0x8b, 0x00]);
        // pfadd, pfrsqrt, pmulhrw, pi2fd
        for suffix in [0x9e, 0x97, 0xb7, 0x0d] {
            add(&[0x0f, 0x0f, 0xc1, suffix]);
        }
        of.sort_by_key(|list| list[0].op as u8);
        Shapes { mode, of }
    }

    /// The operations that occur.
    pub fn ops(&self) -> impl Iterator<Item = Op> + '_ {
        self.of.iter().map(|list| list[0].op)
    }
}

impl Shape {
    fn of(block: &Block, inst: &Inst) -> Option<Shape> {
        // Writes of control registers with random values are not what programs do; the environment owns segments.
        let slot = Slot(inst.imm as u8);
        let odd = inst.op == Op::Set && (32..Slot::YMM_FIRST).contains(&slot.0);
        if matches!(inst.op, Op::Nop | Op::Const | Op::Bulk) || odd {
            return None;
        }
        let mut args = [Ty::None; 4];
        for (ty, v) in args.iter_mut().zip(inst.operands()) {
            *ty = block.insts.get(v.index())?.result();
        }
        let imm = match inst.op.info().imm {
            // A read of anything but a general register keeps its slot.
            ImmKind::Slot if slot.0 >= Slot::YMM_FIRST => u64::from(Slot::YMM_FIRST),
            ImmKind::Slot if slot.0 >= 32 => inst.imm,
            ImmKind::Slot => u64::from(slot.0 & 16),
            ImmKind::Flags | ImmKind::Num => inst.imm,
            _ => 0,
        };
        Some(Shape { op: inst.op, ty: inst.ty, imm, args })
    }
}

/// A unit, the state in which it is entered, and the data window.
#[derive(Clone, Debug)]
pub struct Program {
    /// Verified; edges linked.
    pub unit: Unit,
    /// Entry state; `rip` is the first block's address.
    pub state: GuestState,
    /// Contents of `DATA..DATA + DATA_LEN`.
    pub data: Vec<u8>,
}

/// What a program leaves behind.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub leave: Leave,
    /// State then.
    pub state: GuestState,
    /// Data window then.
    pub data: Vec<u8>,
}

/// Makes one block.
struct Maker<'a> {
    b: Builder,
    rng: &'a mut Rng,
    mode: Mode,
    /// Type of every value, in order.
    types: Vec<Ty>,
    pc: u64,
    changed: bool,
    /// The x87 operations of a guest instruction begin with this check.
    checked: bool,
}

impl Maker<'_> {
    fn emit(&mut self, op: Op, ty: Ty, args: &[Val], imm: u64) -> Val {
        let v = self.b.op_imm(op, ty, args, imm);
        self.types.push(self.b.ty(v));
        v
    }
    fn c(&mut self, ty: Ty, n: u64) -> Val {
        self.emit(Op::Const, ty, &[], n & ty.mask())
    }
    fn registers(&self) -> u64 {
        if self.mode == Mode::Long { 16 } else { 8 }
    }
    /// A value of a type: mostly one that is there, or a new one.
    fn value(&mut self, ty: Ty) -> Val {
        if !self.rng.one_in(4) {
            let near: Vec<usize> = (0..self.types.len()).rev().filter(|&i| self.types[i] == ty).take(8).collect();
            if !near.is_empty() {
                return Val(self.rng.pick(&near) as u16);
            }
        }
        let slot = self.rng.below(self.registers());
        match ty {
            Ty::I1 => {
                let fl = self.value(Ty::Fl);
                let cc = self.rng.below(16);
                self.emit(Op::Cond, Ty::Fl, &[fl], cc)
            }
            Ty::Fl if self.rng.one_in(2) => self.emit(Op::GetFl, Ty::Fl, &[], 0),
            Ty::Fl => {
                let (a, b) = (self.value(Ty::I32), self.value(Ty::I32));
                self.emit(Op::FlSub, Ty::I32, &[a, b], 0)
            }
            Ty::V128 => self.emit(Op::Get, Ty::V128, &[], 16 + slot),
            Ty::F80 if self.rng.one_in(2) => self.emit(Op::XPeek, Ty::F80, &[], 0),
            Ty::F80 => {
                let v = self.value(Ty::I32);
                self.emit(Op::XFromInt, Ty::F80, &[v], 32)
            }
            Ty::I64 if self.mode != Mode::Long => {
                let v = self.value(Ty::I32);
                self.emit(Op::Zext, Ty::I64, &[v], 0)
            }
            _ if self.rng.one_in(2) => {
                let n = self.rng.interesting();
                self.c(ty, n)
            }
            _ => self.emit(Op::Get, ty, &[], slot),
        }
    }
    /// An address: in the window, mostly aligned, now and then at its end or anywhere.
    fn address(&mut self, align16: bool) -> Val {
        let n = self.rng.below(DATA_LEN as u64 - 64);
        match self.rng.below(40) {
            // In 32-bit code addresses are cut where they are made: an invariant of the IR.
            0 if self.mode != Mode::Long => {
                let (x, low) = (self.value(Ty::I64), self.c(Ty::I64, 0xffff_ffff));
                self.emit(Op::And, Ty::I64, &[x, low], 0)
            }
            0 => self.value(Ty::I64),
            1 => {
                let at = DATA + DATA_LEN as u64 - self.rng.below(24);
                self.c(Ty::I64, at)
            }
            k => {
                let mask = if align16 && k > 2 {
                    !15
                } else if k < 30 {
                    !7
                } else {
                    !0
                };
                let at = self.c(Ty::I64, DATA + (n & mask));
                if self.rng.one_in(2) {
                    return at;
                }
                let x = self.value(Ty::I64);
                let few = self.c(Ty::I64, 0x30);
                let x = self.emit(Op::And, Ty::I64, &[x, few], 0);
                self.emit(Op::Add, Ty::I64, &[at, x], 0)
            }
        }
    }
    /// A new guest instruction begins.
    fn mark(&mut self) {
        self.b.mark(self.pc, 1);
        self.pc += 1;
        self.changed = false;
        self.checked = false;
    }
    fn shape(&mut self, s: Shape) {
        let effects = s.op.info().effects;
        let info = s.op.info();
        let mut imm = s.imm;
        match info.imm {
            ImmKind::Slot if s.imm < 32 || s.imm == u64::from(Slot::YMM_FIRST) => {
                imm = s.imm + self.rng.below(self.registers())
            }
            ImmKind::Cond => imm = self.rng.below(16),
            ImmKind::Pc => imm = OUTSIDE + self.rng.below(8) * 16,
            _ => {}
        }
        if matches!(s.op, Op::GetHi | Op::SetHi) {
            imm &= 3;
        }
        let memory = effects.0 & 6 != 0;
        let align16 = s.ty == Ty::V128 && (imm & 1 != 0 || s.op == Op::ACas);
        let mut args = Vec::new();
        for (k, &ty) in s.args.iter().take(info.args.len()).enumerate() {
            let v = match (s.op, k) {
                _ if memory && k == 0 => self.address(align16),
                (Op::CheckGp, _) if !self.rng.one_in(12) => self.c(Ty::I64, 0),
                (Op::CheckNeg, _) if !self.rng.one_in(12) => self.c(Ty::I64, u64::MAX),
                (Op::ExitIf, _) if !self.rng.one_in(4) => self.c(Ty::I1, 0),
                // The upper half of a dividend: mostly one that the quotient fits with.
                (Op::DivU | Op::RemU | Op::DivS | Op::RemS, 0) if !self.rng.one_in(5) => self.c(ty, 0),
                // Shift counts are masked by the instructions that make them.
                (Op::FlShl | Op::FlShr | Op::FlSar | Op::FlRol | Op::FlRor | Op::FlRcl | Op::FlRcr, 1)
                | (Op::ShlD | Op::ShrD | Op::FlShlD | Op::FlShrD, 2)
                | (Op::Shl | Op::Shr | Op::Sar | Op::Rol | Op::Ror | Op::Rcl | Op::Rcr, 1) => self.count(s.ty),
                _ => self.value(ty),
            };
            args.push(v);
        }
        let checks = s.op.touches_x87() && s.op != Op::XChk && !self.checked;
        if (effects.may_fault() || checks) && self.changed {
            self.mark();
        }
        if checks {
            self.emit(Op::XChk, Ty::None, &[], 0);
        }
        self.checked |= s.op.touches_x87();
        // What it makes of its instruction, translated code need not keep.
        let imm = if s.op == Op::XChk { 0 } else { imm };
        self.emit(s.op, s.ty, &args, imm);
        self.changed |= effects.changes_state();
        if s.op == Op::ExitIf {
            self.mark();
        }
    }
    fn count(&mut self, ty: Ty) -> Val {
        let mask = if ty == Ty::I64 { 63 } else { 31 };
        if self.rng.one_in(2) {
            let n = self.rng.below(mask + 1);
            return self.c(Ty::I8, n);
        }
        let v = self.value(Ty::I8);
        let m = self.c(Ty::I8, mask);
        self.emit(Op::And, Ty::I8, &[v, m], 0)
    }
}

/// A random program. The same generator state gives the same program.
pub fn program(rng: &mut Rng, shapes: &Shapes) -> Program {
    let blocks = 1 + rng.below(4) as u32;
    let mut unit = Unit { mode: shapes.mode, blocks: Vec::new() };
    for n in 0..blocks {
        let pc = PC + u64::from(n) * 0x100;
        let mut m = Maker {
            b: Builder::new(pc),
            rng,
            mode: shapes.mode,
            types: Vec::new(),
            pc,
            changed: false,
            checked: false,
        };
        m.mark();
        for _ in 0..2 + m.rng.below(28) {
            let list = &shapes.of[m.rng.below(shapes.of.len() as u64) as usize];
            // Half of what programs do is integers and flags.
            let list = if m.rng.one_in(2) { list } else { plain(m.rng, shapes).unwrap_or(list) };
            let shape = m.rng.pick(list);
            m.shape(shape);
            if m.rng.one_in(4) {
                m.mark();
            }
        }
        let later = |rng: &mut Rng| Edge::to(PC + (u64::from(n) + 1 + rng.below(u64::from(blocks - n - 1))) * 0x100);
        let end = m.pc;
        let term = if n + 1 == blocks {
            Term::Syscall { next: end }
        } else if m.rng.one_in(3) {
            Term::Jump(later(m.rng))
        } else {
            let cond = m.value(Ty::I1);
            let taken = later(m.rng);
            let fall = if m.rng.one_in(4) { Edge::to(OUTSIDE + 0x1000 + m.rng.below(8) * 16) } else { later(m.rng) };
            Term::Branch { cond, taken, fall }
        };
        let mut block = m.b.finish(term, end);
        define(&mut block);
        if shapes.mode != Mode::Long {
            // The upper halves of general registers are zero outside of 64-bit code: its lifter writes 32 bits.
            for inst in &mut block.insts {
                if inst.op == Op::Set && inst.ty == Ty::I64 && inst.imm < 16 {
                    *inst = Inst::NOP;
                }
            }
        }
        unit.blocks.push(block);
    }
    unit.link();
    let mut case = Case::new(shapes.mode, Vec::new());
    generate::fill(rng, &mut case);
    let mut state = case.state;
    state.sys &= !eflags::TF;
    state.rip = PC;
    let mut data = vec![0; DATA_LEN];
    for chunk in data.chunks_mut(8) {
        chunk.copy_from_slice(&if rng.one_in(2) { rng.interesting() } else { rng.vector()[0] }.to_le_bytes());
    }
    Program { unit, state, data }
}

/// Takes out what is undefined, where host shifts leave what they like (SDM vol. 2, SAL/SAR/SHL/SHR, SHLD, RCL): behind shifts the auxiliary
/// carry, the overflow flag unless the count is 1, the carry of narrow operands when the count may exceed the width.
fn define(block: &mut Block) {
    let mut undefined = vec![0u32; block.insts.len()];
    for i in 0..block.insts.len() {
        let inst = block.insts[i];
        let from = |k: usize| undefined.get(inst.args[k].index()).copied().unwrap_or(0);
        let constant = |k: usize| {
            let def = block.insts.get(inst.args[k].index())?;
            (def.op == Op::Const).then_some(def.imm & 0xff)
        };
        let shifted = |k: usize| {
            let n = constant(k);
            let overflow = if n == Some(1) { 0 } else { eflags::OF };
            let carry = if n.map_or(31, |n| n & 31) >= u64::from(inst.ty.bits()) { eflags::CF } else { 0 };
            (overflow, carry)
        };
        let undef = match inst.op {
            Op::FlShl | Op::FlShr | Op::FlSar => {
                let (overflow, carry) = shifted(1);
                eflags::AF | overflow | carry | from(2)
            }
            Op::FlShlD | Op::FlShrD => {
                let (overflow, carry) = shifted(2);
                eflags::AF | overflow | from(3) | if carry != 0 { eflags::ARITH } else { 0 }
            }
            Op::FlRol | Op::FlRor => shifted(1).0 | from(2),
            Op::FlRcl | Op::FlRcr => shifted(1).0 | from(3),
            Op::Sel => from(1) | from(2),
            _ => 0,
        };
        let first = from(0);
        undefined[i] = undef;
        let fixed = |ty, imm| Inst { op: Op::Const, ty, args: [Val::NONE; 4], imm };
        match inst.op {
            Op::SetFl => block.insts[i].imm &= !u64::from(first),
            Op::FlBits if first != 0 => block.insts[i] = fixed(Ty::I32, 0x44),
            Op::Cond if first & cond_reads(inst.imm) != 0 => block.insts[i] = fixed(Ty::I1, inst.imm & 1),
            Op::XSetCc if first != 0 => block.insts[i] = Inst::NOP,
            _ => {}
        }
    }
}

/// A list of shapes of an operation that most code is made of.
fn plain<'a>(rng: &mut Rng, shapes: &'a Shapes) -> Option<&'a Vec<Shape>> {
    const OPS: [Op; 22] = [
        Op::Get,
        Op::Set,
        Op::SetFl,
        Op::SetFl,
        Op::GetFl,
        Op::Add,
        Op::Sub,
        Op::And,
        Op::Or,
        Op::Xor,
        Op::Shl,
        Op::Shr,
        Op::Zext,
        Op::Sext,
        Op::FlAdd,
        Op::FlSub,
        Op::FlLogic,
        Op::Cond,
        Op::Ld,
        Op::St,
        Op::Sel,
        Op::FlShl,
    ];
    let op = rng.pick(&OPS);
    shapes.of.iter().find(|list| list[0].op == op)
}

/// Runs a program in the interpreter.
pub fn interpret(program: &Program) -> Outcome {
    interpret_unit(program, &program.unit).0
}

/// Runs a program in the interpreter, its unit in another form. Also the address of the last access that was refused, 0 when none was.
pub fn interpret_unit(program: &Program, unit: &Unit) -> (Outcome, u64) {
    let mut mem =
        Window { data: program.data.clone(), long: program.unit.mode == Mode::Long, refused: Default::default() };
    let mut state = program.state.clone();
    let mut scratch = Scratch::default();
    let mut block = &unit.blocks[0];
    let leave = loop {
        match interp::run_block(block, &mut state, &mut mem, &mut scratch) {
            Leave::Block(n) => block = &unit.blocks[n as usize],
            leave => break leave,
        }
    };
    let refused = mem.refused.get();
    (Outcome { leave, state, data: mem.data }, refused)
}

/// What differs between two outcomes; of the arithmetic flags only those in `flags` count.
pub fn differences(a: &Outcome, b: &Outcome, flags: u32) -> Vec<String> {
    let mut diff = Vec::new();
    if a.leave != b.leave {
        diff.push(format!("left by {:x?} and {:x?}", a.leave, b.leave));
    }
    diff.extend(crate::states(&a.state, &b.state, flags, !0));
    if let Some(at) = a.data.iter().zip(&b.data).position(|(x, y)| x != y) {
        diff.push(format!("memory +{at:x}: {:x} and {:x}", a.data[at], b.data[at]));
    }
    diff
}

/// Removes what a failure does not need: `fails` says whether a program still shows it.
pub fn shrink(program: &Program, fails: &mut dyn FnMut(&Program) -> bool) -> Program {
    let mut best = program.clone();
    loop {
        let mut smaller = false;
        for b in 0..best.unit.blocks.len() {
            for i in (0..best.unit.blocks[b].insts.len()).rev() {
                let Some(mut next) = without(&best, b, i) else { continue };
                next.unit.blocks.iter_mut().for_each(define);
                if demotic_ir::verify::verify(&next.unit).is_ok() && fails(&next) {
                    best = next;
                    smaller = true;
                }
            }
        }
        if !smaller {
            return best;
        }
    }
}

/// The program without one operation: uses of its value go to an earlier one of the same type, or make that impossible.
fn without(program: &Program, b: usize, i: usize) -> Option<Program> {
    let mut next = program.clone();
    let block = &mut next.unit.blocks[b];
    let gone = block.insts[i];
    let ty = gone.result();
    if gone.op == Op::Nop {
        return None;
    }
    let other = (0..i).rev().find(|&k| ty != Ty::None && block.insts[k].result() == ty).map(|k| Val(k as u16));
    let used = |v: &Val| v.index() == i;
    let needed = block.insts.iter().any(|x| x.operands().iter().any(used)) || block.term.operands().iter().any(used);
    if needed {
        let other = other?;
        for inst in &mut block.insts {
            let arity = inst.arity();
            inst.args[..arity].iter_mut().filter(|v| v.index() == i).for_each(|v| *v = other);
        }
        block.term.operands_mut().filter(|v| v.index() == i).for_each(|v| *v = other);
    }
    block.insts[i] = Inst::NOP;
    Some(next)
}
