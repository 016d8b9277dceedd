//! The guest's address space.

pub mod syscalls;

use demotic_engine::GuestSpace;

/// The memory map of one guest process.
#[derive(Debug)]
pub struct AddressSpace {
    base: usize,
    limit: u64,
}

impl AddressSpace {
    /// An empty space of addresses below `limit`, guest address 0 standing at host address `base`.
    pub fn new(base: usize, limit: u64) -> AddressSpace {
        AddressSpace { base, limit }
    }
    /// The first page from `page` and below `end` that the engine protected because of its translations.
    pub fn next_code_page(&self, _page: u64, _end: u64) -> Option<u64> {
        None
    }
}

impl GuestSpace for AddressSpace {
    fn base(&self) -> usize {
        self.base
    }
    fn limit(&self) -> u64 {
        self.limit
    }
    fn fetch(&self, _pc: u64, _buf: &mut [u8]) -> usize {
        0
    }
    fn protect_code_page(&self, _page: u64) {}
    fn release_code_page(&self, _addr: u64) -> bool {
        false
    }
}
