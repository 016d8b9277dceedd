//! Guest signals.

pub mod syscalls;
