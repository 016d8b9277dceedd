//! Options of the runner: one line each.

/// What an option does; the runner gives it its meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Effect {
    Help,
    Version,
    Argv0,
    Strace,
    Log,
    LogFile,
    Engine,
    FastSse,
    Cpu,
    Root,
    Keep,
    Launcher,
    Set,
    Unset,
    Uname,
    Gdb,
    Stack,
}

/// Where an option may be given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// On the command line only.
    CommandLine,
    /// Also in the configuration file.
    Config,
    /// Also in the configuration file, and as a variable `DEMOTIC_<NAME>`.
    Everywhere,
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// One letter.
    pub short: Option<char>,
    /// The name after `--`.
    pub long: &'static str,
    /// What its value is; fixed words are in lower case, alternatives apart by `|`.
    pub value: Option<&'static str>,
    /// What it is for, one line.
    pub what: &'static str,
    /// What it does.
    pub effect: Effect,
    /// Where it may be given.
    pub scope: Scope,
}

impl Flag {
    /// The name of the variable that does the same.
    pub fn variable(&self) -> Option<String> {
        (self.scope == Scope::Everywhere).then(|| format!("DEMOTIC_{}", self.long.to_uppercase().replace('-', "_")))
    }
}

/// The option of that long name.
pub fn long(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|f| f.long == name)
}

/// The option that a variable `DEMOTIC_<NAME>` stands for.
pub fn by_variable(name: &str) -> Option<&'static Flag> {
    let rest = name.strip_prefix("DEMOTIC_")?;
    let same = |f: &&Flag| {
        let mut long = f.long.bytes().map(|b| if b == b'-' { b'_' } else { b.to_ascii_uppercase() });
        rest.bytes().all(|b| long.next() == Some(b)) && long.next().is_none()
    };
    FLAGS.iter().filter(|f| f.scope == Scope::Everywhere).find(same)
}

const fn flag(
    short: Option<char>,
    long: &'static str,
    value: Option<&'static str>,
    what: &'static str,
    effect: Effect,
    scope: Scope,
) -> Flag {
    Flag { short, long, value, what, effect, scope }
}

/// All of them, in the order of the manual.
#[rustfmt::skip]
pub const FLAGS: &[Flag] = &[
    flag(None, "argv0", Some("NAME"), "start the program with NAME as its argv[0]", Effect::Argv0, Scope::CommandLine),
    flag(Some('E'), "env", Some("VAR=VALUE"), "set a variable in the program's environment", Effect::Set, Scope::Config),
    flag(Some('U'), "unset-env", Some("VAR"), "remove a variable from the program's environment", Effect::Unset, Scope::Config),
    flag(Some('L'), "root", Some("FOLDER"), "look up absolute paths in FOLDER first, then on the host", Effect::Root, Scope::Everywhere),
    flag(None, "strace", None, "print every system call on standard error", Effect::Strace, Scope::Everywhere),
    flag(None, "log", None, "print what is not supported on standard error, each time, and at the end what was translated", Effect::Log, Scope::Everywhere),
    flag(None, "log-file", Some("FILE"), "what --strace and --log print goes to FILE, which is emptied first, instead of standard error; %d in it is the process id", Effect::LogFile, Scope::Everywhere),
    flag(None, "engine", Some("jit|eager|interp"), "translate the program's code once it repeats (the default), or always, or interpret it", Effect::Engine, Scope::Everywhere),
    flag(None, "fast-sse", None, "keep MXCSR's denormal and underflow flags exactly only from when the program clears status flags on; makes SSE arithmetic faster (aarch64)", Effect::FastSse, Scope::Everywhere),
    flag(None, "cpu", Some("MODEL[,+-FEATURE]"), "the processor that the program sees: default, x86-64, x86-64-v2, x86-64-v3 or max, with features added or taken away (+sse4a, +3dnow, -avx2)", Effect::Cpu, Scope::Everywhere),
    flag(None, "keep", Some("FOLDER|off"), "keep translations for the next run there instead of in ~/.cache/demotic/code, or nowhere", Effect::Keep, Scope::Everywhere),
    flag(None, "uname", Some("RELEASE"), "the kernel release that the program sees", Effect::Uname, Scope::Everywhere),
    flag(None, "stack", Some("BYTES"), "the size of the program's stack instead of the limit that is set (ulimit -s); K, M, G may follow", Effect::Stack, Scope::Everywhere),
    flag(Some('g'), "gdb", Some("PORT|SOCKET"), "wait for gdb (`target remote :PORT`, or a socket of that path) before the first instruction", Effect::Gdb, Scope::CommandLine),
    flag(None, "launcher", Some("WORDS"), "execute programs by WORDS (split at spaces) instead of demotic's own file: under an emulator", Effect::Launcher, Scope::CommandLine),
    flag(Some('h'), "help", None, "print this text", Effect::Help, Scope::CommandLine),
    flag(Some('V'), "version", None, "print the version", Effect::Version, Scope::CommandLine),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_name_their_options() {
        for flag in FLAGS {
            let found = flag.variable().map(|v| by_variable(&v).expect("found").long);
            assert_eq!(found, (flag.scope == Scope::Everywhere).then_some(flag.long));
        }
        assert!(by_variable("DEMOTIC_").is_none() && by_variable("DEMOTIC_CPUS").is_none());
        assert!(
            by_variable("DEMOTIC_HELP").is_none()
                && by_variable("CPU").is_none()
                && by_variable("DEMOTIC_CP").is_none()
        );
    }

    #[test]
    fn names_are_unique() {
        for (i, flag) in FLAGS.iter().enumerate() {
            let rest = &FLAGS[i + 1..];
            assert!(rest.iter().all(|f| f.long != flag.long && (f.short.is_none() || f.short != flag.short)));
        }
    }
}
