//! What the analyses ask of every operation, as one table of bits: most operations are of interest to few of them.

use demotic_ir::ops::{Effects, Op, TyRule};
use demotic_ir::ty::Ty;

/// No effects at all.
pub const PURE: u16 = 1;
/// Shows the state to the guest when it faults or leaves.
pub const SHOWS: u16 = 2;
/// Reads or writes a slot by number.
pub const SLOT: u16 = 4;
/// Reads or writes the flags' home, or leaves by itself.
pub const FLAGS: u16 = 8;
/// Touches the x87 state.
pub const X87: u16 = 16;
/// Shifts or rotates.
pub const SHIFT: u16 = 32;
/// Reads or writes one of the slots behind the registers, by number: not a property of an operation, but of what a block has seen.
pub const FAR_SLOT: u16 = 64;

/// Computes flags, or reads them as a value.
pub const FLAG_VALUE: u16 = 128;

pub(crate) const TABLE: [u16; Op::TABLE.len()] = {
    let mut t = [0; Op::TABLE.len()];
    let mut i = 0;
    while i < t.len() {
        let effects = Op::TABLE[i].effects;
        if effects.0 == Effects::PURE.0 {
            t[i] |= PURE;
        }
        if effects.may_fault() {
            t[i] |= SHOWS;
        }
        if Op::ALL[i].takes_flags() || matches!(Op::TABLE[i].result, TyRule::Is(Ty::Fl)) {
            t[i] |= FLAG_VALUE;
        }
        i += 1;
    }
    let slots = [Op::Get, Op::GetHi, Op::Set, Op::SetHi];
    let mut i = 0;
    while i < slots.len() {
        t[slots[i] as usize] |= SLOT;
        i += 1;
    }
    t[Op::ExitIf as usize] |= SHOWS | FLAGS;
    t[Op::GetFl as usize] |= FLAGS;
    t[Op::SetFl as usize] |= FLAGS;
    let shifts = [Op::Shl, Op::Shr, Op::Sar, Op::Rol, Op::Ror, Op::Rcl, Op::Rcr, Op::ShlD, Op::ShrD];
    let mut i = 0;
    while i < shifts.len() {
        t[shifts[i] as usize] |= SHIFT;
        i += 1;
    }
    let mut i = Op::XChk as usize;
    while i <= Op::XSetPhys as usize {
        t[i] |= X87;
        i += 1;
    }
    t
};

/// The bits of an operation.
#[inline(always)]
pub fn of(op: Op) -> u16 {
    TABLE[op as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_the_operations_say() {
        for &op in Op::ALL {
            let c = of(op);
            assert_eq!(c & PURE != 0, op.effects() == Effects::PURE, "{op:?}");
            assert_eq!(c & SHOWS != 0, op.effects().may_fault() || op == Op::ExitIf, "{op:?}");
            assert!(c & X87 != 0 || !op.touches_x87(), "{op:?}");
        }
    }
}
