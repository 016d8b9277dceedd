//! The tables of instructions in full: every line that a processor and Demotic give, compared byte for byte.
//!
//! The programs are `tests/guest/c/*tables*.c`; the whole-program tests run them with digests of the lines only. This needs an x86-64 machine.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use demotic_testkit::guest::{self, Abi};
use demotic_testkit::host::{self, Host};
use demotic_testkit::run::run;

/// Runs all of them natively and on the hosts that there are builds for.
pub fn tables() -> Result<()> {
    guest::build_c()?;
    let hosts: Vec<Host> = host::selected().into_iter().filter(|h| *h != Host::Native).collect();
    ensure!(!hosts.is_empty(), "no builds: cargo xtask dist x86_64 aarch64");
    for name in guest::sources("c", ".c")?.into_iter().filter(|n| n.contains("tables")) {
        for abi in Abi::ALL {
            let program = guest::c_program(abi, "O2", &name);
            let lines = |mut command: Command, which: &str| -> Result<Vec<u8>> {
                command.arg(which);
                let outcome = run(command, b"", Duration::from_secs(1200))?;
                ensure!(outcome.ending() == "exit 0", "{name} for {}: {}", abi.name(), outcome.ending());
                Ok(outcome.stdout)
            };
            for host in hosts.iter().filter(|h| h.runs(abi)) {
                let options: &[&str] = if name.starts_with("avx") { &["--cpu", "max"] } else { &[] };
                // Translated arithmetic on aarch64 does not keep the denormal-operand flag (ARCHITECTURE, What is missing).
                let which = if *host == Host::Aarch64 { "most" } else { "all" };
                let real = lines(Host::Native.command(&program), which)?;
                let ours = lines(host.command_with(options, &program), which)?;
                let count = real.iter().filter(|b| **b == b'\n').count();
                if ours != real {
                    let (a, b) = (String::from_utf8_lossy(&real), String::from_utf8_lossy(&ours));
                    let first = a.lines().zip(b.lines()).find(|(x, y)| x != y).context("one has more lines")?;
                    anyhow::bail!("{name} for {} on {}:\n  {}\n  {}", abi.name(), host.name(), first.0, first.1);
                }
                println!("{name}, {} on {}: {count} lines, {} bytes, the same", abi.name(), host.name(), real.len());
            }
        }
    }
    Ok(())
}
