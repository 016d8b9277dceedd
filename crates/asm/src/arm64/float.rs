//! Floating point: scalar, and lane-wise on vectors.

use super::{Cond, Number, Reg, Sz, V};

/// Format of the operands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Fmt {
    S = 0,
    D = 1,
}

#[inline]
fn dn(d: impl Number, n: impl Number) -> u32 {
    n.n() << 5 | d.n()
}

/// Scalar operations of two operands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Two {
    Fmul = 0,
    Fdiv = 1,
    Fadd = 2,
    Fsub = 3,
    Fmax = 4,
    Fmin = 5,
    Fmaxnm = 6,
    Fminnm = 7,
    Fnmul = 8,
}
/// Scalar; the rest of the destination becomes zero.
pub fn two(op: Two, f: Fmt, d: V, n: V, m: V) -> u32 {
    0x1e20_0800 | (f as u32) << 22 | m.n() << 16 | (op as u32) << 12 | dn(d, n)
}

/// Scalar operations of one operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum One {
    Fmov = 0,
    Fabs = 1,
    Fneg = 2,
    Fsqrt = 3,
    Frintn = 8,
    Frintp = 9,
    Frintm = 10,
    Frintz = 11,
    Frinta = 12,
    Frintx = 14,
    Frinti = 15,
}
/// Scalar; the rest of the destination becomes zero.
pub fn one(op: One, f: Fmt, d: V, n: V) -> u32 {
    0x1e20_4000 | (f as u32) << 22 | (op as u32) << 15 | dn(d, n)
}
/// fcvt from format `f` to the other one.
pub fn fcvt(f: Fmt, d: V, n: V) -> u32 {
    0x1e22_4000 | (f as u32) << 22 | u32::from(f == Fmt::S) << 15 | dn(d, n)
}
/// fcmp; `signalling`: fcmpe.
pub fn fcmp(signalling: bool, f: Fmt, n: V, m: V) -> u32 {
    0x1e20_2000 | (f as u32) << 22 | m.n() << 16 | n.n() << 5 | u32::from(signalling) << 4
}
/// fccmp: compares when the condition holds, else the flags become `nzcv` (N is bit 3).
pub fn fccmp(f: Fmt, n: V, m: V, nzcv: u32, cond: Cond) -> u32 {
    0x1e20_0400 | (f as u32) << 22 | m.n() << 16 | cond.n() << 12 | n.n() << 5 | nzcv & 15
}
/// fcmp with +0.0.
pub fn fcmp_zero(f: Fmt, n: V) -> u32 {
    0x1e20_2008 | (f as u32) << 22 | n.n() << 5
}
/// fcsel.
pub fn fcsel(f: Fmt, d: V, n: V, m: V, cond: Cond) -> u32 {
    0x1e20_0c00 | (f as u32) << 22 | m.n() << 16 | cond.n() << 12 | dn(d, n)
}

/// Rounding of a conversion to integer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Round {
    Nearest = 0,
    Up = 1,
    Down = 2,
    Zero = 3,
}
/// fcvt{n,p,m,z}s: scalar to signed integer.
pub fn to_int(round: Round, sz: Sz, f: Fmt, d: Reg, n: V) -> u32 {
    sz.sf() | 0x1e20_0000 | (f as u32) << 22 | (round as u32) << 19 | dn(d, n)
}
/// scvtf: signed integer to scalar.
pub fn from_int(sz: Sz, f: Fmt, d: V, n: Reg) -> u32 {
    sz.sf() | 0x1e22_0000 | (f as u32) << 22 | dn(d, n)
}
/// Bits of s or d to a general register of the same width.
pub fn fmov_to(sz: Sz, d: Reg, n: V) -> u32 {
    sz.sf() | 0x1e26_0000 | (sz as u32) << 22 | dn(d, n)
}
/// General register to s or d; the rest becomes zero.
pub fn fmov_from(sz: Sz, d: V, n: Reg) -> u32 {
    sz.sf() | 0x1e27_0000 | (sz as u32) << 22 | dn(d, n)
}
/// Upper half of a vector to X.
pub fn fmov_hi_to(d: Reg, n: V) -> u32 {
    0x9eae_0000 | dn(d, n)
}
/// X to the upper half of a vector; the lower half stays.
pub fn fmov_hi_from(d: V, n: Reg) -> u32 {
    0x9eaf_0000 | dn(d, n)
}

/// Fused multiplication and addition of scalars.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Three {
    /// a + n * m.
    Fmadd = 0,
    /// a - n * m.
    Fmsub = 1,
    /// -a - n * m.
    Fnmadd = 2,
    /// n * m - a.
    Fnmsub = 3,
}
/// `d` from `n`, `m` and `a`.
pub fn three(op: Three, f: Fmt, d: V, n: V, m: V, a: V) -> u32 {
    let op = op as u32;
    0x1f00_0000 | (f as u32) << 22 | (op >> 1) << 21 | m.n() << 16 | (op & 1) << 15 | a.n() << 10 | dn(d, n)
}
macro_rules! vector_ops {
    ($(#[$m:meta])* $name:ident { $($op:ident $u:literal $high:literal $opcode:literal,)* }) => {
        $(#[$m])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[allow(missing_docs)]
        pub enum $name { $($op,)* }
        impl $name {
            /// All of the class.
            pub const ALL: &'static [$name] = &[$($name::$op,)*];
            fn word(self) -> (u32, u32) {
                match self { $($name::$op => ($u << 29 | $high << 23, $opcode),)* }
            }
        }
    };
}

vector_ops! {
    /// Lane-wise operations of two operands; columns: U, high size bit, opcode.
    Vec2 {
        Fmaxnm 0 0 0b11000, Fmla 0 0 0b11001, Fadd 0 0 0b11010, Fcmeq 0 0 0b11100, Fmax 0 0 0b11110,
        Fminnm 0 1 0b11000, Fmls 0 1 0b11001, Fsub 0 1 0b11010, Fmin 0 1 0b11110,
        Faddp 1 0 0b11010, Fmul 1 0 0b11011, Fcmge 1 0 0b11100, Fdiv 1 0 0b11111,
        Fabd 1 1 0b11010, Fcmgt 1 1 0b11100,
    }
}
vector_ops! {
    /// Lane-wise operations of one operand.
    Vec1 {
        Frintn 0 0 0b11000, Frintm 0 0 0b11001, Fcvtns 0 0 0b11010, Fcvtms 0 0 0b11011, Scvtf 0 0 0b11101,
        Fcmgt0 0 1 0b01100, Fcmeq0 0 1 0b01101, Fcmlt0 0 1 0b01110, Fabs 0 1 0b01111, Frintp 0 1 0b11000,
        Frintz 0 1 0b11001, Fcvtps 0 1 0b11010, Fcvtzs 0 1 0b11011, Ucvtf 1 0 0b11101, Frintx 1 0 0b11001,
        Fneg 1 1 0b01111, Frinti 1 1 0b11001, Fsqrt 1 1 0b11111,
    }
}

/// Lane-wise; `q`: all 128 bits (needed for D).
pub fn vec2(op: Vec2, q: bool, f: Fmt, d: V, n: V, m: V) -> u32 {
    let (base, opcode) = op.word();
    u32::from(q) << 30 | 0x0e20_0400 | base | (f as u32) << 22 | m.n() << 16 | opcode << 11 | dn(d, n)
}
/// Lane-wise.
pub fn vec1(op: Vec1, q: bool, f: Fmt, d: V, n: V) -> u32 {
    let (base, opcode) = op.word();
    u32::from(q) << 30 | 0x0e20_0800 | base | (f as u32) << 22 | opcode << 12 | dn(d, n)
}
/// The scalar form of a comparison (fcmeq, fcmge, fcmgt): all ones or zero; the rest becomes zero.
pub fn scalar_compare(op: Vec2, f: Fmt, d: V, n: V, m: V) -> Option<u32> {
    matches!(op, Vec2::Fcmeq | Vec2::Fcmge | Vec2::Fcmgt | Vec2::Fabd).then(|| vec2(op, true, f, d, n, m) | 1 << 28)
}
/// fcvtl: two low (with `upper` high) binary32 lanes to two binary64.
pub fn fcvtl(upper: bool, d: V, n: V) -> u32 {
    u32::from(upper) << 30 | 0x0e61_7800 | dn(d, n)
}
/// Four binary16 to four binary32.
pub fn fcvtl_half(d: V, n: V) -> u32 {
    0x0e21_7800 | dn(d, n)
}
/// fcvtn: two binary64 lanes to two low binary32 (upper half zero), with `upper` into the high half.
pub fn fcvtn(upper: bool, d: V, n: V) -> u32 {
    u32::from(upper) << 30 | 0x0e61_6800 | dn(d, n)
}
/// The largest of four binary32 lanes, or of two binary64 ones; a NaN when one is.
pub fn max_across(f: Fmt, d: V, n: V) -> u32 {
    dn(d, n)
        | match f {
            Fmt::S => 0x6e30_f800,
            Fmt::D => 0x7e70_f800,
        }
}
