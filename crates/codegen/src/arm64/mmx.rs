//! MMX: vectors of 64 bits in the significands of the x87 registers.
//!
//! The IR has an MMX instruction as what the manuals say: a check for a pending exception, TOP and tags set, registers read and written as 80-bit
//! values. Here the registers are memory of the frame. Reading one ([`Emit::mmx_get`]) is a load of 64 bits; the conversions around it emit nothing. A
//! write ([`Emit::mmx_set`]) takes the vector from where it is before it was put into an 80-bit value, and stores it; sign and exponent, always ones, are
//! stored with a block's first write of each register. The check, and TOP and tags, are done by the first instruction of a block.
//!
//! While the x87 state is live ([`crate::x87`]) it is not where MMX looks for it. So a block's first access looks whether it is, and has it
//! brought back out of line.
//!
//! An operation that is done again from its beginning has the same effect, so places need nothing of all this.

use super::regs::{S0, S1};
use super::x87::live;
use super::{Cold, Emit};
use crate::frame::{FRAME_STATUS, Frame};
use crate::x87::Live;
use core::mem::offset_of;
use demotic_asm::arm64::branch;
use demotic_asm::arm64::int::{self, Logic};
use demotic_asm::arm64::mem::Access;
use demotic_asm::arm64::{LogicImm, Sz, ZR};
use demotic_asm::buffer::Field;
use demotic_ir::block::{Block, Inst, Val};
use demotic_ir::ops::{Op, X87Fn};
use demotic_ir::ty::Ty;

use super::analysis::Analysis;

/// Bits of the status word.
const TOP: u64 = 0x3800;
const ES: u32 = 7;

/// What a block has done already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mmx {
    /// The x87 state is in the frame's guest state.
    settled: bool,
    /// No exception is pending.
    checked: bool,
    /// TOP is 0, all registers are there.
    entered: bool,
    /// Registers whose sign and exponent are ones.
    ones: u8,
}

fn sets(inst: &Inst, f: X87Fn) -> bool {
    inst.op == Op::XFn && inst.imm == f as u64
}

/// Whether an operation writes a register as MMX instructions do: 64 bits and ones above.
fn writes(block: &Block, vins: &Inst) -> bool {
    if vins.op != Op::VIns || vins.ty != Ty::I16 || vins.imm != 4 {
        return false;
    }
    let ones = &block.insts[vins.args[1].index()];
    ones.op == Op::Const && ones.imm & 0xffff == 0xffff
}

impl Analysis {
    /// Whether `i`, with that one user, is a step on the way of a vector into a register, which the write takes it in from.
    pub(super) fn ends_in_mmx(&self, block: &Block, i: usize, user: &Inst) -> bool {
        let inst = &block.insts[i];
        match inst.op {
            Op::XFrom => user.op == Op::XSetPhys && user.imm < 8,
            Op::VIns => user.op == Op::XFrom && self[self[i].user()].lazy && writes(block, inst),
            Op::VZext => {
                inst.ty == Ty::I64 && writes(block, user) && self[self[i].user()].lazy && user.args[0].index() == i
            }
            Op::VExt => inst.ty == Ty::I64 && inst.imm == 0 && user.op == Op::VZext && self[self[i].user()].lazy,
            _ => false,
        }
    }
}

impl Emit<'_> {
    /// Whether only the low half of a vector is ever looked at.
    pub(super) fn low_half_only(&self, i: usize) -> bool {
        let user = self.block.insts.get(self.an[i].user());
        self.an[i].uses == 1 && user.is_some_and(|u| u.op == Op::VExt && u.ty == Ty::I64 && u.imm == 0)
    }

    fn only_user(&self, i: usize, op: Op) -> Option<usize> {
        let user = self.an[i].user();
        (self.an[i].uses == 1 && self.block.insts.get(user).is_some_and(|u| u.op == op)).then_some(user)
    }

    /// Whether a read of a register is one of its low 64 bits.
    fn reads_vector(&self, i: usize) -> bool {
        let inst = &self.block.insts[i];
        inst.op == Op::XGetPhys
            && inst.imm < 8
            && self.only_user(i, Op::XBits).is_some_and(|b| self.only_user(b, Op::VLow).is_some())
    }

    /// Nothing is known any more: somebody else works on the state.
    pub(super) fn mmx_forget(&mut self) {
        self.mmx = Mmx::default();
    }

    /// The x87 state goes where it is looked for.
    fn mmx_settle(&mut self) {
        if self.mmx.settled {
            return;
        }
        self.mmx.settled = true;
        let (label, back) = (self.buf.label(), self.buf.label());
        self.frame_access(Access::LdrX, S0, live(offset_of!(Live, live)));
        self.later(Cold::X87Leave(label, back));
        self.w_to(branch::cbz(true, Sz::X, S0), label, Field::Arm19);
        self.buf.bind(back);
    }

    /// `x.chk`, when the instruction is of MMX; what its `x.fn` does as well, if that comes next. False when it is another one.
    pub(super) fn mmx_check(&mut self, i: usize) -> bool {
        let insts = &self.block.insts;
        let function = (i + 1..insts.len()).find(|&k| insts[k].op.touches_x87() && insts[k].op != Op::XGetPhys);
        let Some(f) = function.filter(|&k| sets(&insts[k], X87Fn::EnterMmx) || sets(&insts[k], X87Fn::Emms)) else {
            return false;
        };
        // An operation behind it that looks whether the stack over- or underflowed needs the note cleared, which MMX instructions never look at.
        let end = self.block.marks.iter().map(|m| m.first as usize).find(|&first| first > i).unwrap_or(insts.len());
        let is_mmx = |x: &Inst| sets(x, X87Fn::EnterMmx) || sets(x, X87Fn::Emms);
        let looks =
            |x: &Inst| x.op.touches_x87() && !matches!(x.op, Op::XGetPhys | Op::XSetPhys | Op::XChk) && !is_mmx(x);
        if insts[f + 1..end.max(f + 1)].iter().any(looks) {
            return false;
        }
        let enter = sets(&insts[f], X87Fn::EnterMmx);
        let next = insts[i + 1..f].iter().all(|x| matches!(x.op, Op::Nop | Op::Const)) && !(enter && self.mmx.entered);
        if next {
            self.mmx_settle();
        }
        if !self.mmx.checked {
            // While the state is live no exception is pending.
            let pending = self.deopt();
            self.frame_access(Access::Ldrh, S0, FRAME_STATUS);
            if self.small {
                self.w_to(branch::tbz(true, S0, ES), pending, Field::Arm14);
            } else {
                self.w(int::ubfx(Sz::W, S1, S0, ES, 1));
                self.w_to(branch::cbz(true, Sz::W, S1), pending, Field::Arm19);
            }
        } else if next {
            self.frame_access(Access::Ldrh, S0, FRAME_STATUS);
        }
        self.mmx.checked = true;
        if next {
            self.mmx_tags(enter);
            self.done[f] = true;
        }
        true
    }

    /// TOP is 0, and all registers are there or none; S0 is the status word.
    fn mmx_tags(&mut self, enter: bool) {
        self.wo(LogicImm::new(Sz::W, !TOP & 0xffff_ffff).and_then(|m| int::logic_imm(Logic::And, Sz::W, S0, S0, m)));
        self.frame_access(Access::Strh, S0, FRAME_STATUS);
        let tags = if enter {
            self.w(int::movz(Sz::W, S1, 0xff, 0));
            S1
        } else {
            ZR
        };
        self.frame_access(Access::Strb, tags, offset_of!(Frame, state.x87.valid));
        self.mmx.entered = enter;
    }

    /// `x.fn` of MMX. False when it is another one.
    pub(super) fn mmx_function(&mut self, i: usize) -> bool {
        let inst = self.block.insts[i];
        let enter = sets(&inst, X87Fn::EnterMmx);
        if !enter && !sets(&inst, X87Fn::Emms) {
            return false;
        }
        if enter && self.mmx.entered {
            return true;
        }
        self.mmx_settle();
        self.frame_access(Access::Ldrh, S0, FRAME_STATUS);
        self.mmx_tags(enter);
        true
    }

    /// `x.getphys`, and what makes a vector of it.
    pub(super) fn mmx_get(&mut self, i: usize) -> bool {
        if !self.reads_vector(i) {
            return false;
        }
        self.mmx_settle();
        let d = self.vdest(i);
        let n = self.block.insts[i].imm as usize;
        // Nobody looks at what should be above.
        self.frame_access(Access::LdrD, d, offset_of!(Frame, state.x87.st) + 16 * n);
        self.vresult(i, d);
        true
    }

    /// `x.bits` of such a read.
    pub(super) fn mmx_bits(&mut self, i: usize) -> bool {
        let of = self.block.insts[i].args[0];
        self.reads_vector(of.index()) && self.share(i, of)
    }

    /// `vlow` of that.
    pub(super) fn mmx_low(&mut self, i: usize) -> bool {
        let of = self.block.insts[i].args[0];
        let bits = &self.block.insts[of.index()];
        bits.op == Op::XBits
            && self.reads_vector(bits.args[0].index())
            && self.an[i].into.is_none()
            && self.share(i, of)
    }

    /// `x.setphys` of 64 bits with ones above.
    pub(super) fn mmx_set(&mut self, i: usize) -> bool {
        let inst = self.block.insts[i];
        let from = inst.args[0].index();
        if inst.imm >= 8 || !self.an[from].lazy || self.block.insts[from].op != Op::XFrom {
            return false;
        }
        let vins = self.block.insts[self.block.insts[from].args[0].index()];
        if !writes(self.block, &vins) {
            return false;
        }
        self.mmx_settle();
        let n = inst.imm as usize;
        let at = offset_of!(Frame, state.x87.st) + 16 * n;
        // From the outside in.
        let mut source = vins.args[0];
        let general = |e: &Self, v: Val, op: Op| e.an[v.index()].lazy && e.block.insts[v.index()].op == op;
        let mut vector = true;
        if general(self, source, Op::VZext) {
            source = self.block.insts[source.index()].args[0];
            vector = general(self, source, Op::VExt);
            if vector {
                source = self.block.insts[source.index()].args[0];
            }
        }
        if self.mmx.ones >> n & 1 == 0 {
            let ones = self.const_reg(0xffff);
            self.frame_access(Access::Strh, ones, at + 8);
            self.mmx.ones |= 1 << n;
        }
        if vector {
            let r = self.vr(source);
            self.frame_access(Access::StrD, r, at);
        } else if let Some(r) = self.loaded_vector(source) {
            self.frame_access(Access::StrD, r, at);
        } else {
            let r = self.rz(source);
            self.frame_access(Access::StrX, r, at);
        }
        true
    }

    /// The vector register that an integer was loaded into.
    fn loaded_vector(&mut self, val: Val) -> Option<demotic_asm::arm64::V> {
        use super::regs::W;
        match self.books.loc[val.index()] {
            W::V(n) | W::Home(n @ 16..) => Some(demotic_asm::arm64::v(n)),
            _ => None,
        }
    }
}
