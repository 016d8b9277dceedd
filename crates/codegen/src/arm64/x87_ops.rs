//! x87 instructions on live state: the usual case in a few instructions, the less usual ones out of line, everything else by a helper.
//!
//! Arithmetic is exact: the 64-bit significands give a result of which the upper half is kept and the lower half decides on rounding. Doubling the lower
//! half has the carry say whether it is a half or more, and zero says that it was nothing or exactly a half, which is looked at out of line. Words of boxed
//! numbers ([`crate::x87`]) make differences and sums of exponents leave the range that is asked for anyway.
//!
//! S0, S1, S2 and temporaries of the operation are all that is written before the last instruction, which is the store of the result.

mod address;
mod arith;
mod cmov;
mod control;
mod root;

use self::address::{Late, Operand};
use super::analysis::IN_NZCV;
use super::regs::{FRAME, S0, S1, S2};
use super::x87::{C1, Group, What, live};
use super::{Cold, Emit};
use crate::frame::{FRAME_CONTROL, FRAME_STATUS, Frame, X87_INSN};
use crate::x87::{BOXED, BOXED_REST, BOXED_SIGN, EXPONENTS, From, Insn, Live};
use crate::{Loc, Place};
use core::mem::offset_of;
use demotic_asm::arm64::branch::{self, SysReg};
use demotic_asm::arm64::int::{self, Arith, Csel, Logic, One, Two};
use demotic_asm::arm64::mem::{self as memory, Access, Pair};
use demotic_asm::arm64::{Cond, Imm12, LogicImm, Number, Reg, Shift, Sz, ZR, x};
use demotic_asm::buffer::{Field, Label};
use demotic_ir::ops::{Op, X87Fn};
use demotic_ir::ty::Ty;

const X: Sz = Sz::X;
const SIGN: u64 = 1 << 63;
const ROUNDING: u64 = crate::x87::ROUNDING as u64;

/// An instruction to come, or a label to be bound.
#[derive(Clone, Copy, Debug)]
enum Word {
    W(u32),
    To(u32, Label, Field),
    Bind(Label),
}

/// Code that is put down here or out of line.
#[derive(Clone, Debug, Default)]
pub(super) struct Piece(Vec<Word>);

fn logic_imm(op: Logic, d: Reg, n: Reg, imm: u64) -> u32 {
    // The constants of this file are encodable; the tests decode what comes out.
    LogicImm::new(X, imm).and_then(|imm| int::logic_imm(op, X, d, n, imm)).unwrap_or(branch::brk(3))
}

fn arith_imm(op: Arith, d: Reg, n: Reg, imm: u64) -> u32 {
    Imm12::new(imm).map_or(branch::brk(4), |imm| int::arith_imm(op, X, d, n, imm))
}

impl Piece {
    fn at(label: Label) -> Piece {
        Piece(vec![Word::Bind(label)])
    }
    fn w(&mut self, word: u32) {
        self.0.push(Word::W(word));
    }
    fn bind(&mut self, label: Label) {
        self.0.push(Word::Bind(label));
    }
    fn b(&mut self, label: Label) {
        self.0.push(Word::To(branch::B, label, Field::Arm26));
    }
    fn b_if(&mut self, cond: Cond, label: Label) {
        self.0.push(Word::To(branch::b_cond(cond), label, Field::Arm19));
    }
    fn if_zero(&mut self, yes: bool, r: Reg, label: Label) {
        self.0.push(Word::To(branch::cbz(!yes, X, r), label, Field::Arm19));
    }
    fn if_bit(&mut self, set: bool, r: Reg, bit: u32, label: Label) {
        self.0.push(Word::To(branch::tbz(set, r, bit), label, Field::Arm14));
    }
    fn mov(&mut self, d: Reg, n: Reg) {
        if d != n {
            self.w(int::logic(Logic::Orr, X, d, ZR, n, Shift::Lsl, 0));
        }
    }
    fn mvn(&mut self, d: Reg, n: Reg) {
        self.w(int::logic(Logic::Orn, X, d, ZR, n, Shift::Lsl, 0));
    }
    fn add(&mut self, d: Reg, n: Reg, m: Reg) {
        self.w(int::arith(Arith::Add, X, d, n, m, Shift::Lsl, 0));
    }
    fn sub(&mut self, d: Reg, n: Reg, m: Reg) {
        self.w(int::arith(Arith::Sub, X, d, n, m, Shift::Lsl, 0));
    }
    fn neg(&mut self, d: Reg, n: Reg) {
        self.sub(d, ZR, n);
    }
    fn add_imm(&mut self, d: Reg, n: Reg, imm: u64) {
        self.w(arith_imm(Arith::Add, d, n, imm));
    }
    fn sub_imm(&mut self, d: Reg, n: Reg, imm: u64) {
        self.w(arith_imm(Arith::Sub, d, n, imm));
    }
    fn cmp(&mut self, n: Reg, m: Reg) {
        self.w(int::arith(Arith::Subs, X, ZR, n, m, Shift::Lsl, 0));
    }
    fn cmp_imm(&mut self, n: Reg, imm: u64) {
        self.w(arith_imm(Arith::Subs, ZR, n, imm));
    }
    fn and_imm(&mut self, d: Reg, n: Reg, imm: u64) {
        self.w(logic_imm(Logic::And, d, n, imm));
    }
    fn orr_imm(&mut self, d: Reg, n: Reg, imm: u64) {
        self.w(logic_imm(Logic::Orr, d, n, imm));
    }
    fn eor_imm(&mut self, d: Reg, n: Reg, imm: u64) {
        self.w(logic_imm(Logic::Eor, d, n, imm));
    }
    fn logic(&mut self, op: Logic, d: Reg, n: Reg, m: Reg) {
        self.w(int::logic(op, X, d, n, m, Shift::Lsl, 0));
    }
    fn lsl(&mut self, d: Reg, n: Reg, by: u32) {
        self.w(int::lsl_imm(X, d, n, by));
    }
    fn lsr(&mut self, d: Reg, n: Reg, by: u32) {
        self.w(int::lsr_imm(X, d, n, by));
    }
    fn shift(&mut self, op: Two, d: Reg, n: Reg, m: Reg) {
        self.w(int::two(op, X, d, n, m));
    }
    /// Shifts `n` right by `by` (0 to 63, not changed): the rest goes to `d`, what falls off to `low`. `by` is destroyed; `low` may be anything but `n`.
    fn split(&mut self, d: Reg, low: Reg, n: Reg, by: Reg) {
        self.lsl(low, n, 1);
        self.shift(Two::Lsrv, d, n, by);
        self.mvn(by, by);
        self.shift(Two::Lslv, low, low, by);
    }
    /// Rounds `h` with `low` below it to `m`, which is another register, and goes on out of line when that was exact or exactly between two.
    fn round(&mut self, m: Reg, h: Reg, low: Reg, fix: Label) {
        self.w(int::arith(Arith::Adds, X, ZR, low, low, Shift::Lsl, 0));
        self.w(int::carry(Arith::Add, X, m, h, ZR));
        self.b_if(Cond::Eq, fix);
    }
    /// Rounds `h` with `low` below it to fewer bits than 64, to `m`, which is another register; what was there before rounding stays in `h`, and whether something
    /// fell off goes to `inexact`. Ends with the top bit clear when there was a carry out of it. `t` is destroyed.
    fn round_to(&mut self, bits: u32, m: Reg, h: Reg, low: Reg, t: Reg, inexact: Reg) {
        let below = u64::MAX >> bits;
        // That there is something further below is enough to know.
        self.cmp_imm(low, 0);
        self.w(int::cset(t, Cond::Ne));
        self.logic(Logic::Orr, h, h, t);
        self.and_imm(t, h, below);
        self.logic(Logic::Orr, inexact, inexact, t);
        // Half a unit, or a little less where that leads from a tie to an even number.
        self.w(int::ubfx(X, t, h, 64 - bits, 1));
        self.orr_imm(m, ZR, below >> 1);
        self.add(t, t, m);
        self.add(m, h, t);
        self.and_imm(m, m, !below);
        self.and_imm(h, h, !below);
    }
    /// What stands out of line for that.
    fn fix(m: Reg, low: Reg, fix: Label, back: Label) -> Piece {
        let mut p = Piece::at(fix);
        p.if_zero(true, low, back);
        p.and_imm(m, m, !1);
        p.b(back);
        p
    }
    /// Goes to `label` unless it is zero; destroys `t`.
    fn unless_zero(&mut self, m: Reg, s: Reg, t: Reg, label: Label) {
        self.and_imm(t, s, BOXED_REST);
        self.logic(Logic::Orr, t, t, m);
        self.if_zero(false, t, label);
    }
    /// Makes the word of a zero of a bit 0 for the sign.
    fn zero_word(&mut self, s: Reg) {
        self.lsl(s, s, BOXED_SIGN);
        self.orr_imm(s, s, 1 << BOXED);
    }
}

/// A whole instruction by the helper, out of line.
#[derive(Debug)]
pub(super) struct Slow {
    label: Label,
    join: Label,
    before: Option<Place>,
    stored: Option<Place>,
    after: Option<Place>,
    code: (u8, u8),
    change: u64,
    load: Option<Operand>,
    late: Option<Late>,
    store: Option<Operand>,
    reload: Vec<(i8, Reg, Reg)>,
    base: Reg,
    c1: Option<(Reg, i8)>,
    fl: Option<Reg>,
}

/// Where NZCV is while an instruction's code destroys it.
#[derive(Clone, Copy, Debug)]
enum Kept {
    In(Reg),
    /// At this offset of the frame.
    Spilled(usize),
}

/// What the code of an instruction needs to know until it is finished.
struct Work {
    g: Group,
    insn: Insn,
    slow: Label,
    join: Label,
    /// Where the flags are meanwhile.
    flags: Option<Kept>,
    change: u64,
    load: Option<Operand>,
    late: Option<Late>,
    store: Option<Operand>,
    pieces: Vec<Piece>,
    before: Option<Place>,
    stored: Option<Place>,
}

impl Emit<'_> {
    fn put(&mut self, piece: &Piece) {
        for &word in &piece.0 {
            match word {
                Word::W(w) => self.w(w),
                Word::To(w, label, field) => self.w_to(w, label, field),
                Word::Bind(label) => self.buf.bind(label),
            }
        }
    }

    pub(super) fn x87_piece(&mut self, piece: Piece) {
        self.put(&piece);
    }

    /// Puts the code of the block's x87 instructions down that stands out of line: branches of 14 bits lead there.
    pub(super) fn x87_cold(&mut self) {
        let fixed = self.fixed_place.take();
        for (cold, place) in core::mem::take(&mut self.x87_pieces) {
            self.fixed_place = place;
            match cold {
                Cold::X87Piece(piece) => self.x87_piece(piece),
                Cold::X87Slow(slow) => self.x87_slow(*slow),
                _ => {}
            }
        }
        self.fixed_place = fixed;
    }

    pub(super) fn x87_slow(&mut self, slow: Slow) {
        self.buf.bind(slow.label);
        let (op, code) = slow.code;
        let what = X87_INSN | u64::from(op) << 8 | u64::from(code);
        self.fixed_place.clone_from(&slow.before);
        if let Some(late) = slow.late {
            self.x87_late(late);
        }
        if let Some(Operand { base, off, ty }) = slow.load {
            // Read once more: the first time had no consequences.
            let access = match ty {
                Ty::I16 => Access::Ldrh,
                Ty::I32 => Access::LdrW,
                _ => Access::LdrX,
            };
            let at = super::helper::args_offset(0);
            self.wo(memory::offset(access, S0, base, off));
            self.frame_access(Access::StrX, S0, at);
            if ty == Ty::F80 {
                self.wo(memory::offset(Access::Ldrh, S0, base, off + 8));
                self.frame_access(Access::StrX, S0, at + 8);
            }
        }
        if let Some(Operand { base, off, ty }) = slow.store {
            self.call_helper(what | 0x40, slow.change);
            self.frame_access(Access::LdrX, S0, offset_of!(Frame, result));
            if self.tso() {
                self.w(branch::DMB_ISH);
            }
            self.wo(memory::offset(store_access(ty), S0, base, off));
            self.fixed_place.clone_from(&slow.stored);
            self.call_helper(what | 0x20, slow.change);
        } else {
            self.call_helper(what, slow.change);
        }
        self.fixed_place = slow.after;
        if let Some(d) = slow.fl {
            let loaded = self.fixed_place.clone();
            for (_, loc) in self.fixed_place.iter_mut().flat_map(|p| &mut p.values) {
                if *loc == Loc::Gpr(d.n() as u8) {
                    *loc = Loc::Result;
                }
            }
            self.frame_access(Access::LdrX, d, offset_of!(Frame, result));
            self.fixed_place = loaded;
        }
        let pair =
            |slot: i8, m, s| memory::pair(true, Pair::X, m, s, slow.base, 16 * i64::from(slot), memory::Mode::Offset);
        for (slot, m, s) in slow.reload {
            self.wo(pair(slot, m, s));
        }
        if let Some((h, slot)) = slow.c1 {
            self.frame_access(Access::LdrX, S0, live(offset_of!(Live, c1)));
            self.wo(memory::offset(Access::LdrX, S1, slow.base, 16 * i64::from(slot)));
            self.w(int::logic(Logic::Eor, X, h, S0, S1, Shift::Lsl, 0));
        }
        self.w_to(branch::B, slow.join, Field::Arm26);
    }

    /// Begins an instruction; `flags`: its code destroys NZCV.
    fn x87_begin(&mut self, g: Group, insn: Insn, flags: bool) -> Work {
        // Where memory can fault, the flags of before are shown.
        let needed = |e: &Self| e.books.in_flags.iter().any(|&v| e.an[usize::from(v)].end() >= g.first);
        let shown = g.addr.is_some() && (self.flags_home[g.first] & IN_NZCV != 0 || needed(self));
        let flags = if flags && (shown || !self.nzcv_free(g.end)) {
            let kept = if self.tight {
                let (s, offset) = self.spare_spill();
                self.w(branch::mrs(S0, SysReg::Nzcv));
                self.frame_access(Access::StrX, S0, offset);
                self.saved_flags = Some(Loc::Spill(s));
                Kept::Spilled(offset)
            } else {
                let t = self.scratch();
                self.w(branch::mrs(t, SysReg::Nzcv));
                self.saved_flags = Some(Loc::Gpr(t.n() as u8));
                Kept::In(t)
            };
            Some(kept)
        } else {
            None
        };
        Work {
            g,
            insn,
            slow: self.buf.label(),
            join: self.buf.label(),
            flags,
            change: self.x87_change(),
            load: None,
            late: None,
            store: None,
            pieces: Vec::new(),
            before: None,
            stored: None,
        }
    }

    /// All registers are taken: from here on code out of line comes back to this state.
    fn x87_taken(&mut self, work: &mut Work) {
        work.before = self.stop.is_some().then(|| self.here());
    }

    /// The last instruction of the usual way has been put down. `c1`: what is known of it now. `results`: registers and the temporaries that hold them;
    /// `changed`: others whose temporaries hold them no more.
    fn x87_finish(&mut self, work: Work, c1: C1, results: &[(i8, Reg, Reg)], changed: &[i8], fl: Option<Reg>) {
        let end = work.g.end;
        self.x87_step(work.insn);
        changed.iter().for_each(|&slot| self.x87_forget(slot));
        results.iter().for_each(|&(slot, m, s)| self.x87_remember(slot, m, s));
        self.x87_set_c1(c1);
        if let (Some(k), Some(d)) = (work.g.fl, fl) {
            self.result(k, d, 32);
        }
        let after = self.stop.is_some().then(|| self.x87_place_after(end));
        self.index = end + 1;
        if let Some(s) = &mut self.x87 {
            s.pending = None;
        }
        let slow = Slow {
            label: work.slow,
            join: work.join,
            before: work.before.clone(),
            stored: work.stored,
            after,
            code: work.g.code,
            change: work.change,
            load: work.load,
            late: work.late,
            store: work.store,
            reload: self.x87_all_cached(),
            base: self.x87_base(),
            c1: match c1 {
                C1::Rounded(h, slot) => Some((x(h), slot)),
                _ => None,
            },
            fl,
        };
        for piece in work.pieces {
            self.x87_pieces.push((Cold::X87Piece(piece), work.before.clone()));
        }
        self.x87_pieces.push((Cold::X87Slow(Box::new(slow)), None));
        self.buf.bind(work.join);
        if let Some(kept) = work.flags {
            let t = match kept {
                Kept::In(t) => t,
                Kept::Spilled(offset) => {
                    self.frame_access(Access::LdrX, S0, offset);
                    S0
                }
            };
            self.w(branch::msr(SysReg::Nzcv, t));
            self.saved_flags = None;
        }
        // Branches of 14 bits reach 32 KiB.
        if self.x87_pieces.len() > 120 {
            self.x87_cold_between();
        }
    }

    /// Puts it down where code runs on.
    pub(super) fn x87_cold_between(&mut self) {
        if self.x87.is_none() {
            // Behind the terminal: the next block has begun.
            self.fixed_place = self.next.map(|block| Place { block, index: 0, values: Vec::new() });
        }
        let over = self.buf.label();
        self.w_to(branch::B, over, Field::Arm26);
        self.x87_cold();
        self.buf.bind(over);
        self.fixed_place = None;
    }

    /// Loads an operand from memory into `m` and `s`, neither of which is S1. `t` is destroyed. What is neither zero nor usual goes the slow way.
    fn x87_convert(&mut self, work: &mut Work, at: Operand, integer: bool, m: Reg, s: Reg, t: Reg) {
        let Operand { base, off, ty } = at;
        let (special, back) = (self.buf.label(), self.buf.label());
        let mut p = Piece::default();
        let mut out = Piece::at(special);
        let ld = |p: &mut Piece, access, r: Reg, off| {
            p.w(memory::offset(access, r, base, off).unwrap_or(branch::brk(5)));
        };
        if integer {
            ld(&mut p, [Access::LdrshX, Access::Ldrsw, Access::LdrX][ty as usize - Ty::I16 as usize], S1, off);
            if self.tso() {
                p.w(branch::DMB_ISHLD);
            }
            p.if_zero(true, S1, special);
            p.w(int::asr_imm(X, s, S1, 63));
            p.logic(Logic::Eor, m, S1, s);
            p.sub(m, m, s);
            p.w(int::one(One::Clz, X, t, m));
            p.shift(Two::Lslv, m, m, t);
            p.and_imm(s, s, SIGN);
            p.w(int::movz(X, S1, INTEGER as u16, 0));
            p.sub(S1, S1, t);
            p.logic(Logic::Orr, s, s, S1);
            out.mov(m, ZR);
            out.w(int::movz(X, s, 1 << (BOXED - 32), 2));
            out.b(back);
        } else if ty == Ty::F80 {
            ld(&mut p, Access::LdrX, m, off);
            ld(&mut p, Access::LdrshX, s, off + 8);
            if self.tso() {
                p.w(branch::DMB_ISHLD);
            }
            p.and_imm(s, s, SIGN | 0x7fff);
            p.sub_imm(s, s, crate::x87::BIAS);
            p.and_imm(S1, s, EXPONENTS);
            p.if_zero(false, S1, special);
            p.if_bit(false, m, 63, special);
            // Any other pattern is boxed.
            out.add_imm(s, s, crate::x87::BIAS);
            out.lsr(S1, s, 63);
            out.and_imm(s, s, 0x7fff);
            out.w(int::bfi(X, s, m, 15, 2));
            out.w(int::bfi(X, s, S1, BOXED_SIGN, 1));
            out.orr_imm(s, s, 1 << BOXED);
            out.lsr(m, m, 2);
            out.b(back);
        } else {
            let double = ty == Ty::I64;
            ld(&mut p, if double { Access::LdrX } else { Access::LdrW }, S1, off);
            if self.tso() {
                p.w(branch::DMB_ISHLD);
            }
            let (frac, width, bias) = if double { (52, 11, 1023) } else { (23, 8, 127) };
            p.lsl(m, S1, 63 - frac);
            p.orr_imm(m, m, SIGN);
            p.w(int::ubfx(X, s, S1, frac, width));
            p.add_imm(t, s, 1);
            p.and_imm(t, t, (1 << width) - 2);
            p.if_zero(true, t, special);
            p.add_imm(s, s, 16383 - bias - crate::x87::BIAS);
            p.lsr(S1, S1, frac + width);
            p.w(int::logic(Logic::Orr, X, s, s, S1, Shift::Lsl, 63));
            // Zero, or something that raises an exception or is not to be arithmetic's.
            out.w(int::lsl_imm(if double { X } else { Sz::W }, t, S1, 1));
            out.if_zero(false, t, work.slow);
            out.lsr(s, S1, frac + width);
            out.zero_word(s);
            out.mov(m, ZR);
            out.b(back);
        }
        p.bind(back);
        self.put(&p);
        work.pieces.push(out);
    }

    pub(super) fn x87_group(&mut self, g: Group) {
        let insn = match g.what {
            What::Insn(insn) => insn,
            What::StatusToAx => return self.x87_status(g),
            What::Cmov { from, cond, turned } => return self.x87_cmov(g, from, cond, turned),
        };
        match insn {
            Insn::Wait => self.x87_step(insn),
            Insn::Load(From::St(i)) => {
                let work = self.x87_begin(g, insn, false);
                let from = self.x87_slot(i);
                let (m, s) = self.x87_operand(from);
                let to = self.x87_slot(0) - 1;
                self.x87_store(to, m, s);
                self.x87_forget(from);
                self.x87_finish(work, C1::Zero, &[(to, m, s)], &[], None);
            }
            Insn::Load(from) => {
                let mut work = self.x87_begin(g, insn, false);
                let (ty, integer) = match from {
                    From::Real(ty) => (ty, false),
                    From::Int(ty) => (ty, true),
                    From::St(_) => return,
                };
                let at = self.x87_address(g, ty);
                let (m, s) = (self.scratch(), self.scratch());
                work.load = Some(at);
                self.x87_taken(&mut work);
                self.x87_convert(&mut work, at, integer, m, s, S2);
                let to = self.x87_slot(0) - 1;
                self.x87_store(to, m, s);
                self.x87_finish(work, C1::Zero, &[(to, m, s)], &[], None);
            }
            Insn::Store { ty: Ty::F80, .. } => self.x87_store_whole(g, insn),
            Insn::Store { ty, .. } => self.x87_store_real(g, insn, ty),
            Insn::StoreInt { ty, truncates, .. } => self.x87_store_int(g, insn, ty, truncates),
            Insn::StoreSt { to, pops } => {
                let work = self.x87_begin(g, insn, false);
                let (from, to) = (self.x87_slot(0), self.x87_slot(to));
                let (m, s) = self.x87_operand(from);
                self.x87_store(to, m, s);
                self.x87_forget(from);
                let keep = if pops || from == to { to } else { from };
                let changed = if keep == to { [from] } else { [to] };
                self.x87_finish(work, C1::Zero, &[(keep, m, s)], &changed[..usize::from(from != to)], None);
            }
            Insn::Arith { op, reversed, to, from, pops } => {
                self.x87_arith(g, insn, op, reversed, to, from, pops);
            }
            Insn::Compare { with, flags, pops, .. } => self.x87_compare(g, insn, Some(with), flags, pops),
            Insn::Exchange(i) => self.x87_exchange(g, insn, i),
            Insn::Function(f) => self.x87_function(g, insn, f),
            Insn::LoadControl => self.x87_control(g, insn),
        }
    }

    /// The other operand in temporaries, when it is there and there is room for it.
    fn x87_other(&mut self, work: &Work, i: u8, crowded: bool) -> Option<(Reg, Reg)> {
        let slot = self.x87_slot(i);
        if work.flags.is_some() || crowded {
            self.x87_evict(slot);
            return None;
        }
        self.x87_cached(slot)
    }

    /// The store of a register, last instruction of what computes it.
    fn x87_store(&mut self, slot: i8, m: Reg, s: Reg) {
        let word = self.x87_pair(false, m, s, slot);
        self.w(word);
    }

    /// An instruction that has only the slow way. It writes ST(0), or the destination of arithmetic.
    fn x87_by_helper(&mut self, g: Group, insn: Insn) {
        let mut work = self.x87_begin(g, insn, false);
        let mut changed = vec![self.x87_slot(0)];
        if let Insn::Arith { to, from, .. } = insn {
            changed.push(self.x87_slot(to));
            work.load = match from {
                From::St(_) => None,
                From::Real(ty) | From::Int(ty) => Some(self.x87_address(g, ty)),
            };
        }
        self.x87_taken(&mut work);
        self.w_to(branch::B, work.slow, Field::Arm26);
        self.x87_finish(work, C1::Memory, &[], &changed, None);
    }

    /// fstp m80.
    fn x87_store_whole(&mut self, g: Group, insn: Insn) {
        let mut work = self.x87_begin(g, insn, false);
        let at = self.x87_address(g, Ty::F80);
        let top = self.x87_slot(0);
        let (m, s) = self.x87_operand(top);
        self.x87_taken(&mut work);
        let (boxed, stored) = (self.buf.label(), self.buf.label());
        // A page that is missing or not to be written keeps all of it from being stored: the interpreter takes care of two pages.
        let two_pages = self.buf.label();
        let give_up = self.deopt();
        let mut out = Piece::at(two_pages);
        out.b(give_up);
        work.pieces.push(out);
        let mut p = Piece::default();
        let mut low = at.base;
        if at.off != 0 {
            self.add_const(X, S2, at.base, at.off as u64);
            low = S2;
        }
        p.and_imm(S2, low, 0xfff);
        p.sub_imm(S2, S2, 0xff7);
        p.if_bit(false, S2, 63, two_pages);
        p.add_imm(S0, s, crate::x87::BIAS);
        p.lsr(S1, s, 63);
        p.w(int::bfi(X, S0, S1, 15, 1));
        p.if_bit(true, s, BOXED, boxed);
        let barrier = self.tso();
        let stores = |p: &mut Piece, m: Reg| {
            if barrier {
                p.w(branch::DMB_ISH);
            }
            p.w(memory::offset(Access::Strh, S0, at.base, at.off + 8).unwrap_or(branch::brk(7)));
            p.w(memory::offset(Access::StrX, m, at.base, at.off).unwrap_or(branch::brk(7)));
        };
        stores(&mut p, m);
        self.put(&p);
        let mut out = Piece::at(boxed);
        out.and_imm(S0, s, 0x7fff);
        out.w(int::ubfx(X, S1, s, BOXED_SIGN, 1));
        out.w(int::bfi(X, S0, S1, 15, 1));
        out.w(int::ubfx(X, S1, s, 15, 2));
        out.w(int::logic(Logic::Orr, X, S1, S1, m, Shift::Lsl, 2));
        stores(&mut out, S1);
        out.b(stored);
        work.pieces.push(out);
        self.buf.bind(stored);
        self.x87_finish(work, C1::Zero, &[], &[top], None);
    }

    /// Behind the store of a converted number: S1 and S0 before and after rounding, S2 what fell off.
    fn x87_converted(&mut self, mut work: Work, at: Operand, image: Reg, top: i8, pops: bool) {
        if self.tso() {
            self.w(branch::DMB_ISH);
        }
        self.wo(memory::offset(store_access(at.ty), image, at.base, at.off));
        // What is left to be done sets C1 and the precision flag, and pops.
        let st = (work.g.first..=work.g.end).find(|&k| self.block.insts[k].op == Op::StUnless).unwrap_or(work.g.end);
        if let Some(s) = &mut self.x87 {
            s.pending = Some(st + 1);
        }
        if self.stop.is_some() {
            work.stored = Some(self.here());
        }
        let inexact = self.x87_inexact();
        self.w(int::logic(Logic::Orr, X, inexact, inexact, S2, Shift::Lsl, 0));
        let c1 = live(offset_of!(Live, c1)) as i64;
        self.wo(memory::pair(false, Pair::X, S1, S0, FRAME, c1, memory::Mode::Offset));
        let popped = [top];
        self.x87_finish(work, C1::Memory, &[], &popped[..usize::from(pops)], None);
    }

    /// fst m32, m64.
    fn x87_store_real(&mut self, g: Group, insn: Insn, ty: Ty) {
        let mut work = self.x87_begin(g, insn, true);
        let at = self.x87_address(g, ty);
        work.store = Some(at);
        let top = self.x87_slot(0);
        let (m, s) = self.x87_operand(top);
        let t = self.scratch();
        self.x87_taken(&mut work);
        let [special, fix, back, store] = [(); 4].map(|()| self.buf.label());
        let (frac, bias, exponents, sign) = if ty == Ty::I64 { (52, 1023, 0x7fc, 63) } else { (23, 127, 0xfc, 31) };
        let mut p = Piece::default();
        // The exponent less one: the significand's top bit adds it.
        p.and_imm(S0, s, !SIGN);
        p.sub_imm(S0, S0, 16383 - bias - crate::x87::BIAS + 1);
        p.cmp_imm(S0, exponents);
        p.b_if(Cond::Hi, special);
        p.lsr(S1, m, 63 - frac);
        p.lsl(S2, m, frac + 1);
        p.w(int::arith(Arith::Add, X, S1, S1, S0, Shift::Lsl, frac));
        p.round(S0, S1, S2, fix);
        p.bind(back);
        p.lsr(t, s, 63);
        p.w(int::logic(Logic::Orr, X, t, S0, t, Shift::Lsl, sign));
        p.bind(store);
        self.put(&p);
        work.pieces.push(Piece::fix(S0, S2, fix, back));
        let mut out = Piece::at(special);
        out.unless_zero(m, s, S0, work.slow);
        out.w(int::ubfx(X, t, s, BOXED_SIGN, 1));
        out.lsl(t, t, sign);
        [S0, S1, S2].into_iter().for_each(|r| out.mov(r, ZR));
        out.b(store);
        work.pieces.push(out);
        let pops = matches!(insn, Insn::Store { pops: true, .. });
        self.x87_converted(work, at, t, top, pops);
    }

    /// fist, fistp, fisttp.
    fn x87_store_int(&mut self, g: Group, insn: Insn, ty: Ty, truncates: bool) {
        let mut work = self.x87_begin(g, insn, true);
        let at = self.x87_address(g, ty);
        work.store = Some(at);
        let top = self.x87_slot(0);
        let (m, s) = self.x87_operand(top);
        let t = self.scratch();
        self.x87_taken(&mut work);
        let [special, fix, back, zero] = [(); 4].map(|()| self.buf.label());
        let bits = ty.bits();
        let least = u64::from(65 - bits);
        let mut p = Piece::default();
        // How far the significand has to be shifted right.
        p.and_imm(S0, s, !SIGN);
        p.w(int::movz(X, S1, INTEGER as u16, 0));
        p.sub(S1, S1, S0);
        p.sub_imm(S2, S1, least);
        p.cmp_imm(S2, 63 - least);
        p.b_if(Cond::Hi, special);
        p.neg(S2, S1);
        p.shift(Two::Lslv, S2, m, S2);
        p.shift(Two::Lsrv, S1, m, S1);
        let any = self.x87_any_rounding() && !truncates;
        if truncates {
            p.mov(S0, S1);
        } else {
            let truncated = self.buf.label();
            if any {
                self.x87_directed(&mut work, &mut p, s, t, back, truncated);
            }
            p.round(S0, S1, S2, fix);
            p.bind(back);
            // The least integer, or one too many.
            p.if_bit(true, S0, bits - 1, work.slow);
            p.bind(truncated);
            work.pieces.push(Piece::fix(S0, S2, fix, back));
        }
        p.cmp_imm(s, 0);
        p.w(int::csel(Csel::Csneg, X, t, S0, S0, Cond::Ge));
        p.bind(zero);
        self.put(&p);
        let mut out = Piece::at(special);
        let boxed = self.buf.label();
        out.if_bit(true, s, BOXED, boxed);
        // Less than a half gives 0; less than one, truncated.
        out.cmp_imm(S1, if truncates || any { 64 } else { 65 });
        out.b_if(Cond::Lt, work.slow);
        if any {
            // Two ones are truncation.
            out.w(memory::offset(Access::Ldrh, S0, FRAME, FRAME_CONTROL as i64).unwrap_or(branch::brk(10)));
            out.mvn(S0, S0);
            out.and_imm(S0, S0, ROUNDING);
            out.if_zero(false, S0, work.slow);
        }
        out.mov(S2, m);
        let clear = self.buf.label();
        out.b(clear);
        out.bind(boxed);
        out.unless_zero(m, s, S0, work.slow);
        out.mov(S2, ZR);
        out.bind(clear);
        [S0, S1, t].into_iter().for_each(|r| out.mov(r, ZR));
        out.b(zero);
        work.pieces.push(out);
        let pops = matches!(insn, Insn::StoreInt { pops: true, .. });
        self.x87_converted(work, at, t, top, pops);
    }

    /// Comparison of ST(0) with an operand, or with zero.
    fn x87_compare(&mut self, g: Group, insn: Insn, with: Option<From>, flags: bool, pops: u8) {
        if flags {
            // Stays as it is.
            self.x87_write_c1();
        }
        let mut work = self.x87_begin(g, insn, true);
        let top = self.x87_slot(0);
        let memory = match with {
            Some(From::Real(ty)) => Some((self.x87_address(g, ty), false)),
            Some(From::Int(ty)) => Some((self.x87_address(g, ty), true)),
            _ => None,
        };
        work.load = memory.map(|m| m.0);
        let (ma, sa) = self.x87_operand(top);
        let other = match with {
            Some(From::St(i)) => self.x87_other(&work, i, self.tight),
            _ => None,
        };
        let d = self.scratch();
        self.x87_taken(&mut work);
        let [special, equal, signs, a_zero, both, done] = [(); 6].map(|()| self.buf.label());
        let slow = work.slow;
        let mut p = Piece::default();
        let mut out = Piece::at(special);
        match with {
            None => {
                p.if_bit(true, sa, BOXED, special);
                p.lsr(d, sa, 63);
                out.unless_zero(ma, sa, S1, slow);
                out.w(int::movz(X, d, 0x40, 0));
                out.b(done);
            }
            Some(with) => {
                let (mb, sb) = match (memory, other, with) {
                    (Some((at, integer)), ..) => {
                        self.x87_convert(&mut work, at, integer, S2, S0, d);
                        (S2, S0)
                    }
                    (_, Some(regs), _) => regs,
                    (_, _, From::St(i)) => {
                        let slot = self.x87_slot(i);
                        let word = self.x87_pair(true, S2, S0, slot);
                        self.w(word);
                        (S2, S0)
                    }
                    _ => (S2, S0),
                };
                p.logic(Logic::Orr, S1, sa, sb);
                p.if_bit(true, S1, BOXED, special);
                p.logic(Logic::Eor, S1, sa, sb);
                p.if_bit(true, S1, 63, signs);
                p.cmp(sa, sb);
                p.w(int::ccmp(false, X, ma, mb, 0, Cond::Eq));
                p.b_if(Cond::Eq, equal);
                // Words and significands as one number.
                p.cmp(ma, mb);
                p.w(int::carry(Arith::Subs, X, ZR, sa, sb));
                p.w(int::cset(d, Cond::Cc));
                p.w(int::logic(Logic::Eor, X, d, d, sa, Shift::Lsr, 63));
                // Zeros.
                out.unless_zero(ma, sa, S1, a_zero);
                out.if_bit(true, sb, BOXED, both);
                out.lsr(d, sb, 63);
                out.eor_imm(d, d, 1);
                out.b(done);
                out.bind(both);
                out.unless_zero(mb, sb, S1, slow);
                out.bind(equal);
                out.w(int::movz(X, d, 0x40, 0));
                out.b(done);
                out.bind(a_zero);
                out.unless_zero(mb, sb, S1, slow);
                out.if_bit(true, sa, BOXED, slow);
                out.bind(signs);
                out.lsr(d, sa, 63);
                out.b(done);
            }
        }
        p.bind(done);
        self.put(&p);
        work.pieces.push(out);
        let popped = [top, top + 1];
        let popped = &popped[..usize::from(pops)];
        if flags {
            return self.x87_finish(work, C1::Memory, &[], popped, Some(d));
        }
        // CF, PF and ZF are bits 0, 2 and 6; C0, C2 and C3 eight higher. C1 between the first two is 0.
        self.frame_access(Access::Ldrh, S0, FRAME_STATUS);
        self.w(int::bfi(Sz::W, S0, d, 8, 3));
        self.w(int::lsr_imm(Sz::W, S1, d, 6));
        self.w(int::bfi(Sz::W, S0, S1, 14, 1));
        self.frame_access(Access::Strh, S0, FRAME_STATUS);
        self.x87_finish(work, C1::Zero, &[], popped, None);
    }

    fn x87_exchange(&mut self, g: Group, insn: Insn, i: u8) {
        let work = self.x87_begin(g, insn, false);
        let (top, other) = (self.x87_slot(0), self.x87_slot(i));
        if i == 0 {
            return self.x87_finish(work, C1::Zero, &[], &[], None);
        }
        let (m, s) = self.x87_operand(top);
        let (mi, si) = self.x87_operand(other);
        self.x87_store(top, mi, si);
        if let Some(x) = &mut self.x87 {
            x.held = Some((top, m, s));
        }
        self.x87_store(other, m, s);
        if let Some(x) = &mut self.x87 {
            x.held = None;
        }
        self.x87_forget(top);
        self.x87_forget(other);
        self.x87_finish(work, C1::Zero, &[(top, mi, si), (other, m, s)], &[], None);
    }

    fn x87_function(&mut self, g: Group, insn: Insn, f: X87Fn) {
        let constant = |m: u64, e: u64| Some((m, 0x3fff + e - crate::x87::BIAS));
        // Rounded to nearest.
        let number = match f {
            X87Fn::Fld1 => constant(1 << 63, 0),
            X87Fn::Fldl2t => constant(0xd49a_784b_cd1b_8afe, 1),
            X87Fn::Fldl2e => constant(0xb8aa_3b29_5c17_f0bc, 0),
            X87Fn::Fldpi => constant(0xc90f_daa2_2168_c235, 1),
            X87Fn::Fldlg2 => Some((0x9a20_9a84_fbcf_f799, 0x3ffd - crate::x87::BIAS)),
            X87Fn::Fldln2 => Some((0xb172_17f7_d1cf_79ac, 0x3ffe - crate::x87::BIAS)),
            X87Fn::Fldz => Some((0, 1 << BOXED)),
            _ => None,
        };
        if let Some((m, s)) = number {
            let work = self.x87_begin(g, insn, false);
            let (tm, ts) = (self.scratch(), self.scratch());
            self.mov_imm(X, tm, m);
            self.mov_imm(X, ts, s);
            let to = self.x87_slot(0) - 1;
            self.x87_store(to, tm, ts);
            return self.x87_finish(work, C1::Zero, &[(to, tm, ts)], &[], None);
        }
        match f {
            X87Fn::Fchs | X87Fn::Fabs => {
                let mut work = self.x87_begin(g, insn, false);
                let top = self.x87_slot(0);
                let (m, s) = self.x87_own(top);
                self.x87_taken(&mut work);
                let (boxed, back) = (self.buf.label(), self.buf.label());
                let change = |p: &mut Piece, sign: u64| match f {
                    X87Fn::Fchs => p.eor_imm(s, s, sign),
                    _ => p.and_imm(s, s, !sign),
                };
                let mut p = Piece::default();
                p.if_bit(true, s, BOXED, boxed);
                change(&mut p, SIGN);
                p.bind(back);
                self.put(&p);
                let mut out = Piece::at(boxed);
                change(&mut out, 1 << BOXED_SIGN);
                out.b(back);
                work.pieces.push(out);
                self.x87_store(top, m, s);
                self.x87_finish(work, C1::Zero, &[(top, m, s)], &[], None);
            }
            X87Fn::Ftst => self.x87_compare(g, insn, None, false, 0),
            X87Fn::Frndint => self.x87_round_to_int(g, insn),
            X87Fn::Fsqrt => self.x87_root(g, insn),
            _ => self.x87_by_helper(g, insn),
        }
    }

    /// fnstsw ax.
    fn x87_status(&mut self, g: Group) {
        self.x87_write_c1();
        let top = self.x87_slot(0);
        let (base, inexact) = (self.x87_base(), self.x87_inexact());
        let t = self.scratch();
        self.evacuate(0, g.end);
        let c1 = live(offset_of!(Live, c1)) as i64;
        let mut p = Piece::default();
        // Whether a word is not zero, without flags.
        let some = |p: &mut Piece, d: Reg, n: Reg| {
            p.neg(S2, n);
            p.logic(Logic::Orr, d, S2, n);
            p.lsr(d, d, 63);
        };
        p.w(memory::pair(true, Pair::X, S0, S1, FRAME, c1, memory::Mode::Offset).unwrap_or(branch::brk(8)));
        p.logic(Logic::Eor, S0, S0, S1);
        some(&mut p, S0, S0);
        self.put(&p);
        self.frame_access(Access::Ldrh, t, FRAME_STATUS);
        let mut p = Piece::default();
        p.w(int::bfi(Sz::W, t, S0, 9, 1));
        some(&mut p, S0, inexact);
        p.w(int::logic(Logic::Orr, Sz::W, t, t, S0, Shift::Lsl, 5));
        self.put(&p);
        self.add_const(X, S0, FRAME, live(offset_of!(Live, regs)) as u64);
        let mut p = Piece::default();
        p.sub(S0, base, S0);
        p.lsr(S0, S0, 4);
        if top != 0 {
            p.add_imm(S0, S0, u64::from(top.rem_euclid(8) as u8));
        }
        p.w(int::bfi(Sz::W, t, S0, 11, 3));
        p.w(int::bfi(X, Self::home(0), t, 0, 16));
        self.put(&p);
        let bits = &mut self.books.home_bits[0];
        *bits = (*bits).max(16);
        let bits = *bits;
        self.name_home(g.first, 0, bits);
        self.index = g.end + 1;
        if let Some(s) = &mut self.x87 {
            s.pending = None;
        }
    }
}

/// 63 more than the exponent of one, less the bias: how far a significand is shifted to be an integer, with the exponent added.
const INTEGER: u64 = 0x3fff + 63 - crate::x87::BIAS;

fn store_access(ty: Ty) -> Access {
    match ty {
        Ty::I16 => Access::Strh,
        Ty::I32 => Access::StrW,
        _ => Access::StrX,
    }
}
