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
