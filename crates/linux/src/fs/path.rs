//! Path arguments. Every path that a guest program hands to the kernel is read here, so that a translation of paths has
//! one place; so far the guest sees the host's file system as it is.

use crate::errno::Errno;
use crate::task::Task;
use std::ffi::CString;

/// The path at guest address `addr`, for the host.
///
/// # Errors
/// `EFAULT`, `ENAMETOOLONG`.
pub fn read(task: &Task, addr: u64) -> Result<CString, Errno> {
    task.mem.cstr(addr)
}
