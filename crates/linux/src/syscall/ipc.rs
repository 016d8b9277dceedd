//! System V IPC and POSIX message queues.
//!
//! i386 programs before glibc 2.32 reach all of System V IPC through one number, `ipc`, with a version in the upper half of
//! the operation and one level of indirection more; a semaphore argument (`union semun`) arrives by address there.
//! Control structures exist in an old 16-bit form and the `IPC_64` form; on x86-64 only the latter.

use super::args::{input, int, long, output, own, own_mut};
use super::kernel;
use super::time::{Clock64, own_optional};
use crate::abi::host::{Native, from_native, semid_from_host, semid_to_host, to_native};
use crate::abi::{Abi, Wide, flags, x86_64};
use crate::errno::{Errno, SysResult};
use crate::mm::{self, Place, Request, prot};
use crate::task::Task;
use crate::uaccess::PAGE;
use demotic_engine::GuestSpace;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Flag in a control command: the 32-bit-id structures.
const IPC_64: i32 = 0x100;
const IPC_SET: i32 = 1;
const IPC_STAT: i32 = 2;
const IPC_INFO: i32 = 3;
const MSG_STAT: i32 = 11;
const MSG_INFO: i32 = 12;
const MSG_STAT_ANY: i32 = 13;
const SHM_STAT: i32 = 13;
const SHM_INFO: i32 = 14;
const SHM_STAT_ANY: i32 = 15;
const GETALL: i32 = 13;
const SETVAL: i32 = 16;
const SETALL: i32 = 17;
const SEM_STAT: i32 = 18;
const SEM_INFO: i32 = 19;
const SEM_STAT_ANY: i32 = 20;

/// The version flag that the host's control calls want: only 32-bit ARM still has two.
const HOST_64: usize = if cfg!(target_pointer_width = "32") { IPC_64 as usize } else { 0 };

/// The command without version. i386 without `IPC_64` asks for 16-bit structures, which are not supported.
fn command(task: &Task, value: u64, structure: bool) -> Result<i32, Errno> {
    let value = value as i32;
    match task.abi {
        Abi::X86_64 => Ok(value),
        Abi::I386 if value & IPC_64 == 0 && structure => Err(Errno::EINVAL),
        Abi::I386 => Ok(value & !IPC_64),
    }
}

fn semop_timed(task: &mut Task, id: u64, ops: u64, count: u64, timeout: u64, layout: Clock64) -> SysResult {
    // struct sembuf is three shorts for all ABIs.
    if count > 32000 {
        return Err(Errno::E2BIG);
    }
    let ops = input(task, ops, count as usize * 6)?;
    let time = layout.read_optional(task, timeout)?;
    let args = [int(id), ops, count as usize, own_optional(&time), 0, 0];
    // Semaphore operations are never restarted (signal(7)).
    task.syscall_blocking(kernel::SEMTIMEDOP, args).map_err(|e| if e == Errno::ERESTARTSYS { Errno::EINTR } else { e })
}
/// `semop(id, operations, count)`.
pub fn semop(task: &mut Task, a: [u64; 6]) -> SysResult {
    semop_timed(task, a[0], a[1], a[2], 0, Clock64::Native)
}
/// `semtimedop(id, operations, count, timeout)`.
pub fn semtimedop(task: &mut Task, a: [u64; 6]) -> SysResult {
    semop_timed(task, a[0], a[1], a[2], a[3], Clock64::Native)
}
/// `semtimedop_time64(id, operations, count, timeout)`, i386 only.
pub fn semtimedop_time64(task: &mut Task, a: [u64; 6]) -> SysResult {
    semop_timed(task, a[0], a[1], a[2], a[3], Clock64::Always)
}

/// `semctl(id, number, command, arg)`.
pub fn semctl(task: &mut Task, a: [u64; 6]) -> SysResult {
    let raw = a[2] as i32 & !IPC_64;
    let structure = matches!(raw, IPC_SET | IPC_STAT | SEM_STAT | SEM_STAT_ANY);
    let command = command(task, a[2], structure)?;
    let call = |task: &Task, argument: usize| {
        task.syscall_host(libc::SYS_semctl, [int(a[0]), int(a[1]), command as usize | HOST_64, argument, 0, 0])
    };
    match command {
        IPC_STAT | SEM_STAT | SEM_STAT_ANY => {
            let mut info = crate::abi::host::SemidDs::default();
            let result = call(task, own_mut(&mut info))?;
            semid_from_host(&info).store(&task.mem, task.abi, a[3])?;
            Ok(result)
        }
        IPC_SET => {
            let info = semid_to_host(&x86_64::SemidDs::load(&task.mem, task.abi, a[3])?)?;
            call(task, own(&info))
        }
        // struct seminfo is ten ints for all ABIs.
        IPC_INFO | SEM_INFO => {
            let info = output(task, a[3], 40)?;
            call(task, info)
        }
        // Arrays of shorts; the kernel knows how many, at most SEMMSL.
        GETALL | SETALL => {
            let mut info = crate::abi::host::SemidDs::default();
            let args = [int(a[0]), 0, IPC_STAT as usize | HOST_64, own_mut(&mut info), 0, 0];
            task.syscall_host(libc::SYS_semctl, args)?;
            let count = semid_from_host(&info).sem_nsems as usize;
            let array = output(task, a[3], count * 2)?;
            call(task, array)
        }
        SETVAL => call(task, int(a[3])),
        _ => call(task, long(task, a[3]) as usize),
    }
}

/// `msgsnd(id, message, size, flags)`: the message starts with its type, a `long`.
pub fn msgsnd(task: &mut Task, a: [u64; 6]) -> SysResult {
    let size = long(task, a[2]);
    // MSGMAX can be raised, but not beyond what an int holds; the copy must stay bounded.
    if !(0..=1 << 24).contains(&size) {
        return Err(Errno::EINVAL);
    }
    let kind = read_long(task, a[1])?;
    if kind < 1 {
        return Err(Errno::EINVAL);
    }
    let mut message = (kind as usize).to_ne_bytes().to_vec();
    let text = task.mem.read_vec::<u8>(a[1].wrapping_add(task.word() as u64), size as usize)?;
    message.extend_from_slice(&text);
    no_handler(
        task.syscall_blocking(libc::SYS_msgsnd, [int(a[0]), message.as_ptr() as usize, size as usize, int(a[3]), 0, 0]),
    )
}
/// `msgrcv(id, message, size, type, flags)`.
pub fn msgrcv(task: &mut Task, a: [u64; 6]) -> SysResult {
    let size = long(task, a[2]);
    if size < 0 {
        return Err(Errno::EINVAL);
    }
    let room = size.min(1 << 24) as usize;
    let mut message = vec![0u8; room + size_of::<usize>()];
    let kind = long(task, a[3]) as usize;
    let args = [int(a[0]), message.as_mut_ptr() as usize, room, kind, int(a[4]), 0];
    let len = no_handler(task.syscall_blocking(libc::SYS_msgrcv, args))?;
    let (kind, text) = message.split_at(size_of::<usize>());
    let kind = kind.try_into().map_or(0, isize::from_ne_bytes) as i64;
    match task.abi {
        Abi::X86_64 => task.mem.write(a[1], &kind)?,
        Abi::I386 => task.mem.write(a[1], &(kind as i32))?,
    }
    let text = text.get(..len as usize).unwrap_or_default();
    task.mem.write_bytes(a[1].wrapping_add(task.word() as u64), text)?;
    Ok(len)
}
fn read_long(task: &Task, addr: u64) -> Result<i64, Errno> {
    match task.abi {
        Abi::X86_64 => task.mem.read(addr),
        Abi::I386 => Ok(task.mem.read::<i32>(addr)?.into()),
    }
}
fn no_handler(result: SysResult) -> SysResult {
    result.map_err(|errno| if errno == Errno::ERESTARTSYS { Errno::ERESTARTNOHAND } else { errno })
}

/// `msgctl(id, command, buf)`.
pub fn msgctl(task: &mut Task, a: [u64; 6]) -> SysResult {
    let raw = a[1] as i32 & !IPC_64;
    let command = command(task, a[1], matches!(raw, IPC_SET | IPC_STAT | MSG_STAT | MSG_STAT_ANY))?;
    let call = |task: &Task, argument: usize| {
        task.syscall_host(libc::SYS_msgctl, [int(a[0]), command as usize | HOST_64, argument, 0, 0, 0])
    };
    match command {
        IPC_STAT | MSG_STAT | MSG_STAT_ANY => {
            let mut info = Native::<x86_64::MsqidDs>::default();
            let result = call(task, own_mut(&mut info))?;
            from_native::<x86_64::MsqidDs>(&info).store(&task.mem, task.abi, a[2])?;
            Ok(result)
        }
        IPC_SET => {
            let info = to_native(&x86_64::MsqidDs::load(&task.mem, task.abi, a[2])?)?;
            call(task, own(&info))
        }
        // struct msginfo is seven ints and a short for all ABIs.
        IPC_INFO | MSG_INFO => {
            let info = output(task, a[2], 32)?;
            call(task, info)
        }
        _ => call(task, a[2] as usize),
    }
}

/// `shmctl(id, command, buf)`.
pub fn shmctl(task: &mut Task, a: [u64; 6]) -> SysResult {
    let raw = a[1] as i32 & !IPC_64;
    let command = command(task, a[1], matches!(raw, IPC_SET | IPC_STAT | SHM_STAT | SHM_STAT_ANY))?;
    let call = |task: &Task, argument: usize| {
        task.syscall_host(libc::SYS_shmctl, [int(a[0]), command as usize | HOST_64, argument, 0, 0, 0])
    };
    match command {
        IPC_STAT | SHM_STAT | SHM_STAT_ANY => {
            let mut info = Native::<x86_64::ShmidDs>::default();
            let result = call(task, own_mut(&mut info))?;
            from_native::<x86_64::ShmidDs>(&info).store(&task.mem, task.abi, a[2])?;
            Ok(result)
        }
        IPC_SET => {
            let info = to_native(&x86_64::ShmidDs::load(&task.mem, task.abi, a[2])?)?;
            call(task, own(&info))
        }
        IPC_INFO => {
            let mut info = Native::<x86_64::Shminfo64>::default();
            let result = call(task, own_mut(&mut info))?;
            let mut info = from_native::<x86_64::Shminfo64>(&info);
            if task.abi == Abi::I386 {
                info.shmmax = info.shmmax.min(i32::MAX as u64);
                info.shmall = info.shmall.min(u32::MAX.into());
            }
            info.store(&task.mem, task.abi, a[2])?;
            Ok(result)
        }
        SHM_INFO => {
            let mut info = Native::<x86_64::ShmInfo>::default();
            let result = call(task, own_mut(&mut info))?;
            from_native::<x86_64::ShmInfo>(&info).store(&task.mem, task.abi, a[2])?;
            Ok(result)
        }
        _ => call(task, a[2] as usize),
    }
}

/// Alignment in bytes that the host wants of attached segments.
const HOST_SHMLBA: u64 = if cfg!(target_arch = "arm") { 4 * PAGE } else { PAGE };

/// Attached segments of this process: address and length in bytes, for `shmdt`.
static ATTACHED: Mutex<BTreeMap<u64, u64>> = Mutex::new(BTreeMap::new());

/// Runs `f` (a fork) with this module's lock held.
pub(super) fn locked<T>(f: impl FnOnce() -> T) -> T {
    let _guard = ATTACHED.lock().unwrap_or_else(PoisonError::into_inner);
    f()
}

/// Attaches segment `id` of `size` bytes: room is found and recorded by the address space, then the segment replaces it.
fn attach(task: &mut Task, id: u64, address: u64, flags: i32, size: u64) -> SysResult {
    const SHM_RDONLY: i32 = 0o10000;
    const SHM_RND: i32 = 0o20000;
    const SHM_REMAP: i32 = 0o40000;
    const SHM_EXEC: i32 = 0o100000;
    let place = if address == 0 {
        if flags & SHM_REMAP != 0 {
            return Err(Errno::EINVAL);
        }
        Place::Any
    } else {
        // SHMLBA is the page size on x86.
        let address = if flags & SHM_RND != 0 { address & !(PAGE - 1) } else { address };
        if address & (task.process.space.host_page() - 1) != 0 {
            return Err(Errno::EINVAL);
        }
        if flags & SHM_REMAP != 0 { Place::Fixed(address) } else { Place::Free(address) }
    };
    let mut access = if flags & SHM_RDONLY != 0 { prot::READ } else { prot::READ | prot::WRITE };
    if flags & SHM_EXEC != 0 {
        access |= prot::EXEC;
    }
    // 32-bit ARM kernels attach at multiples of four pages only (SHMLBA): more room is taken, the rest given back.
    let slack = if place == Place::Any { HOST_SHMLBA - PAGE } else { 0 };
    let request = Request {
        place,
        len: size.checked_add(slack).ok_or(Errno::ENOMEM)?,
        prot: access,
        flags: libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
        fd: -1,
        offset: 0,
        kind: mm::Kind::File,
    };
    // What is in the way is EINVAL here (shmat(2)).
    let space = task.process.space.clone();
    let mut start = space.map(&request).map_err(|e| if e == Errno::EEXIST { Errno::EINVAL } else { e })?;
    if slack != 0 {
        let (len, aligned) = (size.next_multiple_of(PAGE), start.next_multiple_of(HOST_SHMLBA));
        if aligned > start {
            space.unmap(start, aligned - start)?;
        }
        let rest = start + slack - aligned;
        if rest > 0 {
            space.unmap(aligned + len, rest)?;
        }
        start = aligned;
    }
    let host = space.base().wrapping_add(start as usize);
    let host_flags = flags & SHM_RDONLY | SHM_REMAP;
    match task.syscall_host(libc::SYS_shmat, [int(id), host, host_flags as usize, 0, 0, 0]) {
        Ok(_) => {
            let len = size.next_multiple_of(PAGE);
            task.process.engine.invalidate(start, len);
            ATTACHED.lock().unwrap_or_else(PoisonError::into_inner).insert(start, len);
            Ok(start)
        }
        Err(errno) => {
            space.unmap(start, size.next_multiple_of(PAGE))?;
            Err(errno)
        }
    }
}

/// `shmat(id, address, flags)`: the segment is attached where the address space finds room.
pub fn shmat(task: &mut Task, a: [u64; 6]) -> SysResult {
    let mut info = Native::<x86_64::ShmidDs>::default();
    let args = [int(a[0]), IPC_STAT as usize | HOST_64, own_mut(&mut info), 0, 0, 0];
    task.syscall_host(libc::SYS_shmctl, args)?;
    let size = from_native::<x86_64::ShmidDs>(&info).shm_segsz;
    attach(task, a[0], a[1], a[2] as i32, size)
}
/// `shmdt(address)`.
pub fn shmdt(task: &mut Task, a: [u64; 6]) -> SysResult {
    let attached = ATTACHED.lock().unwrap_or_else(PoisonError::into_inner).remove(&a[0]);
    let len = attached.ok_or(Errno::EINVAL)?;
    // Unmapping all of it detaches the segment, and leaves no moment at which the range is free on the host but not here.
    task.process.space.unmap(a[0], len)?;
    task.process.engine.invalidate(a[0], len);
    Ok(0)
}

/// `ipc(operation, first, second, third, pointer, fifth)`, i386 only (ipc/syscall.c, `compat_ksys_ipc`).
pub fn ipc(task: &mut Task, a: [u64; 6]) -> SysResult {
    let (operation, version) = (a[0] as u32 & 0xffff, a[0] as u32 >> 16);
    let [_, first, second, third, pointer, fifth] = a;
    match operation {
        1 => semop(task, [first, pointer, second, 0, 0, 0]),
        2 => task.syscall_host(libc::SYS_semget, [int(first), int(second), int(third), 0, 0, 0]),
        3 => {
            if pointer == 0 {
                return Err(Errno::EINVAL);
            }
            let argument = task.mem.read::<u32>(pointer)?;
            semctl(task, [first, second, third, argument.into(), 0, 0])
        }
        4 => semtimedop(task, [first, pointer, second, fifth, 0, 0]),
        11 => msgsnd(task, [first, pointer, second, third, 0, 0]),
        12 if version == 0 => {
            // The old form passes message and type through a structure.
            if pointer == 0 {
                return Err(Errno::EINVAL);
            }
            let [message, kind] = task.mem.read::<[u32; 2]>(pointer)?.map(u64::from);
            msgrcv(task, [first, message, second, kind, third, 0])
        }
        12 => msgrcv(task, [first, pointer, second, fifth, third, 0]),
        13 => task.syscall_host(libc::SYS_msgget, [int(first), int(second), 0, 0, 0, 0]),
        14 => msgctl(task, [first, second, pointer, 0, 0, 0]),
        21 => {
            if version == 1 {
                return Err(Errno::EINVAL);
            }
            let address = shmat(task, [first, pointer, second, 0, 0, 0])?;
            task.mem.write(third, &(address as u32))?;
            Ok(0)
        }
        22 => shmdt(task, [pointer, 0, 0, 0, 0, 0]),
        23 => task.syscall_host(libc::SYS_shmget, [int(first), second as usize, int(third), 0, 0, 0]),
        24 => shmctl(task, [first, second, pointer, 0, 0, 0]),
        _ => Err(Errno::ENOSYS),
    }
}

/// `mq_open(name, flags, mode, attributes)`.
pub fn mq_open(task: &mut Task, a: [u64; 6]) -> SysResult {
    let name = input(task, a[0], 1)?;
    let attr = if a[3] == 0 { None } else { Some(to_native(&x86_64::MqAttr::load(&task.mem, task.abi, a[3])?)?) };
    let flags = flags::open_to_host(a[1] as u32) as usize;
    task.syscall_host(libc::SYS_mq_open, [name, flags, a[2] as u32 as usize, attr.as_ref().map_or(0, own), 0, 0])
}
/// `mq_getsetattr(queue, new, old)`.
pub fn mq_getsetattr(task: &mut Task, a: [u64; 6]) -> SysResult {
    let new = if a[1] == 0 { None } else { Some(to_native(&x86_64::MqAttr::load(&task.mem, task.abi, a[1])?)?) };
    let mut old = Native::<x86_64::MqAttr>::default();
    let args = [int(a[0]), new.as_ref().map_or(0, own), own_mut(&mut old), 0, 0, 0];
    task.syscall_host(libc::SYS_mq_getsetattr, args)?;
    if a[2] != 0 {
        from_native::<x86_64::MqAttr>(&old).store(&task.mem, task.abi, a[2])?;
    }
    Ok(0)
}
/// `mq_notify(queue, sigevent)`.
pub fn mq_notify(task: &mut Task, a: [u64; 6]) -> SysResult {
    let event = if a[1] == 0 { None } else { Some(to_native(&x86_64::Sigevent::load(&task.mem, task.abi, a[1])?)?) };
    task.syscall_host(libc::SYS_mq_notify, [int(a[0]), event.as_ref().map_or(0, own), 0, 0, 0, 0])
}
fn send_timed(task: &mut Task, a: &[u64; 6], layout: Clock64) -> SysResult {
    let buf = input(task, a[1], a[2] as usize)?;
    let time = layout.read_optional(task, a[4])?;
    let args = [int(a[0]), buf, a[2] as usize, int(a[3]), own_optional(&time), 0];
    task.syscall_blocking(kernel::MQ_TIMEDSEND, args)
}
fn receive_timed(task: &mut Task, a: &[u64; 6], layout: Clock64) -> SysResult {
    let buf = output(task, a[1], a[2] as usize)?;
    let priority = output(task, a[3], 4)?;
    let time = layout.read_optional(task, a[4])?;
    let args = [int(a[0]), buf, a[2] as usize, priority, own_optional(&time), 0];
    task.syscall_blocking(kernel::MQ_TIMEDRECEIVE, args)
}
/// `mq_timedsend(queue, message, size, priority, deadline)`.
pub fn mq_timedsend(task: &mut Task, a: [u64; 6]) -> SysResult {
    send_timed(task, &a, Clock64::Native)
}
/// `mq_timedsend_time64(queue, message, size, priority, deadline)`, i386 only.
pub fn mq_timedsend_time64(task: &mut Task, a: [u64; 6]) -> SysResult {
    send_timed(task, &a, Clock64::Always)
}
/// `mq_timedreceive(queue, message, size, priority, deadline)`.
pub fn mq_timedreceive(task: &mut Task, a: [u64; 6]) -> SysResult {
    receive_timed(task, &a, Clock64::Native)
}
/// `mq_timedreceive_time64(queue, message, size, priority, deadline)`, i386 only.
pub fn mq_timedreceive_time64(task: &mut Task, a: [u64; 6]) -> SysResult {
    receive_timed(task, &a, Clock64::Always)
}
