//! Guest bytes -> IR.
//!
//! [`unit::lift`] decodes a region of guest code (iced-x86) and writes its meaning in IR. The semantics of an instruction are
//! written once, here, in the handler that [`table`] names for its mnemonic. The crate is pure: guest bytes come through a
//! caller's closure, nothing is kept between calls, and it knows no host.
//!
//! Where to start reading: [`lift`] (what a handler sees), then `lift/alu.rs` (what handlers look like).
#![forbid(unsafe_code)]

pub mod cpuid;
pub mod lift;
pub mod table;
pub mod unit;
pub use demotic_ir::state;
