/* Files and directories: 64-bit offsets on both ABIs, stat in all its forms, links, renames, directory reading, times. */
#include "check.h"
#include <dirent.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/utsname.h>

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void list(const char *path) {
    DIR *d = opendir(path);
    char *names[64];
    int n = 0;
    struct dirent *e;
    while (d && (e = readdir(d)) && n < 64) {
        char text[300];
        snprintf(text, sizeof text, "%s(%s)", e->d_name,
                 e->d_type == DT_DIR ? "dir" : e->d_type == DT_REG ? "file" : e->d_type == DT_LNK ? "link" : e->d_type == DT_FIFO ? "fifo" : "?");
        names[n++] = strdup(text);
    }
    if (d) closedir(d);
    qsort(names, n, sizeof *names, by_name);
    printf("%s:", path);
    for (int i = 0; i < n; i++) printf(" %s", names[i]), free(names[i]);
    printf("\n");
}

int main(void) {
    enter_scratch();
    umask(022);
    int fd = open("f", O_RDWR | O_CREAT | O_EXCL, 0666);
    SHOW(open("f", O_RDWR | O_CREAT | O_EXCL, 0666));
    SHOW(open("missing", O_RDONLY));
    SHOW(open("f/x", O_RDONLY));
    SHOW(write(fd, "0123456789", 10));

    /* Offsets beyond four gigabytes, through every 64-bit argument; in memory, because not every file system has room. */
    const off64_t big = 0x123456789all;
    int fd64 = memfd_create("big", 0);
    SHOW(pwrite64(fd64, "far", 3, big));
    struct stat64 st;
    CHECK(fstat64(fd64, &st) == 0);
    printf("size %lld blocks small %d\n", (long long)st.st_size, st.st_blocks < 10000);
    char buf[8192] = "";
    SHOW(pread64(fd64, buf, 3, big));
    printf("%s\n", buf);
    SHOW(lseek64(fd64, -3, SEEK_END));
    SHOW(read(fd64, buf, 100));
    SHOW(lseek64(fd64, 0, SEEK_CUR));
    SHOW(lseek64(fd64, -1, SEEK_SET));
    struct iovec v[2] = {{"ab", 2}, {"cd", 2}};
    SHOW(pwritev64(fd64, v, 2, big + 100));
    struct iovec w[2] = {{buf, 1}, {buf + 1, 3}};
    SHOW(preadv64(fd64, w, 2, big + 100));
    printf("%.4s\n", buf);
    SHOW(ftruncate64(fd64, 0x200000005ll));
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd64);
    SHOW(truncate64(path, 0x100000005ll));
    SHOW(lseek64(fd64, 0, SEEK_END));
    SHOW(fallocate64(fd64, 0, 0x100001000ll, 4096));
    SHOW(lseek64(fd64, 0, SEEK_END));
    close(fd64);
    SHOW(ftruncate64(fd, 4096));
    SHOW(fallocate64(fd, 0, 4096, 4096));
    SHOW(lseek64(fd, 0, SEEK_END));
    SHOW(fallocate64(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, 4096));
    SHOW(sync_file_range(fd, 0, 4096, SYNC_FILE_RANGE_WRITE));
    SHOW(posix_fadvise64(fd, 0, 4096, POSIX_FADV_SEQUENTIAL));
    SHOW(readahead(fd, 0, 4096));
    SHOW(fsync(fd));
    SHOW(fdatasync(fd));
    struct flock64 lk = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = big, .l_len = 10};
    SHOW(fcntl64(fd, F_SETLK64, &lk));
    SHOW(flock(fd, LOCK_EX | LOCK_NB));
    if (fork() == 0) {
        int other = open("f", O_RDWR);
        struct flock64 ask = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = big + 5, .l_len = 1};
        CHECK(fcntl64(other, F_GETLK64, &ask) == 0);
        printf("lock seen: type %d start %llx len %lld owner %d\n", ask.l_type == F_WRLCK, (long long)ask.l_start, (long long)ask.l_len,
               ask.l_pid == getppid());
        SHOW(fcntl64(other, F_SETLK64, &lk));
        SHOW(flock(other, LOCK_SH | LOCK_NB));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);

    SHOW(mkdir("d", 0777));
    SHOW(mkdir("d", 0777));
    SHOW(symlink("f", "s"));
    SHOW(link("f", "hard"));
    SHOW(link("missing", "x"));
    SHOW(mkfifo("pipe", 0600));
    SHOW(symlink("loop", "loop"));
    SHOW(open("loop", O_RDONLY));
    list(".");
    CHECK(stat64("f", &st) == 0);
    printf("mode %o links %d uid %d regular %d blksize %d\n", st.st_mode, (int)st.st_nlink, st.st_uid == getuid(), S_ISREG(st.st_mode),
           st.st_blksize > 0);
    CHECK(lstat64("s", &st) == 0);
    printf("link %d size %d\n", S_ISLNK(st.st_mode), (int)st.st_size);
    memset(buf, 0, sizeof buf);
    SHOW(readlink("s", buf, sizeof buf));
    printf("%s\n", buf);
    SHOW(readlink("f", buf, sizeof buf));
    struct statx sx;
    CHECK(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS, &sx) == 0);
    printf("statx size %llu nlink %u\n", (unsigned long long)sx.stx_size, sx.stx_nlink);
    CHECK(stat64("/dev/null", &st) == 0);
    printf("/dev/null %d,%d\n", major(st.st_rdev), minor(st.st_rdev));
    SHOW(rename("hard", "d/moved"));
    SHOW(rename("d", "f"));
    SHOW(renameat2(AT_FDCWD, "f", AT_FDCWD, "s", RENAME_NOREPLACE));
    SHOW(renameat2(AT_FDCWD, "f", AT_FDCWD, "s", RENAME_EXCHANGE));
    list("d");
    SHOW(rmdir("d"));
    SHOW(unlink("d"));
    SHOW(unlink("d/moved"));
    SHOW(rmdir("d"));
    SHOW(chmod("s", 0640));
    SHOW(access("s", R_OK | W_OK));
    SHOW(access("s", X_OK) == -1 && errno == EACCES ? 7 : 8);
    SHOW(faccessat(AT_FDCWD, "missing", F_OK, 0));
    SHOW(fchmod(fd, 0600));
    SHOW(chown("s", -1, -1));

    struct timespec times[2] = {{1000000000, 123456789}, {2000000000, 987654321}};
    SHOW(utimensat(AT_FDCWD, "s", times, 0));
    CHECK(stat64("s", &st) == 0);
    printf("atime %lld.%09ld mtime %lld.%09ld\n", (long long)st.st_atim.tv_sec, (long)st.st_atim.tv_nsec, (long long)st.st_mtim.tv_sec,
           (long)st.st_mtim.tv_nsec);
    struct timeval tv[2] = {{5, 6}, {7, 8}};
    SHOW(utimes("s", tv));
    CHECK(stat64("s", &st) == 0);
    printf("atime %lld mtime %lld\n", (long long)st.st_atime, (long long)st.st_mtime);

    /* Descriptors. */
    int dup1 = dup(fd);
    lseek(fd, 5, SEEK_SET);
    printf("shared offset %d\n", (int)lseek(dup1, 0, SEEK_CUR));
    SHOW(dup2(fd, 50));
    SHOW(dup3(fd, 50, 0));
    SHOW(dup3(fd, fd, 0));
    SHOW(fcntl(fd, F_DUPFD_CLOEXEC, 60));
    SHOW(fcntl(60, F_GETFD));
    SHOW(fcntl(fd, F_GETFL) & O_ACCMODE);
    SHOW(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK));
    printf("append %d nonblock %d direct %d directory %d\n", !!(fcntl(fd, F_GETFL) & O_APPEND), !!(fcntl(fd, F_GETFL) & O_NONBLOCK),
           O_DIRECT == 040000, O_DIRECTORY == 0200000);
    SHOW(open("s", O_RDONLY | O_DIRECTORY));
    SHOW(open("loop", O_RDONLY | O_NOFOLLOW));
    SHOW(close(50));
    SHOW(close(50));
    int dir = open(".", O_RDONLY | O_DIRECTORY), sub = openat(dir, "via_dir", O_CREAT | O_RDWR, 0600);
    CHECK(sub >= 0);
    SHOW(write(sub, "sendfile source", 15));
    off64_t from = 4;
    SHOW(sendfile64(fd, sub, &from, 100));
    printf("offset %lld\n", (long long)from);
    off64_t in = 0, to = 0;
    SHOW(copy_file_range(sub, &in, dup1, &to, 4, 0) == 4 || errno == EBADF ? 4 : 0);
    SHOW(unlinkat(dir, "via_dir", 0));
    SHOW(fstat64(sub, &st));
    printf("links %d\n", (int)st.st_nlink);
    SHOW(fchdir(dir));
    SHOW(chdir("missing"));
    SHOW(getcwd(buf, 2) == NULL ? -1 : 0);

    /* The raw directory records, and seeking in a directory. */
    DIR *d = opendir(".");
    int count = 0;
    long second = 0;
    struct dirent64 *e;
    char first[256] = "", again[256] = "";
    while ((e = readdir64(d))) {
        if (count++ == 1) strcpy(first, e->d_name);
        if (count == 1) second = telldir(d);
    }
    seekdir(d, second);
    if ((e = readdir64(d))) strcpy(again, e->d_name);
    printf("entries %d, seekdir finds the same: %d\n", count, strcmp(first, again) == 0);
    closedir(d);
    struct statfs64 fs;
    SHOW(statfs64(".", &fs));
    printf("block size %d name length %d\n", fs.f_bsize > 0, (int)fs.f_namelen);
    struct utsname u;
    CHECK(uname(&u) == 0);
    printf("%s on x86 %d\n", u.sysname, !strcmp(u.machine, "x86_64") || (sizeof(long) == 4 && !strcmp(u.machine, "i686")));
    SHOW(umask(0));

    FILE *out = fopen("text", "w+");
    for (int i = 0; i < 1000; i++) fprintf(out, "line %d\n", i);
    rewind(out);
    long total = 0;
    while (fgets(buf, sizeof buf, out)) total += atoi(buf + 5);
    printf("stdio sum %ld at %ld\n", total, ftell(out));
    fclose(out);
    unlink("text"), unlink("f"), unlink("s"), unlink("pipe"), unlink("loop");
    list(".");
    leave_scratch();
    return 0;
}
