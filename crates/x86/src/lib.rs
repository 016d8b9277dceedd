//! Guest bytes -> IR.
#![forbid(unsafe_code)]
pub use demotic_ir::state;
