//! A thread's table for indirect branches: guest address to host address, one entry for each index.

use demotic_codegen::frame::{TARGETS, Target, index};

/// The table. Translated code reads it at [`Targets::address`], which is a multiple of the table's size.
#[derive(Debug)]
pub(crate) struct Targets {
    /// Twice the room, so that an aligned table is in it.
    room: Box<[Target]>,
    first: usize,
}

/// What belongs to no index: an entry whose address has another index than its own.
fn empty(i: usize) -> Target {
    Target { pc: u64::from(i == 0), host: 0 }
}

impl Default for Targets {
    fn default() -> Targets {
        // SAFETY: zeros are valid entries, and the box is that of the allocation. Fresh pages of it are not touched before they are used.
        let room: Box<[Target]> = unsafe {
            let p = std::alloc::alloc_zeroed(std::alloc::Layout::new::<[Target; 2 * TARGETS]>());
            if p.is_null() {
                std::alloc::handle_alloc_error(std::alloc::Layout::new::<[Target; 2 * TARGETS]>());
            }
            Box::from_raw(p.cast::<[Target; 2 * TARGETS]>())
        };
        let size = TARGETS * size_of::<Target>();
        let past = room.as_ptr() as usize % size;
        let first = (size - past) % size / size_of::<Target>();
        let mut targets = Targets { room, first };
        // Address 0 stands in no entry but the first.
        targets.room[first] = empty(0);
        targets
    }
}

impl Targets {
    /// Where it is.
    pub fn address(&self) -> usize {
        self.room[self.first..].as_ptr() as usize
    }

    /// Empties it.
    pub fn clear(&mut self) {
        for (i, entry) in self.room[self.first..][..TARGETS].iter_mut().enumerate() {
            *entry = empty(i);
        }
    }

    /// The host address of a target that is in it.
    pub fn get(&self, pc: u64) -> Option<usize> {
        let entry = &self.room[self.first + index(pc)];
        (entry.pc == pc).then_some(entry.host as usize)
    }

    /// Enters a target in the place of another one.
    pub fn set(&mut self, target: Target) {
        self.room[self.first + index(target.pc)] = target;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_and_without_hits_when_empty() {
        let mut targets = Targets::default();
        assert_eq!(targets.address() % (TARGETS * size_of::<Target>()), 0);
        assert_eq!(targets.get(0x1234), None);
        targets.set(Target { pc: 0x1234, host: 1 });
        assert_eq!((targets.get(0x1234), targets.get(0x234), targets.get(0)), (Some(1), None, None));
        assert_eq!(targets.room[targets.first + 0x234].pc, 0x1234);
        targets.clear();
        for (i, e) in targets.room[targets.first..][..TARGETS].iter().enumerate() {
            assert_ne!(index(e.pc), i);
        }
    }
}
