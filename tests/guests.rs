//! Guest programs on every host: the freestanding ones, the C programs at two optimisation levels, and programs from
//! package registries (fzf, esbuild, busybox). Expected output is in `tests/expected`; `BLESS=1 DEMOTIC_HOSTS=native`
//! writes it from native runs.
//!
//! Without `DEMOTIC_HOSTS` the hosts with a build in `dist` are tested. Registry programs that are not in the cache are
//! shown as ignored (`cargo xtask guests` fetches them); with `DEMOTIC_REQUIRE_GUESTS` set they fail instead.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use demotic_testkit::expect::{same, same_as_file};
use demotic_testkit::guest::{self, Abi};
use demotic_testkit::host::{self, Host};
use demotic_testkit::packages::{PACKAGES, Package};
use demotic_testkit::run::{Outcome, run};
use demotic_tests::{limit, trial, with_complaint};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    if guest::can_build() {
        trials.push(Trial::test("sources::prebuilt_guests_match", prebuilt_guests_match));
    }
    for host in host::selected() {
        for abi in Abi::ALL.into_iter().filter(|abi| host.runs(*abi)) {
            for name in guest::sources("asm", ".S")? {
                trials.push(asm_trial(host, abi, name));
            }
            // The emulated hosts are slow: there the optimised builds stand for both.
            let levels: &[&str] = if host.is_emulated() { &["O2"] } else { &["O0", "O2"] };
            for level in levels {
                for name in guest::sources("c", ".c")? {
                    let few = guest::HAVE_FEW.contains(&name.as_str());
                    if few && host == Host::Native {
                        trials.push(c_trial(host, abi, level, name.clone(), true));
                    }
                    // An interpreter on an emulated host takes minutes for all.
                    let interprets =
                        host == Host::Armv7 || std::env::var_os("DEMOTIC_ENGINE").is_some_and(|e| e == "interp");
                    trials.push(c_trial(host, abi, level, name, few && host.is_emulated() && interprets));
                }
            }
        }
        for abi in Abi::ALL.into_iter().filter(|abi| host == Host::Aarch64 && host.runs(*abi)) {
            for name in ["tables_sse", "avx_tables", "exceptions"] {
                trials.push(fast_trial(host, abi, name));
            }
        }
        for package in PACKAGES.iter().filter(|p| host.runs(p.abi)) {
            trials.extend(package_trials(host, package));
        }
    }
    libtest_mimic::run(&arguments, trials).exit()
}

fn prebuilt_guests_match() -> Result<(), Failed> {
    let out = demotic_testkit::target_dir().join("guests/asm");
    guest::build_asm(&out).map_err(|e| e.to_string())?;
    for abi in Abi::ALL {
        for name in guest::sources("asm", ".S").map_err(|e| e.to_string())? {
            let fresh = fs::read(out.join(abi.name()).join(&name)).map_err(|e| e.to_string())?;
            let committed = fs::read(guest::prebuilt(abi, &name)).map_err(|e| e.to_string())?;
            if fresh != committed {
                return Err(format!(
                    "{}/{name} is not what its source gives: run tests/guest/asm/build.sh",
                    abi.name()
                )
                .into());
            }
            if committed.len() > 2048 {
                return Err(format!("{}/{name} has {} bytes", abi.name(), committed.len()).into());
            }
        }
    }
    Ok(())
}

/// Runs `./NAME` in its own folder, so that its name is the same everywhere.
fn run_here(host: Host, program: &Path, arguments: &[&str], stdin: &[u8]) -> Result<Outcome, String> {
    run_with(host, &[], program, arguments, stdin)
}

/// The same with options for Demotic.
fn run_with(host: Host, options: &[&str], program: &Path, arguments: &[&str], stdin: &[u8]) -> Result<Outcome, String> {
    let name = program.file_name().ok_or("a program has a name")?;
    // Those that are about what only some processors have.
    let cpu: &[&str] = if name.to_string_lossy().starts_with("avx") { &["--cpu", "max"] } else { &[] };
    let mut command = host.command_with(&[options, cpu].concat(), &Path::new(".").join(name));
    command.current_dir(program.parent().ok_or("a program has a folder")?).args(arguments);
    run(command, stdin, limit(host)).map_err(|e| format!("{e:#}"))
}

/// Compares standard output and ending with a file in `tests/expected`.
fn matches_expected(host: Host, outcome: &Outcome, file: &str) -> Result<(), String> {
    let path = guest::tests_dir().join("expected").join(file);
    same_as_file(&path, &outcome.transcript(), host == Host::Native).map_err(|e| with_complaint(outcome, &e))
}

fn asm_trial(host: Host, abi: Abi, name: String) -> Trial {
    trial(host, abi, &format!("asm/{name}"), "run", false, move || {
        let outcome = run_here(host, &guest::prebuilt(abi, &name), &["one", "two  words", ""], b"")?;
        matches_expected(host, &outcome, &format!("asm/{}/{name}.txt", abi.name()))
    })
}

/// What user-mode emulators of the host show where a kernel of that host shows the last text: vfork is their fork, they have a thread of their
/// own, and a signal that the guest blocks reaches them all the same, so that a timer's expirations are not overruns.
/// `cargo xtask arm-kernel guests` runs these programs on a kernel.
const EMULATOR_LINES: [(&str, &str, &str); 4] = [
    ("timers", "overrun counted: 0\n", "overrun counted: 1\n"),
    ("processes", "posix_spawn of nothing: 0\n", "posix_spawn of nothing: ENOENT\n"),
    ("processes", "vfork shared memory: 0\n", "vfork shared memory: 5\n"),
    ("procself", "parent right 1, threads 2\n", "parent right 1, threads 1\n"),
];

/// A program whose SSE arithmetic begins with the host's flags, until it clears some itself.
fn fast_trial(host: Host, abi: Abi, name: &'static str) -> Trial {
    let program = guest::c_program(abi, "O2", name);
    let missing = !guest::can_build() && !program.is_file();
    let few = guest::HAVE_FEW.contains(&name);
    trial(host, abi, &format!("c/{name}"), "fast", missing, move || {
        build_c()?;
        let outcome = run_with(host, &["--fast-sse"], &program, if few { &["few"] } else { &[] }, b"")?;
        matches_expected(host, &outcome, &format!("c/{}/{name}{}.txt", abi.name(), if few { ".few" } else { "" }))
    })
}

fn build_c() -> Result<(), String> {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    if guest::can_build() { BUILT.get_or_init(|| guest::build_c().map_err(|e| e.to_string())).clone() } else { Ok(()) }
}

fn c_trial(host: Host, abi: Abi, level: &'static str, name: String, few: bool) -> Trial {
    let program = guest::c_program(abi, level, &name);
    let missing = !guest::can_build() && !program.is_file();
    trial(host, abi, &format!("c/{name}"), if few { "few" } else { level }, missing, move || {
        build_c()?;
        let mut outcome = run_here(host, &program, if few { &["few"] } else { &[] }, b"")?;
        for (of, emulated, real) in EMULATOR_LINES {
            if host.is_emulated() && of == name {
                let text = String::from_utf8_lossy(&outcome.stdout).replace(emulated, real);
                outcome.stdout = text.into_bytes();
            }
        }
        let file = format!("c/{}/{name}{}.txt", abi.name(), if few { ".few" } else { "" });
        matches_expected(host, &outcome, &file)
    })
}

// ---- programs from registries

fn package_trials(host: Host, package: &'static Package) -> Vec<Trial> {
    let absent = !package.program().is_file() && std::env::var_os("DEMOTIC_REQUIRE_GUESTS").is_none();
    let case = |case: &'static str, body: fn(Host, &Package, &str) -> Result<(), String>| {
        trial(host, package.abi, package.name, case, absent, move || body(host, package, case))
    };
    match package.name.split('-').next() {
        Some("fzf") => vec![
            case("version", |h, p, c| fzf(h, p, c, &["--version"], b"")),
            case("help", |h, p, c| fzf(h, p, c, &["-h"], b"")),
            case("filter", |h, p, c| fzf(h, p, c, &["--filter", "ap 'e !x"], &fruit())),
            case("filter_sorted", |h, p, c| fzf(h, p, c, &["--filter", "^b r$", "--no-sort"], &fruit())),
            case("no_match", |h, p, c| fzf(h, p, c, &["--filter", "zzz"], &fruit())),
            case("interactive", |h, p, _| interactive(h, p)),
        ],
        Some("esbuild") => vec![
            case("version", |h, p, _| esbuild(h, p, "version", &["--version"])),
            case("bundle", |h, p, _| esbuild(h, p, "bundle", &["--bundle", "main.tsx", "--format=iife"])),
            case("minify", |h, p, _| {
                esbuild(h, p, "minify", &["--bundle", "main.tsx", "--minify", "--target=es2017", "--sourcemap=inline"])
            }),
            case("error", |h, p, _| esbuild(h, p, "error", &["--bundle", "broken.ts", "--log-level=error"])),
        ],
        _ => vec![
            case("shell", |h, p, _| busybox(h, p, "shell")),
            case("text", |h, p, _| busybox(h, p, "text")),
            case("archive", |h, p, _| busybox(h, p, "archive")),
        ],
    }
}

/// A thousand lines to search.
fn fruit() -> Vec<u8> {
    let (first, second) = (
        ["apple", "banana", "cherry", "grape", "pear", "blackberry"],
        ["pie", "juice", "cake", "jam", "tart", "exotic"],
    );
    let mut text = String::new();
    for i in 0..1000 {
        text += &format!("{} {} {i}\n", first[i % 6], second[i / 6 % 6]);
    }
    text.push_str("banana bread for\nbear\nbitter\n");
    text.into_bytes()
}

fn fzf(host: Host, package: &Package, case: &str, arguments: &[&str], stdin: &[u8]) -> Result<(), String> {
    let outcome = run_here(host, &package.program(), arguments, stdin)?;
    matches_expected(host, &outcome, &format!("programs/{}-{case}.txt", package.name))
}

/// fzf on a terminal: keys are typed, the screen is read, the chosen line is printed.
fn interactive(host: Host, package: &Package) -> Result<(), String> {
    let scratch = Scratch::new()?;
    let command = host.command(&package.program());
    let line = shell_line(&command);
    let (result, done) = (scratch.0.join("result"), scratch.0.join("done"));
    let list = scratch.0.join("list");
    fs::write(&list, "apple\nbanana\ncherry\nblack cherry\n").map_err(|e| e.to_string())?;
    // Standard error stays on the terminal: fzf draws there.
    let script = format!(
        "export TERM=screen; {line} < {} > {}; echo $? > {}.part; mv {}.part {}",
        list.display(),
        result.display(),
        done.display(),
        done.display(),
        done.display()
    );
    let script_file = scratch.0.join("script");
    fs::write(&script_file, script).map_err(|e| e.to_string())?;
    let socket = format!("demotic-{}-{}-{}", std::process::id(), host.name(), package.abi.name());
    let tmux = Tmux(socket);
    tmux.ask(&["new-session", "-d", "-x", "80", "-y", "24", &format!("sh {}", script_file.display())])?;
    let limit = limit(host);
    tmux.wait_for("4/4", limit)?;
    tmux.ask(&["send-keys", "cherr"])?;
    tmux.wait_for("2/4", limit)?;
    tmux.ask(&["send-keys", "Up"])?;
    std::thread::sleep(Duration::from_millis(if host.is_emulated() { 3000 } else { 500 }));
    let screen = tmux.ask(&["capture-pane", "-p"])?;
    if !screen.lines().any(|l| l.trim_start_matches(['>', ' ']).starts_with("black cherry")) {
        return Err(format!("the list is not on the screen:\n{screen}"));
    }
    tmux.ask(&["send-keys", "Enter"])?;
    let start = Instant::now();
    while !done.exists() {
        if start.elapsed() > limit {
            return Err(format!("it does not end; the screen:\n{}", tmux.ask(&["capture-pane", "-p"])?));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    same("0\n", &fs::read_to_string(&done).map_err(|e| e.to_string())?).map_err(|e| format!("exit status: {e}"))?;
    let chosen = fs::read_to_string(&result).map_err(|e| e.to_string())?;
    // The cursor starts at the best match, "cherry"; Up goes to the next.
    same("black cherry\n", &chosen)
}

/// A tmux server of its own, ended with the value.
struct Tmux(String);

impl Tmux {
    fn ask(&self, arguments: &[&str]) -> Result<String, String> {
        let out = Command::new("tmux")
            .args(["-f", "/dev/null", "-L", &self.0])
            .args(arguments)
            .env("TERM", "screen")
            .output()
            .map_err(|e| format!("tmux: {e}"))?;
        if !out.status.success() {
            return Err(format!("tmux {arguments:?}: {}", String::from_utf8_lossy(&out.stderr)));
        }
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    fn wait_for(&self, text: &str, limit: Duration) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let screen = self.ask(&["capture-pane", "-p"])?;
            if screen.contains(text) {
                return Ok(());
            }
            if start.elapsed() > limit {
                return Err(format!("{text:?} does not appear; the screen:\n{screen}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // The server ends by itself when its session has; then there is nothing to kill.
        self.ask(&["kill-server"]).ok();
    }
}

/// A command as one line for a shell.
fn shell_line(command: &Command) -> String {
    let quote = |s: &std::ffi::OsStr| format!("'{}'", s.to_string_lossy().replace('\'', r"'\''"));
    let mut line = quote(command.get_program());
    for argument in command.get_args() {
        line.push(' ');
        line += &quote(argument);
    }
    line
}

/// A folder that goes away with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch, String> {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("demotic-test-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).map_err(|e| e.to_string())?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// esbuild on the little project in `tests/guest/project`; its output (or its complaint) is compared.
fn esbuild(host: Host, package: &Package, case: &str, arguments: &[&str]) -> Result<(), String> {
    let mut command = host.command(&package.program());
    command.current_dir(guest::tests_dir().join("guest/project")).args(arguments).arg("--color=false");
    let mut outcome = run(command, b"", limit(host)).map_err(|e| format!("{e:#}"))?;
    if case == "error" {
        outcome.stdout = outcome.stderr.clone();
    }
    matches_expected(host, &outcome, &format!("programs/{}-{case}.txt", package.name))
}

/// A script for busybox's shell; the applets are run as programs of their own.
fn busybox(host: Host, package: &Package, script: &str) -> Result<(), String> {
    let scratch = Scratch::new()?;
    let program = package.program();
    let mut command = host.command(&program);
    command
        .current_dir(&scratch.0)
        .arg("sh")
        .arg(guest::tests_dir().join(format!("guest/busybox/{script}.sh")))
        .env("BB", &program)
        .env("LC_ALL", "C");
    let outcome = run(command, b"", limit(host)).map_err(|e| format!("{e:#}"))?;
    matches_expected(host, &outcome, &format!("programs/{}-{script}.txt", package.name))
}
