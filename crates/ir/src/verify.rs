//! The verifier: types, dominance, effect order, complete terminals.
//!
//! The effect-order rule is what makes state precise: inside one guest instruction nothing may change state before the last
//! operation that can fault. A fault then always finds the state of the instruction's beginning.

use crate::block::{Block, Term, Unit, Val};
use crate::ops::{ImmKind, Op, TyRule};
use crate::slot::Slot;
use crate::ty::Ty;

/// Checks a unit; the error names block, instruction and rule.
pub fn verify(unit: &Unit) -> Result<(), String> {
    for (n, block) in unit.blocks.iter().enumerate() {
        verify_block(block).map_err(|e| format!("block {n} at {:#x}: {e}", block.pc))?;
        let mut term = block.term;
        for edge in term.edges_mut() {
            if let Some(b) = edge.block {
                match unit.blocks.get(b as usize) {
                    Some(target) if target.pc == edge.pc => {}
                    _ => return Err(format!("block {n}: edge to {:#x} is linked to the wrong block {b}", edge.pc)),
                }
            }
        }
    }
    Ok(())
}

/// Checks one block.
pub fn verify_block(block: &Block) -> Result<(), String> {
    let mut changed = false;
    let mut marks = block.marks.iter().peekable();
    for (i, inst) in block.insts.iter().enumerate() {
        while marks.next_if(|m| usize::from(m.first) <= i).is_some() {
            changed = false;
        }
        let info = inst.op.info();
        let err = |what: String| Err(format!("v{i} = {}.{}: {what}", info.name, inst.ty.name()));
        for (k, (&arg, &rule)) in inst.args.iter().zip(info.args).enumerate() {
            let Some(def) = block.insts.get(arg.index()).filter(|_| arg.index() < i) else {
                return err(format!("operand {k} (v{}) is not defined before", arg.0));
            };
            let is = def.result();
            let fits = match rule {
                TyRule::T => is == lane_value(inst.ty),
                TyRule::Is(t) => is == t,
                TyRule::Int => is.is_int(),
            };
            if !fits {
                return err(format!("operand {k} (v{}) has type {}", arg.0, is.name()));
            }
        }
        if inst.args[info.args.len()..].iter().any(|&a| a != Val::NONE) {
            return err("too many operands".into());
        }
        if info.imm == ImmKind::Slot {
            let slot = Slot(inst.imm as u8);
            if inst.imm >= u64::from(Slot::COUNT) {
                return err(format!("no slot {}", inst.imm));
            }
            if inst.ty.bits() > slot.ty().bits() && !matches!(inst.op, Op::GetHi | Op::SetHi) {
                return err(format!("slot {} is narrower", slot.name()));
            }
        }
        if info.imm == ImmKind::Cond && inst.imm > 15 {
            return err("condition code above 15".into());
        }
        if info.effects.may_fault() && changed {
            return err("may fault after the instruction changed state".into());
        }
        changed |= info.effects.changes_state();
    }
    for v in block.term.operands() {
        if v != Val::NONE && v.index() >= block.insts.len() {
            return Err(format!("the terminal uses v{}, which is not defined", v.0));
        }
    }
    let ty = |v: Val| block.insts.get(v.index()).map_or(Ty::None, |i| i.result());
    match block.term {
        Term::Branch { cond, .. } if ty(cond) != Ty::I1 => Err("the branch condition is not i1".into()),
        Term::Indirect { target, .. } if ty(target) != Ty::I64 => Err("the branch target is not i64".into()),
        _ => Ok(()),
    }
}

/// Scalar operands of vector operations with floating lanes are integer images.
fn lane_value(ty: Ty) -> Ty {
    match ty {
        Ty::F32 => Ty::I32,
        Ty::F64 => Ty::I64,
        t => t,
    }
}
