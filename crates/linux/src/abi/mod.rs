//! The two x86 Linux ABIs as data: how the guest lays its structures out, and how they become the host's.
//!
//! Every structure exists once per guest ABI, as a `repr(C)` type over fixed-width fields with its offsets written
//! beside the fields ([`x86_64`], [`i386`]). The offsets are asserted at compile time against the Rust layout, and a test
//! asserts them against the kernel's own headers with C compilers for both ABIs.
//!
//! The x86-64 form is also the *canonical* form: it has the widest fields, and on 64-bit little-endian hosts the kernel's
//! generic layout is the same for nearly all of them (the exceptions are in [`host`]). System call handlers compute on
//! the canonical form and use [`Wide::load`] and [`Wide::store`] to reach the guest, which narrow for i386. The x86-64 host
//! takes the same way as any other, so that it is exercised everywhere.

pub mod flags;
pub mod host;
pub mod i386;
pub mod siginfo;
pub mod x86_64;

use crate::errno::Errno;
use crate::uaccess::Mem;
use zerocopy::{FromBytes, Immutable, IntoBytes};

pub use crate::task::Abi;

/// One structure for the layout test: C name, size and field offsets in bytes.
#[derive(Debug)]
pub struct Layout {
    /// The type as C names it.
    pub c_name: &'static str,
    /// `sizeof`.
    pub size: usize,
    /// C member path and `offsetof`; members that start with `_pad` are ours and have no C name.
    pub fields: &'static [(&'static str, usize)],
}

/// Declares guest structures: `offset field: type` per line, checked at compile time; a member whose C path differs
/// has it behind an arrow.
macro_rules! guest_structs {
    ($repr:tt $list:ident; $(
        $(#[$meta:meta])*
        struct $name:ident as $c_name:literal, $size:literal {
            $( $off:literal $field:ident : $ty:ty $(=> $c_field:literal)? ),* $(,)?
        }
    )*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Copy, Debug, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable)]
            #[repr $repr]
            #[allow(non_camel_case_types)]
            pub struct $name { $( pub $field: $ty, )* }

            const _: () = {
                assert!(size_of::<$name>() == $size);
                $( assert!(std::mem::offset_of!($name, $field) == $off); )*
            };

            impl Default for $name {
                fn default() -> Self { zerocopy::FromZeros::new_zeroed() }
            }
        )*

        /// Every structure of this module, for the test against the C compiler.
        pub const $list: &[$crate::abi::Layout] = &[
            $( $crate::abi::Layout {
                c_name: $c_name,
                size: $size,
                fields: &[ $( ($crate::abi::guest_structs!(@c $field $($c_field)?), $off) ),* ],
            } ),*
        ];
    };
    (@c $field:ident $c_field:literal) => { $c_field };
    (@c $field:ident) => { stringify!($field) };
}
pub(crate) use guest_structs;

/// A canonical (x86-64) structure that has an i386 form.
pub trait Wide: FromBytes + IntoBytes + Immutable + Sized {
    /// The i386 form.
    type Narrow: FromBytes + IntoBytes + Immutable;
    /// To i386; `EOVERFLOW` where the kernel answers that for a value that does not fit, truncation where it truncates.
    fn narrow(&self) -> Result<Self::Narrow, Errno>;
    /// From i386.
    fn widen(narrow: &Self::Narrow) -> Self;

    /// Reads the structure from guest memory in the layout of `abi`.
    fn load(mem: &Mem, abi: Abi, addr: u64) -> Result<Self, Errno> {
        match abi {
            Abi::X86_64 => mem.read(addr),
            Abi::I386 => Ok(Self::widen(&mem.read(addr)?)),
        }
    }

    /// Writes the structure to guest memory in the layout of `abi`.
    fn store(&self, mem: &Mem, abi: Abi, addr: u64) -> Result<(), Errno> {
        match abi {
            Abi::X86_64 => mem.write(addr, self),
            Abi::I386 => mem.write(addr, &self.narrow()?),
        }
    }

    /// Size of the structure in guest memory, in bytes.
    fn size(abi: Abi) -> u64 {
        match abi {
            Abi::X86_64 => size_of::<Self>() as u64,
            Abi::I386 => size_of::<Self::Narrow>() as u64,
        }
    }
}

/// [`Wide`] by field-wise casts, truncating as the kernel's compat layer does.
macro_rules! field_wise {
    ($($name:ident { $($field:ident),* $(,)? })*) => { $(
        impl Wide for x86_64::$name {
            type Narrow = i386::$name;
            fn narrow(&self) -> Result<i386::$name, Errno> {
                let mut out = i386::$name::default();
                $( out.$field = self.$field as _; )*
                Ok(out)
            }
            fn widen(narrow: &i386::$name) -> Self {
                let mut out = Self::default();
                $( out.$field = narrow.$field as _; )*
                out
            }
        }
    )* };
}

field_wise! {
    Timespec { tv_sec, tv_nsec }
    Timeval { tv_sec, tv_usec }
    Itimerspec { interval_sec, interval_nsec, value_sec, value_nsec }
    Itimerval { interval_sec, interval_usec, value_sec, value_usec }
    Rusage {
        utime_sec, utime_usec, stime_sec, stime_usec, ru_maxrss, ru_ixrss, ru_idrss, ru_isrss, ru_minflt, ru_majflt,
        ru_nswap, ru_inblock, ru_oublock, ru_msgsnd, ru_msgrcv, ru_nsignals, ru_nvcsw, ru_nivcsw,
    }
    Iovec { iov_base, iov_len }
    Msghdr { msg_name, msg_namelen, msg_iov, msg_iovlen, msg_control, msg_controllen, msg_flags }
    Sigevent { sigev_value, sigev_signo, sigev_notify, sigev_tid }
    Timex {
        modes, offset, freq, maxerror, esterror, status, constant, precision, tolerance, time_sec, time_usec, tick,
        ppsfreq, jitter, shift, stabil, jitcnt, calcnt, errcnt, stbcnt, tai,
    }
    Tms { tms_utime, tms_stime, tms_cutime, tms_cstime }
    MqAttr { mq_flags, mq_maxmsg, mq_msgsize, mq_curmsgs }
    Utimbuf { actime, modtime }
    SockFprog { len, filter }
    Ustat { f_tfree, f_tinode, f_fname, f_fpack }
    Shminfo64 { shmmax, shmmin, shmmni, shmseg, shmall }
    ShmInfo { used_ids, shm_tot, shm_rss, shm_swp, swap_attempts, swap_successes }
    ShmidDs {
        key, uid, gid, cuid, cgid, mode, seq, shm_segsz, shm_atime, shm_dtime, shm_ctime, shm_cpid, shm_lpid, shm_nattch,
    }
    SemidDs { key, uid, gid, cuid, cgid, mode, seq, sem_otime, sem_ctime, sem_nsems }
    MsqidDs {
        key, uid, gid, cuid, cgid, mode, seq, msg_stime, msg_rtime, msg_ctime, msg_cbytes, msg_qnum, msg_qbytes,
        msg_lspid, msg_lrpid,
    }
}

impl Wide for x86_64::Sysinfo {
    type Narrow = i386::Sysinfo;
    /// As the kernel's `compat_sysinfo`: when memory in units of `mem_unit` does not fit, the unit grows to a page.
    fn narrow(&self) -> Result<i386::Sysinfo, Errno> {
        let mut s = *self;
        if (s.totalram >> 32) != 0 || (s.totalswap >> 32) != 0 {
            let mut shift = 0;
            while s.mem_unit < 4096 && shift < 12 {
                s.mem_unit = s.mem_unit.max(1) << 1;
                shift += 1;
            }
            for field in [
                &mut s.totalram,
                &mut s.freeram,
                &mut s.sharedram,
                &mut s.bufferram,
                &mut s.totalswap,
                &mut s.freeswap,
                &mut s.totalhigh,
                &mut s.freehigh,
            ] {
                *field >>= shift;
            }
        }
        Ok(i386::Sysinfo {
            uptime: s.uptime as i32,
            loads: [s.loads[0] as u32, s.loads[1] as u32, s.loads[2] as u32],
            totalram: s.totalram as u32,
            freeram: s.freeram as u32,
            sharedram: s.sharedram as u32,
            bufferram: s.bufferram as u32,
            totalswap: s.totalswap as u32,
            freeswap: s.freeswap as u32,
            procs: s.procs,
            _pad0: 0,
            totalhigh: s.totalhigh as u32,
            freehigh: s.freehigh as u32,
            mem_unit: s.mem_unit,
            _pad1: [0; 8],
        })
    }
    fn widen(n: &i386::Sysinfo) -> Self {
        let n = *n;
        let loads = n.loads;
        x86_64::Sysinfo {
            uptime: n.uptime.into(),
            loads: [loads[0].into(), loads[1].into(), loads[2].into()],
            totalram: n.totalram.into(),
            freeram: n.freeram.into(),
            sharedram: n.sharedram.into(),
            bufferram: n.bufferram.into(),
            totalswap: n.totalswap.into(),
            freeswap: n.freeswap.into(),
            procs: n.procs,
            _pad0: 0,
            _pad1: 0,
            totalhigh: n.totalhigh.into(),
            freehigh: n.freehigh.into(),
            mem_unit: n.mem_unit,
            _pad2: 0,
        }
    }
}

impl Wide for x86_64::Rlimit {
    type Narrow = i386::Rlimit;
    /// Limits beyond 32 bits read as `RLIM_INFINITY`, as `compat_sys_getrlimit` does.
    fn narrow(&self) -> Result<i386::Rlimit, Errno> {
        let clamp = |v: u64| u32::try_from(v).unwrap_or(u32::MAX);
        Ok(i386::Rlimit { rlim_cur: clamp(self.rlim_cur), rlim_max: clamp(self.rlim_max) })
    }
    fn widen(n: &i386::Rlimit) -> Self {
        let wide = |v: u32| if v == u32::MAX { u64::MAX } else { v.into() };
        x86_64::Rlimit { rlim_cur: wide(n.rlim_cur), rlim_max: wide(n.rlim_max) }
    }
}

impl Wide for x86_64::Flock {
    type Narrow = i386::Flock;
    /// `EOVERFLOW` when a conflicting lock's start does not fit (fs/fcntl.c, `fixup_compat_flock`).
    fn narrow(&self) -> Result<i386::Flock, Errno> {
        let start = i32::try_from(self.l_start).map_err(|_| Errno::EOVERFLOW)?;
        Ok(i386::Flock {
            l_type: self.l_type,
            l_whence: self.l_whence,
            l_start: start,
            l_len: i32::try_from(self.l_len).unwrap_or(i32::MAX),
            l_pid: self.l_pid,
        })
    }
    fn widen(n: &i386::Flock) -> Self {
        x86_64::Flock {
            l_type: n.l_type,
            l_whence: n.l_whence,
            _pad0: 0,
            l_start: n.l_start.into(),
            l_len: n.l_len.into(),
            l_pid: n.l_pid,
            _pad1: 0,
        }
    }
}

impl Wide for x86_64::Statfs {
    type Narrow = i386::Statfs;
    /// `EOVERFLOW` when block or inode counts do not fit (fs/statfs.c, `put_compat_statfs`).
    fn narrow(&self) -> Result<i386::Statfs, Errno> {
        if (self.f_blocks | self.f_bfree | self.f_bavail | self.f_bsize as u64 | self.f_frsize as u64) >> 32 != 0 {
            return Err(Errno::EOVERFLOW);
        }
        // Counts of -1 mean "no idea" and are passed on as such.
        let count = |v: u64| if v == u64::MAX { Ok(u32::MAX) } else { u32::try_from(v).map_err(|_| Errno::EOVERFLOW) };
        Ok(i386::Statfs {
            f_type: self.f_type as u32,
            f_bsize: self.f_bsize as u32,
            f_blocks: self.f_blocks as u32,
            f_bfree: self.f_bfree as u32,
            f_bavail: self.f_bavail as u32,
            f_files: count(self.f_files)?,
            f_ffree: count(self.f_ffree)?,
            f_fsid: self.f_fsid,
            f_namelen: self.f_namelen as u32,
            f_frsize: self.f_frsize as u32,
            f_flags: self.f_flags as u32,
            f_spare: [0; 4],
        })
    }
    fn widen(n: &i386::Statfs) -> Self {
        x86_64::Statfs {
            f_type: n.f_type.into(),
            f_bsize: n.f_bsize.into(),
            f_blocks: n.f_blocks.into(),
            f_bfree: n.f_bfree.into(),
            f_bavail: n.f_bavail.into(),
            f_files: n.f_files.into(),
            f_ffree: n.f_ffree.into(),
            f_fsid: n.f_fsid,
            f_namelen: n.f_namelen.into(),
            f_frsize: n.f_frsize.into(),
            f_flags: n.f_flags.into(),
            f_spare: [0; 4],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timespec_round_trip_keeps_sign() {
        let n = i386::Timespec { tv_sec: -1, tv_nsec: 999_999_999 };
        let w = x86_64::Timespec::widen(&n);
        assert_eq!((w.tv_sec, w.tv_nsec), (-1, 999_999_999));
        let back = w.narrow().unwrap();
        assert_eq!({ back.tv_sec }, -1);
    }

    #[test]
    fn flock_overflow() {
        let mut f = x86_64::Flock { l_start: 1 << 31, ..Default::default() };
        assert_eq!(f.narrow().unwrap_err(), Errno::EOVERFLOW);
        f.l_start = 5;
        f.l_len = 1 << 40;
        assert_eq!({ f.narrow().unwrap().l_len }, i32::MAX);
    }

    #[test]
    fn rlimit_infinity() {
        let w = x86_64::Rlimit { rlim_cur: u64::MAX, rlim_max: 1 << 33 };
        let n = w.narrow().unwrap();
        assert_eq!(({ n.rlim_cur }, { n.rlim_max }), (u32::MAX, u32::MAX));
        assert_eq!(x86_64::Rlimit::widen(&n).rlim_max, u64::MAX);
    }

    #[test]
    fn sysinfo_scales_big_memory() {
        let w = x86_64::Sysinfo { totalram: 24 << 30, freeram: 1 << 30, mem_unit: 1, ..Default::default() };
        let n = w.narrow().unwrap();
        assert_eq!({ n.mem_unit }, 4096);
        assert_eq!(u64::from(n.totalram) * 4096, 24 << 30);
        assert_eq!(u64::from(n.freeram) * 4096, 1 << 30);
    }

    #[test]
    fn statfs_overflow_and_unknown_counts() {
        let mut w = x86_64::Statfs { f_files: u64::MAX, f_ffree: 7, ..Default::default() };
        assert_eq!({ w.narrow().unwrap().f_files }, u32::MAX);
        w.f_blocks = 1 << 32;
        assert_eq!(w.narrow().unwrap_err(), Errno::EOVERFLOW);
    }
}
