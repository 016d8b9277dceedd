//! Guest bytes -> IR.
//!
//! [`unit::lift`] decodes a region of guest code (iced-x86) and writes its meaning in IR. The semantics of an instruction are
//! written once, here, in the handler that [`table`] names for its mnemonic. The crate is pure: guest bytes come through a
//! caller's closure, nothing is kept between calls, and it knows no host.
//!
//! Where to start reading: [`lift`] (what a handler sees), then `lift/alu.rs` (what handlers look like).
#![forbid(unsafe_code)]

pub mod accesses;
pub mod ahead;
pub mod cpuid;
pub mod features;
pub mod lift;
mod quick;
pub mod table;
pub mod unit;
pub mod vex;
pub use demotic_ir::state;

/// What to tell a user about an instruction that has no handler: address, bytes, text.
pub fn describe_unimplemented(pc: u64, mode: state::Mode, bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut decoder = iced_x86::Decoder::with_ip(mode.bits(), bytes, pc, iced_x86::DecoderOptions::NONE);
    let insn = decoder.decode();
    let mut text = String::new();
    iced_x86::FastFormatter::new().format(&insn, &mut text);
    let mut hex = String::new();
    for b in bytes.iter().take(insn.len().max(1)) {
        let _ = write!(hex, "{b:02x} ");
    }
    format!("instruction not implemented at {pc:#x}: {hex}({text}); the program gets SIGILL")
}
