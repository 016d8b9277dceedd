//! Management verbs: `demotic-manage` does them; this program becomes that one.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

const NAME: &str = "demotic-manage";

/// Executes the manager with the arguments: the one beside this program, else in the folder for such programs, else by PATH.
/// Returns only if there is none, with the reason.
pub fn hand_over(args: &[OsString]) -> String {
    let own = std::env::current_exe().ok();
    // A build for one host of several is called demotic-HOST.
    let beside = |name: &str| own.as_ref().and_then(|p| Some(p.parent()?.join(name)));
    let host = own.as_ref().and_then(|p| p.file_name()?.to_str()?.strip_prefix("demotic-"));
    let places = [
        host.and_then(|h| beside(&format!("{NAME}-{h}"))),
        beside(NAME),
        Some(PathBuf::from("/usr/lib/demotic").join(NAME)),
        Some(NAME.into()),
    ];
    let mut reason = String::new();
    for place in places.into_iter().flatten() {
        let mut command = Command::new(&place);
        if let Some(own) = &own {
            command.env("DEMOTIC_RUNNER", own);
        }
        let error = command.args(args).exec();
        if error.kind() != std::io::ErrorKind::NotFound {
            reason = format!("{}: {error}", place.display());
            break;
        }
    }
    let verb = args.first().map(|a| a.to_string_lossy().into_owned()).unwrap_or_default();
    if reason.is_empty() {
        reason = format!("{NAME} is not installed beside this program");
    }
    format!("{verb}: {reason} (a program of that name is run by `demotic -- {verb}`)")
}
