//! Device requests.
//!
//! Request numbers are the same on x86 and ARM, and most arguments are integers, byte buffers or structures without
//! words and pointers, terminals above all: those are passed on. For i386 a table lists the requests whose structure
//! contains `long`s or pointers, with the way to convert them; requests that encode their structure's size have a number of
//! their own for i386 then.
//!
//! i386 requests that no rule of [`is_known`] lets through are refused with ENOTTY, as by a device that does not know them, and with a line under
//! `--log`.
//!
//! Absent: block device passthrough (`SG_IO`), sound, and conversion of the structures of video and graphics devices that have pointers.

use super::args::{int, output, own_mut};
use crate::abi::flags;
use crate::errno::{Errno, SysResult};
use crate::task::{Abi, Task};
use crate::uaccess::Access;
use demotic_engine::GuestSpace;
use std::sync::{Mutex, PoisonError};

/// What an i386 request's argument is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Argument {
    /// The same structure under another number.
    Renumbered(u32),
    /// `long *`, written by the kernel.
    LongOut(u32),
    /// `struct ifreq` with nothing but plain data in the union.
    Ifreq,
    /// `struct ifreq` with a pointer in the union.
    IfreqPointer,
    /// `struct ifconf`: length and a pointer to an array of `ifreq`.
    Ifconf,
}

/// Requests that differ for i386: (i386 number, what to do).
const I386: &[(u32, Argument)] = &[
    // FS_IOC32_GETFLAGS, FS_IOC32_SETFLAGS, FS_IOC32_GETVERSION, FS_IOC32_SETVERSION: an int in fact
    (0x8004_6601, Argument::Renumbered(0x8008_6601)),
    (0x4004_6602, Argument::Renumbered(0x4008_6602)),
    (0x8004_7601, Argument::Renumbered(0x8008_7601)),
    (0x4004_7602, Argument::Renumbered(0x4008_7602)),
    // BLKGETSIZE64, BLKBSZGET, BLKBSZSET: a 64-bit count and an int in fact
    (0x8004_1272, Argument::Renumbered(0x8008_1272)),
    (0x8004_1270, Argument::Renumbered(0x8008_1270)),
    (0x4004_1271, Argument::Renumbered(0x4008_1271)),
    // BLKGETSIZE, BLKRAGET, BLKFRAGET
    (0x1260, Argument::LongOut(0x1260)),
    (0x1263, Argument::LongOut(0x1263)),
    (0x1265, Argument::LongOut(0x1265)),
    // TUNSETIFF, TUNGETIFF
    (0x4004_54ca, Argument::Ifreq),
    (0x8004_54d2, Argument::Ifreq),
    (0x8912, Argument::Ifconf),
    // SIOCETHTOOL
    (0x8946, Argument::IfreqPointer),
];

/// `SIOCGIFNAME` to `SIOCSIFTXQLEN`, bridges and bonds: all take an `ifreq`.
fn is_ifreq(request: u32) -> bool {
    matches!(request, 0x8910 | 0x8913..=0x893b | 0x8940..=0x894f | 0x8970 | 0x8971 | 0x8990..=0x8993 | 0x89b0 | 0x89b1)
}

/// Requests whose argument is an integer, for hosts where guest addresses have an offset.
fn is_integer(request: u32) -> bool {
    matches!(
        request,
        0x5409..=0x540c // TCSBRK TCXONC TCFLSH TIOCEXCL
            | 0x540d | 0x540e // TIOCNXCL TIOCSCTTY
            | 0x5422 | 0x5425 | 0x5427 | 0x5428 // TIOCNOTTY TCSBRKP TIOCSBRK TIOCCBRK
            | 0x5437 | 0x5440 | 0x5441 // TIOCVHANGUP TIOCGEXCL.. TIOCGPTPEER
            | 0x5450 | 0x5451 // FIONCLEX FIOCLEX
            | 0x4b2f | 0x4b30..=0x4b33 | 0x4b3a | 0x4b3b | 0x4b45 // KIOCSOUND KDMKTONE KDSETLED KDSETMODE KDSKBMODE
            | 0x5605..=0x5608 // VT_ACTIVATE VT_WAITACTIVE
            | 0x4c00 | 0x4c01 | 0x4c06..=0x4c09 // LOOP_SET_FD LOOP_CLR_FD ...
            | 0x4004_9409 // FICLONE
            | 0x125d..=0x125f | 0x1261 | 0x1262 | 0x1264 // BLKROSET.. BLKFLSBUF BLKRASET BLKFRASET
    )
}

/// Bytes that the kernel may write for a request, as far as its number says so (include/uapi/asm-generic/ioctl.h).
fn output_size(request: u32) -> usize {
    match request {
        // TCGETS and its relatives: struct termios is 36 bytes, termios2 44, winsize 8.
        0x5401 | 0x5405 => 60,
        _ if request >> 31 == 1 => (request >> 16 & 0x3fff) as usize,
        _ => 64,
    }
}

/// Whether a request may be handed on: its structure is the same for the guest and the host, or there is none. `wide`: an
/// x86-64 program on a 64-bit host, for which that is so wherever a structure is not the processor's.
fn is_known(request: u32, wide: bool) -> bool {
    let (kind, number, has_size) = (request >> 8 & 0xff, request & 0xff, request >> 16 != 0);
    match kind as u8 {
        // KVM and VFIO's passthrough: registers and pages of an x86 machine.
        0xae => false,
        _ if wide => true,
        // Terminals and TUN.
        b'T' => !matches!(request, 0x4010_54d5 | 0x8010_54d6),
        // Sockets (those with pointers are converted), files and file systems, encryption of files.
        0x89 | b'f' | b'X' | b'v' => true,
        // Seccomp's listeners, as far as `listener::ioctl` does not know them.
        b'!' => true,
        // IOCTL_VM_SOCKETS_GET_LOCAL_CID: an `unsigned int`.
        7 => request == 0x7b9,
        // Block devices but for BLKPG, whose argument has a pointer.
        0x12 => number != 0x69,
        // Loop devices but for the old status, which has a `dev_t` and `long`s.
        0x4c => !matches!(number, 2 | 3),
        // Clones, and what btrfs made of `int`s.
        0x94 => matches!(number, 3 | 9 | 12 | 13 | 54),
        // Input devices but for force feedback, whose effects have a pointer.
        b'E' => !matches!(number, 0x80),
        b'H' | b'R' => has_size || kind == u32::from(b'R'),
        // Clocks but for the rates, which are `long`s.
        b'p' => !matches!(number, 0x0b..=0x0e),
        // Consoles: numbers only. Video for Linux: what has no pointers and times.
        0x4b => is_integer(request) || matches!(number, 0x31..=0x33 | 0x3b | 0x44 | 0x62 | 0x64 | 0x65),
        b'V' if !has_size => true,
        b'V' => matches!(number, 0 | 2 | 8 | 18 | 19 | 21..=28 | 33..=40 | 46 | 47 | 56..=60 | 63 | 67 | 68 | 74 | 75),
        // Render nodes: version and unique name have pointers; other structures were made for both.
        b'd' => number > 5,
        // Namespaces, watchdogs, timerfd, inotify and pid descriptors, sync files, DMA heaps.
        0xb7 | b'W' | b'I' | 0xff | b'>' => true,
        _ => false,
    }
}

/// Says once per request that it is refused, where that was asked for.
fn refuse(task: &Task, fd: u64, request: u32) -> SysResult {
    static SAID: Mutex<Vec<u32>> = Mutex::new(Vec::new());
    if task.process.options.log {
        let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
        if !said.contains(&request) {
            said.push(request);
            demotic_host::log::item(format_args!("demotic: ioctl request {request:#x} is not known here: ENOTTY"));
        }
    }
    // A descriptor that is none says so first.
    task.syscall_host(libc::SYS_fcntl, [int(fd), libc::F_GETFD as usize, 0, 0, 0, 0])?;
    Err(Errno::ENOTTY)
}

/// `ioctl(fd, request, argument)`.
pub fn ioctl(task: &mut Task, a: [u64; 6]) -> SysResult {
    let request = a[1] as u32;
    if let Some(result) = crate::seccomp::listener::ioctl(task, &a) {
        return result;
    }
    if task.abi == Abi::I386 {
        let special = I386.iter().find(|entry| entry.0 == request).map(|entry| entry.1);
        let special = special.or(is_ifreq(request).then_some(Argument::Ifreq));
        if let Some(argument) = special {
            return convert(task, &a, request, argument);
        }
    }
    if !is_known(request, task.abi == Abi::X86_64 && cfg!(target_pointer_width = "64")) {
        return refuse(task, a[0], request);
    }
    // TIOCGPTPEER takes open flags.
    if request == 0x5441 {
        let flags = flags::open_to_host(a[2] as u32);
        return call(task, a[0], request, flags as usize);
    }
    let argument = if is_integer(request) {
        a[2] as usize
    } else {
        match task.mem.host(a[2], output_size(request), Access::Write) {
            Ok(pointer) => pointer as usize,
            // Not a pointer into guest memory: an integer, or the kernel will say EFAULT.
            Err(_) if task.mem.space().base() == 0 => a[2] as usize,
            Err(errno) => return Err(errno),
        }
    };
    call(task, a[0], request, argument)
}

fn call(task: &mut Task, fd: u64, request: u32, argument: usize) -> SysResult {
    // Requests may sleep: TCSBRK (tcdrain), reads from a terminal's foreground group, FIFREEZE.
    task.syscall_blocking(libc::SYS_ioctl, [int(fd), request as usize, argument, 0, 0, 0])
}

/// An i386 request with a structure of its own.
fn convert(task: &mut Task, a: &[u64; 6], request: u32, argument: Argument) -> SysResult {
    match argument {
        Argument::Renumbered(number) => {
            let pointer = output(task, a[2], 8)?;
            call(task, a[0], number, pointer)
        }
        Argument::LongOut(number) => {
            let mut value = 0usize;
            let result = call(task, a[0], number, own_mut(&mut value))?;
            task.mem.write(a[2], &u32::try_from(value).map_err(|_| Errno::EFBIG)?)?;
            Ok(result)
        }
        Argument::Ifreq | Argument::IfreqPointer => {
            // 16 bytes of name; a union of 16 bytes on i386, 24 on 64-bit hosts.
            let mut host = [0u8; 40];
            let guest: [u8; 32] = task.mem.read(a[2])?;
            host[..32].copy_from_slice(&guest);
            if argument == Argument::IfreqPointer {
                let pointer = u32::from_le_bytes([guest[16], guest[17], guest[18], guest[19]]);
                let pointer = task.mem.host(pointer.into(), 0, Access::Write)? as usize;
                host[16..32].fill(0);
                host[16..16 + size_of::<usize>()].copy_from_slice(&pointer.to_ne_bytes());
            }
            let result = call(task, a[0], request, own_mut(&mut host))?;
            let back = if argument == Argument::IfreqPointer { &host[..16] } else { &host[..32] };
            task.mem.write_bytes(a[2], back)?;
            Ok(result)
        }
        Argument::Ifconf => interfaces(task, a),
    }
}

/// `SIOCGIFCONF`: the array has entries of 32 bytes for i386 and of 40 on 64-bit hosts.
fn interfaces(task: &mut Task, a: &[u64; 6]) -> SysResult {
    const ENTRY: usize = size_of::<libc::ifreq>();
    let [room, pointer] = task.mem.read::<[u32; 2]>(a[2])?;
    let count = (room as usize / 32).min(1024);
    let mut list = vec![0u8; count * ENTRY];
    // SAFETY: ifconf is plain data, all zero is valid.
    let mut config: libc::ifconf = unsafe { std::mem::zeroed() };
    config.ifc_len = list.len() as i32;
    if pointer != 0 {
        config.ifc_ifcu.ifcu_buf = list.as_mut_ptr().cast();
    }
    let result = call(task, a[0], 0x8912, own_mut(&mut config))?;
    let filled = config.ifc_len.max(0) as usize / ENTRY;
    if pointer != 0 {
        for (i, entry) in list.chunks_exact(ENTRY).take(filled).enumerate() {
            let at = u64::from(pointer).wrapping_add(i as u64 * 32);
            task.mem.write_bytes(at, entry.get(..32).unwrap_or_default())?;
        }
    }
    task.mem.write(a[2], &((filled * 32) as u32))?;
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_classes() {
        // TCGETS, TIOCGWINSZ, FIONREAD and TIOCSPGRP are pointers, TCFLSH an integer.
        assert!(![0x5401, 0x5413, 0x541b, 0x5410].into_iter().any(is_integer));
        assert!(is_integer(0x540b));
        // SIOCGIFADDR is an ifreq, SIOCGIFCONF is not.
        assert!(is_ifreq(0x8915) && !is_ifreq(0x8912));
        // VT_GETSTATE and VIDIOC_QUERYCAP go on for i386, VIDIOC_QBUF (times, pointers), SG_IO and KVM's do not; x86-64 has only the last in its way.
        assert!(is_known(0x7b9, false) && !is_known(0x7b8, false));
        assert!(is_known(0x5603, false) && is_known(0x8068_5600, false) && is_known(0x5401, false));
        assert!(![0xc044_560f, 0x2285, 0xae01].into_iter().any(|request| is_known(request, false)));
        assert!(is_known(0xc044_560f, true) && is_known(0x2285, true) && !is_known(0xae01, true));
        // TIOCGPTN: _IOR('T', 0x30, unsigned int)
        assert_eq!(output_size(0x8004_5430), 4);
    }
}
