//! x86-64 hosts: system calls, guarded memory instructions, the signal frame.
//!
//! Guarded instructions: each is one inline instruction sequence between two labels, listed with the address to go on at
//! after a fault in the section `demotic_extable` (three offsets, relative to themselves, so that a position-independent
//! binary needs no relocation for them). The continuation sets the operand `bad` to 1 and jumps behind the sequence. See
//! [`crate::guarded`] for the other half.

use core::arch::asm;
use core::arch::x86_64::__m128i;

/// Appends the exception table entry for the sequence `2: ... 3:`; expects an operand `bad` that is 0 before.
macro_rules! guard {
    () => {
        concat!(
            ".pushsection .text.demotic_fixup,\"ax\",@progbits\n",
            "4: mov {bad:e}, 1\n",
            "jmp 3b\n",
            ".popsection\n",
            ".pushsection demotic_extable,\"aR\",@progbits\n",
            ".balign 4\n",
            ".long 2b - .\n",
            ".long 3b - .\n",
            ".long 4b - .\n",
            ".popsection"
        )
    };
}

macro_rules! load_store {
    ($($load:ident $acquire:ident $store:ident $release:ident $ty:ty, $class:ident, $mov_load:literal, $mov_store:literal;)*) => {$(
        /// Loads; `None` after a fault.
        ///
        /// # Safety
        /// Reading the address must not break a Rust reference to it; it may be unmapped.
        #[inline(always)]
        pub unsafe fn $load(addr: usize) -> Option<$ty> {
            let (value, mut bad) = (0 as $ty, 0u32);
            let mut value = value;
            // SAFETY: a fault of the instruction is in the exception table.
            unsafe {
                asm!(concat!("2: ", $mov_load), "3:", guard!(), v = inout($class) value, a = in(reg) addr,
                    bad = inout(reg) bad, options(nostack, preserves_flags));
            }
            if bad == 0 { Some(value) } else { None }
        }
        /// Loads with acquire order, which every x86 load has.
        ///
        /// # Safety
        /// As the plain load.
        #[inline(always)]
        pub unsafe fn $acquire(addr: usize) -> Option<$ty> {
            // SAFETY: same contract.
            unsafe { $load(addr) }
        }
        /// Stores; false after a fault.
        ///
        /// # Safety
        /// The address must not be memory that Rust code relies on; it may be unmapped.
        #[inline(always)]
        pub unsafe fn $store(addr: usize, value: $ty) -> bool {
            let mut bad = 0u32;
            // SAFETY: a fault of the instruction is in the exception table.
            unsafe {
                asm!(concat!("2: ", $mov_store), "3:", guard!(), v = in($class) value, a = in(reg) addr,
                    bad = inout(reg) bad, options(nostack, preserves_flags));
            }
            bad == 0
        }
        /// Stores with release order, which every x86 store has.
        ///
        /// # Safety
        /// As the plain store.
        #[inline(always)]
        pub unsafe fn $release(addr: usize, value: $ty) -> bool {
            // SAFETY: same contract.
            unsafe { $store(addr, value) }
        }
    )*};
}

load_store! {
    load8 load8_acquire store8 store8_release u8, reg_byte, "mov {v}, byte ptr [{a}]", "mov byte ptr [{a}], {v}";
    load16 load16_acquire store16 store16_release u16, reg, "mov {v:x}, word ptr [{a}]", "mov word ptr [{a}], {v:x}";
    load32 load32_acquire store32 store32_release u32, reg, "mov {v:e}, dword ptr [{a}]", "mov dword ptr [{a}], {v:e}";
    load64 load64_acquire store64 store64_release u64, reg, "mov {v:r}, qword ptr [{a}]", "mov qword ptr [{a}], {v:r}";
}

/// Loads 16 bytes; `None` after a fault.
///
/// # Safety
/// As [`load64`].
#[inline(always)]
pub unsafe fn load128(addr: usize) -> Option<u128> {
    let (value, mut bad): (__m128i, u32);
    bad = 0;
    // SAFETY: a fault of the instruction is in the exception table; the second instruction cannot fault.
    unsafe {
        asm!("pxor {v}, {v}", "2: movdqu {v}, xmmword ptr [{a}]", "3:", guard!(), v = out(xmm_reg) value,
            a = in(reg) addr, bad = inout(reg) bad, options(nostack, preserves_flags));
    }
    // SAFETY: both are 16 plain bytes.
    if bad == 0 { Some(unsafe { core::mem::transmute::<__m128i, u128>(value) }) } else { None }
}

/// Loads 16 bytes with acquire order.
///
/// # Safety
/// As [`load64`].
#[inline(always)]
pub unsafe fn load128_acquire(addr: usize) -> Option<u128> {
    // SAFETY: same contract.
    unsafe { load128(addr) }
}

/// Stores 16 bytes; false after a fault.
///
/// # Safety
/// As [`store64`].
#[inline(always)]
pub unsafe fn store128(addr: usize, value: u128) -> bool {
    let mut bad = 0u32;
    // SAFETY: both are 16 plain bytes.
    let value = unsafe { core::mem::transmute::<u128, __m128i>(value) };
    // SAFETY: a fault of the instruction is in the exception table.
    unsafe {
        asm!("2: movdqu xmmword ptr [{a}], {v}", "3:", guard!(), v = in(xmm_reg) value, a = in(reg) addr,
            bad = inout(reg) bad, options(nostack, preserves_flags));
    }
    bad == 0
}

/// Stores 16 bytes with release order.
///
/// # Safety
/// As [`store64`].
#[inline(always)]
pub unsafe fn store128_release(addr: usize, value: u128) -> bool {
    // SAFETY: same contract.
    unsafe { store128(addr, value) }
}

/// Copies `len` bytes upwards; false after a fault in either range (a first part may have been copied).
///
/// # Safety
/// The bytes at `to` must not be memory that Rust code relies on, except a buffer that the caller hands over.
pub unsafe fn copy(to: usize, from: usize, len: usize) -> bool {
    let mut bad = 0u32;
    // SAFETY: a fault of the instruction is in the exception table.
    unsafe {
        asm!("2: rep movsb", "3:", guard!(), inout("rcx") len => _, inout("rdi") to => _, inout("rsi") from => _,
            bad = inout(reg) bad, options(nostack, preserves_flags));
    }
    bad == 0
}

macro_rules! cmpxchg {
    ($($name:ident $xchg:ident $ty:ty, $class:ident, $acc:tt, $ins:literal, $swap:literal;)*) => {$(
        /// Compare and exchange, sequentially consistent, at any alignment: the value found, `None` after a fault.
        ///
        /// # Safety
        /// The address must not be memory that Rust code relies on; it may be unmapped.
        #[inline(always)]
        pub unsafe fn $name(addr: usize, expected: $ty, new: $ty) -> Option<$ty> {
            let (mut old, mut bad) = (expected, 0u32);
            // SAFETY: a fault of the instruction is in the exception table.
            unsafe {
                asm!(concat!("2: lock cmpxchg ", $ins), "3:", guard!(), inout($acc) old, n = in($class) new,
                    a = in(reg) addr, bad = inout(reg) bad, options(nostack));
            }
            if bad == 0 { Some(old) } else { None }
        }
        /// Exchange, sequentially consistent, at any alignment: the old value, `None` after a fault.
        ///
        /// # Safety
        /// As compare and exchange.
        #[inline(always)]
        pub unsafe fn $xchg(addr: usize, new: $ty) -> Option<$ty> {
            let (mut value, mut bad) = (new, 0u32);
            // SAFETY: a fault of the instruction is in the exception table.
            unsafe {
                asm!(concat!("2: xchg ", $swap), "3:", guard!(), n = inout($class) value, a = in(reg) addr,
                    bad = inout(reg) bad, options(nostack, preserves_flags));
            }
            if bad == 0 { Some(value) } else { None }
        }
    )*};
}

cmpxchg! {
    cmpxchg8 xchg8 u8, reg_byte, "al", "byte ptr [{a}], {n}", "byte ptr [{a}], {n}";
    cmpxchg16 xchg16 u16, reg, "ax", "word ptr [{a}], {n:x}", "word ptr [{a}], {n:x}";
    cmpxchg32 xchg32 u32, reg, "eax", "dword ptr [{a}], {n:e}", "dword ptr [{a}], {n:e}";
    cmpxchg64 xchg64 u64, reg, "rax", "qword ptr [{a}], {n:r}", "qword ptr [{a}], {n:r}";
}

/// Compare and exchange of 16 bytes; the address must be aligned to 16 (else the CPU faults: `None`).
///
/// # Safety
/// As [`cmpxchg64`].
#[inline]
pub unsafe fn cmpxchg128(addr: usize, expected: u128, new: u128) -> Option<u128> {
    let mut bad = 0u32;
    let (mut low, mut high) = (expected as u64, (expected >> 64) as u64);
    // SAFETY: a fault of the instruction is in the exception table; RBX is restored on both ways, and no operand is in it
    // because all are in registers named here.
    unsafe {
        asm!("xchg rbx, rsi", "2: lock cmpxchg16b xmmword ptr [rdi]", "3: xchg rbx, rsi",
            ".pushsection .text.demotic_fixup,\"ax\",@progbits\n4: mov r8d, 1\njmp 3b\n.popsection",
            ".pushsection demotic_extable,\"aR\",@progbits\n.balign 4\n.long 2b - .\n.long 3b - .\n.long 4b - .\n.popsection",
            inout("rax") low, inout("rdx") high, inout("rsi") new as u64 => _, in("rcx") (new >> 64) as u64,
            in("rdi") addr, inout("r8d") bad, options(nostack));
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
    // SAFETY: the caller's contract; the kernel keeps all registers but RAX, RCX and R11.
    unsafe {
        asm!("syscall", inout("rax") nr => ret, in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
            in("r10") args[3], in("r8") args[4], in("r9") args[5], lateout("rcx") _, lateout("r11") _,
            options(nostack));
    }
    ret
}

// usize demotic_syscall_interruptible(const u8 *flag, usize nr, const usize args[6])
// Between `_start` and `_end` (the address behind the syscall instruction is outside) a signal handler may move the PC to
// `_abort`; nothing has been done yet there.
core::arch::global_asm!(
    ".pushsection .text.demotic_syscall_interruptible,\"ax\",@progbits",
    ".globl demotic_syscall_interruptible",
    ".type demotic_syscall_interruptible,@function",
    "demotic_syscall_interruptible:",
    "mov r11, rdi",
    "mov rax, rsi",
    "mov rcx, rdx",
    "mov rdi, [rcx]",
    "mov rsi, [rcx + 8]",
    "mov rdx, [rcx + 16]",
    "mov r10, [rcx + 24]",
    "mov r8, [rcx + 32]",
    "mov r9, [rcx + 40]",
    ".globl demotic_syscall_start",
    "demotic_syscall_start:",
    "cmp byte ptr [r11], 0",
    "jne demotic_syscall_abort",
    "syscall",
    ".globl demotic_syscall_end",
    "demotic_syscall_end:",
    "ret",
    ".globl demotic_syscall_abort",
    "demotic_syscall_abort:",
    "mov rax, -512",
    "ret",
    ".size demotic_syscall_interruptible, . - demotic_syscall_interruptible",
    ".popsection",
);

/// The PC of an interrupted context.
pub fn pc(context: &libc::ucontext_t) -> usize {
    context.uc_mcontext.gregs[libc::REG_RIP as usize] as usize
}

/// Makes an interrupted context go on at `pc`.
pub fn set_pc(context: &mut libc::ucontext_t, pc: usize) {
    context.uc_mcontext.gregs[libc::REG_RIP as usize] = pc as i64;
}

/// Two functions for [`crate::code`], returning 0 and 1: `xor eax, eax; or eax, n; ret`, padded.
pub const CODE_TEST: &[[u32; 2]] = &[[0xc883_c031, 0x9090_c300], [0xc883_c031, 0x9090_c301]];

/// Makes written code visible to execution: x86 does it by itself.
pub fn sync_code(_rw: usize, _rx: usize, _len: usize) {}

/// Registers of an interrupted context: general ones in encoding order, vectors, flags, and the FP control register (MXCSR; the other one is
/// unused here).
pub fn save_context(context: &libc::ucontext_t, gpr: &mut [u64; 32], vec: &mut [[u64; 2]; 32]) -> (u64, u64, u64) {
    use libc::{REG_R8, REG_RAX, REG_RBP, REG_RBX, REG_RCX, REG_RDI, REG_RDX, REG_RSI, REG_RSP};
    let g = &context.uc_mcontext.gregs;
    for (n, r) in [REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI].into_iter().enumerate() {
        gpr[n] = g[r as usize] as u64;
    }
    for n in 8..16 {
        gpr[n] = g[REG_R8 as usize + n - 8] as u64;
    }
    let mut mxcsr = 0x1f80;
    if !context.uc_mcontext.fpregs.is_null() {
        // SAFETY: the kernel's pointer to the FXSAVE image of this frame.
        let fp = unsafe { &*context.uc_mcontext.fpregs };
        mxcsr = u64::from(fp.mxcsr);
        for (to, from) in vec.iter_mut().zip(&fp._xmm) {
            let e = from.element.map(u64::from);
            *to = [e[0] | e[1] << 32, e[2] | e[3] << 32];
        }
    }
    (g[libc::REG_EFL as usize] as u64, mxcsr, 0)
}

/// Sets the register by which generated code finds its frame: the GS base, which nothing else in the process uses.
pub fn set_frame_base(frame: usize) {
    const ARCH_SET_GS: usize = 0x1001;
    // SAFETY: arch_prctl(2) with an address; no code of ours uses GS.
    unsafe { syscall6(libc::SYS_arch_prctl as usize, [ARCH_SET_GS, frame, 0, 0, 0, 0]) };
}

/// TF, which makes the processor trap behind every instruction (SDM vol. 1, section 3.4.3.3).
const TF: i64 = 1 << 8;

/// Makes an interrupted context go on one instruction at a time, or no more.
pub fn set_single_step(context: &mut libc::ucontext_t, on: bool) {
    let flags = &mut context.uc_mcontext.gregs[libc::REG_EFL as usize];
    *flags = *flags & !TF | if on { TF } else { 0 };
}

/// What [`crate::code`]'s users put into the flags that they load to be single-stepped; `None` where the processor cannot do that for user code.
pub const STEP_FLAG: Option<u64> = Some(TF as u64);

/// Where the calling thread's thread-local storage is, as clone(2) takes it with CLONE_SETTLS.
pub fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: the C library keeps the pointer itself at its beginning.
    unsafe {
        asm!("mov {}, fs:[0]", out(reg) pointer, options(nostack, preserves_flags, readonly));
    }
    pointer
}
