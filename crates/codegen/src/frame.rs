//! What translated code runs on: the frame of one guest thread, addressed by the frame register.

use crate::x87::Live;
use demotic_ir::interp::V;
use demotic_ir::state::GuestState;

/// Raw host registers: what entry loads and exits store.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(16))]
pub struct HostRegs {
    /// General registers by number (x86-64: encoding order).
    pub gpr: [u64; 32],
    /// Vector registers, low half first.
    pub vec: [[u64; 2]; 32],
    /// AArch64: NZCV in bits 31 to 28. x86-64: RFLAGS.
    pub flags: u64,
    /// Host PC, for faults and bail-outs.
    pub pc: u64,
    /// AArch64: FPCR. x86-64: MXCSR.
    pub fpcr: u64,
    /// AArch64: FPSR, whose sticky bits are what accumulated since the last entry. x86-64: unused.
    pub fpsr: u64,
    /// Guest registers of the x86-64 emitter that have no host register, by guest number.
    pub memory_gpr: [u64; 16],
    /// The same for vector registers.
    pub memory_vec: [[u64; 2]; 16],
}

/// One entry of the table for indirect branches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(16))]
pub struct Target {
    /// Guest address; an empty entry has one that belongs to another index.
    pub pc: u64,
    /// Host address of the block's entry.
    pub host: u64,
}

/// Offset of the x87 control word.
pub const FRAME_CONTROL: usize = core::mem::offset_of!(Frame, state.x87.cw);

/// Offset of the x87 status word.
pub const FRAME_STATUS: usize = core::mem::offset_of!(Frame, state.x87.sw);

/// Entries of that table, which is aligned to its size in bytes; the index of a guest address is [`index`].
pub const TARGETS: usize = 4096;

/// Index of a guest address: its low 12 bits.
pub const fn index(pc: u64) -> usize {
    pc as usize & (TARGETS - 1)
}

/// Changes the guest address in an entry of the shadow stack so that no return matches.
pub const UNMATCHED: u64 = 1 << 63;

/// Bits of AArch64's FPSR that mean something new under this MXCSR: IOC, UFC and IDC always, because results may not be x86's then, DZC, OFC and IXC as long
/// as MXCSR does not have ZE, OE and PE.
pub const fn unseen(mxcsr: u32) -> u64 {
    (!mxcsr >> 1 & 0x16) as u64 | WRONG
}

/// Those of them with which results may not be x86's: an invalid operation, a tiny result, a denormal operand.
pub const WRONG: u64 = 1 | 1 << 3 | 1 << 7;

/// Room for values that do not fit in registers.
pub const SPILLS: usize = 128;

/// The frame. Fields that code reads often come first.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Frame {
    /// The table for indirect branches: `*const Target`.
    pub targets: usize,
    /// Address of a byte that is not 0 when somebody wants the thread's attention.
    pub attention: usize,
    /// `extern "C" fn(frame: *mut Frame, what: u64, imm: u64) -> u64`: runs one operation (`what` = op | type << 8, operands in `args`, result in
    /// `result`); 0 when done, 1 when it raises a guest exception, and then nothing has changed.
    pub helper: usize,
    /// Stack pointer of Rust code while translated code runs.
    pub host_sp: u64,
    /// Shadow stack pointer while it does not.
    pub shadow_sp: u64,
    /// Return address of the stub call that left (x86-64: what the call pushed).
    pub exit_at: u64,
    /// Guest target of an indirect exit.
    pub target: u64,
    /// Scratch for the runtime's own use.
    pub scratch: [u64; 8],
    /// AArch64: the table for indirect calls, whose entries lead to [`crate::Compiled::calls`].
    pub calls: usize,
    /// x86-64 hosts: 1 while the host's x87 unit holds the guest's x87 state, and the state in the frame is stale.
    pub x87_live: u64,
    /// x86-64 hosts: where [`crate::Stub::X87`] leads: `x87_ready` when it does, else `x87_load`.
    pub x87_gate: u64,
    /// Address of the code that does nothing. Set on the way in.
    pub x87_ready: u64,
    /// Address of the code that calls the helper for [`X87_ENTER`]. Set on the way in.
    pub x87_load: u64,
    /// AArch64 hosts: the guest's x87 state while translated code works on it.
    pub x87: Live,
    /// Result of a helper.
    pub result: V,
    /// Operands of a helper or of a terminal.
    pub args: [V; 4],
    /// Guest state; what has a home in registers is stale while translated code runs, everything else is here.
    pub state: GuestState,
    /// The image of the homes.
    pub snapshot: HostRegs,
    /// Spilled values.
    pub spill: [V; SPILLS],
    /// x86-64 hosts: address of the host instruction that left an unmasked x87 exception pending and is not yet a guest one, or 0.
    pub x87_at: u64,
    /// The address of that one's operand in memory, if it has one.
    pub x87_operand: u64,
    /// AArch64 hosts: bits of FPSR that [`crate::Arithmetic::Exact`] has to look after when they are set: what [`unseen`] says for the MXCSR in `state`, or
    /// more.
    pub sse_unseen: u64,
}

/// What a helper is called for besides operations: the guest's x87 state goes to the host's x87 unit.
pub const X87_ENTER: u64 = 1 << 16;
/// The same: it comes back to the frame.
pub const X87_LEAVE: u64 = 2 << 16;
/// A whole x87 instruction that translated code has no fast way for (AArch64 hosts): opcode in bits 8 to 15, second byte in bits 0 to 7 as
/// [`crate::x87::Insn`] has them; `imm` is what [`crate::x87::stack`] made, a memory operand is in `args[0]`.
pub const X87_INSN: u64 = 3 << 16;

/// Why translated code was left; what `enter` returns.
pub mod kind {
    /// An edge is not linked: `exit_at` is behind its branch.
    pub const EDGE: u64 = 0;
    /// No entry in the table for `target`.
    pub const INDIRECT: u64 = 1;
    /// A return to `target` that the shadow stack does not know.
    pub const RETURN: u64 = 2;
    /// A terminal: `exit_at` is behind its call.
    pub const TERM: u64 = 3;
    /// A bail-out: `snapshot.pc` is the address of the call itself.
    pub const DEOPT: u64 = 4;
    /// A fault or signal: `snapshot.pc` is where it happened.
    pub const FAULT: u64 = 5;
    /// A block that is not valid any more: `exit_at` is behind the call in its pre-entry.
    pub const STALE: u64 = 6;
    /// A signal arrived on the way in; nothing has been executed and the snapshot is as it was.
    pub const ABORTED: u64 = 7;
}
