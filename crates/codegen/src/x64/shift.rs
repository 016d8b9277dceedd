//! `shld`, `shrd`, `rcl`, `rcr` as themselves, with their flags.
//!
//! A count in CL may be 0, which leaves all flags alone; on the host as well, so the old flags have to be in RFLAGS before. Other forms (16 bits,
//! a count elsewhere) are the interpreter's.

use super::shape::{Group, Shape, constant, in_slot};
use super::unit::Emit;
use super::values::At;
use super::{Home, home};
use crate::plan;
use demotic_asm::x64::int::Shift;
use demotic_asm::x64::{Reg, Rm, Size};
use demotic_ir::block::{Block, Val};
use demotic_ir::ops::Op;
use demotic_ir::slot::Slot;
use demotic_ir::state::eflags::{ARITH, CF, OF};
use demotic_ir::ty::Ty;

/// The flags operation of a shift.
fn flags_of(op: Op) -> Op {
    match op {
        Op::ShlD => Op::FlShlD,
        Op::ShrD => Op::FlShrD,
        Op::Rcl => Op::FlRcl,
        _ => Op::FlRcr,
    }
}

fn clobbers(op: Op) -> u32 {
    if matches!(op, Op::Rcl | Op::Rcr) { CF | OF } else { ARITH }
}

/// Whether CL holds the low bits of `v` when the operation at `i` is executed.
pub(super) fn in_cl(block: &Block, i: usize, v: Val) -> bool {
    let x = &block.insts[v.index()];
    let whole = if x.op == Op::Zext { x.args[0] } else { v };
    in_slot(block, i, v, 1) || in_slot(block, i, whole, 1)
}

/// Masked counts that the host takes from CL have no code of their own.
pub(super) fn counts(shape: &mut Shape, block: &Block) {
    for (i, inst) in block.insts.iter().enumerate() {
        let count = match inst.op {
            Op::Shl | Op::Shr | Op::Sar | Op::Rol | Op::Ror | Op::Rcl | Op::Rcr => inst.args[1],
            Op::ShlD | Op::ShrD => inst.args[2],
            _ => continue,
        };
        let c = count.index();
        let def = &block.insts[c];
        if shape.lazy(c) || def.op != Op::And || constant(block, def.args[1]).is_none() {
            continue;
        }
        let near = block.insts[i..].iter().take(6);
        let uses: usize = near.map(|x| x.operands().iter().filter(|v| **v == count).count()).sum();
        if uses == usize::from(shape.plan.of[c].uses) && in_cl(block, i, def.args[0]) {
            shape.set_lazy(c);
        }
    }
}

/// Looks for a group at the operation at `i`.
pub(super) fn find(shape: &mut Shape, block: &Block, i: usize) {
    let inst = block.insts[i];
    if !matches!(inst.ty, Ty::I32 | Ty::I64) || shape.lazy(i) {
        return;
    }
    let mut g = Group { end: i, ..Group::default() };
    for k in i + 1..block.insts.len().min(i + 8) {
        let x = block.insts[k];
        match x.op {
            op if op == flags_of(inst.op) && x.args[..3] == inst.args[..3] && x.ty == inst.ty && g.fl.is_none() => {
                g.fl = Some(k);
            }
            Op::Set if x.args[0].index() == i && g.set.is_none() && x.imm < 16 && x.ty == inst.ty => {
                if !plan::replaces(x.ty, Slot(x.imm as u8)) {
                    break;
                }
                g.set = Some(k);
                g.end = k;
            }
            Op::SetFl if g.fl == Some(x.args[0].index()) => {
                let mask = x.imm as u32 & ARITH;
                if shape.plan.flags_home(k + 1) & !mask & clobbers(inst.op) == 0 {
                    g.setfl = Some(k);
                    g.end = k;
                }
                break;
            }
            // The old flags, for this operation alone.
            Op::GetFl if shape.plan.of[k].uses <= 1 => {}
            Op::Const | Op::Nop => {}
            _ if shape.lazy(k) => {}
            _ => break,
        }
    }
    if g.setfl.is_none() {
        g.fl = None;
    }
    // Read on the way, the flags are no longer what they were.
    let stale = |k: usize| block.insts[k].op == Op::GetFl && shape.plan.of[k].uses == 1 && g.fl.is_none();
    if (i..g.end).any(stale) {
        return;
    }
    [g.fl, g.setfl, g.set].into_iter().flatten().for_each(|k| shape.set_member(k, true));
    shape.anchor(i, g);
}

impl Emit<'_> {
    /// Emits such a group.
    pub(super) fn shift_more(&mut self, i: usize, g: &Group) {
        let inst = self.b.insts[i];
        let double = matches!(inst.op, Op::ShlD | Op::ShrD);
        let (a, count) = (inst.args[0], if double { inst.args[2] } else { inst.args[1] });
        let width = u64::from(inst.ty.bits());
        let size = Size::of_bits(inst.ty.bits());
        let set_mask = g.setfl.map_or(0, |s| self.b.insts[s].imm as u32 & ARITH);
        let known = self.constant(count);
        let fits = match known {
            Some(n) => n > 0 && n < width,
            None => self.counts_in_cl(i, count, width),
        };
        if !fits {
            return self.group_by_helper(i, g);
        }
        // What a count of 0 leaves, and the carry, have to be in place.
        let wanted = g.fl.map_or(0, |f| self.shape.plan.flags_home(g.end + 1) & set_mask | self.reads_of(f, g));
        if known.is_none() && wanted & !self.rf.home != 0 || !double {
            self.restore_flags(i.saturating_sub(1));
        }
        let old = g.fl.map(|f| self.b.insts[f].args[3]);
        let kept = match old {
            Some(old) if known.is_none() => {
                let home = self.b.insts[old.index()].op == Op::GetFl && wanted & !self.rf.home == 0;
                if old.index() > i { home } else { self.flags_ready(old, wanted) }
            }
            _ => true,
        };
        let carry = !double && {
            let c = self.b.insts[inst.args[2].index()];
            self.at(inst.args[2]) == At::Lazy && c.op == Op::Cond && c.imm == 2 && self.flags_ready(c.args[0], CF)
        };
        if !kept || !double && !carry {
            return self.group_by_helper(i, g);
        }
        let b = if double { Some(self.reg(inst.args[1])) } else { None };
        let clobbers = clobbers(inst.op);
        let slot = g.set.map(|s| self.b.insts[s].imm as u8);
        let in_place = slot.and_then(|s| match home(self.long, s) {
            Home::Gpr(r) if self.at(a) == At::Home(s) => Some(r),
            _ => None,
        });
        let d = match in_place {
            Some(r) => {
                self.clobber_home(slot.unwrap_or(0), g.end);
                r
            }
            None => {
                let t = self.temp();
                self.load_into(a, t);
                t
            }
        };
        self.before_flags(clobbers, g.end, set_mask);
        self.sync();
        let dst = Rm::Reg(d.0);
        let right = matches!(inst.op, Op::ShrD | Op::Rcr);
        let op = if right { Shift::Rcr } else { Shift::Rcl };
        match (b, known) {
            (Some(b), Some(n)) => self.a.shift_double_imm(right, size, dst, b, n as u8),
            (Some(b), None) => self.a.shift_double_cl(right, size, dst, b),
            (None, Some(n)) => self.a.shift_imm(op, size, dst, n as u8),
            (None, None) => self.a.shift_cl(op, size, dst),
        }
        match in_place {
            Some(_) => {
                self.define_home(Val(i as u16), slot.unwrap_or(0));
                self.flags_done(i, g, clobbers, set_mask);
            }
            None => self.finish_register(i, g, d, slot, clobbers, set_mask),
        }
    }

    /// Whether a masked count is what the host would take from CL.
    fn counts_in_cl(&self, i: usize, count: Val, width: u64) -> bool {
        let def = self.b.insts[count.index()];
        let mask = if width == 64 { 63 } else { 31 };
        def.op == Op::And
            && self.constant(def.args[1]) == Some(mask)
            && in_cl(self.b, i, def.args[0])
            && home(self.long, 1) == Home::Gpr(Reg::RCX)
    }
}
