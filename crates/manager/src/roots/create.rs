//! `demotic root create`: a Debian system, made by the distribution's own tools.
//!
//! mmdebstrap writes an archive to its standard output, whoever it runs as; so it is unpacked like any other, with the owners of this user's namespace.
//! It runs as root of the namespace and executes programs of the new system; where the machine cannot run them, the namespace's binfmt_misc has Demotic do it.
//! debootstrap wants to be root of the machine, for device nodes.

use super::import::{check, reader};
use super::unpack::Unpacker;
use super::{Fresh, all, free};
use crate::binfmt::pattern::Arch;
use crate::binfmt::runner::{Runner, is_native};
use crate::namespace::{self, Mapping, on_path};
use anyhow::{Context, Result, bail};
use demotic_options::verbs::Parsed;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// The programs that can do it.
const TOOLS: [&str; 2] = ["mmdebstrap", "debootstrap"];

/// Does the verb.
pub(super) fn run(parsed: &Parsed) -> Result<()> {
    let name = &parsed.operands[0];
    let suite = parsed.value("debian").context("expected --debian SUITE (bookworm, trixie, ...)")?;
    let word = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
            && !text.starts_with('-')
    };
    if !word(suite) {
        bail!("--debian: {suite:?} is no suite");
    }
    let (debian, arch) = match parsed.value("arch").unwrap_or("amd64") {
        "i386" => ("i386", Arch::I386),
        "amd64" | "x86-64" | "x86_64" => ("amd64", Arch::X86_64),
        other => bail!("--arch: no architecture {other:?}; there are i386 and amd64"),
    };
    let tool = match parsed.value("with") {
        Some(tool) => *TOOLS.iter().find(|t| **t == tool).context("--with: expected mmdebstrap or debootstrap")?,
        None => *TOOLS
            .iter()
            .find(|t| on_path(t))
            .context("neither mmdebstrap nor debootstrap is installed: apt install mmdebstrap")?,
    };
    if !on_path(tool) {
        bail!("{tool} is not installed: apt install {tool}");
    }
    let all = all()?;
    free(&all, name)?;
    let mapping = Mapping::possible();
    let foreign = !is_native(arch);
    if let Mapping::Single(why) = &mapping {
        bail!("a Debian system has files of several users, and there is one user id only: {why}");
    }
    if mapping != Mapping::Same {
        if tool == "debootstrap" {
            bail!(
                "debootstrap wants to be root, for device nodes: apt install mmdebstrap, or sudo demotic root create ..."
            );
        }
        namespace::enter(&mapping)?;
    } else if foreign && crate::binfmt::relevant().iter().all(|(e, arches)| !e.is_enabled || !arches.contains(&arch)) {
        namespace::enter(&mapping)?;
    }
    if foreign && !crate::binfmt::table::is_initial() {
        crate::binfmt::install_in_namespace(&Runner::find(None)?)?;
    }
    let mirror = parsed.value("mirror").map(str::to_owned).or_else(mirror);
    let fresh = Fresh::new(&all, name)?;
    match tool {
        "mmdebstrap" => {
            let mut command = Command::new("mmdebstrap");
            command.args(["--mode=root", "--variant=apt", "--format=tar", "--skip=check/qemu"]);
            command.arg(format!("--architectures={debian}"));
            if let Some(include) = parsed.value("include") {
                command.arg(format!("--include={include}"));
            }
            command.args(["--", suite, "-"]).args(mirror).stdout(Stdio::piped()).stdin(Stdio::null());
            let mut child = command.spawn().context("mmdebstrap")?;
            let archive = child.stdout.take().context("a pipe")?;
            let mut unpacker = Unpacker::new(&fresh.path, true);
            let unpacked = reader(archive, 0).and_then(|r| unpacker.unpack(r));
            // Its own failure says more than that of a broken archive.
            if !child.wait()?.success() {
                bail!("mmdebstrap failed");
            }
            unpacked?;
        }
        _ => debootstrap(&fresh.path, suite, debian, foreign, parsed.value("include"), mirror)?,
    }
    check(&fresh.path)?;
    println!("{}", fresh.finish()?.display());
    Ok(())
}

fn debootstrap(
    path: &Path,
    suite: &str,
    arch: &str,
    foreign: bool,
    include: Option<&str>,
    mirror: Option<String>,
) -> Result<()> {
    let mut command = Command::new("debootstrap");
    command.arg(format!("--arch={arch}")).arg("--variant=minbase");
    if let Some(include) = include {
        command.arg(format!("--include={include}"));
    }
    if foreign {
        command.arg("--foreign");
    }
    // It talks on standard output, where this verb says where the root is.
    command.arg(suite).arg(path).args(mirror).stdout(std::io::stderr());
    if !command.status().context("debootstrap")?.success() {
        bail!("debootstrap failed");
    }
    if foreign {
        let mut second = Command::new("chroot");
        second.arg(path).args(["/debootstrap/debootstrap", "--second-stage"]).stdout(std::io::stderr());
        if !second.status().context("chroot")?.success() {
            bail!("the second stage of debootstrap failed");
        }
    }
    Ok(())
}

/// The first Debian mirror of this machine's apt.
fn mirror() -> Option<String> {
    let mut files = vec![std::path::PathBuf::from("/etc/apt/sources.list")];
    let more = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|e| e.path());
    let mut more: Vec<_> = more.filter(|p| p.extension().is_some_and(|e| e == "list" || e == "sources")).collect();
    more.sort();
    files.append(&mut more);
    files.iter().find_map(|file| mirror_in(&fs::read_to_string(file).ok()?))
}

/// In both forms of sources.list(5).
fn mirror_in(text: &str) -> Option<String> {
    let urls = text.lines().filter_map(|line| {
        let line = line.trim();
        let rest = line.strip_prefix("URIs:").or_else(|| line.strip_prefix("deb "))?;
        rest.split_whitespace().find(|w| w.starts_with("http://") || w.starts_with("https://"))
    });
    urls.map(|u| u.trim_end_matches('/')).find(|u| u.ends_with("/debian")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors() {
        let new = "Types: deb\n# x\nURIs: http://security.example/debian-security/\n\nTypes: deb\nURIs: http://mirror.example/debian/\n";
        assert_eq!(mirror_in(new).as_deref(), Some("http://mirror.example/debian"));
        let old = "# deb http://no/debian x main\ndeb [arch=amd64 signed-by=/x] https://mirror.example/debian bookworm main\n";
        assert_eq!(mirror_in(old).as_deref(), Some("https://mirror.example/debian"));
        assert_eq!(mirror_in("deb http://mirror.example/ubuntu jammy main"), None);
    }
}
