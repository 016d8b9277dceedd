//! The processor that the guest sees.
//!
//! One feature model. Every bit advertised here obliges the lifter to implement what it stands for; what is not implemented
//! is not advertised. The model: x86-64-v2 (SSE3 to SSE4.2, CMPXCHG16B, POPCNT), and what works on general and XMM registers
//! beyond it (MOVBE, LZCNT, BMI1, BMI2, ADX, AES, PCLMULQDQ, SHA), without XSAVE (so no AVX, and the signal frame is the plain
//! FXSAVE one) and without SYSENTER (32-bit code enters the kernel by `int 0x80`).

/// Result registers EAX, EBX, ECX, EDX.
pub type Regs = [u32; 4];

/// CPUID.1:EDX, which is also AT_HWCAP of both ABIs: FPU TSC MSR CX8 CMOV CLFSH MMX FXSR SSE SSE2.
pub const FEATURES_EDX: u32 = 1 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 15 | 1 << 19 | 1 << 23 | 1 << 24 | 1 << 25 | 1 << 26;
/// CPUID.1:ECX: SSE3 PCLMULQDQ SSSE3 CMPXCHG16B SSE4.1 SSE4.2 MOVBE POPCNT AES.
pub const FEATURES_ECX: u32 = 1 | 1 << 1 | 1 << 9 | 1 << 13 | 1 << 19 | 1 << 20 | 1 << 22 | 1 << 23 | 1 << 25;
/// CPUID.7.0:EBX: BMI1 BMI2 ADX SHA.
pub const STRUCTURED_EBX: u32 = 1 << 3 | 1 << 8 | 1 << 19 | 1 << 29;
/// CPUID.80000001:EDX: SYSCALL NX RDTSCP LM.
pub const EXTENDED_EDX: u32 = 1 << 11 | 1 << 20 | 1 << 27 | 1 << 29;
/// CPUID.80000001:ECX: LAHF in 64-bit mode, LZCNT, PREFETCHW.
pub const EXTENDED_ECX: u32 = 1 | 1 << 5 | 1 << 8;
/// Family 6, model 23, stepping 10.
pub const SIGNATURE: u32 = 0x0001067a;
/// Vendor string.
pub const VENDOR: &[u8; 12] = b"GenuineIntel";
/// Brand string, padded with zeros to 48 bytes.
pub const BRAND: &[u8] = b"Demotic virtual x86-64 processor";

fn word(bytes: &[u8], at: usize) -> u32 {
    (0..4).fold(0, |w, k| w | u32::from(bytes.get(at + k).copied().unwrap_or(0)) << (8 * k))
}

/// CPUID for a leaf and subleaf on logical processor `cpu` of `cpus`.
pub fn cpuid(leaf: u32, subleaf: u32, cpu: u32, cpus: u32) -> Regs {
    let cpus = cpus.max(1);
    match leaf {
        0 => [7, word(VENDOR, 0), word(VENDOR, 8), word(VENDOR, 4)],
        // EBX: APIC id, logical processors, CLFLUSH line of 64 bytes.
        1 => [SIGNATURE, (cpu & 255) << 24 | cpus.min(255) << 16 | 8 << 8, FEATURES_ECX, FEATURES_EDX],
        // "Use leaf 4 for caches."
        2 => [0x00ff_ff01, 0, 0, 0],
        4 => cache(subleaf),
        7 if subleaf == 0 => [0, STRUCTURED_EBX, 0, 0],
        0x8000_0000 => [0x8000_0008, 0, 0, 0],
        0x8000_0001 => [0, 0, EXTENDED_ECX, EXTENDED_EDX],
        0x8000_0002..=0x8000_0004 => {
            let at = (leaf - 0x8000_0002) as usize * 16;
            [word(BRAND, at), word(BRAND, at + 4), word(BRAND, at + 8), word(BRAND, at + 12)]
        }
        // L2: 64-byte lines, 8-way, 512 KiB.
        0x8000_0006 => [0, 0, 512 << 16 | 6 << 12 | 64, 0],
        // Physical and linear address bits.
        0x8000_0008 => [48 << 8 | 40, 0, 0, 0],
        _ => [0; 4],
    }
}

/// Deterministic cache parameters: L1D 32 KiB 8-way, L1I 32 KiB 8-way, L2 512 KiB 8-way, L3 8 MiB 16-way.
fn cache(subleaf: u32) -> Regs {
    let (kind, level, ways, sets) = match subleaf {
        0 => (1, 1, 8, 64),
        1 => (2, 1, 8, 64),
        2 => (3, 2, 8, 1024),
        3 => (3, 3, 16, 8192),
        _ => return [0; 4],
    };
    [kind | level << 5 | 1 << 8, (ways - 1) << 22 | 63, sets - 1, 0]
}
