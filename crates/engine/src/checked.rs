//! Code on pages that the guest keeps writing to: units that look at their own bytes first.
//!
//! Protecting such a page costs a fault and a new translation for every write. Instead the page stays writable, and every unit of it is one block with
//! another one before it: that one compares guest memory with the bytes that were translated, and leaves for the same address when they
//! differ, which the engine takes as the sign to translate anew. A block ends behind a store, because that may have written what follows.

use demotic_ir::block::{Block, Edge, Term, Unit, Val};
use demotic_ir::build::Builder;
use demotic_ir::ty::Ty;
use demotic_x86::unit::Limits;

/// Writes into a page's code after which its units are checked instead of protected.
pub(crate) const MANY_WRITES: u32 = 16;

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
    let mut same: Option<Val> = None;
    let mut rest = bytes;
    let mut at = pc;
    while !rest.is_empty() {
        let n = [8, 4, 2, 1].into_iter().find(|n| *n <= rest.len()).unwrap_or(1);
        let mut image = [0; 8];
        image[..n].copy_from_slice(&rest[..n]);
        let ty = Ty::int(n as u32).unwrap_or(Ty::I8);
        let addr = b.c(Ty::I64, at);
        let now = b.ld(ty, addr, 0);
        let then = b.c(ty, u64::from_le_bytes(image));
        let equal = b.eq(now, then);
        same = Some(match same {
            Some(s) => b.and(s, equal),
            None => equal,
        });
        rest = &rest[n..];
        at = at.wrapping_add(n as u64);
    }
    let term = match same {
        Some(cond) => Term::Branch { cond, taken: Edge::to(pc), fall: Edge::to(pc) },
        None => Term::Jump(Edge { pc, block: Some(1) }),
    };
    b.finish(term, pc)
}
