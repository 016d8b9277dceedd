//! Floating point with a 128-bit significand: the working precision of the transcendental functions.
//!
//! Each operation truncates and keeps a sticky bit where something falls off, so an error of a few units in the 128th
//! bit accumulates: more than 50 bits below what the result is rounded to. Exact results stay exact, which is how the
//! callers know whether to raise PE.

use crate::round::jam;
use crate::unpack::Num;

/// `mant * 2^(exp - 127)`; the top bit of `mant` is set, or `mant` is zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wide {
    pub sign: bool,
    pub exp: i32,
    pub mant: u128,
}

impl Wide {
    pub(crate) const ZERO: Wide = Wide { sign: false, exp: 0, mant: 0 };
    pub(crate) const ONE: Wide = Wide { sign: false, exp: 0, mant: 1 << 127 };
    pub(crate) const PI: Wide = Wide { sign: false, exp: 1, mant: 0xC90FDAA2_2168C234_C4C6628B_80DC1CD1 };
    pub(crate) const HALF_PI: Wide = Wide { sign: false, exp: 0, mant: 0xC90FDAA2_2168C234_C4C6628B_80DC1CD1 };
    pub(crate) const LN2: Wide = Wide { sign: false, exp: -1, mant: 0xB17217F7_D1CF79AB_C9E3B398_03F2F6AF };
    pub(crate) const L2E: Wide = Wide { sign: false, exp: 0, mant: 0xB8AA3B29_5C17F0BB_BE87FED0_691D3E89 };

    pub(crate) fn of(n: Num) -> Wide {
        Wide { sign: n.sign, exp: n.exp, mant: u128::from(n.mant) << 64 }
    }

    /// `m * 2^(exp - 127)`, normalised.
    pub(crate) fn normalised(sign: bool, exp: i32, m: u128) -> Wide {
        if m == 0 {
            return Wide::ZERO;
        }
        let lz = m.leading_zeros();
        Wide { sign, exp: exp - lz as i32, mant: m << lz }
    }

    pub(crate) fn from_i32(v: i32) -> Wide {
        Wide::normalised(v < 0, 127, u128::from(v.unsigned_abs()))
    }

    pub(crate) fn neg(self) -> Wide {
        Wide { sign: !self.sign, ..self }
    }

    pub(crate) fn abs(self) -> Wide {
        Wide { sign: false, ..self }
    }

    /// `self * 2^n`
    pub(crate) fn scale(self, n: i32) -> Wide {
        Wide { exp: self.exp + n, ..self }
    }

    pub(crate) fn add(self, o: Wide) -> Wide {
        if self.mant == 0 {
            return o;
        }
        if o.mant == 0 {
            return self;
        }
        let (x, y) = if (self.exp, self.mant) >= (o.exp, o.mant) { (self, o) } else { (o, self) };
        let small = jam(y.mant, (x.exp - y.exp) as u32);
        if x.sign != y.sign {
            return Wide::normalised(x.sign, x.exp, x.mant - small);
        }
        let (sum, carry) = x.mant.overflowing_add(small);
        if carry {
            Wide { sign: x.sign, exp: x.exp + 1, mant: 1 << 127 | sum >> 1 | sum & 1 }
        } else {
            Wide { sign: x.sign, exp: x.exp, mant: sum }
        }
    }

    pub(crate) fn sub(self, o: Wide) -> Wide {
        self.add(o.neg())
    }

    pub(crate) fn mul(self, o: Wide) -> Wide {
        if self.mant == 0 || o.mant == 0 {
            return Wide::ZERO;
        }
        let (ah, al) = (self.mant >> 64, self.mant & u128::from(u64::MAX));
        let (bh, bl) = (o.mant >> 64, o.mant & u128::from(u64::MAX));
        let low = al * bl;
        let (mid, carry) = (ah * bl).overflowing_add(al * bh);
        let (low, carry2) = low.overflowing_add(mid << 64);
        let high = ah * bh + (mid >> 64) + (u128::from(carry) << 64) + u128::from(carry2);
        let exp = self.exp + o.exp;
        let sign = self.sign != o.sign;
        // The product of two significands in [1, 2) lies in [1, 4): one normalising shift at most.
        if high >> 127 != 0 {
            Wide { sign, exp: exp + 1, mant: high | u128::from(low != 0) }
        } else {
            Wide { sign, exp, mant: high << 1 | low >> 127 | u128::from(low << 1 != 0) }
        }
    }

    /// Restoring division, one bit a step. The divisor is not zero.
    pub(crate) fn div(self, o: Wide) -> Wide {
        if self.mant == 0 {
            return Wide::ZERO;
        }
        let less = self.mant < o.mant;
        let mut rest = self.mant;
        let mut q = 0u128;
        // The first quotient bit is the integer bit; when the dividend is the smaller one it is shifted once first.
        let mut over = false;
        if less {
            over = rest >> 127 != 0;
            rest <<= 1;
        }
        for i in 0..128 {
            if i != 0 {
                over = rest >> 127 != 0;
                rest <<= 1;
            }
            q <<= 1;
            if over || rest >= o.mant {
                rest = rest.wrapping_sub(o.mant);
                q |= 1;
            }
        }
        Wide { sign: self.sign != o.sign, exp: self.exp - o.exp - i32::from(less), mant: q | u128::from(rest != 0) }
    }

    /// Division by a small positive integer.
    pub(crate) fn div_small(self, n: u32) -> Wide {
        let n = u128::from(n);
        let q = Wide::normalised(self.sign, self.exp, self.mant / n);
        Wide { mant: q.mant | u128::from(self.mant % n != 0), ..q }
    }
}
