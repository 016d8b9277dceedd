//! The executor on small pieces of machine code, with a guest space of a code page, a data page and an inaccessible one.

use demotic_engine::exit::{Exception, Exit, SyscallEntry};
#[cfg(target_arch = "x86_64")]
use demotic_engine::selector;
use demotic_engine::{Config, Cpu, Descriptor, Engine, Executor, Features, GuestSpace, GuestState};
use demotic_host::{capture, signal};
#[cfg(target_arch = "x86_64")]
use demotic_ir::state::seg;
use demotic_ir::state::{Mode, eflags, reg};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const PAGE: usize = 4096;

thread_local! {
    static EXECUTOR: Cell<Executor> = const { Cell::new(Executor::Interp) };
    static PATIENCE: Cell<u8> = const { Cell::new(0) };
}

/// Makes every test with each executor, and translating at the first or at the second visit.
macro_rules! both {
    ($($(#[$meta:meta])* $name:ident)*) => {
        mod interp {
            $($(#[$meta])* #[test] fn $name() {
                super::EXECUTOR.set(super::Executor::Interp);
                super::$name();
            })*
        }
        mod jit {
            $($(#[$meta])* #[test] fn $name() {
                super::EXECUTOR.set(super::Executor::Jit);
                super::$name();
            })*
        }
        mod patient {
            $($(#[$meta])* #[test] fn $name() {
                super::EXECUTOR.set(super::Executor::Jit);
                super::PATIENCE.set(1);
                super::$name();
            })*
        }
    };
}

both! {
    loop_and_syscall
    fault_state_is_exact_though_flags_were_deferred
    traps_and_faults
    sticky_exceptions_survive_jumps_that_are_looked_up
    fetch_fault_names_the_address
    single_step
    strings_go_down_as_well
    self_modifying_code_runs_new_bytes
    invalidation_takes_effect
    attention_leaves_a_tight_loop
    #[cfg(target_arch = "x86_64")]
    far_return_changes_mode
    segment_loads_look_into_the_tables
    what_no_processor_has_any_more
}

struct Space {
    code: usize,
    writable: bool,
    protected: AtomicBool,
    fetched: AtomicU64,
}

impl Space {
    fn new(code: &[u8], writable: bool) -> Arc<Space> {
        demotic_host::guarded::install().expect("handlers");
        let low = if cfg!(target_arch = "x86_64") { 0x40 } else { 0 }; // MAP_32BIT
        // SAFETY: fresh pages; code fits one; the third becomes inaccessible.
        let p = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | low;
            let p = libc::mmap(std::ptr::null_mut(), 3 * PAGE, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            assert_ne!(p, libc::MAP_FAILED);
            std::ptr::copy_nonoverlapping(code.as_ptr(), p.cast(), code.len());
            libc::mprotect(p.cast::<u8>().add(2 * PAGE).cast(), PAGE, libc::PROT_NONE);
            p
        };
        Arc::new(Space { code: p as usize, writable, protected: AtomicBool::new(false), fetched: AtomicU64::new(0) })
    }
    fn data(&self) -> u64 {
        (self.code + PAGE) as u64
    }
    fn protect(&self, prot: i32) {
        // SAFETY: the page belongs to this space.
        unsafe { libc::mprotect(self.code as *mut _, PAGE, prot) };
    }
}

impl GuestSpace for Space {
    fn base(&self) -> usize {
        0
    }
    fn limit(&self) -> u64 {
        (1 << 47) - 4096
    }
    fn fetch(&self, pc: u64, buf: &mut [u8]) -> usize {
        self.fetched.fetch_add(1, Ordering::Relaxed);
        let (pc, end) = (pc as usize, self.code + PAGE);
        if !(self.code..end).contains(&pc) {
            return 0;
        }
        let n = buf.len().min(end - pc);
        // SAFETY: inside the code page.
        unsafe { std::ptr::copy_nonoverlapping(pc as *const u8, buf.as_mut_ptr(), n) };
        n
    }
    fn protect_code_page(&self, page: u64) {
        if self.writable && page as usize == self.code {
            self.protected.store(true, Ordering::SeqCst);
            self.protect(libc::PROT_READ);
        }
    }
    fn release_code_page(&self, addr: u64) -> bool {
        let ours = addr as usize & !(PAGE - 1) == self.code && self.protected.swap(false, Ordering::SeqCst);
        if ours {
            self.protect(libc::PROT_READ | libc::PROT_WRITE);
        }
        ours
    }
}

fn cpu(space: &Arc<Space>) -> Cpu {
    cpu_with(space, Features::DEFAULT)
}

fn cpu_with(space: &Arc<Space>, features: Features) -> Cpu {
    let config = Config { executor: EXECUTOR.get(), patience: PATIENCE.get(), features, ..Config::default() };
    let engine = Engine::with(space.clone(), &config);
    Cpu::new(&engine, GuestState { rip: space.code as u64, mode: Mode::Long, ..GuestState::default() })
}

fn loop_and_syscall() {
    // mov ecx,1000; xor eax,eax; add eax,ecx; loop -4; syscall
    let space = Space::new(&[0xb9, 0xe8, 3, 0, 0, 0x31, 0xc0, 0x01, 0xc8, 0xe2, 0xfc, 0x0f, 0x05], false);
    let mut cpu = cpu(&space);
    assert_eq!(cpu.run(), Exit::Syscall(SyscallEntry::Syscall));
    assert_eq!(cpu.state.gpr[reg::RAX], 500_500);
    assert_eq!(cpu.state.rip, space.code as u64 + 13);
    assert_eq!(cpu.state.gpr[reg::RCX], cpu.state.rip);
    assert_eq!(cpu.state.gpr[11] as u32, cpu.state.eflags());
}

fn fault_state_is_exact_though_flags_were_deferred() {
    // add al,1 (sets CF ZF AF PF); mov ebx,[rdi]; cmp ebx,7
    let space = Space::new(&[0x04, 1, 0x8b, 0x1f, 0x83, 0xfb, 7], false);
    let mut cpu = cpu(&space);
    cpu.state.gpr[reg::RAX] = 0xff;
    cpu.state.gpr[reg::RDI] = space.data() + PAGE as u64 + 5;
    let Exit::Exception(e) = cpu.run() else { panic!("no fault") };
    assert_eq!((e.vector, e.address, e.error_code & 6), (14, cpu.state.gpr[reg::RDI], 4));
    assert_eq!(cpu.state.rip, space.code as u64 + 2);
    assert_eq!(cpu.state.flags, eflags::CF | eflags::ZF | eflags::AF | eflags::PF);
    assert_eq!(cpu.state.gpr[reg::RAX], 0);
}

/// A quotient by zero right before a jump whose target is known but not in the table of jumps: out of translated code, and in again.
fn sticky_exceptions_survive_jumps_that_are_looked_up() {
    let code = [
        &[0xb8, 1, 0, 0, 0, 0xf3, 0x0f, 0x2a, 0xc0][..], // mov eax, 1; cvtsi2ss xmm0, eax
        &[0x48, 0x8d, 0x1d, 5, 0, 0, 0, 0xb9, 5, 0, 0, 0], // lea rbx, [rip + 5]; mov ecx, 5
        &[0xff, 0xc9, 0x74, 0x10, 0x8d, 0x51, 0xfd],     // top: dec ecx; jz end; lea edx, [rcx - 3]
        &[0xf3, 0x0f, 0x2a, 0xca, 0x0f, 0x28, 0xd0],     // cvtsi2ss xmm1, edx; movaps xmm2, xmm0
        &[0xf3, 0x0f, 0x5e, 0xd1, 0xff, 0xe3, 0x0f, 0x05], // divss xmm2, xmm1; jmp rbx; end: syscall
    ]
    .concat();
    let space = Space::new(&code, false);
    let mut cpu = cpu(&space);
    assert!(matches!(cpu.run(), Exit::Syscall(_)));
    assert_eq!(cpu.state.mxcsr & 0x3f, 4);
}

fn traps_and_faults() {
    let run = |code: &[u8]| {
        let space = Space::new(code, false);
        let mut cpu = cpu(&space);
        let exit = cpu.run();
        (exit, cpu.state.rip - space.code as u64)
    };
    assert_eq!(run(&[0xcc]), (Exit::Exception(Exception::new(3, 0)), 1), "int3 is a trap");
    assert_eq!(run(&[0x0f, 0x0b]), (Exit::Exception(Exception::new(6, 0)), 0), "ud2 is a fault");
    assert_eq!(run(&[0x90, 0xf4]), (Exit::Exception(Exception::new(13, 0)), 1), "hlt is privileged");
    assert_eq!(run(&[0x31, 0xc9, 0xf7, 0xf1]), (Exit::Exception(Exception::new(0, 0)), 2), "division by zero");
    assert_eq!(run(&[0xcd, 0x80]), (Exit::Syscall(SyscallEntry::Int80), 2));
}

fn fetch_fault_names_the_address() {
    // jmp to the end of the page
    let space = Space::new(&[0xe9, 0xfb, 0x0f, 0, 0], false);
    let mut cpu = cpu(&space);
    let Exit::Exception(e) = cpu.run() else { panic!("no fault") };
    assert_eq!((e.vector, e.error_code, e.address), (14, 0x14, space.data()));
    assert_eq!(cpu.state.rip, space.data());
}

fn single_step() {
    let space = Space::new(&[0x90, 0x48, 0xff, 0xc0, 0x90], false);
    let mut cpu = cpu(&space);
    cpu.state.sys |= eflags::TF;
    for at in [1, 4, 5] {
        assert_eq!(cpu.run(), Exit::Exception(Exception::new(1, 1)));
        assert_eq!(cpu.state.rip, space.code as u64 + at);
    }
    assert_eq!(cpu.state.gpr[reg::RAX], 1);
}

fn strings_go_down_as_well() {
    // std; rep movsX (or stosX); cld; syscall. The first byte that is looked at is 20 elements from the page's beginning; below it nothing is mapped to be
    // written, so with 40 elements the 21st faults.
    for (bits, prefix, size) in [(8, vec![], 1u64), (16, vec![0x66], 2), (32, vec![], 4), (64, vec![0x48], 8)] {
        for (moves, count) in [(true, 0u64), (true, 7), (true, 40), (false, 13), (false, 40)] {
            let opcode = if moves { 0xa4 } else { 0xaa } | u8::from(bits > 8);
            let mut code = vec![0xfd];
            code.extend_from_slice(if bits == 16 { &prefix } else { &[] });
            code.push(0xf3);
            code.extend_from_slice(if bits == 64 { &prefix } else { &[] });
            code.extend_from_slice(&[opcode, 0xfc, 0x0f, 0x05]);
            let space = Space::new(&code, false);
            // SAFETY: pages of this space: the code page is not to be written, the data page is.
            let data = unsafe {
                libc::mprotect(space.code as *mut _, PAGE, libc::PROT_READ);
                std::slice::from_raw_parts_mut(space.data() as *mut u8, PAGE)
            };
            for (i, byte) in data.iter_mut().enumerate() {
                *byte = (i * 7 % 251) as u8;
            }
            let mut expected = data.to_vec();
            let first = 19 * size as usize;
            let (from, value) = (first + 8 * size as usize, 0x1122_3344_5566_7788u64);
            let done = count.min(20) as usize;
            for k in 0..done {
                for b in 0..size as usize {
                    let at = first - k * size as usize + b;
                    expected[at] = if moves { expected[from - k * size as usize + b] } else { value.to_le_bytes()[b] };
                }
            }
            let mut cpu = cpu(&space);
            cpu.state.gpr[reg::RAX] = value;
            cpu.state.gpr[reg::RCX] = count;
            cpu.state.gpr[reg::RDI] = space.data() + first as u64;
            cpu.state.gpr[reg::RSI] = space.data() + from as u64;
            let exit = cpu.run();
            assert_eq!(data, expected, "{bits} {moves} {count}");
            let moved = done as u64 * size;
            assert_eq!(cpu.state.gpr[reg::RDI], space.data() + first as u64 - moved);
            let source = space.data() + from as u64 - if moves { moved } else { 0 };
            assert_eq!(cpu.state.gpr[reg::RSI], source);
            if count > 20 {
                let Exit::Exception(e) = exit else { panic!("no fault") };
                assert_eq!((e.vector, e.address), (14, space.data() - size));
                assert_eq!((cpu.state.gpr[reg::RCX], cpu.state.rip), (count - 20, space.code as u64 + 1));
            } else {
                assert_eq!(exit, Exit::Syscall(SyscallEntry::Syscall));
            }
        }
    }
}

fn self_modifying_code_runs_new_bytes() {
    // mov byte [rip+1],2 over the immediate of the next instruction, mov al,1; then syscall
    let space = Space::new(&[0xc6, 0x05, 0x01, 0, 0, 0, 2, 0xb0, 1, 0x0f, 0x05], true);
    let mut cpu = cpu(&space);
    for _ in 0..3 {
        cpu.state.rip = space.code as u64;
        assert_eq!(cpu.run(), Exit::Syscall(SyscallEntry::Syscall));
        assert_eq!(cpu.state.gpr[reg::RAX] & 0xff, 2);
    }
}

fn invalidation_takes_effect() {
    // mov eax,1; syscall
    let space = Space::new(&[0xb8, 1, 0, 0, 0, 0x0f, 0x05], false);
    let mut cpu = cpu(&space);
    cpu.run();
    let fetched = space.fetched.load(Ordering::Relaxed);
    cpu.state.rip = space.code as u64;
    cpu.run();
    assert_eq!(space.fetched.load(Ordering::Relaxed), fetched, "the second run uses the translation");
    // SAFETY: inside the code page, which is writable on the host.
    unsafe { *((space.code + 1) as *mut u8) = 9 };
    cpu.engine.invalidate(space.code as u64, 1);
    cpu.state.rip = space.code as u64;
    cpu.run();
    assert_eq!(cpu.state.gpr[reg::RAX], 9);
}

fn attention_leaves_a_tight_loop() {
    let space = Space::new(&[0xeb, 0xfe], false);
    let mut cpu = cpu(&space);
    // A captured signal is what interrupts translated code; a flag alone is seen when it is left.
    let captured = capture::Captured::new(cpu.attention.clone());
    // SAFETY: left below.
    unsafe { capture::enter(Arc::as_ptr(&captured)) };
    let signo = libc::SIGRTMIN() + 4;
    signal::install(signo, capture::on_signal).expect("handler");
    let (pid, tid) = (std::process::id(), demotic_host::sys::gettid());
    let other = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(20));
        // SAFETY: a signal to a thread that waits for this one.
        unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, signo) };
    });
    let mask = signal::mask();
    assert_eq!(cpu.run(), Exit::Attention);
    assert_eq!(cpu.state.rip, space.code as u64);
    other.join().expect("joined");
    capture::leave();
    captured.take();
    signal::set_mask(mask);
}

#[cfg(target_arch = "x86_64")]
fn far_return_changes_mode() {
    // 64-bit: push 0x23; push rbx; retfq. 32-bit at rbx: inc eax (40 is a prefix in 64-bit code); int 0x80
    let space = Space::new(&[0x6a, 0x23, 0x53, 0x48, 0xcb, 0x40, 0xcd, 0x80], false);
    let mut cpu = cpu(&space);
    cpu.state.gpr[reg::RBX] = space.code as u64 + 5;
    cpu.state.gpr[reg::RSP] = space.data() + 256;
    assert_eq!(cpu.run(), Exit::Syscall(SyscallEntry::Int80));
    assert_eq!(cpu.state.mode, Mode::Compat32);
    assert_eq!(cpu.state.seg_sel[seg::CS], selector::USER32_CS);
    assert_eq!(cpu.state.gpr[reg::RAX], 1);
    assert_eq!(cpu.state.gpr[reg::RSP], space.data() + 256);
}

fn segment_loads_look_into_the_tables() {
    // mov gs,eax; mov ebx,gs:[0]; syscall
    let space = Space::new(&[0x8e, 0xe8, 0x65, 0x8b, 0x1c, 0x25, 0, 0, 0, 0, 0x0f, 0x05], false);
    let mut cpu = cpu(&space);
    cpu.state.gpr[reg::RAX] = 0x63;
    assert_eq!(cpu.run(), Exit::Exception(Exception::new(13, 0x60)), "an empty entry is #GP with the selector");
    assert_eq!(cpu.state.rip, space.code as u64);
    let Ok(base) = u32::try_from(space.data()) else { return };
    cpu.state.tls[0] = Descriptor { base, limit: 0xfffff, flags: 0x51 };
    // SAFETY: the data page is mapped.
    unsafe { *(space.data() as usize as *mut u32) = 0x1234 };
    assert_eq!(cpu.run(), Exit::Syscall(SyscallEntry::Syscall));
    assert_eq!(cpu.state.gpr[reg::RBX], 0x1234);
}

/// 3DNow! is there when it is asked for.
fn what_no_processor_has_any_more() {
    // mov ecx, 2; movd mm0, ecx; punpckldq mm0, mm0; pi2fd mm1, mm0; pfadd mm1, mm1; pfrcp mm2, mm1; pswapd mm2, mm2; pf2id mm3, mm1; movq rax, mm1;
    // movq rbx, mm2; movq rdx, mm3; femms; syscall
    let code = [
        0xb9, 2, 0, 0, 0, 0x0f, 0x6e, 0xc1, 0x0f, 0x62, 0xc0, 0x0f, 0x0f, 0xc8, 0x0d, 0x0f, 0x0f, 0xc9, 0x9e, 0x0f,
        0x0f, 0xd1, 0x96, 0x0f, 0x0f, 0xd2, 0xbb, 0x0f, 0x0f, 0xd9, 0x1d, 0x48, 0x0f, 0x7e, 0xc8, 0x48, 0x0f, 0x7e,
        0xd3, 0x48, 0x0f, 0x7e, 0xda, 0x0f, 0x0e, 0x0f, 0x05,
    ];
    let space = Space::new(&code, false);
    let both = |bits: u32| u64::from(bits) << 32 | u64::from(bits);
    let mut there = cpu_with(&space, Features::parse("max,+3dnowext").expect("known"));
    assert_eq!(there.run(), Exit::Syscall(SyscallEntry::Syscall));
    let gpr = there.state.gpr;
    assert_eq!([gpr[reg::RAX], gpr[reg::RBX], gpr[reg::RDX]], [4f32.to_bits(), 0.25f32.to_bits(), 4].map(both));
    assert_eq!(there.state.x87.valid, 0);
    let mut usual = cpu_with(&space, Features::MAX);
    assert_eq!(usual.run(), Exit::Exception(Exception { vector: 6, error_code: 0, address: 0, host: None }));
    assert_eq!(usual.state.rip, space.code as u64 + 11);
}
