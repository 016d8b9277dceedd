//! Guest memory for the interpreter: checked against the guest's address space, ordered as x86-TSO, faults as traps.
//!
//! Loads are acquire and stores release on every host, which gives TSO except for the store buffer that TSO allows; x86 hosts
//! have it for free. A failed access becomes a page fault with what the host kernel said about it; the personality turns
//! that into the signal that the guest sees.

use demotic_host::guarded::{self, Fault};
use demotic_ir::interp::{Atomic, Memory, Trap};
use demotic_ir::state::{GuestState, Segment, seg};
use demotic_x86::unit::TAG;
use std::sync::atomic::{Ordering, fence};

/// si_code of a protection fault (asm-generic/siginfo.h, SEGV_ACCERR).
const SEGV_ACCERR: i32 = 2;

/// The view of guest memory of one thread's interpreter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GuestMemory {
    /// Host address of guest address 0.
    pub base: usize,
    /// First guest address that is never mapped.
    pub limit: u64,
}

impl GuestMemory {
    /// Host address of an access, or the exception that an address outside user space raises.
    #[inline(always)]
    fn host(&self, addr: u64, bytes: u64, write: bool) -> Result<usize, Trap> {
        // `limit` is never below 16.
        if addr > self.limit - bytes {
            return Err(outside(addr, bytes, write, self.limit));
        }
        Ok(self.base.wrapping_add(addr as usize))
    }

    #[cold]
    fn trap(&self, fault: Fault, write: bool) -> Trap {
        let address = fault.addr.wrapping_sub(self.base) as u64;
        // On 32-bit hosts guest addresses have 32 bits, too.
        let address = if usize::BITS == 32 { address & 0xffff_ffff } else { address };
        Trap { host: Some((fault.signo, fault.code)), ..Trap::page(address, write, fault.code == SEGV_ACCERR) }
    }
}

/// #GP for accesses with a byte whose address is not canonical and for 32-bit ones that cross the segment limit of 4 GiB; #PF for the
/// kernel's half and what lies between limit and 2^47.
#[cold]
fn outside(addr: u64, bytes: u64, write: bool, limit: u64) -> Trap {
    let canonical = |a: u64| ((a << 16) as i64 >> 16) as u64 == a;
    let beyond = limit <= 1 << 32 && addr.saturating_add(bytes) > 1 << 32;
    if beyond || !canonical(addr) || !canonical(addr.wrapping_add(bytes - 1)) {
        Trap::new(13)
    } else {
        Trap::page(addr, write, false)
    }
}

macro_rules! plain {
    ($($ty:ty, $bytes:literal, $load:ident $guarded_load:ident $store:ident $guarded_store:ident;)*) => {$(
        #[inline(always)]
        fn $load(&mut self, addr: u64) -> Result<$ty, Trap> {
            let host = self.host(addr, $bytes, false)?;
            // SAFETY: the address is inside guest space, where no Rust object lives.
            unsafe { guarded::$guarded_load(host) }.map_err(|f| self.trap(f, false))
        }
        #[inline(always)]
        fn $store(&mut self, addr: u64, v: $ty) -> Result<(), Trap> {
            let host = self.host(addr, $bytes, true)?;
            // SAFETY: as above.
            unsafe { guarded::$guarded_store(host, v) }.map_err(|f| self.trap(f, true))
        }
    )*};
}

macro_rules! rmw {
    ($self:ident, $op:ident, $host:ident, $a:ident, $b:ident, $ty:ty, $load:ident, $cas:ident, $xchg:ident) => {{
        let (a, b) = ($a as $ty, $b as $ty);
        // SAFETY: the address is inside guest space, where no Rust object lives.
        let result = unsafe {
            match $op {
                Atomic::Xchg => guarded::$xchg($host, a),
                Atomic::Cas => guarded::$cas($host, a, b),
                _ => 'done: {
                    let mut old = match guarded::$load($host) {
                        Ok(v) => v,
                        Err(f) => break 'done Err(f),
                    };
                    loop {
                        let new = match $op {
                            Atomic::Add => old.wrapping_add(a),
                            Atomic::And => old & a,
                            Atomic::Or => old | a,
                            _ => old ^ a,
                        };
                        match guarded::$cas($host, old, new) {
                            Ok(seen) if seen == old => break 'done Ok(old),
                            Ok(seen) => old = seen,
                            Err(f) => break 'done Err(f),
                        }
                    }
                }
            }
        };
        result.map(u64::from).map_err(|f| $self.trap(f, true))
    }};
}

/// A locked instruction is a full fence, also when it compares and does not store (SDM vol. 3, section 9.2.3.9). Exclusive pairs of other hosts are
/// not: plain stores of translated code before it, and plain loads behind, could pass.
struct Locked;

impl Locked {
    fn new() -> Locked {
        if cfg!(not(target_arch = "x86_64")) {
            fence(Ordering::SeqCst);
        }
        Locked
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        if cfg!(not(target_arch = "x86_64")) {
            fence(Ordering::SeqCst);
        }
    }
}

impl Memory for GuestMemory {
    plain! {
        u8, 1, load8 load8_acquire store8 store8_release;
        u16, 2, load16 load16_acquire store16 store16_release;
        u32, 4, load32 load32_acquire store32 store32_release;
        u64, 8, load64 load64_acquire store64 store64_release;
    }

    #[inline(always)]
    fn load128(&mut self, addr: u64) -> Result<[u64; 2], Trap> {
        let host = self.host(addr, 16, false)?;
        // SAFETY: the address is inside guest space, where no Rust object lives.
        let v = unsafe { guarded::load128_acquire(host) }.map_err(|f| self.trap(f, false))?;
        Ok([v as u64, (v >> 64) as u64])
    }

    #[inline(always)]
    fn store128(&mut self, addr: u64, v: [u64; 2]) -> Result<(), Trap> {
        let host = self.host(addr, 16, true)?;
        let v = u128::from(v[1]) << 64 | u128::from(v[0]);
        // SAFETY: as above.
        unsafe { guarded::store128_release(host, v) }.map_err(|f| self.trap(f, true))
    }

    fn atomic(&mut self, op: Atomic, addr: u64, bytes: u32, a: u64, b: u64) -> Result<u64, Trap> {
        let host = self.host(addr, u64::from(bytes), true)?;
        let _both_sides = Locked::new();
        match bytes {
            1 => rmw!(self, op, host, a, b, u8, load8, cmpxchg8, xchg8),
            2 => rmw!(self, op, host, a, b, u16, load16, cmpxchg16, xchg16),
            4 => rmw!(self, op, host, a, b, u32, load32, cmpxchg32, xchg32),
            _ => rmw!(self, op, host, a, b, u64, load64, cmpxchg64, xchg64),
        }
    }

    fn cas128(&mut self, addr: u64, expected: [u64; 2], new: [u64; 2]) -> Result<[u64; 2], Trap> {
        let host = self.host(addr, 16, true)?;
        let _both_sides = Locked::new();
        let join = |v: [u64; 2]| u128::from(v[1]) << 64 | u128::from(v[0]);
        // SAFETY: the address is inside guest space, where no Rust object lives.
        let old = unsafe { guarded::cmpxchg128(host, join(expected), join(new)) }.map_err(|f| self.trap(f, true))?;
        Ok([old as u64, (old >> 64) as u64])
    }

    fn fence(&mut self, _kind: u64) {
        fence(Ordering::SeqCst);
    }
}

/// Loads and stores of the memory below, where `check` says the address of there or the exception.
macro_rules! checked {
    ($($load:ident $store:ident $ty:ty, $bytes:literal;)*) => {$(
        fn $load(&mut self, addr: u64) -> Result<$ty, Trap> {
            let below = self.check(addr, $bytes, false)?;
            self.memory.$load(below)
        }
        fn $store(&mut self, addr: u64, v: $ty) -> Result<(), Trap> {
            let below = self.check(addr, $bytes, true)?;
            self.memory.$store(below, v)
        }
    )*};
}

/// The same with alignment checks: #AC for what is not a multiple of its size, before the page is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aligned {
    pub memory: GuestMemory,
    /// Whether it is an image of x87 registers, of ten bytes each, which is aligned when its first words are.
    pub image: bool,
}

/// Vector of the alignment check.
const AC: u8 = 17;

impl Aligned {
    /// The same address, if it is aligned.
    fn check(&self, addr: u64, bytes: u64, write: bool) -> Result<u64, Trap> {
        if addr & (bytes - 1) == 0 || self.image && bytes == 8 {
            return Ok(addr);
        }
        match self.memory.host(addr, bytes, write) {
            Err(t) if t.vector != 14 => Err(t),
            _ => Err(Trap::new(AC)),
        }
    }
}

impl Memory for Aligned {
    checked! {
        load8 store8 u8, 1;
        load16 store16 u16, 2;
        load32 store32 u32, 4;
        load64 store64 u64, 8;
        load128 store128 [u64; 2], 16;
    }

    fn atomic(&mut self, op: Atomic, addr: u64, bytes: u32, a: u64, b: u64) -> Result<u64, Trap> {
        self.check(addr, u64::from(bytes), true)?;
        self.memory.atomic(op, addr, bytes, a, b)
    }

    fn cas128(&mut self, addr: u64, expected: [u64; 2], new: [u64; 2]) -> Result<[u64; 2], Trap> {
        self.memory.cas128(addr, expected, new)
    }

    fn fence(&mut self, kind: u64) {
        self.memory.fence(kind);
    }
}

/// The address of an offset in a segment, in the form that [`Segmented`] takes.
pub(crate) fn segment_address(state: &GuestState, n: usize, offset: u64) -> u64 {
    (state.seg_base[n].wrapping_add(offset) & 0xffff_ffff) + ((n as u64 + 1) << TAG)
}

/// The same with segments: addresses have the number of theirs ([`demotic_x86::unit::TAG`]), and what they may not reach is #GP, or #SS for the stack's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segmented<M> {
    memory: M,
    base: [u64; 6],
    seg: [Segment; 6],
}

impl<M> Segmented<M> {
    pub fn new(memory: M, state: &GuestState) -> Segmented<M> {
        Segmented { memory, base: state.seg_base, seg: state.seg }
    }

    /// Linear address of an access, if the segment allows it.
    fn check(&self, addr: u64, bytes: u64, write: bool) -> Result<u64, Trap> {
        let linear = addr & ((1 << TAG) - 1);
        let n = ((addr >> TAG) as usize).wrapping_sub(1);
        let Some(segment) = self.seg.get(n) else { return Err(Trap::new(13)) };
        let offset = linear.wrapping_sub(self.base[n]) & 0xffff_ffff;
        if segment.allows(offset, bytes, write) {
            Ok(linear & 0xffff_ffff)
        } else {
            Err(Trap::new(if n == seg::SS { 12 } else { 13 }))
        }
    }
}

impl<M: Memory> Memory for Segmented<M> {
    checked! {
        load8 store8 u8, 1;
        load16 store16 u16, 2;
        load32 store32 u32, 4;
        load64 store64 u64, 8;
        load128 store128 [u64; 2], 16;
    }

    fn atomic(&mut self, op: Atomic, addr: u64, bytes: u32, a: u64, b: u64) -> Result<u64, Trap> {
        let linear = self.check(addr, u64::from(bytes), true)?;
        self.memory.atomic(op, linear, bytes, a, b)
    }

    fn cas128(&mut self, addr: u64, expected: [u64; 2], new: [u64; 2]) -> Result<[u64; 2], Trap> {
        let linear = self.check(addr, 16, true)?;
        self.memory.cas128(linear, expected, new)
    }

    fn fence(&mut self, kind: u64) {
        self.memory.fence(kind);
    }
}
