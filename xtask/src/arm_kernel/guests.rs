//! The test programs: system calls case by case, and the C programs, compared with what `tests/expected` says, which is from native runs on x86-64.
//!
//! `tests/arm_kernel.txt` lists what differs there, with the reason, and `tests/arm_kernel_16k.txt` what does on pages of 16 KiB, beside what `tests/pages.txt` says; a
//! line of the former two that is not needed any more is an error, too.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use demotic_testkit::guest::{self, Abi};

use super::Machine;
use super::debian::Kernel;

/// A processor with what the first ARM64 servers lacked: atomic instructions, ordered loads.
const PROCESSOR: &str = "neoverse-n1";

/// Seconds for all.
const LIMIT: u32 = 3600;

/// Loopback for sockets, and a file system as files have it on a disk.
const PREPARE: &str = "\
ifconfig lo up
hostname machine
modprobe loop
modprobe ext4 2> /dev/null
mount -o loop -t ext4 /disk /tmp || echo 'no disk'
chmod 1777 /tmp
";

/// Runs those whose `ABI/NAME` contains one of the names, or all.
pub fn run(kernel: Kernel, names: &[&str]) -> Result<()> {
    guest::build_c()?;
    guest::build_sys()?;
    let machine = Machine::new(kernel, "guests")?;
    let disk = machine.root().join("disk");
    let made = Command::new("/usr/sbin/mke2fs").args(["-q", "-t", "ext4", "-b", "4096"]).arg(&disk).arg("64M").status();
    ensure!(made.is_ok_and(|s| s.success()), "mke2fs failed (e2fsprogs)");
    let mut commands = String::from(PREPARE);
    let mut wanted = Vec::new();
    for abi in Abi::ALL {
        for (kind, name) in programs()? {
            let full = format!("{}/{kind}/{name}", abi.name());
            if !names.is_empty() && !names.iter().any(|n| full.contains(n)) {
                continue;
            }
            // A machine that is interpreted takes minutes for all.
            let few = kind == "c" && guest::HAVE_FEW.contains(&name.as_str());
            let program = if kind == "c" { guest::c_program(abi, "O2", &name) } else { guest::sys_program(abi, &name) };
            machine.put(&program, &full)?;
            let options = if name.starts_with("avx") { "--cpu max" } else { "" };
            let argument = if few { "few" } else { "" };
            writeln!(commands, "echo '=== {full}'; cd /{}/{kind}", abi.name())?;
            writeln!(
                commands,
                "{{ : | timeout -s KILL 600 demotic {options} ./{name} {argument} 2> /dev/null; echo \"[exit $?]\"; }} | cat > /tmp/out; cat /tmp/out; rm -rf /tmp/[!l]*"
            )?;
            let suffix = if few { ".few" } else { "" };
            let file = guest::tests_dir().join(format!("expected/{kind}/{}/{name}{suffix}.txt", abi.name()));
            let expected = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            wanted.push((full, kind == "sys", expected));
        }
    }
    ensure!(!wanted.is_empty(), "no program has such a name");
    let console = machine.run(&commands, PROCESSOR, LIMIT)?;
    ensure!(!console.lines().any(|line| line == "no disk"), "the machine could not mount its disk");
    let mut got: BTreeMap<&str, &str> = BTreeMap::new();
    for part in console.split("=== ").skip(1) {
        let (name, text) = part.split_once('\n').unwrap_or((part, ""));
        got.insert(name, text);
    }
    let mut report = Report::new(kernel)?;
    for (full, in_cases, expected) in &wanted {
        let text = got.get(full.as_str()).copied().unwrap_or_default();
        if *in_cases {
            // The last line is how the program itself ended.
            let text = text.trim_end().rsplit_once('\n').map_or("", |(text, _)| text);
            let (want, text) = (cases(expected), cases(text));
            for (case, lines) in want {
                report.compare(&format!("{full}/{case}"), &lines, text.get(case).map_or("", String::as_str));
            }
        } else {
            report.compare(full, &as_shell_says(expected), text);
        }
    }
    println!("arm-kernel: {} the same, {} known to differ, {} not", report.same, report.known, report.differing);
    ensure!(
        report.differing == 0,
        "the real kernel gives something else; what differs for a reason stands in tests/{}",
        kernel.differences()
    );
    Ok(())
}

fn programs() -> Result<Vec<(&'static str, String)>> {
    let mut all = Vec::new();
    for kind in ["sys", "c"] {
        all.extend(guest::sources(kind, ".c")?.into_iter().map(|name| (kind, name)));
    }
    Ok(all)
}

/// The lines of each case of a family.
fn cases(text: &str) -> BTreeMap<&str, String> {
    let mut all = BTreeMap::new();
    let mut name = "";
    for line in text.lines() {
        match line.strip_prefix("== ") {
            Some(next) => name = next,
            None if name.is_empty() => {}
            None => {
                let lines: &mut String = all.entry(name).or_default();
                lines.push_str(line);
                lines.push('\n');
            }
        }
    }
    all
}

/// A signal as the shell's `$?`.
fn as_shell_says(expected: &str) -> String {
    let Some((text, end)) = expected.trim_end().rsplit_once("[signal ") else { return expected.to_owned() };
    let number: u32 = end.trim_end_matches(']').parse().unwrap_or_default();
    format!("{text}[exit {}]\n", 128 + number)
}

struct Report {
    /// The kernel's list, and that of pages; empty where pages are the guest's.
    lists: [String; 2],
    kernel: Kernel,
    same: u32,
    known: u32,
    differing: u32,
}

impl Report {
    fn new(kernel: Kernel) -> Result<Report> {
        let list = |name: &str| fs::read_to_string(guest::tests_dir().join(name)).with_context(|| name.to_owned());
        let pages = if kernel == Kernel::Pages16 { list("pages.txt")? } else { String::new() };
        Ok(Report { lists: [list(kernel.differences())?, pages], kernel, same: 0, known: 0, differing: 0 })
    }

    fn compare(&mut self, name: &str, want: &str, got: &str) {
        let [here, pages] = &self.lists;
        let known = is_listed(here, name);
        // That list names cases without their kind, and is for more than this kernel.
        let of_pages = is_listed(pages, name) || is_listed(pages, &name.replacen("/sys/", "/", 1));
        match demotic_testkit::expect::same(want, got) {
            Ok(()) if known => {
                self.differing += 1;
                println!("{name}: listed in tests/{}, and the same", self.kernel.differences());
            }
            Ok(()) => self.same += 1,
            Err(_) if known || of_pages => self.known += 1,
            Err(difference) => {
                self.differing += 1;
                println!("{name}: {difference}");
            }
        }
    }
}

/// Whether a list has it: `ABI KIND/NAME[/CASE] reason`, a star for either ABI.
fn is_listed(list: &str, name: &str) -> bool {
    let Some((abi, rest)) = name.split_once('/') else { return false };
    list.lines().filter(|line| !line.starts_with('#')).any(|line| {
        let mut words = line.split_whitespace();
        words.next().is_some_and(|a| a == "*" || a == abi) && words.next() == Some(rest)
    })
}
