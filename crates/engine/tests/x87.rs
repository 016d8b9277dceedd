//! Random x87 and MMX code: translated, it leaves the state that the interpreter leaves, status word, tags and pending exceptions included.
//!
//! Machine code and not IR, because emitters know instructions by the operations that the lifter makes of them. Registers hold all kinds of
//! numbers, some registers are empty, some exceptions unmasked. `DEMOTIC_FIRST`, `DEMOTIC_COUNT` and `DEMOTIC_SEED` ask for other programs than the fixed ones.

#![cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]

use demotic_engine::exit::Exit;
use demotic_engine::{Config, Cpu, Engine, Executor, GuestSpace, GuestState};
use demotic_ir::state::{Mode, X87, eflags, reg};
use demotic_oracle::generate::Rng;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use support::{Breakpoints, stops};

mod support;

const CODE: usize = 4 << 20;
const DATA: usize = 8192;

struct Space {
    code: usize,
    data: usize,
}

impl Space {
    fn new() -> Arc<Space> {
        demotic_host::guarded::install().expect("handlers");
        let low = if cfg!(target_arch = "x86_64") { 0x40 } else { 0 }; // MAP_32BIT
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | low;
        // SAFETY: a fresh mapping; the page behind the data becomes inaccessible.
        unsafe {
            let p =
                libc::mmap(std::ptr::null_mut(), CODE + DATA + 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            assert_ne!(p, libc::MAP_FAILED);
            assert_eq!(libc::mprotect(p.byte_add(CODE + DATA), 4096, libc::PROT_NONE), 0);
            Arc::new(Space { code: p as usize, data: p as usize + CODE })
        }
    }

    #[allow(clippy::mut_from_ref)]
    fn bytes(&self, at: usize, len: usize) -> &mut [u8] {
        assert!(at >= self.code && at + len <= self.data + DATA);
        // SAFETY: inside the mapping, which one thread uses.
        unsafe { std::slice::from_raw_parts_mut(at as *mut u8, len) }
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
        let (pc, end) = (pc as usize, self.code + CODE);
        if !(self.code..end).contains(&pc) {
            return 0;
        }
        let n = buf.len().min(end - pc);
        buf[..n].copy_from_slice(self.bytes(pc, n));
        n
    }
    fn protect_code_page(&self, _: u64) {}
    fn release_code_page(&self, _: u64) -> bool {
        false
    }
}

/// Bytes of a random instruction: mostly x87, with integer ones in between that set, read and keep flags.
fn instruction(rng: &mut Rng, code: &mut Vec<u8>) {
    match rng.below(16) {
        0 => code.extend([0x01, 0xc8]),                             // add eax, ecx
        1 => code.extend([0x39, 0xd1]),                             // cmp ecx, edx
        2 => code.extend([0x0f, 0x90 | rng.below(16) as u8, 0xc1]), // setcc cl
        3 => code.extend([0x11, 0xda]),                             // adc edx, ebx
        4 => code.extend([0x80, 0xe4, 0x45]),                       // and ah, 0x45
        5 => code.extend([0x8b, 0x47, rng.below(128) as u8]),       // mov eax, [rdi + disp8]
        6 if rng.one_in(3) => code.extend([0xd9, 0x2f]),            // fldcw [rdi]
        6 if rng.one_in(2) => wrapped(rng, code),
        6 if rng.one_in(3) => code.extend([0x9b]),                   // wait
        6 if rng.one_in(2) => code.extend([0xd9, 0xe1, 0xd9, 0xfa]), // fabs; fsqrt
        6 => code.extend([0xdf, 0xe0]),                              // fnstsw ax
        _ => {
            let op = 0xd8 | rng.below(8) as u8;
            let mut modrm = rng.bits() as u8;
            // Of the undefined ones, few.
            if matches!((op, modrm), (0xd9, 0xd1..=0xdf | 0xe2..=0xe7 | 0xef) | (0xda | 0xdb | 0xde, 0xe0..))
                && !rng.one_in(8)
            {
                modrm &= !0x30;
            }
            if modrm >= 0xc0 {
                code.extend([op, modrm]);
            } else if rng.one_in(40) {
                // Near or beyond the end of what is mapped.
                code.extend([op, modrm & 0x38 | 0x86]);
                code.extend((rng.below(32) as u32).to_le_bytes());
            } else {
                code.extend([op, modrm & 0x38 | 0x47, rng.below(128) as u8 & 0x78]);
            }
        }
    }
}

/// What compilers and libraries do between two control words.
fn wrapped(rng: &mut Rng, code: &mut Vec<u8>) {
    let control = |rng: &mut Rng, usual: bool| {
        let n = if rng.one_in(8) {
            0
        } else if usual {
            1
        } else {
            2 + rng.below(3) as u8
        };
        [0xd9, 0x6f, 2 * n] // fldcw [rdi + 2 n]
    };
    code.extend(control(rng, false));
    for _ in 0..rng.below(4) {
        match rng.below(8) {
            0 | 1 => code.extend([0xd9, 0xfc]),                      // frndint
            2 => code.extend([0xdb, 0x57, rng.below(16) as u8 * 8]), // fist m32
            3 => code.extend([0xdf, 0x7f, rng.below(16) as u8 * 8]), // fistp m64
            4 => code.extend([0xdf, 0x57, rng.below(16) as u8 * 8]), // fist m16
            5 => code.extend([0xdd, 0x47, rng.below(16) as u8 * 8]), // fld m64
            6 => code.extend([0xd9, 0xc0 | rng.below(4) as u8]),     // fld st(i)
            _ => code.extend([0xd9, [0xe0, 0xe1, 0xe8, 0xeb, 0xfa][rng.below(5) as usize]]),
        }
    }
    code.extend(control(rng, true));
}

/// Bytes of a random MMX instruction, register or memory form.
fn mmx(rng: &mut Rng, long: bool, code: &mut Vec<u8>) {
    const TWO: [u8; 73] = [
        0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6e, 0x6f, 0x70, 0x71, 0x72, 0x73,
        0x74, 0x75, 0x76, 0x77, 0x7e, 0x7f, 0xc4, 0xc5, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd7, 0xd8, 0xd9, 0xda, 0xdb,
        0xdc, 0xdd, 0xde, 0xdf, 0xe0, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe7, 0xe8, 0xe9, 0xea, 0xeb, 0xec, 0xed, 0xee,
        0xef, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0x6f, 0x7f, 0x6e, 0x7e,
        0xd6,
    ];
    let op = TWO[rng.below(TWO.len() as u64) as usize];
    if op == 0x77 && !rng.one_in(4) {
        return;
    }
    match op {
        // movdq2q, movq2dq; cvtpi2ps, cvtps2pi
        0xd6 if rng.one_in(4) => {
            return code.extend([0x0f, [0x2a, 0x2d][rng.below(2) as usize], 0xc0 | rng.bits() as u8]);
        }
        0xd6 => return code.extend([[0xf2, 0xf3][rng.below(2) as usize], 0x0f, 0xd6, 0xc0 | rng.bits() as u8]),
        0x77 => return code.extend([0x0f, 0x77]),
        _ => {}
    }
    let mut tail = Vec::new();
    let mut modrm = rng.bits() as u8;
    if matches!(op, 0x71..=0x73) {
        let ext = [2, 4, 6][rng.below(3) as usize];
        modrm = 0xc0 | modrm & 7 | ext << 3;
    } else if matches!(op, 0xc5 | 0xd7) {
        // Neither esp nor ebp nor the pointers are written.
        modrm = 0xc0 | modrm & 7 | (modrm & 0x18);
    } else if modrm < 0xc0 {
        modrm = modrm & 0x38 | 0x47;
        tail.push(rng.below(128) as u8 & 0x79);
        if rng.one_in(40) {
            modrm = modrm & 0x38 | 0x86;
            tail = (rng.below(32) as u32).to_le_bytes().to_vec();
        }
    }
    if op == 0x7e && modrm >= 0xc0 {
        modrm &= !4;
    }
    if long && matches!(op, 0x6e | 0x7e) && rng.one_in(2) {
        code.push(0x48);
    }
    if rng.one_in(5) && !matches!(op, 0x6e | 0x7e | 0xc4 | 0xc5) {
        let ssse3 = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0x1c, 0x1d, 0x1e, 15];
        let op = ssse3[rng.below(16) as usize];
        code.extend([0x0f, if op == 15 { 0x3a } else { 0x38 }, op, modrm]);
        code.append(&mut tail);
        return if op == 15 {
            code.push(rng.below(20) as u8)
        };
    }
    code.extend([0x0f, op, modrm]);
    code.append(&mut tail);
    if matches!(op, 0x70..=0x73 | 0xc4 | 0xc5) {
        code.push(rng.below(70) as u8);
    }
}

/// What programs mostly have: everything masked, 64 bits (or fewer), to nearest, numbers that reach each other, zeros, and significands with long runs.
fn usual(rng: &mut Rng, x: &mut X87) {
    x.cw = [0x37f, 0x37f, 0x27f, 0x7f][rng.below(4) as usize];
    x.sw = (rng.bits() as u16 & 0x7f20) & !0x80;
    let top = x.top();
    let depth = rng.below(8) as usize;
    x.valid = (0..depth).fold(0, |v, i| v | 1 << ((top + i) & 7));
    if rng.one_in(2) {
        // As functions find it.
        x.set_top((8 - depth) & 7);
        x.valid = (0..depth).fold(0, |v, i| v | 1 << (7 - i));
    }
    for r in &mut x.st {
        let run = !0u64 << rng.below(64);
        r.mant = 1 << 63 | [rng.bits(), run, !run, rng.bits() & run][rng.below(4) as usize];
        let exponent = 0x3fff + [rng.below(3), rng.below(20), rng.below(140)][rng.below(3) as usize] as u16;
        r.se = exponent | rng.bits() as u16 & 0x8000;
        if rng.one_in(8) {
            (r.mant, r.se) = (0, r.se & 0x8000);
        }
    }
}

/// Programs that once went wrong: a register compared with itself; flags at a store that faults, behind arithmetic and behind `adc`.
const REGRESSIONS: [&[u8]; 3] = [
    &[0xdd, 0xe8, 0x80, 0xe4, 0x45],
    &[0xd8, 0x6f, 0x28, 0xd9, 0x96, 0x0e, 0, 0, 0, 0x39, 0xd1],
    &[0xd8, 0x7f, 0x18, 0x11, 0xda, 0xdd, 0x8e, 9, 0, 0, 0, 0x80, 0xe4, 0x45],
];

fn count(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// A random program, what it starts from, and what is in memory.
struct Program {
    code: Vec<u8>,
    start: GuestState,
    data: Vec<u8>,
    long: bool,
}

/// The program of a number, at an address of its own. `None` when there is no room for it.
fn program(space: &Space, at: usize, seed: u64, n: u64) -> Option<Program> {
    let mut rng = Rng::new(seed.wrapping_mul(1 << 32) + n);
    let long = cfg!(target_arch = "aarch64") || rng.one_in(2);
    let mut code = Vec::new();
    match REGRESSIONS.get(n as usize / 8) {
        Some(known) => code.extend_from_slice(known),
        None => {
            // Some long enough for branches of short reach to matter.
            let most = if rng.one_in(100) { 400 } else { 24 };
            let share = [0, 2, 30][rng.below(3) as usize];
            (0..1 + rng.below(most)).for_each(|_| match rng.below(32) < share {
                true => mmx(&mut rng, long, &mut code),
                false => instruction(&mut rng, &mut code),
            });
        }
    }
    if rng.one_in(3) {
        // Three times: sub ebp, 1; jne.
        let back = -(code.len() as i32) - 9;
        code.extend([0x83, 0xed, 0x01, 0x0f, 0x85]);
        code.extend(back.to_le_bytes());
    }
    code.extend(if long { [0x0f, 0x05] } else { [0xcd, 0x80] });
    if at + code.len() + 64 > space.code + CODE {
        return None;
    }
    space.bytes(at, code.len()).copy_from_slice(&code);
    let mut start =
        GuestState { rip: at as u64, mode: if long { Mode::Long } else { Mode::Compat32 }, ..GuestState::default() };
    (0..8).for_each(|k| start.gpr[k] = rng.bits() & 0xffff_ffff);
    start.gpr[reg::RDI] = space.data as u64;
    start.gpr[reg::RSI] = (space.data + DATA - 16) as u64;
    start.gpr[reg::RBP] = 3;
    start.gpr[reg::RSP] = (space.data + DATA / 2) as u64;
    start.flags = rng.bits() as u32 & eflags::ARITH;
    demotic_oracle::generate::x87(&mut rng, &mut start);
    let plain = rng.one_in(2);
    if plain {
        usual(&mut rng, &mut start.x87);
    }
    let mut data = vec![0; DATA];
    for word in data.chunks_mut(8) {
        let v = if !plain && rng.one_in(2) { rng.interesting() } else { (rng.below(40) as f64 * 0.37 - 5.0).to_bits() };
        word.copy_from_slice(&v.to_le_bytes());
    }
    // Control words: any rounding and precision; the one of before; rounding down, up and towards zero.
    let before = start.x87.cw & 0x37f;
    let words = [0x7f | rng.bits() as u16 & 0xf00, before, before | 0x400, before | 0x800, before | 0xc00];
    words.iter().zip(data.chunks_mut(2)).for_each(|(w, to)| to.copy_from_slice(&w.to_le_bytes()));
    Some(Program { code, start, data, long })
}

/// What has to agree, memory aside.
fn image(s: &GuestState, base: u64) -> String {
    let x = &s.x87;
    let full = (0..8).filter(|n| x.valid >> n & 1 != 0).map(|n| (x.st[n].se, x.st[n].mant)).collect::<Vec<_>>();
    format!(
        "rip +{:x} gpr {:x?} flags {:x} cw {:x} sw {:x} valid {:x} {full:x?} mxcsr {:x} xmm {:x?}",
        s.rip.wrapping_sub(base),
        s.gpr,
        s.flags,
        x.cw,
        x.sw,
        x.valid,
        s.mxcsr,
        s.xmm
    )
}

#[test]
fn random_code_runs_the_same_translated() {
    // Engines install their own handler: not while breakpoints need theirs.
    let _turn = Breakpoints::new();
    let space = Space::new();
    let engines = [Executor::Interp, Executor::Jit, Executor::Jit]
        .map(|executor| Engine::with(space.clone(), &Config { executor, patience: 0, ..Config::default() }));
    // Accesses in the order that other threads want.
    engines[2].share();
    let seed = count("DEMOTIC_SEED", 1);
    let mut ends = std::collections::BTreeMap::new();
    let mut at = space.code;
    for n in count("DEMOTIC_FIRST", 0)..count("DEMOTIC_COUNT", 3000) {
        let Some(program) = program(&space, at, seed, n) else { break };
        let Program { code, start, data, long } = &program;
        at += code.len() + 16;
        let outcome = |engine: &Arc<Engine>| {
            space.bytes(space.data, DATA).copy_from_slice(data);
            let mut cpu = Cpu::new(engine, start.clone());
            let exit = cpu.run();
            (exit, cpu.state.clone(), space.bytes(space.data, DATA).to_vec())
        };
        let [(e1, s1, d1), (e2, s2, d2)] = [outcome(&engines[0]), outcome(&engines[1 + n as usize % 2])];
        let image = |s: &GuestState| image(s, start.rip);
        let kind = match &e1 {
            Exit::Syscall(_) => "end".to_string(),
            Exit::Exception(e) => format!("exception {}", e.vector),
            other => format!("{other:?}"),
        };
        *ends.entry(kind.clone()).or_insert(0) += 1;
        let bytes: String = code.iter().map(|b| format!("{b:02x} ")).collect();
        let what = format!("program {n}, {} bits: {bytes}\nfrom {}", if *long { 64 } else { 32 }, image(start));
        assert_eq!(format!("{e1:?}"), format!("{e2:?}"), "{what}");
        assert_eq!(image(&s1), image(&s2), "{what}");
        // What an 80-bit store has written when it faults at a page's end (docs/undefined.md).
        let begun = |k: usize| demotic_oracle::undefined::on_intel() && kind == "exception 14" && k % 4096 >= 4096 - 10;
        let differing: Vec<usize> = (0..d1.len()).filter(|&k| d1[k] != d2[k] && !begun(k)).collect();
        assert!(differing.is_empty(), "memory differs at {differing:x?}: {what}");
    }
    println!("{ends:?}");
    assert!(ends.len() >= 4, "{ends:?}");
}

/// The same, stopped at every host instruction: whatever comes out is a state that the interpreter passes through, and it ends as it should. `DEMOTIC_COUNT`
/// (default 60) and `DEMOTIC_SEED` as above.
#[test]
fn random_code_stopped_everywhere() {
    let breakpoints = Breakpoints::new();
    let space = Space::new();
    let engine = |executor, shared: bool| {
        let engine = Engine::with(space.clone(), &Config { executor, patience: 0, ..Config::default() });
        if shared {
            engine.share();
        }
        engine
    };
    let reference = engine(Executor::Interp, false);
    let seed = count("DEMOTIC_SEED", 2);
    let (mut ran, mut failed) = (0, 0);
    for n in count("DEMOTIC_FIRST", 0)..count("DEMOTIC_COUNT", 60) {
        let at = space.code;
        let Some(Program { code, start, data, .. }) = program(&space, at, seed, n) else { break };
        let state = |cpu: &Cpu| (image(&cpu.state, start.rip), digest(space.bytes(space.data, DATA)));
        reference.invalidate(at as u64, code.len() as u64);
        space.bytes(space.data, DATA).copy_from_slice(&data);
        let mut cpu = Cpu::new(&reference, start.clone());
        let mut passed = HashSet::from([state(&cpu)]);
        let (last, end) = loop {
            cpu.state.sys |= eflags::TF;
            let exit = cpu.run();
            cpu.state.sys &= !eflags::TF;
            if matches!(exit, Exit::Syscall(_)) {
                // `syscall` leaves the flags there.
                cpu.state.gpr[11] &= !u64::from(eflags::TF);
            }
            passed.insert(state(&cpu));
            if !matches!(exit, Exit::Exception(e) if e.vector == 1) {
                break (state(&cpu), exit);
            }
        };
        let engine = engine(Executor::Jit, n % 2 == 1);
        space.bytes(space.data, DATA).copy_from_slice(&data);
        Cpu::new(&engine, start.clone()).run();
        for pc in stops(&engine) {
            space.bytes(space.data, DATA).copy_from_slice(&data);
            let mut cpu = Cpu::new(&engine, start.clone());
            let mut exit = breakpoints.run(&engine, &mut cpu, pc).expect("code");
            ran += 1;
            let mut wrong =
                (!passed.contains(&state(&cpu))).then(|| format!("stopped, {}", image(&cpu.state, start.rip)));
            if exit == Exit::Attention {
                exit = cpu.run();
            }
            if wrong.is_none() && (exit != end || state(&cpu) != last) {
                wrong = Some(format!("at the end, {exit:?} for {end:?}, {}", image(&cpu.state, start.rip)));
            }
            let Some(wrong) = wrong else { continue };
            failed += 1;
            if failed < 12 {
                let bytes: String = code.iter().map(|b| format!("{b:02x} ")).collect();
                println!("program {n}: {bytes}\nfrom {}\n{wrong}\n{:x?}", image(&start, start.rip), engine.place(pc));
            }
            break;
        }
    }
    let hits = breakpoints.hits();
    println!("{hits} stops in {ran} runs, {failed} failed");
    assert_eq!(failed, 0);
    // The others are on ways that are not taken: of x87 code for AArch64, most are.
    assert!(hits * 5 > ran, "{hits} stops in {ran} runs");
}

fn digest(data: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    data.hash(&mut hasher);
    hasher.finish()
}

/// Significands near squares, near powers of two and with long runs, both parities of the exponent, in all precisions.
#[test]
fn square_roots_are_exact() {
    let _turn = Breakpoints::new();
    let space = Space::new();
    let engines = [Executor::Interp, Executor::Jit]
        .map(|executor| Engine::with(space.clone(), &Config { executor, patience: 0, ..Config::default() }));
    if std::env::var_os("DEMOTIC_SHARED").is_some() {
        engines[1].share();
    }
    // top: fld m80 [rsi]; fsqrt; fstp m80 [rsi]; fnstsw ax; mov [rsi + 10], ax; add rsi, 16; sub ebp, 1; jne top; the end.
    let long = cfg!(target_arch = "aarch64");
    let mut code = vec![0xdb, 0x2e, 0xd9, 0xfa, 0xdb, 0x3e, 0xdf, 0xe0, 0x66, 0x89, 0x46, 0x0a];
    code.extend_from_slice(if long { &[0x48] } else { &[] });
    code.extend([0x83, 0xc6, 0x10, 0x83, 0xed, 0x01, 0x75]);
    code.push((code.len() as u8 + 1).wrapping_neg());
    code.extend(if long { [0x0f, 0x05] } else { [0xcd, 0x80] });
    let mut rng = Rng::new(count("DEMOTIC_SEED", 1) ^ 0x7007);
    for round in 0..60 {
        // Code for each precision has a place of its own: units are for the one that they were made in.
        let (at, cw) = (space.code + 4096 * (round % 3), [0x37f, 0x27f, 0x7f][round % 3]);
        space.bytes(at, code.len()).copy_from_slice(&code);
        let mut data = vec![0; DATA];
        for number in data.chunks_mut(16) {
            let root = 1 << 63
                | [rng.bits(), !0 << rng.below(64), rng.bits() & !0 << 32, rng.below(9).wrapping_neg()]
                    [rng.below(4) as usize];
            let square = u128::from(root) * u128::from(root);
            let near = [
                (square >> 64) as u64,
                (square >> 63) as u64,
                root,
                (1 << 63) + rng.below(9),
                rng.below(9).wrapping_neg(),
            ][rng.below(5) as usize];
            let mant = 1 << 63 | near.wrapping_add(rng.below(5)).wrapping_sub(2);
            number[..8].copy_from_slice(&mant.to_le_bytes());
            number[8..10].copy_from_slice(&(0x3ff0 + rng.below(32) as u16).to_le_bytes());
        }
        let mut start = GuestState {
            rip: at as u64,
            mode: if long { Mode::Long } else { Mode::Compat32 },
            ..GuestState::default()
        };
        start.x87.cw = cw;
        start.gpr[reg::RSI] = space.data as u64;
        start.gpr[reg::RBP] = (DATA / 16) as u64;
        let [a, b] = [0, 1].map(|k: usize| {
            space.bytes(space.data, DATA).copy_from_slice(&data);
            let mut cpu = Cpu::new(&engines[k], start.clone());
            assert!(matches!(cpu.run(), Exit::Syscall(_)));
            space.bytes(space.data, DATA).to_vec()
        });
        for ((x, y), of) in a.chunks(16).zip(b.chunks(16)).zip(data.chunks(16)) {
            assert_eq!(x, y, "{cw:x}: root of {of:x?}");
        }
    }
}
