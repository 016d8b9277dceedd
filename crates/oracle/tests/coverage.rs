//! `docs/instructions.md` says what the generator and the tables give today.

use demotic_oracle::coverage;

#[test]
fn the_table_of_instructions_is_fresh() {
    let committed = include_str!("../../../docs/instructions.md");
    let fresh = coverage::table(&coverage::forms(coverage::ATTEMPTS));
    let differs = fresh.lines().zip(coverage::checked(committed).lines()).find(|(a, b)| a != b);
    if let Some((now, then)) = differs {
        panic!("now:       {now}\ncommitted: {then}\n(cargo xtask oracle --write docs/instructions.md)");
    }
    assert_eq!(fresh, coverage::checked(committed));
}
