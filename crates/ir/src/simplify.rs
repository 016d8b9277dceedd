//! Simplification while a block is built: what is known already is not written down again.
//!
//! A read of a slot gives the value that was last written or read there (another operation when the widths differ); a read of the flags
//! gives the value that the last writes left, when that holds all that is wanted; a pure integer operation on constants is a constant; chains
//! of extensions, masks, shifts and additions of constants are one operation. The interpreter itself computes the constants, so folding cannot
//! differ from execution. The same operation done twice is not looked for: in the code of compilers that is one in thousands.
//!
//! What must not happen: that a value which is in a register's home, and nowhere else once the register is written again, gets a new use
//! far behind. Looking through an addition reaches for its operand; that is done only when nothing else uses the addition so far (later
//! instructions see it through a slot, and then its write is a use), or the operand is still in its slot.
//!
//! Everything here is for one [`Builder`], which is asked with the operation known at compile time; blocks that come from elsewhere are
//! written again by [`crate::passes::fold`].

use crate::block::{Inst, Term, Val};
use crate::build::Builder;
use crate::interp::fold;
use crate::ops::Op;
use crate::passes::flags::cond_reads;
use crate::slot::Slot;
use crate::state::eflags::ARITH;
use crate::ty::Ty;

/// How far back an operation may stand through which another one looks.
const CHAIN: usize = 6;

/// A power of two above the number of slots.
const SLOTS: usize = 128;

/// What is known of a slot's content.
#[derive(Clone, Copy, Debug)]
struct Content {
    /// The value in it, as far as its type goes.
    whole: Val,
    /// A narrower read of the same.
    narrow: Val,
    ty: Ty,
    narrow_ty: Ty,
    /// Whether the slot holds nothing but `whole`: a write of 32 bits clears the upper half.
    wide: bool,
}

const UNKNOWN: Content =
    Content { whole: Val::NONE, narrow: Val::NONE, ty: Ty::None, narrow_ty: Ty::None, wide: false };

/// The slots that stay as they are when an operation changes status.
const PLAIN: u128 = (1 << Slot::SYS.0) - 1;

/// What a builder knows at the end of what it has built.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// The slots of which something is known, one bit for each: what the others' contents say is of earlier blocks.
    valid: u128,
    slots: [Content; SLOTS],
    /// The value of the last write of flags and which flags it holds now, then the same of an earlier one.
    last: (Val, u32),
    earlier: (Val, u32),
    /// The flags as they were read after the last write.
    read: Val,
}

impl Default for Known {
    fn default() -> Known {
        let nothing = (Val::NONE, 0);
        Known { valid: 0, slots: [UNKNOWN; SLOTS], last: nothing, earlier: nothing, read: Val::NONE }
    }
}

impl Known {
    /// Nothing is known.
    pub(crate) fn reset(&mut self) {
        self.valid = 0;
        (self.last.1, self.earlier.1, self.read) = (0, 0, Val::NONE);
    }
}

/// Operations on integers, and those that take integers out of vectors.
pub(crate) const fn simplifies(op: Op) -> bool {
    op as u8 >= Op::Add as u8 && op as u8 <= Op::Sel as u8 || matches!(op, Op::VExt | Op::VLow | Op::FlFrom)
}

fn unary(op: Op, ty: Ty, a: Val, imm: u64) -> Inst {
    Inst { op, ty, args: [a, Val::NONE, Val::NONE, Val::NONE], imm }
}

impl Builder {
    #[inline(always)]
    fn def(&self, v: Val) -> &Inst {
        self.block.insts.get(v.index()).unwrap_or(&Inst::NOP)
    }

    #[inline(always)]
    fn const_of(&self, v: Val) -> Option<u64> {
        let inst = self.def(v);
        (inst.op == Op::Const).then_some(inst.imm & inst.ty.mask())
    }

    /// `get`.
    #[inline]
    pub(crate) fn read_slot(&mut self, ty: Ty, imm: u64) -> Val {
        let this = Val(self.block.insts.len() as u16);
        let inst = Inst { op: Op::Get, ty, args: [Val::NONE; 4], imm };
        let Some(known) = &mut self.known else { return self.push(inst) };
        let n = imm as usize % SLOTS;
        let slot = &mut known.slots[n];
        let valid = known.valid >> n & 1 != 0;
        if valid && slot.ty == ty {
            return slot.whole;
        }
        if valid && slot.ty.is_int() && ty.is_int() && (slot.wide || ty <= slot.ty) {
            // Of another width only a constant is worth more than the register itself.
            let whole = self.block.insts[slot.whole.index()];
            if whole.op == Op::Const {
                return self.c(ty, whole.imm & whole.ty.mask());
            }
            if ty > slot.ty {
                (slot.whole, slot.ty) = (this, ty);
            } else if slot.narrow_ty == ty {
                return slot.narrow;
            } else {
                (slot.narrow, slot.narrow_ty) = (this, ty);
            }
        } else {
            known.valid |= 1 << n;
            *slot = Content { whole: this, ty, ..UNKNOWN };
        }
        self.push(inst)
    }

    /// `set`.
    #[inline]
    pub(crate) fn write_slot(&mut self, ty: Ty, v: Val, imm: u64) -> Val {
        if let Some(known) = &mut self.known {
            let n = imm as usize % SLOTS;
            let widest = Slot(imm as u8).ty();
            let full = ty == widest || ty == Ty::I32 && widest == Ty::I64;
            // What was moved from another register is read from this one: that one may change.
            let from = &self.block.insts[v.index()];
            let moved = from.op == Op::Get && from.imm != imm;
            // EFLAGS has fixed bits: what is read back may differ from what was written.
            let knows = full && !moved && n != usize::from(Slot::SYS.0);
            known.valid = known.valid & !(1 << n) | u128::from(knows) << n;
            known.slots[n] = Content { whole: v, ty, wide: true, ..UNKNOWN };
        }
        self.push(Inst { op: Op::Set, ty, args: [v, Val::NONE, Val::NONE, Val::NONE], imm })
    }

    /// `sethi`.
    pub(crate) fn write_high(&mut self, inst: Inst) -> Val {
        if let Some(known) = &mut self.known {
            known.valid &= !(1 << (inst.imm as usize % SLOTS));
        }
        self.push(inst)
    }

    /// What changes status on the side: x87 and SSE operations their status and tag slots.
    pub(crate) fn changes(&mut self, inst: Inst) -> Val {
        if let Some(known) = &mut self.known {
            known.valid &= PLAIN;
        }
        self.push(inst)
    }

    /// What leaves the block on a condition, or changes registers by itself.
    pub(crate) fn leaves(&mut self, inst: Inst) -> Val {
        if self.known.is_some() && inst.op == Op::ExitIf && self.const_of(inst.args[0]) == Some(0) {
            return Val::NONE;
        }
        if let Some(known) = self.known.as_mut().filter(|_| inst.op == Op::Bulk) {
            known.valid = 0;
        }
        self.push(inst)
    }

    /// The value written to the flags that holds the flags `wanted` as they are now.
    #[inline]
    pub(crate) fn written(&self, wanted: u32) -> Option<Val> {
        let known = self.known.as_ref()?;
        let holds = |by: (Val, u32)| (by.1 & wanted == wanted).then_some(by.0);
        holds(known.last).or_else(|| holds(known.earlier))
    }

    /// `getfl`.
    pub(crate) fn read_flags(&mut self, inst: Inst) -> Val {
        if let Some(v) = self.written(ARITH) {
            return v;
        }
        let this = Val(self.block.insts.len() as u16);
        if let Some(known) = &mut self.known {
            if known.read != Val::NONE {
                return known.read;
            }
            known.read = this;
        }
        self.push(inst)
    }

    /// `setfl`.
    #[inline]
    pub(crate) fn write_flags(&mut self, inst: Inst) -> Val {
        if let Some(known) = &mut self.known {
            let mask = inst.imm as u32 & ARITH;
            known.read = Val::NONE;
            let left = known.last.1 & !mask;
            if left != 0 {
                known.earlier = (known.last.0, left);
            } else {
                known.earlier.1 &= !mask;
            }
            known.last = (inst.args[0], mask);
        }
        self.push(inst)
    }

    /// `cond`: of flags that were read back, those that were written.
    #[inline]
    pub(crate) fn condition(&mut self, mut inst: Inst) -> Val {
        if let Some(known) = &self.known {
            if known.read == inst.args[0] {
                if let Some(v) = self.written(cond_reads(inst.imm)) {
                    inst.args[0] = v;
                }
            }
        }
        self.push(inst)
    }

    /// `fl.add`, with a constant second.
    #[inline(always)]
    pub(crate) fn ordered(&mut self, mut inst: Inst) -> Val {
        let [a, b, ..] = inst.args;
        if self.def(a).op == Op::Const && self.known.is_some() && self.def(b).op != Op::Const {
            inst.args.swap(0, 1);
        }
        self.push(inst)
    }

    /// A pure operation on integers. Of two operands, neither a constant, it is what it is.
    #[inline(always)]
    pub(crate) fn integers(&mut self, inst: Inst) -> Val {
        let [a, b, ..] = inst.args;
        if inst.arity() == 2 && self.def(a).op != Op::Const && self.def(b).op != Op::Const && a != b {
            return self.push(inst);
        }
        self.pure(inst.op, inst.ty, inst.args, inst.imm)
    }

    /// Those that may be simpler than they are. By its parts, which come in registers: put together in memory they would be read back before they have
    /// arrived there.
    fn pure(&mut self, op: Op, ty: Ty, mut args: [Val; 4], imm: u64) -> Val {
        if self.known.is_none() {
            return self.push(Inst { op, ty, args, imm });
        }
        if op.arity() == 2 {
            let [a, b, ..] = args;
            let (mut x, mut y) = (self.def(a), self.def(b));
            // Constants stand second.
            if x.op == Op::Const && y.op != Op::Const && commutes(op) {
                (args[0], args[1]) = (b, a);
                (x, y) = (y, x);
            }
            // Nearly always there is nothing to gain.
            let plain = match op {
                Op::And => !matches!(x.op, Op::Zext | Op::And),
                Op::Mul => false,
                _ => true,
            };
            let number = y.op != Op::Const || y.imm != 0 && y.imm != ty.mask();
            if plain && number && x.op != Op::Const && a != b {
                return self.push(Inst { op, ty, args, imm });
            }
        }
        let mut inst = Inst { op, ty, args, imm };
        // Every step looks one operation deeper.
        for _ in 0..4 {
            if let Some(v) = self.identity(&inst) {
                return v;
            }
            if let Some(value) = self.value(&inst) {
                return self.c(inst.result(), value);
            }
            match self.extended(&inst) {
                Some(better) => inst = better,
                None => break,
            }
        }
        self.push(inst)
    }

    /// An operation with a constant as its second operand, which nothing but the result is wanted of: no flags.
    pub(crate) fn by_constant(&mut self, op: Op, a: Val, n: u64) -> Val {
        let ty = self.ty(a);
        let shifts = matches!(op, Op::Shl | Op::Shr);
        let count = if shifts { Ty::I8 } else { ty };
        let (mut a, mut n) = (a, n & count.mask());
        if self.known.is_some() {
            for _ in 0..4 {
                if n == 0 && op != Op::And || n == ty.mask() && op == Op::And {
                    return a;
                }
                let inner = *self.def(a);
                if inner.op == Op::Const {
                    if let Some(value) = fold(op, ty, &[inner.imm & ty.mask(), n], 0) {
                        return self.c(ty, value);
                    }
                }
                if inner.op != op || !self.reaches(a, inner.args[0]) {
                    break;
                }
                let Some(m) = self.const_of(inner.args[1]) else { break };
                n = match op {
                    Op::And => m & n,
                    Op::Or => m | n,
                    Op::Xor => m ^ n,
                    Op::Add => m.wrapping_add(n) & ty.mask(),
                    _ if m + n >= u64::from(ty.bits()) => return self.c(ty, 0),
                    _ => m + n,
                };
                a = inner.args[0];
            }
        }
        let c = self.c(count, n);
        let args = [a, c, Val::NONE, Val::NONE];
        // Of the rest only masks may still be nothing.
        if op == Op::And {
            return self.pure(op, ty, args, 0);
        }
        self.push(Inst { op, ty, args, imm: 0 })
    }

    /// Whether an operation may name `x`, an operand of `a`, instead of `a`; see the module's header.
    fn reaches(&self, a: Val, x: Val) -> bool {
        let from = self.def(x);
        let n = self.block.insts.len();
        let still = || {
            self.known.as_ref().is_some_and(|known| {
                let n = from.imm as usize % SLOTS;
                known.valid >> n & 1 != 0 && known.slots[n].whole == x
            })
        };
        from.op == Op::Const
            || from.op == Op::Get && still()
            || n - a.index() <= CHAIN && self.block.insts[a.index() + 1..].iter().all(|i| !i.args.contains(&a))
    }

    /// Another value that this operation always equals.
    fn identity(&self, inst: &Inst) -> Option<Val> {
        let [a, b, c, _] = inst.args;
        let k = |v: Val| self.const_of(v);
        let def = |v: Val| self.def(v);
        match inst.op {
            Op::Add | Op::Or | Op::Xor | Op::Sub | Op::Shl | Op::Shr | Op::Sar | Op::Rol | Op::Ror
                if k(b) == Some(0) =>
            {
                Some(a)
            }
            Op::And if k(b) == Some(inst.ty.mask()) => Some(a),
            Op::And if k(b) == Some(0) => Some(b),
            Op::And | Op::Or if a == b => Some(a),
            Op::And => {
                // A mask that takes nothing away.
                let x = def(a);
                let width = match x.op {
                    Op::Zext => def(x.args[0]).result().mask(),
                    Op::And => k(x.args[1])?,
                    _ => return None,
                };
                (width & !k(b)? == 0).then_some(a)
            }
            Op::Mul if k(b) == Some(1) => Some(a),
            Op::Mul if k(b) == Some(0) => Some(b),
            Op::Not => (def(a).op == Op::Not).then(|| def(a).args[0]),
            Op::Sel if b == c => Some(b),
            Op::Sel => k(a).map(|x| if x != 0 { b } else { c }),
            Op::Zext if def(a).result() == inst.ty => Some(a),
            Op::Sext if def(a).result() == inst.ty && inst.imm >= u64::from(inst.ty.bits()) => Some(a),
            // What comes back out of a vector it was just put into.
            Op::VExt if inst.imm == 0 && def(a).op == Op::VZext && def(a).ty == inst.ty => Some(def(a).args[0]),
            Op::VLow if def(a).op == Op::VZext || def(a).op == Op::VLow => Some(a),
            Op::FlFrom if def(a).op == Op::FlBits => Some(def(a).args[0]),
            _ => None,
        }
    }

    /// The value of an operation on constants, and of what is zero whatever its operand.
    fn value(&self, inst: &Inst) -> Option<u64> {
        let [a, b, ..] = inst.args;
        if matches!(inst.op, Op::Xor | Op::Sub) && a == b {
            return Some(0);
        }
        let mut args = [self.const_of(a)?, 0, 0, 0];
        for (x, v) in args.iter_mut().zip(inst.operands()).skip(1) {
            *x = self.const_of(*v)?;
        }
        fold(inst.op, inst.ty, &args[..inst.arity()], inst.imm).filter(|_| inst.result().is_int())
    }

    /// One extension for two.
    fn extended(&self, inst: &Inst) -> Option<Inst> {
        if !matches!(inst.op, Op::Zext | Op::Sext) {
            return None;
        }
        let a = inst.args[0];
        let inner = self.def(a);
        if !matches!(inner.op, Op::Zext | Op::Sext) || !self.reaches(a, inner.args[0]) {
            return None;
        }
        let x = inner.args[0];
        let (bits, middle, to) = (self.def(x).result().bits(), inner.ty.bits(), inst.ty.bits());
        let up = inst.imm as u32;
        match (inst.op, inner.op) {
            (Op::Zext, Op::Zext) => (middle >= bits || to <= middle).then(|| unary(Op::Zext, inst.ty, x, 0)),
            // What is cut off need not be made.
            (Op::Zext, _) if to <= inner.imm as u32 => Some(unary(Op::Zext, inst.ty, x, 0)),
            (Op::Zext, _) if to <= middle => Some(unary(Op::Sext, inst.ty, x, inner.imm)),
            (Op::Sext, Op::Zext) => (up <= bits && up <= middle).then(|| unary(Op::Sext, inst.ty, x, inst.imm)),
            (Op::Sext, Op::Sext) if inner.imm <= inst.imm && up <= middle => {
                Some(unary(Op::Sext, inst.ty, x, inner.imm))
            }
            _ => None,
        }
    }

    /// A terminal with what is known of its condition.
    #[inline(always)]
    pub(crate) fn simplified_end(&self, term: Term) -> Term {
        match term {
            Term::Branch { cond, taken, fall } if self.known.is_some() => match self.const_of(cond) {
                Some(c) => Term::Jump(if c != 0 { taken } else { fall }),
                None => term,
            },
            _ => term,
        }
    }
}

/// Whether operands may change places.
fn commutes(op: Op) -> bool {
    matches!(op, Op::Add | Op::And | Op::Or | Op::Xor | Op::Mul | Op::Eq)
}
