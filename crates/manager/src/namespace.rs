//! A user and mount namespace for work on guest roots, without being root.
//!
//! A root has files of many users. A user gets them by the range of ids in /etc/subuid and /etc/subgid (user_namespaces(7), newuidmap(1)): in the namespace
//! the caller is root (0), and 1 and up are the range. So files of the root's root belong to the caller, on disk. Without such a range there is one id only
//! ([`Mapping::Single`]): everything belongs to the caller, changing owners fails, and apt is told not to use its own user.
//! Root itself keeps its ids ([`Mapping::Same`]).
//!
//! A process cannot map more than its own id from inside. So a helper is started first, stays outside, and maps when it is told to.

use anyhow::{Context, Result, bail};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::UnshareFlags;
use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

/// The helper's first argument.
pub const MAP: &str = "--map-ids";

/// What the ids of a namespace are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mapping {
    /// The same as outside.
    Same,
    /// Root is the caller, then come ranges: first and number of user ids and of group ids.
    Ranges((u32, u32), (u32, u32)),
    /// Root is the caller, there are no others. Why not more.
    Single(String),
}

impl Mapping {
    /// What this user can have.
    pub fn possible() -> Mapping {
        let uid = rustix::process::geteuid().as_raw();
        if uid == 0 {
            return Mapping::Same;
        }
        for tool in ["newuidmap", "newgidmap"] {
            if !on_path(tool) {
                return Mapping::Single(format!("{tool} is missing: apt install uidmap"));
            }
        }
        let name = user_name(uid);
        let range = |file: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            range_of(&text, uid, name.as_deref()).ok_or_else(|| {
                let name = name.clone().unwrap_or(uid.to_string());
                format!("{file} has no range for {name}: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}")
            })
        };
        match (range("/etc/subuid"), range("/etc/subgid")) {
            (Ok(uids), Ok(gids)) => Mapping::Ranges(uids, gids),
            (Err(why), _) | (_, Err(why)) => Mapping::Single(why),
        }
    }

    /// Whether files can have owners.
    pub fn has_owners(&self) -> bool {
        !matches!(self, Mapping::Single(_))
    }
}

/// Whether a program is in PATH.
pub fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into());
    std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
}

fn user_name(uid: u32) -> Option<String> {
    let text = fs::read_to_string("/etc/passwd").ok()?;
    let line = text.lines().find(|l| l.split(':').nth(2) == Some(&uid.to_string()))?;
    Some(line.split(':').next()?.to_owned())
}

/// The largest range of a user in /etc/subuid or /etc/subgid: `name or id:first:number`.
fn range_of(text: &str, uid: u32, name: Option<&str>) -> Option<(u32, u32)> {
    let ranges = text.lines().filter_map(|line| {
        let mut parts = line.split(':');
        let who = parts.next()?;
        let range = (parts.next()?.parse().ok()?, parts.next()?.trim().parse().ok()?);
        (Some(who) == name || who.parse() == Ok(uid)).then_some(range)
    });
    ranges.max_by_key(|r| r.1)
}

/// Puts this process into namespaces of its own. It must have one thread.
///
/// # Errors
/// The kernel does not allow it, or ids cannot be mapped.
pub fn enter(mapping: &Mapping) -> Result<()> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let text = |first: (u32, u32), range: (u32, u32)| format!("{} {} 1 1 {} {}", first.0, first.1, range.0, range.1);
    let helper = match mapping {
        Mapping::Single(_) => None,
        Mapping::Same => Some(["same".to_owned(), String::new()]),
        Mapping::Ranges(uids, gids) => Some([text((0, uid), *uids), text((0, gid), *gids)]),
    };
    let helper = match helper {
        None => None,
        Some(maps) => Some(
            Command::new("/proc/self/exe")
                .arg(MAP)
                .arg(std::process::id().to_string())
                .args(maps)
                .stdin(Stdio::piped())
                .spawn()
                .context("/proc/self/exe")?,
        ),
    };
    #[allow(deprecated)] // The other one is unsafe for what is not asked for here: unsharing descriptors.
    rustix::thread::unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS).map_err(|e| {
        let hint = match e {
            rustix::io::Errno::PERM | rustix::io::Errno::NOSPC => {
                ": user namespaces are switched off (sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces, \
                 kernel.apparmor_restrict_unprivileged_userns)"
            }
            _ => "",
        };
        anyhow::anyhow!("no user namespace: {e}{hint}")
    })?;
    match helper {
        Some(mut helper) => {
            helper.stdin.take().context("a pipe")?.write_all(b"x")?;
            if !helper.wait()?.success() {
                bail!("ids cannot be mapped");
            }
        }
        None => {
            fs::write("/proc/self/setgroups", "deny").context("/proc/self/setgroups")?;
            fs::write("/proc/self/uid_map", format!("0 {uid} 1")).context("/proc/self/uid_map")?;
            fs::write("/proc/self/gid_map", format!("0 {gid} 1")).context("/proc/self/gid_map")?;
        }
    }
    // What is mounted here is nobody else's business.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).context("mount namespace")
}

/// The helper: waits for a byte, then maps the ids of a process.
///
/// # Errors
/// They cannot be mapped.
pub fn map(words: &[String]) -> Result<()> {
    let [pid, uids, gids] = words else { bail!("an internal option was used from outside") };
    let mut byte = [0];
    if std::io::stdin().read(&mut byte)? == 0 {
        // The other one has given up.
        return Ok(());
    }
    for (file, tool, map) in [("uid_map", "newuidmap", uids), ("gid_map", "newgidmap", gids)] {
        if uids == "same" {
            // What is mapped here is mapped the same there.
            let here = fs::read_to_string(format!("/proc/self/{file}"))?;
            let lines: Vec<String> = here
                .lines()
                .filter_map(|line| {
                    let numbers: Vec<&str> = line.split_whitespace().collect();
                    Some(format!("{0} {0} {1}\n", numbers.first()?, numbers.get(2)?))
                })
                .collect();
            fs::write(format!("/proc/{pid}/{file}"), lines.concat()).context(file)?;
        } else {
            let done = Command::new(tool).arg(pid).args(map.split(' ')).status().context(tool)?;
            if !done.success() {
                bail!("{tool} failed");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let text = "root:1:2\nann:100000:65536\n1001:200000:65536\nann:400000:100\nbroken\nx:y:z\n";
        assert_eq!(range_of(text, 1000, Some("ann")), Some((100000, 65536)));
        assert_eq!(range_of(text, 1001, Some("bob")), Some((200000, 65536)));
        assert_eq!(range_of(text, 1002, None), None);
        assert_eq!(range_of(text, 5, Some("x")), None);
    }
}
