//! The language between guest and host.
//!
//! Small, typed, linear. Inside a block values are SSA; general registers, vectors, flags and the x87 stack are numbered
//! variables ([`slot::Slot`]) that live between blocks. One table ([`ops`]) says everything about an operation; the
//! interpreter ([`interp`]) is the executable definition of its meaning, and a back end is wrong if it differs from it.
//!
//! This crate is pure: no IO, no threads, no clock, no globals, no `unsafe`. It knows no host, and of the guest only the
//! layout of its state ([`state`]).
#![forbid(unsafe_code)]

pub mod block;
pub mod build;
pub mod interp;
pub mod ops;
pub mod passes;
mod properties;
mod simplify;
pub mod slot;
pub mod state;
pub mod text;
pub mod ty;
pub mod verify;
pub mod xstate;
