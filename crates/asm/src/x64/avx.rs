//! VEX-encoded instructions that have no legacy form, and those of 256 bits (SDM vol. 2, by mnemonic).

use super::sse::Sse;
use super::{Asm, Enc, Map, Mem, Rm, Xmm};

/// A three-operand instruction with the prefix 66.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Avx {
    map: Map,
    op: u8,
    w: bool,
}

macro_rules! avx {
    ($($name:ident $map:ident $op:literal $w:literal;)*) => {
        #[allow(missing_docs)]
        impl Avx {
            $(pub const $name: Avx = Avx { map: Map::$map, op: $op, w: $w == 1 };)*
            /// All of the table, with names.
            pub const ALL: &'static [(&'static str, Avx)] = &[$((stringify!($name), Avx::$name),)*];
        }
    };
}

avx! {
    VPERMILPS F38 0x0c 0; VPERMILPD F38 0x0d 0; VPERMPS F38 0x16 0; VPERMD F38 0x36 0;
    VPSRLVD F38 0x45 0; VPSRLVQ F38 0x45 1; VPSRAVD F38 0x46 0; VPSLLVD F38 0x47 0; VPSLLVQ F38 0x47 1;
    VFMADDSUB213PS F38 0xa6 0; VFMADDSUB213PD F38 0xa6 1; VFMSUBADD213PS F38 0xa7 0; VFMSUBADD213PD F38 0xa7 1;
    VFMADD213PS F38 0xa8 0; VFMADD213PD F38 0xa8 1; VFMADD213SS F38 0xa9 0; VFMADD213SD F38 0xa9 1;
    VFMSUB213PS F38 0xaa 0; VFMSUB213PD F38 0xaa 1; VFMSUB213SS F38 0xab 0; VFMSUB213SD F38 0xab 1;
    VFNMADD213PS F38 0xac 0; VFNMADD213PD F38 0xac 1; VFNMADD213SS F38 0xad 0; VFNMADD213SD F38 0xad 1;
    VFNMSUB213PS F38 0xae 0; VFNMSUB213PD F38 0xae 1; VFNMSUB213SS F38 0xaf 0; VFNMSUB213SD F38 0xaf 1;
    VCVTPH2PS F38 0x13 0; VMASKMOVPS F38 0x2c 0; VMASKMOVPD F38 0x2d 0;
}

/// Which operands of a fused multiplication are which: the destination is the first, and the last digit's operand is added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// First times third plus second.
    O132,
    /// Second times first plus third.
    O213,
    /// Second times third plus first.
    O231,
}

impl Avx {
    /// A fused multiplication (given as 213) in another order.
    pub const fn in_order(self, order: Order) -> Avx {
        let op = match order {
            Order::O132 => self.op - 0x10,
            Order::O213 => self.op,
            Order::O231 => self.op + 0x10,
        };
        Avx { op, ..self }
    }
}

impl Asm {
    /// `op dst, a, b` of 128 bits, or of 256 when `long`.
    pub fn avx3(&mut self, op: Avx, long: bool, dst: Xmm, a: Xmm, b: impl Into<Rm>) {
        self.vex_l(Enc { w: op.w, ..Enc::new(op.map, op.op).p(0x66) }, long, dst.0, a.0, b);
    }

    /// `vop ymm dst, a, b`.
    pub fn avx256(&mut self, op: Sse, dst: Xmm, a: Xmm, b: impl Into<Rm>) {
        self.vex_l(op.enc(), true, dst.0, a.0, b);
    }

    /// `vop ymm dst, a, b, imm8`.
    pub fn avx256_imm(&mut self, op: Sse, dst: Xmm, a: Xmm, b: impl Into<Rm>, imm: u8) {
        self.vex_l(op.enc(), true, dst.0, a.0, b);
        self.byte(imm);
    }

    /// `vinsertf128 ymm dst, a, src, 1`: the low half of `a` below `src`.
    pub fn insert_half(&mut self, dst: Xmm, a: Xmm, src: impl Into<Rm>) {
        self.vex_l(Enc::new(Map::F3A, 0x18).p(0x66), true, dst.0, a.0, src);
        self.byte(1);
    }

    /// `vextractf128 dst, ymm src, 1`: the high half.
    pub fn extract_half(&mut self, dst: impl Into<Rm>, src: Xmm) {
        self.vex_l(Enc::new(Map::F3A, 0x19).p(0x66), true, src.0, 0, dst);
        self.byte(1);
    }

    /// `vcvtps2ph xmm dst, src, imm8`; of 256 bits when `long`.
    pub fn to_half_precision(&mut self, long: bool, dst: Xmm, src: Xmm, imm: u8) {
        self.vex_l(Enc::new(Map::F3A, 0x1d).p(0x66), long, src.0, 0, dst);
        self.byte(imm);
    }

    /// `vmovups [dst], ymm src`.
    pub fn store256(&mut self, dst: Mem, src: Xmm) {
        self.vex_l(Enc::new(Map::F, 0x11), true, src.0, 0, dst);
    }

    /// `vmovaps dst, [src]` of 256 bits when `long`: faults unless the address is aligned.
    pub fn load_aligned(&mut self, long: bool, dst: Xmm, src: Mem) {
        self.vex_l(Sse::MOVAPS.enc(), long, dst.0, 0, src);
    }

    /// `vmaskmovps [dst], mask, src`, or `pd`.
    pub fn store_masked(&mut self, double: bool, dst: Mem, mask: Xmm, src: Xmm) {
        self.vex_l(Enc::new(Map::F38, if double { 0x2f } else { 0x2e }).p(0x66), false, src.0, mask.0, dst);
    }
}
