//! The transcendental instructions (F2XM1, FYL2X, FYL2XP1, FPATAN, FPTAN, FSIN, FCOS, FSINCOS).
//!
//! Approach: reduce the argument so that a Taylor series converges by five or more bits a term, sum it with 128-bit
//! significands ([`Wide`]), and round once. The result is the correctly rounded one except where the true value lies
//! within about 2^-50 of a rounding boundary, relative to the last place. Processors promise less (within one unit in
//! the last place, SDM vol. 1, 8.3.10), so the last bit of a result may differ from a given processor's, and C1 with it.
//!
//! FSIN, FCOS, FSINCOS and FPTAN reduce by the processors' 66-bit approximation of pi (SDM vol. 1, 8.3.8), exactly: for
//! large arguments that, and not the mathematical sine, is what programs see.

use crate::round::round_to;
use crate::unpack::{Num, nan1, nan2};
use crate::wide::Wide;
use crate::{Class, Env, F80, PE, Precision, ZE};

/// atan(i/16) for i = 1..=16.
#[rustfmt::skip]
const ATAN: [Wide; 16] = [
    Wide { sign: false, exp: -5, mant: 0xFFAADDB9_67EF4E36_CB2792DC_0E2E0D51 },
    Wide { sign: false, exp: -4, mant: 0xFEADD4D5_617B6E32_C897989F_3E888EF8 },
    Wide { sign: false, exp: -3, mant: 0xBDCBDA5E_72D81134_7B0B4F88_1C9C7488 },
    Wide { sign: false, exp: -3, mant: 0xFADBAFC9_6406EB15_6DC79EF5_F7A217E6 },
    Wide { sign: false, exp: -2, mant: 0x9B13B9B8_3F5E5E69_C5ABB498_D27AF328 },
    Wide { sign: false, exp: -2, mant: 0xB7B0CA0F_26F78473_8AA32122_DCFE4483 },
    Wide { sign: false, exp: -2, mant: 0xD327761E_611FE5B6_427C95E9_001E7136 },
    Wide { sign: false, exp: -2, mant: 0xED63382B_0DDA7B45_6FE445EC_BC3A8D03 },
    Wide { sign: false, exp: -1, mant: 0x832BF4A6_D9867E2A_4B6A09CB_61A515C1 },
    Wide { sign: false, exp: -1, mant: 0x8F005D5E_F7F59F9B_5C835E16_65C43748 },
    Wide { sign: false, exp: -1, mant: 0x9A2F80E6_71BDDA20_4226F8E2_204FF3BD },
    Wide { sign: false, exp: -1, mant: 0xA4BC7D19_34F70924_19A87F2A_457DAC9F },
    Wide { sign: false, exp: -1, mant: 0xAEAC4C38_B4D8C080_14725E2F_3E52070A },
    Wide { sign: false, exp: -1, mant: 0xB8053E2B_C2319E73_CB2DA552_10A4443D },
    Wide { sign: false, exp: -1, mant: 0xC0CE85B8_AC526640_89DD62C4_6E92FA25 },
    Wide { sign: false, exp: -1, mant: 0xC90FDAA2_2168C234_C4C6628B_80DC1CD1 },
];

/// pi/2 to 66 bits, in units of 2^-65.
const HALF_PI_66: u128 = 0x3_243F_6A88_85A3_08D3;

/// Rounds to 64 bits whatever the precision control says: it does not apply to these instructions.
fn finish(w: Wide, env: &mut Env) -> F80 {
    if w.mant == 0 {
        return F80::zero(w.sign);
    }
    round_to(w.sign, w.exp, w.mant, Precision::Extended64, env)
}

/// A result known to be irrational: the sticky bit is set even where 128 bits look exact.
fn finish_inexact(w: Wide, env: &mut Env) -> F80 {
    finish(Wide { mant: w.mant | 1, ..w }, env)
}

/// e^y - 1 for |y| < 0.7.
fn expm1(y: Wide) -> Wide {
    let mut acc = Wide::ONE;
    for k in (2..=33).rev() {
        acc = Wide::ONE.add(y.mul(acc).div_small(k));
    }
    y.mul(acc)
}

/// F2XM1: 2^a - 1 for |a| <= 1. Beyond that range the result is undefined (SDM vol. 2); `a` itself is returned there.
pub fn f2xm1(a: F80, env: &mut Env) -> F80 {
    if let Some(nan) = nan1(a, env) {
        return nan;
    }
    match a.class() {
        Class::Zero => return a,
        Class::Infinity => return if a.is_negative() { F80::ONE.neg() } else { a },
        _ => {}
    }
    let n = Num::of(a, env);
    if n.exp > 0 || (n.exp == 0 && n.mant != 1 << 63) {
        return a;
    }
    if n.exp == 0 {
        return if n.sign { F80::new(true, 0x3FFE, 1 << 63) } else { F80::ONE };
    }
    finish_inexact(expm1(Wide::of(n).mul(Wide::LN2)), env)
}

/// The sum `1 + z/3 + z^2/5 + ...` or, alternating, `1 - z/3 + z^2/5 - ...`, with `terms` terms.
fn odd_series(z: Wide, alternate: bool, terms: u32) -> Wide {
    let z = if alternate { z.neg() } else { z };
    let mut acc = Wide::ZERO;
    for k in (0..terms).rev() {
        acc = Wide::ONE.div_small(2 * k + 1).add(z.mul(acc));
    }
    acc
}

/// log2((1 + s) / (1 - s)) for |s| <= 0.172.
fn log2_ratio(s: Wide) -> Wide {
    s.mul(odd_series(s.mul(s), false, 27)).scale(1).mul(Wide::L2E)
}

/// log2(w) for positive `w`, exact for powers of two.
fn log2(w: Wide) -> Wide {
    // sqrt(2) to 32 bits is cut enough.
    const SQRT2: u128 = 0xB504_F333 << 96;
    let up = w.mant > SQRT2;
    let m = Wide { sign: false, exp: if up { -1 } else { 0 }, mant: w.mant };
    let whole = Wide::from_i32(w.exp + i32::from(up));
    let num = m.sub(Wide::ONE);
    if num.mant == 0 { whole } else { whole.add(log2_ratio(num.div(m.add(Wide::ONE)))) }
}

/// FYL2X: `y * log2(x)`, y = ST(1), x = ST(0).
pub fn fyl2x(y: F80, x: F80, env: &mut Env) -> F80 {
    if let Some(nan) = nan2(y, x, env) {
        return nan;
    }
    let (cy, cx) = (y.class(), x.class());
    let sy = y.is_negative();
    if x.is_negative() && cx != Class::Zero {
        return env.invalid();
    }
    match (cy, cx) {
        (Class::Zero, Class::Zero) | (Class::Zero, Class::Infinity) => return env.invalid(),
        (Class::Infinity, Class::Zero) => return F80::infinity(!sy),
        (_, Class::Zero) => {
            env.raise(ZE);
            return F80::infinity(!sy);
        }
        (_, Class::Infinity) => {
            if cy != Class::Infinity {
                Num::of(y, env);
            }
            return F80::infinity(sy);
        }
        _ => {}
    }
    let n = Num::of(x, env);
    let below_one = n.exp < 0;
    let one = n.exp == 0 && n.mant == 1 << 63;
    match cy {
        Class::Infinity if one => return env.invalid(),
        Class::Infinity => return F80::infinity(sy != below_one),
        Class::Zero => return F80::zero(sy != below_one),
        _ => {}
    }
    let m = Num::of(y, env);
    let log = log2(Wide::of(n));
    if log.mant == 0 {
        return F80::zero(sy);
    }
    finish(log.mul(Wide::of(m)), env)
}

/// FYL2XP1: `y * log2(x + 1)`, y = ST(1), x = ST(0). Defined for |x| < 1 - sqrt(1/2); computed for every x > -1,
/// invalid at and below -1.
pub fn fyl2xp1(y: F80, x: F80, env: &mut Env) -> F80 {
    if let Some(nan) = nan2(y, x, env) {
        return nan;
    }
    let (cy, cx) = (y.class(), x.class());
    let (sy, sx) = (y.is_negative(), x.is_negative());
    match (cy, cx) {
        (Class::Infinity, Class::Zero) | (Class::Zero, Class::Infinity) => return env.invalid(),
        (_, Class::Infinity) => return if sx { env.invalid() } else { F80::infinity(sy) },
        (_, Class::Zero) => {
            if !matches!(cy, Class::Zero) {
                Num::of(y, env);
            }
            return F80::zero(sx != sy);
        }
        _ => {}
    }
    let n = Num::of(x, env);
    if n.sign && n.exp >= 0 {
        return env.invalid();
    }
    match cy {
        Class::Infinity => return F80::infinity(sx != sy),
        Class::Zero => return F80::zero(sx != sy),
        _ => {}
    }
    let m = Num::of(y, env);
    let w = Wide::of(n);
    let log = if n.exp < -2 {
        // Near zero through x / (2 + x), which loses nothing to cancellation.
        log2_ratio(w.div(w.add(Wide::ONE.scale(1))))
    } else {
        log2(w.add(Wide::ONE))
    };
    finish_inexact(log.mul(Wide::of(m)), env)
}

/// atan(num / den) for 0 < num <= den.
fn atan(num: Wide, den: Wide) -> Wide {
    let t = num.div(den);
    // The nearest sixteenth.
    let i = match t.exp {
        ..=-6 => 0,
        e => ((t.mant >> (127 - 5 - e) as u32) as u32).div_ceil(2).min(16),
    };
    let series = |u: Wide| u.mul(odd_series(u.mul(u), true, 14));
    if i == 0 {
        return series(t);
    }
    let c = Wide::from_i32(i as i32).scale(-4);
    let u = t.sub(c).div(Wide::ONE.add(t.mul(c)));
    ATAN[i as usize - 1].add(series(u))
}

/// FPATAN: the angle of the point (x, y), y = ST(1), x = ST(0).
pub fn fpatan(y: F80, x: F80, env: &mut Env) -> F80 {
    if let Some(nan) = nan2(y, x, env) {
        return nan;
    }
    let (cy, cx) = (y.class(), x.class());
    let signed = |w: Wide| Wide { sign: y.is_negative(), ..w };
    let quarter = Wide::HALF_PI.scale(-1);
    match (cy, cx) {
        (Class::Infinity, Class::Infinity) => {
            let angle = if x.is_negative() { Wide::PI.sub(quarter) } else { quarter };
            return finish_inexact(signed(angle), env);
        }
        (Class::Zero, _) | (_, Class::Infinity) => {
            crate::add::denormal_operands(x, y, env);
            return if x.is_negative() { finish_inexact(signed(Wide::PI), env) } else { F80::zero(y.is_negative()) };
        }
        (Class::Infinity, _) | (_, Class::Zero) => {
            crate::add::denormal_operands(x, y, env);
            return finish_inexact(signed(Wide::HALF_PI), env);
        }
        _ => {}
    }
    let (ny, nx) = (Wide::of(Num::of(y, env)), Wide::of(Num::of(x, env)));
    let (ay, ax) = (ny.abs(), nx.abs());
    let steep = (ay.exp, ay.mant) > (ax.exp, ax.mant);
    let angle = match (steep, nx.sign) {
        (false, false) => atan(ay, ax),
        (false, true) => Wide::PI.sub(atan(ay, ax)),
        (true, false) => Wide::HALF_PI.sub(atan(ax, ay)),
        (true, true) => Wide::HALF_PI.add(atan(ax, ay)),
    };
    finish_inexact(signed(angle), env)
}

/// The argument modulo pi/2, in [-pi/4, pi/4], and the quadrant; `None` when |a| >= 2^63.
fn reduce(n: Num) -> Option<(Wide, u32)> {
    if n.exp >= 63 {
        return None;
    }
    if n.exp < -1 {
        return Some((Wide::of(n), 0));
    }
    // In units of 2^-65 the argument is mant * 2^(exp + 2): feed the shift in one bit at a time.
    let mut rest = u128::from(n.mant);
    let mut q = 0u32;
    for _ in 0..n.exp + 2 {
        rest <<= 1;
        q <<= 1;
        if rest >= HALF_PI_66 {
            rest -= HALF_PI_66;
            q |= 1;
        }
    }
    let mut sign = n.sign;
    if rest << 1 > HALF_PI_66 {
        rest = HALF_PI_66 - rest;
        sign = !sign;
        q = q.wrapping_add(1);
    }
    let q = if n.sign { q.wrapping_neg() } else { q };
    Some((Wide::normalised(sign, 127 - 65, rest), q & 3))
}

/// `1 - z/(a(a+1)) + z^2/(a(a+1)(a+2)(a+3)) - ...`: the cosine of sqrt(z) from a = 1, the sine over sqrt(z) from a = 2.
fn even_series(z: Wide, a: u32) -> Wide {
    let mut acc = Wide::ONE;
    for k in (0..18).rev() {
        let d = a + 2 * k;
        acc = Wide::ONE.sub(z.mul(acc).div_small(d * (d + 1)));
    }
    acc
}

/// Sine and cosine of a finite non-zero argument.
fn sin_cos(n: Num) -> Option<(Wide, Wide)> {
    let (r, q) = reduce(n)?;
    let z = r.mul(r);
    let s = if r.mant == 0 { Wide::ZERO } else { r.mul(even_series(z, 2)) };
    let c = if r.mant == 0 { Wide::ONE } else { even_series(z, 1) };
    Some(match q {
        0 => (s, c),
        1 => (c, s.neg()),
        2 => (s.neg(), c.neg()),
        _ => (c.neg(), s),
    })
}

/// FSIN; `None` when |a| >= 2^63: the operand stays and C2 is set.
pub fn fsin(a: F80, env: &mut Env) -> Option<F80> {
    Some(fsincos(a, env)?.0)
}

/// FCOS; `None` when |a| >= 2^63: the operand stays and C2 is set.
pub fn fcos(a: F80, env: &mut Env) -> Option<F80> {
    if let Some(special) = trig_special(a, env) {
        return Some(special.1);
    }
    let n = Num::quietly(a);
    let (_, c) = sin_cos(n)?;
    Num::of(a, env);
    Some(finish_inexact(c, env))
}

/// Results of NaNs, infinities and zeros: (sine, cosine).
fn trig_special(a: F80, env: &mut Env) -> Option<(F80, F80)> {
    if let Some(nan) = nan1(a, env) {
        return Some((nan, nan));
    }
    match a.class() {
        Class::Infinity => {
            let nan = env.invalid();
            Some((nan, nan))
        }
        Class::Zero => Some((a, F80::ONE)),
        _ => None,
    }
}

/// FSINCOS: (sine, cosine); `None` when |a| >= 2^63: the operand stays and C2 is set.
pub fn fsincos(a: F80, env: &mut Env) -> Option<(F80, F80)> {
    if let Some(special) = trig_special(a, env) {
        return Some(special);
    }
    let n = Num::quietly(a);
    let (s, c) = sin_cos(n)?;
    Num::of(a, env);
    let cos = finish_inexact(c, &mut Env { flags: env.flags, ..*env });
    let sin = finish_inexact(s, env);
    Some((sin, cos))
}

/// FPTAN: (tangent, the value pushed after it: 1.0, or the NaN again); `None` when |a| >= 2^63: the operand stays, C2
/// is set and nothing is pushed.
pub fn fptan(a: F80, env: &mut Env) -> Option<(F80, F80)> {
    if let Some((s, c)) = trig_special(a, env) {
        return Some((s, c));
    }
    let n = Num::quietly(a);
    let (s, c) = sin_cos(n)?;
    Num::of(a, env);
    if c.mant == 0 {
        // The 66-bit pi/2 has more bits than an operand, so no operand is an exact odd multiple of it.
        env.raise(PE);
        return Some((F80::infinity(s.sign), F80::ONE));
    }
    Some((finish_inexact(s.div(c), env), F80::ONE))
}
