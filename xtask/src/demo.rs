//! The main job, shown: build Demotic, run a committed i386 program, and fzf for i386 when the network is there.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use demotic_testkit::guest::{self, Abi};
use demotic_testkit::{packages, root, target_dir};

/// Builds and runs.
pub fn demo() -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .current_dir(root())
        .args(["build", "--release", "-p", "demotic", "-p", "demotic-manager"])
        .status()?;
    ensure!(built.success(), "the build failed");
    let demotic = target_dir().join("release/demotic");
    let show = |what: &str| println!("\n$ demotic {what}");

    let hello = guest::prebuilt(Abi::I386, "hello");
    show(&hello.display().to_string());
    let status = Command::new(&demotic).arg(&hello).status().with_context(|| demotic.display().to_string())?;
    ensure!(status.success(), "the committed i386 program failed: {status}");

    let fzf = packages::PACKAGES.iter().find(|p| p.name.starts_with("fzf") && p.abi == Abi::I386);
    let Some(fzf) = fzf else { return Ok(()) };
    if let Err(error) = fzf.fetch() {
        println!("\nfzf for i386 could not be fetched ({error:#}); the rest of the demonstration needs the network");
        return Ok(());
    }
    let program = fzf.program();
    show(&format!("{} --version", program.display()));
    ensure!(Command::new(&demotic).arg(&program).arg("--version").status()?.success(), "fzf --version failed");
    show(&format!("{} --filter oran < fruit", program.display()));
    let mut child = Command::new(&demotic).arg(&program).args(["--filter", "oran"]).stdin(Stdio::piped()).spawn()?;
    child.stdin.take().context("a pipe")?.write_all(b"apple\nblood orange\ncherry\norange\n")?;
    ensure!(child.wait()?.success(), "fzf --filter failed");
    println!("\nNow try it: ls | {} {}", demotic.display(), program.display());
    Ok(())
}
