//! XSAVE, XSAVEOPT, XSAVEC, XRSTOR: the images of the processor's state (SDM vol. 1, chapter 13).
//!
//! Three components: x87, SSE, upper halves of YMM. A component is *in use* when it differs from its initial state; processors are free to take more for
//! being in use. Only what is in use is stored where the instruction leaves that open. Everything of XRSTOR is read and checked before anything changes.
//! A store that faults leaves what was stored before it, as processors do.

use crate::interp::{Memory, Trap};
use crate::state::{GuestState, Mode, X87};
use demotic_f80::F80;

/// x87 registers and control words.
pub const X87_STATE: u64 = 1;
/// XMM registers and MXCSR.
pub const SSE: u64 = 2;
/// Upper halves of YMM.
pub const AVX: u64 = 4;
/// Where the header stands, behind the FXSAVE image.
pub const HEADER: usize = 512;
/// Where the upper halves stand: in the compacted format, too, for no component is optional before them.
pub const UPPER: usize = 576;
/// The bits of MXCSR that may be set.
pub const MXCSR_MASK: u32 = 0xffff;
/// MXCSR's initial value.
const MXCSR: u32 = 0x1f80;
/// Bit of XCOMP_BV: the compacted format.
const COMPACT: u64 = 1 << 63;

/// Bytes of an image with these components.
pub const fn size(components: u64) -> usize {
    if components & AVX != 0 {
        UPPER + 256
    } else if components != 0 {
        UPPER
    } else {
        0
    }
}

/// The instructions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Everything asked for.
    Save,
    /// What is in use, in the standard format.
    SaveOptimised,
    /// What is in use, in the compacted format.
    SaveCompact,
    /// Back.
    Restore,
}

/// What an instruction is told besides the address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// Which instruction.
    pub form: Form,
    /// REX.W: instruction and operand addresses have 64 bits.
    pub wide: bool,
    /// The components that it is about: EDX:EAX and XCR0.
    pub components: u64,
    /// All that there are.
    pub xcr0: u64,
}

impl Request {
    /// As an operand of [`crate::block::Service::Xstate`].
    pub fn code(form: Form, wide: bool) -> u64 {
        form as u64 | u64::from(wide) << 2
    }

    /// From that operand, EDX:EAX and XCR0.
    pub fn new(code: u64, mask: u64, xcr0: u64) -> Request {
        let form = [Form::Save, Form::SaveOptimised, Form::SaveCompact, Form::Restore][(code & 3) as usize];
        Request { form, wide: code & 4 != 0, components: mask & xcr0, xcr0 }
    }
}

/// The components that differ from their initial state: what XGETBV says with ECX = 1.
pub fn in_use(state: &GuestState) -> u64 {
    let n = registers(state);
    let x = &state.x87;
    let clean = x.cw == 0x37f && x.sw == 0 && x.valid == 0 && x.fop == 0 && x.fip == 0 && x.fdp == 0;
    let x87 = !clean || x.st.iter().any(|f| f.mant != 0 || f.se != 0);
    let used = |v: &[[u64; 2]]| v[..n].iter().any(|x| *x != [0, 0]);
    let of = |used: bool, component: u64| if used { component } else { 0 };
    of(x87, X87_STATE) | of(used(&state.xmm), SSE) | of(used(&*state.ymm), AVX)
}

/// Vector registers of the mode.
fn registers(state: &GuestState) -> usize {
    if state.mode == Mode::Long { 16 } else { 8 }
}

/// Executes one of the instructions.
///
/// # Errors
/// The exception that it raises.
pub fn run<M: Memory>(state: &mut GuestState, mem: &mut M, addr: u64, request: Request) -> Result<(), Trap> {
    if addr & 63 != 0 {
        return Err(Trap::new(13));
    }
    match request.form {
        Form::Restore => restore(state, mem, addr, request),
        _ => save(state, mem, addr, request),
    }
}

fn save<M: Memory>(state: &GuestState, mem: &mut M, addr: u64, request: Request) -> Result<(), Trap> {
    let asked = request.components;
    let compact = request.form == Form::SaveCompact;
    let mut used = in_use(state);
    if compact && state.mxcsr != MXCSR {
        used |= SSE;
    }
    let old = if compact { 0 } else { mem.load64(addr + HEADER as u64)? };
    let stored = if request.form == Form::Save { asked } else { asked & used };
    let at = |offset: usize| addr.wrapping_add(offset as u64);
    if stored & X87_STATE != 0 {
        let x = &state.x87;
        let (fop, fip, fdp) = x.pending_pointers();
        mem.store64(addr, u64::from(x.cw) | u64::from(x.sw) << 16 | u64::from(x.valid) << 32 | u64::from(fop) << 48)?;
        for (offset, pointer, selector) in [(8, fip, x.fcs), (16, fdp, x.fds)] {
            let selector = if x.sw & 0x80 != 0 { selector } else { 0 };
            let narrow = pointer & 0xffff_ffff | u64::from(selector) << 32;
            mem.store64(at(offset), if request.wide { pointer } else { narrow })?;
        }
        for i in 0..8 {
            let st = x.st[(x.top() + i) & 7];
            mem.store128(at(32 + 16 * i), [st.mant, u64::from(st.se)])?;
        }
    }
    let control = if compact { stored & SSE } else { asked & (SSE | AVX) };
    if control != 0 {
        mem.store64(at(24), u64::from(state.mxcsr) | u64::from(MXCSR_MASK) << 32)?;
    }
    for i in 0..registers(state) {
        if stored & SSE != 0 {
            mem.store128(at(160 + 16 * i), state.xmm[i])?;
        }
        if stored & AVX != 0 {
            mem.store128(at(UPPER + 16 * i), state.ymm[i])?;
        }
    }
    mem.store64(at(HEADER), old & !asked | asked & used)?;
    if compact {
        mem.store64(at(HEADER + 8), asked | COMPACT)?;
    }
    Ok(())
}

fn restore<M: Memory>(state: &mut GuestState, mem: &mut M, addr: u64, request: Request) -> Result<(), Trap> {
    let at = |offset: usize| addr.wrapping_add(offset as u64);
    let mut header = [0; 8];
    for (i, word) in header.iter_mut().enumerate() {
        *word = mem.load64(at(HEADER + 8 * i))?;
    }
    let [present, format, ..] = header;
    let compact = format & COMPACT != 0;
    let wrong = if compact {
        format & !(COMPACT | request.xcr0) != 0 || present & !format != 0 || header[2..].iter().any(|w| *w != 0)
    } else {
        present & !request.xcr0 != 0 || header[1..3].iter().any(|w| *w != 0)
    };
    if wrong {
        return Err(Trap::new(13));
    }
    let asked = request.components;
    let loaded = asked & present;
    let mut new = state.clone();
    if asked & X87_STATE != 0 {
        new.x87 = X87::default();
    }
    if loaded & X87_STATE != 0 {
        let words = mem.load64(addr)?;
        let x = &mut new.x87;
        x.cw = words as u16 & 0x1f7f | 0x40;
        x.sw = (words >> 16) as u16;
        x.valid = (words >> 32) as u8;
        x.fop = (words >> 48) as u16 & 0x7ff;
        let (ip, dp) = (mem.load64(at(8))?, mem.load64(at(16))?);
        // Addresses of 48 bits.
        let cut = |v: u64| if request.wide { ((v << 16) as i64 >> 16) as u64 } else { v & 0xffff_ffff };
        (x.fip, x.fdp) = (cut(ip), cut(dp));
        if !request.wide {
            (x.fcs, x.fds) = ((ip >> 32) as u16, (dp >> 32) as u16);
        }
        let top = x.top();
        for i in 0..8 {
            let [mant, se] = mem.load128(at(32 + 16 * i))?;
            x.st[(top + i) & 7] = F80 { mant, se: se as u16 };
        }
        x.summarise();
    }
    // The standard format has MXCSR whatever the header says.
    let control = if compact { loaded & SSE } else { asked & (SSE | AVX) };
    if control != 0 {
        let mxcsr = mem.load32(at(24))?;
        if mxcsr & !MXCSR_MASK != 0 {
            return Err(Trap::new(13));
        }
        new.set_mxcsr(mxcsr);
    } else if compact && asked & SSE != 0 {
        new.set_mxcsr(MXCSR);
    }
    for i in 0..registers(state) {
        if asked & SSE != 0 {
            new.xmm[i] = if loaded & SSE != 0 { mem.load128(at(160 + 16 * i))? } else { [0; 2] };
        }
        if asked & AVX != 0 {
            new.ymm[i] = if loaded & AVX != 0 { mem.load128(at(UPPER + 16 * i))? } else { [0; 2] };
        }
    }
    *state = new;
    Ok(())
}
