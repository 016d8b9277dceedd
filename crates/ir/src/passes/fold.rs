//! Constant folding, slot forwarding and local simplification of a block that no simplifying builder wrote: one writes it again.
//!
//! What is simplified, and what must not be, stands in [`crate::simplify`]. Units that are lifted for translation come from such a builder
//! already and do not pass here.

use crate::block::{Block, Inst, Val};
use crate::build::Builder;
use crate::ops::Op;

/// Runs the pass.
pub fn run(block: &mut Block) {
    let old = std::mem::replace(block, Block::EMPTY);
    let mut b = Builder::simplifying();
    b.begin(old.pc);
    let n = old.insts.len();
    // What every value is now called, and the new position of every old one.
    let mut now: Vec<Val> = Vec::with_capacity(n);
    let mut at = Vec::with_capacity(n + 2);
    let rename = |now: &[Val], v: &mut Val| {
        if *v != Val::NONE {
            *v = now[v.index()];
        }
    };
    let mut marks = old.marks.iter().peekable();
    for (i, inst) in old.insts.iter().enumerate() {
        while let Some(m) = marks.next_if(|m| usize::from(m.first) <= i) {
            b.mark(m.pc, m.len);
        }
        at.push(b.len() as u16);
        let mut inst = *inst;
        inst.args.iter_mut().for_each(|v| rename(&now, v));
        now.push(match inst.op {
            Op::Nop => Val::NONE,
            _ => again(&mut b, &inst, old.insts.get(i + 1)),
        });
    }
    marks.for_each(|m| b.mark(m.pc, m.len));
    at.extend([b.len() as u16, b.len() as u16 + 1]);
    let mut term = old.term;
    term.operands_mut().for_each(|v| rename(&now, v));
    *block = b.finish(term, old.end);
    (block.live_out, block.landing, block.reads) = (old.live_out, old.landing, old.reads);
    block.deferred.extend(old.deferred.iter().map(|d| {
        let mut d = *d;
        d.def.args.iter_mut().for_each(|v| rename(&now, v));
        (d.from, d.to) = (at[usize::from(d.from)], at[usize::from(d.to)]);
        d
    }));
}

/// Writes an operation again; `next` stands behind it.
fn again(b: &mut Builder, inst: &Inst, next: Option<&Inst>) -> Val {
    // The flags of an operation stand behind it and go by its own operands.
    let flags =
        next.is_some_and(|n| matches!(n.op, Op::FlAdd | Op::FlSub | Op::FlAdc | Op::FlSbb | Op::FlShl | Op::FlShr));
    let chains = matches!(inst.op, Op::And | Op::Or | Op::Xor | Op::Add | Op::Shl | Op::Shr) && !flags;
    let [x, y, ..] = inst.args;
    let constant = |b: &Builder, v: Val| b.inst(v).filter(|i| i.op == Op::Const).map(|i| i.imm);
    if chains {
        if let Some(n) = constant(b, y) {
            return b.by_constant(inst.op, x, n);
        }
        if let Some(n) = constant(b, x).filter(|_| !matches!(inst.op, Op::Shl | Op::Shr)) {
            return b.by_constant(inst.op, y, n);
        }
    }
    b.op_imm(inst.op, inst.ty, inst.operands(), inst.imm)
}
