//! The names, options and variables of qemu-user, and what they mean here.
//!
//! Scripts, containers and package tools call `qemu-x86_64-static` and set `QEMU_LD_PREFIX`; a link of that name to `demotic` has to do what
//! they want. Options are words with one or two dashes, values are words of their own, a variable does what its option does, and the option
//! wins (documentation of QEMU's user mode emulation).

/// What becomes of an option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// The same as an option of Demotic.
    Same(&'static str),
    /// The same, for each word of a list with commas.
    Each(&'static str),
    /// A processor model of QEMU ([`model`]).
    Cpu,
    /// Log items; those that exist here become options.
    Log,
    /// Accepted: nothing here depends on it.
    Nothing,
    /// Accepted when it is a number: nothing here depends on it.
    Number,
    /// Accepted when it is a size, with K, M or G behind it: nothing here depends on it.
    Size,
    /// Passed over with one line that says this.
    Noted(&'static str),
    /// Accepted when it is 4096, the size of a guest's pages.
    Pages,
    /// Refused with this reason.
    Refused(&'static str),
    /// Prints the options.
    Help,
    /// Prints the version.
    Version,
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct Option {
    /// The word after the dash.
    pub name: &'static str,
    /// The variable that does the same; empty: none.
    pub variable: &'static str,
    /// What its value is; `None`: it has none.
    pub value: core::option::Option<&'static str>,
    /// What it does here, one line.
    pub what: &'static str,
    /// What becomes of it.
    pub effect: Effect,
}

const fn option(
    name: &'static str,
    variable: &'static str,
    value: core::option::Option<&'static str>,
    what: &'static str,
    effect: Effect,
) -> Option {
    Option { name, variable, value, what, effect }
}

/// QEMU's log items that are about its inside, with `trace:PATTERN`.
pub const INSIDE: &[&str] = &[
    "out_asm",
    "in_asm",
    "op",
    "op_opt",
    "op_ind",
    "op_plugin",
    "int",
    "exec",
    "cpu",
    "fpu",
    "mmu",
    "pcall",
    "cpu_reset",
    "guest_errors",
    "page",
    "nochain",
    "plugin",
    "tid",
    "vpu",
    "none",
];

/// All of them.
#[rustfmt::skip]
pub const OPTIONS: &[Option] = &[
    option("L", "QEMU_LD_PREFIX", Some("DIR"), "the guest root: --root; passed over if it is not there", Effect::Same("root")),
    option("E", "QEMU_SET_ENV", Some("VAR=VALUE,..."), "sets variables of the program: --env", Effect::Each("env")),
    option("U", "QEMU_UNSET_ENV", Some("VAR,..."), "removes variables of the program: --unset-env", Effect::Each("unset-env")),
    option("0", "QEMU_ARGV0", Some("NAME"), "the program's argv[0]: --argv0", Effect::Same("argv0")),
    option("r", "QEMU_UNAME", Some("RELEASE"), "the kernel release that the program sees: --uname", Effect::Same("uname")),
    option("s", "QEMU_STACK_SIZE", Some("BYTES"), "the size of the program's stack: --stack", Effect::Same("stack")),
    option("cpu", "QEMU_CPU", Some("MODEL"), "the processor that the program sees: --cpu, with QEMU's names (below); `help` prints them", Effect::Cpu),
    option("strace", "QEMU_STRACE", None, "prints every system call: --strace", Effect::Same("strace")),
    option("d", "QEMU_LOG", Some("ITEM,..."), "strace and unimp are --strace and --log, all is both; the other items of QEMU are about its inside and are passed over with one line; `help` lists them all", Effect::Log),
    option("D", "QEMU_LOG_FILENAME", Some("FILE"), "what -strace and -d print goes to FILE, %d in it being the process id: --log-file", Effect::Same("log-file")),
    option("g", "QEMU_GDB", Some("PORT"), "waits for gdb at that port or socket: --gdb", Effect::Same("gdb")),
    option("B", "QEMU_GUEST_BASE", Some("ADDRESS"), "no effect: guest addresses are host addresses", Effect::Number),
    option("R", "QEMU_RESERVED_VA", Some("BYTES"), "no effect: address space is not reserved", Effect::Size),
    option("p", "QEMU_PAGESIZE", Some("BYTES"), "no effect if 4096, else refused: pages of x86 programs have 4096 bytes", Effect::Pages),
    option("seed", "QEMU_RAND_SEED", Some("NUMBER"), "no effect: random numbers come from the kernel, as they do for the program's getrandom(2) in QEMU", Effect::Number),
    option("singlestep", "QEMU_SINGLESTEP", None, "no effect", Effect::Nothing),
    option("one-insn-per-tb", "QEMU_ONE_INSN_PER_TB", None, "no effect", Effect::Nothing),
    option("tb-size", "QEMU_TB_SIZE", Some("NUMBER"), "no effect", Effect::Nothing),
    option("t", "QEMU_RTSIG_MAP", Some("MAP"), "no effect: signals have the host's numbers", Effect::Nothing),
    option("dfilter", "QEMU_DFILTER", Some("RANGE"), "no effect", Effect::Nothing),
    option("perfmap", "QEMU_PERFMAP", None, "no effect", Effect::Nothing),
    option("jitdump", "QEMU_JITDUMP", None, "no effect", Effect::Nothing),
    option("trace", "QEMU_TRACE", Some("..."), "passed over with one line: trace events are about QEMU's inside", Effect::Noted("there are no trace events here")),
    option("plugin", "QEMU_PLUGIN", Some("..."), "refused: QEMU's plugins cannot be loaded here", Effect::Refused("QEMU's plugins cannot be loaded here")),
    option("h", "", None, "prints these options", Effect::Help),
    option("help", "", None, "prints these options", Effect::Help),
    option("version", "QEMU_VERSION", None, "prints the version, in the form of QEMU 7.2", Effect::Version),
];

/// The option of that name, with one or two dashes before it.
pub fn find(word: &str) -> core::option::Option<&'static Option> {
    let name = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    OPTIONS.iter().find(|o| o.name == name)
}

/// The option that a variable stands for.
pub fn by_variable(name: &str) -> core::option::Option<&'static Option> {
    name.strip_prefix("QEMU_")?;
    OPTIONS.iter().find(|o| o.variable == name)
}

/// A name by which Demotic was called.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Called {
    /// As qemu-user, with that program's options; the word after `qemu-`.
    pub qemu: core::option::Option<&'static str>,
    /// By a binfmt_misc entry with the P flag: the path is followed by argv\[0\]. Kernels before 5.12 do not say so otherwise.
    pub keeps_argv0: bool,
}

/// What a name (the last part of argv\[0\]) says.
pub fn called(name: &[u8]) -> Called {
    let name = name.rsplit(|&b| b == b'/').next().unwrap_or_default();
    let (name, keeps_argv0) = match name.strip_suffix(b"-binfmt-P") {
        Some(rest) => (rest, true),
        None => (name, false),
    };
    let name = name.strip_suffix(b"-static").unwrap_or(name);
    let qemu = match name.strip_prefix(b"demotic-").unwrap_or(name) {
        b"qemu-x86_64" => Some("x86_64"),
        b"qemu-i386" => Some("i386"),
        _ => None,
    };
    Called { qemu, keeps_argv0 }
}

/// QEMU's processor models by the name's beginning, and what stands for them here. The first that fits counts; versions (`-v2`, `-noTSX`, `-IBRS`) do not matter.
#[rustfmt::skip]
pub const MODELS: &[(&str, &str)] = &[
    ("max", "max"), ("host", "max"), ("base", "x86-64"),
    ("qemu", "default"), ("kvm", "x86-64"), ("486", "x86-64"), ("pentium", "x86-64"), ("athlon", "x86-64,+3dnowext"),
    ("phenom", "x86-64,+3dnowext,+sse4a,+cx16,+popcnt,+lzcnt,+lahf"),
    ("n270", "x86-64"), ("coreduo", "x86-64"), ("core2duo", "x86-64"), ("Conroe", "x86-64"), ("Penryn", "x86-64"), 
    ("Opteron_G3", "x86-64,+sse4a,+cx16,+popcnt,+lzcnt,+lahf"), ("Opteron_G4", "x86-64-v2,+avx,+sse4a,+lzcnt"),
    ("Opteron_G5", "x86-64-v2,+avx,+f16c,+fma,+sse4a,+lzcnt"), ("Opteron_G", "x86-64"),
    ("Nehalem", "x86-64-v2"), ("Westmere", "x86-64-v2"), ("SandyBridge", "x86-64-v2,+avx"), ("IvyBridge", "x86-64-v2,+avx,+f16c"),
    ("Denverton", "x86-64-v2"), ("Snowridge", "x86-64-v2"), ("KnightsMill", "x86-64-v3"),
    ("Haswell", "x86-64-v3"), ("Broadwell", "x86-64-v3"), ("Skylake", "x86-64-v3"), ("Cascadelake", "x86-64-v3"), ("Cooperlake", "x86-64-v3"),
    ("Icelake", "x86-64-v3,+vaes,+vpclmulqdq,+gfni,+sha"), ("SapphireRapids", "x86-64-v3,+vaes,+vpclmulqdq,+gfni,+sha"),
    ("GraniteRapids", "x86-64-v3,+vaes,+vpclmulqdq,+gfni,+sha"), ("SierraForest", "x86-64-v3,+vaes,+vpclmulqdq,+gfni,+sha"),
    ("Dhyana", "x86-64-v3,+sha,+sse4a"), ("YongFeng", "x86-64-v3"), ("EPYC", "x86-64-v3,+sha,+sse4a"),
];

/// Features that QEMU calls otherwise.
const FEATURES: &[(&str, &str)] = &[
    ("sse4_1", "sse4.1"),
    ("sse4-1", "sse4.1"),
    ("sse4_2", "sse4.2"),
    ("sse4-2", "sse4.2"),
    ("pni", "sse3"),
    ("lahf-lm", "lahf"),
    ("lahf_lm", "lahf"),
    ("abm", "lzcnt"),
    ("sha-ni", "sha"),
    ("3dnowprefetch", "prefetchw"),
];

/// Translates a processor of QEMU's (`Haswell,+avx,-bmi2,aes=off`) to one of Demotic's; models of Demotic's own names are taken, too. Features that
/// Demotic does not know (`known` says which it does) are left out, as QEMU does with those it cannot emulate.
///
/// # Errors
/// One line when the model is unknown.
pub fn model(text: &str, known: impl Fn(&str) -> bool) -> Result<String, String> {
    let mut words = text.split(',');
    let name = words.next().unwrap_or_default();
    let own = name == "default" || name.starts_with("x86-64");
    let model = MODELS.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|m| m.1);
    let mut all = match model.or(own.then_some(name)) {
        Some(model) => model.to_owned(),
        None => return Err(format!("no processor model {name:?}")),
    };
    for word in words {
        let (on, feature) = match word.split_once('=') {
            Some((feature, value)) => (matches!(value, "on" | "true" | "yes" | "y"), feature),
            None => (!word.starts_with('-'), word.trim_start_matches(['+', '-'])),
        };
        let feature = FEATURES.iter().find(|f| f.0 == feature).map_or(feature, |f| f.1);
        if known(feature) {
            all.push_str(if on { ",+" } else { ",-" });
            all.push_str(feature);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let name = |n: &str| (called(n.as_bytes()).qemu, called(n.as_bytes()).keeps_argv0);
        assert_eq!(name("demotic"), (None, false));
        assert_eq!(name("/usr/bin/qemu-x86_64-static"), (Some("x86_64"), false));
        assert_eq!(name("qemu-i386"), (Some("i386"), false));
        assert_eq!(name("/usr/libexec/qemu-binfmt/qemu-x86_64-binfmt-P"), (Some("x86_64"), true));
        assert_eq!(name("qemu-i386-static-binfmt-P"), (Some("i386"), true));
        assert_eq!(name("demotic-qemu-i386"), (Some("i386"), false));
        assert_eq!(name("demotic-binfmt-P"), (None, true));
        assert_eq!(name("demotic-x86_64"), (None, false));
        assert_eq!(name("qemu-aarch64"), (None, false));
        assert_eq!(name(""), (None, false));
    }

    #[test]
    fn options_and_variables() {
        assert_eq!(find("-L").map(|o| o.variable), Some("QEMU_LD_PREFIX"));
        assert_eq!(find("--strace").map(|o| o.name), Some("strace"));
        assert!(find("L").is_none() && find("-nonsense").is_none() && find("---L").is_none());
        assert_eq!(by_variable("QEMU_STACK_SIZE").map(|o| o.name), Some("s"));
        assert!(by_variable("QEMU_").is_none() && by_variable("").is_none());
        for (i, option) in OPTIONS.iter().enumerate() {
            let same = |o: &Option| o.name == option.name || (o.variable == option.variable && !o.variable.is_empty());
            assert!(!OPTIONS[i + 1..].iter().any(same), "{}", option.name);
        }
    }

    #[test]
    fn processors() {
        let known = |f: &str| ["sse4.1", "avx2", "aes"].contains(&f);
        assert_eq!(model("qemu64", known).as_deref(), Ok("default"));
        assert_eq!(model("qemu64-v1,+sse4_1,-avx2,+mpx", known).as_deref(), Ok("default,+sse4.1,-avx2"));
        assert_eq!(model("Haswell-noTSX-IBRS,aes=off,avx2=on", known).as_deref(), Ok("x86-64-v3,-aes,+avx2"));
        assert_eq!(model("x86-64-v2", known).as_deref(), Ok("x86-64-v2"));
        assert_eq!(model("SandyBridge", known).as_deref(), Ok("x86-64-v2,+avx"));
        assert!(model("cortex-a72", known).is_err());
    }
}
