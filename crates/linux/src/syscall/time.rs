//! Clocks, timers, sleeping and file times.
//!
//! i386 has two generations: `timespec` of two 32-bit words, and the `_time64` calls with the 64-bit structure. Both become
//! the host's 64-bit structure ([`Clock64`]).

use super::args::{int, own, own_mut};
use super::kernel;
use crate::abi::host::{Native, from_native, to_native};
use crate::abi::{Abi, Wide, x86_64};
use crate::errno::{Errno, SysResult};
use crate::fs::path;
use crate::fs::root::Last;
use crate::task::Task;
use x86_64::{Itimerspec, Itimerval, Timespec, Timeval};

/// The layout of `timespec` in a call: that of the ABI, or the 64-bit one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clock64 {
    /// The ABI's own.
    Native,
    /// `__kernel_timespec` whatever the ABI.
    Always,
}

impl Clock64 {
    /// The ABI whose layout is meant.
    fn abi(self, task: &Task) -> Abi {
        if self == Clock64::Always { Abi::X86_64 } else { task.abi }
    }
    /// A time from the guest.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn read(self, task: &Task, addr: u64) -> Result<Timespec, Errno> {
        let mut time = Timespec::load(&task.mem, self.abi(task), addr)?;
        if task.abi == Abi::I386 && self == Clock64::Always {
            // The upper half of the nanoseconds is padding for 32-bit callers (kernel/time/time.c, get_timespec64).
            time.tv_nsec &= 0xffff_ffff;
        }
        Ok(time)
    }
    /// A time that may be absent.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn read_optional(self, task: &Task, addr: u64) -> Result<Option<Timespec>, Errno> {
        if addr == 0 { Ok(None) } else { self.read(task, addr).map(Some) }
    }
    /// A time to the guest.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn write(self, task: &Task, addr: u64, time: &Timespec) -> Result<(), Errno> {
        time.store(&task.mem, self.abi(task), addr)
    }
}

/// Address of a time for the host kernel, null when absent.
pub fn own_optional(time: &Option<Timespec>) -> usize {
    time.as_ref().map_or(0, own)
}

fn now(task: &Task, clock: i32) -> Result<Timespec, Errno> {
    let mut time = Timespec::default();
    task.syscall_host(kernel::CLOCK_GETTIME, [clock as isize as usize, own_mut(&mut time), 0, 0, 0, 0])?;
    Ok(time)
}

/// `time(result)`.
pub fn time(task: &mut Task, a: [u64; 6]) -> SysResult {
    let seconds = now(task, libc::CLOCK_REALTIME)?.tv_sec;
    if a[0] != 0 {
        match task.abi {
            Abi::X86_64 => task.mem.write(a[0], &seconds)?,
            Abi::I386 => task.mem.write(a[0], &(seconds as i32))?,
        }
    }
    Ok(seconds as u64)
}
/// `stime(seconds)`, i386 only.
pub fn stime(task: &mut Task, a: [u64; 6]) -> SysResult {
    let time = Timespec { tv_sec: task.mem.read::<i32>(a[0])?.into(), tv_nsec: 0 };
    task.syscall_host(kernel::CLOCK_SETTIME, [libc::CLOCK_REALTIME as usize, own(&time), 0, 0, 0, 0])
}
/// `gettimeofday(tv, tz)`.
pub fn gettimeofday(task: &mut Task, a: [u64; 6]) -> SysResult {
    if a[0] != 0 {
        let time = now(task, libc::CLOCK_REALTIME)?;
        Timeval { tv_sec: time.tv_sec, tv_usec: time.tv_nsec / 1000 }.store(&task.mem, task.abi, a[0])?;
    }
    if a[1] != 0 {
        // struct timezone is two ints; with a null time the kernel only fills the zone.
        let mut zone = [0i32; 2];
        task.syscall_host(libc::SYS_gettimeofday, [0, own_mut(&mut zone), 0, 0, 0, 0])?;
        task.mem.write(a[1], &zone)?;
    }
    Ok(0)
}
/// `settimeofday(tv, tz)`.
pub fn settimeofday(task: &mut Task, a: [u64; 6]) -> SysResult {
    let zone = if a[1] == 0 { None } else { Some(task.mem.read::<[i32; 2]>(a[1])?) };
    let time = if a[0] == 0 { None } else { Some(Timeval::load(&task.mem, task.abi, a[0])?) };
    let time = time.map(|time| to_native(&time)).transpose()?;
    let args = [time.as_ref().map_or(0, own), zone.as_ref().map_or(0, own), 0, 0, 0, 0];
    task.syscall_host(libc::SYS_settimeofday, args)
}

fn get_clock(task: &mut Task, nr: libc::c_long, a: &[u64; 6], layout: Clock64) -> SysResult {
    let mut time = Timespec::default();
    // clock_getres allows a null result, and then only checks the clock.
    let result = if a[1] == 0 && nr == kernel::CLOCK_GETRES { 0 } else { own_mut(&mut time) };
    task.syscall_host(nr, [int(a[0]), result, 0, 0, 0, 0])?;
    if result != 0 {
        layout.write(task, a[1], &time)?;
    }
    Ok(0)
}
/// `clock_gettime(clock, time)`.
pub fn clock_gettime(task: &mut Task, a: [u64; 6]) -> SysResult {
    get_clock(task, kernel::CLOCK_GETTIME, &a, Clock64::Native)
}
/// `clock_gettime64(clock, time)`, i386 only.
pub fn clock_gettime64(task: &mut Task, a: [u64; 6]) -> SysResult {
    get_clock(task, kernel::CLOCK_GETTIME, &a, Clock64::Always)
}
/// `clock_getres(clock, time)`.
pub fn clock_getres(task: &mut Task, a: [u64; 6]) -> SysResult {
    get_clock(task, kernel::CLOCK_GETRES, &a, Clock64::Native)
}
/// `clock_getres_time64(clock, time)`, i386 only.
pub fn clock_getres_time64(task: &mut Task, a: [u64; 6]) -> SysResult {
    get_clock(task, kernel::CLOCK_GETRES, &a, Clock64::Always)
}

fn set_clock(task: &mut Task, a: &[u64; 6], layout: Clock64) -> SysResult {
    let time = layout.read(task, a[1])?;
    task.syscall_host(kernel::CLOCK_SETTIME, [int(a[0]), own(&time), 0, 0, 0, 0])
}
/// `clock_settime(clock, time)`.
pub fn clock_settime(task: &mut Task, a: [u64; 6]) -> SysResult {
    set_clock(task, &a, Clock64::Native)
}
/// `clock_settime64(clock, time)`, i386 only.
pub fn clock_settime64(task: &mut Task, a: [u64; 6]) -> SysResult {
    set_clock(task, &a, Clock64::Always)
}

/// Sleeps. An interrupted relative sleep reports what is left; without a handler the run loop restarts it with the
/// arguments that it had.
fn sleep(task: &mut Task, clock: usize, flags: u64, request: u64, remainder: u64, layout: Clock64) -> SysResult {
    let time = layout.read(task, request)?;
    let mut left = time;
    let relative = flags as i32 & libc::TIMER_ABSTIME == 0;
    let args = [clock, flags as u32 as usize, own(&time), own_mut(&mut left), 0, 0];
    let result = task.syscall_blocking(kernel::CLOCK_NANOSLEEP, args);
    match result {
        Err(Errno::ERESTARTSYS | Errno::EINTR) => {
            if relative && remainder != 0 {
                layout.write(task, remainder, &left)?;
            }
            Err(Errno::ERESTARTNOHAND)
        }
        other => other,
    }
}
/// `nanosleep(request, remainder)`.
pub fn nanosleep(task: &mut Task, a: [u64; 6]) -> SysResult {
    sleep(task, libc::CLOCK_MONOTONIC as usize, 0, a[0], a[1], Clock64::Native)
}
/// `clock_nanosleep(clock, flags, request, remainder)`.
pub fn clock_nanosleep(task: &mut Task, a: [u64; 6]) -> SysResult {
    sleep(task, int(a[0]), a[1], a[2], a[3], Clock64::Native)
}
/// `clock_nanosleep_time64(clock, flags, request, remainder)`, i386 only.
pub fn clock_nanosleep_time64(task: &mut Task, a: [u64; 6]) -> SysResult {
    sleep(task, int(a[0]), a[1], a[2], a[3], Clock64::Always)
}

/// `adjtimex` and `clock_adjtime`; `wide` is the `_time64` layout.
fn adjust(task: &mut Task, clock: usize, addr: u64, wide: bool) -> SysResult {
    let abi = if wide { Abi::X86_64 } else { task.abi };
    let mut timex = x86_64::Timex::load(&task.mem, abi, addr)?;
    let state = task.syscall_host(kernel::CLOCK_ADJTIME, [clock, own_mut(&mut timex), 0, 0, 0, 0])?;
    timex.store(&task.mem, abi, addr)?;
    Ok(state)
}
/// `adjtimex(timex)`.
pub fn adjtimex(task: &mut Task, a: [u64; 6]) -> SysResult {
    adjust(task, libc::CLOCK_REALTIME as usize, a[0], false)
}
/// `clock_adjtime(clock, timex)`.
pub fn clock_adjtime(task: &mut Task, a: [u64; 6]) -> SysResult {
    adjust(task, int(a[0]), a[1], false)
}
/// `clock_adjtime64(clock, timex)`, i386 only.
pub fn clock_adjtime64(task: &mut Task, a: [u64; 6]) -> SysResult {
    adjust(task, int(a[0]), a[1], true)
}

/// `timer_create(clock, sigevent, id)`.
pub fn timer_create(task: &mut Task, a: [u64; 6]) -> SysResult {
    let mut id = 0i32;
    let event = if a[1] == 0 { None } else { Some(to_native(&x86_64::Sigevent::load(&task.mem, task.abi, a[1])?)?) };
    let args = [int(a[0]), event.as_ref().map_or(0, own), own_mut(&mut id), 0, 0, 0];
    task.syscall_host(libc::SYS_timer_create, args)?;
    if let Err(errno) = task.mem.write(a[2], &id) {
        // The kernel undoes the creation when the id cannot be stored.
        let _ = task.syscall_host(libc::SYS_timer_delete, [id as usize, 0, 0, 0, 0, 0]);
        return Err(errno);
    }
    Ok(0)
}

fn set_timer(task: &mut Task, nr: libc::c_long, a: &[u64; 6], layout: Clock64) -> SysResult {
    let abi = layout.abi(task);
    if a[2] == 0 && nr == kernel::TIMER_SETTIME {
        return Err(Errno::EINVAL);
    }
    let new = Itimerspec::load(&task.mem, abi, a[2])?;
    let mut old = Itimerspec::default();
    task.syscall_host(nr, [int(a[0]), int(a[1]), own(&new), own_mut(&mut old), 0, 0])?;
    if a[3] != 0 {
        old.store(&task.mem, abi, a[3])?;
    }
    Ok(0)
}
fn get_timer(task: &mut Task, nr: libc::c_long, a: &[u64; 6], layout: Clock64) -> SysResult {
    let mut value = Itimerspec::default();
    task.syscall_host(nr, [int(a[0]), own_mut(&mut value), 0, 0, 0, 0])?;
    value.store(&task.mem, layout.abi(task), a[1])?;
    Ok(0)
}
/// `timer_settime(id, flags, new, old)`.
pub fn timer_settime(task: &mut Task, a: [u64; 6]) -> SysResult {
    set_timer(task, kernel::TIMER_SETTIME, &a, Clock64::Native)
}
/// `timer_settime64(id, flags, new, old)`, i386 only.
pub fn timer_settime64(task: &mut Task, a: [u64; 6]) -> SysResult {
    set_timer(task, kernel::TIMER_SETTIME, &a, Clock64::Always)
}
/// `timer_gettime(id, value)`.
pub fn timer_gettime(task: &mut Task, a: [u64; 6]) -> SysResult {
    get_timer(task, kernel::TIMER_GETTIME, &a, Clock64::Native)
}
/// `timer_gettime64(id, value)`, i386 only.
pub fn timer_gettime64(task: &mut Task, a: [u64; 6]) -> SysResult {
    get_timer(task, kernel::TIMER_GETTIME, &a, Clock64::Always)
}
/// `timerfd_settime(fd, flags, new, old)`.
pub fn timerfd_settime(task: &mut Task, a: [u64; 6]) -> SysResult {
    set_timer(task, kernel::TIMERFD_SETTIME, &a, Clock64::Native)
}
/// `timerfd_settime64(fd, flags, new, old)`, i386 only.
pub fn timerfd_settime64(task: &mut Task, a: [u64; 6]) -> SysResult {
    set_timer(task, kernel::TIMERFD_SETTIME, &a, Clock64::Always)
}
/// `timerfd_gettime(fd, value)`.
pub fn timerfd_gettime(task: &mut Task, a: [u64; 6]) -> SysResult {
    get_timer(task, kernel::TIMERFD_GETTIME, &a, Clock64::Native)
}
/// `timerfd_gettime64(fd, value)`, i386 only.
pub fn timerfd_gettime64(task: &mut Task, a: [u64; 6]) -> SysResult {
    get_timer(task, kernel::TIMERFD_GETTIME, &a, Clock64::Always)
}

/// `getitimer(which, value)`.
pub fn getitimer(task: &mut Task, a: [u64; 6]) -> SysResult {
    let mut value = Native::<Itimerval>::default();
    task.syscall_host(libc::SYS_getitimer, [int(a[0]), own_mut(&mut value), 0, 0, 0, 0])?;
    from_native::<Itimerval>(&value).store(&task.mem, task.abi, a[1])?;
    Ok(0)
}
/// `setitimer(which, new, old)`; without a new value the timer is stopped.
pub fn setitimer(task: &mut Task, a: [u64; 6]) -> SysResult {
    let new = if a[1] == 0 { Itimerval::default() } else { Itimerval::load(&task.mem, task.abi, a[1])? };
    let new = to_native(&new)?;
    let mut old = Native::<Itimerval>::default();
    task.syscall_host(libc::SYS_setitimer, [int(a[0]), own(&new), own_mut(&mut old), 0, 0, 0])?;
    if a[2] != 0 {
        from_native::<Itimerval>(&old).store(&task.mem, task.abi, a[2])?;
    }
    Ok(0)
}
/// `alarm(seconds)`: the real-time interval timer in whole seconds; what was left is rounded as the kernel does it.
pub fn alarm(task: &mut Task, a: [u64; 6]) -> SysResult {
    // The kernel caps at INT_MAX seconds so that 32-bit ABIs do not see negative times.
    let seconds = (a[0] as u32).min(i32::MAX as u32);
    let new = to_native(&Itimerval { value_sec: seconds.into(), ..Default::default() })?;
    let mut old = Native::<Itimerval>::default();
    task.syscall_host(libc::SYS_setitimer, [libc::ITIMER_REAL as usize, own(&new), own_mut(&mut old), 0, 0, 0])?;
    let old = from_native::<Itimerval>(&old);
    let left = old.value_sec as u64;
    // Never 0 for a timer that was still running, else to the nearest second.
    Ok(if (left == 0 && old.value_usec != 0) || old.value_usec >= 500_000 { left + 1 } else { left })
}
/// `times(buf)`.
pub fn times(task: &mut Task, a: [u64; 6]) -> SysResult {
    let mut value = Native::<x86_64::Tms>::default();
    let ticks = task.syscall_host(libc::SYS_times, [own_mut(&mut value), 0, 0, 0, 0, 0])?;
    if a[0] != 0 {
        from_native::<x86_64::Tms>(&value).store(&task.mem, task.abi, a[0])?;
    }
    Ok(ticks)
}

/// Sets access and modification time; without a path those of the directory descriptor itself.
fn set_file_times(task: &mut Task, dir: u64, name: u64, times: Option<[Timespec; 2]>, flags: u64) -> SysResult {
    let last = if flags as i32 & libc::AT_SYMLINK_NOFOLLOW != 0 { Last::Itself } else { Last::Follow };
    let place = if name == 0 { None } else { Some(path::place(task, dir, name, last)?) };
    let (dir, pointer) = place.as_ref().map_or((int(dir), 0), |place| (place.dir, place.at()));
    let args = [dir, pointer, times.as_ref().map_or(0, own), flags as u32 as usize, 0, 0];
    task.syscall_host(kernel::UTIMENSAT, args)
}
/// `utime(path, times)`: whole seconds.
pub fn utime(task: &mut Task, a: [u64; 6]) -> SysResult {
    let times = if a[1] == 0 {
        None
    } else {
        let t = x86_64::Utimbuf::load(&task.mem, task.abi, a[1])?;
        Some([t.actime, t.modtime].map(|tv_sec| Timespec { tv_sec, tv_nsec: 0 }))
    };
    set_path_times(task, libc::AT_FDCWD as u64, a[0], times)
}
/// The calls that need a path: a null one is EFAULT.
fn set_path_times(task: &mut Task, dir: u64, name: u64, times: Option<[Timespec; 2]>) -> SysResult {
    if name == 0 { Err(Errno::EFAULT) } else { set_file_times(task, dir, name, times, 0) }
}
fn microseconds(task: &Task, addr: u64) -> Result<Option<[Timespec; 2]>, Errno> {
    if addr == 0 {
        return Ok(None);
    }
    let mut times = [Timespec::default(); 2];
    for (i, time) in times.iter_mut().enumerate() {
        let tv = Timeval::load(&task.mem, task.abi, addr.wrapping_add(i as u64 * Timeval::size(task.abi)))?;
        // The kernel checks this itself because UTIME_NOW and UTIME_OMIT must not come through (fs/utimes.c).
        if !(0..1_000_000).contains(&tv.tv_usec) {
            return Err(Errno::EINVAL);
        }
        *time = Timespec { tv_sec: tv.tv_sec, tv_nsec: tv.tv_usec * 1000 };
    }
    Ok(Some(times))
}
/// `utimes(path, times)`.
pub fn utimes(task: &mut Task, a: [u64; 6]) -> SysResult {
    let times = microseconds(task, a[1])?;
    set_path_times(task, libc::AT_FDCWD as u64, a[0], times)
}
/// `futimesat(dirfd, path, times)`; without a path the descriptor's own file.
pub fn futimesat(task: &mut Task, a: [u64; 6]) -> SysResult {
    let times = microseconds(task, a[2])?;
    set_file_times(task, a[0], a[1], times, 0)
}
fn nanoseconds(task: &mut Task, a: &[u64; 6], layout: Clock64) -> SysResult {
    let times = if a[2] == 0 {
        None
    } else {
        let size = Timespec::size(layout.abi(task));
        Some([layout.read(task, a[2])?, layout.read(task, a[2].wrapping_add(size))?])
    };
    set_file_times(task, a[0], a[1], times, a[3])
}
/// `utimensat(dirfd, path, times, flags)`.
pub fn utimensat(task: &mut Task, a: [u64; 6]) -> SysResult {
    nanoseconds(task, &a, Clock64::Native)
}
/// `utimensat_time64(dirfd, path, times, flags)`, i386 only.
pub fn utimensat_time64(task: &mut Task, a: [u64; 6]) -> SysResult {
    nanoseconds(task, &a, Clock64::Always)
}
