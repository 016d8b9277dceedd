//! Delivery: from a captured signal or a processor exception to a frame, a default action, or a restarted system call.
//!
//! Order as in the kernel's exit path (arch/x86/kernel/signal.c, arch_do_signal_or_restart): exceptions of the instruction
//! first, then captured signals; a system call that a signal interrupted is set up for restart or for EINTR before the first
//! frame is built, so that the frame holds the right registers; when no handler runs, it is restarted.

use super::{Action, SIG_DFL, SIG_IGN, UNBLOCKABLE, fpstate, frame32, frame64, sa};
use crate::abi::Abi;
use crate::abi::siginfo::Siginfo;
use crate::errno::Errno;
use crate::ptrace::{Request, tracee, watch};
use crate::task::Task;
use demotic_engine::exit::Exception;
use demotic_host::capture::Info;
use demotic_host::signal::{self as host, SYNCHRONOUS, bit};
use demotic_ir::state::eflags;
use demotic_x86::state::reg;

/// A system call that answered one of the ERESTART codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interrupted {
    /// Which code.
    pub errno: Errno,
    /// RAX at the instruction: the system call's number.
    pub number: u64,
    /// The table it came from.
    pub abi: Abi,
}

const SI_KERNEL: i32 = 0x80;

/// si_code values (asm-generic/siginfo.h).
mod code {
    pub const ILL_ILLOPN: i32 = 2;
    pub const FPE_INTDIV: i32 = 1;
    pub const FPE_FLTDIV: i32 = 3;
    pub const FPE_FLTOVF: i32 = 4;
    pub const FPE_FLTUND: i32 = 5;
    pub const FPE_FLTRES: i32 = 6;
    pub const FPE_FLTINV: i32 = 7;
}
/// Bytes of `syscall`, `int $0x80` and `sysenter`.
pub(crate) const INSTRUCTION: u64 = 2;

/// Delivers everything that can be delivered and settles an interrupted system call. Afterwards the host's mask is the
/// guest's.
pub fn pending(task: &mut Task, interrupted: Option<Interrupted>) {
    one_round(task, interrupted);
    // With the mask open, the next signal of several comes at once. As in the kernel all frames are there before the first
    // instruction of a handler runs.
    while task.signal.captured.any() {
        let interrupted = interrupted_again(task);
        one_round(task, interrupted);
    }
}

fn one_round(task: &mut Task, interrupted: Option<Interrupted>) {
    let mut interrupted = interrupted;
    loop {
        let mut infos = std::mem::take(&mut task.signal.held);
        infos.extend(task.signal.captured.take());
        if task.trace.leaves_exec {
            // The stop of execve(2) itself, and of its end, come before any signal.
            infos.sort_by_key(|info| matches!(Request::decode(info), None | Some(Request::Signal(_))));
        }
        for info in infos {
            arrived(task, info, &mut interrupted);
        }
        // What a tracer asked for meanwhile belongs to the same call.
        if interrupted.is_none() || !task.signal.captured.any() {
            break;
        }
    }
    if let Some(call) = interrupted {
        restart(task, call);
    }
    // No handler ran, else its frame holds the old mask.
    if let Some(mask) = task.signal.saved_mask.take() {
        task.signal.blocked = mask;
    }
    task.signal.sync_host_mask();
}

/// One that was captured: a signal, or what a tracer asks for.
fn arrived(task: &mut Task, info: Info, interrupted: &mut Option<Interrupted>) {
    let info = match Request::decode(&info) {
        Some(Request::Signal(original)) => {
            tracee::begin(task);
            original
        }
        Some(request) => {
            tracee::answer(task, &request, interrupted);
            return;
        }
        None => info,
    };
    tracee::leave_exec(task);
    if bit(info.signo()) & task.signal.blocked != 0 {
        put_back(task, info);
        return;
    }
    one(task, &Siginfo::from_host(info.0), interrupted);
}

/// Before an exec: what was captured goes back into the kernel's queue, where the new program finds it. Everything must be
/// blocked on the host.
pub fn put_all_back(task: &mut Task) {
    for info in task.signal.captured.take() {
        match Request::decode(&info) {
            Some(Request::Signal(original)) => put_back(task, original),
            Some(_) => queue(task, &info),
            None => put_back(task, info),
        }
    }
}

/// A signal that was captured, but has been blocked since.
fn put_back(task: &mut Task, info: Info) {
    if bit(info.signo()) & SYNCHRONOUS != 0 {
        task.signal.held.push(info);
        return;
    }
    queue(task, &info);
}

/// Sends a signal to the calling thread.
fn queue(task: &Task, info: &Info) {
    // SAFETY: getpid has no arguments.
    let pid = unsafe { demotic_host::sys::syscall6(libc::SYS_getpid, [0; 6]) } as usize;
    // Everything is blocked on the host now, so it stays in the queue. A process may send itself any siginfo.
    let args = [pid, demotic_host::sys::gettid() as usize, info.signo() as usize, info.0.as_ptr() as usize, 0, 0];
    let _ = task.syscall_host(libc::SYS_rt_tgsigqueueinfo, args);
}

/// Delivers one signal that is not blocked.
fn one(task: &mut Task, info: &Siginfo, interrupted: &mut Option<Interrupted>) {
    if info.signo == libc::SIGCHLD {
        crate::ptrace::tracer::pump(task);
    }
    if let Some(info) = tracee::before_signal(task, info, interrupted) {
        one_untold(task, &info, interrupted);
    }
}

/// Delivers a signal that the tracer knows of.
fn one_untold(task: &mut Task, info: &Siginfo, interrupted: &mut Option<Interrupted>) {
    let signo = info.signo;
    if bit(signo) & task.signal.blocked != 0 {
        put_back(task, Info(info.to_host()));
        return;
    }
    let action = task.process.signals.get(signo);
    match action.handler {
        SIG_IGN => {}
        SIG_DFL => default_action(task, info, interrupted),
        _ => handle(task, signo, &action, info, interrupted),
    }
}

/// Runs a handler: restart or EINTR, frame, mask.
fn handle(task: &mut Task, signo: i32, action: &Action, info: &Siginfo, interrupted: &mut Option<Interrupted>) {
    if let Some(call) = interrupted.take() {
        let again = match call.errno {
            Errno::ERESTARTNOINTR => true,
            Errno::ERESTARTSYS => action.flags & sa::RESTART != 0,
            _ => false,
        };
        if again {
            restart(task, call);
        } else {
            set_result(task, call.abi, Errno::EINTR.to_ret());
        }
    }
    let mask = task.signal.saved_mask.take().unwrap_or(task.signal.blocked);
    let raw = info.to_guest(action.abi);
    let built = match action.abi {
        Abi::X86_64 => frame64::setup(task, action, signo, &raw, mask),
        Abi::I386 => frame32::setup(task, action, signo, &raw, mask),
    };
    if action.flags & sa::RESETHAND != 0 {
        task.process.signals.set(signo, Action { handler: SIG_DFL, ..*action });
    }
    if built.is_err() {
        // No room for the frame: SIGSEGV, which kills if it was SIGSEGV's handler that has no stack.
        if signo == libc::SIGSEGV {
            task.process.signals.set(signo, Action::default());
        }
        let info = Siginfo { signo: libc::SIGSEGV, code: SI_KERNEL, ..Siginfo::default() };
        force(task, &info);
        return;
    }
    // The handler may go anywhere, and come to the same instruction for another call.
    task.signal.restarted = None;
    // Handlers begin with x87, SSE and AVX state as a new program does (handle_signal in arch/x86/kernel/signal.c).
    fpstate::reset(&mut task.cpu.state);
    let mut blocked = task.signal.blocked | action.mask;
    if action.flags & sa::NODEFER == 0 {
        blocked |= bit(signo);
    }
    task.signal.blocked = blocked & !UNBLOCKABLE;
    tracee::entered_handler(task);
}

fn set_result(task: &mut Task, abi: Abi, value: u64) {
    task.cpu.state.gpr[reg::RAX] = if abi == Abi::I386 { value & 0xffff_ffff } else { value };
}

/// The call that [`restart`] went back to, if the thread has not come further since: a real kernel's thread is still in it, and what comes now
/// interrupts it once more.
pub fn interrupted_again(task: &mut Task) -> Option<Interrupted> {
    let state = &task.cpu.state;
    let is_there =
        |(at, call): &(u64, Interrupted)| *at == state.rip && call.number as u32 == state.gpr[reg::RAX] as u32;
    let (at, call) = task.signal.restarted.take().filter(is_there)?;
    task.cpu.state.rip = at.wrapping_add(INSTRUCTION);
    Some(call)
}

/// Goes back to the system call instruction.
fn restart(task: &mut Task, call: Interrupted) {
    let number = match (call.errno, call.abi) {
        (Errno::ERESTART_RESTARTBLOCK, Abi::X86_64) => 219,
        (Errno::ERESTART_RESTARTBLOCK, Abi::I386) => 0,
        _ => call.number,
    };
    set_result(task, call.abi, number);
    task.cpu.state.rip = task.cpu.state.rip.wrapping_sub(INSTRUCTION);
    task.signal.restarted = Some((task.cpu.state.rip, Interrupted { number, ..call }));
}

/// A signal whose action is the default arrived although a handler was installed when it did.
fn default_action(task: &mut Task, info: &Siginfo, interrupted: &mut Option<Interrupted>) {
    match info.signo {
        libc::SIGCHLD | libc::SIGCONT | libc::SIGURG | libc::SIGWINCH => {}
        signo => {
            if crate::core::is_for(signo) {
                crate::core::dump(task, info);
            }
            crate::gdb::dying(task, signo);
            tracee::parked(task, interrupted, || host::die_of(signo));
        }
    }
}

/// Delivers a signal that cannot wait (force_sig_info): if it is blocked or ignored, the default action is taken. Says in
/// one line when the process dies of it.
pub fn force(task: &mut Task, info: &Siginfo) {
    force_with(task, info, &mut None);
}

/// The same behind a system call that may be restarted.
pub fn force_with(task: &mut Task, info: &Siginfo, interrupted: &mut Option<Interrupted>) {
    let signo = info.signo;
    let blocked = bit(signo) & task.signal.blocked != 0;
    let mut action = task.process.signals.get(signo);
    if blocked || action.handler == SIG_IGN {
        action = Action::default();
        task.process.signals.set(signo, action);
        task.signal.blocked &= !bit(signo);
    }
    if task.trace.on {
        let Some(left) = tracee::before_signal(task, info, interrupted) else { return };
        if left.signo != signo {
            one_untold(task, &left, interrupted);
            return;
        }
    }
    if action.handler == SIG_DFL {
        let program = task.process.exe.file_name().unwrap_or(task.process.exe.as_os_str());
        let pc = task.cpu.state.rip;
        demotic_host::log::line(format_args!(
            "demotic: {}: guest {} at pc={pc:#x}{} addr={:#x}",
            program.to_string_lossy(),
            name(signo),
            crate::fs::proc::module(task, pc).map_or(String::new(), |(file, offset)| format!(" ({file}+{offset:#x})")),
            info.value
        ));
        crate::core::dump(task, info);
        crate::gdb::dying(task, signo);
        tracee::parked(task, interrupted, || host::die_of(signo));
        return;
    }
    handle(task, signo, &action, info, interrupted);
}

/// The names of the signals that exceptions become.
fn name(signo: i32) -> &'static str {
    match signo {
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGBUS => "SIGBUS",
        libc::SIGILL => "SIGILL",
        libc::SIGFPE => "SIGFPE",
        libc::SIGTRAP => "SIGTRAP",
        _ => "signal",
    }
}

/// Turns a processor exception into its signal (arch/x86/kernel/traps.c, mm/fault.c) and delivers it.
pub fn exception(task: &mut Task, exception: &Exception) {
    let rip = task.cpu.state.rip;
    task.signal.trap.number = u64::from(exception.vector);
    // #DB has none; in its place is whether it is TF's.
    task.signal.trap.error = if exception.vector == 1 { 0 } else { u64::from(exception.error_code) };
    // Faults are to be repeated: the processor's image of the flags says so (SDM vol. 3, 18.3.1.1). Traps are #DB, #BP and #OF.
    if !matches!(exception.vector, 1 | 3 | 4) {
        task.cpu.state.sys |= eflags::RF;
    }
    let fault = |signo, code, value| Siginfo { signo, code, value, ..Siginfo::default() };
    let info = match exception.vector {
        0 => fault(libc::SIGFPE, code::FPE_INTDIV, rip),
        1 => {
            let code = watch::code(task, exception.error_code != 0);
            fault(libc::SIGTRAP, code, rip)
        }
        3 => fault(libc::SIGTRAP, SI_KERNEL, 0),
        6 => fault(libc::SIGILL, code::ILL_ILLOPN, rip),
        11 | 12 => fault(libc::SIGBUS, SI_KERNEL, 0),
        14 => page_fault(task, exception),
        16 => {
            let x87 = &task.cpu.state.x87;
            fault(libc::SIGFPE, float_code(x87.sw & !x87.cw), rip)
        }
        17 => fault(libc::SIGBUS, libc::BUS_ADRALN, 0),
        19 => {
            let mxcsr = task.cpu.state.mxcsr;
            fault(libc::SIGFPE, float_code((mxcsr & !(mxcsr >> 7)) as u16), rip)
        }
        // #OF, #BR, #GP and what else user code may meet.
        _ => fault(libc::SIGSEGV, SI_KERNEL, 0),
    };
    force(task, &info);
}

/// End of user space on x86-64, in bytes: the last page below the hole is never mapped (arch/x86/include/asm/page_64.h).
const TASK_SIZE_MAX: u64 = (1 << 47) - 4096;

/// A page fault: SIGSEGV by what the guest's map says, or the SIGBUS that the host's kernel sent.
fn page_fault(task: &mut Task, exception: &Exception) -> Siginfo {
    let address = exception.address;
    task.signal.trap.cr2 = address;
    let vma = task.process.space.find(address);
    // Bit 0 tells a protection violation from a page that is not there. A page that was never touched is not, nor is one
    // without any permission.
    let present = vma.is_some_and(|v| v.prot != 0) && task.process.space.is_populated(address);
    // Nothing is told about the kernel's own half: set_signal_archinfo in arch/x86/mm/fault.c calls all of it protected.
    let present = present || address >= TASK_SIZE_MAX;
    task.signal.trap.error = task.signal.trap.error & !1 | u64::from(present);
    let (signo, code) = match exception.host {
        Some((libc::SIGBUS, code)) => (libc::SIGBUS, code),
        _ if vma.is_some() => (libc::SIGSEGV, 2),
        _ => (libc::SIGSEGV, 1),
    };
    // User mode always.
    task.signal.trap.error |= 4;
    Siginfo { signo, code, value: address, ..Siginfo::default() }
}

/// The si_code of SIGFPE for exception bits that are set and not masked (fpu__exception_code).
fn float_code(bits: u16) -> i32 {
    if bits & 1 != 0 {
        code::FPE_FLTINV
    } else if bits & 4 != 0 {
        code::FPE_FLTDIV
    } else if bits & 8 != 0 {
        code::FPE_FLTOVF
    } else if bits & 0x12 != 0 {
        code::FPE_FLTUND
    } else if bits & 0x20 != 0 {
        code::FPE_FLTRES
    } else {
        0
    }
}
