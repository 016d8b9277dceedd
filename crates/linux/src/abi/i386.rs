//! Structures of the i386 Linux ABI; fields are named as in the kernel's headers. A `u64` is aligned to 4 bytes there,
//! hence the packing.
#![allow(missing_docs)]
// The structures do implement Debug; the derives of zerocopy bring hidden types that do not.
#![allow(missing_debug_implementations)]

use super::guest_structs;

guest_structs! { (C, packed(4)) LAYOUTS;
    /// `oldstat` and its family (numbers 18, 28, 84).
    struct OldStat as "struct __old_kernel_stat", 32 {
        0 st_dev: u16,
        2 st_ino: u16,
        4 st_mode: u16,
        6 st_nlink: u16,
        8 st_uid: u16,
        10 st_gid: u16,
        12 st_rdev: u16,
        14 _pad0: u16,
        16 st_size: u32,
        20 st_atime: u32,
        24 st_mtime: u32,
        28 st_ctime: u32,
    }
    /// `stat` and its family (numbers 106 to 108).
    struct Stat as "struct stat", 64 {
        0 st_dev: u32,
        4 st_ino: u32,
        8 st_mode: u16,
        10 st_nlink: u16,
        12 st_uid: u16,
        14 st_gid: u16,
        16 st_rdev: u32,
        20 st_size: u32,
        24 st_blksize: u32,
        28 st_blocks: u32,
        32 st_atime: u32,
        36 st_atime_nsec: u32,
        40 st_mtime: u32,
        44 st_mtime_nsec: u32,
        48 st_ctime: u32,
        52 st_ctime_nsec: u32,
        56 _pad0: [u32; 2],
    }
    /// `stat64` and its family (numbers 195 to 197, 300).
    struct Stat64 as "struct stat64", 96 {
        0 st_dev: u64,
        8 _pad0: u32,
        12 __st_ino: u32,
        16 st_mode: u32,
        20 st_nlink: u32,
        24 st_uid: u32,
        28 st_gid: u32,
        32 st_rdev: u64,
        40 _pad1: u32,
        44 st_size: i64,
        52 st_blksize: u32,
        56 st_blocks: i64,
        64 st_atime: u32,
        68 st_atime_nsec: u32,
        72 st_mtime: u32,
        76 st_mtime_nsec: u32,
        80 st_ctime: u32,
        84 st_ctime_nsec: u32,
        88 st_ino: u64,
    }
    struct Statfs as "struct statfs", 64 {
        0 f_type: u32,
        4 f_bsize: u32,
        8 f_blocks: u32,
        12 f_bfree: u32,
        16 f_bavail: u32,
        20 f_files: u32,
        24 f_ffree: u32,
        28 f_fsid: [i32; 2],
        36 f_namelen: u32,
        40 f_frsize: u32,
        44 f_flags: u32,
        48 f_spare: [u32; 4],
    }
    struct Statfs64 as "struct statfs64", 84 {
        0 f_type: u32,
        4 f_bsize: u32,
        8 f_blocks: u64,
        16 f_bfree: u64,
        24 f_bavail: u64,
        32 f_files: u64,
        40 f_ffree: u64,
        48 f_fsid: [i32; 2],
        56 f_namelen: u32,
        60 f_frsize: u32,
        64 f_flags: u32,
        68 f_spare: [u32; 4],
    }
    struct Timespec as "struct old_timespec32", 8 { 0 tv_sec: i32, 4 tv_nsec: i32 }
    struct Timeval as "struct timeval", 8 { 0 tv_sec: i32, 4 tv_usec: i32 }
    struct Itimerspec as "struct old_itimerspec32", 16 {
        0 interval_sec: i32 => "it_interval.tv_sec",
        4 interval_nsec: i32 => "it_interval.tv_nsec",
        8 value_sec: i32 => "it_value.tv_sec",
        12 value_nsec: i32 => "it_value.tv_nsec",
    }
    struct Itimerval as "struct itimerval", 16 {
        0 interval_sec: i32 => "it_interval.tv_sec",
        4 interval_usec: i32 => "it_interval.tv_usec",
        8 value_sec: i32 => "it_value.tv_sec",
        12 value_usec: i32 => "it_value.tv_usec",
    }
    struct Rusage as "struct rusage", 72 {
        0 utime_sec: i32 => "ru_utime.tv_sec",
        4 utime_usec: i32 => "ru_utime.tv_usec",
        8 stime_sec: i32 => "ru_stime.tv_sec",
        12 stime_usec: i32 => "ru_stime.tv_usec",
        16 ru_maxrss: i32,
        20 ru_ixrss: i32,
        24 ru_idrss: i32,
        28 ru_isrss: i32,
        32 ru_minflt: i32,
        36 ru_majflt: i32,
        40 ru_nswap: i32,
        44 ru_inblock: i32,
        48 ru_oublock: i32,
        52 ru_msgsnd: i32,
        56 ru_msgrcv: i32,
        60 ru_nsignals: i32,
        64 ru_nvcsw: i32,
        68 ru_nivcsw: i32,
    }
    struct Rlimit as "struct rlimit", 8 { 0 rlim_cur: u32, 4 rlim_max: u32 }
    struct Iovec as "struct iovec", 8 { 0 iov_base: u32, 4 iov_len: u32 }
    struct Msghdr as "struct user_msghdr", 28 {
        0 msg_name: u32,
        4 msg_namelen: i32,
        8 msg_iov: u32,
        12 msg_iovlen: u32,
        16 msg_control: u32,
        20 msg_controllen: u32,
        24 msg_flags: u32,
    }
    struct Cmsghdr as "struct user_cmsghdr", 12 { 0 cmsg_len: u32, 4 cmsg_level: i32, 8 cmsg_type: i32 }
    struct Flock as "struct flock", 16 { 0 l_type: i16, 2 l_whence: i16, 4 l_start: i32, 8 l_len: i32, 12 l_pid: i32 }
    struct Flock64 as "struct flock64", 24 {
        0 l_type: i16,
        2 l_whence: i16,
        4 l_start: i64,
        12 l_len: i64,
        20 l_pid: i32,
    }
    struct Sysinfo as "struct sysinfo", 64 {
        0 uptime: i32,
        4 loads: [u32; 3],
        16 totalram: u32,
        20 freeram: u32,
        24 sharedram: u32,
        28 bufferram: u32,
        32 totalswap: u32,
        36 freeswap: u32,
        40 procs: u16,
        42 _pad0: u16,
        44 totalhigh: u32,
        48 freehigh: u32,
        52 mem_unit: u32,
        56 _pad1: [u8; 8],
    }
    struct Sigevent as "struct sigevent", 64 {
        0 sigev_value: u32,
        4 sigev_signo: i32,
        8 sigev_notify: i32,
        12 sigev_tid: i32 => "_sigev_un._tid",
        16 _pad0: [u32; 12],
    }
    struct Timex as "struct timex", 128 {
        0 modes: u32,
        4 offset: i32,
        8 freq: i32,
        12 maxerror: i32,
        16 esterror: i32,
        20 status: i32,
        24 constant: i32,
        28 precision: i32,
        32 tolerance: i32,
        36 time_sec: i32 => "time.tv_sec",
        40 time_usec: i32 => "time.tv_usec",
        44 tick: i32,
        48 ppsfreq: i32,
        52 jitter: i32,
        56 shift: i32,
        60 stabil: i32,
        64 jitcnt: i32,
        68 calcnt: i32,
        72 errcnt: i32,
        76 stbcnt: i32,
        80 tai: i32,
        84 _pad0: [u32; 11],
    }
    struct Tms as "struct tms", 16 { 0 tms_utime: i32, 4 tms_stime: i32, 8 tms_cutime: i32, 12 tms_cstime: i32 }
    struct MqAttr as "struct mq_attr", 32 {
        0 mq_flags: i32,
        4 mq_maxmsg: i32,
        8 mq_msgsize: i32,
        12 mq_curmsgs: i32,
        16 _pad0: [i32; 4],
    }
    struct Utimbuf as "struct utimbuf", 8 { 0 actime: i32, 4 modtime: i32 }
    struct SockFprog as "struct sock_fprog", 8 { 0 len: u16, 2 _pad0: u16, 4 filter: u32 }
    struct Ustat as "struct ustat", 20 {
        0 f_tfree: i32,
        4 f_tinode: u32,
        8 f_fname: [u8; 6],
        14 f_fpack: [u8; 6],
    }
    struct Shminfo64 as "struct shminfo64", 36 {
        0 shmmax: u32,
        4 shmmin: u32,
        8 shmmni: u32,
        12 shmseg: u32,
        16 shmall: u32,
        20 _pad0: [u32; 4],
    }
    struct ShmInfo as "struct shm_info", 24 {
        0 used_ids: i32,
        4 shm_tot: u32,
        8 shm_rss: u32,
        12 shm_swp: u32,
        16 swap_attempts: u32,
        20 swap_successes: u32,
    }
    struct ShmidDs as "struct shmid64_ds", 84 {
        0 key: i32 => "shm_perm.key",
        4 uid: u32 => "shm_perm.uid",
        8 gid: u32 => "shm_perm.gid",
        12 cuid: u32 => "shm_perm.cuid",
        16 cgid: u32 => "shm_perm.cgid",
        20 mode: u16 => "shm_perm.mode",
        22 _pad0: u16,
        24 seq: u16 => "shm_perm.seq",
        26 _pad1: [u16; 5],
        36 shm_segsz: u32,
        40 shm_atime: u32,
        44 _pad2: u32,
        48 shm_dtime: u32,
        52 _pad3: u32,
        56 shm_ctime: u32,
        60 _pad4: u32,
        64 shm_cpid: i32,
        68 shm_lpid: i32,
        72 shm_nattch: u32,
        76 _pad5: [u32; 2],
    }
    struct SemidDs as "struct semid64_ds", 64 {
        0 key: i32 => "sem_perm.key",
        4 uid: u32 => "sem_perm.uid",
        8 gid: u32 => "sem_perm.gid",
        12 cuid: u32 => "sem_perm.cuid",
        16 cgid: u32 => "sem_perm.cgid",
        20 mode: u16 => "sem_perm.mode",
        22 _pad0: u16,
        24 seq: u16 => "sem_perm.seq",
        26 _pad1: [u16; 5],
        36 sem_otime: u32,
        40 _pad2: u32,
        44 sem_ctime: u32,
        48 _pad3: u32,
        52 sem_nsems: u32,
        56 _pad4: [u32; 2],
    }
    struct MsqidDs as "struct msqid64_ds", 88 {
        0 key: i32 => "msg_perm.key",
        4 uid: u32 => "msg_perm.uid",
        8 gid: u32 => "msg_perm.gid",
        12 cuid: u32 => "msg_perm.cuid",
        16 cgid: u32 => "msg_perm.cgid",
        20 mode: u16 => "msg_perm.mode",
        22 _pad0: u16,
        24 seq: u16 => "msg_perm.seq",
        26 _pad1: [u16; 5],
        36 msg_stime: u32,
        40 _pad2: u32,
        44 msg_rtime: u32,
        48 _pad3: u32,
        52 msg_ctime: u32,
        56 _pad4: u32,
        60 msg_cbytes: u32,
        64 msg_qnum: u32,
        68 msg_qbytes: u32,
        72 msg_lspid: i32,
        76 msg_lrpid: i32,
        80 _pad5: [u32; 2],
    }
}
