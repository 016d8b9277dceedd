//! Any bytes as code in any mode, with fixed seeds: lifting never fails, what it gives is valid, prints and parses back, and
//! the passes keep it valid. The open-ended form is `fuzz/fuzz_targets/lift.rs`.

use demotic_ir::text::parse_unit;
use demotic_ir::verify::verify;
use demotic_oracle::generate::Rng;
use demotic_x86::state::Mode;
use demotic_x86::unit::{self, Limits};

#[test]
fn any_bytes_lift_to_valid_units() {
    const PC: u64 = 0x1000;
    let mut rng = Rng::new(7);
    let (mut operations, mut left) = (0, 0);
    for round in 0..12_000 {
        let mode = [Mode::Long, Mode::Compat32, Mode::Compat16][round % 3];
        let code: Vec<u8> = (0..1 + rng.below(60)).map(|_| rng.bits() as u8).collect();
        let mut fetch = |at: u64, buf: &mut [u8]| {
            let rest = at.checked_sub(PC).and_then(|o| code.get(o as usize..)).unwrap_or_default();
            let n = rest.len().min(buf.len());
            buf[..n].copy_from_slice(&rest[..n]);
            n
        };
        let mut unit = unit::lift(PC, mode, &Limits::default(), &mut fetch);
        verify(&unit).unwrap_or_else(|e| panic!("{code:02x?}: {e}\n{unit}"));
        operations += unit.blocks.iter().map(|b| b.insts.len()).sum::<usize>();
        unit.blocks.iter_mut().for_each(demotic_ir::passes::optimise);
        verify(&unit).unwrap_or_else(|e| panic!("{code:02x?}, optimised: {e}\n{unit}"));
        left += unit.blocks.iter().map(|b| b.insts.len()).sum::<usize>();
        let text = unit.to_string();
        let again = parse_unit(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert_eq!(again.to_string(), text);
    }
    assert!(left < operations, "the passes remove something: {left} of {operations}");
}
