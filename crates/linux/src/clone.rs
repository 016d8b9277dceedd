//! Making threads and processes.

use crate::errno::{Errno, SysResult};
use crate::task::Task;

/// clone(2).
pub fn sys_clone(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// clone3(2).
pub fn sys_clone3(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// fork(2).
pub fn sys_fork(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// vfork(2).
pub fn sys_vfork(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// set_tid_address(2).
pub fn sys_set_tid_address(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// gettid(2).
pub fn sys_gettid(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// getpid(2).
pub fn sys_getpid(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// set_robust_list(2).
pub fn sys_set_robust_list(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// get_robust_list(2).
pub fn sys_get_robust_list(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// prctl(2).
pub fn sys_prctl(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// sched_yield(2).
pub fn sys_sched_yield(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}
