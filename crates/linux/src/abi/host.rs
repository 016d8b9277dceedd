//! Where the host kernel's structures differ from the canonical (x86-64) ones.
//!
//! On 64-bit hosts the kernel's generic layouts equal x86-64's except for `epoll_event` (packed only on x86) and
//! `semid64_ds`. On a 32-bit ARM host the kernel's structures are i386's, except that 64-bit fields are aligned to 8;
//! there the `_time64` calls are used, whose structures are the 64-bit ones everywhere.

use super::x86_64;
use crate::errno::Errno;

/// A canonical structure as the host kernel lays it out: i386's form on 32-bit hosts.
#[cfg(target_pointer_width = "64")]
pub type Native<T> = T;
/// A canonical structure as the host kernel lays it out: i386's form on 32-bit hosts.
#[cfg(target_pointer_width = "32")]
pub type Native<T> = <T as super::Wide>::Narrow;

/// The canonical structure from the host's.
#[cfg(target_pointer_width = "64")]
pub fn from_native<T: super::Wide + Copy>(native: &Native<T>) -> T {
    *native
}
/// The canonical structure from the host's.
#[cfg(target_pointer_width = "32")]
pub fn from_native<T: super::Wide>(native: &Native<T>) -> T {
    T::widen(native)
}

/// The host's structure from the canonical one.
///
/// # Errors
/// `EOVERFLOW` on 32-bit hosts where a value does not fit.
#[cfg(target_pointer_width = "64")]
pub fn to_native<T: super::Wide + Copy>(wide: &T) -> Result<Native<T>, Errno> {
    Ok(*wide)
}
/// The host's structure from the canonical one.
///
/// # Errors
/// `EOVERFLOW` on 32-bit hosts where a value does not fit.
#[cfg(target_pointer_width = "32")]
pub fn to_native<T: super::Wide + Copy>(wide: &T) -> Result<Native<T>, Errno> {
    wide.narrow()
}

/// The host kernel's `struct epoll_event`.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(target_arch = "x86_64", repr(C, packed))]
#[cfg_attr(not(target_arch = "x86_64"), repr(C))]
pub struct EpollEvent {
    /// `EPOLL*` bits.
    pub events: u32,
    /// The user's word.
    pub data: u64,
}
const _: () = assert!(size_of::<EpollEvent>() == if cfg!(target_arch = "x86_64") { 12 } else { 16 });

impl From<x86_64::EpollEvent> for EpollEvent {
    fn from(e: x86_64::EpollEvent) -> Self {
        EpollEvent { events: e.events, data: e.data }
    }
}
impl From<EpollEvent> for x86_64::EpollEvent {
    fn from(e: EpollEvent) -> Self {
        x86_64::EpollEvent { events: e.events, data: e.data }
    }
}

/// The host kernel's `semid64_ds` from the generic header: no spare words behind the times on 64-bit hosts, and as on i386
/// on 32-bit ones.
#[cfg(all(target_pointer_width = "64", not(target_arch = "x86_64")))]
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct SemidDs {
    perm: [u64; 6],
    otime: i64,
    ctime: i64,
    nsems: u64,
    unused: [u64; 2],
}
/// The host kernel's `semid64_ds`.
#[cfg(any(target_arch = "x86_64", target_pointer_width = "32"))]
pub type SemidDs = Native<x86_64::SemidDs>;

/// The canonical structure from the host's.
pub fn semid_from_host(s: &SemidDs) -> x86_64::SemidDs {
    #[cfg(any(target_arch = "x86_64", target_pointer_width = "32"))]
    return from_native::<x86_64::SemidDs>(s);
    #[cfg(all(target_pointer_width = "64", not(target_arch = "x86_64")))]
    return x86_64::SemidDs {
        key: s.perm[0] as i32,
        uid: (s.perm[0] >> 32) as u32,
        gid: s.perm[1] as u32,
        cuid: (s.perm[1] >> 32) as u32,
        cgid: s.perm[2] as u32,
        mode: (s.perm[2] >> 32) as u32,
        seq: s.perm[3] as u16,
        sem_otime: s.otime,
        sem_ctime: s.ctime,
        sem_nsems: s.nsems,
        ..Default::default()
    };
}

/// The host's structure from the canonical one (`IPC_SET` reads owner and mode only).
///
/// # Errors
/// `EOVERFLOW` on 32-bit hosts where a value does not fit.
pub fn semid_to_host(s: &x86_64::SemidDs) -> Result<SemidDs, Errno> {
    #[cfg(any(target_arch = "x86_64", target_pointer_width = "32"))]
    return to_native(s);
    #[cfg(all(target_pointer_width = "64", not(target_arch = "x86_64")))]
    return Ok(SemidDs {
        perm: [
            u64::from(s.key as u32) | u64::from(s.uid) << 32,
            u64::from(s.gid) | u64::from(s.cuid) << 32,
            u64::from(s.cgid) | u64::from(s.mode) << 32,
            0,
            0,
            0,
        ],
        ..Default::default()
    });
}
