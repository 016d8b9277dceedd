//! Memory of Demotic's own that is not the allocator's.

use std::io;

/// A stack for a child process, with a guard page below; unmapped when dropped.
#[derive(Debug)]
pub struct Stack {
    base: usize,
    size: usize,
}

/// Guard size: at least one page on every host.
const GUARD: usize = 64 * 1024;

impl Stack {
    /// A stack of `size` usable bytes (a multiple of 64 KiB).
    ///
    /// # Errors
    /// What mmap(2) says.
    pub fn new(size: usize) -> io::Result<Stack> {
        let size = size + GUARD;
        // SAFETY: fresh memory.
        unsafe {
            let p = libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK,
                -1,
                0,
            );
            if p == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            let stack = Stack { base: p as usize, size };
            if libc::mprotect(p, GUARD, libc::PROT_NONE) != 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(stack)
        }
    }

    /// The initial stack pointer.
    pub fn top(&self) -> *mut libc::c_void {
        (self.base + self.size) as *mut libc::c_void
    }
}

/// Makes a range inaccessible for good, if nothing is there yet; if something is, it is not free for others either.
pub fn reserve(at: usize, size: usize) {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: replaces nothing.
    unsafe { libc::mmap(at as *mut libc::c_void, size, libc::PROT_NONE, flags, -1, 0) };
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: nobody runs on it any more.
        unsafe { libc::munmap(self.base as *mut libc::c_void, self.size) };
    }
}

/// Fresh memory for the contents of a file, present at once: filling it costs no page faults. Not the allocator's, which would cut it off its heap.
#[derive(Debug)]
pub struct Room {
    at: usize,
    /// Bytes mapped.
    size: usize,
    len: usize,
}

/// The host's page size in bytes.
pub fn page_size() -> usize {
    static SIZE: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let known = SIZE.load(std::sync::atomic::Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    // SAFETY: no arguments of ours.
    let size = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096).max(4096);
    SIZE.store(size, std::sync::atomic::Ordering::Relaxed);
    size
}

impl Room {
    /// Zeros.
    ///
    /// # Errors
    /// What mmap(2) says.
    pub fn new(len: usize) -> io::Result<Room> {
        let size = len.max(1).next_multiple_of(page_size());
        // SAFETY: fresh memory.
        let p = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
                -1,
                0,
            )
        };
        if p == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Room { at: p as usize, size, len }) }
    }

    /// Gives back what is behind the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.len = len.min(self.len);
        let keep = self.len.max(1).next_multiple_of(page_size());
        if keep < self.size {
            // SAFETY: whole pages of this mapping behind everything that can still be reached.
            unsafe { libc::munmap((self.at + keep) as *mut libc::c_void, self.size - keep) };
            self.size = keep;
        }
    }
}

impl std::ops::Deref for Room {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: mapped and initialised, and not changed while it is borrowed.
        unsafe { std::slice::from_raw_parts(self.at as *const u8, self.len) }
    }
}

impl std::ops::DerefMut for Room {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: mapped and initialised, and borrowed by nobody else.
        unsafe { std::slice::from_raw_parts_mut(self.at as *mut u8, self.len) }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // SAFETY: nobody has a reference to it.
        unsafe { libc::munmap(self.at as *mut libc::c_void, self.size) };
    }
}

/// Asks for the pages of a range before they are touched one by one. Without effect on kernels before 5.14.
pub(crate) fn populate(at: usize, len: usize, write: bool) {
    const MADV_POPULATE_READ: i32 = 22;
    const MADV_POPULATE_WRITE: i32 = 23;
    let first = at & !(page_size() - 1);
    let end = (at + len).next_multiple_of(page_size());
    let advice = if write { MADV_POPULATE_WRITE } else { MADV_POPULATE_READ };
    // SAFETY: changes no contents.
    unsafe { libc::madvise(first as *mut libc::c_void, end - first, advice) };
}
