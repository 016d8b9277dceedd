//! fcmov on live state.

use super::super::Emit;
use super::super::flags::Test;
use super::super::runtime::mov;
use super::super::x87::{C1, Group};
use super::X;
use crate::x87::Insn;
use demotic_asm::arm64::int::{self, Csel};
use demotic_ir::block::Val;

impl Emit<'_> {
    /// fcmov: both registers are there, so nothing can be out of the ordinary.
    pub(super) fn x87_cmov(&mut self, g: Group, from: u8, cond: Val, turned: bool) {
        let (top, other) = (self.x87_slot(0), self.x87_slot(from));
        if top != other {
            // C1 may hang on what is overwritten.
            let c1 = self.x87.as_ref().map(|x| x.c1);
            if matches!(c1, Some(C1::Rounded(_, slot) | C1::Spilled(slot)) if slot == top) {
                self.x87_write_c1();
            }
            let (mi, si) = self.x87_operand(other);
            let (m, s) = self.x87_own(top);
            let test = self.test(cond, g.end);
            let takes = if turned { test.inverse() } else { test };
            if let Test::Flag(cond) = takes {
                self.w(int::csel(Csel::Csel, X, m, mi, m, cond));
                self.w(int::csel(Csel::Csel, X, s, si, s, cond));
            } else {
                let over = self.buf.label();
                self.branch_on(takes.inverse(), over);
                self.w(mov(m, mi));
                self.w(mov(s, si));
                self.buf.bind(over);
            }
            self.x87_store(top, m, s);
            self.x87_remember(top, m, s);
        }
        self.x87_step(Insn::Exchange(from));
        self.index = g.end + 1;
    }
}
