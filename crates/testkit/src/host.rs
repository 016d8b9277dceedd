//! The hosts Demotic runs on, and how its build for each of them is started on this machine.
//!
//! A build for another processor runs under qemu's user-mode emulator. Guests that execute programs make Demotic execute
//! itself, which such a machine's kernel only can with a binfmt_misc entry; a private user namespace has its own table
//! (Linux 6.7), so the whole command runs in one where that works, and without it otherwise.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::guest::Abi;
use crate::{root, target_dir};

/// A host.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Host {
    /// No Demotic: the guest runs natively. Checks the harness and the expectations; needs an x86-64 machine.
    Native,
    /// Demotic for x86-64.
    X86_64,
    /// Demotic for 64-bit ARM.
    Aarch64,
    /// Demotic for 32-bit ARM.
    Armv7,
}

impl Host {
    /// All of them.
    pub const ALL: [Host; 4] = [Host::Native, Host::X86_64, Host::Aarch64, Host::Armv7];

    /// The name used in test names, file names and `DEMOTIC_HOSTS`.
    pub fn name(self) -> &'static str {
        match self {
            Host::Native => "native",
            Host::X86_64 => "x86_64",
            Host::Aarch64 => "aarch64",
            Host::Armv7 => "armv7",
        }
    }

    /// Whether guests of this ABI run there: a 32-bit host has no room for a 64-bit guest.
    pub fn runs(self, abi: Abi) -> bool {
        self != Host::Armv7 || abi == Abi::I386
    }

    /// The emulator needed to run this host's programs here, and its binfmt_misc entry.
    fn emulator(self) -> Option<(&'static str, &'static str)> {
        const ARM64: &str = r":a64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:";
        const ARM: &str = r":a32:M::\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x28\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:";
        match self {
            Host::Aarch64 if !cfg!(target_arch = "aarch64") => Some(("qemu-aarch64-static", ARM64)),
            Host::Armv7 if !cfg!(target_arch = "arm") => Some(("qemu-arm-static", ARM)),
            _ => None,
        }
    }

    /// The file of the emulator that this host's programs need here.
    pub fn emulator_path(self) -> Option<PathBuf> {
        self.emulator().map(|(name, _)| which(name).unwrap_or_else(|| PathBuf::from("/usr/bin").join(name)))
    }

    /// Whether this host's programs run under an emulator here (and are slow).
    pub fn is_emulated(self) -> bool {
        self.emulator().is_some()
    }

    /// Demotic's program for this host: `DEMOTIC_<HOST>`, else `dist/demotic-<host>` in the target directory.
    pub fn demotic(self) -> PathBuf {
        let variable = format!("DEMOTIC_{}", self.name().to_uppercase());
        std::env::var_os(variable)
            .map_or_else(|| target_dir().join("dist").join(format!("demotic-{}", self.name())), |p| root().join(p))
    }

    /// What makes a binfmt_misc execute this host's programs by its emulator, where it has one.
    pub fn binfmt_entry(self) -> Option<String> {
        self.emulator().map(|(emulator, entry)| binfmt_entry(emulator, entry))
    }

    /// Whether everything needed is there.
    pub fn is_available(self) -> bool {
        if self == Host::Native {
            return cfg!(target_arch = "x86_64");
        }
        self.demotic().is_file() && self.emulator().is_none_or(|(emulator, _)| found(emulator))
    }

    /// A command that runs `program` natively under the same conditions as [`Host::command`] does (in a user namespace, where emulated hosts
    /// are); none where this machine cannot run it.
    pub fn native_command(self, program: &Path) -> Option<Command> {
        if !cfg!(target_arch = "x86_64") {
            return None;
        }
        match self.emulator() {
            Some((emulator, entry)) if own_binfmt(emulator, entry) => {
                let mut command = namespace(emulator, entry);
                command.arg(program);
                Some(command)
            }
            _ => Some(Command::new(program)),
        }
    }

    /// A command that runs `program` as a guest on this host; arguments are added by the caller.
    pub fn command(self, program: &Path) -> Command {
        self.command_with(&[], program)
    }

    /// The same with options for Demotic before the program (ignored natively). `DEMOTIC_ENGINE` chooses the executor (`jit`, `eager` or `interp`),
    /// `DEMOTIC_KEEP` a folder for translations; without it none are kept; `DEMOTIC_CPU` the processor that guests see.
    pub fn command_with(self, options: &[&str], program: &Path) -> Command {
        if self == Host::Native {
            return Command::new(program);
        }
        let demotic = self.demotic();
        let mut command = match self.emulator() {
            None => Command::new(demotic),
            Some((emulator, entry)) if own_binfmt(emulator, entry) => {
                let mut c = namespace(emulator, entry);
                c.arg(demotic);
                c
            }
            Some((emulator, _)) => {
                let mut c = Command::new(emulator);
                c.arg(demotic);
                c
            }
        };
        if let Some(engine) = std::env::var_os("DEMOTIC_ENGINE") {
            command.arg("--engine").arg(engine);
        }
        command.arg("--keep").arg(std::env::var_os("DEMOTIC_KEEP").unwrap_or_else(|| "off".into()));
        if let Some(cpu) = std::env::var_os("DEMOTIC_CPU").filter(|_| !options.contains(&"--cpu")) {
            command.arg("--cpu").arg(cpu);
        }
        command.args(options).arg("--").arg(program);
        command
    }
}

/// The hosts to test: those named in `DEMOTIC_HOSTS` (missing ones are then failures), else those that are there.
pub fn selected() -> Vec<Host> {
    match std::env::var("DEMOTIC_HOSTS") {
        Ok(list) => Host::ALL.into_iter().filter(|h| list.split(',').any(|n| n.trim() == h.name())).collect(),
        Err(_) => Host::ALL.into_iter().filter(|h| *h != Host::Native && h.is_available()).collect(),
    }
}

fn found(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// A command prefix that runs its arguments in a user namespace whose binfmt_misc table has the entry.
fn namespace(emulator: &str, entry: &str) -> Command {
    const SETUP: &str = r#"mount -t binfmt_misc none /proc/sys/fs/binfmt_misc && printf '%s' "$0" > /proc/sys/fs/binfmt_misc/register && exec "$@""#;
    let mut command = Command::new("unshare");
    command.args(["-U", "-r", "-m", "sh", "-c", SETUP]).arg(binfmt_entry(emulator, entry));
    command
}

fn binfmt_entry(emulator: &str, entry: &str) -> String {
    let path = which(emulator).unwrap_or_else(|| PathBuf::from("/usr/bin").join(emulator));
    format!("{entry}{}:POCF", path.display())
}

fn which(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(program)).find(|p| p.is_file())
}

/// Whether such a namespace works here, tried once.
fn own_binfmt(emulator: &str, entry: &str) -> bool {
    static WORKS: OnceLock<bool> = OnceLock::new();
    *WORKS.get_or_init(|| {
        namespace(emulator, entry)
            .arg("true")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    })
}
