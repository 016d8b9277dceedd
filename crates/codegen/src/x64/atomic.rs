//! Locked instructions whose result only their flags want: `lock add`, `lock or` and so on as themselves.
//!
//! The IR fetches the old value, computes the new one again and takes its flags. The host's instruction sets the same flags, so when nobody else
//! looks at either value the whole is one group, anchored at the atomic operation.

use super::shape::{Group, Shape, constant};
use super::unit::Emit;
use crate::target::Order;
use demotic_asm::x64::Size;
use demotic_asm::x64::int::Alu;
use demotic_ir::block::{Block, Val};
use demotic_ir::ops::Op;
use demotic_ir::state::eflags::ARITH;
use demotic_ir::ty::Ty;

/// The host instruction, by the atomic operation at `i` and the flags it leaves.
fn host(block: &Block, i: usize, fl: usize) -> Option<Alu> {
    let (inst, f) = (&block.insts[i], &block.insts[fl]);
    let operand = inst.args[1];
    Some(match (inst.op, f.op) {
        (Op::AAnd, Op::FlLogic) => Alu::And,
        (Op::AOr, Op::FlLogic) => Alu::Or,
        (Op::AXor, Op::FlLogic) => Alu::Xor,
        (Op::AAdd, Op::FlAdd) if f.args[1] == operand => Alu::Add,
        (Op::AAdd, Op::FlSub) => {
            let by = &block.insts[operand.index()];
            let negated = match (constant(block, operand), constant(block, f.args[1])) {
                (Some(a), Some(b)) => a == b.wrapping_neg() & inst.ty.mask(),
                _ => by.op == Op::Sub && by.args[1] == f.args[1] && constant(block, by.args[0]) == Some(0),
            };
            if !negated {
                return None;
            }
            Alu::Sub
        }
        _ => return None,
    })
}

/// Looks for a group at the atomic operation at `i`.
pub(super) fn find(shape: &mut Shape, block: &Block, i: usize) {
    let inst = block.insts[i];
    if !inst.ty.is_int() || inst.ty == Ty::I1 {
        return;
    }
    let v = Val(i as u16);
    let operand = inst.args[1];
    let (mut new, mut fl, mut setfl) = (None, None, None);
    for k in i + 1..block.insts.len().min(i + 8) {
        let x = block.insts[k];
        let pair = [x.args[0], x.args[1]];
        match x.op {
            Op::And | Op::Or | Op::Xor if new.is_none() && (pair == [v, operand] || pair == [operand, v]) => {
                let same = matches!((inst.op, x.op), (Op::AAnd, Op::And) | (Op::AOr, Op::Or) | (Op::AXor, Op::Xor));
                if !same || x.ty != inst.ty {
                    return;
                }
                new = Some(k);
            }
            Op::FlLogic if Some(x.args[0].index()) == new && x.ty == inst.ty && fl.is_none() => fl = Some(k),
            Op::FlAdd | Op::FlSub if x.args[0] == v && x.ty == inst.ty && fl.is_none() => fl = Some(k),
            Op::SetFl if fl.is_some() && Some(x.args[0].index()) == fl => {
                setfl = Some(k);
                break;
            }
            _ if shape.lazy(k) || x.op == Op::Nop => {}
            _ => return,
        }
    }
    let (Some(f), Some(end)) = (fl, setfl) else { return };
    let mask = block.insts[end].imm as u32 & ARITH;
    let alone = |k: usize, uses: u16| shape.plan.of[k].uses == uses && usize::from(shape.last(k)) <= end;
    let values = match new {
        Some(r) => alone(i, 1) && alone(r, 1),
        None => alone(i, 1),
    };
    if !values || shape.plan.flags_home(end + 1) & !mask != 0 || host(block, i, f).is_none() {
        return;
    }
    [new, fl, setfl].into_iter().flatten().for_each(|k| shape.set_member(k, true));
    // The operand of a subtraction is what the flags see.
    let src = block.insts[f].args[1];
    if inst.op == Op::AAdd {
        shape.needed_until(src, i as u16);
    }
    shape.anchor(i, Group { end, fl, setfl, ..Group::default() });
}

/// Whether `v` is what the accumulator holds while the compare-and-exchange at `i` decides.
pub(super) fn reads_accumulator(block: &Block, i: usize, v: Val) -> bool {
    let x = &block.insts[v.index()];
    let written = |x: &demotic_ir::block::Inst| matches!(x.op, Op::Set | Op::SetHi) && x.imm == 0;
    x.op == Op::Get && x.imm == 0 && v.index() > i && !block.insts[i..v.index()].iter().any(written)
}

impl Emit<'_> {
    /// Whether locked operations have to be that. While nobody else sees the guest's memory one instruction without a `lock` prefix does the same.
    pub(super) fn locks(&mut self) -> bool {
        let lock = self.request.target.order == Order::Tso;
        // Not `alone |= !lock`: optimised together with a caller's branch on `lock`, rustc 1.95 (LLVM 22.1.2) made that a store of `true` on both ways.
        if !lock {
            self.out.alone = true;
        }
        lock
    }

    /// Emits such a group.
    pub(super) fn locked(&mut self, i: usize, g: &Group) {
        let inst = self.b.insts[i];
        let Some((fl, op)) = g.fl.and_then(|f| Some((f, host(self.b, i, f)?))) else {
            return self.fail("locked operation");
        };
        let src = if inst.op == Op::AAdd { self.b.insts[fl].args[1] } else { inst.args[1] };
        let mask = g.setfl.map_or(0, |s| self.b.insts[s].imm as u32 & ARITH);
        let m = self.address(inst.args[0], 1);
        let r = self.reg(src);
        self.before_flags(ARITH, g.end, mask);
        let lock = self.locks();
        self.sync();
        self.a.alu_locked(lock, op, Size::of_bits(inst.ty.bits()), m, r);
        self.flags_done(i, g, ARITH, mask);
    }
}
