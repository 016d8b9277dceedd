//! Images: OCI image layouts (OCI image specification: image-layout.md, image-index.md, manifest.md) and what `docker save` makes. Finding the image, checking
//! and unpacking its layers.

use super::import::reader;
use super::inside;
use super::unpack::Unpacker;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Indexes may lie in indexes; this deep.
const DEPTH: usize = 4;
/// What says an image's name in an index.
const NAMES: [&str; 2] = ["org.opencontainers.image.ref.name", "io.containerd.image.name"];

/// An image that fits.
struct Image {
    /// Its names; perhaps none.
    names: Vec<String>,
    /// What is the same for the same image.
    identity: String,
    /// Its layers, lowest first.
    layers: Vec<Layer>,
}

/// Whether an image's name is what is asked for. Docker's own registry is often left out.
fn is_called(name: &str, tag: &str) -> bool {
    name == tag || ["docker.io/library/", "docker.io/"].iter().any(|p| name.strip_prefix(p) == Some(tag))
}

/// Where a layer is.
enum Layer {
    /// An entry of a manifest; its digest is checked.
    Blob(Value),
    /// A file of `docker save`.
    File(String),
}

/// What there is instead of what is wanted.
#[derive(Default)]
struct Others {
    arches: Vec<String>,
    names: Vec<String>,
}

/// Unpacks the image for an architecture (`i386`, `amd64`), with that name or digest if there is a `tag`.
pub(super) fn import(folder: &Path, arch: &str, tag: Option<&str>, unpacker: &mut Unpacker) -> Result<()> {
    let wanted = if arch == "i386" { "386" } else { arch };
    let mut others = Others::default();
    let mut images = if folder.join("index.json").is_file() {
        of_layout(folder, wanted, tag, &mut others)?
    } else if folder.join("manifest.json").is_file() {
        of_docker(folder, wanted, tag, &mut others)?
    } else {
        bail!("{}: neither an archive nor an OCI layout (it has no index.json)", folder.display());
    };
    let list = |mut all: Vec<String>| {
        all.retain(|n| !n.is_empty());
        all.sort();
        all.dedup();
        if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
    };
    if images.iter().any(|i| i.identity != images[0].identity) {
        let named = |i: Image| if i.names.is_empty() { vec![i.identity] } else { i.names };
        let names = images.into_iter().flat_map(named).collect();
        bail!("there are several images for {arch} in it: {}; choose one by FILE:NAME", list(names));
    }
    let Some(image) = images.pop() else {
        if let Some(tag) = tag.filter(|_| others.arches.is_empty()) {
            bail!("there is no image {tag:?} in it, but {}", list(others.names));
        }
        bail!("there is no image for {arch} in it, but for {}", list(others.arches));
    };
    for layer in &image.layers {
        let path = match layer {
            Layer::Blob(descriptor) => blob(folder, descriptor)?,
            Layer::File(name) => inside(folder, Path::new(name)).context("links without an end")?,
        };
        let opened = || Ok::<_, io::Error>((File::open(&path)?, fs::metadata(&path)?.len()));
        let (file, size) = opened().with_context(|| path.display().to_string())?;
        let shown = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        reader(file, size)
            .and_then(|r| unpacker.unpack(Padded { inner: r, count: 0 }))
            .with_context(|| format!("layer {shown}"))?;
    }
    Ok(())
}

/// A layer, padded to whole blocks: some tools leave the padding of the last file out (`umoci insert`). That the layer is complete is known otherwise.
struct Padded<R> {
    inner: R,
    count: u64,
}

impl<R: Read> Read for Padded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut n = self.inner.read(buffer)?;
        if n == 0 {
            n = buffer.len().min((self.count.next_multiple_of(512) - self.count) as usize);
            buffer[..n].fill(0);
        }
        self.count += n as u64;
        Ok(n)
    }
}

fn json(path: &Path) -> Result<Value> {
    let read = || Ok::<_, anyhow::Error>(serde_json::from_slice(&fs::read(path)?)?);
    read().with_context(|| path.display().to_string())
}

/// The images of a layout that fit.
fn of_layout(layout: &Path, wanted: &str, tag: Option<&str>, others: &mut Others) -> Result<Vec<Image>> {
    let index = json(&layout.join("index.json"))?;
    let mut images = Vec::new();
    for entry in index["manifests"].as_array().context("index.json: no manifests")? {
        let names: Vec<String> =
            NAMES.iter().filter_map(|n| entry["annotations"][n].as_str()).map(str::to_owned).collect();
        let digest = entry["digest"].as_str().unwrap_or_default().to_owned();
        if tag.is_some_and(|tag| tag != digest && !names.iter().any(|n| is_called(n, tag))) {
            others.names.extend(if names.is_empty() { vec![digest] } else { names });
            continue;
        }
        if let Some(manifest) = find(layout, entry, wanted, DEPTH, &mut others.arches)? {
            let layers = manifest["layers"].as_array().context("the manifest has no layers")?;
            let layers = layers.iter().cloned().map(Layer::Blob).collect();
            images.push(Image { names, identity: digest, layers });
        }
    }
    Ok(images)
}

/// The images of `docker save` that fit.
fn of_docker(folder: &Path, wanted: &str, tag: Option<&str>, others: &mut Others) -> Result<Vec<Image>> {
    let all = json(&folder.join("manifest.json"))?;
    let texts = |v: &Value| -> Vec<String> {
        v.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut images = Vec::new();
    for entry in all.as_array().context("manifest.json: no list")? {
        let names = texts(&entry["RepoTags"]);
        if tag.is_some_and(|tag| !names.iter().any(|n| is_called(n, tag))) {
            others.names.extend(names);
            continue;
        }
        let config = entry["Config"].as_str().context("manifest.json: an image without configuration")?;
        let arch = json(&inside(folder, Path::new(config)).context("links without an end")?)?["architecture"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if arch != wanted {
            others.arches.push(arch);
            continue;
        }
        let layers = texts(&entry["Layers"]).into_iter().map(Layer::File).collect();
        images.push(Image { names, identity: config.to_owned(), layers });
    }
    Ok(images)
}

/// The manifest for an architecture that a descriptor leads to. `found` collects those that there are.
fn find(
    layout: &Path,
    descriptor: &Value,
    wanted: &str,
    depth: usize,
    found: &mut Vec<String>,
) -> Result<Option<Value>> {
    let (arch, os) = (&descriptor["platform"]["architecture"], &descriptor["platform"]["os"]);
    // Attestations of build tools are for no machine.
    if arch == "unknown" {
        return Ok(None);
    }
    if let Some(os) = os.as_str().filter(|os| *os != "linux" && !os.is_empty()) {
        found.push(format!("{os} on {}", arch.as_str().unwrap_or_default()));
        return Ok(None);
    }
    if let Some(other) = arch.as_str().filter(|a| *a != wanted) {
        found.push(other.to_owned());
        return Ok(None);
    }
    let value = json(&blob(layout, descriptor)?)?;
    if let Some(list) = value["manifests"].as_array() {
        if depth == 0 {
            bail!("indexes lie in indexes without an end");
        }
        for entry in list {
            if let Some(manifest) = find(layout, entry, wanted, depth - 1, found)? {
                return Ok(Some(manifest));
            }
        }
        return Ok(None);
    }
    // Without a platform the image's configuration says it.
    let arch = match arch.as_str() {
        Some(arch) => arch.to_owned(),
        None => json(&blob(layout, &value["config"])?)?["architecture"].as_str().unwrap_or_default().to_owned(),
    };
    if arch == wanted {
        return Ok(Some(value));
    }
    found.push(arch);
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
    use super::super::unpack::tests::archive;
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
        let mut unpacker = Unpacker::new(&root, false);
        import(&layout, "i386", None, &mut unpacker).expect("imported");
        assert_eq!(fs::read_to_string(root.join("bin/arch")).expect("there"), "386");
        assert!(!root.join("bin/old").exists());
        let missing = import(&layout, "amd64", None, &mut unpacker).expect_err("there is none").to_string();
        assert!(missing.contains("386, arm64"), "{missing}");
        // A blob that is not what it says.
        let blobs = fs::read_dir(layout.join("blobs/sha256")).expect("there").flatten();
        for blob in blobs {
            fs::OpenOptions::new().append(true).open(blob.path()).expect("open").write_all(b" ").expect("written");
        }
        assert!(import(&layout, "i386", None, &mut unpacker).expect_err("damaged").to_string().contains("damaged"));
        fs::remove_dir_all(layout).expect("ours");
    }

    #[test]
    fn images_have_names() {
        let layout = std::env::temp_dir().join(format!("demotic-oci-names-{}", std::process::id()));
        fs::create_dir_all(layout.join("blobs/sha256")).expect("made");
        let config = put(&layout, br#"{"architecture":"amd64"}"#);
        let entry = |name: &str, os: &str| {
            let layer = put(&layout, &archive(&[("bin/", ""), ("bin/name", name)]));
            let manifest = put(
                &layout,
                format!(r#"{{"config":{{"digest":"{config}"}},"layers":[{{"digest":"{layer}"}}]}}"#).as_bytes(),
            );
            format!(
                r#"{{"digest":"{manifest}","platform":{{"architecture":"amd64","os":"{os}"}},
                "annotations":{{"org.opencontainers.image.ref.name":"{name}"}}}}"#
            )
        };
        let list = [entry("one", "linux"), entry("two", "linux"), entry("three", "windows")].join(",");
        fs::write(layout.join("index.json"), format!(r#"{{"manifests":[{list}]}}"#)).expect("written");
        let root = layout.join("root");
        fs::create_dir(&root).expect("made");
        let mut unpacker = Unpacker::new(&root, false);
        let mut fault = |tag| import(&layout, "amd64", tag, &mut unpacker).err().map(|e| format!("{e:#}"));
        assert!(fault(None).expect("two fit").contains("one, two"));
        assert!(fault(Some("four")).expect("none").contains("one, three, two"));
        assert!(fault(Some("three")).expect("none").contains("windows on amd64"));
        assert_eq!(fault(Some("two")), None);
        assert_eq!(fs::read_to_string(root.join("bin/name")).expect("there"), "two");
        fs::remove_dir_all(layout).expect("ours");
    }

    #[test]
    fn what_docker_saves() {
        let folder = std::env::temp_dir().join(format!("demotic-docker-{}", std::process::id()));
        fs::create_dir_all(folder.join("root")).expect("made");
        fs::write(folder.join("c.json"), r#"{"architecture":"386"}"#).expect("written");
        fs::write(folder.join("lower.tar"), archive(&[("bin/", ""), ("bin/a", "1")])).expect("written");
        fs::write(folder.join("upper.tar"), &archive(&[("bin/.wh.a", ""), ("bin/b", "2")])[..3 * 512 + 1])
            .expect("written");
        let manifest = r#"[{"Config":"c.json","RepoTags":["docker.io/x/y:z"],"Layers":["lower.tar","upper.tar"]}]"#;
        fs::write(folder.join("manifest.json"), manifest).expect("written");
        let mut unpacker = Unpacker::new(&folder.join("root"), false);
        assert!(import(&folder, "amd64", None, &mut unpacker).expect_err("none").to_string().contains("but for 386"));
        assert!(import(&folder, "i386", Some("q"), &mut unpacker).expect_err("none").to_string().contains("x/y:z"));
        import(&folder, "i386", Some("x/y:z"), &mut unpacker).expect("imported");
        assert!(folder.join("root/bin/b").exists() && !folder.join("root/bin/a").exists());
        fs::remove_dir_all(folder).expect("ours");
    }
}
