//! `cargo xtask arm-kernel`: the AArch64 build on a real ARM64 kernel, in a virtual machine (qemu-system-aarch64 interprets that, so it takes a minute).
//!
//! Debian's cloud kernel and a static busybox for ARM64 come from apt, with a state of its own, into the cache. They, Demotic and a few guests make an initial
//! file system. Its `/init` does what a user does: installs the entries, and starts programs by their names. Its output is compared with what it must be.
//! Not part of continuous integration: it needs qemu-system-arm.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use demotic_testkit::guest::{self, Abi};
use demotic_testkit::packages::{PACKAGES, cache_dir};
use demotic_testkit::target_dir;

const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
cd /root
# The kernel's own messages go elsewhere.
echo 1 > /proc/sys/kernel/printk
echo BEGIN
uname -m
./hello 2> /dev/null || echo "not yet"
demotic binfmt install | cut -d: -f1,2
demotic binfmt status
./hello
./args one 'two words'
ln -s args link
./link | head -n 1
./fzf -h 2>&1 | head -n 1
printf 'apple\nblood orange\norange\n' | ./fzf --filter oran
./busybox64 uname -m
demotic -L /guest /guest/dynamic 3
chroot /chroot /bin/busybox sh -c 'echo "$0: $(/bin/busybox uname -m)"' inside
chroot /chroot /script a
demotic shell --no-home /chroot /bin/busybox sh -c 'id -u; uname -m; ls /proc/self/fd > /dev/null && echo "with /proc"'
demotic binfmt remove
./hello 2> /dev/null || echo "no more"
echo END
poweroff -f
"#;

/// What must stand between BEGIN and END.
const WANTED: &str = "\
aarch64
not yet
register :demotic-i386
register :demotic-i386-linux
register :demotic-x86-64
register :demotic-x86-64-linux
i386    demotic-i386: /bin/demotic, flags POCF: works
i386    demotic-i386-linux: /bin/demotic, flags POCF: works
x86-64  demotic-x86-64: /bin/demotic, flags POCF: works
x86-64  demotic-x86-64-linux: /bin/demotic, flags POCF: works
hello, world
./args
one
two words
./link
usage: fzf [options]
orange
blood orange
x86_64
dynamic: 9
inside: x86_64
script: /script a
0
x86_64
with /proc
removed demotic-i386
removed demotic-i386-linux
removed demotic-x86-64
removed demotic-x86-64-linux
no more
";

const DYNAMIC: &str = "#include <stdio.h>\n#include <stdlib.h>\nint main(int c, char **v) { int n = atoi(v[c - 1]); printf(\"dynamic: %d\\n\", n * n); return 0; }\n";

/// Builds the file system, starts the machine, compares.
pub fn arm_kernel() -> Result<()> {
    let qemu = "qemu-system-aarch64";
    let found = Command::new(qemu).arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
    ensure!(found, "install the machine: sudo apt-get install --no-install-recommends qemu-system-arm");
    let kernel = kernel()?;
    crate::dist::dist(&["aarch64"])?;
    let work = target_dir().join("arm-kernel");
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    let image = work.join("initrd");
    system(&kernel, &work)?;
    fs::write(&image, archive(&work.join("system"))?)?;
    let out = Command::new("timeout")
        .args([
            "600",
            qemu,
            "-M",
            "virt",
            "-cpu",
            "cortex-a72",
            "-m",
            "1024",
            "-nographic",
            "-no-reboot",
            "-nic",
            "none",
        ])
        .arg("-kernel")
        .arg(vmlinuz(&kernel)?)
        .arg("-initrd")
        .arg(&image)
        .args(["-append", "console=ttyAMA0 quiet panic=-1"])
        .stdin(Stdio::null())
        .output()?;
    let console = String::from_utf8_lossy(&out.stdout).replace('\r', "");
    fs::write(work.join("console.txt"), &console)?;
    let got = console.split_once("BEGIN\n").and_then(|(_, rest)| rest.split_once("END\n")).map(|(got, _)| got);
    let Some(got) = got else { bail!("the machine did not come to its end:\n{console}") };
    if let Err(difference) = demotic_testkit::expect::same(WANTED, got) {
        bail!("{difference}\n{got}");
    }
    println!("{got}arm-kernel: ok");
    Ok(())
}

/// The folder in the cache with the kernel's files and busybox, fetched when it is not there.
fn kernel() -> Result<PathBuf> {
    let folder = cache_dir().join("arm-kernel");
    if folder.join("complete").is_file() {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let state = folder.join("apt");
    for dir in ["state/lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(state.join(dir))?;
    }
    fs::write(state.join("status"), "")?;
    let path = |p: &str| state.join(p).display().to_string();
    let options: Vec<String> = [
        ("Dir::State", path("state")),
        ("Dir::State::status", path("status")),
        ("Dir::Cache", path("cache")),
        ("APT::Architecture", "arm64".to_owned()),
        ("APT::Architectures", "arm64".to_owned()),
    ]
    .iter()
    .flat_map(|(key, value)| ["-o".to_owned(), format!("{key}={value}")])
    .collect();
    let apt = |tool: &str, arguments: &[&str]| -> Result<String> {
        let out = Command::new(tool).args(&options).args(arguments).current_dir(&folder).output()?;
        ensure!(out.status.success(), "{tool} {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    };
    apt("apt-get", &["-q", "update"])?;
    let depends = apt("apt-cache", &["depends", "linux-image-cloud-arm64"])?;
    let image = depends.lines().find_map(|l| l.trim().strip_prefix("Depends: ")).context("the kernel's package")?;
    apt("apt-get", &["-q", "download", image, "busybox-static"])?;
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "deb") {
            let done = Command::new("dpkg-deb").arg("-x").arg(&path).arg(folder.join("files")).status()?;
            ensure!(done.success(), "dpkg-deb failed");
        }
    }
    fs::write(folder.join("complete"), "")?;
    Ok(folder)
}

fn vmlinuz(kernel: &Path) -> Result<PathBuf> {
    let files = fs::read_dir(kernel.join("files/boot"))?.flatten().map(|e| e.path());
    let is_kernel = |p: &PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("vmlinuz-"));
    files.into_iter().find(is_kernel).context("a kernel in the package")
}

/// The tree that becomes the machine's file system.
fn system(kernel: &Path, work: &Path) -> Result<()> {
    let root = work.join("system");
    for dir in [
        "bin",
        "proc",
        "sys",
        "dev",
        "tmp",
        "etc",
        "root",
        "guest/lib",
        "chroot/bin",
        "chroot/proc",
        "chroot/sys",
        "chroot/dev",
        "chroot/run",
    ] {
        fs::create_dir_all(root.join(dir))?;
    }
    let put = |from: &Path, to: &str| -> Result<()> {
        fs::copy(from, root.join(to)).with_context(|| from.display().to_string())?;
        Ok(fs::set_permissions(root.join(to), fs::Permissions::from_mode(0o755))?)
    };
    let text = |contents: &str, to: &str| -> Result<()> {
        fs::write(root.join(to), contents)?;
        Ok(fs::set_permissions(root.join(to), fs::Permissions::from_mode(0o755))?)
    };
    put(&kernel.join("files/bin/busybox"), "bin/busybox")?;
    let version = vmlinuz(kernel)?;
    let version = version.file_name().and_then(|n| n.to_str()?.strip_prefix("vmlinuz-")).context("a version")?;
    let modules = format!("lib/modules/{version}");
    fs::create_dir_all(root.join(&modules).join("kernel/fs"))?;
    let module = format!("{modules}/kernel/fs/binfmt_misc.ko");
    put(&kernel.join("files").join(&module), &module)?;
    text("kernel/fs/binfmt_misc.ko:\n", &format!("{modules}/modules.dep"))?;
    let dist = target_dir().join("dist");
    put(&dist.join("demotic-aarch64"), "bin/demotic")?;
    put(&dist.join("demotic-manage-aarch64"), "bin/demotic-manage")?;
    for name in ["hello", "args"] {
        put(&guest::prebuilt(Abi::I386, name), &format!("root/{name}"))?;
    }
    let package = |name: &str, abi: Abi| -> Result<PathBuf> {
        let package = PACKAGES.iter().find(|p| p.name.starts_with(name) && p.abi == abi).context("a package")?;
        package.fetch()?;
        Ok(package.program())
    };
    put(&package("fzf", Abi::I386)?, "root/fzf")?;
    put(&package("busybox", Abi::X86_64)?, "root/busybox64")?;
    put(&package("busybox", Abi::I386)?, "chroot/bin/busybox")?;
    text("#!/bin/busybox sh\necho \"script: $0 $*\"\n", "chroot/script")?;
    text(INIT, "init")?;
    // A dynamic program with its libraries, from the cross compiler.
    let (source, program) = (work.join("dynamic.c"), root.join("guest/dynamic"));
    fs::write(&source, DYNAMIC)?;
    let built = Command::new("i686-linux-gnu-gcc").arg("-O1").arg("-o").arg(&program).arg(&source).status()?;
    ensure!(built.success(), "i686-linux-gnu-gcc failed");
    for name in ["ld-linux.so.2", "libc.so.6"] {
        put(&Path::new("/usr/i686-linux-gnu/lib").join(name), &format!("guest/lib/{name}"))?;
    }
    Ok(())
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
