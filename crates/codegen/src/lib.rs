//! IR -> host code.
//!
//! The contract of the emitters, one for each host: a pure function from an IR unit and a [`Request`] to position-independent
//! bytes. Translated code runs on a [`frame::Frame`]; guest registers and flags live in host registers ("homes") that every block
//! agrees on, so an edge between blocks costs nothing.
//!
//! Precise state without side tables: the same unit and request give the same bytes, so when a host PC inside a unit has to be
//! understood (a fault, a signal, a bail-out), the unit is emitted once more and [`Emitter::locate`] notes where every value
//! was when the code reached that offset. The IR interpreter then goes on from that operation. The rules that make this sound:
//!
//! * side effects happen in IR order, and the effect of an operation is the last thing its code does, or the place says that
//!   the operation is done;
//! * a slot's home holds the writes executed so far, except that a value may be computed in its slot's home early when
//!   [`plan::Plan::goes_to`] allows it (nothing in between can fault, leave, or look at the old value; writing again is harmless);
//! * the homes of the flags are exact where [`plan::Plan::flags_home`] says so, and free elsewhere.
//!
//! Architecture invariants: guests are known only as numbered slots; pure; no executing here (the engine does).
#![forbid(unsafe_code)]

pub mod arm64;
pub mod class;
pub mod frame;
pub mod plan;
pub mod target;
pub mod x64;
pub mod x87;

use demotic_asm::buffer::Field;
use demotic_ir::block::{Term, Unit, Val};
pub use demotic_ir::passes::Precision;
use demotic_ir::state::{GuestState, Mode};
use frame::HostRegs;

/// What to emit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Request {
    /// Host and memory order.
    pub target: target::Target,
    /// Accesses of this unit are known to be unaligned where the ordered instructions need alignment: use fences instead.
    pub unaligned: bool,
    /// How SSE arithmetic is done. x86-64 hosts ignore it.
    pub arithmetic: Arithmetic,
    /// Invalid operations and NaNs are common in this unit: look at the result of every arithmetic operation (AArch64).
    pub nans: bool,
    /// How the unit's flags were optimised.
    pub precision: Precision,
    /// What x87 arithmetic is expected to be rounded to (AArch64): under other control words the interpreter does it.
    pub significand: x87::Significand,
}

/// How SSE arithmetic is done on hosts whose own is not quite x86's (AArch64).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum Arithmetic {
    /// By the host's, with the status flags that it has: none for denormal operands, and underflow detected before rounding.
    #[default]
    Fast,
    /// By the host's, with all status flags as on x86: what it has no flags for is recognised and done by the interpreter.
    Exact,
    /// By the interpreter: MXCSR asks for what the host's arithmetic cannot do as it is set up (unmasked exceptions, FZ, DAZ).
    Helper,
}

impl Arithmetic {
    /// All of them, by number.
    pub const ALL: [Arithmetic; 3] = [Arithmetic::Fast, Arithmetic::Exact, Arithmetic::Helper];
}

/// A piece of the runtime that units branch to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Stub {
    /// Called from an unlinked jump edge; leaves with [`frame::kind::EDGE`].
    EdgeJump,
    /// Called from an unlinked call edge; leaves with [`frame::kind::EDGE`]. The shadow stack entry is pushed; AArch64: is to be pushed, its guest
    /// address in [`frame::Frame::target`].
    EdgeCall,
    /// Called from the pre-entry of a block that is no longer valid; leaves with [`frame::kind::STALE`].
    Stale,
    /// Called for a terminal that the engine carries out; leaves with [`frame::kind::TERM`].
    Term,
    /// Jumped to with the guest target in the emitter's target register (AArch64: called, so that the flags can be rebuilt for a target that reads
    /// them); leaves with [`frame::kind::INDIRECT`].
    Indirect,
    /// Jumped to when a return does not match the shadow stack, target as above; leaves with [`frame::kind::RETURN`].
    ReturnMiss,
    /// Called to give up at an operation; leaves with [`frame::kind::DEOPT`].
    Deopt,
    /// Called to run one operation in the interpreter: see [`frame::Frame::helper`].
    Helper,
    /// Called to have the guest's x87 state in the host's x87 unit (x86-64 hosts; nothing on others).
    X87,
    /// Called when arithmetic has raised flags that are to be looked after ([`Arithmetic::Exact`]): takes them into MXCSR, unless the results may be wrong.
    SseFlags,
}

impl Stub {
    /// All of them, in order.
    pub const ALL: [Stub; 10] = [
        Stub::EdgeJump,
        Stub::EdgeCall,
        Stub::Stale,
        Stub::Term,
        Stub::Indirect,
        Stub::ReturnMiss,
        Stub::Deopt,
        Stub::Helper,
        Stub::X87,
        Stub::SseFlags,
    ];
}

/// A displacement to a stub, to be filled in when the unit's address is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reloc {
    /// Offset of the instruction (AArch64) or field (x86-64), as in [`demotic_asm::buffer::Fixup::at`].
    pub at: u32,
    /// Its form.
    pub field: Field,
    /// Where it leads.
    pub stub: Stub,
}

/// How an edge is taken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EdgeKind {
    /// By a jump.
    Jump,
    /// By a host call; the instruction behind is the landing of the return.
    Call,
}

/// A direct branch out of the unit that can be linked to another unit's entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EdgeSite {
    /// Offset of the branch instruction.
    pub at: u32,
    /// How it is taken.
    pub kind: EdgeKind,
    /// Guest address that it leads to.
    pub pc: u64,
}

/// A terminal that leaves translated code for the engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TermSite {
    /// Offset behind the call of [`Stub::Term`].
    pub after: u32,
    /// The block; its terminal says what to do. Operands are in [`frame::Frame::args`], in the order of [`Term::operands`].
    pub block: u32,
    /// The terminal itself.
    pub term: Term,
}

/// What an emitter makes of a unit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Compiled {
    /// Position-independent host code but for `relocs`; to be placed at a multiple of 16.
    pub code: Vec<u8>,
    /// Offset of every block's entry in `code`, in the order of [`Unit::blocks`].
    pub entries: Vec<u32>,
    /// Where calls come in, in the same order: code that puts the return on the shadow stack and goes on at the entry. Empty where calls do that
    /// themselves and come in like everybody.
    pub calls: Vec<u32>,
    /// Offset of the first block's pre-entry, the others following, an instruction of 4 bytes each; 0 where every block has it right before its entry.
    pub pre_entries: u32,
    /// Patchable branches, by increasing offset.
    pub edges: Vec<EdgeSite>,
    /// Terminals for the engine, by increasing offset.
    pub terms: Vec<TermSite>,
    /// References to the runtime.
    pub relocs: Vec<Reloc>,
    /// Whether the code is only right as long as nobody else sees the guest's memory ([`target::Order::Single`]) on a host where the rest of the code
    /// does not depend on that.
    pub alone: bool,
}

/// Why a unit was not emitted; the interpreter runs it instead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Error {
    /// Something that this emitter does not have.
    Missing(&'static str),
    /// A branch out of reach: the unit is too large.
    TooLarge(demotic_asm::buffer::Error),
}

/// Where a value is at some host PC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loc {
    /// In a host register of [`HostRegs::gpr`]; bits above the type's width are noise.
    Gpr(u8),
    /// In a host register of [`HostRegs::vec`].
    Vec(u8),
    /// In [`frame::Frame::spill`].
    Spill(u16),
    /// In [`frame::Frame::result`].
    Result,
    /// The low `bits` (32 or 64) of a host vector register below the rest of another one.
    Low {
        /// Register with the low bits.
        low: u8,
        /// How many.
        bits: u8,
        /// Register with the rest.
        rest: u8,
    },
    /// Known.
    Const(u64),
    /// What the slot holds at that point (its home or memory), truncated to the value's type.
    Slot(u8),
    /// An i1 that is true when this host condition holds for [`HostRegs::flags`]; see [`Emitter::condition`].
    Cond(u8),
    /// A flags value that is in the home of the flags.
    FlagsHome,
    /// Not computed yet: a pure operation whose operands are located as well.
    Recompute,
}

/// Stands in [`Place::values`] for the host flags when they are kept in a register ([`Loc::Gpr`]) or in the frame
/// ([`Loc::Spill`]) instead of [`HostRegs::flags`].
pub const SAVED_FLAGS: Val = Val(u16::MAX - 6);

/// Stands in [`Place::values`] for the status of a store-exclusive ([`Loc::Gpr`], 32 bits): when it is 0 the operation at `index` is
/// done, and its result is among the values; else it is not.
pub const ATTEMPT: Val = Val(u16::MAX - 1);

/// Stands in [`Place::values`] for a general register's home that lags behind: what [`adjustment`] made is to be added to it first.
pub const ADJUST: Val = Val(u16::MAX - 2);

/// Bytes to be added to the home of general register `slot`.
pub const fn adjustment(slot: u8, by: i32) -> Loc {
    Loc::Const((slot as u64) << 32 | by as u32 as u64)
}

/// Stands in [`Place::values`] for an operation to be computed once more by the interpreter, after the values are there and in this order: its number,
/// as [`Loc::Const`]. Its result is not among the values.
pub const REDO: Val = Val(u16::MAX - 3);

/// Stands in [`Place::values`] for a write of a vector register that has not been done: what [`pending`] made, after all values are there.
pub const PENDING: Val = Val(u16::MAX - 4);

/// Stands in [`Place::values`] for x87 state that the code has not written back to the frame: what the functions of [`x87`] made, in this order.
pub const X87: Val = Val(u16::MAX - 5);

/// The write of `val` to slot `slot`.
pub const fn pending(slot: u8, val: Val) -> Loc {
    Loc::Const((slot as u64) << 32 | val.0 as u64)
}

/// What a host PC means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The block.
    pub block: u32,
    /// The first operation not yet executed; `insts.len()` for the terminal, one more behind a call that has come back (to the terminal's
    /// return edge).
    pub index: u32,
    /// Where all values are that operations from `index` on, the terminal and the deferred flags in force need (transitively
    /// for [`Loc::Recompute`]), by increasing value number. An entry for [`Val::NONE`] comes last: the image of the arithmetic flags, which
    /// are not in their home.
    pub values: Vec<(Val, Loc)>,
}

/// What to do when a signal interrupts the runtime's own code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interrupted {
    /// Nothing: the engine is about to look at [`frame::Frame::attention`].
    Ignore,
    /// Go on at this offset of the runtime instead, registers unchanged.
    Redirect(u32),
}

/// Code made once for each code region: ways in and out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Runtime {
    /// Position-independent code.
    pub code: Vec<u8>,
    /// Offset of `extern "C" fn(frame: *mut Frame, target: usize) -> u64`: loads the homes from [`frame::Frame::snapshot`], the
    /// shadow stack pointer from [`frame::Frame::shadow_sp`], jumps to the host address `target`; returns an exit kind.
    pub enter: u32,
    /// Where the signal handler lets an interrupted thread go on after it has filled the snapshot (all registers, flags, pc, FP control and
    /// status) from the context: returns [`frame::kind::FAULT`] from `enter`. Needs only the frame register.
    pub fault: u32,
    /// Offsets of the stubs, indexed by `Stub as usize`.
    pub stubs: Vec<u32>,
    /// What a signal in here means: start, end (exclusive), action. Offsets that are in no range are ignored, too.
    pub ranges: Vec<(u32, u32, Interrupted)>,
}

/// Bytes to be put over an instruction, at most 8, within one aligned 8-byte word (AArch64: one aligned 4-byte word).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patch {
    /// The bytes; only the first `len` count.
    pub bytes: [u8; 8],
    /// How many.
    pub len: u8,
}

/// One host's code generator.
pub trait Emitter: Sync {
    /// Emits a unit. Pure.
    ///
    /// # Errors
    /// See [`Error`].
    fn emit(&self, unit: &Unit, request: &Request) -> Result<Compiled, Error> {
        let mut out = Compiled::default();
        self.emit_into(unit, request, &mut out)?;
        Ok(out)
    }

    /// The same into something whose buffers are there already; what was in them goes. After an error it holds nothing of use.
    ///
    /// # Errors
    /// See [`Error`].
    fn emit_into(&self, unit: &Unit, request: &Request, out: &mut Compiled) -> Result<(), Error>;

    /// What the host PC at `offset` of the code that [`Emitter::emit`] gives for the same arguments means: the code up to there has been executed,
    /// the instruction at `offset` has not. `None` for offsets where no instruction begins.
    fn locate(&self, unit: &Unit, request: &Request, offset: u32) -> Option<Place>;

    /// The ways in and out.
    fn runtime(&self, target: &target::Target) -> Runtime;

    /// Guest state to the image of the homes, for code with such arithmetic.
    fn load(&self, state: &GuestState, arithmetic: Arithmetic, regs: &mut HostRegs);

    /// The image of the homes to guest state (general and vector registers, arithmetic flags, sticky bits of MXCSR).
    fn store(&self, mode: Mode, regs: &HostRegs, state: &mut GuestState);

    /// Whether a host condition ([`Loc::Cond`]) holds.
    fn condition(&self, regs: &HostRegs, cond: u8) -> bool;

    /// The bytes that make the edge at address `from` lead to `to` (an entry, or [`Stub::EdgeJump`] or [`Stub::EdgeCall`] to unlink it: then `link`
    /// is false). `None` when out of reach.
    fn edge(&self, kind: EdgeKind, from: u64, to: u64, link: bool) -> Option<Patch>;

    /// The bytes to put over the first instruction of an entry so that it leads to its pre-entry, `distance` bytes from there.
    fn stale(&self, distance: i64) -> Patch;
}
