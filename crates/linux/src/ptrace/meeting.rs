//! Attaching to a thread that shares the tracer's memory.
//!
//! Problem: a process made by clone(CLONE_VM) attaches to threads of its parent, as leak checkers do. The host stops such a thread anywhere, also where it
//! holds a lock of Demotic's, and lets it go on when the tracer's Demotic passes over that stop in its wait(2). But the two have Demotic's memory in common:
//! before it waits the tracer may need that very lock, to translate its next block, say.
//! Approach: the two meet first. The thread comes to the boundary of an instruction, where it holds nothing, and waits there until it was attached to, so
//! that is where the host stops it. Later signals stop it anywhere again; a thread that is to be looked at stands in its own stop by then.

use super::Request;
use crate::task::Task;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The thread that is called, with [`HERE`] when it has come; 0: nobody is.
static CALLED: AtomicU32 = AtomicU32::new(0);
/// Above any thread id.
const HERE: u32 = 1 << 31;
/// How long one waits for the other. A thread that makes no progress (a parent in vfork(2)) is attached to as it is.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often a waiting one looks whether the other still lives.
const GLANCE: Duration = Duration::from_millis(50);

/// Sleeps while the word is `value`, for [`GLANCE`] at most.
fn sleep_while(value: u32) {
    let time = libc::timespec { tv_sec: 0, tv_nsec: GLANCE.as_nanos() as _ };
    let args = [CALLED.as_ptr() as usize, libc::FUTEX_WAIT as usize, value as usize, &raw const time as usize, 0, 0];
    // SAFETY: the word is static, the time outlives the call.
    unsafe { demotic_host::sys::syscall6(libc::SYS_futex, args) };
}

fn wake() {
    let args = [CALLED.as_ptr() as usize, libc::FUTEX_WAKE as usize, i32::MAX as usize, 0, 0, 0];
    // SAFETY: the word is static.
    unsafe { demotic_host::sys::syscall6(libc::SYS_futex, args) };
}

/// Whether a thread is of another process in this one's memory (kcmp(2); a kernel without it does not say), and can come.
fn is_to_be_met(task: &Task, tid: i32) -> bool {
    /// KCMP_VM (linux/kcmp.h).
    const VM: usize = 1;
    // SAFETY: no arguments.
    let own = unsafe { demotic_host::sys::syscall6(libc::SYS_getpid, [0; 6]) } as usize;
    super::tracer::group_of(tid) != own as i32
        && super::tracer::tracer_of(tid) == 0
        && task.syscall_host(libc::SYS_kcmp, [own, tid as usize, VM, 0, 0, 0]) == Ok(0)
}

/// Runs `attach` while the thread waits for it, if it is one that has to.
pub fn during<T>(task: &Task, tid: i32, attach: impl FnOnce() -> T) -> T {
    let is_met = is_to_be_met(task, tid) && call(task, tid);
    let result = attach();
    if is_met {
        CALLED.store(0, Ordering::Release);
        wake();
    }
    result
}

/// Calls a thread. False: it does not come.
fn call(task: &Task, tid: i32) -> bool {
    let (word, end) = (tid as u32, Instant::now() + PATIENCE);
    while let Err(other) = CALLED.compare_exchange(0, word, Ordering::AcqRel, Ordering::Acquire) {
        if Instant::now() > end {
            return false;
        }
        sleep_while(other);
    }
    let give_up = || CALLED.compare_exchange(word, 0, Ordering::AcqRel, Ordering::Acquire).is_ok();
    if super::tracer::ask(task, tid, &Request::Meet(task.tid as u32)).is_err() {
        give_up();
        return false;
    }
    while CALLED.load(Ordering::Acquire) == word {
        if Instant::now() > end && give_up() {
            return false;
        }
        sleep_while(word);
    }
    true
}

/// The called thread has come: waits until `caller` has attached to it, or is gone.
pub fn come(task: &Task, caller: u32) {
    let (called, here) = (task.tid as u32, task.tid as u32 | HERE);
    if CALLED.compare_exchange(called, here, Ordering::AcqRel, Ordering::Acquire).is_err() {
        return;
    }
    wake();
    while CALLED.load(Ordering::Acquire) == here {
        if task.syscall_host(libc::SYS_tkill, [caller as usize, 0, 0, 0, 0, 0]).is_err() {
            let _ = CALLED.compare_exchange(here, 0, Ordering::AcqRel, Ordering::Acquire);
            wake();
        }
        sleep_while(here);
    }
}
