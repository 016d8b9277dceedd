//! What can be said to Demotic, as tables: command line, variables, configuration file, the names of qemu-user, management verbs.
//!
//! One line for each word of the vocabulary. The runner and the manager parse by these tables, `--help` is printed from them, and
//! `cargo xtask manual` writes the man page, the shell completions and `docs/options.md` from them, so that none can say what another does not.
//! The places of files in the user's folders are here as well, since both programs have to agree on them.
//!
//! Architecture invariant: data and pure parsing; depends on nothing, costs the runner no time at start.
#![forbid(unsafe_code)]

pub mod config;
pub mod flags;
pub mod places;
pub mod qemu;
pub mod verbs;
