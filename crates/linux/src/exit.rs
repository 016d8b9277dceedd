//! Ending threads and processes, and waiting for children.

use crate::errno::{Errno, SysResult};
use crate::task::Task;

/// exit(2).
pub fn sys_exit(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// exit_group(2).
pub fn sys_exit_group(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// wait4(2).
pub fn sys_wait4(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// waitpid(2).
pub fn sys_waitpid(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// waitid(2).
pub fn sys_waitid(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}
