//! `cargo xtask oracle`: the long random run, and single lines.
//!
//! Options: `--count N` (cases, default 200000), `--seed N` (default 1), `--bits 32|64` (default both), `--most N` (failures
//! to show, default 20), `--line "..."` (one case, in detail),
//! `--write FILE` (the table of `docs/instructions.md`, when nothing failed).

use demotic_ir::state::Mode;
use demotic_oracle::case::Case;
use demotic_oracle::generate::{Rng, generate};
use demotic_oracle::{compare, disassemble, model, shrink};
use std::collections::BTreeMap;

#[cfg(not(target_arch = "x86_64"))]
fn main() {
    eprintln!("oracle: this needs an x86-64 host");
    std::process::exit(1);
}

#[cfg(target_arch = "x86_64")]
fn main() -> Result<(), lexopt::Error> {
    use lexopt::prelude::*;
    let (mut count, mut seed, mut most, mut modes, mut line, mut write) =
        (200_000u64, 1u64, 20usize, vec![Mode::Long, Mode::Compat32], None, None);
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("count") => count = args.value()?.parse()?,
            Long("seed") => seed = args.value()?.parse()?,
            Long("most") => most = args.value()?.parse()?,
            Long("line") => line = Some(args.value()?.string()?),
            Long("write") => write = Some(args.value()?.string()?),
            Long("bits") => {
                modes = match args.value()?.parse::<u32>()? {
                    32 => vec![Mode::Compat32],
                    64 => vec![Mode::Long],
                    n => return Err(format!("no mode of {n} bits").into()),
                }
            }
            _ => return Err(arg.unexpected()),
        }
    }
    let Some(mut harness) = demotic_oracle::native::Harness::new() else {
        return Err("the harness could not map its pages".into());
    };
    let mut differences = |case: &Case| -> Option<Vec<String>> {
        let ours = model::run(case).filter(|_| harness.knows(case))?;
        let real = harness.run(case)?;
        Some(compare(case, &real, &ours))
    };
    if let Some(line) = line {
        let case = Case::parse(&line).ok_or("not a case")?;
        println!("{}", disassemble(&case));
        let diff = differences(&case).ok_or("not implemented, or the harness failed")?;
        diff.iter().for_each(|d| println!("  {d}"));
        println!("{}", if diff.is_empty() { "agrees" } else { "differs" });
        return Ok(());
    }
    let mut rng = Rng::new(seed);
    let (mut ran, mut failed, mut unimplemented) = (0u64, 0u64, BTreeMap::<String, u64>::new());
    let mut shown = BTreeMap::<String, u64>::new();
    let mut seen = BTreeMap::<String, u64>::new();
    while ran < count {
        for &mode in &modes {
            let Some(case) = generate(&mut rng, mode) else { continue };
            let name = format!("{:?}", demotic_oracle::decode(&case).mnemonic()).to_lowercase();
            let Some(diff) = differences(&case) else {
                *unimplemented.entry(name).or_default() += 1;
                continue;
            };
            ran += 1;
            *seen.entry(name.clone()).or_default() += 1;
            if diff.is_empty() {
                continue;
            }
            failed += 1;
            let times = shown.entry(name).or_default();
            *times += 1;
            if *times > 2 || shown.len() > most {
                continue;
            }
            let small = shrink(&case, |c| differences(c).is_some_and(|d| !d.is_empty()));
            println!("{}\n  {}", disassemble(&small), small.line());
            differences(&small).unwrap_or_default().iter().take(4).for_each(|d| println!("    {d}"));
        }
    }
    let names: Vec<String> = unimplemented.into_iter().map(|(n, c)| format!("{n} {c}")).collect();
    println!("not implemented: {}", names.join(", "));
    println!("failing mnemonics: {shown:?}");
    println!("{} mnemonics, {} passed, {failed} failed", seen.len(), ran - failed);
    if failed > 0 {
        std::process::exit(1);
    }
    if let Some(file) = write {
        let run = format!("{ran} cases with seed {seed}, {} instructions, no difference.", seen.len());
        std::fs::write(&file, demotic_oracle::coverage::document(&run)).map_err(|e| format!("{file}: {e}"))?;
    }
    Ok(())
}
