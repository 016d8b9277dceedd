//! Repeated string instructions: 64 bytes at a time while there is enough, the direction is up, and the bytes to be read are not among
//! those to be written before. The rest one element at a time, in a loop of its own.
//!
//! The registers are the guest's own and are right before every chunk. Inside of one they lag behind what memory holds, and the place of
//! every instruction says by how much, so that nothing is ever done twice. The block's own operations come behind, with a count of zero.

use super::Emit;
use super::int::slot_field;
use super::mem::{access, width as memory_width};
use super::regs::{S0, S1};
use demotic_asm::arm64::branch;
use demotic_asm::arm64::int::{self, Arith};
use demotic_asm::arm64::mem::{self, Access, Mode, Ordered, Pair};
use demotic_asm::arm64::simd::{self, Lane};
use demotic_asm::arm64::{Imm12, Reg, Shift, Simm9, Sz, V, v};
use demotic_asm::buffer::Field;
use demotic_ir::state::reg;
use demotic_ir::ty::Ty;

/// Bytes of a chunk, as a power of two.
const CHUNK: u32 = 6;
/// The direction flag's bit number.
const DF: u32 = 10;

impl Emit<'_> {
    /// `Bulk`: nothing is done where the registers are not all in their homes.
    pub(super) fn bulk(&mut self, i: usize) {
        let inst = self.block.insts[i];
        let Some((sys, _)) = slot_field(44).filter(|_| i == 0) else { return };
        let moves = inst.imm == 0;
        let (lane, size) = match inst.ty.bits() {
            8 => (Lane::B, 0),
            16 => (Lane::H, 1),
            32 => (Lane::S, 2),
            _ => (Lane::D, 3),
        };
        let width = if self.narrow() { Sz::W } else { Sz::X };
        let slots = [reg::RSI as u8, reg::RDI as u8, reg::RCX as u8];
        let [from, to, count] = slots.map(Self::home);
        let (done, again) = (self.buf.label(), self.buf.label());
        let (up, down) = (self.buf.label(), self.buf.label());
        self.w_to(branch::cbz(false, width, count), done, Field::Arm19);
        self.frame_access(Access::LdrW, S0, sys);
        self.w_to(branch::tbz(true, S0, DF), down, Field::Arm14);
        self.w(int::lsr_imm(Sz::X, S0, count, CHUNK - size));
        self.w_to(branch::cbz(false, Sz::X, S0), up, Field::Arm19);
        if moves {
            // Less than a chunk ahead of the source: what is read was just written.
            self.w(int::arith(Arith::Sub, Sz::X, S0, to, from, Shift::Lsl, 0));
            self.w(int::lsr_imm(Sz::X, S0, S0, CHUNK));
            self.w_to(branch::cbz(false, Sz::X, S0), up, Field::Arm19);
        } else {
            self.w(simd::dup_reg(true, lane, v(0), Self::home(reg::RAX as u8)));
        }
        self.buf.bind(again);
        let pair =
            |load: bool, n: u8, m: u8, base, off| mem::pair::<V>(load, Pair::Q, v(n), v(m), base, off, Mode::Offset);
        if moves {
            self.wo(pair(true, 0, 1, from, 0));
            self.wo(pair(true, 2, 3, from, 32));
        }
        if self.tso() {
            self.w(branch::DMB_ISH);
        }
        let (n, m) = if moves { (2, 3) } else { (0, 0) };
        self.wo(pair(false, 0, if moves { 1 } else { 0 }, to, 0));
        let whole = [1 << CHUNK, 1 << CHUNK, -(1 << (CHUNK - size))];
        let lag = |part: i32| {
            let used = if moves { 0 } else { 1 };
            slots.into_iter().zip(whole.map(|by| by / part)).skip(used).collect::<Vec<_>>()
        };
        self.lag = lag(2);
        self.wo(pair(false, n, m, to, 32));
        self.lag = lag(1);
        while let Some((slot, by)) = self.lag.first().copied() {
            let home = Self::home(slot);
            let op = if by < 0 { Arith::Sub } else { Arith::Add };
            self.wo(Imm12::new(u64::from(by.unsigned_abs())).map(|imm| int::arith_imm(op, width, home, home, imm)));
            self.lag.remove(0);
        }
        self.w(int::lsr_imm(Sz::X, S1, count, CHUNK - size));
        self.w_to(branch::cbz(true, Sz::X, S1), again, Field::Arm19);
        self.w_to(branch::cbz(false, width, count), done, Field::Arm19);
        self.buf.bind(up);
        self.elements(inst.ty, moves, 1 << size);
        self.w_to(branch::B, done, Field::Arm26);
        self.buf.bind(down);
        self.elements(inst.ty, moves, -(1 << size));
        self.buf.bind(done);
    }

    /// One element after the other until none is left; `by`: bytes from one to the next.
    fn elements(&mut self, ty: Ty, moves: bool, by: i32) {
        let width = if self.narrow() { Sz::W } else { Sz::X };
        let slots = [reg::RSI as u8, reg::RDI as u8, reg::RCX as u8];
        let [from, to, count] = slots.map(Self::home);
        let (load, store) = (access(ty, true, None), access(ty, false, None));
        let data = if moves { S0 } else { Self::home(reg::RAX as u8) };
        let (Some(one), Some(step), Some(size)) = (Imm12::small(1), Simm9::new(i64::from(by)), memory_width(ty)) else {
            return self.fail();
        };
        let again = self.buf.label();
        self.buf.bind(again);
        if self.tso() && !self.request.unaligned {
            if moves {
                let kind = if self.request.target.features.rcpc { Ordered::Ldapr } else { Ordered::Ldar };
                self.w(mem::ordered(kind, size, data, from));
            }
            self.w(mem::ordered(Ordered::Stlr, size, data, to));
            self.lag = vec![(slots[1], by), (slots[2], -1)];
            if moves {
                self.lag.push((slots[0], by));
                self.step(width, from, by);
                self.lag.pop();
            }
            self.step(width, to, by);
            self.lag.remove(0);
        } else {
            if moves {
                self.w(mem::post(load, data, from, step));
                self.lag = vec![(slots[0], -by)];
            }
            if self.tso() {
                self.w(branch::DMB_ISH);
            }
            self.w(mem::post(store, data, to, step));
            self.lag = vec![(slots[2], -1)];
        }
        self.w(int::arith_imm(Arith::Sub, width, count, count, one));
        self.lag.clear();
        self.w_to(branch::cbz(true, width, count), again, Field::Arm19);
    }

    fn step(&mut self, width: Sz, r: Reg, by: i32) {
        let op = if by < 0 { Arith::Sub } else { Arith::Add };
        self.wo(Imm12::new(u64::from(by.unsigned_abs())).map(|imm| int::arith_imm(op, width, r, r, imm)));
    }
}
