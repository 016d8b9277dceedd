//! Addresses, loads, stores, atomics.

use super::shape;
use super::unit::Emit;
use super::values::{At, Src};
use super::{Home, home, spill};
use demotic_asm::x64::int::Alu;
use demotic_asm::x64::sse::Sse;
use demotic_asm::x64::{Mem, Reg, Size};
use demotic_ir::block::{Inst, Val};
use demotic_ir::interp::ATTR_ALIGN16;
use demotic_ir::ops::Op;
use demotic_ir::slot::Slot;
use demotic_ir::state::eflags::ARITH;
use demotic_ir::ty::Ty;
use smallvec::SmallVec;

/// A linear form: scaled values and a constant.
#[derive(Debug, Default)]
struct Linear {
    terms: SmallVec<[(Val, u8); 4]>,
    disp: i64,
    /// Computed modulo 2^32.
    short: bool,
}

/// The operand of an address that is made of these.
fn sum(base: Option<Reg>, index: Option<(Reg, u8)>, disp: i32) -> Mem {
    let m = base.map_or(Mem::absolute(disp), |base| Mem::base(base, disp));
    index.map_or(m, |(index, scale)| m.indexed(index, scale))
}

impl Emit<'_> {
    /// Most addresses: a value that is somewhere, and a constant.
    fn near(&self, v: Val) -> Option<(Val, i32)> {
        let mut v = v;
        let mut inst = &self.b.insts[v.index()];
        let linear = |x: &Inst| shape::linear(self.b, x, self.long);
        if !self.long && self.at(v) == At::Lazy && matches!(inst.op, Op::Zext | Op::And) && linear(inst) {
            v = inst.args[0];
            inst = &self.b.insts[v.index()];
        }
        match self.at(v) {
            At::Const(_) => None,
            At::Lazy if inst.op == Op::Add => {
                let [a, b, ..] = inst.args;
                let At::Const(c) = self.at(b) else { return None };
                let disp = if inst.ty == Ty::I32 { c as i32 } else { i32::try_from(c as i64).ok()? };
                let fits = matches!(inst.ty, Ty::I32 | Ty::I64) && (inst.ty == Ty::I64) == self.long;
                (fits && !matches!(self.at(a), At::Const(_) | At::Lazy)).then_some((a, disp))
            }
            At::Lazy => None,
            _ => Some((v, 0)),
        }
    }

    fn collect(&self, v: Val, scale: u8, l: &mut Linear, root: bool) {
        let inst = self.b.insts[v.index()];
        if let At::Const(c) = self.at(v) {
            // Sign-extended, so that 32-bit sums stay small.
            let c = if inst.ty == Ty::I32 { i64::from(c as i32) } else { c as i64 };
            l.disp = l.disp.wrapping_add(c.wrapping_shl(u32::from(scale)));
            return;
        }
        if self.at(v) == At::Lazy && shape::linear(self.b, &inst, self.long) {
            let [a, b, ..] = inst.args;
            match inst.op {
                Op::Add => {
                    self.collect(a, scale, l, false);
                    self.collect(b, scale, l, false);
                    return;
                }
                Op::Sub => {
                    let c = self.constant(b).unwrap_or(0);
                    let c = if inst.ty == Ty::I32 { i64::from(c as i32) } else { c as i64 };
                    l.disp = l.disp.wrapping_sub(c.wrapping_shl(u32::from(scale)));
                    self.collect(a, scale, l, false);
                    return;
                }
                Op::Shl => {
                    let n = self.constant(b).unwrap_or(0) as u8;
                    if scale + n <= 3 {
                        self.collect(a, scale + n, l, false);
                        return;
                    }
                }
                // A cut: fine where everything is cut anyway.
                Op::Zext if inst.ty == Ty::I32 && l.short => {
                    self.collect(a, scale, l, false);
                    return;
                }
                Op::Zext if inst.ty == Ty::I32 => {}
                Op::Zext | Op::And if l.short && !self.long => {
                    self.collect(a, scale, l, false);
                    return;
                }
                Op::Zext if root => {
                    l.short = true;
                    self.collect(a, scale, l, false);
                    return;
                }
                _ => {}
            }
        }
        l.terms.push((v, scale));
    }

    /// Turns a linear form into a memory operand; `more` registers will be wanted besides.
    fn operand(&mut self, l: &Linear, more: u32) -> Mem {
        let short = l.short;
        let mut disp = l.disp;
        let size = if short { Size::D } else { Size::Q };
        if short {
            disp = i64::from(disp as i32);
        }
        let Ok(small) = i32::try_from(disp) else {
            let t = self.temp();
            self.a.mov_imm(t, disp as u64);
            return self.operand_with(&l.terms, Some(t), 0, short, size, more);
        };
        if l.terms.is_empty() && !short && small < 0 {
            // An absolute address is sign-extended as it should be.
            return Mem::absolute(small);
        }
        self.operand_with(&l.terms, None, small, short, size, more)
    }

    fn operand_with(
        &mut self,
        terms: &[(Val, u8)],
        mut base: Option<Reg>,
        disp: i32,
        short: bool,
        size: Size,
        more: u32,
    ) -> Mem {
        let mut index: Option<(Reg, u8)> = None;
        for &(v, scale) in terms {
            let r = self.reg_address(v);
            if scale == 0 && base.is_none() {
                base = Some(r);
                continue;
            }
            let two = base.is_some_and(|b| self.is_temp(b)) && self.is_temp(r);
            if index.is_some() || two && self.available() <= more && terms.len() > 2 {
                // Too many: fold what there is into one register.
                let m = sum(base, index, 0);
                // What is to be added next may be in one of them, too.
                let own = [base, index.map(|(r, _)| r)].into_iter().flatten().find(|&x| x != r && self.expendable(x));
                let t = self.reused_or_temp(own);
                self.a.lea(size, t, m);
                base = Some(t);
            }
            index = Some((r, scale));
        }
        let m = sum(base, index, disp).short(short);
        let scratch = [base, index.map(|(r, _)| r)].into_iter().flatten().filter(|r| self.is_temp(*r)).count();
        if scratch == 2 && self.available() < more {
            let t = self.reuse_or_temp(base, index);
            self.a.lea(size, t, m.short(false));
            for r in [base, index.map(|(r, _)| r)].into_iter().flatten() {
                if r != t && self.is_temp(r) {
                    self.unlock(r);
                }
            }
            return Mem::base(t, 0);
        }
        m
    }

    fn is_temp(&self, r: Reg) -> bool {
        self.temps >> r.0 & 1 != 0
    }

    /// One of the scratch registers without an owner, else a new one.
    fn reuse_or_temp(&mut self, base: Option<Reg>, index: Option<(Reg, u8)>) -> Reg {
        let own = [base, index.map(|(r, _)| r)].into_iter().flatten().find(|r| self.expendable(*r));
        self.reused_or_temp(own)
    }

    /// That register, whose value is forgotten, or a new one.
    fn reused_or_temp(&mut self, own: Option<Reg>) -> Reg {
        match own {
            Some(r) => {
                self.uncache(r);
                r
            }
            None => self.temp(),
        }
    }

    /// Whether a register is a temporary whose value nobody needs there.
    fn expendable(&self, r: Reg) -> bool {
        self.is_temp(r) && (self.owner(r.0).is_none() || self.origin(r.0).is_some())
    }

    /// A register with a part of an address.
    fn reg_address(&mut self, v: Val) -> Reg {
        self.reg(v)
    }

    /// The memory operand of a guest address; `more` registers will be wanted besides.
    pub(super) fn address(&mut self, v: Val, more: u32) -> Mem {
        if let Some((base, disp)) = self.near(v) {
            return Mem::base(self.reg(base), disp).short(!self.long);
        }
        let mut l = Linear { short: !self.long, ..Linear::default() };
        self.collect(v, 0, &mut l, true);
        self.operand(&l, more)
    }

    /// Computes a lazy linear value into `into` or a temporary.
    pub(super) fn linear_into(&mut self, v: Val, size: Size, into: Option<Reg>) -> Reg {
        let inst = &self.b.insts[v.index()];
        if inst.op == Op::Add && self.at(v) == At::Lazy {
            if let Some((base, disp)) = self.near(v) {
                let m = Mem::base(self.reg(base), disp);
                return self.address_into(m, size, into);
            }
        }
        let mut l = Linear { short: size == Size::D, ..Linear::default() };
        // Zero-extension of a 32-bit sum.
        let mut size = size;
        if inst.op == Op::And || inst.op == Op::Zext && inst.ty == Ty::I64 {
            l.short = true;
            size = Size::D;
        }
        self.collect(v, 0, &mut l, true);
        if l.terms.first().is_some_and(|t| t.0 == v) {
            // Nothing to look into: the operation itself is a cut or an extension.
            l.terms.clear();
            l.terms.push((inst.args[0], 0));
        }
        if l.terms.is_empty() {
            let d = into.unwrap_or_else(|| self.temp());
            let value = if size == Size::D { u64::from(l.disp as u32) } else { l.disp as u64 };
            self.a.mov_imm(d, value);
            return d;
        }
        let m = self.operand(&l, 0).short(false);
        self.address_into(m, size, into)
    }

    /// What an operand in memory says is its address, into a register.
    #[inline]
    fn address_into(&mut self, m: Mem, size: Size, into: Option<Reg>) -> Reg {
        let d = match into {
            Some(d) => d,
            None => {
                let own = m.registers().find(|r| self.expendable(*r));
                let scratch = self.reused_or_temp(own);
                self.lock(scratch);
                scratch
            }
        };
        match m.base_register().filter(|_| m.index_register().is_none() && m.disp() == 0) {
            Some(b) => self.a.mov(size, d, b),
            None => self.a.lea(size, d, m),
        }
        d
    }

    /// A load that is not part of a group.
    pub(super) fn load(&mut self, i: usize) {
        let inst = self.b.insts[i];
        let v = Val(i as u16);
        let m = self.address(inst.args[0], 1);
        match inst.ty {
            Ty::V128 => {
                let op = if inst.imm & ATTR_ALIGN16 != 0 { Sse::MOVAPS } else { Sse::MOVUPS };
                if let Some(Slot(s)) = self.shape.plan.goes_to(i) {
                    if let Home::Vec(x) = home(self.long, s) {
                        self.clobber_home(s, i);
                        self.sync();
                        self.a.sse(op, demotic_asm::x64::Xmm(x), m);
                        return self.define_home(v, s);
                    }
                }
                let x = self.vtemp();
                self.sync();
                self.a.sse(op, x, m);
                self.vdefine(v, x);
            }
            Ty::F80 => {
                let n = self.spill_slot();
                let t = self.temp();
                self.sync();
                self.a.mov(Size::Q, t, m);
                self.a.store(Size::Q, spill(n), t);
                self.a.movzx(Size::W, t, m.offset(8));
                self.a.store(Size::Q, spill(n).offset(8), t);
                self.spill_in(v, n);
            }
            Ty::I8 | Ty::I16 | Ty::I32 | Ty::I64 => {
                let size = Size::of_bits(inst.ty.bits());
                if let Some(Slot(s)) = self.shape.plan.goes_to(i) {
                    if let Home::Gpr(r) = home(self.long, s) {
                        self.clobber_home(s, i);
                        self.sync();
                        self.a.movzx(size, r, m);
                        return self.define_home(v, s);
                    }
                }
                let t = self.result_register(m);
                self.sync();
                self.a.movzx(size, t, m);
                self.define(v, t);
            }
            _ => self.fail("load of this type"),
        }
    }

    /// A register for what is loaded from `m`: one of its own scratch registers will do.
    pub(super) fn result_register(&mut self, m: Mem) -> Reg {
        let own = m.registers().find(|r| self.expendable(*r));
        match own {
            // The map is told when the value is there: a fault finds it where it was.
            Some(r) => {
                self.uncache(r);
                r
            }
            None => self.temp(),
        }
    }

    /// A store that is not part of a group.
    pub(super) fn store(&mut self, i: usize) {
        let inst = self.b.insts[i];
        let [a, b, ..] = inst.args;
        match inst.ty {
            Ty::V128 => {
                let x = self.vreg(b);
                let m = self.address(a, 0);
                self.sync();
                let op = if inst.imm & ATTR_ALIGN16 != 0 { Sse::MOVAPS } else { Sse::MOVUPS };
                self.a.sse_store(op, m, x);
            }
            Ty::I8 | Ty::I16 | Ty::I32 | Ty::I64 => {
                let size = Size::of_bits(inst.ty.bits());
                let m = self.address(a, 1);
                match self.src(b) {
                    Src::Imm(c) => {
                        self.sync();
                        self.a.store_imm(size, m, c);
                    }
                    Src::Reg(r) => {
                        self.sync();
                        self.a.store(size, m, r);
                    }
                    Src::Mem(_) => {
                        let r = self.reg(b);
                        self.sync();
                        self.a.store(size, m, r);
                    }
                }
            }
            _ => self.helper(i),
        }
    }

    /// Atomic operations; those without a plain host form go to the interpreter.
    pub(super) fn atomic(&mut self, i: usize) {
        let inst = self.b.insts[i];
        let v = Val(i as u16);
        let [a, b, ..] = inst.args;
        if !matches!(inst.ty, Ty::I8 | Ty::I16 | Ty::I32 | Ty::I64) {
            return self.helper(i);
        }
        let size = Size::of_bits(inst.ty.bits());
        match inst.op {
            Op::AXchg => {
                let m = self.address(a, 1);
                let t = self.temp();
                self.load_into(b, t);
                if self.locks() {
                    self.sync();
                    self.a.xchg(size, m, t);
                    self.define(v, t);
                } else {
                    let old = self.temp();
                    self.sync();
                    self.a.mov(size, old, m);
                    self.a.store(size, m, t);
                    self.define(v, old);
                }
            }
            Op::AAdd => {
                let m = self.address(a, 1);
                let t = self.temp();
                self.load_into(b, t);
                self.before_flags(ARITH, i, 0);
                let lock = self.locks();
                self.sync();
                self.a.xadd(lock, size, m, t);
                self.wrote_flags(ARITH, None);
                self.define(v, t);
            }
            Op::AAnd | Op::AOr | Op::AXor if !self.needed(v, i) => {
                let m = self.address(a, 1);
                let r = self.reg(b);
                self.before_flags(ARITH, i, 0);
                let op = match inst.op {
                    Op::AAnd => Alu::And,
                    Op::AOr => Alu::Or,
                    _ => Alu::Xor,
                };
                let lock = self.locks();
                self.sync();
                self.a.alu_locked(lock, op, size, m, r);
                self.wrote_flags(ARITH, None);
            }
            _ => self.helper(i),
        }
    }
}
