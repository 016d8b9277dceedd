//! The silicon's side: runs one instruction on the real processor, in 64-bit or compatibility mode.
//!
//! Approach: signal frames carry the whole register state in both directions. A SIGUSR1 handler replaces the state in its
//! frame by the case's (general registers, flags with TF, CS, x87 and SSE image) and returns: the processor executes one
//! instruction and traps (or faults). The handler of that signal copies the state out, puts the saved frame contents back and
//! returns to the harness. No assembly, and every fault is survived.
//!
//! Compatibility mode is reached by CS = 0x23 in the frame. DS and ES hold the flat data selector from the start, because
//! 64-bit processes begin with null ones. Handlers run on an alternate stack; FS (thread-local storage) is never touched:
//! the generator makes no FS or GS accesses.

use crate::case::{CODE, Case, DATA, DATA_LEN, Outcome};
use demotic_f80::F80;
use demotic_ir::state::{GuestState, Mode, eflags};
use demotic_x86::features::Features;
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};

/// Order of the general registers in `gregs` (sys/ucontext.h): index for each register number.
const GREG: [usize; 16] = [13, 14, 12, 11, 15, 10, 9, 8, 0, 1, 2, 3, 4, 5, 6, 7];
const REG_RIP: usize = 16;
const REG_EFL: usize = 17;
const REG_CSGSFS: usize = 18;
const REG_ERR: usize = 19;
const REG_TRAPNO: usize = 20;
const REG_CR2: usize = 22;

const FXSAVE: usize = 512;
/// Where the standard format of XSAVE has the upper halves of YMM (CPUID leaf 13, subleaf 2, EBX), and where they end.
const YMM: usize = 576;
const AREA: usize = YMM + 256;
/// Bytes of the XSAVE header behind the legacy area that are changed: XSTATE_BV.
const XSTATE_BV: usize = 512;

struct Shared {
    input: GuestState,
    output: Option<(GuestState, (u8, u32, u64))>,
    saved_gregs: [i64; 23],
    saved_fx: [u8; AREA],
    avx: bool,
}

struct Cell(UnsafeCell<Option<Box<Shared>>>);
// SAFETY: only one thread uses the harness (the lock in `Harness::new`), handlers run on that thread.
unsafe impl Sync for Cell {}
static SHARED: Cell = Cell(UnsafeCell::new(None));
static ARMED: AtomicBool = AtomicBool::new(false);
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The harness; one in a process, used by one thread.
#[derive(Debug)]
pub struct Harness {
    code: *mut u8,
    data: *mut u8,
    features: Features,
}

fn fx(context: &mut libc::ucontext_t, avx: bool) -> &'static mut [u8] {
    let p = context.uc_mcontext.fpregs.cast::<u8>();
    // SAFETY: the kernel stores at least FXSAVE area and XSAVE header there for the duration of the handler, and with AVX the upper halves behind.
    unsafe { std::slice::from_raw_parts_mut(p, if avx { AREA } else { FXSAVE + 64 }) }
}

fn put_fx(image: &mut [u8], s: &GuestState) {
    image[0..2].copy_from_slice(&s.x87.cw.to_le_bytes());
    image[2..4].copy_from_slice(&s.x87.sw.to_le_bytes());
    image[4..6].copy_from_slice(&[s.x87.valid, 0]);
    image[6..24].fill(0);
    image[24..28].copy_from_slice(&s.mxcsr.to_le_bytes());
    for i in 0..8 {
        // The image is in stack order.
        let f = s.x87.st[(s.x87.top() + i) & 7];
        image[32 + 16 * i..42 + 16 * i].copy_from_slice(&f.to_bytes());
    }
    for (i, x) in s.xmm.iter().enumerate() {
        image[160 + 16 * i..168 + 16 * i].copy_from_slice(&x[0].to_le_bytes());
        image[168 + 16 * i..176 + 16 * i].copy_from_slice(&x[1].to_le_bytes());
    }
    if let Some(upper) = image.get_mut(YMM..AREA) {
        for (to, x) in upper.chunks_exact_mut(8).zip(s.ymm.as_flattened()) {
            to.copy_from_slice(&x.to_le_bytes());
        }
        image[XSTATE_BV] |= 4;
    }
}

fn get_fx(image: &[u8], s: &mut GuestState) {
    let u16_at = |at: usize| u16::from_le_bytes([image[at], image[at + 1]]);
    let u64_at = |at: usize| u64::from_le_bytes(image[at..at + 8].try_into().unwrap_or_default());
    s.x87.cw = u16_at(0);
    s.x87.sw = u16_at(2);
    s.x87.valid = image[4];
    (s.x87.fop, s.x87.fip, s.x87.fdp) = (u16_at(6), u64_at(8), u64_at(16));
    s.mxcsr = u64_at(24) as u32;
    for i in 0..8 {
        let n = (s.x87.top() + i) & 7;
        s.x87.st[n] = F80 { mant: u64_at(32 + 16 * i), se: u16_at(40 + 16 * i) };
    }
    for i in 0..16 {
        s.xmm[i] = [u64_at(160 + 16 * i), u64_at(168 + 16 * i)];
        if image.len() >= AREA {
            // Not in use means zero.
            let used = image[XSTATE_BV] & 4 != 0;
            let half = |k: usize| if used { u64_at(YMM + 16 * i + k) } else { 0 };
            s.ymm[i] = [half(0), half(8)];
        }
    }
}

extern "C" fn handler(signo: i32, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid ucontext; SHARED is filled before any signal is raised.
    let (context, shared) = unsafe { (&mut *context.cast::<libc::ucontext_t>(), &mut *SHARED.0.get()) };
    let Some(shared) = shared else { return };
    let g = &mut context.uc_mcontext.gregs;
    if signo == libc::SIGUSR1 {
        shared.saved_gregs.copy_from_slice(&g[..23]);
        for (n, &at) in GREG.iter().enumerate() {
            g[at] = shared.input.gpr[n] as i64;
        }
        g[REG_RIP] = shared.input.rip as i64;
        g[REG_EFL] = i64::from(shared.input.eflags());
        if shared.input.mode == Mode::Compat32 {
            g[REG_CSGSFS] = g[REG_CSGSFS] & !0xffff | 0x23;
        }
        let image = fx(context, shared.avx);
        shared.saved_fx[..image.len()].copy_from_slice(image);
        put_fx(image, &shared.input);
        // x87 and SSE state are in use, whatever was saved.
        image[XSTATE_BV] |= 3;
        ARMED.store(true, Ordering::SeqCst);
        return;
    }
    if !ARMED.swap(false, Ordering::SeqCst) {
        // A fault of the harness itself: let it happen again without us.
        // SAFETY: resetting a signal to its default.
        unsafe { libc::signal(signo, libc::SIG_DFL) };
        return;
    }
    let mut out = shared.input.clone();
    for (n, &at) in GREG.iter().enumerate() {
        out.gpr[n] = g[at] as u64;
    }
    out.rip = g[REG_RIP] as u64;
    let efl = g[REG_EFL] as u32;
    out.flags = efl & eflags::ARITH;
    out.sys = efl & !(eflags::ARITH | eflags::RF) | eflags::FIXED | eflags::IF;
    let fault = (g[REG_TRAPNO] as u8, g[REG_ERR] as u32, g[REG_CR2] as u64);
    g[..23].copy_from_slice(&shared.saved_gregs);
    let image = fx(context, shared.avx);
    get_fx(image, &mut out);
    let n = image.len();
    image.copy_from_slice(&shared.saved_fx[..n]);
    image[XSTATE_BV] |= 3;
    shared.output = Some((out, fault));
}

/// What this processor has of what guests may see.
fn host_features() -> Features {
    macro_rules! detected {
        ($($name:tt)*) => {
            [$(($name, std::is_x86_feature_detected!($name))),*]
        };
    }
    let known = detected!("avx" "avx2" "fma" "f16c" "vaes" "vpclmulqdq" "gfni" "sha" "aes" "pclmulqdq" "bmi1" "bmi2" "adx" "movbe" "lzcnt" "popcnt" "sse4a");
    let without: String = known.iter().filter(|(_, there)| !there).map(|(name, _)| format!(",-{name}")).collect();
    Features::parse(&format!("max{without}")).unwrap_or(Features::V2)
}

impl Harness {
    /// Whether the processor has the case's instruction at all.
    pub fn knows(&self, case: &Case) -> bool {
        let code = crate::decode(case).code();
        code == iced_x86::Code::INVALID || self.features.allow(code)
    }

    /// Sets up code and data pages, signal handlers and the alternate stack. `None` when one exists already.
    pub fn new() -> Option<Harness> {
        if TAKEN.swap(true, Ordering::SeqCst) {
            return None;
        }
        let map = |addr: u64, len: usize, prot| {
            // SAFETY: MAP_FIXED_NOREPLACE takes nothing that exists.
            let p = unsafe {
                libc::mmap(
                    addr as *mut _,
                    len,
                    prot,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE,
                    -1,
                    0,
                )
            };
            (p as u64 == addr).then_some(p.cast::<u8>())
        };
        let code = map(CODE & !0xfff, 0x1000, libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC)?;
        let data = map(DATA, DATA_LEN, libc::PROT_READ | libc::PROT_WRITE)?;
        let stack_len = 64 * 1024;
        // Far from every address that a case may leave in its stack pointer: the kernel would take that for being on it.
        let stack = map(0x5a5a_1234_0000, stack_len, libc::PROT_READ | libc::PROT_WRITE)?;
        // SAFETY: a fresh stack; handlers with the right signature; loading the flat data selector changes nothing in
        // 64-bit mode.
        unsafe {
            let alt = libc::stack_t { ss_sp: stack.cast(), ss_flags: 0, ss_size: stack_len };
            libc::sigaltstack(&alt, std::ptr::null_mut());
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigfillset(&mut action.sa_mask);
            for s in [libc::SIGUSR1, libc::SIGTRAP, libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE] {
                libc::sigaction(s, &action, std::ptr::null_mut());
            }
            std::arch::asm!("mov ds, {0:x}", "mov es, {0:x}", in(reg) 0x2bu32, options(nostack, preserves_flags));
        }
        Some(Harness { code, data, features: host_features() })
    }

    /// Runs a case on the processor.
    pub fn run(&mut self, case: &Case) -> Option<Outcome> {
        let data = case.data();
        // SAFETY: both pages are mapped and belong to the harness; the case's instruction is at most 15 bytes.
        unsafe {
            std::ptr::write_bytes(self.code, 0x90, 0x1000);
            let at = self.code.add((CODE & 0xfff) as usize);
            std::ptr::copy_nonoverlapping(case.bytes.as_ptr(), at, case.bytes.len().min(64));
            std::ptr::copy_nonoverlapping(data.as_ptr(), self.data, DATA_LEN);
            *SHARED.0.get() = Some(Box::new(Shared {
                input: case.state.clone(),
                output: None,
                saved_gregs: [0; 23],
                saved_fx: [0; AREA],
                avx: std::is_x86_feature_detected!("avx"),
            }));
            libc::raise(libc::SIGUSR1);
        }
        let mut after = vec![0; DATA_LEN];
        // SAFETY: as above; the handler has finished.
        let output = unsafe {
            std::ptr::copy_nonoverlapping(self.data, after.as_mut_ptr(), DATA_LEN);
            (*SHARED.0.get()).take()?.output
        };
        let (state, fault) = output?;
        if fault.0 == 1 && state.rip == case.state.rip && crate::decode(case).memory_index().is_vector_register() {
            // A gather that did some of its elements: the trap comes before the fault of the next one.
            let mem = after.iter().enumerate().map(|(at, v)| (at as u16, *v)).collect();
            let sys = state.sys | eflags::TF;
            return self.run(&Case { state: GuestState { sys, ..state }, mem, ..case.clone() });
        }
        // The trap of TF is how a completed instruction ends.
        let fault = (fault.0 != 1).then_some(match fault {
            (14, code, cr2) => (14, code, cr2),
            (vector, code, _) => (vector, code, 0),
        });
        Some(Outcome { state, data: after, fault })
    }
}
