/* Names: directories, links, modes, owners, extended attributes, and asking about files. */
#include "sys.h"
#include <linux/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

static void mode(const char *n) { struct stat s; if (lstat(n, &s)) P("%s: %s\n", n, err(errno));
    else P("%s: %o\n", n, s.st_mode); }

CASE(mkdir_cases) { S(SYS_mkdir, "d", 0777); mode("d"); S(SYS_mkdir, "d", 0777); S(SYS_mkdir, "x/y", 0777);
    S(SYS_mkdir, BAD, 0777); S(SYS_mkdir, "", 0777); S(SYS_mkdir, "/", 0777); S(SYS_mkdir, ".", 0777);
    S(SYS_mkdir, "e/", 01777); mode("e"); close(file("")); S(SYS_mkdir, "f/x", 0777); }
CASE(mkdirat_cases) { S(SYS_mkdirat, AT_FDCWD, "d", 0700); int d = open("d", 0); S(SYS_mkdirat, d, "e", 0700);
    S(SYS_mkdirat, 77, "e", 0700); S(SYS_mkdirat, file(""), "e", 0700); S(SYS_mkdirat, d, BAD, 0); }
CASE(rmdir_cases) { mkdir("d", 0755); mkdir("d/e", 0755); S(SYS_rmdir, "d"); S(SYS_rmdir, "d/e/.");
    S(SYS_rmdir, "d/e/.."); S(SYS_rmdir, "d/e"); S(SYS_rmdir, "d/"); S(SYS_rmdir, "d"); close(file(""));
    S(SYS_rmdir, "f"); S(SYS_rmdir, "/"); S(SYS_rmdir, BAD); }
CASE(unlink_cases) { close(file("")); mkdir("d", 0755); S(SYS_unlink, "f"); S(SYS_unlink, "f"); S(SYS_unlink, "d");
    S(SYS_unlink, "d/"); S(SYS_unlink, ""); S(SYS_unlink, BAD); symlink("d", "l"); S(SYS_unlink, "l/");
    S(SYS_unlink, "l"); }
CASE(unlinkat_flags) { close(file("")); mkdir("d", 0755); S(SYS_unlinkat, AT_FDCWD, "d", 0);
    S(SYS_unlinkat, AT_FDCWD, "f", 0x200); S(SYS_unlinkat, AT_FDCWD, "d", 0x200); S(SYS_unlinkat, AT_FDCWD, "f", 0x100);
    S(SYS_unlinkat, AT_FDCWD, "f", 0); S(SYS_unlinkat, 77, "f", 0); }
CASE(unlink_open_file) { int fd = file("abc"); unlink("f"); struct stat s; fstat(fd, &s); V(s.st_nlink); char b[4] = "";
    S(SYS_read, fd, b, 3); }
CASE(link_cases) { close(file("")); mkdir("d", 0755); S(SYS_link, "f", "g"); struct stat s; stat("g", &s);
    V(s.st_nlink); S(SYS_link, "f", "g"); S(SYS_link, "d", "e"); S(SYS_link, "none", "e"); S(SYS_link, "f", "none/e");
    S(SYS_link, BAD, "e"); S(SYS_link, "f", BAD); S(SYS_link, "f", "/proc/x"); }
CASE(linkat_symlinks) { close(file("")); symlink("f", "l"); S(SYS_linkat, AT_FDCWD, "l", AT_FDCWD, "m", 0); mode("m");
    S(SYS_linkat, AT_FDCWD, "l", AT_FDCWD, "n", 0x400); mode("n"); S(SYS_linkat, AT_FDCWD, "l", AT_FDCWD, "o", 0x100);
    S(SYS_linkat, 77, "l", AT_FDCWD, "o", 0); }
CASE(linkat_empty_path) { int fd = open("t", O_RDWR | O_CREAT, 0600); S(SYS_linkat, fd, "", AT_FDCWD, "u", 0);
    S(SYS_linkat, fd, "", AT_FDCWD, "u", 0x1000); mode("u"); }
CASE(symlink_cases) { S(SYS_symlink, "target", "l"); S(SYS_symlink, "target", "l"); S(SYS_symlink, "", "m");
    S(SYS_symlink, BAD, "m"); S(SYS_symlink, "t", BAD); S(SYS_symlink, "t", ""); char n[5000]; memset(n, 'x', 5000);
    n[4096] = 0; S(SYS_symlink, n, "n"); n[4095] = 0; S(SYS_symlink, n, "n"); S(SYS_symlinkat, "t", 77, "m"); }
CASE(readlink_cases) { symlink("target", "l"); char b[16]; memset(b, '#', 16); S(SYS_readlink, "l", b, 16);
    hex("b", b, 8); S(SYS_readlink, "l", b, 3); S(SYS_readlink, "l", b, 0); S(SYS_readlink, "l", b, -1);
    S(SYS_readlink, "l", BAD, 4); S(SYS_readlink, "none", b, 4); S(SYS_readlink, ".", b, 4); S(SYS_readlink, BAD, b, 4);
    S(SYS_readlink, "l/x", b, 4); }
CASE(readlinkat_empty) { symlink("target", "l"); int fd = open("l", O_PATH | O_NOFOLLOW); char b[16];
    S(SYS_readlinkat, fd, "", b, 16); S(SYS_readlinkat, AT_FDCWD, "", b, 16); S(SYS_readlinkat, 77, "l", b, 16);
    S(SYS_readlinkat, AT_FDCWD, "l", b, 16); }
CASE(rename_cases) { close(file("abc")); mkdir("d", 0755); mkdir("d/e", 0755); S(SYS_rename, "f", "g");
    S(SYS_rename, "f", "h"); S(SYS_rename, "g", "d"); S(SYS_rename, "d", "g"); S(SYS_rename, "d", "d/e/x");
    S(SYS_rename, "d/e", "d"); S(SYS_rename, "g", "g"); S(SYS_rename, "g", BAD); S(SYS_rename, BAD, "g");
    S(SYS_rename, ".", "x"); S(SYS_rename, "g", ""); S(SYS_rename, "g", "/proc/x"); }
CASE(renameat2_flags) { close(file("abc")); close(open("g", O_CREAT, 0600));
    S(SYS_renameat2, AT_FDCWD, "f", AT_FDCWD, "g", 1); S(SYS_renameat2, AT_FDCWD, "f", AT_FDCWD, "g", 2); struct stat s;
    stat("g", &s); V(s.st_size); S(SYS_renameat2, AT_FDCWD, "f", AT_FDCWD, "g", 3);
    S(SYS_renameat2, AT_FDCWD, "f", AT_FDCWD, "none", 2); S(SYS_renameat2, AT_FDCWD, "f", AT_FDCWD, "h", 8);
    S(SYS_renameat, 77, "f", AT_FDCWD, "h"); }
CASE(mknod_kinds) { S(SYS_mknod, "p", 010644, 0); mode("p"); S(SYS_mknod, "s", 0140644, 0); mode("s");
    S(SYS_mknod, "r", 0644, 0); mode("r"); S(SYS_mknod, "d", 040755, 0); S(SYS_mknod, "l", 0120777, 0);
    S(SYS_mknod, "p", 010644, 0); S(SYS_mknod, "x", 0170000, 0); S(SYS_mknodat, 77, "y", 010644, 0);
    S(SYS_mknod, BAD, 010644, 0); }
CASE(chdir_cases) { mkdir("d", 0755); S(SYS_chdir, "d"); S(SYS_chdir, ".."); S(SYS_chdir, "none"); close(file(""));
    S(SYS_chdir, "f"); S(SYS_chdir, BAD); S(SYS_chdir, ""); mkdir("n", 0); UNPRIVILEGED({ drop(); S(SYS_chdir, "n"); });
    }
CASE(fchdir_cases) { mkdir("d", 0755); int d = open("d", O_PATH), f = file(""); S(SYS_fchdir, d); S(SYS_fchdir, f);
    S(SYS_fchdir, 77); }
CASE(getcwd_sizes) { mkdir("/tmp/demotic-cwd-case", 0755); chdir("/tmp/demotic-cwd-case"); char b[64];
    memset(b, '#', 64); S(SYS_getcwd, b, 64); P("%s\n", b); S(SYS_getcwd, b, 5); S(SYS_getcwd, b, 0);
    S(SYS_getcwd, BAD, 64); S(SYS_getcwd, b, 22); S(SYS_getcwd, b, 21); rmdir("/tmp/demotic-cwd-case");
    S(SYS_getcwd, b, 64); }
CASE(getdents_cases) { close(file("")); int d = open(".", 0); u8 b[400]; S(SYS_getdents64, d, b, 10);
    long n = R(SYS_getdents64, d, b, 400); V(n); S(SYS_getdents64, d, b, 400); S(SYS_getdents64, 77, b, 400);
    S(SYS_getdents64, open("f", 0), b, 400); lseek(d, 0, 0); S(SYS_getdents64, d, BAD, 400); int names = 0;
    lseek(d, 0, 0); n = R(SYS_getdents64, d, b, 400); for (long i = 0; i < n; i += *(u16 *)(b + i + 16)) names++;
    V(names); }
CASE(getdents_old) { close(file("")); int d = open(".", 0); u8 b[400]; S(SYS_getdents, d, b, 10);
    long n = R(SYS_getdents, d, b, 400); V(n); for (long i = 0; i < n;) { struct { unsigned long ino, off; u16 len;
    char name[]; } *e = (void *)(b + i);
    if (e->name[0] == 'f') P("%s %d type %d\n", e->name, e->len, b[i + e->len - 1]); i += e->len; }
    S(SYS_getdents, d, b, 400); lseek(d, 0, 0); S(SYS_getdents, d, BAD, 400); S(SYS_getdents, 77, b, 400); }
CASE(getdents_many) { char n[32]; for (int i = 0; i < 200; i++) { sprintf(n, "file-number-%d", i);
    close(open(n, O_CREAT, 0600)); } int d = open(".", 0), calls = 0, names = 0; u8 b[1000]; long r;
    while ((r = R(SYS_getdents, d, b, 1000)) > 0) { calls++; for (long i = 0; i < r;
    i += *(u16 *)(b + i + 2 * sizeof(long))) names++; } V(r); V(names); P("%d\n", calls > 3); }
CASE(chmod_cases) { close(file("")); S(SYS_chmod, "f", 04755); mode("f"); S(SYS_chmod, "f", 0177777); mode("f");
    S(SYS_chmod, "none", 0); S(SYS_chmod, BAD, 0); S(SYS_fchmod, 77, 0); S(SYS_fchmodat, AT_FDCWD, "f", 0600);
    mode("f"); symlink("f", "l"); S(SYS_chmod, "l", 0640); mode("f"); }
CASE(fchmodat2_flags) { close(file("")); S(452, AT_FDCWD, "f", 0600, 0); S(452, AT_FDCWD, "f", 0600, 0x8000);
    int fd = open("f", O_PATH); S(452, fd, "", 0640, 0x1000); mode("f"); }
CASE(chmod_denied) { close(file("")); mkdir("d", 0755); close(open("d/g", O_CREAT, 0644)); UNPRIVILEGED({ drop();
    S(SYS_chmod, "f", 0777); S(SYS_chown, "f", 65534, 65534); S(SYS_unlink, "d/g"); S(SYS_rename, "d/g", "d/h");
    S(SYS_mkdir, "d/x", 0755); S(SYS_open, "f", O_RDWR); }); }
CASE(chown_ids) { close(file("")); S(SYS_chown, "f", 1, 2); struct stat s; stat("f", &s); V(s.st_uid); V(s.st_gid);
    S(SYS_chown, "f", -1, 3); stat("f", &s); V(s.st_uid); V(s.st_gid); S(SYS_fchownat, AT_FDCWD, "f", 4, -1, 0);
    stat("f", &s); V(s.st_uid); S(SYS_fchownat, AT_FDCWD, "f", 4, -1, 1); S(SYS_fchown, 77, 1, 1);
    S(SYS_lchown, BAD, 1, 1); }
#ifdef __i386__
CASE(chown16_i386) { close(file("")); S(SYS_chown, "f", 0xffff, 0xfffe); struct stat s; stat("f", &s); V(s.st_uid);
    V(s.st_gid); S(SYS_chown32, "f", 70000, 80000); u8 b[64]; S(SYS_stat, "f", b); hex("ids", b + 12, 4);
    S(SYS_oldstat, "f", b); hex("ids", b + 8, 4); }
CASE(umount_i386) { S(SYS_umount, "none"); S(SYS_umount, BAD); }
#endif
CASE(chown_clears_setuid) { close(file("")); chmod("f", 06755); S(SYS_chown, "f", 5, 5); mode("f"); }
CASE(access_modes) { close(file("")); chmod("f", 0444); S(SYS_access, "f", 0); S(SYS_access, "f", 4);
    S(SYS_access, "f", 1); S(SYS_access, "f", 8); S(SYS_access, "none", 0); S(SYS_access, BAD, 0); UNPRIVILEGED({
    drop(); S(SYS_access, "f", 2); S(SYS_access, "f", 4); }); }
CASE(faccessat_flags) { close(file("")); symlink("none", "l"); S(SYS_faccessat, AT_FDCWD, "l", 0);
    S(439, AT_FDCWD, "l", 0, 0x100); S(439, AT_FDCWD, "f", 0, 0x200); S(439, AT_FDCWD, "f", 0, 0x8000);
    S(439, 77, "f", 0, 0); S(439, open("f", 0), "", 4, 0x1000); S(439, AT_FDCWD, "f", 9, 0); }
CASE(umask_returns) { S(SYS_umask, 077); S(SYS_umask, 0177777); S(SYS_umask, 0); }
CASE(stat_errors) { u8 b[256]; S(SYS_stat, "none", b); S(SYS_stat, BAD, b); S(SYS_stat, ".", BAD); S(SYS_fstat, 77, b);
    S(SYS_fstat, 1, BAD); S(SYS_lstat, "", b); S(SYS_stat, ".", readonly()); }
#ifdef __i386__
#define FSTATAT SYS_fstatat64
#else
#define FSTATAT SYS_newfstatat
#endif
CASE(fstatat_flags) { u8 b[256]; close(file("")); symlink("none", "l"); S(FSTATAT, AT_FDCWD, "l", b, 0);
    S(FSTATAT, AT_FDCWD, "l", b, 0x100); S(FSTATAT, AT_FDCWD, "", b, 0); S(FSTATAT, AT_FDCWD, "", b, 0x1000);
    S(FSTATAT, AT_FDCWD, "f", b, 0x4000); S(FSTATAT, 77, "f", b, 0); S(FSTATAT, 77, "/", b, 0);
    S(FSTATAT, open("f", 0), "", b, 0x1000); }
CASE(stat_device_numbers) { struct stat s; stat("/dev/null", &s); P("%x %o\n", (int)s.st_rdev, s.st_mode & S_IFMT);
    stat("/dev/full", &s); P("%x\n", (int)s.st_rdev); }
CASE(statx_masks) { struct statx x; memset(&x, 0xee, sizeof x); close(file("abc"));
    S(SYS_statx, AT_FDCWD, "f", 0, 0x7ff, &x); V(x.stx_size); V(x.stx_nlink); P("%o\n", x.stx_mode);
    X(x.stx_mask & 0x7ff); S(SYS_statx, AT_FDCWD, "f", 0, 0x80000000u, &x); S(SYS_statx, AT_FDCWD, "f", 0x6000, 1, &x);
    S(SYS_statx, AT_FDCWD, "f", 0, 0, BAD); S(SYS_statx, AT_FDCWD, BAD, 0, 0, &x); S(SYS_statx, 77, "f", 0, 0, &x);
    S(SYS_statx, AT_FDCWD, "none", 0, 0, &x); S(SYS_statx, AT_FDCWD, "", 0x1000, 1, &x);
    S(SYS_statx, open("f", 0), 0, 0x1000, 1, &x); }
CASE(statfs_cases) { u8 b[256]; memset(b, 0xee, 256); S(SYS_statfs, "/proc", b); hex("type", b, sizeof(long));
    hex("bsize", b + sizeof(long), sizeof(long)); S(SYS_statfs, "none", b); S(SYS_statfs, BAD, b);
    S(SYS_statfs, "/", BAD); S(SYS_fstatfs, 77, b); S(SYS_fstatfs, 1, b); hex("type", b, sizeof(long)); }
#ifdef __i386__
CASE(statfs64_i386) { u8 b[100]; memset(b, 0xee, 100); S(SYS_statfs64, "/proc", 84, b); hex("type bsize", b, 8);
    hex("namelen frsize", b + 56, 8); hex("behind", b + 84, 4); S(SYS_statfs64, "/proc", 88, b);
    S(SYS_fstatfs64, 1, 84, b); S(SYS_fstatfs64, 77, 84, b); S(SYS_statfs64, "/proc", 84, BAD); }
#endif
CASE(ustat_bad_device) { u8 b[64]; S(SYS_ustat, 0x7fff, b); S(SYS_ustat, 0, BAD); }

CASE(setxattr_flags) { close(file("")); S(SYS_setxattr, "f", "user.a", "xy", 2, 2);
    S(SYS_setxattr, "f", "user.a", "xy", 2, 1); S(SYS_setxattr, "f", "user.a", "xyz", 3, 1);
    S(SYS_setxattr, "f", "user.a", "xyz", 3, 2); S(SYS_setxattr, "f", "user.a", "xyz", 3, 4);
    S(SYS_setxattr, "f", "bad.a", "x", 1, 0); S(SYS_setxattr, "f", "", "x", 1, 0);
    S(SYS_setxattr, "f", "user.", "x", 1, 0); S(SYS_setxattr, "none", "user.a", "x", 1, 0);
    S(SYS_setxattr, "f", BAD, "x", 1, 0); S(SYS_setxattr, "f", "user.b", BAD, 1, 0);
    S(SYS_setxattr, "f", "user.b", "x", 70000, 0); }
CASE(getxattr_sizes) { close(file("")); setxattr("f", "user.a", "xyz", 3, 0); char b[8] = "";
    S(SYS_getxattr, "f", "user.a", b, 8); P("%s\n", b); S(SYS_getxattr, "f", "user.a", b, 0);
    S(SYS_getxattr, "f", "user.a", b, 2); S(SYS_getxattr, "f", "user.none", b, 8);
    S(SYS_getxattr, "f", "user.a", BAD, 8); S(SYS_getxattr, BAD, "user.a", b, 8); S(SYS_fgetxattr, 77, "user.a", b, 8);
    S(SYS_getxattr, "f", "nothing", b, 8); }
CASE(listxattr_sizes) { close(file("")); setxattr("f", "user.a", "xyz", 3, 0); setxattr("f", "user.bc", "", 0, 0);
    char b[64]; memset(b, 0, 64); S(SYS_listxattr, "f", b, 64); S(SYS_listxattr, "f", b, 0);
    S(SYS_listxattr, "f", b, 4); S(SYS_listxattr, "f", BAD, 64); S(SYS_flistxattr, 77, b, 64);
    S(SYS_listxattr, "none", b, 64); }
CASE(removexattr_cases) { close(file("")); setxattr("f", "user.a", "xyz", 3, 0); S(SYS_removexattr, "f", "user.a");
    S(SYS_removexattr, "f", "user.a"); S(SYS_removexattr, "f", BAD); S(SYS_fremovexattr, 77, "user.a");
    S(SYS_lremovexattr, "none", "user.a"); }
CASE(xattr_on_links) { close(file("")); symlink("f", "l"); S(SYS_lsetxattr, "l", "user.a", "x", 1, 0);
    S(SYS_setxattr, "l", "user.a", "x", 1, 0); char b[4]; S(SYS_lgetxattr, "l", "user.a", b, 4);
    S(SYS_getxattr, "f", "user.a", b, 4); S(SYS_llistxattr, "l", b, 4); }
CASE(xattrat_calls) { close(file("")); struct { u64 v; u32 size, flags; } a = {(uintptr_t)"xyz", 3, 0};
    S(463, AT_FDCWD, "f", 0, "user.a", &a, 16); char b[8]; a.v = (uintptr_t)b; a.size = 8;
    S(464, AT_FDCWD, "f", 0, "user.a", &a, 16); S(464, AT_FDCWD, "f", 0, "user.a", &a, 8);
    S(464, AT_FDCWD, "f", 0x8000, "user.a", &a, 16); S(465, AT_FDCWD, "f", 0, b, 8); S(466, AT_FDCWD, "f", 0, "user.a");
    S(466, AT_FDCWD, "f", 0, "user.a"); }

CASE(utimensat_special) { close(file("")); struct tsl t[2] = {{100, 5}, {200, 6}};
    S(SYS_utimensat, AT_FDCWD, "f", t, 0); struct stat s; stat("f", &s); V(s.st_atim.tv_sec); V(s.st_mtim.tv_nsec);
    t[0].nsec = 0x3ffffffe; t[1].sec = 300; S(SYS_utimensat, AT_FDCWD, "f", t, 0); stat("f", &s); V(s.st_atim.tv_sec);
    V(s.st_mtim.tv_sec); t[0].nsec = 1000000000; S(SYS_utimensat, AT_FDCWD, "f", t, 0); t[0].nsec = -1;
    S(SYS_utimensat, AT_FDCWD, "f", t, 0); S(SYS_utimensat, AT_FDCWD, "f", BAD, 0);
    F(SYS_utimensat, AT_FDCWD, "f", 0, 0); S(SYS_utimensat, AT_FDCWD, 0, 0, 0); S(SYS_utimensat, AT_FDCWD, "f", 0, 1);
    S(SYS_utimensat, 77, "f", 0, 0); S(SYS_utimensat, open("f", 0), 0, 0, 0); }
CASE(utime_old) { close(file("")); long t[2] = {10, 20}; S(SYS_utime, "f", t); struct stat s; stat("f", &s);
    V(s.st_atime); V(s.st_mtime); F(SYS_utime, "f", 0); S(SYS_utime, "f", BAD); S(SYS_utime, "none", t);
    S(SYS_utime, BAD, t); }
CASE(utimes_micro) { close(file("")); struct tsl t[2] = {{10, 999999}, {20, 1}}; S(SYS_utimes, "f", t); struct stat s;
    stat("f", &s); V(s.st_atim.tv_nsec); V(s.st_mtim.tv_nsec); t[0].nsec = 1000000; S(SYS_utimes, "f", t);
    t[0].nsec = -1; S(SYS_utimes, "f", t); S(SYS_utimes, "f", BAD); S(SYS_futimesat, AT_FDCWD, "f", BAD);
    S(SYS_futimesat, 77, "f", 0); S(SYS_futimesat, AT_FDCWD, "none", 0); }
#ifdef __i386__
CASE(utimensat_time64_i386) { close(file("")); struct ts64 t[2] = {{0x100000000LL, 5}, {200, 6}};
    S(412, AT_FDCWD, "f", t, 0); struct stat64 s; u8 b[256]; R(383, AT_FDCWD, "f", 0, 0x7ff, b);
    hex("atime", b + 0x40, 12); t[0].nsec = 0x100000005LL; S(412, AT_FDCWD, "f", t, 0);
    R(383, AT_FDCWD, "f", 0, 0x7ff, b); hex("atime", b + 0x40, 12); S(412, AT_FDCWD, "f", BAD, 0); }
#endif

CASE(openat2_resolve) { mkdir("d", 0755); symlink("/", "d/up"); symlink("../d", "d/l"); close(file("")); struct {
    u64 flags, mode, resolve; } h = {0, 0, 0}; F(437, AT_FDCWD, "f", &h, 24); h.resolve = 8;
    S(437, AT_FDCWD, "d/../..", &h, 24); S(437, AT_FDCWD, "/", &h, 24); h.resolve = 4; S(437, AT_FDCWD, "d/l", &h, 24);
    h.resolve = 0x10; F(437, AT_FDCWD, "d/up", &h, 24); h.resolve = 1; S(437, AT_FDCWD, "/proc", &h, 24); h.resolve = 2;
    S(437, AT_FDCWD, "/proc/self/cwd", &h, 24); h.resolve = 0x100; S(437, AT_FDCWD, "f", &h, 24); h.resolve = 0x18;
    S(437, AT_FDCWD, "f", &h, 24); }
CASE(openat2_how) { close(file("")); struct { u64 flags, mode, resolve, more; } h = {0}; S(437, AT_FDCWD, "f", &h, 0);
    S(437, AT_FDCWD, "f", &h, 23); F(437, AT_FDCWD, "f", &h, 32); h.more = 1; S(437, AT_FDCWD, "f", &h, 32); h.more = 0;
    S(437, AT_FDCWD, "f", &h, 5000); S(437, AT_FDCWD, "f", BAD, 24); h.mode = 0600; S(437, AT_FDCWD, "f", &h, 24);
    h.flags = O_CREAT; h.mode = 0200000; S(437, AT_FDCWD, "f", &h, 24); h.mode = 0; h.flags = 1ull << 40;
    S(437, AT_FDCWD, "f", &h, 24); h.flags = O_PATH | O_RDWR; S(437, AT_FDCWD, "f", &h, 24); h.flags = 3;
    F(437, AT_FDCWD, "f", &h, 24); }
CASE(name_to_handle) { close(file("")); struct { u32 bytes; int type; u8 h[128]; } h = {0}; int id;
    S(SYS_name_to_handle_at, AT_FDCWD, "f", &h, &id, 0); P("%d\n", h.bytes > 0); h.bytes = 500;
    S(SYS_name_to_handle_at, AT_FDCWD, "f", &h, &id, 0); S(SYS_name_to_handle_at, AT_FDCWD, "none", &h, &id, 0);
    S(SYS_name_to_handle_at, AT_FDCWD, "f", BAD, &id, 0); S(SYS_name_to_handle_at, AT_FDCWD, "f", &h, &id, 0x8000);
    S(SYS_open_by_handle_at, 77, &h, 0); }
CASE(mount_errors) { S(SYS_mount, "none", "nothing", "tmpfs", 0L, 0); mkdir("d", 0755);
    S(SYS_mount, "none", "d", "nofs", 0L, 0); S(SYS_mount, "none", "d", BAD, 0L, 0);
    S(SYS_mount, "none", BAD, "tmpfs", 0L, 0); S(SYS_umount2, "d", 0); S(SYS_umount2, "d", 0x100);
    S(SYS_umount2, BAD, 0); S(SYS_umount2, "none", 0); UNPRIVILEGED({ drop(); S(SYS_mount, "none", "d", "tmpfs", 0L, 0);
    S(SYS_umount2, "/", 0); S(SYS_chroot, "."); S(SYS_pivot_root, ".", "."); }); }
CASE(mount_in_namespace) { CHILD({ own(0x20000); S(SYS_mount, "none", "/", 0, 0x44000L, 0); mkdir("d", 0755);
    S(SYS_mount, "none", "d", "tmpfs", 0L, "size=64k"); S(SYS_open, "d/x", O_CREAT, 0600);
    S(SYS_mount, 0, "d", 0, 0x21L, 0); S(SYS_open, "d/y", O_CREAT, 0600); S(SYS_umount2, "d", 2);
    S(SYS_access, "d/x", 0); }); }
CASE(mount_api) { CHILD({ own(0x20000); S(SYS_mount, "none", "/", 0, 0x44000L, 0); mkdir("d", 0755);
    S(430, "nofs", 0); S(430, "tmpfs", 2); S(430, BAD, 0); int f = R(430, "tmpfs", 1); S(431, f, 1, "size", "64k", 0);
    S(431, f, 1, "nonsense", "64k", 0); S(431, f, 99, 0, 0, 0); S(431, f, 6, 0, 0, 0); int m = R(432, f, 1, 0);
    P("%d\n", m >= 0); S(429, m, "", AT_FDCWD, "d", 4); S(429, 77, "", AT_FDCWD, "d", 4);
    F(SYS_open, "d/x", O_CREAT, 0600); int t = R(428, AT_FDCWD, "d", 1); P("%d\n", t >= 0);
    S(428, AT_FDCWD, "d", 0x1000000); struct { u64 set, clear, prop, ns; } a = {1, 0, 0, 0};
    S(442, AT_FDCWD, "d", 0, &a, 32); S(SYS_open, "d/y", O_CREAT, 0600); S(442, AT_FDCWD, "d", 0, &a, 8);
    S(442, AT_FDCWD, "d", 0, BAD, 32); S(433, AT_FDCWD, "none", 0); }); }
CASE(statmount_listmount) { struct { u32 size, spare; u64 id, param; } q = {24, 0, ~0ull, 0}; u64 ids[4];
    long n = R(458, &q, ids, 4L, 0); P("%d\n", n > 0); S(458, &q, ids, 4L, 8); S(458, BAD, ids, 4L, 0); q.id = 5;
    u8 b[512]; S(457, &q, b, 512L, 0); q.size = 3; S(457, &q, b, 512L, 0); }
CASE(chroot_own) { mkdir("d", 0755); mkdir("d/e", 0755); CHILD({ S(SYS_chroot, "none"); S(SYS_chroot, BAD);
    S(SYS_chroot, "d"); S(SYS_chdir, "/"); S(SYS_access, "/e", 0); S(SYS_access, "/../e", 0);
    S(SYS_access, "/bin/sh", 0); char b[32]; S(SYS_getcwd, b, 32); P("%s\n", b); }); }
CASE(swap_acct_errors) { UNPRIVILEGED({ drop(); S(SYS_swapon, "none", 0); S(SYS_swapoff, "none"); S(SYS_acct, "none");
    S(SYS_sethostname, "x", 1); S(SYS_setdomainname, "x", 1); S(SYS_vhangup); }); }
CASE(inotify_events) { int i = R(SYS_inotify_init1, 0x800); int w = R(SYS_inotify_add_watch, i, ".", 0x300); V(w);
    close(file("")); unlink("f"); struct { int wd; u32 mask, cookie, len; char name[16]; } e[2];
    S(SYS_read, i, e, sizeof e); for (int k = 0; k < 2;
    k++) P("%d %#x %d %s\n", e[k].wd, e[k].mask, e[k].len, e[k].name); S(SYS_read, i, e, 64);
    S(SYS_inotify_rm_watch, i, w); S(SYS_inotify_rm_watch, i, w); S(SYS_read, i, e, 64); X(e[0].mask); }
CASE(inotify_errors) { S(SYS_inotify_init1, 1); int i = R(SYS_inotify_init1, 0); S(SYS_inotify_add_watch, i, ".", 0);
    S(SYS_inotify_add_watch, i, "none", 2); S(SYS_inotify_add_watch, i, BAD, 2); S(SYS_inotify_add_watch, 77, ".", 2);
    S(SYS_inotify_add_watch, 1, ".", 2); close(file("")); S(SYS_inotify_add_watch, i, "f", 0x1000002);
    S(SYS_inotify_rm_watch, i, 99); char b[4]; fcntl(i, F_SETFL, O_NONBLOCK); write(open("f", 1), "x", 1);
    F(SYS_inotify_add_watch, i, "f", 2); write(open("f", 1), "x", 1); S(SYS_read, i, b, 4); }
CASE(inotify_rename_cookie) { close(file("")); int i = R(SYS_inotify_init1, 0); R(SYS_inotify_add_watch, i, ".", 0xc0);
    rename("f", "g"); struct { int wd; u32 mask, cookie, len; char name[16]; } e[2]; S(SYS_read, i, e, sizeof e);
    P("%#x %s %#x %s %d\n", e[0].mask, e[0].name, e[1].mask, e[1].name, e[0].cookie == e[1].cookie && e[0].cookie); }
CASE(fanotify_events) { int f = R(SYS_fanotify_init, 2, O_RDONLY); P("%d\n", f >= 0);
    S(SYS_fanotify_init, 0x80000000, 0); S(SYS_fanotify_init, 0, 0x300);
    S(SYS_fanotify_mark, f, 1, WIDE(0x8000020), AT_FDCWD, "."); S(SYS_fanotify_mark, f, 1, WIDE(0), AT_FDCWD, ".");
    S(SYS_fanotify_mark, 77, 1, WIDE(2), AT_FDCWD, "."); S(SYS_fanotify_mark, f, 1, WIDE(0x20), AT_FDCWD, "none");
    S(SYS_fanotify_mark, f, 99, WIDE(2), AT_FDCWD, "."); close(file("")); struct { u32 len; u8 vers, res; u16 meta;
    u64 mask; int fd, pid; } e; long n = R(SYS_read, f, &e, sizeof e); V(n); if (n > 0) { V(e.len); V(e.vers);
    X(e.mask); P("%d %d\n", e.fd >= 0, e.pid == getpid()); } }
CASE(quotactl_errors) { S(SYS_quotactl, 0x80000700, 0, 0, 0); UNPRIVILEGED({ drop();
    S(SYS_quotactl, 0x80000701, BAD, 0, 0); }); }
