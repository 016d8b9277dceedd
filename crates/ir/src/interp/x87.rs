//! x87: the register stack, tags, status and control word. The arithmetic is `demotic_f80`.
//!
//! Exceptions are delivered late, as the hardware does: an operation sets the sticky bits and, when one is unmasked, the
//! summary bit ES; the next waiting instruction begins with `x.chk`, which raises #MF. While an unmasked IE, DE or ZE is
//! pending the destination stays unchanged (SDM vol. 1, section 8.5).

use super::{Scratch, Trap, V};
use crate::block::Inst;
use crate::ops::{Op, X87Fn};
use crate::state::{GuestState, X87, eflags};
use crate::ty::Ty;
use demotic_f80::{self as f80, Class, Constant, Env, F80, Ordering4, Rounding};

const IE: u16 = 1;
/// Exception flags as `Env` has them.
const INVALID_OR_ZERO: u8 = 5;
const DE: u8 = 2;
const SF: u16 = 0x40;
const ES_B: u16 = 0x8080;
const C0: u16 = 0x100;
const C1: u16 = 0x200;
const C2: u16 = 0x400;
const C3: u16 = 0x4000;
/// Vector of the x87 floating-point exception.
const MF: u8 = 16;

/// Recomputes the summary bits.
fn summarise(x: &mut X87) {
    x.summarise();
}

/// Whether results are held back: an unmasked exception that is found before computing is pending.
fn held(x: &X87) -> bool {
    x.sw & 0x80 != 0 && x.sw & !x.cw & 7 != 0
}

fn commit(x: &mut X87, env: &Env) {
    // A stack fault is all that an instruction reports.
    if x.stack_fault {
        return;
    }
    x.sw = x.sw & !C1 | u16::from(env.flags & 0x3f) | if env.c1 { C1 } else { 0 };
    summarise(x);
}

fn set_cc(x: &mut X87, cc: u16) {
    x.sw = x.sw & !(C0 | C1 | C2 | C3) | cc;
}

fn phys(x: &X87, i: usize) -> usize {
    (x.top() + i) & 7
}

fn stack_fault(x: &mut X87, overflow: bool) {
    x.stack_fault = true;
    x.sw = x.sw & !C1 | IE | SF | if overflow { C1 } else { 0 };
    summarise(x);
}

fn get(x: &mut X87, i: usize) -> F80 {
    let n = phys(x, i);
    if x.valid >> n & 1 == 0 {
        stack_fault(x, false);
        return F80::INDEFINITE;
    }
    x.st[n]
}

fn set(x: &mut X87, i: usize, v: F80) {
    if held(x) {
        return;
    }
    let n = phys(x, i);
    // The masked response to a stack fault is the default NaN, whatever else was computed.
    x.st[n] = if x.stack_fault { F80::INDEFINITE } else { v };
    x.valid |= 1 << n;
}

fn push(x: &mut X87, v: F80) {
    // A load completes with an unmasked denormal exception.
    let held = |x: &X87| x.sw & 0x80 != 0 && x.sw & !x.cw & IE != 0;
    if held(x) {
        return;
    }
    let n = phys(x, 7);
    let mut v = if x.stack_fault { F80::INDEFINITE } else { v };
    if !x.stack_fault {
        x.sw &= !C1;
    }
    if x.valid >> n & 1 != 0 && !x.stack_fault {
        stack_fault(x, true);
        if held(x) {
            return;
        }
        v = F80::INDEFINITE;
    }
    x.set_top(n);
    x.st[n] = v;
    x.valid |= 1 << n;
}

fn pop(x: &mut X87, stores: bool) {
    if held(x) || stores && x.sw & 0x80 != 0 && x.sw & !x.cw & 0x18 != 0 {
        return;
    }
    let top = x.top();
    x.valid &= !(1 << top);
    x.set_top(top + 1);
}

/// Runs `f` under the control word and commits its exceptions.
fn with_env<R>(x: &mut X87, f: impl FnOnce(&mut Env) -> R) -> R {
    let mut env = Env::from_cw(x.cw);
    let r = f(&mut env);
    commit(x, &env);
    r
}

fn arith(x: &mut X87, a: F80, b: F80, f: fn(F80, F80, &mut Env) -> F80) -> V {
    let denormal = x.denormal_operand;
    V::from(with_env(x, |env| {
        let r = f(a, b, env);
        // NaNs, invalid operations and divisions by zero take precedence over the denormal exception.
        if denormal && env.flags & INVALID_OR_ZERO == 0 && !matches!(r.class(), Class::QNan) {
            if env.masks & DE == 0 {
                // Unmasked: the operation does not take place.
                env.flags = 0;
                env.c1 = false;
            }
            env.flags |= DE;
        }
        r
    }))
}

fn to_int(ty: Ty, a: F80, truncate: bool, env: &mut Env) -> u64 {
    match ty {
        Ty::I16 => u64::from(f80::to_i16(a, env, truncate) as u16),
        Ty::I32 => u64::from(f80::to_i32(a, env, truncate) as u32),
        _ => f80::to_i64(a, env, truncate) as u64,
    }
}

fn to_f(ty: Ty, a: F80, env: &mut Env) -> u64 {
    if ty == Ty::I32 { u64::from(f80::to_f32(a, env)) } else { f80::to_f64(a, env) }
}

/// A signalling NaN image as it is, so that the operation that uses it sees one and applies its own NaN rules.
fn signalling(ty: Ty, image: u64) -> Option<F80> {
    let (fraction, exponent, sign) = match ty {
        Ty::I32 => (image << 41 >> 1, image >> 23 & 0xff == 0xff, image >> 31 & 1),
        _ => (image << 12 >> 1, image >> 52 & 0x7ff == 0x7ff, image >> 63),
    };
    let quiet = fraction >> 62 & 1 != 0;
    (exponent && fraction != 0 && !quiet).then_some(F80 { mant: 1 << 63 | fraction, se: (sign as u16) << 15 | 0x7fff })
}

fn to_bcd(a: F80, env: &mut Env) -> V {
    let b = f80::to_bcd(a, env);
    let mut lo = [0; 8];
    lo.copy_from_slice(&b[..8]);
    V { lo: u64::from_le_bytes(lo), hi: u64::from(u16::from_le_bytes([b[8], b[9]])) }
}

/// Executes one x87 operation that touches state.
pub(super) fn run(inst: &Inst, state: &mut GuestState, s: &Scratch) -> Result<V, Trap> {
    let x = &mut state.x87;
    let a = s.get(inst.args[0]);
    let b = s.get(inst.args[1]);
    let i = (inst.imm & 7) as usize;
    Ok(match inst.op {
        Op::XChk => {
            x.stack_fault = false;
            x.denormal_operand = false;
            if x.sw & 0x80 != 0 {
                return Err(Trap::new(MF));
            }
            V::default()
        }
        Op::XPtr => V::default(),
        Op::XGet => V::from(get(x, i)),
        Op::XPeek => {
            let top = x.top();
            V::from(if x.valid >> top & 1 != 0 { x.st[top] } else { F80::INDEFINITE })
        }
        Op::XSet => {
            set(x, i, a.f80());
            V::default()
        }
        Op::XPush => {
            push(x, a.f80());
            V::default()
        }
        Op::XPop => {
            pop(x, inst.imm & 1 != 0);
            V::default()
        }
        Op::XAdd => arith(x, a.f80(), b.f80(), f80::add),
        Op::XSub => arith(x, a.f80(), b.f80(), f80::sub),
        Op::XMul => arith(x, a.f80(), b.f80(), f80::mul),
        Op::XDiv => arith(x, a.f80(), b.f80(), f80::div),
        Op::XFromF => {
            let mut env = Env::from_cw(x.cw);
            if inst.imm & 1 != 0 {
                if let Some(nan) = signalling(inst.ty, a.lo) {
                    return Ok(V::from(nan));
                }
            }
            let v =
                if inst.ty == Ty::I32 { f80::from_f32(a.lo as u32, &mut env) } else { f80::from_f64(a.lo, &mut env) };
            if inst.imm & 1 != 0 {
                x.denormal_operand = env.flags & DE != 0;
                env.flags &= !DE;
            }
            commit(x, &env);
            V::from(v)
        }
        Op::XToInt => V::from(to_int(inst.ty, a.f80(), inst.imm & 1 != 0, &mut Env::from_cw(x.cw))),
        Op::XToIntC => {
            with_env(x, |e| to_int(inst.ty, a.f80(), inst.imm & 1 != 0, e));
            V::default()
        }
        Op::XToF => V::from(to_f(inst.ty, a.f80(), &mut Env::from_cw(x.cw))),
        Op::XToFC => {
            with_env(x, |e| to_f(inst.ty, a.f80(), e));
            V::default()
        }
        Op::XToBcd => to_bcd(a.f80(), &mut Env::from_cw(x.cw)),
        Op::XToBcdC => {
            with_env(x, |e| to_bcd(a.f80(), e));
            V::default()
        }
        Op::XCmp => {
            // C1 stays as it is: `x.setcc` clears it for the instructions that do.
            let c1 = x.sw & C1;
            let denormal = x.denormal_operand;
            let order = with_env(x, |e| {
                let order = f80::compare(a.f80(), b.f80(), e, inst.imm & 1 != 0);
                if denormal && order != Ordering4::Unordered {
                    e.flags |= DE;
                }
                order
            });
            x.sw |= c1;
            let order = if x.stack_fault { Ordering4::Unordered } else { order };
            V::from(u64::from(match order {
                Ordering4::Greater => 0,
                Ordering4::Less => eflags::CF,
                Ordering4::Equal => eflags::ZF,
                Ordering4::Unordered => eflags::CF | eflags::PF | eflags::ZF,
            }))
        }
        Op::XNoStore => {
            let mut env = Env::from_cw(x.cw);
            let (a, ty) = (a.f80(), inst.ty);
            match inst.imm {
                1 | 3 => {
                    to_int(ty, a, inst.imm & 2 != 0, &mut env);
                }
                4 => {
                    to_f(ty, a, &mut env);
                }
                8 => {
                    to_bcd(a, &mut env);
                }
                _ => {}
            }
            let empty = x.valid >> x.top() & 1 == 0;
            let raised = u16::from(env.flags) | if empty { IE } else { 0 };
            V::from(raised & !x.cw & 0x19 != 0)
        }
        Op::XSetCc => {
            let f = a.lo as u32;
            let cc = [(eflags::CF, C0), (eflags::PF, C2), (eflags::ZF, C3)];
            set_cc(x, cc.iter().filter(|(fl, _)| f & fl != 0).map(|(_, c)| c).sum());
            V::default()
        }
        Op::XGetPhys => V::from(x.st[if inst.imm & 8 != 0 { phys(x, i) } else { i }]),
        Op::XSetPhys => {
            let n = if inst.imm & 8 != 0 { phys(x, i) } else { i };
            x.st[n] = a.f80();
            V::default()
        }
        Op::XTagW => V::from(u64::from(tag_word(x))),
        Op::XSetTagW => {
            x.valid = (0..8).filter(|n| a.lo >> (2 * n) & 3 != 3).fold(0, |m, n| m | 1 << n);
            V::default()
        }
        _ => {
            if let Some(kind) = X87Fn::from_imm(inst.imm) {
                function(x, kind);
            }
            V::default()
        }
    })
}

/// The full tag word: 0 valid, 1 zero, 2 special, 3 empty.
pub fn tag_word(x: &X87) -> u16 {
    (0..8).fold(0, |w, n| {
        let tag = if x.valid >> n & 1 == 0 {
            3
        } else {
            match x.st[n].class() {
                Class::Zero => 1,
                Class::Normal => 0,
                _ => 2,
            }
        };
        w | tag << (2 * n)
    })
}

fn unary(x: &mut X87, f: impl FnOnce(F80, &mut Env) -> F80) {
    let a = get(x, 0);
    let r = with_env(x, |e| f(a, e));
    set(x, 0, r);
}

/// Two operands, one result in ST(1), pop (fyl2x, fpatan).
fn binary_pop(x: &mut X87, f: fn(F80, F80, &mut Env) -> F80) {
    let (a, b) = (get(x, 0), get(x, 1));
    let r = with_env(x, |e| f(b, a, e));
    set(x, 1, r);
    pop(x, false);
}

fn constant(x: &mut X87, which: Constant) {
    let rc = Rounding::from_rc((x.cw >> 10) as u8);
    x.sw &= !C1;
    push(x, F80::constant(which, rc));
}

/// Trigonometric functions: C2 when the operand is out of range.
fn trig(x: &mut X87, f: fn(F80, &mut Env) -> Option<F80>) {
    let a = get(x, 0);
    let r = with_env(x, |e| f(a, e));
    x.sw &= !C2;
    match r {
        Some(r) => set(x, 0, r),
        None => x.sw = x.sw & !C1 | C2,
    }
}

/// For instructions that replace ST(0) and push: a full stack makes both results the default NaN.
fn no_room(x: &mut X87) -> bool {
    if x.valid >> phys(x, 7) & 1 == 0 {
        return false;
    }
    if !x.stack_fault {
        stack_fault(x, true);
    }
    set(x, 0, F80::INDEFINITE);
    push(x, F80::INDEFINITE);
    true
}

fn trig_push(x: &mut X87, f: fn(F80, &mut Env) -> Option<(F80, F80)>) {
    let a = get(x, 0);
    if no_room(x) {
        x.sw &= !C2;
        return;
    }
    let r = with_env(x, |e| f(a, e));
    x.sw &= !C2;
    match r {
        Some((first, second)) => {
            set(x, 0, first);
            push(x, second);
        }
        None => x.sw = x.sw & !C1 | C2,
    }
}

fn remainder(x: &mut X87, f: fn(F80, F80, &mut Env) -> (F80, u8, bool)) {
    let (a, b) = (get(x, 0), get(x, 1));
    let (r, q, incomplete) = with_env(x, |e| f(a, b, e));
    set(x, 0, r);
    // Invalid operations and NaNs leave C0 and C3 alone.
    if x.stack_fault || matches!(r.class(), Class::QNan) {
        x.sw &= !C2;
        return;
    }
    let bit = |n: u8, c: u16| if q >> n & 1 != 0 { c } else { 0 };
    set_cc(x, bit(0, C1) | bit(1, C3) | bit(2, C0) | if incomplete { C2 } else { 0 });
}

fn function(x: &mut X87, kind: X87Fn) {
    match kind {
        X87Fn::Fchs | X87Fn::Fabs => {
            let a = get(x, 0);
            x.sw &= !C1;
            set(x, 0, if kind == X87Fn::Fchs { a.neg() } else { a.abs() });
        }
        X87Fn::Ftst => {
            let a = get(x, 0);
            let order = with_env(x, |e| f80::compare(a, F80::ZERO, e, false));
            set_cc(
                x,
                match order {
                    Ordering4::Greater => 0,
                    Ordering4::Less => C0,
                    Ordering4::Equal => C3,
                    Ordering4::Unordered => C0 | C2 | C3,
                },
            );
        }
        X87Fn::Fxam => {
            let n = x.top();
            let v = x.st[n];
            let class = if x.valid >> n & 1 == 0 {
                C3 | C0
            } else {
                match v.class() {
                    Class::Unsupported => 0,
                    Class::QNan | Class::SNan => C0,
                    Class::Normal => C2,
                    Class::Infinity => C2 | C0,
                    Class::Zero => C3,
                    Class::Denormal | Class::PseudoDenormal => C3 | C2,
                }
            };
            set_cc(x, class | if v.is_negative() { C1 } else { 0 });
        }
        X87Fn::Fsqrt => unary(x, f80::sqrt),
        X87Fn::Frndint => unary(x, f80::round_to_int),
        X87Fn::F2xm1 => unary(x, f80::f2xm1),
        X87Fn::Fscale => {
            let (a, b) = (get(x, 0), get(x, 1));
            let r = with_env(x, |e| f80::scale(a, b, e));
            set(x, 0, r);
        }
        X87Fn::Fxtract => {
            let a = get(x, 0);
            if no_room(x) {
                return;
            }
            let (exponent, significand) = with_env(x, |e| f80::extract(a, e));
            if held(x) {
                return;
            }
            set(x, 0, exponent);
            push(x, significand);
        }
        X87Fn::Fprem => remainder(x, f80::rem),
        X87Fn::Fprem1 => remainder(x, f80::rem1),
        X87Fn::Fyl2x => binary_pop(x, f80::fyl2x),
        X87Fn::Fyl2xp1 => binary_pop(x, f80::fyl2xp1),
        X87Fn::Fpatan => binary_pop(x, f80::fpatan),
        X87Fn::Fptan => trig_push(x, f80::fptan),
        X87Fn::Fsincos => trig_push(x, f80::fsincos),
        X87Fn::Fsin => trig(x, f80::fsin),
        X87Fn::Fcos => trig(x, f80::fcos),
        X87Fn::Fld1 => constant(x, Constant::One),
        X87Fn::Fldl2t => constant(x, Constant::L2t),
        X87Fn::Fldl2e => constant(x, Constant::L2e),
        X87Fn::Fldpi => constant(x, Constant::Pi),
        X87Fn::Fldlg2 => constant(x, Constant::Lg2),
        X87Fn::Fldln2 => constant(x, Constant::Ln2),
        X87Fn::Fldz => constant(x, Constant::Zero),
        X87Fn::Fdecstp => {
            x.sw &= !C1;
            x.set_top(x.top() + 7);
        }
        X87Fn::Fincstp => {
            x.sw &= !C1;
            x.set_top(x.top() + 1);
        }
        X87Fn::Fninit => {
            let st = x.st;
            *x = X87 { st, ..X87::default() };
        }
        X87Fn::Fnclex => x.sw &= !(0x7f | ES_B),
        X87Fn::Emms => {
            x.valid = 0;
            x.set_top(0);
        }
        X87Fn::EnterMmx => {
            x.set_top(0);
            x.valid = 0xff;
        }
        X87Fn::Fixup => summarise(x),
        X87Fn::WillPush => {
            if x.valid >> phys(x, 7) & 1 != 0 {
                stack_fault(x, true);
            }
        }
        X87Fn::ClearC1 if !x.stack_fault => x.sw &= !C1,
        X87Fn::ClearC1 => {}
        _ => {
            let n = kind as usize;
            if (X87Fn::Ffree0 as usize..=X87Fn::Ffree7 as usize).contains(&n) {
                let reg = phys(x, n - X87Fn::Ffree0 as usize);
                x.sw &= !C1;
                x.valid &= !(1 << reg);
            } else if n >= X87Fn::Copy0 as usize {
                x.sw &= !C1;
                if x.valid >> phys(x, 0) & 1 != 0 {
                    let a = get(x, 0);
                    set(x, n - X87Fn::Copy0 as usize, a);
                }
            } else {
                let i = (n - X87Fn::Fxch0 as usize) & 7;
                x.sw &= !C1;
                let (a, b) = (get(x, 0), get(x, i));
                // Here an empty register becomes the default NaN and the other operand keeps its value.
                x.stack_fault = false;
                set(x, 0, b);
                set(x, i, a);
            }
        }
    }
}
