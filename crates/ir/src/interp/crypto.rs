//! AES, SHA and carry-less multiplication (FIPS 197, FIPS 180-4; SDM vol. 2 for how the steps are cut into instructions).

use super::V;
use super::vector::{narrow, wide};
use crate::ops::{AesFn, GaloisFn, ShaFn};

/// Product with x in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1.
const fn double(a: u8) -> u8 {
    a << 1 ^ if a & 0x80 != 0 { 0x1b } else { 0 }
}

/// The substitution: the inverse, then the affine map (FIPS 197, section 5.1.1). Powers of the generator x + 1 give inverses.
const SBOX: [u8; 256] = {
    let mut power = [1u8; 256];
    let mut k = 1;
    while k < 256 {
        power[k] = double(power[k - 1]) ^ power[k - 1];
        k += 1;
    }
    let mut table = [0x63; 256];
    let mut k = 0;
    while k < 255 {
        let i = power[255 - k];
        let bits = i ^ i.rotate_left(1) ^ i.rotate_left(2) ^ i.rotate_left(3) ^ i.rotate_left(4);
        table[power[k] as usize] = bits ^ 0x63;
        k += 1;
    }
    table
};

const INVERSE: [u8; 256] = {
    let mut table = [0; 256];
    let mut k = 0;
    while k < 256 {
        table[SBOX[k] as usize] = k as u8;
        k += 1;
    }
    table
};

fn bytes(v: V) -> [u8; 16] {
    wide(v).to_le_bytes()
}

fn vector(b: [u8; 16]) -> V {
    narrow(u128::from_le_bytes(b))
}

/// ShiftRows (`step` 5) or its inverse (`step` 13): byte n comes from byte `step` * n.
fn shift_rows(s: [u8; 16], step: usize) -> [u8; 16] {
    std::array::from_fn(|n| s[n * step % 16])
}

/// Multiplies each column by the circulant matrix of these coefficients.
fn mix(s: [u8; 16], by: [u8; 4]) -> [u8; 16] {
    let times = |mut a: u8, b: u8| {
        let mut r = 0;
        for k in 0..4 {
            if b >> k & 1 != 0 {
                r ^= a;
            }
            a = double(a);
        }
        r
    };
    std::array::from_fn(|n| {
        let column = n & !3;
        (0..4).fold(0, |r, k| r ^ times(s[column + (n + k) % 4], by[k]))
    })
}

const MIX: [u8; 4] = [2, 3, 1, 1];
const UNMIX: [u8; 4] = [14, 11, 13, 9];

/// One AES instruction.
pub(super) fn aes(imm: u64, a: V, b: V) -> V {
    let substitute = |s: [u8; 16], table: &[u8; 256]| s.map(|x| table[usize::from(x)]);
    let add = |s: [u8; 16]| narrow(wide(vector(s)) ^ wide(b));
    let Some(step) = AesFn::from_imm(imm & 0xff) else { return V::default() };
    match step {
        AesFn::Enc => add(mix(substitute(shift_rows(bytes(a), 5), &SBOX), MIX)),
        AesFn::EncLast => add(substitute(shift_rows(bytes(a), 5), &SBOX)),
        AesFn::Dec => add(mix(substitute(shift_rows(bytes(a), 13), &INVERSE), UNMIX)),
        AesFn::DecLast => add(substitute(shift_rows(bytes(a), 13), &INVERSE)),
        AesFn::InverseMixColumns => vector(mix(bytes(b), UNMIX)),
        AesFn::KeyGenAssist => {
            let s = substitute(bytes(b), &SBOX);
            let word = |n: usize| u32::from_le_bytes([s[n], s[n + 1], s[n + 2], s[n + 3]]);
            let constant = (imm >> 8) as u32 & 0xff;
            let turn = |w: u32| w.rotate_right(8) ^ constant;
            let r = [word(4), turn(word(4)), word(12), turn(word(12))];
            narrow(r.iter().rev().fold(0, |v, w| v << 32 | u128::from(*w)))
        }
    }
}

/// Multiplicative inverses modulo the same polynomial; 0 of 0.
const RECIPROCAL: [u8; 256] = {
    let mut power = [1u8; 256];
    let mut k = 1;
    while k < 256 {
        power[k] = double(power[k - 1]) ^ power[k - 1];
        k += 1;
    }
    let mut table = [0; 256];
    let mut k = 0;
    while k < 255 {
        table[power[k] as usize] = power[255 - k];
        k += 1;
    }
    table
};

/// One GFNI instruction.
pub(super) fn galois(imm: u64, a: V, b: V) -> V {
    let (x, y) = (bytes(a), bytes(b));
    let product = |mut a: u8, b: u8| {
        (0..8).fold(0, |r, k| {
            let r = if b >> k & 1 != 0 { r ^ a } else { r };
            a = double(a);
            r
        })
    };
    // Row 0 of the matrix, which gives bit 0, is the highest byte of the quadword.
    let map = |x: u8, n: usize| {
        let row = |k: usize| y[(n & 8) + 7 - k];
        (0..8).fold((imm >> 8) as u8, |r, k| r ^ ((row(k) & x).count_ones() as u8 & 1) << k)
    };
    vector(std::array::from_fn(|n| match GaloisFn::from_imm(imm & 0xff) {
        Some(GaloisFn::Multiply) => product(x[n], y[n]),
        Some(GaloisFn::AffineInverse) => map(RECIPROCAL[usize::from(x[n])], n),
        _ => map(x[n], n),
    }))
}

/// Carry-less product.
pub(super) fn multiply(a: u64, b: u64) -> V {
    narrow((0..64).filter(|k| b >> k & 1 != 0).fold(0, |r, k| r ^ u128::from(a) << k))
}

fn words(v: V) -> [u32; 4] {
    [v.lo as u32, (v.lo >> 32) as u32, v.hi as u32, (v.hi >> 32) as u32]
}

fn from_words(w: [u32; 4]) -> V {
    V { lo: u64::from(w[1]) << 32 | u64::from(w[0]), hi: u64::from(w[3]) << 32 | u64::from(w[2]) }
}

fn choose(x: u32, y: u32, z: u32) -> u32 {
    x & y ^ !x & z
}

fn majority(x: u32, y: u32, z: u32) -> u32 {
    x & y ^ x & z ^ y & z
}

/// One SHA instruction.
pub(super) fn sha(imm: u64, a: V, b: V, c: V) -> V {
    let Some(step) = ShaFn::from_imm(imm & 0xff) else { return V::default() };
    let (p, q, k) = (words(a), words(b), words(c));
    match step {
        ShaFn::Sha1Rnds4 => {
            let [mut d, mut c, mut b, mut a] = p;
            let mut e = 0u32;
            for n in 0..4 {
                let (f, constant) = match imm >> 8 & 3 {
                    0 => (choose(b, c, d), 0x5a82_7999),
                    1 => (b ^ c ^ d, 0x6ed9_eba1),
                    2 => (majority(b, c, d), 0x8f1b_bcdc),
                    _ => (b ^ c ^ d, 0xca62_c1d6),
                };
                let sum = [a.rotate_left(5), e, q[3 - n], constant].into_iter().fold(f, u32::wrapping_add);
                (e, d, c, b, a) = (d, c, b.rotate_left(30), a, sum);
            }
            from_words([d, c, b, a])
        }
        ShaFn::Sha1NextE => from_words([q[0], q[1], q[2], q[3].wrapping_add(p[3].rotate_left(30))]),
        ShaFn::Sha1Msg1 => from_words([q[2] ^ p[0], q[3] ^ p[1], p[0] ^ p[2], p[1] ^ p[3]]),
        ShaFn::Sha1Msg2 => {
            let w16 = (p[3] ^ q[2]).rotate_left(1);
            let w17 = (p[2] ^ q[1]).rotate_left(1);
            let w18 = (p[1] ^ q[0]).rotate_left(1);
            from_words([(p[0] ^ w16).rotate_left(1), w18, w17, w16])
        }
        ShaFn::Sha256Rnds2 => {
            let [mut f, mut e, mut b, mut a] = q;
            let [mut h, mut g, mut d, mut c] = p;
            for w in [k[0], k[1]] {
                let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
                let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
                let t = [s1, w, h].into_iter().fold(choose(e, f, g), u32::wrapping_add);
                let sum = t.wrapping_add(majority(a, b, c)).wrapping_add(s0);
                (h, g, f, e, d, c, b, a) = (g, f, e, t.wrapping_add(d), c, b, a, sum);
            }
            from_words([f, e, b, a])
        }
        ShaFn::Sha256Msg1 => {
            let next = [p[1], p[2], p[3], q[0]];
            let s0 = |x: u32| x.rotate_right(7) ^ x.rotate_right(18) ^ x >> 3;
            from_words(std::array::from_fn(|n| p[n].wrapping_add(s0(next[n]))))
        }
        ShaFn::Sha256Msg2 => {
            let s1 = |x: u32| x.rotate_right(17) ^ x.rotate_right(19) ^ x >> 10;
            let w16 = p[0].wrapping_add(s1(q[2]));
            let w17 = p[1].wrapping_add(s1(q[3]));
            from_words([w16, w17, p[2].wrapping_add(s1(w16)), p[3].wrapping_add(s1(w17))])
        }
    }
}
