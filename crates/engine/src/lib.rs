//! Translated code -> run: the loop of lookup, translate, execute, exit reason.
//!
//! An [`Engine`] belongs to a guest address space and is shared by its threads; a [`Cpu`] is one guest thread's processor.
//! [`Cpu::run`] comes back with an [`Exit`](exit::Exit): at every exit the state is exact and at an instruction boundary.
//! Two executors: translated host code ([`jit`], [`store`]) and the IR interpreter, which takes over where translated code
//! stops at a rare case, and everywhere on hosts without an emitter.
//!
//! Architecture invariant: guest faults, signals and system calls leave the executor only through `Exit`.

mod cache;
mod checked;
mod entries;
pub mod exit;
mod given;
mod hosts;
mod image;
mod interrupt;
mod jit;
mod memory;
mod meta;
mod pages;
mod preserve;
pub mod segments;
mod service;
mod stops;
mod store;
mod targets;
#[cfg(target_arch = "x86_64")]
mod x87;
#[cfg(target_arch = "aarch64")]
mod x87_insn;

pub use demotic_x86::features::Features;
pub use demotic_x86::state::{Descriptor, GuestState};
pub use given::Left;
pub use image::Shelf;
pub use interrupt::{is_translated, leave as leave_translated, stepped as step_translated};
pub use segments::selector;
pub use store::Footprint;

use cache::{Cache, Entry, PAGE};
use demotic_codegen::target::Order;
use demotic_codegen::x87::Significand;
use demotic_codegen::{Arithmetic, Compiled, Request};
use demotic_host::code::Mapping;
use demotic_ir::block::{Block, Unit};
use demotic_ir::interp::{self, Leave, Scratch, Trap};
use demotic_ir::passes::{Optimiser, Precision};
use demotic_ir::state::{Mode, eflags, rights, seg};
use demotic_x86::unit::{self, Limits, Reader};
use exit::{Exception, Exit, SyscallEntry};
use jit::{Jit, Stop};
use memory::{Aligned, GuestMemory, Segmented};
use pages::Pages;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use store::{Key, Store};

/// What the engine needs of the guest's address space; implemented by the Linux personality.
///
/// Guest address `a` stands at host address `base() + a` (wrapping). All methods may be called by any thread.
pub trait GuestSpace: Send + Sync {
    /// Host address of guest address 0.
    fn base(&self) -> usize;
    /// First guest address that is never mapped (2^47 - 4096 or 2^32 and so on).
    fn limit(&self) -> u64;
    /// What is protected and released together around a guest page, in bytes: a multiple of 4 KiB. [`Self::release_code_page`] has the translations
    /// of the other guest pages in it dropped.
    fn granule(&self) -> u64 {
        PAGE
    }
    /// Copies code bytes at `pc` for translation; returns how many of `buf` were readable *and executable* for the guest,
    /// contiguous from `pc`. 0 means that an instruction fetch there faults.
    fn fetch(&self, pc: u64, buf: &mut [u8]) -> usize;
    /// The engine is about to keep a translation of code on the 4 KiB guest page at `page`: when the guest could write there,
    /// the page is write-protected on the host until [`Self::release_code_page`].
    fn protect_code_page(&self, page: u64);
    /// A guest write to `addr` faulted. When that was only because of [`Self::protect_code_page`], lifts the
    /// protection of the page and returns true: the write is to be tried again, after the page's translations are dropped.
    fn release_code_page(&self, addr: u64) -> bool;
    /// Entry `index` of the local descriptor table (modify_ldt(2)); `None` when it is empty.
    fn ldt(&self, _index: u32) -> Option<Descriptor> {
        None
    }
    /// Where the mapping of a file that holds `addr` starts, when the guest cannot write there: its translations may be kept for later
    /// processes ([`Engine::preserve`]).
    fn code_object(&self, _addr: u64) -> Option<u64> {
        None
    }
}

/// How guest code is executed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Executor {
    /// By the IR interpreter.
    Interp,
    /// By translated code; falls back to the interpreter where the host has no emitter.
    Jit,
}

/// How an engine is set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// How guest code is executed.
    pub executor: Executor,
    /// Bytes of a region of code memory (a multiple of 64 KiB, at most 64 MiB).
    pub region: usize,
    /// How code memory is mapped; `None` finds out what works.
    pub mapping: Option<Mapping>,
    /// How often a block is interpreted before it is translated: most of what a program runs at its start, it runs once.
    pub patience: u8,
    /// Whether the guest sees the flags at faults. If not, flags that the program overwrites before it reads them need not be right there, which saves
    /// instructions on some hosts, until [`Engine::show_faults`] is called.
    pub faults_shown: bool,
    /// What the guest's processor can do.
    pub features: Features,
    /// Whether all status flags of SSE arithmetic are exact from the first instruction on, on hosts whose own arithmetic does not have them; else they
    /// are from when a thread clears some on ([`GuestState::exact_sse`]). True unless said otherwise.
    pub exact_sse: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            executor: Executor::Jit,
            region: 32 << 20,
            mapping: None,
            patience: PATIENCE,
            faults_shown: true,
            features: Features::DEFAULT,
            exact_sse: true,
        }
    }
}

/// [`Config::patience`] unless said otherwise. Lifting and interpreting a block costs an eighth of translating it.
const PATIENCE: u8 = 7;

/// Blocks that are kept between two visits by the interpreter; a power of two.
const RECENT: usize = 128;

/// What a thread translates with: buffers that one translation leaves to the next.
#[derive(Debug, Default)]
struct Workshop {
    pages: Pages,
    reader: Reader,
    unit: Unit,
    optimiser: Optimiser,
    compiled: Compiled,
    /// Blocks that were interpreted lately, by address: small loops come back to them.
    recent: Vec<Option<(Mode, Block)>>,
    /// The generation of the store that they belong to.
    recent_of: u64,
    /// Guest pages that a translation depends on.
    seen: Vec<u64>,
}

impl Workshop {
    /// The block at an address, lifted and no more.
    fn recent(&mut self, engine: &Engine, generation: u64, key: Key, limits: &Limits) -> &Block {
        let Workshop { pages, reader, recent, recent_of, .. } = self;
        pages.begin(generation);
        let fresh = std::mem::replace(recent_of, generation) == generation;
        recent.resize_with(RECENT, || None);
        // Blocks of another generation keep their tables, and an address at which no block is.
        if !fresh {
            recent.iter_mut().flatten().for_each(|(_, b)| b.pc = u64::MAX);
        }
        let slot = &mut recent[hash(key.pc) % RECENT];
        let (mode, block) = slot.get_or_insert_with(|| (key.mode, Block::new(u64::MAX)));
        if block.pc != key.pc || *mode != key.mode || key.pc == u64::MAX {
            let mut fetch = |at: u64, buf: &mut [u8]| pages.fetch(&*engine.space, at, buf);
            reader.block(block, key.pc, key.mode, limits, &mut fetch);
            *mode = key.mode;
        }
        block
    }
}

/// The translator of one guest address space, shared by all its threads.
pub struct Engine {
    space: Arc<dyn GuestSpace>,
    cache: Cache,
    store: Option<Store>,
    shelf: Option<Arc<dyn Shelf>>,
    /// Whether this process was forked with the engine in it.
    is_child: AtomicBool,
    limits: Limits,
    patience: u8,
    exact_sse: bool,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine without any translation yet.
    pub fn new(space: Arc<dyn GuestSpace>) -> Arc<Engine> {
        Engine::with(space, &Config::default())
    }

    /// The same with other settings than the usual ones.
    pub fn with(space: Arc<dyn GuestSpace>, config: &Config) -> Arc<Engine> {
        Engine::on_shelf(space, config, None)
    }

    /// The same with translations that earlier processes have left on a shelf, and that this one leaves there ([`Engine::preserve`]).
    pub fn on_shelf(space: Arc<dyn GuestSpace>, config: &Config, shelf: Option<Arc<dyn Shelf>>) -> Arc<Engine> {
        let emitter = hosts::emitter().filter(|_| config.executor == Executor::Jit && space.base() == 0);
        let store = emitter.map(|(emitter, target)| {
            interrupt::install();
            Store::new(emitter, target, config, space.granule())
        });
        // What the interpreter runs, it keeps them of by itself.
        let pointers = store.is_some();
        let limits = Limits { features: config.features, pointers, ..Limits::default() };
        let (cache, patience, exact_sse) = (Cache::default(), config.patience, config.exact_sse);
        let engine =
            Engine { space, cache, store, shelf, is_child: AtomicBool::new(false), limits, patience, exact_sse };
        engine.restore();
        Arc::new(engine)
    }

    /// How this engine executes.
    pub fn executor(&self) -> Executor {
        if self.store.is_some() { Executor::Jit } else { Executor::Interp }
    }

    /// What the translated code costs at the moment.
    pub fn footprint(&self) -> Footprint {
        self.store.as_ref().map(Store::footprint).unwrap_or_default()
    }

    /// Runs `fork`, which gives 0 in the child, while no other thread is changing the engine. The child's engine is its own.
    ///
    /// # Errors
    /// Those of `fork`.
    pub fn forked<E>(&self, shares_files: bool, fork: impl FnOnce() -> Result<u64, E>) -> Result<u64, E> {
        let pid = self.cache.locked(|| match &self.store {
            Some(store) => store.forked(shares_files, fork),
            None => fork(),
        })?;
        if pid == 0 {
            self.is_child.store(true, Ordering::Relaxed);
        }
        Ok(pid)
    }

    /// From now on other threads or processes see the guest's memory: accesses have to be in x86 order. To be called while the calling thread is the
    /// only one, before the second one starts or the shared mapping exists.
    pub fn share(&self) {
        let Some(store) = &self.store else { return };
        let flushes = cfg!(not(target_arch = "x86_64"));
        if flushes && store.target().order != Order::Tso {
            self.preserve();
        }
        {
            let mut target = store.target.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if target.order == Order::Tso {
                return;
            }
            target.order = Order::Tso;
        }
        // x86-64 hosts have that order anyway, but for locked operations.
        if flushes {
            store.flush();
            self.restore();
        } else {
            store.drop_alone();
        }
    }

    /// From now on the guest looks at the state at faults (it has a handler for them): all flags have to be right there. To be called before
    /// the handler is in place.
    pub fn show_faults(&self) {
        if let Some(store) = &self.store {
            if store.precision() != hosts::PRECISION {
                self.preserve();
            }
            if store.show_faults() {
                store.flush();
                self.restore();
            }
        }
    }

    /// Drops all translations that were made from guest bytes in `start..start+len`, in every thread: to be called after
    /// munmap, mprotect, mmap over old mappings, and writes by system calls into code pages.
    pub fn invalidate(&self, start: u64, len: u64) {
        self.cache.invalidate(start, len);
        if let Some(store) = &self.store {
            store.invalidate(start, len);
        }
    }

    /// Translates the region at a guest address to host code, expecting that precision of x87 arithmetic. False when it is for the interpreter (this time).
    fn emit(&self, store: &Store, key: Key, significand: Significand, shop: &mut Workshop) -> bool {
        let mut wanted = self.limits;
        let Workshop { pages, reader, unit, optimiser, compiled, seen, .. } = shop;
        loop {
            let generation = store.generation();
            let request = Request {
                target: store.target(),
                unaligned: store.is_misaligned(key.pc),
                arithmetic: key.arithmetic,
                nans: store.has_nans(key.pc),
                precision: store.precision(),
                significand,
            };
            let checked = store.is_checked(key.pc);
            let limits = if checked {
                Limits { features: wanted.features, pointers: wanted.pointers, ..checked::LIMITS }
            } else {
                wanted
            };
            seen.clear();
            pages.begin(generation);
            let mut fetch = |at: u64, buf: &mut [u8]| {
                for page in at / PAGE..=at.saturating_add(buf.len() as u64 - 1) / PAGE {
                    if !seen.contains(&page) {
                        seen.push(page);
                    }
                }
                if checked { self.space.fetch(at, buf) } else { pages.fetch(&*self.space, at, buf) }
            };
            let mut before = Vec::new();
            if checked {
                before.resize(checked::REACH, 0);
                let n = self.space.fetch(key.pc, &mut before);
                before.truncate(n);
            }
            let mut known = |pc| store.is_known(Key { pc, ..key });
            reader.lift(unit, key.pc, key.mode, &limits, &mut fetch, &mut known);
            // A block that cannot be fetched now may be mapped the next time.
            if matches!(unit.blocks[0].term, demotic_ir::block::Term::FetchFault { .. }) {
                return false;
            }
            if checked {
                let block = &unit.blocks[0];
                let len = block.end.wrapping_sub(block.pc) as usize;
                let mut bytes = vec![0; len.min(checked::REACH)];
                let n = self.space.fetch(block.pc, &mut bytes);
                // Another thread may be writing this very code.
                if n < len || before.get(..len) != Some(&bytes[..]) {
                    continue;
                }
                checked::guard(unit, &bytes);
                unit.blocks.iter_mut().for_each(demotic_ir::passes::optimise);
                if !request.precision.is_exact() {
                    let mut live =
                        |pc| demotic_x86::ahead::live_flags(pc, key.mode, request.precision, &mut fetch) != 0;
                    for block in &mut unit.blocks {
                        block.reads = live(block.pc);
                        block.landing = block.term.ret().is_none_or(|ret| live(ret.pc));
                    }
                }
            } else {
                let precision = request.precision;
                optimiser.run(unit, precision, &mut |pc| {
                    demotic_x86::ahead::live_flags(pc, key.mode, precision, &mut fetch)
                });
            }
            match store.emitter.emit_into(unit, &request, compiled) {
                Ok(()) => {}
                // Smaller pieces, until only what it cannot do is left for the interpreter.
                Err(_) if wanted.blocks > 1 => {
                    wanted.blocks = 1;
                    continue;
                }
                Err(_) if wanted.instructions > 1 => {
                    wanted.instructions /= 4;
                    continue;
                }
                Err(_) => {
                    store.refuse(key);
                    return false;
                }
            }
            let mut bytes = |at: u64, buf: &mut [u8]| {
                if checked { self.space.fetch(at, buf) } else { pages.fetch(&*self.space, at, buf) }
            };
            match store.insert(unit, compiled, request, limits, generation, seen, &mut bytes) {
                Some(true) => return true,
                Some(false) => {}
                None => return false,
            }
        }
    }

    fn memory(&self) -> GuestMemory {
        GuestMemory { base: self.space.base(), limit: self.space.limit().max(16) }
    }

    /// The block at `pc`, translated now if need be.
    fn entry(&self, pc: u64, mode: Mode) -> Entry {
        loop {
            if let Some(entry) = self.cache.get(pc, mode) {
                return entry;
            }
            let generation = self.cache.generation();
            let unit = Arc::new(self.translate(pc, mode, &self.limits, true));
            // A block that cannot be fetched now may be mapped the next time: it is not kept.
            if matches!(unit.blocks[0].term, demotic_ir::block::Term::FetchFault { .. }) {
                return Entry { unit, block: 0 };
            }
            if self.cache.insert(&unit, generation) {
                return Entry { unit, block: 0 };
            }
        }
    }

    /// One instruction.
    fn one(&self) -> Limits {
        Limits { features: self.limits.features, ..Limits::SINGLE }
    }

    /// How translated code does a thread's SSE arithmetic.
    fn arithmetic(&self, state: &GuestState) -> Arithmetic {
        hosts::arithmetic(state.mxcsr, self.exact_sse || state.exact_sse)
    }

    /// What the guest's processor can do.
    pub fn features(&self) -> Features {
        self.limits.features
    }

    /// Translates the region at `pc`. With `keep`, pages are protected against writes before their bytes are read.
    fn translate(&self, pc: u64, mode: Mode, limits: &Limits, keep: bool) -> Unit {
        let mut fetch = |at: u64, buf: &mut [u8]| {
            if keep {
                for page in at / PAGE..=at.saturating_add(buf.len() as u64 - 1) / PAGE {
                    self.space.protect_code_page(page * PAGE);
                }
            }
            self.space.fetch(at, buf)
        };
        let mut unit = unit::lift(pc, mode, limits, &mut fetch);
        unit.blocks.iter_mut().for_each(demotic_ir::passes::optimise);
        unit
    }
}

/// Instructions in which dead flags are overwritten: more than lie ahead of any edge in practice.
const SETTLE: u32 = 512;

/// Entries of a thread's private lookup table; a power of two.
const LOCAL: usize = 4096;

/// Bytes of the longest instruction.
const LONGEST: usize = 15;

/// One guest thread's processor.
pub struct Cpu {
    /// Architectural state; exact whenever [`Cpu::run`] is not running.
    pub state: GuestState,
    /// The translator behind it.
    pub engine: Arc<Engine>,
    /// Set by anyone (signal handlers included) to make `run` return [`Exit::Attention`] soon; `run` clears it then.
    pub attention: Arc<AtomicBool>,
    jit: Option<Jit>,
    shop: Workshop,
    /// Whether flags that are dead at `rip` may not be exact.
    settled: bool,
    scratch: Scratch,
    local: Vec<Option<(u64, Mode, Entry)>>,
    /// Instructions of code with segments.
    lifted: Vec<Option<Arc<Lifted>>>,
    epoch: u64,
    reported: Vec<u64>,
}

/// An instruction of code with segments, as it was lifted from these bytes.
struct Lifted {
    pc: u64,
    mode: Mode,
    segmented: unit::Segmented,
    bytes: [u8; LONGEST],
    have: usize,
    unit: Unit,
}

impl std::fmt::Debug for Cpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cpu").field("rip", &self.state.rip).finish_non_exhaustive()
    }
}

impl Cpu {
    /// A processor about to run at `state.rip`.
    pub fn new(engine: &Arc<Engine>, state: GuestState) -> Cpu {
        let attention = Arc::new(AtomicBool::new(false));
        let memory = engine.memory();
        Cpu {
            state,
            engine: engine.clone(),
            jit: engine.store.as_ref().and_then(|_| Jit::new(&attention, memory)),
            shop: Workshop::default(),
            settled: true,
            attention,
            scratch: Scratch::default(),
            local: Vec::new(),
            lifted: Vec::new(),
            epoch: engine.cache.epoch(),
            reported: Vec::new(),
        }
    }

    /// Runs guest code until something needs the personality.
    pub fn run(&mut self) -> Exit {
        loop {
            let attention = self.attention.load(Ordering::Relaxed);
            let leave = if attention && !self.settled {
                self.settle()
            } else if attention && self.attention.swap(false, Ordering::AcqRel) {
                return Exit::Attention;
            } else if self.state.sys & eflags::TF != 0 {
                self.step()
            } else if self.state.sys & eflags::AC != 0 {
                self.aligned()
            } else if self.state.segmented {
                self.segmented()
            } else if self.jit.is_some() {
                self.translated()
            } else {
                self.execute()
            };
            if let Some(exit) = leave {
                return exit;
            }
        }
    }

    /// Runs translated code until it is left for good. `None`: go on at the new `rip`.
    fn translated(&mut self) -> Option<Exit> {
        let engine = self.engine.clone();
        let (Some(store), Some(jit)) = (&engine.store, &mut self.jit) else { return None };
        let arithmetic = engine.arithmetic(&self.state);
        let mode = self.state.mode;
        let reads = |pc| {
            let mut fetch = |at: u64, buf: &mut [u8]| engine.space.fetch(at, buf);
            demotic_x86::ahead::live_flags(pc, mode, Precision::Relaxed, &mut fetch) != 0
        };
        let stop = jit.run(store, &mut self.state, &self.attention, arithmetic, &reads);
        self.settled = false;
        match stop {
            Stop::Translate(pc) => {
                self.state.rip = pc;
                for page in store.relenting() {
                    engine.invalidate(page, store.granule());
                }
                let key = Key { pc, mode: self.state.mode, arithmetic };
                if let Some(sleeper) = store.asleep(key) {
                    engine.wake(store, &sleeper);
                    None
                } else if store.is_early(key, engine.patience) {
                    self.early(&engine, store, key)
                } else if engine.emit(store, key, hosts::significand(&self.state), &mut self.shop) {
                    None
                } else {
                    self.single()
                }
            }
            Stop::Interpret(pc) => {
                self.state.rip = pc;
                let exit = self.single();
                self.settled = true;
                exit
            }
            Stop::Attention(pc) => {
                self.state.rip = pc;
                None
            }
            Stop::Leave(leave, at) => {
                let exit = self.leave(leave, at);
                // Whatever leaves for good has exact flags; only edges may not.
                self.settled = exit.is_some();
                exit
            }
        }
    }

    /// Interprets blocks that have not run before, from the one of that key on, until something else is met. Their code is protected like
    /// that of translations, so a block that writes into itself stops there.
    fn early(&mut self, engine: &Engine, store: &Store, mut key: Key) -> Option<Exit> {
        let limits = Limits { blocks: 1, ..engine.limits };
        let mut mem = self.memory();
        loop {
            let block = self.shop.recent(engine, store.generation(), key, &limits);
            let leave = interp::run_block(block, &mut self.state, &mut mem, &mut self.scratch);
            let at = block.marks.last().map_or(block.pc, |m| m.pc);
            let (Leave::Pc(pc) | Leave::Indirect(pc, _)) = leave else { return self.leave(leave, at) };
            self.state.rip = pc;
            key.pc = pc;
            if self.attention.load(Ordering::Relaxed) || !store.is_early(key, engine.patience) {
                return None;
            }
        }
    }

    /// Makes flags exact that the code behind `rip` overwrites before anybody can look: runs it, one instruction at a time, until it has.
    fn settle(&mut self) -> Option<Exit> {
        self.settled = true;
        // It came here by a segment register load, which left them exact.
        if self.state.segmented {
            return None;
        }
        let mut open = eflags::ARITH;
        for _ in 0..SETTLE {
            let limits = self.engine.one();
            let unit = self.engine.translate(self.state.rip, self.state.mode, &limits, false);
            open &= !overwritten(&unit.blocks[0]);
            let exit = self.single();
            if exit.is_some() || open == 0 {
                return exit;
            }
        }
        None
    }

    fn memory(&self) -> GuestMemory {
        self.engine.memory()
    }

    /// Runs from `rip` through linked blocks until a unit is left. `None`: go on at the new `rip`.
    fn execute(&mut self) -> Option<Exit> {
        let mut mem = self.memory();
        let engine = &*self.engine;
        let epoch = engine.cache.epoch();
        self.settled = true;
        if self.local.is_empty() {
            self.local = vec![None; LOCAL];
        }
        if epoch != self.epoch {
            self.epoch = epoch;
            self.local.iter_mut().for_each(|slot| *slot = None);
        }
        let (pc, mode) = (self.state.rip, self.state.mode);
        let slot = &mut self.local[hash(pc)];
        if !matches!(slot, Some((p, m, _)) if *p == pc && *m == mode) {
            *slot = Some((pc, mode, engine.entry(pc, mode)));
        }
        let entry = match slot {
            Some((_, _, entry)) => entry,
            None => return None,
        };
        let unit = &*entry.unit;
        let mut block = &unit.blocks[entry.block as usize];
        let mut refetch = false;
        let leave = loop {
            match interp::run_block(block, &mut self.state, &mut mem, &mut self.scratch) {
                Leave::Block(n) => {
                    block = &unit.blocks[n as usize];
                    if self.attention.load(Ordering::Relaxed) || engine.cache.epoch() != epoch {
                        break Leave::Pc(block.pc);
                    }
                }
                leave => {
                    refetch = matches!(leave, Leave::Trap(_, t) if t.vector == 14 && t.code & 16 != 0);
                    break leave;
                }
            }
        };
        let at = block.marks.last().map_or(block.pc, |m| m.pc);
        if refetch {
            // The page may be there the next time.
            self.local[hash(pc)] = None;
        }
        self.leave(leave, at)
    }

    /// Runs one instruction, translated for this one time.
    fn single(&mut self) -> Option<Exit> {
        if self.state.segmented {
            return self.segmented();
        }
        let limits = self.engine.one();
        let unit = self.engine.translate(self.state.rip, self.state.mode, &limits, false);
        let memory = self.memory();
        self.run_one(&unit, memory)
    }

    /// Runs a unit of one instruction.
    fn run_one(&mut self, unit: &Unit, mut memory: impl interp::Memory) -> Option<Exit> {
        let block = &unit.blocks[0];
        let mut leave = match interp::run_block(block, &mut self.state, &mut memory, &mut self.scratch) {
            // A repeated string instruction goes back to itself.
            Leave::Block(n) => Leave::Pc(unit.blocks[n as usize].pc),
            leave => leave,
        };
        if let (true, Leave::Trap(_, trap)) = (self.state.segmented, &mut leave) {
            self.segmented_fetch(trap);
        }
        let at = block.marks.last().map_or(block.pc, |m| m.pc);
        self.leave(leave, at)
    }

    /// Runs one instruction of code with segments that are not flat.
    fn segmented(&mut self) -> Option<Exit> {
        self.settled = true;
        if let Some(trap) = segments::refused(&mut self.state, &*self.engine.space) {
            return Some(exception(trap));
        }
        if !self.state.segmented {
            return self.single();
        }
        let lifted = self.segmented_unit();
        let memory = Segmented::new(self.memory(), &self.state);
        self.run_one(&lifted.unit, memory)
    }

    /// The next instruction of such code. Its addresses are offsets in the code segment. Its bytes are looked at each time, what they were lifted to is
    /// kept.
    fn segmented_unit(&mut self) -> Arc<Lifted> {
        let (code, base) = (self.state.seg[seg::CS], self.state.seg_base[seg::CS]);
        let (pc, mode) = (self.state.rip, self.state.mode);
        let segmented = unit::Segmented { stack16: !self.state.seg[seg::SS].is(rights::BIG), code_limit: code.limit };
        let room = (u64::from(code.limit) + 1).saturating_sub(pc).min(LONGEST as u64);
        let mut bytes = [0; LONGEST];
        let have = self.engine.space.fetch(base.wrapping_add(pc) & 0xffff_ffff, &mut bytes[..room as usize]);
        if self.lifted.is_empty() {
            self.lifted = vec![None; LOCAL];
        }
        let slot = &mut self.lifted[hash(base.wrapping_add(pc))];
        let same = |l: &Lifted| (l.pc, l.mode, l.segmented, l.have, l.bytes) == (pc, mode, segmented, have, bytes);
        if let Some(lifted) = slot.as_ref().filter(|l| same(l)) {
            return lifted.clone();
        }
        let mut fetch = |at: u64, buf: &mut [u8]| {
            let from = bytes.get(at.wrapping_sub(pc) as usize..have).unwrap_or_default();
            let n = from.len().min(buf.len());
            buf[..n].copy_from_slice(&from[..n]);
            n
        };
        let limits = Limits { segmented: Some(segmented), ..self.engine.one() };
        let mut unit = unit::lift(pc, mode, &limits, &mut fetch);
        unit.blocks.iter_mut().for_each(demotic_ir::passes::optimise);
        slot.insert(Arc::new(Lifted { pc, mode, segmented, bytes, have, unit })).clone()
    }

    /// Makes what a fetch by offset ran into what a fetch by segment does: #GP behind its end, else a page fault at the linear address.
    fn segmented_fetch(&self, trap: &mut Trap) {
        if trap.vector != 14 || trap.code & 16 == 0 {
            return;
        }
        if trap.address > u64::from(self.state.seg[seg::CS].limit) {
            *trap = Trap::new(13);
        } else {
            trap.address = self.state.seg_base[seg::CS].wrapping_add(trap.address) & 0xffff_ffff;
        }
    }

    /// With AC set: one instruction, whose accesses have to be aligned (SDM vol. 3, section 7.15). Masked moves and gathers are exempt, as on AMD's
    /// processors.
    fn aligned(&mut self) -> Option<Exit> {
        let segmented = self.state.segmented;
        if segmented && segments::refused(&mut self.state, &*self.engine.space).is_some() {
            return self.segmented();
        }
        if segmented {
            self.settled = true;
            let lifted = self.segmented_unit();
            let Some(memory) = self.alignment(&lifted.unit) else { return self.single() };
            let memory = Segmented::new(memory, &self.state);
            return self.run_one(&lifted.unit, memory);
        }
        let limits = self.engine.one();
        let unit = self.engine.translate(self.state.rip, self.state.mode, &limits, false);
        let Some(memory) = self.alignment(&unit) else { return self.single() };
        self.settled = true;
        self.run_one(&unit, memory)
    }

    /// Memory that checks the alignment of what an instruction accesses, unless it is exempt.
    fn alignment(&self, unit: &Unit) -> Option<Aligned> {
        use demotic_ir::{block::Inst, ops::Op, ty::Ty};
        let insts = &unit.blocks[0].insts;
        if insts.iter().any(|i| matches!(i.op, Op::LdLane | Op::LdMask | Op::StMask | Op::ProbeMask)) {
            return None;
        }
        let wide = |i: &&Inst| matches!((i.op, i.ty), (Op::Ld | Op::St, Ty::F80));
        Some(Aligned { memory: self.memory(), image: insts.iter().filter(wide).count() > 1 })
    }

    /// With TF set: one instruction, then #DB (SDM vol. 3, section 18.3.1.4).
    fn step(&mut self) -> Option<Exit> {
        let exit = self.single();
        exit.or_else(|| {
            // DR6.BS is not visible to user code; the personality reports TRAP_TRACE.
            Some(Exit::Exception(Exception::new(1, 1)))
        })
    }

    /// Turns the way a block was left into an exit, or goes on. `at`: address of the block's last instruction.
    fn leave(&mut self, leave: Leave, at: u64) -> Option<Exit> {
        match leave {
            Leave::Block(_) => None,
            Leave::Pc(pc) | Leave::Indirect(pc, _) => {
                self.state.rip = pc;
                None
            }
            Leave::Syscall(next) => {
                self.state.rip = next;
                Some(Exit::Syscall(SyscallEntry::Syscall))
            }
            Leave::Sysenter(next) => {
                self.state.rip = next;
                Some(Exit::Syscall(SyscallEntry::Sysenter))
            }
            Leave::Interrupt(0x80, next) => {
                self.state.rip = next;
                Some(Exit::Syscall(SyscallEntry::Int80))
            }
            Leave::Interrupt(vector, next) => {
                self.state.rip = next;
                Some(Exit::Exception(Exception::new(vector, 0)))
            }
            Leave::Trap(pc, trap) => {
                self.state.rip = pc;
                // A protected code page gives SIGSEGV; SIGBUS is the guest's own, whatever the address says.
                let bus = matches!(trap.host, Some((libc::SIGBUS, _)));
                if trap.vector == 14 && trap.code & 2 != 0 && !bus && self.code_write(trap.address) {
                    return self.single();
                }
                Some(exception(trap))
            }
            Leave::Unimplemented(pc) => {
                self.state.rip = pc;
                self.report(pc);
                Some(Exit::Exception(Exception::new(6, 0)))
            }
            Leave::Service(what, args, next) => match service::run(what, args, next, &mut self.state, &self.engine) {
                Ok(()) => None,
                Err(trap) => {
                    self.state.rip = at;
                    if trap.vector == 14 && trap.code & 2 != 0 && self.code_write(trap.address) {
                        return self.single();
                    }
                    Some(exception(trap))
                }
            },
        }
    }

    /// A write to `addr` faulted: whether that was a page protected for its code. Its translations are then dropped.
    fn code_write(&mut self, addr: u64) -> bool {
        if !self.engine.space.release_code_page(addr) {
            return false;
        }
        self.engine.invalidate(addr & !(PAGE - 1), PAGE);
        if let Some(store) = &self.engine.store {
            store.written(addr);
        }
        true
    }

    /// One line on stderr for an instruction that is valid but not implemented.
    fn report(&mut self, pc: u64) {
        if self.reported.contains(&pc) {
            return;
        }
        self.reported.push(pc);
        let mut bytes = [0; 15];
        let n = self.engine.space.fetch(pc, &mut bytes);
        eprintln!("demotic: {}", demotic_x86::describe_unimplemented(pc, self.state.mode, &bytes[..n.min(15)]));
    }
}

/// Index in a thread's private lookup table.
#[inline]
fn hash(pc: u64) -> usize {
    (pc ^ pc >> 12) as usize & (LOCAL - 1)
}

fn exception(trap: Trap) -> Exit {
    Exit::Exception(Exception { vector: trap.vector, error_code: trap.code, address: trap.address, host: trap.host })
}

/// Flags that a block leaves as nothing of what they were before: a shift by CL writes all of them, but leaves them as they are when CL is zero.
fn overwritten(block: &Block) -> u32 {
    use demotic_ir::ops::Op;
    // Values made of the flags of before; conditions need only flags that are exact.
    let mut old = vec![false; block.insts.len()];
    let mut mask = 0;
    for (i, inst) in block.insts.iter().enumerate() {
        let made = |v: &demotic_ir::block::Val| old.get(v.index()).copied().unwrap_or(false);
        old[i] = inst.op == Op::GetFl || inst.op != Op::Cond && inst.operands().iter().any(made);
        if inst.op == Op::SetFl {
            mask = if old[i] { mask & !(inst.imm as u32) } else { mask | inst.imm as u32 };
        }
    }
    mask
}
