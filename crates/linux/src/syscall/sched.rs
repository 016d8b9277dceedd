//! Scheduling calls with structures or masks; the others are passed on.
//!
//! A CPU mask is an array of `long`s whose length the kernel checks, so it goes through a buffer in host words.

use super::args::{int, output, own_mut};
use super::kernel;
use super::time::Clock64;
use crate::abi::x86_64::Timespec;
use crate::errno::{Errno, SysResult};
use crate::task::Task;
use smallvec::SmallVec;
use zerocopy::IntoBytes;

/// Largest mask that is looked at, in bytes (a kernel has at most 8192 CPUs).
const MAX_MASK: usize = 1024;

type Mask = SmallVec<[usize; 16]>;

/// `sched_getaffinity(pid, size, mask)`: answers the number of bytes that were stored.
pub fn sched_getaffinity(task: &mut Task, a: [u64; 6]) -> SysResult {
    let size = a[1] as u32 as usize;
    if size % task.word() != 0 {
        return Err(Errno::EINVAL);
    }
    let mut mask: Mask = SmallVec::from_elem(0, MAX_MASK / size_of::<usize>());
    let args = [int(a[0]), MAX_MASK, mask.as_mut_ptr() as usize, 0, 0, 0];
    let len = task.syscall_host(libc::SYS_sched_getaffinity, args)? as usize;
    let bytes = mask.as_mut_slice().as_mut_bytes();
    // The guest's size must hold every possible CPU; the host answers that in its own words.
    let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    if used > size {
        return Err(Errno::EINVAL);
    }
    let len = len.min(size);
    task.mem.write_bytes(a[2], bytes.get(..len).unwrap_or_default())?;
    Ok(len as u64)
}

/// `sched_setaffinity(pid, size, mask)`.
pub fn sched_setaffinity(task: &mut Task, a: [u64; 6]) -> SysResult {
    let size = (a[1] as u32 as usize).min(MAX_MASK);
    let mut mask: Mask = SmallVec::from_elem(0, MAX_MASK / size_of::<usize>());
    let bytes = mask.as_mut_slice().as_mut_bytes();
    task.mem.read_bytes(a[2], bytes.get_mut(..size).unwrap_or_default())?;
    task.syscall_host(libc::SYS_sched_setaffinity, [int(a[0]), MAX_MASK, mask.as_ptr() as usize, 0, 0, 0])
}

fn interval(task: &mut Task, a: &[u64; 6], layout: Clock64) -> SysResult {
    let mut time = Timespec::default();
    task.syscall_host(kernel::SCHED_RR_GET_INTERVAL, [int(a[0]), own_mut(&mut time), 0, 0, 0, 0])?;
    layout.write(task, a[1], &time)?;
    Ok(0)
}
/// `sched_rr_get_interval(pid, interval)`.
pub fn sched_rr_get_interval(task: &mut Task, a: [u64; 6]) -> SysResult {
    interval(task, &a, Clock64::Native)
}
/// `sched_rr_get_interval_time64(pid, interval)`, i386 only.
pub fn sched_rr_get_interval_time64(task: &mut Task, a: [u64; 6]) -> SysResult {
    interval(task, &a, Clock64::Always)
}

/// `getcpu(cpu, node, unused)`.
pub fn getcpu(task: &mut Task, a: [u64; 6]) -> SysResult {
    let (cpu, node) = (output(task, a[0], 4)?, output(task, a[1], 4)?);
    task.syscall_host(libc::SYS_getcpu, [cpu, node, 0, 0, 0, 0])
}

/// `nice(increment)`, i386 only: by way of the priority, clamped as the kernel does it.
pub fn nice(task: &mut Task, a: [u64; 6]) -> SysResult {
    let increment = (a[0] as i32).clamp(-40, 40);
    // The kernel answers 20 - nice, so that the answer is never negative.
    let current = 20 - task.syscall_host(libc::SYS_getpriority, [libc::PRIO_PROCESS as usize, 0, 0, 0, 0, 0])? as i32;
    let wanted = (current + increment).clamp(-20, 19);
    let args = [libc::PRIO_PROCESS as usize, 0, wanted as isize as usize, 0, 0, 0];
    // nice says EPERM where setpriority says EACCES.
    task.syscall_host(libc::SYS_setpriority, args).map_err(|e| if e == Errno::EACCES { Errno::EPERM } else { e })
}
