//! Where the blocks of a region are entered, and which branches lead there.
//!
//! Both tables have a row for every block or two, so they are as narrow as can be: a region is smaller than 2^31 bytes, so places in it are
//! offsets of 32 bits.

use crate::store::Key;
use demotic_codegen::EdgeKind;
use demotic_ir::state::Mode;
use rustc_hash::FxHashMap;
use std::collections::hash_map::Entry;

/// Offsets of entries in the region.
#[derive(Debug, Default)]
pub(crate) struct Entries(FxHashMap<u64, u32>);

/// A key in 64 bits. There is no code at addresses that are not canonical, so mode and variant take the place of four of the bits that are equal.
fn packed(key: Key) -> Option<u64> {
    let mode = match key.mode {
        Mode::Long => 0u64,
        Mode::Compat32 => 1,
        Mode::Compat16 => 2,
    };
    let top = key.pc as i64 >> 47;
    (top == 0 || top == -1).then_some(key.pc ^ mode << 59 ^ (key.arithmetic as u64) << 61)
}

impl Entries {
    /// The entry of a block.
    pub fn get(&self, key: Key) -> Option<u32> {
        self.0.get(&packed(key)?).copied()
    }

    /// Whether there is one.
    pub fn contains(&self, key: Key) -> bool {
        self.get(key).is_some()
    }

    /// Notes an entry, unless there is one already.
    pub fn insert(&mut self, key: Key, at: u32) {
        if let Some(key) = packed(key) {
            self.0.entry(key).or_insert(at);
        }
    }

    /// Forgets the entry of a block if it is this one.
    pub fn remove(&mut self, key: Key, at: u32) {
        if let Some(Entry::Occupied(e)) = packed(key).map(|key| self.0.entry(key)) {
            if *e.get() == at {
                e.remove();
            }
        }
    }

    /// Bytes of memory.
    pub fn size(&self) -> usize {
        self.0.capacity() * (size_of::<(u64, u32)>() + 1)
    }
}

/// No link.
const END: u32 = u32::MAX;

/// Linked branches by the entry that they lead to.
#[derive(Debug, Default)]
pub(crate) struct Links {
    /// By the entry's offset the first of a list in `all`.
    first: FxHashMap<u32, u32>,
    /// The branch's offset, with its kind in the lowest bit, and the next one of the same entry.
    all: Vec<(u32, u32)>,
    /// The first of those that are free.
    free: Option<u32>,
}

impl Links {
    /// The branch at offset `from` leads to the entry at `to` from now on.
    pub fn insert(&mut self, from: u32, kind: EdgeKind, to: u32) {
        let first = self.first.entry(to).or_insert(END);
        let link = (from << 1 | u32::from(kind == EdgeKind::Call), *first);
        match self.free {
            Some(n) => {
                let slot = &mut self.all[n as usize];
                self.free = Some(slot.1).filter(|n| *n != END);
                *slot = link;
                *first = n;
            }
            None => {
                *first = self.all.len() as u32;
                self.all.push(link);
            }
        }
    }

    /// Takes out one of the branches that lead to an entry.
    pub fn take(&mut self, to: u32) -> Option<(u32, EdgeKind)> {
        let Entry::Occupied(mut first) = self.first.entry(to) else { return None };
        let n = *first.get();
        let (link, next) = self.all[n as usize];
        match next {
            END => drop(first.remove()),
            next => *first.get_mut() = next,
        }
        self.all[n as usize].1 = self.free.unwrap_or(END);
        self.free = Some(n);
        Some((link >> 1, if link & 1 != 0 { EdgeKind::Call } else { EdgeKind::Jump }))
    }

    /// Bytes of memory.
    pub fn size(&self) -> usize {
        self.first.capacity() * (size_of::<(u32, u32)>() + 1) + self.all.capacity() * size_of::<(u32, u32)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use demotic_codegen::Arithmetic;

    #[test]
    fn keys_of_all_kinds_are_told_apart() {
        let mut entries = Entries::default();
        let mut n = 0;
        let mut keys = Vec::new();
        for pc in [0, 0x40_1000, 0xffff_ffff, 0x7fff_ffff_ffff, 0xffff_8000_0000_0000, !0] {
            for mode in [Mode::Long, Mode::Compat32, Mode::Compat16] {
                for arithmetic in Arithmetic::ALL {
                    keys.push(Key { pc, mode, arithmetic });
                    entries.insert(keys[n], n as u32);
                    n += 1;
                }
            }
        }
        for (n, &key) in keys.iter().enumerate() {
            assert_eq!(entries.get(key), Some(n as u32), "{key:?}");
        }
        // What would be taken for one of another mode.
        assert!(!entries.contains(Key { pc: 0x40_1000 ^ 1 << 59, mode: Mode::Long, arithmetic: Arithmetic::Fast }));
        entries.insert(keys[3], 99);
        entries.remove(keys[3], 99);
        assert_eq!(entries.get(keys[3]), Some(3));
        entries.remove(keys[3], 3);
        assert_eq!(entries.get(keys[3]), None);
    }

    #[test]
    fn links_come_back_and_their_places_are_used_again() {
        let mut links = Links::default();
        for from in 0..5 {
            links.insert(from, if from == 2 { EdgeKind::Call } else { EdgeKind::Jump }, from % 2);
        }
        let mut even: Vec<_> = std::iter::from_fn(|| links.take(0)).collect();
        even.sort_unstable_by_key(|l| l.0);
        assert_eq!(even, [(0, EdgeKind::Jump), (2, EdgeKind::Call), (4, EdgeKind::Jump)]);
        assert_eq!(links.take(0), None);
        for from in 5..8 {
            links.insert(from, EdgeKind::Jump, 7);
        }
        assert_eq!(links.all.len(), 5);
        assert_eq!(std::iter::from_fn(|| links.take(7)).count() + std::iter::from_fn(|| links.take(1)).count(), 5);
    }
}
