//! The language between guest and host.
#![forbid(unsafe_code)]
pub mod state;
