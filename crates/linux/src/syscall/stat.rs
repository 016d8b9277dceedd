//! The `stat` and `statfs` families.
//!
//! The host is always asked by `statx`, whose structure is the same on all architectures and has all that any of the
//! older structures has; each guest structure is then filled from it with the kernel's own overflow rules (fs/stat.c).

use super::args::{input, int, output, own_mut};
#[cfg(target_pointer_width = "64")]
use crate::abi::host::{Native, from_native};
use crate::abi::{Wide, i386, x86_64};
use crate::errno::{Errno, SysResult};
use crate::fs::root::Last;
use crate::fs::{path, proc};
use crate::task::{Abi, Task};
use std::ffi::CStr;

const BASIC: usize = libc::STATX_BASIC_STATS as usize;

fn call(task: &Task, dir: u64, name: &CStr, flags: u32) -> Result<libc::statx, Errno> {
    // SAFETY: statx is plain data; the kernel fills it.
    let mut info: libc::statx = unsafe { std::mem::zeroed() };
    let buf = own_mut(&mut info);
    path::ask(task, dir, name, last_of(flags), |dir, name, is_file| {
        let flags = if is_file { flags | libc::AT_EMPTY_PATH as u32 } else { flags };
        task.syscall_host(libc::SYS_statx, [dir, name.as_ptr() as usize, flags as usize, BASIC, buf, 0])
    })?;
    Ok(info)
}

/// What `AT_*` flags say about the last component.
fn last_of(flags: u32) -> Last {
    if flags & NOFOLLOW != 0 { Last::Itself } else { Last::Follow }
}

/// What the host knows about an open file.
///
/// # Errors
/// `EBADF` and others of statx(2).
pub fn of_fd(task: &Task, fd: u64) -> Result<libc::statx, Errno> {
    // A negative descriptor is not AT_FDCWD here.
    if (fd as i32) < 0 {
        return Err(Errno::EBADF);
    }
    call(task, fd, c"", libc::AT_EMPTY_PATH as u32)
}

/// What the host knows about a path; `flags` are `AT_*`.
fn of_path(task: &Task, dir: u64, addr: u64, flags: u32) -> Result<libc::statx, Errno> {
    // glibc's fstat calls newfstatat with an empty path, newer kernels take a null pointer for it as well.
    if flags & libc::AT_EMPTY_PATH as u32 != 0 && addr == 0 {
        return of_fd(task, dir);
    }
    let name = path::read(task, addr)?;
    // `stat` does not trigger automounts; fstatat(2) says so since Linux 4.11.
    let flags = flags | libc::AT_NO_AUTOMOUNT as u32;
    if flags & libc::AT_SYMLINK_NOFOLLOW as u32 == 0 {
        if let Some(target) = proc::exe_target(task, dir, &name) {
            return call(task, libc::AT_FDCWD as u64, &target, flags);
        }
    }
    call(task, dir, &name, flags)
}

/// `new_encode_dev` (include/linux/kdev_t.h).
fn encode_dev(major: u32, minor: u32) -> u32 {
    minor & 0xff | major << 8 | (minor & !0xff) << 12
}

/// `old_encode_dev`.
fn old_encode_dev(major: u32, minor: u32) -> u16 {
    ((major & 0xff) << 8 | minor & 0xff) as u16
}

/// A 32-bit user or group id in 16 bits (`SET_UID` with `overflowuid`).
fn id16(id: u32) -> u16 {
    u16::try_from(id).unwrap_or(65534)
}

fn to_x86_64(s: &libc::statx) -> x86_64::Stat {
    x86_64::Stat {
        st_dev: encode_dev(s.stx_dev_major, s.stx_dev_minor).into(),
        st_ino: s.stx_ino,
        st_nlink: s.stx_nlink.into(),
        st_mode: s.stx_mode.into(),
        st_uid: s.stx_uid,
        st_gid: s.stx_gid,
        _pad0: 0,
        st_rdev: encode_dev(s.stx_rdev_major, s.stx_rdev_minor).into(),
        st_size: s.stx_size as i64,
        st_blksize: s.stx_blksize.into(),
        st_blocks: s.stx_blocks as i64,
        st_atime: s.stx_atime.tv_sec,
        st_atime_nsec: s.stx_atime.tv_nsec.into(),
        st_mtime: s.stx_mtime.tv_sec,
        st_mtime_nsec: s.stx_mtime.tv_nsec.into(),
        st_ctime: s.stx_ctime.tv_sec,
        st_ctime_nsec: s.stx_ctime.tv_nsec.into(),
        _pad1: [0; 3],
    }
}

/// `cp_compat_stat`: inode, link count and size must fit.
fn to_i386(s: &libc::statx) -> Result<i386::Stat, Errno> {
    if s.stx_size > super::file::MAX_NON_LFS {
        return Err(Errno::EOVERFLOW);
    }
    Ok(i386::Stat {
        st_dev: encode_dev(s.stx_dev_major, s.stx_dev_minor),
        st_ino: u32::try_from(s.stx_ino).map_err(|_| Errno::EOVERFLOW)?,
        st_mode: s.stx_mode,
        st_nlink: u16::try_from(s.stx_nlink).map_err(|_| Errno::EOVERFLOW)?,
        st_uid: id16(s.stx_uid),
        st_gid: id16(s.stx_gid),
        st_rdev: encode_dev(s.stx_rdev_major, s.stx_rdev_minor),
        st_size: s.stx_size as u32,
        st_blksize: s.stx_blksize,
        st_blocks: s.stx_blocks as u32,
        st_atime: s.stx_atime.tv_sec as u32,
        st_atime_nsec: s.stx_atime.tv_nsec,
        st_mtime: s.stx_mtime.tv_sec as u32,
        st_mtime_nsec: s.stx_mtime.tv_nsec,
        st_ctime: s.stx_ctime.tv_sec as u32,
        st_ctime_nsec: s.stx_ctime.tv_nsec,
        _pad0: [0; 2],
    })
}

/// `cp_new_stat64`.
fn to_stat64(s: &libc::statx) -> i386::Stat64 {
    i386::Stat64 {
        st_dev: encode_dev(s.stx_dev_major, s.stx_dev_minor).into(),
        _pad0: 0,
        __st_ino: s.stx_ino as u32,
        st_mode: s.stx_mode.into(),
        st_nlink: s.stx_nlink,
        st_uid: s.stx_uid,
        st_gid: s.stx_gid,
        st_rdev: encode_dev(s.stx_rdev_major, s.stx_rdev_minor).into(),
        _pad1: 0,
        st_size: s.stx_size as i64,
        st_blksize: s.stx_blksize,
        st_blocks: s.stx_blocks as i64,
        st_atime: s.stx_atime.tv_sec as u32,
        st_atime_nsec: s.stx_atime.tv_nsec,
        st_mtime: s.stx_mtime.tv_sec as u32,
        st_mtime_nsec: s.stx_mtime.tv_nsec,
        st_ctime: s.stx_ctime.tv_sec as u32,
        st_ctime_nsec: s.stx_ctime.tv_nsec,
        st_ino: s.stx_ino,
    }
}

/// `cp_old_stat`.
fn to_old(s: &libc::statx) -> Result<i386::OldStat, Errno> {
    if s.stx_size > super::file::MAX_NON_LFS {
        return Err(Errno::EOVERFLOW);
    }
    Ok(i386::OldStat {
        st_dev: old_encode_dev(s.stx_dev_major, s.stx_dev_minor),
        st_ino: u16::try_from(s.stx_ino).map_err(|_| Errno::EOVERFLOW)?,
        st_mode: s.stx_mode,
        st_nlink: u16::try_from(s.stx_nlink).map_err(|_| Errno::EOVERFLOW)?,
        st_uid: id16(s.stx_uid),
        st_gid: id16(s.stx_gid),
        st_rdev: old_encode_dev(s.stx_rdev_major, s.stx_rdev_minor),
        _pad0: 0,
        st_size: s.stx_size as u32,
        st_atime: s.stx_atime.tv_sec as u32,
        st_mtime: s.stx_mtime.tv_sec as u32,
        st_ctime: s.stx_ctime.tv_sec as u32,
    })
}

/// Stores the `struct stat` of the call's ABI.
fn store(task: &Task, info: &libc::statx, addr: u64) -> SysResult {
    match task.abi {
        Abi::X86_64 => task.mem.write(addr, &to_x86_64(info))?,
        Abi::I386 => task.mem.write(addr, &to_i386(info)?)?,
    }
    Ok(0)
}

const CWD: u64 = libc::AT_FDCWD as u64;
const NOFOLLOW: u32 = libc::AT_SYMLINK_NOFOLLOW as u32;

/// `stat(path, buf)`.
pub fn stat(task: &mut Task, a: [u64; 6]) -> SysResult {
    let info = of_path(task, CWD, a[0], 0)?;
    store(task, &info, a[1])
}
/// `lstat(path, buf)`.
pub fn lstat(task: &mut Task, a: [u64; 6]) -> SysResult {
    let info = of_path(task, CWD, a[0], NOFOLLOW)?;
    store(task, &info, a[1])
}
/// `fstat(fd, buf)`.
pub fn fstat(task: &mut Task, a: [u64; 6]) -> SysResult {
    let info = of_fd(task, a[0])?;
    store(task, &info, a[1])
}
/// `newfstatat(dirfd, path, buf, flags)`.
pub fn newfstatat(task: &mut Task, a: [u64; 6]) -> SysResult {
    let info = of_path(task, a[0], a[1], a[3] as u32)?;
    store(task, &info, a[2])
}
/// `oldstat(path, buf)`, i386 only.
pub fn oldstat(task: &mut Task, a: [u64; 6]) -> SysResult {
    let info = of_path(task, CWD, a[0], 0)?;
    task.mem.write(a[1], &to_old(&info)?)?;
    Ok(0)
}
/// `oldlstat(path, buf)`, i386 only.
pub fn oldlstat(task: &mut Task, a: [u64; 6]) -> SysResult {
    let info = of_path(task, CWD, a[0], NOFOLLOW)?;
    task.mem.write(a[1], &to_old(&info)?)?;
    Ok(0)
}
/// `oldfstat(fd, buf)`, i386 only.
pub fn oldfstat(task: &mut Task, a: [u64; 6]) -> SysResult {
    let info = of_fd(task, a[0])?;
    task.mem.write(a[1], &to_old(&info)?)?;
    Ok(0)
}
/// `stat64(path, buf)`, i386 only.
pub fn stat64(task: &mut Task, a: [u64; 6]) -> SysResult {
    let info = of_path(task, CWD, a[0], 0)?;
    task.mem.write(a[1], &to_stat64(&info))?;
    Ok(0)
}
/// `lstat64(path, buf)`, i386 only.
pub fn lstat64(task: &mut Task, a: [u64; 6]) -> SysResult {
    let info = of_path(task, CWD, a[0], NOFOLLOW)?;
    task.mem.write(a[1], &to_stat64(&info))?;
    Ok(0)
}
/// `fstat64(fd, buf)`, i386 only.
pub fn fstat64(task: &mut Task, a: [u64; 6]) -> SysResult {
    let info = of_fd(task, a[0])?;
    task.mem.write(a[1], &to_stat64(&info))?;
    Ok(0)
}
/// `fstatat64(dirfd, path, buf, flags)`, i386 only.
pub fn fstatat64(task: &mut Task, a: [u64; 6]) -> SysResult {
    let info = of_path(task, a[0], a[1], a[3] as u32)?;
    task.mem.write(a[2], &to_stat64(&info))?;
    Ok(0)
}

/// `statx(dirfd, path, flags, mask, buf)`: one structure for everybody.
pub fn statx(task: &mut Task, a: [u64; 6]) -> SysResult {
    let buf = output(task, a[4], 256)?;
    let (flags, mask) = (a[2] as u32, a[3] as u32 as usize);
    if a[1] == 0 {
        return task.syscall_host(libc::SYS_statx, [int(a[0]), 0, flags as usize, mask, buf, 0]);
    }
    let name = path::read(task, a[1])?;
    let target = if flags & NOFOLLOW == 0 { proc::exe_target(task, a[0], &name) } else { None };
    let name = target.unwrap_or(name);
    path::ask(task, a[0], &name, last_of(flags), |dir, name, is_file| {
        let flags = if is_file { flags | libc::AT_EMPTY_PATH as u32 } else { flags };
        task.syscall_host(libc::SYS_statx, [dir, name.as_ptr() as usize, flags as usize, mask, buf, 0])
    })
}

/// The host's `statfs` by the number for paths or for descriptors.
fn host_statfs(task: &Task, by_path: bool, first: usize) -> Result<x86_64::Statfs, Errno> {
    #[cfg(target_pointer_width = "64")]
    {
        let nr = if by_path { libc::SYS_statfs } else { libc::SYS_fstatfs };
        let mut native = Native::<x86_64::Statfs>::default();
        task.syscall_host(nr, [first, own_mut(&mut native), 0, 0, 0, 0])?;
        Ok(from_native::<x86_64::Statfs>(&native))
    }
    // ARM EABI's statfs64 is i386's.
    #[cfg(target_pointer_width = "32")]
    {
        let nr = if by_path { libc::SYS_statfs64 } else { libc::SYS_fstatfs64 };
        let mut s = i386::Statfs64::default();
        task.syscall_host(nr, [first, size_of::<i386::Statfs64>(), own_mut(&mut s), 0, 0, 0])?;
        Ok(x86_64::Statfs {
            f_type: s.f_type.into(),
            f_bsize: s.f_bsize.into(),
            f_blocks: s.f_blocks,
            f_bfree: s.f_bfree,
            f_bavail: s.f_bavail,
            f_files: s.f_files,
            f_ffree: s.f_ffree,
            f_fsid: s.f_fsid,
            f_namelen: s.f_namelen.into(),
            f_frsize: s.f_frsize.into(),
            f_flags: s.f_flags.into(),
            f_spare: [0; 4],
        })
    }
}

fn to_statfs64(s: &x86_64::Statfs) -> i386::Statfs64 {
    i386::Statfs64 {
        f_type: s.f_type as u32,
        f_bsize: s.f_bsize as u32,
        f_blocks: s.f_blocks,
        f_bfree: s.f_bfree,
        f_bavail: s.f_bavail,
        f_files: s.f_files,
        f_ffree: s.f_ffree,
        f_fsid: s.f_fsid,
        f_namelen: s.f_namelen as u32,
        f_frsize: s.f_frsize as u32,
        f_flags: s.f_flags as u32,
        f_spare: [0; 4],
    }
}

/// `statfs(path, buf)`.
pub fn statfs(task: &mut Task, a: [u64; 6]) -> SysResult {
    let name = path::whole(task, a[0], Last::Follow)?;
    let info = host_statfs(task, true, name.as_ptr() as usize)?;
    info.store(&task.mem, task.abi, a[1])?;
    Ok(0)
}
/// `fstatfs(fd, buf)`.
pub fn fstatfs(task: &mut Task, a: [u64; 6]) -> SysResult {
    let info = host_statfs(task, false, int(a[0]))?;
    info.store(&task.mem, task.abi, a[1])?;
    Ok(0)
}
/// `statfs64(path, size, buf)`, i386 only.
pub fn statfs64(task: &mut Task, a: [u64; 6]) -> SysResult {
    check_size(a[1])?;
    let name = path::whole(task, a[0], Last::Follow)?;
    let info = host_statfs(task, true, name.as_ptr() as usize)?;
    task.mem.write(a[2], &to_statfs64(&info))?;
    Ok(0)
}
/// `fstatfs64(fd, size, buf)`, i386 only.
pub fn fstatfs64(task: &mut Task, a: [u64; 6]) -> SysResult {
    check_size(a[1])?;
    let info = host_statfs(task, false, int(a[0]))?;
    task.mem.write(a[2], &to_statfs64(&info))?;
    Ok(0)
}

/// The size argument of the i386 calls must be the structure's, or 88: what a compiler that aligns to 8 makes of it.
fn check_size(size: u64) -> Result<(), Errno> {
    if size == 84 { Ok(()) } else { Err(Errno::EINVAL) }
}

/// `ustat(dev, buf)`: free blocks and inodes of the file system on a device, found by its mount point.
pub fn ustat(task: &mut Task, a: [u64; 6]) -> SysResult {
    let dev = a[0] as u32;
    let (major, minor) = ((dev & 0xfff00) >> 8, dev & 0xff | (dev >> 12) & 0xfff00);
    let wanted = format!("{major}:{minor}");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").map_err(|_| Errno::EINVAL)?;
    // mountinfo: id, parent, major:minor, root, mount point, ...
    let point = mounts
        .lines()
        .map(|line| line.split(' '))
        .find_map(|mut fields| (fields.nth(2)? == wanted).then(|| fields.nth(1)).flatten())
        .ok_or(Errno::EINVAL)?;
    let point = std::ffi::CString::new(point).map_err(|_| Errno::EINVAL)?;
    let info = host_statfs(task, true, point.as_ptr() as usize)?;
    let out = x86_64::Ustat { f_tfree: info.f_bfree as i32, f_tinode: info.f_ffree, ..Default::default() };
    // The buffer is only written when it is there.
    input(task, a[1], 1)?;
    out.store(&task.mem, task.abi, a[1])?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> libc::statx {
        // SAFETY: plain data.
        let mut s: libc::statx = unsafe { std::mem::zeroed() };
        s.stx_dev_major = 8;
        s.stx_dev_minor = 0x101;
        s.stx_ino = 77;
        s.stx_nlink = 2;
        s.stx_uid = 70000;
        s.stx_size = 5;
        s
    }

    #[test]
    fn device_numbers() {
        assert_eq!(encode_dev(8, 0x101), 0x100801);
        assert_eq!(old_encode_dev(8, 1), 0x801);
    }

    #[test]
    fn i386_overflows() {
        let mut s = sample();
        assert_eq!({ to_i386(&s).unwrap().st_uid }, 65534);
        s.stx_size = 1 << 31;
        assert_eq!(to_i386(&s).unwrap_err(), Errno::EOVERFLOW);
        s.stx_size = 0;
        s.stx_ino = 1 << 32;
        assert_eq!(to_i386(&s).unwrap_err(), Errno::EOVERFLOW);
        assert_eq!({ to_stat64(&s).st_ino }, 1 << 32);
    }
}
