//! What the analysis of this emitter asks of every operation ([`super::analysis`]), as one table of bits together with what all of them ask.

use crate::class as of_all;
use demotic_ir::ops::{Op, TyRule};
use demotic_ir::ty::Ty;

/// A load.
pub(super) const LOAD: u8 = 1;
/// A store.
pub(super) const STORE: u8 = 2;
/// Operand 0 is an address, in whatever a user's instruction has for one.
pub(super) const ADDRESS: u8 = 4;
/// Emitted by its user in some cases.
pub(super) const LAZY: u8 = 8;
/// Makes flags, or is a selection, which may.
pub(super) const FLAGS: u8 = 16;
/// Takes flags.
pub(super) const TAKES: u8 = 32;
/// Goes when nobody needs its value.
pub(super) const REMOVABLE: u8 = 64;
/// Arithmetic whose results are looked at in batches.
pub(super) const BATCH: u8 = 128;

const LAZY_ONES: [Op; 13] = [
    Op::Const,
    Op::Cond,
    Op::Eq,
    Op::LtU,
    Op::LtS,
    Op::Not,
    Op::Add,
    Op::Zext,
    Op::Shl,
    Op::XFrom,
    Op::VIns,
    Op::VZext,
    Op::VExt,
];

/// The bits of [`of_all`], and those above.
const TABLE: [u32; Op::TABLE.len()] = {
    let mut t = [0; Op::TABLE.len()];
    let mut i = 0;
    while i < t.len() {
        let op = Op::ALL[i];
        let own = match op {
            Op::Ld => LOAD | ADDRESS,
            Op::St => STORE | ADDRESS,
            Op::StUnless => ADDRESS,
            Op::Sel => FLAGS,
            Op::FFmaFl => BATCH,
            _ => 0,
        } | if matches!(Op::TABLE[i].result, TyRule::Is(Ty::Fl)) { FLAGS } else { 0 }
            | if op.takes_flags() { TAKES } else { 0 }
            | if op.is_sse_arithmetic() { BATCH } else { 0 }
            | if Op::TABLE[i].effects.removable() { REMOVABLE } else { 0 };
        t[i] = of_all::TABLE[i] as u32 | (own as u32) << 16;
        i += 1;
    }
    let mut k = 0;
    while k < LAZY_ONES.len() {
        t[LAZY_ONES[k] as usize] |= (LAZY as u32) << 16;
        k += 1;
    }
    t
};

/// What there is to know of an operation: the bits of [`of_all`], and those of this module.
#[inline(always)]
pub(super) fn of(op: Op) -> (u16, u8) {
    let packed = TABLE[op as usize];
    (packed as u16, (packed >> 16) as u8)
}
