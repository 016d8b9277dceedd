//! Every encoder against an independent assembler, with many register numbers and immediates.

// The other assembler's macro converts register numbers.
#![allow(clippy::useless_conversion)]

use super::branch::*;
use super::float::{self, Fmt};
use super::int::*;
use super::mem::{self, Access, Mode, Ordered, Pair, Rmw, Width};
use super::simd::{self, Lane};
use super::*;
use dynasmrt::aarch64::Assembler;
use dynasmrt::{DynasmApi, dynasm};

/// The words that the other assembler makes.
fn oracle(f: impl FnOnce(&mut Assembler)) -> Vec<u32> {
    let mut ops = Assembler::new().expect("memory");
    f(&mut ops);
    let code = ops.finalize().expect("complete");
    code.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect()
}

/// Register numbers (none of them 31, whose meaning depends on the form).
const NUMBERS: [[u8; 3]; 5] = [[0, 1, 2], [30, 0, 7], [1, 30, 16], [9, 10, 30], [21, 21, 21]];

macro_rules! check {
    ($ours:expr, $($asm:tt)*) => {{
        let ours: u32 = $ours;
        let theirs = oracle(|ops| { dynasm!(ops ; .arch aarch64 ; $($asm)*); });
        assert_eq!(format!("{ours:08x}"), format!("{:08x}", theirs[0]), "{} as {}", stringify!($ours), stringify!($($asm)*));
    }};
}

#[test]
fn arithmetic() {
    use Arith::*;
    for [d, n, m] in NUMBERS {
        let (rd, rn, rm) = (x(d), x(n), x(m));
        let (dd, nn, mm) = (d, n, m);
        for by in [0u32, 1, 31] {
            check!(arith(Add, Sz::W, rd, rn, rm, Shift::Lsl, by), add W(dd), W(nn), W(mm), LSL by);
            check!(arith(Subs, Sz::X, rd, rn, rm, Shift::Asr, by), subs X(dd), X(nn), X(mm), ASR by);
            check!(logic(Logic::Bic, Sz::X, rd, rn, rm, Shift::Ror, by), bic X(dd), X(nn), X(mm), ROR by);
            check!(logic(Logic::Eon, Sz::W, rd, rn, rm, Shift::Lsr, by), eon W(dd), W(nn), W(mm), LSR by);
            check!(extr(Sz::X, rd, rn, rm, by), extr X(dd), X(nn), X(mm), by);
            check!(extr(Sz::W, rd, rn, rm, by), extr W(dd), W(nn), W(mm), by);
            check!(lsr_imm(Sz::X, rd, rn, by), lsr X(dd), X(nn), by);
            check!(lsl_imm(Sz::W, rd, rn, by), lsl W(dd), W(nn), by);
            check!(asr_imm(Sz::W, rd, rn, by), asr W(dd), W(nn), by);
        }
        for k in [0u32, 7, 4095] {
            let imm = Imm12::new(u64::from(k)).expect("fits");
            check!(arith_imm(Add, Sz::X, rd, rn, imm), add XSP(dd), XSP(nn), k);
            check!(arith_imm(Subs, Sz::W, rd, rn, imm), subs W(dd), WSP(nn), k);
        }
        check!(arith_imm(Sub, Sz::X, rd, rn, Imm12::new(0x5000).expect("fits")), sub XSP(dd), XSP(nn), 5, LSL 12);
        check!(arith_ext(Add, Sz::X, rd, rn, rm, Extend::Uxtw, 3), add XSP(dd), XSP(nn), W(mm), UXTW 3);
        check!(arith_ext(Subs, Sz::W, rd, rn, rm, Extend::Sxtb, 0), subs W(dd), WSP(nn), W(mm), SXTB);
        check!(arith_ext(Adds, Sz::X, rd, rn, rm, Extend::Sxth, 1), adds X(dd), XSP(nn), W(mm), SXTH 1);
        check!(carry(Add, Sz::X, rd, rn, rm), adc X(dd), X(nn), X(mm));
        check!(carry(Adds, Sz::W, rd, rn, rm), adcs W(dd), W(nn), W(mm));
        check!(carry(Sub, Sz::W, rd, rn, rm), sbc W(dd), W(nn), W(mm));
        check!(carry(Subs, Sz::X, rd, rn, rm), sbcs X(dd), X(nn), X(mm));
        check!(logic(Logic::Ands, Sz::W, rd, rn, rm, Shift::Lsl, 0), ands W(dd), W(nn), W(mm));
        check!(logic(Logic::Orn, Sz::X, rd, rn, rm, Shift::Lsl, 0), orn X(dd), X(nn), X(mm));
        check!(ubfx(Sz::X, rd, rn, 8, 8), ubfx X(dd), X(nn), 8, 8);
        check!(sbfx(Sz::W, rd, rn, 3, 5), sbfx W(dd), W(nn), 3, 5);
        check!(bfi(Sz::X, rd, rn, 8, 8), bfi X(dd), X(nn), 8, 8);
        check!(bfxil(Sz::X, rd, rn, 8, 16), bfxil X(dd), X(nn), 8, 16);
        check!(ubfiz(Sz::W, rd, rn, 4, 7), ubfiz W(dd), W(nn), 4, 7);
        check!(csel(Csel::Csel, Sz::X, rd, rn, rm, Cond::Hi), csel X(dd), X(nn), X(mm), hi);
        check!(csel(Csel::Csinc, Sz::W, rd, rn, rm, Cond::Lt), csinc W(dd), W(nn), W(mm), lt);
        check!(csel(Csel::Csinv, Sz::X, rd, rn, rm, Cond::Vs), csinv X(dd), X(nn), X(mm), vs);
        check!(csel(Csel::Csneg, Sz::W, rd, rn, rm, Cond::Eq), csneg W(dd), W(nn), W(mm), eq);
        check!(cset(rd, Cond::Ge), cset W(dd), ge);
        check!(csetm(Sz::X, rd, Cond::Ne), csetm X(dd), ne);
        check!(ccmp(false, Sz::X, rn, rm, 5, Cond::Ne), ccmp X(nn), X(mm), 5, ne);
        check!(ccmp_imm(true, Sz::W, rn, 30, 9, Cond::Cs), ccmn W(nn), 30, 9, cs);
        check!(two(Two::Udiv, Sz::X, rd, rn, rm), udiv X(dd), X(nn), X(mm));
        check!(two(Two::Sdiv, Sz::W, rd, rn, rm), sdiv W(dd), W(nn), W(mm));
        check!(two(Two::Lslv, Sz::X, rd, rn, rm), lslv X(dd), X(nn), X(mm));
        check!(two(Two::Lsrv, Sz::W, rd, rn, rm), lsrv W(dd), W(nn), W(mm));
        check!(two(Two::Asrv, Sz::X, rd, rn, rm), asrv X(dd), X(nn), X(mm));
        check!(two(Two::Rorv, Sz::W, rd, rn, rm), rorv W(dd), W(nn), W(mm));
        check!(one(One::Rbit, Sz::X, rd, rn), rbit X(dd), X(nn));
        check!(one(One::Clz, Sz::W, rd, rn), clz W(dd), W(nn));
        check!(one(One::Cls, Sz::X, rd, rn), cls X(dd), X(nn));
        check!(one(One::Rev16, Sz::W, rd, rn), rev16 W(dd), W(nn));
        check!(one(One::Rev32, Sz::W, rd, rn), rev W(dd), W(nn));
        check!(one(One::Rev64, Sz::X, rd, rn), rev X(dd), X(nn));
        check!(three(Three::Madd, Sz::W, rd, rn, rm, x(5)), madd W(dd), W(nn), W(mm), w5);
        check!(three(Three::Msub, Sz::X, rd, rn, rm, x(5)), msub X(dd), X(nn), X(mm), x5);
        check!(three(Three::Smaddl, Sz::X, rd, rn, rm, ZR), smull X(dd), W(nn), W(mm));
        check!(three(Three::Umaddl, Sz::X, rd, rn, rm, x(3)), umaddl X(dd), W(nn), W(mm), x3);
        check!(three(Three::Smulh, Sz::X, rd, rn, rm, x(3)), smulh X(dd), X(nn), X(mm));
        check!(three(Three::Umulh, Sz::X, rd, rn, rm, ZR), umulh X(dd), X(nn), X(mm));
        check!(movz(Sz::X, rd, 0x1234, 2), movz X(dd), 0x1234, LSL 32);
        check!(movn(Sz::W, rd, 0x1234, 1), movn W(dd), 0x1234, LSL 16);
        check!(movk(Sz::X, rd, 0x1234, 3), movk X(dd), 0x1234, LSL 48);
        check!(br(rn), br X(nn));
        check!(blr(rn), blr X(nn));
        check!(ret(rn), ret X(nn));
        check!(brk(0xabc), brk 0xabc);
        check!(mrs(rd, SysReg::Nzcv), mrs X(dd), 0x5a10);
        check!(msr(SysReg::Fpcr, rd), msr 0x5a20, X(dd));
        check!(msr(SysReg::Fpsr, rd), msr 0x5a21, X(dd));
    }
    check!(CFINV, cfinv);
    check!(NOP, nop);
    check!(ISB, isb sy);
    check!(DMB_ISH, dmb ish);
    check!(DMB_ISHLD, dmb ishld);
    check!(DMB_ISHST, dmb ishst);
    check!(rmif(x(7), 61, 0b0010), rmif x7, 61, 2);
    check!(setf(false, x(3)), setf8 w3);
    check!(setf(true, x(3)), setf16 w3);
}

#[test]
fn bitmasks() {
    // Exactly the numbers that the definition can produce are encodable, and to the same bits as the other assembler's.
    for (n, w) in [
        (1u64, true),
        (0xff, true),
        (0x8000_0001, true),
        (0x5555_5555, true),
        (0x00ff_00ff, true),
        (5, false),
        (0x1234, false),
        (0xffff_fffe, true),
        (0x7fff_fffe, true),
        (0xe000_0007, true),
    ] {
        let ours = LogicImm::new(Sz::W, n);
        assert_eq!(ours.is_some(), w, "{n:#x}");
        if let Some(imm) = ours {
            let k = n as u32;
            check!(logic_imm(Logic::And, Sz::W, x(3), x(4), imm).expect("not inverting"), and WSP(3), W(4), k);
            check!(logic_imm(Logic::Ands, Sz::W, x(3), x(4), imm).expect("not inverting"), ands W(3), W(4), k);
        }
    }
    for n in [
        1u64,
        0xffff_ffff,
        0xffff_ffff_0000_0000,
        0x0101_0101_0101_0101,
        0x8000_0000_0000_0001,
        0x3ffc_3ffc_3ffc_3ffc,
        !1,
        0xffff_0000_0000_ffff,
        0x5555_5555_5555_5555,
    ] {
        let imm = LogicImm::new(Sz::X, n).expect("a bitmask");
        check!(logic_imm(Logic::Eor, Sz::X, x(3), x(4), imm).expect("not inverting"), eor XSP(3), X(4), n);
        check!(logic_imm(Logic::Orr, Sz::X, x(3), x(4), imm).expect("not inverting"), orr XSP(3), X(4), n);
    }
    assert_eq!(LogicImm::new(Sz::X, 0), None);
    assert_eq!(LogicImm::new(Sz::X, u64::MAX), None);
    assert_eq!(LogicImm::new(Sz::W, u64::from(u32::MAX)), None);
    assert_eq!(Imm12::new(0x1001), None);
    assert_eq!(Simm9::new(256), None);
}

/// What a sequence of movz, movn, movk and orr leaves in the register.
fn run_moves(words: &[u32]) -> u64 {
    let mut r = 0u64;
    for &w in words {
        let (imm, half) = (u64::from(w >> 5 & 0xffff), w >> 21 & 3);
        let mask = if w >> 31 != 0 { u64::MAX } else { 0xffff_ffff };
        r = match w & 0x7f80_0000 {
            0x5280_0000 => imm << (16 * half),
            0x1280_0000 => !(imm << (16 * half)) & mask,
            0x7280_0000 => r & !(0xffff << (16 * half)) | imm << (16 * half),
            _ => {
                assert_eq!(w & 0x7f80_03e0, 0x3200_03e0, "orr from zr");
                let (n, immr, imms) = (w >> 22 & 1, w >> 16 & 63, w >> 10 & 63);
                let len = 31 - (n << 6 | !imms & 63).leading_zeros();
                let (size, ones) = (1u32 << len, (imms & ((1 << len) - 1)) + 1);
                let mut bits = [false; 64];
                for k in 0..64u32 {
                    bits[k as usize] = (k + immr) % size < ones;
                }
                (0..64).filter(|&k| bits[k]).map(|k| 1u64 << k).sum::<u64>() & mask
            }
        };
    }
    r
}

#[test]
fn constants() {
    let mut seed = 88172645463325252u64;
    for k in 0..20_000u64 {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let n = match k % 5 {
            0 => seed,
            1 => seed >> (seed & 63),
            2 => !(seed >> (seed & 63)),
            3 => 1u64.rotate_left((seed & 63) as u32).wrapping_sub(k),
            _ => k,
        };
        for sz in [Sz::W, Sz::X] {
            let words: Vec<u32> = mov_imm(sz, x(9), n).collect();
            let want = if sz == Sz::W { n & 0xffff_ffff } else { n };
            assert_eq!(run_moves(&words), want, "{n:#x}: {words:08x?}");
            assert!(words.iter().all(|w| w & 31 == 9));
        }
    }
    assert_eq!(mov_imm(Sz::X, x(0), 0xffff_fffe).count(), 1);
    assert_eq!(mov_imm(Sz::X, x(0), 0x40_1234).count(), 2);
}

#[test]
fn loads_and_stores() {
    use Access::*;
    for [t, n, m] in NUMBERS {
        let (rt, rn, rm, vt) = (x(t), x(n), x(m), v(t));
        let (tt, nn, mm) = (t, n, m);
        let s9 = Simm9::new(-24).expect("fits");
        check!(mem::offset(LdrX, rt, rn, 4088).expect("fits"), ldr X(tt), [XSP(nn), 4088]);
        check!(mem::offset(LdrX, rt, rn, -8).expect("fits"), ldur X(tt), [XSP(nn), -8]);
        check!(mem::offset(StrW, rt, rn, 3).expect("fits"), stur W(tt), [XSP(nn), 3]);
        check!(mem::offset(StrW, rt, rn, 16380).expect("fits"), str W(tt), [XSP(nn), 16380]);
        check!(mem::offset(Ldrb, rt, rn, 5).expect("fits"), ldrb W(tt), [XSP(nn), 5]);
        check!(mem::offset(Strb, rt, rn, 4095).expect("fits"), strb W(tt), [XSP(nn), 4095]);
        check!(mem::offset(Strh, rt, rn, 6).expect("fits"), strh W(tt), [XSP(nn), 6]);
        check!(mem::offset(Ldrh, rt, rn, 6).expect("fits"), ldrh W(tt), [XSP(nn), 6]);
        check!(mem::offset(LdrsbX, rt, rn, 6).expect("fits"), ldrsb X(tt), [XSP(nn), 6]);
        check!(mem::offset(LdrsbW, rt, rn, 6).expect("fits"), ldrsb W(tt), [XSP(nn), 6]);
        check!(mem::offset(LdrshX, rt, rn, 6).expect("fits"), ldrsh X(tt), [XSP(nn), 6]);
        check!(mem::offset(LdrshW, rt, rn, 6).expect("fits"), ldrsh W(tt), [XSP(nn), 6]);
        check!(mem::offset(Ldrsw, rt, rn, 8).expect("fits"), ldrsw X(tt), [XSP(nn), 8]);
        check!(mem::offset(LdrW, rt, rn, 8).expect("fits"), ldr W(tt), [XSP(nn), 8]);
        check!(mem::offset(StrX, rt, rn, 8).expect("fits"), str X(tt), [XSP(nn), 8]);
        check!(mem::offset(LdrQ, vt, rn, 65520).expect("fits"), ldr Q(tt), [XSP(nn), 65520]);
        check!(mem::offset(StrQ, vt, rn, -16).expect("fits"), stur Q(tt), [XSP(nn), -16]);
        check!(mem::offset(LdrD, vt, rn, 8).expect("fits"), ldr D(tt), [XSP(nn), 8]);
        check!(mem::offset(StrD, vt, rn, 8).expect("fits"), str D(tt), [XSP(nn), 8]);
        check!(mem::offset(LdrS, vt, rn, 8).expect("fits"), ldr S(tt), [XSP(nn), 8]);
        check!(mem::offset(StrS, vt, rn, 8).expect("fits"), str S(tt), [XSP(nn), 8]);
        check!(mem::offset(LdrVh, vt, rn, 8).expect("fits"), ldr H(tt), [XSP(nn), 8]);
        check!(mem::offset(StrVh, vt, rn, 8).expect("fits"), str H(tt), [XSP(nn), 8]);
        check!(mem::offset(LdrVb, vt, rn, 8).expect("fits"), ldr B(tt), [XSP(nn), 8]);
        check!(mem::offset(StrVb, vt, rn, 8).expect("fits"), str B(tt), [XSP(nn), 8]);
        check!(mem::index(LdrX, rt, rn, rm, Extend::Uxtx, true), ldr X(tt), [XSP(nn), X(mm), LSL 3]);
        check!(mem::index(StrW, rt, rn, rm, Extend::Uxtx, false), str W(tt), [XSP(nn), X(mm)]);
        check!(mem::index(Ldrh, rt, rn, rm, Extend::Sxtw, true), ldrh W(tt), [XSP(nn), W(mm), SXTW 1]);
        check!(mem::index(LdrQ, vt, rn, rm, Extend::Uxtw, true), ldr Q(tt), [XSP(nn), W(mm), UXTW 4]);
        check!(mem::pre(StrX, rt, rn, s9), str X(tt), [XSP(nn), -24]!);
        check!(mem::post(LdrW, rt, rn, s9), ldr W(tt), [XSP(nn)], -24);
        check!(mem::pair(false, Pair::X, rt, rm, rn, -16, Mode::Pre).expect("fits"), stp X(tt), X(mm), [XSP(nn), -16]!);
        check!(mem::pair(true, Pair::W, rt, rm, rn, 252, Mode::Offset).expect("fits"), ldp W(tt), W(mm), [XSP(nn), 252]);
        check!(mem::pair(true, Pair::Q, vt, v(m), rn, -1024, Mode::Post).expect("fits"), ldp Q(tt), Q(mm), [XSP(nn)], -1024);
        check!(mem::pair(false, Pair::D, vt, v(m), rn, 8, Mode::Offset).expect("fits"), stp D(tt), D(mm), [XSP(nn), 8]);
        check!(mem::ordered(Ordered::Ldar, Width::X, rt, rn), ldar X(tt), [XSP(nn)]);
        check!(mem::ordered(Ordered::Ldar, Width::B, rt, rn), ldarb W(tt), [XSP(nn)]);
        check!(mem::ordered(Ordered::Stlr, Width::H, rt, rn), stlrh W(tt), [XSP(nn)]);
        check!(mem::ordered(Ordered::Stlr, Width::W, rt, rn), stlr W(tt), [XSP(nn)]);
        check!(mem::ordered(Ordered::Ldapr, Width::W, rt, rn), ldapr W(tt), [XSP(nn)]);
        check!(mem::ordered(Ordered::Ldxr, Width::X, rt, rn), ldxr X(tt), [XSP(nn)]);
        check!(mem::ordered(Ordered::Ldaxr, Width::B, rt, rn), ldaxrb W(tt), [XSP(nn)]);
        check!(mem::ordered_off(true, Width::X, rt, rn, s9), ldapur X(tt), [XSP(nn), -24]);
        check!(mem::ordered_off(false, Width::B, rt, rn, s9), stlurb W(tt), [XSP(nn), -24]);
        check!(mem::stxr(false, Width::X, rm, rt, rn), stxr W(mm), X(tt), [XSP(nn)]);
        check!(mem::stxr(true, Width::H, rm, rt, rn), stlxrh W(mm), W(tt), [XSP(nn)]);
        check!(mem::ldxp(true, rt, rm, rn), ldaxp X(tt), X(mm), [XSP(nn)]);
        check!(mem::stxp(true, x(5), rt, rm, rn), stlxp w5, X(tt), X(mm), [XSP(nn)]);
        check!(mem::rmw(Rmw::Ldadd, Width::X, rm, rt, rn), ldaddal X(mm), X(tt), [XSP(nn)]);
        check!(mem::rmw(Rmw::Ldclr, Width::B, rm, rt, rn), ldclralb W(mm), W(tt), [XSP(nn)]);
        check!(mem::rmw(Rmw::Ldset, Width::H, rm, rt, rn), ldsetalh W(mm), W(tt), [XSP(nn)]);
        check!(mem::rmw(Rmw::Ldeor, Width::W, rm, rt, rn), ldeoral W(mm), W(tt), [XSP(nn)]);
        check!(mem::rmw(Rmw::Swp, Width::W, rm, rt, rn), swpal W(mm), W(tt), [XSP(nn)]);
        check!(mem::casal(Width::X, rm, rt, rn), casal X(mm), X(tt), [XSP(nn)]);
        check!(mem::casal(Width::B, rm, rt, rn), casalb W(mm), W(tt), [XSP(nn)]);
    }
    check!(mem::caspal(x(2), x(4), x(7)).expect("even"), caspal x2, x3, x4, x5, [x7]);
    assert_eq!(mem::caspal(x(3), x(4), x(7)), None);
    assert_eq!(mem::offset(LdrX, x(0), x(0), 257), None);
    assert_eq!(mem::offset(LdrX, x(0), x(0), -257), None);
    assert_eq!(mem::pair(true, Pair::X, x(0), x(1), SP, 512, Mode::Offset), None);
    assert_eq!(mem::pair(true, Pair::X, x(0), x(1), SP, 4, Mode::Offset), None);
}

#[test]
fn branches() {
    let b = |f: &dyn Fn(&mut crate::buffer::CodeBuffer, crate::buffer::Label)| {
        let mut buffer = crate::buffer::CodeBuffer::default();
        let l = buffer.label();
        buffer.word(NOP);
        f(&mut buffer, l);
        buffer.bind(l);
        let code = buffer.finish().expect("in reach");
        u32::from_le_bytes([code[4], code[5], code[6], code[7]])
    };
    use crate::buffer::Field::*;
    macro_rules! branch {
        ($word:expr, $field:ident, $($asm:tt)*) => {{
            let ours = b(&|buf, l| { buf.refer(4, l, $field); buf.word($word); });
            let theirs = oracle(|ops| { use dynasmrt::DynasmLabelApi; dynasm!(ops ; .arch aarch64 ; nop ; $($asm)* ; ->l:); });
            assert_eq!(ours, theirs[1], "{}", stringify!($($asm)*));
        }};
    }
    branch!(B, Arm26, b ->l);
    branch!(BL, Arm26, bl ->l);
    branch!(b_cond(Cond::Le), Arm19, b.le ->l);
    branch!(cbz(false, Sz::X, x(5)), Arm19, cbz x5, ->l);
    branch!(cbz(true, Sz::W, x(5)), Arm19, cbnz w5, ->l);
    branch!(tbz(false, x(5), 63), Arm14, tbz x5, 63, ->l);
    branch!(tbz(true, x(5), 3), Arm14, tbnz w5, 3, ->l);
    branch!(adr(x(30)), Adr, adr x30, ->l);
    branch!(mem::literal_x(x(16)), Arm19, ldr x16, ->l);
    branch!(mem::literal_w(x(16)), Arm19, ldr w16, ->l);
    branch!(mem::literal_q(v(16)), Arm19, ldr q16, ->l);
    check!(b_to(false, -4).expect("fits"), b - 16);
    assert_eq!(b_to(true, 1 << 25), None);
    assert_eq!(adrp(x(3), 5).map(|w| w & 0x9f00_001f), Some(0x9000_0003));
}

/// The text that a disassembler gives for a word, in lower case.
fn text(word: u32) -> String {
    let op = disarm64::decoder::decode(word).unwrap_or_else(|| panic!("{word:08x} is not an instruction"));
    format!("{op}").to_lowercase()
}

#[test]
fn vectors() {
    // The mnemonic of every line of the class tables, as a disassembler names it.
    let first = |word: u32| text(word).split_whitespace().next().unwrap_or("").to_string();
    let (a, b, c) = (v(1), v(2), v(30));
    for &op in simd::Same::ALL {
        assert_eq!(first(simd::same(op, true, Lane::S, a, b, c)), format!("{op:?}").to_lowercase());
    }
    for &op in simd::Long::ALL {
        let name = format!("{op:?}").to_lowercase();
        assert_eq!(first(simd::long(op, false, Lane::H, a, b, c)), name);
        assert_eq!(first(simd::long(op, true, Lane::H, a, b, c)), format!("{name}2"));
    }
    for &op in simd::Misc::ALL {
        let name = format!("{op:?}").to_lowercase();
        let name = name.trim_end_matches('0');
        let lane = if matches!(op, simd::Misc::Rev16) { Lane::B } else { Lane::H };
        let lane = if matches!(op, simd::Misc::Cnt | simd::Misc::Not) { Lane::B } else { lane };
        assert_eq!(first(simd::misc(op, false, lane, a, b)), if name == "not" { "not" } else { name });
    }
    for &op in simd::Across::ALL {
        assert_eq!(first(simd::across(op, true, Lane::H, a, b)), format!("{op:?}").to_lowercase());
    }
    for &op in simd::Permute::ALL {
        assert_eq!(first(simd::permute(op, true, Lane::S, a, b, c)), format!("{op:?}").to_lowercase());
    }
    for &op in simd::Bits::ALL {
        assert_eq!(first(simd::bits(op, true, a, b, c)), format!("{op:?}").to_lowercase());
    }
    for &op in float::Vec2::ALL {
        assert_eq!(first(float::vec2(op, true, Fmt::S, a, b, c)), format!("{op:?}").to_lowercase());
    }
    for &op in float::Vec1::ALL {
        let name = format!("{op:?}").to_lowercase();
        assert_eq!(first(float::vec1(op, true, Fmt::D, a, b)), name.trim_end_matches('0'));
    }
    for [d, n, m] in NUMBERS {
        let (vd, vn, vm) = (v(d), v(n), v(m));
        let (dd, nn, mm) = (d, n, m);
        let (rd, rn) = (x(d), x(n));
        check!(simd::same(simd::Same::Add, true, Lane::D, vd, vn, vm), add V(dd).d2, V(nn).d2, V(mm).d2);
        check!(simd::same(simd::Same::Uqsub, true, Lane::B, vd, vn, vm), uqsub V(dd).b16, V(nn).b16, V(mm).b16);
        check!(simd::long(simd::Long::Smull, false, Lane::H, vd, vn, vm), smull V(dd).s4, V(nn).h4, V(mm).h4);
        check!(simd::long(simd::Long::Umull, true, Lane::S, vd, vn, vm), umull2 V(dd).d2, V(nn).s4, V(mm).s4);
        check!(simd::misc(simd::Misc::Sqxtn, false, Lane::B, vd, vn), sqxtn V(dd).b8, V(nn).h8);
        check!(simd::misc(simd::Misc::Sqxtun, true, Lane::B, vd, vn), sqxtun2 V(dd).b16, V(nn).h8);
        check!(simd::misc(simd::Misc::Uaddlp, true, Lane::S, vd, vn), uaddlp V(dd).d2, V(nn).s4);
        check!(simd::across(simd::Across::Addv, true, Lane::B, vd, vn), addv B(dd), V(nn).b16);
        check!(simd::permute(simd::Permute::Zip2, true, Lane::H, vd, vn, vm), zip2 V(dd).h8, V(nn).h8, V(mm).h8);
        check!(simd::bits(simd::Bits::Bic, true, vd, vn, vm), bic V(dd).b16, V(nn).b16, V(mm).b16);
        check!(simd::mov(vd, vn), mov V(dd).b16, V(nn).b16);
        for by in [1u32, 5, 16] {
            check!(simd::shift_right(simd::ShiftRight::Sshr, true, Lane::H, vd, vn, by).expect("fits"), sshr V(dd).h8, V(nn).h8, by);
            check!(simd::shift_right(simd::ShiftRight::Usra, true, Lane::D, vd, vn, by).expect("fits"), usra V(dd).d2, V(nn).d2, by);
            let left = by - 1;
            check!(simd::shift_left(simd::ShiftLeft::Shl, true, Lane::S, vd, vn, left).expect("fits"), shl V(dd).s4, V(nn).s4, left);
            check!(simd::shrn(false, Lane::H, vd, vn, by).expect("fits"), shrn V(dd).h4, V(nn).s4, by);
            check!(simd::shll(true, false, Lane::S, vd, vn, left).expect("fits"), ushll V(dd).d2, V(nn).s2, left);
        }
        for k in [0u32, 1, 7] {
            check!(simd::ext(vd, vn, vm, k), ext V(dd).b16, V(nn).b16, V(mm).b16, k);
            check!(simd::umov(Lane::H, rd, vn, k), umov W(dd), V(nn).h[k]);
            check!(simd::smov(Sz::W, Lane::B, rd, vn, k), smov W(dd), V(nn).b[k]);
            check!(simd::ins_reg(Lane::H, vd, k, rn), ins V(dd).h[k], W(nn));
            check!(simd::ins(Lane::H, vd, k, vn, 3), ins V(dd).h[k], V(nn).h[3]);
            check!(simd::dup(true, Lane::H, vd, vn, k), dup V(dd).h8, V(nn).h[k]);
        }
        check!(simd::umov(Lane::D, rd, vn, 1), umov X(dd), V(nn).d[1]);
        check!(simd::dup_reg(true, Lane::S, vd, rn), dup V(dd).s4, W(nn));
        check!(simd::dup_scalar(Lane::D, vd, vn, 1), dup D(dd), V(nn).d[1]);
        check!(simd::tbl(false, vd, vn, 0, vm), tbl V(dd).b16, {V(nn).b16 * 1}, V(mm).b16);
        check!(simd::tbl(true, vd, vn, 1, vm), tbx V(dd).b16, {V(nn).b16 * 2}, V(mm).b16);
        check!(simd::movi_b(vd, 0xa5), movi V(dd).b16, 0xa5);
        check!(simd::movi_s(false, vd, 0xa5, 2), movi V(dd).s4, 0xa5, LSL 16);
        check!(simd::movi_s(true, vd, 0xa5, 0), mvni V(dd).s4, 0xa5);
        check!(simd::movi_h(false, vd, 0xa5, 1), movi V(dd).h8, 0xa5, LSL 8);
        check!(simd::movi_d(vd, 0x0f), movi V(dd).d2, 0xffffffff);
        check!(float::two(float::Two::Fmul, Fmt::D, vd, vn, vm), fmul D(dd), D(nn), D(mm));
        check!(float::three(float::Three::Fmadd, Fmt::D, vd, vn, vm, vd), fmadd D(dd), D(nn), D(mm), D(dd));
        check!(float::three(float::Three::Fmsub, Fmt::S, vd, vn, vm, vn), fmsub S(dd), S(nn), S(mm), S(nn));
        check!(float::three(float::Three::Fnmadd, Fmt::S, vd, vn, vm, vd), fnmadd S(dd), S(nn), S(mm), S(dd));
        check!(float::three(float::Three::Fnmsub, Fmt::D, vd, vn, vm, vd), fnmsub D(dd), D(nn), D(mm), D(dd));
        check!(float::fcvtl_half(vd, vn), fcvtl V(dd).s4, V(nn).h4);
        check!(float::two(float::Two::Fdiv, Fmt::S, vd, vn, vm), fdiv S(dd), S(nn), S(mm));
        check!(float::two(float::Two::Fsub, Fmt::S, vd, vn, vm), fsub S(dd), S(nn), S(mm));
        check!(float::one(float::One::Fsqrt, Fmt::D, vd, vn), fsqrt D(dd), D(nn));
        check!(float::one(float::One::Frintz, Fmt::S, vd, vn), frintz S(dd), S(nn));
        check!(float::one(float::One::Frinti, Fmt::S, vd, vn), frinti S(dd), S(nn));
        check!(float::one(float::One::Fmov, Fmt::S, vd, vn), fmov S(dd), S(nn));
        check!(float::fcvt(Fmt::S, vd, vn), fcvt D(dd), S(nn));
        check!(float::fcvt(Fmt::D, vd, vn), fcvt S(dd), D(nn));
        check!(float::fcmp(false, Fmt::D, vn, vm), fcmp D(nn), D(mm));
        check!(float::fcmp(true, Fmt::S, vn, vm), fcmpe S(nn), S(mm));
        check!(float::fcmp_zero(Fmt::S, vn), fcmp S(nn), 0.0);
        check!(float::fcsel(Fmt::D, vd, vn, vm, Cond::Mi), fcsel D(dd), D(nn), D(mm), mi);
        check!(float::to_int(float::Round::Zero, Sz::X, Fmt::D, rd, vn), fcvtzs X(dd), D(nn));
        check!(float::to_int(float::Round::Nearest, Sz::W, Fmt::S, rd, vn), fcvtns W(dd), S(nn));
        check!(float::to_int(float::Round::Up, Sz::W, Fmt::D, rd, vn), fcvtps W(dd), D(nn));
        check!(float::to_int(float::Round::Down, Sz::W, Fmt::D, rd, vn), fcvtms W(dd), D(nn));
        check!(float::from_int(Sz::W, Fmt::D, vd, rn), scvtf D(dd), W(nn));
        check!(float::from_int(Sz::X, Fmt::S, vd, rn), scvtf S(dd), X(nn));
        check!(float::fmov_to(Sz::X, rd, vn), fmov X(dd), D(nn));
        check!(float::fmov_from(Sz::W, vd, rn), fmov S(dd), W(nn));
        check!(float::fmov_hi_to(rd, vn), fmov X(dd), V(nn).d[1]);
        check!(float::fmov_hi_from(vd, rn), fmov V(dd).d[1], X(nn));
        check!(float::vec2(float::Vec2::Fcmge, true, Fmt::D, vd, vn, vm), fcmge V(dd).d2, V(nn).d2, V(mm).d2);
        check!(float::vec1(float::Vec1::Fcvtzs, true, Fmt::S, vd, vn), fcvtzs V(dd).s4, V(nn).s4);
        check!(float::scalar_compare(float::Vec2::Fcmgt, Fmt::S, vd, vn, vm).expect("a comparison"), fcmgt S(dd), S(nn), S(mm));
        check!(float::max_across(Fmt::S, vd, vn), fmaxv S(dd), V(nn).s4);
        check!(float::max_across(Fmt::D, vd, vn), fmaxp D(dd), V(nn).d2);
        check!(float::fcvtl(false, vd, vn), fcvtl V(dd).d2, V(nn).s2);
        check!(float::fcvtn(true, vd, vn), fcvtn2 V(dd).s4, V(nn).d2);
    }
    assert_eq!(simd::shift_right(simd::ShiftRight::Sshr, true, Lane::B, a, b, 9), None);
    assert_eq!(simd::shift_left(simd::ShiftLeft::Shl, true, Lane::B, a, b, 8), None);
}

#[test]
fn checksums_and_cryptography() {
    use simd::{Crypto2, Crypto3, crypto2, crypto3, pmull};
    for [d, n, m] in NUMBERS {
        let (vd, vn, vm) = (v(d), v(n), v(m));
        check!(crypto2(Crypto2::Aese, vd, vn), aese V(d).b16, V(n).b16);
        check!(crypto2(Crypto2::Aesd, vd, vn), aesd V(d).b16, V(n).b16);
        check!(crypto2(Crypto2::Aesmc, vd, vn), aesmc V(d).b16, V(n).b16);
        check!(crypto2(Crypto2::Aesimc, vd, vn), aesimc V(d).b16, V(n).b16);
        check!(crypto2(Crypto2::Sha1h, vd, vn), sha1h S(d), S(n));
        check!(crypto2(Crypto2::Sha256su0, vd, vn), sha256su0 V(d).s4, V(n).s4);
        check!(crypto3(Crypto3::Sha1c, vd, vn, vm), sha1c Q(d), S(n), V(m).s4);
        check!(crypto3(Crypto3::Sha1p, vd, vn, vm), sha1p Q(d), S(n), V(m).s4);
        check!(crypto3(Crypto3::Sha1m, vd, vn, vm), sha1m Q(d), S(n), V(m).s4);
        check!(crypto3(Crypto3::Sha256h, vd, vn, vm), sha256h Q(d), Q(n), V(m).s4);
        check!(crypto3(Crypto3::Sha256h2, vd, vn, vm), sha256h2 Q(d), Q(n), V(m).s4);
        check!(crypto3(Crypto3::Sha256su1, vd, vn, vm), sha256su1 V(d).s4, V(n).s4, V(m).s4);
        check!(pmull(false, vd, vn, vm), pmull V(d).q1, V(n).d1, V(m).d1);
        check!(pmull(true, vd, vn, vm), pmull2 V(d).q1, V(n).d2, V(m).d2);
        let (rd, rn, rm) = (x(d), x(n), x(m));
        check!(crc32c(0, rd, rn, rm), crc32cb W(d), W(n), W(m));
        check!(crc32c(1, rd, rn, rm), crc32ch W(d), W(n), W(m));
        check!(crc32c(2, rd, rn, rm), crc32cw W(d), W(n), W(m));
        check!(crc32c(3, rd, rn, rm), crc32cx W(d), W(n), X(m));
    }
}
