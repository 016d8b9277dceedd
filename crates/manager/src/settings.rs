//! `demotic config`: checks the configuration files. The runner reads them whenever a program starts, and passes over what is wrong with one line each
//! time; here all of it is said at once.

use demotic_options::config::{Wanted, read};
use demotic_options::places;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The files that there are.
pub fn files() -> Vec<PathBuf> {
    let user = places::user_config(rustix::process::geteuid().as_raw());
    [Some(PathBuf::from(places::SYSTEM_CONFIG)), user].into_iter().flatten().filter(|f| f.exists()).collect()
}

/// What is wrong in a file, a line each.
pub fn faults(file: &Path) -> Vec<String> {
    match fs::read_to_string(file) {
        Ok(text) => {
            let faults = read(&text, Wanted::All).1;
            faults.into_iter().map(|f| format!("{}:{}: {}", file.display(), f.line, f.what)).collect()
        }
        Err(error) => vec![format!("{}: {error}", file.display())],
    }
}

/// Prints what is wrong and what applies.
pub fn run() -> ExitCode {
    let files = files();
    if files.is_empty() {
        let user = places::user_config(rustix::process::geteuid().as_raw());
        let user = user.map_or(String::new(), |u| format!(" and {}", u.display()));
        println!("there is no configuration file ({}{user})", places::SYSTEM_CONFIG);
        return ExitCode::SUCCESS;
    }
    let mut status = ExitCode::SUCCESS;
    for file in files {
        let faults = faults(&file);
        for fault in &faults {
            println!("{fault}");
            status = ExitCode::FAILURE;
        }
        if faults.is_empty() {
            let text = fs::read_to_string(&file).unwrap_or_default();
            println!("{}: ok, {} settings", file.display(), read(&text, Wanted::All).0.len());
        }
    }
    status
}
