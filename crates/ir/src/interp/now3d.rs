//! 3DNow!: pairs of binary32 in MMX registers (AMD64 Architecture Programmer's Manual, vol. 5).
//!
//! Its arithmetic has no status and no modes: it rounds to nearest, takes denormals for zeros, gives zero for what would be one, and the largest number
//! for what would be infinite. Operands with an exponent of all ones are not supported; they are taken for the numbers that IEEE 754 makes of them here.
//! The approximations of reciprocals are the rounded exact values, which is more than the manual asks for, so that one step of iteration ends in
//! them as well.

use super::V;
use crate::ops::Now3dFn;

/// Magnitudes below are no numbers of 3DNow!.
const LEAST: u32 = 0x0080_0000;
/// The largest finite number.
const MOST: u32 = 0x7f7f_ffff;

/// An operand: a denormal is a zero with its sign.
fn operand(bits: u32) -> f32 {
    f32::from_bits(if bits & 0x7f80_0000 == 0 { bits & 0x8000_0000 } else { bits })
}

/// A result in the format.
fn result(x: f32) -> u32 {
    let bits = x.to_bits();
    let (sign, size) = (bits & 0x8000_0000, bits & 0x7fff_ffff);
    match size {
        0..LEAST => sign,
        0x7f80_0000 => sign | MOST,
        // No number: the same on every host.
        0x7f80_0001.. => MOST,
        _ => bits,
    }
}

/// pf2id, pf2iw: truncated, and the nearest where it does not fit.
fn to_int(x: f32, most: i32) -> u32 {
    (x as i32).clamp(-most - 1, most) as u32
}

/// pi2fd: truncated to 24 bits.
fn from_int(n: i32) -> u32 {
    let size = n.unsigned_abs();
    let excess = (32 - size.leading_zeros()).saturating_sub(24);
    let cut = (size >> excess << excess) as f32;
    (if n < 0 { -cut } else { cut }).to_bits()
}

/// The factor of a step of Newton's iteration: what corrects an approximation of 14 bits or more is 1 here, where that is the rounded value already.
fn correction(x: f32) -> f32 {
    if (x - 1.0).abs() < f32::exp2(-13.0) { 1.0 } else { x }
}

/// One operation on the low halves.
pub(super) fn run(imm: u64, a: V, b: V) -> V {
    let Some(what) = Now3dFn::from_imm(imm) else { return V::default() };
    let halves = |v: V| [v.lo as u32, (v.lo >> 32) as u32];
    let (x, y) = (halves(a), halves(b));
    let (p, q) = (x.map(operand), y.map(operand));
    let each = |f: &dyn Fn(f32, f32) -> u32| [f(p[0], q[0]), f(p[1], q[1])];
    let mask = |yes: bool| if yes { u32::MAX } else { 0 };
    // Zeros of either sign are the positive one.
    let plain = |v: f32| if v == 0.0 { 0.0 } else { v };
    // The low number counts; both halves get the result.
    let both = |v: f32| [result(v); 2];
    let words = |v: V| -> [u16; 4] { std::array::from_fn(|n| (v.lo >> (16 * n)) as u16) };
    let [lo, hi] = match what {
        Now3dFn::Add => each(&|a, b| result(a + b)),
        Now3dFn::Sub => each(&|a, b| result(a - b)),
        Now3dFn::SubReverse => each(&|a, b| result(b - a)),
        Now3dFn::Mul => each(&|a, b| result(a * b)),
        Now3dFn::Accumulate => [result(p[0] + p[1]), result(q[0] + q[1])],
        Now3dFn::NegativeAccumulate => [result(p[0] - p[1]), result(q[0] - q[1])],
        Now3dFn::MixedAccumulate => [result(p[0] - p[1]), result(q[0] + q[1])],
        Now3dFn::CompareEq => each(&|a, b| mask(a == b)),
        Now3dFn::CompareGt => each(&|a, b| mask(a > b)),
        Now3dFn::CompareGe => each(&|a, b| mask(a >= b)),
        Now3dFn::Max => each(&|a, b| result(if plain(a) > plain(b) { plain(a) } else { plain(b) })),
        Now3dFn::Min => each(&|a, b| result(if plain(a) < plain(b) { plain(a) } else { plain(b) })),
        Now3dFn::Reciprocal => both(1.0 / q[0]),
        Now3dFn::ReciprocalRoot => {
            let root = 1.0 / f64::from(q[0].abs()).sqrt();
            both((root as f32).copysign(q[0]))
        }
        Now3dFn::ReciprocalStep1 => each(&|a, b| result(correction((-a).mul_add(b, 2.0)))),
        Now3dFn::ReciprocalRootStep1 => each(&|a, b| result(correction((-a).mul_add(b, 3.0) / 2.0))),
        Now3dFn::Step2 => each(&|a, b| result(a * b)),
        Now3dFn::ToInt => q.map(|v| to_int(v, i32::MAX)),
        Now3dFn::ToInt16 => q.map(|v| to_int(v, 0x7fff)),
        Now3dFn::FromInt => y.map(|v| from_int(v as i32)),
        Now3dFn::FromInt16 => y.map(|v| f32::from(v as i16).to_bits()),
        Now3dFn::MulHighRound => {
            let product = |n: usize| {
                let p = i32::from(words(a)[n] as i16) * i32::from(words(b)[n] as i16);
                u32::from((p.wrapping_add(0x8000) >> 16) as u16)
            };
            [product(0) | product(1) << 16, product(2) | product(3) << 16]
        }
        Now3dFn::Swap => [y[1], y[0]],
    };
    V::from(u64::from(hi) << 32 | u64::from(lo))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(what: Now3dFn, a: [f32; 2], b: [f32; 2]) -> [u32; 2] {
        let join = |v: [f32; 2]| V::from(u64::from(v[1].to_bits()) << 32 | u64::from(v[0].to_bits()));
        let v = run(what as u64, join(a), join(b));
        [v.lo as u32, (v.lo >> 32) as u32]
    }

    #[test]
    fn numbers_stay_in_the_format() {
        let tiny = f32::from_bits(1);
        let least = f32::from_bits(LEAST);
        assert_eq!(pair(Now3dFn::Add, [tiny, -0.0], [1.0, -0.0]), [0x3f80_0000, 0x8000_0000]);
        assert_eq!(pair(Now3dFn::Mul, [least, f32::MAX], [0.5, -2.0]), [0, 0x8000_0000 | MOST]);
        assert_eq!(pair(Now3dFn::SubReverse, [1.0, 3.0], [4.0, 1.0]), [3f32.to_bits(), (-2f32).to_bits()]);
        assert_eq!(pair(Now3dFn::Reciprocal, [9.0, 9.0], [0.0, 5.0]), [MOST; 2]);
        assert_eq!(pair(Now3dFn::Reciprocal, [9.0, 9.0], [-4.0, 5.0]), [(-0.25f32).to_bits(); 2]);
    }

    #[test]
    fn halves_go_where_they_belong() {
        let bits = |v: [f32; 2]| v.map(f32::to_bits);
        assert_eq!(pair(Now3dFn::Accumulate, [1.0, 2.0], [10.0, 20.0]), bits([3.0, 30.0]));
        assert_eq!(pair(Now3dFn::NegativeAccumulate, [1.0, 2.0], [10.0, 20.0]), bits([-1.0, -10.0]));
        assert_eq!(pair(Now3dFn::MixedAccumulate, [1.0, 2.0], [10.0, 20.0]), bits([-1.0, 30.0]));
        assert_eq!(pair(Now3dFn::Swap, [1.0, 2.0], [10.0, 20.0]), bits([20.0, 10.0]));
        assert_eq!(pair(Now3dFn::Max, [-0.0, -3.0], [-1.0, -2.0]), bits([0.0, -2.0]));
        assert_eq!(pair(Now3dFn::Min, [-0.0, -3.0], [1.0, -2.0]), bits([0.0, -3.0]));
        assert_eq!(pair(Now3dFn::CompareGe, [0.0, 1.0], [-0.0, 2.0]), [u32::MAX, 0]);
    }

    #[test]
    fn conversions_cut() {
        assert_eq!(pair(Now3dFn::ToInt, [0.0; 2], [-2.9, 3e9]), [(-2i32) as u32, 0x7fff_ffff]);
        assert_eq!(pair(Now3dFn::ToInt16, [0.0; 2], [-2.9, -4e4]), [(-2i32) as u32, 0xffff_8000]);
        let ints = V::from(0x01ff_ffff | 0x8000_0000u64 << 32);
        let v = run(Now3dFn::FromInt as u64, V::default(), ints);
        assert_eq!([v.lo as u32, (v.lo >> 32) as u32], [0x4bff_ffff, 0xcf00_0000]);
        let v = run(Now3dFn::FromInt16 as u64, V::default(), V::from(0x0001_fffe | 0x7fff_0003u64 << 32));
        assert_eq!([v.lo as u32, (v.lo >> 32) as u32], [(-2f32).to_bits(), 3f32.to_bits()]);
        let v = run(Now3dFn::MulHighRound as u64, V::from(0x7fff_8000_0001_0002), V::from(0x7fff_8000_8000_4000));
        assert_eq!(v.lo, 0x3fff_4000_0000_0001);
    }

    /// The manual's recipes for division and roots end in the rounded value.
    #[test]
    fn iterations_end_in_the_exact_value() {
        let mut bits = 0x3f80_0001u32;
        for _ in 0..20_000 {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let b = f32::from_bits(0x2000_0000 + (bits >> 2));
            let step = |what, x: f32, y: f32| f32::from_bits(pair(what, [x; 2], [y; 2])[0]);
            let x0 = step(Now3dFn::Reciprocal, 0.0, b);
            let x1 = step(Now3dFn::ReciprocalStep1, b, x0);
            let x2 = step(Now3dFn::Step2, x1, x0);
            let off = |x: f32, y: f64| (x.to_bits() as i32 - (y as f32).to_bits() as i32).abs();
            assert!(off(x2, 1.0 / f64::from(b)) == 0, "1 / {b}");
            let y0 = step(Now3dFn::ReciprocalRoot, 0.0, b);
            let y1 = step(Now3dFn::Mul, y0, y0);
            let y2 = step(Now3dFn::ReciprocalRootStep1, b, y1);
            let y3 = step(Now3dFn::Step2, y2, y0);
            assert!(off(y3, 1.0 / f64::from(b).sqrt()) == 0, "1 / sqrt {b}");
        }
    }
}
