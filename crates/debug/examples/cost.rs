//! `cargo xtask cost PROGRAM`: what translating a program costs.

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
    for _ in 0..3 {
        print!("{}", cost::measure(&program, None, 2_000_000));
    }
}
