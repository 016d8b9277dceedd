//! io_uring_setup(2), io_uring_enter(2), io_uring_register(2): the rings are memory shared with the host's kernel, and what stands in their entries goes
//! there unseen. So it has to be the same for both: x86-64 guests on x86-64 hosts. With a guest root the kernel would look paths up in the host's, so
//! there is none then; a buffer on a page with translated code that is write-protected gets EFAULT.

use crate::errno::{Errno, SysResult};
use crate::signal::with_mask;
use crate::task::{Abi, Task};
use crate::uaccess::Access;
use demotic_host::signal::Set;

fn check(task: &Task) -> Result<(), Errno> {
    // The rings are mapped where the host's kernel wants them, in its pages.
    let pages = !task.process.space.pages().is_coarse();
    let same = cfg!(target_arch = "x86_64") && task.abi == Abi::X86_64 && pages;
    if same && !task.process.root.is_active() && !task.seccomp.is_active() { Ok(()) } else { Err(Errno::ENOSYS) }
}

fn int(value: u64) -> usize {
    value as i32 as isize as usize
}

/// `io_uring_setup(entries, params)`.
pub fn setup(task: &mut Task, a: [u64; 6]) -> SysResult {
    const PARAMS: usize = 120;
    check(task)?;
    let params = task.mem.host(a[1], PARAMS, Access::Write)? as usize;
    task.syscall_host(libc::SYS_io_uring_setup, [a[0] as u32 as usize, params, 0, 0, 0, 0])
}

/// `io_uring_register(fd, opcode, arg, count)`.
pub fn register(task: &mut Task, a: [u64; 6]) -> SysResult {
    check(task)?;
    let arg = task.mem.host(a[2], 1, Access::Write)? as usize;
    task.syscall_host(libc::SYS_io_uring_register, [int(a[0]), a[1] as u32 as usize, arg, a[3] as u32 as usize, 0, 0])
}

/// `io_uring_enter(fd, to_submit, min_complete, flags, arg, size)`: the last two are a mask, or a structure with a mask and a timeout.
pub fn enter(task: &mut Task, a: [u64; 6]) -> SysResult {
    const EXT_ARG: u64 = 8;
    check(task)?;
    let [fd, submit, complete, flags, at, size] = a;
    let mut extended = [0u64; 3];
    let mask_at = if flags & EXT_ARG == 0 {
        at
    } else {
        // struct io_uring_getevents_arg: mask, its size (and padding), timespec.
        if size != 24 {
            return Err(Errno::EINVAL);
        }
        extended = task.mem.read(at)?;
        extended[0]
    };
    let mask_size = if flags & EXT_ARG == 0 { size } else { extended[1] & 0xffff_ffff };
    if mask_at != 0 && mask_size != 8 {
        return Err(Errno::EINVAL);
    }
    let mask = if mask_at == 0 { None } else { Some(task.mem.read::<Set>(mask_at)?) };
    with_mask(task, mask, |task, mask| {
        extended[0] = mask as u64;
        let (arg, size) = match flags & EXT_ARG {
            0 => (mask, 8),
            _ => (extended.as_ptr() as usize, 24),
        };
        let args = [int(fd), submit as u32 as usize, complete as u32 as usize, flags as u32 as usize, arg, size];
        match task.syscall_blocking(libc::SYS_io_uring_enter, args) {
            // Never restarted: what was submitted is.
            Err(Errno::ERESTARTSYS) => Err(Errno::EINTR),
            result => result,
        }
    })
}
