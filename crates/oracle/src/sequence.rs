//! Sequences of random instructions: what a translator makes of several instructions together (flags that meet conditions later, values that
//! stay in registers, faults in the middle) is compared with the model, which does one at a time.
//!
//! A sequence is made step by step in the model, so that most accesses hit the data window at the state that the instructions before leave. Behind
//! an instruction that leaves flags undefined stands a comparison, for an emitter may leave the host's. `int3` ends it.

use crate::case::{CODE, Case, DATA, DATA_LEN, Outcome};
use crate::generate::{Rng, generate};
use crate::{decode, model, undefined};
use demotic_ir::state::Mode;
use demotic_ir::state::eflags::{AF, ARITH, TF};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic as M, Register};

/// Instructions one behind the other, and the state that they start from.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// State and memory at the beginning; its instruction bytes are those of all parts.
    pub case: Case,
    /// One instruction each, some with a branch over it in front or a comparison behind.
    pub parts: Vec<Vec<u8>>,
}

/// Whether flags behind the instruction depend on the processor; logical operations clear AF on all that exist.
fn vague(case: &Case) -> bool {
    let insn = decode(case);
    let flags = undefined::flags(&insn, case);
    match insn.mnemonic() {
        M::And | M::Or | M::Xor | M::Test => flags & !AF != 0,
        _ => flags != 0,
    }
}

/// Goes on from `now` to the end of the case's bytes or to a fault, one instruction after the other.
fn run(case: &Case, mut now: Outcome) -> Option<Outcome> {
    let end = CODE + case.bytes.len() as u64;
    for _ in 0..200 {
        if now.fault.is_some() || now.state.rip >= end {
            return Some(now);
        }
        now = model::step(case.mode, &case.bytes, now.state, now.data)?;
    }
    None
}

/// The bytes of an instruction that was decoded at [`CODE`] and behind.
fn bytes_of<'a>(code: &'a [u8], insn: &Instruction) -> Option<&'a [u8]> {
    code.get((insn.ip() - CODE) as usize..(insn.next_ip() - CODE) as usize)
}

impl Sequence {
    /// Up to a dozen random instructions.
    pub fn random(rng: &mut Rng, mode: Mode) -> Sequence {
        let first = loop {
            if let Some(case) = generate(rng, mode) {
                break case;
            }
        };
        let mut this = Sequence { case: first, parts: Vec::new() };
        this.case.state.sys &= !TF;
        this.case.bytes.clear();
        let mut now = Outcome { state: this.case.state.clone(), data: this.case.data(), fault: None };
        let wanted = 1 + rng.below(12) as usize;
        for _ in 0..400 {
            if this.parts.len() >= wanted || now.fault.is_some() {
                break;
            }
            let Some(next) = generate(rng, mode) else { continue };
            let mut part = next.bytes.clone();
            let here = Case { state: now.state.clone(), ..next };
            let insn = decode(&here);
            let moved = insn.is_ip_rel_memory_operand() && !this.parts.is_empty();
            if insn.flow_control() != FlowControl::Next || moved || undefined::destination(&insn, &here) {
                continue;
            }
            if rng.one_in(5) {
                // A branch over it.
                part.splice(0..0, [0x70 | rng.below(16) as u8, here.bytes.len() as u8]);
            }
            if vague(&here) {
                part.extend([0x3c, rng.bits() as u8]);
            }
            let before = this.case.bytes.len();
            this.case.bytes.extend_from_slice(&part);
            match run(&this.case, now.clone()) {
                Some(after) if after.fault.is_none() || rng.one_in(30) => {
                    now = after;
                    this.parts.push(part);
                }
                _ => this.case.bytes.truncate(before),
            }
        }
        if rng.one_in(3) {
            // Nobody reads the flags behind.
            this.parts.push(vec![0x85, 0xe4]);
        }
        this.join();
        this
    }

    /// Instructions that stand in `code` at some place, with registers that point where most accesses hit the data window: one behind the other up to a
    /// branch, or with all branches that do not lead away. `None`: another place is to be tried.
    pub fn real(rng: &mut Rng, mode: Mode, code: &[u8]) -> Option<Sequence> {
        let from = rng.below(code.len() as u64) as usize;
        let code = &code[from..(from + 256).min(code.len())];
        let mut decoder = Decoder::with_ip(mode.bits(), code, CODE, DecoderOptions::NONE);
        // What is decoded from a wrong place is soon right.
        for _ in 0..8 {
            let _ = decoder.decode();
        }
        let mut this = Sequence { case: generate(rng, mode)?, parts: Vec::new() };
        this.case.state.sys &= !TF;
        this.case.state.gpr.fill_with(|| match rng.below(3) {
            0 => rng.interesting(),
            _ => DATA + rng.below(DATA_LEN as u64),
        });
        let mut insns: Vec<Instruction> = Vec::new();
        let branches = rng.one_in(2);
        let most = 1 + rng.below(if branches { 30 } else { 12 }) as usize;
        let mut ends = None;
        for insn in decoder.iter().take(most) {
            let Some(bytes) = bytes_of(code, &insn) else { break };
            if branches && (insn.is_jcc_short_or_near() || insn.is_jmp_short_or_near()) {
                insns.push(insn);
                continue;
            }
            if insn.is_jcc_short_or_near() {
                ends = Some(bytes[usize::from(bytes[0] == 0x0f)] & 15);
            }
            let here = Case { bytes: bytes.to_vec(), ..this.case.clone() };
            let skipped = insn.is_ip_rel_memory_operand() || undefined::destination(&insn, &here);
            if insn.is_invalid() || skipped || insn.flow_control() != FlowControl::Next || branches && vague(&here) {
                break;
            }
            insns.push(insn);
        }
        // Up to the first branch that leads away; what is cut off may be where others led.
        let start = insns.first()?.ip();
        while let Some(away) = insns.iter().position(|branch| {
            let (to, end) = (branch.near_branch_target(), insns.last().map_or(start, Instruction::next_ip));
            branch.flow_control() != FlowControl::Next && to != end && insns.iter().all(|i| i.ip() != to)
        }) {
            insns.truncate(away);
        }
        let mut known = [false; 16];
        for insn in &insns {
            let (base, index) = (insn.memory_base(), insn.memory_index());
            for (r, is_base) in [(base, true), (index, false)] {
                let n = r.full_register().number();
                if r.is_gpr() && r.full_register() != Register::RSP && !std::mem::replace(&mut known[n], true) {
                    let place = (DATA + rng.below(DATA_LEN as u64 - 64)).wrapping_sub(insn.memory_displacement64());
                    this.case.state.gpr[n] = if is_base { place } else { rng.below(16) };
                }
            }
            let mut part = bytes_of(code, insn)?.to_vec();
            let here = Case { bytes: part.clone(), ..this.case.clone() };
            if !branches && vague(&here) {
                part.extend([0x3c, rng.bits() as u8]);
            }
            this.parts.push(part);
        }
        if branches {
            // Distances are right only while nothing is missing.
            this.parts = vec![this.parts.concat()];
        }
        if mode != Mode::Long {
            this.case.state.gpr.iter_mut().for_each(|r| *r = u64::from(*r as u32));
        }
        if let (Some(condition), false) = (ends, branches) {
            // Over a byte that shows where it went.
            this.parts.push(vec![0x70 | condition, 2, 0xb1, 0x5a]);
        }
        if rng.one_in(2) {
            // Nobody reads the flags behind.
            this.parts.push(vec![0x85, 0xe4]);
        }
        this.join();
        Some(this)
    }

    /// Takes the bytes of all parts, and `int3`, as the case's.
    pub fn join(&mut self) {
        self.case.bytes = self.parts.concat();
        self.case.bytes.push(0xcc);
    }

    /// The model's outcome. `None` when an instruction needs the environment.
    pub fn run(&self) -> Option<Outcome> {
        run(&self.case, Outcome { state: self.case.state.clone(), data: self.case.data(), fault: None })
    }

    /// Every state on the model's way, from the first to the outcome, each with the flags that are undefined in it. `None` as for [`Sequence::run`].
    pub fn path(&self) -> Option<Vec<(Outcome, u32)>> {
        let end = CODE + self.case.bytes.len() as u64;
        let first = Outcome { state: self.case.state.clone(), data: self.case.data(), fault: None };
        let mut path = vec![(first, 0)];
        while let Some((now, _)) = path.last().filter(|p| p.0.fault.is_none() && p.0.state.rip < end) {
            if path.len() > 200 {
                return None;
            }
            let bytes = self.case.bytes.get(now.state.rip.wrapping_sub(CODE) as usize..)?;
            let here = Case { state: now.state.clone(), bytes: bytes.to_vec(), ..self.case.clone() };
            let insn = decode(&here);
            let undefined = match insn.mnemonic() {
                M::And | M::Or | M::Xor | M::Test => undefined::flags(&insn, &here) & !AF,
                _ => undefined::flags(&insn, &here),
            };
            let next = model::step(self.case.mode, &self.case.bytes, now.state.clone(), now.data.clone())?;
            path.push((next, undefined));
        }
        Some(path)
    }

    /// Removes what a failure does not need.
    pub fn shrink(&self, mut fails: impl FnMut(&Sequence) -> bool) -> Sequence {
        let mut best = self.clone();
        let mut at = best.parts.len();
        while at > 0 {
            at -= 1;
            let mut next = best.clone();
            next.parts.remove(at);
            next.join();
            if fails(&next) {
                best = next;
            }
        }
        let parts = best.parts.clone();
        best.case = crate::shrink(&best.case, |c| fails(&Sequence { case: c.clone(), parts: parts.clone() }));
        best
    }

    /// A sequence from the line of a case, whose bytes are taken as they are.
    pub fn parse(line: &str) -> Option<Sequence> {
        let mut case = Case::parse(line)?;
        case.state.sys &= !TF;
        Some(Sequence { parts: Vec::new(), case })
    }

    /// Text of the instructions.
    pub fn text(&self) -> String {
        let options = DecoderOptions::NONE;
        let decoder = Decoder::with_ip(self.case.mode.bits(), &self.case.bytes, CODE, options);
        decoder.into_iter().map(|i| i.to_string()).collect::<Vec<_>>().join("; ")
    }
}

/// What differs between the model and a translator; empty when they agree. `mxcsr`: bits that count.
pub fn differences(model: &Outcome, ours: &Outcome, mxcsr: u32) -> Vec<String> {
    differences_of(model, ours, ARITH, mxcsr)
}

/// The same with the flags that count.
pub fn differences_of(model: &Outcome, ours: &Outcome, flags: u32, mxcsr: u32) -> Vec<String> {
    let mut diff = Vec::new();
    let mut check = |name: &str, a: u64, b: u64| {
        if a != b {
            diff.push(format!("{name}: model {a:x}, translated {b:x}"));
        }
    };
    // The present bit depends on what is mapped around the window.
    let fault = |o: &Outcome| o.fault.map_or(0, |(v, e, _)| 0x100 | u64::from(v) | u64::from(e & !1) << 16);
    check("fault", fault(model), fault(ours));
    check("fault address", model.fault.map_or(0, |f| f.2), ours.fault.map_or(0, |f| f.2));
    let (m, o) = (&model.state, &ours.state);
    check("rip", m.rip, o.rip);
    diff.extend(crate::states(m, o, flags, mxcsr));
    if let Some(at) = (0..DATA_LEN).find(|&n| model.data[n] != ours.data[n]) {
        diff.push(format!("memory +{at:x}: model {:x}, translated {:x}", model.data[at], ours.data[at]));
    }
    diff
}
