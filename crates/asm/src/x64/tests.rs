//! Every encoding is decoded again by an independent decoder and compared as text.

use super::avx::{Avx, Order};
use super::flow::FlagOp;
use super::int::{Alu, Bit, Count, Shift, ShiftX, Unary};
use super::sse::{Sse, VShift};
use super::x87::X87Op;
use super::{Asm, Map, Mem, Reg, Size, Xmm};
use iced_x86::{Decoder, DecoderOptions, FastFormatter};

const SIZES: [Size; 4] = [Size::B, Size::W, Size::D, Size::Q];
const WIDE: [Size; 3] = [Size::W, Size::D, Size::Q];

fn text(code: &[u8]) -> String {
    let mut d = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    let mut f = FastFormatter::new();
    f.options_mut().set_always_show_memory_size(false);
    f.options_mut().set_space_after_operand_separator(true);
    f.options_mut().set_uppercase_hex(false);
    f.options_mut().set_use_hex_prefix(true);
    let mut all = Vec::new();
    while d.can_decode() {
        let i = d.decode();
        assert!(!i.is_invalid(), "{code:02x?} does not decode");
        let mut s = String::new();
        f.format(&i, &mut s);
        all.push(s);
    }
    all.join("; ")
}

fn one(f: impl FnOnce(&mut Asm)) -> String {
    let mut a = Asm::new();
    f(&mut a);
    text(&a.buf.finish().expect("no fixups"))
}

fn r(size: Size, n: u8) -> String {
    const Q: [&str; 8] = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"];
    match (size, n) {
        (Size::B, 0..=3) => format!("{}l", &Q[n as usize][..1]),
        (Size::B, 4..=7) => format!("{}l", Q[n as usize]),
        (Size::W, 0..=7) => Q[n as usize].into(),
        (Size::D, 0..=7) => format!("e{}", Q[n as usize]),
        (Size::Q, 0..=7) => format!("r{}", Q[n as usize]),
        (Size::B, _) => format!("r{n}b"),
        (Size::W, _) => format!("r{n}w"),
        (Size::D, _) => format!("r{n}d"),
        (Size::Q, _) => format!("r{n}"),
    }
}

fn strip(s: &str) -> String {
    ["byte ptr ", "qword ptr ", "dword ptr ", "word ptr ", "xmmword ptr "]
        .iter()
        .fold(s.into(), |t: String, p| t.replace(p, ""))
}

#[test]
fn registers_in_every_position_and_size() {
    for size in SIZES {
        for n in 0..16 {
            for m in 0..16 {
                let (d, s) = (Reg(n), Reg(m));
                let (dt, st) = (r(size, n), r(size, m));
                assert_eq!(one(|a| a.mov(size, d, s)), format!("mov {dt}, {st}"));
                assert_eq!(one(|a| a.alu(Alu::Sbb, size, d, s)), format!("sbb {dt}, {st}"));
                assert_eq!(one(|a| a.alu_store(Alu::Xor, size, d, s)), format!("xor {dt}, {st}"));
                assert_eq!(one(|a| a.test(size, d, s)), format!("test {dt}, {st}"));
                assert_eq!(one(|a| a.xchg(size, d, s)), format!("xchg {dt}, {st}"));
                if size != Size::B {
                    assert_eq!(one(|a| a.imul(size, d, s)), format!("imul {dt}, {st}"));
                    assert_eq!(one(|a| a.cmov(7, size, d, s)), format!("cmova {dt}, {st}"));
                }
                if size < Size::D {
                    let full = r(Size::D, n);
                    assert_eq!(one(|a| a.movzx(size, d, s)), format!("movzx {full}, {st}"));
                    assert_eq!(one(|a| a.movsx(Size::Q, size, d, s)), format!("movsx {}, {st}", r(Size::Q, n)));
                }
                if size >= Size::D {
                    assert_eq!(one(|a| a.rorx(size, d, s, 5)), format!("rorx {dt}, {st}, 0x5"));
                    assert_eq!(
                        one(|a| a.shiftx(ShiftX::Sarx, size, d, s, Reg(9))),
                        format!("sarx {dt}, {st}, {}", r(size, 9))
                    );
                    assert_eq!(one(|a| a.andn(size, d, Reg(3), s)), format!("andn {dt}, {}, {st}", r(size, 3)));
                    assert_eq!(one(|a| a.mulx(size, d, Reg(3), s)), format!("mulx {dt}, {}, {st}", r(size, 3)));
                }
            }
        }
    }
}

#[test]
fn memory_operands() {
    for base in 0..16u8 {
        for disp in [0, 1, -128, 127, 128, -0x1234, 0x7fff_fff0] {
            let m = Mem::base(Reg(base), disp);
            let want = match disp {
                0 => r(Size::Q, base),
                d if d < 0 => format!("{}-{:#x}", r(Size::Q, base), -d),
                d => format!("{}+{d:#x}", r(Size::Q, base)),
            };
            assert_eq!(strip(&one(|a| a.mov(Size::Q, Reg::R9, m))), format!("mov r9, [{want}]"));
            assert_eq!(strip(&one(|a| a.store(Size::B, m, Reg::RSI))), format!("mov [{want}], sil"));
            assert_eq!(strip(&one(|a| a.sse(Sse::MOVUPS, Xmm(12), m))), format!("movups xmm12, [{want}]"));
        }
        for index in (0..16u8).filter(|i| *i != 4) {
            for scale in 0..4 {
                let m = Mem::index(Reg(base), Reg(index), scale, 16);
                let s = if scale == 0 { String::new() } else { format!("*{}", 1 << scale) };
                let want = format!("[{}+{}{s}+0x10]", r(Size::Q, base), r(Size::Q, index));
                assert_eq!(strip(&one(|a| a.lea(Size::Q, Reg::RAX, m))), format!("lea rax, {want}"));
                assert_eq!(strip(&one(|a| a.vex(Sse::PADDD.enc(), 9, 10, m))), format!("vpaddd xmm9, xmm10, {want}"));
            }
        }
    }
    assert_eq!(strip(&one(|a| a.mov(Size::Q, Reg::RAX, Mem::gs(0x40)))), "mov rax, gs:[0x40]");
    assert_eq!(strip(&one(|a| a.sse_store(Sse::MOVUPS, Mem::gs(0x40), Xmm(9)))), "movups gs:[0x40], xmm9");
    let m = Mem::absolute(8).indexed(Reg::R10, 3);
    assert_eq!(strip(&one(|a| a.mov(Size::D, Reg::RAX, m))), "mov eax, [r10*8+0x8]");
    let m = Mem::index(Reg::RBX, Reg::R9, 2, 4).short(true);
    assert_eq!(strip(&one(|a| a.mov(Size::D, Reg::RAX, m))), "mov eax, [ebx+r9d*4+0x4]");
    assert_eq!(strip(&one(|a| a.vex(Sse::PADDD.enc(), 9, 10, m))), "vpaddd xmm9, xmm10, [ebx+r9d*4+0x4]");
    let m = Mem::absolute(-1);
    assert_eq!(strip(&one(|a| a.mov(Size::D, Reg::RAX, m))), "mov eax, [0xffffffffffffffff]");
}

#[test]
fn immediates() {
    let names = ["add", "or", "adc", "sbb", "and", "sub", "xor", "cmp"];
    let ops = [Alu::Add, Alu::Or, Alu::Adc, Alu::Sbb, Alu::And, Alu::Sub, Alu::Xor, Alu::Cmp];
    for (op, name) in ops.into_iter().zip(names) {
        for size in SIZES {
            for n in [0, 1, 5, 12] {
                for imm in [0, 1, 0x7f, 0x1234_5678] {
                    let shown = match size {
                        Size::B => imm & 0xff,
                        Size::W => imm & 0xffff,
                        _ => imm,
                    };
                    assert_eq!(
                        one(|a| a.alu_imm(op, size, Reg(n), imm)),
                        format!("{name} {}, {shown:#x}", r(size, n)),
                        "{size:?} {imm:#x}"
                    );
                }
            }
        }
    }
    assert_eq!(one(|a| a.mov_imm(Reg::R8, 0xffff_ffff)), "mov r8d, 0xffffffff");
    assert_eq!(one(|a| a.mov_imm(Reg::R8, 0xffff_ffff_ffff_fffe)), "mov r8, 0xfffffffffffffffe");
    assert_eq!(one(|a| a.mov_imm(Reg::RDI, 0x1234_5678_9abc_def0)), "mov rdi, 0x123456789abcdef0");
    assert_eq!(one(|a| a.mov_imm_narrow(Size::B, Reg::RSI, 5)), "mov sil, 0x5");
    assert_eq!(one(|a| a.test_imm(Size::W, Reg::R9, 0x123)), "test r9w, 0x123");
    assert_eq!(one(|a| a.imul_imm(Size::D, Reg::RAX, Reg::R10, 1000)), "imul eax, r10d, 0x3e8");
    assert_eq!(one(|a| a.imul_imm(Size::Q, Reg::RAX, Reg::R10, 10)), "imul rax, r10, 0xa");
    assert_eq!(one(|a| a.imul_imm(Size::W, Reg::RAX, Reg::R10, 1000)), "imul ax, r10w, 0x3e8");
    assert_eq!(strip(&one(|a| a.store_imm(Size::W, Mem::base(Reg::RBX, 0), 0x123))), "mov [rbx], 0x123");
    assert_eq!(strip(&one(|a| a.store_imm(Size::Q, Mem::gs(8), 3))), "mov gs:[0x8], 0x3");
    assert_eq!(one(|a| a.push_imm(0x1234)), "push 0x1234");
    assert_eq!(one(|a| a.push_imm(1)), "push 0x1");
}

#[test]
fn shifts_counts_bits_and_groups() {
    let shifts = [
        (Shift::Rol, "rol"),
        (Shift::Ror, "ror"),
        (Shift::Rcl, "rcl"),
        (Shift::Rcr, "rcr"),
        (Shift::Shl, "shl"),
        (Shift::Shr, "shr"),
        (Shift::Sar, "sar"),
    ];
    for (op, name) in shifts {
        for size in SIZES {
            for n in [0, 6, 11] {
                assert_eq!(one(|a| a.shift_imm(op, size, Reg(n), 7)), format!("{name} {}, 0x7", r(size, n)));
                assert_eq!(one(|a| a.shift_imm(op, size, Reg(n), 1)), format!("{name} {}, 0x1", r(size, n)));
                assert_eq!(one(|a| a.shift_cl(op, size, Reg(n))), format!("{name} {}, cl", r(size, n)));
            }
        }
    }
    for (op, name) in [
        (Unary::Not, "not"),
        (Unary::Neg, "neg"),
        (Unary::Mul, "mul"),
        (Unary::Imul, "imul"),
        (Unary::Div, "div"),
        (Unary::Idiv, "idiv"),
    ] {
        for size in SIZES {
            assert_eq!(one(|a| a.unary(op, size, Reg(7))), format!("{name} {}", r(size, 7)));
        }
    }
    for (op, name) in [(Bit::Bt, "bt"), (Bit::Bts, "bts"), (Bit::Btr, "btr"), (Bit::Btc, "btc")] {
        for size in WIDE {
            assert_eq!(one(|a| a.bit(op, size, Reg(7), Reg(8))), format!("{name} {}, {}", r(size, 7), r(size, 8)));
            assert_eq!(one(|a| a.bit_imm(op, size, Reg(9), 3)), format!("{name} {}, 0x3", r(size, 9)));
        }
    }
    for (op, name) in [
        (Count::Bsf, "bsf"),
        (Count::Bsr, "bsr"),
        (Count::Tzcnt, "tzcnt"),
        (Count::Lzcnt, "lzcnt"),
        (Count::Popcnt, "popcnt"),
    ] {
        for size in WIDE {
            assert_eq!(one(|a| a.count(op, size, Reg(7), Reg(8))), format!("{name} {}, {}", r(size, 7), r(size, 8)));
            let m = Mem::base(Reg::R9, 1);
            assert_eq!(strip(&one(|a| a.count(op, size, Reg(7), m))), format!("{name} {}, [r9+0x1]", r(size, 7)));
        }
    }
    for size in WIDE {
        let (a7, a8) = (r(size, 7), r(size, 8));
        assert_eq!(one(|a| a.shift_double_imm(false, size, Reg(7), Reg(8), 3)), format!("shld {a7}, {a8}, 0x3"));
        assert_eq!(one(|a| a.shift_double_cl(true, size, Reg(7), Reg(8))), format!("shrd {a7}, {a8}, cl"));
        let m = Mem::base(Reg::RBX, 0);
        assert_eq!(strip(&one(|a| a.movbe_load(size, Reg(8), m))), format!("movbe {a8}, [rbx]"));
        assert_eq!(strip(&one(|a| a.movbe_store(size, m, Reg(8)))), format!("movbe [rbx], {a8}"));
    }
    assert_eq!(one(|a| a.bswap(Size::D, Reg(9))), "bswap r9d");
    assert_eq!(one(|a| a.bswap(Size::Q, Reg(1))), "bswap rcx");
    assert_eq!(one(|a| a.setcc(4, Reg(6))), "sete sil");
    assert_eq!(one(|a| a.setcc(15, Reg(14))), "setg r14b");
    assert_eq!(one(|a| a.inc_dec(Size::D, Reg(9), true)), "dec r9d");
    assert_eq!(one(|a| a.inc_dec(Size::B, Reg(5), false)), "inc bpl");
    for (size, cdq, cwde) in [(Size::W, "cwd", "cbw"), (Size::D, "cdq", "cwde"), (Size::Q, "cqo", "cdqe")] {
        assert_eq!(one(|a| a.cdq(size)), cdq);
        assert_eq!(one(|a| a.cwde(size)), cwde);
    }
}

#[test]
fn atomics_stack_and_system() {
    let m = Mem::base(Reg::RDI, 4);
    assert_eq!(strip(&one(|a| a.xadd(true, Size::B, m, Reg(7)))), "lock xadd [rdi+0x4], dil");
    assert_eq!(strip(&one(|a| a.xadd(true, Size::W, m, Reg(9)))), "lock xadd [rdi+0x4], r9w");
    assert_eq!(strip(&one(|a| a.cmpxchg(true, Size::Q, m, Reg(9)))), "lock cmpxchg [rdi+0x4], r9");
    assert_eq!(strip(&one(|a| a.alu_locked(true, Alu::And, Size::D, m, Reg(9)))), "lock and [rdi+0x4], r9d");
    assert_eq!(strip(&one(|a| a.cmpxchg(false, Size::Q, m, Reg(9)))), "cmpxchg [rdi+0x4], r9");
    assert_eq!(strip(&one(|a| a.lock_cmpxchg_pair(false, m))), "lock cmpxchg8b [rdi+0x4]");
    assert_eq!(strip(&one(|a| a.lock_cmpxchg_pair(true, m))), "lock cmpxchg16b [rdi+0x4]");
    assert_eq!(one(|a| a.push(Reg(12))), "push r12");
    assert_eq!(one(|a| a.pop(Reg(3))), "pop rbx");
    assert_eq!(strip(&one(|a| a.push_mem(Mem::gs(8)))), "push gs:[0x8]");
    assert_eq!(strip(&one(|a| a.pop_mem(Mem::gs(8)))), "pop gs:[0x8]");
    assert_eq!(one(|a| a.jmp_rm(Reg(13))), "jmp r13");
    assert_eq!(one(|a| a.call_rm(Reg(0))), "call rax");
    assert_eq!(strip(&one(|a| a.ldmxcsr(Mem::gs(8)))), "ldmxcsr gs:[0x8]");
    assert_eq!(strip(&one(|a| a.stmxcsr(m))), "stmxcsr [rdi+0x4]");
    let all = one(|a| {
        a.pushfq();
        a.popfq();
        a.lahf();
        a.sahf();
        a.ud2();
        a.ret();
        (0..3).for_each(|k| a.fence(k));
        [FlagOp::Cmc, FlagOp::Clc, FlagOp::Stc, FlagOp::Cld, FlagOp::Std].into_iter().for_each(|f| a.flag(f));
    });
    assert_eq!(all, "pushfq; popfq; lahf; sahf; ud2; ret; mfence; lfence; sfence; cmc; clc; stc; cld; std");
    for n in 0..30 {
        let mut a = Asm::new();
        a.nops(n);
        assert_eq!(a.here(), n);
        assert!(text(&a.buf.finish().expect("no fixups")).split("; ").all(|i| i.is_empty() || i.starts_with("nop")));
    }
}

#[test]
fn branches_lead_where_their_labels_are() {
    let mut a = Asm::new();
    let l = a.buf.label();
    a.jmp(l);
    a.jmp_short(l);
    a.jcc(4, l);
    a.jcc_short(5, l);
    a.jrcxz(l);
    a.call(l);
    a.lea_label(Reg::R9, l);
    a.buf.bind(l);
    let code = a.buf.finish().expect("bound");
    let end = code.len();
    let want = ["jmp", "jmp", "je", "jne", "jrcxz", "call"].map(|n| format!("{n} {end:#x}")).join("; ");
    let got = text(&code);
    assert_eq!(strip(&got.replace("short ", "").replace("near ptr ", "")), format!("{want}; lea r9, [{end:#x}]"));
}

#[test]
fn vectors() {
    let with_imm = ["CMP", "SHUF", "PSHUFD", "PSHUFLW", "PSHUFHW"];
    for &(name, op) in Sse::ALL.iter().filter(|(name, _)| !name.starts_with('V')) {
        let imm = op.map == Map::F3A || with_imm.iter().any(|p| name.starts_with(p));
        for (d, s) in [(1, 2), (9, 2), (1, 10), (15, 14)] {
            let got = one(|a| if imm { a.sse_imm(op, Xmm(d), Xmm(s), 1) } else { a.sse(op, Xmm(d), Xmm(s)) });
            let mut want = format!("{} xmm{d}, xmm{s}", name.to_lowercase());
            if name.starts_with("CMP") {
                want = format!("cmplt{} xmm{d}, xmm{s}", &name.to_lowercase()[3..]);
            } else if name == "PCLMULQDQ" {
                want = format!("pclmulhqlqdq xmm{d}, xmm{s}");
            } else if imm {
                want += ", 0x1";
            }
            assert_eq!(got, want);
        }
    }
    let blend = one(|a| a.avx_imm(Sse::VPBLENDVB, Xmm(9), Xmm(1), Xmm(12), 3 << 4));
    assert_eq!(blend, "vpblendvb xmm9, xmm1, xmm12, xmm3");
    assert_eq!(one(|a| a.pdep(Size::Q, Reg::R9, Reg::RAX, Reg::R12)), "pdep r9, rax, r12");
    assert_eq!(one(|a| a.pext(Size::D, Reg::R9, Reg::RAX, Reg::R12)), "pext r9d, eax, r12d");
    assert_eq!(one(|a| a.crc32(Size::Q, Reg::R9, Reg::R12)), "crc32 r9, r12");
    assert_eq!(one(|a| a.crc32(Size::D, Reg::R9, Reg::RCX)), "crc32 r9d, ecx");
    assert_eq!(one(|a| a.avx(Sse::ADDSD, Xmm(9), Xmm(1), Xmm(2))), "vaddsd xmm9, xmm1, xmm2");
    assert_eq!(one(|a| a.avx(Sse::PMINSD, Xmm(9), Xmm(1), Xmm(12))), "vpminsd xmm9, xmm1, xmm12");
    assert_eq!(one(|a| a.avx_imm(Sse::SHUFPS, Xmm(9), Xmm(1), Xmm(12), 3)), "vshufps xmm9, xmm1, xmm12, 0x3");
    let m = Mem::base(Reg::RDI, 0);
    for (op, name) in [
        (Sse::MOVUPS, "movups"),
        (Sse::MOVAPS, "movaps"),
        (Sse::MOVSS, "movss"),
        (Sse::MOVSD, "movsd"),
        (Sse::MOVDQA, "movdqa"),
        (Sse::MOVDQU, "movdqu"),
        (Sse::MOVQ, "movq"),
    ] {
        assert_eq!(strip(&one(|a| a.sse_store(op, m, Xmm(9)))), format!("{name} [rdi], xmm9"));
        assert_eq!(strip(&one(|a| a.sse(op, Xmm(9), m))), format!("{name} xmm9, [rdi]"));
    }
    assert_eq!(strip(&one(|a| a.mov_half_load(true, Xmm(9), m))), "movhps xmm9, [rdi]");
    assert_eq!(strip(&one(|a| a.mov_half_store(false, m, Xmm(9)))), "movlps [rdi], xmm9");
    assert_eq!(one(|a| a.movhlps(Xmm(9), Xmm(1))), "movhlps xmm9, xmm1");
    assert_eq!(one(|a| a.movlhps(Xmm(9), Xmm(1))), "movlhps xmm9, xmm1");
    assert_eq!(one(|a| a.movd_to(Size::D, Xmm(9), Reg(12))), "movd xmm9, r12d");
    assert_eq!(one(|a| a.movd_to(Size::Q, Xmm(9), Reg(2))), "movq xmm9, rdx");
    assert_eq!(one(|a| a.movd_from(Size::Q, Reg(2), Xmm(9))), "movq rdx, xmm9");
    assert_eq!(one(|a| a.cvtsi2f(true, Size::Q, Xmm(9), Reg(2))), "cvtsi2sd xmm9, rdx");
    assert_eq!(one(|a| a.vcvtsi2f(false, Size::D, Xmm(9), Xmm(3), Reg(2))), "vcvtsi2ss xmm9, xmm3, edx");
    assert_eq!(one(|a| a.cvtf2si(true, true, Size::D, Reg(9), Xmm(2))), "cvttsd2si r9d, xmm2");
    assert_eq!(one(|a| a.cvtf2si(false, false, Size::Q, Reg(9), Xmm(2))), "cvtss2si r9, xmm2");
    assert_eq!(one(|a| a.pmovmskb(Reg(9), Xmm(2))), "pmovmskb r9d, xmm2");
    assert_eq!(one(|a| a.movmsk(false, Reg(9), Xmm(2))), "movmskps r9d, xmm2");
    assert_eq!(one(|a| a.movmsk(true, Reg(9), Xmm(2))), "movmskpd r9d, xmm2");
    for (size, n) in [(Size::B, "b"), (Size::W, "w"), (Size::D, "d"), (Size::Q, "q")] {
        let t = r(size.at_least_d(), 9);
        assert_eq!(one(|a| a.pinsr(size, Xmm(1), Reg(9), 1)), format!("pinsr{n} xmm1, {t}, 0x1"));
        assert_eq!(one(|a| a.pextr(size, Reg(9), Xmm(1), 1)), format!("pextr{n} {t}, xmm1, 0x1"));
    }
    for (op, name) in [
        (VShift::PSRLW, "psrlw"),
        (VShift::PSRAW, "psraw"),
        (VShift::PSLLW, "psllw"),
        (VShift::PSRLD, "psrld"),
        (VShift::PSRAD, "psrad"),
        (VShift::PSLLD, "pslld"),
        (VShift::PSRLQ, "psrlq"),
        (VShift::PSLLQ, "psllq"),
        (VShift::PSRLDQ, "psrldq"),
        (VShift::PSLLDQ, "pslldq"),
    ] {
        assert_eq!(one(|a| a.vshift_imm(op, Xmm(9), 3)), format!("{name} xmm9, 0x3"));
    }
}

#[test]
fn floating_point_stack() {
    let m = Mem::base(Reg::RDI, 0);
    let all = one(|a| {
        a.fld80(m);
        a.fstp80(m);
        a.fld(true, m);
        a.fld(false, m);
        a.fstp(true, m);
        a.fldcw(m);
        a.fnstcw(m);
        a.fnstsw(m);
        a.fnstsw_ax();
        a.fnclex();
        a.fninit();
        a.fcomip(true);
        a.fcomip(false);
        a.fstp_st(0);
        a.f_d9(0xe0);
        [16, 32, 64].into_iter().for_each(|b| a.fild(b, m));
        [16, 32, 64].into_iter().for_each(|b| a.fistp(b, m));
        [16, 32, 64].into_iter().for_each(|b| a.fisttp(b, m));
        for op in [X87Op::Add, X87Op::Mul, X87Op::Sub, X87Op::SubR, X87Op::Div, X87Op::DivR] {
            a.farith_pop(op);
        }
    });
    let want = "fld [rdi]; fstp [rdi]; fld [rdi]; fld [rdi]; fstp [rdi]; fldcw [rdi]; fnstcw [rdi]; fnstsw [rdi]; \
                fnstsw ax; fnclex; fninit; fucomip st, st(1); fcomip st, st(1); fstp st(0); fchs; \
                fild [rdi]; fild [rdi]; fild [rdi]; fistp [rdi]; fistp [rdi]; fistp [rdi]; \
                fisttp [rdi]; fisttp [rdi]; fisttp [rdi]; \
                faddp st(1), st; fmulp st(1), st; fsubp st(1), st; fsubrp st(1), st; fdivp st(1), st; fdivrp st(1), st";
    assert_eq!(strip(&all).replace("t[", "[").replace("st(0)", "st"), want.replace("st(0)", "st"));
}

#[test]
fn avx() {
    let m = Mem::index(Reg::R9, Reg::RCX, 2, 8);
    for &(name, op) in Avx::ALL {
        let name = name.to_lowercase();
        let scalar = name.ends_with("ss") || name.ends_with("sd");
        for long in [false, true] {
            if !long && matches!(&*name, "vpermps" | "vpermd") {
                continue;
            }
            let r = if long && !scalar { "ymm" } else { "xmm" };
            let from = if name == "vcvtph2ps" && long { "xmm" } else { r };
            if !name.starts_with("vmaskmov") && name != "vcvtph2ps" {
                let got = one(|a| a.avx3(op, long, Xmm(9), Xmm(1), Xmm(12)));
                assert_eq!(got, format!("{name} {r}9, {r}1, {from}12"));
            }
            let (second, v) = if name == "vcvtph2ps" { (String::new(), 0) } else { (format!("{r}1, "), 1) };
            let got = one(|a| a.avx3(op, long, Xmm(9), Xmm(v), m));
            assert_eq!(got, format!("{name} {r}9, {second}[r9+rcx*4+0x8]"));
        }
    }
    for (order, name) in [(Order::O132, "132"), (Order::O213, "213"), (Order::O231, "231")] {
        let got = one(|a| a.avx3(Avx::VFNMSUB213SD.in_order(order), false, Xmm(9), Xmm(1), Xmm(12)));
        assert_eq!(got, format!("vfnmsub{name}sd xmm9, xmm1, xmm12"));
        let got = one(|a| a.avx3(Avx::VFMADDSUB213PS.in_order(order), true, Xmm(9), Xmm(1), Xmm(12)));
        assert_eq!(got, format!("vfmaddsub{name}ps ymm9, ymm1, ymm12"));
    }
    assert_eq!(one(|a| a.avx256(Sse::ADDPS, Xmm(9), Xmm(1), Xmm(12))), "vaddps ymm9, ymm1, ymm12");
    assert_eq!(one(|a| a.avx256(Sse::SQRTPD, Xmm(9), Xmm(0), Xmm(12))), "vsqrtpd ymm9, ymm12");
    assert_eq!(one(|a| a.avx256(Sse::CVTPD2PS, Xmm(9), Xmm(0), Xmm(12))), "vcvtpd2ps xmm9, ymm12");
    assert_eq!(one(|a| a.avx256(Sse::CVTPS2PD, Xmm(9), Xmm(0), Xmm(12))), "vcvtps2pd ymm9, xmm12");
    assert_eq!(one(|a| a.avx256_imm(Sse::DPPS, Xmm(9), Xmm(1), Xmm(12), 3)), "vdpps ymm9, ymm1, ymm12, 0x3");
    assert_eq!(one(|a| a.insert_half(Xmm(9), Xmm(1), Xmm(12))), "vinsertf128 ymm9, ymm1, xmm12, 0x1");
    assert_eq!(one(|a| a.insert_half(Xmm(1), Xmm(1), m)), "vinsertf128 ymm1, ymm1, [r9+rcx*4+0x8], 0x1");
    assert_eq!(one(|a| a.extract_half(Xmm(9), Xmm(12))), "vextractf128 xmm9, ymm12, 0x1");
    assert_eq!(one(|a| a.extract_half(m, Xmm(12))), "vextractf128 [r9+rcx*4+0x8], ymm12, 0x1");
    assert_eq!(one(|a| a.to_half_precision(true, Xmm(9), Xmm(12), 4)), "vcvtps2ph xmm9, ymm12, 0x4");
    assert_eq!(one(|a| a.store256(m, Xmm(12))), "vmovups [r9+rcx*4+0x8], ymm12");
    assert_eq!(one(|a| a.load_aligned(true, Xmm(12), m)), "vmovaps ymm12, [r9+rcx*4+0x8]");
    assert_eq!(one(|a| a.load_aligned(false, Xmm(12), m)), "vmovaps xmm12, [r9+rcx*4+0x8]");
    assert_eq!(one(|a| a.store_masked(true, m, Xmm(3), Xmm(12))), "vmaskmovpd [r9+rcx*4+0x8], xmm3, xmm12");
}
