//! What the executor answers between two instructions: processor identification, clocks, segment descriptors.

use crate::memory::{self, Segmented};
use crate::{Engine, Features, GuestSpace, segments};
use demotic_ir::block::Service;
use demotic_ir::interp::{Memory, Trap};
use demotic_ir::state::{GuestState, Mode, Segment, eflags, reg, rights, seg};
use demotic_ir::xstate;
use demotic_x86::cpuid;
use std::sync::OnceLock;

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

pub(crate) fn current_cpu() -> u32 {
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
            let request = xstate::Request::new(args[1], mask, features.xcr0());
            let mut memory = engine.memory();
            if state.segmented {
                xstate::run(state, &mut Segmented::new(memory, state), args[0], request)?;
            } else {
                xstate::run(state, &mut memory, args[0], request)?;
            }
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
        Service::LoadSeg => {
            let [form, value] = args;
            segments::load(state, form as usize & 0xff, (form >> 32) as u16, space)?;
            let sp = stack(state, form >> 8 & 0xff);
            state.gpr[reg::RSP] = sp;
            if let Some(n) = (form >> 16 & 0xff).checked_sub(1) {
                write(state, n as usize & 15, form >> 24 & 0xff, value);
            }
        }
        Service::Far => {
            let memory = engine.memory();
            return if state.segmented {
                far(state, args, next, space, &mut Segmented::new(memory, state))
            } else {
                far(state, args, next, space, &mut { memory })
            };
        }
    }
    state.rip = next;
    Ok(())
}

/// Writes a general register in the given width in bytes.
fn write(state: &mut GuestState, n: usize, bytes: u64, v: u64) {
    let r = &mut state.gpr[n];
    *r = match bytes {
        2 => *r & !0xffff | v & 0xffff,
        4 => v & 0xffff_ffff,
        _ => v,
    };
}

/// Bits of the stack pointer that the stack segment has it count with.
fn stack_mask(state: &GuestState) -> u64 {
    match state.mode {
        Mode::Long => u64::MAX,
        _ if state.seg[seg::SS].is(rights::BIG) => 0xffff_ffff,
        _ => 0xffff,
    }
}

/// The stack pointer, moved by `delta` bytes.
fn stack(state: &GuestState, delta: u64) -> u64 {
    let (sp, mask) = (state.gpr[reg::RSP], stack_mask(state));
    sp & !mask | sp.wrapping_add(delta) & mask
}

/// A value on the stack.
fn pop(state: &GuestState, memory: &mut dyn Memory, at: u64, bytes: u64) -> Result<u64, Trap> {
    let addr = at_stack(state, at);
    match bytes {
        2 => memory.load16(addr).map(u64::from),
        4 => memory.load32(addr).map(u64::from),
        _ => memory.load64(addr),
    }
    .map_err(of_stack)
}

/// The same for a store.
fn push(state: &GuestState, memory: &mut dyn Memory, at: u64, bytes: u64, v: u64) -> Result<(), Trap> {
    let addr = at_stack(state, at);
    match bytes {
        2 => memory.store16(addr, v as u16),
        4 => memory.store32(addr, v as u32),
        _ => memory.store64(addr, v),
    }
    .map_err(of_stack)
}

/// Linear address of `at` bytes from the stack pointer on, as [`Segmented`] takes it.
fn at_stack(state: &GuestState, at: u64) -> u64 {
    let offset = stack(state, at) & stack_mask(state);
    if state.segmented { memory::segment_address(state, seg::SS, offset) } else { offset }
}

/// #GP of an access to the stack is #SS.
fn of_stack(t: Trap) -> Trap {
    if t.vector == 13 { Trap { vector: 12, ..t } } else { t }
}

/// Far jmp, call, ret and iret, as [`Service::Far`] has them (SDM vol. 3, section 5.8.1). One that is refused changes nothing.
fn far(
    state: &mut GuestState,
    [form, offset]: [u64; 2],
    next: u64,
    space: &dyn GuestSpace,
    memory: &mut dyn Memory,
) -> Result<(), Trap> {
    let (kind, bytes, extra) = (form >> 16 & 15, form >> 20 & 15, form >> 32);
    let calls = kind == 1;
    let interrupt = kind == 3;
    let (mut sel, mut offset) = (form as u16, offset);
    let long = state.mode == Mode::Long;
    let mut flags = 0;
    let mut beyond = None;
    if kind >= 2 {
        // There are no tasks to return to.
        if interrupt && state.sys & eflags::NT != 0 {
            return Err(Trap::new(13));
        }
        offset = pop(state, memory, 0, bytes)?;
        sel = pop(state, memory, bytes, bytes)? as u16;
        if interrupt {
            flags = pop(state, memory, 2 * bytes, bytes)? as u32;
            if long {
                beyond = Some((pop(state, memory, 3 * bytes, bytes)?, pop(state, memory, 4 * bytes, bytes)? as u16));
            }
        }
        if sel & 0xfffc != 0 && sel & 3 != 3 {
            return Err(Trap { code: u32::from(sel & 0xfffc), ..Trap::new(13) });
        }
    }
    let found = segments::code(state, sel, space)?;
    let mode = found.1;
    let inside = match mode {
        Mode::Long => offset <= i64::MAX as u64 >> 16 || offset >= !(i64::MAX as u64 >> 16),
        _ => offset & 0xffff_ffff <= u64::from(found.0.segment.limit),
    };
    if !inside {
        return Err(Trap::new(13));
    }
    let mut sp = stack(state, 0);
    if calls {
        let cs = u64::from(state.seg_sel[seg::CS]);
        push(state, memory, bytes.wrapping_neg(), bytes, cs)?;
        push(state, memory, (2 * bytes).wrapping_neg(), bytes, next)?;
        sp = stack(state, (2 * bytes).wrapping_neg());
    } else if kind == 2 {
        sp = stack(state, 2 * bytes + extra);
    } else if interrupt {
        sp = stack(state, 3 * bytes);
    }
    let mut new = None;
    if let Some((pointer, ss)) = beyond {
        sp = pointer;
        new = Some(ss);
    }
    let before = (state.mode, state.seg_sel[seg::CS], state.seg_base[seg::CS], state.seg[seg::CS]);
    segments::enter(state, sel, found);
    if let Some(Err(trap)) = new.map(|ss| segments::load(state, seg::SS, ss, space)) {
        (state.mode, state.seg_sel[seg::CS], state.seg_base[seg::CS], state.seg[seg::CS]) = before;
        state.look_at_segments();
        return Err(trap);
    }
    // `iret` to a 16-bit stack loads the lower half alone.
    let kept = if beyond.is_some() && mode != Mode::Long { !stack_mask(state) & 0xffff_ffff } else { 0 };
    state.gpr[reg::RSP] = state.gpr[reg::RSP] & kept | sp & !kept;
    if interrupt {
        // As `popf` has it.
        let mask = if bytes == 2 { eflags::USER_SYS & 0xffff } else { eflags::USER_SYS };
        state.sys = state.sys & !mask | flags & mask;
        state.flags = flags & eflags::ARITH;
    }
    state.rip = demotic_x86::unit::wrap(mode, offset);
    Ok(())
}

/// lar, lsl, verr, verw: ZF tells whether there was something to see; the register changes only then.
fn look_up(state: &mut GuestState, sel: u16, code: u64, space: &dyn GuestSpace) {
    let found = if sel & 0xfffc == 0 { None } else { segments::find(state, sel, space) };
    let (which, n, width) = (code & 0xff, (code >> 8) as usize & 15, code >> 16);
    let seen = found.map(|f| f.segment).filter(|s| {
        let (code, second) = (s.is(rights::CODE), s.is(rights::SECOND));
        match which {
            2 => !code || second,
            3 => !code && second,
            _ => true,
        }
    });
    state.flags &= !eflags::ZF;
    let Some(Segment { limit, rights }) = seen else { return };
    state.flags |= eflags::ZF;
    let v = u64::from(if which == 0 { rights } else { limit });
    match (which, width) {
        (0 | 1, 16) => state.gpr[n] = state.gpr[n] & !0xffff | v & 0xffff,
        (0 | 1, _) => state.gpr[n] = v,
        _ => {}
    }
}
