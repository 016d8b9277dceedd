//! One test case: an instruction, its mode, and the state it starts from; with a text form of one line.
//!
//! `64 4801d8 rax=5 rbx=ffff flags=246 mem=10000010:0102 xmm0=...` Everything not named is zero (or the reset value for the
//! control words). The line is what a failure shrinks to and what the regression file holds.

use demotic_ir::state::{GuestState, Mode, eflags};
use std::fmt::Write;

/// Guest address of the data window, the same natively and in the model; 32-bit code reaches it too.
pub const DATA: u64 = 0x1000_0000;
/// Bytes in the data window; both neighbours are unmapped.
pub const DATA_LEN: usize = 0x2000;
/// Where the instruction stands: it may end anywhere in this page.
pub const CODE: u64 = 0x2000_0800;

/// An instruction and its input.
#[derive(Clone, Debug)]
pub struct Case {
    /// Long or Compat32.
    pub mode: Mode,
    /// The instruction's bytes.
    pub bytes: Vec<u8>,
    /// Registers; `rip` is [`CODE`].
    pub state: GuestState,
    /// Non-zero bytes of the data window: offset, value.
    pub mem: Vec<(u16, u8)>,
}

/// Names of the general registers in number order.
pub const GPR: [&str; 16] =
    ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];

impl Case {
    /// A case with everything at its default.
    pub fn new(mode: Mode, bytes: Vec<u8>) -> Case {
        let mut state = GuestState { mode, rip: CODE, ..GuestState::default() };
        state.sys |= eflags::TF;
        Case { mode, bytes, state, mem: Vec::new() }
    }

    /// The data window.
    pub fn data(&self) -> Vec<u8> {
        let mut data = vec![0; DATA_LEN];
        for &(at, v) in &self.mem {
            if let Some(b) = data.get_mut(usize::from(at)) {
                *b = v;
            }
        }
        data
    }

    /// The one-line form.
    pub fn line(&self) -> String {
        let s = &self.state;
        let mut out = format!("{} ", self.mode.bits());
        self.bytes.iter().for_each(|b| {
            let _ = write!(out, "{b:02x}");
        });
        let mut put = |name: &str, v: u64, default: u64| {
            if v != default {
                let _ = write!(out, " {name}={v:x}");
            }
        };
        for (name, &v) in GPR.iter().zip(&s.gpr) {
            put(name, v, 0);
        }
        put("flags", u64::from(s.flags | s.sys & eflags::DF), 0);
        put("mxcsr", u64::from(s.mxcsr), 0x1f80);
        put("cw", u64::from(s.x87.cw), 0x37f);
        put("sw", u64::from(s.x87.sw), 0);
        put("valid", u64::from(s.x87.valid), 0);
        for (i, x) in s.xmm.iter().enumerate().filter(|(_, x)| **x != [0, 0]) {
            let _ = write!(out, " xmm{i}={:016x}{:016x}", x[1], x[0]);
        }
        for (i, x) in s.ymm.iter().enumerate().filter(|(_, x)| **x != [0, 0]) {
            let _ = write!(out, " ymm{i}={:016x}{:016x}", x[1], x[0]);
        }
        for (i, f) in s.x87.st.iter().enumerate().filter(|(_, f)| f.mant != 0 || f.se != 0) {
            let _ = write!(out, " r{i}={:04x}{:016x}", f.se, f.mant);
        }
        for &(at, v) in &self.mem {
            let _ = write!(out, " @{at:x}={v:02x}");
        }
        out
    }

    /// Parses a line; `None` for one that is not a case.
    pub fn parse(line: &str) -> Option<Case> {
        let line = line.split('#').next()?.trim();
        let mut words = line.split_whitespace();
        let mode = match words.next()? {
            "64" => Mode::Long,
            "32" => Mode::Compat32,
            _ => return None,
        };
        let hex = words.next()?;
        let bytes = (0..hex.len() / 2)
            .map(|i| u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok())
            .collect::<Option<_>>()?;
        let mut case = Case::new(mode, bytes);
        for word in words {
            let (name, value) = word.split_once('=')?;
            let v = u128::from_str_radix(value, 16).ok()?;
            let lo = v as u64;
            let s = &mut case.state;
            if let Some(n) = GPR.iter().position(|g| *g == name) {
                s.gpr[n] = lo;
            } else if let Some(at) = name.strip_prefix('@') {
                case.mem.push((u16::from_str_radix(at, 16).ok()?, lo as u8));
            } else if let Some(n) = name.strip_prefix("xmm") {
                *s.xmm.get_mut(n.parse::<usize>().ok()?)? = [lo, (v >> 64) as u64];
            } else if let Some(n) = name.strip_prefix("ymm") {
                // The upper half.
                *s.ymm.get_mut(n.parse::<usize>().ok()?)? = [lo, (v >> 64) as u64];
            } else if let Some(n) = name.strip_prefix('r') {
                let f = s.x87.st.get_mut(n.parse::<usize>().ok()?)?;
                (f.mant, f.se) = (lo, (v >> 64) as u16);
            } else {
                match name {
                    "flags" => {
                        s.flags = lo as u32 & eflags::ARITH;
                        s.sys |= lo as u32 & eflags::DF;
                    }
                    "mxcsr" => s.mxcsr = lo as u32,
                    "cw" => s.x87.cw = lo as u16,
                    "sw" => s.x87.sw = lo as u16,
                    "valid" => s.x87.valid = lo as u8,
                    _ => return None,
                }
            }
        }
        Some(case)
    }
}

/// What an instruction did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Registers afterwards (at a fault: those of the instruction's beginning, by definition).
    pub state: GuestState,
    /// The data window afterwards.
    pub data: Vec<u8>,
    /// Exception vector, error code, address; `None` when the instruction completed.
    pub fault: Option<(u8, u32, u64)>,
}
