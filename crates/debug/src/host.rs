//! Host code as text, with counts.

use demotic_codegen::arm64::Arm64;
use demotic_codegen::target::{Arch, Features, Order, Target};
use demotic_codegen::x64::X64;
use demotic_codegen::{Arithmetic, Compiled, Emitter, Precision, Request};
use demotic_ir::block::Unit;
use std::fmt::Write;

/// The processors that code is shown for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Host {
    /// ARMv8.0 without any extension.
    Arm64,
    /// ARMv8.4: LSE, LSE2, RCPC2, FlagM.
    Arm64v84,
    /// ARMv8.0, with the status flags of SSE arithmetic that it has itself (`--fast-sse`).
    Arm64Fast,
    /// x86-64 with AVX and BMI.
    X64,
}

impl Host {
    /// Name as printed.
    pub fn name(self) -> &'static str {
        match self {
            Host::Arm64 => "arm64",
            Host::Arm64v84 => "arm64 v8.4",
            Host::Arm64Fast => "arm64 fast",
            Host::X64 => "x64",
        }
    }

    fn target(self, order: Order) -> Target {
        let features = match self {
            Host::Arm64 | Host::Arm64Fast => Features::default(),
            Host::Arm64v84 => Features {
                lse: true,
                lse2: true,
                rcpc: true,
                rcpc2: true,
                flagm: true,
                aes: true,
                sha: true,
                crc: true,
                ..Features::default()
            },
            Host::X64 => Features { avx: true, avx2: true, bmi: true, popcnt: true, ..Features::default() },
        };
        Target { arch: if self == Host::X64 { Arch::X64 } else { Arch::Arm64 }, features, order }
    }

    fn emitter(self) -> &'static dyn Emitter {
        if self == Host::X64 { &X64 } else { &Arm64 }
    }
}

/// What a unit becomes.
#[derive(Clone, Debug)]
pub struct Text {
    /// Instructions from the first block's entry to the first way out of the unit, which is not counted; alignment is neither.
    pub count: usize,
    /// Calls of the interpreter among them.
    pub helpers: usize,
    /// All of the code, one instruction in a line.
    pub lines: String,
    /// The lines that were counted.
    pub counted: String,
}

/// The host code of a unit.
///
/// # Errors
/// The emitter's, as text.
pub fn text(unit: &Unit, host: Host, order: Order) -> Result<Text, String> {
    let request = Request {
        target: host.target(order),
        unaligned: false,
        arithmetic: if matches!(host, Host::Arm64 | Host::Arm64v84) { Arithmetic::Exact } else { Arithmetic::Fast },
        nans: false,
        precision: Precision::Exact,
        significand: Default::default(),
    };
    let compiled = host.emitter().emit(unit, &request).map_err(|e| format!("{e:?}"))?;
    let code = if host == Host::X64 { x64(&compiled) } else { arm64(&compiled) };
    let entry = compiled.entries.first().copied().unwrap_or(0);
    let call = if host == Host::X64 { 5 } else { 4 };
    let ways = compiled.edges.iter().map(|e| e.at).chain(compiled.terms.iter().map(|t| t.after.saturating_sub(call)));
    let stubs = compiled.relocs.iter().filter(|r| !matches!(r.stub, demotic_codegen::Stub::Stale)).map(|r| r.at);
    // Helpers are called on the way; all other stubs are ways out.
    let helper = |at: u32| {
        compiled
            .relocs
            .iter()
            .any(|r| r.at == at && matches!(r.stub, demotic_codegen::Stub::Helper | demotic_codegen::Stub::X87))
    };
    let end = ways
        .chain(stubs.filter(|at| !helper(*at)).map(|at| at.saturating_sub(u32::from(host == Host::X64))))
        .chain((compiled.pre_entries != 0).then_some(compiled.pre_entries))
        .min();
    let end = end.unwrap_or(u32::MAX).max(entry);
    let mut result = Text { count: 0, helpers: 0, lines: String::new(), counted: String::new() };
    for (at, line) in code {
        if compiled.entries.contains(&at) {
            let n = compiled.entries.iter().position(|e| *e == at).unwrap_or(0);
            let _ = writeln!(result.lines, "{n}:");
            if (entry + 1..end).contains(&at) {
                let _ = writeln!(result.counted, "{n}:");
            }
        }
        let _ = writeln!(result.lines, "  {at:04x}  {line}");
        if (entry..end).contains(&at) && !line.starts_with("nop") {
            result.count += 1;
            result.helpers += usize::from(line.ends_with("; Helper"));
            let _ = writeln!(result.counted, "  {line}");
        }
    }
    Ok(result)
}

/// The stub that an instruction's bytes refer to.
fn stub(compiled: &Compiled, at: u32, len: u32) -> String {
    let found = compiled.relocs.iter().find(|r| (at..at + len).contains(&r.at));
    found.map_or(String::new(), |r| format!("  ; {:?}", r.stub))
}

fn arm64(compiled: &Compiled) -> Vec<(u32, String)> {
    let mut lines = Vec::new();
    for (k, word) in compiled.code.chunks_exact(4).enumerate() {
        let at = k as u32 * 4;
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        let text = match disarm64::decoder::decode(word) {
            Some(op) => format!("{op}").to_lowercase(),
            None => format!(".word {word:#010x}"),
        };
        lines.push((at, format!("{}{}", text.split_whitespace().collect::<Vec<_>>().join(" "), stub(compiled, at, 4))));
    }
    lines
}

fn x64(compiled: &Compiled) -> Vec<(u32, String)> {
    let mut decoder = iced_x86::Decoder::with_ip(64, &compiled.code, 0, iced_x86::DecoderOptions::NONE);
    let mut formatter = iced_x86::FastFormatter::new();
    let mut lines = Vec::new();
    while decoder.can_decode() {
        let insn = decoder.decode();
        let mut text = String::new();
        formatter.format(&insn, &mut text);
        let at = insn.ip() as u32;
        let text = if insn.is_invalid() { "(bad)".to_owned() } else { text };
        lines.push((at, format!("{text}{}", stub(compiled, at, insn.len() as u32))));
    }
    lines
}
