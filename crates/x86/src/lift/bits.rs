//! Bit tests and scans.

use super::{ALL, Flow, Lifter, Place};
use demotic_ir::block::Val;
use demotic_ir::ops::Op;
use demotic_ir::state::eflags::{CF, ZF};
use demotic_ir::ty::Ty;

/// bt, bts, btr, btc.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Test only.
    Test,
    /// Test and set.
    Set,
    /// Test and reset.
    Reset,
    /// Test and complement.
    Complement,
}

/// bt family: CF := bit. With a register bit offset and a memory operand the offset reaches beyond the operand: the address
/// moves by whole operands (SDM vol. 2, BT).
pub fn bt(l: &mut Lifter, kind: Kind) -> Flow {
    let mut dst = if kind == Kind::Test { l.place(0) } else { l.place_rw(0) };
    let ty = match dst {
        Place::Mem(_, ty, _) => ty,
        _ => l.ty(0),
    };
    let by = l.place(1);
    let n = match by {
        Place::Imm(n, _) => l.b.c(Ty::I8, n & u64::from(ty.bits() - 1)),
        p => {
            let off = l.load(p);
            if let Place::Mem(_, ty, attr) = dst {
                let n = l.b.c(Ty::I8, u64::from(ty.bits().trailing_zeros()));
                let units = l.b.shift(Op::Sar, off, n);
                let units = l.b.sext(Ty::I64, units);
                let bytes = l.b.shli(units, ty.bytes().trailing_zeros());
                // The sum wraps in the address size, like every effective address.
                let offset = l.ea_offset();
                let sum = l.b.add(offset, bytes);
                let mask = l.address_ty().mask();
                let sum = l.b.andi(sum, mask);
                let at = l.linear(l.insn.memory_segment(), sum, ty.bytes());
                dst = Place::Mem(at, ty, attr);
            }
            // As the count of a shift is masked.
            let low = l.b.zext(Ty::I8, off);
            l.b.andi(low, u64::from(ty.bits() - 1))
        }
    };
    if kind == Kind::Test && !matches!(by, Place::Imm(..)) {
        // To the bottom, where it can be looked at without a second value.
        let a = l.load(dst);
        let moved = l.b.shift(Op::Shr, a, n);
        let one = l.b.c(ty, 1);
        return set_carry(l, moved, one);
    }
    let one = l.b.c(ty, 1);
    let bit = l.b.shift(Op::Shl, one, n);
    if let (true, Place::Mem(addr, ..)) = (l.insn.has_lock_prefix(), dst) {
        let old = match kind {
            Kind::Reset => {
                let mask = l.b.not(bit);
                l.atomic(Op::AAnd, ty, &[addr, mask])
            }
            Kind::Complement => l.atomic(Op::AXor, ty, &[addr, bit]),
            _ => l.atomic(Op::AOr, ty, &[addr, bit]),
        };
        return set_carry(l, old, bit);
    }
    let a = l.load(dst);
    let r = match kind {
        Kind::Test => None,
        Kind::Set => Some(l.b.or(a, bit)),
        Kind::Reset => {
            let mask = l.b.not(bit);
            Some(l.b.and(a, mask))
        }
        Kind::Complement => Some(l.b.xor(a, bit)),
    };
    if let Some(r) = r {
        l.store(dst, r);
    }
    set_carry(l, a, bit)
}

fn set_carry(l: &mut Lifter, value: Val, bit: Val) -> Flow {
    let t = l.b.and(value, bit);
    let clear = l.b.is_zero(t);
    let set = l.b.not(clear);
    l.set_flag_if(set, CF);
    Flow::Next
}

/// bsf, bsr: ZF := source is 0; the destination then stays (as all processors do).
pub fn scan(l: &mut Lifter, reverse: bool) -> Flow {
    let ty = l.ty(0);
    let src = l.read(1);
    let dst = l.place(0);
    let Place::Gpr(n, _) = dst else { return Flow::Undefined };
    let zero = l.b.is_zero(src);
    let found = if reverse {
        let z = l.b.clz(src);
        let top = l.b.c(ty, u64::from(ty.bits() - 1));
        l.b.sub(top, z)
    } else {
        l.b.ctz(src)
    };
    // A 32-bit scan of zero leaves all 64 bits alone.
    if ty == Ty::I32 && l.long() {
        let wide = l.b.zext(Ty::I64, found);
        let old = l.gpr(n, Ty::I64);
        let r = l.b.sel(zero, old, wide);
        l.set_gpr(n, r);
    } else {
        let old = l.load(dst);
        let r = l.b.sel(zero, old, found);
        l.store(dst, r);
    }
    l.set_flag_if(zero, ZF);
    Flow::Next
}

/// tzcnt, lzcnt: CF := source is 0, ZF := result is 0.
pub fn count_zeros(l: &mut Lifter, leading: bool) -> Flow {
    let src = l.read(1);
    let r = if leading { l.b.clz(src) } else { l.b.ctz(src) };
    let none = l.b.is_zero(src);
    let zero = l.b.is_zero(r);
    l.write(0, r);
    l.set_flag_if(none, CF);
    l.set_flag_if(zero, ZF);
    Flow::Next
}

/// popcnt: ZF := source is 0, the other flags 0.
pub fn popcnt(l: &mut Lifter) -> Flow {
    let src = l.read(1);
    let r = l.b.popcnt(src);
    let zero = l.b.is_zero(src);
    l.write(0, r);
    let none = l.no_flags();
    l.b.setfl(ALL & !ZF, none);
    l.set_flag_if(zero, ZF);
    Flow::Next
}

/// xadd: exchange and add.
pub fn xadd(l: &mut Lifter) -> Flow {
    let dst = l.place_rw(0);
    let src = l.place(1);
    let ty = l.ty(0);
    let b = l.load(src);
    if let (true, Place::Mem(addr, ..)) = (l.insn.has_lock_prefix(), dst) {
        let old = l.atomic(Op::AAdd, ty, &[addr, b]);
        let fl = l.b.fl_add(old, b);
        l.store(src, old);
        l.b.setfl(ALL, fl);
        return Flow::Next;
    }
    let a = l.load(dst);
    let r = l.b.add(a, b);
    let fl = l.b.fl_add(a, b);
    match dst {
        Place::Mem(..) => {
            l.store(dst, r);
            l.store(src, a);
        }
        // With one register for both, the sum stays.
        _ => {
            l.store(src, a);
            l.store(dst, r);
        }
    }
    l.b.setfl(ALL, fl);
    Flow::Next
}
