//! Translated code -> run: the loop of lookup, translate, execute, exit reason.
//!
//! An [`Engine`] belongs to a guest address space and is shared by its threads; a [`Cpu`] is one guest thread's processor.
//! [`Cpu::run`] comes back with an [`Exit`](exit::Exit): at every exit the state is exact and at an instruction boundary.
//! The executor today is the IR interpreter; the structures around it (units with several entries, edges, side tables) are
//! those that emitted code will use.
//!
//! Architecture invariant: guest faults, signals and system calls leave the executor only through `Exit`.

mod cache;
pub mod exit;
mod memory;
mod service;

pub use demotic_x86::state::{Descriptor, GuestState};
pub use service::selector;

use cache::{Cache, Entry, PAGE};
use demotic_ir::block::Unit;
use demotic_ir::interp::{self, Leave, Scratch, Trap};
use demotic_ir::state::{Mode, eflags};
use demotic_x86::unit::{self, Limits};
use exit::{Exception, Exit, SyscallEntry};
use memory::GuestMemory;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the engine needs of the guest's address space; implemented by the Linux personality.
///
/// Guest address `a` stands at host address `base() + a` (wrapping). All methods may be called by any thread.
pub trait GuestSpace: Send + Sync {
    /// Host address of guest address 0.
    fn base(&self) -> usize;
    /// First guest address that is never mapped (2^47 - 4096 or 2^32 and so on).
    fn limit(&self) -> u64;
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
}

/// The translator of one guest address space, shared by all its threads.
pub struct Engine {
    space: Arc<dyn GuestSpace>,
    cache: Cache,
    limits: Limits,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine without any translation yet.
    pub fn new(space: Arc<dyn GuestSpace>) -> Arc<Engine> {
        Arc::new(Engine { space, cache: Cache::default(), limits: Limits::default() })
    }

    /// Runs `f` (a fork of the host process) while no other thread is changing the engine.
    pub fn locked<T>(&self, f: impl FnOnce() -> T) -> T {
        self.cache.locked(f)
    }

    /// Drops all translations that were made from guest bytes in `start..start+len`, in every thread: to be called after
    /// munmap, mprotect, mmap over old mappings, and writes by system calls into code pages.
    pub fn invalidate(&self, start: u64, len: u64) {
        self.cache.invalidate(start, len);
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

/// Entries of a thread's private lookup table; a power of two.
const LOCAL: usize = 4096;

/// One guest thread's processor.
pub struct Cpu {
    /// Architectural state; exact whenever [`Cpu::run`] is not running.
    pub state: GuestState,
    /// The translator behind it.
    pub engine: Arc<Engine>,
    /// Set by anyone (signal handlers included) to make `run` return [`Exit::Attention`] soon; `run` clears it then.
    pub attention: Arc<AtomicBool>,
    scratch: Scratch,
    local: Vec<Option<(u64, Mode, Entry)>>,
    epoch: u64,
    reported: Vec<u64>,
}

impl std::fmt::Debug for Cpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cpu").field("rip", &self.state.rip).finish_non_exhaustive()
    }
}

impl Cpu {
    /// A processor about to run at `state.rip`.
    pub fn new(engine: &Arc<Engine>, state: GuestState) -> Cpu {
        Cpu {
            state,
            engine: engine.clone(),
            attention: Arc::new(AtomicBool::new(false)),
            scratch: Scratch::default(),
            local: vec![None; LOCAL],
            epoch: engine.cache.epoch(),
            reported: Vec::new(),
        }
    }

    /// Runs guest code until something needs the personality.
    pub fn run(&mut self) -> Exit {
        loop {
            if self.attention.load(Ordering::Relaxed) && self.attention.swap(false, Ordering::AcqRel) {
                return Exit::Attention;
            }
            let leave = if self.state.sys & eflags::TF != 0 { self.step() } else { self.execute() };
            if let Some(exit) = leave {
                return exit;
            }
        }
    }

    fn memory(&self) -> GuestMemory {
        GuestMemory { base: self.engine.space.base(), limit: self.engine.space.limit().max(16) }
    }

    /// Runs from `rip` through linked blocks until a unit is left. `None`: go on at the new `rip`.
    fn execute(&mut self) -> Option<Exit> {
        let mut mem = self.memory();
        let engine = &*self.engine;
        let epoch = engine.cache.epoch();
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
        let limits = Limits { blocks: 1, instructions: 1, reach: 0 };
        let unit = self.engine.translate(self.state.rip, self.state.mode, &limits, false);
        let block = &unit.blocks[0];
        let mut mem = self.memory();
        let leave = match interp::run_block(block, &mut self.state, &mut mem, &mut self.scratch) {
            // A repeated string instruction goes back to itself.
            Leave::Block(n) => Leave::Pc(unit.blocks[n as usize].pc),
            leave => leave,
        };
        let at = block.marks.last().map_or(block.pc, |m| m.pc);
        self.leave(leave, at)
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
            Leave::Service(what, args, next) => {
                match service::run(what, args, next, &mut self.state, &*self.engine.space) {
                    Ok(()) => None,
                    Err(trap) => {
                        self.state.rip = at;
                        Some(exception(trap))
                    }
                }
            }
        }
    }

    /// A write to `addr` faulted: whether that was a page protected for its code. Its translations are then dropped.
    fn code_write(&mut self, addr: u64) -> bool {
        if !self.engine.space.release_code_page(addr) {
            return false;
        }
        self.engine.invalidate(addr & !(PAGE - 1), PAGE);
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
