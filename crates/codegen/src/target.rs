//! The host processor as the emitters see it: an explicit value, so that any target can be compiled for on any machine.

/// Host architecture.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Arch {
    /// AArch64.
    Arm64,
    /// x86-64.
    X64,
}

/// Memory order of plain guest accesses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Order {
    /// One thread and no shared writable mapping: program order is enough.
    #[default]
    Single,
    /// x86-TSO.
    Tso,
}

/// Optional features of processors that change what is emitted (Arm ARM A2; SDM vol. 1, section 5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Features {
    /// Atomic instructions (FEAT_LSE).
    pub lse: bool,
    /// Unaligned atomicity within 16 bytes (FEAT_LSE2).
    pub lse2: bool,
    /// LDAPR (FEAT_LRCPC).
    pub rcpc: bool,
    /// LDAPUR, STLUR (FEAT_LRCPC2).
    pub rcpc2: bool,
    /// RMIF, SETF8, SETF16, CFINV (FEAT_FlagM).
    pub flagm: bool,
    /// x86-64: AVX, with the operating system's support.
    pub avx: bool,
    /// x86-64: AVX2, FMA and F16C besides.
    pub avx2: bool,
    /// x86-64: BMI1, BMI2 and LZCNT.
    pub bmi: bool,
    /// x86-64: POPCNT.
    pub popcnt: bool,
    /// AES and carry-less products (x86-64: AES and PCLMULQDQ; FEAT_AES and FEAT_PMULL).
    pub aes: bool,
    /// SHA-1 and SHA-256 (FEAT_SHA1 and FEAT_SHA256).
    pub sha: bool,
    /// x86-64: of several NaNs DPPS and DPPD give the one that the interpreter gives (AMD's processors).
    pub dot: bool,
    /// AArch64: CRC-32 (FEAT_CRC32).
    pub crc: bool,
}

/// What to emit for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Target {
    /// Instruction set.
    pub arch: Arch,
    /// Optional features.
    pub features: Features,
    /// Memory order.
    pub order: Order,
}
