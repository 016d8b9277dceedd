//! Thousands of processes, threads and signals: the long form of what `tests/heavy.rs` does shortly.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use demotic_testkit::guest::{self, Abi};
use demotic_testkit::host::Host;
use demotic_testkit::run::run;

use crate::dist;

/// Runs everything on this machine's host for both ABIs: 200 threads with ROUNDS (1,000 without arguments) forks and execs each, 10,000 execs of
/// one process, and storms of signals.
pub fn stress(arguments: &[&str]) -> Result<()> {
    let rounds: u32 = match arguments {
        [] => 1000,
        ["--rounds", n] => n.parse()?,
        _ => bail!("stress [--rounds N]"),
    };
    let host = match std::env::consts::ARCH {
        "x86_64" => Host::X86_64,
        "aarch64" => Host::Aarch64,
        other => bail!("not on {other}"),
    };
    dist::dist(&[host.name()])?;
    let forms = [
        (format!("threads 200 {rounds}"), format!("{0} of {0} processes answered\n", 200 * rounds)),
        ("execs 10000".to_owned(), "descriptors as before, memory as before\n".to_owned()),
        ("storm 100 1000".to_owned(), "100000 signals of 100000, 0 threads failed\n".to_owned()),
    ];
    let mut failed = 0;
    for abi in Abi::ALL {
        let program = guest::heavy_program(abi, "stress")?;
        for (form, want) in &forms {
            let start = Instant::now();
            let mut command = host.command(&program);
            command.args(form.split(' '));
            let outcome = run(command, b"", Duration::from_secs(6 * 3600))?;
            let text = String::from_utf8(outcome.stdout.clone()).map_err(|_| anyhow!("no text"))?;
            let good = text == *want;
            failed += u32::from(!good);
            println!(
                "{} {form}: {} in {:.0} s: {}",
                abi.name(),
                if good { "as it should be" } else { "WRONG" },
                start.elapsed().as_secs_f32(),
                text.trim_end(),
            );
            if !good {
                println!("{} {}", outcome.ending(), outcome.complaint());
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of {} went wrong", 2 * forms.len());
    }
    Ok(())
}
