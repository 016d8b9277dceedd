//! `cargo xtask cost PROGRAM`: what translating a program costs.

use demotic_codegen::target::{Arch, Features, Order, Target};
use demotic_codegen::{Emitter, Request, arm64::Arm64, x64::X64};
use demotic_debug::{cost, program::Program};

fn main() {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: cost PROGRAM");
        std::process::exit(125);
    };
    let file = std::fs::read(&path).unwrap_or_else(|e| {
        eprintln!("cost: {path}: {e}");
        std::process::exit(127);
    });
    let Some(program) = Program::parse(file) else {
        eprintln!("cost: {path}: not an i386 or x86-64 ELF file");
        std::process::exit(126);
    };
    let hosts: [(&str, Arch, &dyn Emitter); 2] = [("x86-64", Arch::X64, &X64), ("aarch64", Arch::Arm64, &Arm64)];
    for (name, arch, emitter) in hosts {
        let target = Target { arch, features: Features::default(), order: Order::Single };
        let request = Request { target, unaligned: false, fp_by_helper: false };
        // The first run warms up.
        cost::measure(&program, Some((emitter, &request)), 100_000);
        println!("for {name} hosts:\n{}", cost::measure(&program, Some((emitter, &request)), 2_000_000));
    }
}
