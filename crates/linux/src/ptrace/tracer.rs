//! The tracer: which threads it traces, and what their host stops are for the guest.

use super::{Record, Request, event, kind, mode};
use crate::errno::{Errno, SysResult};
use crate::task::Task;
use demotic_host::capture::Info;
use demotic_host::signal::{SYNCHRONOUS, bit, mark};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use zerocopy::{FromBytes, IntoBytes};

/// PTRACE_O_ bits (linux/ptrace.h).
pub mod option {
    #![allow(missing_docs)]
    pub const TRACESYSGOOD: u64 = 1;
    pub const EXITKILL: u64 = 1 << 20;
    /// Events FORK, VFORK, CLONE, EXEC, VFORKDONE and EXIT, which the host makes.
    pub const EVENTS: u64 = 0x7e;
    /// A filter's SECCOMP_RET_TRACE stops the thread, which does it itself.
    pub const TRACESECCOMP: u64 = 1 << 7;
    /// Filters are not asked.
    pub const SUSPEND_SECCOMP: u64 = 1 << 21;
    /// What the traced thread has to know.
    pub const HEEDED: u64 = TRACESECCOMP | SUSPEND_SECCOMP;
    /// All that the kernel knows.
    pub const ALL: u64 = 0xff | EXITKILL | SUSPEND_SECCOMP;
}

/// A thread that this process traces.
#[derive(Clone, Copy, Debug)]
pub struct Tracee {
    /// By PTRACE_SEIZE.
    pub is_seized: bool,
    /// [`option`] bits.
    pub options: u64,
    /// Its process.
    pub group: i32,
    /// Address of its record, once it is known.
    pub record: u64,
    /// The stop that it is in, as wait(2) tells.
    pub stop: Option<Stop>,
    /// The stop that it was asked for and has not made yet.
    wants: Option<Request>,
    /// What was done of attaching to a thread that was stopped with its group already.
    from_group: FromGroup,
}

/// Attaching to a thread that is stopped with its group: it stands anywhere, so it goes on to a stop of its own, which is shown as the group's. The
/// SIGSTOP that attaching sent comes on the way, and is the guest's next stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum FromGroup {
    /// It was not, or all is done.
    #[default]
    No,
    /// On its way.
    Coming,
    /// On its way, or there; SIGSTOP was held back.
    Owed,
    /// SIGSTOP was sent again.
    Sent,
}

/// A stop that the guest sees.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    /// What wait(2) answers.
    pub status: i32,
    /// Whether the record has the registers.
    pub is_exact: bool,
    /// One of [`kind`].
    pub kind: u32,
    /// The host's stop is one that Demotic makes.
    pub is_own: bool,
}

static TRACEES: Mutex<BTreeMap<i32, Tracee>> = Mutex::new(BTreeMap::new());
/// Whether there was ever one.
static TRACES: AtomicBool = AtomicBool::new(false);
/// Writes into other processes' memory that their translators have not heard of: process, start, length.
static WRITTEN: Mutex<Vec<(i32, u64, u64)>> = Mutex::new(Vec::new());

/// Runs `f` on the table of traced threads.
pub fn with<T>(f: impl FnOnce(&mut BTreeMap<i32, Tracee>) -> T) -> T {
    f(&mut TRACEES.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Runs `f` (a fork of the host process, which gives 0 in the child) while the table is whole. The child traces nobody.
pub fn locked<T>(f: impl FnOnce() -> T, is_child: impl FnOnce(&T) -> bool) -> T {
    let mut tracees = TRACEES.lock().unwrap_or_else(PoisonError::into_inner);
    let mut written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
    let result = f();
    if is_child(&result) {
        tracees.clear();
        written.clear();
        TRACES.store(false, Ordering::Relaxed);
    }
    result
}

/// Whether this process traces anybody, or did.
pub fn traces() -> bool {
    TRACES.load(Ordering::Relaxed)
}

/// Adds a thread.
pub fn add(tid: i32, is_seized: bool, options: u64) {
    TRACES.store(true, Ordering::Relaxed);
    let group = group_of(tid);
    with(|all| {
        all.insert(
            tid,
            Tracee { is_seized, options, group, record: 0, stop: None, wants: None, from_group: FromGroup::No },
        )
    });
}

/// The process of a thread.
pub fn group_of(tid: i32) -> i32 {
    status_field(tid, "Tgid:").unwrap_or(tid)
}

/// Who traces a thread; 0: nobody.
pub fn tracer_of(tid: i32) -> i32 {
    status_field(tid, "TracerPid:").unwrap_or(0)
}

/// A number in /proc/TID/status.
fn status_field(tid: i32, name: &str) -> Option<i32> {
    let text = std::fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
}

/// The host's ptrace(2).
pub fn ptrace(task: &Task, request: u32, tid: i32, addr: usize, data: usize) -> SysResult {
    task.syscall_host(libc::SYS_ptrace, [request as usize, tid as isize as usize, addr, data, 0, 0])
}

/// What the host's wait(2) told about a stopped child or tracee.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// Not traced by this thread: the status is the guest's.
    Plain,
    /// Nothing for the guest: the thread runs again.
    Passed,
    /// What the guest gets instead.
    Status(i32),
}

/// What a stop is for the guest; goes over those that are none for it.
pub fn seen(task: &Task, tid: i32, status: i32) -> Seen {
    if let Some(stop) = with(|all| all.get(&tid).and_then(|tracee| tracee.stop)) {
        return Seen::Status(stop.status);
    }
    let (sig, event_code) = (status >> 8 & 0xff, (status >> 16) as u32);
    let mut info = Info([0; 128]);
    let got = ptrace(task, libc::PTRACE_GETSIGINFO, tid, 0, &raw mut info as usize);
    // EINVAL is a stopped group. ESRCH: not traced by this thread; ENOSYS: an emulator without ptrace(2).
    if got.is_err_and(|errno| errno != Errno::EINVAL) {
        return Seen::Plain;
    }
    if with(|all| !all.contains_key(&tid)) {
        adopt(tid);
        crate::signal::hear_of_children(&task.process.signals);
    }
    if event_code != 0 {
        return seen_event(task, tid, status, sig, event_code);
    }
    if got.is_err() {
        // A stopped group. One that stopped before it was traced did so anywhere.
        if !is_parked(task, tid) && with(|all| all.get(&tid).is_some_and(|t| !t.is_seized && t.record == 0)) {
            set_from_group(tid, FromGroup::Coming);
            let _ = ask(task, tid, &Request::Stop);
            go_on(task, tid, 0);
            return Seen::Passed;
        }
        return parked_or_not(task, tid, status);
    }
    if sig == libc::SIGSTOP {
        match from_group(tid) {
            FromGroup::Coming => {
                set_from_group(tid, FromGroup::Owed);
                go_on(task, tid, 0);
                return Seen::Passed;
            }
            FromGroup::Sent => {
                set_from_group(tid, FromGroup::No);
                info = Info::of_kernel(sig);
            }
            _ => {}
        }
    }
    match info.code() {
        mark::STOP => return own_stop(task, tid, &info),
        mark::REQUEST => {
            // One that was under way already takes the place of another, as standard signals do.
            let wants = with(|all| all.get(&tid).and_then(|t| t.wants));
            if let (Some(Request::Hello), Some(wants)) = (Request::decode(&info), wants) {
                let request = wants.encode();
                let _ = ptrace(task, libc::PTRACE_SETSIGINFO, tid, 0, &raw const request as usize);
            }
            go_on(task, tid, sig);
        }
        mark::DUE => go_on(task, tid, sig),
        code if code > 0 && bit(sig) & SYNCHRONOUS != 0 => go_on(task, tid, sig),
        _ => {
            let request = Request::Signal(info).encode();
            let sent = ptrace(task, libc::PTRACE_SETSIGINFO, tid, 0, &raw const request as usize);
            go_on(task, tid, if sent.is_ok() { libc::SIGTRAP } else { sig });
        }
    }
    Seen::Passed
}

/// A thread that is traced without anybody having attached to it: by PTRACE_TRACEME, or a child whose parent has not told yet.
fn adopt(tid: i32) {
    let group = group_of(tid);
    let parent = status_field(tid, "PPid:").unwrap_or(0);
    let like =
        with(|all| all.values().find(|t| t.group == group || t.group == parent).map(|t| (t.is_seized, t.options)));
    let (is_seized, options) = like.unwrap_or((false, 0));
    add(tid, is_seized, options);
}

fn from_group(tid: i32) -> FromGroup {
    with(|all| all.get(&tid).map_or(FromGroup::No, |tracee| tracee.from_group))
}

fn set_from_group(tid: i32, new: FromGroup) {
    with(|all| all.get_mut(&tid).map(|tracee| tracee.from_group = new));
}

fn go_on(task: &Task, tid: i32, sig: i32) {
    let _ = ptrace(task, libc::PTRACE_CONT, tid, 0, sig as usize);
}

/// Sends a request to a thread.
pub fn ask(task: &Task, tid: i32, request: &Request) -> SysResult {
    let group = with(|all| {
        let Some(tracee) = all.get_mut(&tid) else { return group_of(tid) };
        if !matches!(request, Request::Hello) {
            tracee.wants = Some(*request);
        }
        tracee.group
    });
    let info = request.encode();
    let args = [group as usize, tid as usize, libc::SIGTRAP as usize, &raw const info as usize, 0, 0];
    task.syscall_host(libc::SYS_rt_tgsigqueueinfo, args)
}

fn seen_event(task: &Task, tid: i32, status: i32, sig: i32, code: u32) -> Seen {
    match code {
        event::STOP if sig == libc::SIGTRAP => {
            if is_parked(task, tid) {
                return parked_or_not(task, tid, status);
            }
            let _ = ask(task, tid, &Request::Stop);
            go_on(task, tid, 0);
            Seen::Passed
        }
        event::EXEC => {
            let before = message(task, tid);
            with(|all| {
                if before as i32 != tid {
                    all.remove(&(before as i32));
                }
                if let Some(tracee) = all.get_mut(&tid) {
                    (tracee.record, tracee.stop) = (0, None);
                }
            });
            let _ = ask(task, tid, &Request::Exec(before as u32));
            go_on(task, tid, 0);
            Seen::Passed
        }
        event::FORK | event::VFORK | event::CLONE => {
            let child = message(task, tid) as i32;
            let like = with(|all| all.get(&tid).copied());
            if let Some(like) = like {
                if with(|all| match all.get_mut(&child) {
                    Some(known) => {
                        (known.options, known.is_seized) = (like.options, like.is_seized);
                        false
                    }
                    None => true,
                }) {
                    add(child, like.is_seized, like.options);
                }
            }
            parked_or_not(task, tid, status)
        }
        _ => parked_or_not(task, tid, status),
    }
}

/// PTRACE_GETEVENTMSG of the host's stop.
fn message(task: &Task, tid: i32) -> u64 {
    let mut message = 0 as libc::c_ulong;
    let _ = ptrace(task, libc::PTRACE_GETEVENTMSG, tid, 0, &raw mut message as usize);
    #[allow(clippy::useless_conversion)]
    u64::from(message)
}

fn is_parked(task: &Task, tid: i32) -> bool {
    load(task, tid).is_ok_and(|record| record.parked != 0)
}

/// A stop of the host's that is the guest's as it is.
fn parked_or_not(task: &Task, tid: i32, status: i32) -> Seen {
    let is_exact = is_parked(task, tid);
    let stop = Stop { status, is_exact, kind: kind::PARKED, is_own: false };
    with(|all| all.get_mut(&tid).map(|tracee| tracee.stop = Some(stop)));
    Seen::Status(status)
}

/// A stop that the thread made.
fn own_stop(task: &Task, tid: i32, info: &Info) -> Seen {
    let mut address = [0; 8];
    address.copy_from_slice(&info.0[16..24]);
    let address = u64::from_ne_bytes(address);
    with(|all| all.get_mut(&tid).map(|tracee| tracee.record = address));
    let Ok(record) = load(task, tid) else {
        go_on(task, tid, 0);
        return Seen::Passed;
    };
    let good = with(|all| all.get(&tid).is_some_and(|t| t.options & option::TRACESYSGOOD != 0));
    let trap = libc::SIGTRAP;
    let code = match record.kind {
        kind::ENTRY | kind::EXIT => trap | if good { 0x80 } else { 0 },
        kind::SIGNAL => record.signo,
        kind::EVENT if matches!(from_group(tid), FromGroup::Coming | FromGroup::Owed) => libc::SIGSTOP,
        kind::EVENT => trap | (record.event as i32) << 8,
        kind::NOTICE => trap,
        _ => {
            // It told where its record is.
            let _ = finish(task, tid, record, mode::CONT, 0);
            go_on(task, tid, 0);
            return Seen::Passed;
        }
    };
    let status = code << 8 | 0x7f;
    let stop = Stop { status, is_exact: true, kind: record.kind, is_own: true };
    with(|all| {
        if let Some(tracee) = all.get_mut(&tid) {
            tracee.stop = Some(stop);
            tracee.wants = tracee.wants.filter(|_| record.kind != kind::EVENT);
        }
    });
    Seen::Status(status)
}

/// A traced thread has ended.
pub fn gone(tid: i32) {
    if traces() {
        with(|all| all.remove(&tid));
    }
}

fn transfer(task: &Task, nr: libc::c_long, tid: i32, local: *mut u8, remote: u64, len: usize) -> Result<(), Errno> {
    let local = libc::iovec { iov_base: local.cast(), iov_len: len };
    let remote = libc::iovec { iov_base: remote as usize as *mut libc::c_void, iov_len: len };
    let args = [tid as usize, &raw const local as usize, 1, &raw const remote as usize, 1, 0];
    match task.syscall_host(nr, args) {
        Ok(n) if n as usize == len => Ok(()),
        Ok(_) => Err(Errno::EFAULT),
        Err(e) => Err(e),
    }
}

/// Fills `buf` from a thread's memory.
///
/// # Errors
/// EIO when it is not there.
pub fn read(task: &Task, tid: i32, at: u64, buf: &mut [u8]) -> Result<(), Errno> {
    transfer(task, libc::SYS_process_vm_readv, tid, buf.as_mut_ptr(), at, buf.len()).map_err(|_| Errno::EIO)
}

/// A thread's record.
///
/// # Errors
/// EIO when there is none.
pub fn load(task: &Task, tid: i32) -> Result<Record, Errno> {
    let address = with(|all| all.get(&tid).map_or(0, |t| t.record));
    if address == 0 {
        return Err(Errno::EIO);
    }
    let mut bytes = [0u8; size_of::<Record>()];
    read(task, tid, address, &mut bytes)?;
    let record = Record::read_from_bytes(&bytes).map_err(|_| Errno::EIO)?;
    if record.is_of(tid) { Ok(record) } else { Err(Errno::EIO) }
}

/// Puts a changed record back.
///
/// # Errors
/// EIO when there is none.
pub fn store(task: &Task, tid: i32, record: &Record) -> Result<(), Errno> {
    let address = with(|all| all.get(&tid).map_or(0, |t| t.record));
    let bytes = record.as_bytes();
    transfer(task, libc::SYS_process_vm_writev, tid, bytes.as_ptr().cast_mut(), address, bytes.len())
        .map_err(|_| Errno::EIO)
}

/// Notes that memory of another process was written to.
pub fn wrote(group: i32, start: u64, len: u64) {
    WRITTEN.lock().unwrap_or_else(PoisonError::into_inner).push((group, start, len));
}

/// Writes into a record how the thread goes on.
///
/// # Errors
/// EIO when it is gone.
pub fn finish(task: &Task, tid: i32, mut record: Record, mode: u32, inject: i32) -> Result<(), Errno> {
    record.mode = mode;
    record.options = with(|all| all.get(&tid).map_or(0, |t| (t.options & option::HEEDED) as u32));
    record.resumed = 1;
    record.inject = inject;
    let group = record.pid;
    WRITTEN.lock().unwrap_or_else(PoisonError::into_inner).retain(|&(of, start, len)| {
        if of == group {
            record.forget(start, len);
        }
        of != group
    });
    store(task, tid, &record)
}

/// Lets a thread go on from the stop that the guest saw.
///
/// # Errors
/// ESRCH when it is in none.
pub fn resume(task: &Task, tid: i32, mode: u32, inject: i32) -> SysResult {
    let stop = with(|all| all.get(&tid).and_then(|t| t.stop)).ok_or(Errno::ESRCH)?;
    if let Ok(record) = load(task, tid) {
        if record.parked != 0 {
            // Only stops that the thread made itself take a signal; another one that is on its way stays.
            let inject = if stop.is_own { inject } else { record.inject };
            finish(task, tid, record, mode, inject)?;
        }
    }
    match from_group(tid) {
        FromGroup::Owed => {
            let _ = task.syscall_host(libc::SYS_tkill, [tid as usize, libc::SIGSTOP as usize, 0, 0, 0, 0]);
            set_from_group(tid, FromGroup::Sent);
        }
        FromGroup::Coming => set_from_group(tid, FromGroup::No),
        _ => {}
    }
    let request = if mode == mode::DETACHED { libc::PTRACE_DETACH } else { libc::PTRACE_CONT };
    // Of a thread whose registers are not known the host delivers.
    with(|all| match all.get_mut(&tid) {
        Some(tracee) if mode != mode::DETACHED => tracee.stop = None,
        _ => drop(all.remove(&tid)),
    });
    ptrace(task, request, tid, 0, 0)
}

/// Goes over stops of traced threads that are none for the guest, without waiting: before the guest hears of SIGCHLD.
pub fn pump(task: &Task) {
    if !traces() {
        return;
    }
    let running: Vec<i32> = with(|all| all.iter().filter(|(_, t)| t.stop.is_none()).map(|(&tid, _)| tid).collect());
    for tid in running {
        look(task, tid, libc::WNOHANG);
    }
}

/// Looks at a stop of a thread, which the guest's wait(2) is still to be told of. False: there is none.
fn look(task: &Task, tid: i32, options: i32) -> bool {
    let mut info = [0u64; 16];
    let options = options | libc::WSTOPPED | libc::WNOWAIT | libc::__WALL;
    let args = [libc::P_PID as usize, tid as usize, info.as_mut_ptr() as usize, options as usize, 0, 0];
    if task.syscall_host(libc::SYS_waitid, args).is_err() {
        return false;
    }
    let stopped = crate::abi::siginfo::Siginfo::from_host(raw(&info));
    let is_stop = stopped.pid == tid && matches!(stopped.code, libc::CLD_TRAPPED | libc::CLD_STOPPED);
    if is_stop {
        seen(task, tid, stopped.status << 8 | 0x7f);
    }
    is_stop
}

/// To be called when a thread was attached to: one that was stopped already is traced at once, as the kernel makes it, and may be asked and
/// resumed before any wait(2) (debuggers do that).
pub fn settle_stopped(task: &Task, tid: i32) {
    let mut info = Info([0; 128]);
    if ptrace(task, libc::PTRACE_GETSIGINFO, tid, 0, &raw mut info as usize) != Err(Errno::EINVAL) {
        return;
    }
    while with(|all| all.get(&tid).is_some_and(|t| t.stop.is_none())) && look(task, tid, 0) {}
}

/// The bytes of a siginfo_t.
pub fn raw(info: &[u64; 16]) -> [u8; 128] {
    let mut raw = [0u8; 128];
    for (bytes, word) in raw.chunks_exact_mut(8).zip(info) {
        bytes.copy_from_slice(&word.to_ne_bytes());
    }
    raw
}

/// Whether the process behind a thread id is one of Demotic's: only those stop as this tracer understands it.
pub fn is_ours(tid: i32) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Some(own) = crate::exec::own_metadata() else { return true };
    match std::fs::metadata(format!("/proc/{tid}/exe")) {
        Ok(exe) => (exe.dev(), exe.ino()) == (own.dev(), own.ino()),
        Err(_) => true,
    }
}

/// The host's part of the guest's options.
pub fn host_options(options: u64) -> usize {
    (options & (option::EVENTS | option::EXITKILL)) as usize
}
