//! One guest process: what its threads share, and how it starts.

use crate::errno::Errno;
use crate::exec::{self, Target};
use crate::fs::root::Root;
use crate::load::{self, Program};
use crate::mm::host::{real_page, usable};
use crate::mm::{AddressSpace, Kind, Layout, Place, Request, prot};
use crate::run;
use crate::shelf::{Folder, Keep, is_secure};
use crate::signal::{Handlers, TaskSignals, frame32};
use crate::task::{Abi, Task};
use crate::uaccess::{Mem, PAGE};
pub use demotic_engine::Features;
use demotic_engine::segments;
use demotic_engine::{Config, Cpu, Engine, Executor, GuestState, Shelf};
use demotic_host::{capture, guarded, signal as host};
use demotic_x86::state::{self, reg, seg};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;

/// How the guest's code is executed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Way {
    /// Translated once it has run a few times.
    #[default]
    Jit,
    /// Translated before it runs for the first time: slower, but everything that runs was translated.
    Eager,
    /// Interpreted.
    Interp,
}

impl Way {
    /// The way of that name.
    pub fn parse(name: &str) -> Option<Way> {
        [Way::Jit, Way::Eager, Way::Interp].into_iter().find(|w| w.name() == name)
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Way::Jit => "jit",
            Way::Eager => "eager",
            Way::Interp => "interp",
        }
    }
}

/// What the command line asked for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Print every system call on standard error.
    pub strace: bool,
    /// Write the log (unknown system calls and so on) to standard error.
    pub log: bool,
    /// How the guest's code is executed.
    pub way: Way,
    /// Keep all status flags of SSE arithmetic exactly only from when the program clears some on, where that costs something on this host.
    pub fast_sse: bool,
    /// What the guest's processor can do.
    pub cpu: Features,
    /// Where translations are kept for later processes.
    pub keep: Keep,
    /// The kernel release that uname(2) tells instead of the host's.
    pub uname: Option<String>,
    /// `argv[0]` for the guest instead of the program's name.
    pub argv0: Option<OsString>,
    /// Where a debugger is waited for: a port, HOST:PORT, or the path of a socket.
    pub gdb: Option<OsString>,
    /// Work as on a host with pages of so many bytes: for tests.
    pub host_page: Option<u64>,
    /// What starts Demotic again for the guest's execve(2), program first; empty: Demotic's own file. Needed where the
    /// kernel cannot run that, under an emulator of the host.
    pub launcher: Vec<OsString>,
}

/// One guest process.
pub struct Process {
    /// Its memory map.
    pub space: Arc<AddressSpace>,
    /// Its translator.
    pub engine: Arc<Engine>,
    /// What is done with signals.
    pub signals: Handlers,
    /// Guest address of the page with the i386 signal return code, 0 in a 64-bit process.
    pub trampolines: u64,
    /// Absolute path of the running program, as /proc/self/exe shows it.
    pub exe: PathBuf,
    /// The program's arguments, as /proc/self/cmdline shows them.
    pub args: Vec<OsString>,
    /// The auxiliary vector's bytes, as /proc/self/auxv shows them.
    pub auxv: Vec<u8>,
    /// The host's kernel shows the guest's arguments and environment itself.
    pub is_shown: bool,
    /// True for an i386 program.
    pub is_32bit: bool,
    /// True for a child of vfork: what it does is its parent's business as well.
    pub is_vforked: bool,
    /// From the command line.
    pub options: Options,
    /// The guest root.
    pub root: Root,
    /// The seccomp states of its threads.
    pub filtered: crate::seccomp::Threads,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process").field("exe", &self.exe).finish_non_exhaustive()
    }
}

impl Process {
    /// Leaves translations for later processes ([`Engine::preserve`]); the parent of a vfork child does that for both.
    pub fn preserve(&self) {
        if self.options.log {
            let f = self.engine.footprint();
            demotic_host::log::item(format_args!(
                "demotic: {} units of {} guest bytes: {} bytes of host code, {} of metadata",
                f.units, f.guest, f.code, f.metadata
            ));
        }
        if !self.is_vforked {
            self.engine.preserve();
        }
    }

    /// A child of vfork: the same memory, its own actions.
    pub fn for_vfork(&self) -> Process {
        Process {
            space: self.space.clone(),
            engine: self.engine.clone(),
            signals: self.signals.duplicate(),
            trampolines: self.trampolines,
            exe: self.exe.clone(),
            args: self.args.clone(),
            auxv: self.auxv.clone(),
            is_shown: self.is_shown,
            is_32bit: self.is_32bit,
            is_vforked: true,
            options: self.options.clone(),
            root: self.root.clone(),
            filtered: crate::seccomp::Threads::default(),
        }
    }
}

/// Why a program did not start, with the shell's exit status for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StartError {
    /// 127: not found; 126: found, but cannot be run.
    pub status: i32,
    /// One line without newline.
    pub message: String,
}

/// A program to be started.
#[derive(Clone, Debug)]
pub struct Start {
    /// The file, with a slash if it is a path relative to the current directory.
    pub program: OsString,
    /// An open descriptor of it; it is closed.
    pub fd: Option<i32>,
    /// Arguments, `argv[0]` first.
    pub args: Vec<OsString>,
    /// Environment, `NAME=value`.
    pub env: Vec<OsString>,
    /// From the command line.
    pub options: Options,
    /// The initial mask of blocked signals; `None`: the one that this process has.
    pub mask: Option<host::Set>,
    /// The guest root.
    pub root: Root,
    /// binfmt_misc started this process.
    pub by_kernel: bool,
    /// A memory file with the seccomp filters of the program before; it is closed.
    pub seccomp: Option<i32>,
    /// The program before was traced, and how the thread goes on for its tracer.
    pub trace: Option<u32>,
    /// The connection of the debugger of the program before.
    pub gdb: Option<i32>,
}

/// Loads a program into this (host) process and runs its initial thread. Returns only if it could not be started; otherwise
/// the process or the thread ends with the guest's.
pub fn start(start: &Start) -> StartError {
    match prepare(start) {
        Ok(mut task) => {
            let status = run::run(&mut task);
            crate::gdb::left(&task);
            task.process.preserve();
            run::leave_thread(&mut task);
            // Other threads may still use everything: nothing is torn down.
            std::mem::forget(task);
            crate::exit::thread_exit(status)
        }
        Err(e) => e,
    }
}

fn prepare(start: &Start) -> Result<Task, StartError> {
    let name = start.program.to_string_lossy().into_owned();
    let fail = |status: i32, reason: String| StartError { status, message: format!("{name}: {reason}") };
    let from_errno = |e: Errno| fail(if e == Errno::ENOENT || e == Errno::ENOTDIR { 127 } else { 126 }, e.to_string());

    let mut args: Vec<Vec<u8>> = start.args.iter().map(|a| a.as_bytes().to_vec()).collect();
    let target = exec::resolve(&start.root, start.program.as_bytes(), start.fd, &mut args).map_err(from_errno)?;
    let Target { path, file, exe } = target;
    let program = Program::new(file).map_err(|refusal| fail(126, refusal.to_string()))?;
    start.root.seal_for(&exe);
    let is_32bit = program.header.is_32bit;
    if start.by_kernel {
        exec::kernel_runs(is_32bit);
    }
    if !is_32bit && usize::BITS == 32 {
        return Err(fail(126, "x86-64 programs need a 64-bit host".to_owned()));
    }

    guarded::install().map_err(|e| fail(126, e.to_string()))?;
    guarded::set_hook(capture::fault_hook);
    let signals = Handlers::inherited();
    crate::signal::follow_core_limit(&signals);
    let mask = start.mask.unwrap_or_else(host::mask);

    let here = 0u8;
    let layout = if is_32bit { Layout::i386() } else { Layout::x86_64(&raw const here as u64) };
    let page = start.options.host_page.filter(|&page| usable(page)).unwrap_or_else(real_page);
    let space = Arc::new(AddressSpace::on_pages(0, layout, page));
    if is_32bit {
        guard_32bit();
    }
    let features = start.options.cpu;
    let exact_sse = !start.options.fast_sse;
    let usual = Config { faults_shown: false, features, exact_sse, ..Config::default() };
    let config = match start.options.way {
        Way::Jit => usual,
        Way::Eager => Config { patience: 0, ..usual },
        Way::Interp => Config { executor: Executor::Interp, ..usual },
    };
    // Whoever wants everything translated wants it translated now.
    let debugged = start.gdb.is_some() || start.options.gdb.is_some();
    let keep = if start.options.way == Way::Jit && !debugged { &start.options.keep } else { &Keep::Off };
    let shelf = Folder::open(keep, &program.file, is_32bit, features).map(|f| Arc::new(f) as Arc<dyn Shelf>);
    let engine = Engine::on_shelf(space.clone(), &config, shelf);
    space.set_engine(&engine);
    let mem = Mem::new(space.clone(), engine.clone());
    let env: Vec<Vec<u8>> = start.env.iter().map(|e| e.as_bytes().to_vec()).collect();
    let what = load::Start { args: &args, env: &env, execfn: &path, secure: is_secure(), features, root: &start.root };
    let loaded = load::load(&mem, &program, &what).map_err(|e| fail(126, e.to_string()))?;
    let trampolines = if is_32bit { trampolines(&mem).map_err(|e| fail(126, e.to_string()))? } else { 0 };
    drop(program);

    let state = initial_state(is_32bit, &loaded);
    let is_shown = crate::fs::shown::tell(&loaded);
    let process = Arc::new(Process {
        space,
        engine: engine.clone(),
        signals,
        trampolines,
        exe: exe.clone(),
        args: args.into_iter().map(OsString::from_vec).collect(),
        auxv: loaded.auxv,
        is_shown,
        is_32bit,
        is_vforked: false,
        options: start.options.clone(),
        root: start.root.clone(),
        filtered: crate::seccomp::Threads::default(),
    });
    let cpu = Cpu::new(&engine, state);
    let signal = TaskSignals::new(&cpu.attention, mask);
    let mut task = Task {
        cpu,
        mem,
        abi: if is_32bit { Abi::I386 } else { Abi::X86_64 },
        process,
        tid: demotic_host::sys::gettid(),
        signal,
        clear_child_tid: 0,
        robust_list: 0,
        seccomp: start.seccomp.map_or_else(Arc::default, crate::seccomp::import),
        trace: Default::default(),
        passes: false,
        exiting: None,
        ldt_seen: 0,
        missing_library: None,
        exec_strings: Vec::new(),
    };
    task.process.filtered.enter(task.tid, &task.seccomp);
    // The kernel takes the name from the path that execve(2) was given: a link's own name, a script's; the file's for fexecve(3).
    let is_nameless = start.program.as_bytes().starts_with(b"/dev/fd/");
    if let Some(mode) = start.trace {
        crate::ptrace::tracee::take_up(&mut task, mode);
    }
    set_name(if is_nameless { &exe } else { std::path::Path::new(&start.program) });
    run::adopt_thread(&mut task).map_err(|e| fail(126, e.to_string()))?;
    match (start.gdb, &start.options.gdb) {
        (Some(fd), _) => crate::gdb::go_on(&mut task, fd).map_err(|e| fail(126, format!("gdb: {e}")))?,
        (None, Some(address)) => crate::gdb::begin(&mut task, address)
            .map_err(|e| fail(125, format!("gdb at {}: {e}", address.to_string_lossy())))?,
        (None, None) => {}
    }
    Ok(task)
}

/// The thread's name is the program's, as execve(2) sets it.
fn set_name(exe: &std::path::Path) {
    let mut name = [0u8; 16];
    let bytes = exe.file_name().map(|n| n.as_bytes()).unwrap_or_default();
    let len = bytes.len().min(15);
    name[..len].copy_from_slice(&bytes[..len]);
    // SAFETY: a terminated string of ours.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// The page with the code that i386 handlers without restorer return to: sigreturn, then rt_sigreturn.
fn trampolines(mem: &Mem) -> Result<u64, Errno> {
    let space = mem.space();
    let request = Request::anonymous(Place::Any, PAGE, prot::READ | prot::WRITE, Kind::Anonymous);
    let page = space.map(&request)?;
    mem.write_bytes(page, &[frame32::RETCODE, frame32::RT_RETCODE].concat())?;
    space.protect(page, PAGE, prot::READ | prot::EXEC)?;
    Ok(page)
}

/// Registers at the first instruction (ELF_PLAT_INIT, start_thread): zero but for stack, flags and selectors.
fn initial_state(is_32bit: bool, loaded: &load::Loaded) -> GuestState {
    let mut state = GuestState { rip: loaded.entry, ..GuestState::default() };
    state.gpr[reg::RSP] = loaded.sp;
    for n in [seg::ES, seg::DS, seg::FS, seg::GS] {
        state.seg[n] = state::Segment::NULL;
    }
    if is_32bit {
        segments::flat32(&mut state);
    } else {
        segments::flat64(&mut state);
    }
    state
}

/// Keeps the first MiB behind 4 GiB inaccessible: translated code for i386 adds small displacements without wrapping, and relies on a fault
/// to find out where it should have.
fn guard_32bit() {
    #[cfg(target_pointer_width = "64")]
    demotic_host::map::reserve(1 << 32, 1 << 20);
}
