//! The x87 stack (SDM vol. 2, by mnemonic).

use super::{Asm, Enc, Map, Mem};

/// Two-operand arithmetic `fXp st(1), st(0)`, by the second opcode byte of DE xx.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum X87Op {
    /// st(1) + st(0).
    Add = 0xc1,
    /// st(1) * st(0).
    Mul = 0xc9,
    /// st(1) - st(0).
    Sub = 0xe9,
    /// st(0) - st(1).
    SubR = 0xe1,
    /// st(1) / st(0).
    Div = 0xf9,
    /// st(0) / st(1).
    DivR = 0xf1,
}

impl Asm {
    /// An instruction with an operand in memory, by opcode (D8 to DF) and extension.
    pub fn x87_mem(&mut self, op: u8, ext: u8, m: Mem) {
        self.emit(Enc::new(Map::One, op), ext, m);
    }
    /// An instruction of two bytes that works on registers.
    pub fn x87_reg(&mut self, op: u8, code: u8) {
        self.buf.put(&[op, code]);
    }
    /// `fld tbyte [mem]`.
    pub fn fld80(&mut self, m: Mem) {
        self.emit(Enc::new(Map::One, 0xdb), 5, m);
    }
    /// `fstp tbyte [mem]`.
    pub fn fstp80(&mut self, m: Mem) {
        self.emit(Enc::new(Map::One, 0xdb), 7, m);
    }
    /// `fld dword` or, when `double`, `fld qword [mem]`.
    pub fn fld(&mut self, double: bool, m: Mem) {
        self.emit(Enc::new(Map::One, if double { 0xdd } else { 0xd9 }), 0, m);
    }
    /// `fstp dword` or, when `double`, `fstp qword [mem]`.
    pub fn fstp(&mut self, double: bool, m: Mem) {
        self.emit(Enc::new(Map::One, if double { 0xdd } else { 0xd9 }), 3, m);
    }
    /// `fild` of 16, 32 or 64 bits (`bits`).
    pub fn fild(&mut self, bits: u32, m: Mem) {
        let (op, ext) = match bits {
            16 => (0xdf, 0),
            32 => (0xdb, 0),
            _ => (0xdf, 5),
        };
        self.emit(Enc::new(Map::One, op), ext, m);
    }
    /// `fistp` of 16, 32 or 64 bits, by rounding control.
    pub fn fistp(&mut self, bits: u32, m: Mem) {
        let (op, ext) = match bits {
            16 => (0xdf, 3),
            32 => (0xdb, 3),
            _ => (0xdf, 7),
        };
        self.emit(Enc::new(Map::One, op), ext, m);
    }
    /// `fisttp` of 16, 32 or 64 bits, truncating.
    pub fn fisttp(&mut self, bits: u32, m: Mem) {
        let op = match bits {
            16 => 0xdf,
            32 => 0xdb,
            _ => 0xdd,
        };
        self.emit(Enc::new(Map::One, op), 1, m);
    }
    /// `fXp st(1), st(0)`.
    pub fn farith_pop(&mut self, op: X87Op) {
        self.buf.put(&[0xde, op as u8]);
    }
    /// `fldcw [mem]`.
    pub fn fldcw(&mut self, m: Mem) {
        self.emit(Enc::new(Map::One, 0xd9), 5, m);
    }
    /// `fnstcw [mem]`.
    pub fn fnstcw(&mut self, m: Mem) {
        self.emit(Enc::new(Map::One, 0xd9), 7, m);
    }
    /// `fnstsw ax`.
    pub fn fnstsw_ax(&mut self) {
        self.buf.put(&[0xdf, 0xe0]);
    }
    /// `fnstsw [mem]`.
    pub fn fnstsw(&mut self, m: Mem) {
        self.emit(Enc::new(Map::One, 0xdd), 7, m);
    }
    /// `fnclex`.
    pub fn fnclex(&mut self) {
        self.buf.put(&[0xdb, 0xe2]);
    }
    /// `emms`.
    pub fn emms(&mut self) {
        self.buf.put(&[0x0f, 0x77]);
    }
    /// `fninit`.
    pub fn fninit(&mut self) {
        self.buf.put(&[0xdb, 0xe3]);
    }
    /// `fucomip st, st(1)` (`quiet`) or `fcomip`; pops once.
    pub fn fcomip(&mut self, quiet: bool) {
        self.buf.put(&[0xdf, if quiet { 0xe9 } else { 0xf1 }]);
    }
    /// `fstp st(i)`.
    pub fn fstp_st(&mut self, i: u8) {
        self.buf.put(&[0xdd, 0xd8 | i & 7]);
    }
    /// One of the D9 instructions without operands by its second byte (`fchs` E0, `fabs` E1, `fsqrt` FA, `frndint` FC...).
    pub fn f_d9(&mut self, code: u8) {
        self.buf.put(&[0xd9, code]);
    }
}
