//! Started by the kernel: what binfmt_misc tells its interpreter (Documentation/admin-guide/binfmt-misc.rst, fs/binfmt_misc.c).
//!
//! The arguments are the interpreter, the program's path, and the program's arguments; the last without `argv[0]`, or with it under the flag P,
//! which AT_FLAGS tells (kernel 5.12) or the interpreter's name. Under the flag O the open program is in AT_EXECFD. An entry with neither
//! cannot be told from a command line, and is read as one: a path is a program there as well.

/// AT_FLAGS: `argv[0]` is kept (AT_FLAGS_PRESERVE_ARGV0, linux/binfmts.h).
const PRESERVE_ARGV0: u64 = 1;
const AT_EXECFD: u64 = 2;
const AT_FLAGS: u64 = 8;

use std::ffi::OsString;

/// How binfmt_misc started this process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kernel {
    /// `argv[0]` follows the path.
    keeps_argv0: bool,
    /// The open program.
    pub fd: Option<i32>,
}

impl Kernel {
    /// Whether and how it did. `keeps_argv0`: the name says the first.
    pub fn detect(keeps_argv0: bool) -> Option<Kernel> {
        let fd = demotic_host::sys::auxv(AT_EXECFD).and_then(|fd| i32::try_from(fd).ok());
        let flags = demotic_host::sys::auxv(AT_FLAGS).unwrap_or(0);
        let keeps_argv0 = keeps_argv0 || flags & PRESERVE_ARGV0 != 0;
        (keeps_argv0 || fd.is_some()).then_some(Kernel { keeps_argv0, fd })
    }

    /// The program and its arguments, `argv[0]` first.
    pub fn command(&self, args: Vec<OsString>) -> Option<(OsString, Vec<OsString>)> {
        let mut rest = args.into_iter();
        let program = rest.next()?;
        let mut command = Vec::new();
        if !self.keeps_argv0 {
            command.push(program.clone());
        }
        command.extend(rest);
        if command.is_empty() {
            // execve(2) without arguments, before Linux 5.18.
            command.push(OsString::new());
        }
        Some((program, command))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        let of = |keeps_argv0, args: &[&str]| {
            Kernel { keeps_argv0, fd: None }.command(args.iter().map(OsString::from).collect())
        };
        let some = |p: &str, c: &[&str]| Some((OsString::from(p), c.iter().map(OsString::from).collect::<Vec<_>>()));
        assert_eq!(of(false, &["/bin/ls", "-l"]), some("/bin/ls", &["/bin/ls", "-l"]));
        assert_eq!(of(true, &["/bin/ls", "ls", "-l"]), some("/bin/ls", &["ls", "-l"]));
        assert_eq!(of(true, &["--help", "binfmt"]), some("--help", &["binfmt"]));
        assert_eq!(of(true, &["/bin/ls"]), some("/bin/ls", &[""]));
        assert_eq!(of(false, &[]), None);
    }
}
