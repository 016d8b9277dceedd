//! What machine and system this is, and how much of it may be used.

use super::args::{int, own, own_mut};
use crate::abi::host::{Native, from_native};
use crate::abi::{Abi, Wide, x86_64};
use crate::errno::{Errno, SysResult};
use crate::task::Task;
use std::sync::{Mutex, PoisonError};
use x86_64::{Rlimit, Rusage, Sysinfo};

/// One field of `new_utsname` in bytes.
const FIELD: usize = 65;
/// `PER_MASK` and `PER_LINUX32` of personality(2).
const PER_MASK: u32 = 0xff;
const PER_LINUX32: u32 = 8;

/// The six strings of `new_utsname`: the host's, except for the machine and a release that was asked for.
fn names(task: &Task) -> Result<[[u8; FIELD]; 6], Errno> {
    let mut names = [[0u8; FIELD]; 6];
    task.syscall_host(libc::SYS_uname, [own_mut(&mut names), 0, 0, 0, 0, 0])?;
    let linux32 = super::misc::current_personality() & PER_MASK == PER_LINUX32;
    let machine: &[u8] = if linux32 { b"i686" } else { b"x86_64" };
    names[4] = [0; FIELD];
    names[4][..machine.len()].copy_from_slice(machine);
    if let Some(release) = &task.process.options.uname {
        let n = release.len().min(FIELD - 1);
        names[2] = [0; FIELD];
        names[2][..n].copy_from_slice(&release.as_bytes()[..n]);
    }
    Ok(names)
}

/// `uname(buf)`.
pub fn uname(task: &mut Task, a: [u64; 6]) -> SysResult {
    task.mem.write(a[0], &names(task)?)?;
    Ok(0)
}
/// `olduname(buf)`, i386 only: five fields.
pub fn olduname(task: &mut Task, a: [u64; 6]) -> SysResult {
    let names = names(task)?;
    for (i, name) in names.iter().take(5).enumerate() {
        task.mem.write(a[0].wrapping_add((i * FIELD) as u64), name)?;
    }
    Ok(0)
}
/// `oldolduname(buf)`, i386 only: five fields of nine bytes, cut off.
pub fn oldolduname(task: &mut Task, a: [u64; 6]) -> SysResult {
    for (i, name) in names(task)?.iter().take(5).enumerate() {
        let mut short = [0u8; 9];
        short[..8].copy_from_slice(&name[..8]);
        task.mem.write(a[0].wrapping_add(i as u64 * 9), &short)?;
    }
    Ok(0)
}

/// `sysinfo(buf)`.
pub fn sysinfo(task: &mut Task, a: [u64; 6]) -> SysResult {
    let mut info = Native::<Sysinfo>::default();
    task.syscall_host(libc::SYS_sysinfo, [own_mut(&mut info), 0, 0, 0, 0, 0])?;
    from_native::<Sysinfo>(&info).store(&task.mem, task.abi, a[0])?;
    Ok(0)
}

/// Gets and sets a limit of this process on the host by `prlimit64`, whose structure is the same everywhere.
fn host_limit(task: &Task, resource: u64, new: Option<Rlimit>) -> Result<Rlimit, Errno> {
    let mut old = Rlimit::default();
    let new = new.as_ref().map_or(0, own);
    task.syscall_host(libc::SYS_prlimit64, [0, int(resource), new, own_mut(&mut old), 0, 0])?;
    Ok(old)
}
/// Limits that would hit the translator's own memory are checked and remembered, but not given to the host; index 0 is
/// `RLIMIT_DATA`, 1 is `RLIMIT_AS`. A child started by exec starts with the host's again.
static OWN_LIMITS: [Mutex<Option<Rlimit>>; 2] = [const { Mutex::new(None) }; 2];

/// Runs `f` (a fork) with this module's locks held.
pub(super) fn locked<T>(f: impl FnOnce() -> T) -> T {
    let _guards = OWN_LIMITS.each_ref().map(|limit| limit.lock().unwrap_or_else(PoisonError::into_inner));
    f()
}

fn own_limit(resource: u64) -> Option<&'static Mutex<Option<Rlimit>>> {
    match resource as u32 {
        libc::RLIMIT_DATA => OWN_LIMITS.first(),
        libc::RLIMIT_AS => OWN_LIMITS.last(),
        _ => None,
    }
}

/// Gets and perhaps sets a limit of this process.
fn limit(task: &Task, resource: u64, new: Option<Rlimit>) -> Result<Rlimit, Errno> {
    let Some(cell) = own_limit(resource) else {
        let changes = new.is_some();
        let old = host_limit(task, resource, new)?;
        if changes && resource as u32 == libc::RLIMIT_CORE {
            crate::signal::follow_core_limit(&task.process.signals);
        }
        return Ok(old);
    };
    let mut own = cell.lock().unwrap_or_else(PoisonError::into_inner);
    let old = match *own {
        Some(old) => old,
        None => host_limit(task, resource, None)?,
    };
    if let Some(new) = new {
        if new.rlim_cur > new.rlim_max {
            return Err(Errno::EINVAL);
        }
        if new.rlim_max > old.rlim_max {
            return Err(Errno::EPERM);
        }
        *own = Some(new);
        let which = usize::from(resource as u32 == libc::RLIMIT_AS);
        task.process.space.set_limit(which, new.rlim_cur);
    }
    Ok(old)
}

/// `getrlimit(resource, limits)`; i386's knows no limits beyond 2 GiB (kernel/sys.c, `old_getrlimit`).
pub fn getrlimit(task: &mut Task, a: [u64; 6]) -> SysResult {
    let mut limits = limit(task, a[0], None)?;
    if task.abi == Abi::I386 {
        limits.rlim_cur = limits.rlim_cur.min(0x7fff_ffff);
        limits.rlim_max = limits.rlim_max.min(0x7fff_ffff);
    }
    limits.store(&task.mem, task.abi, a[1])?;
    Ok(0)
}
/// `ugetrlimit(resource, limits)`, i386 only.
pub fn ugetrlimit(task: &mut Task, a: [u64; 6]) -> SysResult {
    limit(task, a[0], None)?.store(&task.mem, task.abi, a[1])?;
    Ok(0)
}
/// `setrlimit(resource, limits)`.
pub fn setrlimit(task: &mut Task, a: [u64; 6]) -> SysResult {
    let new = Rlimit::load(&task.mem, task.abi, a[1])?;
    limit(task, a[0], Some(new))?;
    Ok(0)
}
/// `prlimit64(pid, resource, new, old)`: 64-bit limits for all ABIs.
pub fn prlimit64(task: &mut Task, a: [u64; 6]) -> SysResult {
    let new = if a[2] == 0 { None } else { Some(task.mem.read::<Rlimit>(a[2])?) };
    let old = if a[0] as i32 == 0 || a[0] as u32 == std::process::id() {
        limit(task, a[1], new)?
    } else {
        let mut old = Rlimit::default();
        let new = new.as_ref().map_or(0, own);
        task.syscall_host(libc::SYS_prlimit64, [int(a[0]), int(a[1]), new, own_mut(&mut old), 0, 0])?;
        old
    };
    if a[3] != 0 {
        task.mem.write(a[3], &old)?;
    }
    Ok(0)
}

/// `getrusage(who, usage)`.
pub fn getrusage(task: &mut Task, a: [u64; 6]) -> SysResult {
    let mut usage = Native::<Rusage>::default();
    task.syscall_host(libc::SYS_getrusage, [int(a[0]), own_mut(&mut usage), 0, 0, 0, 0])?;
    from_native::<Rusage>(&usage).store(&task.mem, task.abi, a[1])?;
    Ok(0)
}
