//! Branches, the stack, flags, fences (SDM vol. 2, by mnemonic).

use super::{Asm, Enc, Map, Mem, Reg, Rm, Size};
use crate::buffer::{Field, Label};

impl Asm {
    /// `jmp label`, 5 bytes.
    pub fn jmp(&mut self, to: Label) {
        self.byte(0xe9);
        self.rel32(to);
    }

    /// `jmp label`, 2 bytes.
    pub fn jmp_short(&mut self, to: Label) {
        self.byte(0xeb);
        self.rel8(to);
    }

    /// `jcc label`, 6 bytes.
    pub fn jcc(&mut self, cc: u8, to: Label) {
        self.buf.put(&[0x0f, 0x80 | cc & 15]);
        self.rel32(to);
    }

    /// `jcc label`, 2 bytes.
    pub fn jcc_short(&mut self, cc: u8, to: Label) {
        self.byte(0x70 | cc & 15);
        self.rel8(to);
    }

    /// `jrcxz label`: to the label when RCX is 0; flags are neither read nor written.
    pub fn jrcxz(&mut self, to: Label) {
        self.byte(0xe3);
        self.rel8(to);
    }

    /// `call label`, 5 bytes.
    pub fn call(&mut self, to: Label) {
        self.byte(0xe8);
        self.rel32(to);
    }

    fn rel32(&mut self, to: Label) {
        self.buf.refer(self.here(), to, Field::Rel32);
        self.buf.put(&[0; 4]);
    }

    fn rel8(&mut self, to: Label) {
        self.buf.refer(self.here(), to, Field::Rel8);
        self.byte(0);
    }

    /// `lea dst, [rip + label]`.
    pub fn lea_label(&mut self, dst: Reg, to: Label) {
        self.buf.put(&[0x48 | (dst.0 >> 3 & 1) << 2, 0x8d, (dst.0 & 7) << 3 | 5]);
        self.rel32(to);
    }

    /// `jmp r/m64`.
    pub fn jmp_rm(&mut self, to: impl Into<Rm>) {
        self.emit(Enc::new(Map::One, 0xff), 4, to);
    }

    /// `call r/m64`.
    pub fn call_rm(&mut self, to: impl Into<Rm>) {
        self.emit(Enc::new(Map::One, 0xff), 2, to);
    }

    /// `ret`.
    pub fn ret(&mut self) {
        self.byte(0xc3);
    }

    /// `push r64`.
    pub fn push(&mut self, r: Reg) {
        self.opreg(0x50, Size::D, r);
    }

    /// `pop r64`.
    pub fn pop(&mut self, r: Reg) {
        self.opreg(0x58, Size::D, r);
    }

    /// `push [mem]`, 64 bits.
    pub fn push_mem(&mut self, m: Mem) {
        self.emit(Enc::new(Map::One, 0xff), 6, m);
    }

    /// `pop [mem]`, 64 bits.
    pub fn pop_mem(&mut self, m: Mem) {
        self.emit(Enc::new(Map::One, 0x8f), 0, m);
    }

    /// `push imm`, sign-extended to 64 bits.
    pub fn push_imm(&mut self, imm: i32) {
        if i32::from(imm as i8) == imm {
            return self.buf.put(&[0x6a, imm as u8]);
        }
        self.byte(0x68);
        self.imm(Size::D, imm);
    }

    /// `pushfq`.
    pub fn pushfq(&mut self) {
        self.byte(0x9c);
    }

    /// `popfq`.
    pub fn popfq(&mut self) {
        self.byte(0x9d);
    }

    /// `lahf`: AH := SF ZF 0 AF 0 PF 1 CF.
    pub fn lahf(&mut self) {
        self.byte(0x9f);
    }

    /// `sahf`.
    pub fn sahf(&mut self) {
        self.byte(0x9e);
    }

    /// `clc`, `stc`, `cmc`, `cld`, `std`, by opcode.
    pub fn flag(&mut self, op: FlagOp) {
        self.byte(op as u8);
    }

    /// `ud2`.
    pub fn ud2(&mut self) {
        self.buf.put(&[0x0f, 0x0b]);
    }

    /// Fences: 0 `mfence`, 1 `lfence`, otherwise `sfence`.
    pub fn fence(&mut self, kind: u64) {
        self.buf.put(&[
            0x0f,
            0xae,
            match kind {
                0 => 0xf0,
                1 => 0xe8,
                _ => 0xf8,
            },
        ]);
    }

    /// `ldmxcsr [mem]`.
    pub fn ldmxcsr(&mut self, m: Mem) {
        self.emit(Enc::new(Map::F, 0xae), 2, m);
    }

    /// `stmxcsr [mem]`.
    pub fn stmxcsr(&mut self, m: Mem) {
        self.emit(Enc::new(Map::F, 0xae), 3, m);
    }

    /// So many bytes of instructions that do nothing (SDM vol. 2, NOP, recommended forms).
    pub fn nops(&mut self, mut n: u32) {
        const FORMS: [&[u8]; 9] = [
            &[0x90],
            &[0x66, 0x90],
            &[0x0f, 0x1f, 0x00],
            &[0x0f, 0x1f, 0x40, 0x00],
            &[0x0f, 0x1f, 0x44, 0x00, 0x00],
            &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
            &[0x0f, 0x1f, 0x80, 0, 0, 0, 0],
            &[0x0f, 0x1f, 0x84, 0x00, 0, 0, 0, 0],
            &[0x66, 0x0f, 0x1f, 0x84, 0x00, 0, 0, 0, 0],
        ];
        while n > 0 {
            let k = n.min(9);
            self.buf.put(FORMS[k as usize - 1]);
            n -= k;
        }
    }

    /// `rep movs`/`rep stos` and the like: repeat prefix (0 for none), opcode of the byte form, size.
    pub fn string(&mut self, prefix: u8, op: u8, size: Size) {
        if size == Size::W {
            self.byte(0x66);
        }
        if prefix != 0 {
            self.byte(prefix);
        }
        if size == Size::Q {
            self.byte(0x48);
        }
        self.byte(op | u8::from(size != Size::B));
    }
}

/// Instructions on single flags, numbered by opcode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum FlagOp {
    Cmc = 0xf5,
    Clc = 0xf8,
    Stc = 0xf9,
    Cld = 0xfc,
    Std = 0xfd,
}
