//! Signal system calls.

use crate::errno::{Errno, SysResult};
use crate::task::Task;

/// rt_sigaction(2).
pub fn sys_rt_sigaction(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// sigaction(2).
pub fn sys_sigaction(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// signal(2).
pub fn sys_signal(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// rt_sigprocmask(2).
pub fn sys_rt_sigprocmask(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// sigprocmask(2).
pub fn sys_sigprocmask(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// sgetmask(2).
pub fn sys_sgetmask(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// ssetmask(2).
pub fn sys_ssetmask(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// rt_sigpending(2).
pub fn sys_rt_sigpending(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// sigpending(2).
pub fn sys_sigpending(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// rt_sigsuspend(2).
pub fn sys_rt_sigsuspend(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// sigsuspend(2).
pub fn sys_sigsuspend(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// rt_sigtimedwait(2).
pub fn sys_rt_sigtimedwait(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// rt_sigtimedwait_time64(2).
pub fn sys_rt_sigtimedwait_time64(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// rt_sigqueueinfo(2).
pub fn sys_rt_sigqueueinfo(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// rt_tgsigqueueinfo(2).
pub fn sys_rt_tgsigqueueinfo(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// kill(2).
pub fn sys_kill(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// tkill(2).
pub fn sys_tkill(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// tgkill(2).
pub fn sys_tgkill(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// sigaltstack(2).
pub fn sys_sigaltstack(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// rt_sigreturn(2).
pub fn sys_rt_sigreturn(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// sigreturn(2).
pub fn sys_sigreturn(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// pause(2).
pub fn sys_pause(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// signalfd(2).
pub fn sys_signalfd(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// signalfd4(2).
pub fn sys_signalfd4(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}

/// restart_syscall(2).
pub fn sys_restart_syscall(_task: &mut Task, _args: [u64; 6]) -> SysResult {
    Err(Errno::ENOSYS)
}
