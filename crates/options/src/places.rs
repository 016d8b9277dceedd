//! Where Demotic's files of a user are (XDG Base Directory Specification).
//!
//! `XDG_*_HOME` where it is an absolute path, else the usual folder in HOME. A home that is not there, or that is somebody else's (sudo may
//! leave HOME as it is), gets none: files of another user would appear there.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// The kinds of folders.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Base {
    /// What can be made again.
    Cache,
    /// What the user writes.
    Config,
    /// What the user keeps.
    Data,
}

impl Base {
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Base::Cache => ("XDG_CACHE_HOME", ".cache"),
            Base::Config => ("XDG_CONFIG_HOME", ".config"),
            Base::Data => ("XDG_DATA_HOME", ".local/share"),
        }
    }
}

/// Demotic's folder of that kind for the user `euid`; it need not exist.
pub fn folder(base: Base, euid: u32) -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let own = |p: &PathBuf| fs::metadata(p).is_ok_and(|m| m.is_dir() && m.uid() == euid);
    let (variable, usual) = base.names();
    let dir = absolute(variable).or_else(|| Some(absolute("HOME").filter(own)?.join(usual)))?;
    Some(dir.join("demotic"))
}

/// Translations that runs leave for later ones.
pub fn translations(euid: u32) -> Option<PathBuf> {
    folder(Base::Cache, euid).map(|p| p.join("code"))
}

/// Guest roots, a folder each.
pub fn roots(euid: u32) -> Option<PathBuf> {
    folder(Base::Data, euid).map(|p| p.join("roots"))
}

/// The machine's configuration file.
pub const SYSTEM_CONFIG: &str = "/etc/demotic/config";

/// The user's configuration file.
pub fn user_config(euid: u32) -> Option<PathBuf> {
    folder(Base::Config, euid).map(|p| p.join("config"))
}
