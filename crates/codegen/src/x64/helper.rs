//! The interpreter as a helper: operations without host code are one call into it; and slots that live in memory.

use super::unit::Emit;
use super::values::At;
use super::{Home, arg, home, result, scratch, spill};
use crate::Stub;
use demotic_asm::x64::int::Alu;
use demotic_asm::x64::sse::Sse;
use demotic_asm::x64::{Mem, Size};
use demotic_ir::block::Val;
use demotic_ir::slot::Slot;
use demotic_ir::state::eflags::ARITH;
use demotic_ir::ty::Ty;

impl Emit<'_> {
    /// Stores a value, zero-extended, as operand `k` of a helper or terminal.
    pub(super) fn put_arg(&mut self, k: usize, v: Val) {
        let ty = self.ty(v);
        match ty {
            Ty::V128 => {
                let x = self.vreg(v);
                self.a.sse_store(Sse::MOVUPS, arg(k), x);
            }
            Ty::F80 => {
                let x = self.vtemp();
                let from = match self.at(v) {
                    At::Spill(n) => spill(n),
                    At::Result => result(),
                    _ => {
                        self.fail("extended real");
                        spill(0)
                    }
                };
                self.a.sse(Sse::MOVUPS, x, from);
                self.a.sse_store(Sse::MOVUPS, arg(k), x);
            }
            Ty::Fl => {
                let t = self.flags_image(v);
                self.a.store(Size::Q, arg(k), t);
                self.unlock(t);
            }
            _ => {
                if let At::Const(c) = self.at(v) {
                    if i32::try_from(c).is_ok() {
                        return self.a.store_imm(Size::Q, arg(k), c as i32);
                    }
                }
                let size = Size::of_bits(ty.bits());
                let r = self.reg(v);
                if size == Size::Q {
                    self.a.store(Size::Q, arg(k), r);
                } else {
                    let free = self.available() > 0;
                    if free {
                        let t = self.temp();
                        self.a.movzx(size, t, r);
                        self.a.store(Size::Q, arg(k), t);
                        self.unlock(t);
                    } else {
                        self.a.store_imm(Size::Q, arg(k), 0);
                        self.a.store(size, arg(k), r);
                    }
                }
                if self.temps >> r.0 & 1 != 0 {
                    self.unlock(r);
                }
            }
        }
    }

    /// Calls the interpreter for the operation at `i`; the result is in the frame.
    fn call_helper(&mut self, i: usize) {
        let inst = self.b.insts[i];
        // What takes the interpreter or flags itself comes before the first operand is put down.
        for v in inst.operands() {
            if self.at(*v) == At::Lazy {
                if self.ty(*v) == Ty::Fl {
                    self.keep_image(*v);
                } else {
                    let r = self.reg(*v);
                    self.unlock(r);
                }
            }
        }
        for (k, v) in inst.operands().iter().enumerate() {
            self.put_arg(k, *v);
        }
        let what = inst.op as u32 | (inst.ty as u32) << 8;
        self.a.store_imm(Size::Q, Mem::gs(scratch::WHAT), what as i32);
        match i32::try_from(inst.imm as i64) {
            Ok(imm) => self.a.store_imm(Size::Q, Mem::gs(scratch::IMM), imm),
            Err(_) => {
                self.a.store_imm(Size::D, Mem::gs(scratch::IMM), inst.imm as i32);
                self.a.store_imm(Size::D, Mem::gs(scratch::IMM + 4), (inst.imm >> 32) as i32);
            }
        }
        // The values as they are now, for a refusal and for attention behind it.
        self.sync();
        self.stub(Stub::Helper);
        self.x87_helper(&inst);
    }

    /// The same for a pure operation in the middle of another; both can be repeated.
    pub(super) fn helper_pure(&mut self, i: usize) {
        self.call_helper(i);
        self.sync();
    }

    /// Runs the operation at `i` in the interpreter.
    pub(super) fn helper(&mut self, i: usize) {
        let inst = self.b.insts[i];
        self.call_helper(i);
        let v = Val(i as u16);
        let ty = inst.result();
        if ty != Ty::None {
            self.at[i] = At::Result;
        }
        self.index = i + 1;
        self.sync();
        if !self.needed(v, i) {
            return;
        }
        self.locked = 0;
        self.vlocked = 0;
        match ty {
            Ty::None => {}
            Ty::V128 => {
                let x = self.vtemp();
                self.a.sse(Sse::MOVUPS, x, result());
                self.vdefine(v, x);
            }
            Ty::F80 | Ty::Fl => {
                let n = self.spill_slot();
                let x = self.vtemp();
                self.a.sse(Sse::MOVUPS, x, result());
                self.a.sse_store(Sse::MOVUPS, spill(n), x);
                self.spill_in(v, n);
            }
            _ => {
                let t = self.temp();
                self.a.mov(Size::Q, t, result());
                self.define(v, t);
            }
        }
    }

    /// Reads of slots.
    pub(super) fn get(&mut self, i: usize) {
        let inst = self.b.insts[i];
        let v = Val(i as u16);
        let slot = inst.imm as u8;
        if !(45..Slot::YMM_FIRST).contains(&slot) {
            return self.define_home(v, slot);
        }
        if !self.needed(v, i) || self.x87_get(i) {
            return;
        }
        let Home::Mem(m) = home(self.long, slot) else { return };
        if slot == Slot::MXCSR.0 {
            self.a.stmxcsr(Mem::gs(m));
        }
        let t = self.temp();
        self.a.movzx(Size::of_bits(inst.ty.bits()), t, Mem::gs(m));
        self.define(v, t);
    }

    /// Writes of slots other than general and vector registers.
    pub(super) fn set_other(&mut self, i: usize) {
        let inst = self.b.insts[i];
        let slot = inst.imm as u8;
        let Home::Mem(m) = home(self.long, slot) else { return };
        let size = Size::of_bits(inst.ty.bits());
        self.clobber_home(slot, i);
        self.x87_set(slot);
        if slot == Slot::SYS.0 {
            use demotic_asm::x64::int::{Shift, Unary};
            use demotic_ir::state::eflags::{DF, FIXED, IF};
            let t = self.temp();
            self.load_into(inst.args[0], t);
            self.before_flags(ARITH, i, 0);
            self.a.alu_imm(Alu::And, Size::D, t, !ARITH as i32);
            self.a.alu_imm(Alu::Or, Size::D, t, (FIXED | IF) as i32);
            self.a.store(Size::D, Mem::gs(m), t);
            self.a.alu_imm(Alu::And, Size::D, t, DF as i32);
            self.a.shift_imm(Shift::Shr, Size::D, t, DF.trailing_zeros() as u8 - 1);
            self.a.unary(Unary::Neg, Size::Q, t);
            self.a.alu_imm(Alu::Add, Size::Q, t, 1);
            self.a.store(Size::Q, Mem::gs(scratch::STEP), t);
            return self.wrote_flags(ARITH, None);
        }
        if inst.ty == Ty::V128 || inst.ty == Ty::F80 {
            return self.fail("wide write of a narrow slot");
        }
        match self.constant(inst.args[0]).and_then(|c| super::values::immediate(c, size)) {
            Some(c) => self.a.store_imm(size, Mem::gs(m), c),
            None => {
                let r = self.reg(inst.args[0]);
                self.a.store(size, Mem::gs(m), r);
            }
        }
        if slot == Slot::MXCSR.0 {
            self.a.ldmxcsr(Mem::gs(m));
        }
    }
}
