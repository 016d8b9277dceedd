//! The guest's address space.
//!
//! Problem: guest mappings, Demotic's own memory and the host kernel's opinion share one address space. Approach: every
//! guest mapping is recorded in a list of our own ([`map::Map`]), which is authoritative for guest permissions; places are
//! chosen by us and claimed with MAP_FIXED_NOREPLACE, so that nothing of Demotic's is ever mapped over. MAP_FIXED by the
//! guest replaces guest mappings only; where it meets Demotic's memory it fails with ENOMEM.
//!
//! On the host no page is executable: guest code is data here. Execute permission is kept in the list and honoured by
//! [`AddressSpace::fetch`]. Pages whose code was translated are write-protected on the host until the guest writes.
//!
//! Locks: one mutex for list, brk and protected pages; nothing is locked inside it. fork takes it, so that the child's copy
//! is whole. Fault handlers do not take it (guarded accesses return before anything is looked up).
//!
//! Pages of the host may be larger than the guest's 4 KiB: [`host`] is the only door to the host's calls, `parts` says what becomes of host pages
//! that several guest mappings share.

pub mod host;
pub mod map;
mod parts;
pub mod space;
pub mod syscalls;
pub mod tls;

pub use map::{Kind, Vma, prot};
pub use space::{AddressSpace, Layout, Place, Request};
