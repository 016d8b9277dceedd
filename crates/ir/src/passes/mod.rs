//! Passes: one file each, `fn run(&mut Block)`, in the order of [`optimise`].
//!
//! A pass may not change what the interpreter computes at any exit or fault of the block; in debug builds the verifier
//! runs behind each of them. The one exception are flags that nobody can see behind a block ([`liveness`]).

pub mod dead;
pub mod flags;
pub mod fold;
pub mod liveness;

use crate::block::{Block, Unit};
pub use flags::Precision;

/// A pass.
pub type Pass = fn(&mut Block);

/// The passes in order, with their names.
pub const PASSES: [(&str, Pass); 3] = [("flags", flags::run), ("fold", fold::run), ("dead", dead::run)];

/// Runs all passes on a block whose successors nobody looks at.
pub fn optimise(block: &mut Block) {
    for (name, pass) in PASSES {
        pass(block);
        check(name, block);
    }
}

/// Runs all passes on a unit with [`Precision::Exact`]. `ahead`: the flags that are live at a guest address outside the unit.
pub fn optimise_unit(unit: &mut Unit, ahead: &mut dyn FnMut(u64) -> u32) {
    optimise_unit_with(unit, Precision::Exact, ahead);
}

/// The same with a choice of precision.
pub fn optimise_unit_with(unit: &mut Unit, precision: Precision, ahead: &mut dyn FnMut(u64) -> u32) {
    let (mut flow, mut fold, mut dead) = (flags::Flow::default(), fold::Fold::default(), dead::Dead::default());
    unit.blocks.iter_mut().for_each(flags::forward);
    liveness::run(unit, precision, &mut flow, ahead);
    for block in &mut unit.blocks {
        flags::backward(block, precision, &mut flow);
        check("flags", block);
        fold.run(block);
        check("fold", block);
        dead.run(block);
        check("dead", block);
    }
}

/// In debug builds: the block is still valid.
fn check(name: &str, block: &Block) {
    if cfg!(debug_assertions) {
        if let Err(e) = crate::verify::verify_block(block) {
            panic!("pass {name} broke the block: {e}\n{block}");
        }
    }
}
