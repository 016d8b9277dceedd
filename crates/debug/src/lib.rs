//! Looking inside: what Demotic makes of a piece of guest code.
#![forbid(unsafe_code)]

pub mod cost;
pub mod dump;
pub mod host;
pub mod program;
