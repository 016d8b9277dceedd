//! Precise state: wherever a signal hits translated code, the state that comes out is one that the interpreter passes through.
//!
//! A program of many kinds of instructions runs in a loop; signals interrupt it, by a timer at random host instructions and at every single host
//! instruction: on x86-64 hosts by single-stepping a stretch, the ways in and out included, on AArch64 by a breakpoint in the place of one after the
//! other. At every exit a second processor, which
//! interprets the same program on its own memory one instruction at a time, is advanced until it is in the same state: all
//! registers, flags, vectors and RIP have to be equal at once.

#![cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]

use demotic_engine::exit::{Exit, SyscallEntry};
use demotic_engine::{Config, Cpu, Engine, Executor, Features, GuestState};
use demotic_host::{capture, signal};
use demotic_ir::state::{Mode, reg};
#[cfg(target_arch = "x86_64")]
use std::sync::atomic::AtomicI64;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use support::Page;

mod support;

const PAGE: usize = 4096;

/// Arithmetic with all flag rules, partial registers, calls and returns (one of them indirect), stack, locked and string instructions, vectors,
/// scalar floating point, a division, x87, long string instructions, chains of floating point, then `cmp r15, rbp; jne top; syscall`. R15 counts the rounds.
const PROGRAM: &str = "4983c7014c89f84869c0674523014831c34811d948c1c10751e8e90000005a4829ca4983d8034e8d4c82054c894f1083471007fe4711440f\
    b657114180fa40720749f7db410f92c448d3eb48875f18f0480fc1472049f7c2030000004c0f45e866480f6ec0660fd4c8660fefd1f2410f\
    2adaf20f58e3f20f59dc0f115f304c89f831d2b96100000048f7f149ffce488d7710574881c780000000b903000000f3a45fdb07d84708d9\
    c0dec9dd5f6048035f6057488dbf00020000b909000000f348ab5f57488db700020000488dbf00040000b946000000f3a45f660f28ebf20f\
    58ecf20f59ed660f28f5f20f5cf3660f58fef2440f51c5f20f1177384939ef0f85fbfeffff0f05480fc9488d0503000000ffd0c348c1cb03\
    4983c801480fbae305c3";

/// AVX, AVX2, FMA and F16C: both halves computed together, in place and not, three orders of operands, loads and stores of both halves, aligned
/// and masked, permutations across the halves, conversions up and down, and the same end.
const AVX_PROGRAM: &str = "4983c701c4c1f96ec7c4e27d59c0c5fc5bc8c5f458d2c5ec59d9c4e26db8e1c4e2dda8ebc4e2dd9aebc462ddb6f3c4e2f19ff2c4e269b8e1c5fc\
    1127c5fc283fc4627d36c7c4624547c8c574c2d21dc4622d2c1fc57c5ae3c4417d5aecc51d5837c4410c5ef7c57c51f9c4e22d2e6740c4e37d19\
    9f8000000001c4e26d0cd0c4e26d0df0c4e37d08cb01c5f77cccc4c37d1dcb00c4427d13db4939ef0f855effffff0f05";

/// x87: sums and differences of all signs and distances, products, quotients, zeros, conversions, comparisons, flags kept across, a loop with numbers on
/// the stack, and the same end.
#[cfg(target_arch = "aarch64")]
const X87_PROGRAM: &str = "4983c701c70703000000c74704db0f494048b89a9999999999b9bf48894708db07d94704dd4708d8c9d8c2dcc24939efdee90f92c1d8f1d9\
    c9d9e8d8e9def1d9e0d9eed8c1d9eed8c9dec1dc4708d84f04da07d95710dd5718d9c0db7f20db6f20d9c0db5f30d9c0dd4f38dbf17602d9\
    e1dde1dfe080e445ded9dee9dd4718d8e0d95740dec1d9fadd5f4831c9d9e8d94704dcc1dcc983c10183f90375f4ddd9db7f504939ef0f85\
    54ffffff0f05";

/// Control words around casts to integers and `frndint`, in all directions; 53 bits, in a block of its own; and the same end.
#[cfg(target_arch = "aarch64")]
const CONTROL_WORDS: &str = "4983c701c70703000000c74704db0f4940c747607f037f0fc747647f077f0bc747687f027f06d9470439d1d96f62db5710d96f600f92c1d96f64\
    d9c0d9e0d9fcdb5f14d9eed9fcdf5f18d96f60d96f66d9c0d9fcdf7f20d96f60d9e8da37d9fcdec1d9fcdb5f28d96f68eb00db07d94704dcc1d8\
    c9d8f1dce9da37d9eedec1d9c0dee9d96f6ad9c1d9fcdb5f2cd96f68dd5f30db7f40d96f604939ef0f855effffff0f05";

/// Repeated string instructions of few elements and downwards, comparisons of strings, AES, SHA, checksums, and the same end.
#[cfg(target_arch = "aarch64")]
const STRINGS: &str = "49ffc757488db7000100004c893f4969c7674523014889470848898700010000488dbf03020000b905000000fdf3a4b903000000f3a5b904000000\
    66f3abfcb907000000f348a5b903000000f3aab945000000f3a431c9f3a45ff30f6f0ff30f6f9700010000660f3a63ca1a410f92c04d19c9660f3a\
    63ca4cb805000000baf7ffffff660f3a61d105410f90c2660f3a60d1424911cb660f3817d1410f94c4660f38dcd9660f38dfda660f3adfe31b660f\
    3a44e3100f3acce3010f38caec0f38cbeb0f38cde5f24d0f38f1ebf20f38f0d8660f3a0ff405660f3832fe660f3821ff660f67ff660f3817f67403\
    49ffc64939ef0f8508ffffff0f05";

/// The tests take turns: both need the handlers of the process.
static TURN: Mutex<()> = Mutex::new(());

impl Page {
    /// Two spaces with the same code, each with a page of data of its own, the stack at its end.
    fn pair(program: &str) -> [Arc<Page>; 2] {
        demotic_host::guarded::install().expect("handlers");
        let digits: Vec<u8> = program.bytes().filter(u8::is_ascii_hexdigit).collect();
        let code: Vec<u8> = digits
            .chunks(2)
            .map(|d| u8::from_str_radix(std::str::from_utf8(d).expect("ASCII"), 16).expect("hexadecimal"))
            .collect();
        // SAFETY: fresh pages; the code fits one.
        let start = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let p = libc::mmap(std::ptr::null_mut(), 3 * PAGE, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            assert_ne!(p, libc::MAP_FAILED);
            std::ptr::copy_nonoverlapping(code.as_ptr(), p.cast(), code.len());
            p as usize
        };
        [1, 2].map(|n| Arc::new(Page { code: start, data: start + n * PAGE }))
    }
}

/// The processor under test, and the reference with its own memory.
struct Pair {
    cpu: Cpu,
    reference: Cpu,
    #[cfg(target_arch = "aarch64")]
    engine: Arc<Engine>,
    spaces: [Arc<Page>; 2],
    /// All status flags of SSE arithmetic are kept, so MXCSR is compared, too.
    exact_sse: bool,
}

impl Pair {
    /// `shared`: in the order of memory that other threads are shown.
    fn new(program: &str, rounds: u64, faults_shown: bool, exact_sse: bool, shared: bool) -> Pair {
        let spaces = Page::pair(program);
        let mut cpus = [Executor::Jit, Executor::Interp].into_iter().zip(&spaces).map(|(executor, space)| {
            let features = Features::MAX;
            let config = Config { executor, patience: 0, faults_shown, features, exact_sse, ..Config::default() };
            let engine = Engine::with(space.clone(), &config);
            if shared {
                engine.share();
            }
            let mut state = GuestState { rip: space.code as u64, mode: Mode::Long, ..GuestState::default() };
            state.gpr[reg::RDI] = space.data as u64;
            state.gpr[reg::RSP] = (space.data + PAGE) as u64;
            state.gpr[reg::RBP] = rounds;
            (Cpu::new(&engine, state), engine)
        });
        let ((cpu, _engine), (reference, _)) = (cpus.next().expect("one"), cpus.next().expect("two"));
        Pair {
            cpu,
            reference,
            #[cfg(target_arch = "aarch64")]
            engine: _engine,
            spaces,
            exact_sse,
        }
    }

    /// Back to the beginning; translations stay.
    fn reset(&mut self, rounds: u64) {
        for (cpu, space) in [&mut self.cpu, &mut self.reference].into_iter().zip(&self.spaces) {
            // SAFETY: the data page, which only these processors use.
            unsafe { std::ptr::write_bytes(space.data as *mut u8, 0, PAGE) };
            cpu.state = GuestState { rip: space.code as u64, mode: Mode::Long, ..GuestState::default() };
            cpu.state.gpr[reg::RDI] = space.data as u64;
            cpu.state.gpr[reg::RSP] = (space.data + PAGE) as u64;
            cpu.state.gpr[reg::RBP] = rounds;
        }
    }

    /// What both must agree on. Addresses of data count from the page's start.
    fn image(state: &GuestState, space: &Page) -> (Vec<u64>, u32, Vec<[u64; 2]>) {
        let base = space.data as u64;
        let relative = |v: u64| if v.wrapping_sub(base) <= PAGE as u64 { v.wrapping_sub(base) | 1 << 63 } else { v };
        let mut words: Vec<u64> = state.gpr.iter().map(|&v| relative(v)).collect();
        words.push(state.rip);
        let x = &state.x87;
        words.extend([x.cw, x.sw, u16::from(x.valid)].map(u64::from));
        for n in (0..8).filter(|n| x.valid >> n & 1 != 0) {
            words.extend([x.st[n].mant, u64::from(x.st[n].se)]);
        }
        let upper = state.ymm.iter().copied();
        (words, state.flags, state.xmm.iter().copied().chain(upper).collect())
    }

    /// Advances the reference until it is in the state of the processor under test.
    fn catch_up(&mut self) {
        let exact = self.exact_sse;
        let of = |s: &GuestState, space: &Page| (Pair::image(s, space), if exact { s.mxcsr } else { 0 });
        let want = of(&self.cpu.state, &self.spaces[0]);
        for _ in 0..2_000_000 {
            if of(&self.reference.state, &self.spaces[1]) == want {
                return;
            }
            assert!(self.reference.state.gpr[15] <= self.cpu.state.gpr[15], "no such state: {:#x?}", self.cpu.state);
            self.reference.state.sys |= demotic_ir::state::eflags::TF;
            let exit = self.reference.run();
            self.reference.state.sys &= !demotic_ir::state::eflags::TF;
            assert!(matches!(exit, Exit::Exception(e) if e.vector == 1), "{exit:?} at {:#x}", self.reference.state.rip);
        }
        panic!("the reference does not get there");
    }
}

/// Every host instruction on the way of the first rounds.
#[cfg(target_arch = "x86_64")]
#[test]
fn behind_every_host_instruction() {
    const TF: i64 = 1 << 8;
    static LEFT: AtomicI64 = AtomicI64::new(0);
    static OVER: AtomicBool = AtomicBool::new(false);
    static ATTENTION: AtomicPtr<AtomicBool> = AtomicPtr::new(std::ptr::null_mut());
    extern "C" fn on_step(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: the kernel's context of this handler.
        let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
        // The engine steps, too, where it stands between two places.
        if demotic_engine::step_translated(context) {
            return;
        }
        if OVER.load(Ordering::Relaxed) {
            context.uc_mcontext.gregs[libc::REG_EFL as usize] &= !TF;
            return;
        }
        if !demotic_engine::is_translated(demotic_host::arch::pc(context)) {
            return;
        }
        if LEFT.fetch_sub(1, Ordering::Relaxed) == 1 {
            context.uc_mcontext.gregs[libc::REG_EFL as usize] &= !TF;
            // SAFETY: set below, to the flag of a processor that is running.
            unsafe { (*ATTENTION.load(Ordering::Relaxed)).store(true, Ordering::Relaxed) };
            demotic_engine::leave_translated(context);
        }
    }
    extern "C" fn on_start(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: as above.
        let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
        context.uc_mcontext.gregs[libc::REG_EFL as usize] |= TF;
    }
    let _turn = TURN.lock();
    demotic_host::guarded::install().expect("handlers");
    for program in [PROGRAM, AVX_PROGRAM] {
        let mut stops = 0;
        // Translated before: stepping through the translator takes time, and some hypervisors do not get beyond a `rep movs` with TF set.
        let mut pair = Pair::new(program, 2, true, false, false);
        assert_eq!(pair.cpu.run(), Exit::Syscall(SyscallEntry::Syscall));
        // Behind the engine's own handlers.
        signal::install(libc::SIGTRAP, on_step).expect("handler");
        signal::install(libc::SIGUSR2, on_start).expect("handler");
        for n in 1.. {
            pair.reset(2);
            ATTENTION.store(Arc::as_ptr(&pair.cpu.attention).cast_mut(), Ordering::Relaxed);
            LEFT.store(n, Ordering::Relaxed);
            OVER.store(false, Ordering::Relaxed);
            // SAFETY: a signal to this thread, whose handler makes the processor trap behind every instruction from here on.
            unsafe { libc::syscall(libc::SYS_tgkill, std::process::id(), demotic_host::sys::gettid(), libc::SIGUSR2) };
            let exit = pair.cpu.run();
            OVER.store(true, Ordering::Relaxed);
            if exit == Exit::Attention {
                stops += 1;
                pair.catch_up();
            }
            let exit = if exit == Exit::Attention { pair.cpu.run() } else { exit };
            assert_eq!(exit, Exit::Syscall(SyscallEntry::Syscall), "after {n} host instructions");
            // Whether or not it was interrupted, it ends as it should.
            assert_eq!(pair.cpu.state.gpr[15], 2);
            if LEFT.swap(0, Ordering::Relaxed) > 0 {
                break;
            }
        }
        assert!(stops > if program == PROGRAM { 300 } else { 120 }, "{stops} stops only");
        println!("stopped behind {stops} host instructions");
    }
}

/// The same where a process cannot step itself: a breakpoint takes the place of one host instruction after the other.
#[cfg(target_arch = "aarch64")]
#[test]
fn before_every_host_instruction() {
    /// `brk #0`.
    const BREAK: [u8; 4] = 0xd420_0000_u32.to_le_bytes();
    static ATTENTION: AtomicPtr<AtomicBool> = AtomicPtr::new(std::ptr::null_mut());
    extern "C" fn on_break(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: the kernel's context of this handler, and the flag of a processor that is running.
        let (context, attention) =
            unsafe { (&mut *context.cast::<libc::ucontext_t>(), &*ATTENTION.load(Ordering::Relaxed)) };
        attention.store(true, Ordering::Relaxed);
        demotic_engine::leave_translated(context);
    }
    demotic_host::guarded::install().expect("handlers");
    let programs = [PROGRAM, X87_PROGRAM, CONTROL_WORDS, STRINGS, AVX_PROGRAM];
    // In the order for one thread, and with flags that no fault shows in the order that others are shown.
    let fast = programs.into_iter().flat_map(|p| [(p, true, false, false), (p, false, false, true)]);
    for (program, faults_shown, exact, shared) in
        fast.chain([(PROGRAM, false, true, true), (AVX_PROGRAM, true, true, false)])
    {
        let mut pair = Pair::new(program, 40, faults_shown, exact, shared);
        assert_eq!(pair.cpu.run(), Exit::Syscall(SyscallEntry::Syscall));
        signal::install(libc::SIGTRAP, on_break).expect("handler");
        ATTENTION.store(Arc::as_ptr(&pair.cpu.attention).cast_mut(), Ordering::Relaxed);
        let code = pair.engine.host_code();
        let all = code.into_iter().flat_map(|(start, len)| (start..start + len).step_by(4));
        let all: Vec<usize> = all.filter(|pc| pair.engine.place(*pc).is_some()).collect();
        let mut stops = 0;
        for &pc in &all {
            pair.reset(2);
            let old = pair.engine.exchange_code(pc, BREAK).expect("code");
            let mut exit = pair.cpu.run();
            pair.engine.exchange_code(pc, old);
            if exit == Exit::Attention {
                stops += 1;
                pair.catch_up();
                exit = pair.cpu.run();
            }
            assert_eq!(exit, Exit::Syscall(SyscallEntry::Syscall), "stopped at {pc:#x}");
            assert_eq!(pair.cpu.state.gpr[15], 2);
        }
        println!("stopped at {stops} of {} host instructions", all.len());
        // The others are on cold ways, of which x87 has most: its blocks have a second version as well.
        assert!(stops > 300 && stops * 6 > all.len(), "{stops} stops at {} instructions", all.len());
    }
}

/// A timer at a high rate.
#[test]
fn at_random_host_instructions() {
    static HITS: AtomicUsize = AtomicUsize::new(0);
    let _turn = TURN.lock();
    let mut pair = Pair::new(PROGRAM, 150_000, false, false, false);
    let captured = capture::Captured::new(pair.cpu.attention.clone());
    // SAFETY: left below.
    unsafe { capture::enter(Arc::as_ptr(&captured)) };
    let signo = libc::SIGRTMIN() + 3;
    signal::install(signo, capture::on_signal).expect("handler");
    let mask = signal::mask();
    // SAFETY: a timer of this thread, deleted below.
    let timer = unsafe {
        let mut event: libc::sigevent = std::mem::zeroed();
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = signo;
        event.sigev_notify_thread_id = demotic_host::sys::gettid();
        let mut timer: libc::timer_t = std::ptr::null_mut();
        assert_eq!(libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer), 0);
        timer
    };
    let arm = |ns: i64| {
        let at = libc::timespec { tv_sec: 0, tv_nsec: ns };
        let spec = libc::itimerspec { it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 }, it_value: at };
        // SAFETY: the timer made above.
        unsafe { libc::timer_settime(timer, 0, &spec, std::ptr::null_mut()) };
    };
    loop {
        arm(40_000 + 1_237 * (HITS.load(Ordering::Relaxed) as i64 % 61));
        let exit = pair.cpu.run();
        captured.take();
        signal::set_mask(mask);
        match exit {
            Exit::Attention => {
                HITS.fetch_add(1, Ordering::Relaxed);
                pair.catch_up();
                if HITS.load(Ordering::Relaxed) >= 300 {
                    break;
                }
            }
            Exit::Syscall(_) => break,
            other => panic!("{other:?}"),
        }
    }
    arm(0);
    // SAFETY: the timer made above.
    unsafe { libc::timer_delete(timer) };
    capture::leave();
    assert!(HITS.load(Ordering::Relaxed) > 20, "{} interruptions only", HITS.load(Ordering::Relaxed));
}
