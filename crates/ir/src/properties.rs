//! What traversals ask of operations, as tables derived from the one in [`crate::ops`].

use crate::ops::{Effects, Op, TyRule};
use crate::ty::Ty;

/// How many operands an operation has.
pub(crate) const ARITY: [u8; Op::TABLE.len()] = {
    let mut t = [0; Op::TABLE.len()];
    let mut i = 0;
    while i < t.len() {
        t[i] = Op::TABLE[i].args.len() as u8;
        i += 1;
    }
    t
};
/// What rule the type of its result follows.
pub(crate) const RESULTS: [TyRule; Op::TABLE.len()] = {
    let mut t = [TyRule::T; Op::TABLE.len()];
    let mut i = 0;
    while i < t.len() {
        t[i] = Op::TABLE[i].result;
        i += 1;
    }
    t
};
/// The same as one byte; `None`: the instruction's own type. No operation has an undetermined one.
pub(crate) const RESULT_TYPES: [Option<Ty>; Op::TABLE.len()] = {
    let mut t = [None; Op::TABLE.len()];
    let mut i = 0;
    while i < t.len() {
        t[i] = match Op::TABLE[i].result {
            TyRule::T => None,
            TyRule::Is(ty) => Some(ty),
            TyRule::Int => Some(Ty::None),
        };
        i += 1;
    }
    t
};
/// Its effects.
pub(crate) const EFFECTS: [Effects; Op::TABLE.len()] = {
    let mut t = [Effects::PURE; Op::TABLE.len()];
    let mut i = 0;
    while i < t.len() {
        t[i] = Op::TABLE[i].effects;
        i += 1;
    }
    t
};

/// What the backward traversal asks of every operation: nothing of most.
pub(crate) mod traits {
    /// May raise a guest exception.
    pub(crate) const FAULTS: u8 = 1;
    /// Stays even when nobody uses its result.
    pub(crate) const STAYS: u8 = 2;
    /// Reads, writes or hands on flags.
    pub(crate) const FLAGS: u8 = 4;
    /// Reads or writes a slot by number.
    pub(crate) const SLOT: u8 = 8;
    /// Shows or changes state besides: all slots count as looked at.
    pub(crate) const SHOWS: u8 = 16;
    /// Has more than two operands.
    pub(crate) const MANY: u8 = 32;
}

/// [`traits`] of every operation.
pub(crate) const TRAITS: [u8; Op::TABLE.len()] = {
    let mut t = [0; Op::TABLE.len()];
    let mut i = 0;
    while i < t.len() {
        let effects = EFFECTS[i].0;
        let stays = effects & !8 != 0;
        let flags = TAKES_FLAGS[i]
            || i == Op::Sel as usize
            || i == Op::GetFl as usize
            || i == Op::SetFl as usize
            || i == Op::ExitIf as usize;
        let slot = i == Op::Get as usize || i == Op::GetHi as usize || i == Op::Set as usize || i == Op::SetHi as usize;
        if effects & 1 != 0 {
            t[i] |= traits::FAULTS;
        }
        if stays {
            t[i] |= traits::STAYS;
        }
        if flags {
            t[i] |= traits::FLAGS;
        }
        if slot {
            t[i] |= traits::SLOT;
        }
        if ARITY[i] > 2 {
            t[i] |= traits::MANY;
        }
        if stays && !slot && i != Op::SetFl as usize {
            t[i] |= traits::SHOWS;
        }
        i += 1;
    }
    t
};

/// Whether one of its operands is a flags value.
pub(crate) const TAKES_FLAGS: [bool; Op::TABLE.len()] = {
    let mut t = [false; Op::TABLE.len()];
    let mut i = 0;
    while i < t.len() {
        let mut k = 0;
        while k < Op::TABLE[i].args.len() {
            if let TyRule::Is(Ty::Fl) = Op::TABLE[i].args[k] {
                t[i] = true;
            }
            k += 1;
        }
        i += 1;
    }
    t
};
