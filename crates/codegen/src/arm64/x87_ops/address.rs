//! Where operands of x87 instructions in memory are.

use super::super::Emit;
use super::super::mem::Mode;
use super::super::regs::{S0, S1, S2};
use super::super::x87::Group;
use super::{Work, X};
use demotic_asm::arm64::int::{self, Arith};
use demotic_asm::arm64::{Extend, Imm12, Reg, Shift};
use demotic_ir::block::Val;
use demotic_ir::ty::Ty;

/// An operand in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operand {
    pub base: Reg,
    pub off: i64,
    pub ty: Ty,
}

/// Whether an operand of any type is in reach of its base.
fn is_near(off: i64) -> bool {
    (-200..4000).contains(&off) && off % 8 == 0 || (-200..200).contains(&off)
}

/// An address that is computed into S1 where it is needed, for want of a temporary.
#[derive(Clone, Copy, Debug)]
pub(super) enum Late {
    Far(Reg, i64),
    Index(Reg, Reg),
}

impl Emit<'_> {
    /// Computes such an address.
    pub(super) fn x87_late(&mut self, late: Late) {
        match late {
            Late::Far(base, off) => {
                self.mov_imm(X, S1, off as u64);
                self.w(int::arith(Arith::Add, X, S1, base, S1, Shift::Lsl, 0));
            }
            Late::Index(base, index) => {
                self.w(int::arith_ext(Arith::Add, X, S1, base, index, Extend::Uxtx, 0));
            }
        }
    }

    /// The address of an operand that is read, in no temporary of its own.
    pub(super) fn x87_late_address(&mut self, work: &mut Work, ty: Ty) -> Operand {
        let addr = work.g.addr.unwrap_or(Val::NONE);
        let stays = |r: Reg| ![S0, S1, S2].contains(&r);
        work.late = match self.mode(addr, 99) {
            Mode::Off(base, off) if stays(base) && !is_near(off) => Some(Late::Far(base, off)),
            Mode::Index(base, index, _, _) if stays(base) && stays(index) => Some(Late::Index(base, index)),
            _ => return self.x87_address(work.g, ty),
        };
        Operand { base: S1, off: 0, ty }
    }

    /// The address of an operand in memory, as a register that stays and an offset.
    pub(super) fn x87_address(&mut self, g: Group, ty: Ty) -> Operand {
        let addr = g.addr.unwrap_or(Val::NONE);
        let stays = |e: &mut Self, r: Reg| {
            if [S0, S1, S2].contains(&r) {
                let t = e.scratch();
                e.w(super::super::runtime::mov(t, r));
                return t;
            }
            r
        };
        match self.mode(addr, 99) {
            Mode::Off(base, off) if is_near(off) => Operand { base: stays(self, base), off, ty },
            Mode::Off(base, off) => {
                let t = self.scratch();
                let near = |off: i64| Imm12::new(off.unsigned_abs()).is_some();
                if near(off) {
                    self.add_const(X, t, base, off as u64);
                } else {
                    // The constant in no temporary of its own: arithmetic needs nearly all.
                    let c = if base == S1 { S0 } else { S1 };
                    self.mov_imm(X, c, off as u64);
                    self.w(int::arith(Arith::Add, X, t, base, c, Shift::Lsl, 0));
                }
                self.books.unpin(base);
                Operand { base: t, off: 0, ty }
            }
            Mode::Index(base, index, _, _) => {
                let t = self.scratch();
                self.w(int::arith_ext(Arith::Add, X, t, base, index, Extend::Uxtx, 0));
                self.books.unpin(base);
                self.books.unpin(index);
                Operand { base: t, off: 0, ty }
            }
        }
    }
}
