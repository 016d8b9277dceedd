//! Two-operand arithmetic and logic: add adc sub sbb cmp and or xor test, inc dec neg not; carry instructions; BCD.

use super::{ALL, CC_B, Flow, Lifter, NO_CF, Place};
use demotic_ir::block::{Term, Val};
use demotic_ir::ops::Op;
use demotic_ir::slot::Slot;
use demotic_ir::state::eflags::{AF, CF, DF, OF};
use demotic_ir::state::reg;
use demotic_ir::ty::Ty;

/// The eight classic operations and test.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// DEST := DEST + SRC
    Add,
    /// DEST := DEST + SRC + CF
    Adc,
    /// DEST := DEST - SRC
    Sub,
    /// DEST := DEST - (SRC + CF)
    Sbb,
    /// DEST - SRC, flags only
    Cmp,
    /// DEST := DEST AND SRC
    And,
    /// DEST := DEST OR SRC
    Or,
    /// DEST := DEST XOR SRC
    Xor,
    /// DEST AND SRC, flags only
    Test,
}

/// Result and flags of an operation on values of one type.
fn compute(l: &mut Lifter, kind: Kind, ty: Ty, a: Val, b: Val, c: Option<Val>) -> (Val, Val) {
    let (bare, fl) = match (kind, c) {
        (Kind::Add, _) => (l.b.add(a, b), l.b.fl_add(a, b)),
        // Nobody wants the difference.
        (Kind::Cmp, _) => (a, l.b.fl_sub(a, b)),
        (Kind::Sub, _) => (l.b.sub(a, b), l.b.fl_sub(a, b)),
        (Kind::Adc, Some(c)) => {
            let cz = l.b.zext(ty, c);
            let s = l.b.add(a, b);
            (l.b.add(s, cz), l.b.op(Op::FlAdc, ty, &[a, b, c]))
        }
        (Kind::Sbb, Some(c)) => {
            let cz = l.b.zext(ty, c);
            let s = l.b.sub(a, b);
            (l.b.sub(s, cz), l.b.op(Op::FlSbb, ty, &[a, b, c]))
        }
        _ => {
            let r = match kind {
                Kind::And | Kind::Test => l.b.and(a, b),
                Kind::Or => l.b.or(a, b),
                _ => l.b.xor(a, b),
            };
            (r, l.b.fl_logic(r))
        }
    };
    (bare, fl)
}

/// add, adc, sub, sbb, cmp, and, or, xor, test.
pub fn binary(l: &mut Lifter, kind: Kind) -> Flow {
    let dst = if matches!(kind, Kind::Cmp | Kind::Test) { l.place(0) } else { l.place_rw(0) };
    let ty = l.ty(0);
    if l.insn.has_lock_prefix() {
        let c = matches!(kind, Kind::Adc | Kind::Sbb).then(|| l.carry());
        let Place::Mem(addr, ..) = dst else { return Flow::Undefined };
        let b = l.read_as(1, ty);
        // The carry is part of what is added; the flags are rebuilt from the parts.
        let operand = match c {
            Some(c) => {
                let cz = l.b.zext(ty, c);
                l.b.add(b, cz)
            }
            None => b,
        };
        let (op, operand) = match kind {
            Kind::Add | Kind::Adc => (Op::AAdd, operand),
            Kind::Sub | Kind::Sbb => {
                let z = l.b.c(ty, 0);
                (Op::AAdd, l.b.sub(z, operand))
            }
            Kind::And => (Op::AAnd, operand),
            Kind::Or => (Op::AOr, operand),
            _ => (Op::AXor, operand),
        };
        let old = l.atomic(op, ty, &[addr, operand]);
        let (_, fl) = compute(l, kind, ty, old, b, c);
        l.b.setfl(ALL, fl);
        return Flow::Next;
    }
    plain(l, kind, ty, dst, |l| l.read_as(1, ty))
}

/// The same without a lock, by the place of the first operand and how the second one is read.
#[inline]
pub fn plain(l: &mut Lifter, kind: Kind, ty: Ty, dst: Place, second: impl FnOnce(&mut Lifter) -> Val) -> Flow {
    let c = matches!(kind, Kind::Adc | Kind::Sbb).then(|| l.carry());
    let a = l.load(dst);
    let b = second(l);
    let (r, fl) = compute(l, kind, ty, a, b, c);
    if !matches!(kind, Kind::Cmp | Kind::Test) {
        l.store(dst, r);
    }
    l.b.setfl(ALL, fl);
    Flow::Next
}

/// inc and dec: all flags but CF.
pub fn inc_dec(l: &mut Lifter, dec: bool) -> Flow {
    let dst = l.place_rw(0);
    let ty = l.ty(0);
    if l.insn.has_lock_prefix() {
        let Place::Mem(addr, ..) = dst else { return Flow::Undefined };
        let one = l.b.c(ty, 1);
        let kind = if dec { Kind::Sub } else { Kind::Add };
        let d = l.b.c(ty, if dec { u64::MAX } else { 1 });
        let old = l.atomic(Op::AAdd, ty, &[addr, d]);
        let (_, fl) = compute(l, kind, ty, old, one, None);
        l.b.setfl(NO_CF, fl);
        return Flow::Next;
    }
    step(l, dec, dst, ty)
}

/// The same without a lock.
pub fn step(l: &mut Lifter, dec: bool, dst: Place, ty: Ty) -> Flow {
    let one = l.b.c(ty, 1);
    let kind = if dec { Kind::Sub } else { Kind::Add };
    let a = l.load(dst);
    let (r, fl) = compute(l, kind, ty, a, one, None);
    l.store(dst, r);
    l.b.setfl(NO_CF, fl);
    Flow::Next
}

/// neg: DEST := 0 - DEST.
pub fn neg(l: &mut Lifter) -> Flow {
    let dst = l.place_rw(0);
    let ty = l.ty(0);
    let z = l.b.c(ty, 0);
    let a = l.load(dst);
    let (r, fl) = compute(l, Kind::Sub, ty, z, a, None);
    if l.insn.has_lock_prefix() {
        let Place::Mem(addr, ..) = dst else { return Flow::Undefined };
        locked_store(l, addr, a, r);
    } else {
        l.store(dst, r);
    }
    l.b.setfl(ALL, fl);
    Flow::Next
}

/// Replaces `old` by `new` atomically; starts the instruction again when memory has changed meanwhile.
pub fn locked_store(l: &mut Lifter, addr: Val, old: Val, new: Val) {
    let ty = l.b.ty(old);
    let seen = l.atomic(Op::ACas, ty, &[addr, old, new]);
    let same = l.b.eq(seen, old);
    let changed = l.b.not(same);
    l.b.exitif(changed, l.pc);
}

/// not: no flags.
pub fn not(l: &mut Lifter) -> Flow {
    let dst = l.place_rw(0);
    let ty = l.ty(0);
    if l.insn.has_lock_prefix() {
        let Place::Mem(addr, ..) = dst else { return Flow::Undefined };
        let ones = l.b.c(ty, u64::MAX);
        l.atomic(Op::AXor, ty, &[addr, ones]);
        return Flow::Next;
    }
    let a = l.load(dst);
    let r = l.b.not(a);
    l.store(dst, r);
    Flow::Next
}

/// clc, stc, cmc.
pub fn carry(l: &mut Lifter, how: char) -> Flow {
    match how {
        'c' => {
            let f = l.no_flags();
            l.b.setfl(CF, f);
        }
        's' => {
            let one = l.b.c(Ty::I32, u64::from(CF));
            let f = l.b.op(Op::FlFrom, Ty::Fl, &[one]);
            l.b.setfl(CF, f);
        }
        _ => {
            let c = l.b.condition_of_flags(CC_B | 1);
            l.set_flag_if(c, CF);
        }
    }
    Flow::Next
}

/// cld, std.
pub fn direction(l: &mut Lifter, down: bool) -> Flow {
    let sys = l.b.get(Ty::I32, Slot::SYS);
    let keep = l.b.andi(sys, u64::from(!DF));
    let bit = l.b.c(Ty::I32, if down { u64::from(DF) } else { 0 });
    let new = l.b.or(keep, bit);
    l.b.set(Slot::SYS, new);
    Flow::Next
}

/// lahf: AH := SF:ZF:0:AF:0:PF:1:CF.
pub fn lahf(l: &mut Lifter) -> Flow {
    let f = l.b.getfl();
    let image = l.b.op(Op::FlBits, Ty::I32, &[f]);
    let low = l.b.zext(Ty::I8, image);
    let two = l.b.c(Ty::I8, 2);
    let v = l.b.or(low, two);
    l.store(Place::High(reg::RAX), v);
    Flow::Next
}

/// sahf.
pub fn sahf(l: &mut Lifter) -> Flow {
    let ah = l.load(Place::High(reg::RAX));
    let image = l.b.zext(Ty::I32, ah);
    let f = l.b.op(Op::FlFrom, Ty::Fl, &[image]);
    l.b.setfl(ALL & !OF, f);
    Flow::Next
}

/// aaa, aas (SDM vol. 2): adjusts AL after unpacked addition or subtraction.
pub fn aaa_aas(l: &mut Lifter, sub: bool) -> Flow {
    let ax = l.gpr(reg::RAX, Ty::I16);
    let f = l.b.getfl();
    let image = l.b.op(Op::FlBits, Ty::I32, &[f]);
    let af = l.b.andi(image, u64::from(AF));
    let low = l.b.andi(ax, 15);
    let nine = l.b.c(Ty::I16, 9);
    let above = l.b.ltu(nine, low);
    let no_af = l.b.is_zero(af);
    let has_af = l.b.not(no_af);
    let adjust = l.b.or(above, has_af);
    let adjusted = l.b.addi(ax, if sub { -0x106 } else { 0x106 });
    let r = l.b.sel(adjust, adjusted, ax);
    let r = l.b.andi(r, 0xff0f);
    l.set_gpr(reg::RAX, r);
    l.set_flag_if(adjust, CF | AF);
    Flow::Next
}

/// daa, das: adjusts AL after packed addition or subtraction.
pub fn daa_das(l: &mut Lifter, sub: bool) -> Flow {
    let al = l.gpr(reg::RAX, Ty::I8);
    let f = l.b.getfl();
    let image = l.b.op(Op::FlBits, Ty::I32, &[f]);
    let af = l.b.andi(image, u64::from(AF));
    let no_af = l.b.is_zero(af);
    let has_af = l.b.not(no_af);
    let cf = l.b.cond(CC_B, f);
    let low = l.b.andi(al, 15);
    let nine = l.b.c(Ty::I8, 9);
    let above = l.b.ltu(nine, low);
    let low_adjust = l.b.or(above, has_af);
    let ninety_nine = l.b.c(Ty::I8, 0x99);
    let high_above = l.b.ltu(ninety_nine, al);
    let high_adjust = l.b.or(high_above, cf);
    let sign = if sub { -1 } else { 1 };
    let a1 = l.b.addi(al, 6 * sign);
    let r = l.b.sel(low_adjust, a1, al);
    let r2 = l.b.addi(r, 0x60 * sign);
    let r = l.b.sel(high_adjust, r2, r);
    // CF also reports the borrow of das's first step.
    let carry = if sub {
        let six = l.b.c(Ty::I8, 6);
        let borrow = l.b.ltu(al, six);
        let borrow = l.b.and(borrow, low_adjust);
        l.b.or(high_adjust, borrow)
    } else {
        high_adjust
    };
    l.set_gpr(reg::RAX, r);
    let fl = l.b.fl_logic(r);
    l.b.setfl(ALL & !(CF | AF), fl);
    l.set_flag_if(carry, CF);
    l.set_flag_if(low_adjust, AF);
    Flow::Next
}

/// aam: AH := AL / imm8, AL := AL mod imm8.
pub fn aam(l: &mut Lifter) -> Flow {
    let al = l.gpr(reg::RAX, Ty::I8);
    let z = l.b.c(Ty::I8, 0);
    let d = l.read_as(0, Ty::I8);
    let q = l.b.op(Op::DivU, Ty::I8, &[z, al, d]);
    let r = l.b.op(Op::RemU, Ty::I8, &[z, al, d]);
    l.set_gpr(reg::RAX, r);
    l.store(Place::High(reg::RAX), q);
    let fl = l.b.fl_logic(r);
    l.b.setfl(ALL, fl);
    Flow::Next
}

/// aad: AL := AL + AH * imm8, AH := 0.
pub fn aad(l: &mut Lifter) -> Flow {
    let al = l.gpr(reg::RAX, Ty::I8);
    let ah = l.load(Place::High(reg::RAX));
    let d = l.read_as(0, Ty::I8);
    let p = l.b.mul(ah, d);
    let r = l.b.add(al, p);
    let wide = l.b.zext(Ty::I16, r);
    l.set_gpr(reg::RAX, wide);
    let fl = l.b.fl_logic(r);
    l.b.setfl(ALL, fl);
    Flow::Next
}

/// arpl: raises the requested privilege level of a selector to that of another; ZF tells whether it did.
pub fn arpl(l: &mut Lifter) -> Flow {
    let dst = l.place(0);
    let a = l.load(dst);
    let b = l.read(1);
    let a = l.b.zext(Ty::I16, a);
    let b = l.b.zext(Ty::I16, b);
    let (low_a, low_b) = (l.b.andi(a, 3), l.b.andi(b, 3));
    let less = l.b.ltu(low_a, low_b);
    let cleared = l.b.andi(a, 0xfffc);
    let raised = l.b.or(cleared, low_b);
    let r = l.b.sel(less, raised, a);
    match dst {
        Place::Gpr(n, _) => l.set_gpr(n, r),
        p => l.store(p, r),
    }
    l.set_flag_if(less, demotic_ir::state::eflags::ZF);
    Flow::Next
}

/// salc: AL := CF ? 0xff : 0 (undocumented for long, in the SDM's opcode maps since).
pub fn salc(l: &mut Lifter) -> Flow {
    let c = l.carry();
    let (ones, z) = (l.b.c(Ty::I8, 0xff), l.b.c(Ty::I8, 0));
    let r = l.b.sel(c, ones, z);
    l.set_gpr(reg::RAX, r);
    Flow::Next
}

/// into: trap 4 when OF is set.
pub fn into(l: &mut Lifter) -> Flow {
    let f = l.b.getfl();
    let no = l.b.cond(1, f);
    l.b.exitif(no, l.next);
    l.end(Term::Interrupt { vector: 4, next: l.next })
}

/// bound: #BR when the index is outside the pair in memory.
pub fn bound(l: &mut Lifter) -> Flow {
    let ty = l.ty(0);
    let index = l.read(0);
    let addr = l.ea();
    let low = l.b.ld(ty, addr, 0);
    let second = l.b.addi(addr, i64::from(ty.bytes()));
    let second = if l.long() || l.segmented.is_some() { second } else { l.b.andi(second, 0xffff_ffff) };
    let high = l.b.ld(ty, second, 0);
    let under = l.b.lts(index, low);
    let over = l.b.lts(high, index);
    let out = l.b.or(under, over);
    let fine = l.b.not(out);
    l.b.exitif(fine, l.next);
    l.end(Term::Fault { vector: 5, code: 0, pc: l.pc })
}
