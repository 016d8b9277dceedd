//! `demotic root import`: a root from a tar archive, or from an OCI image layout.
//!
//! Archives are untrusted: nothing is written outside the new folder (the tar crate follows no link out of it), device nodes are left out (the shell
//! shows the machine's /dev), and owners are set where the user has ids for them.

use super::{Fresh, Progress, all, enter, free, oci};
use anyhow::{Context, Result, bail};
use demotic_options::verbs::Parsed;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Component, Path};
use tar::EntryType;

/// Does the verb.
pub(super) fn run(parsed: &Parsed) -> Result<()> {
    let source = std::path::absolute(&parsed.operands[0])?;
    let name = match parsed.value("name") {
        Some(name) => name.to_owned(),
        None => name_of(&source),
    };
    let arch = parsed.value("arch").unwrap_or("amd64");
    if !["i386", "amd64"].contains(&arch) {
        bail!("--arch: expected i386 or amd64");
    }
    let all = all()?;
    free(&all, &name)?;
    if !source.exists() {
        bail!("{}: not there", source.display());
    }
    let mapping = enter()?;
    let fresh = Fresh::new(&all, &name)?;
    let mut unpacker = Unpacker { root: fresh.path.clone(), owners: mapping.has_owners() };
    if source.is_dir() {
        oci::import(&source, arch, &mut unpacker)?;
    } else if holds_layout(&source)? {
        let layout = Fresh::new(&all, &format!("layout-{name}"))?;
        let mut files = Unpacker { root: layout.path.clone(), owners: false };
        files.unpack(reader(File::open(&source)?, fs::metadata(&source)?.len())?)?;
        oci::import(&layout.path, arch, &mut unpacker)?;
    } else {
        unpacker.unpack(reader(File::open(&source)?, fs::metadata(&source)?.len())?)?;
    }
    check(&fresh.path)?;
    println!("{}", fresh.finish()?.display());
    Ok(())
}

/// Something that can be a root has programs.
pub(super) fn check(root: &Path) -> Result<()> {
    if !["bin", "usr/bin"].iter().any(|d| root.join(d).is_dir()) {
        bail!("there is no system in it: neither /bin nor /usr/bin");
    }
    Ok(())
}

/// A file's name without the endings of archives.
fn name_of(path: &Path) -> String {
    let mut name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    while let Some(rest) =
        [".gz", ".xz", ".zst", ".tar", ".tgz", ".txz", ".oci"].iter().find_map(|e| name.strip_suffix(e))
    {
        name = rest.to_owned();
    }
    name
}

/// Whether an archive is one of an OCI layout: `oci-layout` is near its beginning.
fn holds_layout(path: &Path) -> Result<bool> {
    let mut archive = tar::Archive::new(decompress(File::open(path)?)?);
    for entry in archive.entries()?.take(50) {
        let path = entry.with_context(|| path.display().to_string())?.path()?.into_owned();
        let parts: Vec<Component<'_>> = path.components().filter(|c| *c != Component::CurDir).collect();
        match parts.first() {
            Some(Component::Normal(p)) if *p == "oci-layout" => return Ok(true),
            Some(Component::Normal(p)) if *p == "blobs" || *p == "index.json" || *p == "manifest.json" => {}
            _ => return Ok(false),
        }
    }
    Ok(false)
}

/// A file with progress, decompressed.
pub(super) fn reader(file: impl Read + 'static, total: u64) -> Result<Box<dyn Read>> {
    decompress(Shown { file, progress: Progress::new("unpacking", Some(total)) })
}

/// Decompresses by the first bytes: gzip, xz, zstd, or nothing.
fn decompress(file: impl Read + 'static) -> Result<Box<dyn Read>> {
    let mut file = BufReader::with_capacity(1 << 16, file);
    let start = io::BufRead::fill_buf(&mut file)?;
    Ok(match start {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(file)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Box::new(lzma_rust2::XzReader::new(file, true)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            Box::new(ruzstd::decoding::StreamingDecoder::new(file).map_err(|e| anyhow::anyhow!("zstd: {e}"))?)
        }
        _ => Box::new(file),
    })
}

/// Counts what is read.
struct Shown<R> {
    file: R,
    progress: Progress,
}

impl<R: Read> Read for Shown<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.progress.add(n as u64);
        Ok(n)
    }
}

/// Puts archives into a folder, one over the other.
pub(super) struct Unpacker {
    /// The folder.
    pub root: std::path::PathBuf,
    /// Whether owners are set.
    pub owners: bool,
}

impl Unpacker {
    /// Unpacks one archive. Files `.wh.NAME` remove what was unpacked before (OCI image layer specification, whiteouts).
    pub fn unpack(&mut self, reader: impl Read) -> Result<()> {
        let mut archive = tar::Archive::new(reader);
        archive.set_preserve_permissions(true);
        archive.set_preserve_ownerships(self.owners);
        archive.set_overwrite(true);
        for entry in archive.entries()? {
            let mut entry = entry.context("the archive is damaged")?;
            let path = entry.path()?.into_owned();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if let Some(gone) = name.strip_prefix(".wh.") {
                self.white_out(&path, gone)?;
                continue;
            }
            match entry.header().entry_type() {
                EntryType::Block | EntryType::Char | EntryType::Fifo | EntryType::XGlobalHeader => continue,
                EntryType::Directory => {}
                // What was a folder in a lower layer may be a file now.
                _ => {
                    if let Some(old) = self.place(&path).filter(|p| fs::symlink_metadata(p).is_ok_and(|m| m.is_dir())) {
                        super::remove_tree(&old)?;
                    }
                }
            }
            let written = entry.unpack_in(&self.root).with_context(|| path.display().to_string())?;
            if !written {
                bail!("{}: leads out of the root", path.display());
            }
        }
        Ok(())
    }

    /// Where an entry goes, if its folder is inside for real.
    fn place(&self, path: &Path) -> Option<std::path::PathBuf> {
        let parts = path.components().filter(|c| *c != Component::CurDir && *c != Component::RootDir);
        let mut place = self.root.clone();
        for part in parts {
            let Component::Normal(name) = part else { return None };
            place.push(name);
        }
        let parent = fs::canonicalize(place.parent()?).ok()?;
        let root = fs::canonicalize(&self.root).ok()?;
        (parent.starts_with(&root) && place != self.root).then(|| parent.join(place.file_name().unwrap_or_default()))
    }

    fn white_out(&self, path: &Path, gone: &str) -> Result<()> {
        let opaque = gone == ".wh..opq";
        let Some(place) = self.place(&path.with_file_name(if opaque { "x" } else { gone })) else { return Ok(()) };
        if !opaque {
            return if fs::symlink_metadata(&place).is_ok_and(|m| !m.is_dir()) {
                Ok(fs::remove_file(&place)?)
            } else {
                super::remove_tree(&place)
            };
        }
        let folder = place.parent().context("inside")?;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                super::remove_tree(&entry.path())?
            } else {
                fs::remove_file(entry.path())?
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An archive of files with their contents; a content of `->X` is a link, a name that ends with `/` a folder.
    pub(in crate::roots) fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o755);
            let bytes = header.as_gnu_mut().expect("gnu");
            // The crate refuses bad names; archives of others have them.
            bytes.name[..name.len()].copy_from_slice(name.as_bytes());
            if let Some(target) = content.strip_prefix("->") {
                header.set_entry_type(EntryType::Symlink);
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
        Unpacker { root, owners: false }
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
        assert!(to.unpack(&archive(&[("l", &link), ("l/new", "x")])[..]).is_err());
        let _ = to.unpack(&archive(&[("l", &link), ("l/.wh.keep", ""), ("l/.wh..wh..opq", "")])[..]);
        assert!(outside.join("keep").exists() && !outside.join("new").exists());
        assert!(!to.root.with_file_name("escaped").exists());
        fs::remove_dir_all(to.root).expect("ours");
        fs::remove_dir_all(outside).expect("ours");
    }

    #[test]
    fn names_of_archives() {
        for (file, name) in
            [("a/debian.tar.gz", "debian"), ("x.tgz", "x"), ("y.oci.tar.zst", "y"), ("layout", "layout")]
        {
            assert_eq!(name_of(Path::new(file)), name);
        }
    }

    #[test]
    fn a_plain_archive_is_no_layout() {
        let path = std::env::temp_dir().join(format!("demotic-archive-{}.tar", std::process::id()));
        fs::write(&path, archive(&[("./", ""), ("bin/", "")])).expect("written");
        assert!(!holds_layout(&path).expect("read"));
        fs::write(&path, archive(&[("blobs/", ""), ("index.json", "{}"), ("oci-layout", "{}")])).expect("written");
        assert!(holds_layout(&path).expect("read"));
        fs::remove_file(path).expect("ours");
    }
}
