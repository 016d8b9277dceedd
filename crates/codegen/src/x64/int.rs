//! Operations one by one: slots, extensions, selections, counts, and the dispatch to the other families.

use super::flags::Test;
use super::shape;
use super::unit::Emit;
use super::values::{At, Src};
use super::{Home, home, spill};
use demotic_asm::x64::int::{Alu, Count, Shift, Unary};
use demotic_asm::x64::sse::Sse;
use demotic_asm::x64::{Mem, Reg, Rm, Size, Xmm};
use demotic_ir::block::Val;
use demotic_ir::ops::{Effects, Op};
use demotic_ir::slot::Slot;
use demotic_ir::state::eflags::ARITH;
use demotic_ir::ty::Ty;

impl Emit<'_> {
    /// Emits one operation that is not in a group.
    pub(super) fn single(&mut self, i: usize) {
        let inst = self.b.insts[i];
        let v = Val(i as u16);
        if inst.op == Op::Const {
            self.at[i] = At::Const(inst.imm & inst.ty.mask());
            return;
        }
        if self.shape.lazy(i) {
            self.at[i] = At::Lazy;
            return;
        }
        match inst.op {
            Op::Nop => {}
            Op::Get => self.get(i),
            Op::GetFl => self.at[i] = At::Flags,
            Op::GetHi => self.get_high(i),
            Op::Set if inst.imm < 16 => self.set_gpr(i),
            Op::Set if inst.imm < 32 || inst.imm >= u64::from(Slot::YMM_FIRST) => self.set_xmm(i),
            Op::Set => self.set_other(i),
            Op::SetHi => self.set_high(i),
            Op::SetFl => self.set_flags(i),
            Op::Zext | Op::Sext => self.extend(i, None),
            Op::Sel => self.select(i),
            Op::Eq | Op::LtU | Op::LtS => {
                self.at[i] = At::Lazy;
                let t = self.truth(v);
                self.define(v, t);
            }
            Op::And | Op::Or | Op::Xor | Op::Not if inst.ty == Ty::I1 => self.logic_of_truths(i),
            Op::Clz | Op::Ctz | Op::Popcnt => self.count_bits(i),
            Op::Bswap => self.bswap(i),
            Op::Pdep | Op::Pext | Op::Crc32 => {
                if !self.bits_of_masks(i) {
                    self.helper(i);
                }
            }
            Op::MulHiU | Op::MulHiS => self.high_product(i),
            Op::ShlD | Op::ShrD => self.shift_double(i),
            Op::FlBits => self.flags_bits(i),
            Op::Ld => self.load(i),
            Op::St => self.store(i),
            Op::AXchg | Op::AAdd | Op::AAnd | Op::AOr | Op::AXor | Op::ACas => self.atomic(i),
            Op::Bulk => {}
            Op::Fence => self.a.fence(inst.imm),
            Op::CheckNeg => self.check_negative(inst.args[0]),
            Op::ExitIf => self.exit_if(i),
            op if op.info().effects == Effects::PURE && op as u8 >= Op::VZext as u8 && op as u8 <= Op::VStrF as u8 => {
                if !self.vector(i) && !self.avx_operation(i) {
                    self.helper(i);
                }
            }
            op if op.is_sse_arithmetic() => {
                if !self.float(i) && !self.avx_operation(i) {
                    self.helper(i);
                }
            }
            _ => {
                if !self.avx_operation(i) {
                    self.helper(i);
                }
            }
        }
    }

    /// Host flags stay: an aligned load is off by one without the sign. Its fault leads to the interpreter.
    fn check_negative(&mut self, v: Val) {
        let (x, t) = (self.vtemp(), self.temp());
        self.load_into(v, t);
        self.a.movd_to(Size::Q, x, t);
        self.a.movmsk(true, t, x);
        let m = Mem::gs(super::at!(state) + 15).indexed(t, 0);
        self.sync();
        if self.request.target.features.avx {
            self.a.load_aligned(false, x, m);
        } else {
            self.a.sse(Sse::MOVAPS, x, m);
        }
    }

    /// pdep, pext and crc32 of 32 and 64 bits as themselves.
    fn bits_of_masks(&mut self, i: usize) -> bool {
        let inst = self.b.insts[i];
        let [a, b, ..] = inst.args;
        let size = Size::of_bits(inst.ty.bits());
        let bmi = self.request.target.features.bmi;
        if size < Size::D || inst.op != Op::Crc32 && !bmi {
            return false;
        }
        let y = self.reg(b);
        match inst.op {
            Op::Crc32 => {
                let t = self.temp();
                self.load_into(a, t);
                self.a.crc32(size, t, y);
                self.define(Val(i as u16), t);
            }
            op => {
                let x = self.reg(a);
                let d = self.target(i);
                self.sync();
                if op == Op::Pdep {
                    self.a.pdep(size, d, x, y)
                } else {
                    self.a.pext(size, d, x, y)
                }
                self.computed(i, d);
            }
        }
        true
    }

    /// The register to compute the value of `i` in, when its slot has one and the plan allows it.
    pub(super) fn slot_of_result(&self, i: usize) -> Option<(u8, Reg)> {
        let Slot(s) = self.shape.plan.goes_to(i)?;
        match home(self.long, s) {
            Home::Gpr(r) if s < 16 => Some((s, r)),
            _ => None,
        }
    }

    /// The value of `i` was computed in `r`.
    pub(super) fn computed(&mut self, i: usize, r: Reg) {
        let v = Val(i as u16);
        match self.slot_of_result(i) {
            Some((s, h)) if h == r => self.define_home(v, s),
            _ => self.define(v, r),
        }
    }

    /// A register for the value of `i` that a single instruction will write: the slot's or a temporary.
    fn target(&mut self, i: usize) -> Reg {
        match self.slot_of_result(i) {
            Some((s, r)) => {
                self.clobber_home(s, i);
                self.sync();
                r
            }
            None => self.temp(),
        }
    }

    fn get_high(&mut self, i: usize) {
        let inst = self.b.insts[i];
        let v = Val(i as u16);
        if !self.needed(v, i) {
            return;
        }
        let t = self.temp();
        match self.home_rm(inst.imm as u8) {
            Rm::Mem(m) => self.a.movzx(Size::B, t, m.offset(1)),
            Rm::Reg(r) if self.request.target.features.bmi => self.a.rorx(Size::D, t, Reg(r), 8),
            Rm::Reg(r) => {
                let n = self.spill_slot();
                self.a.store(Size::D, spill(n), Reg(r));
                self.a.movzx(Size::B, t, spill(n).offset(1));
            }
        }
        self.define(v, t);
    }

    fn set_high(&mut self, i: usize) {
        let inst = self.b.insts[i];
        let slot = inst.imm as u8;
        let v = inst.args[0];
        self.clobber_home(slot, i);
        match self.home_rm(slot) {
            Rm::Mem(m) => match self.src(v) {
                Src::Imm(c) => self.a.store_imm(Size::B, m.offset(1), c),
                _ => {
                    let r = self.reg(v);
                    self.a.store(Size::B, m.offset(1), r);
                }
            },
            Rm::Reg(r) => {
                let r = Reg(r);
                let n = self.spill_slot();
                let value = match self.src(v) {
                    Src::Mem(_) => Src::Reg(self.reg(v)),
                    s => s,
                };
                self.a.store(Size::Q, spill(n), r);
                match value {
                    Src::Imm(c) => self.a.store_imm(Size::B, spill(n).offset(1), c),
                    Src::Reg(s) => self.a.store(Size::B, spill(n).offset(1), s),
                    Src::Mem(_) => {}
                }
                self.sync();
                self.a.mov(Size::Q, r, spill(n));
            }
        }
    }

    fn set_gpr(&mut self, i: usize) {
        let inst = self.b.insts[i];
        let slot = inst.imm as u8;
        let v = inst.args[0];
        let size = Size::of_bits(inst.ty.bits());
        let whole = size == Size::Q || size == Size::D;
        if self.at(v) == At::Home(slot) {
            let already = self.shape.plan.goes_to(v.index()) == Some(Slot(slot))
                || size == Size::Q
                || size == Size::D && !self.long;
            let computed = !self.is_a_view(v) || size == Size::Q || !self.long;
            if already && computed || size < Size::D {
                return;
            }
        }
        let lazy = self.at(v) == At::Lazy && shape::linear(self.b, &self.b.insts[v.index()], self.long);
        match self.home_rm(slot) {
            Rm::Reg(d) => {
                let d = Reg(d);
                if lazy && whole {
                    // The parts are read by the one instruction that writes.
                    self.clobber_home(slot, i);
                    self.sync();
                    self.linear_into(v, size, Some(d));
                } else if let At::Const(c) = self.at(v) {
                    self.clobber_home(slot, i);
                    self.sync();
                    if whole {
                        self.a.mov_imm(d, c);
                    } else {
                        self.a.mov_imm_narrow(size, d, c as i32);
                    }
                } else {
                    let s = self.src(v);
                    self.clobber_home(slot, i);
                    self.sync();
                    match s {
                        Src::Reg(r) => self.a.mov(size, d, r),
                        Src::Mem(m) => self.a.mov(size, d, m),
                        Src::Imm(c) => self.a.mov_imm_narrow(size, d, c),
                    }
                }
            }
            Rm::Mem(m) => {
                let s = self.src(v);
                let s = match s {
                    Src::Mem(_) => Src::Reg(self.reg(v)),
                    s => s,
                };
                self.clobber_home(slot, i);
                self.sync();
                match s {
                    Src::Imm(c) if size == Size::D && c < 0 => {
                        let r = self.reg(v);
                        self.a.store(Size::Q, m, r);
                    }
                    Src::Imm(c) if size == Size::D => self.a.store_imm(Size::Q, m, c),
                    Src::Imm(c) => self.a.store_imm(size, m, c),
                    Src::Reg(r) if size == Size::D => {
                        // Zero-extends into the slot.
                        let t = if self.is_scratch(r) { r } else { self.temp() };
                        self.a.mov(Size::D, t, r);
                        self.a.store(Size::Q, m, t);
                    }
                    Src::Reg(r) => self.a.store(size, m, r),
                    Src::Mem(_) => {}
                }
            }
        }
        if whole && !matches!(self.at(v), At::Const(_)) {
            let moves = matches!(self.at(v), At::Reg(_) | At::Lazy | At::Spill(_)) || self.at(v) == At::Home(slot);
            if moves {
                self.define_home(v, slot);
            }
        }
    }

    fn is_scratch(&self, r: Reg) -> bool {
        self.temps >> r.0 & 1 != 0
    }

    pub(super) fn set_xmm(&mut self, i: usize) {
        let inst = self.b.insts[i];
        let slot = inst.imm as u8;
        let v = inst.args[0];
        if inst.ty != Ty::V128 {
            return self.fail("narrow vector write");
        }
        if self.at(v) == At::Home(slot) {
            return;
        }
        let s = self.vreg(v);
        self.clobber_home(slot, i);
        self.sync();
        match home(self.long, slot) {
            Home::Vec(x) => self.a.sse(Sse::MOVAPS, Xmm(x), s),
            Home::Mem(m) => self.a.sse_store(Sse::MOVUPS, Mem::gs(m), s),
            Home::Gpr(_) => {}
        }
        if matches!(self.at(v), At::Vec(_) | At::Spill(_)) {
            self.define_home(v, slot);
        }
    }

    /// Extensions and truncations; `load`: of a value in memory.
    pub(super) fn extend(&mut self, i: usize, load: Option<usize>) {
        let inst = self.b.insts[i];
        let v = Val(i as u16);
        let a = inst.args[0];
        let from = self.ty(a);
        if from == Ty::I1 && self.at(a) == At::Lazy && inst.op == Op::Zext {
            let t = self.truth(a);
            if inst.ty > Ty::I8 {
                self.a.movzx(Size::B, t, t);
            }
            return self.define(v, t);
        }
        if inst.ty == Ty::I1 {
            return self.helper(i);
        }
        let to = Size::of_bits(inst.ty.bits());
        let narrow = if inst.op == Op::Zext { from.bits() } else { (inst.imm as u32).min(from.bits()) };
        let signed = inst.op == Op::Sext;
        if signed && !matches!(narrow, 8 | 16 | 32 | 64) {
            return self.helper(i);
        }
        let cut = inst.ty.bits() <= narrow;
        if cut && load.is_none() {
            // The low bits are all that counts.
            match self.at(a) {
                At::Home(s) if s < 16 => return self.define_home(v, s),
                _ => {
                    let t = self.copy(a, i);
                    if to == Size::D {
                        // 32-bit values in temporaries are zero-extended.
                        self.a.mov(Size::D, t, t);
                    }
                    return self.define(v, t);
                }
            }
        }
        let source: Rm = match load {
            Some(l) => {
                let address = self.b.insts[l].args[0];
                self.address(address, 0).into()
            }
            None => match self.src(a) {
                Src::Reg(r) => r.into(),
                Src::Mem(m) => m.into(),
                Src::Imm(_) => self.reg(a).into(),
            },
        };
        let d = match (self.slot_of_result(i), source) {
            (None, Rm::Mem(m)) => self.result_register(m),
            // In its own register, when nobody wants the source any more.
            (None, Rm::Reg(r)) if self.is_scratch(Reg(r)) && !self.needed(a, i) => Reg(r),
            _ => self.target(i),
        };
        self.sync();
        let from = Size::of_bits(narrow);
        match (signed, cut) {
            (_, true) => self.a.movzx(to, d, source),
            (true, false) => self.a.movsx(to.at_least_d(), from, d, source),
            (false, false) => self.a.movzx(from, d, source),
        }
        self.computed(i, d);
    }

    fn select(&mut self, i: usize) {
        let inst = self.b.insts[i];
        let [c, x, y, _] = inst.args;
        if let Some(&(_, size)) = self.shape.steps.iter().find(|(k, _)| *k == i) {
            let t = self.temp();
            self.a.mov(Size::Q, t, Mem::gs(super::scratch::STEP));
            if size > 0 {
                let m = Mem::default().indexed(t, size);
                self.a.lea(Size::of_bits(inst.ty.bits()), t, m);
            }
            return self.define(Val(i as u16), t);
        }
        if !matches!(inst.ty, Ty::I1 | Ty::I8 | Ty::I16 | Ty::I32 | Ty::I64) {
            return self.helper(i);
        }
        let size = Size::of_bits(inst.ty.bits()).at_least_d();
        let in_place = self.slot_of_result(i);
        if inst.ty != Ty::I1 {
            // Condition first: what loads the operands leaves flags alone.
            let test = self.condition(c, i, false);
            self.locked = 0;
            let (cc, x, y) = match test {
                Test::Cc(cc) => (cc, x, y),
                Test::Known(true) => (4, x, x),
                Test::Known(false) => (4, y, y),
                Test::RcxZero(_) => return self.fail("condition of a selection"),
            };
            if let Some((s, d)) = in_place {
                let (other, cc) = if self.at(y) == At::Home(s) { (x, cc) } else { (y, cc ^ 1) };
                if self.at(y) == At::Home(s) || self.at(x) == At::Home(s) {
                    let rm: Rm = match self.src(other) {
                        Src::Mem(m) if inst.ty >= Ty::I32 => m.into(),
                        Src::Reg(r) => r.into(),
                        _ => self.reg(other).into(),
                    };
                    self.clobber_home(s, i);
                    self.sync();
                    self.a.cmov(cc, size, d, rm);
                    return self.computed(i, d);
                }
            }
            let t = self.temp();
            self.load_into(y, t);
            if x != y {
                let rm: Rm = match self.src(x) {
                    Src::Mem(m) if inst.ty >= Ty::I32 => m.into(),
                    Src::Reg(r) => r.into(),
                    _ => self.reg(x).into(),
                };
                self.a.cmov(cc, size, t, rm);
            }
            return self.define(Val(i as u16), t);
        }
        // Operands first: the condition is the last thing before the move.
        let xs: Rm = match self.src(x) {
            Src::Mem(m) if inst.ty >= Ty::I32 => m.into(),
            Src::Reg(r) => r.into(),
            _ => self.reg(x).into(),
        };
        if let (Some((s, d)), true) = (in_place, self.at(y) == in_place.map_or(At::Nowhere, |(s, _)| At::Home(s))) {
            let cc = self.select_condition(c, i);
            self.clobber_home(s, i);
            self.sync();
            self.a.cmov(cc, size, d, xs);
            return self.computed(i, d);
        }
        let t = self.temp();
        self.load_into(y, t);
        let cc = self.select_condition(c, i);
        self.a.cmov(cc, size, t, xs);
        self.define(Val(i as u16), t);
    }

    fn select_condition(&mut self, c: Val, i: usize) -> u8 {
        match self.condition(c, i, false) {
            Test::Cc(cc) => cc,
            Test::Known(_) | Test::RcxZero(_) => {
                self.fail("condition of a selection");
                0
            }
        }
    }

    fn logic_of_truths(&mut self, i: usize) {
        let inst = self.b.insts[i];
        let t = self.temp();
        if let At::Lazy = self.at(inst.args[0]) {
            let r = self.compute(inst.args[0]);
            self.a.mov(Size::D, t, r);
        } else {
            self.load_into(inst.args[0], t);
        }
        let op = match inst.op {
            Op::Not => {
                self.before_flags(ARITH, i, 0);
                self.a.alu_imm(Alu::Xor, Size::D, t, 1);
                self.wrote_flags(ARITH, None);
                return self.define(Val(i as u16), t);
            }
            Op::And => Alu::And,
            Op::Or => Alu::Or,
            _ => Alu::Xor,
        };
        let b = self.reg(inst.args[1]);
        self.before_flags(ARITH, i, 0);
        self.a.alu(op, Size::D, t, b);
        self.a.alu_imm(Alu::And, Size::D, t, 1);
        self.wrote_flags(ARITH, None);
        self.define(Val(i as u16), t);
    }

    fn count_bits(&mut self, i: usize) {
        let inst = self.b.insts[i];
        let f = self.request.target.features;
        let (op, have) = match inst.op {
            Op::Clz => (Count::Lzcnt, f.bmi),
            Op::Ctz => (Count::Tzcnt, f.bmi),
            _ => (Count::Popcnt, f.popcnt),
        };
        if !have || !matches!(inst.ty, Ty::I16 | Ty::I32 | Ty::I64) {
            return self.helper(i);
        }
        let s: Rm = match self.src(inst.args[0]) {
            Src::Reg(r) => r.into(),
            Src::Mem(m) => m.into(),
            Src::Imm(_) => self.reg(inst.args[0]).into(),
        };
        let d = self.target(i);
        self.before_flags(ARITH, i, 0);
        self.sync();
        self.a.count(op, Size::of_bits(inst.ty.bits()), d, s);
        self.wrote_flags(ARITH, None);
        self.computed(i, d);
    }

    fn bswap(&mut self, i: usize) {
        let inst = self.b.insts[i];
        let t = self.temp();
        self.load_into(inst.args[0], t);
        match inst.ty {
            Ty::I32 => self.a.bswap(Size::D, t),
            Ty::I64 => self.a.bswap(Size::Q, t),
            Ty::I16 => {
                self.a.bswap(Size::D, t);
                // The two bytes are at the top now.
                if self.request.target.features.bmi {
                    self.a.rorx(Size::D, t, t, 16);
                } else {
                    self.before_flags(ARITH, i, 0);
                    self.a.shift_imm(Shift::Shr, Size::D, t, 16);
                    self.wrote_flags(ARITH, None);
                }
            }
            _ => {}
        }
        self.define(Val(i as u16), t);
    }

    fn high_product(&mut self, i: usize) {
        let inst = self.b.insts[i];
        let [a, b, ..] = inst.args;
        let signed = inst.op == Op::MulHiS;
        match inst.ty {
            Ty::I32 | Ty::I16 if self.available() >= 2 => {
                let from = Size::of_bits(inst.ty.bits());
                let extend = |s: &mut Self, v: Val, t: Reg| {
                    s.load_into(v, t);
                    if signed {
                        s.a.movsx(Size::Q, from, t, t);
                    } else {
                        s.a.movzx(from, t, t);
                    }
                };
                let t = self.temp();
                extend(self, a, t);
                let u = self.temp();
                extend(self, b, u);
                self.before_flags(ARITH, i, 0);
                self.a.imul(Size::Q, t, u);
                self.a.shift_imm(Shift::Shr, Size::Q, t, inst.ty.bits() as u8);
                self.wrote_flags(ARITH, None);
                self.define(Val(i as u16), t);
            }
            // One of the operands is where the instruction wants it.
            Ty::I64 if !signed && self.request.target.features.bmi && self.at(b) == At::Home(2) => {
                self.mulx(i, a);
            }
            Ty::I64 if !signed && self.request.target.features.bmi && self.at(a) == At::Home(2) => {
                self.mulx(i, b);
            }
            Ty::I64 => self.high_product_64(i),
            _ => self.helper(i),
        }
    }

    fn mulx(&mut self, i: usize, v: Val) {
        let r = self.reg(v);
        let t = self.temp();
        self.a.mulx(Size::Q, t, t, r);
        self.define(Val(i as u16), t);
    }

    /// The high half of a 64-bit product, by the accumulators.
    fn high_product_64(&mut self, i: usize) {
        let inst = self.b.insts[i];
        let v = Val(i as u16);
        let signed = inst.op == Op::MulHiS;
        let into_rdx = self.slot_of_result(i).filter(|(s, _)| *s == 2).is_some();
        let [a, b, ..] = inst.args;
        let (a, b) = if self.at(b) == At::Home(0) || self.at(b) == At::Home(2) { (b, a) } else { (a, b) };
        if !signed && into_rdx && self.request.target.features.bmi {
            // RDX is an operand of its own.
            let s: Rm = match self.src(b) {
                Src::Reg(r) => r.into(),
                Src::Mem(m) => m.into(),
                Src::Imm(_) => self.reg(b).into(),
            };
            if s == Rm::Reg(2) && self.at(a) != At::Home(2) {
                return self.helper(i);
            }
            let t = self.temp();
            self.clobber_home(2, i);
            self.sync();
            self.load_into(a, Reg::RDX);
            self.a.mulx(Size::Q, Reg::RDX, t, s);
            return self.define_home(v, 2);
        }
        let s: Rm = match self.src(b) {
            Src::Reg(r) => r.into(),
            Src::Mem(m) => m.into(),
            Src::Imm(_) => self.reg(b).into(),
        };
        let t = self.temp();
        if s == Rm::Reg(0) && self.at(a) != At::Home(0) || self.failed.is_some() {
            return self.helper(i);
        }
        let u = if into_rdx { None } else { Some(self.temp()) };
        if into_rdx {
            self.clobber_home(2, i);
        }
        self.before_flags(ARITH, i, 0);
        self.sync();
        self.a.mov(Size::Q, t, Reg::RAX);
        if let Some(u) = u {
            self.a.mov(Size::Q, u, Reg::RDX);
        }
        // RAX and RDX are not the guest's for four instructions.
        self.blind();
        if let At::Home(0) = self.at(a) {
        } else {
            self.load_into(a, Reg::RAX);
        }
        self.a.unary(if signed { Unary::Imul } else { Unary::Mul }, Size::Q, s);
        self.a.mov(Size::Q, Reg::RAX, t);
        if let Some(u) = u {
            self.a.xchg(Size::Q, u, Reg::RDX);
        }
        self.wrote_flags(ARITH, None);
        match u {
            Some(u) => self.define(v, u),
            None => self.define_home(v, 2),
        }
    }

    fn shift_double(&mut self, i: usize) {
        let inst = self.b.insts[i];
        let [a, b, c, _] = inst.args;
        let right = inst.op == Op::ShrD;
        let Some(n) = self.constant(c).filter(|n| *n > 0 && *n < u64::from(inst.ty.bits())) else {
            return self.helper(i);
        };
        if !matches!(inst.ty, Ty::I32 | Ty::I64) {
            return self.helper(i);
        }
        let s = self.reg(b);
        let t = self.temp();
        self.load_into(a, t);
        self.before_flags(ARITH, i, 0);
        self.a.shift_double_imm(right, Size::of_bits(inst.ty.bits()), t, s, n as u8);
        self.wrote_flags(ARITH, None);
        self.define(Val(i as u16), t);
    }
}
