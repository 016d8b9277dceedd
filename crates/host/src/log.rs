//! One-line messages without allocation: usable in signal handlers and after fork. signal-safe.

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicI32, Ordering};

/// Longest line in bytes, newline included; longer ones are cut.
const LINE: usize = 512;

struct Line {
    bytes: [u8; LINE],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let room = LINE - 1 - self.len;
        let n = s.len().min(room);
        self.bytes[self.len..self.len + n].copy_from_slice(&s.as_bytes()[..n]);
        self.len += n;
        Ok(())
    }
}

/// Writes one line to standard error with a single write(2), so that lines of several threads do not mix.
pub fn line(message: fmt::Arguments<'_>) {
    line_to(2, message);
}

/// Where [`item`] writes; standard error unless somebody wants a file.
static FILE: AtomicI32 = AtomicI32::new(2);

/// Makes log items go to this descriptor.
pub fn set_file(fd: i32) {
    FILE.store(fd, Ordering::Relaxed);
}

/// The descriptor of the log file, if there is one.
pub fn file() -> Option<i32> {
    Some(FILE.load(Ordering::Relaxed)).filter(|&fd| fd > 2)
}

/// Writes one line of what somebody asked to be logged, to the log file or standard error.
pub fn item(message: fmt::Arguments<'_>) {
    line_to(FILE.load(Ordering::Relaxed), message);
}

/// Writes one line to a file descriptor; errors are ignored, there is nobody to tell.
pub fn line_to(fd: i32, message: fmt::Arguments<'_>) {
    let mut line = Line { bytes: [0; LINE], len: 0 };
    let _ = line.write_fmt(message);
    line.bytes[line.len] = b'\n';
    // SAFETY: the bytes are ours; a raw call leaves errno alone, which matters in handlers.
    unsafe {
        crate::sys::syscall6(libc::SYS_write, [fd as usize, line.bytes.as_ptr() as usize, line.len + 1, 0, 0, 0]);
    }
}
