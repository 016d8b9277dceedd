//! `fcntl`: commands with plain integers go straight through; record locks have their own layout per ABI; status flags
//! are renumbered.

use super::args::{int, output, own_mut};
use super::kernel::FCNTL;
use crate::abi::{Wide, flags, i386, x86_64};
use crate::errno::{Errno, SysResult};
use crate::task::{Abi, Task};

const F_GETLK: i32 = 5;
const F_SETLK: i32 = 6;
const F_SETLKW: i32 = 7;
const F_GETOWN: i32 = 9;
const F_SETOWN_EX: i32 = 15;
const F_GETOWN_EX: i32 = 16;
const F_GETOWNER_UIDS: i32 = 17;
const F_GETLK64: i32 = 12;
const F_SETLK64: i32 = 13;
const F_SETLKW64: i32 = 14;
const F_OFD_GETLK: i32 = 36;
const F_OFD_SETLKW: i32 = 38;
const F_GET_RW_HINT: i32 = 1035;
const F_SET_FILE_RW_HINT: i32 = 1038;

/// The host's record lock with 64-bit offsets: the canonical one on 64-bit hosts; on ARM the offsets are aligned to 8,
/// which makes the same structure, except for the unused word that pads the first field there as well.
type HostLock = x86_64::Flock;

/// A lock command on the host, by its classical number (5 to 7) or the OFD one (36 to 38).
fn lock(task: &mut Task, fd: u64, command: i32, lock: &mut HostLock) -> SysResult {
    let number = if cfg!(target_pointer_width = "32") && command <= F_SETLKW { command + 7 } else { command };
    let args = [int(fd), number as usize, own_mut(lock), 0, 0, 0];
    if matches!(command, F_SETLKW | F_OFD_SETLKW) {
        task.syscall_blocking(FCNTL, args)
    } else {
        task.syscall_host(FCNTL, args)
    }
}

fn from_flock64(n: &i386::Flock64) -> HostLock {
    HostLock {
        l_type: n.l_type,
        l_whence: n.l_whence,
        l_start: n.l_start,
        l_len: n.l_len,
        l_pid: n.l_pid,
        ..Default::default()
    }
}

fn to_flock64(l: &HostLock) -> i386::Flock64 {
    i386::Flock64 { l_type: l.l_type, l_whence: l.l_whence, l_start: l.l_start, l_len: l.l_len, l_pid: l.l_pid }
}

/// A lock command with the guest's structure of the ABI's `long` width, or i386's `flock64`.
fn guest_lock(task: &mut Task, a: &[u64; 6], command: i32, flock64: bool) -> SysResult {
    let mut value =
        if flock64 { from_flock64(&task.mem.read(a[2])?) } else { HostLock::load(&task.mem, task.abi, a[2])? };
    let result = lock(task, a[0], command, &mut value)?;
    if matches!(command, F_GETLK | F_OFD_GETLK) {
        if flock64 {
            task.mem.write(a[2], &to_flock64(&value))?;
        } else if value.l_type as i32 == libc::F_UNLCK {
            // Nothing conflicts: only the type changes, the range stays as it was and always fits.
            task.mem.write(a[2], &value.l_type)?;
        } else {
            value.store(&task.mem, task.abi, a[2])?;
        }
    }
    Ok(result)
}

/// `fcntl(fd, command, arg)`, and `fcntl64`: a 64-bit kernel serves both i386 numbers by the same function
/// (arch/x86/entry/syscalls/syscall_32.tbl).
pub fn fcntl(task: &mut Task, a: [u64; 6]) -> SysResult {
    let command = a[1] as i32;
    match command {
        F_GETLK | F_SETLK | F_SETLKW => guest_lock(task, &a, command, false),
        F_GETLK64 | F_SETLK64 | F_SETLKW64 if task.abi == Abi::I386 => guest_lock(task, &a, command - 7, true),
        F_OFD_GETLK..=F_OFD_SETLKW => guest_lock(task, &a, command, task.abi == Abi::I386),
        F_GETLK64 | F_SETLK64 | F_SETLKW64 => Err(Errno::EINVAL),
        libc::F_GETFL => {
            let host = task.syscall_host(FCNTL, [int(a[0]), command as usize, 0, 0, 0, 0])?;
            let mut shown = flags::open_to_guest(host as u32);
            if task.abi == Abi::I386 {
                // The host forces this one on every file of a 64-bit process; who opened without it must not see it.
                shown &= !flags::x86::O_LARGEFILE;
            }
            Ok(shown.into())
        }
        libc::F_SETFL => {
            let host = flags::open_to_host(a[2] as u32);
            task.syscall_host(FCNTL, [int(a[0]), command as usize, host as usize, 0, 0, 0])
        }
        // A process group is the negative number, which may look like an error: asked for in the other form.
        F_GETOWN => {
            const GROUP: i32 = 2;
            let mut owner = [0i32; 2];
            task.syscall_host(FCNTL, [int(a[0]), F_GETOWN_EX as usize, own_mut(&mut owner), 0, 0, 0])?;
            Ok(if owner[0] == GROUP { -i64::from(owner[1]) } else { owner[1].into() } as u64)
        }
        F_SETOWN_EX | F_GETOWN_EX | F_GETOWNER_UIDS | F_GET_RW_HINT..=F_SET_FILE_RW_HINT => {
            let pointer = output(task, a[2], 8)?;
            task.syscall_host(FCNTL, [int(a[0]), command as usize, pointer, 0, 0, 0])
        }
        _ => task.syscall_host(FCNTL, [int(a[0]), command as usize, super::args::long(task, a[2]) as usize, 0, 0, 0]),
    }
}
