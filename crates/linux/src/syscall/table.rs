//! The table of system calls: every number of both ABIs, one row each.
//!
//! `number64 number32 name [action] (argument kinds) level`; `-` where an ABI has no such call. i386 gave the old names to
//! calls with 16-bit user ids and 32-bit offsets and times, so some names have a row per ABI.

use super::Kind::*;
use super::{Action, Level, Row};
use super::{aio, dir, fcntl, file, ids, info, ioctl, ipc, kernel, misc, net, numa, poll, sched, stat, time, uring};
use crate::ptrace::requests;

/// Numbers at and above this are not known.
const NUMBERS: usize = 512;
/// "No row" in [`INDEX64`] and [`INDEX32`].
const NONE: u16 = u16::MAX;

/// `-` or a number.
macro_rules! number {
    (-) => {
        None
    };
    ($number:literal) => {
        Some($number)
    };
}

/// The words in brackets.
macro_rules! action {
    (call $handler:path) => {
        Action::Call($handler)
    };
    (pass $nr:expr) => {
        Action::Pass($nr)
    };
    (block $nr:expr) => {
        Action::Block($nr)
    };
    (enosys) => {
        Action::Enosys
    };
}

/// The words at the end.
macro_rules! level {
    (full) => {
        Level::Full
    };
    (partial $why:literal) => {
        Level::Partial($why)
    };
    (missing $why:literal) => {
        Level::Missing($why)
    };
}

macro_rules! rows {
    ($($nr64:tt $nr32:tt $name:tt [$($action:tt)*] ($($kind:expr),*) $level:ident $($why:literal)?;)*) => {
        /// All rows, grouped by family.
        pub static TABLE: &[Row] = &[$(
            Row {
                nr64: number!($nr64),
                nr32: number!($nr32),
                name: stringify!($name),
                action: action!($($action)*),
                args: &[$($kind),*],
                level: level!($level $($why)?),
            },
        )*];
        /// The numbers of all rows, for the indices.
        const ROW_NUMBERS: &[(Option<u16>, Option<u16>)] = &[$((number!($nr64), number!($nr32))),*];
    };
}

rows! {

    // files
      0   3 read                     [call file::read] (Fd, OutBuf(2), Size) full;
      1   4 write                    [call file::write] (Fd, InBuf(2), Size) full;
      2   5 open                     [call file::open] (Path, OpenFlags, Mode) full;
      3   6 close                    [call file::close] (Fd) full;
     85   8 creat                    [call file::creat] (Path, Mode) full;
    257 295 openat                   [call file::openat] (AtFd, Path, OpenFlags, Mode) full;
    437 437 openat2                  [call file::openat2] (AtFd, Path, In, Size) full;
     17 180 pread64                  [call file::pread64] (Fd, OutBuf(2), Size, Long, Hex) full;
     18 181 pwrite64                 [call file::pwrite64] (Fd, InBuf(2), Size, Long, Hex) full;
     19 145 readv                    [call file::readv] (Fd, Ptr, Long) full;
     20 146 writev                   [call file::writev] (Fd, Ptr, Long) full;
    295 333 preadv                   [call file::preadv] (Fd, Ptr, Long, Long, Long) full;
    296 334 pwritev                  [call file::pwritev] (Fd, Ptr, Long, Long, Long) full;
    327 378 preadv2                  [call file::preadv2] (Fd, Ptr, Long, Long, Long, Hex) full;
    328 379 pwritev2                 [call file::pwritev2] (Fd, Ptr, Long, Long, Long, Hex) full;
      8  19 lseek                    [call file::lseek] (Fd, Long, Whence) full;
      - 140 _llseek                  [call file::llseek] (Fd, Hex, Hex, Ptr, Whence) full;
     76  92 truncate                 [call file::truncate] (Path, Long) full;
     77  93 ftruncate                [call file::ftruncate] (Fd, Long) full;
      - 193 truncate64               [call file::truncate64] (Path, Hex, Hex) full;
      - 194 ftruncate64              [call file::ftruncate64] (Fd, Hex, Hex) full;
    285 324 fallocate                [call file::fallocate] (Fd, Hex, Long, Long, Hex, Hex) full;
    221 250 fadvise64                [call file::fadvise64] (Fd, Long, Long, Int, Int) full;
      - 272 fadvise64_64             [call file::fadvise64_64] (Fd, Hex, Hex, Hex, Hex, Int) full;
    187 225 readahead                [call file::readahead] (Fd, Long, Size, Size) full;
    277 314 sync_file_range          [call file::sync_file_range] (Fd, Long, Long, Hex, Hex, Hex) full;
     40 187 sendfile                 [call file::sendfile] (Fd, Fd, Ptr, Size) full;
      - 239 sendfile64               [call file::sendfile64] (Fd, Fd, Ptr, Size) full;
    326 377 copy_file_range          [block libc::SYS_copy_file_range] (Fd, Out(8), Fd, Out(8), Size, Hex) full;
    275 313 splice                   [block libc::SYS_splice] (Fd, Out(8), Fd, Out(8), Size, Hex) full;
    276 315 tee                      [block libc::SYS_tee] (Fd, Fd, Size, Hex) full;
    278 316 vmsplice                 [call file::vmsplice] (Fd, Ptr, Size, Hex) full;
     32  41 dup                      [pass libc::SYS_dup] (Fd) full;
     33  63 dup2                     [call file::dup2] (Fd, Fd) full;
    292 330 dup3                     [call file::dup3] (Fd, Fd, OpenFlags) full;
     22  42 pipe                     [call file::pipe] (Out(8)) full;
    293 331 pipe2                    [pass libc::SYS_pipe2] (Out(8), OpenFlags) full;
     74 118 fsync                    [block libc::SYS_fsync] (Fd) full;
     75 148 fdatasync                [block libc::SYS_fdatasync] (Fd) full;
    162  36 sync                     [block libc::SYS_sync] () full;
    306 344 syncfs                   [block libc::SYS_syncfs] (Fd) full;
     73 143 flock                    [block libc::SYS_flock] (Fd, Hex) full;
     72  55 fcntl                    [call fcntl::fcntl] (Fd, Fcntl, Hex) full;
      - 221 fcntl64                  [call fcntl::fcntl] (Fd, Fcntl, Hex) full;
     16  54 ioctl                    [call ioctl::ioctl] (Fd, Hex, Hex) partial "i386: requests of sound, graphics and video devices with pointers, and what is not known, are refused with ENOTTY; KVM is for both";
      4 106 stat                     [call stat::stat] (Path, Out(144)) full;
      5 108 fstat                    [call stat::fstat] (Fd, Out(144)) full;
      6 107 lstat                    [call stat::lstat] (Link, Out(144)) full;
      -  18 oldstat                  [call stat::oldstat] (Path, Out(32)) full;
      -  28 oldfstat                 [call stat::oldfstat] (Fd, Out(32)) full;
      -  84 oldlstat                 [call stat::oldlstat] (Link, Out(32)) full;
      - 195 stat64                   [call stat::stat64] (Path, Out(96)) full;
      - 197 fstat64                  [call stat::fstat64] (Fd, Out(96)) full;
      - 196 lstat64                  [call stat::lstat64] (Link, Out(96)) full;
    262   - newfstatat               [call stat::newfstatat] (AtFd, Path, Out(144), AtFlags) full;
      - 300 fstatat64                [call stat::fstatat64] (AtFd, Path, Out(96), AtFlags) full;
    332 383 statx                    [call stat::statx] (AtFd, Path, AtFlags, Hex, Out(256)) full;
    137  99 statfs                   [call stat::statfs] (Path, Out(120)) full;
    138 100 fstatfs                  [call stat::fstatfs] (Fd, Out(120)) full;
      - 268 statfs64                 [call stat::statfs64] (Path, Size, Out(84)) full;
      - 269 fstatfs64                [call stat::fstatfs64] (Fd, Size, Out(84)) full;
    136  62 ustat                    [call stat::ustat] (Hex, Out(32)) partial "free counts only for a device that is mounted where /proc/self/mountinfo shows it";
     21  33 access                   [call dir::access] (Path, Hex) full;
    269 307 faccessat                [call dir::faccessat] (AtFd, Path, Hex) full;
    439 439 faccessat2               [pass libc::SYS_faccessat2] (AtFd, Path, Hex, AtFlags) full;
     89  85 readlink                 [call dir::readlink] (Link, OutBuf(2), Size) full;
    267 305 readlinkat               [call dir::readlinkat] (AtFd, Link, OutBuf(3), Size) full;
     78 141 getdents                 [call dir::getdents] (Fd, OutBuf(2), Size) full;
    217 220 getdents64               [call dir::getdents64] (Fd, OutBuf(2), Size) full;
      -  89 readdir                  [call dir::readdir] (Fd, Ptr, Uint) full;
     79 183 getcwd                   [call dir::getcwd] (OutBuf(1), Size) full;
     80  12 chdir                    [pass libc::SYS_chdir] (Path) full;
     81 133 fchdir                   [pass libc::SYS_fchdir] (Fd) full;
    161  61 chroot                   [call dir::chroot] (Path) full;
     82  38 rename                   [call dir::rename] (Entry, Entry) full;
    264 302 renameat                 [call dir::renameat] (AtFd, Entry, AtFd, Entry) full;
    316 353 renameat2                [pass libc::SYS_renameat2] (AtFd, Entry, AtFd, Entry, Hex) full;
     83  39 mkdir                    [call dir::mkdir] (Entry, Mode) full;
    258 296 mkdirat                  [pass libc::SYS_mkdirat] (AtFd, Entry, Mode) full;
     84  40 rmdir                    [call dir::rmdir] (Entry) full;
     86   9 link                     [call dir::link] (Link, Entry) full;
    265 303 linkat                   [pass libc::SYS_linkat] (AtFd, Link, AtFd, Entry, AtFlags) full;
     87  10 unlink                   [call dir::unlink] (Entry) full;
    263 301 unlinkat                 [pass libc::SYS_unlinkat] (AtFd, Entry, AtFlags) full;
     88  83 symlink                  [call dir::symlink] (Str, Entry) full;
    266 304 symlinkat                [pass libc::SYS_symlinkat] (Str, AtFd, Entry) full;
    133  14 mknod                    [call dir::mknod] (Entry, Mode, Hex) full;
    259 297 mknodat                  [pass libc::SYS_mknodat] (AtFd, Entry, Mode, Hex) full;
     90  15 chmod                    [call dir::chmod] (Path, Mode) full;
     91  94 fchmod                   [pass libc::SYS_fchmod] (Fd, Mode) full;
    268 306 fchmodat                 [pass libc::SYS_fchmodat] (AtFd, Path, Mode) full;
    452 452 fchmodat2                [pass 452] (AtFd, Path, Mode, AtFlags) full;
     92   - chown                    [call dir::chown] (Path, Uint, Uint) full;
     94   - lchown                   [call dir::lchown] (Link, Uint, Uint) full;
      - 212 chown32                  [call dir::chown] (Path, Uint, Uint) full;
      - 198 lchown32                 [call dir::lchown] (Link, Uint, Uint) full;
     93   - fchown                   [pass kernel::FCHOWN] (Fd, Uint, Uint) full;
      - 207 fchown32                 [pass kernel::FCHOWN] (Fd, Uint, Uint) full;
      - 182 chown                    [call ids::chown16] (Path, Uint, Uint) full;
      -  16 lchown                   [call ids::lchown16] (Link, Uint, Uint) full;
      -  95 fchown                   [call ids::fchown16] (Fd, Uint, Uint) full;
    260 298 fchownat                 [pass libc::SYS_fchownat] (AtFd, Path, Uint, Uint, AtFlags) full;
     95  60 umask                    [pass libc::SYS_umask] (Mode) full;
    188 226 setxattr                 [pass libc::SYS_setxattr] (Path, Str, InBuf(3), Size, Hex) full;
    189 227 lsetxattr                [pass libc::SYS_lsetxattr] (Link, Str, InBuf(3), Size, Hex) full;
    190 228 fsetxattr                [pass libc::SYS_fsetxattr] (Fd, Str, InBuf(3), Size, Hex) full;
    191 229 getxattr                 [pass libc::SYS_getxattr] (Path, Str, OutBuf(3), Size) full;
    192 230 lgetxattr                [pass libc::SYS_lgetxattr] (Link, Str, OutBuf(3), Size) full;
    193 231 fgetxattr                [pass libc::SYS_fgetxattr] (Fd, Str, OutBuf(3), Size) full;
    194 232 listxattr                [pass libc::SYS_listxattr] (Path, OutBuf(2), Size) full;
    195 233 llistxattr               [pass libc::SYS_llistxattr] (Link, OutBuf(2), Size) full;
    196 234 flistxattr               [pass libc::SYS_flistxattr] (Fd, OutBuf(2), Size) full;
    197 235 removexattr              [pass libc::SYS_removexattr] (Path, Str) full;
    198 236 lremovexattr             [pass libc::SYS_lremovexattr] (Link, Str) full;
    199 237 fremovexattr             [pass libc::SYS_fremovexattr] (Fd, Str) full;
    463 463 setxattrat               [pass 463] (AtFd, Path, AtFlags, Str, In, Size) full;
    464 464 getxattrat               [pass 464] (AtFd, Path, AtFlags, Str, In, Size) full;
    465 465 listxattrat              [pass 465] (AtFd, Path, AtFlags, OutBuf(4), Size) full;
    466 466 removexattrat            [pass 466] (AtFd, Path, AtFlags, Str) full;
    303 341 name_to_handle_at        [pass libc::SYS_name_to_handle_at] (AtFd, Link, Out(136), Out(8), AtFlags) full;
    304 342 open_by_handle_at        [call file::open_by_handle_at] (Fd, In, OpenFlags) full;
    212 253 lookup_dcookie           [enosys] () missing "removed from Linux 6.7";
    179 131 quotactl                 [call misc::quotactl] (Uint, Path, Int, Ptr) full;
    443 443 quotactl_fd              [call misc::quotactl_fd] (Fd, Uint, Int, Ptr) full;
    165  21 mount                    [pass libc::SYS_mount] (Str, Path, Str, Hex, In) full;
      -  22 umount                   [call dir::umount] (Path) full;
    166  52 umount2                  [pass libc::SYS_umount2] (Path, Hex) full;
    155 217 pivot_root               [call dir::pivot_root] (Path, Path) full;
    167  87 swapon                   [pass libc::SYS_swapon] (Path, Hex) full;
    168 115 swapoff                  [pass libc::SYS_swapoff] (Path) full;
    163  51 acct                     [pass libc::SYS_acct] (Path) full;
    428 428 open_tree                [pass libc::SYS_open_tree] (AtFd, Path, Hex) full;
    429 429 move_mount               [pass libc::SYS_move_mount] (AtFd, Path, AtFd, Path, Hex) full;
    430 430 fsopen                   [pass libc::SYS_fsopen] (Str, Hex) full;
    431 431 fsconfig                 [pass libc::SYS_fsconfig] (Fd, Uint, Str, In, Int) full;
    432 432 fsmount                  [pass libc::SYS_fsmount] (Fd, Hex, Hex) full;
    433 433 fspick                   [pass libc::SYS_fspick] (AtFd, Path, Hex) full;
    442 442 mount_setattr            [pass libc::SYS_mount_setattr] (AtFd, Path, Hex, In, Size) full;
    467 467 open_tree_attr           [pass 467] (AtFd, Path, Hex, In, Size) full;
    457 457 statmount                [pass 457] (In, OutBuf(2), Size, Hex) full;
    458 458 listmount                [pass 458] (In, Out(8), Size, Hex) full;
    253 291 inotify_init             [call poll::inotify_init] () full;
    294 332 inotify_init1            [pass libc::SYS_inotify_init1] (OpenFlags) full;
    254 292 inotify_add_watch        [pass libc::SYS_inotify_add_watch] (Fd, Path, Hex) full;
    255 293 inotify_rm_watch         [pass libc::SYS_inotify_rm_watch] (Fd, Int) full;
    300 338 fanotify_init            [pass libc::SYS_fanotify_init] (Hex, OpenFlags) full;
    301 339 fanotify_mark            [call file::fanotify_mark] (Fd, Hex, Hex, Hex, AtFd, Path) full;
    436 436 close_range              [call file::close_range] (Uint, Uint, Hex) full;
    319 356 memfd_create             [pass libc::SYS_memfd_create] (Str, Hex) full;
    447 447 memfd_secret             [call misc::memfd_secret] (Hex) full;
    451 451 cachestat                [pass 451] (Fd, In, Out(40), Uint) full;

    // waiting
      7 168 poll                     [call poll::poll] (Ptr, Uint, Int) full;
    271 309 ppoll                    [call poll::ppoll] (Ptr, Uint, Timespec, Ptr, Size) full;
      - 414 ppoll_time64             [call poll::ppoll_time64] (Ptr, Uint, Timespec64, Ptr, Size) full;
     23  82 select                   [call poll::select] (Int, Ptr, Ptr, Ptr, Ptr) full;
      - 142 _newselect               [call poll::newselect] (Int, Ptr, Ptr, Ptr, Ptr) full;
    270 308 pselect6                 [call poll::pselect6] (Int, Ptr, Ptr, Ptr, Timespec, Ptr) full;
      - 413 pselect6_time64          [call poll::pselect6_time64] (Int, Ptr, Ptr, Ptr, Timespec64, Ptr) full;
    213 254 epoll_create             [call poll::epoll_create] (Int) full;
    291 329 epoll_create1            [pass libc::SYS_epoll_create1] (OpenFlags) full;
    233 255 epoll_ctl                [call poll::epoll_ctl] (Fd, Int, Fd, Ptr) full;
    232 256 epoll_wait               [call poll::epoll_wait] (Fd, Ptr, Int, Int) full;
    281 319 epoll_pwait              [call poll::epoll_pwait] (Fd, Ptr, Int, Int, Ptr, Size) full;
    441 441 epoll_pwait2             [call poll::epoll_pwait2] (Fd, Ptr, Int, Timespec64, Ptr, Size) full;
    214   - epoll_ctl_old            [enosys] () missing "never existed outside the number table";
    215   - epoll_wait_old           [enosys] () missing "never existed outside the number table";
    284 323 eventfd                  [call poll::eventfd] (Uint) full;
    290 328 eventfd2                 [pass libc::SYS_eventfd2] (Uint, OpenFlags) full;
    283 322 timerfd_create           [pass libc::SYS_timerfd_create] (Clock, OpenFlags) full;
    286 325 timerfd_settime          [call time::timerfd_settime] (Fd, Hex, Ptr, Ptr) full;
      - 411 timerfd_settime64        [call time::timerfd_settime64] (Fd, Hex, Ptr, Ptr) full;
    287 326 timerfd_gettime          [call time::timerfd_gettime] (Fd, Ptr) full;
      - 410 timerfd_gettime64        [call time::timerfd_gettime64] (Fd, Ptr) full;
    282 321 signalfd                 [call crate::signal::syscalls::sys_signalfd] (Fd, Ptr, Size) full;
    289 327 signalfd4                [call crate::signal::syscalls::sys_signalfd4] (Fd, Ptr, Size, Hex) full;
    206 245 io_setup                 [call aio::io_setup] (Uint, Ptr) partial "x86-64 programs on 64-bit hosts only: the ring lies where the host put it";
    207 246 io_destroy               [call aio::io_destroy] (Ptr) partial "x86-64 programs on 64-bit hosts only: the ring lies where the host put it";
    208 247 io_getevents             [call aio::io_getevents] (Ptr, Long, Long, Ptr, Timespec) partial "x86-64 programs on 64-bit hosts only: the ring lies where the host put it";
    209 248 io_submit                [call aio::io_submit] (Ptr, Long, Ptr) partial "x86-64 programs on 64-bit hosts only: the ring lies where the host put it";
    210 249 io_cancel                [call aio::io_cancel] (Ptr, Ptr, Ptr) partial "x86-64 programs on 64-bit hosts only: the ring lies where the host put it";
    333 385 io_pgetevents            [call aio::io_pgetevents] (Ptr, Long, Long, Ptr, Timespec, Ptr) partial "x86-64 programs on 64-bit hosts only: the ring lies where the host put it";
      - 416 io_pgetevents_time64     [enosys] () missing "see io setup";
    425 425 io_uring_setup           [call uring::setup] (Uint, Ptr) partial "x86-64 guests on 64-bit hosts with pages of 4 KiB, without a guest root or filters; else ENOSYS, and programs fall back to epoll; on ARM hosts no SQPOLL, and no submission to a ring by a duplicate of its descriptor";
    426 426 io_uring_enter           [call uring::enter] (Fd, Uint, Uint, Hex, Ptr, Size) partial "x86-64 guests on 64-bit hosts with pages of 4 KiB, without a guest root or filters; else ENOSYS, and programs fall back to epoll; on ARM hosts no SQPOLL, and no submission to a ring by a duplicate of its descriptor";
    427 427 io_uring_register        [call uring::register] (Fd, Uint, Ptr, Uint) partial "x86-64 guests on 64-bit hosts with pages of 4 KiB, without a guest root or filters; else ENOSYS, and programs fall back to epoll; on ARM hosts no SQPOLL, and no submission to a ring by a duplicate of its descriptor";

    // sockets
     41 359 socket                   [pass libc::SYS_socket] (Family, Hex, Int) full;
     53 360 socketpair               [pass libc::SYS_socketpair] (Family, Hex, Int, Out(8)) full;
     49 361 bind                     [call net::bind] (Fd, SockAddr(2), Uint) full;
     42 362 connect                  [call net::connect] (Fd, SockAddr(2), Uint) full;
     50 363 listen                   [pass libc::SYS_listen] (Fd, Int) full;
     43   - accept                   [call net::accept] (Fd, Ptr, Ptr) full;
    288 364 accept4                  [call net::accept4] (Fd, Ptr, Ptr, Hex) full;
     51 367 getsockname              [call net::getsockname] (Fd, Ptr, Ptr) full;
     52 368 getpeername              [call net::getpeername] (Fd, Ptr, Ptr) full;
     44 369 sendto                   [call net::sendto] (Fd, InBuf(2), Size, Hex, SockAddr(5), Uint) full;
     45 371 recvfrom                 [call net::recvfrom] (Fd, OutBuf(2), Size, Hex, Ptr, Ptr) full;
     46 370 sendmsg                  [call net::sendmsg] (Fd, Ptr, Hex) full;
     47 372 recvmsg                  [call net::recvmsg] (Fd, Ptr, Hex) full;
    307 345 sendmmsg                 [call net::sendmmsg] (Fd, Ptr, Uint, Hex) full;
    299 337 recvmmsg                 [call net::recvmmsg] (Fd, Ptr, Uint, Hex, Timespec) full;
      - 417 recvmmsg_time64          [call net::recvmmsg_time64] (Fd, Ptr, Uint, Hex, Timespec64) full;
     48 373 shutdown                 [pass libc::SYS_shutdown] (Fd, Int) full;
     54 366 setsockopt               [call net::setsockopt] (Fd, Int, Int, InBuf(4), Uint) partial "options with pointers other than socket filters are not converted for i386";
     55 365 getsockopt               [call net::getsockopt] (Fd, Int, Int, Ptr, Ptr) partial "options with pointers are not converted for i386";
      - 102 socketcall               [call net::socketcall] (Int, Ptr) full;

    // System V and POSIX IPC
      - 117 ipc                      [call ipc::ipc] (Uint, Int, Int, Hex, Ptr, Hex) partial "i386 without IPC_64 (16-bit structures) is refused";
     64 393 semget                   [pass libc::SYS_semget] (Int, Int, Hex) full;
     65   - semop                    [call ipc::semop] (Int, Ptr, Size) full;
    220   - semtimedop               [call ipc::semtimedop] (Int, Ptr, Size, Timespec) full;
      - 420 semtimedop_time64        [call ipc::semtimedop_time64] (Int, Ptr, Size, Timespec64) full;
     66 394 semctl                   [call ipc::semctl] (Int, Int, Int, Hex) partial "i386 without IPC_64 (16-bit structures) is refused";
     68 399 msgget                   [pass libc::SYS_msgget] (Int, Hex) full;
     69 400 msgsnd                   [call ipc::msgsnd] (Int, Ptr, Size, Hex) full;
     70 401 msgrcv                   [call ipc::msgrcv] (Int, Ptr, Size, Long, Hex) full;
     71 402 msgctl                   [call ipc::msgctl] (Int, Int, Ptr) partial "i386 without IPC_64 (16-bit structures) is refused";
     29 395 shmget                   [pass libc::SYS_shmget] (Int, Size, Hex) full;
     30 397 shmat                    [call ipc::shmat] (Int, Ptr, Hex) full;
     67 398 shmdt                    [call ipc::shmdt] (Ptr) full;
     31 396 shmctl                   [call ipc::shmctl] (Int, Int, Ptr) partial "i386 without IPC_64 (16-bit structures) is refused";
    240 277 mq_open                  [call ipc::mq_open] (Str, OpenFlags, Mode, Ptr) full;
    241 278 mq_unlink                [pass libc::SYS_mq_unlink] (Str) full;
    242 279 mq_timedsend             [call ipc::mq_timedsend] (Fd, InBuf(2), Size, Uint, Timespec) full;
      - 418 mq_timedsend_time64      [call ipc::mq_timedsend_time64] (Fd, InBuf(2), Size, Uint, Timespec64) full;
    243 280 mq_timedreceive          [call ipc::mq_timedreceive] (Fd, OutBuf(2), Size, Ptr, Timespec) full;
      - 419 mq_timedreceive_time64   [call ipc::mq_timedreceive_time64] (Fd, OutBuf(2), Size, Ptr, Timespec64) full;
    244 281 mq_notify                [call ipc::mq_notify] (Fd, Ptr) full;
    245 282 mq_getsetattr            [call ipc::mq_getsetattr] (Fd, Ptr, Ptr) full;

    // time
    201  13 time                     [call time::time] (Ptr) full;
      -  25 stime                    [call time::stime] (Ptr) full;
     96  78 gettimeofday             [call time::gettimeofday] (Ptr, Ptr) full;
    164  79 settimeofday             [call time::settimeofday] (Ptr, Ptr) full;
      -  35 ftime                    [enosys] () missing "never existed on Linux";
    228 265 clock_gettime            [call time::clock_gettime] (Clock, Ptr) full;
      - 403 clock_gettime64          [call time::clock_gettime64] (Clock, Ptr) full;
    227 264 clock_settime            [call time::clock_settime] (Clock, Timespec) full;
      - 404 clock_settime64          [call time::clock_settime64] (Clock, Timespec64) full;
    229 266 clock_getres             [call time::clock_getres] (Clock, Ptr) full;
      - 406 clock_getres_time64      [call time::clock_getres_time64] (Clock, Ptr) full;
    230 267 clock_nanosleep          [call time::clock_nanosleep] (Clock, Hex, Timespec, Ptr) full;
      - 407 clock_nanosleep_time64   [call time::clock_nanosleep_time64] (Clock, Hex, Timespec64, Ptr) full;
    305 343 clock_adjtime            [call time::clock_adjtime] (Clock, Ptr) full;
      - 405 clock_adjtime64          [call time::clock_adjtime64] (Clock, Ptr) full;
    159 124 adjtimex                 [call time::adjtimex] (Ptr) full;
     35 162 nanosleep                [call time::nanosleep] (Timespec, Ptr) full;
    222 259 timer_create             [call time::timer_create] (Clock, Ptr, Out(4)) full;
    223 260 timer_settime            [call time::timer_settime] (Int, Hex, Ptr, Ptr) full;
      - 409 timer_settime64          [call time::timer_settime64] (Int, Hex, Ptr, Ptr) full;
    224 261 timer_gettime            [call time::timer_gettime] (Int, Ptr) full;
      - 408 timer_gettime64          [call time::timer_gettime64] (Int, Ptr) full;
    225 262 timer_getoverrun         [pass libc::SYS_timer_getoverrun] (Int) full;
    226 263 timer_delete             [pass libc::SYS_timer_delete] (Int) full;
     36 105 getitimer                [call time::getitimer] (Int, Ptr) full;
     38 104 setitimer                [call time::setitimer] (Int, Ptr, Ptr) full;
     37  27 alarm                    [call time::alarm] (Uint) full;
    100  43 times                    [call time::times] (Ptr) full;
    132  30 utime                    [call time::utime] (Path, Ptr) full;
    235 271 utimes                   [call time::utimes] (Path, Ptr) full;
    261 299 futimesat                [call time::futimesat] (AtFd, Path, Ptr) full;
    280 320 utimensat                [call time::utimensat] (AtFd, Path, Ptr, AtFlags) full;
      - 412 utimensat_time64         [call time::utimensat_time64] (AtFd, Path, Ptr, AtFlags) full;

    // memory
     12  45 brk                      [call crate::mm::syscalls::sys_brk] (Ptr) full;
      9   - mmap                     [call crate::mm::syscalls::sys_mmap] (Ptr, Size, Prot, MapFlags, Fd, Hex) full;
      -  90 mmap                     [call crate::mm::syscalls::sys_old_mmap] (Ptr) full;
      - 192 mmap2                    [call crate::mm::syscalls::sys_mmap2] (Ptr, Size, Prot, MapFlags, Fd, Hex) full;
     11  91 munmap                   [call crate::mm::syscalls::sys_munmap] (Ptr, Size) full;
     10 125 mprotect                 [call crate::mm::syscalls::sys_mprotect] (Ptr, Size, Prot) full;
     25 163 mremap                   [call crate::mm::syscalls::sys_mremap] (Ptr, Size, Size, Hex, Ptr) full;
     28 219 madvise                  [call crate::mm::syscalls::sys_madvise] (Ptr, Size, Int) full;
     26 144 msync                    [call crate::mm::syscalls::sys_msync] (Ptr, Size, Hex) full;
     27 218 mincore                  [call crate::mm::syscalls::sys_mincore] (Ptr, Size, Ptr) full;
    149 150 mlock                    [call crate::mm::syscalls::sys_mlock] (Ptr, Size) full;
    325 376 mlock2                   [call crate::mm::syscalls::sys_mlock2] (Ptr, Size, Hex) full;
    150 151 munlock                  [call crate::mm::syscalls::sys_munlock] (Ptr, Size) full;
    151 152 mlockall                 [call crate::mm::syscalls::sys_mlockall] (Hex) full;
    152 153 munlockall               [call crate::mm::syscalls::sys_munlockall] () full;
    216 257 remap_file_pages         [call crate::mm::syscalls::sys_remap_file_pages] (Ptr, Size, Prot, Size, MapFlags) full;
    237 274 mbind                    [call numa::mbind] (Ptr, Size, Int, Ptr, Size, Hex) full;
    238 276 set_mempolicy            [call numa::set_mempolicy] (Int, Ptr, Size) full;
    239 275 get_mempolicy            [call numa::get_mempolicy] (Ptr, Ptr, Size, Ptr, Hex) full;
    450 450 set_mempolicy_home_node  [call numa::set_mempolicy_home_node] (Ptr, Size, Size, Hex) full;
    256 294 migrate_pages            [call numa::migrate_pages] (Int, Size, Ptr, Ptr) full;
    279 317 move_pages               [call numa::move_pages] (Int, Size, Ptr, Ptr, Ptr, Hex) full;
    329 380 pkey_mprotect            [call misc::pkey_mprotect] (Ptr, Size, Prot, Int) partial "only key -1: the guest CPU has no protection keys";
    330 381 pkey_alloc               [call misc::pkey_alloc] (Hex, Hex) full;
    331 382 pkey_free                [call misc::pkey_free] (Int) full;
    310 347 process_vm_readv         [call misc::process_vm_readv] (Int, Ptr, Size, Ptr, Size, Hex) full;
    311 348 process_vm_writev        [call misc::process_vm_writev] (Int, Ptr, Size, Ptr, Size, Hex) full;
    440 440 process_madvise          [call misc::process_madvise] (Fd, Ptr, Size, Int, Hex) full;
    448 448 process_mrelease         [pass 448] (Fd, Hex) full;
    323 374 userfaultfd              [enosys] () missing "faults are handled by the translator";
    462 462 mseal                    [call crate::mm::syscalls::sys_mseal] (Ptr, Size, Hex) full;
    453 453 map_shadow_stack         [enosys] () missing "the guest CPU has no shadow stacks";

    // signals
     13 174 rt_sigaction             [call crate::signal::syscalls::sys_rt_sigaction] (Signal, Ptr, Ptr, Size) full;
      -  67 sigaction                [call crate::signal::syscalls::sys_sigaction] (Signal, Ptr, Ptr) full;
      -  48 signal                   [call crate::signal::syscalls::sys_signal] (Signal, Ptr) full;
     14 175 rt_sigprocmask           [call crate::signal::syscalls::sys_rt_sigprocmask] (Int, Ptr, Ptr, Size) full;
      - 126 sigprocmask              [call crate::signal::syscalls::sys_sigprocmask] (Int, Ptr, Ptr) full;
      -  68 sgetmask                 [call crate::signal::syscalls::sys_sgetmask] () full;
      -  69 ssetmask                 [call crate::signal::syscalls::sys_ssetmask] (Hex) full;
    127 176 rt_sigpending            [call crate::signal::syscalls::sys_rt_sigpending] (Ptr, Size) full;
      -  73 sigpending               [call crate::signal::syscalls::sys_sigpending] (Ptr) full;
    130 179 rt_sigsuspend            [call crate::signal::syscalls::sys_rt_sigsuspend] (Ptr, Size) full;
      -  72 sigsuspend               [call crate::signal::syscalls::sys_sigsuspend] (Int, Int, Hex) full;
    128 177 rt_sigtimedwait          [call crate::signal::syscalls::sys_rt_sigtimedwait] (Ptr, Ptr, Timespec, Size) full;
      - 421 rt_sigtimedwait_time64   [call crate::signal::syscalls::sys_rt_sigtimedwait_time64] (Ptr, Ptr, Timespec64, Size) full;
    129 178 rt_sigqueueinfo          [call crate::signal::syscalls::sys_rt_sigqueueinfo] (Int, Signal, Ptr) full;
    297 335 rt_tgsigqueueinfo        [call crate::signal::syscalls::sys_rt_tgsigqueueinfo] (Int, Int, Signal, Ptr) full;
     62  37 kill                     [call crate::signal::syscalls::sys_kill] (Int, Signal) full;
    200 238 tkill                    [call crate::signal::syscalls::sys_tkill] (Int, Signal) full;
    234 270 tgkill                   [call crate::signal::syscalls::sys_tgkill] (Int, Int, Signal) full;
    131 186 sigaltstack              [call crate::signal::syscalls::sys_sigaltstack] (Ptr, Ptr) full;
     15 173 rt_sigreturn             [call crate::signal::syscalls::sys_rt_sigreturn] () full;
      - 119 sigreturn                [call crate::signal::syscalls::sys_sigreturn] () full;
     34  29 pause                    [call crate::signal::syscalls::sys_pause] () full;
    219   0 restart_syscall          [call crate::signal::syscalls::sys_restart_syscall] () full;
    424 424 pidfd_send_signal        [call misc::pidfd_send_signal] (Fd, Signal, Ptr, Hex) full;

    // processes and threads
     56 120 clone                    [call crate::clone::sys_clone] (CloneFlags, Ptr, Ptr, Ptr, Ptr) full;
    435 435 clone3                   [call crate::clone::sys_clone3] (Ptr, Size) full;
     57   2 fork                     [call crate::clone::sys_fork] () full;
     58 190 vfork                    [call crate::clone::sys_vfork] () full;
    218 258 set_tid_address          [call crate::clone::sys_set_tid_address] (Ptr) full;
    186 224 gettid                   [call crate::clone::sys_gettid] () full;
     39  20 getpid                   [call crate::clone::sys_getpid] () full;
    273 311 set_robust_list          [call crate::clone::sys_set_robust_list] (Ptr, Size) full;
    274 312 get_robust_list          [call crate::clone::sys_get_robust_list] (Int, Ptr, Ptr) full;
     59  11 execve                   [call crate::exec::sys_execve] (Path, Ptr, Ptr) full;
    322 358 execveat                 [call crate::exec::sys_execveat] (AtFd, Path, Ptr, Ptr, AtFlags) full;
     60   1 exit                     [call crate::exit::sys_exit] (Int) full;
    231 252 exit_group               [call crate::exit::sys_exit_group] (Int) full;
     61 114 wait4                    [call crate::exit::sys_wait4] (Int, Ptr, Hex, Ptr) full;
      -   7 waitpid                  [call crate::exit::sys_waitpid] (Int, Ptr, Hex) full;
    247 284 waitid                   [call crate::exit::sys_waitid] (Int, Int, Ptr, Hex, Ptr) full;
    202 240 futex                    [call crate::futex::sys_futex] (Ptr, Futex, Uint, Timespec, Ptr, Uint) full;
      - 422 futex_time64             [call crate::futex::sys_futex_time64] (Ptr, Futex, Uint, Timespec64, Ptr, Uint) full;
    449 449 futex_waitv              [call crate::futex::sys_futex_waitv] (Ptr, Uint, Hex, Timespec64, Clock) full;
    454 454 futex_wake               [call crate::futex::sys_futex_wake] (Ptr, Hex, Int, Hex) full;
    455 455 futex_wait               [call crate::futex::sys_futex_wait] (Ptr, Hex, Hex, Hex, Timespec64, Clock) full;
    456 456 futex_requeue            [call crate::futex::sys_futex_requeue] (Ptr, Hex, Int, Int) full;
    157 172 prctl                    [call crate::clone::sys_prctl] (Hex, Hex, Hex, Hex, Hex) partial "the subset that makes sense for a translated process";
    158 384 arch_prctl               [call crate::mm::syscalls::sys_arch_prctl] (Hex, Ptr) full;
    205 243 set_thread_area          [call crate::mm::syscalls::sys_set_thread_area] (Ptr) full;
    211 244 get_thread_area          [call crate::mm::syscalls::sys_get_thread_area] (Ptr) full;
    154 123 modify_ldt               [call crate::mm::syscalls::sys_modify_ldt] (Int, Ptr, Size) full;
     24 158 sched_yield              [call crate::clone::sys_sched_yield] () full;
    142 154 sched_setparam           [pass libc::SYS_sched_setparam] (Int, In) full;
    143 155 sched_getparam           [pass libc::SYS_sched_getparam] (Int, Out(4)) full;
    144 156 sched_setscheduler       [pass libc::SYS_sched_setscheduler] (Int, Int, In) full;
    145 157 sched_getscheduler       [pass libc::SYS_sched_getscheduler] (Int) full;
    146 159 sched_get_priority_max   [pass libc::SYS_sched_get_priority_max] (Int) full;
    147 160 sched_get_priority_min   [pass libc::SYS_sched_get_priority_min] (Int) full;
    148 161 sched_rr_get_interval    [call sched::sched_rr_get_interval] (Int, Ptr) full;
      - 423 sched_rr_get_interval_time64 [call sched::sched_rr_get_interval_time64] (Int, Ptr) full;
    203 241 sched_setaffinity        [call sched::sched_setaffinity] (Int, Uint, Ptr) full;
    204 242 sched_getaffinity        [call sched::sched_getaffinity] (Int, Uint, Ptr) full;
    314 351 sched_setattr            [pass libc::SYS_sched_setattr] (Int, Out(56), Hex) full;
    315 352 sched_getattr            [pass libc::SYS_sched_getattr] (Int, OutBuf(2), Uint, Hex) full;
    140  96 getpriority              [pass libc::SYS_getpriority] (Int, Int) full;
    141  97 setpriority              [pass libc::SYS_setpriority] (Int, Int, Int) full;
      -  34 nice                     [call sched::nice] (Int) full;
    251 289 ioprio_set               [pass libc::SYS_ioprio_set] (Int, Int, Int) full;
    252 290 ioprio_get               [pass libc::SYS_ioprio_get] (Int, Int) full;
    309 318 getcpu                   [call sched::getcpu] (Out(4), Out(4), Ptr) full;
    324 375 membarrier               [pass libc::SYS_membarrier] (Int, Hex, Int) full;
    334 386 rseq                     [enosys] () missing "critical sections are entered by a plain store, and to see it every store of a program would have to be looked at; with aborts missed it would do harm (ARCHITECTURE.md). C libraries do without";
    272 310 unshare                  [call misc::unshare] (Hex) full;
    308 346 setns                    [call misc::setns] (Fd, Hex) full;
    434 434 pidfd_open               [pass libc::SYS_pidfd_open] (Int, Hex) full;
    438 438 pidfd_getfd              [pass libc::SYS_pidfd_getfd] (Fd, Fd, Hex) full;
    312 349 kcmp                     [pass libc::SYS_kcmp] (Int, Int, Int, Size, Size) full;
    101  26 ptrace                   [call requests::sys_ptrace] (Int, Int, Ptr, Ptr) partial "only programs that Demotic runs; no PTRACE_GET_RSEQ_CONFIGURATION, as there is no rseq";
    317 354 seccomp                  [call crate::seccomp::sys_seccomp] (Uint, Hex, Ptr) partial "nothing is logged; the supervisor of a listener has to run in Demotic, too";
    135 136 personality              [call misc::personality] (Hex) full;
    125 184 capget                   [pass libc::SYS_capget] (Out(8), Out(24)) full;
    126 185 capset                   [pass libc::SYS_capset] (In, In) full;

    // identities
    102   - getuid                   [pass kernel::GETUID] () full;
    107   - geteuid                  [pass kernel::GETEUID] () full;
    104   - getgid                   [pass kernel::GETGID] () full;
    108   - getegid                  [pass kernel::GETEGID] () full;
      - 199 getuid32                 [pass kernel::GETUID] () full;
      - 201 geteuid32                [pass kernel::GETEUID] () full;
      - 200 getgid32                 [pass kernel::GETGID] () full;
      - 202 getegid32                [pass kernel::GETEGID] () full;
    105   - setuid                   [pass kernel::SETUID] (Uint) full;
    106   - setgid                   [pass kernel::SETGID] (Uint) full;
    113   - setreuid                 [pass kernel::SETREUID] (Uint, Uint) full;
    114   - setregid                 [pass kernel::SETREGID] (Uint, Uint) full;
    117   - setresuid                [pass kernel::SETRESUID] (Uint, Uint, Uint) full;
    119   - setresgid                [pass kernel::SETRESGID] (Uint, Uint, Uint) full;
    122   - setfsuid                 [pass kernel::SETFSUID] (Uint) full;
    123   - setfsgid                 [pass kernel::SETFSGID] (Uint) full;
      - 213 setuid32                 [pass kernel::SETUID] (Uint) full;
      - 214 setgid32                 [pass kernel::SETGID] (Uint) full;
      - 203 setreuid32               [pass kernel::SETREUID] (Uint, Uint) full;
      - 204 setregid32               [pass kernel::SETREGID] (Uint, Uint) full;
      - 208 setresuid32              [pass kernel::SETRESUID] (Uint, Uint, Uint) full;
      - 210 setresgid32              [pass kernel::SETRESGID] (Uint, Uint, Uint) full;
      - 215 setfsuid32               [pass kernel::SETFSUID] (Uint) full;
      - 216 setfsgid32               [pass kernel::SETFSGID] (Uint) full;
    118   - getresuid                [pass kernel::GETRESUID] (Out(4), Out(4), Out(4)) full;
    120   - getresgid                [pass kernel::GETRESGID] (Out(4), Out(4), Out(4)) full;
      - 209 getresuid32              [pass kernel::GETRESUID] (Out(4), Out(4), Out(4)) full;
      - 211 getresgid32              [pass kernel::GETRESGID] (Out(4), Out(4), Out(4)) full;
    115   - getgroups                [call ids::getgroups] (Int, Ptr) full;
    116   - setgroups                [call ids::setgroups] (Int, Ptr) full;
      - 205 getgroups32              [call ids::getgroups] (Int, Ptr) full;
      - 206 setgroups32              [call ids::setgroups] (Int, Ptr) full;
      -  24 getuid                   [call ids::getuid16] () full;
      -  49 geteuid                  [call ids::geteuid16] () full;
      -  47 getgid                   [call ids::getgid16] () full;
      -  50 getegid                  [call ids::getegid16] () full;
      -  23 setuid                   [call ids::setuid16] (Uint) full;
      -  46 setgid                   [call ids::setgid16] (Uint) full;
      -  70 setreuid                 [call ids::setreuid16] (Uint, Uint) full;
      -  71 setregid                 [call ids::setregid16] (Uint, Uint) full;
      - 164 setresuid                [call ids::setresuid16] (Uint, Uint, Uint) full;
      - 170 setresgid                [call ids::setresgid16] (Uint, Uint, Uint) full;
      - 138 setfsuid                 [call ids::setfsuid16] (Uint) full;
      - 139 setfsgid                 [call ids::setfsgid16] (Uint) full;
      - 165 getresuid                [call ids::getresuid16] (Out(2), Out(2), Out(2)) full;
      - 171 getresgid                [call ids::getresgid16] (Out(2), Out(2), Out(2)) full;
      -  80 getgroups                [call ids::getgroups16] (Int, Ptr) full;
      -  81 setgroups                [call ids::setgroups16] (Int, Ptr) full;
    110  64 getppid                  [pass libc::SYS_getppid] () full;
    111  65 getpgrp                  [call ids::getpgrp] () full;
    121 132 getpgid                  [pass libc::SYS_getpgid] (Int) full;
    109  57 setpgid                  [pass libc::SYS_setpgid] (Int, Int) full;
    124 147 getsid                   [pass libc::SYS_getsid] (Int) full;
    112  66 setsid                   [pass libc::SYS_setsid] () full;

    // limits and information
     63 122 uname                    [call info::uname] (Out(390)) full;
      - 109 olduname                 [call info::olduname] (Out(325)) full;
      -  59 oldolduname              [call info::oldolduname] (Out(45)) full;
     99 116 sysinfo                  [call info::sysinfo] (Out(112)) full;
     97  76 getrlimit                [call info::getrlimit] (Int, Ptr) full;
      - 191 ugetrlimit               [call info::ugetrlimit] (Int, Ptr) full;
    160  75 setrlimit                [call info::setrlimit] (Int, Ptr) full;
    302 340 prlimit64                [call info::prlimit64] (Int, Int, Ptr, Ptr) full;
     98  77 getrusage                [call info::getrusage] (Int, Ptr) full;
    170  74 sethostname              [pass libc::SYS_sethostname] (InBuf(1), Size) full;
    171 121 setdomainname            [pass libc::SYS_setdomainname] (InBuf(1), Size) full;
    103 103 syslog                   [block libc::SYS_syslog] (Int, OutBuf(2), Int) full;
    318 355 getrandom                [block libc::SYS_getrandom] (OutBuf(1), Size, Hex) full;
    139 135 sysfs                    [call misc::sysfs] (Int, Hex, Ptr) partial "only the count and names of file systems that /proc/filesystems shows";
    153 111 vhangup                  [pass libc::SYS_vhangup] () full;
    173 101 ioperm                   [call misc::not_permitted] (Size, Size, Int) full;
    172 110 iopl                     [call misc::not_permitted] (Int) full;
    169  88 reboot                   [pass libc::SYS_reboot] (Int, Int, Uint, In) full;
    248 286 add_key                  [pass libc::SYS_add_key] (Str, Str, InBuf(3), Size, Int) full;
    249 287 request_key              [pass libc::SYS_request_key] (Str, Str, Str, Int) full;
    250 288 keyctl                   [call misc::keyctl] (Int, Hex, Hex, Hex, Hex) partial "not for i386 operations with iovecs";
    444 444 landlock_create_ruleset  [pass libc::SYS_landlock_create_ruleset] (In, Size, Hex) full;
    445 445 landlock_add_rule        [pass libc::SYS_landlock_add_rule] (Fd, Int, In, Hex) full;
    446 446 landlock_restrict_self   [pass libc::SYS_landlock_restrict_self] (Fd, Hex) full;
    459 459 lsm_get_self_attr        [pass 459] (Uint, Out(8), Out(4), Hex) full;
    460 460 lsm_set_self_attr        [pass 460] (Uint, In, Uint, Hex) full;
    461 461 lsm_list_modules         [pass 461] (Out(8), Out(4), Hex) full;
    321 357 bpf                      [enosys] () missing "kernel programs see host structures";
    298 336 perf_event_open          [enosys] () missing "counters would count the translator";
    246 283 kexec_load               [enosys] () missing "administration";
    320   - kexec_file_load          [enosys] () missing "administration";
    175 128 init_module              [enosys] () missing "the host's modules are not x86";
    313 350 finit_module             [enosys] () missing "the host's modules are not x86";
    176 129 delete_module            [pass libc::SYS_delete_module] (Str, OpenFlags) full;

    335   - uretprobe                [enosys] () missing "only the kernel itself puts this call into programs";
    336   - uprobe                   [enosys] () missing "only the kernel itself puts this call into programs";
    468 468 file_getattr             [pass 468] (AtFd, Path, Out(64), Size, AtFlags) full;
    469 469 file_setattr             [pass 469] (AtFd, Path, In, Size, AtFlags) full;

    // gone from Linux
    156 149 _sysctl                  [enosys] () missing "removed from Linux 5.5";
    134  86 uselib                   [enosys] () missing "a.out libraries are gone";
    180 169 nfsservctl               [enosys] () missing "removed from Linux";
    174 127 create_module            [enosys] () missing "removed from Linux";
    177 130 get_kernel_syms          [enosys] () missing "removed from Linux";
    178 167 query_module             [enosys] () missing "removed from Linux";
    181 188 getpmsg                  [enosys] () missing "never existed on Linux";
    182 189 putpmsg                  [enosys] () missing "never existed on Linux";
    183 137 afs_syscall              [enosys] () missing "never existed on Linux";
    184   - tuxcall                  [enosys] () missing "never existed on Linux";
    185   - security                 [enosys] () missing "never existed on Linux";
    236 273 vserver                  [enosys] () missing "never existed on Linux";
      -  17 break                    [enosys] () missing "never existed on Linux";
      -  31 stty                     [enosys] () missing "never existed on Linux";
      -  32 gtty                     [enosys] () missing "never existed on Linux";
      -  44 prof                     [enosys] () missing "never existed on Linux";
      -  53 lock                     [enosys] () missing "never existed on Linux";
      -  56 mpx                      [enosys] () missing "never existed on Linux";
      -  58 ulimit                   [enosys] () missing "never existed on Linux";
      -  98 profil                   [enosys] () missing "never existed on Linux";
      - 112 idle                     [enosys] () missing "removed from Linux";
      - 134 bdflush                  [enosys] () missing "removed from Linux 5.15";
      - 113 vm86old                  [enosys] () missing "virtual 8086 mode is not there";
      - 166 vm86                     [enosys] () missing "virtual 8086 mode is not there";
}

/// Row numbers by system call number; a number that stands in two rows does not compile.
const fn index(second: bool) -> [u16; NUMBERS] {
    let mut index = [NONE; NUMBERS];
    let mut row = 0;
    while row < ROW_NUMBERS.len() {
        let number = if second { ROW_NUMBERS[row].1 } else { ROW_NUMBERS[row].0 };
        if let Some(number) = number {
            assert!(index[number as usize] == NONE, "two rows for one number");
            index[number as usize] = row as u16;
        }
        row += 1;
    }
    index
}

/// Index into [`TABLE`] by x86-64 number; past its end where there is no row.
pub static INDEX64: [u16; NUMBERS] = index(false);
/// Index into [`TABLE`] by i386 number; past its end where there is no row.
pub static INDEX32: [u16; NUMBERS] = index(true);

/// The reference page of the supported system calls, as Markdown.
pub fn markdown() -> String {
    use std::fmt::Write;
    let mut rows: Vec<&Row> = TABLE.iter().collect();
    rows.sort_by_key(|row| (row.nr64.unwrap_or(u16::MAX), row.nr32));
    let count = |level: fn(&Level) -> bool| rows.iter().filter(|row| level(&row.level)).count();
    let mut out = String::from("# System calls\n\n");
    let _ = writeln!(
        out,
        "Generated from the system call table. {} calls: {} complete, {} with limits, {} answer `ENOSYS`.\n",
        rows.len(),
        count(|level| *level == Level::Full),
        count(|level| matches!(level, Level::Partial(_))),
        count(|level| matches!(level, Level::Missing(_))),
    );
    out.push_str("| x86-64 | i386 | name | support |\n|---:|---:|---|---|\n");
    let number = |nr: Option<u16>| nr.map_or(String::new(), |nr| nr.to_string());
    for row in rows {
        let level = match row.level {
            Level::Full => String::from("complete"),
            Level::Partial(why) => format!("limited: {why}"),
            Level::Missing(why) => format!("`ENOSYS`: {why}"),
        };
        let _ = writeln!(out, "| {} | {} | `{}` | {level} |", number(row.nr64), number(row.nr32), row.name);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::lookup;
    use super::*;
    use crate::task::Abi;

    /// Names and numbers against an independent table, which was generated from the kernel's sources.
    #[test]
    fn numbers_match_an_independent_table() {
        let mut checked = 0;
        for nr in 0..NUMBERS {
            if let Some(theirs) = syscalls::x86_64::Sysno::new(nr) {
                let row = lookup(Abi::X86_64, nr as u32)
                    .unwrap_or_else(|| panic!("x86-64 {nr} {} has no row", theirs.name()));
                assert_eq!(row.name, theirs.name().trim_start_matches("r#"), "x86-64 {nr}");
                checked += 1;
            }
            if let Some(theirs) = syscalls::x86::Sysno::new(nr) {
                let row =
                    lookup(Abi::I386, nr as u32).unwrap_or_else(|| panic!("i386 {nr} {} has no row", theirs.name()));
                assert_eq!(row.name, theirs.name().trim_start_matches("r#"), "i386 {nr}");
                checked += 1;
            }
        }
        assert!(checked > 780, "only {checked}");
    }

    #[test]
    fn missing_rows_say_so() {
        for row in TABLE {
            assert_eq!(matches!(row.action, Action::Enosys), matches!(row.level, Level::Missing(_)), "{}", row.name);
            assert!(row.nr64.is_some() || row.nr32.is_some());
        }
    }

    #[test]
    fn buffer_lengths_name_an_argument() {
        for row in TABLE {
            for kind in row.args {
                if let InBuf(len) | OutBuf(len) | SockAddr(len) = kind {
                    assert!(usize::from(*len) < row.args.len(), "{}", row.name);
                }
            }
        }
    }

    #[test]
    fn page_has_every_row() {
        let page = markdown();
        assert_eq!(page.lines().filter(|line| line.starts_with("| ") && line.contains('`')).count(), TABLE.len());
    }
}
