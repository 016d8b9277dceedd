//! What builds an x86 system on an ARM machine does: `debootstrap --foreign`, then its second stage by Demotic.
//!
//! The first stage only unpacks archives and runs nothing of the root's. The second configures every package by the root's own dpkg,
//! shell and perl, in a chroot inside the root, as root of a user namespace whose 65,536 ids are the machine's: an emulated host has its
//! emulator in that namespace's own binfmt_misc. The emulator of Debian 12 has no execveat(2), so Demotic, which starts programs by that
//! call where there is one, is shown in the root under its own path there.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use demotic_testkit::guest::Abi;
use demotic_testkit::host::Host;
use demotic_testkit::{root, roots};

/// Runs both stages for the ABIs named (all without names), by the builds for HOST.
pub fn second_stage(arguments: &[&str]) -> Result<()> {
    let (host, names) = match arguments {
        ["--host", name, rest @ ..] => {
            (Host::ALL.into_iter().find(|h| h.name() == *name).with_context(|| format!("no host {name:?}"))?, rest)
        }
        rest => (Host::Aarch64, rest),
    };
    ensure!(host.is_available(), "no build for {0}: cargo xtask dist {0}", host.name());
    for abi in Abi::ALL.into_iter().filter(|abi| names.is_empty() || names.contains(&abi.name())) {
        let folder = root().join("target/second-stage").join(abi.name());
        let start = Instant::now();
        roots::foreign(abi, &folder)?;
        println!("{} on {}: first stage {:.0} s", abi.name(), host.name(), start.elapsed().as_secs_f32());
        let start = Instant::now();
        let log = folder.with_extension("log");
        let status = configure(host, &folder, &log)?;
        ensure!(status.success(), "the second stage ended with {status}: {} says why", log.display());
        let states = fs::read_to_string(folder.join("var/lib/dpkg/status"))?;
        let all = states.lines().filter(|line| line.starts_with("Package: ")).count();
        let done = states.lines().filter(|line| *line == "Status: install ok installed").count();
        if folder.join("debootstrap").exists() || all != done || all == 0 {
            bail!("{done} of {all} packages are configured: {} says why", log.display());
        }
        println!("second stage {:.0} s: {done} of {all} packages are configured", start.elapsed().as_secs_f32());
    }
    Ok(())
}

/// The second stage in a namespace; what it says goes into the log.
fn configure(host: Host, folder: &Path, log: &Path) -> Result<std::process::ExitStatus> {
    let demotic = host.demotic();
    let shown = folder.join(demotic.strip_prefix("/").context("an absolute path")?);
    fs::create_dir_all(shown.parent().unwrap_or(folder))?;
    fs::File::create(&shown)?;
    // $0: the root, $1: Demotic, $2: as shown in the root, $3: an entry for binfmt_misc or nothing.
    const SCRIPT: &str = r#"
        read -r mapped
        set -e
        mount --make-rprivate /
        mount -t proc proc /proc
        mount -t proc proc "$0/proc"
        mount --bind "$1" "$2"
        if [ -n "$3" ]; then
            mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
            printf '%s' "$3" > /proc/sys/fs/binfmt_misc/register
        fi
        exec "$1" --keep off --root "$0" -- /usr/sbin/chroot / /debootstrap/debootstrap --second-stage
    "#;
    let out = fs::File::create(log)?;
    let mut child = Command::new("unshare")
        .args(["-U", "-m", "-p", "-f", "--kill-child", "sh", "-c", SCRIPT])
        .args([folder, &demotic, &shown])
        .arg(host.binfmt_entry().unwrap_or_default())
        .current_dir("/")
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .env("DEBIAN_FRONTEND", "noninteractive")
        // The kernel lets no user namespace make device files; debootstrap shares them with the machine in a container of this kind.
        .env("container", "lxc")
        .stdin(Stdio::piped())
        .stdout(out.try_clone()?)
        .stderr(out)
        .spawn()
        .context("unshare (package util-linux)")?;
    let of_child = PathBuf::from(format!("/proc/{}", child.id()));
    let ours = fs::read_link("/proc/self/ns/user")?;
    while fs::read_link(of_child.join("ns/user"))? == ours {
        std::thread::sleep(Duration::from_millis(5));
    }
    for map in ["uid_map", "gid_map"] {
        fs::write(of_child.join(map), "0 0 65536\n").context("this has to run as root")?;
    }
    child.stdin.take().context("a pipe")?.write_all(b"\n")?;
    Ok(child.wait()?)
}
