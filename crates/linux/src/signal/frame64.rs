//! The x86-64 signal frame: what x64_setup_rt_frame and rt_sigreturn do (arch/x86/kernel/signal_64.c, signal.c).
//!
//! From low to high addresses: return address (the restorer), `ucontext`, `siginfo`, then the FXSAVE area, aligned to 64.
//! With XSAVE the area is longer ([`fpstate`]), and uc_flags has UC_FP_XSTATE.

use super::{AltStack, SS_AUTODISARM, SS_DISABLE, fpstate};
use crate::errno::Errno;
use crate::task::Task;
use demotic_engine::segments;
use demotic_ir::state::eflags;
use demotic_x86::state::{GuestState, Mode, Segment, reg, seg};

/// Offsets in `struct rt_sigframe`.
mod at {
    pub const UC: usize = 8;
    pub const STACK: usize = UC + 16;
    pub const REGS: usize = UC + 40;
    pub const SIGMASK: usize = REGS + 256;
    pub const INFO: usize = SIGMASK + 8;
    pub const SIZE: usize = INFO + 128;
}

/// The frame has SS (asm/ucontext.h).
const UC_SIGCONTEXT_SS: u64 = 2;
/// sigreturn takes SS as it is.
const UC_STRICT_RESTORE_SS: u64 = 4;
/// UC_FP_XSTATE: the area is what XSAVE stores.
const UC_FP_XSTATE: u64 = 1;
/// `sigcontext_64`'s general registers in order: indices into [`demotic_engine::GuestState::gpr`].
const ORDER: [usize; 16] =
    [8, 9, 10, 11, 12, 13, 14, 15, reg::RDI, reg::RSI, reg::RBP, reg::RBX, reg::RDX, reg::RAX, reg::RCX, reg::RSP];

/// EFLAGS bits that sigreturn may change (FIX_EFLAGS, arch/x86/include/asm/sighandling.h): AC OF DF TF SF ZF AF PF CF RF.
const FIX_EFLAGS: u32 = 0x50dd5;

/// Code segment selectors of user space under 64-bit kernels (asm/segment.h).
pub mod selector {
    #![allow(missing_docs)]
    pub const CS32: u16 = 0x23;
    pub const DS: u16 = 0x2b;
    pub const CS64: u16 = 0x33;
}

pub(super) fn put(frame: &mut [u8], at: usize, value: u64) {
    frame[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

pub(super) fn get(frame: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&frame[at..at + 8]);
    u64::from_le_bytes(bytes)
}

/// Where frames go: the stack pointer, or the top of the alternate stack (get_sigframe). `None` if the alternate stack
/// has overflowed.
pub(super) fn stack_for_frame(task: &Task, flags: u64, sp: u64, used: impl Fn(u64) -> u64) -> Option<u64> {
    let alt = &task.signal.altstack;
    let nested = alt.contains(task.cpu.state.gpr[reg::RSP]);
    let mut entering = false;
    let mut sp = sp;
    if flags & super::sa::ONSTACK != 0 && alt.size != 0 && !nested {
        sp = alt.sp.wrapping_add(alt.size);
        entering = true;
    }
    let frame = used(sp);
    if (nested || entering) && !alt.holds(frame) {
        return None;
    }
    Some(frame)
}

/// Stores a frame and sets the registers for the handler.
///
/// # Errors
/// EFAULT if the stack is no memory; registers are then unchanged.
pub fn setup(task: &mut Task, action: &super::Action, signo: i32, info: &[u8; 128], mask: u64) -> Result<(), Errno> {
    // Without a restorer there is nowhere to return to, and the kernel refuses.
    if action.flags & super::sa::RESTORER == 0 {
        return Err(Errno::EFAULT);
    }
    // 128 bytes below the stack pointer belong to the interrupted function (x86-64 psABI, the red zone).
    let sp = task.cpu.state.gpr[reg::RSP].wrapping_sub(128);
    let xcr0 = task.process.engine.features().xcr0();
    let fp_at = |sp: u64| sp.wrapping_sub(fpstate::size(xcr0) as u64) & !63;
    let frame_at = |sp: u64| (fp_at(sp).wrapping_sub(at::SIZE as u64) & !15).wrapping_sub(8);
    let frame_addr = stack_for_frame(task, action.flags, sp, frame_at).ok_or(Errno::EFAULT)?;
    // Only the frame's address depends on where it is, so the area's follows from it in the same way.
    let area = area_above(frame_addr);
    let state = &task.cpu.state;

    let mut frame = [0u8; at::SIZE];
    put(&mut frame, 0, action.restorer);
    let strict = if state.mode == Mode::Long { UC_STRICT_RESTORE_SS } else { 0 };
    put(&mut frame, at::UC, UC_SIGCONTEXT_SS | strict | if xcr0 == 0 { 0 } else { UC_FP_XSTATE });
    let alt = task.signal.altstack;
    put(&mut frame, at::STACK, alt.sp);
    put(&mut frame, at::STACK + 8, u64::from(alt.flags));
    put(&mut frame, at::STACK + 16, alt.size);
    for (i, &index) in ORDER.iter().enumerate() {
        put(&mut frame, at::REGS + 8 * i, state.gpr[index]);
    }
    put(&mut frame, at::REGS + 128, state.rip);
    put(&mut frame, at::REGS + 136, u64::from(state.eflags()));
    let selectors = [state.seg_sel[seg::CS], 0, 0, state.seg_sel[seg::SS]];
    for (i, selector) in selectors.iter().enumerate() {
        frame[at::REGS + 144 + 2 * i..][..2].copy_from_slice(&selector.to_le_bytes());
    }
    put(&mut frame, at::REGS + 152, task.signal.trap.error);
    put(&mut frame, at::REGS + 160, task.signal.trap.number);
    put(&mut frame, at::REGS + 168, mask);
    put(&mut frame, at::REGS + 176, task.signal.trap.cr2);
    put(&mut frame, at::REGS + 184, area);
    put(&mut frame, at::SIGMASK, mask);
    if action.flags & super::sa::SIGINFO != 0 {
        frame[at::INFO..].copy_from_slice(info);
    }
    task.mem.write_bytes(area, &fpstate::save(state, xcr0, 0))?;
    task.mem.write_bytes(frame_addr, &frame)?;
    if alt.flags & SS_AUTODISARM != 0 {
        task.signal.altstack = AltStack { sp: 0, flags: SS_DISABLE, size: 0 };
    }

    let state = &mut task.cpu.state;
    state.gpr[reg::RDI] = signo as u64;
    state.gpr[reg::RAX] = 0;
    state.gpr[reg::RSI] = frame_addr + at::INFO as u64;
    state.gpr[reg::RDX] = frame_addr + at::UC as u64;
    state.gpr[reg::RSP] = frame_addr;
    state.rip = action.handler;
    segments::flat64(state);
    clear_entry_flags(task);
    Ok(())
}

/// The flags of a frame, with RF, which is in `sys` until the thread is in guest code again ([`crate::ptrace::watch`]).
pub(super) fn restore_flags(state: &mut GuestState, image: u32) {
    state.set_eflags(state.eflags() & !FIX_EFLAGS | image & FIX_EFLAGS);
    state.sys = state.sys & !eflags::RF | image & eflags::RF;
}

/// A handler starts with DF, TF and RF clear.
pub(super) fn clear_entry_flags(task: &mut Task) {
    let state = &mut task.cpu.state;
    state.sys &= !(eflags::DF | eflags::TF | eflags::RF);
}

/// The FXSAVE area of a frame: the first multiple of 64 behind it.
fn area_above(frame: u64) -> u64 {
    (frame + at::SIZE as u64 + 63) & !63
}

/// rt_sigreturn(2): the registers, mask and alternate stack of the frame at the stack pointer.
///
/// # Errors
/// EFAULT for a frame that cannot be read; the caller forces SIGSEGV.
pub fn sigreturn(task: &mut Task) -> Result<(), Errno> {
    let frame_addr = task.cpu.state.gpr[reg::RSP].wrapping_sub(8);
    let mut frame = [0u8; at::SIZE];
    task.mem.read_bytes(frame_addr, &mut frame)?;
    let area = get(&frame, at::REGS + 184);
    let xcr0 = task.process.engine.features().xcr0();
    let mut image = [0; fpstate::MOST];
    let image = &mut image[..fpstate::size(xcr0)];
    if area != 0 {
        task.mem.read_bytes(area, image)?;
    }
    let cs = get(&frame, at::REGS + 144) as u16 | 3;
    let sp = task.cpu.state.gpr[reg::RSP];
    let state = &mut task.cpu.state;
    for (i, &index) in ORDER.iter().enumerate() {
        state.gpr[index] = get(&frame, at::REGS + 8 * i);
    }
    state.rip = get(&frame, at::REGS + 128);
    let flags = get(&frame, at::REGS + 136) as u32;
    restore_flags(state, flags);
    let ss = (get(&frame, at::REGS + 144) >> 48) as u16 | 3;
    // What cannot be in CS or SS faults when code goes on there.
    segments::resume(state, cs, ss, &*task.process.space);
    let strict = get(&frame, at::UC) & UC_STRICT_RESTORE_SS != 0;
    // force_valid_ss (arch/x86/kernel/signal_64.c), for old programs, whose frames may have anything there.
    if !strict && state.mode == Mode::Long && state.seg[seg::SS] != Segment::DATA {
        segments::resume(state, cs, selector::DS, &*task.process.space);
    }
    if area != 0 {
        fpstate::restore(state, image, xcr0).ok_or(Errno::EFAULT)?;
    } else {
        fpstate::reset(state);
    }
    task.signal.set_blocked(get(&frame, at::SIGMASK));
    let alt = AltStack {
        sp: get(&frame, at::STACK),
        flags: get(&frame, at::STACK + 8) as u32,
        size: get(&frame, at::STACK + 16),
    };
    // Errors of this last step are ignored, as by the kernel.
    let _ = super::syscalls::set_altstack(task, alt, sp);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::at;
    use std::mem::offset_of;

    #[test]
    fn offsets_are_those_of_libc() {
        // glibc's ucontext_t begins with the kernel's structure.
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        {
            assert_eq!(at::STACK - at::UC, offset_of!(libc::ucontext_t, uc_stack));
            assert_eq!(at::REGS - at::UC, offset_of!(libc::ucontext_t, uc_mcontext));
            assert_eq!(at::SIGMASK - at::UC, offset_of!(libc::ucontext_t, uc_sigmask));
            assert_eq!(libc::REG_RIP, 16);
            assert_eq!((libc::REG_EFL, libc::REG_CSGSFS, libc::REG_ERR), (17, 18, 19));
            assert_eq!((libc::REG_TRAPNO, libc::REG_OLDMASK, libc::REG_CR2), (20, 21, 22));
        }
        assert_eq!(at::SIZE, 440);
    }

    #[test]
    fn area_follows_from_the_frame() {
        for sp in 0x7000_0000u64..0x7000_0100 {
            let area = sp.wrapping_sub(512) & !63;
            let frame = ((area - 440) & !15) - 8;
            assert_eq!(super::area_above(frame), area);
        }
    }
}
