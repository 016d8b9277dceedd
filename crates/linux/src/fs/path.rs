//! Path arguments. Every path that a guest program hands to the kernel is read here, so that the guest root ([`crate::fs::root`])
//! has one place; without one, what the guest says is what the host is told.

use crate::errno::{Errno, SysResult};
use crate::fs::root::{Found, Last};
use crate::task::Task;
use std::ffi::{CStr, CString};

/// A path for a host call that takes a directory descriptor.
#[derive(Debug)]
pub struct Place {
    /// The descriptor.
    pub dir: usize,
    /// The path.
    pub name: CString,
}

impl Place {
    /// The address of the path.
    pub fn at(&self) -> usize {
        self.name.as_ptr() as usize
    }
}

/// The path at guest address `addr`, as the guest says it.
///
/// # Errors
/// `EFAULT`, `ENAMETOOLONG`.
pub fn read(task: &Task, addr: u64) -> Result<CString, Errno> {
    task.mem.cstr(addr)
}

/// The path at guest address `addr` relative to the guest's descriptor `dir`, for a host call with a directory.
///
/// # Errors
/// `EFAULT`, `ENAMETOOLONG`; with a guest root those of a path lookup.
pub fn place(task: &Task, dir: u64, addr: u64, last: Last) -> Result<Place, Errno> {
    locate(task, dir, read(task, addr)?, last)
}

/// The same for a path that was read already.
///
/// # Errors
/// With a guest root those of a path lookup.
pub fn locate(task: &Task, dir: u64, name: CString, last: Last) -> Result<Place, Errno> {
    let dir = dir as i32 as isize as usize;
    let root = &task.process.root;
    if root.is_active() {
        if let Found::Inside(inner) = root.find(dir, name.to_bytes(), last)? {
            return Ok(Place { dir: root.dir(), name: inner });
        }
    }
    Ok(Place { dir, name })
}

/// The path at guest address `addr`, for a host call without a directory.
///
/// # Errors
/// As [`place`].
pub fn whole(task: &Task, addr: u64, last: Last) -> Result<CString, Errno> {
    let place = place(task, libc::AT_FDCWD as u64, addr, last)?;
    // A link into the kernel's file systems gives an absolute path.
    let is_inner = place.dir as i32 != libc::AT_FDCWD && !place.name.as_bytes().starts_with(b"/");
    Ok(if is_inner { task.process.root.full(&place.name) } else { place.name })
}

/// Opens a path with flags by the host's numbers; may sleep.
///
/// # Errors
/// Those of openat(2).
pub fn open(task: &Task, dir: u64, name: &CStr, flags: u32, mode: u64) -> SysResult {
    let dir = dir as i32 as isize as usize;
    task.process.root.open(dir, name, flags, mode as u32, |nr, args| task.syscall_blocking(nr, args))
}

/// Asks about a file: `call` gets directory and path, and true if the path is empty and the descriptor is the file.
///
/// # Errors
/// Those of a path lookup and of the call.
pub fn ask<T>(
    task: &Task,
    dir: u64,
    name: &CStr,
    last: Last,
    call: impl FnOnce(usize, &CStr, bool) -> Result<T, Errno>,
) -> Result<T, Errno> {
    let root = &task.process.root;
    let dir = dir as i32 as isize as usize;
    if !root.is_active() {
        return call(dir, name, false);
    }
    match root.look(dir, name, last)? {
        Ok(fd) => {
            let result = call(fd as usize, c"", true);
            crate::syscall::file::close_own(task, fd as u64);
            result
        }
        Err(Found::Plain) => call(dir, name, false),
        Err(Found::Inside(inner)) => call(root.dir(), &inner, false),
    }
}
