//! SSE/SSE2 scalar floating point on bit patterns, under an MXCSR.
//!
//! One generic implementation over the format ([`Format`]: f32, f64) with everything in `u64`; the public functions are
//! instances of it. The differences from x87: the first operand's NaN wins, denormals may be read as zero (DAZ) and tiny
//! results flushed (FTZ, only while underflow is masked), minimum and maximum return the second operand when in doubt.
//! Packed instructions are these functions lane by lane over one [`Mxcsr`].
//!
//! Unmasked exceptions: SSE raises #XM and leaves the destination. IE, DE and ZE are found before computing; when one of
//! them is unmasked no lane's OE, UE or PE is reported. Callers that have an exception unmasked run the instruction on an
//! environment with `flags` zero, ask [`Mxcsr::unmasked`], and merge [`Mxcsr::settled`] into the guest's MXCSR.
//!
//! Fast paths: while the inexact flag is already set (it is sticky, so in any program after a few operations), rounding
//! is to nearest, and the operands are ordinary numbers, the host's own operation is exact enough: only an ordinary result
//! is accepted, which IEEE 754 determines bit for bit on every host.

use crate::{DE, IE, OE, PE, Rounding, UE, ZE};

/// MXCSR taken apart (SDM vol. 1, 10.2.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mxcsr {
    /// Rounding control, bits 13..=14.
    pub rounding: Rounding,
    /// Denormals are zeros, bit 6.
    pub daz: bool,
    /// Flush to zero, bit 15.
    pub ftz: bool,
    /// Exception masks, bits 7..=12, shifted down: set means masked.
    pub masks: u8,
    /// Sticky exception flags, bits 0..=5.
    pub flags: u8,
    /// Flags of steps that are complete, of instructions that consist of several: a later step's exception does not take them back.
    pub earlier: u8,
}

impl Mxcsr {
    /// From the register's value, flags included.
    #[inline]
    pub fn from_bits(v: u32) -> Mxcsr {
        Mxcsr {
            rounding: Rounding::from_rc((v >> 13) as u8),
            daz: v >> 6 & 1 != 0,
            ftz: v >> 15 & 1 != 0,
            masks: (v >> 7 & 0x3F) as u8,
            flags: (v & 0x3F) as u8,
            earlier: 0,
        }
    }

    /// `v` with this environment's flags added to its own.
    #[inline]
    pub fn merge(&self, v: u32) -> u32 {
        v | u32::from(self.settled() | self.earlier)
    }

    /// Whether a raised exception is not masked: the instruction must fault.
    #[inline]
    pub fn unmasked(&self) -> bool {
        self.flags & !self.masks & 0x3F != 0
    }

    /// The flags as the hardware reports them: none of OE, UE, PE beside an unmasked IE, DE or ZE.
    #[inline]
    pub fn settled(&self) -> u8 {
        if self.flags & !self.masks & (IE | DE | ZE) != 0 { self.flags & (IE | DE | ZE) } else { self.flags }
    }

    /// Ends a step of an instruction; whether the next one happens: it does unless there was an unmasked exception.
    pub fn step(&mut self) -> bool {
        if self.unmasked() {
            return false;
        }
        // With all masked, nothing depends on which step raised what.
        if self.masks != 0x3F {
            self.earlier |= core::mem::take(&mut self.flags);
        }
        true
    }

    #[inline]
    fn raise(&mut self, flags: u8) {
        self.flags |= flags;
    }

    /// Whether the host's own arithmetic may be used (see the module header).
    #[inline]
    fn relaxed(&self) -> bool {
        self.flags & self.masks & PE != 0 && self.rounding == Rounding::Nearest
    }
}

/// What an IEEE binary format looks like.
trait Format {
    /// Fraction bits.
    const FRAC: u32;
    /// The largest exponent field.
    const MAX: u64;
    const BIAS: i32 = (Self::MAX >> 1) as i32;
    const SIGN: u64 = (Self::MAX + 1) << Self::FRAC;
    const INF: u64 = Self::MAX << Self::FRAC;
    const QUIET: u64 = 1 << (Self::FRAC - 1);
    const DEFAULT_NAN: u64 = Self::SIGN | Self::INF | Self::QUIET;
}

#[derive(Debug)]
struct Single;
#[derive(Debug)]
struct Double;

impl Format for Single {
    const FRAC: u32 = 23;
    const MAX: u64 = 0xFF;
}

impl Format for Double {
    const FRAC: u32 = 52;
    const MAX: u64 = 0x7FF;
}

/// binary16: only converted.
#[derive(Debug)]
struct Half;

impl Format for Half {
    const FRAC: u32 = 10;
    const MAX: u64 = 0x1F;
}

fn exp_field<F: Format>(a: u64) -> u64 {
    a >> F::FRAC & F::MAX
}

fn is_nan<F: Format>(a: u64) -> bool {
    a & !F::SIGN > F::INF
}

fn is_snan<F: Format>(a: u64) -> bool {
    is_nan::<F>(a) && a & F::QUIET == 0
}

fn is_inf<F: Format>(a: u64) -> bool {
    a & !F::SIGN == F::INF
}

fn is_zero<F: Format>(a: u64) -> bool {
    a & !F::SIGN == 0
}

fn is_denormal<F: Format>(a: u64) -> bool {
    exp_field::<F>(a) == 0 && !is_zero::<F>(a)
}

fn is_negative<F: Format>(a: u64) -> bool {
    a & F::SIGN != 0
}

/// Neither zero, denormal, infinite nor NaN.
fn is_normal<F: Format>(a: u64) -> bool {
    exp_field::<F>(a).wrapping_sub(1) < F::MAX - 1
}

fn signed<F: Format>(sign: bool, magnitude: u64) -> u64 {
    if sign { F::SIGN | magnitude } else { magnitude }
}

/// A denormal operand read as zero under DAZ.
fn daz<F: Format>(a: u64, env: &Mxcsr) -> u64 {
    if env.daz && is_denormal::<F>(a) { a & F::SIGN } else { a }
}

/// Raises DE for denormal operands (DAZ has been applied).
fn denormals<F: Format>(a: u64, b: u64, env: &mut Mxcsr) {
    if is_denormal::<F>(a) || is_denormal::<F>(b) {
        env.raise(DE);
    }
}

/// The result when an operand is a NaN: the first NaN, quieted.
fn nan2<F: Format>(a: u64, b: u64, env: &mut Mxcsr) -> Option<u64> {
    let (na, nb) = (is_nan::<F>(a), is_nan::<F>(b));
    if !na && !nb {
        return None;
    }
    if is_snan::<F>(a) || is_snan::<F>(b) {
        env.raise(IE);
    }
    Some(if na { a | F::QUIET } else { b | F::QUIET })
}

fn invalid<F: Format>(env: &mut Mxcsr) -> u64 {
    env.raise(IE);
    F::DEFAULT_NAN
}

/// (exponent, significand with its top bit at bit 63) of a finite non-zero number.
fn unpack<F: Format>(a: u64) -> (i32, u64) {
    let frac = a & ((1 << F::FRAC) - 1);
    match exp_field::<F>(a) {
        0 => {
            let lz = frac.leading_zeros() & 63;
            (1 - F::BIAS + 63 - F::FRAC as i32 - lz as i32, frac << lz)
        }
        e => (e as i32 - F::BIAS, (1 << F::FRAC | frac) << (63 - F::FRAC)),
    }
}

fn jam(x: u64, n: u32) -> u64 {
    match n {
        0 => x,
        1..=63 => x >> n | u64::from(x << (64 - n) != 0),
        _ => u64::from(x != 0),
    }
}

/// Rounds and packs `mant * 2^(exp - 63)`, top bit set, bit 0 sticky.
fn pack<F: Format>(sign: bool, exp: i32, mant: u64, env: &mut Mxcsr) -> u64 {
    let drop = 63 - F::FRAC;
    let rounding = env.rounding;
    let cut = |m: u64| {
        let rest = m & ((1 << drop) - 1);
        let kept = m >> drop;
        (kept + u64::from(rounding.up(sign, rest.into(), 1 << (drop - 1), kept & 1 != 0)), rest != 0)
    };
    let (m, inexact) = cut(mant);
    let carry = m >> (F::FRAC + 1) != 0;
    let e = exp + F::BIAS + i32::from(carry);
    if e <= 0 {
        return tiny::<F>(sign, exp, mant, inexact, env);
    }
    if e >= F::MAX as i32 {
        // Unmasked, the instruction faults with what an unbounded exponent would give.
        env.raise(if env.masks & OE == 0 && !inexact { OE } else { OE | PE });
        let to_infinity = rounding.up(sign, 3, 2, true);
        return signed::<F>(sign, if to_infinity { F::INF } else { F::INF - 1 });
    }
    if inexact {
        env.raise(PE);
    }
    // A carry out of the fraction increments the exponent by itself.
    signed::<F>(sign, ((exp + F::BIAS) as u64) << F::FRAC).wrapping_add(m - (1 << F::FRAC))
}

/// A result that is tiny after rounding with unbounded exponent.
#[cold]
fn tiny<F: Format>(sign: bool, exp: i32, mant: u64, inexact_unbounded: bool, env: &mut Mxcsr) -> u64 {
    if env.masks & UE == 0 {
        // The instruction faults: only the flags matter.
        env.raise(if inexact_unbounded { UE | PE } else { UE });
        return 0;
    }
    if env.ftz {
        env.raise(UE | PE);
        return signed::<F>(sign, 0);
    }
    let drop = 63 - F::FRAC;
    let m = jam(mant, (1 - F::BIAS - exp) as u32);
    let rest = m & ((1 << drop) - 1);
    if rest != 0 {
        env.raise(UE | PE);
    }
    let kept = m >> drop;
    signed::<F>(sign, kept + u64::from(env.rounding.up(sign, rest.into(), 1 << (drop - 1), kept & 1 != 0)))
}

fn add<F: Format>(a: u64, b: u64, negate: bool, env: &mut Mxcsr) -> u64 {
    let (a, b) = (daz::<F>(a, env), daz::<F>(b, env));
    if let Some(nan) = nan2::<F>(a, b, env) {
        return nan;
    }
    let b = if negate { b ^ F::SIGN } else { b };
    if is_inf::<F>(a) || is_inf::<F>(b) {
        if is_inf::<F>(a) && is_inf::<F>(b) && a != b {
            return invalid::<F>(env);
        }
        denormals::<F>(a, b, env);
        return if is_inf::<F>(a) { a } else { b };
    }
    denormals::<F>(a, b, env);
    let cancelled = signed::<F>(env.rounding == Rounding::Down, 0);
    match (is_zero::<F>(a), is_zero::<F>(b)) {
        (true, true) => return if a == b { a } else { cancelled },
        (true, false) if is_normal::<F>(b) => return b,
        (false, true) if is_normal::<F>(a) => return a,
        _ => {}
    }
    // A denormal plus zero goes the long way: it may be flushed.
    let parts = |x: u64| if is_zero::<F>(x) { (i32::MIN / 2, 0) } else { unpack::<F>(x) };
    let ((ea, ma), (eb, mb)) = (parts(a), parts(b));
    let ((e, big, sign), (e2, small)) = if (ea, ma) >= (eb, mb) {
        ((ea, ma, is_negative::<F>(a)), (eb, mb))
    } else {
        ((eb, mb, is_negative::<F>(b)), (ea, ma))
    };
    // One bit of headroom for the carry; the formats leave ten bits or more below.
    let (big, small) = (big >> 1, jam(small >> 1, e.wrapping_sub(e2) as u32));
    let sum = if is_negative::<F>(a) == is_negative::<F>(b) { big + small } else { big - small };
    if sum == 0 {
        return cancelled;
    }
    let lz = sum.leading_zeros();
    pack::<F>(sign, e + 1 - lz as i32, sum << lz, env)
}

fn mul<F: Format>(a: u64, b: u64, env: &mut Mxcsr) -> u64 {
    let (a, b) = (daz::<F>(a, env), daz::<F>(b, env));
    if let Some(nan) = nan2::<F>(a, b, env) {
        return nan;
    }
    let sign = (a ^ b) & F::SIGN != 0;
    if is_inf::<F>(a) || is_inf::<F>(b) {
        if is_zero::<F>(a) || is_zero::<F>(b) {
            return invalid::<F>(env);
        }
        denormals::<F>(a, b, env);
        return signed::<F>(sign, F::INF);
    }
    denormals::<F>(a, b, env);
    if is_zero::<F>(a) || is_zero::<F>(b) {
        return signed::<F>(sign, 0);
    }
    let ((ea, ma), (eb, mb)) = (unpack::<F>(a), unpack::<F>(b));
    let product = u128::from(ma) * u128::from(mb);
    let high = (product >> 64) as u64 | u64::from(product as u64 != 0);
    let lz = high.leading_zeros();
    pack::<F>(sign, ea + eb + 1 - lz as i32, high << lz, env)
}

fn div<F: Format>(a: u64, b: u64, env: &mut Mxcsr) -> u64 {
    let (a, b) = (daz::<F>(a, env), daz::<F>(b, env));
    if let Some(nan) = nan2::<F>(a, b, env) {
        return nan;
    }
    let sign = (a ^ b) & F::SIGN != 0;
    match (is_inf::<F>(a), is_inf::<F>(b)) {
        (true, true) => return invalid::<F>(env),
        (true, false) => {
            denormals::<F>(a, b, env);
            return signed::<F>(sign, F::INF);
        }
        (false, true) => {
            denormals::<F>(a, b, env);
            return signed::<F>(sign, 0);
        }
        _ => {}
    }
    if is_zero::<F>(b) {
        if is_zero::<F>(a) {
            return invalid::<F>(env);
        }
        env.raise(ZE);
        return signed::<F>(sign, F::INF);
    }
    denormals::<F>(a, b, env);
    if is_zero::<F>(a) {
        return signed::<F>(sign, 0);
    }
    let ((ea, ma), (eb, mb)) = (unpack::<F>(a), unpack::<F>(b));
    let less = ma < mb;
    let (q, rest) = if F::FRAC < 32 {
        // 24-bit significands: 24 + 34 bits of dividend give 34 or more quotient bits.
        let (n, d) = (ma >> 6 >> u32::from(!less), mb >> 40);
        (n / d, n % d)
    } else {
        crate::div_sqrt::div_128_64(u128::from(ma) << (63 + u32::from(less)), mb)
    };
    let lz = q.leading_zeros();
    pack::<F>(sign, ea - eb - i32::from(less), q << lz | u64::from(rest != 0), env)
}

fn sqrt<F: Format>(a: u64, env: &mut Mxcsr) -> u64 {
    let a = daz::<F>(a, env);
    if let Some(nan) = nan2::<F>(a, a, env) {
        return nan;
    }
    if is_zero::<F>(a) {
        return a;
    }
    if is_negative::<F>(a) {
        return invalid::<F>(env);
    }
    if is_inf::<F>(a) {
        return a;
    }
    denormals::<F>(a, a, env);
    let (e, m) = unpack::<F>(a);
    let odd = (e & 1) as u32;
    let (root, rest) = if F::FRAC < 32 {
        // A 32-bit root of a 64-bit radicand.
        let n = m >> 1 << odd;
        let root = n.isqrt();
        (root << 32, n != root * root)
    } else {
        let n = u128::from(m) << (63 + odd);
        let root = n.isqrt();
        (root as u64, n != root * root)
    };
    pack::<F>(false, e >> 1, root | u64::from(rest), env)
}

/// MIN/MAX: the second operand for NaNs (IE even for a quiet one) and for two zeros.
fn min_max<F: Format>(a: u64, b: u64, max: bool, env: &mut Mxcsr) -> u64 {
    let (a, b) = (daz::<F>(a, env), daz::<F>(b, env));
    if is_nan::<F>(a) || is_nan::<F>(b) {
        env.raise(IE);
        return b;
    }
    denormals::<F>(a, b, env);
    let (x, y) = (order::<F>(a), order::<F>(b));
    if if max { x > y } else { x < y } { a } else { b }
}

/// A key that orders finite and infinite numbers; both zeros are equal.
fn order<F: Format>(a: u64) -> i64 {
    let m = (a & !F::SIGN) as i64;
    if is_negative::<F>(a) { -m } else { m }
}

/// (unordered, less, equal)
fn compare<F: Format>(a: u64, b: u64, signalling: bool, env: &mut Mxcsr) -> (bool, bool, bool) {
    let (a, b) = (daz::<F>(a, env), daz::<F>(b, env));
    if is_nan::<F>(a) || is_nan::<F>(b) {
        if signalling || is_snan::<F>(a) || is_snan::<F>(b) {
            env.raise(IE);
        }
        return (true, false, false);
    }
    denormals::<F>(a, b, env);
    let (x, y) = (order::<F>(a), order::<F>(b));
    (false, x < y, x == y)
}

/// CMPxx: predicates 0..=7 of SSE and 8..=31 of AVX (SDM vol. 2, CMPPD); bits above are ignored.
fn predicate<F: Format>(a: u64, b: u64, pred: u8, env: &mut Mxcsr) -> bool {
    // Bit 4 exchanges quiet and signalling; within 0..=15 these are the signalling ones.
    let signalling = matches!(pred & 15, 1 | 2 | 5 | 6 | 9 | 10 | 13 | 14) != (pred & 16 != 0);
    let (unordered, less, equal) = compare::<F>(a, b, signalling, env);
    let greater = !unordered && !less && !equal;
    match pred & 15 {
        0 => equal,
        1 => less,
        2 => less || equal,
        3 => unordered,
        4 => !equal,
        5 => !less,
        6 => !(less || equal),
        7 => !unordered,
        8 => equal || unordered,
        9 => !(greater || equal),
        10 => !greater,
        11 => false,
        12 => less || greater,
        13 => greater || equal,
        14 => greater,
        _ => true,
    }
}

/// To another format: CVTSS2SD, CVTSD2SS.
fn convert<F: Format, T: Format>(a: u64, env: &mut Mxcsr) -> u64 {
    let a = daz::<F>(a, env);
    let sign = is_negative::<F>(a);
    if is_nan::<F>(a) {
        if is_snan::<F>(a) {
            env.raise(IE);
        }
        let frac = (a & ((1 << F::FRAC) - 1)) << (63 - F::FRAC);
        return signed::<T>(sign, T::INF | T::QUIET | frac >> (63 - T::FRAC));
    }
    if is_inf::<F>(a) {
        return signed::<T>(sign, T::INF);
    }
    if is_zero::<F>(a) {
        return signed::<T>(sign, 0);
    }
    denormals::<F>(a, a, env);
    let (e, m) = unpack::<F>(a);
    pack::<T>(sign, e, m, env)
}

/// The value rounded to an integer: (magnitude, inexact?), or `None` at and above 2^64.
fn integral<F: Format>(a: u64, rounding: Rounding) -> Option<(u64, bool)> {
    if is_zero::<F>(a) {
        return Some((0, false));
    }
    let (e, m) = unpack::<F>(a);
    if e > 63 {
        return None;
    }
    let fixed = crate::round::jam(u128::from(m) << 64, (63 - e) as u32);
    let (int, rest) = ((fixed >> 64) as u64, fixed & u128::from(u64::MAX));
    let up = rounding.up(is_negative::<F>(a), rest, 1 << 63, int & 1 != 0);
    // Formats narrower than 64 bits have no fraction left where the increment could carry out.
    Some((int.wrapping_add(u64::from(up)), rest != 0))
}

/// CVT(T)xx2SI: the integer indefinite and IE for NaNs and whatever does not fit in `bits`.
fn to_int<F: Format>(a: u64, bits: u32, truncate: bool, env: &mut Mxcsr) -> i64 {
    let a = daz::<F>(a, env);
    let sign = is_negative::<F>(a);
    let limit = (1u64 << (bits - 1)) - u64::from(!sign);
    let rounding = if truncate { Rounding::Zero } else { env.rounding };
    let value = if exp_field::<F>(a) == F::MAX { None } else { integral::<F>(a, rounding) };
    match value {
        Some((m, inexact)) if m <= limit => {
            if inexact {
                env.raise(PE);
            }
            if sign { (m as i64).wrapping_neg() } else { m as i64 }
        }
        _ => {
            env.raise(IE);
            i64::MIN >> (64 - bits)
        }
    }
}

fn from_int<F: Format>(v: i64, env: &mut Mxcsr) -> u64 {
    if v == 0 {
        return 0;
    }
    let m = v.unsigned_abs();
    let lz = m.leading_zeros();
    pack::<F>(v < 0, 63 - lz as i32, m << lz, env)
}

/// ROUNDxx: to an integral value of the same format; PE only unless `quiet`.
fn round_int<F: Format>(a: u64, rounding: Rounding, quiet: bool, env: &mut Mxcsr) -> u64 {
    let a = daz::<F>(a, env);
    if let Some(nan) = nan2::<F>(a, a, env) {
        return nan;
    }
    let sign = is_negative::<F>(a);
    if exp_field::<F>(a) >= (F::BIAS + F::FRAC as i32) as u64 {
        return a;
    }
    let Some((m, inexact)) = integral::<F>(a, rounding) else { return a };
    if inexact && !quiet {
        env.raise(PE);
    }
    if m == 0 {
        return signed::<F>(sign, 0);
    }
    // At most 2^FRAC: exact.
    let lz = m.leading_zeros();
    pack::<F>(sign, 63 - lz as i32, m << lz, env)
}

/// `a * b + c` rounded once, with the sign of the product and of the addend changed if so said. NaNs are looked for in the order the caller gives, and
/// keep their signs.
fn fma<F: Format>(a: u64, b: u64, c: u64, product: bool, addend: bool, env: &mut Mxcsr) -> u64 {
    let (a, b, c) = (daz::<F>(a, env), daz::<F>(b, env), daz::<F>(c, env));
    let product_invalid = (is_inf::<F>(a) && is_zero::<F>(b)) || (is_zero::<F>(a) && is_inf::<F>(b));
    if is_nan::<F>(a) || is_nan::<F>(b) || is_nan::<F>(c) {
        if is_snan::<F>(a) || is_snan::<F>(b) || is_snan::<F>(c) {
            env.raise(IE);
        }
        let first = [a, b, c].into_iter().find(|&x| is_nan::<F>(x)).unwrap_or(c);
        return first | F::QUIET;
    }
    if product_invalid {
        return invalid::<F>(env);
    }
    let sign = ((a ^ b) & F::SIGN != 0) != product;
    let c = if addend { c ^ F::SIGN } else { c };
    let product_inf = is_inf::<F>(a) || is_inf::<F>(b);
    if product_inf && is_inf::<F>(c) && sign != is_negative::<F>(c) {
        return invalid::<F>(env);
    }
    denormals::<F>(a, b, env);
    denormals::<F>(c, c, env);
    if product_inf {
        return signed::<F>(sign, F::INF);
    }
    if is_inf::<F>(c) {
        return c;
    }
    let cancelled = signed::<F>(env.rounding == Rounding::Down, 0);
    let product_zero = is_zero::<F>(a) || is_zero::<F>(b);
    if product_zero && is_zero::<F>(c) {
        return if sign == is_negative::<F>(c) { c } else { cancelled };
    }
    // Both terms with their top bit at bit 126 of 128: the product is exact, what alignment loses is sticky.
    let part = |e: i32, m: u128| {
        let lz = m.leading_zeros();
        (e + 1 - lz as i32, m << lz >> 1)
    };
    let nothing = (i32::MIN / 2, 0u128);
    let p = if product_zero {
        nothing
    } else {
        let ((ea, ma), (eb, mb)) = (unpack::<F>(a), unpack::<F>(b));
        part(ea + eb, u128::from(ma) * u128::from(mb))
    };
    let q = if is_zero::<F>(c) {
        nothing
    } else {
        let (e, m) = unpack::<F>(c);
        part(e, u128::from(m) << 63)
    };
    let ((e, big), (e2, small), s) = if p >= q { (p, q, sign) } else { (q, p, is_negative::<F>(c)) };
    let small = crate::round::jam(small, e.wrapping_sub(e2) as u32);
    let sum = if sign == is_negative::<F>(c) { big + small } else { big - small };
    if sum == 0 {
        return cancelled;
    }
    let lz = sum.leading_zeros();
    let sum = sum << lz;
    let high = (sum >> 64) as u64 | u64::from(sum as u64 != 0);
    pack::<F>(s, e + 1 - lz as i32, high, env)
}

/// One format's public functions.
macro_rules! format_functions {
    ($format:ident, $bits:ident, $float:ident, $name:literal,
     $add:ident $sub:ident $mul:ident $div:ident $sqrt:ident $min:ident $max:ident $fma:ident $fma_signed:ident $cmp:ident $comi:ident $ucomi:ident
     $to_i32:ident $to_i64:ident $from_i32:ident $from_i64:ident $round:ident) => {
        /// Whether the host operation may stand in for `a op b` giving `r`.
        macro_rules! fast {
            ($a:expr, $b:expr, $env:expr, $op:tt) => {
                if $env.relaxed() && is_normal::<$format>($a.into()) && is_normal::<$format>($b.into()) {
                    let r = ($float::from_bits($a) $op $float::from_bits($b)).to_bits();
                    // The smallest normal number may have been reached by rounding up from a tiny one.
                    if is_normal::<$format>(r.into()) && exp_field::<$format>(r.into()) > 1 {
                        return r;
                    }
                }
            };
        }
        #[doc = concat!("ADD of two ", $name, " numbers.")]
        #[inline]
        pub fn $add(a: $bits, b: $bits, env: &mut Mxcsr) -> $bits {
            fast!(a, b, env, +);
            add::<$format>(a.into(), b.into(), false, env) as $bits
        }
        #[doc = concat!("SUB of two ", $name, " numbers.")]
        #[inline]
        pub fn $sub(a: $bits, b: $bits, env: &mut Mxcsr) -> $bits {
            fast!(a, b, env, -);
            add::<$format>(a.into(), b.into(), true, env) as $bits
        }
        #[doc = concat!("MUL of two ", $name, " numbers.")]
        #[inline]
        pub fn $mul(a: $bits, b: $bits, env: &mut Mxcsr) -> $bits {
            fast!(a, b, env, *);
            mul::<$format>(a.into(), b.into(), env) as $bits
        }
        #[doc = concat!("DIV of two ", $name, " numbers.")]
        #[inline]
        pub fn $div(a: $bits, b: $bits, env: &mut Mxcsr) -> $bits {
            fast!(a, b, env, /);
            div::<$format>(a.into(), b.into(), env) as $bits
        }
        #[doc = concat!("SQRT of a ", $name, " number.")]
        pub fn $sqrt(a: $bits, env: &mut Mxcsr) -> $bits {
            sqrt::<$format>(a.into(), env) as $bits
        }
        #[doc = concat!("MIN of two ", $name, " numbers, `a` the destination operand.")]
        pub fn $min(a: $bits, b: $bits, env: &mut Mxcsr) -> $bits {
            min_max::<$format>(a.into(), b.into(), false, env) as $bits
        }
        #[doc = concat!("MAX of two ", $name, " numbers, `a` the destination operand.")]
        pub fn $max(a: $bits, b: $bits, env: &mut Mxcsr) -> $bits {
            min_max::<$format>(a.into(), b.into(), true, env) as $bits
        }
        #[doc = concat!("`a * b + c` of ", $name, " numbers rounded once (FMA3). The first NaN of a, b, c wins.")]
        pub fn $fma(a: $bits, b: $bits, c: $bits, env: &mut Mxcsr) -> $bits {
            fma::<$format>(a.into(), b.into(), c.into(), false, false, env) as $bits
        }
        #[doc = concat!("The same, `product` and `addend` telling whether the sign of `a * b` and of `c` is changed.")]
        pub fn $fma_signed(a: $bits, b: $bits, c: $bits, product: bool, addend: bool, env: &mut Mxcsr) -> $bits {
            fma::<$format>(a.into(), b.into(), c.into(), product, addend, env) as $bits
        }
        #[doc = concat!("CMP of two ", $name, " numbers by predicate 0..=7 (SSE) or 0..=31 (AVX).")]
        pub fn $cmp(a: $bits, b: $bits, pred: u8, env: &mut Mxcsr) -> bool {
            predicate::<$format>(a.into(), b.into(), pred, env)
        }
        #[doc = concat!("COMI of two ", $name, " numbers: (unordered, less, equal); any NaN is invalid.")]
        pub fn $comi(a: $bits, b: $bits, env: &mut Mxcsr) -> (bool, bool, bool) {
            compare::<$format>(a.into(), b.into(), true, env)
        }
        #[doc = concat!("UCOMI of two ", $name, " numbers: (unordered, less, equal); only a signalling NaN is invalid.")]
        pub fn $ucomi(a: $bits, b: $bits, env: &mut Mxcsr) -> (bool, bool, bool) {
            compare::<$format>(a.into(), b.into(), false, env)
        }
        #[doc = concat!("A ", $name, " number to i32, truncated or as MXCSR rounds; the integer indefinite if it does not fit.")]
        pub fn $to_i32(a: $bits, truncate: bool, env: &mut Mxcsr) -> i32 {
            to_int::<$format>(a.into(), 32, truncate, env) as i32
        }
        #[doc = concat!("A ", $name, " number to i64, truncated or as MXCSR rounds; the integer indefinite if it does not fit.")]
        pub fn $to_i64(a: $bits, truncate: bool, env: &mut Mxcsr) -> i64 {
            to_int::<$format>(a.into(), 64, truncate, env)
        }
        #[doc = concat!("i32 to a ", $name, " number.")]
        pub fn $from_i32(v: i32, env: &mut Mxcsr) -> $bits {
            from_int::<$format>(v.into(), env) as $bits
        }
        #[doc = concat!("i64 to a ", $name, " number.")]
        pub fn $from_i64(v: i64, env: &mut Mxcsr) -> $bits {
            from_int::<$format>(v, env) as $bits
        }
        #[doc = concat!("ROUND (SSE4.1) of a ", $name, " number: `rounding` as the immediate or MXCSR says; `quiet` suppresses PE.")]
        pub fn $round(a: $bits, rounding: Rounding, quiet: bool, env: &mut Mxcsr) -> $bits {
            round_int::<$format>(a.into(), rounding, quiet, env) as $bits
        }
    };
}

mod single {
    use super::*;
    format_functions!(Single, u32, f32, "single-precision", f32_add f32_sub f32_mul f32_div f32_sqrt f32_min f32_max f32_fma f32_fma_signed f32_cmp f32_comi f32_ucomi
        f32_to_i32 f32_to_i64 i32_to_f32 i64_to_f32 f32_round);
}

mod double {
    use super::*;
    format_functions!(Double, u64, f64, "double-precision", f64_add f64_sub f64_mul f64_div f64_sqrt f64_min f64_max f64_fma f64_fma_signed f64_cmp f64_comi f64_ucomi
        f64_to_i32 f64_to_i64 i32_to_f64 i64_to_f64 f64_round);
}

pub use double::*;
pub use single::*;

/// CVTSS2SD.
pub fn f32_to_f64(a: u32, env: &mut Mxcsr) -> u64 {
    convert::<Single, Double>(a.into(), env)
}

/// CVTSD2SS.
pub fn f64_to_f32(a: u64, env: &mut Mxcsr) -> u32 {
    convert::<Double, Single>(a, env) as u32
}

/// VCVTPH2PS: exact, so it knows neither DAZ nor a denormal operand; only a signalling NaN is invalid.
pub fn f16_to_f32(a: u16, env: &mut Mxcsr) -> u32 {
    let mut plain = Mxcsr { daz: false, flags: 0, ..*env };
    let r = convert::<Half, Single>(a.into(), &mut plain) as u32;
    env.raise(plain.flags & IE);
    r
}

/// VCVTPS2PH with the given rounding; results are never flushed to zero.
pub fn f32_to_f16(a: u32, rounding: Rounding, env: &mut Mxcsr) -> u16 {
    let mut own = Mxcsr { ftz: false, rounding, ..*env };
    let r = convert::<Single, Half>(a.into(), &mut own) as u16;
    env.flags = own.flags;
    r
}
