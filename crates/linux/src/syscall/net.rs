//! Sockets.
//!
//! Socket addresses and nearly all option values are the same everywhere. What differs for i386 is `msghdr` with its
//! scatter list, the control messages (a `cmsghdr` starts with a word-sized length and is aligned to words), options and
//! messages with times, and `socketcall`, which i386 programs used for everything until Linux 4.3.
//!
//! All messages go through host structures of ours ([`Message`]), whatever the ABI. Control messages are rewritten
//! between the word sizes ([`control`]); where the sizes are equal that is a copy.

use super::args::{input, int, own, own_mut};
use super::iov::{self, HostIov};
use super::time::Clock64;
use crate::abi::{Wide, x86_64};
use crate::errno::{Errno, SysResult};
use crate::fs::root::Last;
use crate::task::{Abi, Task};
use crate::uaccess::Access;
use x86_64::{Msghdr, Timespec};

pub mod address;
pub mod control;
pub mod options;
pub use options::{getsockopt, setsockopt};

/// Largest socket address (`sizeof(struct sockaddr_storage)`).
const MAX_ADDRESS: usize = 128;
/// Largest control buffer that is taken over, in bytes; the kernel's own limit (`optmem_max`) is far below.
const MAX_CONTROL: u64 = 1 << 18;

/// A socket address argument of `len` bytes for the kernel.
fn plain_address(task: &Task, addr: u64, len: u64) -> Result<usize, Errno> {
    input(task, addr, len as i32 as usize & 0xffff)
}

/// `bind(fd, address, length)`.
pub fn bind(task: &mut Task, a: [u64; 6]) -> SysResult {
    if let Some(name) = address::to_host(task, a[1], a[2], Last::Entry)? {
        return task.syscall_host(libc::SYS_bind, [int(a[0]), name.as_ptr() as usize, name.len(), 0, 0, 0]);
    }
    let address = plain_address(task, a[1], a[2])?;
    task.syscall_host(libc::SYS_bind, [int(a[0]), address, int(a[2]), 0, 0, 0])
}
/// `connect(fd, address, length)`.
pub fn connect(task: &mut Task, a: [u64; 6]) -> SysResult {
    if let Some(name) = address::to_host(task, a[1], a[2], Last::Follow)? {
        return task.syscall_blocking(libc::SYS_connect, [int(a[0]), name.as_ptr() as usize, name.len(), 0, 0, 0]);
    }
    let address = plain_address(task, a[1], a[2])?;
    task.syscall_blocking(libc::SYS_connect, [int(a[0]), address, int(a[2]), 0, 0, 0])
}

/// Calls that answer with an address: `call` gets a host buffer and its length, then both are stored as the kernel's
/// `move_addr_to_user` does it: truncated to the guest's buffer, with the full length.
fn with_address(
    task: &mut Task,
    addr: u64,
    length: u64,
    call: impl FnOnce(&mut Task, usize, usize) -> SysResult,
) -> SysResult {
    if addr == 0 {
        return call(task, 0, 0);
    }
    // Looked at first: for accept it is too late afterwards.
    let room = task.mem.read::<i32>(length)?;
    if room < 0 {
        return Err(Errno::EINVAL);
    }
    let mut buffer = [0u8; MAX_ADDRESS];
    let mut full = MAX_ADDRESS as i32;
    let result = call(task, own_mut(&mut buffer), own_mut(&mut full))?;
    full = address::to_guest(task, &mut buffer, full);
    let used = (room as usize).min(full.max(0) as usize).min(MAX_ADDRESS);
    task.mem.write_bytes(addr, buffer.get(..used).unwrap_or_default())?;
    task.mem.write(length, &full)?;
    Ok(result)
}

/// `accept(fd, address, length)`.
pub fn accept(task: &mut Task, a: [u64; 6]) -> SysResult {
    accept4(task, [a[0], a[1], a[2], 0, 0, 0])
}
/// `accept4(fd, address, length, flags)`.
pub fn accept4(task: &mut Task, a: [u64; 6]) -> SysResult {
    with_address(task, a[1], a[2], |task, address, length| {
        task.syscall_blocking(libc::SYS_accept4, [int(a[0]), address, length, int(a[3]), 0, 0])
    })
}
/// Calls that only ask: the descriptor's errors come first.
fn ask_address(task: &mut Task, nr: libc::c_long, a: &[u64; 6]) -> SysResult {
    let (mut scratch, mut room) = ([0u8; MAX_ADDRESS], MAX_ADDRESS as i32);
    task.syscall_host(nr, [int(a[0]), own_mut(&mut scratch), own_mut(&mut room), 0, 0, 0])?;
    if a[1] == 0 {
        return Err(Errno::EFAULT);
    }
    with_address(task, a[1], a[2], |task, address, length| task.syscall_host(nr, [int(a[0]), address, length, 0, 0, 0]))
}

/// `getsockname(fd, address, length)`.
pub fn getsockname(task: &mut Task, a: [u64; 6]) -> SysResult {
    ask_address(task, libc::SYS_getsockname, &a)
}
/// `getpeername(fd, address, length)`.
pub fn getpeername(task: &mut Task, a: [u64; 6]) -> SysResult {
    ask_address(task, libc::SYS_getpeername, &a)
}
/// `sendto(fd, buf, size, flags, address, length)`.
pub fn sendto(task: &mut Task, a: [u64; 6]) -> SysResult {
    let buf = input(task, a[1], a[2] as usize)?;
    if let Some(name) = address::to_host(task, a[4], a[5], Last::Follow)? {
        let args = [int(a[0]), buf, a[2] as usize, int(a[3]), name.as_ptr() as usize, name.len()];
        return task.syscall_blocking(libc::SYS_sendto, args);
    }
    let address = plain_address(task, a[4], a[5])?;
    task.syscall_blocking(libc::SYS_sendto, [int(a[0]), buf, a[2] as usize, int(a[3]), address, int(a[5])])
}
/// `recvfrom(fd, buf, size, flags, address, length)`.
pub fn recvfrom(task: &mut Task, a: [u64; 6]) -> SysResult {
    let buf = super::args::output(task, a[1], a[2] as usize)?;
    let (address, length) = if a[5] == 0 { (0, 0) } else { (a[4], a[5]) };
    with_address(task, address, length, |task, address, length| {
        task.syscall_blocking(libc::SYS_recvfrom, [int(a[0]), buf, a[2] as usize, int(a[3]), address, length])
    })
}

/// A message header with everything that it points to, on the host's side. It must not move while [`Message::header`]
/// is in use, so that is made last.
#[derive(Debug)]
struct Message {
    guest: Msghdr,
    name: [u8; MAX_ADDRESS],
    name_len: u32,
    iov: HostIov,
    control: Vec<u8>,
}

impl Message {
    /// The guest's header at `addr`, its buffers accessed by `access`.
    fn load(task: &Task, addr: u64, access: Access) -> Result<Message, Errno> {
        let guest = Msghdr::load(&task.mem, task.abi, addr)?;
        if guest.msg_iovlen > iov::UIO_MAXIOV {
            return Err(Errno::EMSGSIZE);
        }
        if guest.msg_namelen < 0 {
            return Err(Errno::EINVAL);
        }
        let iov = iov::load(task, guest.msg_iov, guest.msg_iovlen, access)?;
        let mut message = Message { guest, name: [0; MAX_ADDRESS], name_len: 0, iov, control: Vec::new() };
        if guest.msg_name != 0 {
            message.name_len = MAX_ADDRESS as u32;
        }
        if access == Access::Read {
            message.name_len = if guest.msg_name == 0 { 0 } else { (guest.msg_namelen as u32).min(MAX_ADDRESS as u32) };
            let len = message.name_len as usize;
            task.mem.read_bytes(guest.msg_name, message.name.get_mut(..len).unwrap_or_default())?;
            let given = message.name.get(..len).unwrap_or_default().to_vec();
            if let Some(name) = if len > 0 { address::rewrite(task, given, Last::Follow)? } else { None } {
                message.name_len = name.len() as u32;
                for (to, from) in message.name.iter_mut().zip(name) {
                    *to = from;
                }
            }
            if guest.msg_control != 0 && guest.msg_controllen != 0 {
                if guest.msg_controllen > MAX_CONTROL {
                    return Err(Errno::ENOBUFS);
                }
                let bytes = task.mem.read_vec::<u8>(guest.msg_control, guest.msg_controllen as usize)?;
                message.control = control::to_host(&bytes, task.word())?;
            }
        } else if guest.msg_control != 0 {
            message.control = vec![0; control::host_room(guest.msg_controllen.min(MAX_CONTROL) as usize, task.word())];
        }
        Ok(message)
    }

    /// The host's header; it points into `self`.
    fn header(&mut self) -> libc::msghdr {
        // SAFETY: msghdr is plain data, all zero is valid.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        if self.guest.msg_name != 0 {
            header.msg_name = self.name.as_mut_ptr().cast();
            header.msg_namelen = self.name_len;
        }
        header.msg_iov = self.iov.as_mut_ptr();
        header.msg_iovlen = self.iov.len() as _;
        if !self.control.is_empty() {
            header.msg_control = self.control.as_mut_ptr().cast();
            header.msg_controllen = self.control.len() as _;
        }
        header
    }

    /// Stores what the kernel answered in `header` for the guest's header at `addr`.
    fn store(&self, task: &Task, addr: u64, header: &libc::msghdr) -> Result<(), Errno> {
        let mut guest = self.guest;
        let mut flags = header.msg_flags as u32;
        if guest.msg_name != 0 {
            let mut name = self.name;
            let full = address::to_guest(task, &mut name, header.msg_namelen as i32) as usize;
            let len = full.min(guest.msg_namelen as usize).min(MAX_ADDRESS);
            task.mem.write_bytes(guest.msg_name, name.get(..len).unwrap_or_default())?;
            guest.msg_namelen = full as i32;
        }
        // The C libraries disagree about the width of the length.
        #[allow(clippy::unnecessary_cast)]
        let filled = self.control.get(..header.msg_controllen as usize).unwrap_or_default();
        let room = if guest.msg_control == 0 { 0 } else { guest.msg_controllen as usize };
        let (bytes, truncated) = control::to_guest(filled, task.word(), room);
        if truncated {
            flags |= libc::MSG_CTRUNC as u32;
        }
        task.mem.write_bytes(guest.msg_control, &bytes)?;
        guest.msg_controllen = bytes.len() as u64;
        guest.msg_flags = flags;
        guest.store(&task.mem, task.abi, addr)
    }
}

/// A message for a socket: what is wrong with the descriptor is said before what is wrong with the message.
fn load_for(task: &mut Task, fd: u64, addr: u64, access: Access) -> Result<Message, Errno> {
    Message::load(task, addr, access).or_else(|wrong| {
        let (mut kind, mut len) = (0i32, 4u32);
        let args =
            [int(fd), libc::SOL_SOCKET as usize, libc::SO_TYPE as usize, own_mut(&mut kind), own_mut(&mut len), 0];
        task.syscall_host(libc::SYS_getsockopt, args)?;
        Err(wrong)
    })
}

fn send_one(task: &mut Task, fd: u64, addr: u64, flags: u64) -> SysResult {
    let mut message = load_for(task, fd, addr, Access::Read)?;
    let header = message.header();
    task.syscall_blocking(libc::SYS_sendmsg, [int(fd), own(&header), int(flags), 0, 0, 0])
}
fn receive_one(task: &mut Task, fd: u64, addr: u64, flags: u64) -> SysResult {
    let mut message = load_for(task, fd, addr, Access::Write)?;
    let mut header = message.header();
    // MSG_CMSG_COMPAT is the kernel's own mark.
    let flags = flags & !0x8000_0000;
    let len = task.syscall_blocking(libc::SYS_recvmsg, [int(fd), own_mut(&mut header), int(flags), 0, 0, 0])?;
    message.store(task, addr, &header)?;
    Ok(len)
}

/// `sendmsg(fd, msg, flags)`.
pub fn sendmsg(task: &mut Task, a: [u64; 6]) -> SysResult {
    send_one(task, a[0], a[1], a[2])
}
/// `recvmsg(fd, msg, flags)`.
pub fn recvmsg(task: &mut Task, a: [u64; 6]) -> SysResult {
    receive_one(task, a[0], a[1], a[2])
}

/// Address of the length behind the header of entry `i` of a `mmsghdr` array, and of the header.
fn mmsg_entry(task: &Task, base: u64, i: u64) -> (u64, u64) {
    let header = Msghdr::size(task.abi);
    // The length is a u32; on x86-64 the structure is padded to 8.
    let size = if task.abi == Abi::X86_64 { header + 8 } else { header + 4 };
    let at = base.wrapping_add(i.wrapping_mul(size));
    (at, at.wrapping_add(header))
}

/// `sendmmsg(fd, messages, count, flags)`: an error after the first message is reported by the next call.
pub fn sendmmsg(task: &mut Task, a: [u64; 6]) -> SysResult {
    let count = u64::from(a[2] as u32).min(iov::UIO_MAXIOV);
    for i in 0..count {
        let (header, length) = mmsg_entry(task, a[1], i);
        match send_one(task, a[0], header, a[3]).and_then(|len| task.mem.write(length, &(len as u32))) {
            Ok(()) => {}
            Err(errno) if i == 0 => return Err(errno),
            Err(_) => return Ok(i),
        }
    }
    Ok(count)
}

fn receive_many(task: &mut Task, a: &[u64; 6], layout: Clock64) -> SysResult {
    const MSG_WAITFORONE: u64 = 0x10000;
    let count = u64::from(a[2] as u32).min(iov::UIO_MAXIOV);
    let deadline = layout.read_optional(task, a[4])?;
    if let Some(time) = deadline {
        if time.tv_sec < 0 || !(0..1_000_000_000).contains(&time.tv_nsec) {
            return Err(Errno::EINVAL);
        }
    }
    let start = std::time::Instant::now();
    let mut flags = a[3] & !MSG_WAITFORONE;
    let mut received = 0;
    let mut result = Ok(0);
    while received < count {
        let (header, length) = mmsg_entry(task, a[1], received);
        result =
            receive_one(task, a[0], header, flags).and_then(|len| task.mem.write(length, &(len as u32)).map(|()| 0));
        if result.is_err() {
            break;
        }
        received += 1;
        if a[3] & MSG_WAITFORONE != 0 {
            flags |= libc::MSG_DONTWAIT as u64;
        }
        // The timeout is only looked at between messages (recvmmsg(2), BUGS).
        if let Some(time) = deadline {
            let limit = std::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32);
            let left = limit.saturating_sub(start.elapsed());
            let rest = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            layout.write(task, a[4], &rest)?;
            if left.is_zero() {
                break;
            }
        }
    }
    if received > 0 { Ok(received) } else { result }
}
/// `recvmmsg(fd, messages, count, flags, timeout)`.
pub fn recvmmsg(task: &mut Task, a: [u64; 6]) -> SysResult {
    receive_many(task, &a, Clock64::Native)
}
/// `recvmmsg_time64(fd, messages, count, flags, timeout)`, i386 only.
pub fn recvmmsg_time64(task: &mut Task, a: [u64; 6]) -> SysResult {
    receive_many(task, &a, Clock64::Always)
}

/// `socketcall(call, args)`, i386 only (include/uapi/linux/net.h).
pub fn socketcall(task: &mut Task, a: [u64; 6]) -> SysResult {
    /// Number of arguments of each call.
    const COUNTS: [usize; 21] = [0, 3, 3, 3, 2, 3, 3, 3, 4, 4, 4, 6, 6, 2, 5, 5, 3, 3, 4, 5, 4];
    let call = a[0] as u32 as usize;
    let count = *COUNTS.get(call).filter(|&&count| count > 0).ok_or(Errno::EINVAL)?;
    let mut s = [0u64; 6];
    for (i, value) in task.mem.read_vec::<u32>(a[1], count)?.into_iter().enumerate().take(6) {
        s[i] = value.into();
    }
    let plain = |task: &mut Task, nr: libc::c_long| task.syscall_host(nr, [int(s[0]), int(s[1]), int(s[2]), 0, 0, 0]);
    match call {
        1 => plain(task, libc::SYS_socket),
        2 => bind(task, s),
        3 => connect(task, s),
        4 => plain(task, libc::SYS_listen),
        5 => accept(task, s),
        6 => getsockname(task, s),
        7 => getpeername(task, s),
        8 => {
            let pair = super::args::output(task, s[3], 8)?;
            task.syscall_host(libc::SYS_socketpair, [int(s[0]), int(s[1]), int(s[2]), pair, 0, 0])
        }
        9 => sendto(task, [s[0], s[1], s[2], s[3], 0, 0]),
        10 => recvfrom(task, [s[0], s[1], s[2], s[3], 0, 0]),
        11 => sendto(task, s),
        12 => recvfrom(task, s),
        13 => plain(task, libc::SYS_shutdown),
        14 => setsockopt(task, s),
        15 => getsockopt(task, s),
        16 => sendmsg(task, s),
        17 => recvmsg(task, s),
        18 => accept4(task, s),
        19 => recvmmsg(task, s),
        20 => sendmmsg(task, s),
        _ => Err(Errno::EINVAL),
    }
}
