//! The guest CPU state: the variables that live between blocks.
//!
//! One `repr(C)` structure is the only contract between Rust and translated code ([`GuestState`]). Inside the IR its
//! fields are numbered slots ([`crate::slot::Slot`]); an emitter pins the hot ones in host registers and spills them here
//! when it leaves translated code. Nothing in here depends on the host.
//!
//! Flags: the six arithmetic flags are kept apart from the rest of EFLAGS, because they change with nearly every
//! instruction and the others almost never. [`GuestState::eflags`] composes the architectural image.

use demotic_f80::F80;

/// Index of a general register in [`GuestState::gpr`], in the encoding order of the manuals (SDM vol. 2, table 2-2).
pub mod reg {
    #![allow(missing_docs)]
    pub const RAX: usize = 0;
    pub const RCX: usize = 1;
    pub const RDX: usize = 2;
    pub const RBX: usize = 3;
    pub const RSP: usize = 4;
    pub const RBP: usize = 5;
    pub const RSI: usize = 6;
    pub const RDI: usize = 7;
}

/// Index of a segment register in [`GuestState::seg_sel`] and [`GuestState::seg_base`] (SDM vol. 2, table B-8).
pub mod seg {
    #![allow(missing_docs)]
    pub const ES: usize = 0;
    pub const CS: usize = 1;
    pub const SS: usize = 2;
    pub const DS: usize = 3;
    pub const FS: usize = 4;
    pub const GS: usize = 5;
}

/// Access rights of a segment, at the places where `lar` gives them (SDM vol. 3, figure 3-8).
pub mod rights {
    #![allow(missing_docs)]
    /// Code that can be read, data that can be written.
    pub const SECOND: u32 = 1 << 9;
    /// Of data: the limit is the end below.
    pub const EXPAND_DOWN: u32 = 1 << 10;
    pub const CODE: u32 = 1 << 11;
    pub const PRESENT: u32 = 1 << 15;
    /// 64-bit code.
    pub const LONG: u32 = 1 << 21;
    /// 32-bit code or stack.
    pub const BIG: u32 = 1 << 22;
    /// Of the flat data segment that the kernel sets up.
    pub const FLAT_DATA: u32 = 0xcf_f300;
    /// Of its 32-bit code.
    pub const FLAT_CODE32: u32 = 0xcf_fb00;
    /// Of its 64-bit code.
    pub const FLAT_CODE64: u32 = 0xaf_fb00;
}

/// EFLAGS bits (SDM vol. 1, section 3.4.3).
pub mod eflags {
    #![allow(missing_docs)]
    pub const CF: u32 = 1 << 0;
    pub const FIXED: u32 = 1 << 1;
    pub const PF: u32 = 1 << 2;
    pub const AF: u32 = 1 << 4;
    pub const ZF: u32 = 1 << 6;
    pub const SF: u32 = 1 << 7;
    pub const TF: u32 = 1 << 8;
    pub const IF: u32 = 1 << 9;
    pub const DF: u32 = 1 << 10;
    pub const OF: u32 = 1 << 11;
    pub const NT: u32 = 1 << 14;
    pub const RF: u32 = 1 << 16;
    pub const AC: u32 = 1 << 18;
    pub const ID: u32 = 1 << 21;
    /// The six arithmetic flags.
    pub const ARITH: u32 = CF | PF | AF | ZF | SF | OF;
    /// What user code can change by `popf` besides the arithmetic flags.
    pub const USER_SYS: u32 = TF | DF | NT | AC | ID;
}

/// The mode that CS selects; part of a unit's key (SDM vol. 3, section 5.2.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum Mode {
    /// 64-bit mode.
    #[default]
    Long = 64,
    /// 32-bit protected or compatibility mode.
    Compat32 = 32,
    /// 16-bit protected or compatibility mode.
    Compat16 = 16,
}

impl Mode {
    /// Default operand and address size in bits, as printed.
    pub fn bits(self) -> u32 {
        self as u32
    }
}

/// x87 state. Registers are stored by physical number; TOP lives in `sw` bits 11 to 13.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct X87 {
    /// Physical registers R0 to R7.
    pub st: [F80; 8],
    /// Control word.
    pub cw: u16,
    /// Status word, TOP included.
    pub sw: u16,
    /// Bit n is set when physical register n is not empty (the abridged tag byte of FXSAVE).
    pub valid: u8,
    /// Whether the current instruction met a stack fault; not architectural, reset by each instruction.
    pub stack_fault: bool,
    /// Whether the current instruction read a denormal operand from memory; not architectural, reset by each instruction.
    pub denormal_operand: bool,
    /// Last x87 opcode (11 bits).
    pub fop: u16,
    /// Selector of the last instruction.
    pub fcs: u16,
    /// Selector of the last operand.
    pub fds: u16,
    /// Address of the last x87 instruction.
    pub fip: u64,
    /// Address of the last x87 memory operand.
    pub fdp: u64,
}

impl Default for X87 {
    /// The state after FNINIT (SDM vol. 1, section 8.1.5): all masked, extended precision, empty.
    fn default() -> Self {
        X87 {
            st: [F80::default(); 8],
            cw: 0x37f,
            sw: 0,
            valid: 0,
            stack_fault: false,
            denormal_operand: false,
            fop: 0,
            fcs: 0,
            fds: 0,
            fip: 0,
            fdp: 0,
        }
    }
}

impl X87 {
    /// TOP: the physical number of ST(0).
    pub fn top(&self) -> usize {
        usize::from(self.sw >> 11) & 7
    }
    /// FOP, FIP and FDP as FXSAVE, XSAVE and signal frames have them: while no unmasked exception is pending they are 0, as on AMD's processors (Intel's
    /// store what FNSTENV stores).
    pub fn pending_pointers(&self) -> (u16, u64, u64) {
        if self.sw & 0x80 != 0 { (self.fop & 0x7ff, self.fip, self.fdp) } else { (0, 0, 0) }
    }
    /// Makes ES and B of the status word what exceptions and masks say.
    pub fn summarise(&mut self) {
        const ES_B: u16 = 0x8080;
        if self.sw & !self.cw & 0x3f != 0 {
            self.sw |= ES_B;
        } else {
            self.sw &= !ES_B;
        }
    }
    /// Sets TOP.
    pub fn set_top(&mut self, top: usize) {
        self.sw = self.sw & !0x3800 | ((top as u16 & 7) << 11);
    }
}

/// A segment descriptor that the guest defined, in the terms of `struct user_desc` (asm/ldt.h). All zero: empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Descriptor {
    /// Base address in bytes.
    pub base: u32,
    /// Limit in bytes, or in pages with flag 16.
    pub limit: u32,
    /// seg_32bit 1, contents 2 and 4, read_exec_only 8, limit_in_pages 16, seg_not_present 32, useable 64, lm 128.
    pub flags: u32,
}

/// Upper halves of the vector registers, aligned: translated code uses them as memory operands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(16))]
pub struct UpperHalves(pub [[u64; 2]; 16]);

impl core::ops::Deref for UpperHalves {
    type Target = [[u64; 2]; 16];
    fn deref(&self) -> &[[u64; 2]; 16] {
        &self.0
    }
}

impl core::ops::DerefMut for UpperHalves {
    fn deref_mut(&mut self) -> &mut [[u64; 2]; 16] {
        &mut self.0
    }
}

/// What a segment register remembers of its descriptor besides the base (SDM vol. 3, section 3.4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Segment {
    /// The last byte, or for data that expands down the last one before the first.
    pub limit: u32,
    /// [`rights`]; 0 after a null selector.
    pub rights: u32,
}

impl Segment {
    /// Of a null selector: every access in 32-bit code is #GP.
    pub const NULL: Segment = Segment { limit: 0, rights: 0 };
    /// Flat data.
    pub const DATA: Segment = Segment { limit: u32::MAX, rights: rights::FLAT_DATA };
    /// Flat 32-bit code.
    pub const CODE32: Segment = Segment { limit: u32::MAX, rights: rights::FLAT_CODE32 };
    /// 64-bit code.
    pub const CODE64: Segment = Segment { limit: u32::MAX, rights: rights::FLAT_CODE64 };

    /// Whether all of `bits` are set.
    pub fn is(&self, bits: u32) -> bool {
        self.rights & bits == bits
    }

    /// Whether `bytes` at `offset` may be read, or written.
    pub fn allows(&self, offset: u64, bytes: u64, write: bool) -> bool {
        let code = self.is(rights::CODE);
        let kind = if write { !code && self.is(rights::SECOND) } else { !code || self.is(rights::SECOND) };
        let last = offset + (bytes - 1);
        let inside = if !code && self.is(rights::EXPAND_DOWN) {
            let most = if self.is(rights::BIG) { u32::MAX } else { 0xffff };
            offset > u64::from(self.limit) && last <= u64::from(most)
        } else {
            last <= u64::from(self.limit)
        };
        self.rights != 0 && kind && inside
    }
}

/// All architectural state of one guest thread.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct GuestState {
    /// General registers; 32-bit code uses the first eight, whose upper halves are then zero.
    pub gpr: [u64; 16],
    /// Instruction pointer.
    pub rip: u64,
    /// CF PF AF ZF SF OF at their EFLAGS positions, all other bits zero.
    pub flags: u32,
    /// The other EFLAGS bits (DF, TF, AC, ID, NT; IF and bit 1 always set).
    pub sys: u32,
    /// Segment bases in bytes; only FS and GS may be non-zero in 64-bit mode.
    pub seg_base: [u64; 6],
    /// Segment selectors.
    pub seg_sel: [u16; 6],
    /// Mode of the code at `rip`.
    pub mode: Mode,
    /// SSE control and status register.
    pub mxcsr: u32,
    /// x87 registers.
    pub x87: X87,
    /// XMM0 to XMM15, little-endian halves.
    pub xmm: [[u64; 2]; 16],
    /// Upper halves of YMM0 to YMM15, little-endian halves.
    pub ymm: UpperHalves,
    /// The thread's own GDT entries, 12 to 14 (selectors 0x63, 0x6b, 0x73): what set_thread_area(2) sets.
    pub tls: [Descriptor; 3],
    /// What the segment registers remember.
    pub seg: [Segment; 6],
    /// How many bytes from the beginning on may be accessed in FS and GS, in 32-bit code, up to 2^32, negated: the sum with the offset of an access's last
    /// byte is negative when it is inside.
    pub seg_end: [u64; 2],
    /// Whether there is something about a segment that translated code takes no notice of: [`GuestState::look_at_segments`].
    pub segmented: bool,
    /// Whether the thread has cleared status flags of MXCSR, so it looks at them: [`GuestState::set_mxcsr`].
    pub exact_sse: bool,
}

impl Default for GuestState {
    fn default() -> Self {
        GuestState {
            gpr: [0; 16],
            rip: 0,
            flags: 0,
            sys: eflags::FIXED | eflags::IF,
            seg_base: [0; 6],
            seg_sel: [0; 6],
            mode: Mode::Long,
            mxcsr: 0x1f80,
            x87: X87::default(),
            xmm: [[0; 2]; 16],
            ymm: UpperHalves::default(),
            tls: [Descriptor::default(); 3],
            seg: [Segment::DATA; 6],
            seg_end: [(1u64 << 32).wrapping_neg(); 2],
            segmented: false,
            exact_sse: false,
        }
    }
}

impl GuestState {
    /// Loads MXCSR as an instruction does. Whoever clears status flags and leaves rounding and denormals as they are (feclearexcept, feholdexcept,
    /// fesetenv) is going to look at them; so is who writes a register without flags as it is, for that is what clearing them looks like when none is set.
    /// Restoring another rounding, or adding flags, says nothing.
    pub fn set_mxcsr(&mut self, new: u32) {
        let old = std::mem::replace(&mut self.mxcsr, new);
        self.exact_sse |= (old ^ new) & 0xe040 == 0 && old & !new & 0x3f != 0 || old == new && new & 0x3f == 0;
    }

    /// To be called after segment registers or the mode have changed: sets [`GuestState::segmented`]. 64-bit code has no segments but for the bases
    /// of FS and GS; in other code everything is flat there too but for the bases and ends of these two, or code is to be run one instruction
    /// at a time.
    pub fn look_at_segments(&mut self) {
        for (end, s) in self.seg_end.iter_mut().zip(&self.seg[seg::FS..]) {
            *end = if s.rights == 0 { 0 } else { (u64::from(s.limit) + 1).wrapping_neg() };
        }
        let flat = |n: usize| self.seg_base[n] == 0 && self.seg[n].limit == u32::MAX;
        let data = |n: usize| {
            let s = &self.seg[n];
            s.rights == 0 || s.is(rights::SECOND) && s.rights & (rights::CODE | rights::EXPAND_DOWN) == 0
        };
        let usual = match self.mode {
            Mode::Long => true,
            Mode::Compat16 => false,
            Mode::Compat32 => {
                [seg::ES, seg::SS, seg::DS].into_iter().all(|n| flat(n) && data(n))
                    && self.seg[seg::SS].is(rights::BIG)
                    && flat(seg::CS)
                    && [seg::FS, seg::GS].into_iter().all(data)
            }
        };
        self.segmented = !usual || [seg::CS, seg::SS].into_iter().any(|n| self.is_unusable(n));
    }

    /// Whether CS or SS hold what cannot be in them: what signal frames and tracers leave there, and the next instruction faults for.
    fn is_unusable(&self, n: usize) -> bool {
        self.seg[n].rights == 0 && (n == seg::CS || self.mode != Mode::Long || self.seg_sel[n] & !3 != 0)
    }
    /// The architectural EFLAGS image.
    pub fn eflags(&self) -> u32 {
        self.flags & eflags::ARITH | self.sys & !eflags::ARITH | eflags::FIXED | eflags::IF
    }
    /// Takes over an EFLAGS image as user code may set it (`popf`, signal return): privileged bits stay.
    pub fn set_eflags(&mut self, image: u32) {
        self.flags = image & eflags::ARITH;
        self.sys = self.sys & !eflags::USER_SYS | image & eflags::USER_SYS | eflags::FIXED | eflags::IF;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_clears_status_flags_looks_at_them() {
        let looks = |old: u32, new: u32| {
            let mut state = GuestState { mxcsr: old, ..GuestState::default() };
            state.set_mxcsr(new);
            assert_eq!(state.mxcsr, new);
            state.exact_sse
        };
        // feclearexcept: some flags, all, and where there are none.
        assert!(looks(0x1fb0, 0x1fa0) && looks(0x1fbf, 0x1f80) && looks(0x1f80, 0x1f80));
        // feholdexcept and fesetenv(FE_DFL_ENV), with an exception unmasked before.
        assert!(looks(0x1da0, 0x1f80));
        // A rounding mode, and back with what was raised; feupdateenv, feraiseexcept; exceptions unmasked; FTZ and DAZ.
        for (old, new) in [(0x1fa0, 0x3fa0), (0x3fb0, 0x1fb0), (0x1f80, 0x1fa0), (0x1fa0, 0x1fa0), (0x1fa0, 0x1da0)] {
            assert!(!looks(old, new), "{old:x} {new:x}");
        }
        assert!(!looks(0x1fa0, 0x9fc0) && !looks(0x1fa0, 0x9fe0) && !looks(0x9fe0, 0x1f80));
        let mut state = GuestState { exact_sse: true, ..GuestState::default() };
        state.set_mxcsr(0x7f80);
        assert!(state.exact_sse, "for good");
    }
}
