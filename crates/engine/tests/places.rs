//! Every instruction of translated code has a meaning: for random programs, all instruction boundaries of both emitters' code can be
//! located, at an operation or the terminal of the block, with values that are defined before.

use demotic_codegen::arm64::Arm64;
use demotic_codegen::target::{Arch, Features, Order, Target};
use demotic_codegen::x64::X64;
use demotic_codegen::{Arithmetic, Emitter, Request};
use demotic_ir::passes::{Precision, fold, optimise_unit, optimise_unit_with};
use demotic_ir::state::{Mode, eflags::ARITH};
use demotic_oracle::generate::{self, Rng};
use demotic_oracle::program::{self, Shapes};
use demotic_x86::unit::{self, Limits};

/// The emitters are the same on every host, and ARM ones may be emulated: less of it there.
const FEWER: usize = if cfg!(target_arch = "x86_64") { 1 } else { 10 };

fn boundaries(arch: Arch, code: &[u8]) -> Vec<u32> {
    if arch == Arch::Arm64 {
        return (0..code.len() as u32 / 4).map(|n| n * 4).collect();
    }
    let mut decoder = iced_x86::Decoder::with_ip(64, code, 0, iced_x86::DecoderOptions::NONE);
    let mut all = Vec::new();
    while decoder.can_decode() {
        all.push(decoder.decode().ip() as u32);
    }
    all
}

/// Whether an x86-64 instruction accesses memory other than the frame and the stack.
fn touches_memory(code: &[u8]) -> bool {
    use iced_x86::{Code, Decoder, DecoderOptions, OpKind, Register};
    let insn = Decoder::new(64, code, DecoderOptions::NONE).decode();
    let memory = (0..insn.op_count())
        .any(|n| !matches!(insn.op_kind(n), OpKind::Register) && insn.op_kind(n) >= OpKind::MemorySegSI);
    let none =
        insn.code() == Code::INVALID || matches!(insn.mnemonic(), iced_x86::Mnemonic::Lea | iced_x86::Mnemonic::Nop);
    memory && !none && insn.segment_prefix() != Register::GS && insn.memory_base() != Register::RSP
}

#[test]
fn every_instruction_has_a_place() {
    let arm = Features { lse: true, ..Features::default() };
    let x86 = Features { avx: true, avx2: true, bmi: true, popcnt: true, ..Features::default() };
    let hosts: [(&dyn Emitter, Arch, Features); 2] = [(&X64, Arch::X64, x86), (&Arm64, Arch::Arm64, arm)];
    let mut missing = Vec::new();
    let (mut looked, mut stepped) = (0, 0);
    for mode in [Mode::Long, Mode::Compat32] {
        let shapes = Shapes::collect(mode, 60_000);
        let mut rng = Rng::new(9);
        for n in 0..400 / FEWER {
            let mut unit = program::program(&mut rng, &shapes).unit;
            if n % 2 == 0 {
                unit.blocks.iter_mut().for_each(fold::run);
                optimise_unit(&mut unit, &mut |_| ARITH);
            }
            for (emitter, arch, features) in hosts {
                let target = Target { arch, features, order: [Order::Single, Order::Tso][n / 6 % 2] };
                let request = Request {
                    target,
                    unaligned: false,
                    arithmetic: Arithmetic::ALL[n % 3],
                    nans: false,
                    precision: Precision::Exact,
                    significand: Default::default(),
                };
                let Ok(compiled) = emitter.emit(&unit, &request) else { continue };
                // Before a block's entry stands its pre-entry, which only calls.
                let first = compiled.entries.iter().min().copied().unwrap_or(0);
                let all: Vec<u32> = boundaries(arch, &compiled.code).into_iter().filter(|at| *at >= first).collect();
                let places: Vec<_> = all.iter().map(|at| emitter.locate(&unit, &request, *at)).collect();
                // Behind the last instruction stands the literal pool.
                let end = places.iter().rposition(Option::is_some).map_or(0, |n| n + 1);
                looked += end;
                for (at, place) in all.iter().zip(&places[..end]) {
                    match place {
                        Some(p) => {
                            let block = &unit.blocks[p.block as usize];
                            assert!(p.index as usize <= block.insts.len(), "{arch:?} {at:#x}: {p:?}");
                        }
                        // Where flags have changed and the rest of an operation is still to come, or between two halves of a product; the engine steps
                        // over it, which only x86-64 hosts can. A fault there would be nobody's.
                        None if arch == Arch::X64 && !touches_memory(&compiled.code[*at as usize..]) => stepped += 1,
                        None => missing.push(format!("{arch:?} {mode:?} program {n} offset {at:#x}")),
                    }
                }
            }
        }
    }
    assert!(looked > 10_000, "{looked}");
    assert!(stepped < looked / 50, "{stepped} of {looked}");
    let some: Vec<_> = missing.iter().take(20).collect();
    assert!(missing.is_empty(), "{} of {looked} have none: {some:#?}", missing.len());
}

/// Random guest instructions one behind the other, as bytes.
fn sequence(rng: &mut Rng, mode: Mode) -> Vec<u8> {
    let mut code = Vec::new();
    let wanted = 2 + rng.below(12);
    let mut have = 0;
    while have < wanted {
        let Some(case) = generate::generate(rng, mode) else { continue };
        let mut decoder = iced_x86::Decoder::with_ip(mode.bits(), &case.bytes, 0x1000, iced_x86::DecoderOptions::NONE);
        if decoder.decode().flow_control() == iced_x86::FlowControl::Next {
            code.extend_from_slice(&case.bytes);
            have += 1;
        }
    }
    code
}

/// Whether an instruction of translated code may fault on behalf of the guest: it divides, or has an operand in the guest's memory. The frame
/// is reached through GS, the shadow stack through RSP.
fn may_fault(insn: &iced_x86::Instruction) -> bool {
    use iced_x86::{Mnemonic, OpKind, Register};
    let memory = (0..insn.op_count()).any(|n| match insn.op_kind(n) {
        OpKind::Memory => insn.segment_prefix() != Register::GS && insn.memory_base() != Register::RSP,
        OpKind::MemorySegSI
        | OpKind::MemorySegESI
        | OpKind::MemorySegRSI
        | OpKind::MemoryESDI
        | OpKind::MemoryESEDI
        | OpKind::MemoryESRDI => true,
        _ => false,
    });
    match insn.mnemonic() {
        Mnemonic::Div | Mnemonic::Idiv => true,
        Mnemonic::Lea | Mnemonic::Nop => false,
        _ => memory,
    }
}

/// What faults in translated guest instructions can always be told: stepping on is no way out there.
#[test]
fn whatever_may_fault_has_a_place() {
    let features = Features { avx: true, avx2: true, bmi: true, popcnt: true, ..Features::default() };
    let arm = Features { lse: true, ..Features::default() };
    let hosts: [(&dyn Emitter, Arch, Features, Precision); 2] =
        [(&X64, Arch::X64, features, Precision::Kept), (&Arm64, Arch::Arm64, arm, Precision::Exact)];
    let rounds: usize = std::env::var("DEMOTIC_COUNT").ok().and_then(|n| n.parse().ok()).unwrap_or(200 / FEWER);
    let (mut looked, mut missing) = (0, Vec::new());
    for mode in [Mode::Long, Mode::Compat32] {
        let mut rng = Rng::new(11);
        for _ in 0..rounds {
            let code = sequence(&mut rng, mode);
            let mut fetch = |at: u64, buf: &mut [u8]| {
                let rest = &code[(at.wrapping_sub(0x1000) as usize).min(code.len())..];
                let n = rest.len().min(buf.len());
                buf[..n].copy_from_slice(&rest[..n]);
                n
            };
            let lifted = unit::lift(0x1000, mode, &Limits::default(), &mut fetch);
            for (emitter, arch, features, precision) in hosts {
                let mut unit = lifted.clone();
                let live = if rng.one_in(2) { ARITH } else { rng.bits() as u32 & ARITH };
                optimise_unit_with(&mut unit, precision, &mut |_| live);
                let order = if rng.one_in(2) { Order::Single } else { Order::Tso };
                let target = Target { arch, features, order };
                let request = Request {
                    target,
                    unaligned: false,
                    arithmetic: Arithmetic::Fast,
                    nans: false,
                    precision: Precision::Exact,
                    significand: Default::default(),
                };
                let Ok(compiled) = emitter.emit(&unit, &request) else { continue };
                let first = compiled.entries.iter().min().copied().unwrap_or(0);
                let places = |at: u32| emitter.locate(&unit, &request, at);
                let mut none = |at: u32, what: String| {
                    looked += 1;
                    if places(at).is_none() {
                        missing.push(format!("{arch:?} {mode:?} {}: {at:#x} {what}", hex(&code)));
                    }
                };
                if arch == Arch::X64 {
                    let options = iced_x86::DecoderOptions::NONE;
                    for insn in iced_x86::Decoder::with_ip(64, &compiled.code, 0, options).iter() {
                        if insn.ip() as u32 >= first && may_fault(&insn) {
                            none(insn.ip() as u32, insn.to_string());
                        }
                    }
                } else {
                    let all: Vec<u32> =
                        boundaries(arch, &compiled.code).into_iter().filter(|at| *at >= first).collect();
                    // Behind the last instruction stands the literal pool.
                    let end = all.iter().rposition(|at| places(*at).is_some()).map_or(0, |n| n + 1);
                    all[..end].iter().for_each(|at| none(*at, String::new()));
                }
            }
        }
    }
    assert!(looked > 1_000, "{looked}");
    let some: Vec<_> = missing.iter().take(20).collect();
    assert!(missing.is_empty(), "{} of {looked} have none: {some:#?}", missing.len());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
