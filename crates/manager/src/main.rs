//! `demotic-manage`: everything a person touches that is not running a program.
//!
//! The runner is small because it starts with every guest program; what may take its time is here. Today that is one verb,
//! `doctor`, which says whether this machine can run guests and what is in the way. Roots, binfmt_misc registration and the
//! code cache get their verbs here when they exist.
//!
//! Architecture invariant: no crate of the runtime is linked here.
#![forbid(unsafe_code)]

mod doctor;

use std::process::ExitCode;

const HELP: &str = "\
usage: demotic-manage VERB

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
    eprintln!("demotic-manage: no verb {verb:?} (see --help)");
    ExitCode::from(USAGE)
}
