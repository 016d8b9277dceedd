//! The operations one by one: slots and integers.

use super::flags::sz;
use super::regs::{FRAME, S0, S1, S2, VS0, W};
use super::{Cold, Emit};
use crate::frame::Frame;
use core::mem::offset_of;
use demotic_asm::arm64::branch::{self, SysReg};
use demotic_asm::arm64::int::{self, Arith, Logic, One, Two};
use demotic_asm::arm64::mem::{self, Access};
use demotic_asm::arm64::simd::{self, Lane};
use demotic_asm::arm64::{Imm12, LogicImm, Reg, Shift, Sz, ZR, float};
use demotic_asm::buffer::Field;
use demotic_ir::block::{Edge, Val};
use demotic_ir::ops::Op;
use demotic_ir::state::{GuestState, X87, eflags};
use demotic_ir::ty::Ty;

fn mov(d: Reg, n: Reg) -> u32 {
    super::runtime::mov(d, n)
}

/// Offset in the frame of a slot that has no home, and its width in bytes.
pub(super) fn slot_field(slot: u8) -> Option<(usize, u32)> {
    let state = offset_of!(Frame, state);
    let x87 = offset_of!(GuestState, x87);
    let n = usize::from(slot);
    let (offset, bytes) = match slot {
        32..=37 => (offset_of!(GuestState, seg_base) + 8 * (n - 32), 8),
        38..=43 => (offset_of!(GuestState, seg_sel) + 2 * (n - 38), 2),
        44 => (offset_of!(GuestState, sys), 4),
        45 => (offset_of!(GuestState, mxcsr), 4),
        46 => (x87 + offset_of!(X87, cw), 2),
        47 => (x87 + offset_of!(X87, sw), 2),
        48 => (x87 + offset_of!(X87, valid), 1),
        49 => (x87 + offset_of!(X87, fop), 2),
        50 => (x87 + offset_of!(X87, fip), 8),
        51 => (x87 + offset_of!(X87, fdp), 8),
        52 => (x87 + offset_of!(X87, fcs), 2),
        53 => (x87 + offset_of!(X87, fds), 2),
        54..=69 => (offset_of!(GuestState, ymm) + 16 * (n - 54), 16),
        70 | 71 => (offset_of!(GuestState, seg_end) + 8 * (n - 70), 8),
        _ => return None,
    };
    Some((state + offset, bytes))
}

impl Emit<'_> {
    /// Emits operation `i`.
    pub fn op(&mut self, i: usize) {
        let inst = self.block.insts[i];
        if !self.an[i].live || self.an[i].lazy {
            return;
        }
        match inst.op {
            Op::Nop | Op::Const => {}
            Op::Get => self.get(i),
            Op::GetHi => {
                let d = self.dest(i);
                self.w(int::ubfx(Sz::W, d, Self::home(inst.imm as u8), 8, 8));
                self.result(i, d, 8);
            }
            Op::Set if self.an[i].dead => {}
            Op::Set => self.set(i),
            Op::SetHi => {
                let slot = inst.imm as u8 & 15;
                let r = self.rz(inst.args[0]);
                self.evacuate(slot, i);
                self.w(int::bfi(Sz::X, Self::home(slot), r, 8, 8));
                self.books.home_bits[usize::from(slot)] = self.books.home_bits[usize::from(slot)].max(16);
            }
            Op::GetFl => {
                self.books.loc[i] = W::Flags;
                self.books.in_flags.push(i as u16);
            }
            Op::SetFl => self.set_flags(i),
            Op::FlAdd
            | Op::FlAdc
            | Op::FlSub
            | Op::FlSbb
            | Op::FlLogic
            | Op::FlShl
            | Op::FlShr
            | Op::FlSar
            | Op::FlRol
            | Op::FlRor
            | Op::FlRcl
            | Op::FlRcr
            | Op::FlShlD
            | Op::FlShrD
            | Op::FComi => self.flags_op(i),
            Op::FlFrom => {
                if let Some(c) = self.constant(inst.args[0]) {
                    self.books.loc[i] = W::Const(c & u64::from(eflags::ARITH));
                } else {
                    let r = self.r(inst.args[0]);
                    if matches!(self.books.loc[inst.args[0].index()], W::T(_)) && self.share(i, inst.args[0]) {
                        return;
                    }
                    let d = self.scratch();
                    self.w(mov(d, r));
                    self.result(i, d, 32);
                }
            }
            Op::FlBits => self.flag_bits(i),
            Op::Cond | Op::Eq | Op::LtU | Op::LtS => self.truth(i),
            Op::Sel => self.select(i),
            Op::Add | Op::Sub => self.add_sub(i),
            Op::And | Op::Or | Op::Xor => self.logic(i),
            Op::Not => self.not(i),
            Op::Shl | Op::Shr | Op::Sar => self.shift(i),
            Op::Rol | Op::Ror => self.rotate(i),
            Op::Mul | Op::MulHiU | Op::MulHiS => self.multiply(i),
            Op::DivU | Op::RemU | Op::DivS | Op::RemS => self.divide(i),
            Op::ShlD | Op::ShrD => self.double_shift(i),
            Op::Clz | Op::Ctz | Op::Bswap | Op::Popcnt => self.count(i),
            Op::Zext => self.zext(i),
            Op::Sext => self.sext(i),
            Op::Ld => self.load(i),
            Op::St => self.store(i),
            Op::AXchg | Op::AAdd | Op::AAnd | Op::AOr | Op::AXor | Op::ACas => self.atomic(i),
            Op::CheckGp if self.constant(inst.args[0]) == Some(0) => {}
            Op::CheckGp => {
                let r = self.r(inst.args[0]);
                let label = self.deopt();
                self.w_to(branch::cbz(true, Sz::X, r), label, Field::Arm19);
            }
            Op::CheckNeg => {
                let r = self.r(inst.args[0]);
                let label = self.deopt();
                self.branch_on(super::flags::Test::Bit(r, 63, false), label);
            }
            Op::Bulk => self.bulk(i),
            Op::Fence => self.w(match inst.imm {
                1 => branch::DMB_ISHLD,
                2 => branch::DMB_ISHST,
                _ => branch::DMB_ISH,
            }),
            Op::XChk if self.mmx_check(i) => {}
            Op::XFn if self.mmx_function(i) => {}
            Op::XGetPhys if self.mmx_get(i) => {}
            Op::XBits if self.mmx_bits(i) => {}
            Op::VLow if self.mmx_low(i) => {}
            Op::XSetPhys if self.mmx_set(i) => {}
            Op::FLo if self.wide_op(i) => {}
            Op::StPair if self.store_pair(i) => {}
            Op::LdLane | Op::LdMask if self.load_lanes(i) => {}
            Op::ExitIf => {
                let block = self.unit.blocks.iter().position(|b| b.pc == inst.imm).map(|b| b as u32);
                let test = self.test(inst.args[0], i);
                let label = self.edge_label(Edge { pc: inst.imm, block });
                self.branch_on(test, label);
            }
            _ => {
                if inst.op.touches_x87() {
                    self.mmx_forget();
                }
                if !self.vector_op(i) && !self.float_op(i) && !self.crypto_op(i) && !self.compare_strings(i) {
                    self.helper(i);
                }
            }
        }
    }

    // ---- slots --------------------------------------------------------------------------------------------------------

    fn get(&mut self, i: usize) {
        let inst = self.block.insts[i];
        let slot = inst.imm as u8;
        match slot {
            0..=15 => {
                let bits = self.books.home_bits[usize::from(slot)];
                self.name_home(i, slot, bits);
            }
            16..=31 if inst.ty == Ty::V128 => self.name_home(i, slot, 64),
            16..=31 => {
                let lane = if inst.ty == Ty::I64 { Lane::D } else { Lane::S };
                let d = self.dest(i);
                self.w(simd::umov(lane, d, demotic_asm::arm64::v(slot), 0));
                self.result(i, d, 64);
            }
            54..=69 => {
                let Some((offset, _)) = slot_field(slot) else { return self.fail() };
                if inst.ty != Ty::V128 {
                    let d = self.dest(i);
                    self.frame_access(if inst.ty == Ty::I64 { Access::LdrX } else { Access::LdrW }, d, offset);
                    return self.result(i, d, inst.ty.bits() as u8);
                }
                let d = self.vdest(i);
                self.frame_access(Access::LdrQ, d, offset);
                self.vresult(i, d);
            }
            45 => {
                // What accumulated since the last exit belongs to it: IOC, then DZC OFC UFC IXC one higher.
                let d = self.dest(i);
                if let (true, Some((offset, _))) = (self.exact(), slot_field(45)) {
                    self.frame_access(Access::LdrW, d, offset);
                } else {
                    self.mxcsr(S1);
                    self.w(mov(d, S1));
                }
                self.result(i, d, 32);
            }
            _ => {
                let Some((offset, bytes)) = slot_field(slot) else { return self.fail() };
                if matches!(slot, 47 | 48) {
                    self.x87_to_state();
                }
                let d = self.dest(i);
                let op = match bytes {
                    1 => Access::Ldrb,
                    2 => Access::Ldrh,
                    4 => Access::LdrW,
                    _ => Access::LdrX,
                };
                self.frame_access(op, d, offset);
                self.result(i, d, (8 * bytes) as u8);
            }
        }
    }

    /// MXCSR with the sticky bits of FPSR; destroys S0.
    fn mxcsr(&mut self, d: Reg) {
        let Some((offset, _)) = slot_field(45) else { return };
        self.w(branch::mrs(S0, SysReg::Fpsr));
        self.frame_access(Access::LdrW, d, offset);
        // Bit 0 to bit 0, bits 1..=4 to bits 2..=5.
        self.wo(LogicImm::new(Sz::W, 1).and_then(|imm| int::logic_imm(Logic::And, Sz::W, S2, S0, imm)));
        self.w(int::logic(Logic::Orr, Sz::W, d, d, S2, Shift::Lsl, 0));
        self.w(int::ubfx(Sz::W, S0, S0, 1, 4));
        self.w(int::logic(Logic::Orr, Sz::W, d, d, S0, Shift::Lsl, 2));
    }

    fn set(&mut self, i: usize) {
        let inst = self.block.insts[i];
        let slot = inst.imm as u8;
        let val = inst.args[0];
        match slot {
            0..=15 => self.set_gpr(i, slot, val, inst.ty),
            16..=31 => {
                let from = self.books.loc[val.index()];
                if from == W::Home(slot) {
                    return;
                }
                let n = self.vr(val);
                self.evacuate(slot, i);
                self.w(simd::mov(demotic_asm::arm64::v(slot), n));
                self.settle(slot, val);
            }
            54..=69 => {
                let Some((offset, _)) = slot_field(slot) else { return self.fail() };
                let n = self.vr(val);
                self.frame_access(Access::StrQ, n, offset);
            }
            45 => {
                // Only the sticky bits may change without the engine looking at it.
                let r = self.r(val);
                let Some((offset, _)) = slot_field(45) else { return };
                let label = self.deopt();
                let flags = |e: &mut Self, imm: u64| {
                    e.wo(LogicImm::new(Sz::W, imm).and_then(|imm| int::logic_imm(Logic::And, Sz::W, S0, S0, imm)));
                };
                if self.exact() {
                    self.frame_access(Access::LdrW, S1, offset);
                } else {
                    self.mxcsr(S1);
                }
                self.w(int::logic(Logic::Eor, Sz::W, S0, S1, r, Shift::Lsl, 0));
                flags(self, !63 & 0xffff_ffff);
                self.w_to(branch::cbz(true, Sz::W, S0), label, Field::Arm19);
                if self.exact() {
                    self.flags_written(r);
                } else {
                    // Whoever clears flags goes on with exact ones: see [`GuestState::set_mxcsr`]. Where they are already, that is only noted.
                    let back = self.buf.label();
                    let label = if self.fp_inline() {
                        label
                    } else {
                        let label = self.buf.label();
                        let field = offset_of!(Frame, state) + offset_of!(GuestState, exact_sse);
                        let note = mem::offset(Access::Strb, S0, FRAME, field as i64);
                        self.later(Cold::Fix(label, vec![int::movz(Sz::W, S0, 1, 0), note.unwrap_or_default()], back));
                        label
                    };
                    self.w(int::logic(Logic::Bic, Sz::W, S0, S1, r, Shift::Lsl, 0));
                    self.w_to(branch::cbz(true, Sz::W, S0), label, Field::Arm19);
                    self.w(int::logic(Logic::Orr, Sz::W, S0, S1, r, Shift::Lsl, 0));
                    flags(self, 63);
                    self.w_to(branch::cbz(false, Sz::W, S0), label, Field::Arm19);
                    self.buf.bind(back);
                    self.w(branch::msr(SysReg::Fpsr, ZR));
                }
                self.frame_access(Access::StrW, r, offset);
            }
            44 => {
                let Some((offset, _)) = slot_field(44) else { return };
                let r = self.rz(val);
                self.mov_imm(Sz::W, S0, u64::from(!eflags::ARITH));
                self.w(int::logic(Logic::And, Sz::W, S0, S0, r, Shift::Lsl, 0));
                self.mov_imm(Sz::W, S1, u64::from(eflags::FIXED | eflags::IF));
                self.w(int::logic(Logic::Orr, Sz::W, S0, S0, S1, Shift::Lsl, 0));
                self.frame_access(Access::StrW, S0, offset);
            }
            _ => {
                let Some((offset, bytes)) = slot_field(slot) else { return self.fail() };
                if matches!(slot, 46..=48) {
                    self.mmx_forget();
                    self.x87_to_state();
                }
                let mut r = self.rz(val);
                let width = inst.ty.bits();
                if width < 8 * bytes && u32::from(self.bits_of(val)) > width {
                    self.w(int::ubfx(Sz::X, S0, r, 0, width));
                    r = S0;
                }
                let op = match bytes {
                    1 => Access::Strb,
                    2 => Access::Strh,
                    4 => Access::StrW,
                    _ => Access::StrX,
                };
                self.frame_access(op, r, offset);
            }
        }
    }

    fn set_gpr(&mut self, i: usize, slot: u8, val: Val, ty: Ty) {
        let home = Self::home(slot);
        let s = usize::from(slot);
        let k = val.index();
        let constant = self.constant(val);
        match ty {
            Ty::I64 | Ty::I32 => {
                let loc = self.books.loc[k];
                if loc == W::Home(slot) {
                    if ty == Ty::I32 && self.books.bits[k] > 32 {
                        self.evacuate(slot, i);
                        self.w(int::logic(Logic::Orr, Sz::W, home, ZR, home, Shift::Lsl, 0));
                    }
                    if ty == Ty::I32 {
                        self.books.home_bits[s] = self.books.home_bits[s].min(32);
                    }
                    return;
                }
                if let Some(c) = constant {
                    let kept = self.kept_const(c);
                    self.evacuate(slot, i);
                    match kept {
                        Some(r) => self.w(mov(home, r)),
                        None => self.mov_imm(Sz::X, home, c),
                    }
                    self.books.home_bits[s] = (64 - c.leading_zeros()) as u8;
                    return;
                }
                let bits = self.bits_of(val);
                let r = self.r(val);
                self.evacuate(slot, i);
                self.w(int::logic(Logic::Orr, sz(ty), home, ZR, r, Shift::Lsl, 0));
                self.books.home_bits[s] = bits.min(ty.bits() as u8);
                self.settle(slot, val);
            }
            _ => {
                let width = ty.bits();
                self.books.home_bits[s] = self.books.home_bits[s].max(width as u8);
                if constant == Some(0) {
                    self.evacuate(slot, i);
                    self.wo(LogicImm::new(Sz::X, !ty.mask())
                        .and_then(|imm| int::logic_imm(Logic::And, Sz::X, home, home, imm)));
                    return;
                }
                let r = match constant {
                    // Any upper half will do: one instruction.
                    Some(c) if ty == Ty::I16 => {
                        self.evacuate(slot, i);
                        self.w(int::movk(Sz::X, home, c as u16, 0));
                        return;
                    }
                    Some(c) => {
                        self.w(int::movz(Sz::W, S0, c as u16, 0));
                        S0
                    }
                    None => self.r(val),
                };
                self.evacuate(slot, i);
                if r != home {
                    self.w(int::bfi(Sz::X, home, r, 0, width));
                }
            }
        }
    }

    fn flag_bits(&mut self, i: usize) {
        let fl = self.block.insts[i].args[0];
        let d;
        if self.books.loc[fl.index()] == W::Flags {
            d = self.scratch();
            self.image_of_home(d);
        } else {
            let r = self.r(fl);
            d = self.scratch();
            self.mov_imm(Sz::W, S0, u64::from(eflags::ARITH));
            self.w(int::logic(Logic::And, Sz::W, d, S0, r, Shift::Lsl, 0));
        }
        self.result(i, d, 32);
    }

    // ---- sums and logic -----------------------------------------------------------------------------------------------

    /// `d = n + c`.
    pub fn add_const(&mut self, size: Sz, d: Reg, n: Reg, c: u64) {
        let c = if size == Sz::W { u64::from(c as u32) } else { c };
        let minus = if size == Sz::W { u64::from((c as u32).wrapping_neg()) } else { c.wrapping_neg() };
        if let Some(imm) = Imm12::new(c) {
            self.w(int::arith_imm(Arith::Add, size, d, n, imm));
        } else if let Some(imm) = Imm12::new(minus) {
            self.w(int::arith_imm(Arith::Sub, size, d, n, imm));
        } else {
            let r = self.const_reg(c);
            self.w(int::arith(Arith::Add, size, d, n, r, Shift::Lsl, 0));
        }
    }

    fn add_sub(&mut self, i: usize) {
        let inst = self.block.insts[i];
        let f = self.an[i].fused();
        if f != super::analysis::NONE {
            self.take_flags(i);
            let d = self.dest(i);
            self.compute_flags(f, i, Some(d));
            self.result(i, d, inst.ty.bits() as u8);
            self.done[f] = true;
            return;
        }
        let size = sz(inst.ty);
        let (a, b) = (inst.args[0], inst.args[1]);
        let sub = inst.op == Op::Sub;
        let bits = size.bits() as u8;
        // A constant first or second.
        let (a, b) = if !sub && self.constant(a).is_some() { (b, a) } else { (a, b) };
        if let Some(c) = self.constant(b) {
            let c = if sub { c.wrapping_neg() } else { c };
            let c = if inst.ty.bits() < 32 { (c & inst.ty.mask()) << (64 - inst.ty.bits()) } else { c };
            let c = if inst.ty.bits() < 32 { ((c as i64) >> (64 - inst.ty.bits())) as u64 } else { c };
            let ra = self.r(a);
            let d = self.dest(i);
            self.add_const(size, d, ra, c);
            self.result(i, d, bits);
            return;
        }
        let (ra, ka) = if sub { (self.rz(a), 0) } else { self.shifted(a) };
        let (rb, kb) = self.shifted(b);
        let d = self.dest(i);
        if sub {
            self.w(int::arith(Arith::Sub, size, d, ra, rb, Shift::Lsl, kb));
        } else if ka == 0 {
            self.w(int::arith(Arith::Add, size, d, ra, rb, Shift::Lsl, kb));
        } else {
            self.w(int::arith(Arith::Add, size, d, rb, ra, Shift::Lsl, ka));
        }
        self.result(i, d, bits);
    }

    /// An immediate for a logical operation of a narrow type: the upper bits are free.
    fn logic_imm_for(ty: Ty, c: u64) -> Option<LogicImm> {
        let m = ty.mask();
        match ty {
            Ty::I8 | Ty::I16 => LogicImm::new(Sz::W, c).or_else(|| LogicImm::new(Sz::W, c | !m)),
            _ => LogicImm::new(sz(ty), c),
        }
    }

    fn logic(&mut self, i: usize) {
        let inst = self.block.insts[i];
        let f = self.an[i].fused();
        if f != super::analysis::NONE {
            self.take_flags(i);
            let d = self.dest(i);
            self.compute_flags(f, i, Some(d));
            let bits = self.and_bits(i);
            self.result(i, d, bits);
            self.done[f] = true;
            return;
        }
        let op = match inst.op {
            Op::And => Logic::And,
            Op::Or => Logic::Orr,
            _ => Logic::Eor,
        };
        if inst.op == Op::Xor && inst.args[0] == inst.args[1] {
            let d = self.dest(i);
            self.w(int::movz(Sz::W, d, 0, 0));
            self.result(i, d, 0);
            return;
        }
        let bits = if inst.op == Op::And {
            self.and_bits(i)
        } else {
            let full = if inst.ty == Ty::I64 { 64 } else { 32 };
            let narrow = inst.ty.bits() < 32;
            if narrow { full } else { self.bits_of(inst.args[0]).max(self.bits_of(inst.args[1])).min(full) }
        };
        let word = self.logic_word(i, op);
        let d = self.dest(i);
        let size = sz(inst.ty);
        match word {
            Operand::Imm(a, imm) => self.wo(int::logic_imm(op, size, d, a, imm)),
            Operand::Reg(a, b, by) => self.w(int::logic(op, size, d, a, b, Shift::Lsl, by)),
        }
        self.result(i, d, bits);
    }

    fn and_bits(&self, i: usize) -> u8 {
        let inst = &self.block.insts[i];
        let full = if inst.ty == Ty::I64 { 64 } else { 32 };
        // The immediate of a narrow operation may have been given ones above.
        let spread = |v: Val| self.constant(v).is_some_and(|c| LogicImm::new(Sz::W, c).is_none());
        if inst.ty.bits() < 32 && (spread(inst.args[0]) || spread(inst.args[1])) {
            return full;
        }
        self.bits_of(inst.args[0]).min(self.bits_of(inst.args[1])).min(full)
    }

    /// The `and` at `i` with flags, into `d`.
    pub fn and_flags(&mut self, i: usize, d: Reg) {
        let size = sz(self.block.insts[i].ty);
        match self.logic_word(i, Logic::Ands) {
            Operand::Imm(a, imm) => self.wo(int::logic_imm(Logic::Ands, size, d, a, imm)),
            Operand::Reg(a, b, by) => self.w(int::logic(Logic::Ands, size, d, a, b, Shift::Lsl, by)),
        }
    }

    fn logic_word(&mut self, i: usize, op: Logic) -> Operand {
        let inst = self.block.insts[i];
        let (a, b) = (inst.args[0], inst.args[1]);
        let (a, b) = if self.constant(a).is_some() { (b, a) } else { (a, b) };
        let _ = op;
        if let Some(imm) = self.constant(b).and_then(|c| Self::logic_imm_for(inst.ty, c)) {
            return Operand::Imm(self.r(a), imm);
        }
        let (ra, ka) = if self.constant(a).is_some() { (self.rz(a), 0) } else { self.shifted(a) };
        let (rb, kb) = if self.constant(b).is_some() { (self.rz(b), 0) } else { self.shifted(b) };
        if ka == 0 { Operand::Reg(ra, rb, kb) } else { Operand::Reg(rb, ra, ka) }
    }

    fn not(&mut self, i: usize) {
        let inst = self.block.insts[i];
        let r = self.r(inst.args[0]);
        let d = self.dest(i);
        if inst.ty == Ty::I1 {
            self.wo(LogicImm::new(Sz::W, 1).and_then(|imm| int::logic_imm(Logic::Eor, Sz::W, d, r, imm)));
            self.result(i, d, 1);
        } else {
            let size = sz(inst.ty);
            self.w(int::logic(Logic::Orn, size, d, ZR, r, Shift::Lsl, 0));
            self.result(i, d, size.bits() as u8);
        }
    }

    // ---- shifts -------------------------------------------------------------------------------------------------------

    /// A value with the right upper bits for a right shift.
    fn for_right_shift(&mut self, val: Val, ty: Ty, signed: bool, scratch: Reg) -> Reg {
        if ty.bits() >= 32 {
            return self.r(val);
        }
        if signed {
            let r = self.r(val);
            self.w(int::sbfx(Sz::W, scratch, r, 0, ty.bits()));
            scratch
        } else {
            let r = self.extended(val, scratch, ty.bits());
            if r == ZR {
                self.w(int::movz(Sz::W, scratch, 0, 0));
                return scratch;
            }
            r
        }
    }

    fn shift(&mut self, i: usize) {
        let inst = self.block.insts[i];
        let (a, count) = (inst.args[0], inst.args[1]);
        let (ty, size) = (inst.ty, sz(inst.ty));
        let width = ty.bits();
        let full = size.bits() as u8;
        if let Some(n) = self.constant(count) {
            let n = n as u32 & 0xff;
            if n >= width && inst.op != Op::Sar {
                let d = self.dest(i);
                self.w(int::movz(Sz::W, d, 0, 0));
                return self.result(i, d, 0);
            }
            let n = n.min(width - 1);
            let r = self.r(a);
            let d = self.dest(i);
            match inst.op {
                Op::Shl => {
                    self.w(int::lsl_imm(size, d, r, n));
                    self.result(i, d, full);
                }
                Op::Shr => {
                    self.w(int::ubfx(size, d, r, n, width - n));
                    self.result(i, d, (width - n) as u8);
                }
                _ => {
                    self.w(int::sbfx(size, d, r, n, width - n));
                    self.result(i, d, full);
                }
            }
            return;
        }
        let op = match inst.op {
            Op::Shl => Two::Lslv,
            Op::Shr => Two::Lsrv,
            _ => Two::Asrv,
        };
        // The host takes the count modulo the register width.
        if self.count_below(count, size.bits()) {
            let n = self.r(count);
            let r = if inst.op == Op::Shl { self.rz(a) } else { self.for_right_shift(a, ty, inst.op == Op::Sar, S0) };
            let d = self.dest(i);
            self.w(int::two(op, size, d, r, n));
            self.result(i, d, full);
            return;
        }
        // Any count: in 64 bits, with bit 6 or 7 of the count looked at.
        let n = self.r(count);
        let x = self.rz(a);
        let d = self.dest(i);
        let over = self.buf.label();
        match inst.op {
            Op::Shl => self.w(mov(S0, x)),
            Op::Shr => self.w(int::ubfx(Sz::X, S0, x, 0, width)),
            _ => self.w(int::sbfx(Sz::X, S0, x, 0, width)),
        }
        self.w(int::ubfx(Sz::W, S1, n, 0, 8));
        self.w(int::two(op, Sz::X, S0, S0, S1));
        self.w(int::lsr_imm(Sz::W, S1, S1, 6));
        self.w_to(branch::cbz(false, Sz::W, S1), over, Field::Arm19);
        if inst.op == Op::Sar {
            self.w(int::sbfx(Sz::X, S0, x, width - 1, 1));
        } else {
            self.w(int::movz(Sz::W, S0, 0, 0));
        }
        self.buf.bind(over);
        self.w(int::logic(Logic::Orr, size, d, ZR, S0, Shift::Lsl, 0));
        self.result(i, d, full);
    }

    /// Whether a count is known to be below `limit`: masked before.
    fn count_below(&self, count: Val, limit: u32) -> bool {
        let inst = &self.block.insts[count.index()];
        inst.op == Op::And && [0, 1].iter().any(|&k| self.constant(inst.args[k]).is_some_and(|c| c < u64::from(limit)))
    }

    fn rotate(&mut self, i: usize) {
        let inst = self.block.insts[i];
        let (a, count) = (inst.args[0], inst.args[1]);
        let (ty, size) = (inst.ty, sz(inst.ty));
        let width = ty.bits();
        let left = inst.op == Op::Rol;
        if let Some(n) = self.constant(count) {
            let n = n as u32 % width;
            let right = if left { (width - n) % width } else { n };
            if width >= 32 {
                let r = self.r(a);
                let d = self.dest(i);
                self.w(int::extr(size, d, r, r, right));
                return self.result(i, d, size.bits() as u8);
            }
            let r = self.rz(a);
            let d = self.dest(i);
            self.doubled(r, width);
            self.w(int::lsr_imm(Sz::W, d, S0, right));
            return self.result(i, d, 32);
        }
        let n = self.r(count);
        let r = self.rz(a);
        let d = self.dest(i);
        let mut by = n;
        if left {
            self.w(int::arith(Arith::Sub, Sz::W, S1, ZR, n, Shift::Lsl, 0));
            by = S1;
        }
        if width >= 32 {
            self.w(int::two(Two::Rorv, size, d, r, by));
        } else {
            // Four or two copies: any rotation of 32 bits is one of the narrow type.
            self.doubled(r, width);
            self.w(int::two(Two::Rorv, Sz::W, d, S0, by));
        }
        self.result(i, d, size.bits() as u8);
    }

    /// S0 = 32 bits full of copies of the low `width` bits.
    fn doubled(&mut self, r: Reg, width: u32) {
        self.w(int::ubfx(Sz::W, S0, r, 0, width));
        if width == 8 {
            self.w(int::logic(Logic::Orr, Sz::W, S0, S0, S0, Shift::Lsl, 8));
        }
        self.w(int::logic(Logic::Orr, Sz::W, S0, S0, S0, Shift::Lsl, 16));
    }

    /// shld and shrd of 32 and 64 bits by a constant; the rest goes the long way.
    fn double_shift(&mut self, i: usize) {
        let inst = self.block.insts[i];
        let size = sz(inst.ty);
        if !matches!(inst.ty, Ty::I32 | Ty::I64) {
            return self.helper(i);
        }
        let left = inst.op == Op::ShlD;
        let w = size.bits();
        if let Some(n) = self.constant(inst.args[2]) {
            let n = n as u32 & (w - 1);
            let (a, b) = (self.rz(inst.args[0]), self.rz(inst.args[1]));
            let d = self.dest(i);
            if n == 0 {
                self.w(int::logic(Logic::Orr, size, d, ZR, a, Shift::Lsl, 0));
            } else if left {
                self.w(int::extr(size, d, a, b, w - n));
            } else {
                self.w(int::extr(size, d, b, a, n));
            }
            return self.result(i, d, w as u8);
        }
        // (a << n) | (b >> 1 >> (w - 1 - n)), modulo w.
        let (a, b, n) = (self.rz(inst.args[0]), self.rz(inst.args[1]), self.r(inst.args[2]));
        let d = self.dest(i);
        self.w(int::logic(Logic::Orn, Sz::W, S0, ZR, n, Shift::Lsl, 0));
        if left {
            self.w(int::lsr_imm(size, S1, b, 1));
            self.w(int::two(Two::Lsrv, size, S1, S1, S0));
            self.w(int::two(Two::Lslv, size, S0, a, n));
        } else {
            self.w(int::lsl_imm(size, S1, b, 1));
            self.w(int::two(Two::Lslv, size, S1, S1, S0));
            self.w(int::two(Two::Lsrv, size, S0, a, n));
        }
        self.w(int::logic(Logic::Orr, size, d, S0, S1, Shift::Lsl, 0));
        self.result(i, d, w as u8);
    }

    // ---- bits and widths ----------------------------------------------------------------------------------------------

    fn count(&mut self, i: usize) {
        let inst = self.block.insts[i];
        let (a, ty, size) = (inst.args[0], inst.ty, sz(inst.ty));
        let width = ty.bits();
        let r = self.rz(a);
        match inst.op {
            Op::Clz => {
                let d = self.dest(i);
                if width < 32 {
                    // Ones below the value end the count.
                    self.w(int::lsl_imm(Sz::W, S0, r, 32 - width));
                    self.wo(LogicImm::new(Sz::W, 1 << (31 - width))
                        .and_then(|imm| int::logic_imm(Logic::Orr, Sz::W, S0, S0, imm)));
                    self.w(int::one(One::Clz, Sz::W, d, S0));
                } else {
                    self.w(int::one(One::Clz, size, d, r));
                }
                self.result(i, d, 7);
            }
            Op::Ctz => {
                let d = self.dest(i);
                let mut from = r;
                if width < 32 {
                    self.wo(
                        LogicImm::new(Sz::W, 1 << width).and_then(|imm| int::logic_imm(Logic::Orr, Sz::W, S0, r, imm))
                    );
                    from = S0;
                }
                self.w(int::one(One::Rbit, size, S0, from));
                self.w(int::one(One::Clz, size, d, S0));
                self.result(i, d, 7);
            }
            Op::Popcnt => {
                let d = self.dest(i);
                self.w(int::ubfx(Sz::X, S0, r, 0, width));
                self.w(float::fmov_from(Sz::X, VS0, S0));
                self.w(simd::misc(simd::Misc::Cnt, false, Lane::B, VS0, VS0));
                self.w(simd::across(simd::Across::Addv, false, Lane::B, VS0, VS0));
                self.w(float::fmov_to(Sz::W, d, VS0));
                self.result(i, d, 7);
            }
            _ => {
                let d = self.dest(i);
                match width {
                    64 => self.w(int::one(One::Rev64, Sz::X, d, r)),
                    32 => self.w(int::one(One::Rev32, Sz::W, d, r)),
                    16 => self.w(int::one(One::Rev16, Sz::W, d, r)),
                    _ => self.w(mov(d, r)),
                }
                self.result(i, d, if width == 64 { 64 } else { 32 });
            }
        }
    }

    fn zext(&mut self, i: usize) {
        let inst = self.block.insts[i];
        let from = inst.args[0];
        let width = self.ty(from).bits().min(inst.ty.bits());
        // A condition as a number.
        if self.books.loc[from.index()] == W::Not && self.block.insts[from.index()].op == Op::Cond {
            let fl = self.block.insts[from.index()].args[0];
            if let (W::Flags, Some(c)) =
                (self.books.loc[fl.index()], super::flags::condition_code(self.block.insts[from.index()].imm))
            {
                let d = self.dest(i);
                self.w(int::cset(d, c));
                return self.result(i, d, 1);
            }
        }
        // A sum of which only the low half counts.
        let sum = self.block.insts[from.index()];
        if inst.ty == Ty::I32
            && sum.op == Op::Add
            && self.an[from.index()].lazy
            && self.books.loc[from.index()] == W::Not
        {
            let (a, b) = if self.constant(sum.args[0]).is_some() {
                (sum.args[1], sum.args[0])
            } else {
                (sum.args[0], sum.args[1])
            };
            if let Some(c) = self.constant(b) {
                let ra = self.r(a);
                let d = self.dest(i);
                self.add_const(Sz::W, d, ra, c);
                return self.result(i, d, 32);
            }
            let ((ra, ka), (rb, kb)) = (self.shifted(a), self.shifted(b));
            if ka < 32 && kb < 32 && (ka == 0 || kb == 0) {
                let d = self.dest(i);
                let (n, m, by) = if ka == 0 { (ra, rb, kb) } else { (rb, ra, ka) };
                self.w(int::arith(Arith::Add, Sz::W, d, n, m, Shift::Lsl, by));
                return self.result(i, d, 32);
            }
            let d = self.dest(i);
            self.sum_into(S0, a, b);
            self.w(int::logic(Logic::Orr, Sz::W, d, ZR, S0, Shift::Lsl, 0));
            return self.result(i, d, 32);
        }
        let r = self.r(from);
        let bits = self.bits_of(from);
        // Narrow types have noise above anyway.
        let clean = u32::from(bits) <= width || inst.ty.bits() <= width && inst.ty.bits() < 32;
        let clean = clean || self.ty(from).bits() > inst.ty.bits() && inst.ty == Ty::I32;
        let home = self.an[i].into;
        let at = self.books.loc[from.index()];
        if clean
            && (home.is_none() || at == W::Home(home.unwrap_or(0)) && u32::from(bits) <= width)
            && self.share(i, from)
        {
            return;
        }
        let d = self.dest(i);
        match width {
            32 => self.w(int::logic(Logic::Orr, Sz::W, d, ZR, r, Shift::Lsl, 0)),
            64 => self.w(mov(d, r)),
            w => self.w(int::ubfx(Sz::W, d, r, 0, w)),
        }
        self.result(i, d, width as u8);
    }

    fn sext(&mut self, i: usize) {
        let inst = self.block.insts[i];
        let from = inst.args[0];
        let width = (inst.imm as u32).clamp(1, inst.ty.bits());
        let size = sz(inst.ty);
        if self.an[from.index()].extended == Some(size) {
            let r = self.r(from);
            let _ = r;
            let home = self.an[i].into;
            let at = self.books.loc[from.index()];
            if (home.is_none() || at == W::Home(home.unwrap_or(0))) && self.share(i, from) {
                return;
            }
        }
        let r = self.rz(from);
        let d = self.dest(i);
        self.w(int::sbfx(size, d, r, 0, width));
        self.result(i, d, size.bits() as u8);
    }

    /// A register that happens to hold a constant.
    fn kept_const(&self, c: u64) -> Option<Reg> {
        if c == 0 || int::mov_imm(Sz::X, S0, c).count() < 2 {
            return None;
        }
        self.find_const(c)
    }
}

enum Operand {
    Imm(Reg, LogicImm),
    Reg(Reg, Reg, u32),
}
