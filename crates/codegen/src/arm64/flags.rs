//! Flags and conditions.
//!
//! Homes: N = SF, Z = ZF, C = not CF, V = OF; PF is the even parity of the low byte of P, AF is bit 4 of P ^ A. A comparison is
//! then one `subs P, a, b`. What nobody reads is not computed. A condition stays uncomputed until its user takes it as a
//! condition code or until the flags are about to be overwritten.
//!
//! Where old flags must survive an instruction that sets NZCV they are kept in x30 meanwhile, and the books say so.

use super::analysis::{Fl, IN_NZCV, NONE};
use super::regs::{A, P, S0, S1, S2, W};
use super::{Cold, Emit};
use demotic_asm::arm64::branch::{self, SysReg};
use demotic_asm::arm64::int::{self, Arith, Csel, Logic};
use demotic_asm::arm64::{Cond, Imm12, LogicImm, Reg, Shift, Sz, ZR, float, simd};
use demotic_asm::buffer::{Field, Label};
use demotic_ir::block::{Inst, Val};
use demotic_ir::ops::Op;
use demotic_ir::state::eflags::{AF, CF, OF, PF, SF, ZF};
use demotic_ir::ty::Ty;

/// Something that a branch can depend on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Test {
    /// A condition of NZCV.
    Flag(Cond),
    /// A register is zero (or not).
    Zero(Sz, Reg, bool),
    /// A bit of a register is one (or not).
    Bit(Reg, u32, bool),
}

impl Test {
    pub fn inverse(self) -> Test {
        match self {
            Test::Flag(c) => Test::Flag(c.inverse()),
            Test::Zero(sz, r, yes) => Test::Zero(sz, r, !yes),
            Test::Bit(r, bit, yes) => Test::Bit(r, bit, !yes),
        }
    }
}

/// The condition of the homes that stands for an x86 condition; `None` for parity.
pub(super) fn condition_code(cc: u64) -> Option<Cond> {
    let c = match cc >> 1 & 7 {
        0 => Cond::Vs,
        1 => Cond::Cc,
        2 => Cond::Eq,
        3 => Cond::Ls,
        4 => Cond::Mi,
        5 => return None,
        6 => Cond::Lt,
        _ => Cond::Le,
    };
    Some(if cc & 1 != 0 { c.inverse() } else { c })
}

/// Register size for an integer type.
pub(super) fn sz(ty: Ty) -> Sz {
    if ty == Ty::I64 { Sz::X } else { Sz::W }
}

fn mov(d: Reg, n: Reg) -> u32 {
    super::runtime::mov(d, n)
}

impl Emit<'_> {
    // ---- who lives in the homes of the flags --------------------------------------------------------------------------

    /// Moves flags values and conditions that are needed behind operation `i` out of the homes.
    pub fn take_flags(&mut self, i: usize) {
        let values = core::mem::take(&mut self.books.in_flags);
        for v in values {
            let k = usize::from(v);
            if self.an[k].end() <= i || self.books.loc[k] != W::Flags {
                continue;
            }
            let val = Val(v);
            let mut others = self.deferred_uses(val, i);
            for u in i + 1..self.block.insts.len() {
                // A condition that stands behind this operation may have to be evaluated there by the interpreter.
                if self.an[u].live && self.block.insts[u].operands().contains(&val) {
                    others |= self.an[i].fused() != u;
                }
            }
            // Also those that only deferred flags need: the flags that they are conditions of are over.
            let conds: Vec<usize> = (0..=i.min(self.block.insts.len() - 1))
                .filter(|&u| {
                    let inst = &self.block.insts[u];
                    inst.op == Op::Cond && inst.args[0] == val && self.an[u].end() > i && self.books.loc[u] == W::Not
                })
                .collect();
            for u in conds {
                let d = self.scratch();
                self.cond_value(u, d);
                self.result(u, d, 1);
            }
            if others {
                let d = self.scratch();
                self.image_of_home(d);
                self.result(k, d, 32);
            } else {
                // Only conditions wanted it, and they are computed.
                self.books.loc[k] = W::Not;
            }
        }
    }

    /// Whether deferred flags that may be shown behind operation `i` need the value itself, not only conditions of it that stand up to there: directly, or
    /// by way of operations that emit nothing and are computed anew then.
    fn deferred_uses(&self, val: Val, i: usize) -> bool {
        let direct = self.block.deferred.iter().any(|d| usize::from(d.to) > i && d.def.operands().contains(&val));
        let anew = |(u, inst): (usize, &Inst)| {
            let of = &self.an[u];
            !of.live && of.end() > u.max(i) && (u > i || inst.op != Op::Cond) && inst.operands().contains(&val)
        };
        direct || !self.block.deferred.is_empty() && self.block.insts.iter().enumerate().any(anew)
    }

    /// Whether NZCV may be overwritten by operation `i`; conditions that are needed later are then computed.
    pub fn nzcv_free(&mut self, i: usize) -> bool {
        let n = self.block.insts.len();
        let home = &self.flags_home;
        // What is live behind the block is so at the branch itself, too; an exit shows everything.
        let exit = i < n && self.block.insts[i].op == Op::ExitIf && home[i] & IN_NZCV != 0;
        if exit || home[(i + 1).min(n)] & IN_NZCV != 0 {
            return false;
        }
        for &v in &self.books.in_flags {
            if self.an[usize::from(v)].end() <= i {
                continue;
            }
            let val = Val(v);
            let others = (i + 1..self.block.insts.len()).any(|u| {
                let inst = &self.block.insts[u];
                inst.operands().contains(&val) && self.an[u].live
            });
            if others || self.deferred_uses(val, i) {
                return false;
            }
        }
        self.take_flags(i);
        true
    }

    /// Saves NZCV in x30 for code that overwrites it.
    pub fn save_nzcv(&mut self) {
        self.w(branch::mrs(S2, SysReg::Nzcv));
        self.saved_flags = Some(crate::Loc::Gpr(30));
    }

    // ---- operations ---------------------------------------------------------------------------------------------------

    /// A flags operation at its own position.
    pub fn flags_op(&mut self, f: usize) {
        match self.an[f].how {
            Fl::AtSet => {}
            Fl::Image => self.helper(f),
            Fl::Home => {
                self.take_flags(f);
                self.compute_flags(f, f, None);
            }
        }
    }

    /// `SetFl`.
    pub fn set_flags(&mut self, s: usize) {
        let inst = self.block.insts[s];
        let val = inst.args[0];
        let k = val.index();
        let mask = inst.imm as u32 & self.flags_home[s + 1];
        if mask == 0 {
            return;
        }
        match self.books.loc[k] {
            W::Flags => {}
            W::Not if self.block.insts[k].op != Op::Const && self.an[k].how == Fl::AtSet => {
                self.take_flags(s);
                self.compute_flags(k, s, None);
            }
            _ => {
                let image = self.r(val);
                self.take_flags(s);
                self.home_from_image(image, mask, s);
            }
        }
    }

    /// Whether all readers are conditions that compare signed or ask for equality.
    fn signed_only(&self, f: usize) -> bool {
        self.an[f].set() == NONE
            && self.block.insts.iter().enumerate().all(|(u, inst)| {
                !self.an[u].live
                    || !inst.operands().contains(&Val(f as u16))
                    || inst.op == Op::Cond && matches!(inst.imm >> 1 & 7, 2 | 6 | 7)
            })
    }

    /// Computes flags into the homes, while operation `at` is emitted; `dest`: the value goes there, too.
    pub fn compute_flags(&mut self, f: usize, at: usize, dest: Option<Reg>) {
        let inst = self.block.insts[f];
        let need = self.an[f].need;
        let mask = match self.an[f].set() {
            NONE => 0,
            s => self.block.insts[s].imm as u32,
        };
        let after = match self.an[f].set() {
            NONE => f + 1,
            s if at == s => s + 1,
            _ => f + 1,
        };
        let keep_c = self.flags_home[after] & !mask & CF != 0 && self.an[f].how != Fl::Image;
        if keep_c {
            self.save_nzcv();
        }
        match inst.op {
            Op::FlAdd | Op::FlSub => self.sum_flags(f, need, dest, keep_c),
            Op::FlLogic => self.logic_flags(f, need, dest),
            Op::FlAdc | Op::FlSbb => self.carry_flags(f, need, dest),
            Op::FlShl | Op::FlShr | Op::FlSar => self.shift_flags(f, need),
            Op::FComi => self.compare_flags(f, need),
            _ => self.fail(),
        }
        if keep_c {
            // The old C into the new flags.
            self.w(branch::mrs(S0, SysReg::Nzcv));
            self.w(int::lsr_imm(Sz::X, S1, S2, 29));
            self.w(int::bfi(Sz::X, S0, S1, 29, 1));
            self.w(branch::msr(SysReg::Nzcv, S0));
            self.saved_flags = None;
        }
        self.books.loc[f] = W::Flags;
        self.books.in_flags.push(f as u16);
    }

    fn invert_c(&mut self) {
        if self.request.target.features.flagm {
            self.w(int::CFINV);
        } else {
            self.w(branch::mrs(S0, SysReg::Nzcv));
            self.wo(LogicImm::new(Sz::X, 1 << 29).and_then(|imm| int::logic_imm(Logic::Eor, Sz::X, S0, S0, imm)));
            self.w(branch::msr(SysReg::Nzcv, S0));
        }
    }

    /// A = a ^ b, of which only bit 4 counts.
    fn auxiliary(&mut self, a: Reg, b: Val) {
        match self.constant(b) {
            Some(c) if c & 16 == 0 => self.w(mov(A, a)),
            Some(_) => {
                self.wo(LogicImm::new(Sz::X, 16).and_then(|imm| int::logic_imm(Logic::Eor, Sz::X, A, a, imm)));
            }
            None => {
                let b = self.r(b);
                self.w(int::logic(Logic::Eor, Sz::X, A, a, b, Shift::Lsl, 0));
            }
        }
    }

    /// `op d, a, b` with flags; b may be a constant.
    fn sum(&mut self, add: bool, size: Sz, d: Reg, a: Val, b: Val) {
        if let Some(c) = self.constant(b) {
            let c = if size == Sz::W { u64::from(c as u32) } else { c };
            let minus = if size == Sz::W { u64::from((c as u32).wrapping_neg()) } else { c.wrapping_neg() };
            let (up, down) = if add { (Arith::Adds, Arith::Subs) } else { (Arith::Subs, Arith::Adds) };
            if let Some(imm) = Imm12::new(c) {
                let a = self.r(a);
                self.w(int::arith_imm(up, size, d, a, imm));
                return;
            }
            // a - c and a + -c have the same flags unless c is 0 or the least number.
            if let (Some(imm), true) = (Imm12::new(minus), c != minus) {
                let a = self.r(a);
                self.w(int::arith_imm(down, size, d, a, imm));
                return;
            }
        }
        let (a, b) = (self.rz(a), self.rz(b));
        self.w(int::arith(if add { Arith::Adds } else { Arith::Subs }, size, d, a, b, Shift::Lsl, 0));
    }

    fn sum_flags(&mut self, f: usize, need: u32, dest: Option<Reg>, keep_c: bool) {
        let inst = self.block.insts[f];
        let (a, b) = (inst.args[0], inst.args[1]);
        let add = inst.op == Op::FlAdd;
        let size = sz(inst.ty);
        // With C to be inverted the value cannot be written first: it passes through P, too.
        let parity = need & (PF | AF) != 0 || dest.is_some() && add && need & CF != 0;
        if matches!(inst.ty, Ty::I8 | Ty::I16) {
            self.narrow_sum_flags(f, need, parity);
        } else {
            if need & AF != 0 {
                let a = self.r(a);
                self.auxiliary(a, b);
            }
            let d = dest.unwrap_or(if parity { P } else { ZR });
            if dest.is_some() && parity {
                // The value last: it may overwrite an operand.
                self.sum(add, size, P, a, b);
                if add && need & CF != 0 {
                    self.invert_c();
                }
                self.w(mov(d, P));
                return;
            } else {
                self.sum(add, size, d, a, b);
            }
        }
        if add && need & CF != 0 && !keep_c {
            self.invert_c();
        }
    }

    fn narrow_sum_flags(&mut self, f: usize, need: u32, parity: bool) {
        let inst = self.block.insts[f];
        let (a, b) = (inst.args[0], inst.args[1]);
        let add = inst.op == Op::FlAdd;
        let width = inst.ty.bits();
        let op = |flags: bool| match (add, flags) {
            (true, true) => Arith::Adds,
            (true, false) => Arith::Add,
            (false, true) => Arith::Subs,
            (false, false) => Arith::Sub,
        };
        let c = self.constant(b);
        let (ra, mut rb) = (self.rz(a), ZR);
        if c.is_none() {
            rb = self.r(b);
        }
        if need & AF != 0 {
            self.auxiliary(ra, b);
        }
        let zero_extended = !add && need & (SF | OF) == 0;
        let d = if parity { P } else { ZR };
        if need & IN_NZCV == 0 {
            let rb = self.rz(b);
            self.w(int::arith(op(false), Sz::W, P, ra, rb, Shift::Lsl, 0));
        } else if zero_extended {
            let ra = self.extended(a, S0, width);
            match c.and_then(Imm12::new) {
                Some(imm) if ra != ZR => self.w(int::arith_imm(Arith::Subs, Sz::W, d, ra, imm)),
                _ => {
                    let rb = self.extended(b, S1, width);
                    self.w(int::arith(Arith::Subs, Sz::W, d, ra, rb, Shift::Lsl, 0));
                }
            }
        } else if !add && self.signed_only(f) {
            self.w(int::sbfx(Sz::W, S0, ra, 0, width));
            match c.map(|c| (c << (64 - width)) as i64 >> (64 - width)) {
                Some(c) if Imm12::new(c as u64).is_some() => {
                    self.wo(Imm12::new(c as u64).map(|imm| int::arith_imm(Arith::Subs, Sz::W, d, S0, imm)));
                }
                Some(c) if Imm12::new(c.wrapping_neg() as u64).is_some() => {
                    self.wo(
                        Imm12::new(c.wrapping_neg() as u64).map(|imm| int::arith_imm(Arith::Adds, Sz::W, d, S0, imm))
                    );
                }
                _ => {
                    let rb = self.r(b);
                    let ext =
                        if width == 8 { demotic_asm::arm64::Extend::Sxtb } else { demotic_asm::arm64::Extend::Sxth };
                    self.w(int::arith_ext(Arith::Subs, Sz::W, d, S0, rb, ext, 0));
                }
            }
        } else {
            let up = 32 - width;
            if parity {
                match c {
                    Some(c) => {
                        self.mov_imm(Sz::W, S1, c);
                        self.w(int::arith(op(false), Sz::W, P, ra, S1, Shift::Lsl, 0));
                    }
                    None => self.w(int::arith(op(false), Sz::W, P, ra, rb, Shift::Lsl, 0)),
                }
            }
            self.w(int::lsl_imm(Sz::W, S0, ra, up));
            match c {
                Some(c) => {
                    if !parity {
                        self.mov_imm(Sz::W, S1, c);
                    }
                    self.w(int::arith(op(true), Sz::W, ZR, S0, S1, Shift::Lsl, up));
                }
                None => self.w(int::arith(op(true), Sz::W, ZR, S0, rb, Shift::Lsl, up)),
            }
        }
    }

    /// A value with zeros above its `width` bits, in its own register or in `scratch`.
    pub fn extended(&mut self, val: Val, scratch: Reg, width: u32) -> Reg {
        if self.constant(val).is_some() {
            return self.rz(val);
        }
        let r = self.r(val);
        if u32::from(self.bits_of(val)) <= width {
            return r;
        }
        self.w(int::ubfx(Sz::W, scratch, r, 0, width));
        scratch
    }

    fn logic_flags(&mut self, f: usize, need: u32, dest: Option<Reg>) {
        let inst = self.block.insts[f];
        let a = inst.args[0];
        let parity = need & (PF | AF) != 0;
        if let Some(d) = dest {
            // The value is an `and` of this type; CF is not needed.
            if parity {
                self.and_flags(a.index(), P);
                self.w(mov(d, P));
            } else {
                self.and_flags(a.index(), d);
            }
            if need & AF != 0 {
                self.fail();
            }
            return;
        } else if matches!(inst.ty, Ty::I8 | Ty::I16) {
            let width = inst.ty.bits();
            let known = u32::from(self.bits_of(a)) < width;
            let r = self.r(a);
            if need & IN_NZCV == 0 {
                self.w(mov(P, r));
            } else if known {
                self.wo(
                    Imm12::new(0).map(|imm| int::arith_imm(Arith::Subs, Sz::W, if parity { P } else { ZR }, r, imm))
                );
            } else if need & !ZF == 0 {
                let mask = inst.ty.mask();
                self.wo(LogicImm::new(Sz::W, mask).and_then(|imm| int::logic_imm(Logic::Ands, Sz::W, ZR, r, imm)));
            } else {
                let d = if parity { P } else { S0 };
                self.w(int::sbfx(Sz::W, d, r, 0, width));
                self.wo(Imm12::new(0).map(|imm| int::arith_imm(Arith::Subs, Sz::W, ZR, d, imm)));
            }
        } else {
            let r = self.r(a);
            if need & IN_NZCV == 0 {
                self.w(mov(P, r));
            } else {
                self.wo(Imm12::new(0)
                    .map(|imm| int::arith_imm(Arith::Subs, sz(inst.ty), if parity { P } else { ZR }, r, imm)));
            }
        }
        if need & AF != 0 {
            self.w(mov(A, P));
        }
    }

    fn carry_flags(&mut self, f: usize, need: u32, dest: Option<Reg>) {
        let inst = self.block.insts[f];
        let size = sz(inst.ty);
        let (a, b, c) = (inst.args[0], inst.args[1], inst.args[2]);
        let add = inst.op == Op::FlAdc;
        let invert = add && need & CF != 0;
        let parity = need & (PF | AF) != 0;
        let d = match dest {
            Some(d) if !invert && !parity => d,
            None if !parity => ZR,
            _ => P,
        };
        let (ra, rb) = (self.rz(a), self.rz(b));
        let carry = self.block.insts[c.index()];
        let at_home = carry.op == Op::Cond
            && carry.imm == 2
            && self.books.loc[c.index()] == W::Not
            && self.books.loc[carry.args[0].index()] == W::Flags;
        // The carry outlives the flags that it comes from.
        let rc = if add || !at_home { Some(self.r(c)) } else { None };
        if need & AF != 0 {
            self.w(int::logic(Logic::Eor, Sz::X, A, ra, rb, Shift::Lsl, 0));
        }
        match rc {
            Some(rc) if add => self.wo(Imm12::new(1).map(|imm| int::arith_imm(Arith::Subs, Sz::W, ZR, rc, imm))),
            Some(rc) => self.w(int::arith(Arith::Subs, Sz::W, ZR, ZR, rc, Shift::Lsl, 0)),
            None => {}
        }
        self.w(int::carry(if add { Arith::Adds } else { Arith::Subs }, size, d, ra, rb));
        if invert {
            self.invert_c();
        }
        if let Some(value) = dest.filter(|&v| v != d) {
            let outer = self.fixed_place.clone();
            if rc.is_none() && self.stop.is_some() {
                // The carry is not what it was any more: nobody can begin again.
                self.fixed_place = Some(self.place_behind(f, d));
            }
            self.w(mov(value, d));
            self.fixed_place = outer;
        }
    }

    fn shift_flags(&mut self, f: usize, need: u32) {
        let inst = self.block.insts[f];
        let size = sz(inst.ty);
        let n = self.constant(inst.args[1]).unwrap_or(1) as u32;
        let a = self.r(inst.args[0]);
        let zero = Imm12::new(0);
        match inst.op {
            Op::FlShl if need & (CF | OF) != 0 => {
                let mut from = a;
                if n > 1 {
                    self.w(int::lsl_imm(size, S0, a, n - 1));
                    from = S0;
                }
                self.w(int::arith(Arith::Adds, size, P, from, from, Shift::Lsl, 0));
                if need & CF != 0 {
                    self.invert_c();
                }
            }
            Op::FlShl => {
                self.w(int::lsl_imm(size, P, a, n));
                self.wo(zero.map(|imm| int::arith_imm(Arith::Subs, size, ZR, P, imm)));
            }
            _ => {
                let right = if inst.op == Op::FlShr { int::lsr_imm } else { int::asr_imm };
                self.w(right(size, P, a, n));
                self.wo(zero.map(|imm| int::arith_imm(Arith::Subs, size, ZR, P, imm)));
                let overflow = inst.op == Op::FlShr && need & OF != 0;
                if need & CF != 0 || overflow {
                    self.w(branch::mrs(S0, SysReg::Nzcv));
                    if need & CF != 0 {
                        self.w(int::ubfx(size, S1, a, n - 1, 1));
                        self.w(int::logic(Logic::Eor, Sz::X, S0, S0, S1, Shift::Lsl, 29));
                    }
                    if overflow {
                        self.w(int::lsr_imm(size, S1, a, size.bits() - 1));
                        self.w(int::logic(Logic::Orr, Sz::X, S0, S0, S1, Shift::Lsl, 28));
                    }
                    self.w(branch::msr(SysReg::Nzcv, S0));
                }
            }
        }
        if need & AF != 0 {
            self.w(mov(A, P));
        }
    }

    /// ucomis and comis: an unordered result goes the long way.
    fn compare_flags(&mut self, f: usize, need: u32) {
        let inst = self.block.insts[f];
        let fmt = if inst.ty == Ty::F64 { float::Fmt::D } else { float::Fmt::S };
        // The end of a batch may have done and looked at it.
        if self.compared != Some(f) {
            let (a, b) = (self.vr(inst.args[0]), self.vr(inst.args[1]));
            self.w(float::fcmp(inst.imm & 1 != 0, fmt, a, b));
            if self.exact() {
                self.look_here();
            }
        }
        if need == 0 {
            return;
        }
        let (label, back) = (self.buf.label(), self.buf.label());
        let mut fix = vec![int::arith(Arith::Adds, Sz::W, ZR, ZR, ZR, Shift::Lsl, 0)];
        if need & (PF | AF) != 0 {
            fix.push(int::movz(Sz::W, P, 0, 0));
            if need & AF != 0 {
                fix.push(mov(A, P));
            }
        }
        self.later(Cold::Fix(label, fix, back));
        self.w_to(branch::b_cond(Cond::Vs), label, Field::Arm19);
        if need & SF != 0 {
            // Less: N is 1, SF has to be 0.
            self.w(branch::mrs(S0, SysReg::Nzcv));
            self.wo(LogicImm::new(Sz::X, 0x7fff_ffff).and_then(|imm| int::logic_imm(Logic::And, Sz::X, S0, S0, imm)));
            self.w(branch::msr(SysReg::Nzcv, S0));
        }
        if need & (PF | AF) != 0 {
            self.w(int::movz(Sz::W, P, 1, 0));
            if need & AF != 0 {
                self.w(mov(A, P));
            }
        }
        self.buf.bind(back);
    }

    // ---- images -------------------------------------------------------------------------------------------------------

    /// S0 bit 0 = odd parity of P's low byte.
    fn odd_parity(&mut self) {
        self.w(int::logic(Logic::Eor, Sz::W, S0, P, P, Shift::Lsr, 4));
        self.w(int::logic(Logic::Eor, Sz::W, S0, S0, S0, Shift::Lsr, 2));
        self.w(int::logic(Logic::Eor, Sz::W, S0, S0, S0, Shift::Lsr, 1));
    }

    /// The EFLAGS image of the homes; `d` is not a scratch register.
    pub fn image_of_home(&mut self, d: Reg) {
        let one = |e: &mut Self, r: Reg, op: Logic| {
            e.wo(LogicImm::new(Sz::W, 1).and_then(|imm| int::logic_imm(op, Sz::W, r, r, imm)));
        };
        self.odd_parity();
        one(self, S0, Logic::Eor);
        self.w(int::ubfiz(Sz::W, d, S0, 2, 1));
        self.w(int::logic(Logic::Eor, Sz::W, S0, P, A, Shift::Lsl, 0));
        self.w(int::lsr_imm(Sz::W, S0, S0, 4));
        self.w(int::bfi(Sz::W, d, S0, 4, 1));
        self.w(branch::mrs(S0, SysReg::Nzcv));
        self.w(int::lsr_imm(Sz::W, S1, S0, 30));
        self.w(int::bfi(Sz::W, d, S1, 6, 2));
        self.w(int::lsr_imm(Sz::W, S1, S0, 29));
        one(self, S1, Logic::Eor);
        self.w(int::bfxil(Sz::W, d, S1, 0, 1));
        self.w(int::lsr_imm(Sz::W, S1, S0, 28));
        self.w(int::bfi(Sz::W, d, S1, 11, 1));
    }

    /// Those flags of an image that `mask` names into the homes.
    fn home_from_image(&mut self, image: Reg, mask: u32, s: usize) {
        if mask & (PF | AF) != 0 {
            // PF and AF have one register in common: with only one of them changing, the other's is moved along.
            if mask & AF == 0 && self.flags_home[s + 1] & AF != 0 {
                self.w(int::logic(Logic::Eor, Sz::W, S1, P, A, Shift::Lsl, 0));
            }
            let odd = |e: &mut Self| {
                e.w(int::ubfx(Sz::W, S0, image, 2, 1));
                e.wo(LogicImm::new(Sz::W, 1).and_then(|imm| int::logic_imm(Logic::Eor, Sz::W, S0, S0, imm)));
            };
            if mask & PF != 0 {
                odd(self);
            } else {
                self.w(mov(S0, P));
            }
            if mask & AF != 0 {
                // A = P ^ (AF at bit 4); only bit 4 counts.
                self.w(int::logic(Logic::Eor, Sz::W, A, S0, image, Shift::Lsl, 0));
            } else {
                self.w(int::logic(Logic::Eor, Sz::W, A, S0, S1, Shift::Lsl, 0));
            }
            if mask & PF != 0 {
                self.w(mov(P, S0));
            }
        }
        if mask & IN_NZCV != 0 {
            self.w(branch::mrs(S0, SysReg::Nzcv));
            if mask & (SF | ZF) == SF | ZF {
                self.w(int::lsr_imm(Sz::W, S1, image, 6));
                self.w(int::bfi(Sz::X, S0, S1, 30, 2));
            } else if mask & (SF | ZF) != 0 {
                let (from, to) = if mask & SF != 0 { (7, 31) } else { (6, 30) };
                self.w(int::lsr_imm(Sz::W, S1, image, from));
                self.w(int::bfi(Sz::X, S0, S1, to, 1));
            }
            if mask & CF != 0 {
                self.w(int::logic(Logic::Orn, Sz::W, S1, ZR, image, Shift::Lsl, 0));
                self.w(int::bfi(Sz::X, S0, S1, 29, 1));
            }
            if mask & OF != 0 {
                self.w(int::lsr_imm(Sz::W, S1, image, 11));
                self.w(int::bfi(Sz::X, S0, S1, 28, 1));
            }
            self.w(branch::msr(SysReg::Nzcv, S0));
        }
    }

    // ---- conditions ---------------------------------------------------------------------------------------------------

    /// A condition as 0 or 1 in `d`.
    fn cond_value(&mut self, u: usize, d: Reg) {
        match self.cond_test(u) {
            Test::Flag(c) => self.w(int::cset(d, c)),
            other => self.test_value(other, d),
        }
    }

    /// A test as 0 or 1, flags untouched.
    fn test_value(&mut self, test: Test, d: Reg) {
        match test {
            Test::Flag(c) => self.w(int::cset(d, c)),
            Test::Zero(size, r, yes) => {
                self.w(int::one(int::One::Clz, size, S0, r));
                let shift = if size == Sz::X { 6 } else { 5 };
                if yes {
                    self.w(int::lsr_imm(size, d, S0, shift));
                } else {
                    self.w(int::lsr_imm(size, S0, S0, shift));
                    self.wo(LogicImm::new(Sz::W, 1).and_then(|imm| int::logic_imm(Logic::Eor, Sz::W, d, S0, imm)));
                }
            }
            Test::Bit(r, bit, yes) => {
                if yes {
                    self.w(int::ubfx(Sz::X, d, r, bit, 1));
                } else {
                    self.w(int::ubfx(Sz::X, S0, r, bit, 1));
                    self.wo(LogicImm::new(Sz::W, 1).and_then(|imm| int::logic_imm(Logic::Eor, Sz::W, d, S0, imm)));
                }
            }
        }
    }

    fn cond_test(&mut self, u: usize) -> Test {
        let inst = self.block.insts[u];
        let cc = inst.imm;
        let yes = cc & 1 == 0;
        let fl = inst.args[0];
        let flags = self.block.insts[fl.index()];
        if self.books.loc[fl.index()] == W::Flags {
            return match condition_code(cc) {
                Some(c) => Test::Flag(c),
                None => {
                    self.odd_parity();
                    Test::Bit(S0, 0, !yes)
                }
            };
        }
        if self.an[fl.index()].lazy && self.books.loc[fl.index()] == W::Not {
            // Zero or sign of a value.
            let a = flags.args[0];
            if flags.op == Op::VTest {
                self.common_bits(a, flags.args[1], cc >> 1 & 7 == 1);
                return Test::Zero(Sz::X, S0, yes);
            }
            if cc >> 1 & 7 == 2 {
                let r = self.r(a);
                return Test::Zero(sz(flags.ty), r, yes);
            }
            let r = self.r(a);
            return Test::Bit(r, flags.ty.bits() - 1, yes);
        }
        // An image.
        let image = self.r(fl);
        let bit = match cc >> 1 & 7 {
            0 => 11,
            1 => 0,
            2 => 6,
            4 => 7,
            5 => 2,
            3 => {
                self.w(int::logic(Logic::Orr, Sz::W, S0, image, image, Shift::Lsr, 6));
                return Test::Bit(S0, 0, yes);
            }
            k => {
                self.w(int::logic(Logic::Eor, Sz::W, S0, image, image, Shift::Lsr, 4));
                if k == 7 {
                    self.w(int::logic(Logic::Orr, Sz::W, S0, S0, image, Shift::Lsl, 1));
                }
                return Test::Bit(S0, 7, yes);
            }
        };
        Test::Bit(image, bit, yes)
    }

    /// What an i1 value depends on, for a user at operation `i` that branches or selects right away.
    pub fn test(&mut self, val: Val, i: usize) -> Test {
        let k = val.index();
        if self.books.loc[k] == W::Not {
            let inst = self.block.insts[k];
            match inst.op {
                Op::Cond => return self.cond_test(k),
                Op::Not if self.an[k].lazy => return self.test(inst.args[0], i).inverse(),
                Op::Eq | Op::LtU | Op::LtS if self.an[k].lazy => return self.comparison(k, i),
                _ => {}
            }
        }
        let r = self.r(val);
        Test::Bit(r, 0, true)
    }

    /// A comparison of integers.
    pub fn comparison(&mut self, k: usize, i: usize) -> Test {
        let inst = self.block.insts[k];
        let (a, b) = (inst.args[0], inst.args[1]);
        let width = inst.ty.bits();
        let size = sz(inst.ty);
        let signed = inst.op == Op::LtS;
        let wide = matches!(inst.ty, Ty::I32 | Ty::I64);
        let cond = match inst.op {
            Op::Eq => Cond::Eq,
            Op::LtU => Cond::Cc,
            _ => Cond::Lt,
        };
        if inst.op == Op::Eq && self.constant(b) == Some(0) {
            let r = if wide { self.r(a) } else { self.extended(a, S0, width.max(1)) };
            return Test::Zero(size, r, true);
        }
        // Operands as wide as the comparison.
        let free = self.nzcv_free(i);
        if wide && free {
            self.sum(false, size, ZR, a, b);
            return Test::Flag(cond);
        }
        let (ra, rb);
        if wide && (inst.op == Op::Eq || size == Sz::X) {
            (ra, rb) = (self.rz(a), self.rz(b));
        } else {
            let ext = if signed { int::sbfx } else { int::ubfx };
            let (x, y) = (self.rz(a), self.rz(b));
            self.w(ext(Sz::X, S0, x, 0, width));
            self.w(ext(Sz::X, S1, y, 0, width));
            (ra, rb) = (S0, S1);
        }
        if free {
            self.w(int::arith(Arith::Subs, Sz::X, ZR, ra, rb, Shift::Lsl, 0));
            return Test::Flag(cond);
        }
        if inst.op == Op::Eq {
            self.w(int::arith(Arith::Sub, size, S0, ra, rb, Shift::Lsl, 0));
            return Test::Zero(size, S0, true);
        }
        if size == Sz::W {
            self.w(int::arith(Arith::Sub, Sz::X, S0, ra, rb, Shift::Lsl, 0));
            return Test::Bit(S0, 63, true);
        }
        // The borrow of a - b: (!a & b) | (!(a ^ b) & (a - b)); signed with the roles of the signs exchanged.
        let (x, y) = if signed { (rb, ra) } else { (ra, rb) };
        self.w(int::arith(Arith::Sub, Sz::X, S0, ra, rb, Shift::Lsl, 0));
        self.w(int::logic(Logic::Eon, Sz::X, S1, ra, rb, Shift::Lsl, 0));
        self.w(int::logic(Logic::And, Sz::X, S0, S0, S1, Shift::Lsl, 0));
        self.w(int::logic(Logic::Bic, Sz::X, S1, y, x, Shift::Lsl, 0));
        self.w(int::logic(Logic::Orr, Sz::X, S0, S0, S1, Shift::Lsl, 0));
        Test::Bit(S0, 63, true)
    }

    /// Branches to a label when the test holds.
    pub fn branch_on(&mut self, test: Test, label: Label) {
        match test {
            Test::Flag(c) => self.w_to(branch::b_cond(c), label, Field::Arm19),
            Test::Zero(size, r, yes) => self.w_to(branch::cbz(!yes, size, r), label, Field::Arm19),
            Test::Bit(r, bit, yes) if self.small => self.w_to(branch::tbz(yes, r, bit), label, Field::Arm14),
            Test::Bit(r, bit, yes) => {
                let over = self.buf.label();
                self.w_to(branch::tbz(!yes, r, bit), over, Field::Arm14);
                self.w_to(branch::B, label, Field::Arm26);
                self.buf.bind(over);
            }
        }
    }

    /// An i1 operation as a value.
    pub fn truth(&mut self, i: usize) {
        let test = match self.block.insts[i].op {
            Op::Cond => self.cond_test(i),
            _ => self.comparison(i, i),
        };
        let d = self.dest(i);
        self.test_value(test, d);
        self.result(i, d, 1);
    }

    /// `Sel`.
    pub fn select(&mut self, i: usize) {
        let inst = self.block.insts[i];
        let (c, a, b) = (inst.args[0], inst.args[1], inst.args[2]);
        if matches!(inst.result(), Ty::V128 | Ty::F80) {
            let (ra, rb) = (self.vr(a), self.vr(b));
            let test = self.test(c, i);
            let d = self.vdest(i);
            let over = self.buf.label();
            self.w(simd::mov(super::regs::VS0, ra));
            self.branch_on(test, over);
            self.w(simd::mov(super::regs::VS0, rb));
            self.buf.bind(over);
            self.w(simd::mov(d, super::regs::VS0));
            self.vresult(i, d);
            return;
        }
        let (ra, rb) = (self.rz(a), self.rz(b));
        let bits = self.bits_of(a).max(self.bits_of(b));
        let cond = self.block.insts[c.index()];
        let in_flags = cond.op == Op::Cond
            && self.books.loc[c.index()] == W::Not
            && self.books.loc[cond.args[0].index()] == W::Flags;
        let free = !in_flags && self.nzcv_free(i);
        let mut test = self.test(c, i);
        if !matches!(test, Test::Flag(_)) && free {
            let zero = Imm12::new(0);
            test = match test {
                Test::Zero(size, r, yes) => {
                    self.wo(zero.map(|imm| int::arith_imm(Arith::Subs, size, ZR, r, imm)));
                    Test::Flag(if yes { Cond::Eq } else { Cond::Ne })
                }
                Test::Bit(r, bit, yes) => {
                    self.wo(
                        LogicImm::new(Sz::X, 1 << bit).and_then(|imm| int::logic_imm(Logic::Ands, Sz::X, ZR, r, imm))
                    );
                    Test::Flag(if yes { Cond::Ne } else { Cond::Eq })
                }
                flag => flag,
            };
        }
        let size = sz(inst.ty);
        let d = self.dest(i);
        let by = match test {
            Test::Flag(_) => d,
            Test::Zero(_, r, _) | Test::Bit(r, _, _) => r,
        };
        // A bit as a number.
        let power = self.constant(a).filter(|c| c.is_power_of_two() && self.constant(b) == Some(0));
        let copy = |r: Reg| int::logic(Logic::Orr, size, d, ZR, r, Shift::Lsl, 0);
        match (test, power) {
            (Test::Flag(cond), _) => self.w(int::csel(Csel::Csel, size, d, ra, rb, cond)),
            (Test::Bit(r, bit, true), Some(c)) => {
                let to = c.trailing_zeros();
                if bit != 0 {
                    self.w(int::ubfx(Sz::X, S0, r, bit, 1));
                }
                self.w(int::ubfiz(Sz::X, d, if bit != 0 { S0 } else { r }, to, 1));
            }
            (other, _) => {
                let over = self.buf.label();
                let clean = |e: &Self, v: Val| size == Sz::X || e.bits_of(v) <= 32;
                let (keeps_a, keeps_b) = (d == ra && clean(self, a), d == rb && clean(self, b));
                if keeps_b {
                    self.branch_on(other.inverse(), over);
                    self.w(copy(ra));
                } else if keeps_a {
                    self.branch_on(other, over);
                    self.w(copy(rb));
                } else if d == by || d == ra || d == rb {
                    self.w(mov(S1, ra));
                    self.branch_on(other, over);
                    self.w(mov(S1, rb));
                    self.buf.bind(over);
                    self.w(copy(S1));
                    return self.result(i, d, if size == Sz::W { bits.min(32) } else { bits });
                } else {
                    self.w(copy(ra));
                    self.branch_on(other, over);
                    self.w(copy(rb));
                }
                self.buf.bind(over);
            }
        }
        let bits = if size == Sz::W { bits.min(32) } else { bits };
        self.result(i, d, bits);
    }

    /// Bits of a value's register that may be other than zero.
    pub fn bits_of(&self, val: Val) -> u8 {
        if let Some(c) = self.constant(val) {
            return 64 - c.leading_zeros() as u8;
        }
        match self.books.loc[val.index()] {
            W::Not => 64,
            _ => self.books.bits[val.index()],
        }
    }
}
