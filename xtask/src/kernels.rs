//! The kernels of `tests/bench` that `bench` and `count` measure: one table, their builds, and what both tasks share.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use demotic_testkit::guest::Abi;
use demotic_testkit::{root, target_dir};

/// One kernel.
#[derive(Clone, Copy)]
pub struct Kernel {
    /// File in `tests/bench`, without `.c`.
    pub name: &'static str,
    /// Rounds that take about 0.1 s natively on a current machine.
    pub rounds: u32,
    /// Executed ARM64 instructions per x86-64 instruction of QEMU 11.1 and of box64 0.4 (without memory ordering), for kernels of the same kind.
    pub peers: (f64, f64),
}

const fn kernel(name: &'static str, rounds: u32, qemu: f64, box64: f64) -> Kernel {
    Kernel { name, rounds, peers: (qemu, box64) }
}

/// The compute kernels.
pub const KERNELS: [Kernel; 21] = [
    kernel("records", 35000, 10.8, 2.82),
    kernel("sha256", 2600, 2.63, 1.10),
    kernel("sieve", 1000, 6.93, 1.62),
    kernel("quicksort", 530, 5.05, 1.31),
    kernel("fib", 11000, 15.6, 2.96),
    kernel("virtual", 49000, 30.8, 4.30),
    kernel("switch", 8800, 16.2, 3.80),
    kernel("threaded", 8500, 21.8, 3.70),
    kernel("hashtable", 3700, 8.97, 2.25),
    kernel("crc32", 10000, 4.37, 1.25),
    kernel("lz", 9200, 5.01, 1.48),
    kernel("tree", 1200, 8.68, 1.99),
    kernel("strings", 160000, 8.48, 2.45),
    kernel("nbody", 17000, 35.1, 1.47),
    kernel("mandelbrot", 2500, 41.6, 1.98),
    kernel("packed", 200000, 9.55, 1.33),
    kernel("matmul", 21000, 147.0, 1.39),
    kernel("x87", 310000, 177.0, 5.18),
    kernel("muldiv", 1100000, 3.71, 1.40),
    kernel("bignum", 140000, 3.72, 1.36),
    kernel("atomics", 170000, 13.1, 2.59),
];

/// What is told apart in `micro.c`, by its `KIND`.
pub const MICRO: [&str; 4] = ["loop", "call and return", "indirect call and return", "indirect jump"];

fn dir() -> PathBuf {
    root().join("tests/bench")
}

/// Where the builds are.
pub fn out_dir() -> PathBuf {
    target_dir().join("bench")
}

/// Builds a program for an ABI from files of `tests/bench`; `name` is the result's.
pub fn build(abi: Abi, name: &str, sources: &[&str], flags: &[&str]) -> Result<PathBuf> {
    let out = out_dir().join(abi.name());
    fs::create_dir_all(&out)?;
    let program = out.join(name);
    let newest = sources.iter().chain(&["kernel.h", "program.h"]).map(|s| modified(&dir().join(s))).max();
    if newest.is_some_and(|n| n < modified(&program)) {
        return Ok(program);
    }
    let (cc, own): (_, &[&str]) = match abi {
        Abi::X86_64 => ("x86_64-linux-gnu-gcc", &[]),
        Abi::I386 => ("i686-linux-gnu-gcc", &["-msse2", "-mfpmath=sse"]),
    };
    let mut command = Command::new(cc);
    command.args(["-O2", "-static", "-Wall", "-Wextra"]).args(own).args(flags).arg("-o").arg(&program);
    succeed(command.args(sources).current_dir(dir()))?;
    Ok(program)
}

/// Builds a kernel.
pub fn build_kernel(abi: Abi, kernel: &Kernel) -> Result<PathBuf> {
    build(abi, kernel.name, &[&format!("{}.c", kernel.name), "main.c"], &[])
}

/// Builds a tool that runs on this machine.
pub fn build_tool(name: &str, source: &str, flags: &[&str]) -> Result<PathBuf> {
    fs::create_dir_all(out_dir())?;
    let tool = out_dir().join(name);
    let source = dir().join(source);
    if modified(&source) >= modified(&tool) {
        succeed(Command::new("cc").args(["-O2", "-Wall", "-Wextra"]).args(flags).arg("-o").arg(&tool).arg(source))?;
    }
    Ok(tool)
}

fn modified(path: &Path) -> Option<std::time::SystemTime> {
    fs::metadata(path).and_then(|m| m.modified()).ok()
}

fn succeed(command: &mut Command) -> Result<()> {
    let out = command.output().with_context(|| format!("cannot start {command:?}"))?;
    if !out.status.success() {
        bail!("{command:?} failed:\n{}", String::from_utf8_lossy(&out.stderr));
    }
    Ok(())
}

/// The geometric mean; `None` of nothing.
pub fn geomean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut n) = (0.0, 0u32);
    for v in values {
        sum += v.ln();
        n += 1;
    }
    (n > 0).then(|| (sum / f64::from(n)).exp())
}

/// The middle value; of an even number the lower one of the middle.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

/// A number with two decimals, or a dash.
pub fn cell(value: Option<f64>) -> String {
    value.map_or("–".into(), |v| if v >= 100.0 { format!("{v:.0}") } else { format!("{v:.2}") })
}

/// Puts a table between two lines of the README.
pub fn update_readme(which: &str, table: &str) -> Result<()> {
    let path = root().join("README.md");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let begin = format!("<!-- performance: {which} (cargo xtask {which}) -->");
    let end = format!("<!-- performance: end of {which} -->");
    let (before, rest) = text.split_once(&begin).with_context(|| format!("README.md has no line {begin}"))?;
    let (_, after) = rest.split_once(&end).with_context(|| format!("README.md has no line {end}"))?;
    fs::write(&path, format!("{before}{begin}\n{table}{end}{after}"))?;
    Ok(())
}

/// Options of both tasks: `--only a,b`, `--abi ABI`, `--engine E`, `--with OPTION`, `--scale N` (divides the rounds), `--runs N`.
#[derive(Default)]
pub struct Options {
    /// Only these kernels.
    pub only: Vec<String>,
    /// Only this ABI.
    pub abi: Option<Abi>,
    /// Passed to Demotic as `--engine`.
    pub engine: Option<String>,
    /// Other options passed to Demotic.
    pub with: Vec<String>,
    /// Divides the rounds.
    pub scale: Option<u32>,
    /// Runs of each.
    pub runs: Option<usize>,
}

impl Options {
    /// Reads them.
    pub fn parse(arguments: &[&str]) -> Result<Options> {
        let mut o = Options::default();
        let mut rest = arguments.iter();
        while let Some(flag) = rest.next() {
            let value = *rest.next().with_context(|| format!("{flag} needs a value"))?;
            match *flag {
                "--only" => o.only = value.split(',').map(str::to_owned).collect(),
                "--abi" => {
                    o.abi = Some(Abi::ALL.into_iter().find(|a| a.name() == value).context("x86_64 or i386")?);
                }
                "--engine" => o.engine = Some(value.to_owned()),
                "--with" => o.with.push(value.to_owned()),
                "--scale" => o.scale = Some(value.parse::<u32>()?.max(1)),
                "--runs" => o.runs = Some(value.parse()?),
                other => bail!("no option {other}"),
            }
        }
        Ok(o)
    }

    /// Whether a row is wanted.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|n| n == name)
    }

    /// Whether an ABI is wanted.
    pub fn abis(&self) -> impl Iterator<Item = Abi> + '_ {
        [Abi::X86_64, Abi::I386].into_iter().filter(|a| self.abi.is_none_or(|only| only == *a))
    }

    /// Whether everything is measured: only then the README gets it.
    pub fn complete(&self) -> bool {
        self.only.is_empty() && self.abi.is_none() && self.engine.is_none() && self.with.is_empty()
    }

    /// Options for Demotic, before the program.
    pub fn demotic(&self) -> Vec<String> {
        let engine = self.engine.iter().map(|e| format!("--engine={e}"));
        engine.chain(self.with.iter().cloned()).chain(["--".to_owned()]).collect()
    }
}
