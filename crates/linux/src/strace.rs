//! The trace of system calls on standard error, as strace(1) prints it: `[tid] name(arguments) = result`.
//!
//! What an argument looks like follows from its kind in the system call table. A call is printed when it is done, in one
//! write, so that lines of several threads do not mix; calls that do not come back (exit, exec, signal return) are
//! printed before. Bytes that a call delivers are shown after it, bytes that it takes before.

use crate::errno::SysResult;
use crate::syscall::{Kind, Row};
use crate::task::{Abi, Task};
use std::fmt::Write;

/// Longest part of a string that is shown, in bytes; strace's default.
const STRING: usize = 32;
/// Longest path that is shown.
const PATH: usize = 256;

type Names = &'static [(u64, &'static str)];

const OPEN: Names = &[
    (0o100, "O_CREAT"),
    (0o200, "O_EXCL"),
    (0o400, "O_NOCTTY"),
    (0o1000, "O_TRUNC"),
    (0o2000, "O_APPEND"),
    (0o4000, "O_NONBLOCK"),
    (0o4010000, "O_SYNC"),
    (0o10000, "O_DSYNC"),
    (0o20000, "O_ASYNC"),
    (0o40000, "O_DIRECT"),
    (0o100000, "O_LARGEFILE"),
    (0o20200000, "O_TMPFILE"),
    (0o200000, "O_DIRECTORY"),
    (0o400000, "O_NOFOLLOW"),
    (0o1000000, "O_NOATIME"),
    (0o2000000, "O_CLOEXEC"),
    (0o10000000, "O_PATH"),
];
const AT: Names = &[
    (0x100, "AT_SYMLINK_NOFOLLOW"),
    (0x200, "AT_REMOVEDIR"),
    (0x400, "AT_SYMLINK_FOLLOW"),
    (0x800, "AT_NO_AUTOMOUNT"),
    (0x1000, "AT_EMPTY_PATH"),
];
const PROT: Names = &[(1, "PROT_READ"), (2, "PROT_WRITE"), (4, "PROT_EXEC"), (0x0100_0000, "PROT_GROWSDOWN")];
const MAP: Names = &[
    (1, "MAP_SHARED"),
    (2, "MAP_PRIVATE"),
    (0x10, "MAP_FIXED"),
    (0x20, "MAP_ANONYMOUS"),
    (0x40, "MAP_32BIT"),
    (0x100, "MAP_GROWSDOWN"),
    (0x800, "MAP_DENYWRITE"),
    (0x1000, "MAP_EXECUTABLE"),
    (0x2000, "MAP_LOCKED"),
    (0x4000, "MAP_NORESERVE"),
    (0x8000, "MAP_POPULATE"),
    (0x1_0000, "MAP_NONBLOCK"),
    (0x2_0000, "MAP_STACK"),
    (0x4_0000, "MAP_HUGETLB"),
    (0x10_0000, "MAP_FIXED_NOREPLACE"),
];
const CLONE: Names = &[
    (0x100, "CLONE_VM"),
    (0x200, "CLONE_FS"),
    (0x400, "CLONE_FILES"),
    (0x800, "CLONE_SIGHAND"),
    (0x1000, "CLONE_PIDFD"),
    (0x2000, "CLONE_PTRACE"),
    (0x4000, "CLONE_VFORK"),
    (0x8000, "CLONE_PARENT"),
    (0x1_0000, "CLONE_THREAD"),
    (0x2_0000, "CLONE_NEWNS"),
    (0x4_0000, "CLONE_SYSVSEM"),
    (0x8_0000, "CLONE_SETTLS"),
    (0x10_0000, "CLONE_PARENT_SETTID"),
    (0x20_0000, "CLONE_CHILD_CLEARTID"),
    (0x40_0000, "CLONE_DETACHED"),
    (0x100_0000, "CLONE_CHILD_SETTID"),
];
const FAMILIES: &[&str] = &[
    "AF_UNSPEC",
    "AF_UNIX",
    "AF_INET",
    "AF_AX25",
    "AF_IPX",
    "AF_APPLETALK",
    "AF_NETROM",
    "AF_BRIDGE",
    "AF_ATMPVC",
    "AF_X25",
    "AF_INET6",
    "AF_ROSE",
    "AF_DECnet",
    "AF_NETBEUI",
    "AF_SECURITY",
    "AF_KEY",
    "AF_NETLINK",
    "AF_PACKET",
];
const CLOCKS: &[&str] = &[
    "CLOCK_REALTIME",
    "CLOCK_MONOTONIC",
    "CLOCK_PROCESS_CPUTIME_ID",
    "CLOCK_THREAD_CPUTIME_ID",
    "CLOCK_MONOTONIC_RAW",
    "CLOCK_REALTIME_COARSE",
    "CLOCK_MONOTONIC_COARSE",
    "CLOCK_BOOTTIME",
    "CLOCK_REALTIME_ALARM",
    "CLOCK_BOOTTIME_ALARM",
    "CLOCK_SGI_CYCLE",
    "CLOCK_TAI",
];
const WHENCE: &[&str] = &["SEEK_SET", "SEEK_CUR", "SEEK_END", "SEEK_DATA", "SEEK_HOLE"];
const FCNTL: &[&str] = &[
    "F_DUPFD",
    "F_GETFD",
    "F_SETFD",
    "F_GETFL",
    "F_SETFL",
    "F_GETLK",
    "F_SETLK",
    "F_SETLKW",
    "F_SETOWN",
    "F_GETOWN",
    "F_SETSIG",
    "F_GETSIG",
    "F_GETLK64",
    "F_SETLK64",
    "F_SETLKW64",
    "F_SETOWN_EX",
    "F_GETOWN_EX",
];
const FUTEX: &[&str] = &[
    "FUTEX_WAIT",
    "FUTEX_WAKE",
    "FUTEX_FD",
    "FUTEX_REQUEUE",
    "FUTEX_CMP_REQUEUE",
    "FUTEX_WAKE_OP",
    "FUTEX_LOCK_PI",
    "FUTEX_UNLOCK_PI",
    "FUTEX_TRYLOCK_PI",
    "FUTEX_WAIT_BITSET",
    "FUTEX_WAKE_BITSET",
    "FUTEX_WAIT_REQUEUE_PI",
    "FUTEX_CMP_REQUEUE_PI",
    "FUTEX_LOCK_PI2",
];
const SIGNALS: &[&str] = &[
    "0",
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// A line under construction.
#[derive(Debug)]
pub struct Line {
    /// Arguments that are shown as they are before the call; `None` for those that the call delivers.
    shown: [Option<String>; 6],
    /// True when the line was printed before the call.
    printed: bool,
}

impl Line {
    /// Formats what is known before the call; prints it for calls that do not come back.
    pub fn enter(task: &Task, row: &Row, args: &[u64; 6]) -> Line {
        let mut shown: [Option<String>; 6] = Default::default();
        for ((slot, &kind), &value) in shown.iter_mut().zip(row.args).zip(args) {
            if !matches!(kind, Kind::OutBuf(_)) {
                *slot = Some(argument(task, kind, value, args, None));
            }
        }
        let printed =
            matches!(row.name, "exit" | "exit_group" | "execve" | "execveat" | "rt_sigreturn" | "sigreturn" | "vfork");
        let line = Line { shown, printed };
        if printed {
            line.print(task, row, args, None, "");
        }
        line
    }

    /// Prints the line with the result; `abi` is that of the call.
    pub fn leave(&self, task: &Task, row: &Row, args: &[u64; 6], abi: Abi, result: SysResult) {
        let text = match result {
            Ok(value) => outcome(row.name, abi, value),
            Err(errno) if errno.0 >= 512 => format!("? {} ({})", errno.name(), errno.text()),
            Err(errno) => format!("-1 {} ({})", errno.name(), errno.text()),
        };
        if self.printed {
            if result.is_err() {
                demotic_host::log::item(format_args!("[{}] <... {} resumed> = {text}", task.tid, row.name));
            }
            return;
        }
        self.print(task, row, args, result.ok(), &text);
    }

    fn print(&self, task: &Task, row: &Row, args: &[u64; 6], delivered: Option<u64>, result: &str) {
        demotic_host::log::item(format_args!("{}", self.text(task, row, args, delivered, result)));
    }

    /// The whole line; `delivered` is the call's value if it succeeded.
    pub(crate) fn text(&self, task: &Task, row: &Row, args: &[u64; 6], delivered: Option<u64>, result: &str) -> String {
        let mut text = String::with_capacity(160);
        let _ = write!(text, "[{}] {}(", task.tid, row.name);
        for (i, ((shown, &kind), &value)) in self.shown.iter().zip(row.args).zip(args).enumerate() {
            // The mode only counts for flags that create a file.
            let flags = i.checked_sub(1).filter(|&last| row.args.get(last) == Some(&Kind::OpenFlags));
            if kind == Kind::Mode && flags.is_some_and(|last| args[last] & 0o20000100 == 0) {
                break;
            }
            if i > 0 {
                text.push_str(", ");
            }
            match shown {
                Some(shown) => text.push_str(shown),
                None => text.push_str(&argument(task, kind, value, args, delivered)),
            }
        }
        text.push(')');
        if !result.is_empty() {
            text.push_str(" = ");
            text.push_str(result);
        }
        text
    }
}

/// What a call that succeeded gave, of which i386 code sees 32 bits.
fn outcome(name: &str, abi: Abi, value: u64) -> String {
    match (is_address(name), abi) {
        (true, Abi::I386) => format!("{:#x}", value as u32),
        (true, _) => format!("{value:#x}"),
        (false, Abi::I386) => (value as i32).to_string(),
        (false, _) => (value as i64).to_string(),
    }
}

fn is_address(name: &str) -> bool {
    matches!(name, "brk" | "mmap" | "mmap2" | "mremap" | "shmat")
}

/// Set flags by name, the rest in hexadecimal.
fn flags(names: Names, value: u64) -> String {
    let mut left = value;
    let mut text = String::new();
    for &(bits, name) in names {
        if left & bits == bits {
            left &= !bits;
            if !text.is_empty() {
                text.push('|');
            }
            text.push_str(name);
        }
    }
    if left != 0 || text.is_empty() {
        let separator = if text.is_empty() { "" } else { "|" };
        let _ = write!(text, "{separator}{left:#x}");
    }
    text
}

/// A name by number, or the number.
fn name(names: &[&str], value: u64) -> String {
    names.get(value as u32 as usize).map_or_else(|| (value as i32).to_string(), |name| (*name).to_string())
}

/// Bytes in C notation.
fn quote(bytes: &[u8], more: bool) -> String {
    let mut text = String::with_capacity(bytes.len() + 8);
    text.push('"');
    for &byte in bytes {
        match byte {
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            b'\r' => text.push_str("\\r"),
            b' '..=b'~' => text.push(byte.into()),
            _ => {
                let _ = write!(text, "\\{byte:o}");
            }
        }
    }
    text.push('"');
    if more {
        text.push_str("...");
    }
    text
}

fn bytes(task: &Task, addr: u64, len: u64) -> String {
    let mut buf = [0u8; STRING];
    let shown = (len as usize).min(STRING);
    let Some(buf) = buf.get_mut(..shown) else { return pointer(addr) };
    match task.mem.read_bytes(addr, buf) {
        Ok(()) => quote(buf, len as usize > STRING),
        Err(_) => pointer(addr),
    }
}

fn pointer(addr: u64) -> String {
    if addr == 0 { "NULL".to_string() } else { format!("{addr:#x}") }
}

/// One argument; `delivered` is the call's result for bytes that it delivers.
fn argument(task: &Task, kind: Kind, value: u64, args: &[u64; 6], delivered: Option<u64>) -> String {
    let length = |index: u8| args.get(usize::from(index)).copied().unwrap_or(0);
    match kind {
        Kind::Int | Kind::Fd => (value as i32).to_string(),
        Kind::AtFd if value as i32 == libc::AT_FDCWD => "AT_FDCWD".to_string(),
        Kind::AtFd => (value as i32).to_string(),
        Kind::Uint => (value as u32).to_string(),
        Kind::Long => crate::syscall::args::long(task, value).to_string(),
        Kind::Size => value.to_string(),
        Kind::Hex => format!("{value:#x}"),
        Kind::Mode if value as u32 == 0 => "0".to_string(),
        Kind::Mode => format!("0{:o}", value as u32),
        Kind::Path | Kind::Link | Kind::Entry | Kind::Str if value == 0 => pointer(value),
        Kind::Path | Kind::Link | Kind::Entry | Kind::Str => match task.mem.cstr_max(value, PATH) {
            Ok(text) => quote(text.to_bytes(), false),
            Err(_) => pointer(value),
        },
        Kind::InBuf(len) => bytes(task, value, length(len)),
        Kind::OutBuf(_) => match delivered {
            Some(len) => bytes(task, value, len.min(1 << 30)),
            None => pointer(value),
        },
        Kind::In | Kind::Out(_) | Kind::Ptr => pointer(value),
        Kind::OpenFlags => {
            let access = ["O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"][value as usize & 3];
            match value as u32 & !3 {
                0 => access.to_string(),
                rest => format!("{access}|{}", flags(OPEN, rest.into())),
            }
        }
        Kind::AtFlags if value as u32 == 0 => "0".to_string(),
        Kind::AtFlags => flags(AT, value & 0xffff_ffff),
        Kind::Prot if value == 0 => "PROT_NONE".to_string(),
        Kind::Prot => flags(PROT, value),
        Kind::MapFlags => flags(MAP, value),
        Kind::CloneFlags => format!("{}|{}", flags(CLONE, value & !0xff), name(SIGNALS, value & 0xff)),
        Kind::Signal => name(SIGNALS, value),
        Kind::Whence => name(WHENCE, value),
        Kind::Clock => name(CLOCKS, value),
        Kind::Fcntl => name(FCNTL, value),
        Kind::Futex => {
            let base = name(FUTEX, value & 0x7f);
            let private = if value & 0x80 != 0 { "_PRIVATE" } else { "" };
            let realtime = if value & 0x100 != 0 { "|FUTEX_CLOCK_REALTIME" } else { "" };
            format!("{base}{private}{realtime}")
        }
        Kind::Family => name(FAMILIES, value),
        Kind::Timespec | Kind::Timespec64 => {
            use crate::syscall::time::Clock64;
            let layout = if kind == Kind::Timespec64 { Clock64::Always } else { Clock64::Native };
            match layout.read_optional(task, value) {
                Ok(Some(time)) => format!("{{tv_sec={}, tv_nsec={}}}", time.tv_sec, time.tv_nsec),
                _ => pointer(value),
            }
        }
        Kind::SockAddr(len) => address(task, value, length(len)),
    }
}

/// A socket address of the common families.
fn address(task: &Task, addr: u64, len: u64) -> String {
    let mut raw = [0u8; 110];
    let used = (len as usize).min(raw.len());
    let Some(buf) = raw.get_mut(..used) else { return pointer(addr) };
    if addr == 0 || used < 2 || task.mem.read_bytes(addr, buf).is_err() {
        return pointer(addr);
    }
    let family = u16::from_le_bytes([raw[0], raw[1]]);
    let port = u16::from_be_bytes([raw[2], raw[3]]);
    match family {
        1 => {
            // An abstract name starts with a zero byte.
            let path = raw.get(2..used).unwrap_or_default();
            let end = path.iter().skip(1).position(|&b| b == 0).map_or(path.len(), |end| end + 1);
            format!("{{sa_family=AF_UNIX, sun_path={}}}", quote(path.get(..end).unwrap_or_default(), false))
        }
        2 => format!("{{sa_family=AF_INET, {}.{}.{}.{}:{port}}}", raw[4], raw[5], raw[6], raw[7]),
        10 => {
            let mut octets = [0u8; 16];
            octets.copy_from_slice(&raw[8..24]);
            format!("{{sa_family=AF_INET6, [{}]:{port}}}", std::net::Ipv6Addr::from(octets))
        }
        _ => format!("{{sa_family={}, ...}}", name(FAMILIES, family.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flag_words() {
        assert_eq!(flags(PROT, 5), "PROT_READ|PROT_EXEC");
        assert_eq!(flags(PROT, 0x13), "PROT_READ|PROT_WRITE|0x10");
        assert_eq!(flags(OPEN, 0o20200000), "O_TMPFILE");
        assert_eq!(flags(OPEN, 0o2200000), "O_DIRECTORY|O_CLOEXEC");
        assert_eq!(flags(MAP, 0), "0x0");
    }

    #[test]
    fn quoting() {
        assert_eq!(quote(b"a\"\n\x01", true), "\"a\\\"\\n\\1\"...");
    }

    #[test]
    fn outcomes() {
        assert_eq!(outcome("mmap2", Abi::I386, 0xf5b9_e000), "0xf5b9e000");
        assert_eq!(outcome("mmap", Abi::X86_64, 0x7fff_f7fc_0000), "0x7ffff7fc0000");
        assert_eq!(outcome("getpriority", Abi::I386, 0xffff_ffff), "-1");
    }

    #[test]
    fn names() {
        assert_eq!(name(SIGNALS, 11), "SIGSEGV");
        assert_eq!(name(WHENCE, 99), "99");
        assert_eq!(name(CLOCKS, u64::MAX), "-1");
    }
}
