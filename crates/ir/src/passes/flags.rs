//! Dead flags: most arithmetic instructions set six flags that the next one overwrites.
//!
//! A read of the flags behind a write of the same block takes the written value directly already when it is built ([`crate::simplify`]). Here,
//! for the traversal in [`super::dead`]:
//! of every write only those flags stay that somebody reads; one that writes nothing any more is taken out of the block. The state must stay exact
//! where a fault can happen before they are overwritten, so the definition moves to the side table ([`crate::block::Deferred`]) for that range; it is
//! evaluated only when somebody looks.
//!
//! What "somebody reads" means goes bit by bit: a condition demands the flags it depends on, a shift by a variable count hands on those old
//! flags that are demanded of its result, and so on ([`Flow`]). Flags that live at the block's end are [`Block::live_out`].
//!
//! A deferred definition keeps its operands alive. After `add rax, rbx` the sum is in RAX and the old RAX is nowhere: the definition is
//! rewritten to one by result and second operand (`fl.addr`, `fl.subr`), both of which are at hand.

use crate::block::{Block, Inst, Term, Val};
use crate::ops::{Effects, Op};
use crate::state::eflags::{self, ARITH};

/// How exact the flags must be at faults.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Precision {
    /// All six flags are what the processor would show, at every fault.
    #[default]
    Exact,
    /// The same, but writes that a fault could show stay where they are when the host computes such flags along with the value: on x86
    /// hosts that is cheaper than keeping the operands of a deferred definition.
    Kept,
    /// At a fault flags may be stale that the program overwrites before it reads them: only a handler that looks at the flags image sees it.
    Relaxed,
}

impl Precision {
    /// Whether faults show all six flags.
    pub fn is_exact(self) -> bool {
        self != Precision::Relaxed
    }
}

/// Whether an x86 host computes the flags value `v` together with the result it belongs to.
pub(super) fn with_result(insts: &[Inst], v: Val) -> bool {
    let inst = &insts[v.index()];
    match inst.op {
        Op::FlAdd | Op::FlSub | Op::FlAdc | Op::FlSbb | Op::FlLogic => true,
        Op::FlShl | Op::FlShr | Op::FlSar | Op::FlRol | Op::FlRor => insts[inst.args[1].index()].op == Op::Const,
        Op::FlShlD | Op::FlShrD | Op::FlRcl | Op::FlRcr => true,
        // Products: carry and overflow by a selection between both and none.
        Op::FlFrom => {
            let sel = &insts[inst.args[0].index()];
            let both = u64::from(eflags::CF | eflags::OF);
            sel.op == Op::Sel && {
                let yes = &insts[sel.args[1].index()];
                yes.op == Op::Const && yes.imm == both
            }
        }
        _ => false,
    }
}

/// The flags that condition `cc` depends on.
pub fn cond_reads(cc: u64) -> u32 {
    match cc >> 1 & 7 {
        0 => eflags::OF,
        1 => eflags::CF,
        2 => eflags::ZF,
        3 => eflags::CF | eflags::ZF,
        4 => eflags::SF,
        5 => eflags::PF,
        6 => eflags::SF | eflags::OF,
        _ => eflags::SF | eflags::OF | eflags::ZF,
    }
}

/// Whether the end of a block counts as a place where flags are rebuilt on demand, like one that may fault: at indirect branches and returns,
/// where the flags are dead unless the code that they lead to says otherwise. The definitions in force there cover the terminal.
pub fn hands_on(block: &Block, precision: Precision) -> bool {
    precision == Precision::Relaxed && matches!(block.term, Term::Indirect { .. })
}

/// The flags' way through a block, followed from its end: which are live, and which bits of every flags value somebody wants.
#[derive(Debug, Default)]
pub struct Flow {
    demand: Vec<u32>,
    live: u32,
}

impl Flow {
    /// Starts at the end of a block of `n` operations.
    fn begin(&mut self, n: usize, live: u32) {
        self.demand.clear();
        self.demand.resize(n, 0);
        self.live = live & ARITH;
    }

    fn want(&mut self, v: Val, bits: u32) {
        if let Some(d) = self.demand.get_mut(v.index()) {
            *d |= bits;
        }
    }

    /// Goes over operation `i`. Faults are the caller's business.
    fn step(&mut self, inst: &Inst, i: usize) {
        match inst.op {
            Op::SetFl => {
                let mask = inst.imm as u32;
                self.want(inst.args[0], mask & self.live);
                self.live &= !mask;
            }
            Op::GetFl => self.live |= self.demand[i],
            Op::Cond => self.want(inst.args[0], cond_reads(inst.imm)),
            Op::FlShl | Op::FlShr | Op::FlSar | Op::FlRol | Op::FlRor => self.want(inst.args[2], self.demand[i]),
            Op::FlRcl | Op::FlRcr | Op::FlShlD | Op::FlShrD => self.want(inst.args[3], self.demand[i]),
            // Leaves the block with whatever the flags are then.
            Op::ExitIf => self.live = ARITH,
            op if op.takes_flags() => inst.operands().iter().for_each(|v| self.want(*v, ARITH)),
            _ => {}
        }
    }

    /// [`Flow::live_in`] for blocks that decide it in their first operations: what they need, and whether that is all, whatever is live at
    /// their end.
    fn quick(block: &Block, precision: Precision) -> Option<u32> {
        let mut open = ARITH;
        for inst in &block.insts {
            match inst.op {
                Op::SetFl => {
                    open &= !(inst.imm as u32);
                    if open == 0 {
                        return Some(0);
                    }
                }
                Op::GetFl => return None,
                Op::ExitIf => return Some(open),
                op if precision.is_exact() && op.effects().may_fault() => return Some(open),
                _ => {}
            }
        }
        None
    }

    /// What a block needs at its beginning itself, and which flags it hands on from its end.
    pub fn summary(&mut self, block: &Block, precision: Precision) -> (u32, u32) {
        if let Some(need) = Flow::quick(block, precision) {
            return (need, 0);
        }
        let need = self.live_in(block, 0, precision);
        (need, if need == ARITH { 0 } else { self.live_in(block, ARITH, precision) & !need })
    }

    /// The flags that must be right at the beginning of a block whose end needs `live_out`. With [`Precision::Exact`] whatever may fault
    /// reads those that the block has not written before.
    pub fn live_in(&mut self, block: &Block, live_out: u32, precision: Precision) -> u32 {
        self.begin(block.insts.len(), live_out);
        for (i, inst) in block.insts.iter().enumerate().rev() {
            if precision.is_exact() && inst.op.effects().may_fault() {
                self.live = ARITH;
            }
            self.step(inst, i);
        }
        self.live
    }
}

/// Whether a flags value can be computed later from integers alone. One that hands on old flags would need those kept as a value, which is
/// dearer than writing the flags.
pub(super) fn rebuilds(insts: &[Inst], v: Val) -> bool {
    let def = &insts[v.index()];
    match old_flags(def.op) {
        Some(k) => {
            let old = &insts[def.args[k].index()];
            old.op == Op::FlFrom && insts[old.args[0].index()].op == Op::Const
        }
        None => def.op != Op::Sel && def.op.effects() == Effects::PURE,
    }
}

/// For every flag, the nearest later write of it: flags with the same one together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Killers {
    groups: [(u32, u16); 6],
    count: usize,
}

impl Killers {
    /// Nothing is written before position `end`.
    pub(super) fn new(end: u16) -> Killers {
        Killers { groups: [(ARITH, end); 6], count: 1 }
    }

    /// The flags of `mask` are written at `i`.
    pub(super) fn write(&mut self, mask: u32, i: u16) {
        let mut kept = 0;
        if mask != ARITH {
            for k in 0..self.count {
                let (flags, at) = self.groups[k];
                if flags & !mask != 0 {
                    self.groups[kept] = (flags & !mask, at);
                    kept += 1;
                }
            }
        }
        // The groups have no flag in common, so there is room for one of these.
        if let Some(group) = self.groups.get_mut(kept).filter(|_| mask != 0) {
            *group = (mask, i);
            kept += 1;
        }
        self.count = kept;
    }

    /// Those of the flags `dead` that something at `fault` may show before they are written, by where they are.
    pub(super) fn shown(&self, dead: u32, fault: u16) -> impl Iterator<Item = (u32, u16)> + '_ {
        let groups = &self.groups[..self.count];
        groups.iter().map(move |(flags, at)| (flags & dead, *at)).filter(move |(flags, at)| *flags != 0 && fault < *at)
    }
}

/// Which operand of an operation is the old flags that it hands on.
pub(super) fn old_flags(op: Op) -> Option<usize> {
    match op {
        Op::FlShl | Op::FlShr | Op::FlSar | Op::FlRol | Op::FlRor => Some(2),
        Op::FlRcl | Op::FlRcr | Op::FlShlD | Op::FlShrD => Some(3),
        _ => None,
    }
}

/// The definition of the flags written at `i`: of an addition or subtraction in place by its result, as the first operand is gone.
pub(super) fn by_result(insts: &[Inst], i: usize) -> Inst {
    let source = insts[i].args[0];
    let def = insts[source.index()];
    let [a, b, ..] = def.args;
    let (bare, by) = match def.op {
        Op::FlAdd => (Op::Add, Op::FlAddR),
        Op::FlSub => (Op::Sub, Op::FlSubR),
        _ => return def,
    };
    if a == b || insts[a.index()].op == Op::Const {
        return def;
    }
    // The result goes into its slot between the definition and the write of the flags.
    for set in insts[source.index() + 1..i].iter().filter(|x| x.op == Op::Set) {
        let r = set.args[0];
        let same = insts[r.index()];
        if same.op == bare && same.ty == def.ty && same.args == def.args {
            return Inst { op: by, args: [r, b, Val::NONE, Val::NONE], ..def };
        }
    }
    def
}
