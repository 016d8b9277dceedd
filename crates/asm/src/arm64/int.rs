//! Data processing on general registers.

use super::{Cond, Extend, Imm12, LogicImm, Number, Reg, Shift, Sz};

/// Add and subtract; `S` forms set the flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Arith {
    Add = 0,
    Adds = 1,
    Sub = 2,
    Subs = 3,
}

/// Logical operations; the `N` bit inverts the second operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Logic {
    And = 0,
    Bic = 1,
    Orr = 2,
    Orn = 3,
    Eor = 4,
    Eon = 5,
    Ands = 6,
    Bics = 7,
}

#[inline]
fn dnm(d: Reg, n: Reg, m: Reg) -> u32 {
    m.n() << 16 | n.n() << 5 | d.n()
}

/// add/adds/sub/subs immediate. Register 31: `d` is SP without S, ZR with; `n` is SP.
pub fn arith_imm(op: Arith, sz: Sz, d: Reg, n: Reg, imm: Imm12) -> u32 {
    sz.sf() | (op as u32) << 29 | 0x1100_0000 | imm.field() | n.n() << 5 | d.n()
}

/// add/adds/sub/subs shifted register; the amount is taken modulo the size.
pub fn arith(op: Arith, sz: Sz, d: Reg, n: Reg, m: Reg, shift: Shift, amount: u32) -> u32 {
    debug_assert!(shift != Shift::Ror);
    sz.sf() | (op as u32) << 29 | 0x0b00_0000 | (shift as u32) << 22 | dnm(d, n, m) | (amount & (sz.bits() - 1)) << 10
}

/// add/adds/sub/subs extended register, shifted left by 0..=4.
pub fn arith_ext(op: Arith, sz: Sz, d: Reg, n: Reg, m: Reg, ext: Extend, amount: u32) -> u32 {
    sz.sf() | (op as u32) << 29 | 0x0b20_0000 | (ext as u32) << 13 | amount.min(4) << 10 | dnm(d, n, m)
}

/// adc, adcs, sbc, sbcs.
pub fn carry(op: Arith, sz: Sz, d: Reg, n: Reg, m: Reg) -> u32 {
    sz.sf() | (op as u32) << 29 | 0x1a00_0000 | dnm(d, n, m)
}

/// Logical, shifted register; the amount is taken modulo the size.
pub fn logic(op: Logic, sz: Sz, d: Reg, n: Reg, m: Reg, shift: Shift, amount: u32) -> u32 {
    let (opc, inv) = ((op as u32) >> 1, op as u32 & 1);
    sz.sf()
        | opc << 29
        | 0x0a00_0000
        | (shift as u32) << 22
        | inv << 21
        | dnm(d, n, m)
        | (amount & (sz.bits() - 1)) << 10
}

/// and/orr/eor/ands with a bitmask. `None` for the inverting operations. `d` is SP except for ands.
pub fn logic_imm(op: Logic, sz: Sz, d: Reg, n: Reg, imm: LogicImm) -> Option<u32> {
    if op as u32 & 1 != 0 || (sz == Sz::W && imm.field() & 1 << 22 != 0) {
        return None;
    }
    Some(sz.sf() | (op as u32 >> 1) << 29 | 0x1200_0000 | imm.field() | n.n() << 5 | d.n())
}

/// movz: `imm << 16 * half`.
pub fn movz(sz: Sz, d: Reg, imm: u16, half: u32) -> u32 {
    sz.sf() | 0x5280_0000 | (half & 3) << 21 | u32::from(imm) << 5 | d.n()
}
/// movn: `!(imm << 16 * half)`.
pub fn movn(sz: Sz, d: Reg, imm: u16, half: u32) -> u32 {
    sz.sf() | 0x1280_0000 | (half & 3) << 21 | u32::from(imm) << 5 | d.n()
}
/// movk: replaces 16 bits.
pub fn movk(sz: Sz, d: Reg, imm: u16, half: u32) -> u32 {
    sz.sf() | 0x7280_0000 | (half & 3) << 21 | u32::from(imm) << 5 | d.n()
}

/// The shortest sequence for a constant: one to four words.
pub fn mov_imm(sz: Sz, d: Reg, n: u64) -> impl Iterator<Item = u32> {
    let n = if sz == Sz::W { n & 0xffff_ffff } else { n };
    let halves = sz.bits() / 16;
    let half = |k: u32| (n >> (16 * k)) as u16;
    let zeros = (0..halves).filter(|&k| half(k) == 0).count();
    let ones = (0..halves).filter(|&k| half(k) == 0xffff).count();
    let mut words = [0u32; 4];
    let mut len = 0;
    let mut put = |w: u32| {
        words[len] = w;
        len += 1;
    };
    let bitmask = LogicImm::new(sz, n).and_then(|imm| logic_imm(Logic::Orr, sz, d, super::ZR, imm));
    // A narrow unsigned number in X: W forms clear the upper half.
    let narrow = sz == Sz::X && n >> 32 == 0;
    if n == 0 {
        put(movz(Sz::W, d, 0, 0));
    } else if halves as usize - zeros.max(ones) <= 1 {
        if zeros >= ones {
            let k = (0..halves).find(|&k| half(k) != 0).unwrap_or(0);
            put(movz(sz, d, half(k), k));
        } else {
            let k = (0..halves).find(|&k| half(k) != 0xffff).unwrap_or(0);
            put(movn(sz, d, !half(k), k));
        }
    } else if let Some(w) = bitmask {
        put(w);
    } else if narrow && (n >> 16 == 0xffff || n & 0xffff == 0xffff) {
        let k = u32::from(n & 0xffff == 0xffff);
        put(movn(Sz::W, d, !half(k), k));
    } else {
        let fill = if ones > zeros { 0xffff } else { 0 };
        let mut first = true;
        for k in 0..halves {
            if half(k) == fill {
                continue;
            }
            put(match (first, fill) {
                (true, 0) => movz(sz, d, half(k), k),
                (true, _) => movn(sz, d, !half(k), k),
                _ => movk(sz, d, half(k), k),
            });
            first = false;
        }
    }
    words.into_iter().take(len)
}

/// Bit-field moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Bitfield {
    Sbfm = 0,
    Bfm = 1,
    Ubfm = 2,
}

/// sbfm/bfm/ubfm; both numbers modulo the size.
pub fn bitfield(op: Bitfield, sz: Sz, d: Reg, n: Reg, immr: u32, imms: u32) -> u32 {
    let m = sz.bits() - 1;
    sz.sf()
        | (op as u32) << 29
        | 0x1300_0000
        | (sz as u32) << 22
        | (immr & m) << 16
        | (imms & m) << 10
        | n.n() << 5
        | d.n()
}
/// lsl by a constant.
pub fn lsl_imm(sz: Sz, d: Reg, n: Reg, by: u32) -> u32 {
    let by = by & (sz.bits() - 1);
    bitfield(Bitfield::Ubfm, sz, d, n, sz.bits() - by, sz.bits() - 1 - by)
}
/// lsr by a constant.
pub fn lsr_imm(sz: Sz, d: Reg, n: Reg, by: u32) -> u32 {
    bitfield(Bitfield::Ubfm, sz, d, n, by, sz.bits() - 1)
}
/// asr by a constant.
pub fn asr_imm(sz: Sz, d: Reg, n: Reg, by: u32) -> u32 {
    bitfield(Bitfield::Sbfm, sz, d, n, by, sz.bits() - 1)
}
/// Unsigned field of `width` (1..) bits at `lsb`.
pub fn ubfx(sz: Sz, d: Reg, n: Reg, lsb: u32, width: u32) -> u32 {
    bitfield(Bitfield::Ubfm, sz, d, n, lsb, lsb + width - 1)
}
/// Signed field.
pub fn sbfx(sz: Sz, d: Reg, n: Reg, lsb: u32, width: u32) -> u32 {
    bitfield(Bitfield::Sbfm, sz, d, n, lsb, lsb + width - 1)
}
/// The low `width` bits of n at `lsb` in zeros.
pub fn ubfiz(sz: Sz, d: Reg, n: Reg, lsb: u32, width: u32) -> u32 {
    bitfield(Bitfield::Ubfm, sz, d, n, sz.bits() - lsb, width - 1)
}
/// The low `width` bits of n inserted into d at `lsb`.
pub fn bfi(sz: Sz, d: Reg, n: Reg, lsb: u32, width: u32) -> u32 {
    bitfield(Bitfield::Bfm, sz, d, n, sz.bits() - lsb, width - 1)
}
/// The field of n at `lsb` into the low bits of d.
pub fn bfxil(sz: Sz, d: Reg, n: Reg, lsb: u32, width: u32) -> u32 {
    bitfield(Bitfield::Bfm, sz, d, n, lsb, lsb + width - 1)
}
/// Bits of n:m from `lsb` on.
pub fn extr(sz: Sz, d: Reg, n: Reg, m: Reg, lsb: u32) -> u32 {
    sz.sf() | 0x1380_0000 | (sz as u32) << 22 | dnm(d, n, m) | (lsb & (sz.bits() - 1)) << 10
}

/// Conditional select: n when the condition holds, else m, m + 1, !m or -m.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Csel {
    Csel,
    Csinc,
    Csinv,
    Csneg,
}

/// csel and relatives.
pub fn csel(op: Csel, sz: Sz, d: Reg, n: Reg, m: Reg, cond: Cond) -> u32 {
    let (o, o2) = ((op as u32) >> 1, op as u32 & 1);
    sz.sf() | o << 30 | 0x1a80_0000 | cond.n() << 12 | o2 << 10 | dnm(d, n, m)
}
/// 1 when the condition holds, else 0.
pub fn cset(d: Reg, cond: Cond) -> u32 {
    csel(Csel::Csinc, Sz::W, d, super::ZR, super::ZR, cond.inverse())
}
/// All ones when the condition holds, else 0.
pub fn csetm(sz: Sz, d: Reg, cond: Cond) -> u32 {
    csel(Csel::Csinv, sz, d, super::ZR, super::ZR, cond.inverse())
}
/// ccmp (`negative` false) and ccmn: compares when the condition holds, else the flags are `nzcv`.
pub fn ccmp(negative: bool, sz: Sz, n: Reg, m: Reg, nzcv: u32, cond: Cond) -> u32 {
    sz.sf() | u32::from(!negative) << 30 | 0x3a40_0000 | m.n() << 16 | cond.n() << 12 | n.n() << 5 | nzcv & 15
}
/// The same with a 5-bit immediate (taken modulo 32).
pub fn ccmp_imm(negative: bool, sz: Sz, n: Reg, imm: u32, nzcv: u32, cond: Cond) -> u32 {
    ccmp(negative, sz, n, super::x(imm as u8 & 31), nzcv, cond) | 1 << 11
}

/// Operations of two registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Two {
    Udiv = 2,
    Sdiv = 3,
    Lslv = 8,
    Lsrv = 9,
    Asrv = 10,
    Rorv = 11,
}
/// udiv, sdiv, shifts by register.
pub fn two(op: Two, sz: Sz, d: Reg, n: Reg, m: Reg) -> u32 {
    sz.sf() | 0x1ac0_0000 | (op as u32) << 10 | dnm(d, n, m)
}

/// Operations of one register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum One {
    Rbit = 0,
    Rev16 = 1,
    /// Bytes of every 32-bit word.
    Rev32 = 2,
    /// X only.
    Rev64 = 3,
    Clz = 4,
    Cls = 5,
}
/// rbit, rev*, clz, cls.
pub fn one(op: One, sz: Sz, d: Reg, n: Reg) -> u32 {
    sz.sf() | 0x5ac0_0000 | (op as u32) << 10 | n.n() << 5 | d.n()
}

/// Multiplications of three source registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Three {
    /// n * m + a.
    Madd,
    /// a - n * m.
    Msub,
    /// 32 * 32 + 64 bits, signed.
    Smaddl,
    Umaddl,
    /// High half of 64 * 64 bits, signed; `a` is ignored.
    Smulh,
    Umulh,
}
/// madd and relatives; `sz` counts for madd and msub.
pub fn three(op: Three, sz: Sz, d: Reg, n: Reg, m: Reg, a: Reg) -> u32 {
    let (base, a) = match op {
        Three::Madd => (sz.sf() | 0x1b00_0000, a),
        Three::Msub => (sz.sf() | 0x1b00_8000, a),
        Three::Smaddl => (0x9b20_0000, a),
        Three::Umaddl => (0x9ba0_0000, a),
        Three::Smulh => (0x9b40_0000, super::ZR),
        Three::Umulh => (0x9bc0_0000, super::ZR),
    };
    base | a.n() << 10 | dnm(d, n, m)
}

/// rmif: rotates n right by `by` and puts bits 3:0 into those of NZCV that `mask` names (FEAT_FlagM).
pub fn rmif(n: Reg, by: u32, mask: u32) -> u32 {
    0xba00_0400 | (by & 63) << 15 | n.n() << 5 | mask & 15
}
/// setf8 / setf16: N, Z, V from the low bits (FEAT_FlagM); C stays.
pub fn setf(bits16: bool, n: Reg) -> u32 {
    0x3a00_080d | u32::from(bits16) << 14 | n.n() << 5
}
/// Inverts C (FEAT_FlagM).
pub const CFINV: u32 = 0xd500_401f;

/// crc32c: `size` is log2 of the bytes of m that are taken in (FEAT_CRC32).
pub fn crc32c(size: u32, d: Reg, n: Reg, m: Reg) -> u32 {
    u32::from(size == 3) << 31 | 0x1ac0_5000 | (size & 3) << 10 | m.n() << 16 | n.n() << 5 | d.n()
}
