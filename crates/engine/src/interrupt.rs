//! What a signal means for translated code. signal-safe (all but [`remember`] and [`forget`]).
//!
//! A fault or a captured signal in a unit's code: the handler saves all registers in the frame's snapshot and lets the thread go on at the runtime's
//! way out, which returns [`kind::FAULT`](demotic_codegen::frame::kind::FAULT); everything else happens in ordinary code. In the
//! runtime's own code the ranges of [`Runtime`] say what to do; in a helper nothing, because the helper's trampoline looks at the thread's
//! attention when it returns.
//!
//! The handler finds regions in a fixed table of atomics and the frame in a thread-local; it takes no lock.

use demotic_codegen::frame::Frame;
use demotic_codegen::{Interrupted, Runtime};
use demotic_host::code::Code;
use demotic_host::{arch, capture, guarded};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// Most regions at a time: one current, others on their way out.
const REGIONS: usize = 64;

struct Known {
    start: AtomicUsize,
    size: AtomicUsize,
    runtime: AtomicPtr<Runtime>,
}

static KNOWN: [Known; REGIONS] = [const {
    Known { start: AtomicUsize::new(0), size: AtomicUsize::new(0), runtime: AtomicPtr::new(std::ptr::null_mut()) }
}; REGIONS];

thread_local! {
    static FRAME: Cell<*mut Frame> = const { Cell::new(std::ptr::null_mut()) };
    static MISALIGNED: Cell<bool> = const { Cell::new(false) };
    /// The host PC from which translated code is to do one step (0 when it is not being stepped), and whether it got there.
    static STEP_FROM: Cell<(usize, bool)> = const { Cell::new((0, false)) };
}

/// Makes a region known to the handlers. False when there are too many.
pub(crate) fn remember(start: usize, size: usize, runtime: &Arc<Runtime>) -> bool {
    for known in &KNOWN {
        if known.size.compare_exchange(0, size, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            // The handlers may look at it for as long as the process lives.
            known.runtime.store(Arc::into_raw(runtime.clone()).cast_mut(), Ordering::Release);
            known.start.store(start, Ordering::Release);
            return true;
        }
    }
    false
}

/// Takes a region out of the table.
pub(crate) fn forget(start: usize) {
    for known in &KNOWN {
        if known.start.compare_exchange(start, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            known.size.store(0, Ordering::Release);
        }
    }
}

/// Installs the hooks.
pub(crate) fn install() {
    guarded::set_code_hook(fault);
    capture::set_kick(kick);
}

/// Makes `frame` the one that this thread's translated code runs on.
pub(crate) fn set_frame(frame: *mut Frame) {
    if FRAME.get() != frame {
        FRAME.set(frame);
        arch::set_frame_base(frame as usize);
    }
}

/// From now on this thread is single-stepped: it leaves translated code behind the next instruction at or after `pc`. Ends by itself.
pub(crate) fn step_from(pc: usize) {
    STEP_FROM.set((pc, false));
}

/// Takes a trap behind a host instruction, if it belongs to a step of translated code. Only x86-64 hosts have them. signal-safe.
pub fn stepped(context: &mut libc::ucontext_t) -> bool {
    let (from, arrived) = STEP_FROM.get();
    let pc = arch::pc(context);
    if from == 0 {
        return false;
    }
    // On the way in, or just arrived.
    if !arrived {
        STEP_FROM.set((from, pc == from));
        return true;
    }
    STEP_FROM.set((0, false));
    arch::set_single_step(context, false);
    // One instruction later: in a unit, or already on a way out.
    leave(context);
    true
}

/// Whether the last fault of this thread was one of alignment; asking forgets it.
pub(crate) fn take_misaligned() -> bool {
    MISALIGNED.replace(false)
}

/// Whether a host PC is in translated code or its runtime. signal-safe.
pub fn is_translated(pc: usize) -> bool {
    KNOWN.iter().any(|k| {
        let start = k.start.load(Ordering::Acquire);
        start != 0 && (start..start + k.size.load(Ordering::Relaxed)).contains(&pc)
    })
}

/// Lets an interrupted thread leave translated code, if it is in there: for handlers other than those of [`capture`]. signal-safe.
pub fn leave(context: &mut libc::ucontext_t) -> bool {
    let pc = arch::pc(context);
    for known in &KNOWN {
        let start = known.start.load(Ordering::Acquire);
        if start == 0 || !(start..start + known.size.load(Ordering::Relaxed)).contains(&pc) {
            continue;
        }
        // SAFETY: `remember` stored it and nobody frees it.
        let runtime = unsafe { &*known.runtime.load(Ordering::Acquire) };
        let offset = pc - start;
        if offset < runtime.code.len() {
            for &(from, to, what) in &runtime.ranges {
                if let (true, Interrupted::Redirect(at)) = ((from as usize..to as usize).contains(&offset), what) {
                    arch::set_pc(context, start + at as usize);
                }
            }
            return true;
        }
        let frame = FRAME.get();
        if frame.is_null() {
            return false;
        }
        // SAFETY: the frame of this thread, which is in translated code: nobody else has a reference to it.
        let regs = unsafe { &mut (*frame).snapshot };
        STEP_FROM.set((0, false));
        arch::set_single_step(context, false);
        let (flags, fpcr, fpsr) = arch::save_context(context, &mut regs.gpr, &mut regs.vec);
        regs.flags = flags;
        regs.fpcr = fpcr;
        regs.fpsr = fpsr;
        regs.pc = pc as u64;
        arch::set_pc(context, start + runtime.fault as usize);
        return true;
    }
    false
}

fn kick(context: &mut libc::ucontext_t) {
    leave(context);
}

fn fault(_: i32, info: &libc::siginfo_t, context: &mut libc::ucontext_t) -> bool {
    if info.si_code <= 0 {
        return false;
    }
    if info.si_signo == libc::SIGTRAP {
        return stepped(context);
    }
    let pc = arch::pc(context);
    // SAFETY: for faults the kernel fills in the address.
    let addr = unsafe { info.si_addr() } as usize;
    if !is_translated(pc) {
        return false;
    }
    if info.si_signo == libc::SIGSEGV && Code::is_flip_fault(pc, addr) {
        // Somebody is writing to this page; it will be executable again in a moment.
        // SAFETY: no arguments.
        unsafe { libc::sched_yield() };
        return true;
    }
    if info.si_signo == libc::SIGBUS && info.si_code == libc::BUS_ADRALN {
        MISALIGNED.set(true);
    }
    leave(context)
}
