//! Vectors of integers.

use super::Emit;

impl Emit<'_> {
    pub(super) fn vector_op(&mut self, _i: usize) -> bool {
        false
    }
}
