//! Any text: the IR parser gives a unit or an error, never a panic; so does the verifier on what was parsed.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(unit) = demotic_ir::text::parse_unit(text) {
        if demotic_ir::verify::verify(&unit).is_ok() {
            assert_eq!(demotic_ir::text::parse_unit(&unit.to_string()).map(|u| u.to_string()), Ok(unit.to_string()));
        }
    }
});
