//! The folder in which translations are kept between processes.
//!
//! One file for each program and variant of translations, named by a digest of what makes it the same program: device, inode, size and
//! time of the file, the build of Demotic (the same of its own file), the width of the guest. A file is replaced as a whole by
//! rename(2), so readers see the old or the new one, and whoever comes last wins.
//!
//! Trust: what is in the folder will be executed, so it and its files must belong to the effective user and be writable by nobody
//! else, and a process with rights beyond its user's (AT_SECURE) uses none. The guest may change its root directory or its user
//! before it ends: the folder is only written to while its path leads to the same place as at the start. Errors are nobody's
//! business: without a file everything is translated anew.

use demotic_engine::Shelf;
use demotic_host::map::Room;
use demotic_x86::features::Features;
use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Bytes that all files together may have; the oldest go.
const ROOM: u64 = 256 << 20;
/// After this time a file that was never finished is nobody's.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Whether and where translations are kept.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Keep {
    /// Nowhere.
    #[default]
    Off,
    /// In this folder.
    In(PathBuf),
}

impl Keep {
    /// The user's folder ([`demotic_options::places`]).
    pub fn usual() -> Keep {
        // SAFETY: no arguments.
        demotic_options::places::translations(unsafe { libc::geteuid() }).map_or(Keep::Off, Keep::In)
    }

    /// What `--keep` says.
    pub fn parse(text: OsString) -> Keep {
        if text == "off" { Keep::Off } else { Keep::In(text.into()) }
    }

    /// Makes the folder, for its owner alone, unless it is there.
    pub fn prepare(&self) {
        let Keep::In(dir) = self else { return };
        if !is_secure() && !dir.is_dir() {
            let _ = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        }
    }
}

/// Whether the process has rights beyond those of its user (getauxval(3)).
pub fn is_secure() -> bool {
    // SAFETY: reads the auxiliary vector.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

fn is_own(m: &Metadata) -> bool {
    // SAFETY: no arguments.
    m.uid() == unsafe { libc::geteuid() }
}

fn is_private(m: &Metadata) -> bool {
    is_own(m) && m.mode() & 0o022 == 0
}

/// What tells one file from another, and from itself after a change.
fn trace(m: &Metadata, hasher: &mut impl Hasher) {
    (m.dev(), m.ino(), m.size(), m.mtime(), m.mtime_nsec()).hash(hasher);
}

/// The place of one program's translations.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
    /// Device and inode of the folder.
    place: (u64, u64),
    identity: u64,
}

impl Folder {
    /// The place of a program's translations. `None` when none are kept.
    pub fn open(keep: &Keep, program: &File, is_32bit: bool, features: Features) -> Option<Folder> {
        let Keep::In(dir) = keep else { return None };
        if is_secure() {
            return None;
        }
        let place = fs::metadata(dir).ok().filter(|m| m.is_dir() && is_private(m))?;
        let mut hasher = DefaultHasher::new();
        trace(&program.metadata().ok()?, &mut hasher);
        // This build of Demotic: translations of another one may be other code for the same address.
        trace(&crate::exec::own_metadata()?, &mut hasher);
        (env!("CARGO_PKG_VERSION"), is_32bit, features).hash(&mut hasher);
        Some(Folder { dir: dir.clone(), place: (place.dev(), place.ino()), identity: hasher.finish() })
    }

    fn file(&self, variant: u64) -> PathBuf {
        self.dir.join(format!("{:016x}-{variant:016x}", self.identity))
    }

    fn write(&self, variant: u64, image: &[u8]) -> std::io::Result<()> {
        let m = fs::metadata(&self.dir)?;
        if !is_private(&m) || (m.dev(), m.ino()) != self.place || image.len() as u64 > file_limit() {
            return Ok(());
        }
        let file = self.file(variant);
        let unfinished = file.with_extension(std::process::id().to_string());
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(&unfinished)
            .and_then(|mut f| f.write_all(image))
            .and_then(|()| fs::rename(&unfinished, &file));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        make_room(&self.dir, &file);
        written
    }
}

/// The largest file that the process may write; beyond it SIGXFSZ would come.
fn file_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is ours.
    if unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit) } != 0 {
        return 0;
    }
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
    u64::from(limit.rlim_cur)
}

/// Removes what was never finished, and the oldest files until the rest has room. `but`: not this one.
fn make_room(dir: &Path, but: &Path) {
    let Ok(list) = fs::read_dir(dir) else { return };
    let now = SystemTime::now();
    let mut files = Vec::new();
    for entry in list.flatten() {
        let path = entry.path();
        let Ok(m) = entry.metadata() else { continue };
        let Ok(time) = m.modified() else { continue };
        let abandoned = path.extension().is_some() && now.duration_since(time).is_ok_and(|age| age > ABANDONED);
        if abandoned {
            let _ = fs::remove_file(&path);
        } else if m.is_file() && path != but {
            files.push((time, m.len(), path));
        }
    }
    let own = fs::metadata(but).map_or(0, |m| m.len());
    let mut total = own + files.iter().map(|f| f.1).sum::<u64>();
    files.sort_unstable();
    for (_, size, path) in files {
        if total <= ROOM {
            break;
        }
        if fs::remove_file(&path).is_ok() {
            total -= size;
        }
    }
}

impl Shelf for Folder {
    fn identity(&self) -> u64 {
        self.identity
    }

    fn load(&self, variant: u64) -> Option<Room> {
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
            .open(self.file(variant))
            .ok()?;
        let m = file.metadata().ok().filter(|m| m.is_file() && is_private(m) && m.len() <= ROOM)?;
        let mut image = Room::new(m.len() as usize).ok()?;
        file.read_exact(&mut image).ok()?;
        Some(image)
    }

    fn save(&self, variant: u64, image: &[u8]) {
        // Nobody is told: the program's output is the program's.
        let _ = self.write(variant, image);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn folder() -> PathBuf {
        crate::exec::remember_own_binary();
        let dir = std::env::temp_dir().join(format!(
            "demotic-shelf-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        fs::DirBuilder::new().mode(0o700).create(&dir).unwrap();
        dir
    }

    #[test]
    fn what_is_saved_is_there_for_its_owner_and_its_program() {
        let dir = folder();
        let keep = Keep::In(dir.clone());
        let (one, other) = (dir.join("one"), dir.join("other"));
        fs::write(&one, "1").unwrap();
        fs::write(&other, "2").unwrap();
        let open =
            |path: &Path, wide| Folder::open(&keep, &File::open(path).unwrap(), wide, Features::DEFAULT).unwrap();
        open(&one, false).save(7, b"image");
        assert_eq!(open(&one, false).load(7).as_deref(), Some(&b"image"[..]));
        assert_eq!(open(&one, false).load(8).as_deref(), None);
        assert_eq!(open(&one, true).load(7).as_deref(), None);
        assert_eq!(open(&other, false).load(7).as_deref(), None);
        let file = open(&one, false).file(7);
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        // Somebody else could have written it.
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(open(&one, false).load(7).as_deref(), None);
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Folder::open(&keep, &File::open(&one).unwrap(), false, Features::DEFAULT).is_none());
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn another_folder_at_the_same_path_is_left_alone() {
        let dir = folder();
        let program = dir.join("program");
        fs::write(&program, "1").unwrap();
        let inner = dir.join("code");
        fs::DirBuilder::new().mode(0o700).create(&inner).unwrap();
        let shelf =
            Folder::open(&Keep::In(inner.clone()), &File::open(&program).unwrap(), false, Features::DEFAULT).unwrap();
        fs::rename(&inner, dir.join("elsewhere")).unwrap();
        fs::DirBuilder::new().mode(0o700).create(&inner).unwrap();
        shelf.save(1, b"image");
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 0);
        fs::remove_dir_all(&dir).unwrap();
    }
}
