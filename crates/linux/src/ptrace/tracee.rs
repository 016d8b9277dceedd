//! The traced thread: its stops, and what the tracer wants done behind them.
//!
//! Where they are (kernel/signal.c, include/linux/ptrace.h, kernel/entry/common.c): before and behind a system call, before a signal is delivered, behind a
//! single step, behind execve(2), at the first instruction of a child, and wherever the tracer asks for one.

use super::tracer::option;
use super::{AREA, RANGES, Record, Request, changed, event, kind, mode, watch};
use crate::abi::Abi;
use crate::abi::siginfo::Siginfo;
use crate::errno::{Errno, SysResult};
use crate::signal::deliver::Interrupted;
use crate::signal::fpstate;
use crate::task::Task;
use demotic_engine::segments;
use demotic_host::capture::Info;
use demotic_host::signal::mark;
use demotic_ir::state::eflags;
use demotic_x86::state::{Descriptor, Mode, reg, seg};
use std::cell::UnsafeCell;

/// A thread's side of being traced.
pub struct Trace {
    /// Whether somebody traces it.
    pub on: bool,
    /// One of [`mode`].
    pub mode: u32,
    /// What the tracer's options say that the thread heeds itself.
    options: u32,
    /// The system call that the thread is in or comes from; -1 for none.
    pub origin: u64,
    /// TF is the tracer's, not the program's.
    steps: bool,
    /// execve(2) is not over before its exit was shown.
    pub leaves_exec: bool,
    /// The debug registers.
    pub debug: watch::Registers,
    /// They have just trapped.
    pub(super) hit: bool,
    record: Option<Box<UnsafeCell<Record>>>,
}

impl Default for Trace {
    fn default() -> Trace {
        Trace {
            on: false,
            mode: mode::CONT,
            options: 0,
            origin: u64::MAX,
            steps: false,
            leaves_exec: false,
            debug: [0; 8],
            hit: false,
            record: None,
        }
    }
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trace").field("on", &self.on).field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// Bits of EFLAGS that a tracer may change (FLAG_MASK, arch/x86/kernel/ptrace.c).
const FLAG_MASK: u32 = 0x54dd5;

/// Where the options are in what is handed on at execve(2).
const OPTIONS: u32 = 8;

/// A stop to be made.
#[derive(Clone, Copy, Debug, Default)]
struct Stop {
    kind: u32,
    event: u32,
    signo: i32,
    message: u64,
}

/// From now on the thread is traced.
pub fn begin(task: &mut Task) {
    if !task.trace.on {
        task.trace.on = true;
        // A tracer sees flags wherever the thread stops.
        task.cpu.engine.show_faults();
    }
}

/// Mode and options to be handed on at execve(2), in one number; `None` when nobody traces.
pub fn handed_on(task: &Task) -> Option<u32> {
    task.trace.on.then_some(task.trace.mode | task.trace.options << OPTIONS)
}

/// Takes up what [`handed_on`] said, in the new program.
pub fn take_up(task: &mut Task, handed: u32) {
    begin(task);
    (task.trace.mode, task.trace.options) = (handed & ((1 << OPTIONS) - 1), handed >> OPTIONS);
    task.trace.origin = if task.abi == Abi::I386 { 11 } else { 59 };
    task.trace.leaves_exec = true;
}

fn record(task: &mut Task) -> &mut Record {
    let cell = task.trace.record.get_or_insert_with(|| Box::new(UnsafeCell::new(Record::empty())));
    cell.get_mut()
}

/// Fills in the record.
fn publish(task: &mut Task, stop: &Stop, interrupted: Option<&Interrupted>, info: Option<&Siginfo>) {
    if std::mem::take(&mut task.trace.steps) {
        task.cpu.state.sys &= !eflags::TF;
    }
    let xcr0 = task.process.engine.features().xcr0();
    let image = fpstate::save(&task.cpu.state, xcr0, 0);
    let state = task.cpu.state.clone();
    if let Some(call) = interrupted {
        task.trace.origin = call.number;
    }
    let (tid, abi, blocked, origin) = (task.tid, task.abi, task.signal.blocked, task.trace.origin);
    let (filters_at, filters_len) = task.seccomp.shown();
    let waiting = waiting(task);
    let debug = task.trace.debug;
    // SAFETY: no arguments.
    let pid = unsafe { demotic_host::sys::syscall6(libc::SYS_getpid, [0; 6]) } as i32;
    let (_, mut args) = crate::syscall::registers(task, entry_of(abi));
    if abi == Abi::I386 {
        args.iter_mut().for_each(|arg| *arg &= 0xffff_ffff);
    }
    let record = record(task);
    *record = Record { message: stop.message, tid, pid, ..Record::empty() };
    (record.kind, record.event, record.signo) = (stop.kind, stop.event, stop.signo);
    record.is_i386_call = u32::from(abi == Abi::I386);
    record.is_32bit = u32::from(state.mode != Mode::Long);
    (record.gpr, record.rip, record.flags) = (state.gpr, state.rip, u64::from(state.eflags()));
    record.sel = state.seg_sel.map(u64::from);
    record.base = state.seg_base;
    record.origin = origin;
    match stop.kind {
        _ if stop.event == event::SECCOMP => record.gpr[reg::RAX] = Errno::ENOSYS.to_ret(),
        kind::ENTRY => record.gpr[reg::RAX] = Errno::ENOSYS.to_ret(),
        _ if interrupted.is_some() => {
            record.gpr[reg::RAX] = interrupted.map_or(0, |call| call.errno.to_ret());
        }
        _ => {}
    }
    if abi == Abi::I386 {
        record.gpr[reg::RAX] &= 0xffff_ffff;
    }
    let answer = if abi == Abi::I386 { record.gpr[reg::RAX] as u32 as i32 as i64 } else { record.gpr[reg::RAX] as i64 };
    record.is_error = u32::from((-4095..0).contains(&answer));
    record.call = [origin, args[0], args[1], args[2], args[3], args[4], args[5]];
    record.blocked = blocked;
    record.xcr0 = xcr0;
    record.debug = debug;
    record.fp[..image.len().min(AREA)].copy_from_slice(&image[..image.len().min(AREA)]);
    record.siginfo = info.map_or([0; 128], Siginfo::to_host);
    record.tls = state.tls.map(|d| [d.base, d.limit, d.flags]);
    record.filters = [filters_at, filters_len];
    for (slot, info) in record.waiting.iter_mut().zip(&waiting) {
        *slot = info.0;
        record.waiting_count += 1;
    }
    record.parked = 1;
}

/// The signals that the kernel would have in the thread's queue and the host's does not.
fn waiting(task: &Task) -> Vec<Info> {
    let arrived = task.signal.captured.look().into_iter().filter_map(|info| match Request::decode(&info) {
        Some(Request::Signal(original)) => Some(original),
        Some(_) => None,
        None => Some(info),
    });
    task.signal.held.iter().copied().chain(arrived).collect()
}

fn entry_of(abi: Abi) -> demotic_engine::exit::SyscallEntry {
    use demotic_engine::exit::SyscallEntry;
    if abi == Abi::X86_64 { SyscallEntry::Syscall } else { SyscallEntry::Int80 }
}

/// Stops, and comes back when the tracer lets the thread go on. False: there is no tracer any more.
fn wait(task: &mut Task) -> bool {
    // SAFETY: no arguments.
    let pid = unsafe { demotic_host::sys::syscall6(libc::SYS_getpid, [0; 6]) } as usize;
    // SAFETY: no arguments.
    let tid = unsafe { demotic_host::sys::syscall6(libc::SYS_gettid, [0; 6]) } as usize;
    let address = std::ptr::from_mut(record(task)) as u64;
    let mut info = [0u8; 128];
    for (at, word) in [(0, libc::SIGFPE), (8, mark::STOP)] {
        info[at..at + 4].copy_from_slice(&word.to_ne_bytes());
    }
    info[16..24].copy_from_slice(&address.to_ne_bytes());
    let args = [pid, tid, libc::SIGFPE as usize, info.as_ptr() as usize, 0, 0];
    // One that another SIGFPE was in front of is lost; it is made again.
    for _ in 0..8 {
        let _ = task.signal.captured.take_unseen();
        let _ = task.syscall_host(libc::SYS_rt_tgsigqueueinfo, args);
        if read(task).resumed != 0 {
            return true;
        }
        if task.signal.captured.take_unseen() {
            break;
        }
    }
    false
}

/// The record as the tracer left it.
fn read(task: &mut Task) -> Record {
    let cell = task.trace.record.get_or_insert_with(|| Box::new(UnsafeCell::new(Record::empty())));
    // SAFETY: the record is this thread's; the tracer writes to it while the thread is stopped in a system call.
    unsafe { cell.get().read_volatile() }
}

/// Takes over what the tracer changed. Returns the signal that it wants delivered.
fn apply(task: &mut Task, interrupted: Option<&mut Option<Interrupted>>) -> i32 {
    let left = read(task);
    record(task).parked = 0;
    record(task).resumed = 0;
    if left.resumed == 0 {
        return 0;
    }
    (task.trace.mode, task.trace.options) = (left.mode, left.options);
    for range in left.ranges.iter().take(left.range_count as usize) {
        task.cpu.engine.invalidate(range[0], range[1]);
    }
    if left.range_count as usize > RANGES {
        task.cpu.engine.invalidate(0, task.process.space.layout().limit);
    }
    if left.changed & changed::TLS != 0 {
        for (slot, [base, limit, flags]) in task.cpu.state.tls.iter_mut().zip(left.tls) {
            *slot = Descriptor { base, limit, flags };
        }
    }
    if left.changed & changed::REGS != 0 {
        apply_registers(task, &left);
        if let Some(slot) = interrupted {
            // What is not restarted any more keeps the registers; else the number may have changed.
            let answer = if left.is_i386_call != 0 {
                left.gpr[reg::RAX] as u32 as i32 as i64
            } else {
                left.gpr[reg::RAX] as i64
            };
            let restarts = (left.origin as i64) >= 0 && (-516..=-512).contains(&answer);
            *slot = slot.filter(|_| restarts).map(|call| Interrupted { number: left.origin, ..call });
        }
    }
    if left.changed & changed::FP != 0 {
        let size = fpstate::size(left.xcr0);
        let _ = fpstate::restore(&mut task.cpu.state, &left.fp[..size.min(AREA)], left.xcr0);
    }
    if left.changed & changed::DEBUG != 0 {
        task.trace.debug = left.debug;
    }
    if left.changed & changed::MASK != 0 {
        task.signal.blocked = left.blocked & !crate::signal::UNBLOCKABLE;
    }
    if left.mode == mode::DETACHED {
        end(task);
    }
    left.inject
}

/// Nobody traces the thread any more.
fn end(task: &mut Task) {
    task.trace.on = false;
    (task.trace.mode, task.trace.options) = (mode::CONT, 0);
}

fn apply_registers(task: &mut Task, left: &Record) {
    let (state, space) = (&mut task.cpu.state, &*task.process.space);
    state.gpr = left.gpr;
    state.rip = left.rip;
    let flags = (state.eflags() & !FLAG_MASK) | (left.flags as u32 & FLAG_MASK);
    state.set_eflags(flags);
    state.sys = state.sys & !eflags::RF | flags & eflags::RF;
    segments::resume(state, left.sel[seg::CS] as u16, left.sel[seg::SS] as u16, space);
    if state.mode != Mode::Long {
        state.gpr.iter_mut().for_each(|r| *r &= 0xffff_ffff);
        state.rip &= 0xffff_ffff;
    }
    for index in [seg::ES, seg::DS, seg::FS, seg::GS] {
        let selector = left.sel[index] as u16;
        let changed = state.seg_sel[index] != selector;
        if changed {
            segments::load_or_null(state, index, selector, space);
        }
        if index >= seg::FS && (!changed || selector & !3 == 0) {
            state.seg_base[index] = left.base[index];
        }
    }
    task.trace.origin = left.origin;
}

/// Stops for the debugger ([`crate::gdb`]), with what it is to be told.
pub fn debugger_stop(task: &mut Task, reason: Option<crate::gdb::Reason>) {
    let what = Stop { kind: kind::EVENT, event: event::STOP, signo: libc::SIGTRAP, message: 0 };
    if let Some(signo) = stop_telling(task, what, None, None, reason) {
        send(task, signo);
    }
}

/// Before something of the host's that may stop the thread as the guest's tracer is to see it, in a system call: making children, ending.
pub fn park(task: &mut Task) {
    if task.trace.on {
        publish(task, &Stop { kind: kind::PARKED, ..Stop::default() }, None, None);
        record(task).gpr[reg::RAX] = Errno::ENOSYS.to_ret();
    }
}

/// Behind it.
pub fn unpark(task: &mut Task) {
    if task.trace.on {
        let number = task.cpu.state.gpr[reg::RAX];
        apply(task, None);
        task.cpu.state.gpr[reg::RAX] = number;
    }
}

/// The same around a default action, outside of system calls.
pub fn parked<T>(task: &mut Task, interrupted: &mut Option<Interrupted>, act: impl FnOnce() -> T) -> T {
    if !task.trace.on {
        return act();
    }
    publish(task, &Stop { kind: kind::PARKED, ..Stop::default() }, interrupted.as_ref(), None);
    let result = act();
    apply(task, Some(interrupted));
    result
}

/// Makes a stop. `None`: there is no tracer any more; else the signal that it wants delivered.
fn stop(
    task: &mut Task,
    what: Stop,
    interrupted: Option<&mut Option<Interrupted>>,
    info: Option<&Siginfo>,
) -> Option<i32> {
    let reason = match what.kind {
        kind::SIGNAL | kind::NOTICE => Some(crate::gdb::Reason::Signal(what.signo)),
        _ => None,
    };
    stop_telling(task, what, interrupted, info, reason)
}

fn stop_telling(
    task: &mut Task,
    what: Stop,
    interrupted: Option<&mut Option<Interrupted>>,
    info: Option<&Siginfo>,
    reason: Option<crate::gdb::Reason>,
) -> Option<i32> {
    publish(task, &what, interrupted.as_ref().and_then(|i| i.as_ref()), info);
    let goes_on = if crate::gdb::has(task) {
        let tid = task.tid;
        crate::gdb::wait(tid, record(task), reason)
    } else {
        wait(task)
    };
    if !goes_on {
        record(task).parked = 0;
        end(task);
        return None;
    }
    Some(apply(task, interrupted))
}

/// A signal that a tracer wants delivered behind a stop that is not for a signal.
fn send(task: &Task, signo: i32) {
    if signo > 0 {
        // SAFETY: no arguments.
        let pid = unsafe { demotic_host::sys::syscall6(libc::SYS_getpid, [0; 6]) } as usize;
        let _ = task.syscall_host(libc::SYS_tgkill, [pid, task.tid as usize, signo as usize, 0, 0, 0]);
    }
}

/// Before a system call. `Some`: it is not to be made, and this is the answer.
pub fn enter_call(task: &mut Task, abi: Abi) -> Option<u64> {
    let number = task.cpu.state.gpr[reg::RAX];
    task.abi = abi;
    task.trace.origin = if abi == Abi::I386 { number & 0xffff_ffff } else { number };
    let is_emulated = matches!(task.trace.mode, mode::EMULATE | mode::EMULATE_STEP);
    if !is_emulated && task.trace.mode != mode::SYSCALL {
        return None;
    }
    stop_in_call(task, Stop { kind: kind::ENTRY, ..Stop::default() }, is_emulated)
}

/// Makes a stop before a system call. `Some`: the call is not to be made, and this is the answer.
fn stop_in_call(task: &mut Task, what: Stop, is_emulated: bool) -> Option<u64> {
    // What the tracer sees, and the answer of a call that is not made unless it gives another one.
    task.cpu.state.gpr[reg::RAX] = Errno::ENOSYS.to_ret();
    let signo = stop(task, what, None, None).unwrap_or(0);
    send(task, signo);
    let origin = task.trace.origin;
    if is_emulated || origin as i32 == -1 {
        return Some(task.cpu.state.gpr[reg::RAX]);
    }
    task.cpu.state.gpr[reg::RAX] = origin;
    None
}

/// Whether a filter's SECCOMP_RET_TRACE is a stop.
pub fn hears_filters(task: &Task) -> bool {
    task.trace.on && u64::from(task.trace.options) & option::TRACESECCOMP != 0
}

/// Whether filters are not to be asked (PTRACE_O_SUSPEND_SECCOMP).
pub fn suspends_filters(task: &Task) -> bool {
    task.trace.on && u64::from(task.trace.options) & option::SUSPEND_SECCOMP != 0
}

/// A filter said SECCOMP_RET_TRACE with this message. `Some`: the call is not to be made, and this is the answer.
pub fn filtered(task: &mut Task, message: u32) -> Option<u64> {
    let what = Stop { kind: kind::EVENT, event: event::SECCOMP, signo: libc::SIGTRAP, message: message.into() };
    stop_in_call(task, what, false)
}

/// Behind a system call, whose answer is in the registers or to be restarted.
pub fn leave_call(task: &mut Task, interrupted: &mut Option<Interrupted>) {
    match task.trace.mode {
        mode::SYSCALL => {
            let stop_of = Stop { kind: kind::EXIT, ..Stop::default() };
            let signo = stop(task, stop_of, Some(interrupted), None).unwrap_or(0);
            send(task, signo);
        }
        mode::STEP => {
            let rip = task.cpu.state.rip;
            if std::mem::take(&mut task.trace.steps) {
                task.cpu.state.sys &= !eflags::TF;
            }
            let info = Siginfo {
                signo: libc::SIGTRAP,
                code: libc::TRAP_BRKPT,
                value: if interrupted.is_some() { 0 } else { rip },
                ..Siginfo::default()
            };
            crate::signal::deliver::force_with(task, &info, interrupted);
        }
        _ => {}
    }
}

/// In a new program, once the stop of the execve(2) itself was made: the call is over.
pub fn leave_exec(task: &mut Task) {
    if std::mem::take(&mut task.trace.leaves_exec) {
        leave_call(task, &mut None);
    }
}

/// Whether the tracer wants single steps.
fn steps(task: &Task) -> bool {
    matches!(task.trace.mode, mode::STEP | mode::EMULATE_STEP)
}

/// To be called before guest code runs: a single step is one instruction with TF set.
pub fn arm(task: &mut Task) {
    leave_exec(task);
    while crate::gdb::must_stop(task) {
        debugger_stop(task, None);
    }
    if steps(task) && task.cpu.state.sys & eflags::TF == 0 {
        task.cpu.state.sys |= eflags::TF;
        task.trace.steps = true;
    }
}

/// To be called when an exception came: outside of any system call, and a step of the tracer's is over.
pub fn leave_code(task: &mut Task) {
    task.trace.origin = u64::MAX;
    if std::mem::take(&mut task.trace.steps) {
        task.cpu.state.sys &= !eflags::TF;
    }
}

/// Before a signal is delivered: what is to be delivered instead, if anything.
pub fn before_signal(task: &mut Task, info: &Siginfo, interrupted: &mut Option<Interrupted>) -> Option<Siginfo> {
    if !task.trace.on {
        return Some(*info);
    }
    if crate::gdb::has(task) && crate::gdb::passes(info.signo) {
        return Some(*info);
    }
    let what = Stop { kind: kind::SIGNAL, signo: info.signo, ..Stop::default() };
    let Some(signo) = stop(task, what, Some(interrupted), Some(info)) else { return Some(*info) };
    match signo {
        0 => None,
        _ if signo == info.signo => {
            let left = read(task);
            let changed = left.changed & changed::SIGINFO != 0;
            Some(if changed { Siginfo::from_host(left.siginfo) } else { *info })
        }
        // Another one than arrived is the tracer's.
        _ => Some(Siginfo { signo, ..Siginfo::default() }),
    }
}

/// A handler was entered: a stop when the thread is stepping.
pub fn entered_handler(task: &mut Task) {
    if steps(task) {
        stop(task, Stop { kind: kind::NOTICE, signo: libc::SIGTRAP, ..Stop::default() }, None, None);
    }
}

/// What a tracer asked for, but for signals.
pub fn answer(task: &mut Task, request: &Request, interrupted: &mut Option<Interrupted>) {
    if let Request::Meet(caller) = *request {
        super::meeting::come(task, caller);
        return;
    }
    begin(task);
    let what = match *request {
        Request::Stop => Stop { kind: kind::EVENT, event: event::STOP, signo: libc::SIGTRAP, message: 0 },
        Request::Exec(tid) => {
            Stop { kind: kind::EVENT, event: event::EXEC, signo: libc::SIGTRAP, message: u64::from(tid) }
        }
        _ => Stop { kind: kind::HELLO, ..Stop::default() },
    };
    stop(task, what, Some(interrupted), None);
}

/// ptrace(PTRACE_TRACEME).
///
/// # Errors
/// Those of the host's.
pub fn trace_me(task: &mut Task) -> SysResult {
    task.syscall_host(libc::SYS_ptrace, [libc::PTRACE_TRACEME as usize, 0, 0, 0, 0, 0])?;
    begin(task);
    Ok(0)
}
