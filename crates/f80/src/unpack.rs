//! Operands taken apart: the one place that knows denormals, NaN selection and unsupported encodings.
//!
//! Order of detection is the hardware's (SDM vol. 1, table 8-... "Exception Priority", 4.9.2): unsupported and signalling
//! operands, then quiet NaNs, then the operation's own invalid and zero-divide cases, then denormal operands, then the
//! computation. So an operation first asks [`nan2`], handles its own special cases, and only then [`Num::of`]s.

use crate::{BIAS, Class, DE, Env, F80, IE};

/// A finite non-zero number: `mant * 2^(exp - 63)`, with the top bit of `mant` set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Num {
    pub sign: bool,
    pub exp: i32,
    pub mant: u64,
}

impl Num {
    /// Takes a finite, supported, non-zero value apart, raising DE for a (pseudo-)denormal.
    #[inline]
    pub(crate) fn of(a: F80, env: &mut Env) -> Num {
        if a.exp_field() == 0 {
            env.raise(DE);
        }
        Num::quietly(a)
    }

    /// The same without DE.
    #[inline]
    pub(crate) fn quietly(a: F80) -> Num {
        let e = i32::from(a.exp_field()).max(1) - BIAS;
        // A zero significand never gets here; `& 63` keeps the shift defined all the same.
        let lz = a.mant.leading_zeros() & 63;
        Num { sign: a.is_negative(), exp: e - lz as i32, mant: a.mant << lz }
    }
}

/// Two ordinary numbers, unpacked without further ado: the usual case of every operation.
#[inline]
pub(crate) fn normals(a: F80, b: F80) -> Option<(Num, Num)> {
    let normal = |x: F80| x.exp_field().wrapping_sub(1) < 0x7FFE && x.mant >> 63 != 0;
    let num = |x: F80| Num { sign: x.is_negative(), exp: i32::from(x.exp_field()) - BIAS, mant: x.mant };
    if normal(a) && normal(b) { Some((num(a), num(b))) } else { None }
}

/// Result of an operation with one operand when that is a NaN or unsupported.
#[inline]
pub(crate) fn nan1(a: F80, env: &mut Env) -> Option<F80> {
    match a.class() {
        Class::Unsupported => Some(env.invalid()),
        Class::SNan => {
            env.raise(IE);
            Some(a.quiet())
        }
        Class::QNan => Some(a),
        _ => None,
    }
}

/// Result of an operation with two operands when one is a NaN or unsupported (SDM vol. 1, table 4-7, x87 column).
#[inline]
pub(crate) fn nan2(a: F80, b: F80, env: &mut Env) -> Option<F80> {
    let ordinary = |x: F80| x.exp_field() != 0x7FFF && (x.mant >> 63 != 0 || x.exp_field() == 0);
    if ordinary(a) && ordinary(b) {
        return None;
    }
    let (ca, cb) = (a.class(), b.class());
    if ca == Class::Unsupported || cb == Class::Unsupported {
        return Some(env.invalid());
    }
    if ca == Class::SNan || cb == Class::SNan {
        env.raise(IE);
    }
    match (a.is_nan(), b.is_nan()) {
        (false, false) => None,
        (true, false) => Some(a.quiet()),
        (false, true) => Some(b.quiet()),
        (true, true) => Some(match (ca, cb) {
            (Class::SNan, Class::QNan) => b,
            (Class::QNan, Class::SNan) => a,
            // The larger significand; between equal ones the positive.
            _ if a.mant > b.mant => a.quiet(),
            _ if a.mant < b.mant => b.quiet(),
            _ if a.is_negative() => b.quiet(),
            _ => a.quiet(),
        }),
    }
}
