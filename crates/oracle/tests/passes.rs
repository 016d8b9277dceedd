//! The passes change nothing that a program can see: random IR programs and random machine code, with and without them, in the
//! interpreter. With a callback that calls random flags dead behind the unit, those flags alone may differ there.

use demotic_ir::interp::Leave;
use demotic_ir::ops::Op;
use demotic_ir::passes::flags::{Flow, hands_on};
use demotic_ir::passes::{Precision, fold, optimise, optimise_unit_with};
use demotic_ir::state::{Mode, eflags::ARITH};
use demotic_ir::verify::verify;
use demotic_oracle::generate::{Rng, generate};
use demotic_oracle::program::{self, Outcome, Program, Shapes};
use demotic_x86::ahead::live_flags;
use demotic_x86::unit::{Limits, lift_block};

/// Live flags at an address, as good as random but always the same.
fn ahead(pc: u64) -> u32 {
    Rng::new(pc).bits() as u32 & ARITH
}

/// The flags that two outcomes must agree in.
fn visible(outcome: &Outcome, program: &Program, precision: Precision) -> u32 {
    match outcome.leave {
        Leave::Trap(..) if precision == Precision::Relaxed => 0,
        // Side exits show everything; the end of the unit what is live behind it.
        Leave::Pc(pc) if edge(program, pc) => ahead(pc),
        _ => ARITH,
    }
}

fn edge(program: &Program, pc: u64) -> bool {
    program.unit.blocks.iter().any(|b| {
        let mut term = b.term;
        term.edges_mut().any(|e| e.pc == pc && e.block.is_none())
    })
}

fn failure(program: &Program, precision: Precision) -> Option<String> {
    let before = program::interpret(program);
    let mut after = program.clone();
    after.unit.blocks.iter_mut().for_each(fold::run);
    optimise_unit_with(&mut after.unit, precision, &mut ahead);
    verify(&after.unit).unwrap_or_else(|e| panic!("{e}\n{}", after.unit));
    let ours = program::interpret(&after);
    let diff = program::differences(&before, &ours, visible(&before, program, precision));
    (!diff.is_empty()).then(|| format!("{diff:#?}\n{}\noptimised\n{}", program.unit, after.unit))
}

#[test]
fn random_programs_mean_the_same_with_and_without_passes() {
    for (mode, precision, seed) in
        [(Mode::Long, Precision::Exact, 1), (Mode::Compat32, Precision::Exact, 2), (Mode::Long, Precision::Relaxed, 3)]
    {
        let shapes = Shapes::collect(mode, 60_000);
        let mut rng = Rng::new(seed);
        let (mut before, mut after, mut left) = (0, 0, [0; 3]);
        for _ in 0..4000 {
            let program = program::program(&mut rng, &shapes);
            verify(&program.unit).unwrap_or_else(|e| panic!("{e}\n{}", program.unit));
            if failure(&program, precision).is_some() {
                let small = program::shrink(&program, &mut |p| failure(p, precision).is_some());
                panic!("{}", failure(&small, precision).unwrap_or_default());
            }
            left[match program::interpret(&program).leave {
                Leave::Trap(..) => 0,
                Leave::Pc(_) => 1,
                _ => 2,
            }] += 1;
            before += program.unit.blocks.iter().map(|b| b.insts.len()).sum::<usize>();
            let mut unit = program.unit;
            unit.blocks.iter_mut().for_each(optimise);
            after += unit.blocks.iter().map(|b| b.insts.len()).sum::<usize>();
        }
        assert!(after < before, "{after} of {before}");
        assert!(left.iter().all(|n| *n > 200), "faults, exits, ends: {left:?}");
    }
}

/// The shapes cover the table. What is missing: constants are made apart, `lts` is of `bound`, which is left out, and the rest is only
/// written into side tables.
#[test]
fn shapes_cover_the_table() {
    let mut seen: Vec<Op> = Vec::new();
    for mode in [Mode::Long, Mode::Compat32] {
        seen.extend(Shapes::collect(mode, 200_000).ops());
    }
    let missing: Vec<&str> = Op::ALL.iter().filter(|op| !seen.contains(op)).map(|op| op.info().name).collect();
    assert_eq!(missing, ["nop", "const", "lts", "fl.addr", "fl.subr", "bulk"]);
}

/// Looking ahead never says less than analysing the lifted code.
#[test]
fn looking_ahead_is_safe() {
    const PC: u64 = 0x1000;
    let mut rng = Rng::new(5);
    let (mut runs, mut better) = (0, 0);
    while runs < 40_000 {
        let mode = [Mode::Long, Mode::Compat32][runs % 2];
        let mut code = Vec::new();
        for _ in 0..1 + rng.below(5) {
            if let Some(case) = generate(&mut rng, mode) {
                code.extend_from_slice(&case.bytes);
            }
        }
        code.push(0xc3);
        let mut fetch = |at: u64, buf: &mut [u8]| {
            let rest = at.checked_sub(PC).and_then(|o| code.get(o as usize..)).unwrap_or_default();
            let n = rest.len().min(buf.len());
            buf[..n].copy_from_slice(&rest[..n]);
            n
        };
        let block = lift_block(PC, mode, &Limits::default(), &mut fetch);
        for precision in [Precision::Exact, Precision::Relaxed] {
            // Behind a conditional branch the scanner goes on; what is there ends in the same return.
            let said = live_flags(PC, mode, precision, &mut fetch);
            // The return takes no flags along when it makes them good on demand.
            let early = block.marks.is_empty() || block.end < PC + code.len() as u64;
            let end = if early || hands_on(&block, precision) { 0 } else { ARITH };
            let needs = Flow::default().live_in(&block, end, precision);
            assert_eq!(needs & !said, 0, "{code:02x?} {precision:?}: {needs:x} of {said:x}\n{block}");
            better += u32::from(said != ARITH);
        }
        runs += 1;
    }
    assert!(better > 10_000, "{better}");
}
