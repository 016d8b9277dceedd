//! Running another program.

use crate::errno::{Errno, SysResult};
use crate::task::Task;

/// execve(2).
pub fn sys_execve(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// execveat(2).
pub fn sys_execveat(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}
