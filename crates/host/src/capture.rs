//! Catching asynchronous signals for the guest. signal-safe (the handlers; `take` is for the thread's own code).
//!
//! Problem: a guest handler can only run at a guest instruction boundary, but the host's signal arrives anywhere. Approach:
//! the host handler notes the siginfo in the thread's [`Captured`], asks the executor to come back, aborts a system call that
//! has not been entered yet ([`crate::sys::abort_syscall`]) and returns with every signal blocked, so that exactly one signal
//! is under way and the others keep their order and their queue in the kernel. Whoever delivers it sets the mask again.
//!
//! The synchronous signals stay open (see [`crate::signal::SYNCHRONOUS`]); when one of them was *sent*, it is captured, too.
//! So a few entries suffice; if they are full, a signal is lost as standard signals are when they are pending already.

use crate::signal::{self, SYNCHRONOUS, Set};
use crate::sys;
use std::cell::{Cell, UnsafeCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Bytes of siginfo_t on every Linux.
pub const SIGINFO: usize = 128;
const ROOM: usize = 8;

/// A signal as the kernel described it: the raw siginfo_t.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub struct Info(pub [u8; SIGINFO]);

impl std::fmt::Debug for Info {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Info(signal {}, code {})", self.signo(), self.code())
    }
}

impl Info {
    /// One that the kernel sends by itself (SI_KERNEL).
    pub fn of_kernel(signo: i32) -> Info {
        let mut info = Info([0; 128]);
        info.0[0..4].copy_from_slice(&signo.to_ne_bytes());
        info.0[8..12].copy_from_slice(&libc::SI_KERNEL.to_ne_bytes());
        info
    }
    fn word(&self, at: usize) -> i32 {
        i32::from_ne_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }
    /// si_signo.
    pub fn signo(&self) -> i32 {
        self.word(0)
    }
    /// si_code.
    pub fn code(&self) -> i32 {
        self.word(8)
    }
}

/// Signals that arrived for one guest thread and are not delivered yet.
pub struct Captured {
    count: AtomicUsize,
    entries: UnsafeCell<[Info; ROOM]>,
    attention: Arc<AtomicBool>,
    unseen: AtomicBool,
}

// SAFETY: the entries are only touched by the owning thread and the handlers that interrupt it.
unsafe impl Send for Captured {}
// SAFETY: as above; other threads only see the atomics.
unsafe impl Sync for Captured {}

impl std::fmt::Debug for Captured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Captured").field("count", &self.count).finish_non_exhaustive()
    }
}

thread_local! {
    static CURRENT: Cell<*const Captured> = const { Cell::new(std::ptr::null()) };
}

impl Captured {
    /// Nothing captured; `attention` is set when something is.
    pub fn new(attention: Arc<AtomicBool>) -> Arc<Captured> {
        Arc::new(Captured {
            count: AtomicUsize::new(0),
            entries: UnsafeCell::new([Info([0; SIGINFO]); ROOM]),
            attention,
            unseen: AtomicBool::new(false),
        })
    }

    /// Whether a stop for the tracer ([`signal::mark::STOP`]) came back to the thread since the last time: nobody traces it.
    pub fn take_unseen(&self) -> bool {
        self.unseen.swap(false, Ordering::AcqRel)
    }

    /// True if [`Captured::take`] would return something.
    pub fn any(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// Takes what was captured, in order. Only the owning thread may call this.
    pub fn take(&self) -> Vec<Info> {
        self.copy(true)
    }

    /// What [`Captured::take`] would return; it stays. Only the owning thread may call this.
    pub fn look(&self) -> Vec<Info> {
        self.copy(false)
    }

    fn copy(&self, takes: bool) -> Vec<Info> {
        if !self.any() {
            return Vec::new();
        }
        let old = signal::set_mask(!0);
        // SAFETY: this is the owning thread, and no handler can run.
        let infos = unsafe { (&*self.entries.get())[..self.count.load(Ordering::Relaxed)].to_vec() };
        if takes {
            self.count.store(0, Ordering::Release);
        }
        signal::set_mask(old);
        infos
    }

    /// Replaces the owning thread's mask of blocked signals, unless something is captured: then everything stays blocked until it is
    /// delivered. A signal that arrives between that check and the kernel must not have its mask opened again by this very call:
    /// the next one would be captured, too, find itself blocked by the first one's handler, and go back behind its successors.
    pub fn set_mask(&self, mask: Set) {
        let args = [libc::SIG_SETMASK as usize, &raw const mask as usize, 0, size_of::<Set>(), 0, 0];
        // SAFETY: the kernel reads the set.
        let call = || unsafe { sys::syscall_interruptible(&self.attention, libc::SYS_rt_sigprocmask, args) };
        if self.any() || call() != sys::NOT_ENTERED {
            return;
        }
        // Something wants attention, a signal or not: with all of them blocked the check holds.
        signal::set_mask(!SYNCHRONOUS);
        if !self.any() {
            signal::set_mask(mask);
        }
    }

    /// Forgets everything: in a forked child, pending signals are the parent's.
    pub fn clear(&self) {
        self.count.store(0, Ordering::Release);
    }

    fn add(&self, info: &Info) {
        let n = self.count.load(Ordering::Relaxed);
        if n < ROOM {
            // SAFETY: runs in a handler on the owning thread with all maskable signals blocked; `take` blocks all.
            unsafe { (*self.entries.get())[n] = *info };
            self.count.store(n + 1, Ordering::Release);
        }
        self.attention.store(true, Ordering::Release);
    }
}

/// Makes signals that arrive on this thread go to `captured` until [`leave`]. Returns what was set before, for vfork children
/// that borrow their parent's thread-local storage.
///
/// # Safety
/// `captured` must stay alive until then.
pub unsafe fn enter(captured: *const Captured) -> *const Captured {
    CURRENT.replace(captured)
}

/// Signals that arrive on this thread are dropped from now on.
pub fn leave() {
    CURRENT.set(std::ptr::null());
}

/// Makes an executor that is interrupted at this context come back soon. Runs in the signal handler.
pub type Kick = fn(context: &mut libc::ucontext_t);

static KICK: AtomicUsize = AtomicUsize::new(0);

/// Sets what is called when a signal was captured for the thread, behind setting its attention.
pub fn set_kick(kick: Kick) {
    KICK.store(kick as usize, Ordering::Release);
}

/// Notes a signal and arranges for the thread to come to the delivery soon.
fn capture(info: *const libc::siginfo_t, context: &mut libc::ucontext_t) {
    let current = CURRENT.get();
    if current.is_null() {
        return;
    }
    // SAFETY: `enter`'s contract; the kernel's siginfo has 128 bytes.
    unsafe {
        let info = &*info.cast::<Info>();
        if info.code() == signal::mark::STOP {
            (*current).unseen.store(true, Ordering::Release);
            return;
        }
        (*current).add(info);
    }
    sys::abort_syscall(context);
    let kick = KICK.load(Ordering::Acquire);
    if kick != 0 {
        // SAFETY: only `set_kick` stores here.
        unsafe { std::mem::transmute::<usize, Kick>(kick)(context) };
    }
    signal::set_context_mask(context, !SYNCHRONOUS);
}

/// The handler to install for signals that the guest handles.
pub extern "C" fn on_signal(_: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel's context of this handler.
    capture(info, unsafe { &mut *context.cast() });
}

/// The hook for the faults' signals (see [`crate::guarded::set_hook`]): takes those that somebody sent.
pub fn fault_hook(_: i32, info: &libc::siginfo_t, context: &mut libc::ucontext_t) -> bool {
    if info.si_code > 0 || CURRENT.get().is_null() {
        return false;
    }
    capture(info, context);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_signal_is_captured_and_the_next_waits() {
        let attention = Arc::new(AtomicBool::new(false));
        let captured = Captured::new(attention.clone());
        let old = signal::mask();
        signal::install(libc::SIGRTMIN(), on_signal).unwrap();
        // SAFETY: left below.
        unsafe { enter(Arc::as_ptr(&captured)) };
        // SAFETY: signals to this thread only.
        unsafe {
            for _ in 0..2 {
                libc::syscall(libc::SYS_tgkill, std::process::id(), sys::gettid(), libc::SIGRTMIN());
            }
        }
        assert!(attention.swap(false, Ordering::SeqCst));
        let first = captured.take();
        assert_eq!(first.iter().map(|i| (i.signo(), i.code())).collect::<Vec<_>>(), [(libc::SIGRTMIN(), -6)]);
        assert!(captured.take().is_empty());
        assert_eq!(signal::pending(), signal::bit(libc::SIGRTMIN()));
        signal::set_mask(old);
        assert_eq!(captured.take().len(), 1);
        leave();
        signal::set_mask(old);
    }

    #[test]
    fn opening_the_mask_captures_one_at_a_time() {
        const COUNT: i32 = 40_000;
        let attention = Arc::new(AtomicBool::new(false));
        let captured = Captured::new(attention.clone());
        let old = signal::set_mask(!SYNCHRONOUS);
        signal::install(libc::SIGRTMIN() + 1, on_signal).unwrap();
        // SAFETY: left below.
        unsafe { enter(Arc::as_ptr(&captured)) };
        let (pid, tid) = (std::process::id(), sys::gettid());
        let received = Arc::new(std::sync::atomic::AtomicI32::new(0));
        let answered = received.clone();
        let sender = std::thread::spawn(move || {
            for number in 0..COUNT {
                let mut info = Info([0; SIGINFO]);
                info.0[..4].copy_from_slice(&(libc::SIGRTMIN() + 1).to_ne_bytes());
                info.0[8..12].copy_from_slice(&libc::SI_QUEUE.to_ne_bytes());
                // si_value is behind pid and uid, which follow the padding of the host's word.
                let value = 8 + 8 + size_of::<usize>();
                info.0[value..value + 4].copy_from_slice(&number.to_ne_bytes());
                let args =
                    [pid as usize, tid as usize, (libc::SIGRTMIN() + 1) as usize, info.0.as_ptr() as usize, 0, 0];
                // SAFETY: the kernel reads the siginfo. The queue may be full for a moment.
                while unsafe { sys::syscall6(libc::SYS_rt_tgsigqueueinfo, args) } != 0 {
                    std::thread::yield_now();
                }
                // Pairs: the first one interrupts the receiver anywhere, as the sender waits for it and a moment that varies.
                while number % 2 == 1 && answered.load(Ordering::SeqCst) <= number {
                    std::hint::spin_loop();
                }
                (0..number % 32).for_each(|_| std::hint::spin_loop());
            }
        });
        let mut next = 0;
        while next < COUNT {
            captured.set_mask(!SYNCHRONOUS & !signal::bit(libc::SIGRTMIN() + 1));
            let infos = captured.take();
            assert!(infos.len() <= 1, "{} were captured at once", infos.len());
            if !infos.is_empty() {
                assert_eq!(infos[0].word(8 + 8 + size_of::<usize>()), next);
                next += 1;
                received.store(next, Ordering::SeqCst);
            }
            attention.store(false, Ordering::SeqCst);
        }
        sender.join().unwrap();
        leave();
        signal::set_mask(old);
    }
}
