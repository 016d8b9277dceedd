//! The guest's x87 state in the form that translated code on AArch64 works on.
//!
//! Problem: arithmetic on 80-bit numbers is short only when the usual case needs no looking at zeros, infinities, NaNs, tags and control bits. Approach:
//! while the state is *live* it is kept in [`Live`] in a form of its own. Numbers of the middle exponents are a significand and a word with the
//! sign on top and the exponent, less [`BIAS`], below; all others are *boxed*: their word has bit [`BOXED`] set, so that sums and
//! differences of such words leave the range [`EXPONENTS`] or the distance that the fast ways allow, and the significand lacks its top bits. Tags are bits
//! relative to the top of the stack, so that one comparison at a block's entry says whether every register that the block reads
//! is there and every one that it pushes to is free. The registers are in memory in physical order; the stack never wraps while it is live (an empty
//! stack with TOP = 0 counts as TOP = 8).
//!
//! Live means: all exceptions masked and none pending, rounding to nearest. Inside a block rounding may be any for a while: between the
//! control words that casts to integers are wrapped in. Code is for one [`Significand`] that results are rounded to; there is a word of tags for each, of which
//! those of the other precisions say that nothing is there. The precision flag and C1 are kept as what they
//! are computed from. Everything else of the state stays where it is, in the guest state.
//!
//! Invariant: [`Live::enter`] followed by [`Live::leave`] changes no bit of the architectural state.

use demotic_ir::ops::{Op, X87Fn};
use demotic_ir::state::X87;
use demotic_ir::ty::Ty;

/// What is subtracted from a biased exponent.
pub const BIAS: u64 = 0x3000;
/// Bits of a number's word that are zero when it is not boxed: the exponent has 13.
pub const EXPONENTS: u64 = 0x7fff_ffff_ffff_e000;
/// Bit number that marks what is not an ordinary number of the middle exponents.
pub const BOXED: u32 = 40;
/// Bit of the sign in a boxed word; below it are two bits of the significand and the exponent.
pub const BOXED_SIGN: u32 = 17;
/// A boxed word without its mark and sign; zero, with a significand of zero, for the numbers +0 and -0.
pub const BOXED_REST: u64 = (1 << BOXED_SIGN) - 1;
/// [`Live::masks`] while the state is not live: nothing there to read, nothing free to push to.
pub const NOT_LIVE: u64 = 0xff;
/// Bit of [`Live::masks`] that is the tag of ST(0).
pub const TOP_TAG: u32 = 8;
/// Bits of the control word that decide whether the state can be live: masks, precision, rounding.
pub const CONTROL: u16 = 0xf3f;
/// The rounding control in the control word: 0 to nearest, 1 down, 2 up, 3 towards zero.
pub const ROUNDING: u16 = 3 << 10;

/// What precision control rounds the significands of sums, products and quotients to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum Significand {
    /// 64 bits: what Linux programs start with.
    #[default]
    Extended,
    /// 53 bits: what Windows programs start with.
    Double,
    /// 24 bits: what some graphics libraries ask for.
    Single,
}

impl Significand {
    /// All of them, by number.
    pub const ALL: [Significand; 3] = [Significand::Extended, Significand::Double, Significand::Single];

    /// The one that a control word asks for.
    pub fn of(cw: u16) -> Significand {
        match cw >> 8 & 3 {
            2 => Significand::Double,
            0 => Significand::Single,
            _ => Significand::Extended,
        }
    }

    /// Bits of a significand.
    pub fn bits(self) -> u32 {
        [64, 53, 24][self as usize]
    }

    /// What the bits [`CONTROL`] of the control word have to be for code of this precision.
    pub fn control(self) -> u16 {
        0x3f | [3, 2, 0][self as usize] << 8
    }
}

const PE: u16 = 0x20;
const ES: u16 = 0x80;
const C1: u16 = 0x200;

/// The x87 state while it is live.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Live {
    /// C1 is set when the two differ: a significand before and after rounding.
    pub c1: [u64; 2],
    /// Address of ST(0) in `regs`.
    pub base: u64,
    /// For code of each [`Significand`]: bit 8 + i is set when ST(i) is not empty, for i from -8 to 7. Bits of registers below R0 are set, above R7 clear.
    pub masks: [u64; 3],
    /// Not zero when a result was inexact.
    pub inexact: u64,
    /// 1 while the state is here.
    pub live: u64,
    /// The [`Significand`] meanwhile.
    pub precision: u64,
    /// R0 to R7: significand and word.
    pub regs: [[u64; 2]; 8],
}

impl Default for Live {
    fn default() -> Live {
        Live { c1: [0; 2], base: 0, masks: [NOT_LIVE; 3], inexact: 0, live: 0, precision: 0, regs: [[0; 2]; 8] }
    }
}

/// An 80-bit pattern as it is kept.
#[inline]
pub fn pack(mant: u64, se: u16) -> [u64; 2] {
    let (sign, exponent) = (u64::from(se >> 15), u64::from(se & 0x7fff));
    let e = exponent.wrapping_sub(BIAS);
    if mant >> 63 != 0 && e & EXPONENTS == 0 && e >> 63 == 0 {
        return [mant, sign << 63 | e];
    }
    [mant >> 2, 1 << BOXED | sign << BOXED_SIGN | (mant & 3) << 15 | exponent]
}

/// The reverse.
#[inline]
pub fn unpack([m, s]: [u64; 2]) -> (u64, u16) {
    if s >> BOXED & 1 == 0 {
        return (m, ((s >> 63) << 15 | ((s & 0x1fff) + BIAS)) as u16);
    }
    (m << 2 | (s >> 15 & 3), ((s >> BOXED_SIGN & 1) << 15 | (s & 0x7fff)) as u16)
}

/// Where an operand comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum From {
    /// ST(i).
    St(u8),
    /// A real number in memory: i32, i64 (the images of binary32 and binary64) or f80.
    Real(Ty),
    /// A signed integer in memory.
    Int(Ty),
}

/// An instruction that live state may go through without leaving; those that fail have no effect on TOP and tags that the code does not know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Insn {
    /// fwait.
    Wait,
    /// fld, fild.
    Load(From),
    /// fst, fstp m32 m64 m80.
    Store {
        /// i32, i64 or f80.
        ty: Ty,
        /// Pops.
        pops: bool,
    },
    /// fist, fistp, fisttp.
    StoreInt {
        /// Width.
        ty: Ty,
        /// Truncates whatever the control word says.
        truncates: bool,
        /// Pops.
        pops: bool,
    },
    /// fst, fstp st(i).
    StoreSt {
        /// i.
        to: u8,
        /// Pops.
        pops: bool,
    },
    /// Addition, subtraction, multiplication, division.
    Arith {
        /// The operation on the destination and the other operand.
        op: Op,
        /// On the other operand and the destination.
        reversed: bool,
        /// The destination.
        to: u8,
        /// The other operand.
        from: From,
        /// Pops.
        pops: bool,
    },
    /// Comparison of ST(0).
    Compare {
        /// Quiet NaNs are not invalid.
        quiet: bool,
        /// With what.
        with: From,
        /// How many registers it pops.
        pops: u8,
        /// The result goes to EFLAGS.
        flags: bool,
    },
    /// fxch.
    Exchange(u8),
    /// One that changes ST(0) or pushes a constant.
    Function(X87Fn),
    /// fldcw.
    LoadControl,
}

impl Insn {
    /// The instruction with opcode `op` (D8 to DF) and second byte `code`; below 8 that is the extension of one with an operand in memory.
    pub fn decode(op: u8, code: u8) -> Option<Insn> {
        let (i, row) = (code & 7, code >> 3 & 7);
        let arith = |row: u8, to: u8, from: From, pops: bool, turned: bool| {
            let (op, reversed) = match row {
                0 => (Op::XAdd, false),
                1 => (Op::XMul, false),
                4 | 5 => (Op::XSub, (row == 5) != turned),
                6 | 7 => (Op::XDiv, (row == 7) != turned),
                _ => return Insn::Compare { quiet: false, with: from, pops: row - 2, flags: false },
            };
            Insn::Arith { op, reversed, to, from, pops }
        };
        let compare = |quiet, pops, flags| Insn::Compare { quiet, with: From::St(i), pops, flags };
        let store = |ty, pops| Insn::Store { ty, pops };
        let int = |ty, truncates, pops| Insn::StoreInt { ty, truncates, pops };
        if code < 8 {
            return Some(match (op, code) {
                (0xd8, _) => arith(code, 0, From::Real(Ty::I32), false, false),
                (0xdc, _) => arith(code, 0, From::Real(Ty::I64), false, false),
                (0xda, _) => arith(code, 0, From::Int(Ty::I32), false, false),
                (0xde, _) => arith(code, 0, From::Int(Ty::I16), false, false),
                (0xd9, 0) => Insn::Load(From::Real(Ty::I32)),
                (0xd9, 5) => Insn::LoadControl,
                (0xdd, 0) => Insn::Load(From::Real(Ty::I64)),
                (0xdb, 5) => Insn::Load(From::Real(Ty::F80)),
                (0xdf, 0) => Insn::Load(From::Int(Ty::I16)),
                (0xdb, 0) => Insn::Load(From::Int(Ty::I32)),
                (0xdf, 5) => Insn::Load(From::Int(Ty::I64)),
                (0xd9, 2 | 3) => store(Ty::I32, code == 3),
                (0xdd, 2 | 3) => store(Ty::I64, code == 3),
                (0xdb, 7) => store(Ty::F80, true),
                (0xdf, 1..=3) => int(Ty::I16, code == 1, code != 2),
                (0xdb, 1..=3) => int(Ty::I32, code == 1, code != 2),
                (0xdd, 1) => int(Ty::I64, true, true),
                (0xdf, 7) => int(Ty::I64, false, true),
                _ => return None,
            });
        }
        Some(match (op, row) {
            (0x9b, _) => Insn::Wait,
            (0xd8, _) => arith(row, 0, From::St(i), false, false),
            (0xdc, 0 | 1 | 4..=7) => arith(row, i, From::St(0), false, true),
            (0xde, 0 | 1 | 4..=7) => arith(row, i, From::St(0), true, true),
            (0xde, 3) if i == 1 => compare(false, 2, false),
            (0xda, 5) if i == 1 => compare(true, 2, false),
            (0xdd, 4 | 5) => compare(true, row - 4, false),
            (0xdb | 0xdf, 5 | 6) => compare(row == 5, u8::from(op == 0xdf), true),
            (0xdd, 2 | 3) => Insn::StoreSt { to: i, pops: row == 3 },
            (0xd9, 0) => Insn::Load(From::St(i)),
            (0xd9, 1) => Insn::Exchange(i),
            (0xd9, _) => Insn::Function(match code {
                0xe0 => X87Fn::Fchs,
                0xe1 => X87Fn::Fabs,
                0xe4 => X87Fn::Ftst,
                0xe5 => X87Fn::Fxam,
                0xe8 => X87Fn::Fld1,
                0xe9 => X87Fn::Fldl2t,
                0xea => X87Fn::Fldl2e,
                0xeb => X87Fn::Fldpi,
                0xec => X87Fn::Fldlg2,
                0xed => X87Fn::Fldln2,
                0xee => X87Fn::Fldz,
                0xf5 => X87Fn::Fprem1,
                0xf8 => X87Fn::Fprem,
                0xfa => X87Fn::Fsqrt,
                0xfc => X87Fn::Frndint,
                0xfd => X87Fn::Fscale,
                _ => return None,
            }),
            _ => return None,
        })
    }

    /// Whether what code does for it on live state is right whatever the rounding control is.
    pub fn takes_any_rounding(self) -> bool {
        match self {
            Insn::Arith { .. } | Insn::LoadControl | Insn::Store { ty: Ty::I32 | Ty::I64, .. } => false,
            Insn::Function(f) => matches!(
                f,
                X87Fn::Fchs | X87Fn::Fabs | X87Fn::Ftst | X87Fn::Fxam | X87Fn::Fld1 | X87Fn::Fldz | X87Fn::Frndint
            ),
            _ => true,
        }
    }
}

impl Live {
    fn first(&self) -> u64 {
        self.regs.as_ptr() as u64
    }

    /// TOP; 8 for an empty stack at 0.
    fn top(&self) -> u32 {
        (self.base.wrapping_sub(self.first()) / 16) as u32
    }

    /// The tags that count.
    fn mask(&mut self) -> &mut u64 {
        &mut self.masks[self.precision as usize % 3]
    }

    fn place(&mut self, top: u32, valid: u8) {
        self.base = self.first() + 16 * u64::from(top);
        *self.mask() = (u64::from(valid) << TOP_TAG | NOT_LIVE) >> top;
    }

    /// Takes over the state, when it is such that it can be live. This structure must not move while it is.
    pub fn enter(&mut self, x: &X87) -> bool {
        if self.live != 0 {
            return true;
        }
        let precision = Significand::of(x.cw);
        if x.cw & CONTROL != precision.control() || x.sw & ES != 0 {
            return false;
        }
        self.precision = precision as u64;
        let top = if x.top() == 0 && x.valid & 1 == 0 { 8 } else { x.top() as u32 };
        self.regs = x.st.map(|v| pack(v.mant, v.se));
        self.place(top, x.valid);
        self.c1 = [u64::from(x.sw & C1), 0];
        self.inexact = 0;
        self.live = 1;
        true
    }

    /// What is here to the architectural state; it stays here, too.
    fn show(&self, x: &mut X87) {
        for (r, &v) in x.st.iter_mut().zip(&self.regs) {
            (r.mant, r.se) = unpack(v);
        }
        let top = self.top();
        let mask = self.masks[self.precision as usize % 3];
        x.set_top(top as usize & 7);
        x.valid = (0..8).filter(|n| mask >> (TOP_TAG + n - top) & 1 != 0).fold(0, |v, n| v | 1 << n);
        x.sw = x.sw & !C1 | if self.c1[0] == self.c1[1] { 0 } else { C1 } | if self.inexact == 0 { 0 } else { PE };
    }

    /// Gives the state back.
    pub fn leave(&mut self, x: &mut X87) {
        if self.live != 0 {
            self.show(x);
            (self.live, self.masks) = (0, [NOT_LIVE; 3]);
        }
    }

    /// Shows the architectural state as it is after `change` (see [`stack`]) to somebody who executes an [`Insn`] on it.
    pub fn open(&self, change: u64, x: &mut X87) {
        let mut now = *self;
        now.base = now.first() + (self.base - self.first());
        now.change_stack(change);
        now.show(x);
    }

    /// Takes the result back; `base` and tags stay as they are, for the code knows what becomes of them.
    pub fn close(&mut self, x: &X87) {
        self.regs = x.st.map(|v| pack(v.mant, v.se));
        self.c1 = [u64::from(x.sw & C1), 0];
        self.inexact = 0;
    }

    fn change_stack(&mut self, change: u64) {
        let [_, set, clear, by] = fields(change);
        let tags = *self.mask() & !u64::from(clear) | u64::from(set);
        let by = by as u8 as i8;
        self.base = self.base.wrapping_add_signed(16 * i64::from(by));
        *self.mask() = if by < 0 { !(!tags << -by) } else { tags >> by };
    }

    /// Does what a place says is still to be done ([`crate::X87`]); `gpr` are the host's registers.
    pub fn apply(&mut self, what: u64, gpr: &[u64; 32]) {
        let reg = |n: u8| gpr[usize::from(n & 31)];
        let b = what.to_le_bytes();
        let slot = |live: &Live, k: u8| (live.top() as usize).wrapping_add_signed(isize::from(k as i8)).min(7);
        match b[7] {
            STACK => self.change_stack(what),
            INEXACT => self.inexact = reg(b[0]),
            C1_ZERO => self.c1 = [0; 2],
            C1_PAIR => self.c1 = [reg(b[0]), self.regs[slot(self, b[1])][0]],
            MOVED => self.base = self.base.wrapping_add_signed(16 * i64::from(b[0] as i8)),
            C1_SPILLED => self.c1[1] = self.regs[slot(self, b[1])][0],
            _ => {
                let k = slot(self, b[2]);
                self.regs[k] = [reg(b[0]), reg(b[1])];
            }
        }
    }
}

const STACK: u8 = 1;
const INEXACT: u8 = 2;
const C1_ZERO: u8 = 3;
const C1_PAIR: u8 = 4;
const REGISTER: u8 = 5;
const C1_SPILLED: u8 = 6;
const MOVED: u8 = 7;

fn fields(change: u64) -> [u32; 4] {
    [(change >> 56) as u32, (change >> 8) as u32 & 0xff_ffff, (change >> 32) as u32 & 0xff_ffff, change as u32 & 0xff]
}

/// TOP moves up by `by`; tags as in [`Live::masks`] are set and cleared before.
pub const fn stack(by: i8, set: u32, clear: u32) -> u64 {
    (STACK as u64) << 56 | (clear as u64 & 0xff_ffff) << 32 | (set as u64 & 0xff_ffff) << 8 | by as u8 as u64
}

/// TOP moves up by `by`; the tags are as they will be.
pub const fn moved(by: i8) -> u64 {
    (MOVED as u64) << 56 | by as u8 as u64
}

/// [`Live::inexact`] is in a host register.
pub const fn inexact(reg: u8) -> u64 {
    (INEXACT as u64) << 56 | reg as u64
}

/// C1 is clear.
pub const fn c1_zero() -> u64 {
    (C1_ZERO as u64) << 56
}

/// C1 is set when a host register and the significand of the register `slot` above the top differ. To come before [`stack`].
pub const fn c1_pair(reg: u8, slot: i8) -> u64 {
    (C1_PAIR as u64) << 56 | (slot as u8 as u64) << 8 | reg as u64
}

/// The same when the first of the two is in the frame already.
pub const fn c1_spilled(slot: i8) -> u64 {
    (C1_SPILLED as u64) << 56 | (slot as u8 as u64) << 8
}

/// The register `slot` above the top is in two host registers. To come before [`stack`].
pub const fn register(m: u8, s: u8, slot: i8) -> u64 {
    (REGISTER as u64) << 56 | (slot as u8 as u64) << 16 | (s as u64) << 8 | m as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_comes_back() {
        let mantissas = [0, 1, 2, 3, 5, 1 << 62, u64::MAX >> 1, 1 << 63, 1 << 63 | 1, 3 << 62, u64::MAX];
        for se in 0..=u16::MAX {
            for mant in mantissas {
                assert_eq!(unpack(pack(mant, se)), (mant, se));
            }
        }
    }

    #[test]
    fn the_state_comes_back() {
        for top in 0..8 {
            for valid in 0..=255u8 {
                let mut x = X87 { valid, sw: 0x4720, ..X87::default() };
                x.set_top(top);
                x.st.iter_mut().enumerate().for_each(|(n, r)| (r.mant, r.se) = (n as u64 + (1 << 63), 0x4000));
                let mut live = Live::default();
                assert!(live.enter(&x));
                let mut y = X87 { cw: x.cw, sw: x.sw, ..X87::default() };
                live.leave(&mut y);
                assert_eq!((y.sw, y.valid, y.st, live.masks[0]), (x.sw, x.valid, x.st, NOT_LIVE), "{top} {valid:#x}");
            }
        }
    }

    #[test]
    fn pushes_and_pops_move_the_tags() {
        let mut x = X87 { valid: 0xe0, ..X87::default() };
        x.set_top(5);
        let mut live = Live::default();
        assert!(live.enter(&x));
        assert_eq!(live.masks[0] >> 3, 0b111_00000);
        // A push, then two pops.
        live.change_stack(stack(-1, 1 << 7, 0));
        let mut y = x;
        live.show(&mut y);
        assert_eq!((y.top(), y.valid), (4, 0xf0));
        live.change_stack(stack(2, 0, 0b11 << 8));
        live.show(&mut y);
        assert_eq!((y.top(), y.valid), (6, 0xc0));
    }
}
