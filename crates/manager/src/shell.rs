//! `demotic shell`: a command, or a login shell, with a guest root as `/`, for anybody.
//!
//! In a user and mount namespace of its own ([`crate::namespace`]) the caller is root of the guest root. /proc, /sys, /dev are the machine's, /run is
//! empty, the home folder is the caller's, names are resolved as on the machine. From Linux 6.7 on the namespace gets a binfmt_misc of its own, in
//! which all x86 programs are Demotic's, on an x86-64 machine, too; before, Demotic runs the first program and, as always, those that it executes.
//! The machine's own programs cannot be seen from inside.

use crate::binfmt::runner::Runner;
use crate::namespace::{self, Mapping};
use crate::{binfmt, roots};
use anyhow::{Context, Result, bail};
use demotic_options::verbs::Parsed;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, unmount};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

/// The search path inside.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Variables that are about the machine outside.
const OUTSIDE: [&str; 6] =
    ["LD_LIBRARY_PATH", "LD_PRELOAD", "TMPDIR", "DEMOTIC_ROOT", "DEMOTIC_RUNNER", "QEMU_LD_PREFIX"];
/// For apt where there is one user id only: its own user does not exist.
const APT: &str = "APT::Sandbox::User \"root\";\n";

/// Runs the command; returns only if it cannot be run.
///
/// # Errors
/// Why not.
pub fn run(parsed: &Parsed) -> Result<()> {
    let (name, command) = parsed.operands.split_first().context("expected NAME")?;
    let root = roots::folder(name)?;
    let runner = Runner::find(None)?;
    if let Some(loader) = &runner.needs {
        bail!(
            "{} needs {loader} and would not run inside: a build that is linked statically is needed (cargo xtask dist)",
            runner.path
        );
    }
    let binary = fs::File::open(&runner.path).with_context(|| runner.path.clone())?;
    let home = home().filter(|_| !parsed.has("no-home"));
    let mapping = Mapping::possible();
    let here = std::env::current_dir().ok();
    namespace::enter(&mapping)?;
    if let Mapping::Single(why) = &mapping {
        eprintln!("demotic: there is one user id only, changing owners will fail inside ({why})");
    }
    let by_kernel = !parsed.has("no-binfmt") && binfmt::install_in_namespace(&runner).is_ok();
    let mut inside = Inside { root: root.clone() };
    inside.mount_system()?;
    if let Some(home) = &home {
        inside.bind(home, home)?;
    }
    for (_, what) in parsed.options.iter().filter(|o| o.0 == "bind") {
        let (from, to) = what.split_once(':').unwrap_or((what, what));
        let from = fs::canonicalize(from).with_context(|| from.to_owned())?;
        let to = std::path::absolute(to)?;
        inside.bind(&from, &to)?;
    }
    inside.resolver()?;
    if !mapping.has_owners() {
        fs::write(root.join("run/apt.conf"), APT)?;
    }
    inside.enter()?;

    let shown = here.filter(|h| home.as_ref().is_some_and(|home| h.starts_with(home)));
    let user_home = home.clone().unwrap_or_else(|| "/root".into());
    for dir in [shown, Some(user_home.clone()), Some("/".into())].into_iter().flatten() {
        if std::env::set_current_dir(dir).is_ok() {
            break;
        }
    }
    let (program, arguments, argv0) = match command.split_first() {
        Some((program, arguments)) => (find(program)?, arguments.to_vec(), program.clone()),
        None => {
            let shell = login_shell();
            let name = shell.rsplit('/').next().unwrap_or("sh").to_owned();
            (shell, Vec::new(), format!("-{name}"))
        }
    };
    let mut start = if by_kernel {
        let mut c = Command::new(&program);
        c.arg0(&argv0);
        c
    } else {
        let mut c = Command::new(format!("/proc/self/fd/{}", binary.as_raw_fd()));
        c.arg0("demotic").args(["--argv0", &argv0, "--", &program]);
        c
    };
    for name in OUTSIDE {
        start.env_remove(name);
    }
    start.args(&arguments).env("PATH", PATH).env("HOME", &user_home).env("USER", "root").env("LOGNAME", "root");
    start.env("SHELL", login_shell()).env("debian_chroot", name.rsplit('/').next().unwrap_or(name));
    if !mapping.has_owners() {
        start.env("APT_CONFIG", "/run/apt.conf");
    }
    let error = start.exec();
    Err(anyhow::Error::new(error).context(program))
}

/// The caller's home folder.
fn home() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|h| h.is_absolute() && h.is_dir())?;
    (home != Path::new("/")).then_some(home)
}

/// The shell of the guest root's root, seen from inside.
fn login_shell() -> String {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let shell = passwd.lines().find(|l| l.starts_with("root:")).and_then(|l| l.rsplit(':').next()).map(str::to_owned);
    let there = |s: &String| Path::new(s).exists();
    shell.into_iter().chain(["/bin/bash".to_owned()]).find(there).unwrap_or_else(|| "/bin/sh".to_owned())
}

/// A program by the search path, seen from inside.
fn find(name: &str) -> Result<String> {
    if name.contains('/') {
        return Ok(name.to_owned());
    }
    let mut files = PATH.split(':').map(|dir| format!("{dir}/{name}"));
    files.find(|f| Path::new(f).is_file()).with_context(|| format!("{name}: not found in the guest root"))
}

/// A guest root that is being made the root.
struct Inside {
    root: PathBuf,
}

impl Inside {
    fn at(&self, path: &Path) -> PathBuf {
        // No way out by `..`; links are the caller's own.
        let parts = path.components().filter(|c| matches!(c, Component::Normal(_)));
        parts.fold(self.root.clone(), |p, c| p.join(c))
    }

    /// Shows a folder of the machine at a place inside, which is made when it is not there.
    fn bind(&self, from: &Path, to: &Path) -> Result<()> {
        let place = self.at(to);
        fs::create_dir_all(&place).with_context(|| place.display().to_string())?;
        mount_bind_recursive(from, &place).with_context(|| format!("showing {} inside", from.display()))
    }

    fn mount_system(&mut self) -> Result<()> {
        // A root that is to be pivoted to must be a mount.
        mount_bind_recursive(&self.root, &self.root).with_context(|| self.root.display().to_string())?;
        for folder in ["/proc", "/sys", "/dev"] {
            self.bind(Path::new(folder), Path::new(folder))?;
        }
        let run = self.at(Path::new("run"));
        fs::create_dir_all(&run)?;
        mount("tmpfs", &run, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=755")).context("/run")?;
        fs::create_dir(run.join("lock"))?;
        Ok(())
    }

    /// Names are resolved as on the machine: its resolv.conf and hosts, as they are now.
    fn resolver(&self) -> Result<()> {
        for name in ["resolv.conf", "hosts"] {
            let Ok(text) = fs::read(Path::new("/etc").join(name)) else { continue };
            let place = self.at(&Path::new("etc").join(name));
            if let Ok(link) = fs::read_link(&place) {
                // Into /run, as resolvers like it: that is ours.
                let target = if link.is_absolute() { link } else { Path::new("/etc").join(link) };
                let target = normal(&target);
                if target.starts_with("/run") {
                    let file = self.at(&target);
                    fs::create_dir_all(file.parent().context("in /run")?)?;
                    fs::write(file, text)?;
                }
                continue;
            }
            let copy = self.at(&Path::new("run").join(name));
            fs::write(&copy, text)?;
            if !place.exists() {
                fs::create_dir_all(self.at(Path::new("etc")))?;
                fs::write(&place, "")?;
            }
            mount_bind(&copy, &place).with_context(|| place.display().to_string())?;
        }
        Ok(())
    }

    fn enter(&self) -> Result<()> {
        std::env::set_current_dir(&self.root)?;
        match rustix::process::pivot_root(".", ".") {
            Ok(()) => unmount(".", UnmountFlags::DETACH).context("leaving the old root")?,
            // The first root of all, an initial file system, cannot be left, only covered.
            Err(rustix::io::Errno::INVAL) => {
                rustix::mount::mount_move(".", "/").context("covering the old root")?;
                rustix::process::chroot(".").context("chroot")?;
            }
            Err(e) => return Err(e).context("pivot_root"),
        }
        std::env::set_current_dir("/")?;
        Ok(())
    }
}

/// Without `.` and `..`, by the text alone.
fn normal(path: &Path) -> PathBuf {
    let mut all = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::ParentDir => drop(all.pop()),
            Component::Normal(name) => all.push(name),
            _ => {}
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_stay_inside() {
        let inside = Inside { root: "/r".into() };
        assert_eq!(inside.at(Path::new("/home/ann")), Path::new("/r/home/ann"));
        assert_eq!(inside.at(Path::new("../../etc")), Path::new("/r/etc"));
        assert_eq!(normal(Path::new("/etc/../run/systemd/./resolve/stub")), Path::new("/run/systemd/resolve/stub"));
        assert_eq!(normal(Path::new("/../../x")), Path::new("/x"));
    }
}
