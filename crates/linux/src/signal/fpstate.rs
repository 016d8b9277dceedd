//! The floating-point area in signal frames (SDM vol. 1, sections 10.5.1 and 13.4; arch/x86/kernel/fpu/signal.c).
//!
//! A processor without XSAVE has the FXSAVE image in its 64-bit form and nothing else. With XSAVE the image is the standard format with all components, and
//! the kernel says so in the bytes that belong to software: a magic number, sizes, the components, and a second magic number behind the image. A
//! program that puts back an image without them means the FXSAVE part.

use demotic_engine::GuestState;
use demotic_ir::xstate::{self, HEADER, MXCSR_MASK, UPPER};

/// Bytes of the FXSAVE image.
pub const SIZE: usize = 512;
/// Most bytes that an area has.
pub const MOST: usize = UPPER + 256 + MAGIC2_SIZE;

/// Where software's bytes are (`struct _fpx_sw_bytes`, asm/sigcontext.h).
const SOFTWARE: usize = 464;
const MAGIC1: u32 = 0x4650_5853;
const MAGIC2: u32 = 0x4650_5845;
const MAGIC2_SIZE: usize = 4;

/// Bytes of an area for a processor with these components.
pub fn size(xcr0: u64) -> usize {
    if xcr0 == 0 { SIZE } else { xstate::size(xcr0) + MAGIC2_SIZE }
}

/// The state as the kernel stores it; `before`: bytes of the area that a 32-bit frame has in front of the image.
pub fn save(state: &GuestState, xcr0: u64, before: usize) -> Vec<u8> {
    let mut image = vec![0; size(xcr0)];
    image[..SIZE].copy_from_slice(&legacy(state));
    if xcr0 == 0 {
        return image;
    }
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    let bytes = xstate::size(xcr0);
    put(SOFTWARE, &MAGIC1.to_le_bytes());
    put(SOFTWARE + 4, &((bytes + MAGIC2_SIZE + before) as u32).to_le_bytes());
    put(SOFTWARE + 8, &xcr0.to_le_bytes());
    put(SOFTWARE + 16, &(bytes as u32).to_le_bytes());
    // x87 and SSE count as in use for the sake of programs that know no header.
    put(HEADER, &(xstate::in_use(state) & xcr0 | xstate::X87_STATE | xstate::SSE).to_le_bytes());
    if xcr0 & xstate::AVX != 0 {
        for (i, [low, high]) in state.ymm.iter().enumerate() {
            put(UPPER + 16 * i, &low.to_le_bytes());
            put(UPPER + 16 * i + 8, &high.to_le_bytes());
        }
    }
    put(bytes, &MAGIC2.to_le_bytes());
    image
}

/// The state as FXSAVE64 stores it.
fn legacy(state: &GuestState) -> [u8; SIZE] {
    let x87 = &state.x87;
    let mut image = [0; SIZE];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &x87.cw.to_le_bytes());
    put(2, &x87.sw.to_le_bytes());
    put(4, &[x87.valid]);
    let (fop, fip, fdp) = x87.pending_pointers();
    put(6, &fop.to_le_bytes());
    put(8, &fip.to_le_bytes());
    put(16, &fdp.to_le_bytes());
    put(24, &state.mxcsr.to_le_bytes());
    put(28, &MXCSR_MASK.to_le_bytes());
    for i in 0..8 {
        let st = x87.st[(x87.top() + i) & 7];
        put(32 + 16 * i, &st.mant.to_le_bytes());
        put(40 + 16 * i, &st.se.to_le_bytes());
    }
    for (i, [low, high]) in state.xmm.iter().enumerate() {
        put(160 + 16 * i, &low.to_le_bytes());
        put(168 + 16 * i, &high.to_le_bytes());
    }
    image
}

fn u16_at(image: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([image[at], image[at + 1]])
}

fn u64_at(image: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&image[at..at + 8]);
    u64::from_le_bytes(bytes)
}

/// Everything to its initial state, as for a frame without an area.
pub fn reset(state: &mut GuestState) {
    state.x87 = Default::default();
    state.mxcsr = 0x1f80;
    state.xmm = [[0; 2]; 16];
    *state.ymm = [[0; 2]; 16];
}

/// Takes over an area of [`size`] bytes. `None`: it is one that XRSTOR refuses, and the kernel kills the program.
pub fn restore(state: &mut GuestState, image: &[u8], xcr0: u64) -> Option<()> {
    let word = |at: usize| image.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let bytes = word(SOFTWARE + 16) as usize;
    let whole = xcr0 != 0
        && word(SOFTWARE) == MAGIC1
        && (UPPER..=xstate::size(xcr0)).contains(&bytes)
        && word(SOFTWARE + 4) as usize > bytes
        && word(bytes) == MAGIC2;
    let legacy: &[u8; SIZE] = image.first_chunk()?;
    if !whole {
        restore_legacy(state, legacy);
        *state.ymm = [[0; 2]; 16];
        return Some(());
    }
    let (present, asked) = (u64_at(image, HEADER), u64_at(image, SOFTWARE + 8) & xcr0);
    if present & !xcr0 != 0 || image[HEADER + 8..HEADER + 24].iter().any(|&b| b != 0) {
        return None;
    }
    let mxcsr = word(24);
    if asked & (xstate::SSE | xstate::AVX) != 0 && mxcsr & !MXCSR_MASK != 0 {
        return None;
    }
    let loaded = asked & present;
    let mut new = state.clone();
    reset(&mut new);
    let from = |component: u64| loaded & component != 0;
    let mut legacy_state = state.clone();
    restore_legacy(&mut legacy_state, legacy);
    if from(xstate::X87_STATE) {
        new.x87 = legacy_state.x87;
    }
    if from(xstate::SSE) {
        new.xmm = legacy_state.xmm;
    }
    if asked & (xstate::SSE | xstate::AVX) != 0 {
        new.mxcsr = mxcsr;
    }
    if from(xstate::AVX) {
        for (i, ymm) in new.ymm.iter_mut().enumerate() {
            *ymm = [u64_at(image, UPPER + 16 * i), u64_at(image, UPPER + 16 * i + 8)];
        }
    }
    *state = new;
    Some(())
}

/// Takes over an image as FXRSTOR64 does; MXCSR bits that do not exist are dropped instead of faulting, as the kernel
/// does with images from users.
fn restore_legacy(state: &mut GuestState, image: &[u8; SIZE]) {
    let x87 = &mut state.x87;
    x87.cw = u16_at(image, 0);
    x87.sw = u16_at(image, 2);
    x87.valid = image[4];
    x87.fop = u16_at(image, 6) & 0x7ff;
    // Addresses of 48 bits.
    [x87.fip, x87.fdp] = [8, 16].map(|at| ((u64_at(image, at) << 16) as i64 >> 16) as u64);
    (x87.fcs, x87.fds) = (0, 0);
    state.mxcsr = u64_at(image, 24) as u32 & MXCSR_MASK;
    let top = x87.top();
    for i in 0..8 {
        let st = &mut x87.st[(top + i) & 7];
        st.mant = u64_at(image, 32 + 16 * i);
        st.se = u16_at(image, 40 + 16 * i);
    }
    for (i, xmm) in state.xmm.iter_mut().enumerate() {
        *xmm = [u64_at(image, 160 + 16 * i), u64_at(image, 168 + 16 * i)];
    }
}

/// The full tag word of FSAVE for an image (twd_fxsr_to_i387 in arch/x86/kernel/fpu/regset.c): per physical register 0
/// valid, 1 zero, 2 special, 3 empty.
pub fn full_tags(state: &GuestState) -> u16 {
    let x87 = &state.x87;
    let mut tags = 0;
    for i in 0..8 {
        let tag = if x87.valid & 1 << i == 0 {
            3
        } else {
            let st = x87.st[i];
            match st.se & 0x7fff {
                0x7fff => 2,
                0 if st.mant == 0 => 1,
                0 => 2,
                _ if st.mant >> 63 == 1 => 0,
                _ => 2,
            }
        };
        tags |= tag << (2 * i);
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_round_trips_and_agrees_with_the_cpu() {
        let mut state = GuestState::default();
        state.x87.cw = 0x27f;
        state.x87.sw = 0x3800 | 0x41;
        state.x87.valid = 0x81;
        for i in 0..8 {
            state.x87.st[i].mant = 1 << 63 | i as u64;
            state.x87.st[i].se = 0x3fff + i as u16;
        }
        state.mxcsr = 0x9fc0;
        for (i, xmm) in state.xmm.iter_mut().enumerate() {
            *xmm = [i as u64, !(i as u64)];
        }
        let image = legacy(&state);
        let mut back = GuestState::default();
        assert_eq!(restore(&mut back, &image, 0), Some(()));
        assert_eq!(save(&back, 0, 0), image);
        assert_eq!(back.x87.st[7].mant, 1 << 63 | 7);
        // ST(0) is physical register 7.
        assert_eq!(image[32], 7);
        assert_eq!(full_tags(&state), 0x3ffc);
        #[cfg(target_arch = "x86_64")]
        {
            // The real FXRSTOR and FXSAVE keep every byte of the image (the last 96 belong to software).
            #[repr(C, align(16))]
            struct Area([u8; SIZE]);
            let (mut own, mut saved, given) = (Area([0; SIZE]), Area([0; SIZE]), Area(image));
            // SAFETY: the areas are aligned and 512 bytes; the state is put back before anybody uses it.
            unsafe {
                std::arch::asm!("fxsave64 [{own}]", "fxrstor64 [{given}]", "fxsave64 [{saved}]", "fxrstor64 [{own}]",
                    own = in(reg) &raw mut own.0, given = in(reg) &raw const given.0, saved = in(reg) &raw mut saved.0);
            }
            assert_eq!(saved.0[..28], image[..28]);
            assert_eq!(saved.0[32..416], image[32..416]);
        }
    }

    #[test]
    fn extended_areas() {
        let mut state = GuestState::default();
        state.xmm[3] = [1, 2];
        state.ymm[5] = [3, 4];
        let image = save(&state, 7, 0);
        assert_eq!((image.len(), size(3), size(0)), (836, 580, 512));
        let mut back = GuestState::default();
        assert_eq!(restore(&mut back, &image, 7), Some(()));
        assert_eq!((back.xmm[3], back.ymm[5]), ([1, 2], [3, 4]));
        // A program that wipes the second magic number means the first 512 bytes.
        let mut plain = image.clone();
        plain[832] = 0;
        assert_eq!(restore(&mut back, &plain, 7), Some(()));
        assert_eq!((back.xmm[3], back.ymm[5]), ([1, 2], [0, 0]));
        // Without the bit in the header the component is in its initial state.
        let mut initial = image.clone();
        initial[HEADER] = 3;
        back.ymm[1] = [9, 9];
        assert_eq!(restore(&mut back, &initial, 7), Some(()));
        assert_eq!(back.ymm[1], [0, 0]);
        // Components that do not exist, and reserved bits of MXCSR.
        initial[HEADER] = 0xf;
        assert_eq!(restore(&mut back, &initial, 7), None);
        initial[HEADER] = 7;
        initial[26] = 1;
        assert_eq!(restore(&mut back, &initial, 7), None);
    }
}
