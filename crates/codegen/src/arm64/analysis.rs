//! What this emitter decides about a block before it emits it.
//!
//! Which operations anybody needs at all (the rest is recomputed by the interpreter in the rare case that a deferred flag
//! definition asks); which ones emit nothing themselves because their only user takes them into an operand, an address or a
//! compare-and-branch (*lazy*); which flags operation rides on the instruction of a value operation (*fused*); how long every
//! value has to be found; and which value may be computed in the home of the slot it is written to. Derived from the IR and
//! nothing else, so that a second emission decides the same.

use crate::plan;
use demotic_asm::arm64::Sz;
use demotic_ir::block::{Block, Inst, Term, Val};
use demotic_ir::interp::ATTR_ALIGN16;
use demotic_ir::ops::{Effects, Op};
use demotic_ir::passes::flags::cond_reads;
use demotic_ir::slot::Slot;
use demotic_ir::state::Mode;
use demotic_ir::state::eflags::{AF, ARITH, CF, OF, PF, SF, ZF};
use demotic_ir::ty::Ty;

/// EFLAGS bits whose home is NZCV.
pub(super) const IN_NZCV: u32 = CF | ZF | SF | OF;
/// No operation.
pub(super) const NONE: usize = usize::MAX;

/// How a flags value comes to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fl {
    /// In the homes, where the operation stands.
    Home,
    /// In the homes, but only where it is written: somebody looks at the old flags in between.
    AtSet,
    /// As an EFLAGS image in a register.
    Image,
}

#[derive(Debug, Default)]
pub(super) struct Analysis {
    /// Last operation that needs the value; the number of operations for the terminal.
    pub end: Vec<usize>,
    /// Emitted at all.
    pub live: Vec<bool>,
    /// Emitted by its user.
    pub lazy: Vec<bool>,
    /// Flags of a flags value that somebody reads.
    pub need: Vec<u32>,
    /// The live `SetFl` of a flags value.
    pub set: Vec<usize>,
    /// For a value operation: the flags operation that its instruction computes as well.
    pub fused: Vec<usize>,
    /// How flags are computed.
    pub how: Vec<Fl>,
    /// The slot in whose home the value may be computed.
    pub into: Vec<Option<u8>>,
    /// Number of live users.
    pub uses: Vec<u16>,
    /// One live user; the number of operations for the terminal.
    pub user: Vec<usize>,
    /// A load that is only sign-extended, and to what.
    pub extended: Vec<Option<Sz>>,
    /// For a load: the addition to its address register that it can do as well.
    pub popped: Vec<usize>,
    /// For a store: the `Set` of the address register that it can do as well, and the addition that gives its address.
    pub pushed: Vec<usize>,
    pub push_sum: Vec<usize>,
    /// A write of a register that nobody sees.
    pub dead: Vec<bool>,
    /// An access whose address is known to be aligned: another one before it was, at a distance that keeps it.
    pub aligned: Vec<bool>,
    /// Stores that write their address register, in order.
    pushes: Vec<usize>,
    /// The other way round than `fused`.
    host_of: Vec<usize>,
    /// Addresses that were looked at: a value and what is to be added to it for a multiple of 16.
    checked: Vec<(usize, u64)>,
}

fn is_const(block: &Block, v: Val) -> Option<u64> {
    let inst = block.insts.get(v.index())?;
    (inst.op == Op::Const).then_some(inst.imm & inst.ty.mask())
}

impl Analysis {
    /// Looks at a block. `flags_home`: see [`flags_home`].
    pub fn analyse(&mut self, block: &Block, flags_home: &[u32], mode: Mode, fp: bool, plain: bool) {
        self.clear(block.insts.len());
        self.liveness(block, flags_home);
        self.deferred(block, fp);
        if plain {
            self.pushes(block);
        }
        self.laziness(block, mode);
        self.extensions(block);
        self.flags(block, flags_home, fp);
        self.lifetimes(block, fp);
        self.homes(block, fp);
        self.overwritten(block, fp);
        self.alignment(block);
        if plain {
            self.pops(block);
        }
    }

    fn clear(&mut self, n: usize) {
        fn fill<T: Clone>(table: &mut Vec<T>, n: usize, value: T) {
            table.clear();
            table.resize(n, value);
        }
        self.end.clear();
        self.end.extend(0..n);
        fill(&mut self.live, n, false);
        fill(&mut self.lazy, n, false);
        fill(&mut self.need, n, 0);
        fill(&mut self.set, n, NONE);
        fill(&mut self.fused, n, NONE);
        fill(&mut self.host_of, n, NONE);
        fill(&mut self.how, n, Fl::Home);
        fill(&mut self.into, n, None);
        fill(&mut self.uses, n, 0);
        fill(&mut self.user, n, NONE);
        fill(&mut self.extended, n, None);
        fill(&mut self.popped, n, NONE);
        fill(&mut self.pushed, n, NONE);
        fill(&mut self.push_sum, n, NONE);
        fill(&mut self.dead, n, false);
        fill(&mut self.aligned, n, false);
        self.pushes.clear();
    }

    /// Writes of registers that are written again before anybody can look.
    fn overwritten(&mut self, block: &Block, fp: bool) {
        const UPPER: core::ops::Range<u64> = 54..70;
        let mut later = [false; 70];
        for i in (0..block.insts.len()).rev() {
            let inst = &block.insts[i];
            let homed = inst.imm < 32 || UPPER.contains(&inst.imm);
            let slot = if homed { inst.imm as usize } else { 0 };
            match inst.op {
                Op::Set if homed => {
                    if later[slot] && !self.pushes.iter().any(|&st| self.pushed[st] == i) {
                        self.dead[i] = true;
                    } else if plan::replaces(inst.ty, Slot(slot as u8)) {
                        later[slot] = true;
                    }
                }
                Op::Get | Op::GetHi | Op::SetHi if homed => later[slot] = false,
                _ => {}
            }
            if shows(inst, fp) {
                later = [false; 70];
            }
        }
    }

    /// Which accesses need no check of their alignment.
    fn alignment(&mut self, block: &Block) {
        self.checked.clear();
        for (i, inst) in block.insts.iter().enumerate() {
            if !matches!(inst.op, Op::Ld | Op::St) || inst.imm & ATTR_ALIGN16 == 0 {
                continue;
            }
            let (mut root, mut by) = (inst.args[0].index(), 0u64);
            loop {
                let v = &block.insts[root];
                match (v.op, is_const(block, v.args[1])) {
                    (Op::Add, Some(c)) => by = by.wrapping_add(c) & 15,
                    (Op::Zext, _) if block.insts[v.args[0].index()].result().bits() >= 32 => {}
                    _ => break,
                }
                root = v.args[0].index();
            }
            let v = &block.insts[root];
            let cut = v.op == Op::And && by == 0 && is_const(block, v.args[1]).is_some_and(|c| c & 15 == 0);
            self.aligned[i] = cut || self.checked.contains(&(root, by));
            if !self.aligned[i] {
                self.checked.push((root, by));
            }
        }
    }

    /// Operations strictly between that emit nothing and do not name a slot.
    fn quiet(&self, block: &Block, from: usize, to: usize, slot: u64) -> bool {
        (from + 1..to).all(|k| {
            let inst = &block.insts[k];
            match inst.op {
                Op::Nop | Op::Const => true,
                Op::Get => inst.imm < 16 && inst.imm != slot,
                _ => !self.live[k] && inst.op.info().effects.removable(),
            }
        })
    }

    /// Stores at a register minus a constant which is then what the register becomes.
    fn pushes(&mut self, block: &Block) {
        for i in 0..block.insts.len() {
            let st = &block.insts[i];
            if st.op != Op::St || !matches!(st.ty, Ty::I16 | Ty::I32 | Ty::I64) || st.imm & 1 != 0 {
                continue;
            }
            let mut k = st.args[0].index();
            let through = block.insts[k].op == Op::Zext && self.uses[k] == 1;
            if through {
                k = block.insts[k].args[0].index();
            }
            let sum = &block.insts[k];
            if sum.op != Op::Add || !matches!(sum.ty, Ty::I32 | Ty::I64) || (sum.ty == Ty::I32) != through {
                continue;
            }
            let small = is_const(block, sum.args[1]).is_some_and(|c| {
                let c = if sum.ty == Ty::I32 { i64::from(c as i32) } else { c as i64 };
                (-256..0).contains(&c)
            });
            if !small {
                continue;
            }
            // The first users are this store and the write.
            let v = Val(k as u16);
            let Some(set) =
                (i + 1..block.insts.len()).find(|&j| self.live[j] && block.insts[j].operands().contains(&v))
            else {
                continue;
            };
            let write = &block.insts[set];
            let before = (k + 1..i).any(|j| {
                self.live[j] && block.insts[j].operands().contains(&v) && !(through && j == st.args[0].index())
            });
            if write.op == Op::Set
                && write.imm < 16
                && holds(block, sum.args[0], sum.ty, write.imm, set)
                && plan::replaces(write.ty, Slot(write.imm as u8))
                && !before
                && st.args[1] != v
                && st.args[1] != st.args[0]
                && self.quiet(block, i, set, write.imm)
            {
                self.pushed[i] = set;
                self.pushes.push(i);
                self.push_sum[i] = k;
            }
        }
    }

    /// Loads at a register that then becomes itself plus a constant.
    fn pops(&mut self, block: &Block) {
        for i in 0..block.insts.len() {
            let ld = &block.insts[i];
            if ld.op != Op::Ld || ld.imm & 1 != 0 || !matches!(ld.ty, Ty::I8 | Ty::I16 | Ty::I32 | Ty::I64 | Ty::V128) {
                continue;
            }
            let mut k = ld.args[0].index();
            if block.insts[k].op == Op::Zext && self.uses[k] == 1 {
                k = block.insts[k].args[0].index();
            }
            let Some(j) = (i + 1..block.insts.len())
                .find(|&j| self.live[j] && block.insts[j].operands().contains(&Val(k as u16)))
            else {
                continue;
            };
            let sum = &block.insts[j];
            let small = is_const(block, sum.args[1]).is_some_and(|c| {
                let c = if sum.ty == Ty::I32 { i64::from(c as i32) } else { c as i64 };
                (-256..256).contains(&c) && c != 0
            });
            let Some(slot) = self.into[j].filter(|&s| s < 16) else { continue };
            if sum.op == Op::Add
                && sum.args[0].index() == k
                && small
                && self.into[i] != Some(slot)
                && holds(block, Val(k as u16), sum.ty, u64::from(slot), j)
                && self.fused[j] == NONE
                && self.end[k] == j
                && self.quiet(block, i, j, u64::from(slot))
            {
                self.popped[i] = j;
            }
        }
    }

    fn extensions(&mut self, block: &Block) {
        for i in 0..block.insts.len() {
            let ld = &block.insts[i];
            if ld.op != Op::Ld || self.uses[i] != 1 || !self.live[i] {
                continue;
            }
            if let Some(u) = block.insts.get(self.user[i]) {
                if u.op == Op::Sext
                    && u.imm == u64::from(ld.ty.bits())
                    && matches!(ld.ty, Ty::I8 | Ty::I16 | Ty::I32)
                    && matches!(u.ty, Ty::I32 | Ty::I64)
                    && u.ty > ld.ty
                {
                    self.extended[i] = Some(if u.ty == Ty::I64 { Sz::X } else { Sz::W });
                }
            }
        }
    }

    fn liveness(&mut self, block: &Block, flags_home: &[u32]) {
        let n = block.insts.len();
        for v in block.term.operands().into_iter().filter(|v| v.index() < n) {
            self.live[v.index()] = true;
            self.uses[v.index()] += 1;
            self.user[v.index()] = n;
        }
        for i in (0..n).rev() {
            let inst = &block.insts[i];
            if inst.op == Op::Nop {
                continue;
            }
            let root = match inst.op {
                Op::SetFl => inst.imm as u32 & flags_home[i + 1] != 0,
                _ => !inst.op.info().effects.removable(),
            };
            let live = root || if inst.result() == Ty::Fl { self.need[i] != 0 } else { self.live[i] };
            self.live[i] = live;
            if !live {
                continue;
            }
            for &v in inst.operands() {
                let k = v.index();
                if is_const_shift_flags(block, inst) && block.insts[k].result() == Ty::Fl {
                    // A count other than 0 leaves nothing of the old flags.
                    continue;
                }
                self.live[k] = true;
                self.uses[k] += 1;
                self.user[k] = i;
                if block.insts[k].result() == Ty::Fl {
                    self.need[k] |= match inst.op {
                        Op::Cond => cond_reads(inst.imm),
                        Op::SetFl => inst.imm as u32 & flags_home[i + 1],
                        _ => ARITH,
                    };
                }
            }
            if inst.op == Op::SetFl {
                self.set[inst.args[0].index()] = i;
            }
        }
    }

    /// What only deferred definitions need: reads of slots have to be tracked, pure operations can be recomputed from their operands.
    fn deferred(&mut self, block: &Block, fp: bool) {
        let n = block.insts.len();
        let mut todo = Vec::new();
        for d in &block.deferred {
            let mut range = usize::from(d.from)..usize::from(d.to).min(n);
            if usize::from(d.to) > n || range.any(|i| shows(&block.insts[i], fp)) {
                todo.extend_from_slice(d.def.operands());
            }
        }
        let mut emitted: Vec<Val> = Vec::new();
        while let Some(v) = todo.pop() {
            let inst = &block.insts[v.index()];
            if self.live[v.index()] {
                continue;
            }
            if inst.op.info().effects == Effects::PURE {
                todo.extend_from_slice(inst.operands());
            } else {
                emitted.push(v);
            }
        }
        while let Some(v) = emitted.pop() {
            let inst = &block.insts[v.index()];
            if self.live[v.index()] {
                continue;
            }
            self.live[v.index()] = true;
            if inst.result() == Ty::Fl {
                self.need[v.index()] = ARITH;
            }
            for &a in inst.operands() {
                // Counted more than once, so that nothing is folded away.
                self.uses[a.index()] += 2;
                self.user[a.index()] = v.index();
                if block.insts[a.index()].result() == Ty::Fl {
                    self.need[a.index()] = ARITH;
                }
                emitted.push(a);
            }
        }
    }

    fn laziness(&mut self, block: &Block, mode: Mode) {
        let n = block.insts.len();
        let is_address = |user: &Inst, v: Val| {
            let plain = matches!(user.op, Op::Ld | Op::St)
                && matches!(user.ty, Ty::I8 | Ty::I16 | Ty::I32 | Ty::I64 | Ty::V128);
            // Those of x87 instructions, which are emitted as a whole.
            let x87 = user.op == Op::StUnless || user.op == Op::Ld && user.ty == Ty::F80;
            let any = user.imm & ATTR_ALIGN16 == 0 || user.ty == Ty::V128;
            any && (plain || x87) && user.args[0] == v && user.args[1] != v
        };
        // Users that are all plain accesses at this address.
        let only_addresses = |a: &Analysis, i: usize| {
            let v = Val(i as u16);
            let mut count = 0;
            for (k, user) in block.insts.iter().enumerate().skip(i + 1) {
                if a.live[k] && user.operands().contains(&v) {
                    if !is_address(user, v) {
                        return false;
                    }
                    count += 1;
                }
            }
            count == usize::from(a.uses[i]) && count > 0
        };
        // Backward, so that a user's own laziness is known.
        for i in (0..n).rev() {
            if !self.live[i] {
                continue;
            }
            let pushed = |&st: &usize| {
                self.push_sum[st] == i || block.insts[st].args[0].index() == i && block.insts[i].op == Op::Zext
            };
            if self.pushes.iter().any(pushed) {
                self.lazy[i] = true;
                continue;
            }
            let inst = &block.insts[i];
            let single = self.uses[i] == 1;
            let user = (single && self.user[i] < n).then(|| &block.insts[self.user[i]]);
            let v = Val(i as u16);
            self.lazy[i] = match inst.op {
                Op::Const => true,
                Op::Cond => true,
                Op::Eq | Op::LtU | Op::LtS if single => match user {
                    None => matches!(block.term, Term::Branch { .. }),
                    Some(u) => match u.op {
                        Op::ExitIf => true,
                        Op::Sel => u.args[0] == v && u.result() != Ty::Fl,
                        Op::Not => self.lazy[self.user[i]],
                        _ => false,
                    },
                },
                Op::Not if inst.ty == Ty::I1 && single => match user {
                    None => matches!(block.term, Term::Branch { .. }),
                    Some(u) => u.op == Op::ExitIf || u.op == Op::Sel && u.args[0] == v && u.result() != Ty::Fl,
                },
                // base + constant, base + index, base + (index << k): part of an address.
                Op::Add if inst.ty == Ty::I64 => {
                    let constant = is_const(block, inst.args[1]).is_some();
                    let cut = single && user.is_some_and(|u| u.op == Op::Zext && u.ty == Ty::I32);
                    cut || (constant && only_addresses(self, i))
                        || (single && user.is_some_and(|u| is_address(u, v)))
                        || (!constant
                            && single
                            && user.is_some_and(|u| {
                                u.op == Op::Add
                                    && self.lazy[self.user[i]]
                                    && is_const(block, u.args[1]).is_some()
                                    && only_addresses(self, self.user[i])
                                    && self.uses[self.user[i]] == 1
                            }))
                }
                Op::Zext if inst.ty == Ty::I64 => {
                    let from = &block.insts[inst.args[0].index()];
                    mode != Mode::Long
                        && from.op == Op::Add
                        && from.ty == Ty::I32
                        && is_const(block, from.args[1]).is_some_and(small32)
                        && only_addresses(self, i)
                }
                Op::Shl => {
                    let by = is_const(block, inst.args[1]);
                    matches!(inst.ty, Ty::I32 | Ty::I64)
                        && by.is_some_and(|by| by < u64::from(inst.ty.bits()))
                        && single
                        && user.is_some_and(|u| {
                            u.ty == inst.ty
                                && u.args[0] != u.args[1]
                                && match u.op {
                                    Op::Add | Op::And | Op::Or | Op::Xor => {
                                        is_const(block, u.args[0]).is_none()
                                            && is_const(block, u.args[1]).is_none()
                                            && !(self.lazy_shift(block, u.args[0], v)
                                                || self.lazy_shift(block, u.args[1], v))
                                    }
                                    Op::Sub => u.args[1] == v,
                                    _ => false,
                                }
                        })
                }
                // The sum under a lazy Zext, when nobody else wants it.
                Op::Add if inst.ty == Ty::I32 => {
                    single && user.is_some_and(|u| u.op == Op::Zext && self.lazy[self.user[i]])
                }
                Op::XFrom | Op::VIns | Op::VZext => user.is_some_and(|u| self.ends_in_mmx(block, i, u)),
                // A count.
                Op::VExt if user.is_some_and(|u| matches!(u.op, Op::VShl | Op::VShr | Op::VSar)) => {
                    inst.imm == 0 && inst.ty == Ty::I64
                }
                // A lane that is stored.
                Op::VExt if user.is_some_and(|u| u.op == Op::VZext) => {
                    user.is_some_and(|u| self.ends_in_mmx(block, i, u))
                }
                Op::VExt => {
                    inst.imm == 0
                        && matches!(inst.ty, Ty::I32 | Ty::I64)
                        && user.is_some_and(|u| u.op == Op::St && u.args[1] == v && u.args[0] != v)
                }
                _ => false,
            };
        }
    }

    /// Whether another operand is a lazy shift already: one instruction takes one.
    fn lazy_shift(&self, block: &Block, operand: Val, except: Val) -> bool {
        operand != except && self.lazy[operand.index()] && block.insts[operand.index()].op == Op::Shl
    }

    /// An operation that emits no code at its own position and does not look at anything that changes.
    fn silent(&self, block: &Block, i: usize) -> bool {
        let inst = &block.insts[i];
        match inst.op {
            Op::Nop | Op::Const => true,
            Op::Get => inst.imm < 16,
            _ => (!self.live[i] || self.lazy[i]) && inst.op.info().effects.removable() && inst.op != Op::GetFl,
        }
    }

    fn flags(&mut self, block: &Block, flags_home: &[u32], fp: bool) {
        let n = block.insts.len();
        for f in 0..n {
            let inst = &block.insts[f];
            if !self.live[f] || inst.result() != Ty::Fl || inst.op == Op::GetFl {
                continue;
            }
            let mask = match self.set[f] {
                NONE => 0,
                s => block.insts[s].imm as u32,
            };
            let required = flags_home[f + 1];
            let other_users = |a: &Analysis| {
                // Conditions before the write need the value earlier.
                block.insts[f + 1..]
                    .iter()
                    .enumerate()
                    .any(|(k, u)| a.live[f + 1 + k] && u.operands().contains(&Val(f as u16)) && f + 1 + k < a.set[f])
            };
            // Flags that stay while others change: C can be saved over one instruction, P and A are not written when they need not be.
            let quiet = matches!(inst.op, Op::FlAdd | Op::FlSub | Op::FlLogic)
                && matches!(inst.ty, Ty::I32 | Ty::I64)
                && self.need[f] & (PF | AF) == 0;
            let need = self.need[f];
            let possible = |required: u32| {
                let stay = required & !mask;
                stay & CF & need == 0
                    && (stay & (PF | AF) == 0 || quiet)
                    && stay & IN_NZCV & !CF == 0
                    && (mask != 0 || stay & CF == 0)
            };
            if inst.op == Op::VTest && self.set[f] == NONE && self.one_branch(block, f, &[1, 2]) {
                self.lazy[f] = true;
                continue;
            }
            self.how[f] = if !inlined(block, inst) || (inst.op == Op::FComi && !fp) {
                Fl::Image
            } else if required & mask == 0 && possible(required) {
                Fl::Home
            } else if mask != 0
                && !other_users(self)
                && possible(flags_home[self.set[f] + 1])
                && self.can_wait(block, f)
            {
                Fl::AtSet
            } else {
                Fl::Image
            };
            if self.how[f] != Fl::Home {
                continue;
            }
            if self.branch_only(block, f) {
                self.lazy[f] = true;
                continue;
            }
            // Flags that are put together behind the instruction cannot share it: it may overwrite its operands.
            if !matches!(inst.ty, Ty::I32 | Ty::I64) || required & !mask & CF != 0 {
                continue;
            }
            let partner = |d: usize| {
                let v = &block.insts[d];
                if !self.live[d] || self.lazy[d] || v.ty != inst.ty || self.fused[d] != NONE {
                    return false;
                }
                match (inst.op, v.op) {
                    (Op::FlAdd, Op::Add) => {
                        v.args[..2] == inst.args[..2] || (v.args[0] == inst.args[1] && v.args[1] == inst.args[0])
                    }
                    (Op::FlSub, Op::Sub) => v.args[..2] == inst.args[..2],
                    (Op::FlLogic, Op::And) => inst.args[0].index() == d && self.need[f] & (CF | AF) == 0,
                    _ => false,
                }
            };
            let mut d = f;
            while d > 0 {
                d -= 1;
                if let Some([x, z]) = self.carried(block, inst, d) {
                    self.fused[d] = f;
                    self.lazy[x] = true;
                    self.lazy[z] = true;
                    break;
                }
                if partner(d) {
                    self.fused[d] = f;
                    break;
                }
                if !self.silent(block, d) {
                    break;
                }
            }
        }
    }

    /// Whether `d` is the value of an addition or subtraction with carry whose flags `inst` is: then the two operations that it is
    /// made of.
    fn carried(&self, block: &Block, inst: &Inst, d: usize) -> Option<[usize; 2]> {
        let (outer, op) = match inst.op {
            Op::FlAdc => (&block.insts[d], Op::Add),
            Op::FlSbb => (&block.insts[d], Op::Sub),
            _ => return None,
        };
        if outer.op != op || outer.ty != inst.ty || !self.live[d] || self.lazy[d] || self.fused[d] != NONE {
            return None;
        }
        let (x, z) = (outer.args[0].index(), outer.args[1].index());
        let (inner, carry) = (&block.insts[x], &block.insts[z]);
        (inner.op == op
            && inner.ty == inst.ty
            && inner.args[..2] == inst.args[..2]
            && carry.op == Op::Zext
            && carry.args[0] == inst.args[2]
            && self.uses[x] == 1
            && self.uses[z] == 1
            && self.fused[x] == NONE
            && !self.lazy[x])
            .then_some([x, z])
    }

    /// Whether flags may be computed where they are written instead of where they stand: whoever stops in between computes them anew, which is not for
    /// operations with effects of their own.
    fn can_wait(&self, block: &Block, f: usize) -> bool {
        let pure = |k: usize| block.insts[k].op.info().effects == Effects::PURE;
        let slot = |k: usize| {
            matches!(block.insts[k].op, Op::Get | Op::GetHi | Op::Set | Op::SetHi | Op::Nop) && block.insts[k].imm < 32
        };
        pure(f) || (f + 1..self.set[f]).all(|k| pure(k) || slot(k))
    }

    /// Whether flags have the branch at the end as their only reader, with one of these conditions.
    fn one_branch(&self, block: &Block, f: usize, conditions: &[u64]) -> bool {
        let c = self.user[f];
        self.uses[f] == 1
            && c < block.insts.len()
            && block.insts[c].op == Op::Cond
            && conditions.contains(&(block.insts[c].imm >> 1 & 7))
            && self.uses[c] == 1
            && self.user[c] == block.insts.len()
            && matches!(block.term, Term::Branch { .. })
    }

    /// Flags whose only reader is the branch at the end, asking for zero or sign of a value: cbz, tbz.
    fn branch_only(&self, block: &Block, f: usize) -> bool {
        let inst = &block.insts[f];
        let c = self.user[f];
        if self.uses[f] != 1 || c >= block.insts.len() || self.set[f] != NONE {
            return false;
        }
        let cond = &block.insts[c];
        let zero = match inst.op {
            Op::FlLogic => true,
            Op::FlSub => is_const(block, inst.args[1]) == Some(0),
            _ => false,
        };
        cond.op == Op::Cond
            && zero
            && self.uses[c] == 1
            && self.user[c] == block.insts.len()
            && matches!(block.term, Term::Branch { .. })
            && match cond.imm >> 1 & 7 {
                // What is loaded has zeros above.
                2 => {
                    let loaded =
                        block.insts[inst.args[0].index()].op == Op::Ld && self.extended[inst.args[0].index()].is_none();
                    matches!(inst.ty, Ty::I32 | Ty::I64) || matches!(inst.ty, Ty::I8 | Ty::I16) && loaded
                }
                4 => matches!(inst.ty, Ty::I8 | Ty::I16 | Ty::I32 | Ty::I64),
                _ => false,
            }
    }

    fn lifetimes(&mut self, block: &Block, fp: bool) {
        let n = block.insts.len();
        for v in block.term.operands().into_iter().filter(|v| v.index() < n) {
            self.end[v.index()] = n;
        }
        for d in &block.deferred {
            let range = usize::from(d.from)..usize::from(d.to).min(n);
            let last = if usize::from(d.to) > n { Some(n) } else { range.rev().find(|&i| shows(&block.insts[i], fp)) };
            let Some(last) = last else { continue };
            for v in d.def.operands() {
                let end = &mut self.end[v.index()];
                *end = (*end).max(last);
            }
        }
        for (d, &f) in self.fused.iter().enumerate() {
            if f != NONE {
                self.host_of[f] = d;
            }
        }
        for i in (0..n).rev() {
            // Dead operations matter only when the interpreter may have to recompute them.
            if !self.live[i] && self.end[i] == i {
                continue;
            }
            let inst = &block.insts[i];
            // The sums of pushes are taken by the store, whatever comes later.
            let at = if let Some(&st) = self.pushes.iter().find(|&&st| self.push_sum[st] == i) {
                st
            } else if !self.live[i] || self.lazy[i] {
                self.end[i]
            } else if inst.result() == Ty::Fl && self.how[i] == Fl::AtSet {
                self.end[i].max(self.set[i])
            } else if self.host_of[i] != NONE {
                self.host_of[i]
            } else {
                i
            };
            for &v in inst.operands() {
                let end = &mut self.end[v.index()];
                *end = (*end).max(at);
            }
        }
    }

    fn homes(&mut self, block: &Block, fp: bool) {
        let mut busy = [0usize; Slot::COUNT as usize];
        let mut written = [0usize; Slot::COUNT as usize];
        let mut shown = 0usize;
        for (i, inst) in block.insts.iter().enumerate() {
            let slot = usize::from(inst.imm as u8 % Slot::COUNT);
            match inst.op {
                // Values that are needed longer are moved out of the way.
                Op::Get | Op::GetHi => busy[slot] = busy[slot].max(i),
                Op::Set => {
                    let def = inst.args[0].index();
                    let producer = &block.insts[def];
                    let ok = slot < 32
                        && plan::replaces(inst.ty, Slot(slot as u8))
                        && self.live[def]
                        && !self.lazy[def]
                        && !matches!(producer.op, Op::Get | Op::GetHi | Op::Const | Op::Cond)
                        && producer.result() == inst.ty
                        && self.into[def].is_none()
                        && busy[slot] <= def
                        && written[slot] <= def
                        && shown <= def;
                    if ok {
                        self.into[def] = Some(slot as u8);
                        // What is only widened on its way there.
                        let src = producer.args[0].index();
                        if matches!(producer.op, Op::Zext | Op::Sext | Op::VZext)
                            && self.uses[src] == 1
                            && self.end[src] == def
                            && self.live[src]
                            && !self.lazy[src]
                            && block.insts[src].op == Op::Ld
                            && self.into[src].is_none()
                            && busy[slot] <= src
                            && written[slot] <= src
                            && shown <= src
                            && (producer.op != Op::Sext || self.extended[src].is_some())
                        {
                            self.into[src] = Some(slot as u8);
                        }
                    }
                    written[slot] = i;
                }
                Op::SetHi => written[slot] = i,
                _ => {}
            }
            if shows(inst, fp) {
                shown = i;
            }
        }
    }
}

/// Whether a value of type `ty` is what a general register's slot holds before operation `at`.
fn holds(block: &Block, v: Val, ty: Ty, slot: u64, at: usize) -> bool {
    let inst = &block.insts[v.index()];
    if inst.result() != ty {
        return false;
    }
    let last = (0..at).rev().find(|&j| matches!(block.insts[j].op, Op::Set | Op::SetHi) && block.insts[j].imm == slot);
    match last {
        Some(j) if block.insts[j].op == Op::Set && block.insts[j].ty == ty && block.insts[j].args[0] == v => true,
        Some(j) => inst.op == Op::Get && inst.imm == slot && v.index() > j,
        None => inst.op == Op::Get && inst.imm == slot,
    }
}

/// Whether an operation shows the state when it faults or leaves. Arithmetic inline has its exceptions masked.
pub(super) fn shows(inst: &Inst, fp: bool) -> bool {
    plan::shows_state(inst) && !(fp && inst.op.is_sse_arithmetic())
}

/// EFLAGS bits whose homes must be exact before every operation and the terminal, with what [`shows`] says, into a table that is there already.
pub(super) fn flags_home(block: &Block, fp: bool, exact: bool, out: &mut Vec<u32>) {
    let n = block.insts.len();
    // What deferred definitions cover stands in the table until its place is taken by what is asked for; the flags themselves, when somebody reads
    // them, above that.
    const READ: u32 = 1 << 31;
    out.clear();
    out.resize(n + 1, 0);
    for d in &block.deferred {
        let range = usize::from(d.from).min(n)..usize::from(d.to).min(n);
        out[range].iter_mut().for_each(|c| *c |= d.mask & ARITH);
    }
    for (inst, at) in block.insts.iter().zip(0..) {
        for v in inst.operands() {
            debug_assert!(v.0 < at);
            if block.insts[v.index()].op == Op::GetFl {
                out[v.index()] |= READ;
            }
        }
    }
    for v in block.term.operands().into_iter().filter(|v| v.index() < n) {
        out[v.index()] |= READ;
    }
    out[n] = block.live_out;
    let mut home = block.live_out;
    for i in (0..n).rev() {
        let inst = &block.insts[i];
        if inst.op == Op::SetFl {
            home &= !(inst.imm as u32);
        }
        if inst.op == Op::GetFl && out[i] & READ != 0 {
            home |= ARITH;
        }
        if inst.op == Op::ExitIf || exact && shows(inst, fp) {
            home |= ARITH & !out[i];
        }
        out[i] = home;
    }
}

/// Constants that may be added to a 32-bit address without wrapping it: the engine keeps the ends of the space unmapped.
pub(super) fn small32(c: u64) -> bool {
    (c as i32).unsigned_abs() < 1 << 20
}

/// Flags of a shift by a constant that is not 0.
fn is_const_shift_flags(block: &Block, inst: &Inst) -> bool {
    matches!(inst.op, Op::FlShl | Op::FlShr | Op::FlSar) && is_const(block, inst.args[1]).is_some_and(|n| n != 0)
}

/// Whether the flags can be computed into the homes by code of this emitter.
fn inlined(block: &Block, inst: &Inst) -> bool {
    let by = |v: Val| is_const(block, v);
    match inst.op {
        Op::FlAdd | Op::FlSub | Op::FlLogic => matches!(inst.ty, Ty::I8 | Ty::I16 | Ty::I32 | Ty::I64),
        Op::FlAdc | Op::FlSbb => matches!(inst.ty, Ty::I32 | Ty::I64),
        Op::FlShl | Op::FlShr | Op::FlSar => {
            matches!(inst.ty, Ty::I32 | Ty::I64)
                && by(inst.args[1]).is_some_and(|n| n > 0 && n < u64::from(inst.ty.bits()))
        }
        Op::FComi => true,
        _ => false,
    }
}
