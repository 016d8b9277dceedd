//! One guest process: what its threads share.

use crate::mm::AddressSpace;
use demotic_engine::Engine;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

/// What the command line asked for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Print every system call on standard error.
    pub strace: bool,
    /// Write the log (unknown system calls and so on) to standard error.
    pub log: bool,
    /// `argv[0]` for the guest instead of the program's name.
    pub argv0: Option<OsString>,
}

/// One guest process.
pub struct Process {
    /// Its memory map.
    pub space: Arc<AddressSpace>,
    /// Its translator.
    pub engine: Arc<Engine>,
    /// Its local descriptor table (modify_ldt(2)).
    pub ldt: crate::mm::tls::Ldt,
    /// What is done with signals.
    pub signals: crate::signal::Handlers,
    /// Guest address of the page with the i386 signal return code, 0 in a 64-bit process.
    pub trampolines: u64,
    /// Absolute path of the running program, as /proc/self/exe shows it.
    pub exe: PathBuf,
    /// The program's arguments, as /proc/self/cmdline shows them.
    pub args: Vec<OsString>,
    /// The auxiliary vector's bytes, as /proc/self/auxv shows them.
    pub auxv: Vec<u8>,
    /// True for an i386 program.
    pub is_32bit: bool,
    /// From the command line.
    pub options: Options,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process").field("exe", &self.exe).finish_non_exhaustive()
    }
}
