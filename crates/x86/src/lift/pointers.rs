//! The last x87 instruction and its operand (FIP, FOP, FDP and their selectors), as far as a block tells.
//!
//! The interpreter keeps them as it goes ([`demotic_ir::interp::Pointers`]). Translated code does not; but a block that stores an environment knows its
//! own last instruction ([`settle`]), and the other blocks leave theirs in the state ([`tell`]): those of the same unit, or all of them
//! ([`crate::unit::Limits::pointers`]).

use super::Lifter;
use demotic_ir::block::{Block, Inst, Mark, Term, Unit, Val};
use demotic_ir::interp::Pointers;
use demotic_ir::ops::Op;
use demotic_ir::slot::Slot;
use demotic_ir::state::{Mode, seg};
use demotic_ir::ty::Ty;

/// What a block says.
struct Last {
    /// Everything was reset in it.
    fresh: bool,
    /// Immediate and address of the last instruction.
    insn: Option<(u64, u64)>,
    /// Segment and linear address of the last operand in memory.
    operand: Option<(usize, Val)>,
}

fn last(block: &Block) -> Last {
    let from = block.insts.iter().rposition(Pointers::sets).unwrap_or(0);
    let find = |memory: bool| {
        let named = |x: &Inst| x.op == Op::XChk && x.imm != 0 && (!memory || Pointers::segment(x.imm).is_some());
        block.insts[from..].iter().rposition(named).map(|at| from + at)
    };
    Last {
        fresh: block.insts.get(from).is_some_and(|x| x.op == Op::XFn && Pointers::sets(x)),
        insn: find(false).map(|at| (block.insts[at].imm, block.mark_at(at).map_or(block.pc, |m| m.pc))),
        operand: find(true).and_then(|at| {
            let segment = Pointers::segment(block.insts[at].imm)?;
            Pointers::access(block, at).map(|(_, address)| (segment, address))
        }),
    }
}

/// The slots and what they are to hold; `op` makes an operation: its kind, type, operands and immediate.
fn slots(last: &Last, long: bool, op: &mut dyn FnMut(Op, Ty, &[Val], u64) -> Val) -> Vec<(Slot, Val)> {
    let mut sets = Vec::new();
    if last.fresh {
        let [none, zero] = [Ty::I64, Ty::I16].map(|ty| op(Op::Const, ty, &[], 0));
        let all = [Slot::FCS, Slot::FDS, Slot::FOP].map(|slot| (slot, zero));
        sets.extend(all.into_iter().chain([(Slot::FIP, none), (Slot::FDP, none)]));
    }
    if let Some((imm, pc)) = last.insn {
        let cs = op(Op::Get, Ty::I16, &[], u64::from(Slot::seg_sel(seg::CS).0));
        let pc = op(Op::Const, Ty::I64, &[], pc);
        let fop = op(Op::Const, Ty::I16, &[], u64::from(Pointers::fop(imm)));
        sets.extend([(Slot::FCS, cs), (Slot::FIP, pc), (Slot::FOP, fop)]);
    }
    if let Some((segment, mut offset)) = last.operand {
        if matches!(segment, seg::FS | seg::GS) {
            let base = op(Op::Get, Ty::I64, &[], u64::from(Slot::seg_base(segment).0));
            offset = op(Op::Sub, Ty::I64, &[offset, base], 0);
            // Other linear addresses of 32-bit code have 32 bits already.
            if !long {
                let mask = op(Op::Const, Ty::I64, &[], 0xffff_ffff);
                offset = op(Op::And, Ty::I64, &[offset, mask], 0);
            }
        }
        let selector = op(Op::Get, Ty::I16, &[], u64::from(Slot::seg_sel(segment).0));
        sets.extend([(Slot::FDP, offset), (Slot::FDS, selector)]);
    }
    sets
}

/// What is known in the block so far, to be stored and then set.
pub(super) fn settle(l: &mut Lifter) -> Vec<(Slot, Val)> {
    let known = last(l.b.block());
    let long = l.long();
    slots(&known, long, &mut |op, ty, args, imm| match op {
        Op::Const => l.b.c(ty, imm),
        op => l.b.op_imm(op, ty, args, imm),
    })
}

/// Has the blocks of a unit leave what they know in the state.
pub(crate) fn tell(unit: &mut Unit) {
    let long = unit.mode == Mode::Long;
    for block in &mut unit.blocks {
        // Most blocks say nothing: one look at each of their operations is all that this costs them.
        if !block.insts.iter().any(|x| matches!(x.op, Op::XChk | Op::XFn)) {
            continue;
        }
        let known = last(block);
        if !known.fresh && known.insn.is_none() {
            continue;
        }
        let end = match block.term {
            Term::Jump(edge) => Some(edge.pc),
            _ => None,
        };
        let from = block.marks.last().map_or(0, |m| usize::from(m.first));
        if let Some(pc) = end.filter(|_| block.insts[from..].iter().any(|x| x.op.touches_x87())) {
            // Emitters recognise an x87 instruction by all of its operations: what follows is not one of them.
            block.marks.push(Mark { first: block.insts.len() as u16, len: 0, pc });
        }
        let insts = &mut block.insts;
        let mut op = |op, ty, args: &[Val], imm| {
            let mut four = [Val::NONE; 4];
            four[..args.len()].copy_from_slice(args);
            insts.push(Inst { op, ty, args: four, imm });
            Val(insts.len() as u16 - 1)
        };
        for (slot, v) in slots(&known, long, &mut op) {
            let ty = match slot {
                Slot::FIP | Slot::FDP => Ty::I64,
                _ => Ty::I16,
            };
            op(Op::Set, ty, &[v], u64::from(slot.0));
        }
    }
}
