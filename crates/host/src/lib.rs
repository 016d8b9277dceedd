//! The machine and the kernel underneath: everything that depends on the host architecture and most of the unsafe code.
//!
//! `arch/` has one file per architecture with the same contents; the other modules build on it and are the same everywhere.

#[cfg_attr(target_arch = "x86_64", path = "arch/x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "arch/aarch64.rs")]
#[cfg_attr(target_arch = "arm", path = "arch/arm.rs")]
pub mod arch;
pub mod capture;
pub mod code;
pub mod guarded;
pub mod heap;
pub mod lend;
pub mod log;
pub mod map;
pub mod signal;
pub mod sys;
