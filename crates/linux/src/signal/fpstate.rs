//! The FXSAVE image in signal frames (SDM vol. 1, section 10.5.1; 64-bit form).

use demotic_engine::GuestState;

/// Bytes of the image.
pub const SIZE: usize = 512;

/// MXCSR bits that exist (SDM vol. 1, 10.2.3), DAZ included.
const MXCSR_MASK: u32 = 0xffff;

/// The state as FXSAVE64 stores it. The last 48 bytes are for software and zero: no extended state follows.
pub fn save(state: &GuestState) -> [u8; SIZE] {
    let x87 = &state.x87;
    let mut image = [0; SIZE];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &x87.cw.to_le_bytes());
    put(2, &x87.sw.to_le_bytes());
    put(4, &[x87.valid]);
    put(6, &(x87.fop & 0x7ff).to_le_bytes());
    put(8, &x87.fip.to_le_bytes());
    put(16, &x87.fdp.to_le_bytes());
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

fn u16_at(image: &[u8; SIZE], at: usize) -> u16 {
    u16::from_le_bytes([image[at], image[at + 1]])
}

fn u64_at(image: &[u8; SIZE], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&image[at..at + 8]);
    u64::from_le_bytes(bytes)
}

/// Takes over an image as FXRSTOR64 does; MXCSR bits that do not exist are dropped instead of faulting, as the kernel
/// does with images from users.
pub fn restore(state: &mut GuestState, image: &[u8; SIZE]) {
    let x87 = &mut state.x87;
    x87.cw = u16_at(image, 0);
    x87.sw = u16_at(image, 2);
    x87.valid = image[4];
    x87.fop = u16_at(image, 6) & 0x7ff;
    x87.fip = u64_at(image, 8);
    x87.fdp = u64_at(image, 16);
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
        let image = save(&state);
        let mut back = GuestState::default();
        restore(&mut back, &image);
        assert_eq!(save(&back), image);
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
}
