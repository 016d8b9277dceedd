//! AArch64 instruction encoders (Arm ARM, section C4 "A64 instruction set encoding").
//!
//! One function for each encoding class, with the operation of the class as a small value: the same shape as the manual's
//! decode tables, so that a line can be checked against its page. Functions give the instruction word; appending it and
//! noting labels is the caller's. Immediates that not every number fits are types made by a constructor that returns an
//! `Option`, or the encoder returns one: a wrong immediate cannot be written.
//!
//! Register 31 is the zero register or the stack pointer by the instruction's own rule; [`ZR`] and [`SP`] say which one the
//! caller means.

pub mod branch;
pub mod float;
pub mod int;
pub mod mem;
pub mod simd;

#[cfg(test)]
mod tests;

/// A general register.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Reg(u8);

/// A vector and floating-point register.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct V(u8);

/// The zero register.
pub const ZR: Reg = Reg(31);
/// The stack pointer (the same number as [`ZR`]).
pub const SP: Reg = Reg(31);
/// The link register.
pub const LR: Reg = Reg(30);

/// General register `n` modulo 32.
pub const fn x(n: u8) -> Reg {
    Reg(n & 31)
}
/// Vector register `n` modulo 32.
pub const fn v(n: u8) -> V {
    V(n & 31)
}

/// Anything that has a register number.
pub trait Number: Copy {
    /// The number, 0..=31.
    fn n(self) -> u32;
}
impl Number for Reg {
    #[inline]
    fn n(self) -> u32 {
        u32::from(self.0)
    }
}
impl Number for V {
    #[inline]
    fn n(self) -> u32 {
        u32::from(self.0)
    }
}

/// Operand size of an integer instruction (the `sf` bit).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Sz {
    /// 32 bits.
    W = 0,
    /// 64 bits.
    X = 1,
}

impl Sz {
    #[inline]
    pub(crate) fn sf(self) -> u32 {
        (self as u32) << 31
    }
    /// Width in bits.
    #[inline]
    pub const fn bits(self) -> u32 {
        match self {
            Sz::W => 32,
            Sz::X => 64,
        }
    }
}

/// Condition codes (C1.2.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Cond {
    Eq = 0,
    Ne = 1,
    /// Carry set, unsigned higher or same.
    Cs = 2,
    /// Carry clear, unsigned lower.
    Cc = 3,
    Mi = 4,
    Pl = 5,
    Vs = 6,
    Vc = 7,
    Hi = 8,
    Ls = 9,
    Ge = 10,
    Lt = 11,
    Gt = 12,
    Le = 13,
    Al = 14,
}

impl Cond {
    /// All but `Al`, in encoding order.
    pub const ALL: [Cond; 14] = [
        Cond::Eq,
        Cond::Ne,
        Cond::Cs,
        Cond::Cc,
        Cond::Mi,
        Cond::Pl,
        Cond::Vs,
        Cond::Vc,
        Cond::Hi,
        Cond::Ls,
        Cond::Ge,
        Cond::Lt,
        Cond::Gt,
        Cond::Le,
    ];
    /// The opposite; `Al` stays.
    pub fn inverse(self) -> Cond {
        Cond::ALL.get(self as usize ^ 1).copied().unwrap_or(Cond::Al)
    }
    #[inline]
    pub(crate) fn n(self) -> u32 {
        self as u32
    }
}

/// Shift of a register operand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum Shift {
    Lsl = 0,
    Lsr = 1,
    Asr = 2,
    /// Logical instructions only.
    Ror = 3,
}

/// Extension of a register operand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum Extend {
    Uxtb = 0,
    Uxth = 1,
    Uxtw = 2,
    /// Or LSL.
    Uxtx = 3,
    Sxtb = 4,
    Sxth = 5,
    Sxtw = 6,
    Sxtx = 7,
}

/// Immediate of add and subtract: 12 bits, or 12 bits shifted left by 12.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Imm12(u16, bool);

impl Imm12 {
    /// A number below 4096.
    pub const fn small(n: u16) -> Option<Imm12> {
        if n < 4096 { Some(Imm12(n, false)) } else { None }
    }
    /// The encoding of a number, when there is one.
    pub fn new(n: u64) -> Option<Imm12> {
        match n {
            0..=0xfff => Some(Imm12(n as u16, false)),
            _ if n & 0xfff == 0 && n < 1 << 24 => Some(Imm12((n >> 12) as u16, true)),
            _ => None,
        }
    }
    #[inline]
    pub(crate) fn field(self) -> u32 {
        u32::from(self.1) << 22 | u32::from(self.0) << 10
    }
}

/// Immediate of the logical instructions: a rotated run of ones, repeated (C6.1.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogicImm {
    field: u32,
}

impl LogicImm {
    /// The encoding of a number in `sz` bits, when there is one. For W the upper half is ignored.
    pub fn new(sz: Sz, n: u64) -> Option<LogicImm> {
        let n = match sz {
            Sz::X => n,
            Sz::W => (n & 0xffff_ffff) | n << 32,
        };
        if n == 0 || n == u64::MAX {
            return None;
        }
        // The smallest period.
        let mut size = 64u32;
        while size > 2 {
            let half = size / 2;
            let mask = (1u64 << half) - 1;
            if n & mask != n >> half & mask {
                break;
            }
            size = half;
        }
        let mask = if size == 64 { u64::MAX } else { (1 << size) - 1 };
        let element = n & mask;
        let ones = element.count_ones();
        // Rotate right until the ones are at the bottom: then the element is `run` rotated right by immr.
        let run = if ones == 64 { u64::MAX } else { (1u64 << ones) - 1 };
        let rotate = |e: u64, by: u32| if by == 0 { e } else { (e >> by | e << (size - by)) & mask };
        // What is at the top has come from the bottom; or all of it has, and gone on.
        let by = if element & 1 != 0 { ones - element.trailing_ones() } else { size - element.trailing_zeros() };
        if rotate(run, by) != element {
            return None;
        }
        let imms = (!(size * 2 - 1) & 0x3f) | (ones - 1);
        let wide = u32::from(size == 64);
        Some(LogicImm { field: wide << 22 | by << 16 | imms << 10 })
    }
    #[inline]
    pub(crate) fn field(self) -> u32 {
        self.field
    }
}

/// Signed 9-bit byte offset: unscaled, pre- and post-index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Simm9(i16);

impl Simm9 {
    /// -256..=255.
    pub fn new(n: i64) -> Option<Simm9> {
        (-256..256).contains(&n).then_some(Simm9(n as i16))
    }
    #[inline]
    pub(crate) fn field(self) -> u32 {
        (self.0 as u32 & 0x1ff) << 12
    }
}
