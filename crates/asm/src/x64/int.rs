//! Instructions on general registers (SDM vol. 2, by mnemonic).

use super::{Asm, Enc, Map, Mem, Reg, Rm, Size};

/// The eight classic operations, numbered as in their opcodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Alu {
    Add,
    Or,
    Adc,
    Sbb,
    And,
    Sub,
    Xor,
    Cmp,
}

/// Shifts and rotates, numbered as in their ModRM extensions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Shift {
    Rol = 0,
    Ror = 1,
    Rcl = 2,
    Rcr = 3,
    Shl = 4,
    Shr = 5,
    Sar = 7,
}

/// One-operand operations of group 3 (F6, F7), numbered as in their ModRM extensions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Unary {
    Not = 2,
    Neg = 3,
    /// RDX:RAX := RAX * operand, unsigned.
    Mul = 4,
    /// The same, signed.
    Imul = 5,
    /// RAX, RDX := quotient and remainder of RDX:RAX by the operand, unsigned.
    Div = 6,
    /// The same, signed.
    Idiv = 7,
}

/// Bit tests, numbered as in their ModRM extensions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Bit {
    Bt = 4,
    Bts = 5,
    Btr = 6,
    Btc = 7,
}

/// Bit counts and scans.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Count {
    Bsf,
    Bsr,
    Tzcnt,
    Lzcnt,
    Popcnt,
}

/// Shifts by a register without flags (BMI2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum ShiftX {
    Shlx,
    Shrx,
    Sarx,
}

const fn one(op: u8) -> Enc {
    Enc::new(Map::One, op)
}
const fn two(op: u8) -> Enc {
    Enc::new(Map::F, op)
}

impl Asm {
    /// `mov dst, src`.
    pub fn mov(&mut self, size: Size, dst: Reg, src: impl Into<Rm>) {
        self.emit(one(0x8a).sized(size), dst.0, src);
    }

    /// `mov [mem], src`.
    pub fn store(&mut self, size: Size, dst: Mem, src: Reg) {
        self.emit(one(0x88).sized(size), src.0, dst);
    }

    /// `mov dst, imm` with the shortest form; flags are kept.
    pub fn mov_imm(&mut self, dst: Reg, imm: u64) {
        if u32::try_from(imm).is_ok() {
            self.opreg(0xb8, Size::D, dst);
            self.imm(Size::D, imm as u32 as i32);
        } else if i32::try_from(imm as i64).is_ok() {
            self.emit(one(0xc6).sized(Size::Q), 0, dst);
            self.imm(Size::D, imm as i32);
        } else {
            self.opreg(0xb8, Size::Q, dst);
            self.buf.put(&imm.to_le_bytes());
        }
    }

    /// `mov [mem], imm`; 64-bit operands sign-extend it.
    pub fn store_imm(&mut self, size: Size, dst: Mem, imm: i32) {
        self.emit(one(0xc6).sized(size), 0, dst);
        self.imm(size, imm);
    }

    /// `mov r, imm` in a narrow register (8 or 16 bits): the rest is kept.
    pub fn mov_imm_narrow(&mut self, size: Size, dst: Reg, imm: i32) {
        self.emit(one(0xc6).sized(size), 0, dst);
        self.imm(size, imm);
    }

    /// An instruction with the register in the opcode's low bits.
    pub fn opreg(&mut self, op: u8, size: Size, r: Reg) {
        if size == Size::W {
            self.byte(0x66);
        }
        let rex = u8::from(size == Size::Q) << 3 | r.0 >> 3 & 1;
        if rex != 0 {
            self.byte(0x40 | rex);
        }
        self.byte(op | r.0 & 7);
    }

    /// `movzx dst, src`: an 8- or 16-bit source to 32 bits (and so to 64); 32 bits by a plain move.
    pub fn movzx(&mut self, from: Size, dst: Reg, src: impl Into<Rm>) {
        match from {
            Size::B => self.emit(Enc { rm8: true, ..two(0xb6) }, dst.0, src),
            Size::W => self.emit(two(0xb7), dst.0, src),
            _ => self.mov(from, dst, src),
        }
    }

    /// `movsx`/`movsxd dst, src` to `to` bits.
    pub fn movsx(&mut self, to: Size, from: Size, dst: Reg, src: impl Into<Rm>) {
        match from {
            Size::B => self.emit(Enc { rm8: true, ..two(0xbe) }.wide(to), dst.0, src),
            Size::W => self.emit(two(0xbf).wide(to), dst.0, src),
            Size::D if to == Size::Q => self.emit(one(0x63).w(true), dst.0, src),
            _ => self.mov(to, dst, src),
        }
    }

    /// `lea dst, [mem]`.
    pub fn lea(&mut self, size: Size, dst: Reg, src: Mem) {
        self.emit(one(0x8d).wide(size), dst.0, src);
    }

    /// `op dst, src`.
    pub fn alu(&mut self, op: Alu, size: Size, dst: Reg, src: impl Into<Rm>) {
        self.emit(one((op as u8) << 3 | 2).sized(size), dst.0, src);
    }

    /// `op [mem], src`.
    pub fn alu_store(&mut self, op: Alu, size: Size, dst: impl Into<Rm>, src: Reg) {
        self.emit(one((op as u8) << 3).sized(size), src.0, dst);
    }

    /// `op [mem], src`, with a `lock` prefix or without.
    pub fn alu_locked(&mut self, lock: bool, op: Alu, size: Size, dst: Mem, src: Reg) {
        self.emit(Enc { lock, ..one((op as u8) << 3).sized(size) }, src.0, dst);
    }

    /// `op dst, imm`; the immediate is sign-extended from 32 bits.
    pub fn alu_imm(&mut self, op: Alu, size: Size, dst: impl Into<Rm>, imm: i32) {
        let dst = dst.into();
        let short = i32::from(imm as i8) == imm;
        if size != Size::B && short {
            self.emit(Enc { op: 0x83, ..one(0x80).sized(size) }, op as u8, dst);
            return self.byte(imm as u8);
        }
        if dst == Rm::Reg(0) && size != Size::B {
            if size == Size::W {
                self.byte(0x66);
            }
            if size == Size::Q {
                self.byte(0x48);
            }
            self.byte((op as u8) << 3 | 5);
            return self.imm(size, imm);
        }
        self.emit(one(0x80).sized(size), op as u8, dst);
        self.imm(size, imm);
    }

    /// `test a, b`.
    pub fn test(&mut self, size: Size, a: impl Into<Rm>, b: Reg) {
        self.emit(one(0x84).sized(size), b.0, a);
    }

    /// `test a, imm`.
    pub fn test_imm(&mut self, size: Size, a: impl Into<Rm>, imm: i32) {
        self.emit(one(0xf6).sized(size), 0, a);
        self.imm(size, imm);
    }

    /// `inc`, or `dec` when `down`.
    pub fn inc_dec(&mut self, size: Size, dst: impl Into<Rm>, down: bool) {
        self.emit(one(0xfe).sized(size), u8::from(down), dst);
    }

    /// Group 3: not, neg, mul, imul, div, idiv.
    pub fn unary(&mut self, op: Unary, size: Size, dst: impl Into<Rm>) {
        self.emit(one(0xf6).sized(size), op as u8, dst);
    }

    /// `imul dst, src` (16 bits and more).
    pub fn imul(&mut self, size: Size, dst: Reg, src: impl Into<Rm>) {
        self.emit(two(0xaf).wide(size), dst.0, src);
    }

    /// `imul dst, src, imm`.
    pub fn imul_imm(&mut self, size: Size, dst: Reg, src: impl Into<Rm>, imm: i32) {
        if i32::from(imm as i8) == imm {
            self.emit(one(0x6b).wide(size), dst.0, src);
            return self.byte(imm as u8);
        }
        self.emit(one(0x69).wide(size), dst.0, src);
        self.imm(size, imm);
    }

    /// `cwd`, `cdq`, `cqo`: RDX := sign of RAX.
    pub fn cdq(&mut self, size: Size) {
        self.prefixed(size, 0x99);
    }

    /// `cbw`, `cwde`, `cdqe`: RAX := sign-extended lower half of it.
    pub fn cwde(&mut self, size: Size) {
        self.prefixed(size, 0x98);
    }

    fn prefixed(&mut self, size: Size, op: u8) {
        match size {
            Size::W => self.byte(0x66),
            Size::Q => self.byte(0x48),
            _ => {}
        }
        self.byte(op);
    }

    /// Shift or rotate by a constant.
    pub fn shift_imm(&mut self, op: Shift, size: Size, dst: impl Into<Rm>, n: u8) {
        if n == 1 {
            return self.emit(one(0xd0).sized(size), op as u8, dst);
        }
        self.emit(one(0xc0).sized(size), op as u8, dst);
        self.byte(n);
    }

    /// Shift or rotate by CL.
    pub fn shift_cl(&mut self, op: Shift, size: Size, dst: impl Into<Rm>) {
        self.emit(one(0xd2).sized(size), op as u8, dst);
    }

    /// `shld`/`shrd dst, src, n`.
    pub fn shift_double_imm(&mut self, right: bool, size: Size, dst: impl Into<Rm>, src: Reg, n: u8) {
        self.emit(two(if right { 0xac } else { 0xa4 }).wide(size), src.0, dst);
        self.byte(n);
    }

    /// `shld`/`shrd dst, src, cl`.
    pub fn shift_double_cl(&mut self, right: bool, size: Size, dst: impl Into<Rm>, src: Reg) {
        self.emit(two(if right { 0xad } else { 0xa5 }).wide(size), src.0, dst);
    }

    /// `bt` and so on with a register bit offset.
    pub fn bit(&mut self, op: Bit, size: Size, dst: impl Into<Rm>, src: Reg) {
        self.emit(two(0x83 | (op as u8) << 3).wide(size), src.0, dst);
    }

    /// `bt` and so on with a constant bit offset.
    pub fn bit_imm(&mut self, op: Bit, size: Size, dst: impl Into<Rm>, n: u8) {
        self.emit(two(0xba).wide(size), op as u8, dst);
        self.byte(n);
    }

    /// Scans and counts.
    pub fn count(&mut self, op: Count, size: Size, dst: Reg, src: impl Into<Rm>) {
        let (f3, code) = match op {
            Count::Bsf => (false, 0xbc),
            Count::Bsr => (false, 0xbd),
            Count::Tzcnt => (true, 0xbc),
            Count::Lzcnt => (true, 0xbd),
            Count::Popcnt => (true, 0xb8),
        };
        if f3 && size == Size::W {
            // Both prefixes: the operand size first, F3 next to the opcode.
            self.byte(0x66);
        }
        let e = two(code).wide(size);
        self.emit(if f3 { e.p(0xf3) } else { e }, dst.0, src);
    }

    /// `bswap` of 32 or 64 bits.
    pub fn bswap(&mut self, size: Size, r: Reg) {
        let rex = u8::from(size == Size::Q) << 3 | r.0 >> 3 & 1;
        if rex != 0 {
            self.byte(0x40 | rex);
        }
        self.buf.put(&[0x0f, 0xc8 | r.0 & 7]);
    }

    /// `movbe dst, [mem]`.
    pub fn movbe_load(&mut self, size: Size, dst: Reg, src: Mem) {
        self.emit(Enc::new(Map::F38, 0xf0).wide(size), dst.0, src);
    }

    /// `movbe [mem], src`.
    pub fn movbe_store(&mut self, size: Size, dst: Mem, src: Reg) {
        self.emit(Enc::new(Map::F38, 0xf1).wide(size), src.0, dst);
    }

    /// `setcc dst` (byte).
    pub fn setcc(&mut self, cc: u8, dst: impl Into<Rm>) {
        self.emit(Enc { rm8: true, ..two(0x90 | cc & 15) }, 0, dst);
    }

    /// `cmovcc dst, src` (16 bits and more).
    pub fn cmov(&mut self, cc: u8, size: Size, dst: Reg, src: impl Into<Rm>) {
        self.emit(two(0x40 | cc & 15).wide(size), dst.0, src);
    }

    /// `xchg a, b`; locked by itself when `a` is memory.
    pub fn xchg(&mut self, size: Size, a: impl Into<Rm>, b: Reg) {
        self.emit(one(0x86).sized(size), b.0, a);
    }

    /// `xadd [mem], src`, with a `lock` prefix or without.
    pub fn xadd(&mut self, lock: bool, size: Size, dst: Mem, src: Reg) {
        self.emit(Enc { lock, ..two(0xc0).sized(size) }, src.0, dst);
    }

    /// `cmpxchg [mem], src` (compares with RAX), with a `lock` prefix or without.
    pub fn cmpxchg(&mut self, lock: bool, size: Size, dst: Mem, src: Reg) {
        self.emit(Enc { lock, ..two(0xb0).sized(size) }, src.0, dst);
    }

    /// `lock cmpxchg8b [mem]`, or `cmpxchg16b` when `wide`.
    pub fn lock_cmpxchg_pair(&mut self, wide: bool, dst: Mem) {
        self.emit(Enc { lock: true, ..two(0xc7).w(wide) }, 1, dst);
    }

    /// `rorx dst, src, n` (BMI2): a rotation that keeps flags.
    pub fn rorx(&mut self, size: Size, dst: Reg, src: impl Into<Rm>, n: u8) {
        self.vex(Enc::new(Map::F3A, 0xf0).p(0xf2).w(size == Size::Q), dst.0, 0, src);
        self.byte(n);
    }

    /// `shlx`, `shrx`, `sarx dst, src, count` (BMI2): shifts that keep flags.
    pub fn shiftx(&mut self, op: ShiftX, size: Size, dst: Reg, src: impl Into<Rm>, count: Reg) {
        let prefix = match op {
            ShiftX::Shlx => 0x66,
            ShiftX::Shrx => 0xf2,
            ShiftX::Sarx => 0xf3,
        };
        self.vex(Enc::new(Map::F38, 0xf7).p(prefix).w(size == Size::Q), dst.0, count.0, src);
    }

    /// `pdep dst, a, mask` (BMI2).
    pub fn pdep(&mut self, size: Size, dst: Reg, a: Reg, mask: impl Into<Rm>) {
        self.vex(Enc::new(Map::F38, 0xf5).p(0xf2).w(size == Size::Q), dst.0, a.0, mask);
    }

    /// `pext dst, a, mask` (BMI2).
    pub fn pext(&mut self, size: Size, dst: Reg, a: Reg, mask: impl Into<Rm>) {
        self.vex(Enc::new(Map::F38, 0xf5).p(0xf3).w(size == Size::Q), dst.0, a.0, mask);
    }

    /// `crc32 dst, src` (SSE4.2) of 32 or 64 bits.
    pub fn crc32(&mut self, size: Size, dst: Reg, src: impl Into<Rm>) {
        self.emit(Enc::new(Map::F38, 0xf1).p(0xf2).w(size == Size::Q), dst.0, src);
    }

    /// `andn dst, a, b` (BMI1): ~a & b.
    pub fn andn(&mut self, size: Size, dst: Reg, a: Reg, b: impl Into<Rm>) {
        self.vex(Enc::new(Map::F38, 0xf2).w(size == Size::Q), dst.0, a.0, b);
    }

    /// `mulx high, low, src` (BMI2): RDX * src without flags.
    pub fn mulx(&mut self, size: Size, high: Reg, low: Reg, src: impl Into<Rm>) {
        self.vex(Enc::new(Map::F38, 0xf6).p(0xf2).w(size == Size::Q), high.0, low.0, src);
    }
}
