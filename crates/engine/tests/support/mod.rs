//! What tests of translated code share: a window of memory for random sequences, and breakpoints at host instructions.

// Each test is a program of its own and uses some of it.
#![allow(dead_code)]

use demotic_engine::exit::Exit;
use demotic_engine::{Config, Cpu, Engine, Executor, Features, GuestSpace};
use demotic_host::signal;
use demotic_ir::state::Mode;
use demotic_oracle::case::{CODE, DATA, DATA_LEN, Outcome};
use demotic_oracle::generate::{Rng, make_tiny};
use demotic_oracle::sequence::Sequence;
use iced_x86::Mnemonic as M;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The code of the sequence at hand, which is at no real address, and the data window, which is.
pub struct Space {
    code: Mutex<Vec<u8>>,
    limit: u64,
}

impl GuestSpace for Space {
    fn base(&self) -> usize {
        0
    }
    fn limit(&self) -> u64 {
        self.limit
    }
    fn fetch(&self, pc: u64, buf: &mut [u8]) -> usize {
        let code = self.code.lock().expect("no panics");
        let Some(rest) = code.get(pc.wrapping_sub(CODE) as usize..) else { return 0 };
        buf.fill(0x90);
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        buf.len()
    }
    fn protect_code_page(&self, _: u64) {}
    fn release_code_page(&self, _: u64) -> bool {
        false
    }
}

/// A page of code, and data wherever it is, at their real addresses.
pub struct Page {
    pub code: usize,
    pub data: usize,
}

impl GuestSpace for Page {
    fn base(&self) -> usize {
        0
    }
    fn limit(&self) -> u64 {
        (1 << 47) - 4096
    }
    fn fetch(&self, pc: u64, buf: &mut [u8]) -> usize {
        let (pc, end) = (pc as usize, self.code + 4096);
        if !(self.code..end).contains(&pc) {
            return 0;
        }
        let n = buf.len().min(end - pc);
        // SAFETY: inside the code page.
        unsafe { std::ptr::copy_nonoverlapping(pc as *const u8, buf.as_mut_ptr(), n) };
        n
    }
    fn protect_code_page(&self, _: u64) {}
    fn release_code_page(&self, _: u64) -> bool {
        false
    }
}

/// 64-bit and 32-bit code, each with a space of its own, for every kind.
pub struct Translated([(Arc<Space>, Arc<Engine>); 2 * Kind::ALL.len()]);

/// How code is translated.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Without SSE's status flags where the host has no such ones.
    Fast,
    /// All status flags of SSE arithmetic.
    Exact,
    /// The same, with accesses in the order that other threads want.
    Shared,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Fast, Kind::Exact, Kind::Shared];
}

impl Translated {
    pub fn new() -> Translated {
        demotic_host::guarded::install().expect("handlers");
        // SAFETY: MAP_FIXED_NOREPLACE takes nothing that exists.
        let p = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
            libc::mmap(DATA as *mut _, DATA_LEN, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
        };
        assert_eq!(p as u64, DATA);
        Translated(std::array::from_fn(|n| {
            let (kind, limit) = (Kind::ALL[n / 2], [(1 << 47) - 4096, 1 << 32][n % 2]);
            let exact_sse = !matches!(kind, Kind::Fast);
            let space = Arc::new(Space { code: Mutex::new(Vec::new()), limit });
            let (executor, features) = (Executor::Jit, Features::MAX);
            let config = Config { executor, patience: 0, features, exact_sse, ..Config::default() };
            let engine = Engine::with(space.clone(), &config);
            if matches!(kind, Kind::Shared) {
                engine.share();
            }
            (space, engine)
        }))
    }

    /// Runs it from its beginning to its end.
    pub fn run(&self, sequence: &Sequence, kind: Kind) -> Outcome {
        self.engine(sequence, kind).invalidate(CODE & !0xfff, 0x1000);
        let (mut cpu, exit) = self.start(sequence, kind, Cpu::run);
        outcome(sequence, &mut cpu, exit)
    }

    /// Runs it as `run` does, from its beginning, with what has been translated of it.
    pub fn start(&self, sequence: &Sequence, kind: Kind, run: impl FnOnce(&mut Cpu) -> Exit) -> (Cpu, Exit) {
        let case = &sequence.case;
        self.space(sequence, kind).0.code.lock().expect("no panics").clone_from(&case.bytes);
        let data = case.data();
        // SAFETY: the window is ours, and nothing of Rust's is in it.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), DATA as *mut u8, DATA_LEN) };
        let mut cpu = Cpu::new(self.engine(sequence, kind), case.state.clone());
        let exit = run(&mut cpu);
        (cpu, exit)
    }

    /// What translates it.
    pub fn engine(&self, sequence: &Sequence, kind: Kind) -> &Arc<Engine> {
        &self.space(sequence, kind).1
    }

    fn space(&self, sequence: &Sequence, kind: Kind) -> &(Arc<Space>, Arc<Engine>) {
        &self.0[usize::from(sequence.case.mode != Mode::Long) + 2 * kind as usize]
    }
}

/// Where sequences come from: half of them from the program that `DEMOTIC_FILE` names, if it does.
pub struct Source(Option<Vec<u8>>);

impl Source {
    pub fn new() -> Source {
        Source(std::env::var("DEMOTIC_FILE").ok().map(|name| std::fs::read(name).expect("a program")))
    }

    /// The next one; half of them with numbers around the least normal one. `None`: another place of the program is to be tried.
    pub fn next(&self, rng: &mut Rng, mode: Mode) -> Option<Sequence> {
        // ELFCLASS32 and ELFCLASS64.
        let class = if mode == Mode::Long { 2 } else { 1 };
        let mut sequence = match &self.0 {
            Some(bytes) if bytes.get(4) == Some(&class) => Sequence::real(rng, mode, bytes)?,
            _ => Sequence::random(rng, mode),
        };
        if rng.one_in(2) {
            make_tiny(rng, &mut sequence.case.state);
        }
        Some(sequence)
    }
}

/// What a run has come to.
pub fn outcome(sequence: &Sequence, cpu: &mut Cpu, exit: Exit) -> Outcome {
    let mut data = vec![0; DATA_LEN];
    // SAFETY: the window is the test's.
    unsafe { std::ptr::copy_nonoverlapping(DATA as *const u8, data.as_mut_ptr(), DATA_LEN) };
    let fault = match exit {
        Exit::Exception(e) => Some((e.vector, e.error_code, e.address)),
        Exit::Attention => None,
        other => panic!("{other:?} of {}\n{}", sequence.text(), sequence.case.line()),
    };
    Outcome { state: cpu.state.clone(), data, fault }
}

/// Whether the instruction at a model's fault has an address that only its top byte makes non-canonical: AArch64's MMU ignores that byte (README), so
/// there is no fault.
pub fn has_top_byte(s: &Sequence, model: &Outcome) -> bool {
    let (state, bits) = (&model.state, s.case.mode.bits());
    let code = s.case.bytes.get(state.rip.wrapping_sub(CODE) as usize..).unwrap_or_default();
    let insn = iced_x86::Decoder::with_ip(bits, code, state.rip, iced_x86::DecoderOptions::NONE).decode();
    let value = |r: iced_x86::Register, _, _| {
        Some(if r.is_gpr() {
            state.gpr[r.full_register().number()] & (u64::MAX >> (64 - 8 * r.size().min(8)))
        } else {
            0
        })
    };
    // A bit may be far from where the operand says.
    let far = match insn.mnemonic() {
        M::Bt | M::Bts | M::Btr | M::Btc if insn.op_register(1).is_gpr() => {
            let r = insn.op_register(1);
            let unused = 64 - 8 * r.size() as u32;
            ((state.gpr[r.full_register().number()] << unused) as i64 >> unused >> 3) as u64
        }
        _ => 0,
    };
    let operands = (0..insn.op_count()).filter_map(|n| Some(insn.virtual_address(n, 0, value)?.wrapping_add(far)));
    // Pushes and pops have no operand of their own. Gathers have several.
    let mut all = operands.chain([state.gpr[4], state.gpr[5]]);
    insn.is_vsib()
        || all.any(|a| {
            a >> 56 != 0 && a >> 48 & 0xff == 0 || a.wrapping_sub(64) >> 56 != 0 && a.wrapping_sub(64) >> 48 & 0xff == 0
        })
}

/// Whether an instruction of the sequence stores MXCSR.
pub fn stores_mxcsr(s: &Sequence) -> bool {
    use iced_x86::Mnemonic::*;
    let mut all = iced_x86::Decoder::with_ip(s.case.mode.bits(), &s.case.bytes, CODE, iced_x86::DecoderOptions::NONE);
    all.iter().any(|i| {
        let stores = [Stmxcsr, Vstmxcsr, Fxsave, Fxsave64, Xsave, Xsave64, Xsavec, Xsavec64, Xsaveopt, Xsaveopt64];
        stores.contains(&i.mnemonic())
    })
}

/// The number of the register on top of the stack in the x87 status word.
pub const TOP: u16 = 7 << 11;

/// What a host instruction's beginning is overwritten with.
#[cfg(target_arch = "aarch64")]
const BREAK: [u8; 4] = 0xd420_0000_u32.to_le_bytes();
#[cfg(target_arch = "x86_64")]
const BREAK: [u8; 1] = [0xcc];

/// The breakpoints of a process are one test's at a time.
static TURN: Mutex<()> = Mutex::new(());

static ATTENTION: AtomicPtr<AtomicBool> = AtomicPtr::new(std::ptr::null_mut());

static HITS: AtomicUsize = AtomicUsize::new(0);

/// Breakpoints at host instructions.
pub struct Breakpoints(#[allow(dead_code)] MutexGuard<'static, ()>);

impl Breakpoints {
    pub fn new() -> Breakpoints {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        demotic_host::guarded::install().expect("handlers");
        HITS.store(0, Ordering::Relaxed);
        Breakpoints(turn)
    }

    /// Runs a processor that leaves where it comes by at `pc`, one of [`stops`]. `None` if there is no such code any more.
    pub fn run(&self, engine: &Engine, cpu: &mut Cpu, pc: usize) -> Option<Exit> {
        ATTENTION.store(Arc::as_ptr(&cpu.attention).cast_mut(), Ordering::Relaxed);
        // In the place of the engine's own, which an engine brings with it.
        signal::install(libc::SIGTRAP, on_break).expect("handler");
        let old = engine.exchange_code(pc, BREAK)?;
        let exit = cpu.run();
        engine.exchange_code(pc, old);
        Some(exit)
    }

    /// How often one was met.
    pub fn hits(&self) -> usize {
        HITS.load(Ordering::Relaxed)
    }
}

/// The breakpoint: the processor leaves from where it stands.
extern "C" fn on_break(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel's context of this handler, and the flag of a processor that is running.
    let (context, attention) =
        unsafe { (&mut *context.cast::<libc::ucontext_t>(), &*ATTENTION.load(Ordering::Relaxed)) };
    // Behind it on this host.
    #[cfg(target_arch = "x86_64")]
    {
        context.uc_mcontext.gregs[libc::REG_RIP as usize] -= 1;
    }
    attention.store(true, Ordering::Relaxed);
    HITS.fetch_add(1, Ordering::Relaxed);
    demotic_engine::leave_translated(context);
}

/// Addresses of the host's instructions that are one place of the guest's program.
pub fn stops(engine: &Engine) -> Vec<usize> {
    let mut all = Vec::new();
    for (start, len) in engine.host_code() {
        #[cfg(target_arch = "aarch64")]
        all.extend((start..start + len).step_by(4));
        #[cfg(target_arch = "x86_64")]
        {
            // SAFETY: code of the engine, which stays while it does.
            let code = unsafe { std::slice::from_raw_parts(start as *const u8, len) };
            let decoder = iced_x86::Decoder::with_ip(64, code, start as u64, iced_x86::DecoderOptions::NONE);
            all.extend(decoder.into_iter().map(|insn| insn.ip() as usize));
        }
    }
    all.retain(|pc| engine.place(*pc).is_some());
    all
}
