//! Every instruction of translated code has a meaning: for random programs, all instruction boundaries of both emitters' code can be
//! located, at an operation or the terminal of the block, with values that are defined before.

use demotic_codegen::arm64::Arm64;
use demotic_codegen::target::{Arch, Features, Order, Target};
use demotic_codegen::x64::X64;
use demotic_codegen::{Emitter, Request};
use demotic_ir::passes::optimise_unit;
use demotic_ir::state::{Mode, eflags::ARITH};
use demotic_oracle::generate::Rng;
use demotic_oracle::program::{self, Shapes};

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

#[test]
fn every_instruction_has_a_place() {
    let arm = Features { lse: true, ..Features::default() };
    let x86 = Features { avx: true, bmi: true, popcnt: true, ..Features::default() };
    let hosts: [(&dyn Emitter, Arch, Features); 2] = [(&X64, Arch::X64, x86), (&Arm64, Arch::Arm64, arm)];
    let mut missing = Vec::new();
    let (mut looked, mut stepped) = (0, 0);
    for mode in [Mode::Long, Mode::Compat32] {
        let shapes = Shapes::collect(mode, 60_000);
        let mut rng = Rng::new(9);
        for n in 0..400 {
            let mut unit = program::program(&mut rng, &shapes).unit;
            if n % 2 == 0 {
                optimise_unit(&mut unit, &mut |_| ARITH);
            }
            for (emitter, arch, features) in hosts {
                let target = Target { arch, features, order: Order::Single };
                let request = Request { target, unaligned: false, fp_by_helper: n % 3 == 0 };
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
                        // Between two halves of a product; the engine steps over it, which only x86-64 hosts can.
                        None if arch == Arch::X64 => stepped += 1,
                        None => missing.push(format!("{arch:?} {mode:?} program {n} offset {at:#x}")),
                    }
                }
            }
        }
    }
    assert!(looked > 10_000, "{looked}");
    assert!(stepped < looked / 5_000, "{stepped} of {looked}");
    let some: Vec<_> = missing.iter().take(20).collect();
    assert!(missing.is_empty(), "{} of {looked} have none: {some:#?}", missing.len());
}
