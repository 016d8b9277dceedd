//! Machine code and nothing else.
//!
//! What the emitters write into: a buffer of host code with labels and fixups ([`buffer`]). It knows neither guests nor IR.
//! The instruction encoders are [`arm64`] and, to come, `x64`.
//!
//! Architecture invariant: pure; the same calls give the same bytes.
#![forbid(unsafe_code)]

pub mod arm64;
pub mod buffer;
pub mod x64;
