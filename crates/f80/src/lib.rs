//! x87 80-bit floating point (placeholder type until the arithmetic lands).
#![no_std]
#![forbid(unsafe_code)]
/// An 80-bit extended value: `se` is sign << 15 | biased exponent.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(C)]
pub struct F80 {
    /// Significand with explicit integer bit.
    pub mant: u64,
    /// Sign and exponent.
    pub se: u16,
}
