//! Memory for generated code: written through one view, executed through another, never both through the same.
//!
//! Two ways to keep W^X. *Dual*: one memory object mapped twice, at an address to write and at one to execute; a write needs no
//! system call, and other threads may run meanwhile. *Flip*: one private mapping whose pages become writable for the time
//! of a write; a thread that runs into such a page faults and tries again ([`Code::is_flip_fault`]). The second is for hosts
//! that run stale code from a twice-mapped object (some emulators do), which [`Code::new`] finds out by trying.
//!
//! Fork: a twice-mapped object would be shared with the child, and each would patch the other's code. The parent makes a [`Code::copy`] before, and the
//! child begins with [`Code::adopt`].

use crate::{arch, map};
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How a code region is mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mapping {
    /// Two views of one object.
    Dual,
    /// One view, writable for moments.
    Flip,
}

/// From so many bytes on, the pages that are written are asked for at once.
const MANY: usize = 4 * 4096;

/// A region of code memory.
#[derive(Debug)]
pub struct Code {
    /// Where it is executed.
    rx: usize,
    /// Where it is written; equal to `rx` when flipping.
    rw: AtomicUsize,
    size: usize,
    mapping: Mapping,
    /// One writer at a time flips.
    flip: Mutex<()>,
}

impl Code {
    /// A region of `size` bytes (a multiple of 64 KiB). `mapping`: `None` finds out which one works here.
    ///
    /// # Errors
    /// What memfd_create(2) and mmap(2) say.
    pub fn new(size: usize, mapping: Option<Mapping>) -> io::Result<Code> {
        match mapping {
            Some(Mapping::Flip) => Code::flip(size),
            Some(Mapping::Dual) => Code::dual(size),
            None => match Code::dual(size) {
                Ok(code) if arch::CODE_TEST.is_empty() || code.is_coherent() => Ok(code),
                _ => Code::flip(size),
            },
        }
    }

    fn flip(size: usize) -> io::Result<Code> {
        let rx = mapping(0, size, libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)?;
        Ok(Code { rx, rw: AtomicUsize::new(rx), size, mapping: Mapping::Flip, flip: Mutex::new(()) })
    }

    fn dual(size: usize) -> io::Result<Code> {
        if is_limited(size) {
            let (rx, rw) = anonymous_views(size, None)?;
            return Ok(Code { rx, rw: AtomicUsize::new(rw), size, mapping: Mapping::Dual, flip: Mutex::new(()) });
        }
        let fd = object(size)?;
        let views = mapping(0, size, libc::PROT_READ | libc::PROT_EXEC, libc::MAP_SHARED, fd).and_then(|rx| {
            match mapping(0, size, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, fd) {
                Ok(rw) => Ok((rx, rw)),
                Err(e) => {
                    unmap(rx, size);
                    Err(e)
                }
            }
        });
        close(fd);
        let (rx, rw) = views?;
        Ok(Code { rx, rw: AtomicUsize::new(rw), size, mapping: Mapping::Dual, flip: Mutex::new(()) })
    }

    /// Whether code that is written anew through the other view is what runs: two small functions, one after the other.
    fn is_coherent(&self) -> bool {
        (0..2).all(|n| {
            let code: Vec<u8> = arch::CODE_TEST[n].iter().flat_map(|w| w.to_le_bytes()).collect();
            self.write(0, &code);
            // SAFETY: the bytes are a function without arguments that returns its number.
            let f = unsafe { std::mem::transmute::<usize, extern "C" fn() -> usize>(self.rx) };
            f() == n
        })
    }

    /// Address at which the region is executed.
    pub fn start(&self) -> usize {
        self.rx
    }

    /// Size in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// How it is mapped.
    pub fn mapping(&self) -> Mapping {
        self.mapping
    }

    /// Writes fresh code that nobody executes yet, and makes it visible to execution.
    ///
    /// # Panics
    /// When it does not fit: a mistake of the caller.
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset <= self.size && bytes.len() <= self.size - offset, "code outside its region");
        let many = bytes.len() >= MANY;
        self.writable(offset, bytes.len(), |rw| {
            if many {
                map::populate(rw, bytes.len(), true);
            }
            // SAFETY: inside the writable view, which only this module touches.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), rw as *mut u8, bytes.len()) };
        });
        if many {
            map::populate(self.rx + offset, bytes.len(), false);
        }
        arch::sync_code(self.rw.load(Ordering::Relaxed) + offset, self.rx + offset, bytes.len());
    }

    /// What stands in a part of the region.
    ///
    /// # Panics
    /// When that is not inside.
    pub fn read(&self, offset: usize, len: usize) -> Vec<u8> {
        assert!(offset <= self.size && len <= self.size - offset, "code outside its region");
        // SAFETY: inside the view that is executed, which is always readable; the caller keeps others from patching meanwhile.
        unsafe { std::slice::from_raw_parts((self.rx + offset) as *const u8, len) }.to_vec()
    }

    /// Replaces up to 8 bytes of code that other threads may be executing, in one store: they must lie within one aligned 8-byte word.
    ///
    /// # Panics
    /// When they do not: a mistake of the emitter.
    pub fn patch(&self, offset: usize, bytes: &[u8]) {
        let word = offset & !7;
        let shift = offset - word;
        assert!(shift + bytes.len() <= 8 && word + 8 <= self.size, "a patch crosses words");
        self.writable(word, 8, |rw| {
            // SAFETY: an aligned word inside the writable view; other threads only fetch from it.
            let cell = unsafe { std::sync::atomic::AtomicU64::from_ptr(rw as *mut u64) };
            let mut image = cell.load(Ordering::Relaxed).to_le_bytes();
            image[shift..shift + bytes.len()].copy_from_slice(bytes);
            cell.store(u64::from_le_bytes(image), Ordering::Release);
        });
        arch::sync_code(self.rw.load(Ordering::Relaxed) + word, self.rx + word, 8);
    }

    fn writable(&self, offset: usize, len: usize, f: impl FnOnce(usize)) {
        if self.mapping == Mapping::Dual {
            return f(self.rw.load(Ordering::Relaxed) + offset);
        }
        let _guard = self.flip.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let first = (self.rx + offset) & !(map::page_size() - 1);
        let end = (self.rx + offset + len).next_multiple_of(map::page_size());
        protect(first, end - first, libc::PROT_READ | libc::PROT_WRITE);
        f(self.rx + offset);
        protect(first, end - first, libc::PROT_READ | libc::PROT_EXEC);
    }

    /// Whether a fault at host PC `pc` with fault address `addr` can only come from a flip under way. signal-safe.
    pub fn is_flip_fault(pc: usize, addr: usize) -> bool {
        addr == pc
    }

    /// A copy of the first `used` bytes, for a child that is about to be forked. Made before, because afterwards the parent goes on patching what
    /// the child would copy from.
    ///
    /// # Errors
    /// What memfd_create(2) and write(2) say.
    pub fn copy(&self, used: usize) -> io::Result<Copy> {
        if self.mapping == Mapping::Flip {
            return Ok(Copy { object: None, bytes: Vec::new() });
        }
        if is_limited(self.size) {
            return Ok(Copy { object: None, bytes: self.read(0, used.min(self.size)) });
        }
        let copy = Copy { object: Some(object(self.size)?), bytes: Vec::new() };
        let (from, used) = (self.rw.load(Ordering::Relaxed), used.min(self.size));
        let mut done = 0;
        while let (true, Some(fd)) = (done < used, copy.object) {
            // SAFETY: the view has at least `used` bytes.
            let n = unsafe { libc::pwrite(fd, (from + done) as *const libc::c_void, used - done, done as libc::off_t) };
            match usize::try_from(n) {
                Ok(n) if n > 0 => done += n,
                _ => return Err(io::Error::last_os_error()),
            }
        }
        Ok(copy)
    }

    /// In the forked child: takes over its copy of the first `used` bytes, at the same address.
    ///
    /// # Errors
    /// What mmap(2) says; the region must not be used then.
    pub fn adopt(&self, copy: &Copy, used: usize) -> io::Result<()> {
        if self.mapping == Mapping::Flip {
            return Ok(());
        }
        let Some(fd) = copy.object else {
            let (_, rw) = anonymous_views(self.size, Some(self.rx))?;
            // SAFETY: the fresh view has the region's size, and the copy is no longer.
            unsafe { std::ptr::copy_nonoverlapping(copy.bytes.as_ptr(), rw as *mut u8, copy.bytes.len()) };
            unmap(self.rw.swap(rw, Ordering::Relaxed), self.size);
            arch::sync_code(rw, self.rx, used);
            return Ok(());
        };
        let rw = mapping(0, self.size, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, fd)?;
        mapping(self.rx, self.size, libc::PROT_READ | libc::PROT_EXEC, libc::MAP_SHARED | libc::MAP_FIXED, fd)?;
        unmap(self.rw.swap(rw, Ordering::Relaxed), self.size);
        arch::sync_code(rw, self.rx, used);
        Ok(())
    }
}

/// What [`Code::copy`] made: a memory object, where the region has one, or the bytes where files are too limited for that.
#[derive(Debug)]
pub struct Copy {
    object: Option<i32>,
    bytes: Vec<u8>,
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Some(fd) = self.object {
            close(fd);
        }
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        unmap(self.rx, self.size);
        if self.mapping == Mapping::Dual {
            unmap(self.rw.load(Ordering::Relaxed), self.size);
        }
    }
}

/// Whether RLIMIT_FSIZE, which counts for memory files, too, forbids one of this size.
fn is_limited(size: usize) -> bool {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is ours.
    unsafe { libc::getrlimit64(libc::RLIMIT_FSIZE, &mut limit) == 0 && limit.rlim_cur < size as u64 }
}

/// Two views of the same fresh memory without a file: to execute (in place of what is at `at`) and to write.
fn anonymous_views(size: usize, at: Option<usize>) -> io::Result<(usize, usize)> {
    let rw = mapping(0, size, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1)?;
    let flags = libc::MREMAP_MAYMOVE | if at.is_some() { libc::MREMAP_FIXED } else { 0 };
    // SAFETY: an old size of 0 makes a second view of shared memory (mremap(2)); with MREMAP_FIXED in place of the caller's own.
    let rx = unsafe { libc::mremap(rw as *mut libc::c_void, 0, size, flags, at.unwrap_or(0)) };
    if rx == libc::MAP_FAILED {
        let e = io::Error::last_os_error();
        unmap(rw, size);
        return Err(e);
    }
    protect(rx as usize, size, libc::PROT_READ | libc::PROT_EXEC);
    Ok((rx as usize, rw))
}

fn object(size: usize) -> io::Result<i32> {
    // SAFETY: a constant name; a fresh descriptor.
    unsafe {
        let fd = libc::memfd_create(c"demotic-code".as_ptr(), libc::MFD_CLOEXEC);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        if libc::ftruncate(fd, size as libc::off_t) != 0 {
            let e = io::Error::last_os_error();
            libc::close(fd);
            return Err(e);
        }
        Ok(fd)
    }
}

fn close(fd: i32) {
    // SAFETY: only called with descriptors of `object`.
    unsafe { libc::close(fd) };
}

fn mapping(at: usize, size: usize, prot: i32, flags: i32, fd: i32) -> io::Result<usize> {
    // SAFETY: fresh memory, or with MAP_FIXED the caller's own.
    let p = unsafe { libc::mmap(at as *mut libc::c_void, size, prot, flags | libc::MAP_NORESERVE, fd, 0) };
    if p == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(p as usize) }
}

fn unmap(at: usize, size: usize) {
    // SAFETY: a mapping of this module that nobody uses any more.
    unsafe { libc::munmap(at as *mut libc::c_void, size) };
}

fn protect(at: usize, size: usize, prot: i32) {
    // SAFETY: pages of this module.
    unsafe { libc::mprotect(at as *mut libc::c_void, size, prot) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_written_patched_and_copied() {
        if arch::CODE_TEST.is_empty() {
            return;
        }
        for mapping in [None, Some(Mapping::Flip)] {
            let code = Code::new(1 << 16, mapping).unwrap();
            let bytes = |n: usize| arch::CODE_TEST[n].iter().flat_map(|w: &u32| w.to_le_bytes()).collect::<Vec<u8>>();
            code.write(4096, &bytes(0));
            // SAFETY: a function without arguments stands there.
            let f = unsafe { std::mem::transmute::<usize, extern "C" fn() -> usize>(code.start() + 4096) };
            assert_eq!(f(), 0);
            code.patch(4096, &bytes(1)[..8]);
            assert_eq!(f(), 1);
            let copy = code.copy(8192).unwrap();
            // What is patched behind the copy is not in it.
            code.patch(4096, &bytes(0)[..8]);
            code.adopt(&copy, 8192).unwrap();
            assert_eq!(f(), usize::from(code.mapping() == Mapping::Dual));
            code.patch(4096, &bytes(0)[..8]);
            assert_eq!(f(), 0);
        }
    }
}
