//! `cargo xtask disas --hex "48 01 d8" [--bits 32|64] [--pc ADDRESS]`: prints every stage of a piece of code.

use demotic_debug::dump;
use demotic_x86::state::Mode;

fn main() -> Result<(), lexopt::Error> {
    use lexopt::prelude::*;
    let (mut hex, mut mode, mut pc) = (None, Mode::Long, 0x1000);
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("hex") => hex = Some(args.value()?.string()?),
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
                pc = u64::from_str_radix(text.trim_start_matches("0x"), 16).map_err(|e| e.to_string())?;
            }
            _ => return Err(arg.unexpected()),
        }
    }
    let hex = hex.ok_or("--hex is missing")?;
    let code = dump::parse_hex(&hex).ok_or("not hexadecimal")?;
    print!("{}", dump::stages(&code, pc, mode));
    Ok(())
}
