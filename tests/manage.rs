//! What a user does once: binfmt_misc entries, names of qemu-user, variables, configuration files, roots and shells.
//!
//! Each trial is a shell script with the output that it must have. Those about the kernel's table run in a user namespace with a binfmt_misc of its own
//! (Linux 6.7), so nothing of the machine is touched. An x86-64 machine runs the guests itself: `--force` puts Demotic first there, and that it
//! was Demotic that ran a program is seen by the kernel release it tells (`DEMOTIC_UNAME`).
//!
//! Where such namespaces do not exist the trials are shown as ignored; with `DEMOTIC_REQUIRE_GUESTS` set they fail instead.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use demotic_testkit::expect::same;
use demotic_testkit::guest::{self, Abi};
use demotic_testkit::host::{self, Host};
use demotic_testkit::packages::PACKAGES;
use demotic_testkit::run::run;
use libtest_mimic::{Arguments, Failed, Trial};

/// Where a script runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    /// As it is.
    Here,
    /// In a user and mount namespace, as its root.
    Namespace,
}

/// Name, place, script, output. `$D` is Demotic, `$G` the folder of prebuilt guests, `$B` busybox for i386, the current folder is empty.
const SCRIPTS: &[(&str, Where, &str, &str)] = &[
    (
        "binfmt/by_name",
        Where::Namespace,
        r#"
        $D binfmt install --arch i386 --force > /dev/null
        cp "$B" busybox
        export DEMOTIC_UNAME=9.9
        ./busybox uname -rm
        (exec -a another "$G/i386/args" "one two" three)
        printf '#!%s/busybox sh\necho "script $0 $*"; uname -r\n' "$PWD" > script
        chmod +x script
        ./script x 'y z'
        # What may be executed and not read is handed over open.
        chmod 111 busybox
        ./busybox echo unreadable
        "#,
        "9.9 x86_64\nanother\none two\nthree\nscript ./script x y z\n9.9\nunreadable\n",
    ),
    (
        "binfmt/chroot_without_demotic",
        Where::Namespace,
        r#"
        $D binfmt install --arch i386 --force --flags F,P,O > /dev/null
        mkdir -p root/bin
        cp "$B" root/bin/busybox
        ln -s busybox root/bin/sh
        export DEMOTIC_UNAME=9.9
        chroot root /bin/sh -c '/bin/busybox uname -r; /bin/busybox ls /; exec /bin/busybox echo "$0"' name
        "#,
        "9.9\nbin\nname\n",
    ),
    (
        "binfmt/flags",
        Where::Namespace,
        r#"
        for flags in F P,F O F,P,O,C; do
            $D binfmt install --arch i386 --force --flags $flags > /dev/null
            echo "$flags: $(sed -n 's/^flags: //p' /proc/sys/fs/binfmt_misc/demotic-i386)"
            (exec -a another "$G/i386/args" a | head -n 1 | sed 's,.*/,,')
        done
        "#,
        "F: F\nargs\nP,F: PF\nanother\nO: O\nargs\nF,P,O,C: POCF\nanother\n",
    ),
    (
        "binfmt/verbs",
        Where::Namespace,
        r#"
        T=/proc/sys/fs/binfmt_misc
        $D binfmt install --arch i386 --force --dry-run | cut -d: -f1,2
        test ! -e $T/status
        $D binfmt install --arch i386 --force | cut -d: -f1,2
        $D binfmt install --arch i386 --force
        ls $T
        $D binfmt status --json | tr -d ' \n' | grep -o '"name":"[^"]*"'
        $D binfmt remove --arch i386
        ls $T
        $D binfmt remove
        "#,
        "would register :demotic-i386\nwould register :demotic-i386-linux\nregister :demotic-i386\nregister :demotic-i386-linux\n\
         note: demotic-i386: is there already\nnote: demotic-i386-linux: is there already\ndemotic-i386\ndemotic-i386-linux\nregister\nstatus\n\
         \"name\":\"demotic-i386\"\n\"name\":\"demotic-i386-linux\"\nremoved demotic-i386\nremoved demotic-i386-linux\nregister\nstatus\n\
         there is nothing of Demotic's\n",
    ),
    (
        "binfmt/others_are_respected",
        Where::Namespace,
        r#"
        T=/proc/sys/fs/binfmt_misc
        mount -t binfmt_misc none $T
        printf '#!/bin/sh\necho other\n' > other
        chmod +x other
        echo ":other:M:18:\\x03\\x00::$PWD/other:" > $T/register
        "$G/i386/args"
        $D binfmt install --arch i386 --force 2>&1 | grep -c 'the entry other' || true
        ls $T
        $D binfmt install --arch i386 --force --override | grep -c note
        "$G/i386/args" | sed 's,.*/,,'
        $D binfmt remove > /dev/null
        "$G/i386/args"
        # A step that fails takes back the ones before it.
        $D binfmt install --arch i386 --force --override --interpreter "$PWD/other" --flags F > /dev/null
        cp "$D" demotic
        echo ':demotic-x:M:0:xyz::/bin/true:' > $T/register
        ls $T | tr '\n' ' '
        "#,
        "other\n1\nother\nregister\nstatus\n1\nargs\nother\ndemotic-i386 demotic-i386-linux demotic-x other register status ",
    ),
    (
        "binfmt/refusals",
        Where::Namespace,
        r#"
        refused() { "$@" > out 2>&1 && echo "taken: $*"; sed "s/^demotic: //;s,$PWD/,," out | cut -c1-50; }
        echo text > text
        # The machine's own may be mounted there.
        ls /proc/sys/fs/binfmt_misc > before
        refused $D binfmt install --arch arm
        refused $D binfmt install --arch i386 --force --flags X
        refused $D binfmt install --arch i386 --force --persistent systemd
        refused $D binfmt install --arch i386 --force --interpreter /nonexistent
        refused $D binfmt install --arch i386 --force --interpreter text
        refused $D binfmt
        ls /proc/sys/fs/binfmt_misc | diff before -
        "#,
        "binfmt install: --arch: no architecture \"arm\"; the\nbinfmt install: --flags: no flag 'X'; there are F,\n\
         binfmt install: --persistent: entries of a user na\nbinfmt install: /nonexistent: No such file or dire\n\
         binfmt install: text: not a program\nbinfmt: expected install, remove, status\n",
    ),
    (
        "binfmt/read_only",
        Where::Namespace,
        r#"
        mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
        mount -o remount,bind,ro /proc/sys/fs/binfmt_misc
        $D binfmt install --arch i386 --force 2>&1 | grep -c 'mounted read-only'
        "#,
        "1\n",
    ),
    (
        "qemu/names",
        Where::Here,
        r#"
        ln -s "$D" qemu-i386-static
        ln -s "$D" qemu-i386-binfmt-P
        ./qemu-i386-static -0 zero -cpu Haswell,+mpx -B 0x1000 -p 4096 "$G/i386/args" -x one
        QEMU_ARGV0=variable ./qemu-i386-static "$G/i386/args"
        ./qemu-i386-static -r 5.4.1 "$B" uname -r
        QEMU_UNAME=4.4.4 ./qemu-i386-static "$B" uname -r
        QEMU_SET_ENV=A=1,B=2 ./qemu-i386-static -E C=3,D=4 -U A "$B" sh -c 'echo $A.$B.$C.$D'
        ./qemu-i386-binfmt-P "$G/i386/args" zeroth first
        ./qemu-i386-static -strace "$G/i386/hello" 2>&1 > /dev/null | grep -c 'write(1'
        ./qemu-i386-static --version | sed 's/ (.*//'
        ./qemu-i386-static -g /nowhere/socket "$G/i386/args" > /dev/null 2>&1 || echo "status $?"
        ./qemu-i386-static -s 16777216 "$B" sh -c 'ulimit -s'
        # Scripts name prefixes that may be there, and look for processors.
        QEMU_LD_PREFIX=/nowhere ./qemu-i386-static "$B" echo no prefix
        ./qemu-i386-static -cpu help | grep -c '^x86 max '
        ./qemu-i386-static -nonsense 2> /dev/null || echo "status $?"
        "#,
        "zero\n-x\none\nvariable\n5.4.1\n4.4.4\n.2.3.4\nzeroth\nfirst\n1\nqemu-i386 version 7.2.0\n\
         status 1\n16384\nno prefix\n1\nstatus 1\n",
    ),
    (
        "qemu/log_file",
        Where::Here,
        r#"
        ln -s "$D" qemu-i386
        # Programs that are executed write to it, too, and the guest neither sees nor closes it.
        ./qemu-i386 -D log -d strace "$B" sh -c "$B true; exec $B ls /proc/self/fd" > with
        ./qemu-i386 "$B" sh -c "$B true; exec $B ls /proc/self/fd" > without
        cmp with without && echo same
        grep -c ' execve(' log
        grep -q 'exit_group' log && echo ends
        echo old > log
        QEMU_LOG=strace QEMU_LOG_FILENAME=log.%d ./qemu-i386 "$G/i386/hello"
        cat log; ls log.* | wc -l; grep -c 'write(1' log.*
        ./qemu-i386 -D log "$G/i386/hello"
        cat log
        ./qemu-i386 -D /nowhere/log -d strace "$G/i386/hello" 2>&1 || echo "status $?"
        ./qemu-i386 -d page -trace x -D log "$G/i386/hello" 2>&1
        ./qemu-i386 -R 12q "$G/i386/hello" 2>&1 || echo "status $?"
        ./qemu-i386 -plugin x "$G/i386/hello" 2>&1 || echo "status $?"
        ./qemu-i386 -d nonsense "$G/i386/hello" 2>&1 || echo "status $?"
        ./qemu-i386 -g 99999999 "$G/i386/hello" 2>&1 || echo "status $?"
        "#,
        "same\n2\nends\nhello, world\nold\n1\n1\nhello, world\nold\n\
         demotic: --log-file: /nowhere/log: No such file or directory (os error 2)\nstatus 1\n\
         demotic: -d page: nothing here to be logged\ndemotic: -trace: there are no trace events here\nhello, world\n\
         demotic: -R: expected a number of bytes, not \"12q\"\nstatus 1\n\
         demotic: -plugin: QEMU's plugins cannot be loaded here\nstatus 1\n\
         demotic: -d nonsense: no such log item (`-d help` lists them)\nstatus 1\n\
         demotic: -g: expected a port below 65536, HOST:PORT, or the path of a socket\nstatus 1\n",
    ),
    (
        "chroot/without_proc_or_entry",
        Where::Namespace,
        r#"
        mkdir -p root/bin
        cp "$B" root/bin/busybox
        ln -s busybox root/bin/sh
        printf '#!/bin/sh\necho "script $*"; /bin/busybox uname -r\n' > root/script
        chmod 755 root/script
        ln -s /proc root/proc
        export DEMOTIC_UNAME=9.9
        $D "$B" chroot root /bin/sh -c '/bin/sh -c "/bin/busybox uname -r; /script a; exec /bin/busybox echo last"'
        "#,
        "9.9\nscript a\n9.9\nlast\n",
    ),
    (
        // What debootstrap --foreign leaves in a container: /proc leads to itself, and Demotic is there by its path.
        "chroot/without_proc_but_demotic",
        Where::Namespace,
        r#"
        mkdir -p root/bin "root$(dirname "$D")"
        cp "$B" root/bin/busybox
        ln -s busybox root/bin/sh
        ln -s /proc root/proc
        touch "root$D"
        mount --bind "$D" "root$D"
        export DEMOTIC_UNAME=9.9
        $D "$B" chroot root /bin/sh -c '/bin/sh -c "/bin/busybox uname -r; /bin/busybox echo more"; exec /bin/busybox echo last'
        "#,
        "9.9\nmore\nlast\n",
    ),
    (
        "compiled/set_user_id",
        Where::Here,
        r##"
        mkdir -p system/bin system/etc
        cp "$B" system/bin/busybox
        ln -s busybox system/bin/sh
        cat > who.c << 'END'
        #include <stdio.h>
        #include <sys/auxv.h>
        #include <sys/utsname.h>
        #include <unistd.h>
        int main(int argc, char **argv) {
            struct utsname u;
            uname(&u);
            printf("%s: euid %d, secure %lu, release %s\n", argv[0], geteuid(), getauxval(AT_SECURE), u.release);
            fflush(stdout);
            if (argc > 1 && (geteuid() != 0 || setresuid(1000, 1000, 1000) == 0)) execv(argv[1], argv + 1);
            return 0;
        }
END
        i686-linux-gnu-gcc -static -O1 -o system/bin/who who.c
        cp system/bin/who system/bin/rooted
        chmod 4755 system/bin/rooted
        $D root import --name r "$(tar -C system -cf r.tar . && echo r.tar)" > /dev/null
        DEMOTIC_UNAME=9.9 $D shell --no-home r /bin/who /bin/who /bin/rooted 2> /dev/null | sed "s/$(uname -r)/the real one/"
        $D root remove r
        "##,
        "/bin/who: euid 0, secure 0, release 9.9\n/bin/who: euid 1000, secure 0, release 9.9\n/bin/rooted: euid 0, secure 1, release the real one\n",
    ),
    (
        "config/sections",
        Where::Here,
        r#"
        export XDG_CONFIG_HOME=$PWD
        mkdir demotic
        printf 'uname = 1.1\n[busy*]\nenv = A=busy # a comment\n[/nowhere/*]\nuname = 3.3\n' > demotic/config
        $D "$B" sh -c 'uname -r; echo $A'
        DEMOTIC_UNAME=2.2 $D "$B" uname -r
        DEMOTIC_UNAME=2.2 $D --uname 4.4 "$B" uname -r
        # Sections of a program count when another one executes it.
        mkdir other
        cp "$B" other/busybox
        printf '[*/other/*]\nuname = 5.5\n' > demotic/config
        cp "$B" busybox
        DEMOTIC_UNAME=2.2 $D "$PWD/busybox" sh -c "busybox uname -r; cd other; $PWD/other/busybox uname -r"
        printf 'nonsense\n' > demotic/config
        $D "$G/i386/args" 2>&1 | sed 's,^[^:]*: .*/demotic/,,;s,.*/args,args,'
        "#,
        "1.1\nbusy\n2.2\n4.4\n2.2\n5.5\nconfig:1: no option \"nonsense\" in this file\nargs\n",
    ),
    (
        "roots/import_shell_remove",
        Where::Here,
        r#"
        mkdir -p system/bin system/etc system/root
        cp "$B" system/bin/busybox
        for name in sh ls uname cat id; do ln -s busybox system/bin/$name; done
        echo root:x:0:0:root:/root:/bin/sh > system/etc/passwd
        printf 'PRETTY_NAME="A small system"\n' > system/etc/os-release
        tar -C system -czf small.tar.gz .
        $D root import small.tar.gz | sed "s,^$PWD/,,"
        $D root list
        $D root path small | sed "s,^$PWD/,,"
        export DEMOTIC_UNAME=9.9
        for way in '' --no-binfmt; do
            $D shell $way --no-home small sh -c 'echo "$0 $*"; uname -r; id -u; ls /' zero 'one two' 2> /dev/null
        done
        $D shell --no-home --bind "$PWD/system:/mnt/x" small ls /mnt/x
        echo 'uname -r; exit 3' | $D shell --no-home small 2> /dev/null
        echo "status $?"
        $D root import small.tar.gz 2>&1 | grep -c 'already'
        head -c 5000 small.tar.gz > half.tar.gz
        $D root import half.tar.gz > /dev/null 2>&1 || echo refused
        tar -cf empty.tar small.tar.gz
        $D root import empty.tar 2>&1 | grep -c 'no system'
        $D root import small.tar.gz --name ../x 2>&1 | grep -c 'is no name'
        $D root remove nothing 2>&1 | grep -c 'there is no root'
        $D root create x 2>&1 | grep -c -e '--debian'
        ls -A demotic/roots
        $D root remove small
        ls -A demotic/roots
        $D shell small 2>&1 | grep -c 'there is no root'
        # Errors are one line, and what is no root stays as it is.
        printf 'one\ntwo\n%1000s' > text
        $D root import text --name t 2>&1 | wc -l
        mkdir plain
        $D shell ./plain ls 2>&1 | grep -c 'no system'
        ls -A plain
        $D root path $'a\xff' 2>&1 | grep -c 'UTF-8'
        XDG_DATA_HOME=$PWD/text $D root list 2>&1 | grep -c 'Not a directory'
        "#,
        "demotic/roots/small\nsmall                i386   A small system\ndemotic/roots/small\n\
         zero one two\n9.9\n0\nbin\ndev\netc\nproc\nroot\nrun\nsys\nzero one two\n9.9\n0\nbin\ndev\netc\nproc\nroot\nrun\nsys\n\
         bin\netc\nroot\n9.9\nstatus 3\n1\nrefused\n1\n1\n1\n1\nsmall\n1\n1\n1\n1\n1\n",
    ),
    (
        "verbs/programs_of_the_same_name",
        Where::Here,
        r#"
        cp "$G/i386/args" doctor
        PATH=$PWD:$PATH
        $D ./doctor a
        $D -- doctor b | sed 's,.*/,,'
        $D doctor | grep -c processor
        $D doctor --json | grep -o '"about":"page size","advice":null,"text":"4 KiB","verdict":"ok"'
        $D config | sed "s,$PWD,HERE,"
        mkdir demotic
        printf 'strace\ncpu\n' > demotic/config
        $D config | sed "s,$PWD/,,"
        "#,
        "./doctor\na\ndoctor\nb\n1\n\"about\":\"page size\",\"advice\":null,\"text\":\"4 KiB\",\"verdict\":\"ok\"\n\
         there is no configuration file (/etc/demotic/config and HERE/demotic/config)\n\
         demotic/config:2: cpu needs a value: cpu = MODEL[,+-FEATURE]\n",
    ),
];

/// The build for AArch64 as the interpreter, which the kernel starts by the emulator's entry: two entries behind each other. `$R` is that build, `$M` its
/// manager. The kernel hands over one open file only, so one of the two does without O, and the emulator's build is told of P by its name.
const EMULATED: &[(&str, Where, &str, &str)] = &[(
    "binfmt/by_name",
    Where::Namespace,
    r#"
    T=/proc/sys/fs/binfmt_misc
    "$Q" "$M" binfmt install --interpreter "$R" --persistent none --dry-run | cut -d: -f1-2
    mount -t binfmt_misc none $T
    # For AArch64, by its machine number.
    echo ":a64:M:18:\\xb7\\x00::$Q:POCF" > $T/register
    ln -s "$R" demotic-binfmt-P
    # Not for x86-64: the machine below the emulator has such programs itself.
    $M binfmt install --arch i386 --interpreter "$PWD/demotic-binfmt-P" --persistent none --flags P,F > /dev/null
    ls $T | tr '\n' ' '
    (exec -a another "$G/i386/args" one)
    mkdir -p root/bin
    cp "$B" root/bin/busybox
    export DEMOTIC_UNAME=9.9
    chroot root /bin/busybox sh -c '/bin/busybox uname -rm; echo $0' name
    ln -s "$R" qemu-i386-static
    ./qemu-i386-static -0 zero "$G/i386/args"
    ./qemu-i386-static -L root -r 8.8 -E A=1 /bin/busybox sh -c 'uname -r; echo $A'
    "#,
    "would register :demotic-i386\nwould register :demotic-i386-linux\nwould register :demotic-x86-64\nwould register :demotic-x86-64-linux\n\
     a64 demotic-i386 demotic-i386-linux register status another\none\n9.9 x86_64\nname\nzero\n8.8\n1\n",
)];

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::from_args();
    let required = std::env::var_os("DEMOTIC_REQUIRE_GUESTS").is_some();
    let namespaces = has_namespaces();
    let mut trials = Vec::new();
    for host in host::selected() {
        let scripts = match host {
            Host::Native | Host::Armv7 => continue,
            _ if host.is_emulated() => EMULATED,
            _ => SCRIPTS,
        };
        for &(name, place, script, output) in scripts {
            let absent = (place == Where::Namespace && !namespaces)
                || (name.starts_with("compiled/")
                    && !(namespaces && guest::can_build() && rustix::process::geteuid().is_root()));
            let trial = Trial::test(format!("{}::{name}", host.name()), move || check(host, place, script, output));
            trials.push(trial.with_ignored_flag(absent && !required));
        }
    }
    libtest_mimic::run(&arguments, trials).exit()
}

/// Whether a user namespace gets a binfmt_misc of its own here.
fn has_namespaces() -> bool {
    let mount = ["-U", "-r", "-m", "mount", "-t", "binfmt_misc", "none", "/proc/sys/fs/binfmt_misc"];
    Command::new("unshare").args(mount).output().is_ok_and(|o| o.status.success())
}

/// The manager beside a build.
fn manager(host: Host) -> PathBuf {
    let demotic = host.demotic();
    let name = demotic.file_name().map(|n| n.to_string_lossy().replacen("demotic", "demotic-manage", 1));
    demotic.with_file_name(name.unwrap_or_default())
}

fn check(host: Host, place: Where, script: &str, output: &str) -> Result<(), Failed> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("demotic-manage-{}-{number}", std::process::id()));
    fs::create_dir(&folder)?;
    let result = check_in(&folder, host, place, script, output);
    fs::remove_dir_all(&folder)?;
    result
}

fn check_in(folder: &PathBuf, host: Host, place: Where, script: &str, output: &str) -> Result<(), Failed> {
    let busybox = PACKAGES.iter().find(|p| p.name.starts_with("busybox") && p.abi == Abi::I386);
    let busybox = busybox.ok_or("busybox is a package")?.program();
    let mut command = match place {
        Where::Here => Command::new("bash"),
        Where::Namespace => {
            let mut c = Command::new("unshare");
            c.args(["-U", "-r", "-m", "bash"]);
            c
        }
    };
    command
        .args(["-u", "-c", script])
        .current_dir(folder)
        .env("D", host.demotic())
        .env("R", host.demotic())
        .env("M", manager(host))
        .env("Q", host.emulator_path().unwrap_or_default())
        .env("G", guest::tests_dir().join("guest/prebuilt"))
        .env("B", busybox)
        .env("DEMOTIC_KEEP", "off")
        .env("XDG_CONFIG_HOME", folder)
        .env("XDG_DATA_HOME", folder);
    for name in ["DEMOTIC_ENGINE", "DEMOTIC_CPU", "DEMOTIC_UNAME"] {
        command.env_remove(name);
    }
    let outcome = run(command, b"", Duration::from_secs(120)).map_err(|e| format!("{e:#}"))?;
    let complaint = String::from_utf8_lossy(&outcome.stderr);
    same(output, &String::from_utf8_lossy(&outcome.stdout))
        .map_err(|e| format!("{e}\nstandard error:\n{complaint}"))?;
    Ok(())
}
