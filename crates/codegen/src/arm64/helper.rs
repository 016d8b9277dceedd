//! One operation by the interpreter.

use super::regs::{S0, S1, W};
use super::{Cold, Emit};
use crate::frame::Frame;
use crate::{Place, Stub};
use core::mem::offset_of;
use demotic_asm::arm64::branch;
use demotic_asm::arm64::mem::Access;
use demotic_asm::arm64::{Number, Reg, Sz, V, ZR, int, v, x};
use demotic_asm::buffer::{Field, Label};
use demotic_ir::interp;
use demotic_ir::ty::Ty;

/// An operand of an operation that is carried out out of line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operand {
    /// Register and the width to which it counts.
    General(u8, u32),
    Vector(u8),
    Known(u64),
    /// A vector of zeros.
    Zeros,
}

/// An operation that is carried out out of line: its operands stay where they are until then.
#[derive(Debug)]
pub(super) struct Late {
    what: u64,
    imm: u64,
    operands: Vec<Operand>,
    general: Option<Reg>,
    vector: Option<V>,
    back: Label,
    /// Where to go on when nothing is to be done but to take flags over.
    again: Option<Label>,
    after: Option<Place>,
}

pub(super) fn args_offset(k: usize) -> usize {
    offset_of!(Frame, args) + k * size_of::<interp::V>()
}

impl Emit<'_> {
    pub(super) fn call_helper(&mut self, what: u64, imm: u64) {
        for w in int::mov_imm(Sz::X, S0, what).collect::<Vec<_>>() {
            self.w(w);
        }
        for w in int::mov_imm(Sz::X, S1, imm).collect::<Vec<_>>() {
            self.w(w);
        }
        self.stub(true, Stub::Helper);
    }

    fn store_operand(&mut self, k: usize, operand: Operand) {
        match operand {
            Operand::General(r, width) => {
                let mut r = x(r);
                if width < 64 {
                    self.w(int::ubfx(Sz::X, S0, r, 0, width.max(1)));
                    r = S0;
                }
                self.frame_access(Access::StrX, r, args_offset(k));
            }
            Operand::Vector(r) => self.frame_access(Access::StrQ, v(r), args_offset(k)),
            Operand::Zeros => {
                self.frame_access(Access::StrX, ZR, args_offset(k));
                self.frame_access(Access::StrX, ZR, args_offset(k) + 8);
            }
            Operand::Known(0) => self.frame_access(Access::StrX, ZR, args_offset(k)),
            Operand::Known(c) => {
                for w in int::mov_imm(Sz::X, S0, c).collect::<Vec<_>>() {
                    self.w(w);
                }
                self.frame_access(Access::StrX, S0, args_offset(k));
            }
        }
    }

    /// Runs operation `i` in the interpreter.
    pub fn helper(&mut self, i: usize) {
        let inst = self.block.insts[i];
        for (k, &val) in inst.operands().iter().enumerate() {
            let operand = match self.ty(val) {
                Ty::V128 | Ty::F80 => Operand::Vector(self.vr(val).n() as u8),
                _ => match self.constant(val) {
                    Some(c) => Operand::Known(c),
                    // Old flags that the operation does not look at.
                    None if self.ty(val) == Ty::Fl && !self.an[val.index()].live => Operand::Known(0),
                    None if self.ty(val) == Ty::Fl && self.books.loc[val.index()] == W::Flags => {
                        let d = self.scratch();
                        self.image_of_home(d);
                        Operand::General(d.n() as u8, 32)
                    }
                    None => self.general_operand(val),
                },
            };
            self.store_operand(k, operand);
        }
        self.call_helper(u64::from(inst.op as u8) | (inst.ty as u64) << 8, inst.imm);
        self.index = i + 1;
        self.books.loc[i] = W::Result;
        let result = offset_of!(Frame, result);
        let used = self.an[i].end() > i;
        match inst.result() {
            Ty::None => self.books.loc[i] = W::Not,
            _ if !used => {}
            Ty::V128 | Ty::F80 => {
                let d = self.vdest(i);
                self.frame_access(Access::LdrQ, d, result);
                self.vresult(i, d);
            }
            Ty::Fl => {
                let d = self.scratch();
                self.frame_access(Access::LdrX, d, result);
                self.result(i, d, 32);
            }
            ty => {
                let d = self.dest(i);
                self.frame_access(Access::LdrX, d, result);
                self.result(i, d, ty.bits().min(64) as u8);
            }
        }
    }

    fn general_operand(&mut self, val: demotic_ir::block::Val) -> Operand {
        let r = self.r(val);
        let width = match self.ty(val) {
            Ty::Fl => 32,
            ty => ty.bits(),
        };
        let width = if u32::from(self.bits_of(val)) <= width { 64 } else { width };
        Operand::General(r.n() as u8, width)
    }

    /// A label for the rare case of operation `i`: the interpreter does it, the result goes to the given register, and the code
    /// goes on at `back`. Everything the operation needs has to be in registers already, and nothing may be allocated between
    /// the branch there and `back`.
    pub fn rarely(&mut self, i: usize, general: Option<Reg>, vector: Option<V>, back: Label) -> Label {
        self.rarely_or(i, general, vector, back, None)
    }

    /// The same for what arithmetic has raised, which may only have to be taken over: then it goes on at `again`.
    pub(super) fn rarely_or(
        &mut self,
        i: usize,
        general: Option<Reg>,
        vector: Option<V>,
        back: Label,
        again: Option<Label>,
    ) -> Label {
        let inst = self.block.insts[i];
        let mut operands = Vec::new();
        for &val in inst.operands() {
            let operand = match self.constant(val) {
                Some(0) if self.ty(val) == Ty::V128 => Operand::Zeros,
                Some(c) if self.ty(val) != Ty::V128 => Operand::Known(c),
                _ if matches!(self.ty(val), Ty::V128 | Ty::F80) => Operand::Vector(self.vr(val).n() as u8),
                _ => self.general_operand(val),
            };
            operands.push(operand);
        }
        let label = self.buf.label();
        let after = self.stop.is_some().then(|| {
            let (index, loc) = (self.index, self.books.loc[i]);
            self.index = i + 1;
            self.books.loc[i] = W::Result;
            let place = self.here();
            self.index = index;
            self.books.loc[i] = loc;
            place
        });
        let late = Late {
            what: u64::from(inst.op as u8) | (inst.ty as u64) << 8,
            imm: inst.imm,
            operands,
            general,
            vector,
            back,
            again,
            after,
        };
        self.later(Cold::Helper(label, late));
        label
    }

    pub(super) fn late_helper(&mut self, late: Late) {
        if let Some(again) = late.again {
            self.take_over_flags(again);
        }
        for (k, &operand) in late.operands.iter().enumerate() {
            self.store_operand(k, operand);
        }
        self.call_helper(late.what, late.imm);
        if late.after.is_some() {
            self.fixed_place = late.after;
        }
        let result = offset_of!(Frame, result);
        if let Some(d) = late.general {
            self.frame_access(Access::LdrX, d, result);
        }
        if let Some(d) = late.vector {
            self.frame_access(Access::LdrQ, d, result);
        }
        self.w_to(branch::B, late.back, Field::Arm26);
    }
}
