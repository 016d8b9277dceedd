//! Guest signals: dispositions, masks, pending signals, and when they are delivered.
//!
//! Every guest signal is a host signal of the same number, sent, queued and masked by the host kernel. While guest code runs
//! the host's mask is the guest's, except that the five synchronous signals are never blocked there. A signal that the guest
//! handles is captured by a host handler ([`demotic_host::capture`]) and delivered here at the next instruction boundary:
//! [`deliver`] builds the frame that the x86 kernel would build. Default actions and ignoring are left to the host kernel, so
//! that wait statuses, stopping and reaping are right by themselves.
//!
//! A captured signal that the guest has blocked meanwhile goes back into the kernel's queue (or, if it is one of the five
//! synchronous ones, waits in `held`).
//!
//! Locks: the table of actions is a mutex per process, held for copies only; fork takes it.

pub mod deliver;
pub mod fpstate;
pub mod frame32;
pub mod frame64;
pub mod syscalls;

use crate::abi::Abi;
use crate::errno::{Errno, SysResult};
use crate::task::Task;
use demotic_host::capture::{self, Captured, Info};
use demotic_host::signal::{self as host, SYNCHRONOUS, Set, bit};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// SIG_DFL.
pub const SIG_DFL: u64 = 0;
/// SIG_IGN.
pub const SIG_IGN: u64 = 1;

/// SA_ flags (asm/signal.h of x86; the ARM ones are the same).
pub mod sa {
    #![allow(missing_docs)]
    pub const NOCLDSTOP: u64 = 1;
    pub const NOCLDWAIT: u64 = 2;
    pub const SIGINFO: u64 = 4;
    pub const RESTORER: u64 = 0x0400_0000;
    pub const ONSTACK: u64 = 0x0800_0000;
    pub const RESTART: u64 = 0x1000_0000;
    pub const NODEFER: u64 = 0x4000_0000;
    pub const RESETHAND: u64 = 0x8000_0000;
    pub const EXPOSE_TAGBITS: u64 = 0x800;
    /// What the kernel keeps of the rest: nothing (UAPI_SA_FLAGS).
    pub const ALL: u64 =
        NOCLDSTOP | NOCLDWAIT | SIGINFO | RESTORER | ONSTACK | RESTART | NODEFER | RESETHAND | EXPOSE_TAGBITS;
}

/// SIGKILL and SIGSTOP: never blocked or handled.
pub const UNBLOCKABLE: Set = bit(libc::SIGKILL) | bit(libc::SIGSTOP);

/// What the guest wants done with a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Action {
    /// Guest address of the handler, [`SIG_DFL`] or [`SIG_IGN`].
    pub handler: u64,
    /// [`sa`] bits.
    pub flags: u64,
    /// Guest address of the return trampoline, with [`sa::RESTORER`].
    pub restorer: u64,
    /// Signals blocked while the handler runs.
    pub mask: Set,
    /// The ABI that sigaction(2) was called by; it selects the kind of frame.
    pub abi: Abi,
}

impl Default for Action {
    fn default() -> Self {
        Action { handler: SIG_DFL, flags: 0, restorer: 0, mask: 0, abi: Abi::X86_64 }
    }
}

/// The actions of a process, shared by its threads.
#[derive(Debug)]
pub struct Handlers(Mutex<[Action; 64]>);

impl Handlers {
    /// What this process inherited: ignored signals stay ignored.
    pub fn inherited() -> Handlers {
        let mut actions = [Action::default(); 64];
        for (action, signo) in actions.iter_mut().zip(1..) {
            if host::action(signo).is_ok_and(|a| a.handler == SIG_IGN as usize) {
                action.handler = SIG_IGN;
            }
        }
        Handlers(Mutex::new(actions))
    }

    /// A copy for a child that shares memory but not handlers.
    pub fn duplicate(&self) -> Handlers {
        Handlers(Mutex::new(*self.lock()))
    }

    /// CLONE_CLEAR_SIGHAND: handlers become the default, what is ignored stays so.
    pub fn reset(&self) {
        for signo in 1..=64 {
            if self.get(signo).handler > SIG_IGN {
                self.set(signo, Action::default());
            }
        }
    }

    /// The same for the record only: the host's handlers stay, and what they capture meets the default action.
    pub fn forget(&self) {
        self.lock().iter_mut().filter(|a| a.handler > SIG_IGN).for_each(|a| *a = Action::default());
    }

    fn lock(&self) -> MutexGuard<'_, [Action; 64]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `f` while no other thread can change an action: for fork.
    pub fn locked<T>(&self, f: impl FnOnce() -> T) -> T {
        let _guard = self.lock();
        f()
    }

    /// The action of a signal; the default for numbers that are none.
    pub fn get(&self, signo: i32) -> Action {
        usize::try_from(signo - 1).ok().and_then(|i| self.lock().get(i).copied()).unwrap_or_default()
    }

    /// Sets an action, here and on the host, and returns the old one.
    pub fn set(&self, signo: i32, action: Action) -> Action {
        let mut actions = self.lock();
        let Some(slot) = usize::try_from(signo - 1).ok().and_then(|i| actions.get_mut(i)) else {
            return Action::default();
        };
        let old = std::mem::replace(slot, action);
        set_on_host(signo, &action);
        old
    }

    /// To be called when a host thread was made: with the first one the host's C library takes a signal for its own setuid(2), which
    /// the guest's C library uses in the same way (SIGSETXID, nptl/pthread_create.c of glibc). It never calls that here.
    pub fn reclaim(&self) {
        const SIGSETXID: i32 = 33;
        if !RECLAIMED.swap(true, Ordering::AcqRel) {
            let actions = self.lock();
            set_on_host(SIGSETXID, &actions[SIGSETXID as usize - 1]);
        }
    }

    /// Makes the host's dispositions what a new program is to inherit: those signals ignored whose handler stays installed
    /// while guest code runs.
    pub fn prepare_exec(&self) {
        for signo in demotic_host::guarded::FAULTS {
            if self.get(signo).handler == SIG_IGN {
                host::set_ignored(signo);
            }
        }
    }

    /// Undoes [`Handlers::prepare_exec`] when the exec failed.
    pub fn undo_exec(&self) {
        // Only a failing mmap or sigaction could make this fail; both worked at start-up.
        let _ = demotic_host::guarded::install();
    }
}

/// The C library has made a thread, and what it took then was taken back.
static RECLAIMED: AtomicBool = AtomicBool::new(false);

/// Whether signals that kill leave a core dump: RLIMIT_CORE is not 0.
static DUMPS: AtomicBool = AtomicBool::new(false);

/// To be called at the start and when RLIMIT_CORE has changed: default actions of the signals that leave a dump.
pub fn follow_core_limit(handlers: &Handlers) {
    let dumps = crate::core::limit() != 0;
    if DUMPS.swap(dumps, Ordering::Relaxed) != dumps {
        for signo in (1..=31).filter(|&signo| crate::core::is_for(signo)) {
            let action = handlers.get(signo);
            if action.handler == SIG_DFL {
                set_on_host(signo, &action);
            }
        }
    }
}

/// To be called when the process begins to trace: it has to hear of its tracees' stops even if the program does not care for SIGCHLD.
pub fn hear_of_children(handlers: &Handlers) {
    let action = handlers.get(libc::SIGCHLD);
    if action.handler == SIG_DFL {
        set_on_host(libc::SIGCHLD, &action);
    }
}

/// To be called when a debugger gets the process: it hears of every signal that is not ignored.
pub fn hear_of_all(handlers: &Handlers) {
    for signo in 1..=64 {
        let action = handlers.get(signo);
        if action.handler == SIG_DFL {
            set_on_host(signo, &action);
        }
    }
}

/// Whether a debugger is to hear of a signal whose action is the default.
fn is_heard(signo: i32) -> bool {
    let quiet = [libc::SIGKILL, libc::SIGSTOP, libc::SIGCHLD, libc::SIGCONT, libc::SIGURG, libc::SIGWINCH];
    crate::gdb::is_on() && !quiet.contains(&signo)
}

/// Installs on the host what an action needs there. The signals of faults keep Demotic's handler, which captures those
/// that were sent.
fn set_on_host(signo: i32, action: &Action) {
    if demotic_host::guarded::FAULTS.contains(&signo) {
        return;
    }
    let flags = (action.flags & (sa::NOCLDSTOP | sa::NOCLDWAIT)) as i32;
    match action.handler {
        // Demotic itself has to write the dump.
        SIG_DFL if DUMPS.load(Ordering::Relaxed) && crate::core::is_for(signo) => {
            drop(host::install_with(signo, capture::on_signal, flags));
        }
        SIG_DFL if signo == libc::SIGCHLD && crate::ptrace::tracer::traces() => {
            drop(host::install_with(signo, capture::on_signal, flags));
        }
        SIG_DFL if is_heard(signo) => drop(host::install_with(signo, capture::on_signal, flags)),
        SIG_DFL => host::set_default_with(signo, flags),
        SIG_IGN => host::set_ignored(signo),
        _ => drop(host::install_with(signo, capture::on_signal, flags)),
    }
}

/// An alternate signal stack, as sigaltstack(2) set it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AltStack {
    /// Lowest address.
    pub sp: u64,
    /// SS_ flags.
    pub flags: u32,
    /// Size in bytes; 0 without a stack.
    pub size: u64,
}

/// SS_ONSTACK.
pub const SS_ONSTACK: u32 = 1;
/// SS_DISABLE.
pub const SS_DISABLE: u32 = 2;
/// SS_AUTODISARM.
pub const SS_AUTODISARM: u32 = 1 << 31;

impl Default for AltStack {
    fn default() -> Self {
        AltStack { sp: 0, flags: SS_DISABLE, size: 0 }
    }
}

impl AltStack {
    /// on_sig_stack (linux/sched/signal.h): whether a stack pointer lies on it.
    pub fn contains(&self, sp: u64) -> bool {
        self.flags & SS_AUTODISARM == 0 && self.holds(sp)
    }
    /// The same, armed or not.
    pub fn holds(&self, sp: u64) -> bool {
        sp > self.sp && sp - self.sp <= self.size
    }
}

/// The last fault, as signal frames show it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Trap {
    /// Exception vector.
    pub number: u64,
    /// Error code.
    pub error: u64,
    /// Faulting address of the last page fault.
    pub cr2: u64,
}

/// The signal state of one guest thread.
#[derive(Debug)]
pub struct TaskSignals {
    /// Blocked signals.
    pub blocked: Set,
    /// The mask to go back to when a system call that replaced it (sigsuspend, ppoll, ...) is over.
    pub saved_mask: Option<Set>,
    /// Alternate stack.
    pub altstack: AltStack,
    /// The last fault.
    pub trap: Trap,
    /// What arrived and is not delivered yet.
    pub captured: Arc<Captured>,
    /// Synchronous signals that were sent while blocked.
    pub held: Vec<Info>,
    /// The system call that is made again because no handler ran, and the address of its instruction.
    pub restarted: Option<(u64, deliver::Interrupted)>,
}

impl TaskSignals {
    /// A thread with this mask; `attention` is its processor's.
    pub fn new(attention: &Arc<AtomicBool>, blocked: Set) -> TaskSignals {
        TaskSignals {
            blocked: blocked & !UNBLOCKABLE,
            saved_mask: None,
            altstack: AltStack::default(),
            trap: Trap::default(),
            captured: Captured::new(attention.clone()),
            held: Vec::new(),
            restarted: None,
        }
    }

    /// Sets the guest's mask, and the host's unless a captured signal keeps everything blocked until its delivery.
    pub fn set_blocked(&mut self, blocked: Set) {
        self.blocked = blocked & !UNBLOCKABLE;
        self.sync_host_mask();
    }

    /// Makes the host's mask follow the guest's, unless a captured signal keeps everything blocked until its delivery.
    pub fn sync_host_mask(&self) {
        self.captured.set_mask(self.blocked & !SYNCHRONOUS);
    }

    /// True if [`deliver::pending`] has something to do.
    pub fn needs_delivery(&self) -> bool {
        self.captured.any()
            || self.saved_mask.is_some()
            || self.held.iter().any(|info| bit(info.signo()) & self.blocked == 0)
    }
}

/// Does a host system call under another signal mask (ppoll(2), pselect(2), epoll_pwait(2)): `call` gets the address of the
/// mask to hand to the host, 0 for none. If a signal interrupts it, the delivery restores the old mask; one that came before
/// the call is delivered under the old mask.
pub fn with_mask(task: &mut Task, mask: Option<Set>, call: impl FnOnce(&mut Task, usize) -> SysResult) -> SysResult {
    let Some(mask) = mask else { return call(task, 0) };
    let mask = mask & !UNBLOCKABLE;
    let old = task.signal.blocked;
    // Only the record changes; the host's mask is replaced by the call itself, atomically.
    task.signal.blocked = mask;
    let host_mask = mask & !SYNCHRONOUS;
    let result = if task.signal.held.iter().any(|info| bit(info.signo()) & mask == 0) {
        Err(Errno::ERESTARTSYS)
    } else {
        call(task, &raw const host_mask as usize)
    };
    let entered = !matches!(result, Err(Errno::ERESTARTNOINTR));
    if entered && (task.signal.captured.any() || matches!(result, Err(Errno::ERESTARTSYS))) {
        // A signal arrived under the temporary mask: it is delivered under it, and the frame saves the old one.
        task.signal.saved_mask = Some(old);
    } else {
        task.signal.blocked = old;
    }
    result
}
