//! Raw system calls, and system calls that a signal can interrupt without a race.
//!
//! The race: a signal arrives after the last check for pending signals and before the kernel is entered; the call would then
//! sleep although a guest handler has to run. [`syscall_interruptible`] checks a flag and enters the kernel in one stretch of
//! code whose limits are known; the signal handler sets the flag and calls [`abort_syscall`], which moves a PC inside that
//! stretch to its abort path. Behind the system call instruction the kernel itself has answered EINTR or a result.

use crate::arch;

unsafe extern "C" {
    fn demotic_syscall_interruptible(flag: *const u8, nr: usize, args: *const usize) -> usize;
    static demotic_syscall_start: u8;
    static demotic_syscall_end: u8;
    static demotic_syscall_abort: u8;
}

/// What [`syscall_interruptible`] returns when it did not enter the kernel: -ERESTARTSYS (include/linux/errno.h).
pub const NOT_ENTERED: isize = -512;

/// A system call with raw arguments: the kernel's return value, minus an errno in its last 4095 values.
///
/// # Safety
/// Whatever the call does with the arguments must be sound.
#[inline]
pub unsafe fn syscall6(nr: libc::c_long, args: [usize; 6]) -> isize {
    // SAFETY: the caller's contract.
    unsafe { arch::syscall6(nr as usize, args) as isize }
}

/// Like [`syscall6`], but returns [`NOT_ENTERED`] without entering the kernel if `flag` is not zero.
///
/// # Safety
/// Whatever the call does with the arguments must be sound.
pub unsafe fn syscall_interruptible(flag: &std::sync::atomic::AtomicBool, nr: libc::c_long, args: [usize; 6]) -> isize {
    // SAFETY: the flag lives as long as the call; the rest is the caller's contract.
    unsafe { demotic_syscall_interruptible(flag.as_ptr().cast(), nr as usize, args.as_ptr()) as isize }
}

/// To be called by a signal handler after it set the flag: a call of [`syscall_interruptible`] that has not entered the
/// kernel yet will return [`NOT_ENTERED`]. Returns whether the context was changed.
pub fn abort_syscall(context: &mut libc::ucontext_t) -> bool {
    let pc = arch::pc(context);
    let inside = pc >= &raw const demotic_syscall_start as usize && pc < &raw const demotic_syscall_end as usize;
    if inside {
        arch::set_pc(context, &raw const demotic_syscall_abort as usize);
    }
    inside
}

/// Kernel thread id of the caller.
pub fn gettid() -> i32 {
    // SAFETY: no arguments, no effect.
    unsafe { syscall6(libc::SYS_gettid, [0; 6]) as i32 }
}

/// CPU time of the calling thread in nanoseconds (clock_gettime(2), CLOCK_THREAD_CPUTIME_ID); 0 if the clock is absent.
pub fn thread_cpu_ns() -> u64 {
    cpu_ns(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// CPU time of the process in nanoseconds.
pub fn process_cpu_ns() -> u64 {
    cpu_ns(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn cpu_ns(clock: libc::clockid_t) -> u64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is ours.
    if unsafe { libc::clock_gettime(clock, &mut ts) } != 0 {
        return 0;
    }
    ts.tv_sec as u64 * 1_000_000_000 + ts.tv_nsec as u64
}

/// An entry of this process's auxiliary vector (getauxval(3)).
pub fn auxv(kind: u64) -> Option<u64> {
    // SAFETY: errno is this thread's own; getauxval only reads.
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
    unsafe {
        *libc::__errno_location() = 0;
        let value = libc::getauxval(kind as libc::c_ulong);
        (value != 0 || *libc::__errno_location() == 0).then_some(value as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    static HITS: AtomicU64 = AtomicU64::new(0);
    static FLAG: AtomicBool = AtomicBool::new(false);
    static ABORTED: AtomicBool = AtomicBool::new(false);

    extern "C" fn on_signal(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
        FLAG.store(true, Ordering::SeqCst);
        HITS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the kernel's context of this handler.
        if abort_syscall(unsafe { &mut *context.cast() }) {
            ABORTED.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn flag_and_signal_interrupt_a_read() {
        crate::signal::install(libc::SIGUSR2, on_signal).unwrap();
        let mut pipe = [0; 2];
        // SAFETY: plain pipe(2).
        assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
        let mut byte = 0u8;
        let args = [pipe[0] as usize, &raw mut byte as usize, 1, 0, 0, 0];
        // SAFETY: reads one byte into `byte`; the signal goes to this thread.
        unsafe {
            FLAG.store(true, Ordering::SeqCst);
            assert_eq!(syscall_interruptible(&FLAG, libc::SYS_read, args), NOT_ENTERED);
            FLAG.store(false, Ordering::SeqCst);
            assert_eq!(libc::write(pipe[1], b"x".as_ptr().cast(), 1), 1);
            assert_eq!(syscall_interruptible(&FLAG, libc::SYS_read, args), 1);
            assert_eq!(byte, b'x');
            // A storm of signals at random moments: the read must never sleep on.
            let (pid, tid) = (std::process::id() as i32, gettid());
            let storm = std::thread::spawn(move || {
                for i in 0..300u64 {
                    let until = std::time::Instant::now() + std::time::Duration::from_nanos(i * 397 % 60_000);
                    while std::time::Instant::now() < until {}
                    while FLAG.load(Ordering::SeqCst) {
                        std::thread::yield_now();
                    }
                    libc::syscall(libc::SYS_tgkill, pid, tid, libc::SIGUSR2);
                    while HITS.load(Ordering::SeqCst) == i {
                        std::thread::yield_now();
                    }
                }
            });
            for _ in 0..300 {
                let ret = syscall_interruptible(&FLAG, libc::SYS_read, args);
                assert!(ret == NOT_ENTERED || ret == -(libc::EINTR as isize), "{ret}");
                FLAG.store(false, Ordering::SeqCst);
            }
            storm.join().unwrap();
        }
        // SAFETY: no arguments, no effect.
        assert_eq!(gettid(), unsafe { libc::gettid() });
        assert!(process_cpu_ns() > 0 && thread_cpu_ns() > 0);
    }
}
