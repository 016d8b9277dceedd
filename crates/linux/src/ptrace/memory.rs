//! Memory of a traced process: PEEK and POKE, and what was written by other ways ([`note_file`], [`note_foreign`]).

use super::tracer;
use crate::errno::{Errno, SysResult};
use crate::task::Task;

fn host_word(task: &Task, tid: i32, address: u64) -> Result<u64, Errno> {
    let mut word = 0usize;
    tracer::ptrace(task, libc::PTRACE_PEEKDATA, tid, address as usize, &raw mut word as usize)?;
    Ok(word as u64)
}

/// A host word's address that holds `size` bytes at `address`, and where in it they begin: the word may end at the last byte before a hole.
fn containing(task: &Task, tid: i32, address: u64, size: u64) -> Result<(u64, u64, u64), Errno> {
    match host_word(task, tid, address) {
        Ok(word) => Ok((address, 0, word)),
        Err(_) if size < 8 => {
            let before = address.wrapping_sub(8 - size);
            host_word(task, tid, before).map(|word| (before, 8 * (8 - size), word))
        }
        Err(e) => Err(e),
    }
}

/// PTRACE_PEEKTEXT and PTRACE_PEEKDATA: a word of the tracer's size.
///
/// # Errors
/// EIO where nothing is mapped.
pub fn peek(task: &Task, tid: i32, address: u64, size: usize) -> SysResult {
    let (_, shift, word) = containing(task, tid, address, size as u64)?;
    Ok(if size == 8 { word } else { word >> shift & 0xffff_ffff })
}

/// PTRACE_POKETEXT and PTRACE_POKEDATA.
///
/// # Errors
/// EIO where nothing is mapped.
pub fn poke(task: &Task, tid: i32, address: u64, size: usize, value: u64) -> SysResult {
    let (at, word) = if size == 8 {
        (address, value)
    } else {
        let (at, shift, word) = containing(task, tid, address, size as u64)?;
        (at, word & !(0xffff_ffff << shift) | (value & 0xffff_ffff) << shift)
    };
    tracer::ptrace(task, libc::PTRACE_POKEDATA, tid, at as usize, word as usize)?;
    let group = tracer::with(|all| all.get(&tid).map_or(tid, |t| t.group));
    tracer::wrote(group, address, size as u64);
    Ok(0)
}

/// To be called behind a write to a file by a process that traces: /proc/PID/mem is another way to write to memory.
pub fn note_file(fd: i32, offset: Option<i64>, written: u64) {
    let Ok(path) = std::fs::read_link(format!("/proc/self/fd/{fd}")) else { return };
    let path = path.to_string_lossy();
    let Some(middle) = path.strip_prefix("/proc/").and_then(|rest| rest.strip_suffix("/mem")) else { return };
    let Some(group) = middle.split('/').next().and_then(|pid| pid.parse::<i32>().ok()) else { return };
    let end = offset.map_or_else(
        // SAFETY: no memory is involved.
        || unsafe { libc::lseek64(fd, 0, libc::SEEK_CUR) } as u64,
        |offset| offset as u64 + written,
    );
    tracer::wrote(group, end.wrapping_sub(written), written);
}

/// To be called behind process_vm_writev(2).
pub fn note_foreign(pid: i32, ranges: &[libc::iovec]) {
    if tracer::traces() {
        for range in ranges {
            tracer::wrote(pid, range.iov_base as usize as u64, range.iov_len as u64);
        }
    }
}
