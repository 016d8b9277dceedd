//! Packed decimal (FBLD, FBSTP): 18 digits in nine bytes, the sign in bit 7 of the tenth (SDM vol. 1, 4.7).

use crate::convert::{bounded_integer, from_i64};
use crate::{Env, F80, IE};

/// FBLD. Nibbles above nine are undefined for the hardware; here each counts with its value.
pub fn from_bcd(b: [u8; 10]) -> F80 {
    let mut v = 0i64;
    for &byte in b[..9].iter().rev() {
        v = v * 100 + i64::from(byte >> 4) * 10 + i64::from(byte & 15);
    }
    let f = from_i64(v);
    if b[9] >> 7 != 0 { f.neg() } else { f }
}

/// FBSTP: rounded to an integer as the control word says; beyond 18 digits IE and the packed indefinite.
pub fn to_bcd(a: F80, env: &mut Env) -> [u8; 10] {
    let Some(mut v) = bounded_integer(a, 999_999_999_999_999_999, env) else {
        env.raise(IE);
        return [0, 0, 0, 0, 0, 0, 0, 0xC0, 0xFF, 0xFF];
    };
    let mut out = [0; 10];
    for byte in &mut out[..9] {
        let pair = (v % 100) as u8;
        v /= 100;
        *byte = ((pair / 10) << 4) | (pair % 10);
    }
    out[9] = u8::from(a.is_negative()) << 7;
    out
}
