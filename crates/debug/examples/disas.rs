//! `cargo xtask disas`: prints every stage of a piece of code.
//!
//! `--hex "48 01 d8" [--bits 16|32|64] [--pc ADDRESS]`, or `--file PROGRAM (--sym NAME | --pc ADDRESS)`; `--tso` for the memory order of programs with
//! threads.

use demotic_codegen::target::Order;
use demotic_debug::dump;
use demotic_debug::program::Program;
use demotic_x86::state::Mode;

fn main() -> Result<(), lexopt::Error> {
    use lexopt::prelude::*;
    let (mut hex, mut mode, mut pc, mut file, mut symbol) = (None, Mode::Long, None, None, None);
    let mut order = Order::Single;
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("hex") => hex = Some(args.value()?.string()?),
            Long("file") => file = Some(args.value()?.string()?),
            Long("sym") => symbol = Some(args.value()?.string()?),
            Long("tso") => order = Order::Tso,
            Long("bits") => {
                mode = match args.value()?.parse()? {
                    16 => Mode::Compat16,
                    32 => Mode::Compat32,
                    64 => Mode::Long,
                    n => return Err(format!("no mode of {n} bits").into()),
                }
            }
            Long("pc") => {
                let text = args.value()?.string()?;
                pc = Some(u64::from_str_radix(text.trim_start_matches("0x"), 16).map_err(|e| e.to_string())?);
            }
            _ => return Err(arg.unexpected()),
        }
    }
    if let Some(file) = file {
        let bytes = std::fs::read(&file).map_err(|e| format!("{file}: {e}"))?;
        let program = Program::parse(bytes).ok_or_else(|| format!("{file}: not an i386 or x86-64 ELF file"))?;
        let (pc, end) = match (symbol, pc) {
            (Some(name), _) => {
                let s = program.symbol(&name).ok_or_else(|| format!("{file}: no symbol {name}"))?;
                (s.start, s.end)
            }
            (None, Some(pc)) => (pc, pc + 64),
            _ => return Err("--sym or --pc is missing".into()),
        };
        let mut fetch = |at: u64, buf: &mut [u8]| program.fetch(at, buf);
        // Unit by unit to the function's end.
        let mut at = pc;
        while at < end {
            print!("{}", dump::stages_of(at, end, program.mode, order, &mut fetch));
            let unit = demotic_x86::unit::lift(at, program.mode, &demotic_x86::unit::Limits::default(), &mut fetch);
            at = unit.blocks.iter().map(|b| b.end).filter(|e| *e <= end).max().unwrap_or(end).max(at + 1);
        }
        return Ok(());
    }
    let hex = hex.ok_or("--hex or --file is missing")?;
    let code = dump::parse_hex(&hex).ok_or("not hexadecimal")?;
    print!("{}", dump::stages(&code, pc.unwrap_or(0x1000), mode, order));
    Ok(())
}
