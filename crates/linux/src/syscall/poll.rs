//! Waiting for descriptors: `poll`, `select`, `epoll`, and the descriptors that exist to be waited for.
//!
//! The host is always called by the newest form (`ppoll`, `pselect6`, `epoll_pwait`), the only ones on aarch64. `pollfd`
//! is the same everywhere; `epoll_event` is packed on x86 only. A bit set of `select` has the same bytes for 32- and
//! 64-bit words on little-endian machines, but the kernel reads and writes whole words, so the sets go through buffers of
//! ours and only the guest's own words are stored back.

use super::args::{int, output, own, own_mut};
use super::kernel;
use super::time::{Clock64, own_optional};
use crate::abi::{Wide, host, x86_64};
use crate::errno::{Errno, SysResult};
use crate::signal::with_mask;
use crate::task::{Abi, Task};
use smallvec::SmallVec;
use x86_64::{Timespec, Timeval};

/// The kernel's `sigset_t` in bytes, for every ABI.
const SIGSET: usize = 8;

/// The signal mask argument of the `p` calls: absent, or 8 bytes at `addr`.
fn read_mask(task: &Task, addr: u64, size: u64) -> Result<Option<u64>, Errno> {
    if addr == 0 {
        return Ok(None);
    }
    if size != SIGSET as u64 {
        return Err(Errno::EINVAL);
    }
    task.mem.read(addr).map(Some)
}

/// Interrupted waits with a timeout are not restarted when a handler ran (signal(7)).
fn no_handler(result: SysResult) -> SysResult {
    result.map_err(|errno| if errno == Errno::ERESTARTSYS { Errno::ERESTARTNOHAND } else { errno })
}

/// As [`no_handler`], for calls that are never restarted.
fn interrupted(result: SysResult) -> SysResult {
    result.map_err(|errno| if errno == Errno::ERESTARTSYS { Errno::EINTR } else { errno })
}

fn poll_fds(task: &mut Task, a: &[u64; 6], time: &mut Option<Timespec>, mask: Option<u64>) -> SysResult {
    let count = a[1] as u32 as usize;
    let fds = output(task, a[0], count.saturating_mul(8))?;
    let time = time.as_mut().map_or(0, own_mut);
    no_handler(with_mask(task, mask, |task, mask| {
        task.syscall_blocking(kernel::PPOLL, [fds, count, time, mask, SIGSET, 0])
    }))
}

/// `poll(fds, count, milliseconds)`.
pub fn poll(task: &mut Task, a: [u64; 6]) -> SysResult {
    let mut time = milliseconds(a[2]);
    poll_fds(task, &a, &mut time, None)
}
/// A timeout in milliseconds; negative means none.
fn milliseconds(value: u64) -> Option<Timespec> {
    let value = value as i32;
    (value >= 0).then(|| Timespec { tv_sec: (value / 1000).into(), tv_nsec: i64::from(value % 1000) * 1_000_000 })
}
fn ppoll_with(task: &mut Task, a: &[u64; 6], layout: Clock64) -> SysResult {
    let mut time = layout.read_optional(task, a[2])?;
    let mask = read_mask(task, a[3], a[4])?;
    let result = poll_fds(task, a, &mut time, mask);
    store_rest(task, a[2], &time, layout);
    result
}
/// The kernel stores the time that was left; a read-only timeout is no error.
fn store_rest(task: &Task, addr: u64, time: &Option<Timespec>, layout: Clock64) {
    if let Some(time) = time {
        let _ = layout.write(task, addr, time);
    }
}
/// `ppoll(fds, count, timeout, mask, masksize)`.
pub fn ppoll(task: &mut Task, a: [u64; 6]) -> SysResult {
    ppoll_with(task, &a, Clock64::Native)
}
/// `ppoll_time64(fds, count, timeout, mask, masksize)`, i386 only.
pub fn ppoll_time64(task: &mut Task, a: [u64; 6]) -> SysResult {
    ppoll_with(task, &a, Clock64::Always)
}

/// One bit set of `select` in host words.
type Set = SmallVec<[usize; 16]>;

/// Bytes of a guest set for `count` descriptors: whole words of its ABI.
fn set_bytes(task: &Task, count: usize) -> usize {
    let bits = task.word() * 8;
    count.div_ceil(bits) * task.word()
}

fn read_set(task: &Task, addr: u64, count: usize) -> Result<Option<Set>, Errno> {
    if addr == 0 {
        return Ok(None);
    }
    let mut set: Set = SmallVec::from_elem(0, count.div_ceil(usize::BITS as usize) + 1);
    let bytes = zerocopy::IntoBytes::as_mut_bytes(set.as_mut_slice());
    let len = set_bytes(task, count);
    task.mem.read_bytes(addr, bytes.get_mut(..len).ok_or(Errno::EINVAL)?)?;
    Ok(Some(set))
}

fn write_set(task: &Task, addr: u64, count: usize, set: &Option<Set>) -> Result<(), Errno> {
    let Some(set) = set else { return Ok(()) };
    let bytes = zerocopy::IntoBytes::as_bytes(set.as_slice());
    task.mem.write_bytes(addr, bytes.get(..set_bytes(task, count)).ok_or(Errno::EINVAL)?)
}

/// All forms of `select`: `time` is updated to what was left.
fn select_sets(
    task: &mut Task,
    count: u64,
    sets: [u64; 3],
    time: &mut Option<Timespec>,
    mask: Option<u64>,
) -> SysResult {
    let count = count as i32;
    if count < 0 {
        return Err(Errno::EINVAL);
    }
    // The kernel looks no further than the descriptor table; no table is larger than this (fs.nr_open's default).
    let count = (count as usize).min(1 << 20);
    let mut host_sets: [Option<Set>; 3] = [None, None, None];
    for (set, addr) in host_sets.iter_mut().zip(sets) {
        *set = read_set(task, addr, count)?;
    }
    let mut pointers = [0; 3];
    for (pointer, set) in pointers.iter_mut().zip(host_sets.iter_mut()) {
        *pointer = set.as_mut().map_or(0, |set| set.as_mut_ptr() as usize);
    }
    let time = time.as_mut().map_or(0, own_mut);
    let ready = no_handler(with_mask(task, mask, |task, mask| {
        let pack = [mask, SIGSET];
        let args = [count, pointers[0], pointers[1], pointers[2], time, own(&pack)];
        task.syscall_blocking(kernel::PSELECT6, args)
    }))?;
    for (set, addr) in host_sets.iter().zip(sets) {
        write_set(task, addr, count, set)?;
    }
    Ok(ready)
}

fn select_timeval(task: &mut Task, count: u64, sets: [u64; 3], timeout: u64) -> SysResult {
    let mut time = None;
    if timeout != 0 {
        let tv = Timeval::load(&task.mem, task.abi, timeout)?;
        // Microseconds beyond a second are carried (fs/select.c, kern_select).
        let sec = tv.tv_sec.wrapping_add(tv.tv_usec / 1_000_000);
        time = Some(Timespec { tv_sec: sec, tv_nsec: tv.tv_usec % 1_000_000 * 1000 });
    }
    let result = select_sets(task, count, sets, &mut time, None);
    if let Some(time) = time {
        let left = Timeval { tv_sec: time.tv_sec, tv_usec: time.tv_nsec / 1000 };
        let _ = left.store(&task.mem, task.abi, timeout);
    }
    result
}
/// `select`: on i386 one pointer to the five arguments (number 82), on x86-64 the five arguments.
pub fn select(task: &mut Task, a: [u64; 6]) -> SysResult {
    match task.abi {
        Abi::X86_64 => select_timeval(task, a[0], [a[1], a[2], a[3]], a[4]),
        Abi::I386 => {
            let [count, read, write, except, time] = task.mem.read::<[u32; 5]>(a[0])?.map(u64::from);
            select_timeval(task, count, [read, write, except], time)
        }
    }
}
/// `_newselect(count, read, write, except, timeout)`, i386 only.
pub fn newselect(task: &mut Task, a: [u64; 6]) -> SysResult {
    select_timeval(task, a[0], [a[1], a[2], a[3]], a[4])
}

fn pselect_with(task: &mut Task, a: &[u64; 6], layout: Clock64) -> SysResult {
    let mut time = layout.read_optional(task, a[4])?;
    let mask = if a[5] == 0 {
        None
    } else {
        let (addr, size) = match task.abi {
            Abi::X86_64 => task.mem.read::<[u64; 2]>(a[5])?.into(),
            Abi::I386 => task.mem.read::<[u32; 2]>(a[5])?.map(u64::from).into(),
        };
        read_mask(task, addr, size)?
    };
    let result = select_sets(task, a[0], [a[1], a[2], a[3]], &mut time, mask);
    store_rest(task, a[4], &time, layout);
    result
}
/// `pselect6(count, read, write, except, timeout, mask pack)`.
pub fn pselect6(task: &mut Task, a: [u64; 6]) -> SysResult {
    pselect_with(task, &a, Clock64::Native)
}
/// `pselect6_time64(count, read, write, except, timeout, mask pack)`, i386 only.
pub fn pselect6_time64(task: &mut Task, a: [u64; 6]) -> SysResult {
    pselect_with(task, &a, Clock64::Always)
}

/// `epoll_create(size)`.
pub fn epoll_create(task: &mut Task, a: [u64; 6]) -> SysResult {
    if (a[0] as i32) <= 0 {
        return Err(Errno::EINVAL);
    }
    task.syscall_host(libc::SYS_epoll_create1, [0; 6])
}
/// `epoll_ctl(epfd, op, fd, event)`.
pub fn epoll_ctl(task: &mut Task, a: [u64; 6]) -> SysResult {
    // Only EPOLL_CTL_DEL does not look at the event.
    let event = if a[1] as i32 == libc::EPOLL_CTL_DEL {
        host::EpollEvent::default()
    } else {
        task.mem.read::<x86_64::EpollEvent>(a[3])?.into()
    };
    task.syscall_host(libc::SYS_epoll_ctl, [int(a[0]), int(a[1]), int(a[2]), own(&event), 0, 0])
}

/// Most events of one call; the kernel's own limit is larger than any program asks for.
const MAX_EVENTS: i32 = 65536;

fn wait_events(
    task: &mut Task,
    a: &[u64; 6],
    mask: Option<u64>,
    call: impl FnOnce(&mut Task, usize, usize, usize) -> SysResult,
) -> SysResult {
    let max = a[2] as i32;
    if max <= 0 || max > i32::MAX / 12 {
        return Err(Errno::EINVAL);
    }
    let max = max.min(MAX_EVENTS) as usize;
    let mut events: SmallVec<[host::EpollEvent; 32]> = SmallVec::from_elem(host::EpollEvent::default(), max);
    // The buffer must be writable even when nothing happens.
    output(task, a[1], max * 12)?;
    let pointer = events.as_mut_ptr() as usize;
    let ready = interrupted(with_mask(task, mask, |task, mask| call(task, pointer, max, mask)))?;
    for (i, event) in events.iter().take(ready as usize).enumerate() {
        task.mem.write(a[1].wrapping_add(i as u64 * 12), &EventBytes::from(*event))?;
    }
    Ok(ready)
}

/// The guest's packed event as bytes.
#[derive(zerocopy::IntoBytes, zerocopy::Immutable)]
#[repr(C)]
struct EventBytes {
    events: u32,
    data: [u32; 2],
}
impl From<host::EpollEvent> for EventBytes {
    fn from(e: host::EpollEvent) -> Self {
        EventBytes { events: e.events, data: [e.data as u32, (e.data >> 32) as u32] }
    }
}

/// `epoll_wait(epfd, events, max, milliseconds)`.
pub fn epoll_wait(task: &mut Task, a: [u64; 6]) -> SysResult {
    epoll_pwait(task, [a[0], a[1], a[2], a[3], 0, 0])
}
/// `epoll_pwait(epfd, events, max, milliseconds, mask, masksize)`.
pub fn epoll_pwait(task: &mut Task, a: [u64; 6]) -> SysResult {
    let mask = read_mask(task, a[4], a[5])?;
    wait_events(task, &a, mask, |task, events, max, mask| {
        task.syscall_blocking(libc::SYS_epoll_pwait, [int(a[0]), events, max, int(a[3]), mask, SIGSET])
    })
}
/// `epoll_pwait2(epfd, events, max, timeout, mask, masksize)`: a 64-bit `timespec` for all ABIs.
pub fn epoll_pwait2(task: &mut Task, a: [u64; 6]) -> SysResult {
    let time = Clock64::Always.read_optional(task, a[3])?;
    let mask = read_mask(task, a[4], a[5])?;
    wait_events(task, &a, mask, |task, events, max, mask| {
        task.syscall_blocking(libc::SYS_epoll_pwait2, [int(a[0]), events, max, own_optional(&time), mask, SIGSET])
    })
}

/// `eventfd(initial)`.
pub fn eventfd(task: &mut Task, a: [u64; 6]) -> SysResult {
    task.syscall_host(libc::SYS_eventfd2, [a[0] as u32 as usize, 0, 0, 0, 0, 0])
}
/// `inotify_init()`.
pub fn inotify_init(task: &mut Task, _: [u64; 6]) -> SysResult {
    task.syscall_host(libc::SYS_inotify_init1, [0; 6])
}
