//! System calls: from the number in a register to the answer.
//!
//! [`table`] has one row per system call of either ABI: numbers, name, what is done ([`Action`]), what the arguments are
//! ([`Kind`]) and how complete it is ([`Level`]). Dispatch, the trace on standard error ([`crate::strace`]), the generic
//! pass-through and the reference page all read the same row. The families beside it (`file`, `net`, `time`, ...) hold the
//! calls that need more than passing on: structures that differ between ABIs, split 64-bit arguments, calls that the
//! host architecture lacks (aarch64 has only the `*at` generation), and what must look like x86.
//!
//! Arguments of the i386 ABI arrive zero-extended to 64 bits; [`args`] has the extensions that the ABI asks for. A bad
//! guest pointer is EFAULT: either our own access reports it or the host kernel does, for pointers that are passed on.

pub mod aio;
pub mod args;
pub mod dir;
pub mod fcntl;
pub mod file;
pub mod ids;
pub mod info;
pub mod ioctl;
pub mod iov;
pub mod ipc;
pub mod kernel;
pub mod misc;
pub mod net;
pub mod numa;
pub mod poll;
pub mod sched;
pub mod stat;
pub mod table;
pub mod time;
pub mod uring;

#[cfg(test)]
mod tests;

use crate::errno::{Errno, SysResult};
use crate::fs::path;
use crate::fs::root::Last;
use crate::strace;
use crate::task::{Abi, Handler, Task};
use crate::uaccess::Access;
use demotic_engine::exit::SyscallEntry;
use smallvec::SmallVec;
use std::ffi::CString;
use std::sync::atomic::{AtomicU64, Ordering};

/// What one argument is: for the trace, and for [`Action::Pass`] and [`Action::Block`] how it gets to the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `int`.
    Int,
    /// `unsigned int`.
    Uint,
    /// `long`: sign-extended for i386.
    Long,
    /// `size_t`, `unsigned long`.
    Size,
    /// Flags without names here.
    Hex,
    /// A file mode.
    Mode,
    /// A file descriptor.
    Fd,
    /// A directory descriptor or `AT_FDCWD`.
    AtFd,
    /// A path of the file that it leads to; with `AT_SYMLINK_NOFOLLOW` in the `AtFlags`, of the file itself.
    Path,
    /// A path of the file itself, even if that is a symbolic link; with `AT_SYMLINK_FOLLOW`, of the file that it leads to.
    Link,
    /// A path of a name that is created, renamed or removed.
    Entry,
    /// Another zero-terminated string.
    Str,
    /// Bytes for the kernel, as many as the argument with this index says.
    InBuf(u8),
    /// Bytes from the kernel, at most as many as the argument with this index says.
    OutBuf(u8),
    /// A structure for the kernel.
    In,
    /// A structure of this many bytes from (or for and from) the kernel.
    Out(u16),
    /// An address that is not dereferenced by the pass-through.
    Ptr,
    /// `open` flags.
    OpenFlags,
    /// `AT_*` flags.
    AtFlags,
    /// `PROT_*`.
    Prot,
    /// `MAP_*`.
    MapFlags,
    /// `CLONE_*`.
    CloneFlags,
    /// A signal number.
    Signal,
    /// `SEEK_*`.
    Whence,
    /// `CLOCK_*`.
    Clock,
    /// `timespec` of the call's ABI.
    Timespec,
    /// `__kernel_timespec`.
    Timespec64,
    /// `F_*` command of `fcntl`.
    Fcntl,
    /// `FUTEX_*` operation.
    Futex,
    /// A socket address whose length is the argument with this index.
    SockAddr(u8),
    /// `AF_*`.
    Family,
}

/// What a row does.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// Calls the handler.
    Call(Handler),
    /// The host's call of this number with the arguments converted by kind; never sleeps for long.
    Pass(libc::c_long),
    /// The same, may sleep and is restarted after a signal.
    Block(libc::c_long),
    /// Not here: `ENOSYS`.
    Enosys,
}

/// How complete a system call is; the reference page prints it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// As the x86 kernel does it.
    Full,
    /// Works except for what is said here.
    Partial(&'static str),
    /// Answers `ENOSYS`, for this reason.
    Missing(&'static str),
}

/// One system call.
#[derive(Debug)]
pub struct Row {
    /// Number in the x86-64 table.
    pub nr64: Option<u16>,
    /// Number in the i386 table.
    pub nr32: Option<u16>,
    /// Name as in the kernel's tables (without `sys_`).
    pub name: &'static str,
    /// What is done.
    pub action: Action,
    /// The arguments.
    pub args: &'static [Kind],
    /// How complete it is.
    pub level: Level,
}

/// Runs `f` (a fork of the host process) while no other thread holds a lock of a system call family.
pub fn locked<T>(f: impl FnOnce() -> T) -> T {
    dir::locked(|| info::locked(|| ipc::locked(|| uring::locked(f))))
}

/// The row of a number, if there is one.
pub fn lookup(abi: Abi, nr: u32) -> Option<&'static Row> {
    let index = match abi {
        Abi::X86_64 => &table::INDEX64,
        Abi::I386 => &table::INDEX32,
    };
    let row = *index.get(nr as usize)?;
    table::TABLE.get(row as usize)
}

/// Number and arguments of a system call as they stand in registers.
pub fn registers(task: &Task, entry: SyscallEntry) -> (u32, [u64; 6]) {
    use demotic_x86::state::reg;
    let gpr = &task.cpu.state.gpr;
    let low = |i: usize| gpr[i] & 0xffff_ffff;
    let args = match entry {
        SyscallEntry::Syscall => [gpr[reg::RDI], gpr[reg::RSI], gpr[reg::RDX], gpr[10], gpr[8], gpr[9]],
        SyscallEntry::Int80 | SyscallEntry::Sysenter => {
            [low(reg::RBX), low(reg::RCX), low(reg::RDX), low(reg::RSI), low(reg::RDI), low(reg::RBP)]
        }
    };
    (gpr[reg::RAX] as u32, args)
}

/// The system call that the guest just asked for by `entry`: number and arguments from its registers (syscall(2), and
/// arch/x86/entry/entry_64_compat.S for the 32-bit entries), answer for RAX. Sets [`Task::abi`].
///
/// # Errors
/// The guest's errno, or one of the kernel-internal restart codes for the run loop.
pub fn dispatch(task: &mut Task, entry: SyscallEntry) -> SysResult {
    use demotic_x86::state::reg;
    let (nr, mut args) = registers(task, entry);
    task.abi = if entry == SyscallEntry::Syscall { Abi::X86_64 } else { Abi::I386 };
    if entry == SyscallEntry::Sysenter {
        // The caller put EBP on its stack and the stack pointer into EBP; the sixth argument lies there.
        task.cpu.state.gpr[reg::RSP] = args[5];
        args[5] = task.mem.read::<u32>(args[5])?.into();
    }
    call(task, nr, args)
}

/// One system call by number and arguments.
///
/// # Errors
/// As [`dispatch`].
pub fn call(task: &mut Task, nr: u32, args: [u64; 6]) -> SysResult {
    let Some(row) = lookup(task.abi, nr) else {
        unknown(task, nr, None);
        return Err(Errno::ENOSYS);
    };
    if !task.process.options.strace {
        return act(task, row, nr, args);
    }
    let abi = task.abi;
    let line = strace::Line::enter(task, row, &args);
    let result = act(task, row, nr, args);
    // A handler must not change the ABI, but exec does.
    line.leave(task, row, &args, abi, result);
    result
}

/// True for a descriptor of Demotic's own, which the guest is not to know.
pub fn is_hidden_fd(task: &Task, fd: i32) -> bool {
    crate::exec::is_own_fd(fd) || task.process.root.is_fd(fd)
}

fn act(task: &mut Task, row: &'static Row, nr: u32, args: [u64; 6]) -> SysResult {
    if matches!(row.args.first(), Some(Kind::Fd | Kind::AtFd)) && is_hidden_fd(task, args[0] as i32) {
        return Err(Errno::EBADF);
    }
    match row.action {
        Action::Call(handler) => handler(task, args),
        Action::Pass(host) => pass(task, row.args, args, |task, host_args| task.syscall_host(host, host_args)),
        Action::Block(host) => pass(task, row.args, args, |task, host_args| task.syscall_blocking(host, host_args)),
        Action::Enosys => {
            unknown(task, nr, Some(row));
            Err(Errno::ENOSYS)
        }
    }
}

/// Converts the arguments by kind and makes the host call.
fn pass(
    task: &mut Task,
    kinds: &[Kind],
    guest: [u64; 6],
    call: impl FnOnce(&mut Task, [usize; 6]) -> SysResult,
) -> SysResult {
    let mut paths: SmallVec<[CString; 2]> = SmallVec::new();
    let at_flags = kinds.iter().position(|&kind| kind == Kind::AtFlags).map_or(0, |at| guest[at] as i32);
    let mut host = [0usize; 6];
    for (i, &kind) in kinds.iter().enumerate().take(6) {
        let value = guest[i];
        let len_of = |index: u8| guest.get(usize::from(index)).map_or(0, |&len| len as usize);
        host[i] = match kind {
            Kind::Int
            | Kind::Fd
            | Kind::AtFd
            | Kind::Signal
            | Kind::Whence
            | Kind::Clock
            | Kind::Family
            | Kind::Fcntl => value as i32 as isize as usize,
            Kind::Uint | Kind::Mode | Kind::AtFlags | Kind::Futex => value as u32 as usize,
            Kind::Long => args::long(task, value) as usize,
            Kind::Size | Kind::Hex | Kind::Ptr | Kind::Prot | Kind::MapFlags | Kind::CloneFlags => value as usize,
            Kind::OpenFlags => crate::abi::flags::open_to_host(value as u32) as usize,
            Kind::Path | Kind::Link | Kind::Entry if value != 0 => {
                let last = match kind {
                    Kind::Entry => Last::Entry,
                    Kind::Link if at_flags & libc::AT_SYMLINK_FOLLOW == 0 => Last::Itself,
                    Kind::Path if at_flags & libc::AT_SYMLINK_NOFOLLOW != 0 => Last::Itself,
                    _ => Last::Follow,
                };
                let path = match i.checked_sub(1).filter(|&dir| kinds[dir] == Kind::AtFd) {
                    Some(dir) => {
                        let place = path::place(task, guest[dir], value, last)?;
                        host[dir] = place.dir;
                        place.name
                    }
                    None => path::whole(task, value, last)?,
                };
                let pointer = path.as_ptr() as usize;
                // The bytes of a CString stay where they are when the CString moves.
                paths.push(path);
                pointer
            }
            Kind::Path | Kind::Link | Kind::Entry => 0,
            Kind::Str | Kind::In | Kind::Timespec | Kind::Timespec64 => task.mem.host(value, 1, Access::Read)? as usize,
            Kind::InBuf(len) | Kind::SockAddr(len) => task.mem.host(value, len_of(len), Access::Read)? as usize,
            Kind::OutBuf(len) => task.mem.host(value, len_of(len), Access::Write)? as usize,
            Kind::Out(len) => task.mem.host(value, len.into(), Access::Write)? as usize,
        };
    }
    call(task, host)
}

/// Says once per number that a system call is not there.
fn unknown(task: &Task, nr: u32, row: Option<&Row>) {
    // Programs try newer calls and fall back; what the table knows to be missing is worth a line only when asked for.
    if row.is_some() && !task.process.options.log {
        return;
    }
    static SEEN: [[AtomicU64; 8]; 2] = [const { [const { AtomicU64::new(0) }; 8] }; 2];
    let abi = task.abi;
    if let Some(word) = SEEN[usize::from(abi == Abi::I386)].get(nr as usize / 64) {
        let bit = 1 << (nr % 64);
        if word.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
            return;
        }
    }
    let abi = if abi == Abi::I386 { "i386" } else { "x86-64" };
    match row {
        Some(row) => {
            demotic_host::log::item(format_args!(
                "demotic: {abi} system call {nr} ({}) is not implemented: ENOSYS",
                row.name
            ));
        }
        None => demotic_host::log::item(format_args!("demotic: {abi} system call {nr} is not known: ENOSYS")),
    }
}
