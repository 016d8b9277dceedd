//! Linux asynchronous input and output (`io_submit` and its family).
//!
//! The context handle of this interface is the address of a ring that the host's kernel maps into the process, and libraries
//! read it. An x86-64 program on a 64-bit host can do that wherever it lies, because guest addresses are host addresses
//! there; for i386 programs it would lie too high, so they get `ENOSYS`, which libraries take for a kernel without the
//! feature. Control blocks (`struct iocb`) and events are the same for all 64-bit ABIs.

use super::args::{input, int, output, own, own_mut};
use super::time::{Clock64, own_optional};
use crate::errno::{Errno, SysResult};
use crate::task::{Abi, Task};

/// Sizes of `struct io_event` and `struct iocb` in bytes.
const EVENT: usize = 32;
const IOCB: usize = 64;

/// The number that not every version of `libc` has.
const IO_PGETEVENTS: libc::c_long = if cfg!(target_arch = "x86_64") { 333 } else { 292 };

fn check(task: &Task) -> Result<(), Errno> {
    if task.abi == Abi::X86_64 && cfg!(target_pointer_width = "64") { Ok(()) } else { Err(Errno::ENOSYS) }
}

/// `io_setup(events, context)`.
pub fn io_setup(task: &mut Task, a: [u64; 6]) -> SysResult {
    check(task)?;
    let mut context: usize = task.mem.read::<u64>(a[1])? as usize;
    task.syscall_host(libc::SYS_io_setup, [int(a[0]), own_mut(&mut context), 0, 0, 0, 0])?;
    task.mem.write(a[1], &(context as u64))?;
    Ok(0)
}
/// `io_destroy(context)`.
pub fn io_destroy(task: &mut Task, a: [u64; 6]) -> SysResult {
    check(task)?;
    task.syscall_host(libc::SYS_io_destroy, [a[0] as usize, 0, 0, 0, 0, 0])
}
/// `io_submit(context, count, blocks)`. Memory that blocks ask to be read into is written by the kernel later; translated
/// code there is dropped now.
pub fn io_submit(task: &mut Task, a: [u64; 6]) -> SysResult {
    check(task)?;
    let count = (a[1] as i64).clamp(0, 65536) as usize;
    let list = input(task, a[2], count * 8)?;
    for i in 0..count as u64 {
        let Ok(block) = task.mem.read::<u64>(a[2].wrapping_add(i * 8)) else { break };
        // struct iocb: opcode at 16, buffer at 24, length at 32; opcodes 0 and 7 read (linux/aio_abi.h).
        let Ok(words) = task.mem.read::<[u64; 5]>(block) else { break };
        match words[2] as u16 {
            0 => {
                output(task, words[3], words[4] as usize)?;
            }
            7 => {
                super::iov::load(task, words[3], words[4], crate::uaccess::Access::Write)?;
            }
            _ => {}
        }
    }
    task.syscall_blocking(libc::SYS_io_submit, [a[0] as usize, a[1] as usize, list, 0, 0, 0])
}
/// `io_cancel(context, block, result)`.
pub fn io_cancel(task: &mut Task, a: [u64; 6]) -> SysResult {
    check(task)?;
    let (block, result) = (input(task, a[1], IOCB)?, output(task, a[2], EVENT)?);
    task.syscall_host(libc::SYS_io_cancel, [a[0] as usize, block, result, 0, 0, 0])
}
/// `io_pgetevents(context, least, most, events, timeout, mask)`: the mask is a pointer and a size.
pub fn io_pgetevents(task: &mut Task, a: [u64; 6]) -> SysResult {
    check(task)?;
    let events = output(task, a[3], (a[2] as i64).clamp(0, 1 << 20) as usize * EVENT)?;
    let time = Clock64::Native.read_optional(task, a[4])?;
    let mask = match a[5] {
        0 => None,
        at => match task.mem.read::<[u64; 2]>(at)? {
            [0, _] => None,
            [mask, 8] => Some(task.mem.read::<u64>(mask)?),
            _ => return Err(Errno::EINVAL),
        },
    };
    crate::signal::with_mask(task, mask, |task, mask| {
        let set = [mask, 8];
        let args = [a[0] as usize, a[1] as usize, a[2] as usize, events, own_optional(&time), own(&set)];
        task.syscall_blocking(IO_PGETEVENTS, args)
    })
    .map_err(|e| if e == Errno::ERESTARTSYS { Errno::EINTR } else { e })
}
/// `io_getevents(context, least, most, events, timeout)`.
pub fn io_getevents(task: &mut Task, a: [u64; 6]) -> SysResult {
    check(task)?;
    let events = output(task, a[3], (a[2] as i64).clamp(0, 1 << 20) as usize * EVENT)?;
    let time = Clock64::Native.read_optional(task, a[4])?;
    let args = [a[0] as usize, a[1] as usize, a[2] as usize, events, own_optional(&time), 0];
    task.syscall_blocking(libc::SYS_io_getevents, args)
        .map_err(|e| if e == Errno::ERESTARTSYS { Errno::EINTR } else { e })
}
