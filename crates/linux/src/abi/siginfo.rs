//! `siginfo_t` between the host and the guest.
//!
//! The structure is a header and a union; which member of the union is valid follows from `si_signo` and `si_code`, by
//! the kernel's own rule (kernel/signal.c, `siginfo_layout`). All supported hosts are little-endian, and on a 64-bit host
//! the union lies and looks as on x86-64, on a 32-bit host as on i386; so there are just two layouts, and what has to be
//! done is to pick the union's words apart and put them together again.

use super::Abi;

/// `sizeof(siginfo_t)` for every ABI, in bytes.
pub const SIGINFO_SIZE: usize = 128;

/// The raw bytes of a `siginfo_t`.
pub type Raw = [u8; SIGINFO_SIZE];

/// The valid member of the union.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    /// `si_pid`, `si_uid`.
    Kill,
    /// `si_timerid`, `si_overrun`, `si_value`.
    Timer,
    /// `si_pid`, `si_uid`, `si_value`.
    Rt,
    /// `si_pid`, `si_uid`, `si_status`, `si_utime`, `si_stime`.
    Child,
    /// `si_addr`, `si_addr_lsb`.
    Fault,
    /// `si_band`, `si_fd`.
    Poll,
    /// `si_call_addr`, `si_syscall`, `si_arch`.
    Sys,
}

const SI_KERNEL: i32 = 0x80;
const SI_TIMER: i32 = -2;
const SI_SIGIO: i32 = -5;

fn member(signo: i32, code: i32) -> Member {
    if code > 0 && code < SI_KERNEL {
        match signo {
            libc::SIGILL | libc::SIGFPE | libc::SIGSEGV | libc::SIGBUS | libc::SIGTRAP => Member::Fault,
            libc::SIGCHLD => Member::Child,
            libc::SIGIO => Member::Poll,
            libc::SIGSYS => Member::Sys,
            _ => Member::Kill,
        }
    } else if code == SI_TIMER {
        Member::Timer
    } else if code == SI_SIGIO {
        Member::Poll
    } else if code < 0 {
        Member::Rt
    } else {
        Member::Kill
    }
}

/// A `siginfo_t` taken apart; fields that the signal does not have are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Siginfo {
    /// Signal number.
    pub signo: i32,
    /// `si_errno`.
    pub errno: i32,
    /// `si_code`.
    pub code: i32,
    /// `si_pid`, `si_timerid` or `si_syscall`.
    pub pid: i32,
    /// `si_uid`, `si_overrun`, or `si_arch`.
    pub uid: i32,
    /// `si_status` or `si_fd`.
    pub status: i32,
    /// `si_addr`, `si_value`, `si_call_addr` or `si_band`.
    pub value: u64,
    /// `si_addr_lsb`.
    pub addr_lsb: u16,
    /// `si_utime` in clock ticks.
    pub utime: i64,
    /// `si_stime` in clock ticks.
    pub stime: i64,
}

/// Little-endian words in a raw structure, by offset; offsets are constants of the layout.
struct Words<'a>(&'a mut Raw);

impl Words<'_> {
    fn i32(&self, at: usize) -> i32 {
        i32::from_le_bytes(self.0[at..at + 4].try_into().unwrap_or_default())
    }
    fn set_i32(&mut self, at: usize, v: i32) {
        self.0[at..at + 4].copy_from_slice(&v.to_le_bytes());
    }
    /// A `long` of the layout.
    fn long(&self, at: usize, word: usize) -> i64 {
        match word {
            8 => i64::from_le_bytes(self.0[at..at + 8].try_into().unwrap_or_default()),
            _ => self.i32(at).into(),
        }
    }
    fn set_long(&mut self, at: usize, word: usize, v: i64) {
        match word {
            8 => self.0[at..at + 8].copy_from_slice(&v.to_le_bytes()),
            _ => self.set_i32(at, v as i32),
        }
    }
}

impl Siginfo {
    /// Takes a structure of the layout with `word`-byte longs apart.
    fn decode(mut raw: Raw, word: usize) -> Siginfo {
        let w = Words(&mut raw);
        let (signo, errno, code) = (w.i32(0), w.i32(4), w.i32(8));
        let u = if word == 8 { 16 } else { 12 };
        let mut s = Siginfo { signo, errno, code, ..Default::default() };
        match member(signo, code) {
            Member::Kill => (s.pid, s.uid) = (w.i32(u), w.i32(u + 4)),
            Member::Timer | Member::Rt => {
                (s.pid, s.uid) = (w.i32(u), w.i32(u + 4));
                s.value = w.long(u + 8, word) as u64;
            }
            Member::Child => {
                (s.pid, s.uid, s.status) = (w.i32(u), w.i32(u + 4), w.i32(u + 8));
                let times = if word == 8 { u + 16 } else { u + 12 };
                (s.utime, s.stime) = (w.long(times, word), w.long(times + word, word));
            }
            Member::Fault => {
                s.value = w.long(u, word) as u64;
                s.addr_lsb = w.i32(u + word) as u16;
            }
            Member::Poll => {
                s.value = w.long(u, word) as u64;
                s.status = w.i32(u + word);
            }
            Member::Sys => {
                s.value = w.long(u, word) as u64;
                (s.pid, s.uid) = (w.i32(u + word), w.i32(u + word + 4));
            }
        }
        if word == 4 && matches!(member(signo, code), Member::Fault | Member::Timer | Member::Rt | Member::Sys) {
            // Addresses and pointers are unsigned.
            s.value &= 0xffff_ffff;
        }
        s
    }

    fn encode(&self, word: usize) -> Raw {
        let mut raw = [0; SIGINFO_SIZE];
        let mut w = Words(&mut raw);
        w.set_i32(0, self.signo);
        w.set_i32(4, self.errno);
        w.set_i32(8, self.code);
        let u = if word == 8 { 16 } else { 12 };
        match member(self.signo, self.code) {
            Member::Kill => {
                w.set_i32(u, self.pid);
                w.set_i32(u + 4, self.uid);
            }
            Member::Timer | Member::Rt => {
                w.set_i32(u, self.pid);
                w.set_i32(u + 4, self.uid);
                w.set_long(u + 8, word, self.value as i64);
            }
            Member::Child => {
                w.set_i32(u, self.pid);
                w.set_i32(u + 4, self.uid);
                w.set_i32(u + 8, self.status);
                let times = if word == 8 { u + 16 } else { u + 12 };
                w.set_long(times, word, self.utime);
                w.set_long(times + word, word, self.stime);
            }
            Member::Fault => {
                w.set_long(u, word, self.value as i64);
                w.set_i32(u + word, self.addr_lsb.into());
            }
            Member::Poll => {
                w.set_long(u, word, self.value as i64);
                w.set_i32(u + word, self.status);
            }
            Member::Sys => {
                w.set_long(u, word, self.value as i64);
                w.set_i32(u + word, self.pid);
                w.set_i32(u + word + 4, self.uid);
            }
        }
        raw
    }

    /// From the host kernel's structure.
    pub fn from_host(raw: Raw) -> Siginfo {
        Siginfo::decode(raw, size_of::<usize>())
    }
    /// To the host kernel's structure, for `rt_sigqueueinfo`.
    pub fn to_host(&self) -> Raw {
        self.encode(size_of::<usize>())
    }
    /// From the guest's structure.
    pub fn from_guest(raw: Raw, abi: Abi) -> Siginfo {
        Siginfo::decode(raw, if abi == Abi::X86_64 { 8 } else { 4 })
    }
    /// To the guest's structure.
    pub fn to_guest(&self, abi: Abi) -> Raw {
        self.encode(if abi == Abi::X86_64 { 8 } else { 4 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both_ways(s: Siginfo) {
        assert_eq!(Siginfo::from_guest(s.to_guest(Abi::X86_64), Abi::X86_64), s);
        assert_eq!(Siginfo::from_guest(s.to_guest(Abi::I386), Abi::I386), s);
        assert_eq!(Siginfo::from_host(s.to_host()), s);
    }

    #[test]
    fn round_trips() {
        both_ways(Siginfo { signo: libc::SIGUSR1, code: 0, pid: 77, uid: 1000, ..Default::default() });
        both_ways(Siginfo { signo: 34, code: -1, pid: 77, uid: 1, value: 0x1234_5678, ..Default::default() });
        both_ways(Siginfo { signo: libc::SIGSEGV, code: 1, value: 0xffff_f000, ..Default::default() });
        both_ways(Siginfo { signo: 14, code: SI_TIMER, pid: 3, uid: 2, value: 9, ..Default::default() });
        let child = Siginfo { signo: libc::SIGCHLD, code: 1, pid: 9, uid: 3, status: 2, ..Default::default() };
        both_ways(Siginfo { utime: 5, stime: 6, ..child });
        both_ways(Siginfo { signo: libc::SIGIO, code: 1, value: 0x41, status: 5, ..Default::default() });
    }

    #[test]
    fn i386_offsets() {
        let raw = Siginfo {
            signo: libc::SIGCHLD,
            code: 1,
            pid: 9,
            uid: 3,
            status: 2,
            utime: 5,
            stime: 6,
            ..Default::default()
        }
        .to_guest(Abi::I386);
        let word = |i: usize| i32::from_le_bytes(raw[4 * i..4 * i + 4].try_into().unwrap());
        assert_eq!((word(3), word(4), word(5), word(6), word(7)), (9, 3, 2, 5, 6));
        let raw =
            Siginfo { signo: libc::SIGSEGV, code: 1, value: 0xdead_beef, ..Default::default() }.to_guest(Abi::I386);
        assert_eq!(raw[12..16], 0xdead_beefu32.to_le_bytes());
    }
}
