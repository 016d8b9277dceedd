//! Listeners: SECCOMP_RET_USER_NOTIF hands a call to whoever holds the descriptor that SECCOMP_FILTER_FLAG_NEW_LISTENER gave (seccomp_unotify(2);
//! kernel/seccomp.c, `seccomp_do_user_notification`, `seccomp_notify_ioctl`).
//!
//! The descriptor is one of the host's kernel. With the guest's filter the thread gets a host filter of five instructions, which lets everything
//! through but calls whose number has a mark: no call of Linux has such a number. A guest's call that its own filter gives to the listener is made on the host
//! under its marked number, and so the kernel does what it is about: the queue, the notifier's thread id as its reader sees it, interruption by signals, who is
//! in which state, poll(2), descriptors put into the notifier, inheritance by children and programs, and the end of a listener or of the last one who has its filter.
//!
//! The marked number and the arguments carry the guest's call, without any memory that a supervisor had to have the right to read: the low bits are the
//! guest's number, its ABI is one bit, the arguments are the arguments. The instruction pointer travels in the upper 16 bits of three arguments that are
//! sign extensions of 48 bits, as numbers and addresses are; which three, the number says. Where there are no such three, and on 32-bit hosts, it is 0.
//!
//! The supervisor's Demotic translates what it reads, and replaces SECCOMP_USER_NOTIF_FLAG_CONTINUE by an error that is none of Linux's: the host must
//! not make the marked call. So supervisor and notifier have to run in Demotic both; a listener that goes to a program of the host shows it marked calls.

use crate::abi::Abi;
use crate::errno::{Errno, SysResult};
use crate::syscall::args::{int, own, own_mut};
use crate::task::Task;

/// Flags of SECCOMP_SET_MODE_FILTER that concern listeners (linux/seccomp.h).
pub mod flag {
    #![allow(missing_docs)]
    pub const NEW_LISTENER: u64 = 8;
    pub const WAIT_KILLABLE_RECV: u64 = 32;
}

/// A call on its way to a listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// The table that its number is of.
    pub abi: Abi,
    /// Its number.
    pub nr: u32,
    /// The address behind its instruction.
    pub ip: u64,
    /// Its arguments.
    pub args: [u64; 6],
}

/// The upper three bits of a marked number, and what they are.
const KIND: u32 = 0xe000_0000;
const MARK: u32 = 0x2000_0000;
/// The call came by the i386 entry.
const BY_I386: u32 = 1 << 28;
/// The guest's number has the bit of the x32 ABI.
const X32: u32 = 1 << 27;
const X32_GUEST: u32 = 0x4000_0000;
/// The first of six bits: which arguments carry a part of the instruction pointer.
const PARTS: u32 = 16;
const NUMBER: u32 = 0xffff;

/// The answer of a supervisor that wants the call made: no errno of Linux's.
const CONTINUE: i32 = 3907;

/// A value whose upper 16 bits say nothing.
fn extended(value: u64) -> u64 {
    ((value << 16) as i64 >> 16) as u64
}

impl Call {
    /// Its number and arguments on the host; `None` for a number that no table of Linux can have.
    fn marked(&self) -> Option<(u32, [u64; 6])> {
        if self.nr & !(NUMBER | X32_GUEST) != 0 {
            return None;
        }
        let mut nr = MARK | self.nr & NUMBER;
        nr |= if self.abi == Abi::I386 { BY_I386 } else { 0 };
        nr |= if self.nr & X32_GUEST != 0 { X32 } else { 0 };
        let mut args = self.args;
        let free: Vec<usize> = (0..6).filter(|&i| extended(args[i]) == args[i]).take(3).collect();
        if cfg!(target_pointer_width = "64") && free.len() == 3 {
            for (part, &i) in free.iter().enumerate() {
                args[i] = args[i] & 0xffff_ffff_ffff | (self.ip >> (16 * part) & 0xffff) << 48;
                nr |= 1 << (PARTS + i as u32);
            }
        }
        Some((nr, args))
    }

    /// The call that a marked one is; `None` for others.
    fn unmarked(nr: u32, mut args: [u64; 6]) -> Option<Call> {
        if nr & KIND != MARK {
            return None;
        }
        let (mut ip, mut part) = (0, 0);
        for (i, arg) in args.iter_mut().enumerate() {
            if nr >> (PARTS + i as u32) & 1 != 0 {
                ip |= (*arg >> 48).checked_shl(16 * part).unwrap_or(0);
                part += 1;
                *arg = extended(*arg);
            }
        }
        let abi = if nr & BY_I386 != 0 { Abi::I386 } else { Abi::X86_64 };
        Some(Call { abi, nr: nr & NUMBER | if nr & X32 != 0 { X32_GUEST } else { 0 }, ip, args })
    }
}

const LOAD_NUMBER: libc::sock_filter = libc::sock_filter { code: 0x20, jt: 0, jf: 0, k: 0 };
const PASS: libc::sock_filter = libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: super::ret::ALLOW };

fn install(task: &Task, flags: u64, program: &mut [libc::sock_filter]) -> SysResult {
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    let args = [libc::SECCOMP_SET_MODE_FILTER as usize, flags as usize, own(&program), 0, 0, 0];
    task.syscall_host(libc::SYS_seccomp, args)
}

/// Makes a listener for the calling thread's newest filter, as these flags of the guest's want it.
///
/// # Errors
/// Those of the kernel; EINVAL where it has no listeners.
pub fn open(task: &Task, flags: u64) -> SysResult {
    let mut program = [
        LOAD_NUMBER,
        libc::sock_filter { code: 0x54, jt: 0, jf: 0, k: KIND },
        libc::sock_filter { code: 0x15, jt: 0, jf: 1, k: MARK },
        libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: super::ret::USER_NOTIF },
        PASS,
    ];
    let flags = flags & (flag::NEW_LISTENER | flag::WAIT_KILLABLE_RECV | super::TSYNC | super::TSYNC_ESRCH);
    install(task, flags, &mut program).map_err(|errno| if errno == Errno::ENOSYS { Errno::EINVAL } else { errno })
}

/// Gives the process's other threads the listener of the calling one.
///
/// # Errors
/// Those of the kernel.
pub fn share(task: &Task) -> SysResult {
    install(task, super::TSYNC | super::TSYNC_ESRCH, &mut [PASS])
}

/// Asks the listener. `None`: the call is to be made.
///
/// # Errors
/// The listener's, or one of the restart codes when a signal came.
pub fn ask(task: &Task, call: &Call) -> Result<Option<u64>, Errno> {
    let Some((nr, args)) = call.marked() else { return Err(Errno::ENOSYS) };
    match task.syscall_blocking(nr as libc::c_long, args.map(|arg| arg as usize)) {
        Err(errno) if i32::from(errno.0) == CONTINUE => Ok(None),
        result => result.map(Some),
    }
}

/// Requests on a listener (linux/seccomp.h).
mod request {
    pub const RECV: u32 = 0xc050_2100;
    pub const SEND: u32 = 0xc018_2101;
    pub const ID_VALID: u32 = 0x4008_2102;
    /// With the direction that it had at first.
    pub const ID_VALID_OLD: u32 = 0x8008_2102;
    /// Without direction and size, which may grow.
    pub const ADDFD: u32 = 0x2103;
    pub const SET_FLAGS: u32 = 0x4008_2104;
}

/// SECCOMP_USER_NOTIF_FLAG_CONTINUE.
const FLAG_CONTINUE: u32 = 1;
/// An address at which nothing is, for the kernel to say what is the matter.
const NOWHERE: usize = 16;

/// ioctl(2) on a listener; `None` for requests that are none for one.
pub fn ioctl(task: &Task, a: &[u64; 6]) -> Option<SysResult> {
    let what = a[1] as u32;
    let [fd, at] = [a[0], a[2]];
    let call = |argument: usize| task.syscall_blocking(libc::SYS_ioctl, [int(fd), what as usize, argument, 0, 0, 0]);
    Some(match what {
        request::RECV => receive(task, at, call),
        request::SEND => match task.mem.read::<[u8; 24]>(at) {
            Ok(mut response) => answer(&mut response).and_then(|()| call(own(&response))),
            Err(_) => call(NOWHERE),
        },
        request::ID_VALID | request::ID_VALID_OLD => match task.mem.read::<u64>(at) {
            Ok(id) => call(own(&id)),
            Err(_) => call(NOWHERE),
        },
        request::SET_FLAGS => call(at as usize),
        _ if what & !0xffff_0000 == request::ADDFD && what >> 30 == 1 => {
            let mut structure = vec![0; (what >> 16 & 0x3fff) as usize];
            match task.mem.read_bytes(at, &mut structure) {
                // Demotic's own descriptors are none of the guest's.
                Ok(()) if structure.len() >= 16 && crate::syscall::is_hidden_fd(task, word(&structure, 12) as i32) => {
                    Err(Errno::EBADF)
                }
                Ok(()) => call(structure.as_ptr() as usize),
                Err(_) => call(NOWHERE),
            }
        }
        _ => return None,
    })
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}

/// SECCOMP_IOCTL_NOTIF_RECV: `struct seccomp_notif` is id, pid, flags, and `struct seccomp_data`.
fn receive(task: &Task, at: u64, call: impl FnOnce(usize) -> SysResult) -> SysResult {
    // A notification that has no place to go stays where it is.
    let Ok(mut bytes) = task.mem.read::<[u8; 80]>(at) else { return call(NOWHERE) };
    if task.mem.write_bytes(at, &bytes).is_err() {
        return call(NOWHERE);
    }
    let result = call(own_mut(&mut bytes))?;
    let args = std::array::from_fn(|i| long(&bytes, 32 + 8 * i));
    if let Some(told) = Call::unmarked(word(&bytes, 16), args) {
        bytes[16..20].copy_from_slice(&told.nr.to_le_bytes());
        bytes[20..24].copy_from_slice(&super::arch(told.abi).to_le_bytes());
        bytes[24..32].copy_from_slice(&told.ip.to_le_bytes());
        for (slot, arg) in bytes[32..80].chunks_exact_mut(8).zip(told.args) {
            slot.copy_from_slice(&arg.to_le_bytes());
        }
    }
    task.mem.write_bytes(at, &bytes)?;
    Ok(result)
}

/// SECCOMP_IOCTL_NOTIF_SEND: `struct seccomp_notif_resp` is id, value, error and flags; it becomes what [`ask`] understands.
fn answer(response: &mut [u8; 24]) -> Result<(), Errno> {
    let (value, error, flags) = (long(response, 8), word(response, 16) as i32, word(response, 20));
    if flags == FLAG_CONTINUE && value == 0 && error == 0 {
        response[16..20].copy_from_slice(&(-CONTINUE).to_le_bytes());
        response[20..24].fill(0);
    } else if error == -CONTINUE {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_travel_in_a_number_and_six_words() {
        let small = [1, 2, u64::MAX, 0x7fff_ffff_f000, 5, 6];
        let odd = [1 << 63, 0x1234_5678_9abc_def0, 3, 1 << 62, 1 << 47, u64::MAX];
        for (abi, nr, args) in [
            (Abi::X86_64, 0, small),
            (Abi::X86_64, 0x4000_0000 | 520, small),
            (Abi::I386, 469, [0xffff_ffff; 6]),
            (Abi::X86_64, 0xffff, odd),
        ] {
            let call = Call { abi, nr, ip: 0x7ffe_dcba_9876, args };
            let Some((number, words)) = call.marked() else { panic!("{call:?}") };
            let back = Call::unmarked(number, words);
            // Two of the odd ones are numbers of 48 bits.
            let ip = if args == odd || cfg!(target_pointer_width = "32") { 0 } else { call.ip };
            assert_eq!(back, Some(Call { ip, ..call }));
        }
        let call = Call { abi: Abi::X86_64, nr: 0x10000, ip: 0, args: small };
        assert!(call.marked().is_none());
        assert!(Call::unmarked(39, small).is_none() && Call::unmarked(u32::MAX, small).is_none());
    }

    #[test]
    fn answers() {
        let mut response = [0; 24];
        response[20] = 1;
        assert_eq!(answer(&mut response), Ok(()));
        assert_eq!((word(&response, 16) as i32, word(&response, 20)), (-CONTINUE, 0));
        assert_eq!(answer(&mut response), Err(Errno::EINVAL));
        // What the kernel refuses goes there.
        let mut wrong = [1; 24];
        wrong[20..].copy_from_slice(&[1, 0, 0, 0]);
        let before = wrong;
        assert_eq!(answer(&mut wrong), Ok(()));
        assert_eq!(wrong, before);
    }
}
