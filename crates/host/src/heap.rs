//! The allocator's heap at a program's start.
//!
//! Every guest program starts a fresh Demotic, whose first hundred pages of heap would come one page fault and a few of them one brk(2)
//! at a time. They are asked for at once instead.

/// Extends the C library's heap in large steps and makes its beginning present. To be called before anything is allocated; without
/// effect where the C library is not glibc.
pub fn prepare() {
    #[cfg(all(target_env = "gnu", target_pointer_width = "64"))]
    {
        // Linux 5.14; older kernels refuse it, and nothing is lost.
        const MADV_POPULATE_WRITE: i32 = 23;
        let page = crate::map::page_size();
        // Bytes of the heap that every program needs before its first instruction.
        const FIRST: usize = 320 << 10;
        // SAFETY: parameters of the allocator, nobody else uses it yet; the pages made present are those of its own heap, between the old
        // and the new end of the data segment.
        unsafe {
            libc::mallopt(libc::M_TOP_PAD, 2 * FIRST as i32);
            libc::mallopt(libc::M_TRIM_THRESHOLD, 16 * FIRST as i32);
            // Large tables of zeros that are only touched here and there (a thread has three of 64 KiB and more) are not filled with zeros.
            libc::mallopt(libc::M_MMAP_THRESHOLD, 64 << 10);
            let start = (libc::sbrk(0) as usize).next_multiple_of(page);
            libc::free(libc::malloc(64));
            let end = libc::sbrk(0) as usize & !(page - 1);
            if end > start {
                libc::madvise(start as *mut libc::c_void, FIRST.min(end - start), MADV_POPULATE_WRITE);
            }
        }
    }
}
