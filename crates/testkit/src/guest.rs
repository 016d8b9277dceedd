//! The guest programs of `tests/guest`: freestanding ones, committed as built files, and C programs built here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{root, target_dir};

/// A guest's ABI.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Abi {
    /// 32-bit x86.
    I386,
    /// 64-bit x86.
    X86_64,
}

impl Abi {
    /// Both.
    pub const ALL: [Abi; 2] = [Abi::I386, Abi::X86_64];

    /// The name used in folders and test names.
    pub fn name(self) -> &'static str {
        match self {
            Abi::I386 => "i386",
            Abi::X86_64 => "x86_64",
        }
    }
}

/// Where the tests' material lies.
pub fn tests_dir() -> PathBuf {
    root().join("tests")
}

/// The committed file of a freestanding guest.
pub fn prebuilt(abi: Abi, name: &str) -> PathBuf {
    tests_dir().join("guest/prebuilt").join(abi.name()).join(name)
}

/// Names of the sources with the given ending in a folder of `tests/guest`, sorted.
///
/// # Errors
/// The folder cannot be read.
pub fn sources(folder: &str, ending: &str) -> Result<Vec<String>> {
    let dir = tests_dir().join("guest").join(folder);
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
        let name = entry?.file_name();
        if let Some(stem) = name.to_str().and_then(|n| n.strip_suffix(ending)) {
            names.push(stem.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Whether the compilers for both ABIs are there.
pub fn can_build() -> bool {
    ["x86_64-linux-gnu-gcc", "i686-linux-gnu-gcc"]
        .iter()
        .all(|cc| Command::new(cc).arg("--version").output().is_ok_and(|o| o.status.success()))
}

/// C guests that do less with the argument `few`; `expected/c/ABI/NAME.few.txt` is what they print then.
pub const HAVE_FEW: [&str; 7] = ["avx", "avx_tables", "litmus", "tables_int", "tables_mmx", "tables_sse", "tables_x87"];

/// Where the C guests' builds are: `guests/c/ABI-LEVEL/NAME` below the target directory, or `DEMOTIC_C_GUESTS`.
pub fn c_dir() -> PathBuf {
    std::env::var_os("DEMOTIC_C_GUESTS").map_or_else(|| target_dir().join("guests/c"), PathBuf::from)
}

/// The built file of a C guest.
pub fn c_program(abi: Abi, level: &str, name: &str) -> PathBuf {
    c_dir().join(format!("{}-{level}", abi.name())).join(name)
}

/// Builds the C guests that are older than their sources. One process at a time does so: test runners start many.
///
/// # Errors
/// A compiler is missing or fails.
pub fn build_c() -> Result<()> {
    let out = c_dir();
    fs::create_dir_all(&out)?;
    let lock = fs::File::create(out.join(".lock"))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;
    script(&tests_dir().join("guest/c/build.sh"), &out)
}

/// Where the builds of the system call cases are: `guests/sys/ABI/FAMILY` below the target directory, or `DEMOTIC_SYS_GUESTS`.
pub fn sys_dir() -> PathBuf {
    std::env::var_os("DEMOTIC_SYS_GUESTS").map_or_else(|| target_dir().join("guests/sys"), PathBuf::from)
}

/// The program of a family of system call cases.
pub fn sys_program(abi: Abi, family: &str) -> PathBuf {
    sys_dir().join(abi.name()).join(family)
}

/// Builds the system call cases that are older than their sources.
///
/// # Errors
/// A compiler is missing or fails.
pub fn build_sys() -> Result<()> {
    let out = sys_dir();
    fs::create_dir_all(&out)?;
    let lock = fs::File::create(out.join(".lock"))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;
    script(&tests_dir().join("guest/sys/build.sh"), &out)
}

/// The program `NAME` of `tests/guest/heavy`, built with debugging information.
///
/// # Errors
/// A compiler is missing or fails.
pub fn heavy_program(abi: Abi, name: &str) -> Result<PathBuf> {
    let out = target_dir().join("guests/heavy");
    fs::create_dir_all(&out)?;
    let lock = fs::File::create(out.join(".lock"))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;
    let (source, program) =
        (tests_dir().join(format!("guest/heavy/{name}.c")), out.join(format!("{name}-{}", abi.name())));
    let age = |file: &Path| fs::metadata(file).and_then(|m| m.modified()).ok();
    if age(&program) <= age(&source) {
        let compiler = if abi == Abi::I386 { "i686-linux-gnu-gcc" } else { "x86_64-linux-gnu-gcc" };
        let mut command = Command::new(compiler);
        command.args(["-g", "-O0", "-w", "-static", "-pthread", "-o"]).arg(&program).arg(&source);
        let done = command.output().with_context(|| compiler.to_owned())?;
        if !done.status.success() {
            bail!("{}: {}", source.display(), String::from_utf8_lossy(&done.stderr));
        }
    }
    Ok(program)
}

/// Builds the freestanding guests into `out`.
///
/// # Errors
/// A compiler is missing or fails.
pub fn build_asm(out: &Path) -> Result<()> {
    fs::create_dir_all(out)?;
    script(&tests_dir().join("guest/asm/build.sh"), out)
}

fn script(script: &Path, out: &Path) -> Result<()> {
    let done = Command::new("sh").arg(script).arg(out).output().with_context(|| script.display().to_string())?;
    if !done.status.success() {
        bail!("{} failed:\n{}", script.display(), String::from_utf8_lossy(&done.stderr));
    }
    Ok(())
}
