//! io_uring_setup(2), io_uring_enter(2), io_uring_register(2), for x86-64 guests on 64-bit hosts: the rings are memory shared with the host's kernel.
//!
//! Nearly all that stands in their entries means the same everywhere. What does not (flags of open, the event of epoll_ctl) is translated in place while
//! a submission is under way: [`enter`] puts the host's words into the entries that the kernel is about to take, and the guest's back behind it. The
//! kernel copies what entries point to before it returns from there (the `prep` step of io_uring/opdef.c), so translated structures need to
//! live no longer. A kernel thread that takes entries at any time (IORING_SETUP_SQPOLL) leaves no such moment: on ARM hosts it is refused.
//!
//! Where the rings lie is known from setup and from the guest's own mmap(2) by descriptor number. A ring that came another way (a duplicate, an inherited or
//! received descriptor) is known to nobody; submissions to it are refused on ARM hosts.
//!
//! With a guest root the kernel would look paths up in the host's, so there is no io_uring then; a buffer on a page with translated code that
//! is write-protected gets EFAULT.

use crate::abi::{flags, host, x86_64};
use crate::errno::{Errno, SysResult};
use crate::signal::with_mask;
use crate::task::{Abi, Task};
use crate::uaccess::Access;
use demotic_host::signal::Set;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Nothing has to be translated, and rings that nobody knows of are the kernel's business alone.
const SAME: bool = cfg!(target_arch = "x86_64");

/// IORING_SETUP_ flags (linux/io_uring.h).
mod setup_flag {
    pub const SQPOLL: u32 = 1 << 1;
    pub const SQE128: u32 = 1 << 10;
    pub const NO_MMAP: u32 = 1 << 14;
    pub const REGISTERED_FD_ONLY: u32 = 1 << 15;
    pub const NO_SQARRAY: u32 = 1 << 16;
    /// All that Linux 6.12 has.
    pub const ALL: u32 = (1 << 17) - 1;
}

/// IORING_ENTER_ flags.
mod enter_flag {
    pub const GETEVENTS: u32 = 1;
    pub const EXT_ARG: u32 = 1 << 3;
    pub const REGISTERED_RING: u32 = 1 << 4;
}

/// IORING_OFF_SQ_RING, _CQ_RING and _SQES: which part of a ring mmap(2) maps. The first two are one since Linux 5.4.
const OFF_SQ_RING: u64 = 0;
const OFF_CQ_RING: u64 = 0x800_0000;
const OFF_SQES: u64 = 0x1000_0000;

/// IORING_REGISTER_RING_FDS and the last operation of Linux 6.12 (IORING_REGISTER_CLONE_BUFFERS).
const REGISTER_RING_FDS: u32 = 20;
const REGISTER_LAST: u32 = 30;

/// Operations with something to translate, and the last one of Linux 6.12 (IORING_OP_LISTEN).
mod op {
    pub const OPENAT: u8 = 18;
    pub const OPENAT2: u8 = 28;
    pub const EPOLL_CTL: u8 = 29;
    pub const LAST: u8 = 57;
    /// None: EINVAL.
    pub const UNKNOWN: u8 = 0xff;
}

/// `struct io_uring_params`, 120 bytes.
#[derive(Clone, Copy, Debug, zerocopy::FromBytes)]
#[repr(C)]
struct Params {
    sq_entries: u32,
    cq_entries: u32,
    flags: u32,
    unused: [u32; 7],
    /// head, tail, ring_mask, ring_entries, flags, dropped, array, resv1.
    sq_off: [u32; 8],
    sqes: u64,
    cq_off: [u32; 8],
    rings: u64,
}
const _: () = assert!(size_of::<Params>() == PARAMS);
const PARAMS: usize = 120;

/// A submission ring of this process.
#[derive(Clone, Copy, Debug)]
struct Ring {
    fd: i32,
    flags: u32,
    entries: u32,
    /// Offsets of head, tail and the array of indices in the rings' memory.
    at: [u32; 3],
    /// Guest addresses of the rings' memory and of the entries; 0 before they are mapped.
    rings: u64,
    sqes: u64,
}

static RINGS: Mutex<Vec<Ring>> = Mutex::new(Vec::new());
/// Held while entries are translated for the kernel: another thread must neither submit nor translate them a second time.
static TRANSLATED: Mutex<()> = Mutex::new(());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `f` while no other thread is here: for fork.
pub(super) fn locked<T>(f: impl FnOnce() -> T) -> T {
    let _translated = lock(&TRANSLATED);
    let _rings = lock(&RINGS);
    f()
}

fn check(task: &Task) -> Result<(), Errno> {
    // The rings are mapped where the host's kernel wants them, in its pages.
    let pages = !task.process.space.pages().is_coarse();
    let is_possible = cfg!(target_pointer_width = "64") && task.abi == Abi::X86_64 && pages;
    if is_possible && !task.process.root.is_active() && !task.seccomp.is_active() { Ok(()) } else { Err(Errno::ENOSYS) }
}

fn int(value: u64) -> usize {
    value as i32 as isize as usize
}

/// `io_uring_setup(entries, params)`.
pub fn setup(task: &mut Task, a: [u64; 6]) -> SysResult {
    check(task)?;
    let wanted = task.mem.read::<Params>(a[1])?.flags;
    if wanted & !setup_flag::ALL != 0 || !SAME && wanted & (setup_flag::SQPOLL | setup_flag::REGISTERED_FD_ONLY) != 0 {
        return Err(Errno::EINVAL);
    }
    let params = task.mem.host(a[1], PARAMS, Access::Write)? as usize;
    let fd = task.syscall_host(libc::SYS_io_uring_setup, [a[0] as u32 as usize, params, 0, 0, 0, 0])?;
    let made = task.mem.read::<Params>(a[1])?;
    let given = made.flags & setup_flag::NO_MMAP != 0;
    let ring = Ring {
        fd: fd as i32,
        flags: made.flags,
        entries: made.sq_entries,
        at: [made.sq_off[0], made.sq_off[1], made.sq_off[6]],
        rings: if given { made.rings } else { 0 },
        sqes: if given { made.sqes } else { 0 },
    };
    let mut all = lock(&RINGS);
    all.retain(|other| other.fd != ring.fd);
    all.push(ring);
    Ok(fd)
}

/// To be called when the guest has mapped a file at `at`: a ring's parts are mapped so.
pub fn mapped(fd: i32, offset: u64, at: u64) {
    if !matches!(offset, OFF_SQ_RING | OFF_CQ_RING | OFF_SQES) {
        return;
    }
    if let Some(ring) = lock(&RINGS).iter_mut().find(|ring| ring.fd == fd) {
        match offset {
            OFF_SQES => ring.sqes = at,
            OFF_SQ_RING => ring.rings = at,
            _ if ring.rings == 0 => ring.rings = at,
            _ => {}
        }
    }
}

/// `io_uring_register(fd, opcode, arg, count)`.
pub fn register(task: &mut Task, a: [u64; 6]) -> SysResult {
    check(task)?;
    let what = a[1] as u32 & 0x7fff_ffff;
    // A ring by its number in a table of the kernel's would be one that nobody knows.
    if !SAME && (what == REGISTER_RING_FDS || what > REGISTER_LAST) {
        return Err(Errno::EINVAL);
    }
    let arg = task.mem.host(a[2], 1, Access::Write)? as usize;
    task.syscall_host(libc::SYS_io_uring_register, [int(a[0]), a[1] as u32 as usize, arg, a[3] as u32 as usize, 0, 0])
}

/// What was put into the entries instead of the guest's words.
#[derive(Default)]
struct Translated {
    /// Address, size in bytes and old value.
    old: Vec<(u64, u8, u64)>,
    /// What entries point to now: nothing of it may move.
    hows: Vec<Box<[u64; 512]>>,
    events: Vec<Box<[host::EpollEvent]>>,
}

impl Translated {
    fn put(&mut self, task: &Task, at: u64, size: u8, value: u64) -> Result<(), Errno> {
        let (mut old, bytes) = ([0; 8], value.to_le_bytes());
        let len = usize::from(size);
        task.mem.read_bytes(at, &mut old[..len])?;
        task.mem.write_bytes(at, &bytes[..len])?;
        self.old.push((at, size, u64::from_le_bytes(old)));
        Ok(())
    }

    /// The guest's words again.
    fn undo(self, task: &Task) {
        for (at, size, value) in self.old.into_iter().rev() {
            // The guest may have unmapped its ring meanwhile.
            let _ = task.mem.write_bytes(at, &value.to_le_bytes()[..usize::from(size)]);
        }
    }

    /// Translates the entry at `at`. What cannot be read is the kernel's to complain of.
    fn entry(&mut self, task: &Task, at: u64) -> Result<(), Errno> {
        // struct io_uring_sqe: opcode at 0, off or addr2 at 8, addr at 16, len at 24, open_flags at 28.
        let word = |offset: u64| task.mem.read::<u64>(at + offset);
        match task.mem.read::<u8>(at)? {
            op::OPENAT => {
                let flags = task.mem.read::<u32>(at + 28)?;
                self.put(task, at + 28, 4, flags::open_to_host(flags).into())
            }
            op::OPENAT2 => {
                let (from, size) = (word(8)?, task.mem.read::<u32>(at + 24)? as usize);
                let mut how = Box::new([0u64; 512]);
                let bytes = zerocopy::IntoBytes::as_mut_bytes(&mut how[..]);
                let Some(bytes) = bytes.get_mut(..size).filter(|b| b.len() >= 24) else { return Ok(()) };
                if task.mem.read_bytes(from, bytes).is_ok() {
                    how[0] = how[0] & !0xffff_ffff | u64::from(flags::open_to_host(how[0] as u32));
                    let own = how.as_ptr() as usize as u64;
                    self.hows.push(how);
                    self.put(task, at + 8, 8, own)?;
                }
                Ok(())
            }
            op::EPOLL_CTL => {
                let (from, what) = (word(16)?, task.mem.read::<u32>(at + 24)? as i32);
                if let (true, Ok(event)) = (what != libc::EPOLL_CTL_DEL, task.mem.read::<x86_64::EpollEvent>(from)) {
                    let event: Box<[_]> = Box::new([host::EpollEvent::from(event)]);
                    let own = event.as_ptr() as usize as u64;
                    self.events.push(event);
                    self.put(task, at + 16, 8, own)?;
                }
                Ok(())
            }
            // Later kernels have a wait for epoll's events in the host's layout.
            code if code > op::LAST && !SAME => self.put(task, at, 1, op::UNKNOWN.into()),
            _ => Ok(()),
        }
    }

    /// Translates the entries that a submission of `submit` takes.
    fn of(task: &Task, ring: &Ring, submit: u32) -> Result<Translated, Errno> {
        let mut translated = Translated::default();
        let [head, tail, array] = ring.at.map(|offset| ring.rings + u64::from(offset));
        let (head, tail) = (task.mem.read::<u32>(head)?, task.mem.read::<u32>(tail)?);
        let size = if ring.flags & setup_flag::SQE128 != 0 { 128 } else { 64 };
        for n in 0..tail.wrapping_sub(head).min(submit).min(ring.entries) {
            // The number of entries is a power of two.
            let slot = head.wrapping_add(n) & (ring.entries - 1);
            let direct = ring.flags & setup_flag::NO_SQARRAY != 0;
            let index = if direct { slot } else { task.mem.read::<u32>(array + 4 * u64::from(slot))? };
            if index < ring.entries {
                translated.entry(task, ring.sqes + u64::from(index) * size)?;
            }
        }
        Ok(translated)
    }
}

/// `io_uring_enter(fd, to_submit, min_complete, flags, arg, size)`: the last two are a mask, or a structure with a mask and a timeout.
pub fn enter(task: &mut Task, a: [u64; 6]) -> SysResult {
    check(task)?;
    let [fd, submit, _, flags, ..] = a;
    let (submit, flags) = (submit as u32, flags as u32);
    if submit == 0 || SAME && flags & enter_flag::REGISTERED_RING != 0 {
        return call(task, a);
    }
    let ring = lock(&RINGS).iter().find(|ring| ring.fd == fd as i32).copied();
    let Some(ring) = ring.filter(|ring| ring.rings != 0 && ring.sqes != 0 && ring.entries.is_power_of_two()) else {
        if SAME {
            return call(task, a);
        }
        // No ring at all, or one that nobody knows.
        call(task, [fd, 0, 0, 0, 0, 0])?;
        return Err(Errno::EOPNOTSUPP);
    };
    let turn = lock(&TRANSLATED);
    let translated = Translated::of(task, &ring, submit)?;
    if translated.old.is_empty() {
        drop(turn);
        return call(task, a);
    }
    // First the submission alone, then the wait, as the kernel itself does: with the guest's words back.
    let alone = flags & !(enter_flag::GETEVENTS | enter_flag::EXT_ARG);
    let done = call(task, [fd, a[1], 0, alone.into(), 0, 0]);
    translated.undo(task);
    drop(turn);
    let done = done?;
    if done == u64::from(submit) && flags & enter_flag::GETEVENTS != 0 {
        // What was submitted counts, whatever becomes of the wait.
        let mut rest = a;
        rest[1] = 0;
        let _ = call(task, rest);
    }
    Ok(done)
}

fn call(task: &mut Task, a: [u64; 6]) -> SysResult {
    let [fd, submit, complete, flags, at, size] = a;
    let is_extended = flags as u32 & enter_flag::EXT_ARG != 0;
    let mut extended = [0u64; 3];
    let mask_at = if is_extended {
        // struct io_uring_getevents_arg: mask, its size (and padding), timespec.
        if size != 24 {
            return Err(Errno::EINVAL);
        }
        extended = task.mem.read(at)?;
        extended[0]
    } else {
        at
    };
    let mask_size = if is_extended { extended[1] & 0xffff_ffff } else { size };
    if mask_at != 0 && mask_size != 8 {
        return Err(Errno::EINVAL);
    }
    let mask = if mask_at == 0 { None } else { Some(task.mem.read::<Set>(mask_at)?) };
    with_mask(task, mask, |task, mask| {
        extended[0] = mask as u64;
        let (arg, size) = if is_extended { (extended.as_ptr() as usize, 24) } else { (mask, 8) };
        let args = [int(fd), submit as u32 as usize, complete as u32 as usize, flags as u32 as usize, arg, size];
        match task.syscall_blocking(libc::SYS_io_uring_enter, args) {
            // Never restarted: what was submitted is.
            Err(Errno::ERESTARTSYS) => Err(Errno::EINTR),
            result => result,
        }
    })
}
