//! `demotic-manage`: everything a person touches that is not running a program.
//!
//! The runner is small because it starts with every guest program; what may take its time is here. Today that are two verbs:
//! `doctor`, which says whether this machine can run guests and what is in the way, and `cache`, which looks after the translations
//! that are kept between runs. Roots and binfmt_misc registration get their verbs here when they exist.
//!
//! Architecture invariant: no crate of the runtime is linked here.
#![forbid(unsafe_code)]

mod cache;
mod doctor;

use std::process::ExitCode;

const HELP: &str = "\
usage: demotic-manage VERB

  cache       say where translations are kept between runs, and how much they take
  cache clear remove them
  doctor      say what this machine offers to guest programs, and what is in the way
  --help      this text
  --version   the version
";

/// Exit status for a wrong command line, the same as the runner's.
const USAGE: u8 = 125;

fn main() -> ExitCode {
    use lexopt::prelude::*;
    let mut args = lexopt::Parser::from_env();
    let verb = match args.next() {
        Ok(Some(Long("help") | Short('h'))) | Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Ok(Some(Long("version") | Short('V'))) => {
            println!("demotic-manage {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Ok(Some(Value(verb))) => verb,
        Ok(Some(other)) => {
            eprintln!("demotic-manage: {}", other.unexpected());
            return ExitCode::from(USAGE);
        }
        Err(e) => {
            eprintln!("demotic-manage: {e}");
            return ExitCode::from(USAGE);
        }
    };
    if verb == "doctor" {
        return doctor::run();
    }
    if verb == "cache" {
        return match args.next() {
            Ok(None) => cache::show(),
            Ok(Some(Value(what))) if what == "clear" => cache::clear(),
            _ => {
                eprintln!("demotic-manage: cache: expected nothing or clear");
                ExitCode::from(USAGE)
            }
        };
    }
    eprintln!("demotic-manage: no verb {verb:?} (see --help)");
    ExitCode::from(USAGE)
}
