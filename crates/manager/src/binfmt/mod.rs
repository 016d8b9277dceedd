//! `demotic binfmt install|remove|status`: x86 programs run by their names.
//!
//! An installation is a list of steps that is made first, printed by `--dry-run`, and carried out in order; when a step fails, those before it are
//! taken back. What must not happen is checked before the first step: an entry for programs that the machine runs itself (on x86-64 such an entry
//! would take every program of the machine, Demotic included), one beside another emulator's, one whose program others can replace.

pub mod pattern;
pub mod persist;
pub mod runner;
pub mod table;

use anyhow::{Context, Result, bail};
use demotic_options::verbs::Parsed;
use pattern::{Arch, Pattern, patterns};
use persist::Persistence;
use runner::Runner;
use serde_json::json;
use std::path::Path;
use table::{Entry, Table};

/// Flags that entries may have here, in the kernel's order.
const FLAGS: &str = "POCF";

/// One thing to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    /// Remove an older entry of ours: its name, and the line that makes it again.
    Forget(String, String),
    /// Register: name and line.
    Register(String, String),
    /// Keep in the way given.
    Keep(Persistence, Vec<(Pattern, String, String)>),
}

/// What an installation comes to.
struct Plan {
    steps: Vec<Step>,
    notes: Vec<String>,
}

/// Does one of the verbs.
///
/// # Errors
/// What keeps it from being done.
pub fn run(parsed: &Parsed) -> Result<()> {
    match parsed.verb.words {
        "binfmt install" => install(parsed),
        "binfmt remove" => remove(parsed),
        _ => status(parsed.has("json")),
    }
}

/// The architectures asked for; without a wish those that the machine does not run itself.
fn wanted(parsed: &Parsed) -> Result<Vec<Arch>> {
    // A 32-bit host has no room for a 64-bit guest.
    let runs = |arch: Arch| arch == Arch::I386 || cfg!(target_pointer_width = "64");
    if let Some(text) = parsed.value("arch") {
        let list = Arch::parse_list(text).map_err(|e| anyhow::anyhow!("--arch: {e}"))?;
        if let Some(arch) = list.iter().find(|arch| !runs(**arch)) {
            bail!("--arch: {} programs need a 64-bit Demotic", arch.name());
        }
        return Ok(list);
    }
    Ok(Arch::ALL.into_iter().filter(|&arch| runs(arch) && !runner::is_native(arch)).collect())
}

/// Flags as the kernel wants them.
fn flags(text: Option<&str>) -> Result<String> {
    let old = table::kernel_version() < (5, 12);
    let wish: String = match text {
        Some(text) => text.chars().filter(|c| *c != ',').map(|c| c.to_ascii_uppercase()).collect(),
        None if old => "OCF".to_owned(),
        None => FLAGS.to_owned(),
    };
    if let Some(other) = wish.chars().find(|c| !FLAGS.contains(*c)) {
        bail!("--flags: no flag {other:?}; there are F, C, P, O");
    }
    Ok(FLAGS.chars().filter(|c| wish.contains(*c)).collect())
}

fn install(parsed: &Parsed) -> Result<()> {
    let arches = wanted(parsed)?;
    if arches.is_empty() {
        bail!("this machine runs i386 and x86-64 programs itself; name what you want by --arch, and add --force");
    }
    let flags = flags(parsed.value("flags"))?;
    let runner = Runner::find(parsed.value("interpreter"))?;
    let initial = table::is_initial();
    let dry = parsed.has("dry-run");
    let mut table = if dry { None } else { Some(Table::open()?) };
    let result = (|| {
        let plan = plan(parsed, &arches, &flags, &runner, initial, &table::entries())?;
        if !table::is_switched_on() && table::is_mounted() {
            eprintln!("demotic-manage: binfmt_misc is switched off as a whole: echo 1 > {}/status", table::PLACE);
        }
        if let Some(table) = &table {
            carry_out(table, &plan.steps)?;
        }
        report(&plan, dry, parsed.has("json"));
        Ok(())
    })();
    if result.is_err() {
        if let Some(table) = &mut table {
            table.undo();
        }
    }
    result
}

/// Checks and makes the steps. `there`: the entries of the kernel.
fn plan(
    parsed: &Parsed,
    arches: &[Arch],
    flags: &str,
    runner: &Runner,
    initial: bool,
    there: &[Entry],
) -> Result<Plan> {
    let mut notes = Vec::new();
    let wanted: Vec<Pattern> = arches.iter().flat_map(|a| patterns(*a)).collect();
    for &arch in arches.iter().filter(|a| runner::is_native(**a)) {
        let own = arch == Arch::X86_64;
        if !parsed.has("force") {
            bail!(
                "this machine runs {} programs itself, and an entry would take all of them, its own included: \
                 start them by `demotic PROGRAM`{}",
                arch.name(),
                if own { ", or in a namespace by `demotic shell`" } else { ", or add --force" }
            );
        }
        if own && initial {
            bail!(
                "an x86-64 entry on an x86-64 machine would take every program of the machine, also those that could remove it: \
                 --force allows it in a user namespace of one's own only (`demotic shell`, unshare -U -r -m)"
            );
        }
    }
    // The interpreter must not be taken by its own entry: the kernel gives up then (ELOOP).
    let marked = wanted.iter().any(|p| runner.is_taken_by(p));
    if marked && !flags.contains('F') {
        bail!("Demotic is such a program itself: that needs the flag F");
    }
    if flags.contains('F') && runner.needs.is_some() {
        notes.push(format!(
            "{} needs {}: with a build that is linked statically programs run in chroots, too",
            runner.path,
            runner.needs.as_deref().unwrap_or_default()
        ));
    }
    if flags.contains('C') && initial {
        runner.check_trust()?;
    }
    if flags.contains('P') && table::kernel_version() < (5, 12) && !runner.path.ends_with("-binfmt-P") {
        bail!(
            "--flags P: before Linux 5.12 that needs a link to demotic whose name ends in -binfmt-P, by --interpreter"
        );
    }
    let persistence = match parsed.value("persistent") {
        Some(text) => Persistence::parse(text)?,
        None if !initial => Persistence::None,
        None => Persistence::usual(),
    };
    if !initial && persistence != Persistence::None {
        bail!("--persistent: entries of a user namespace end with it");
    }
    let other = Persistence::KEEPERS.into_iter().find(|p| initial && *p != persistence && p.is_kept(arches));
    if let Some(other) = other {
        bail!(
            "such entries are kept in another way already, by {0}: add --persistent {0}, or `demotic binfmt remove` first",
            other.name()
        );
    }
    let interpreter = if marked { runner.marked_copy()? } else { runner.path.clone() };
    if interpreter.contains([':', '\n', '\\']) || interpreter.len() > 127 {
        bail!("{interpreter}: the kernel does not take this path (no colon, no backslash, at most 127 bytes)");
    }
    let (mut steps, mut lines) = (Vec::new(), Vec::new());
    let ours: Vec<String> = Arch::ALL.into_iter().flat_map(patterns).map(|p| p.name).collect();
    for pattern in &wanted {
        let line = pattern.line(&interpreter, flags);
        let mut before_others = false;
        for other in there.iter().filter(|e| e.is_enabled && !e.magic.is_empty() && !ours.contains(&e.name)) {
            if pattern.meets(other.offset, &other.magic, &other.mask) && !runner.is(&other.interpreter) {
                before_others = true;
                let (entry, arch) = (format!("{} ({})", other.name, other.interpreter), pattern.arch.name());
                if !parsed.has("override") {
                    bail!(
                        "the entry {entry} has {arch} programs: with --override Demotic's comes before it, and `demotic binfmt remove` makes it count again"
                    );
                }
                let note = format!("comes before the entry {entry}, which has {arch} programs");
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
        match there.iter().find(|e| e.name == pattern.name) {
            // The last one made comes first: before others it has to be made again.
            Some(e)
                if e.is_enabled
                    && e.interpreter == interpreter
                    && same_flags(&e.flags, flags)
                    && !marked
                    && !before_others =>
            {
                notes.push(format!("{}: is there already", e.name));
            }
            found => {
                if let Some(e) = found {
                    let again = pattern.line(&e.interpreter, &e.flags);
                    steps.push(Step::Forget(e.name.clone(), again));
                }
                if persistence != Persistence::Debian {
                    steps.push(Step::Register(pattern.name.clone(), line.clone()));
                }
            }
        }
        lines.push((pattern.clone(), interpreter.clone(), flags.to_owned()));
    }
    if persistence != Persistence::None {
        steps.push(Step::Keep(persistence, lines));
    }
    Ok(Plan { steps, notes })
}

/// The kernel shows C as O and C.
fn same_flags(shown: &str, wanted: &str) -> bool {
    let has = |text: &str, c: char| text.contains(c) || (c == 'O' && text.contains('C'));
    FLAGS.chars().all(|c| has(shown, c) == has(wanted, c))
}

/// Does the steps; what was done is taken back when one fails.
fn carry_out(table: &Table, steps: &[Step]) -> Result<()> {
    for (i, step) in steps.iter().enumerate() {
        let done = match step {
            Step::Forget(name, _) => table.remove(name),
            Step::Register(_, line) => table.register(line),
            Step::Keep(persistence, lines) => persistence.keep(lines),
        };
        if let Err(error) = done {
            for step in steps[..i].iter().rev() {
                let undone = match step {
                    Step::Forget(_, line) => table.register(line),
                    Step::Register(name, _) => table.remove(name),
                    Step::Keep(persistence, _) => persistence.forget(&Arch::ALL),
                };
                if let Err(e) = undone {
                    eprintln!("demotic-manage: taking back what was done: {e:#}");
                }
            }
            return Err(error.context("nothing was changed"));
        }
    }
    Ok(())
}

fn report(plan: &Plan, dry: bool, as_json: bool) {
    let texts: Vec<(&str, String)> = plan
        .steps
        .iter()
        .map(|step| match step {
            Step::Forget(name, _) => ("remove", name.clone()),
            Step::Register(_, line) => ("register", line.clone()),
            Step::Keep(persistence, lines) => ("keep", persistence.describe(lines)),
        })
        .collect();
    if as_json {
        let steps: Vec<_> = texts.iter().map(|(verb, what)| json!({ "step": verb, "what": what })).collect();
        println!("{}", json!({ "dry_run": dry, "steps": steps, "notes": plan.notes }));
        return;
    }
    for (verb, what) in &texts {
        println!("{}{verb} {what}", if dry { "would " } else { "" });
    }
    for note in &plan.notes {
        println!("note: {note}");
    }
}

fn remove(parsed: &Parsed) -> Result<()> {
    let arches = match parsed.value("arch") {
        Some(text) => Arch::parse_list(text).map_err(|e| anyhow::anyhow!("--arch: {e}"))?,
        None => Arch::ALL.to_vec(),
    };
    let names: Vec<String> = arches.iter().flat_map(|a| patterns(*a)).map(|p| p.name).collect();
    let there: Vec<Entry> = table::entries().into_iter().filter(|e| names.contains(&e.name)).collect();
    let kept: Vec<Persistence> = match parsed.value("persistent") {
        Some(text) => vec![Persistence::parse(text)?],
        None => Persistence::KEEPERS.to_vec(),
    };
    let kept: Vec<Persistence> =
        if table::is_initial() { kept.into_iter().filter(|p| p.is_kept(&arches)).collect() } else { Vec::new() };
    let dry = parsed.has("dry-run");
    let nothing = there.is_empty() && kept.is_empty();
    if !dry && !nothing {
        for persistence in &kept {
            persistence.forget(&arches)?;
        }
        // update-binfmts takes the entries out itself.
        let left: Vec<Entry> = table::entries().into_iter().filter(|e| names.contains(&e.name)).collect();
        if !left.is_empty() {
            let table = Table::open()?;
            for entry in &left {
                table.remove(&entry.name)?;
            }
        }
    }
    if parsed.has("json") {
        let names: Vec<&str> = there.iter().map(|e| e.name.as_str()).collect();
        let kept: Vec<&str> = kept.iter().map(|p| p.name()).collect();
        println!("{}", json!({ "dry_run": dry, "removed": names, "no_longer_kept": kept }));
        return Ok(());
    }
    for entry in &there {
        println!("{}{}", if dry { "would remove " } else { "removed " }, entry.name);
    }
    for persistence in &kept {
        println!("{}: {}", persistence.name(), if dry { "would forget it" } else { "forgotten" });
    }
    if nothing {
        println!("there is nothing of Demotic's");
    }
    Ok(())
}

/// The entries that have to do with x86 programs.
pub fn relevant() -> Vec<(Entry, Vec<Arch>)> {
    let all = Arch::ALL.map(|a| (a, patterns(a)));
    table::entries()
        .into_iter()
        .filter_map(|e| {
            let hits = |p: &Pattern| !e.magic.is_empty() && p.meets(e.offset, &e.magic, &e.mask);
            let arches: Vec<Arch> = all.iter().filter(|(_, list)| list.iter().any(hits)).map(|(a, _)| *a).collect();
            if arches.is_empty() { None } else { Some((e, arches)) }
        })
        .collect()
}

fn status(as_json: bool) -> Result<()> {
    let entries = relevant();
    let (mounted, on) = (table::is_mounted(), table::is_switched_on());
    // What comes back when the machine starts, whether it is there now or not.
    let kept: Vec<&str> = Persistence::KEEPERS
        .into_iter()
        .filter(|p| table::is_initial() && p.is_kept(&Arch::ALL))
        .map(Persistence::name)
        .collect();
    let works = |e: &Entry| {
        // With F the kernel has the file open.
        e.is_enabled && (e.flags.contains('F') || Path::new(&e.interpreter).is_file())
    };
    if as_json {
        let list: Vec<_> = entries
            .iter()
            .map(|(e, arches)| {
                let arches: Vec<&str> = arches.iter().map(|a| a.name()).collect();
                json!({ "name": e.name, "arch": arches, "enabled": e.is_enabled, "interpreter": e.interpreter,
                        "flags": e.flags, "demotic": e.name.starts_with("demotic-"), "works": works(e) })
            })
            .collect();
        let native: Vec<&str> = Arch::ALL.iter().filter(|a| runner::is_native(**a)).map(|a| a.name()).collect();
        println!(
            "{}",
            json!({ "mounted": mounted, "enabled": on, "initial_namespace": table::is_initial(),
                    "runs_itself": native, "entries": list, "kept": kept })
        );
        return Ok(());
    }
    if !mounted {
        println!("binfmt_misc is not mounted at {}", table::PLACE);
    } else if !on {
        println!("binfmt_misc is switched off as a whole");
    }
    for arch in Arch::ALL {
        let mut any = false;
        for (entry, _) in entries.iter().filter(|(_, arches)| arches.contains(&arch)) {
            any = true;
            let state = match (entry.is_enabled, works(entry)) {
                (false, _) => "switched off",
                (true, true) => "works",
                (true, false) => "its program is missing",
            };
            let (name, interpreter, flags) = (&entry.name, &entry.interpreter, &entry.flags);
            println!("{:<7} {name}: {interpreter}, flags {flags}: {state}", arch.name());
        }
        if !any {
            let text = if runner::is_native(arch) { "this machine runs these itself" } else { "no entry" };
            println!("{:<7} {text}", arch.name());
        }
    }
    for keeper in kept {
        println!("{keeper} makes Demotic's entries when the machine starts");
    }
    Ok(())
}

/// Makes entries in this process's own user namespace, for a shell; both kinds of programs, whatever the machine runs itself.
///
/// # Errors
/// What keeps them from being made.
pub fn install_in_namespace(runner: &Runner) -> Result<()> {
    if table::is_initial() {
        bail!("not in a user namespace");
    }
    let table = Table::open()?;
    let patterns: Vec<Pattern> = Arch::ALL.into_iter().flat_map(patterns).collect();
    let marked = patterns.iter().any(|p| runner.is_taken_by(p));
    let interpreter = if marked { runner.marked_copy()? } else { runner.path.clone() };
    for pattern in patterns {
        table.register(&pattern.line(&interpreter, FLAGS)).context("the namespace's own binfmt_misc")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_put_in_order() {
        assert_eq!(flags(Some("F,C,P,O")).expect("right"), "POCF");
        assert_eq!(flags(Some("f")).expect("right"), "F");
        assert_eq!(flags(Some("")).expect("right"), "");
        assert!(flags(Some("F,X")).is_err());
        assert!(same_flags("POCF", "PCF") && same_flags("OF", "OF") && !same_flags("POCF", "POF"));
    }

    fn parsed(text: &str) -> Parsed {
        demotic_options::verbs::parse(&text.split(' ').map(str::to_owned).collect::<Vec<_>>()).expect("right")
    }

    fn foreign() -> Runner {
        Runner { path: "/usr/bin/demotic".to_owned(), start: vec![0; 64], needs: None }
    }

    fn entry(name: &str, arch: Arch, interpreter: &str) -> Entry {
        let pattern = patterns(arch)[0].clone();
        Entry {
            name: name.to_owned(),
            is_enabled: true,
            interpreter: interpreter.to_owned(),
            flags: "POF".to_owned(),
            offset: 0,
            magic: pattern.magic.to_vec(),
            mask: pattern.mask.to_vec(),
        }
    }

    #[test]
    fn other_emulators_are_respected() {
        let there = [entry("qemu-i386", Arch::I386, "/usr/bin/qemu-i386-static")];
        let try_it = |text: &str, arch| plan(&parsed(text), &[arch], "POF", &foreign(), false, &there);
        let refused = try_it("binfmt install --force", Arch::I386).err().expect("refused").to_string();
        assert!(refused.contains("qemu-i386") && refused.contains("--override"), "{refused}");
        let plan = try_it("binfmt install --force --override", Arch::I386).expect("allowed");
        assert_eq!(plan.steps.len(), 2);
        assert!(plan.notes.iter().any(|n| n.contains("qemu-i386-static")));
        assert_eq!(try_it("binfmt install --force", Arch::X86_64).expect("not met").steps.len(), 2);
        // One of ours that is there may stand behind the other.
        let there = [entry("demotic-i386", Arch::I386, "/usr/bin/demotic"), there[0].clone()];
        let again =
            super::plan(&parsed("binfmt install --force --override"), &[Arch::I386], "POF", &foreign(), false, &there);
        assert!(matches!(&again.expect("allowed").steps[..], [Step::Forget(..), Step::Register(..), ..]));
    }

    #[test]
    fn what_is_there_stays_or_is_replaced() {
        let here = |interpreter| {
            let there = [entry("demotic-i386", Arch::I386, interpreter)];
            plan(&parsed("binfmt install --force"), &[Arch::I386], "POF", &foreign(), false, &there).expect("right")
        };
        let same = here("/usr/bin/demotic");
        assert!(matches!(&same.steps[..], [Step::Register(name, _)] if name == "demotic-i386-linux"));
        let old = here("/old/demotic");
        assert!(matches!(&old.steps[..], [Step::Forget(a, line), Step::Register(b, _), Step::Register(..)]
            if a == "demotic-i386" && b == a && line.contains("/old/demotic:POF")));
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_machine_itself_is_never_taken() {
        let try_it = |text: &str, initial| {
            plan(&parsed(text), &[Arch::X86_64], "POF", &foreign(), initial, &[]).err().map(|e| e.to_string())
        };
        assert!(try_it("binfmt install", true).expect("refused").contains("itself"));
        assert!(try_it("binfmt install", false).expect("refused").contains("itself"));
        assert!(try_it("binfmt install --force", true).expect("refused").contains("every program"));
        assert_eq!(try_it("binfmt install --force --persistent none", false), None);
    }
}
