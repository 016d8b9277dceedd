//! The kernel that the guest sees: address space, program loading, threads, signals and system calls of x86 Linux, on top
//! of the host's Linux.
//!
//! Guest memory is only touched through [`uaccess::Mem`] (and the executor); a bad guest pointer is EFAULT, never a crash.
//! One guest thread is one host thread ([`task::Task`]); one guest process is one host process ([`process::Process`]).

pub mod abi;
pub mod clone;
pub mod core;
pub mod errno;
pub mod exec;
pub mod exit;
pub mod fs;
pub mod futex;
pub mod gdb;
pub mod load;
pub mod mm;
pub mod process;
pub mod ptrace;
pub mod run;
pub mod seccomp;
pub mod shelf;
pub mod signal;
pub mod strace;
pub mod syscall;
pub mod task;
pub mod uaccess;
