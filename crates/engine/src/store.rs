//! Translated units in code memory: placing, linking, invalidating.
//!
//! A *region* is one piece of code memory with the runtime at its start; units are placed behind each other. When a region is full, a
//! fresh one is begun and the old one goes as soon as no thread is inside: every thread holds on to the region that it runs in,
//! and links never lead from one region to another, so nobody gets into an old region again.
//!
//! Linking: the branch of a direct edge is patched when its target is translated in the same region. Invalidating a unit overwrites the
//! entries of its blocks with branches to their pre-entries, unlinks the edges that lead there, and takes it out of the maps. A thread
//! inside goes on to the next block edge, as a processor may that has already fetched the old bytes. Its place in memory is not
//! used again in this region, so return addresses on shadow stacks and entries in the threads' tables stay harmless: they
//! lead to an overwritten entry.
//!
//! No table says where guest instructions begin in the host code. What is kept of a unit besides its code: the guest bytes it was made from
//! and what the analysis knew of the flags behind its blocks, from which it can be emitted once more ([`Meta::unit`]).
//!
//! Lock order: the store's, the runtime's, the target's; code memory has its own inside.

use crate::cache::PAGE;
use crate::checked::Written;
use crate::entries::{Entries, Links};
use crate::hosts;
use crate::image::Image;
use crate::meta::{self, BlockMeta, Meta, Table, TermMeta, Variant, pack, unpack};
use demotic_codegen::target::Target;
use demotic_codegen::{Arithmetic, Compiled, EdgeKind, Emitter, Precision, Request, Runtime, Stub};
use demotic_host::code::{Code, Mapping};
use demotic_ir::block::{Term, Unit};
use demotic_ir::state::Mode;
use demotic_x86::unit::Limits;
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Invalid operations after which a unit's arithmetic looks at every result.
const MANY_NANS: u32 = 8;

/// What a translation is found by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Key {
    /// Guest address.
    pub pc: u64,
    /// Mode of the code.
    pub mode: Mode,
    /// Variant: see [`Request::arithmetic`].
    pub arithmetic: Arithmetic,
}

/// The code memory of one region, kept alive by the threads inside.
#[derive(Debug)]
pub(crate) struct RegionCode {
    pub code: Code,
    pub runtime: Arc<Runtime>,
}

impl RegionCode {
    /// Host address of a stub.
    pub fn stub(&self, stub: Stub) -> usize {
        self.code.start() + self.runtime.stubs[stub as usize] as usize
    }
    /// Host address of the way in.
    pub fn enter(&self) -> usize {
        self.code.start() + self.runtime.enter as usize
    }
}

impl Drop for RegionCode {
    fn drop(&mut self) {
        crate::interrupt::forget(self.code.start());
    }
}

/// A region and what is in it.
#[derive(Debug)]
pub(crate) struct Region {
    pub code: Arc<RegionCode>,
    pub used: usize,
    /// What an earlier process has translated, at its beginning.
    pub image: Option<Image>,
    /// By address, and whether it can be entered. One that was invalidated stays where it is, its metadata may still be needed by a thread inside.
    pub units: Vec<(Arc<Meta>, bool)>,
    /// How many of them were there when an image was made last.
    pub kept: usize,
    /// Their addresses alone, for the search.
    hosts: Vec<usize>,
    /// How they were made.
    variants: Vec<Arc<Variant>>,
    /// Buffers.
    table: Table,
    source: Vec<u8>,
    /// Of the units' blocks.
    pub entries: Entries,
    /// Units with code on a guest page, by index.
    pub pages: FxHashMap<u64, Vec<u32>>,
    /// Linked edges, not those inside the image.
    incoming: Links,
}

#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub regions: Vec<Region>,
    refused: FxHashSet<Key>,
    /// Blocks of units with accesses that turned out to be misaligned.
    misaligned: FxHashSet<u64>,
    /// Blocks of units whose arithmetic had invalid operations, and how often.
    nans: FxHashMap<u64, u32>,
    /// How often code was written to, by units of [`Store::granule`].
    written: FxHashMap<u64, Written>,
}

/// What the translated code costs, for measurements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Guest bytes translated.
    pub guest: usize,
    /// Host code in bytes.
    pub code: usize,
    /// Everything else in bytes.
    pub metadata: usize,
    /// Units.
    pub units: usize,
}

/// The translated units of one address space.
pub(crate) struct Store {
    pub emitter: &'static dyn Emitter,
    pub target: Mutex<Target>,
    inner: Mutex<Inner>,
    size: usize,
    mapping: Option<Mapping>,
    faults_shown: AtomicBool,
    runtime: Mutex<Option<Arc<Runtime>>>,
    /// Raised by every invalidation, so that a translation of old bytes is not kept.
    pub generation: AtomicU64,
    /// How often blocks were interpreted, by a hash of their address. One that shares its count with others is translated a little sooner.
    early: Box<[AtomicU8]>,
    /// What is protected against writes as one ([`crate::GuestSpace::granule`]).
    granule: u64,
    /// How often [`Store::relenting`] was asked.
    asked: AtomicU32,
}

/// Counts of visits; a power of two.
const EARLY: usize = 1 << 14;

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("size", &self.size).finish_non_exhaustive()
    }
}

/// A way into translated code.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// A block's entry.
    In(usize),
    /// The emitter refused it.
    Refused,
    /// Not translated yet.
    Missing,
}

impl Store {
    pub fn new(emitter: &'static dyn Emitter, target: Target, config: &crate::Config, granule: u64) -> Store {
        Store {
            emitter,
            target: Mutex::new(target),
            inner: Mutex::default(),
            size: config.region,
            mapping: config.mapping,
            faults_shown: AtomicBool::new(config.faults_shown),
            runtime: Mutex::new(None),
            generation: AtomicU64::new(0),
            early: (0..EARLY).map(|_| AtomicU8::new(0)).collect(),
            granule,
            asked: AtomicU32::new(0),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Host and memory order to translate for now.
    pub fn target(&self) -> Target {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How exact flags have to be in translations made now.
    pub fn precision(&self) -> Precision {
        if self.faults_shown.load(Ordering::Acquire) { hosts::PRECISION } else { hosts::UNSEEN }
    }

    /// From now on faults show the flags. Whether that makes a difference: then the caller drops what there is.
    pub fn show_faults(&self) -> bool {
        !self.faults_shown.swap(true, Ordering::AcqRel) && hosts::PRECISION != hosts::UNSEEN
    }

    /// Runs `fork` while nobody changes the store; the child, for which it gives 0, gets its own code memory.
    /// `shares_files`: both have one table of descriptors afterwards, so the child closes those of its code memory for both.
    pub fn forked<E>(&self, shares_files: bool, fork: impl FnOnce() -> Result<u64, E>) -> Result<u64, E> {
        let inner = self.lock();
        // A lock that another thread holds for a moment would stay locked in the child.
        let _runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        let _target = self.target.lock().unwrap_or_else(PoisonError::into_inner);
        let copies: Vec<_> = inner.regions.iter().map(|r| r.code.code.copy(r.used)).collect();
        let pid = fork()?;
        if pid != 0 && shares_files {
            std::mem::forget(copies);
        } else if pid == 0 {
            for (region, copy) in inner.regions.iter().zip(copies) {
                if let Err(e) = copy.and_then(|copy| region.code.code.adopt(&copy, region.used)) {
                    demotic_host::log::line(format_args!("demotic: no code memory after fork: {e}"));
                    std::process::abort();
                }
            }
        }
        Ok(pid)
    }

    /// To be taken before guest code is read for a translation.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The current region; `None` when there is no code memory to be had.
    pub fn current(&self) -> Option<Arc<RegionCode>> {
        let mut inner = self.lock();
        if inner.regions.is_empty() {
            let region = self.region()?;
            inner.regions.push(region);
        }
        inner.regions.last().map(|r| r.code.clone())
    }

    /// A fresh region.
    fn region(&self) -> Option<Region> {
        let code = Code::new(self.size, self.mapping).ok()?;
        let mut cached = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        let runtime = cached.get_or_insert_with(|| Arc::new(self.emitter.runtime(&self.target()))).clone();
        code.write(0, &runtime.code);
        let used = runtime.code.len().next_multiple_of(64);
        if !crate::interrupt::remember(code.start(), code.size(), &runtime) {
            return None;
        }
        Some(Region {
            code: Arc::new(RegionCode { code, runtime }),
            used,
            image: None,
            units: Vec::new(),
            kept: 0,
            hosts: Vec::new(),
            variants: Vec::new(),
            table: Table::default(),
            source: Vec::new(),
            entries: Entries::default(),
            pages: FxHashMap::default(),
            incoming: Links::default(),
        })
    }

    /// The way into the block of that key, if it is in the region `code`.
    pub fn find(&self, code: &Arc<RegionCode>, key: Key) -> Way {
        let inner = self.lock();
        match inner.regions.last() {
            Some(r) if Arc::ptr_eq(&r.code, code) => match r.entry(key) {
                Some(host) => Way::In(host),
                None if inner.refused.contains(&key) => Way::Refused,
                None => Way::Missing,
            },
            _ => Way::Missing,
        }
    }

    /// Whether a block is translated in the current region.
    pub fn is_known(&self, key: Key) -> bool {
        self.lock().regions.last().is_some_and(|r| r.knows(key))
    }

    /// Whether a block that is about to run is to be interpreted this time, as it has run less than `patience` times. Counts.
    pub fn is_early(&self, key: Key, patience: u8) -> bool {
        let count = &self.early[(key.pc ^ key.pc >> 14) as usize % EARLY];
        let times = count.load(Ordering::Relaxed);
        if times >= patience {
            return false;
        }
        let inner = self.lock();
        // A program that is not run for the first time will be run again, so what is new is worth translating.
        let known = inner.regions.last().is_some_and(|r| r.image.is_some() || r.knows(key));
        // Code that is checked instead of protected is not read from copies.
        let checked = || inner.written.get(&(key.pc / self.granule)).is_some_and(Written::is_checked);
        if known || inner.refused.contains(&key) || checked() {
            return false;
        }
        // Threads that count at the same time may lose one.
        count.store(times + 1, Ordering::Relaxed);
        true
    }

    /// Notes that a block is for the interpreter.
    pub fn refuse(&self, key: Key) {
        self.lock().refused.insert(key);
    }

    /// Places a unit, unless something was invalidated since `generation`: then false. `pages`: the guest pages that the translation depends on;
    /// `bytes` gives the guest bytes at an address again. `None` when there is no room for it at all.
    #[expect(clippy::too_many_arguments, reason = "what a translation consists of")]
    pub fn insert(
        &self,
        unit: &Unit,
        compiled: &mut Compiled,
        request: Request,
        limits: Limits,
        generation: u64,
        pages: &[u64],
        bytes: &mut dyn FnMut(u64, &mut [u8]) -> usize,
    ) -> Option<bool> {
        let mut inner = self.lock();
        if self.generation() != generation {
            return Some(false);
        }
        let len = compiled.code.len();
        let full = inner.regions.last().is_none_or(|r| r.used + len + 64 > r.code.code.size());
        if full {
            let region = self.region()?;
            if region.used + len + 64 > region.code.code.size() {
                return None;
            }
            // Regions with threads inside stay until those come out.
            inner.regions.retain(|r| Arc::strong_count(&r.code) > 1);
            inner.regions.push(region);
        }
        let region = inner.regions.last_mut()?;
        region.place(self.emitter, unit, compiled, request, limits, pages, bytes);
        Some(true)
    }

    /// Places a unit that does not come from guest bytes, alone in a fresh region.
    pub fn insert_given(&self, unit: &Unit, compiled: &mut Compiled, request: Request) -> bool {
        self.flush();
        let mut inner = self.lock();
        let Some(region) = inner.regions.last_mut() else { return false };
        region.place(self.emitter, unit, compiled, request, Limits::default(), &[], &mut |_, _| 0);
        if let Some(meta) = region.units.last_mut().and_then(|(m, _)| Arc::get_mut(m)) {
            let given = Some(Box::new(unit.clone()));
            meta.variant = Arc::new(Variant { given, ..(*meta.variant).clone() });
        }
        true
    }

    /// What the unit at a host address is.
    pub fn meta(&self, host: usize) -> Option<Arc<Meta>> {
        self.lock().regions.iter_mut().find_map(|r| r.meta_at(host))
    }

    /// The guest address that the edge whose branch ends before `after` leads to, and the address and kind of the branch. When that is a checked
    /// unit's way of saying that its bytes have changed, the unit is dropped.
    pub fn edge(&self, after: usize) -> Option<(Key, usize, EdgeKind)> {
        let meta = self.meta(after - 1)?;
        let offset = (after - meta.host) as u32;
        let e = meta.edges().take_while(|e| e.at < offset).last()?;
        if meta.is_checked() && meta.pc() == e.pc {
            let mut inner = self.lock();
            if let Some(w) = inner.written.get_mut(&(e.pc / self.granule)) {
                w.changed();
            }
            for region in inner.regions.iter_mut() {
                region.drop_unit_at(self.emitter, meta.host);
            }
        }
        Some((meta.key(e.pc), meta.host + e.at as usize, e.kind))
    }

    /// The key of the block whose pre-entry contains `after - 1`.
    pub fn stale(&self, after: usize) -> Option<Key> {
        let meta = self.meta(after - 1)?;
        let offset = (after - meta.host) as u32;
        let b = match offset.checked_sub(meta.pre_entries).filter(|_| meta.pre_entries != 0) {
            Some(past) => meta.blocks().nth((past as usize / 4).checked_sub(1)?)?,
            None => meta.blocks().filter(|b| b.entry >= offset).min_by_key(|b| b.entry)?,
        };
        Some(meta.key(b.pc))
    }

    /// Whether the indirect branch whose way out was called before `after` leaves flags to be rebuilt.
    pub fn hands_on_flags(&self, after: usize) -> bool {
        hosts::UNSEEN == Precision::Relaxed
            && self.meta(after - 1).is_some_and(|meta| meta.variant.request.precision == Precision::Relaxed)
    }

    /// Whether the block whose entry is at a host address may read flags that were set before it.
    pub fn reads_flags(&self, entry: usize) -> bool {
        let Some(meta) = self.meta(entry) else { return true };
        let offset = (entry - meta.host) as u32;
        meta.blocks().find(|b| b.entry == offset).is_none_or(|b| unpack(b.flags).2)
    }

    /// The terminal whose call ends before `after`.
    pub fn term(&self, after: usize) -> Option<TermMeta> {
        let meta = self.meta(after - 1)?;
        meta.term((after - meta.host) as u32)
    }

    /// Lets the edge at `from` lead to the entry of `key`, when both are in the current region.
    pub fn link(&self, from: usize, kind: EdgeKind, key: Key) {
        let mut inner = self.lock();
        let Some(region) = inner.regions.last_mut() else { return };
        let Some(to) = region.entry(key) else { return };
        let start = region.code.code.start();
        if !region.is_alive(from) {
            return;
        }
        let Some(there) = region.way_in(kind, to) else { return };
        if let Some(patch) = self.emitter.edge(kind, from as u64, there as u64, true) {
            region.code.code.patch(from - start, &patch.bytes[..usize::from(patch.len)]);
            region.note_link(from, kind, to);
        }
    }

    /// Where calls of the block with this entry come in.
    pub fn call_entry(&self, entry: usize) -> Option<usize> {
        self.lock().regions.last_mut()?.way_in(EdgeKind::Call, entry)
    }

    /// Drops a unit and remembers that it has accesses that ordered instructions cannot do where they are.
    pub fn misaligned(&self, meta: &Meta) {
        let mut inner = self.lock();
        let Inner { regions, misaligned, .. } = &mut *inner;
        misaligned.extend(meta.blocks().map(|b| b.pc));
        for region in regions.iter_mut() {
            region.drop_unit_at(self.emitter, meta.host);
        }
    }

    /// Notes that arithmetic of a unit was given up for an invalid operation; drops the unit when that has happened often enough.
    pub fn invalid_operation(&self, meta: &Meta) {
        let mut inner = self.lock();
        let Inner { regions, nans, .. } = &mut *inner;
        let times = nans.entry(meta.pc()).or_default();
        *times += 1;
        if *times == MANY_NANS {
            for b in meta.blocks() {
                nans.insert(b.pc, MANY_NANS);
            }
            for region in regions.iter_mut() {
                region.drop_unit_at(self.emitter, meta.host);
            }
        }
    }

    /// Whether the unit at `pc` is to look at every result.
    pub fn has_nans(&self, pc: u64) -> bool {
        self.lock().nans.get(&pc).is_some_and(|n| *n >= MANY_NANS)
    }

    /// Notes that a guest wrote into a page with translated code.
    pub fn written(&self, addr: u64) {
        self.lock().written.entry(addr / self.granule).or_insert_with(Written::new).again();
    }

    /// Pages whose code was checked and has not changed for a while, by first address: from now on it is protected again, and the caller drops what there is
    /// of it. To be called for every translation; looks now and then.
    pub fn relenting(&self) -> Vec<u64> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % 16 != 0 {
            return Vec::new();
        }
        let (mut inner, now) = (self.lock(), Instant::now());
        let all = inner.written.iter_mut().filter_map(|(page, w)| w.relents(now).then_some(page * self.granule));
        all.collect()
    }

    /// What is protected against writes as one, in bytes.
    pub fn granule(&self) -> u64 {
        self.granule
    }

    /// Whether code at `pc` is to be checked before it runs instead of being protected against writes.
    pub fn is_checked(&self, pc: u64) -> bool {
        self.lock().written.get(&(pc / self.granule)).is_some_and(Written::is_checked)
    }

    /// Whether the unit at `pc` is to do without instructions that need alignment.
    pub fn is_misaligned(&self, pc: u64) -> bool {
        self.lock().misaligned.contains(&pc)
    }

    /// Drops all units with code in a range of guest addresses.
    pub fn invalidate(&self, start: u64, len: u64) {
        if len == 0 {
            return;
        }
        let mut inner = self.lock();
        self.generation.fetch_add(1, Ordering::AcqRel);
        let (first, last) = (start / PAGE, start.saturating_add(len - 1) / PAGE);
        let Inner { regions, refused, .. } = &mut *inner;
        refused.retain(|k| !(first..=last).contains(&(k.pc / PAGE)));
        for region in regions.iter_mut() {
            region.invalidate(self.emitter, first, last);
        }
    }

    /// Drops everything: the next translation begins a fresh region.
    pub fn flush(&self) {
        let mut inner = self.lock();
        self.generation.fetch_add(1, Ordering::AcqRel);
        inner.refused.clear();
        for region in &mut inner.regions {
            region.invalidate(self.emitter, 0, u64::MAX);
        }
        if let Some(region) = self.region() {
            inner.regions.retain(|r| Arc::strong_count(&r.code) > 1);
            inner.regions.push(region);
        }
    }

    /// Drops what is only right as long as nobody else sees the guest's memory.
    pub fn drop_alone(&self) {
        let mut inner = self.lock();
        self.generation.fetch_add(1, Ordering::AcqRel);
        for region in &mut inner.regions {
            region.drop_alone(self.emitter);
        }
    }

    /// The translations that can be entered.
    pub fn units(&self) -> Vec<Arc<Meta>> {
        let inner = self.lock();
        inner.regions.iter().flat_map(|r| &r.units).filter(|u| u.1).map(|u| u.0.clone()).collect()
    }

    /// What the current contents cost.
    pub fn footprint(&self) -> Footprint {
        let inner = self.lock();
        let mut f = Footprint::default();
        for region in &inner.regions {
            for (meta, _) in region.units.iter().filter(|u| u.1) {
                f.units += 1;
                f.guest += meta.blocks().map(|b| usize::from(b.len)).sum::<usize>();
                f.code += meta.len as usize;
                f.metadata += meta.size();
            }
            f.metadata += region.image.as_ref().map_or(0, Image::size);
            f.metadata += region.entries.size() + region.incoming.size();
            f.metadata += region.pages.capacity() * (size_of::<(u64, Vec<u32>)>() + 1)
                + region.pages.values().map(|v| v.capacity() * 4).sum::<usize>();
        }
        f
    }
}

impl Region {
    fn unit_at(&self, host: usize) -> Option<&(Arc<Meta>, bool)> {
        let n = self.hosts.partition_point(|start| *start <= host);
        let found = self.units.get(n.checked_sub(1)?)?;
        (host < found.0.host + found.0.len as usize).then_some(found)
    }

    /// The branch at host address `from` leads to the entry at `to` from now on.
    fn note_link(&mut self, from: usize, kind: EdgeKind, to: usize) {
        let start = self.code.code.start();
        self.incoming.insert((from - start) as u32, kind, (to - start) as u32);
    }

    /// What the unit at a host address is.
    fn meta_at(&mut self, host: usize) -> Option<Arc<Meta>> {
        if let Some((meta, _)) = self.unit_at(host) {
            return Some(meta.clone());
        }
        let start = self.code.code.start();
        self.image.as_mut()?.meta_at(host.checked_sub(start)?, start)
    }

    /// Whether there is a unit at a host address that can be entered.
    fn is_alive(&self, host: usize) -> bool {
        match (self.unit_at(host), &self.image) {
            (Some((_, alive)), _) => *alive,
            (None, Some(image)) => image.is_alive(host.wrapping_sub(self.code.code.start())),
            (None, None) => false,
        }
    }

    /// Host address of the entry of a block.
    fn entry(&self, key: Key) -> Option<usize> {
        let offset = match self.entries.get(key) {
            Some(offset) => offset as usize,
            None => self.image.as_ref()?.entry(key)?,
        };
        Some(self.code.code.start() + offset)
    }

    /// Whether a block is translated, or may turn out to be.
    fn knows(&self, key: Key) -> bool {
        self.entries.contains(key) || self.image.as_ref().is_some_and(|i| i.has(key))
    }

    /// Where an edge of this kind comes in that leads to the block with this entry.
    fn way_in(&mut self, kind: EdgeKind, entry: usize) -> Option<usize> {
        if kind == EdgeKind::Jump || !hosts::CALLS_ELSEWHERE {
            return Some(entry);
        }
        let find = |meta: &Meta| Some(meta.host + meta.call_entry((entry - meta.host) as u32)? as usize);
        match self.unit_at(entry) {
            Some((meta, _)) => find(meta),
            None => find(&*self.meta_at(entry)?),
        }
    }

    fn place(
        &mut self,
        emitter: &dyn Emitter,
        unit: &Unit,
        compiled: &mut Compiled,
        request: Request,
        limits: Limits,
        pages: &[u64],
        bytes: &mut dyn FnMut(u64, &mut [u8]) -> usize,
    ) {
        let start = self.code.code.start();
        let offset = self.used;
        let host = start + offset;
        for reloc in &compiled.relocs {
            let to = self.code.runtime.stubs[reloc.stub as usize];
            let fixup = demotic_asm::buffer::Fixup { at: reloc.at, label: Default::default(), field: reloc.field };
            let distance = i64::from(to) - offset as i64;
            // Regions are far smaller than the reach of these fields.
            let _ = demotic_asm::buffer::patch_to(&mut compiled.code, fixup, distance);
        }
        // Edges to what is there already are linked before anybody runs into them.
        for edge in &compiled.edges {
            let key = Key { pc: edge.pc, mode: unit.mode, arithmetic: request.arithmetic };
            let Some(to) = self.entry(key) else { continue };
            let Some(there) = self.way_in(edge.kind, to) else { continue };
            let from = host + edge.at as usize;
            if let Some(patch) = emitter.edge(edge.kind, from as u64, there as u64, true) {
                let at = edge.at as usize;
                compiled.code[at..at + usize::from(patch.len)].copy_from_slice(&patch.bytes[..usize::from(patch.len)]);
                self.note_link(from, edge.kind, to);
            }
        }
        self.code.code.write(offset, &compiled.code);
        self.used = (offset + compiled.code.len()).next_multiple_of(16);
        let index = self.units.len() as u32;
        let Region { table, source, .. } = self;
        table.clear();
        source.clear();
        table.number(unit.blocks.len() as u64);
        for (n, (block, &entry)) in unit.blocks.iter().zip(&compiled.entries).enumerate() {
            let len = block.end.wrapping_sub(block.pc).min(2048) as usize;
            // Where an instruction could not be translated, its bytes count, too.
            let more = match block.term {
                Term::Fault { .. } | Term::FetchFault { .. } | Term::Unimplemented { .. } => 16,
                _ => 0,
            };
            let from = source.len();
            source.resize(from + len + more, 0);
            let got = bytes(block.pc, &mut source[from..]);
            source.truncate(from + got);
            table.block(&BlockMeta {
                pc: block.pc,
                entry,
                run_into: compiled.calls.get(n).is_some_and(|call| call + 4 != entry),
                bytes: got as u16,
                len: len as u16,
                flags: pack(block.live_out, block.landing, block.reads),
            });
            let key = Key { pc: block.pc, mode: unit.mode, arithmetic: request.arithmetic };
            self.entries.insert(key, offset as u32 + entry);
        }
        // Also the pages that were only looked at for live flags.
        for &page in pages {
            self.pages.entry(page).or_default().push(index);
        }
        table.number(compiled.edges.len() as u64);
        compiled.edges.iter().for_each(|e| table.edge(e));
        table.number(compiled.terms.len() as u64);
        for t in &compiled.terms {
            let block = &unit.blocks[t.block as usize];
            let at = block.marks.last().map_or(block.pc, |m| m.pc);
            table.term(&TermMeta { after: t.after, term: t.term, at });
        }
        table.source(source);
        let variant = Variant { mode: unit.mode, request, limits, alone: compiled.alone, given: None };
        let meta = Meta {
            host,
            pre_entries: compiled.pre_entries,
            len: compiled.code.len() as u32,
            variant: meta::shared(&mut self.variants, variant),
            table: table.bytes().into(),
        };
        self.units.push((Arc::new(meta), true));
        self.hosts.push(host);
    }

    fn invalidate(&mut self, emitter: &dyn Emitter, first: u64, last: u64) {
        let mut hit: Vec<u32> = if last - first < self.pages.len() as u64 {
            (first..=last).filter_map(|p| self.pages.remove(&p)).flatten().collect()
        } else {
            let pages: Vec<u64> = self.pages.keys().copied().filter(|p| (first..=last).contains(p)).collect();
            pages.iter().filter_map(|p| self.pages.remove(p)).flatten().collect()
        };
        hit.sort_unstable();
        hit.dedup();
        for index in hit {
            self.drop_unit(emitter, index as usize);
        }
        let start = self.code.code.start();
        let gone = self.image.as_mut().map(|i| i.invalidate(first, last, start)).unwrap_or_default();
        gone.iter().for_each(|meta| self.retire(emitter, meta));
    }

    fn drop_unit_at(&mut self, emitter: &dyn Emitter, host: usize) {
        let start = self.code.code.start();
        if let Ok(index) = self.hosts.binary_search(&host) {
            self.drop_unit(emitter, index);
        } else if let (Some(image), Some(offset)) = (&mut self.image, host.checked_sub(start)) {
            if let Some(meta) = image.drop_unit_at(offset, start) {
                self.retire(emitter, &meta);
            }
        }
    }

    fn drop_unit(&mut self, emitter: &dyn Emitter, index: usize) {
        let (meta, alive) = &mut self.units[index];
        if std::mem::replace(alive, false) {
            let meta = meta.clone();
            self.retire(emitter, &meta);
        }
    }

    /// Drops what is only right as long as nobody else sees the guest's memory.
    pub(crate) fn drop_alone(&mut self, emitter: &dyn Emitter) {
        for index in 0..self.units.len() {
            if self.units[index].0.variant.alone {
                self.drop_unit(emitter, index);
            }
        }
        let start = self.code.code.start();
        let gone = self.image.as_mut().map(|i| i.drop_alone(start)).unwrap_or_default();
        gone.iter().for_each(|meta| self.retire(emitter, meta));
    }

    /// Overwrites the entries of a unit and unlinks what leads there.
    fn retire(&mut self, emitter: &dyn Emitter, meta: &Meta) {
        let start = self.code.code.start();
        for (n, b) in meta.blocks().enumerate() {
            let entry = meta.host + b.entry as usize;
            let distance = match meta.pre_entries {
                0 => -4,
                first => i64::from(first) + 4 * n as i64 - i64::from(b.entry),
            };
            let stale = emitter.stale(distance);
            self.code.code.patch(entry - start, &stale.bytes[..usize::from(stale.len)]);
            let offset = (entry - start) as u32;
            self.entries.remove(meta.key(b.pc), offset);
            while let Some((from, kind)) = self.incoming.take(offset) {
                let from = start + from as usize;
                let stub = match kind {
                    EdgeKind::Jump => Stub::EdgeJump,
                    EdgeKind::Call => Stub::EdgeCall,
                };
                if let Some(patch) = emitter.edge(kind, from as u64, self.code.stub(stub) as u64, false) {
                    self.code.code.patch(from - start, &patch.bytes[..usize::from(patch.len)]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_survive_packing() {
        for flags in 0..4096 {
            let flags = flags & demotic_ir::state::eflags::ARITH;
            for (a, b) in [(false, true), (true, false), (true, true)] {
                assert_eq!(unpack(pack(flags, a, b)), (flags, a, b));
            }
        }
    }
}
