//! Any bytes as code in any mode: lifting never fails, what it gives is valid, prints and parses back, and the passes keep it
//! valid.
#![no_main]

use demotic_x86::state::Mode;
use demotic_x86::unit::{self, Limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&first, code)) = data.split_first() else { return };
    let mode = [Mode::Long, Mode::Compat32, Mode::Compat16][usize::from(first) % 3];
    let pc = 0x1000u64;
    let mut fetch = |at: u64, buf: &mut [u8]| {
        let rest = at.checked_sub(pc).and_then(|o| code.get(o as usize..)).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        n
    };
    let mut unit = unit::lift(pc, mode, &Limits::default(), &mut fetch);
    demotic_ir::verify::verify(&unit).expect("lifted code is valid");
    let text = unit.to_string();
    let again = demotic_ir::text::parse_unit(&text).expect("printed code parses");
    assert_eq!(again.to_string(), text);
    unit.blocks.iter_mut().for_each(demotic_ir::passes::optimise);
    demotic_ir::verify::verify(&unit).expect("optimised code is valid");
});
