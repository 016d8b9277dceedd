//! The command line: one table of flags, which parsing and `--help` are made from.

use demotic_linux::process::{Features, Way};
use demotic_linux::shelf::Keep;
use lexopt::prelude::*;
use std::ffi::OsString;

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `argv[0]` for the program.
    pub argv0: Option<OsString>,
    /// Print system calls.
    pub strace: bool,
    /// Print the log.
    pub log: bool,
    /// How the program's code is executed.
    pub way: Way,
    /// What the program's processor can do.
    pub cpu: Features,
    /// Where translations are kept; `None`: in the usual place.
    pub keep: Option<Keep>,
    /// What starts demotic again when the program executes another one.
    pub launcher: Vec<OsString>,
    /// Changes to the environment, in order: set (with `=`) or unset.
    pub env: Vec<Change>,
    /// Program and arguments.
    pub command: Vec<OsString>,
}

/// One change to the program's environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// `NAME=value`.
    Set(OsString),
    /// `NAME`.
    Unset(OsString),
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Run a program.
    Run(Flags),
    /// Print the help text.
    Help,
    /// Print the version.
    Version,
}

/// What a flag does to the result.
enum Effect {
    Help,
    Version,
    Argv0,
    Strace,
    Log,
    Engine,
    Cpu,
    Keep,
    Launcher,
    Set,
    Unset,
}

/// One flag: short and long name, name of its value, what it is for, what it does.
struct Flag(Option<char>, &'static str, Option<&'static str>, &'static str, Effect);

const FLAGS: &[Flag] = &[
    Flag(None, "argv0", Some("NAME"), "start the program with NAME as its argv[0]", Effect::Argv0),
    Flag(Some('E'), "env", Some("VAR=VALUE"), "set a variable in the program's environment", Effect::Set),
    Flag(Some('U'), "unset-env", Some("VAR"), "remove a variable from the program's environment", Effect::Unset),
    Flag(None, "strace", None, "print every system call on standard error", Effect::Strace),
    Flag(
        None,
        "log",
        None,
        "print what is not supported on standard error, each time, and at the end what was translated",
        Effect::Log,
    ),
    Flag(
        None,
        "engine",
        Some("jit|eager|interp"),
        "translate the program's code once it repeats (the default), or always, or interpret it",
        Effect::Engine,
    ),
    Flag(
        None,
        "cpu",
        Some("MODEL[,+-FEATURE]"),
        "the processor that the program sees: default, x86-64, x86-64-v2, x86-64-v3 or max, with features added or taken away",
        Effect::Cpu,
    ),
    Flag(
        None,
        "keep",
        Some("FOLDER|off"),
        "keep translations for the next run there instead of in ~/.cache/demotic/code, or nowhere",
        Effect::Keep,
    ),
    Flag(
        None,
        "launcher",
        Some("WORDS"),
        "execute programs by WORDS (split at spaces) instead of demotic's own file: under an emulator",
        Effect::Launcher,
    ),
    Flag(Some('h'), "help", None, "print this text", Effect::Help),
    Flag(Some('V'), "version", None, "print the version", Effect::Version),
];

/// The help text.
pub fn help() -> String {
    let mut text = String::from(
        "Runs a program for i386 or x86-64 Linux on this machine.\n\nUsage: demotic [OPTIONS] [--] PROGRAM [ARGS...]\n\n\
         A PROGRAM without a slash is searched for in PATH.\n\nOptions:\n",
    );
    for Flag(short, long, value, what, _) in FLAGS {
        let short = short.map_or("    ".to_owned(), |c| format!("-{c}, "));
        let value = value.map_or(String::new(), |v| format!(" {v}"));
        text.push_str(&format!("  {:<26} {what}\n", format!("{short}--{long}{value}")));
    }
    text.push_str(
        "\nExit status: the program's. 127 if it was not found, 126 if it cannot be run, 125 for a wrong command line;\n\
         if the program dies of a signal, demotic dies of the same signal.\n",
    );
    text
}

/// Parses the arguments without `argv[0]`.
///
/// # Errors
/// One line that says what is wrong.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Request, String> {
    let mut flags = Flags::default();
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        let flag = match arg {
            Short(c) => FLAGS.iter().find(|f| f.0 == Some(c)),
            Long(name) => FLAGS.iter().find(|f| f.1 == name),
            Value(program) => {
                flags.command.push(program);
                flags.command.extend(parser.raw_args().map_err(|e| e.to_string())?);
                return Ok(Request::Run(flags));
            }
        };
        let Some(Flag(_, _, _, _, effect)) = flag else { return Err(arg.unexpected().to_string()) };
        let mut value = || parser.value().map_err(|e| e.to_string());
        match effect {
            Effect::Help => return Ok(Request::Help),
            Effect::Version => return Ok(Request::Version),
            Effect::Argv0 => flags.argv0 = Some(value()?),
            Effect::Strace => flags.strace = true,
            Effect::Log => flags.log = true,
            Effect::Engine => {
                let way = value()?.to_str().and_then(Way::parse);
                flags.way = way.ok_or("--engine: expected jit, eager or interp")?;
            }
            Effect::Cpu => {
                let text = value()?.into_string().map_err(|_| "--cpu: not valid Unicode".to_owned())?;
                flags.cpu = Features::parse(&text).map_err(|e| format!("--cpu: {e}"))?;
            }
            Effect::Keep => {
                let keep = Keep::parse(value()?);
                if let Keep::In(dir) = &keep {
                    if !dir.is_absolute() {
                        return Err("--keep: expected an absolute path or off".to_owned());
                    }
                }
                flags.keep = Some(keep);
            }
            Effect::Launcher => {
                let words = value()?.into_string().map_err(|_| "launcher: not valid Unicode".to_owned())?;
                flags.launcher = words.split_whitespace().map(OsString::from).collect();
            }
            Effect::Set => {
                let value = value()?;
                if !value.as_encoded_bytes().contains(&b'=') {
                    return Err(format!("{}: expected VAR=VALUE", value.to_string_lossy()));
                }
                flags.env.push(Change::Set(value));
            }
            Effect::Unset => flags.env.push(Change::Unset(value()?)),
        }
    }
    Err("no program to run (see --help)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> Result<Request, String> {
        parse(args.iter().map(OsString::from))
    }

    #[test]
    fn options_stop_at_the_program() {
        let Ok(Request::Run(flags)) = run(&["--strace", "--argv0", "x", "-EA=1", "-U", "B", "prog", "--help", "-x"])
        else {
            panic!()
        };
        assert!(flags.strace && !flags.log && flags.cpu == Features::DEFAULT);
        let Ok(Request::Run(max)) = run(&["--cpu", "max,-avx2", "prog"]) else { panic!() };
        assert!(max.cpu.has(Features::AVX) && !max.cpu.has(Features::AVX2));
        assert_eq!(flags.argv0, Some("x".into()));
        assert_eq!(flags.env, [Change::Set("A=1".into()), Change::Unset("B".into())]);
        assert_eq!(flags.command, ["prog", "--help", "-x"]);
        let Ok(Request::Run(flags)) = run(&["--", "--log"]) else { panic!() };
        assert_eq!(flags.command, ["--log"]);
    }

    #[test]
    fn wrong_command_lines() {
        assert_eq!(run(&["--help", "x"]), Ok(Request::Help));
        assert_eq!(run(&["-V"]), Ok(Request::Version));
        assert!(run(&[]).is_err());
        assert!(run(&["--nonsense"]).is_err());
        assert!(run(&["--argv0"]).is_err());
        assert!(run(&["--keep", "here", "x"]).is_err());
        assert!(run(&["-E", "A"]).is_err());
        assert!(run(&["--cpu", "pentium", "x"]).unwrap_err().contains("pentium"));
        assert!(run(&["--cpu", "max,-avx9", "x"]).unwrap_err().contains("avx9"));
        assert!(help().contains("--unset-env VAR"));
    }
}
