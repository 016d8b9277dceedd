//! All stages of one unit as text: guest instructions, IR, optimised IR, both hosts' code.
//!
//! One printer for everybody who looks: `cargo xtask disas`, and the goldens in `tests/goldens`.

use crate::host::{self, Host};
use demotic_codegen::target::Order;
use demotic_ir::block::Unit;
use demotic_ir::passes::{self, Precision};
use demotic_x86::ahead;
use demotic_x86::state::Mode;
use demotic_x86::unit::{self, Fetch, Limits};
use std::fmt::Write;

/// A fetch function for bytes that stand at `pc`.
fn at<'a>(code: &'a [u8], pc: u64) -> impl FnMut(u64, &mut [u8]) -> usize + 'a {
    move |at: u64, buf: &mut [u8]| {
        let from = usize::try_from(at.wrapping_sub(pc)).unwrap_or(usize::MAX);
        let rest = code.get(from..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        n
    }
}

/// The optimised unit of a piece of code that stands alone: behind it everything is live.
pub fn lifted(code: &[u8], pc: u64, mode: Mode) -> Unit {
    lifted_with(code, pc, mode, demotic_ir::state::eflags::ARITH)
}

/// The same where of the arithmetic flags only those of `live` are read behind it.
pub fn lifted_with(code: &[u8], pc: u64, mode: Mode, live: u32) -> Unit {
    let mut fetch = at(code, pc);
    let mut unit = unit::lift(
        pc,
        mode,
        &Limits { features: demotic_x86::features::Features::MAX, ..Limits::default() },
        &mut fetch,
    );
    // What is not there is not part of it.
    let end = pc.wrapping_add(code.len() as u64);
    unit.blocks.retain(|b| (pc..end).contains(&b.pc));
    unit.link();
    passes::optimise_unit(&mut unit, &mut |_| live);
    unit
}

/// The stages of the unit that begins at `pc`, where `code` stands.
pub fn stages(code: &[u8], pc: u64, mode: Mode, order: Order) -> String {
    let end = pc.wrapping_add(code.len() as u64);
    stages_of(pc, end, mode, order, &mut at(code, pc))
}

/// The stages of the unit that begins at `pc`; guest code is printed up to `end`.
pub fn stages_of(pc: u64, end: u64, mode: Mode, order: Order, fetch: Fetch) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "; guest");
    let mut code = vec![0; end.wrapping_sub(pc).min(1 << 16) as usize];
    let mut have = 0;
    while have < code.len() {
        let n = fetch(pc.wrapping_add(have as u64), &mut code[have..]);
        have += n;
        if n == 0 {
            break;
        }
    }
    let _ = write!(out, "{}", guest(&code[..have], pc, mode));
    let mut unit =
        unit::lift(pc, mode, &Limits { features: demotic_x86::features::Features::MAX, ..Limits::default() }, fetch);
    let _ = write!(out, "; IR\n{unit}");
    let mut kept = unit.clone();
    passes::optimise_unit_with(&mut kept, Precision::Kept, &mut |pc| {
        ahead::live_flags(pc, mode, Precision::Kept, fetch)
    });
    passes::optimise_unit(&mut unit, &mut |pc| ahead::live_flags(pc, mode, Precision::Exact, fetch));
    let count: usize = unit.blocks.iter().map(|b| b.insts.len()).sum();
    let _ = write!(out, "; optimised IR, {count} operations\n{unit}");
    for host in [Host::Arm64, Host::X64] {
        // As the engine does it for each host.
        match host::text(if host == Host::X64 { &kept } else { &unit }, host, order) {
            Ok(text) => {
                let all = text.lines.lines().filter(|l| l.starts_with(' ')).count();
                let _ = write!(
                    out,
                    "; {}, {all} instructions, {} to the first way out\n{}",
                    host.name(),
                    text.count,
                    text.lines
                );
            }
            Err(why) => {
                let _ = writeln!(out, "; {}: {why}", host.name());
            }
        }
    }
    out
}

/// Guest instructions, one in a line with its address.
pub fn guest(code: &[u8], pc: u64, mode: Mode) -> String {
    let mut out = String::new();
    let mut decoder = iced_x86::Decoder::with_ip(mode.bits(), code, pc, iced_x86::DecoderOptions::NONE);
    let mut formatter = iced_x86::FastFormatter::new();
    while decoder.can_decode() {
        let insn = decoder.decode();
        let mut text = String::new();
        formatter.format(&insn, &mut text);
        let _ = writeln!(out, "{:#x}  {text}", insn.ip());
    }
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
        let text = stages(&code, 0x1000, Mode::Long, Order::Single);
        for part in [
            "add rax,rbx",
            "v2 = add.i64 v0, v1",
            "setfl.fl cpazso",
            "jump 0x1003",
            "; optimised IR, 6 operations",
            "; arm64, ",
            "; x64, ",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        let load = |order| stages(&parse_hex("8b 03").expect("hex"), 0x1000, Mode::Long, order);
        assert!(load(Order::Single).contains("ldr w0") && load(Order::Tso).contains("ldar w0"));
        assert_eq!(parse_hex("4"), None);
        assert_eq!(parse_hex("zz"), None);
    }
}
