//! The host kernel's calling conventions: what differs between 64-bit hosts and 32-bit ARM.
//!
//! On 64-bit hosts a 64-bit argument is one register. ARM EABI passes it in two, the first of them even-numbered, so a
//! gap may come before it. 32-bit hosts get the `_time64` generation of the time calls (Linux 5.1), whose structures are
//! the 64-bit ones; and the calls with 32-bit user ids, because the plain names are the 16-bit generation there.

/// Arguments of a host system call under construction.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostArgs {
    count: usize,
    values: [usize; 6],
}

impl HostArgs {
    /// No arguments yet.
    pub fn new() -> HostArgs {
        HostArgs::default()
    }
    /// One register.
    #[must_use]
    pub fn arg(mut self, value: usize) -> HostArgs {
        // Six is the kernel's maximum; callers stay below by construction.
        debug_assert!(self.count < 6);
        if let Some(slot) = self.values.get_mut(self.count) {
            *slot = value;
        }
        self.count += 1;
        self
    }
    /// A 64-bit value.
    #[must_use]
    pub fn wide(self, value: i64) -> HostArgs {
        if cfg!(target_pointer_width = "64") {
            self.arg(value as usize)
        } else {
            let aligned = if self.count % 2 == 1 { self.arg(0) } else { self };
            aligned.arg(value as usize).arg((value >> 32) as usize)
        }
    }
    /// A 64-bit value that every ABI passes as two `unsigned long`s without alignment (`preadv`).
    #[must_use]
    pub fn low_high(self, value: i64) -> HostArgs {
        if cfg!(target_pointer_width = "64") {
            self.arg(value as usize).arg(0)
        } else {
            self.arg(value as usize).arg((value >> 32) as usize)
        }
    }
    /// The registers.
    pub fn done(self) -> [usize; 6] {
        self.values
    }
}

/// Host system call numbers that are not called alike everywhere.
macro_rules! numbers {
    ($($name:ident = $wide:ident, $narrow:expr;)*) => { $(
        #[cfg(target_pointer_width = "64")]
        #[doc = concat!("`", stringify!($wide), "` or its 64-bit-safe equal on 32-bit hosts.")]
        pub const $name: libc::c_long = libc::$wide;
        #[cfg(target_pointer_width = "32")]
        #[doc = concat!("`", stringify!($wide), "` or its 64-bit-safe equal on 32-bit hosts.")]
        pub const $name: libc::c_long = $narrow;
    )* };
}

numbers! {
    CLOCK_GETTIME = SYS_clock_gettime, 403;
    CLOCK_SETTIME = SYS_clock_settime, 404;
    CLOCK_ADJTIME = SYS_clock_adjtime, 405;
    CLOCK_GETRES = SYS_clock_getres, 406;
    CLOCK_NANOSLEEP = SYS_clock_nanosleep, 407;
    TIMER_GETTIME = SYS_timer_gettime, 408;
    TIMER_SETTIME = SYS_timer_settime, 409;
    TIMERFD_GETTIME = SYS_timerfd_gettime, 410;
    TIMERFD_SETTIME = SYS_timerfd_settime, 411;
    UTIMENSAT = SYS_utimensat, 412;
    PSELECT6 = SYS_pselect6, 413;
    PPOLL = SYS_ppoll, 414;
    MQ_TIMEDSEND = SYS_mq_timedsend, 418;
    MQ_TIMEDRECEIVE = SYS_mq_timedreceive, 419;
    SEMTIMEDOP = SYS_semtimedop, 420;
    SCHED_RR_GET_INTERVAL = SYS_sched_rr_get_interval, 423;
    FTRUNCATE = SYS_ftruncate, libc::SYS_ftruncate64;
    TRUNCATE = SYS_truncate, libc::SYS_truncate64;
    SENDFILE = SYS_sendfile, libc::SYS_sendfile64;
    FCNTL = SYS_fcntl, libc::SYS_fcntl64;
    GETUID = SYS_getuid, libc::SYS_getuid32;
    GETEUID = SYS_geteuid, libc::SYS_geteuid32;
    GETGID = SYS_getgid, libc::SYS_getgid32;
    GETEGID = SYS_getegid, libc::SYS_getegid32;
    SETUID = SYS_setuid, libc::SYS_setuid32;
    SETGID = SYS_setgid, libc::SYS_setgid32;
    SETREUID = SYS_setreuid, libc::SYS_setreuid32;
    SETREGID = SYS_setregid, libc::SYS_setregid32;
    SETRESUID = SYS_setresuid, libc::SYS_setresuid32;
    SETRESGID = SYS_setresgid, libc::SYS_setresgid32;
    GETRESUID = SYS_getresuid, libc::SYS_getresuid32;
    GETRESGID = SYS_getresgid, libc::SYS_getresgid32;
    SETFSUID = SYS_setfsuid, libc::SYS_setfsuid32;
    SETFSGID = SYS_setfsgid, libc::SYS_setfsgid32;
    GETGROUPS = SYS_getgroups, libc::SYS_getgroups32;
    SETGROUPS = SYS_setgroups, libc::SYS_setgroups32;
    FCHOWN = SYS_fchown, libc::SYS_fchown32;
}
