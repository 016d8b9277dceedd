//! The guest's x87 state on its way between the frame and the x87 unit of an x86-64 host. On other hosts it is always in the frame.
//!
//! Between two runs of translated code the unit is in its initial state, so nothing that is pending there can hit the host's own code.

use demotic_codegen::frame::Frame;
use demotic_ir::state::X87;

/// The FXSAVE image (SDM vol. 1, section 10.5.1).
#[repr(C, align(16))]
struct Image([u8; 512]);

impl Image {
    /// What the processor holds now.
    fn now() -> Image {
        let mut image = Image([0; 512]);
        // SAFETY: writes 512 bytes at a multiple of 16.
        unsafe { core::arch::asm!("fxsave64 [{}]", in(reg) &raw mut image, options(nostack, preserves_flags)) };
        image
    }

    fn word(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.0[at], self.0[at + 1]])
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// Moves the guest's x87 state from the frame to the host's unit.
pub(crate) fn to_host(frame: &mut Frame) {
    if frame.x87_live != 0 {
        return;
    }
    let mut image = Image::now();
    let x = &frame.state.x87;
    image.put(0, &x.cw.to_le_bytes());
    image.put(2, &x.sw.to_le_bytes());
    image.put(4, &[x.valid, 0]);
    for i in 0..8 {
        let v = x.st[(x.top() + i) & 7];
        image.put(32 + 16 * i, &v.mant.to_le_bytes());
        image.put(40 + 16 * i, &v.se.to_le_bytes());
    }
    // SAFETY: an image that the processor wrote, with x87 fields that it cannot refuse; MXCSR is as it was. The vector registers go back to what they
    // held when the image was taken, so nothing may live in them across this.
    unsafe {
        core::arch::asm!(
            "fxrstor64 [{}]",
            in(reg) &raw const image,
            clobber_abi("sysv64"),
            options(nostack, preserves_flags)
        );
    }
    frame.x87_live = 1;
    frame.x87_gate = frame.x87_ready;
}

/// Moves it back, if it is there.
pub(crate) fn to_frame(frame: &mut Frame) {
    if frame.x87_live == 0 {
        return;
    }
    let image = Image::now();
    let old = frame.state.x87;
    let mut x = X87 { cw: image.word(0), sw: image.word(2), valid: image.0[4], stack_fault: false, ..old };
    for i in 0..8 {
        let at = 32 + 16 * i;
        let mant = image.0[at..at + 8].iter().rev().fold(0, |v, b| v << 8 | u64::from(*b));
        let n = (x.top() + i) & 7;
        (x.st[n].mant, x.st[n].se) = (mant, image.word(at + 8));
    }
    let pointer = |at: usize| image.0[at..at + 8].iter().rev().fold(0, |v, b| v << 8 | u64::from(*b));
    // Pending since before the state was loaded: nothing is said of it.
    if x.sw & 0x80 != 0 && pointer(8) != 0 {
        // Guest addresses are host addresses. Where this was in the guest's code, `Jit::locate_x87` says.
        (frame.x87_operand, frame.x87_at) = (pointer(16), pointer(8));
    }
    frame.state.x87 = x;
    // SAFETY: the unit is the guest's alone, and its content has just been taken.
    unsafe { core::arch::asm!("fninit", options(nomem, nostack, preserves_flags)) };
    frame.x87_live = 0;
    frame.x87_gate = frame.x87_load;
}
