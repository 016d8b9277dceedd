//! What a tracer can ask about a thread besides registers and memory: its pending signals and its filters.

use super::tracer;
use crate::abi::siginfo::Siginfo;
use crate::errno::{Errno, SysResult};
use crate::seccomp::Parts;
use crate::syscall::args::{own, own_mut};
use crate::task::Task;
use demotic_host::capture::Info;
use demotic_host::signal::mark;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `struct ptrace_peeksiginfo_args` (linux/ptrace.h).
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
struct PeekArgs {
    off: u64,
    flags: u32,
    nr: i32,
}

/// PTRACE_PEEKSIGINFO_SHARED: the queue of the process.
const SHARED: u32 = 1;
const PEEKSIGINFO: u32 = 0x4209;
/// How many signals are asked for at a time.
const BATCH: usize = 32;

/// PTRACE_PEEKSIGINFO (kernel/ptrace.c, `ptrace_peek_siginfo`): in front of the host's queue are the signals that the thread has taken from it.
/// Whether those were sent to the thread or to the process is told by their code: only tgkill(2) and faults are the thread's. Blocked signals of faults'
/// kinds that somebody sent are among them, so they stand before others that were sent earlier.
pub fn pending(task: &Task, tid: i32, how_at: u64, at: u64) -> SysResult {
    let how: PeekArgs = task.mem.read(how_at)?;
    if how.flags & !SHARED != 0 || how.nr < 0 {
        return Err(Errno::EINVAL);
    }
    let is_shared = how.flags & SHARED != 0;
    let mut queue = Vec::new();
    if let Ok(record) = tracer::load(task, tid) {
        let taken = record.waiting.iter().take(record.waiting_count as usize).map(|&raw| Info(raw));
        queue.extend(taken.filter(|info| (info.code() != libc::SI_TKILL && info.code() <= 0) == is_shared));
    }
    let mut host = PeekArgs { off: 0, flags: how.flags, nr: BATCH as i32 };
    loop {
        let mut infos = [Info([0; 128]); BATCH];
        let got = tracer::ptrace(task, PEEKSIGINFO, tid, own(&host), own_mut(&mut infos))? as usize;
        // What Demotic sends itself is nobody's business.
        let is_guests = |info: &&Info| ![mark::STOP, mark::REQUEST, mark::DUE].contains(&info.code());
        queue.extend(infos.iter().take(got).filter(is_guests));
        host.off += got as u64;
        if got < BATCH {
            break;
        }
    }
    let skipped = usize::try_from(how.off).unwrap_or(usize::MAX);
    let mut count = 0;
    for info in queue.iter().skip(skipped).take(how.nr as usize) {
        let place = at.checked_add(count * 128).ok_or(Errno::EFAULT);
        match place.and_then(|at| task.mem.write(at, &Siginfo::from_host(info.0).to_guest(task.abi))) {
            Ok(()) => count += 1,
            Err(errno) if count == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(count)
}

/// Flags and instructions of a thread's filter with this index, the oldest being 0 (kernel/seccomp.c, `get_nth_filter`).
fn nth_filter(task: &Task, tid: i32, index: u64) -> Result<(u32, Vec<u8>), Errno> {
    const GET_FILTER: u32 = 0x420c;
    // The host knows whether this process may ask; of the filters it knows nothing.
    let is_denied = tracer::ptrace(task, GET_FILTER, tid, usize::MAX, 0) == Err(Errno::EACCES);
    if is_denied || task.seccomp.is_active() {
        return Err(Errno::EACCES);
    }
    let record = tracer::load(task, tid)?;
    let [at, len] = record.filters;
    if record.parked == 0 || len == 0 {
        return Err(Errno::EINVAL);
    }
    // No chain is longer (MAX_INSNS_PER_PATH); the length comes from another process.
    let len = usize::try_from(len).ok().filter(|&len| len <= 1 << 20).ok_or(Errno::EIO)?;
    let mut bytes = vec![0; len];
    tracer::read(task, tid, at, &mut bytes)?;
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    let (flags, program) = Parts(&bytes).nth(index).ok_or(Errno::ENOENT)?;
    Ok((flags, program.to_vec()))
}

/// PTRACE_SECCOMP_GET_FILTER (`seccomp_get_filter`): the answer is the number of instructions.
pub fn filter(task: &Task, tid: i32, index: u64, at: u64) -> SysResult {
    let (_, program) = nth_filter(task, tid, index)?;
    if at != 0 {
        task.mem.write_bytes(at, &program)?;
    }
    Ok(program.len() as u64 / 8)
}

/// PTRACE_SECCOMP_GET_METADATA (`seccomp_get_metadata`): as much of `struct seccomp_metadata` as has room in `size` bytes.
pub fn filter_metadata(task: &Task, tid: i32, size: u64, at: u64) -> SysResult {
    /// SECCOMP_FILTER_FLAG_LOG, the only flag that is told.
    const LOG: u64 = 2;
    // Rights come first, whatever else is wrong.
    match nth_filter(task, tid, u64::MAX) {
        Err(Errno::ENOENT | Errno::EINVAL) => {}
        Err(errno) => return Err(errno),
        Ok(_) => {}
    }
    if size < 8 {
        return Err(Errno::EINVAL);
    }
    let index = task.mem.read(at)?;
    let (flags, _) = nth_filter(task, tid, index)?;
    let size = size.min(16);
    let metadata = [index, u64::from(flags) & LOG];
    task.mem.write_bytes(at, &metadata.as_bytes()[..size as usize])?;
    Ok(size)
}
