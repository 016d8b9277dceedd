//! The translations of one address space: from guest address and mode to a block of a unit, shared by all threads.
//!
//! A unit is entered at any of its blocks, so every block has an entry in the map. Invalidation works by guest page: it
//! drops all units that have code on a page and raises the epoch; each thread's private cache notices that at its next
//! block edge and forgets everything. Units are reference-counted, so a thread that is inside a dropped unit finishes its
//! block on the old bytes, as a processor may that has already fetched them.
//!
//! A translation under way while its bytes change must not be kept: `generation` counts all invalidations, and an insertion
//! is refused when it has moved since the translation began.
//!
//! Lock order: the map's lock is the only one here, and nothing else is called while it is held.

use demotic_ir::block::Unit;
use demotic_ir::state::Mode;
use rustc_hash::FxHashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Guest page size of the invalidation granule.
pub(crate) const PAGE: u64 = 4096;
/// Most blocks kept; then everything is dropped and translation begins anew.
const MAX_BLOCKS: usize = 400_000;

/// A way into a unit.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The unit.
    pub unit: Arc<Unit>,
    /// Which of its blocks.
    pub block: u32,
}

type Key = (u64, Mode);

#[derive(Debug, Default)]
struct Map {
    entries: FxHashMap<Key, Entry>,
    /// Keys of blocks with code on a page.
    pages: FxHashMap<u64, Vec<Key>>,
}

/// The shared cache.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    map: RwLock<Map>,
    epoch: AtomicU64,
    generation: AtomicU64,
}

impl Cache {
    fn read(&self) -> RwLockReadGuard<'_, Map> {
        self.map.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn write(&self) -> RwLockWriteGuard<'_, Map> {
        self.map.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `f` while no other thread holds the lock, so that a forked child finds it in order. The exclusive lock, because
    /// readers that do not come along would be counted for ever.
    pub fn locked<T>(&self, f: impl FnOnce() -> T) -> T {
        let _guard = self.write();
        f()
    }

    /// Changes whenever an entry was dropped.
    #[inline]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// To be taken before guest code is read for a translation.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The block at a guest address.
    pub fn get(&self, pc: u64, mode: Mode) -> Option<Entry> {
        self.read().entries.get(&(pc, mode)).cloned()
    }

    /// Keeps a unit, unless something was invalidated since `generation`. Returns whether it was kept.
    pub fn insert(&self, unit: &Arc<Unit>, generation: u64) -> bool {
        let mut map = self.write();
        if self.generation() != generation {
            return false;
        }
        if map.entries.len() > MAX_BLOCKS {
            *map = Map::default();
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
        for (n, block) in unit.blocks.iter().enumerate() {
            let key = (block.pc, unit.mode);
            // Another thread may have been first; either unit will do.
            if map.entries.contains_key(&key) {
                continue;
            }
            map.entries.insert(key, Entry { unit: unit.clone(), block: n as u32 });
            for page in block.pc / PAGE..=block.end.wrapping_sub(1).max(block.pc) / PAGE {
                map.pages.entry(page).or_default().push(key);
            }
        }
        true
    }

    /// Drops all blocks with code in a range of guest addresses.
    pub fn invalidate(&self, start: u64, len: u64) {
        if len == 0 {
            return;
        }
        let mut map = self.write();
        self.generation.fetch_add(1, Ordering::AcqRel);
        let (first, last) = (start / PAGE, start.saturating_add(len - 1) / PAGE);
        let hit: Vec<u64> = if last - first < map.pages.len() as u64 {
            (first..=last).filter(|p| map.pages.contains_key(p)).collect()
        } else {
            map.pages.keys().copied().filter(|p| (first..=last).contains(p)).collect()
        };
        if hit.is_empty() {
            return;
        }
        for page in hit {
            for key in map.pages.remove(&page).unwrap_or_default() {
                map.entries.remove(&key);
            }
        }
        // A unit may be entered at blocks on other pages and run into the dropped ones, so those entries go too.
        let Map { entries, pages } = &mut *map;
        let mut gone = Vec::new();
        entries.retain(|key, entry| {
            let whole = entry.unit.blocks.iter().all(|b| {
                let (a, z) = (b.pc / PAGE, b.end.wrapping_sub(1).max(b.pc) / PAGE);
                z < first || a > last
            });
            if !whole {
                gone.push(*key);
            }
            whole
        });
        if !gone.is_empty() {
            for keys in pages.values_mut() {
                keys.retain(|k| entries.contains_key(k));
            }
        }
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }
}
