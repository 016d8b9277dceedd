//! Whole userlands: a folder for each ABI with a minimal Debian system, made by the distribution's debootstrap from the mirror that
//! this machine's apt uses, pinned by suite, kept in the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::guest::Abi;
use crate::packages::cache_dir;

/// The suite.
pub const SUITE: &str = "bookworm";
/// What is in it besides the minimal system; what the scripts in `tests/guest/root` call.
const PACKAGES: &str = "gcc,git,libc6-dev,make,openssl,perl,procps,python3,redis-server,sqlite3,xz-utils,zstd";
/// Part of the folder's name: to be counted up when the contents change.
const EDITION: u32 = 1;

/// What the larger roots have besides, for the scripts in `tests/guest/userland`: some two gigabytes each.
const LARGE_PACKAGES: &str = "apache2-utils bc bzip2 curl ffmpeg file g++ gdb golang-go htop libfftw3-dev libgmp-dev \
    libpython3.11-testsuite lua5.4 luajit nginx-light nodejs openjdk-17-jdk-headless php-cli postgresql python3-hypothesis python3-numpy python3-pytest \
    redis-tools ruby rustc strace tmux vim-nox x264";
/// Part of their folders' names.
const LARGE_EDITION: u32 = 2;

/// Debian's name of an ABI.
fn arch(abi: Abi) -> &'static str {
    match abi {
        Abi::I386 => "i386",
        Abi::X86_64 => "amd64",
    }
}

/// Where the root is, whether it is there or not.
pub fn path(abi: Abi) -> PathBuf {
    cache_dir().join("roots").join(format!("{SUITE}-{EDITION}-{}", arch(abi)))
}

/// Whether it is there.
pub fn is_there(abi: Abi) -> bool {
    path(abi).join("bin/bash").exists()
}

/// Where the larger root is, whether it is there or not.
pub fn large(abi: Abi) -> PathBuf {
    cache_dir().join("roots").join(format!("{SUITE}-large-{LARGE_EDITION}-{}", arch(abi)))
}

/// Makes the larger root if it is not there: a copy of the other one, with more packages, installed natively.
///
/// # Errors
/// What could not be done.
pub fn make_large(abi: Abi) -> Result<()> {
    let root = large(abi);
    if root.join("bin/bash").exists() {
        return Ok(());
    }
    make_one(abi)?;
    let fresh = root.with_extension("fresh");
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    let copied = Command::new("cp").arg("-a").args([&path(abi), &fresh]).status()?;
    ensure!(copied.success(), "copying {} failed", path(abi).display());
    // Packages shall not start their servers, and names are looked up as on this machine.
    fs::write(fresh.join("usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 101\n")?;
    fs::set_permissions(fresh.join("usr/sbin/policy-rc.d"), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    fs::copy("/etc/resolv.conf", fresh.join("etc/resolv.conf"))?;
    let log = root.with_extension("log");
    let out = fs::File::create(&log)?;
    let script =
        format!("apt-get update && apt-get install -y --no-install-recommends {LARGE_PACKAGES} && apt-get clean");
    let mut install = native_with_devices(&fresh);
    install.args(["/bin/sh", "-c", &script]).stdout(out.try_clone()?).stderr(out);
    let done = install.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C").status()?;
    ensure!(done.success(), "apt-get in the root failed: {} says why", log.display());
    fs::rename(&fresh, &root)?;
    Ok(())
}

/// Makes the roots that are not there, side by side: most of the time goes by in one process each.
///
/// # Errors
/// For each root why it could not be made.
pub fn make() -> Vec<(Abi, Result<()>)> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = Abi::ALL.into_iter().map(|abi| (abi, scope.spawn(move || make_one(abi)))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, Result<()>>| match thread.join() {
            Ok(result) => result,
            Err(_) => bail!("panicked"),
        };
        threads.into_iter().map(|(abi, thread)| (abi, join(thread))).collect()
    })
}

fn make_one(abi: Abi) -> Result<()> {
    if is_there(abi) {
        return Ok(());
    }
    ensure!(cfg!(target_arch = "x86_64"), "a root is made natively, on an x86-64 machine");
    ensure!(
        is_superuser(),
        "debootstrap makes device files and changes the root directory: run `cargo xtask guests` as root"
    );
    let root = path(abi);
    let fresh = root.with_extension("fresh");
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    fs::create_dir_all(&fresh)?;
    let log = root.with_extension("log");
    let out = fs::File::create(&log)?;
    let done = Command::new("debootstrap")
        .args(["--variant=minbase", &format!("--arch={}", arch(abi)), &format!("--include={PACKAGES}"), SUITE])
        .arg(&fresh)
        .args(mirror()?)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(out.try_clone()?)
        .stderr(out)
        .status()
        .context("debootstrap (package debootstrap)")?;
    if !done.success() {
        let text = fs::read_to_string(&log).unwrap_or_default();
        let tail: Vec<&str> = text.lines().rev().take(8).collect();
        bail!(
            "debootstrap of {SUITE} for {} failed:\n{}",
            arch(abi),
            tail.into_iter().rev().collect::<Vec<_>>().join("\n")
        );
    }
    // Renamed into place when complete; the packages themselves are not needed any more.
    fs::remove_dir_all(fresh.join("var/cache/apt/archives")).ok();
    fs::rename(&fresh, &root)?;
    Ok(())
}

/// The first stage of debootstrap, which runs nothing of the root's, into a folder that is emptied before.
///
/// # Errors
/// What could not be done.
pub fn foreign(abi: Abi, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let log = folder.with_extension("log");
    let out = fs::File::create(&log)?;
    let done = Command::new("debootstrap")
        .args(["--foreign", "--variant=minbase", &format!("--arch={}", arch(abi)), SUITE])
        .arg(folder)
        .args(mirror()?)
        .stdout(out.try_clone()?)
        .stderr(out)
        .status()
        .context("debootstrap (package debootstrap)")?;
    ensure!(done.success(), "the first stage failed: {} says why", log.display());
    Ok(())
}

fn is_superuser() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

/// The address of the Debian archive that apt uses here for the suite.
fn mirror() -> Result<Option<String>> {
    let format = "$(ORIGIN) $(CODENAME) $(REPO_URI)";
    let out = Command::new("apt-get")
        .args(["indextargets", "--format", format, "Created-By: Packages"])
        .output()
        .context("apt-get")?;
    let text = String::from_utf8_lossy(&out.stdout);
    // None before the first update, and other releases have other suites: debootstrap knows the usual place.
    let address = text.lines().find_map(|line| line.strip_prefix(&format!("Debian {SUITE} ")));
    Ok(address.map(|address| address.trim_end_matches('/').to_owned()))
}

/// A command that runs a program of the root natively, with /proc, in a mount namespace of its own.
pub fn native(root: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args([
        "-m",
        "--propagation",
        "private",
        "sh",
        "-c",
        "mount -t proc proc \"$0/proc\" && exec chroot \"$0\" \"$@\"",
    ]);
    command.arg(root);
    command
}

/// The same with /dev and /sys.
pub fn native_with_devices(root: &Path) -> Command {
    let mut command = in_namespace(root);
    command.args(["chroot"]).arg(root);
    command
}

/// A command to be completed that runs in a mount namespace of its own in which the root has /proc, /dev and /sys.
pub fn in_namespace(root: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c"]);
    command.arg(
        "mount -t proc proc \"$0/proc\" && mount --rbind /dev \"$0/dev\" && mount --rbind /sys \"$0/sys\" && exec \"$@\"",
    );
    command.arg(root);
    command
}
