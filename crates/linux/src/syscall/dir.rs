//! Names in directories: links, creation, removal, permissions, and reading directories.
//!
//! The calls without a directory descriptor are the `*at` calls with `AT_FDCWD`, which is all that aarch64 has.
//!
//! # Directory positions for i386
//! `getdents` and `telldir` of an i386 program know 32-bit positions, but file systems like ext4 give 64-bit ones (a hash)
//! to 64-bit processes, and that is what Demotic is. glibc's `readdir` fails with `EOVERFLOW` when a position does not
//! fit. So positions beyond 31 bits are given out as 31-bit tokens and remembered; `lseek` on the token finds the real
//! position again ([`real_offset`]). A collision of two tokens makes a later `seekdir` land at the wrong entry; it takes
//! two equal 31-bit digests among the remembered ones.

use super::args::{input, int, output, own_mut};
use crate::errno::{Errno, SysResult};
use crate::fs::root::Last;
use crate::fs::{path, proc};
use crate::task::{Abi, Task};
use crate::uaccess::PATH_MAX;
use std::collections::HashMap;
use std::ffi::CStr;
use std::sync::Mutex;

const CWD: u64 = libc::AT_FDCWD as u64;

/// `access(path, mode)`.
pub fn access(task: &mut Task, a: [u64; 6]) -> SysResult {
    faccessat(task, [CWD, a[0], a[1], 0, 0, 0])
}
/// `faccessat(dirfd, path, mode)`.
pub fn faccessat(task: &mut Task, a: [u64; 6]) -> SysResult {
    let name = path::read(task, a[1])?;
    let name = proc::exe_target(task, a[0], &name).unwrap_or(name);
    path::ask(task, a[0], &name, Last::Follow, |dir, name, is_file| {
        let name = name.as_ptr() as usize;
        if is_file {
            let flags = libc::AT_EMPTY_PATH as usize;
            return task.syscall_host(libc::SYS_faccessat2, [dir, name, int(a[2]), flags, 0, 0]);
        }
        task.syscall_host(libc::SYS_faccessat, [dir, name, int(a[2]), 0, 0, 0])
    })
}

/// `readlink(path, buf, size)`.
pub fn readlink(task: &mut Task, a: [u64; 6]) -> SysResult {
    readlinkat(task, [CWD, a[0], a[1], a[2], 0, 0])
}
/// `readlinkat(dirfd, path, buf, size)`; `/proc/self/exe` names the guest's program, and no link of the kernel's in /proc
/// shows where the guest root is.
pub fn readlinkat(task: &mut Task, a: [u64; 6]) -> SysResult {
    let name = path::read(task, a[1])?;
    // The size is an `int` and must be positive.
    let size = a[3] as i32;
    if size <= 0 {
        return Err(Errno::EINVAL);
    }
    let root = &task.process.root;
    if let Some(target) = proc::exe_target(task, a[0], &name) {
        let bytes = root.guest(target.as_bytes());
        let len = bytes.len().min(size as usize);
        task.mem.write_bytes(a[2], bytes.get(..len).unwrap_or_default())?;
        return Ok(len as u64);
    }
    let link = |dir: usize, name: &CStr, buf: usize, size: usize| {
        task.syscall_host(libc::SYS_readlinkat, [dir, name.as_ptr() as usize, buf, size, 0, 0])
    };
    if !root.is_active() {
        let buf = output(task, a[2], size as usize)?;
        return link(int(a[0]), &name, buf, size as usize);
    }
    let mut target = [0u8; PATH_MAX];
    let len = path::ask(task, a[0], &name, Last::Itself, |dir, name, is_file| {
        match link(dir, name, target.as_mut_ptr() as usize, target.len()) {
            // What the kernel says of an open file that is no link.
            Err(Errno::ENOENT) if is_file => Err(Errno::EINVAL),
            result => result,
        }
    })?;
    let bytes = root.guest(target.get(..len as usize).unwrap_or_default());
    let bytes = bytes.get(..bytes.len().min(size as usize)).unwrap_or_default();
    task.mem.write_bytes(a[2], bytes)?;
    Ok(bytes.len() as u64)
}

/// `getcwd(buf, size)`, as seen from the guest root.
pub fn getcwd(task: &mut Task, a: [u64; 6]) -> SysResult {
    let size = a[1] as usize;
    if !task.process.root.is_active() {
        let buf = output(task, a[0], size)?;
        return task.syscall_host(libc::SYS_getcwd, [buf, size, 0, 0, 0, 0]);
    }
    let mut host = [0u8; PATH_MAX];
    let len = task.syscall_host(libc::SYS_getcwd, [host.as_mut_ptr() as usize, host.len(), 0, 0, 0, 0])? as usize;
    let path = host.get(..len.saturating_sub(1)).unwrap_or_default();
    let path = [task.process.root.guest(path), b"\0"].concat();
    if path.len() > size {
        return Err(Errno::ERANGE);
    }
    task.mem.write_bytes(a[0], &path)?;
    Ok(path.len() as u64)
}

/// `chroot(path)`: what the guest then calls `/` is the kernel's root.
pub fn chroot(task: &mut Task, a: [u64; 6]) -> SysResult {
    let name = path::whole(task, a[0], Last::Follow)?;
    let result = task.syscall_host(libc::SYS_chroot, [name.as_ptr() as usize, 0, 0, 0, 0, 0])?;
    task.process.root.leave();
    Ok(result)
}
/// `pivot_root(new, old)`.
pub fn pivot_root(task: &mut Task, a: [u64; 6]) -> SysResult {
    let (new, old) = (path::whole(task, a[0], Last::Follow)?, path::whole(task, a[1], Last::Follow)?);
    let result = task.syscall_host(libc::SYS_pivot_root, [new.as_ptr() as usize, old.as_ptr() as usize, 0, 0, 0, 0])?;
    task.process.root.leave();
    Ok(result)
}

/// `rename(from, to)`.
pub fn rename(task: &mut Task, a: [u64; 6]) -> SysResult {
    renameat(task, [CWD, a[0], CWD, a[1], 0, 0])
}
/// `renameat(fromdir, from, todir, to)`.
pub fn renameat(task: &mut Task, a: [u64; 6]) -> SysResult {
    let from = path::place(task, a[0], a[1], Last::Entry)?;
    let to = path::place(task, a[2], a[3], Last::Entry)?;
    task.syscall_host(libc::SYS_renameat2, [from.dir, from.at(), to.dir, to.at(), 0, 0])
}
/// `mkdir(path, mode)`.
pub fn mkdir(task: &mut Task, a: [u64; 6]) -> SysResult {
    let new = path::place(task, CWD, a[0], Last::Entry)?;
    task.syscall_host(libc::SYS_mkdirat, [new.dir, new.at(), a[1] as u32 as usize, 0, 0, 0])
}
/// `rmdir(path)`.
pub fn rmdir(task: &mut Task, a: [u64; 6]) -> SysResult {
    let old = path::place(task, CWD, a[0], Last::Entry)?;
    task.syscall_host(libc::SYS_unlinkat, [old.dir, old.at(), libc::AT_REMOVEDIR as usize, 0, 0, 0])
}
/// `unlink(path)`.
pub fn unlink(task: &mut Task, a: [u64; 6]) -> SysResult {
    let old = path::place(task, CWD, a[0], Last::Entry)?;
    task.syscall_host(libc::SYS_unlinkat, [old.dir, old.at(), 0, 0, 0, 0])
}
/// `link(old, new)`.
pub fn link(task: &mut Task, a: [u64; 6]) -> SysResult {
    let old = path::place(task, CWD, a[0], Last::Itself)?;
    let new = path::place(task, CWD, a[1], Last::Entry)?;
    task.syscall_host(libc::SYS_linkat, [old.dir, old.at(), new.dir, new.at(), 0, 0])
}
/// `symlink(target, path)`; the target is text, not a path.
pub fn symlink(task: &mut Task, a: [u64; 6]) -> SysResult {
    let target = input(task, a[0], 1)?;
    let new = path::place(task, CWD, a[1], Last::Entry)?;
    task.syscall_host(libc::SYS_symlinkat, [target, new.dir, new.at(), 0, 0, 0])
}
/// `mknod(path, mode, dev)`.
pub fn mknod(task: &mut Task, a: [u64; 6]) -> SysResult {
    let new = path::place(task, CWD, a[0], Last::Entry)?;
    let args = [new.dir, new.at(), a[1] as u32 as usize, a[2] as u32 as usize, 0, 0];
    task.syscall_host(libc::SYS_mknodat, args)
}
/// `chmod(path, mode)`.
pub fn chmod(task: &mut Task, a: [u64; 6]) -> SysResult {
    let file = path::place(task, CWD, a[0], Last::Follow)?;
    task.syscall_host(libc::SYS_fchmodat, [file.dir, file.at(), a[1] as u32 as usize, 0, 0, 0])
}

/// Changes owner and group; `flags` are `AT_*`.
pub fn change_owner(task: &mut Task, name: u64, uid: u32, gid: u32, flags: i32) -> SysResult {
    let last = if flags & libc::AT_SYMLINK_NOFOLLOW != 0 { Last::Itself } else { Last::Follow };
    let file = path::place(task, CWD, name, last)?;
    task.syscall_host(libc::SYS_fchownat, [file.dir, file.at(), uid as usize, gid as usize, flags as usize, 0])
}
/// `chown(path, uid, gid)`.
pub fn chown(task: &mut Task, a: [u64; 6]) -> SysResult {
    change_owner(task, a[0], a[1] as u32, a[2] as u32, 0)
}
/// `lchown(path, uid, gid)`.
pub fn lchown(task: &mut Task, a: [u64; 6]) -> SysResult {
    change_owner(task, a[0], a[1] as u32, a[2] as u32, libc::AT_SYMLINK_NOFOLLOW)
}
/// `umount(path)`, i386 only: `umount2` without flags.
pub fn umount(task: &mut Task, a: [u64; 6]) -> SysResult {
    let name = path::whole(task, a[0], Last::Follow)?;
    task.syscall_host(libc::SYS_umount2, [name.as_ptr() as usize, 0, 0, 0, 0, 0])
}

/// Tokens for directory positions beyond 31 bits, with the positions.
static POSITIONS: Mutex<Option<HashMap<u32, i64>>> = Mutex::new(None);

/// Runs `f` (a fork) with this module's lock held.
pub(super) fn locked<T>(f: impl FnOnce() -> T) -> T {
    let _guard = POSITIONS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    f()
}
/// More remembered positions than this are forgotten all at once.
const MAX_POSITIONS: usize = 1 << 20;

/// The 31-bit form of a directory position for an i386 program.
pub fn short_offset(offset: i64) -> u32 {
    if let Ok(short) = u32::try_from(offset) {
        if short < 1 << 31 {
            return short;
        }
    }
    // Fibonacci hashing: the high bits of the product depend on all bits of the position.
    let token = ((offset as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) as u32 | 1 << 30;
    let mut positions = POSITIONS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let map = positions.get_or_insert_with(HashMap::new);
    if map.len() >= MAX_POSITIONS {
        map.clear();
    }
    map.insert(token, offset);
    token
}

/// The position behind a token that [`short_offset`] gave out.
pub fn real_offset(token: u32) -> Option<i64> {
    if token & 1 << 30 == 0 {
        return None;
    }
    let positions = POSITIONS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    positions.as_ref()?.get(&token).copied()
}

/// One entry of the host's `getdents64`.
struct Entry<'a> {
    ino: u64,
    next: i64,
    kind: u8,
    name: &'a [u8],
}

/// The entries in a buffer that the host kernel filled.
fn entries(mut bytes: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    std::iter::from_fn(move || {
        let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let (ino, next) = (word(0)?, word(8)? as i64);
        let len = usize::from(u16::from_le_bytes(bytes.get(16..18)?.try_into().ok()?));
        let kind = *bytes.get(18)?;
        let name = bytes.get(19..len)?;
        let name = name.split(|&byte| byte == 0).next()?;
        bytes = bytes.get(len..)?;
        Some(Entry { ino, next, kind, name })
    })
}

/// The layouts that entries are written in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    /// `linux_dirent` with words of this many bytes; the type is the last byte of the record.
    Old(usize),
    /// `linux_dirent64`.
    New,
    /// `old_linux_dirent`, one entry only.
    Single,
}

impl Format {
    /// Appends `entry` to `out`, unless it gets longer than `limit`.
    fn put(self, out: &mut Vec<u8>, entry: &Entry<'_>, short: bool, limit: usize) -> Result<bool, Errno> {
        let start = out.len();
        let next = if short { i64::from(short_offset(entry.next)) } else { entry.next };
        let (word, header, tail) = match self {
            Format::Old(word) => (word, 2 * word + 2, 2),
            Format::New => (8, 19, 1),
            Format::Single => (4, 10, 1),
        };
        let len = (header + entry.name.len() + tail).next_multiple_of(if self == Format::New { 8 } else { word });
        if start + len > limit {
            return Ok(false);
        }
        if word == 4 && u32::try_from(entry.ino).is_err() {
            return Err(Errno::EOVERFLOW);
        }
        out.extend_from_slice(entry.ino.to_le_bytes().get(..word).unwrap_or_default());
        out.extend_from_slice(next.to_le_bytes().get(..word).unwrap_or_default());
        // `old_linux_dirent` has the name's length where the others have the record's.
        let length = if self == Format::Single { entry.name.len() } else { len };
        out.extend_from_slice(&(length as u16).to_le_bytes());
        if self == Format::New {
            out.push(entry.kind);
        }
        out.extend_from_slice(entry.name);
        out.resize(start + len, 0);
        if let (Format::Old(_), Some(last)) = (self, out.last_mut()) {
            *last = entry.kind;
        }
        Ok(true)
    }
}

/// Reads entries and rewrites them. The host buffer is no larger than the guest's, whose records are never longer than the
/// host's, so nothing has to be given back, except that an entry which does not fit at all is EINVAL.
fn read_entries(task: &mut Task, fd: u64, addr: u64, size: usize, format: Format) -> SysResult {
    let room = size.min(1 << 20);
    // An entry of the host can be up to 8 bytes longer than the guest's: without slack, a buffer for exactly one
    // guest entry would fail. What does not fit is put back by seeking.
    let mut buf = vec![0u8; room + 16];
    let short = task.abi == Abi::I386;
    let mut out = Vec::with_capacity(room);
    // Where to go back to if not even one entry fits: what a name of 255 bytes needs always does.
    let before = if room < 320 { task.syscall_host(libc::SYS_lseek, [int(fd), 0, 1, 0, 0, 0]).ok() } else { None };
    let args = [int(fd), buf.as_mut_ptr() as usize, buf.len(), 0, 0, 0];
    let filled = task.syscall_host(libc::SYS_getdents64, args)? as usize;
    let mut position = None;
    let hides = filled > 0 && lists_descriptors(task, fd);
    for entry in entries(buf.get(..filled).unwrap_or_default()) {
        let number = || std::str::from_utf8(entry.name).ok()?.parse().ok();
        if hides && number().is_some_and(|fd| super::is_hidden_fd(task, fd)) {
            position = Some(entry.next);
            continue;
        }
        let fits = match format.put(&mut out, &entry, short, room) {
            Ok(fits) => fits,
            Err(errno) if out.is_empty() => return Err(errno),
            Err(_) => false,
        };
        if !fits {
            if out.is_empty() {
                if let Some(before) = before {
                    seek_to(task, fd, before as i64)?;
                }
                return Err(Errno::EINVAL);
            }
            if let Some(position) = position {
                seek_to(task, fd, position)?;
            }
            break;
        }
        position = Some(entry.next);
    }
    task.mem.write_bytes(addr, &out)?;
    Ok(out.len() as u64)
}

/// True for a directory of /proc that lists this process's descriptors: Demotic's own are left out there.
fn lists_descriptors(task: &Task, fd: u64) -> bool {
    const PROC_SUPER_MAGIC: libc::c_long = 0x9fa0;
    // SAFETY: the structure is ours, and all zeros is a valid value of it.
    let mut info: libc::statfs = unsafe { std::mem::zeroed() };
    let args = [int(fd), own_mut(&mut info), 0, 0, 0, 0];
    if task.syscall_host(libc::SYS_fstatfs, args).is_err() || info.f_type as libc::c_long != PROC_SUPER_MAGIC {
        return false;
    }
    let Ok(path) = std::fs::read_link(format!("/proc/self/fd/{}", fd as i32)) else { return false };
    let own = format!("/proc/{}/", std::process::id());
    let path = path.to_string_lossy();
    path.starts_with(&own) && (path.ends_with("/fd") || path.ends_with("/fdinfo"))
}

/// Sets the position of a directory.
fn seek_to(task: &mut Task, fd: u64, position: i64) -> Result<(), Errno> {
    let abi = std::mem::replace(&mut task.abi, Abi::X86_64);
    let result = super::file::lseek(task, [fd, position as u64, libc::SEEK_SET as u64, 0, 0, 0]);
    task.abi = abi;
    result.map(drop)
}

/// `getdents(fd, buf, size)`.
pub fn getdents(task: &mut Task, a: [u64; 6]) -> SysResult {
    let word = task.word();
    read_entries(task, a[0], a[1], a[2] as u32 as usize, Format::Old(word))
}
/// `getdents64(fd, buf, size)`.
pub fn getdents64(task: &mut Task, a: [u64; 6]) -> SysResult {
    let size = a[2] as u32 as usize;
    if task.abi == Abi::X86_64 && !lists_descriptors(task, a[0]) {
        let buf = output(task, a[1], size)?;
        return task.syscall_host(libc::SYS_getdents64, [int(a[0]), buf, size, 0, 0, 0]);
    }
    read_entries(task, a[0], a[1], size, Format::New)
}
/// `readdir(fd, entry, 1)`, i386 only: one entry per call, the answer is 1 or 0 at the end.
pub fn readdir(task: &mut Task, a: [u64; 6]) -> SysResult {
    let mut buf = [0u8; 512];
    let args = [int(a[0]), buf.as_mut_ptr() as usize, buf.len(), 0, 0, 0];
    let filled = task.syscall_host(libc::SYS_getdents64, args)? as usize;
    let mut all = entries(buf.get(..filled).unwrap_or_default());
    let Some(entry) = all.next() else { return Ok(0) };
    let mut out = Vec::new();
    Format::Single.put(&mut out, &entry, true, usize::MAX)?;
    let (next, more) = (entry.next, all.next().is_some());
    if more {
        seek_to(task, a[0], next)?;
    }
    task.mem.write_bytes(a[1], &out)?;
    Ok(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_survive_the_short_form() {
        assert_eq!(short_offset(5), 5);
        assert_eq!(short_offset(0x7fff_ffff), 0x7fff_ffff);
        let long = 0x1234_5678_9abc_def0;
        let token = short_offset(long);
        assert!(token < 1 << 31);
        assert_eq!(real_offset(token), Some(long));
        assert_eq!(real_offset(12), None);
    }

    #[test]
    fn formats() {
        let entry = Entry { ino: 7, next: 9, kind: 4, name: b"abc" };
        let mut out = Vec::new();
        assert!(Format::Old(4).put(&mut out, &entry, true, 100).unwrap());
        assert_eq!(out, [7, 0, 0, 0, 9, 0, 0, 0, 16, 0, b'a', b'b', b'c', 0, 0, 4]);
        out.clear();
        assert!(Format::Old(8).put(&mut out, &entry, false, 100).unwrap());
        assert_eq!(out.len(), 24);
        assert_eq!(out[18..], [b'a', b'b', b'c', 0, 0, 4]);
        out.clear();
        assert!(Format::New.put(&mut out, &entry, true, 24).unwrap());
        assert_eq!((out.len(), out[16], out[18]), (24, 24, 4));
        assert!(!Format::New.put(&mut out, &entry, true, 24).unwrap());
        let big = Entry { ino: 1 << 32, next: 0, kind: 0, name: b"x" };
        assert_eq!(Format::Old(4).put(&mut Vec::new(), &big, true, 100), Err(Errno::EOVERFLOW));
    }
}
