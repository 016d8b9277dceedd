//! What the entries of archives become: files in a folder, layer over layer (OCI image specification, layer.md).
//!
//! Archives are untrusted: a path is followed inside the folder only, absolute links and `..` included, as if the folder were the root. Device nodes are left
//! out (the shell shows the machine's /dev), owners are set where the user has ids for them, and of extended attributes the file capabilities and
//! those of users are kept where the file system takes them.

use super::{inside, remove_tree};
use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use tar::EntryType;

/// Puts archives into a folder, one over the other.
pub(super) struct Unpacker {
    root: PathBuf,
    /// Whether owners are set.
    owners: bool,
    /// Device nodes, which may have more names.
    left_out: HashSet<PathBuf>,
}

/// What one archive has done.
#[derive(Default)]
struct Layer {
    /// Its files, and the folders above them. A whiteout does not mean them, wherever it stands in the archive.
    own: HashSet<PathBuf>,
    /// Folders and when they were changed; what is put into them afterwards must not count.
    times: Vec<(PathBuf, i64)>,
}

impl Unpacker {
    /// For that folder.
    pub fn new(root: &Path, owners: bool) -> Unpacker {
        Unpacker { root: root.to_owned(), owners, left_out: HashSet::new() }
    }

    /// Unpacks one archive. Files `.wh.NAME` remove what was unpacked before (whiteouts).
    ///
    /// # Errors
    /// The archive is damaged or leads out of the folder, or files cannot be written.
    pub fn unpack(&mut self, reader: impl Read) -> Result<()> {
        let mut archive = tar::Archive::new(reader);
        archive.set_preserve_permissions(true);
        archive.set_preserve_ownerships(self.owners);
        archive.set_overwrite(true);
        let mut layer = Layer::default();
        for entry in archive.entries().context("the archive is damaged")? {
            let mut entry = entry.context("the archive is damaged")?;
            let path = entry.path()?.into_owned();
            self.put(&mut entry, &path, &mut layer).with_context(|| path.display().to_string())?;
        }
        for (folder, seconds) in layer.times {
            if fs::symlink_metadata(&folder).is_ok_and(|m| m.is_dir()) {
                set_time(&folder, seconds)?;
            }
        }
        Ok(())
    }

    /// Where a path leads to: its folder followed inside the root, its last part not. `None`: the root itself.
    fn place(&self, path: &Path) -> Result<Option<PathBuf>> {
        if path.components().any(|c| c == Component::ParentDir) {
            bail!("leads out of the root");
        }
        let path: PathBuf = path.components().filter(|c| matches!(c, Component::Normal(_))).collect();
        let Some(name) = path.file_name() else { return Ok(None) };
        let parent = inside(&self.root, path.parent().unwrap_or(Path::new(""))).context("links without an end")?;
        Ok(Some(parent.join(name)))
    }

    fn put(&mut self, entry: &mut tar::Entry<'_, impl Read>, path: &Path, layer: &mut Layer) -> Result<()> {
        // Notes of aufs to itself.
        let is_note =
            |c: Component<'_>| c.as_os_str().as_bytes().starts_with(b".wh..wh.") && c.as_os_str() != ".wh..wh..opq";
        if path.components().any(is_note) {
            return Ok(());
        }
        if let Some(gone) = path.file_name().and_then(|n| n.as_bytes().strip_prefix(b".wh.")) {
            return self.white_out(path, OsStr::from_bytes(gone), layer);
        }
        let kind = entry.header().entry_type();
        let Some(place) = self.place(path)? else { return Ok(()) };
        let is_folder = kind.is_dir() || (kind.is_file() && path.as_os_str().as_bytes().ends_with(b"/"));
        match kind {
            EntryType::XGlobalHeader => return Ok(()),
            EntryType::Block | EntryType::Char => {
                self.make_way(&place, false)?;
                self.left_out.insert(place);
                return Ok(());
            }
            _ => drop(self.left_out.remove(&place)),
        }
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent)?;
        }
        match kind {
            EntryType::Link => {
                let name = entry.link_name()?.context("a hard link to nothing")?.into_owned();
                let target = self.place(&name)?.context("a hard link to the root")?;
                if self.left_out.contains(&target) {
                    self.left_out.insert(place);
                    return Ok(());
                }
                if target != place {
                    self.make_way(&place, false)?;
                    fs::hard_link(&target, &place).with_context(|| format!("hard link to {}", name.display()))?;
                }
            }
            EntryType::Fifo => {
                self.make_way(&place, false)?;
                let header = entry.header();
                let mode = Mode::from_raw_mode(header.mode()?);
                rustix::fs::mknodat(CWD, &place, FileType::Fifo, mode, 0)?;
                if self.owners {
                    std::os::unix::fs::lchown(&place, id(header.uid()?)?, id(header.gid()?)?)?;
                }
                rustix::fs::chmod(&place, mode)?;
                set_time(&place, header.mtime()? as i64)?;
            }
            _ => {
                self.make_way(&place, is_folder)?;
                entry.unpack(&place).map_err(cause)?;
                if kind != EntryType::Symlink {
                    attributes(entry, &place)?;
                }
            }
        }
        if is_folder {
            layer.times.push((place.clone(), entry.header().mtime()? as i64));
        }
        for above in place.ancestors().take_while(|p| *p != self.root) {
            if !layer.own.insert(above.to_owned()) {
                break;
            }
        }
        Ok(())
    }

    /// What is there of a lower layer goes, unless both are folders.
    fn make_way(&self, place: &Path, for_folder: bool) -> Result<()> {
        match fs::symlink_metadata(place) {
            Ok(m) if m.is_dir() && for_folder => Ok(()),
            Ok(m) if m.is_dir() => remove_tree(place),
            Ok(_) => Ok(fs::remove_file(place)?),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    fn white_out(&self, path: &Path, gone: &OsStr, layer: &Layer) -> Result<()> {
        let opaque = gone == ".wh..opq";
        let Some(place) = self.place(&path.with_file_name(if opaque { OsStr::new("x") } else { gone }))? else {
            return Ok(());
        };
        if !opaque {
            return remove_older(&place, layer);
        }
        let Some(Ok(list)) = place.parent().map(fs::read_dir) else { return Ok(()) };
        list.into_iter().try_for_each(|entry| remove_older(&entry?.path(), layer))
    }
}

/// Removes what lower layers have at a place.
fn remove_older(place: &Path, layer: &Layer) -> Result<()> {
    let Ok(m) = fs::symlink_metadata(place) else { return Ok(()) };
    match (layer.own.contains(place), m.is_dir()) {
        (true, true) => fs::read_dir(place)?.try_for_each(|entry| remove_older(&entry?.path(), layer)),
        (true, false) => Ok(()),
        (false, true) => remove_tree(place),
        (false, false) => Ok(fs::remove_file(place)?),
    }
}

fn id(number: u64) -> Result<Option<u32>> {
    Ok(Some(u32::try_from(number).context("an owner beyond all numbers")?))
}

/// The innermost reason; those around it name temporary paths.
fn cause(error: io::Error) -> io::Error {
    let mut inner: &(dyn std::error::Error + 'static) = &error;
    let mut code = None;
    loop {
        code = inner.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error).or(code);
        match inner.source() {
            Some(next) => inner = next,
            None => break code.map_or(error, io::Error::from_raw_os_error),
        }
    }
}

fn set_time(place: &Path, seconds: i64) -> Result<()> {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::utimensat(CWD, place, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Extended attributes, which pax headers have.
fn attributes(entry: &mut tar::Entry<'_, impl Read>, place: &Path) -> Result<()> {
    for extension in entry.pax_extensions()?.into_iter().flatten().flatten() {
        let Some(name) = extension.key().ok().and_then(|k| k.strip_prefix("SCHILY.xattr.")) else { continue };
        if name == "security.capability" || name.starts_with("user.") {
            // Not every file system has them, and no program is the less runnable.
            let _ = rustix::fs::lsetxattr(place, name, extension.value_bytes(), XattrFlags::empty());
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An archive of files with their contents; a content of `->X` is a link, of `=>X` a hard link, a name that ends with `/` a folder.
    pub(in crate::roots) fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o755);
            let bytes = header.as_gnu_mut().expect("gnu");
            // The crate refuses bad names; archives of others have them.
            bytes.name[..name.len()].copy_from_slice(name.as_bytes());
            if let Some(target) = content.strip_prefix("->").or_else(|| content.strip_prefix("=>")) {
                let is_hard = content.starts_with('=');
                header.set_entry_type(if is_hard { EntryType::Link } else { EntryType::Symlink });
                header.set_link_name(target).expect("short");
                header.set_size(0);
                header.set_cksum();
                builder.append(&header, io::empty()).expect("appended");
            } else {
                header.set_entry_type(if name.ends_with('/') { EntryType::Directory } else { EntryType::Regular });
                header.set_size(content.len() as u64);
                header.set_cksum();
                builder.append(&header, content.as_bytes()).expect("appended");
            }
        }
        builder.into_inner().expect("complete")
    }

    fn folder(name: &str) -> Unpacker {
        let root = std::env::temp_dir().join(format!("demotic-import-{name}-{}", std::process::id()));
        fs::create_dir_all(&root).expect("made");
        Unpacker::new(&root, false)
    }

    #[test]
    fn layers_and_whiteouts() {
        let mut to = folder("layers");
        let read = |to: &Unpacker, name: &str| fs::read_to_string(to.root.join(name)).ok();
        to.unpack(
            &archive(&[
                ("./bin/", ""),
                ("bin/a", "1"),
                ("bin/b", "1"),
                ("d/", ""),
                ("d/x", "1"),
                ("e/", ""),
                ("e/x", "1"),
            ])[..],
        )
        .expect("unpacked");
        to.unpack(
            &archive(&[("bin/.wh.a", ""), ("bin/b", "2"), ("d/.wh..wh..opq", ""), ("d/y", "2"), (".wh.e", "")])[..],
        )
        .expect("unpacked");
        assert_eq!((read(&to, "bin/a"), read(&to, "bin/b")), (None, Some("2".to_owned())));
        assert_eq!(
            (read(&to, "d/x"), read(&to, "d/y"), to.root.join("e").exists()),
            (None, Some("2".to_owned()), false)
        );
        to.unpack(&archive(&[("d", "file")])[..]).expect("unpacked");
        assert_eq!(read(&to, "d"), Some("file".to_owned()));
        fs::remove_dir_all(to.root).expect("ours");
    }

    #[test]
    fn nothing_leaves_the_folder() {
        let mut to = folder("escape");
        let outside = to.root.with_extension("outside");
        fs::create_dir_all(&outside).expect("made");
        fs::write(outside.join("keep"), "x").expect("written");
        let link = format!("->{}", outside.display());
        assert!(to.unpack(&archive(&[("../escaped", "x")])[..]).is_err());
        to.unpack(&archive(&[("l", &link), ("l/new", "x")])[..]).expect("it is inside");
        let _ = to.unpack(&archive(&[("l", &link), ("l/.wh.keep", ""), ("l/.wh..wh..opq", "")])[..]);
        assert!(outside.join("keep").exists() && !outside.join("new").exists());
        assert!(!to.root.with_file_name("escaped").exists());
        fs::remove_dir_all(to.root).expect("ours");
        fs::remove_dir_all(outside).expect("ours");
    }

    #[test]
    fn layers_change_what_a_name_is() {
        let mut to = folder("kinds");
        to.unpack(
            &archive(&[
                ("real/", ""),
                ("real/a", "1"),
                ("file", "1"),
                ("link", "->real"),
                ("here", "->/real"),
                ("h1", "1"),
                ("h2", "=>h1"),
                ("h3", "2"),
            ])[..],
        )
        .expect("unpacked");
        let upper = [
            ("file/", ""),
            ("file/x", "2"),
            ("link/", ""),
            ("link/x", "2"),
            ("here/x", "2"),
            ("h3", "=>/h1"),
            ("loose", "->nowhere"),
            ("loose2", "=>loose"),
        ];
        to.unpack(&archive(&upper)[..]).expect("unpacked");
        let kind = |name: &str| fs::symlink_metadata(to.root.join(name)).expect("there").file_type();
        assert!(kind("file").is_dir() && kind("link").is_dir() && kind("here").is_symlink());
        assert!(kind("loose2").is_symlink());
        let mut names: Vec<_> =
            fs::read_dir(to.root.join("real")).expect("there").flatten().map(|e| e.file_name()).collect();
        names.sort();
        assert_eq!(names, ["a", "x"]);
        assert_eq!(std::os::unix::fs::MetadataExt::nlink(&fs::metadata(to.root.join("h3")).expect("there")), 3);
        fs::remove_dir_all(to.root).expect("ours");
    }

    #[test]
    fn a_whiteout_is_about_lower_layers() {
        let mut to = folder("order");
        to.unpack(&archive(&[("d/", ""), ("d/old", "1"), ("d/e/", ""), ("d/e/old", "1"), ("f", "1")])[..])
            .expect("unpacked");
        let upper = [
            ("d/new", "2"),
            ("d/e/new", "2"),
            ("d/.wh..wh..opq", ""),
            ("f", "2"),
            (".wh.f", ""),
            (".wh..wh.plnk/x", ""),
        ];
        to.unpack(&archive(&upper)[..]).expect("unpacked");
        for (name, there) in [("d/new", true), ("d/e/new", true), ("f", true), ("d/old", false), ("d/e/old", false)] {
            assert_eq!(to.root.join(name).exists(), there, "{name}");
        }
        assert!(!to.root.join(".wh..wh.plnk").exists());
        fs::remove_dir_all(to.root).expect("ours");
    }
}
