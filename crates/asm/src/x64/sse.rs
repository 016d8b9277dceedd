//! Vector instructions: SSE to SSE4.1 in legacy form, and the three-operand VEX form of the same opcodes.
//!
//! One table gives every two-operand instruction (`op xmm, xmm/m`) its prefix, map and opcode (SDM vol. 2, by mnemonic);
//! [`Asm::sse`] writes the legacy form, [`Asm::avx`] the VEX.128 one, which keeps its first source and clears the upper half
//! of the YMM register.

use super::{Asm, Enc, Map, Mem, Reg, Rm, Size, Xmm};

/// A two-operand vector instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sse {
    prefix: u8,
    pub(super) map: Map,
    op: u8,
}

macro_rules! sse {
    ($($(#[$m:meta])* $name:ident $prefix:literal $map:ident $op:literal;)*) => {
        #[allow(missing_docs)]
        impl Sse {
            $($(#[$m])* pub const $name: Sse = Sse { prefix: $prefix, map: Map::$map, op: $op };)*
            /// All of the table, with names.
            pub const ALL: &'static [(&'static str, Sse)] = &[$((stringify!($name), Sse::$name),)*];
        }
    };
}

sse! {
    MOVUPS 0 F 0x10; MOVAPS 0 F 0x28; MOVSS 0xf3 F 0x10; MOVSD 0xf2 F 0x10;
    MOVDQA 0x66 F 0x6f; MOVDQU 0xf3 F 0x6f; MOVQ 0xf3 F 0x7e;
    UNPCKLPS 0 F 0x14; UNPCKHPS 0 F 0x15; UNPCKLPD 0x66 F 0x14; UNPCKHPD 0x66 F 0x15;
    ADDPS 0 F 0x58; ADDPD 0x66 F 0x58; ADDSS 0xf3 F 0x58; ADDSD 0xf2 F 0x58;
    MULPS 0 F 0x59; MULPD 0x66 F 0x59; MULSS 0xf3 F 0x59; MULSD 0xf2 F 0x59;
    SUBPS 0 F 0x5c; SUBPD 0x66 F 0x5c; SUBSS 0xf3 F 0x5c; SUBSD 0xf2 F 0x5c;
    MINPS 0 F 0x5d; MINPD 0x66 F 0x5d; MINSS 0xf3 F 0x5d; MINSD 0xf2 F 0x5d;
    DIVPS 0 F 0x5e; DIVPD 0x66 F 0x5e; DIVSS 0xf3 F 0x5e; DIVSD 0xf2 F 0x5e;
    MAXPS 0 F 0x5f; MAXPD 0x66 F 0x5f; MAXSS 0xf3 F 0x5f; MAXSD 0xf2 F 0x5f;
    SQRTPS 0 F 0x51; SQRTPD 0x66 F 0x51; SQRTSS 0xf3 F 0x51; SQRTSD 0xf2 F 0x51;
    RSQRTPS 0 F 0x52; RSQRTSS 0xf3 F 0x52; RCPPS 0 F 0x53; RCPSS 0xf3 F 0x53;
    ANDPS 0 F 0x54; ANDNPS 0 F 0x55; ORPS 0 F 0x56; XORPS 0 F 0x57;
    UCOMISS 0 F 0x2e; COMISS 0 F 0x2f; UCOMISD 0x66 F 0x2e; COMISD 0x66 F 0x2f;
    CVTPS2PD 0 F 0x5a; CVTPD2PS 0x66 F 0x5a; CVTSS2SD 0xf3 F 0x5a; CVTSD2SS 0xf2 F 0x5a;
    CVTDQ2PS 0 F 0x5b; CVTPS2DQ 0x66 F 0x5b; CVTTPS2DQ 0xf3 F 0x5b;
    CVTDQ2PD 0xf3 F 0xe6; CVTPD2DQ 0xf2 F 0xe6; CVTTPD2DQ 0x66 F 0xe6;
    PUNPCKLBW 0x66 F 0x60; PUNPCKLWD 0x66 F 0x61; PUNPCKLDQ 0x66 F 0x62; PUNPCKLQDQ 0x66 F 0x6c;
    PUNPCKHBW 0x66 F 0x68; PUNPCKHWD 0x66 F 0x69; PUNPCKHDQ 0x66 F 0x6a; PUNPCKHQDQ 0x66 F 0x6d;
    PACKSSWB 0x66 F 0x63; PACKSSDW 0x66 F 0x6b; PACKUSWB 0x66 F 0x67; PACKUSDW 0x66 F38 0x2b;
    PCMPGTB 0x66 F 0x64; PCMPGTW 0x66 F 0x65; PCMPGTD 0x66 F 0x66; PCMPGTQ 0x66 F38 0x37;
    PCMPEQB 0x66 F 0x74; PCMPEQW 0x66 F 0x75; PCMPEQD 0x66 F 0x76; PCMPEQQ 0x66 F38 0x29;
    PADDB 0x66 F 0xfc; PADDW 0x66 F 0xfd; PADDD 0x66 F 0xfe; PADDQ 0x66 F 0xd4;
    PSUBB 0x66 F 0xf8; PSUBW 0x66 F 0xf9; PSUBD 0x66 F 0xfa; PSUBQ 0x66 F 0xfb;
    PADDSB 0x66 F 0xec; PADDSW 0x66 F 0xed; PADDUSB 0x66 F 0xdc; PADDUSW 0x66 F 0xdd;
    PSUBSB 0x66 F 0xe8; PSUBSW 0x66 F 0xe9; PSUBUSB 0x66 F 0xd8; PSUBUSW 0x66 F 0xd9;
    PMULLW 0x66 F 0xd5; PMULHW 0x66 F 0xe5; PMULHUW 0x66 F 0xe4; PMULUDQ 0x66 F 0xf4; PMADDWD 0x66 F 0xf5;
    PMULLD 0x66 F38 0x40; PSADBW 0x66 F 0xf6; PAVGB 0x66 F 0xe0; PAVGW 0x66 F 0xe3;
    PMINUB 0x66 F 0xda; PMAXUB 0x66 F 0xde; PMINSW 0x66 F 0xea; PMAXSW 0x66 F 0xee;
    PMINSB 0x66 F38 0x38; PMINSD 0x66 F38 0x39; PMINUW 0x66 F38 0x3a; PMINUD 0x66 F38 0x3b;
    PMAXSB 0x66 F38 0x3c; PMAXSD 0x66 F38 0x3d; PMAXUW 0x66 F38 0x3e; PMAXUD 0x66 F38 0x3f;
    PAND 0x66 F 0xdb; PANDN 0x66 F 0xdf; POR 0x66 F 0xeb; PXOR 0x66 F 0xef;
    PSLLW 0x66 F 0xf1; PSLLD 0x66 F 0xf2; PSLLQ 0x66 F 0xf3; PSRLW 0x66 F 0xd1; PSRLD 0x66 F 0xd2; PSRLQ 0x66 F 0xd3;
    PSRAW 0x66 F 0xe1; PSRAD 0x66 F 0xe2; PSHUFB 0x66 F38 0x00;
    PHADDW 0x66 F38 0x01; PHADDD 0x66 F38 0x02; PHADDSW 0x66 F38 0x03; PMADDUBSW 0x66 F38 0x04;
    PHSUBW 0x66 F38 0x05; PHSUBD 0x66 F38 0x06; PHSUBSW 0x66 F38 0x07;
    PSIGNB 0x66 F38 0x08; PSIGNW 0x66 F38 0x09; PSIGND 0x66 F38 0x0a; PMULHRSW 0x66 F38 0x0b;
    PABSB 0x66 F38 0x1c; PABSW 0x66 F38 0x1d; PABSD 0x66 F38 0x1e; PMULDQ 0x66 F38 0x28; PHMINPOSUW 0x66 F38 0x41;
    PMOVSXBW 0x66 F38 0x20; PMOVSXBD 0x66 F38 0x21; PMOVSXBQ 0x66 F38 0x22;
    PMOVSXWD 0x66 F38 0x23; PMOVSXWQ 0x66 F38 0x24; PMOVSXDQ 0x66 F38 0x25;
    PMOVZXBW 0x66 F38 0x30; PMOVZXBD 0x66 F38 0x31; PMOVZXBQ 0x66 F38 0x32;
    PMOVZXWD 0x66 F38 0x33; PMOVZXWQ 0x66 F38 0x34; PMOVZXDQ 0x66 F38 0x35;
    PTEST 0x66 F38 0x17; AESIMC 0x66 F38 0xdb; AESENC 0x66 F38 0xdc; AESENCLAST 0x66 F38 0xdd;
    AESDEC 0x66 F38 0xde; AESDECLAST 0x66 F38 0xdf;
    HADDPD 0x66 F 0x7c; HADDPS 0xf2 F 0x7c; HSUBPD 0x66 F 0x7d; HSUBPS 0xf2 F 0x7d;
    ADDSUBPD 0x66 F 0xd0; ADDSUBPS 0xf2 F 0xd0;
    SHA1NEXTE 0 F38 0xc8; SHA1MSG1 0 F38 0xc9; SHA1MSG2 0 F38 0xca;
    SHA256RNDS2 0 F38 0xcb; SHA256MSG1 0 F38 0xcc; SHA256MSG2 0 F38 0xcd;
    // With an immediate byte.
    CMPPS 0 F 0xc2; CMPPD 0x66 F 0xc2; CMPSS 0xf3 F 0xc2; CMPSD 0xf2 F 0xc2;
    SHUFPS 0 F 0xc6; SHUFPD 0x66 F 0xc6;
    PSHUFD 0x66 F 0x70; PSHUFLW 0xf2 F 0x70; PSHUFHW 0xf3 F 0x70; PALIGNR 0x66 F3A 0x0f; PBLENDW 0x66 F3A 0x0e;
    BLENDPS 0x66 F3A 0x0c; BLENDPD 0x66 F3A 0x0d; MPSADBW 0x66 F3A 0x42; PCLMULQDQ 0x66 F3A 0x44;
    ROUNDPS 0x66 F3A 0x08; ROUNDPD 0x66 F3A 0x09; ROUNDSS 0x66 F3A 0x0a; ROUNDSD 0x66 F3A 0x0b;
    INSERTPS 0x66 F3A 0x21; DPPS 0x66 F3A 0x40; DPPD 0x66 F3A 0x41; AESKEYGENASSIST 0x66 F3A 0xdf; SHA1RNDS4 0 F3A 0xcc;
    PCMPESTRM 0x66 F3A 0x60; PCMPESTRI 0x66 F3A 0x61; PCMPISTRM 0x66 F3A 0x62; PCMPISTRI 0x66 F3A 0x63;
    // VEX only: the immediate's upper half names the mask register.
    VBLENDVPS 0x66 F3A 0x4a; VBLENDVPD 0x66 F3A 0x4b; VPBLENDVB 0x66 F3A 0x4c;
}

/// Vector shifts by a constant: opcode and ModRM extension (SDM vol. 2, groups 12 to 14).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VShift {
    op: u8,
    ext: u8,
}

#[allow(missing_docs)]
impl VShift {
    pub const PSRLW: VShift = VShift { op: 0x71, ext: 2 };
    pub const PSRAW: VShift = VShift { op: 0x71, ext: 4 };
    pub const PSLLW: VShift = VShift { op: 0x71, ext: 6 };
    pub const PSRLD: VShift = VShift { op: 0x72, ext: 2 };
    pub const PSRAD: VShift = VShift { op: 0x72, ext: 4 };
    pub const PSLLD: VShift = VShift { op: 0x72, ext: 6 };
    pub const PSRLQ: VShift = VShift { op: 0x73, ext: 2 };
    pub const PSRLDQ: VShift = VShift { op: 0x73, ext: 3 };
    pub const PSLLQ: VShift = VShift { op: 0x73, ext: 6 };
    pub const PSLLDQ: VShift = VShift { op: 0x73, ext: 7 };
}

impl Sse {
    /// The encoding.
    pub const fn enc(self) -> Enc {
        Enc::new(self.map, self.op).p(self.prefix)
    }

    /// The encoding of the same on MMX registers (SDM vol. 2, by mnemonic), for instructions of integers with two operands.
    pub const fn mmx(self) -> Option<Enc> {
        let there = match self.map {
            Map::F => !matches!(self.op, 0x6c | 0x6d) && self.op >= 0x60,
            Map::F38 => matches!(self.op, 0..=0x0b | 0x1c..=0x1e),
            _ => false,
        };
        if there && self.prefix == 0x66 { Some(Enc::new(self.map, self.op)) } else { None }
    }
}

impl Asm {
    /// `op dst, src`: also the loading moves.
    pub fn sse(&mut self, op: Sse, dst: Xmm, src: impl Into<Rm>) {
        self.emit(op.enc(), dst.0, src);
    }

    /// `op dst, src, imm8`.
    pub fn sse_imm(&mut self, op: Sse, dst: Xmm, src: impl Into<Rm>, imm: u8) {
        self.emit(op.enc(), dst.0, src);
        self.byte(imm);
    }

    /// `vop dst, a, b` (VEX.128).
    pub fn avx(&mut self, op: Sse, dst: Xmm, a: Xmm, b: impl Into<Rm>) {
        self.vex(op.enc(), dst.0, a.0, b);
    }

    /// `vop dst, a, b, imm8` (VEX.128).
    pub fn avx_imm(&mut self, op: Sse, dst: Xmm, a: Xmm, b: impl Into<Rm>, imm: u8) {
        self.vex(op.enc(), dst.0, a.0, b);
        self.byte(imm);
    }

    /// A storing move: `movups`, `movaps`, `movss`, `movsd`, `movdqa`, `movdqu`, `movq` with memory as destination.
    pub fn sse_store(&mut self, op: Sse, dst: Mem, src: Xmm) {
        let e = match op {
            Sse::MOVQ => Enc::new(Map::F, 0xd6).p(0x66),
            Sse::MOVDQA | Sse::MOVDQU => Enc { op: 0x7f, ..op.enc() },
            // 10 loads and 11 stores, 28 loads and 29 stores.
            _ => Enc { op: op.op + 1, ..op.enc() },
        };
        self.emit(e, src.0, dst);
    }

    /// `movlps`, or `movhps` when `high`, `xmm, m64`: replaces that half.
    pub fn mov_half_load(&mut self, high: bool, dst: Xmm, src: Mem) {
        self.emit(Enc::new(Map::F, if high { 0x16 } else { 0x12 }), dst.0, src);
    }

    /// The same to memory.
    pub fn mov_half_store(&mut self, high: bool, dst: Mem, src: Xmm) {
        self.emit(Enc::new(Map::F, if high { 0x17 } else { 0x13 }), src.0, dst);
    }

    /// `movhlps dst, src`: low half of `dst` := high half of `src`.
    pub fn movhlps(&mut self, dst: Xmm, src: Xmm) {
        self.emit(Enc::new(Map::F, 0x12), dst.0, src);
    }

    /// `movlhps dst, src`: high half of `dst` := low half of `src`.
    pub fn movlhps(&mut self, dst: Xmm, src: Xmm) {
        self.emit(Enc::new(Map::F, 0x16), dst.0, src);
    }

    /// `movd`/`movq xmm, r/m`: zero-extends 32 or 64 bits.
    pub fn movd_to(&mut self, size: Size, dst: Xmm, src: impl Into<Rm>) {
        self.emit(Enc::new(Map::F, 0x6e).p(0x66).w(size == Size::Q), dst.0, src);
    }

    /// `movd`/`movq r/m, xmm`.
    pub fn movd_from(&mut self, size: Size, dst: impl Into<Rm>, src: Xmm) {
        self.emit(Enc::new(Map::F, 0x7e).p(0x66).w(size == Size::Q), src.0, dst);
    }

    /// `cvtsi2ss`, or `cvtsi2sd` when `double`, from 32 or 64 bits.
    pub fn cvtsi2f(&mut self, double: bool, size: Size, dst: Xmm, src: impl Into<Rm>) {
        let e = Enc::new(Map::F, 0x2a).p(if double { 0xf2 } else { 0xf3 });
        self.emit(e.w(size == Size::Q), dst.0, src);
    }

    /// `vcvtsi2ss`/`vcvtsi2sd dst, a, r/m`: the other lanes come from `a`.
    pub fn vcvtsi2f(&mut self, double: bool, size: Size, dst: Xmm, a: Xmm, src: impl Into<Rm>) {
        let e = Enc::new(Map::F, 0x2a).p(if double { 0xf2 } else { 0xf3 });
        self.vex(e.w(size == Size::Q), dst.0, a.0, src);
    }

    /// `cvtss2si`/`cvtsd2si`, or the truncating forms, to 32 or 64 bits.
    pub fn cvtf2si(&mut self, double: bool, truncate: bool, size: Size, dst: Reg, src: impl Into<Rm>) {
        let e = Enc::new(Map::F, if truncate { 0x2c } else { 0x2d }).p(if double { 0xf2 } else { 0xf3 });
        self.emit(e.w(size == Size::Q), dst.0, src);
    }

    /// `pmovmskb dst, src`.
    pub fn pmovmskb(&mut self, dst: Reg, src: Xmm) {
        self.emit(Enc::new(Map::F, 0xd7).p(0x66), dst.0, src);
    }

    /// `movmskps`, or `movmskpd` when `double`.
    pub fn movmsk(&mut self, double: bool, dst: Reg, src: Xmm) {
        self.emit(Enc::new(Map::F, 0x50).p(if double { 0x66 } else { 0 }), dst.0, src);
    }

    /// `pinsrb/w/d/q dst, r/m, lane`.
    pub fn pinsr(&mut self, size: Size, dst: Xmm, src: impl Into<Rm>, lane: u8) {
        let e = match size {
            Size::B => Enc::new(Map::F3A, 0x20),
            Size::W => Enc::new(Map::F, 0xc4),
            _ => Enc::new(Map::F3A, 0x22).w(size == Size::Q),
        };
        self.emit(e.p(0x66), dst.0, src);
        self.byte(lane);
    }

    /// `pextrb/w/d/q dst, src, lane`, zero-extended.
    pub fn pextr(&mut self, size: Size, dst: Reg, src: Xmm, lane: u8) {
        match size {
            Size::B => self.emit(Enc::new(Map::F3A, 0x14).p(0x66), src.0, dst),
            Size::W => self.emit(Enc::new(Map::F, 0xc5).p(0x66), dst.0, src),
            _ => self.emit(Enc::new(Map::F3A, 0x16).p(0x66).w(size == Size::Q), src.0, dst),
        }
        self.byte(lane);
    }

    /// Vector shift by a constant: `op dst, imm8`.
    pub fn vshift_imm(&mut self, op: VShift, dst: Xmm, n: u8) {
        self.emit(Enc::new(Map::F, op.op).p(0x66), op.ext, dst);
        self.byte(n);
    }
}
