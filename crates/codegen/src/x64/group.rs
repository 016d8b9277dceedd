//! Groups: a value, its flags, its write, and an operand in memory as one host instruction.

use super::shape::Group;
use super::unit::Emit;
use super::values::{At, Src};
use super::{Home, home};
use demotic_asm::x64::int::{Alu, Shift, ShiftX, Unary};
use demotic_asm::x64::{Mem, Reg, Rm, Size};
use demotic_ir::block::Val;
use demotic_ir::ops::Op;
use demotic_ir::passes::flags::cond_reads;
use demotic_ir::state::eflags::{ARITH, CF, OF};
use demotic_ir::ty::Ty;

/// The host instruction of a group.
#[derive(Clone, Copy, Debug)]
enum Host {
    /// `op dst, src`.
    Alu(Alu),
    /// `inc dst` or `dec dst`: the carry stays.
    IncDec(bool),
    /// `not dst`, `neg dst`.
    Unary(Unary),
    /// Shift by a constant.
    ShiftImm(Shift, u8),
    /// Shift by CL.
    ShiftCl(Shift),
    /// `imul dst, src`.
    Imul,
}

impl Emit<'_> {
    /// `op dst, src` in a register.
    pub(super) fn alu_src(&mut self, op: Alu, size: Size, dst: Reg, src: Src) {
        match src {
            Src::Reg(r) => self.a.alu(op, size, dst, r),
            Src::Imm(i) => self.a.alu_imm(op, size, dst, i),
            Src::Mem(m) => self.a.alu(op, size, dst, m),
        }
    }

    /// The instruction on any destination; a memory destination has no memory source.
    fn apply(&mut self, host: Host, size: Size, dst: Rm, src: Src) {
        match (host, dst) {
            (Host::Alu(op), Rm::Reg(r)) => self.alu_src(op, size, Reg(r), src),
            (Host::Alu(op), Rm::Mem(m)) => match src {
                Src::Reg(r) => self.a.alu_store(op, size, m, r),
                Src::Imm(i) => self.a.alu_imm(op, size, m, i),
                Src::Mem(_) => self.fail("two memory operands"),
            },
            (Host::IncDec(down), dst) => self.a.inc_dec(size, dst, down),
            (Host::Unary(op), dst) => self.a.unary(op, size, dst),
            (Host::ShiftImm(op, n), dst) => self.a.shift_imm(op, size, dst, n),
            (Host::ShiftCl(op), dst) => self.a.shift_cl(op, size, dst),
            (Host::Imul, Rm::Reg(r)) => match src {
                Src::Reg(s) => self.a.imul(size, Reg(r), s),
                Src::Imm(i) => self.a.imul_imm(size, Reg(r), Reg(r), i),
                Src::Mem(m) => self.a.imul(size, Reg(r), m),
            },
            (Host::Imul, Rm::Mem(_)) => self.fail("product in memory"),
        }
    }

    /// Emits the group anchored at `i`.
    pub(super) fn group(&mut self, i: usize, g: &Group) {
        let inst = self.b.insts[i];
        if matches!(inst.op, Op::DivU | Op::DivS) {
            return self.division(i, g);
        }
        if inst.op == Op::ACas {
            return self.compare_exchange(i, g);
        }
        match inst.op {
            Op::AAdd | Op::AAnd | Op::AOr | Op::AXor => return self.locked(i, g),
            Op::ShlD | Op::ShrD | Op::Rcl | Op::Rcr => return self.shift_more(i, g),
            Op::FLo | Op::FFmaFl => return self.both_halves(i, g),
            _ => {}
        }
        if g.other.is_some() {
            return self.wide_product(i, g);
        }
        let size = Size::of_bits(inst.ty.bits());
        let set_mask = g.setfl.map_or(0, |s| self.b.insts[s].imm as u32 & ARITH);
        if self.rf.saved & self.shape.plan.flags_home(g.end + 1) & !set_mask != 0 && g.setfl.is_some() {
            self.restore_flags(g.end);
        }
        if matches!(inst.op, Op::FlSub | Op::FlAdd | Op::FlLogic) {
            return self.compare_group(i, g, size, set_mask);
        }
        // `test`, `cmp`: nobody wants the value.
        let v = Val(i as u16);
        if g.set.is_none() && g.store.is_none() && !self.needed(v, g.end) && g.setfl.is_some() && inst.op == Op::And {
            let (a, b) = (inst.args[0], inst.args[1]);
            self.test_operands(size, a, b, g);
            self.before_flags(ARITH, g.end, set_mask);
            // The operands are in place: see `test_operands`.
            self.emit_test(size);
            return self.flags_done(i, g, ARITH, set_mask);
        }
        let carry = self.shape.carry(self.b, i, g);
        let (a, b) = match carry {
            Some([a, b, _]) => (a, b),
            None => (inst.args[0], inst.args[1]),
        };
        // What a product leaves in the other flags is undefined for the guest as well.
        let undefined = if inst.op == Op::Mul && g.setfl.is_some() { ARITH } else { 0 };
        let set_mask = set_mask | undefined;
        let survive = self.shape.plan.flags_home(g.end + 1) & !set_mask & self.rf.home;
        let one = self.constant(b) == Some(1) && carry.is_none();
        let mut clobbers = ARITH;
        let host = match inst.op {
            Op::Add | Op::Sub if one && survive == CF && g.setfl.is_some() => {
                clobbers = ARITH & !CF;
                Host::IncDec(inst.op == Op::Sub)
            }
            Op::Add if carry.is_some() => Host::Alu(Alu::Adc),
            Op::Sub if carry.is_some() => Host::Alu(Alu::Sbb),
            Op::Add => Host::Alu(Alu::Add),
            Op::Sub if self.constant(a) == Some(0) => Host::Unary(Unary::Neg),
            Op::Sub => Host::Alu(Alu::Sub),
            Op::And => Host::Alu(Alu::And),
            Op::Or => Host::Alu(Alu::Or),
            Op::Xor => Host::Alu(Alu::Xor),
            Op::Not => {
                clobbers = 0;
                Host::Unary(Unary::Not)
            }
            Op::Mul => Host::Imul,
            _ => match self.shift(i, g, &mut clobbers) {
                Some(h) => h,
                None => return,
            },
        };
        if size == Size::B && matches!(host, Host::Imul) {
            return self.narrow_product(i, g);
        }
        if let Some([.., c]) = carry {
            self.carry_in(c, g);
        }
        if g.setfl.is_none() && carry.is_none() && survive & clobbers != 0 && self.without_flags(i, g, a, b) {
            return;
        }
        // Narrow values without flags are computed in 32 bits; the upper bits are noise.
        let narrow_write = g.set.is_some() || g.store.is_some();
        let size = if g.fl.is_none() && !narrow_write && matches!(host, Host::Alu(_) | Host::Unary(_) | Host::Imul) {
            size.at_least_d()
        } else {
            size
        };
        let unary = matches!(host, Host::Unary(_) | Host::IncDec(_) | Host::ShiftImm(..) | Host::ShiftCl(_));
        let (mut first, mut second) = if matches!(host, Host::Unary(Unary::Neg)) { (b, b) } else { (a, b) };
        let commutes = matches!(inst.op, Op::Add | Op::And | Op::Or | Op::Xor | Op::Mul) && !unary;
        let loaded = g.load.map(|l| Val(l as u16));
        if g.store.is_some() {
            return self.read_modify_write(i, g, host, clobbers, set_mask, second, unary);
        }
        // The operand in memory comes second.
        if commutes && !unary && (loaded == Some(first) || matches!(self.at(first), At::Const(_))) {
            core::mem::swap(&mut first, &mut second);
        }
        let slot = g.set.map(|s| self.b.insts[s].imm as u8);
        if let Some(slot) = slot {
            if commutes
                && loaded != Some(second)
                && self.at(first) != At::Home(slot)
                && self.at(second) == At::Home(slot)
            {
                core::mem::swap(&mut first, &mut second);
            }
        }
        // Sources first: nothing is destroyed yet.
        let src = if unary {
            Src::Imm(0)
        } else if loaded == Some(second) {
            Src::Mem(self.load_address(g))
        } else {
            let s = self.src(second);
            if inst.op == Op::Mul && matches!(s, Src::Mem(_)) && self.at(second) == At::Nowhere {
                self.fail("operand");
            }
            s
        };
        // A write of 32 bits clears the upper half, which an operation on memory does not.
        let clears = |s: u8| size == Size::D && s < 16 && matches!(home(self.long, s), Home::Mem(_));
        let v_slot_in_place =
            slot.is_some_and(|s| self.at(first) == At::Home(s) && !clears(s)) && loaded != Some(first);
        if let (Some(slot), true) = (slot, v_slot_in_place) {
            let dst = self.home_rm(slot);
            let mut src = src;
            let is_mem = matches!(dst, Rm::Mem(_));
            if let (true, true, Src::Mem(m)) = (is_mem, size != Size::D, src) {
                let t = self.temp();
                self.a.movzx(size, t, m);
                src = Src::Reg(t);
            }
            // A 32-bit result clears the upper half of its slot.
            let elsewhere = is_mem && (matches!(host, Host::Imul) || size == Size::D);
            if !elsewhere {
                self.clobber_home(slot, g.end);
                self.before_flags(clobbers, g.end, set_mask);
                self.sync();
                self.apply(host, size, dst, src);
                self.define_home(v, slot);
                return self.flags_done(i, g, clobbers, set_mask);
            }
        }
        // A three-operand product.
        if let (Host::Imul, Src::Imm(c)) = (host, src) {
            let from = self.src(first);
            let dst = self.destination(slot, g.end);
            self.before_flags(clobbers, g.end, set_mask);
            self.sync();
            match from {
                Src::Reg(r) => self.a.imul_imm(size, dst, r, c),
                Src::Mem(m) => self.a.imul_imm(size, dst, m, c),
                Src::Imm(_) => {
                    let r = self.reg(first);
                    self.a.imul_imm(size, dst, r, c);
                }
            }
            return self.finish_register(i, g, dst, slot, clobbers, set_mask);
        }
        // Straight into the home's register when the second operand is not there.
        if let Some(Home::Gpr(d)) = slot.map(|s| home(self.long, s)) {
            let clash = match src {
                Src::Reg(r) => r == d,
                Src::Mem(m) => m.uses(d) || loaded == Some(second),
                Src::Imm(_) => false,
            };
            let cl = matches!(host, Host::ShiftCl(_)) && d == Reg::RCX;
            let slot = slot.unwrap_or(0);
            if !clash && !cl && loaded != Some(first) {
                self.clobber_home(slot, g.end);
                self.before_flags(clobbers, g.end, set_mask);
                self.sync();
                // An 8-bit write keeps the rest of the register.
                match self.src(first) {
                    Src::Reg(r) => self.a.mov(size, d, r),
                    Src::Mem(m) => self.a.mov(size, d, m),
                    Src::Imm(_) if size < Size::D => {
                        let c = self.constant(first).unwrap_or(0);
                        self.a.mov_imm_narrow(size, d, c as i32);
                    }
                    Src::Imm(_) => {
                        let c = self.constant(first).unwrap_or(0);
                        self.a.mov_imm(d, c);
                    }
                }
                self.apply(host, size, Rm::Reg(d.0), src);
                self.define_home(v, slot);
                return self.flags_done(i, g, clobbers, set_mask);
            }
        }
        let t = if loaded == Some(first) {
            let m = self.load_address(g);
            let t = self.temp();
            self.a.movzx(size, t, m);
            t
        } else {
            let t = self.temp();
            self.load_into(first, t);
            t
        };
        self.before_flags(clobbers, g.end, set_mask);
        self.sync();
        self.apply(host, size, Rm::Reg(t.0), src);
        self.finish_register(i, g, t, slot, clobbers, set_mask);
    }

    /// Where a slot is, as an operand.
    pub(super) fn home_rm(&self, slot: u8) -> Rm {
        match home(self.long, slot) {
            Home::Gpr(r) => Rm::Reg(r.0),
            Home::Vec(x) => Rm::Reg(x),
            Home::Mem(m) => Rm::Mem(Mem::gs(m)),
        }
    }

    /// A register to compute in: the slot's own when it has one.
    fn destination(&mut self, slot: Option<u8>, end: usize) -> Reg {
        if let Some(s) = slot {
            if let Home::Gpr(r) = home(self.long, s) {
                self.clobber_home(s, end);
                return r;
            }
        }
        self.temp()
    }

    /// The result is in `r`: writes it to the slot if that is elsewhere.
    pub(super) fn finish_register(
        &mut self,
        i: usize,
        g: &Group,
        r: Reg,
        slot: Option<u8>,
        clobbers: u32,
        set_mask: u32,
    ) {
        let v = Val(i as u16);
        self.lost_flags(clobbers);
        match slot {
            None => self.define(v, r),
            Some(s) => {
                self.write_home(s, self.ty(v), r, g.end);
                self.define_home(v, s);
            }
        }
        self.flags_done(i, g, clobbers, set_mask);
    }

    /// Moves a register to a general slot; narrow types keep the rest of it.
    pub(super) fn write_home(&mut self, slot: u8, ty: Ty, r: Reg, end: usize) {
        let size = Size::of_bits(ty.bits());
        match home(self.long, slot) {
            Home::Gpr(d) if d == r => {}
            Home::Gpr(d) => {
                self.clobber_home(slot, end);
                self.a.mov(size, d, r);
            }
            Home::Mem(m) => {
                self.clobber_home(slot, end);
                if size == Size::D {
                    // Zero-extends into the slot.
                    self.a.mov(Size::D, r, r);
                    self.a.store(Size::Q, Mem::gs(m), r);
                } else {
                    self.a.store(size, Mem::gs(m), r);
                }
            }
            Home::Vec(_) => self.fail("vector slot"),
        }
    }

    /// Bookkeeping behind the host instruction.
    pub(super) fn flags_done(&mut self, i: usize, g: &Group, clobbers: u32, set_mask: u32) {
        let f = g.fl.map(|f| Val(f as u16));
        self.wrote_flags(clobbers, f);
        if let Some(s) = g.setfl {
            self.set_home(set_mask, s);
        }
        if let Some(f) = f {
            self.at[f.index()] = At::Flags;
        }
        if g.load.is_some() {
            self.pending = None;
        }
        self.index = g.end + 1;
        // Operands of the group are gone; the map is right from here on.
        let _ = i;
        self.sync();
    }

    /// Memory operand of the group's load.
    fn load_address(&mut self, g: &Group) -> Mem {
        let Some(l) = g.load else { return Mem::default() };
        let inst = self.b.insts[l];
        self.address(inst.args[0], 1)
    }

    fn read_modify_write(
        &mut self,
        i: usize,
        g: &Group,
        host: Host,
        clobbers: u32,
        set_mask: u32,
        second: Val,
        unary: bool,
    ) {
        let inst = self.b.insts[i];
        let size = Size::of_bits(inst.ty.bits());
        let src = if unary {
            Src::Imm(0)
        } else {
            match self.src(second) {
                Src::Mem(_) => Src::Reg(self.reg(second)),
                s => s,
            }
        };
        let m = self.load_address(g);
        self.before_flags(clobbers, g.end, set_mask);
        self.sync();
        self.apply(host, size, Rm::Mem(m), src);
        self.flags_done(i, g, clobbers, set_mask);
    }

    /// A sum or difference, and the like, without touching flags, where they are needed. False: not possible cheaply.
    fn without_flags(&mut self, i: usize, g: &Group, a: Val, b: Val) -> bool {
        let inst = self.b.insts[i];
        if g.load.is_some() || g.store.is_some() || !matches!(inst.ty, Ty::I32 | Ty::I64) {
            return false;
        }
        let size = Size::of_bits(inst.ty.bits());
        let slot = g.set.map(|s| self.b.insts[s].imm as u8);
        let near = |c: Option<u64>| c.and_then(|c| super::values::immediate(c, size));
        let m = match (inst.op, near(self.constant(b))) {
            (Op::Add, Some(c)) => {
                let r = self.reg(a);
                Mem::base(r, c)
            }
            (Op::Sub, Some(c)) if c != i32::MIN => {
                let r = self.reg(a);
                Mem::base(r, -c)
            }
            (Op::Add, None) => {
                let (r, s) = (self.reg(a), self.reg(b));
                if self.failed.is_some() {
                    return false;
                }
                Mem::index(r, s, 0, 0)
            }
            _ => return false,
        };
        let d = self.destination(slot, g.end);
        self.sync();
        self.a.lea(size, d, m);
        self.finish_register(i, g, d, slot, 0, 0);
        true
    }

    /// Gets a carry into CF.
    fn carry_in(&mut self, c: Val, g: &Group) {
        let inst = self.b.insts[c.index()];
        if self.at(c) == At::Lazy && inst.op == Op::Cond && inst.imm == 2 && self.flags_ready(inst.args[0], CF) {
            return;
        }
        let mut end = g.end;
        if g.load.is_some() || g.store.is_some() {
            // The access that is still to come may fault, which shows the home as it is before the group.
            self.carried = true;
            end = self.pending.unwrap_or(self.index).saturating_sub(1);
        }
        if self.at(c) == At::Lazy && inst.op == Op::Cond {
            if let super::flags::Test::Cc(cc) = self.condition(c, end, false) {
                if cc == 2 {
                    return;
                }
            }
        }
        let r = self.reg(c);
        let t = self.temp();
        self.a.movzx(Size::B, t, r);
        self.before_flags(ARITH, end, if self.carried { 0 } else { ARITH });
        // 0 - 1 borrows, 1 - 1 does not: 0 - t borrows when t is 1.
        self.a.unary(Unary::Neg, Size::B, t);
        self.unlock(t);
        self.wrote_flags(ARITH, None);
    }

    fn compare_group(&mut self, i: usize, g: &Group, size: Size, set_mask: u32) {
        let inst = self.b.insts[i];
        let loaded = g.load.map(|l| Val(l as u16));
        let (a, b) = (inst.args[0], inst.args[1]);
        match inst.op {
            Op::FlLogic => {
                if loaded == Some(a) {
                    let m = self.load_address(g);
                    self.before_flags(ARITH, g.end, set_mask);
                    self.sync();
                    self.a.alu_imm(Alu::Cmp, size, m, 0);
                } else {
                    let s = self.src(a);
                    match s {
                        Src::Mem(m) => {
                            self.before_flags(ARITH, g.end, set_mask);
                            self.a.alu_imm(Alu::Cmp, size, m, 0);
                        }
                        _ => {
                            let r = self.reg(a);
                            self.before_flags(ARITH, g.end, set_mask);
                            self.a.test(size, r, r);
                        }
                    }
                }
            }
            Op::FlSub => {
                let x = if loaded == Some(a) { Src::Mem(self.load_address(g)) } else { self.src(a) };
                let y = if loaded == Some(b) { Src::Mem(self.load_address(g)) } else { self.src(b) };
                let (x, y) = match (x, y) {
                    (Src::Imm(_), y) => (Src::Reg(self.reg(a)), y),
                    (Src::Mem(_), Src::Mem(_)) if loaded == Some(a) => (x, Src::Reg(self.reg(b))),
                    (Src::Mem(_), Src::Mem(_)) => (Src::Reg(self.reg(a)), y),
                    other => other,
                };
                self.before_flags(ARITH, g.end, set_mask);
                self.sync();
                match (x, y) {
                    (Src::Reg(r), Src::Imm(0)) => self.a.test(size, r, r),
                    (Src::Reg(r), y) => self.alu_src(Alu::Cmp, size, r, y),
                    (Src::Mem(m), Src::Imm(c)) => self.a.alu_imm(Alu::Cmp, size, m, c),
                    (Src::Mem(m), Src::Reg(s)) => self.a.alu_store(Alu::Cmp, size, m, s),
                    _ => self.fail("comparison"),
                }
            }
            _ => {
                let t = self.temp();
                let (x, y) = if loaded == Some(a) { (b, a) } else { (a, b) };
                let y = if loaded == Some(y) { Src::Mem(self.load_address(g)) } else { self.src(y) };
                self.load_into(x, t);
                self.before_flags(ARITH, g.end, set_mask);
                self.sync();
                self.alu_src(Alu::Add, size, t, y);
            }
        }
        self.wrote_flags(ARITH, Some(Val(i as u16)));
        self.at[i] = At::Flags;
        if let Some(s) = g.setfl {
            self.set_home(set_mask, s);
        }
        if g.load.is_some() {
            self.pending = None;
        }
        self.index = g.end + 1;
        self.sync();
    }

    /// Gathers the operands of a `test`.
    fn test_operands(&mut self, _size: Size, a: Val, b: Val, g: &Group) {
        let loaded = g.load.map(|l| Val(l as u16));
        let (x, y) = if loaded == Some(b) || matches!(self.at(a), At::Const(_)) { (b, a) } else { (a, b) };
        let first = x;
        let x = if loaded == Some(x) { Src::Mem(self.load_address(g)) } else { self.src(x) };
        let y = match self.src(y) {
            Src::Mem(_) => Src::Reg(self.reg(y)),
            s => s,
        };
        let x = match x {
            Src::Imm(_) => Src::Reg(self.reg(first)),
            s => s,
        };
        self.test = Some((x, y));
    }

    fn emit_test(&mut self, size: Size) {
        self.sync();
        match self.test.take() {
            Some((Src::Reg(r), Src::Reg(s))) => self.a.test(size, r, s),
            Some((Src::Reg(r), Src::Imm(c))) => self.a.test_imm(size, r, c),
            Some((Src::Mem(m), Src::Reg(s))) => self.a.test(size, m, s),
            Some((Src::Mem(m), Src::Imm(c))) => self.a.test_imm(size, m, c),
            _ => self.fail("test"),
        }
    }

    /// Bits of the flags value that operations other than the group's own write of the home look at.
    pub(super) fn reads_of(&self, f: usize, g: &Group) -> u32 {
        let mut bits = 0;
        for (k, x) in self.b.insts.iter().enumerate().skip(f + 1) {
            if Some(k) != g.setfl && x.operands().contains(&Val(f as u16)) {
                bits |= if x.op == Op::Cond { cond_reads(x.imm) } else { ARITH };
            }
        }
        bits
    }

    /// The host instruction of a shift, or `None` when it was emitted in another way.
    fn shift(&mut self, i: usize, g: &Group, clobbers: &mut u32) -> Option<Host> {
        let inst = self.b.insts[i];
        let rotate = matches!(inst.op, Op::Rol | Op::Ror);
        let op = match inst.op {
            Op::Shl => Shift::Shl,
            Op::Shr => Shift::Shr,
            Op::Sar => Shift::Sar,
            Op::Rol => Shift::Rol,
            _ => Shift::Ror,
        };
        if rotate {
            *clobbers = CF | OF;
        }
        let width = u64::from(inst.ty.bits());
        let set_mask = g.setfl.map_or(0, |s| self.b.insts[s].imm as u32 & ARITH);
        let survive = self.shape.plan.flags_home(g.end + 1) & !set_mask & *clobbers & self.rf.home;
        let free = g.store.is_none() && matches!(inst.ty, Ty::I32 | Ty::I64) && g.fl.is_none();
        if let Some(n) = self.constant(inst.args[1]) {
            let n = if rotate { n % width } else { n };
            if n >= 1 && n < width.max(32).min(if rotate { width } else { 32.max(width) }) {
                if survive != 0 && rotate && free && self.request.target.features.bmi {
                    let left = inst.op == Op::Rol;
                    let n = if left { width - n } else { n } as u8;
                    let r = self.reg(inst.args[0]);
                    let slot = g.set.map(|s| self.b.insts[s].imm as u8);
                    let d = self.destination(slot, g.end);
                    self.sync();
                    self.a.rorx(Size::of_bits(inst.ty.bits()), d, r, n);
                    self.finish_register(i, g, d, slot, 0, 0);
                    return None;
                }
                return Some(Host::ShiftImm(op, n as u8));
            }
            self.group_by_helper(i, g);
            return None;
        }
        // A count in CL, masked as the host masks it.
        let mask = if width == 64 { 63 } else { 31 };
        let count = inst.args[1];
        let def = self.b.insts[count.index()];
        let masked = def.op == Op::And && self.constant(def.args[1]) == Some(mask);
        let in_cl = masked
            && super::shift::in_cl(self.b, i, def.args[0])
            && matches!(self.at(count), At::Reg(_) | At::Lazy | At::Home(_) | At::Spill(_));
        if free && masked && !rotate && self.request.target.features.bmi {
            let r = self.reg(inst.args[0]);
            let n = if in_cl { Reg::RCX } else { self.reg(count) };
            let slot = g.set.map(|s| self.b.insts[s].imm as u8);
            let d = self.destination(slot, g.end);
            let x = match op {
                Shift::Shl => ShiftX::Shlx,
                Shift::Shr => ShiftX::Shrx,
                _ => ShiftX::Sarx,
            };
            self.sync();
            self.a.shiftx(x, Size::of_bits(inst.ty.bits()), d, r, n);
            self.finish_register(i, g, d, slot, 0, 0);
            return None;
        }
        // With flags: a count of zero leaves them, so the old ones must be in place.
        let old_ready = match g.fl {
            None => survive == 0,
            Some(f) => {
                let old = self.b.insts[f].args[2];
                let wanted = self.shape.plan.flags_home(g.end + 1) & set_mask | self.reads_of(f, g);
                if old.index() > i {
                    // Read between the members: the home as it is now.
                    self.b.insts[old.index()].op == Op::GetFl && wanted & !self.rf.home == 0
                } else {
                    self.flags_ready(old, wanted)
                }
            }
        };
        if in_cl && old_ready {
            return Some(Host::ShiftCl(op));
        }
        self.group_by_helper(i, g);
        None
    }

    /// The members of a group one by one in the interpreter.
    pub(super) fn group_by_helper(&mut self, i: usize, g: &Group) {
        if let Some(l) = g.load {
            self.load(l);
            self.pending = None;
            self.index = l + 1;
            self.sync();
        }
        for k in i..=g.end {
            let apart = k != i && !self.shape.member(k);
            // What stands between the members is their operands as well.
            if apart && !(self.shape.lazy(k) || matches!(self.b.insts[k].op, Op::Get | Op::GetFl)) {
                continue;
            }
            self.locked = 0;
            self.vlocked = 0;
            self.index = k;
            self.sync();
            let inst = self.b.insts[k];
            match inst.op {
                _ if apart => self.single(k),
                Op::Set | Op::SetFl | Op::St => self.single(k),
                _ if self.shape.lazy(k) && inst.result() != Ty::Fl => self.single(k),
                _ => self.helper(k),
            }
            self.index = k + 1;
            self.release(k);
            self.sync();
        }
    }

    /// 8-bit products: in 32 bits.
    fn narrow_product(&mut self, i: usize, g: &Group) {
        let inst = self.b.insts[i];
        let t = self.temp();
        self.load_into(inst.args[0], t);
        let s = self.src(inst.args[1]);
        let slot = g.set.map(|s| self.b.insts[s].imm as u8);
        self.before_flags(ARITH, g.end, 0);
        self.sync();
        match s {
            Src::Reg(r) => self.a.imul(Size::D, t, r),
            Src::Imm(c) => self.a.imul_imm(Size::D, t, t, c),
            Src::Mem(m) => {
                let u = self.temp();
                self.a.movzx(Size::B, u, m);
                self.a.imul(Size::D, t, u);
            }
        }
        self.finish_register(i, g, t, slot, ARITH, 0);
    }

    /// `lock cmpxchg` as itself.
    fn compare_exchange(&mut self, i: usize, g: &Group) {
        let inst = self.b.insts[i];
        let Some((sel, _)) = g.other else { return };
        let size = Size::of_bits(inst.ty.bits());
        let set_mask = g.setfl.map_or(0, |s| self.b.insts[s].imm as u32 & ARITH);
        let m = self.address(inst.args[0], 1);
        let r = self.reg(inst.args[2]);
        self.clobber_home(0, g.end);
        self.before_flags(ARITH, g.end, set_mask);
        let lock = self.locks();
        self.sync();
        self.a.cmpxchg(lock, size, m, r);
        self.define_home(Val(sel as u16), 0);
        self.flags_done(i, g, ARITH, set_mask);
    }

    /// `mul`, one-operand `imul`. Flags other than carry and overflow are undefined behind it, and so are the guest's; a product that writes
    /// no flags (`mulx`) leaves those that somebody wants as they are.
    fn wide_product(&mut self, i: usize, g: &Group) {
        let inst = self.b.insts[i];
        let size = Size::of_bits(inst.ty.bits());
        let Some((hi, _)) = g.other else { return };
        let signed = self.b.insts[hi].op == Op::MulHiS;
        let v = inst.args[1 - g.acc.min(1)];
        let rm: Rm = if g.load.is_some() {
            self.load_address(g).into()
        } else {
            match self.src(v) {
                Src::Reg(r) => r.into(),
                Src::Mem(m) => m.into(),
                Src::Imm(_) => self.reg(v).into(),
            }
        };
        match g.setfl {
            Some(_) => self.keep_for_division(g.end),
            None => self.before_flags(ARITH, g.end, 0),
        }
        self.clobber_home(0, g.end);
        self.clobber_home(2, g.end);
        self.sync();
        self.a.unary(if signed { Unary::Imul } else { Unary::Mul }, size, rm);
        self.define_home(Val(i as u16), 0);
        self.define_home(Val(hi as u16), 2);
        let home = self.rf.home;
        self.wrote_flags(ARITH, None);
        if let Some(s) = g.setfl {
            self.rf.home = home;
            self.set_home(CF | OF, s);
        }
        if g.load.is_some() {
            self.pending = None;
        }
        self.index = g.end + 1;
        self.sync();
    }

    fn division(&mut self, i: usize, g: &Group) {
        let inst = self.b.insts[i];
        let size = Size::of_bits(inst.ty.bits());
        let Some((r, _)) = g.other else { return };
        let d = inst.args[2];
        let rm: Rm = if g.load.is_some() {
            self.load_address(g).into()
        } else {
            match self.src(d) {
                Src::Reg(r) => r.into(),
                Src::Mem(m) => m.into(),
                Src::Imm(_) => self.reg(d).into(),
            }
        };
        // Conditions of the old flags: the division leaves RFLAGS undefined, and so are the guest's then.
        self.keep_for_division(g.end);
        self.clobber_home(0, g.end);
        self.clobber_home(2, g.end);
        self.sync();
        self.a.unary(if inst.op == Op::DivU { Unary::Div } else { Unary::Idiv }, size, rm);
        self.define_home(Val(i as u16), 0);
        self.define_home(Val(r as u16), 2);
        let home = self.rf.home;
        self.wrote_flags(ARITH, None);
        self.rf.home = home;
        if g.load.is_some() {
            self.pending = None;
        }
        self.index = g.end + 1;
        self.sync();
    }
}
