//! pcmpistri and pcmpistrm as themselves. Their results are in fixed registers, RCX and XMM0, which are homes.

use super::unit::Emit;
use super::values::At;
use demotic_asm::x64::sse::Sse;
use demotic_asm::x64::{Reg, Size, Xmm};
use demotic_ir::block::Val;
use demotic_ir::ops::Op;
use demotic_ir::slot::Slot;
use demotic_ir::state::eflags::ARITH;
use demotic_ir::state::reg;

impl Emit<'_> {
    /// Emits a comparison of strings with implicit lengths; false when the interpreter has to do it.
    pub(super) fn compare_strings(&mut self, i: usize) -> bool {
        let inst = self.b.insts[i];
        let v = Val(i as u16);
        if inst.op == Op::VStrF && self.flags_ready(v, ARITH) {
            self.at[i] = At::Flags;
            return true;
        }
        let imm = inst.imm as u8;
        let into = |slot: Slot| self.plan.into[i] == Some(slot);
        if inst.imm & 0x100 == 0 || inst.op == Op::VStrM && !into(Slot::xmm(0)) {
            return false;
        }
        let in_rcx = inst.op == Op::VStrI && into(Slot::gpr(reg::RCX));
        let (y, x) = (self.vreg(inst.args[1]), self.vreg(inst.args[0]));
        self.before_flags(ARITH, i, 0);
        if inst.op == Op::VStrM {
            self.clobber_home(Slot::xmm(0).0, i);
            self.sync();
            self.a.sse_imm(Sse::PCMPISTRM, x, y, imm);
            self.vcomputed(i, Xmm(0));
        } else if in_rcx {
            self.clobber_home(Slot::gpr(reg::RCX).0, i);
            self.sync();
            self.a.sse_imm(Sse::PCMPISTRI, x, y, imm);
            self.computed(i, Reg::RCX);
        } else {
            let (kept, index) = (self.temp(), self.temp());
            self.a.mov(Size::Q, kept, Reg::RCX);
            self.sync();
            self.a.sse_imm(Sse::PCMPISTRI, x, y, imm);
            // RCX is not its home for a moment.
            self.blind();
            self.a.mov(Size::D, index, Reg::RCX);
            self.a.mov(Size::Q, Reg::RCX, kept);
            self.unlock(kept);
            if inst.op == Op::VStrI {
                self.define(v, index);
            } else {
                self.unlock(index);
                self.at[i] = At::Flags;
            }
        }
        // The flags of the same comparison are there, too.
        let twin = self.b.insts.get(i + 1).filter(|t| t.op == Op::VStrF && t.args == inst.args && t.imm == inst.imm);
        let flags = if inst.op == Op::VStrF { Some(v) } else { twin.map(|_| Val(i as u16 + 1)) };
        self.wrote_flags(ARITH, flags);
        true
    }
}
