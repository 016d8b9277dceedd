//! The `demotic` command: command line, environment, program search; then the personality takes over.
//!
//! There is no Rust runtime start-up (`no_main`): it would ignore SIGPIPE, which the guest would inherit, and install
//! handlers for stack overflow. The ways in, in the order in which they are told apart:
//!
//! * by the kernel's binfmt_misc ([`Kernel`]): the program's path comes first, and nothing is an option;
//! * by a guest's execve(2), with [`demotic_linux::exec::INTERNAL`] as the first argument;
//! * by a name of qemu-user, with its options ([`qemu`]);
//! * with a management verb, which `demotic-manage` carries out;
//! * with options and a program.
//!
//! Settings come, the later ones winning, from `/etc/demotic/config`, the user's configuration file, variables `DEMOTIC_*`, in the name of qemu-user
//! `QEMU_*`, and the command line. A process with rights beyond its user's (AT_SECURE) takes the command line's only.
#![cfg_attr(not(test), no_main)]
#![deny(unsafe_code)]

mod flags;
mod kernel;
mod manage;
mod qemu;

use demotic_linux::exec;
use demotic_linux::fs::root::Root;
use demotic_linux::mm::host::usable;
use demotic_linux::process::{self, Options, Start};
use demotic_linux::shelf::{self, Keep};
use demotic_options::config::{self, Wanted};
use demotic_options::qemu::called;
use demotic_options::{places, verbs};
use flags::{Change, Flags, Request, Setting};
use kernel::Kernel;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::fd::IntoRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Exit status for a wrong command line, as env(1) and timeout(1) use it.
const USAGE: i32 = 125;
/// The same by a name of qemu-user.
const QEMU_USAGE: i32 = 1;

/// The variable with the guest root.
const ROOT: &str = "DEMOTIC_ROOT";
const HOST_PAGE: &str = "DEMOTIC_HOST_PAGE";

/// The entry that C start-up code calls.
#[allow(unsafe_code)] // the attribute counts as such
#[cfg_attr(not(test), unsafe(export_name = "main"))]
pub extern "C" fn entry(_argc: i32, _argv: *const *const libc::c_char) -> i32 {
    demotic_host::heap::prepare();
    exec::remember_own_binary();
    // On Linux the standard library knows the arguments without its own start-up.
    let mut args = std::env::args_os();
    let called = called(args.next().unwrap_or_default().as_bytes());
    let args: Vec<OsString> = args.collect();
    let qemu = called.qemu;
    if let Some(kernel) = Kernel::detect(called.keeps_argv0) {
        return match kernel.command(args) {
            Some((program, command)) => run(Vec::new(), qemu.is_some(), command, Some((program, kernel.fd))),
            None => complain(USAGE, "binfmt_misc gave no program"),
        };
    }
    if args.first().is_some_and(|a| a == exec::INTERNAL) {
        return internal(args);
    }
    let request = match (qemu, args.first().and_then(|a| a.to_str())) {
        (Some(name), _) => qemu::parse(name, args),
        (None, Some(word)) if verbs::is_verb(word) => return complain(USAGE, &manage::hand_over(&args)),
        _ => flags::parse(args),
    };
    match request {
        Ok(Request::Print(text)) => print(&text),
        Ok(Request::List(text)) => print(&text).max(QEMU_USAGE),
        Ok(Request::Run(settings, command)) => run(settings, qemu.is_some(), command, None),
        Err(message) => complain(usage(qemu.is_some()), &message),
    }
}

/// The exit status for a wrong command line.
fn usage(qemu: bool) -> i32 {
    if qemu { QEMU_USAGE } else { USAGE }
}

fn print(text: &str) -> i32 {
    i32::from(std::io::stdout().write_all(text.as_bytes()).is_err())
}

fn complain(status: i32, message: &str) -> i32 {
    demotic_host::log::line(format_args!("demotic: {message}"));
    status
}

/// The variables, in order. Entries without `=` (execve(2) allows them) are dropped, as the standard library does.
fn environment() -> Vec<OsString> {
    std::env::vars_os()
        .map(|(name, value)| {
            let mut entry = name;
            entry.push("=");
            entry.push(value);
            entry
        })
        .collect()
}

fn change(env: &mut Vec<OsString>, changes: &[Change]) {
    for change in changes {
        let name = match change {
            Change::Set(entry) => entry.as_bytes().split(|&b| b == b'=').next().unwrap_or_default(),
            Change::Unset(name) => name.as_bytes(),
        };
        env.retain(|e| e.as_bytes().split(|&b| b == b'=').next() != Some(name));
        if let Change::Set(entry) = change {
            env.push(entry.clone());
        }
    }
}

/// Applies what the configuration files say for a program. What is wrong in them is passed over, and said where `aloud`.
fn configure(flags: &mut Flags, wanted: Wanted<'_>, aloud: bool) {
    let say = |message: String| {
        if aloud {
            complain(0, &message);
        }
    };
    let user = places::user_config(rustix::process::geteuid().as_raw());
    for file in [Some(places::SYSTEM_CONFIG.into()), user].into_iter().flatten() {
        // Usually there is none.
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        let (settings, faults) = config::read(&text, wanted);
        let place = |line: usize| format!("{}:{line}", file.display());
        faults.iter().for_each(|fault| say(format!("{}: {}", place(fault.line), fault.what)));
        for setting in settings {
            let (from, value) = (place(setting.line), setting.value.map(OsString::from));
            if let Err(message) = flags.apply(&Setting { from, effect: setting.flag.effect, value }) {
                say(message);
            }
        }
    }
}

/// All settings for a program: files, then variables and command line.
fn flags_for(program: &OsStr, settings: &[Setting], aloud: bool) -> Result<Flags, String> {
    let mut flags = Flags::default();
    if !shelf::is_secure() {
        configure(&mut flags, Wanted::Program(&program.to_string_lossy()), aloud);
    }
    settings.iter().try_for_each(|s| flags.apply(s))?;
    Ok(flags)
}

/// The guest root that was asked for. Rights beyond the user's: whoever starts the program must not choose what it finds.
fn root(flags: &Flags) -> Result<Root, String> {
    match flags.root.as_ref().filter(|dir| !dir.is_empty() && !shelf::is_secure()) {
        Some(dir) => Root::new(Path::new(dir), None).map_err(|e| format!("guest root {}: {e}", dir.to_string_lossy())),
        None => Ok(Root::none()),
    }
}

/// Runs a command. `by_kernel`: the program and its open file as binfmt_misc gave them.
fn run(settings: Vec<Setting>, qemu: bool, command: Vec<OsString>, by_kernel: Option<(OsString, Option<i32>)>) -> i32 {
    let mut args = command;
    let mut all = Vec::new();
    if !shelf::is_secure() {
        all = flags::from_environment(std::env::vars_os());
        if qemu {
            match qemu::from_environment(std::env::vars_os()) {
                Ok(more) => all.extend(more),
                Err(message) => return complain(usage(qemu), &message),
            }
        }
    }
    all.extend(settings);
    let is_by_kernel = by_kernel.is_some();
    let (program, fd) = match by_kernel {
        Some(given) => given,
        None => {
            let Some(name) = args.first().cloned() else { return complain(usage(qemu), "no program to run") };
            // A path needs no search, and a search the guest root.
            let searched = !name.as_bytes().contains(&b'/');
            let found = if searched { flags_for(&name, &all, false) } else { Ok(Flags::default()) };
            let found = found.and_then(|flags| root(&flags)).map(|root| find(&root, &name));
            match found {
                Ok(Ok(program)) => (program, None),
                Ok(Err((status, reason))) => {
                    return complain(status, &format!("{}: {reason}", name.to_string_lossy()));
                }
                Err(message) => return complain(usage(qemu), &message),
            }
        }
    };
    let told = flags_for(&program, &all, true).and_then(|flags| Ok((root(&flags)?, flags)));
    let (root, flags) = match told {
        Ok(told) => told,
        Err(message) => return complain(usage(qemu), &message),
    };
    if let Some(argv0) = &flags.options.argv0 {
        args[0].clone_from(argv0);
    }
    if root.is_active() && !rustix::process::geteuid().is_root() && Root::installs(Path::new(&program), &args) {
        complain(
            0,
            "packages belong to root: without being root, `demotic shell FOLDER` is where they can be installed",
        );
    }
    let mut env = environment();
    env.retain(|e| e.as_bytes().split(|&b| b == b'=').next() != Some(ROOT.as_bytes()));
    let status = start(
        flags,
        Start {
            program,
            fd,
            args,
            env,
            options: Options::default(),
            mask: None,
            root,
            by_kernel: is_by_kernel,
            seccomp: None,
            trace: None,
            gdb: None,
        },
    );
    if status == USAGE { usage(qemu) } else { status }
}

/// Starts the program with the flags. Returns only if it cannot be started.
fn start(mut flags: Flags, mut start: Start) -> i32 {
    if !flags.keeps {
        flags.options.keep = Keep::usual();
    }
    flags.options.keep.prepare();
    if let Some(bytes) = flags.stack {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Stack);
        limit.current = Some(limit.maximum.map_or(bytes, |most| most.min(bytes)));
        if let Err(e) = setrlimit(Resource::Stack, limit) {
            return complain(USAGE, &format!("--stack: {e}"));
        }
    }
    // For tests only (HACKING.md): as on a host with larger pages than this one's.
    if let Some(text) = std::env::var_os(HOST_PAGE).filter(|_| !shelf::is_secure()) {
        flags.options.host_page = text.to_str().and_then(|text| text.parse().ok()).filter(|&page| usable(page));
        if flags.options.host_page.is_none() {
            return complain(USAGE, &format!("{HOST_PAGE}: no size that pages could have here"));
        }
    }
    if let Some(name) = flags.log_file.filter(|_| flags.options.strace || flags.options.log) {
        if let Err(e) = open_log(&name) {
            return complain(USAGE, &format!("--log-file: {}: {e}", name.to_string_lossy()));
        }
    }
    change(&mut start.env, &flags.env);
    start.options = flags.options;
    let error = process::start(&start);
    complain(error.status, &error.message)
}

/// Makes log items go to a file. One that was handed on by the program before stays.
fn open_log(name: &OsStr) -> std::io::Result<()> {
    if demotic_host::log::file().is_some() {
        return Ok(());
    }
    let id = std::process::id().to_string();
    let parts: Vec<Vec<u8>> = name.as_bytes().split(|&b| b == b'%').map(<[u8]>::to_vec).collect();
    let mut path = parts.first().cloned().unwrap_or_default();
    for part in parts.iter().skip(1) {
        match part.strip_prefix(b"d") {
            Some(rest) => path.extend_from_slice(&[id.as_bytes(), rest].concat()),
            None => path.extend_from_slice(&[b"%", part.as_slice()].concat()),
        }
    }
    std::fs::File::create(OsStr::from_bytes(&path))?;
    // Several processes write to it.
    let file = std::fs::OpenOptions::new().append(true).open(OsStr::from_bytes(&path))?;
    exec::log_to(file.into_raw_fd());
    Ok(())
}

/// The continuation of a guest's execve(2): options, path, arguments. The program's own sections in the configuration files count, too.
fn internal(args: Vec<OsString>) -> i32 {
    let mut args = args.into_iter().skip(1);
    let told = args.next().map(|options| exec::decode(&options.to_string_lossy())).unwrap_or_default();
    let exec::Continuation { mut options, launcher, keep, root, sealed, own, mask, fd, seccomp, trace, gdb, log_file } =
        told;
    if let Some(fd) = log_file {
        exec::log_to(fd);
    }
    if let Some(own) = own {
        exec::adopt_own_binary(own);
    }
    options.launcher = args.by_ref().take(launcher).collect();
    options.keep = args.by_ref().take(keep.into()).next().map_or(Keep::Off, |dir| Keep::In(dir.into()));
    let root = root.and_then(|fd| Root::new(Path::new(&args.next()?), Some(fd)).ok()).unwrap_or(Root::none());
    if sealed {
        root.seal();
    }
    let Some(program) = args.next() else { return complain(USAGE, "an internal option was used from outside") };
    let mut flags = Flags { options, keeps: true, ..Flags::default() };
    if !shelf::is_secure() {
        configure(&mut flags, Wanted::Sections(&program.to_string_lossy()), true);
    }
    let (args, env, options) = (args.collect(), environment(), Options::default());
    start(
        flags,
        Start { program, fd, args, env, options, mask: Some(mask), root, by_kernel: false, seccomp, trace, gdb },
    )
}

/// Searches PATH for a name without a slash, as execvp(3) does.
fn find(root: &Root, name: &OsStr) -> Result<OsString, (i32, String)> {
    if name.as_bytes().contains(&b'/') {
        return Ok(name.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let mut denied = false;
    for dir in path.as_bytes().split(|&b| b == b':') {
        let dir: &[u8] = if dir.is_empty() { b"." } else { dir };
        let file = Path::new(OsStr::from_bytes(dir)).join(name);
        match exec::open_file(root, file.as_os_str().as_bytes()).and_then(|file| Ok(file.metadata()?)) {
            Ok(m) if m.is_file() && m.permissions().mode() & 0o111 != 0 => {
                return Ok(OsString::from_vec(file.into_os_string().into_vec()));
            }
            Ok(m) => denied |= m.is_file(),
            Err(_) => {}
        }
    }
    if denied { Err((126, "not executable".to_owned())) } else { Err((127, "not found in PATH".to_owned())) }
}
