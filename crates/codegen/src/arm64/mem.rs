//! Memory: addresses, loads, stores, atomic operations.
//!
//! Guest address and host address are the same number. A sum with a constant or a scaled index goes into the addressing mode; push
//! and pop become pre- and post-indexed accesses. Under TSO loads acquire and stores release; accesses known to be
//! unaligned, and vectors, use barriers.

use super::Emit;
use super::analysis::NONE;
use super::regs::{S0, S1, W};
use crate::target::Order;
use crate::{Loc, Place};
use demotic_asm::arm64::branch;
use demotic_asm::arm64::int::{self, Arith, Logic};
use demotic_asm::arm64::mem::{self, Access, Ordered, Rmw, Width};
use demotic_asm::arm64::{Extend, LogicImm, Number, Reg, Shift, Simm9, Sz, ZR, float};
use demotic_asm::buffer::Field;
use demotic_ir::block::Val;
use demotic_ir::interp::ATTR_ALIGN16;
use demotic_ir::ops::Op;
use demotic_ir::ty::Ty;

/// An address in the form of an addressing mode.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mode {
    Off(Reg, i64),
    Index(Reg, Reg, Extend, bool),
}

pub(super) fn access(ty: Ty, load: bool, signed: Option<Sz>) -> Access {
    match (ty, load, signed) {
        (Ty::I8, true, None) => Access::Ldrb,
        (Ty::I8, true, Some(Sz::W)) => Access::LdrsbW,
        (Ty::I8, true, Some(Sz::X)) => Access::LdrsbX,
        (Ty::I16, true, None) => Access::Ldrh,
        (Ty::I16, true, Some(Sz::W)) => Access::LdrshW,
        (Ty::I16, true, Some(Sz::X)) => Access::LdrshX,
        (Ty::I32, true, Some(Sz::X)) => Access::Ldrsw,
        (Ty::I32, true, _) => Access::LdrW,
        (Ty::V128, true, _) => Access::LdrQ,
        (_, true, _) => Access::LdrX,
        (Ty::I8, false, _) => Access::Strb,
        (Ty::I16, false, _) => Access::Strh,
        (Ty::I32, false, _) => Access::StrW,
        (Ty::V128, false, _) => Access::StrQ,
        (_, false, _) => Access::StrX,
    }
}

pub(super) fn width(ty: Ty) -> Option<Width> {
    Some(match ty {
        Ty::I8 => Width::B,
        Ty::I16 => Width::H,
        Ty::I32 => Width::W,
        Ty::I64 => Width::X,
        _ => return None,
    })
}

impl Emit<'_> {
    pub(super) fn tso(&self) -> bool {
        self.request.target.order == Order::Tso
    }

    /// The operand `index << shift` of a sum: register and shift.
    pub fn shifted(&mut self, val: Val) -> (Reg, u32) {
        let inst = self.block.insts[val.index()];
        if inst.op == Op::Shl && self.an[val.index()].lazy && self.books.loc[val.index()] == W::Not {
            let by = self.constant(inst.args[1]).unwrap_or(0) as u32;
            return (self.r(inst.args[0]), by);
        }
        (self.r(val), 0)
    }

    fn is_lazy(&self, val: Val, op: Op) -> bool {
        let k = val.index();
        self.an[k].lazy && self.books.loc[k] == W::Not && self.block.insts[k].op == op
    }

    pub(super) fn mode(&mut self, addr: Val, scale: u32) -> Mode {
        let inst = self.block.insts[addr.index()];
        if self.is_lazy(addr, Op::Zext) {
            let sum = self.block.insts[inst.args[0].index()];
            // A sum that is wanted elsewhere, too, has been computed; what it was computed of may be gone.
            let computed = self.books.loc[inst.args[0].index()] != W::Not;
            let (from, c) = if computed {
                (inst.args[0], 0)
            } else {
                (sum.args[0], self.constant(sum.args[1]).unwrap_or(0) as i32)
            };
            let base = self.r(from);
            if u32::from(self.bits_of(from)) > 32 {
                self.w(int::ubfx(Sz::X, S0, base, 0, 32));
                return Mode::Off(S0, i64::from(c));
            }
            return Mode::Off(base, i64::from(c));
        }
        if let Some((base, off)) = self.constant(addr).and_then(|c| self.near_const(c)) {
            return Mode::Off(base, off);
        }
        if !self.is_lazy(addr, Op::Add) {
            return Mode::Off(self.r(addr), 0);
        }
        let (a, b) = (inst.args[0], inst.args[1]);
        if let Some(c) = self.constant(b) {
            let c = c as i64;
            if self.is_lazy(a, Op::Add) {
                let inner = self.block.insts[a.index()];
                self.sum_into(S0, inner.args[0], inner.args[1]);
                return Mode::Off(S0, c);
            }
            return Mode::Off(self.r(a), c);
        }
        let ((ra, ka), (rb, kb)) = (self.shifted(a), self.shifted(b));
        let (base, index, by) = if ka == 0 { (ra, rb, kb) } else { (rb, ra, ka) };
        if ka != 0 && kb != 0 || by != 0 && by != scale {
            self.sum_into(S0, a, b);
            return Mode::Off(S0, 0);
        }
        Mode::Index(base, index, Extend::Uxtx, by != 0)
    }

    /// `d = a + b` where one may be shifted.
    pub fn sum_into(&mut self, d: Reg, a: Val, b: Val) {
        let ((ra, ka), (rb, kb)) = (self.shifted(a), self.shifted(b));
        if ka == 0 {
            self.w(int::arith(Arith::Add, Sz::X, d, ra, rb, Shift::Lsl, kb));
        } else if kb == 0 {
            self.w(int::arith(Arith::Add, Sz::X, d, rb, ra, Shift::Lsl, ka));
        } else {
            self.w(int::lsl_imm(Sz::X, S1, ra, ka));
            self.w(int::arith(Arith::Add, Sz::X, d, S1, rb, Shift::Lsl, kb));
        }
    }

    /// Finishes an addressing mode: everything that comes before the access itself. Gives the access.
    fn finish(&mut self, op: Access, t: impl Number, mode: Mode) -> u32 {
        match mode {
            Mode::Off(base, off) => match mem::offset(op, t, base, off) {
                Some(w) => w,
                None => {
                    let c = self.const_reg(off as u64);
                    mem::index(op, t, base, c, Extend::Uxtx, false)
                }
            },
            Mode::Index(base, index, ext, scaled) => mem::index(op, t, base, index, ext, scaled),
        }
    }

    /// The address in one register.
    fn address(&mut self, mode: Mode) -> Reg {
        match mode {
            Mode::Off(base, 0) => base,
            Mode::Off(base, off) => {
                self.add_const(Sz::X, S0, base, off as u64);
                S0
            }
            Mode::Index(base, index, _, scaled) => {
                debug_assert!(!scaled);
                self.w(int::arith(Arith::Add, Sz::X, S0, base, index, Shift::Lsl, 0));
                S0
            }
        }
    }

    /// Gives up where operation `i` asks for an alignment that its address does not have. The address, perhaps in another form.
    fn check_alignment(&mut self, i: usize, mode: Mode) -> Mode {
        if self.block.insts[i].imm & ATTR_ALIGN16 == 0 || self.an[i].aligned {
            return mode;
        }
        let (mode, r) = match mode {
            Mode::Off(base, off) if off & 15 == 0 => (mode, base),
            Mode::Off(base, off) => {
                self.add_const(Sz::X, S1, base, off as u64);
                (mode, S1)
            }
            Mode::Index(base, index, _, scaled) => {
                let by = if scaled { Access::LdrQ.scale() } else { 0 };
                self.w(int::arith(Arith::Add, Sz::X, S0, base, index, Shift::Lsl, by));
                (Mode::Off(S0, 0), S0)
            }
        };
        let label = self.deopt();
        self.wo(LogicImm::new(Sz::X, 15).and_then(|imm| int::logic_imm(Logic::And, Sz::X, S1, r, imm)));
        self.w_to(branch::cbz(true, Sz::X, S1), label, Field::Arm19);
        mode
    }

    /// The same for what is no vector: no instruction has such accesses.
    fn check_scalar(&mut self, i: usize) {
        let inst = self.block.insts[i];
        if inst.imm & ATTR_ALIGN16 != 0 && inst.ty != Ty::V128 {
            let base = self.r(inst.args[0]);
            self.check_alignment(i, Mode::Off(base, 0));
        }
    }

    // ---- loads --------------------------------------------------------------------------------------------------------

    pub fn load(&mut self, i: usize) {
        let inst = self.block.insts[i];
        let addr = inst.args[0];
        self.check_scalar(i);
        if inst.ty == Ty::F80 {
            let base = self.r(addr);
            let d = self.vscratch();
            self.wo(mem::offset(Access::Ldrh, S0, base, 8));
            self.wo(mem::offset(Access::LdrD, d, base, 0));
            self.w(float::fmov_hi_from(d, S0));
            self.vresult(i, d);
            if self.tso() {
                self.index = i + 1;
                self.w(branch::DMB_ISHLD);
            }
            return;
        }
        let vector = inst.ty == Ty::V128 || self.loads_to_vector(i);
        let signed = self.an[i].extended;
        let op = match (vector, inst.ty) {
            (true, Ty::I32) => Access::LdrS,
            (true, Ty::I64) => Access::LdrD,
            (true, _) => Access::LdrQ,
            _ => access(inst.ty, true, signed),
        };
        let bits = match signed {
            None => inst.ty.bits().min(64) as u8,
            Some(size) => size.bits() as u8,
        };
        if self.tso() && !vector && !self.request.unaligned {
            let Some(w) = width(inst.ty) else { return self.fail() };
            let mode = self.mode(addr, 99);
            let features = self.request.target.features;
            let word: u32;
            let d;
            match mode {
                Mode::Off(base, off) if features.rcpc2 && Simm9::new(off).is_some() && off != 0 => {
                    d = self.dest(i);
                    let Some(off) = Simm9::new(off) else { return };
                    word = mem::ordered_off(true, w, d, base, off);
                }
                mode => {
                    let base = self.address(mode);
                    d = self.dest(i);
                    word = mem::ordered(if features.rcpc { Ordered::Ldapr } else { Ordered::Ldar }, w, d, base);
                }
            }
            self.w(word);
            self.result(i, d, inst.ty.bits() as u8);
            if let Some(size) = signed {
                // The place of the value is known; what is above does not matter until then.
                self.index = i + 1;
                self.w(int::sbfx(size, d, d, 0, inst.ty.bits()));
                self.widened(i, bits);
            }
            return;
        }
        let popped = self.pop(i).filter(|&j| {
            let base = self.block.insts[j].args[0].index();
            self.an[j].into.is_some_and(|s| self.books.loc[base] == W::Home(s))
        });
        if let Some(j) = popped {
            self.load_pop(i, j, op, bits, vector);
            return;
        }
        let mode = self.mode(addr, op.scale());
        let mode = if inst.ty == Ty::V128 { self.check_alignment(i, mode) } else { mode };
        if vector {
            let d = self.vdest(i);
            let word = self.finish(op, d, mode);
            self.w(word);
            self.vresult(i, d);
        } else {
            let d = self.dest(i);
            let word = self.finish(op, d, mode);
            self.w(word);
            self.result(i, d, bits);
        }
        if self.tso() {
            self.index = i + 1;
            self.w(branch::DMB_ISHLD);
        }
    }

    /// Whether a loaded integer is only wanted in a vector register.
    fn loads_to_vector(&self, i: usize) -> bool {
        let inst = &self.block.insts[i];
        matches!(inst.ty, Ty::I32 | Ty::I64)
            && self.an[i].uses == 1
            && self.block.insts.get(self.an[i].user()).is_some_and(|u| u.op == Op::VZext && u.ty == inst.ty)
            && !self.tso()
    }

    /// The addition that a post-indexed load can do as well.
    fn pop(&self, i: usize) -> Option<usize> {
        let j = self.an[i].popped();
        (j != NONE).then_some(j)
    }

    fn load_pop(&mut self, i: usize, j: usize, op: Access, bits: u8, vector: bool) {
        let sum = self.block.insts[j];
        let slot = self.an[j].into.unwrap_or(0);
        let off = self
            .constant(sum.args[1])
            .and_then(|c| Simm9::new(if sum.ty == Ty::I32 { i64::from(c as i32) } else { c as i64 }));
        let base = Self::home(slot);
        self.evacuate(slot, j);
        let Some(off) = off else { return self.fail() };
        if vector {
            let d = self.vdest(i);
            self.w(mem::post(op, d, base, off));
            self.vresult(i, d);
        } else {
            let d = self.dest(i);
            self.w(mem::post(op, d, base, off));
            self.result(i, d, bits);
        }
        self.done[j] = true;
        self.name_home(j, slot, if self.narrow() { 32 } else { 64 });
    }

    // ---- stores -------------------------------------------------------------------------------------------------------

    pub fn store(&mut self, i: usize) {
        let inst = self.block.insts[i];
        let (addr, val) = (inst.args[0], inst.args[1]);
        self.check_scalar(i);
        if inst.ty == Ty::F80 {
            let (base, d) = (self.r(addr), self.vr(val));
            self.w(float::fmov_hi_to(S0, d));
            if self.tso() {
                self.w(branch::DMB_ISH);
            }
            self.wo(mem::offset(Access::Strh, S0, base, 8));
            self.wo(mem::offset(Access::StrD, d, base, 0));
            return;
        }
        // A lane that is stored from where it is.
        if self.is_lazy(val, Op::VExt) {
            let from = self.block.insts[val.index()];
            let d = self.vr(from.args[0]);
            let op = if inst.ty == Ty::I32 { Access::StrS } else { Access::StrD };
            let mode = self.mode(addr, op.scale());
            if self.tso() {
                self.w(branch::DMB_ISH);
            }
            let word = self.finish(op, d, mode);
            self.w(word);
            return;
        }
        let op = access(inst.ty, false, None);
        if inst.ty == Ty::V128 {
            let d = self.vr(val);
            let mode = self.mode(addr, op.scale());
            let mode = self.check_alignment(i, mode);
            if self.tso() {
                self.w(branch::DMB_ISH);
            }
            let word = self.finish(op, d, mode);
            self.w(word);
            return;
        }
        if self.an[i].pushed() != NONE && !self.tso() && self.is_return_address(val) {
            if let Some((slot, off)) = self.pushes(i) {
                let pc = self.constant(val).unwrap_or(0);
                self.evacuate(slot, i);
                self.mov_imm(Sz::X, S0, pc);
                self.w(mem::pre(op, S0, Self::home(slot), off));
                self.link = Some(self.buf.offset());
                return self.pushed(i, slot);
            }
        }
        let r = self.rz(val);
        if self.tso() && !self.request.unaligned {
            let Some(w) = width(inst.ty) else { return self.fail() };
            match self.mode(addr, 99) {
                Mode::Off(base, off) if self.request.target.features.rcpc2 && Simm9::new(off).is_some() && off != 0 => {
                    let Some(off) = Simm9::new(off) else { return };
                    self.w(mem::ordered_off(false, w, r, base, off));
                }
                mode => {
                    let base = self.address(mode);
                    self.w(mem::ordered(Ordered::Stlr, w, r, base));
                }
            }
            return;
        }
        let set = self.an[i].pushed();
        if set != NONE && !self.tso() {
            if let Some((slot, off)) = self.pushes(i).filter(|p| Self::home(p.0) != r) {
                self.evacuate(slot, i);
                self.w(mem::pre(op, r, Self::home(slot), off));
                return self.pushed(i, slot);
            }
            let sum = self.an[i].push_sum();
            let s = self.block.insts[sum];
            // `push rsp`: the sum is needed on its own.
            let d = self.scratch();
            let a = self.r(s.args[0]);
            let c = self.constant(s.args[1]).unwrap_or(0);
            self.add_const(super::flags::sz(s.ty), d, a, c);
            self.result(sum, d, s.ty.bits() as u8);
            self.wo(mem::offset(op, r, d, 0));
            return;
        }
        let mode = self.mode(addr, op.scale());
        if self.tso() {
            self.w(branch::DMB_ISH);
        }
        let word = self.finish(op, r, mode);
        self.w(word);
    }

    /// The register that a store can write as well, and by how much it changes it.
    fn pushes(&self, i: usize) -> Option<(u8, Simm9)> {
        let slot = self.block.insts[self.an[i].pushed()].imm as u8;
        let s = self.block.insts[self.an[i].push_sum()];
        let c = self.constant(s.args[1])?;
        let off = Simm9::new(if s.ty == Ty::I32 { i64::from(c as i32) } else { c as i64 })?;
        (self.books.loc[s.args[0].index()] == W::Home(slot)).then_some((slot, off))
    }

    /// Such a store has been emitted.
    fn pushed(&mut self, i: usize, slot: u8) {
        self.done[self.an[i].pushed()] = true;
        self.name_home(self.an[i].push_sum(), slot, if self.narrow() { 32 } else { 64 });
    }

    // ---- atomic operations --------------------------------------------------------------------------------------------

    pub fn atomic(&mut self, i: usize) {
        let inst = self.block.insts[i];
        let Some(w) = width(inst.ty).filter(|_| !self.request.unaligned) else { return self.helper(i) };
        let (addr, a) = (self.r(inst.args[0]), self.r(inst.args[1]));
        let bits = inst.ty.bits() as u8;
        if !self.request.target.features.lse {
            return self.exclusive(i, w, addr, a);
        }
        if inst.op == Op::ACas {
            let new = self.rz(inst.args[2]);
            // The home must be exact when the access faults.
            let d = self.scratch();
            self.w(int::logic(Logic::Orr, Sz::X, d, ZR, a, Shift::Lsl, 0));
            self.w(mem::casal(w, d, new, addr));
            self.result(i, d, bits);
            return;
        }
        let mut operand = a;
        let op = match inst.op {
            Op::AXchg => Rmw::Swp,
            Op::AAdd => Rmw::Ldadd,
            Op::AAnd => {
                self.w(int::logic(Logic::Orn, Sz::X, S0, ZR, a, Shift::Lsl, 0));
                operand = S0;
                Rmw::Ldclr
            }
            Op::AOr => Rmw::Ldset,
            _ => Rmw::Ldeor,
        };
        let d = self.dest(i);
        self.w(mem::rmw(op, w, operand, d, addr));
        self.result(i, d, bits);
    }

    /// The same with load-exclusive and store-exclusive.
    fn exclusive(&mut self, i: usize, w: Width, addr: Reg, a: Reg) {
        let inst = self.block.insts[i];
        let bits = inst.ty.bits();
        let size = super::flags::sz(inst.ty);
        let new = if inst.op == Op::ACas { self.rz(inst.args[2]) } else { S0 };
        let expected = if inst.op == Op::ACas && bits < 32 {
            let t = self.scratch();
            self.w(int::ubfx(Sz::W, t, a, 0, bits));
            t
        } else {
            a
        };
        let d = self.scratch();
        let (again, out) = (self.buf.label(), self.buf.label());
        self.buf.bind(again);
        self.w(mem::ordered(Ordered::Ldaxr, w, d, addr));
        match inst.op {
            Op::AXchg => self.w(int::logic(Logic::Orr, Sz::X, S0, ZR, a, Shift::Lsl, 0)),
            Op::AAdd => self.w(int::arith(Arith::Add, size, S0, d, a, Shift::Lsl, 0)),
            Op::AAnd => self.w(int::logic(Logic::And, size, S0, d, a, Shift::Lsl, 0)),
            Op::AOr => self.w(int::logic(Logic::Orr, size, S0, d, a, Shift::Lsl, 0)),
            Op::AXor => self.w(int::logic(Logic::Eor, size, S0, d, a, Shift::Lsl, 0)),
            _ => {
                self.w(int::logic(Logic::Eor, size, S1, d, expected, Shift::Lsl, 0));
                self.w_to(branch::cbz(true, size, S1), out, Field::Arm19);
            }
        }
        self.w(mem::stxr(true, w, S1, new, addr));
        // Behind the store its status says whether the operation is done.
        if self.stop.is_some() {
            let Place { block, index, mut values } = self.here();
            values.push((Val(i as u16), Loc::Gpr(d.n() as u8)));
            values.push((crate::ATTEMPT, Loc::Gpr(S1.n() as u8)));
            self.fixed_place = Some(Place { block, index, values });
        }
        self.w_to(branch::cbz(true, Sz::W, S1), again, Field::Arm19);
        self.fixed_place = None;
        self.buf.bind(out);
        self.result(i, d, bits as u8);
    }
}
