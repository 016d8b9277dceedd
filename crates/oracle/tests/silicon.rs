//! The short fixed-seed run, and the regression lines, on x86-64 hosts.
#![cfg(target_arch = "x86_64")]

use demotic_ir::state::Mode;
use demotic_oracle::case::Case;
use demotic_oracle::generate::{Rng, generate};
use demotic_oracle::native::Harness;
use demotic_oracle::{compare, disassemble, model};

/// Differences of a case, or `None` when the model does not implement the instruction.
fn differences(harness: &mut Harness, case: &Case) -> Option<Vec<String>> {
    if !harness.knows(case) {
        return None;
    }
    let ours = model::run(case)?;
    let real = harness.run(case).expect("the harness survives every instruction");
    Some(compare(case, &real, &ours))
}

// One test: the harness owns the process's signal handlers.
#[test]
fn model_agrees_with_the_processor() {
    let mut harness = Harness::new().expect("pages of the harness");
    let mut lines = 0;
    for line in include_str!("regressions.txt").lines() {
        let Some(case) = Case::parse(line) else {
            assert!(line.trim().is_empty() || line.starts_with('#'), "bad line: {line}");
            continue;
        };
        if !harness.knows(&case) {
            continue;
        }
        let diff = differences(&mut harness, &case).expect("regressions are of implemented instructions");
        assert!(diff.is_empty(), "{}\n{line}\n{diff:#?}", disassemble(&case));
        assert_eq!(Case::parse(&case.line()).map(|c| c.line()), Some(case.line()), "the text form round-trips");
        lines += 1;
    }
    assert!(lines > 20);
    let mut rng = Rng::new(2026);
    let mut ran = 0;
    while ran < 60_000 {
        for mode in [Mode::Long, Mode::Compat32] {
            let Some(case) = generate(&mut rng, mode) else { continue };
            let Some(diff) = differences(&mut harness, &case) else { continue };
            assert!(diff.is_empty(), "{}\n{}\n{diff:#?}", disassemble(&case), case.line());
            ran += 1;
        }
    }
}
