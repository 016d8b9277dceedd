//! The program that entries name: which it is, whether it may be, and what this machine runs without it.

use super::pattern::{Arch, Pattern};
use anyhow::{Context, Result, bail};
use rustix::fs::MemfdFlags;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// An OS ABI that no entry takes and the kernel's ELF loader does not look at.
const MARK: u8 = 0x61;

/// Demotic's own program.
#[derive(Clone, Debug)]
pub struct Runner {
    /// Its absolute path.
    pub path: String,
    /// The file's beginning.
    pub start: Vec<u8>,
    /// The dynamic loader it needs.
    pub needs: Option<String>,
}

impl Runner {
    /// The one named, else the one that called this program, else the one beside it.
    ///
    /// # Errors
    /// There is none that can be executed.
    pub fn find(named: Option<&str>) -> Result<Runner> {
        // A build for one host of several is called demotic-manage-HOST.
        let beside = || {
            let own = std::env::current_exe().ok()?;
            let name = own.file_name()?.to_str()?.replace("demotic-manage", "demotic");
            Some(own.parent()?.join(name))
        };
        let path = match named {
            Some(path) => PathBuf::from(path),
            None => std::env::var_os("DEMOTIC_RUNNER")
                .map(PathBuf::from)
                .or_else(beside)
                .filter(|p| p.is_file())
                .context("demotic is not beside this program: name it by --interpreter")?,
        };
        // A link's own name may matter (qemu-..., -binfmt-P), so links stay.
        let path = std::path::absolute(&path)?;
        let file = File::open(&path).with_context(|| path.display().to_string())?;
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.mode() & 0o111 == 0 {
            bail!("{}: not a program", path.display());
        }
        let mut start = Vec::new();
        (&file).take(4096).read_to_end(&mut start)?;
        let needs = loader(&start);
        Ok(Runner { path: path.to_str().context("the path is not valid Unicode")?.to_owned(), start, needs })
    }

    /// Whether a path leads to the same file.
    pub fn is(&self, path: &str) -> bool {
        let place = |p: &str| fs::metadata(p).ok().map(|m| (m.dev(), m.ino()));
        place(path).is_some_and(|other| place(&self.path) == Some(other))
    }

    /// Whether an entry would take the runner itself.
    pub fn is_taken_by(&self, pattern: &Pattern) -> bool {
        pattern.takes(&self.start)
    }

    /// With the flag C the program gets the rights of set-user-id programs: only root may be able to change it.
    ///
    /// # Errors
    /// Who else can.
    pub fn check_trust(&self) -> Result<()> {
        let real = fs::canonicalize(&self.path)?;
        for part in real.ancestors() {
            let m = fs::metadata(part)?;
            let sticky = m.is_dir() && m.mode() & 0o1000 != 0;
            if m.uid() != 0 || (m.mode() & 0o022 != 0 && !sticky) {
                bail!(
                    "{}: others than root can change it, and with the flag C it runs with the rights of set-user-id programs: \
                     install it in /usr/local/bin, or leave C out (--flags F,P,O)",
                    part.display()
                );
            }
        }
        Ok(())
    }

    /// A path to a copy in memory that differs by the mark, so that it is not taken by an entry for its own kind. For the flag F only: the path
    /// is good as long as this process lives.
    ///
    /// # Errors
    /// The copy cannot be made.
    pub fn marked_copy(&self) -> Result<String> {
        let mut image = fs::read(&self.path)?;
        *image.get_mut(7).context("an ELF file")? = MARK;
        let fd = memory(&image)?;
        Ok(format!("/proc/self/fd/{}", fd.into_raw_fd()))
    }
}

/// A file in memory that is open for reading only: what is open for writing cannot be executed.
fn memory(image: &[u8]) -> Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("demotic", MemfdFlags::CLOEXEC)?);
    file.write_all(image)?;
    Ok(File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?)
}

/// PT_INTERP of an ELF file of this machine's word size and byte order, from its beginning.
fn loader(start: &[u8]) -> Option<String> {
    let word = |at: usize, n: usize| {
        let bytes = start.get(at..at.checked_add(n)?)?;
        Some(bytes.iter().rev().fold(0u64, |sum, b| sum << 8 | u64::from(*b)) as usize)
    };
    let wide = *start.get(4)? == 2;
    // Offsets in the file header and in a program header, 64 and 32 bits (gABI).
    let (at, size, count) =
        if wide { (word(32, 8)?, word(54, 2)?, word(56, 2)?) } else { (word(28, 4)?, word(42, 2)?, word(44, 2)?) };
    for i in 0..count {
        let header = at.checked_add(i * size)?;
        if word(header, 4)? == 3 {
            let (from, len) = if wide {
                (word(header + 8, 8)?, word(header + 32, 8)?)
            } else {
                (word(header + 4, 4)?, word(header + 16, 4)?)
            };
            let text = start.get(from..from.checked_add(len)?)?;
            return Some(String::from_utf8_lossy(text).trim_end_matches('\0').to_owned());
        }
    }
    None
}

/// An i386 program that exits with 0: `xor ebx, ebx; mov eax, 1; int 0x80`, with the mark.
fn probe() -> Vec<u8> {
    const BASE: u32 = 0x0804_8000;
    let mut image = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, MARK, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0];
    let words = [1, BASE + 84, 52, 0, 0];
    image.extend(words.iter().flat_map(|w: &u32| w.to_le_bytes()));
    image.extend([52u16, 32, 1, 40, 0, 0].iter().flat_map(|w| w.to_le_bytes()));
    let segment = [1, 0, BASE, BASE, 93, 93, 5, 0x1000];
    image.extend(segment.iter().flat_map(|w: &u32| w.to_le_bytes()));
    image.extend([0x31, 0xdb, 0xb8, 1, 0, 0, 0, 0xcd, 0x80]);
    image
}

/// Whether this machine runs such programs itself, whatever entries there are.
pub fn is_native(arch: Arch) -> bool {
    static I386: OnceLock<bool> = OnceLock::new();
    match arch {
        _ if !cfg!(target_arch = "x86_64") => false,
        Arch::X86_64 => true,
        // The kernel may have been built or started without it: only trying tells.
        Arch::I386 => *I386.get_or_init(|| {
            let Ok(file) = memory(&probe()) else { return true };
            let mut command = Command::new(format!("/proc/self/fd/{}", file.as_raw_fd()));
            command.stdin(Stdio::null()).status().is_ok_and(|s| s.success())
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_is_a_program_that_no_entry_takes() {
        let image = probe();
        assert_eq!(image.len(), 93);
        for arch in Arch::ALL {
            assert!(super::super::pattern::patterns(arch).iter().all(|p| !p.takes(&image)));
        }
        assert_eq!(loader(&image), None);
    }

    #[test]
    fn loaders_are_found() {
        // This test is a program with a loader, unless it is linked statically.
        let own =
            Runner::find(Some(std::env::current_exe().expect("known").to_str().expect("Unicode"))).expect("a program");
        if let Some(needs) = &own.needs {
            assert!(std::path::Path::new(needs).is_file(), "{needs}");
        }
        assert_eq!(loader(b"\x7fELF"), None);
    }
}
