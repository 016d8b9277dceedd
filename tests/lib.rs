//! What the test programs of this folder share: a trial that runs a guest on a host and notes the result.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use demotic_testkit::guest::Abi;
use demotic_testkit::host::Host;
use demotic_testkit::results;
use demotic_testkit::run::Outcome;
use libtest_mimic::{Failed, Trial};

/// Whether `tests/gaps.txt` lists the program as not working there.
pub fn is_gap(host: Host, abi: Abi, program: &str) -> bool {
    let text = include_str!("gaps.txt");
    text.lines().filter(|l| !l.starts_with('#')).any(|line| {
        let mut words = line.split_whitespace();
        let mut next_is = |name: &str| words.next().is_some_and(|w| w == "*" || w == name);
        host != Host::Native && next_is(host.name()) && next_is(abi.name()) && next_is(program)
    })
}

/// Whether `tests/pages.txt` lists a program or a system call case as different with the page size that `DEMOTIC_HOST_PAGE` asks for.
pub fn differs_on_pages(host: Host, abi: Abi, name: &str) -> bool {
    let large = std::env::var("DEMOTIC_HOST_PAGE").is_ok_and(|page| page != "4096");
    let text = include_str!("pages.txt");
    large
        && host != Host::Native
        && text.lines().filter(|l| !l.starts_with('#')).any(|line| {
            let mut words = line.split_whitespace();
            let mut next_is = |name: &str| words.next().is_some_and(|w| w == "*" || w == name);
            next_is(abi.name()) && next_is(name)
        })
}

/// How long a guest may take: an emulated host interprets an interpreter.
pub fn limit(host: Host) -> Duration {
    Duration::from_secs(if host.is_emulated() { 600 } else { 120 })
}

/// A trial named `host::abi::program::case` whose result goes into the table under `program@case`.
/// It is ignored when what it needs is `absent`, or when it is a known gap.
pub fn trial(
    host: Host,
    abi: Abi,
    program: &str,
    case: &str,
    absent: bool,
    body: impl FnOnce() -> Result<(), String> + Send + 'static,
) -> Trial {
    let gap = is_gap(host, abi, program);
    let absent = absent || differs_on_pages(host, abi, program);
    if gap {
        results::record(&format!("{program}@{case}"), abi, host, false, Duration::ZERO);
    }
    let (key, name) = (format!("{program}@{case}"), format!("{}::{}::{program}::{case}", host.name(), abi.name()));
    Trial::test(name, move || {
        let start = Instant::now();
        let result = if host.is_available() {
            body()
        } else {
            Err(format!("no Demotic for this host: {} (cargo xtask dist)", host.demotic().display()))
        };
        results::record(&key, abi, host, result.is_ok(), start.elapsed());
        result.map_err(Failed::from)
    })
    .with_ignored_flag(gap || absent)
}

/// An error with what the program said on standard error.
pub fn with_complaint(outcome: &Outcome, error: &str) -> String {
    format!("{error}\nafter {:.1} s, standard error:\n{}", outcome.time.as_secs_f32(), outcome.complaint())
}
