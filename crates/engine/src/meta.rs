//! What is kept of a translated unit besides its code.
//!
//! Problem: a unit has some 25 guest bytes on average, so every word kept for it counts. Approach: what units have in common is shared
//! ([`Variant`]); blocks, edges, terminals and guest bytes are one string of numbers of variable length (LEB128), each the difference to what
//! one would expect. They are read when the engine has to do with a unit: an edge that is not linked yet, a fault, an invalidation.
//! Images ([`crate::image`]) keep the same string.

use crate::checked;
use crate::store::Key;
use demotic_codegen::{EdgeKind, EdgeSite, Request};
use demotic_ir::block::{Service, Term, Unit, Val};
use demotic_ir::state::Mode;
use demotic_x86::unit::{self, Limits};
use std::sync::Arc;

/// A block of a placed unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BlockMeta {
    pub pc: u64,
    /// Offset of its entry in the unit's code.
    pub entry: u32,
    /// Calls do not come in right before the entry, because the code there runs into it: see [`Meta::call_entry`].
    pub run_into: bool,
    /// Guest bytes of it that were looked at.
    pub bytes: u16,
    /// Its length in guest bytes.
    pub len: u16,
    /// Flags that may be read behind it and what is known of readers, packed by [`pack`].
    pub flags: u8,
}

/// A terminal for the engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TermMeta {
    pub after: u32,
    pub term: Term,
    /// Guest address of the block's last instruction.
    pub at: u64,
}

/// How a unit was made: the same for nearly all of them.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Variant {
    pub mode: Mode,
    pub request: Request,
    pub limits: Limits,
    /// See [`demotic_codegen::Compiled::alone`].
    pub alone: bool,
    /// The unit itself where it was not made from guest bytes.
    pub given: Option<Box<Unit>>,
}

/// Gives one of `known` that is the same, or makes it known.
pub(crate) fn shared(known: &mut Vec<Arc<Variant>>, variant: Variant) -> Arc<Variant> {
    if let Some(v) = known.iter().rev().find(|v| ***v == variant) {
        return v.clone();
    }
    known.push(Arc::new(variant));
    known[known.len() - 1].clone()
}

/// What is known of a placed unit.
#[derive(Debug)]
pub(crate) struct Meta {
    /// Host address of its code.
    pub host: usize,
    pub len: u32,
    /// See [`demotic_codegen::Compiled::pre_entries`].
    pub pre_entries: u32,
    pub variant: Arc<Variant>,
    /// Written by [`Table`].
    pub table: Box<[u8]>,
}

/// EFLAGS arithmetic bits, [`demotic_ir::block::Block::landing`] and [`demotic_ir::block::Block::reads`] in one byte: OF takes the place of bit 1, the others
/// those of bits 3 and 5.
pub(crate) fn pack(flags: u32, landing: bool, reads: bool) -> u8 {
    flags as u8 | (flags >> 10 & 2) as u8 | u8::from(landing) << 3 | u8::from(reads) << 5
}

pub(crate) fn unpack(packed: u8) -> (u32, bool, bool) {
    (u32::from(packed & !0x2a) | u32::from(packed & 2) << 10, packed & 8 != 0, packed & 0x20 != 0)
}

/// Writes the table of a unit: first the number of blocks and all blocks, then the same of edges and terminals, then the guest bytes.
#[derive(Debug, Default)]
pub(crate) struct Table {
    bytes: Vec<u8>,
    /// Where the guest bytes of the next block are expected.
    pc: u64,
    entry: u32,
    edge: u32,
    /// The first block's address.
    base: Option<u64>,
}

impl Table {
    /// Begins another one.
    pub fn clear(&mut self) {
        self.bytes.clear();
        (self.pc, self.entry, self.edge, self.base) = (0, 0, 0, None);
    }

    pub fn number(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.bytes.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.bytes.push(n as u8);
    }

    /// The difference from `a` to `b`.
    fn step(&mut self, a: u64, b: u64) {
        let d = b.wrapping_sub(a) as i64;
        self.number((d << 1 ^ d >> 63) as u64);
    }

    pub fn block(&mut self, b: &BlockMeta) {
        self.step(self.pc, b.pc);
        self.step(u64::from(self.entry), u64::from(b.entry));
        self.number(u64::from(b.len) << 1 | u64::from(b.run_into));
        self.step(u64::from(b.len), u64::from(b.bytes));
        self.bytes.push(b.flags);
        self.pc = b.pc.wrapping_add(u64::from(b.len));
        self.entry = b.entry;
        self.base.get_or_insert(b.pc);
    }

    /// Edges come by increasing offset.
    pub fn edge(&mut self, e: &EdgeSite) {
        self.number(u64::from(e.at.wrapping_sub(self.edge)) << 1 | u64::from(e.kind == EdgeKind::Call));
        self.step(self.base.unwrap_or(0), e.pc);
        self.edge = e.at;
    }

    pub fn term(&mut self, t: &TermMeta) {
        let base = self.base.unwrap_or(0);
        let (tag, a, b): (u8, u64, u64) = match t.term {
            Term::Syscall { next } => (0, next, 0),
            Term::Sysenter { next } => (1, next, 0),
            Term::Interrupt { vector, next } => (2, next, u64::from(vector)),
            Term::Fault { vector, code, pc } => (3, pc, u64::from(vector) | u64::from(code) << 32),
            Term::FetchFault { pc, addr } => (4, pc, addr),
            Term::Unimplemented { pc } => (5, pc, 0),
            Term::Service { what, args: [x, y], next } => {
                (6, next, what as u64 | u64::from(x.0) << 16 | u64::from(y.0) << 32)
            }
            // The others are no terminals for the engine.
            Term::Jump(_) | Term::Branch { .. } | Term::Call { .. } | Term::Indirect { .. } => (u8::MAX, 0, 0),
        };
        self.number(u64::from(t.after));
        self.step(base, t.at);
        self.bytes.push(tag);
        self.step(base, a);
        self.number(b);
    }

    pub fn source(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// What was written.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Takes numbers off the beginning of a table; behind its end there are zeros.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a>(pub &'a [u8]);

impl<'a> Cursor<'a> {
    fn byte(&mut self) -> u8 {
        let Some((&b, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        b
    }

    pub fn number(&mut self) -> u64 {
        let mut n = 0;
        for k in 0..10 {
            let b = self.byte();
            n |= u64::from(b & 0x7f) << (7 * k);
            if b & 0x80 == 0 {
                break;
            }
        }
        n
    }

    fn step(&mut self, from: u64) -> u64 {
        let n = self.number();
        from.wrapping_add(n >> 1 ^ (n & 1).wrapping_neg())
    }
}

/// The blocks of a table, which begins with them.
#[derive(Clone, Debug)]
pub(crate) struct Blocks<'a> {
    cursor: Cursor<'a>,
    left: u64,
    pc: u64,
    entry: u64,
}

impl<'a> Blocks<'a> {
    fn of(table: &'a [u8]) -> Blocks<'a> {
        let mut cursor = Cursor(table);
        Blocks { left: cursor.number(), cursor, pc: 0, entry: 0 }
    }
}

impl Iterator for Blocks<'_> {
    type Item = BlockMeta;

    fn next(&mut self) -> Option<BlockMeta> {
        self.left = self.left.checked_sub(1).filter(|_| !self.cursor.0.is_empty())?;
        let pc = self.cursor.step(self.pc);
        self.entry = self.cursor.step(self.entry);
        let n = self.cursor.number();
        let (len, run_into) = (n >> 1, n & 1 != 0);
        let bytes = self.cursor.step(len) as u16;
        self.pc = pc.wrapping_add(len);
        let entry = self.entry as u32;
        Some(BlockMeta { pc, entry, run_into, bytes, len: len as u16, flags: self.cursor.byte() })
    }
}

/// The edges of a table.
#[derive(Clone, Debug)]
pub(crate) struct Edges<'a> {
    cursor: Cursor<'a>,
    left: u64,
    base: u64,
    at: u32,
}

impl<'a> Edges<'a> {
    fn behind(mut blocks: Blocks<'a>) -> Edges<'a> {
        let base = blocks.clone().next().map_or(0, |b| b.pc);
        blocks.by_ref().for_each(drop);
        let mut cursor = blocks.cursor;
        Edges { left: cursor.number(), cursor, base, at: 0 }
    }
}

impl Iterator for Edges<'_> {
    type Item = EdgeSite;

    fn next(&mut self) -> Option<EdgeSite> {
        self.left = self.left.checked_sub(1).filter(|_| !self.cursor.0.is_empty())?;
        let n = self.cursor.number();
        self.at = self.at.wrapping_add((n >> 1) as u32);
        let kind = if n & 1 != 0 { EdgeKind::Call } else { EdgeKind::Jump };
        Some(EdgeSite { at: self.at, kind, pc: self.cursor.step(self.base) })
    }
}

/// The terminals of a table.
#[derive(Clone, Debug)]
struct Terms<'a> {
    cursor: Cursor<'a>,
    left: u64,
    base: u64,
}

impl<'a> Terms<'a> {
    fn behind(mut edges: Edges<'a>) -> Terms<'a> {
        edges.by_ref().for_each(drop);
        let mut cursor = edges.cursor;
        Terms { left: cursor.number(), cursor, base: edges.base }
    }
}

impl Iterator for Terms<'_> {
    type Item = TermMeta;

    fn next(&mut self) -> Option<TermMeta> {
        self.left = self.left.checked_sub(1).filter(|_| !self.cursor.0.is_empty())?;
        let after = self.cursor.number() as u32;
        let at = self.cursor.step(self.base);
        let tag = self.cursor.byte();
        let a = self.cursor.step(self.base);
        let b = self.cursor.number();
        let term = match tag {
            0 => Term::Syscall { next: a },
            1 => Term::Sysenter { next: a },
            2 => Term::Interrupt { vector: b as u8, next: a },
            3 => Term::Fault { vector: b as u8, code: (b >> 32) as u32, pc: a },
            4 => Term::FetchFault { pc: a, addr: b },
            6 => {
                let what = Service::ALL.get(usize::from(b as u8))?.0;
                Term::Service { what, args: [Val((b >> 16) as u16), Val((b >> 32) as u16)], next: a }
            }
            _ => Term::Unimplemented { pc: a },
        };
        Some(TermMeta { after, term, at })
    }
}

impl Meta {
    /// The key of a block of this unit.
    pub fn key(&self, pc: u64) -> Key {
        Key { pc, mode: self.variant.mode, arithmetic: self.variant.request.arithmetic }
    }

    /// Its blocks, in the unit's order.
    pub fn blocks(&self) -> Blocks<'_> {
        Blocks::of(&self.table)
    }

    /// Offset of where calls of the block with that entry come in, on hosts where that is elsewhere (AArch64): an instruction before the entry, or, where
    /// code runs into the block, one of the pairs of instructions behind the pre-entries.
    pub fn call_entry(&self, entry: u32) -> Option<u32> {
        let before = self.blocks().take_while(|b| b.entry != entry).filter(|b| b.run_into).count() as u32;
        let block = self.blocks().find(|b| b.entry == entry)?;
        match block.run_into {
            true => Some(self.pre_entries + 4 * self.blocks().count() as u32 + 8 * before),
            false => entry.checked_sub(4),
        }
    }

    /// Address of the first block.
    pub fn pc(&self) -> u64 {
        self.blocks().next().map_or(0, |b| b.pc)
    }

    /// Its edges, by increasing offset.
    pub fn edges(&self) -> Edges<'_> {
        Edges::behind(self.blocks())
    }

    /// The terminal whose call ends at offset `after`.
    pub fn term(&self, after: u32) -> Option<TermMeta> {
        Terms::behind(self.edges()).find(|t| t.after == after)
    }

    /// The guest bytes of all blocks.
    fn source(&self) -> &[u8] {
        let mut terms = Terms::behind(self.edges());
        terms.by_ref().for_each(drop);
        terms.cursor.0
    }

    /// The guest bytes that it was made from, block by block, with their addresses.
    pub fn sources(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut rest = self.source();
        self.blocks().map(move |b| {
            let (own, others) = rest.split_at(usize::from(b.bytes).min(rest.len()));
            rest = others;
            (b.pc, own)
        })
    }

    /// Whether this is a unit of [`checked`].
    pub fn is_checked(&self) -> bool {
        self.variant.limits.end_at_stores
    }

    /// The unit as it was emitted, made again.
    pub fn unit(&self) -> Unit {
        let Variant { mode, request, limits, given, .. } = &*self.variant;
        if let Some(unit) = given {
            return (**unit).clone();
        }
        let blocks: Vec<BlockMeta> = self.blocks().collect();
        let source = self.source();
        let mut fetch = |at: u64, buf: &mut [u8]| {
            let mut from = 0;
            for b in &blocks {
                let skip = at.wrapping_sub(b.pc);
                if skip < u64::from(b.bytes) {
                    let bytes = &source[from + skip as usize..from + usize::from(b.bytes)];
                    let n = bytes.len().min(buf.len());
                    buf[..n].copy_from_slice(&bytes[..n]);
                    return n;
                }
                from += usize::from(b.bytes);
            }
            0
        };
        if self.is_checked() {
            let mut unit = unit::lift(blocks[0].pc, *mode, limits, &mut fetch);
            let len = usize::from(blocks.last().map_or(0, |b| b.len));
            checked::guard(&mut unit, &source[..len.min(source.len())]);
            unit.blocks.iter_mut().for_each(demotic_ir::passes::optimise);
            return unit;
        }
        let mut known = |pc| blocks.iter().all(|b| b.pc != pc);
        let mut unit = unit::lift_beside(blocks[0].pc, *mode, limits, &mut fetch, &mut known);
        for (block, meta) in unit.blocks.iter_mut().zip(&blocks) {
            (block.live_out, block.landing, block.reads) = unpack(meta.flags);
        }
        demotic_ir::passes::Optimiser::default().again(&mut unit, request.precision);
        unit
    }

    /// Bytes of memory besides the code: of a counted allocation, its entry in the list of units, and the table.
    pub fn size(&self) -> usize {
        size_of::<Meta>()
            + 2 * size_of::<usize>()
            + size_of::<(Arc<Meta>, bool)>()
            + size_of::<u32>()
            + self.table.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use demotic_codegen::target::{Arch, Features, Order, Target};
    use demotic_codegen::{Arithmetic, Precision};

    fn meta(table: &Table) -> Meta {
        let target = Target { arch: Arch::X64, features: Features::default(), order: Order::Single };
        let precision = Precision::Kept;
        let request = Request {
            target,
            unaligned: false,
            arithmetic: Arithmetic::Fast,
            nans: false,
            precision,
            significand: Default::default(),
        };
        let variant = Variant { mode: Mode::Long, request, limits: Limits::default(), alone: false, given: None };
        Meta { host: 0, len: 0, pre_entries: 0, variant: Arc::new(variant), table: table.bytes().into() }
    }

    #[test]
    fn a_table_gives_what_was_written() {
        let block = |pc, entry, bytes, len, flags| BlockMeta { pc, entry, run_into: bytes == 5, bytes, len, flags };
        // The second lies before the first, in guest and host memory; the third is at the end of the address space.
        let blocks =
            [block(0x40_1000, 64, 5, 5, 0xff), block(0x40_0f00, 16, 2048, 2032, 0), block(!0, 70_000, 0, 1, 8)];
        let edge = |at, kind, pc| EdgeSite { at, kind, pc };
        let edges =
            [edge(5, EdgeKind::Call, 0x40_2000), edge(90_000, EdgeKind::Jump, 0), edge(90_005, EdgeKind::Jump, !0)];
        let service = Term::Service { what: Service::ALL[0].0, args: [Val(7), Val::NONE], next: 0x40_1009 };
        let terms = [
            TermMeta { after: 300, term: Term::Fault { vector: 13, code: !0, pc: 0x40_1007 }, at: 0x40_1005 },
            TermMeta { after: 100, term: service, at: 0x40_1004 },
        ];
        let mut table = Table::default();
        for round in 0..2 {
            table.clear();
            table.number(3);
            blocks.iter().for_each(|b| table.block(b));
            table.number(3);
            edges.iter().for_each(|e| table.edge(e));
            table.number(2);
            terms.iter().for_each(|t| table.term(t));
            table.source(&[round; 2053]);
        }
        let meta = meta(&table);
        assert_eq!(meta.blocks().collect::<Vec<_>>(), blocks);
        assert_eq!(meta.pc(), 0x40_1000);
        assert_eq!(meta.edges().collect::<Vec<_>>(), edges);
        assert_eq!((meta.term(300), meta.term(100), meta.term(101)), (Some(terms[0]), Some(terms[1]), None));
        let sources: Vec<_> = meta.sources().map(|(pc, bytes)| (pc, bytes.len(), bytes.first().copied())).collect();
        assert_eq!(sources, [(0x40_1000, 5, Some(1)), (0x40_0f00, 2048, Some(1)), (!0, 0, None)]);
    }

    #[test]
    fn a_short_table_is_harmless() {
        let whole = meta(&Table::default());
        assert_eq!((whole.blocks().count(), whole.pc(), whole.term(0)), (0, 0, None));
        let mut table = Table::default();
        table.number(2);
        table.number(u64::MAX);
        let cut = meta(&table);
        assert_eq!(cut.blocks().count(), 1);
        assert_eq!(cut.edges().count() + cut.sources().count(), 1);
    }
}
