//! Copies of guest code pages: what a thread translates from.
//!
//! Asking the personality for every few bytes of code costs a lock and a guarded copy each time. A page is write-protected
//! ([`GuestSpace::protect_code_page`]) before it is copied, so its bytes cannot change without an invalidation, and every
//! invalidation empties the copies. Pages that guest code keeps writing to ([`crate::checked`]) are not read this way.

use crate::GuestSpace;
use crate::cache::PAGE;

/// Copies kept; a power of two.
const SLOTS: usize = 8;

/// The copy of one page.
struct Slot {
    page: u64,
    /// Bytes that may be executed, from the page's beginning.
    len: usize,
    bytes: [u8; PAGE as usize],
}

/// One thread's copies of code pages.
#[derive(Default)]
pub(crate) struct Pages {
    generation: u64,
    slots: [Option<Box<Slot>>; SLOTS],
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pages").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl Pages {
    /// To be called before guest code is read: forgets what is older than the last invalidation.
    pub fn begin(&mut self, generation: u64) {
        if self.generation != generation {
            self.generation = generation;
            for slot in self.slots.iter_mut().flatten() {
                slot.len = 0;
            }
        }
    }

    /// [`GuestSpace::fetch`] from the copies; pages are protected against writes before they are read.
    pub fn fetch(&mut self, space: &dyn GuestSpace, at: u64, buf: &mut [u8]) -> usize {
        let mut done = 0;
        while done < buf.len() {
            let pc = at.wrapping_add(done as u64);
            let (page, offset) = (pc / PAGE, (pc % PAGE) as usize);
            let slot = self.slots[page as usize % SLOTS].get_or_insert_with(|| {
                // Never the number of a page.
                Box::new(Slot { page: u64::MAX, len: 0, bytes: [0; PAGE as usize] })
            });
            if slot.page != page || slot.len == 0 {
                space.protect_code_page(page * PAGE);
                slot.page = page;
                slot.len = space.fetch(page * PAGE, &mut slot.bytes).min(PAGE as usize);
            }
            let Some(bytes) = slot.bytes[..slot.len].get(offset..).filter(|b| !b.is_empty()) else {
                // A page that does not begin with code.
                return done + space.fetch(pc, &mut buf[done..]).min(buf.len() - done);
            };
            let n = bytes.len().min(buf.len() - done);
            buf[done..done + n].copy_from_slice(&bytes[..n]);
            done += n;
            if offset + n < PAGE as usize {
                break;
            }
        }
        done
    }
}
