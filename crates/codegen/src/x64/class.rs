//! What the analysis of this emitter asks of every operation ([`super::shape`]), as one table of bits together with what all of them ask.

use crate::class as of_all;
use demotic_ir::ops::{Effects, Op};

/// Always lazy when it is pure: constants, flags, conditions.
pub(super) const ALWAYS: u8 = 1;
/// A comparison of two values.
pub(super) const TRUTH: u8 = 2;
/// May be a part of an address.
pub(super) const LINEAR: u8 = 4;
/// Operand 0 is an address.
pub(super) const ADDRESS: u8 = 8;
/// A group may be anchored there.
pub(super) const ANCHOR: u8 = 16;
/// Without effects.
pub(super) const PURE: u8 = 32;
/// Makes flags of integers.
pub(super) const FLAGS: u8 = 64;
/// Takes its operands in a way of its own.
pub(super) const OWN: u8 = 128;

const TABLE: [u8; Op::TABLE.len()] = {
    let mut t = [0; Op::TABLE.len()];
    let lists: [(u8, &[Op]); 6] = [
        (ALWAYS, &[Op::Const, Op::Cond]),
        (TRUTH, &[Op::Eq, Op::LtU, Op::LtS]),
        (OWN, &[Op::Sel, Op::ExitIf, Op::Not, Op::Zext]),
        (LINEAR, &[Op::Add, Op::Sub, Op::Shl, Op::Zext, Op::And]),
        (ADDRESS, &[Op::StUnless, Op::ProbeW, Op::AXchg, Op::AAdd, Op::AAnd, Op::AOr, Op::AXor, Op::ACas]),
        (
            ANCHOR,
            &[
                Op::DivU,
                Op::DivS,
                Op::ACas,
                Op::AAdd,
                Op::AAnd,
                Op::AOr,
                Op::AXor,
                Op::ShlD,
                Op::ShrD,
                Op::Rcl,
                Op::Rcr,
                Op::Add,
                Op::Sub,
                Op::And,
                Op::Or,
                Op::Xor,
                Op::Not,
                Op::Shl,
                Op::Shr,
                Op::Sar,
                Op::Rol,
                Op::Ror,
                Op::Mul,
                Op::FlSub,
                Op::FlAdd,
                Op::FlLogic,
                Op::FLo,
                Op::FFmaFl,
            ],
        ),
    ];
    let mut k = 0;
    while k < lists.len() {
        let mut i = 0;
        while i < lists[k].1.len() {
            t[lists[k].1[i] as usize] |= lists[k].0;
            i += 1;
        }
        k += 1;
    }
    let mut i = 0;
    while i < t.len() {
        if Op::TABLE[i].effects.0 == Effects::PURE.0 {
            t[i] |= PURE;
        }
        if Op::ALL[i].is_flags_of_integers() {
            t[i] |= ALWAYS | FLAGS;
        }
        i += 1;
    }
    t
};

/// The bits of [`of_all`], those above, and the number of operands: one load for all of them.
const PACKED: [u32; Op::TABLE.len()] = {
    let mut t = [0; Op::TABLE.len()];
    let mut i = 0;
    while i < t.len() {
        t[i] = of_all::TABLE[i] as u32 | (TABLE[i] as u32) << 16 | (Op::TABLE[i].args.len() as u32) << 24;
        i += 1;
    }
    t
};

/// What there is to know of an operation: the bits of [`of_all`], those of this module, the number of operands.
#[inline(always)]
pub(super) fn of(op: Op) -> (u16, u8, usize) {
    let packed = PACKED[op as usize];
    (packed as u16, (packed >> 16) as u8, (packed >> 24) as usize)
}
