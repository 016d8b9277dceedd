//! Thread-local storage for processes that share this one's memory and run beside it.
//!
//! Problem: clone(2) with CLONE_VM alone makes a process in the same memory; running our code, it needs thread-local storage, which
//! only the C library makes, with a thread of its own. A thread that stays for it could be seen from outside: in /proc/PID/task,
//! where a debugger or a leak checker finds threads to attach to, and as the parent that a child's death signal belongs to.
//! Approach: a thread is started, tells where its storage is, and ends by exit(2) alone, so that the C library never takes the storage
//! back. The next process gets it as its thread pointer. When that process has ended by itself, the storage serves another one.

use crate::sys;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, mpsc};
use std::{io, thread};

/// Storage that no thread uses; whoever has it may run one thread on it.
#[derive(Debug)]
pub struct Storage {
    pointer: usize,
}

/// Storage of earlier processes. Only ever tried, never waited for: a process that shares the memory may die with it locked, and a
/// forked one may begin so.
static IDLE: Mutex<Vec<Storage>> = Mutex::new(Vec::new());

/// Room for the thread that makes storage, which does hardly anything.
const MAKER_STACK: usize = 256 * 1024;

impl Storage {
    /// Takes some that is there, or has some made. All signals must be blocked.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn take() -> io::Result<Storage> {
        let idle = IDLE.try_lock().ok().and_then(|mut idle| idle.pop());
        idle.map_or_else(Storage::make, Ok)
    }

    fn make() -> io::Result<Storage> {
        // Never freed: the kernel writes here when the thread ends.
        let alive: &'static AtomicI32 = Box::leak(Box::new(AtomicI32::new(1)));
        let (tell, told) = mpsc::channel();
        let maker = move || {
            let pointer = crate::arch::thread_pointer();
            // The C library's own word, by which it would learn of the end, is not written then.
            // SAFETY: the word stays for good.
            unsafe { sys::syscall6(libc::SYS_set_tid_address, [alive.as_ptr() as usize, 0, 0, 0, 0, 0]) };
            let _ = tell.send(pointer);
            drop(tell);
            loop {
                // SAFETY: ends this thread; nothing of its stack is used by others.
                unsafe { sys::syscall6(libc::SYS_exit, [0; 6]) };
            }
        };
        thread::Builder::new().stack_size(MAKER_STACK).spawn(maker)?;
        let pointer = told.recv().map_err(io::Error::other)?;
        while alive.load(Ordering::Acquire) != 0 {
            thread::yield_now();
        }
        Ok(Storage { pointer })
    }

    /// The thread pointer, as clone(2) takes it with CLONE_SETTLS.
    pub fn pointer(&self) -> usize {
        self.pointer
    }

    /// Gives it back. The thread that had it must have ended by itself, so that nothing in it was left half done.
    pub fn give_back(self) {
        if let Ok(mut idle) = IDLE.try_lock() {
            idle.push(self);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_is_made_once_and_its_thread_is_gone() {
        let old = crate::signal::set_mask(!0);
        let first = Storage::take().unwrap();
        let pointer = first.pointer();
        assert_ne!(pointer, crate::arch::thread_pointer());
        first.give_back();
        assert_eq!(Storage::take().unwrap().pointer(), pointer);
        crate::signal::set_mask(old);
    }
}
