//! Segment bases: arch_prctl(2), set_thread_area(2), modify_ldt(2).
//!
//! A 64-bit kernel gives each thread three GDT entries, 12 to 14 (arch/x86/include/asm/segment.h). They live in the guest
//! state, where the executor finds them when guest code loads a selector. The local descriptor table belongs to the address
//! space; the executor asks for it through the space.

use crate::errno::{Errno, SysResult};
use crate::task::Task;
use demotic_engine::{GuestSpace, GuestState, segments};
use demotic_x86::state::{Descriptor, seg};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{PoisonError, RwLock};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// First of the three GDT entries for threads, on 64-bit kernels.
pub const GDT_TLS_MIN: u32 = 12;
/// Entries of the local descriptor table (asm/ldt.h, LDT_ENTRIES).
const LDT_ENTRIES: u32 = 8192;

/// `struct user_desc` (asm/ldt.h), the same for both ABIs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
pub struct UserDesc {
    /// Index in the GDT or LDT.
    pub entry_number: u32,
    /// Base address in bytes.
    pub base: u32,
    /// Limit in bytes or pages.
    pub limit: u32,
    /// seg_32bit 1, contents 2 (two bits), read_exec_only 8, limit_in_pages 16, seg_not_present 32, useable 64, lm 128.
    pub flags: u32,
}

const SEG_32BIT: u32 = 1;
const CONTENTS: u32 = 6;
const READ_EXEC_ONLY: u32 = 8;
const LIMIT_IN_PAGES: u32 = 16;
const NOT_PRESENT: u32 = 32;
const USEABLE: u32 = 64;

impl UserDesc {
    /// LDT_empty: what clears an entry.
    fn is_empty(&self) -> bool {
        self.base == 0 && self.limit == 0 && self.flags & 0x7f == (READ_EXEC_ONLY | NOT_PRESENT)
    }
    /// LDT_zero: all zero clears an entry of set_thread_area, too.
    fn is_zero(&self) -> bool {
        self.base == 0 && self.limit == 0 && self.flags & 0x7f == 0
    }
}

impl From<&UserDesc> for Descriptor {
    fn from(desc: &UserDesc) -> Descriptor {
        Descriptor { base: desc.base, limit: desc.limit, flags: desc.flags & 0xff }
    }
}

/// The local descriptor table of an address space.
#[derive(Debug, Default)]
pub struct Ldt(RwLock<Vec<Option<Descriptor>>>, AtomicU32);

impl Ldt {
    /// The descriptor of an entry, `None` if it is empty.
    pub fn get(&self, index: u32) -> Option<Descriptor> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(index as usize).copied().flatten()
    }
    fn set(&self, index: u32, descriptor: Option<Descriptor>) {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if table.len() <= index as usize {
            table.resize(index as usize + 1, None);
        }
        table[index as usize] = descriptor;
        self.1.fetch_add(1, Ordering::Release);
    }

    /// How often it has changed: a thread whose segment registers were loaded from an older one reloads them ([`refresh`]).
    pub fn changes(&self) -> u32 {
        self.1.load(Ordering::Acquire)
    }
}

/// Reloads the segment registers that hold selectors of the local table, when that has changed (arch/x86/kernel/ldt.c, `flush_ldt`): those for data are
/// loaded anew or become null, CS and SS are loaded on the way to user code.
pub fn refresh(task: &mut Task) {
    let now = task.process.space.ldt.changes();
    if std::mem::replace(&mut task.ldt_seen, now) == now {
        return;
    }
    let (state, space) = (&mut task.cpu.state, &*task.process.space);
    for n in [seg::DS, seg::ES, seg::FS, seg::GS] {
        let sel = state.seg_sel[n];
        if sel & 4 != 0 {
            segments::load_or_null(state, n, sel, space);
        }
    }
    let (cs, ss) = (state.seg_sel[seg::CS], state.seg_sel[seg::SS]);
    if (cs | ss) & 4 != 0 {
        segments::resume(state, cs, ss, space);
    }
}

/// Sets one of the thread's GDT entries: set_thread_area(2) and CLONE_SETTLS. Segment registers that hold the selector get
/// the new base. Returns the entry's number.
///
/// # Errors
/// EINVAL for entries that are not the thread's, ESRCH when none is free.
pub fn set_thread_area(
    state: &mut GuestState,
    desc: &UserDesc,
    can_allocate: bool,
    space: &dyn GuestSpace,
) -> Result<u32, Errno> {
    let mut number = desc.entry_number;
    if number == u32::MAX && can_allocate {
        let free = state.tls.iter().position(|d| *d == Descriptor::default()).ok_or(Errno::ESRCH)?;
        number = GDT_TLS_MIN + free as u32;
    }
    let index = number.wrapping_sub(GDT_TLS_MIN) as usize;
    let slot = state.tls.get_mut(index).ok_or(Errno::EINVAL)?;
    if desc.is_empty() || desc.is_zero() {
        *slot = Descriptor::default();
    } else {
        // tls_desc_okay (arch/x86/kernel/tls.c): only 32-bit data segments.
        if desc.flags & SEG_32BIT == 0 || desc.flags & CONTENTS > 2 || desc.flags & NOT_PRESENT != 0 {
            return Err(Errno::EINVAL);
        }
        *slot = desc.into();
    }
    segments::reload(state, (number << 3 | 3) as u16, space);
    Ok(number)
}

/// set_thread_area(2).
pub fn sys_set_thread_area(task: &mut Task, args: [u64; 6]) -> SysResult {
    let desc: UserDesc = task.mem.read(args[0])?;
    let number = set_thread_area(&mut task.cpu.state, &desc, true, &*task.process.space)?;
    if number != desc.entry_number {
        task.mem.write(args[0], &number)?;
    }
    Ok(0)
}

/// get_thread_area(2).
pub fn sys_get_thread_area(task: &mut Task, args: [u64; 6]) -> SysResult {
    let number: u32 = task.mem.read(args[0])?;
    let slot = task.cpu.state.tls.get(number.wrapping_sub(GDT_TLS_MIN) as usize).ok_or(Errno::EINVAL)?;
    // An unset entry reads as a segment that is not present.
    let flags = if *slot == Descriptor::default() { READ_EXEC_ONLY | NOT_PRESENT } else { slot.flags };
    let desc = UserDesc { entry_number: number, base: slot.base, limit: slot.limit, flags };
    task.mem.write(args[0], &desc)?;
    Ok(0)
}

const ARCH_SET_GS: u64 = 0x1001;
const ARCH_SET_FS: u64 = 0x1002;
const ARCH_GET_FS: u64 = 0x1003;
const ARCH_GET_GS: u64 = 0x1004;
const ARCH_GET_CPUID: u64 = 0x1011;
const ARCH_SET_CPUID: u64 = 0x1012;

/// arch_prctl(2).
pub fn sys_arch_prctl(task: &mut Task, args: [u64; 6]) -> SysResult {
    let [code, addr, ..] = args;
    let limit = task.process.space.layout().limit;
    let state = &mut task.cpu.state;
    match code {
        ARCH_SET_FS | ARCH_SET_GS => {
            if addr >= limit {
                return Err(Errno::EPERM);
            }
            let register = if code == ARCH_SET_FS { seg::FS } else { seg::GS };
            segments::set_base(state, register, addr);
            Ok(0)
        }
        ARCH_GET_FS => task.mem.write(addr, &task.cpu.state.seg_base[seg::FS]).map(|()| 0),
        ARCH_GET_GS => task.mem.write(addr, &task.cpu.state.seg_base[seg::GS]).map(|()| 0),
        // CPUID cannot be made to fault here.
        ARCH_GET_CPUID => Ok(1),
        ARCH_SET_CPUID => Err(Errno::ENODEV),
        _ => Err(Errno::EINVAL),
    }
}

/// modify_ldt(2). Its result has 32 bits, which are zero-extended (arch/x86/kernel/ldt.c): in 64-bit programs an error does not look like one.
pub fn sys_modify_ldt(task: &mut Task, args: [u64; 6]) -> SysResult {
    modify_ldt(task, args).or_else(|e| Ok(u64::from(e.to_ret() as u32)))
}

fn modify_ldt(task: &mut Task, args: [u64; 6]) -> SysResult {
    let [func, ptr, bytes, ..] = args;
    let ldt = &task.process.space.ldt;
    match func {
        0 => {
            let len = ldt.0.read().unwrap_or_else(PoisonError::into_inner).len();
            let mut image = Vec::with_capacity(len * 8);
            for index in 0..len {
                let raw = ldt.get(index as u32).map_or(0, |d| raw_descriptor(&d));
                image.extend_from_slice(&raw.to_le_bytes());
            }
            // The rest is filled up with zeros, up to the size of a full table (arch/x86/kernel/ldt.c, `read_ldt`).
            let size = bytes.min(u64::from(LDT_ENTRIES) * 8) as usize;
            if !image.is_empty() {
                image.resize(size, 0);
            }
            task.mem.write_bytes(ptr, &image)?;
            Ok(image.len() as u64)
        }
        // The default LDT: 5 entries of zeros under 64-bit kernels, 128 bytes at most (arch/x86/kernel/ldt.c).
        2 => {
            let len = bytes.min(128);
            task.mem.write_bytes(ptr, &[0u8; 128][..len as usize])?;
            Ok(len)
        }
        1 | 0x11 => {
            if bytes != size_of::<UserDesc>() as u64 {
                return Err(Errno::EINVAL);
            }
            let desc: UserDesc = task.mem.read(ptr)?;
            if desc.entry_number >= LDT_ENTRIES {
                return Err(Errno::EINVAL);
            }
            let old_mode = func == 1;
            if desc.flags & CONTENTS == CONTENTS && (old_mode || desc.flags & NOT_PRESENT == 0) {
                return Err(Errno::EINVAL);
            }
            let clear = old_mode && desc.base == 0 && desc.limit == 0 || desc.is_empty();
            // In the old form the bit that is for software is not set.
            let kept = UserDesc { flags: desc.flags & !if old_mode { USEABLE } else { 0 }, ..desc };
            ldt.set(desc.entry_number, (!clear).then(|| Descriptor::from(&kept)));
            // Each thread reloads its segment registers on its way back to guest code; the kernel interrupts the others for that.
            Ok(0)
        }
        _ => Err(Errno::ENOSYS),
    }
}

/// The 8 bytes of a descriptor as in the table (fill_ldt, arch/x86/include/asm/desc.h).
fn raw_descriptor(d: &Descriptor) -> u64 {
    let bit = |flag: u32| u64::from(d.flags & flag != 0);
    let (base, limit) = (u64::from(d.base), u64::from(d.limit));
    let type_ = (bit(READ_EXEC_ONLY) ^ 1) << 1 | u64::from((d.flags & CONTENTS) >> 1) << 2 | 1;
    let low = limit & 0xffff | (base & 0xffff) << 16;
    let high = base >> 16 & 0xff
        | type_ << 8
        | 1 << 12
        | 3 << 13
        | (bit(NOT_PRESENT) ^ 1) << 15
        | limit & 0xf0000
        | bit(64) << 20
        | bit(SEG_32BIT) << 22
        | bit(LIMIT_IN_PAGES) << 23
        | base & 0xff00_0000;
    low | high << 32
}
