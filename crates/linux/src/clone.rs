//! Making threads and processes: clone(2) in its three meanings.
//!
//! - A thread (CLONE_VM | CLONE_THREAD): a host thread of ours, whose kernel thread id is the guest's.
//! - fork: the host's fork. Demotic's locks are held around it, so that the child's copies are whole.
//! - vfork (CLONE_VM | CLONE_VFORK): a host process that really shares the memory, made with clone(2) on a stack of its own.
//!   The parent thread sleeps in the kernel until the child has called exec or exit, so the child can borrow its thread-local
//!   storage; the parent blocks signals around it and takes the storage back.
//!
//! - A process that shares memory without CLONE_VFORK (CLONE_VM alone) runs beside its parent and so needs thread-local
//!   storage of its own: see [`demotic_host::lend`].

use crate::abi::Abi;
use crate::errno::{Errno, SysResult};
use crate::exit;
use crate::mm::tls::{self, UserDesc};
use crate::process::Process;
use crate::ptrace::{tracee, tracer};
use crate::run;
use crate::signal::TaskSignals;
use crate::task::Task;
use crate::uaccess::Access;
use demotic_engine::segments;
use demotic_engine::{Cpu, GuestState};
use demotic_host::lend::Storage;
use demotic_host::{capture, guarded, signal as host, sys};
use demotic_x86::state::{reg, seg};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// CLONE_ flags (linux/sched.h) that are looked at here.
mod flag {
    pub const CSIGNAL: u64 = 0xff;
    pub const VM: u64 = 0x100;
    pub const FS: u64 = 0x200;
    pub const FILES: u64 = 0x400;
    pub const SIGHAND: u64 = 0x800;
    pub const PIDFD: u64 = 0x1000;
    pub const VFORK: u64 = 0x4000;
    pub const PARENT: u64 = 0x8000;
    pub const THREAD: u64 = 0x1_0000;
    pub const SYSVSEM: u64 = 0x4_0000;
    pub const SETTLS: u64 = 0x8_0000;
    pub const PARENT_SETTID: u64 = 0x10_0000;
    pub const CHILD_CLEARTID: u64 = 0x20_0000;
    pub const DETACHED: u64 = 0x40_0000;
    pub const UNTRACED: u64 = 0x80_0000;
    pub const CHILD_SETTID: u64 = 0x100_0000;
    pub const IO: u64 = 0x8000_0000;
    pub const CLEAR_SIGHAND: u64 = 0x1_0000_0000;
    pub const INTO_CGROUP: u64 = 0x2_0000_0000;
}

/// Host stack of a guest thread in bytes: the run loop, the interpreter, system call handlers.
const STACK: usize = 1 << 20;

/// What is to be made.
#[derive(Clone, Copy, Debug, Default)]
struct Request {
    flags: u64,
    exit_signal: u64,
    /// Stack pointer for the child; 0: the parent's.
    sp: u64,
    parent_tid: u64,
    child_tid: u64,
    tls: u64,
    pidfd: u64,
    /// Ids for the child in its namespaces, and how many.
    set_tid: ([u32; 32], usize),
    /// A cgroup to start in.
    cgroup: Option<u64>,
}

/// clone(2). The last two arguments are the other way round in the two ABIs.
pub fn sys_clone(task: &mut Task, args: [u64; 6]) -> SysResult {
    let [flags, sp, parent_tid, fourth, fifth, _] = args;
    let (child_tid, tls) = if task.abi == Abi::X86_64 { (fourth, fifth) } else { (fifth, fourth) };
    let request = Request {
        flags: flags & 0xffff_ffff & !flag::CSIGNAL,
        exit_signal: flags & flag::CSIGNAL,
        sp,
        parent_tid,
        child_tid,
        tls,
        pidfd: parent_tid,
        ..Request::default()
    };
    do_clone(task, request)
}

/// `struct clone_args` (linux/sched.h), version 0 and what came later; the same for all ABIs.
#[repr(C)]
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// clone3(2).
pub fn sys_clone3(task: &mut Task, args: [u64; 6]) -> SysResult {
    let [at, size, ..] = args;
    let mut bytes = [0u8; size_of::<CloneArgs>()];
    if size < 64 {
        return Err(Errno::EINVAL);
    }
    let known = bytes.len().min(size as usize);
    task.mem.read_bytes(at, &mut bytes[..known])?;
    // What the kernel does not know must be zero (copy_struct_from_user); a page at most.
    if size > 4096 {
        return Err(Errno::E2BIG);
    }
    for offset in known as u64..size {
        if task.mem.read::<u8>(at.wrapping_add(offset))? != 0 {
            return Err(Errno::E2BIG);
        }
    }
    let Ok(a) = CloneArgs::read_from_bytes(&bytes) else { return Err(Errno::EINVAL) };
    let stack_wrong = (a.stack == 0) != (a.stack_size == 0);
    if a.flags & (flag::CSIGNAL | flag::DETACHED) != 0 || a.exit_signal > 64 || stack_wrong {
        return Err(Errno::EINVAL);
    }
    let into_cgroup = a.flags & flag::INTO_CGROUP != 0;
    let tids_wrong = a.set_tid_size > 32 || (a.set_tid == 0) != (a.set_tid_size == 0);
    if tids_wrong || a.flags >> 34 != 0 || into_cgroup && (a.cgroup > i32::MAX as u64 || size < 88) {
        return Err(Errno::EINVAL);
    }
    let set_tid = task.mem.read_vec::<u32>(a.set_tid, a.set_tid_size as usize)?;
    let mut wanted = [0u32; 32];
    wanted[..set_tid.len()].copy_from_slice(&set_tid);
    let request = Request {
        flags: a.flags,
        exit_signal: a.exit_signal,
        sp: if a.stack == 0 { 0 } else { a.stack.wrapping_add(a.stack_size) },
        parent_tid: a.parent_tid,
        child_tid: a.child_tid,
        tls: a.tls,
        pidfd: a.pidfd,
        set_tid: (wanted, set_tid.len()),
        cgroup: into_cgroup.then_some(a.cgroup),
    };
    do_clone(task, request)
}

/// fork(2).
pub fn sys_fork(task: &mut Task, _args: [u64; 6]) -> SysResult {
    do_clone(task, Request { exit_signal: libc::SIGCHLD as u64, ..Request::default() })
}

/// vfork(2).
pub fn sys_vfork(task: &mut Task, _args: [u64; 6]) -> SysResult {
    let flags = flag::VM | flag::VFORK;
    do_clone(task, Request { flags, exit_signal: libc::SIGCHLD as u64, ..Request::default() })
}

fn do_clone(task: &mut Task, request: Request) -> SysResult {
    let has = |f: u64| request.flags & f != 0;
    // copy_process's checks (kernel/fork.c).
    if has(flag::SIGHAND) && !has(flag::VM) || has(flag::THREAD) && !has(flag::SIGHAND) {
        return Err(Errno::EINVAL);
    }
    if has(flag::CLEAR_SIGHAND) && has(flag::SIGHAND) || has(flag::PIDFD) && has(flag::DETACHED) {
        return Err(Errno::EINVAL);
    }
    // Only a fork goes through the host's clone3(2).
    if (request.set_tid.1 != 0 || request.cgroup.is_some()) && has(flag::VM) {
        return Err(Errno::EPERM);
    }
    // The host's stops for children that are traced, too, are the guest's.
    tracee::park(task);
    let result = if has(flag::THREAD) {
        thread(task, &request)
    } else if has(flag::VM) {
        vfork(task, &request)
    } else {
        fork(task, &request)
    };
    tracee::unpark(task);
    result
}

/// The child's registers: the parent's, with 0 as answer, its stack and its thread-local storage.
fn child_state(task: &Task, request: &Request) -> Result<GuestState, Errno> {
    let mut state = task.cpu.state.clone();
    state.gpr[reg::RAX] = 0;
    if request.sp != 0 {
        state.gpr[reg::RSP] = request.sp;
    }
    if request.flags & flag::SETTLS != 0 {
        match task.abi {
            Abi::X86_64 => {
                if request.tls >= task.process.space.layout().limit {
                    return Err(Errno::EPERM);
                }
                segments::set_base(&mut state, seg::FS, request.tls);
            }
            Abi::I386 => {
                let desc: UserDesc = task.mem.read(request.tls)?;
                tls::set_thread_area(&mut state, &desc, false, &*task.process.space)?;
            }
        }
    }
    Ok(state)
}

/// The child's task; its thread id is filled in on its own thread.
fn child_task(task: &Task, request: &Request, process: Arc<Process>) -> Result<Task, Errno> {
    if request.flags & (flag::VM | flag::VFORK) == flag::VM {
        task.cpu.engine.share();
    }
    let cpu = Cpu::new(&task.cpu.engine, child_state(task, request)?);
    let mut signal = TaskSignals::new(&cpu.attention, task.signal.blocked);
    if request.flags & flag::THREAD == 0 && request.flags & (flag::VM | flag::VFORK) != flag::VM {
        // Only a thread (or what shares memory without vfork) starts without alternate stack.
        signal.altstack = task.signal.altstack;
    }
    let clear = if request.flags & flag::CHILD_CLEARTID != 0 { request.child_tid } else { 0 };
    Ok(Task {
        cpu,
        mem: task.mem.clone(),
        abi: task.abi,
        process,
        tid: 0,
        signal,
        clear_child_tid: clear,
        robust_list: 0,
        seccomp: crate::seccomp::inherit(&task.seccomp),
        trace: Default::default(),
        passes: false,
        exiting: None,
        ldt_seen: task.ldt_seen,
        missing_library: None,
        exec_strings: Vec::new(),
    })
}

/// CLONE_CHILD_SETTID and CLONE_PARENT_SETTID as far as they are one memory.
fn write_tids(task: &Task, request: &Request, parent_too: bool) {
    if parent_too && request.flags & flag::PARENT_SETTID != 0 {
        let _ = task.mem.write(request.parent_tid, &task.tid);
    }
    if request.flags & flag::CHILD_SETTID != 0 {
        let _ = task.mem.write(request.child_tid, &task.tid);
    }
}

fn thread(task: &mut Task, request: &Request) -> SysResult {
    let unknown = !(flag::VM
        | flag::FS
        | flag::FILES
        | flag::SIGHAND
        | flag::THREAD
        | flag::SYSVSEM
        | flag::SETTLS
        | flag::PARENT_SETTID
        | flag::CHILD_CLEARTID
        | flag::CHILD_SETTID
        | flag::DETACHED
        | flag::UNTRACED
        | flag::PARENT
        | flag::IO);
    if request.flags & unknown != 0 {
        return Err(Errno::EINVAL);
    }
    let mut child = child_task(task, request, task.process.clone())?;
    let wish = *request;
    let (tell, told) = mpsc::channel();
    // The new host thread inherits the mask: nothing may arrive before it can be captured.
    let blocked = host::Blocked::with_requests();
    let spawned = std::thread::Builder::new().stack_size(STACK).spawn(move || {
        child.tid = sys::gettid();
        // Host threads share these by themselves; a guest thread may ask not to.
        let unshare = (!wish.flags & (flag::FS | flag::FILES)) as usize;
        // SAFETY: unshare(2) of this thread's own file table and directory.
        if unshare != 0 && unsafe { sys::syscall6(libc::SYS_unshare, [unshare, 0, 0, 0, 0, 0]) } < 0 {
            return;
        }
        child.process.filtered.enter(child.tid, &child.seccomp);
        write_tids(&child, &wish, true);
        if run::adopt_thread(&mut child).is_err() {
            return;
        }
        if tell.send(child.tid).is_err() {
            return;
        }
        drop(tell);
        crate::gdb::enter(&mut child);
        run::run(&mut child);
        crate::gdb::left(&child);
        run::leave_thread(&mut child);
    });
    task.process.signals.reclaim();
    let result = match spawned {
        Ok(_) => told.recv().map(|tid| tid as u64).map_err(|_| Errno::EAGAIN),
        Err(e) => Err(e.raw_os_error().map_or(Errno::EAGAIN, |_| Errno::EAGAIN)),
    };
    drop(blocked);
    result
}

/// A pidfd for a child, as CLONE_PIDFD wants it.
fn store_pidfd(task: &Task, request: &Request, pid: u64) -> Result<(), Errno> {
    if request.flags & flag::PIDFD != 0 {
        let fd = task.syscall_host(libc::SYS_pidfd_open, [pid as usize, 0, 0, 0, 0, 0])?;
        task.mem.write(request.pidfd, &(fd as u32))?;
    }
    Ok(())
}

fn fork(task: &mut Task, request: &Request) -> SysResult {
    let state = child_state(task, request)?;
    let process = task.process.clone();
    let blocked = host::Blocked::with_requests();
    // What the host's fork does not know: other exit signals, namespaces, a shared parent or file table.
    let special = request.flags
        & !(flag::PARENT_SETTID
            | flag::CHILD_SETTID
            | flag::CHILD_CLEARTID
            | flag::SETTLS
            | flag::PIDFD
            | flag::VFORK
            | flag::CLEAR_SIGHAND
            | flag::DETACHED
            | flag::INTO_CGROUP
            | flag::UNTRACED);
    let by_clone3 = request.set_tid.1 != 0 || request.cgroup.is_some();
    let plain = special == 0 && !by_clone3 && request.exit_signal == libc::SIGCHLD as u64;
    let host_fork = || -> SysResult {
        if plain {
            // SAFETY: the child goes on with this thread only; the locks of the space and the actions are held here.
            let pid = unsafe { libc::fork() };
            return if pid < 0 { Err(Errno::last()) } else { Ok(pid as u64) };
        }
        if by_clone3 {
            let host = CloneArgs {
                flags: special | if request.cgroup.is_some() { flag::INTO_CGROUP } else { 0 },
                exit_signal: request.exit_signal,
                set_tid: if request.set_tid.1 == 0 { 0 } else { request.set_tid.0.as_ptr() as u64 },
                set_tid_size: request.set_tid.1 as u64,
                cgroup: request.cgroup.unwrap_or(0),
                ..CloneArgs::default()
            };
            let args = [&raw const host as usize, size_of::<CloneArgs>(), 0, 0, 0, 0];
            // SAFETY: as below.
            return Errno::from_ret(unsafe { sys::syscall6(libc::SYS_clone3, args) });
        }
        let flags = (special | request.exit_signal) as usize;
        // SAFETY: without CLONE_VM and a new stack the child returns here in a copy of this memory.
        Errno::from_ret(unsafe { sys::syscall6(libc::SYS_clone, [flags, 0, 0, 0, 0, 0]) })
    };
    let is_child = |made: &SysResult| *made == Ok(0);
    let pid = crate::syscall::locked(|| {
        process.filtered.locked(|| {
            process.engine.forked(request.flags & flag::FILES != 0, || {
                process.space.locked(|| process.signals.locked(|| tracer::locked(host_fork, is_child)))
            })
        })
    })?;
    if pid != 0 {
        drop(blocked);
        if request.flags & flag::PARENT_SETTID != 0 {
            let _ = task.mem.write(request.parent_tid, &(pid as u32));
        }
        store_pidfd(task, request, pid)?;
        return Ok(pid);
    }
    guarded::reset_after_fork();
    crate::gdb::forget(&task.process);
    task.tid = sys::gettid();
    task.process.filtered.only(task.tid, &task.seccomp);
    task.cpu.state = state;
    task.signal.captured.clear();
    task.signal.held.clear();
    task.signal.trap = Default::default();
    task.trace = Default::default();
    task.robust_list = 0;
    task.clear_child_tid = if request.flags & flag::CHILD_CLEARTID != 0 { request.child_tid } else { 0 };
    if request.flags & flag::CLEAR_SIGHAND != 0 {
        process.signals.reset();
    }
    write_tids(task, request, false);
    drop(blocked);
    Ok(0)
}

/// What the vfork child's entry gets.
struct VforkStart {
    task: Task,
    steady: Steady,
}

/// What child and parent both look at.
struct Steady {
    request: Request,
    /// Whether the child runs beside its parent, on storage of its own.
    beside: bool,
    /// What a child beside its parent has got to.
    stage: AtomicI32,
    /// Not 0 while such a child has not ended or executed something else: the kernel clears it.
    alive: AtomicI32,
}

/// Values of [`Steady::stage`].
mod stage {
    pub const MADE: i32 = 0;
    pub const RUNS: i32 = 1;
    pub const ENDED: i32 = 2;
}

extern "C" fn vfork_child(argument: *mut libc::c_void) -> i32 {
    // SAFETY: the parent's, who frees it when this process is done with the memory, and until then looks at `steady` alone.
    let (task, start) = unsafe {
        let start = argument.cast::<VforkStart>();
        (&mut (*start).task, &(*start).steady)
    };
    task.tid = sys::gettid();
    task.process.filtered.enter(task.tid, &task.seccomp);
    write_tids(task, &start.request, true);
    if start.beside {
        // Faults are caught on the alternate stack, which the kernel takes from such a child. Without one they end it.
        let _ = host::renew_altstack();
        start.stage.store(stage::RUNS, Ordering::Release);
    }
    // SAFETY: left before the task is dropped; the parent sets its own back.
    unsafe { capture::enter(Arc::as_ptr(&task.signal.captured)) };
    task.signal.sync_host_mask();
    let status = run::run(task);
    run::leave_thread(task);
    start.stage.store(stage::ENDED, Ordering::Release);
    exit::thread_exit(status)
}

fn vfork(task: &mut Task, request: &Request) -> SysResult {
    // Its own process: what it does to actions is not the parent's. Memory and translations are the same.
    let process = Arc::new(task.process.for_vfork());
    if request.flags & flag::CLEAR_SIGHAND != 0 {
        process.signals.forget();
    }
    let child = child_task(task, request, process)?;
    let blocked = host::Blocked::with_requests();
    let pid = if request.flags & flag::VFORK != 0 {
        let mine = Arc::as_ptr(&task.signal.captured);
        let pid = spawn_waiting(child, *request);
        // The child has gone by exec or exit: the thread-local storage is ours again.
        // SAFETY: the task's own, as `adopt_thread` set it.
        unsafe { capture::enter(mine) };
        pid?
    } else {
        spawn_beside(child, *request)?
    };
    drop(blocked);
    store_pidfd(task, request, pid as u64)?;
    Ok(pid as u64)
}

/// The host's flags for a process that shares memory: CLONE_FS and CLONE_FILES are the host's; never CLONE_SIGHAND, the child's actions
/// are its own here.
fn sharing_flags(request: &Request) -> u64 {
    let own = flag::PARENT_SETTID
        | flag::CHILD_SETTID
        | flag::CHILD_CLEARTID
        | flag::SETTLS
        | flag::PIDFD
        | flag::CLEAR_SIGHAND
        | flag::DETACHED;
    request.flags & !own & !flag::SIGHAND | request.exit_signal
}

fn vfork_start(task: Task, request: Request, beside: bool) -> VforkStart {
    let (stage, alive) = (AtomicI32::new(stage::MADE), AtomicI32::new(1));
    VforkStart { task, steady: Steady { request, beside, stage, alive } }
}

/// Makes a process that shares this one's memory and, until it is done with it, this thread's thread-local storage. Returns
/// its id then. All signals must be blocked.
fn spawn_waiting(child: Task, request: Request) -> Result<i32, Errno> {
    let stack = demotic_host::map::Stack::new(STACK).map_err(Errno::from)?;
    let start = Box::into_raw(Box::new(vfork_start(child, request, false)));
    let flags = (sharing_flags(&request) | flag::VFORK) as libc::c_int;
    // SAFETY: the stack is large enough and stays until the child is done with it; CLONE_VFORK makes this thread wait.
    let pid = unsafe { libc::clone(vfork_child, stack.top(), flags, start.cast()) };
    let errno = Errno::last();
    // SAFETY: made above; the child, if there was one, has ended or executed something else.
    drop(unsafe { Box::from_raw(start) });
    if pid < 0 { Err(errno) } else { Ok(pid) }
}

/// A process beside its parent, and what it runs on.
struct Beside {
    start: *mut VforkStart,
    _stack: demotic_host::map::Stack,
    storage: Storage,
}

// SAFETY: the pointer is to memory of its own, which the child has for itself but for what is steady.
unsafe impl Send for Beside {}

impl Beside {
    fn steady(&self) -> &Steady {
        // SAFETY: lives until `reclaim`, and nobody has it for himself.
        unsafe { &(*self.start).steady }
    }

    /// Frees what the child had, which is gone.
    fn reclaim(self) {
        // Storage of a child that was killed, or has executed something else, may be in any state.
        if self.steady().stage.load(Ordering::Acquire) == stage::ENDED {
            self.storage.give_back();
        }
        // SAFETY: from `Box::into_raw`, and nobody else's any more.
        drop(unsafe { Box::from_raw(self.start) });
    }
}

/// Those that have not been found to be gone. Only tried, never waited for: see [`demotic_host::lend`].
static BESIDE: Mutex<Vec<Beside>> = Mutex::new(Vec::new());

/// Makes a process that shares this one's memory and runs beside it; returns its id when it runs. All signals must be blocked.
fn spawn_beside(child: Task, request: Request) -> Result<i32, Errno> {
    if let Ok(mut all) = BESIDE.try_lock() {
        let (left, gone) = std::mem::take(&mut *all)
            .into_iter()
            .partition(|one: &Beside| one.steady().alive.load(Ordering::Acquire) != 0);
        *all = left;
        Vec::into_iter(gone).for_each(Beside::reclaim);
    }
    let stack = demotic_host::map::Stack::new(STACK).map_err(Errno::from)?;
    let storage = Storage::take().map_err(|_| Errno::EAGAIN)?;
    let start = Box::into_raw(Box::new(vfork_start(child, request, true)));
    let (top, pointer) = (stack.top(), storage.pointer() as *mut libc::c_void);
    let beside = Beside { start, _stack: stack, storage };
    let alive = beside.steady().alive.as_ptr();
    let flags = (sharing_flags(&request) | flag::SETTLS | flag::CHILD_CLEARTID) as libc::c_int;
    let none = std::ptr::null_mut::<libc::pid_t>();
    // SAFETY: stack, storage and start stay until the kernel has cleared the word; nobody else uses the storage.
    let pid = unsafe { libc::clone(vfork_child, top, flags, start.cast(), none, pointer, alive) };
    if pid < 0 {
        let errno = Errno::last();
        beside.steady().stage.store(stage::ENDED, Ordering::Release);
        beside.reclaim();
        return Err(errno);
    }
    // Its ids stand in memory before anybody goes on. One that was killed never says so.
    let steady = beside.steady();
    while steady.stage.load(Ordering::Acquire) == stage::MADE && steady.alive.load(Ordering::Acquire) != 0 {
        std::thread::yield_now();
    }
    // One that nobody remembers keeps its memory.
    match BESIDE.try_lock() {
        Ok(mut all) => all.push(beside),
        Err(_) => std::mem::forget(beside),
    }
    Ok(pid)
}

/// set_tid_address(2).
pub fn sys_set_tid_address(task: &mut Task, args: [u64; 6]) -> SysResult {
    task.clear_child_tid = args[0];
    Ok(task.tid as u64)
}

/// gettid(2).
pub fn sys_gettid(task: &mut Task, _args: [u64; 6]) -> SysResult {
    Ok(task.tid as u64)
}

/// getpid(2).
pub fn sys_getpid(task: &mut Task, _args: [u64; 6]) -> SysResult {
    task.syscall_host(libc::SYS_getpid, [0; 6])
}

/// set_robust_list(2). The list is walked when the thread ends by itself or ends the process; the host's kernel does not
/// know it.
pub fn sys_set_robust_list(task: &mut Task, args: [u64; 6]) -> SysResult {
    let [head, len, ..] = args;
    if len != 3 * task.word() as u64 {
        return Err(Errno::EINVAL);
    }
    task.robust_list = head;
    Ok(0)
}

/// get_robust_list(2): of the calling thread only.
pub fn sys_get_robust_list(task: &mut Task, args: [u64; 6]) -> SysResult {
    let [pid, head, len, ..] = args;
    if pid as i32 != 0 && pid as i32 != task.tid {
        task.syscall_host(libc::SYS_kill, [pid as i32 as isize as usize, 0, 0, 0, 0, 0])?;
        return Err(Errno::EPERM);
    }
    let word = task.word() as u64;
    match task.abi {
        Abi::X86_64 => {
            task.mem.write(len, &(3 * word))?;
            task.mem.write(head, &task.robust_list)?;
        }
        Abi::I386 => {
            task.mem.write(len, &(3 * word as u32))?;
            task.mem.write(head, &(task.robust_list as u32))?;
        }
    }
    Ok(0)
}

/// sched_yield(2).
pub fn sys_sched_yield(task: &mut Task, _args: [u64; 6]) -> SysResult {
    task.syscall_host(libc::SYS_sched_yield, [0; 6])
}

/// prctl(2): what means the same for the host process; the rest is EINVAL, as on a kernel without the option.
pub fn sys_prctl(task: &mut Task, args: [u64; 6]) -> SysResult {
    let [option, a, b, c, d, _] = args;
    let host_args = |second: usize| [option as usize, second, b as usize, c as usize, d as usize, 0];
    match option as i32 {
        libc::PR_SET_NAME => {
            let at = task.mem.host(a, 1, Access::Read)? as usize;
            task.syscall_host(libc::SYS_prctl, host_args(at))
        }
        libc::PR_GET_NAME => {
            let at = task.mem.host(a, 16, Access::Write)? as usize;
            task.syscall_host(libc::SYS_prctl, host_args(at))
        }
        libc::PR_GET_PDEATHSIG | libc::PR_GET_CHILD_SUBREAPER => {
            let at = task.mem.host(a, 4, Access::Write)? as usize;
            task.syscall_host(libc::SYS_prctl, host_args(at))
        }
        libc::PR_SET_PDEATHSIG
        | libc::PR_GET_DUMPABLE
        | libc::PR_SET_DUMPABLE
        | libc::PR_GET_KEEPCAPS
        | libc::PR_SET_KEEPCAPS
        | libc::PR_CAPBSET_READ
        | libc::PR_CAPBSET_DROP
        | libc::PR_GET_SECUREBITS
        | libc::PR_SET_SECUREBITS
        | libc::PR_SET_TIMERSLACK
        | libc::PR_GET_TIMERSLACK
        | libc::PR_SET_CHILD_SUBREAPER
        | libc::PR_SET_NO_NEW_PRIVS
        | libc::PR_GET_NO_NEW_PRIVS
        | libc::PR_SET_THP_DISABLE
        | libc::PR_GET_THP_DISABLE
        | libc::PR_CAP_AMBIENT
        | libc::PR_MCE_KILL
        | libc::PR_MCE_KILL_GET
        | libc::PR_SET_PTRACER => task.syscall_host(libc::SYS_prctl, host_args(a as usize)),
        // PR_SET_VMA: names of anonymous mappings, where the host keeps them.
        0x5356_4d41 => {
            let space = task.mem.space();
            let start = space.pages().at(space.pages().down(b));
            if c != 0 && !space.is_mapped(b, c) {
                return Err(Errno::ENOMEM);
            }
            let name = task.mem.host(d, 1, Access::Read)? as usize;
            task.syscall_host(libc::SYS_prctl, [option as usize, a as usize, start, c as usize, name, 0])
        }
        libc::PR_GET_SECCOMP => Ok(task.seccomp.mode().into()),
        libc::PR_SET_SECCOMP => crate::seccomp::prctl_set(task, a, b),
        // Demotic's own layout depends on what these change.
        libc::PR_SET_MM => Err(Errno::EPERM),
        libc::PR_GET_TIMING => Ok(0),
        libc::PR_SET_TIMING if a == 0 => Ok(0),
        57 | 58 => task.syscall_host(libc::SYS_prctl, host_args(a as usize)),
        libc::PR_GET_TSC => task.mem.write(a, &libc::PR_TSC_ENABLE).map(|()| 0),
        libc::PR_SET_TSC if a == libc::PR_TSC_ENABLE as u64 => Ok(0),
        libc::PR_GET_TID_ADDRESS => {
            let at = task.clear_child_tid;
            match task.abi {
                Abi::X86_64 => task.mem.write(a, &at)?,
                Abi::I386 => task.mem.write(a, &(at as u32))?,
            }
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}
