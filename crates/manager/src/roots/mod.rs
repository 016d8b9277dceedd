//! Guest roots: whole systems for i386 or x86-64 in folders of the user's.
//!
//! A root is a folder in `~/.local/share/demotic/roots`. It is made under a name that no verb shows and renamed when it is complete; a watcher process removes what
//! there is of it when its maker ends before, however it ends ([`Fresh`]).

mod create;
mod import;
mod oci;
mod unpack;

use crate::namespace::{self, Mapping};
use anyhow::{Context, Result, anyhow, bail};
use demotic_options::places;
use demotic_options::verbs::Parsed;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The watcher's first argument.
pub const WATCH: &str = "--watch-folder";
/// Names of what is being made or removed begin so.
const HIDDEN: &str = ".";

/// Does one of the verbs.
///
/// # Errors
/// What keeps it from being done.
pub fn run(parsed: &Parsed) -> Result<()> {
    // Others than the caller read a root's folders, too: inside, its users are those.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    match parsed.verb.words {
        "root create" => create::run(parsed),
        "root import" => import::run(parsed),
        "root list" => list(parsed.has("json")),
        "root path" => {
            println!("{}", folder(&parsed.operands[0])?.display());
            Ok(())
        }
        _ => remove(&parsed.operands[0]),
    }
}

/// The folder of all roots.
fn all() -> Result<PathBuf> {
    places::roots(rustix::process::geteuid().as_raw()).context("neither XDG_DATA_HOME nor a HOME of this user is set")
}

/// A name of a root: it is a file name, a word in commands, and a host name at times.
fn check_name(name: &str) -> Result<()> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'+' | b'-');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) || !name.as_bytes()[0].is_ascii_alphanumeric() {
        bail!(
            "{name:?} is no name for a root: letters, digits, '.', '_', '+', '-', the first a letter or digit, at most 64"
        );
    }
    Ok(())
}

/// The folder of a root that is there; a name with a slash is a folder itself.
///
/// # Errors
/// There is none.
pub fn folder(name: &str) -> Result<PathBuf> {
    if name.contains('/') {
        let path = fs::canonicalize(name).with_context(|| name.to_owned())?;
        if !path.is_dir() || path == Path::new("/") {
            bail!("{name}: not a folder with a root");
        }
        // Folders for /proc and others will be made in it.
        import::check(&path).with_context(|| name.to_owned())?;
        return Ok(path);
    }
    check_name(name)?;
    let path = all()?.join(name);
    if !path.is_dir() {
        bail!("there is no root {name:?} (demotic root list)");
    }
    Ok(path)
}

/// A root that is being made.
struct Fresh {
    /// Where it is for now.
    path: PathBuf,
    place: PathBuf,
    watcher: Watcher,
}

impl Fresh {
    /// Checks the name and makes an empty folder with a watcher. In the namespace of the root's ids already.
    fn new(all: &Path, name: &str) -> Result<Fresh> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let place = free(all, name)?;
        fs::DirBuilder::new().recursive(true).mode(0o755).create(all).with_context(|| all.display().to_string())?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = all.join(format!("{HIDDEN}new-{name}-{}-{number}", std::process::id()));
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        let watcher = Watcher::new(&path).inspect_err(|_| drop(fs::remove_dir(&path)))?;
        Ok(Fresh { path, place, watcher })
    }

    /// It is complete.
    fn finish(mut self) -> Result<PathBuf> {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, &self.path, CWD, &self.place, RenameFlags::NOREPLACE) {
            // Not every file system knows it.
            Err(rustix::io::Errno::INVAL) if !self.place.exists() => Ok(fs::rename(&self.path, &self.place)?),
            Err(rustix::io::Errno::EXIST | rustix::io::Errno::INVAL) => Err(anyhow!("appeared meanwhile")),
            done => done.map_err(anyhow::Error::from),
        }
        .with_context(|| self.place.display().to_string())?;
        self.watcher.keep()?;
        Ok(self.place.clone())
    }
}

/// A process that removes a folder when this one ends, however that may be, or lets go of it.
struct Watcher(Child);

impl Watcher {
    fn new(path: &Path) -> Result<Watcher> {
        let child = Command::new("/proc/self/exe")
            .arg(WATCH)
            .arg(path)
            .stdin(Stdio::piped())
            // What interrupts this one must not interrupt it.
            .process_group(0)
            .spawn()
            .context("/proc/self/exe")?;
        Ok(Watcher(child))
    }

    /// The folder stays.
    fn keep(&mut self) -> Result<()> {
        self.0.stdin.take().context("a pipe")?.write_all(b"x")?;
        self.0.wait()?;
        Ok(())
    }

    /// The folder goes; returns when it is gone, and whether all of it is. The watcher has said what is in the way.
    fn remove(&mut self) -> bool {
        // Closing the pipe is the sign.
        drop(self.0.stdin.take());
        self.0.wait().is_ok_and(|status| status.success())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.remove();
    }
}

/// The place for a new root of that name.
fn free(all: &Path, name: &str) -> Result<PathBuf> {
    check_name(name)?;
    let place = all.join(name);
    if place.exists() {
        bail!("there is a root {name:?} already: demotic root remove {name}");
    }
    Ok(place)
}

/// The watcher: removes the folder unless a byte comes before its maker ends.
///
/// # Errors
/// It cannot be removed.
pub fn watch(words: &[String]) -> Result<()> {
    let [path] = words else { bail!("an internal option was used from outside") };
    let mut byte = [0];
    if std::io::stdin().read(&mut byte)? == 0 {
        remove_tree(Path::new(path))?;
    }
    Ok(())
}

/// Removes a folder whose folders may be unwritable for their owner.
fn remove_tree(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fn open_up(path: &Path) {
        let Ok(m) = fs::symlink_metadata(path) else { return };
        if m.is_dir() {
            if m.permissions().mode() & 0o700 != 0o700 {
                let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
            }
            fs::read_dir(path).into_iter().flatten().flatten().for_each(|e| open_up(&e.path()));
        }
    }
    if fs::remove_dir_all(path).is_ok() || !path.exists() {
        return Ok(());
    }
    open_up(path);
    fs::remove_dir_all(path).with_context(|| path.display().to_string())
}

/// Enters the namespace in which this user's roots have their owners; nothing for root, who needs none.
fn enter() -> Result<Mapping> {
    let mapping = Mapping::possible();
    if mapping != Mapping::Same {
        namespace::enter(&mapping)?;
    }
    Ok(mapping)
}

fn remove(name: &str) -> Result<()> {
    check_name(name)?;
    let (all, path) = (all()?, folder(name)?);
    // Unseen at once, so that a removal that is interrupted leaves no half of a root.
    let hidden = all.join(format!("{HIDDEN}old-{name}-{}", std::process::id()));
    enter()?;
    fs::rename(&path, &hidden).with_context(|| path.display().to_string())?;
    // By the watcher, which goes on when this process is interrupted.
    if !Watcher::new(&hidden)?.remove() {
        bail!("{}: a part of it is left", hidden.display());
    }
    Ok(())
}

fn list(as_json: bool) -> Result<()> {
    let all = all()?;
    let entries = match fs::read_dir(&all) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        entries => Some(entries.with_context(|| all.display().to_string())?),
    };
    let mut roots: Vec<(String, PathBuf)> = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| (e.file_name().to_string_lossy().into_owned(), e.path()))
        .filter(|(name, path)| check_name(name).is_ok() && path.is_dir())
        .collect();
    roots.sort();
    if as_json {
        let list: Vec<_> = roots
            .iter()
            .map(|(name, path)| {
                serde_json::json!({ "name": name, "path": path, "arch": arch(path), "system": system(path) })
            })
            .collect();
        println!("{}", serde_json::Value::from(list));
        return Ok(());
    }
    for (name, path) in &roots {
        println!("{name:<20} {:<6} {}", arch(path).unwrap_or("?"), system(path).unwrap_or_else(|| "?".to_owned()));
    }
    if roots.is_empty() {
        println!("there are no roots (demotic root create, demotic root import)");
    }
    Ok(())
}

/// Follows links inside a root, as if it were `/`.
fn inside(root: &Path, path: &Path) -> Option<PathBuf> {
    let parts = |path: &Path| -> Vec<PathBuf> {
        let named = |c: &Component<'_>| matches!(c, Component::Normal(_) | Component::ParentDir);
        path.components().filter(named).map(|c| PathBuf::from(c.as_os_str())).collect()
    };
    let mut rest = parts(path);
    rest.reverse();
    let (mut done, mut links) = (root.to_owned(), 0);
    while let Some(part) = rest.pop() {
        if part == Path::new("..") {
            if done != root {
                done.pop();
            }
            continue;
        }
        match fs::read_link(done.join(&part)) {
            Ok(link) => {
                links += 1;
                if links > 40 {
                    return None;
                }
                if link.is_absolute() {
                    root.clone_into(&mut done);
                }
                rest.extend(parts(&link).into_iter().rev());
            }
            Err(_) => done.push(part),
        }
    }
    Some(done)
}

/// The architecture of a root, by its shell.
fn arch(root: &Path) -> Option<&'static str> {
    let mut start = [0; 20];
    fs::File::open(inside(root, Path::new("/bin/sh"))?).ok()?.read_exact(&mut start).ok()?;
    match (&start[..5], start[18]) {
        (b"\x7fELF\x01", 3) => Some("i386"),
        (b"\x7fELF\x02", 62) => Some("amd64"),
        (b"\x7fELF\x02", 183) => Some("arm64"),
        _ => None,
    }
}

/// What a root calls itself (os-release(5)).
fn system(root: &Path) -> Option<String> {
    let text = fs::read_to_string(inside(root, Path::new("/etc/os-release"))?).ok()?;
    let value = text.lines().find_map(|l| l.strip_prefix("PRETTY_NAME="))?;
    Some(value.trim_matches('"').to_owned())
}

/// One line of progress on a terminal.
struct Progress {
    what: &'static str,
    total: Option<u64>,
    done: u64,
    shown: std::time::Instant,
    is_terminal: bool,
}

impl Progress {
    fn new(what: &'static str, total: Option<u64>) -> Progress {
        use std::io::IsTerminal;
        let is_terminal = std::io::stderr().is_terminal();
        Progress { what, total, done: 0, shown: std::time::Instant::now(), is_terminal }
    }

    fn add(&mut self, bytes: u64) {
        self.done += bytes;
        if self.is_terminal && self.shown.elapsed().as_millis() >= 100 {
            self.shown = std::time::Instant::now();
            self.show();
        }
    }

    fn show(&self) {
        let mebi = self.done >> 20;
        match self.total.filter(|t| *t > 0) {
            Some(total) => {
                let part = (self.done.min(total) * 30 / total) as usize;
                let (bar, rest) = ("#".repeat(part), " ".repeat(30 - part));
                eprint!("\r{} [{bar}{rest}] {mebi} of {} MiB ", self.what, total >> 20);
            }
            None => eprint!("\r{} {mebi} MiB ", self.what),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_terminal {
            self.show();
            eprintln!();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["bookworm", "a", "deb12-i386", "x_y+z.1", "0"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", ".hidden", "-x", "a/b", "a b", "ä", "a\n", &"x".repeat(65)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn links_stay_inside() {
        let root = std::env::temp_dir().join(format!("demotic-links-{}", std::process::id()));
        fs::create_dir_all(root.join("usr/bin")).expect("made");
        let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, root.join(at)).expect("made");
        link("usr/bin", "bin");
        link("/etc/alternatives/sh", "usr/bin/sh");
        link("../../../../x", "usr/bin/up");
        link("loop", "loop");
        assert_eq!(inside(&root, Path::new("/bin/sh")), Some(root.join("etc/alternatives/sh")));
        assert_eq!(inside(&root, Path::new("/bin/up")), Some(root.join("x")));
        assert_eq!(inside(&root, Path::new("/loop")), None);
        fs::remove_dir_all(root).expect("ours");
    }
}
