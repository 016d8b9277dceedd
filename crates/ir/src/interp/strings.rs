//! pcmpestri and its family (SDM vol. 2, section 4.1).

use super::V;
use super::int::sext;
use super::vector::{lane, with_lane};
use crate::state::eflags::{CF, OF, SF, ZF};
use crate::ty::Ty;

/// Result of a comparison.
#[derive(Clone, Copy, Debug)]
pub(super) struct Compared {
    /// One bit for each element of the second operand.
    bits: u32,
    ty: Ty,
    imm: u64,
    /// Valid elements of both operands.
    lengths: [u32; 2],
}

/// Compares; lengths in `c` and `d` unless the immediate says that they are implicit.
pub(super) fn compare(imm: u64, a: V, b: V, c: u64, d: u64) -> Compared {
    let ty = if imm & 1 == 0 { Ty::I8 } else { Ty::I16 };
    let n = 128 / ty.bits();
    let implicit = |v: V| (0..n).find(|&k| lane(ty, v, k) == 0).unwrap_or(n);
    let explicit = |x: u64| (x as i64).unsigned_abs().min(u64::from(n)) as u32;
    let lengths = if imm & 0x100 != 0 { [implicit(a), implicit(b)] } else { [explicit(c), explicit(d)] };
    let value = |v: V, k: u32| {
        let x = lane(ty, v, k);
        if imm & 2 != 0 { sext(ty, x) } else { x as i64 }
    };
    let (x, y) = (|i: u32| value(a, i), |j: u32| value(b, j));
    let (xs, ys) = (lengths[0], lengths[1]);
    let found = |j: u32| match imm >> 2 & 3 {
        0 => j < ys && (0..xs).any(|i| x(i) == y(j)),
        1 => j < ys && (0..xs / 2).any(|i| (x(2 * i)..=x(2 * i + 1)).contains(&y(j))),
        2 => j < xs && j < ys && x(j) == y(j) || j >= xs && j >= ys,
        _ => (0..xs.min(n - j)).all(|i| i + j < ys && x(i) == y(i + j)),
    };
    let mut bits = (0..n).fold(0, |bits, j| bits | u32::from(found(j)) << j);
    match imm >> 4 & 3 {
        1 => bits ^= (1 << n) - 1,
        3 => bits ^= (1u32 << ys) - 1,
        _ => {}
    }
    Compared { bits, ty, imm, lengths }
}

impl Compared {
    pub(super) fn index(&self) -> u64 {
        let n = 128 / self.ty.bits();
        u64::from(match (self.bits, self.imm & 0x40) {
            (0, _) => n,
            (bits, 0) => bits.trailing_zeros(),
            (bits, _) => bits.ilog2(),
        })
    }

    pub(super) fn mask(&self) -> V {
        if self.imm & 0x40 == 0 {
            return V::from(u64::from(self.bits));
        }
        let lanes = (0..128 / self.ty.bits()).filter(|k| self.bits >> k & 1 != 0);
        lanes.fold(V::default(), |v, k| with_lane(self.ty, v, k, u64::MAX))
    }

    pub(super) fn flags(&self) -> u32 {
        let n = 128 / self.ty.bits();
        let short = |k: usize, flag: u32| if self.lengths[k] < n { flag } else { 0 };
        let carry = if self.bits != 0 { CF } else { 0 };
        let first = if self.bits & 1 != 0 { OF } else { 0 };
        carry | first | short(1, ZF) | short(0, SF)
    }
}
