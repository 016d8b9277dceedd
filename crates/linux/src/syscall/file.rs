//! Opening, reading, writing, positions and space of files.

use super::args::{input, int, long, output, own, own_mut, pair};
use super::kernel::{self, HostArgs};
use super::{iov, stat};
use crate::abi::flags::{self, x86};
use crate::errno::{Errno, SysResult};
use crate::exec;
use crate::fs::root::Last;
use crate::fs::{path, proc};
use crate::ptrace::{memory, tracer};
use crate::task::{Abi, Task};
use crate::uaccess::Access;
use std::ffi::CStr;

const AT_FDCWD: u64 = libc::AT_FDCWD as u64;
/// Largest file offset of a program without large file support (include/linux/fs.h).
pub const MAX_NON_LFS: u64 = 0x7fff_ffff;

/// Closes a host descriptor that the guest does not get to see.
pub fn close_own(task: &Task, fd: u64) {
    // The descriptor is ours and open; nothing can be done about an error.
    let _ = task.syscall_host(libc::SYS_close, [fd as usize, 0, 0, 0, 0, 0]);
}

/// Sets a host descriptor of ours to the start of its file.
///
/// # Errors
/// Those of lseek(2).
pub fn rewind_own(task: &Task, fd: u64) -> Result<(), Errno> {
    seek(task, fd, 0, libc::SEEK_SET as u64).map(drop)
}

/// `open` in all its forms after the arguments were read.
fn open_path(task: &mut Task, dir: u64, name: &CStr, flags: u32, mode: u64) -> SysResult {
    if let Some(result) = proc::open(task, dir, name, flags) {
        return result;
    }
    let host_flags = flags::open_to_host(flags);
    let fd = match path::open(task, dir, name, host_flags, mode) {
        Err(Errno::ENOENT) if is_library(name) => {
            task.missing_library = Some(name.to_owned());
            return Err(Errno::ENOENT);
        }
        result => result?,
    };
    check_size(task, fd, flags)?;
    Ok(fd)
}

/// True for the name of a shared library, with or without a version behind it.
fn is_library(name: &CStr) -> bool {
    let bytes = name.to_bytes();
    bytes.windows(3).any(|part| part == b".so")
        && !bytes.ends_with(b"/ld.so.cache")
        && !bytes.ends_with(b"/ld.so.preload")
}

/// A 64-bit host forces `O_LARGEFILE`, so the check for i386 programs without it is ours (fs/open.c, `generic_file_open`).
fn check_size(task: &mut Task, fd: u64, flags: u32) -> Result<(), Errno> {
    if task.abi == Abi::I386 && flags & (x86::O_LARGEFILE | x86::O_PATH) == 0 {
        if let Ok(info) = stat::of_fd(task, fd) {
            if u32::from(info.stx_mode) & libc::S_IFMT == libc::S_IFREG && info.stx_size > MAX_NON_LFS {
                close_own(task, fd);
                return Err(Errno::EOVERFLOW);
            }
        }
    }
    Ok(())
}

/// `open(path, flags, mode)`.
pub fn open(task: &mut Task, a: [u64; 6]) -> SysResult {
    let name = path::read(task, a[0])?;
    open_path(task, AT_FDCWD, &name, a[1] as u32, a[2])
}

/// `creat(path, mode)`.
pub fn creat(task: &mut Task, a: [u64; 6]) -> SysResult {
    let name = path::read(task, a[0])?;
    let flags = (libc::O_WRONLY as u32) | x86::O_CREAT | x86::O_TRUNC;
    open_path(task, AT_FDCWD, &name, flags, a[1])
}

/// `openat(dirfd, path, flags, mode)`.
pub fn openat(task: &mut Task, a: [u64; 6]) -> SysResult {
    let name = path::read(task, a[1])?;
    open_path(task, a[0], &name, a[2] as u32, a[3])
}

/// What `open` with flags of the guest means by the last component.
fn last_of(flags: u32) -> Last {
    match flags {
        _ if flags & x86::O_NOFOLLOW != 0 => Last::Itself,
        _ if flags & x86::O_CREAT != 0 => Last::Create,
        _ => Last::Follow,
    }
}

/// `openat2(dirfd, path, how, size)`: `struct open_how` is the same for all ABIs, its flags are not.
pub fn openat2(task: &mut Task, a: [u64; 6]) -> SysResult {
    let size = a[3];
    if size < 24 {
        return Err(Errno::EINVAL);
    }
    if size > 4096 {
        return Err(Errno::E2BIG);
    }
    let name = path::read(task, a[1])?;
    let mut how: [u64; 512] = [0; 512];
    let bytes = zerocopy::IntoBytes::as_mut_bytes(&mut how[..]);
    task.mem.read_bytes(a[2], bytes.get_mut(..size as usize).ok_or(Errno::E2BIG)?)?;
    let flags = how[0];
    how[0] = flags & !0xffff_ffff | u64::from(flags::open_to_host(flags as u32));
    if how[2] == 0 && flags >> 32 == 0 {
        if let Some(result) = proc::open(task, a[0], &name, flags as u32) {
            return result;
        }
    }
    // Restricted walks have their own idea of a root.
    let place = match how[2] {
        0 => path::locate(task, a[0], name, last_of(flags as u32))?,
        _ => path::Place { dir: int(a[0]), name },
    };
    let args = [place.dir, place.at(), own(&how), size as usize, 0, 0];
    let fd = task.syscall_blocking(libc::SYS_openat2, args)?;
    check_size(task, fd, flags as u32)?;
    Ok(fd)
}

/// `open_by_handle_at(mountfd, handle, flags)`.
pub fn open_by_handle_at(task: &mut Task, a: [u64; 6]) -> SysResult {
    let handle = input(task, a[1], 8)?;
    let flags = flags::open_to_host(a[2] as u32);
    task.syscall_blocking(libc::SYS_open_by_handle_at, [int(a[0]), handle, flags as usize, 0, 0, 0])
}

/// `close(fd)`.
pub fn close(task: &mut Task, a: [u64; 6]) -> SysResult {
    // EINTR would leave the descriptor closed, so this is not an interruptible call.
    task.syscall_host(libc::SYS_close, [int(a[0]), 0, 0, 0, 0, 0])
}

/// `close_range(first, last, flags)`, around the descriptor of Demotic's own.
pub fn close_range(task: &mut Task, a: [u64; 6]) -> SysResult {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    let (first, last, flags) = (a[0] as u32, a[1] as u32, a[2] as u32);
    let close = |first: u32, last: u32| {
        task.syscall_host(libc::SYS_close_range, [first as usize, last as usize, flags as usize, 0, 0, 0])
    };
    // Our own are marked so in any case.
    if flags & CLOSE_RANGE_CLOEXEC != 0 || first > last {
        return close(first, last);
    }
    let root = task.process.root.handle().map(|(fd, _)| fd as u32);
    let mut own = [exec::own_fd(), root, demotic_host::log::file().map(|fd| fd as u32)];
    own.sort();
    let mut first = first;
    for own in own.into_iter().flatten() {
        if !(first..=last).contains(&own) {
            continue;
        }
        if first < own {
            close(first, own - 1)?;
        }
        first = own + 1;
    }
    if first <= last { close(first, last) } else { Ok(0) }
}

/// `read(fd, buf, count)`.
pub fn read(task: &mut Task, a: [u64; 6]) -> SysResult {
    let buf = output(task, a[1], a[2] as usize)?;
    task.syscall_blocking(libc::SYS_read, [int(a[0]), buf, a[2] as usize, 0, 0, 0])
}

/// `write(fd, buf, count)`.
pub fn write(task: &mut Task, a: [u64; 6]) -> SysResult {
    let buf = input(task, a[1], a[2] as usize)?;
    let written = task.syscall_blocking(libc::SYS_write, [int(a[0]), buf, a[2] as usize, 0, 0, 0])?;
    if tracer::traces() {
        memory::note_file(a[0] as i32, None, written);
    }
    Ok(written)
}

/// The offset argument at `i`: one register, or two for i386 (arch/x86/kernel/sys_ia32.c).
fn offset(task: &Task, a: &[u64; 6], i: usize) -> i64 {
    match task.abi {
        Abi::X86_64 => a[i] as i64,
        Abi::I386 => pair(a[i], a[i + 1]),
    }
}

/// `pread64(fd, buf, count, offset)`.
pub fn pread64(task: &mut Task, a: [u64; 6]) -> SysResult {
    let buf = output(task, a[1], a[2] as usize)?;
    let args = HostArgs::new().arg(int(a[0])).arg(buf).arg(a[2] as usize).wide(offset(task, &a, 3));
    task.syscall_blocking(libc::SYS_pread64, args.done())
}

/// `pwrite64(fd, buf, count, offset)`.
pub fn pwrite64(task: &mut Task, a: [u64; 6]) -> SysResult {
    let buf = input(task, a[1], a[2] as usize)?;
    let args = HostArgs::new().arg(int(a[0])).arg(buf).arg(a[2] as usize).wide(offset(task, &a, 3));
    let written = task.syscall_blocking(libc::SYS_pwrite64, args.done())?;
    if tracer::traces() {
        memory::note_file(a[0] as i32, Some(offset(task, &a, 3)), written);
    }
    Ok(written)
}

/// `readv(fd, iov, count)`.
pub fn readv(task: &mut Task, a: [u64; 6]) -> SysResult {
    let list = iov::load(task, a[1], a[2], Access::Write)?;
    task.syscall_blocking(libc::SYS_readv, [int(a[0]), list.as_ptr() as usize, list.len(), 0, 0, 0])
}

/// `writev(fd, iov, count)`.
pub fn writev(task: &mut Task, a: [u64; 6]) -> SysResult {
    let list = iov::load(task, a[1], a[2], Access::Read)?;
    task.syscall_blocking(libc::SYS_writev, [int(a[0]), list.as_ptr() as usize, list.len(), 0, 0, 0])
}

/// The position of `preadv` and `pwritev`: on x86-64 the fourth argument is all of it, on i386 the low half.
fn position(task: &Task, a: &[u64; 6]) -> i64 {
    match task.abi {
        Abi::X86_64 => a[3] as i64,
        Abi::I386 => pair(a[3], a[4]),
    }
}

/// The four positioned scatter-gather calls.
fn positioned(task: &mut Task, nr: libc::c_long, a: [u64; 6], access: Access, flags: Option<u64>) -> SysResult {
    let list = iov::load(task, a[1], a[2], access)?;
    let args = HostArgs::new().arg(int(a[0])).arg(list.as_ptr() as usize).arg(list.len()).low_high(position(task, &a));
    let args = match flags {
        Some(flags) => args.arg(flags as u32 as usize),
        None => args,
    };
    task.syscall_blocking(nr, args.done())
}

/// `preadv(fd, iov, count, pos_low, pos_high)`.
pub fn preadv(task: &mut Task, a: [u64; 6]) -> SysResult {
    positioned(task, libc::SYS_preadv, a, Access::Write, None)
}
/// `pwritev(fd, iov, count, pos_low, pos_high)`.
pub fn pwritev(task: &mut Task, a: [u64; 6]) -> SysResult {
    positioned(task, libc::SYS_pwritev, a, Access::Read, None)
}
/// `preadv2(fd, iov, count, pos_low, pos_high, flags)`.
pub fn preadv2(task: &mut Task, a: [u64; 6]) -> SysResult {
    positioned(task, libc::SYS_preadv2, a, Access::Write, Some(a[5]))
}
/// `pwritev2(fd, iov, count, pos_low, pos_high, flags)`.
pub fn pwritev2(task: &mut Task, a: [u64; 6]) -> SysResult {
    positioned(task, libc::SYS_pwritev2, a, Access::Read, Some(a[5]))
}

/// The new position after `whence`, in bytes.
fn seek(task: &Task, fd: u64, offset: i64, whence: u64) -> SysResult {
    if cfg!(target_pointer_width = "64") {
        task.syscall_host(libc::SYS_lseek, [int(fd), offset as usize, whence as u32 as usize, 0, 0, 0])
    } else {
        let mut position = 0i64;
        let halves = ((offset >> 32) as usize, offset as usize);
        // 140 is `_llseek` on every 32-bit Linux that Demotic runs on.
        task.syscall_host(140, [int(fd), halves.0, halves.1, own_mut(&mut position), whence as u32 as usize, 0])?;
        Ok(position as u64)
    }
}

/// The short form of a position beyond 31 bits, if `fd` is a directory.
fn directory_position(task: &Task, fd: u64, position: u64) -> Option<u32> {
    let info = stat::of_fd(task, fd).ok()?;
    (u32::from(info.stx_mode) & libc::S_IFMT == libc::S_IFDIR).then(|| super::dir::short_offset(position as i64))
}

/// `lseek(fd, offset, whence)`.
pub fn lseek(task: &mut Task, a: [u64; 6]) -> SysResult {
    let mut offset = long(task, a[1]);
    if task.abi == Abi::I386 && a[2] as i32 == libc::SEEK_SET {
        offset = super::dir::real_offset(a[1] as u32).unwrap_or(offset);
    }
    let position = seek(task, a[0], offset, a[2])?;
    if task.abi == Abi::I386 && position > MAX_NON_LFS {
        // A 64-bit kernel just cuts positions of other files off.
        return Ok(directory_position(task, a[0], position).unwrap_or(position as u32).into());
    }
    Ok(position)
}

/// `_llseek(fd, high, low, result, whence)`, i386 only.
pub fn llseek(task: &mut Task, a: [u64; 6]) -> SysResult {
    let mut offset = pair(a[2], a[1]);
    if a[4] as i32 == libc::SEEK_SET && a[1] as u32 == 0 {
        offset = super::dir::real_offset(a[2] as u32).unwrap_or(offset);
    }
    let mut position = seek(task, a[0], offset, a[4])?;
    if position > MAX_NON_LFS {
        position = directory_position(task, a[0], position).map_or(position, u64::from);
    }
    task.mem.write(a[3], &position)?;
    Ok(0)
}

fn truncate_to(task: &mut Task, name: u64, length: i64) -> SysResult {
    let name = path::whole(task, name, Last::Follow)?;
    task.syscall_blocking(kernel::TRUNCATE, HostArgs::new().arg(name.as_ptr() as usize).wide(length).done())
}

fn ftruncate_to(task: &mut Task, fd: u64, length: i64) -> SysResult {
    task.syscall_blocking(kernel::FTRUNCATE, HostArgs::new().arg(int(fd)).wide(length).done())
}

/// `truncate(path, length)`.
pub fn truncate(task: &mut Task, a: [u64; 6]) -> SysResult {
    let length = long(task, a[1]);
    truncate_to(task, a[0], length)
}
/// `ftruncate(fd, length)`.
pub fn ftruncate(task: &mut Task, a: [u64; 6]) -> SysResult {
    let length = long(task, a[1]);
    ftruncate_to(task, a[0], length)
}
/// `truncate64(path, low, high)`, i386 only.
pub fn truncate64(task: &mut Task, a: [u64; 6]) -> SysResult {
    truncate_to(task, a[0], pair(a[1], a[2]))
}
/// `ftruncate64(fd, low, high)`, i386 only.
pub fn ftruncate64(task: &mut Task, a: [u64; 6]) -> SysResult {
    ftruncate_to(task, a[0], pair(a[1], a[2]))
}

/// `fallocate(fd, mode, offset, length)`.
pub fn fallocate(task: &mut Task, a: [u64; 6]) -> SysResult {
    let (offset, length) = match task.abi {
        Abi::X86_64 => (a[2] as i64, a[3] as i64),
        Abi::I386 => (pair(a[2], a[3]), pair(a[4], a[5])),
    };
    let args = HostArgs::new().arg(int(a[0])).arg(int(a[1])).wide(offset).wide(length);
    task.syscall_blocking(libc::SYS_fallocate, args.done())
}

fn advise(task: &mut Task, fd: u64, offset: i64, length: i64, advice: u64) -> SysResult {
    #[cfg(target_arch = "arm")]
    let (nr, args) = (270, HostArgs::new().arg(int(fd)).arg(int(advice)).wide(offset).wide(length));
    #[cfg(not(target_arch = "arm"))]
    let (nr, args) = (libc::SYS_fadvise64, HostArgs::new().arg(int(fd)).wide(offset).wide(length).arg(int(advice)));
    task.syscall_host(nr, args.done())
}

/// `fadvise64(fd, offset, length, advice)`; i386 has a split offset and a 32-bit length.
pub fn fadvise64(task: &mut Task, a: [u64; 6]) -> SysResult {
    match task.abi {
        Abi::X86_64 => advise(task, a[0], a[1] as i64, a[2] as i64, a[3]),
        Abi::I386 => advise(task, a[0], pair(a[1], a[2]), a[3] as i64, a[4]),
    }
}
/// `fadvise64_64(fd, offset_low, offset_high, length_low, length_high, advice)`, i386 only.
pub fn fadvise64_64(task: &mut Task, a: [u64; 6]) -> SysResult {
    advise(task, a[0], pair(a[1], a[2]), pair(a[3], a[4]), a[5])
}

/// `readahead(fd, offset, count)`.
pub fn readahead(task: &mut Task, a: [u64; 6]) -> SysResult {
    let (offset, count) = match task.abi {
        Abi::X86_64 => (a[1] as i64, a[2]),
        Abi::I386 => (pair(a[1], a[2]), a[3]),
    };
    task.syscall_host(libc::SYS_readahead, HostArgs::new().arg(int(a[0])).wide(offset).arg(count as usize).done())
}

/// `sync_file_range(fd, offset, length, flags)`.
pub fn sync_file_range(task: &mut Task, a: [u64; 6]) -> SysResult {
    let (offset, length, flags) = match task.abi {
        Abi::X86_64 => (a[1] as i64, a[2] as i64, a[3]),
        Abi::I386 => (pair(a[1], a[2]), pair(a[3], a[4]), a[5]),
    };
    // x86-64: 277, generic (aarch64): 84; ARM has sync_file_range2 (341) with the flags in front, for pair alignment.
    let (nr, args) = if cfg!(target_arch = "arm") {
        (341, HostArgs::new().arg(int(a[0])).arg(int(flags)).wide(offset).wide(length))
    } else {
        let nr = if cfg!(target_arch = "x86_64") { 277 } else { 84 };
        (nr, HostArgs::new().arg(int(a[0])).wide(offset).wide(length).arg(int(flags)))
    };
    task.syscall_blocking(nr, args.done())
}

/// `sendfile` with an offset in our own memory; returns the count and the new offset.
fn send(task: &mut Task, a: &[u64; 6], offset: Option<i64>) -> Result<(u64, i64), Errno> {
    let mut position = offset.unwrap_or(0);
    let pointer = if offset.is_some() { own_mut(&mut position) } else { 0 };
    let sent = task.syscall_blocking(kernel::SENDFILE, [int(a[0]), int(a[1]), pointer, a[3] as usize, 0, 0])?;
    Ok((sent, position))
}

/// `sendfile(out, in, offset, count)`: a `long` offset.
pub fn sendfile(task: &mut Task, a: [u64; 6]) -> SysResult {
    if task.abi == Abi::X86_64 {
        return sendfile64(task, a);
    }
    let offset = if a[2] == 0 { None } else { Some(i64::from(task.mem.read::<i32>(a[2])?)) };
    let (sent, position) = send(task, &a, offset)?;
    if offset.is_some() {
        task.mem.write(a[2], &(position as i32))?;
    }
    Ok(sent)
}

/// `sendfile64(out, in, offset, count)`: a 64-bit offset.
pub fn sendfile64(task: &mut Task, a: [u64; 6]) -> SysResult {
    let offset = if a[2] == 0 { None } else { Some(task.mem.read::<i64>(a[2])?) };
    let (sent, position) = send(task, &a, offset)?;
    if offset.is_some() {
        task.mem.write(a[2], &position)?;
    }
    Ok(sent)
}

/// `vmsplice(fd, iov, count, flags)`.
pub fn vmsplice(task: &mut Task, a: [u64; 6]) -> SysResult {
    // Depending on the end of the pipe the kernel reads or writes the buffers.
    let list = iov::load(task, a[1], a[2], Access::Write)?;
    task.syscall_blocking(libc::SYS_vmsplice, [int(a[0]), list.as_ptr() as usize, list.len(), int(a[3]), 0, 0])
}

/// `dup2(old, new)`; aarch64 has only `dup3`, which refuses equal descriptors.
pub fn dup2(task: &mut Task, a: [u64; 6]) -> SysResult {
    let (old, new) = (int(a[0]), int(a[1]));
    if old == new {
        task.syscall_host(kernel::FCNTL, [old, libc::F_GETFD as usize, 0, 0, 0, 0])?;
        return Ok(a[1] as u32 as u64);
    }
    exec::vacate_fd(a[1] as i32);
    task.process.root.vacate(a[1] as i32);
    task.syscall_host(libc::SYS_dup3, [old, new, 0, 0, 0, 0])
}

/// `dup3(old, new, flags)`.
pub fn dup3(task: &mut Task, a: [u64; 6]) -> SysResult {
    let flags = flags::open_to_host(a[2] as u32);
    exec::vacate_fd(a[1] as i32);
    task.process.root.vacate(a[1] as i32);
    task.syscall_host(libc::SYS_dup3, [int(a[0]), int(a[1]), flags as usize, 0, 0, 0])
}

/// `pipe(fds)`.
pub fn pipe(task: &mut Task, a: [u64; 6]) -> SysResult {
    let fds = output(task, a[0], 8)?;
    task.syscall_host(libc::SYS_pipe2, [fds, 0, 0, 0, 0, 0])
}

/// `fanotify_mark(fd, flags, mask, dirfd, path)`; i386 splits the mask.
pub fn fanotify_mark(task: &mut Task, a: [u64; 6]) -> SysResult {
    let (mask, dir, name) = match task.abi {
        Abi::X86_64 => (a[2] as i64, a[3], a[4]),
        Abi::I386 => (pair(a[2], a[3]), a[4], a[5]),
    };
    let place = if name == 0 { None } else { Some(path::place(task, dir, name, Last::Follow)?) };
    let (dir, pointer) = place.as_ref().map_or((int(dir), 0), |place| (place.dir, place.at()));
    let args = HostArgs::new().arg(int(a[0])).arg(int(a[1])).wide(mask).arg(dir).arg(pointer);
    task.syscall_host(libc::SYS_fanotify_mark, args.done())
}
