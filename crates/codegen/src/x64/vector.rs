//! Vectors of integers as SSE instructions.

use super::unit::Emit;
use super::values::At;
use super::{Home, home};
use demotic_asm::x64::sse::{Sse, VShift};
use demotic_asm::x64::{Mem, Reg, Rm, Size, Xmm};
use demotic_ir::block::Val;
use demotic_ir::ops::{AesFn, Op, ShaFn};
use demotic_ir::slot::Slot;
use demotic_ir::state::eflags::ARITH;
use demotic_ir::ty::Ty;

/// The two-operand instruction of an operation, when there is one.
pub(super) fn two_operand(op: Op, ty: Ty) -> Option<Sse> {
    use Ty::{I8, I16, I32, I64};
    Some(match (op, ty) {
        (Op::VAnd, _) => Sse::PAND,
        (Op::VAndN, _) => Sse::PANDN,
        (Op::VOr, _) => Sse::POR,
        (Op::VXor, _) => Sse::PXOR,
        (Op::VAdd, I8) => Sse::PADDB,
        (Op::VAdd, I16) => Sse::PADDW,
        (Op::VAdd, I32) => Sse::PADDD,
        (Op::VAdd, I64) => Sse::PADDQ,
        (Op::VSub, I8) => Sse::PSUBB,
        (Op::VSub, I16) => Sse::PSUBW,
        (Op::VSub, I32) => Sse::PSUBD,
        (Op::VSub, I64) => Sse::PSUBQ,
        (Op::VAddSS, I8) => Sse::PADDSB,
        (Op::VAddSS, I16) => Sse::PADDSW,
        (Op::VAddUS, I8) => Sse::PADDUSB,
        (Op::VAddUS, I16) => Sse::PADDUSW,
        (Op::VSubSS, I8) => Sse::PSUBSB,
        (Op::VSubSS, I16) => Sse::PSUBSW,
        (Op::VSubUS, I8) => Sse::PSUBUSB,
        (Op::VSubUS, I16) => Sse::PSUBUSW,
        (Op::VMulLo, I16) => Sse::PMULLW,
        (Op::VMulLo, I32) => Sse::PMULLD,
        (Op::VMulHiS, I16) => Sse::PMULHW,
        (Op::VMulHiU, I16) => Sse::PMULHUW,
        (Op::VMulEvenU, _) => Sse::PMULUDQ,
        (Op::VMulAddS, _) => Sse::PMADDWD,
        (Op::VSad, _) => Sse::PSADBW,
        (Op::VAvgU, I8) => Sse::PAVGB,
        (Op::VAvgU, I16) => Sse::PAVGW,
        (Op::VMinU, I8) => Sse::PMINUB,
        (Op::VMinU, I16) => Sse::PMINUW,
        (Op::VMinU, I32) => Sse::PMINUD,
        (Op::VMaxU, I8) => Sse::PMAXUB,
        (Op::VMaxU, I16) => Sse::PMAXUW,
        (Op::VMaxU, I32) => Sse::PMAXUD,
        (Op::VMinS, I8) => Sse::PMINSB,
        (Op::VMinS, I16) => Sse::PMINSW,
        (Op::VMinS, I32) => Sse::PMINSD,
        (Op::VMaxS, I8) => Sse::PMAXSB,
        (Op::VMaxS, I16) => Sse::PMAXSW,
        (Op::VMaxS, I32) => Sse::PMAXSD,
        (Op::VCmpEq, I8) => Sse::PCMPEQB,
        (Op::VCmpEq, I16) => Sse::PCMPEQW,
        (Op::VCmpEq, I32) => Sse::PCMPEQD,
        (Op::VCmpEq, I64) => Sse::PCMPEQQ,
        (Op::VCmpGtS, I8) => Sse::PCMPGTB,
        (Op::VCmpGtS, I16) => Sse::PCMPGTW,
        (Op::VCmpGtS, I32) => Sse::PCMPGTD,
        (Op::VCmpGtS, I64) => Sse::PCMPGTQ,
        (Op::VTbl, _) => Sse::PSHUFB,
        (Op::VHAdd, I16) => Sse::PHADDW,
        (Op::VHAdd, I32) => Sse::PHADDD,
        (Op::VHAddSS, I16) => Sse::PHADDSW,
        (Op::VHSub, I16) => Sse::PHSUBW,
        (Op::VHSub, I32) => Sse::PHSUBD,
        (Op::VHSubSS, I16) => Sse::PHSUBSW,
        (Op::VMulAddUS, _) => Sse::PMADDUBSW,
        (Op::VMulHiR, _) => Sse::PMULHRSW,
        (Op::VMulEvenS, _) => Sse::PMULDQ,
        (Op::VSign, I8) => Sse::PSIGNB,
        (Op::VSign, I16) => Sse::PSIGNW,
        (Op::VSign, I32) => Sse::PSIGND,
        (Op::VPackSS, I16) => Sse::PACKSSWB,
        (Op::VPackSS, I32) => Sse::PACKSSDW,
        (Op::VPackUS, I16) => Sse::PACKUSWB,
        (Op::VPackUS, I32) => Sse::PACKUSDW,
        (Op::VZipLo, I8) => Sse::PUNPCKLBW,
        (Op::VZipLo, I16) => Sse::PUNPCKLWD,
        (Op::VZipLo, I32) => Sse::PUNPCKLDQ,
        (Op::VZipLo, I64) => Sse::PUNPCKLQDQ,
        (Op::VZipHi, I8) => Sse::PUNPCKHBW,
        (Op::VZipHi, I16) => Sse::PUNPCKHWD,
        (Op::VZipHi, I32) => Sse::PUNPCKHDQ,
        (Op::VZipHi, I64) => Sse::PUNPCKHQDQ,
        _ => return None,
    })
}

/// The instruction with one source of an operation, when there is one.
fn one_operand(op: Op, ty: Ty, imm: u64) -> Option<Sse> {
    use Ty::{I8, I16, I32, I64};
    Some(match (op, ty, imm) {
        (Op::VAbs, I8, _) => Sse::PABSB,
        (Op::VAbs, I16, _) => Sse::PABSW,
        (Op::VAbs, I32, _) => Sse::PABSD,
        (Op::VMinPos, ..) => Sse::PHMINPOSUW,
        (Op::VWidenS, I16, 8) => Sse::PMOVSXBW,
        (Op::VWidenS, I32, 8) => Sse::PMOVSXBD,
        (Op::VWidenS, I64, 8) => Sse::PMOVSXBQ,
        (Op::VWidenS, I32, 16) => Sse::PMOVSXWD,
        (Op::VWidenS, I64, 16) => Sse::PMOVSXWQ,
        (Op::VWidenS, I64, 32) => Sse::PMOVSXDQ,
        (Op::VWidenU, I16, 8) => Sse::PMOVZXBW,
        (Op::VWidenU, I32, 8) => Sse::PMOVZXBD,
        (Op::VWidenU, I64, 8) => Sse::PMOVZXBQ,
        (Op::VWidenU, I32, 16) => Sse::PMOVZXWD,
        (Op::VWidenU, I64, 16) => Sse::PMOVZXWQ,
        (Op::VWidenU, I64, 32) => Sse::PMOVZXDQ,
        _ => return None,
    })
}

impl Emit<'_> {
    /// The vector register to compute the value of `i` in, when its slot has one and the plan allows it.
    pub(super) fn vector_of_result(&self, i: usize) -> Option<(u8, Xmm)> {
        let Slot(s) = self.shape.plan.goes_to(i)?;
        match home(self.long, s) {
            Home::Vec(x) => Some((s, Xmm(x))),
            _ => None,
        }
    }

    /// A register that holds a copy of `a` for the value of `i` to be computed in by one more instruction, whose other operand is in
    /// `other`. The slot's own register when it is `a`'s already or free of `other`.
    pub(super) fn vstart(&mut self, i: usize, a: Val, other: Option<Rm>) -> Xmm {
        if let Some((s, d)) = self.vector_of_result(i) {
            let clash = other == Some(Rm::Reg(d.0));
            if self.at(a) == At::Home(s) {
                self.clobber_home(s, i);
                self.sync();
                return d;
            }
            if !clash {
                let x = self.vreg(a);
                self.clobber_home(s, i);
                self.sync();
                self.a.sse(Sse::MOVAPS, d, x);
                return d;
            }
        }
        if let At::Vec(x) = self.at(a) {
            if !self.needed(a, i) && other != Some(Rm::Reg(x.0)) {
                self.vlocked |= 1 << x.0;
                return x;
            }
        }
        let x = self.vreg(a);
        let t = self.vtemp();
        self.a.sse(Sse::MOVAPS, t, x);
        t
    }

    /// `op a, b`. When it may fault, the destination must not change before.
    pub(super) fn vop(&mut self, i: usize, op: Sse, imm: Option<u8>, a: Val, b: Val, faults: bool) {
        let y = self.vsrc(b);
        let home = self.vector_of_result(i);
        let in_place = home.is_some_and(|(s, _)| self.at(a) == At::Home(s));
        if self.request.target.features.avx && !in_place {
            let x = self.vreg(a);
            let d = self.vresult(i, a, x, y);
            self.sync();
            match imm {
                Some(imm) => self.a.avx_imm(op, d, x, y, imm),
                None => self.a.avx(op, d, x, y),
            }
            return self.vcomputed(i, d);
        }
        let d = if faults && !in_place {
            let x = self.vreg(a);
            let t = self.vtemp();
            self.a.sse(Sse::MOVAPS, t, x);
            t
        } else {
            self.vstart(i, a, Some(y))
        };
        self.sync();
        match imm {
            Some(imm) => self.a.sse_imm(op, d, y, imm),
            None => self.a.sse(op, d, y),
        }
        self.vcomputed(i, d);
    }

    /// A register for the value of `i`, which one instruction computes of `x` (with the value `a`) and `y`.
    fn vresult(&mut self, i: usize, a: Val, x: Xmm, y: Rm) -> Xmm {
        if self.vector_of_result(i).is_some() {
            return self.vtarget(i);
        }
        let dying = |s: &Self, r: u8| s.vtemps >> r & 1 != 0 && s.vowner(r).is_none_or(|v| !s.needed(v, i));
        let _ = a;
        if dying(self, x.0) {
            return x;
        }
        match y {
            Rm::Reg(r) if dying(self, r) => Xmm(r),
            _ => self.vtemp(),
        }
    }

    /// A vector operand as a register, or as aligned memory of the frame.
    pub(super) fn vsrc(&mut self, v: Val) -> Rm {
        match self.at(v) {
            At::Home(s) => match home(self.long, s) {
                Home::Mem(m) => Mem::gs(m).into(),
                _ => self.vreg(v).into(),
            },
            At::Spill(n) => super::spill(n).into(),
            _ => self.vreg(v).into(),
        }
    }

    /// The value of `i` was computed in `x`.
    pub(super) fn vcomputed(&mut self, i: usize, x: Xmm) {
        let v = Val(i as u16);
        match self.vector_of_result(i) {
            Some((s, h)) if h == x => self.define_home(v, s),
            _ => self.vdefine(v, x),
        }
    }

    /// A register to compute the value of `i` in by one instruction that does not read it.
    pub(super) fn vtarget(&mut self, i: usize) -> Xmm {
        match self.vector_of_result(i) {
            Some((s, x)) => {
                self.clobber_home(s, i);
                self.sync();
                x
            }
            None => self.vtemp(),
        }
    }

    /// Emits a vector operation; false when the interpreter has to do it.
    pub(super) fn vector(&mut self, i: usize) -> bool {
        let inst = self.b.insts[i];
        let [a, b, ..] = inst.args;
        if let Some(op) = two_operand(inst.op, inst.ty) {
            self.vop(i, op, None, a, b, false);
            return true;
        }
        if let Some(op) = one_operand(inst.op, inst.ty, inst.imm) {
            let y = self.vreg(a);
            let x = self.vtarget(i);
            self.a.sse(op, x, y);
            self.vcomputed(i, x);
            return true;
        }
        match inst.op {
            Op::VAlign => self.vop(i, Sse::PALIGNR, Some(inst.imm as u8), a, b, false),
            Op::VMpSad => self.vop(i, Sse::MPSADBW, Some(inst.imm as u8), a, b, false),
            Op::VClMul if self.request.target.features.aes => {
                self.vop(i, Sse::PCLMULQDQ, Some(inst.imm as u8), a, b, false);
            }
            Op::VStrI | Op::VStrM | Op::VStrF => return self.compare_strings(i),
            Op::VAes => return self.aes(i),
            Op::VSha => return self.sha(i),
            Op::VSelS if self.request.target.features.avx => {
                let op = match inst.ty {
                    Ty::I32 => Sse::VBLENDVPS,
                    Ty::I64 => Sse::VBLENDVPD,
                    _ => Sse::VPBLENDVB,
                };
                let mask = self.vreg(inst.args[2]);
                let y = self.vsrc(b);
                let x = self.vreg(a);
                let d = self.vtarget(i);
                self.a.avx_imm(op, d, x, y, mask.0 << 4);
                self.vcomputed(i, d);
            }
            Op::VTest => {
                let (y, x) = (self.vreg(b), self.vreg(a));
                self.before_flags(ARITH, i, 0);
                self.a.sse(Sse::PTEST, x, y);
                self.at[i] = At::Flags;
                self.wrote_flags(ARITH, Some(Val(i as u16)));
            }
            Op::VZext => self.vector_from_int(i, a, inst.ty),
            Op::VExt => {
                let lane = inst.imm as u8;
                let size = Size::of_bits(inst.ty.bits());
                if u32::from(lane) * inst.ty.bits() >= 128 {
                    return false;
                }
                let x = self.vreg(a);
                let d = match self.slot_of_result(i) {
                    Some((s, r)) => {
                        self.clobber_home(s, i);
                        self.sync();
                        r
                    }
                    None => self.temp(),
                };
                if lane == 0 && size >= Size::D {
                    self.a.movd_from(size, d, x);
                } else {
                    self.a.pextr(size, d, x, lane);
                }
                self.computed(i, d);
            }
            Op::VIns => {
                let lane = inst.imm as u8;
                let size = Size::of_bits(inst.ty.bits());
                if u32::from(lane) * inst.ty.bits() >= 128 {
                    return false;
                }
                let r = self.reg(b);
                let x = self.vstart(i, a, None);
                self.a.pinsr(size, x, r, lane);
                self.vcomputed(i, x);
            }
            Op::VLow => {
                let y = self.vreg(a);
                let x = self.vtarget(i);
                self.a.sse(Sse::MOVQ, x, y);
                self.vcomputed(i, x);
            }
            Op::VShl | Op::VShr | Op::VSar => return self.vector_shift(i),
            Op::VShlB | Op::VShrB => {
                let n = inst.imm.min(16) as u8;
                let x = self.vstart(i, a, None);
                self.a.vshift_imm(if inst.op == Op::VShlB { VShift::PSLLDQ } else { VShift::PSRLDQ }, x, n);
                self.vcomputed(i, x);
            }
            Op::VShuf => return self.shuffle(i),
            Op::VMovMsk if inst.ty != Ty::I16 => {
                let x = self.vreg(a);
                let d = match self.slot_of_result(i) {
                    Some((s, r)) => {
                        self.clobber_home(s, i);
                        self.sync();
                        r
                    }
                    None => self.temp(),
                };
                match inst.ty {
                    Ty::I8 => self.a.pmovmskb(d, x),
                    Ty::I32 | Ty::F32 => self.a.movmsk(false, d, x),
                    Ty::I64 | Ty::F64 => self.a.movmsk(true, d, x),
                    _ => return false,
                }
                self.computed(i, d);
            }
            _ => return false,
        }
        true
    }

    /// Steps of AES: those of a round take the state and a key, the others one operand.
    fn aes(&mut self, i: usize) -> bool {
        let inst = self.b.insts[i];
        let [a, b, ..] = inst.args;
        let Some(step) = AesFn::from_imm(inst.imm & 0xff).filter(|_| self.request.target.features.aes) else {
            return false;
        };
        let op = match step {
            AesFn::Enc => Sse::AESENC,
            AesFn::EncLast => Sse::AESENCLAST,
            AesFn::Dec => Sse::AESDEC,
            AesFn::DecLast => Sse::AESDECLAST,
            AesFn::KeyGenAssist => return self.one_source(i, b, Sse::AESKEYGENASSIST, (inst.imm >> 8) as u8),
            AesFn::InverseMixColumns => {
                let y = self.vreg(b);
                let x = self.vtarget(i);
                self.a.sse(Sse::AESIMC, x, y);
                self.vcomputed(i, x);
                return true;
            }
        };
        self.vop(i, op, None, a, b, false);
        true
    }

    /// Steps of SHA, which have no three-operand form.
    fn sha(&mut self, i: usize) -> bool {
        let inst = self.b.insts[i];
        let [a, b, c, _] = inst.args;
        let Some(step) = ShaFn::from_imm(inst.imm & 0xff).filter(|_| self.request.target.features.sha) else {
            return false;
        };
        let (op, imm) = match step {
            ShaFn::Sha1Rnds4 => (Sse::SHA1RNDS4, Some((inst.imm >> 8) as u8)),
            ShaFn::Sha1NextE => (Sse::SHA1NEXTE, None),
            ShaFn::Sha1Msg1 => (Sse::SHA1MSG1, None),
            ShaFn::Sha1Msg2 => (Sse::SHA1MSG2, None),
            // The third operand is XMM0, which is its own home.
            ShaFn::Sha256Rnds2 if self.at(c) == At::Home(Slot::xmm(0).0) => (Sse::SHA256RNDS2, None),
            ShaFn::Sha256Rnds2 => return false,
            ShaFn::Sha256Msg1 => (Sse::SHA256MSG1, None),
            ShaFn::Sha256Msg2 => (Sse::SHA256MSG2, None),
        };
        let y = self.vsrc(b);
        // Into a register of its own: the slot's may be XMM0, or the second operand's.
        let x = self.vreg(a);
        let t = self.vtemp();
        self.a.sse(Sse::MOVAPS, t, x);
        match imm {
            Some(imm) => self.a.sse_imm(op, t, y, imm),
            None => self.a.sse(op, t, y),
        }
        self.vdefine(Val(i as u16), t);
        true
    }

    fn vector_from_int(&mut self, i: usize, a: Val, ty: Ty) {
        match ty {
            Ty::I32 | Ty::I64 => {
                let size = Size::of_bits(ty.bits());
                let from: Rm = match self.at(a) {
                    At::Home(s) if matches!(home(self.long, s), Home::Mem(_)) => self.home_rm(s),
                    _ => self.reg(a).into(),
                };
                let x = self.vtarget(i);
                self.a.movd_to(size, x, from);
                self.vcomputed(i, x);
            }
            _ => {
                let r = self.reg(a);
                let t = self.temp_or(r);
                self.a.movzx(Size::of_bits(ty.bits()), t, r);
                let x = self.vtarget(i);
                self.a.movd_to(Size::D, x, t);
                self.vcomputed(i, x);
            }
        }
    }

    fn temp_or(&mut self, r: Reg) -> Reg {
        if self.available() > 0 {
            return self.temp();
        }
        // Zero-extending a value in its own temporary changes only noise.
        r
    }

    fn vector_shift(&mut self, i: usize) -> bool {
        let inst = self.b.insts[i];
        let [a, b, ..] = inst.args;
        let (by_const, by_vec) = match (inst.op, inst.ty) {
            (Op::VShl, Ty::I16) => (VShift::PSLLW, Sse::PSLLW),
            (Op::VShl, Ty::I32) => (VShift::PSLLD, Sse::PSLLD),
            (Op::VShl, Ty::I64) => (VShift::PSLLQ, Sse::PSLLQ),
            (Op::VShr, Ty::I16) => (VShift::PSRLW, Sse::PSRLW),
            (Op::VShr, Ty::I32) => (VShift::PSRLD, Sse::PSRLD),
            (Op::VShr, Ty::I64) => (VShift::PSRLQ, Sse::PSRLQ),
            (Op::VSar, Ty::I16) => (VShift::PSRAW, Sse::PSRAW),
            (Op::VSar, Ty::I32) => (VShift::PSRAD, Sse::PSRAD),
            _ => return false,
        };
        if let Some(n) = self.constant(b) {
            let x = self.vstart(i, a, None);
            self.a.vshift_imm(by_const, x, n.min(255) as u8);
            self.vcomputed(i, x);
            return true;
        }
        let r = self.reg(b);
        let t = self.vtemp();
        self.a.movd_to(Size::Q, t, r);
        let x = self.vstart(i, a, Some(t.into()));
        self.a.sse(by_vec, x, t);
        self.vcomputed(i, x);
        true
    }

    fn shuffle(&mut self, i: usize) -> bool {
        let inst = self.b.insts[i];
        let [a, b, ..] = inst.args;
        let lane = |k: u32| (inst.imm >> (4 * k) & 15) as u8;
        match inst.ty {
            Ty::I32 | Ty::F32 => {
                let l = [0, 1, 2, 3].map(lane);
                let imm = (0..4).fold(0, |m, k| m | (l[k] & 3) << (2 * k));
                if l.iter().all(|x| *x < 4) {
                    return self.one_source(i, a, Sse::PSHUFD, imm);
                }
                if l.iter().all(|x| (4..8).contains(x)) {
                    return self.one_source(i, b, Sse::PSHUFD, imm);
                }
                if l[0] < 4 && l[1] < 4 && (4..8).contains(&l[2]) && (4..8).contains(&l[3]) {
                    return self.two_sources(i, a, b, Sse::SHUFPS, imm);
                }
                if (0..4).all(|k| usize::from(l[k] & 3) == k) {
                    let imm = (0..4).fold(0, |m, k| m | (l[k] >> 2 & 1) << k);
                    return self.two_sources(i, a, b, Sse::BLENDPS, imm);
                }
                if l[2] < 4 && l[3] < 4 && (4..8).contains(&l[0]) && (4..8).contains(&l[1]) {
                    return self.two_sources(i, b, a, Sse::SHUFPS, imm);
                }
                false
            }
            Ty::I64 | Ty::F64 => {
                let (l, h) = (lane(0), lane(1));
                if l > 3 || h > 3 {
                    return false;
                }
                let dup = |n: u8| if n == 0 { 0x44u8 } else { 0xee };
                match (l < 2, h < 2) {
                    (true, true) | (false, false) => {
                        let v = if l < 2 { a } else { b };
                        let imm = match (l & 1, h & 1) {
                            (0, 1) => 0xe4,
                            (1, 0) => 0x4e,
                            (n, _) => dup(n),
                        };
                        self.one_source(i, v, Sse::PSHUFD, imm)
                    }
                    (true, false) => self.two_sources(i, a, b, Sse::SHUFPD, l | (h & 1) << 1),
                    (false, true) => self.two_sources(i, b, a, Sse::SHUFPD, (l & 1) | h << 1),
                }
            }
            Ty::I16 => {
                let l = [0, 1, 2, 3, 4, 5, 6, 7].map(lane);
                let identity = |from: usize| (from..from + 4).all(|k| usize::from(l[k]) == k);
                if (0..8).all(|k| usize::from(l[k] & 7) == k) {
                    let imm = (0..8).fold(0, |m, k| m | (l[k] >> 3 & 1) << k);
                    return self.two_sources(i, a, b, Sse::PBLENDW, imm);
                }
                if identity(4) && l[..4].iter().all(|x| *x < 4) {
                    let imm = (0..4).fold(0, |m, k| m | l[k] << (2 * k));
                    return self.one_source(i, a, Sse::PSHUFLW, imm);
                }
                if identity(0) && l[4..].iter().all(|x| (4..8).contains(x)) {
                    let imm = (0..4).fold(0, |m, k| m | (l[4 + k] & 3) << (2 * k));
                    return self.one_source(i, a, Sse::PSHUFHW, imm);
                }
                false
            }
            _ => false,
        }
    }

    fn one_source(&mut self, i: usize, v: Val, op: Sse, imm: u8) -> bool {
        let y = self.vreg(v);
        let x = self.vtarget(i);
        self.a.sse_imm(op, x, y, imm);
        self.vcomputed(i, x);
        true
    }

    fn two_sources(&mut self, i: usize, v: Val, w: Val, op: Sse, imm: u8) -> bool {
        self.vop(i, op, Some(imm), v, w, false);
        true
    }
}
