//! x86-64 instruction encoder.
//!
//! [`Asm`] writes instructions into a [`CodeBuffer`]; the topic files give it one method for each family: [`int`] the general
//! registers, [`flow`] branches, stack and system, [`sse`] vectors, [`x87`] the floating-point stack. All go through
//! [`Asm::emit`] or [`Asm::vex`], which know prefixes, ModRM and SIB (SDM vol. 2, chapter 2) and choose the shortest form.
//!
//! Invariants: the registers AH, CH, DH and BH cannot be named; a byte register above 3 always gets a REX prefix. Memory
//! operands are absolute, register based, or relative to the GS base, never to RIP, except by a label ([`Asm::lea_label`]).

pub mod avx;
pub mod flow;
pub mod int;
pub mod sse;
#[cfg(test)]
mod tests;
pub mod x87;

use crate::buffer::CodeBuffer;

/// A general register by its encoding number, 0..16.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Reg(pub u8);

/// A vector register by its encoding number, 0..16.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Xmm(pub u8);

#[allow(missing_docs)]
impl Reg {
    pub const RAX: Reg = Reg(0);
    pub const RCX: Reg = Reg(1);
    pub const RDX: Reg = Reg(2);
    pub const RBX: Reg = Reg(3);
    pub const RSP: Reg = Reg(4);
    pub const RBP: Reg = Reg(5);
    pub const RSI: Reg = Reg(6);
    pub const RDI: Reg = Reg(7);
    pub const R8: Reg = Reg(8);
    pub const R9: Reg = Reg(9);
    pub const R10: Reg = Reg(10);
    pub const R11: Reg = Reg(11);
    pub const R12: Reg = Reg(12);
    pub const R13: Reg = Reg(13);
    pub const R14: Reg = Reg(14);
    pub const R15: Reg = Reg(15);
}

/// Operand size.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Size {
    /// 8 bits.
    B,
    /// 16 bits.
    W,
    /// 32 bits; the upper half of a register destination is cleared.
    D,
    /// 64 bits.
    Q,
}

impl Size {
    /// The size of so many bits; everything that is not 8, 16 or 32 counts as 64.
    pub fn of_bits(bits: u32) -> Size {
        match bits {
            1..=8 => Size::B,
            16 => Size::W,
            32 => Size::D,
            _ => Size::Q,
        }
    }
    /// Width in bits.
    pub fn bits(self) -> u32 {
        8 << self as u32
    }
    /// The size of the cheapest register operation that covers this one: 32 bits for the narrow ones.
    pub fn at_least_d(self) -> Size {
        self.max(Size::D)
    }
}

/// A memory operand, in one word: it is handed around much, and what is put together from parts in memory has to arrive there before it can be read as
/// a whole.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mem(u64);

/// Where the parts of a [`Mem`] are. The displacement is in the lower half.
mod part {
    /// First bit of the base register.
    pub const BASE: u32 = 32;
    /// There is no base register.
    pub const NO_BASE: u64 = 1 << 36;
    /// First bit of the SIB byte without the base.
    pub const SIB: u32 = 40;
    /// Bit 3 of the index register.
    pub const X: u32 = 48;
    /// There is an index register.
    pub const INDEX: u64 = 1 << 49;
    /// The GS base is added.
    pub const GS: u64 = 1 << 50;
    /// The address is computed in 32 bits (prefix 67).
    pub const SHORT: u64 = 1 << 51;
}

impl Mem {
    /// `[disp]`.
    #[inline]
    pub const fn absolute(disp: i32) -> Mem {
        // Index 4 is none.
        Mem(disp as u32 as u64 | part::NO_BASE | 0x20 << part::SIB)
    }
    /// `[base + disp]`.
    #[inline]
    pub fn base(base: Reg, disp: i32) -> Mem {
        Mem(u64::from(disp as u32) | u64::from(base.0 & 15) << part::BASE | 0x20 << part::SIB)
    }
    /// `gs:[disp]`.
    #[inline]
    pub const fn gs(disp: i32) -> Mem {
        Mem(Mem::absolute(disp).0 | part::GS)
    }
    /// `[base + index << scale + disp]`.
    #[inline]
    pub fn index(base: Reg, index: Reg, scale: u8, disp: i32) -> Mem {
        Mem::base(base, disp).indexed(index, scale)
    }
    /// The same operand with an index register (not RSP) and the logarithm of its scale, 0..=3.
    #[inline]
    pub fn indexed(self, index: Reg, scale: u8) -> Mem {
        let rest = self.0 & !(0xff << part::SIB | 1 << part::X);
        let sib = u64::from((scale & 3) << 6 | (index.0 & 7) << 3);
        Mem(rest | sib << part::SIB | u64::from(index.0 >> 3 & 1) << part::X | part::INDEX)
    }
    /// The same operand with the address computed in 32 bits, or in 64.
    #[inline]
    pub fn short(self, short: bool) -> Mem {
        Mem(self.0 & !part::SHORT | if short { part::SHORT } else { 0 })
    }
    /// The same operand so many bytes further.
    #[inline]
    pub fn offset(self, by: i32) -> Mem {
        Mem(self.0 & !0xffff_ffff | u64::from(self.disp().wrapping_add(by) as u32))
    }
    /// Displacement in bytes.
    #[inline]
    pub fn disp(self) -> i32 {
        self.0 as i32
    }
    /// Base register.
    #[inline]
    pub fn base_register(self) -> Option<Reg> {
        (self.0 & part::NO_BASE == 0).then_some(Reg((self.0 >> part::BASE) as u8 & 15))
    }
    /// Index register.
    #[inline]
    pub fn index_register(self) -> Option<Reg> {
        let low = (self.0 >> part::SIB) as u8 >> 3 & 7;
        (self.0 & part::INDEX != 0).then_some(Reg(((self.0 >> part::X) as u8 & 1) << 3 | low))
    }
    /// The registers that take part.
    #[inline]
    pub fn registers(self) -> impl Iterator<Item = Reg> {
        [self.base_register(), self.index_register()].into_iter().flatten()
    }
    /// Whether a register takes part.
    pub fn uses(self, r: Reg) -> bool {
        self.registers().any(|x| x == r)
    }
    #[inline]
    fn is_gs(self) -> bool {
        self.0 & part::GS != 0
    }
    #[inline]
    fn is_short(self) -> bool {
        self.0 & part::SHORT != 0
    }
}

impl Default for Mem {
    fn default() -> Mem {
        Mem::absolute(0)
    }
}

impl std::fmt::Debug for Mem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scale = (self.0 >> part::SIB) as u8 >> 6;
        f.debug_struct("Mem")
            .field("base", &self.base_register())
            .field("index", &self.index_register().map(|r| (r, scale)))
            .field("disp", &self.disp())
            .field("gs", &self.is_gs())
            .field("short", &self.is_short())
            .finish()
    }
}

/// A register or memory operand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Rm {
    /// Register number, general or vector as the instruction says.
    Reg(u8),
    /// Memory.
    Mem(Mem),
}

impl From<Reg> for Rm {
    fn from(r: Reg) -> Rm {
        Rm::Reg(r.0)
    }
}
impl From<Xmm> for Rm {
    fn from(x: Xmm) -> Rm {
        Rm::Reg(x.0)
    }
}
impl From<Mem> for Rm {
    fn from(m: Mem) -> Rm {
        Rm::Mem(m)
    }
}

/// Opcode map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Map {
    /// One byte.
    One,
    /// 0F.
    F,
    /// 0F 38.
    F38,
    /// 0F 3A.
    F3A,
}

/// Everything about an encoding but its operands.
#[derive(Clone, Copy, Debug)]
pub struct Enc {
    /// Mandatory or operand size prefix: 0, 0x66, 0xf2 or 0xf3.
    pub prefix: u8,
    /// LOCK.
    pub lock: bool,
    /// REX.W or VEX.W.
    pub w: bool,
    /// Map.
    pub map: Map,
    /// Opcode byte.
    pub op: u8,
    /// The reg field names a byte register.
    pub reg8: bool,
    /// The r/m field names a byte register.
    pub rm8: bool,
}

impl Enc {
    /// A plain encoding in a map.
    pub const fn new(map: Map, op: u8) -> Enc {
        Enc { prefix: 0, lock: false, w: false, map, op, reg8: false, rm8: false }
    }
    /// With a prefix.
    pub const fn p(self, prefix: u8) -> Enc {
        Enc { prefix, ..self }
    }
    /// With W.
    pub const fn w(self, w: bool) -> Enc {
        Enc { w, ..self }
    }
    /// An integer instruction whose opcode's low bit tells bytes from the rest.
    pub const fn sized(self, size: Size) -> Enc {
        match size {
            Size::B => Enc { reg8: true, rm8: true, ..self },
            Size::W => Enc { op: self.op | 1, prefix: 0x66, ..self },
            Size::D => Enc { op: self.op | 1, ..self },
            Size::Q => Enc { op: self.op | 1, w: true, ..self },
        }
    }
    /// An integer instruction without a byte form.
    pub const fn wide(self, size: Size) -> Enc {
        match size {
            Size::B | Size::D => self,
            Size::W => Enc { prefix: 0x66, ..self },
            Size::Q => Enc { w: true, ..self },
        }
    }
}

/// An x86-64 assembler.
#[derive(Clone, Debug, Default)]
pub struct Asm {
    /// The code.
    pub buf: CodeBuffer,
}

impl Asm {
    /// An empty one.
    pub fn new() -> Asm {
        Asm::default()
    }

    /// Offset of the next instruction.
    pub fn here(&self) -> u32 {
        self.buf.offset()
    }

    /// Appends one byte.
    #[inline]
    pub fn byte(&mut self, b: u8) {
        self.buf.put_word(b.into(), 1);
    }

    /// Appends an immediate of an integer instruction: 1, 2 or 4 bytes.
    pub fn imm(&mut self, size: Size, imm: i32) {
        self.buf.put_word(u64::from(imm as u32), IMMEDIATES[size as usize].into());
    }

    /// Encodes a legacy instruction with ModRM; immediates follow by the caller.
    #[inline(always)]
    pub fn emit(&mut self, e: Enc, reg: u8, rm: impl Into<Rm>) {
        match rm.into() {
            Rm::Reg(r) => self.legacy_reg(e, reg, r),
            Rm::Mem(m) => self.legacy_mem(e, reg, m),
        }
    }

    fn legacy_reg(&mut self, e: Enc, reg: u8, r: u8) {
        let rex = (reg >> 3 & 1) << 2 | r >> 3 & 1;
        let byte_reg = e.reg8 && reg >= 4 || e.rm8 && r >= 4;
        let mut head = Head::opcode(e, rex, byte_reg);
        if e.prefix != 0 {
            head.before(e.prefix);
        }
        if e.lock {
            head.before(0xf0);
        }
        self.put_instruction(head, modrm(reg, Rm::Reg(r)));
    }

    fn legacy_mem(&mut self, e: Enc, reg: u8, m: Mem) {
        let (xb, tail) = memory(reg, m);
        let mut head = Head::opcode(e, (reg >> 3 & 1) << 2 | xb, e.reg8 && reg >= 4);
        // One look for what most instructions have nothing of.
        if e.lock | (m.0 & (part::GS | part::SHORT) != 0) | (e.prefix != 0) {
            head.prefixes(e, m);
        }
        self.put_instruction(head, tail);
    }

    #[inline(always)]
    fn put_instruction(&mut self, head: Head, (tail, more): (u64, usize)) {
        self.buf.put_words(head.bytes, head.n, tail, more);
    }

    /// Encodes a VEX instruction (SDM vol. 2, section 2.3.5); `v` is the extra source.
    pub fn vex(&mut self, e: Enc, reg: u8, v: u8, rm: impl Into<Rm>) {
        self.vex_l(e, false, reg, v, rm);
    }

    /// The same with a choice of vector length: 256 bits when `long`.
    pub fn vex_l(&mut self, e: Enc, long: bool, reg: u8, v: u8, rm: impl Into<Rm>) {
        let rm = rm.into();
        if let Rm::Mem(m) = rm {
            if m.is_gs() {
                self.byte(0x65);
            }
            if m.is_short() {
                self.byte(0x67);
            }
        }
        let (x, b) = extension(rm);
        let pp = match e.prefix {
            0x66 => 1,
            0xf3 => 2,
            0xf2 => 3,
            _ => 0,
        };
        let r = !(reg >> 3) & 1;
        let low = (!v & 15) << 3 | u8::from(long) << 2 | pp;
        if x == 0 && b == 0 && !e.w && e.map == Map::F {
            self.buf.put(&[0xc5, r << 7 | low, e.op]);
        } else {
            let map = match e.map {
                Map::One | Map::F => 1,
                Map::F38 => 2,
                Map::F3A => 3,
            };
            self.buf.put(&[0xc4, r << 7 | (x ^ 1) << 6 | (b ^ 1) << 5 | map, u8::from(e.w) << 7 | low, e.op]);
        }
        self.modrm(reg, rm);
    }

    fn modrm(&mut self, reg: u8, rm: Rm) {
        let (word, n) = modrm(reg, rm);
        self.buf.put_word(word, n);
    }
}

/// The bytes in front of the opcode, by map, and how many they are, from bit 24 on.
static ESCAPES: [u32; 4] = [0, 0x0100_000f, 0x0200_380f, 0x0200_3a0f];

/// The length of an immediate, by operand size.
static IMMEDIATES: [u8; 4] = [1, 2, 4, 4];

/// Prefixes and opcode, at most 8 bytes, the first one lowest, and how many they are. Made from the end.
#[derive(Clone, Copy)]
struct Head {
    bytes: u64,
    n: u32,
}

impl Head {
    /// The opcode, and REX when it says anything or has to be there.
    #[inline(always)]
    fn opcode(e: Enc, rex: u8, always: bool) -> Head {
        // Looked up, since one map is as likely as another.
        let escape = ESCAPES[e.map as usize];
        let n = escape >> 24;
        let mut head = Head { bytes: u64::from(e.op) << (8 * n) | u64::from(escape & 0xffff), n: n + 1 };
        let rex = u8::from(e.w) << 3 | rex;
        if rex != 0 || always {
            head.before(0x40 | rex);
        }
        head
    }

    /// What stands before an instruction that accesses memory.
    #[inline(never)]
    fn prefixes(&mut self, e: Enc, m: Mem) {
        let prefixes = [(e.prefix != 0, e.prefix), (m.is_short(), 0x67), (m.is_gs(), 0x65), (e.lock, 0xf0)];
        prefixes.into_iter().filter(|p| p.0).for_each(|p| self.before(p.1));
    }

    #[inline(always)]
    fn before(&mut self, byte: u8) {
        self.bytes = self.bytes << 8 | u64::from(byte);
        self.n += 1;
    }
}

/// ModRM, SIB and displacement, the first byte lowest, and their length, at most 6. What is above is not wanted.
#[inline(always)]
fn modrm(reg: u8, rm: Rm) -> (u64, usize) {
    match rm {
        Rm::Reg(r) => ((0xc0 | (reg & 7) << 3 | r & 7).into(), 1),
        Rm::Mem(m) => memory(reg, m).1,
    }
}

/// [`extension`] as two bits and [`modrm`] of an operand in memory.
#[inline(always)]
fn memory(reg: u8, m: Mem) -> (u8, (u64, usize)) {
    let reg = u64::from(reg & 7) << 3;
    let disp = m.0 & 0xffff_ffff;
    let (sib, x) = (m.0 >> part::SIB & 0xff, (m.0 >> part::X) as u8 & 1);
    if m.0 & part::NO_BASE != 0 {
        // No base: SIB with base 5 and mod 0 means a bare 32-bit displacement.
        return (x << 1, (reg | 4 | (sib | 5) << 8 | disp << 16, 6));
    }
    let (low, b) = (m.0 >> part::BASE & 7, (m.0 >> part::BASE) as u8 >> 3 & 1);
    // RBP and R13 as base have no form without a displacement.
    let (mode, wide) = match m.disp() {
        0 if low != 5 => (0x00, 0),
        -128..=127 => (0x40, 1),
        _ => (0x80, 4),
    };
    let tail = if m.0 & part::INDEX == 0 && low != 4 {
        (mode | reg | low | disp << 8, 1 + wide)
    } else {
        (mode | reg | 4 | (sib | low) << 8 | disp << 16, 2 + wide)
    };
    (x << 1 | b, tail)
}

/// REX.X and REX.B of an operand.
fn extension(rm: Rm) -> (u8, u8) {
    match rm {
        Rm::Reg(r) => (0, r >> 3 & 1),
        Rm::Mem(m) => {
            let b = if m.0 & part::NO_BASE == 0 { (m.0 >> part::BASE) as u8 >> 3 & 1 } else { 0 };
            ((m.0 >> part::X) as u8 & 1, b)
        }
    }
}
