//! Signal system calls: sigaction(2), sigprocmask(2), sigsuspend(2), sigaltstack(2), kill(2) and their relatives.

use super::{Action, AltStack, Handlers, SS_AUTODISARM, SS_DISABLE, SS_ONSTACK, UNBLOCKABLE, frame32, frame64, sa};
use crate::abi::siginfo::Siginfo;
use crate::abi::{Abi, Wide, x86_64};
use crate::errno::{Errno, SysResult};
use crate::task::Task;
use demotic_host::capture::Info;
use demotic_host::signal::{self as host, SYNCHRONOUS, Set, bit};
use demotic_x86::state::reg;

const SIGSET: u64 = 8;

fn check_sigset(size: u64) -> Result<(), Errno> {
    if size == SIGSET { Ok(()) } else { Err(Errno::EINVAL) }
}

fn handlers(task: &Task) -> &Handlers {
    &task.process.signals
}

/// Sets and gets an action; the structures have been read.
fn do_sigaction(task: &Task, signo: u64, new: Option<Action>) -> Result<Action, Errno> {
    let signo = signo as i32;
    if !(1..=64).contains(&signo) || new.is_some() && bit(signo) & UNBLOCKABLE != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(match new {
        Some(mut action) => {
            action.flags &= sa::ALL;
            action.mask &= !UNBLOCKABLE;
            // Default and ignore (0 and 1) do not look at anything.
            if action.handler > 1 && SYNCHRONOUS & bit(signo) != 0 {
                task.cpu.engine.show_faults();
            }
            handlers(task).set(signo, action)
        }
        None => handlers(task).get(signo),
    })
}

/// rt_sigaction(2).
pub fn sys_rt_sigaction(task: &mut Task, args: [u64; 6]) -> SysResult {
    let [signo, new, old, size, ..] = args;
    check_sigset(size)?;
    let abi = task.abi;
    let action = match (new, abi) {
        (0, _) => None,
        (_, Abi::X86_64) => {
            let [handler, flags, restorer, mask]: [u64; 4] = task.mem.read(new)?;
            Some(Action { handler, flags, restorer, mask, abi })
        }
        (_, Abi::I386) => {
            let [handler, flags, restorer, low, high] = task.mem.read::<[u32; 5]>(new)?.map(u64::from);
            Some(Action { handler, flags, restorer, mask: low | high << 32, abi })
        }
    };
    let before = do_sigaction(task, signo, action)?;
    if old != 0 {
        match abi {
            Abi::X86_64 => task.mem.write(old, &[before.handler, before.flags, before.restorer, before.mask])?,
            Abi::I386 => {
                let words = [before.handler, before.flags, before.restorer, before.mask, before.mask >> 32];
                task.mem.write(old, &words.map(|w| w as u32))?;
            }
        }
    }
    Ok(0)
}

/// sigaction(2) of i386: handler, mask of one word, flags, restorer.
pub fn sys_sigaction(task: &mut Task, args: [u64; 6]) -> SysResult {
    let [signo, new, old, ..] = args;
    let action = if new == 0 {
        None
    } else {
        let [handler, mask, flags, restorer] = task.mem.read::<[u32; 4]>(new)?.map(u64::from);
        Some(Action { handler, flags, restorer, mask, abi: Abi::I386 })
    };
    let before = do_sigaction(task, signo, action)?;
    if old != 0 {
        let words = [before.handler, before.mask, before.flags, before.restorer];
        task.mem.write(old, &words.map(|w| w as u32))?;
    }
    Ok(0)
}

/// signal(2): one shot, the signal not blocked meanwhile.
pub fn sys_signal(task: &mut Task, args: [u64; 6]) -> SysResult {
    let [signo, handler, ..] = args;
    let flags = sa::RESETHAND | sa::NODEFER;
    let action = Action { handler, flags, restorer: 0, mask: 0, abi: task.abi };
    do_sigaction(task, signo, Some(action)).map(|before| before.handler)
}

/// SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK on the guest's mask.
fn change_mask(task: &mut Task, how: u64, set: Set) -> Result<(), Errno> {
    let blocked = task.signal.blocked;
    let new = match how as i32 {
        libc::SIG_BLOCK => blocked | set,
        libc::SIG_UNBLOCK => blocked & !set,
        libc::SIG_SETMASK => set,
        _ => return Err(Errno::EINVAL),
    };
    task.signal.set_blocked(new);
    Ok(())
}

/// rt_sigprocmask(2).
pub fn sys_rt_sigprocmask(task: &mut Task, args: [u64; 6]) -> SysResult {
    let [how, new, old, size, ..] = args;
    check_sigset(size)?;
    let before = task.signal.blocked;
    if new != 0 {
        let set: Set = task.mem.read(new)?;
        change_mask(task, how, set)?;
    }
    if old != 0 {
        task.mem.write(old, &before)?;
    }
    Ok(0)
}

/// sigprocmask(2) of i386: the first 32 signals; the others stay.
pub fn sys_sigprocmask(task: &mut Task, args: [u64; 6]) -> SysResult {
    let [how, new, old, ..] = args;
    let before = task.signal.blocked;
    if new != 0 {
        let mut set = u64::from(task.mem.read::<u32>(new)?);
        if how as i32 == libc::SIG_SETMASK {
            set |= before & !0xffff_ffff;
        }
        change_mask(task, how, set)?;
    }
    if old != 0 {
        task.mem.write(old, &(before as u32))?;
    }
    Ok(0)
}

/// sgetmask(2).
pub fn sys_sgetmask(task: &mut Task, _args: [u64; 6]) -> SysResult {
    Ok(task.signal.blocked & 0xffff_ffff)
}

/// ssetmask(2).
pub fn sys_ssetmask(task: &mut Task, args: [u64; 6]) -> SysResult {
    let before = task.signal.blocked;
    task.signal.set_blocked(args[0] & 0xffff_ffff);
    Ok(before & 0xffff_ffff)
}

/// Signals pending for this thread: the host's and the ones held here.
fn pending_set(task: &Task) -> Set {
    let held = task.signal.held.iter().fold(0, |set, info| set | bit(info.signo()));
    (host::pending() | held) & task.signal.blocked
}

/// rt_sigpending(2).
pub fn sys_rt_sigpending(task: &mut Task, args: [u64; 6]) -> SysResult {
    if args[1] > SIGSET {
        return Err(Errno::EINVAL);
    }
    let set = pending_set(task).to_le_bytes();
    task.mem.write_bytes(args[0], &set[..args[1] as usize])?;
    Ok(0)
}

/// sigpending(2) of i386.
pub fn sys_sigpending(task: &mut Task, args: [u64; 6]) -> SysResult {
    task.mem.write(args[0], &(pending_set(task) as u32))?;
    Ok(0)
}

fn suspend(task: &mut Task, mask: Set) -> SysResult {
    let mask = mask & !UNBLOCKABLE;
    let old = std::mem::replace(&mut task.signal.blocked, mask);
    // Until the delivery, whatever happens: it puts the old mask into a frame or back.
    task.signal.saved_mask = Some(old);
    if task.signal.held.iter().any(|info| bit(info.signo()) & mask == 0) {
        return Err(Errno::ERESTARTNOHAND);
    }
    let host_mask = mask & !SYNCHRONOUS;
    let args = [&raw const host_mask as usize, SIGSET as usize, 0, 0, 0, 0];
    match task.syscall_blocking(libc::SYS_rt_sigsuspend, args) {
        Err(Errno::ERESTARTNOINTR) => {
            // A signal came before: it is delivered under the old mask.
            task.signal.blocked = old;
            task.signal.saved_mask = None;
            Err(Errno::ERESTARTNOINTR)
        }
        Err(Errno::EINTR | Errno::ERESTARTSYS) | Ok(_) => Err(Errno::ERESTARTNOHAND),
        Err(e) => Err(e),
    }
}

/// rt_sigsuspend(2).
pub fn sys_rt_sigsuspend(task: &mut Task, args: [u64; 6]) -> SysResult {
    check_sigset(args[1])?;
    let mask: Set = task.mem.read(args[0])?;
    suspend(task, mask)
}

/// sigsuspend(2) of i386: the third argument is the mask.
pub fn sys_sigsuspend(task: &mut Task, args: [u64; 6]) -> SysResult {
    suspend(task, args[2] & 0xffff_ffff)
}

/// pause(2).
pub fn sys_pause(task: &mut Task, _args: [u64; 6]) -> SysResult {
    // ppoll without descriptors and time: every host has it.
    #[cfg(target_pointer_width = "64")]
    let nr = libc::SYS_ppoll;
    #[cfg(target_pointer_width = "32")]
    let nr = libc::SYS_ppoll;
    match task.syscall_blocking(nr, [0; 6]) {
        Err(Errno::EINTR | Errno::ERESTARTSYS) | Ok(_) => Err(Errno::ERESTARTNOHAND),
        Err(e) => Err(e),
    }
}

fn timed_wait(task: &mut Task, args: [u64; 6], timeout: Option<x86_64::Timespec>) -> SysResult {
    let [set, info, _, size, ..] = args;
    check_sigset(size)?;
    let set = task.mem.read::<Set>(set)? & !UNBLOCKABLE;
    if let Some(at) = task.signal.held.iter().position(|held| bit(held.signo()) & set != 0) {
        let taken = task.signal.held.remove(at);
        return finish_wait(task, &taken, info);
    }
    let mut taken = Info([0; 128]);
    let host_time: Option<[libc::c_long; 2]> = timeout.map(|t| [t.tv_sec as libc::c_long, t.tv_nsec as libc::c_long]);
    let time = host_time.as_ref().map_or(0, |t| t.as_ptr() as usize);
    let host_args = [&raw const set as usize, &raw mut taken as usize, time, SIGSET as usize, 0, 0];
    match task.syscall_blocking(libc::SYS_rt_sigtimedwait, host_args) {
        Ok(_) => finish_wait(task, &taken, info),
        // signal(7): never restarted.
        Err(Errno::ERESTARTSYS) => Err(Errno::EINTR),
        Err(e) => Err(e),
    }
}

fn finish_wait(task: &Task, taken: &Info, info: u64) -> SysResult {
    if info != 0 {
        task.mem.write(info, &Siginfo::from_host(taken.0).to_guest(task.abi))?;
    }
    Ok(taken.signo() as u64)
}

/// rt_sigtimedwait(2).
pub fn sys_rt_sigtimedwait(task: &mut Task, args: [u64; 6]) -> SysResult {
    let time = match args[2] {
        0 => None,
        at => Some(x86_64::Timespec::load(&task.mem, task.abi, at)?),
    };
    timed_wait(task, args, time)
}

/// rt_sigtimedwait_time64(2) of i386.
pub fn sys_rt_sigtimedwait_time64(task: &mut Task, args: [u64; 6]) -> SysResult {
    let time = match args[2] {
        0 => None,
        at => Some(crate::syscall::time::Clock64::Always.read(task, at)?),
    };
    timed_wait(task, args, time)
}

/// Reads the guest's siginfo for the two queueing calls.
fn read_info(task: &Task, signo: u64, at: u64) -> Result<Info, Errno> {
    let raw: [u8; 128] = task.mem.read(at)?;
    let info = Siginfo { signo: signo as i32, ..Siginfo::from_guest(raw, task.abi) };
    Ok(Info(info.to_host()))
}

fn int(value: u64) -> usize {
    value as i32 as isize as usize
}

/// rt_sigqueueinfo(2).
pub fn sys_rt_sigqueueinfo(task: &mut Task, args: [u64; 6]) -> SysResult {
    let info = read_info(task, args[1], args[2])?;
    task.syscall_host(libc::SYS_rt_sigqueueinfo, [int(args[0]), int(args[1]), &raw const info as usize, 0, 0, 0])
}

/// rt_tgsigqueueinfo(2).
pub fn sys_rt_tgsigqueueinfo(task: &mut Task, args: [u64; 6]) -> SysResult {
    let info = read_info(task, args[2], args[3])?;
    let host_args = [int(args[0]), int(args[1]), int(args[2]), &raw const info as usize, 0, 0];
    task.syscall_host(libc::SYS_rt_tgsigqueueinfo, host_args)
}

/// kill(2).
pub fn sys_kill(task: &mut Task, args: [u64; 6]) -> SysResult {
    task.syscall_host(libc::SYS_kill, [int(args[0]), int(args[1]), 0, 0, 0, 0])
}

/// tkill(2).
pub fn sys_tkill(task: &mut Task, args: [u64; 6]) -> SysResult {
    task.syscall_host(libc::SYS_tkill, [int(args[0]), int(args[1]), 0, 0, 0, 0])
}

/// tgkill(2).
pub fn sys_tgkill(task: &mut Task, args: [u64; 6]) -> SysResult {
    task.syscall_host(libc::SYS_tgkill, [int(args[0]), int(args[1]), int(args[2]), 0, 0, 0])
}

/// MINSIGSTKSZ of x86.
const MINSIGSTKSZ: u64 = 2048;

/// do_sigaltstack (kernel/signal.c): sets the alternate stack of a thread whose stack pointer is `sp`.
///
/// # Errors
/// EPERM on the alternate stack itself, EINVAL for unknown flags, ENOMEM for a stack that is too small.
pub fn set_altstack(task: &mut Task, stack: AltStack, sp: u64) -> Result<(), Errno> {
    if task.signal.altstack.contains(sp) {
        return Err(Errno::EPERM);
    }
    let mode = stack.flags & !SS_AUTODISARM;
    if mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0 {
        return Err(Errno::EINVAL);
    }
    task.signal.altstack = if mode == SS_DISABLE {
        AltStack { sp: 0, flags: stack.flags, size: 0 }
    } else if stack.size < MINSIGSTKSZ {
        return Err(Errno::ENOMEM);
    } else {
        stack
    };
    Ok(())
}

/// sigaltstack(2).
pub fn sys_sigaltstack(task: &mut Task, args: [u64; 6]) -> SysResult {
    let [new, old, ..] = args;
    let sp = task.cpu.state.gpr[reg::RSP];
    let before = task.signal.altstack;
    if new != 0 {
        let stack = match task.abi {
            Abi::X86_64 => {
                let [sp, flags, size]: [u64; 3] = task.mem.read(new)?;
                AltStack { sp, flags: flags as u32, size }
            }
            Abi::I386 => {
                let [sp, flags, size]: [u32; 3] = task.mem.read(new)?;
                AltStack { sp: sp.into(), flags, size: size.into() }
            }
        };
        set_altstack(task, stack, sp)?;
    }
    if old != 0 {
        // sas_ss_flags: SS_DISABLE without a stack, SS_ONSTACK on it.
        let state = if before.size == 0 { SS_DISABLE } else { u32::from(before.contains(sp)) };
        let flags = state | before.flags & SS_AUTODISARM;
        match task.abi {
            Abi::X86_64 => task.mem.write(old, &[before.sp, u64::from(flags), before.size])?,
            Abi::I386 => task.mem.write(old, &[before.sp as u32, flags, before.size as u32])?,
        }
    }
    Ok(0)
}

/// A sigreturn answers with the RAX that it restored; a bad frame is SIGSEGV.
fn returned(task: &mut Task, result: Result<(), Errno>) -> SysResult {
    if result.is_err() {
        let info = Siginfo { signo: libc::SIGSEGV, code: 0x80, ..Siginfo::default() };
        super::deliver::force(task, &info);
    }
    Ok(task.cpu.state.gpr[reg::RAX])
}

/// rt_sigreturn(2).
pub fn sys_rt_sigreturn(task: &mut Task, _args: [u64; 6]) -> SysResult {
    let result = match task.abi {
        Abi::X86_64 => frame64::sigreturn(task),
        Abi::I386 => frame32::rt_sigreturn(task),
    };
    returned(task, result)
}

/// sigreturn(2) of i386.
pub fn sys_sigreturn(task: &mut Task, _args: [u64; 6]) -> SysResult {
    let result = frame32::sigreturn(task);
    returned(task, result)
}

fn do_signalfd(task: &Task, args: [u64; 6], flags: u64) -> SysResult {
    check_sigset(args[2])?;
    let set: Set = task.mem.read(args[1])?;
    let host_args = [int(args[0]), &raw const set as usize, SIGSET as usize, flags as u32 as usize, 0, 0];
    task.syscall_host(libc::SYS_signalfd4, host_args)
}

/// signalfd(2). What is read from it (`signalfd_siginfo`) is the same for all ABIs.
pub fn sys_signalfd(task: &mut Task, args: [u64; 6]) -> SysResult {
    do_signalfd(task, args, 0)
}

/// signalfd4(2); SFD_CLOEXEC and SFD_NONBLOCK have the same values on all hosts we know.
pub fn sys_signalfd4(task: &mut Task, args: [u64; 6]) -> SysResult {
    do_signalfd(task, args, args[3])
}

/// restart_syscall(2): nothing here leaves a restart block, so there is nothing to restart.
pub fn sys_restart_syscall(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::EINTR)
}
