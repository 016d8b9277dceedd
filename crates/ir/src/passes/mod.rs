//! Passes: one file each, `fn run(&mut Block)`, in the order of [`optimise`]. Most simplification happens before, in the builder
//! ([`crate::build::Builder::simplifying`]): what is lifted to be translated is traversed once backward, and once to close up.
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
pub const PASSES: [(&str, Pass); 2] = [("fold", fold::run), ("dead", dead::run)];

/// Runs all passes on a block whose successors nobody looks at.
pub fn optimise(block: &mut Block) {
    for (name, pass) in PASSES {
        pass(block);
        check(name, block);
    }
}

/// The passes that a lifted unit still needs, with [`Precision::Exact`]. `ahead`: the flags that are live at a guest address outside the unit.
pub fn optimise_unit(unit: &mut Unit, ahead: &mut dyn FnMut(u64) -> u32) {
    Optimiser::default().run(unit, Precision::Exact, ahead);
}

/// The same with a choice of precision.
pub fn optimise_unit_with(unit: &mut Unit, precision: Precision, ahead: &mut dyn FnMut(u64) -> u32) {
    Optimiser::default().run(unit, precision, ahead);
}

/// The passes that units need which a simplifying builder wrote, with their tables: whoever translates many units keeps one.
#[derive(Debug, Default)]
pub struct Optimiser {
    live: liveness::Live,
    dead: dead::Dead,
}

impl Optimiser {
    /// Runs the passes on a unit. `ahead`: the flags that are live at a guest address outside the unit.
    pub fn run(&mut self, unit: &mut Unit, precision: Precision, ahead: &mut dyn FnMut(u64) -> u32) {
        self.live.run(unit, precision, ahead);
        self.again(unit, precision);
    }

    /// The same where [`Block::live_out`] is known already, from an earlier run.
    pub fn again(&mut self, unit: &mut Unit, precision: Precision) {
        for block in &mut unit.blocks {
            self.dead.run(block, precision);
            check("dead", block);
        }
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
