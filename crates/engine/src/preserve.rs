//! Making an image of the store's region, taking one in, and waking its groups: see [`crate::image`].

use crate::cache::PAGE;
use crate::hosts;
use crate::image::{self, Group, Image, Maker, State};
use crate::meta::Meta;
use crate::store::{Region, RegionCode, Store};
use crate::{Engine, Features, GuestSpace};
use demotic_codegen::target::Order;
use demotic_codegen::{EdgeKind, Stub};
use demotic_host::map::Room;
use rustc_hash::{FxHashMap, FxHasher};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// More new units than this part of an image that is there already are worth a new one.
const WORTH: usize = 64;

/// A sleeping group that control got to.
pub(crate) struct Sleeper {
    region: Arc<RegionCode>,
    group: usize,
    /// Numbers and digests of its pages.
    pages: Vec<(u64, u64)>,
}

impl Engine {
    /// Keeps what is translated for later processes, if that is worth it. To be called before the process ends or executes another program.
    pub fn preserve(&self) {
        let (Some(store), Some(shelf)) = (&self.store, &self.shelf) else { return };
        // A forked child leaves that to its parent, which has nearly all of it.
        if self.is_child.load(Ordering::Relaxed) {
            return;
        }
        if let Some(bytes) = store.image(&*self.space, shelf.identity()) {
            shelf.save(store.variant(self.limits.features), &bytes);
        }
    }

    /// Takes in what an earlier process has left for the translations that are made now.
    pub(crate) fn restore(&self) {
        let (Some(store), Some(shelf)) = (&self.store, &self.shelf) else { return };
        if let Some(bytes) = shelf.load(store.variant(self.limits.features)) {
            store.restore(bytes, shelf.identity());
        }
    }

    /// Looks at the pages of a sleeping group. It is awake or dead afterwards.
    pub(crate) fn wake(&self, store: &Store, sleeper: &Sleeper) {
        let mut bytes = Vec::with_capacity(PAGE as usize);
        loop {
            let generation = store.generation();
            let same = sleeper.pages.iter().all(|&(page, digest)| {
                self.space.protect_code_page(page * PAGE);
                image::page_digest(&*self.space, page, &mut bytes) == Some(digest)
            });
            if store.woken(sleeper, same, generation) {
                return;
            }
        }
    }
}

impl Store {
    /// What translations made now have in common: images of other variants are of no use.
    pub fn variant(&self, features: Features) -> u64 {
        let mut target = self.target();
        // The order makes no difference there.
        if cfg!(target_arch = "x86_64") {
            target.order = Order::Single;
        }
        let mut hasher = FxHasher::default();
        (target, self.precision(), features).hash(&mut hasher);
        hasher.finish()
    }

    /// Takes an image in, if nothing is translated yet and the image is for here.
    pub fn restore(&self, bytes: Room, identity: u64) -> bool {
        let target = self.target();
        if self.current().is_none() {
            return false;
        }
        let mut inner = self.lock();
        let Some(region) = inner.regions.last_mut() else { return false };
        if !region.units.is_empty() || region.image.is_some() {
            return false;
        }
        let (code, used) = (region.code.clone(), &mut region.used);
        region.image = Image::parse(bytes, identity, &code.runtime, target, |from, bytes| {
            let end = (from + bytes.len()).next_multiple_of(16);
            let fits = from == *used && end + 64 <= code.code.size();
            if fits {
                code.code.write(from, bytes);
                *used = end;
            }
            fits
        });
        // A program that gets threads will get them again: what is for one thread only need not be made in the first place.
        let shared = cfg!(target_arch = "x86_64") && region.image.as_ref().is_some_and(|i| i.shared);
        if shared {
            self.target.lock().unwrap_or_else(std::sync::PoisonError::into_inner).order = Order::Tso;
        }
        if shared || target.order == Order::Tso {
            region.drop_alone(self.emitter);
        }
        region.image.is_some()
    }

    /// The sleeping group that the code at an address belongs to.
    pub fn asleep(&self, key: crate::store::Key) -> Option<Sleeper> {
        let inner = self.lock();
        let region = inner.regions.last()?;
        let image = region.image.as_ref()?;
        let group = image.asleep(key)?;
        Some(Sleeper { region: region.code.clone(), group, pages: image.groups[group].pages.clone() })
    }

    /// A group's pages were compared, beginning at `generation`. False when something was invalidated meanwhile.
    fn woken(&self, sleeper: &Sleeper, same: bool, generation: u64) -> bool {
        let mut inner = self.lock();
        if self.generation.load(Ordering::Acquire) != generation {
            return false;
        }
        let region = inner.regions.iter_mut().find(|r| Arc::ptr_eq(&r.code, &sleeper.region));
        if let Some(group) = region.and_then(|r| r.image.as_mut()).and_then(|i| i.groups.get_mut(sleeper.group)) {
            // Another thread may have been first.
            if group.state == State::Asleep {
                group.state = if same { State::Awake } else { State::Dead };
            }
        }
        true
    }

    /// An image of the current region, if enough in it is new.
    pub fn image(&self, space: &dyn GuestSpace, identity: u64) -> Option<Vec<u8>> {
        let mut inner = self.lock();
        // What was in a region that is full is lost to it; a program of that size begins anew each time.
        let region = inner.regions.last_mut()?;
        let old = region.image.as_ref().map_or(0, Image::len);
        let fresh = region.units[region.kept..].iter().filter(|u| u.1).count();
        if fresh == 0 || (fresh <= old / WORTH && !region.image.as_ref().is_some_and(Image::leads_astray)) {
            return None;
        }
        region.kept = region.units.len();
        let start = region.code.code.start();
        let mut sorter = Sorter { space, pages: FxHashMap::default(), groups: Vec::new() };
        let mut maker = Maker::default();
        // The units in it, with their groups.
        let mut placed: Vec<(Arc<Meta>, usize)> = Vec::new();
        if let Some(image) = &mut region.image {
            let mut renamed: Vec<Option<usize>> = Vec::new();
            for g in &image.groups {
                renamed.push((g.state != State::Dead).then(|| {
                    sorter.groups.push(Group { object: g.object, state: g.state, pages: g.pages.clone() });
                    sorter.groups.len() - 1
                }));
            }
            for (meta, g, entered) in image.survivors(start) {
                let Some(group) = renamed[g] else { continue };
                let here = |key, host: usize| entered && image.offset_of(key) == Some(host - start);
                if maker.unit(&meta, start, group, here) {
                    placed.push((meta, group));
                }
            }
        }
        for (n, pages) in pages_of_units(region, space).into_iter().enumerate() {
            let (meta, alive) = &region.units[n];
            if !alive {
                continue;
            }
            let sources = meta.sources();
            let Some(group) = sorter.group(&pages).filter(|_| sorter.is_unchanged(sources)) else { continue };
            if maker.unit(meta, start, group, |key, host| region.entries.get(key) == Some((host - start) as u32)) {
                sorter.add(group, &pages);
                placed.push((meta.clone(), group));
            }
        }
        if placed.is_empty() {
            return None;
        }
        let from = region.code.runtime.code.len().next_multiple_of(64);
        let mut code = region.code.code.read(from, region.used - from);
        let offset_of = maker.index();
        // Where calls of the block with an entry come in. Units are in the order of their addresses.
        let call_entry = |entry: usize| {
            let (meta, _) = &placed[placed.partition_point(|(m, _)| m.host <= entry).checked_sub(1)?];
            Some(meta.host + meta.call_entry((entry - meta.host) as u32)? as usize)
        };
        for (meta, group) in &placed {
            for edge in meta.edges() {
                // Inside a group edges are linked, taken or not; others lead out, whatever they are linked to now.
                let there = offset_of.get(&meta.key(edge.pc)).filter(|to| to.1 == *group);
                let at = meta.host + edge.at as usize;
                let stub = match edge.kind {
                    EdgeKind::Jump => Stub::EdgeJump,
                    EdgeKind::Call => Stub::EdgeCall,
                };
                let there = there.map(|to| start + to.0).and_then(|entry| match edge.kind {
                    EdgeKind::Call if hosts::CALLS_ELSEWHERE => call_entry(entry),
                    _ => Some(entry),
                });
                let to = there.unwrap_or(region.code.stub(stub));
                let patch = self.emitter.edge(edge.kind, at as u64, to as u64, there.is_some())?;
                let offset = at - start - from;
                let len = usize::from(patch.len);
                code.get_mut(offset..offset + len)?.copy_from_slice(&patch.bytes[..len]);
            }
        }
        let shared = self.target().order == Order::Tso;
        Some(maker.finish(&sorter.groups, &region.code.runtime, from, &code, shared, identity))
    }
}

/// The guest pages that each unit depends on. Those with nothing to execute were looked at in vain ([`demotic_x86::ahead`]), which does no harm when
/// there is something later.
fn pages_of_units(region: &Region, space: &dyn GuestSpace) -> Vec<Vec<u64>> {
    let mut all = vec![Vec::new(); region.units.len()];
    for (&page, units) in &region.pages {
        if space.fetch(page * PAGE, &mut [0]) == 0 {
            continue;
        }
        for &n in units {
            all[n as usize].push(page);
        }
    }
    all
}

/// Puts units into groups.
struct Sorter<'a> {
    space: &'a dyn GuestSpace,
    /// The mapping that a page is in, when that is one for images, and its bytes.
    pages: FxHashMap<u64, Option<(u64, Vec<u8>)>>,
    groups: Vec<Group>,
}

impl Sorter<'_> {
    fn page(&mut self, page: u64) -> Option<&(u64, Vec<u8>)> {
        let space = self.space;
        let look = || {
            let object = space.code_object(page * PAGE)?;
            let mut bytes = Vec::new();
            image::page_digest(space, page, &mut bytes)?;
            Some((object, bytes))
        };
        self.pages.entry(page).or_insert_with(look).as_ref()
    }

    /// The group of a unit that depends on these pages; `None` when it is not for images.
    fn group(&mut self, pages: &[u64]) -> Option<usize> {
        let object = self.page(*pages.first()?)?.0;
        for &page in pages {
            if self.page(page)?.0 != object {
                return None;
            }
        }
        if let Some(n) = self.groups.iter().position(|g| g.object == object) {
            // Nobody has come by to compare it. As it was, or the new units stay alone.
            let known = std::mem::take(&mut self.groups[n].pages);
            let same = self.groups[n].state == State::Awake
                || known
                    .iter()
                    .all(|&(page, digest)| self.page(page).is_some_and(|(_, bytes)| image::digest(bytes) == digest));
            self.groups[n].pages = known;
            if same {
                self.groups[n].state = State::Awake;
                return Some(n);
            }
            return None;
        }
        self.groups.push(Group { object, state: State::Awake, pages: Vec::new() });
        Some(self.groups.len() - 1)
    }

    /// Whether guest memory still holds the bytes that a unit was made from.
    fn is_unchanged<'b>(&mut self, mut sources: impl Iterator<Item = (u64, &'b [u8])>) -> bool {
        sources.all(|(pc, mut source)| {
            let mut at = pc;
            while !source.is_empty() {
                let offset = (at % PAGE) as usize;
                let n = source.len().min(PAGE as usize - offset);
                let same = self
                    .page(at / PAGE)
                    .and_then(|(_, bytes)| bytes.get(offset..offset + n))
                    .is_some_and(|bytes| bytes == &source[..n]);
                if !same {
                    return false;
                }
                at = at.wrapping_add(n as u64);
                source = &source[n..];
            }
            true
        })
    }

    /// Makes pages part of a group.
    fn add(&mut self, group: usize, pages: &[u64]) {
        for &page in pages {
            let known = &self.groups[group].pages;
            let Err(n) = known.binary_search_by_key(&page, |p| p.0) else { continue };
            let Some(digest) = self.page(page).map(|(_, bytes)| image::digest(bytes)) else { continue };
            self.groups[group].pages.insert(n, (page, digest));
        }
    }
}
