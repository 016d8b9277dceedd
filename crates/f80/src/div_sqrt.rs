//! Division and square root (FDIV, FDIVR, FSQRT).

use crate::add::denormal_operands;
use crate::round::round_pack;
use crate::unpack::{Num, nan1, nan2, normals};
use crate::{Class, Env, F80, ZE};

/// `a / b`.
pub fn div(a: F80, b: F80, env: &mut Env) -> F80 {
    match normals(a, b) {
        Some((x, y)) => ratio(x, y, env),
        None => div_special(a, b, env),
    }
}

/// An operand is a zero, denormal, infinity, NaN or unsupported.
#[cold]
fn div_special(a: F80, b: F80, env: &mut Env) -> F80 {
    if let Some(nan) = nan2(a, b, env) {
        return nan;
    }
    let sign = a.is_negative() != b.is_negative();
    match (a.class(), b.class()) {
        (Class::Infinity, Class::Infinity) | (Class::Zero, Class::Zero) => return env.invalid(),
        (Class::Infinity, _) => {
            denormal_operands(a, b, env);
            return F80::infinity(sign);
        }
        (_, Class::Infinity) | (Class::Zero, _) => {
            denormal_operands(a, b, env);
            return F80::zero(sign);
        }
        (_, Class::Zero) => {
            env.raise(ZE);
            return F80::infinity(sign);
        }
        _ => {}
    }
    let (x, y) = (Num::of(a, env), Num::of(b, env));
    ratio(x, y, env)
}

fn ratio(x: Num, y: Num, env: &mut Env) -> F80 {
    let (mant, exp) = quotient(x.mant, y.mant, x.exp - y.exp);
    round_pack(x.sign != y.sign, exp, mant, env)
}

/// Quotient of two normalised significands as a 128-bit one with a sticky bit, and its exponent.
#[inline]
pub(crate) fn quotient(a: u64, b: u64, exp: i32) -> (u128, i32) {
    let less = a < b;
    let num = u128::from(a) << if less { 64 } else { 63 };
    let (q, r) = div_128_64(num, b);
    let rest = u128::from(r) << 1;
    let guard = rest >= u128::from(b);
    let sticky = if guard { rest != u128::from(b) } else { r != 0 };
    let mant = u128::from(q) << 64 | u128::from(guard) << 63 | u128::from(sticky);
    (mant, exp - i32::from(less))
}

/// 128 by 64 bits, where the quotient is known to fit in 64 and `d` has its top bit set: two 64/32 steps of schoolbook
/// division (Knuth, volume 2, 4.3.1, algorithm D), about twice as fast as the general 128/128 routine.
#[inline]
pub(crate) fn div_128_64(num: u128, d: u64) -> (u64, u64) {
    let (hi, lo) = ((num >> 64) as u64, num as u64);
    let (d1, d0) = (d >> 32, d & 0xFFFF_FFFF);
    let step = |hi: u64, next: u64| -> (u64, u64) {
        let (mut q, mut r) = (hi / d1, hi % d1);
        while q >> 32 != 0 || q * d0 > (r << 32 | next) {
            q -= 1;
            r += d1;
            if r >> 32 != 0 {
                break;
            }
        }
        (q, (hi << 32 | next).wrapping_sub(q.wrapping_mul(d)))
    };
    let (q1, r1) = step(hi, lo >> 32);
    let (q0, r0) = step(r1, lo & 0xFFFF_FFFF);
    (q1 << 32 | q0, r0)
}

/// The square root of `a`; negative numbers (not -0) are invalid.
pub fn sqrt(a: F80, env: &mut Env) -> F80 {
    if let Some(nan) = nan1(a, env) {
        return nan;
    }
    match a.class() {
        Class::Zero => return a,
        _ if a.is_negative() => return env.invalid(),
        Class::Infinity => return a,
        _ => {}
    }
    let n = Num::of(a, env);
    let odd = n.exp & 1;
    let radicand = u128::from(n.mant) << (63 + odd);
    let root = radicand.isqrt();
    let rest = radicand - root * root;
    // (root + 1/2)^2 = root^2 + root + 1/4: the guard bit is set when the remainder exceeds the root.
    let mant = root << 64 | u128::from(rest > root) << 63 | u128::from(rest != 0);
    round_pack(false, n.exp >> 1, mant, env)
}
