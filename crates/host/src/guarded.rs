//! Memory accesses that survive faults: how Demotic touches guest memory. signal-safe (all but [`install`]).
//!
//! Problem: any guest address may be unmapped, or become so at any time by another guest thread, so no check beforehand is
//! sound. Approach: the accesses are short inline sequences (see `arch`), each listed in a table in the binary. A SIGSEGV or
//! SIGBUS whose PC is in the table notes what happened in a thread-local [`Fault`] and continues at the sequence's fault
//! exit; the access then returns `Err`. All other faults go to the hook (the guest's asynchronous SIGSEGV, translated code),
//! and if that declines, one line is written and the process dies of the signal.
//!
//! Invariants: the handlers are installed before the first access ([`install`]); SIGSEGV and SIGBUS are never blocked in
//! threads that touch guest memory (the kernel would kill the process); handlers run on the thread's alternate stack.

use crate::arch;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Why an access failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Fault {
    /// SIGSEGV or SIGBUS.
    pub signo: i32,
    /// The kernel's si_code (sigaction(2)): SEGV_MAPERR, SEGV_ACCERR, BUS_ADRERR, ...
    pub code: i32,
    /// The faulting host address. On x86-64 it is 0 for non-canonical addresses.
    pub addr: usize,
}

thread_local! {
    static LAST: Cell<Fault> = const { Cell::new(Fault { signo: 0, code: 0, addr: 0 }) };
}

/// The fault that the handler noted last in this thread.
#[cold]
#[inline(never)]
fn last_fault() -> Fault {
    LAST.get()
}

#[inline(always)]
fn value<T>(result: Option<T>) -> Result<T, Fault> {
    match result {
        Some(value) => Ok(value),
        None => Err(last_fault()),
    }
}

#[inline(always)]
fn done(ok: bool) -> Result<(), Fault> {
    if ok { Ok(()) } else { Err(last_fault()) }
}

macro_rules! accesses {
    ($($bits:literal $ty:ty: $load:ident $acquire:ident $store:ident $release:ident $cmpxchg:ident $xchg:ident;)*) => {$(
        #[doc = concat!("Loads ", $bits, " bits from a host address, at any alignment.")]
        ///
        /// # Safety
        /// Reading the address must not break a Rust reference to it; it may be unmapped.
        #[inline]
        pub unsafe fn $load(addr: usize) -> Result<$ty, Fault> {
            // SAFETY: same contract.
            value(unsafe { arch::$load(addr) })
        }
        #[doc = concat!("Loads ", $bits, " bits in x86 memory order (acquire).")]
        ///
        /// # Safety
        /// As the plain load.
        #[inline]
        pub unsafe fn $acquire(addr: usize) -> Result<$ty, Fault> {
            // SAFETY: same contract.
            value(unsafe { arch::$acquire(addr) })
        }
        #[doc = concat!("Stores ", $bits, " bits to a host address, at any alignment.")]
        ///
        /// # Safety
        /// The address must not be memory that Rust code relies on; it may be unmapped.
        #[inline]
        pub unsafe fn $store(addr: usize, value: $ty) -> Result<(), Fault> {
            // SAFETY: same contract.
            done(unsafe { arch::$store(addr, value) })
        }
        #[doc = concat!("Stores ", $bits, " bits in x86 memory order (release).")]
        ///
        /// # Safety
        /// As the plain store.
        #[inline]
        pub unsafe fn $release(addr: usize, value: $ty) -> Result<(), Fault> {
            // SAFETY: same contract.
            done(unsafe { arch::$release(addr, value) })
        }
        #[doc = concat!("Compares and exchanges ", $bits, " bits, sequentially consistent: the value that was found.")]
        ///
        /// # Safety
        /// As the plain store.
        #[inline]
        pub unsafe fn $cmpxchg(addr: usize, expected: $ty, new: $ty) -> Result<$ty, Fault> {
            // SAFETY: same contract.
            value(unsafe { arch::$cmpxchg(addr, expected, new) })
        }
        #[doc = concat!("Exchanges ", $bits, " bits, sequentially consistent: the old value.")]
        ///
        /// # Safety
        /// As the plain store.
        #[inline]
        pub unsafe fn $xchg(addr: usize, new: $ty) -> Result<$ty, Fault> {
            // SAFETY: same contract.
            value(unsafe { arch::$xchg(addr, new) })
        }
    )*};
}

accesses! {
    8 u8: load8 load8_acquire store8 store8_release cmpxchg8 xchg8;
    16 u16: load16 load16_acquire store16 store16_release cmpxchg16 xchg16;
    32 u32: load32 load32_acquire store32 store32_release cmpxchg32 xchg32;
    64 u64: load64 load64_acquire store64 store64_release cmpxchg64 xchg64;
}

/// Loads 128 bits; not atomic as a whole.
///
/// # Safety
/// As [`load64`].
#[inline]
pub unsafe fn load128(addr: usize) -> Result<u128, Fault> {
    // SAFETY: same contract.
    value(unsafe { arch::load128(addr) })
}

/// Loads 128 bits in x86 memory order.
///
/// # Safety
/// As [`load64`].
#[inline]
pub unsafe fn load128_acquire(addr: usize) -> Result<u128, Fault> {
    // SAFETY: same contract.
    value(unsafe { arch::load128_acquire(addr) })
}

/// Stores 128 bits; not atomic as a whole, and the first half may be stored when the second faults.
///
/// # Safety
/// As [`store64`].
#[inline]
pub unsafe fn store128(addr: usize, value: u128) -> Result<(), Fault> {
    // SAFETY: same contract.
    done(unsafe { arch::store128(addr, value) })
}

/// Stores 128 bits in x86 memory order.
///
/// # Safety
/// As [`store64`].
#[inline]
pub unsafe fn store128_release(addr: usize, value: u128) -> Result<(), Fault> {
    // SAFETY: same contract.
    done(unsafe { arch::store128_release(addr, value) })
}

/// Compares and exchanges 128 bits at an address aligned to 16: the value that was found.
///
/// # Safety
/// As [`store64`].
#[inline]
pub unsafe fn cmpxchg128(addr: usize, expected: u128, new: u128) -> Result<u128, Fault> {
    // SAFETY: same contract.
    value(unsafe { arch::cmpxchg128(addr, expected, new) })
}

/// Copies `len` bytes from a guest's host address to a buffer of ours. After an error a first part has been copied.
///
/// # Safety
/// `to` must be valid for `len` bytes of writing; `from` may be unmapped.
pub unsafe fn copy_from(to: *mut u8, from: usize, len: usize) -> Result<(), Fault> {
    // SAFETY: same contract.
    done(unsafe { arch::copy(to as usize, from, len) })
}

/// Copies `len` bytes of ours to a guest's host address. After an error a first part has been copied.
///
/// # Safety
/// `from` must be valid for `len` bytes of reading; `to` may be unmapped, but not memory that Rust code relies on.
pub unsafe fn copy_to(to: usize, from: *const u8, len: usize) -> Result<(), Fault> {
    // SAFETY: same contract.
    done(unsafe { arch::copy(to, from as usize, len) })
}

/// The lock of [`unaligned_rmw`]. A plain flag, so that a child can reset it after fork.
static RMW_LOCK: AtomicBool = AtomicBool::new(false);

/// Does a read-modify-write that the host cannot do atomically (unaligned on ARM: x86's split lock), one at a time. Plain
/// stores of other threads to the same place are not kept out.
#[cold]
pub fn unaligned_rmw<T>(operation: impl FnOnce() -> T) -> T {
    while RMW_LOCK.compare_exchange_weak(false, true, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        std::thread::yield_now();
    }
    let result = operation();
    RMW_LOCK.store(false, Ordering::Release);
    result
}

/// To be called in the child after a fork: a thread that did not come along may have held the lock.
pub fn reset_after_fork() {
    RMW_LOCK.store(false, Ordering::Release);
}
unsafe extern "C" {
    #[link_name = "__start_demotic_extable"]
    static TABLE_START: [i32; 3];
    #[link_name = "__stop_demotic_extable"]
    static TABLE_STOP: [i32; 3];
}

/// Where to go on after a fault at `pc`, if `pc` is in a guarded sequence.
fn fixup(pc: usize) -> Option<usize> {
    let mut entry = &raw const TABLE_START;
    let stop = &raw const TABLE_STOP;
    while entry < stop {
        let at = entry as usize;
        // SAFETY: the linker made these symbols the bounds of an array of such entries.
        let [start, end, to] = unsafe { *entry };
        let start = at.wrapping_add_signed(start as isize);
        let end = (at + 4).wrapping_add_signed(end as isize);
        if (start..end).contains(&pc) {
            return Some((at + 8).wrapping_add_signed(to as isize));
        }
        // SAFETY: still at most at the end of the array.
        entry = unsafe { entry.add(1) };
    }
    None
}

/// What to do with a SIGSEGV or SIGBUS that no guarded access caused. Returns false if it cannot tell either.
/// Runs in the signal handler.
pub type Hook = fn(signo: i32, info: &libc::siginfo_t, context: &mut libc::ucontext_t) -> bool;

static HOOK: AtomicUsize = AtomicUsize::new(0);
static CODE_HOOK: AtomicUsize = AtomicUsize::new(0);

/// Sets the hook for faults outside guarded accesses.
pub fn set_hook(hook: Hook) {
    HOOK.store(hook as usize, Ordering::Release);
}

/// Sets the hook for faults in generated code; it is asked before the other one.
pub fn set_code_hook(hook: Hook) {
    CODE_HOOK.store(hook as usize, Ordering::Release);
}

/// If the context stands in a guarded access, makes it return a fault. For handlers of other signals, too.
pub fn recover(signo: i32, info: &libc::siginfo_t, context: &mut libc::ucontext_t) -> bool {
    // A signal that somebody sent has a code of 0 or less and is no fault (sigaction(2)).
    if info.si_code <= 0 {
        return false;
    }
    let Some(to) = fixup(arch::pc(context)) else { return false };
    // SAFETY: for faults the kernel fills in the address.
    let addr = unsafe { info.si_addr() } as usize;
    LAST.set(Fault { signo, code: info.si_code, addr });
    arch::set_pc(context, to);
    true
}

extern "C" fn on_fault(signo: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel hands over valid pointers to both, ours for the time of the handler.
    let (info, context) = unsafe { (&*info, &mut *context.cast::<libc::ucontext_t>()) };
    if recover(signo, info, context) {
        return;
    }
    for hook in [&CODE_HOOK, &HOOK] {
        let hook = hook.load(Ordering::Acquire);
        if hook == 0 {
            continue;
        }
        // SAFETY: only `set_hook` and `set_code_hook` store there.
        let hook = unsafe { std::mem::transmute::<usize, Hook>(hook) };
        if hook(signo, info, context) {
            return;
        }
    }
    // SAFETY: as in `recover`.
    let addr = unsafe { info.si_addr() } as usize;
    crate::log::line(format_args!(
        "demotic: internal error: signal {signo} code {} at host pc {:#x}, address {addr:#x}",
        info.si_code,
        arch::pc(context)
    ));
    // With the default action the instruction faults again and the process dies of it, with a core dump if wanted.
    crate::signal::set_default(signo);
    if info.si_code <= 0 {
        // SAFETY: raising a signal at ourselves.
        unsafe { libc::raise(signo) };
    }
}

/// The signals that these handlers are for: generated code divides, computes with exceptions unmasked, and is single-stepped.
pub const FAULTS: [i32; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGTRAP];

/// Installs the process's handlers for [`FAULTS`] and this thread's alternate stack. Idempotent.
///
/// # Errors
/// What sigaction(2) and mmap(2) say.
pub fn install() -> std::io::Result<()> {
    crate::signal::install_altstack()?;
    for signo in FAULTS {
        crate::signal::install(signo, on_fault)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two pages, the second one inaccessible.
    fn pages() -> usize {
        install().unwrap();
        // SAFETY: fresh anonymous memory.
        unsafe {
            let p = libc::mmap(
                std::ptr::null_mut(),
                131072,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(p, libc::MAP_FAILED);
            assert_eq!(libc::mprotect(p.byte_add(65536), 65536, libc::PROT_NONE), 0);
            p as usize
        }
    }

    #[test]
    fn values_survive_at_every_alignment() {
        let p = pages();
        for offset in 0..17 {
            let a = p + offset;
            // SAFETY: within the first page.
            unsafe {
                store8(a, 0x81).unwrap();
                assert_eq!(load8(a), Ok(0x81));
                store16(a, 0x8182).unwrap();
                assert_eq!(load16(a), Ok(0x8182));
                assert_eq!(load16_acquire(a), Ok(0x8182));
                store32_release(a, 0x8182_8384).unwrap();
                assert_eq!(load32_acquire(a), Ok(0x8182_8384));
                store64(a, 0x8182_8384_8586_8788).unwrap();
                assert_eq!(load64(a), Ok(0x8182_8384_8586_8788));
                assert_eq!(load64_acquire(a), Ok(0x8182_8384_8586_8788));
                assert_eq!(load8(a + 7), Ok(0x81));
                let wide = 0x0102_0304_0506_0708_1112_1314_1516_1718;
                store128(a, wide).unwrap();
                assert_eq!(load128(a), Ok(wide));
                store128_release(a, !wide).unwrap();
                assert_eq!(load128_acquire(a), Ok(!wide));
            }
        }
    }

    #[test]
    fn faults_are_told() {
        let p = pages();
        let hole = p + 65536;
        let fault = |addr| Fault { signo: libc::SIGSEGV, code: 2, addr };
        // SAFETY: the page exists and belongs to nobody.
        unsafe {
            assert_eq!(load8(hole + 3), Err(fault(hole + 3)));
            assert_eq!(load16(hole), Err(fault(hole)));
            assert_eq!(load32(hole), Err(fault(hole)));
            assert_eq!(load64(hole), Err(fault(hole)));
            assert_eq!(load128(hole), Err(fault(hole)));
            assert_eq!(store8(hole, 1), Err(fault(hole)));
            assert_eq!(store16_release(hole, 1), Err(fault(hole)));
            assert_eq!(store32(hole, 1), Err(fault(hole)));
            assert_eq!(store64(hole, 1), Err(fault(hole)));
            assert_eq!(store128(hole, 1), Err(fault(hole)));
            assert_eq!(cmpxchg32(hole, 1, 2), Err(fault(hole)));
            assert_eq!(cmpxchg128(hole, 1, 2), Err(fault(hole)));
            assert_eq!(xchg8(hole, 1), Err(fault(hole)));
            // Unmapped: MAPERR.
            assert_eq!(load32(8), Err(Fault { signo: libc::SIGSEGV, code: 1, addr: 8 }));
        }
    }

    #[test]
    fn copies_stop_at_the_hole() {
        let p = pages();
        let mut buf = [7u8; 64];
        // SAFETY: ranges end in a page without access.
        unsafe {
            store8(p + 65535, 9).unwrap();
            let fault = copy_from(buf.as_mut_ptr(), p + 65535, 2).unwrap_err();
            assert_eq!(fault.addr, p + 65536);
            assert_eq!(buf[..2], [9, 7]);
            buf[0] = 5;
            let fault = copy_to(p + 65535, buf.as_ptr(), 64).unwrap_err();
            assert_eq!(fault.addr, p + 65536);
            assert_eq!(load8(p + 65535), Ok(5));
            copy_to(p + 100, b"hello".as_ptr(), 5).unwrap();
            copy_from(buf.as_mut_ptr(), p + 100, 5).unwrap();
            assert_eq!(&buf[..5], b"hello");
        }
    }

    #[test]
    fn compare_and_exchange() {
        let p = pages();
        for offset in 0..16 {
            let a = p + offset;
            // SAFETY: within the first page.
            unsafe {
                store64(a, 0x1122_3344_5566_7788).unwrap();
                assert_eq!(cmpxchg8(a, 0x88, 1), Ok(0x88));
                assert_eq!(cmpxchg16(a, 0x7701, 0x0203), Ok(0x7701));
                assert_eq!(cmpxchg32(a, 0, 1), Ok(0x5566_0203));
                assert_eq!(cmpxchg64(a, 0x1122_3344_5566_0203, 42), Ok(0x1122_3344_5566_0203));
                assert_eq!(load64(a), Ok(42));
                assert_eq!(xchg32(a, 7), Ok(42));
                assert_eq!(xchg64(a, u64::MAX), Ok(7));
            }
        }
        // SAFETY: within the first page.
        unsafe {
            store128(p, 5).unwrap();
            assert_eq!(cmpxchg128(p, 5, u128::MAX - 1), Ok(5));
            assert_eq!(cmpxchg128(p, 5, 0), Ok(u128::MAX - 1));
        }
    }

    #[test]
    fn exchange_is_atomic_between_threads() {
        let p = pages();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(move || {
                    install().unwrap();
                    for _ in 0..20_000 {
                        // SAFETY: within the first page, only touched here.
                        unsafe {
                            let mut old = load32(p).unwrap();
                            loop {
                                let found = cmpxchg32(p, old, old + 1).unwrap();
                                if found == old {
                                    break;
                                }
                                old = found;
                            }
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        // SAFETY: as above.
        assert_eq!(unsafe { load32(p) }, Ok(80_000));
    }
}
