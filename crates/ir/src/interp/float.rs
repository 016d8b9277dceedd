//! SSE floating point: the arithmetic is `demotic_f80::sse`; here are lanes, MXCSR and #XM.

use super::vector::{lane, with_lane};
use super::{Scratch, Trap, V, int::sext_bits};
use crate::block::Inst;
use crate::ops::{Op, PackedCvt, WIDE};
use crate::state::{GuestState, eflags};
use crate::ty::Ty;
use demotic_f80::Rounding;
use demotic_f80::sse::{self, Mxcsr};

/// Exception masks in MXCSR.
const MASKS: u32 = 0x1f80;
/// Vector of the SIMD floating-point exception.
const XM: u8 = 19;

/// Executes an operation that reads MXCSR and raises nothing.
pub(super) fn quiet(inst: &Inst, state: &GuestState, s: &Scratch) -> V {
    let mut env = Mxcsr::from_bits(state.mxcsr);
    env.flags = 0;
    match inst.op {
        Op::FHi => compute(&half(inst, 2), s, &mut env),
        Op::FFmaHi => fma(inst, s, &mut env),
        _ => {
            if inst.op == Op::FFlags {
                compute(&Inst { op: Op::FLo, ..*inst }, s, &mut env);
            } else {
                fma(inst, s, &mut env);
            }
            V::from(u64::from(env.flags))
        }
    }
}

/// The operation that [`Op::FLo`] and [`Op::FHi`] stand for, on the operands from number `first` on.
fn half(inst: &Inst, first: usize) -> Inst {
    let op = WIDE.get((inst.imm >> 16) as usize).copied().unwrap_or(Op::FAdd);
    let mut args = inst.args;
    (args[0], args[1]) = (inst.args[first], inst.args[first + 1]);
    Inst { op, args, imm: inst.imm & 0xffff, ..*inst }
}

/// Lanes of a * b + c.
fn fma(inst: &Inst, s: &Scratch, env: &mut Mxcsr) -> V {
    let ty = inst.ty;
    let [a, b, c] = [0, 1, 2].map(|k| s.get(inst.args[k]));
    let lanes = if inst.imm & 0x100 == 0 { 1 } else { 128 / ty.bits() };
    let mut r = a;
    for n in 0..lanes {
        let [x, y, z] = [a, b, c].map(|v| lane(ty, v, n));
        let product = inst.imm & 1 != 0;
        let addend = inst.imm & 2 != 0 || inst.imm & if n & 1 == 0 { 4 } else { 8 } != 0;
        let v = if ty == Ty::F64 {
            sse::f64_fma_signed(x, y, z, product, addend, env)
        } else {
            u64::from(sse::f32_fma_signed(x as u32, y as u32, z as u32, product, addend, env))
        };
        r = with_lane(ty, r, n, v);
    }
    r
}

/// See [`super::invalid_for_host`].
pub(super) fn invalid_for_host(inst: &Inst, s: &Scratch) -> bool {
    if !matches!(inst.op, Op::FFma | Op::FFmaFl | Op::FFmaHi) {
        return false;
    }
    let ty = inst.ty;
    // Without the sign: infinity, and the first quiet NaN.
    let (infinity, quiet) = match ty {
        Ty::F64 => (0x7ff << 52, 0xfff << 51),
        _ => (0xff << 23, 0x1ff << 22),
    };
    let lanes = if inst.imm & 0x100 == 0 { 1 } else { 128 / ty.bits() };
    (0..lanes).any(|n| {
        let [x, y, z] = [0, 1, 2].map(|k| lane(ty, s.get(inst.args[k]), n) & (ty.mask() >> 1));
        z >= quiet && (x == infinity && y == 0 || x == 0 && y == infinity)
    })
}

/// Executes one SSE floating-point operation.
pub(super) fn run(inst: &Inst, state: &mut GuestState, s: &Scratch) -> Result<V, Trap> {
    let bits = state.mxcsr;
    let mut env = Mxcsr::from_bits(bits);
    let all_masked = bits & MASKS == MASKS;
    if !all_masked {
        env.flags = 0;
    }
    let v = compute(inst, s, &mut env);
    state.mxcsr = env.merge(bits);
    if !all_masked && env.unmasked() {
        return Err(Trap::new(XM));
    }
    Ok(v)
}

fn compute(inst: &Inst, s: &Scratch, env: &mut Mxcsr) -> V {
    let a = s.get(inst.args[0]);
    let b = s.get(inst.args[1]);
    let double = inst.ty == Ty::F64;
    match inst.op {
        Op::FLo => {
            let (low, high) = (half(inst, 0), half(inst, 2));
            if low.op == Op::FDot {
                let pair = |i: &Inst| (s.get(i.args[0]), s.get(i.args[1]));
                return dot(&low, &[pair(&low), pair(&high)], env)[0];
            }
            let r = compute(&low, s, env);
            compute(&high, s, env);
            r
        }
        Op::FFma => {
            let r = fma(inst, s, env);
            env.flags |= s.get(inst.args[3]).lo as u8 & 0x3f;
            r
        }
        Op::FComi => {
            let quiet = inst.imm & 1 == 0;
            let (unordered, less, equal) = match (double, quiet) {
                (true, true) => sse::f64_ucomi(a.lo, b.lo, env),
                (true, false) => sse::f64_comi(a.lo, b.lo, env),
                (false, true) => sse::f32_ucomi(a.lo as u32, b.lo as u32, env),
                (false, false) => sse::f32_comi(a.lo as u32, b.lo as u32, env),
            };
            let f = if unordered {
                eflags::ZF | eflags::PF | eflags::CF
            } else if less {
                eflags::CF
            } else if equal {
                eflags::ZF
            } else {
                0
            };
            V::from(u64::from(f))
        }
        Op::FFromInt => {
            let x = sext_bits(inst.imm, b.lo);
            let r = match (double, inst.imm == 64) {
                (true, true) => sse::i64_to_f64(x, env),
                (true, false) => sse::i32_to_f64(x as i32, env),
                (false, true) => u64::from(sse::i64_to_f32(x, env)),
                (false, false) => u64::from(sse::i32_to_f32(x as i32, env)),
            };
            with_lane(inst.ty, a, 0, r)
        }
        Op::FToInt => {
            let truncate = inst.imm & 2 != 0;
            V::from(match (inst.imm & 1 != 0, inst.ty == Ty::I64) {
                (true, true) => sse::f64_to_i64(a.lo, truncate, env) as u64,
                (true, false) => u64::from(sse::f64_to_i32(a.lo, truncate, env) as u32),
                (false, true) => sse::f32_to_i64(a.lo as u32, truncate, env) as u64,
                (false, false) => u64::from(sse::f32_to_i32(a.lo as u32, truncate, env) as u32),
            })
        }
        Op::FCvt if double => with_lane(Ty::F64, a, 0, sse::f32_to_f64(b.lo as u32, env)),
        Op::FCvt => with_lane(Ty::F32, a, 0, u64::from(sse::f64_to_f32(b.lo, env))),
        Op::FHAdd | Op::FHSub => {
            let n = 64 / inst.ty.bits();
            let one = |v: V, k: u32, env: &mut Mxcsr| {
                arithmetic(inst, lane(inst.ty, v, 2 * k), lane(inst.ty, v, 2 * k + 1), env)
            };
            let mut r = V::default();
            for k in 0..2 * n {
                let x = one(if k < n { a } else { b }, k % n, env);
                r = with_lane(inst.ty, r, k, x);
            }
            r
        }
        Op::FDot => dot(inst, &[(a, b)], env)[0],
        Op::FCvtP => PackedCvt::from_imm(inst.imm & 0xff).map_or(V::default(), |kind| packed(kind, inst.imm, a, env)),
        _ => {
            let lanes = if inst.imm & 0x100 == 0 { 1 } else { 128 / inst.ty.bits() };
            let mut r = a;
            for n in 0..lanes {
                let (x, y) = (lane(inst.ty, a, n), lane(inst.ty, b, n));
                let inst = match inst.op {
                    Op::FAddSub => &Inst { op: if n & 1 == 0 { Op::FSub } else { Op::FAdd }, ..*inst },
                    _ => inst,
                };
                let v = arithmetic(inst, x, y, env);
                r = with_lane(inst.ty, r, n, v);
            }
            r
        }
    }
}

/// One lane.
fn arithmetic(inst: &Inst, x: u64, y: u64, env: &mut Mxcsr) -> u64 {
    if inst.ty == Ty::F64 { f64_op(inst, x, y, env) } else { f32_op(inst, x as u32, y as u32, env) }
}

/// Dot product: products of the lanes that the upper half of the immediate chooses, sums of neighbours, their sum, in the lanes that the lower half
/// chooses.
fn dot(inst: &Inst, halves: &[(V, V)], env: &mut Mxcsr) -> [V; 2] {
    let ty = inst.ty;
    let n = 128 / ty.bits();
    let op = |op: Op, x: u64, y: u64, env: &mut Mxcsr| arithmetic(&Inst { op, ..*inst }, x, y, env);
    let mut terms = [[0u64; 4]; 2];
    for (terms, &(a, b)) in terms.iter_mut().zip(halves) {
        for k in (0..n).filter(|k| inst.imm >> (4 + k) & 1 != 0) {
            terms[k as usize] = op(Op::FMul, lane(ty, a, k), lane(ty, b, k), env);
        }
    }
    // An unmasked exception of one step keeps the next from happening.
    let mut sums = [[0u64; 2]; 2];
    if !env.step() {
        return [V::default(); 2];
    }
    for (sums, terms) in sums.iter_mut().zip(&terms).take(halves.len()) {
        sums[0] = op(Op::FAdd, terms[0], terms[1], env);
        if n == 4 {
            sums[1] = op(Op::FAdd, terms[2], terms[3], env);
        }
    }
    if n == 4 {
        if !env.step() {
            return [V::default(); 2];
        }
        for sums in sums.iter_mut().take(halves.len()) {
            sums[0] = op(Op::FAdd, sums[0], sums[1], env);
        }
    }
    sums.map(|sums| (0..n).filter(|k| inst.imm >> k & 1 != 0).fold(V::default(), |r, k| with_lane(ty, r, k, sums[0])))
}

/// What an immediate of roundps says.
fn rounding(imm: u64, env: &Mxcsr) -> Rounding {
    if imm & 4 != 0 { env.rounding } else { Rounding::from_rc(imm as u8) }
}

fn f64_op(inst: &Inst, x: u64, y: u64, env: &mut Mxcsr) -> u64 {
    match inst.op {
        Op::FAdd | Op::FHAdd => sse::f64_add(x, y, env),
        Op::FRound => sse::f64_round(y, rounding(inst.imm, env), inst.imm & 8 != 0, env),
        Op::FSub | Op::FHSub => sse::f64_sub(x, y, env),
        Op::FMul => sse::f64_mul(x, y, env),
        Op::FDiv => sse::f64_div(x, y, env),
        Op::FMin => sse::f64_min(x, y, env),
        Op::FMax => sse::f64_max(x, y, env),
        Op::FSqrt => sse::f64_sqrt(y, env),
        _ => all_ones(sse::f64_cmp(x, y, inst.imm as u8 & 31, env)),
    }
}

fn f32_op(inst: &Inst, x: u32, y: u32, env: &mut Mxcsr) -> u64 {
    u64::from(match inst.op {
        Op::FAdd | Op::FHAdd => sse::f32_add(x, y, env),
        Op::FRound => sse::f32_round(y, rounding(inst.imm, env), inst.imm & 8 != 0, env),
        Op::FSub | Op::FHSub => sse::f32_sub(x, y, env),
        Op::FMul => sse::f32_mul(x, y, env),
        Op::FDiv => sse::f32_div(x, y, env),
        Op::FMin => sse::f32_min(x, y, env),
        Op::FMax => sse::f32_max(x, y, env),
        Op::FSqrt => sse::f32_sqrt(y, env),
        _ => all_ones(sse::f32_cmp(x, y, inst.imm as u8 & 31, env)) as u32,
    })
}

fn all_ones(yes: bool) -> u64 {
    if yes { u64::MAX } else { 0 }
}

fn packed(kind: PackedCvt, imm: u64, a: V, env: &mut Mxcsr) -> V {
    let word = |n: u32| lane(Ty::I32, a, n) as u32;
    let mut r = V::default();
    let put = |r: &mut V, n: u32, x: u32| *r = with_lane(Ty::I32, *r, n, u64::from(x));
    match kind {
        PackedCvt::PhToPs => (0..4).for_each(|n| put(&mut r, n, sse::f16_to_f32(lane(Ty::I16, a, n) as u16, env))),
        PackedCvt::PsToPh => {
            let rounding = rounding(imm >> 8, env);
            (0..4).for_each(|n| r = with_lane(Ty::I16, r, n, u64::from(sse::f32_to_f16(word(n), rounding, env))));
        }
        PackedCvt::PsToPd => {
            r.lo = sse::f32_to_f64(word(0), env);
            r.hi = sse::f32_to_f64(word(1), env);
        }
        PackedCvt::PdToPs => {
            let lo = sse::f64_to_f32(a.lo, env);
            put(&mut r, 0, lo);
            let hi = sse::f64_to_f32(a.hi, env);
            put(&mut r, 1, hi);
        }
        PackedCvt::DqToPs => (0..4).for_each(|n| put(&mut r, n, sse::i32_to_f32(word(n) as i32, env))),
        PackedCvt::PiToPs => (0..2).for_each(|n| put(&mut r, n, sse::i32_to_f32(word(n) as i32, env))),
        PackedCvt::DqToPd => {
            r.lo = sse::i32_to_f64(word(0) as i32, env);
            r.hi = sse::i32_to_f64(word(1) as i32, env);
        }
        PackedCvt::PsToDq | PackedCvt::PsToDqTrunc => {
            let truncate = kind == PackedCvt::PsToDqTrunc;
            (0..4).for_each(|n| put(&mut r, n, sse::f32_to_i32(word(n), truncate, env) as u32));
        }
        PackedCvt::PsToPi | PackedCvt::PsToPiTrunc => {
            let truncate = kind == PackedCvt::PsToPiTrunc;
            (0..2).for_each(|n| put(&mut r, n, sse::f32_to_i32(word(n), truncate, env) as u32));
        }
        PackedCvt::PdToDq | PackedCvt::PdToDqTrunc => {
            let truncate = kind == PackedCvt::PdToDqTrunc;
            put(&mut r, 0, sse::f64_to_i32(a.lo, truncate, env) as u32);
            put(&mut r, 1, sse::f64_to_i32(a.hi, truncate, env) as u32);
        }
    }
    r
}
