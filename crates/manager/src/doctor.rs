//! `demotic doctor`: facts about the machine that decide whether and how well guests run, and what to do about them.

use crate::binfmt::pattern::Arch;
use crate::binfmt::runner::{self, Runner};
use crate::binfmt::{relevant, table};
use crate::namespace::{self, Mapping, on_path};
use crate::settings;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// The first argument of the process that tries a namespace.
pub const TRY: &str = "--try-namespace";

/// How a fact bears on running guests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Fine,
    Limited,
    Bad,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Verdict::Fine => "ok",
            Verdict::Limited => "limited",
            Verdict::Bad => "bad",
        }
    }
}

#[derive(Clone, Debug)]
struct Fact {
    verdict: Verdict,
    /// What it is about.
    about: &'static str,
    text: String,
    /// What to do.
    advice: Option<String>,
}

fn fine(about: &'static str, text: impl Into<String>) -> Fact {
    Fact { verdict: Verdict::Fine, about, text: text.into(), advice: None }
}

fn fact(verdict: Verdict, about: &'static str, text: impl Into<String>, advice: &str) -> Fact {
    Fact { verdict, about, text: text.into(), advice: (!advice.is_empty()).then(|| advice.to_owned()) }
}

/// Prints all facts; fails when one of them keeps guests from running.
pub fn run(as_json: bool) -> ExitCode {
    let mut facts = vec![architecture(), kernel(), page_size(), address_bits(), low_addresses(), program()];
    facts.extend(Arch::ALL.map(entries));
    facts.extend([namespaces(), ids(), tools(), configuration()]);
    if as_json {
        let list: Vec<_> = facts
            .iter()
            .map(|f| serde_json::json!({ "about": f.about, "verdict": f.verdict.name(), "text": f.text, "advice": f.advice }))
            .collect();
        println!("{}", serde_json::Value::from(list));
    } else {
        for f in &facts {
            println!("{:<8}{}: {}", f.verdict.name(), f.about, f.text);
            if let Some(advice) = &f.advice {
                println!("        -> {advice}");
            }
        }
    }
    if facts.iter().any(|f| f.verdict == Verdict::Bad) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn architecture() -> Fact {
    let machine = rustix::system::uname().machine().to_string_lossy().into_owned();
    match std::env::consts::ARCH {
        "aarch64" | "x86_64" => fine("processor", format!("{machine}; i386 and x86-64 programs")),
        "arm" => {
            let text = format!("{machine}; i386 programs only");
            fact(Verdict::Limited, "processor", text, "x86-64 programs need a 64-bit kernel and a 64-bit Demotic")
        }
        _ => fact(Verdict::Bad, "processor", format!("{machine}: not a host of Demotic"), ""),
    }
}

fn kernel() -> Fact {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let (verdict, advice) = match table::kernel_version() {
        v if v < (4, 8) => {
            (Verdict::Limited, "before Linux 4.8 binfmt_misc has no flag F: Demotic must be in each chroot")
        }
        v if v < (5, 12) => {
            (Verdict::Limited, "before Linux 5.12 programs started by binfmt_misc see their path as argv[0]")
        }
        v if v < (6, 7) => (
            Verdict::Fine,
            "before Linux 6.7 a shell has no binfmt_misc of its own; Demotic starts what programs inside execute",
        ),
        _ => (Verdict::Fine, ""),
    };
    fact(verdict, "kernel", release, advice)
}

fn page_size() -> Fact {
    let n = rustix::param::page_size();
    let text = format!("{} KiB", n / 1024);
    if n == 4096 {
        return fine("page size", text);
    }
    fact(
        Verdict::Fine,
        "page size",
        text,
        "programs for x86 have pages of 4 KiB: guard pages inside a page of the host do not work; with a kernel of 4 KiB they do (on a Raspberry Pi 5: kernel=kernel8.img in config.txt)",
    )
}

/// The highest mapped address of this process is near the end of what user space has.
fn address_bits() -> Fact {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let ends = maps.lines().filter(|l| !l.contains("[vsyscall]")).filter_map(|line| {
        let range = line.split(' ').next()?;
        u64::from_str_radix(range.split('-').nth(1)?, 16).ok()
    });
    let bits = 64 - ends.max().unwrap_or(0).saturating_sub(1).leading_zeros();
    let text = format!("{bits} bits for programs");
    match bits {
        47.. => fine("addresses", text),
        _ if cfg!(target_pointer_width = "32") => fine("addresses", text),
        0 => fact(Verdict::Limited, "addresses", "unknown: /proc/self/maps cannot be read", "mount /proc"),
        _ => fact(
            Verdict::Limited,
            "addresses",
            text,
            "x86-64 programs that expect 47 bits (some garbage collectors) fail: a kernel with CONFIG_ARM64_VA_BITS_48",
        ),
    }
}

/// Old non-PIE i386 programs stand at 0x8048000, and some map page 0x10000.
fn low_addresses() -> Fact {
    let path = "/proc/sys/vm/mmap_min_addr";
    let Some(n) = fs::read_to_string(path).ok().and_then(|s| s.trim().parse::<u64>().ok()) else {
        return fact(Verdict::Limited, "lowest address", format!("unknown: {path} cannot be read"), "mount /proc");
    };
    let verdict = match n {
        0..=0x10000 => Verdict::Fine,
        0x10001..=0x0804_8000 => Verdict::Limited,
        _ => Verdict::Bad,
    };
    let advice = if verdict == Verdict::Fine { "" } else { "as root: sysctl vm.mmap_min_addr=65536" };
    fact(verdict, "lowest address", format!("{n:#x}"), advice)
}

fn program() -> Fact {
    match Runner::find(None) {
        Err(error) => {
            fact(Verdict::Bad, "demotic", format!("{error:#}"), "install demotic and demotic-manage into one folder")
        }
        Ok(Runner { path, needs: Some(loader), .. }) => {
            let text = format!("{path}, linked dynamically");
            fact(
                Verdict::Limited,
                "demotic",
                text,
                &format!("it needs {loader}: chroots and shells need a static build (cargo xtask dist)"),
            )
        }
        Ok(runner) => fine("demotic", runner.path),
    }
}

fn entries(arch: Arch) -> Fact {
    let about = match arch {
        Arch::I386 => "i386 programs by name",
        Arch::X86_64 => "x86-64 programs by name",
    };
    if runner::is_native(arch) {
        return fine(about, "this machine runs them itself; `demotic PROGRAM` and `demotic shell` use Demotic");
    }
    if cfg!(target_arch = "arm") && arch == Arch::X86_64 {
        return fine(about, "not on this machine");
    }
    let install = "as root: demotic binfmt install";
    if !table::is_mounted() {
        return fact(
            Verdict::Limited,
            about,
            "binfmt_misc is not mounted; they are started as `demotic ./prog`",
            install,
        );
    }
    if !table::is_switched_on() {
        let text = "binfmt_misc is switched off as a whole";
        return fact(Verdict::Limited, about, text, &format!("as root: echo 1 > {}/status", table::PLACE));
    }
    let found: Vec<_> = relevant().into_iter().filter(|(e, arches)| e.is_enabled && arches.contains(&arch)).collect();
    let Some((entry, _)) = found.iter().find(|(e, _)| e.name.starts_with("demotic-")).or(found.first()) else {
        return fact(Verdict::Limited, about, "no entry in binfmt_misc; they are started as `demotic ./prog`", install);
    };
    let text = format!("{} ({}, flags {})", entry.name, entry.interpreter, entry.flags);
    if !entry.flags.contains('F') && !Path::new(&entry.interpreter).is_file() {
        return fact(Verdict::Limited, about, format!("{text}: its program is missing"), install);
    }
    if !entry.name.starts_with("demotic-") {
        return fact(Verdict::Limited, about, format!("another emulator: {text}"), &format!("{install} --override"));
    }
    if !entry.flags.contains('F') {
        return fact(
            Verdict::Limited,
            about,
            text,
            "without the flag F chroots and containers need Demotic inside: install it again",
        );
    }
    fine(about, text)
}

/// Whether namespaces are allowed is seen by trying.
fn namespaces() -> Fact {
    let about = "user namespaces";
    let tried = Command::new("/proc/self/exe").arg(TRY).stdin(Stdio::null()).output();
    match tried {
        Ok(out) if out.status.success() => fine(about, String::from_utf8_lossy(&out.stdout).trim()),
        Ok(out) => {
            let text = String::from_utf8_lossy(&out.stderr).trim().trim_start_matches("demotic: ").to_owned();
            fact(Verdict::Limited, about, text, "`demotic shell` and `demotic root` need them")
        }
        Err(error) => fact(Verdict::Limited, about, error.to_string(), "mount /proc"),
    }
}

/// Enters a namespace and says what works there.
///
/// # Errors
/// It cannot be entered.
pub fn try_namespace() -> anyhow::Result<()> {
    namespace::enter(&Mapping::Single(String::new()))?;
    let own = table::Table::open().is_ok();
    println!(
        "{}",
        if own {
            "allowed, with a binfmt_misc of their own"
        } else {
            "allowed; Demotic starts what programs inside execute"
        }
    );
    Ok(())
}

fn ids() -> Fact {
    let about = "users in roots";
    match Mapping::possible() {
        Mapping::Same => fine(about, "this is root"),
        Mapping::Ranges((first, count), _) => fine(about, format!("{count} from {first} on (/etc/subuid)")),
        Mapping::Single(why) => fact(Verdict::Limited, about, "one only, changing owners fails", &why),
    }
}

fn tools() -> Fact {
    let about = "root create";
    let advice = "apt install mmdebstrap";
    match (on_path("mmdebstrap"), on_path("debootstrap")) {
        (true, _) => fine(about, "by mmdebstrap"),
        (false, true) => fact(Verdict::Limited, about, "by debootstrap, which wants to be root", advice),
        _ => fact(Verdict::Limited, about, "neither mmdebstrap nor debootstrap is installed", advice),
    }
}

fn configuration() -> Fact {
    let about = "configuration";
    let files = settings::files();
    let faults: usize = files.iter().map(|f| settings::faults(f).len()).sum();
    let names: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
    match (files.is_empty(), faults) {
        (true, _) => fine(about, "no file"),
        (_, 0) => fine(about, names.join(", ")),
        (_, n) => {
            fact(Verdict::Limited, about, format!("{n} lines are wrong in {}", names.join(", ")), "demotic config")
        }
    }
}
