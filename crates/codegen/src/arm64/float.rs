//! SSE floating point.

use super::Emit;

impl Emit<'_> {
    pub(super) fn float_op(&mut self, _i: usize) -> bool {
        false
    }
}
