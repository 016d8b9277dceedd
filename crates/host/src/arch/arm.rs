//! ARMv7 hosts: system calls, guarded memory instructions, the signal frame.
//!
//! Guarded instructions: see `arch/x86_64.rs` for the exception table. Memory order: barriers beside plain accesses, as
//! ARMv7 has no acquire loads. 64-bit accesses are single (LDRD, STRD; Arm ARM A3.5.3, with LPAE) where the address is
//! aligned to 8. Atomics are exclusive pairs that always store, as x86's locked instructions always write; unaligned and
//! 128-bit ones go the way of [`crate::guarded::unaligned_rmw`].

use core::arch::asm;

macro_rules! guard {
    () => {
        concat!(
            ".pushsection .text.demotic_fixup,\"ax\",%progbits\n",
            "4: mov {bad}, #1\n",
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
        pub unsafe fn $name(addr: usize) -> Option<$ty> {
            let (value, mut bad): (u32, u32);
            bad = 0;
            // SAFETY: a fault of the sequence is in the exception table.
            unsafe {
                asm!("mov {v}, #0", "2:", $($ins,)* "3:", guard!(), v = out(reg) value, a = in(reg) addr,
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
        pub unsafe fn $name(addr: usize, value: $ty) -> bool {
            let mut bad = 0u32;
            // SAFETY: a fault of the sequence is in the exception table.
            unsafe {
                asm!("2:", $($ins,)* "3:", guard!(), v = in(reg) u32::from(value), a = in(reg) addr,
                    bad = inout(reg) bad, options(nostack, preserves_flags));
            }
            bad == 0
        }
    };
}

macro_rules! access {
    ($($ty:ty: $load:ident $acquire:ident $store:ident $release:ident $cmpxchg:ident $xchg:ident,
        $ldr:literal $str:literal $ldrex:literal $strex:literal;)*) => {$(
        load!($load $ty, $ldr);
        load!($acquire $ty, $ldr, "dmb ish");
        store!($store $ty, $str);
        store!($release $ty, "dmb ish", $str);

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
            let (old, mut bad): (u32, u32);
            bad = 0;
            // SAFETY: a fault of the sequence is in the exception table.
            unsafe {
                asm!("mov {old}, #0", "dmb ish", concat!("2: ", $ldrex), "cmp {old}, {e}", "ite eq", "moveq {t}, {n}",
                    "movne {t}, {old}", $strex, "cmp {s}, #0", "bne 2b", "3: dmb ish", guard!(), old = out(reg) old,
                    e = in(reg) u32::from(expected), n = in(reg) u32::from(new), t = out(reg) _, s = out(reg) _,
                    a = in(reg) addr, bad = inout(reg) bad, options(nostack));
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
            let (old, mut bad): (u32, u32);
            bad = 0;
            // SAFETY: a fault of the sequence is in the exception table.
            unsafe {
                asm!("mov {old}, #0", "dmb ish", concat!("2: ", $ldrex), $strex, "cmp {s}, #0", "bne 2b", "3: dmb ish",
                    guard!(), old = out(reg) old, t = in(reg) u32::from(new), s = out(reg) _, a = in(reg) addr,
                    bad = inout(reg) bad, options(nostack));
            }
            if bad == 0 { Some(old as $ty) } else { None }
        }
    )*};
}

access! {
    u8: load8 load8_acquire store8 store8_release cmpxchg8 xchg8,
        "ldrb {v}, [{a}]" "strb {v}, [{a}]" "ldrexb {old}, [{a}]" "strexb {s}, {t}, [{a}]";
    u16: load16 load16_acquire store16 store16_release cmpxchg16 xchg16,
        "ldrh {v}, [{a}]" "strh {v}, [{a}]" "ldrexh {old}, [{a}]" "strexh {s}, {t}, [{a}]";
    u32: load32 load32_acquire store32 store32_release cmpxchg32 xchg32,
        "ldr {v}, [{a}]" "str {v}, [{a}]" "ldrex {old}, [{a}]" "strex {s}, {t}, [{a}]";
}

fn barrier() {
    // SAFETY: a barrier has no other effect.
    unsafe { asm!("dmb ish", options(nostack, preserves_flags)) };
}

fn join(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// Loads 8 bytes, as one access if aligned to 8; `None` after a fault.
///
/// # Safety
/// As [`load32`].
#[inline]
pub unsafe fn load64(addr: usize) -> Option<u64> {
    if addr % 8 != 0 {
        // SAFETY: same contract.
        return unsafe { Some(join(load32(addr)?, load32(addr.wrapping_add(4))?)) };
    }
    let (low, high, mut bad): (u32, u32, u32);
    bad = 0;
    // SAFETY: a fault of the instruction is in the exception table.
    unsafe {
        asm!("mov r2, #0", "mov r3, #0", "2: ldrd r2, r3, [{a}]", "3:", guard!(), out("r2") low, out("r3") high,
            a = in(reg) addr, bad = inout(reg) bad, options(nostack, preserves_flags));
    }
    if bad == 0 { Some(join(low, high)) } else { None }
}

/// Loads 8 bytes in x86 memory order.
///
/// # Safety
/// As [`load32`].
#[inline]
pub unsafe fn load64_acquire(addr: usize) -> Option<u64> {
    // SAFETY: same contract.
    let value = unsafe { load64(addr) };
    barrier();
    value
}

/// Stores 8 bytes, as one access if aligned to 8; false after a fault.
///
/// # Safety
/// As [`store32`].
#[inline]
pub unsafe fn store64(addr: usize, value: u64) -> bool {
    let (low, high) = (value as u32, (value >> 32) as u32);
    if addr % 8 != 0 {
        // When the access crosses into a page that faults, nothing is stored.
        // SAFETY: same contract.
        return unsafe {
            if addr % 4096 > 4088 {
                store32(addr.wrapping_add(4), high) && store32(addr, low)
            } else {
                store32(addr, low) && store32(addr.wrapping_add(4), high)
            }
        };
    }
    let mut bad = 0u32;
    // SAFETY: a fault of the instruction is in the exception table.
    unsafe {
        asm!("2: strd r2, r3, [{a}]", "3:", guard!(), in("r2") low, in("r3") high, a = in(reg) addr,
            bad = inout(reg) bad, options(nostack, preserves_flags));
    }
    bad == 0
}

/// Stores 8 bytes in x86 memory order.
///
/// # Safety
/// As [`store32`].
#[inline]
pub unsafe fn store64_release(addr: usize, value: u64) -> bool {
    barrier();
    // SAFETY: same contract.
    unsafe { store64(addr, value) }
}

/// Compare and exchange of 8 bytes, sequentially consistent, at any alignment.
///
/// # Safety
/// As [`store32`].
#[inline]
pub unsafe fn cmpxchg64(addr: usize, expected: u64, new: u64) -> Option<u64> {
    if addr % 8 != 0 {
        return crate::guarded::unaligned_rmw(|| {
            // SAFETY: same contract.
            unsafe {
                let old = load64(addr)?;
                store64(addr, if old == expected { new } else { old }).then_some(old)
            }
        });
    }
    let (low, high, mut bad): (u32, u32, u32);
    bad = 0;
    // The exclusive pair wants even and odd neighbours: r0:r1 found, r2:r3 to store. `w` points at expected and new.
    let words = [expected as u32, (expected >> 32) as u32, new as u32, (new >> 32) as u32];
    // SAFETY: a fault of the sequence is in the exception table (those of `w` cannot happen).
    unsafe {
        asm!("mov r0, #0", "mov r1, #0", "dmb ish",
            "2: ldrexd r0, r1, [{a}]", "ldrd r2, r3, [{w}]", "cmp r0, r2", "it eq", "cmpeq r1, r3", "ldrd r2, r3, [{w}, #8]",
            "itt ne", "movne r2, r0", "movne r3, r1", "strexd {s}, r2, r3, [{a}]", "cmp {s}, #0", "bne 2b",
            "3: dmb ish", guard!(), out("r0") low, out("r1") high, out("r2") _, out("r3") _, s = out(reg) _,
            w = in(reg) words.as_ptr(), a = in(reg) addr, bad = inout(reg) bad, options(nostack));
    }
    if bad == 0 { Some(join(low, high)) } else { None }
}

/// Exchange of 8 bytes, sequentially consistent, at any alignment.
///
/// # Safety
/// As [`store32`].
#[inline]
pub unsafe fn xchg64(addr: usize, new: u64) -> Option<u64> {
    // SAFETY: same contract.
    unsafe {
        let mut old = load64(addr)?;
        loop {
            let found = cmpxchg64(addr, old, new)?;
            if found == old {
                return Some(old);
            }
            old = found;
        }
    }
}

/// Loads 16 bytes; `None` after a fault.
///
/// # Safety
/// As [`load32`].
#[inline]
pub unsafe fn load128(addr: usize) -> Option<u128> {
    // SAFETY: same contract.
    unsafe { Some(u128::from(load64(addr)?) | u128::from(load64(addr.wrapping_add(8))?) << 64) }
}

/// Loads 16 bytes in x86 memory order.
///
/// # Safety
/// As [`load32`].
#[inline]
pub unsafe fn load128_acquire(addr: usize) -> Option<u128> {
    // SAFETY: same contract.
    let value = unsafe { load128(addr) };
    barrier();
    value
}

/// Stores 16 bytes; false after a fault.
///
/// # Safety
/// As [`store32`].
#[inline]
pub unsafe fn store128(addr: usize, value: u128) -> bool {
    // SAFETY: same contract.
    unsafe {
        if addr % 4096 > 4080 {
            store64(addr.wrapping_add(8), (value >> 64) as u64) && store64(addr, value as u64)
        } else {
            store64(addr, value as u64) && store64(addr.wrapping_add(8), (value >> 64) as u64)
        }
    }
}

/// Stores 16 bytes in x86 memory order.
///
/// # Safety
/// As [`store32`].
#[inline]
pub unsafe fn store128_release(addr: usize, value: u128) -> bool {
    barrier();
    // SAFETY: same contract.
    unsafe { store128(addr, value) }
}

/// Compare and exchange of 16 bytes. Only 64-bit guests have it, and they do not run on this host: atomic only against
/// other accesses of this kind.
///
/// # Safety
/// As [`store32`].
pub unsafe fn cmpxchg128(addr: usize, expected: u128, new: u128) -> Option<u128> {
    crate::guarded::unaligned_rmw(|| {
        // SAFETY: same contract.
        unsafe {
            let old = load128(addr)?;
            store128(addr, if old == expected { new } else { old }).then_some(old)
        }
    })
}

/// Copies `len` bytes upwards; false after a fault in either range (a first part may have been copied).
///
/// # Safety
/// The bytes at `to` must not be memory that Rust code relies on, except a buffer that the caller hands over.
pub unsafe fn copy(to: usize, from: usize, len: usize) -> bool {
    let mut bad = 0u32;
    // SAFETY: faults of the loops are in the exception table. One in the fourfold loop goes on bytewise, so that all bytes
    // before the hole are copied; nothing was changed by the instruction that faulted.
    unsafe {
        asm!("6: cmp {n}, #4", "blo 2f", "ldr {x}, [{f}]", "str {x}, [{t}]", "add {f}, {f}, #4", "add {t}, {t}, #4",
            "sub {n}, {n}, #4", "b 6b",
            "2: cmp {n}, #0", "beq 3f", "ldrb {x}, [{f}]", "strb {x}, [{t}]", "add {f}, {f}, #1", "add {t}, {t}, #1",
            "sub {n}, {n}, #1", "b 2b", "3:", guard!(),
            ".pushsection demotic_extable,\"aR\",%progbits\n.balign 4\n.long 6b - .\n.long 2b - .\n.long 2b - .\n.popsection",
            n = inout(reg) len => _, f = inout(reg) from => _, t = inout(reg) to => _, x = out(reg) _,
            bad = inout(reg) bad, options(nostack));
    }
    bad == 0
}

/// A system call with raw arguments: the kernel's return value, minus an errno in its last 4095 values.
///
/// # Safety
/// Whatever the call does with the arguments must be sound.
#[inline]
pub unsafe fn syscall6(nr: usize, args: [usize; 6]) -> usize {
    let ret;
    // SAFETY: the caller's contract; the kernel keeps all registers but R0. R7 may be the frame pointer, so it is kept.
    unsafe {
        asm!("mov {keep}, r7", "mov r7, {nr}", "svc #0", "mov r7, {keep}", keep = out(reg) _, nr = in(reg) nr,
            inout("r0") args[0] => ret, in("r1") args[1], in("r2") args[2], in("r3") args[3], in("r4") args[4],
            in("r5") args[5], options(nostack));
    }
    ret
}

// usize demotic_syscall_interruptible(const u8 *flag, usize nr, const usize args[6])
// Between `_start` and `_end` (the address behind the system call instruction is outside) a signal handler may move the PC
// to `_abort`; nothing has been done yet there.
core::arch::global_asm!(
    ".pushsection .text.demotic_syscall_interruptible,\"ax\",%progbits",
    ".arm",
    ".balign 4",
    ".globl demotic_syscall_interruptible",
    ".type demotic_syscall_interruptible,%function",
    "demotic_syscall_interruptible:",
    "push {{r4, r5, r7, lr}}",
    "mov r12, r0",
    "mov r7, r1",
    "mov lr, r2",
    "ldm lr, {{r0, r1, r2, r3, r4, r5}}",
    ".globl demotic_syscall_start",
    "demotic_syscall_start:",
    "ldrb lr, [r12]",
    "cmp lr, #0",
    "bne demotic_syscall_abort",
    "svc #0",
    ".globl demotic_syscall_end",
    "demotic_syscall_end:",
    "pop {{r4, r5, r7, pc}}",
    ".globl demotic_syscall_abort",
    "demotic_syscall_abort:",
    "mov r0, #512",
    "rsb r0, r0, #0",
    "pop {{r4, r5, r7, pc}}",
    ".size demotic_syscall_interruptible, . - demotic_syscall_interruptible",
    ".popsection",
);

/// The PC of an interrupted context.
pub fn pc(context: &libc::ucontext_t) -> usize {
    context.uc_mcontext.arm_pc as usize
}

/// Makes an interrupted context go on at `pc`.
pub fn set_pc(context: &mut libc::ucontext_t, pc: usize) {
    context.uc_mcontext.arm_pc = pc as _;
}

/// There is no emitter for this host.
pub const CODE_TEST: &[[u32; 2]] = &[];

/// There is no generated code to make visible.
pub fn sync_code(_rw: usize, _rx: usize, _len: usize) {}

/// There is no generated code to interrupt.
pub fn save_context(_context: &libc::ucontext_t, _gpr: &mut [u64; 32], _vec: &mut [[u64; 2]; 32]) -> (u64, u64, u64) {
    (0, 0, 0)
}

/// There is no generated code that needs one.
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
        asm!("mrc p15, 0, {}, c13, c0, 3", out(reg) pointer, options(nostack, preserves_flags, nomem));
    }
    pointer
}
