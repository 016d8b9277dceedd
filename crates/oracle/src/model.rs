//! The model's side: lift, optimise, interpret.

use crate::case::{CODE, Case, DATA, DATA_LEN, Outcome};
use demotic_ir::interp::{self, Atomic, Leave, Memory, Scratch, Trap};
use demotic_ir::state::{GuestState, Mode};
use demotic_x86::features::Features;
use demotic_x86::unit::{self, Limits};
use std::cell::Cell;

pub(crate) struct Window {
    pub(crate) data: Vec<u8>,
    pub(crate) long: bool,
    /// The address of the last access that was refused.
    pub(crate) refused: Cell<u64>,
}

impl Window {
    fn at(&self, addr: u64, n: usize, write: bool) -> Result<usize, Trap> {
        let place = self.find(addr, n, write);
        if place.is_err() {
            self.refused.set(addr);
        }
        place
    }

    fn find(&self, addr: u64, n: usize, write: bool) -> Result<usize, Trap> {
        let canonical = |a: u64| ((a << 16) as i64 >> 16) as u64 == a;
        if self.long && !(canonical(addr) && canonical(addr.wrapping_add(n as u64 - 1))) {
            return Err(Trap::new(13));
        }
        if !self.long && addr.saturating_add(n as u64) > 1 << 32 {
            return Err(Trap::new(13));
        }
        // The first byte that is not in the window is the faulting address.
        let bad = (0..n as u64)
            .map(|k| if self.long { addr.wrapping_add(k) } else { addr.wrapping_add(k) & 0xffff_ffff })
            .find(|a| !(DATA..DATA + DATA_LEN as u64).contains(a));
        match bad {
            Some(a) => Err(Trap::page(a, write, false)),
            None => Ok((addr - DATA) as usize),
        }
    }
    fn load<const N: usize>(&self, addr: u64) -> Result<[u8; N], Trap> {
        let at = self.at(addr, N, false)?;
        let mut r = [0; N];
        r.copy_from_slice(&self.data[at..at + N]);
        Ok(r)
    }
    fn store<const N: usize>(&mut self, addr: u64, v: [u8; N]) -> Result<(), Trap> {
        let at = self.at(addr, N, true)?;
        self.data[at..at + N].copy_from_slice(&v);
        Ok(())
    }
}

macro_rules! access {
    ($($load:ident $store:ident $ty:ty;)*) => {$(
        fn $load(&mut self, addr: u64) -> Result<$ty, Trap> {
            self.load(addr).map(<$ty>::from_le_bytes)
        }
        fn $store(&mut self, addr: u64, v: $ty) -> Result<(), Trap> {
            self.store(addr, v.to_le_bytes())
        }
    )*};
}

impl Memory for Window {
    access! { load8 store8 u8; load16 store16 u16; load32 store32 u32; load64 store64 u64; }
    fn load128(&mut self, addr: u64) -> Result<[u64; 2], Trap> {
        let v = u128::from_le_bytes(self.load(addr)?);
        Ok([v as u64, (v >> 64) as u64])
    }
    fn store128(&mut self, addr: u64, v: [u64; 2]) -> Result<(), Trap> {
        self.store(addr, (u128::from(v[1]) << 64 | u128::from(v[0])).to_le_bytes())
    }
    fn atomic(&mut self, op: Atomic, addr: u64, bytes: u32, a: u64, b: u64) -> Result<u64, Trap> {
        let n = bytes as usize;
        let at = self.at(addr, n, true)?;
        let mut old = [0; 8];
        old[..n].copy_from_slice(&self.data[at..at + n]);
        let old = u64::from_le_bytes(old);
        let new = match op {
            Atomic::Xchg => a,
            Atomic::Add => old.wrapping_add(a),
            Atomic::And => old & a,
            Atomic::Or => old | a,
            Atomic::Xor => old ^ a,
            Atomic::Cas if old == a => b,
            Atomic::Cas => old,
        };
        self.data[at..at + n].copy_from_slice(&new.to_le_bytes()[..n]);
        Ok(old)
    }
    fn cas128(&mut self, addr: u64, expected: [u64; 2], new: [u64; 2]) -> Result<[u64; 2], Trap> {
        self.at(addr, 16, true)?;
        let old = self.load128(addr)?;
        if old == expected {
            self.store128(addr, new)?;
        }
        Ok(old)
    }
    fn fence(&mut self, _: u64) {}
}

/// Runs a case in the model. `None`: the instruction is not implemented, or needs the environment.
pub fn run(case: &Case) -> Option<Outcome> {
    step(case.mode, &case.bytes, case.state.clone(), case.data())
}

/// Executes one instruction of code that begins at [`CODE`], at `state.rip`.
pub fn step(mode: Mode, code: &[u8], mut state: GuestState, data: Vec<u8>) -> Option<Outcome> {
    let limits = Limits { features: Features::MAX, ..Limits::SINGLE };
    let mut fetch = |at: u64, buf: &mut [u8]| {
        // The rest of the page behind the code is nops.
        buf.fill(0x90);
        let skip = at.wrapping_sub(CODE) as usize;
        for (b, c) in buf.iter_mut().zip(code.iter().skip(skip)) {
            *b = *c;
        }
        buf.len()
    };
    let mut block = unit::lift_block(state.rip, mode, &limits, &mut fetch);
    if let Err(e) = demotic_ir::verify::verify_block(&block) {
        panic!("{code:02x?} at {:x}: {e}\n{block}", state.rip);
    }
    demotic_ir::passes::optimise(&mut block);
    let mut mem = Window { data, long: mode == Mode::Long, refused: Cell::new(0) };
    let mut scratch = Scratch::default();
    let mut fault = None;
    match interp::run_block(&block, &mut state, &mut mem, &mut scratch) {
        Leave::Pc(pc) | Leave::Indirect(pc, _) => state.rip = pc,
        Leave::Trap(pc, t) => {
            state.rip = pc;
            fault = Some((t.vector, t.code, t.address));
        }
        Leave::Interrupt(vector @ (3 | 4), next) => {
            state.rip = next;
            fault = Some((vector, 0, 0));
        }
        _ => return None,
    }
    Some(Outcome { state, data: mem.data, fault })
}
