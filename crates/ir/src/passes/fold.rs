//! Constant folding, slot forwarding and local simplification inside a block.
//!
//! A pure integer operation on constants becomes a constant; a read of a slot takes the value that was last written or read there (cut
//! or extended when the widths differ); chains of extensions, masks, shifts and additions of constants become one operation; the same
//! operation on the same operands shortly before is used again. The interpreter itself computes the constants, so folding cannot differ
//! from execution.
//!
//! What must not happen: that a value which is in a register's home, and nowhere else once the register is written again, gets a new use
//! far behind. Looking through an addition reaches for its operand; that is done only when the addition itself has no other use, or the
//! operand is still in its slot.

use crate::block::{Block, Inst, Term, Val};
use crate::interp::fold;
use crate::ops::{Effects, Op};
use crate::slot::Slot;
use crate::ty::Ty;

/// How far back the same operation may stand.
const WINDOW: usize = 12;

/// Entries of the table of operations seen; a power of two.
const SEEN: usize = 64;

/// Runs the pass.
pub fn run(block: &mut Block) {
    Fold::default().run(block);
}

/// The pass with its tables, to be used for many blocks.
#[derive(Debug)]
pub struct Fold {
    /// What every value is now called.
    now: Vec<Val>,
    /// How many operands name each of them (too many rather than too few).
    uses: Vec<u16>,
    /// The last operation with a certain hash: where the same one may have been computed before.
    seen: [u16; SEEN],
}

impl Default for Fold {
    fn default() -> Fold {
        Fold { now: Vec::new(), uses: Vec::new(), seen: [u16::MAX; SEEN] }
    }
}

impl Fold {
    /// Runs the pass.
    pub fn run(&mut self, block: &mut Block) {
        let n = block.insts.len();
        let names = self;
        names.now.clear();
        names.now.extend((0..n as u16).map(Val));
        names.uses.clear();
        names.uses.resize(n, 0);
        names.seen = [u16::MAX; SEEN];
        for inst in &block.insts {
            inst.operands().iter().for_each(|v| names.used(*v, 1));
        }
        for d in &block.deferred {
            d.def.operands().iter().for_each(|v| names.used(*v, 1));
        }
        block.term.operands().iter().for_each(|v| names.used(*v, 1));
        // The value known to be in a slot, with its type.
        let mut known: Slots = [None; Slot::COUNT as usize];
        // A narrower read of the same.
        let mut narrow: Slots = [None; Slot::COUNT as usize];
        // Whether the slot holds nothing but that value: a write of 32 bits clears the upper half.
        let mut wide = [false; Slot::COUNT as usize];
        for i in 0..n {
            for k in 0..block.insts[i].arity() {
                let v = block.insts[i].args[k];
                let now = names.now[v.index()];
                // Mostly nothing changes, and a small write before the wide read below stalls the processor.
                if now != v {
                    block.insts[i].args[k] = now;
                }
            }
            let inst = block.insts[i];
            match inst.op {
                Op::Get => {
                    let slot = inst.imm as usize;
                    match known[slot] {
                        Some((v, ty)) if ty == inst.ty => names.rename(i, v),
                        // Of another width only a constant is worth more than the register itself.
                        Some((v, ty)) if ty.is_int() && inst.ty.is_int() && (wide[slot] || inst.ty <= ty) => {
                            if let Some(c) = const_of(block, v) {
                                let imm = c & inst.ty.mask();
                                block.insts[i] = Inst { op: Op::Const, ty: inst.ty, args: [Val::NONE; 4], imm };
                            } else if inst.ty > ty {
                                known[slot] = Some((Val(i as u16), inst.ty));
                            } else {
                                match narrow[slot] {
                                    Some((v, ty)) if ty == inst.ty => names.rename(i, v),
                                    _ => narrow[slot] = Some((Val(i as u16), inst.ty)),
                                }
                            }
                        }
                        _ => {
                            known[slot] = Some((Val(i as u16), inst.ty));
                            wide[slot] = false;
                        }
                    }
                }
                Op::Set => {
                    let slot = inst.imm as usize;
                    let full = replaces(inst.ty, slot);
                    // EFLAGS has fixed bits: what is read back may differ from what was written.
                    known[slot] = (full && Slot(slot as u8) != Slot::SYS).then_some((inst.args[0], inst.ty));
                    wide[slot] = full;
                    narrow[slot] = None;
                    // What was moved from another register is read from this one: that one may change.
                    let moved = &block.insts[inst.args[0].index()];
                    if moved.op == Op::Get && moved.imm != inst.imm {
                        known[slot] = None;
                    }
                }
                Op::SetHi => {
                    known[inst.imm as usize] = None;
                    narrow[inst.imm as usize] = None;
                }
                _ if inst.op.effects().changes_state() => {
                    // x87 and SSE operations change their status and tag slots on the side.
                    known[usize::from(Slot::SYS.0)..].iter_mut().for_each(|k| *k = None);
                    narrow[usize::from(Slot::SYS.0)..].iter_mut().for_each(|k| *k = None);
                }
                Op::ExitIf if const_of(block, inst.args[0]) == Some(0) => block.insts[i] = Inst::NOP,
                _ => simplify(block, i, &known, names),
            }
        }
        for v in block.term.operands_mut().filter(|v| **v != Val::NONE) {
            *v = names.now[v.index()];
        }
        if let Term::Branch { cond, taken, fall } = block.term {
            if let Some(c) = const_of(block, cond) {
                block.term = Term::Jump(if c != 0 { taken } else { fall });
            }
        }
        for d in &mut block.deferred {
            let arity = d.def.arity();
            d.def.args[..arity].iter_mut().for_each(|v| *v = names.now[v.index()]);
        }
    }

    fn used(&mut self, v: Val, times: u16) {
        if let Some(u) = self.uses.get_mut(v.index()) {
            *u = u.saturating_add(times);
        }
    }
    /// Operation `i` computes nothing but `v`.
    fn rename(&mut self, i: usize, v: Val) {
        self.now[i] = v;
        self.used(v, self.uses[i]);
    }
}

type Slots = [Option<(Val, Ty)>; Slot::COUNT as usize];

/// Makes operation `i` simpler, or finds that it is another value.
fn simplify(block: &mut Block, i: usize, known: &Slots, names: &mut Fold) {
    let op = block.insts[i].op;
    if op == Op::Const || op.effects() != Effects::PURE {
        return;
    }
    order(block, i);
    // Every step looks one operation deeper. Flags and vectors are hardly ever known.
    for _ in 0..if simplifies(op) { 4 } else { 0 } {
        let inst = block.insts[i];
        if let Some(v) = identity(block, &inst) {
            names.rename(i, v);
            return;
        }
        constant(block, i);
        if block.insts[i].op == Op::Const {
            return;
        }
        match chain(block, i, known, names) {
            Some(better) => {
                block.insts[i] = better;
                better.operands().iter().for_each(|v| names.used(*v, 1));
            }
            None => break,
        }
    }
    let inst = &block.insts[i];
    let [a, b, ..] = inst.args;
    let key = (inst.op as usize).wrapping_mul(7) ^ usize::from(a.0).wrapping_mul(5) ^ usize::from(b.0).wrapping_mul(19);
    let at = usize::from(std::mem::replace(&mut names.seen[(key ^ inst.imm as usize) % SEEN], i as u16));
    if at < i && i - at <= WINDOW && block.insts[at] == *inst {
        names.rename(i, Val(at as u16));
    }
}

/// Operations on integers, and those that take integers out of vectors.
fn simplifies(op: Op) -> bool {
    (Op::Add as u8..=Op::Sel as u8).contains(&(op as u8)) || matches!(op, Op::VExt | Op::VLow | Op::FlFrom)
}

fn unary(op: Op, ty: Ty, a: Val, imm: u64) -> Inst {
    Inst { op, ty, args: [a, Val::NONE, Val::NONE, Val::NONE], imm }
}

/// Constants stand second.
fn order(block: &mut Block, i: usize) {
    let [a, b, ..] = block.insts[i].args;
    let swaps = matches!(block.insts[i].op, Op::Add | Op::And | Op::Or | Op::Xor | Op::Mul | Op::Eq | Op::FlAdd);
    if swaps && const_of(block, a).is_some() && const_of(block, b).is_none() {
        block.insts[i].args.swap(0, 1);
    }
}

/// Whether a write of this type leaves nothing of the slot's old value.
fn replaces(ty: Ty, slot: usize) -> bool {
    let full = Slot(slot as u8).ty();
    ty == full || ty == Ty::I32 && full == Ty::I64
}

fn const_of(block: &Block, v: Val) -> Option<u64> {
    let inst = block.insts.get(v.index())?;
    (inst.op == Op::Const).then_some(inst.imm & inst.ty.mask())
}

/// Another value that this operation always equals.
fn identity(block: &Block, inst: &Inst) -> Option<Val> {
    let [a, b, c, _] = inst.args;
    let k = |v: Val| const_of(block, v);
    let def = |v: Val| block.insts[v.index()];
    match inst.op {
        Op::Add | Op::Or | Op::Xor | Op::Sub | Op::Shl | Op::Shr | Op::Sar | Op::Rol | Op::Ror if k(b) == Some(0) => {
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

/// One operation for two.
fn chain(block: &mut Block, i: usize, known: &Slots, names: &Fold) -> Option<Inst> {
    let inst = block.insts[i];
    let [a, b, ..] = inst.args;
    if matches!(inst.op, Op::Xor | Op::Sub) && a == b {
        return Some(Inst { op: Op::Const, ty: inst.ty, args: [Val::NONE; 4], imm: 0 });
    }
    let inner = *block.insts.get(a.index())?;
    if !matches!(inner.op, Op::Zext | Op::Sext | Op::And | Op::Or | Op::Xor | Op::Add | Op::Shl | Op::Shr) {
        return None;
    }
    let x = inner.args[0];
    let from = block.insts.get(x.index())?;
    // Whether the inner operand may get another use; see the module's header.
    let still = from.op == Op::Const || from.op == Op::Get && known[from.imm as usize].is_some_and(|(v, _)| v == x);
    if !still && names.uses[a.index()] > 1 {
        return None;
    }
    let (bits, middle, to) = (from.result().bits(), inner.ty.bits(), inst.ty.bits());
    let up = inst.imm as u32;
    match (inst.op, inner.op) {
        (Op::Zext, Op::Zext) => (middle >= bits || to <= middle).then(|| unary(Op::Zext, inst.ty, x, 0)),
        // What is cut off need not be made.
        (Op::Zext, Op::Sext) if to <= inner.imm as u32 => Some(unary(Op::Zext, inst.ty, x, 0)),
        (Op::Zext, Op::Sext) if to <= middle => Some(unary(Op::Sext, inst.ty, x, inner.imm)),
        (Op::Sext, Op::Zext) => (up <= bits && up <= middle).then(|| unary(Op::Sext, inst.ty, x, inst.imm)),
        (Op::Sext, Op::Sext) if inner.imm <= inst.imm && up <= middle => Some(unary(Op::Sext, inst.ty, x, inner.imm)),
        (Op::And | Op::Or | Op::Xor | Op::Add | Op::Shl | Op::Shr, op) if op == inst.op => {
            // The flags of an operation stand behind it and go by its own operands.
            let next = block.insts.get(i + 1).map_or(Op::Nop, |n| n.op);
            let flags = matches!(next, Op::FlAdd | Op::FlSub | Op::FlAdc | Op::FlSbb | Op::FlShl | Op::FlShr);
            // Nothing can be inserted: the sum replaces a constant that nobody else uses.
            if flags || names.uses[b.index()] > 1 {
                return None;
            }
            let (m, n) = (const_of(block, inner.args[1])?, const_of(block, b)?);
            let both = match op {
                Op::And => m & n,
                Op::Or => m | n,
                Op::Xor => m ^ n,
                Op::Add => m.wrapping_add(n) & inst.ty.mask(),
                _ if m + n >= u64::from(to) => {
                    return Some(Inst { op: Op::Const, ty: inst.ty, args: [Val::NONE; 4], imm: 0 });
                }
                _ => m + n,
            };
            block.insts[b.index()].imm = both;
            Some(Inst { args: [x, b, Val::NONE, Val::NONE], ..inst })
        }
        _ => None,
    }
}

/// Replaces an operation on constants by its value.
fn constant(block: &mut Block, i: usize) {
    let inst = block.insts[i];
    if inst.op == Op::Const || inst.arity() == 0 || !inst.result().is_int() {
        return;
    }
    let mut args = [0; 4];
    for (x, v) in args.iter_mut().zip(inst.operands()) {
        match const_of(block, *v) {
            Some(c) => *x = c,
            None => return,
        }
    }
    if let Some(value) = fold(inst.op, inst.ty, &args[..inst.arity()], inst.imm) {
        block.insts[i] = Inst { op: Op::Const, ty: inst.result(), args: [Val::NONE; 4], imm: value };
    }
}
