//! Code on pages that the guest keeps writing to: units that look at their own bytes first.
//!
//! Protecting such a page costs a fault and a new translation for every write. Instead the page stays writable, and every unit of it is one block with
//! another one before it: that one compares guest memory with the bytes that were translated, and leaves for the same address when they
//! differ, which the engine takes as the sign to translate anew. A block ends behind a store, because that may have written what follows.
//!
//! A just-in-time compiler fills a page quickly and leaves it alone then. So a page whose code has not changed for a while is protected again
//! ([`Written`]); the more often that turns out wrong, the longer the while.

use demotic_ir::block::{Block, Edge, Term, Unit, Val};
use demotic_ir::build::Builder;
use demotic_ir::ty::Ty;
use demotic_x86::unit::Limits;
use std::time::{Duration, Instant};

/// Writes into a page's code after which its units are checked instead of protected.
const MANY_WRITES: u32 = 16;

/// How many of them a page has left that is protected again.
const FEW_WRITES: u32 = 4;

/// For how long a page's code has to stay as it is to be protected again: the first time, and at most.
const WHILE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(10));

/// How often code in a page was written to, and since when it has not changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    times: u32,
    last: Instant,
    wait: Duration,
}

impl Written {
    /// A page that is protected.
    pub fn new() -> Written {
        Written { times: 0, last: Instant::now(), wait: WHILE.0 }
    }

    /// A write to a protected page.
    pub fn again(&mut self) {
        self.times += 1;
        if self.is_checked() {
            self.changed();
        }
    }

    /// Code that was checked has changed.
    pub fn changed(&mut self) {
        self.last = Instant::now();
    }

    /// Whether its units are checked.
    pub fn is_checked(&self) -> bool {
        self.times >= MANY_WRITES
    }

    /// Whether it is time to protect the page again. Then it counts as protected.
    pub fn relents(&mut self, now: Instant) -> bool {
        let yes = self.is_checked() && now.saturating_duration_since(self.last) >= self.wait;
        if yes {
            self.times = MANY_WRITES - FEW_WRITES;
            self.wait = (self.wait * 2).min(WHILE.1);
        }
        yes
    }
}

/// How much is translated at a time there.
pub(crate) const LIMITS: Limits = Limits { instructions: 16, end_at_stores: true, ..Limits::SINGLE };

/// No such block is longer in bytes.
pub(crate) const REACH: usize = 16 * 15;

/// Puts the check before the only block of a unit; `bytes` are those that it was made from.
pub(crate) fn guard(unit: &mut Unit, bytes: &[u8]) {
    let pc = unit.blocks[0].pc;
    let check = check(pc, bytes);
    unit.blocks.insert(0, check);
    // A block that branches to itself is checked each time around.
    unit.link();
    if let Term::Branch { taken, fall, .. } = &mut unit.blocks[0].term {
        *taken = Edge { pc, block: Some(1) };
        *fall = Edge::to(pc);
    }
}

fn check(pc: u64, bytes: &[u8]) -> Block {
    let mut b = Builder::new(pc);
    // All loads first: each wants the guest's flags in place, and what follows destroys them. All differences together, so that there is one comparison;
    // hosts are short of registers here.
    let mut words: Vec<(Val, u64)> = Vec::new();
    let mut rest = bytes;
    let mut at = pc;
    while !rest.is_empty() {
        let n = [8, 4, 2, 1].into_iter().find(|n| *n <= rest.len()).unwrap_or(1);
        let mut image = [0; 8];
        image[..n].copy_from_slice(&rest[..n]);
        let addr = b.c(Ty::I64, at);
        let now = b.ld(Ty::int(n as u32).unwrap_or(Ty::I8), addr, 0);
        let now = if n < 8 { b.zext(Ty::I64, now) } else { now };
        words.push((now, u64::from_le_bytes(image)));
        rest = &rest[n..];
        at = at.wrapping_add(n as u64);
    }
    let mut differences: Option<Val> = None;
    for (now, then) in words {
        let then = b.c(Ty::I64, then);
        let changed = b.xor(now, then);
        differences = Some(match differences {
            Some(others) => b.or(others, changed),
            None => changed,
        });
    }
    let same = differences.map(|all| {
        let none = b.c(Ty::I64, 0);
        b.eq(all, none)
    });
    let term = match same {
        Some(cond) => Term::Branch { cond, taken: Edge::to(pc), fall: Edge::to(pc) },
        None => Term::Jump(Edge { pc, block: Some(1) }),
    };
    b.finish(term, pc)
}
