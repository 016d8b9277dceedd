//! Units from text, and the code that comes out as text.

use super::*;
use crate::target::{Arch, Features, Order, Target};
use std::fmt::Write;

fn request(order: Order) -> Request {
    let features = Features { lse: true, lse2: true, rcpc: true, rcpc2: true, flagm: true, ..Features::default() };
    Request { target: Target { arch: Arch::Arm64, features, order }, unaligned: false, fp_by_helper: false }
}

/// The instructions of a unit, one a line.
fn listing(text: &str, request: &Request) -> String {
    let unit = demotic_ir::text::parse_unit(text).expect("IR");
    let out = Arm64.emit(&unit, request).expect("code");
    let mut lines = String::new();
    for (k, word) in out.code.chunks_exact(4).enumerate() {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        let insn = disarm64::decoder::decode(word).map_or("?".to_owned(), |op| format!("{op}"));
        let _ = writeln!(lines, "{:4x}: {insn}", 4 * k);
    }
    lines
}

/// Prints what a file of IR becomes: `DEMOTIC_IR_FILE=... cargo test -p demotic-codegen show -- --nocapture`.
#[test]
fn show() {
    let Ok(file) = std::env::var("DEMOTIC_IR_FILE") else { return };
    let text = std::fs::read_to_string(file).expect("a file");
    println!("{}", listing(&text, &request(Order::Single)));
}
