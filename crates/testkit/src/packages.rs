//! Guest programs that others built, from package registries: pinned by version and digest, fetched by the registries' own
//! clients, kept in a cache outside the tree and shared between checkouts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::guest::Abi;

/// Which client fetches a package.
#[derive(Clone, Copy, Debug)]
pub enum Client {
    /// `pip download` of a wheel for the platform named.
    Pip(&'static str),
    /// `npm pack`.
    Npm,
    /// `apt-get download` for the Debian architecture named.
    Apt(&'static str),
}

/// One package of one ABI.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    /// The program's name and version, as tests name it and as its folder in the cache is called.
    pub name: &'static str,
    /// Its ABI.
    pub abi: Abi,
    /// Who fetches it.
    pub client: Client,
    /// What the client is asked for.
    pub request: &'static str,
    /// SHA-256 of the archive.
    pub sha256: &'static str,
    /// The program's path inside the archive.
    pub path: &'static str,
}

/// All of them.
#[rustfmt::skip]
pub const PACKAGES: [Package; 8] = [
    Package { name: "fzf-0.16.7", abi: Abi::I386, client: Client::Pip("manylinux1_i686"), request: "iterfzf==0.2.0.16.7",
        sha256: "96cc02f40b9f662a26eb3e3411ad48bbc9d562f4fed8d8bca5ba43bfcb2a4881", path: "iterfzf/fzf" },
    Package { name: "fzf-0.16.7", abi: Abi::X86_64, client: Client::Pip("manylinux1_x86_64"), request: "iterfzf==0.2.0.16.7",
        sha256: "197c28f4b5fc4f2dd0c44010b54592c69c36fa848fbb28a1974863296f8fdc3d", path: "iterfzf/fzf" },
    Package { name: "fzf-0.20.0", abi: Abi::I386, client: Client::Pip("manylinux1_i686"), request: "iterfzf==0.5.0.20.0",
        sha256: "5d19abc3e4ae31af575835e4ffa0215327864a5123d200682e9d68dc2166558d", path: "iterfzf/fzf" },
    Package { name: "fzf-0.20.0", abi: Abi::X86_64, client: Client::Pip("manylinux1_x86_64"), request: "iterfzf==0.5.0.20.0",
        sha256: "1461f482949d6b0441031722f101c44ac74e60cc3f5b04a9568b3da5aac8a7f2", path: "iterfzf/fzf" },
    Package { name: "esbuild-0.25.5", abi: Abi::I386, client: Client::Npm, request: "@esbuild/linux-ia32@0.25.5",
        sha256: "384de69ba89a79fbfcf54256a6537cdca1ea19847b5c0f99399bbc9f220f2924", path: "package/bin/esbuild" },
    Package { name: "esbuild-0.25.5", abi: Abi::X86_64, client: Client::Npm, request: "@esbuild/linux-x64@0.25.5",
        sha256: "95a928d8187c6f7ad632a3f3bbf01f66dfd5b5adb724b8bfeec5fff73ff2d91a", path: "package/bin/esbuild" },
    Package { name: "busybox-1.35.0", abi: Abi::I386, client: Client::Apt("i386"), request: "busybox-static=1:1.35.0-4+deb12u1+b1",
        sha256: "725ef9e6fbac4ab79b353165b05005e8c140d6e42177ebbc202ff1e13ded8b7c", path: "bin/busybox" },
    Package { name: "busybox-1.35.0", abi: Abi::X86_64, client: Client::Apt("amd64"), request: "busybox-static=1:1.35.0-4+deb12u1+b1",
        sha256: "3d3fdbe91d4660c873e14b092c213fe81c1da6362daa236eb25d0171eb108744", path: "bin/busybox" },
];

/// The cache: `DEMOTIC_CACHE`, else `demotic` in the user's cache folder.
pub fn cache_dir() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("DEMOTIC_CACHE").unwrap_or_else(|| {
        set("XDG_CACHE_HOME")
            .unwrap_or_else(|| set("HOME").unwrap_or_else(|| "/".into()).join(".cache"))
            .join("demotic")
    })
}

impl Package {
    /// Where the fetched program is, whether it is there or not.
    pub fn program(&self) -> PathBuf {
        let file = Path::new(self.path).file_name().unwrap_or_default();
        cache_dir().join("guests").join(self.name).join(self.abi.name()).join(file)
    }

    /// Fetches, checks and unpacks the package unless its program is there already.
    ///
    /// # Errors
    /// The client fails, or the archive is not the pinned one.
    pub fn fetch(&self) -> Result<()> {
        let program = self.program();
        if program.is_file() {
            return Ok(());
        }
        let work = cache_dir().join("fetch").join(format!("{}-{}", self.name, self.abi.name()));
        if work.exists() {
            fs::remove_dir_all(&work)?;
        }
        fs::create_dir_all(work.join("out"))?;
        self.download(&work)?;
        let archive = archive_in(&work)?;
        let sum = output(Command::new("sha256sum").arg(&archive))?;
        ensure!(
            sum.starts_with(self.sha256),
            "{} {}: the archive is not the pinned one: {sum}",
            self.name,
            self.abi.name()
        );
        let out = work.join("out");
        let mut unpack = match self.client {
            Client::Pip(_) => command("python3", &["-m", "zipfile", "-e"], &[&archive, &out]),
            Client::Npm => command("tar", &["-xzf"], &[&archive, Path::new("-C"), &out]),
            Client::Apt(_) => command("dpkg-deb", &["-x"], &[&archive, &out]),
        };
        output(&mut unpack)?;
        let folder = program.parent().context("a program has a folder")?;
        fs::create_dir_all(folder)?;
        // Renamed into place when complete, so that a broken fetch is never taken for a program.
        let fresh = folder.join("fresh");
        fs::copy(out.join(self.path), &fresh)?;
        output(command("chmod", &["755"], &[&fresh]).env_remove("LANG"))?;
        fs::rename(&fresh, &program)?;
        fs::remove_dir_all(&work)?;
        Ok(())
    }

    fn download(&self, work: &Path) -> Result<()> {
        match self.client {
            Client::Pip(platform) => {
                let options = ["download", "-q", "--no-deps", "--only-binary", ":all:", "--platform", platform];
                let mut pip = command("python3", &["-m", "pip"], &[]);
                output(pip.args(options).arg("-d").arg(work).arg(self.request))?;
            }
            Client::Npm => {
                output(command("npm", &["pack", "--silent", self.request], &[]).current_dir(work))?;
            }
            Client::Apt(arch) => {
                // An apt state of its own for the foreign architecture: the system's is not touched.
                let state = work.join("apt");
                for dir in ["state/lists/partial", "cache/archives/partial"] {
                    fs::create_dir_all(state.join(dir))?;
                }
                fs::write(state.join("status"), "")?;
                let option = |key: &str, value: &str| format!("{key}={value}");
                let path = |p: &str| state.join(p).display().to_string();
                let options = [
                    option("Dir::State", &path("state")),
                    option("Dir::State::status", &path("status")),
                    option("Dir::Cache", &path("cache")),
                    option("APT::Architecture", arch),
                    option("APT::Architectures", arch),
                    option("APT::Sandbox::User", "root"),
                ];
                let apt = |verb: &[&str]| {
                    let mut c = command("apt-get", &["-q"], &[]);
                    for o in &options {
                        c.arg("-o").arg(o);
                    }
                    c.args(verb).current_dir(work);
                    c
                };
                // Indexes of sources without this architecture fail; what matters is whether the download works.
                apt(&["update"]).output()?;
                output(&mut apt(&["download", self.request]))?;
            }
        }
        Ok(())
    }
}

fn command(program: &str, arguments: &[&str], paths: &[&Path]) -> Command {
    let mut c = Command::new(program);
    c.args(arguments).args(paths);
    c
}

fn output(command: &mut Command) -> Result<String> {
    let out = command.output().with_context(|| format!("cannot start {command:?}"))?;
    if !out.status.success() {
        bail!("{command:?} failed:\n{}", String::from_utf8_lossy(&out.stderr));
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// The one archive that a client left.
fn archive_in(work: &Path) -> Result<PathBuf> {
    for entry in fs::read_dir(work)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| ["whl", "tgz", "deb"].iter().any(|known| e == *known)) {
            return Ok(path);
        }
    }
    bail!("the client left no archive in {}", work.display())
}
