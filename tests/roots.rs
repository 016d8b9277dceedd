//! Whole userlands: scripts in a Debian root of each ABI, by `--root` and by a chroot inside it, compared with what they give natively
//! (`BLESS=1 DEMOTIC_HOSTS=native` writes that to `tests/expected/root`).
//!
//! The roots are made by `cargo xtask guests` (as root, from the distribution's mirror). Without them the tests are shown as
//! ignored; with `DEMOTIC_REQUIRE_GUESTS` set they fail and say so.

use std::fs;

use demotic_testkit::expect::same_as_file;
use demotic_testkit::guest::{self, Abi};
use demotic_testkit::host::{self, Host};
use demotic_testkit::roots;
use demotic_testkit::run::run;
use demotic_tests::{limit, trial, with_complaint};
use libtest_mimic::{Arguments, Trial};

/// What the emulated hosts run: an emulator under the translator takes its time.
const ON_EMULATORS: [&str; 2] = ["basics", "perl"];

/// What needs no /proc.
const WITHOUT_PROC: [&str; 2] = ["perl", "tools"];

/// How the root becomes the guest's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// `demotic --root ROOT bash`.
    Option,
    /// `demotic --root ROOT chroot / bash`: afterwards there is no file of Demotic's in reach.
    Chroot,
    /// The same, and no /proc either.
    Bare,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for host in host::selected().into_iter().filter(|host| *host != Host::Armv7) {
        for abi in Abi::ALL {
            for name in guest::sources("root", ".sh")? {
                if host.is_emulated() && !ON_EMULATORS.contains(&name.as_str()) {
                    continue;
                }
                trials.push(root_trial(host, abi, &name, Way::Option));
                if host == Host::X86_64 {
                    trials.push(root_trial(host, abi, &name, Way::Chroot));
                    if WITHOUT_PROC.contains(&name.as_str()) {
                        trials.push(root_trial(host, abi, &name, Way::Bare));
                    }
                }
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit()
}

fn root_trial(host: Host, abi: Abi, name: &str, way: Way) -> Trial {
    let case = match way {
        Way::Option => "root",
        Way::Chroot => "chroot",
        Way::Bare => "bare",
    };
    let absent = !roots::is_there(abi) && std::env::var_os("DEMOTIC_REQUIRE_GUESTS").is_none();
    let name = name.to_owned();
    trial(host, abi, &format!("root/{name}"), case, absent, move || {
        let root = roots::path(abi);
        if !roots::is_there(abi) {
            return Err(format!(
                "no root at {}: cargo xtask guests makes it and says why if it cannot",
                root.display()
            ));
        }
        let script = fs::read(guest::tests_dir().join(format!("guest/root/{name}.sh"))).map_err(|e| e.to_string())?;
        let root_text = root.display().to_string();
        let mut command = match (host, way) {
            (Host::Native, _) => {
                let mut command = roots::native(&root);
                command.arg("/bin/bash");
                command
            }
            (_, Way::Option) => host.command_with(&["--root", &root_text], "/bin/bash".as_ref()),
            (_, Way::Chroot | Way::Bare) => {
                // /proc is the kernel's there, and has to be mounted; in a namespace that goes away.
                let inner = host.command_with(&["--root", &root_text], "/usr/sbin/chroot".as_ref());
                let mut command = std::process::Command::new("unshare");
                command.args(["-m", "--propagation", "private", "sh", "-c"]);
                let mount = if way == Way::Chroot { "mount -t proc proc \"$0/proc\"" } else { "true" };
                command.arg(format!("{mount} && exec \"$@\"")).arg(&root).arg(inner.get_program());
                command.args(inner.get_args()).args(["/", "/bin/bash"]);
                command
            }
        };
        command.arg("-s").current_dir("/").env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8").env("HOME", "/root");
        let outcome = run(command, &script, limit(host)).map_err(|e| format!("{e:#}"))?;
        let file = guest::tests_dir().join(format!("expected/root/{}/{name}.txt", abi.name()));
        same_as_file(&file, &outcome.transcript(), host == Host::Native).map_err(|e| with_complaint(&outcome, &e))
    })
}
