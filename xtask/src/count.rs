//! `cargo xtask count`: executed AArch64 instructions per guest instruction, exactly and repeatably.
//!
//! Demotic's build for aarch64 runs under the distribution's qemu-aarch64 with an instruction-counting plugin (built here from
//! `tests/bench/icount.c`), the kernel runs with n and with 2n rounds, and the difference is what n rounds cost without start-up, translation
//! and exit. The same difference under qemu-x86_64 gives the kernel's own instructions. Single costs (call and return, indirect call, indirect
//! jump) come from `micro.c`. qemu sees code that is rewritten in memory mapped once, which is what Demotic falls back to
//! under it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use demotic_testkit::guest::Abi;
use demotic_testkit::host::Host;

use crate::kernels::{self, KERNELS, MICRO, Options, build, build_kernel, build_tool, cell, geomean};

/// Rounds of the benchmark divided by this are counted: emulation in emulation takes its time.
const FEWER: u32 = 20;

/// Seconds for one run.
const LIMIT: &str = "20";

struct Counter {
    plugin: PathBuf,
    demotic: PathBuf,
    options: Vec<String>,
}

pub fn count(arguments: &[&str]) -> Result<()> {
    let options = Options::parse(arguments)?;
    let demotic = Host::Aarch64.demotic();
    ensure!(demotic.is_file(), "{} is missing: cargo xtask dist aarch64", demotic.display());
    let plugin = build_tool("icount.so", "icount.c", &["-shared", "-fPIC"])?;
    let counter = Counter { plugin, demotic, options: options.demotic() };
    let abis: Vec<Abi> = options.abis().collect();
    let mut table = "| kernel |".to_owned();
    for abi in &abis {
        write!(table, " {} |", abi.name())?;
    }
    table.push_str(" QEMU 11.1 | box64 0.4 |\n| --- |");
    table.push_str(&" ---: |".repeat(abis.len() + 2));
    table.push('\n');
    print!("{table}");
    let mut ratios = vec![Vec::new(); abis.len()];
    let mut failed = Vec::new();
    for kernel in KERNELS.iter().filter(|k| options.wants(k.name)) {
        let rounds = (kernel.rounds / FEWER / options.scale.unwrap_or(1)).max(1);
        let mut line = format!("| {} |", kernel.name);
        for (a, abi) in abis.iter().enumerate() {
            let program = build_kernel(*abi, kernel)?;
            let ratio = counter.ratio(*abi, &program, rounds);
            match &ratio {
                Ok(r) => ratios[a].push(*r),
                Err(e) => failed.push(format!("{} {}: {e:#}", kernel.name, abi.name())),
            }
            write!(line, " {} |", cell(ratio.ok()))?;
        }
        writeln!(line, " {} | {} |", cell(Some(kernel.peers.0)), cell(Some(kernel.peers.1)))?;
        print!("{line}");
        table.push_str(&line);
    }
    let mut line = "| **geomean** |".to_owned();
    for list in &ratios {
        write!(line, " **{}** |", cell(geomean(list.iter().copied())))?;
    }
    let of = |f: fn(&kernels::Kernel) -> f64| geomean(KERNELS.iter().filter(|k| options.wants(k.name)).map(f));
    writeln!(line, " {} | {} |", cell(of(|k| k.peers.0)), cell(of(|k| k.peers.1)))?;
    print!("{line}");
    table.push_str(&line);
    if options.wants("micro") {
        let micro = counter.micro(&abis, &mut failed)?;
        print!("\n{micro}");
        table.push_str(&format!("\n{micro}"));
    }
    for f in &failed {
        println!("FAILED: {f}");
    }
    if options.complete() {
        kernels::update_readme("count", &table)?;
    }
    if !failed.is_empty() {
        bail!("{} kernels could not be counted", failed.len());
    }
    Ok(())
}

impl Counter {
    /// AArch64 instructions per guest instruction.
    fn ratio(&self, abi: Abi, program: &Path, rounds: u32) -> Result<f64> {
        let (guest, expected) = self.difference(None, abi, program, rounds)?;
        let (host, output) = self.difference(Some(&self.demotic), abi, program, rounds)?;
        ensure!(output == expected, "other output");
        ensure!(guest > 0.0, "the kernel does nothing");
        Ok(host / guest)
    }

    /// Instructions that `rounds` rounds execute: of the host below Demotic, or of the guest itself.
    fn difference(&self, demotic: Option<&Path>, abi: Abi, program: &Path, rounds: u32) -> Result<(f64, Vec<u8>)> {
        let (once, first) = self.run(demotic, abi, program, rounds)?;
        let (twice, second) = self.run(demotic, abi, program, 2 * rounds)?;
        // The guest's own output is the check that it did the work.
        ensure!(!first.is_empty() && !second.is_empty(), "no output");
        Ok((twice - once, [first, second].concat()))
    }

    fn run(&self, demotic: Option<&Path>, abi: Abi, program: &Path, rounds: u32) -> Result<(f64, Vec<u8>)> {
        let result = kernels::out_dir().join("count.txt");
        fs::remove_file(&result).ok();
        let emulator = match (demotic, abi) {
            (Some(_), _) => "qemu-aarch64",
            (None, Abi::X86_64) => "qemu-x86_64",
            (None, Abi::I386) => "qemu-i386",
        };
        // A run takes seconds; one that hangs is a failure of its own.
        let mut command = Command::new("timeout");
        command.arg(LIMIT).arg(emulator).arg("-plugin").arg(format!(
            "{},out={}",
            self.plugin.display(),
            result.display()
        ));
        match demotic {
            Some(demotic) => {
                command.arg(demotic).args(&self.options);
            }
            // The processor that Demotic's guests see, or the C library takes other functions and another program is counted.
            None => {
                command.args(["-cpu", "max,-avx,vendor=GenuineIntel,family=6,model=26,stepping=5"]);
            }
        }
        // Start-up work depends on the environment's size.
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.arg(program).arg(rounds.to_string()).env_clear().env("PATH", path);
        let out = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {command:?}"))?;
        ensure!(out.status.success(), "{command:?}: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr));
        let text = fs::read_to_string(&result).with_context(|| format!("{emulator} did not count"))?;
        let counted = text.lines().last().and_then(|l| l.trim().parse().ok()).context("a number")?;
        Ok((counted, out.stdout))
    }

    /// Host instructions of single operations.
    fn micro(&self, abis: &[Abi], failed: &mut Vec<String>) -> Result<String> {
        let mut table = "| host instructions of one |".to_owned();
        let mut rule = "\n| --- |".to_owned();
        for abi in abis {
            write!(table, " {} |", abi.name())?;
            rule.push_str(" ---: |");
        }
        table.push_str(&rule);
        table.push('\n');
        const ROUNDS: u32 = 100_000;
        let mut base = vec![None; abis.len()];
        for (kind, title) in MICRO.iter().enumerate() {
            let mut line = format!("| {title} |");
            for (a, abi) in abis.iter().enumerate() {
                let flags = [format!("-DKIND={kind}"), "-mno-red-zone".into()];
                let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
                let program = build(*abi, &format!("micro{kind}"), &["micro.c", "main.c"], &flags)?;
                match self.difference(Some(&self.demotic), *abi, &program, ROUNDS) {
                    Ok((n, _)) => {
                        let each = n / f64::from(ROUNDS);
                        if kind == 0 {
                            base[a] = Some(each);
                        }
                        // Ten in a round; the jump's own add of the next address is one instruction more.
                        let one = base[a].map(|b| (each - b) / 10.0 - if kind == 3 { 1.0 } else { 0.0 });
                        write!(line, " {} |", cell(if kind == 0 { Some(each) } else { one }))?;
                    }
                    Err(e) => {
                        failed.push(format!("micro {title} {}: {e:#}", abi.name()));
                        line.push_str(" – |");
                    }
                }
            }
            line.push('\n');
            table.push_str(&line);
        }
        Ok(table)
    }
}
