//! What a user does: installs the entries, and starts programs by their names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use demotic_testkit::guest::{self, Abi};
use demotic_testkit::packages::PACKAGES;

use super::Machine;
use super::debian::Kernel;

const COMMANDS: &str = r#"uname -m
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
pub fn run(kernel: Kernel) -> Result<()> {
    let machine = Machine::new(kernel, "usage")?;
    files(&machine)?;
    let got = machine.run(COMMANDS, kernel.processor(), 600)?;
    if let Err(difference) = demotic_testkit::expect::same(WANTED, &got) {
        bail!("{difference}\n{got}");
    }
    println!("{got}arm-kernel: ok");
    Ok(())
}

/// Guest programs in `/root`, `/guest` and `/chroot`.
pub fn files(machine: &Machine) -> Result<()> {
    let root = machine.root();
    for dir in ["guest/lib", "chroot/bin", "chroot/proc", "chroot/sys", "chroot/dev", "chroot/run"] {
        fs::create_dir_all(root.join(dir))?;
    }
    for name in ["hello", "args"] {
        machine.put(&guest::prebuilt(Abi::I386, name), &format!("root/{name}"))?;
    }
    let package = |name: &str, abi: Abi| -> Result<PathBuf> {
        let package = PACKAGES.iter().find(|p| p.name.starts_with(name) && p.abi == abi).context("a package")?;
        package.fetch()?;
        Ok(package.program())
    };
    machine.put(&package("fzf", Abi::I386)?, "root/fzf")?;
    machine.put(&package("busybox", Abi::X86_64)?, "root/busybox64")?;
    machine.put(&package("busybox", Abi::I386)?, "chroot/bin/busybox")?;
    machine.text("#!/bin/busybox sh\necho \"script: $0 $*\"\n", "chroot/script")?;
    // A dynamic program with its libraries, from the cross compiler.
    let (source, program) = (machine.work.join("dynamic.c"), root.join("guest/dynamic"));
    fs::write(&source, DYNAMIC)?;
    let built = Command::new("i686-linux-gnu-gcc").arg("-O1").arg("-o").arg(&program).arg(&source).status()?;
    ensure!(built.success(), "i686-linux-gnu-gcc failed");
    for name in ["ld-linux.so.2", "libc.so.6"] {
        machine.put(&Path::new("/usr/i686-linux-gnu/lib").join(name), &format!("guest/lib/{name}"))?;
    }
    Ok(())
}
