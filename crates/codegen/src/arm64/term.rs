//! Terminals: edges, calls, returns, indirect branches, and what the engine carries out.

use super::flags::Test;
use super::regs::{CALLS, S0, S1, S2, TARGETS};
use super::{Cold, Emit};
use crate::frame::{self, Frame};
use crate::{EdgeKind, EdgeSite, Place, Stub, TermSite};
use core::mem::offset_of;
use demotic_asm::arm64::branch;
use demotic_asm::arm64::int::{self, Arith};
use demotic_asm::arm64::mem::{self, Access, Mode, Pair};
use demotic_asm::arm64::{LR, Number, Reg, SP, Shift, Sz};
use demotic_asm::buffer::{Field, Label};
use demotic_ir::block::{Edge, Indirect, Term, Val};
use demotic_ir::interp;

impl Emit<'_> {
    pub(super) fn terminal(&mut self) {
        match self.block.term {
            Term::Jump(edge) => self.go(edge),
            Term::Branch { cond, taken, fall } => self.branch(cond, taken, fall),
            Term::Call { target, ret } => {
                self.return_address(ret.pc);
                match target.block.filter(|&b| (b as usize) < self.calls.len()) {
                    Some(b) => {
                        let label = self.calls[b as usize];
                        self.w_to(branch::BL, label, Field::Arm26);
                    }
                    None => {
                        self.out.edges.push(EdgeSite { at: self.buf.offset(), kind: EdgeKind::Call, pc: target.pc });
                        self.stub(true, Stub::EdgeCall);
                    }
                }
                self.landing(ret);
            }
            Term::Indirect { target, kind: Indirect::Ret, .. } => self.ret(target),
            Term::Indirect { target, kind: Indirect::Call, ret: Some(ret) } => {
                let target = self.r(target);
                self.return_address(ret.pc);
                let landing = self.buf.label();
                let miss = self.buf.label();
                self.later(Cold::CallMiss(miss, target.n() as u8, landing));
                self.probe(target, CALLS, miss);
                self.w(branch::blr(S2));
                self.buf.bind(landing);
                self.landing(ret);
            }
            Term::Indirect { target, .. } => {
                let target = self.r(target);
                let miss = self.miss(target, Stub::Indirect);
                self.probe(target, TARGETS, miss);
                self.w(branch::br(S2));
            }
            term => {
                for (k, val) in term.operands().into_iter().enumerate() {
                    let offset = offset_of!(Frame, args) + k * size_of::<interp::V>();
                    if val != Val::NONE {
                        let mut r = self.rz(val);
                        let width = self.ty(val).bits();
                        if u32::from(self.bits_of(val)) > width && width > 0 {
                            self.w(int::ubfx(Sz::X, S0, r, 0, width));
                            r = S0;
                        }
                        self.frame_access(Access::StrX, r, offset);
                    }
                }
                self.stub(true, Stub::Term);
                self.out.terms.push(TermSite { after: self.buf.offset(), block: self.number, term });
            }
        }
    }

    fn branch(&mut self, cond: Val, taken: Edge, fall: Edge) {
        let n = self.block.insts.len();
        let test = match self.constant(cond) {
            Some(c) => {
                self.x87_exit();
                return self.go(if c & 1 != 0 { taken } else { fall });
            }
            None => self.test(cond, n),
        };
        if let Some(inner) = self.x87_inner() {
            // One of the two is this block.
            let again = taken.block == Some(self.number);
            self.branch_on(if again { test } else { test.inverse() }, inner);
            self.x87_exit();
            return self.go(if again { fall } else { taken });
        }
        let next = |e: Edge, me: &Self| e.block.is_some() && e.block == me.next;
        if next(taken, self) && !next(fall, self) {
            self.leg(test.inverse(), fall);
            self.go(taken);
        } else {
            self.leg(test, taken);
            self.go(fall);
        }
    }

    fn leg(&mut self, test: Test, edge: Edge) {
        let label = self.edge_label(edge);
        self.branch_on(test, label);
    }

    /// Puts the guest return address where the code at the call's target expects it.
    fn return_address(&mut self, pc: u64) {
        // A return to code that reads flags never matches: the engine sees to the flags.
        if self.poisoned() {
            return self.mov_imm(Sz::X, S0, pc ^ frame::UNMATCHED);
        }
        if self.link == Some(self.buf.offset()) {
            return;
        }
        match self.find_const(pc) {
            Some(r) => self.w(super::runtime::mov(S0, r)),
            None => self.mov_imm(Sz::X, S0, pc),
        }
    }

    /// The entry of the shadow stack for the call that is on its way.
    pub(super) fn push_shadow(&mut self) {
        self.wo(mem::pair(false, Pair::X, S0, LR, SP, -16, Mode::Pre));
    }

    /// Whether a value is the return address of the call at the block's end, which can go through x16.
    pub(super) fn is_return_address(&self, val: Val) -> bool {
        let ret = match self.block.term {
            Term::Call { ret, .. } | Term::Indirect { kind: Indirect::Call, ret: Some(ret), .. } => ret,
            _ => return false,
        };
        self.constant(val) == Some(ret.pc) && self.find_const(ret.pc).is_none()
    }

    fn poisoned(&self) -> bool {
        !self.request.precision.is_exact() && self.block.landing
    }

    fn landing(&mut self, ret: Edge) {
        let n = self.block.insts.len() as u32;
        self.fixed_place = Some(match ret.block {
            Some(block) => Place { block, index: 0, values: Vec::new() },
            None => Place { block: self.number, index: n + 1, values: Vec::new() },
        });
        self.go(ret);
        self.fixed_place = None;
    }

    fn miss(&mut self, target: Reg, stub: Stub) -> Label {
        let label = self.buf.label();
        self.later(Cold::Miss(label, target.n() as u8, stub));
        label
    }

    /// Looks a guest address up in a table: the host's is in x30 then.
    fn probe(&mut self, target: Reg, table: Reg, miss: Label) {
        // The table is aligned to its size: the index goes into the low bits of its address.
        self.w(int::bfi(Sz::X, table, target, 4, frame::TARGETS.trailing_zeros()));
        self.wo(mem::pair(true, Pair::X, S1, S2, table, 0, Mode::Offset));
        self.w(int::arith(Arith::Sub, Sz::X, S1, S1, target, Shift::Lsl, 0));
        self.w_to(branch::cbz(true, Sz::X, S1), miss, Field::Arm19);
    }

    fn ret(&mut self, target: Val) {
        let target = self.r(target);
        let miss = self.miss(target, Stub::ReturnMiss);
        self.wo(mem::pair(true, Pair::X, S0, LR, SP, 16, Mode::Post));
        self.w(int::arith(Arith::Sub, Sz::X, S0, S0, target, Shift::Lsl, 0));
        self.w_to(branch::cbz(true, Sz::X, S0), miss, Field::Arm19);
        self.w(branch::ret(LR));
    }
}
