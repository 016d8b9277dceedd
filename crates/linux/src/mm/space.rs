//! Mapping, unmapping, protecting: the operations on one guest's address space, each doing both the host's part and the
//! list's.

use super::host::{HostPages, mmap_below, real_page};
use super::map::{Kind, Map, Vma, prot};
use super::parts::Copies;
use crate::errno::Errno;
use crate::uaccess::PAGE;
use demotic_engine::{Engine, GuestSpace};
use demotic_host::{guarded, sys};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};

pub(super) const MAP_FIXED: i32 = libc::MAP_FIXED;
const MAP_FIXED_NOREPLACE: i32 = 0x10_0000;
const CLAIM: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | MAP_FIXED_NOREPLACE;

/// Where things go in an address space; all in guest addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// First address that is never mapped.
    pub limit: u64,
    /// Mappings without a wish go below this address, the highest first.
    pub mmap_top: u64,
    /// Where position-independent programs are loaded.
    pub pie_base: u64,
    /// Upper end of the initial stack.
    pub stack_top: u64,
}

impl Layout {
    /// The layout of an i386 process under a 64-bit kernel: addresses end at 0xffffe000 (IA32_PAGE_OFFSET,
    /// arch/x86/include/asm/page_64_types.h). On a 32-bit host they end where the host's do, at 3 GiB or earlier.
    pub fn i386() -> Layout {
        if cfg!(target_pointer_width = "32") {
            return Layout { limit: 0xb000_0000, mmap_top: 0xa000_0000, pie_base: 0x2000_0000, stack_top: 0xb000_0000 };
        }
        Layout { limit: 0xffff_e000, mmap_top: 0xf7ff_f000, pie_base: 0x5655_5000, stack_top: 0xffff_e000 }
    }

    /// The layout of an x86-64 process. `host_top` is any address near the host's upper end (a stack variable's): kernels for 39- and
    /// 42-bit addresses have less room.
    ///
    /// The places are where Linux has them, as far as programs rely on it: sanitizers refuse to run when a mapping is elsewhere
    /// (ThreadSanitizer takes 0x5500 to 0x5680 and from 0x7e80 on, MemorySanitizer 0x5100 to 0x6000 and from 0x7000 on, all followed by
    /// eight digits). They keep clear of where host kernels of 47 bits put Demotic itself: from two thirds of the address space up,
    /// and below its end, each moved by up to 2^40 bytes at random, the latter by the stack's room, too.
    pub fn x86_64(host_top: u64) -> Layout {
        let limit = 0x7fff_ffff_f000;
        if host_top >> 46 == 0 {
            return Layout { limit, mmap_top: 0x40_0000_0000, pie_base: 0x10_0000_0000, stack_top: 0x48_0000_0000 };
        }
        Layout { limit, mmap_top: 0x7ee0_0000_0000, pie_base: 0x5510_0000_0000, stack_top: 0x7ef0_0000_0000 }
    }
}

/// How a mapping chooses its address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Anywhere.
    Any,
    /// There if free, else anywhere.
    Hint(u64),
    /// In the first 2 GiB (MAP_32BIT).
    Low,
    /// There, replacing guest mappings (MAP_FIXED).
    Fixed(u64),
    /// There if nothing is there, else EEXIST (MAP_FIXED_NOREPLACE).
    Free(u64),
}

/// A mapping to be made.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Where.
    pub place: Place,
    /// Length in bytes; rounded up to pages.
    pub len: u64,
    /// Guest permissions.
    pub prot: u8,
    /// Host MAP_ flags without the placing ones.
    pub flags: i32,
    /// Host file descriptor, -1 for anonymous memory.
    pub fd: i32,
    /// Offset in the file in bytes, a multiple of the page size.
    pub offset: u64,
    /// What to record.
    pub kind: Kind,
}

impl Request {
    /// Private anonymous memory.
    pub fn anonymous(place: Place, len: u64, prot: u8, kind: Kind) -> Request {
        Request {
            place,
            len,
            prot,
            flags: libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            fd: -1,
            offset: 0,
            kind,
        }
    }
}

/// What the mutex guards.
#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) map: Map,
    /// Pages that are write-protected on the host because of translations.
    pub(super) code_pages: BTreeSet<u64>,
    /// Ranges whose translations are to be dropped once the lock is open.
    pub(super) stale: Vec<Range<u64>>,
    /// File contents that stand in memory of their own, on hosts with larger pages.
    pub(super) copies: Copies,
    /// Start of the heap and current break; the break may lie inside a page.
    pub(super) brk: Range<u64>,
    /// Ranges that mseal(2) has closed.
    sealed: Vec<Range<u64>>,
    /// RLIMIT_DATA and RLIMIT_AS in bytes, where the guest has set them.
    limits: [Option<u64>; 2],
}

impl Inner {
    /// EPERM for a range with sealed memory in it.
    pub(super) fn check_open(&self, range: &Range<u64>) -> Result<(), Errno> {
        let closed = self.sealed.iter().any(|s| s.start < range.end && range.start < s.end);
        if closed { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// Whether `len` more bytes are within the limits (mm/mmap.c, `may_expand_vm`).
    fn check_limits(&self, len: u64, is_data: bool) -> Result<(), Errno> {
        let [data, all] = self.limits;
        let over = |limit: Option<u64>, counts: fn(&Vma) -> bool| {
            limit.is_some_and(|limit| {
                let used: u64 = self.map.iter().filter(|v| counts(v)).map(|v| v.end - v.start).sum();
                used.saturating_add(len) > limit
            })
        };
        let is_vma_data = |v: &Vma| v.prot & prot::WRITE != 0 && !v.shared && v.kind != Kind::Stack;
        if over(all, |_| true) || (is_data && over(data, is_vma_data)) { Err(Errno::ENOMEM) } else { Ok(()) }
    }
}

/// The memory map of one guest process.
#[derive(Debug)]
pub struct AddressSpace {
    pub(super) pages: HostPages,
    layout: Layout,
    read_implies_exec: std::sync::atomic::AtomicBool,
    /// The local descriptor table (modify_ldt(2)).
    pub ldt: super::tls::Ldt,
    engine: OnceLock<Weak<Engine>>,
    inner: Mutex<Inner>,
}

/// Rounds up to guest pages; `None` on overflow.
pub fn page_up(value: u64) -> Option<u64> {
    Some(value.checked_add(PAGE - 1)? & !(PAGE - 1))
}

/// Host permissions for guest permissions: nothing is executable, what can be executed or written can be read.
pub(super) fn host_prot(guest: u8) -> usize {
    let mut host = 0;
    if guest & (prot::READ | prot::EXEC | prot::WRITE) != 0 {
        host |= libc::PROT_READ;
    }
    if guest & prot::WRITE != 0 {
        host |= libc::PROT_WRITE;
    }
    host as usize
}

/// Whether MAP_ flags ask for shared memory.
pub(super) fn is_shared(flags: i32) -> bool {
    matches!(flags & libc::MAP_TYPE, libc::MAP_SHARED | libc::MAP_SHARED_VALIDATE)
}

/// Device and inode of an open file.
pub(super) fn file_id(fd: i32) -> Option<(u64, u64)> {
    // SAFETY: the structure is ours; all zeros is a valid value of it.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        #[allow(clippy::unnecessary_cast)]
        (libc::fstat(fd, &mut stat) == 0).then_some((stat.st_dev as u64, stat.st_ino as u64))
    }
}

impl AddressSpace {
    /// An empty space, guest address 0 standing at host address `base`, on the host's own pages.
    pub fn new(base: usize, layout: Layout) -> AddressSpace {
        AddressSpace::on_pages(base, layout, real_page())
    }

    /// The same on pages of `page` bytes, which [`super::host::usable`] has to allow.
    pub fn on_pages(base: usize, layout: Layout, page: u64) -> AddressSpace {
        let down = |addr: u64| addr & !(page - 1);
        let layout = Layout { mmap_top: down(layout.mmap_top), pie_base: down(layout.pie_base), ..layout };
        AddressSpace {
            pages: HostPages { base, page },
            layout,
            read_implies_exec: false.into(),
            ldt: Default::default(),
            engine: OnceLock::new(),
            inner: Mutex::default(),
        }
    }

    /// Tells the space who keeps translations of its code.
    pub fn set_engine(&self, engine: &Arc<Engine>) {
        let _ = self.engine.set(Arc::downgrade(engine));
    }

    /// The size of the pages that the host maps and protects, in bytes.
    pub fn host_page(&self) -> u64 {
        self.pages.page
    }

    /// The host's pages.
    pub fn pages(&self) -> &HostPages {
        &self.pages
    }

    fn engine(&self) -> Option<Arc<Engine>> {
        self.engine.get().and_then(Weak::upgrade)
    }

    /// Where things go.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Readable memory becomes executable, too (personality(2), READ_IMPLIES_EXEC): programs from before non-executable
    /// stacks.
    pub fn set_read_implies_exec(&self, on: bool) {
        self.read_implies_exec.store(on, std::sync::atomic::Ordering::Relaxed);
    }

    /// The permissions that a request for `prot` gets.
    pub fn effective_prot(&self, prot: u8) -> u8 {
        let implied = self.read_implies_exec.load(std::sync::atomic::Ordering::Relaxed) && prot & prot::READ != 0;
        if implied { prot | prot::EXEC } else { prot }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic aborts the process, so a poisoned lock is never seen outside tests.
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Runs `f` while no other thread can change the space: for fork.
    pub fn locked<T>(&self, f: impl FnOnce() -> T) -> T {
        let _guard = self.lock();
        f()
    }

    /// All mappings in order.
    pub fn vmas(&self) -> Vec<Vma> {
        self.lock().map.iter().copied().collect()
    }

    /// The mapping that holds `addr`.
    pub fn find(&self, addr: u64) -> Option<Vma> {
        self.lock().map.find(addr).copied()
    }

    /// Whether the page at `addr` has memory behind it now (the present bit of /proc/self/pagemap; false if the
    /// host does not tell).
    pub fn is_populated(&self, addr: u64) -> bool {
        use std::os::unix::fs::FileExt;
        let mut entry = [0; 8];
        std::fs::File::open("/proc/self/pagemap")
            .and_then(|file| file.read_exact_at(&mut entry, self.host(addr) as u64 / real_page() * 8))
            .is_ok_and(|()| u64::from_le_bytes(entry) >> 63 == 1)
    }

    pub(super) fn host(&self, guest: u64) -> usize {
        self.pages.at(guest)
    }

    /// Host address at which the host's map of this process shows the file that the guest has mapped at `addr`.
    pub fn file_shown_at(&self, addr: u64) -> usize {
        self.lock().copies.find(addr).unwrap_or_else(|| self.host(addr))
    }

    /// A range of whole pages inside guest space.
    pub(super) fn page_range(&self, addr: u64, len: u64) -> Option<Range<u64>> {
        let end = addr.checked_add(page_up(len)?)?;
        (addr % PAGE == 0 && end <= self.layout.limit).then_some(addr..end)
    }

    /// The host pages of a range that hold no guest page.
    pub(super) fn free_pages(&self, inner: &Inner, range: &Range<u64>) -> Vec<Range<u64>> {
        let gaps = inner.map.gaps(self.pages.cover(range)).into_iter();
        gaps.map(|gap| self.pages.up(gap.start)..self.pages.down(gap.end)).filter(|gap| gap.start < gap.end).collect()
    }

    fn claim_pages(&self, range: &Range<u64>) -> Result<(), Errno> {
        self.pages.mmap(range, 0, CLAIM, -1, 0)
    }

    /// Takes possession of the parts of a range that are no guest mappings; ENOMEM (and nothing claimed) if Demotic's own
    /// memory is in the way.
    pub(super) fn claim(&self, inner: &Inner, range: &Range<u64>) -> Result<(), Errno> {
        let gaps = self.free_pages(inner, range);
        for (i, gap) in gaps.iter().enumerate() {
            if let Err(e) = self.claim_pages(gap) {
                self.give_back(&gaps[..i]);
                return Err(if e == Errno::EEXIST { Errno::ENOMEM } else { e });
            }
        }
        Ok(())
    }

    /// Unmaps what was only claimed. Nothing can be done about errors, and none are possible but ENOMEM.
    pub(super) fn give_back(&self, claimed: &[Range<u64>]) {
        for range in claimed {
            let _ = self.pages.munmap(range);
        }
    }

    /// Finds a free place of `len` bytes in host pages of its own, `phase` bytes behind the start of one, and claims it.
    pub(super) fn claim_at_phase(&self, inner: &Inner, len: u64, phase: u64, low: bool) -> Result<u64, Errno> {
        let len = len.checked_add(phase + self.pages.page - 1).ok_or(Errno::ENOMEM)? & !(self.pages.page - 1);
        Ok(self.claim_anywhere(inner, len, low)? + phase)
    }

    /// Finds a free place of whole host pages and claims it (PROT_NONE on the host). Where memory of Demotic's is met, the search goes on
    /// below it.
    fn claim_anywhere(&self, inner: &Inner, len: u64, low: bool) -> Result<u64, Errno> {
        let (bottom, align) = (0x1_0000, self.pages.page);
        if low {
            // MAP_32BIT: from 1 GiB, as the kernel does (arch/x86/kernel/sys_x86_64.c).
            let mut from = 0x4000_0000;
            while let Some(start) = inner.map.find_gap_above(from, 0x8000_0000, len, align) {
                match self.claim_pages(&(start..start + len)) {
                    Err(Errno::EEXIST) => from = start + (1 << 20),
                    other => return other.map(|()| start),
                }
            }
            return Err(Errno::ENOMEM);
        }
        let mut top = self.layout.mmap_top;
        let mut step = 1 << 20;
        while let Some(start) = inner.map.find_gap_below(bottom, top, len, align) {
            match self.claim_pages(&(start..start + len)) {
                Err(Errno::EEXIST) => {
                    // Ever larger steps: the obstacle's size is unknown, and the space is large.
                    top = (start + len).saturating_sub(step);
                    step *= 2;
                }
                other => return other.map(|()| start),
            }
        }
        // Above the usual place there is room, too (between mmap_top and the limit), taken last.
        let mut from = self.layout.mmap_top;
        let mut step = 1 << 20;
        while let Some(start) = inner.map.find_gap_above(from, self.layout.limit, len, align) {
            match self.claim_pages(&(start..start + len)) {
                Err(Errno::EEXIST) => {
                    from = start + step;
                    step *= 2;
                }
                other => return other.map(|()| start),
            }
        }
        Err(Errno::ENOMEM)
    }

    /// Makes a mapping and returns its address. Translations in the range must be dropped by the caller when
    /// [`Place::Fixed`] replaced something.
    ///
    /// # Errors
    /// Those of mmap(2).
    pub fn map(&self, request: &Request) -> Result<u64, Errno> {
        let mut inner = self.lock();
        let result = self.map_locked(&mut inner, request);
        self.unlock(inner);
        if is_shared(request.flags) && request.prot & prot::WRITE != 0 {
            if let Some(engine) = self.engine() {
                engine.share();
            }
        }
        result
    }

    /// A file whose driver takes no wishes (io_uring's rings): where the host's kernel puts it.
    fn map_by_driver(&self, inner: &mut Inner, request: &Request, len: u64) -> Result<u64, Errno> {
        let base = self.pages.base as u64;
        let prot = host_prot(request.prot);
        let at = mmap_below(base + self.layout.limit, len, prot, request.flags, request.fd, request.offset)?;
        let start = at.wrapping_sub(base);
        let Some(range) = self.page_range(start, len).filter(|range| inner.map.is_free(range.clone())) else {
            // SAFETY: the mapping just made, which nobody knows.
            unsafe { sys::syscall6(libc::SYS_munmap, [at as usize, len as usize, 0, 0, 0, 0]) };
            return Err(Errno::EINVAL);
        };
        let shared = is_shared(request.flags);
        let (prot, kind, offset) = (request.prot, request.kind, request.offset);
        inner.map.insert(Vma { start, end: range.end, prot, shared, kind, offset, file: None });
        Ok(start)
    }

    pub(super) fn map_locked(&self, inner: &mut Inner, request: &Request) -> Result<u64, Errno> {
        if request.len == 0 {
            return Err(Errno::EINVAL);
        }
        let len = page_up(request.len).ok_or(Errno::ENOMEM)?;
        let is_data = request.prot & prot::WRITE != 0 && request.flags & libc::MAP_TYPE == libc::MAP_PRIVATE;
        inner.check_limits(len, is_data && request.kind != Kind::Stack)?;
        let claimed_start;
        let mut place = request.place;
        if let Place::Hint(addr) = place {
            // The kernel rounds hints down and ignores those it cannot serve.
            let addr = addr & !(PAGE - 1);
            let fits = request.fd < 0 || addr & (self.pages.page - 1) == self.phase(request);
            let free = fits && addr >= 0x1_0000 && self.page_range(addr, len).is_some_and(|r| inner.map.is_free(r));
            place = if free && self.claim(inner, &(addr..addr + len)).is_ok() { Place::Free(addr) } else { Place::Any };
            claimed_start = place == Place::Free(addr);
        } else {
            claimed_start = false;
        }
        let start = match place {
            Place::Any | Place::Hint(_) => self.claim_at_phase(inner, len, self.phase(request), false)?,
            Place::Low => self.claim_at_phase(inner, len, self.phase(request), true)?,
            Place::Free(addr) if claimed_start => addr,
            Place::Fixed(addr) | Place::Free(addr) => {
                if addr % PAGE != 0 {
                    return Err(Errno::EINVAL);
                }
                let range = self.page_range(addr, len).ok_or(Errno::ENOMEM)?;
                let keep = matches!(place, Place::Free(_));
                if keep && !inner.map.is_free(range.clone()) {
                    return Err(Errno::EEXIST);
                }
                inner.check_open(&range)?;
                self.claim(inner, &range).map_err(|e| if keep && e == Errno::ENOMEM { Errno::EEXIST } else { e })?;
                addr
            }
        };
        let range = start..start + len;
        let result = self.establish(inner, &range, request);
        let by_driver = result == Err(Errno::EINVAL) && matches!(request.place, Place::Any) && request.fd >= 0;
        // Under a larger page size than the host's own its kernel would choose too freely.
        if by_driver && self.pages.page == real_page() {
            self.give_back(&self.free_pages(inner, &range));
            return self.map_by_driver(inner, request, len);
        }
        if let Err(e) = result {
            // What was only claimed goes back. Old guest mappings are still there: a failing mmap(2) with MAP_FIXED may
            // have unmapped them on real kernels, but does so only after its checks.
            self.give_back(&self.free_pages(inner, &range));
            if self.pages.is_coarse() {
                let _ = self.apply(inner, &range);
            }
            return Err(e);
        }
        self.forget_code(inner, &range);
        let shared = is_shared(request.flags);
        let file = if shared && request.fd >= 0 { file_id(request.fd) } else { None };
        inner.map.insert(Vma {
            start,
            end: range.end,
            prot: request.prot,
            shared,
            kind: request.kind,
            offset: request.offset,
            file,
        });
        if result == Ok(true) {
            self.apply(inner, &range)?;
        }
        if file.is_some() && request.prot & prot::WRITE != 0 {
            self.release_views(inner, &range, file, request.offset);
        }
        Ok(start)
    }

    /// The host's mappings of a range were replaced or are gone: no page of it is protected any more.
    pub(super) fn forget_code(&self, inner: &mut Inner, range: &Range<u64>) {
        let pages: Vec<u64> = inner.code_pages.range(range.clone()).copied().collect();
        for page in pages {
            inner.code_pages.remove(&page);
        }
    }

    /// Unmaps the guest mappings in a range; holes are fine. The caller drops translations.
    ///
    /// # Errors
    /// EINVAL for a range that is empty, unaligned or outside guest space.
    pub fn unmap(&self, addr: u64, len: u64) -> Result<(), Errno> {
        let mut inner = self.lock();
        let range = self.page_range(addr, len).filter(|r| !r.is_empty()).ok_or(Errno::EINVAL)?;
        inner.check_open(&range)?;
        for part in inner.map.covered(range.clone()) {
            self.remove_part(&mut inner, &part)?;
        }
        Ok(())
    }

    /// Changes permissions. The caller drops translations.
    ///
    /// # Errors
    /// Those of mprotect(2): EINVAL, ENOMEM at the first hole (what is before it has been changed), EACCES.
    pub fn protect(&self, addr: u64, len: u64, prot: u8) -> Result<(), Errno> {
        let mut inner = self.lock();
        if addr % PAGE != 0 {
            return Err(Errno::EINVAL);
        }
        let range = self.page_range(addr, len).ok_or(Errno::ENOMEM)?;
        if range.is_empty() {
            return Ok(());
        }
        if !inner.map.is_free(range.start..range.start + 1) {
            inner.check_open(&range)?;
        }
        for part in inner.map.covered(range.clone()).into_iter().take(1) {
            if part.start != range.start {
                return Err(Errno::ENOMEM);
            }
            self.protect_part(&mut inner, &part, prot)?;
            let ordered = inner.map.find(part.start).is_some_and(|vma| vma.shared && vma.prot & prot::WRITE != 0);
            if let (true, Some(engine)) = (ordered, self.engine()) {
                engine.share();
            }
            if part.end == range.end {
                return Ok(());
            }
        }
        Err(Errno::ENOMEM)
    }

    /// Lifts the engine's protection from all pages of a range. Used where the host must see one mapping (mremap).
    pub(super) fn release_range(&self, inner: &mut Inner, range: &Range<u64>) {
        let pages: Vec<u64> = inner.code_pages.range(range.clone()).copied().collect();
        for page in pages {
            self.release_page(inner, page);
        }
    }

    /// Makes the host page of `page` writable again. The other guest pages in it lose their translations when the list is unlocked.
    fn release_page(&self, inner: &mut Inner, page: u64) {
        let all = self.pages.around(page);
        self.forget_code(inner, &all);
        let _ = self.apply(inner, &all);
        if self.pages.is_coarse() {
            inner.stale.push(all);
        }
    }

    /// Unlocks the list and drops the translations that became stale meanwhile.
    pub(super) fn unlock(&self, mut inner: MutexGuard<'_, Inner>) {
        let stale = std::mem::take(&mut inner.stale);
        drop(inner);
        if let (false, Some(engine)) = (stale.is_empty(), self.engine()) {
            stale.iter().for_each(|range| engine.invalidate(range.start, range.end - range.start));
        }
    }

    /// The other pages that show the same page of a shared file mapping.
    fn views(&self, inner: &Inner, page: u64) -> Vec<u64> {
        let Some(vma) = inner.map.find(page) else { return Vec::new() };
        let Some(file) = vma.file else { return Vec::new() };
        let offset = vma.offset.wrapping_add(page - vma.start);
        let same = inner.map.iter().filter(|v| v.file == Some(file) && v.offset <= offset);
        same.filter_map(|v| v.start.checked_add(offset - v.offset).filter(|&at| at < v.end && at != page)).collect()
    }

    /// A writable view of a shared file was mapped: code that was translated from other views is not protected against it.
    /// These pages become writable, and their translations are dropped, so that the next translation protects all views.
    fn release_views(&self, inner: &mut Inner, range: &Range<u64>, file: Option<(u64, u64)>, offset: u64) {
        let others: Vec<Vma> = inner.map.iter().filter(|v| v.file == file && v.start != range.start).copied().collect();
        let end = offset.saturating_add(range.end - range.start);
        for v in others {
            let from = v.start.saturating_add(offset.saturating_sub(v.offset)).min(v.end);
            let to = v.start.saturating_add(end.saturating_sub(v.offset)).min(v.end);
            self.release_range(inner, &(from..to));
            inner.stale.push(from..to);
        }
    }

    /// The first page from `page` and below `end` that the engine protected because of its translations.
    pub fn next_code_page(&self, page: u64, end: u64) -> Option<u64> {
        if page >= end {
            return None;
        }
        self.lock().code_pages.range(page..end).next().copied()
    }

    /// Whether the guest may access the page at `addr` in one of the ways in `wanted` ([`prot`] bits).
    pub fn allows(&self, addr: u64, wanted: u8) -> bool {
        self.lock().map.find(addr).is_some_and(|vma| vma.prot & wanted != 0)
    }

    /// How many of `len` bytes at `addr` the guest may access in one of the ways in `wanted`: what the host tells by a fault where its pages are the
    /// guest's.
    pub fn accessible(&self, addr: u64, len: u64, wanted: u8) -> u64 {
        let inner = self.lock();
        let (mut at, end) = (addr, addr.saturating_add(len));
        while at < end {
            match inner.map.find(at) {
                Some(vma) if vma.prot & wanted != 0 => at = vma.end.min(end),
                _ => break,
            }
        }
        at - addr
    }

    /// Whether a range consists of guest mappings.
    pub fn is_mapped(&self, addr: u64, len: u64) -> bool {
        self.page_range(addr, len).is_some_and(|range| self.lock().map.gaps(range).is_empty())
    }

    /// Closes a range against changes (mseal(2)).
    ///
    /// # Errors
    /// EINVAL for a range that is not of pages, ENOMEM for holes in it.
    pub fn seal(&self, addr: u64, len: u64) -> Result<(), Errno> {
        let range = self.page_range(addr, len).ok_or(Errno::EINVAL)?;
        let mut inner = self.lock();
        if range.is_empty() {
            return Ok(());
        }
        if !inner.map.gaps(range.clone()).is_empty() {
            return Err(Errno::ENOMEM);
        }
        inner.sealed.push(range);
        Ok(())
    }

    /// EPERM for a range with sealed memory in it.
    ///
    /// # Errors
    /// EPERM.
    pub fn check_open(&self, addr: u64, len: u64) -> Result<(), Errno> {
        let end = addr.saturating_add(len);
        self.lock().check_open(&(addr..end))
    }

    /// RLIMIT_DATA (0) and RLIMIT_AS (1) as the guest has set them.
    pub fn set_limit(&self, which: usize, bytes: u64) {
        if let Some(limit) = self.lock().limits.get_mut(which) {
            *limit = (bytes != u64::MAX).then_some(bytes);
        }
    }

    /// Records where the heap starts (brk(2)).
    pub fn set_brk_start(&self, addr: u64) {
        self.lock().brk = addr..addr;
    }

    /// brk(2): moves the break if it can be, and returns where it is.
    pub fn brk(&self, wish: u64) -> u64 {
        let mut inner = self.lock();
        let old = inner.brk.clone();
        if wish < old.start || wish >= self.layout.limit {
            return old.end;
        }
        let (Some(old_top), Some(new_top)) = (page_up(old.end), page_up(wish)) else { return old.end };
        if new_top > old_top {
            let request = Request::anonymous(
                Place::Free(old_top),
                new_top - old_top,
                self.effective_prot(prot::READ | prot::WRITE),
                Kind::Heap,
            );
            if self.map_locked(&mut inner, &request).is_err() {
                return old.end;
            }
        } else if new_top < old_top {
            for part in inner.map.covered(new_top..old_top) {
                if self.remove_part(&mut inner, &part).is_err() {
                    return old.end;
                }
            }
        }
        inner.brk.end = wish;
        self.unlock(inner);
        wish
    }
}

impl GuestSpace for AddressSpace {
    fn base(&self) -> usize {
        self.pages.base
    }

    fn granule(&self) -> u64 {
        self.pages.page
    }

    fn limit(&self) -> u64 {
        self.layout.limit
    }

    fn ldt(&self, index: u32) -> Option<demotic_engine::Descriptor> {
        self.ldt.get(index)
    }

    fn fetch(&self, pc: u64, buf: &mut [u8]) -> usize {
        let inner = self.lock();
        let mut at = pc;
        let want = pc.saturating_add(buf.len() as u64);
        while at < want {
            match inner.map.find(at) {
                Some(vma) if vma.prot & prot::EXEC != 0 => at = vma.end.min(want),
                _ => break,
            }
        }
        let mut len = (at - pc) as usize;
        while len > 0 {
            // SAFETY: `len` is at most the buffer's length; the source may fault (a file cut short).
            match unsafe { guarded::copy_from(buf.as_mut_ptr(), self.host(pc), len) } {
                Ok(()) => {
                    crate::gdb::overlay(pc, &mut buf[..len]);
                    return len;
                }
                // Take what is before the fault, if the fault is in the range at all.
                Err(fault) => {
                    let good = fault.addr.wrapping_sub(self.host(pc));
                    len = if good < len { good } else { 0 };
                }
            }
        }
        0
    }

    fn code_object(&self, addr: u64) -> Option<u64> {
        let inner = self.lock();
        let vma = inner.map.find(addr)?;
        let fits = vma.kind == Kind::File && !vma.shared && vma.prot & (prot::WRITE | prot::EXEC) == prot::EXEC;
        fits.then_some(vma.start)
    }

    fn protect_code_page(&self, page: u64) {
        let page = page & !(PAGE - 1);
        let mut inner = self.lock();
        // Writes through another view of a shared file change this code, too.
        for at in std::iter::once(page).chain(self.views(&inner, page)) {
            let writable = inner.map.find(at).is_some_and(|vma| vma.prot & prot::WRITE != 0);
            if writable && inner.code_pages.insert(at) {
                let all = self.pages.around(at);
                let _ = self.pages.mprotect(&all, libc::PROT_READ as usize);
            }
        }
    }

    fn release_code_page(&self, addr: u64) -> bool {
        let page = addr & !(PAGE - 1);
        let mut inner = self.lock();
        let all = self.pages.around(addr);
        let protected: Vec<u64> = inner.code_pages.range(all).copied().collect();
        if !protected.is_empty() {
            let views: Vec<u64> = protected.iter().flat_map(|&page| self.views(&inner, page)).collect();
            for &at in protected.iter().take(1).chain(&views) {
                self.release_page(&mut inner, at);
            }
            self.unlock(inner);
            if let Some(engine) = self.engine() {
                views.iter().for_each(|&at| engine.invalidate(at, PAGE));
            }
            return self.pages.page == PAGE || self.allows(addr, prot::WRITE);
        }
        // Another thread may have lifted it since the fault. A write that changes nothing tells whether one works now.
        let writable = inner.map.find(page).is_some_and(|vma| vma.prot & prot::WRITE != 0);
        // SAFETY: a guest page; the access changes no byte and its fault is caught.
        writable && unsafe { guarded::cmpxchg8(self.host(addr), 0, 0) }.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space() -> AddressSpace {
        guarded::install().unwrap();
        let here = 0u8;
        AddressSpace::new(0, Layout::x86_64(&raw const here as u64))
    }

    const RW: u8 = prot::READ | prot::WRITE;

    fn anonymous(place: Place, len: u64) -> Request {
        Request::anonymous(place, len, RW, Kind::Anonymous)
    }

    #[test]
    fn own_memory_is_never_mapped_over() {
        let space = space();
        let ours = Box::new([0x55u8; 8192]);
        let at = (&raw const *ours as u64 + 4095) & !4095;
        assert_eq!(space.map(&anonymous(Place::Fixed(at), 4096)), Err(Errno::ENOMEM));
        assert_eq!(space.map(&anonymous(Place::Free(at), 4096)), Err(Errno::EEXIST));
        let elsewhere = space.map(&anonymous(Place::Hint(at), 4096)).unwrap();
        assert_ne!(elsewhere, at);
        // Nor unmapped or protected.
        assert_eq!(space.unmap(at, 4096), Ok(()));
        assert_eq!(space.protect(at, 4096, 0), Err(Errno::ENOMEM));
        assert!(ours.iter().all(|&b| b == 0x55));
    }

    #[test]
    fn fixed_replaces_guest_mappings_and_failures_undo() {
        let space = space();
        let a = space.map(&anonymous(Place::Any, 0x4000)).unwrap();
        // SAFETY: just mapped.
        unsafe { guarded::store64(a as usize + 0x1000, 7).unwrap() };
        assert_eq!(space.map(&anonymous(Place::Fixed(a + 0x1000), 0x1000)), Ok(a + 0x1000));
        // SAFETY: just mapped.
        assert_eq!(unsafe { guarded::load64(a as usize + 0x1000) }, Ok(0));
        assert_eq!(space.map(&anonymous(Place::Free(a), 0x1000)), Err(Errno::EEXIST));
        assert_eq!(space.map(&anonymous(Place::Fixed(a + 1), 0x1000)), Err(Errno::EINVAL));
        assert_eq!(space.map(&anonymous(Place::Fixed(0x7fff_ffff_f000), 0x1000)), Err(Errno::ENOMEM));
        assert_eq!(space.map(&anonymous(Place::Any, u64::MAX)), Err(Errno::ENOMEM));
        assert_eq!(space.map(&anonymous(Place::Any, 0)), Err(Errno::EINVAL));
        let bad_fd = Request { fd: 12345, flags: libc::MAP_PRIVATE, kind: Kind::File, ..anonymous(Place::Any, 0x1000) };
        let before = space.vmas();
        assert_eq!(space.map(&bad_fd), Err(Errno::EBADF));
        assert_eq!(space.vmas(), before);
        space.unmap(a, 0x4000).unwrap();
        // SAFETY: an unmapped address.
        assert!(unsafe { guarded::load8(a as usize) }.is_err());
        assert_eq!(space.map(&Request { place: Place::Low, ..anonymous(Place::Any, 0x1000) }).map(|a| a >> 31), Ok(0));
    }

    #[test]
    fn break_grows_and_shrinks() {
        let space = space();
        let start = 0x4100_0000_0123;
        space.set_brk_start(start);
        assert_eq!(space.brk(0), start);
        assert_eq!(space.brk(start + 0x5000), start + 0x5000);
        // SAFETY: below the break.
        unsafe { guarded::store8(start as usize + 0x4fff, 1).unwrap() };
        assert_eq!(space.brk(start + 0x1000), start + 0x1000);
        // SAFETY: an unmapped address.
        assert!(unsafe { guarded::load8(start as usize + 0x4fff) }.is_err());
        assert_eq!(space.brk(u64::MAX), start + 0x1000);
        assert_eq!(space.brk(start - 1), start + 0x1000);
    }

    #[test]
    fn code_pages_are_protected_until_written() {
        let space = space();
        let request = Request { prot: RW | prot::EXEC, ..anonymous(Place::Any, 0x3000) };
        let a = space.map(&request).unwrap();
        let mut buf = [1u8; 16];
        assert_eq!(space.fetch(a + 0x2ff8, &mut buf), 8);
        assert_eq!(buf, [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
        space.protect_code_page(a + 0x1000);
        // SAFETY: guest memory.
        unsafe {
            assert!(guarded::store8(a as usize + 0x1234, 1).is_err());
            assert_eq!(space.next_code_page(a, a + 0x3000), Some(a + 0x1000));
            assert!(space.release_code_page(a + 0x1234));
            guarded::store8(a as usize + 0x1234, 1).unwrap();
            // A second thread that faulted at the same time is told to try again, too.
            assert!(space.release_code_page(a + 0x1234));
            space.protect(a, 0x3000, prot::READ).unwrap();
            assert!(!space.release_code_page(a + 0x1234));
            assert_eq!(space.fetch(a, &mut buf), 0);
        }
    }
}
