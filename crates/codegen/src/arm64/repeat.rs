//! Repeated string instructions: 64 bytes at a time while there is enough, the direction is up, and the bytes to be read are not among
//! those to be written before.
//!
//! The registers are the guest's own and are right before every chunk. Inside of one they lag behind what memory holds, and the place of
//! every instruction says by how much, so that nothing is ever done twice. What is left goes through the block, one element at a time.

use super::Emit;
use super::int::slot_field;
use super::regs::{S0, S1};
use demotic_asm::arm64::branch;
use demotic_asm::arm64::int::{self, Arith};
use demotic_asm::arm64::mem::{self, Access, Mode, Pair};
use demotic_asm::arm64::simd::{self, Lane};
use demotic_asm::arm64::{Imm12, Shift, Sz, V, v};
use demotic_asm::buffer::Field;
use demotic_ir::state::reg;

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
        self.w(int::lsr_imm(Sz::X, S0, count, CHUNK - size));
        self.w_to(branch::cbz(false, Sz::X, S0), done, Field::Arm19);
        self.frame_access(Access::LdrW, S0, sys);
        self.w_to(branch::tbz(true, S0, DF), done, Field::Arm14);
        if moves {
            // Less than a chunk ahead of the source: what is read was just written.
            self.w(int::arith(Arith::Sub, Sz::X, S0, to, from, Shift::Lsl, 0));
            self.w(int::lsr_imm(Sz::X, S0, S0, CHUNK));
            self.w_to(branch::cbz(false, Sz::X, S0), done, Field::Arm19);
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
        self.buf.bind(done);
    }
}
