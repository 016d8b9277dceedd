//! OCI image layouts (OCI image specification: image-layout.md, image-index.md, manifest.md): finding the image, checking and unpacking its layers.

use super::import::{Unpacker, reader};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Indexes may lie in indexes; this deep.
const DEPTH: usize = 4;

/// Unpacks the image for an architecture (`i386`, `amd64`) from a layout.
pub(super) fn import(layout: &Path, arch: &str, unpacker: &mut Unpacker) -> Result<()> {
    let index = layout.join("index.json");
    if !index.is_file() {
        bail!("{}: neither an archive nor an OCI layout (it has no index.json)", layout.display());
    }
    let index: Value = serde_json::from_slice(&fs::read(index)?).context("index.json")?;
    let wanted = if arch == "i386" { "386" } else { arch };
    let mut found = Vec::new();
    let manifest = find(layout, &index, wanted, DEPTH, &mut found)?;
    let Some(manifest) = manifest else {
        found.sort();
        found.dedup();
        bail!(
            "there is no image for {arch} in it, but for {}",
            if found.is_empty() { "nothing".to_owned() } else { found.join(", ") }
        );
    };
    let layers = manifest["layers"].as_array().context("the manifest has no layers")?;
    for layer in layers {
        let blob = blob(layout, layer)?;
        let size = fs::metadata(&blob)?.len();
        unpacker.unpack(reader(File::open(&blob)?, size)?).with_context(|| blob.display().to_string())?;
    }
    Ok(())
}

/// The manifest for an architecture. `found` collects those that there are.
fn find(layout: &Path, index: &Value, wanted: &str, depth: usize, found: &mut Vec<String>) -> Result<Option<Value>> {
    for entry in index["manifests"].as_array().context("the index has no manifests")? {
        let platform = entry["platform"]["architecture"].as_str();
        // Attestations of build tools are for no machine.
        if platform == Some("unknown") {
            continue;
        }
        if let Some(other) = platform.filter(|p| *p != wanted) {
            found.push(other.to_owned());
            continue;
        }
        let value: Value = serde_json::from_slice(&fs::read(blob(layout, entry)?)?).context("a manifest")?;
        if value["manifests"].is_array() {
            if depth == 0 {
                bail!("indexes lie in indexes without an end");
            }
            if let Some(manifest) = find(layout, &value, wanted, depth - 1, found)? {
                return Ok(Some(manifest));
            }
            continue;
        }
        // Without a platform the image's configuration says it.
        let arch = match platform {
            Some(arch) => arch.to_owned(),
            None => {
                let config: Value =
                    serde_json::from_slice(&fs::read(blob(layout, &value["config"])?)?).context("a configuration")?;
                config["architecture"].as_str().unwrap_or_default().to_owned()
            }
        };
        if arch == wanted {
            return Ok(Some(value));
        }
        found.push(arch);
    }
    Ok(None)
}

/// The file of a descriptor, with the contents that its digest says.
fn blob(layout: &Path, descriptor: &Value) -> Result<PathBuf> {
    let digest = descriptor["digest"].as_str().context("a descriptor without digest")?;
    let hex = digest.strip_prefix("sha256:").filter(|h| h.len() == 64 && h.bytes().all(|b| b.is_ascii_hexdigit()));
    let hex = hex.with_context(|| format!("{digest}: only sha256 is known"))?;
    let path = layout.join("blobs/sha256").join(hex);
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(&path).with_context(|| path.display().to_string())?, &mut hasher)?;
    let real: String = hasher.finalize().iter().map(|b| format!("{b:02x}")).collect();
    if !real.eq_ignore_ascii_case(hex) {
        bail!("{}: damaged, its digest is sha256:{real}", path.display());
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::super::import::tests::archive;
    use super::*;
    use std::io::Write;

    fn put(layout: &Path, bytes: &[u8]) -> String {
        let hex: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
        fs::write(layout.join("blobs/sha256").join(&hex), bytes).expect("written");
        format!("sha256:{hex}")
    }

    #[test]
    fn the_image_of_the_architecture_is_unpacked() {
        let layout = std::env::temp_dir().join(format!("demotic-oci-{}", std::process::id()));
        fs::create_dir_all(layout.join("blobs/sha256")).expect("made");
        let mut entries = Vec::new();
        for arch in ["arm64", "386"] {
            let config = put(&layout, format!(r#"{{"architecture":"{arch}"}}"#).as_bytes());
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(&archive(&[("bin/", ""), ("bin/arch", arch), ("bin/old", "")])).expect("packed");
            let lower = put(&layout, &gzip.finish().expect("packed"));
            let upper = put(&layout, &archive(&[("bin/.wh.old", "")]));
            let manifest = format!(
                r#"{{"config":{{"digest":"{config}"}},"layers":[{{"digest":"{lower}"}},{{"digest":"{upper}"}}]}}"#
            );
            entries.push(format!(r#"{{"digest":"{}"}}"#, put(&layout, manifest.as_bytes())));
        }
        let inner = put(&layout, format!(r#"{{"manifests":[{}]}}"#, entries.join(",")).as_bytes());
        fs::write(layout.join("index.json"), format!(r#"{{"manifests":[{{"digest":"{inner}"}}]}}"#)).expect("written");
        let root = layout.join("root");
        fs::create_dir(&root).expect("made");
        let mut unpacker = Unpacker { root: root.clone(), owners: false };
        import(&layout, "i386", &mut unpacker).expect("imported");
        assert_eq!(fs::read_to_string(root.join("bin/arch")).expect("there"), "386");
        assert!(!root.join("bin/old").exists());
        let missing = import(&layout, "amd64", &mut unpacker).expect_err("there is none").to_string();
        assert!(missing.contains("386, arm64"), "{missing}");
        // A blob that is not what it says.
        let blobs = fs::read_dir(layout.join("blobs/sha256")).expect("there").flatten();
        for blob in blobs {
            fs::OpenOptions::new().append(true).open(blob.path()).expect("open").write_all(b" ").expect("written");
        }
        assert!(import(&layout, "i386", &mut unpacker).expect_err("damaged").to_string().contains("damaged"));
        fs::remove_dir_all(layout).expect("ours");
    }
}
