//! Memory management system calls.

use crate::errno::{Errno, SysResult};
use crate::task::Task;

/// brk(2).
pub fn sys_brk(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// mmap(2).
pub fn sys_mmap(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// old_mmap(2).
pub fn sys_old_mmap(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// mmap2(2).
pub fn sys_mmap2(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// munmap(2).
pub fn sys_munmap(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// mprotect(2).
pub fn sys_mprotect(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// mremap(2).
pub fn sys_mremap(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// madvise(2).
pub fn sys_madvise(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// msync(2).
pub fn sys_msync(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// mincore(2).
pub fn sys_mincore(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// mlock(2).
pub fn sys_mlock(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// mlock2(2).
pub fn sys_mlock2(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// munlock(2).
pub fn sys_munlock(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// mlockall(2).
pub fn sys_mlockall(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// munlockall(2).
pub fn sys_munlockall(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// arch_prctl(2).
pub fn sys_arch_prctl(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// set_thread_area(2).
pub fn sys_set_thread_area(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// get_thread_area(2).
pub fn sys_get_thread_area(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// modify_ldt(2).
pub fn sys_modify_ldt(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}
