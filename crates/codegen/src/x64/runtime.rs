//! The ways in and out of translated code.
//!
//! A unit calls or jumps to a stub with all homes in place; the stub stores them raw into the snapshot, changes to the host's stack and
//! MXCSR, and returns from `enter` with the kind of exit. A helper call does the same, calls, and loads everything again.
//!
//! A signal before the check of the attention byte in `enter` or behind a helper is found by that check; one behind it is redirected to the
//! exit that the check would have taken. In exits it needs nothing: the engine looks next.

use super::{scratch, snapshot, snapshot_gpr, snapshot_vec, state};
use crate::frame::{Frame, HostRegs, X87_ENTER, kind};
use crate::{Interrupted, Runtime, Stub};
use core::mem::offset_of;
use demotic_asm::x64::int::Alu;
use demotic_asm::x64::sse::Sse;
use demotic_asm::x64::{Asm, Mem, Reg, Size, Xmm};
use demotic_ir::state::GuestState;
use demotic_ir::state::eflags::{ARITH, DF, TF};

const Q: Size = Size::Q;
/// Callee-saved registers of the System V ABI.
const SAVED: [Reg; 6] = [Reg::RBX, Reg::RBP, Reg::R12, Reg::R13, Reg::R14, Reg::R15];

fn frame(offset: usize) -> Mem {
    Mem::gs(offset as i32)
}

/// All general registers but the stack pointer.
fn gprs() -> impl Iterator<Item = Reg> {
    (0..16).map(Reg).filter(|r| *r != Reg::RSP)
}

fn save_gprs(a: &mut Asm) {
    gprs().for_each(|r| a.store(Q, snapshot_gpr(r.0), r));
}

/// With the host's stack in use: flags, vectors, MXCSR to the snapshot, the host's MXCSR back.
fn save_rest(a: &mut Asm) {
    a.pushfq();
    a.pop_mem(snapshot(offset_of!(HostRegs, flags)));
    (0..16).for_each(|n| a.sse_store(Sse::MOVUPS, snapshot_vec(n), Xmm(n)));
    a.stmxcsr(snapshot(offset_of!(HostRegs, fpcr)));
    a.ldmxcsr(Mem::gs(scratch::HOST_MXCSR));
}

/// Returns from `enter`.
fn leave(a: &mut Asm, kind: u64) {
    a.mov_imm(Reg::RAX, kind);
    a.alu_imm(Alu::Add, Q, Reg::RSP, 8);
    SAVED.iter().rev().for_each(|r| a.pop(*r));
    a.ret();
}

/// Saves everything and returns; the shadow stack pointer is RSP as it is now.
fn exit(a: &mut Asm, kind: u64) {
    save_gprs(a);
    a.store(Q, frame(offset_of!(Frame, shadow_sp)), Reg::RSP);
    a.mov(Q, Reg::RSP, frame(offset_of!(Frame, host_sp)));
    save_rest(a);
    if kind == kind::DEOPT {
        // The address of the call, not behind it.
        a.alu_imm(Alu::Sub, Q, snapshot(offset_of!(HostRegs, pc)), 5);
    }
    leave(a, kind);
}

/// Loads the homes from the snapshot, RSP last; flags are kept from the first step on.
fn load_all(a: &mut Asm) {
    a.mov(Size::D, Reg::RAX, snapshot(offset_of!(HostRegs, flags)));
    // TF may be set as well, by whoever single-steps.
    a.alu_imm(Alu::And, Size::D, Reg::RAX, (ARITH | TF) as i32);
    a.pushfq();
    a.pop(Reg::RCX);
    a.alu_imm(Alu::And, Size::D, Reg::RCX, TF as i32);
    a.alu(Alu::Or, Size::D, Reg::RAX, Reg::RCX);
    a.push(Reg::RAX);
    a.popfq();
    (0..16).for_each(|n| a.sse(Sse::MOVUPS, Xmm(n), snapshot_vec(n)));
    gprs().for_each(|r| a.mov(Q, r, snapshot_gpr(r.0)));
    a.mov(Q, Reg::RSP, frame(offset_of!(Frame, shadow_sp)));
}

pub(super) fn make() -> Runtime {
    let mut a = Asm::new();
    let mut stubs = vec![0; Stub::ALL.len()];
    let mut ranges = Vec::new();
    let (indirect, returns, abort) = (a.buf.label(), a.buf.label(), a.buf.label());
    let (ready, load, helping) = (a.buf.label(), a.buf.label(), a.buf.label());
    let pc = snapshot(offset_of!(HostRegs, pc));

    // enter(frame, target)
    let enter = a.here();
    SAVED.iter().for_each(|r| a.push(*r));
    a.alu_imm(Alu::Sub, Q, Reg::RSP, 8);
    a.store(Q, frame(offset_of!(Frame, host_sp)), Reg::RSP);
    a.stmxcsr(Mem::gs(scratch::HOST_MXCSR));
    a.store(Q, Mem::gs(scratch::FRAME), Reg::RDI);
    a.store(Q, Mem::gs(scratch::TARGET), Reg::RSI);
    a.mov(Q, Reg::RAX, frame(offset_of!(Frame, attention)));
    let checked = a.here();
    a.alu_imm(Alu::Cmp, Size::B, Mem::base(Reg::RAX, 0), 0);
    a.jcc(5, abort);
    a.lea_label(Reg::RAX, indirect);
    a.store(Q, Mem::gs(scratch::INDIRECT), Reg::RAX);
    a.lea_label(Reg::RAX, returns);
    a.store(Q, Mem::gs(scratch::RETURN), Reg::RAX);
    // Where the x87 state is stays as it was.
    a.lea_label(Reg::RAX, ready);
    a.store(Q, frame(offset_of!(Frame, x87_ready)), Reg::RAX);
    a.lea_label(Reg::RCX, load);
    a.store(Q, frame(offset_of!(Frame, x87_load)), Reg::RCX);
    a.alu_imm(Alu::Cmp, Q, frame(offset_of!(Frame, x87_live)), 0);
    a.cmov(4, Q, Reg::RAX, Reg::RCX);
    a.store(Q, frame(offset_of!(Frame, x87_gate)), Reg::RAX);
    // The step of string instructions: 1 - 2 * DF.
    a.mov(Size::D, Reg::RAX, state(offset_of!(GuestState, sys)));
    a.alu_imm(Alu::And, Size::D, Reg::RAX, DF as i32);
    a.shift_imm(demotic_asm::x64::int::Shift::Shr, Size::D, Reg::RAX, DF.trailing_zeros() as u8 - 1);
    a.unary(demotic_asm::x64::int::Unary::Neg, Q, Reg::RAX);
    a.alu_imm(Alu::Add, Q, Reg::RAX, 1);
    a.store(Q, Mem::gs(scratch::STEP), Reg::RAX);
    a.ldmxcsr(snapshot(offset_of!(HostRegs, fpcr)));
    load_all(&mut a);
    a.jmp_rm(Mem::gs(scratch::TARGET));
    let entered = a.here();
    a.buf.bind(abort);
    let abort_at = a.here();
    a.mov(Q, Reg::RSP, frame(offset_of!(Frame, host_sp)));
    a.ldmxcsr(Mem::gs(scratch::HOST_MXCSR));
    leave(&mut a, kind::ABORTED);
    ranges.push((checked, entered, Interrupted::Redirect(abort_at)));

    // The handler has filled the snapshot.
    let fault = a.here();
    // A string instruction may have been going down.
    a.byte(0xfc); // cld
    a.mov(Q, Reg::RAX, snapshot_gpr(Reg::RSP.0));
    // Entries of the shadow stack have 16 bytes; half of one on its top was being pushed or popped.
    a.alu_imm(Alu::Add, Q, Reg::RAX, 8);
    a.alu_imm(Alu::And, Q, Reg::RAX, -16);
    a.store(Q, frame(offset_of!(Frame, shadow_sp)), Reg::RAX);
    a.mov(Q, Reg::RSP, frame(offset_of!(Frame, host_sp)));
    a.ldmxcsr(Mem::gs(scratch::HOST_MXCSR));
    leave(&mut a, kind::FAULT);

    for stub in Stub::ALL {
        a.nops(a.here().wrapping_neg() & 15);
        stubs[stub as usize] = a.here();
        let start = a.here();
        let exit_at = frame(offset_of!(Frame, exit_at));
        let target = frame(offset_of!(Frame, target));
        if stub == Stub::Helper {
            a.buf.bind(helping);
        }
        match stub {
            Stub::EdgeJump | Stub::Stale | Stub::Term => {
                a.pop_mem(exit_at);
                let kind = match stub {
                    Stub::EdgeJump => kind::EDGE,
                    Stub::Stale => kind::STALE,
                    _ => kind::TERM,
                };
                exit(&mut a, kind);
            }
            Stub::EdgeCall => {
                // The return address stays: it is the landing in the shadow stack.
                a.mov(Q, Reg::R14, Mem::base(Reg::RSP, 0));
                a.store(Q, exit_at, Reg::R14);
                exit(&mut a, kind::EDGE);
            }
            Stub::Indirect => {
                a.buf.bind(indirect);
                a.store(Q, target, Reg::R14);
                exit(&mut a, kind::INDIRECT);
            }
            Stub::ReturnMiss => {
                a.buf.bind(returns);
                a.store(Q, target, Reg::R14);
                // The return has popped the landing; the entry's other half goes, too.
                a.lea(Q, Reg::RSP, Mem::base(Reg::RSP, 8));
                exit(&mut a, kind::RETURN);
            }
            Stub::Deopt => {
                a.pop_mem(pc);
                exit(&mut a, kind::DEOPT);
            }
            Stub::Helper => {
                helper(&mut a, &mut ranges);
                continue;
            }
            // The host's arithmetic has all flags.
            Stub::SseFlags => continue,
            Stub::X87 => {
                // In here a signal gives up at the call.
                a.jmp_rm(frame(offset_of!(Frame, x87_gate)));
                a.buf.bind(ready);
                a.ret();
                a.buf.bind(load);
                a.store_imm(Q, Mem::gs(scratch::WHAT), X87_ENTER as i32);
                a.jmp(helping);
                ranges.push((start, a.here(), Interrupted::Redirect(stubs[Stub::Deopt as usize])));
                continue;
            }
        }
        ranges.push((start, a.here(), Interrupted::Ignore));
    }
    // Every label is bound above, and the code is short.
    let code = a.buf.finish().unwrap_or_default();
    Runtime { code, enter, fault, stubs, ranges }
}

/// Runs one operation by a call into the host.
fn helper(a: &mut Asm, ranges: &mut Vec<(u32, u32, Interrupted)>) {
    let start = a.here();
    let pc = snapshot(offset_of!(HostRegs, pc));
    let mxcsr = state(offset_of!(GuestState, mxcsr));
    let (refused, wanted, out) = (a.buf.label(), a.buf.label(), a.buf.label());
    a.pop_mem(pc);
    save_gprs(a);
    a.store(Q, frame(offset_of!(Frame, shadow_sp)), Reg::RSP);
    a.mov(Q, Reg::RSP, frame(offset_of!(Frame, host_sp)));
    save_rest(a);
    a.mov(Size::D, Reg::RAX, snapshot(offset_of!(HostRegs, fpcr)));
    a.store(Size::D, mxcsr, Reg::RAX);
    a.mov(Q, Reg::RDI, Mem::gs(scratch::FRAME));
    a.mov(Q, Reg::RSI, Mem::gs(scratch::WHAT));
    a.mov(Q, Reg::RDX, Mem::gs(scratch::IMM));
    a.call_rm(frame(offset_of!(Frame, helper)));
    a.mov(Size::D, Reg::RCX, mxcsr);
    a.store(Q, snapshot(offset_of!(HostRegs, fpcr)), Reg::RCX);
    a.test(Size::D, Reg::RAX, Reg::RAX);
    a.jcc(5, refused);
    a.mov(Q, Reg::RCX, frame(offset_of!(Frame, attention)));
    let checked = a.here();
    ranges.push((start, checked, Interrupted::Ignore));
    a.alu_imm(Alu::Cmp, Size::B, Mem::base(Reg::RCX, 0), 0);
    a.jcc(5, wanted);
    a.ldmxcsr(mxcsr);
    load_all(a);
    a.push_mem(pc);
    a.ret();
    let done = a.here();
    a.buf.bind(refused);
    a.alu_imm(Alu::Sub, Q, pc, 5);
    a.jmp(out);
    a.buf.bind(wanted);
    let wanted_at = a.here();
    a.mov(Q, Reg::RSP, frame(offset_of!(Frame, host_sp)));
    a.buf.bind(out);
    a.ldmxcsr(Mem::gs(scratch::HOST_MXCSR));
    leave(a, kind::DEOPT);
    ranges.push((checked, done, Interrupted::Redirect(wanted_at)));
}
