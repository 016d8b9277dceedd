/* System calls by number that C libraries no longer use: every one is asked directly, so that the kernel underneath (real or
   translated) answers and not the library. */
#include "check.h"
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <poll.h>

static void show(const char *what, long r) {
    if (r == -1) printf("%s: %s\n", what, errno_name(errno));
    else printf("%s: %ld\n", what, r);
    errno = 0;
}
#define CALL(...) (errno = 0, syscall(__VA_ARGS__))
#define S(...) show(#__VA_ARGS__, CALL(__VA_ARGS__))

static void hex(const char *name, const void *p, int n) {
    printf("%s:", name);
    for (int i = 0; i < n; i++) printf(" %02x", ((const unsigned char *)p)[i]);
    printf("\n");
}

int main(void) {
    enter_scratch();
    unsigned char buf[4096];
    int fd = CALL(SYS_creat, "file", 0640);
    printf("creat %d\n", fd >= 0);
    S(SYS_write, fd, "0123456789", 10);
    S(SYS_close, fd);
    fd = CALL(SYS_open, "file", O_RDWR);
    S(SYS_access, "file", R_OK);
    S(SYS_access, "nothing", R_OK);
    S(SYS_access, (char *)8, R_OK);
    S(SYS_link, "file", "other");
    S(SYS_symlink, "file", "sym");
    memset(buf, 0, sizeof buf);
    S(SYS_readlink, "sym", buf, 3);
    printf("%s\n", buf);
    S(SYS_readlink, "sym", buf, 0);
    S(SYS_readlink, "file", buf, 10);
    S(SYS_rename, "other", "third");
    S(SYS_mkdir, "dir", 0750);
    S(SYS_mkdir, "dir", 0750);
    S(SYS_rmdir, "file");
    S(SYS_unlink, "dir");
    S(SYS_rmdir, "dir");
    S(SYS_chmod, "file", 0600);
    S(SYS_chown, "file", -1, -1);
    S(SYS_lchown, "sym", -1, -1);
    S(SYS_mknod, "fifo", 010644, 0);
    S(SYS_dup2, fd, 100);
    S(SYS_dup2, 100, 100);
    S(SYS_dup2, 77, 77);
    S(SYS_close, 100);
    S(SYS_lseek, fd, 2, SEEK_SET);
    S(SYS_lseek, fd, -5, SEEK_CUR);
    S(SYS_lseek, fd, 1, 99);
    int p[2];
    S(SYS_pipe, p);
    struct pollfd pf = {p[0], POLLIN, 0};
    S(SYS_poll, &pf, 1, 0);
    S(SYS_write, p[1], "x", 1);
    S(SYS_poll, &pf, 1, -1);
    printf("revents %x\n", pf.revents);
    S(SYS_epoll_create, 0);
    printf("epoll_create %d\n", CALL(SYS_epoll_create, 1) >= 0);
    printf("eventfd %d inotify %d\n", CALL(SYS_eventfd, 5) >= 0, CALL(SYS_inotify_init) >= 0);
    long t = CALL(SYS_time, NULL);
    printf("time %d\n", labs(t - (long)time(NULL)) <= 1);
    S(SYS_alarm, 100);
    S(SYS_alarm, 0);
    S(SYS_alarm, 0);
    S(SYS_utime, "file", ((long[]){1000, 2000}));
    long tv[4] = {111, 500000, 222, 250000};
    S(SYS_utimes, "file", tv);
    tv[1] = 1000000;
    S(SYS_utimes, "file", tv);
    S(SYS_futimesat, AT_FDCWD, "file", NULL);
    S(SYS_utimes, "file", ((long[]){111, 500000, 222, 250000}));
    struct stat st;
    stat("file", &st);
    printf("times %ld.%09ld %ld.%09ld\n", (long)st.st_atim.tv_sec, st.st_atim.tv_nsec, (long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    printf("getpgrp %d\n", CALL(SYS_getpgrp) == getpgrp());
    S(SYS_getpriority, 0, 0);
    S(SYS_setpriority, 0, 0, 3);
    S(SYS_getpriority, 0, 0);
    S(SYS_personality, 0xffffffff);
    S(SYS_ustat, 0xffff, buf);
    S(SYS_getdents, fd, buf, sizeof buf);
    int d = CALL(SYS_open, ".", O_RDONLY | O_DIRECTORY);
    long n = CALL(SYS_getdents, d, buf, sizeof buf);
    int names = 0, dots = 0;
    for (long at = 0; at < n;) {
        unsigned short len = *(unsigned short *)(buf + at + 2 * sizeof(long));
        char *name = (char *)buf + at + 2 * sizeof(long) + 2;
        names++;
        if (!strcmp(name, ".") || !strcmp(name, "..")) dots += buf[at + len - 1] == 4;
        at += len;
    }
    printf("getdents: %d names, %d directories\n", names, dots);
    S(SYS_getdents, d, buf, 4);
    S(SYS_nanosleep, ((long[]){0, 1000000000}), NULL);
    S(SYS_setitimer, 0, NULL, NULL);
    S(SYS_setitimer, 9, NULL, NULL);
    S(SYS_getrlimit, 999, buf);
    S(SYS_sched_getaffinity, 0, 1, buf);
    S(SYS_sched_rr_get_interval, -1, buf);
    printf("flags %lx\n", CALL(SYS_fcntl, fd, F_GETFL) & ~0100000l);
    S(SYS_fcntl, fd, F_SETFL, O_APPEND | O_NONBLOCK);
    printf("flags %lx\n", CALL(SYS_fcntl, fd, F_GETFL) & ~0100000l);
    S(SYS_fcntl, fd, 9999, 0);
    S(SYS_ioctl, fd, 0x5401, buf);
    S(SYS_ioctl, p[0], 0x541b, buf);
    S(SYS_ioctl, 99, 0x541b, buf);
    int sp[2];
    S(SYS_socketpair, AF_UNIX, SOCK_DGRAM, 0, sp);
    S(SYS_sendto, sp[0], "datagram", 8, 0, NULL, 0);
    S(SYS_recvfrom, sp[1], buf, 4, MSG_TRUNC, NULL, NULL);
    socklen_t len = 2;
    S(SYS_getsockname, sp[0], buf, &len);
    printf("address length %d\n", len);
    len = 1;
    S(SYS_getsockopt, sp[0], SOL_SOCKET, SO_TYPE, buf, &len);
    printf("option length %d first byte %d\n", len, buf[0]);
    S(SYS_setsockopt, sp[0], SOL_SOCKET, SO_RCVTIMEO, ((long[]){1, 5000}), 3);
    S(SYS_setsockopt, sp[0], SOL_SOCKET, SO_RCVTIMEO, ((long[]){0, 5000}), 2 * sizeof(long));
    S(SYS_recvfrom, sp[1], buf, 4, MSG_DONTWAIT, NULL, NULL);
    S(SYS_recvfrom, sp[0], buf, 4, 0, NULL, NULL);
    long limits[2];
    S(SYS_getrlimit, 4, limits);
    printf("core limit sane %d\n", limits[1] != 0 || limits[0] == 0);
    S(SYS_lseek, fd, 0, SEEK_SET);
    S(SYS_readv, fd, ((long[]){8, 1}), 1);
    S(SYS_readv, fd, NULL, 2000);
    S(SYS_writev, fd, ((long[]){(long)buf, -1}), 1);
    S(SYS_preadv, fd, ((long[]){(long)buf, 4}), 1, 3, 0);
    S(SYS_mincore, 1, 1, buf);
#ifdef __i386__
    S(7 /* waitpid */, -1, NULL, 0);
    S(16 /* lchown, 16 bits */, "sym", 0xffff, 0xffff);
    S(17 /* break */);
    S(31 /* stty */);
    S(34 /* nice */, 2);
    S(SYS_getpriority, 0, 0);
    S(34 /* nice */, 1000);
    S(SYS_getpriority, 0, 0);
    memset(buf, 0xee, 100);
    S(59 /* oldolduname */, buf);
    printf("system %.9s, then %02x\n", buf, buf[45]);
    S(109 /* olduname */, buf);
    printf("system %s\n", buf);
    printf("uids %d %d\n", (int)CALL(24) == (getuid() > 65535 ? 65534 : (int)getuid()), (int)CALL(47) == (int)getgid());
    unsigned short ids[6];
    memset(ids, 0xee, sizeof ids);
    S(165 /* getresuid, 16 bits */, ids, ids + 1, ids + 2);
    printf("ids %d %d %d, then %x\n", ids[0] == getuid(), ids[1] == getuid(), ids[2] == getuid(), ids[3]);
    printf("groups %d\n", CALL(80 /* getgroups, 16 bits */, 0, NULL) == getgroups(0, NULL));
    memset(buf, 0xee, 200);
    S(106 /* stat */, "file", buf);
    hex("mode links size", buf + 8, 4), hex("size", buf + 20, 4), hex("unused", buf + 56, 8);
    hex("modified", buf + 40, 8);
    memset(buf, 0xee, 200);
    S(195 /* stat64 */, "file", buf);
    hex("mode links", buf + 16, 8), hex("size", buf + 44, 8), hex("modified", buf + 72, 8), hex("beyond", buf + 96, 4);
    S(99 /* statfs */, "/proc", buf);
    hex("type", buf, 4);
    S(268 /* statfs64 */, "/proc", 84, buf);
    hex("type", buf, 4);
    S(268 /* statfs64 */, "/proc", 80, buf);
    S(140 /* _llseek */, fd, 0, 7, buf, SEEK_SET);
    hex("position", buf, 8);
    S(140 /* _llseek */, fd, 1, 7, buf, SEEK_SET);
    hex("position", buf, 8);
    S(SYS_lseek, fd, 0, SEEK_CUR);
    close(fd);
    fd = CALL(SYS_open, "file", O_RDWR | 0100000);
    S(194 /* ftruncate64 */, fd, 0, 1);
    S(108 /* fstat */, fd, buf);
    S(5 /* open without O_LARGEFILE */, "file", O_RDONLY);
    S(93 /* ftruncate */, fd, 20);
    S(180 /* pread64 */, fd, buf, 4, 3, 0);
    S(180 /* pread64 */, fd, buf, 4, 3, 1);
    S(180 /* pread64 */, fd, buf, 4, 0, 0x80000000);
    struct { short type, whence; int start, len, pid; } lock = {F_WRLCK, SEEK_SET, 3, 4, 0};
    S(55 /* fcntl */, fd, 6, &lock);
    S(55 /* fcntl */, fd, 5, &lock);
    printf("lock %d %d %d\n", lock.type, lock.start, lock.len);
    S(55 /* fcntl */, fd, 13, &lock);
    unsigned set[32] = {0};
    set[p[0] / 32] = 1u << p[0] % 32;
    long args[5] = {p[0] + 1, (long)set, 0, 0, (long)(long[]){0, 0}};
    S(82 /* select */, args);
    S(142 /* _newselect */, -1, 0, 0, 0, 0);
    long m[6] = {0, 4096, 3, 0x22, -1, 0};
    long at = CALL(90 /* mmap */, m);
    printf("old mmap %d\n", at != -1 && at % 4096 == 0);
    m[5] = 1;
    S(90 /* mmap */, m);
    struct { unsigned ino, off; unsigned short len; char name[256]; } one;
    int count = 0;
    CALL(SYS_lseek, d, 0, SEEK_SET);
    long r;
    while ((r = CALL(89 /* readdir */, d, &one, 1)) == 1) count += one.len == strlen(one.name);
    printf("readdir: %d entries, end %ld\n", count, r);
    /* socketcall and ipc */
    int s2[2];
    long sc[6] = {AF_UNIX, SOCK_STREAM, 0, (long)s2};
    S(102 /* socketcall */, 8, sc);
    long sd[6] = {s2[0], (long)"hi", 2, 0};
    S(102 /* socketcall */, 9, sd);
    long rc[6] = {s2[1], (long)buf, 10, 0};
    S(102 /* socketcall */, 10, rc);
    S(102 /* socketcall */, 0, rc);
    S(102 /* socketcall */, 99, rc);
    S(102 /* socketcall */, 8, (void *)8);
    int shm = CALL(117 /* ipc: shmget */, 23, IPC_PRIVATE, 5000, 0600);
    long where = 0;
    S(117 /* ipc: shmat */, 21, shm, 0, &where, 0);
    printf("attached %d\n", where != 0);
    *(int *)where = 77;
    S(117 /* ipc: shmctl IPC_STAT */, 24, shm, 0x102, 0, buf);
    hex("size", buf + 36, 4), hex("attached", buf + 72, 4);
    S(117 /* ipc: shmdt */, 22, 0, 0, 0, where);
    S(117 /* ipc: shmctl IPC_RMID */, 24, shm, 0, 0, 0);
    int sem = CALL(117 /* ipc: semget */, 2, IPC_PRIVATE, 2, 0600);
    long value = 5;
    S(117 /* ipc: semctl SETVAL */, 3, sem, 1, 16, &value);
    struct sembuf op = {1, -2, 0};
    S(117 /* ipc: semop */, 1, sem, 1, 0, &op);
    S(117 /* ipc: semctl GETVAL */, 3, sem, 1, 12, &value);
    op.sem_op = -20;
    S(117 /* ipc: semtimedop */, 4, sem, 1, 0, &op, (long[]){0, 1000});
    S(117 /* ipc: semctl IPC_RMID */, 3, sem, 0, 0, &value);
    int q = CALL(117 /* ipc: msgget */, 13, IPC_PRIVATE, 0600);
    struct { long type; char text[8]; } msg = {3, "message"};
    S(117 /* ipc: msgsnd */, 11, q, 8, 0, &msg);
    long kludge[2] = {(long)&msg, 0};
    memset(&msg, 0, sizeof msg);
    S(117 /* ipc: msgrcv */, 12, q, 8, 0, kludge);
    printf("%ld %s\n", msg.type, msg.text);
    S(117 /* ipc: msgrcv */, (1 << 16) + 12, q, 8, IPC_NOWAIT, &msg, 0);
    S(117 /* ipc: msgctl IPC_RMID */, 14, q, 0, 0, 0);
    S(117 /* ipc */, 77);
    long long t64[2] = {0, 5000};
    S(407 /* clock_nanosleep_time64 */, 1, 0, t64, NULL);
    t64[1] = 0xdeadbeef00001388ll; /* the upper half is padding */
    S(407 /* clock_nanosleep_time64 */, 1, 0, t64, NULL);
    S(403 /* clock_gettime64 */, 99, t64);
    S(406 /* clock_getres_time64 */, 0, NULL);
    S(265 /* clock_gettime */, 0, NULL);
    S(250 /* fadvise64 */, fd, 0, 0, 100, 0);
    S(272 /* fadvise64_64 */, fd, 0, 0, 100, 0, 99);
    S(324 /* fallocate */, fd, 0, 10, 0, 20, 0);
    S(225 /* readahead */, fd, 0, 0, 10);
    S(314 /* sync_file_range */, fd, 0, 0, 0, 0, 0);
#endif
    unlink("file"), unlink("third"), unlink("sym"), unlink("fifo");
    leave_scratch();
    return 0;
}
