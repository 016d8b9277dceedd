/* System calls with structures, descriptors and masks, by number where the library would hide the structure. */
#include "check.h"
#include <linux/stat.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/xattr.h>

#define S(...) SHOW(syscall(__VA_ARGS__))

/* A call that emulated hosts may lack: the error must be the right one or ENOSYS. */
#define NEWER(expected, call)                                                                       \
    do {                                                                                            \
        errno = 0;                                                                                  \
        long r_ = (call);                                                                           \
        printf("%s: as expected %d\n", #call, r_ == -1 && (errno == (expected) || errno == ENOSYS)); \
    } while (0)

static volatile int handled;
static void handler(int s) { handled = s; }

int main(int argc, char **argv) {
    if (argc > 1) {
        printf("%s\n", argv[1]);
        return 0;
    }
    enter_scratch();
    unsigned char buf[4096];
    int fd = open("file", O_RDWR | O_CREAT | O_EXCL, 0644);
    CHECK(write(fd, "0123456789abcdef", 16) == 16);
    struct { unsigned long long flags, mode, resolve; } how = {O_RDONLY | O_NOFOLLOW | O_DIRECTORY, 0, 0};
    NEWER(ENOTDIR, syscall(437 /* openat2 */, AT_FDCWD, "file", &how, sizeof how));
    how.flags = O_RDONLY, how.resolve = 8;
    NEWER(EXDEV, syscall(437 /* openat2 */, AT_FDCWD, "/etc", &how, sizeof how));
    NEWER(EINVAL, syscall(437 /* openat2 */, AT_FDCWD, "file", &how, 8));
    symlink("file", "link");
    SHOW(open("link", O_RDONLY | O_NOFOLLOW));
    SHOW(open("file", O_RDONLY | O_DIRECTORY));
    int tmp = open(".", O_TMPFILE | O_RDWR, 0600);
    printf("O_TMPFILE %d O_DIRECT accepted or refused %d\n", tmp >= 0 || errno == EOPNOTSUPP, 1);
    S(SYS_faccessat2, AT_FDCWD, "link", F_OK, AT_SYMLINK_NOFOLLOW);
    S(SYS_faccessat2, AT_FDCWD, "link", F_OK, 0x8000);
    struct statx sx;
    S(SYS_statx, AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, 0x7ff, &sx);
    printf("statx mode %o size %lld links %u\n", sx.stx_mode, (long long)sx.stx_size, sx.stx_nlink);
    S(SYS_statx, fd, "", AT_EMPTY_PATH, 0x7ff, &sx);
    printf("statx mode %o size %lld\n", sx.stx_mode, (long long)sx.stx_size);
    struct stat st;
    SHOW(fstatat(fd, "", &st, AT_EMPTY_PATH));
    printf("size %lld blocks sane %d\n", (long long)st.st_size, st.st_blksize >= 512);

    /* locks */
    struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2, .l_len = 3};
    SHOW(fcntl(fd, F_OFD_SETLK, &fl));
    int fd2 = open("file", O_RDWR);
    fl.l_pid = 0;
    SHOW(fcntl(fd2, F_OFD_SETLK, &fl));
    fl.l_start = 0, fl.l_len = 0;
    SHOW(fcntl(fd2, F_OFD_GETLK, &fl));
    printf("type %d start %lld length %lld pid %d\n", fl.l_type, (long long)fl.l_start, (long long)fl.l_len, fl.l_pid);
    SHOW(flock(fd, LOCK_EX));
    SHOW(flock(fd2, LOCK_EX | LOCK_NB));
    /* copying */
    int out = open("out", O_RDWR | O_CREAT, 0600);
    off_t off = 4;
    SHOW(sendfile(out, fd, &off, 5));
    printf("offset %lld\n", (long long)off);
    off64_t from = 1, to = 10;
    SHOW(copy_file_range(fd, &from, out, &to, 3, 0));
    printf("offsets %lld %lld\n", (long long)from, (long long)to);
    int p[2], p2[2];
    CHECK(pipe2(p, O_NONBLOCK | O_CLOEXEC) == 0 && pipe(p2) == 0);
    printf("flags %x %x\n", fcntl(p[0], F_GETFL), fcntl(p[0], F_GETFD));
    from = 3;
    SHOW(splice(fd, &from, p[1], NULL, 6, 0));
    SHOW(tee(p[0], p2[1], 4, 0));
    struct iovec iov[2] = {{"vm", 2}, {"splice", 6}};
    SHOW(vmsplice(p2[1], iov, 2, 0));
    memset(buf, 0, 40);
    SHOW(read(p2[0], buf, 40));
    printf("%s\n", buf);
    SHOW(read(p[0], buf, 40));
    SHOW(read(p[0], buf, 40));
    SHOW(fcntl(p[0], F_SETPIPE_SZ, 8192));
    SHOW(fcntl(p[0], F_GETPIPE_SZ));
    struct iovec rd[3] = {{buf, 3}, {NULL, 0}, {buf + 10, 4}};
    SHOW(preadv2(fd, rd, 3, 5, 0));
    printf("%.3s %.4s\n", buf, buf + 10);
    SHOW(pwritev2(fd, iov, 2, 16, 0));
    SHOW(lseek(fd, 0, SEEK_DATA));
    SHOW(lseek(fd, 0, SEEK_HOLE));
    SHOW(fallocate(fd, 0, 0, 100));
    SHOW(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
    SHOW(sync_file_range(fd, 0, 10, SYNC_FILE_RANGE_WRITE));
    SHOW(setxattr("file", "user.name", "value", 5, 0) == 0 || errno == EOPNOTSUPP);
    int mem = memfd_create("m", MFD_ALLOW_SEALING);
    SHOW(ftruncate(mem, 100));
    SHOW(fcntl(mem, F_ADD_SEALS, F_SEAL_SHRINK));
    SHOW(ftruncate(mem, 50));
    SHOW(fcntl(mem, F_GET_SEALS));

    /* events */
    int ino = inotify_init1(IN_NONBLOCK);
    CHECK(inotify_add_watch(ino, ".", IN_CREATE | IN_DELETE) == 1);
    close(open("seen", O_CREAT | O_WRONLY, 0600));
    unlink("seen");
    int n = read(ino, buf, sizeof buf);
    for (int at = 0; at < n;) {
        struct inotify_event *e = (void *)(buf + at);
        printf("inotify %x %s\n", e->mask, e->name);
        at += sizeof *e + e->len;
    }
    int ev = eventfd(3, EFD_NONBLOCK);
    unsigned long long count = 4;
    SHOW(write(ev, &count, 8));
    SHOW(read(ev, &count, 8));
    printf("count %llu\n", count);
    SHOW(read(ev, &count, 8));
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ee = {EPOLLIN | EPOLLET, {.u64 = 0x1122334455667788ull}}, got[4];
    SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, ev, &ee));
    SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, ev, &ee));
    ee.events = EPOLLOUT, ee.data.u64 = 5;
    SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, p2[1], &ee));
    count = 1;
    CHECK(write(ev, &count, 8) == 8);
    n = epoll_wait(ep, got, 4, 1000);
    printf("epoll %d\n", n);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            if (got[j].data.u64 == (i ? 5 : 0x1122334455667788ull)) printf("event %x data %llx\n", got[j].events, (unsigned long long)got[j].data.u64);
    struct timespec ts = {0, 1000};
    n = syscall(441 /* epoll_pwait2 */, ep, got, 4, NULL, NULL, 8);
    printf("epoll_pwait2 %d\n", n == 1 || errno == ENOSYS);
    SHOW(epoll_ctl(ep, EPOLL_CTL_DEL, p2[1], NULL));
    /* waiting under a mask: the signal is pending and becomes deliverable only inside the call */
    signal(SIGUSR1, handler);
    sigset_t block, none, old;
    sigemptyset(&none);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigprocmask(SIG_BLOCK, &block, &old);
    raise(SIGUSR1);
    printf("not yet %d\n", handled);
    struct timespec second = {1, 0};
    SHOW(ppoll(NULL, 0, &second, &none));
    printf("handled %d\n", handled == SIGUSR1);
    handled = 0;
    raise(SIGUSR1);
    SHOW(pselect(0, NULL, NULL, NULL, &second, &none));
    printf("handled %d\n", handled == SIGUSR1);
    handled = 0;
    raise(SIGUSR1);
    SHOW(epoll_pwait(ep, got, 4, 1000, &none));
    printf("handled %d\n", handled == SIGUSR1);
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    printf("still blocked %d\n", sigismember(&now, SIGUSR1));
    int sfd = signalfd(-1, &block, SFD_NONBLOCK);
    raise(SIGUSR1);
    struct signalfd_siginfo si;
    SHOW(read(sfd, &si, sizeof si));
    printf("signo %u pid %d\n", si.ssi_signo, (int)si.ssi_pid == getpid());
    /* timers */
    int tfd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct itimerspec its = {{0, 5000000}, {0, 1000000}}, cur;
    SHOW(timerfd_settime(tfd, 0, &its, NULL));
    usleep(20000);
    printf("expired %d\n", read(tfd, &count, 8) == 8 && count >= 2);
    SHOW(timerfd_gettime(tfd, &cur));
    printf("interval %ld left %d\n", cur.it_interval.tv_nsec, cur.it_value.tv_nsec <= 5000000);
    timer_t timer;
    struct sigevent sev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 42};
    SHOW(timer_create(CLOCK_MONOTONIC, &sev, &timer));
    its.it_interval.tv_nsec = 0;
    SHOW(timer_settime(timer, 0, &its, NULL));
    siginfo_t info;
    SHOW(sigtimedwait(&block, &info, &second) == SIGUSR1);
    printf("code %d value %d\n", info.si_code, info.si_value.sival_int);
    SHOW(timer_getoverrun(timer));
    SHOW(timer_delete(timer));
    SHOW(timer_delete((timer_t)99));

    /* sockets */
    int sp[2];
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sp) == 0);
    int one = 1;
    SHOW(setsockopt(sp[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof one));
    SHOW(setsockopt(sp[1], SOL_SOCKET, SO_TIMESTAMP, &one, sizeof one));
    char control[CMSG_SPACE(2 * sizeof(int)) + 200];
    struct iovec data[2] = {{"first ", 6}, {"second", 6}};
    struct msghdr msg = {.msg_iov = data, .msg_iovlen = 2, .msg_control = control, .msg_controllen = CMSG_SPACE(2 * sizeof(int))};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(2 * sizeof(int));
    memcpy(CMSG_DATA(c), p2, sizeof p2);
    SHOW(sendmsg(sp[0], &msg, 0));
    struct iovec in = {buf, 8};
    struct msghdr r = {.msg_iov = &in, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    SHOW(recvmsg(sp[1], &r, MSG_CMSG_CLOEXEC));
    printf("flags %x data %.8s\n", r.msg_flags, buf);
    for (c = CMSG_FIRSTHDR(&r); c; c = CMSG_NXTHDR(&r, c)) {
        printf("control level %d type %d length %d", c->cmsg_level, c->cmsg_type, (int)(c->cmsg_len - CMSG_LEN(0)) / (c->cmsg_type == SO_TIMESTAMP ? (int)sizeof(long) : 1));
        if (c->cmsg_type == SCM_RIGHTS) {
            int fds[2];
            memcpy(fds, CMSG_DATA(c), sizeof fds);
            printf(" cloexec %d usable %d", fcntl(fds[0], F_GETFD), (int)write(fds[1], "x", 1));
        }
        if (c->cmsg_type == SCM_CREDENTIALS) {
            struct ucred cred;
            memcpy(&cred, CMSG_DATA(c), sizeof cred);
            printf(" pid right %d", cred.pid == getpid());
        }
        printf("\n");
    }
    struct mmsghdr many[3];
    memset(many, 0, sizeof many);
    struct iovec parts[3] = {{"a", 1}, {"bb", 2}, {"ccc", 3}};
    for (int i = 0; i < 3; i++) many[i].msg_hdr.msg_iov = &parts[i], many[i].msg_hdr.msg_iovlen = 1;
    SHOW(sendmmsg(sp[0], many, 3, 0));
    printf("lengths %u %u %u\n", many[0].msg_len, many[1].msg_len, many[2].msg_len);
    struct iovec back[3] = {{buf, 10}, {buf + 10, 10}, {buf + 20, 10}};
    for (int i = 0; i < 3; i++) many[i].msg_hdr.msg_iov = &back[i];
    SHOW(recvmmsg(sp[1], many, 3, MSG_DONTWAIT, NULL));
    printf("lengths %u %u %u %.1s%.2s%.3s\n", many[0].msg_len, many[1].msg_len, many[2].msg_len, buf, buf + 10, buf + 20);
    SHOW(recvmmsg(sp[1], many, 3, MSG_DONTWAIT, NULL));
    struct timeval tv = {0, 10000}, tvback;
    socklen_t len = sizeof tvback;
    SHOW(setsockopt(sp[1], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
    SHOW(getsockopt(sp[1], SOL_SOCKET, SO_RCVTIMEO, &tvback, &len));
    printf("timeout %ld.%06ld length %d\n", (long)tvback.tv_sec, (long)tvback.tv_usec, len == sizeof tvback);
    SHOW(recv(sp[1], buf, 10, 0));
    struct sockaddr_un un = {AF_UNIX, "sock"};
    int ls = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    SHOW(bind(ls, (void *)&un, sizeof un));
    SHOW(listen(ls, 1));
    SHOW(accept4(ls, NULL, NULL, SOCK_CLOEXEC));
    int cs = socket(AF_UNIX, SOCK_STREAM, 0);
    SHOW(connect(cs, (void *)&un, sizeof un));
    struct sockaddr_un peer;
    len = sizeof peer;
    int as = accept4(ls, (void *)&peer, &len, SOCK_CLOEXEC);
    printf("accepted %d family %d length %d\n", as >= 0, peer.sun_family, len);
    len = 4;
    memset(&peer, 0xee, sizeof peer);
    SHOW(getsockname(as, (void *)&peer, &len));
    printf("family %d text %.2s then %x length %d\n", peer.sun_family, peer.sun_path, (unsigned char)peer.sun_path[2], len);
    SHOW(shutdown(cs, SHUT_WR));
    SHOW(read(as, buf, 5));

    /* the process */
    struct rlimit64 lim = {50, 60}, oldlim;
    SHOW(prlimit64(0, RLIMIT_CORE, &lim, NULL));
    SHOW(prlimit64(getpid(), RLIMIT_CORE, NULL, &oldlim));
    printf("limit %llu %llu\n", (unsigned long long)oldlim.rlim_cur, (unsigned long long)oldlim.rlim_max);
    struct rlimit as_limit;
    SHOW(getrlimit(RLIMIT_AS, &as_limit));
    as_limit.rlim_cur = 1 << 30;
    SHOW(setrlimit(RLIMIT_AS, &as_limit));
    memset(&as_limit, 0, sizeof as_limit);
    SHOW(getrlimit(RLIMIT_AS, &as_limit));
    printf("limit %lu\n", (unsigned long)as_limit.rlim_cur);
    char remote[] = "remote memory", local[20] = "";
    struct iovec li = {local, 6}, ri = {remote + 7, 6};
    n = process_vm_readv(getpid(), &li, 1, &ri, 1, 0);
    printf("other memory %d\n", (n == 6 && !strcmp(local, "memory")) || errno == ENOSYS);
    int a = dup(0), b = dup(0), c3 = dup(0);
    S(436 /* close_range */, a, b, 0);
    printf("closed %d %d open %d\n", fcntl(a, F_GETFD), fcntl(b, F_GETFD), fcntl(c3, F_GETFD));
    S(436 /* close_range */, 3, ~0u, 0);
    S(436 /* close_range */, 5, 3, 0);
    printf("closed %d\n", fcntl(c3, F_GETFD));
    int dupped = 0;
    for (int i = 890; i < 1010; i++) dupped += dup2(1, i) == i;
    printf("dup2 %d\n", dupped);
    fflush(stdout);
    if (fork() == 0) {
        execl("/proc/self/exe", "newcalls", "again", NULL);
        _exit(1);
    }
    wait(NULL);
    for (const char *name = "file\0link\0out\0sock\0"; *name; name += strlen(name) + 1) unlink(name);
    leave_scratch();
    return 0;
}
