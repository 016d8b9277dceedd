//! The guest root: a folder with a foreign userland, in which absolute paths are looked up before the host's root.
//!
//! *The rule.* An absolute path means the file in the guest root if it is there, else the host's. A name is created, renamed or
//! removed in the guest root if the directory that it is in is there, else on the host; so a guest replaces nothing of the host's
//! where its root has the directory. Symbolic links inside the root, absolute ones and `..` at its top included, stay inside. Relative paths
//! start from where the directory really is: inside the root the same holds, outside they are the host's. `/proc`, `/sys` and `/dev` are
//! always the host's. What the kernel tells of paths (getcwd(2), links in /proc, maps, socket addresses) is shown without the root's own path.
//!
//! *How.* A descriptor of the root is kept where guests rarely look. openat2(2) with RESOLVE_IN_ROOT makes the kernel walk as in a chroot: opening takes the
//! one call that it takes anyway, asking about a file three. All other calls get a path without symbolic links,
//! relative to that descriptor, which is found by one readlinkat(2) for each component ([`Root::walk`]); so do all calls where the kernel has no openat2
//! (before 5.6). Nothing depends on the directories above the root being accessible, and nothing is cached, for other processes may rename.
//!
//! *Sealed* ([`Root::seal`]) the root is all there is but for `/proc`, `/sys`, `/dev` and what says how names of machines are resolved. Package managers, and what
//! they start, see it so: they would take the host's directories for those of their packages and install into them.
//!
//! It is a view, no prison: a guest can name the host's files, and another process that renames directories meanwhile can mislead a walk.
//!
//! chroot(2) ends it: from then on the kernel's own root is the guest's ([`Root::leave`]).

use crate::errno::{Errno, SysResult};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// What is meant by the last component of a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Last {
    /// The file that it leads to.
    Follow,
    /// The file itself, even if it is a symbolic link.
    Itself,
    /// The name, whether or not there is such a file: it is created, renamed or removed.
    Entry,
    /// The file that it leads to, or the name if there is none (O_CREAT).
    Create,
}

/// How a path of the guest's is to be said to the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// As the guest says it.
    Plain,
    /// In the root: a path relative to the root's descriptor.
    Inside(CString),
}

/// Most symbolic links in one path (MAXSYMLINKS).
const MAX_LINKS: usize = 40;

const RESOLVE_BENEATH: u64 = 8;
const RESOLVE_IN_ROOT: u64 = 16;

/// `struct open_how` (linux/openat2.h).
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

impl OpenHow {
    /// What openat(2) takes, for openat2(2), which refuses what openat ignores.
    fn new(flags: u32, mode: u32, resolve: u64) -> OpenHow {
        /// All bits that `open` knows (VALID_OPEN_FLAGS), by the host's numbers.
        const KNOWN: u32 = 0o3777_7703;
        let flags = if flags & libc::O_PATH as u32 != 0 {
            flags & (libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC) as u32
        } else {
            flags & KNOWN
        };
        let creates = flags & (libc::O_CREAT | libc::O_TMPFILE & !libc::O_DIRECTORY) as u32 != 0;
        OpenHow { flags: flags.into(), mode: if creates { (mode & 0o7777).into() } else { 0 }, resolve }
    }
}

/// The guest root of a process.
#[derive(Debug)]
pub struct Root {
    /// Its absolute path on the host, without links; empty without a root.
    prefix: Vec<u8>,
    /// Its descriptor; -1: there is no root, or no longer.
    fd: AtomicI32,
    /// The kernel has openat2(2).
    has_openat2: bool,
    /// What is not in it is not there.
    sealed: AtomicBool,
}

/// A second reference to the same, for a process that shares memory and not the rest.
impl Clone for Root {
    fn clone(&self) -> Root {
        Root {
            prefix: self.prefix.clone(),
            fd: AtomicI32::new(self.fd()),
            has_openat2: self.has_openat2,
            sealed: AtomicBool::new(self.is_sealed()),
        }
    }
}

/// Programs that install packages.
const MANAGERS: [&[u8]; 8] = [b"dpkg", b"apt", b"apt-get", b"aptitude", b"rpm", b"dnf", b"apk", b"pacman"];

/// What they are told when they are to change something.
const CHANGES: [&[u8]; 14] = [
    b"install",
    b"reinstall",
    b"remove",
    b"purge",
    b"update",
    b"upgrade",
    b"dist-upgrade",
    b"full-upgrade",
    b"autoremove",
    b"-i",
    b"--install",
    b"--configure",
    b"-r",
    b"-P",
];

/// The host's files that a sealed root has as well, if it has none of its own: how names of machines are resolved, as in a `demotic shell`.
const SHARED: [&[u8]; 2] = [b"/etc/resolv.conf", b"/etc/hosts"];

const CWD: usize = libc::AT_FDCWD as isize as usize;

/// A host system call of our own.
fn host(nr: libc::c_long, args: [usize; 6]) -> SysResult {
    // SAFETY: callers pass descriptors, flags, and pointers to their own buffers.
    Errno::from_ret(unsafe { demotic_host::sys::syscall6(nr, args) })
}

/// Components of a path, empty ones and `.` left out.
fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&b| b == b'/').filter(|part| !matches!(*part, b"" | b"."))
}

/// True for the kernel's own file systems, which are the host's.
fn is_kernels(first: &[u8]) -> bool {
    matches!(first, b"proc" | b"sys" | b"dev")
}

/// The part of an absolute path that is looked up in the root; `None` if it is the host's in any case.
fn inside(path: &[u8]) -> Option<&[u8]> {
    let first = components(path).next();
    match first {
        Some(first) if is_kernels(first) => {
            // What /proc says is the guest's root is the guest's root.
            path.strip_prefix(b"/proc/self/root").filter(|rest| matches!(rest.first(), None | Some(b'/')))
        }
        _ => Some(path),
    }
}

/// The path for a call relative to the root's descriptor: no leading slashes, never empty.
fn relative(path: &[u8]) -> Option<CString> {
    let start = path.iter().position(|&b| b != b'/').unwrap_or(path.len());
    let rest = path.get(start..).unwrap_or_default();
    CString::new(if rest.is_empty() { b"." } else { rest }).ok()
}

impl Root {
    /// No root: every path is the host's.
    pub const fn none() -> Root {
        Root { prefix: Vec::new(), fd: AtomicI32::new(-1), has_openat2: false, sealed: AtomicBool::new(false) }
    }

    /// The root in a folder of the host's; `fd` is a descriptor of it that somebody opened already, and is taken over.
    ///
    /// # Errors
    /// When it is no accessible folder.
    pub fn new(dir: &Path, fd: Option<i32>) -> std::io::Result<Root> {
        use std::io::{Error, ErrorKind};
        let (prefix, fd) = match fd {
            Some(fd) => (dir.to_owned(), fd),
            None => {
                let prefix = std::fs::canonicalize(dir)?;
                if !prefix.is_dir() {
                    return Err(Error::from(ErrorKind::NotADirectory));
                }
                let path = CString::new(prefix.as_os_str().as_bytes())?;
                let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
                let args = [CWD, path.as_ptr() as usize, flags as usize, 0, 0, 0];
                let fd = host(libc::SYS_openat, args).map_err(|e| Error::from_raw_os_error(e.0.into()))?;
                (prefix, fd as i32)
            }
        };
        if prefix == Path::new("/") {
            return Ok(Root::none());
        }
        let prefix = prefix.as_os_str().as_bytes().to_vec();
        let mut root = Root { prefix, fd: AtomicI32::new(fd), ..Root::none() };
        root.vacate(fd);
        // SAFETY: the old descriptor is ours, and used by nobody any more.
        unsafe { libc::close(fd) };
        let probe = root.resolve(c"/", libc::O_PATH as u32, 0, RESOLVE_IN_ROOT, root.fd() as usize, &host);
        if let Ok(fd) = probe {
            root.has_openat2 = true;
            // SAFETY: just opened.
            unsafe { libc::close(fd as i32) };
        }
        Ok(root)
    }

    fn fd(&self) -> i32 {
        self.fd.load(Ordering::Relaxed)
    }

    /// Whether there is a root.
    pub fn is_active(&self) -> bool {
        self.fd() >= 0
    }

    /// From now on this process and the programs that it executes see nothing of the host's.
    pub fn seal(&self) {
        self.sealed.store(true, Ordering::Relaxed);
    }

    /// Whether the root is all there is.
    pub fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Relaxed)
    }

    /// Seals the root for a program that installs packages in it; `program` is the file's path on the host.
    pub fn seal_for(&self, program: &Path) {
        let name = program.file_name().map(OsStrExt::as_bytes);
        let installs = name.is_some_and(|name| MANAGERS.contains(&name));
        if installs && self.is_active() && program.starts_with(std::ffi::OsStr::from_bytes(&self.prefix)) {
            self.seal();
        }
    }

    /// Whether this program with these arguments would install or remove something, which takes the rights of root.
    pub fn installs(program: &Path, args: &[std::ffi::OsString]) -> bool {
        let name = program.file_name().map(OsStrExt::as_bytes);
        name.is_some_and(|name| MANAGERS.contains(&name))
            && args.iter().skip(1).any(|arg| CHANGES.contains(&arg.as_bytes()))
    }

    /// Whether the host's file counts, for being read, where the root has none.
    fn falls_back(&self, path: &[u8]) -> bool {
        !self.is_sealed() || SHARED.contains(&path)
    }

    /// Its descriptor, as host calls want it.
    pub fn dir(&self) -> usize {
        self.fd() as isize as usize
    }

    /// The descriptor and the path, for the next program.
    pub fn handle(&self) -> Option<(i32, &Path)> {
        self.is_active().then(|| (self.fd(), Path::new(std::ffi::OsStr::from_bytes(&self.prefix))))
    }

    /// True for the root's descriptor, which the guest does not know and must not close.
    pub fn is_fd(&self, fd: i32) -> bool {
        fd >= 0 && self.fd() == fd
    }

    /// Makes room when the guest wants to give `fd` a meaning of its own.
    pub fn vacate(&self, fd: i32) {
        if self.is_fd(fd) {
            if let Some(other) = crate::exec::duplicate_high(fd, true) {
                self.fd.store(other, Ordering::Relaxed);
            }
        }
    }

    /// The guest has a root of the kernel's from now on (chroot(2), pivot_root(2)).
    pub fn leave(&self) {
        let fd = self.fd.swap(-1, Ordering::Relaxed);
        if fd >= 0 {
            // SAFETY: ours, and not used any more.
            unsafe { libc::close(fd) };
        }
    }

    /// After a change of the mount namespace the descriptor leads to the old one's mounts: it is opened anew.
    pub fn reopen(&self) {
        if !self.is_active() {
            return;
        }
        let Ok(path) = CString::new(self.prefix.clone()) else { return };
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
        if let Ok(new) = host(libc::SYS_openat, [CWD, path.as_ptr() as usize, flags as usize, 0, 0, 0]) {
            // SAFETY: both are ours.
            unsafe {
                libc::dup3(new as i32, self.fd(), libc::O_CLOEXEC);
                libc::close(new as i32);
            }
        }
    }

    /// What the guest sees of a path that the host's kernel told: without the root's own part.
    pub fn guest<'a>(&self, path: &'a [u8]) -> &'a [u8] {
        if !self.is_active() {
            return path;
        }
        match path.strip_prefix(self.prefix.as_slice()) {
            Some([]) => b"/",
            Some(rest) if rest.first() == Some(&b'/') => rest,
            _ => path,
        }
    }

    /// The same for an owned path.
    pub fn guest_path(&self, path: &Path) -> PathBuf {
        PathBuf::from(std::ffi::OsStr::from_bytes(self.guest(path.as_os_str().as_bytes())))
    }

    /// A path of the host's for a result of [`Root::find`], for calls that take no directory.
    pub fn full(&self, inner: &CString) -> CString {
        // By the descriptor: the directories above the root need not be accessible.
        let fd = self.fd();
        let path = match inner.as_bytes() {
            b"." => format!("/proc/self/fd/{fd}").into_bytes(),
            inner => [format!("/proc/self/fd/{fd}/").as_bytes(), inner].concat(),
        };
        CString::new(path).unwrap_or_default()
    }

    /// openat2(2) in the root.
    fn resolve(
        &self,
        name: &std::ffi::CStr,
        flags: u32,
        mode: u32,
        resolve: u64,
        dir: usize,
        call: &impl Fn(libc::c_long, [usize; 6]) -> SysResult,
    ) -> SysResult {
        let how = OpenHow::new(flags, mode, resolve);
        let args = [dir, name.as_ptr() as usize, &raw const how as usize, size_of::<OpenHow>(), 0, 0];
        call(libc::SYS_openat2, args)
    }

    /// Opens a path of the guest's, with flags by the host's numbers. `call` makes the host's call.
    ///
    /// # Errors
    /// Those of openat(2).
    pub fn open(
        &self,
        dir: usize,
        name: &std::ffi::CStr,
        flags: u32,
        mode: u32,
        call: impl Fn(libc::c_long, [usize; 6]) -> SysResult,
    ) -> SysResult {
        let path = name.to_bytes();
        let plain = |dir: usize, name: &std::ffi::CStr| {
            call(libc::SYS_openat, [dir, name.as_ptr() as usize, flags as usize, mode as usize, 0, 0])
        };
        let is_absolute = path.first() == Some(&b'/');
        if !self.is_active() || path.is_empty() || (is_absolute && inside(path).is_none()) {
            return plain(dir, name);
        }
        if self.has_openat2 {
            let result = if is_absolute {
                let inner = inside(path).and_then(relative).ok_or(Errno::ENOENT)?;
                self.resolve(&inner, flags, mode, RESOLVE_IN_ROOT, self.dir(), &call)
            } else {
                self.resolve(name, flags, mode, RESOLVE_BENEATH, dir, &call)
            };
            match result {
                // A walk that leaves the root, by way of /proc for one, or that met a rename.
                Err(Errno::ELOOP | Errno::EXDEV | Errno::EAGAIN) => {}
                Err(Errno::ENOENT)
                    if is_absolute
                        && !(self.falls_back(path) && (!self.is_sealed() || is_read(flags)))
                        && !self.leads_out(path) =>
                {
                    return result;
                }
                Err(Errno::ENOENT) if is_absolute => match plain(dir, name) {
                    Err(Errno::ENOENT) if self.leads_out(path) => {}
                    result => return result,
                },
                // A file of the root's where a directory is wanted is found, and the host's are not asked.
                Err(Errno::ENOTDIR) if is_absolute && self.leads_out(path) => {}
                result => return result,
            }
        }
        let last = match flags as i32 {
            flags if flags & libc::O_CREAT != 0 && flags & libc::O_EXCL != 0 => Last::Entry,
            flags if flags & libc::O_NOFOLLOW != 0 => Last::Itself,
            flags if flags & libc::O_CREAT != 0 => Last::Create,
            _ => Last::Follow,
        };
        match self.find_slowly(dir, path, last)? {
            Found::Plain => plain(dir, name),
            Found::Inside(inner) => plain(self.dir(), &inner),
        }
    }

    /// A descriptor (O_PATH) of the file that a path of the guest's names, if the kernel can find it in one call; it is to be closed.
    /// Otherwise how to say the path to the host.
    ///
    /// # Errors
    /// Those of a path lookup.
    pub fn look(&self, dir: usize, name: &std::ffi::CStr, last: Last) -> Result<Result<i32, Found>, Errno> {
        let path = name.to_bytes();
        let is_absolute = path.first() == Some(&b'/');
        if !self.is_active() || is_direct(path, last) || (is_absolute && inside(path).is_none()) {
            return Ok(Err(Found::Plain));
        }
        if self.has_openat2 {
            let nofollow = if last == Last::Follow { 0 } else { libc::O_NOFOLLOW };
            let flags = (libc::O_PATH | libc::O_CLOEXEC | nofollow) as u32;
            let result = if is_absolute {
                let inner = inside(path).and_then(relative).ok_or(Errno::ENOENT)?;
                self.resolve(&inner, flags, 0, RESOLVE_IN_ROOT, self.dir(), &host)
            } else {
                self.resolve(name, flags, 0, RESOLVE_BENEATH, dir, &host)
            };
            match result {
                Ok(fd) => return Ok(Ok(fd as i32)),
                Err(Errno::ENOENT | Errno::ENOTDIR) if is_absolute && self.leads_out(path) => {}
                Err(Errno::ENOENT) if is_absolute && self.falls_back(path) => return Ok(Err(Found::Plain)),
                // Also when there is no descriptor left.
                Err(Errno::ELOOP | Errno::EXDEV | Errno::EAGAIN | Errno::EMFILE | Errno::ENFILE) => {}
                Err(errno) => return Err(errno),
            }
        }
        self.find_slowly(dir, path, last).map(Err)
    }

    /// How to say a path of the guest's to the host.
    ///
    /// # Errors
    /// Those of a path lookup.
    pub fn find(&self, dir: usize, path: &[u8], last: Last) -> Result<Found, Errno> {
        if !self.is_active() || is_direct(path, last) {
            return Ok(Found::Plain);
        }
        if self.has_openat2 && path.first() != Some(&b'/') {
            // Most relative paths lead nowhere that the kernel would not find by itself.
            let flags = (libc::O_PATH | libc::O_CLOEXEC) as u32;
            let name = CString::new(match last {
                Last::Entry => split_last(path).0,
                _ => path,
            });
            let name = name.map_err(|_| Errno::ENOENT)?;
            match self.resolve(&name, flags, 0, RESOLVE_BENEATH, dir, &host) {
                Ok(fd) => {
                    // SAFETY: just opened.
                    unsafe { libc::close(fd as i32) };
                    return Ok(Found::Plain);
                }
                Err(Errno::ELOOP | Errno::EXDEV | Errno::EAGAIN | Errno::EMFILE | Errno::ENFILE) => {}
                Err(_) => return Ok(Found::Plain),
            }
        }
        self.find_slowly(dir, path, last)
    }

    fn find_slowly(&self, dir: usize, path: &[u8], last: Last) -> Result<Found, Errno> {
        let joined;
        let full = if path.first() == Some(&b'/') {
            path
        } else {
            let Some(base) = self.base(dir) else { return Ok(Found::Plain) };
            joined = [base.as_slice(), b"/", path].concat();
            joined.as_slice()
        };
        match inside(full) {
            None => Ok(Found::Plain),
            Some(inner) => self.walk(inner, last),
        }
    }

    /// The guest's path of a directory that is inside the root.
    fn base(&self, dir: usize) -> Option<Vec<u8>> {
        let link = if dir as i32 == libc::AT_FDCWD {
            "/proc/self/cwd".to_owned()
        } else {
            format!("/proc/self/fd/{}", dir as i32)
        };
        let path = std::fs::read_link(link).ok()?;
        let path = path.as_os_str().as_bytes();
        let rest = path.strip_prefix(self.prefix.as_slice())?;
        matches!(rest.first(), None | Some(b'/')).then(|| rest.to_vec())
    }

    /// Follows a path inside the root component by component. The answer has no symbolic links, except that the last component is one
    /// for [`Last::Itself`] and may be for [`Last::Entry`].
    fn walk(&self, path: &[u8], last: Last) -> Result<Found, Errno> {
        let (path, name) = match last {
            Last::Entry => split_last(path),
            _ => (path, &b""[..]),
        };
        let follows = last != Last::Itself || path.ends_with(b"/");
        // What is still to come, the next at the end.
        let mut rest: Vec<Vec<u8>> = components(path).rev().map(<[u8]>::to_vec).collect();
        let mut done: Vec<u8> = Vec::new();
        let mut links = 0;
        while let Some(part) = rest.pop() {
            if part == b".." {
                done.truncate(done.iter().rposition(|&b| b == b'/').unwrap_or(0));
                continue;
            }
            let before = done.len();
            if before > 0 {
                done.push(b'/');
            }
            done.extend_from_slice(&part);
            if before == 0 && links > 0 && is_kernels(&part) {
                // A link out of the root, into the kernel's file systems.
                let rest: Vec<&[u8]> = rest.iter().rev().map(Vec::as_slice).collect();
                let mut path = [b"/", done.as_slice(), b"/", rest.join(&b'/').as_slice()].concat();
                while path.last() == Some(&b'/') {
                    path.pop();
                }
                if last == Last::Entry {
                    path.extend_from_slice(&[b"/", name].concat());
                }
                return Ok(Found::Inside(CString::new(path).map_err(|_| Errno::ENOENT)?));
            }
            if rest.is_empty() && !follows {
                // The link itself; whether it is there the call will say, but then the host's counts.
                return match self.is_sealed() || self.exists(&done) {
                    true => Ok(Found::Inside(CString::new(done).map_err(|_| Errno::ENOENT)?)),
                    false => Ok(Found::Plain),
                };
            }
            match self.readlink(&done) {
                Ok(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::ELOOP);
                    }
                    done.truncate(if target.first() == Some(&b'/') { 0 } else { before });
                    rest.extend(components(&target).rev().map(<[u8]>::to_vec));
                }
                Err(Errno::EINVAL) => {}
                Err(Errno::ENOENT) if last == Last::Create && rest.is_empty() => {}
                Err(Errno::ENOENT) if !self.is_sealed() => return Ok(Found::Plain),
                Err(errno) => return Err(errno),
            }
        }
        if last == Last::Entry {
            if !done.is_empty() {
                done.push(b'/');
            }
            done.extend_from_slice(name);
        } else if path.ends_with(b"/") {
            done.push(b'/');
        }
        if done.is_empty() || done == b"/" {
            done = b".".to_vec();
        }
        Ok(Found::Inside(CString::new(done).map_err(|_| Errno::ENOENT)?))
    }

    /// True if an absolute path is that of a symbolic link in the root: where it ends nothing was found, but it may lead to /proc.
    fn leads_out(&self, path: &[u8]) -> bool {
        inside(path).and_then(relative).is_some_and(|inner| self.readlink(inner.as_bytes()).is_ok())
    }

    fn readlink(&self, inner: &[u8]) -> Result<Vec<u8>, Errno> {
        let path = CString::new(inner).map_err(|_| Errno::ENOENT)?;
        let mut target = vec![0u8; 4096];
        let args = [self.dir(), path.as_ptr() as usize, target.as_mut_ptr() as usize, target.len(), 0, 0];
        let len = host(libc::SYS_readlinkat, args)?;
        target.truncate(len as usize);
        Ok(target)
    }

    fn exists(&self, inner: &[u8]) -> bool {
        // A link can be read, anything else that is there says EINVAL.
        matches!(self.readlink(inner), Ok(_) | Err(Errno::EINVAL))
    }
}

/// Whether open flags let nothing be written.
fn is_read(flags: u32) -> bool {
    flags as i32 & (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC) == libc::O_RDONLY
}

/// True for a relative path that means the same to the kernel in any case.
fn is_direct(path: &[u8], last: Last) -> bool {
    match path {
        b"" | b"." => true,
        _ if path.contains(&b'/') || path == b".." => false,
        _ => matches!(last, Last::Itself | Last::Entry),
    }
}

/// The directory of a path (never empty: `.` if need be, `/` for names at the top) and the last component with the slashes behind it.
fn split_last(path: &[u8]) -> (&[u8], &[u8]) {
    let end = path.iter().rposition(|&b| b != b'/').map_or(0, |at| at + 1);
    let start = path.get(..end).and_then(|p| p.iter().rposition(|&b| b == b'/')).map_or(0, |at| at + 1);
    match (path.get(..start), path.get(start..)) {
        (Some(b""), Some(name)) => (b".", name),
        (Some(dir), Some(name)) => (dir, name),
        _ => (b".", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Read;
    use std::os::fd::FromRawFd;
    use std::os::unix::fs::symlink;

    const AT_CWD: usize = CWD;

    /// A root with links of all kinds; removed when dropped.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Tree {
            let dir = std::env::temp_dir().join(format!("demotic-root-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&dir);
            fs::create_dir_all(dir.join("usr/lib/deep")).unwrap();
            fs::create_dir_all(dir.join("etc")).unwrap();
            fs::create_dir_all(dir.join("proc/self")).unwrap();
            fs::write(dir.join("usr/lib/file"), "in the root").unwrap();
            fs::write(dir.join("proc/version"), "not this").unwrap();
            symlink("/usr/lib", dir.join("lib")).unwrap();
            symlink("../../../../../../usr/lib/file", dir.join("etc/up")).unwrap();
            symlink("/lib/file", dir.join("etc/chain")).unwrap();
            symlink("/etc/nothing", dir.join("etc/dangling")).unwrap();
            symlink("loop", dir.join("etc/loop")).unwrap();
            symlink("/proc/self/status", dir.join("etc/out")).unwrap();
            Tree(fs::canonicalize(dir).unwrap())
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Both ways of looking up, where the kernel has both.
    fn roots(tree: &Tree) -> Vec<Root> {
        let root = Root::new(&tree.0, None).unwrap();
        let slow = Root { has_openat2: false, ..Root::new(&tree.0, None).unwrap() };
        vec![root, slow]
    }

    fn text(root: &Root, path: &str, flags: i32) -> Result<String, Errno> {
        let name = CString::new(path).unwrap();
        let fd = root.open(AT_CWD, &name, flags as u32, 0o600, host)?;
        // SAFETY: just opened.
        let mut file = unsafe { fs::File::from_raw_fd(fd as i32) };
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn links_stay_inside() {
        let tree = Tree::new("links");
        for root in roots(&tree) {
            let inside = |path: &str, last: Last| match root.find(AT_CWD, path.as_bytes(), last).unwrap() {
                Found::Inside(path) => path.into_string().unwrap(),
                Found::Plain => "the host's".to_owned(),
            };
            assert_eq!(inside("/lib/file", Last::Follow), "usr/lib/file");
            assert_eq!(inside("//etc/./up", Last::Follow), "usr/lib/file");
            assert_eq!(inside("/etc/chain", Last::Follow), "usr/lib/file");
            assert_eq!(inside("/etc/chain", Last::Itself), "etc/chain");
            assert_eq!(inside("/lib/", Last::Itself), "usr/lib/");
            assert_eq!(inside("/../../lib/deep/../file", Last::Follow), "usr/lib/file");
            assert_eq!(inside("/", Last::Follow), ".");
            assert_eq!(inside("/lib/new", Last::Entry), "usr/lib/new");
            assert_eq!(inside("/new", Last::Entry), "new");
            assert_eq!(inside("/lib/new/", Last::Entry), "usr/lib/new/");
            assert_eq!(inside("/etc/dangling", Last::Create), "etc/nothing");
            assert_eq!(inside("/etc/dangling", Last::Follow), "the host's");
            assert_eq!(inside("/etc/dangling", Last::Itself), "etc/dangling");
            assert_eq!(inside("/nowhere/new", Last::Entry), "the host's");
            assert_eq!(inside("/lib/nothing", Last::Itself), "the host's");
            assert_eq!(inside("/proc/version", Last::Follow), "the host's");
            assert_eq!(inside("/proc/self/root/lib/file", Last::Follow), "usr/lib/file");
            assert_eq!(root.find(AT_CWD, b"/etc/loop", Last::Follow), Err(Errno::ELOOP));
        }
    }

    #[test]
    fn files_are_opened_in_the_root_first() {
        let tree = Tree::new("open");
        for root in roots(&tree) {
            assert_eq!(text(&root, "/lib/file", libc::O_RDONLY).unwrap(), "in the root");
            assert_eq!(text(&root, "/etc/up", libc::O_RDONLY).unwrap(), "in the root");
            assert_eq!(text(&root, "/etc/up", libc::O_RDONLY | libc::O_NOFOLLOW), Err(Errno::ELOOP));
            assert!(text(&root, "/etc/out", libc::O_RDONLY).unwrap().contains("Pid:"));
            assert!(text(&root, "/proc/version", libc::O_RDONLY).unwrap().contains("Linux"));
            // The host has it, the root has not.
            let here = fs::canonicalize("/proc/self/exe").unwrap();
            let name = CString::new(here.as_os_str().as_bytes()).unwrap();
            let fd = root.open(AT_CWD, &name, (libc::O_RDONLY | libc::O_CLOEXEC) as u32, 0, host).unwrap();
            // SAFETY: just opened.
            unsafe { libc::close(fd as i32) };
            // New files go where their directory is.
            let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
            assert_eq!(text(&root, "/lib/made", flags).unwrap(), "");
            fs::remove_file(tree.0.join("usr/lib/made")).unwrap();
            assert_eq!(text(&root, "/etc/dangling", libc::O_RDWR | libc::O_CREAT).unwrap(), "");
            fs::remove_file(tree.0.join("etc/nothing")).unwrap();
        }
    }

    #[test]
    fn a_sealed_root_is_all_there_is() {
        let tree = Tree::new("sealed");
        for root in roots(&tree) {
            root.seal_for(&tree.0.join("usr/bin/bash"));
            root.seal_for(Path::new("/usr/bin/dpkg"));
            assert!(!root.is_sealed());
            root.seal_for(&tree.0.join("usr/bin/dpkg"));
            assert!(root.is_sealed() && root.clone().is_sealed());
            let installs = |words: &[&str]| {
                let words: Vec<std::ffi::OsString> = words.iter().map(Into::into).collect();
                Root::installs(Path::new(&words[0]), &words)
            };
            assert!(installs(&["/usr/bin/apt-get", "-y", "install", "x"]) && installs(&["dpkg", "-i", "x.deb"]));
            assert!(!installs(&["dpkg", "-l"]) && !installs(&["bash", "-i"]) && !installs(&["apt"]));
            // The host has these.
            let here = fs::canonicalize("/proc/self/exe").unwrap();
            let name = here.to_str().unwrap();
            assert_eq!(text(&root, name, libc::O_RDONLY), Err(Errno::ENOENT));
            let beside = here.with_file_name("made by a sealed root");
            let beside = beside.to_str().unwrap();
            assert_eq!(text(&root, beside, libc::O_RDWR | libc::O_CREAT), Err(Errno::ENOENT));
            let path = |path: &str, last: Last| root.find(AT_CWD, path.as_bytes(), last);
            assert_eq!(path(name, Last::Follow), Err(Errno::ENOENT));
            assert_eq!(path(beside, Last::Entry), Err(Errno::ENOENT));
            assert_eq!(path(beside, Last::Create), Err(Errno::ENOENT));
            let found = |path: &str| Ok(Found::Inside(CString::new(path).unwrap()));
            assert_eq!(path("/lib/nothing", Last::Itself), found("usr/lib/nothing"));
            assert_eq!(path("/lib/file", Last::Follow), found("usr/lib/file"));
            if root.has_openat2 {
                let c_name = CString::new(name).unwrap();
                assert_eq!(root.look(AT_CWD, &c_name, Last::Follow), Err(Errno::ENOENT));
            }
            // The kernel's own files are there, and names of machines are resolved as on the host, but nothing is written there.
            assert!(text(&root, "/proc/version", libc::O_RDONLY).unwrap().contains("Linux"));
            assert!(text(&root, "/etc/out", libc::O_RDONLY).unwrap().contains("Pid:"));
            if root.has_openat2 && Path::new("/etc/hosts").exists() {
                assert!(text(&root, "/etc/hosts", libc::O_RDONLY).is_ok());
            }
            assert_eq!(text(&root, "/etc/hosts", libc::O_RDWR), Err(Errno::ENOENT));
        }
    }

    #[test]
    fn relative_paths_know_where_they_are() {
        let tree = Tree::new("relative");
        for root in roots(&tree) {
            let flags = (libc::O_PATH | libc::O_CLOEXEC) as u32;
            let dir = root.open(AT_CWD, c"/usr/lib/deep", flags, 0, host).unwrap() as usize;
            let open = |path: &std::ffi::CStr| root.open(dir, path, flags, 0, host).map(|fd| fd as i32);
            for path in [c"../file", c"../../../../../etc/chain", c"../../../etc/up"] {
                let fd = open(path).unwrap();
                let link = fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
                assert_eq!(root.guest(link.as_os_str().as_bytes()), b"/usr/lib/file");
                // SAFETY: just opened.
                unsafe { libc::close(fd) };
            }
            assert_eq!(open(c"../nothing"), Err(Errno::ENOENT));
            // A file is no directory, in whatever way it is asked.
            let as_directory = flags | libc::O_DIRECTORY as u32;
            assert_eq!(root.open(AT_CWD, c"/usr/lib/file", as_directory, 0, host).map(|_| ()), Err(Errno::ENOTDIR));
            assert_eq!(root.open(AT_CWD, c"/usr/lib/file/x", flags, 0, host).map(|_| ()), Err(Errno::ENOTDIR));
            assert_eq!(root.look(AT_CWD, c"/usr/lib/file/x", Last::Follow), Err(Errno::ENOTDIR));
            assert_eq!(root.find(AT_CWD, b"/usr/lib/file/x/y", Last::Itself), Err(Errno::ENOTDIR));
            assert_eq!(root.find(dir, b"name", Last::Entry), Ok(Found::Plain));
            let up = root.find(dir, b"../../../../usr/lib/file", Last::Follow).unwrap();
            assert_eq!(up, Found::Inside(c"usr/lib/file".to_owned()));
            // SAFETY: ours.
            unsafe { libc::close(dir as i32) };
        }
    }

    #[test]
    fn what_the_guest_sees() {
        let tree = Tree::new("sees");
        let root = Root::new(&tree.0, None).unwrap();
        let host = tree.0.as_os_str().as_bytes();
        assert_eq!(root.guest(host), b"/");
        assert_eq!(root.guest(&[host, b"/usr"].concat()), b"/usr");
        assert_eq!(root.guest(&[host, b"x/usr"].concat()), [host, b"x/usr"].concat());
        assert_eq!(root.guest(b"/usr"), b"/usr");
        let fd = root.dir() as i32;
        assert!(root.is_fd(fd));
        root.vacate(fd);
        assert!(!root.is_fd(fd) && root.is_active());
        // SAFETY: the guest's now.
        unsafe { libc::close(fd) };
        root.leave();
        assert!(!root.is_active());
        assert_eq!(root.guest(host), host);
        assert!(!Root::new(Path::new("/"), None).unwrap().is_active());
        assert!(Root::new(Path::new("/nowhere/at/all"), None).is_err());
    }
}
