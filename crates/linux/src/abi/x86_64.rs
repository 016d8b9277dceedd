//! Structures of the x86-64 Linux ABI (`arch/x86/include/uapi/asm`, `include/uapi/linux`); fields are named as there.
//! This is also the canonical form that handlers compute on: see [`super::Wide`].
#![allow(missing_docs)]
// The structures do implement Debug; the derives of zerocopy bring hidden types that do not.
#![allow(missing_debug_implementations)]

use super::guest_structs;

guest_structs! { (C) LAYOUTS;
    /// `stat`, `fstat`, `lstat`, `newfstatat`.
    struct Stat as "struct stat", 144 {
        0 st_dev: u64,
        8 st_ino: u64,
        16 st_nlink: u64,
        24 st_mode: u32,
        28 st_uid: u32,
        32 st_gid: u32,
        36 _pad0: u32,
        40 st_rdev: u64,
        48 st_size: i64,
        56 st_blksize: i64,
        64 st_blocks: i64,
        72 st_atime: i64,
        80 st_atime_nsec: u64,
        88 st_mtime: i64,
        96 st_mtime_nsec: u64,
        104 st_ctime: i64,
        112 st_ctime_nsec: u64,
        120 _pad1: [u64; 3],
    }
    /// `statfs`, `fstatfs`.
    struct Statfs as "struct statfs", 120 {
        0 f_type: i64,
        8 f_bsize: i64,
        16 f_blocks: u64,
        24 f_bfree: u64,
        32 f_bavail: u64,
        40 f_files: u64,
        48 f_ffree: u64,
        56 f_fsid: [i32; 2],
        64 f_namelen: i64,
        72 f_frsize: i64,
        80 f_flags: i64,
        88 f_spare: [u64; 4],
    }
    /// Also `__kernel_timespec` of the i386 `_time64` calls.
    struct Timespec as "struct __kernel_timespec", 16 { 0 tv_sec: i64, 8 tv_nsec: i64 }
    struct Timeval as "struct timeval", 16 { 0 tv_sec: i64, 8 tv_usec: i64 }
    /// Also `__kernel_itimerspec` of the i386 `_time64` calls.
    struct Itimerspec as "struct __kernel_itimerspec", 32 {
        0 interval_sec: i64 => "it_interval.tv_sec",
        8 interval_nsec: i64 => "it_interval.tv_nsec",
        16 value_sec: i64 => "it_value.tv_sec",
        24 value_nsec: i64 => "it_value.tv_nsec",
    }
    struct Itimerval as "struct itimerval", 32 {
        0 interval_sec: i64 => "it_interval.tv_sec",
        8 interval_usec: i64 => "it_interval.tv_usec",
        16 value_sec: i64 => "it_value.tv_sec",
        24 value_usec: i64 => "it_value.tv_usec",
    }
    struct Rusage as "struct rusage", 144 {
        0 utime_sec: i64 => "ru_utime.tv_sec",
        8 utime_usec: i64 => "ru_utime.tv_usec",
        16 stime_sec: i64 => "ru_stime.tv_sec",
        24 stime_usec: i64 => "ru_stime.tv_usec",
        32 ru_maxrss: i64,
        40 ru_ixrss: i64,
        48 ru_idrss: i64,
        56 ru_isrss: i64,
        64 ru_minflt: i64,
        72 ru_majflt: i64,
        80 ru_nswap: i64,
        88 ru_inblock: i64,
        96 ru_oublock: i64,
        104 ru_msgsnd: i64,
        112 ru_msgrcv: i64,
        120 ru_nsignals: i64,
        128 ru_nvcsw: i64,
        136 ru_nivcsw: i64,
    }
    struct Rlimit as "struct rlimit", 16 { 0 rlim_cur: u64, 8 rlim_max: u64 }
    struct Iovec as "struct iovec", 16 { 0 iov_base: u64, 8 iov_len: u64 }
    /// `sendmsg`, `recvmsg`; the kernel's name is `user_msghdr`.
    struct Msghdr as "struct user_msghdr", 56 {
        0 msg_name: u64,
        8 msg_namelen: i32,
        12 _pad0: u32,
        16 msg_iov: u64,
        24 msg_iovlen: u64,
        32 msg_control: u64,
        40 msg_controllen: u64,
        48 msg_flags: u32,
        52 _pad1: u32,
    }
    struct Cmsghdr as "struct user_cmsghdr", 16 { 0 cmsg_len: u64, 8 cmsg_level: i32, 12 cmsg_type: i32 }
    struct Flock as "struct flock", 32 {
        0 l_type: i16,
        2 l_whence: i16,
        4 _pad0: u32,
        8 l_start: i64,
        16 l_len: i64,
        24 l_pid: i32,
        28 _pad1: u32,
    }
    struct Sysinfo as "struct sysinfo", 112 {
        0 uptime: i64,
        8 loads: [u64; 3],
        32 totalram: u64,
        40 freeram: u64,
        48 sharedram: u64,
        56 bufferram: u64,
        64 totalswap: u64,
        72 freeswap: u64,
        80 procs: u16,
        82 _pad0: u16,
        84 _pad1: u32,
        88 totalhigh: u64,
        96 freehigh: u64,
        104 mem_unit: u32,
        108 _pad2: u32,
    }
    struct Sigevent as "struct sigevent", 64 {
        0 sigev_value: u64,
        8 sigev_signo: i32,
        12 sigev_notify: i32,
        16 sigev_tid: i32 => "_sigev_un._tid",
        20 _pad0: [u32; 11],
    }
    /// Also `__kernel_timex` of the i386 `clock_adjtime64`.
    struct Timex as "struct __kernel_timex", 208 {
        0 modes: u32,
        4 _pad0: u32,
        8 offset: i64,
        16 freq: i64,
        24 maxerror: i64,
        32 esterror: i64,
        40 status: i32,
        44 _pad1: u32,
        48 constant: i64,
        56 precision: i64,
        64 tolerance: i64,
        72 time_sec: i64 => "time.tv_sec",
        80 time_usec: i64 => "time.tv_usec",
        88 tick: i64,
        96 ppsfreq: i64,
        104 jitter: i64,
        112 shift: i32,
        116 _pad2: u32,
        120 stabil: i64,
        128 jitcnt: i64,
        136 calcnt: i64,
        144 errcnt: i64,
        152 stbcnt: i64,
        160 tai: i32,
        164 _pad3: [u32; 11],
    }
    struct Tms as "struct tms", 32 { 0 tms_utime: i64, 8 tms_stime: i64, 16 tms_cutime: i64, 24 tms_cstime: i64 }
    struct MqAttr as "struct mq_attr", 64 {
        0 mq_flags: i64,
        8 mq_maxmsg: i64,
        16 mq_msgsize: i64,
        24 mq_curmsgs: i64,
        32 _pad0: [i64; 4],
    }
    struct Utimbuf as "struct utimbuf", 16 { 0 actime: i64, 8 modtime: i64 }
    struct SockFprog as "struct sock_fprog", 16 { 0 len: u16, 2 _pad0: u16, 4 _pad1: u32, 8 filter: u64 }
    struct Ustat as "struct ustat", 32 {
        0 f_tfree: i32,
        4 _pad0: u32,
        8 f_tinode: u64,
        16 f_fname: [u8; 6],
        22 f_fpack: [u8; 6],
        28 _pad1: u32,
    }
    struct Shminfo64 as "struct shminfo64", 72 {
        0 shmmax: u64,
        8 shmmin: u64,
        16 shmmni: u64,
        24 shmseg: u64,
        32 shmall: u64,
        40 _pad0: [u64; 4],
    }
    struct ShmInfo as "struct shm_info", 48 {
        0 used_ids: i32,
        4 _pad0: u32,
        8 shm_tot: u64,
        16 shm_rss: u64,
        24 shm_swp: u64,
        32 swap_attempts: u64,
        40 swap_successes: u64,
    }
    struct ShmidDs as "struct shmid64_ds", 112 {
        0 key: i32 => "shm_perm.key",
        4 uid: u32 => "shm_perm.uid",
        8 gid: u32 => "shm_perm.gid",
        12 cuid: u32 => "shm_perm.cuid",
        16 cgid: u32 => "shm_perm.cgid",
        20 mode: u32 => "shm_perm.mode",
        24 seq: u16 => "shm_perm.seq",
        26 _pad0: [u16; 3],
        32 _pad1: [u64; 2],
        48 shm_segsz: u64,
        56 shm_atime: i64,
        64 shm_dtime: i64,
        72 shm_ctime: i64,
        80 shm_cpid: i32,
        84 shm_lpid: i32,
        88 shm_nattch: u64,
        96 _pad2: [u64; 2],
    }
    /// The x86 layout has a spare word behind each time, which other 64-bit architectures lack.
    struct SemidDs as "struct semid64_ds", 104 {
        0 key: i32 => "sem_perm.key",
        4 uid: u32 => "sem_perm.uid",
        8 gid: u32 => "sem_perm.gid",
        12 cuid: u32 => "sem_perm.cuid",
        16 cgid: u32 => "sem_perm.cgid",
        20 mode: u32 => "sem_perm.mode",
        24 seq: u16 => "sem_perm.seq",
        26 _pad0: [u16; 3],
        32 _pad1: [u64; 2],
        48 sem_otime: i64,
        56 _pad2: u64,
        64 sem_ctime: i64,
        72 _pad3: u64,
        80 sem_nsems: u64,
        88 _pad4: [u64; 2],
    }
    struct MsqidDs as "struct msqid64_ds", 120 {
        0 key: i32 => "msg_perm.key",
        4 uid: u32 => "msg_perm.uid",
        8 gid: u32 => "msg_perm.gid",
        12 cuid: u32 => "msg_perm.cuid",
        16 cgid: u32 => "msg_perm.cgid",
        20 mode: u32 => "msg_perm.mode",
        24 seq: u16 => "msg_perm.seq",
        26 _pad0: [u16; 3],
        32 _pad1: [u64; 2],
        48 msg_stime: i64,
        56 msg_rtime: i64,
        64 msg_ctime: i64,
        72 msg_cbytes: u64,
        80 msg_qnum: u64,
        88 msg_qbytes: u64,
        96 msg_lspid: i32,
        100 msg_lrpid: i32,
        104 _pad2: [u64; 2],
    }
}

/// `struct epoll_event`: packed on x86-64, and 12 bytes on i386 too, where a `u64` is aligned to 4.
#[derive(Clone, Copy, Debug, Default, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable)]
#[repr(C, packed(4))]
pub struct EpollEvent {
    pub events: u32,
    pub data: u64,
}
const _: () = assert!(size_of::<EpollEvent>() == 12);
