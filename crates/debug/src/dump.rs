//! All stages of one unit as text: guest instructions, IR, optimised IR.
//!
//! One printer for everybody who looks: `cargo xtask disas` today; emitted host code joins as a further stage.

use demotic_x86::state::Mode;
use demotic_x86::unit::{self, Limits};
use std::fmt::Write;

/// The stages of the unit that begins at `pc`, where `code` stands.
pub fn stages(code: &[u8], pc: u64, mode: Mode) -> String {
    let mut fetch = |at: u64, buf: &mut [u8]| {
        let from = usize::try_from(at.wrapping_sub(pc)).unwrap_or(usize::MAX);
        let rest = code.get(from..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        n
    };
    let mut out = String::new();
    let _ = writeln!(out, "; guest");
    let mut decoder = iced_x86::Decoder::with_ip(mode.bits(), code, pc, iced_x86::DecoderOptions::NONE);
    let mut formatter = iced_x86::FastFormatter::new();
    while decoder.can_decode() {
        let insn = decoder.decode();
        let mut text = String::new();
        formatter.format(&insn, &mut text);
        let _ = writeln!(out, "{:#x}  {text}", insn.ip());
    }
    let mut unit = unit::lift(pc, mode, &Limits::default(), &mut fetch);
    let _ = write!(out, "; IR\n{unit}");
    unit.blocks.iter_mut().for_each(demotic_ir::passes::optimise);
    let count: usize = unit.blocks.iter().map(|b| b.insts.len()).sum();
    let _ = write!(out, "; optimised IR, {count} operations\n{unit}");
    out
}

/// Bytes of a hexadecimal text; spaces are skipped. `None` for anything else.
pub fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect::<Option<_>>()?;
    (digits.len() % 2 == 0).then(|| digits.chunks(2).map(|p| p[0] << 4 | p[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_addition_in_all_stages() {
        let code = parse_hex("48 01 d8").expect("hex");
        let text = stages(&code, 0x1000, Mode::Long);
        for part in
            ["add rax,rbx", "v2 = add.i64 v0, v1", "setfl.fl cpazso", "jump 0x1003", "; optimised IR, 6 operations"]
        {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert_eq!(parse_hex("4"), None);
        assert_eq!(parse_hex("zz"), None);
    }
}
