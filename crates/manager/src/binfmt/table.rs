//! The kernel's binfmt_misc table: finding or mounting it, reading and changing entries (Documentation/admin-guide/binfmt-misc.rst).
//!
//! The initial user namespace has one, and from Linux 6.7 each other user namespace may have its own, which hides the one outside as a whole. What is
//! mounted at the usual place inside a namespace may still be the machine's: in a namespace nothing is written before its own was mounted.
//! Mounting it again where it is already is refused as such (EBUSY), which is how to find out what is there.

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

/// Where it is mounted.
pub const PLACE: &str = "/proc/sys/fs/binfmt_misc";
/// The inode of the initial user namespace in nsfs (PROC_USER_INIT_INO, linux/proc_ns.h).
const INITIAL_USER: u64 = 0xeffffffd;

const NO_MODULE: &str = "the kernel has no binfmt_misc: load the module as root (modprobe binfmt_misc); if there is none, \
                         the kernel was built without CONFIG_BINFMT_MISC";

/// An entry that is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Whether it counts.
    pub is_enabled: bool,
    /// The program.
    pub interpreter: String,
    /// Flags, a letter each.
    pub flags: String,
    /// Where in the file its bytes are.
    pub offset: usize,
    /// The bytes; empty for an entry that goes by file name.
    pub magic: Vec<u8>,
    /// The bits that are compared; empty: all.
    pub mask: Vec<u8>,
}

/// Whether this process is in the initial user namespace.
pub fn is_initial() -> bool {
    fs::metadata("/proc/self/ns/user").is_ok_and(|m| m.ino() == INITIAL_USER)
}

/// The release of the running kernel as two numbers.
pub fn kernel_version() -> (u32, u32) {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Whether the table of somebody can be read at the usual place.
pub fn is_mounted() -> bool {
    Path::new(PLACE).join("status").exists()
}

/// The table, to be changed.
#[derive(Debug)]
pub struct Table {
    /// It was mounted by us, and is unmounted when nothing comes of it.
    mounted_here: bool,
}

impl Table {
    /// Finds this namespace's table, mounts it if need be.
    ///
    /// # Errors
    /// Which of module, mount, rights or kernel is missing, and what to do.
    pub fn open() -> Result<Table> {
        let mut table = Table { mounted_here: false };
        if !is_initial() {
            table.mount_own()?;
        } else if !is_mounted() {
            let mut mounted = mount();
            if matches!(mounted, Err(Errno::NODEV | Errno::NOENT)) {
                let _ = Command::new("modprobe").arg("binfmt_misc").status();
                mounted = mount();
            }
            mounted.map_err(|e| match e {
                Errno::PERM | Errno::ACCESS => {
                    anyhow::anyhow!("binfmt_misc is not mounted, and mounting it needs root: sudo demotic binfmt ...")
                }
                Errno::NODEV | Errno::NOENT => anyhow::anyhow!("{NO_MODULE}"),
                e => anyhow::anyhow!("binfmt_misc cannot be mounted at {PLACE}: {e}"),
            })?;
            table.mounted_here = true;
        }
        match fs::OpenOptions::new().write(true).open(Path::new(PLACE).join("register")) {
            Ok(_) => Ok(table),
            Err(e) => {
                table.undo();
                Err(match e.raw_os_error().map(Errno::from_raw_os_error) {
                    Some(Errno::ROFS) => anyhow::anyhow!(
                        "{PLACE} is mounted read-only, as in a container: install it on the machine outside; with the flag F it works in the container, too"
                    ),
                    Some(Errno::ACCESS | Errno::PERM) => anyhow::anyhow!(
                        "entries for the whole machine need root: sudo demotic binfmt ... (`demotic shell` does without)"
                    ),
                    _ => anyhow::Error::new(e).context(format!("{PLACE}/register")),
                })
            }
        }
    }

    /// Mounts the namespace's own table unless it is there already.
    fn mount_own(&mut self) -> Result<()> {
        match mount() {
            Ok(()) => {}
            // The kernel refuses the same file system on the same place: it is there.
            Err(Errno::BUSY) => return Ok(()),
            Err(Errno::PERM) if kernel_version() < (6, 7) => {
                bail!("user namespaces have a binfmt_misc of their own from Linux 6.7 on: install it outside, as root");
            }
            Err(Errno::PERM | Errno::ACCESS) => {
                bail!(
                    "no right to mount this user namespace's own binfmt_misc: that needs its root and a mount namespace (unshare -U -r -m)"
                );
            }
            Err(Errno::NODEV | Errno::NOENT) => bail!("{NO_MODULE}"),
            Err(e) => bail!("this user namespace's own binfmt_misc cannot be mounted: {e}"),
        }
        self.mounted_here = true;
        Ok(())
    }

    /// Unmounts what was mounted here.
    pub fn undo(&mut self) {
        if std::mem::take(&mut self.mounted_here) {
            let _ = rustix::mount::unmount(PLACE, UnmountFlags::DETACH);
        }
    }

    /// Registers an entry by its line.
    ///
    /// # Errors
    /// What the kernel says, in words.
    pub fn register(&self, line: &str) -> Result<()> {
        match write("register", line) {
            Ok(()) => Ok(()),
            Err(e) => Err(match e.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::INVAL) => anyhow::anyhow!("the kernel does not take this entry: {line}"),
                Some(Errno::EXIST) => anyhow::anyhow!("there is an entry of that name: {line}"),
                Some(Errno::NOENT | Errno::ACCESS | Errno::NOEXEC) => {
                    anyhow::anyhow!("the interpreter cannot be opened ({e}): {line}")
                }
                _ => anyhow::Error::new(e).context(line.to_owned()),
            }),
        }
    }

    /// Removes an entry.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn remove(&self, name: &str) -> Result<()> {
        write(name, "-1").with_context(|| format!("{PLACE}/{name}"))
    }
}

fn mount() -> Result<(), Errno> {
    rustix::mount::mount("binfmt_misc", PLACE, "binfmt_misc", MountFlags::empty(), None)
}

fn write(file: &str, text: &str) -> io::Result<()> {
    // One write: an entry must come as a whole.
    fs::OpenOptions::new().write(true).open(Path::new(PLACE).join(file))?.write_all(text.as_bytes())
}

/// Whether the table as a whole is switched on.
pub fn is_switched_on() -> bool {
    fs::read_to_string(Path::new(PLACE).join("status")).is_ok_and(|s| s.trim() == "enabled")
}

/// All entries at the usual place, by name; none where nothing is mounted.
pub fn entries() -> Vec<Entry> {
    let Ok(list) = fs::read_dir(PLACE) else { return Vec::new() };
    let mut entries: Vec<Entry> = list
        .flatten()
        .filter(|f| f.file_name() != "register" && f.file_name() != "status")
        .filter_map(|f| Some(parse(&f.file_name().to_string_lossy(), &fs::read_to_string(f.path()).ok()?)))
        .collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries
}

/// An entry's text (bm_entry_read, fs/binfmt_misc.c).
fn parse(name: &str, text: &str) -> Entry {
    let mut entry = Entry {
        name: name.to_owned(),
        is_enabled: false,
        interpreter: String::new(),
        flags: String::new(),
        offset: 0,
        magic: Vec::new(),
        mask: Vec::new(),
    };
    for line in text.lines() {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        match key {
            "enabled" => entry.is_enabled = true,
            "interpreter" => value.clone_into(&mut entry.interpreter),
            "flags:" => value.trim().clone_into(&mut entry.flags),
            "offset" => entry.offset = value.trim().parse().unwrap_or(0),
            "magic" => entry.magic = hex(value),
            "mask" => entry.mask = hex(value),
            _ => {}
        }
    }
    entry
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.trim().bytes().filter_map(|b| Some(char::from(b).to_digit(16)? as u8)).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read() {
        let text =
            "enabled\ninterpreter /usr/bin/qemu-i386-static\nflags: POCF\noffset 0\nmagic 7f454c46\nmask ffffff0f\n";
        let entry = parse("qemu-i386", text);
        assert!(entry.is_enabled && entry.interpreter == "/usr/bin/qemu-i386-static" && entry.flags == "POCF");
        assert_eq!((entry.offset, &entry.magic[..], &entry.mask[..]), (0, &b"\x7fELF"[..], &[255, 255, 255, 15][..]));
        let entry = parse("jar", "disabled\ninterpreter /usr/bin/jexec\nflags: \nextension .jar\n");
        assert!(!entry.is_enabled && entry.magic.is_empty() && entry.flags.is_empty());
    }
}
