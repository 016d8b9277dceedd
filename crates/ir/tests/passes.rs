//! Before/after tests of the passes in the text form, and of the verifier's messages.
//!
//! `passes/*.ir`: a unit, a line `=== PASS` (a pass's name, or `all`), and the unit that comes out. `BLESS=1` rewrites them.

use demotic_ir::passes::{PASSES, optimise};
use demotic_ir::text::parse_unit;
use demotic_ir::verify::verify;
use std::fs;
use std::path::Path;

#[test]
fn before_and_after() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/passes");
    let bless = std::env::var_os("BLESS").is_some();
    let mut count = 0;
    for entry in fs::read_dir(dir).expect("the folder of cases") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("a case");
        let (before, rest) = text.split_once("=== ").unwrap_or_else(|| panic!("{path:?}: no === line"));
        let (name, after) = rest.split_once('\n').expect("a pass name");
        let mut unit = parse_unit(before).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        verify(&unit).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        for block in &mut unit.blocks {
            match PASSES.iter().find(|(n, _)| *n == name.trim()) {
                Some((_, pass)) => pass(block),
                None if name.trim() == "all" => optimise(block),
                None => panic!("{path:?}: no pass {name}"),
            }
        }
        verify(&unit).unwrap_or_else(|e| panic!("{path:?}: the result is not valid: {e}\n{unit}"));
        if bless {
            fs::write(&path, format!("{before}=== {}\n{unit}", name.trim())).expect("written");
        } else {
            assert_eq!(unit.to_string().trim(), after.trim(), "{path:?} (BLESS=1 rewrites)");
        }
        count += 1;
    }
    assert!(count >= 6, "only {count} cases found");
}

#[test]
fn printed_units_parse_back() {
    let text = "unit 32 {
block 0x1000..0x1010 {
  @0x1000+2
  v0 = get.i32 g0
  v1 = const.i32 0x5
  v2 = fl.sub.i32 v0, v1
  setfl.fl cpazso, v2
  @0x1002+6
  v4 = cond.fl ne, v2
  branch v4, 0x1000:0, 0x1010
  deferred 1..3 cz fl.add.i32 v0, v1
}
block 0x1010..0x1012 {
  @0x1010+2
  v0 = get.i16 sel4
  v1 = const.i16 0x4
  service loadseg, 0x1012, v1, v0
}
}
";
    let unit = parse_unit(text).expect("parses");
    verify(&unit).expect("valid");
    assert_eq!(unit.to_string(), text);
}

#[test]
fn verifier_messages() {
    let check = |body: &str, message: &str| {
        let unit = parse_unit(&format!("unit 64 {{\nblock 0x0..0x1 {{\n{body}\n}}\n}}")).expect("parses");
        let error = verify(&unit).expect_err("must be rejected");
        assert!(error.contains(message), "{error}");
    };
    check("v0 = get.i64 g0\nv1 = const.i32 0x1\nv2 = add.i64 v0, v1\njump 0x1", "operand 1 (v1) has type i32");
    check(
        "v0 = const.i64 0x0\nset.i64 g0, v0\nv2 = ld.i64 0x0, v0\njump 0x1",
        "may fault after the instruction changed state",
    );
    check("v0 = const.i64 0x0\nset.i64 fcw, v0\njump 0x1", "slot fcw is narrower");
    check("v0 = const.i64 0x0\nbranch v0, 0x0, 0x1", "not i1");
}

#[test]
fn parser_errors_name_the_line() {
    let error = parse_unit("unit 64 {\nblock 0x0..0x1 {\n  v0 = frobnicate.i64 v1\n}\n}").expect_err("bad op");
    assert!(error.starts_with("line 3"), "{error}");
    // Found by fuzzing: a line of separators only.
    assert!(parse_unit(",").expect_err("no words").starts_with("line 1"));
    assert!(parse_unit("unit 64 {\nblock 0x0..0x1 {\n}\n}").expect_err("no end").contains("no terminal"));
}
