//! Management verbs: what `demotic-manage` does, and `demotic` hands over to it.

/// An option of a verb.
#[derive(Clone, Copy, Debug)]
pub struct VerbOption {
    /// The name after `--`.
    pub long: &'static str,
    /// What its value is; `None`: it has none.
    pub value: Option<&'static str>,
    /// What it is for, one line.
    pub what: &'static str,
}

/// A verb.
#[derive(Clone, Copy, Debug)]
pub struct Verb {
    /// Its words: `binfmt install`. A verb whose words are the beginning of another's is what is done without further words.
    pub words: &'static str,
    /// What may follow, as the manual shows it.
    pub operands: &'static str,
    /// What it does, one line.
    pub what: &'static str,
    /// Its options.
    pub options: &'static [VerbOption],
}

const fn option(long: &'static str, value: Option<&'static str>, what: &'static str) -> VerbOption {
    VerbOption { long, value, what }
}

const fn verb(words: &'static str, operands: &'static str, what: &'static str, options: &'static [VerbOption]) -> Verb {
    Verb { words, operands, what, options }
}

const ARCH: VerbOption = option(
    "arch",
    Some("i386,x86-64"),
    "for these kinds of programs only; without it: those that the machine cannot run itself",
);
const DRY: VerbOption = option("dry-run", None, "say what would be done, and do nothing");
const JSON: VerbOption = option("json", None, "print JSON");
const PERSISTENT: VerbOption = option(
    "persistent",
    Some("systemd|debian|none"),
    "what makes the entry again when the machine starts: /etc/binfmt.d, update-binfmts, or nothing; without it: what the machine has",
);

/// All of them, in the order of the manual.
#[rustfmt::skip]
pub const VERBS: &[Verb] = &[
    verb("binfmt install", "", "make the kernel run x86 programs by Demotic", &[
        ARCH,
        option("flags", Some("F,C,P,O"), "flags of the entry, POCF without it: F opens Demotic now, for chroots and containers without it; C honours set-user-id programs; P keeps argv[0]; O hands over the open file"),
        PERSISTENT,
        option("interpreter", Some("FILE"), "the program to be run instead of this Demotic"),
        option("override", None, "even if another emulator has an entry for these programs: the new one comes first"),
        option("force", None, "even programs that this machine runs itself: i386 on x86-64; x86-64 on x86-64 only in a user namespace of one's own"),
        DRY, JSON,
    ]),
    verb("binfmt remove", "", "take back what `binfmt install` did", &[ARCH, PERSISTENT, DRY, JSON]),
    verb("binfmt status", "", "say which entries there are, whose they are, and whether they work", &[JSON]),
    verb("cache", "", "say where translations are kept between runs, and how much they take", &[]),
    verb("cache clear", "", "remove them", &[]),
    verb("config", "", "check the configuration files, line by line", &[]),
    verb("doctor", "", "say what this machine offers to guest programs, what is in the way, and what to do", &[JSON]),
    verb("root create", "NAME", "make a guest root with the distribution's mmdebstrap or debootstrap", &[
        option("debian", Some("SUITE"), "the release: bookworm, trixie, ..."),
        option("arch", Some("i386|amd64"), "the architecture; amd64 without it"),
        option("mirror", Some("URL"), "where packages come from; without it: the first Debian mirror of this machine's apt, else mmdebstrap's own"),
        option("include", Some("PACKAGE,..."), "packages to install besides the minimal system"),
        option("with", Some("mmdebstrap|debootstrap"), "the program that does it; without it: the first of them that is installed"),
    ]),
    verb("root import", "FILE", "unpack a root from a tar archive (plain, gzip, xz or zstd) or an image (an OCI layout, a folder or an archive, or what docker save writes; FILE:NAME chooses one of several)", &[
        option("name", Some("NAME"), "its name; without it: the file's"),
        option("arch", Some("i386|amd64"), "which image of several; amd64 without it"),
    ]),
    verb("root list", "", "list the roots with what is in them", &[JSON]),
    verb("root path", "NAME", "print the folder of a root", &[]),
    verb("root remove", "NAME", "remove a root", &[]),
    verb("shell", "NAME [COMMAND [ARGS...]]", "run a command, or a login shell, with a root as /; no rights are needed for it", &[
        option("no-home", None, "without the home folder"),
        option("no-binfmt", None, "without a binfmt_misc of its own: Demotic starts what the programs inside execute"),
        option("bind", Some("FOLDER[:FOLDER]"), "show a folder of the machine inside, too; may be given several times"),
    ]),
];

/// Whether the word begins a verb.
pub fn is_verb(word: &str) -> bool {
    VERBS.iter().any(|v| v.words.split(' ').next() == Some(word))
}

/// A command line that was understood.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The verb.
    pub verb: &'static Verb,
    /// Options and their values, in order.
    pub options: Vec<(&'static str, String)>,
    /// The rest. For `shell` everything after the name belongs to the command.
    pub operands: Vec<String>,
}

impl Parsed {
    /// The last value of an option.
    pub fn value(&self, long: &str) -> Option<&str> {
        self.options.iter().rev().find(|o| o.0 == long).map(|o| o.1.as_str())
    }

    /// Whether an option was given.
    pub fn has(&self, long: &str) -> bool {
        self.value(long).is_some()
    }
}

/// Parses the words after the program's name.
///
/// # Errors
/// One line that says what is wrong.
pub fn parse(words: &[String]) -> Result<Parsed, String> {
    let fits = |v: &&Verb| v.words.split(' ').enumerate().all(|(i, w)| words.get(i).is_some_and(|x| x == w));
    // The longest one: `cache clear` before `cache`.
    let verb = VERBS.iter().filter(fits).max_by_key(|v| v.words.len());
    let Some(verb) = verb else {
        let first = words.first().map_or("", String::as_str);
        let next: Vec<&str> = VERBS.iter().filter_map(|v| v.words.strip_prefix(first)?.strip_prefix(' ')).collect();
        return Err(match next.is_empty() {
            true => format!("no verb {first:?} (see --help)"),
            false => format!("{first}: expected {}", next.join(", ")),
        });
    };
    let mut parsed = Parsed { verb, options: Vec::new(), operands: Vec::new() };
    let limit = match verb.operands {
        "" => 0,
        text if text.contains('[') => usize::MAX,
        _ => 1,
    };
    let mut rest = words[verb.words.split(' ').count()..].iter();
    let mut options_end = false;
    while let Some(word) = rest.next() {
        // A command's own options are not ours.
        if options_end || (limit > 1 && !parsed.operands.is_empty()) || !word.starts_with('-') || word == "-" {
            parsed.operands.push(word.clone());
            if parsed.operands.len() > limit {
                return Err(format!("{}: unexpected {word:?}", verb.words));
            }
            continue;
        }
        if word == "--" {
            options_end = true;
            continue;
        }
        let (name, inline) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        let name = name.strip_prefix("--").unwrap_or(name);
        let Some(option) = verb.options.iter().find(|o| o.long == name) else {
            return Err(format!("{}: no option {word:?} (see --help)", verb.words));
        };
        let value = match (option.value, inline) {
            (None, None) => String::new(),
            (None, Some(_)) => return Err(format!("{}: --{name} takes no value", verb.words)),
            (Some(_), Some(value)) => value,
            (Some(value), None) => {
                rest.next().cloned().ok_or_else(|| format!("{}: --{name} needs a value: {value}", verb.words))?
            }
        };
        parsed.options.push((option.long, value));
    }
    if limit > 0 && parsed.operands.is_empty() {
        return Err(format!("{}: expected {}", verb.words, verb.operands));
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Parsed, String> {
        parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn verbs_are_parsed() {
        let install = of("binfmt install --arch i386 --flags=F --dry-run").unwrap();
        assert_eq!(install.verb.words, "binfmt install");
        assert_eq!((install.value("arch"), install.value("flags")), (Some("i386"), Some("F")));
        assert!(install.has("dry-run") && !install.has("json"));
        assert_eq!(of("cache").unwrap().verb.words, "cache");
        assert_eq!(of("cache clear").unwrap().verb.words, "cache clear");
        let shell = of("shell --no-home deb ls --all -l").unwrap();
        assert_eq!(shell.operands, ["deb", "ls", "--all", "-l"]);
        assert_eq!(of("shell -- deb").unwrap().operands, ["deb"]);
        assert_eq!(of("root create x --debian sid --arch i386").unwrap().operands, ["x"]);
    }

    #[test]
    fn faults_are_named() {
        for (text, part) in [
            ("nonsense", "no verb"),
            ("binfmt", "expected install, remove, status"),
            ("binfmt destroy", "expected install, remove, status"),
            ("binfmt status --arch i386", "no option"),
            ("binfmt status x", "unexpected"),
            ("binfmt install --arch", "needs a value"),
            ("binfmt install --dry-run=1", "takes no value"),
            ("root create", "expected NAME"),
            ("root create a b", "unexpected"),
            ("cache fill", "unexpected"),
        ] {
            let fault = of(text).expect_err(text);
            assert!(fault.contains(part), "{text}: {fault}");
        }
    }

    #[test]
    fn words_are_verbs() {
        assert!(is_verb("binfmt") && is_verb("shell") && !is_verb("binfmt install") && !is_verb("fzf"));
    }
}
