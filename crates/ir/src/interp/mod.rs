//! The interpreter: the executable meaning of the IR.
//!
//! Values live in a scratch array indexed by instruction number; slots are read and written in [`GuestState`] directly.
//! The scratch array keeps every value of the block, so that a precise state can be rebuilt at any operation: the verifier
//! guarantees that nothing of the current guest instruction has changed state before a fault, and deferred flags are
//! computed on the spot ([`recover`]).
//!
//! Guest memory is reached through [`Memory`] only.

mod crypto;
mod float;
mod int;
mod masked;
mod now3d;
mod pointers;
mod strings;
mod vector;
mod x87;

pub use int::{condition, flags_of};
pub use pointers::Pointers;
pub use x87::tag_word;

use crate::block::{Block, Indirect, Inst, Service, Term, Val};
use crate::ops::Op;
use crate::slot::Slot;
use crate::state::{GuestState, eflags};
use crate::ty::Ty;
use demotic_f80::F80;

/// A guest exception raised by an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trap {
    /// Exception vector.
    pub vector: u8,
    /// Error code.
    pub code: u32,
    /// Linear address for #PF.
    pub address: u64,
    /// What the host said about a failed access: signal number and si_code.
    pub host: Option<(i32, i32)>,
}

impl Trap {
    /// An exception without an address.
    pub fn new(vector: u8) -> Trap {
        Trap { vector, code: 0, address: 0, host: None }
    }
    /// A page fault: `write` and `present` as in the error code, always from user mode.
    pub fn page(address: u64, write: bool, present: bool) -> Trap {
        Trap { vector: 14, code: 4 | u32::from(write) << 1 | u32::from(present), address, host: None }
    }
}

/// Read-modify-write operations on memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Atomic {
    /// Replace.
    Xchg,
    /// Add.
    Add,
    /// And.
    And,
    /// Or.
    Or,
    /// Exclusive or.
    Xor,
    /// Replace by the second operand when equal to the first.
    Cas,
}

/// Guest memory as the interpreter sees it. Addresses are guest linear addresses; accesses may be unaligned and are ordered
/// as x86-TSO asks.
pub trait Memory {
    /// Loads one byte.
    fn load8(&mut self, addr: u64) -> Result<u8, Trap>;
    /// Loads two bytes.
    fn load16(&mut self, addr: u64) -> Result<u16, Trap>;
    /// Loads four bytes.
    fn load32(&mut self, addr: u64) -> Result<u32, Trap>;
    /// Loads eight bytes.
    fn load64(&mut self, addr: u64) -> Result<u64, Trap>;
    /// Loads sixteen bytes, low half first.
    fn load128(&mut self, addr: u64) -> Result<[u64; 2], Trap>;
    /// Stores one byte.
    fn store8(&mut self, addr: u64, v: u8) -> Result<(), Trap>;
    /// Stores two bytes.
    fn store16(&mut self, addr: u64, v: u16) -> Result<(), Trap>;
    /// Stores four bytes.
    fn store32(&mut self, addr: u64, v: u32) -> Result<(), Trap>;
    /// Stores eight bytes.
    fn store64(&mut self, addr: u64, v: u64) -> Result<(), Trap>;
    /// Stores sixteen bytes.
    fn store128(&mut self, addr: u64, v: [u64; 2]) -> Result<(), Trap>;
    /// Atomic operation on 1, 2, 4 or 8 bytes; the old value.
    fn atomic(&mut self, op: Atomic, addr: u64, bytes: u32, a: u64, b: u64) -> Result<u64, Trap>;
    /// Atomic compare and exchange of 16 bytes (aligned); the old value.
    fn cas128(&mut self, addr: u64, expected: [u64; 2], new: [u64; 2]) -> Result<[u64; 2], Trap>;
    /// Fence: 0 full, 1 loads, 2 stores.
    fn fence(&mut self, kind: u64);
}

/// A value in the scratch array: scalars zero-extended in `lo`; an F80 has its significand in `lo`.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
#[repr(C, align(16))]
pub struct V {
    /// Low 64 bits.
    pub lo: u64,
    /// High 64 bits.
    pub hi: u64,
}

impl V {
    fn f80(self) -> F80 {
        F80 { mant: self.lo, se: self.hi as u16 }
    }
    fn pair(self) -> [u64; 2] {
        [self.lo, self.hi]
    }
}

impl From<u64> for V {
    #[inline(always)]
    fn from(lo: u64) -> V {
        V { lo, hi: 0 }
    }
}
impl From<bool> for V {
    #[inline(always)]
    fn from(b: bool) -> V {
        V { lo: u64::from(b), hi: 0 }
    }
}
impl From<[u64; 2]> for V {
    #[inline(always)]
    fn from([lo, hi]: [u64; 2]) -> V {
        V { lo, hi }
    }
}
impl From<F80> for V {
    #[inline(always)]
    fn from(f: F80) -> V {
        V { lo: f.mant, hi: u64::from(f.se) }
    }
}

/// Where operands come from.
trait Values {
    /// The value.
    fn get(&self, v: Val) -> V;
}

impl Values for Scratch {
    #[inline(always)]
    fn get(&self, v: Val) -> V {
        Scratch::get(self, v)
    }
}

/// The operands of one operation.
impl Values for [V; 4] {
    fn get(&self, v: Val) -> V {
        self[v.index() & 3]
    }
}

/// No block has more ([`crate::build::MAX_INSTS`]). So large a table of zeros the C library takes from the kernel, and pages that no block needs are
/// never touched.
const SCRATCH: usize = 4096;

/// The scratch array for one thread's interpreter.
#[derive(Debug)]
pub struct Scratch(Box<[u128; SCRATCH]>);

impl Default for Scratch {
    fn default() -> Self {
        // It has the length of the array.
        let zeros: Result<Box<[u128; SCRATCH]>, _> = vec![0; SCRATCH].into_boxed_slice().try_into();
        Scratch(zeros.unwrap_or_else(|_| Box::new([0; SCRATCH])))
    }
}

impl Scratch {
    // The index wraps instead of being checked: blocks are bounded by `build::MAX_INSTS`, and a stray index reads a stale
    // value rather than stopping the translator.
    #[inline(always)]
    fn get(&self, v: Val) -> V {
        let image = self.0[v.index() & (SCRATCH - 1)];
        V { lo: image as u64, hi: (image >> 64) as u64 }
    }
    /// The value of an operation.
    pub fn vector(&self, v: Val) -> V {
        self.get(v)
    }
    #[inline(always)]
    /// Sets the value of operation `i`.
    pub fn put(&mut self, i: usize, v: V) {
        self.0[i & (SCRATCH - 1)] = u128::from(v.lo) | u128::from(v.hi) << 64;
    }
}

/// How a block was left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leave {
    /// On to a block of the same unit.
    Block(u32),
    /// On to a guest address.
    Pc(u64),
    /// On to a computed guest address.
    Indirect(u64, Indirect),
    /// `syscall`.
    Syscall(u64),
    /// `sysenter`.
    Sysenter(u64),
    /// `int n`.
    Interrupt(u8, u64),
    /// A fault at a guest instruction; the state is that of its beginning.
    Trap(u64, Trap),
    /// Not implemented at this address.
    Unimplemented(u64),
    /// A request to the environment, its operands, and where to go on.
    Service(Service, [u64; 2], u64),
}

/// Runs a block from its first instruction to its end or its first fault. `state.rip` is not touched.
pub fn run_block<M: Memory>(block: &Block, state: &mut GuestState, mem: &mut M, scratch: &mut Scratch) -> Leave {
    resume(block, 0, state, mem, scratch)
}

/// Like [`run_block`], from the operation `from` on: the state and the values in the scratch array are those before it ([`Pointers::before`]).
pub fn resume<M: Memory>(
    block: &Block,
    from: usize,
    state: &mut GuestState,
    mem: &mut M,
    scratch: &mut Scratch,
) -> Leave {
    let mut pointers = Pointers::NONE;
    for (i, inst) in block.insts.iter().enumerate().skip(from) {
        if i == pointers.next {
            pointers.reach(block, i, state, scratch);
        }
        match step(inst, i, state, mem, scratch) {
            Ok(None) if inst.op == Op::XChk && inst.imm != 0 => pointers = Pointers::begin(block, i, inst.imm),
            Ok(None) => {}
            Ok(Some(pc)) => return Leave::Pc(pc),
            Err(trap) => {
                recover(block, i, state, scratch);
                let pc = block.mark_at(i).map_or(block.pc, |m| m.pc);
                return Leave::Trap(pc, trap);
            }
        }
    }
    pointers.reach(block, block.insts.len(), state, scratch);
    recover(block, block.insts.len(), state, scratch);
    let operands = block.term.operands();
    finish(&block.term, |k| if operands[k] == Val::NONE { 0 } else { scratch.get(operands[k]).lo })
}

/// What a terminal does; `value` gives its operands by position ([`Term::operands`]).
pub fn finish(term: &Term, value: impl Fn(usize) -> u64) -> Leave {
    let edge = |e: crate::block::Edge| e.block.map_or(Leave::Pc(e.pc), Leave::Block);
    match *term {
        Term::Jump(e) => edge(e),
        Term::Branch { taken, fall, .. } => edge(if value(0) != 0 { taken } else { fall }),
        Term::Call { target, .. } => edge(target),
        Term::Indirect { kind, .. } => Leave::Indirect(value(0), kind),
        Term::Syscall { next } => Leave::Syscall(next),
        Term::Sysenter { next } => Leave::Sysenter(next),
        Term::Interrupt { vector, next } => Leave::Interrupt(vector, next),
        Term::Fault { vector, code, pc } => Leave::Trap(pc, Trap { code, ..Trap::new(vector) }),
        Term::FetchFault { pc, addr } => {
            // Error code: user, instruction fetch (SDM vol. 3, section 4.7).
            Leave::Trap(pc, Trap { code: 4 | 16, address: addr, ..Trap::new(14) })
        }
        Term::Unimplemented { pc } => Leave::Unimplemented(pc),
        Term::Service { what, next, .. } => Leave::Service(what, [value(0), value(1)], next),
    }
}

/// Runs one operation on values that are given instead of named: its operands are `args`.
///
/// # Errors
/// The exception that it raises; nothing has changed then.
pub fn run_op<M: Memory>(
    inst: &Inst,
    args: &[V; 4],
    state: &mut GuestState,
    mem: &mut M,
    scratch: &mut Scratch,
) -> Result<V, Trap> {
    args.iter().enumerate().for_each(|(i, &v)| scratch.put(i, v));
    let named = Inst { args: [Val(0), Val(1), Val(2), Val(3)], ..*inst };
    scratch.put(4, V::default());
    step(&named, 4, state, mem, scratch)?;
    Ok(scratch.get(Val(4)))
}

/// What a read of a slot in that type gives.
pub fn read_slot(state: &GuestState, slot: Slot, ty: Ty) -> V {
    get_slot(state, slot, ty)
}

/// Computes a pure operation of a block whose operands are in the scratch array, and puts it there.
pub fn recompute(block: &Block, v: Val, scratch: &mut Scratch) {
    let value = int::pure(&block.insts[v.index()], scratch);
    scratch.put(v.index(), value);
}

/// Executes operation `i` of a block, arithmetic without exceptions, and puts its result into the scratch array.
pub fn redo<M: Memory>(block: &Block, i: usize, state: &mut GuestState, mem: &mut M, scratch: &mut Scratch) {
    if let Some(inst) = block.insts.get(i) {
        // What can raise an exception is not executed that way.
        let _ = step(inst, i, state, mem, scratch);
    }
}

/// Whether operation `i`, whose operands have been computed, is a fused multiplication that an AArch64 host finds invalid and x86 does not: infinity
/// times zero, with a quiet NaN added.
pub fn invalid_for_host(block: &Block, i: usize, scratch: &Scratch) -> bool {
    block.insts.get(i).is_some_and(|inst| float::invalid_for_host(inst, scratch))
}

/// Writes a slot as a whole.
pub fn write_slot(state: &mut GuestState, slot: Slot, v: V) {
    if let Some(xmm) = state.xmm.get_mut(usize::from(slot.0).wrapping_sub(16)) {
        *xmm = [v.lo, v.hi];
    } else if let Some(ymm) = state.ymm.get_mut(usize::from(slot.0).wrapping_sub(usize::from(Slot::ymm(0).0))) {
        *ymm = [v.lo, v.hi];
    }
}

/// Makes the state exact at instruction `index` of a block: computes the flags that were deferred there.
pub fn recover(block: &Block, index: usize, state: &mut GuestState, scratch: &Scratch) {
    for d in &block.deferred {
        if usize::from(d.from) <= index && index < usize::from(d.to) {
            let fl = int::pure(&d.def, scratch).lo as u32;
            state.flags = state.flags & !d.mask | fl & d.mask;
        }
    }
}

/// Evaluates a pure operation on constants (for the folding pass); `None` when the operation is not a foldable integer one.
pub fn fold(op: Op, ty: Ty, args: &[u64], imm: u64) -> Option<u64> {
    if op.info().effects != crate::ops::Effects::PURE || op == Op::Nop || !ty.is_int() {
        return None;
    }
    let mut values = [V::default(); 4];
    values.iter_mut().zip(args).for_each(|(v, &a)| *v = V::from(a));
    let inst = Inst { op, ty, args: [Val(0), Val(1), Val(2), Val(3)], imm };
    inst.result().is_int().then(|| int::pure(&inst, &values).lo)
}

#[inline(always)]
fn step<M: Memory>(
    inst: &Inst,
    i: usize,
    state: &mut GuestState,
    mem: &mut M,
    s: &mut Scratch,
) -> Result<Option<u64>, Trap> {
    let ty = inst.ty;
    let a = inst.args[0];
    let b = inst.args[1];
    let v: V = match inst.op {
        Op::Nop => return Ok(None),
        Op::Const => V::from(inst.imm & ty.mask()),
        // General registers are most of what is read and written.
        Op::Get if inst.imm < 16 => V::from(state.gpr[(inst.imm & 15) as usize] & ty.mask()),
        Op::Get => get_slot(state, Slot(inst.imm as u8), ty),
        Op::Set if inst.imm < 16 && ty >= Ty::I32 => {
            state.gpr[(inst.imm & 15) as usize] = s.get(a).lo & ty.mask();
            return Ok(None);
        }
        Op::Set => {
            set_slot(state, Slot(inst.imm as u8), ty, s.get(a));
            return Ok(None);
        }
        Op::GetHi => V::from(state.gpr[(inst.imm & 15) as usize] >> 8 & 0xff),
        Op::SetHi => {
            let r = &mut state.gpr[(inst.imm & 15) as usize];
            *r = *r & !0xff00 | (s.get(a).lo & 0xff) << 8;
            return Ok(None);
        }
        Op::GetFl => V::from(u64::from(state.flags)),
        Op::SetFl => {
            let mask = inst.imm as u32;
            state.flags = state.flags & !mask | s.get(a).lo as u32 & mask;
            return Ok(None);
        }
        Op::Add => V::from(s.get(a).lo.wrapping_add(s.get(b).lo) & ty.mask()),
        Op::Sub => V::from(s.get(a).lo.wrapping_sub(s.get(b).lo) & ty.mask()),
        Op::And => V::from(s.get(a).lo & s.get(b).lo),
        Op::Xor => V::from(s.get(a).lo ^ s.get(b).lo),
        Op::Or => V::from(s.get(a).lo | s.get(b).lo),
        Op::Shl => V::from(int::shl(ty, s.get(a).lo, s.get(b).lo as u32 & 0xff)),
        Op::Shr => V::from(int::shr(ty, s.get(a).lo, s.get(b).lo as u32 & 0xff)),
        Op::Eq => V::from(s.get(a).lo == s.get(b).lo),
        Op::Sext => V::from(int::sext_bits(inst.imm, s.get(a).lo) as u64 & ty.mask()),
        Op::Mul => V::from(s.get(a).lo.wrapping_mul(s.get(b).lo) & ty.mask()),
        Op::Cond => V::from(condition(inst.imm, s.get(a).lo as u32)),
        Op::FlSub => V::from(u64::from(int::sub_flags(ty, s.get(a).lo, s.get(b).lo, 0))),
        Op::FlLogic => V::from(u64::from(flags_of(ty, s.get(a).lo))),
        Op::Sel => {
            if s.get(a).lo != 0 {
                s.get(b)
            } else {
                s.get(inst.args[2])
            }
        }
        Op::Zext => V::from(s.get(a).lo & ty.mask()),
        Op::DivU | Op::RemU | Op::DivS | Op::RemS => {
            V::from(int::divide(inst.op, ty, s.get(a).lo, s.get(b).lo, s.get(inst.args[2]).lo)?)
        }
        Op::Ld => load(mem, ty, s.get(a).lo, inst.imm)?,
        Op::St => {
            store(mem, ty, s.get(a).lo, s.get(b), inst.imm)?;
            return Ok(None);
        }
        Op::StUnless => {
            let stack = inst.imm & ATTR_STACK;
            if s.get(inst.args[2]).lo == 0 {
                store(mem, ty, s.get(a).lo, s.get(b), stack)?;
            } else if inst.imm & 1 != 0 {
                probe(mem, s.get(a).lo, ty.bytes(), stack)?;
            }
            return Ok(None);
        }
        Op::StPair | Op::LdLane | Op::LdMask | Op::StMask | Op::ProbeMask => masked::run(inst, mem, s)?,
        Op::ProbeW => {
            probe(mem, s.get(a).lo, ty.bytes(), inst.imm)?;
            return Ok(None);
        }
        Op::AXchg | Op::AAdd | Op::AAnd | Op::AOr | Op::AXor | Op::ACas => atomic(mem, inst, s)?,
        Op::Bulk => return Ok(None),
        Op::Fence => {
            mem.fence(inst.imm);
            return Ok(None);
        }
        Op::CheckGp => {
            return if s.get(a).lo == 0 { Ok(None) } else { Err(Trap::new(13)) };
        }
        Op::CheckNeg => {
            return if (s.get(a).lo as i64) < 0 { Ok(None) } else { Err(Trap::new(13)) };
        }
        Op::ExitIf => return Ok((s.get(a).lo != 0).then_some(inst.imm)),
        op if op.is_sse_arithmetic() => float::run(inst, state, s)?,
        Op::FHi | Op::FFlags | Op::FFmaFl | Op::FFmaHi => float::quiet(inst, state, s),
        Op::XChk
        | Op::XPtr
        | Op::XGet
        | Op::XPeek
        | Op::XSet
        | Op::XPush
        | Op::XPop
        | Op::XAdd
        | Op::XSub
        | Op::XMul
        | Op::XDiv
        | Op::XFromF
        | Op::XToInt
        | Op::XToIntC
        | Op::XToF
        | Op::XToFC
        | Op::XCmp
        | Op::XNoStore
        | Op::XSetCc
        | Op::XFn
        | Op::XToBcd
        | Op::XToBcdC
        | Op::XTagW
        | Op::XSetTagW
        | Op::XGetPhys
        | Op::XSetPhys => x87::run(inst, state, s)?,
        _ => int::pure(inst, s),
    };
    s.put(i, v);
    Ok(None)
}

#[inline(never)]
fn get_slot(state: &GuestState, slot: Slot, ty: Ty) -> V {
    let n = usize::from(slot.0);
    let x = match slot.0 {
        0..=15 => state.gpr[n],
        16..=31 => {
            let [lo, hi] = state.xmm[n - 16];
            if ty == Ty::V128 {
                return V { lo, hi };
            }
            lo
        }
        32..=37 => state.seg_base[n - 32],
        38..=43 => u64::from(state.seg_sel[n - 38]),
        44 => u64::from(state.sys),
        45 => u64::from(state.mxcsr),
        46 => u64::from(state.x87.cw),
        47 => u64::from(state.x87.sw),
        48 => u64::from(state.x87.valid),
        49 => u64::from(state.x87.fop),
        50 => state.x87.fip,
        51 => state.x87.fdp,
        52 => u64::from(state.x87.fcs),
        53 => u64::from(state.x87.fds),
        54..=69 => {
            let [lo, hi] = state.ymm[n - 54];
            return V { lo, hi };
        }
        70 | 71 => state.seg_end[n - 70],
        _ => 0,
    };
    V::from(x & ty.mask())
}

#[inline(never)]
fn set_slot(state: &mut GuestState, slot: Slot, ty: Ty, v: V) {
    let n = usize::from(slot.0);
    let merge = |old: u64| match ty {
        Ty::I8 => old & !0xff | v.lo & 0xff,
        Ty::I16 => old & !0xffff | v.lo & 0xffff,
        _ => v.lo & ty.mask(),
    };
    match slot.0 {
        0..=15 => state.gpr[n] = merge(state.gpr[n]),
        16..=31 => state.xmm[n - 16] = v.pair(),
        32..=37 => state.seg_base[n - 32] = v.lo,
        38..=43 => state.seg_sel[n - 38] = v.lo as u16,
        44 => state.sys = v.lo as u32 & !eflags::ARITH | eflags::FIXED | eflags::IF,
        45 => state.set_mxcsr(v.lo as u32),
        46 => state.x87.cw = v.lo as u16,
        47 => state.x87.sw = v.lo as u16,
        48 => state.x87.valid = v.lo as u8,
        49 => state.x87.fop = v.lo as u16,
        50 => state.x87.fip = v.lo,
        51 => state.x87.fdp = v.lo,
        52 => state.x87.fcs = v.lo as u16,
        53 => state.x87.fds = v.lo as u16,
        54..=69 => state.ymm[n - 54] = v.pair(),
        70 | 71 => state.seg_end[n - 70] = v.lo,
        _ => {}
    }
}

/// Immediate bit of `ld` and `st`: the address must be 16-byte aligned.
pub const ATTR_ALIGN16: u64 = 1;
/// Immediate bit of `ld` and `st`: a stack access.
pub const ATTR_STACK: u64 = 2;
/// Immediate bit of `ld`: the instruction writes there, too, so its fault is a write fault.
pub const ATTR_RMW: u64 = 4;

/// Immediate bit of `ld`: the first half of an operand of 32 bytes, of which a part beyond the limit is noticed before a missing page.
pub const ATTR_PAIR: u64 = 8;

#[cold]
fn stack_fault(trap: Trap) -> Trap {
    if trap.vector == 13 { Trap { vector: 12, ..trap } } else { trap }
}

#[inline(always)]
fn load<M: Memory>(mem: &mut M, ty: Ty, addr: u64, attr: u64) -> Result<V, Trap> {
    if attr & ATTR_ALIGN16 != 0 && addr & 15 != 0 {
        return Err(Trap::new(13));
    }
    let r = match ty {
        Ty::I8 => mem.load8(addr).map(|v| V::from(u64::from(v))),
        Ty::I16 => mem.load16(addr).map(|v| V::from(u64::from(v))),
        Ty::I32 => mem.load32(addr).map(|v| V::from(u64::from(v))),
        Ty::I64 => mem.load64(addr).map(V::from),
        Ty::V128 => mem.load128(addr).map(V::from),
        Ty::F80 => mem.load64(addr).and_then(|lo| {
            let hi = mem.load16(addr.wrapping_add(8))?;
            Ok(V { lo, hi: u64::from(hi) })
        }),
        _ => Ok(V::default()),
    };
    if attr & (ATTR_STACK | ATTR_RMW | ATTR_PAIR) == 0 {
        return r;
    }
    match r {
        Err(t) if attr & ATTR_PAIR != 0 && t.vector == 14 => {
            let beyond = mem.load128(addr.wrapping_add(16)).err().filter(|t| t.vector == 13);
            Err(load_fault(beyond.unwrap_or(t), attr))
        }
        r => r.map_err(|t| load_fault(t, attr)),
    }
}

#[cold]
fn load_fault(trap: Trap, attr: u64) -> Trap {
    let mut trap = if attr & ATTR_STACK != 0 { stack_fault(trap) } else { trap };
    if attr & ATTR_RMW != 0 && trap.vector == 14 {
        trap.code |= 2;
    }
    trap
}

#[inline(always)]
fn store<M: Memory>(mem: &mut M, ty: Ty, addr: u64, v: V, attr: u64) -> Result<(), Trap> {
    if attr & ATTR_ALIGN16 != 0 && addr & 15 != 0 {
        return Err(Trap::new(13));
    }
    let r = match ty {
        Ty::I8 => mem.store8(addr, v.lo as u8),
        Ty::I16 => mem.store16(addr, v.lo as u16),
        Ty::I32 => mem.store32(addr, v.lo as u32),
        Ty::I64 => mem.store64(addr, v.lo),
        Ty::V128 => mem.store128(addr, v.pair()),
        // The upper part first, so that a fault in it leaves nothing half stored; a fault in the lower part is reported first.
        Ty::F80 => match mem.store16(addr.wrapping_add(8), v.hi as u16) {
            Ok(()) => mem.store64(addr, v.lo),
            Err(upper) => mem.atomic(Atomic::Or, addr, 8, 0, 0).and(Err(upper)),
        },
        _ => Ok(()),
    };
    if attr & ATTR_STACK != 0 { r.map_err(stack_fault) } else { r }
}

/// Faults like a store would.
fn probe<M: Memory>(mem: &mut M, addr: u64, bytes: u32, attr: u64) -> Result<(), Trap> {
    let mut part = |k: u64, n: u32| mem.atomic(Atomic::Or, addr.wrapping_add(k), n, 0, 0).map(|_| ());
    // Nothing wider than 8 bytes is atomic. An address that cannot be comes before a page that is not there.
    let r = match bytes {
        // An x87 register's lower part comes first, whatever its upper part does.
        10 => part(0, 8).and_then(|()| part(8, 2)),
        16 => match [part(0, 8), part(8, 8)] {
            [_, Err(t)] if t.vector == 13 => Err(t),
            [first, second] => first.and(second),
        },
        n => part(0, n),
    };
    if attr & ATTR_STACK != 0 { r.map_err(stack_fault) } else { r }
}

fn atomic<M: Memory>(mem: &mut M, inst: &Inst, s: &Scratch) -> Result<V, Trap> {
    let [addr, a, b] = [0, 1, 2].map(|k| s.get(inst.args[k]));
    let op = match inst.op {
        Op::AXchg => Atomic::Xchg,
        Op::AAdd => Atomic::Add,
        Op::AAnd => Atomic::And,
        Op::AOr => Atomic::Or,
        Op::AXor => Atomic::Xor,
        _ => Atomic::Cas,
    };
    if inst.ty == Ty::V128 {
        if addr.lo & 15 != 0 {
            return Err(Trap::new(13));
        }
        return mem.cas128(addr.lo, a.pair(), b.pair()).map(V::from);
    }
    let r = mem.atomic(op, addr.lo, inst.ty.bytes(), a.lo, b.lo).map(V::from);
    if inst.imm & ATTR_STACK != 0 { r.map_err(stack_fault) } else { r }
}
