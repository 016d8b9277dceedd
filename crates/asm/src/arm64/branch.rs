//! Branches, system registers, barriers. Displacements are left zero: they are fixups of the buffer.

use super::{Cond, Number, Reg, Sz};

/// b; [`crate::buffer::Field::Arm26`].
pub const B: u32 = 0x1400_0000;
/// bl; [`crate::buffer::Field::Arm26`].
pub const BL: u32 = 0x9400_0000;
/// nop.
pub const NOP: u32 = 0xd503_201f;
/// Instruction barrier.
pub const ISB: u32 = 0xd503_3fdf;
/// Full barrier, inner shareable.
pub const DMB_ISH: u32 = 0xd503_3bbf;
/// Loads before, loads and stores after.
pub const DMB_ISHLD: u32 = 0xd503_39bf;
/// Stores before, stores after.
pub const DMB_ISHST: u32 = 0xd503_3abf;

/// b with a displacement in words; `None` when it does not fit.
pub fn b_to(link: bool, words: i64) -> Option<u32> {
    (-(1 << 25)..1 << 25).contains(&words).then_some((if link { BL } else { B }) | words as u32 & 0x03ff_ffff)
}
/// b.cond; [`crate::buffer::Field::Arm19`].
pub fn b_cond(cond: Cond) -> u32 {
    0x5400_0000 | cond.n()
}
/// cbz / cbnz; [`crate::buffer::Field::Arm19`].
pub fn cbz(nonzero: bool, sz: Sz, t: Reg) -> u32 {
    sz.sf() | 0x3400_0000 | u32::from(nonzero) << 24 | t.n()
}
/// tbz / tbnz of bit 0..=63; [`crate::buffer::Field::Arm14`].
pub fn tbz(nonzero: bool, t: Reg, bit: u32) -> u32 {
    (bit & 32) << 26 | 0x3600_0000 | u32::from(nonzero) << 24 | (bit & 31) << 19 | t.n()
}
/// br.
pub fn br(n: Reg) -> u32 {
    0xd61f_0000 | n.n() << 5
}
/// blr.
pub fn blr(n: Reg) -> u32 {
    0xd63f_0000 | n.n() << 5
}
/// ret through a register.
pub fn ret(n: Reg) -> u32 {
    0xd65f_0000 | n.n() << 5
}
/// adr; [`crate::buffer::Field::Adr`].
pub fn adr(d: Reg) -> u32 {
    0x1000_0000 | d.n()
}
/// adrp with a displacement in 4 KiB pages; `None` when it does not fit.
pub fn adrp(d: Reg, pages: i64) -> Option<u32> {
    (-(1 << 20)..1 << 20)
        .contains(&pages)
        .then_some(0x9000_0000 | (pages as u32 & 3) << 29 | (pages as u32 >> 2 & 0x7_ffff) << 5 | d.n())
}
/// brk.
pub fn brk(imm: u16) -> u32 {
    0xd420_0000 | u32::from(imm) << 5
}

/// System registers that user code may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum SysReg {
    Nzcv = 0x1b_4200,
    Fpcr = 0x1b_4400,
    Fpsr = 0x1b_4420,
}
/// t = system register.
pub fn mrs(t: Reg, reg: SysReg) -> u32 {
    0xd520_0000 | reg as u32 | t.n()
}
/// System register = t.
pub fn msr(reg: SysReg, t: Reg) -> u32 {
    0xd500_0000 | reg as u32 | t.n()
}
