//! AArch64 hosts: system calls, guarded memory instructions, the signal frame.
//!
//! Guarded instructions: see `arch/x86_64.rs` for the exception table. Memory order: acquire loads and store-releases
//! (Arm ARM B2.3.11) where the address is aligned, plain accesses beside barriers where it is not. Atomics are exclusive
//! pairs that always store, as x86's locked instructions always write, followed by a full barrier; unaligned ones go the
//! way of [`crate::guarded::unaligned_rmw`].

use core::arch::asm;

macro_rules! guard {
    () => {
        concat!(
            ".pushsection .text.demotic_fixup,\"ax\",%progbits\n",
            "4: mov {bad:w}, #1\n",
            "b 3b\n",
            ".popsection\n",
            ".pushsection demotic_extable,\"aR\",%progbits\n",
            ".balign 4\n",
            ".long 2b - .\n",
            ".long 3b - .\n",
            ".long 4b - .\n",
            ".popsection"
        )
    };
}

macro_rules! load {
    ($name:ident $ty:ty, $($ins:literal),*) => {
        /// Loads; `None` after a fault.
        ///
        /// # Safety
        /// Reading the address must not break a Rust reference to it; it may be unmapped.
        #[inline(always)]
        unsafe fn $name(addr: usize) -> Option<$ty> {
            let (value, mut bad): (u64, u32);
            bad = 0;
            // SAFETY: a fault of the sequence is in the exception table.
            unsafe {
                asm!("mov {v}, xzr", "2:", $($ins,)* "3:", guard!(), v = out(reg) value, a = in(reg) addr,
                    bad = inout(reg) bad, options(nostack, preserves_flags));
            }
            if bad == 0 { Some(value as $ty) } else { None }
        }
    };
}

macro_rules! store {
    ($name:ident $ty:ty, $($ins:literal),*) => {
        /// Stores; false after a fault.
        ///
        /// # Safety
        /// The address must not be memory that Rust code relies on; it may be unmapped.
        #[inline(always)]
        unsafe fn $name(addr: usize, value: $ty) -> bool {
            let mut bad = 0u32;
            // SAFETY: a fault of the sequence is in the exception table.
            unsafe {
                asm!("2:", $($ins,)* "3:", guard!(), v = in(reg) u64::from(value), a = in(reg) addr,
                    bad = inout(reg) bad, options(nostack, preserves_flags));
            }
            bad == 0
        }
    };
}

macro_rules! access {
    ($($bits:literal $ty:ty: $load:ident $acquire:ident $store:ident $release:ident $cmpxchg:ident $xchg:ident,
        $ldr:literal $ldar:literal $str:literal $stlr:literal, $ldaxr:literal, $stlxr:literal, $w:literal;)*) => {$(
        pub use $load::{$load, $acquire, $store, $release, $cmpxchg, $xchg};
        /// Accesses of one size.
        mod $load {
            use super::*;
            load!(plain $ty, $ldr);
            load!(acquire $ty, $ldar);
            load!(unaligned_acquire $ty, $ldr, "dmb ishld");
            store!(plain_store $ty, $str);
            store!(release $ty, $stlr);
            store!(unaligned_release $ty, "dmb ish", $str);

            /// Loads; `None` after a fault.
            ///
            /// # Safety
            /// Reading the address must not break a Rust reference to it; it may be unmapped.
            #[inline(always)]
            pub unsafe fn $load(addr: usize) -> Option<$ty> {
                // SAFETY: same contract.
                unsafe { plain(addr) }
            }
            /// Loads in x86 memory order.
            ///
            /// # Safety
            /// As the plain load.
            #[inline(always)]
            pub unsafe fn $acquire(addr: usize) -> Option<$ty> {
                // SAFETY: same contract.
                unsafe { if addr % size_of::<$ty>() == 0 { acquire(addr) } else { unaligned_acquire(addr) } }
            }
            /// Stores; false after a fault.
            ///
            /// # Safety
            /// The address must not be memory that Rust code relies on; it may be unmapped.
            #[inline(always)]
            pub unsafe fn $store(addr: usize, value: $ty) -> bool {
                // SAFETY: same contract.
                unsafe { plain_store(addr, value) }
            }
            /// Stores in x86 memory order.
            ///
            /// # Safety
            /// As the plain store.
            #[inline(always)]
            pub unsafe fn $release(addr: usize, value: $ty) -> bool {
                // SAFETY: same contract.
                unsafe { if addr % size_of::<$ty>() == 0 { release(addr, value) } else { unaligned_release(addr, value) } }
            }
            /// Compare and exchange, sequentially consistent, at any alignment: the value found, `None` after a fault.
            ///
            /// # Safety
            /// As the store.
            #[inline]
            pub unsafe fn $cmpxchg(addr: usize, expected: $ty, new: $ty) -> Option<$ty> {
                if addr % size_of::<$ty>() != 0 {
                    return crate::guarded::unaligned_rmw(|| {
                        // SAFETY: same contract.
                        unsafe {
                            let old = $load(addr)?;
                            $store(addr, if old == expected { new } else { old }).then_some(old)
                        }
                    });
                }
                let (old, mut bad): (u64, u32);
                bad = 0;
                // SAFETY: a fault of the sequence is in the exception table.
                unsafe {
                    asm!("mov {old}, xzr", concat!("2: ", $ldaxr), concat!("cmp {old:", $w, "}, {e:", $w, "}"),
                        "csel {t}, {n}, {old}, eq", $stlxr, "cbnz {s:w}, 2b", "3: dmb ish", guard!(),
                        old = out(reg) old, e = in(reg) u64::from(expected), n = in(reg) u64::from(new), t = out(reg) _,
                        s = out(reg) _, a = in(reg) addr, bad = inout(reg) bad, options(nostack));
                }
                if bad == 0 { Some(old as $ty) } else { None }
            }
            /// Exchange, sequentially consistent, at any alignment: the old value, `None` after a fault.
            ///
            /// # Safety
            /// As the store.
            #[inline]
            pub unsafe fn $xchg(addr: usize, new: $ty) -> Option<$ty> {
                if addr % size_of::<$ty>() != 0 {
                    return crate::guarded::unaligned_rmw(|| {
                        // SAFETY: same contract.
                        unsafe {
                            let old = $load(addr)?;
                            $store(addr, new).then_some(old)
                        }
                    });
                }
                let (old, mut bad): (u64, u32);
                bad = 0;
                // SAFETY: a fault of the sequence is in the exception table.
                unsafe {
                    asm!("mov {old}, xzr", concat!("2: ", $ldaxr), $stlxr, "cbnz {s:w}, 2b", "3: dmb ish", guard!(),
                        old = out(reg) old, t = in(reg) u64::from(new), s = out(reg) _, a = in(reg) addr,
                        bad = inout(reg) bad, options(nostack));
                }
                if bad == 0 { Some(old as $ty) } else { None }
            }
        }
    )*};
}

access! {
    8 u8: load8 load8_acquire store8 store8_release cmpxchg8 xchg8,
        "ldrb {v:w}, [{a}]" "ldarb {v:w}, [{a}]" "strb {v:w}, [{a}]" "stlrb {v:w}, [{a}]",
        "ldaxrb {old:w}, [{a}]", "stlxrb {s:w}, {t:w}, [{a}]", "w";
    16 u16: load16 load16_acquire store16 store16_release cmpxchg16 xchg16,
        "ldrh {v:w}, [{a}]" "ldarh {v:w}, [{a}]" "strh {v:w}, [{a}]" "stlrh {v:w}, [{a}]",
        "ldaxrh {old:w}, [{a}]", "stlxrh {s:w}, {t:w}, [{a}]", "w";
    32 u32: load32 load32_acquire store32 store32_release cmpxchg32 xchg32,
        "ldr {v:w}, [{a}]" "ldar {v:w}, [{a}]" "str {v:w}, [{a}]" "stlr {v:w}, [{a}]",
        "ldaxr {old:w}, [{a}]", "stlxr {s:w}, {t:w}, [{a}]", "w";
    64 u64: load64 load64_acquire store64 store64_release cmpxchg64 xchg64,
        "ldr {v:x}, [{a}]" "ldar {v:x}, [{a}]" "str {v:x}, [{a}]" "stlr {v:x}, [{a}]",
        "ldaxr {old:x}, [{a}]", "stlxr {s:w}, {t:x}, [{a}]", "x";
}

/// Loads 16 bytes; `None` after a fault.
///
/// # Safety
/// As [`load64`].
#[inline(always)]
pub unsafe fn load128(addr: usize) -> Option<u128> {
    let (low, high, mut bad): (u64, u64, u32);
    bad = 0;
    // SAFETY: a fault of the instruction is in the exception table.
    unsafe {
        asm!("mov {l}, xzr", "mov {h}, xzr", "2: ldp {l}, {h}, [{a}]", "3:", guard!(), l = out(reg) low, h = out(reg) high,
            a = in(reg) addr, bad = inout(reg) bad, options(nostack, preserves_flags));
    }
    if bad == 0 { Some(u128::from(low) | u128::from(high) << 64) } else { None }
}

/// Loads 16 bytes in x86 memory order.
///
/// # Safety
/// As [`load64`].
#[inline(always)]
pub unsafe fn load128_acquire(addr: usize) -> Option<u128> {
    // SAFETY: same contract; the barrier orders the loads before everything later.
    unsafe {
        let value = load128(addr);
        asm!("dmb ishld", options(nostack, preserves_flags));
        value
    }
}

/// Stores 16 bytes; false after a fault.
///
/// # Safety
/// As [`store64`].
#[inline(always)]
pub unsafe fn store128(addr: usize, value: u128) -> bool {
    let mut bad = 0u32;
    // SAFETY: a fault of the instruction is in the exception table.
    unsafe {
        asm!("2: stp {l}, {h}, [{a}]", "3:", guard!(), l = in(reg) value as u64, h = in(reg) (value >> 64) as u64,
            a = in(reg) addr, bad = inout(reg) bad, options(nostack, preserves_flags));
    }
    bad == 0
}

/// Stores 16 bytes in x86 memory order.
///
/// # Safety
/// As [`store64`].
#[inline(always)]
pub unsafe fn store128_release(addr: usize, value: u128) -> bool {
    // SAFETY: same contract; the barrier orders everything earlier before the stores.
    unsafe {
        asm!("dmb ish", options(nostack, preserves_flags));
        store128(addr, value)
    }
}

/// Copies `len` bytes upwards; false after a fault in either range (a first part may have been copied).
///
/// # Safety
/// The bytes at `to` must not be memory that Rust code relies on, except a buffer that the caller hands over.
pub unsafe fn copy(to: usize, from: usize, len: usize) -> bool {
    let mut bad = 0u32;
    // SAFETY: faults of the loops are in the exception table. One in the eightfold loop goes on bytewise, so that all bytes
    // before the hole are copied; nothing was changed by the instruction that faulted.
    unsafe {
        asm!("6: cmp {n}, #8", "b.lo 2f", "ldr {x}, [{f}]", "str {x}, [{t}]", "add {f}, {f}, #8", "add {t}, {t}, #8",
            "sub {n}, {n}, #8", "b 6b",
            "2: cbz {n}, 3f", "ldrb {x:w}, [{f}]", "strb {x:w}, [{t}]", "add {f}, {f}, #1", "add {t}, {t}, #1",
            "sub {n}, {n}, #1", "b 2b", "3:", guard!(),
            ".pushsection demotic_extable,\"aR\",%progbits\n.balign 4\n.long 6b - .\n.long 2b - .\n.long 2b - .\n.popsection",
            n = inout(reg) len => _, f = inout(reg) from => _, t = inout(reg) to => _, x = out(reg) _,
            bad = inout(reg) bad, options(nostack));
    }
    bad == 0
}

/// Compare and exchange of 16 bytes; the address must be aligned to 16 (else the CPU faults: `None`).
///
/// # Safety
/// As [`cmpxchg64`].
#[inline]
pub unsafe fn cmpxchg128(addr: usize, expected: u128, new: u128) -> Option<u128> {
    let (low, high, mut bad): (u64, u64, u32);
    bad = 0;
    // SAFETY: a fault of the sequence is in the exception table.
    unsafe {
        asm!("mov {l}, xzr", "mov {h}, xzr",
            "2: ldaxp {l}, {h}, [{a}]", "cmp {l}, {el}", "ccmp {h}, {eh}, #0, eq",
            "csel {tl}, {nl}, {l}, eq", "csel {th}, {nh}, {h}, eq", "stlxp {s:w}, {tl}, {th}, [{a}]", "cbnz {s:w}, 2b",
            "3: dmb ish", guard!(), l = out(reg) low, h = out(reg) high, el = in(reg) expected as u64,
            eh = in(reg) (expected >> 64) as u64, nl = in(reg) new as u64, nh = in(reg) (new >> 64) as u64,
            tl = out(reg) _, th = out(reg) _, s = out(reg) _, a = in(reg) addr, bad = inout(reg) bad, options(nostack));
    }
    if bad == 0 { Some(u128::from(low) | u128::from(high) << 64) } else { None }
}

/// A system call with raw arguments: the kernel's return value, minus an errno in its last 4095 values.
///
/// # Safety
/// Whatever the call does with the arguments must be sound.
#[inline]
pub unsafe fn syscall6(nr: usize, args: [usize; 6]) -> usize {
    let ret;
    // SAFETY: the caller's contract; the kernel keeps all registers but X0.
    unsafe {
        asm!("svc #0", in("x8") nr, inout("x0") args[0] => ret, in("x1") args[1], in("x2") args[2], in("x3") args[3],
            in("x4") args[4], in("x5") args[5], options(nostack));
    }
    ret
}

// usize demotic_syscall_interruptible(const u8 *flag, usize nr, const usize args[6])
// Between `_start` and `_end` (the address behind the system call instruction is outside) a signal handler may move the PC
// to `_abort`; nothing has been done yet there.
core::arch::global_asm!(
    ".pushsection .text.demotic_syscall_interruptible,\"ax\",%progbits",
    ".globl demotic_syscall_interruptible",
    ".type demotic_syscall_interruptible,%function",
    "demotic_syscall_interruptible:",
    "mov x9, x0",
    "mov x8, x1",
    "mov x10, x2",
    "ldp x0, x1, [x10]",
    "ldp x2, x3, [x10, #16]",
    "ldp x4, x5, [x10, #32]",
    ".globl demotic_syscall_start",
    "demotic_syscall_start:",
    "ldrb w10, [x9]",
    "cbnz w10, demotic_syscall_abort",
    "svc #0",
    ".globl demotic_syscall_end",
    "demotic_syscall_end:",
    "ret",
    ".globl demotic_syscall_abort",
    "demotic_syscall_abort:",
    "mov x0, #-512",
    "ret",
    ".size demotic_syscall_interruptible, . - demotic_syscall_interruptible",
    ".popsection",
);

/// The PC of an interrupted context.
pub fn pc(context: &libc::ucontext_t) -> usize {
    context.uc_mcontext.pc as usize
}

/// Makes an interrupted context go on at `pc`.
pub fn set_pc(context: &mut libc::ucontext_t, pc: usize) {
    context.uc_mcontext.pc = pc as u64;
}

/// Two functions for [`crate::code`], returning 0 and 1: `mov x0, n; ret`.
pub const CODE_TEST: &[[u32; 2]] = &[[0xd280_0000, 0xd65f_03c0], [0xd280_0020, 0xd65f_03c0]];

/// Makes code that was written at `rw` visible to execution at `rx` (Arm ARM B2.4.4).
pub fn sync_code(rw: usize, rx: usize, len: usize) {
    let ctr: usize;
    // SAFETY: reads a register that user code may read.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) ctr, options(nomem, nostack, preserves_flags)) };
    let (dline, iline) = (4 << (ctr >> 16 & 15), 4 << (ctr & 15));
    // SAFETY: cache maintenance of mapped memory.
    unsafe {
        let mut at = rw & !(dline - 1);
        while at < rw + len {
            asm!("dc cvau, {}", in(reg) at, options(nostack, preserves_flags));
            at += dline;
        }
        asm!("dsb ish", options(nostack, preserves_flags));
        let mut at = rx & !(iline - 1);
        while at < rx + len {
            asm!("ic ivau, {}", in(reg) at, options(nostack, preserves_flags));
            at += iline;
        }
        asm!("dsb ish", "isb", options(nostack, preserves_flags));
    }
}

/// Registers of an interrupted context: general ones by number (31 is sp), vectors, NZCV, FPCR and FPSR.
pub fn save_context(context: &libc::ucontext_t, gpr: &mut [u64; 32], vec: &mut [[u64; 2]; 32]) -> (u64, u64, u64) {
    let m = &context.uc_mcontext;
    gpr[..31].copy_from_slice(&m.regs);
    gpr[31] = m.sp;
    let (mut fpcr, mut fpsr) = (0, 0);
    // The FPSIMD record is the first of the extension records that begin behind the registers (asm/sigcontext.h): magic, size, fpsr, fpcr,
    // 32 vector registers.
    const FPSIMD_MAGIC: u32 = 0x4650_8001;
    // SAFETY: the kernel's frame has 4096 bytes of records from there on, aligned to 16; they end with a size of 0.
    unsafe {
        let base = (&raw const *m).cast::<u8>().add(288);
        let mut at = 0usize;
        while at + 528 <= 4096 {
            let head = base.add(at).cast::<u32>();
            let (magic, size) = (*head, *head.add(1) as usize);
            if magic == FPSIMD_MAGIC {
                (fpsr, fpcr) = (u64::from(*head.add(2)), u64::from(*head.add(3)));
                std::ptr::copy_nonoverlapping(head.add(4).cast::<[u64; 2]>(), vec.as_mut_ptr(), 32);
                break;
            }
            if size == 0 {
                break;
            }
            at += size;
        }
    }
    (m.pstate & 0xf000_0000, fpcr, fpsr)
}

/// The frame register is an ordinary one, loaded on the way in.
pub fn set_frame_base(_frame: usize) {}

/// User code cannot be single-stepped on this architecture without a debugger.
pub fn set_single_step(_context: &mut libc::ucontext_t, _on: bool) {}

/// What makes generated code that loads it into its flags trap behind every instruction: nothing does.
pub const STEP_FLAG: Option<u64> = None;

/// Where the calling thread's thread-local storage is, as clone(2) takes it with CLONE_SETTLS.
pub fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: reads a register.
    unsafe {
        asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nostack, preserves_flags, nomem));
    }
    pointer
}
