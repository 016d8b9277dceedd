//! The `demotic` command: command line, environment, program search; then the personality takes over.
//!
//! There is no Rust runtime start-up (`no_main`): it would ignore SIGPIPE, which the guest would inherit, and install
//! handlers for stack overflow. Re-executions by the guest's execve(2) come with [`demotic_linux::exec::INTERNAL`] as the
//! first argument.
#![cfg_attr(not(test), no_main)]
#![deny(unsafe_code)]

mod flags;

use demotic_linux::exec;
use demotic_linux::fs::root::Root;
use demotic_linux::process::{self, Options, Start};
use demotic_linux::shelf::{Keep, is_secure};
use flags::{Change, Flags, Request};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Exit status for a wrong command line, as env(1) and timeout(1) use it.
const USAGE: i32 = 125;

/// The variable with the guest root.
const ROOT: &str = "DEMOTIC_ROOT";

/// The entry that C start-up code calls.
#[allow(unsafe_code)] // the attribute counts as such
#[cfg_attr(not(test), unsafe(export_name = "main"))]
pub extern "C" fn entry(_argc: i32, _argv: *const *const libc::c_char) -> i32 {
    demotic_host::heap::prepare();
    exec::remember_own_binary();
    // On Linux the standard library knows the arguments without its own start-up.
    let mut args = std::env::args_os();
    args.next();
    let args: Vec<OsString> = args.collect();
    if args.first().is_some_and(|a| a == exec::INTERNAL) {
        return internal(args);
    }
    match flags::parse(args) {
        Ok(Request::Help) => print(&flags::help()),
        Ok(Request::Version) => print(&format!("demotic {}\n", env!("CARGO_PKG_VERSION"))),
        Ok(Request::Run(flags)) => run(flags),
        Err(message) => complain(USAGE, &message),
    }
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

fn run(flags: Flags) -> i32 {
    let mut env = environment();
    for change in &flags.env {
        let name = match change {
            Change::Set(entry) => entry.as_bytes().split(|&b| b == b'=').next().unwrap_or_default(),
            Change::Unset(name) => name.as_bytes(),
        };
        env.retain(|e| e.as_bytes().split(|&b| b == b'=').next() != Some(name));
        if let Change::Set(entry) = change {
            env.push(entry.clone());
        }
    }
    let mut args = flags.command;
    let Some(name) = args.first().cloned() else { return complain(USAGE, "no program to run") };
    // Rights beyond the user's: whoever starts the program must not choose what it finds.
    let given = flags.root.clone().or_else(|| std::env::var_os(ROOT)).filter(|dir| !dir.is_empty() && !is_secure());
    env.retain(|e| e.as_bytes().split(|&b| b == b'=').next() != Some(ROOT.as_bytes()));
    let root = match given.as_ref().map(|dir| Root::new(Path::new(dir), None)) {
        Some(Ok(root)) => root,
        Some(Err(error)) => {
            let dir = given.unwrap_or_default();
            return complain(USAGE, &format!("guest root {}: {error}", dir.to_string_lossy()));
        }
        None => Root::none(),
    };
    let program = match find(&root, &name) {
        Ok(program) => program,
        Err((status, reason)) => return complain(status, &format!("{}: {reason}", name.to_string_lossy())),
    };
    if let Some(argv0) = &flags.argv0 {
        args[0].clone_from(argv0);
    }
    let Flags { strace, log, way, cpu, keep, argv0, launcher, .. } = flags;
    let keep = keep.unwrap_or_else(Keep::usual);
    keep.prepare();
    let options = Options { strace, log, way, cpu, keep, argv0, launcher };
    let error = process::start(&Start { program, fd: None, args, env, options, mask: None, root });
    complain(error.status, &error.message)
}

/// The continuation of a guest's execve(2): options, path, arguments.
fn internal(args: Vec<OsString>) -> i32 {
    let mut args = args.into_iter().skip(1);
    let told = args.next().map(|options| exec::decode(&options.to_string_lossy())).unwrap_or_default();
    let exec::Continuation { mut options, launcher, keep, root, own, mask, fd } = told;
    if let Some(own) = own {
        exec::adopt_own_binary(own);
    }
    options.launcher = args.by_ref().take(launcher).collect();
    options.keep = args.by_ref().take(keep.into()).next().map_or(Keep::Off, |dir| Keep::In(dir.into()));
    let root = root.and_then(|fd| Root::new(Path::new(&args.next()?), Some(fd)).ok()).unwrap_or(Root::none());
    let Some(program) = args.next() else { return complain(USAGE, "an internal option was used from outside") };
    let start = Start { program, fd, args: args.collect(), env: environment(), options, mask: Some(mask), root };
    let error = process::start(&start);
    complain(error.status, &error.message)
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
