//! Ending threads and processes, and waiting for children.

use crate::abi::siginfo::Siginfo;
use crate::abi::{Abi, Wide, x86_64};
use crate::errno::{Errno, SysResult};
use crate::ptrace::tracer::{self, Seen};
use crate::task::Task;

/// exit(2): ends the thread; the run loop returns the status.
pub fn sys_exit(task: &mut Task, args: [u64; 6]) -> SysResult {
    crate::ptrace::tracee::park(task);
    task.exiting = Some(args[0] as i32);
    Ok(0)
}

/// exit_group(2): ends the process at once.
pub fn sys_exit_group(task: &mut Task, args: [u64; 6]) -> SysResult {
    if args[0] as i32 == LOADER_FAILED {
        say_what_is_missing(task);
    }
    task.process.preserve();
    crate::futex::release_robust(task);
    crate::gdb::exiting(task, args[0] as i32);
    crate::ptrace::tracee::park(task);
    process_exit(args[0] as i32)
}

/// The status of a program whose shared libraries were not found (elf/rtld.c of glibc; musl's is the same).
const LOADER_FAILED: i32 = 127;

/// When the dynamic linker itself gives up, one line says what provides the library that it named.
fn say_what_is_missing(task: &Task) {
    let Some(library) = task.missing_library.as_ref().map(|name| name.to_string_lossy()) else { return };
    let by = crate::fs::proc::module(task, task.cpu.state.rip).map(|(file, _)| file);
    if !by.is_some_and(|file| file.starts_with("ld")) {
        return;
    }
    let library = library.rsplit('/').next().unwrap_or_default();
    let arch = if task.process.is_32bit { "i386" } else { "amd64" };
    let how = if task.process.root.is_active() {
        "install its package in the guest root".to_owned()
    } else if arch == "amd64" && cfg!(target_arch = "x86_64") {
        "apt install its package, or --root FOLDER".to_owned()
    } else {
        format!("dpkg --add-architecture {arch} && apt update && apt install its PACKAGE:{arch}, or --root FOLDER")
    };
    demotic_host::log::line(format_args!("demotic: {library} is missing: {how} (apt-file search {library} names it)"));
}

/// Ends the process with a status and nothing else: no destructors, no flushing.
pub fn process_exit(status: i32) -> ! {
    loop {
        // SAFETY: does not return.
        unsafe { demotic_host::sys::syscall6(libc::SYS_exit_group, [status as usize, 0, 0, 0, 0, 0]) };
    }
}

/// Ends the calling host thread only, whose stack nobody will miss: the initial thread, and children that share memory.
pub fn thread_exit(status: i32) -> ! {
    loop {
        // SAFETY: does not return.
        unsafe { demotic_host::sys::syscall6(libc::SYS_exit, [status as usize, 0, 0, 0, 0, 0]) };
    }
}

fn int(value: u64) -> usize {
    value as i32 as isize as usize
}

/// The host's rusage in the guest's terms.
fn store_rusage(task: &Task, at: u64, host: &libc::rusage) -> Result<(), Errno> {
    if at == 0 {
        return Ok(());
    }
    #[allow(clippy::unnecessary_cast)]
    let usage = x86_64::Rusage {
        utime_sec: host.ru_utime.tv_sec as _,
        utime_usec: host.ru_utime.tv_usec as _,
        stime_sec: host.ru_stime.tv_sec as _,
        stime_usec: host.ru_stime.tv_usec as _,
        ru_maxrss: host.ru_maxrss as _,
        ru_ixrss: host.ru_ixrss as _,
        ru_idrss: host.ru_idrss as _,
        ru_isrss: host.ru_isrss as _,
        ru_minflt: host.ru_minflt as _,
        ru_majflt: host.ru_majflt as _,
        ru_nswap: host.ru_nswap as _,
        ru_inblock: host.ru_inblock as _,
        ru_oublock: host.ru_oublock as _,
        ru_msgsnd: host.ru_msgsnd as _,
        ru_msgrcv: host.ru_msgrcv as _,
        ru_nsignals: host.ru_nsignals as _,
        ru_nvcsw: host.ru_nvcsw as _,
        ru_nivcsw: host.ru_nivcsw as _,
    };
    usage.store(&task.mem, task.abi, at)
}

fn empty_rusage() -> libc::rusage {
    // SAFETY: a structure of integers.
    unsafe { std::mem::zeroed() }
}

fn do_wait4(task: &mut Task, pid: u64, status_at: u64, options: u64, usage_at: u64) -> SysResult {
    let mut status = 0i32;
    let mut usage = empty_rusage();
    let args = [int(pid), &raw mut status as usize, int(options), &raw mut usage as usize, 0, 0];
    let child = loop {
        let child = task.syscall_blocking(libc::SYS_wait4, args)?;
        if libc::WIFSTOPPED(status) && child != 0 {
            match tracer::seen(task, child as i32, status) {
                Seen::Plain => {}
                Seen::Passed => continue,
                Seen::Status(shown) => status = shown,
            }
        } else if child != 0 && !libc::WIFCONTINUED(status) {
            tracer::gone(child as i32);
        }
        break child;
    };
    if child != 0 {
        store_rusage(task, usage_at, &usage)?;
        if status_at != 0 {
            task.mem.write(status_at, &status)?;
        }
    }
    Ok(child)
}

/// wait4(2).
pub fn sys_wait4(task: &mut Task, args: [u64; 6]) -> SysResult {
    do_wait4(task, args[0], args[1], args[2], args[3])
}

/// waitpid(2) of i386.
pub fn sys_waitpid(task: &mut Task, args: [u64; 6]) -> SysResult {
    do_wait4(task, args[0], args[1], args[2], 0)
}

/// waitid(2).
pub fn sys_waitid(task: &mut Task, args: [u64; 6]) -> SysResult {
    let [kind, id, info_at, options, usage_at, _] = args;
    let mut info = [0u64; 16];
    let mut usage = empty_rusage();
    let host_args = [int(kind), int(id), info.as_mut_ptr() as usize, int(options), &raw mut usage as usize, 0];
    let child = loop {
        task.syscall_blocking(libc::SYS_waitid, host_args)?;
        let mut child = Siginfo::from_host(tracer::raw(&info));
        match child.code {
            _ if child.pid == 0 => {}
            libc::CLD_TRAPPED | libc::CLD_STOPPED => match tracer::seen(task, child.pid, child.status << 8 | 0x7f) {
                Seen::Plain => {}
                Seen::Passed => continue,
                Seen::Status(shown) => child.status = shown >> 8,
            },
            libc::CLD_CONTINUED => {}
            _ if options as i32 & libc::WNOWAIT == 0 => tracer::gone(child.pid),
            _ => {}
        }
        break child;
    };
    store_rusage(task, usage_at, &usage)?;
    if info_at != 0 {
        // The kernel stores these six fields and leaves the others alone.
        let words = [child.signo, 0, child.code].map(|w| w as u32);
        task.mem.write(info_at, &words)?;
        let rest = [child.pid, child.uid, child.status].map(|w| w as u32);
        task.mem.write(info_at.wrapping_add(if task.abi == Abi::X86_64 { 16 } else { 12 }), &rest)?;
    }
    Ok(0)
}
