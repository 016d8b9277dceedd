//! Slots: the guest state as numbered variables. The IR and the emitters know guest registers only by these numbers.

use crate::ty::Ty;

/// A numbered variable of the guest state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Slot(pub u8);

/// [`Slot::ty`], up to a power of two.
const TYPES: [Ty; 128] = {
    let mut t = [Ty::I16; 128];
    let mut n = 0;
    while n < 128 {
        t[n] = match n {
            0..=15 | 32..=37 | 50 | 51 | 70 | 71 => Ty::I64,
            16..=31 | 54..=69 => Ty::V128,
            44 | 45 => Ty::I32,
            48 => Ty::I8,
            _ => Ty::I16,
        };
        n += 1;
    }
    t
};

impl Slot {
    /// General register `n` (0..16), 64 bits.
    pub const fn gpr(n: usize) -> Slot {
        Slot(n as u8 & 15)
    }
    /// Vector register `n` (0..16), 128 bits.
    pub const fn xmm(n: usize) -> Slot {
        Slot(16 + (n as u8 & 15))
    }
    /// Base of segment `n` (0..6), 64 bits.
    pub const fn seg_base(n: usize) -> Slot {
        Slot(32 + n as u8)
    }
    /// Selector of segment `n` (0..6), 16 bits.
    pub const fn seg_sel(n: usize) -> Slot {
        Slot(38 + n as u8)
    }
    /// EFLAGS without the arithmetic flags, 32 bits.
    pub const SYS: Slot = Slot(44);
    /// MXCSR, 32 bits.
    pub const MXCSR: Slot = Slot(45);
    /// x87 control word, 16 bits.
    pub const FCW: Slot = Slot(46);
    /// x87 status word, 16 bits.
    pub const FSW: Slot = Slot(47);
    /// x87 abridged tags, 8 bits: bit n set when physical register n is valid.
    pub const FTAG: Slot = Slot(48);
    /// Last x87 opcode, 16 bits.
    pub const FOP: Slot = Slot(49);
    /// Last x87 instruction address, 64 bits.
    pub const FIP: Slot = Slot(50);
    /// Last x87 operand address, 64 bits.
    pub const FDP: Slot = Slot(51);
    /// Last x87 instruction selector, 16 bits.
    pub const FCS: Slot = Slot(52);
    /// Last x87 operand selector, 16 bits.
    pub const FDS: Slot = Slot(53);
    /// Upper half of vector register `n` (0..16): bits 128 to 255 of YMM, 128 bits.
    pub const fn ymm(n: usize) -> Slot {
        Slot(Slot::YMM_FIRST + (n as u8 & 15))
    }
    /// The first of those.
    pub const YMM_FIRST: u8 = 54;
    /// Where FS (4) or GS (5) ends, negated, 64 bits: [`crate::state::GuestState::seg_end`].
    pub const fn seg_end(n: usize) -> Slot {
        Slot(66 + n as u8)
    }
    /// Number of slots.
    pub const COUNT: u8 = 72;

    /// The widest type that may be read or written.
    #[inline(always)]
    pub const fn ty(self) -> Ty {
        TYPES[self.0 as usize % TYPES.len()]
    }

    /// Name in the text form.
    pub fn name(self) -> String {
        const NAMED: [&str; 10] = ["sys", "mxcsr", "fcw", "fsw", "ftag", "fop", "fip", "fdp", "fcs", "fds"];
        match self.0 {
            n @ 0..=15 => format!("g{n}"),
            n @ 16..=31 => format!("x{}", n - 16),
            n @ 32..=37 => format!("base{}", n - 32),
            n @ 38..=43 => format!("sel{}", n - 38),
            n @ 54..=69 => format!("y{}", n - 54),
            n @ 70..=71 => format!("end{}", n - 66),
            n => NAMED.get(usize::from(n) - 44).copied().unwrap_or("?").to_string(),
        }
    }

    /// The slot of that name.
    pub fn parse(name: &str) -> Option<Slot> {
        (0..Slot::COUNT).map(Slot).find(|s| s.name() == name)
    }
}
