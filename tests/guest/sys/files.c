/* Opening, reading, writing, and positions of files. */
#include "sys.h"

CASE(open_missing) { S(SYS_open, "nothing", O_RDONLY); }
CASE(open_null) { S(SYS_open, 0, O_RDONLY); }
CASE(open_bad_pointer) { S(SYS_open, BAD, O_RDONLY); S(SYS_open, HIGH, O_RDONLY); }
CASE(open_empty_name) { S(SYS_open, "", O_RDONLY); }
CASE(open_unterminated) { char *p = edge(8); memset(p, 'a', 8); S(SYS_open, p, O_RDONLY); }
CASE(open_long_component) { char n[300]; memset(n, 'a', 299); n[299] = 0; S(SYS_open, n, O_RDONLY); n[255] = 0;
    S(SYS_open, n, O_RDONLY); }
CASE(open_long_path) { char n[5000]; for (int i = 0; i < 5000; i++) n[i] = i % 2 ? '.' : '/'; n[4999] = 0;
    S(SYS_open, n, O_RDONLY); n[4095] = 0; F(SYS_open, n, O_RDONLY); n[4096] = 0; S(SYS_open, n, 0); }
CASE(open_exclusive) { F(SYS_open, "x", O_CREAT | O_EXCL | O_RDWR, 0600);
    S(SYS_open, "x", O_CREAT | O_EXCL | O_RDWR, 0600); }
CASE(open_directory_for_writing) { mkdir("d", 0755); S(SYS_open, "d", O_RDWR);
    S(SYS_open, "d", O_WRONLY | O_CREAT, 0600); }
CASE(open_o_directory) { close(file("")); S(SYS_open, "f", O_DIRECTORY); mkdir("d", 0755);
    F(SYS_open, "d", O_DIRECTORY); S(SYS_open, "d", O_DIRECTORY | O_CREAT, 0755); }
CASE(open_nofollow) { symlink("f", "l"); close(file("")); S(SYS_open, "l", O_NOFOLLOW);
    F(SYS_open, "l", O_NOFOLLOW | O_PATH); F(SYS_open, "l", 0); }
CASE(open_link_loop) { symlink("b", "a"); symlink("a", "b"); S(SYS_open, "a", 0); S(SYS_stat, "a", BAD); }
CASE(open_through_file) { close(file("")); S(SYS_open, "f/x", 0); S(SYS_open, "f/", 0); }
CASE(open_truncates) { int fd = file("0123456789"); int g = R(SYS_open, "f", O_WRONLY | O_TRUNC); struct stat s;
    fstat(fd, &s); V(s.st_size); S(SYS_write, g, "ab", 2); char b[4] = ""; S(SYS_pread64, fd, b, 4, WIDE(0));
    P("%s\n", b); }
CASE(open_umask) { umask(027); F(SYS_open, "m", O_CREAT | O_RDWR, 0666); struct stat s; stat("m", &s); X(s.st_mode); }
CASE(open_tmpfile) { S(SYS_open, ".", O_TMPFILE | O_RDONLY, 0600); int fd = R(SYS_open, ".", O_TMPFILE | O_RDWR, 0600);
    if (fd >= 0) { S(SYS_write, fd, "xy", 2); struct stat s; fstat(fd, &s); V(s.st_nlink); V(s.st_size); }
    else P("%s\n", err(errno)); }
CASE(open_path_descriptor) { close(file("abc")); int fd = R(SYS_open, "f", O_PATH); char b[4]; S(SYS_read, fd, b, 3);
    S(SYS_write, fd, b, 3); S(SYS_fchmod, fd, 0600); S(SYS_lseek, fd, 0, 0); X(fcntl(fd, F_GETFL)); struct stat s;
    V(fstat(fd, &s)); S(SYS_ioctl, fd, 0x541b, b); }
CASE(open_flags_kept) { close(file(""));
    static const int f[] = {O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_APPEND, O_RDWR | O_NONBLOCK, O_RDWR | O_SYNC, O_RDWR
        | O_DSYNC, O_RDWR | O_NOATIME, O_RDWR | O_CLOEXEC}; for (int i = 0; i < 9; i++) {
    int fd = R(SYS_open, "f", f[i]); P("%#lx %ld\n", R(SYS_fcntl, fd, F_GETFL) & ~0x8000, R(SYS_fcntl, fd, F_GETFD));
    close(fd); } }
CASE(open_large_file) { int fd = R(SYS_open, "big", O_RDWR | O_CREAT | 0100000, 0600);
    S(SYS_pwrite64, fd, "x", 1, WIDE(0x100000000LL)); close(fd); S(SYS_open, "big", O_RDONLY) ; }
CASE(open_descriptor_limit) { struct rlimit l = {8, 8}; setrlimit(RLIMIT_NOFILE, &l); for (int i = 0; i < 8;
    i++) S(SYS_open, "/dev/null", 0); }
CASE(open_two_accesses) { close(file("")); int fd = R(SYS_open, "f", 3); char c; P("%d\n", fd >= 0);
    S(SYS_read, fd, &c, 1); S(SYS_write, fd, &c, 1); }
CASE(creat_existing) { close(file("abc")); int fd = R(SYS_creat, "f", 0600); struct stat s; fstat(fd, &s); V(s.st_size);
    char c; S(SYS_read, fd, &c, 1); }
CASE(openat_relative) { mkdir("d", 0755); int d = open("d", O_DIRECTORY); F(SYS_openat, d, "x", O_CREAT | O_RDWR, 0600);
    F(SYS_openat, AT_FDCWD, "d/x", 0); S(SYS_openat, d, "d/x", 0); }
CASE(openat_not_directory) { int fd = file(""); S(SYS_openat, fd, "x", 0); S(SYS_openat, 99, "x", 0);
    F(SYS_openat, 99, "/", 0); S(SYS_openat, -1, "x", 0); }
CASE(openat_empty) { int fd = file(""); S(SYS_openat, fd, "", 0); S(SYS_openat, fd, 0, 0); }

CASE(read_closed) { char c; S(SYS_read, 77, &c, 1); S(SYS_read, -1, &c, 1); }
CASE(read_write_only) { int fd = open("w", O_WRONLY | O_CREAT, 0600); char c; S(SYS_read, fd, &c, 1); }
CASE(read_directory) { char c[9]; S(SYS_read, open(".", 0), c, 9); }
CASE(read_bad_pointer) { int fd = file("0123456789"); S(SYS_read, fd, BAD, 4); S(SYS_read, fd, HIGH, 4);
    S(SYS_read, fd, 0, 4); S(SYS_lseek, fd, 0, SEEK_CUR); }
CASE(read_nothing) { int fd = file("01"); S(SYS_read, fd, BAD, 0); S(SYS_read, fd, 0, 0); S(SYS_read, 77, 0, 0); }
CASE(read_partly_into_nothing) { int fd = file("0123456789"); S(SYS_read, fd, edge(4), 10); }
CASE(read_into_read_only) { int fd = file("0123456789"); S(SYS_read, fd, readonly(), 4); }
CASE(read_end) { int fd = file("01"); char b[8]; S(SYS_read, fd, b, 8); S(SYS_read, fd, b, 8); lseek(fd, 100, 0);
    S(SYS_read, fd, b, 8); }
CASE(read_huge_size) { int fd = file("0123456789"); char *p = pages(16); S(SYS_read, fd, p, 0x7fffffff);
    lseek(fd, 0, 0); S(SYS_read, fd, p, -1L); }
CASE(write_read_only) { close(file("")); S(SYS_write, open("f", 0), "x", 1); }
CASE(write_bad_pointer) { int fd = file(""); S(SYS_write, fd, BAD, 4); S(SYS_write, fd, HIGH, 4);
    S(SYS_write, fd, 0, 1); S(SYS_write, fd, 0, 0); }
CASE(write_partly_from_nothing) { int fd = file(""); char *p = edge(4); memcpy(p, "abcd", 4);
    long r = R(SYS_write, fd, p, 10); P("%d\n", r == 4 || (r == -1 && errno == EFAULT)); }
CASE(write_append) { close(file("0123")); int fd = open("f", O_WRONLY | O_APPEND); lseek(fd, 0, 0);
    S(SYS_write, fd, "ab", 2); S(SYS_lseek, fd, 0, SEEK_CUR); S(SYS_pwrite64, fd, "c", 1, WIDE(0)); struct stat s;
    fstat(fd, &s); V(s.st_size); }
CASE(write_broken_pipe) { int p[2]; pipe(p); close(p[0]); signal(SIGPIPE, SIG_IGN); S(SYS_write, p[1], "x", 1); CHILD({
    signal(SIGPIPE, SIG_DFL); S(SYS_write, p[1], "x", 1); }); }
CASE(write_file_size_limit) { struct rlimit l = {4, 4}; setrlimit(RLIMIT_FSIZE, &l); signal(SIGXFSZ, SIG_IGN);
    int fd = file(""); S(SYS_write, fd, "0123456789", 10); S(SYS_write, fd, "0123456789", 10); CHILD({
    signal(SIGXFSZ, SIG_DFL); S(SYS_write, fd, "x", 1); }); }
CASE(pread_negative) { int fd = file("0123"); char b[4]; S(SYS_pread64, fd, b, 1, WIDE(-1));
    S(SYS_pread64, fd, b, 4, WIDE(2)); S(SYS_lseek, fd, 0, SEEK_CUR); }
CASE(pread_pipe) { int p[2]; pipe(p); char b[4]; S(SYS_pread64, p[0], b, 1, WIDE(0));
    S(SYS_pwrite64, p[1], b, 1, WIDE(0)); }
CASE(pwrite_hole) { int fd = file("0123"); S(SYS_pwrite64, fd, "x", 1, WIDE(100000)); struct stat s; fstat(fd, &s);
    V(s.st_size); S(SYS_pwrite64, fd, "x", 1, WIDE(-5)); }
CASE(pread_beyond_4g) { int fd = open("b", O_RDWR | O_CREAT | 0100000, 0600);
    S(SYS_pwrite64, fd, "xyz", 3, WIDE(0x123456789LL)); char b[4] = ""; S(SYS_pread64, fd, b, 3, WIDE(0x123456789LL));
    P("%s\n", b); }
CASE(lseek_whences) { int fd = file("0123456789"); S(SYS_lseek, fd, 3, SEEK_SET); S(SYS_lseek, fd, 3, SEEK_CUR);
    S(SYS_lseek, fd, -3, SEEK_END); S(SYS_lseek, fd, 1, 5); S(SYS_lseek, fd, 1, -1); S(SYS_lseek, fd, -1, SEEK_SET);
    S(SYS_lseek, fd, -100, SEEK_CUR); S(SYS_lseek, 77, 0, 0); }
CASE(lseek_data_hole) { int fd = file("0123456789"); S(SYS_lseek, fd, 0, SEEK_DATA); S(SYS_lseek, fd, 0, SEEK_HOLE);
    S(SYS_lseek, fd, 10, SEEK_DATA); S(SYS_lseek, fd, 11, SEEK_HOLE); S(SYS_lseek, fd, -1, SEEK_DATA); }
CASE(lseek_pipe) { int p[2]; pipe(p); S(SYS_lseek, p[0], 0, 0); S(SYS_lseek, p[0], 0, 99); }
CASE(readv_sum) { int fd = file("0123456789"); char a[4] = "", b[8] = ""; struct iovec v[3] = {{a, 3}, {0, 0}, {b, 7}};
    S(SYS_readv, fd, v, 3); P("%s %s\n", a, b); }
CASE(readv_counts) { int fd = file("0123456789"); char a[4]; struct iovec v[1] = {{a, 3}}; S(SYS_readv, fd, v, 0);
    S(SYS_readv, fd, v, -1); S(SYS_readv, fd, v, 1025); S(SYS_readv, fd, BAD, 1); S(SYS_readv, 77, v, 1);
    S(SYS_readv, fd, BAD, 0); }
CASE(readv_negative_length) { int fd = file("0123456789"); char a[4]; struct iovec v[2] = {{a, 3}, {a, -1}};
    S(SYS_readv, fd, v, 2); }
CASE(readv_bad_second) { int fd = file("0123456789"); char a[4]; struct iovec v[2] = {{a, 3}, {BAD, 4}};
    S(SYS_readv, fd, v, 2); S(SYS_lseek, fd, 0, SEEK_CUR); }
CASE(writev_parts) { int fd = file(""); struct iovec v[3] = {{"ab", 2}, {"", 0}, {"cde", 3}}; S(SYS_writev, fd, v, 3);
    S(SYS_writev, fd, v, 1025); struct iovec w[1] = {{BAD, 3}}; S(SYS_writev, fd, w, 1); }
CASE(writev_many) { int fd = file(""); static struct iovec v[1024]; for (int i = 0; i < 1024;
    i++) v[i] = (struct iovec){"x", 1}; S(SYS_writev, fd, v, 1024); }
CASE(preadv_offset) { int fd = file("0123456789"); char a[4] = ""; struct iovec v[1] = {{a, 3}};
    S(SYS_preadv, fd, v, 1, 4L, 0L); P("%s\n", a); S(SYS_preadv, fd, v, 1, -1L, -1L); S(SYS_pwritev, fd, v, 1, 20L, 0L);
    }
CASE(preadv2_flags) { int fd = file("0123456789"); char a[4] = ""; struct iovec v[1] = {{a, 3}};
    S(SYS_preadv2, fd, v, 1, -1L, -1L, 0); S(SYS_preadv2, fd, v, 1, 0L, 0L, 0x40000000);
    S(SYS_preadv2, fd, v, 1, 5L, 0L, 1); P("%s\n", a); S(SYS_lseek, fd, 0, 1); }
CASE(pwritev2_append) { int fd = file("0123"); struct iovec v[1] = {{"ab", 2}}; S(SYS_pwritev2, fd, v, 1, 0L, 0L, 0x10);
    char b[8] = ""; S(SYS_pread64, fd, b, 7, WIDE(0)); P("%s\n", b); }
CASE(close_twice) { int fd = dup(1); S(SYS_close, fd); S(SYS_close, fd); S(SYS_close, -1); S(SYS_close, 1000000); }
CASE(truncate_sizes) { int fd = file("0123456789"); S(SYS_truncate, "f", 4); struct stat s; fstat(fd, &s); V(s.st_size);
    S(SYS_truncate, "f", -1); S(SYS_truncate, "none", 1); S(SYS_truncate, ".", 1); S(SYS_truncate, BAD, 1);
    S(SYS_truncate, "f", 100000); fstat(fd, &s); V(s.st_size); }
CASE(ftruncate_errors) { close(file("01")); int fd = open("f", 0); S(SYS_ftruncate, fd, 0); S(SYS_ftruncate, 77, 0);
    fd = open("f", O_RDWR); S(SYS_ftruncate, fd, -1); S(SYS_ftruncate, fd, 1); int p[2]; pipe(p);
    S(SYS_ftruncate, p[1], 1); }
CASE(fallocate_modes) { int fd = file("0123456789"); struct stat s; S(SYS_fallocate, fd, 0, WIDE(0), WIDE(100));
    fstat(fd, &s); V(s.st_size); S(SYS_fallocate, fd, 1, WIDE(0), WIDE(200)); fstat(fd, &s); V(s.st_size);
    S(SYS_fallocate, fd, 0, WIDE(-1), WIDE(1)); S(SYS_fallocate, fd, 0, WIDE(0), WIDE(0));
    S(SYS_fallocate, fd, 0x4000, WIDE(0), WIDE(1)); S(SYS_fallocate, fd, 2, WIDE(0), WIDE(1));
    S(SYS_fallocate, 77, 0, WIDE(0), WIDE(1)); int p[2]; pipe(p); S(SYS_fallocate, p[1], 0, WIDE(0), WIDE(1)); }
CASE(fallocate_punch) { int fd = file("0123456789"); S(SYS_fallocate, fd, 3, WIDE(2), WIDE(4)); char b[11] = "";
    read(fd, b, 10); hex("b", b, 10); }
#ifdef __i386__
CASE(fadvise) { int fd = file("01"); S(SYS_fadvise64, fd, 0, 0, 0, 4); S(SYS_fadvise64, fd, 0, 0, 0, 99);
    S(SYS_fadvise64_64, fd, 0, 0, 0, 0, 4); S(SYS_fadvise64_64, 77, 0, 0, 0, 0, 4); int p[2]; pipe(p);
    S(SYS_fadvise64_64, p[0], 0, 0, 0, 0, 0); }
CASE(llseek_i386) { int fd = file("0123456789"); u64 r = 1; S(SYS__llseek, fd, 1, 5, &r, 0); X(r);
    S(SYS__llseek, fd, 0, 0, &r, SEEK_CUR); X(r); S(SYS__llseek, fd, 0x80000000, 0, &r, 0);
    S(SYS__llseek, fd, 0, 0, BAD, 0); S(SYS__llseek, fd, 0, 0, &r, 77); S(SYS_lseek, fd, 0, 1);
    R(SYS__llseek, fd, 1, 5, &r, 0); S(SYS_lseek, fd, 0, 1); }
CASE(truncate64_i386) { close(file("0123456789")); int fd = open("f", O_RDWR | 0100000); S(SYS_ftruncate64, fd, 5, 1);
    struct stat64 s; fstat64(fd, &s); X(s.st_size); S(SYS_truncate64, "f", 3, 0); fstat64(fd, &s); X(s.st_size);
    S(SYS_truncate64, "f", 0, 0x80000000); }
CASE(stat_overflow_i386) { int fd = open("f", O_RDWR | O_CREAT | 0100000, 0600); R(SYS_ftruncate64, fd, 5, 1);
    char b[200]; S(SYS_stat, "f", b); S(SYS_fstat, fd, b); S(SYS_lstat, "f", b); S(SYS_oldstat, "f", b);
    S(SYS_stat64, "f", b); close(fd); S(SYS_open, "f", O_RDONLY); F(SYS_open, "f", 0100000); }
CASE(oldstat_i386) { file("0123"); chmod("f", 0640); u8 b[40]; memset(b, 0xee, 40); S(SYS_oldstat, "f", b);
    hex("mode nlink uid gid", b + 4, 8); hex("size", b + 16, 4); hex("behind", b + 32, 8); S(SYS_oldfstat, 77, b);
    S(SYS_oldlstat, "none", b); S(SYS_oldstat, "f", BAD); symlink("f", "l"); S(SYS_oldlstat, "l", b);
    hex("mode", b + 4, 2); }
CASE(stat64_layout_i386) { file("0123"); u8 b[100]; memset(b, 0xee, 100); S(SYS_stat64, "f", b);
    hex("mode nlink", b + 16, 8); hex("size", b + 44, 8); hex("blocksize", b + 52, 4); hex("behind", b + 96, 4); }
CASE(sendfile64_i386) { int fd = file("0123456789"); int o = open("o", O_RDWR | O_CREAT, 0600); u64 at = 3;
    S(SYS_sendfile64, o, fd, &at, 4); X(at); u32 at32 = 5; S(SYS_sendfile, o, fd, &at32, 9); X(at32);
    S(SYS_sendfile64, o, fd, BAD, 4); S(SYS_sendfile, o, fd, BAD, 4); }
CASE(readdir_i386) { u8 b[300]; int d = open(".", 0); S(SYS_readdir, d, b, 1); P("%s\n", b + 10);
    S(SYS_readdir, d, b, 1); P("%s\n", b + 10); S(SYS_readdir, d, b, 1); S(SYS_readdir, 77, b, 1);
    S(SYS_readdir, file(""), b, 1); }
#else
CASE(fadvise) { int fd = file("01"); S(SYS_fadvise64, fd, 0L, 0L, 4); S(SYS_fadvise64, fd, 0L, 0L, 99);
    S(SYS_fadvise64, 77, 0L, 0L, 4); int p[2]; pipe(p); S(SYS_fadvise64, p[0], 0L, 0L, 0); }
CASE(stat_layout_x86_64) { file("0123"); u8 b[152]; memset(b, 0xee, 152); S(SYS_stat, "f", b);
    hex("nlink mode", b + 16, 12); hex("padding", b + 36, 4); hex("size blocksize", b + 48, 16);
    hex("unused", b + 120, 32); }
CASE(mmap_offset_x86_64) { int fd = file("0123456789"); S(SYS_mmap, 0L, 4096L, 1, 2, fd, 5L);
    S(SYS_mmap, 0L, 4096L, 1, 2, fd, -4096L); }
#endif
CASE(readahead_kinds) { int fd = file("01"); S(SYS_readahead, fd, WIDE(0), 4096); S(SYS_readahead, 77, WIDE(0), 1);
    int p[2]; pipe(p); S(SYS_readahead, p[0], WIDE(0), 1);
    S(SYS_readahead, open("w", O_WRONLY | O_CREAT, 0600), WIDE(0), 1); }
CASE(sync_file_range_flags) { int fd = file("0123"); S(SYS_sync_file_range, fd, WIDE(0), WIDE(0), 7);
    S(SYS_sync_file_range, fd, WIDE(0), WIDE(0), 8); S(SYS_sync_file_range, fd, WIDE(-1), WIDE(1), 2);
    S(SYS_sync_file_range, 77, WIDE(0), WIDE(0), 2); }
CASE(fsync_kinds) { int fd = file("0"); S(SYS_fsync, fd); S(SYS_fdatasync, fd); S(SYS_fsync, 77); int p[2]; pipe(p);
    S(SYS_fsync, p[0]); S(SYS_fdatasync, p[0]); S(SYS_syncfs, fd); S(SYS_syncfs, 77); }
CASE(flock_conflict) { int a = file(""), b = open("f", O_RDWR); S(SYS_flock, a, 2); S(SYS_flock, b, 2 | 4);
    S(SYS_flock, b, 1 | 4); S(SYS_flock, a, 8); S(SYS_flock, b, 1 | 4); S(SYS_flock, a, 77); S(SYS_flock, 77, 1); }
CASE(sendfile_errors) { int fd = file("0123456789"), o = open("o", O_RDWR | O_CREAT, 0600);
    S(SYS_sendfile, o, fd, 0, 4); S(SYS_lseek, fd, 0, 1); S(SYS_sendfile, 77, fd, 0, 4); S(SYS_sendfile, o, 77, 0, 4);
    int p[2]; pipe(p); S(SYS_sendfile, o, p[1], 0, 4); S(SYS_sendfile, open("o", O_WRONLY | O_APPEND), fd, 0, 1);
    S(SYS_sendfile, open("o", O_RDONLY), fd, 0, 1); }
CASE(copy_file_range_cases) { int fd = file("0123456789"), o = open("o", O_RDWR | O_CREAT, 0600); s64 a = 2, b = 5;
    S(SYS_copy_file_range, fd, &a, o, &b, 4, 0); V(a); V(b); S(SYS_copy_file_range, fd, 0, o, 0, 4, 1);
    S(SYS_copy_file_range, fd, 0, 77, 0, 4, 0); S(SYS_copy_file_range, fd, BAD, o, 0, 4, 0); s64 n = -1;
    S(SYS_copy_file_range, fd, &n, o, 0, 4, 0); S(SYS_copy_file_range, fd, 0, fd, 0, 4, 0); }
CASE(splice_cases) { int fd = file("0123456789"), p[2]; pipe(p); s64 a = 2; S(SYS_splice, fd, &a, p[1], 0, 4, 0); V(a);
    char b[8] = ""; read(p[0], b, 8); P("%s\n", b); S(SYS_splice, fd, 0, fd, 0, 4, 0);
    S(SYS_splice, fd, 0, p[1], &a, 4, 0); S(SYS_splice, fd, 0, p[1], 0, 4, 0x100); S(SYS_splice, 77, 0, p[1], 0, 4, 0);
    S(SYS_splice, p[0], 0, fd, 0, 4, 2); S(SYS_splice, fd, BAD, p[1], 0, 4, 0); }
CASE(tee_cases) { int p[2], q[2]; pipe(p); pipe(q); write(p[1], "abc", 3); S(SYS_tee, p[0], q[1], 10, 0);
    char b[8] = ""; read(q[0], b, 8); P("%s\n", b); S(SYS_tee, p[0], p[1], 10, 0); S(SYS_tee, p[0], 1000, 10, 0);
    S(SYS_tee, file(""), q[1], 1, 0); S(SYS_tee, p[0], q[1], 1, 0x100); }
CASE(vmsplice_cases) { int p[2]; pipe(p); struct iovec v[2] = {{"ab", 2}, {"cd", 2}}; S(SYS_vmsplice, p[1], v, 2, 0);
    char b[8] = ""; read(p[0], b, 8); P("%s\n", b); S(SYS_vmsplice, file(""), v, 1, 0);
    S(SYS_vmsplice, p[1], BAD, 1, 0); S(SYS_vmsplice, p[1], v, 2000, 0); S(SYS_vmsplice, p[1], v, 1, 0x100);
    struct iovec w[1] = {{BAD, 2}}; S(SYS_vmsplice, p[1], w, 1, 0); }
CASE(cachestat_cases) { int fd = file("0123"); u64 range[2] = {0, 0}, st[5]; S(451, fd, range, st, 0); V(st[0]);
    S(451, fd, BAD, st, 0); S(451, fd, range, BAD, 0); S(451, fd, range, st, 1); S(451, 77, range, st, 0); }
