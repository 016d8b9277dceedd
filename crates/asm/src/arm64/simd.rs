//! Advanced SIMD: vectors of integers (and the lane-wise floating-point forms of the same classes).

use super::{Number, Reg, Sz, V};

/// Lane size: log2 of the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Lane {
    B = 0,
    H = 1,
    S = 2,
    D = 3,
}

impl Lane {
    fn size(self) -> u32 {
        (self as u32) << 22
    }
    /// Bits of a lane.
    pub fn bits(self) -> u32 {
        8 << self as u32
    }
    fn imm5(self, n: u32) -> u32 {
        (((n << 1 | 1) << self as u32) & 31) << 16
    }
}

macro_rules! class {
    ($(#[$m:meta])* $name:ident { $($op:ident $u:literal $opcode:literal,)* }) => {
        $(#[$m])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[allow(missing_docs)]
        pub enum $name { $($op,)* }
        impl $name {
            /// All of the class.
            pub const ALL: &'static [$name] = &[$($name::$op,)*];
            fn bits(self) -> (u32, u32) {
                match self { $($name::$op => ($u, $opcode),)* }
            }
        }
    };
}

class! {
    /// Three registers of the same arrangement.
    Same {
        Shadd 0 0b00000, Sqadd 0 0b00001, Srhadd 0 0b00010, Sqsub 0 0b00101, Cmgt 0 0b00110, Cmge 0 0b00111,
        Sshl 0 0b01000, Smax 0 0b01100, Smin 0 0b01101, Sabd 0 0b01110, Add 0 0b10000, Cmtst 0 0b10001,
        Mla 0 0b10010, Mul 0 0b10011, Addp 0 0b10111,
        Uhadd 1 0b00000, Uqadd 1 0b00001, Urhadd 1 0b00010, Uqsub 1 0b00101, Cmhi 1 0b00110, Cmhs 1 0b00111,
        Ushl 1 0b01000, Umax 1 0b01100, Umin 1 0b01101, Uabd 1 0b01110, Sub 1 0b10000, Cmeq 1 0b10001,
        Umaxp 1 0b10100,
    }
}
class! {
    /// Long multiplications, additions and differences: the result lane is twice as wide. With `upper` from the high halves.
    Long {
        Saddl 0 0b0000, Uaddl 1 0b0000, Ssubl 0 0b0010, Usubl 1 0b0010, Sabdl 0 0b0111, Uabdl 1 0b0111,
        Smlal 0 0b1000, Umlal 1 0b1000, Smull 0 0b1100, Umull 1 0b1100,
    }
}
class! {
    /// Two registers.
    Misc {
        Rev64 0 0b00000, Rev32 1 0b00000, Rev16 0 0b00001, Saddlp 0 0b00010, Uaddlp 1 0b00010, Clz 1 0b00100,
        Cnt 0 0b00101, Not 1 0b00101, Uadalp 1 0b00110, Cmgt0 0 0b01000, Cmge0 1 0b01000, Cmeq0 0 0b01001,
        Cmle0 1 0b01001, Cmlt0 0 0b01010, Abs 0 0b01011, Neg 1 0b01011, Xtn 0 0b10010, Sqxtun 1 0b10010,
        Sqxtn 0 0b10100, Uqxtn 1 0b10100,
    }
}
class! {
    /// Across lanes.
    Across { Addv 0 0b11011, Smaxv 0 0b01010, Sminv 0 0b11010, Umaxv 1 0b01010, Uminv 1 0b11010, Uaddlv 1 0b00011, }
}
class! {
    /// Permutations of two registers.
    Permute { Uzp1 0 0b001, Trn1 0 0b010, Zip1 0 0b011, Uzp2 0 0b101, Trn2 0 0b110, Zip2 0 0b111, }
}
class! {
    /// Shifts right by 1..=lane bits; the narrowing ones give half-width lanes, and the amount is at most that width.
    ShiftRight { Sshr 0 0b00000, Ushr 1 0b00000, Ssra 0 0b00010, Usra 1 0b00010, Sri 1 0b01000, }
}
class! {
    /// Shifts left by 0..lane bits.
    ShiftLeft { Shl 0 0b01010, Sli 1 0b01010, }
}
class! {
    /// Bitwise operations; the first number is the U bit, the second the size field.
    Bits { And 0 0, Bic 0 1, Orr 0 2, Orn 0 3, Eor 1 0, Bsl 1 1, Bit 1 2, Bif 1 3, }
}

#[inline]
fn dn(d: impl Number, n: impl Number) -> u32 {
    n.n() << 5 | d.n()
}

/// Three same; `q`: all 128 bits.
pub fn same(op: Same, q: bool, lane: Lane, d: V, n: V, m: V) -> u32 {
    let (u, opcode) = op.bits();
    u32::from(q) << 30 | u << 29 | 0x0e20_0400 | lane.size() | m.n() << 16 | opcode << 11 | dn(d, n)
}
/// Long: `lane` is that of the sources.
pub fn long(op: Long, upper: bool, lane: Lane, d: V, n: V, m: V) -> u32 {
    let (u, opcode) = op.bits();
    u32::from(upper) << 30 | u << 29 | 0x0e20_0000 | lane.size() | m.n() << 16 | opcode << 12 | dn(d, n)
}
/// Two registers; for the narrowing operations `q` is the `2` form and `lane` that of the result.
pub fn misc(op: Misc, q: bool, lane: Lane, d: V, n: V) -> u32 {
    let (u, opcode) = op.bits();
    u32::from(q) << 30 | u << 29 | 0x0e20_0800 | lane.size() | opcode << 12 | dn(d, n)
}
/// Across lanes.
pub fn across(op: Across, q: bool, lane: Lane, d: V, n: V) -> u32 {
    let (u, opcode) = op.bits();
    u32::from(q) << 30 | u << 29 | 0x0e30_0800 | lane.size() | opcode << 12 | dn(d, n)
}
/// zip, uzp, trn.
pub fn permute(op: Permute, q: bool, lane: Lane, d: V, n: V, m: V) -> u32 {
    u32::from(q) << 30 | 0x0e00_0800 | lane.size() | m.n() << 16 | op.bits().1 << 12 | dn(d, n)
}
/// Bitwise.
pub fn bits(op: Bits, q: bool, d: V, n: V, m: V) -> u32 {
    let (u, size) = op.bits();
    u32::from(q) << 30 | u << 29 | 0x0e20_1c00 | size << 22 | m.n() << 16 | dn(d, n)
}
/// Copy of all 128 bits.
pub fn mov(d: V, n: V) -> u32 {
    bits(Bits::Orr, true, d, n, n)
}
/// Shift right by a constant; `None` unless 1..=lane bits.
pub fn shift_right(op: ShiftRight, q: bool, lane: Lane, d: V, n: V, by: u32) -> Option<u32> {
    let (u, opcode) = op.bits();
    (1..=lane.bits())
        .contains(&by)
        .then(|| u32::from(q) << 30 | u << 29 | 0x0f00_0400 | (2 * lane.bits() - by) << 16 | opcode << 11 | dn(d, n))
}
/// Shift left by a constant; `None` unless below the lane bits.
pub fn shift_left(op: ShiftLeft, q: bool, lane: Lane, d: V, n: V, by: u32) -> Option<u32> {
    let (u, opcode) = op.bits();
    (by < lane.bits())
        .then(|| u32::from(q) << 30 | u << 29 | 0x0f00_0400 | (lane.bits() + by) << 16 | opcode << 11 | dn(d, n))
}
/// shrn: lanes of twice `lane` shifted right by 1..=lane bits and narrowed; `upper` is shrn2.
pub fn shrn(upper: bool, lane: Lane, d: V, n: V, by: u32) -> Option<u32> {
    (lane != Lane::D && (1..=lane.bits()).contains(&by))
        .then(|| u32::from(upper) << 30 | 0x0f00_8400 | (2 * lane.bits() - by) << 16 | dn(d, n))
}
/// rshrn: the same, rounded.
pub fn rshrn(upper: bool, lane: Lane, d: V, n: V, by: u32) -> Option<u32> {
    shrn(upper, lane, d, n, by).map(|word| word | 0x800)
}
/// sshll / ushll: lanes widened and shifted left; `lane` is that of the source.
pub fn shll(unsigned: bool, upper: bool, lane: Lane, d: V, n: V, by: u32) -> Option<u32> {
    (lane != Lane::D && by < lane.bits())
        .then(|| u32::from(upper) << 30 | u32::from(unsigned) << 29 | 0x0f00_a400 | (lane.bits() + by) << 16 | dn(d, n))
}
/// Bytes of n:m from byte `from` (0..16) of n on.
pub fn ext(d: V, n: V, m: V, from: u32) -> u32 {
    0x6e00_0000 | m.n() << 16 | (from & 15) << 11 | dn(d, n)
}
/// Table lookup in n and the `more` (0..=3) registers behind it; bytes out of range give 0, with `keep` (tbx) the old byte.
pub fn tbl(keep: bool, d: V, n: V, more: u32, m: V) -> u32 {
    0x4e00_0000 | m.n() << 16 | (more & 3) << 13 | u32::from(keep) << 12 | dn(d, n)
}

/// Steps of AES, SHA-1 and SHA-256 on two registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
#[repr(u32)]
pub enum Crypto2 {
    Aese = 0x4e28_4800,
    Aesd = 0x4e28_5800,
    Aesmc = 0x4e28_6800,
    Aesimc = 0x4e28_7800,
    Sha1h = 0x5e28_0800,
    Sha256su0 = 0x5e28_2800,
}
/// The same on three.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
#[repr(u32)]
pub enum Crypto3 {
    Sha1c = 0x5e00_0000,
    Sha1p = 0x5e00_1000,
    Sha1m = 0x5e00_2000,
    Sha256h = 0x5e00_4000,
    Sha256h2 = 0x5e00_5000,
    Sha256su1 = 0x5e00_6000,
}
/// A step on two registers (FEAT_AES, FEAT_SHA1, FEAT_SHA256).
pub fn crypto2(op: Crypto2, d: V, n: V) -> u32 {
    op as u32 | dn(d, n)
}
/// A step on three (FEAT_SHA1, FEAT_SHA256).
pub fn crypto3(op: Crypto3, d: V, n: V, m: V) -> u32 {
    op as u32 | m.n() << 16 | dn(d, n)
}
/// Carry-less product of the low or `upper` halves (FEAT_PMULL).
pub fn pmull(upper: bool, d: V, n: V, m: V) -> u32 {
    u32::from(upper) << 30 | 0x0ee0_e000 | m.n() << 16 | dn(d, n)
}

/// Every lane a copy of lane `k`.
pub fn dup(q: bool, lane: Lane, d: V, n: V, k: u32) -> u32 {
    u32::from(q) << 30 | 0x0e00_0400 | lane.imm5(k) | dn(d, n)
}
/// Every lane a copy of a general register.
pub fn dup_reg(q: bool, lane: Lane, d: V, n: Reg) -> u32 {
    u32::from(q) << 30 | 0x0e00_0c00 | lane.imm5(0) | dn(d, n)
}
/// Lane `k` from a general register.
pub fn ins_reg(lane: Lane, d: V, k: u32, n: Reg) -> u32 {
    0x4e00_1c00 | lane.imm5(k) | dn(d, n)
}
/// Lane `k` from lane `j` of n.
pub fn ins(lane: Lane, d: V, k: u32, n: V, j: u32) -> u32 {
    0x6e00_0400 | lane.imm5(k) | (j << lane as u32 & 15) << 11 | dn(d, n)
}
/// Scalar copy of a lane, the rest of the register zero.
pub fn dup_scalar(lane: Lane, d: V, n: V, k: u32) -> u32 {
    0x5e00_0400 | lane.imm5(k) | dn(d, n)
}
/// Lane to general register, zero-extended.
pub fn umov(lane: Lane, d: Reg, n: V, k: u32) -> u32 {
    u32::from(lane == Lane::D) << 30 | 0x0e00_3c00 | lane.imm5(k) | dn(d, n)
}
/// Lane (b, h; s for X) to general register, sign-extended.
pub fn smov(sz: Sz, lane: Lane, d: Reg, n: V, k: u32) -> u32 {
    (sz as u32) << 30 | 0x0e00_2c00 | lane.imm5(k) | dn(d, n)
}

fn modified(op: u32, cmode: u32, imm: u8, d: V) -> u32 {
    let imm = u32::from(imm);
    0x4f00_0400 | op << 29 | (imm >> 5) << 16 | cmode << 12 | (imm & 31) << 5 | d.n()
}
/// Every byte of all 128 bits.
pub fn movi_b(d: V, imm: u8) -> u32 {
    modified(0, 14, imm, d)
}
/// Every byte of each 64-bit half all ones or zero as the bits of `imm` say.
pub fn movi_d(d: V, imm: u8) -> u32 {
    modified(1, 14, imm, d)
}
/// Every 32-bit lane `imm << 8 * byte`; `invert`: the complement.
pub fn movi_s(invert: bool, d: V, imm: u8, byte: u32) -> u32 {
    modified(u32::from(invert), (byte & 3) << 1, imm, d)
}
/// Every 16-bit lane `imm << 8 * byte`; `invert`: the complement.
pub fn movi_h(invert: bool, d: V, imm: u8, byte: u32) -> u32 {
    modified(u32::from(invert), 8 | (byte & 1) << 1, imm, d)
}
