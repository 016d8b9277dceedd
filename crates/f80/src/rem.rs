//! Remainders and the exponent instructions (FPREM, FPREM1, FSCALE, FXTRACT).
//!
//! FPREM reduces the exponent difference D by at most 63 per execution. When D is 64 or more the result is a partial
//! remainder and C2 asks the program to go round again; how far one step reduces is the implementation's choice between
//! 32 and 63 (SDM vol. 2, FPREM). The choice here is `32 + D mod 32`, which leaves a multiple of 32 for later steps.

use crate::add::denormal_operands;
use crate::convert::from_i64;
use crate::round::round_to;
use crate::unpack::{Num, nan1, nan2};
use crate::{Class, Env, F80, Precision, ZE};

/// FPREM: `a` modulo `b`, the quotient truncated. Returns the (partial) remainder, the quotient's low three bits and
/// whether the reduction is incomplete (C2); with an incomplete one the quotient bits mean nothing and are zero.
pub fn rem(a: F80, b: F80, env: &mut Env) -> (F80, u8, bool) {
    remainder(a, b, false, env)
}

/// FPREM1: the IEEE remainder, the quotient rounded to nearest even. Results as for [`rem`].
pub fn rem1(a: F80, b: F80, env: &mut Env) -> (F80, u8, bool) {
    remainder(a, b, true, env)
}

fn remainder(a: F80, b: F80, nearest: bool, env: &mut Env) -> (F80, u8, bool) {
    if let Some(nan) = nan2(a, b, env) {
        return (nan, 0, false);
    }
    match (a.class(), b.class()) {
        (Class::Infinity, _) | (_, Class::Zero) => return (env.invalid(), 0, false),
        (Class::Zero, _) => {
            denormal_operands(a, b, env);
            return (a, 0, false);
        }
        (_, Class::Infinity) => {
            let x = Num::of(a, env);
            return (pack(x.sign, x.exp, u128::from(x.mant), env), 0, false);
        }
        _ => {}
    }
    let (x, y) = (Num::of(a, env), Num::of(b, env));
    let d = x.exp - y.exp;
    if d < -1 || (d < 0 && !nearest) {
        return (pack(x.sign, x.exp, u128::from(x.mant), env), 0, false);
    }
    if d >= 64 {
        let n = 32 + d % 32;
        let rest = (u128::from(x.mant) << n) % u128::from(y.mant);
        return (pack(x.sign, x.exp - n, rest, env), 0, true);
    }
    // In units of the smaller exponent, so that both are whole numbers.
    let (num, den, unit) = if d < 0 {
        (u128::from(x.mant), u128::from(y.mant) << 1, x.exp)
    } else {
        (u128::from(x.mant) << d, u128::from(y.mant), y.exp)
    };
    let (mut q, mut rest, mut sign) = (num / den, num % den, x.sign);
    if nearest && (rest << 1 > den || (rest << 1 == den && q & 1 != 0)) {
        rest = den - rest;
        sign = !sign;
        q += 1;
    }
    if rest == 0 {
        sign = x.sign;
    }
    (pack(sign, unit, rest, env), (q & 7) as u8, false)
}

/// `m * 2^(exp - 63)`, exact; zero keeps the sign.
fn pack(sign: bool, exp: i32, m: u128, env: &mut Env) -> F80 {
    if m == 0 {
        return F80::zero(sign);
    }
    let lz = m.leading_zeros();
    round_to(sign, exp + 64 - lz as i32, m << lz, Precision::Extended64, env)
}

/// FSCALE: `a * 2^trunc(b)`, rounded only where it is denormal.
pub fn scale(a: F80, b: F80, env: &mut Env) -> F80 {
    if let Some(nan) = nan2(a, b, env) {
        return nan;
    }
    let sign = a.is_negative();
    match (a.class(), b.class(), b.is_negative()) {
        (Class::Infinity, Class::Infinity, true) | (Class::Zero, Class::Infinity, false) => return env.invalid(),
        (Class::Infinity, ..) | (Class::Zero, ..) => {
            denormal_operands(a, b, env);
            return a;
        }
        (_, Class::Infinity, down) => {
            denormal_operands(a, b, env);
            return if down { F80::zero(sign) } else { F80::infinity(sign) };
        }
        (_, Class::Zero, _) => {
            let x = Num::of(a, env);
            return pack(sign, x.exp, u128::from(x.mant), env);
        }
        _ => {}
    }
    let (x, y) = (Num::of(a, env), Num::of(b, env));
    // 2^17 is beyond every exponent, denormals and the unmasked wrap included.
    let n = match y.exp {
        ..0 => 0,
        0..17 => (y.mant >> (63 - y.exp)) as i32,
        _ => 1 << 17,
    };
    let n = if y.sign { -n } else { n };
    pack(sign, x.exp + n, u128::from(x.mant), env)
}

/// FXTRACT: (unbiased exponent as a number, significand with the operand's sign and exponent zero).
pub fn extract(a: F80, env: &mut Env) -> (F80, F80) {
    if let Some(nan) = nan1(a, env) {
        return (nan, nan);
    }
    match a.class() {
        Class::Zero => {
            env.raise(ZE);
            (F80::infinity(true), a)
        }
        Class::Infinity => (F80::INFINITY, a),
        _ => {
            let x = Num::of(a, env);
            (from_i64(i64::from(x.exp)), F80::new(x.sign, 0x3FFF, x.mant))
        }
    }
}
