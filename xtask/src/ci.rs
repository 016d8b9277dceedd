//! Continuous integration: one command that does everything, goes on after a failure, and ends with the sum.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use demotic_testkit::{packages, results, root, roots};

use crate::{dist, tidy};

/// Tests counted so far and steps that failed.
#[derive(Default)]
struct Sum {
    passed: u64,
    failed: u64,
    steps: Vec<String>,
    /// What failing tests said: the lines between `failures:` and the result of each test program.
    failures: Vec<String>,
    in_failures: bool,
}

/// The hosts that this machine builds for and tests: its own, and on x86-64 the ARM ones under the emulator.
fn hosts() -> Result<&'static [&'static str]> {
    Ok(match std::env::consts::ARCH {
        "x86_64" => &["x86_64", "aarch64", "armv7"],
        "aarch64" => &["aarch64"],
        other => bail!("the tests run on x86-64 and aarch64 machines, not on {other}"),
    })
}

/// Programs that the tests call; what is missing is said once, with the packages that bring it.
fn tools() -> Result<()> {
    let x86: &[(&str, &str)] = &[
        ("gcc", "gcc libc6-dev"),
        ("i686-linux-gnu-gcc", "gcc-i686-linux-gnu libc6-dev-i386-cross"),
        ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"),
        ("arm-linux-gnueabihf-gcc", "gcc-arm-linux-gnueabihf libc6-dev-armhf-cross"),
        ("qemu-aarch64-static", "qemu-user-static"),
        ("debootstrap", "debootstrap"),
        ("unshare", "util-linux"),
        ("gdb", "gdb"),
    ];
    let everywhere: &[(&str, &str)] = &[
        ("tmux", "tmux"),
        ("python3", "python3 python3-pip"),
        ("npm", "npm"),
        ("curl", "curl ca-certificates"),
        ("xz", "xz-utils"),
    ];
    let path = std::env::var_os("PATH").unwrap_or_default();
    // What only root needs is not in everybody's PATH.
    let there =
        |name: &str| std::env::split_paths(&path).chain(["/usr/sbin".into()]).any(|dir| dir.join(name).is_file());
    let wanted = if cfg!(target_arch = "x86_64") { x86 } else { &[] };
    let missing: Vec<&str> =
        wanted.iter().chain(everywhere).filter(|(tool, _)| !there(tool)).map(|(_, p)| *p).collect();
    if !missing.is_empty() {
        bail!("install what the tests need: sudo apt-get install --no-install-recommends {}", missing.join(" "));
    }
    Ok(())
}

/// Crates whose own tests run on the emulated hosts, too.
const PORTABLE: &[&str] =
    &["demotic-f80", "demotic-ir", "demotic-x86", "demotic-asm", "demotic-codegen", "demotic-host", "demotic-engine"];

/// Everything.
pub fn ci() -> Result<()> {
    tools()?;
    let hosts = hosts()?;
    let mut sum = Sum::default();
    sum.command("format", cargo(&["fmt", "--all", "--check"]))?;
    sum.command("clippy", cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    sum.step("tidy", tidy::tidy());
    let nextest = Command::new("cargo").args(["nextest", "--version"]).output().is_ok_and(|o| o.status.success());
    let unit: &[&str] = if nextest {
        &["nextest", "run", "--workspace", "--exclude", "demotic-tests", "--no-fail-fast"]
    } else {
        &["test", "--workspace", "--exclude", "demotic-tests", "--no-fail-fast"]
    };
    sum.command("tests of the crates", cargo(unit))?;
    for package in packages::PACKAGES {
        sum.step(&format!("fetch {} for {}", package.name, package.abi.name()), package.fetch());
    }
    if cfg!(target_arch = "x86_64") {
        for (abi, made) in roots::make() {
            sum.step(&format!("Debian root for {}", abi.name()), made);
        }
    }
    for host in hosts {
        sum.step(&format!("build for {host}"), dist::dist(&[host]));
    }
    for host in hosts.iter().filter(|h| **h != std::env::consts::ARCH) {
        let title = format!("tests of the crates on {host}");
        // There is no emitter for armv7: what makes host code is the same there as anywhere.
        let emits = |name: &str| matches!(name, "demotic-asm" | "demotic-codegen");
        let crates: Vec<&str> = PORTABLE.iter().copied().filter(|name| *host != "armv7" || !emits(name)).collect();
        let done = dist::crate_tests(host, &crates, |command| sum.run(command));
        sum.step(&title, done.and_then(|ok| if ok { Ok(()) } else { bail!("tests fail") }));
    }
    // Where there is an emitter, the interpreter is the reference and has to run everything as well.
    let translating: Vec<&str> = hosts.iter().copied().filter(|h| *h != "armv7").collect();
    // Foreign programs take it minutes on an emulated host; armv7's are interpreted anyway, further below.
    let mut tests = cargo(&["test", "-p", "demotic-tests", "--test", "guests", "--no-fail-fast", "--"]);
    for package in packages::PACKAGES {
        if std::env::consts::ARCH != "aarch64" {
            tests.args(["--skip", &format!("aarch64::{}::{}", package.abi.name(), package.name)]);
        }
    }
    tests
        .env("DEMOTIC_HOSTS", translating.join(","))
        .env("DEMOTIC_REQUIRE_GUESTS", "1")
        .env("DEMOTIC_ENGINE", "interp");
    sum.command("whole programs by the interpreter", tests)?;
    // What runs once is interpreted unless it is said otherwise: translate all of it, too.
    let mut tests = cargo(&["test", "-p", "demotic-tests", "--test", "guests", "--no-fail-fast"]);
    tests
        .env("DEMOTIC_HOSTS", std::env::consts::ARCH)
        .env("DEMOTIC_REQUIRE_GUESTS", "1")
        .env("DEMOTIC_ENGINE", "eager");
    sum.command("whole programs, all of them translated", tests)?;
    if std::env::consts::ARCH == "x86_64" {
        let mut tests = cargo(&["test", "-p", "demotic-tests", "--test", "calls", "--no-fail-fast"]);
        tests.env("DEMOTIC_HOSTS", "x86_64").env("DEMOTIC_HOST_PAGE", "16384");
        sum.command("system calls as on a host with pages of 16 KiB", tests)?;
        let mut tests = cargo(&["test", "-p", "demotic-tests", "--test", "guests", "--no-fail-fast", "--", "c/"]);
        tests.env("DEMOTIC_HOSTS", "x86_64").env("DEMOTIC_REQUIRE_GUESTS", "1").env("DEMOTIC_HOST_PAGE", "65536");
        sum.command("programs as on a host with pages of 64 KiB", tests)?;
    }
    // What a run leaves for the next one: made in the first round, used in the second.
    let folder = kept()?;
    results::clear()?;
    for (round, on) in
        [("leaving translations behind", &translating[..]), ("with translations of the round before", hosts)]
    {
        let mut tests = cargo(&["test", "-p", "demotic-tests", "--test", "guests", "--no-fail-fast"]);
        tests.env("DEMOTIC_HOSTS", on.join(",")).env("DEMOTIC_REQUIRE_GUESTS", "1").env("DEMOTIC_KEEP", &folder);
        sum.command(&format!("whole programs {round}"), tests)?;
    }
    let mut tests = cargo(&["test", "-p", "demotic-tests", "--no-fail-fast"]);
    for test in ["calls", "fuzz", "gdb", "heavy", "manage", "roots"] {
        tests.args(["--test", test]);
    }
    tests.env("DEMOTIC_HOSTS", hosts.join(",")).env("DEMOTIC_REQUIRE_GUESTS", "1");
    sum.command("system calls, roots and the manager on every host", tests)?;
    println!("\n{}", results::table().unwrap_or_default());
    println!("what took longest:\n{}", results::slowest(25).unwrap_or_default());
    // Once more, where the end of a long log is all that is kept.
    for line in sum.failures.iter().take(300) {
        println!("{line}");
    }
    for step in &sum.steps {
        println!("step failed: {step}");
    }
    println!("{} passed, {} failed", sum.passed, sum.failed);
    if sum.failed > 0 || !sum.steps.is_empty() {
        // Not an error value: nothing is to be printed behind the sum.
        std::process::exit(1);
    }
    Ok(())
}

/// An empty folder for translations.
fn kept() -> Result<std::path::PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    let folder = root().join("target/kept");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    Ok(folder)
}

/// The whole-program tests alone.
pub fn whole_programs(filter: &[&str]) -> Result<()> {
    let mut command = cargo(&["test", "-p", "demotic-tests", "--no-fail-fast", "--"]);
    command.args(filter);
    succeed(command)
}

/// Unit tests of crates as another host.
pub fn crates(arguments: &[&str]) -> Result<()> {
    let Some((host, names)) = arguments.split_first() else { bail!("which host?") };
    let names = if names.is_empty() { &["demotic-f80"] } else { names };
    dist::crate_tests(host, names, |mut command| Ok(command.status()?.success()))?.then_some(()).context("tests fail")
}

/// Random IR programs, as many as wanted.
pub fn ir_fuzz(arguments: &[&str]) -> Result<()> {
    random("programs", arguments)
}

/// Sequences of random guest instructions, as many as wanted.
pub fn sequences(arguments: &[&str]) -> Result<()> {
    random("sequences", arguments)
}

/// The same, stopped at every host instruction.
pub fn stops(arguments: &[&str]) -> Result<()> {
    random("stops", arguments)
}

/// Random x87 and MMX code, as much as wanted.
pub fn x87_fuzz(arguments: &[&str]) -> Result<()> {
    random("x87", arguments)
}

/// One of the engine's random tests.
fn random(test: &str, arguments: &[&str]) -> Result<()> {
    let (mut count, mut seed, mut host, mut file) = ("100000", "1", std::env::consts::ARCH, None);
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let value = *rest.next().with_context(|| format!("{flag} needs a value"))?;
        match *flag {
            "--count" => count = value,
            "--seed" => seed = value,
            "--host" => host = value,
            // The tests run in a folder of their own.
            "--file" if matches!(test, "sequences" | "stops") => {
                file = Some(std::fs::canonicalize(value).with_context(|| value.to_owned())?)
            }
            other => bail!("no option {other}"),
        }
    }
    let run = |mut command: Command| {
        command.args(["--release", "--test", test]);
        command.env("DEMOTIC_COUNT", count).env("DEMOTIC_SEED", seed);
        if let Some(file) = &file {
            command.env("DEMOTIC_FILE", file);
        }
        Ok(command.status()?.success())
    };
    let ok = if host == std::env::consts::ARCH {
        run(cargo(&["test", "-p", "demotic-engine"]))?
    } else {
        dist::crate_tests(host, &["demotic-engine"], run)?
    };
    ok.then_some(()).context("a program runs differently")
}

/// Golden files of host code, and expected output from native runs.
pub fn bless() -> Result<()> {
    let mut goldens = cargo(&["test", "-p", "demotic-debug", "--test", "goldens"]);
    goldens.env("BLESS", "1");
    succeed(goldens)?;
    let mut command = cargo(&["test", "-p", "demotic-tests", "--test", "guests"]);
    command.env("BLESS", "1").env("DEMOTIC_HOSTS", "native");
    succeed(command)
}

/// Runs a tool of the workspace with further arguments.
pub fn tool(cargo_arguments: &[&str], arguments: &[&str]) -> Result<()> {
    let mut command = cargo(&[&["--quiet"], cargo_arguments].concat());
    command.args(arguments);
    succeed(command)
}

pub fn succeed(mut command: Command) -> Result<()> {
    if !command.status()?.success() {
        bail!("{command:?} failed");
    }
    Ok(())
}

pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

impl Sum {
    fn step(&mut self, title: &str, result: Result<()>) {
        if let Err(e) = result {
            println!("{title}: {e:#}");
            self.steps.push(title.to_owned());
        }
    }

    fn command(&mut self, title: &str, command: Command) -> Result<()> {
        println!("\n== {title}");
        let start = Instant::now();
        let ok = self.run(command)?;
        println!("== {title}: {} after {} s", if ok { "ok" } else { "FAILED" }, start.elapsed().as_secs());
        self.step(title, if ok { Ok(()) } else { Err(anyhow::anyhow!("failed")) });
        Ok(())
    }

    /// Runs a command, shows what it prints, and counts the tests it reports.
    fn run(&mut self, command: Command) -> Result<bool> {
        // Standard error joins standard output in the shell: std's own pipes are too new for the oldest supported rustc.
        let mut joined = Command::new("sh");
        joined.args(["-c", r#"exec "$@" 2>&1"#, "sh"]).arg(command.get_program()).args(command.get_args());
        if let Some(dir) = command.get_current_dir() {
            joined.current_dir(dir);
        }
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => joined.env(key, value),
                None => joined.env_remove(key),
            };
        }
        let mut child =
            joined.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().with_context(|| format!("{command:?}"))?;
        let reader = child.stdout.take().context("stdout is a pipe")?;
        for line in BufReader::new(reader).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            println!("{line}");
            self.in_failures = (self.in_failures || line == "failures:") && !line.starts_with("test result");
            if self.in_failures {
                self.failures.push(line.clone());
            }
            self.count(&line);
        }
        Ok(child.wait()?.success())
    }

    /// `test result: ok. 3 passed; 0 failed; ...` of libtest, `Summary [...] 3 tests run: 3 passed, 0 failed` of nextest.
    fn count(&mut self, line: &str) {
        let line = strip_colours(line);
        if !line.starts_with("test result:") && !line.trim_start().starts_with("Summary [") {
            return;
        }
        let words: Vec<&str> =
            line.split(|c: char| c.is_whitespace() || c == ';' || c == ',').filter(|w| !w.is_empty()).collect();
        for pair in words.windows(2) {
            if let Ok(n) = pair[0].parse::<u64>() {
                match pair[1] {
                    "passed" => self.passed += n,
                    "failed" => self.failed += n,
                    _ => {}
                }
            }
        }
    }
}

fn strip_colours(line: &str) -> String {
    let mut out = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            chars.by_ref().find(|c| c.is_ascii_alphabetic());
        } else {
            out.push(c);
        }
    }
    out
}
