//! The emitter for the host that Demotic runs on, and what the processor can do.

use demotic_codegen::target::{Arch, Features, Order, Target};
use demotic_codegen::x87::Significand;
use demotic_codegen::{Arithmetic, Emitter};
use demotic_ir::passes::Precision;
use demotic_ir::state::GuestState;

/// How translated code keeps the flags for faults: an x86 host computes most of them along with the values.
pub(crate) const PRECISION: Precision = if cfg!(target_arch = "x86_64") { Precision::Kept } else { Precision::Exact };

/// The same while nobody looks at the flags at faults; an x86 host gains nothing.
pub(crate) const UNSEEN: Precision = if cfg!(target_arch = "x86_64") { Precision::Kept } else { Precision::Relaxed };

/// The precision of x87 arithmetic that code translated now should expect; x86 hosts do as their control word says.
pub(crate) fn significand(state: &GuestState) -> Significand {
    if cfg!(target_arch = "x86_64") { Significand::Extended } else { Significand::of(state.x87.cw) }
}

/// Whether calls come in elsewhere than jumps: see [`demotic_codegen::Compiled::calls`].
pub(crate) const CALLS_ELSEWHERE: bool = cfg!(target_arch = "aarch64");

/// This host's emitter and target; `None` where there is none and everything is interpreted.
#[cfg(target_arch = "x86_64")]
pub(crate) fn emitter() -> Option<(&'static dyn Emitter, Target)> {
    let features = Features {
        avx: std::arch::is_x86_feature_detected!("avx"),
        avx2: std::arch::is_x86_feature_detected!("avx")
            && std::arch::is_x86_feature_detected!("avx2")
            && std::arch::is_x86_feature_detected!("fma")
            && std::arch::is_x86_feature_detected!("f16c"),
        bmi: std::arch::is_x86_feature_detected!("bmi1")
            && std::arch::is_x86_feature_detected!("bmi2")
            && std::arch::is_x86_feature_detected!("lzcnt"),
        popcnt: std::arch::is_x86_feature_detected!("popcnt"),
        aes: std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq"),
        sha: std::arch::is_x86_feature_detected!("sha"),
        dot: is_amd(),
        ..Features::default()
    };
    // The instructions that the emitter takes for granted.
    let enough = std::arch::is_x86_feature_detected!("sse4.2") && std::arch::is_x86_feature_detected!("ssse3");
    static X64: demotic_codegen::x64::X64 = demotic_codegen::x64::X64;
    enough.then_some((&X64 as &dyn Emitter, Target { arch: Arch::X64, features, order: Order::Single }))
}

/// Whether the processor is one of AMD's: it says so.
#[cfg(target_arch = "x86_64")]
fn is_amd() -> bool {
    let cpuid = std::arch::x86_64::__cpuid(0);
    [cpuid.ebx, cpuid.edx, cpuid.ecx].map(u32::to_le_bytes).concat() == b"AuthenticAMD"
}

/// This host's emitter and target (asm/hwcap.h of arm64 for the bits).
#[cfg(target_arch = "aarch64")]
pub(crate) fn emitter() -> Option<(&'static dyn Emitter, Target)> {
    const AES: u64 = 1 << 3 | 1 << 4;
    const SHA: u64 = 1 << 5 | 1 << 6;
    const CRC32: u64 = 1 << 7;
    const ATOMICS: u64 = 1 << 8;
    const LRCPC: u64 = 1 << 15;
    const USCAT: u64 = 1 << 25;
    const ILRCPC: u64 = 1 << 26;
    const FLAGM: u64 = 1 << 27;
    // SAFETY: reads the auxiliary vector.
    let caps = unsafe { libc::getauxval(libc::AT_HWCAP) };
    let features = Features {
        lse: caps & ATOMICS != 0,
        lse2: caps & USCAT != 0,
        // Loads of the weaker kind may pass the store half of an exclusive pair, so they go with the atomic instructions only.
        rcpc: caps & LRCPC != 0 && caps & ATOMICS != 0,
        rcpc2: caps & ILRCPC != 0 && caps & ATOMICS != 0,
        flagm: caps & FLAGM != 0,
        aes: caps & AES == AES,
        sha: caps & SHA == SHA,
        crc: caps & CRC32 != 0,
        ..Features::default()
    };
    Some((&demotic_codegen::arm64::Arm64, Target { arch: Arch::Arm64, features, order: Order::Single }))
}

/// No emitter for this host.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) fn emitter() -> Option<(&'static dyn Emitter, Target)> {
    let _ = (Arch::Arm64, Features::default(), Order::Single);
    None
}

/// How code does SSE arithmetic under this MXCSR; `exact`: with all status flags. AArch64's does without help as long as exceptions are masked (bits 7
/// to 12) and neither FZ (15) nor DAZ (6) is set.
pub(crate) fn arithmetic(mxcsr: u32, exact: bool) -> Arithmetic {
    match (mxcsr & 0x9fc0 == 0x1f80, exact) {
        _ if cfg!(not(target_arch = "aarch64")) => Arithmetic::Fast,
        (false, _) => Arithmetic::Helper,
        (true, true) => Arithmetic::Exact,
        (true, false) => Arithmetic::Fast,
    }
}
