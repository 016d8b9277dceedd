//! User and group ids: the 16-bit calls of i386 (kernel/uid16.c), and what the architectures do not have in common.
//!
//! A 16-bit id of 65535 is "no change"; an id that does not fit reads as the overflow id.

use super::args::{int, own_mut};
use super::dir::change_owner;
use super::kernel;
use crate::errno::{Errno, SysResult};
use crate::task::Task;

/// `DEFAULT_OVERFLOWUID`.
const OVERFLOW: u16 = 65534;
/// `NGROUPS_MAX`.
const MAX_GROUPS: usize = 65536;

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
            task.syscall_host(kernel::$nr, [0; 6]).map(low)
        }
    )* };
}
getters! {
    /// `getuid()`, 16 bits.
    getuid16 = GETUID;
    /// `geteuid()`, 16 bits.
    geteuid16 = GETEUID;
    /// `getgid()`, 16 bits.
    getgid16 = GETGID;
    /// `getegid()`, 16 bits.
    getegid16 = GETEGID;
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident = $nr:ident;)*) => { $(
        $(#[$doc])*
        pub fn $name(task: &mut Task, a: [u64; 6]) -> SysResult {
            task.syscall_host(kernel::$nr, [high(a[0]), high(a[1]), high(a[2]), 0, 0, 0])
        }
    )* };
}
setters! {
    /// `setuid(uid)`, 16 bits.
    setuid16 = SETUID;
    /// `setgid(gid)`, 16 bits.
    setgid16 = SETGID;
    /// `setreuid(real, effective)`, 16 bits.
    setreuid16 = SETREUID;
    /// `setregid(real, effective)`, 16 bits.
    setregid16 = SETREGID;
    /// `setresuid(real, effective, saved)`, 16 bits.
    setresuid16 = SETRESUID;
    /// `setresgid(real, effective, saved)`, 16 bits.
    setresgid16 = SETRESGID;
}
/// `setfsuid(uid)`, 16 bits; the answer is the previous id.
pub fn setfsuid16(task: &mut Task, a: [u64; 6]) -> SysResult {
    task.syscall_host(kernel::SETFSUID, [high(a[0]), 0, 0, 0, 0, 0]).map(low)
}
/// `setfsgid(gid)`, 16 bits; the answer is the previous id.
pub fn setfsgid16(task: &mut Task, a: [u64; 6]) -> SysResult {
    task.syscall_host(kernel::SETFSGID, [high(a[0]), 0, 0, 0, 0, 0]).map(low)
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
    get_three(task, kernel::GETRESUID, &a)
}
/// `getresgid(real, effective, saved)`, 16 bits.
pub fn getresgid16(task: &mut Task, a: [u64; 6]) -> SysResult {
    get_three(task, kernel::GETRESGID, &a)
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
    task.syscall_host(kernel::FCHOWN, [int(a[0]), high(a[1]), high(a[2]), 0, 0, 0])
}

/// The supplementary groups, at most as many as the program has room for.
fn groups(task: &Task, room: u64) -> Result<(u64, Vec<u32>), Errno> {
    let room = room as i32;
    if room < 0 {
        return Err(Errno::EINVAL);
    }
    let mut list = vec![0u32; (room as usize).min(MAX_GROUPS)];
    let count = task.syscall_host(kernel::GETGROUPS, [list.len(), list.as_mut_ptr() as usize, 0, 0, 0, 0])?;
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
    task.syscall_host(kernel::SETGROUPS, [list.len(), list.as_ptr() as usize, 0, 0, 0, 0])
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
