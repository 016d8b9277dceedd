//! Scatter-gather lists: `struct iovec` of the guest to the host's.

use crate::abi::{Wide, x86_64};
use crate::errno::Errno;
use crate::task::Task;
use crate::uaccess::Access;
use demotic_engine::GuestSpace;
use smallvec::SmallVec;

/// Most entries of one call (`UIO_MAXIOV`).
pub const UIO_MAXIOV: u64 = 1024;

/// A list for the host kernel.
pub type HostIov = SmallVec<[libc::iovec; 8]>;

/// The guest's list of `count` entries at `addr`, for buffers that the kernel accesses by `access`.
///
/// # Errors
/// `EINVAL` for too many entries or a negative length, `EFAULT` (readv(2)).
pub fn load(task: &Task, addr: u64, count: u64, access: Access) -> Result<HostIov, Errno> {
    if count > UIO_MAXIOV {
        return Err(Errno::EINVAL);
    }
    let mut list = HostIov::new();
    for i in 0..count {
        let at = addr.wrapping_add(i.wrapping_mul(x86_64::Iovec::size(task.abi)));
        let entry = x86_64::Iovec::load(&task.mem, task.abi, at)?;
        if signed_length(task, entry.iov_len) < 0 {
            return Err(Errno::EINVAL);
        }
        let len = entry.iov_len as usize;
        let base = if len == 0 { std::ptr::null_mut() } else { task.mem.host(entry.iov_base, len, access)? };
        list.push(libc::iovec { iov_base: base.cast(), iov_len: len });
    }
    Ok(list)
}

/// Like [`load`], for addresses in another process, which are not touched here.
///
/// # Errors
/// As [`load`].
pub fn load_foreign(task: &Task, addr: u64, count: u64) -> Result<HostIov, Errno> {
    if count > UIO_MAXIOV {
        return Err(Errno::EINVAL);
    }
    let mut list = HostIov::new();
    for i in 0..count {
        let at = addr.wrapping_add(i.wrapping_mul(x86_64::Iovec::size(task.abi)));
        let entry = x86_64::Iovec::load(&task.mem, task.abi, at)?;
        let base = task.mem.space().base().wrapping_add(entry.iov_base as usize);
        list.push(libc::iovec { iov_base: base as *mut libc::c_void, iov_len: entry.iov_len as usize });
    }
    Ok(list)
}

/// A length as the kernel's `ssize_t` of the ABI.
fn signed_length(task: &Task, len: u64) -> i64 {
    super::args::long(task, len)
}
