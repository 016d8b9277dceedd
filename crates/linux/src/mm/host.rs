//! The one door to the host's memory calls on guest memory, and the arithmetic of its pages.
//!
//! The host's pages may be larger than the guest's (16 or 64 KiB on ARM). Every range that goes through here consists of whole host pages; a
//! debug build checks that. What a call on a part of a host page means is decided in `parts`.

use crate::errno::Errno;
use crate::uaccess::PAGE;
use demotic_host::sys;
use std::ops::Range;

/// Where guest memory stands on the host, and in what pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostPages {
    /// Host address of guest address 0, a multiple of the page.
    pub base: usize,
    /// The page size that is worked with, in bytes: the host's, or a multiple of it in tests.
    pub page: u64,
}

/// The host's own page size in bytes.
pub fn real_page() -> u64 {
    demotic_host::map::page_size() as u64
}

/// A page size to work with, if it can be one here: a power of two, no smaller than the host's own.
pub fn usable(page: u64) -> bool {
    page.is_power_of_two() && (real_page().max(PAGE)..=1 << 20).contains(&page)
}

impl HostPages {
    /// True if a host page holds several guest pages.
    pub fn is_coarse(&self) -> bool {
        self.page != PAGE
    }

    /// Host address of a guest address.
    pub fn at(&self, guest: u64) -> usize {
        self.base.wrapping_add(guest as usize)
    }

    /// The host page that holds `addr`.
    pub fn down(&self, addr: u64) -> u64 {
        addr & !(self.page - 1)
    }

    /// `addr` rounded up to host pages; guest addresses are far from overflowing.
    pub fn up(&self, addr: u64) -> u64 {
        addr.saturating_add(self.page - 1) & !(self.page - 1)
    }

    /// The whole host page that holds `addr`. A guest may name any address: the very last page ends one byte early instead of at 2^64.
    pub fn around(&self, addr: u64) -> Range<u64> {
        let start = self.down(addr);
        start..start.saturating_add(self.page)
    }

    /// The host pages that hold a part of a range.
    pub fn cover(&self, range: &Range<u64>) -> Range<u64> {
        self.down(range.start)..self.up(range.end)
    }

    /// True if a range consists of whole host pages.
    pub fn is_whole(&self, range: &Range<u64>) -> bool {
        (range.start | range.end) & (self.page - 1) == 0
    }

    fn arguments(&self, range: &Range<u64>) -> (usize, usize) {
        debug_assert!(self.is_whole(range) && range.start < range.end, "{range:x?} on pages of {:#x}", self.page);
        (self.at(range.start), (range.end - range.start) as usize)
    }

    /// mmap(2) at exactly this range; EEXIST if the kernel had another idea.
    pub fn mmap(&self, range: &Range<u64>, prot: usize, flags: i32, fd: i32, offset: u64) -> Result<(), Errno> {
        let (at, len) = self.arguments(range);
        #[cfg(target_pointer_width = "64")]
        let (nr, offset) = (libc::SYS_mmap, offset as usize);
        #[cfg(target_pointer_width = "32")]
        let (nr, offset) = (libc::SYS_mmap2, (offset >> 12) as usize);
        // SAFETY: the callers only pass ranges that are guest mappings or that NOREPLACE keeps off others' memory.
        let ret = Errno::from_ret(unsafe {
            sys::syscall6(nr, [at, len, prot, flags as usize, fd as isize as usize, offset])
        })?;
        if ret as usize != at {
            // A kernel that does not know MAP_FIXED_NOREPLACE (before 4.17) took it for a hint.
            // SAFETY: what was just mapped is nobody's yet.
            unsafe { sys::syscall6(libc::SYS_munmap, [ret as usize, len, 0, 0, 0, 0]) };
            return Err(Errno::EEXIST);
        }
        Ok(())
    }

    /// munmap(2) of guest mappings.
    pub fn munmap(&self, range: &Range<u64>) -> Result<(), Errno> {
        self.call(libc::SYS_munmap, range, 0).map(drop)
    }

    /// mprotect(2) of guest mappings.
    pub fn mprotect(&self, range: &Range<u64>, prot: usize) -> Result<(), Errno> {
        self.call(libc::SYS_mprotect, range, prot).map(drop)
    }

    /// A call of the shape (address, length, argument) on guest mappings: madvise(2), msync(2), mlock(2).
    pub fn call(&self, nr: libc::c_long, range: &Range<u64>, arg: usize) -> Result<u64, Errno> {
        let (at, len) = self.arguments(range);
        // SAFETY: the range consists of guest mappings.
        Errno::from_ret(unsafe { sys::syscall6(nr, [at, len, arg, 0, 0, 0]) })
    }

    /// mremap(2) of guest mappings; `old_len` 0 makes a second view. `to` has to be a guest mapping or claimed, and is needed with
    /// MREMAP_FIXED only.
    pub fn mremap(&self, old: u64, old_len: u64, new_len: u64, flags: u64, to: u64) -> Result<(), Errno> {
        debug_assert!((old | old_len | new_len | to) & (self.page - 1) == 0, "mremap of parts of host pages");
        let args = [self.at(old), old_len as usize, new_len as usize, flags as usize, self.at(to), 0];
        // SAFETY: source and target are guest mappings or claimed; without MREMAP_MAYMOVE the kernel only takes free memory.
        Errno::from_ret(unsafe { sys::syscall6(libc::SYS_mremap, args) }).map(drop)
    }
}

/// What a driver takes no wishes for: the host's kernel chooses the address. It must end at or below `limit`, a host address; kernels with more address bits
/// than x86-64's 47 would go beyond, so there a second attempt finds everything up there taken.
///
/// # Errors
/// Those of mmap(2); ENOMEM where the kernel will not go below the limit.
pub fn mmap_below(limit: u64, len: u64, prot: usize, flags: i32, fd: i32, offset: u64) -> Result<u64, Errno> {
    let once = || {
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let at = unsafe {
            libc::mmap64(std::ptr::null_mut(), len as usize, prot as i32, flags, fd, offset as libc::off64_t)
        };
        if at == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let at = at as usize as u64;
        if at.checked_add(len).is_some_and(|end| end <= limit) {
            return Ok(at);
        }
        // SAFETY: the mapping just made, which nobody knows.
        unsafe { sys::syscall6(libc::SYS_munmap, [at as usize, len as usize, 0, 0, 0, 0]) };
        Err(Errno::ENOMEM)
    };
    match once() {
        Err(Errno::ENOMEM) => {
            let _taken = Taken::above(limit);
            once()
        }
        result => result,
    }
}

/// All free addresses between a limit and the process's highest mapping, for a moment.
struct Taken(Vec<Range<u64>>);

impl Taken {
    fn above(limit: u64) -> Taken {
        let mut taken = Taken(Vec::new());
        let mut from = limit;
        for line in std::fs::read_to_string("/proc/self/maps").unwrap_or_default().lines() {
            let bounds = line.split_once(' ').and_then(|(range, _)| range.split_once('-'));
            let number = |text| u64::from_str_radix(text, 16).ok();
            let Some((Some(start), Some(end))) = bounds.map(|(start, end)| (number(start), number(end))) else {
                continue;
            };
            if start > from {
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
                let place = std::ptr::with_exposed_provenance_mut(from as usize);
                // SAFETY: only what is free; another thread may have been faster, and then it stays that thread's.
                let at = unsafe { libc::mmap64(place, (start - from) as usize, libc::PROT_NONE, flags, -1, 0) };
                if at as usize as u64 == from {
                    taken.0.push(from..start);
                }
            }
            from = from.max(end);
        }
        taken
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        for range in &self.0 {
            // SAFETY: mapped by `above`, and nobody's since.
            unsafe {
                sys::syscall6(libc::SYS_munmap, [range.start as usize, (range.end - range.start) as usize, 0, 0, 0, 0])
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_chooses_below_a_limit() {
        let (len, flags) = (0x3000, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let free = mmap_below(u64::MAX, len, 0, flags, -1, 0).unwrap();
        // Where it would not have gone by itself.
        let limit = (free / 2) & !0xffff;
        let count = || std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
        let before = count();
        let at = mmap_below(limit, len, 0, flags, -1, 0).unwrap();
        assert!(at + len <= limit, "{at:#x} is not below {limit:#x}");
        // Other tests map and unmap meanwhile, but nothing of that kind is left.
        assert!(count() <= before + 20);
        for at in [free, at] {
            // SAFETY: mapped above.
            unsafe { sys::syscall6(libc::SYS_munmap, [at as usize, len as usize, 0, 0, 0, 0]) };
        }
        assert_eq!(mmap_below(4096, len, 0, flags, -1, 0), Err(Errno::ENOMEM));
    }
}
