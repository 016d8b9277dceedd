//! ptrace(2) as the tracer calls it: request by request (kernel/ptrace.c, arch/x86/kernel/ptrace.c).

use super::tracer::{self, Stop, option};
use super::{Record, Request, asked, changed, event, kind, meeting, memory, mode, regs, tracee, watch};
use crate::abi::Abi;
use crate::abi::siginfo::Siginfo;
use crate::errno::{Errno, SysResult};
use crate::mm::tls::{GDT_TLS_MIN, UserDesc};
use crate::task::Task;

/// Requests (linux/ptrace.h, asm/ptrace-abi.h).
mod request {
    pub const TRACEME: u32 = 0;
    pub const PEEKTEXT: u32 = 1;
    pub const PEEKDATA: u32 = 2;
    pub const PEEKUSER: u32 = 3;
    pub const POKETEXT: u32 = 4;
    pub const POKEDATA: u32 = 5;
    pub const POKEUSER: u32 = 6;
    pub const CONT: u32 = 7;
    pub const KILL: u32 = 8;
    pub const SINGLESTEP: u32 = 9;
    pub const GETREGS: u32 = 12;
    pub const SETREGS: u32 = 13;
    pub const GETFPREGS: u32 = 14;
    pub const SETFPREGS: u32 = 15;
    pub const ATTACH: u32 = 16;
    pub const DETACH: u32 = 17;
    pub const GETFPXREGS: u32 = 18;
    pub const SETFPXREGS: u32 = 19;
    pub const OLDSETOPTIONS: u32 = 21;
    pub const SYSCALL: u32 = 24;
    pub const GET_THREAD_AREA: u32 = 25;
    pub const SET_THREAD_AREA: u32 = 26;
    pub const ARCH_PRCTL: u32 = 30;
    pub const SYSEMU: u32 = 31;
    pub const SYSEMU_SINGLESTEP: u32 = 32;
    pub const SETOPTIONS: u32 = 0x4200;
    pub const GETEVENTMSG: u32 = 0x4201;
    pub const GETSIGINFO: u32 = 0x4202;
    pub const SETSIGINFO: u32 = 0x4203;
    pub const GETREGSET: u32 = 0x4204;
    pub const SETREGSET: u32 = 0x4205;
    pub const SEIZE: u32 = 0x4206;
    pub const INTERRUPT: u32 = 0x4207;
    pub const LISTEN: u32 = 0x4208;
    pub const PEEKSIGINFO: u32 = 0x4209;
    pub const GETSIGMASK: u32 = 0x420a;
    pub const SETSIGMASK: u32 = 0x420b;
    pub const SECCOMP_GET_FILTER: u32 = 0x420c;
    pub const SECCOMP_GET_METADATA: u32 = 0x420d;
    pub const GET_SYSCALL_INFO: u32 = 0x420e;
}

/// Kinds of register sets (elf.h).
mod note {
    pub const PRSTATUS: u64 = 1;
    pub const PRFPREG: u64 = 2;
    pub const PRXFPREG: u64 = 0x46e6_2b7f;
    pub const XSTATE: u64 = 0x202;
    pub const TLS: u64 = 0x200;
}

/// AUDIT_ARCH_ values.
const ARCH_X86_64: u32 = 0xc000_003e;
const ARCH_I386: u32 = 0x4000_0003;

/// ptrace(2).
pub fn sys_ptrace(task: &mut Task, args: [u64; 6]) -> SysResult {
    if cfg!(not(target_pointer_width = "64")) {
        // Guest addresses have an offset there.
        return Err(Errno::ENOSYS);
    }
    let [what, tid, addr, data, ..] = args;
    let (what, tid) = (what as u32, tid as i32);
    match what {
        request::TRACEME => return tracee::trace_me(task),
        request::ATTACH | request::SEIZE => return attach(task, tid, what == request::SEIZE, addr, data),
        _ => {}
    }
    let Some(known) = tracer::with(|all| all.get(&tid).copied()) else {
        return Err(Errno::ESRCH);
    };
    match what {
        request::KILL => {
            let _ = task.syscall_host(libc::SYS_tkill, [tid as usize, libc::SIGKILL as usize, 0, 0, 0, 0]);
            return Ok(0);
        }
        request::INTERRUPT => {
            return if known.is_seized { tracer::ptrace(task, what, tid, 0, 0) } else { Err(Errno::EIO) };
        }
        _ => {}
    }
    let stop = known.stop.ok_or(Errno::ESRCH)?;
    match what {
        request::CONT
        | request::SYSCALL
        | request::SINGLESTEP
        | request::SYSEMU
        | request::SYSEMU_SINGLESTEP
        | request::DETACH => {
            if data > 64 {
                return Err(Errno::EIO);
            }
            let mode = match what {
                request::CONT => mode::CONT,
                request::SYSCALL => mode::SYSCALL,
                request::SINGLESTEP => mode::STEP,
                request::SYSEMU => mode::EMULATE,
                request::SYSEMU_SINGLESTEP => mode::EMULATE_STEP,
                _ => mode::DETACHED,
            };
            tracer::resume(task, tid, mode, data as i32)
        }
        request::LISTEN => {
            let is_event = (stop.status >> 16) as u32 == event::STOP;
            if !known.is_seized || !is_event || stop.is_own {
                return Err(Errno::EIO);
            }
            tracer::with(|all| all.get_mut(&tid).map(|t| t.stop = None));
            tracer::ptrace(task, what, tid, 0, 0)
        }
        request::SETOPTIONS | request::OLDSETOPTIONS => {
            may_set(task, data, Errno::EINVAL)?;
            tracer::ptrace(task, libc::PTRACE_SETOPTIONS, tid, 0, tracer::host_options(data))?;
            tracer::with(|all| all.get_mut(&tid).map(|t| t.options = data));
            Ok(0)
        }
        request::GETEVENTMSG => {
            let message = event_message(task, tid, &stop);
            store_word(task, data, message)
        }
        request::PEEKTEXT | request::PEEKDATA => {
            let word = memory::peek(task, tid, addr, task.word())?;
            store_word(task, data, word)
        }
        request::POKETEXT | request::POKEDATA => memory::poke(task, tid, addr, task.word(), data),
        request::GETSIGINFO => {
            let info = signal_info(task, tid, &stop)?;
            task.mem.write(data, &info.to_guest(task.abi))?;
            Ok(0)
        }
        request::SETSIGINFO => {
            let info = Siginfo::from_guest(task.mem.read(data)?, task.abi);
            change(task, tid, |record| {
                record.siginfo = info.to_host();
                record.changed |= changed::SIGINFO;
                Ok(0)
            })
        }
        request::PEEKSIGINFO => asked::pending(task, tid, addr, data),
        request::SECCOMP_GET_FILTER => asked::filter(task, tid, addr, data),
        request::SECCOMP_GET_METADATA => asked::filter_metadata(task, tid, addr, data),
        request::GET_SYSCALL_INFO => syscall_info(task, tid, &stop, addr, data),
        _ => registers(task, tid, what, addr, data),
    }
}

/// Whether a tracer may have these options (kernel/ptrace.c, `check_ptrace_options`); `unknown`: the answer to others than the kernel's.
fn may_set(task: &Task, options: u64, unknown: Errno) -> Result<(), Errno> {
    if options & !option::ALL != 0 {
        return Err(unknown);
    }
    let suspends = options & option::SUSPEND_SECCOMP != 0;
    let is_allowed = || crate::seccomp::is_privileged(task) && !task.seccomp.is_active();
    if suspends && !is_allowed() { Err(Errno::EPERM) } else { Ok(()) }
}

/// PTRACE_ATTACH and PTRACE_SEIZE.
fn attach(task: &mut Task, tid: i32, seizes: bool, addr: u64, data: u64) -> SysResult {
    if seizes {
        if addr != 0 {
            return Err(Errno::EIO);
        }
        may_set(task, data, Errno::EIO)?;
    }
    if !tracer::is_ours(tid) {
        return Err(Errno::EPERM);
    }
    meeting::during(task, tid, || -> SysResult {
        if seizes {
            tracer::ptrace(task, request::SEIZE, tid, 0, tracer::host_options(data))?;
            tracer::add(tid, true, data);
            // It may make children before its first stop: where its record is has to be known by then.
            let _ = tracer::ask(task, tid, &Request::Hello);
        } else {
            tracer::ptrace(task, request::ATTACH, tid, 0, 0)?;
            tracer::add(tid, false, 0);
        }
        Ok(0)
    })?;
    crate::signal::hear_of_children(&task.process.signals);
    if !seizes {
        tracer::settle_stopped(task, tid);
    }
    Ok(0)
}

fn store_word(task: &Task, at: u64, word: u64) -> SysResult {
    match task.abi {
        Abi::X86_64 => task.mem.write(at, &word)?,
        Abi::I386 => task.mem.write(at, &(word as u32))?,
    }
    Ok(0)
}

/// Changes a thread's record.
fn change(task: &Task, tid: i32, f: impl FnOnce(&mut Record) -> SysResult) -> SysResult {
    let mut record = exact(task, tid)?;
    let result = f(&mut record);
    tracer::store(task, tid, &record)?;
    result
}

/// The record of a thread whose registers are known.
fn exact(task: &Task, tid: i32) -> Result<Record, Errno> {
    let record = tracer::load(task, tid)?;
    if record.parked != 0 { Ok(record) } else { Err(Errno::EIO) }
}

fn event_message(task: &Task, tid: i32, stop: &Stop) -> u64 {
    let own = || tracer::load(task, tid).ok();
    match stop.kind {
        kind::ENTRY => 1,
        kind::EXIT => 2,
        _ if stop.is_own => own().map_or(0, |record| record.message),
        _ => {
            let mut message = 0usize;
            let _ = tracer::ptrace(task, libc::PTRACE_GETEVENTMSG, tid, 0, &raw mut message as usize);
            message as u64
        }
    }
}

/// The siginfo of a stop (ptrace_do_notify, kernel/signal.c, for those that are none for a signal).
fn signal_info(task: &Task, tid: i32, stop: &Stop) -> Result<Siginfo, Errno> {
    let status = stop.status >> 8;
    match stop.kind {
        kind::SIGNAL => Ok(Siginfo::from_host(exact(task, tid)?.siginfo)),
        kind::PARKED | kind::EVENT if status >> 8 == 0 => Err(Errno::EINVAL),
        _ => {
            let signo = if status >> 8 == event::STOP as i32 { status & 0xff } else { libc::SIGTRAP };
            // SAFETY: no arguments.
            let uid = unsafe { libc::getuid() } as i32;
            Ok(Siginfo { signo, code: status, pid: tid, uid, ..Siginfo::default() })
        }
    }
}

/// PTRACE_GET_SYSCALL_INFO: as much of `struct ptrace_syscall_info` as has room in `size` bytes; the answer is how long it is.
fn syscall_info(task: &Task, tid: i32, stop: &Stop, size: u64, at: u64) -> SysResult {
    let record = exact(task, tid).unwrap_or_else(|_| Record::empty());
    let is_filtered = stop.is_own && stop.kind == kind::EVENT && record.event == event::SECCOMP;
    let is_in_call = stop.kind <= kind::EXIT || is_filtered;
    let arch = if record.is_32bit != 0 || record.is_i386_call != 0 && is_in_call { ARCH_I386 } else { ARCH_X86_64 };
    let mut info = [0u8; 84];
    let op = match stop.kind {
        _ if is_filtered => 3,
        kind::ENTRY => 1,
        kind::EXIT => 2,
        _ => 0,
    };
    info[0] = op;
    info[4..8].copy_from_slice(&arch.to_le_bytes());
    info[8..16].copy_from_slice(&record.rip.to_le_bytes());
    info[16..24].copy_from_slice(&record.gpr[4].to_le_bytes());
    let len = match op {
        1 | 3 => {
            for (slot, word) in info[24..80].chunks_exact_mut(8).zip(record.call) {
                slot.copy_from_slice(&word.to_le_bytes());
            }
            info[80..84].copy_from_slice(&(record.message as u32).to_le_bytes());
            if is_filtered { 84 } else { 80 }
        }
        2 => {
            let rax = record.gpr[0];
            let answer = if record.is_i386_call != 0 { rax as u32 as i32 as i64 } else { rax as i64 };
            info[24..32].copy_from_slice(&answer.to_le_bytes());
            info[32] = u8::from((-4095..0).contains(&answer));
            33
        }
        _ => 24,
    };
    task.mem.write_bytes(at, &info[..len.min(size as usize)])?;
    Ok(len as u64)
}

/// What reads and changes registers.
fn registers(task: &Task, tid: i32, what: u32, addr: u64, data: u64) -> SysResult {
    let wide = task.abi == Abi::X86_64;
    match what {
        request::PEEKUSER => store_word(task, data, peek_user(&exact(task, tid)?, wide, addr)?),
        request::POKEUSER => change(task, tid, |record| poke_user(record, wide, addr, data)),
        request::GETREGS => {
            task.mem.write_bytes(data, &regs::general(&exact(task, tid)?, wide))?;
            Ok(0)
        }
        request::SETREGS => {
            let mut bytes = vec![0; if wide { 8 * regs::WORDS64 } else { 4 * regs::WORDS32 }];
            task.mem.read_bytes(data, &mut bytes)?;
            change(task, tid, |record| fine(regs::set_general(record, wide, &bytes)))
        }
        request::GETFPREGS | request::GETFPXREGS => {
            let record = exact(task, tid)?;
            let whole = wide || what == request::GETFPXREGS;
            let bytes = if whole { regs::fxsave(&record).to_vec() } else { regs::fsave(&record) };
            task.mem.write_bytes(data, &bytes)?;
            Ok(0)
        }
        request::SETFPREGS | request::SETFPXREGS => {
            let whole = wide || what == request::SETFPXREGS;
            let mut bytes = vec![0; if whole { 512 } else { 108 }];
            task.mem.read_bytes(data, &mut bytes)?;
            change(task, tid, |record| {
                if whole {
                    regs::set_fp(record, &bytes)
                } else {
                    regs::set_fsave(record, &bytes)
                }
                Ok(0)
            })
        }
        request::GETREGSET | request::SETREGSET => regset(task, tid, what == request::SETREGSET, addr, data),
        request::GETSIGMASK | request::SETSIGMASK => {
            if addr != 8 {
                return Err(Errno::EINVAL);
            }
            if what == request::GETSIGMASK {
                task.mem.write(data, &exact(task, tid)?.blocked)?;
                return Ok(0);
            }
            let mask = task.mem.read(data)?;
            change(task, tid, |record| {
                record.blocked = mask;
                record.changed |= changed::MASK;
                Ok(0)
            })
        }
        request::GET_THREAD_AREA | request::SET_THREAD_AREA => {
            let index = (addr as u32).wrapping_sub(GDT_TLS_MIN) as usize;
            let slot = *exact(task, tid)?.tls.get(index).ok_or(Errno::EINVAL)?;
            if what == request::GET_THREAD_AREA {
                let [base, limit, flags] = slot;
                task.mem.write(data, &UserDesc { entry_number: addr as u32, base, limit, flags })?;
                return Ok(0);
            }
            let desc: UserDesc = task.mem.read(data)?;
            change(task, tid, |record| {
                record.tls[index] = [desc.base, desc.limit, desc.flags & 0xff];
                record.changed |= changed::TLS;
                Ok(0)
            })
        }
        request::ARCH_PRCTL if wide => {
            // ARCH_SET_GS, ARCH_SET_FS, ARCH_GET_FS, ARCH_GET_GS; address and data are the other way round.
            let word = if matches!(data, 0x1002 | 0x1003) { 21 } else { 22 };
            match data {
                0x1001 | 0x1002 => change(task, tid, |record| fine(regs::set_word(record, true, word, addr))),
                0x1003 | 0x1004 => store_word(task, addr, regs::word(&exact(task, tid)?, true, word).unwrap_or(0)),
                _ => Err(Errno::EINVAL),
            }
        }
        _ => Err(Errno::EIO),
    }
}

fn fine(is_fine: bool) -> SysResult {
    if is_fine { Ok(0) } else { Err(Errno::EIO) }
}

/// `sizeof(struct user)` and `offsetof(struct user, u_debugreg)`.
fn user(wide: bool) -> (u64, u64) {
    if wide { (928, 848) } else { (284, 252) }
}

fn peek_user(record: &Record, wide: bool, at: u64) -> SysResult {
    let size = if wide { 8 } else { 4 };
    if at % size != 0 || at >= user(wide).0 {
        return Err(Errno::EIO);
    }
    let debug = user(wide).1;
    if let Some(n) = at.checked_sub(debug).map(|offset| (offset / size) as usize).filter(|n| *n < 8) {
        let value = watch::read(&record.debug, n);
        return Ok(if wide { value } else { value & 0xffff_ffff });
    }
    // What the kernel leaves empty reads as 0.
    Ok(regs::word(record, wide, (at / size) as usize).unwrap_or(0))
}

fn poke_user(record: &mut Record, wide: bool, at: u64, value: u64) -> SysResult {
    let size = if wide { 8 } else { 4 };
    let (end, debug) = user(wide);
    if at % size != 0 || at >= end {
        return Err(Errno::EIO);
    }
    if let Some(n) = at.checked_sub(debug).map(|offset| (offset / size) as usize) {
        record.changed |= changed::DEBUG;
        let refused = |is_invalid| if is_invalid { Errno::EINVAL } else { Errno::EIO };
        return watch::write(&mut record.debug, n, value).map(|()| 0).map_err(refused);
    }
    fine(regs::set_word(record, wide, (at / size) as usize, value))
}

/// PTRACE_GETREGSET and PTRACE_SETREGSET: the layout is the traced thread's.
fn regset(task: &Task, tid: i32, sets: bool, set: u64, at: u64) -> SysResult {
    let (base, len) = match task.abi {
        Abi::X86_64 => {
            let [base, len]: [u64; 2] = task.mem.read(at)?;
            (base, len)
        }
        Abi::I386 => {
            let [base, len]: [u32; 2] = task.mem.read(at)?;
            (base.into(), len.into())
        }
    };
    let mut record = exact(task, tid)?;
    let wide = record.is_32bit == 0;
    let unit = match set {
        note::PRSTATUS if wide => 8,
        note::PRFPREG if !wide => 4,
        note::TLS => 16,
        note::XSTATE => 8,
        _ => 4,
    };
    if len % unit != 0 {
        return Err(Errno::EINVAL);
    }
    let bytes = match set {
        note::PRSTATUS => regs::general(&record, wide),
        note::PRFPREG if wide => regs::fxsave(&record).to_vec(),
        note::PRFPREG => regs::fsave(&record),
        note::PRXFPREG if !wide => regs::fxsave(&record).to_vec(),
        note::XSTATE => regs::xsave(&record).ok_or(Errno::ENODEV)?,
        _ => return Err(Errno::EINVAL),
    };
    let len = bytes.len().min(len as usize);
    if sets {
        let mut new = bytes;
        task.mem.read_bytes(base, &mut new[..len])?;
        let is_fine = match set {
            note::PRSTATUS => regs::set_general(&mut record, wide, &new[..len]),
            note::PRFPREG if !wide => {
                regs::set_fsave(&mut record, &new);
                true
            }
            _ => {
                regs::set_fp(&mut record, &new[..len]);
                true
            }
        };
        tracer::store(task, tid, &record)?;
        fine(is_fine)?;
    } else {
        task.mem.write_bytes(base, &bytes[..len])?;
    }
    match task.abi {
        Abi::X86_64 => task.mem.write(at + 8, &(len as u64))?,
        Abi::I386 => task.mem.write(at + 4, &(len as u32))?,
    }
    Ok(0)
}
