//! Memory management system calls: mmap(2) and its family, brk(2), and advice.
//!
//! Every call that takes a range works on the guest's own mappings in it only: Demotic's memory, which lies between them on
//! 64-bit hosts, cannot be named. Translations are dropped wherever bytes or permissions change.

use super::host::real_page;
use super::map::{Kind, Vma, prot};
use super::space::{Place, Request, page_up};
use crate::errno::{Errno, SysResult};
use crate::task::Task;
use crate::uaccess::PAGE;
use demotic_host::sys;
use std::ops::Range;

/// MAP_ bits with the same value in every Linux ABI we know (asm-generic/mman.h) that are handed on to the host.
const HOST_FLAGS: u64 = (libc::MAP_TYPE
    | libc::MAP_ANONYMOUS
    | libc::MAP_LOCKED
    | libc::MAP_NORESERVE
    | libc::MAP_POPULATE
    | libc::MAP_NONBLOCK
    | libc::MAP_HUGETLB) as u64
    | 0xfc00_0000 // size of huge pages
    | 0x8_0000; // MAP_SYNC
const MAP_FIXED: u64 = 0x10;
const MAP_ANONYMOUS: u64 = 0x20;
/// x86 only: in the first 2 GiB.
const MAP_32BIT: u64 = 0x40;
const MAP_FIXED_NOREPLACE: u64 = 0x10_0000;
const PROT_GROWSDOWN: u64 = 0x0100_0000;
const PROT_GROWSUP: u64 = 0x0200_0000;

fn do_mmap(task: &Task, addr: u64, len: u64, prot: u64, flags: u64, fd: u64, offset: u64) -> SysResult {
    if offset % PAGE != 0 {
        return Err(Errno::EINVAL);
    }
    let space = &task.process.space;
    let anonymous = flags & MAP_ANONYMOUS != 0;
    let place = if flags & MAP_FIXED_NOREPLACE != 0 {
        Place::Free(addr)
    } else if flags & MAP_FIXED != 0 {
        Place::Fixed(addr)
    } else if addr != 0 {
        Place::Hint(addr)
    } else if flags & MAP_32BIT != 0 && !task.process.is_32bit {
        Place::Low
    } else {
        Place::Any
    };
    let request = Request {
        place,
        len,
        prot: space.effective_prot((prot & 7) as u8),
        flags: (flags & HOST_FLAGS) as i32,
        fd: if anonymous { -1 } else { fd as i32 },
        offset: if anonymous { 0 } else { offset },
        kind: if anonymous { Kind::Anonymous } else { Kind::File },
    };
    let at = space.map(&request)?;
    if request.fd >= 0 {
        crate::syscall::uring::mapped(request.fd, request.offset, at);
    }
    if matches!(place, Place::Fixed(_)) {
        task.process.engine.invalidate(at, page_up(len).unwrap_or(len));
    }
    Ok(at)
}

/// mmap(2) of x86-64: offset in bytes.
pub fn sys_mmap(task: &mut Task, [addr, len, prot, flags, fd, offset]: [u64; 6]) -> SysResult {
    do_mmap(task, addr, len, prot, flags, fd, offset)
}

/// mmap2(2) of i386: offset in units of 4096 bytes.
pub fn sys_mmap2(task: &mut Task, [addr, len, prot, flags, fd, pages]: [u64; 6]) -> SysResult {
    do_mmap(task, addr, len, prot, flags, fd, (pages & 0xffff_ffff) * 4096)
}

/// The first mmap(2) of i386: a pointer to six words, offset in bytes.
pub fn sys_old_mmap(task: &mut Task, args: [u64; 6]) -> SysResult {
    let words: [u32; 6] = task.mem.read(args[0])?;
    let [addr, len, prot, flags, fd, offset] = words.map(u64::from);
    do_mmap(task, addr, len, prot, flags, fd, offset)
}

/// munmap(2).
pub fn sys_munmap(task: &mut Task, args: [u64; 6]) -> SysResult {
    let [addr, len, ..] = args;
    task.process.space.unmap(addr, len)?;
    task.process.engine.invalidate(addr, page_up(len).unwrap_or(len));
    Ok(0)
}

/// mprotect(2).
pub fn sys_mprotect(task: &mut Task, args: [u64; 6]) -> SysResult {
    let [mut addr, mut len, prot, ..] = args;
    if prot & !(PROT_GROWSDOWN | PROT_GROWSUP | 0xf) != 0 || prot & PROT_GROWSDOWN != 0 && prot & PROT_GROWSUP != 0 {
        return Err(Errno::EINVAL);
    }
    let space = &task.process.space;
    if prot & PROT_GROWSDOWN != 0 && addr % PAGE == 0 {
        // The whole stack below, too; only the initial stack grows down here.
        let vma = space.find(addr).filter(|v| v.kind == Kind::Stack).ok_or(Errno::EINVAL)?;
        len = len.saturating_add(addr - vma.start);
        addr = vma.start;
    }
    let result = space.protect(addr, len, space.effective_prot((prot & 7) as u8));
    // Even a failing call may have changed a first part.
    task.process.engine.invalidate(addr, page_up(len).unwrap_or(len));
    result.map(|()| 0)
}

/// brk(2): returns the new break, or the old one if it could not be moved.
pub fn sys_brk(task: &mut Task, args: [u64; 6]) -> SysResult {
    let old = task.process.space.brk(0);
    let new = task.process.space.brk(args[0]);
    if new < old {
        task.process.engine.invalidate(new, old - new);
    }
    Ok(new)
}

const MREMAP_MAYMOVE: u64 = 1;
const MREMAP_FIXED: u64 = 2;
const MREMAP_DONTUNMAP: u64 = 4;

/// mremap(2).
pub fn sys_mremap(task: &mut Task, args: [u64; 6]) -> SysResult {
    let [old, old_len, new_len, flags, new, _] = args;
    let space = &task.process.space;
    let bad_flags = flags & !7 != 0
        || flags & MREMAP_FIXED != 0 && flags & MREMAP_MAYMOVE == 0
        || flags & MREMAP_DONTUNMAP != 0 && (flags & MREMAP_MAYMOVE == 0 || old_len != new_len);
    if bad_flags || old % PAGE != 0 {
        return Err(Errno::EINVAL);
    }
    let old_len = page_up(old_len).ok_or(Errno::EINVAL)?;
    let new_len = page_up(new_len).filter(|&l| l > 0 && l <= space.layout().limit).ok_or(Errno::EINVAL)?;
    let old_range = space.page_range(old, old_len).ok_or(Errno::EFAULT)?;
    let mut inner = space.lock();
    let vma = *inner.map.find(old).ok_or(Errno::EFAULT)?;
    inner.check_open(&old_range)?;
    if old_range.end > vma.end {
        return Err(Errno::EFAULT);
    }
    let invalidate = |range: &Range<u64>| task.process.engine.invalidate(range.start, range.end - range.start);
    let moved =
        |start: u64| Vma { start, end: start + new_len, offset: vma.offset.wrapping_add(old - vma.start), ..vma };
    let fixed = flags & MREMAP_FIXED != 0;
    if !fixed && flags & MREMAP_DONTUNMAP == 0 {
        if new_len <= old_len {
            // Shrinking in place.
            let tail = old + new_len..old_range.end;
            if !tail.is_empty() {
                space.remove_part(&mut inner, &tail)?;
                space.unlock(inner);
                invalidate(&tail);
            }
            return Ok(old);
        }
        // Growing in place: the kernel finds out whether Demotic's memory is in the way.
        let grown = space.page_range(old, new_len);
        if let Some(grown) = grown.filter(|g| old_len > 0 && inner.map.is_free(old_range.end..g.end)) {
            space.release_range(&mut inner, &old_range);
            if space.pages().is_coarse() {
                if space.grow_part(&mut inner, &vma, &old_range, grown.end) {
                    space.unlock(inner);
                    invalidate(&grown);
                    return Ok(old);
                }
            } else if space.pages().mremap(old, old_len, new_len, 0, 0).is_ok() {
                // Growth from inside an area leaves nothing behind it: `is_free` said so, so old_range ends the area.
                inner.map.insert(Vma { end: grown.end, ..vma });
                drop(inner);
                invalidate(&grown);
                return Ok(old);
            }
        }
        if flags & MREMAP_MAYMOVE == 0 {
            return Err(Errno::ENOMEM);
        }
    }
    // Moving. The target is claimed first, so that the host's MREMAP_FIXED replaces only guest mappings.
    let target = if fixed {
        let target = space.page_range(new, new_len).ok_or(Errno::EINVAL)?;
        if target.start < old_range.end && old_range.start < target.end {
            return Err(Errno::EINVAL);
        }
        inner.check_open(&target)?;
        space.claim(&inner, &target)?;
        target
    } else {
        let phase = old & (space.host_page() - 1);
        let start = space.claim_at_phase(&inner, new_len, phase, false)?;
        start..start + new_len
    };
    space.release_range(&mut inner, &old_range);
    let keep = flags & MREMAP_DONTUNMAP != 0;
    let result = if space.pages().is_coarse() {
        space.move_part(&mut inner, &old_range, &target, moved(target.start), keep)
    } else {
        let host_flags = flags & MREMAP_DONTUNMAP | MREMAP_MAYMOVE | MREMAP_FIXED;
        space.pages().mremap(old, old_len, new_len, host_flags, target.start).map(|()| {
            if !keep {
                inner.map.remove(old_range.clone());
            }
            inner.map.insert(moved(target.start));
        })
    };
    if let Err(e) = result {
        space.give_back(&space.free_pages(&inner, &target));
        space.unlock(inner);
        return Err(e);
    }
    space.unlock(inner);
    invalidate(&old_range);
    invalidate(&target);
    Ok(target.start)
}

/// Which host pages a call on a part of them means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rounding {
    /// All that hold a byte of the range.
    Out,
    /// Those that hold nothing else of the guest's.
    In,
}

/// Does something with the guest mappings in a range. ENOMEM if there are holes, after the rest has been done, as the kernel's loops
/// over areas do.
fn on_covered(task: &Task, addr: u64, len: u64, mut call: impl FnMut(&Range<u64>) -> SysResult) -> SysResult {
    if addr % PAGE != 0 {
        return Err(Errno::EINVAL);
    }
    let space = &task.process.space;
    let range = space.page_range(addr, len).ok_or(Errno::ENOMEM)?;
    let parts = space.lock().map.covered(range.clone());
    let mut at = range.start;
    let mut hole = false;
    for part in parts {
        hole |= part.start != at;
        at = part.end;
        call(&part)?;
    }
    if hole || at != range.end { Err(Errno::ENOMEM) } else { Ok(0) }
}

/// A host call of the shape (address, length, argument) on the guest mappings in a range.
fn host_on_covered(task: &Task, nr: libc::c_long, [addr, len, arg]: [u64; 3], rounding: Rounding) -> SysResult {
    let space = &task.process.space;
    on_covered(task, addr, len, |part| {
        let pages = match rounding {
            Rounding::Out => space.pages().cover(part),
            Rounding::In => space.own_pages(part),
        };
        if pages.is_empty() {
            // Without a page there is still an opinion on the argument.
            return task.syscall_host(nr, [space.host(pages.start), 0, arg as usize, 0, 0, 0]);
        }
        space.pages().call(nr, &pages, arg as usize)
    })
}

/// madvise(2): handed on; advice that throws contents away drops translations.
pub fn sys_madvise(task: &mut Task, args: [u64; 6]) -> SysResult {
    let [addr, len, advice, ..] = args;
    let word = if task.process.is_32bit { 0xffff_ffff } else { u64::MAX };
    let rounded = len.wrapping_add(PAGE - 1) & !(PAGE - 1) & word;
    if addr % PAGE == 0 && len != 0 && (rounded == 0 || addr.checked_add(rounded).is_none_or(|end| end > word)) {
        return Err(Errno::EINVAL);
    }
    let discards = [libc::MADV_DONTNEED, libc::MADV_FREE, libc::MADV_REMOVE, libc::MADV_WIPEONFORK, 24];
    if discards.contains(&(advice as i32)) {
        // Sealed memory that cannot be written must not change in this way, either.
        if task.process.space.find(addr).is_some_and(|v| v.prot & prot::WRITE == 0) {
            task.process.space.check_open(addr, len)?;
        }
    }
    let by_hand = task.process.space.pages().is_coarse() && advice == libc::MADV_DONTNEED as u64;
    let result = if by_hand {
        let space = &task.process.space;
        on_covered(task, addr, len, |part| {
            let mut inner = space.lock();
            let result = space.discard(&mut inner, part);
            space.unlock(inner);
            result.map(|()| 0)
        })
    } else {
        host_on_covered(task, libc::SYS_madvise, [addr, len, advice], Rounding::In)
    };
    if discards.contains(&(advice as i32)) {
        task.process.engine.invalidate(addr, len);
    }
    result
}

/// mseal(2).
pub fn sys_mseal(task: &mut Task, [addr, len, flags, ..]: [u64; 6]) -> SysResult {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    task.process.space.seal(addr, len).map(|()| 0)
}

/// remap_file_pages(2), which the kernel does as a mapping of the same file in place of the old one (mm/mmap.c).
pub fn sys_remap_file_pages(task: &mut Task, [start, size, prot, offset, flags, _]: [u64; 6]) -> SysResult {
    let space = &task.process.space;
    let (start, size) = (start & !(PAGE - 1), size & !(PAGE - 1));
    let Some(range) = space.page_range(start, size).filter(|r| prot == 0 && !r.is_empty()) else {
        return Err(Errno::EINVAL);
    };
    let mut inner = space.lock();
    let vma = *inner.map.find(start).filter(|v| v.shared && v.kind == Kind::File).ok_or(Errno::EINVAL)?;
    if vma.end < range.end {
        return Err(Errno::EINVAL);
    }
    inner.check_open(&range)?;
    let bytes = offset.wrapping_mul(PAGE);
    let page = space.host_page() - 1;
    if (start | size | bytes) & page != 0 {
        return Err(Errno::EINVAL);
    }
    space.release_range(&mut inner, &range);
    // The offset is in pages of the host's.
    let args = [space.host(start), size as usize, 0, (bytes / real_page()) as usize, flags as usize, 0];
    // SAFETY: the range is a guest mapping.
    Errno::from_ret(unsafe { sys::syscall6(libc::SYS_remap_file_pages, args) })?;
    inner.map.insert(Vma { start, end: range.end, offset: bytes, ..vma });
    space.unlock(inner);
    task.process.engine.invalidate(start, size);
    Ok(0)
}

/// msync(2).
pub fn sys_msync(task: &mut Task, args: [u64; 6]) -> SysResult {
    host_on_covered(task, libc::SYS_msync, [args[0], args[1], args[2]], Rounding::Out)
}

/// mincore(2): the host's answer, a byte for each of its pages, told for each of the guest's.
pub fn sys_mincore(task: &mut Task, args: [u64; 6]) -> SysResult {
    let [addr, len, vec, ..] = args;
    if addr % PAGE != 0 {
        return Err(Errno::EINVAL);
    }
    let space = &task.process.space;
    let range = space.page_range(addr, len).ok_or(Errno::ENOMEM)?;
    if !space.lock().map.gaps(range.clone()).is_empty() {
        return Err(Errno::ENOMEM);
    }
    if !space.pages().is_coarse() {
        let pages = ((range.end - range.start) / PAGE) as usize;
        let vec = task.mem.host(vec, pages, crate::uaccess::Access::Write)?;
        return task.syscall_host(libc::SYS_mincore, [space.host(addr), len as usize, vec as usize, 0, 0, 0]);
    }
    for page in range.clone().step_by(PAGE as usize) {
        let mut present = [0u8; 1];
        let at = space.host(page) & !(real_page() as usize - 1);
        task.syscall_host(libc::SYS_mincore, [at, 1, present.as_mut_ptr() as usize, 0, 0, 0])?;
        task.mem.write(vec.wrapping_add((page - range.start) / PAGE), &present)?;
    }
    Ok(0)
}

/// mlock(2).
pub fn sys_mlock(task: &mut Task, args: [u64; 6]) -> SysResult {
    lock_range(task, libc::SYS_mlock, args, 0, Rounding::Out)
}

/// mlock2(2).
pub fn sys_mlock2(task: &mut Task, args: [u64; 6]) -> SysResult {
    lock_range(task, libc::SYS_mlock2, args, args[2], Rounding::Out)
}

/// munlock(2).
pub fn sys_munlock(task: &mut Task, args: [u64; 6]) -> SysResult {
    lock_range(task, libc::SYS_munlock, args, 0, Rounding::In)
}

/// These calls round the start down instead of refusing it.
fn lock_range(task: &Task, nr: libc::c_long, args: [u64; 6], arg: u64, rounding: Rounding) -> SysResult {
    let start = args[0] & !(PAGE - 1);
    // The kernel lets the sum overflow (mm/mlock.c): the range is empty then.
    let len = args[1].wrapping_add(args[0] - start).wrapping_add(PAGE - 1) & !(PAGE - 1);
    if len == 0 {
        return Ok(0);
    }
    host_on_covered(task, nr, [start, len, arg], rounding)
}

/// mlockall(2): Demotic's own memory is locked along, as the host knows no difference.
pub fn sys_mlockall(task: &mut Task, args: [u64; 6]) -> SysResult {
    task.syscall_host(libc::SYS_mlockall, [args[0] as usize, 0, 0, 0, 0, 0])
}

/// munlockall(2).
pub fn sys_munlockall(task: &mut Task, _args: [u64; 6]) -> SysResult {
    task.syscall_host(libc::SYS_munlockall, [0; 6])
}

pub use super::tls::{sys_arch_prctl, sys_get_thread_area, sys_modify_ldt, sys_set_thread_area};

/// The permissions that shmat(2) and others outside this module record.
pub const READ_WRITE: u8 = prot::READ | prot::WRITE;
