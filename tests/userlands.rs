//! The programs that people run, in larger Debian roots of each ABI: compilers, managed runtimes, servers under load, editors in a
//! terminal. Scripts of `tests/guest/userland`, by `--root` and by a chroot inside it, compared with what they give natively.
//!
//! `cargo xtask userlands` makes the roots (as root; some two gigabytes each) and runs this; it is not a part of the usual tests. What
//! is right is what the same script gives natively in the same run or, where the machine is not an x86-64 one, what such a machine wrote
//! to `tests/expected/userland` (`BLESS=1 DEMOTIC_HOSTS=native cargo xtask userlands`).

use std::fs;
use std::time::Duration;

use demotic_testkit::expect::same_as_file;
use demotic_testkit::guest::{self, Abi};
use demotic_testkit::host::{self, Host};
use demotic_testkit::roots;
use demotic_testkit::run::run;
use demotic_tests::with_complaint;
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for host in host::selected().into_iter().filter(|host| *host != Host::Armv7) {
        for abi in Abi::ALL {
            for name in guest::sources("userland", ".sh")? {
                for chroot in [false, true] {
                    if host.is_emulated() && chroot || host == Host::Native && chroot {
                        continue;
                    }
                    let way = if chroot { "chroot" } else { "root" };
                    let title = format!("{}::{}::{name}::{way}", host.name(), abi.name());
                    let name = name.clone();
                    trials.push(Trial::test(title, move || go(host, abi, &name, chroot).map_err(Failed::from)));
                }
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit()
}

fn go(host: Host, abi: Abi, name: &str, chroot: bool) -> Result<(), String> {
    let root = roots::large(abi);
    let script = fs::read(guest::tests_dir().join(format!("guest/userland/{name}.sh"))).map_err(|e| e.to_string())?;
    let mut command = if host == Host::Native {
        roots::native_with_devices(&root)
    } else {
        // A script may ask for options in a line of its own.
        let text = String::from_utf8_lossy(&script);
        let root_text = root.display().to_string();
        let mut options = vec!["--root", &root_text];
        options.extend(text.lines().filter_map(|l| l.strip_prefix("# demotic: ")).flat_map(str::split_whitespace));
        let program = if chroot { "/usr/sbin/chroot" } else { "/bin/bash" };
        let inner = host.command_with(&options, program.as_ref());
        let mut command = roots::in_namespace(&root);
        command.arg(inner.get_program()).args(inner.get_args());
        if chroot {
            command.arg("/");
        }
        command
    };
    if host == Host::Native || chroot {
        command.arg("/bin/bash");
    }
    command.arg("-s").current_dir("/").env_clear();
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8").env("HOME", "/root");
    // An emulator under the translator takes its time.
    let limit = Duration::from_secs(if host.is_emulated() { 3600 } else { 1200 });
    let outcome = run(command, &script, limit).map_err(|e| format!("{e:#}"))?;
    println!("{} {} {name}: {:.1} s", host.name(), abi.name(), outcome.time.as_secs_f32());
    let file = guest::tests_dir().join(format!("expected/userland/{}/{name}.txt", abi.name()));
    same_as_file(&file, &outcome.transcript(), host == Host::Native).map_err(|e| with_complaint(&outcome, &e))
}
