//! `cargo xtask bench`: processor time of the kernels and of starting programs, natively, by Demotic and by the distribution's qemu-user, in turn.
//!
//! User and system time of the whole process tree, medians of several runs; what the programs print must be the same. Starting is measured
//! with the translations that earlier runs of the program have left, and without. For an interactive program, the
//! time on the clock until its first screen. A kernel's time
//! includes its start, which is below a hundredth of it. Demotic is `dist/demotic-x86_64` in the target directory
//! (`cargo xtask dist x86_64`), or `DEMOTIC_X86_64`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use demotic_testkit::guest::Abi;
use demotic_testkit::host::Host;
use demotic_testkit::packages::PACKAGES;

use crate::kernels::{self, KERNELS, Options, build, build_kernel, build_tool, cell, geomean, median};

/// Who runs a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Runner {
    Native,
    /// With what earlier runs have translated.
    Demotic,
    /// As it runs a program for the first time.
    First,
    Qemu,
}

const RUNNERS: [Runner; 4] = [Runner::Native, Runner::Demotic, Runner::First, Runner::Qemu];

/// One thing to measure.
struct Row {
    name: String,
    /// Program and arguments for each ABI that has it.
    commands: Vec<(Abi, Vec<String>)>,
    /// Runs within one measurement: short programs are repeated.
    repeat: u32,
    /// Which of the measuring programs: processor time of the whole run, or time to the first screen.
    tool: &'static str,
    /// Whether qemu translates all of it: programs that execute others would run those natively.
    qemu: bool,
    /// Whether starting is what is measured. Only then Demotic keeps translations from run to run, and is measured without them as well.
    start: bool,
}

/// Seconds of a row for an ABI, by runner; `None` where it fails or is not run.
type Times = [Option<f64>; RUNNERS.len()];

/// Runs after which a program has left all that it can.
const WARM: usize = 4;

pub fn bench(arguments: &[&str]) -> Result<()> {
    let options = Options::parse(arguments)?;
    ensure!(Host::Native.is_available(), "an x86-64 machine is needed: native runs are what is compared with");
    let demotic = Host::X86_64.demotic();
    ensure!(demotic.is_file(), "{} is missing: cargo xtask dist x86_64", demotic.display());
    let mut compute = String::new();
    let mut wrong = Vec::new();
    let abis: Vec<Abi> = options.abis().collect();
    for (title, rows) in [
        ("kernel", kernel_rows(&options)?),
        ("start-up", start_rows(&options)?),
        ("first screen (clock)", screen_rows(&options)),
    ] {
        if rows.is_empty() {
            continue;
        }
        let start = rows[0].start;
        let header = heading(title, &abis, start);
        print!("{header}");
        compute.push_str(&header);
        let mut ratios: Vec<Vec<[Option<f64>; RUNNERS.len()]>> = vec![Vec::new(); abis.len()];
        for row in &rows {
            let mut line = format!("| {} |", row.name);
            for (a, abi) in abis.iter().enumerate() {
                let command = row.commands.iter().find(|(x, _)| x == abi).map(|(_, c)| c);
                let times = match command {
                    Some(c) => measure(&demotic, *abi, c, row, &options, &mut wrong)?,
                    None => Times::default(),
                };
                let by = times.map(|t| Some(t? / times[0]?));
                ratios[a].push(by);
                write!(line, " {} | {} |", cell(times[0].map(|t| t * 1e3)), cell(by[1]))?;
                if start {
                    write!(line, " {} |", cell(by[2]))?;
                }
                write!(line, " {} |", cell(by[3]))?;
            }
            println!("{line}");
            compute.push_str(&line);
            compute.push('\n');
        }
        let mut line = "| **geomean** |".to_owned();
        for list in &ratios {
            let of = |k: usize| cell(geomean(list.iter().filter_map(|r| r[k])));
            write!(line, " | **{}** |", of(1))?;
            if start {
                write!(line, " {} |", of(2))?;
            }
            write!(line, " {} |", of(3))?;
        }
        println!("{line}\n");
        compute.push_str(&line);
        compute.push_str("\n\n");
    }
    for w in &wrong {
        println!("WRONG: {w}");
    }
    if options.complete() {
        kernels::update_readme("bench", &compute)?;
    }
    if !wrong.is_empty() {
        bail!("{} results differ from the native ones", wrong.len());
    }
    Ok(())
}

fn heading(title: &str, abis: &[Abi], start: bool) -> String {
    let mut names = format!("| {title} |");
    let mut rule = "| --- |".to_owned();
    for abi in abis {
        let first = if start { " the first time × |" } else { "" };
        let _ = write!(names, " {0} native, ms | Demotic × |{first} qemu-{0} × |", abi.name());
        rule.push_str(if start { " ---: | ---: | ---: | ---: |" } else { " ---: | ---: | ---: |" });
    }
    format!("{names}\n{rule}\n")
}

fn kernel_rows(options: &Options) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for kernel in KERNELS.iter().filter(|k| options.wants(k.name)) {
        let rounds = (kernel.rounds / options.scale.unwrap_or(1)).max(1);
        let mut commands = Vec::new();
        for abi in options.abis() {
            commands.push((abi, vec![text(&build_kernel(abi, kernel)?), rounds.to_string()]));
        }
        rows.push(Row { name: kernel.name.to_owned(), commands, repeat: 1, tool: "cputime", qemu: true, start: false });
    }
    Ok(rows)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A program of the package registries, when it is in the cache.
fn package(name: &str, abi: Abi) -> Option<PathBuf> {
    let p = PACKAGES.iter().find(|p| p.name.starts_with(name) && p.abi == abi)?;
    p.program().is_file().then(|| p.program())
}

fn screen_rows(options: &Options) -> Vec<Row> {
    let of = |abi| package("fzf-0.20", abi).map(|f| (abi, vec![text(&f)]));
    let commands: Vec<_> = options.abis().filter_map(of).collect();
    let row = Row { name: "fzf, 1,000 lines".to_owned(), commands, repeat: 5, tool: "screen", qemu: true, start: true };
    let wanted = options.wants("screen") && !row.commands.is_empty();
    wanted.then_some(row).into_iter().collect()
}

fn start_rows(options: &Options) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut add =
        |name: &str, repeat: u32, qemu: bool, make: &dyn Fn(Abi) -> Result<Option<Vec<String>>>| -> Result<()> {
            if !options.wants(name) {
                return Ok(());
            }
            let mut commands = Vec::new();
            for abi in options.abis() {
                if let Some(c) = make(abi)? {
                    commands.push((abi, c));
                }
            }
            rows.push(Row { name: name.to_owned(), commands, repeat, tool: "cputime", qemu, start: true });
            Ok(())
        };
    add("static hello", 40, true, &|abi| Ok(Some(vec![text(&build(abi, "hello", &["hello.c"], &[])?)])))?;
    let busybox = |abi| package("busybox", abi);
    add("busybox true", 40, true, &|abi| Ok(busybox(abi).map(|b| vec![text(&b), "true".into()])))?;
    add("200 busybox processes", 1, false, &|abi| {
        let Some(b) = busybox(abi).map(|b| text(&b)) else { return Ok(None) };
        let script =
            format!("i=0; while [ $i -lt 100 ]; do {b} true; {b} expr $i + 1 > /dev/null; i=$((i+1)); done; echo $i");
        Ok(Some(vec![b, "sh".into(), "-c".into(), script]))
    })?;
    add("fzf --version (Go)", 10, true, &|abi| {
        Ok(package("fzf-0.20", abi).map(|f| vec![text(&f), "--version".into()]))
    })?;
    rows.retain(|r| !r.commands.is_empty());
    Ok(rows)
}

/// Measures one row for one ABI, the runners in turn.
fn measure(
    demotic: &Path,
    abi: Abi,
    command: &[String],
    row: &Row,
    options: &Options,
    wrong: &mut Vec<String>,
) -> Result<Times> {
    let runs = options.runs.unwrap_or(3);
    let tool = build_tool(row.tool, &format!("{}.c", row.tool), &[])?;
    let folder = kept()?;
    if row.start {
        for _ in 0..WARM {
            let _ = Command::new(&tool).arg("1").arg(demotic).arg("--keep").arg(&folder).args(command).output();
        }
    }
    let mut times: [Vec<f64>; RUNNERS.len()] = Default::default();
    let mut expected: Option<Vec<u8>> = None;
    for _ in 0..runs {
        for (k, runner) in RUNNERS.into_iter().enumerate() {
            let mut c = Command::new(&tool);
            c.arg(row.repeat.to_string());
            match runner {
                Runner::Native => {}
                Runner::First if !row.start => continue,
                Runner::Demotic if row.start => {
                    c.arg(demotic).arg("--keep").arg(&folder).args(options.demotic());
                }
                Runner::Demotic | Runner::First => {
                    c.arg(demotic).args(["--keep", "off"]).args(options.demotic());
                }
                Runner::Qemu if !row.qemu => continue,
                Runner::Qemu => {
                    let Some(qemu) = qemu(abi) else { continue };
                    c.arg(qemu);
                }
            }
            let out = c.args(command).output().with_context(|| format!("cannot start {c:?}"))?;
            let taken: Vec<f64> = String::from_utf8_lossy(&out.stderr)
                .lines()
                .filter_map(|l| l.trim().parse::<f64>().ok())
                .map(|us| us / 1e6)
                .collect();
            let failed = taken.len() != row.repeat as usize || taken.iter().any(|t| *t < 0.0);
            let same = expected.get_or_insert_with(|| out.stdout.clone()) == &out.stdout;
            if failed || !same {
                // What the peer cannot run is its own business.
                if runner != Runner::Qemu {
                    wrong.push(format!(
                        "{} {} {runner:?}: {}",
                        row.name,
                        abi.name(),
                        if failed { "failed" } else { "other output" }
                    ));
                }
                continue;
            }
            times[k].extend(median(taken));
        }
    }
    Ok(times.map(median))
}

/// A folder for translations of this measurement's own.
fn kept() -> Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    let folder = demotic_testkit::root().join("target/bench-kept");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    Ok(folder)
}

/// The distribution's emulator for an ABI.
fn qemu(abi: Abi) -> Option<PathBuf> {
    let name = match abi {
        Abi::X86_64 => "qemu-x86_64",
        Abi::I386 => "qemu-i386",
    };
    std::env::split_paths(&std::env::var_os("PATH")?).map(|d| d.join(name)).find(|p| p.is_file())
}
