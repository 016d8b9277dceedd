//! `cargo xtask cost PROGRAM`: what translating a program costs; with `digest`, a number for all code that comes out, of several kinds.

use demotic_codegen::target::{Arch, Features, Order, Target};
use demotic_codegen::{Arithmetic, Emitter, Request, arm64::Arm64, x64::X64};
use demotic_debug::{cost, program::Program};
use demotic_ir::passes::Precision;

fn main() {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: cost PROGRAM [x86-64|aarch64|digest]");
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
    let only = std::env::args().nth(2);
    if only.as_deref() == Some("digest") {
        return digests(&program);
    }
    // For profilers: fewer instructions, once.
    let limit = std::env::args().nth(3).and_then(|n| n.parse().ok());
    let hosts: [(&str, Arch, &dyn Emitter, Precision); 2] =
        [("x86-64", Arch::X64, &X64, Precision::Kept), ("aarch64", Arch::Arm64, &Arm64, Precision::Exact)];
    for (name, arch, emitter, precision) in hosts.into_iter().filter(|h| only.as_deref().is_none_or(|o| o == h.0)) {
        let target = Target { arch, features: Features::default(), order: Order::Single };
        let request = Request {
            target,
            unaligned: false,
            arithmetic: Arithmetic::Fast,
            nans: false,
            precision,
            significand: Default::default(),
        };
        // Other programs run as well: the quickest of some runs, stage by stage.
        if let Some(limit) = limit {
            println!("{}", cost::measure(&program, precision, Some((emitter, &request)), limit, true));
            continue;
        }
        let digest = cost::measure(&program, precision, Some((emitter, &request)), 2_000_000, true).digest;
        let mut best = cost::measure(&program, precision, Some((emitter, &request)), 2_000_000, false);
        best.digest = digest;
        for _ in 1..5 {
            best.quickest(&cost::measure(&program, precision, Some((emitter, &request)), 2_000_000, false));
        }
        println!("for {name} hosts:\n{best}");
    }
}

/// Digests of what both emitters make of a program in their variants, one a line: compare them before and after a change that is none.
fn digests(program: &Program) {
    let none = Features::default();
    let all = Features {
        lse: true,
        lse2: true,
        rcpc: true,
        rcpc2: true,
        flagm: true,
        avx: true,
        avx2: true,
        bmi: true,
        popcnt: true,
        aes: true,
        sha: true,
        dot: true,
        crc: true,
    };
    let request = |arch, features, order, precision| Request {
        target: Target { arch, features, order },
        unaligned: false,
        arithmetic: Arithmetic::Fast,
        nans: false,
        precision,
        significand: Default::default(),
    };
    let arm = |features, order, precision| request(Arch::Arm64, features, order, precision);
    let variants: [(&str, &dyn Emitter, Request); 6] = [
        ("x86-64", &X64, request(Arch::X64, none, Order::Single, Precision::Kept)),
        ("x86-64, all features, TSO", &X64, request(Arch::X64, all, Order::Tso, Precision::Kept)),
        ("aarch64", &Arm64, arm(none, Order::Single, Precision::Exact)),
        ("aarch64, all features, relaxed", &Arm64, arm(all, Order::Single, Precision::Relaxed)),
        ("aarch64, TSO, NaNs", &Arm64, Request { nans: true, ..arm(all, Order::Tso, Precision::Relaxed) }),
        (
            "aarch64, TSO, unaligned, helpers",
            &Arm64,
            Request { unaligned: true, arithmetic: Arithmetic::Helper, ..arm(none, Order::Tso, Precision::Exact) },
        ),
    ];
    for (name, emitter, request) in variants {
        println!("{:016x} {name}", cost::digest(program, emitter, &request, 700_000));
    }
}
