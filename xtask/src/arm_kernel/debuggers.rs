//! strace and gdb: Debian's own for i386 and amd64, on programs of their own kind, by the userland script `debuggers`.
//!
//! What they need of the large root of each ABI goes along; the programs that the script would compile are compiled in that root before. Right is what
//! `tests/expected/userland` says, which is from native runs in the same roots.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use demotic_testkit::guest::{self, Abi};
use demotic_testkit::roots;

use super::Machine;
use super::debian::Kernel;

const PROCESSOR: &str = "neoverse-n1";

const ENVIRONMENT: &str = "PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root";

/// Seconds for all.
const LIMIT: u32 = 7200;

/// The line of the script up to which it makes its programs.
const MADE: &str = "echo \"-- strace\"";

/// Writes an archive of what the root has to have for the script.
const PRUNE: &str = r#"
follow() {
    f=$1
    while :; do
        f=$(readlink -f "${f%/*}/")/${f##*/}
        echo "$f"
        [ -L "$f" ] || break
        case $(readlink "$f") in /*) f=$(readlink "$f") ;; *) f=${f%/*}/$(readlink "$f") ;; esac
    done
}
{
    for f in /bin /sbin /lib /lib32 /lib64 /libx32; do [ ! -L $f ] || echo $f; done
    for program in bash sh env strace gdb mktemp rm cp cat grep sed awk sort uniq sleep timeout true chroot; do
        follow "$(type -P $program)"
        for f in $(ldd "$(type -P $program)" | grep -oE '/[^ )]+'); do follow "$f"; done
    done
    echo /etc/passwd
    echo /etc/ld.so.cache
    echo /etc/nsswitch.conf
    # What gdb starts its Python with, and converts characters with.
    find /usr/share/gdb/{python,syscalls} /usr/lib/python3.*/{collections,encodings,importlib,re} -type f
    find /usr/lib/python3.* -maxdepth 1 -type f
    find /usr/lib/python3.*/__pycache__ -type f
    find /usr/lib/*/gconv -type f -name 'gconv-modules*' -o -name 'UTF-*.so'
    find /usr/lib/locale/C.utf8 -type f
} | sed s,^/,, | sort -u | tar -c --hard-dereference -C / --no-recursion -T -
"#;

/// In the place of the compiler.
const COMPILER: &str = "#!/bin/bash\n# What this is asked for has been made before.\nwhile [ \"$1\" != -o ]; do shift; done\ncp \"/made/$2\" \"$2\"\n";

/// Runs the script in those of `i386/root`, `i386/chroot`, `x86_64/root`, `x86_64/chroot` whose name contains one of the names, or in all.
pub fn run(kernel: Kernel, names: &[&str]) -> Result<()> {
    let script = fs::read_to_string(guest::tests_dir().join("guest/userland/debuggers.sh"))?;
    let machine = Machine::new(kernel, "debuggers")?;
    machine.text(&script, "debuggers.sh")?;
    let mut commands = String::new();
    let mut wanted = Vec::new();
    for abi in Abi::ALL {
        let root = abi.name();
        let ways = [
            (format!("{root}/root"), format!("demotic --root /{root}")),
            (format!("{root}/chroot"), format!("demotic --root /{root} /usr/sbin/chroot /")),
        ];
        let ways: Vec<_> =
            ways.into_iter().filter(|(full, _)| names.is_empty() || names.iter().any(|n| full.contains(n))).collect();
        if ways.is_empty() {
            continue;
        }
        files(&machine, abi, &script)?;
        let expected = guest::tests_dir().join(format!("expected/userland/{root}/debuggers.txt"));
        let expected = fs::read_to_string(&expected).with_context(|| expected.display().to_string())?;
        writeln!(commands, "mount -t proc proc /{root}/proc; mount --bind /dev /{root}/dev")?;
        for (full, way) in ways {
            writeln!(commands, "echo '=== {full}'")?;
            writeln!(commands, "env -i {ENVIRONMENT} {way} /bin/bash -s < /debuggers.sh 2> /complaints")?;
            writeln!(commands, "echo \"[exit $?]\"; echo '--- complaints'; cat /complaints")?;
            wanted.push((full, expected.clone()));
        }
    }
    ensure!(!wanted.is_empty(), "nothing has such a name");
    let console = machine.run(&commands, PROCESSOR, LIMIT)?;
    let mut differing = 0;
    for (full, expected) in &wanted {
        let part = console.split("=== ").find_map(|part| part.strip_prefix(full)?.strip_prefix('\n'));
        let (got, complaints) = part.and_then(|p| p.split_once("--- complaints\n")).unwrap_or_default();
        match demotic_testkit::expect::same(expected, got) {
            Ok(()) => println!("{full}: ok"),
            Err(difference) => {
                differing += 1;
                println!("{full}: {difference}\n{got}{complaints}");
            }
        }
    }
    ensure!(differing == 0, "the debuggers give something else on the real kernel");
    Ok(())
}

/// The pruned root of an ABI, as a folder of that name.
fn files(machine: &Machine, abi: Abi, script: &str) -> Result<()> {
    let root = machine.root().join(abi.name());
    let (head, _) = script.split_once(MADE).context("the script makes its programs first")?;
    for folder in ["made", "dev", "proc", "sys", "tmp", "root", "etc"] {
        fs::create_dir_all(root.join(folder))?;
    }
    unpacked(abi, PRUNE, &root)?;
    unpacked(abi, &format!("{head}\ntar -c p loop turns"), &root.join("made"))?;
    machine.text(COMPILER, &format!("{}/usr/bin/gcc", abi.name()))
}

/// Unpacks the archive that a script writes which runs natively in the large root. Nothing is left in that.
fn unpacked(abi: Abi, script: &str, folder: &Path) -> Result<()> {
    let archive = folder.join("archive");
    let mut native = roots::native_with_devices(&roots::large(abi));
    native.args(["/bin/bash", "-e", "-c", &format!("mount -t tmpfs tmpfs /tmp\n{script}")]).env_clear();
    native.envs(ENVIRONMENT.split(' ').filter_map(|word| word.split_once('=')));
    let done = native.stdin(Stdio::null()).stdout(File::create(&archive)?).status()?;
    ensure!(done.success(), "a script in the {} root failed (as root, on an x86-64 machine)", abi.name());
    let done = Command::new("tar").arg("-x").arg("-C").arg(folder).arg("-f").arg(&archive).status()?;
    ensure!(done.success(), "tar failed");
    Ok(fs::remove_file(&archive)?)
}
