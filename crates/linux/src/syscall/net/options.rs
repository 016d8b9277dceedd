//! `setsockopt` and `getsockopt`: values are passed on, except those that contain a `timeval` or a pointer.

use super::super::args::{input, int, output, own, own_mut};
use crate::abi::host::{Native, from_native, to_native};
use crate::abi::{Abi, Wide, x86_64};
use crate::errno::{Errno, SysResult};
use crate::task::Task;
use crate::uaccess::Access;
use x86_64::{SockFprog, Timeval};

const SOL_SOCKET: i32 = 1;
const SO_RCVTIMEO_OLD: i32 = 20;
const SO_SNDTIMEO_OLD: i32 = 21;
const SO_ATTACH_FILTER: i32 = 26;
const SO_ATTACH_REUSEPORT_CBPF: i32 = 51;

/// `setsockopt(fd, level, option, value, length)`.
pub fn setsockopt(task: &mut Task, a: [u64; 6]) -> SysResult {
    let (level, option, length) = (a[1] as i32, a[2] as i32, a[4] as u32 as usize);
    let head = [int(a[0]), int(a[1]), int(a[2])];
    let call = |task: &Task, value: usize, length: usize| {
        task.syscall_host(libc::SYS_setsockopt, [head[0], head[1], head[2], value, length, 0])
    };
    if level == SOL_SOCKET && (a[4] as i32) >= 0 {
        match option {
            SO_RCVTIMEO_OLD | SO_SNDTIMEO_OLD => {
                if (length as u64) < Timeval::size(task.abi) {
                    return Err(Errno::EINVAL);
                }
                let time = to_native(&Timeval::load(&task.mem, task.abi, a[3])?)?;
                return call(task, own(&time), size_of_val(&time));
            }
            SO_ATTACH_FILTER | SO_ATTACH_REUSEPORT_CBPF => {
                if length as u64 != SockFprog::size(task.abi) {
                    return Err(Errno::EINVAL);
                }
                let program = SockFprog::load(&task.mem, task.abi, a[3])?;
                let filter = task.mem.host(program.filter, usize::from(program.len) * 8, Access::Read)?;
                // SAFETY: sock_fprog is plain data, all zero is valid.
                let mut host: libc::sock_fprog = unsafe { std::mem::zeroed() };
                host.len = program.len;
                host.filter = filter.cast();
                return call(task, own(&host), size_of_val(&host));
            }
            _ => {}
        }
    }
    let value = input(task, a[3], length)?;
    call(task, value, a[4] as i32 as usize)
}

/// `getsockopt(fd, level, option, value, length)`.
pub fn getsockopt(task: &mut Task, a: [u64; 6]) -> SysResult {
    let head = [int(a[0]), int(a[1]), int(a[2])];
    if a[1] as i32 == SOL_SOCKET && matches!(a[2] as i32, SO_RCVTIMEO_OLD | SO_SNDTIMEO_OLD) && task.abi == Abi::I386 {
        let room = task.mem.read::<i32>(a[4])?;
        if room < 0 {
            return Err(Errno::EINVAL);
        }
        let mut time = Native::<Timeval>::default();
        let mut length = size_of_val(&time) as u32;
        let args = [head[0], head[1], head[2], own_mut(&mut time), own_mut(&mut length), 0];
        task.syscall_host(libc::SYS_getsockopt, args)?;
        let narrow = from_native::<Timeval>(&time).narrow()?;
        let bytes = zerocopy::IntoBytes::as_bytes(&narrow);
        let used = bytes.len().min(room as usize);
        task.mem.write_bytes(a[3], bytes.get(..used).unwrap_or_default())?;
        task.mem.write(a[4], &(used as u32))?;
        return Ok(0);
    }
    let room = task.mem.read::<u32>(a[4])? as usize;
    // A negative length is the kernel's to refuse.
    let value = output(task, a[3], if room >> 31 == 0 { room } else { 0 })?;
    let length = output(task, a[4], 4)?;
    task.syscall_host(libc::SYS_getsockopt, [head[0], head[1], head[2], value, length, 0])
}
