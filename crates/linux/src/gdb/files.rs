//! Files for the debugger (`set sysroot target:`): opened as the guest would, so its root counts; to be read only.

use super::Shared;
use super::packet::{LIMIT, number, unhex};
use crate::errno::{Errno, SysResult};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::os::fd::FromRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};

/// The debugger's open files.
#[derive(Debug)]
pub struct Files {
    process: Shared,
    open: BTreeMap<u64, File>,
}

fn failed(errno: i32) -> Vec<u8> {
    // The protocol's numbers are those of Linux but for a few that are not in question here.
    format!("F-1,{errno:x}").into_bytes()
}

fn with_data(data: &[u8]) -> Vec<u8> {
    let mut answer = format!("F{:x};", data.len()).into_bytes();
    answer.extend_from_slice(data);
    answer
}

impl Files {
    /// None open.
    pub fn new(process: Shared) -> Files {
        Files { process, open: BTreeMap::new() }
    }

    /// The answer to `vFile:` with those words.
    pub fn handle(&mut self, words: &str) -> Vec<u8> {
        let (what, rest) = words.split_once(':').unwrap_or((words, ""));
        let numbers: Vec<u64> = rest.split(',').filter_map(number).collect();
        match (what, &numbers[..]) {
            ("setfs", _) => b"F0".to_vec(),
            ("open", _) => self.open(rest),
            ("close", [fd]) => match self.open.remove(fd) {
                Some(_) => b"F0".to_vec(),
                None => failed(libc::EBADF),
            },
            ("pread", [fd, count, offset]) => {
                let Some(file) = self.open.get(fd) else { return failed(libc::EBADF) };
                let mut data = vec![0; (*count as usize).min(LIMIT / 2)];
                match file.read_at(&mut data, *offset) {
                    Ok(n) => with_data(&data[..n]),
                    Err(e) => failed(e.raw_os_error().unwrap_or(libc::EIO)),
                }
            }
            ("fstat", [fd]) => match self.open.get(fd).and_then(|file| file.metadata().ok()) {
                Some(of) => with_data(&stat(&of)),
                None => failed(libc::EBADF),
            },
            ("readlink", _) => self.readlink(rest),
            _ => Vec::new(),
        }
    }

    fn descriptor(&self, path: &[u8], flags: i32) -> SysResult {
        let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
        // SAFETY: the path is live; nothing of the guest's is written.
        let call = |nr, args| Errno::from_ret(unsafe { demotic_host::sys::syscall6(nr, args) });
        self.process.root.open(libc::AT_FDCWD as usize, &path, (flags | libc::O_CLOEXEC) as u32, 0, call)
    }

    fn open(&mut self, rest: &str) -> Vec<u8> {
        let mut parts = rest.split(',');
        let path = parts.next().and_then(|p| unhex(p.as_bytes()));
        let flags = parts.next().and_then(number);
        let (Some(path), Some(flags)) = (path, flags) else { return failed(libc::EINVAL) };
        if flags & 3 != 0 {
            return failed(libc::EROFS);
        }
        match self.descriptor(&path, libc::O_RDONLY) {
            Ok(fd) => {
                // SAFETY: just opened.
                let file = unsafe { File::from_raw_fd(fd as i32) };
                self.open.insert(fd, file);
                format!("F{fd:x}").into_bytes()
            }
            Err(e) => failed(e.0.into()),
        }
    }

    fn readlink(&self, rest: &str) -> Vec<u8> {
        let Some(path) = unhex(rest.as_bytes()) else { return failed(libc::EINVAL) };
        let fd = match self.descriptor(&path, libc::O_PATH | libc::O_NOFOLLOW) {
            Ok(fd) => fd,
            Err(e) => return failed(e.0.into()),
        };
        // SAFETY: just opened.
        let link = unsafe { File::from_raw_fd(fd as i32) };
        match rustix::fs::readlinkat(&link, "", Vec::new()) {
            Ok(target) => with_data(target.as_bytes()),
            Err(e) => failed(if e.raw_os_error() == libc::ENOENT { libc::EINVAL } else { e.raw_os_error() }),
        }
    }
}

/// The protocol's `struct stat`: big-endian.
fn stat(of: &std::fs::Metadata) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    for word in [of.dev() as u32, of.ino() as u32, of.mode(), of.nlink() as u32, of.uid(), of.gid(), of.rdev() as u32] {
        bytes.extend(word.to_be_bytes());
    }
    for long in [of.size(), of.blksize(), of.blocks()] {
        bytes.extend(long.to_be_bytes());
    }
    for time in [of.atime(), of.mtime(), of.ctime()] {
        bytes.extend((time as u32).to_be_bytes());
    }
    bytes
}
