//! Segment registers: what selectors stand for, and loading them (SDM vol. 3, sections 3.4 and 5.8).
//!
//! Translated code knows segments that are flat, with the bases of FS and GS and, in 32-bit code, their ends. Whatever else a segment register holds ([`GuestState::segmented`]) has the
//! processor run one instruction at a time, with limits and rights looked at for every access.

use crate::GuestSpace;
use demotic_ir::interp::Trap;
use demotic_ir::state::{Descriptor, GuestState, Mode, Segment, rights, seg};

/// Selectors of the flat user segments that 64-bit kernels set up (asm/segment.h).
pub mod selector {
    /// 32-bit code.
    pub const USER32_CS: u16 = 0x23;
    /// Data and stack.
    pub const USER_DS: u16 = 0x2b;
    /// 64-bit code.
    pub const USER_CS: u16 = 0x33;
    /// Not a segment: its limit is the number of the processor.
    pub const CPU_NODE: u16 = 0x7b;
    /// First of the three GDT entries for thread-local storage.
    pub const TLS_FIRST: u16 = 12;
}

/// What a selector stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    base: u64,
    /// Limit and rights.
    pub segment: Segment,
}

/// The descriptors that user code can name, as 64-bit kernels set them up (arch/x86/kernel/cpu/common.c).
pub(crate) fn find(state: &GuestState, sel: u16, space: &dyn GuestSpace) -> Option<Found> {
    if sel & 4 != 0 {
        return space.ldt(u32::from(sel >> 3)).map(user_descriptor);
    }
    let flat = |segment| Some(Found { base: 0, segment });
    match sel | 3 {
        selector::USER32_CS => flat(Segment::CODE32),
        selector::USER_DS => flat(Segment::DATA),
        selector::USER_CS => flat(Segment::CODE64),
        // The limit is the processor's number: how programs asked for it before rdpid.
        selector::CPU_NODE => flat(Segment { limit: crate::service::current_cpu(), rights: 0x40_f500 }),
        _ => {
            let entry = usize::from((sel >> 3).wrapping_sub(selector::TLS_FIRST));
            state.tls.get(entry).filter(|d| **d != Descriptor::default()).copied().map(user_descriptor)
        }
    }
}

/// What the kernel makes of a `user_desc` (fill_ldt, asm/desc.h).
fn user_descriptor(d: Descriptor) -> Found {
    let bit = |flag: u32, at: u32| if d.flags & flag != 0 { 1 << at } else { 0 };
    let kind = 1 | (d.flags >> 1 & 3) << 2 | if d.flags & 8 == 0 { 2 } else { 0 };
    let present = bit(32, 15) ^ rights::PRESENT;
    let rights = kind << 8 | 0x7000 | present | d.limit & 0xf_0000 | bit(64, 20) | bit(1, 22) | bit(16, 23);
    let limit = d.limit & 0xf_ffff;
    let limit = if d.flags & 16 != 0 { limit << 12 | 0xfff } else { limit };
    Found { base: u64::from(d.base), segment: Segment { limit, rights } }
}

/// An exception with a selector as error code.
fn refusal(vector: u8, sel: u16) -> Trap {
    Trap { code: u32::from(sel & 0xfffc), ..Trap::new(vector) }
}

/// What loading the data segment register `n` finds.
///
/// # Errors
/// #GP, #NP or #SS with the selector.
fn data(state: &GuestState, n: usize, sel: u16, space: &dyn GuestSpace) -> Result<Found, Trap> {
    let stack = n == seg::SS;
    if sel & 0xfffc == 0 {
        return if stack { Err(Trap::new(13)) } else { Ok(Found { base: 0, segment: Segment::NULL }) };
    }
    let gp = refusal(13, sel);
    let found = find(state, sel, space).ok_or(gp)?;
    let segment = found.segment;
    let fits = if stack {
        sel & 3 == 3 && !segment.is(rights::CODE) && segment.is(rights::SECOND)
    } else {
        !segment.is(rights::CODE) || segment.is(rights::SECOND)
    };
    match (fits, segment.is(rights::PRESENT)) {
        (false, _) => Err(gp),
        (true, false) => Err(refusal(if stack { 12 } else { 11 }, sel)),
        (true, true) => Ok(found),
    }
}

/// What a far transfer to a selector finds, and the mode of its code.
///
/// # Errors
/// #GP or #NP with the selector.
pub(crate) fn code(state: &GuestState, sel: u16, space: &dyn GuestSpace) -> Result<(Found, Mode), Trap> {
    if sel & 0xfffc == 0 {
        return Err(Trap::new(13));
    }
    let found = find(state, sel, space).filter(|f| f.segment.is(rights::CODE)).ok_or(refusal(13, sel))?;
    if !found.segment.is(rights::PRESENT) {
        return Err(refusal(11, sel));
    }
    let mode = if found.segment.is(rights::LONG) {
        Mode::Long
    } else if found.segment.is(rights::BIG) {
        Mode::Compat32
    } else {
        Mode::Compat16
    };
    Ok((found, mode))
}

fn set(state: &mut GuestState, n: usize, sel: u16, found: Found) {
    (state.seg_sel[n], state.seg_base[n], state.seg[n]) = (sel, found.base, found.segment);
    state.look_at_segments();
}

/// Has code go on in a segment that [`code`] found.
pub(crate) fn enter(state: &mut GuestState, sel: u16, (found, mode): (Found, Mode)) {
    state.mode = mode;
    set(state, seg::CS, sel | 3, found);
}

/// Loads a data segment register, as `mov` does.
///
/// # Errors
/// #UD for CS, else #GP, #NP or #SS with the selector; nothing has changed then.
pub(crate) fn load(state: &mut GuestState, n: usize, sel: u16, space: &dyn GuestSpace) -> Result<(), Trap> {
    if n == seg::CS || n > seg::GS {
        return Err(Trap::new(6));
    }
    let found = data(state, n, sel, space)?;
    set(state, n, sel, found);
    Ok(())
}

/// Loads DS, ES, FS or GS as the kernel does for a program: a selector that the processor refuses becomes a null selector.
pub fn load_or_null(state: &mut GuestState, n: usize, sel: u16, space: &dyn GuestSpace) {
    if load(state, n, sel, space).is_err() {
        set(state, n, 0, Found { base: 0, segment: Segment::NULL });
    }
}

/// Loads the registers among DS, ES, FS and GS that hold `sel`, because its descriptor has changed.
pub fn reload(state: &mut GuestState, sel: u16, space: &dyn GuestSpace) {
    for n in [seg::DS, seg::ES, seg::FS, seg::GS] {
        if state.seg_sel[n] == sel {
            load_or_null(state, n, sel, space);
        }
    }
}

/// Loads CS and SS as on the way from the kernel to user code. What the processor refuses stays in the register: the next instruction raises the
/// exception.
pub fn resume(state: &mut GuestState, cs: u16, ss: u16, space: &dyn GuestSpace) {
    state.mode = Mode::Compat32;
    match code(state, cs, space) {
        Ok(found) => enter(state, cs, found),
        Err(_) => set(state, seg::CS, cs, Found { base: 0, segment: Segment::NULL }),
    }
    let null = Found { base: 0, segment: Segment::NULL };
    let found = data(state, seg::SS, ss, space).unwrap_or(null);
    set(state, seg::SS, ss, found);
}

/// Why CS or SS, as [`resume`] left them, are refused; they are loaded if they are not any more. With a stack of the local table the kernel's way back is
/// another one (espfix, arch/x86/entry/entry_64.S), which tells no reason.
pub(crate) fn refused(state: &mut GuestState, space: &dyn GuestSpace) -> Option<Trap> {
    let ss = state.seg_sel[seg::SS];
    let plain = |trap| if ss & 4 != 0 { Trap::new(13) } else { trap };
    if state.seg[seg::CS].rights == 0 {
        match code(state, state.seg_sel[seg::CS], space) {
            Ok(found) => enter(state, state.seg_sel[seg::CS], found),
            Err(trap) => return Some(plain(trap)),
        }
    }
    if state.seg[seg::SS].rights == 0 && (state.mode != Mode::Long || ss & !3 != 0) {
        match data(state, seg::SS, ss, space) {
            Ok(found) => set(state, seg::SS, ss, found),
            Err(trap) => return Some(plain(trap)),
        }
    }
    None
}

/// On the way to user code selectors without a segment become 0 (SDM vol. 2, IRET).
fn forget_null(state: &mut GuestState) {
    for n in [seg::ES, seg::DS, seg::FS, seg::GS] {
        if state.seg_sel[n] & !3 == 0 {
            state.seg_sel[n] = 0;
        }
    }
}

/// The flat segments in which 32-bit signal handlers and programs begin.
pub fn flat32(state: &mut GuestState) {
    forget_null(state);
    state.mode = Mode::Compat32;
    for n in [seg::SS, seg::DS, seg::ES] {
        set(state, n, selector::USER_DS, Found { base: 0, segment: Segment::DATA });
    }
    set(state, seg::CS, selector::USER32_CS, Found { base: 0, segment: Segment::CODE32 });
}

/// The segments in which 64-bit signal handlers and programs begin: CS and SS.
pub fn flat64(state: &mut GuestState) {
    forget_null(state);
    state.mode = Mode::Long;
    set(state, seg::SS, selector::USER_DS, Found { base: 0, segment: Segment::DATA });
    set(state, seg::CS, selector::USER_CS, Found { base: 0, segment: Segment::CODE64 });
}

/// FS or GS as a base alone, as 64-bit programs set it.
pub fn set_base(state: &mut GuestState, n: usize, base: u64) {
    set(state, n, 0, Found { base, segment: Segment::NULL });
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Table(Vec<Descriptor>);

    impl GuestSpace for Table {
        fn base(&self) -> usize {
            0
        }
        fn limit(&self) -> u64 {
            0
        }
        fn fetch(&self, _pc: u64, _buf: &mut [u8]) -> usize {
            0
        }
        fn protect_code_page(&self, _page: u64) {}
        fn release_code_page(&self, _addr: u64) -> bool {
            false
        }
        fn ldt(&self, index: u32) -> Option<Descriptor> {
            self.0.get(index as usize).copied()
        }
    }

    #[test]
    fn what_may_be_loaded() {
        let entry = |flags| Descriptor { base: 0x1000, limit: 0xf_ffff, flags };
        // Data, read-only, absent, code, code that cannot be read, absent code, expanding down.
        let table = Table([0x51, 0x59, 0x71, 0x55, 0x5d, 0x75, 0x53].map(entry).to_vec());
        let sel = |index: u16| index << 3 | 7;
        let mut state = GuestState { mode: Mode::Compat32, ..GuestState::default() };
        let mut outcome = |n, s| load(&mut state, n, s, &table).err().map(|t| (t.vector, t.code));
        for (index, ds, ss) in
            [(0, 0, 0), (1, 0, 13), (2, 11, 12), (3, 0, 13), (4, 13, 13), (5, 11, 13), (6, 0, 0), (7, 13, 13)]
        {
            let code = u32::from(sel(index)) & !3;
            for (n, vector) in [(seg::DS, ds), (seg::SS, ss)] {
                assert_eq!(outcome(n, sel(index)), (vector != 0).then_some((vector, code)), "{index} {n}");
            }
        }
        assert_eq!(outcome(seg::SS, 0), Some((13, 0)));
        assert_eq!(outcome(seg::DS, 3), None);
        assert_eq!(outcome(seg::CS, 0x23), Some((6, 0)));
    }

    #[test]
    fn only_flat_segments_are_for_translated_code() {
        let wide = Descriptor { base: 0, limit: 0xf_ffff, flags: 0x51 };
        let based = Descriptor { base: 0x1000, ..wide };
        let table = Table(vec![wide, based]);
        let mut state = GuestState::default();
        flat32(&mut state);
        assert!(!state.segmented);
        for (n, sel, segmented) in [
            (seg::DS, 7, false),
            (seg::DS, 15, true),
            (seg::DS, 0x2b, false),
            (seg::ES, 0, true),
            (seg::ES, 0x2b, false),
            (seg::FS, 15, false),
            (seg::GS, 0, false),
            (seg::SS, 15, true),
        ] {
            assert_eq!(load(&mut state, n, sel, &table), Ok(()));
            assert_eq!(state.segmented, segmented, "{n} {sel}");
        }
        flat64(&mut state);
        assert!(!state.segmented);
        resume(&mut state, 0x33, 23, &table);
        assert!(state.segmented);
        assert_eq!(refused(&mut state, &table).map(|t| (t.vector, t.code)), Some((13, 0)));
        resume(&mut state, 0x23, 0x2b, &table);
        assert!(!state.segmented);
        resume(&mut state, 0x2b, 0x2b, &table);
        assert_eq!(refused(&mut state, &table).map(|t| (t.vector, t.code)), Some((13, 0x28)));
    }
}
