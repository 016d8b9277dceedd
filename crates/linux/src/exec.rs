//! execve(2): running another program.
//!
//! The host process executes Demotic again, which loads the new program; so everything that execve(2) does to a process
//! (threads, close-on-exec, timers, process name, vfork parents) is done by the host's kernel. What the guest must not see
//! travels in the arguments: `demotic --internal-exec OPTIONS [LAUNCHER...] [FOLDER] [ROOT] PATH ARGV...`, with the mask of blocked signals among the
//! options, because Demotic itself keeps everything blocked meanwhile.
//!
//! Scripts (`#!`) are resolved here, as their interpreters are guest programs, too. Files that are no x86 programs are given
//! to the host's kernel: native programs, and formats that it knows more about.

use crate::errno::{Errno, SysResult};
use crate::fs::root::Root;
use crate::load::elf::{Header, Refusal, pt, read_at};
use crate::process::{Options, Way};
use crate::shelf::Keep;
use crate::task::Task;
use demotic_host::log;
use demotic_host::signal as host;
use demotic_x86::features::Features;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};

/// First argument of a re-execution.
pub const INTERNAL: &str = "--internal-exec";
/// How many `#!` may lead to each other (BINPRM_MAX_RECURSION, fs/exec.c).
const MAX_DEPTH: usize = 5;
/// Longest `#!` line looked at (BINPRM_BUF_SIZE).
const LINE: usize = 256;
/// Most arguments and environment strings, and bytes in one (MAX_ARG_STRLEN).
const MAX_STRINGS: usize = 1 << 20;
const MAX_STRLEN: usize = 32 * 4096;

/// A program file that was found.
#[derive(Debug)]
pub struct Target {
    /// The path as the new program sees it in AT_EXECFN: of a script's interpreter it is the script's.
    pub path: Vec<u8>,
    /// The open file.
    pub file: File,
    /// Its absolute path.
    pub exe: PathBuf,
}

/// Opens a file of the guest's to read it.
///
/// # Errors
/// Those of open(2).
pub fn open_file(root: &Root, path: &[u8]) -> Result<File, Errno> {
    let c_path = CString::new(path).map_err(|_| Errno::ENOENT)?;
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    let flags = (libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK) as u32;
    let cwd = libc::AT_FDCWD as isize as usize;
    let fd = root.open(cwd, &c_path, flags, 0, |nr, args| {
        // SAFETY: a terminated path and a structure of the callee's.
        Errno::from_ret(unsafe { demotic_host::sys::syscall6(nr, args) })
    })?;
    // SAFETY: the descriptor is ours.
    Ok(unsafe { File::from_raw_fd(fd as i32) })
}

/// Opens a file as execve(2) does: it must be a regular file that may be executed.
fn open(root: &Root, path: &[u8]) -> Result<File, Errno> {
    let file = open_file(root, path)?;
    check_executable(&file)?;
    Ok(file)
}

fn check_executable(file: &File) -> Result<(), Errno> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(Errno::EACCES);
    }
    // SAFETY: an empty path with AT_EMPTY_PATH means the descriptor itself.
    let access = unsafe {
        libc::syscall(
            libc::SYS_faccessat2,
            file.as_raw_fd(),
            c"".as_ptr(),
            libc::X_OK,
            libc::AT_EMPTY_PATH | libc::AT_EACCESS,
        )
    };
    match if access < 0 { Errno::last() } else { return Ok(()) } {
        // Kernels before 5.8 lack the call: any execute bit will do.
        Errno::ENOSYS => {
            use std::os::unix::fs::PermissionsExt;
            if metadata.permissions().mode() & 0o111 != 0 { Ok(()) } else { Err(Errno::EACCES) }
        }
        e => Err(e),
    }
}

/// Finds the program behind a path, following `#!` lines; `args` become those of the interpreter. With a descriptor, that is
/// the file and the path only its name.
///
/// # Errors
/// Those of execve(2).
pub fn resolve(root: &Root, path: &[u8], fd: Option<i32>, args: &mut Vec<Vec<u8>>) -> Result<Target, Errno> {
    let given = path;
    let mut path = path.to_vec();
    let mut file = match fd {
        // SAFETY: the caller hands the descriptor over.
        Some(fd) => unsafe { File::from_raw_fd(fd) },
        None => open(root, &path)?,
    };
    for _ in 0..=MAX_DEPTH {
        let start = read_at(&file, 0, LINE).map_err(refusal_errno)?;
        let Some((interpreter, argument)) = script(&start)? else {
            let exe = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
                .or_else(|_| std::fs::canonicalize(OsStr::from_bytes(&path)))
                .unwrap_or_else(|_| PathBuf::from(OsStr::from_bytes(&path)));
            return Ok(Target { path: given.to_vec(), file, exe });
        };
        // argv becomes: interpreter, its argument, the script's path, the old arguments without the first.
        let mut new = vec![interpreter.clone()];
        new.extend(argument);
        new.push(path);
        new.extend(args.drain(..).skip(1));
        *args = new;
        path = interpreter;
        file = open(root, &path)?;
        check_executable(&file)?;
    }
    Err(Errno::ELOOP)
}

/// The interpreter and the optional argument of a `#!` line (load_script, fs/binfmt_script.c).
fn script(start: &[u8]) -> Result<Option<(Vec<u8>, Option<Vec<u8>>)>, Errno> {
    let Some(rest) = start.strip_prefix(b"#!") else { return Ok(None) };
    let is_blank = |b: u8| b == b' ' || b == b'\t';
    let end = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
    let complete = end < rest.len() || start.len() < LINE;
    let line = &rest[..rest[..end].iter().position(|&b| b == 0).unwrap_or(end)];
    let Some(first) = line.iter().position(|&b| !is_blank(b)) else {
        // Where the file ends there, the kernel opens an empty name: the current directory.
        let at_end = end == rest.len() && start.len() < LINE;
        return Err(if at_end { Errno::EACCES } else { Errno::ENOEXEC });
    };
    let line = &line[first..];
    let name_end = line.iter().position(|&b| is_blank(b)).unwrap_or(line.len());
    if name_end == line.len() && !complete {
        // The name itself may be cut short.
        return Err(Errno::ENOEXEC);
    }
    let name = line[..name_end].to_vec();
    let tail = &line[name_end..];
    let argument = tail.iter().position(|&b| !is_blank(b)).map(|from| {
        let to = tail.iter().rposition(|&b| !is_blank(b)).map_or(tail.len(), |at| at + 1);
        tail[from..to].to_vec()
    });
    Ok(Some((name, argument)))
}

fn refusal_errno(refusal: Refusal) -> Errno {
    match refusal {
        Refusal::Io(n) => Errno(n as u16),
        _ => Errno::ENOEXEC,
    }
}

/// A descriptor of Demotic's own binary, for hosts (chroots) without /proc.
static OWN_BINARY: AtomicI32 = AtomicI32::new(-1);
/// Its path, as long as that still leads to it: emulators of the host and binfmt_misc want one.
static OWN_PATH: OnceLock<CString> = OnceLock::new();
/// Where guests rarely look: programs that close everything stop at the limit of descriptors, and this survives most.
const OWN_FD_FROM: i32 = 900;

/// Duplicates a descriptor of Demotic's own to where guests rarely look: high, as far as the limit of descriptors lets it.
pub fn duplicate_high(fd: i32, close_on_exec: bool) -> Option<i32> {
    let command = if close_on_exec { libc::F_DUPFD_CLOEXEC } else { libc::F_DUPFD };
    // SAFETY: plain calls with a structure of ours.
    unsafe {
        let new = libc::fcntl(fd, command, OWN_FD_FROM);
        if new >= 0 {
            return Some(new);
        }
        let mut limit: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        let below = [limit.rlim_cur.min(OWN_FD_FROM as _).saturating_sub(16) as i32, 3];
        below.into_iter().map(|from| libc::fcntl(fd, command, from)).find(|&new| new >= 0)
    }
}

/// The absolute path that Demotic was executed by (AT_EXECFN).
fn executed() -> Option<Vec<u8>> {
    // SAFETY: the kernel gives the address of a terminated string that lives as long as the process, or 0.
    unsafe {
        let name = libc::getauxval(libc::AT_EXECFN) as *const libc::c_char;
        let name = (!name.is_null()).then(|| CStr::from_ptr(name).to_bytes())?;
        name.starts_with(b"/").then(|| name.to_vec())
    }
}

/// Opens Demotic's own binary for later re-executions; to be called once at start-up.
pub fn remember_own_binary() {
    // Without /proc the kernel's word for it is the name that was executed, if that is a path from the root.
    let path =
        std::fs::read_link("/proc/self/exe").map_or_else(|_| executed(), |p| Some(p.into_os_string().into_vec()));
    if let Some(path) = path.and_then(|path| CString::new(path).ok()) {
        let _ = OWN_PATH.set(path);
    }
    // SAFETY: a terminated path; the descriptors are ours.
    unsafe {
        let fd = libc::open(c"/proc/self/exe".as_ptr(), libc::O_PATH | libc::O_CLOEXEC);
        if fd < 0 {
            return;
        }
        match duplicate_high(fd, true) {
            Some(high) => {
                libc::close(fd);
                OWN_BINARY.store(high, Ordering::Relaxed);
            }
            None => OWN_BINARY.store(fd, Ordering::Relaxed),
        }
    }
}

/// Takes a descriptor of Demotic's own binary over from the process before, in a chroot without /proc.
pub fn adopt_own_binary(fd: i32) {
    if let Some(own) = duplicate_high(fd, true) {
        OWN_BINARY.store(own, Ordering::Relaxed);
    }
    // SAFETY: the descriptor was handed on for this.
    unsafe { libc::close(fd) };
}

/// A descriptor of Demotic's own binary for the next process, if that will not find it in /proc.
fn own_for_next() -> Option<i32> {
    let fd = OWN_BINARY.load(Ordering::Relaxed);
    if fd < 0 || std::fs::metadata("/proc/self/exe").is_ok() {
        return None;
    }
    duplicate_high(fd, false)
}

/// The kinds of programs that the kernel starts by Demotic, as far as this process knows: a bit for i386 and one for x86-64.
static KERNEL_RUNS: AtomicU8 = AtomicU8::new(0);

/// To be called when binfmt_misc started this process for a program of that kind.
pub fn kernel_runs(is_32bit: bool) {
    KERNEL_RUNS.fetch_or(kind(is_32bit), Ordering::Relaxed);
}

fn kind(is_32bit: bool) -> u8 {
    if is_32bit { 1 } else { 2 }
}

/// Whether a program is given to the kernel, which starts Demotic by its entry: in a chroot that has neither /proc nor Demotic, where Demotic cannot execute
/// itself; and when the file changes the process's ids, which the kernel alone can do. Only for kinds of which an entry is known, as an x86-64 machine
/// might run others itself.
fn is_up_to_kernel(file: &File, is_32bit: bool) -> bool {
    use std::os::unix::fs::MetadataExt;
    let known = KERNEL_RUNS.load(Ordering::Relaxed) & kind(is_32bit) != 0;
    if own_fd().is_none() {
        return known || !cfg!(target_arch = "x86_64");
    }
    // SAFETY: no arguments.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    let sets = |m: std::fs::Metadata| {
        (m.mode() & 0o4000 != 0 && m.uid() != uid) || (m.mode() & 0o2010 == 0o2010 && m.gid() != gid)
    };
    known && file.metadata().is_ok_and(sets)
}

/// True for the descriptors of Demotic's own binary and of the log file, which the guest does not know and must not close.
pub fn is_own_fd(fd: i32) -> bool {
    fd >= 0 && (OWN_BINARY.load(Ordering::Relaxed) == fd || log::file() == Some(fd))
}

/// Makes log items go to an open file, whose descriptor is moved out of the guest's way.
pub fn log_to(fd: i32) {
    if let Some(high) = duplicate_high(fd, true) {
        log::set_file(high);
        // SAFETY: handed over for this.
        unsafe { libc::close(fd) };
    }
}

/// The descriptor of Demotic's own binary, if there is one.
pub fn own_fd() -> Option<u32> {
    u32::try_from(OWN_BINARY.load(Ordering::Relaxed)).ok()
}

/// What the host says about the file of Demotic's own binary.
pub fn own_metadata() -> Option<std::fs::Metadata> {
    // SAFETY: the descriptor is ours, and given back unclosed.
    let file = std::mem::ManuallyDrop::new(unsafe { File::from_raw_fd(own_fd()? as i32) });
    file.metadata().ok()
}

/// Makes room when the guest wants to give `fd` a meaning of its own (dup2(2)): Demotic's binary moves to another one.
pub fn vacate_fd(fd: i32) {
    if log::file() == Some(fd) {
        log::set_file(duplicate_high(fd, true).unwrap_or(2));
    } else if is_own_fd(fd) {
        // The old one is closed by the guest's call.
        OWN_BINARY.store(duplicate_high(fd, true).unwrap_or(-1), Ordering::Relaxed);
    }
}

/// The path of Demotic's binary if the same file is still there.
fn own_path() -> Option<&'static CStr> {
    let path = OWN_PATH.get()?;
    // SAFETY: the structures are ours, and all zeros is a valid value of them.
    unsafe {
        let (mut here, mut there): (libc::stat, libc::stat) = (std::mem::zeroed(), std::mem::zeroed());
        let known = libc::fstat(OWN_BINARY.load(Ordering::Relaxed), &mut here) == 0;
        let found = known && libc::stat(path.as_ptr(), &mut there) == 0;
        (found && here.st_dev == there.st_dev && here.st_ino == there.st_ino).then_some(path)
    }
}

/// A memory file with these bytes, at its beginning; `None` if the host has no room.
pub fn memory_file(name: &CStr, bytes: &[u8]) -> Option<i32> {
    use std::io::{Seek, Write};
    // SAFETY: a terminated name; the descriptor is ours.
    let mut file = unsafe {
        let fd = libc::syscall(libc::SYS_memfd_create, name.as_ptr(), libc::MFD_CLOEXEC) as i32;
        if fd < 0 {
            return None;
        }
        File::from_raw_fd(fd)
    };
    file.write_all(bytes).and_then(|()| file.rewind()).ok()?;
    Some(file.into_raw_fd())
}

/// What a memory file holds; the descriptor, which the program before handed on, is closed.
pub fn take_memory_file(fd: i32) -> Vec<u8> {
    use std::io::Read;
    let mut bytes = Vec::new();
    // SAFETY: the program before says that it is ours.
    let _ = unsafe { File::from_raw_fd(fd) }.read_to_end(&mut bytes);
    bytes
}

/// Executes Demotic again. Returns only on failure.
fn execute_self(launcher: Option<&CStr>, args: &[*const libc::c_char], env: &[*const libc::c_char]) -> Errno {
    // SAFETY: both arrays end with a null pointer and point to terminated strings.
    unsafe {
        if let Some(program) = launcher {
            libc::syscall(libc::SYS_execve, program.as_ptr(), args.as_ptr(), env.as_ptr());
            return Errno::last();
        }
        if let Some(path) = own_path() {
            libc::syscall(libc::SYS_execve, path.as_ptr(), args.as_ptr(), env.as_ptr());
        }
        libc::syscall(libc::SYS_execve, c"/proc/self/exe".as_ptr(), args.as_ptr(), env.as_ptr());
        let mut errno = Errno::last();
        let fd = OWN_BINARY.load(Ordering::Relaxed);
        // A chroot may have no /proc, or anything of that name.
        let is_no_proc = matches!(errno, Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EACCES);
        if is_no_proc && fd >= 0 {
            libc::syscall(libc::SYS_execveat, fd, c"".as_ptr(), args.as_ptr(), env.as_ptr(), libc::AT_EMPTY_PATH);
            errno = Errno::last();
        }
        errno
    }
}

/// The options of a re-execution as one argument.
fn encode(
    options: &Options,
    mask: host::Set,
    [fd, root, own, seccomp, trace, gdb, log_file]: [Option<i32>; 7],
    is_sealed: bool,
) -> String {
    let root_name = if is_sealed { "sealed" } else { "root" };
    let named = [
        ("fd", fd),
        (root_name, root),
        ("own", own),
        ("seccomp", seccomp),
        ("trace", trace),
        ("gdb", gdb),
        ("logto", log_file),
    ];
    let fds: String = named.into_iter().flat_map(|(name, fd)| Some(format!(",{name}={}", fd?))).collect();
    let (strace, log, way) = (u8::from(options.strace), u8::from(options.log), options.way.name());
    let sse = u8::from(options.fast_sse);
    let keep = u8::from(options.keep != Keep::Off);
    let (cpu, launch) = (options.cpu.bits(), options.launcher.len());
    let uname = options.uname.as_ref().map_or(String::new(), |u| format!(",uname={u}"));
    let page = options.host_page.map_or(String::new(), |page| format!(",page={page}"));
    let kinds = KERNEL_RUNS.load(Ordering::Relaxed);
    format!(
        "strace={strace},log={log},way={way},sse={sse},cpu={cpu:x},keep={keep},launch={launch},kernel={kinds},mask={mask:x}{fds}{uname}{page}"
    )
}

/// What a re-execution was told.
#[derive(Clone, Debug, Default)]
pub struct Continuation {
    /// From the command line, except for the launcher.
    pub options: Options,
    /// How many words of the launcher follow.
    pub launcher: usize,
    /// Whether the folder for translations follows behind them.
    pub keep: bool,
    /// The descriptor of the guest root, whose path follows behind that.
    pub root: Option<i32>,
    /// The root is sealed.
    pub sealed: bool,
    /// A descriptor of Demotic's own binary, to be adopted.
    pub own: Option<i32>,
    /// The guest's mask of blocked signals.
    pub mask: host::Set,
    /// The open program, for fexecve(3).
    pub fd: Option<i32>,
    /// A memory file with seccomp filters.
    pub seccomp: Option<i32>,
    /// How the thread goes on for its tracer.
    pub trace: Option<u32>,
    /// The connection of the debugger.
    pub gdb: Option<i32>,
    /// The log file.
    pub log_file: Option<i32>,
}

/// What [`encode`] wrote. Unknown parts are ignored. What the kernel runs is known from here on.
pub fn decode(text: &str) -> Continuation {
    let Continuation {
        mut options,
        mut launcher,
        mut keep,
        mut root,
        mut sealed,
        mut own,
        mut mask,
        mut fd,
        mut seccomp,
        mut trace,
        mut gdb,
        mut log_file,
    } = Continuation::default();
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("strace", v)) => options.strace = v == "1",
            Some(("log", v)) => options.log = v == "1",
            Some(("way", v)) => options.way = Way::parse(v).unwrap_or_default(),
            Some(("sse", v)) => options.fast_sse = v == "1",
            Some(("cpu", v)) => options.cpu = u64::from_str_radix(v, 16).map_or(options.cpu, Features::from_bits),
            Some(("keep", v)) => keep = v == "1",
            Some(("uname", v)) => options.uname = Some(v.to_owned()),
            Some(("page", v)) => options.host_page = v.parse().ok(),
            Some(("launch", v)) => launcher = v.parse().unwrap_or(0),
            Some(("kernel", v)) => drop(KERNEL_RUNS.fetch_or(v.parse().unwrap_or(0), Ordering::Relaxed)),
            Some(("mask", v)) => mask = host::Set::from_str_radix(v, 16).unwrap_or(0),
            Some(("own", v)) => own = v.parse().ok(),
            Some((name @ ("root" | "sealed"), v)) => (root, sealed) = (v.parse().ok(), name == "sealed"),
            Some(("fd", v)) => fd = v.parse().ok(),
            Some(("seccomp", v)) => seccomp = v.parse().ok(),
            Some(("trace", v)) => trace = v.parse().ok(),
            Some(("gdb", v)) => gdb = v.parse().ok(),
            Some(("logto", v)) => log_file = v.parse().ok(),
            _ => {}
        }
    }
    Continuation { options, launcher, keep, root, sealed, own, mask, fd, seccomp, trace, gdb, log_file }
}

/// Reads an array of string pointers that ends with a null pointer. A null array is an empty one.
fn strings(task: &Task, at: u64) -> Result<Vec<CString>, Errno> {
    let mut list = Vec::new();
    if at == 0 {
        return Ok(list);
    }
    let word = task.word() as u64;
    for i in 0..MAX_STRINGS as u64 {
        let slot = at.wrapping_add(i * word);
        let pointer = if word == 4 { u64::from(task.mem.read::<u32>(slot)?) } else { task.mem.read(slot)? };
        if pointer == 0 {
            return Ok(list);
        }
        list.push(task.mem.cstr_max(pointer, MAX_STRLEN).map_err(|e| match e {
            Errno::ENAMETOOLONG => Errno::E2BIG,
            e => e,
        })?);
    }
    Err(Errno::E2BIG)
}

/// The interpreter must be there before the old program is gone.
fn check_interpreter(root: &Root, file: &File, header: &Header) -> Result<(), Errno> {
    let Some(segment) = header.find(pt::INTERP) else { return Ok(()) };
    let len = usize::try_from(segment.filesz).ok().filter(|n| (2..=4096).contains(n)).ok_or(Errno::ENOEXEC)?;
    let mut path = read_at(file, segment.offset, len).map_err(refusal_errno)?;
    path.truncate(path.iter().position(|&b| b == 0).ok_or(Errno::ENOEXEC)?);
    let interpreter = crate::load::open_interpreter(root, &path, header.is_32bit)?;
    Header::read(&interpreter).map(drop).map_err(|_| Errno::ELIBBAD)
}

/// The array of pointers that execve(2) wants.
fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
}

/// Executes a file that is open: as a guest program if it is one, else by the host's kernel.
fn execute(task: &mut Task, path: &[u8], fd: Option<File>, args: Vec<CString>, env: Vec<CString>) -> SysResult {
    let file = match fd {
        Some(file) => {
            check_executable(&file)?;
            file
        }
        None => open(&task.process.root, path)?,
    };
    let given = args;
    let mut args: Vec<Vec<u8>> = given.iter().map(|a| a.to_bytes().to_vec()).collect();
    if args.is_empty() {
        // Linux gives every program an argv[0] (since 5.18).
        args.push(Vec::new());
    }
    // The file is looked at twice: here, so that errors are the guest's, and after the exec.
    let by_fd = !path.starts_with(b"/") && path.is_empty();
    let probe = file.try_clone().map_err(Errno::from)?;
    let mut probe_args = args.clone();
    let root = &task.process.root;
    let target = resolve(root, path, Some(probe.into_raw_fd()), &mut probe_args)?;
    let mut up_to_kernel = false;
    let native = match Header::read(&target.file) {
        Ok(header) => {
            check_interpreter(root, &target.file, &header)?;
            up_to_kernel = !by_fd && !root.is_active() && is_up_to_kernel(&target.file, header.is_32bit);
            false
        }
        Err(Refusal::Io(n)) => return Err(Errno(n as u16)),
        Err(Refusal::Broken(_)) => return Err(Errno::ENOEXEC),
        Err(Refusal::NotElf | Refusal::OtherMachine(_)) => true,
    };
    // A host program gets its name and its script's from the kernel, by the path; in a guest root that leads elsewhere, and a script is given to its
    // interpreter here. By descriptor alone the kernel calls a script /dev/fd/N.
    // Never on x86-64 hosts, where what stands there by then could be a guest program that the kernel runs natively.
    let by_path = up_to_kernel || (cfg!(not(target_arch = "x86_64")) && !by_fd && !root.is_active());
    let interpreter = (native && !by_path && !by_fd && probe_args != args).then_some(target.file);
    if (native || up_to_kernel) && task.seccomp.is_active() {
        // Nobody would apply the filters there.
        return Err(Errno::EACCES);
    }

    let c_path = CString::new(path).map_err(|_| Errno::ENOENT)?;
    // For the next process that runs this program.
    task.process.preserve();
    // The strings hang on the task: a vfork child never comes back from here, but its parent frees the task.
    let env_list = pointers(&env);
    task.exec_strings = env;
    let mask = task.signal.blocked;
    // From here on nothing is captured any more; what was goes back to the kernel and survives the exec there.
    let blocked = host::Blocked::with_requests();
    crate::signal::deliver::put_all_back(task);
    task.process.signals.prepare_exec();
    let errno = if native || up_to_kernel {
        let given = match &interpreter {
            Some(_) => probe_args.into_iter().flat_map(CString::new).collect(),
            None => given,
        };
        let list = pointers(&given);
        task.exec_strings.extend(given);
        host::set_mask(mask);
        // SAFETY: both arrays end with a null pointer and point to terminated strings.
        unsafe {
            let (fd, empty) = (interpreter.as_ref().unwrap_or(&file).as_raw_fd(), c"".as_ptr());
            if by_path {
                libc::syscall(libc::SYS_execve, c_path.as_ptr(), list.as_ptr(), env_list.as_ptr());
            } else {
                libc::syscall(libc::SYS_execveat, fd, empty, list.as_ptr(), env_list.as_ptr(), libc::AT_EMPTY_PATH);
            }
        }
        Errno::last()
    } else {
        // The file itself is handed on, without close-on-exec; Demotic closes it after loading. Its name may lead elsewhere by then, or
        // nowhere (/proc/self/fd of what is closed).
        let kept = duplicate_high(file.as_raw_fd(), false);
        let short = by_fd && kept.is_none();
        let name = match by_fd {
            // What the kernel calls it (do_open_execat): AT_EXECFN of fexecve.
            true => format!("/dev/fd/{}", file.as_raw_fd()).into_bytes(),
            false => path.to_vec(),
        };
        let options = &task.process.options;
        let launcher = options.launcher.iter().flat_map(|w| CString::new(w.as_bytes()));
        let mut words: Vec<CString> = launcher.clone().collect();
        let program = words.first().cloned();
        if program.is_none() {
            words.push(c"demotic".to_owned());
        }
        words.extend(CString::new(INTERNAL));
        // The next program gets the descriptor of the guest root: the path may be out of its reach.
        let root = task
            .process
            .root
            .handle()
            .and_then(|(fd, path)| Some((duplicate_high(fd, false)?, path.as_os_str().as_bytes().to_vec())));
        let short = short || (root.is_none() && task.process.root.is_active());
        let own = own_for_next();
        let filters = crate::seccomp::export(&task.seccomp).and_then(|fd| {
            let high = duplicate_high(fd, false);
            // SAFETY: the memory file's first descriptor, ours.
            unsafe { libc::close(fd) };
            high
        });
        // Filters must not get lost.
        let short = short || (filters.is_none() && task.seccomp.is_active());
        let gdb = crate::gdb::for_next(task);
        let log_file = log::file().and_then(|fd| duplicate_high(fd, false));
        let trace = crate::ptrace::tracee::handed_on(task).filter(|_| gdb.is_none()).map(|mode| mode as i32);
        let fds = [kept, root.as_ref().map(|root| root.0), own, filters, trace, gdb, log_file];
        words.extend(CString::new(encode(options, mask, fds, task.process.root.is_sealed())));
        words.extend(launcher);
        if let Keep::In(dir) = &options.keep {
            words.extend(CString::new(dir.as_os_str().as_bytes()));
        }
        if let Some((_, path)) = &root {
            words.extend(CString::new(path.as_slice()));
        }
        words.extend(CString::new(name));
        words.extend(args.into_iter().flat_map(CString::new));
        let list = pointers(&words);
        task.exec_strings.extend(words);
        let errno = if short { Errno::EMFILE } else { execute_self(program.as_deref(), &list, &env_list) };
        for fd in kept.into_iter().chain(root.map(|root| root.0)).chain(own).chain(filters).chain(gdb).chain(log_file) {
            // SAFETY: ours, and not needed now.
            unsafe { libc::close(fd) };
        }
        errno
    };
    task.exec_strings.clear();
    task.process.signals.undo_exec();
    drop(blocked);
    task.signal.sync_host_mask();
    Err(errno)
}

/// A path argument; /proc/self/exe is the guest's program, not Demotic.
fn program_path(task: &Task, dir: i32, at: u64) -> Result<CString, Errno> {
    let path = crate::fs::path::read(task, at)?;
    let own = crate::fs::proc::exe_target(task, dir as u64, &path);
    Ok(own.unwrap_or(path))
}

/// execve(2).
pub fn sys_execve(task: &mut Task, args: [u64; 6]) -> SysResult {
    let [path, argv, envp, ..] = args;
    let path = program_path(task, libc::AT_FDCWD, path)?;
    let argv = strings(task, argv)?;
    let envp = strings(task, envp)?;
    execute(task, path.to_bytes(), None, argv, envp)
}

/// execveat(2).
pub fn sys_execveat(task: &mut Task, args: [u64; 6]) -> SysResult {
    let [dir, path, argv, envp, flags, _] = args;
    let path = program_path(task, dir as i32, path)?;
    let argv = strings(task, argv)?;
    let envp = strings(task, envp)?;
    let (dir, flags) = (dir as i32, flags as i32);
    if flags & !(libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    let bytes = path.to_bytes();
    if bytes.is_empty() && flags & libc::AT_EMPTY_PATH == 0 {
        return Err(Errno::ENOENT);
    }
    if (dir == libc::AT_FDCWD || bytes.starts_with(b"/")) && flags & libc::AT_SYMLINK_NOFOLLOW == 0 {
        return execute(task, bytes, None, argv, envp);
    }
    let open_flags =
        libc::O_CLOEXEC | libc::O_RDONLY | if flags & libc::AT_SYMLINK_NOFOLLOW != 0 { libc::O_NOFOLLOW } else { 0 };
    // SAFETY: a terminated path; the descriptor is ours.
    let file = unsafe {
        let fd = if bytes.is_empty() {
            // A descriptor that was opened with O_PATH cannot be read; opening it again can.
            if libc::fcntl(dir, libc::F_GETFD) < 0 {
                return Err(Errno::EBADF);
            }
            let again = CString::new(format!("/proc/self/fd/{dir}")).map_err(|_| Errno::EINVAL)?;
            libc::open(again.as_ptr(), libc::O_CLOEXEC | libc::O_RDONLY)
        } else {
            crate::fs::path::open(task, dir as u64, &path, open_flags as u32, 0)? as i32
        };
        if fd < 0 {
            return Err(Errno::last());
        }
        File::from_raw_fd(fd)
    };
    execute(task, b"", Some(file), argv, envp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_lines() {
        let line = |text: &str| script(text.as_bytes()).map(|s| s.map(|(a, b)| (a, b.unwrap_or_default())));
        let some = |a: &str, b: &str| Ok(Some((a.as_bytes().to_vec(), b.as_bytes().to_vec())));
        assert_eq!(line("#!/bin/sh\necho"), some("/bin/sh", ""));
        assert_eq!(line("#! /usr/bin/env  python3 -u \nx"), some("/usr/bin/env", "python3 -u"));
        assert_eq!(line("#!/bin/sh"), some("/bin/sh", ""));
        assert_eq!(line("#!  \n"), Err(Errno::ENOEXEC));
        assert_eq!(line("#!"), Err(Errno::EACCES));
        assert_eq!(line("\x7fELF"), Ok(None));
        let long = format!("#!/{}", "x".repeat(300));
        assert_eq!(script(&long.as_bytes()[..LINE]), Err(Errno::ENOEXEC));
        let long = format!("#!/bin/sh {}", "x".repeat(300));
        assert!(matches!(script(&long.as_bytes()[..LINE]), Ok(Some((name, Some(_)))) if name == b"/bin/sh"));
    }

    #[test]
    fn options_travel() {
        let mut options = Options { strace: true, launcher: vec!["a".into(), "b".into()], ..Options::default() };
        options.uname = Some("5.10.0-x".to_owned());
        options.host_page = Some(16384);
        let back = decode(&encode(
            &options,
            0x8000_0000_0000_0401,
            [Some(905), Some(7), None, None, Some(1), None, Some(9)],
            true,
        ));
        assert!(back.options.strace && !back.options.log);
        assert_eq!(back.options.uname.as_deref(), Some("5.10.0-x"));
        assert_eq!(back.options.host_page, Some(16384));
        assert_eq!((back.mask, back.fd, back.launcher), (0x8000_0000_0000_0401, Some(905), 2));
        assert_eq!((back.trace, back.log_file), (Some(1), Some(9)));
        assert!(!back.keep && back.root == Some(7) && back.sealed);
        let kept = Options { keep: Keep::In("/x".into()), ..Options::default() };
        let back = decode(&encode(&kept, 0, [None, Some(8), None, None, None, None, None], false));
        assert!(back.keep && back.root == Some(8) && !back.sealed);
        assert_eq!(decode("").mask, 0);
    }
}
