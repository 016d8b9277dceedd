//! IR -> host code.
//!
//! The contract of the emitters, one per host: a function from an IR unit and a description of the host ([`target`]) to
//! position-independent bytes and side tables ([`meta`]). There is no emitter yet: the engine runs units with the IR
//! interpreter, and [`Emitter`] is what `arm64` and `x64` will implement.
//!
//! Architecture invariants: guests are known only as numbered slots; pure (the same unit and target give the same bytes).
#![forbid(unsafe_code)]

pub mod meta;
pub mod target;

use demotic_ir::block::Unit;

/// What an emitter makes of a unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Compiled {
    /// Position-independent host code.
    pub code: Vec<u8>,
    /// Offset of every block's entry in `code`, in the order of [`Unit::blocks`].
    pub entries: Vec<u32>,
    /// From host code offsets back to guest instructions.
    pub positions: meta::Positions,
}

/// Why a unit was not emitted; the interpreter runs it instead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Error {
    /// An operation that this emitter does not have.
    Missing(&'static str),
    /// A branch out of reach: the unit is too large.
    TooLarge(demotic_asm::buffer::Error),
}

/// One host's code generator.
pub trait Emitter {
    /// Emits a unit for a target.
    ///
    /// # Errors
    /// See [`Error`].
    fn emit(&self, unit: &Unit, target: &target::Target) -> Result<Compiled, Error>;
}
