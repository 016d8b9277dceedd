//! Translations kept from one engine to the next: what an image must survive, and when it must not be used.
//!
//! Two engines on the same guest memory stand for two processes that load the same program at the same address. That the second one uses the
//! image is seen from its footprint: it translates nothing.
#![cfg(target_pointer_width = "64")]

use demotic_engine::exit::{Exit, SyscallEntry};
use demotic_engine::{Config, Cpu, Engine, Executor, GuestSpace, GuestState, Shelf};
use demotic_host::map::Room;
use demotic_ir::state::{Mode, eflags, reg};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

const PAGE: usize = 4096;

/// Images in memory.
struct Drawer {
    identity: u64,
    images: Mutex<HashMap<u64, Vec<u8>>>,
}

impl Drawer {
    fn new() -> Arc<Drawer> {
        Arc::new(Drawer { identity: 7, images: Mutex::default() })
    }
    fn only(&self) -> Vec<u8> {
        let images = self.images.lock().unwrap();
        assert_eq!(images.len(), 1);
        images.values().next().unwrap().clone()
    }
    /// Another drawer with that image in the place of every one.
    fn with(&self, identity: u64, image: &[u8]) -> Arc<Drawer> {
        let images = self.images.lock().unwrap().keys().map(|k| (*k, image.to_vec())).collect();
        Arc::new(Drawer { identity, images: Mutex::new(images) })
    }
}

impl Shelf for Drawer {
    fn identity(&self) -> u64 {
        self.identity
    }
    fn load(&self, variant: u64) -> Option<Room> {
        let images = self.images.lock().unwrap();
        let image = images.get(&variant)?;
        let mut room = Room::new(image.len()).ok()?;
        room.copy_from_slice(image);
        Some(room)
    }
    fn save(&self, variant: u64, image: &[u8]) {
        self.images.lock().unwrap().insert(variant, image.to_vec());
    }
}

/// Two code pages that belong to different mappings, a data page, an inaccessible one.
struct Space {
    code: usize,
    writable: bool,
    protected: AtomicBool,
}

const DATA: usize = 2 * PAGE;

impl Space {
    fn new(code: &[u8], writable: bool) -> Arc<Space> {
        demotic_host::guarded::install().expect("handlers");
        // Every test has its own place.
        static NEXT: AtomicU64 = AtomicU64::new(0x2_0000_0000);
        let at = NEXT.fetch_add(0x10_0000, Ordering::Relaxed) as usize;
        // SAFETY: fresh pages, if the place is free; code fits the first two; the last becomes inaccessible.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
            let p = libc::mmap(at as *mut _, 4 * PAGE, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            assert_eq!(p as usize, at);
            std::ptr::copy_nonoverlapping(code.as_ptr(), p.cast(), code.len());
            libc::mprotect(p.cast::<u8>().add(3 * PAGE).cast(), PAGE, libc::PROT_NONE);
        }
        Arc::new(Space { code: at, writable, protected: AtomicBool::new(false) })
    }
    fn poke(&self, offset: usize, byte: u8) {
        assert!(offset < 3 * PAGE);
        // SAFETY: inside the pages, which are writable on the host when nothing runs.
        unsafe { ((self.code + offset) as *mut u8).write(byte) };
    }
    fn protect(&self, prot: i32) {
        // SAFETY: the page belongs to this space.
        unsafe { libc::mprotect(self.code as *mut _, PAGE, prot) };
    }
    /// A processor at the beginning, with a fresh engine.
    fn cpu(self: &Arc<Space>, shelf: &Arc<Drawer>) -> Cpu {
        let config = Config { patience: 0, ..Config::default() };
        let engine = Engine::on_shelf(self.clone(), &config, Some(shelf.clone()));
        let mut state = GuestState { rip: self.code as u64, mode: Mode::Long, ..GuestState::default() };
        state.gpr[reg::RSP] = (self.code + DATA + 2048) as u64;
        state.gpr[reg::RDI] = (self.code + DATA) as u64;
        Cpu::new(&engine, state)
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
        let (pc, end) = (pc as usize, self.code + DATA);
        if !(self.code..end).contains(&pc) {
            return 0;
        }
        let n = buf.len().min(end - pc);
        // SAFETY: inside the code pages.
        unsafe { std::ptr::copy_nonoverlapping(pc as *const u8, buf.as_mut_ptr(), n) };
        n
    }
    fn code_object(&self, addr: u64) -> Option<u64> {
        let page = addr as usize & !(PAGE - 1);
        (self.code..self.code + DATA).contains(&page).then_some(page as u64)
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

/// Runs to a system call, and keeps the translations; the processor and how many units it has translated itself.
fn run(space: &Arc<Space>, shelf: &Arc<Drawer>) -> (Cpu, usize) {
    let mut cpu = space.cpu(shelf);
    assert_eq!(cpu.engine.executor(), Executor::Jit);
    assert_eq!(cpu.run(), Exit::Syscall(SyscallEntry::Syscall));
    cpu.engine.preserve();
    let units = cpu.engine.footprint().units;
    (cpu, units)
}

// mov ecx,1000; xor eax,eax; call 1f; dec ecx; jne -9; syscall; nop; 1: add eax,ecx; ret
const SUM: [u8; 22] =
    [0xb9, 0xe8, 3, 0, 0, 0x31, 0xc0, 0xe8, 0x07, 0, 0, 0, 0xff, 0xc9, 0x75, 0xf7, 0x0f, 0x05, 0x90, 0x01, 0xc8, 0xc3];

#[test]
fn a_second_run_translates_nothing() {
    let space = Space::new(&SUM, false);
    let shelf = Drawer::new();
    let (cpu, units) = run(&space, &shelf);
    assert!(units > 0);
    let image = shelf.only();
    let (again, units) = run(&space, &shelf);
    assert_eq!(units, 0);
    assert_eq!(cpu.state.gpr[reg::RAX], 500_500);
    assert_eq!((again.state.gpr, again.state.rip), (cpu.state.gpr, cpu.state.rip));
    assert_eq!(shelf.only(), image, "nothing new, nothing kept");
}

#[test]
fn new_code_joins_what_is_there() {
    // test esi,esi; jne 1f; mov eax,1; syscall; 1: mov eax,2; syscall
    let code = [0x85, 0xf6, 0x75, 0x07, 0xb8, 1, 0, 0, 0, 0x0f, 0x05, 0xb8, 2, 0, 0, 0, 0x0f, 0x05];
    let space = Space::new(&code, false);
    let shelf = Drawer::new();
    let way = |rsi: u64| {
        let mut cpu = space.cpu(&shelf);
        cpu.state.gpr[reg::RSI] = rsi;
        assert_eq!(cpu.run(), Exit::Syscall(SyscallEntry::Syscall));
        cpu.engine.preserve();
        (cpu.state.gpr[reg::RAX], cpu.engine.footprint().units)
    };
    assert_eq!(way(0).0, 1);
    let (value, units) = way(1);
    assert_eq!(value, 2);
    assert!(units > 0, "the other way was not translated yet");
    assert_eq!((way(0), way(1)), ((1, 0), (2, 0)));
}

#[test]
fn changed_code_runs_as_it_is_now() {
    let space = Space::new(&SUM, false);
    let shelf = Drawer::new();
    run(&space, &shelf);
    space.poke(1, 10);
    space.poke(2, 0);
    let (cpu, units) = run(&space, &shelf);
    assert_eq!(cpu.state.gpr[reg::RAX], 55);
    assert!(units > 0);
}

#[test]
fn mappings_are_compared_one_by_one() {
    // mov eax,1; lea rdx,[rip+second page]; jmp rdx; there: add eax,2; syscall
    let mut code = vec![0xb8, 1, 0, 0, 0, 0x48, 0x8d, 0x15];
    code.extend_from_slice(&(PAGE as i32 - 12).to_le_bytes());
    code.extend_from_slice(&[0xff, 0xe2]);
    code.resize(PAGE, 0x90);
    code.extend_from_slice(&[0x83, 0xc0, 2, 0x0f, 0x05]);
    let space = Space::new(&code, false);
    let shelf = Drawer::new();
    let (cpu, first) = run(&space, &shelf);
    assert_eq!((cpu.state.gpr[reg::RAX], first), (3, 2));
    assert_eq!(run(&space, &shelf).1, 0);
    space.poke(PAGE + 2, 40);
    let (cpu, units) = run(&space, &shelf);
    assert_eq!((cpu.state.gpr[reg::RAX], units), (41, 1));
}

#[test]
fn writes_into_kept_code_are_seen() {
    // mov byte [rip+1],2 over the immediate of the next instruction, mov al,1; syscall
    let space = Space::new(&[0xc6, 0x05, 0x01, 0, 0, 0, 2, 0xb0, 1, 0x0f, 0x05], true);
    let shelf = Drawer::new();
    let start = || {
        space.protect(libc::PROT_READ | libc::PROT_WRITE);
        space.poke(8, 1);
        space.cpu(&shelf)
    };
    // The first run writes before it is at its end, so what it keeps is the code from there on; the others find it.
    for _ in 0..4 {
        let mut cpu = start();
        assert_eq!(cpu.run(), Exit::Syscall(SyscallEntry::Syscall));
        assert_eq!(cpu.state.gpr[reg::RAX] & 0xff, 2);
        cpu.engine.preserve();
    }
}

#[test]
fn invalidated_kept_code_is_not_entered_again() {
    let space = Space::new(&SUM, false);
    let shelf = Drawer::new();
    run(&space, &shelf);
    let (mut cpu, units) = run(&space, &shelf);
    assert_eq!(units, 0);
    space.poke(1, 3);
    space.poke(2, 0);
    cpu.engine.invalidate(space.code as u64, 1);
    cpu.state.rip = space.code as u64;
    assert_eq!(cpu.run(), Exit::Syscall(SyscallEntry::Syscall));
    assert_eq!(cpu.state.gpr[reg::RAX], 6);
    assert!(cpu.engine.footprint().units > 0);
}

#[test]
fn faults_in_kept_code_show_the_exact_state() {
    // add al,1 (sets CF ZF AF PF); mov ebx,[rdi]; cmp ebx,7; syscall
    let space = Space::new(&[0x04, 1, 0x8b, 0x1f, 0x83, 0xfb, 7, 0x0f, 0x05], false);
    let shelf = Drawer::new();
    run(&space, &shelf);
    let mut cpu = space.cpu(&shelf);
    cpu.state.gpr[reg::RAX] = 0xff;
    cpu.state.gpr[reg::RDI] = (space.code + DATA + PAGE + 5) as u64;
    let Exit::Exception(e) = cpu.run() else { panic!("no fault") };
    assert_eq!(cpu.engine.footprint().units, 0);
    assert_eq!((e.vector, e.address, e.error_code & 6), (14, cpu.state.gpr[reg::RDI], 4));
    assert_eq!(cpu.state.rip, space.code as u64 + 2);
    assert_eq!(cpu.state.flags, eflags::CF | eflags::ZF | eflags::AF | eflags::PF);
    assert_eq!(cpu.state.gpr[reg::RAX], 0);
}

#[test]
fn other_orders_and_threads_have_images_of_their_own() {
    let space = Space::new(&SUM, false);
    let shelf = Drawer::new();
    for round in 0..2 {
        let (mut cpu, _) = run(&space, &shelf);
        cpu.engine.share();
        cpu.state.rip = space.code as u64;
        assert_eq!(cpu.run(), Exit::Syscall(SyscallEntry::Syscall));
        assert_eq!(cpu.state.gpr[reg::RAX], 500_500);
        cpu.engine.preserve();
        assert_eq!(cpu.engine.footprint().units == 0, round == 1);
    }
}

#[test]
fn locked_operations_are_made_anew_when_others_see_the_memory() {
    // mov ecx,100; 1: mov eax,1; (lock xadd [rdi],eax, or xchg [rdi],eax; nop; nop); dec ecx; jne 1b; syscall
    let begin = [0xb9, 100, 0, 0, 0, 0xb8, 1, 0, 0, 0];
    let end = [0xff, 0xc9, 0x75, 0xf3, 0x0f, 0x05];
    type Old = fn(u64) -> u64;
    let cases: [([u8; 4], Old); 2] = [([0xf0, 0x0f, 0xc1, 0x07], |n| n - 1), ([0x87, 0x07, 0x90, 0x90], |_| 1)];
    for (middle, old) in cases {
        let space = Space::new(&[&begin[..], &middle, &end].concat(), false);
        let shelf = Drawer::new();
        for round in 0..2 {
            let mut cpu = space.cpu(&shelf);
            cpu.state.gpr[reg::RDI] = (space.code + DATA) as u64;
            assert_eq!(cpu.run(), Exit::Syscall(SyscallEntry::Syscall));
            assert_eq!(cpu.state.gpr[reg::RAX], old(100 + 200 * round));
            let before = cpu.engine.footprint().units;
            cpu.engine.share();
            // What was translated for one thread is gone now; what was translated for several is for one as well.
            assert_eq!((before > 0, cpu.engine.footprint().units), (round == 0, 0), "{middle:x?}, round {round}");
            cpu.state.rip = space.code as u64;
            assert_eq!(cpu.run(), Exit::Syscall(SyscallEntry::Syscall));
            assert_eq!(cpu.state.gpr[reg::RAX], old(200 + 200 * round));
            cpu.engine.preserve();
        }
    }
}

/// Edges inside an image lead to a unit that was dropped, and out again each time, until there is another image.
#[test]
fn units_that_are_dropped_one_by_one_are_worth_a_new_image() {
    // 200 times: lea rdx,[rip+2]; jmp rdx; then lock xadd [rdi],eax; syscall
    let mut code = [0x48, 0x8d, 0x15, 2, 0, 0, 0, 0xff, 0xe2].repeat(200);
    code.extend_from_slice(&[0xf0, 0x0f, 0xc1, 0x07, 0x0f, 0x05]);
    let space = Space::new(&code, false);
    let shelf = Drawer::new();
    assert!(run(&space, &shelf).1 > 100);
    for round in 0..3 {
        let mut cpu = space.cpu(&shelf);
        cpu.engine.share();
        assert_eq!(cpu.run(), Exit::Syscall(SyscallEntry::Syscall));
        cpu.engine.preserve();
        // On the other host an image is for one order.
        let units = cpu.engine.footprint().units;
        assert_eq!(units > 0, round == 0, "round {round}: {units}");
    }
}

#[test]
fn locked_operations_of_one_thread_are_kept() {
    // mov ecx,100; 1: mov eax,1; lock xadd [rdi],eax; dec ecx; jne 1b; syscall
    let code = [0xb9, 100, 0, 0, 0, 0xb8, 1, 0, 0, 0, 0xf0, 0x0f, 0xc1, 0x07, 0xff, 0xc9, 0x75, 0xf3, 0x0f, 0x05];
    let space = Space::new(&code, false);
    let shelf = Drawer::new();
    assert!(run(&space, &shelf).1 > 0);
    assert_eq!(run(&space, &shelf).1, 0);
    // In a process with threads they are not entered, whether the group was awake or not.
    for runs_before in [false, true] {
        let mut cpu = space.cpu(&shelf);
        let mut runs = 2 + u64::from(runs_before);
        if runs_before {
            assert_eq!(cpu.run(), Exit::Syscall(SyscallEntry::Syscall));
            assert_eq!(cpu.engine.footprint().units, 0);
            cpu.state.rip = space.code as u64;
        }
        cpu.engine.share();
        assert_eq!(cpu.run(), Exit::Syscall(SyscallEntry::Syscall));
        if !cfg!(target_arch = "aarch64") {
            assert!(cpu.engine.footprint().units > 0);
        }
        runs += u64::from(runs_before);
        assert_eq!(cpu.state.gpr[reg::RAX], 100 * runs + 99);
    }
}

#[test]
fn images_that_are_not_for_here_are_left_alone() {
    let space = Space::new(&SUM, false);
    let shelf = Drawer::new();
    run(&space, &shelf);
    let image = shelf.only();
    assert_eq!(run(&space, &shelf.with(7, &image)).1, 0);
    // Of another program or build; cut short at any place; damaged at any place.
    assert!(run(&space, &shelf.with(8, &image)).1 > 0);
    for len in (0..image.len()).step_by(image.len() / 40) {
        assert!(run(&space, &shelf.with(7, &image[..len])).1 > 0);
    }
    for at in (0..image.len()).step_by(image.len() / 40) {
        let mut damaged = image.clone();
        damaged[at] ^= 0x10;
        let (cpu, units) = run(&space, &shelf.with(7, &damaged));
        assert_eq!(cpu.state.gpr[reg::RAX], 500_500);
        assert!(units > 0);
    }
}
