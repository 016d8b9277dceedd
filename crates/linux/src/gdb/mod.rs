//! The debugger's view of the guest process: `demotic --gdb PORT PROG`, and gdb attaches with `target remote`.
//!
//! The server is a host thread of the guest's process ([`server`]) that speaks gdb's remote protocol ([`packet`]). Nothing of the host's ptrace is used: a thread
//! stops where ptrace's stops are ([`crate::ptrace::tracee`]: at an instruction boundary, before a signal is delivered, behind a step, behind execve(2)), and instead
//! of stopping for a host tracer it waits here ([`wait`]) until the server lets it go on. What the server sees and changes is the same
//! [`Record`] that a tracer does.
//!
//! - *All-stop*: with the first stop the server withdraws every thread's leave to run and sends it a [`Request::Stop`], which interrupts guest code and system calls; a
//!   thread without leave stops before its next instruction ([`must_stop`]). Only a thread that waits for its vfork child does so later.
//! - *Breakpoints* are an overlay of instruction fetches ([`overlay`]): guest memory is never changed, so the program reads its own bytes.
//!   A forked child has none; a vfork child shares the translations and steps over them ([`passed_over`]).
//! - Signals whose action is the default are captured, too, so that the debugger hears of them.
//! - *Watched memory* is what a tracer's debug registers do ([`watch`]), in every thread.
//!
//! Absent: non-stop, following children, being debugged from outside and by a guest's ptrace at the same time.
//!
//! Locks: [`State`]'s is taken last, and never held while a thread waits for the host.

pub mod files;
pub mod packet;
pub mod registers;
pub mod server;

use crate::process::Process;
use crate::ptrace::{Record, Request, changed, mode, tracee, watch};
use crate::task::Task;
use demotic_engine::GuestSpace;
use demotic_engine::exit::{Exception, Exit};
use demotic_ir::state::eflags;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Whether a debugger has this process.
static ON: AtomicBool = AtomicBool::new(false);
/// Addresses of breakpoints; null without any. Old lists are not freed: another thread may be reading.
static BREAKPOINTS: AtomicPtr<Vec<u64>> = AtomicPtr::new(std::ptr::null_mut());
/// The connection's descriptor.
static CONNECTION: AtomicI32 = AtomicI32::new(-1);
/// Written to when something happens that the server waits for.
static EVENT: AtomicI32 = AtomicI32::new(-1);
static STATE: Mutex<State> = Mutex::new(State::new());
static CHANGED: Condvar = Condvar::new();

thread_local! {
    /// This thread fetches what is in memory.
    static BARE: Cell<bool> = const { Cell::new(false) };
}

/// Why a thread stopped, as far as the debugger is to hear of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reason {
    /// A signal, by the guest's number.
    Signal(i32),
    /// A breakpoint at that address.
    Breakpoint(u64),
    /// execve(2) of that file.
    Exec(String),
}

/// One guest thread.
#[derive(Debug, Default)]
pub(crate) struct Thread {
    /// Address of its [`Record`] while it is stopped.
    record: usize,
    /// It may run.
    may_run: bool,
    /// Not told yet.
    pub(crate) reason: Option<Reason>,
}

/// How the process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// exit(2) or exit_group(2).
    Exited(i32),
    /// A signal that kills.
    Killed(i32),
}

/// What threads and server share.
#[derive(Debug)]
pub(crate) struct State {
    /// By thread id.
    pub(crate) threads: BTreeMap<i32, Thread>,
    /// New threads may run.
    runs: bool,
    /// The process is ending.
    pub(crate) end: Option<End>,
    /// The server has told so.
    is_told: bool,
    /// Signals that are delivered without a stop (bit N-1).
    passed: u64,
    /// What every thread watches.
    watched: watch::Registers,
}

impl State {
    const fn new() -> State {
        State { threads: BTreeMap::new(), runs: true, end: None, is_told: false, passed: 0, watched: [0; 8] }
    }
}

pub(crate) fn lock() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a debugger has this process.
#[inline]
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

fn tell_server() {
    let one = 1u64;
    // SAFETY: a counter of ours; the value is a live word.
    unsafe { libc::write(EVENT.load(Ordering::Relaxed), (&raw const one).cast(), 8) };
}

/// Waits for a debugger and makes it the one of this process, whose initial thread `task` is.
///
/// # Errors
/// What the host says of the address.
pub fn begin(task: &mut Task, address: &std::ffi::OsStr) -> std::io::Result<()> {
    let fd = server::accept(address)?;
    adopt(task, fd, None)
}

/// Goes on with the debugger of the program that executed this one.
///
/// # Errors
/// Those of the host's.
pub fn go_on(task: &mut Task, fd: i32) -> std::io::Result<()> {
    let exe = task.process.exe.to_string_lossy().into_owned();
    adopt(task, fd, Some(exe))
}

fn adopt(task: &mut Task, fd: i32, executed: Option<String>) -> std::io::Result<()> {
    // SAFETY: no memory is involved.
    let event = high(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) });
    if event < 0 {
        return Err(std::io::Error::last_os_error());
    }
    EVENT.store(event, Ordering::Relaxed);
    let fd = high(fd);
    CONNECTION.store(fd, Ordering::Relaxed);
    ON.store(true, Ordering::Release);
    crate::signal::hear_of_all(&task.process.signals);
    enter(task);
    {
        let mut state = lock();
        let first = executed.clone().map_or(Reason::Signal(libc::SIGTRAP), Reason::Exec);
        let thread = state.threads.entry(task.tid).or_default();
        (thread.may_run, thread.reason) = (false, Some(first));
        state.runs = false;
    }
    let (process, mem, tid) = (task.process.clone(), task.mem.clone(), task.tid);
    let blocked = demotic_host::signal::Blocked::with_requests();
    std::thread::Builder::new().name("gdb".to_owned()).stack_size(256 << 10).spawn(move || {
        if demotic_host::guarded::install().is_ok() {
            server::Server::new(fd, event, process, mem, tid, executed.is_some()).run();
        }
        leave();
    })?;
    task.process.signals.reclaim();
    drop(blocked);
    Ok(())
}

/// A descriptor out of the guest's way; the old one is closed.
fn high(fd: i32) -> i32 {
    // SAFETY: descriptors only.
    unsafe {
        let moved = libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 900);
        if moved < 0 {
            return fd;
        }
        libc::close(fd);
        moved
    }
}

/// The debugger has gone: everything runs on.
fn leave() {
    ON.store(false, Ordering::Release);
    set_breakpoints(Vec::new());
    set_watched([0; 8]);
    let mut state = lock();
    state.is_told = true;
    for thread in state.threads.values_mut() {
        thread.may_run = true;
        if let Some(record) = std::ptr::NonNull::new(thread.record as *mut Record) {
            let record = record.as_ptr();
            // What it stopped for was the debugger's.
            // SAFETY: as in `resume`.
            unsafe { ((*record).resumed, (*record).mode, (*record).inject) = (1, mode::DETACHED, 0) };
        }
    }
    state.runs = true;
    CHANGED.notify_all();
    drop(state);
    for fd in [CONNECTION.swap(-1, Ordering::Relaxed), EVENT.swap(-1, Ordering::Relaxed)] {
        if fd >= 0 {
            // SAFETY: ours.
            unsafe { libc::close(fd) };
        }
    }
}

/// A thread begins.
pub fn enter(task: &mut Task) {
    if is_on() && !task.process.is_vforked {
        tracee::begin(task);
        let mut state = lock();
        let runs = state.runs;
        task.trace.debug = state.watched;
        state.threads.insert(task.tid, Thread { may_run: runs, ..Thread::default() });
    }
}

/// A thread has ended.
pub fn left(task: &Task) {
    if has(task) {
        lock().threads.remove(&task.tid);
        tell_server();
    }
}

/// Whether the debugger has this thread.
pub fn has(task: &Task) -> bool {
    is_on() && !task.process.is_vforked
}

/// In a forked child: the debugger's is the parent.
pub fn forget(process: &Process) {
    if !ON.swap(false, Ordering::Relaxed) {
        return;
    }
    for fd in [CONNECTION.swap(-1, Ordering::Relaxed), EVENT.swap(-1, Ordering::Relaxed)] {
        // SAFETY: the child's own descriptors.
        unsafe { libc::close(fd) };
    }
    let old = BREAKPOINTS.swap(std::ptr::null_mut(), Ordering::Relaxed);
    for &at in list(old) {
        process.engine.invalidate(at, 1);
    }
}

/// The connection for the program that is executed next; it is kept over execve(2) and to be closed when that fails.
pub fn for_next(task: &Task) -> Option<i32> {
    has(task).then(|| {
        // SAFETY: a descriptor only.
        unsafe { libc::fcntl(CONNECTION.load(Ordering::Relaxed), libc::F_DUPFD, 900) }
    })
}

fn list(at: *mut Vec<u64>) -> &'static [u64] {
    // SAFETY: null or one that `set_breakpoints` leaked.
    unsafe { at.as_ref() }.map_or(&[], Vec::as_slice)
}

pub(crate) fn breakpoints() -> &'static [u64] {
    list(BREAKPOINTS.load(Ordering::Acquire))
}

pub(crate) fn set_breakpoints(all: Vec<u64>) {
    let new = if all.is_empty() { std::ptr::null_mut() } else { Box::into_raw(Box::new(all)) };
    BREAKPOINTS.store(new, Ordering::Release);
}

/// Puts breakpoints into code that was fetched from `pc`.
#[inline]
pub fn overlay(pc: u64, code: &mut [u8]) {
    let all = breakpoints();
    if all.is_empty() || BARE.get() {
        return;
    }
    for &at in all {
        if let Some(byte) = usize::try_from(at.wrapping_sub(pc)).ok().and_then(|at| code.get_mut(at)) {
            *byte = 0xcc;
        }
    }
}

/// Whether an exception is a breakpoint of the debugger's; then the thread has stopped for it.
pub fn stopped_at(task: &mut Task, exception: &Exception) -> bool {
    let at = task.cpu.state.rip.wrapping_sub(1);
    if exception.vector != 3 || !breakpoints().contains(&at) {
        return false;
    }
    task.cpu.state.rip = at;
    tracee::leave_code(task);
    if has(task) {
        tracee::debugger_stop(task, Some(Reason::Breakpoint(at)));
    } else {
        task.passes = true;
    }
    true
}

/// For a vfork child at a breakpoint: its next instruction, without it. `None`: go on.
pub fn passed_over(task: &mut Task) -> Option<Exit> {
    task.passes = false;
    let own = task.cpu.state.sys & eflags::TF;
    BARE.set(true);
    let mut code = [0; 15];
    task.process.space.fetch(task.cpu.state.rip, &mut code);
    let exit = watch::step(task, &code);
    BARE.set(false);
    (own != 0 || !watch::is_step(&exit)).then_some(exit)
}

/// Whether a thread has to stop before its next instruction.
pub fn must_stop(task: &Task) -> bool {
    has(task) && lock().threads.get(&task.tid).is_some_and(|thread| !thread.may_run)
}

/// Whether a signal is delivered without a stop.
pub fn passes(signo: i32) -> bool {
    let bit = u32::try_from(signo - 1).ok().and_then(|n| 1u64.checked_shl(n)).unwrap_or(0);
    !is_on() || lock().passed & bit != 0
}

/// Waits until the thread may go on. `record` is what the server sees and changes meanwhile. False: there is no debugger any more.
pub(crate) fn wait(tid: i32, record: *mut Record, reason: Option<Reason>) -> bool {
    let mut state = lock();
    let Some(thread) = state.threads.get_mut(&tid) else { return false };
    thread.record = record as usize;
    if reason.is_some() {
        thread.may_run = false;
        thread.reason = reason;
    }
    tell_server();
    while is_on() && state.threads.get(&tid).is_some_and(|thread| !thread.may_run) {
        state = CHANGED.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    if let Some(thread) = state.threads.get_mut(&tid) {
        thread.record = 0;
    }
    // SAFETY: the calling thread's own record; the server looks at it under the lock only.
    let resumed = unsafe { (*record).resumed };
    is_on() || resumed != 0
}

/// Tells the debugger that the process ends.
pub(crate) fn ending(task: &Task, end: End) {
    if !has(task) {
        return;
    }
    let mut state = lock();
    state.end.get_or_insert(end);
    tell_server();
    // A debugger that does not listen must not keep the program from ending.
    let mut rounds = 0;
    while is_on() && !state.is_told && rounds < 20 {
        state = CHANGED.wait_timeout(state, Duration::from_millis(100)).unwrap_or_else(PoisonError::into_inner).0;
        rounds += 1;
    }
}

/// A signal's default action is about to kill.
pub fn dying(task: &Task, signo: i32) {
    if !matches!(signo, libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU) {
        ending(task, End::Killed(signo));
    }
}

/// The last thread or exit_group(2).
pub fn exiting(task: &Task, status: i32) {
    ending(task, End::Exited(status));
}

/// Withdraws every thread's leave to run.
pub(crate) fn stop_all() {
    let mut state = lock();
    state.runs = false;
    // SAFETY: no arguments.
    let pid = unsafe { demotic_host::sys::syscall6(libc::SYS_getpid, [0; 6]) } as usize;
    let info = Request::Stop.encode();
    for (&tid, thread) in &mut state.threads {
        if std::mem::take(&mut thread.may_run) {
            let args = [pid, tid as usize, libc::SIGTRAP as usize, info.0.as_ptr() as usize, 0, 0];
            // SAFETY: a live siginfo_t.
            unsafe { demotic_host::sys::syscall6(libc::SYS_rt_tgsigqueueinfo, args) };
        }
    }
}

/// Whether all threads are where their records can be seen.
pub(crate) fn all_stopped() -> bool {
    lock().threads.values().all(|thread| thread.record != 0)
}

/// Lets threads go on: with a [`mode`] and a signal to be delivered.
pub(crate) fn resume(which: &[(i32, u32, i32)], others: bool) {
    let mut state = lock();
    state.runs = others;
    for &(tid, how, signo) in which {
        let Some(thread) = state.threads.get_mut(&tid) else { continue };
        if thread.record != 0 {
            let record = thread.record as *mut Record;
            // SAFETY: the thread waits in `wait` or is parked; its record stays where it is.
            unsafe { ((*record).resumed, (*record).mode, (*record).inject) = (1, how, signo) };
        }
        thread.may_run = true;
    }
    CHANGED.notify_all();
}

/// Reads or changes the record of a stopped thread.
pub(crate) fn with_record<T>(tid: i32, act: impl FnOnce(&mut Record) -> T) -> Option<T> {
    let state = lock();
    let record = state.threads.get(&tid)?.record as *mut Record;
    // SAFETY: as in `resume`.
    unsafe { record.as_mut() }.map(act)
}

/// Has every thread, those to come included, watch what the registers say.
pub(crate) fn set_watched(registers: watch::Registers) {
    let mut state = lock();
    state.watched = registers;
    for thread in state.threads.values() {
        // SAFETY: as in `resume`.
        if let Some(record) = unsafe { (thread.record as *mut Record).as_mut() } {
            record.debug = registers;
            record.changed |= changed::DEBUG;
        }
    }
}

/// What the debug registers of a stopped thread have found, once: the address that is watched, and the kind.
pub(crate) fn found(tid: i32) -> Option<(u64, u64)> {
    with_record(tid, |record| {
        let hit = watch::hit(&record.debug);
        watch::clear(&mut record.debug);
        record.changed |= changed::DEBUG;
        hit
    })?
}

pub(crate) fn set_passed(set: u64) {
    lock().passed = set;
}

pub(crate) fn told() {
    lock().is_told = true;
    CHANGED.notify_all();
}

/// The modes that the protocol knows.
pub(crate) const CONT: u32 = mode::CONT;
pub(crate) const STEP: u32 = mode::STEP;

/// What the server needs of the process.
pub(crate) type Shared = Arc<Process>;
