//! pcmpistri and pcmpistrm as themselves. Their results are in fixed registers, RCX and XMM0, which are homes.

use super::unit::Emit;
use super::values::At;
use demotic_asm::x64::sse::Sse;
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
        // Elsewhere than in its home a result would have to take the guest's place for a moment, which no place could tell.
        let (op, slot) = match inst.op {
            Op::VStrM => (Sse::PCMPISTRM, Slot::xmm(0)),
            _ => (Sse::PCMPISTRI, Slot::gpr(reg::RCX)),
        };
        if inst.imm & 0x100 == 0 || self.shape.plan.goes_to(i) != Some(slot) {
            return false;
        }
        let (y, x) = (self.vreg(inst.args[1]), self.vreg(inst.args[0]));
        self.before_flags(ARITH, i, 0);
        self.clobber_home(slot.0, i);
        self.sync();
        self.a.sse_imm(op, x, y, imm);
        self.define_home(v, slot.0);
        // The flags of the same comparison are there, too.
        let twin = self.b.insts.get(i + 1).filter(|t| t.op == Op::VStrF && t.args == inst.args && t.imm == inst.imm);
        self.wrote_flags(ARITH, twin.map(|_| Val(i as u16 + 1)));
        true
    }
}
