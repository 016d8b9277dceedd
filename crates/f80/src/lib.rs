//! x86 floating point in integers: the 80-bit x87 format exactly, and SSE's f32/f64 with MXCSR.
//!
//! Problem: no ARM host has an 80-bit format, and none reports x86's exception flags (denormal operand, the "rounded up"
//! bit C1) or follows its NaN rules. Approach: every operation unpacks its operands to sign, exponent and a normalised
//! significand, computes exactly (or exactly plus a sticky bit), and hands the result to one rounding routine
//! ([`round`]). The functions are pure: what the hardware keeps in its control and status words is passed in and out
//! as an [`Env`] (x87) or a [`sse::Mxcsr`].
//!
//! Exceptions. Every function raises its flags in the environment and returns a value:
//! * masked: the value is the masked response (SDM vol. 1, 8.5 and 11.5);
//! * overflow and underflow unmasked, register destination: the rounded result with its exponent biased by 24576;
//! * invalid, zero-divide and denormal-operand unmasked, and anything unmasked on a store to memory: the destination must
//!   stay as it was. The caller asks [`Env::unmasked`] and drops the value where the destination may not change.
//!
//! Invariants: same input, same output on every host; no input panics; results are canonical (an unsupported encoding
//! is never produced). The basic operations agree with silicon bit for bit, flags and C1 included (`tests/silicon.rs`);
//! the transcendental ones ([`transcend`]) are rounded from about 120 bits, so their last bit may differ from a
//! particular processor's, as it does between processors.
#![no_std]
#![forbid(unsafe_code)]

mod add;
mod bcd;
mod convert;
mod div_sqrt;
mod mul;
mod rem;
mod round;
pub mod sse;
mod transcend;
mod unpack;
mod wide;

pub use add::{add, compare, sub};
pub use bcd::{from_bcd, to_bcd};
pub use convert::{from_f32, from_f64, from_i64, round_to_int, to_f32, to_f64, to_i16, to_i32, to_i64};
pub use div_sqrt::{div, sqrt};
pub use mul::mul;
pub use rem::{extract, rem, rem1, scale};
pub use transcend::{f2xm1, fcos, fpatan, fptan, fsin, fsincos, fyl2x, fyl2xp1};

/// Invalid operation (x87 status word and MXCSR bit 0).
pub const IE: u8 = 1;
/// Denormal operand (bit 1).
pub const DE: u8 = 2;
/// Division by zero (bit 2).
pub const ZE: u8 = 4;
/// Overflow (bit 3).
pub const OE: u8 = 8;
/// Underflow (bit 4).
pub const UE: u8 = 16;
/// Precision, that is inexact (bit 5).
pub const PE: u8 = 32;

/// Exponent bias of the double-extended format.
pub(crate) const BIAS: i32 = 16383;
/// What an unmasked overflow subtracts from, and an unmasked underflow adds to, the exponent (SDM vol. 1, 8.5.4).
pub(crate) const WRAP: i32 = 24576;

/// A value in x87 double-extended format, any of the 2^80 bit patterns.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(C)]
pub struct F80 {
    /// The significand with its explicit integer bit on top.
    pub mant: u64,
    /// Sign in bit 15, biased exponent below.
    pub se: u16,
}

/// What kind of value a bit pattern stands for (SDM vol. 1, tables 4-3 and 8-3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Plus or minus zero.
    Zero,
    /// An ordinary number.
    Normal,
    /// Exponent zero, integer bit clear.
    Denormal,
    /// Exponent zero, integer bit set: accepted as an operand with the value of exponent one, never produced.
    PseudoDenormal,
    /// Plus or minus infinity.
    Infinity,
    /// Quiet NaN.
    QNan,
    /// Signalling NaN.
    SNan,
    /// Unnormal, pseudo-infinity or pseudo-NaN: any use is an invalid operation since the 80387.
    Unsupported,
}

/// The rounding-control field shared by the x87 control word and MXCSR.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rounding {
    /// To nearest, ties to even (RC = 0).
    Nearest,
    /// Towards minus infinity (RC = 1).
    Down,
    /// Towards plus infinity (RC = 2).
    Up,
    /// Towards zero (RC = 3).
    Zero,
}

impl Rounding {
    /// From the two-bit RC field; other bits are ignored.
    pub const fn from_rc(rc: u8) -> Rounding {
        match rc & 3 {
            0 => Rounding::Nearest,
            1 => Rounding::Down,
            2 => Rounding::Up,
            _ => Rounding::Zero,
        }
    }

    /// Whether a magnitude must be rounded up: `rest` is what falls off, `half` half a unit, `odd` the last kept bit.
    #[inline]
    pub(crate) fn up(self, sign: bool, rest: u128, half: u128, odd: bool) -> bool {
        match self {
            Rounding::Nearest => rest > half || (rest == half && odd),
            Rounding::Down => sign && rest != 0,
            Rounding::Up => !sign && rest != 0,
            Rounding::Zero => false,
        }
    }
}

/// The precision-control field of the x87 control word: to how many significand bits add, sub, mul, div and sqrt round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Precision {
    /// 24 bits (PC = 0).
    Single24,
    /// 53 bits (PC = 2).
    Double53,
    /// 64 bits (PC = 3; the reserved PC = 1 behaves the same).
    Extended64,
}

impl Precision {
    #[inline]
    pub(crate) fn bits(self) -> u32 {
        match self {
            Precision::Single24 => 24,
            Precision::Double53 => 53,
            Precision::Extended64 => 64,
        }
    }
}

/// The x87 environment of one operation: the control word going in, the exception flags coming out.
#[derive(Clone, Copy, Debug)]
pub struct Env {
    /// Rounding control.
    pub rounding: Rounding,
    /// Precision control.
    pub precision: Precision,
    /// Exception masks, bits 0..=5 of the control word ([`IE`] .. [`PE`]): set means masked.
    pub masks: u8,
    /// Exceptions raised so far, to be ORed into the status word.
    pub flags: u8,
    /// Whether the last rounding went away from zero: condition code C1 after an arithmetic instruction.
    pub c1: bool,
}

impl Env {
    /// The view of control word `cw`, no flags raised.
    #[inline]
    pub fn from_cw(cw: u16) -> Env {
        Env {
            rounding: Rounding::from_rc((cw >> 10) as u8),
            precision: match (cw >> 8) & 3 {
                0 => Precision::Single24,
                2 => Precision::Double53,
                _ => Precision::Extended64,
            },
            masks: (cw & 0x3F) as u8,
            flags: 0,
            c1: false,
        }
    }

    /// Whether an exception was raised that the control word does not mask.
    #[inline]
    pub fn unmasked(&self) -> bool {
        self.flags & !self.masks & 0x3F != 0
    }

    /// Whether an unmasked exception was found before computing: the destination stays and no later flag is raised.
    #[inline]
    pub(crate) fn stopped(&self) -> bool {
        self.flags & !self.masks & (IE | DE | ZE) != 0
    }

    #[inline]
    pub(crate) fn raise(&mut self, flags: u8) {
        self.flags |= flags;
    }

    /// Invalid operation: its flag and its masked response.
    #[inline]
    pub(crate) fn invalid(&mut self) -> F80 {
        self.raise(IE);
        F80::INDEFINITE
    }
}

/// Result of a comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ordering4 {
    /// First operand less.
    Less,
    /// Equal (zeros of either sign are equal).
    Equal,
    /// First operand greater.
    Greater,
    /// A NaN or an unsupported operand took part.
    Unordered,
}

/// The constants that FLDxx loads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Constant {
    /// 1.0 (FLD1).
    One,
    /// log2(10) (FLDL2T).
    L2t,
    /// log2(e) (FLDL2E).
    L2e,
    /// pi (FLDPI).
    Pi,
    /// log10(2) (FLDLG2).
    Lg2,
    /// ln(2) (FLDLN2).
    Ln2,
    /// +0.0 (FLDZ).
    Zero,
}

impl F80 {
    /// +0.0
    pub const ZERO: F80 = F80::new(false, 0, 0);
    /// 1.0
    pub const ONE: F80 = F80::new(false, 0x3FFF, 1 << 63);
    /// +infinity
    pub const INFINITY: F80 = F80::new(false, 0x7FFF, 1 << 63);
    /// The default quiet NaN, "real indefinite".
    pub const INDEFINITE: F80 = F80::new(true, 0x7FFF, 0xC000_0000_0000_0000);
    /// pi, rounded to nearest.
    pub const PI: F80 = F80::new(false, 0x4000, 0xC90F_DAA2_2168_C235);
    /// log2(10), rounded to nearest.
    pub const L2T: F80 = F80::new(false, 0x4000, 0xD49A_784B_CD1B_8AFE);
    /// log2(e), rounded to nearest.
    pub const L2E: F80 = F80::new(false, 0x3FFF, 0xB8AA_3B29_5C17_F0BC);
    /// log10(2), rounded to nearest.
    pub const LG2: F80 = F80::new(false, 0x3FFD, 0x9A20_9A84_FBCF_F799);
    /// ln(2), rounded to nearest.
    pub const LN2: F80 = F80::new(false, 0x3FFE, 0xB172_17F7_D1CF_79AC);

    /// From sign, biased exponent (15 bits) and significand.
    #[inline]
    pub const fn new(sign: bool, exp: u16, mant: u64) -> F80 {
        F80 { mant, se: ((sign as u16) << 15) | (exp & 0x7FFF) }
    }

    pub(crate) const fn zero(sign: bool) -> F80 {
        F80::new(sign, 0, 0)
    }

    pub(crate) const fn infinity(sign: bool) -> F80 {
        F80::new(sign, 0x7FFF, 1 << 63)
    }

    /// What FLD1 and its kin load under rounding `rc`: the infinitely precise constant rounded that way
    /// (SDM vol. 2, FLD1..FLDZ). No flag is raised.
    pub fn constant(which: Constant, rc: Rounding) -> F80 {
        // (nearest, whether nearest lies above the true value)
        let (near, above) = match which {
            Constant::One => return F80::ONE,
            Constant::Zero => return F80::ZERO,
            Constant::L2t => (F80::L2T, false),
            Constant::L2e => (F80::L2E, true),
            Constant::Pi => (F80::PI, true),
            Constant::Lg2 => (F80::LG2, true),
            Constant::Ln2 => (F80::LN2, true),
        };
        let step = match rc {
            Rounding::Nearest => 0,
            Rounding::Up if !above => 1,
            Rounding::Down | Rounding::Zero if above => u64::MAX,
            _ => 0,
        };
        F80 { mant: near.mant.wrapping_add(step), se: near.se }
    }

    /// The ten bytes as FSTP m80 stores them, little-endian.
    #[inline]
    pub fn to_bytes(self) -> [u8; 10] {
        let (m, s) = (self.mant.to_le_bytes(), self.se.to_le_bytes());
        [m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7], s[0], s[1]]
    }

    /// From ten bytes as FLD m80 reads them; any pattern is accepted.
    #[inline]
    pub fn from_bytes(b: [u8; 10]) -> F80 {
        F80 {
            mant: u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]),
            se: u16::from_le_bytes([b[8], b[9]]),
        }
    }

    /// The biased exponent field.
    #[inline]
    pub fn exp_field(self) -> u16 {
        self.se & 0x7FFF
    }

    /// The sign bit.
    #[inline]
    pub fn is_negative(self) -> bool {
        self.se >> 15 != 0
    }

    /// FCHS: the sign bit flipped, whatever the pattern.
    #[inline]
    #[allow(clippy::should_implement_trait, reason = "an instruction like its neighbours, not arithmetic by operator")]
    pub fn neg(self) -> F80 {
        F80 { se: self.se ^ 0x8000, ..self }
    }

    /// FABS: the sign bit cleared, whatever the pattern.
    #[inline]
    pub fn abs(self) -> F80 {
        F80 { se: self.se & 0x7FFF, ..self }
    }

    /// What the pattern stands for.
    #[inline]
    pub fn class(self) -> Class {
        let int = self.mant >> 63 != 0;
        match self.exp_field() {
            0 if self.mant == 0 => Class::Zero,
            0 if int => Class::PseudoDenormal,
            0 => Class::Denormal,
            _ if !int => Class::Unsupported,
            0x7FFF if self.mant << 1 == 0 => Class::Infinity,
            0x7FFF if self.mant >> 62 & 1 != 0 => Class::QNan,
            0x7FFF => Class::SNan,
            _ => Class::Normal,
        }
    }

    #[inline]
    pub(crate) fn is_nan(self) -> bool {
        matches!(self.class(), Class::QNan | Class::SNan)
    }

    #[inline]
    pub(crate) fn quiet(self) -> F80 {
        F80 { mant: self.mant | 1 << 62, ..self }
    }
}
