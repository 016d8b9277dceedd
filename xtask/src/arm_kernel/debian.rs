//! What the machine has from Debian for ARM64: the kernel, busybox, systemd-binfmt. Fetched by apt with a state of its own, kept in the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use demotic_testkit::packages::cache_dir;

/// systemd-binfmt and the libraries that it is linked with: the package and its version, SHA-256.
#[rustfmt::skip]
const SYSTEMD: [(&str, &str); 22] = [
    ("systemd=252.39-1~deb12u2", "df5a67c54ed1aaa70f7f862628e4aced7dd32f33cf470629f3cef2ab27460a2d"),
    ("libsystemd-shared=252.39-1~deb12u2", "becce3a94bbe97bec11e19aa267f6a99674898e018df56d1f523a3e202b33d8c"),
    ("libacl1=2.3.1-3", "2b0eef11a2e271e7355adaf1f6cbf8d2e83835ae1b6cf15165d59b8289c08342"),
    ("libaudit1=1:3.0.9-1", "619606427a334cba955e0afb18bf4a636df4141d32ea474a79cc512b5ca358e7"),
    ("libblkid1=2.38.1-5+deb12u3", "6c462ce69d08f1ddaa9a77bbdad4af8e289267095599eb8e92a9ab3ea21cdc41"),
    ("libc6=2.36-9+deb12u14", "01f4330719fd4f65580e16ea5a0527f372fca750e8f588d26deaf09f2d3b1cf4"),
    ("libcap-ng0=0.8.3-1+b3", "24e74ad29a37d2a3940b8977d11298a7afc77379ef414b561d79c64147d740e0"),
    ("libcap2=1:2.66-4+deb12u3+b1", "b3a21ae1cef9c2f3fa340007100fb0aa934ab6a4d8aed131660de9713db2bb6e"),
    ("libcrypt1=1:4.4.33-2", "eea0ad76ea5eb507127fea0c291622ea4ecdbb71c4b9a8ed9c76ae33fc1a0127"),
    ("libgcrypt20=1.10.1-3+deb12u1", "140af58350c9b15bfa611000d9e0205528bbed2cba39271bf12bd36de2678f2e"),
    ("libgpg-error0=1.46-1", "aff6ce011ae9abf7090e906f0cf6bc2b447bbc4cc7e03ff117f9d73528857352"),
    ("libip4tc2=1.8.9-2", "fc5b488a30f697d13c8547ca32cebf53880141af77ec36c58b04f899b5708208"),
    ("libkmod2=30+20221128-1", "a3d13b1a5d01fff740356d3a8dad6c13f34988180a5d68a9a2e095995054d828"),
    ("liblz4-1=1.9.4-1", "f061216ce11aabba8f032dfd6c75c181e782fef7493033b9621a8c3b2953b87e"),
    ("liblzma5=5.4.1-1+deb12u2", "36358d245f246234721e6c1c2ee5d11a46c1c877023c63f7570df02cd79964f5"),
    ("libmount1=2.38.1-5+deb12u3", "b48877c1e60c2589d9e17f72d782cd2ab8a3fdaeda54f05920bcb26c9404b1e8"),
    ("libpam0g=1.5.2-6+deb12u3", "e473d380b9018bf483cc1f1414191f9b753e9c236e56fd18ddb2fe5b115f50e3"),
    ("libpcre2-8-0=10.42-1+deb12u2", "8498d2c0bd6747dfc2fc6eec62774a86967079555f7043d5a7b78ee4efbbc0fb"),
    ("libseccomp2=2.5.4-1+deb12u1", "be675cf3b7778d88e8f6156c501d32fcbe77636b3dcf18bf2bc7e5daf3dde256"),
    ("libselinux1=3.4-1+b6", "29201edf23ebae40844d6c289afdb9bba52f927d55096ed1b1cd37e040135edc"),
    ("libssl3=3.0.22-1~deb12u2", "3d04ecd8d0f57fed50d205abaeedfcc84c1960073ea085719c00add44b0ccd7f"),
    ("libzstd1=1.5.4+dfsg2-5", "95e173c9538f96ede4fc275ec7863f395a97dd0ea62454be9bc914efa1b9be93"),
];

/// Which of Debian's kernels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kernel {
    /// The one for clouds, with pages of 4 KiB.
    Cloud,
    /// The one with pages of 16 KiB, as the Raspberry Pi 5 has them. Only in newer suites.
    Pages16,
}

impl Kernel {
    fn package(self) -> &'static str {
        match self {
            Kernel::Cloud => "linux-image-cloud-arm64",
            Kernel::Pages16 => "linux-image-arm64-16k",
        }
    }

    /// The processor of a small computer that has such pages: Raspberry Pi 4 and 5.
    pub fn processor(self) -> &'static str {
        match self {
            Kernel::Cloud => "cortex-a72",
            Kernel::Pages16 => "cortex-a76",
        }
    }

    /// The file below `tests` that lists what differs there.
    pub fn differences(self) -> &'static str {
        match self {
            Kernel::Cloud => "arm_kernel.txt",
            Kernel::Pages16 => "arm_kernel_16k.txt",
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Kernel::Cloud => "arm-kernel",
            Kernel::Pages16 => "arm-kernel-16k",
        }
    }
}

/// The folder in the cache with the kernel's files and busybox below `files`, fetched when it is not there.
pub fn kernel(kernel: Kernel) -> Result<PathBuf> {
    fetched(kernel.folder(), |apt| {
        if kernel == Kernel::Pages16 {
            apt.add_suite("stable")?;
        }
        let depends = apt.run("apt-cache", &["depends", kernel.package()])?;
        let image = depends.lines().find_map(|l| l.trim().strip_prefix("Depends: ")).context("the kernel's package")?;
        apt.download(&[image, "busybox-static"])
    })
}

/// The folder in the cache with systemd-binfmt and its libraries below `files`, fetched when it is not there.
pub fn systemd() -> Result<PathBuf> {
    fetched("arm-kernel-systemd", |apt| {
        apt.download(&SYSTEMD.map(|(request, _)| request))?;
        for archive in apt.archives()? {
            let sum = Command::new("sha256sum").arg(&archive).output()?.stdout;
            let sum = String::from_utf8_lossy(&sum);
            let pinned = SYSTEMD.iter().any(|(_, pinned)| sum.starts_with(pinned));
            ensure!(pinned, "the archive is not the pinned one: {sum}");
        }
        Ok(())
    })
}

/// The folder of that name in the cache; archives that `fetch` downloads are unpacked into its `files`.
fn fetched(name: &str, fetch: impl FnOnce(&mut Apt) -> Result<()>) -> Result<PathBuf> {
    let folder = cache_dir().join(name);
    if folder.join("complete").is_file() {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let mut apt = Apt::new(&folder)?;
    fetch(&mut apt)?;
    for archive in apt.archives()? {
        let done = Command::new("dpkg-deb").arg("-x").arg(&archive).arg(folder.join("files")).status()?;
        ensure!(done.success(), "dpkg-deb failed");
    }
    fs::write(folder.join("complete"), "")?;
    Ok(folder)
}

/// apt for ARM64 that leaves the machine's own packages alone.
struct Apt {
    folder: PathBuf,
    options: Vec<String>,
}

impl Apt {
    /// With its lists brought up to date.
    fn new(folder: &Path) -> Result<Apt> {
        let state = folder.join("apt");
        for dir in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(state.join(dir))?;
        }
        fs::write(state.join("status"), "")?;
        let path = |p: &str| state.join(p).display().to_string();
        let options = [
            ("Dir::State", path("state")),
            ("Dir::State::status", path("status")),
            ("Dir::Cache", path("cache")),
            ("APT::Architecture", "arm64".to_owned()),
            ("APT::Architectures", "arm64".to_owned()),
        ]
        .iter()
        .flat_map(|(key, value)| ["-o".to_owned(), format!("{key}={value}")])
        .collect();
        let apt = Apt { folder: folder.to_owned(), options };
        apt.run("apt-get", &["-q", "update"])?;
        Ok(apt)
    }

    /// Takes in a suite that the machine itself may not have, from where it has its own.
    fn add_suite(&mut self, suite: &str) -> Result<()> {
        let known =
            self.run("apt-get", &["indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"])?;
        let mut own = known.lines().filter_map(|line| line.split_once(' '));
        let (place, _) = own.find(|(_, release)| !release.contains('-')).context("a Debian suite of this machine's")?;
        let parts = self.folder.join("apt/sources");
        fs::create_dir_all(&parts)?;
        fs::write(parts.join("more.list"), format!("deb {place} {suite} main\n"))?;
        self.options.extend(["-o".to_owned(), format!("Dir::Etc::SourceParts={}", parts.display())]);
        self.run("apt-get", &["-q", "update"])?;
        Ok(())
    }

    fn run(&self, tool: &str, arguments: &[&str]) -> Result<String> {
        let out = Command::new(tool).args(&self.options).args(arguments).current_dir(&self.folder).output()?;
        ensure!(out.status.success(), "{tool} {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    fn download(&self, packages: &[&str]) -> Result<()> {
        self.run("apt-get", &[&["-q", "download"], packages].concat())?;
        Ok(())
    }

    fn archives(&self) -> Result<Vec<PathBuf>> {
        let files = fs::read_dir(&self.folder)?.flatten().map(|entry| entry.path());
        Ok(files.filter(|path| path.extension().is_some_and(|e| e == "deb")).collect())
    }
}
