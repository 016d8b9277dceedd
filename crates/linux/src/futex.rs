//! Futexes: the host's, on the same memory. Only timeouts and addresses are converted.
//!
//! Restarting (kernel/futex/waitwake.c): a wait without timeout restarts by SA_RESTART; one with a timeout goes on if no
//! handler runs and is EINTR otherwise.

use crate::abi::{Abi, Wide, x86_64};
use crate::errno::{Errno, SysResult};
use crate::task::Task;
use crate::uaccess::Access;
use demotic_host::guarded;

const CMD_MASK: u64 = 0x7f;

/// Commands (linux/futex.h).
mod cmd {
    pub const WAIT: u64 = 0;
    pub const REQUEUE: u64 = 3;
    pub const CMP_REQUEUE: u64 = 4;
    pub const WAKE_OP: u64 = 5;
    pub const LOCK_PI: u64 = 6;
    pub const UNLOCK_PI: u64 = 7;
    pub const TRYLOCK_PI: u64 = 8;
    pub const WAIT_BITSET: u64 = 9;
    pub const WAIT_REQUEUE_PI: u64 = 11;
    pub const CMP_REQUEUE_PI: u64 = 12;
    pub const LOCK_PI2: u64 = 13;
}

fn do_futex(task: &mut Task, args: [u64; 6], time_abi: Abi) -> SysResult {
    let [uaddr, op, val, timeout, uaddr2, val3] = args;
    let command = op & CMD_MASK;
    let timed = matches!(command, cmd::WAIT | cmd::LOCK_PI | cmd::WAIT_BITSET | cmd::WAIT_REQUEUE_PI | cmd::LOCK_PI2);
    let writes = matches!(
        command,
        cmd::WAKE_OP
            | cmd::LOCK_PI
            | cmd::UNLOCK_PI
            | cmd::TRYLOCK_PI
            | cmd::WAIT_REQUEUE_PI
            | cmd::CMP_REQUEUE_PI
            | cmd::LOCK_PI2
    );
    let second =
        matches!(command, cmd::REQUEUE | cmd::CMP_REQUEUE | cmd::WAKE_OP | cmd::WAIT_REQUEUE_PI | cmd::CMP_REQUEUE_PI);
    if uaddr % 4 != 0 || (second && uaddr2 % 4 != 0) {
        return Err(Errno::EINVAL);
    }
    let access = if writes { Access::Write } else { Access::Read };
    let time: Option<[libc::c_long; 2]> = if timed && timeout != 0 {
        let t = x86_64::Timespec::load(&task.mem, time_abi, timeout)?;
        Some([t.tv_sec as libc::c_long, t.tv_nsec as libc::c_long])
    } else {
        None
    };
    let fourth = match &time {
        Some(time) => time.as_ptr() as usize,
        None if timed => 0,
        None => timeout as u32 as usize,
    };
    let host_args = [
        task.mem.host(uaddr, 4, access)? as usize,
        op as u32 as usize,
        val as u32 as usize,
        fourth,
        // The other commands do not look at it: C libraries leave there what was in the register.
        if second { task.mem.host(uaddr2, 4, access)? as usize } else { 0 },
        val3 as u32 as usize,
    ];
    match task.syscall_blocking(libc::SYS_futex, host_args) {
        Err(Errno::ERESTARTSYS) if time.is_some() => Err(Errno::ERESTARTNOHAND),
        result => result,
    }
}

/// futex(2).
pub fn sys_futex(task: &mut Task, args: [u64; 6]) -> SysResult {
    let abi = task.abi;
    do_futex(task, args, abi)
}

/// futex_time64(2) of i386.
pub fn sys_futex_time64(task: &mut Task, args: [u64; 6]) -> SysResult {
    do_futex(task, args, Abi::X86_64)
}

/// futex_waitv(2): the host's, where guest addresses are host addresses.
pub fn sys_futex_waitv(task: &mut Task, args: [u64; 6]) -> SysResult {
    let [waiters, count, flags, timeout, clock, _] = args;
    if !has_guest_addresses(task) {
        return Err(Errno::ENOSYS);
    }
    let len = (count as u32 as usize).saturating_mul(24);
    let host_args = [
        task.mem.host(waiters, len, Access::Read)? as usize,
        count as u32 as usize,
        flags as u32 as usize,
        task.mem.host(timeout, 16, Access::Read)? as usize,
        clock as i32 as isize as usize,
        0,
    ];
    match task.syscall_blocking(449, host_args) {
        Err(Errno::ERESTARTSYS) if timeout != 0 => Err(Errno::ERESTARTNOHAND),
        result => result,
    }
}

/// Whether the host can use the addresses in a guest's structures.
fn has_guest_addresses(task: &Task) -> bool {
    demotic_engine::GuestSpace::base(&**task.mem.space()) == 0 && cfg!(target_pointer_width = "64")
}

/// futex_wake(2) of Linux 6.7: address, mask, count, flags.
pub fn sys_futex_wake(task: &mut Task, [addr, mask, count, flags, ..]: [u64; 6]) -> SysResult {
    let at = task.mem.host(addr, 4, Access::Read)? as usize;
    task.syscall_host(454, [at, mask as usize, count as i32 as isize as usize, flags as u32 as usize, 0, 0])
}

/// futex_wait(2) of Linux 6.7: address, value, mask, flags, timeout, clock.
pub fn sys_futex_wait(task: &mut Task, [addr, value, mask, flags, timeout, clock]: [u64; 6]) -> SysResult {
    let at = task.mem.host(addr, 4, Access::Read)? as usize;
    let time = task.mem.host(timeout, 16, Access::Read)? as usize;
    let args = [at, value as usize, mask as usize, flags as u32 as usize, time, clock as i32 as isize as usize];
    match task.syscall_blocking(455, args) {
        Err(Errno::ERESTARTSYS) if timeout != 0 => Err(Errno::ERESTARTNOHAND),
        result => result,
    }
}

/// futex_requeue(2) of Linux 6.7: two waiters, flags, how many to wake and to requeue.
pub fn sys_futex_requeue(task: &mut Task, [waiters, flags, wake, requeue, ..]: [u64; 6]) -> SysResult {
    if !has_guest_addresses(task) {
        return Err(Errno::ENOSYS);
    }
    let list = task.mem.host(waiters, 48, Access::Read)? as usize;
    let int = |value: u64| value as i32 as isize as usize;
    task.syscall_host(456, [list, flags as u32 as usize, int(wake), int(requeue), 0, 0])
}

/// Wakes `count` waiters of a shared or private futex at a guest address.
pub fn wake(task: &Task, addr: u64, count: usize) {
    if let Ok(at) = task.mem.host(addr, 4, Access::Read) {
        // FUTEX_WAKE without FUTEX_PRIVATE_FLAG, as the kernel does at a thread's end.
        let _ = task.syscall_host(libc::SYS_futex, [at as usize, 1, count, 0, 0, 0]);
    }
}

const FUTEX_WAITERS: u32 = 0x8000_0000;
const FUTEX_OWNER_DIED: u32 = 0x4000_0000;
const FUTEX_TID_MASK: u32 = 0x3fff_ffff;
/// ROBUST_LIST_LIMIT (linux/futex.h).
const LIMIT: usize = 2048;

/// exit_robust_list (kernel/futex/core.c): marks the futexes that the ending thread holds and wakes a waiter each.
pub fn release_robust(task: &mut Task) {
    let head = std::mem::take(&mut task.robust_list);
    if head == 0 {
        return;
    }
    let word = if task.process.is_32bit { 4 } else { 8 };
    let read = |at: u64| -> Result<u64, Errno> {
        if word == 4 { task.mem.read::<u32>(at).map(u64::from) } else { task.mem.read(at) }
    };
    let (Ok(first), Ok(offset), Ok(pending)) = (read(head), read(head + word), read(head + 2 * word)) else { return };
    let offset = if word == 4 { offset as i32 as i64 as u64 } else { offset };
    let release = |entry: u64| -> Option<()> {
        let addr = (entry & !1).wrapping_add(offset) & if word == 4 { 0xffff_ffff } else { u64::MAX };
        let at = task.mem.host(addr, 4, Access::Write).ok().filter(|p| !p.is_null())? as usize;
        loop {
            // SAFETY: an address in guest space; faults are caught.
            let old = unsafe { guarded::load32(at) }.ok()?;
            if old & FUTEX_TID_MASK != task.tid as u32 {
                return None;
            }
            let new = old & FUTEX_WAITERS | FUTEX_OWNER_DIED;
            // SAFETY: as above.
            if unsafe { guarded::cmpxchg32(at, old, new) }.ok()? == old {
                if old & FUTEX_WAITERS != 0 {
                    wake(task, addr, 1);
                }
                return Some(());
            }
        }
    };
    let mut entry = first;
    for _ in 0..LIMIT {
        if entry & !1 == head {
            break;
        }
        // The next pointer is read first: a waiter may reuse the entry at once.
        let next = read(entry & !1);
        if entry & !1 != pending & !1 {
            release(entry);
        }
        match next {
            Ok(next) => entry = next,
            Err(_) => break,
        }
    }
    if pending & !1 != 0 {
        release(pending);
    }
}
