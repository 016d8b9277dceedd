//! Rounding and packing: every arithmetic result leaves through here.
//!
//! The exact result arrives as a 128-bit significand with its top bit set, its low bit standing for "and more" (sticky).
//! It is rounded once to the precision control's width with unbounded exponent; x86 calls a result tiny if *that* lies
//! below the smallest normal number ("tininess after rounding"). A tiny result under masked underflow is rounded anew
//! from the exact value at its denormal position, so nothing is rounded twice.

use crate::{BIAS, Env, F80, OE, PE, Precision, Rounding, UE, WRAP};

/// Shift right, ORing everything that falls off into the lowest bit.
#[inline]
pub(crate) fn jam(x: u128, n: u32) -> u128 {
    match n {
        0 => x,
        1..=127 => x >> n | u128::from(x << (128 - n) != 0),
        _ => u128::from(x != 0),
    }
}

/// Rounds `mant * 2^(exp - 127)` (top bit of `mant` set) as the control word says.
#[inline]
pub(crate) fn round_pack(sign: bool, exp: i32, mant: u128, env: &mut Env) -> F80 {
    // The usual case: 64 bits, to nearest, well inside the exponent range.
    if env.precision == Precision::Extended64
        && env.rounding == Rounding::Nearest
        && (-BIAS + 1..BIAS).contains(&exp)
        && !env.stopped()
    {
        let (high, rest) = ((mant >> 64) as u64, mant as u64);
        let up = rest > 1 << 63 || (rest == 1 << 63 && high & 1 != 0);
        env.c1 = up;
        env.flags |= if rest != 0 { PE } else { 0 };
        let (m, carry) = high.overflowing_add(u64::from(up));
        return F80::new(sign, (exp + BIAS + i32::from(carry)) as u16, if carry { 1 << 63 } else { m });
    }
    round_to(sign, exp, mant, env.precision, env)
}

/// The same with a given precision: instructions that ignore precision control ask for 64 bits.
pub(crate) fn round_to(sign: bool, exp: i32, mant: u128, precision: Precision, env: &mut Env) -> F80 {
    if env.stopped() {
        return F80::INDEFINITE;
    }
    let unit = 1u128 << (128 - precision.bits());
    let (up, rest, rounded, carry) = cut(sign, mant, unit, env.rounding);
    let mut e = exp + BIAS + i32::from(carry);
    if e <= 0 {
        if env.masks & UE != 0 {
            return denormal(sign, exp, mant, unit, env);
        }
        env.raise(UE);
        e += WRAP;
        if e <= 0 {
            // Only FSCALE gets so far down ("massive underflow").
            env.raise(PE);
            return F80::zero(sign);
        }
    } else if e >= 0x7FFF {
        env.raise(OE);
        if env.masks & OE != 0 {
            env.raise(PE);
            let to_infinity = match env.rounding {
                Rounding::Nearest => true,
                Rounding::Down => sign,
                Rounding::Up => !sign,
                Rounding::Zero => false,
            };
            env.c1 = to_infinity;
            return if to_infinity {
                F80::infinity(sign)
            } else {
                F80::new(sign, 0x7FFE, ((u128::MAX - (unit - 1)) >> 64) as u64)
            };
        }
        e -= WRAP;
        if e >= 0x7FFF {
            env.raise(PE);
            env.c1 = true;
            return F80::infinity(sign);
        }
    }
    env.c1 = up;
    if rest {
        env.raise(PE);
    }
    F80::new(sign, e as u16, (rounded >> 64) as u64)
}

/// A result below the smallest normal number, underflow masked: UE only together with PE.
#[cold]
fn denormal(sign: bool, exp: i32, mant: u128, unit: u128, env: &mut Env) -> F80 {
    let shift = 1 - (exp + BIAS);
    let (up, rest, rounded, carry) = cut(sign, jam(mant, shift as u32), unit, env.rounding);
    debug_assert!(!carry);
    env.c1 = up;
    if rest {
        env.raise(UE | PE);
    }
    let m = (rounded >> 64) as u64;
    F80::new(sign, (m >> 63) as u16, m)
}

/// Drops the bits below `unit`: (rounded up?, inexact?, significand, carried out of the top?).
#[inline]
fn cut(sign: bool, mant: u128, unit: u128, rounding: Rounding) -> (bool, bool, u128, bool) {
    let rest = mant & (unit - 1);
    let kept = mant - rest;
    if rest == 0 {
        return (false, false, kept, false);
    }
    let up = rounding.up(sign, rest, unit >> 1, kept & unit != 0);
    if !up {
        return (false, true, kept, false);
    }
    match kept.checked_add(unit) {
        Some(m) => (true, true, m, false),
        None => (true, true, 1 << 127, true),
    }
}
