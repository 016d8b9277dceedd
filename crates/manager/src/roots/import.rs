//! `demotic root import`: a root from a tar archive, or from an OCI image layout.
//!
//! What the archives' entries become is in [`super::unpack`].

use super::unpack::Unpacker;
use super::{Fresh, Progress, all, enter, free, inside, oci};
use anyhow::{Context, Result, bail};
use demotic_options::verbs::Parsed;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};

/// Does the verb.
pub(super) fn run(parsed: &Parsed) -> Result<()> {
    let (source, tag) = source(&parsed.operands[0])?;
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
    fs::metadata(&source).with_context(|| source.display().to_string())?;
    let mapping = enter()?;
    let archive = || -> Result<_> {
        let file = File::open(&source).with_context(|| source.display().to_string())?;
        let size = file.metadata()?.len();
        reader(file, size).with_context(|| source.display().to_string())
    };
    let fresh = Fresh::new(&all, &name)?;
    let mut unpacker = Unpacker::new(&fresh.path, mapping.has_owners());
    if source.is_dir() {
        oci::import(&source, arch, tag, &mut unpacker)?;
    } else if holds_images(&source).with_context(|| source.display().to_string())? {
        let images = Fresh::new(&all, &name)?;
        Unpacker::new(&images.path, false).unpack(archive()?).with_context(|| source.display().to_string())?;
        oci::import(&images.path, arch, tag, &mut unpacker)?;
    } else {
        if let Some(tag) = tag {
            bail!("{}: no images in it, so there is no {tag:?}", source.display());
        }
        unpacker.unpack(archive()?).with_context(|| source.display().to_string())?;
    }
    check(&fresh.path)?;
    println!("{}", fresh.finish()?.display());
    Ok(())
}

/// A file or folder, and behind a colon which of its images.
fn source(operand: &str) -> Result<(PathBuf, Option<&str>)> {
    let there = |end: &usize| fs::symlink_metadata(&operand[..*end]).is_ok();
    let colon = if there(&operand.len()) { None } else { operand.match_indices(':').map(|m| m.0).find(there) };
    let (path, tag) = colon.map_or((operand, None), |at| (&operand[..at], Some(&operand[at + 1..])));
    Ok((std::path::absolute(path).with_context(|| format!("{path:?}"))?, tag))
}

/// Something that can be a root has programs.
pub(super) fn check(root: &Path) -> Result<()> {
    if !["bin", "usr/bin"].iter().any(|d| inside(root, Path::new(d)).is_some_and(|p| p.is_dir())) {
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

/// Whether an archive holds images: those of an OCI layout or of `docker save`. Nothing else lies beside `oci-layout` and `manifest.json`.
fn holds_images(path: &Path) -> Result<bool> {
    let mut archive = tar::Archive::new(decompress(File::open(path)?)?);
    for entry in archive.entries()? {
        let path = entry?.path()?.into_owned();
        let mut parts = path.components().filter(|c| !matches!(c, Component::CurDir | Component::RootDir));
        let Some(Component::Normal(first)) = parts.next() else { continue };
        let first = first.to_string_lossy();
        let stem = first.strip_suffix(".tar").or_else(|| first.strip_suffix(".json")).unwrap_or(&first);
        match &*first {
            "oci-layout" | "manifest.json" => return Ok(parts.next().is_none()),
            "blobs" | "index.json" | "repositories" => {}
            _ if stem.len() == 64 && stem.bytes().all(|b| b.is_ascii_hexdigit()) => {}
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

#[cfg(test)]
mod tests {
    use super::super::unpack::tests::archive;
    use super::*;

    #[test]
    fn names_of_archives() {
        for (file, name) in
            [("a/debian.tar.gz", "debian"), ("x.tgz", "x"), ("y.oci.tar.zst", "y"), ("layout", "layout")]
        {
            assert_eq!(name_of(Path::new(file)), name);
        }
    }

    #[test]
    fn archives_of_images_are_told_from_others() {
        let path = std::env::temp_dir().join(format!("demotic-archive-{}.tar", std::process::id()));
        fs::write(&path, archive(&[("./", ""), ("bin/", "")])).expect("written");
        assert!(!holds_images(&path).expect("read"));
        fs::write(&path, archive(&[("blobs/", ""), ("index.json", "{}"), ("oci-layout", "{}")])).expect("written");
        assert!(holds_images(&path).expect("read"));
        let hex = "0a".repeat(32);
        let of_docker = [(&*format!("{hex}.tar"), ""), (&*format!("{hex}/json"), ""), ("manifest.json", "[]")];
        fs::write(&path, archive(&of_docker)).expect("written");
        assert!(holds_images(&path).expect("read"));
        // However many layers come first.
        let many: Vec<String> = (0..100).map(|i| format!("blobs/sha256/{i}")).collect();
        let many: Vec<_> = many.iter().map(|n| (&**n, "")).chain([("index.json", "{}"), ("oci-layout", "")]).collect();
        fs::write(&path, archive(&many)).expect("written");
        assert!(holds_images(&path).expect("read"));
        fs::write(&path, archive(&[("bin/", ""), ("manifest.json", "{}")])).expect("written");
        assert!(!holds_images(&path).expect("read"));
        let tagged = format!("{}:a/b:c", path.display());
        assert_eq!(source(&tagged).expect("found"), (path.clone(), Some("a/b:c")));
        fs::remove_file(&path).expect("ours");
        assert_eq!(source(&tagged).expect("none").1, None);
    }
}
