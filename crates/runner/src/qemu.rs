//! Demotic by a name of qemu-user: the options and variables of [`demotic_options::qemu`] become Demotic's.

use crate::flags::{Request, Setting, is_size};
use demotic_linux::process::Features;
use demotic_options::qemu::{Effect, INSIDE, MODELS, OPTIONS, Option as Word, by_variable, find, model};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// The version of QEMU whose options these are, for scripts that ask.
const LIKE: &str = "7.2.0";

/// Parses the arguments without `argv[0]`; `name` is the word after `qemu-`.
///
/// # Errors
/// One line that says what is wrong.
pub fn parse(name: &str, args: Vec<OsString>) -> Result<Request, String> {
    let (mut settings, mut args) = (Vec::new(), args.into_iter());
    while let Some(arg) = args.next() {
        if !arg.as_bytes().starts_with(b"-") {
            let mut command = vec![arg];
            command.extend(args);
            return Ok(Request::Run(settings, command));
        }
        let text = arg.to_string_lossy();
        if text == "-" || text == "--" {
            break;
        }
        let Some(option) = find(&text) else { return Err(format!("{text}: no such option (see -h)")) };
        match option.effect {
            Effect::Help => return Ok(Request::Print(help(name))),
            Effect::Version => return Ok(Request::Print(version(name))),
            _ => {}
        }
        let value = match option.value {
            Some(value) => Some(args.next().ok_or_else(|| format!("{text} needs a value: {value}"))?),
            None => None,
        };
        let asked = value.as_ref().is_some_and(|v| v == "help" || v == "?");
        match option.effect {
            Effect::Cpu if asked => return Ok(Request::List(processors())),
            Effect::Log if asked => return Ok(Request::List(log_items())),
            _ => settings.extend(meaning(option, &text, value)?),
        }
    }
    let command: Vec<OsString> = args.collect();
    if command.is_empty() { Err("no program to run (see -h)".to_owned()) } else { Ok(Request::Run(settings, command)) }
}

/// Settings by variables `QEMU_<NAME>`.
///
/// # Errors
/// One line that says what is wrong.
pub fn from_environment(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Vec<Setting>, String> {
    let mut settings = Vec::new();
    for (name, value) in variables {
        let Some(option) = name.to_str().and_then(by_variable) else { continue };
        if option.effect != Effect::Version {
            settings.extend(meaning(option, option.variable, option.value.map(|_| value))?);
        }
    }
    Ok(settings)
}

/// What an option comes to. `from`: what it was called.
fn meaning(option: &Word, from: &str, value: Option<OsString>) -> Result<Vec<Setting>, String> {
    let named = |name: &str, value: Option<OsString>| {
        Setting::named(from.to_owned(), name, value).ok_or_else(|| format!("{from}: there is no --{name} here"))
    };
    let text = || value.as_deref().unwrap_or_default().to_string_lossy().into_owned();
    Ok(match option.effect {
        // A prefix may be named in case it is there.
        Effect::Same("root") if !value.as_ref().is_some_and(|v| Path::new(v).is_dir()) => Vec::new(),
        Effect::Same(name) => vec![named(name, value)?],
        Effect::Each(name) => {
            let list = value.unwrap_or_default();
            let words = list.as_bytes().split(|&b| b == b',').filter(|w| !w.is_empty());
            words.map(|w| named(name, Some(OsString::from_vec(w.to_vec())))).collect::<Result<_, _>>()?
        }
        Effect::Cpu => {
            let text = text();
            let known = |feature: &str| Features::ALL.iter().any(|f| f.name == feature);
            let model = model(&text, known).map_err(|e| format!("{from}: {e}"))?;
            vec![named("cpu", Some(model.into()))?]
        }
        Effect::Log => {
            let mut settings = Vec::new();
            for item in text().split(',').filter(|i| !i.is_empty()) {
                match item {
                    "strace" => settings.push(named("strace", None)?),
                    "unimp" => settings.push(named("log", None)?),
                    "all" => settings.extend([named("strace", None)?, named("log", None)?]),
                    other if INSIDE.contains(&other) || other.starts_with("trace:") => {
                        note(&format!("{from} {other}: nothing here to be logged"));
                    }
                    other => return Err(format!("{from} {other}: no such log item (`-d help` lists them)")),
                }
            }
            settings
        }
        Effect::Nothing => Vec::new(),
        Effect::Number if number(&text()).is_some() => Vec::new(),
        Effect::Number => return Err(format!("{from}: expected a number, not {:?}", text())),
        Effect::Size if is_size(&text()) => Vec::new(),
        Effect::Size => return Err(format!("{from}: expected a number of bytes, not {:?}", text())),
        Effect::Noted(what) => {
            note(&format!("{from}: {what}"));
            Vec::new()
        }
        Effect::Pages => match number(&text()) {
            Some(4096) => Vec::new(),
            Some(size) if size.is_power_of_two() => {
                return Err(format!("{from}: pages of x86 programs have 4096 bytes"));
            }
            _ => return Err(format!("{from}: page size must be a power of two")),
        },
        Effect::Refused(why) => return Err(format!("{from}: {why}")),
        Effect::Help | Effect::Version => Vec::new(),
    })
}

/// A number as strtoul(3) takes it.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None if text.len() > 1 && text.starts_with('0') => u64::from_str_radix(text, 8).ok(),
        None => text.parse().ok(),
    }
}

fn note(text: &str) {
    demotic_host::log::line(format_args!("demotic: {text}"));
}

/// What `-d help` prints.
fn log_items() -> String {
    let mut text = String::from(
        "Log items (comma separated):\nstrace          prints every system call\nunimp           says what is not implemented\n\
         all             both\n",
    );
    for item in INSIDE {
        text.push_str(&format!("{item:<15} nothing here\n"));
    }
    text + "trace:PATTERN   nothing here\n"
}

/// What `-cpu help` prints: names as scripts look for them, with what stands for them here.
fn processors() -> String {
    let mut text = String::from("Available CPUs:\n");
    for (name, model) in MODELS {
        text.push_str(&format!("x86 {name:<21} {model}\n"));
    }
    text
}

fn version(name: &str) -> String {
    format!("qemu-{name} version {LIKE} (Demotic {})\n", env!("CARGO_PKG_VERSION"))
}

fn help(name: &str) -> String {
    let mut text = format!(
        "usage: qemu-{name} [options] program [arguments...]\nThis is Demotic with the options of qemu-user.\n\n"
    );
    for option in OPTIONS {
        let value = option.value.map_or(String::new(), |v| format!(" {v}"));
        text.push_str(&format!("-{:<24} {:<20} {}\n", format!("{}{value}", option.name), option.variable, option.what));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::{Change, Flags};

    fn run(args: &[&str]) -> Result<(Flags, Vec<OsString>), String> {
        match parse("x86_64", args.iter().map(OsString::from).collect())? {
            Request::Run(settings, command) => {
                let mut flags = Flags::default();
                settings.iter().try_for_each(|s| flags.apply(s))?;
                Ok((flags, command))
            }
            Request::Print(text) | Request::List(text) => Err(text),
        }
    }

    #[test]
    fn command_lines() {
        let args = [
            "-E",
            "A=1,B=2",
            "-U",
            "C,D",
            "-0",
            "me",
            "-r",
            "5.4.0",
            "--strace",
            "-cpu",
            "qemu64,-aes",
            "-s",
            "1048576",
        ];
        let (flags, command) =
            run(&[&args[..], &["-p", "4096", "-B", "0x1000", "prog", "-L", "x"]].concat()).expect("right");
        let set = |t: &str| Change::Set(t.into());
        assert_eq!(flags.env, [set("A=1"), set("B=2"), Change::Unset("C".into()), Change::Unset("D".into())]);
        assert_eq!((flags.options.argv0, flags.options.uname), (Some("me".into()), Some("5.4.0".to_owned())));
        assert!(flags.options.strace && !flags.options.cpu.has(Features::AES) && flags.stack == Some(1 << 20));
        assert_eq!(command, ["prog", "-L", "x"]);
        assert_eq!(run(&["-d", "strace,unimp", "--", "-prog"]).expect("right").1, ["-prog"]);
        let words =
            ["-D", "file", "-d", "all,page", "-R", "0x1000", "-B", "0", "-seed", "7", "-trace", "x", "-p", "0x1000"];
        let (flags, _) = run(&[&words[..], &["prog"]].concat()).expect("right");
        assert!(flags.options.strace && flags.options.log && flags.log_file == Some("file".into()));
        for (args, part) in [
            (&["-p", "65536", "x"][..], "4096"),
            (&["-p", "3", "x"], "power of two"),
            (&["-p", "many", "x"], "power of two"),
            (&["-R", "12q", "x"], "-R: expected a number of bytes, not \"12q\""),
            (&["-B", "zz", "x"], "-B: expected a number"),
            (&["-seed", "", "x"], "-seed: expected a number"),
            (&["-s", "0", "x"], "-s: expected a number of bytes"),
            (&["-g", "99999999", "x"], "-g: expected a port"),
            (&["-d", "strace,nonsense", "x"], "-d nonsense: no such log item"),
            (&["-plugin", "x.so", "x"], "-plugin: QEMU's plugins cannot be loaded here"),
            (&["-nonsense", "x"], "no such option"),
            (&["-E"], "needs a value"),
            (&["-cpu", "cortex-a72", "x"], "cortex-a72"),
            (&[], "no program"),
            (&["-version"], "qemu-x86_64 version 7.2.0 (Demotic"),
            (&["-h"], "QEMU_LD_PREFIX"),
            (&["-cpu", "help"], "x86 max "),
            (&["-cpu", "?"], "x86 Haswell "),
            (&["-d", "help"], "\nstrace "),
        ] {
            let fault = run(args).expect_err(part);
            assert!(fault.contains(part), "{args:?}: {fault}");
        }
    }

    #[test]
    fn prefixes_need_not_be_there() {
        assert_eq!(run(&["-L", "/nowhere/at all", "x"]).expect("right").0.root, None);
        assert_eq!(run(&["-L", "/", "x"]).expect("right").0.root.as_deref(), Some("/".as_ref()));
    }

    #[test]
    fn variables() {
        let of = |name: &str, value: &str| {
            let mut flags = Flags::default();
            from_environment([(name.into(), value.into())])?.iter().try_for_each(|s| flags.apply(s))?;
            Ok::<Flags, String>(flags)
        };
        assert!(of("QEMU_STRACE", "").expect("right").options.strace);
        assert_eq!(of("QEMU_SET_ENV", "A=1,B=2").expect("right").env.len(), 2);
        assert_eq!(of("QEMU_UNAME", "3.2.0").expect("right").options.uname.as_deref(), Some("3.2.0"));
        assert_eq!(of("QEMU_GDB", "1").expect("right").options.gdb.as_deref(), Some("1".as_ref()));
        assert!(of("QEMU_AUDIO_DRV", "none").expect("not ours").env.is_empty());
    }
}
