//! Nothing a guest does makes Demotic itself fail: random ELF files, random instructions, random system calls, with fixed
//! seeds. A guest may die of any signal; Demotic may not panic, abort or hang.
//!
//! The guests run where they can do no harm, and no root rights outlive: in fresh user, mount, process, network, IPC and
//! host-name namespaces, confined to an empty directory. A trial starts this very program again inside (`DEMOTIC_FUZZ_BATCH`), which
//! makes the cases and judges them. Where namespaces are not permitted the trials are shown as ignored.
//!
//! How a hang is told from a guest that runs in circles: it is asked to end (SIGTERM) and must do so.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use demotic_testkit::guest::{self, Abi};
use demotic_testkit::host::{self, Host};
use demotic_testkit::rng::Rng;
use demotic_testkit::run::{Outcome, run};
use demotic_tests::trial;
use libtest_mimic::Arguments;

/// The variable that makes this program run one batch: `kind,abi,seed,count,emulated`.
const BATCH: &str = "DEMOTIC_FUZZ_BATCH";
/// The directory the guests are confined to, for the batch.
const ROOM: &str = "DEMOTIC_FUZZ_ROOM";

fn main() -> anyhow::Result<()> {
    if let Ok(batch) = std::env::var(BATCH) {
        if let Err(e) = run_batch(&batch) {
            println!("{e}");
            std::process::exit(1);
        }
        return Ok(());
    }
    let arguments = Arguments::from_args();
    let permitted = namespaces().arg("true").stderr(Stdio::null()).status().is_ok_and(|s| s.success());
    let mut trials = Vec::new();
    for host in host::selected() {
        for abi in Abi::ALL.into_iter().filter(|abi| host.runs(*abi)) {
            for (kind, total) in [("elf", 10_000), ("instructions", 10_000), ("calls", 10_000)] {
                // Emulated hosts are 50 times slower: a sample.
                let (total, batches) = if host.is_emulated() { (total / 40, 1) } else { (total / 2, 5) };
                for batch in 0..batches {
                    let count = total / batches;
                    let name = format!("fuzz/{kind}");
                    trials.push(trial(host, abi, &name, &batch.to_string(), !permitted, move || {
                        in_namespaces(host, abi, kind, batch, count)
                    }));
                }
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit()
}

/// A command prefix: its arguments run in namespaces of their own, and everything there ends with them.
fn namespaces() -> Command {
    let mut command = Command::new("unshare");
    command.args(["-U", "-r", "-m", "-p", "-f", "-n", "-i", "-u", "--kill-child"]);
    command
}

fn in_namespaces(host: Host, abi: Abi, kind: &str, batch: u64, count: u64) -> Result<(), String> {
    let room = std::env::temp_dir().join(format!(
        "demotic-fuzz-{}-{}-{}-{kind}-{batch}",
        std::process::id(),
        host.name(),
        abi.name()
    ));
    let copy =
        |from: &Path, name: &str| fs::copy(from, room.join(name)).map_err(|e| format!("{}: {e}", from.display()));
    fs::create_dir_all(room.join("dev")).map_err(|e| e.to_string())?;
    if host == Host::Native {
        // Nothing to copy: the guest is the program.
    } else {
        copy(&host.demotic(), "demotic")?;
    }
    let emulator = host.emulator_path();
    if let Some(path) = &emulator {
        copy(path, "emulator")?;
    }
    let prefix = match (host, emulator.is_some()) {
        (Host::Native, _) => "",
        (_, false) => "/demotic --",
        (_, true) => "/emulator /demotic --",
    };
    let mut command = namespaces();
    command
        .arg(std::env::current_exe().map_err(|e| e.to_string())?)
        .env(BATCH, format!("{kind},{},{batch},{count},{prefix}", abi.name()))
        .env(ROOM, &room);
    let outcome = run(command, b"", Duration::from_secs(1200)).map_err(|e| format!("{e:#}"));
    fs::remove_dir_all(&room).ok();
    let outcome = outcome?;
    if outcome.status.is_some_and(|s| s.success()) {
        return Ok(());
    }
    Err(format!("{}\n{}\n{}", outcome.ending(), String::from_utf8_lossy(&outcome.stdout), outcome.complaint()))
}

// ---- inside

/// One batch inside its namespaces.
fn run_batch(batch: &str) -> Result<(), String> {
    let fields: Vec<&str> = batch.splitn(5, ',').collect();
    let [kind, abi, number, count, prefix] = fields[..] else { return Err(format!("batch {batch:?}")) };
    let abi = Abi::ALL.into_iter().find(|a| a.name() == abi).ok_or("an ABI")?;
    let (number, count): (u64, u64) = (number.parse().map_err(|_| "a number")?, count.parse().map_err(|_| "a number")?);
    let room = PathBuf::from(std::env::var_os(ROOM).ok_or("a room")?);
    let seed = number * 1000 + kind.len() as u64 * 7 + u64::from(abi == Abi::I386);
    let mut rng = Rng(seed);
    let mut batch = Batch {
        room,
        prefix: prefix.split_whitespace().map(str::to_owned).collect(),
        failures: Vec::new(),
        cases: 0,
        silent: kind == "calls",
    };
    batch.control(abi)?;
    match kind {
        "elf" => {
            for case in 0..count {
                let file = random_elf(abi, &mut rng);
                if batch.prefix.len() > 2 && asks_for_terabytes(abi, &file) {
                    continue;
                }
                batch.case(&format!("file {case}"), &file, b"")?;
            }
        }
        "instructions" => {
            // A start every 32 bytes; few a process, since some (a changed protection key, say) end it natively too.
            let program = fs::read(guest::prebuilt(abi, "snippets")).map_err(|e| e.to_string())?;
            let mut left = count;
            while left > 0 {
                let now = left.min(50);
                let code: Vec<u8> = (0..now).flat_map(|_| random_code(&mut rng)).collect();
                batch.case(&format!("snippets {left} to the end"), &program, &code)?;
                left -= now;
            }
        }
        _ => {
            let program = fs::read(guest::prebuilt(abi, "calls")).map_err(|e| e.to_string())?;
            let mut left = count;
            while left > 0 {
                let now = left.min(50);
                let records: Vec<u8> = (0..now).flat_map(|_| random_call(abi, &mut rng)).collect();
                batch.case(&format!("calls {left} to the end"), &program, &records)?;
                left -= now;
            }
        }
    }
    if batch.failures.is_empty() {
        println!("{} cases", batch.cases);
        return Ok(());
    }
    Err(format!("{} of {} cases fail (seed {seed}):\n{}", batch.failures.len(), batch.cases, batch.failures.join("\n")))
}

struct Batch {
    room: PathBuf,
    prefix: Vec<String>,
    failures: Vec<String>,
    cases: u64,
    /// Standard error may have been closed by the guest.
    silent: bool,
}

impl Batch {
    /// A sound program runs in here: otherwise nothing that follows would say anything.
    fn control(&mut self, abi: Abi) -> Result<(), String> {
        let file = fs::read(guest::prebuilt(abi, "hello")).map_err(|e| e.to_string())?;
        let outcome = self.run(&file, b"")?;
        if outcome.transcript() != "hello, world\n[exit 0]\n" {
            return Err(format!("even hello fails: {}\n{}", outcome.transcript(), outcome.complaint()));
        }
        Ok(())
    }

    /// Runs `file` as the guest and judges what Demotic did.
    fn case(&mut self, what: &str, file: &[u8], stdin: &[u8]) -> Result<(), String> {
        self.cases += 1;
        let outcome = self.run(file, stdin)?;
        if let Some(fault) = self.judge(&outcome) {
            let kept = std::env::temp_dir().join(format!(
                "demotic-fuzz-failure-{}-{}",
                std::process::id(),
                self.failures.len()
            ));
            fs::write(kept.with_extension("elf"), file).ok();
            fs::write(kept.with_extension("stdin"), stdin).ok();
            self.failures.push(format!("{what}: {fault} (kept in {}.elf, .stdin)", kept.display()));
        }
        Ok(())
    }

    /// What Demotic did wrong, if anything.
    fn judge(&self, outcome: &Outcome) -> Option<String> {
        let fault = |what: &str| Some(format!("{what}: {}\n{}", outcome.ending(), outcome.complaint()));
        let Some(status) = outcome.status else { return fault("it hangs") };
        if outcome.translator_failed() {
            return fault("Demotic fails");
        }
        // Demotic says in a line when the guest dies of a signal it caused; without one, Demotic itself died. (A guest
        // making random calls may have closed standard error.)
        let deadly = status.signal().is_some_and(|s| [4, 5, 6, 7, 8, 11, 31].contains(&s));
        if deadly
            && !self.prefix.is_empty()
            && !self.silent
            && !String::from_utf8_lossy(&outcome.stderr).contains("demotic:")
        {
            return fault("Demotic dies without a word");
        }
        None
    }

    fn run(&self, file: &[u8], stdin: &[u8]) -> Result<Outcome, String> {
        let guest = self.room.join("guest");
        // Written afresh: a guest may have removed or changed it.
        fs::remove_file(&guest).ok();
        fs::write(&guest, file).map_err(|e| e.to_string())?;
        fs::set_permissions(&guest, std::os::unix::fs::PermissionsExt::from_mode(0o755)).map_err(|e| e.to_string())?;
        // `timeout` sends SIGTERM after five seconds: a guest in a loop ends then. What is still there after the limit hangs.
        let mut command = Command::new("timeout");
        command.args(["-s", "TERM", "5"]).arg("chroot").arg(&self.room).args(&self.prefix).arg("/guest");
        run(command, stdin, Duration::from_secs(60)).map_err(|e| format!("{e:#}"))
    }
}

/// An ELF file with something wrong with it, or none at all.
fn random_elf(abi: Abi, rng: &mut Rng) -> Vec<u8> {
    let names = ["hello", "args", "signal", "segv_read"];
    let mut file = fs::read(guest::prebuilt(abi, rng.pick(&names))).unwrap_or_default();
    let headers = if abi == Abi::I386 { 52 + 32 * 4 } else { 64 + 56 * 4 };
    let odd: [u64; 10] = [0, 1, 0xFFF, 0x1000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 47, u64::MAX, 0x40_0000];
    match rng.below(10) {
        // Anything at all.
        0 => {
            let n = rng.below(400) as usize;
            file = rng.bytes(n);
        }
        // The right beginning, then anything.
        1 => {
            let n = rng.below(600) as usize;
            file.truncate(18);
            file.extend(rng.bytes(n));
        }
        // Cut short.
        2 => file.truncate(rng.below(file.len() as u64 + 1) as usize),
        // Bytes of the code changed.
        3 => {
            for _ in 0..1 + rng.below(8) {
                let at = rng.below(file.len() as u64) as usize;
                file[at] = rng.next() as u8;
            }
        }
        // Words of the headers replaced by odd values.
        4..=6 => {
            for _ in 0..1 + rng.below(3) {
                let size = rng.pick(&[2usize, 4, 8]);
                let at = 16 + rng.below((headers - 16 - size) as u64) as usize / size * size;
                let value = rng.pick(&odd).wrapping_add(rng.below(3)).to_le_bytes();
                if at + size <= file.len() {
                    file[at..at + size].copy_from_slice(&value[..size]);
                }
            }
        }
        // Bytes of the headers changed.
        7 | 8 => {
            for _ in 0..1 + rng.below(4) {
                let at = rng.below(headers as u64).min(file.len() as u64 - 1) as usize;
                file[at] = rng.next() as u8;
            }
        }
        // Bits flipped anywhere.
        _ => {
            for _ in 0..1 + rng.below(20) {
                let at = rng.below(file.len() as u64) as usize;
                file[at] ^= 1 << rng.below(8);
            }
        }
    }
    file
}

/// Whether a 64-bit file has program headers with addresses or sizes beyond 4 GiB. The emulator walks its page tables for
/// every page of such a mapping, for minutes; on a real kernel it costs nothing, and the x86-64 host has these cases.
fn asks_for_terabytes(abi: Abi, file: &[u8]) -> bool {
    let high_words = file
        .get(64..)
        .unwrap_or_default()
        .chunks_exact(56)
        .take(file.get(56).map_or(0, |count| usize::from(*count)))
        .flat_map(|header| header[16..48].chunks_exact(8));
    abi == Abi::X86_64 && high_words.into_iter().any(|word| word[4..].iter().any(|byte| *byte != 0))
}

/// 32 bytes of code: random, or prefixes and opcodes of every map in front of random operands.
fn random_code(rng: &mut Rng) -> Vec<u8> {
    let mut code = Vec::new();
    while code.len() < 32 {
        for _ in 0..rng.below(3) {
            code.push(rng.pick(&[0x66, 0xF2, 0xF3, 0x48, 0x41, 0x4C, 0x67, 0xF0, 0x64, 0x2E]));
        }
        match rng.below(8) {
            0..=2 => code.push(rng.next() as u8),
            3 | 4 => code.extend([0x0F, rng.next() as u8]),
            5 => code.extend([0x0F, rng.pick(&[0x38, 0x3A]), rng.next() as u8]),
            6 => code.extend([rng.pick(&[0xC4, 0xC5, 0x62]), rng.next() as u8, rng.next() as u8, rng.next() as u8]),
            _ => code.push(0xD8 + rng.below(8) as u8),
        }
        let operands = rng.below(7) as usize;
        code.extend(rng.bytes(operands));
    }
    code.truncate(32);
    // Where it falls through, a breakpoint ends it.
    code[31] = 0xCC;
    code
}

/// A record for the `calls` guest: number and six arguments.
fn random_call(abi: Abi, rng: &mut Rng) -> Vec<u8> {
    // Left out: what ends, stops or leaves the process by design (exit, kill and its kin, pause, ptrace, vfork and clone, which
    // multiply it), what takes the guest's own tick away (signal actions, masks, returns, timers), limits that would make
    // any program fail (setrlimit), and seccomp, which kills by design.
    let skip: &[u64] = match abi {
        Abi::X86_64 => &[
            13, 14, 15, 34, 37, 38, 56, 57, 58, 60, 62, 101, 128, 129, 130, 157, 160, 169, 200, 231, 234, 297, 302,
            317, 424, 425, 426, 427, 435, 222, 223,
        ],
        Abi::I386 => &[
            1, 2, 26, 27, 29, 37, 48, 67, 68, 69, 72, 75, 88, 104, 119, 120, 126, 172, 173, 174, 175, 177, 178, 179,
            190, 238, 252, 259, 260, 270, 335, 340, 354, 421, 424, 425, 426, 427, 435,
        ],
    };
    let number = loop {
        let n = if rng.below(20) == 0 { rng.next() & 0xFFFF } else { rng.below(470) };
        if !skip.contains(&n) {
            break n;
        }
    };
    let mut out = Vec::new();
    let mut put = |v: u64| match abi {
        Abi::X86_64 => out.extend(v.to_le_bytes()),
        Abi::I386 => out.extend((v as u32).to_le_bytes()),
    };
    put(number);
    for _ in 0..6 {
        put(match rng.below(10) {
            0 | 1 => rng.below(8),
            2 => rng.next() & 0xFFFF,
            // Near its end the page's neighbour may be missing.
            3 | 4 => 0xB0FF_E000 + rng.pick(&[0, 8, 64, 0xFF0, 0xFFF]),
            5 => u64::MAX - rng.below(4096),
            6 => 1 << rng.below(64),
            7 => rng.next(),
            8 => 0x40_0000 + rng.below(0x10000),
            _ => 0,
        });
    }
    out
}
