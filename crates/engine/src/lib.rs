//! Host code -> run: the loop of lookup, translate, enter, exit reason.

pub mod exit;
pub use demotic_x86::state::GuestState;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

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
}

/// The translator of one guest address space, shared by all its threads.
pub struct Engine {
    space: Arc<dyn GuestSpace>,
}

impl Engine {
    /// An engine without any translation yet.
    pub fn new(space: Arc<dyn GuestSpace>) -> Arc<Engine> {
        Arc::new(Engine { space })
    }
    /// Drops all translations that were made from guest bytes in `start..start+len`, in every thread: to be called after
    /// munmap, mprotect, mmap over old mappings, and writes by system calls into code pages.
    pub fn invalidate(&self, _start: u64, _len: u64) {
        let _ = self.space.base();
    }
}

/// One guest thread's processor.
pub struct Cpu {
    /// Architectural state; exact whenever [`Cpu::run`] is not running.
    pub state: GuestState,
    /// The translator behind it.
    pub engine: Arc<Engine>,
    /// Set by anyone (signal handlers included) to make `run` return [`Exit::Attention`] soon; `run` clears it then.
    pub attention: Arc<AtomicBool>,
}

impl Cpu {
    /// A processor about to run at `state.rip`.
    pub fn new(engine: &Arc<Engine>, state: GuestState) -> Cpu {
        Cpu { state, engine: engine.clone(), attention: Arc::new(AtomicBool::new(false)) }
    }
    /// Runs guest code until something needs the personality.
    pub fn run(&mut self) -> exit::Exit {
        unimplemented!("the interpreter is not here yet")
    }
}
