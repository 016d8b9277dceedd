//! Arguments as the ABI means them: extensions, split 64-bit values, pointers for the host.

use crate::errno::Errno;
use crate::task::{Abi, Task};
use crate::uaccess::Access;

/// A `long`: i386's is 32 bits wide and signed.
pub fn long(task: &Task, value: u64) -> i64 {
    match task.abi {
        Abi::X86_64 => value as i64,
        Abi::I386 => (value as i32).into(),
    }
}

/// An `int` as the host's register wants it.
pub fn int(value: u64) -> usize {
    value as i32 as isize as usize
}

/// A 64-bit value in two i386 registers, low half first.
pub fn pair(low: u64, high: u64) -> i64 {
    (low & 0xffff_ffff | high << 32) as i64
}

/// Host pointer to `len` bytes that the kernel reads.
///
/// # Errors
/// `EFAULT` when the range leaves guest space.
pub fn input(task: &Task, addr: u64, len: usize) -> Result<usize, Errno> {
    Ok(task.mem.host(addr, len, Access::Read)? as usize)
}

/// Host pointer to `len` bytes that the kernel writes.
///
/// # Errors
/// `EFAULT` when the range leaves guest space.
pub fn output(task: &Task, addr: u64, len: usize) -> Result<usize, Errno> {
    Ok(task.mem.host(addr, len, Access::Write)? as usize)
}

/// Address of one of our own values for the host kernel to read.
pub fn own<T>(value: &T) -> usize {
    std::ptr::from_ref(value) as usize
}

/// Address of one of our own values for the host kernel to write.
pub fn own_mut<T>(value: &mut T) -> usize {
    std::ptr::from_mut(value) as usize
}
