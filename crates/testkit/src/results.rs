//! What ran where: one line per program, guest ABI and host, and the README's table made of them.
//!
//! Test processes append to one file (a line is one write, so they do not mix); the last line about a triple counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::guest::Abi;
use crate::host::Host;
use crate::target_dir;

/// Between these lines of the README the table stands.
pub const BEGIN: &str = "<!-- results: begin (cargo xtask table) -->";
/// See [`BEGIN`].
pub const END: &str = "<!-- results: end -->";

fn file() -> PathBuf {
    target_dir().join("results.tsv")
}

/// Notes a result and how long it took. Failing to note it does not fail a test.
pub fn record(program: &str, abi: Abi, host: Host, ok: bool, time: Duration) {
    let (result, seconds) = (if ok { "ok" } else { "fails" }, time.as_secs_f32());
    let line = format!("{program}\t{}\t{}\t{result}\t{seconds:.1}\n", abi.name(), host.name());
    if let Ok(mut f) = fs::OpenOptions::new().append(true).create(true).open(file()) {
        f.write_all(line.as_bytes()).ok();
    }
}

/// Forgets all results.
///
/// # Errors
/// The file exists and cannot be removed.
pub fn clear() -> Result<()> {
    match fs::remove_file(file()) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}

/// The table as Markdown: a row per program, a column per host and guest ABI.
///
/// # Errors
/// No results are there.
pub fn table() -> Result<String> {
    let text = fs::read_to_string(file()).context("no results yet: run the tests first")?;
    let mut seen: BTreeMap<(String, String), BTreeMap<String, bool>> = BTreeMap::new();
    let mut columns = BTreeSet::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        if let [program, abi, host, result, _] = fields[..] {
            if host == Host::Native.name() {
                continue;
            }
            // Variants of one program (optimisation levels) share its row: all must pass.
            let (row, variant) = program.split_once('@').unwrap_or((program, ""));
            columns.insert((host.to_owned(), abi.to_owned()));
            seen.entry((row.to_owned(), format!("{host} {abi}")))
                .or_default()
                .insert(variant.to_owned(), result == "ok");
        }
    }
    let rows: BTreeSet<&String> = seen.keys().map(|(row, _)| row).collect();
    let mut out = String::from("| program |");
    for (host, abi) in &columns {
        write!(out, " {abi} on {host} |")?;
    }
    out.push_str("\n| --- |");
    out.push_str(&" --- |".repeat(columns.len()));
    for row in rows {
        write!(out, "\n| {row} |")?;
        for (host, abi) in &columns {
            let cell = match seen.get(&(row.clone(), format!("{host} {abi}"))) {
                None => "–",
                Some(v) if v.values().all(|ok| *ok) => "yes",
                Some(_) => "**no**",
            };
            write!(out, " {cell} |")?;
        }
    }
    out.push('\n');
    Ok(out)
}

/// What took longest: at most `count` lines, each with seconds, host, ABI and program.
///
/// # Errors
/// No results are there.
pub fn slowest(count: usize) -> Result<String> {
    let text = fs::read_to_string(file()).context("no results yet: run the tests first")?;
    let mut all: Vec<(f32, String)> = text
        .lines()
        .filter_map(|line| match line.split('\t').collect::<Vec<_>>()[..] {
            [program, abi, host, _, seconds] => Some((seconds.parse().ok()?, format!("{host} {abi} {program}"))),
            _ => None,
        })
        .collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    Ok(all.iter().take(count).fold(String::new(), |out, (seconds, what)| out + &format!("{seconds:8.1} s  {what}\n")))
}

/// Puts the table between the README's markers.
///
/// # Errors
/// No results, or the README has no markers.
pub fn update_readme() -> Result<()> {
    let path = crate::root().join("README.md");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("README.md has no line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("README.md has no line {END}"))?;
    fs::write(&path, format!("{before}{BEGIN}\n{}{END}{after}", table()?))?;
    Ok(())
}
