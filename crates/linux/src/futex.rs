//! Futexes.

use crate::errno::{Errno, SysResult};
use crate::task::Task;

/// futex(2).
pub fn sys_futex(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// futex_time64(2).
pub fn sys_futex_time64(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// futex_waitv(2).
pub fn sys_futex_waitv(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}
