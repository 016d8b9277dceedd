//! The ways in and out of translated code, and the homes in terms of the guest.
//!
//! `enter` keeps the callee-saved registers on the host stack, remembers it in the frame and lets SP be the shadow stack. Exits
//! store every register raw and go back. A signal while the homes are being loaded is answered by leaving again without
//! having run anything; one while they are being stored needs nothing, because the engine looks at the attention byte next.

use super::regs::{A, CALLS, FRAME, P, TARGETS};
use crate::frame::{Frame, HostRegs, WRONG, kind};
use crate::{Arithmetic, Interrupted, Runtime, Stub, target};
use core::mem::offset_of;
use demotic_asm::arm64::branch::{self, SysReg};
use demotic_asm::arm64::int::{self, Arith, Logic};
use demotic_asm::arm64::mem::{self, Access, Mode, Pair};
use demotic_asm::arm64::{Imm12, LR, Number, Reg, SP, Shift, Sz, V, ZR, v, x};
use demotic_asm::buffer::{CodeBuffer, Field, Label};
use demotic_ir::state::{GuestState, Mode as GuestMode, eflags};

/// `mov d, n`.
pub(super) fn mov(d: Reg, n: Reg) -> u32 {
    int::logic(Logic::Orr, Sz::X, d, ZR, n, Shift::Lsl, 0)
}

/// Bits of NZCV.
const N: u64 = 1 << 31;
const Z: u64 = 1 << 30;
const C: u64 = 1 << 29;
const OVERFLOW: u64 = 1 << 28;

/// Guest state to the homes.
pub(super) fn load(state: &GuestState, arithmetic: Arithmetic, regs: &mut HostRegs) {
    regs.gpr[..16].copy_from_slice(&state.gpr);
    regs.vec[16..].copy_from_slice(&state.xmm);
    let f = |bit: u32| state.flags & bit != 0;
    let parity = u64::from(!f(eflags::PF));
    regs.gpr[P.n() as usize] = parity;
    regs.gpr[A.n() as usize] = parity ^ (u64::from(f(eflags::AF)) << 4);
    regs.flags = [(f(eflags::SF), N), (f(eflags::ZF), Z), (!f(eflags::CF), C), (f(eflags::OF), OVERFLOW)]
        .into_iter()
        .map(|(set, bit)| u64::from(set) * bit)
        .sum();
    // MXCSR.RC: nearest, down, up, zero. FPCR.RMode: nearest, up, down, zero.
    let rounding = [0u64, 2, 1, 3][(state.mxcsr >> 13 & 3) as usize];
    // FZ: denormal operands and tiny results say so, in IDC and UFC.
    regs.fpcr = rounding << 22 | u64::from(arithmetic == Arithmetic::Exact) << 24;
    regs.fpsr = 0;
}

/// The homes to guest state.
pub(super) fn store(mode: GuestMode, regs: &HostRegs, state: &mut GuestState) {
    let n = if mode == GuestMode::Long { 16 } else { 8 };
    state.gpr[..n].copy_from_slice(&regs.gpr[..n]);
    if mode != GuestMode::Long {
        state.gpr[..8].iter_mut().for_each(|r| *r &= 0xffff_ffff);
    }
    state.xmm.copy_from_slice(&regs.vec[16..]);
    let (p, a) = (regs.gpr[P.n() as usize], regs.gpr[A.n() as usize]);
    let mut flags = 0;
    for (set, bit) in [
        (regs.flags & N != 0, eflags::SF),
        (regs.flags & Z != 0, eflags::ZF),
        (regs.flags & C == 0, eflags::CF),
        (regs.flags & OVERFLOW != 0, eflags::OF),
        ((p as u8).count_ones() % 2 == 0, eflags::PF),
        ((p ^ a) & 16 != 0, eflags::AF),
    ] {
        if set {
            flags |= bit;
        }
    }
    state.flags = flags;
    // IOC to IE; DZC, OFC, UFC, IXC to ZE, OE, UE, PE.
    state.mxcsr |= (regs.fpsr & 1 | (regs.fpsr & 0x1e) << 1) as u32;
}

/// Whether an AArch64 condition holds.
pub(super) fn condition(flags: u64, cond: u8) -> bool {
    let f = |bit: u64| flags & bit != 0;
    let r = match cond >> 1 {
        0 => f(Z),
        1 => f(C),
        2 => f(N),
        3 => f(OVERFLOW),
        4 => f(C) && !f(Z),
        5 => f(N) == f(OVERFLOW),
        6 => f(N) == f(OVERFLOW) && !f(Z),
        _ => return true,
    };
    r != (cond & 1 != 0)
}

struct Asm(CodeBuffer);

impl Asm {
    fn w(&mut self, word: u32) {
        self.0.word(word);
    }
    fn wo(&mut self, word: Option<u32>) {
        // The offsets are those of the frame; the tests decode every word.
        self.w(word.unwrap_or(branch::brk(1)));
    }
    fn frame(&mut self, op: Access, t: impl Number, offset: usize) {
        self.wo(mem::offset(op, t, FRAME, offset as i64));
    }
    fn to(&mut self, word: u32, label: Label, field: Field) {
        self.0.refer(self.0.offset(), label, field);
        self.w(word);
    }
    fn add(&mut self, d: Reg, n: Reg, imm: usize) {
        let (low, high) = (imm & 0xfff, imm & !0xfff);
        if high != 0 {
            self.wo(Imm12::new(high as u64).map(|i| int::arith_imm(Arith::Add, Sz::X, d, n, i)));
        }
        self.wo(Imm12::new(low as u64).map(|i| int::arith_imm(Arith::Add, Sz::X, d, if high != 0 { d } else { n }, i)));
    }
    /// Registers `first..last` from or to `[base]`.
    fn vectors(&mut self, load: bool, base: Reg, first: u8, last: u8) {
        // Offsets up to 16 * 30 are within a pair's reach.
        for k in (first..last).step_by(2) {
            self.wo(mem::pair::<V>(load, Pair::Q, v(k), v(k + 1), base, 16 * i64::from(k), Mode::Offset));
        }
    }
    fn generals(&mut self, load: bool, base: Reg, first: u8, last: u8) {
        for k in (first..last).step_by(2) {
            self.wo(mem::pair(load, Pair::X, x(k), x(k + 1), base, 8 * i64::from(k), Mode::Offset));
        }
    }
    /// The callee-saved registers of the procedure call standard, below the host stack pointer.
    fn saved(&mut self, load: bool) {
        for k in (19..29).step_by(2) {
            self.wo(mem::pair(load, Pair::X, x(k), x(k + 1), SP, 16 + 8 * i64::from(k - 19), Mode::Offset));
        }
        for k in (8..16).step_by(2) {
            self.wo(mem::pair(load, Pair::D, v(k), v(k + 1), SP, 96 + 8 * i64::from(k - 8), Mode::Offset));
        }
    }
    /// Back to the caller of `enter` with what is in x0.
    fn leave(&mut self) {
        self.frame(Access::LdrX, x(16), offset_of!(Frame, host_sp));
        self.w(int::arith_imm(Arith::Add, Sz::X, SP, x(16), ZERO));
        self.w(branch::msr(SysReg::Fpcr, ZR));
        self.saved(true);
        self.wo(mem::pair(true, Pair::X, x(29), LR, SP, 160, Mode::Post));
        self.w(branch::ret(LR));
    }
}

const ZERO: Imm12 = match IMM0 {
    Some(imm) => imm,
    None => panic!("0 is encodable"),
};
const IMM0: Option<Imm12> = Imm12::small(0);

/// The runtime. All AArch64 processors get the same.
pub(super) fn runtime(_target: &target::Target) -> Runtime {
    let mut a = Asm(CodeBuffer::default());
    let mut out = Runtime { stubs: vec![0; Stub::ALL.len()], ..Runtime::default() };
    let snapshot = offset_of!(Frame, snapshot);
    let gpr = snapshot + offset_of!(HostRegs, gpr);
    let vec = snapshot + offset_of!(HostRegs, vec);
    let field = |offset: usize| snapshot + offset;
    let (abort, common, raw) = (a.0.label(), a.0.label(), a.0.label());

    // ---- in ---------------------------------------------------------------------------------------------------------
    out.enter = a.0.offset();
    a.wo(mem::pair(false, Pair::X, x(29), LR, SP, -160, Mode::Pre));
    a.saved(false);
    a.w(mov(FRAME, x(0)));
    a.w(mov(x(17), x(1)));
    a.w(int::arith_imm(Arith::Add, Sz::X, x(16), SP, ZERO));
    a.frame(Access::StrX, x(16), offset_of!(Frame, host_sp));
    let loading = a.0.offset();
    a.frame(Access::LdrX, x(16), field(offset_of!(HostRegs, fpcr)));
    a.w(branch::msr(SysReg::Fpcr, x(16)));
    // Whoever comes back from a way out that was not the end brings the exceptions along.
    a.frame(Access::LdrX, x(16), field(offset_of!(HostRegs, fpsr)));
    a.w(branch::msr(SysReg::Fpsr, x(16)));
    a.frame(Access::LdrX, x(16), field(offset_of!(HostRegs, flags)));
    a.w(branch::msr(SysReg::Nzcv, x(16)));
    a.add(x(16), FRAME, vec);
    a.vectors(true, x(16), 16, 32);
    a.add(x(16), FRAME, gpr);
    a.generals(true, x(16), 0, 16);
    a.wo(mem::pair(true, Pair::X, P, A, x(16), 8 * i64::from(P.n()), Mode::Offset));
    a.frame(Access::LdrX, TARGETS, offset_of!(Frame, targets));
    a.frame(Access::LdrX, CALLS, offset_of!(Frame, calls));
    a.frame(Access::LdrX, x(16), offset_of!(Frame, attention));
    a.w(mem::index(Access::Ldrb, x(16), x(16), ZR, demotic_asm::arm64::Extend::Uxtx, false));
    a.to(branch::cbz(true, Sz::W, x(16)), abort, Field::Arm19);
    a.frame(Access::LdrX, x(16), offset_of!(Frame, shadow_sp));
    a.w(int::arith_imm(Arith::Add, Sz::X, SP, x(16), ZERO));
    a.w(branch::br(x(17)));
    let loaded = a.0.offset();
    a.0.bind(abort);
    let abort_at = a.0.offset();
    a.w(int::movz(Sz::W, x(0), kind::ABORTED as u16, 0));
    a.leave();
    out.ranges.push((loading, loaded, Interrupted::Redirect(abort_at)));

    // ---- out --------------------------------------------------------------------------------------------------------
    for (stub, k) in [
        (Stub::EdgeJump, kind::EDGE),
        (Stub::EdgeCall, kind::EDGE),
        (Stub::Stale, kind::STALE),
        (Stub::Term, kind::TERM),
        (Stub::Indirect, kind::INDIRECT),
        (Stub::ReturnMiss, kind::RETURN),
    ] {
        out.stubs[stub as usize] = a.0.offset();
        if matches!(stub, Stub::EdgeCall | Stub::Indirect | Stub::ReturnMiss) {
            a.frame(Access::StrX, x(16), offset_of!(Frame, target));
        }
        a.frame(Access::StrX, LR, offset_of!(Frame, exit_at));
        a.w(int::movz(Sz::W, x(17), k as u16, 0));
        a.to(branch::B, common, Field::Arm26);
    }
    out.stubs[Stub::Deopt as usize] = a.0.offset();
    let deopt = a.0.label();
    a.0.bind(deopt);
    a.wo(Imm12::new(4).map(|i| int::arith_imm(Arith::Sub, Sz::X, x(16), LR, i)));
    a.to(branch::B, raw, Field::Arm26);
    let attention = a.0.label();
    a.0.bind(attention);
    let attention_at = a.0.offset();
    a.w(mov(x(16), LR));
    // A bail-out: the temporaries as well.
    a.0.bind(raw);
    a.frame(Access::StrX, x(16), field(offset_of!(HostRegs, pc)));
    a.add(x(16), FRAME, vec);
    a.vectors(false, x(16), 0, 16);
    a.w(int::movz(Sz::W, x(17), kind::DEOPT as u16, 0));
    a.0.bind(common);
    a.add(x(16), FRAME, gpr);
    a.generals(false, x(16), 0, 16);
    a.wo(mem::offset(Access::StrX, LR, x(16), 8 * 30));
    for k in [19u8, 21, 23] {
        a.wo(mem::pair(false, Pair::X, x(k), x(k + 1), x(16), 8 * i64::from(k), Mode::Offset));
    }
    a.wo(mem::pair(false, Pair::X, x(25), x(26), x(16), 8 * 25, Mode::Offset));
    a.wo(mem::offset(Access::StrX, x(27), x(16), 8 * 27));
    a.wo(mem::offset(Access::StrX, x(29), x(16), 8 * 29));
    a.add(x(16), FRAME, vec);
    a.vectors(false, x(16), 16, 32);
    for (reg, offset) in [
        (SysReg::Nzcv, offset_of!(HostRegs, flags)),
        (SysReg::Fpcr, offset_of!(HostRegs, fpcr)),
        (SysReg::Fpsr, offset_of!(HostRegs, fpsr)),
    ] {
        a.w(branch::mrs(x(16), reg));
        a.frame(Access::StrX, x(16), field(offset));
    }
    a.w(int::arith_imm(Arith::Add, Sz::X, x(16), SP, ZERO));
    a.frame(Access::StrX, x(16), offset_of!(Frame, shadow_sp));
    a.w(mov(x(0), x(17)));
    a.leave();

    out.fault = a.0.offset();
    a.w(int::movz(Sz::W, x(0), kind::FAULT as u16, 0));
    a.leave();

    // ---- one operation in the interpreter: x16 what, x17 immediate ------------------------------------------------
    out.stubs[Stub::Helper as usize] = a.0.offset();
    a.frame(Access::StrX, x(0), gpr);
    a.add(x(0), FRAME, gpr);
    a.wo(mem::offset(Access::StrX, x(1), x(0), 8));
    for k in (2..16).step_by(2) {
        a.wo(mem::pair(false, Pair::X, x(k), x(k + 1), x(0), 8 * i64::from(k), Mode::Offset));
    }
    a.add(x(0), FRAME, vec);
    a.vectors(false, x(0), 0, 32);
    let state = [
        (SysReg::Nzcv, offset_of!(HostRegs, flags)),
        (SysReg::Fpcr, offset_of!(HostRegs, fpcr)),
        (SysReg::Fpsr, offset_of!(HostRegs, fpsr)),
    ];
    for (reg, offset) in state {
        a.w(branch::mrs(x(0), reg));
        a.frame(Access::StrX, x(0), field(offset));
    }
    a.frame(Access::StrX, LR, offset_of!(Frame, scratch));
    a.w(int::arith_imm(Arith::Add, Sz::X, x(0), SP, ZERO));
    a.frame(Access::StrX, x(0), offset_of!(Frame, shadow_sp));
    a.frame(Access::LdrX, x(0), offset_of!(Frame, host_sp));
    a.w(int::arith_imm(Arith::Add, Sz::X, SP, x(0), ZERO));
    a.w(branch::msr(SysReg::Fpcr, ZR));
    a.w(mov(x(0), FRAME));
    a.w(mov(x(1), x(16)));
    a.w(mov(x(2), x(17)));
    a.frame(Access::LdrX, x(16), offset_of!(Frame, helper));
    a.w(branch::blr(x(16)));
    a.w(mov(x(17), x(0)));
    a.frame(Access::LdrX, x(0), offset_of!(Frame, shadow_sp));
    a.w(int::arith_imm(Arith::Add, Sz::X, SP, x(0), ZERO));
    for (reg, offset) in state {
        a.frame(Access::LdrX, x(0), field(offset));
        a.w(branch::msr(reg, x(0)));
    }
    a.add(x(0), FRAME, vec);
    a.vectors(true, x(0), 0, 32);
    a.frame(Access::LdrX, LR, offset_of!(Frame, scratch));
    a.frame(Access::LdrX, CALLS, offset_of!(Frame, calls));
    a.add(x(16), FRAME, gpr);
    a.generals(true, x(16), 0, 16);
    a.to(branch::cbz(true, Sz::X, x(17)), deopt, Field::Arm19);
    let ready = a.0.offset();
    a.frame(Access::LdrX, x(16), offset_of!(Frame, attention));
    a.w(mem::index(Access::Ldrb, x(16), x(16), ZR, demotic_asm::arm64::Extend::Uxtx, false));
    a.to(branch::cbz(true, Sz::W, x(16)), attention, Field::Arm19);
    a.w(branch::ret(LR));
    out.ranges.push((ready, a.0.offset(), Interrupted::Redirect(attention_at)));

    // ---- flags of arithmetic: x16 is 0 when they only had to be taken over ----------------------------------------------
    let taking = a.0.offset();
    out.stubs[Stub::SseFlags as usize] = taking;
    let (mxcsr, wrong) = (offset_of!(Frame, state) + offset_of!(GuestState, mxcsr), a.0.label());
    a.w(branch::mrs(x(16), SysReg::Fpsr));
    a.w(int::movz(Sz::W, x(17), WRONG as u16, 0));
    a.w(int::logic(Logic::And, Sz::W, x(17), x(17), x(16), Shift::Lsl, 0));
    a.to(branch::cbz(true, Sz::W, x(17)), wrong, Field::Arm19);
    a.w(int::ubfx(Sz::W, x(16), x(16), 1, 4));
    a.frame(Access::LdrW, x(17), mxcsr);
    a.w(int::logic(Logic::Orr, Sz::W, x(17), x(17), x(16), Shift::Lsl, 2));
    a.frame(Access::StrW, x(17), mxcsr);
    a.w(int::logic(Logic::Orn, Sz::W, x(17), ZR, x(17), Shift::Lsl, 0));
    a.w(int::ubfx(Sz::W, x(17), x(17), 2, 4));
    a.w(int::movz(Sz::W, x(16), WRONG as u16, 0));
    a.w(int::logic(Logic::Orr, Sz::W, x(16), x(16), x(17), Shift::Lsl, 1));
    a.frame(Access::StrX, x(16), offset_of!(Frame, sse_unseen));
    a.w(int::movz(Sz::W, x(16), 0, 0));
    a.w(branch::ret(LR));
    a.0.bind(wrong);
    a.w(branch::msr(SysReg::Fpsr, ZR));
    a.w(mov(x(16), x(17)));
    a.w(branch::ret(LR));
    // The operations are done again then.
    out.ranges.push((taking, a.0.offset(), Interrupted::Redirect(attention_at)));

    // The x87 state is always in the frame.
    out.stubs[Stub::X87 as usize] = a.0.offset();
    a.w(branch::ret(LR));

    out.code = a.0.finish().unwrap_or_default();
    out
}
