//! The silicon as the oracle: random instructions and states executed by the real processor and by lifter + interpreter.
//!
//! [`case`] is one test with its one-line text form, [`generate`] makes random ones, [`native`] runs one on the processor,
//! [`model`] in Demotic, [`compare`] tells the difference except for what [`undefined`] lists, [`shrink`] reduces a failure.

pub mod case;
pub mod coverage;
pub mod generate;
pub mod litmus;
pub mod model;
#[cfg(target_arch = "x86_64")]
pub mod native;
pub mod program;
pub mod sequence;
pub mod undefined;

use case::{CODE, Case, GPR, Outcome};
use demotic_ir::state::{GuestState, eflags};
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic as M};

/// The instruction of a case.
pub fn decode(case: &Case) -> Instruction {
    Decoder::with_ip(case.mode.bits(), &case.bytes, CODE, DecoderOptions::NONE).decode()
}

/// Text of a case's instruction.
pub fn disassemble(case: &Case) -> String {
    let mut text = String::new();
    iced_x86::FastFormatter::new().format(&decode(case), &mut text);
    text
}

/// What differs between processor and model; empty when they agree.
pub fn compare(case: &Case, real: &Outcome, ours: &Outcome) -> Vec<String> {
    let insn = decode(case);
    if undefined::whole(&insn, case, real, ours) {
        return Vec::new();
    }
    let mut diff = Vec::new();
    let mut check = |name: &str, a: u64, b: u64| {
        if a != b {
            diff.push(format!("{name}: processor {a:x}, model {b:x}"));
        }
    };
    let fault = |o: &Outcome| {
        // The present bit depends on what is mapped around the window, and #GP error codes of bad addresses are 0.
        o.fault.map_or(0, |(v, e, _)| 0x100 | u64::from(v) | u64::from(e & !1) << 16)
    };
    check("fault", fault(real), fault(ours));
    check("fault address", real.fault.map_or(0, |f| f.2), ours.fault.map_or(0, |f| f.2));
    let (r, o) = (&real.state, &ours.state);
    check("rip", r.rip, o.rip);
    let skip_dest = undefined::destination(&insn, case);
    let approximate = undefined::approximate(&insn);
    if !skip_dest {
        for n in 0..16 {
            check(GPR[n], r.gpr[n], o.gpr[n]);
        }
        // The MXCSR mask of the host's processor may have more bits.
        let mask = |a: u8, b: u8| matches!(insn.mnemonic(), M::Fxsave | M::Fxsave64) && (a, b) == (2, 0);
        // Nearly always all of it is the same, which whole words tell.
        let mut bytes = real.data.iter().zip(&ours.data);
        let differs = |(a, b): (&u8, &u8)| a != b && !mask(*a, *b);
        if let Some(at) = if real.data == ours.data { None } else { bytes.position(differs) } {
            check(&format!("memory +{at:x}"), u64::from(real.data[at]), u64::from(ours.data[at]));
        }
    }
    // A fault leaves all flags as they were.
    let mask = if real.fault.is_some() { eflags::ARITH } else { eflags::ARITH & !undefined::flags(&insn, case) };
    check("flags", u64::from(r.flags & mask), u64::from(o.flags & mask));
    check("system flags", u64::from(r.sys), u64::from(o.sys));
    if !approximate {
        let vectors = if r.xmm == o.xmm && r.ymm == o.ymm { 0 } else { 16 };
        for n in 0..vectors {
            for half in 0..2 {
                check(&format!("xmm{n}[{half}]"), r.xmm[n][half], o.xmm[n][half]);
                check(&format!("ymm{n}[{half}]"), r.ymm[n][half], o.ymm[n][half]);
            }
        }
        for n in 0..8 {
            // What an empty register holds is invisible except to fsave.
            if r.x87.valid >> n & 1 != 0 && r.x87.st[n] != o.x87.st[n] {
                check(&format!("r{n} significand"), r.x87.st[n].mant, o.x87.st[n].mant);
                check(&format!("r{n} exponent"), u64::from(r.x87.st[n].se), u64::from(o.x87.st[n].se));
            }
        }
        check("x87 status", u64::from(r.x87.sw), u64::from(o.x87.sw));
        // The frame has them while an exception is pending.
        let [(fop, fip, fdp), (fop2, fip2, fdp2)] = [r, o].map(|s| s.x87.pending_pointers());
        check("x87 opcode", u64::from(fop), u64::from(fop2));
        check("x87 instruction", fip, fip2);
        check("x87 operand", fdp, fdp2);
    }
    check("mxcsr", u64::from(r.mxcsr), u64::from(o.mxcsr));
    check("x87 control", u64::from(r.x87.cw), u64::from(o.x87.cw));
    if !approximate {
        check("x87 valid", u64::from(r.x87.valid), u64::from(o.x87.valid));
    }
    diff
}

/// What differs between two states apart from RIP; only those arithmetic flags and bits of MXCSR count.
fn states(a: &GuestState, b: &GuestState, flags: u32, mxcsr: u32) -> Vec<String> {
    let mut diff = Vec::new();
    let mut check = |name: &str, x: u64, y: u64| {
        if x != y {
            diff.push(format!("{name}: {x:x} and {y:x}"));
        }
    };
    for n in 0..16 {
        check(GPR[n], a.gpr[n], b.gpr[n]);
        check(&format!("xmm{n} low"), a.xmm[n][0], b.xmm[n][0]);
        check(&format!("xmm{n} high"), a.xmm[n][1], b.xmm[n][1]);
        check(&format!("ymm{n} low"), a.ymm[n][0], b.ymm[n][0]);
        check(&format!("ymm{n} high"), a.ymm[n][1], b.ymm[n][1]);
    }
    check("flags", u64::from(a.flags & flags), u64::from(b.flags & flags));
    check("system flags", u64::from(a.sys), u64::from(b.sys));
    check("mxcsr", u64::from(a.mxcsr & mxcsr), u64::from(b.mxcsr & mxcsr));
    for n in 0..8 {
        check(&format!("r{n} significand"), a.x87.st[n].mant, b.x87.st[n].mant);
        check(&format!("r{n} exponent"), u64::from(a.x87.st[n].se), u64::from(b.x87.st[n].se));
    }
    check("x87 control", u64::from(a.x87.cw), u64::from(b.x87.cw));
    check("x87 status", u64::from(a.x87.sw), u64::from(b.x87.sw));
    check("x87 valid", u64::from(a.x87.valid), u64::from(b.x87.valid));
    // Translated code keeps them no further than that. On hosts without an x87 unit it has none of an exception that the control word unmasks later
    // (`docs/undefined.md`).
    let pointers = cfg!(target_arch = "x86_64");
    let [(fop, fip, fdp), (fop2, fip2, fdp2)] = [a, b].map(|s| s.x87.pending_pointers());
    if pointers {
        check("fop", u64::from(fop), u64::from(fop2));
        check("fip", fip, fip2);
        check("fdp", fdp, fdp2);
    }
    diff
}

/// Greedily makes a failing case smaller while `fails` holds.
pub fn shrink(case: &Case, mut fails: impl FnMut(&Case) -> bool) -> Case {
    let mut best = case.clone();
    let mut attempt = |best: &mut Case, change: &dyn Fn(&mut Case)| {
        let mut next = best.clone();
        change(&mut next);
        // A status word that processors can have.
        next.state.x87.summarise();
        if next.line() != best.line() && fails(&next) {
            *best = next;
        }
    };
    attempt(&mut best, &|c| c.mem.clear());
    for n in 0..16 {
        attempt(&mut best, &move |c| c.state.gpr[n] = 0);
        attempt(&mut best, &move |c| c.state.gpr[n] &= 0xff);
        attempt(&mut best, &move |c| c.state.xmm[n] = [0; 2]);
        attempt(&mut best, &move |c| c.state.ymm[n] = [0; 2]);
    }
    attempt(&mut best, &|c| c.state.mxcsr = 0x1f80);
    attempt(&mut best, &|c| c.state.x87.cw = 0x37f);
    attempt(&mut best, &|c| c.state.x87.sw &= 0x3800);
    attempt(&mut best, &|c| c.state.x87.sw = 0);
    attempt(&mut best, &|c| c.state.x87.valid = 0xff);
    attempt(&mut best, &|c| c.state.x87.valid = 0);
    for n in 0..8 {
        attempt(&mut best, &move |c| c.state.x87.st[n] = Default::default());
    }
    attempt(&mut best, &|c| c.state.flags = 0);
    attempt(&mut best, &|c| c.state.sys &= !eflags::DF);
    let mut at = 0;
    while at < best.mem.len() {
        let before = best.mem.len();
        attempt(&mut best, &move |c| {
            c.mem.remove(at);
        });
        if best.mem.len() == before {
            at += 1;
        }
    }
    best
}
