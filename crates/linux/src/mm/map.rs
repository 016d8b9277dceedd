//! The list of mappings: what the guest's kernel knows about each page. Pure bookkeeping, no system calls.
//!
//! Invariants: areas are not empty, do not overlap, start and end on guest pages; neighbours that could be one area are
//! merged, so that /proc/self/maps and mremap see what a kernel would show.

use std::collections::BTreeMap;
use std::ops::Range;

/// Guest permissions of a page, in PROT_ bits (sys/mman.h).
pub mod prot {
    #![allow(missing_docs)]
    pub const READ: u8 = 1;
    pub const WRITE: u8 = 2;
    pub const EXEC: u8 = 4;
}

/// What an area is, as far as anybody needs to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Anonymous memory.
    Anonymous,
    /// A file, a device or shared memory; the host's map knows which one.
    File,
    /// Memory of brk(2).
    Heap,
    /// The initial thread's stack.
    Stack,
}

/// One area of equal attributes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vma {
    /// First address.
    pub start: u64,
    /// Address behind the last byte.
    pub end: u64,
    /// Guest permissions, [`prot`] bits.
    pub prot: u8,
    /// MAP_SHARED.
    pub shared: bool,
    /// What it is.
    pub kind: Kind,
    /// Offset in the file in bytes, for [`Kind::File`].
    pub offset: u64,
    /// Device and inode, for shared file mappings: to find other views of the same bytes.
    pub file: Option<(u64, u64)>,
}

impl Vma {
    fn joins(&self, next: &Vma) -> bool {
        self.end == next.start
            && self.prot == next.prot
            && self.shared == next.shared
            && self.kind == next.kind
            // Two files cannot be told apart here, so file areas stay as they were mapped or split.
            && self.kind != Kind::File
    }
}

/// All areas, by start address.
#[derive(Debug, Default)]
pub struct Map {
    areas: BTreeMap<u64, Vma>,
}

impl Map {
    /// The area that holds `addr`.
    pub fn find(&self, addr: u64) -> Option<&Vma> {
        self.areas.range(..=addr).next_back().map(|(_, v)| v).filter(|v| addr < v.end)
    }

    /// The areas that overlap a range, in order.
    pub fn overlapping(&self, range: Range<u64>) -> impl Iterator<Item = &Vma> {
        // An empty or inverted range overlaps nothing, not even the area that it lies in.
        let first =
            if range.start < range.end { self.find(range.start).map_or(range.start, |v| v.start) } else { range.end };
        self.areas.range(first..range.end).map(|(_, v)| v).filter(move |v| v.end > range.start)
    }

    /// All areas in order.
    pub fn iter(&self) -> impl Iterator<Item = &Vma> {
        self.areas.values()
    }

    /// True if nothing overlaps the range.
    pub fn is_free(&self, range: Range<u64>) -> bool {
        self.overlapping(range).next().is_none()
    }

    /// The parts of a range that belong to areas.
    pub fn covered(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut parts: Vec<Range<u64>> = Vec::new();
        for v in self.overlapping(range.clone()) {
            let (start, end) = (v.start.max(range.start), v.end.min(range.end));
            match parts.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => parts.push(start..end),
            }
        }
        parts
    }

    /// The parts of a range that belong to no area.
    pub fn gaps(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut at = range.start;
        let mut parts = Vec::new();
        for part in self.covered(range.clone()) {
            if at < part.start {
                parts.push(at..part.start);
            }
            at = part.end;
        }
        if at < range.end {
            parts.push(at..range.end);
        }
        parts
    }

    /// Makes sure that no area reaches across `addr`.
    fn split(&mut self, addr: u64) {
        let Some(area) = self.find(addr).copied() else { return };
        if area.start == addr {
            return;
        }
        let mut upper = area;
        upper.start = addr;
        upper.offset = area.offset.wrapping_add(addr - area.start);
        self.areas.insert(addr, upper);
        if let Some(lower) = self.areas.get_mut(&area.start) {
            lower.end = addr;
        }
    }

    /// Forgets a range.
    pub fn remove(&mut self, range: Range<u64>) {
        self.split(range.start);
        self.split(range.end);
        let keys: Vec<u64> = self.areas.range(range).map(|(&k, _)| k).collect();
        for key in keys {
            self.areas.remove(&key);
        }
    }

    /// Records an area, replacing what was there.
    pub fn insert(&mut self, area: Vma) {
        if area.start >= area.end {
            return;
        }
        self.remove(area.start..area.end);
        self.areas.insert(area.start, area);
        self.merge_around(area.start);
    }

    /// Merges the area that starts at `start` with its neighbours.
    fn merge_around(&mut self, start: u64) {
        let mut start = start;
        if let Some(before) = self.areas.range(..start).next_back().map(|(_, v)| *v) {
            if self.areas.get(&start).is_some_and(|v| before.joins(v)) {
                self.join(before.start, start);
                start = before.start;
            }
        }
        let Some(area) = self.areas.get(&start).copied() else { return };
        if self.areas.get(&area.end).is_some_and(|next| area.joins(next)) {
            self.join(start, area.end);
        }
    }

    fn join(&mut self, low: u64, high: u64) {
        let Some(upper) = self.areas.remove(&high) else { return };
        if let Some(lower) = self.areas.get_mut(&low) {
            lower.end = upper.end;
        }
    }

    /// Gives a range other permissions; parts without an area are left alone.
    pub fn protect(&mut self, range: Range<u64>, prot: u8) {
        self.split(range.start);
        self.split(range.end);
        let keys: Vec<u64> = self.areas.range(range).map(|(&k, _)| k).collect();
        for &key in &keys {
            if let Some(area) = self.areas.get_mut(&key) {
                area.prot = prot;
            }
        }
        // From the top down, so that a key is still there when its turn comes.
        for &key in keys.iter().rev() {
            self.merge_around(key);
        }
    }

    /// The highest free place of `len` bytes that ends at or below `top` and starts at or above `bottom`. It starts at a multiple of `align`,
    /// and no area is in the same unit of so many bytes.
    pub fn find_gap_below(&self, bottom: u64, top: u64, len: u64, align: u64) -> Option<u64> {
        let (down, up) = (|a: u64| a & !(align - 1), |a: u64| a.saturating_add(align - 1) & !(align - 1));
        let len = len.checked_add(align - 1)? & !(align - 1);
        let mut end = down(top);
        // An area from `top` on may reach into the last unit.
        if let Some((_, next)) = self.areas.range(end..).next().filter(|(_, v)| v.start < up(top)) {
            end = end.min(down(next.start));
        }
        for area in self.areas.range(..end).rev().map(|(_, v)| v) {
            if up(area.end) <= end {
                let start = end.checked_sub(len)?;
                if start >= up(area.end) {
                    return (start >= bottom).then_some(start);
                }
            }
            end = end.min(down(area.start));
        }
        let start = end.checked_sub(len)?;
        (start >= bottom).then_some(start)
    }

    /// The lowest free place of `len` bytes that starts at or above `bottom` and ends at or below `top`, aligned and alone as
    /// [`Self::find_gap_below`] says.
    pub fn find_gap_above(&self, bottom: u64, top: u64, len: u64, align: u64) -> Option<u64> {
        let (down, up) = (|a: u64| a & !(align - 1), |a: u64| a.saturating_add(align - 1) & !(align - 1));
        let len = len.checked_add(align - 1)? & !(align - 1);
        let mut start = up(bottom);
        for area in self.overlapping(down(bottom)..up(top)) {
            if down(area.start) >= start && down(area.start) - start >= len {
                return Some(start);
            }
            start = start.max(up(area.end));
        }
        (start.checked_add(len)? <= top).then_some(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(start: u64, end: u64, prot: u8) -> Vma {
        Vma { start, end, prot, shared: false, kind: Kind::Anonymous, offset: 0, file: None }
    }

    fn list(map: &Map) -> Vec<(u64, u64, u8)> {
        map.iter().map(|v| (v.start, v.end, v.prot)).collect()
    }

    #[test]
    fn insert_splits_and_merges() {
        let mut map = Map::default();
        map.insert(area(0x1000, 0x5000, 3));
        map.insert(area(0x2000, 0x3000, 1));
        assert_eq!(list(&map), [(0x1000, 0x2000, 3), (0x2000, 0x3000, 1), (0x3000, 0x5000, 3)]);
        map.protect(0x2000..0x3000, 3);
        assert_eq!(list(&map), [(0x1000, 0x5000, 3)]);
        map.protect(0x1000..0x3000, 0);
        map.remove(0x1800..0x2000);
        assert_eq!(list(&map), [(0x1000, 0x1800, 0), (0x2000, 0x3000, 0), (0x3000, 0x5000, 3)]);
        map.protect(0..u64::MAX, 1);
        assert_eq!(list(&map), [(0x1000, 0x1800, 1), (0x2000, 0x5000, 1)]);
    }

    #[test]
    fn gaps_are_found_from_above_and_below() {
        let mut map = Map::default();
        map.insert(area(0x4000, 0x5000, 1));
        map.insert(area(0x8000, 0x9000, 1));
        assert_eq!(map.find_gap_below(0x1000, 0xa000, 0x1000, 0x1000), Some(0x9000));
        assert_eq!(map.find_gap_below(0x1000, 0xa000, 0x2000, 0x1000), Some(0x6000));
        assert_eq!(map.find_gap_below(0x1000, 0xa000, 0x3000, 0x1000), Some(0x5000));
        assert_eq!(map.find_gap_below(0x1000, 0x8800, 0x3000, 0x1000), Some(0x5000));
        assert_eq!(map.find_gap_below(0x1000, 0xa000, 0x4000, 0x1000), None);
        assert_eq!(map.find_gap_below(0, 0xa000, 0x4000, 0x1000), Some(0));
        assert_eq!(map.find_gap_below(0, 0xa000, u64::MAX, 0x1000), None);
        assert_eq!(map.find_gap_above(0x1000, 0xa000, 0x3000, 0x1000), Some(0x1000));
        assert_eq!(map.find_gap_above(0x2000, 0xa000, 0x3000, 0x1000), Some(0x5000));
        assert_eq!(map.find_gap_above(0x4800, 0xa000, 0x4000, 0x1000), None);
        assert_eq!(map.gaps(0..0x9000), [0..0x4000, 0x5000..0x8000]);
        assert_eq!(map.covered(0x4800..0x8800), [0x4800..0x5000, 0x8000..0x8800]);
        assert!(map.is_free(0x4800..0x4800));
        assert!(map.is_free(0x5000..0x8000) && !map.is_free(0x4fff..0x5000));
    }

    #[test]
    fn agrees_with_a_page_array() {
        // A model with one entry per page; random operations from a fixed seed.
        let mut map = Map::default();
        let mut model = [None::<u8>; 64];
        let mut seed = 0x1234_5678_9abc_def1u64;
        let mut next = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        for _ in 0..5000 {
            let a = next() % 64;
            let b = a + 1 + next() % (64 - a);
            let (range, prot) = (a * 4096..b * 4096, (next() % 8) as u8);
            let pages = &mut model[a as usize..b as usize];
            match next() % 3 {
                0 => {
                    map.insert(area(range.start, range.end, prot));
                    pages.fill(Some(prot));
                }
                1 => {
                    map.remove(range);
                    pages.fill(None);
                }
                _ => {
                    map.protect(range, prot);
                    pages.iter_mut().flatten().for_each(|p| *p = prot);
                }
            }
            for (i, page) in model.iter().enumerate() {
                assert_eq!(map.find(i as u64 * 4096 + 5).map(|v| v.prot), *page);
            }
            let areas = list(&map);
            assert!(
                areas.windows(2).all(|w| w[0].1 <= w[1].0 && !(w[0].1 == w[1].0 && w[0].2 == w[1].2)),
                "{areas:x?}"
            );
        }
    }
}
