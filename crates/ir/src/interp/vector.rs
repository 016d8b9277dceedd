//! Pure operations on vectors of integers.

use super::{V, Values, crypto, int::sext, now3d, strings};
use crate::block::Inst;
use crate::ops::Op;
use crate::state::eflags;
use crate::ty::Ty;

pub(super) fn wide(v: V) -> u128 {
    u128::from(v.hi) << 64 | u128::from(v.lo)
}

pub(super) fn narrow(x: u128) -> V {
    V { lo: x as u64, hi: (x >> 64) as u64 }
}

/// Lane `n` of width `ty`; 0 beyond the end.
pub(super) fn lane(ty: Ty, v: V, n: u32) -> u64 {
    let at = n * ty.bits();
    let word = match at / 64 {
        0 => v.lo,
        1 => v.hi,
        _ => return 0,
    };
    word >> (at % 64) & ty.mask()
}

/// Replaces lane `n`; nothing beyond the end.
pub(super) fn with_lane(ty: Ty, v: V, n: u32, x: u64) -> V {
    let at = n * ty.bits();
    let put = |w: u64| w & !(ty.mask() << (at % 64)) | (x & ty.mask()) << (at % 64);
    match at / 64 {
        0 => V { lo: put(v.lo), ..v },
        1 => V { hi: put(v.hi), ..v },
        _ => v,
    }
}

/// Applies `f` to the lanes of two vectors.
fn map2(ty: Ty, a: V, b: V, f: impl Fn(u64, u64) -> u64) -> V {
    let (w, m) = (ty.bits(), ty.mask());
    let half = |x: u64, y: u64| {
        let mut r = 0;
        let mut at = 0;
        while at < 64 {
            r |= (f(x >> at & m, y >> at & m) & m) << at;
            at += w;
        }
        r
    };
    V { lo: half(a.lo, b.lo), hi: half(a.hi, b.hi) }
}

fn clamp_signed(ty: Ty, x: i64) -> u64 {
    let max = (ty.mask() >> 1) as i64;
    x.clamp(-max - 1, max) as u64
}

fn clamp_unsigned(ty: Ty, x: i64) -> u64 {
    x.clamp(0, ty.mask() as i64) as u64
}

fn half_lane(ty: Ty) -> Ty {
    match ty {
        Ty::I64 => Ty::I32,
        Ty::I32 => Ty::I16,
        _ => Ty::I8,
    }
}

fn pack(ty: Ty, a: V, b: V, f: impl Fn(Ty, i64) -> u64) -> V {
    let to = half_lane(ty);
    let n = 128 / ty.bits();
    let mut r = V::default();
    for i in 0..n {
        r = with_lane(to, r, i, f(to, sext(ty, lane(ty, a, i))));
        r = with_lane(to, r, i + n, f(to, sext(ty, lane(ty, b, i))));
    }
    r
}

fn zip(ty: Ty, a: V, b: V, first: u32) -> V {
    let mut r = V::default();
    for i in 0..64 / ty.bits() {
        r = with_lane(ty, r, 2 * i, lane(ty, a, first + i));
        r = with_lane(ty, r, 2 * i + 1, lane(ty, b, first + i));
    }
    r
}

/// Applies `f` to adjacent signed lanes of a, then of b.
fn across(ty: Ty, a: V, b: V, f: impl Fn(i64, i64) -> u64) -> V {
    let n = 64 / ty.bits();
    let one = |v: V, k: u32| f(sext(ty, lane(ty, v, 2 * k)), sext(ty, lane(ty, v, 2 * k + 1)));
    (0..n).fold(V::default(), |r, k| with_lane(ty, with_lane(ty, r, k, one(a, k)), k + n, one(b, k)))
}

/// Computes a pure vector operation; anything else gives zero (the verifier lets nothing else come here).
pub(super) fn pure<S: Values>(inst: &Inst, s: &S) -> V {
    let ty = inst.ty;
    let a = s.get(inst.args[0]);
    let b = s.get(inst.args[1]);
    let signed = |f: fn(i64, i64) -> i64| map2(ty, a, b, move |x, y| clamp_signed(ty, f(sext(ty, x), sext(ty, y))));
    let unsigned = |f: fn(i64, i64) -> i64| map2(ty, a, b, move |x, y| clamp_unsigned(ty, f(x as i64, y as i64)));
    match inst.op {
        Op::VZext => V::from(a.lo),
        Op::VExt => V::from(lane(ty, a, inst.imm as u32 & 15)),
        Op::VIns => with_lane(ty, a, inst.imm as u32 & 15, b.lo),
        Op::VAnd => V { lo: a.lo & b.lo, hi: a.hi & b.hi },
        Op::VAndN => V { lo: !a.lo & b.lo, hi: !a.hi & b.hi },
        Op::VOr => V { lo: a.lo | b.lo, hi: a.hi | b.hi },
        Op::VXor => V { lo: a.lo ^ b.lo, hi: a.hi ^ b.hi },
        Op::VLow => V::from(a.lo),
        Op::VAdd => map2(ty, a, b, u64::wrapping_add),
        Op::VSub => map2(ty, a, b, u64::wrapping_sub),
        Op::VAddSS => signed(|x, y| x + y),
        Op::VSubSS => signed(|x, y| x - y),
        Op::VAddUS => unsigned(|x, y| x + y),
        Op::VSubUS => unsigned(|x, y| x - y),
        Op::VMulLo => map2(ty, a, b, u64::wrapping_mul),
        Op::VMulHiS => map2(ty, a, b, |x, y| ((i128::from(sext(ty, x)) * i128::from(sext(ty, y))) >> ty.bits()) as u64),
        Op::VMulHiU => map2(ty, a, b, |x, y| ((u128::from(x) * u128::from(y)) >> ty.bits()) as u64),
        Op::VMulEvenU => V {
            lo: u64::from(a.lo as u32) * u64::from(b.lo as u32),
            hi: u64::from(a.hi as u32) * u64::from(b.hi as u32),
        },
        Op::VMulAddS => map2(Ty::I32, a, b, |x, y| {
            let p = |k: u32| sext(Ty::I16, x >> k & 0xffff) * sext(Ty::I16, y >> k & 0xffff);
            (p(0) + p(16)) as u64
        }),
        Op::VSad => {
            let sum = |x: u64, y: u64| (0..8).map(|i| (x >> (8 * i) & 255).abs_diff(y >> (8 * i) & 255)).sum();
            V { lo: sum(a.lo, b.lo), hi: sum(a.hi, b.hi) }
        }
        Op::VAvgU => map2(ty, a, b, |x, y| (x + y + 1) >> 1),
        Op::VMinU => map2(ty, a, b, u64::min),
        Op::VMaxU => map2(ty, a, b, u64::max),
        Op::VMinS => map2(ty, a, b, |x, y| if sext(ty, x) < sext(ty, y) { x } else { y }),
        Op::VMaxS => map2(ty, a, b, |x, y| if sext(ty, x) > sext(ty, y) { x } else { y }),
        Op::VCmpEq => map2(ty, a, b, |x, y| if x == y { u64::MAX } else { 0 }),
        Op::VCmpGtS => map2(ty, a, b, |x, y| if sext(ty, x) > sext(ty, y) { u64::MAX } else { 0 }),
        Op::VShl => map2(ty, a, V::default(), |x, _| if b.lo >= u64::from(ty.bits()) { 0 } else { x << b.lo }),
        Op::VShr => map2(ty, a, V::default(), |x, _| if b.lo >= u64::from(ty.bits()) { 0 } else { x >> b.lo }),
        Op::VSar => {
            let n = b.lo.min(u64::from(ty.bits()) - 1);
            map2(ty, a, V::default(), |x, _| (sext(ty, x) >> n) as u64)
        }
        Op::VShlB => narrow(if inst.imm > 15 { 0 } else { wide(a) << (8 * inst.imm) }),
        Op::VShrB => narrow(if inst.imm > 15 { 0 } else { wide(a) >> (8 * inst.imm) }),
        Op::VPackSS => pack(ty, a, b, clamp_signed),
        Op::VPackUS => pack(ty, a, b, clamp_unsigned),
        Op::VZipLo => zip(ty, a, b, 0),
        Op::VZipHi => zip(ty, a, b, 64 / ty.bits()),
        Op::VShuf => {
            let n = 128 / ty.bits();
            let mut r = V::default();
            for i in 0..n.min(16) {
                let from = (inst.imm >> (4 * i) & 15) as u32;
                let x = if from < n { lane(ty, a, from) } else { lane(ty, b, from - n) };
                r = with_lane(ty, r, i, x);
            }
            r
        }
        Op::VMovMsk => {
            let n = 128 / ty.bits();
            V::from((0..n).map(|i| (lane(ty, a, i) >> (ty.bits() - 1)) << i).sum::<u64>())
        }
        Op::VTbl => {
            let from = wide(a).to_le_bytes();
            let byte = |x: u8| if x & 0x80 != 0 { 0 } else { from[usize::from(x & 15)] };
            narrow(u128::from_le_bytes(wide(b).to_le_bytes().map(byte)))
        }
        Op::VHAdd => across(ty, a, b, |x, y| (x + y) as u64),
        Op::VHSub => across(ty, a, b, |x, y| (x - y) as u64),
        Op::VHAddSS => across(ty, a, b, |x, y| clamp_signed(ty, x + y)),
        Op::VHSubSS => across(ty, a, b, |x, y| clamp_signed(ty, x - y)),
        Op::VMulAddUS => map2(Ty::I16, a, b, |x, y| {
            let p = |k: u32| (x >> k & 0xff) as i64 * sext(Ty::I8, y >> k & 0xff);
            clamp_signed(Ty::I16, p(0) + p(8))
        }),
        Op::VMulHiR => map2(Ty::I16, a, b, |x, y| ((sext(Ty::I16, x) * sext(Ty::I16, y) + 0x4000) >> 15) as u64),
        Op::VMulEvenS => map2(Ty::I64, a, b, |x, y| (i64::from(x as i32) * i64::from(y as i32)) as u64),
        Op::VSign => map2(ty, a, b, |x, y| match sext(ty, y) {
            0 => 0,
            n if n < 0 => x.wrapping_neg(),
            _ => x,
        }),
        Op::VAbs => map2(ty, a, V::default(), |x, _| sext(ty, x).unsigned_abs()),
        Op::VAlign => match inst.imm {
            0 => b,
            n @ 1..=15 => narrow(wide(b) >> (8 * n) | wide(a) << (128 - 8 * n)),
            n @ 16..=31 => narrow(wide(a) >> (8 * (n - 16))),
            _ => V::default(),
        },
        Op::VSelS => {
            let chosen = map2(ty, s.get(inst.args[2]), V::default(), |x, _| sext(ty, x).wrapping_shr(63) as u64);
            V { lo: a.lo & !chosen.lo | b.lo & chosen.lo, hi: a.hi & !chosen.hi | b.hi & chosen.hi }
        }
        Op::VWidenS | Op::VWidenU => {
            let from = Ty::int(inst.imm as u32 / 8).unwrap_or(Ty::I8);
            let extend = |x: u64| if inst.op == Op::VWidenS { sext(from, x) as u64 } else { x };
            (0..128 / ty.bits()).fold(V::default(), |r, n| with_lane(ty, r, n, extend(lane(from, a, n))))
        }
        Op::VTest => {
            let zero = |v: V| v.lo | v.hi == 0;
            let both = V { lo: a.lo & b.lo, hi: a.hi & b.hi };
            let only = V { lo: !a.lo & b.lo, hi: !a.hi & b.hi };
            let bit = |set: bool, flag: u32| if set { u64::from(flag) } else { 0 };
            V::from(bit(zero(both), eflags::ZF) | bit(zero(only), eflags::CF))
        }
        Op::VMpSad => {
            let byte = |v: V, n: u64| lane(Ty::I8, v, n as u32) as i64;
            let (x, y) = ((inst.imm >> 2 & 1) * 4, (inst.imm & 3) * 4);
            let sum = |n: u64| (0..4).map(|k| byte(a, x + n + k).abs_diff(byte(b, y + k))).sum();
            (0..8).fold(V::default(), |r, n| with_lane(Ty::I16, r, n as u32, sum(n)))
        }
        Op::VMinPos => {
            let least = (0..8).map(|n| (lane(Ty::I16, a, n), n)).min().unwrap_or_default();
            V::from(least.0 | u64::from(least.1) << 16)
        }
        Op::VAes => crypto::aes(inst.imm, a, b),
        Op::VClMul => {
            let half = |v: V, high: u64| if high & 1 != 0 { v.hi } else { v.lo };
            crypto::multiply(half(a, inst.imm), half(b, inst.imm >> 4))
        }
        Op::VSha => crypto::sha(inst.imm, a, b, s.get(inst.args[2])),
        Op::VStrI | Op::VStrM | Op::VStrF => {
            let r = strings::compare(inst.imm, a, b, s.get(inst.args[2]).lo, s.get(inst.args[3]).lo);
            match inst.op {
                Op::VStrI => V::from(r.index()),
                Op::VStrM => r.mask(),
                _ => V::from(u64::from(r.flags())),
            }
        }
        Op::VShlV => map2(ty, a, b, |x, n| if n >= u64::from(ty.bits()) { 0 } else { x << n }),
        Op::VShrV => map2(ty, a, b, |x, n| if n >= u64::from(ty.bits()) { 0 } else { x >> n }),
        Op::VSarV => map2(ty, a, b, |x, n| (sext(ty, x) >> n.min(u64::from(ty.bits()) - 1)) as u64),
        Op::VPerm => {
            let (n, by) = (128 / ty.bits(), s.get(inst.args[2]));
            (0..n).fold(V::default(), |r, k| {
                let from = lane(ty, by, k) as u32 & (2 * n - 1);
                with_lane(ty, r, k, if from < n { lane(ty, a, from) } else { lane(ty, b, from - n) })
            })
        }
        Op::VGalois => crypto::galois(inst.imm, a, b),
        Op::VNow3d => now3d::run(inst.imm, a, b),
        Op::FRcp => float_map(inst, a, b, |x| 1.0 / x),
        Op::FRsqrt => float_map(inst, a, b, |x| 1.0 / x.sqrt()),
        _ => V::default(),
    }
}

/// Reciprocal estimates: the nearest binary32, cut to 12 significant bits, which is within the documented relative error of
/// 1.5 * 2^-12. (The silicon's own tables differ between makers, so the low bits cannot be exact.)
fn float_map(inst: &Inst, a: V, b: V, f: impl Fn(f32) -> f32) -> V {
    let one = |x: u64| {
        let x = f32::from_bits(x as u32);
        // Denormal sources count as zeros of their sign.
        let x = if x != 0.0 && x.abs() < f32::MIN_POSITIVE { 0f32.copysign(x) } else { x };
        if x.is_nan() {
            return u64::from(x.to_bits() | 0x0040_0000);
        }
        let r = f(x);
        if r.is_nan() {
            return 0xffc0_0000;
        }
        if !r.is_finite() || r == 0.0 {
            return u64::from(r.to_bits());
        }
        if r.abs() < f32::MIN_POSITIVE {
            return u64::from(r.to_bits() & 0x8000_0000);
        }
        u64::from((r.to_bits().wrapping_add(0x400)) & !0x7ff)
    };
    if inst.imm & 0x100 == 0 {
        return with_lane(Ty::F32, a, 0, one(lane(Ty::F32, b, 0)));
    }
    (0..4).fold(V::default(), |r, i| with_lane(Ty::F32, r, i, one(lane(Ty::F32, b, i))))
}
