//! User and group ids: the 16-bit calls of i386 (kernel/uid16.c), and what the architectures do not have in common.
//!
//! A 16-bit id of 65535 is "no change"; an id that does not fit reads as the overflow id.

use super::args::{int, own_mut};
use super::dir::change_owner;
use crate::errno::{Errno, SysResult};
use crate::task::Task;

/// `DEFAULT_OVERFLOWUID`.
const OVERFLOW: u16 = 65534;
/// `NGROUPS_MAX`.
const MAX_GROUPS: usize = 65536;

/// The host's calls with 32-bit ids. On 32-bit ARM, as on i386, the plain names are the old 16-bit calls.
pub mod wide {
    #[cfg(not(target_arch = "arm"))]
    pub use libc::{
        SYS_fchown, SYS_getegid, SYS_geteuid, SYS_getgid, SYS_getgroups, SYS_getresgid, SYS_getresuid, SYS_getuid,
        SYS_setfsgid, SYS_setfsuid, SYS_setgid, SYS_setgroups, SYS_setregid, SYS_setresgid, SYS_setresuid,
        SYS_setreuid, SYS_setuid,
    };
    #[cfg(target_arch = "arm")]
    pub use libc::{
        SYS_fchown32 as SYS_fchown, SYS_getegid32 as SYS_getegid, SYS_geteuid32 as SYS_geteuid,
        SYS_getgid32 as SYS_getgid, SYS_getgroups32 as SYS_getgroups, SYS_getresgid32 as SYS_getresgid,
        SYS_getresuid32 as SYS_getresuid, SYS_getuid32 as SYS_getuid, SYS_setfsgid32 as SYS_setfsgid,
        SYS_setfsuid32 as SYS_setfsuid, SYS_setgid32 as SYS_setgid, SYS_setgroups32 as SYS_setgroups,
        SYS_setregid32 as SYS_setregid, SYS_setresgid32 as SYS_setresgid, SYS_setresuid32 as SYS_setresuid,
        SYS_setreuid32 as SYS_setreuid, SYS_setuid32 as SYS_setuid,
    };
}

/// To 16 bits.
fn low(id: u64) -> u64 {
    u16::try_from(id as u32).unwrap_or(OVERFLOW).into()
}
/// From 16 bits.
fn high(id: u64) -> usize {
    if id as u16 == u16::MAX { u32::MAX as usize } else { id as u16 as usize }
}

macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident = $nr:ident;)*) => { $(
        $(#[$doc])*
        pub fn $name(task: &mut Task, _: [u64; 6]) -> SysResult {
            task.syscall_host(wide::$nr, [0; 6]).map(low)
        }
    )* };
}
getters! {
    /// `getuid()`, 16 bits.
    getuid16 = SYS_getuid;
    /// `geteuid()`, 16 bits.
    geteuid16 = SYS_geteuid;
    /// `getgid()`, 16 bits.
    getgid16 = SYS_getgid;
    /// `getegid()`, 16 bits.
    getegid16 = SYS_getegid;
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident = $nr:ident;)*) => { $(
        $(#[$doc])*
        pub fn $name(task: &mut Task, a: [u64; 6]) -> SysResult {
            task.syscall_host(wide::$nr, [high(a[0]), high(a[1]), high(a[2]), 0, 0, 0])
        }
    )* };
}
setters! {
    /// `setuid(uid)`, 16 bits.
    setuid16 = SYS_setuid;
    /// `setgid(gid)`, 16 bits.
    setgid16 = SYS_setgid;
    /// `setreuid(real, effective)`, 16 bits.
    setreuid16 = SYS_setreuid;
    /// `setregid(real, effective)`, 16 bits.
    setregid16 = SYS_setregid;
    /// `setresuid(real, effective, saved)`, 16 bits.
    setresuid16 = SYS_setresuid;
    /// `setresgid(real, effective, saved)`, 16 bits.
    setresgid16 = SYS_setresgid;
}
/// `setfsuid(uid)`, 16 bits; the answer is the previous id.
pub fn setfsuid16(task: &mut Task, a: [u64; 6]) -> SysResult {
    task.syscall_host(wide::SYS_setfsuid, [high(a[0]), 0, 0, 0, 0, 0]).map(low)
}
/// `setfsgid(gid)`, 16 bits; the answer is the previous id.
pub fn setfsgid16(task: &mut Task, a: [u64; 6]) -> SysResult {
    task.syscall_host(wide::SYS_setfsgid, [high(a[0]), 0, 0, 0, 0, 0]).map(low)
}

fn get_three(task: &mut Task, nr: libc::c_long, a: &[u64; 6]) -> SysResult {
    let mut ids = [0u32; 3];
    let [real, effective, saved] = ids.each_mut().map(own_mut);
    task.syscall_host(nr, [real, effective, saved, 0, 0, 0])?;
    for (id, &addr) in ids.iter().zip(a) {
        task.mem.write(addr, &(low((*id).into()) as u16))?;
    }
    Ok(0)
}
/// `getresuid(real, effective, saved)`, 16 bits.
pub fn getresuid16(task: &mut Task, a: [u64; 6]) -> SysResult {
    get_three(task, wide::SYS_getresuid, &a)
}
/// `getresgid(real, effective, saved)`, 16 bits.
pub fn getresgid16(task: &mut Task, a: [u64; 6]) -> SysResult {
    get_three(task, wide::SYS_getresgid, &a)
}

/// `chown(path, uid, gid)`, 16 bits.
pub fn chown16(task: &mut Task, a: [u64; 6]) -> SysResult {
    change_owner(task, a[0], high(a[1]) as u32, high(a[2]) as u32, 0)
}
/// `lchown(path, uid, gid)`, 16 bits.
pub fn lchown16(task: &mut Task, a: [u64; 6]) -> SysResult {
    change_owner(task, a[0], high(a[1]) as u32, high(a[2]) as u32, libc::AT_SYMLINK_NOFOLLOW)
}
/// `fchown(fd, uid, gid)`, 16 bits.
pub fn fchown16(task: &mut Task, a: [u64; 6]) -> SysResult {
    task.syscall_host(wide::SYS_fchown, [int(a[0]), high(a[1]), high(a[2]), 0, 0, 0])
}

/// The supplementary groups, at most as many as the program has room for.
fn groups(task: &Task, room: u64) -> Result<(u64, Vec<u32>), Errno> {
    let room = room as i32;
    if room < 0 {
        return Err(Errno::EINVAL);
    }
    let mut list = vec![0u32; (room as usize).min(MAX_GROUPS)];
    let count = task.syscall_host(wide::SYS_getgroups, [list.len(), list.as_mut_ptr() as usize, 0, 0, 0, 0])?;
    list.truncate(count as usize);
    Ok((count, list))
}
/// `getgroups(size, list)`.
pub fn getgroups(task: &mut Task, a: [u64; 6]) -> SysResult {
    let (count, list) = groups(task, a[0])?;
    task.mem.write_slice(a[1], &list)?;
    Ok(count)
}
/// `getgroups(size, list)`, 16 bits.
pub fn getgroups16(task: &mut Task, a: [u64; 6]) -> SysResult {
    let (count, list) = groups(task, a[0])?;
    let list: Vec<u16> = list.into_iter().map(|id| low(id.into()) as u16).collect();
    task.mem.write_slice(a[1], &list)?;
    Ok(count)
}
fn set_groups(task: &Task, list: &[u32]) -> SysResult {
    task.syscall_host(wide::SYS_setgroups, [list.len(), list.as_ptr() as usize, 0, 0, 0, 0])
}
/// The count of groups that are to be set.
fn group_count(value: u64) -> Result<usize, Errno> {
    let count = value as u32 as usize;
    if count > MAX_GROUPS { Err(Errno::EINVAL) } else { Ok(count) }
}
/// `setgroups(size, list)`.
pub fn setgroups(task: &mut Task, a: [u64; 6]) -> SysResult {
    let list = task.mem.read_vec::<u32>(a[1], group_count(a[0])?)?;
    set_groups(task, &list)
}
/// `setgroups(size, list)`, 16 bits.
pub fn setgroups16(task: &mut Task, a: [u64; 6]) -> SysResult {
    let list = task.mem.read_vec::<u16>(a[1], group_count(a[0])?)?;
    let list: Vec<u32> = list.into_iter().map(|id| high(id.into()) as u32).collect();
    set_groups(task, &list)
}

/// `getpgrp()`, which aarch64 lacks.
pub fn getpgrp(task: &mut Task, _: [u64; 6]) -> SysResult {
    task.syscall_host(libc::SYS_getpgid, [0; 6])
}
