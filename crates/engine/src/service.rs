//! What the executor answers between two instructions: processor identification, clocks, segment descriptors.

use crate::memory::GuestMemory;
use crate::{Engine, Features, GuestSpace};
use demotic_ir::block::Service;
use demotic_ir::interp::Trap;
use demotic_ir::state::{Descriptor, GuestState, Mode, eflags, reg, seg};
use demotic_ir::xstate;
use demotic_x86::cpuid;
use std::sync::OnceLock;

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

fn processors() -> u32 {
    static COUNT: OnceLock<u32> = OnceLock::new();
    *COUNT.get_or_init(|| {
        // The standard library would read the limits of control groups as well, which no guest can see by CPUID.
        let mut mask = [0u64; 128];
        // SAFETY: the kernel fills at most `mask` and says how much of it; -1 on failure.
        let n = unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, size_of_val(&mask), mask.as_mut_ptr()) };
        let words = usize::try_from(n).unwrap_or(0).div_ceil(8).min(mask.len());
        mask[..words].iter().map(|w| w.count_ones()).sum::<u32>().max(1)
    })
}

/// The time-stamp counter: nanoseconds of the monotonic clock, that is 1 GHz.
fn tsc() -> u64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is a valid timespec for the call to fill.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut ts) };
    (ts.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(ts.tv_nsec as u64)
}

/// Bits from the kernel's generator.
fn random() -> u64 {
    let mut bytes = [0u8; 8];
    // SAFETY: the call fills at most as many bytes as there are.
    let n = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    debug_assert_eq!(n, 8);
    u64::from_ne_bytes(bytes)
}

fn current_cpu() -> u32 {
    // SAFETY: no arguments; -1 on failure.
    u32::try_from(unsafe { libc::sched_getcpu() }).unwrap_or(0)
}

fn set32(state: &mut GuestState, n: usize, v: u32) {
    state.gpr[n] = u64::from(v);
}

/// Executes a service; on success `state.rip` is still to be set to the next instruction, except for far transfers.
pub(crate) fn run(
    what: Service,
    args: [u64; 2],
    next: u64,
    state: &mut GuestState,
    engine: &Engine,
) -> Result<(), Trap> {
    let (features, space) = (engine.features(), &*engine.space);
    match what {
        Service::Cpuid => {
            let (leaf, sub) = (state.gpr[reg::RAX] as u32, state.gpr[reg::RCX] as u32);
            let r = cpuid::cpuid(features, leaf, sub, current_cpu(), processors());
            for (n, v) in [reg::RAX, reg::RBX, reg::RCX, reg::RDX].into_iter().zip(r) {
                set32(state, n, v);
            }
        }
        Service::Rdtsc | Service::Rdtscp => {
            let t = tsc();
            set32(state, reg::RAX, t as u32);
            set32(state, reg::RDX, (t >> 32) as u32);
            if what == Service::Rdtscp {
                set32(state, reg::RCX, current_cpu());
            }
        }
        Service::Xgetbv => {
            let value = match state.gpr[reg::RCX] as u32 {
                0 => features.xcr0(),
                1 if features.has(Features::XGETBV1) => xstate::in_use(state) & features.xcr0(),
                _ => return Err(Trap::new(13)),
            };
            set32(state, reg::RAX, value as u32);
            set32(state, reg::RDX, (value >> 32) as u32);
        }
        Service::Xstate => {
            let mask = state.gpr[reg::RDX] << 32 | state.gpr[reg::RAX] & 0xffff_ffff;
            let mut memory = GuestMemory { base: space.base(), limit: space.limit() };
            xstate::run(state, &mut memory, args[0], xstate::Request::new(args[1], mask, features.xcr0()))?;
        }
        Service::Random => {
            let v = random();
            let r = &mut state.gpr[args[0] as usize & 15];
            *r = match args[1] {
                16 => *r & !0xffff | v & 0xffff,
                32 => v & 0xffff_ffff,
                _ => v,
            };
            state.flags = eflags::CF;
        }
        Service::Descriptor => look_up(state, args[0] as u16, args[1], space),
        Service::Rdpid => state.gpr[args[0] as usize & 15] = u64::from(current_cpu()),
        // Coming here was the point.
        Service::Trace => {}
        Service::LoadSeg => load_segment(state, args[0] as usize, args[1] as u16, space)?,
        Service::Far => {
            let mode = match args[0] as u16 {
                selector::USER32_CS => Mode::Compat32,
                selector::USER_CS => Mode::Long,
                s => return Err(Trap { code: u32::from(s & 0xfffc), ..Trap::new(13) }),
            };
            state.seg_sel[seg::CS] = args[0] as u16;
            state.mode = mode;
            state.rip = demotic_x86::unit::wrap(mode, args[1]);
            return Ok(());
        }
    }
    state.rip = next;
    Ok(())
}

/// The descriptors that user code may look at, as 64-bit kernels set them up (arch/x86/kernel/cpu/common.c): access rights as `lar` gives them, and the limit
/// in bytes.
fn descriptor(state: &GuestState, sel: u16, space: &dyn GuestSpace) -> Option<(u32, u32)> {
    if sel & 4 != 0 {
        return space.ldt(u32::from(sel >> 3)).map(user_descriptor);
    }
    match sel | 3 {
        selector::USER32_CS => Some((0xcf_fb00, u32::MAX)),
        selector::USER_DS => Some((0xcf_f300, u32::MAX)),
        selector::USER_CS => Some((0xaf_fb00, u32::MAX)),
        // The limit is the processor's number: how programs asked for it before rdpid.
        selector::CPU_NODE => Some((0x40_f500, current_cpu())),
        _ => {
            let entry = usize::from((sel >> 3).wrapping_sub(selector::TLS_FIRST));
            state.tls.get(entry).filter(|d| **d != Descriptor::default()).copied().map(user_descriptor)
        }
    }
}

/// What the kernel makes of a `user_desc` (fill_ldt, asm/desc.h).
fn user_descriptor(d: Descriptor) -> (u32, u32) {
    let bit = |flag: u32, at: u32| if d.flags & flag != 0 { 1 << at } else { 0 };
    let kind = 1 | (d.flags >> 1 & 3) << 2 | if d.flags & 8 == 0 { 2 } else { 0 };
    let present = bit(32, 15) ^ 1 << 15;
    let rights = kind << 8 | 0x7000 | present | d.limit & 0xf_0000 | bit(64, 20) | bit(1, 22) | bit(16, 23);
    let limit = d.limit & 0xf_ffff;
    (rights, if d.flags & 16 != 0 { limit << 12 | 0xfff } else { limit })
}

/// lar, lsl, verr, verw: ZF tells whether there was something to see; the register changes only then.
fn look_up(state: &mut GuestState, sel: u16, code: u64, space: &dyn GuestSpace) {
    let found = if sel & 0xfffc == 0 { None } else { descriptor(state, sel, space) };
    let (which, n, width) = (code & 0xff, (code >> 8) as usize & 15, code >> 16);
    let seen = found.filter(|(rights, _)| {
        let (code, second) = (rights >> 11 & 1 != 0, rights >> 9 & 1 != 0);
        match which {
            2 => !code || second,
            3 => !code && second,
            _ => true,
        }
    });
    state.flags &= !eflags::ZF;
    let Some((rights, limit)) = seen else { return };
    state.flags |= eflags::ZF;
    let v = u64::from(if which == 0 { rights } else { limit });
    match (which, width) {
        (0 | 1, 16) => state.gpr[n] = state.gpr[n] & !0xffff | v & 0xffff,
        (0 | 1, _) => state.gpr[n] = v,
        _ => {}
    }
}

/// Loads a data segment register (SDM vol. 3, section 3.4): the base comes from the descriptor.
fn load_segment(state: &mut GuestState, n: usize, sel: u16, space: &dyn GuestSpace) -> Result<(), Trap> {
    let gp = Trap { code: u32::from(sel & 0xfffc), ..Trap::new(13) };
    if n == seg::CS || n > seg::GS {
        return Err(Trap::new(6));
    }
    let base = if sel & 0xfffc == 0 {
        if n == seg::SS && state.mode != Mode::Long {
            return Err(gp);
        }
        0
    } else if n == seg::SS && sel & 3 != 3 {
        return Err(gp);
    } else if sel & 4 != 0 {
        space.ldt(u32::from(sel >> 3)).ok_or(gp)?.base
    } else {
        match sel | 3 {
            selector::USER_DS => 0,
            selector::USER32_CS | selector::USER_CS if n != seg::SS => 0,
            _ => {
                let entry = (sel >> 3).wrapping_sub(selector::TLS_FIRST);
                match state.tls.get(usize::from(entry)) {
                    Some(d) if *d != Descriptor::default() => d.base,
                    _ => return Err(gp),
                }
            }
        }
    };
    // In 32-bit code the lifter has these begin at 0: refused, instead of reaching other memory.
    if base != 0 && n < seg::FS && state.mode != Mode::Long {
        return Err(gp);
    }
    state.seg_sel[n] = sel;
    state.seg_base[n] = u64::from(base);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl GuestSpace for Nothing {
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
    }

    #[test]
    fn segments_with_a_base() {
        let sel = selector::TLS_FIRST << 3 | 3;
        for (mode, n, base, loads) in [
            (Mode::Compat32, seg::DS, 0x1000, false),
            (Mode::Compat32, seg::ES, 0x1000, false),
            (Mode::Compat32, seg::SS, 0x1000, false),
            (Mode::Compat32, seg::DS, 0, true),
            (Mode::Compat32, seg::GS, 0x1000, true),
            // The processor takes no notice of the base there.
            (Mode::Long, seg::DS, 0x1000, true),
        ] {
            let mut state = GuestState { mode, ..GuestState::default() };
            state.tls[0] = Descriptor { base, limit: 0xf_ffff, flags: 0x51 };
            let before = state.seg_sel[n];
            match load_segment(&mut state, n, sel, &Nothing) {
                Ok(()) => assert!(loads && (state.seg_sel[n], state.seg_base[n]) == (sel, u64::from(base))),
                Err(trap) => {
                    assert!(!loads && (trap.vector, trap.code) == (13, u32::from(sel & 0xfffc)));
                    assert_eq!(state.seg_sel[n], before);
                }
            }
        }
    }
}
