//! Entries that come back when the machine starts: `--persistent systemd`, whose file Debian's own systemd-binfmt reads.

use std::fs;
use std::process::Command;

use anyhow::{Result, bail, ensure};

use super::debian::Kernel;
use super::{Machine, debian, usage};

/// The kernel's table goes with its module, as when the machine is switched off. Then what systemd does at boot: its unit
/// `proc-sys-fs-binfmt_misc.mount`, its service `systemd-binfmt`. In the end with
/// an entry of somebody else, too: ours comes before it at boot as well.
const COMMANDS: &str = r#"
table=/proc/sys/fs/binfmt_misc
entries() { for entry in $table/*; do case $entry in */register | */status) ;; *) echo "$entry"; cat "$entry" ;; esac; done; }
off() {
    umount $table && rmmod binfmt_misc || echo "still there"
    ./hello 2> /dev/null || echo "off"
}
boot() {
    modprobe binfmt_misc && mount -t binfmt_misc binfmt_misc $table
    /lib/systemd/systemd-binfmt
    echo "systemd-binfmt: $?"
}
/lib/systemd/systemd-binfmt --version | cut -d' ' -f1,2 | head -n 1
demotic binfmt install --persistent systemd | cut -d: -f1,2
ls /etc/binfmt.d
entries > installed
off
boot
entries > booted
cmp installed booted && echo "$(grep -c '^/proc' booted) entries, the same"
demotic binfmt status
./hello
./args one 'two words'
./fzf -h 2>&1 | head -n 1
./busybox64 uname -m
chroot /chroot /bin/busybox sh -c 'echo "$0: $(/bin/busybox uname -m)"' inside
/lib/systemd/systemd-binfmt
entries | cmp - installed && echo "read again: the same"
demotic binfmt remove --arch i386
off
boot
entries | grep '^/proc'
./hello 2> /dev/null || echo "no more"
./busybox64 uname -m
demotic binfmt remove
ls /etc/binfmt.d
off
boot
entries
./busybox64 uname -m 2> /dev/null || echo "no more"
off
mkdir -p /usr/lib/binfmt.d && cp qemu-i386.conf /usr/lib/binfmt.d
boot
./hello
demotic binfmt install --arch i386 --persistent systemd 2>&1 | grep -o 'the entry qemu-i386'
demotic binfmt install --arch i386 --persistent systemd --override | cut -d: -f1,2
./hello
off
boot
./hello
demotic binfmt remove
off
boot
./hello
"#;

/// What qemu-user-static has for ARM64 (1:7.2+dfsg-7+deb12u18), but for the program and its flags.
const OTHER: &str = r":qemu-i386:M::\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x03\x00:\xff\xff\xff\xff\xff\xfe\xfe\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/bin/other:P
";

/// What must stand between BEGIN and END.
const WANTED: &str = "\
systemd 252
register :demotic-i386
register :demotic-i386-linux
register :demotic-x86-64
register :demotic-x86-64-linux
keep demotic-i386, demotic-i386-linux, demotic-x86-64, demotic-x86-64-linux in /etc/binfmt.d/zz-demotic.conf
zz-demotic.conf
off
systemd-binfmt: 0
4 entries, the same
i386    demotic-i386: /bin/demotic, flags POCF: works
i386    demotic-i386-linux: /bin/demotic, flags POCF: works
x86-64  demotic-x86-64: /bin/demotic, flags POCF: works
x86-64  demotic-x86-64-linux: /bin/demotic, flags POCF: works
systemd makes Demotic's entries when the machine starts
hello, world
./args
one
two words
usage: fzf [options]
x86_64
inside: x86_64
read again: the same
removed demotic-i386
removed demotic-i386-linux
systemd: forgotten
off
systemd-binfmt: 0
/proc/sys/fs/binfmt_misc/demotic-x86-64
/proc/sys/fs/binfmt_misc/demotic-x86-64-linux
no more
x86_64
removed demotic-x86-64
removed demotic-x86-64-linux
systemd: forgotten
off
systemd-binfmt: 0
no more
off
systemd-binfmt: 0
something else
the entry qemu-i386
register :demotic-i386
register :demotic-i386-linux
keep demotic-i386, demotic-i386-linux in /etc/binfmt.d/zz-demotic.conf
note: comes before the entry qemu-i386 (/bin/other), which has i386 programs
hello, world
off
systemd-binfmt: 0
hello, world
removed demotic-i386
removed demotic-i386-linux
systemd: forgotten
off
systemd-binfmt: 0
something else
";

/// Builds the file system, starts the machine, compares.
pub fn run(kernel: Kernel) -> Result<()> {
    let machine = Machine::new(kernel, "boot")?;
    usage::files(&machine)?;
    let (from, root) = (debian::systemd()?.join("files"), machine.root());
    machine.put(&from.join("lib/systemd/systemd-binfmt"), "lib/systemd/systemd-binfmt")?;
    machine.put(&from.join("lib/ld-linux-aarch64.so.1"), "lib/ld-linux-aarch64.so.1")?;
    for folder in ["lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu/systemd"] {
        fs::create_dir_all(root.join(folder))?;
        for entry in fs::read_dir(from.join(folder))? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().contains(".so") {
                let done = Command::new("cp").arg("-d").arg(entry.path()).arg(root.join(folder)).status()?;
                ensure!(done.success(), "cp failed");
            }
        }
    }
    machine.text("#!/bin/sh\necho 'something else'\n", "bin/other")?;
    machine.text(OTHER, "root/qemu-i386.conf")?;
    let got = machine.run(COMMANDS, kernel.processor(), 600)?;
    if let Err(difference) = demotic_testkit::expect::same(WANTED, &got) {
        bail!("{difference}\n{got}");
    }
    println!("{got}arm-kernel: ok");
    Ok(())
}
