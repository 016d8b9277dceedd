//! What was asked for: by the command line, by variables, by configuration files. The words are those of [`demotic_options::flags`].

use demotic_linux::process::{Features, Options, Way};
use demotic_linux::shelf::Keep;
use demotic_options::flags::{Effect, FLAGS, Flag, long};
use lexopt::prelude::*;
use std::ffi::{OsStr, OsString};

/// A setting before it is applied: what sets it (for messages), the option, and its value.
#[derive(Clone, Debug)]
pub struct Setting {
    /// `--cpu`, `DEMOTIC_CPU`, `config:3`.
    pub from: String,
    /// The option.
    pub effect: Effect,
    /// Its value.
    pub value: Option<OsString>,
}

impl Setting {
    /// An option by its long name; `None` when there is no such option.
    pub fn named(from: String, name: &str, value: Option<OsString>) -> Option<Setting> {
        long(name).map(|flag| Setting { from, effect: flag.effect, value })
    }
}

/// All settings applied.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// What the personality gets; its folder for translations only if [`Flags::keeps`].
    pub options: Options,
    /// Whether it was said where translations are kept.
    pub keeps: bool,
    /// The guest root.
    pub root: Option<OsString>,
    /// Bytes for the stack.
    pub stack: Option<u64>,
    /// Where log items go.
    pub log_file: Option<OsString>,
    /// Changes to the environment, in order: set (with `=`) or unset.
    pub env: Vec<Change>,
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
#[derive(Clone, Debug)]
pub enum Request {
    /// Run a program: settings, program and arguments.
    Run(Vec<Setting>, Vec<OsString>),
    /// Print a text.
    Print(String),
    /// Print a text that was asked for by a value; qemu-user ends with 1 then.
    List(String),
}

impl Flags {
    /// Applies one setting.
    ///
    /// # Errors
    /// One line that says what is wrong with its value.
    pub fn apply(&mut self, setting: &Setting) -> Result<(), String> {
        let value = setting.value.as_deref().unwrap_or_default();
        self.set(setting.effect, value).map_err(|e| format!("{}: {e}", setting.from))
    }

    fn set(&mut self, effect: Effect, value: &OsStr) -> Result<(), String> {
        let text = || value.to_str().ok_or("not valid Unicode");
        match effect {
            Effect::Help | Effect::Version => {}
            Effect::Argv0 => self.options.argv0 = Some(value.to_owned()),
            Effect::Strace => self.options.strace = true,
            Effect::Log => self.options.log = true,
            Effect::LogFile => self.log_file = Some(value.to_owned()),
            Effect::Engine => self.options.way = Way::parse(text()?).ok_or("expected jit, eager or interp")?,
            Effect::FastSse => self.options.fast_sse = true,
            Effect::Root => self.root = Some(value.to_owned()),
            Effect::Cpu => self.options.cpu = Features::parse(text()?)?,
            Effect::Keep => {
                self.options.keep = Keep::parse(value.to_owned());
                self.keeps = true;
                if matches!(&self.options.keep, Keep::In(dir) if !dir.is_absolute()) {
                    return Err("expected an absolute path or off".to_owned());
                }
            }
            Effect::Launcher => self.options.launcher = text()?.split_whitespace().map(OsString::from).collect(),
            Effect::Gdb => {
                let digits = value.as_encoded_bytes();
                let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
                if digits.is_empty() || (is_number && text()?.parse::<u16>().is_err()) {
                    return Err("expected a port below 65536, HOST:PORT, or the path of a socket".to_owned());
                }
                self.options.gdb = Some(value.to_owned());
            }
            Effect::Set => {
                if !value.as_encoded_bytes().contains(&b'=') {
                    return Err(format!("{}: expected VAR=VALUE", value.to_string_lossy()));
                }
                self.env.push(Change::Set(value.to_owned()));
            }
            Effect::Unset => self.env.push(Change::Unset(value.to_owned())),
            Effect::Uname => {
                let release = text()?;
                if !(1..65).contains(&release.len()) || !release.bytes().all(|b| b.is_ascii_graphic() && b != b',') {
                    return Err("expected a release like 6.1.0".to_owned());
                }
                self.options.uname = Some(release.to_owned());
            }
            Effect::Stack => {
                self.stack = Some(bytes(text()?).filter(|&n| n > 0).ok_or("expected a number of bytes")?);
            }
        }
        Ok(())
    }
}

/// Whether it is a number of bytes as [`Effect::Stack`] takes it.
pub fn is_size(text: &str) -> bool {
    bytes(text).is_some()
}

/// A number of bytes: `65536`, `0x10000`, `64K`, `8M`.
fn bytes(text: &str) -> Option<u64> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok();
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// The help text.
pub fn help() -> String {
    let mut text = String::from(
        "Runs a program for i386 or x86-64 Linux on this machine.\n\nUsage: demotic [OPTIONS] [--] PROGRAM [ARGS...]\n       \
         demotic VERB ...\n\nA PROGRAM without a slash is searched for in PATH.\n\nOptions:\n",
    );
    for Flag { short, long, value, what, .. } in FLAGS {
        let short = short.map_or("    ".to_owned(), |c| format!("-{c}, "));
        let value = value.map_or(String::new(), |v| format!(" {v}"));
        text.push_str(&format!("  {:<26} {what}\n", format!("{short}--{long}{value}")));
    }
    let mut verbs: Vec<&str> = demotic_options::verbs::VERBS.iter().filter_map(|v| v.words.split(' ').next()).collect();
    verbs.dedup();
    text.push_str(&format!(
        "\nVerbs: {}; `demotic-manage --help` says more. A program of such a name is run by `demotic -- NAME`.\n",
        verbs.join(", ")
    ));
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
    let mut settings = Vec::new();
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        let flag = match arg {
            Short(c) => FLAGS.iter().find(|f| f.short == Some(c)),
            Long(name) => long(name),
            Value(program) => {
                let mut command = vec![program];
                command.extend(parser.raw_args().map_err(|e| e.to_string())?);
                return Ok(Request::Run(settings, command));
            }
        };
        let Some(flag) = flag else { return Err(arg.unexpected().to_string()) };
        match flag.effect {
            Effect::Help => return Ok(Request::Print(help())),
            Effect::Version => return Ok(Request::Print(format!("demotic {}\n", env!("CARGO_PKG_VERSION")))),
            effect => {
                let value = flag.value.map(|_| parser.value().map_err(|e| e.to_string())).transpose()?;
                settings.push(Setting { from: format!("--{}", flag.long), effect, value });
            }
        }
    }
    Err("no program to run (see --help)".to_owned())
}

/// Settings by variables `DEMOTIC_<NAME>`. An option without a value is off when its variable is empty or `0`.
pub fn from_environment(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<Setting> {
    let mut settings = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|n| n.starts_with("DEMOTIC_")) else { continue };
        let Some(flag) = demotic_options::flags::by_variable(name) else { continue };
        let off = value.is_empty() || (flag.value.is_none() && value == OsStr::new("0"));
        if !off {
            settings.push(Setting { from: name.to_owned(), effect: flag.effect, value: flag.value.map(|_| value) });
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> Result<(Flags, Vec<OsString>), String> {
        match parse(args.iter().map(OsString::from))? {
            Request::Run(settings, command) => {
                let mut flags = Flags::default();
                settings.iter().try_for_each(|s| flags.apply(s))?;
                Ok((flags, command))
            }
            Request::Print(text) | Request::List(text) => Err(text),
        }
    }

    #[test]
    fn options_stop_at_the_program() {
        let (flags, command) =
            run(&["--strace", "--argv0", "x", "-EA=1", "-U", "B", "prog", "--help", "-x"]).expect("it is right");
        assert!(flags.options.strace && !flags.options.log && flags.options.cpu == Features::DEFAULT);
        let max = run(&["--cpu", "max,-avx2", "prog"]).expect("it is right").0.options.cpu;
        assert!(max.has(Features::AVX) && !max.has(Features::AVX2));
        assert_eq!(flags.options.argv0, Some("x".into()));
        assert_eq!(flags.env, [Change::Set("A=1".into()), Change::Unset("B".into())]);
        assert_eq!(command, ["prog", "--help", "-x"]);
        assert_eq!(run(&["--", "--log"]).expect("it is right").1, ["--log"]);
        assert_eq!(run(&["--stack", "16M", "x"]).expect("it is right").0.stack, Some(16 << 20));
    }

    #[test]
    fn wrong_command_lines() {
        assert!(run(&["--help", "x"]).unwrap_err().contains("--unset-env VAR"));
        assert!(run(&["-V"]).unwrap_err().starts_with("demotic "));
        assert!(run(&[]).is_err());
        assert!(run(&["--nonsense"]).is_err());
        assert!(run(&["--argv0"]).is_err());
        assert!(run(&["--keep", "here", "x"]).is_err());
        assert!(run(&["-E", "A"]).is_err());
        assert!(run(&["--uname", "a,b", "x"]).is_err());
        assert!(run(&["--stack", "0", "x"]).is_err());
        assert!(run(&["--gdb", "65536", "x"]).unwrap_err().starts_with("--gdb: expected a port"));
        assert!(run(&["--stack", "many", "x"]).unwrap_err().starts_with("--stack: "));
        assert!(run(&["--cpu", "pentium", "x"]).unwrap_err().contains("pentium"));
        assert!(run(&["--cpu", "max,-avx9", "x"]).unwrap_err().contains("avx9"));
    }

    #[test]
    fn variables() {
        let variables =
            [("DEMOTIC_CPU", "max"), ("DEMOTIC_STRACE", "0"), ("DEMOTIC_LOG", "1"), ("DEMOTIC_X", "1"), ("A", "B")];
        let mut flags = Flags::default();
        for setting in from_environment(variables.map(|(a, b)| (a.into(), b.into()))) {
            flags.apply(&setting).expect("they are right");
        }
        assert!(flags.options.cpu == Features::MAX && flags.options.log && !flags.options.strace);
        let wrong = from_environment([("DEMOTIC_ENGINE".into(), "steam".into())]);
        assert_eq!(flags.apply(&wrong[0]).unwrap_err(), "DEMOTIC_ENGINE: expected jit, eager or interp");
    }

    #[test]
    fn sizes() {
        for (text, n) in [("4096", Some(4096)), ("0x1000", Some(4096)), ("64K", Some(65536)), ("1G", Some(1 << 30))] {
            assert_eq!(bytes(text), n);
        }
        for text in ["", "K", "1T", "-1", "99999999999999G"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
