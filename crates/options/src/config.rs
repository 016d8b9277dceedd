//! The configuration file: options of the runner, in sections for programs.
//!
//! ```text
//! # for every program
//! cpu = x86-64-v2
//! [fzf]                 # for programs of this file name; * and ? stand for characters
//! env = TERM=xterm
//! [/opt/game/*]         # a pattern with a slash: for the whole path
//! strace
//! ```
//!
//! One line is one option by its long name. Lines before the first section apply to every program, later lines win. A line format
//! and not TOML, because the runner reads it whenever a program starts. Nothing is executed or looked up while parsing.

use crate::flags::{Flag, Scope, long};

/// One line that applies.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The number of the line, from 1.
    pub line: usize,
    /// The option.
    pub flag: &'static Flag,
    /// Its value.
    pub value: Option<&'a str>,
}

/// A line that cannot be understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// Which sections of a file are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted<'a> {
    /// What applies to the program of this path.
    Program(&'a str),
    /// Only its sections, not what applies to every program.
    Sections(&'a str),
    /// Everything.
    All,
}

/// The settings of a file that are wanted, in order. Faults are reported for all lines, since a section that is wrong may be any.
pub fn read<'a>(text: &'a str, wanted: Wanted<'_>) -> (Vec<Setting<'a>>, Vec<Fault>) {
    let (mut settings, mut faults) = (Vec::new(), Vec::new());
    let mut applies = !matches!(wanted, Wanted::Sections(_));
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        let line = strip_comment(line).trim();
        if line.is_empty() {
            continue;
        }
        let mut fault = |what: String| faults.push(Fault { line: number, what });
        if let Some(rest) = line.strip_prefix('[') {
            match rest.strip_suffix(']').map(str::trim) {
                Some(pattern) if !pattern.is_empty() => {
                    applies = match wanted {
                        Wanted::All => true,
                        Wanted::Program(path) | Wanted::Sections(path) => matches(pattern, path),
                    };
                }
                _ => fault("expected [PROGRAM]".to_owned()),
            }
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim())),
            None => (line, None),
        };
        match long(name).filter(|f| f.scope != Scope::CommandLine) {
            None => fault(format!("no option {name:?} in this file")),
            Some(flag) if flag.value.is_some() != value.is_some_and(|v| !v.is_empty()) => fault(match flag.value {
                Some(value) => format!("{name} needs a value: {name} = {value}"),
                None => format!("{name} takes no value"),
            }),
            Some(flag) if applies => settings.push(Setting { line: number, flag, value }),
            Some(_) => {}
        }
    }
    (settings, faults)
}

/// A comment begins at the line's start or after a blank.
fn strip_comment(line: &str) -> &str {
    let bytes = line.as_bytes();
    let at = (0..bytes.len()).find(|&i| bytes[i] == b'#' && (i == 0 || bytes[i - 1].is_ascii_whitespace()));
    &line[..at.unwrap_or(line.len())]
}

/// Whether a section is for the program of this path.
fn matches(pattern: &str, path: &str) -> bool {
    let name = if pattern.contains('/') { path } else { path.rsplit('/').next().unwrap_or(path) };
    glob(pattern.as_bytes(), name.as_bytes())
}

/// `*` stands for any characters, `?` for one.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            retry = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == b'?' || pattern[p] == text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((star, from)) = retry {
            retry = Some((star, from + 1));
            (p, t) = (star + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&b| b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "# all\ncpu = max # here\n\n[fzf]\nstrace\nenv = A=#1\n[/opt/*/run]\nlog\n[ g* ]\ncpu = x86-64\n";

    fn names(wanted: Wanted<'_>) -> Vec<(&'static str, Option<&'static str>)> {
        let (settings, faults) = read(TEXT, wanted);
        assert_eq!(faults, []);
        settings.iter().map(|s| (s.flag.long, s.value)).collect()
    }

    #[test]
    fn sections_apply_to_their_programs() {
        assert_eq!(names(Wanted::Program("/bin/true")), [("cpu", Some("max"))]);
        let fzf = [("cpu", Some("max")), ("strace", None), ("env", Some("A=#1"))];
        assert_eq!(names(Wanted::Program("./fzf")), fzf);
        assert_eq!(names(Wanted::Program("fzf")), fzf);
        assert_eq!(names(Wanted::Sections("fzf")), fzf[1..]);
        assert_eq!(names(Wanted::Sections("/opt/a/b/run")), [("log", None)]);
        assert_eq!(names(Wanted::Sections("/opt/a/b/runs")), []);
        assert_eq!(names(Wanted::Program("/x/gimp")), [("cpu", Some("max")), ("cpu", Some("x86-64"))]);
        assert_eq!(names(Wanted::All).len(), 5);
    }

    #[test]
    fn faults_have_lines() {
        let fault = |text| read(text, Wanted::Program("x")).1.into_iter().map(|f| (f.line, f.what)).collect::<Vec<_>>();
        assert_eq!(fault("\nnonsense = 1"), [(2, "no option \"nonsense\" in this file".to_owned())]);
        assert_eq!(fault("help"), [(1, "no option \"help\" in this file".to_owned())]);
        assert_eq!(fault("launcher = x"), [(1, "no option \"launcher\" in this file".to_owned())]);
        assert_eq!(fault("cpu ="), [(1, "cpu needs a value: cpu = MODEL[,+-FEATURE]".to_owned())]);
        assert_eq!(fault("[a]\nstrace = 1"), [(2, "strace takes no value".to_owned())]);
        assert_eq!(fault("[]"), [(1, "expected [PROGRAM]".to_owned())]);
        assert_eq!(fault("[x\n"), [(1, "expected [PROGRAM]".to_owned())]);
    }

    #[test]
    fn patterns() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("a*b", "ab", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b", "abc", false),
            ("?", "", false),
            ("a?c", "abc", true),
            ("**", "x", true),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), fits, "{pattern} {text}");
        }
    }
}
