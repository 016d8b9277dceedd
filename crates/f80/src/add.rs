//! Addition, subtraction, comparison (FADD, FSUB, FSUBR, FCOM, FUCOM, FCOMI, FTST).

use crate::round::{jam, round_pack};
use crate::unpack::{Num, nan2, normals};
use crate::{Class, DE, Env, F80, IE, Ordering4, Rounding};

/// `a + b`.
#[inline]
pub fn add(a: F80, b: F80, env: &mut Env) -> F80 {
    add_signed(a, b, false, env)
}

/// `a - b`.
#[inline]
pub fn sub(a: F80, b: F80, env: &mut Env) -> F80 {
    add_signed(a, b, true, env)
}

#[inline]
fn add_signed(a: F80, b: F80, negate: bool, env: &mut Env) -> F80 {
    match normals(a, b) {
        Some((x, y)) => sum(x, Num { sign: y.sign != negate, ..y }, env),
        None => add_special(a, b, negate, env),
    }
}

/// An operand is a zero, denormal, infinity, NaN or unsupported.
#[cold]
fn add_special(a: F80, b: F80, negate: bool, env: &mut Env) -> F80 {
    if let Some(nan) = nan2(a, b, env) {
        return nan;
    }
    // The sign is flipped after the NaN rules, which want the operand as it was.
    let b = if negate { b.neg() } else { b };
    match (a.class(), b.class()) {
        (Class::Infinity, Class::Infinity) if a.se != b.se => return env.invalid(),
        (Class::Infinity, _) | (_, Class::Infinity) => {
            denormal_operands(a, b, env);
            return if a.class() == Class::Infinity { a } else { b };
        }
        (Class::Zero, Class::Zero) => {
            return if a.se == b.se { a } else { F80::zero(env.rounding == Rounding::Down) };
        }
        (Class::Zero, _) => return renormalised(b, env),
        (_, Class::Zero) => return renormalised(a, env),
        _ => {}
    }
    let (x, y) = (Num::of(a, env), Num::of(b, env));
    sum(x, y, env)
}

fn sum(x: Num, y: Num, env: &mut Env) -> F80 {
    let (x, y) = if (x.exp, x.mant) >= (y.exp, y.mant) { (x, y) } else { (y, x) };
    // One bit of headroom for the carry, 63 bits below for guard and sticky.
    let big = u128::from(x.mant) << 63;
    let small = jam(u128::from(y.mant) << 63, (x.exp - y.exp) as u32);
    let sum = if x.sign == y.sign { big + small } else { big - small };
    if sum == 0 {
        return F80::zero(env.rounding == Rounding::Down);
    }
    let lz = sum.leading_zeros();
    round_pack(x.sign, x.exp + 1 - lz as i32, sum << lz, env)
}

/// A number plus zero: still rounded to the precision control's width.
fn renormalised(a: F80, env: &mut Env) -> F80 {
    let n = Num::of(a, env);
    round_pack(n.sign, n.exp, u128::from(n.mant) << 64, env)
}

/// Raises DE if an operand is a denormal.
#[inline]
pub(crate) fn denormal_operands(a: F80, b: F80, env: &mut Env) {
    let denormal = |x: F80| x.exp_field() == 0 && x.mant != 0;
    if denormal(a) || denormal(b) {
        env.raise(DE);
    }
}

/// Compares `a` with `b`. A NaN raises IE unless `quiet` (FUCOM) and it is a quiet one; an unsupported operand always does.
pub fn compare(a: F80, b: F80, env: &mut Env, quiet: bool) -> Ordering4 {
    let (ca, cb) = (a.class(), b.class());
    let loud = |c| c == Class::SNan || c == Class::Unsupported || (c == Class::QNan && !quiet);
    let unordered = |c| matches!(c, Class::SNan | Class::QNan | Class::Unsupported);
    if unordered(ca) || unordered(cb) {
        if loud(ca) || loud(cb) {
            env.raise(IE);
        }
        return Ordering4::Unordered;
    }
    denormal_operands(a, b, env);
    // Sign-magnitude order; a pseudo-denormal counts with the exponent one.
    let key = |x: F80| {
        let magnitude = i128::from(x.exp_field().max(1)) << 64 | i128::from(x.mant);
        let magnitude = if x.mant == 0 && x.exp_field() == 0 { 0 } else { magnitude };
        if x.is_negative() { -magnitude } else { magnitude }
    };
    match key(a).cmp(&key(b)) {
        core::cmp::Ordering::Less => Ordering4::Less,
        core::cmp::Ordering::Equal => Ordering4::Equal,
        core::cmp::Ordering::Greater => Ordering4::Greater,
    }
}
