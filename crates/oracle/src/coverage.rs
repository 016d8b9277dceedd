//! Which forms of instructions the oracle exercises, as the table in `docs/instructions.md`.
//!
//! A form is one of the decoder's codes: an opcode with its operand kinds. The generator is deterministic, so what a run of a given length meets is known
//! without a processor: a test compares the committed table with it on any host. That the forms met are exact is what the run itself says, whose
//! numbers stand above the table.

use crate::case::{CODE, Case};
use crate::generate::{Rng, generate};
use crate::undefined;
use demotic_ir::block::Term;
use demotic_ir::state::Mode;
use demotic_x86::features::Features;
use demotic_x86::unit::{self, Limits};
use iced_x86::{Code, EncodingKind, Mnemonic};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What is known of a form.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Status {
    /// Compared in everything.
    Exact,
    /// Compared except for what is listed in [`undefined`].
    Documented,
    /// Valid, and nothing is there to execute it.
    Missing,
    /// The generator makes no such instruction: it needs the environment, or did not come up.
    Never,
    /// No processor model has it.
    NotAdvertised,
}

/// Attempts to make an instruction that the table counts, in each mode.
pub const ATTEMPTS: u32 = 1_500_000;

/// Above the table in the document.
const MARK: &str = "<!-- what follows is checked by a test -->\n";

fn missing(case: &Case) -> bool {
    let limits = Limits { features: Features::MAX, ..Limits::SINGLE };
    let mut fetch = |at: u64, buf: &mut [u8]| {
        buf.fill(0x90);
        let skip = at.wrapping_sub(CODE) as usize;
        buf.iter_mut().zip(case.bytes.iter().skip(skip)).for_each(|(b, c)| *b = *c);
        buf.len()
    };
    matches!(unit::lift_block(CODE, case.mode, &limits, &mut fetch).term, Term::Unimplemented { .. })
}

/// The status of every form that the decoder knows, after that many attempts.
pub fn forms(attempts: u32) -> Vec<(Code, Status)> {
    let mut seen = BTreeMap::<usize, Status>::new();
    for mode in [Mode::Long, Mode::Compat32] {
        let mut rng = Rng::new(1);
        for _ in 0..attempts {
            let Some(case) = generate(&mut rng, mode) else { continue };
            let insn = crate::decode(&case);
            let status = seen
                .entry(insn.code() as usize)
                .or_insert_with(|| if missing(&case) { Status::Missing } else { Status::Exact });
            if *status == Status::Exact && undefined::touches(&insn, &case) {
                *status = Status::Documented;
            }
        }
    }
    let advertised = |code: Code| {
        let here = matches!(code.encoding(), EncodingKind::Legacy | EncodingKind::VEX);
        here && Features::MAX.allow(code)
    };
    Code::values()
        .filter(|code| code.mnemonic() != Mnemonic::INVALID)
        .map(|code| {
            let status = match seen.get(&(code as usize)) {
                _ if !advertised(code) => Status::NotAdvertised,
                Some(status) => *status,
                None => Status::Never,
            };
            (code, status)
        })
        .collect()
}

/// The table.
pub fn table(forms: &[(Code, Status)]) -> String {
    let count = |status: Status| forms.iter().filter(|f| f.1 == status).count();
    let mut out = String::from(MARK);
    let _ = writeln!(
        out,
        "\nOf {} forms that some processor model has, {} are compared in everything, {} except for what the manuals leave open \
         (`crates/oracle/src/undefined.rs`), {} are not made by the generator, {} are missing. {} forms belong to no model.\n",
        forms.len() - count(Status::NotAdvertised),
        count(Status::Exact),
        count(Status::Documented),
        count(Status::Never),
        count(Status::Missing),
        count(Status::NotAdvertised),
    );
    out.push_str(
        "| instruction | forms | exact | but for what is open | not exercised, missing |\n|---|---|---|---|---|\n",
    );
    let mut by_name = BTreeMap::<String, Vec<(Code, Status)>>::new();
    for &(code, status) in forms.iter().filter(|f| f.1 != Status::NotAdvertised) {
        by_name.entry(format!("{:?}", code.mnemonic()).to_lowercase()).or_default().push((code, status));
    }
    for (name, forms) in by_name {
        let of = |status: Status| forms.iter().filter(move |f| f.1 == status);
        let number = |status: Status| match of(status).count() {
            0 => String::new(),
            n => n.to_string(),
        };
        let rest: Vec<String> = of(Status::Never)
            .chain(of(Status::Missing))
            .map(|(code, status)| {
                let text = format!("{code:?}").to_lowercase();
                if *status == Status::Missing { format!("{text} (missing)") } else { text }
            })
            .collect();
        let (all, exact, open) = (forms.len(), number(Status::Exact), number(Status::Documented));
        let _ = writeln!(out, "| {name} | {all} | {exact} | {open} | {} |", rest.join(", "));
    }
    out
}

/// The document: what a run said, and the table.
pub fn document(run: &str) -> String {
    format!(
        "# Instructions\n\nWritten by `cargo xtask oracle --write docs/instructions.md`: {run}\n\nA form is an opcode with its operand kinds, as the decoder names them; all processor models \
         together (`--cpu max`). \"Not exercised\" are forms that need the environment (system calls, far transfers, segments, clocks, XSAVE: those have tests of their own) and some that random bytes did not give.\n\n{}",
        table(&forms(ATTEMPTS))
    )
}

/// What a test compares of a document.
pub fn checked(document: &str) -> &str {
    document.find(MARK).map_or("", |at| &document[at..])
}
