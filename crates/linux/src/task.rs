//! One guest thread: its processor, its memory, its signal state. Owned by the host thread that runs it.

use crate::errno::{Errno, SysResult};
use crate::process::Process;
use crate::signal::TaskSignals;
use crate::uaccess::Mem;
use demotic_engine::Cpu;
use std::sync::Arc;

/// System call conventions: which table, how wide the arguments are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Abi {
    /// `syscall` in 64-bit mode.
    X86_64,
    /// `int 0x80` in any mode, and `sysenter`.
    I386,
}

/// A system call's implementation. i386 arguments arrive zero-extended.
pub type Handler = fn(&mut Task, [u64; 6]) -> SysResult;

/// One guest thread.
pub struct Task {
    /// The processor: registers and the way into guest code.
    pub cpu: Cpu,
    /// Guest memory.
    pub mem: Mem,
    /// ABI of the system call in progress; between calls that of the last one.
    pub abi: Abi,
    /// The process it belongs to.
    pub process: Arc<Process>,
    /// Thread id, the same for guest and host.
    pub tid: i32,
    /// Masks, alternate stack, pending signals.
    pub signal: TaskSignals,
    /// Where the kernel writes 0 and wakes a futex when the thread ends (set_tid_address(2)); 0 for nowhere.
    pub clear_child_tid: u64,
    /// Head of the thread's list of robust futexes (set_robust_list(2)); 0 without one.
    pub robust_list: u64,
    /// Its seccomp filters.
    pub seccomp: Arc<crate::seccomp::State>,
    /// Who traces it, and what for.
    pub trace: crate::ptrace::tracee::Trace,
    /// A vfork child at a breakpoint of its parent's debugger, which its next instruction is to pass.
    pub passes: bool,
    /// Set by exit(2): the thread's status; the run loop ends.
    pub exiting: Option<i32>,
    /// The state of the local descriptor table that its segment registers are of ([`crate::mm::tls::Ldt::changes`]).
    pub ldt_seen: u32,
    /// The shared library that was not found last, for the line that says what is missing.
    pub missing_library: Option<std::ffi::CString>,
    /// What an execve(2) in progress hands to the host; memory that a vfork child leaves to its parent to free.
    pub exec_strings: Vec<std::ffi::CString>,
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task").field("tid", &self.tid).field("abi", &self.abi).finish_non_exhaustive()
    }
}

impl Task {
    /// A host system call that does not sleep for long. Numbers and structures are the host's.
    pub fn syscall_host(&self, nr: libc::c_long, args: [usize; 6]) -> SysResult {
        // SAFETY: the caller built the arguments: pointers are guest memory (checked by `Mem::host`) or its own buffers.
        Errno::from_ret(unsafe { demotic_host::sys::syscall6(nr, args) })
    }

    /// A host system call that may sleep, interrupted by guest signals without a race. When one is pending before the
    /// kernel is entered, the answer is [`Errno::ERESTARTNOINTR`]: the call has not happened and is made again after the
    /// handler. When the kernel returns EINTR because of one, it is [`Errno::ERESTARTSYS`], and the run loop restarts the
    /// call or returns EINTR, by SA_RESTART. For calls that are never restarted (signal(7)) the caller maps ERESTARTSYS
    /// to [`Errno::ERESTARTNOHAND`] or [`Errno::EINTR`].
    pub fn syscall_blocking(&self, nr: libc::c_long, args: [usize; 6]) -> SysResult {
        // SAFETY: as in `syscall_host`.
        let ret = unsafe { demotic_host::sys::syscall_interruptible(&self.cpu.attention, nr, args) };
        if ret == demotic_host::sys::NOT_ENTERED {
            // The signal came before the call: its handler runs, and then the call is made, whatever SA_RESTART says.
            return Err(Errno::ERESTARTNOINTR);
        }
        match Errno::from_ret(ret) {
            Err(Errno::EINTR) if self.signal.captured.any() => Err(Errno::ERESTARTSYS),
            result => result,
        }
    }

    /// The ABI's pointer and `long` size in bytes.
    pub fn word(&self) -> usize {
        match self.abi {
            Abi::X86_64 => 8,
            Abi::I386 => 4,
        }
    }
}
