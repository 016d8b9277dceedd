//! Types of IR values.

/// The type of a value, or the lane type of a vector operation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[repr(u8)]
pub enum Ty {
    /// No value.
    None,
    /// A truth value: 0 or 1.
    I1,
    /// 8-bit integer. Integers carry no sign; operations do.
    I8,
    /// 16-bit integer.
    I16,
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// binary32; only as a lane type.
    F32,
    /// binary64; only as a lane type.
    F64,
    /// x87 extended real.
    F80,
    /// 128-bit vector; the lane type is an attribute of the operation.
    V128,
    /// The six arithmetic flags as one value.
    Fl,
}

// Tables, because the interpreter asks with every operation. In the order of the enum.
const BITS: [u8; 11] = [0, 1, 8, 16, 32, 64, 32, 64, 80, 128, 0];
const MASK: [u64; 11] = {
    let all = u64::MAX;
    [all, 1, 0xff, 0xffff, 0xffff_ffff, all, 0xffff_ffff, all, all, all, all]
};

impl Ty {
    /// All types, in encoding order.
    pub const ALL: [Ty; 11] =
        [Ty::None, Ty::I1, Ty::I8, Ty::I16, Ty::I32, Ty::I64, Ty::F32, Ty::F64, Ty::F80, Ty::V128, Ty::Fl];

    /// Name in the text form.
    pub fn name(self) -> &'static str {
        match self {
            Ty::None => "none",
            Ty::I1 => "i1",
            Ty::I8 => "i8",
            Ty::I16 => "i16",
            Ty::I32 => "i32",
            Ty::I64 => "i64",
            Ty::F32 => "f32",
            Ty::F64 => "f64",
            Ty::F80 => "f80",
            Ty::V128 => "v128",
            Ty::Fl => "fl",
        }
    }

    /// The type of that name.
    pub fn parse(name: &str) -> Option<Ty> {
        Ty::ALL.into_iter().find(|t| t.name() == name)
    }

    /// Width in bits; 0 for types without one.
    #[inline(always)]
    pub const fn bits(self) -> u32 {
        BITS[self as usize] as u32
    }

    /// Width in bytes as stored in guest memory.
    pub const fn bytes(self) -> u32 {
        self.bits().div_ceil(8)
    }

    /// Whether this is one of I1 to I64.
    pub fn is_int(self) -> bool {
        matches!(self, Ty::I1 | Ty::I8 | Ty::I16 | Ty::I32 | Ty::I64)
    }

    /// The integer type of `bytes` bytes (1, 2, 4, 8).
    pub fn int(bytes: u32) -> Option<Ty> {
        Some(match bytes {
            1 => Ty::I8,
            2 => Ty::I16,
            4 => Ty::I32,
            8 => Ty::I64,
            _ => return None,
        })
    }

    /// All ones in the width of an integer type (up to 64 bits).
    #[inline(always)]
    pub const fn mask(self) -> u64 {
        MASK[self as usize]
    }
}
