//! `demotic-manage`: everything a person touches that is not running a program.
//!
//! The runner is small because it starts with every guest program; what may take its time is here. People see one command: `demotic VERB` executes
//! this program. The verbs, their options and their help are the table in `demotic_options::verbs`.
//!
//! Architecture invariant: no crate of the runtime is linked here.
#![forbid(unsafe_code)]

mod binfmt;
mod cache;
mod doctor;
mod namespace;
mod roots;
mod settings;
mod shell;

use demotic_options::verbs::{self, VERBS};
use std::process::ExitCode;

/// Exit status for a wrong command line, the same as the runner's.
const USAGE: u8 = 125;

fn help() -> String {
    let mut text = String::from("usage: demotic VERB [OPTIONS]\n");
    for verb in VERBS {
        text.push_str(&format!("\n  {} {}\n      {}\n", verb.words, verb.operands, verb.what));
        for option in verb.options {
            let value = option.value.map_or(String::new(), |v| format!(" {v}"));
            text.push_str(&format!("      {:<28} {}\n", format!("--{}{value}", option.long), option.what));
        }
    }
    text.push_str("\n  --help      this text\n  --version   the version\n");
    text
}

fn main() -> ExitCode {
    let words: Result<Vec<String>, _> = std::env::args_os().skip(1).map(|w| w.into_string()).collect();
    let words = match words {
        Ok(words) => words,
        Err(word) => {
            eprintln!("demotic: {word:?}: not valid UTF-8");
            return ExitCode::from(USAGE);
        }
    };
    // `VERB --help` says the same; a command behind a root's name has its own.
    let before_command = if words.first().is_some_and(|w| w == "shell") { 2 } else { words.len() };
    if words.is_empty() || words.iter().take(before_command).any(|w| w == "--help" || w == "-h") {
        print!("{}", help());
        return ExitCode::SUCCESS;
    }
    if words[0] == "--version" || words[0] == "-V" {
        println!("demotic-manage {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    // The helpers of other processes of this program.
    let helper = match words[0].as_str() {
        namespace::MAP => Some(namespace::map(&words[1..])),
        doctor::TRY => Some(doctor::try_namespace()),
        roots::WATCH => Some(roots::watch(&words[1..])),
        _ => None,
    };
    if let Some(done) = helper {
        return done.map_or_else(
            |error| {
                eprintln!("demotic: {error:#}");
                ExitCode::FAILURE
            },
            |()| ExitCode::SUCCESS,
        );
    }
    let parsed = match verbs::parse(&words) {
        Ok(parsed) => parsed,
        Err(message) => {
            eprintln!("demotic: {message}");
            return ExitCode::from(USAGE);
        }
    };
    let done = match parsed.verb.words {
        "cache" => return cache::show(),
        "cache clear" => return cache::clear(),
        "config" => return settings::run(),
        "doctor" => return doctor::run(parsed.has("json")),
        words if words.starts_with("binfmt") => binfmt::run(&parsed),
        words if words.starts_with("root") => roots::run(&parsed),
        _ => shell::run(&parsed),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // What files have in them may be part of it.
            let text: String =
                format!("{error:#}").chars().map(|c| if c.is_control() { ' ' } else { c }).take(1000).collect();
            eprintln!("demotic: {}: {text}", parsed.verb.words);
            ExitCode::FAILURE
        }
    }
}
