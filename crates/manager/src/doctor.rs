//! `demotic-manage doctor`: facts about the machine that decide whether and how well guests run.

use std::fs;
use std::process::ExitCode;

/// How a fact bears on running guests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Fine,
    Limited,
    Bad,
}

struct Fact {
    verdict: Verdict,
    text: String,
}

fn fact(verdict: Verdict, text: String) -> Fact {
    Fact { verdict, text }
}

/// Prints all facts; fails when one of them keeps guests from running.
pub fn run() -> ExitCode {
    let facts = [architecture(), page_size(), low_addresses(), binfmt()];
    for f in &facts {
        let mark = match f.verdict {
            Verdict::Fine => "ok      ",
            Verdict::Limited => "limited ",
            Verdict::Bad => "bad     ",
        };
        println!("{mark}{}", f.text);
    }
    if facts.iter().any(|f| f.verdict == Verdict::Bad) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn architecture() -> Fact {
    let machine = rustix::system::uname().machine().to_string_lossy().into_owned();
    let text = format!("processor: {machine}");
    match std::env::consts::ARCH {
        "aarch64" | "x86_64" => fact(Verdict::Fine, format!("{text}; i386 and x86-64 programs")),
        "arm" => fact(Verdict::Limited, format!("{text}; i386 programs only: x86-64 ones need a 64-bit Demotic")),
        _ => fact(Verdict::Bad, format!("{text}: not a host of Demotic")),
    }
}

fn page_size() -> Fact {
    let n = rustix::param::page_size();
    let text = format!("page size: {} KiB", n / 1024);
    if n == 4096 {
        return fact(Verdict::Fine, text);
    }
    fact(
        Verdict::Limited,
        format!("{text}; guests have 4 KiB pages, and mappings finer than the host's are not exact yet"),
    )
}

/// Old non-PIE i386 programs stand at 0x8048000, and some map page 0x10000.
fn low_addresses() -> Fact {
    let path = "/proc/sys/vm/mmap_min_addr";
    let Some(n) = fs::read_to_string(path).ok().and_then(|s| s.trim().parse::<u64>().ok()) else {
        return fact(Verdict::Limited, format!("lowest address: unknown ({path} cannot be read)"));
    };
    let verdict = match n {
        0..=0x10000 => Verdict::Fine,
        0x10001..=0x0804_8000 => Verdict::Limited,
        _ => Verdict::Bad,
    };
    fact(verdict, format!("lowest address that can be mapped: {n:#x}"))
}

fn binfmt() -> Fact {
    let entries = fs::read_dir("/proc/sys/fs/binfmt_misc").map_or(0, |d| d.count());
    match entries {
        0 => fact(Verdict::Limited, "binfmt_misc: not mounted; programs are started as `demotic ./prog`".into()),
        n => fact(Verdict::Fine, format!("binfmt_misc: mounted, {} entries", n.saturating_sub(2))),
    }
}
