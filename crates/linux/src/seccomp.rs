//! seccomp(2): the guest's filters, evaluated here for the guest's numbers and architecture.
//!
//! The host's kernel must not have them: it would judge Demotic's own calls. A thread's filters form a chain, newest first; children
//! and threads share its tail, and an exec hands the programs on in a memory file. Every filter is asked, and the answer that restricts
//! most counts, the newest one's among equals (kernel/seccomp.c, `seccomp_run_filters`). Programs are classic BPF, checked when they
//! come (kernel/seccomp.c, `seccomp_check_filter`; net/core/filter.c, `bpf_check_classic`), so that running one cannot fail.
//!
//! Absent: listeners (SECCOMP_FILTER_FLAG_NEW_LISTENER is EINVAL, SECCOMP_RET_USER_NOTIF answers ENOSYS as without one), the log.

use crate::abi::siginfo::Siginfo;
use crate::abi::{Abi, Wide, x86_64::SockFprog};
use crate::errno::{Errno, SysResult};
use crate::ptrace::tracee;
use crate::task::Task;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// One instruction: code, jumps if true and if false, operand (linux/filter.h, `struct sock_filter`).
type Insn = (u16, u8, u8, u32);

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
/// `sizeof(struct seccomp_data)`.
const DATA: usize = 64;

/// A program and those before it.
#[derive(Debug)]
struct Filter {
    program: Vec<Insn>,
    older: Option<Arc<Filter>>,
}

impl Filter {
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
    /// The tracer is asked, with this message; then the filters again, whose wish for a tracer is fulfilled.
    Trace(u32),
    /// It is not made, and the registers stay as they are: a signal is on its way, or the thread ends.
    Nothing,
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
    let arch: u32 = if abi == Abi::X86_64 { 0xc000_003e } else { 0x4000_0003 };
    let ip = task.cpu.state.rip;
    let mut data = [0u32; DATA / 4];
    (data[0], data[1], data[2], data[3]) = (nr, arch, ip as u32, (ip >> 32) as u32);
    for (i, arg) in args.iter().enumerate() {
        (data[4 + 2 * i], data[5 + 2 * i]) = (*arg as u32, (*arg >> 32) as u32);
    }
    let newest = task.seccomp.newest();
    let mut answer = ret::ALLOW;
    for filter in Filter::chain(&newest) {
        let one = run(&filter.program, &data);
        if ((one & ret::ACTION) as i32) < (answer & ret::ACTION) as i32 {
            answer = one;
        }
    }
    let word = answer & 0xffff;
    match answer & ret::ACTION {
        ret::ALLOW | ret::LOG => Verdict::Allow,
        ret::ERRNO if word == 0 => Verdict::Answer(Ok(0)),
        ret::ERRNO => Verdict::Answer(Err(Errno(word.min(4095) as u16))),
        ret::TRACE if is_traced => Verdict::Allow,
        ret::TRACE if tracee::hears_filters(task) => Verdict::Trace(word),
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

/// BPF's encoding (linux/bpf_common.h).
mod op {
    pub const LD_ABS: u16 = 0x20;
    pub const LD_LEN: u16 = 0x80;
    pub const LDX_LEN: u16 = 0x81;
    pub const LD_IMM: u16 = 0x00;
    pub const LDX_IMM: u16 = 0x01;
    pub const LD_MEM: u16 = 0x60;
    pub const LDX_MEM: u16 = 0x61;
    pub const ST: u16 = 0x02;
    pub const STX: u16 = 0x03;
    pub const RET_K: u16 = 0x06;
    pub const RET_A: u16 = 0x16;
    pub const TAX: u16 = 0x07;
    pub const TXA: u16 = 0x87;
    pub const JA: u16 = 0x05;
    pub const NEG: u16 = 0x84;
    /// Operand in X instead of the instruction.
    pub const X: u16 = 0x08;
    pub const ALU: u16 = 0x04;
    pub const JMP: u16 = 0x05;
}

/// Runs a checked program.
fn run(program: &[Insn], data: &[u32; DATA / 4]) -> u32 {
    let (mut a, mut x, mut memory, mut at) = (0u32, 0u32, [0u32; 16], 0usize);
    while let Some(&(code, yes, no, k)) = program.get(at) {
        at += 1;
        let slot = k as usize & 15;
        match code {
            op::LD_ABS => a = data.get(k as usize / 4).copied().unwrap_or(0),
            op::LD_LEN => a = DATA as u32,
            op::LDX_LEN => x = DATA as u32,
            op::LD_IMM => a = k,
            op::LDX_IMM => x = k,
            op::LD_MEM => a = memory[slot],
            op::LDX_MEM => x = memory[slot],
            op::ST => memory[slot] = a,
            op::STX => memory[slot] = x,
            op::RET_K => return k,
            op::RET_A => return a,
            op::TAX => x = a,
            op::TXA => a = x,
            op::JA => at += k as usize,
            op::NEG => a = a.wrapping_neg(),
            _ => {
                let operand = if code & op::X != 0 { x } else { k };
                if code & 7 == op::JMP {
                    let jumps = match code & 0xf0 {
                        0x10 => a == operand,
                        0x20 => a > operand,
                        0x30 => a >= operand,
                        _ => a & operand != 0,
                    };
                    at += usize::from(if jumps { yes } else { no });
                    continue;
                }
                a = match code & 0xf0 {
                    0x00 => a.wrapping_add(operand),
                    0x10 => a.wrapping_sub(operand),
                    0x20 => a.wrapping_mul(operand),
                    // By X: the program ends (net/core/filter.c, `bpf_convert_filter`).
                    0x30 => match a.checked_div(operand) {
                        Some(quotient) => quotient,
                        None => return 0,
                    },
                    0x40 => a | operand,
                    0x50 => a & operand,
                    0x60 => a.wrapping_shl(operand),
                    0x70 => a.wrapping_shr(operand),
                    _ => a ^ operand,
                };
            }
        }
    }
    // A checked program ends with a return.
    ret::KILL_PROCESS
}

/// Whether a program can be taken: known instructions, jumps inside it, no load from what was not stored, a return at its end.
fn is_valid(program: &[Insn]) -> bool {
    let len = program.len();
    // Which memory words are set on all ways to an instruction.
    let mut set = vec![u16::MAX; len];
    let mut here = 0u16;
    for (at, &(code, yes, no, k)) in program.iter().enumerate() {
        here &= set[at];
        let inside = |distance: usize| at + distance + 1 < len;
        let good = match code {
            op::LD_ABS => (k as usize) < DATA && k % 4 == 0,
            op::LD_LEN | op::LDX_LEN | op::LD_IMM | op::LDX_IMM | op::RET_K | op::RET_A => true,
            op::TAX | op::TXA | op::NEG => true,
            op::LD_MEM | op::LDX_MEM => k < 16 && here & 1 << k != 0,
            op::ST | op::STX => k < 16,
            op::JA => inside(k as usize),
            _ if code & 7 == op::JMP => {
                matches!(code & !op::X, 0x15 | 0x25 | 0x35 | 0x45) && inside(yes.into()) && inside(no.into())
            }
            _ if code & 7 == op::ALU => {
                let by_k = code & op::X == 0;
                match code & !op::X {
                    0x04 | 0x14 | 0x24 | 0x44 | 0x54 | 0xa4 => true,
                    0x34 => !(by_k && k == 0),
                    0x64 | 0x74 => !(by_k && k >= 32),
                    _ => false,
                }
            }
            _ => false,
        };
        if !good {
            return false;
        }
        match code {
            op::ST | op::STX => here |= 1 << k,
            op::JA => {
                set[at + 1 + k as usize] &= here;
                here = u16::MAX;
            }
            _ if code & 7 == op::JMP => {
                set[at + 1 + usize::from(yes)] &= here;
                set[at + 1 + usize::from(no)] &= here;
                here = u16::MAX;
            }
            _ => {}
        }
    }
    matches!(program.last(), Some((op::RET_K | op::RET_A, ..)))
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
const TSYNC_ESRCH: u64 = 16;

fn set_filter(task: &mut Task, flags: u64, program_at: u64) -> SysResult {
    const KNOWN: u64 = TSYNC | 2 | 4 | TSYNC_ESRCH;
    if flags & !KNOWN != 0 {
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
    if Filter::chain(&older).map(|f| f.program.len() + 4).sum::<usize>() + len > MAX_CHAIN {
        return Err(Errno::ENOMEM);
    }
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
        let newest = Some(Arc::new(Filter { program, older: older.clone() }));
        threads.iter().for_each(|(_, state)| state.set(FILTER, newest.clone()));
        return Ok(0);
    }
    task.seccomp.set(FILTER, Some(Arc::new(Filter { program, older })));
    Ok(0)
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
            ret::KILL_PROCESS | ret::KILL_THREAD | ret::TRAP | ret::ERRNO | ret::TRACE | ret::LOG | ret::ALLOW => Ok(0),
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

/// The filters for the next program in a memory file, oldest first: for each the number of its instructions and these. `None` without
/// any, or if the host has no room.
pub fn export(state: &State) -> Option<i32> {
    let newest = state.newest();
    let chain: Vec<_> = Filter::chain(&newest).collect();
    let mut bytes = Vec::new();
    for filter in chain.iter().rev() {
        bytes.extend_from_slice(&(filter.program.len() as u32).to_le_bytes());
        for &(code, yes, no, k) in &filter.program {
            bytes.extend_from_slice(&code.to_le_bytes());
            bytes.extend_from_slice(&[yes, no]);
            bytes.extend_from_slice(&k.to_le_bytes());
        }
    }
    if bytes.is_empty() {
        return None;
    }
    crate::exec::memory_file(c"seccomp", &bytes)
}

/// What [`export`] wrote; the descriptor is closed.
pub fn import(fd: i32) -> Arc<State> {
    let bytes = crate::exec::take_memory_file(fd);
    let state = State::default();
    let mut newest = None;
    let mut rest = bytes.as_slice();
    while let Some((head, tail)) = rest.split_at_checked(4) {
        let count = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some((program, tail)) = tail.split_at_checked(count * 8) else { break };
        let insn =
            |b: &[u8]| (u16::from_le_bytes([b[0], b[1]]), b[2], b[3], u32::from_le_bytes([b[4], b[5], b[6], b[7]]));
        let program: Vec<Insn> = program.chunks_exact(8).map(insn).collect();
        // Whoever hands over something else gets a program that lets nothing through.
        let program = if is_valid(&program) { program } else { vec![(op::RET_K, 0, 0, ret::KILL_PROCESS)] };
        newest = Some(Arc::new(Filter { program, older: newest }));
        rest = tail;
    }
    state.set(FILTER, newest);
    Arc::new(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOW: Insn = (op::RET_K, 0, 0, ret::ALLOW);

    #[test]
    fn programs_are_checked() {
        assert!(is_valid(&[ALLOW]));
        assert!(!is_valid(&[]));
        assert!(!is_valid(&[(op::LD_ABS, 0, 0, 0)]));
        assert!(!is_valid(&[(op::LD_ABS, 0, 0, 2), ALLOW]));
        assert!(!is_valid(&[(op::LD_ABS, 0, 0, 64), ALLOW]));
        assert!(is_valid(&[(0x15, 0, 0, 1), ALLOW]));
        assert!(!is_valid(&[(0x15, 1, 0, 1), ALLOW]));
        assert!(!is_valid(&[(op::JA, 0, 0, u32::MAX), ALLOW]));
        assert!(!is_valid(&[(0x34, 0, 0, 0), ALLOW]));
        assert!(is_valid(&[(0x3c, 0, 0, 0), ALLOW]));
        assert!(!is_valid(&[(0x94, 0, 0, 1), ALLOW]));
        assert!(!is_valid(&[(op::LD_MEM, 0, 0, 3), ALLOW]));
        assert!(is_valid(&[(op::ST, 0, 0, 3), (op::LD_MEM, 0, 0, 3), ALLOW]));
        // Stored on one of two ways only.
        assert!(!is_valid(&[(0x15, 1, 0, 0), (op::ST, 0, 0, 3), (op::LD_MEM, 0, 0, 3), ALLOW]));
    }

    #[test]
    fn programs_run() {
        let mut data = [0u32; 16];
        data[0] = 39;
        let filter = [(op::LD_ABS, 0, 0, 0), (0x15, 0, 1, 39), (op::RET_K, 0, 0, ret::ERRNO | 7), ALLOW];
        assert_eq!(run(&filter, &data), ret::ERRNO | 7);
        data[0] = 40;
        assert_eq!(run(&filter, &data), ret::ALLOW);
        // A division by X, which is 0, ends the program with 0.
        assert_eq!(run(&[(0x3c, 0, 0, 0), ALLOW], &data), 0);
        let arithmetic =
            [(op::LD_IMM, 0, 0, 5), (op::TAX, 0, 0, 0), (0x2c, 0, 0, 0), (0x14, 0, 0, 1), (op::RET_A, 0, 0, 0)];
        assert_eq!(run(&arithmetic, &data), 24);
    }
}
