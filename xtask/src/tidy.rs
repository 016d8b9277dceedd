//! House rules that no compiler checks: the direction of imports, file sizes, module headers, where `unsafe` may stand, and
//! that the tree names no machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use demotic_testkit::root;

/// Which crates of the workspace a crate may depend on. What is not listed here may depend on anything.
const ARROWS: [(&str, &[&str]); 14] = [
    ("options", &[]),
    ("f80", &[]),
    ("ir", &["f80"]),
    ("x86", &["ir", "f80"]),
    ("asm", &[]),
    ("codegen", &["asm", "ir", "f80"]),
    ("host", &[]),
    ("engine", &["host", "codegen", "asm", "x86", "ir", "f80"]),
    ("linux", &["engine", "host", "x86", "ir", "options"]),
    ("debug", &["engine", "linux", "codegen", "x86", "ir", "host"]),
    ("runner", &["linux", "debug", "host", "engine", "options"]),
    ("manager", &["options"]),
    ("testkit", &[]),
    ("oracle", &["x86", "ir", "f80"]),
];

/// Crates that may contain `unsafe`; all others forbid it. The runner needs it for the name of its C entry only.
const UNSAFE: [&str; 5] = ["host", "engine", "linux", "oracle", "runner"];

/// Lines after which a file needs a line starting with [`LENGTH`] that says why it is one file.
const LONG: usize = 1000;
const LENGTH: &str = "//! Length:";

pub fn tidy() -> Result<()> {
    let mut faults = Vec::new();
    arrows(&mut faults)?;
    for path in tracked_files()? {
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        if path.extension().is_some_and(|e| e == "rs") {
            rust_file(&path, &text, &mut faults);
        }
        names(&path, &text, &mut faults);
    }
    for crate_name in crates()? {
        if UNSAFE.contains(&crate_name.as_str()) {
            continue;
        }
        let src = root().join("crates").join(&crate_name).join("src");
        let main = if src.join("lib.rs").exists() { src.join("lib.rs") } else { src.join("main.rs") };
        if !fs::read_to_string(&main).with_context(|| main.display().to_string())?.contains("#![forbid(unsafe_code)]") {
            faults.push(format!("crates/{crate_name}: lacks #![forbid(unsafe_code)]"));
        }
    }
    faults.extend(crate::manual::faults()?);
    for fault in &faults {
        println!("tidy: {fault}");
    }
    if !faults.is_empty() {
        bail!("{} faults", faults.len());
    }
    println!("tidy: ok");
    Ok(())
}

fn crates() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join("crates"))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn arrows(faults: &mut Vec<String>) -> Result<()> {
    for name in crates()? {
        let Some((_, allowed)) = ARROWS.iter().find(|(n, _)| *n == name) else {
            faults.push(format!("crates/{name}: not in the table of dependency arrows (xtask/src/tidy.rs)"));
            continue;
        };
        let manifest = fs::read_to_string(root().join("crates").join(&name).join("Cargo.toml"))?;
        let mut section = "";
        for line in manifest.lines() {
            if line.starts_with('[') {
                section = line.trim();
            }
            // Tests may use what they like.
            if section != "[dependencies]" {
                continue;
            }
            if let Some(rest) = line.strip_prefix("demotic-") {
                let other = rest.split(['.', ' ', '=']).next().unwrap_or_default();
                if !allowed.contains(&other) {
                    faults.push(format!("crates/{name} must not depend on {other}"));
                }
            }
        }
    }
    Ok(())
}

fn tracked_files() -> Result<Vec<PathBuf>> {
    let out = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()?;
    Ok(String::from_utf8_lossy(&out.stdout).lines().map(PathBuf::from).collect())
}

fn rust_file(path: &Path, text: &str, faults: &mut Vec<String>) {
    if !text.trim_start().starts_with("//!") {
        faults.push(format!("{}: does not begin with a //! header", path.display()));
    }
    let lines = text.lines().count();
    if lines > LONG && !text.lines().any(|l| l.starts_with(LENGTH)) {
        faults.push(format!("{}: {lines} lines and no line `{LENGTH} (why)`", path.display()));
    }
    // The opening words are put together here so that this file does not find itself.
    let marker = ["to", "do!("].concat();
    for (number, line) in text.lines().enumerate() {
        if line.contains(&marker) {
            faults.push(format!("{}:{}: unfinished code", path.display(), number + 1));
        }
    }
}

/// Names of machines, registries and private paths, in pieces so that this file does not find itself.
fn names(path: &Path, text: &str, faults: &mut Vec<String>) {
    // The lock file names the registry by its nature.
    if path == Path::new("Cargo.lock") {
        return;
    }
    let banned = [
        ["/wo", "rk/"],
        ["/tmp/", "brief"],
        ["crates", ".io"],
        ["pypi", ".org"],
        ["npmjs", ".org"],
        ["npmjs", ".com"],
        ["deb.deb", "ian.org"],
    ]
    .map(|parts| parts.concat());
    for (number, line) in text.lines().enumerate() {
        for word in &banned {
            if line.contains(word.as_str()) {
                faults.push(format!("{}:{}: names {word}", path.display(), number + 1));
            }
        }
    }
}
