//! Multiplication (FMUL).

use crate::add::denormal_operands;
use crate::round::round_pack;
use crate::unpack::{Num, nan2, normals};
use crate::{Class, Env, F80};

/// `a * b`.
pub fn mul(a: F80, b: F80, env: &mut Env) -> F80 {
    match normals(a, b) {
        Some((x, y)) => product(x, y, env),
        None => mul_special(a, b, env),
    }
}

/// An operand is a zero, denormal, infinity, NaN or unsupported.
#[cold]
fn mul_special(a: F80, b: F80, env: &mut Env) -> F80 {
    if let Some(nan) = nan2(a, b, env) {
        return nan;
    }
    let sign = a.is_negative() != b.is_negative();
    match (a.class(), b.class()) {
        (Class::Infinity, Class::Zero) | (Class::Zero, Class::Infinity) => return env.invalid(),
        (Class::Infinity, _) | (_, Class::Infinity) => {
            denormal_operands(a, b, env);
            return F80::infinity(sign);
        }
        (Class::Zero, _) | (_, Class::Zero) => {
            denormal_operands(a, b, env);
            return F80::zero(sign);
        }
        _ => {}
    }
    let (x, y) = (Num::of(a, env), Num::of(b, env));
    product(x, y, env)
}

fn product(x: Num, y: Num, env: &mut Env) -> F80 {
    let product = u128::from(x.mant) * u128::from(y.mant);
    let lz = product.leading_zeros();
    round_pack(x.sign != y.sign, x.exp + y.exp + 1 - lz as i32, product << lz, env)
}
