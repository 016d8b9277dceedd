//! Entries that come back when the machine starts: a file for systemd-binfmt (binfmt.d(5)), or Debian's update-binfmts(8).

use super::pattern::{Arch, LEN, Pattern, escaped, patterns};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// systemd's file. Files are read in the order of their names, and the entry that is registered last comes first: behind `qemu-i386.conf`.
const SYSTEMD_FILE: &str = "/etc/binfmt.d/zz-demotic.conf";
/// Where the entries were before.
const OLD_SYSTEMD_FILE: &str = "/etc/binfmt.d/demotic.conf";
/// update-binfmts' folder, a file for each name.
const DEBIAN_FOLDER: &str = "/var/lib/binfmts";
/// The package in whose name update-binfmts is called.
const PACKAGE: &str = "demotic";

/// What keeps entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Persistence {
    /// Nothing.
    None,
    /// systemd-binfmt.
    Systemd,
    /// update-binfmts, which registers as well.
    Debian,
}

impl Persistence {
    /// Those that keep something.
    pub const KEEPERS: [Persistence; 2] = [Persistence::Systemd, Persistence::Debian];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Persistence::None => "none",
            Persistence::Systemd => "systemd",
            Persistence::Debian => "debian",
        }
    }

    /// The reverse.
    ///
    /// # Errors
    /// There is no such one.
    pub fn parse(text: &str) -> Result<Persistence> {
        let all = [Persistence::None, Persistence::Systemd, Persistence::Debian];
        all.into_iter().find(|p| p.name() == text).context("--persistent: expected systemd, debian or none")
    }

    /// What this machine has.
    pub fn usual() -> Persistence {
        if Path::new("/run/systemd/system").is_dir() {
            Persistence::Systemd
        } else if update_binfmts().is_some() {
            Persistence::Debian
        } else {
            Persistence::None
        }
    }

    /// What [`Persistence::keep`] does, as one line.
    pub fn describe(self, lines: &[(Pattern, String, String)]) -> String {
        let names: Vec<&str> = lines.iter().map(|l| l.0.name.as_str()).collect();
        match self {
            Persistence::None => String::new(),
            Persistence::Systemd => format!("{} in {SYSTEMD_FILE}", names.join(", ")),
            Persistence::Debian => format!("{} by update-binfmts, which registers them, too", names.join(", ")),
        }
    }

    /// Keeps entries: pattern, interpreter, flags.
    ///
    /// # Errors
    /// What keeps it from being done; nothing is left then.
    pub fn keep(self, lines: &[(Pattern, String, String)]) -> Result<()> {
        match self {
            Persistence::None => Ok(()),
            Persistence::Systemd => {
                let path = Path::new(SYSTEMD_FILE);
                write_file(path, &file(path, lines))?;
                let names: Vec<String> = lines.iter().map(|l| l.0.name.clone()).collect();
                forget_in(Path::new(OLD_SYSTEMD_FILE), &names)
            }
            Persistence::Debian => {
                let program = update_binfmts().context("update-binfmts is missing: apt install binfmt-support")?;
                for (i, (pattern, interpreter, flags)) in lines.iter().enumerate() {
                    let done = run(&program, &debian_arguments(pattern, interpreter, flags));
                    if let Err(error) = done {
                        for (pattern, interpreter, _) in &lines[..i] {
                            let _ = run(&program, &debian_removal(&pattern.name, interpreter));
                        }
                        return Err(error);
                    }
                }
                Ok(())
            }
        }
    }

    /// Whether entries for these are kept.
    pub fn is_kept(self, arches: &[Arch]) -> bool {
        let mut names = arches.iter().flat_map(|a| patterns(*a)).map(|p| p.name);
        match self {
            Persistence::None => false,
            Persistence::Systemd => {
                let text = |path| fs::read_to_string(path).unwrap_or_default();
                let text = text(SYSTEMD_FILE) + &text(OLD_SYSTEMD_FILE);
                names.any(|name| text.contains(&format!(":{name}:")))
            }
            Persistence::Debian => names.any(|name| Path::new(DEBIAN_FOLDER).join(name).exists()),
        }
    }

    /// Keeps entries for these no longer.
    ///
    /// # Errors
    /// What keeps it from being done.
    pub fn forget(self, arches: &[Arch]) -> Result<()> {
        let names: Vec<String> = arches.iter().flat_map(|a| patterns(*a)).map(|p| p.name).collect();
        match self {
            Persistence::None => Ok(()),
            Persistence::Systemd => {
                [SYSTEMD_FILE, OLD_SYSTEMD_FILE].iter().try_for_each(|path| forget_in(Path::new(path), &names))
            }
            Persistence::Debian => {
                let program = update_binfmts().context("update-binfmts is missing")?;
                for name in &names {
                    let Ok(text) = fs::read_to_string(Path::new(DEBIAN_FOLDER).join(name)) else { continue };
                    run(&program, &debian_removal(name, debian_interpreter(&text)))?;
                }
                Ok(())
            }
        }
    }
}

const HEADER: &str = "# Written by `demotic binfmt install`; `demotic binfmt remove` takes it back.\n";

/// The file's text: what it says about other entries stays.
fn file(path: &Path, lines: &[(Pattern, String, String)]) -> String {
    let names: Vec<String> = lines.iter().map(|l| l.0.name.clone()).collect();
    let old = without(&fs::read_to_string(path).unwrap_or_default(), &names);
    let mut text = if old.is_empty() { HEADER.to_owned() } else { old };
    for (pattern, interpreter, flags) in lines {
        text.push_str(&pattern.line(interpreter, flags));
        text.push('\n');
    }
    text
}

/// Takes the lines of these names out of a file, which need not be there.
fn forget_in(path: &Path, names: &[String]) -> Result<()> {
    let Ok(text) = fs::read_to_string(path) else { return Ok(()) };
    let left = without(&text, names);
    if left == text { Ok(()) } else { write_file(path, &left) }
}

/// Without the lines of these names; empty when no entry is left.
fn without(text: &str, names: &[String]) -> String {
    let gone = |line: &&str| !names.iter().any(|n| line.starts_with(&format!(":{n}:")));
    let left: Vec<&str> = text.lines().filter(gone).collect();
    if left.iter().all(|l| l.starts_with('#') || l.trim().is_empty()) {
        return String::new();
    }
    left.iter().flat_map(|l| [*l, "\n"]).collect()
}

/// Replaces a file as a whole; an empty one goes.
fn write_file(path: &Path, text: &str) -> Result<()> {
    let done = || {
        if text.is_empty() {
            return fs::remove_file(path);
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let fresh = path.with_extension("new");
        fs::write(&fresh, text)?;
        fs::rename(&fresh, path).inspect_err(|_| drop(fs::remove_file(&fresh)))
    };
    done().with_context(|| path.display().to_string())
}

fn update_binfmts() -> Option<PathBuf> {
    ["/usr/sbin/update-binfmts", "/sbin/update-binfmts"].map(PathBuf::from).into_iter().find(|p| p.is_file())
}

fn debian_arguments(pattern: &Pattern, interpreter: &str, flags: &str) -> Vec<String> {
    let yes = |flag: char| if flags.contains(flag) { "yes" } else { "no" };
    let (magic, mask): ([u8; LEN], [u8; LEN]) = (pattern.magic, pattern.mask);
    [
        "--package",
        PACKAGE,
        "--install",
        &pattern.name,
        interpreter,
        "--magic",
        &escaped(&magic),
        "--mask",
        &escaped(&mask),
        "--offset",
        "0",
        "--credentials",
        yes('C'),
        "--preserve",
        yes('P'),
        "--fix-binary",
        yes('F'),
    ]
    .map(str::to_owned)
    .to_vec()
}

fn debian_removal(name: &str, interpreter: &str) -> Vec<String> {
    ["--package", PACKAGE, "--remove", name, interpreter].map(str::to_owned).to_vec()
}

/// In update-binfmts' file of a name: package, type, offset, magic, mask, interpreter, a line each.
fn debian_interpreter(text: &str) -> &str {
    text.lines().nth(5).unwrap_or_default()
}

fn run(program: &Path, arguments: &[String]) -> Result<()> {
    let out = Command::new(program).args(arguments).output().with_context(|| program.display().to_string())?;
    if !out.status.success() {
        let text = String::from_utf8_lossy(&out.stderr);
        bail!("{}: {}", program.display(), text.trim().lines().collect::<Vec<_>>().join("; "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_written_and_taken_back() {
        let folder = std::env::temp_dir().join(format!("demotic-binfmt.d-{}", std::process::id()));
        let path = folder.join("etc/demotic.conf");
        let lines = |arch| patterns(arch).map(|p| (p, "/usr/bin/demotic".to_owned(), "POCF".to_owned()));
        write_file(&path, &file(&path, &lines(Arch::I386))).expect("written");
        write_file(&path, &file(&path, &lines(Arch::X86_64))).expect("written");
        // A second time changes nothing.
        write_file(&path, &file(&path, &lines(Arch::X86_64))).expect("written");
        let text = fs::read_to_string(&path).expect("there");
        assert_eq!(text.lines().count(), 5);
        assert!(
            text.starts_with("# ") && text.lines().skip(1).all(|l| l.starts_with(":demotic-") && l.ends_with(":POCF"))
        );
        let names = |arch| patterns(arch).map(|p| p.name);
        forget_in(&path, &names(Arch::I386)).expect("two left");
        let left = fs::read_to_string(&path).expect("there");
        assert!(left.lines().count() == 3 && !left.contains("i386"));
        forget_in(&path, &names(Arch::X86_64)).expect("removed");
        assert!(!path.exists());
        forget_in(&path, &names(Arch::X86_64)).expect("nothing to remove");
        fs::remove_dir_all(folder).expect("ours");
    }

    #[test]
    fn systemd_reads_the_file_behind_those_of_others() {
        let name = |path| Path::new(path).file_name();
        for other in ["qemu-x86_64.conf", "qemu-i386-static.conf", "box64.conf", "FEX-x86_64.conf", "wine.conf"] {
            assert!(name(SYSTEMD_FILE) > name(other));
        }
    }

    #[test]
    fn debian_is_told_the_same() {
        let arguments = debian_arguments(&patterns(Arch::I386)[0], "/usr/bin/demotic", "PF").join(" ");
        assert!(arguments.starts_with("--package demotic --install demotic-i386 /usr/bin/demotic --magic \\x7f\\x45"));
        assert!(arguments.ends_with("--credentials no --preserve yes --fix-binary yes"));
        let file = "demotic\nmagic\n0\n\\x7f\n\\xff\n/usr/bin/demotic\n\nyes\nyes\nyes\n";
        assert_eq!(
            debian_removal("demotic-i386", debian_interpreter(file)).join(" "),
            "--package demotic --remove demotic-i386 /usr/bin/demotic"
        );
    }
}
