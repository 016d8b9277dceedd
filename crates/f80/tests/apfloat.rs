//! The crate against `rustc_apfloat`, an independent implementation that also runs where there is no x87: values, and the
//! exception flags that the two define alike. NaN payloads and denormal flags are x86's own (see `silicon.rs`).

use demotic_f80::sse::{self, Mxcsr};
use demotic_f80::*;
use rustc_apfloat::ieee::{Double, Single, X87DoubleExtended};
use rustc_apfloat::{Float, Round, Status, StatusAnd};

const CASES: usize = 300_000;

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Mostly ordinary exponents around `bias`, sometimes extreme ones.
    fn exponent(&mut self, max: u64) -> u64 {
        match self.next() % 8 {
            0 => 0,
            1 => max,
            2 => self.next() % (max + 1),
            3 => max / 4 + self.next() % 40,
            4 => max - max / 4 - self.next() % 40,
            _ => max / 2 - 30 + self.next() % 60,
        }
    }

    fn fraction(&mut self, bits: u32) -> u64 {
        let runs = !0u64 << (self.next() % 64) ^ 1 << (self.next() % 64);
        (if self.next() % 2 == 0 { self.next() } else { runs }) & (u64::MAX >> (64 - bits))
    }
}

const ROUNDINGS: [(Rounding, Round); 4] = [
    (Rounding::Nearest, Round::NearestTiesToEven),
    (Rounding::Down, Round::TowardNegative),
    (Rounding::Up, Round::TowardPositive),
    (Rounding::Zero, Round::TowardZero),
];

/// IE, ZE and PE of an apfloat status.
fn flags(s: Status) -> u8 {
    [(Status::INVALID_OP, IE), (Status::DIV_BY_ZERO, ZE), (Status::INEXACT, PE)]
        .iter()
        .filter(|(bit, _)| s.contains(*bit))
        .fold(0, |all, (_, flag)| all | flag)
}

/// apfloat reports no overflow where the result is the largest finite number, so that flag is `silicon.rs`'s.
const COMMON: u8 = IE | ZE | PE;

#[test]
fn x87_arithmetic() {
    let mut rng = Rng(0x1234_5678_9ABC_DEF1);
    for i in 0..CASES {
        let mut operand = || {
            let e = rng.exponent(0x7FFF);
            let int = u64::from(e != 0) << 63;
            F80::new(rng.next() & 1 != 0, e as u16, int | rng.fraction(63))
        };
        let (a, b) = (operand(), operand());
        let (rounding, round) = ROUNDINGS[i % 4];
        let bits = |x: F80| u128::from(x.se) << 64 | u128::from(x.mant);
        let (x, y) = (X87DoubleExtended::from_bits(bits(a)), X87DoubleExtended::from_bits(bits(b)));
        type Ours = fn(F80, F80, &mut Env) -> F80;
        let rows: [(Ours, StatusAnd<X87DoubleExtended>); 4] =
            [(add, x.add_r(y, round)), (sub, x.sub_r(y, round)), (mul, x.mul_r(y, round)), (div, x.div_r(y, round))];
        for (op, (ours, want)) in rows.into_iter().enumerate() {
            let mut env = Env::from_cw(0x37F);
            env.rounding = rounding;
            let got = ours(a, b, &mut env);
            if want.value.is_nan() {
                assert_eq!(got.class(), Class::QNan, "op {op} {a:x?} {b:x?}");
                continue;
            }
            assert_eq!(bits(got), want.value.to_bits(), "op {op} {a:x?} {b:x?} {rounding:?}");
            assert_eq!(env.flags & COMMON, flags(want.status), "op {op} {a:x?} {b:x?} {rounding:?}");
        }
    }
}

macro_rules! sse_arithmetic {
    ($name:ident, $format:ident, $bits:ident, $frac:literal, $max:literal, $add:ident $sub:ident $mul:ident $div:ident $fma:ident) => {
        #[test]
        fn $name() {
            let mut rng = Rng(0xFEDC_BA98_7654_3211);
            for i in 0..CASES {
                let mut operand = || {
                    let sign = (rng.next() & 1) << ($bits::BITS - 1);
                    (sign | rng.exponent($max) << $frac | rng.fraction($frac)) as $bits
                };
                let (a, b, c) = (operand(), operand(), operand());
                let (rounding, round) = ROUNDINGS[i % 4];
                let of = |v: $bits| $format::from_bits(v.into());
                type Ours = fn($bits, $bits, $bits, &mut Mxcsr) -> $bits;
                let rows: [(Ours, StatusAnd<$format>); 5] = [
                    (|a, b, _, env| sse::$add(a, b, env), of(a).add_r(of(b), round)),
                    (|a, b, _, env| sse::$sub(a, b, env), of(a).sub_r(of(b), round)),
                    (|a, b, _, env| sse::$mul(a, b, env), of(a).mul_r(of(b), round)),
                    (|a, b, _, env| sse::$div(a, b, env), of(a).div_r(of(b), round)),
                    (|a, b, c, env| sse::$fma(a, b, c, env), of(a).mul_add_r(of(b), of(c), round)),
                ];
                for (op, (ours, want)) in rows.into_iter().enumerate() {
                    // Once with and once without the sticky inexact flag: the fast path and the long way.
                    for csr in [0x1F80, 0x1FA0] {
                        let mut env = Mxcsr { rounding, ..Mxcsr::from_bits(csr) };
                        let got = ours(a, b, c, &mut env);
                        if want.value.is_nan() {
                            assert!($format::from_bits(got.into()).is_nan(), "op {op} {a:#x} {b:#x} {c:#x}");
                            continue;
                        }
                        assert_eq!(u128::from(got), want.value.to_bits(), "op {op} {a:#x} {b:#x} {c:#x} {rounding:?}");
                        let sticky = (csr & 0x3F) as u8;
                        assert_eq!(env.flags & COMMON, flags(want.status) | sticky, "op {op} {a:#x} {b:#x} {c:#x}");
                    }
                }
            }
        }
    };
}

sse_arithmetic!(single_arithmetic, Single, u32, 23, 0xFF, f32_add f32_sub f32_mul f32_div f32_fma);
sse_arithmetic!(double_arithmetic, Double, u64, 52, 0x7FF, f64_add f64_sub f64_mul f64_div f64_fma);

#[test]
fn conversions() {
    let mut rng = Rng(0x0F0F_1234_0F0F_4321);
    for i in 0..CASES {
        let a = F80::new(rng.next() & 1 != 0, (0x3FFF - 1100 + rng.next() % 2200) as u16, 1 << 63 | rng.fraction(63));
        let (rounding, round) = ROUNDINGS[i % 4];
        let x = X87DoubleExtended::from_bits(u128::from(a.se) << 64 | u128::from(a.mant));
        let mut loses = false;
        let mut env = Env { rounding, ..Env::from_cw(0x37F) };
        let want: StatusAnd<Double> = rustc_apfloat::FloatConvert::convert_r(x, round, &mut loses);
        assert_eq!(u128::from(to_f64(a, &mut env)), want.value.to_bits(), "{a:x?}");
        assert_eq!(env.flags & COMMON, flags(want.status), "{a:x?}");
        let want: StatusAnd<Single> = rustc_apfloat::FloatConvert::convert_r(x, round, &mut loses);
        assert_eq!(u128::from(to_f32(a, &mut env)), want.value.to_bits(), "{a:x?}");
        let bits = rng.next();
        let wide = Double::from_bits(bits.into());
        if wide.is_finite() {
            let want: StatusAnd<X87DoubleExtended> = rustc_apfloat::FloatConvert::convert(wide, &mut loses);
            let got = from_f64(bits, &mut env);
            assert_eq!(u128::from(got.se) << 64 | u128::from(got.mant), want.value.to_bits());
        }
    }
}
