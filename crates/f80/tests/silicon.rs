//! The crate against the processor it describes: random and special operands, random control words, fixed seeds; results,
//! exception flags and C1 must agree bit for bit. Runs where the host is x86-64, with exceptions masked and unmasked
//! (the x87 is read with non-waiting instructions, so a pending exception never traps).
#![cfg(target_arch = "x86_64")]

use core::arch::asm;
use demotic_f80::sse::{self, Mxcsr};
use demotic_f80::*;

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Bits with long runs: corner cases of rounding live there.
    fn runs(&mut self) -> u64 {
        match self.below(5) {
            0 => self.next(),
            1 => !0 << self.below(64),
            2 => !0 >> self.below(64),
            3 => 1 << self.below(64),
            _ => (1u64 << self.below(64)) ^ (1 << self.below(64)) ^ (!0 << self.below(64)),
        }
    }

    fn f80(&mut self) -> F80 {
        let sign = self.next() & 1 != 0;
        let mant = self.runs();
        let exp = match self.below(12) {
            0 => 0,
            1 => 0x7FFF,
            2 => 1 + self.below(3) as u16,
            3 => 0x7FFE - self.below(3) as u16,
            4 => self.below(0x8000) as u16,
            5 => 0x3FFF + self.below(80) as u16,
            6 => 0x3FFF - self.below(80) as u16,
            7 => 0x3FFF / 2 + self.below(80) as u16,
            8 => (0x3FFF + 0x7FFF) / 2 + self.below(80) as u16,
            _ => 0x3FFF + self.below(5) as u16,
        };
        match self.below(20) {
            0 => F80::new(sign, 0, 0),
            1 => F80::new(sign, 0x7FFF, 1 << 63),
            2 => F80::new(sign, exp, mant),
            3 => F80::new(sign, 0, mant),
            _ => F80::new(sign, exp, mant | 1 << 63),
        }
    }

    fn near(&mut self, a: F80) -> F80 {
        let b = self.f80();
        match self.below(4) {
            0 => F80 { se: a.se.wrapping_add(self.below(140) as u16).wrapping_sub(70), mant: b.mant | 1 << 63 },
            1 => F80 { mant: a.mant ^ self.below(4), se: a.se ^ (self.below(2) as u16) << 15 },
            _ => b,
        }
    }

    fn cw(&mut self) -> u16 {
        let masks = match self.below(4) {
            0 => self.below(64) as u16,
            _ => 0x3F,
        };
        let pc = [0u16, 2, 3, 3][self.below(4) as usize];
        masks | 0x40 | pc << 8 | (self.below(4) as u16) << 10
    }
}

/// What FNSAVE wrote: control, status, tag, ..., eight registers of ten bytes in stack order.
struct Saved([u8; 108]);

impl Saved {
    fn sw(&self) -> u16 {
        u16::from_le_bytes([self.0[4], self.0[5]])
    }

    fn st(&self, i: usize) -> F80 {
        let mut b = [0; 10];
        b.copy_from_slice(&self.0[28 + 10 * i..][..10]);
        F80::from_bytes(b)
    }

    fn flags(&self) -> u8 {
        (self.sw() & 0x3F) as u8
    }

    fn c1(&self) -> bool {
        self.sw() & 0x200 != 0
    }
}

/// A function running one x87 instruction with ST(0) = a, ST(1) = b under control word `cw`; `[rsi]` is a 16-byte operand.
macro_rules! x87 {
    ($name:ident, $op:literal) => {
        fn $name(a: F80, b: F80, cw: u16, mem: &mut [u8; 16]) -> Saved {
            let (a, b) = (a.to_bytes(), b.to_bytes());
            let mut save = [0u8; 108];
            // SAFETY: loads from and stores to the buffers given, and leaves the x87 initialised and its stack empty.
            unsafe {
                asm!(
                    "fninit", "fld tbyte ptr [{b}]", "fld tbyte ptr [{a}]", "fldcw word ptr [{cw}]",
                    $op,
                    "fnsave [{save}]", "fninit",
                    a = in(reg) a.as_ptr(), b = in(reg) b.as_ptr(), cw = in(reg) &cw, save = in(reg) save.as_mut_ptr(),
                    in("rsi") mem.as_mut_ptr(),
                    out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                    out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
                );
            }
            Saved(save)
        }
    };
}

x87!(fadd, "fadd st, st(1)");
x87!(fsub, "fsub st, st(1)");
x87!(fmul, "fmul st, st(1)");
x87!(fdiv, "fdiv st, st(1)");
x87!(fsqrt, "fsqrt");
x87!(fprem, "fprem");
x87!(fprem1, "fprem1");
x87!(frndint, "frndint");
x87!(fscale, "fscale");
x87!(fxtract, "fxtract");
x87!(fcom, "fcom st(1)");
x87!(fucom, "fucom st(1)");
x87!(fist16, "fist word ptr [rsi]");
x87!(fist32, "fist dword ptr [rsi]");
x87!(fistp64, "fistp qword ptr [rsi]");
x87!(fisttp16, "fisttp word ptr [rsi]");
x87!(fisttp32, "fisttp dword ptr [rsi]");
x87!(fisttp64, "fisttp qword ptr [rsi]");
x87!(fst32, "fst dword ptr [rsi]");
x87!(fst64, "fst qword ptr [rsi]");
x87!(fbstp, "fbstp [rsi]");
x87!(fbld, "fbld [rsi]");
x87!(fld32, "fld dword ptr [rsi]");
x87!(fld64, "fld qword ptr [rsi]");
x87!(fild64, "fild qword ptr [rsi]");
x87!(do_f2xm1, "f2xm1");
x87!(do_fyl2x, "fyl2x");
x87!(do_fyl2xp1, "fyl2xp1");
x87!(do_fpatan, "fpatan");
x87!(do_fptan, "fptan");
x87!(do_fsin, "fsin");
x87!(do_fcos, "fcos");
x87!(do_fsincos, "fsincos");
x87!(fld1, "fld1");
x87!(fldl2t, "fldl2t");
x87!(fldl2e, "fldl2e");
x87!(fldpi, "fldpi");
x87!(fldlg2, "fldlg2");
x87!(fldln2, "fldln2");
x87!(fldz, "fldz");

/// Collects disagreements, so that a failure shows a pattern and not just the first case.
#[derive(Default)]
struct Report {
    bad: usize,
    text: String,
}

impl Report {
    fn check(&mut self, ok: bool, line: impl FnOnce() -> String) {
        if !ok {
            self.bad += 1;
            if self.bad <= 12 {
                self.text += &line();
                self.text.push('\n');
            }
        }
    }

    fn finish(self) {
        assert!(self.bad == 0, "{} disagreements with the processor, the first:\n{}", self.bad, self.text);
    }
}

const CASES: usize = 300_000;

/// Whether the processor is Intel's, which do some things otherwise (docs/undefined.md).
fn on_intel() -> bool {
    let cpuid = std::arch::x86_64::__cpuid(0);
    [cpuid.ebx, cpuid.edx, cpuid.ecx].map(u32::to_le_bytes).concat() == b"GenuineIntel"
}

/// An unmasked underflow of a denormal operand that is the result as it is, too: no exception on Intel's processors.
fn unchanged_denormal(a: F80, want: &Saved, env: &Env) -> bool {
    a.exp_field() == 0 && want.st(0) == a && want.flags() & UE == 0 && env.flags & !env.masks & UE != 0 && on_intel()
}

/// A two-operand instruction with its result in ST(0).
fn binary(seed: u64, hw: fn(F80, F80, u16, &mut [u8; 16]) -> Saved, sw: fn(F80, F80, &mut Env) -> F80) {
    let (mut rng, mut report) = (Rng(seed), Report::default());
    for _ in 0..CASES {
        let (a, cw) = (rng.f80(), rng.cw());
        let b = rng.near(a);
        let want = hw(a, b, cw, &mut [0; 16]);
        let mut env = Env::from_cw(cw);
        let got = sw(a, b, &mut env);
        // An unmasked invalid, zero-divide or denormal leaves the destination alone.
        let kept = env.flags & !env.masks & (IE | DE | ZE) != 0;
        let got = if kept { a } else { got };
        let same = (got, env.flags, env.c1) == (want.st(0), want.flags(), want.c1());
        report.check(same || unchanged_denormal(a, &want, &env), || {
            format!(
                "{a:x?} op {b:x?} cw {cw:#x}: processor {:x?} {:#x} {}, here {got:x?} {:#x} {}",
                want.st(0),
                want.flags(),
                want.c1(),
                env.flags,
                env.c1
            )
        });
    }
    report.finish();
}

#[test]
fn add_agrees() {
    binary(1, fadd, add);
}

#[test]
fn sub_agrees() {
    binary(2, fsub, sub);
}

#[test]
fn mul_agrees() {
    binary(3, fmul, mul);
}

#[test]
fn div_agrees() {
    binary(4, fdiv, div);
}

#[test]
fn sqrt_agrees() {
    binary(5, fsqrt, |a, _, env| sqrt(a, env));
}

#[test]
fn round_to_int_agrees() {
    binary(6, frndint, |a, _, env| round_to_int(a, env));
}

#[test]
fn scale_agrees() {
    binary(7, fscale, scale);
}

/// FPREM and FPREM1: also the quotient bits (C0 C3 C1) and C2.
fn remainder(seed: u64, hw: fn(F80, F80, u16, &mut [u8; 16]) -> Saved, sw: fn(F80, F80, &mut Env) -> (F80, u8, bool)) {
    let (mut rng, mut report) = (Rng(seed), Report::default());
    for _ in 0..CASES {
        let (a, cw) = (rng.f80(), rng.cw());
        let b = rng.near(a);
        let want = hw(a, b, cw, &mut [0; 16]);
        let mut env = Env::from_cw(cw);
        let (got, q, incomplete) = sw(a, b, &mut env);
        let kept = env.flags & !env.masks & (IE | DE | ZE) != 0;
        let got = if kept { a } else { got };
        let bit = |n: u16| (want.sw() >> n & 1) as u8;
        let want_q = bit(8) << 2 | bit(14) << 1 | bit(9);
        let defined = !kept && want.flags() & IE == 0 && !incomplete;
        report.check(
            (got, env.flags) == (want.st(0), want.flags())
                && (!defined || q == want_q)
                && (kept || incomplete == (bit(10) != 0))
                || unchanged_denormal(a, &want, &env),
            || {
                format!(
                    "{a:x?} rem {b:x?} cw {cw:#x}: processor {:x?} {:#x} q {want_q} c2 {}, here {got:x?} {:#x} q {q} c2 {incomplete}",
                    want.st(0), want.flags(), bit(10), env.flags
                )
            },
        );
    }
    report.finish();
}

#[test]
fn rem_agrees() {
    remainder(8, fprem, rem);
}

#[test]
fn rem1_agrees() {
    remainder(9, fprem1, rem1);
}

#[test]
fn extract_agrees() {
    let (mut rng, mut report) = (Rng(10), Report::default());
    for _ in 0..CASES {
        let (a, cw) = (rng.f80(), rng.cw());
        let want = fxtract(a, F80::ZERO, cw, &mut [0; 16]);
        let mut env = Env::from_cw(cw);
        let (exp, significand) = extract(a, &mut env);
        let ok = if env.unmasked() {
            env.flags == want.flags()
        } else {
            (significand, exp, env.flags) == (want.st(0), want.st(1), want.flags())
        };
        report.check(ok, || {
            format!(
                "{a:x?} cw {cw:#x}: processor {:x?} {:x?} {:#x}, here {significand:x?} {exp:x?} {:#x}",
                want.st(0),
                want.st(1),
                want.flags(),
                env.flags
            )
        });
    }
    report.finish();
}

#[test]
fn compare_agrees() {
    let (mut rng, mut report) = (Rng(11), Report::default());
    for i in 0..CASES {
        let (a, cw, quiet) = (rng.f80(), rng.cw(), i % 2 == 0);
        let b = rng.near(a);
        let want = if quiet { fucom } else { fcom }(a, b, cw, &mut [0; 16]);
        let mut env = Env::from_cw(cw);
        let got = compare(a, b, &mut env, quiet);
        let order = match want.sw() & 0x4500 {
            0 => Ordering4::Greater,
            0x100 => Ordering4::Less,
            0x4000 => Ordering4::Equal,
            _ => Ordering4::Unordered,
        };
        let ok = env.flags == want.flags() && (env.unmasked() || got == order);
        report.check(ok, || {
            format!("{a:x?} {b:x?} {cw:#x} {quiet}: {order:?} {:#x}, here {got:?} {:#x}", want.flags(), env.flags)
        });
    }
    report.finish();
}

/// A store to memory of `N` bytes.
fn store<const N: usize>(seed: u64, hw: fn(F80, F80, u16, &mut [u8; 16]) -> Saved, sw: fn(F80, &mut Env) -> [u8; N]) {
    let (mut rng, mut report) = (Rng(seed), Report::default());
    for _ in 0..CASES {
        let mut a = rng.f80();
        match rng.below(3) {
            0 => a.se = (a.se & 0x8000) | (0x3FFF - 3 + rng.below(70) as u16),
            1 => a.se = (a.se & 0x8000) | (0x3FFF + [127, 1023, 0][rng.below(3) as usize] + 40 - rng.below(80) as u16),
            _ => {}
        }
        if rng.below(4) == 0 {
            a.se = (a.se & 0x8000) | (0x3FFF - [127, 1023][rng.below(2) as usize] + 4 - rng.below(80) as u16);
        }
        let cw = rng.cw();
        let mut mem = [0xEE; 16];
        let want = hw(a, F80::ZERO, cw, &mut mem);
        let mut env = Env::from_cw(cw);
        let got = sw(a, &mut env);
        // An unmasked exception other than PE (reported after the store) leaves memory alone.
        let kept = env.flags & !env.masks & !PE != 0;
        let got = if kept { [0xEE; N] } else { got };
        report.check(got == mem[..N] && (env.flags, env.c1) == (want.flags(), want.c1()), || {
            format!(
                "{a:x?} cw {cw:#x}: processor {:x?} {:#x} {}, here {got:x?} {:#x} {}",
                &mem[..N],
                want.flags(),
                want.c1(),
                env.flags,
                env.c1
            )
        });
    }
    report.finish();
}

#[test]
fn stores_agree() {
    store(20, fist16, |a, env| to_i16(a, env, false).to_le_bytes());
    store(21, fist32, |a, env| to_i32(a, env, false).to_le_bytes());
    store(22, fistp64, |a, env| to_i64(a, env, false).to_le_bytes());
    store(23, fisttp16, |a, env| to_i16(a, env, true).to_le_bytes());
    store(24, fisttp32, |a, env| to_i32(a, env, true).to_le_bytes());
    store(25, fisttp64, |a, env| to_i64(a, env, true).to_le_bytes());
}

#[test]
fn float_stores_agree() {
    store(26, fst32, |a, env| to_f32(a, env).to_le_bytes());
    store(27, fst64, |a, env| to_f64(a, env).to_le_bytes());
}

#[test]
fn bcd_store_agrees() {
    store(28, fbstp, to_bcd);
}

#[test]
fn loads_agree() {
    let (mut rng, mut report) = (Rng(30), Report::default());
    for i in 0..CASES {
        let (bits, cw) = (sse_operand(&mut rng, i % 2 == 0), rng.cw());
        let mut mem = [0; 16];
        mem[..8].copy_from_slice(&bits.to_le_bytes());
        let mut env = Env::from_cw(cw);
        let (want, got) = if i % 2 == 0 {
            (fld32(F80::ZERO, F80::ZERO, cw, &mut mem), from_f32(bits as u32, &mut env))
        } else {
            (fld64(F80::ZERO, F80::ZERO, cw, &mut mem), from_f64(bits, &mut env))
        };
        let ok = env.flags == want.flags() && (env.unmasked() || got == want.st(0));
        report
            .check(ok, || format!("{bits:#x}: {:x?} {:#x}, here {got:x?} {:#x}", want.st(0), want.flags(), env.flags));
        let mut mem = [0; 16];
        let v = rng.runs();
        mem[..8].copy_from_slice(&v.to_le_bytes());
        let want = fild64(F80::ZERO, F80::ZERO, cw, &mut mem);
        report.check(from_i64(v as i64) == want.st(0), || format!("fild {v:#x}: {:x?}", want.st(0)));
        let mut bcd = [0u8; 16];
        for byte in &mut bcd[..9] {
            *byte = (rng.below(10) << 4 | rng.below(10)) as u8;
        }
        bcd[9] = (rng.below(2) << 7) as u8;
        let mut digits = [0; 10];
        digits.copy_from_slice(&bcd[..10]);
        let want = fbld(F80::ZERO, F80::ZERO, cw, &mut bcd);
        report.check(from_bcd(digits) == want.st(0), || format!("fbld {digits:x?}: {:x?}", want.st(0)));
    }
    report.finish();
}

#[test]
fn constants_agree() {
    use demotic_f80::Constant::*;
    let rows: [(_, fn(F80, F80, u16, &mut [u8; 16]) -> Saved); 7] =
        [(One, fld1), (L2t, fldl2t), (L2e, fldl2e), (Pi, fldpi), (Lg2, fldlg2), (Ln2, fldln2), (Zero, fldz)];
    for (which, hw) in rows {
        for rc in 0..4u8 {
            let want = hw(F80::ZERO, F80::ZERO, 0x37F | u16::from(rc) << 10, &mut [0; 16]);
            assert_eq!(F80::constant(which, Rounding::from_rc(rc)), want.st(0), "{which:?} rc {rc}");
        }
    }
}

/// Distance in units of the last place, for finite values of one sign.
fn ulps(a: F80, b: F80) -> u128 {
    let key = |x: F80| (u128::from(x.exp_field()) << 63) + u128::from(x.mant & !(1 << 63));
    if a.is_negative() != b.is_negative() && a.mant | b.mant != 0 { u128::MAX } else { key(a).abs_diff(key(b)) }
}

/// A transcendental instruction: within one unit of the processor's result, equal in most cases.
fn close(
    name: &str,
    seed: u64,
    range: core::ops::Range<u16>,
    hw: fn(F80, F80, u16, &mut [u8; 16]) -> Saved,
    sw: fn(F80, F80, &mut Env) -> F80,
) {
    let (mut rng, mut report) = (Rng(seed), Report::default());
    let (mut equal, cases) = (0, 20_000);
    for _ in 0..cases {
        let pick = |rng: &mut Rng| {
            let exp = range.start + rng.below((range.end - range.start).into()) as u16;
            F80::new(rng.next() & 1 != 0, exp, rng.runs() | 1 << 63)
        };
        let (a, b) = (pick(&mut rng), pick(&mut rng));
        let cw = 0x37F;
        let want = hw(a, b, cw, &mut [0; 16]);
        let mut env = Env::from_cw(cw);
        let got = sw(a, b, &mut env);
        equal += usize::from(got == want.st(0));
        report.check(got == want.st(0) || (got.mant >> 63 != 0 && ulps(got, want.st(0)) <= 1), || {
            format!(
                "{name} {a:x?} {b:x?}: processor {:x?} {:#x}, here {got:x?} {:#x}",
                want.st(0),
                want.flags(),
                env.flags
            )
        });
        report.check(env.flags & !PE == want.flags() & !PE, || {
            format!("{name} {a:x?} {b:x?} flags {:#x}, here {:#x}", want.flags(), env.flags)
        });
    }
    println!("{name}: {equal} of {cases} equal");
    report.check(equal > cases * 3 / 4, || format!("{name}: only {equal} of {cases} equal"));
    report.finish();
}

const UNIT: core::ops::Range<u16> = 0x3FFF - 70..0x3FFF;

#[test]
fn transcendentals_are_close() {
    close("f2xm1", 40, UNIT, do_f2xm1, |a, _, env| f2xm1(a, env));
    close("fyl2x", 41, 0x3FFF - 200..0x3FFF + 200, do_fyl2x, |a, b, env| fyl2x(b, a, env));
    close("fyl2x near 1", 42, 0x3FFE..0x4000, do_fyl2x, |a, b, env| fyl2x(b, a, env));
    close("fyl2xp1", 43, 0x3FFF - 70..0x3FFF - 2, do_fyl2xp1, |a, b, env| fyl2xp1(b, a, env));
    close("fpatan", 44, 0x3FFF - 40..0x3FFF + 40, do_fpatan, |a, b, env| fpatan(b, a, env));
    close("fsin", 45, 0x3FFF - 40..0x3FFF + 2, do_fsin, |a, _, env| fsin(a, env).unwrap_or(a));
    close("fcos", 46, 0x3FFF - 40..0x3FFF + 2, do_fcos, |a, _, env| fcos(a, env).unwrap_or(a));
    close(
        "fptan",
        47,
        0x3FFF - 40..0x3FFF - 1,
        |a, b, cw, m| {
            let s = do_fptan(a, b, cw, m);
            let mut moved = s.0;
            moved.copy_within(38..48, 28);
            Saved(moved)
        },
        |a, _, env| fptan(a, env).map_or(a, |t| t.0),
    );
    close("fsin, large", 48, 0x3FFF + 2..0x3FFF + 63, do_fsin, |a, _, env| fsin(a, env).unwrap_or(a));
}

/// The special cases of the transcendental instructions: every pair of interesting operands.
#[test]
fn transcendental_specials_agree() {
    let mut report = Report::default();
    let one = F80::ONE;
    let mut values = vec![
        F80::ZERO,
        one,
        F80::INFINITY,
        F80::new(false, 0x4000, 1 << 63),
        F80::new(false, 0x3FFE, 1 << 63),
        F80::new(false, 0x7FFF, 0xC000_0000_0000_1234),
        F80::new(false, 0x7FFF, 0x8000_0000_0000_1234),
        F80::new(false, 0x7FFF, 0x1234),
        F80::new(false, 0x4123, 0x1234),
        F80::new(false, 0x3FFD, 1 << 63),
    ];
    for i in 0..values.len() {
        values.push(values[i].neg());
    }
    type Two = fn(F80, F80, &mut Env) -> F80;
    let two: [(&str, _, Two); 3] = [
        ("fyl2x", do_fyl2x as fn(F80, F80, u16, &mut [u8; 16]) -> Saved, |a, b, env| fyl2x(b, a, env)),
        ("fyl2xp1", do_fyl2xp1, |a, b, env| fyl2xp1(b, a, env)),
        ("fpatan", do_fpatan, |a, b, env| fpatan(b, a, env)),
    ];
    let one_operand: [(&str, fn(F80, F80, u16, &mut [u8; 16]) -> Saved, Two); 5] = [
        ("f2xm1", do_f2xm1, |a, _, env| f2xm1(a, env)),
        ("fsin", do_fsin, |a, _, env| fsin(a, env).unwrap_or(a)),
        ("fcos", do_fcos, |a, _, env| fcos(a, env).unwrap_or(a)),
        ("fptan", do_fptan, |a, _, env| fptan(a, env).map_or(a, |t| t.1)),
        ("fsincos", do_fsincos, |a, _, env| fsincos(a, env).map_or(a, |t| t.1)),
    ];
    for &a in &values {
        for &b in &values {
            for (name, hw, sw) in two.iter().chain(one_operand.iter().filter(|_| b == F80::ZERO)) {
                // Outside the range for which the manual defines the result.
                let above = |x: F80, e: u16| x.exp_field() >= e && x.class() == Class::Normal;
                if (*name == "f2xm1" && above(a, 0x4000)) || (*name == "fyl2xp1" && above(a, 0x3FFE)) {
                    continue;
                }
                let want = hw(a, b, 0x37F, &mut [0; 16]);
                let mut env = Env::from_cw(0x37F);
                let got = sw(a, b, &mut env);
                // cos 1/4: Intel's is not the nearest number.
                if name.ends_with("cos") && a.exp_field() == 0x3ffd && on_intel() {
                    continue;
                }
                report.check((got, env.flags & !PE) == (want.st(0), want.flags() & !PE), || {
                    format!(
                        "{name} {a:x?} {b:x?}: {:x?} {:#x}, here {got:x?} {:#x}",
                        want.st(0),
                        want.flags(),
                        env.flags
                    )
                });
            }
        }
    }
    report.finish();
}

// ---- SSE

fn sse_operand(rng: &mut Rng, single: bool) -> u64 {
    let (frac, max) = if single { (23, 0xFF) } else { (52, 0x7FF) };
    let bias = max / 2;
    let exp = match rng.below(10) {
        0 => 0,
        1 => max,
        2 => rng.below(max + 1),
        3 => 1 + rng.below(3),
        4 => max - 1 - rng.below(3),
        5 => bias / 2 + rng.below(30),
        6 => bias + bias / 2 - rng.below(30),
        _ => bias - 4 + rng.below(8) + rng.below(70) * rng.below(2),
    };
    let frac_bits = rng.runs() & ((1 << frac) - 1) & if rng.below(8) == 0 { 0 } else { !0 };
    rng.below(2) << (frac + if single { 8 } else { 11 }) | (exp & max) << frac | frac_bits
}

fn mxcsr(rng: &mut Rng) -> u32 {
    let flags = if rng.below(2) == 0 { 0 } else { rng.below(64) as u32 };
    let daz = u32::from(rng.below(4) == 0) << 6;
    let ftz = u32::from(rng.below(4) == 0) << 15;
    0x1F80 | flags | daz | ftz | (rng.below(4) as u32) << 13
}

/// Runs `$op` with xmm0 = a, xmm1 = b, rax = 0 under MXCSR `csr`: (xmm0, rax, MXCSR after).
macro_rules! simd {
    ($op:expr) => {
        |a: u64, b: u64, csr: u32| -> (u64, u64, u32) {
            let (mut r, mut out, mut after, old) = (a, b, csr, 0x1F80u32);
            // SAFETY: touches only the registers named; MXCSR is put back to its initial state.
            unsafe {
                asm!(
                    "ldmxcsr [{csr}]", "movq xmm0, {r}", "movq xmm1, {out}", "mov eax, 0",
                    $op,
                    "stmxcsr [{csr}]", "ldmxcsr [{old}]", "movq {r}, xmm0", "mov {out}, rax",
                    csr = in(reg) &mut after, old = in(reg) &old, r = inout(reg) r, out = inout(reg) out,
                    out("xmm0") _, out("xmm1") _, out("rax") _,
                );
            }
            (r, out, after)
        }
    };
}

fn simd_check(
    name: &str,
    single: bool,
    hw: impl Fn(u64, u64, u32) -> (u64, u64, u32),
    sw: impl Fn(u64, u64, &mut Mxcsr) -> (bool, u64),
) {
    let (mut rng, mut report) = (Rng(name.len() as u64 * 77 + u64::from(single)), Report::default());
    for _ in 0..CASES / 2 {
        let (a, mut b, csr) = (sse_operand(&mut rng, single), sse_operand(&mut rng, single), mxcsr(&mut rng));
        if rng.below(4) == 0 {
            b = a ^ rng.below(3);
        }
        let (xmm, rax, after) = hw(a, b, csr);
        let mut env = Mxcsr::from_bits(csr);
        let (in_rax, got) = sw(a, b, &mut env);
        let want = if in_rax { rax } else { xmm };
        let (got, want) = if single && !in_rax { (got & 0xFFFF_FFFF, want & 0xFFFF_FFFF) } else { (got, want) };
        report.check(got == want && env.merge(csr) == after, || {
            format!("{name} {a:#x} {b:#x} csr {csr:#x}: {want:#x} {after:#x}, here {got:#x} {:#x}", env.merge(csr))
        });
    }
    report.finish();
}

#[test]
fn sse_arithmetic_agrees() {
    macro_rules! both {
        ($($s:literal $d:literal $f32:ident $f64:ident;)*) => {$(
            simd_check($s, true, simd!($s), |a, b, env| (false, sse::$f32(a as u32, b as u32, env).into()));
            simd_check($d, false, simd!($d), |a, b, env| (false, sse::$f64(a, b, env)));
        )*};
    }
    both! {
        "addss xmm0, xmm1" "addsd xmm0, xmm1" f32_add f64_add;
        "subss xmm0, xmm1" "subsd xmm0, xmm1" f32_sub f64_sub;
        "mulss xmm0, xmm1" "mulsd xmm0, xmm1" f32_mul f64_mul;
        "divss xmm0, xmm1" "divsd xmm0, xmm1" f32_div f64_div;
        "minss xmm0, xmm1" "minsd xmm0, xmm1" f32_min f64_min;
        "maxss xmm0, xmm1" "maxsd xmm0, xmm1" f32_max f64_max;
    }
    simd_check("sqrtss xmm0, xmm1", true, simd!("sqrtss xmm0, xmm1"), |_, b, env| {
        (false, sse::f32_sqrt(b as u32, env).into())
    });
    simd_check("sqrtsd xmm0, xmm1", false, simd!("sqrtsd xmm0, xmm1"), |_, b, env| (false, sse::f64_sqrt(b, env)));
}

#[test]
fn sse_conversions_agree() {
    simd_check("cvtss2sd", true, simd!("cvtss2sd xmm0, xmm1; movq rax, xmm0"), |_, b, env| {
        (true, sse::f32_to_f64(b as u32, env))
    });
    simd_check("cvtsd2ss", false, simd!("cvtsd2ss xmm0, xmm1; movd eax, xmm0"), |_, b, env| {
        (true, sse::f64_to_f32(b, env).into())
    });
    simd_check("cvtss2si r32", true, simd!("cvtss2si eax, xmm1"), |_, b, env| {
        (true, sse::f32_to_i32(b as u32, false, env) as u32 as u64)
    });
    simd_check("cvtsd2si r32", false, simd!("cvtsd2si eax, xmm1"), |_, b, env| {
        (true, sse::f64_to_i32(b, false, env) as u32 as u64)
    });
    simd_check("cvtss2si r64", true, simd!("cvtss2si rax, xmm1"), |_, b, env| {
        (true, sse::f32_to_i64(b as u32, false, env) as u64)
    });
    simd_check("cvtsd2si r64", false, simd!("cvtsd2si rax, xmm1"), |_, b, env| {
        (true, sse::f64_to_i64(b, false, env) as u64)
    });
    simd_check("cvttss2si r32", true, simd!("cvttss2si eax, xmm1"), |_, b, env| {
        (true, sse::f32_to_i32(b as u32, true, env) as u32 as u64)
    });
    simd_check("cvttsd2si r64", false, simd!("cvttsd2si rax, xmm1"), |_, b, env| {
        (true, sse::f64_to_i64(b, true, env) as u64)
    });
    let (mut rng, mut report) = (Rng(99), Report::default());
    for _ in 0..CASES {
        let (v, csr) = (rng.runs(), mxcsr(&mut rng));
        let run = [
            simd!("movq rax, xmm0; cvtsi2ss xmm0, rax; mov eax, 0")(v, 0, csr),
            simd!("movq rax, xmm0; cvtsi2sd xmm0, rax; mov eax, 0")(v, 0, csr),
            simd!("movq rax, xmm0; cvtsi2ss xmm0, eax; mov eax, 0")(v, 0, csr),
            simd!("movq rax, xmm0; cvtsi2sd xmm0, eax; mov eax, 0")(v, 0, csr),
        ];
        let mut envs = [Mxcsr::from_bits(csr); 4];
        let got = [
            sse::i64_to_f32(v as i64, &mut envs[0]).into(),
            sse::i64_to_f64(v as i64, &mut envs[1]),
            sse::i32_to_f32(v as i32, &mut envs[2]).into(),
            sse::i32_to_f64(v as i32, &mut envs[3]),
        ];
        for i in 0..4 {
            let mask = if i % 2 == 0 { 0xFFFF_FFFF } else { !0 };
            report.check(got[i] == run[i].0 & mask && envs[i].merge(csr) == run[i].2, || {
                format!("int {v:#x} form {i}: {:#x} {:#x}, here {:#x}", run[i].0 & mask, run[i].2, got[i])
            });
        }
    }
    report.finish();
}

#[test]
fn sse_comparisons_agree() {
    macro_rules! predicates {
        ($($p:literal)*) => {$(
            simd_check("cmpss", true, simd!(concat!("cmpss xmm0, xmm1, ", $p)),
                |a, b, env| (false, if sse::f32_cmp(a as u32, b as u32, $p, env) { 0xFFFF_FFFF } else { 0 }));
            simd_check("cmpsd", false, simd!(concat!("cmpsd xmm0, xmm1, ", $p)),
                |a, b, env| (false, if sse::f64_cmp(a, b, $p, env) { !0 } else { 0 }));
        )*};
    }
    predicates!(0 1 2 3 4 5 6 7);
    let flags = |(unordered, less, equal): (bool, bool, bool)| {
        // lahf: ZF in bit 6, PF in bit 2, CF in bit 0.
        (true, u64::from(unordered || equal) << 6 | u64::from(unordered) << 2 | u64::from(unordered || less))
    };
    simd_check("ucomiss", true, simd!("ucomiss xmm0, xmm1; lahf; shr eax, 8; and eax, 0x45"), |a, b, env| {
        flags(sse::f32_ucomi(a as u32, b as u32, env))
    });
    simd_check("comiss", true, simd!("comiss xmm0, xmm1; lahf; shr eax, 8; and eax, 0x45"), |a, b, env| {
        flags(sse::f32_comi(a as u32, b as u32, env))
    });
    simd_check("ucomisd", false, simd!("ucomisd xmm0, xmm1; lahf; shr eax, 8; and eax, 0x45"), |a, b, env| {
        flags(sse::f64_ucomi(a, b, env))
    });
    simd_check("comisd", false, simd!("comisd xmm0, xmm1; lahf; shr eax, 8; and eax, 0x45"), |a, b, env| {
        flags(sse::f64_comi(a, b, env))
    });
}

#[test]
fn avx_predicates_agree() {
    if !std::is_x86_feature_detected!("avx") {
        return;
    }
    macro_rules! predicates {
        ($($p:literal)*) => {$(
            simd_check("vcmpsd", false, simd!(concat!("vcmpsd xmm0, xmm0, xmm1, ", $p)),
                |a, b, env| (false, if sse::f64_cmp(a, b, $p, env) { !0 } else { 0 }));
        )*};
    }
    predicates!(8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
}

#[test]
fn sse41_rounding_agrees() {
    if !std::is_x86_feature_detected!("sse4.1") {
        return;
    }
    macro_rules! modes {
        ($($p:literal $rounding:expr, $quiet:literal;)*) => {$(
            simd_check("roundss", true, simd!(concat!("roundss xmm0, xmm1, ", $p)),
                |_, b, env| { let r: Option<Rounding> = $rounding; (false, sse::f32_round(b as u32, r.unwrap_or(env.rounding), $quiet, env).into()) });
            simd_check("roundsd", false, simd!(concat!("roundsd xmm0, xmm1, ", $p)),
                |_, b, env| { let r: Option<Rounding> = $rounding; (false, sse::f64_round(b, r.unwrap_or(env.rounding), $quiet, env)) });
        )*};
    }
    modes! {
        0 Some(Rounding::Nearest), false;
        1 Some(Rounding::Down), false;
        10 Some(Rounding::Up), true;
        3 Some(Rounding::Zero), false;
        4 None, false;
        12 None, true;
    }
}

#[test]
fn fma_agrees() {
    if !std::is_x86_feature_detected!("fma") {
        return;
    }
    let (mut rng, mut report) = (Rng(123), Report::default());
    for i in 0..CASES {
        let single = i % 2 == 0;
        let (a, b, c, csr) = (
            sse_operand(&mut rng, single),
            sse_operand(&mut rng, single),
            sse_operand(&mut rng, single),
            mxcsr(&mut rng),
        );
        let (mut r, mut after, old) = (a, csr, 0x1F80u32);
        // SAFETY: FMA is there; touches only the registers named; MXCSR is put back to its initial state.
        unsafe {
            if single {
                asm!("ldmxcsr [{csr}]", "movq xmm0, {r}", "movq xmm1, {b}", "movq xmm2, {c}", "vfmadd213ss xmm0, xmm1, xmm2",
                    "stmxcsr [{csr}]", "ldmxcsr [{old}]", "movq {r}, xmm0", csr = in(reg) &mut after, old = in(reg) &old,
                    r = inout(reg) r, b = in(reg) b, c = in(reg) c, out("xmm0") _, out("xmm1") _, out("xmm2") _);
            } else {
                asm!("ldmxcsr [{csr}]", "movq xmm0, {r}", "movq xmm1, {b}", "movq xmm2, {c}", "vfmadd213sd xmm0, xmm1, xmm2",
                    "stmxcsr [{csr}]", "ldmxcsr [{old}]", "movq {r}, xmm0", csr = in(reg) &mut after, old = in(reg) &old,
                    r = inout(reg) r, b = in(reg) b, c = in(reg) c, out("xmm0") _, out("xmm1") _, out("xmm2") _);
            }
        }
        let mut env = Mxcsr::from_bits(csr);
        // xmm0 = xmm1 * xmm0 + xmm2, the factors in this order.
        let got = if single {
            sse::f32_fma(b as u32, a as u32, c as u32, &mut env).into()
        } else {
            sse::f64_fma(b, a, c, &mut env)
        };
        let r = if single { r & 0xFFFF_FFFF } else { r };
        report.check(got == r && env.merge(csr) == after, || {
            format!("fma {a:#x} {b:#x} {c:#x} csr {csr:#x}: {r:#x} {after:#x}, here {got:#x} {:#x}", env.merge(csr))
        });
    }
    report.finish();
}
