//! Where the values of a block are, and the temporaries.
//!
//! A value is known, in the home of a slot, in a temporary register, spilled, or lazy. Temporaries are few: the one whose value is needed
//! last is spilled when another is wanted. Before a home is written, values that are only there and still needed move out
//! ([`Emit::clobber_home`]).

use super::shape;
use super::unit::Emit;
use super::{Home, home, spill};
use demotic_asm::x64::int::Alu;
use demotic_asm::x64::sse::Sse;
use demotic_asm::x64::{Mem, Reg, Size, Xmm};
use demotic_ir::block::Val;
use demotic_ir::ops::Op;
use demotic_ir::slot::Slot;
use demotic_ir::state::eflags::ARITH;
use demotic_ir::ty::Ty;

/// Where a value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum At {
    /// Not computed.
    Nowhere,
    /// Known.
    Const(u64),
    /// In the low bits of a slot.
    Home(u8),
    /// In a general register.
    Reg(Reg),
    /// In a vector register.
    Vec(Xmm),
    /// In a spill slot.
    Spill(u16),
    /// To be computed by its users.
    Lazy,
    /// A flags value: in RFLAGS as far as [`super::flags`] says so.
    Flags,
    /// In the result field of the frame.
    Result,
}

/// No node of a list of aliases.
const NO_NODE: u16 = u16::MAX;
/// An empty list of aliases.
pub(super) const NO_ALIASES: (u16, u16) = (NO_NODE, NO_NODE);

/// What is where. But for `aliases`, which begin anew in every block, entries count only where a mask of [`Emit`] says that they do.
#[derive(Debug)]
pub(super) struct Books {
    /// Values that were seen in the home of each slot, in lists: the first and last node of each.
    pub aliases: [(u16, u16); Slot::COUNT as usize],
    /// The value in each register.
    owners: [Val; 16],
    vowners: [Val; 16],
    /// The slot that a register's value was loaded from.
    origin: [u8; 16],
    /// The value in each spill slot.
    spill_of: [Val; crate::frame::SPILLS],
}

impl Default for Books {
    fn default() -> Books {
        Books {
            aliases: [NO_ALIASES; Slot::COUNT as usize],
            owners: [Val::NONE; 16],
            vowners: [Val::NONE; 16],
            origin: [0; 16],
            spill_of: [Val::NONE; crate::frame::SPILLS],
        }
    }
}

/// A source operand of an integer instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Src {
    /// A register.
    Reg(Reg),
    /// A sign-extended immediate.
    Imm(i32),
    /// Memory.
    Mem(Mem),
}

impl Emit<'_> {
    /// Type of a value.
    pub(super) fn ty(&self, v: Val) -> Ty {
        self.b.insts.get(v.index()).map_or(Ty::None, |i| i.result())
    }

    /// Operand size of a value.
    pub(super) fn size(&self, v: Val) -> Size {
        Size::of_bits(self.ty(v).bits())
    }

    /// Whether operations behind `end` need the value.
    pub(super) fn needed(&self, v: Val, end: usize) -> bool {
        usize::from(self.shape.last(v.index())) > end
    }

    pub(super) fn at(&self, v: Val) -> At {
        self.at.get(v.index()).copied().unwrap_or(At::Nowhere)
    }

    pub(super) fn constant(&self, v: Val) -> Option<u64> {
        shape::constant(self.b, v)
    }

    /// Gives up on the unit.
    pub(super) fn fail(&mut self, why: &'static str) {
        self.failed = self.failed.or(Some(why));
    }

    // ---- temporaries ------------------------------------------------------------------------------------------------

    /// A spill slot.
    pub(super) fn spill_slot(&mut self) -> u16 {
        let n = self.spilled.trailing_ones() as u16;
        // The last one is where the flags are saved.
        if n >= super::flags::SAVED {
            self.fail("spill slots");
            return 0;
        }
        self.spilled |= 1 << n;
        n
    }

    /// The value is in that spill slot from now on.
    pub(super) fn spill_in(&mut self, v: Val, n: u16) {
        self.at[v.index()] = At::Spill(n);
        self.books.spill_of[usize::from(n)] = v;
    }

    /// The value in a general register.
    pub(super) fn owner(&self, r: u8) -> Option<Val> {
        (self.owned >> (r & 15) & 1 != 0).then(|| self.books.owners[usize::from(r & 15)])
    }

    /// The value in a vector register.
    pub(super) fn vowner(&self, x: u8) -> Option<Val> {
        (self.vowned >> (x & 15) & 1 != 0).then(|| self.books.vowners[usize::from(x & 15)])
    }

    /// The slot in memory that a temporary's value was loaded from, while it holds it still.
    pub(super) fn origin(&self, r: u8) -> Option<u8> {
        (self.cached >> (r & 15) & 1 != 0).then(|| self.books.origin[usize::from(r & 15)])
    }

    /// Moves the value in a temporary register out to memory.
    fn evict(&mut self, r: Reg, v: Val) {
        if self.uncache(r) {
            return;
        }
        let n = self.spill_slot();
        self.a.store(Size::Q, spill(n), r);
        self.spill_in(v, n);
        self.owned &= !(1 << r.0);
        self.sync();
    }

    /// Forgets the copy of a slot in memory in a temporary register. False when it holds something else.
    pub(super) fn uncache(&mut self, r: Reg) -> bool {
        let (Some(v), Some(slot)) = (self.owner(r.0), self.origin(r.0)) else { return false };
        self.define_home(v, slot);
        self.cached &= !(1 << r.0);
        self.sync();
        true
    }

    /// A free temporary register, reserved until the operation is done.
    pub(super) fn temp(&mut self) -> Reg {
        let unlocked = self.temps & !self.locked;
        let free = unlocked & !self.owned;
        let r = match free {
            1.. => free.trailing_zeros() as u8,
            0 => {
                let far = (0..16u8)
                    .filter(|r| unlocked >> r & 1 != 0)
                    .max_by_key(|r| self.owner(*r).map_or(0, |v| self.shape.last(v.index())));
                let Some(r) = far else {
                    self.fail("temporary registers");
                    return Reg::R14;
                };
                if let Some(v) = self.owner(r) {
                    self.evict(Reg(r), v);
                }
                r
            }
        };
        self.locked |= 1 << r;
        Reg(r)
    }

    /// A free temporary vector register, reserved until the operation is done.
    pub(super) fn vtemp(&mut self) -> Xmm {
        let unlocked = self.vtemps & !self.vlocked;
        let free = unlocked & !self.vowned;
        let r = match free {
            1.. => free.trailing_zeros() as u8,
            0 => {
                let far = (0..16u8)
                    .filter(|r| unlocked >> r & 1 != 0)
                    .max_by_key(|r| self.vowner(*r).map_or(0, |v| self.shape.last(v.index())));
                let Some(r) = far else {
                    self.fail("temporary vector registers");
                    return Xmm(15);
                };
                if let Some(v) = self.vowner(r) {
                    let n = self.spill_slot();
                    self.a.sse_store(Sse::MOVUPS, spill(n), Xmm(r));
                    self.spill_in(v, n);
                    self.vowned &= !(1 << r);
                    self.sync();
                }
                r
            }
        };
        self.vlocked |= 1 << r;
        Xmm(r)
    }

    /// How many temporary registers could be had without locked ones.
    pub(super) fn available(&self) -> u32 {
        (self.temps & !self.locked).count_ones()
    }

    /// Reserves a register that holds an operand.
    pub(super) fn lock(&mut self, r: Reg) {
        self.locked |= 1 << r.0;
    }

    /// Gives up the reservation of a register (its owner keeps it).
    pub(super) fn unlock(&mut self, r: Reg) {
        self.locked &= !(1 << r.0);
    }

    /// The operation is done: gives back scratch registers, and those of values that nothing behind `end` needs.
    #[inline(always)]
    pub(super) fn release(&mut self, end: usize) {
        self.locked = 0;
        self.vlocked = 0;
        if self.owned | self.vowned != 0 || self.spilled != 0 {
            self.release_values(end);
        }
    }

    fn release_values(&mut self, end: usize) {
        let mut left = self.owned;
        while left != 0 {
            let r = left.trailing_zeros() as usize;
            left &= left - 1;
            if !self.needed(self.books.owners[r], end) {
                self.owned &= !(1 << r);
            }
        }
        let mut left = self.vowned;
        while left != 0 {
            let r = left.trailing_zeros() as usize;
            left &= left - 1;
            if !self.needed(self.books.vowners[r], end) {
                self.vowned &= !(1 << r);
            }
        }
        let mut left = self.spilled;
        while left != 0 {
            let n = left.trailing_zeros() as usize;
            left &= left - 1;
            let v = self.books.spill_of[n];
            if self.at(v) != At::Spill(n as u16) || !self.needed(v, end) {
                self.spilled &= !(1 << n);
            }
        }
    }

    // ---- values -----------------------------------------------------------------------------------------------------

    /// The value is in that temporary from now on.
    pub(super) fn define(&mut self, v: Val, r: Reg) {
        self.forget(v);
        self.cached &= !(1 << r.0);
        self.at[v.index()] = At::Reg(r);
        self.books.owners[usize::from(r.0)] = v;
        self.owned |= 1 << r.0;
    }

    /// The same for vectors.
    pub(super) fn vdefine(&mut self, v: Val, x: Xmm) {
        self.forget(v);
        self.at[v.index()] = At::Vec(x);
        self.books.vowners[usize::from(x.0)] = v;
        self.vowned |= 1 << x.0;
    }

    /// The value is in a slot from now on.
    #[inline]
    pub(super) fn define_home(&mut self, v: Val, slot: u8) {
        self.forget(v);
        self.found_home(v, slot);
    }

    /// The same of a value that has been nowhere so far.
    #[inline(always)]
    pub(super) fn found_home(&mut self, v: Val, slot: u8) {
        self.at[v.index()] = At::Home(slot);
        let node = self.alias_nodes.len() as u16;
        if node == NO_NODE {
            return self.fail("so long a block");
        }
        self.alias_nodes.push((v, NO_NODE));
        let list = &mut self.books.aliases[usize::from(slot)];
        match self.alias_nodes.get_mut(usize::from(list.1)) {
            Some(last) => last.1 = node,
            None => list.0 = node,
        }
        list.1 = node;
    }

    #[inline(always)]
    fn forget(&mut self, v: Val) {
        match self.at[v.index()] {
            At::Reg(r) if self.owner(r.0) == Some(v) => self.owned &= !(1 << r.0),
            At::Vec(x) if self.vowner(x.0) == Some(v) => self.vowned &= !(1 << x.0),
            _ => {}
        }
    }

    /// Before the slot's home is written: values there that operations behind `end` need, move out.
    pub(super) fn clobber_home(&mut self, slot: u8, end: usize) {
        let (mut node, _) = core::mem::replace(&mut self.books.aliases[usize::from(slot)], NO_ALIASES);
        let mut left = self.cached;
        while left != 0 {
            let r = left.trailing_zeros() as usize;
            left &= left - 1;
            if self.books.origin[r] == slot {
                self.cached &= !(1 << r);
            }
        }
        let mut moved = false;
        while let Some(&(v, next)) = self.alias_nodes.get(usize::from(node)) {
            node = next;
            if self.at(v) != At::Home(slot) || !self.needed(v, end) {
                continue;
            }
            moved = true;
            if self.ty(v) == Ty::V128 {
                let src = self.vreg(v);
                if self.at(v) == At::Home(slot) {
                    let t = self.vtemp();
                    self.a.sse(Sse::MOVAPS, t, src);
                    self.vdefine(v, t);
                }
            } else if self.available() > 0 {
                let t = self.temp();
                match home(self.long, slot) {
                    // 32-bit values in temporaries are zero-extended.
                    Home::Gpr(r) => self.a.mov(self.size(v).at_least_d(), t, r),
                    Home::Mem(m) => self.a.mov(self.slot_size(slot), t, Mem::gs(m)),
                    Home::Vec(x) => self.a.movd_from(Size::Q, t, Xmm(x)),
                }
                self.define(v, t);
            } else {
                let n = self.spill_slot();
                match home(self.long, slot) {
                    Home::Gpr(r) => self.a.store(Size::Q, spill(n), r),
                    Home::Vec(x) => self.a.sse_store(Sse::MOVUPS, spill(n), Xmm(x)),
                    Home::Mem(_) => self.fail("temporary registers"),
                }
                self.spill_in(v, n);
            }
        }
        if moved {
            self.sync();
        }
    }

    /// Width of a slot in memory, for moves of all of it.
    pub(super) fn slot_size(&self, slot: u8) -> Size {
        Size::of_bits(Slot(slot).ty().bits())
    }

    /// A register that holds the value; not to be written.
    pub(super) fn reg(&mut self, v: Val) -> Reg {
        let from = match self.at(v) {
            At::Reg(r) => {
                self.lock(r);
                return r;
            }
            At::Const(c) => {
                let t = self.temp();
                self.a.mov_imm(t, c);
                return t;
            }
            At::Home(slot) => match home(self.long, slot) {
                Home::Gpr(r) => return r,
                Home::Mem(m) => Mem::gs(m),
                Home::Vec(x) => {
                    let t = self.temp();
                    self.a.movd_from(Size::Q, t, Xmm(x));
                    return t;
                }
            },
            At::Spill(n) => spill(n),
            At::Result => super::result(),
            At::Lazy => {
                if let Some(r) = self.extended(v) {
                    return r;
                }
                let t = self.compute(v);
                self.lock(t);
                return t;
            }
            At::Nowhere | At::Vec(_) | At::Flags => {
                self.fail("value in no register");
                return Reg::R14;
            }
        };
        let slot = if let At::Home(slot) = self.at(v) { Some(slot) } else { None };
        let (size, t) = (self.size(v), self.temp());
        self.a.movzx(size, t, from);
        self.define(v, t);
        if let Some(slot) = slot {
            self.books.origin[usize::from(t.0)] = slot;
            self.cached |= 1 << t.0;
        }
        t
    }

    /// Whether a value in a home was read from there, as a whole or in part, and not computed: bits beyond its type are the slot's.
    pub(super) fn is_a_view(&self, v: Val) -> bool {
        let inst = self.b.insts[v.index()];
        let cut = || self.ty(inst.args[0]).bits() >= inst.ty.bits();
        inst.op == Op::Get || matches!(inst.op, Op::Zext | Op::Sext) && cut()
    }

    /// The register of a 32-bit value whose zero-extension `v` is, when the upper half is zero anyway.
    fn extended(&mut self, v: Val) -> Option<Reg> {
        let inst = self.b.insts[v.index()];
        if inst.op != Op::Zext || inst.ty != Ty::I64 || self.ty(inst.args[0]) != Ty::I32 {
            return None;
        }
        let o = inst.args[0];
        match self.at(o) {
            At::Reg(r) => {
                self.lock(r);
                Some(r)
            }
            At::Home(slot) if !self.long || !self.is_a_view(o) => match home(self.long, slot) {
                Home::Gpr(r) => Some(r),
                _ => None,
            },
            _ => None,
        }
    }

    /// The value as a source operand of an instruction of its size.
    pub(super) fn src(&mut self, v: Val) -> Src {
        let size = self.size(v);
        match self.at(v) {
            At::Const(c) => match immediate(c, size) {
                Some(i) => Src::Imm(i),
                None => Src::Reg(self.reg(v)),
            },
            At::Home(slot) => match home(self.long, slot) {
                Home::Mem(m) => Src::Mem(Mem::gs(m)),
                _ => Src::Reg(self.reg(v)),
            },
            At::Spill(n) => Src::Mem(spill(n)),
            _ => Src::Reg(self.reg(v)),
        }
    }

    /// A scratch register with a copy of the value, to be overwritten. Bits above the value's type are noise.
    pub(super) fn copy(&mut self, v: Val, end: usize) -> Reg {
        if let At::Reg(r) = self.at(v) {
            if !self.needed(v, end) && self.owner(r.0) == Some(v) && self.locked >> r.0 & 1 == 0 {
                // Its last use; the map still says where it is until the operation is done.
                self.lock(r);
                return r;
            }
        }
        match self.src(v) {
            Src::Reg(r) => {
                let t = self.temp();
                self.a.mov(self.size(v).at_least_d(), t, r);
                t
            }
            Src::Imm(i) => {
                let t = self.temp();
                let c = self.constant(v).unwrap_or(i as u64);
                self.a.mov_imm(t, c);
                t
            }
            Src::Mem(m) => {
                let t = self.temp();
                self.a.movzx(self.size(v), t, m);
                t
            }
        }
    }

    /// Puts the value into that register (which is not its home); upper bits are noise.
    pub(super) fn load_into(&mut self, v: Val, r: Reg) {
        let size = self.size(v);
        match self.src(v) {
            Src::Reg(s) if s == r => {}
            Src::Reg(s) => self.a.mov(size.at_least_d(), r, s),
            Src::Imm(i) => {
                let c = self.constant(v).unwrap_or(i as u64);
                self.a.mov_imm(r, c);
            }
            Src::Mem(m) => self.a.movzx(size, r, m),
        }
    }

    /// A vector register that holds the value; not to be written.
    pub(super) fn vreg(&mut self, v: Val) -> Xmm {
        let from = match self.at(v) {
            At::Vec(x) => {
                self.vlocked |= 1 << x.0;
                return x;
            }
            At::Home(slot) => match home(self.long, slot) {
                Home::Vec(x) => return Xmm(x),
                Home::Mem(m) => Mem::gs(m),
                Home::Gpr(_) => {
                    self.fail("vector in a general register");
                    return Xmm(15);
                }
            },
            At::Spill(n) => spill(n),
            At::Result => super::result(),
            _ => {
                self.fail("vector in no register");
                return Xmm(15);
            }
        };
        let t = self.vtemp();
        self.a.sse(Sse::MOVUPS, t, from);
        self.vdefine(v, t);
        t
    }

    /// Computes a lazy value into a temporary, where it stays.
    pub(super) fn compute(&mut self, v: Val) -> Reg {
        let was = std::mem::replace(&mut self.preparing, true);
        let r = self.compute_now(v);
        self.preparing = was;
        r
    }

    fn compute_now(&mut self, v: Val) -> Reg {
        let inst = self.b.insts[v.index()];
        match inst.op {
            Op::Add | Op::Sub | Op::Shl | Op::Zext | Op::And if shape::linear(self.b, &inst, self.long) => {
                let size = Size::of_bits(inst.ty.bits());
                let t = self.linear_into(v, size, None);
                self.define(v, t);
                t
            }
            Op::Zext if self.ty(inst.args[0]) == Ty::I1 => {
                let t = self.truth(inst.args[0]);
                self.a.movzx(Size::B, t, t);
                self.define(v, t);
                t
            }
            Op::Add | Op::Sub | Op::And => {
                let size = Size::of_bits(inst.ty.bits()).at_least_d();
                let t = self.temp();
                self.load_into(inst.args[0], t);
                let b = self.src(inst.args[1]);
                let op = match inst.op {
                    Op::Add => Alu::Add,
                    Op::Sub => Alu::Sub,
                    _ => Alu::And,
                };
                let end = self.index;
                self.before_flags(ARITH, end, 0);
                self.alu_src(op, size, t, b);
                self.wrote_flags(ARITH, None);
                self.define(v, t);
                t
            }
            Op::Cond | Op::Eq | Op::LtU | Op::LtS | Op::Not if self.ty(v) == Ty::I1 => {
                let t = self.truth(v);
                self.define(v, t);
                t
            }
            _ => {
                self.fail("lazy operation");
                Reg::R14
            }
        }
    }
}

/// A constant as a sign-extended immediate of an instruction of that size.
pub(super) fn immediate(c: u64, size: Size) -> Option<i32> {
    match size {
        Size::B => Some(i32::from(c as i8)),
        Size::W => Some(i32::from(c as i16)),
        Size::D => Some(c as i32),
        Size::Q => i32::try_from(c as i64).ok(),
    }
}
