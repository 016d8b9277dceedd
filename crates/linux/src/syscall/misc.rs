//! Calls that belong to no family.

use super::args::{int, long, own};
use super::iov;
use crate::abi::siginfo::{Raw, Siginfo};
use crate::errno::{Errno, SysResult};
use crate::task::{Abi, Task};
use crate::uaccess::Access;
use std::sync::atomic::{AtomicU32, Ordering};

/// The guest's execution domain; the host's own stays as it is, since it would change how host memory is laid out.
static PERSONALITY: AtomicU32 = AtomicU32::new(0);

/// The guest's execution domain (personality(2)).
pub fn current_personality() -> u32 {
    PERSONALITY.load(Ordering::Relaxed)
}

/// `personality(persona)`; 0xffffffff only asks.
pub fn personality(_: &mut Task, a: [u64; 6]) -> SysResult {
    let new = a[0] as u32;
    let old = if new == u32::MAX { current_personality() } else { PERSONALITY.swap(new, Ordering::Relaxed) };
    Ok(old.into())
}

/// `ioperm`, `iopl`: there are no x86 ports.
pub fn not_permitted(_: &mut Task, _: [u64; 6]) -> SysResult {
    Err(Errno::EPERM)
}

/// `pkey_mprotect(addr, len, prot, pkey)`: with key -1 it is `mprotect`.
pub fn pkey_mprotect(task: &mut Task, a: [u64; 6]) -> SysResult {
    if a[3] as i32 != -1 {
        return Err(Errno::EINVAL);
    }
    crate::mm::syscalls::sys_mprotect(task, [a[0], a[1], a[2], 0, 0, 0])
}
/// `pkey_alloc(flags, rights)`: as on a CPU without protection keys.
pub fn pkey_alloc(_: &mut Task, a: [u64; 6]) -> SysResult {
    Err(if a[0] != 0 || a[1] & !3 != 0 { Errno::EINVAL } else { Errno::ENOSPC })
}
/// `pkey_free(pkey)`: no key was ever given out.
pub fn pkey_free(_: &mut Task, _: [u64; 6]) -> SysResult {
    Err(Errno::EINVAL)
}

fn process_memory(task: &mut Task, nr: libc::c_long, a: &[u64; 6], access: Access) -> SysResult {
    let local = iov::load(task, a[1], a[2], access)?;
    // Guest and host addresses of another translated process are the same on 64-bit hosts.
    let remote = iov::load_foreign(task, a[3], a[4])?;
    let args = [int(a[0]), local.as_ptr() as usize, local.len(), remote.as_ptr() as usize, remote.len(), a[5] as usize];
    let result = task.syscall_host(nr, args);
    if nr == libc::SYS_process_vm_writev {
        crate::ptrace::memory::note_foreign(a[0] as i32, &remote);
    }
    result
}
/// `process_vm_readv(pid, local, count, remote, count, flags)`.
pub fn process_vm_readv(task: &mut Task, a: [u64; 6]) -> SysResult {
    process_memory(task, libc::SYS_process_vm_readv, &a, Access::Write)
}
/// `process_vm_writev(pid, local, count, remote, count, flags)`.
pub fn process_vm_writev(task: &mut Task, a: [u64; 6]) -> SysResult {
    process_memory(task, libc::SYS_process_vm_writev, &a, Access::Read)
}

/// `pidfd_send_signal(pidfd, signal, info, flags)`.
pub fn pidfd_send_signal(task: &mut Task, a: [u64; 6]) -> SysResult {
    let info =
        if a[2] == 0 { None } else { Some(Siginfo::from_guest(task.mem.read::<Raw>(a[2])?, task.abi).to_host()) };
    let args = [int(a[0]), int(a[1]), info.as_ref().map_or(0, own), int(a[3]), 0, 0];
    task.syscall_host(libc::SYS_pidfd_send_signal, args)
}

/// `unshare(flags)`.
pub fn unshare(task: &mut Task, a: [u64; 6]) -> SysResult {
    let result = task.syscall_host(libc::SYS_unshare, [a[0] as usize, 0, 0, 0, 0, 0])?;
    if a[0] as i32 & libc::CLONE_NEWNS != 0 {
        task.process.root.reopen();
    }
    Ok(result)
}
/// `setns(fd, kind)`.
pub fn setns(task: &mut Task, a: [u64; 6]) -> SysResult {
    let result = task.syscall_host(libc::SYS_setns, [int(a[0]), int(a[1]), 0, 0, 0, 0])?;
    task.process.root.reopen();
    Ok(result)
}

/// `keyctl(operation, ...)`: integers and pointers alike are words; operations with scatter lists are not for i386.
pub fn keyctl(task: &mut Task, a: [u64; 6]) -> SysResult {
    const INSTANTIATE_IOV: i32 = 20;
    const DH_COMPUTE: i32 = 23;
    const PKEY_FIRST: i32 = 24;
    let operation = a[0] as i32;
    if task.abi == Abi::I386 && (operation == INSTANTIATE_IOV || (DH_COMPUTE..=PKEY_FIRST + 4).contains(&operation)) {
        return Err(Errno::EOPNOTSUPP);
    }
    let mut args = [0; 6];
    for (to, &from) in args.iter_mut().zip(&a).take(5) {
        // Key ids may be negative; pointers of i386 programs have no sign, but ids below zero are above any of them
        // only in the special range.
        let signed = long(task, from);
        *to = if (-16..0).contains(&signed) { signed as usize } else { from as usize };
    }
    task.syscall_blocking(libc::SYS_keyctl, args)
}

/// The buffer of a quota command; `struct if_dqblk` (sys/quota.h) has 4 bytes less at its end for i386, so the kernel may touch
/// what is behind it.
fn quota(task: &mut Task, command: u64, addr: u64, call: impl FnOnce(&mut Task, usize) -> SysResult) -> SysResult {
    const GET: u64 = 0x80_0007;
    const SET: u64 = 0x80_0008;
    if task.abi == Abi::I386 && matches!(command >> 8 & 0xff_ffff, GET | SET) {
        let mut block = [0u64; 9];
        let bytes = zerocopy::IntoBytes::as_mut_bytes(&mut block);
        let given = task.mem.read_bytes(addr, &mut bytes[..68]);
        // Without a structure the kernel says what else is wrong.
        let at = if given.is_ok() { own(&block) } else { 0 };
        let result = call(task, at)?;
        task.mem.write_bytes(addr, &zerocopy::IntoBytes::as_bytes(&block)[..68])?;
        return Ok(result);
    }
    // The largest structure is fs_disk_quota's 112 bytes.
    let at = super::args::output(task, addr, 128)?;
    call(task, at)
}
/// `quotactl(command, device, id, buf)`.
pub fn quotactl(task: &mut Task, a: [u64; 6]) -> SysResult {
    let device = match a[1] {
        0 => None,
        at => Some(crate::fs::path::whole(task, at, crate::fs::root::Last::Follow)?),
    };
    let device = device.as_ref().map_or(0, |name| name.as_ptr() as usize);
    quota(task, a[0], a[3], |task, buf| {
        task.syscall_host(libc::SYS_quotactl, [a[0] as u32 as usize, device, int(a[2]), buf, 0, 0])
    })
}
/// `quotactl_fd(fd, command, id, buf)`.
pub fn quotactl_fd(task: &mut Task, a: [u64; 6]) -> SysResult {
    quota(task, a[1], a[3], |task, buf| task.syscall_host(443, [int(a[0]), a[1] as u32 as usize, int(a[2]), buf, 0, 0]))
}

/// `sysfs(option, ...)`: file system types by number (sysfs(2)), from /proc/filesystems.
pub fn sysfs(task: &mut Task, a: [u64; 6]) -> SysResult {
    let text = std::fs::read_to_string("/proc/filesystems").map_err(|_| Errno::ENOSYS)?;
    // Each line is "nodev" or nothing, a tab, the name.
    let mut names = text.lines().filter_map(|line| line.split('\t').nth(1));
    match a[0] as i32 {
        1 => {
            let wanted = task.mem.cstr(a[1])?;
            let wanted = wanted.to_bytes();
            names.position(|name| name.as_bytes() == wanted).map(|index| index as u64).ok_or(Errno::EINVAL)
        }
        2 => {
            let name = names.nth(a[1] as u32 as usize).ok_or(Errno::EINVAL)?;
            task.mem.write_bytes(a[2], name.as_bytes())?;
            task.mem.write_bytes(a[2].wrapping_add(name.len() as u64), &[0])?;
            Ok(0)
        }
        3 => Ok(names.count() as u64),
        _ => Err(Errno::EINVAL),
    }
}

/// `memfd_secret(flags)`, which 32-bit ARM lacks.
pub fn memfd_secret(task: &mut Task, a: [u64; 6]) -> SysResult {
    if cfg!(target_arch = "arm") {
        return Err(Errno::ENOSYS);
    }
    task.syscall_host(447, [a[0] as u32 as usize, 0, 0, 0, 0, 0])
}

/// `process_madvise(pidfd, iov, count, advice, flags)`.
pub fn process_madvise(task: &mut Task, a: [u64; 6]) -> SysResult {
    let list = iov::load_foreign(task, a[1], a[2])?;
    let args = [int(a[0]), list.as_ptr() as usize, list.len(), int(a[3]), a[4] as u32 as usize, 0];
    task.syscall_host(libc::SYS_process_madvise, args)
}
