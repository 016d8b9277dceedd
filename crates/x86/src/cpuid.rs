//! What CPUID says of the processor that the guest sees.
//!
//! Every bit advertised here obliges the lifter to implement what it stands for; what is not advertised raises #UD ([`crate::features`]). There is no
//! SYSENTER: 32-bit code enters the kernel by `int 0x80`.

use crate::features::{Features, Place};

/// Result registers EAX, EBX, ECX, EDX.
pub type Regs = [u32; 4];

/// CPUID.1:EDX, which is also AT_HWCAP of both ABIs: FPU TSC MSR CX8 CMOV CLFSH MMX FXSR SSE SSE2.
pub const FEATURES_EDX: u32 = 1 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 15 | 1 << 19 | 1 << 23 | 1 << 24 | 1 << 25 | 1 << 26;
/// CPUID.1:ECX, OSXSAVE: the kernel has switched XSAVE on.
pub const OSXSAVE: u32 = 1 << 27;
/// CPUID.80000001:EDX: SYSCALL NX RDTSCP LM.
pub const EXTENDED_EDX: u32 = 1 << 11 | 1 << 20 | 1 << 27 | 1 << 29;
/// Family 6, model 26, stepping 5: the first with these features, which C libraries know to be quick at unaligned accesses; so are translations.
pub const SIGNATURE: u32 = 0x0001_06a5;
/// Vendor string.
pub const VENDOR: &[u8; 12] = b"GenuineIntel";
/// Brand string, padded with zeros to 48 bytes.
pub const BRAND: &[u8] = b"Demotic virtual x86-64 processor";

fn word(bytes: &[u8], at: usize) -> u32 {
    (0..4).fold(0, |w, k| w | u32::from(bytes.get(at + k).copied().unwrap_or(0)) << (8 * k))
}

/// CPUID for a leaf and subleaf on logical processor `cpu` of `cpus`.
pub fn cpuid(features: Features, leaf: u32, subleaf: u32, cpu: u32, cpus: u32) -> Regs {
    let cpus = cpus.max(1);
    match leaf {
        0 => [if features.xcr0() == 0 { 7 } else { 13 }, word(VENDOR, 0), word(VENDOR, 8), word(VENDOR, 4)],
        // EBX: APIC id, logical processors, CLFLUSH line of 64 bytes.
        1 => {
            let on = if features.xcr0() == 0 { 0 } else { OSXSAVE };
            let ecx = features.register(Place::Basic) | on;
            [SIGNATURE, (cpu & 255) << 24 | cpus.min(255) << 16 | 8 << 8, ecx, FEATURES_EDX]
        }
        // "Use leaf 4 for caches."
        2 => [0x00ff_ff01, 0, 0, 0],
        4 => cache(subleaf),
        7 if subleaf == 0 => [0, features.register(Place::Structured), features.register(Place::StructuredMore), 0],
        13 => xsave(features, subleaf),
        0x8000_0000 => [0x8000_0008, 0, 0, 0],
        0x8000_0001 => {
            [0, 0, features.register(Place::Extended), features.register(Place::ExtendedMore) | EXTENDED_EDX]
        }
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

/// Leaf 13: the components of the state that XSAVE stores, and their places in the standard format.
fn xsave(features: Features, subleaf: u32) -> Regs {
    let xcr0 = features.xcr0() as u32;
    let size = demotic_ir::xstate::size(u64::from(xcr0)) as u32;
    match subleaf {
        _ if xcr0 == 0 => [0; 4],
        0 => [xcr0, size, size, 0],
        1 => {
            let compact = features.has(Features::XSAVEC);
            [features.register(Place::Xsave), if compact { size } else { 0 }, 0, 0]
        }
        // Upper halves of YMM.
        2 if xcr0 & 4 != 0 => [256, demotic_ir::xstate::UPPER as u32, 0, 0],
        _ => [0; 4],
    }
}
