//! `cargo xtask arm-kernel`: the AArch64 build on a real ARM64 kernel, in a virtual machine (qemu-system-aarch64 interprets that).
//!
//! Debian's cloud kernel and a static busybox for ARM64 come from apt, with a state of its own, into the cache. They, Demotic and a few guests make an initial
//! file system. Its `/init` does what is to be tried, and what it prints is compared with what it must be. Not part of continuous integration: it needs
//! qemu-system-arm. [`usage`] does what a user does, in a minute, [`boot`] what systemd does when the machine starts; [`guests`] runs the test programs, and tells
//! what emulators of user mode cannot; [`debuggers`] runs strace and gdb, which no emulator of user mode can.

mod boot;
mod debian;
mod debuggers;
mod guests;
mod usage;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use demotic_testkit::target_dir;

use debian::Kernel;

/// What every `/init` begins with.
const START: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
cd /root
# The kernel's own messages go elsewhere.
echo 1 > /proc/sys/kernel/printk
echo BEGIN
"#;

/// Modules that are used, with those that they need: what `depmod` would find.
const MODULES: [(&str, &[&str]); 7] = [
    ("kernel/fs/binfmt_misc.ko", &[]),
    ("kernel/drivers/block/loop.ko", &[]),
    ("kernel/crypto/crc32c_generic.ko", &[]),
    ("kernel/lib/crc16.ko", &[]),
    ("kernel/fs/mbcache.ko", &[]),
    ("kernel/fs/jbd2/jbd2.ko", &["kernel/crypto/crc32c_generic.ko"]),
    (
        "kernel/fs/ext4/ext4.ko",
        &["kernel/lib/crc16.ko", "kernel/fs/mbcache.ko", "kernel/fs/jbd2/jbd2.ko", "kernel/crypto/crc32c_generic.ko"],
    ),
];

/// What every `/init` ends with.
const END: &str = "echo END\npoweroff -f\n";

/// Runs one of the trials, or all.
pub fn arm_kernel(arguments: &[&str]) -> Result<()> {
    let (kernel, arguments) = match arguments {
        ["--pages", "16", rest @ ..] => (Kernel::Pages16, rest),
        _ => (Kernel::Cloud, arguments),
    };
    match arguments {
        [] => {
            usage::run(kernel)?;
            boot::run(kernel)?;
            debuggers::run(kernel, &[])?;
            guests::run(kernel, &[])
        }
        ["usage"] => usage::run(kernel),
        ["boot"] => boot::run(kernel),
        ["debuggers", names @ ..] => debuggers::run(kernel, names),
        ["guests", names @ ..] => guests::run(kernel, names),
        _ => {
            bail!("usage: cargo xtask arm-kernel [--pages 16] [usage | boot | debuggers [NAME...] | guests [NAME...]]")
        }
    }
}

/// A machine to be started: a tree of files.
struct Machine {
    kernel: PathBuf,
    work: PathBuf,
}

impl Machine {
    /// One with the kernel, busybox and Demotic.
    fn new(kernel: Kernel, name: &str) -> Result<Machine> {
        let found = Command::new(QEMU).arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
        ensure!(found, "install the machine: sudo apt-get install --no-install-recommends qemu-system-arm");
        let machine = Machine { kernel: debian::kernel(kernel)?, work: target_dir().join("arm-kernel").join(name) };
        crate::dist::dist(&["aarch64"])?;
        if machine.work.exists() {
            fs::remove_dir_all(&machine.work)?;
        }
        for dir in ["bin", "proc", "sys", "dev", "tmp", "etc", "root"] {
            fs::create_dir_all(machine.root().join(dir))?;
        }
        machine.put(&machine.file("bin/busybox"), "bin/busybox")?;
        let version = vmlinuz(&machine.kernel)?;
        let version = version.file_name().and_then(|n| n.to_str()?.strip_prefix("vmlinuz-")).context("a version")?;
        let modules = format!("lib/modules/{version}");
        let mut names = String::new();
        for (module, needs) in MODULES {
            let path = format!("{modules}/{module}");
            if machine.module(&path)? {
                names.push_str(&format!("{module}: {}\n", needs.join(" ")));
            }
        }
        machine.text(&names, &format!("{modules}/modules.dep"))?;
        let dist = target_dir().join("dist");
        machine.put(&dist.join("demotic-aarch64"), "bin/demotic")?;
        machine.put(&dist.join("demotic-manage-aarch64"), "bin/demotic-manage")?;
        Ok(machine)
    }

    /// The tree that becomes the machine's file system.
    fn root(&self) -> PathBuf {
        self.work.join("system")
    }

    fn made(&self, to: &str) -> Result<PathBuf> {
        let to = self.root().join(to);
        fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
        Ok(to)
    }

    fn put(&self, from: &Path, to: &str) -> Result<()> {
        let to = self.made(to)?;
        fs::copy(from, &to).with_context(|| from.display().to_string())?;
        Ok(fs::set_permissions(&to, fs::Permissions::from_mode(0o755))?)
    }

    /// A file of the packages, which newer suites have in `/usr`.
    fn file(&self, path: &str) -> PathBuf {
        let files = self.kernel.join("files");
        let newer = files.join("usr").join(path);
        if newer.parent().is_some_and(Path::is_dir) { newer } else { files.join(path) }
    }

    /// A module of the kernel, which may come compressed. False: it is none, but in the kernel.
    fn module(&self, path: &str) -> Result<bool> {
        let (file, to) = (self.file(path), self.made(path)?);
        let packed = PathBuf::from(format!("{}.xz", file.display()));
        if file.exists() {
            self.put(&file, path)?;
            return Ok(true);
        }
        if !packed.exists() {
            return Ok(false);
        }
        let out = Command::new("xz").arg("-dc").arg(&packed).output().context("xz (xz-utils)")?;
        ensure!(out.status.success(), "xz failed on {}", packed.display());
        fs::write(to, out.stdout)?;
        Ok(true)
    }

    fn text(&self, contents: &str, to: &str) -> Result<()> {
        let to = self.made(to)?;
        fs::write(&to, contents)?;
        Ok(fs::set_permissions(&to, fs::Permissions::from_mode(0o755))?)
    }

    /// What the commands print on that processor, within a time in seconds.
    fn run(&self, commands: &str, processor: &str, limit: u32) -> Result<String> {
        self.text(&format!("{START}{commands}{END}"), "init")?;
        let image = self.work.join("initrd");
        fs::write(&image, archive(&self.root())?)?;
        // A file, so that a long run can be watched.
        let log = self.work.join("console.txt");
        Command::new("timeout")
            .args([&limit.to_string(), QEMU, "-M", "virt", "-cpu", processor, "-smp", "2", "-m", "2048", "-nographic"])
            .args(["-no-reboot", "-nic", "none"])
            .arg("-kernel")
            .arg(vmlinuz(&self.kernel)?)
            .arg("-initrd")
            .arg(&image)
            .args(["-append", "console=ttyAMA0 quiet panic=-1"])
            .stdin(Stdio::null())
            .stdout(fs::File::create(&log)?)
            .status()?;
        let console = String::from_utf8_lossy(&fs::read(&log)?).replace('\r', "");
        let got = console.split_once("BEGIN\n").and_then(|(_, rest)| rest.split_once("END\n")).map(|(got, _)| got);
        let Some(got) = got else { bail!("the machine did not come to its end:\n{console}") };
        Ok(got.to_owned())
    }
}

const QEMU: &str = "qemu-system-aarch64";

fn vmlinuz(kernel: &Path) -> Result<PathBuf> {
    let files = fs::read_dir(kernel.join("files/boot"))?.flatten().map(|e| e.path());
    let is_kernel = |p: &PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("vmlinuz-"));
    files.into_iter().find(is_kernel).context("a kernel in the package")
}

/// A cpio archive in the form that the kernel unpacks (Documentation/driver-api/early-userspace/buffer-format.rst, newc).
fn archive(root: &Path) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut names = vec![PathBuf::new()];
    let mut number = 1;
    entry(&mut out, &mut number, "dev", 0o40755, &[], 0);
    // The console before anything is mounted.
    entry(&mut out, &mut number, "dev/console", 0o20600, &[], 0x5_0001);
    while let Some(name) = names.pop() {
        let path = root.join(&name);
        let metadata = fs::symlink_metadata(&path)?;
        let data = if metadata.is_dir() {
            for child in fs::read_dir(&path)? {
                names.push(name.join(child?.file_name()));
            }
            Vec::new()
        } else if metadata.is_symlink() {
            fs::read_link(&path)?.into_os_string().into_encoded_bytes()
        } else {
            fs::read(&path)?
        };
        if !name.as_os_str().is_empty() {
            entry(&mut out, &mut number, &name.to_string_lossy(), metadata.mode(), &data, 0);
        }
    }
    entry(&mut out, &mut number, "TRAILER!!!", 0, &[], 0);
    Ok(out)
}

/// One file; `device`: major number above sixteen bits of minor.
fn entry(out: &mut Vec<u8>, number: &mut u32, name: &str, mode: u32, data: &[u8], device: u32) {
    let links = if mode & 0o170000 == 0o40000 { 2 } else { 1 };
    let fields = [
        *number,
        mode,
        0,
        0,
        links,
        0,
        data.len() as u32,
        0,
        0,
        device >> 16,
        device & 0xffff,
        name.len() as u32 + 1,
        0,
    ];
    *number += 1;
    out.extend(b"070701");
    fields.iter().for_each(|f| out.extend(format!("{f:08X}").bytes()));
    out.extend(name.bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend(data);
    out.resize(out.len().next_multiple_of(4), 0);
}
