//! The i386 signal frames: what ia32_setup_frame, ia32_setup_rt_frame and the two sigreturns do
//! (arch/x86/kernel/signal_32.c as 64-bit kernels build it for 32-bit programs).
//!
//! Two kinds: the old `sigframe` for handlers without SA_SIGINFO, and `rt_sigframe`. Behind either lies the floating-point
//! area: an FSAVE header of 112 bytes, then the image of FXSAVE or XSAVE, aligned to 64. There is no vDSO; a handler without restorer
//! returns to Demotic's trampoline page, whose code is that of the kernel's `retcode`.

use super::frame64::{clear_entry_flags, restore_flags, stack_for_frame};
use super::{AltStack, SS_AUTODISARM, SS_DISABLE, fpstate, sa};
use crate::errno::Errno;
use crate::task::Task;
use demotic_engine::segments;
use demotic_x86::state::{reg, seg};

/// Offsets in `struct sigframe_ia32`.
mod old {
    pub const SIG: usize = 4;
    pub const REGS: usize = 8;
    /// Behind `sigcontext_32` (88 bytes) and the unused `_fpstate_32` (624 bytes).
    pub const EXTRAMASK: usize = REGS + 88 + 624;
    pub const RETCODE: usize = EXTRAMASK + 4;
    pub const SIZE: usize = RETCODE + 8;
}

/// Offsets in `struct rt_sigframe_ia32`.
mod rt {
    pub const SIG: usize = 4;
    pub const PINFO: usize = 8;
    pub const PUC: usize = 12;
    pub const INFO: usize = 16;
    pub const UC: usize = INFO + 128;
    pub const STACK: usize = UC + 8;
    pub const REGS: usize = UC + 20;
    pub const SIGMASK: usize = REGS + 88;
    pub const RETCODE: usize = SIGMASK + 8;
    pub const SIZE: usize = RETCODE + 8;
}

/// Bytes of `fregs_state`, the FSAVE header before the FXSAVE image.
const FSAVE: u64 = 112;
/// `pop %eax; mov $119, %eax; int $0x80`: sigreturn(2).
pub const RETCODE: [u8; 8] = [0x58, 0xb8, 119, 0, 0, 0, 0xcd, 0x80];
/// `mov $173, %eax; int $0x80`: rt_sigreturn(2).
pub const RT_RETCODE: [u8; 8] = [0xb8, 173, 0, 0, 0, 0xcd, 0x80, 0];

/// `sigcontext_32`'s segment registers in order.
const SEGMENTS: [usize; 4] = [seg::GS, seg::FS, seg::ES, seg::DS];
/// Then its general registers.
const ORDER: [usize; 8] = [reg::RDI, reg::RSI, reg::RBP, reg::RSP, reg::RBX, reg::RDX, reg::RCX, reg::RAX];

fn put(frame: &mut [u8], at: usize, value: u64) {
    frame[at..at + 4].copy_from_slice(&(value as u32).to_le_bytes());
}

fn get(frame: &[u8], at: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&frame[at..at + 4]);
    u32::from_le_bytes(bytes)
}

/// The components of the guest's XSAVE.
fn xcr0(task: &Task) -> u64 {
    task.process.engine.features().xcr0()
}

/// The floating-point area: header and image.
fn fp_area(task: &Task) -> Vec<u8> {
    let state = &task.cpu.state;
    let x87 = &state.x87;
    let mut area = vec![0u8; FSAVE as usize];
    // convert_from_fxsr (arch/x86/kernel/fpu/regset.c).
    put(&mut area, 0, u64::from(x87.cw) | 0xffff_0000);
    put(&mut area, 4, u64::from(x87.sw) | 0xffff_0000);
    put(&mut area, 8, u64::from(fpstate::full_tags(state)) | 0xffff_0000);
    let (_, fip, fdp) = x87.pending_pointers();
    put(&mut area, 12, fip & 0xffff_ffff);
    put(&mut area, 16, u64::from(state.seg_sel[seg::CS]));
    put(&mut area, 20, fdp & 0xffff_ffff);
    put(&mut area, 24, u64::from(state.seg_sel[seg::DS]) | 0xffff_0000);
    for i in 0..8 {
        let st = x87.st[(x87.top() + i) & 7];
        let at = 28 + 10 * i;
        area[at..at + 8].copy_from_slice(&st.mant.to_le_bytes());
        area[at + 8..at + 10].copy_from_slice(&st.se.to_le_bytes());
    }
    // `status`, then X86_FXSR_MAGIC (0): an image follows.
    area[108..110].copy_from_slice(&x87.sw.to_le_bytes());
    area.extend(fpstate::save(state, xcr0(task), FSAVE as usize));
    area
}

/// Fills `sigcontext_32`.
fn put_context(task: &Task, frame: &mut [u8], at: usize, area: u64, mask: u64) {
    let state = &task.cpu.state;
    for (i, &segment) in SEGMENTS.iter().enumerate() {
        put(frame, at + 4 * i, u64::from(state.seg_sel[segment]));
    }
    for (i, &index) in ORDER.iter().enumerate() {
        put(frame, at + 16 + 4 * i, state.gpr[index]);
    }
    put(frame, at + 48, task.signal.trap.number);
    put(frame, at + 52, task.signal.trap.error);
    put(frame, at + 56, state.rip);
    put(frame, at + 60, u64::from(state.seg_sel[seg::CS]));
    put(frame, at + 64, u64::from(state.eflags()));
    put(frame, at + 68, state.gpr[reg::RSP]);
    put(frame, at + 72, u64::from(state.seg_sel[seg::SS]));
    put(frame, at + 76, area);
    put(frame, at + 80, mask);
    put(frame, at + 84, task.signal.trap.cr2);
}

/// Where the area and a frame of `size` bytes go (fpu__alloc_mathframe, get_sigframe).
fn place(task: &Task, action: &super::Action, size: usize) -> Result<(u64, u64), Errno> {
    let image = fpstate::size(xcr0(task)) as u64;
    let area_at = |sp: u64| (sp.wrapping_sub(image) & 0xffff_ffff & !63).wrapping_sub(FSAVE);
    let frame_at = |sp: u64| {
        let sp = area_at(sp).wrapping_sub(size as u64);
        ((sp.wrapping_add(4) & !15).wrapping_sub(4)) & 0xffff_ffff
    };
    let sp = task.cpu.state.gpr[reg::RSP] & 0xffff_ffff;
    let flags = action.flags;
    let flat = task.cpu.state.seg_sel[seg::SS] == segments::selector::USER_DS;
    let legacy = flags & (sa::ONSTACK | sa::RESTORER) == 0 && action.restorer != 0 && !flat;
    let frame = if legacy && !task.signal.altstack.contains(sp) {
        // What has a stack segment of its own names a flat stack as restorer; the kernel wants the frame in the alternate stack then
        // (get_sigframe, arch/x86/kernel/signal.c).
        Some(frame_at(action.restorer)).filter(|frame| task.signal.altstack.contains(*frame)).ok_or(Errno::EFAULT)?
    } else {
        stack_for_frame(task, flags, sp, frame_at).ok_or(Errno::EFAULT)?
    };
    // The area's distance from the frame follows from the alignment: its image starts at a multiple of 64.
    let area = ((frame + size as u64 + FSAVE + 63) & !63) - FSAVE;
    Ok((frame, area))
}

/// Stores a frame and sets the registers for the handler.
///
/// # Errors
/// EFAULT if the stack is no memory; registers are then unchanged.
pub fn setup(task: &mut Task, action: &super::Action, signo: i32, info: &[u8; 128], mask: u64) -> Result<(), Errno> {
    let with_info = action.flags & sa::SIGINFO != 0;
    let size = if with_info { rt::SIZE } else { old::SIZE };
    let (frame_addr, area) = place(task, action, size)?;
    let restorer = if action.flags & sa::RESTORER != 0 {
        action.restorer
    } else {
        task.process.trampolines.wrapping_add(if with_info { RETCODE.len() as u64 } else { 0 })
    };
    let alt = task.signal.altstack;
    let mut frame = [0u8; old::SIZE];
    let frame = &mut frame[..size];
    put(frame, 0, restorer);
    if with_info {
        put(frame, rt::SIG, signo as u64);
        put(frame, rt::PINFO, frame_addr + rt::INFO as u64);
        put(frame, rt::PUC, frame_addr + rt::UC as u64);
        frame[rt::INFO..rt::UC].copy_from_slice(info);
        put(frame, rt::STACK, alt.sp);
        put(frame, rt::STACK + 4, u64::from(alt.flags));
        put(frame, rt::STACK + 8, alt.size);
        put_context(task, frame, rt::REGS, area, mask);
        frame[rt::SIGMASK..rt::SIGMASK + 8].copy_from_slice(&mask.to_le_bytes());
        frame[rt::RETCODE..].copy_from_slice(&RT_RETCODE);
    } else {
        put(frame, old::SIG, signo as u64);
        put_context(task, frame, old::REGS, area, mask);
        put(frame, old::EXTRAMASK, mask >> 32);
        frame[old::RETCODE..].copy_from_slice(&RETCODE);
    }
    task.mem.write_bytes(area, &fp_area(task))?;
    task.mem.write_bytes(frame_addr, frame)?;
    if with_info && alt.flags & SS_AUTODISARM != 0 {
        task.signal.altstack = AltStack { sp: 0, flags: SS_DISABLE, size: 0 };
    }

    let state = &mut task.cpu.state;
    state.gpr[reg::RSP] = frame_addr;
    state.gpr[reg::RAX] = signo as u64;
    // For handlers with register arguments (-mregparm=3).
    state.gpr[reg::RDX] = if with_info { frame_addr + rt::INFO as u64 } else { 0 };
    state.gpr[reg::RCX] = if with_info { frame_addr + rt::UC as u64 } else { 0 };
    state.rip = action.handler;
    segments::flat32(state);
    clear_entry_flags(task);
    Ok(())
}

/// Takes over a `sigcontext_32`.
fn restore_context(task: &mut Task, context: &[u8; 88]) -> Result<(), Errno> {
    let area = u64::from(get(context, 76));
    let mut image = [0; fpstate::MOST];
    let xcr0 = xcr0(task);
    let image = &mut image[..fpstate::size(xcr0)];
    let mut header = [0; FSAVE as usize];
    if area != 0 {
        task.mem.read_bytes(area, &mut header)?;
        task.mem.read_bytes(area + FSAVE, image)?;
    }
    let state = &mut task.cpu.state;
    // What cannot be in CS or SS faults when code goes on there.
    segments::resume(state, get(context, 60) as u16 | 3, get(context, 72) as u16 | 3, &*task.process.space);
    for (i, &segment) in SEGMENTS.iter().enumerate() {
        let selector = get(context, 4 * i) as u16;
        let selector = if selector & !3 == 0 { selector } else { selector | 3 };
        if selector != state.seg_sel[segment] {
            segments::load_or_null(state, segment, selector, &*task.process.space);
        }
    }
    for (i, &index) in ORDER.iter().enumerate() {
        state.gpr[index] = u64::from(get(context, 16 + 4 * i));
    }
    state.rip = u64::from(get(context, 56));
    restore_flags(state, get(context, 64));
    if area != 0 {
        // What the kernel masks in frames of 32-bit programs.
        image[26..28].fill(0);
        fpstate::restore(state, image, xcr0).ok_or(Errno::EFAULT)?;
        restore_fsave_header(task, &header);
    } else {
        fpstate::reset(state);
    }
    Ok(())
}

/// The x87 part comes from the FSAVE header, which old programs change (convert_to_fxsr).
fn restore_fsave_header(task: &mut Task, header: &[u8; FSAVE as usize]) {
    let x87 = &mut task.cpu.state.x87;
    x87.cw = get(header, 0) as u16;
    x87.sw = get(header, 4) as u16;
    let tags = get(header, 8);
    x87.valid = (0..8).fold(0, |valid, i| valid | u8::from(tags >> (2 * i) & 3 != 3) << i);
    x87.fop = (get(header, 16) >> 16) as u16 & 0x7ff;
    x87.fip = u64::from(get(header, 12));
    x87.fdp = u64::from(get(header, 20));
    let top = x87.top();
    for i in 0..8 {
        let at = 28 + 10 * i;
        let st = &mut x87.st[(top + i) & 7];
        let mut mant = [0; 8];
        mant.copy_from_slice(&header[at..at + 8]);
        st.mant = u64::from_le_bytes(mant);
        st.se = u16::from_le_bytes([header[at + 8], header[at + 9]]);
    }
}

/// sigreturn(2): the trampoline has popped the return address and then the signal number.
///
/// # Errors
/// EFAULT for a frame that cannot be read; the caller forces SIGSEGV.
pub fn sigreturn(task: &mut Task) -> Result<(), Errno> {
    let frame_addr = (task.cpu.state.gpr[reg::RSP] & 0xffff_ffff).wrapping_sub(8);
    let mut frame = [0u8; old::SIZE];
    task.mem.read_bytes(frame_addr, &mut frame)?;
    let mut context = [0; 88];
    context.copy_from_slice(&frame[old::REGS..old::REGS + 88]);
    let mask = u64::from(get(&context, 80)) | u64::from(get(&frame, old::EXTRAMASK)) << 32;
    restore_context(task, &context)?;
    task.signal.set_blocked(mask);
    Ok(())
}

/// rt_sigreturn(2): the return address has been popped.
///
/// # Errors
/// EFAULT for a frame that cannot be read; the caller forces SIGSEGV.
pub fn rt_sigreturn(task: &mut Task) -> Result<(), Errno> {
    let sp = task.cpu.state.gpr[reg::RSP] & 0xffff_ffff;
    let mut frame = [0u8; rt::SIZE];
    task.mem.read_bytes(sp.wrapping_sub(4), &mut frame)?;
    let mut context = [0; 88];
    context.copy_from_slice(&frame[rt::REGS..rt::REGS + 88]);
    restore_context(task, &context)?;
    task.signal.set_blocked(u64::from(get(&frame, rt::SIGMASK)) | u64::from(get(&frame, rt::SIGMASK + 4)) << 32);
    let alt = AltStack {
        sp: u64::from(get(&frame, rt::STACK)),
        flags: get(&frame, rt::STACK + 4),
        size: u64::from(get(&frame, rt::STACK + 8)),
    };
    // Errors of this last step are ignored, as by the kernel.
    let _ = super::syscalls::set_altstack(task, alt, sp);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_the_kernels() {
        // sizeof in 64-bit kernels (pahole of sigframe_ia32 and rt_sigframe_ia32).
        assert_eq!((old::SIZE, rt::SIZE), (732, 268));
    }

    #[test]
    fn area_follows_from_the_frame() {
        for size in [old::SIZE as u64, rt::SIZE as u64] {
            for sp in 0x7000_0000u64..0x7000_0200 {
                let area = ((sp - 512) & !63) - FSAVE;
                let frame = ((area - size + 4) & !15) - 4;
                assert_eq!(((frame + size + FSAVE + 63) & !63) - FSAVE, area);
            }
        }
    }
}
