//! Translations that outlive a process: the contents of a region as bytes, and such bytes in the region of a later process.
//!
//! Code in a region refers to nothing but the region itself (the runtime at its start, other units), so a region written to a file and
//! read back at another address runs as it is. What may have changed meanwhile is the guest's memory. Therefore the units are in
//! *groups*, one for each mapping of a file that their code is in, with a digest of every guest page that was looked at for
//! their sake. A group sleeps until control gets to an address of it; then its pages are protected as for any translation
//! and compared, all of them, and the group wakes up or is dead. Edges inside a group are linked when the image is made and all others are not,
//! so after one comparison of pages a whole program runs without a lookup.
//!
//! Invariants: code of a sleeping or dead group is in no table and no link leads to it. A write to a page of an awake group, or its
//! unmapping, kills the group as a whole: its entries lead to their pre-entries from then on. Metadata of a unit is decoded when
//! somebody asks for it; that of units without entries is kept as long as code may lead to their pre-entries.
//!
//! An image is bound to one build of Demotic, one processor and one variant of translations by the digest over all of it, which begins
//! with the shelf's identity ([`Shelf::identity`]). What passes that is trusted as far as code goes; the tables are read with
//! bounds checks nevertheless.

use crate::GuestSpace;
use crate::cache::PAGE;
use crate::meta::{self, Meta, Variant};
use crate::store::Key;
use demotic_codegen::target::{Order, Target};
use demotic_codegen::x87::Significand;
use demotic_codegen::{Arithmetic, Precision, Request, Runtime};
use demotic_host::map::Room;
use demotic_ir::state::Mode;
use demotic_x86::features::Features;
use demotic_x86::unit::Limits;
use rustc_hash::{FxHashMap, FxHashSet};
use std::ops::Range;
use std::sync::Arc;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};
use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Where images are kept between processes; implemented by the personality, which knows files and users.
pub trait Shelf: Send + Sync {
    /// What an image must have been made with to be of use: the build of Demotic, the guest program, the processor.
    fn identity(&self) -> u64;
    /// The image of a variant, if there is one.
    fn load(&self, variant: u64) -> Option<Room>;
    /// Keeps an image. Nobody is told when that is not possible.
    fn save(&self, variant: u64, image: &[u8]);
}

const MAGIC: [u8; 8] = *b"dmtcimg8";

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    /// Of everything behind it.
    digest: U64,
    /// Of the runtime's code.
    runtime: U64,
    /// Offsets in the region: of the first byte of code in the image, and behind the last.
    from: U32,
    used: U32,
    /// How many of each follow, in this order; bytes of records.
    groups: U32,
    pages: U32,
    entries: U32,
    units: U32,
    records: U32,
    /// 1 when others saw the guest's memory at the end.
    shared: U32,
    /// How many slots for finding entries stand behind the units: see [`slot_of`].
    slots: U32,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
struct GroupRow {
    /// Start of the mapping.
    object: U64,
    /// How many pages, in order.
    pages: U32,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
struct PageRow {
    page: U64,
    digest: U64,
}

/// A block that can be entered; sorted by `pc`, then `kind`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
struct EntryRow {
    pc: U64,
    /// See [`kind_of`].
    kind: u8,
    /// Offset in the region.
    at: U32,
    /// Index of its unit.
    unit: U32,
}

/// A unit; sorted by `at`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy)]
#[repr(C)]
struct UnitRow {
    /// Offset in the region.
    at: U32,
    /// Bytes of code.
    len: U32,
    /// Offset of its record.
    record: U32,
    group: U32,
    /// Whether it is for one thread only: see [`demotic_codegen::Compiled::alone`].
    alone: u8,
}

/// Digest of the executable bytes of a page.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// The bits of a key's byte that are the variant: those that are clear in all modes.
const ARITHMETIC: u8 = 15;

/// Mode and variant of a key in one byte.
fn kind_of(key: Key) -> u8 {
    key.mode as u8 | key.arithmetic as u8
}

fn mode_of(kind: u8) -> Option<Mode> {
    [Mode::Long, Mode::Compat32, Mode::Compat16].into_iter().find(|m| *m as u8 == kind & !ARITHMETIC)
}

fn arithmetic_of(kind: u8) -> Option<Arithmetic> {
    Arithmetic::ALL.get(usize::from(kind & ARITHMETIC)).copied()
}

/// Where the search for an entry begins among as many slots as a power of two, which have numbers of entries, counted from 1, and 0 where there is none.
/// An entry whose slot is taken is in the next free one. A binary search would miss the processor's caches at nearly every step.
fn slot_of(pc: u64, kind: u8, slots: usize) -> usize {
    let hash = (pc ^ u64::from(kind) << 56).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> 32) as usize & (slots - 1)
}

/// What is known of a group's pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// Not compared yet.
    Asleep,
    /// As they were.
    Awake,
    /// Changed.
    Dead,
}

/// Units of one mapping.
#[derive(Debug)]
pub(crate) struct Group {
    /// Start of the mapping.
    pub object: u64,
    pub state: State,
    /// Numbers and digests of its pages, in order.
    pub pages: Vec<(u64, u64)>,
}

impl Group {
    fn overlaps(&self, first: u64, last: u64) -> bool {
        let n = self.pages.partition_point(|p| p.0 < first);
        self.pages.get(n).is_some_and(|p| p.0 <= last)
    }
}

/// An image at the beginning of a region.
pub(crate) struct Image {
    /// All of it but the code.
    bytes: Room,
    entries: Range<usize>,
    units: Range<usize>,
    slots: Range<usize>,
    records: Range<usize>,
    /// Offset in the region behind its code.
    used: usize,
    pub groups: Vec<Group>,
    /// Units dropped one by one.
    dropped: FxHashSet<u32>,
    metas: FxHashMap<u32, Arc<Meta>>,
    variants: Vec<Arc<Variant>>,
    /// What requests of its units say besides what their records do.
    target: Target,
    /// Whether others saw the guest's memory in the end: they will again.
    pub shared: bool,
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Image").field("groups", &self.groups).finish_non_exhaustive()
    }
}

impl Image {
    /// Reads an image. Its code goes to `place` with the offset in the region where it belongs, which says whether it does. `None` when the image is not
    /// for this region.
    pub fn parse(
        mut bytes: Room,
        identity: u64,
        runtime: &Runtime,
        target: Target,
        place: impl FnOnce(usize, &[u8]) -> bool,
    ) -> Option<Image> {
        let (header, rest) = Header::ref_from_prefix(&bytes[..]).ok()?;
        let behind = &bytes[16..];
        if header.magic != MAGIC
            || header.digest.get() != xxh3_64_with_seed(behind, identity)
            || header.runtime.get() != digest(&runtime.code)
        {
            return None;
        }
        let count = |n: U32| n.get() as usize;
        let (groups, rest) = <[GroupRow]>::ref_from_prefix_with_elems(rest, count(header.groups)).ok()?;
        let (pages, rest) = <[PageRow]>::ref_from_prefix_with_elems(rest, count(header.pages)).ok()?;
        let mut at = bytes.len() - rest.len();
        let mut section = |len: usize| {
            let range = at..at.checked_add(len)?;
            at = range.end;
            (at <= bytes.len()).then_some(range)
        };
        let entries = section(count(header.entries).checked_mul(size_of::<EntryRow>())?)?;
        let units = section(count(header.units).checked_mul(size_of::<UnitRow>())?)?;
        let slots = count(header.slots);
        // At least one of them has to be free, or a search would not end.
        if !slots.is_power_of_two() || slots <= count(header.entries) {
            return None;
        }
        let slots = section(slots.checked_mul(size_of::<U32>())?)?;
        let records = section(count(header.records))?;
        let (from, used) = (count(header.from), count(header.used));
        let code = section(used.checked_sub(from)?)?;
        let mut left = pages;
        let mut all = Vec::with_capacity(groups.len());
        for row in groups {
            let (own, others) = left.split_at_checked(count(row.pages))?;
            left = others;
            let pages = own.iter().map(|p| (p.page.get(), p.digest.get())).collect();
            all.push(Group { object: row.object.get(), state: State::Asleep, pages });
        }
        let shared = header.shared.get() != 0;
        if !place(from, &bytes[code.clone()]) {
            return None;
        }
        bytes.truncate(code.start);
        Some(Image {
            bytes,
            entries,
            units,
            slots,
            records,
            used,
            groups: all,
            dropped: FxHashSet::default(),
            metas: FxHashMap::default(),
            variants: Vec::new(),
            target,
            shared,
        })
    }

    fn entry_rows(&self) -> &[EntryRow] {
        <[EntryRow]>::ref_from_bytes(&self.bytes[self.entries.clone()]).unwrap_or_default()
    }

    fn unit_rows(&self) -> &[UnitRow] {
        <[UnitRow]>::ref_from_bytes(&self.bytes[self.units.clone()]).unwrap_or_default()
    }

    fn state(&self, group: U32) -> State {
        self.groups.get(group.get() as usize).map_or(State::Dead, |g| g.state)
    }

    fn row(&self, key: Key) -> Option<(&EntryRow, &UnitRow)> {
        let (rows, kind) = (self.entry_rows(), kind_of(key));
        let slots = <[U32]>::ref_from_bytes(&self.bytes[self.slots.clone()]).ok()?;
        let first = slot_of(key.pc, kind, slots.len());
        let entry =
            slots[first..].iter().chain(&slots[..first]).map(|slot| slot.get().checked_sub(1)).find_map(|n| {
                // Nothing more is to be found behind a free one.
                let Some(n) = n else { return Some(None) };
                let entry = rows.get(n as usize)?;
                (entry.pc.get() == key.pc && entry.kind == kind).then_some(Some(entry))
            })??;
        let unit = self.unit_rows().get(entry.unit.get() as usize)?;
        (!self.dropped.contains(&entry.unit.get())).then_some((entry, unit))
    }

    /// Offset in the region of the entry of a block that can be entered.
    pub fn entry(&self, key: Key) -> Option<usize> {
        let (entry, unit) = self.row(key)?;
        (self.state(unit.group) == State::Awake).then_some(entry.at.get() as usize)
    }

    /// Whether there is a translation that can be entered, or may be when its group has woken up.
    pub fn has(&self, key: Key) -> bool {
        self.row(key).is_some_and(|(_, unit)| self.state(unit.group) != State::Dead)
    }

    /// Offset in the region of the entry of a block, whatever its group's state.
    pub fn offset_of(&self, key: Key) -> Option<usize> {
        self.row(key).map(|(entry, _)| entry.at.get() as usize)
    }

    /// The sleeping group that an address belongs to.
    pub fn asleep(&self, key: Key) -> Option<usize> {
        let page = key.pc / PAGE;
        if let Some((_, unit)) = self.row(key) {
            return (self.state(unit.group) == State::Asleep).then_some(unit.group.get() as usize);
        }
        self.groups.iter().position(|g| g.state == State::Asleep && g.overlaps(page, page))
    }

    /// Index of the unit with code at an offset in the region, and whether control may get there.
    fn unit_at(&self, offset: usize) -> Option<(u32, bool)> {
        if offset >= self.used {
            return None;
        }
        let rows = self.unit_rows();
        let n = rows.partition_point(|u| u.at.get() as usize <= offset).checked_sub(1)?;
        let row = rows[n];
        let inside = offset < row.at.get() as usize + row.len.get() as usize;
        let alive = self.state(row.group) == State::Awake && !self.dropped.contains(&(n as u32));
        inside.then_some((n as u32, alive))
    }

    /// Whether there is a unit at an offset that may be linked from.
    pub fn is_alive(&self, offset: usize) -> bool {
        self.unit_at(offset).is_some_and(|(_, alive)| alive)
    }

    /// The unit with code at an offset; `start` is where the region is.
    pub fn meta_at(&mut self, offset: usize, start: usize) -> Option<Arc<Meta>> {
        let (n, _) = self.unit_at(offset)?;
        self.meta(n, start)
    }

    fn meta(&mut self, n: u32, start: usize) -> Option<Arc<Meta>> {
        if let Some(meta) = self.metas.get(&n) {
            return Some(meta.clone());
        }
        let row = *self.unit_rows().get(n as usize)?;
        let record = self.bytes[self.records.clone()].get(row.record.get() as usize..)?;
        let host = start + row.at.get() as usize;
        let meta = Arc::new(decode(record, host, row.len.get(), self.target, &mut self.variants)?);
        self.metas.insert(n, meta.clone());
        Some(meta)
    }

    /// Takes a single unit out of what can be entered; gives it.
    pub fn drop_unit_at(&mut self, offset: usize, start: usize) -> Option<Arc<Meta>> {
        let (n, alive) = self.unit_at(offset)?;
        if !alive {
            return None;
        }
        self.dropped.insert(n);
        self.meta(n, start)
    }

    /// Takes the units out that are only right as long as nobody else sees the guest's memory, also those of sleeping groups; gives them.
    pub fn drop_alone(&mut self, start: usize) -> Vec<Arc<Meta>> {
        let rows = (0u32..).zip(self.unit_rows()).filter(|(n, row)| row.alone != 0 && !self.dropped.contains(n));
        let gone: Vec<u32> = rows.map(|(n, _)| n).collect();
        self.dropped.extend(&gone);
        gone.into_iter().filter_map(|n| self.meta(n, start)).collect()
    }

    /// Kills the awake groups with pages in a range; gives the units that could be entered.
    pub fn invalidate(&mut self, first: u64, last: u64, start: usize) -> Vec<Arc<Meta>> {
        let hit: Vec<usize> = (0..self.groups.len()).filter(|&g| self.groups[g].overlaps(first, last)).collect();
        let mut gone = Vec::new();
        for g in hit {
            // What sleeps is looked at before it is used.
            if self.groups[g].state == State::Awake {
                self.groups[g].state = State::Dead;
                let units: Vec<u32> = (0u32..)
                    .zip(self.unit_rows())
                    .filter(|(n, row)| row.group.get() as usize == g && !self.dropped.contains(n))
                    .map(|(n, _)| n)
                    .collect();
                gone.extend(units.into_iter().filter_map(|n| self.meta(n, start)));
            }
        }
        gone
    }

    /// Bytes of memory besides the code.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.groups.iter().map(|g| g.pages.len() * 16).sum::<usize>()
    }

    /// How many units it has.
    pub fn len(&self) -> usize {
        self.unit_rows().len()
    }

    /// Whether units that could be entered were dropped one by one. Edges inside the image still lead to them, and out again at once, each time; in
    /// an image that is made now they lead to what has taken their place.
    pub fn leads_astray(&self) -> bool {
        !self.dropped.is_empty() && self.entry_rows().iter().any(|e| self.dropped.contains(&e.unit.get()))
    }

    /// All units that go into a new image, with their group here and whether their blocks can be entered.
    pub fn survivors(&mut self, start: usize) -> Vec<(Arc<Meta>, usize, bool)> {
        let rows: Vec<(u32, usize)> =
            (0u32..).zip(self.unit_rows()).map(|(n, r)| (n, r.group.get() as usize)).collect();
        let alive = |g: usize| self.groups.get(g).is_some_and(|g| g.state != State::Dead);
        let rows: Vec<(u32, usize)> = rows.into_iter().filter(|r| alive(r.1)).collect();
        rows.into_iter()
            .filter_map(|(n, g)| {
                let entered = !self.dropped.contains(&n);
                Some((self.meta(n, start)?, g, entered))
            })
            .collect()
    }
}

/// An image under construction.
#[derive(Default)]
pub(crate) struct Maker {
    entries: Vec<EntryRow>,
    units: Vec<UnitRow>,
    records: Vec<u8>,
}

impl Maker {
    /// Adds a unit. False when it has something that images do not have. `enter`: its blocks that are found by their address are these.
    pub fn unit(&mut self, meta: &Meta, start: usize, group: usize, enter: impl Fn(Key, usize) -> bool) -> bool {
        let record = self.records.len();
        if encode(meta, &mut self.records).is_none() {
            self.records.truncate(record);
            return false;
        }
        let n = self.units.len() as u32;
        let at = meta.host - start;
        for block in meta.blocks() {
            let key = meta.key(block.pc);
            let offset = at + block.entry as usize;
            if enter(key, start + offset) {
                let row =
                    EntryRow { pc: key.pc.into(), kind: kind_of(key), at: (offset as u32).into(), unit: n.into() };
                self.entries.push(row);
            }
        }
        self.units.push(UnitRow {
            at: (at as u32).into(),
            len: meta.len.into(),
            record: (record as u32).into(),
            group: (group as u32).into(),
            alone: meta.variant.alone.into(),
        });
        true
    }

    /// Offset in the region and group of every block that can be entered.
    pub fn index(&self) -> FxHashMap<Key, (usize, usize)> {
        let entries = self.entries.iter().rev().filter_map(|e| {
            let key = Key { pc: e.pc.get(), mode: mode_of(e.kind)?, arithmetic: arithmetic_of(e.kind)? };
            let unit = self.units.get(e.unit.get() as usize)?;
            Some((key, (e.at.get() as usize, unit.group.get() as usize)))
        });
        entries.collect()
    }

    /// The image. `code` are the region's bytes from the offset `from` on; units were added in the order of their addresses.
    pub fn finish(
        mut self,
        groups: &[Group],
        runtime: &Runtime,
        from: usize,
        code: &[u8],
        shared: bool,
        identity: u64,
    ) -> Vec<u8> {
        self.entries.sort_by_key(|e| (e.pc.get(), e.kind));
        self.entries.dedup_by_key(|e| (e.pc.get(), e.kind));
        let rows: Vec<GroupRow> =
            groups.iter().map(|g| GroupRow { object: g.object.into(), pages: (g.pages.len() as u32).into() }).collect();
        let pages: Vec<PageRow> = groups
            .iter()
            .flat_map(|g| &g.pages)
            .map(|&(page, digest)| PageRow { page: page.into(), digest: digest.into() })
            .collect();
        let mut slots = vec![U32::ZERO; (2 * self.entries.len() + 1).next_power_of_two()];
        for (n, e) in (1u32..).zip(&self.entries) {
            let mut at = slot_of(e.pc.get(), e.kind, slots.len());
            while slots[at] != U32::ZERO {
                at = (at + 1) & (slots.len() - 1);
            }
            slots[at] = n.into();
        }
        let len = |n: usize| U32::new(n as u32);
        let header = Header {
            magic: MAGIC,
            digest: U64::ZERO,
            runtime: digest(&runtime.code).into(),
            from: len(from),
            used: len(from + code.len()),
            groups: len(rows.len()),
            pages: len(pages.len()),
            entries: len(self.entries.len()),
            units: len(self.units.len()),
            records: len(self.records.len()),
            shared: U32::new(shared.into()),
            slots: len(slots.len()),
        };
        let parts = [
            header.as_bytes(),
            rows.as_bytes(),
            pages.as_bytes(),
            self.entries.as_bytes(),
            self.units.as_bytes(),
            slots.as_bytes(),
            &self.records,
            code,
        ];
        let mut bytes = parts.concat();
        let digest = xxh3_64_with_seed(&bytes[16..], identity);
        bytes[8..16].copy_from_slice(&digest.to_le_bytes());
        bytes
    }
}

/// The digest of a guest page as it is now; `None` when nothing can be executed there.
pub(crate) fn page_digest(space: &dyn GuestSpace, page: u64, bytes: &mut Vec<u8>) -> Option<u64> {
    bytes.resize(PAGE as usize, 0);
    let n = space.fetch(page * PAGE, bytes);
    bytes.truncate(n);
    (n > 0).then(|| digest(bytes))
}

// ---- records -----------------------------------------------------------------------------------------------------------

/// Bits of a record's second byte. The third one is the precision of x87 arithmetic.
mod bit {
    pub const UNALIGNED: u8 = 1;
    pub const ALONE: u8 = 2;
    pub const NANS: u8 = 4;
    pub const TSO: u8 = 8;
    /// Two bits from here on.
    pub const PRECISION: u8 = 4;
    /// Two bits from here on.
    pub const ARITHMETIC: u8 = 6;
}

const PRECISIONS: [Precision; 3] = [Precision::Exact, Precision::Kept, Precision::Relaxed];

/// Writes what is kept of a unit. `None` (with a part of it written) for what images do not have.
fn encode(meta: &Meta, out: &mut Vec<u8>) -> Option<()> {
    let Variant { mode, request, limits, alone, given } = &*meta.variant;
    if given.is_some() || meta.is_checked() {
        return None;
    }
    let precision = PRECISIONS.iter().position(|p| *p == request.precision)? as u8;
    let flag = |on: bool, bit: u8| if on { bit } else { 0 };
    let flags = flag(request.unaligned, bit::UNALIGNED)
        | flag(request.nans, bit::NANS)
        | flag(request.target.order == Order::Tso, bit::TSO)
        | flag(*alone, bit::ALONE)
        | precision << bit::PRECISION
        | (request.arithmetic as u8) << bit::ARITHMETIC;
    let mut word = |n: usize| {
        out.extend_from_slice(&u32::try_from(n).ok()?.to_le_bytes());
        Some(())
    };
    word(usize::from(*mode as u8) | usize::from(flags) << 8 | (request.significand as usize) << 16)?;
    word(meta.pre_entries as usize)?;
    word(limits.blocks)?;
    word(limits.instructions)?;
    word(limits.reach as usize)?;
    word(usize::try_from(limits.features.bits()).ok()?)?;
    word(meta.table.len())?;
    out.extend_from_slice(&meta.table);
    Some(())
}

/// Reads such a record.
fn decode(record: &[u8], host: usize, len: u32, target: Target, variants: &mut Vec<Arc<Variant>>) -> Option<Meta> {
    let (words, rest) = <[U32; 7]>::ref_from_prefix(record).ok()?;
    let [first, pre_entries, blocks, instructions, reach, features, table] = words.map(U32::get);
    let (mode, flags) = (mode_of(first as u8)?, (first >> 8) as u8);
    let limits = Limits {
        blocks: blocks as usize,
        instructions: instructions as usize,
        reach: u64::from(reach),
        end_at_stores: false,
        segmented: None,
        features: Features::from_bits(u64::from(features)),
        pointers: true,
    };
    let order = if flags & bit::TSO != 0 { Order::Tso } else { Order::Single };
    let request = Request {
        target: Target { order, ..target },
        unaligned: flags & bit::UNALIGNED != 0,
        arithmetic: *Arithmetic::ALL.get(usize::from(flags >> bit::ARITHMETIC))?,
        nans: flags & bit::NANS != 0,
        precision: *PRECISIONS.get(usize::from(flags >> bit::PRECISION & 3))?,
        significand: *Significand::ALL.get((first >> 16) as usize)?,
    };
    let variant =
        meta::shared(variants, Variant { mode, request, limits, alone: flags & bit::ALONE != 0, given: None });
    Some(Meta { host, pre_entries, len, variant, table: rest.get(..table as usize)?.into() })
}
