//! Reading and writing guest memory without trusting it.
//!
//! Every access goes through [`demotic_host::guarded`]: an address that is not mapped (or is unmapped meanwhile by another
//! guest thread) gives EFAULT. Guest addresses at or above the guest's limit are EFAULT before anything is touched, so that
//! Demotic's own memory cannot be named by the guest... as far as it lies outside guest space; inside guest space on
//! 64-bit hosts it is as reachable as any unmapped-by-the-guest address, and the mapping calls keep the two apart.
//!
//! A write that faults because the engine write-protected a page with translated code drops these translations and is tried
//! again; the guest cannot tell.

use crate::errno::Errno;
use crate::mm::{AddressSpace, prot};
use demotic_engine::{Engine, GuestSpace};
use demotic_host::guarded;
use std::ffi::CString;
use std::sync::Arc;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Longest path the kernel takes, terminator included (linux/limits.h).
pub const PATH_MAX: usize = 4096;
/// A host address at which nothing is: below what kernels let programs map (vm.mmap_min_addr), yet one that a kernel takes for a program's.
const NOWHERE: usize = 4096;
/// The guest's page size in bytes; the host's may be larger.
pub const PAGE: u64 = 4096;

/// What a system call is going to do with a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// The host kernel reads the buffer.
    Read,
    /// The host kernel writes the buffer (and may read it).
    Write,
}

/// The guest's memory as system calls see it. Cloning is cheap.
#[derive(Clone)]
pub struct Mem {
    space: Arc<AddressSpace>,
    engine: Arc<Engine>,
}

impl std::fmt::Debug for Mem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mem").field("limit", &self.space.limit()).finish_non_exhaustive()
    }
}

impl Mem {
    /// The memory of `space`, whose code is translated by `engine`.
    pub fn new(space: Arc<AddressSpace>, engine: Arc<Engine>) -> Mem {
        Mem { space, engine }
    }
    /// The address space behind it.
    pub fn space(&self) -> &Arc<AddressSpace> {
        &self.space
    }

    /// Host address of `len` guest bytes at `addr`, EFAULT when the range leaves guest space.
    fn range(&self, addr: u64, len: usize) -> Result<usize, Errno> {
        let end = addr.checked_add(len as u64).ok_or(Errno::EFAULT)?;
        if end > self.space.limit() {
            return Err(Errno::EFAULT);
        }
        Ok(self.space.base().wrapping_add(addr as usize))
    }

    /// [`Self::range`] for reading. Where a host page may hold guest pages of several kinds, the host does not tell all that the guest may not
    /// do, and the list is asked.
    fn source(&self, addr: u64, len: usize) -> Result<usize, Errno> {
        const ANY: u8 = prot::READ | prot::WRITE | prot::EXEC;
        let from = self.range(addr, len)?;
        let is_coarse = self.space.pages().is_coarse();
        let fits = !is_coarse || self.space.accessible(addr, len as u64, ANY) == len as u64;
        if fits { Ok(from) } else { Err(Errno::EFAULT) }
    }

    /// A plain value of the guest's, which may lie at any alignment.
    pub fn read<T: FromBytes>(&self, addr: u64) -> Result<T, Errno> {
        let mut value = std::mem::MaybeUninit::<T>::uninit();
        let from = self.source(addr, size_of::<T>())?;
        // SAFETY: the destination is ours and large enough; the source may be anything, faults are caught; every bit
        // pattern is a valid T (FromBytes) once all bytes were copied.
        unsafe {
            guarded::copy_from(value.as_mut_ptr().cast(), from, size_of::<T>()).map_err(|_| Errno::EFAULT)?;
            Ok(value.assume_init())
        }
    }

    /// Stores a plain value at any alignment.
    pub fn write<T: IntoBytes + Immutable>(&self, addr: u64, value: &T) -> Result<(), Errno> {
        self.write_bytes(addr, value.as_bytes())
    }

    /// Fills `buf` from the guest.
    pub fn read_bytes(&self, addr: u64, buf: &mut [u8]) -> Result<(), Errno> {
        let from = self.source(addr, buf.len())?;
        // SAFETY: the destination is a live slice; faults of the source are caught.
        unsafe { guarded::copy_from(buf.as_mut_ptr(), from, buf.len()).map_err(|_| Errno::EFAULT) }
    }

    /// Copies `bytes` to the guest. On EFAULT a first part may have been written, as with the kernel.
    pub fn write_bytes(&self, addr: u64, bytes: &[u8]) -> Result<(), Errno> {
        let to = self.range(addr, bytes.len())?;
        if self.space.pages().is_coarse() {
            let good = self.space.accessible(addr, bytes.len() as u64, prot::WRITE) as usize;
            if good < bytes.len() {
                self.write_bytes(addr, &bytes[..good])?;
                return Err(Errno::EFAULT);
            }
        }
        loop {
            // SAFETY: the source is a live slice; `to` lies in guest space and faults are caught.
            match unsafe { guarded::copy_to(to, bytes.as_ptr(), bytes.len()) } {
                Ok(()) => return Ok(()),
                Err(fault) => {
                    let guest = fault.addr.wrapping_sub(self.space.base()) as u64;
                    if !self.release(guest) {
                        return Err(Errno::EFAULT);
                    }
                }
            }
        }
    }

    /// Lifts the engine's protection of the page at `addr`; false if there is none.
    fn release(&self, addr: u64) -> bool {
        let released = self.space.release_code_page(addr);
        if released {
            self.engine.invalidate(addr & !(PAGE - 1), PAGE);
        }
        released
    }

    /// `count` values from `addr`. The caller bounds `count`; the total size is checked for overflow here.
    pub fn read_vec<T: FromBytes>(&self, addr: u64, count: usize) -> Result<Vec<T>, Errno> {
        let size = count.checked_mul(size_of::<T>()).ok_or(Errno::EFAULT)?;
        let from = self.source(addr, size)?;
        let mut values = Vec::<T>::new();
        values.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
        // SAFETY: the vector has room for `size` bytes, and T takes any bit pattern once they are copied.
        unsafe {
            guarded::copy_from(values.as_mut_ptr().cast(), from, size).map_err(|_| Errno::EFAULT)?;
            values.set_len(count);
        }
        Ok(values)
    }

    /// Stores `values` one behind the other.
    pub fn write_slice<T: IntoBytes + Immutable>(&self, addr: u64, values: &[T]) -> Result<(), Errno> {
        self.write_bytes(addr, values.as_bytes())
    }

    /// A path: the zero-terminated string at `addr`; ENAMETOOLONG without a terminator in the first [`PATH_MAX`] bytes.
    pub fn cstr(&self, addr: u64) -> Result<CString, Errno> {
        self.cstr_max(addr, PATH_MAX)
    }

    /// The zero-terminated string at `addr`, terminator included at most `max` bytes (else ENAMETOOLONG).
    pub fn cstr_max(&self, addr: u64, max: usize) -> Result<CString, Errno> {
        let mut bytes = Vec::new();
        let mut at = addr;
        while bytes.len() < max {
            // Never read past the page that holds the next byte: the string may end right before a hole.
            let room = (PAGE - at % PAGE) as usize;
            let old = bytes.len();
            let chunk = room.min(max - old).min(256);
            bytes.resize(old + chunk, 0);
            self.read_bytes(at, &mut bytes[old..])?;
            if let Some(end) = bytes[old..].iter().position(|&b| b == 0) {
                bytes.truncate(old + end);
                return CString::new(bytes).map_err(|_| Errno::EINVAL);
            }
            at = at.checked_add(chunk as u64).ok_or(Errno::EFAULT)?;
        }
        Err(Errno::ENAMETOOLONG)
    }

    /// Host pointer to `len` guest bytes for a host system call. Only the range is checked; for unmapped pages the host
    /// kernel itself answers EFAULT. For [`Access::Write`] translated code in the range is dropped first. A null guest
    /// address stays a null pointer, as optional arguments need it.
    pub fn host(&self, addr: u64, len: usize, access: Access) -> Result<*mut u8, Errno> {
        if addr == 0 {
            return Ok(std::ptr::null_mut());
        }
        let limit = self.space.limit();
        // The kernel of a 32-bit program on a 64-bit host has no limit at 4 GiB: it goes as far as memory goes, and what it does not touch does not
        // matter. Behind the guest's space is a guard.
        let beyond = cfg!(target_pointer_width = "64") && limit <= 1 << 32 && addr < limit;
        let at = if beyond { self.range(addr, 0)? } else { self.range(addr, len)? };
        let pages = self.space.pages();
        if pages.is_coarse() && len > 0 {
            // Which way a buffer is used is not always known before, so any access will do.
            if self.space.accessible(addr, 1, prot::READ | prot::WRITE | prot::EXEC) == 0 {
                // The host page may be accessible although this guest page is not: an address that nothing is at, whatever the kernel does first.
                return Ok(NOWHERE as *mut u8);
            }
        }
        if access == Access::Write && len > 0 {
            let mut page = pages.down(addr);
            let end = pages.up(addr.saturating_add(len as u64).min(limit));
            // A buffer may be as large as the address space; only its pages that hold translations matter.
            while let Some(code) = self.space.next_code_page(page, end) {
                self.release(code);
                page = code + PAGE;
            }
        }
        Ok(at as *mut u8)
    }
}
