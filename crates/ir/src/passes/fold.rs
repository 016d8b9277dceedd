//! Constant folding and slot forwarding inside a block.
//!
//! A pure integer operation on constants becomes a constant; a few identities go; a full-width read of a slot takes the
//! value that was last written or read there. The interpreter itself computes the constants, so folding cannot differ from
//! execution.

use crate::block::{Block, Inst, Val};
use crate::interp::fold;
use crate::ops::Op;
use crate::slot::Slot;
use crate::ty::Ty;

/// Runs the pass.
pub fn run(block: &mut Block) {
    let n = block.insts.len();
    // What each value is now called.
    let mut now: Vec<Val> = (0..n as u16).map(Val).collect();
    // The value known to be in a slot, with its type.
    let mut known: [Option<(Val, Ty)>; Slot::COUNT as usize] = [None; Slot::COUNT as usize];
    for i in 0..n {
        for k in 0..block.insts[i].arity() {
            let v = block.insts[i].args[k];
            block.insts[i].args[k] = now[v.index()];
        }
        let inst = block.insts[i];
        match inst.op {
            Op::Get => {
                let slot = inst.imm as usize;
                match known[slot] {
                    Some((v, ty)) if ty == inst.ty => now[i] = v,
                    _ if replaces(inst.ty, slot) => known[slot] = Some((Val(i as u16), inst.ty)),
                    _ => {}
                }
            }
            Op::Set => {
                let slot = inst.imm as usize;
                let full = replaces(inst.ty, slot);
                // EFLAGS has fixed bits: what is read back may differ from what was written.
                known[slot] = (full && Slot(slot as u8) != Slot::SYS).then_some((inst.args[0], inst.ty));
            }
            Op::SetHi => known[inst.imm as usize] = None,
            _ if inst.op.info().effects.changes_state() => {
                // x87 and SSE operations change their status and tag slots on the side.
                known[usize::from(Slot::SYS.0)..].iter_mut().for_each(|k| *k = None);
            }
            _ => {
                if let Some(v) = identity(block, &inst) {
                    now[i] = v;
                } else {
                    constant(block, i);
                }
            }
        }
    }
    for v in block.term.operands_mut().filter(|v| **v != Val::NONE) {
        *v = now[v.index()];
    }
    for d in &mut block.deferred {
        let arity = d.def.arity();
        d.def.args[..arity].iter_mut().for_each(|v| *v = now[v.index()]);
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
    match inst.op {
        Op::Add | Op::Or | Op::Xor | Op::Sub | Op::Shl | Op::Shr | Op::Sar | Op::Rol | Op::Ror if k(b) == Some(0) => {
            Some(a)
        }
        Op::Add | Op::Or | Op::Xor if k(a) == Some(0) => Some(b),
        Op::And if k(b) == Some(inst.ty.mask()) => Some(a),
        Op::And | Op::Or if a == b => Some(a),
        Op::Sel if b == c => Some(b),
        Op::Sel => k(a).map(|x| if x != 0 { b } else { c }),
        Op::Zext | Op::Sext if block.insts[a.index()].result() == inst.ty => Some(a),
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
