//! Conversions between the 80-bit format, integers, and single and double precision (FILD, FIST, FISTTP, FLD, FST, FRNDINT).

use crate::round::jam;
use crate::unpack::{Num, nan1};
use crate::{BIAS, Class, DE, Env, F80, IE, OE, PE, Rounding, UE};

/// FILD: exact.
#[inline]
pub fn from_i64(v: i64) -> F80 {
    if v == 0 {
        return F80::ZERO;
    }
    let m = v.unsigned_abs();
    let lz = m.leading_zeros();
    F80::new(v < 0, (BIAS + 63) as u16 - lz as u16, m << lz)
}

/// The integer nearest to `n` as the rounding says: (magnitude, inexact?, rounded up?). The exponent is at most 63.
fn integer(n: Num, rounding: Rounding) -> (u128, bool, bool) {
    // Integer part above bit 64, fraction below.
    let fixed = jam(u128::from(n.mant) << 64, (63 - n.exp) as u32);
    let rest = fixed & u128::from(u64::MAX);
    let up = rounding.up(n.sign, rest, 1 << 63, fixed >> 64 & 1 != 0);
    ((fixed >> 64) + u128::from(up), rest != 0, up)
}

/// FIST to `bits` wide: an unrepresentable value gives IE and the integer indefinite.
fn to_int(a: F80, bits: u32, env: &mut Env, truncate: bool) -> i64 {
    let indefinite = i64::MIN >> (64 - bits);
    match a.class() {
        Class::Zero => return 0,
        Class::Normal | Class::Denormal | Class::PseudoDenormal => {}
        Class::Infinity | Class::QNan | Class::SNan | Class::Unsupported => {
            env.raise(IE);
            return indefinite;
        }
    }
    let n = Num::quietly(a);
    if n.exp > 63 {
        env.raise(IE);
        return indefinite;
    }
    let (m, inexact, up) = integer(n, if truncate { Rounding::Zero } else { env.rounding });
    if m > (1u128 << (bits - 1)) - u128::from(!n.sign) {
        env.raise(IE);
        return indefinite;
    }
    if inexact {
        env.raise(PE);
    }
    env.c1 = up;
    let m = m as i64;
    if n.sign { m.wrapping_neg() } else { m }
}

/// FIST/FISTTP m16: rounded as the control word says, or towards zero if `truncate`.
pub fn to_i16(a: F80, env: &mut Env, truncate: bool) -> i16 {
    to_int(a, 16, env, truncate) as i16
}

/// FIST/FISTTP m32.
pub fn to_i32(a: F80, env: &mut Env, truncate: bool) -> i32 {
    to_int(a, 32, env, truncate) as i32
}

/// FIST/FISTTP m64.
pub fn to_i64(a: F80, env: &mut Env, truncate: bool) -> i64 {
    to_int(a, 64, env, truncate)
}

/// FRNDINT.
pub fn round_to_int(a: F80, env: &mut Env) -> F80 {
    if let Some(nan) = nan1(a, env) {
        return nan;
    }
    if matches!(a.class(), Class::Zero | Class::Infinity) {
        return a;
    }
    let n = Num::of(a, env);
    if n.exp >= 63 {
        return a;
    }
    if env.stopped() {
        return F80::INDEFINITE;
    }
    let (m, inexact, up) = integer(n, env.rounding);
    if inexact {
        env.raise(PE);
    }
    env.c1 = up;
    // At most 2^63, so the conversion back is exact.
    if m == 0 {
        return F80::zero(n.sign);
    }
    let lz = (m as u64).leading_zeros();
    F80::new(n.sign, (BIAS + 63) as u16 - lz as u16, (m as u64) << lz)
}

/// The magnitude of a rounded-to-integer value for FBSTP: `None` beyond `limit` or when it is no number.
pub(crate) fn bounded_integer(a: F80, limit: u64, env: &mut Env) -> Option<u64> {
    match a.class() {
        Class::Zero => return Some(0),
        Class::Normal | Class::Denormal | Class::PseudoDenormal => {}
        _ => return None,
    }
    let n = Num::quietly(a);
    if n.exp > 63 {
        return None;
    }
    let (m, inexact, up) = integer(n, env.rounding);
    if m > u128::from(limit) {
        return None;
    }
    if inexact {
        env.raise(PE);
    }
    env.c1 = up;
    Some(m as u64)
}

/// FLD m32: exact; IE and quieted for a signalling NaN, DE for a denormal.
#[inline]
pub fn from_f32(bits: u32, env: &mut Env) -> F80 {
    widen(bits >> 31 != 0, bits >> 23 & 0xFF, 0xFF, u64::from(bits) << 41 >> 1, env)
}

/// FLD m64: exact; IE and quieted for a signalling NaN, DE for a denormal.
#[inline]
pub fn from_f64(bits: u64, env: &mut Env) -> F80 {
    widen(bits >> 63 != 0, (bits >> 52 & 0x7FF) as u32, 0x7FF, bits << 12 >> 1, env)
}

/// `frac` is the fraction at bits 62 and below.
fn widen(sign: bool, exp: u32, max: u32, frac: u64, env: &mut Env) -> F80 {
    let bias = (max >> 1) as i32;
    if exp == max {
        if frac != 0 && frac >> 62 == 0 {
            env.raise(IE);
        }
        let quiet = if frac != 0 { 1 << 62 } else { 0 };
        return F80::new(sign, 0x7FFF, 1 << 63 | frac | quiet);
    }
    if exp != 0 {
        return F80::new(sign, (exp as i32 - bias + BIAS) as u16, 1 << 63 | frac);
    }
    if frac == 0 {
        return F80::zero(sign);
    }
    env.raise(DE);
    let lz = frac.leading_zeros();
    F80::new(sign, (1 - bias + BIAS - lz as i32) as u16, frac << lz)
}

/// FST m32. Where [`Env::unmasked`] holds afterwards memory stays as it was and the value returned means nothing.
pub fn to_f32(a: F80, env: &mut Env) -> u32 {
    narrow(a, 23, 0xFF, env) as u32
}

/// FST m64. Where [`Env::unmasked`] holds afterwards memory stays as it was and the value returned means nothing.
pub fn to_f64(a: F80, env: &mut Env) -> u64 {
    narrow(a, 52, 0x7FF, env)
}

/// To a format with `frac` fraction bits and exponents up to `max`.
fn narrow(a: F80, frac: u32, max: u32, env: &mut Env) -> u64 {
    let sign = u64::from(a.is_negative()) << (frac + max.trailing_ones());
    let pack = |e: u32, m: u64| sign | u64::from(e) << frac | m;
    let nan = nan1(a, env);
    if let Some(nan) = nan {
        let sign = u64::from(nan.is_negative()) << (frac + max.trailing_ones());
        return sign | u64::from(max) << frac | nan.mant << 1 >> (64 - frac);
    }
    match a.class() {
        Class::Zero => return pack(0, 0),
        Class::Infinity => return pack(max, 0),
        _ => {}
    }
    let n = Num::quietly(a);
    let e = n.exp + (max >> 1) as i32;
    let width = frac + 1;
    let cut = |m: u128| {
        // `m` has the significand at bits 64..128.
        let unit = 128 - width;
        let rest = m & ((1 << unit) - 1);
        let up = env.rounding.up(n.sign, rest, 1 << (unit - 1), m >> unit & 1 != 0);
        ((m >> unit) as u64 + u64::from(up), rest != 0, up)
    };
    let full = u128::from(n.mant) << 64;
    let (m, inexact, up) = cut(full);
    let carry = m >> width != 0;
    let rounded_exp = e + i32::from(carry);
    if rounded_exp <= 0 {
        if env.masks & UE == 0 {
            env.raise(UE);
            return 0;
        }
        let (m, inexact, up) = cut(jam(full, (1 - e) as u32));
        env.c1 = up;
        if inexact {
            env.raise(UE | PE);
        }
        return sign | m;
    }
    if rounded_exp >= max as i32 {
        env.raise(OE);
        if env.masks & OE == 0 {
            return 0;
        }
        env.raise(PE);
        env.c1 = env.rounding.up(n.sign, 3, 2, true);
        return if env.c1 { pack(max, 0) } else { pack(max - 1, (1 << frac) - 1) };
    }
    if inexact {
        env.raise(PE);
    }
    env.c1 = up;
    let m = if carry { m >> 1 } else { m };
    pack(rounded_exp as u32, m & ((1 << frac) - 1))
}
