//! The registers of a stopped thread as a tracer knows them: `user_regs_struct`, `user_fpregs_struct` and `struct user` of both ABIs (asm/user_64.h,
//! asm/user_32.h), from and to a [`Record`].

use super::{Record, changed};
use crate::signal::fpstate;
use demotic_x86::state::{reg, seg};

/// Words of the general registers of x86-64.
pub const WORDS64: usize = 27;
/// Of i386.
pub const WORDS32: usize = 17;

/// Where a word of `user_regs_struct` comes from.
#[derive(Clone, Copy)]
enum From {
    Gpr(usize),
    Origin,
    Rip,
    Flags,
    Sel(usize),
    Base(usize),
}

const ORDER64: [From; WORDS64] = [
    From::Gpr(15),
    From::Gpr(14),
    From::Gpr(13),
    From::Gpr(12),
    From::Gpr(reg::RBP),
    From::Gpr(reg::RBX),
    From::Gpr(11),
    From::Gpr(10),
    From::Gpr(9),
    From::Gpr(8),
    From::Gpr(reg::RAX),
    From::Gpr(reg::RCX),
    From::Gpr(reg::RDX),
    From::Gpr(reg::RSI),
    From::Gpr(reg::RDI),
    From::Origin,
    From::Rip,
    From::Sel(seg::CS),
    From::Flags,
    From::Gpr(reg::RSP),
    From::Sel(seg::SS),
    From::Base(seg::FS),
    From::Base(seg::GS),
    From::Sel(seg::DS),
    From::Sel(seg::ES),
    From::Sel(seg::FS),
    From::Sel(seg::GS),
];

const ORDER32: [From; WORDS32] = [
    From::Gpr(reg::RBX),
    From::Gpr(reg::RCX),
    From::Gpr(reg::RDX),
    From::Gpr(reg::RSI),
    From::Gpr(reg::RDI),
    From::Gpr(reg::RBP),
    From::Gpr(reg::RAX),
    From::Sel(seg::DS),
    From::Sel(seg::ES),
    From::Sel(seg::FS),
    From::Sel(seg::GS),
    From::Origin,
    From::Rip,
    From::Sel(seg::CS),
    From::Flags,
    From::Gpr(reg::RSP),
    From::Sel(seg::SS),
];

fn order(wide: bool) -> &'static [From] {
    if wide { &ORDER64 } else { &ORDER32 }
}

fn read(record: &Record, from: From) -> u64 {
    match from {
        From::Gpr(index) => record.gpr[index],
        From::Origin => record.origin,
        From::Rip => record.rip,
        From::Flags => record.flags,
        From::Sel(index) => record.sel[index],
        From::Base(index) => record.base[index],
    }
}

/// One word of the general registers; `None` behind them. `wide`: x86-64's layout.
pub fn word(record: &Record, wide: bool, index: usize) -> Option<u64> {
    let value = read(record, *order(wide).get(index)?);
    Some(if wide { value } else { value & 0xffff_ffff })
}

/// All of them as bytes.
pub fn general(record: &Record, wide: bool) -> Vec<u8> {
    let words = (0..order(wide).len()).filter_map(|i| word(record, wide, i));
    if wide {
        words.flat_map(u64::to_le_bytes).collect()
    } else {
        words.flat_map(|w| (w as u32).to_le_bytes()).collect()
    }
}

/// Changes one word (putreg, arch/x86/kernel/ptrace.c). False for a value that the kernel refuses.
pub fn set_word(record: &mut Record, wide: bool, index: usize, value: u64) -> bool {
    let Some(&to) = order(wide).get(index) else { return false };
    // EAX and the number are signed for a 32-bit tracer, so that a call can be kept from being restarted.
    let value = match to {
        From::Origin if !wide => value as u32 as i32 as i64 as u64,
        _ if !wide => value & 0xffff_ffff,
        _ => value,
    };
    match to {
        From::Gpr(index) => record.gpr[index] = value,
        From::Origin => record.origin = value,
        From::Rip => record.rip = value,
        From::Flags => record.flags = value,
        From::Sel(index) => {
            let value = value & 0xffff;
            // Selectors of user space only; the code and stack segment are never null.
            if value != 0 && value & 3 != 3 || value == 0 && (index == seg::CS || index == seg::SS) {
                return false;
            }
            record.sel[index] = value;
        }
        From::Base(index) => {
            if value >= 1 << 47 {
                return false;
            }
            record.base[index] = value;
        }
    }
    record.changed |= changed::REGS;
    true
}

/// Changes as many words as `bytes` has.
pub fn set_general(record: &mut Record, wide: bool, bytes: &[u8]) -> bool {
    let size = if wide { 8 } else { 4 };
    let mut is_fine = true;
    for (index, chunk) in bytes.chunks_exact(size).enumerate() {
        let value = chunk.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
        is_fine &= set_word(record, wide, index, value);
    }
    is_fine
}

/// The FXSAVE image.
pub fn fxsave(record: &Record) -> &[u8] {
    &record.fp[..fpstate::SIZE]
}

/// The image with what belongs to software as PTRACE_GETREGSET leaves it: the first eight bytes are the components.
pub fn xsave(record: &Record) -> Option<Vec<u8>> {
    if record.xcr0 == 0 {
        return None;
    }
    let size = demotic_ir::xstate::size(record.xcr0);
    let mut image = record.fp.get(..size)?.to_vec();
    image[464..512].fill(0);
    image[464..472].copy_from_slice(&record.xcr0.to_le_bytes());
    Some(image)
}

/// Changes the first bytes of the floating point area.
pub fn set_fp(record: &mut Record, bytes: &[u8]) {
    let own = record.fp[464..512].to_vec();
    let len = bytes.len().min(record.fp.len());
    record.fp[..len].copy_from_slice(&bytes[..len]);
    if len >= 512 {
        record.fp[464..512].copy_from_slice(&own);
    }
    record.changed |= changed::FP;
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// The 108 bytes of `user_i387_struct`: FSAVE's format, from the FXSAVE image (convert_from_fxsr, arch/x86/kernel/fpu/regset.c).
pub fn fsave(record: &Record) -> Vec<u8> {
    let image = fxsave(record);
    let top = u16_at(image, 2) >> 11 & 7;
    let mut tags = 0u16;
    for physical in 0..8u16 {
        let st = 32 + 16 * usize::from((physical.wrapping_sub(top)) & 7);
        let exponent = u16_at(image, st + 8) & 0x7fff;
        let mantissa = image[st..st + 8].iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
        let tag = match (image[4] >> physical & 1, exponent) {
            (0, _) => 3,
            (_, 0x7fff) => 2,
            (_, 0) if mantissa == 0 => 1,
            (_, 0) => 2,
            _ if mantissa >> 63 == 1 => 0,
            _ => 2,
        };
        tags |= tag << (2 * physical);
    }
    let low = |at: usize| u32::from(u16_at(image, at)) | u32::from(u16_at(image, at + 2)) << 16;
    let words = [
        0xffff_0000 | u32::from(u16_at(image, 0)),
        0xffff_0000 | u32::from(u16_at(image, 2)),
        0xffff_0000 | u32::from(tags),
        low(8),
        record.sel[seg::CS] as u32 | u32::from(u16_at(image, 6)) << 16,
        low(16),
        0xffff_0000 | record.sel[seg::DS] as u32,
    ];
    let mut bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    for i in 0..8 {
        bytes.extend_from_slice(&image[32 + 16 * i..42 + 16 * i]);
    }
    bytes
}

/// Takes the 108 bytes over.
pub fn set_fsave(record: &mut Record, bytes: &[u8]) {
    let mut image = fxsave(record).to_vec();
    if bytes.len() < 108 {
        return;
    }
    image[0..2].copy_from_slice(&bytes[0..2]);
    image[2..4].copy_from_slice(&bytes[4..6]);
    let tags = u16_at(bytes, 8);
    image[4] = (0..8).fold(0, |valid, i| valid | u8::from(tags >> (2 * i) & 3 != 3) << i);
    image[6..8].copy_from_slice(&bytes[18..20]);
    image[8..12].copy_from_slice(&bytes[12..16]);
    image[16..20].copy_from_slice(&bytes[20..24]);
    for i in 0..8 {
        image[32 + 16 * i..42 + 16 * i].copy_from_slice(&bytes[28 + 10 * i..38 + 10 * i]);
    }
    set_fp(record, &image);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_the_kernels() {
        let mut record = Record::empty();
        for i in 0..16 {
            record.gpr[i] = i as u64 + 0x100;
        }
        (record.rip, record.origin) = (0x1234, 59);
        // offsetof(user_regs_struct, rip) and orig_rax, and of i386 eip.
        assert_eq!((word(&record, true, 16), word(&record, true, 15)), (Some(0x1234), Some(59)));
        assert_eq!(word(&record, false, 12), Some(0x1234));
        assert_eq!((general(&record, true).len(), general(&record, false).len()), (216, 68));
        let bytes = general(&record, true);
        record.sel = [0x2b, 0x33, 0x2b, 0, 0, 0];
        let mut other = Record { sel: record.sel, ..Record::empty() };
        let mut whole = bytes.clone();
        whole[17 * 8..18 * 8].copy_from_slice(&0x33u64.to_le_bytes());
        whole[20 * 8..21 * 8].copy_from_slice(&0x2bu64.to_le_bytes());
        assert!(set_general(&mut other, true, &whole));
        assert_eq!((other.gpr, other.rip, other.changed), (record.gpr, record.rip, changed::REGS));
        assert!(!set_word(&mut other, true, 17, 0) && !set_word(&mut other, true, 20, 0));
        assert!(set_word(&mut other, false, 11, 0xffff_ffff));
        assert_eq!(other.origin, u64::MAX);
    }

    #[test]
    fn fsave_goes_round() {
        let mut record = Record::empty();
        record.fp[0..2].copy_from_slice(&0x37fu16.to_le_bytes());
        record.fp[2..4].copy_from_slice(&(7u16 << 11).to_le_bytes());
        record.fp[4] = 0x80;
        record.fp[32..42].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x3f]);
        let old = fsave(&record);
        assert_eq!((old.len(), u16_at(&old, 8)), (108, 0x3fff));
        let mut other = Record::empty();
        set_fsave(&mut other, &old);
        assert_eq!(other.fp[..160], record.fp[..160]);
    }
}
