//! The emitter for x86-64 hosts.
//!
//! Problem: guests that are x86 themselves should come out as nearly the instructions that they came in as, from an IR in which one
//! guest instruction is several operations. Approach: general registers, vector registers and the arithmetic flags of the guest live in
//! the host's own ([`home`]); [`shape`] finds groups of operations that are one host instruction (a sum, its flags, the write of both;
//! a load or a store taking part) and pure operations that are better computed where they are used (addresses, conditions); the
//! rest is emitted one by one, and whatever has no host code is one call into the interpreter ([`values`], [`unit`]).
//!
//! Invariants. Every host instruction boundary has a meaning: [`unit::Emit::sync`] is called whenever the map of values or the index of
//! the next operation changes, and code in between destroys nothing that the last call promised. The few exceptions are marked by
//! a place that is not known; nothing faults there. RFLAGS is the home of the flags, and code that needs the flags to survive uses
//! instructions that do not touch them.
//!
//! GS is the frame, RSP the shadow stack, so that host returns predict guest returns.

mod atomic;
mod avx;
mod class;
mod flags;
mod float;
mod group;
mod helper;
mod int;
mod memory;
mod mmx;
mod runtime;
mod shape;
mod shift;
mod strings;
mod unit;
mod values;
mod vector;
pub(crate) mod x87;

use crate::frame::{Frame, HostRegs};
use crate::{Arithmetic, Compiled, EdgeKind, Emitter, Error, Patch, Place, Request, Runtime, target};
use core::mem::offset_of;
use demotic_asm::x64::{Mem, Reg};
use demotic_ir::block::Unit;
use demotic_ir::state::eflags::ARITH;
use demotic_ir::state::{GuestState, Mode, X87};

/// The x86-64 emitter.
#[derive(Clone, Copy, Debug, Default)]
pub struct X64;

/// Where a guest register lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Home {
    /// In this host general register.
    Gpr(Reg),
    /// In this host vector register.
    Vec(u8),
    /// In memory at this offset of the frame.
    Mem(i32),
}

/// Offset of a field of the frame as a displacement.
macro_rules! at {
    ($($field:tt)+) => {
        core::mem::offset_of!($crate::frame::Frame, $($field)+) as i32
    };
}
use at;

/// Scratch words of the frame that the emitted code and the runtime share, as offsets.
mod scratch {
    /// The host's own MXCSR.
    pub const HOST_MXCSR: i32 = at!(scratch);
    /// Address of the stub for indirect branches; 16-byte aligned.
    pub const INDIRECT: i32 = at!(scratch) + 8;
    /// Address of the frame.
    pub const FRAME: i32 = at!(scratch) + 16;
    /// Address of the stub for returns; 16-byte aligned.
    pub const RETURN: i32 = at!(scratch) + 24;
    /// 1, or -1 when the guest's direction flag is set.
    pub const STEP: i32 = at!(scratch) + 40;
    /// What the helper is to do.
    pub const WHAT: i32 = at!(scratch) + 48;
    /// Its immediate.
    pub const IMM: i32 = at!(scratch) + 56;
    /// Host address to enter.
    pub const TARGET: i32 = at!(scratch) + 64;
}

/// General registers of 64-bit guests with a host register of their own; RSP is elsewhere and the rest is in memory.
const PINNED: usize = 13;

/// The homes of all slots, of 32-bit and of 64-bit guests.
static HOMES: [[Home; 128]; 2] = {
    let mut t = [[Home::Mem(0); 128]; 2];
    let mut slot = 0;
    while slot < 128 {
        t[0][slot as usize] = home_of(false, slot);
        t[1][slot as usize] = home_of(true, slot);
        slot += 1;
    }
    t
};

/// The home of a slot. Everything has one; [`demotic_ir::slot::Slot::MXCSR`] is special and not asked for here.
#[inline(always)]
fn home(long: bool, slot: u8) -> Home {
    HOMES[long as usize][slot as usize % 128]
}

const fn home_of(long: bool, slot: u8) -> Home {
    let n = slot as usize;
    match n {
        4 => Home::Gpr(Reg::R15),
        0..=15 if n < if long { PINNED } else { 8 } => Home::Gpr(Reg(slot)),
        0..=15 => Home::Mem(at!(snapshot) + (offset_of!(HostRegs, memory_gpr) + 8 * n) as i32),
        16..=31 if n - 16 < if long { 12 } else { 8 } => Home::Vec(slot - 16),
        16..=31 => Home::Mem(at!(snapshot) + (offset_of!(HostRegs, memory_vec) + 16 * (n - 16)) as i32),
        32..=37 => Home::Mem(at!(state) + (offset_of!(GuestState, seg_base) + 8 * (n - 32)) as i32),
        38..=43 => Home::Mem(at!(state) + (offset_of!(GuestState, seg_sel) + 2 * (n - 38)) as i32),
        44 => Home::Mem(at!(state) + offset_of!(GuestState, sys) as i32),
        45 => Home::Mem(at!(state) + offset_of!(GuestState, mxcsr) as i32),
        54..=69 => Home::Mem(at!(state) + (offset_of!(GuestState, ymm) + 16 * (n - 54)) as i32),
        70 | 71 => Home::Mem(at!(state) + (offset_of!(GuestState, seg_end) + 8 * (n - 70)) as i32),
        _ => {
            let field = match n {
                46 => offset_of!(X87, cw),
                47 => offset_of!(X87, sw),
                48 => offset_of!(X87, valid),
                49 => offset_of!(X87, fop),
                50 => offset_of!(X87, fip),
                51 => offset_of!(X87, fdp),
                52 => offset_of!(X87, fcs),
                _ => offset_of!(X87, fds),
            };
            Home::Mem(at!(state) + (offset_of!(GuestState, x87) + field) as i32)
        }
    }
}

/// Offset of a general register in the snapshot.
fn snapshot_gpr(n: u8) -> Mem {
    Mem::gs(at!(snapshot) + (offset_of!(HostRegs, gpr) + 8 * usize::from(n)) as i32)
}

/// Offset of a vector register in the snapshot.
fn snapshot_vec(n: u8) -> Mem {
    Mem::gs(at!(snapshot) + (offset_of!(HostRegs, vec) + 16 * usize::from(n)) as i32)
}

/// Offset of another field of the snapshot.
fn snapshot(field: usize) -> Mem {
    Mem::gs(at!(snapshot) + field as i32)
}

/// Offset of a field of the guest state.
fn state(field: usize) -> Mem {
    Mem::gs(at!(state) + field as i32)
}

/// Offset of operand `k` of a helper.
fn arg(k: usize) -> Mem {
    Mem::gs((offset_of!(Frame, args) + 16 * k) as i32)
}

/// Offset of the helper's result.
fn result() -> Mem {
    Mem::gs(at!(result))
}

/// Offset of a spilled value.
fn spill(n: u16) -> Mem {
    Mem::gs(at!(spill) + 16 * i32::from(n))
}

impl Emitter for X64 {
    fn emit_into(&self, unit: &Unit, request: &Request, out: &mut Compiled) -> Result<(), Error> {
        unit::Emit::run(unit, request, out)
    }

    fn locate(&self, unit: &Unit, request: &Request, offset: u32) -> Option<Place> {
        unit::Emit::locate(unit, request, offset)
    }

    fn runtime(&self, _target: &target::Target) -> Runtime {
        runtime::make()
    }

    fn load(&self, state: &GuestState, _: Arithmetic, regs: &mut HostRegs) {
        let long = state.mode == Mode::Long;
        for n in 0..16u8 {
            let (g, x) = (state.gpr[usize::from(n)], state.xmm[usize::from(n)]);
            match home(long, n) {
                Home::Gpr(r) => regs.gpr[usize::from(r.0)] = g,
                _ => regs.memory_gpr[usize::from(n)] = g,
            }
            match home(long, n + 16) {
                Home::Vec(v) => regs.vec[usize::from(v)] = x,
                _ => regs.memory_vec[usize::from(n)] = x,
            }
        }
        regs.flags = u64::from(state.flags & ARITH);
        regs.fpcr = u64::from(state.mxcsr);
    }

    fn store(&self, mode: Mode, regs: &HostRegs, state: &mut GuestState) {
        let long = mode == Mode::Long;
        for n in 0..16u8 {
            state.gpr[usize::from(n)] = match home(long, n) {
                Home::Gpr(r) => regs.gpr[usize::from(r.0)],
                _ => regs.memory_gpr[usize::from(n)],
            };
            state.xmm[usize::from(n)] = match home(long, n + 16) {
                Home::Vec(v) => regs.vec[usize::from(v)],
                _ => regs.memory_vec[usize::from(n)],
            };
        }
        state.flags = regs.flags as u32 & ARITH;
        state.mxcsr = regs.fpcr as u32;
    }

    fn condition(&self, regs: &HostRegs, cond: u8) -> bool {
        demotic_ir::interp::condition(u64::from(cond), regs.flags as u32)
    }

    fn edge(&self, kind: EdgeKind, from: u64, to: u64, link: bool) -> Option<Patch> {
        let rel = i32::try_from(to.wrapping_sub(from.wrapping_add(5)) as i64).ok()?.to_le_bytes();
        let op = if link && kind == EdgeKind::Jump { 0xe9 } else { 0xe8 };
        Some(Patch { bytes: [op, rel[0], rel[1], rel[2], rel[3], 0, 0, 0], len: 5 })
    }

    fn stale(&self, _distance: i64) -> Patch {
        // jmp to five bytes before the entry: two for itself and five back.
        Patch { bytes: [0xeb, 0xf9, 0, 0, 0, 0, 0, 0], len: 2 }
    }
}
