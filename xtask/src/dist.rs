//! Static release builds for every host, in `dist` below the target directory.
//!
//! * x86_64: the toolchain in use; its static programs are position-independent by default.
//! * aarch64: Debian's rustc with its standard library for other targets (`tools/cross-setup.sh`), linked by Debian's cross
//!   gcc through `tools/static-pie-cc.sh`: rustc's static programs for ARM would otherwise sit at the fixed addresses that
//!   guest programs ask for.
//! * armv7: the same compiler; its C library has no start file for static position-independent programs, so the program
//!   has fixed addresses just above zero, where no guest is (guests have an offset there). Segments are aligned to
//!   64 KiB, as kernels with larger pages need.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use demotic_testkit::{packages, root, target_dir};

/// How one host's build is made.
struct Target {
    host: &'static str,
    triple: &'static str,
    /// Debian's cross compiler; none for the toolchain in use.
    cc: Option<&'static str>,
    flags: &'static str,
}

const TARGETS: [Target; 3] = [
    Target { host: "x86_64", triple: "x86_64-unknown-linux-gnu", cc: None, flags: "-Ctarget-feature=+crt-static" },
    Target {
        host: "aarch64",
        triple: "aarch64-unknown-linux-gnu",
        cc: Some("aarch64-linux-gnu-gcc"),
        flags: "-Ctarget-feature=+crt-static -Crelocation-model=pie",
    },
    Target {
        host: "armv7",
        triple: "armv7-unknown-linux-gnueabihf",
        cc: Some("arm-linux-gnueabihf-gcc"),
        flags: "-Ctarget-feature=+crt-static -Clink-arg=-Wl,-z,max-page-size=65536",
    },
];

/// Builds for the hosts named, or for all.
pub fn dist(hosts: &[&str]) -> Result<()> {
    for host in hosts {
        ensure!(TARGETS.iter().any(|t| t.host == *host), "no host {host:?}; there are x86_64, aarch64, armv7");
    }
    for target in TARGETS.iter().filter(|t| hosts.is_empty() || hosts.contains(&t.host)) {
        let built = build(target, &["build", "--release", "-p", "demotic", "-p", "demotic-manager"])?.join("release");
        let out = target_dir().join("dist");
        fs::create_dir_all(&out)?;
        for name in ["demotic", "demotic-manage"] {
            let (program, fresh) = (built.join(name), out.join("fresh"));
            let place = out.join(format!("{name}-{}", target.host));
            // Renamed into place: a running test keeps the file it has opened.
            fs::copy(&program, &fresh).with_context(|| program.display().to_string())?;
            fs::rename(&fresh, &place)?;
            println!("{}: {} KiB", place.display(), fs::metadata(&place)?.len() / 1024);
        }
    }
    Ok(())
}

/// Runs the tests of pure crates as the given host, under the emulator that runs its programs here.
pub fn crate_tests(host: &str, crates: &[&str], run: impl FnOnce(Command) -> Result<bool>) -> Result<bool> {
    let target = TARGETS.iter().find(|t| t.host == host).context("a known host")?;
    let mut command = cargo(target)?;
    // Nobody debugs them there: half of the time of the build is saved.
    command.env("CARGO_PROFILE_DEV_DEBUG", "0").args(["test", "--no-fail-fast", "--target", target.triple]);
    for name in crates {
        command.args(["-p", name]);
    }
    run(command)
}

fn build(target: &Target, arguments: &[&str]) -> Result<PathBuf> {
    let mut command = cargo(target)?;
    // What is given away carries symbols for a useful backtrace, but no line tables: they are not even made.
    command
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        .env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo")
        .args(arguments)
        .args(["--target", target.triple]);
    if !command.status()?.success() {
        bail!("the build for {} failed", target.host);
    }
    Ok(target_dir().join(target.triple))
}

/// Cargo set up for a target.
fn cargo(target: &Target) -> Result<Command> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).env_remove("RUSTFLAGS");
    let key = |what: &str| format!("CARGO_TARGET_{}_{what}", target.triple.to_uppercase().replace('-', "_"));
    command.env(key("RUSTFLAGS"), target.flags);
    // On its own kind of machine a host's build needs no cross compiler.
    if let Some(cc) = target.cc.filter(|_| std::env::consts::ARCH != target.host) {
        let cross = cross()?;
        // Separate from the host's build: another rustc, other build scripts.
        command
            .env("CARGO_TARGET_DIR", target_dir())
            .env("RUSTC", cross.join("rust/bin/rustc"))
            .env("RUSTDOC", cross.join("rust/bin/rustdoc"))
            .env("LD_LIBRARY_PATH", cross.join("rust/lib"))
            .env("DEMOTIC_CC", cc);
        let emulator = if target.host == "aarch64" { "qemu-aarch64-static" } else { "qemu-arm-static" };
        command.env(key("RUNNER"), emulator);
        let linker = if target.host == "aarch64" { root().join("tools/static-pie-cc.sh") } else { cc.into() };
        command.env(key("LINKER"), linker);
    }
    Ok(command)
}

/// The cross compiler's folder: `DEMOTIC_CROSS`, else in the cache, where it is set up when it is not there.
fn cross() -> Result<PathBuf> {
    let dir = std::env::var_os("DEMOTIC_CROSS").map_or_else(|| packages::cache_dir().join("cross"), PathBuf::from);
    if !dir.join("rust/bin/rustc").is_file() {
        let done = Command::new("bash").arg(root().join("tools/cross-setup.sh")).arg(&dir).status()?;
        ensure!(done.success(), "tools/cross-setup.sh failed");
    }
    Ok(dir)
}
