//! seccomp(2): the guest's filters, evaluated here for the guest's numbers and architecture.
//!
//! The host's kernel must not have them: it would judge Demotic's own calls. A thread's filters form a chain, newest first; children
//! and threads share its tail, and an exec hands the programs on in a memory file. Every filter is asked, and the answer that restricts
//! most counts, the newest one's among equals (kernel/seccomp.c, `seccomp_run_filters`). Programs are classic BPF ([`program`]), checked
//! when they come, so that running one cannot fail. A filter may have a listener ([`listener`]), which is the host's kernel's.
//!
//! Absent: the log.

pub mod listener;
pub mod program;

use crate::abi::siginfo::Siginfo;
use crate::abi::{Abi, Wide, x86_64::SockFprog};
use crate::errno::{Errno, SysResult};
use crate::ptrace::tracee;
use crate::task::Task;
use listener::flag;
use program::{DATA, Insn, from_bytes, is_valid, op, run, to_bytes};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// Modes as `prctl(PR_GET_SECCOMP)` tells them.
const STRICT: u8 = 1;
const FILTER: u8 = 2;

/// Answers of filters (linux/seccomp.h).
mod ret {
    pub const KILL_PROCESS: u32 = 0x8000_0000;
    pub const KILL_THREAD: u32 = 0;
    pub const TRAP: u32 = 0x0003_0000;
    pub const ERRNO: u32 = 0x0005_0000;
    pub const USER_NOTIF: u32 = 0x7fc0_0000;
    pub const TRACE: u32 = 0x7ff0_0000;
    pub const LOG: u32 = 0x7ffc_0000;
    pub const ALLOW: u32 = 0x7fff_0000;
    pub const ACTION: u32 = 0xffff_0000;
}

/// Most instructions of one program, and of a chain with four more for each program.
const MAX_PROGRAM: usize = 4096;
const MAX_CHAIN: usize = 32768;

/// A program and those before it.
#[derive(Debug)]
struct Filter {
    program: Vec<Insn>,
    /// The flags that it came with.
    flags: u32,
    older: Option<Arc<Filter>>,
    /// It and those before it as [`export`] and a tracer want them.
    image: OnceLock<Vec<u8>>,
}

impl Filter {
    fn new(program: Vec<Insn>, flags: u32, older: Option<Arc<Filter>>) -> Arc<Filter> {
        Arc::new(Filter { program, flags, older, image: OnceLock::new() })
    }
    fn has_listener(&self) -> bool {
        u64::from(self.flags) & flag::NEW_LISTENER != 0
    }
    /// Oldest first: for each the number of its instructions, its flags, and the instructions.
    fn image(self: &Arc<Self>) -> &[u8] {
        self.image.get_or_init(|| {
            let newest = Some(self.clone());
            let chain: Vec<_> = Filter::chain(&newest).collect();
            let mut bytes = Vec::new();
            for filter in chain.iter().rev() {
                bytes.extend_from_slice(&(filter.program.len() as u32).to_le_bytes());
                bytes.extend_from_slice(&filter.flags.to_le_bytes());
                bytes.extend(filter.program.iter().flat_map(to_bytes));
            }
            bytes
        })
    }
    fn chain(first: &Option<Arc<Filter>>) -> impl Iterator<Item = &Arc<Filter>> {
        std::iter::successors(first.as_ref(), |filter| filter.older.as_ref())
    }
}

/// What a thread has asked for.
#[derive(Debug, Default)]
pub struct State {
    mode: AtomicU8,
    newest: Mutex<Option<Arc<Filter>>>,
}

impl State {
    fn newest(&self) -> Option<Arc<Filter>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    fn set(&self, mode: u8, newest: Option<Arc<Filter>>) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = newest;
        self.mode.store(mode, Ordering::Release);
    }
    /// Whether calls have to be looked at.
    pub fn is_active(&self) -> bool {
        self.mode.load(Ordering::Acquire) != 0
    }
    /// The mode: 0 for none, 1 strict, 2 filters.
    pub fn mode(&self) -> u8 {
        self.mode.load(Ordering::Acquire)
    }
    /// How many filters there are.
    pub fn count(&self) -> usize {
        Filter::chain(&self.newest()).count()
    }
    /// Where a tracer finds the filters, and how many bytes ([`Parts`] reads them): the memory stays while the thread has them. Zeros without any.
    pub fn shown(&self) -> (u64, u64) {
        self.newest().map_or((0, 0), |newest| {
            let image = newest.image();
            (image.as_ptr() as u64, image.len() as u64)
        })
    }
}

/// The threads of a process, for SECCOMP_FILTER_FLAG_TSYNC.
#[derive(Debug, Default)]
pub struct Threads(Mutex<Vec<(i32, Weak<State>)>>);

impl Threads {
    /// A thread that starts.
    pub fn enter(&self, tid: i32, state: &Arc<State>) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(|(_, state)| state.strong_count() > 0);
        list.push((tid, Arc::downgrade(state)));
    }
    /// After a fork: only the calling thread is left.
    pub fn only(&self, tid: i32, state: &Arc<State>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.enter(tid, state);
    }
    /// Runs `f` (a fork) while no other thread holds the list.
    pub fn locked<T>(&self, f: impl FnOnce() -> T) -> T {
        let _guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f()
    }
}

/// The state of a thread that `state`'s makes.
pub fn inherit(state: &State) -> Arc<State> {
    let child = State::default();
    child.set(state.mode(), state.newest());
    Arc::new(child)
}

/// What is to be done with a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is made.
    Allow,
    /// It answers this (0 is possible) and is not made.
    Answer(Result<u64, Errno>),
    /// The listener is asked.
    Notify,
    /// The tracer is asked, with this message; then the filters again, whose wish for a tracer is fulfilled.
    Trace(u32),
    /// It is not made, and the registers stay as they are: a signal is on its way, or the thread ends.
    Nothing,
}

/// AUDIT_ARCH_ of an ABI (linux/audit.h).
pub fn arch(abi: Abi) -> u32 {
    if abi == Abi::X86_64 { 0xc000_003e } else { 0x4000_0003 }
}

/// Judges a system call with this number and arguments; kills, or sends the signal. `is_traced`: the tracer has been asked.
pub fn judge(task: &mut Task, abi: Abi, nr: u32, args: &[u64; 6], is_traced: bool) -> Verdict {
    if tracee::suspends_filters(task) {
        return Verdict::Allow;
    }
    if task.seccomp.mode() == STRICT {
        let allowed: [u32; 4] = if abi == Abi::X86_64 { [0, 1, 60, 15] } else { [3, 4, 1, 119] };
        if allowed.contains(&nr) {
            return Verdict::Allow;
        }
        end(task, libc::SIGKILL);
        return Verdict::Nothing;
    }
    let arch = arch(abi);
    let ip = task.cpu.state.rip;
    let mut data = [0u32; DATA / 4];
    (data[0], data[1], data[2], data[3]) = (nr, arch, ip as u32, (ip >> 32) as u32);
    for (i, arg) in args.iter().enumerate() {
        (data[4 + 2 * i], data[5 + 2 * i]) = (*arg as u32, (*arg >> 32) as u32);
    }
    let newest = task.seccomp.newest();
    let (mut answer, mut has_listener) = (ret::ALLOW, false);
    for filter in Filter::chain(&newest) {
        let one = run(&filter.program, &data);
        if ((one & ret::ACTION) as i32) < (answer & ret::ACTION) as i32 {
            (answer, has_listener) = (one, filter.has_listener());
        }
    }
    let word = answer & 0xffff;
    match answer & ret::ACTION {
        ret::ALLOW | ret::LOG => Verdict::Allow,
        ret::ERRNO if word == 0 => Verdict::Answer(Ok(0)),
        ret::ERRNO => Verdict::Answer(Err(Errno(word.min(4095) as u16))),
        ret::TRACE if is_traced => Verdict::Allow,
        ret::TRACE if tracee::hears_filters(task) => Verdict::Trace(word),
        ret::USER_NOTIF if has_listener => Verdict::Notify,
        ret::TRACE | ret::USER_NOTIF => Verdict::Answer(Err(Errno::ENOSYS)),
        ret::TRAP => {
            let info = Siginfo {
                signo: libc::SIGSYS,
                errno: word as i32,
                code: 1,
                pid: nr as i32,
                uid: arch as i32,
                value: ip,
                ..Siginfo::default()
            };
            crate::signal::deliver::force(task, &info);
            Verdict::Nothing
        }
        ret::KILL_THREAD if threads() > 1 => {
            task.exiting = Some(libc::SIGSYS);
            Verdict::Nothing
        }
        _ => {
            end(task, libc::SIGSYS);
            Verdict::Nothing
        }
    }
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// The process dies of the signal, whatever it has arranged for it.
fn end(task: &mut Task, signo: i32) {
    task.process.preserve();
    crate::futex::release_robust(task);
    if signo == libc::SIGKILL {
        // SAFETY: no memory is involved.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
    demotic_host::signal::die_of(signo);
}

/// Whether the thread has CAP_SYS_ADMIN.
pub fn is_privileged(task: &Task) -> bool {
    const CAP_SYS_ADMIN: u32 = 21;
    let (header, mut sets) = ([0x2008_0522u32, 0], [0u32; 6]);
    let args = [&raw const header as usize, &raw mut sets as usize, 0, 0, 0, 0];
    task.syscall_host(libc::SYS_capget, args).is_ok() && sets[0] & 1 << CAP_SYS_ADMIN != 0
}

fn has_no_new_privileges(task: &Task) -> bool {
    task.syscall_host(libc::SYS_prctl, [libc::PR_GET_NO_NEW_PRIVS as usize, 0, 0, 0, 0, 0]) == Ok(1)
}

const TSYNC: u64 = 1;
const LOG: u64 = 2;
const SPEC_ALLOW: u64 = 4;
const TSYNC_ESRCH: u64 = 16;

fn set_filter(task: &mut Task, flags: u64, program_at: u64) -> SysResult {
    const KNOWN: u64 = TSYNC | LOG | SPEC_ALLOW | TSYNC_ESRCH | flag::NEW_LISTENER | flag::WAIT_KILLABLE_RECV;
    let listens = flags & flag::NEW_LISTENER != 0;
    // The answer would be a descriptor or the thread that cannot follow, and nobody knew which.
    let is_ambiguous = listens && flags & (TSYNC | TSYNC_ESRCH) == TSYNC;
    if flags & !KNOWN != 0 || is_ambiguous || (flags & flag::WAIT_KILLABLE_RECV != 0 && !listens) {
        return Err(Errno::EINVAL);
    }
    let given = SockFprog::load(&task.mem, task.abi, program_at)?;
    let len = usize::from(given.len);
    if len == 0 || len > MAX_PROGRAM {
        return Err(Errno::EINVAL);
    }
    if !has_no_new_privileges(task) && !is_privileged(task) {
        return Err(Errno::EACCES);
    }
    let words = task.mem.read_vec::<[u32; 2]>(given.filter, len)?;
    let program: Vec<Insn> =
        words.iter().map(|&[head, k]| (head as u16, (head >> 16) as u8, (head >> 24) as u8, k)).collect();
    if !is_valid(&program) || task.seccomp.mode() == STRICT {
        return Err(Errno::EINVAL);
    }
    let older = task.seccomp.newest();
    let has_listener = Filter::chain(&older).any(|filter| filter.has_listener());
    if listens && has_listener {
        return Err(Errno::EBUSY);
    }
    if Filter::chain(&older).map(|f| f.program.len() + 4).sum::<usize>() + len > MAX_CHAIN {
        return Err(Errno::ENOMEM);
    }
    let filter = Filter::new(program, flags as u32, older.clone());
    if flags & TSYNC != 0 {
        // All threads must have a part of this thread's chain.
        let list = task.process.filtered.0.lock().unwrap_or_else(PoisonError::into_inner);
        let threads: Vec<_> = list.iter().filter_map(|(tid, state)| Some((*tid, state.upgrade()?))).collect();
        let is_part = |theirs: Option<Arc<Filter>>| {
            theirs.is_none_or(|theirs| Filter::chain(&older).any(|own| Arc::ptr_eq(own, &theirs)))
        };
        if let Some((tid, _)) = threads.iter().find(|(_, state)| state.mode() == STRICT || !is_part(state.newest())) {
            return if flags & TSYNC_ESRCH != 0 { Err(Errno::ESRCH) } else { Ok(*tid as u64) };
        }
        let answer = match (listens, has_listener) {
            (true, _) => listener::open(task, flags)?,
            (false, true) => listener::share(task)?,
            _ => 0,
        };
        threads.iter().for_each(|(_, state)| state.set(FILTER, Some(filter.clone())));
        return Ok(answer);
    }
    let answer = if listens { listener::open(task, flags)? } else { 0 };
    task.seccomp.set(FILTER, Some(filter));
    Ok(answer)
}

fn set_strict(task: &mut Task) -> SysResult {
    if task.seccomp.mode() == FILTER {
        return Err(Errno::EINVAL);
    }
    task.seccomp.set(STRICT, None);
    Ok(0)
}

/// seccomp(2).
pub fn sys_seccomp(task: &mut Task, args: [u64; 6]) -> SysResult {
    let [operation, flags, at, ..] = args;
    let (operation, flags) = (operation as u32, flags as u32 as u64);
    match operation {
        0 if flags == 0 && at == 0 => set_strict(task),
        1 => set_filter(task, flags, at),
        2 if flags == 0 => match task.mem.read::<u32>(at)? {
            ret::KILL_PROCESS | ret::KILL_THREAD | ret::TRAP | ret::ERRNO | ret::USER_NOTIF => Ok(0),
            ret::TRACE | ret::LOG | ret::ALLOW => Ok(0),
            _ => Err(Errno::EOPNOTSUPP),
        },
        // struct seccomp_notif_sizes
        3 if flags == 0 => task.mem.write(at, &[80u16, 24, 64]).map(|()| 0),
        _ => Err(Errno::EINVAL),
    }
}

/// `prctl(PR_SET_SECCOMP, mode, program)`.
pub fn prctl_set(task: &mut Task, mode: u64, at: u64) -> SysResult {
    match mode {
        1 => set_strict(task),
        2 => set_filter(task, 0, at),
        _ => Err(Errno::EINVAL),
    }
}

/// The filters for the next program in a memory file. `None` without any, or if the host has no room.
pub fn export(state: &State) -> Option<i32> {
    crate::exec::memory_file(c"seccomp", state.newest()?.image())
}

/// The filters in what [`export`] wrote, oldest first: flags, and the bytes of the instructions.
#[derive(Debug)]
pub struct Parts<'a>(pub &'a [u8]);

impl<'a> Iterator for Parts<'a> {
    type Item = (u32, &'a [u8]);
    fn next(&mut self) -> Option<Self::Item> {
        let (head, rest) = self.0.split_first_chunk::<8>()?;
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (count, flags) = (word(0), word(4));
        let (program, rest) = rest.split_at_checked((count as usize).checked_mul(size_of::<[u32; 2]>())?)?;
        self.0 = rest;
        Some((flags, program))
    }
}

/// What [`export`] wrote; the descriptor is closed.
pub fn import(fd: i32) -> Arc<State> {
    let bytes = crate::exec::take_memory_file(fd);
    let state = State::default();
    let mut newest = None;
    for (flags, program) in Parts(&bytes) {
        let program: Vec<Insn> = program.chunks_exact(8).flat_map(<&[u8; 8]>::try_from).map(from_bytes).collect();
        // Whoever hands over something else gets a program that lets nothing through.
        let program = if is_valid(&program) { program } else { vec![(op::RET_K, 0, 0, ret::KILL_PROCESS)] };
        newest = Some(Filter::new(program, flags, newest));
    }
    state.set(FILTER, newest);
    Arc::new(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_travel() {
        let allow: Insn = (op::RET_K, 0, 0, ret::ALLOW);
        let oldest = Filter::new(vec![(op::LD_ABS, 0, 0, 4), allow], LOG as u32, None);
        let newest = Filter::new(vec![allow], flag::NEW_LISTENER as u32, Some(oldest));
        let state = State::default();
        state.set(FILTER, Some(newest));
        let Some(fd) = export(&state) else { panic!("no memory file") };
        let back = import(fd);
        assert_eq!((back.mode(), back.count()), (FILTER, 2));
        let newest = back.newest();
        let back: Vec<_> = Filter::chain(&newest).map(|f| (f.flags, f.program.len(), f.has_listener())).collect();
        assert_eq!(back, [(8, 1, true), (2, 2, false)]);
        // A part that ends too early is none.
        assert_eq!(Parts(&[9, 0, 0, 0, 0, 0, 0, 0, 1, 2]).count(), 0);
    }
}
