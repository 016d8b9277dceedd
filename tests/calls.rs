//! System calls, one small case for each behaviour: a family of cases is one program in `tests/guest/sys`, every case runs in a
//! process and an empty folder of its own, and what it prints and how it ends is compared with the same case run natively.
//!
//! Where this machine cannot run the guests itself, the files in `tests/expected/sys` stand for it; `BLESS=1 DEMOTIC_HOSTS=native`
//! writes them. A family runs once on each host, all cases one after the other; a case is a test of its own in the list.
//! `tests/calls.txt` lists what is known to differ, with the reason.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use demotic_testkit::expect::{same, same_as_file};
use demotic_testkit::guest::{self, Abi};
use demotic_testkit::host::{self, Host};
use demotic_testkit::results;
use demotic_testkit::run::run;
use demotic_tests::{differs_on_pages, limit};
use libtest_mimic::{Arguments, Failed, Trial};

/// What cases printed, by name.
type Sections = HashMap<String, String>;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    let there = guest::can_build() || guest::sys_dir().is_dir();
    for host in host::selected() {
        for abi in Abi::ALL.into_iter().filter(|abi| host.runs(*abi)) {
            for family in guest::sources("sys", ".c")? {
                if !there || (host.is_emulated() && !EMULATED.contains(&family.as_str())) || host == Host::Armv7 {
                    continue;
                }
                let source = fs::read_to_string(guest::tests_dir().join(format!("guest/sys/{family}.c")))?;
                if host == Host::Native {
                    trials.push(blessed(abi, family));
                } else {
                    trials.extend(cases(host, abi, &family, &source));
                }
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit()
}

/// The families that run on emulated hosts: what they test is converted by Demotic and hardly seen by the emulator.
const EMULATED: &[&str] = &["files", "dirs", "descriptors", "memory", "events", "sockets"];

/// The names of the cases in a source that are compiled for an ABI.
fn names(source: &str, abi: Abi) -> Vec<String> {
    // Whether each open conditional lets text through.
    let mut open: Vec<bool> = Vec::new();
    let mut names = Vec::new();
    for line in source.lines() {
        match line.trim() {
            "#ifdef __i386__" => open.push(abi == Abi::I386),
            "#ifndef __i386__" => open.push(abi != Abi::I386),
            "#else" => {
                if let Some(last) = open.last_mut() {
                    *last = !*last;
                }
            }
            "#endif" => drop(open.pop()),
            line => {
                let name = line.strip_prefix("CASE(").and_then(|rest| rest.split(')').next());
                names.extend(name.filter(|_| open.iter().all(|open| *open)).map(str::to_owned));
            }
        }
    }
    names
}

/// Whether `tests/calls.txt` lists the case as different there.
fn is_known(host: Host, abi: Abi, family: &str, case: &str) -> bool {
    let full = format!("{family}/{case}");
    include_str!("calls.txt").lines().filter(|line| !line.starts_with('#')).any(|line| {
        let mut words = line.split_whitespace();
        let mut next_is = |name: &str| words.next().is_some_and(|word| word == "*" || word == name);
        next_is(host.name()) && next_is(abi.name()) && next_is(&full)
    })
}

fn build() -> Result<(), String> {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    if !guest::can_build() {
        return Ok(());
    }
    BUILT.get_or_init(|| guest::build_sys().map_err(|e| e.to_string())).clone()
}

/// All that a family's program prints.
fn transcript(mut command: Command, program: &Path, host: Host) -> Result<String, String> {
    command.current_dir(program.parent().ok_or("a program has a folder")?);
    let outcome = run(command, b"", limit(host)).map_err(|e| format!("{e:#}"))?;
    let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
    if outcome.ending() != "exit 0" {
        return Err(format!("the program ended with {} after\n{text}\n{}", outcome.ending(), outcome.complaint()));
    }
    Ok(text)
}

fn sections(text: &str) -> Sections {
    let mut sections = Sections::new();
    let mut name = "";
    for line in text.lines() {
        if let Some(next) = line.strip_prefix("== ") {
            name = next;
        } else {
            let section = sections.entry(name.to_owned()).or_default();
            section.push_str(line);
            section.push('\n');
        }
    }
    sections
}

/// What the cases give natively, or what they gave when the files were written.
fn reference(host: Host, abi: Abi, family: &str, program: &Path) -> Result<Sections, String> {
    let text = match host.native_command(program) {
        Some(command) => transcript(command, program, Host::Native)?,
        None => {
            let file = guest::tests_dir().join(format!("expected/sys/{}/{family}.txt", abi.name()));
            fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?
        }
    };
    Ok(sections(&text))
}

/// Runs a family natively and on a host.
fn both(host: Host, abi: Abi, family: &str) -> Result<(Sections, Sections), String> {
    if !host.is_available() {
        return Err(format!("no Demotic for this host: {} (cargo xtask dist)", host.demotic().display()));
    }
    build()?;
    let program = guest::sys_program(abi, family);
    let want = reference(host, abi, family, &program)?;
    Ok((want, sections(&transcript(host.command(&program), &program, host)?)))
}

fn cases(host: Host, abi: Abi, family: &str, source: &str) -> Vec<Trial> {
    let done: Arc<OnceLock<Result<(Sections, Sections), String>>> = Arc::default();
    let trial = |case: String| {
        let (done, family) = (done.clone(), family.to_owned());
        let known = is_known(host, abi, &family, &case) || differs_on_pages(host, abi, &format!("{family}/{case}"));
        let name = format!("{}::{}::sys/{family}::{case}", host.name(), abi.name());
        Trial::test(name, move || {
            let start = Instant::now();
            let (want, got) = done.get_or_init(|| both(host, abi, &family)).as_ref().map_err(String::clone)?;
            let nothing = String::new();
            let want = want.get(&case).ok_or_else(|| Failed::from("it did not run natively"))?;
            let result = same(want, got.get(&case).unwrap_or(&nothing));
            results::record(&format!("sys/{family}@{case}"), abi, host, result.is_ok(), start.elapsed());
            result.map_err(Failed::from)
        })
        .with_ignored_flag(known)
    };
    names(source, abi).into_iter().map(trial).collect()
}

/// The native run against the file in the tree.
fn blessed(abi: Abi, family: String) -> Trial {
    Trial::test(format!("native::{}::sys/{family}", abi.name()), move || {
        build()?;
        let program = guest::sys_program(abi, &family);
        let got = transcript(Command::new(&program), &program, Host::Native)?;
        let file = guest::tests_dir().join(format!("expected/sys/{}/{family}.txt", abi.name()));
        same_as_file(&file, &got, true).map_err(Failed::from)
    })
}
