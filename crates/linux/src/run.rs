//! The thread loop: run guest code, answer what it asks for, deliver signals.

use crate::abi::Abi;
use crate::errno::Errno;
use crate::ptrace::{Request, tracee, watch};
use crate::seccomp;
use crate::signal::deliver::{self, Interrupted};
use crate::syscall;
use crate::task::Task;
use demotic_engine::exit::{Exception, Exit, SyscallEntry};
use demotic_host::capture;
use demotic_host::signal as host;
use demotic_ir::state::eflags;
use demotic_x86::state::{Mode, reg};
use std::sync::Arc;

/// Runs a thread until it calls exit(2); its status.
pub fn run(task: &mut Task) -> i32 {
    if task.trace.leaves_exec && task.signal.needs_delivery() {
        deliver::pending(task, None);
    }
    loop {
        let mut interrupted = None;
        if task.trace.on {
            tracee::arm(task);
        }
        crate::mm::tls::refresh(task);
        let resumes = task.cpu.state.sys & eflags::RF != 0;
        task.cpu.state.sys &= !eflags::RF;
        let exit = if task.passes {
            let Some(exit) = crate::gdb::passed_over(task) else { continue };
            exit
        } else if watch::is_on(&task.trace.debug) {
            // Whoever has set them need not trace the thread any more.
            let Some(exit) = watch::run(task, resumes) else { continue };
            exit
        } else {
            task.cpu.run()
        };
        match exit {
            Exit::Syscall(entry) => interrupted = system_call(task, entry),
            Exit::Exception(exception) if vsyscall(task, &exception) => {}
            Exit::Exception(exception) if crate::gdb::stopped_at(task, &exception) => {}
            Exit::Exception(exception) => {
                tracee::leave_code(task);
                deliver::exception(task, &exception);
            }
            Exit::Attention => {
                interrupted = deliver::interrupted_again(task);
                if interrupted.is_none() {
                    task.trace.origin = u64::MAX;
                }
            }
        }
        if let Some(status) = task.exiting {
            return status;
        }
        if interrupted.is_some() || task.signal.needs_delivery() {
            deliver::pending(task, interrupted);
        }
    }
}

/// One system call. Returns what is to be restarted or to become EINTR.
fn system_call(task: &mut Task, entry: SyscallEntry) -> Option<Interrupted> {
    let abi = if entry == SyscallEntry::Syscall { Abi::X86_64 } else { Abi::I386 };
    // Whatever becomes of this call, the one before it is over.
    let again = task.signal.restarted.take();
    if !task.trace.on {
        return call(task, entry, abi, again);
    }
    let mut interrupted = None;
    match tracee::enter_call(task, abi) {
        Some(answer) => set_answer(task, abi, answer),
        None => interrupted = call(task, entry, abi, again),
    }
    if task.exiting.is_none() && task.trace.on {
        tracee::leave_call(task, &mut interrupted);
    }
    interrupted
}

fn set_answer(task: &mut Task, abi: Abi, value: u64) {
    task.cpu.state.gpr[reg::RAX] = if abi == Abi::I386 { value & 0xffff_ffff } else { value };
}

/// Whether a call is to be made again or to answer EINTR.
fn is_restart(errno: Errno) -> bool {
    (Errno::ERESTARTSYS.0..=Errno::ERESTART_RESTARTBLOCK.0).contains(&errno.0)
}

/// The call in the registers, which ended in that errno.
fn restarted(task: &Task, abi: Abi, errno: Errno, again: Option<(u64, Interrupted)>) -> Interrupted {
    // The kernel's thread has never left the call that is only here made a second time.
    let before = again.filter(|(at, _)| at.wrapping_add(deliver::INSTRUCTION) == task.cpu.state.rip);
    let errno = before.filter(|_| errno == Errno::ERESTARTNOINTR).map_or(errno, |(_, call)| call.errno);
    Interrupted { errno, number: task.cpu.state.gpr[reg::RAX], abi }
}

/// The call itself; `again` is the one that was interrupted before, with the address of its instruction.
fn call(task: &mut Task, entry: SyscallEntry, abi: Abi, again: Option<(u64, Interrupted)>) -> Option<Interrupted> {
    if task.seccomp.is_active() {
        let mut is_traced = false;
        loop {
            let (nr, args) = syscall::registers(task, entry);
            match seccomp::judge(task, abi, nr, &args, is_traced) {
                seccomp::Verdict::Allow => break,
                seccomp::Verdict::Answer(answer) => {
                    set_answer(task, abi, answer.unwrap_or_else(Errno::to_ret));
                    return None;
                }
                seccomp::Verdict::Notify => {
                    let call = seccomp::listener::Call { abi, nr, ip: task.cpu.state.rip, args };
                    match seccomp::listener::ask(task, &call) {
                        Ok(None) => break,
                        Ok(Some(value)) => set_answer(task, abi, value),
                        Err(errno) if is_restart(errno) => return Some(restarted(task, abi, errno, again)),
                        Err(errno) => set_answer(task, abi, errno.to_ret()),
                    }
                    return None;
                }
                seccomp::Verdict::Trace(message) => {
                    if let Some(answer) = tracee::filtered(task, message) {
                        set_answer(task, abi, answer);
                        return None;
                    }
                    is_traced = true;
                }
                seccomp::Verdict::Nothing => return None,
            }
        }
    }
    let value = match syscall::dispatch(task, entry) {
        Ok(value) => value,
        Err(errno) if is_restart(errno) => return Some(restarted(task, abi, errno, again)),
        Err(errno) => errno.to_ret(),
    };
    set_answer(task, abi, value);
    None
}

/// The legacy vsyscall page of x86-64 (arch/x86/entry/vsyscall/vsyscall_64.c): a call to one of its three entries is a
/// system call and a return. Programs without a vDSO parser, like Go before 1.9 when it finds no vDSO, still use it.
fn vsyscall(task: &mut Task, exception: &Exception) -> bool {
    const FETCH: u32 = 16;
    let number = match exception.address {
        0xffff_ffff_ff60_0000 => 96,  // gettimeofday
        0xffff_ffff_ff60_0400 => 201, // time
        0xffff_ffff_ff60_0800 => 309, // getcpu
        _ => return false,
    };
    let state = &task.cpu.state;
    if exception.vector != 14 || exception.error_code & FETCH == 0 || state.mode != Mode::Long {
        return false;
    }
    let stack = state.gpr[reg::RSP];
    let Ok(back) = task.mem.read::<u64>(stack) else { return false };
    task.cpu.state.gpr[reg::RAX] = number;
    let value = syscall::dispatch(task, SyscallEntry::Syscall).unwrap_or_else(Errno::to_ret);
    let state = &mut task.cpu.state;
    state.gpr[reg::RAX] = value;
    state.rip = back;
    state.gpr[reg::RSP] = stack.wrapping_add(8);
    true
}

/// Makes the calling host thread the task's: signals go to it from now on. Ends with the guest's mask in force.
///
/// # Errors
/// When the host gives no alternate signal stack.
pub fn adopt_thread(task: &mut Task) -> std::io::Result<()> {
    demotic_host::guarded::install()?;
    // SAFETY: the task outlives its stay on this thread: `leave_thread` is called before it is dropped.
    unsafe { capture::enter(Arc::as_ptr(&task.signal.captured)) };
    task.signal.sync_host_mask();
    Ok(())
}

/// The end of a guest thread: what the kernel does in exit(2) besides ending it. All signals stay blocked afterwards.
pub fn leave_thread(task: &mut Task) {
    host::set_mask(!host::SYNCHRONOUS);
    capture::leave();
    // Signals to the process that this thread had taken are for the others; those to the thread are lost with it.
    for info in task.signal.captured.take() {
        let info = match Request::decode(&info) {
            Some(Request::Signal(original)) => original,
            Some(_) => continue,
            None => info,
        };
        if info.code() != libc::SI_TKILL {
            // SAFETY: getpid has no arguments.
            let pid = unsafe { demotic_host::sys::syscall6(libc::SYS_getpid, [0; 6]) } as usize;
            let args = [pid, info.signo() as usize, &raw const info as usize, 0, 0, 0];
            let _ = task.syscall_host(libc::SYS_rt_sigqueueinfo, args);
        }
    }
    crate::futex::release_robust(task);
    if task.clear_child_tid != 0 {
        let at = task.clear_child_tid;
        if task.mem.write(at, &0u32).is_ok() {
            crate::futex::wake(task, at, 1);
        }
    }
}
