//! Pure operations on integers and flags.

use super::{Trap, V, Values, vector};
use crate::block::Inst;
use crate::ops::Op;
use crate::state::eflags::{AF, ARITH, CF, OF, PF, SF, ZF};
use crate::ty::Ty;

/// ZF, SF and PF of a result of type `ty` (SDM vol. 1, section 3.4.3.1).
#[inline(always)]
pub fn flags_of(ty: Ty, r: u64) -> u32 {
    let mut f = 0;
    if r & ty.mask() == 0 {
        f |= ZF;
    }
    if r >> (ty.bits() - 1) & 1 != 0 {
        f |= SF;
    }
    if (r as u8).count_ones() & 1 == 0 {
        f |= PF;
    }
    f
}

fn bit(b: bool, flag: u32) -> u32 {
    if b { flag } else { 0 }
}

/// Flags of a + b + c.
fn add_flags(ty: Ty, a: u64, b: u64, c: u64) -> u32 {
    let r = a.wrapping_add(b).wrapping_add(c) & ty.mask();
    let carry = u128::from(a) + u128::from(b) + u128::from(c) > u128::from(ty.mask());
    let overflow = ((a ^ r) & (b ^ r)) >> (ty.bits() - 1) & 1 != 0;
    flags_of(ty, r) | bit(carry, CF) | bit(overflow, OF) | (a ^ b ^ r) as u32 & AF
}

/// Flags of a - b - c.
#[inline(always)]
pub(super) fn sub_flags(ty: Ty, a: u64, b: u64, c: u64) -> u32 {
    let r = a.wrapping_sub(b).wrapping_sub(c) & ty.mask();
    let borrow = a < b || (c != 0 && a == b);
    let overflow = ((a ^ b) & (a ^ r)) >> (ty.bits() - 1) & 1 != 0;
    flags_of(ty, r) | bit(borrow, CF) | bit(overflow, OF) | (a ^ b ^ r) as u32 & AF
}

#[inline(always)]
pub(super) fn shl(ty: Ty, a: u64, n: u32) -> u64 {
    if n >= ty.bits() { 0 } else { a << n & ty.mask() }
}

#[inline(always)]
pub(super) fn shr(ty: Ty, a: u64, n: u32) -> u64 {
    if n >= ty.bits() { 0 } else { (a & ty.mask()) >> n }
}

/// Sign-extends an integer of type `ty` to 64 bits.
pub(super) fn sext(ty: Ty, a: u64) -> i64 {
    let up = 64 - ty.bits();
    ((a << up) as i64) >> up
}

/// Sign-extends the low `bits` bits of `a`.
#[inline(always)]
pub(super) fn sext_bits(bits: u64, a: u64) -> i64 {
    let up = 64 - bits.clamp(1, 64) as u32;
    ((a << up) as i64) >> up
}

fn sar(ty: Ty, a: u64, n: u32) -> u64 {
    (sext(ty, a) >> n.min(63)) as u64 & ty.mask()
}

fn rol(ty: Ty, a: u64, n: u32) -> u64 {
    let n = n % ty.bits();
    if n == 0 { a } else { shl(ty, a, n) | shr(ty, a, ty.bits() - n) }
}

/// Rotates the (width + 1)-bit value carry:a left; returns the value and the new carry.
fn rcl(ty: Ty, a: u64, n: u32, c: u64) -> (u64, bool) {
    let w = ty.bits();
    let n = n % (w + 1);
    let wide = u128::from(c & 1) << w | u128::from(a);
    let all = (1u128 << (w + 1)) - 1;
    let r = if n == 0 { wide } else { (wide << n | wide >> (w + 1 - n)) & all };
    (r as u64 & ty.mask(), r >> w & 1 != 0)
}

fn rcr(ty: Ty, a: u64, n: u32, c: u64) -> (u64, bool) {
    let w = ty.bits();
    rcl(ty, a, (w + 1 - n % (w + 1)) % (w + 1), c)
}

/// shld with count n < 64: returns value and last bit shifted out.
fn shld(ty: Ty, a: u64, b: u64, n: u32) -> (u64, bool) {
    let w = ty.bits();
    if n == 0 {
        return (a, false);
    }
    if w == 64 {
        return (a << n | b >> (64 - n), a >> (64 - n) & 1 != 0);
    }
    // 16-bit operands with counts above 16 are undefined; the usual behaviour shifts a:b:a.
    let wide = u128::from(a) << (2 * w) | u128::from(b) << w | u128::from(a);
    let r = (wide << n >> (2 * w)) as u64 & ty.mask();
    (r, wide << (n - 1) >> (3 * w - 1) & 1 != 0)
}

fn shrd(ty: Ty, a: u64, b: u64, n: u32) -> (u64, bool) {
    let w = ty.bits();
    if n == 0 {
        return (a, false);
    }
    if w == 64 {
        return (a >> n | b << (64 - n), a >> (n - 1) & 1 != 0);
    }
    let wide = u128::from(a) << (2 * w) | u128::from(b) << w | u128::from(a);
    ((wide >> n) as u64 & ty.mask(), wide >> (n - 1) & 1 != 0)
}

/// Divides (a:b) by c as the table says.
pub(super) fn divide(op: Op, ty: Ty, a: u64, b: u64, c: u64) -> Result<u64, Trap> {
    let w = ty.bits();
    let de = Trap::new(0);
    if c == 0 {
        return Err(de);
    }
    if matches!(op, Op::DivU | Op::RemU) {
        if a >= c {
            return Err(de);
        }
        let n = u128::from(a) << w | u128::from(b);
        // Narrow divisions dominate; 128-bit ones are slow on every host.
        let (q, r) = match u64::try_from(n) {
            Ok(n) => (n / c, n % c),
            Err(_) => ((n / u128::from(c)) as u64, (n % u128::from(c)) as u64),
        };
        return Ok(if op == Op::DivU { q } else { r });
    }
    let n = ((u128::from(a) << w | u128::from(b)) << (128 - 2 * w)) as i128 >> (128 - 2 * w);
    let c = i128::from(sext(ty, c));
    let (q, r) = match (i64::try_from(n), i64::try_from(c)) {
        (Ok(n), Ok(c)) if n != i64::MIN => (i128::from(n / c), i128::from(n % c)),
        _ => (n.wrapping_div(c), n.wrapping_rem(c)),
    };
    let limit = 1i128 << (w - 1);
    if n == i128::MIN && c == -1 || q < -limit || q >= limit {
        return Err(de);
    }
    Ok((if op == Op::DivS { q } else { r }) as u64 & ty.mask())
}

/// Whether condition `cc` holds (SDM vol. 1, table B-1).
#[inline(always)]
pub fn condition(cc: u64, f: u32) -> bool {
    let r = match cc >> 1 & 7 {
        0 => f & OF != 0,
        1 => f & CF != 0,
        2 => f & ZF != 0,
        3 => f & (CF | ZF) != 0,
        4 => f & SF != 0,
        5 => f & PF != 0,
        6 => (f & SF != 0) != (f & OF != 0),
        _ => f & ZF != 0 || (f & SF != 0) != (f & OF != 0),
    };
    r != (cc & 1 != 0)
}

/// Computes a pure operation.
#[inline(never)]
pub(super) fn pure<S: Values>(inst: &Inst, s: &S) -> V {
    let ty = inst.ty;
    let m = ty.mask();
    let arg = |k: usize| s.get(inst.args[k]);
    let a = || arg(0).lo;
    let b = || arg(1).lo;
    let c = || arg(2).lo;
    let d = || arg(3).lo as u32;
    let n = || arg(1).lo as u32 & 0xff;
    let msb = |v: u64| v >> (ty.bits() - 1) & 1 != 0;
    match inst.op {
        Op::Const => V::from(inst.imm & m),
        Op::Add => V::from(a().wrapping_add(b()) & m),
        Op::Sub => V::from(a().wrapping_sub(b()) & m),
        Op::Mul => V::from(a().wrapping_mul(b()) & m),
        Op::MulHiU => V::from(((u128::from(a()) * u128::from(b())) >> ty.bits()) as u64 & m),
        Op::MulHiS => V::from(((i128::from(sext(ty, a())) * i128::from(sext(ty, b()))) >> ty.bits()) as u64 & m),
        Op::And => V::from(a() & b()),
        Op::Or => V::from(a() | b()),
        Op::Xor => V::from(a() ^ b()),
        Op::Not => V::from(!a() & m),
        Op::Shl => V::from(shl(ty, a(), n())),
        Op::Shr => V::from(shr(ty, a(), n())),
        Op::Sar => V::from(sar(ty, a(), n())),
        Op::Rol => V::from(rol(ty, a(), n())),
        Op::Ror => V::from(rol(ty, a(), ty.bits() - n() % ty.bits())),
        Op::Rcl => V::from(rcl(ty, a(), n(), c()).0),
        Op::Rcr => V::from(rcr(ty, a(), n(), c()).0),
        Op::ShlD => V::from(shld(ty, a(), b(), c() as u32 & 63).0),
        Op::ShrD => V::from(shrd(ty, a(), b(), c() as u32 & 63).0),
        // Behind a bail-out operations that nobody needs run on whatever is there.
        Op::Clz => V::from(u64::from((a() & m).leading_zeros() - (64 - ty.bits()))),
        Op::Ctz => V::from(u64::from(a().trailing_zeros().min(ty.bits()))),
        Op::Popcnt => V::from(u64::from(a().count_ones())),
        Op::Pdep => {
            let mut ones = (0..64).filter(|k| b() >> k & 1 != 0).enumerate();
            V::from(ones.by_ref().fold(0, |r, (n, at)| r | (a() >> n & 1) << at))
        }
        Op::Pext => {
            let ones = (0..64).filter(|k| b() >> k & 1 != 0).enumerate();
            V::from(ones.fold(0, |r, (n, at)| r | (a() >> at & 1) << n))
        }
        Op::Crc32 => {
            let byte = |crc: u32, k: u32| {
                (0..8).fold(crc ^ (b() >> (8 * k) & 0xff) as u32, |c, _| {
                    c >> 1 ^ if c & 1 != 0 { 0x82f6_3b78 } else { 0 }
                })
            };
            V::from(u64::from((0..ty.bytes()).fold(a() as u32, byte)))
        }
        Op::Bswap => V::from(a().swap_bytes() >> (64 - ty.bits())),
        Op::Zext => V::from(a() & m),
        Op::Sext => V::from(sext_bits(inst.imm, a()) as u64 & m),
        Op::Eq => V::from(a() == b()),
        Op::LtU => V::from(a() < b()),
        Op::LtS => V::from(sext(ty, a()) < sext(ty, b())),
        Op::Sel => {
            if a() != 0 {
                arg(1)
            } else {
                arg(2)
            }
        }
        Op::FlAdd => V::from(u64::from(add_flags(ty, a(), b(), 0))),
        Op::FlAdc => V::from(u64::from(add_flags(ty, a(), b(), c()))),
        Op::FlSub => V::from(u64::from(sub_flags(ty, a(), b(), 0))),
        Op::FlSbb => V::from(u64::from(sub_flags(ty, a(), b(), c()))),
        Op::FlAddR => V::from(u64::from(add_flags(ty, a().wrapping_sub(b()) & m, b(), 0))),
        Op::FlSubR => V::from(u64::from(sub_flags(ty, a().wrapping_add(b()) & m, b(), 0))),
        Op::FlLogic => V::from(u64::from(flags_of(ty, a()))),
        Op::FlShl | Op::FlShr | Op::FlSar => {
            let (w, n) = (ty.bits(), n());
            if n == 0 {
                return arg(2);
            }
            let a = a();
            let (r, carry, overflow) = match inst.op {
                Op::FlShl => {
                    let r = shl(ty, a, n);
                    let carry = n <= w && a >> (w - n) & 1 != 0;
                    (r, carry, msb(r) != carry)
                }
                Op::FlShr => (shr(ty, a, n), n <= w && a >> (n - 1) & 1 != 0, msb(a)),
                _ => (sar(ty, a, n), sext(ty, a) >> (n - 1).min(63) & 1 != 0, false),
            };
            V::from(u64::from(flags_of(ty, r) | bit(carry, CF) | bit(overflow, OF)))
        }
        Op::FlRol | Op::FlRor => {
            if n() == 0 {
                return arg(2);
            }
            let r = a();
            let (carry, overflow) = match inst.op {
                Op::FlRol => (r & 1 != 0, msb(r) != (r & 1 != 0)),
                _ => (msb(r), msb(r) != (r >> (ty.bits() - 2) & 1 != 0)),
            };
            V::from(u64::from(arg(2).lo as u32 & !(CF | OF) | bit(carry, CF) | bit(overflow, OF)))
        }
        Op::FlRcl | Op::FlRcr => {
            if n() == 0 {
                return arg(3);
            }
            let (r, carry) = if inst.op == Op::FlRcl { rcl(ty, a(), n(), c()) } else { rcr(ty, a(), n(), c()) };
            let overflow =
                if inst.op == Op::FlRcl { msb(r) != carry } else { msb(r) != (r >> (ty.bits() - 2) & 1 != 0) };
            V::from(u64::from(d() & !(CF | OF) | bit(carry, CF) | bit(overflow, OF)))
        }
        Op::FlShlD | Op::FlShrD => {
            let n = c() as u32 & 63;
            if n == 0 {
                return arg(3);
            }
            let (r, carry) = if inst.op == Op::FlShlD { shld(ty, a(), b(), n) } else { shrd(ty, a(), b(), n) };
            V::from(u64::from(flags_of(ty, r) | bit(carry, CF) | bit(msb(r) != msb(a()), OF)))
        }
        Op::FlFrom | Op::FlBits => V::from(a() & u64::from(ARITH)),
        Op::Cond => V::from(condition(inst.imm, a() as u32)),
        Op::XFromInt => V::from(demotic_f80::from_i64(sext_bits(inst.imm, a()))),
        Op::XFromBcd => {
            let (lo, hi) = (arg(0).lo.to_le_bytes(), arg(0).hi.to_le_bytes());
            let mut bytes = [0; 10];
            bytes[..8].copy_from_slice(&lo);
            bytes[8..].copy_from_slice(&hi[..2]);
            V::from(demotic_f80::from_bcd(bytes))
        }
        Op::XBits => V { lo: arg(0).lo, hi: arg(0).hi & 0xffff },
        Op::XFrom => V { lo: arg(0).lo, hi: arg(0).hi & 0xffff },
        _ => vector::pure(inst, s),
    }
}
