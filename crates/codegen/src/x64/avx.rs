//! What AVX has besides SSE, on hosts that have it.
//!
//! The two halves of a YMM register are two slots; only the low one has a host register. Operations whose exceptions belong to both halves
//! ([`Op::FLo`] and [`Op::FHi`], the three of a fused multiplication) are one group and one host instruction of 256 bits: the high halves
//! of its operands are put above the low ones where those are, for nobody looks at the upper halves of the host's registers.

use super::shape::{Group, Shape, constant};
use super::unit::Emit;
use super::values::At;
use super::{Home, home};
use demotic_asm::x64::avx::{Avx, Order};
use demotic_asm::x64::sse::Sse;
use demotic_asm::x64::{Mem, Xmm};
use demotic_ir::block::{Block, Val};
use demotic_ir::interp::ATTR_ALIGN16;
use demotic_ir::ops::{Op, PackedCvt, WIDE};
use demotic_ir::slot::Slot;
use demotic_ir::ty::Ty;

/// Bit of the immediate of floating-point operations: all lanes.
const PACKED: u64 = 0x100;

/// How two halves are computed by one instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shape256 {
    /// Both operands and the result have 256 bits.
    Binary(Sse, Option<u8>),
    /// The second operand alone.
    Unary(Sse, Option<u8>),
    /// Of the 128 bits whose upper 64 are the high half's operand.
    Up(Sse),
    /// Of [`Avx`], likewise.
    UpHalf,
    /// To 128 bits, whose upper 64 are the high half's result.
    Down(Sse),
    /// To half precision, with its immediate.
    DownHalf(u8),
}

/// The instruction for an [`Op::FLo`] of that immediate; `up`: whether the operand of the high half is the upper part of the low half's.
fn wide(ty: Ty, imm: u64, up: bool) -> Option<Shape256> {
    let op = *WIDE.get((imm >> 16) as usize)?;
    let double = ty == Ty::F64;
    Some(match op {
        Op::FCmpX => Shape256::Binary(if double { Sse::CMPPD } else { Sse::CMPPS }, Some(imm as u8 & 31)),
        Op::FRound => Shape256::Unary(if double { Sse::ROUNDPD } else { Sse::ROUNDPS }, Some(imm as u8)),
        // Which of several NaNs it gives depends on the processor.
        Op::FDot => return None,
        Op::FSqrt => Shape256::Unary(if double { Sse::SQRTPD } else { Sse::SQRTPS }, None),
        Op::FCvtP => match PackedCvt::from_imm(imm & 0xff)? {
            PackedCvt::PsToPd if up => Shape256::Up(Sse::CVTPS2PD),
            PackedCvt::DqToPd if up => Shape256::Up(Sse::CVTDQ2PD),
            PackedCvt::PhToPs if up => Shape256::UpHalf,
            PackedCvt::PdToPs => Shape256::Down(Sse::CVTPD2PS),
            PackedCvt::PdToDq => Shape256::Down(Sse::CVTPD2DQ),
            PackedCvt::PdToDqTrunc => Shape256::Down(Sse::CVTTPD2DQ),
            PackedCvt::PsToPh => Shape256::DownHalf((imm >> 8) as u8 & 7),
            PackedCvt::DqToPs => Shape256::Unary(Sse::CVTDQ2PS, None),
            PackedCvt::PsToDq => Shape256::Unary(Sse::CVTPS2DQ, None),
            PackedCvt::PsToDqTrunc => Shape256::Unary(Sse::CVTTPS2DQ, None),
            _ => return None,
        },
        _ => Shape256::Binary(super::float::arithmetic(op, double, true)?, None),
    })
}

/// The instruction for a fused multiplication and addition; `dst * a + b` in the order of operands of IR: the second, the first, the third.
fn fused(ty: Ty, imm: u64) -> Option<Avx> {
    let pick = |ps, pd, ss, sd| match (imm & PACKED != 0, ty == Ty::F64) {
        (true, false) => ps,
        (true, true) => pd,
        (false, false) => ss,
        (false, true) => sd,
    };
    Some(match imm & 15 {
        0 => pick(Avx::VFMADD213PS, Avx::VFMADD213PD, Avx::VFMADD213SS, Avx::VFMADD213SD),
        1 => pick(Avx::VFNMADD213PS, Avx::VFNMADD213PD, Avx::VFNMADD213SS, Avx::VFNMADD213SD),
        2 => pick(Avx::VFMSUB213PS, Avx::VFMSUB213PD, Avx::VFMSUB213SS, Avx::VFMSUB213SD),
        3 => pick(Avx::VFNMSUB213PS, Avx::VFNMSUB213PD, Avx::VFNMSUB213SS, Avx::VFNMSUB213SD),
        4 if imm & PACKED != 0 => {
            pick(Avx::VFMADDSUB213PS, Avx::VFMADDSUB213PD, Avx::VFMADDSUB213PS, Avx::VFMADDSUB213PD)
        }
        8 if imm & PACKED != 0 => {
            pick(Avx::VFMSUBADD213PS, Avx::VFMSUBADD213PD, Avx::VFMSUBADD213PS, Avx::VFMSUBADD213PD)
        }
        _ => return None,
    })
}

/// The order in which the destination is the operand that is there already.
fn order_in_place(a: bool, b: bool, c: bool) -> Option<Order> {
    match (a, b, c) {
        (_, _, true) => Some(Order::O231),
        (_, true, _) => Some(Order::O213),
        (true, ..) => Some(Order::O132),
        _ => None,
    }
}

/// a * b + c as first, second and third operand.
fn in_order(order: Order, a: Xmm, b: Xmm, c: Xmm) -> (Xmm, Xmm, Xmm) {
    match order {
        Order::O132 => (a, c, b),
        Order::O213 => (b, a, c),
        Order::O231 => (c, a, b),
    }
}

/// Whether the high half's operand is the upper part of the low half's.
fn is_upper(block: &Block, lo: Val, hi: Val) -> bool {
    let x = &block.insts[hi.index()];
    x.op == Op::VShrB && x.imm == 8 && x.args[0] == lo
}

/// Looks for a group at the operation at `i`: an [`Op::FLo`] or an [`Op::FFmaFl`].
pub(super) fn find(shape: &mut Shape, block: &Block, i: usize) {
    let inst = &block.insts[i];
    let at = |k: usize, op: Op| block.insts.get(k).filter(|x| x.op == op && x.ty == inst.ty && x.imm == inst.imm);
    let (lo, hi) = if inst.op == Op::FLo {
        let [a, _, a1, _] = inst.args;
        let good = at(i + 1, Op::FHi).is_some_and(|x| x.args == inst.args);
        if !good || wide(inst.ty, inst.imm, is_upper(block, a, a1)).is_none() {
            return;
        }
        (i, i + 1)
    } else {
        let low = at(i + 1, Op::FFma).is_some_and(|x| x.args[3] == Val(i as u16));
        let high = at(i + 2, Op::FFmaHi).is_some_and(|x| x.args == inst.args);
        // The instructions for one lane leave the upper half clear.
        let packed = inst.imm & PACKED != 0;
        if !low || !high || !packed || shape.plan.of[i].uses != 1 || fused(inst.ty, inst.imm).is_none() {
            return;
        }
        (i + 1, i + 2)
    };
    let mut g = Group { end: hi, other: Some((lo, hi)), ..Group::default() };
    // Both written to one register, and nothing else.
    let set = |k: usize, v: usize, first: u64| {
        let x = block.insts.get(k).filter(|x| x.op == Op::Set && x.args[0].index() == v && x.ty == Ty::V128)?;
        x.imm.checked_sub(first).filter(|n| *n < 16)
    };
    let (low, high) = (set(hi + 1, lo, 16), set(hi + 2, hi, u64::from(Slot::YMM_FIRST)));
    if low.is_some() && low == high {
        g.set = Some(hi + 1);
        g.end = hi + 2;
    }
    (i + 1..=g.end).for_each(|k| shape.set_member(k, true));
    shape.anchor(i, g);
}

impl Emit<'_> {
    /// A register with `lo` below `hi`. `taken`: what a register has been made to hold above its low half already.
    fn pair(&mut self, lo: Val, hi: Val, taken: &mut [Option<(Xmm, Val)>; 3]) -> Xmm {
        let r = self.vreg(lo);
        let src = self.vsrc(hi);
        if taken.contains(&Some((r, hi))) {
            return r;
        }
        let d = if taken.iter().flatten().any(|t| t.0 == r) { self.vtemp() } else { r };
        self.a.insert_half(d, r, src);
        if let Some(free) = taken.iter_mut().find(|t| t.is_none()) {
            *free = Some((d, hi));
        }
        d
    }

    /// Where a result goes: the register that it is written to, or a temporary. `highs`: operands that have to stay until both halves are computed.
    fn pair_target(&mut self, g: &Group, highs: &[Val]) -> (Xmm, Option<(u8, Mem)>) {
        let slots = g.set.map(|k| self.b.insts[k].imm as u8);
        let slots = slots.filter(|s| highs.iter().all(|v| self.at(*v) != At::Home(*s)));
        if let Some(slot) = slots {
            let upper = slot - 16 + Slot::YMM_FIRST;
            if let (Home::Vec(x), Home::Mem(m)) = (home(self.long, slot), home(self.long, upper)) {
                self.clobber_home(slot, g.end);
                self.clobber_home(upper, g.end);
                return (Xmm(x), Some((slot, Mem::gs(m))));
            }
        }
        (self.vtemp(), None)
    }

    /// The result of the instruction just emitted is in `d`, both halves. The upper halves of host registers do not survive a stop, so until they are
    /// in their place, the high half counts as not computed: its operands are still there.
    fn pair_done(&mut self, g: &Group, d: Xmm, slots: Option<(u8, Mem)>) {
        let Some((lo, hi)) = g.other else { return };
        if let Some((slot, m)) = slots {
            self.define_home(Val(lo as u16), slot);
            self.index = hi;
            self.sync();
            self.a.extract_half(m, d);
            return self.define_home(Val(hi as u16), slot - 16 + Slot::YMM_FIRST);
        }
        // In registers of their own: until the end nothing has happened.
        let t = self.vtemp();
        self.a.extract_half(t, d);
        self.halves_done(g, d, t);
    }

    /// The results are in two registers. Writes that belong to the group are done.
    fn halves_done(&mut self, g: &Group, low: Xmm, high: Xmm) {
        let Some((lo, hi)) = g.other else { return };
        self.vdefine(Val(lo as u16), low);
        self.vdefine(Val(hi as u16), high);
        self.pair_sets(g);
    }

    /// Emits a group of both halves.
    pub(super) fn both_halves(&mut self, i: usize, g: &Group) {
        let inst = self.b.insts[i];
        let mut taken = [None; 3];
        if inst.op == Op::FFmaFl {
            return self.fused_halves(i, g);
        }
        let [a, b, a1, b1] = inst.args;
        let Some(form) = wide(inst.ty, inst.imm, is_upper(self.b, a, a1)) else {
            return self.fail("256 bits");
        };
        let none = Xmm(0);
        match form {
            Shape256::Binary(op, imm) => {
                let x = self.pair(a, a1, &mut taken);
                let y = self.pair(b, b1, &mut taken);
                let (d, slots) = self.pair_target(g, &[a1, b1]);
                self.sync();
                match imm {
                    Some(imm) => self.a.avx256_imm(op, d, x, y, imm),
                    None => self.a.avx256(op, d, x, y),
                }
                self.pair_done(g, d, slots);
            }
            Shape256::Unary(op, imm) => {
                let y = self.pair(b, b1, &mut taken);
                let (d, slots) = self.pair_target(g, &[a1, b1]);
                self.sync();
                match imm {
                    Some(imm) => self.a.avx256_imm(op, d, none, y, imm),
                    None => self.a.avx256(op, d, none, y),
                }
                self.pair_done(g, d, slots);
            }
            Shape256::Up(op) => {
                let y = self.vreg(a);
                let (d, slots) = self.pair_target(g, &[a1, b1]);
                self.sync();
                self.a.avx256(op, d, none, y);
                self.pair_done(g, d, slots);
            }
            Shape256::UpHalf => {
                let y = self.vreg(a);
                let (d, slots) = self.pair_target(g, &[a1, b1]);
                self.sync();
                self.a.avx3(Avx::VCVTPH2PS, true, d, none, y);
                self.pair_done(g, d, slots);
            }
            Shape256::Down(_) | Shape256::DownHalf(_) => {
                let y = self.pair(a, a1, &mut taken);
                let d = self.vtemp();
                self.sync();
                match form {
                    Shape256::Down(op) => self.a.avx256(op, d, none, y),
                    Shape256::DownHalf(imm) => self.a.to_half_precision(true, d, y, imm),
                    _ => {}
                }
                // Each half has the upper 64 bits clear. Until both are there, nothing has happened.
                let t = self.vtemp();
                self.a.sse(Sse::MOVAPS, t, d);
                self.a.vshift_imm(demotic_asm::x64::sse::VShift::PSRLDQ, t, 8);
                self.a.sse(Sse::MOVQ, d, d);
                self.halves_done(g, d, t);
            }
        }
    }

    fn fused_halves(&mut self, i: usize, g: &Group) {
        let inst = self.b.insts[i];
        let Some((lo, _)) = g.other else { return };
        let [a1, b1, c1, _] = inst.args;
        let [a, b, c, _] = self.b.insts[lo].args;
        let Some(op) = fused(inst.ty, inst.imm) else { return self.fail("256 bits") };
        let mut taken = [None; 3];
        // In place when the result goes to where one of the operands is.
        let slot = g.set.map(|k| self.b.insts[k].imm as u8);
        let there =
            |v: Val| slot.is_some_and(|s| self.at(v) == At::Home(s) && matches!(home(self.long, s), Home::Vec(_)));
        if let Some(order) = order_in_place(there(a), there(b), there(c)) {
            let (x, y, z) = (self.pair(a, a1, &mut taken), self.pair(b, b1, &mut taken), self.pair(c, c1, &mut taken));
            let (d, slots) = self.pair_target(g, &[a1, b1, c1]);
            let (first, second, third) = in_order(order, x, y, z);
            if first == d {
                self.sync();
                self.a.avx3(op.in_order(order), true, d, second, third);
                return self.pair_done(g, d, slots);
            }
        }
        let x = self.pair(a, a1, &mut taken);
        let y = self.pair(c, c1, &mut taken);
        // The destination is an operand, and changes.
        let (r, src) = (self.vreg(b), self.vsrc(b1));
        let t = self.vtemp();
        self.a.insert_half(t, r, src);
        self.sync();
        self.a.avx3(op, true, t, x, y);
        self.pair_done(&Group { set: None, ..*g }, t, None);
        self.pair_sets(g);
    }

    /// The writes that belong to a group whose results are in temporaries.
    fn pair_sets(&mut self, g: &Group) {
        if let Some(k) = g.set {
            for k in [k, k + 1] {
                self.index = k;
                self.sync();
                self.set_xmm(k);
            }
        }
    }

    /// Emits one of the operations that are not among those of SSE; false when the interpreter has to do it.
    pub(super) fn avx_operation(&mut self, i: usize) -> bool {
        let inst = self.b.insts[i];
        let [a, b, c, d] = inst.args;
        let features = self.request.target.features;
        let avx2 = features.avx2;
        match inst.op {
            Op::FCmpX if features.avx => {
                let op = match (inst.imm & PACKED != 0, inst.ty == Ty::F64) {
                    (true, false) => Sse::CMPPS,
                    (true, true) => Sse::CMPPD,
                    (false, false) => Sse::CMPSS,
                    (false, true) => Sse::CMPSD,
                };
                let (y, x) = (self.vsrc(b), self.vreg(a));
                let t = self.vtarget(i);
                self.sync();
                self.a.avx_imm(op, t, x, y, inst.imm as u8 & 31);
                self.vcomputed(i, t);
            }
            Op::FFma if avx2 && constant(self.b, d) == Some(0) => {
                let Some(op) = fused(inst.ty, inst.imm) else { return false };
                // When it is of one lane, the others are a's, and the host takes them from the destination.
                let packed = inst.imm & PACKED != 0;
                if let Some((s, into)) = self.vector_of_result(i) {
                    let there = |v: Val| self.at(v) == At::Home(s);
                    if let Some(order) = order_in_place(there(a), packed && there(b), packed && there(c)) {
                        let (x, y, z) = (self.vreg(a), self.vreg(b), self.vreg(c));
                        self.clobber_home(s, i);
                        self.sync();
                        let (_, second, third) = in_order(order, x, y, z);
                        self.a.avx3(op.in_order(order), false, into, second, third);
                        self.vcomputed(i, into);
                        return true;
                    }
                }
                let (x, y) = (self.vreg(c), self.vsrc(b));
                let r = self.vreg(a);
                let t = self.vtemp();
                self.a.sse(Sse::MOVAPS, t, r);
                self.sync();
                self.a.avx3(op.in_order(Order::O132), false, t, x, y);
                self.vdefine(Val(i as u16), t);
            }
            Op::VShlV | Op::VShrV | Op::VSarV if avx2 => {
                let op = match (inst.op, inst.ty) {
                    (Op::VShlV, Ty::I32) => Avx::VPSLLVD,
                    (Op::VShlV, Ty::I64) => Avx::VPSLLVQ,
                    (Op::VShrV, Ty::I32) => Avx::VPSRLVD,
                    (Op::VShrV, Ty::I64) => Avx::VPSRLVQ,
                    (Op::VSarV, Ty::I32) => Avx::VPSRAVD,
                    _ => return false,
                };
                let (y, x) = (self.vsrc(b), self.vreg(a));
                let t = self.vtarget(i);
                self.a.avx3(op, false, t, x, y);
                self.vcomputed(i, t);
            }
            Op::VPerm if avx2 && a == b && inst.ty == Ty::I32 => {
                let (y, x) = (self.vsrc(c), self.vreg(a));
                let t = self.vtarget(i);
                self.a.avx3(Avx::VPERMILPS, false, t, x, y);
                self.vcomputed(i, t);
            }
            // Bit 1 chooses the lane there.
            Op::VPerm if avx2 && a == b && inst.ty == Ty::I64 => {
                let (by, x) = (self.vreg(c), self.vreg(a));
                let t = self.vtemp();
                self.a.avx(Sse::PADDQ, t, by, by);
                self.a.avx3(Avx::VPERMILPD, false, t, x, t);
                self.vdefine(Val(i as u16), t);
            }
            Op::VPerm if avx2 && inst.ty == Ty::I32 => {
                let by = self.vreg(c);
                let x = self.pair(a, b, &mut [None; 3]);
                let t = self.vtemp();
                self.a.avx3(Avx::VPERMPS, true, t, by, x);
                self.vdefine(Val(i as u16), t);
            }
            Op::StPair if features.avx && inst.imm & ATTR_ALIGN16 == 0 => {
                let m = self.address(a, 0);
                let x = self.pair(b, c, &mut [None; 3]);
                self.sync();
                self.a.store256(m, x);
            }
            Op::LdMask if features.avx && matches!(inst.ty, Ty::I32 | Ty::I64) => {
                let m = self.address(a, 0);
                let mask = self.vreg(b);
                let t = self.vtarget(i);
                self.sync();
                let op = if inst.ty == Ty::I64 { Avx::VMASKMOVPD } else { Avx::VMASKMOVPS };
                self.a.avx3(op, false, t, mask, m);
                self.vcomputed(i, t);
            }
            // An element of a gather: a masked load of one lane, at an address from which it is the lane's own.
            Op::LdLane if features.avx && matches!(inst.ty, Ty::I32 | Ty::I64) => {
                let n = (inst.imm >> 8) as u8;
                let m = self.address(a, 0);
                let Some(disp) = m.disp().checked_sub(i32::from(n) * inst.ty.bytes() as i32) else { return false };
                let (mask, old) = (self.vreg(b), self.vreg(c));
                let (lane, t) = (self.vtemp(), self.vtemp());
                let wide = inst.ty == Ty::I64;
                // The 32 bits with the lane's sign, and zeros.
                let k = if wide { 2 * n + 1 } else { n };
                self.a.avx_imm(Sse::INSERTPS, lane, mask, mask, k << 6 | k << 4 | 0xf ^ 1 << k);
                self.sync();
                let (load, blend) =
                    if wide { (Avx::VMASKMOVPD, Sse::VBLENDVPD) } else { (Avx::VMASKMOVPS, Sse::VBLENDVPS) };
                self.a.avx3(load, false, t, lane, m.offset(disp.wrapping_sub(m.disp())));
                self.a.avx_imm(blend, t, old, t, lane.0 << 4);
                self.vdefine(Val(i as u16), t);
            }
            Op::StMask if features.avx && matches!(inst.ty, Ty::I32 | Ty::I64) => {
                let m = self.address(a, 0);
                let (mask, x) = (self.vreg(c), self.vreg(b));
                self.sync();
                self.a.store_masked(inst.ty == Ty::I64, m, mask, x);
            }
            Op::CheckGp if features.avx => return self.check_aligned(a),
            _ => return false,
        }
        true
    }

    /// The check of an aligned access is an aligned load: its fault leads to the interpreter, which tells why.
    fn check_aligned(&mut self, v: Val) -> bool {
        let and = self.b.insts[v.index()];
        let long = match (and.op, constant(self.b, and.args[1])) {
            (Op::And, Some(31)) => true,
            (Op::And, Some(15)) => false,
            _ => return false,
        };
        let x = and.args[0];
        if matches!(self.at(x), At::Nowhere) || matches!(self.at(x), At::Flags) {
            return false;
        }
        let m = self.address(x, 0);
        let t = self.vtemp();
        self.sync();
        self.a.load_aligned(long, t, m);
        true
    }
}
