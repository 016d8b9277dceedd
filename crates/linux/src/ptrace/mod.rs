//! ptrace(2): one translated process traces another.
//!
//! The host's kernel does the tracing: the tracer's Demotic attaches by the host's ptrace, so who traces whom, wait(2), death, SIGKILL, stopped groups,
//! children that are attached by themselves and tracers that die are the kernel's business. But the host's stops are somewhere inside Demotic, and only some
//! are the guest's:
//!
//! - What the guest's tracer is to see happens in the run loop of the traced thread, where registers are exact ([`tracee`]): it fills in a [`Record`] of
//!   its registers and stops by sending SIGFPE to itself, with a mark and the record's address in the siginfo. The tracer ([`tracer`]) reads and writes the
//!   record in the other's memory.
//! - A thread that makes a child, ends or stops with its group fills in the record before (it is *parked*); then the host's stop is the guest's.
//! - All other stops the tracer's Demotic passes over in its wait(2). A signal that arrived somewhere becomes a SIGTRAP with a mark
//!   (a [`Request`]), whose handler every thread of Demotic has and which is never blocked: so the thread comes to the boundary of an instruction and to
//!   its own stop for that signal, whatever its action. A fault of Demotic's own goes on to its handler.
//!
//! Guest and host addresses are the same on 64-bit hosts, so PEEK and POKE are the host's. What the tracer wrote is listed in the record of the
//! next thread of that process that goes on, which drops translations made from it. There is no ptrace on 32-bit hosts.
//!
//! Absent: tracing of programs that Demotic does not run, PTRACE_GET_RSEQ_CONFIGURATION (as without rseq(2)), a traced child of clone(CLONE_VM)
//! without CLONE_VFORK and CLONE_THREAD. While a tracer in the traced thread's own memory neither waits nor takes SIGCHLD, a signal may stop that thread with
//! a lock that the tracer needs; only attaching is made safe ([`meeting`]). While a tracer neither waits nor takes SIGCHLD, a thread that it traces may stand at a stop that is passed over later.

pub mod asked;
pub mod meeting;
pub mod memory;
pub mod regs;
pub mod requests;
pub mod tracee;
pub mod tracer;
pub mod watch;

use crate::signal::fpstate;
use demotic_host::capture::Info;
use demotic_host::signal::mark;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// PTRACE_EVENT_ values (linux/ptrace.h).
pub mod event {
    #![allow(missing_docs)]
    pub const FORK: u32 = 1;
    pub const VFORK: u32 = 2;
    pub const CLONE: u32 = 3;
    pub const EXEC: u32 = 4;
    pub const SECCOMP: u32 = 7;
    pub const STOP: u32 = 128;
}

/// What a stop is.
pub mod kind {
    #![allow(missing_docs)]
    /// Nothing to be seen: the thread tells where its record is.
    pub const HELLO: u32 = 0;
    pub const ENTRY: u32 = 1;
    pub const EXIT: u32 = 2;
    /// A signal is about to be delivered.
    pub const SIGNAL: u32 = 3;
    /// [`Record::event`] says which.
    pub const EVENT: u32 = 4;
    /// SIGTRAP that is no signal: a handler was entered while stepping.
    pub const NOTICE: u32 = 5;
    /// The host's stop is to be the guest's.
    pub const PARKED: u32 = 6;
}

/// How a thread goes on behind a stop.
pub mod mode {
    #![allow(missing_docs)]
    pub const CONT: u32 = 0;
    pub const SYSCALL: u32 = 1;
    pub const STEP: u32 = 2;
    pub const DETACHED: u32 = 3;
    /// To the next system call, which is not made (PTRACE_SYSEMU).
    pub const EMULATE: u32 = 4;
    /// The same, by single steps (PTRACE_SYSEMU_SINGLESTEP).
    pub const EMULATE_STEP: u32 = 5;
}

/// What a tracer changed in a [`Record`].
pub mod changed {
    #![allow(missing_docs)]
    pub const REGS: u32 = 1;
    pub const FP: u32 = 2;
    pub const SIGINFO: u32 = 4;
    pub const MASK: u32 = 8;
    pub const TLS: u32 = 16;
    pub const DEBUG: u32 = 32;
}

/// Ranges that fit in a record.
pub const RANGES: usize = 32;
/// Signals that fit in a record: more than a thread takes at a time.
pub const WAITING: usize = 8;
/// Marks a record, and the build that made it.
const MAGIC: u64 = 0x4465_6d6f_7472_0004;
/// Bytes for the floating point area.
pub const AREA: usize = fpstate::MOST.next_multiple_of(8);

/// A stopped thread as its tracer sees it: a structure of integers in the traced process's memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
pub struct Record {
    /// [`MAGIC`].
    pub magic: u64,
    /// Thread and process.
    pub tid: i32,
    /// Process.
    pub pid: i32,
    /// The registers are those of now.
    pub parked: u32,
    /// One of [`kind`].
    pub kind: u32,
    /// One of [`event`].
    pub event: u32,
    /// The signal of a stop for a signal.
    pub signo: i32,
    /// What PTRACE_GETEVENTMSG answers.
    pub message: u64,
    /// Set by the tracer when the thread may go on.
    pub resumed: u32,
    /// One of [`mode`].
    pub mode: u32,
    /// The signal to be delivered.
    pub inject: i32,
    /// [`changed`] bits.
    pub changed: u32,
    /// How many ranges follow; more than fit: all memory.
    pub range_count: u32,
    /// The system call came by the i386 entry.
    pub is_i386_call: u32,
    /// The code at the instruction pointer is 32-bit code.
    pub is_32bit: u32,
    /// The answer of a system call is an error.
    pub is_error: u32,
    /// Start and length of memory that was written to.
    pub ranges: [[u64; 2]; RANGES],
    /// General registers in the processor's order.
    pub gpr: [u64; 16],
    /// Instruction pointer.
    pub rip: u64,
    /// EFLAGS.
    pub flags: u64,
    /// The number of the system call in progress or just done; -1 outside of one.
    pub origin: u64,
    /// Selectors: ES CS SS DS FS GS in the processor's order.
    pub sel: [u64; 6],
    /// Bases of the segments.
    pub base: [u64; 6],
    /// Number and arguments of the system call.
    pub call: [u64; 7],
    /// Blocked signals.
    pub blocked: u64,
    /// Components of the guest's XSAVE.
    pub xcr0: u64,
    /// The debug registers.
    pub debug: watch::Registers,
    /// The siginfo_t in the host's layout.
    pub siginfo: [u8; 128],
    /// The floating point registers as a signal frame has them.
    pub fp: [u8; AREA],
    /// The thread's three descriptors: base, limit, flags.
    pub tls: [[u32; 3]; 3],
    /// The tracer's options ([`tracer::option`]) as far as the thread itself heeds them.
    pub options: u32,
    /// How many of `waiting` there are.
    pub waiting_count: u64,
    /// Signals that the thread has taken from the host's queue and not delivered, in the host's layout.
    pub waiting: [[u8; 128]; WAITING],
    /// Address and length of its seccomp filters in memory ([`crate::seccomp::Parts`]).
    pub filters: [u64; 2],
}

impl Record {
    /// One that says nothing.
    pub fn empty() -> Record {
        let mut record = <Record as zerocopy::FromZeros>::new_zeroed();
        (record.magic, record.origin) = (MAGIC, u64::MAX);
        record
    }
    /// Whether it is the record of that thread.
    pub fn is_of(&self, tid: i32) -> bool {
        self.magic == MAGIC && self.tid == tid
    }
    /// Adds a range that translations were made from.
    pub fn forget(&mut self, start: u64, len: u64) {
        if let Some(slot) = self.ranges.get_mut(self.range_count as usize) {
            *slot = [start, len];
        }
        self.range_count = (self.range_count + 1).min(RANGES as u32 + 1);
    }
}

/// What a tracer asks a thread for.
#[derive(Clone, Copy, Debug)]
pub enum Request {
    /// A signal, as it arrived.
    Signal(Info),
    /// A stop with PTRACE_EVENT_STOP.
    Stop,
    /// The stop behind an execve(2); the thread's id before.
    Exec(u32),
    /// To tell where its record is.
    Hello,
    /// To wait until this thread has attached to it ([`meeting`]).
    Meet(u32),
}

/// Codes in the low byte of si_errno; below them signals.
const STOP: i32 = 0x80;
const EXEC: i32 = 0x81;
const HELLO: i32 = 0x82;
const MEET: i32 = 0x83;

impl Request {
    /// The siginfo_t of a SIGTRAP that says it. The kernel keeps its first words and the union.
    pub fn encode(&self) -> Info {
        let (mut info, errno, message) = match *self {
            Request::Signal(original) => (original, original.code() << 8 | original.signo(), None),
            Request::Stop => (Info([0; 128]), STOP, Some(0)),
            Request::Exec(tid) => (Info([0; 128]), EXEC, Some(tid)),
            Request::Hello => (Info([0; 128]), HELLO, Some(0)),
            Request::Meet(tid) => (Info([0; 128]), MEET, Some(tid)),
        };
        for (at, word) in [(0, libc::SIGTRAP), (4, errno), (8, mark::REQUEST)] {
            info.0[at..at + 4].copy_from_slice(&word.to_ne_bytes());
        }
        if let Some(message) = message {
            info.0[16..20].copy_from_slice(&message.to_ne_bytes());
        }
        info
    }

    /// The request that a captured signal is, if it is one.
    pub fn decode(info: &Info) -> Option<Request> {
        if info.signo() != libc::SIGTRAP || info.code() != mark::REQUEST {
            return None;
        }
        let word = |at: usize| i32::from_ne_bytes([info.0[at], info.0[at + 1], info.0[at + 2], info.0[at + 3]]);
        let errno = word(4);
        Some(match errno & 0xff {
            STOP => Request::Stop,
            EXEC => Request::Exec(word(16) as u32),
            HELLO => Request::Hello,
            MEET => Request::Meet(word(16) as u32),
            signo => {
                let mut original = *info;
                for (at, word) in [(0, signo), (4, 0), (8, errno >> 8)] {
                    original.0[at..at + 4].copy_from_slice(&word.to_ne_bytes());
                }
                Request::Signal(original)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_travel_in_a_siginfo() {
        let mut original = Info([0; 128]);
        original.0[0..4].copy_from_slice(&libc::SIGUSR1.to_ne_bytes());
        original.0[8..12].copy_from_slice(&(-6i32).to_ne_bytes());
        original.0[16..20].copy_from_slice(&4711i32.to_ne_bytes());
        let sent = Request::Signal(original).encode();
        assert_eq!((sent.signo(), sent.code()), (libc::SIGTRAP, mark::REQUEST));
        let Some(Request::Signal(back)) = Request::decode(&sent) else { panic!("{sent:?}") };
        assert_eq!(back.0, original.0);
        assert!(matches!(Request::decode(&Request::Exec(77).encode()), Some(Request::Exec(77))));
        assert!(matches!(Request::decode(&Request::Stop.encode()), Some(Request::Stop)));
        assert!(Request::decode(&original).is_none());
    }

    #[test]
    fn too_many_ranges_mean_everything() {
        let mut record = Record::empty();
        for i in 0..100 {
            record.forget(i, 1);
        }
        assert_eq!(record.range_count as usize, RANGES + 1);
    }
}
