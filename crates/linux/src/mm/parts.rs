//! Host pages that several guest mappings share.
//!
//! Problem: guest pages have 4 KiB, the host's may have 16 or 64, and the host maps, protects and forgets whole ones. Approach: mappings whose
//! place is ours to choose get host pages of their own, at addresses congruent to their file offsets, so that only what a program
//! places itself (ELF segments, MAP_FIXED, brk(2), munmap(2) and mprotect(2) of parts) can share one. A shared host page is *private memory*; a
//! part that is newly mapped is filled by hand, with zeros or from the file. It is unmapped when its last guest page is.
//!
//! *Permissions* of a shared host page are the union of its guest pages', so that nothing legal faults; what is too much is caught where
//! Demotic itself looks (system calls' structures), not in guest code.
//!
//! *Copies* of file contents remember a mapping of the file elsewhere ([`Source`]): /proc/self/maps finds the file by it, and MADV_DONTNEED
//! the contents.
//!
//! *MAP_SHARED* cannot be copied. Parts of one file, each at its place, share a host page; beside anything else only reserved memory (private,
//! anonymous, PROT_NONE, never written) may be, and has to stay that. The rest is EINVAL and a line on standard error.
//!
//! With pages of 4 KiB nothing here ever runs: every range is one of whole host pages.

use super::host::HostPages;
use super::map::{Kind, Map, Vma, prot};
use super::space::{AddressSpace, Inner, MAP_FIXED, Request, file_id, host_prot, is_shared};
use crate::errno::Errno;
use crate::uaccess::PAGE;
use demotic_host::{guarded, sys};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// A mapping of a file in Demotic's own memory, to copy from.
#[derive(Debug)]
pub(super) struct Source {
    at: usize,
    len: usize,
}

impl Source {
    /// Maps what `request` wants of its file. Errors are those that the guest's mmap(2) gets.
    fn map(request: &Request, len: u64, page: u64) -> Result<(Source, usize), Errno> {
        let skip = request.offset % page;
        let len = usize::try_from(len + skip).map_err(|_| Errno::ENOMEM)?;
        let (flags, offset) = (request.flags | libc::MAP_NORESERVE, (request.offset - skip) as libc::off64_t);
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let at = unsafe { libc::mmap64(std::ptr::null_mut(), len, libc::PROT_READ, flags, request.fd, offset) };
        if at == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        Ok((Source { at: at as usize, len }, at as usize + skip as usize))
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // SAFETY: the mapping is this object's.
        unsafe { libc::munmap(self.at as *mut libc::c_void, self.len) };
    }
}

/// Which guest pages are copies of file contents, and of what: by first address.
#[derive(Debug, Default)]
pub(super) struct Copies(BTreeMap<u64, Copied>);

#[derive(Clone, Debug)]
struct Copied {
    end: u64,
    /// Host address of the contents of the first page.
    at: usize,
    /// `None`: the file is not at hand any more, the copy is all that there is.
    source: Option<Arc<Source>>,
}

impl Copies {
    fn insert(&mut self, range: Range<u64>, at: usize, source: Option<Arc<Source>>) {
        self.remove(&range);
        self.0.insert(range.start, Copied { end: range.end, at, source });
    }

    /// The copies in a range: each part of it with the host address of its contents.
    fn within(&self, range: &Range<u64>) -> Vec<(Range<u64>, usize, Option<Arc<Source>>)> {
        let below = self.0.range(..range.start).next_back();
        let all = below.into_iter().chain(self.0.range(range.clone()));
        all.filter(|(_, c)| c.end > range.start)
            .map(|(&start, c)| {
                let from = start.max(range.start);
                (from..c.end.min(range.end), c.at.wrapping_add((from - start) as usize), c.source.clone())
            })
            .collect()
    }

    /// Where the contents of the page at `addr` come from.
    pub(super) fn find(&self, addr: u64) -> Option<usize> {
        let (start, copied) = self.0.range(..=addr).next_back()?;
        (addr < copied.end && copied.source.is_some()).then(|| copied.at + (addr - start) as usize)
    }

    /// Forgets a range; sources that nothing is a copy of any more are unmapped.
    pub(super) fn remove(&mut self, range: &Range<u64>) {
        if self.0.is_empty() {
            return;
        }
        let first = self.0.range(..range.start).next_back().filter(|(_, c)| c.end > range.start).map(|(&k, _)| k);
        let keys: Vec<u64> = first.into_iter().chain(self.0.range(range.clone()).map(|(&k, _)| k)).collect();
        for key in keys {
            let Some(old) = self.0.remove(&key) else { continue };
            if old.end > range.end {
                let at = old.at.wrapping_add((range.end - key) as usize);
                self.0.insert(range.end, Copied { at, ..old.clone() });
            }
            if key < range.start {
                self.0.insert(key, Copied { end: range.start, ..old });
            }
        }
    }
}

/// The host pages at the ends of a range that hold guest pages outside of it, too.
pub(super) fn mixed(pages: &HostPages, map: &Map, range: &Range<u64>) -> Vec<u64> {
    if pages.is_whole(range) || range.is_empty() {
        return Vec::new();
    }
    let mut ends = vec![pages.down(range.start), pages.down(range.end - 1)];
    ends.dedup();
    ends.retain(|&page| {
        let end = page + pages.page;
        !map.is_free(page..range.start.max(page)) || !map.is_free(range.end.min(end)..end)
    });
    ends
}

/// The host pages of a range but for those in `mixed`: one range, which may be empty.
pub(super) fn whole(pages: &HostPages, range: &Range<u64>, mixed: &[u64]) -> Range<u64> {
    let mut cover = pages.cover(range);
    if mixed.contains(&cover.start) {
        cover.start += pages.page;
    }
    if cover.start < cover.end && mixed.contains(&(cover.end - pages.page)) {
        cover.end -= pages.page;
    }
    cover.start..cover.end.max(cover.start)
}

/// Says why a call fails that works on hosts with small pages.
fn refuse(what: &str, at: u64, errno: Errno) -> Errno {
    demotic_host::log::line(format_args!("demotic: {what} at {at:#x}: not possible with the pages of this host"));
    errno
}

/// Both offset and address of a request are multiples of the guest's page; whether the host can map the file there.
fn is_congruent(pages: &HostPages, start: u64, request: &Request) -> bool {
    request.fd < 0 || (start ^ request.offset) & (pages.page - 1) == 0
}

impl AddressSpace {
    /// Where in a host page a mapping has to start so that the host can map the file itself.
    pub(super) fn phase(&self, request: &Request) -> u64 {
        if request.fd < 0 { 0 } else { request.offset & (self.pages.page - 1) }
    }

    /// The host pages of a range of guest mappings that hold nothing else of the guest's.
    pub(super) fn own_pages(&self, range: &Range<u64>) -> Range<u64> {
        let mixed = mixed(&self.pages, &self.lock().map, range);
        whole(&self.pages, range, &mixed)
    }

    /// The host's part of a mapping whose place is claimed. True if permissions have to be set ([`Self::apply`]) once the list knows of it.
    pub(super) fn establish(&self, inner: &mut Inner, range: &Range<u64>, request: &Request) -> Result<bool, Errno> {
        let congruent = is_congruent(&self.pages, range.start, request);
        let flags = request.flags | MAP_FIXED;
        if self.pages.is_whole(range) && congruent {
            self.pages.mmap(range, host_prot(request.prot), flags, request.fd, request.offset)?;
            inner.copies.remove(range);
            return Ok(false);
        }
        let mixed = mixed(&self.pages, &inner.map, range);
        if is_shared(request.flags) {
            return self.establish_shared(inner, range, request, congruent, &mixed).map(|()| true);
        }
        for &page in &mixed {
            if self.others(inner, page, range).any(|v| v.shared) && (request.prot != 0 || request.fd >= 0) {
                return Err(refuse("private memory in a host page of shared memory", range.start, Errno::EINVAL));
            }
        }
        let len = range.end - range.start;
        let source = if request.fd >= 0 && (!congruent || !mixed.is_empty()) {
            let (source, at) = Source::map(request, len, self.pages.page)?;
            Some((Arc::new(source), at))
        } else {
            None
        };
        let whole = whole(&self.pages, range, &mixed);
        if !whole.is_empty() {
            if congruent {
                let offset = request.offset.wrapping_add(whole.start).wrapping_sub(range.start);
                let offset = if request.fd < 0 { 0 } else { offset };
                self.pages.mmap(&whole, host_prot(request.prot), flags, request.fd, offset)?;
            } else {
                let flags = flags | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
                self.pages.mmap(&whole, host_prot(prot::READ | prot::WRITE), flags, -1, 0)?;
            }
        }
        inner.copies.remove(range);
        let at = source.as_ref().map(|(_, at)| *at);
        let part = |pages: &Range<u64>| pages.start.max(range.start)..pages.end.min(range.end);
        let mut filled: Vec<Range<u64>> = Vec::new();
        if !congruent && !whole.is_empty() {
            filled.push(part(&whole));
        }
        for &page in &mixed {
            if self.others(inner, page, range).any(|v| v.shared) {
                continue;
            }
            self.open(inner, page)?;
            self.detach(inner, page, range)?;
            filled.push(part(&(page..page + self.pages.page)));
        }
        for part in filled {
            let at = at.map(|at| at + (part.start - range.start) as usize);
            self.fill(&part, at)?;
            if let (Some((source, _)), Some(at)) = (&source, at) {
                inner.copies.insert(part, at, Some(source.clone()));
            }
        }
        Ok(true)
    }

    fn establish_shared(
        &self,
        inner: &mut Inner,
        range: &Range<u64>,
        request: &Request,
        congruent: bool,
        mixed: &[u64],
    ) -> Result<(), Errno> {
        if !congruent {
            return Err(refuse("shared memory of a file", range.start, Errno::EINVAL));
        }
        let file = if request.fd >= 0 { file_id(request.fd) } else { None };
        let shift = range.start.wrapping_sub(request.offset);
        let mut same = Vec::new();
        for &page in mixed {
            let is_same =
                |v: &Vma| v.shared && file.is_some() && v.file == file && v.start.wrapping_sub(v.offset) == shift;
            let reserved = |v: &Vma| !v.shared && v.prot == 0 && v.kind != Kind::File;
            if self.others(inner, page, range).all(is_same) {
                same.push(page);
            } else if !self.others(inner, page, range).all(reserved) || !self.is_blank(inner, page, range) {
                return Err(refuse("shared memory in a host page of other memory", range.start, Errno::EINVAL));
            }
        }
        let whole = whole(&self.pages, range, &same);
        if !whole.is_empty() {
            let offset = request.offset.wrapping_add(whole.start).wrapping_sub(range.start);
            let offset = if request.fd < 0 { 0 } else { offset };
            let flags = request.flags | MAP_FIXED;
            self.pages.mmap(&whole, host_prot(request.prot), flags, request.fd, offset)?;
        }
        inner.copies.remove(range);
        Ok(())
    }

    /// The areas in a host page that reach out of `range`.
    fn others<'a>(&self, inner: &'a Inner, page: u64, range: &Range<u64>) -> impl Iterator<Item = &'a Vma> + use<'a> {
        let end = page + self.pages.page;
        let (low, high) = (page..range.start.max(page), range.end.min(end)..end);
        inner.map.overlapping(low).chain(inner.map.overlapping(high))
    }

    /// Whether nothing was ever written into the guest pages of a host page outside of `range`.
    fn is_blank(&self, inner: &mut Inner, page: u64, range: &Range<u64>) -> bool {
        let mut bytes = [0u8; PAGE as usize];
        let all = page..page + self.pages.page;
        let blank = self.pages.mprotect(&all, libc::PROT_READ as usize).is_ok()
            && all.clone().step_by(PAGE as usize).filter(|at| !range.contains(at)).all(|at| {
                self.read_page(self.pages.at(at), &mut bytes);
                bytes.iter().all(|&b| b == 0)
            });
        let _ = self.apply(inner, &all);
        blank
    }

    /// Makes a shared host page writable for Demotic. Translations of its code are dropped when the list is unlocked; [`Self::apply`] closes it.
    fn open(&self, inner: &mut Inner, page: u64) -> Result<(), Errno> {
        let range = page..page + self.pages.page;
        if inner.code_pages.range(range.clone()).next().is_some() {
            self.forget_code(inner, &range);
            inner.stale.push(range.clone());
        }
        self.pages.mprotect(&range, (libc::PROT_READ | libc::PROT_WRITE) as usize)
    }

    /// What can be read of a page, zeros for the rest.
    fn read_page(&self, at: usize, bytes: &mut [u8; PAGE as usize]) {
        // SAFETY: the destination has the length; the source may fault.
        if unsafe { guarded::copy_from(bytes.as_mut_ptr(), at, bytes.len()) }.is_err() {
            bytes.fill(0);
        }
    }

    /// Gives open guest pages their contents: zeros, or those at host address `from`. Pages that have them already are not touched.
    fn fill(&self, part: &Range<u64>, from: Option<usize>) -> Result<(), Errno> {
        let (mut wanted, mut present) = ([0u8; PAGE as usize], [0u8; PAGE as usize]);
        for page in part.clone().step_by(PAGE as usize) {
            if let Some(from) = from {
                self.read_page(from + (page - part.start) as usize, &mut wanted);
            }
            let at = self.pages.at(page);
            self.read_page(at, &mut present);
            if wanted != present {
                // SAFETY: guest memory; faults are caught.
                unsafe { guarded::copy_to(at, wanted.as_ptr(), wanted.len()) }.map_err(|_| Errno::ENOMEM)?;
            }
        }
        Ok(())
    }

    /// Before a part of a host page is filled: if the host maps a file there, memory of its own with the same contents takes its place. Who writes
    /// meanwhile faults, and waits for the list.
    fn detach(&self, inner: &mut Inner, page: u64, range: &Range<u64>) -> Result<(), Errno> {
        let all = page..page + self.pages.page;
        let files: Vec<Range<u64>> = self
            .others(inner, page, range)
            .filter(|v| v.kind == Kind::File)
            .map(|v| v.start.max(all.start)..v.end.min(all.end))
            .filter(|part| inner.copies.within(part).is_empty())
            .collect();
        if files.is_empty() {
            return Ok(());
        }
        self.pages.mprotect(&all, libc::PROT_READ as usize)?;
        let (len, prot) = (self.pages.page as usize, libc::PROT_READ | libc::PROT_WRITE);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let room = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, -1, 0) };
        if room == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let (room, mut bytes) = (room as usize, [0; PAGE as usize]);
        for at in all.clone().step_by(PAGE as usize) {
            self.read_page(self.pages.at(at), &mut bytes);
            // SAFETY: the room is ours and has the length.
            unsafe {
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), (room + (at - page) as usize) as *mut u8, bytes.len());
            }
        }
        let flags = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) as usize;
        // SAFETY: our memory goes in place of a guest mapping.
        Errno::from_ret(unsafe { sys::syscall6(libc::SYS_mremap, [room, len, len, flags, self.pages.at(page), 0]) })?;
        files.into_iter().for_each(|part| inner.copies.insert(part, 0, None));
        Ok(())
    }

    /// The host's permissions for a host page, by the list; `None` if no guest page of it is mapped.
    fn permissions(&self, inner: &Inner, page: u64) -> Option<usize> {
        let range = page..page + self.pages.page;
        let all = inner.map.overlapping(range.clone()).map(|v| host_prot(v.prot)).reduce(|a, b| a | b)?;
        let code = inner.code_pages.range(range).next().is_some();
        Some(if code { all & !(libc::PROT_WRITE as usize) } else { all })
    }

    /// Gives the host pages of a range the permissions that the list says.
    pub(super) fn apply(&self, inner: &Inner, range: &Range<u64>) -> Result<(), Errno> {
        let cover = self.pages.cover(range);
        let mut run: Option<(Range<u64>, usize)> = None;
        let mut at = cover.start;
        while at < cover.end {
            // As far as one area goes without protected code, else one host page.
            let code = inner.code_pages.range(at..cover.end).next().map_or(cover.end, |&page| self.pages.down(page));
            let area = inner.map.find(at).filter(|v| self.pages.down(v.end) > at && code > at);
            let (end, wanted) = match area {
                Some(v) => (self.pages.down(v.end).min(code).min(cover.end), Some(host_prot(v.prot))),
                None => (at + self.pages.page, self.permissions(inner, at)),
            };
            match (&mut run, wanted) {
                (Some((range, prot)), Some(wanted)) if *prot == wanted && range.end == at => range.end = end,
                (_, wanted) => {
                    if let Some((range, prot)) = run.take() {
                        self.pages.mprotect(&range, prot)?;
                    }
                    run = wanted.map(|wanted| (at..end, wanted));
                }
            }
            at = end;
        }
        run.map_or(Ok(()), |(range, prot)| self.pages.mprotect(&range, prot))
    }

    /// Changes the permissions of a range of guest mappings, on the host and in the list.
    pub(super) fn protect_part(&self, inner: &mut Inner, part: &Range<u64>, prot: u8) -> Result<(), Errno> {
        if self.pages.is_whole(part) {
            self.pages.mprotect(part, host_prot(prot))?;
            self.forget_code(inner, part);
            inner.map.protect(part.clone(), prot);
            return Ok(());
        }
        // Reserved memory beside shared memory has no memory of its own.
        let cover = self.pages.cover(part);
        for page in [cover.start, cover.end - self.pages.page] {
            let all = page..page + self.pages.page;
            let mine = part.start.max(page)..part.end.min(all.end);
            let is_shared = |range: Range<u64>| inner.map.overlapping(range).any(|v| v.shared);
            let is_private = inner.map.overlapping(mine).any(|v| !v.shared && v.prot == 0);
            if prot != 0 && is_private && is_shared(all) {
                return Err(refuse("reserved memory in a host page of shared memory", part.start, Errno::ENOMEM));
            }
        }
        let old: Vec<Vma> = inner.map.overlapping(part.clone()).copied().collect();
        self.forget_code(inner, part);
        inner.map.protect(part.clone(), prot);
        let result = self.apply(inner, part);
        if result.is_err() {
            old.into_iter().for_each(|vma| inner.map.insert(vma));
            let _ = self.apply(inner, part);
        }
        result
    }

    /// Unmaps a range of guest mappings, on the host and in the list.
    pub(super) fn remove_part(&self, inner: &mut Inner, part: &Range<u64>) -> Result<(), Errno> {
        let mixed = mixed(&self.pages, &inner.map, part);
        let whole = whole(&self.pages, part, &mixed);
        if !whole.is_empty() {
            self.pages.munmap(&whole)?;
        }
        self.forget_code(inner, part);
        inner.map.remove(part.clone());
        inner.copies.remove(part);
        for page in mixed {
            // Fewer permissions may be needed now; errors would only leave too many.
            let _ = self.apply(inner, &(page..page + self.pages.page));
        }
        Ok(())
    }

    /// MADV_DONTNEED of a range of guest mappings in pages larger than the guest's.
    pub(super) fn discard(&self, inner: &mut Inner, part: &Range<u64>) -> Result<(), Errno> {
        let copies = inner.copies.within(part);
        let mut at = part.start;
        let mut rest = Vec::new();
        for (range, ..) in &copies {
            rest.push(at..range.start);
            at = range.end;
        }
        rest.push(at..part.end);
        for (range, from, source) in copies {
            if source.is_some() {
                self.refill(inner, &range, Some(from))?;
            }
        }
        for range in rest.into_iter().filter(|r| !r.is_empty()) {
            let mixed = mixed(&self.pages, &inner.map, &range);
            let whole = whole(&self.pages, &range, &mixed);
            if !whole.is_empty() {
                self.pages.call(libc::SYS_madvise, &whole, libc::MADV_DONTNEED as usize)?;
            }
            for page in mixed {
                let mine = range.start.max(page)..range.end.min(page + self.pages.page);
                let all = page..page + self.pages.page;
                if inner.map.overlapping(all).any(|v| v.shared) {
                    continue;
                }
                let parts: Vec<Range<u64>> = inner
                    .map
                    .overlapping(mine.clone())
                    .filter(|v| !v.shared && v.kind != Kind::File)
                    .map(|v| v.start.max(mine.start)..v.end.min(mine.end))
                    .collect();
                for part in parts {
                    self.refill(inner, &part, None)?;
                }
            }
        }
        Ok(())
    }

    /// [`Self::fill`] for pages that are not open, nor wholly the range's.
    fn refill(&self, inner: &mut Inner, range: &Range<u64>, from: Option<usize>) -> Result<(), Errno> {
        let cover = self.pages.cover(range);
        for page in cover.clone().step_by(self.pages.page as usize) {
            self.open(inner, page)?;
        }
        let result = self.fill(range, from);
        self.apply(inner, &cover)?;
        result
    }

    /// Makes an area longer in place, where pages are larger than the guest's. False if that cannot be.
    pub(super) fn grow_part(&self, inner: &mut Inner, vma: &Vma, old: &Range<u64>, end: u64) -> bool {
        if !vma.shared && vma.kind != Kind::File {
            // The rest of the last host page is filled by hand. Further ones the host adds: what is mapped anew beside the old ones may be another mapping to it,
            // and could not be moved together with them (mremap(2) of several is EFAULT before Linux 6.17).
            let rest = old.end..self.pages.up(old.end).min(end);
            if !rest.is_empty() {
                let place = super::Place::Free(rest.start);
                let request = Request::anonymous(place, rest.end - rest.start, vma.prot, vma.kind);
                if self.map_locked(inner, &request).is_err() {
                    return false;
                }
            }
            let more = rest.end..end;
            if more.is_empty() {
                return true;
            }
            let (last, page) = (more.start - self.pages.page, self.pages.page);
            if self.pages.mremap(last, page, self.pages.up(more.end) - last, 0, 0).is_err() {
                let _ = self.remove_part(inner, &rest);
                return false;
            }
            inner.map.insert(Vma { start: more.start, end: more.end, ..*vma });
            return self.apply(inner, &more).is_ok();
        }
        // The last host page tells the host what to go on with.
        let last = self.pages.down(old.end - 1);
        let alone = self.others(inner, last, old).next().is_none() && inner.copies.find(old.end - 1).is_none();
        let new = self.pages.up(end) - last;
        if !alone {
            return false;
        }
        if new > self.pages.page && self.pages.mremap(last, self.pages.page, new, 0, 0).is_err() {
            return false;
        }
        inner.map.insert(Vma { end, ..*vma });
        true
    }

    /// Moves a mapping where pages are larger than the guest's; the target is claimed. The list is changed.
    pub(super) fn move_part(
        &self,
        inner: &mut Inner,
        old: &Range<u64>,
        target: &Range<u64>,
        moved: Vma,
        keep: bool,
    ) -> Result<(), Errno> {
        const MREMAP: u64 = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) as u64;
        let is_alone = |inner: &Inner, range: &Range<u64>| mixed(&self.pages, &inner.map, range).is_empty();
        let fits = (old.start ^ target.start) & (self.pages.page - 1) == 0
            && is_alone(inner, old)
            && is_alone(inner, target)
            && inner.copies.within(old).is_empty();
        if fits {
            let (from, to) = (self.pages.cover(old), self.pages.cover(target));
            let old_len = if old.is_empty() { 0 } else { from.end - from.start };
            let flags = MREMAP | if keep { 4 } else { 0 };
            self.pages.mremap(from.start, old_len, to.end - to.start, flags, to.start)?;
            if !keep {
                inner.map.remove(old.clone());
            }
            inner.copies.remove(target);
            inner.map.insert(moved);
            return Ok(());
        }
        let longer = target.end - target.start > old.end - old.start;
        let beside_shared = inner.map.overlapping(self.pages.cover(old)).any(|v| v.shared);
        if beside_shared || old.is_empty() || moved.kind == Kind::File && (longer || keep) {
            return Err(refuse("mremap", old.start, Errno::EINVAL));
        }
        // Mapping claims what nobody has.
        self.give_back(&self.free_pages(inner, target));
        let place = super::Place::Fixed(target.start);
        let request = Request::anonymous(place, target.end - target.start, prot::READ | prot::WRITE, moved.kind);
        self.map_locked(inner, &request)?;
        for page in self.pages.cover(old).step_by(self.pages.page as usize) {
            self.open(inner, page)?;
        }
        let len = (old.end - old.start).min(target.end - target.start);
        let sources = inner.copies.within(old);
        self.fill(&(target.start..target.start + len), Some(self.pages.at(old.start)))?;
        for (range, at, source) in sources {
            let start = target.start + (range.start - old.start);
            let end = (start + (range.end - range.start)).min(target.end);
            if start < end {
                inner.copies.insert(start..end, at, source);
            }
        }
        inner.map.insert(moved);
        self.apply(inner, target)?;
        self.apply(inner, old)?;
        if keep { self.refill(inner, old, None) } else { self.remove_part(inner, old) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::space::{Layout, Place};
    use super::*;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::FileExt;

    const PAGES: u64 = 48;
    const HOST: u64 = 16384;

    fn space(page: u64) -> AddressSpace {
        guarded::install().unwrap();
        let here = 0u8;
        AddressSpace::on_pages(0, Layout::x86_64(&raw const here as u64), page)
    }

    /// A file whose every page holds its own number.
    fn file() -> std::fs::File {
        // SAFETY: a constant name; a fresh descriptor.
        let file: std::fs::File = unsafe { std::os::fd::FromRawFd::from_raw_fd(libc::memfd_create(c"t".as_ptr(), 0)) };
        for n in 0..PAGES {
            file.write_all_at(&[n as u8 + 1; PAGE as usize], n * PAGE).unwrap();
        }
        file
    }

    fn on_file(place: Place, file: &std::fs::File, first: u64, len: u64, prot: u8, flags: i32) -> Request {
        let anonymous = Request::anonymous(place, len, prot, Kind::File);
        Request { flags, fd: file.as_raw_fd(), offset: first * PAGE, ..anonymous }
    }

    #[test]
    fn agrees_with_an_array_of_bytes() {
        const RW: u8 = prot::READ | prot::WRITE;
        let (space, file) = (space(HOST), file());
        let base = space.map(&Request::anonymous(Place::Any, PAGES * PAGE, 0, Kind::Anonymous)).unwrap();
        assert_eq!(base % HOST, 0);
        space.unmap(base, PAGES * PAGE).unwrap();
        // What every guest page should be: permissions, and the number that all its bytes have.
        let mut model = [None::<(u8, u8)>; PAGES as usize];
        let mut seed = 0x1234_5678_9abc_def1u64;
        let mut next = move |n: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % n
        };
        for round in 0..3000 {
            let first = next(PAGES);
            let count = 1 + next((PAGES - first).min(9));
            let (at, len) = (base + first * PAGE, count * PAGE);
            let pages = first as usize..(first + count) as usize;
            let prot = [0, prot::READ, RW, RW][next(4) as usize];
            match next(6) {
                0 => {
                    let request = Request::anonymous(Place::Fixed(at), len, prot, Kind::Anonymous);
                    assert_eq!(space.map(&request), Ok(at));
                    model[pages].fill(Some((prot, 0)));
                }
                1 => {
                    let from = next(PAGES - count + 1);
                    let request = on_file(Place::Fixed(at), &file, from, len, prot, libc::MAP_PRIVATE);
                    assert_eq!(space.map(&request), Ok(at));
                    for (page, n) in pages.zip(from..) {
                        model[page] = Some((prot, n as u8 + 1));
                    }
                }
                2 => {
                    space.unmap(at, len).unwrap();
                    model[pages].fill(None);
                }
                3 => {
                    let whole = model[pages.clone()].iter().all(Option::is_some);
                    assert_eq!(space.protect(at, len, prot).is_ok(), whole);
                    for page in pages {
                        let Some(page) = &mut model[page] else { break };
                        page.0 = prot;
                    }
                }
                4 => {
                    for (page, at) in pages.zip((at..).step_by(PAGE as usize)) {
                        if let Some((RW, value)) = &mut model[page] {
                            *value = round as u8;
                            // SAFETY: guest memory; faults are caught.
                            unsafe {
                                guarded::copy_to(at as usize, [*value; PAGE as usize].as_ptr(), PAGE as usize).unwrap()
                            };
                        }
                    }
                }
                _ => {
                    // Anonymous memory only: what comes back of a private file may be the copy that there is.
                    let mut inner = space.lock();
                    let parts = inner.map.covered(at..at + len);
                    let is_file = inner.map.overlapping(at..at + len).any(|v| v.kind == Kind::File);
                    if !is_file {
                        for part in parts {
                            space.discard(&mut inner, &part).unwrap();
                        }
                        model[pages].iter_mut().flatten().for_each(|page| page.1 = 0);
                    }
                    space.unlock(inner);
                }
            }
            let mut bytes = [0u8; PAGE as usize];
            for (page, at) in model.iter().zip((base..).step_by(PAGE as usize)) {
                assert_eq!(space.find(at).map(|v| v.prot), page.map(|p| p.0), "round {round}, {at:x}");
                if let Some((1.., value)) = *page {
                    // SAFETY: the destination has the length; faults are caught.
                    unsafe { guarded::copy_from(bytes.as_mut_ptr(), at as usize, bytes.len()).unwrap() };
                    assert!(bytes.iter().all(|&b| b == value), "round {round}, {at:x}: {} for {value}", bytes[0]);
                }
            }
            // A host page without a guest page is nobody's.
            for (pages, at) in model.chunks(4).zip((base..).step_by(HOST as usize)) {
                // SAFETY: faults are caught.
                assert!(pages.iter().any(Option::is_some) || unsafe { guarded::load8(at as usize) }.is_err());
            }
        }
    }

    #[test]
    fn mappings_without_a_wish_are_alone_and_at_their_offset() {
        let (space, file) = (space(HOST), file());
        let any = |first| on_file(Place::Any, &file, first, PAGE, prot::READ, libc::MAP_SHARED);
        let (a, b) = (space.map(&any(5)).unwrap(), space.map(&any(6)).unwrap());
        assert_eq!((a % HOST, b % HOST), (PAGE, 2 * PAGE));
        assert_ne!(a / HOST, b / HOST);
        // The next page of the same file may join, another thing may not.
        let request = on_file(Place::Fixed(a + PAGE), &file, 6, PAGE, prot::READ, libc::MAP_SHARED);
        assert_eq!(space.map(&request), Ok(a + PAGE));
        let request = Request::anonymous(Place::Fixed(a + 2 * PAGE), PAGE, prot::READ, Kind::Anonymous);
        assert_eq!(space.map(&request), Err(Errno::EINVAL));
        // SAFETY: guest memory; faults are caught.
        assert_eq!(unsafe { (guarded::load8(a as usize), guarded::load8(a as usize + 4096)) }, (Ok(6), Ok(7)));
        space.unmap(a, 2 * PAGE).unwrap();
        // SAFETY: as above.
        assert!(unsafe { guarded::load8(a as usize) }.is_err());
    }

    #[test]
    fn what_grew_is_one_mapping_to_the_host() {
        let space = space(HOST);
        // As a guest's mmap(2) has it: with memory set aside.
        let plain = |len| Request {
            flags: libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            ..Request::anonymous(Place::Any, len, prot::READ | prot::WRITE, Kind::Anonymous)
        };
        let room = space.map(&plain(40 * PAGE)).unwrap();
        space.unmap(room, 40 * PAGE).unwrap();
        let start = space.map(&Request { place: Place::Fixed(room), ..plain(3 * PAGE) }).unwrap();
        // SAFETY: guest memory; faults are caught.
        unsafe { guarded::store8(start as usize, 1).unwrap() };
        let mut inner = space.lock();
        let vma = *inner.map.find(start).unwrap();
        assert!(space.grow_part(&mut inner, &vma, &(start..start + 3 * PAGE), start + 30 * PAGE));
        assert_eq!(inner.map.find(start).map(|v| (v.start, v.end)), Some((start, start + 30 * PAGE)));
        drop(inner);
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let line = maps.lines().find(|line| line.starts_with(&format!("{start:x}-"))).unwrap();
        assert!(line.starts_with(&format!("{start:x}-{:x} rw", start + 32 * PAGE)), "{line}");
        // SAFETY: as above.
        unsafe {
            assert_eq!(guarded::load8(start as usize + 0x1d000), Ok(0));
            guarded::store8(start as usize + 0x1dfff, 1).unwrap();
        }
        space.unmap(start, 30 * PAGE).unwrap();
    }

    #[test]
    fn the_break_moves_inside_a_host_page() {
        let space = space(65536);
        let start = 0x4200_0000_5123;
        space.set_brk_start(start);
        assert_eq!(space.brk(start + 0x3000), start + 0x3000);
        // SAFETY: guest memory; faults are caught.
        unsafe { guarded::store8(start as usize + 0x2f00, 1).unwrap() };
        assert_eq!(space.brk(start), start);
        assert_eq!(space.brk(start + 0x30000), start + 0x30000);
        // SAFETY: as above.
        assert_eq!(unsafe { guarded::load8(start as usize + 0x2f00) }, Ok(0));
    }
}
