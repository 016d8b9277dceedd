//! Loads, stores, atomics.

use super::{Extend, Number, Reg, Simm9, V};

/// What a load or store instruction moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Access {
    Strb,
    Ldrb,
    /// Sign-extended to X, to W.
    LdrsbX,
    LdrsbW,
    Strh,
    Ldrh,
    LdrshX,
    LdrshW,
    StrW,
    LdrW,
    Ldrsw,
    StrX,
    LdrX,
    StrVb,
    LdrVb,
    StrVh,
    LdrVh,
    StrS,
    LdrS,
    StrD,
    LdrD,
    StrQ,
    LdrQ,
}

impl Access {
    /// size, V, opc of the encoding class "load/store register".
    fn bits(self) -> (u32, u32, u32) {
        match self {
            Access::Strb => (0, 0, 0),
            Access::Ldrb => (0, 0, 1),
            Access::LdrsbX => (0, 0, 2),
            Access::LdrsbW => (0, 0, 3),
            Access::Strh => (1, 0, 0),
            Access::Ldrh => (1, 0, 1),
            Access::LdrshX => (1, 0, 2),
            Access::LdrshW => (1, 0, 3),
            Access::StrW => (2, 0, 0),
            Access::LdrW => (2, 0, 1),
            Access::Ldrsw => (2, 0, 2),
            Access::StrX => (3, 0, 0),
            Access::LdrX => (3, 0, 1),
            Access::StrVb => (0, 1, 0),
            Access::LdrVb => (0, 1, 1),
            Access::StrVh => (1, 1, 0),
            Access::LdrVh => (1, 1, 1),
            Access::StrS => (2, 1, 0),
            Access::LdrS => (2, 1, 1),
            Access::StrD => (3, 1, 0),
            Access::LdrD => (3, 1, 1),
            Access::StrQ => (0, 1, 2),
            Access::LdrQ => (0, 1, 3),
        }
    }
    /// log2 of the number of bytes.
    pub fn scale(self) -> u32 {
        match self {
            Access::StrQ | Access::LdrQ => 4,
            _ => self.bits().0,
        }
    }
    fn word(self) -> u32 {
        let (size, v, opc) = self.bits();
        size << 30 | 0x3800_0000 | v << 26 | opc << 22
    }
}

#[inline]
fn tn(t: impl Number, n: Reg) -> u32 {
    n.n() << 5 | t.n()
}

/// Base and byte offset: scaled unsigned or unscaled signed, whichever fits.
pub fn offset(op: Access, t: impl Number, n: Reg, off: i64) -> Option<u32> {
    let scale = op.scale();
    if off >= 0 && off & ((1 << scale) - 1) == 0 && off >> scale < 4096 {
        return Some(op.word() | 1 << 24 | ((off >> scale) as u32) << 10 | tn(t, n));
    }
    Some(op.word() | Simm9::new(off)?.field() | tn(t, n))
}
/// Base and index register (uxtw, uxtx = lsl, sxtw, sxtx), the index scaled by the access size or not.
pub fn index(op: Access, t: impl Number, n: Reg, m: Reg, ext: Extend, scaled: bool) -> u32 {
    let ext = ext as u32 | 2;
    op.word() | 0x0020_0800 | m.n() << 16 | ext << 13 | u32::from(scaled) << 12 | tn(t, n)
}
/// Pre-index: n += off, then the access.
pub fn pre(op: Access, t: impl Number, n: Reg, off: Simm9) -> u32 {
    op.word() | 0xc00 | off.field() | tn(t, n)
}
/// Post-index: the access, then n += off.
pub fn post(op: Access, t: impl Number, n: Reg, off: Simm9) -> u32 {
    op.word() | 0x400 | off.field() | tn(t, n)
}

/// Literal loads; [`crate::buffer::Field::Arm19`].
pub fn literal_x(t: Reg) -> u32 {
    0x5800_0000 | t.n()
}
/// W literal.
pub fn literal_w(t: Reg) -> u32 {
    0x1800_0000 | t.n()
}
/// Q literal.
pub fn literal_q(t: V) -> u32 {
    0x9c00_0000 | t.n()
}

/// What a pair instruction moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Pair {
    W,
    X,
    D,
    Q,
}
/// Addressing of a pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Mode {
    Post = 1,
    Offset = 2,
    Pre = 3,
}
/// ldp and stp; the offset is in bytes and has to be a multiple of the size within 7 signed bits.
pub fn pair<T: Number>(load: bool, what: Pair, t1: T, t2: T, n: Reg, off: i64, mode: Mode) -> Option<u32> {
    let (opc, v, scale) = match what {
        Pair::W => (0, 0, 2),
        Pair::X => (2, 0, 3),
        Pair::D => (1, 1, 3),
        Pair::Q => (2, 1, 4),
    };
    let k = off >> scale;
    if k << scale != off || !(-64..64).contains(&k) {
        return None;
    }
    Some(
        opc << 30
            | 0x2800_0000
            | v << 26
            | (mode as u32) << 23
            | u32::from(load) << 22
            | (k as u32 & 0x7f) << 15
            | t2.n() << 10
            | tn(t1, n),
    )
}

/// Width of an ordered or atomic access: log2 of the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Width {
    B = 0,
    H = 1,
    W = 2,
    X = 3,
}

/// Ordered loads and stores without offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Ordered {
    Ldar = 0x08df_fc00,
    Stlr = 0x089f_fc00,
    /// FEAT_LRCPC.
    Ldapr = 0x38bf_c000,
    Ldxr = 0x085f_7c00,
    Ldaxr = 0x085f_fc00,
}
/// ldar, stlr, ldapr, ldxr, ldaxr.
pub fn ordered(op: Ordered, w: Width, t: Reg, n: Reg) -> u32 {
    (w as u32) << 30 | op as u32 | tn(t, n)
}
/// ldapur (load) and stlur with an unscaled offset (FEAT_LRCPC2).
pub fn ordered_off(load: bool, w: Width, t: Reg, n: Reg, off: Simm9) -> u32 {
    (w as u32) << 30 | 0x1900_0000 | u32::from(load) << 22 | off.field() | tn(t, n)
}
/// stxr, with `release` stlxr: s becomes 0 when the store happened.
pub fn stxr(release: bool, w: Width, s: Reg, t: Reg, n: Reg) -> u32 {
    (w as u32) << 30 | 0x0800_7c00 | u32::from(release) << 15 | s.n() << 16 | tn(t, n)
}
/// ldxp, with `acquire` ldaxp, of two X registers.
pub fn ldxp(acquire: bool, t1: Reg, t2: Reg, n: Reg) -> u32 {
    0xc87f_0000 | u32::from(acquire) << 15 | t2.n() << 10 | tn(t1, n)
}
/// stxp, with `release` stlxp, of two X registers.
pub fn stxp(release: bool, s: Reg, t1: Reg, t2: Reg, n: Reg) -> u32 {
    0xc820_0000 | u32::from(release) << 15 | s.n() << 16 | t2.n() << 10 | tn(t1, n)
}

/// Read-modify-write instructions of FEAT_LSE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Rmw {
    Ldadd = 0,
    Ldclr = 1,
    Ldeor = 2,
    Ldset = 3,
    Swp = 8,
}
/// The acquire and release form (`al`): t = old value of memory, s the operand.
pub fn rmw(op: Rmw, w: Width, s: Reg, t: Reg, n: Reg) -> u32 {
    (w as u32) << 30 | 0x38e0_0000 | s.n() << 16 | (op as u32) << 12 | tn(t, n)
}
/// casal: s is compared and receives the old value, t is stored (FEAT_LSE).
pub fn casal(w: Width, s: Reg, t: Reg, n: Reg) -> u32 {
    (w as u32) << 30 | 0x08e0_fc00 | s.n() << 16 | tn(t, n)
}
/// caspal of register pairs s, s + 1 and t, t + 1 (X); `None` when one is odd (FEAT_LSE).
pub fn caspal(s: Reg, t: Reg, n: Reg) -> Option<u32> {
    ((s.n() | t.n()) & 1 == 0).then_some(0x4860_fc00 | s.n() << 16 | tn(t, n))
}
