//! Many processes and threads at once, and what is left of a program that dies: stress in a short form (`cargo xtask stress` has the
//! long one), and core dumps as gdb reads them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use demotic_testkit::expect::same;
use demotic_testkit::guest::{self, Abi};
use demotic_testkit::host::{self, Host};
use demotic_testkit::run::run;
use demotic_tests::{limit, trial, with_complaint};
use libtest_mimic::Arguments;

/// A form of the stress program, and what it prints.
const SHORT: [(&str, &[&str], &str); 3] = [
    ("threads", &["threads", "40", "3"], "120 of 120 processes answered\n[exit 0]\n"),
    ("execs", &["execs", "200"], "descriptors as before, memory as before\n[exit 0]\n"),
    ("storm", &["storm", "8", "200"], "1600 signals of 1600, 0 threads failed\n[exit 0]\n"),
];

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    // The emulators that play other hosts fork and signal in ways of their own, and take minutes for this.
    for host in host::selected().into_iter().filter(|host| !host.is_emulated()) {
        for abi in Abi::ALL.into_iter().filter(|abi| host.runs(*abi)) {
            for (case, arguments, want) in SHORT {
                trials.push(trial(host, abi, "stress", case, !guest::can_build(), move || {
                    stress(host, abi, arguments, want)
                }));
            }
            // Only there is a gdb for x86 at hand, and natively the kernel's dump would be looked at.
            let absent = !cfg!(target_arch = "x86_64") || host == Host::Native || !guest::can_build() || is_piped();
            for (case, arguments, signal) in [("segv", &[] as &[&str], "SIGSEGV"), ("abrt", &["abrt"], "SIGABRT")] {
                trials.push(trial(host, abi, "dump", case, absent, move || dump(host, abi, arguments, signal)));
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit()
}

/// Whether dumps go to a program here: then there is no file.
fn is_piped() -> bool {
    fs::read("/proc/sys/kernel/core_pattern").is_ok_and(|pattern| pattern != b"core\n")
}

fn program(abi: Abi, name: &str) -> Result<PathBuf, String> {
    guest::heavy_program(abi, name).map_err(|e| e.to_string())
}

fn stress(host: Host, abi: Abi, arguments: &[&str], want: &str) -> Result<(), String> {
    let mut command = host.command(&program(abi, "stress")?);
    command.args(arguments);
    let outcome = run(command, b"", limit(host)).map_err(|e| format!("{e:#}"))?;
    same(want, &outcome.transcript()).map_err(|e| with_complaint(&outcome, &e))
}

/// A program dies with RLIMIT_CORE open; gdb finds stack, arguments, registers and the signal in what it leaves.
fn dump(host: Host, abi: Abi, arguments: &[&str], signal: &str) -> Result<(), String> {
    let crash = program(abi, "crash")?;
    let folder = demotic_testkit::target_dir().join(format!("guests/heavy/{signal}-{}-{}", abi.name(), host.name()));
    fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    let core = fs::read_dir(&folder).map_err(|e| e.to_string())?;
    core.flatten().for_each(|old| drop(fs::remove_file(old.path())));
    let demotic = host.command(&crash);
    let mut command = Command::new("sh");
    command.current_dir(&folder).args(["-c", "ulimit -c unlimited; exec \"$@\"", "sh"]);
    command.arg(demotic.get_program()).args(demotic.get_args()).args(arguments);
    let outcome = run(command, b"", limit(host)).map_err(|e| format!("{e:#}"))?;
    let ending = format!("signal {}", if signal == "SIGSEGV" { 11 } else { 6 });
    same(&ending, &outcome.ending()).map_err(|e| with_complaint(&outcome, &e))?;
    let left = fs::read_dir(&folder).map_err(|e| e.to_string())?.flatten().next().ok_or("there is no dump")?;
    let text = debugger(&crash, &left.path())?;
    let program = crash.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let expected = [
        format!("Program terminated with signal {signal}"),
        "level3 (p=0x".to_owned(),
        "level2 (p=0x".to_owned(),
        format!("level1 (n=21, abrt={})", arguments.len()),
        "main (argc=".to_owned(),
        "{x = 1042, y = 2000}".to_owned(),
        "d is 63".to_owned(),
        program,
    ];
    match expected.iter().find(|part| !text.contains(part.as_str())) {
        Some(part) => Err(format!("gdb does not say {part:?}:\n{text}")),
        None => Ok(()),
    }
}

fn debugger(program: &Path, core: &Path) -> Result<String, String> {
    let mut command = Command::new("gdb");
    command.args(["-nx", "-batch", "-ex", "bt", "-ex", "frame function level3", "-ex", "print *p"]);
    command.args(["-ex", "printf \"d is %d\\n\", (int)d"]).arg(program).arg(core);
    let done = command.output().map_err(|e| format!("gdb: {e}"))?;
    Ok(String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr))
}
