//! Passes: one file each, `fn run(&mut Block)`, in the order of [`optimise`].
//!
//! A pass may not change what the interpreter computes at any exit or fault of the block; in debug builds the verifier
//! runs behind each of them.

pub mod dead;
pub mod flags;
pub mod fold;

use crate::block::Block;

/// A pass.
pub type Pass = fn(&mut Block);

/// The passes in order, with their names.
pub const PASSES: [(&str, Pass); 3] = [("flags", flags::run), ("fold", fold::run), ("dead", dead::run)];

/// Runs all passes.
pub fn optimise(block: &mut Block) {
    for (name, pass) in PASSES {
        pass(block);
        if cfg!(debug_assertions) {
            if let Err(e) = crate::verify::verify_block(block) {
                panic!("pass {name} broke the block: {e}\n{block}");
            }
        }
    }
}
