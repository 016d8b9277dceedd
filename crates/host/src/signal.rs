//! Host signal handlers and masks, below libc's opinions. signal-safe (all but the alternate stack's creation).
//!
//! The guest may use every signal, also the two that libc keeps for itself (32 and 33), so actions and masks are set by raw
//! system calls with 64-bit masks on every architecture.

use std::io;

/// A handler as SA_SIGINFO wants it.
pub type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// A set of signals: bit n-1 stands for signal n, as in the kernel's sigset_t.
pub type Set = u64;

/// The bit of one signal; 0 for numbers that are none.
pub const fn bit(signo: i32) -> Set {
    if signo >= 1 && signo <= 64 { 1 << (signo - 1) } else { 0 }
}

/// The kernel's `struct sigaction` (not libc's): asm-generic/signal.h and the x86 and ARM variants agree on this order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct KernelAction {
    /// Handler address, SIG_DFL (0) or SIG_IGN (1).
    pub handler: usize,
    /// SA_ flags.
    pub flags: libc::c_ulong,
    /// Return trampoline, with SA_RESTORER.
    pub restorer: usize,
    /// Signals blocked while the handler runs; two words on 32-bit hosts.
    pub mask: [u32; 2],
}

/// `SA_RESTORER` (asm/signal.h); without it x86-64 kernels refuse to deliver.
const SA_RESTORER: libc::c_ulong = 0x0400_0000;

/// Signal return for handlers. ARM kernels bring their own trampoline in the vDSO or signal page.
#[cfg(target_arch = "x86_64")]
mod restorer {
    core::arch::global_asm!(
        ".pushsection .text.demotic_restorer,\"ax\",@progbits",
        ".globl demotic_restorer",
        ".type demotic_restorer,@function",
        // Unwinders and debuggers know a signal frame by these two instructions.
        "demotic_restorer: mov rax, 15",
        "syscall",
        ".size demotic_restorer, . - demotic_restorer",
        ".popsection"
    );
    unsafe extern "C" {
        fn demotic_restorer();
    }
    pub(super) fn address() -> usize {
        demotic_restorer as *const () as usize
    }
}

fn set_action(signo: i32, action: KernelAction) -> io::Result<()> {
    // SAFETY: the structure is the kernel's, 8 is its sigset size.
    let ret = unsafe {
        crate::sys::syscall6(libc::SYS_rt_sigaction, [signo as usize, &raw const action as usize, 0, 8, 0, 0])
    };
    if ret < 0 { Err(io::Error::from_raw_os_error(-ret as i32)) } else { Ok(()) }
}

/// Reads the current action of a signal.
///
/// # Errors
/// EINVAL for a number that is no signal.
pub fn action(signo: i32) -> io::Result<KernelAction> {
    let mut action = KernelAction::default();
    // SAFETY: the structure is the kernel's, 8 is its sigset size.
    let ret =
        unsafe { crate::sys::syscall6(libc::SYS_rt_sigaction, [signo as usize, 0, &raw mut action as usize, 8, 0, 0]) };
    if ret < 0 { Err(io::Error::from_raw_os_error(-ret as i32)) } else { Ok(action) }
}

/// Makes `handler` the handler of `signo`: on the alternate stack, all signals but the synchronous ones blocked.
///
/// # Errors
/// EINVAL for SIGKILL, SIGSTOP and numbers that are no signal.
pub fn install(signo: i32, handler: Handler) -> io::Result<()> {
    install_with(signo, handler, 0)
}

/// Like [`install`] with more SA_ flags (SA_NOCLDSTOP, SA_NOCLDWAIT, SA_RESTART).
///
/// # Errors
/// As [`install`].
pub fn install_with(signo: i32, handler: Handler, flags: i32) -> io::Result<()> {
    let mask = !SYNCHRONOUS;
    let mut action = KernelAction {
        handler: handler as usize,
        flags: (libc::SA_SIGINFO | libc::SA_ONSTACK | flags) as libc::c_ulong,
        restorer: 0,
        mask: [mask as u32, (mask >> 32) as u32],
    };
    #[cfg(target_arch = "x86_64")]
    {
        action.flags |= SA_RESTORER;
        action.restorer = restorer::address();
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (SA_RESTORER, &mut action);
    }
    set_action(signo, action)
}

/// The signals of faults: never blocked on the host, because a fault of a guarded access must reach its handler.
pub const SYNCHRONOUS: Set =
    bit(libc::SIGSEGV) | bit(libc::SIGBUS) | bit(libc::SIGILL) | bit(libc::SIGFPE) | bit(libc::SIGTRAP);

/// Gives a signal its default action.
pub fn set_default(signo: i32) {
    let _ = set_action(signo, KernelAction::default());
}

/// Ignores a signal.
pub fn set_ignored(signo: i32) {
    let _ = set_action(signo, KernelAction { handler: 1, ..KernelAction::default() });
}

/// Replaces this thread's mask of blocked signals, returning the old one.
pub fn set_mask(mask: Set) -> Set {
    let mut old: Set = 0;
    // SAFETY: both sets are 8 bytes, which is the kernel's sigset size.
    unsafe {
        crate::sys::syscall6(
            libc::SYS_rt_sigprocmask,
            [libc::SIG_SETMASK as usize, &raw const mask as usize, &raw mut old as usize, 8, 0, 0],
        );
    }
    old
}

/// This thread's mask of blocked signals.
pub fn mask() -> Set {
    let mut old: Set = 0;
    // SAFETY: the set is 8 bytes, which is the kernel's sigset size.
    unsafe {
        crate::sys::syscall6(libc::SYS_rt_sigprocmask, [libc::SIG_BLOCK as usize, 0, &raw mut old as usize, 8, 0, 0]);
    }
    old
}

/// Signals that are pending for this thread or the process while blocked.
pub fn pending() -> Set {
    let mut set: Set = 0;
    // SAFETY: the set is 8 bytes, which is the kernel's sigset size.
    unsafe {
        crate::sys::syscall6(libc::SYS_rt_sigpending, [&raw mut set as usize, 8, 0, 0, 0, 0]);
    }
    set
}

/// si_code values that Demotic's processes give to signals they send to each other when one traces the other. Kernel and
/// programs use none of them; negative, so anybody may send them.
pub mod mark {
    /// SIGFPE to oneself: a stop for the tracer. It reaches the handler only if there is no tracer.
    pub const STOP: i32 = -0x4445_4d01;
    /// SIGTRAP: the tracer asks for something to be done at the next instruction boundary.
    pub const REQUEST: i32 = -0x4445_4d02;
    /// A signal whose default action is due: the tracer has seen it already.
    pub const DUE: i32 = -0x4445_4d03;
}

/// Blocks everything but the synchronous signals and restores the old mask when dropped.
#[derive(Debug)]
pub struct Blocked(Set);

impl Blocked {
    /// Blocks.
    pub fn new() -> Blocked {
        Blocked(set_mask(!SYNCHRONOUS))
    }
    /// The same with SIGTRAP, by which a tracer makes itself felt ([`mark::REQUEST`]): for stretches where a new thread or process is not
    /// ready for it yet. No translated code may run meanwhile.
    pub fn with_requests() -> Blocked {
        Blocked(set_mask(!SYNCHRONOUS | bit(libc::SIGTRAP)))
    }
    /// The mask to be restored.
    pub fn old(&self) -> Set {
        self.0
    }
}

impl Default for Blocked {
    fn default() -> Self {
        Blocked::new()
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        set_mask(self.0);
    }
}

/// Replaces the mask that an interrupted context will go on with.
pub fn set_context_mask(context: &mut libc::ucontext_t, mask: Set) {
    // SAFETY: the kernel's mask is the first 8 bytes of libc's larger set on every architecture.
    unsafe { (&raw mut context.uc_sigmask).cast::<Set>().write_unaligned(mask) };
}

/// The mask of an interrupted context.
pub fn context_mask(context: &libc::ucontext_t) -> Set {
    // SAFETY: as in `set_context_mask`.
    unsafe { (&raw const context.uc_sigmask).cast::<Set>().read_unaligned() }
}

/// Bytes of a thread's alternate stack: the largest frames (SVE, AVX-512) are about 10 KiB, the handlers need little.
const ALTSTACK: usize = 64 * 1024;

/// The thread's alternate stack, unmapped when the thread ends.
struct AltStack(usize);

impl Drop for AltStack {
    fn drop(&mut self) {
        let off = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
        // SAFETY: the stack is switched off before its memory goes.
        unsafe {
            libc::sigaltstack(&off, std::ptr::null_mut());
            libc::munmap(self.0 as *mut libc::c_void, ALTSTACK);
        }
    }
}

thread_local! {
    static ALT: std::cell::RefCell<Option<AltStack>> = const { std::cell::RefCell::new(None) };
}

/// Gives this thread an alternate stack for handlers. Idempotent.
///
/// # Errors
/// What mmap(2) and sigaltstack(2) say.
pub fn install_altstack() -> io::Result<()> {
    ALT.with_borrow_mut(|alt| {
        if alt.is_some() {
            return Ok(());
        }
        // SAFETY: fresh memory, given to the kernel for this thread.
        unsafe {
            let p = libc::mmap(
                std::ptr::null_mut(),
                ALTSTACK,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            );
            if p == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            *alt = Some(AltStack(p as usize));
            let stack = libc::stack_t { ss_sp: p, ss_flags: 0, ss_size: ALTSTACK };
            if libc::sigaltstack(&stack, std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    })
}

/// Tells the kernel of the alternate stack that comes with this thread's storage: a process that has got the storage of an earlier
/// thread (see [`crate::lend`]) begins without.
///
/// # Errors
/// What mmap(2) and sigaltstack(2) say.
pub fn renew_altstack() -> io::Result<()> {
    install_altstack()?;
    ALT.with_borrow(|alt| {
        let Some(AltStack(at)) = alt else { return Ok(()) };
        let stack = libc::stack_t { ss_sp: *at as *mut libc::c_void, ss_flags: 0, ss_size: ALTSTACK };
        // SAFETY: the thread's own stack, on which no handler is running.
        let done = unsafe { libc::sigaltstack(&stack, std::ptr::null_mut()) } == 0;
        if done { Ok(()) } else { Err(io::Error::last_os_error()) }
    })
}

/// Gives a signal its default action, with SA_NOCLDSTOP or SA_NOCLDWAIT where they matter.
pub fn set_default_with(signo: i32, flags: i32) {
    let _ = set_action(signo, KernelAction { flags: flags as libc::c_ulong, ..KernelAction::default() });
}

/// Ends the process by a signal's default action, as if it had never had a handler; for signals whose default is to stop,
/// returns after SIGCONT.
pub fn die_of(signo: i32) {
    set_default(signo);
    let mut info = [0i32; 32];
    (info[0], info[2]) = (signo, mark::DUE);
    // SAFETY: plain system calls; the signal goes to this thread and is opened right after. The structure is a siginfo_t.
    unsafe {
        let pid = crate::sys::syscall6(libc::SYS_getpid, [0; 6]) as usize;
        let tid = crate::sys::gettid() as usize;
        set_mask(!0);
        let args = [pid, tid, signo as usize, info.as_ptr() as usize, 0, 0];
        if crate::sys::syscall6(libc::SYS_rt_tgsigqueueinfo, args) < 0 {
            crate::sys::syscall6(libc::SYS_tgkill, [pid, tid, signo as usize, 0, 0, 0]);
        }
    }
    set_mask(!bit(signo));
}
