/* seccomp(2) with a listener: calls that another process answers. The process that runs a case has the filter and the listener, its children make
   the calls, and it takes care not to make them itself. */
#include "sys.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#define RECV 0xc0502100L
#define SEND 0xc0182101L
#define ID_VALID 0x40082102L
#define ID_VALID_OLD 0x80082102L
#define ADDFD 0x40182103L
#define SET_FLAGS 0x40082104L
#define TSYNC 1
#define NEW_LISTENER 8
#define TSYNC_ESRCH 16
#define WAIT_KILLABLE 32
#define USER_NOTIF 0x7fc00000u

struct note { u64 id; u32 pid, flags; int nr; u32 arch; u64 ip, args[6]; };
struct reply { u64 id; s64 val; int error; u32 flags; };
struct adding { u64 id; u32 flags, src, new, new_flags; };

static long set_filter(int nr, u32 what, long flags) {
    struct sock_filter f[] = {{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0}, {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, nr},
        {BPF_RET | BPF_K, 0, 0, what}, {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
    struct sock_fprog g = {4, f};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return R(SYS_seccomp, 1, flags, &g);
}
static int listener(int nr, long flags) { return set_filter(nr, USER_NOTIF, NEW_LISTENER | flags); }
static struct note take(int fd) {
    struct note n;
    memset(&n, 0, sizeof n);
    if (R(SYS_ioctl, fd, RECV, &n)) P("recv: %s\n", err(errno));
    return n;
}
static void give(int fd, u64 id, s64 val, int error, u32 flags) {
    struct reply r = {id, val, error, flags};
    long got = R(SYS_ioctl, fd, SEND, &r);
    if (got) P("send: %ld %s\n", got, err(errno));
}
static int joined(int pid) {
    int st;
    if (waitpid(pid, &st, 0) == pid) ended("child", st);
    return st;
}
#define START(...)                \
    ({                            \
        int pid_ = fork();        \
        if (!pid_) {              \
            __VA_ARGS__;          \
            _exit(0);             \
        }                         \
        pid_;                     \
    })

CASE(answers) {
    int fd = listener(SYS_getppid, 0);
    V(fd > 2);
    int self = getpid(), pid = START(S(SYS_getppid); S(SYS_getppid); S(SYS_getppid); P("%d\n", R(SYS_getppid) == self); S(SYS_getppid);
        S(SYS_getppid); S(SYS_getppid); S(SYS_umask, 0));
    give(fd, take(fd).id, 1234, 0, 0);
    give(fd, take(fd).id, 0, -EPERM, 0);
    give(fd, take(fd).id, 7, -ENOSYS, 0);
    give(fd, take(fd).id, 0, 0, 1);
    give(fd, take(fd).id, -EBADF, 0, 0);
    give(fd, take(fd).id, -1234567, 0, 0);
    give(fd, take(fd).id, 0x123456789abcll, 0, 0);
    joined(pid);
}
static u64 behind;
static void six(long a, long b, long c, long d, long e, long f) {
#ifdef __i386__
    long all[6] = {a, b, c, d, e, f}, *at = all;
    u32 back;
    __asm__ volatile("push %%ebx; push %%ebp; push %%edi; mov %%eax, %%edi; call 2f; 2: pop %%edx; lea 1f-2b(%%edx), %%edx; push %%edx;"
        "mov 0(%%edi), %%ebx; mov 4(%%edi), %%ecx; mov 8(%%edi), %%edx; mov 12(%%edi), %%esi; mov 20(%%edi), %%ebp;"
        "mov 16(%%edi), %%edi; mov $64, %%eax; int $0x80; 1: pop %%edx; pop %%edi; pop %%ebp; pop %%ebx"
        : "+a"(at), "=d"(back) : : "ecx", "esi", "memory");
#else
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long nr = SYS_getppid;
    u64 back;
    __asm__ volatile("lea 1f(%%rip), %%rbx; syscall; 1:" : "+a"(nr), "=b"(back) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
        : "rcx", "r11", "memory");
#endif
    *(u64 *)(size_t)behind = back;
}
CASE(data) {
    int fd = listener(SYS_getppid, 0);
    u64 *place = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    behind = (size_t)place;
    int pid = START(six(1, -2, 0x7ffff000, LONG_MIN, LONG_MAX, 6); six(0, 0, 0, 0, 0, 0); six(-1, -1, -1, -1, -1, -1));
    for (int i = 0; i < 3; i++) {
        struct note n = take(fd);
        P("pid %d flags %d nr %d arch %#x\n", n.pid == (u32)pid, n.flags, n.nr == SYS_getppid, n.arch);
        for (int k = 0; k < 6; k++) P(" %#llx", n.args[k]);
        P("\n");
        give(fd, n.id, 0, 0, 0);
        while (!*(volatile u64 *)place) usleep(100);
        P("ip %d\n", n.ip == *place);
        *place = 0;
    }
    joined(pid);
}
CASE(install_errors) {
    u32 what = USER_NOTIF;
    S(SYS_seccomp, 2, 0, &what);
    u16 sizes[3] = {0};
    S(SYS_seccomp, 3, 0, sizes);
    P("%d %d %d\n", sizes[0], sizes[1], sizes[2]);
    show("synchronised", set_filter(SYS_getppid, USER_NOTIF, NEW_LISTENER | TSYNC));
    show("killable only", set_filter(SYS_getppid, USER_NOTIF, WAIT_KILLABLE));
    show("unknown", set_filter(SYS_getppid, USER_NOTIF, NEW_LISTENER | 0x4000));
    struct sock_fprog g = {0, BAD};
    S(SYS_seccomp, 1, NEW_LISTENER, &g);
    int fd = listener(SYS_getppid, 0);
    V(fd > 2);
    S(SYS_fcntl, fd, F_GETFD);
    show("second", set_filter(SYS_umask, USER_NOTIF, NEW_LISTENER));
    CHILD(show("second of a child", set_filter(SYS_umask, USER_NOTIF, NEW_LISTENER)));
    S(SYS_read, fd, edge(8), 8L);
    S(SYS_write, fd, "12345678", 8L);
}
CASE(no_room) {
    /* The filter is not there either. */
    struct rlimit few = {3, 3};
    setrlimit(RLIMIT_NOFILE, &few);
    show("listener", set_filter(SYS_umask, USER_NOTIF, NEW_LISTENER));
    S(SYS_umask, 022);
}
CASE(no_listener) {
    CHILD(show("filter", set_filter(SYS_getppid, USER_NOTIF, 0)); S(SYS_getppid));
    CHILD({ int fd = listener(SYS_getppid, 0); close(fd); S(SYS_getppid); });
}
CASE(requests) {
    int fd = listener(SYS_getppid, 0), pid = START(S(SYS_getppid));
    struct note n;
    memset(&n, 0, sizeof n);
    n.flags = 1;
    S(SYS_ioctl, fd, RECV, &n);
    S(SYS_ioctl, fd, RECV, BAD);
    S(SYS_ioctl, fd, RECV, HIGH);
    S(SYS_ioctl, fd, RECV, readonly());
    S(SYS_ioctl, fd, RECV, (char *)edge(72));
    n = take(fd);
    u64 other = n.id + 77;
    S(SYS_ioctl, fd, ID_VALID, &n.id);
    S(SYS_ioctl, fd, ID_VALID_OLD, &n.id);
    S(SYS_ioctl, fd, ID_VALID, &other);
    S(SYS_ioctl, fd, ID_VALID, BAD);
    struct reply r = {other, 0, 0, 0};
    S(SYS_ioctl, fd, SEND, &r);
    r.id = n.id;
    r.flags = 2;
    S(SYS_ioctl, fd, SEND, &r);
    r.flags = 1;
    r.val = 1;
    S(SYS_ioctl, fd, SEND, &r);
    r.val = 0;
    r.error = -1;
    S(SYS_ioctl, fd, SEND, &r);
    S(SYS_ioctl, fd, SEND, BAD);
    S(SYS_ioctl, fd, SEND, edge(16));
    S(SYS_ioctl, fd, 0x2109L, 0L);
    S(SYS_ioctl, fd, TCGETS, &r);
    S(SYS_ioctl, fd, SET_FLAGS, 2L);
    S(SYS_ioctl, fd, SET_FLAGS, 1L);
    S(SYS_ioctl, fd, SET_FLAGS, 0L);
    int plain = file("text");
    S(SYS_ioctl, plain, RECV, &n);
    S(SYS_ioctl, plain, SEND, &r);
    S(SYS_ioctl, plain, ID_VALID, &n.id);
    S(SYS_ioctl, plain, ADDFD, &n);
    S(SYS_ioctl, 99, RECV, &n);
    give(fd, n.id, 1, 0, 0);
    joined(pid);
    S(SYS_ioctl, fd, ID_VALID, &n.id);
    S(SYS_ioctl, fd, SEND, &r);
}
static int events(int fd, int wait) {
    struct pollfd p = {fd, POLLIN | POLLOUT, 0};
    poll(&p, 1, wait);
    return p.revents;
}
CASE(polled) {
    int fd = listener(SYS_getppid, 0);
    X(events(fd, 0));
    int pid = START(S(SYS_getppid));
    X(events(fd, 5000));
    struct note n = take(fd);
    X(events(fd, 0));
    int ep = epoll_create1(0);
    struct epoll_event e = {EPOLLOUT, {.fd = 5}}, got = {0};
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
    V(epoll_wait(ep, &got, 1, 1000));
    X(got.events);
    give(fd, n.id, 3, 0, 0);
    joined(pid);
    X(events(fd, 0));
}
static void pass(int sock, int fd) {
    char byte = 'x', room[CMSG_SPACE(sizeof fd)];
    struct iovec v = {&byte, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    if (sendmsg(sock, &m, 0) != 1) P("sendmsg: %s\n", err(errno));
}
static int passed(int sock) {
    char byte, room[CMSG_SPACE(sizeof(int))];
    struct iovec v = {&byte, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    int fd = -1;
    if (recvmsg(sock, &m, 0) == 1 && CMSG_FIRSTHDR(&m)) memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
    return fd;
}
CASE(passed_on) {
    int pair[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    int pid = START({
        int fd = listener(SYS_getppid, 0);
        pass(pair[1], fd);
        close(fd);
        S(SYS_getppid);
        S(SYS_getppid);
        CHILD(S(SYS_getppid));
    });
    int fd = passed(pair[0]);
    V(fd >= 0);
    struct note n = take(fd);
    V(n.pid == (u32)pid);
    give(fd, n.id, 41, 0, 0);
    give(fd, take(fd).id, 0, -EACCES, 0);
    n = take(fd);
    V(n.pid != (u32)pid);
    give(fd, n.id, 42, 0, 0);
    joined(pid);
    /* Nobody has the filter any more. */
    X(events(fd, 5000));
    P("%d\n", R(SYS_getppid) != 41);
}
CASE(supervisor_forks) {
    int fd = listener(SYS_getppid, 0), pid = START(S(SYS_getppid); S(SYS_getppid));
    int helper = START(give(fd, take(fd).id, 8, 0, 0));
    waitpid(helper, 0, 0);
    give(fd, take(fd).id, 9, 0, 0);
    joined(pid);
}
CASE(added_descriptors) {
    int fd = listener(SYS_getppid, 0), f = file("the file");
    int pid = START(for (int i = 0; i < 3; i++) {
        char text[9] = "";
        int got = R(SYS_getppid);
        P("%d: %ld %s, flags %d\n", got, (long)pread(got, text, 8, 0), text, fcntl(got, F_GETFD));
    });
    struct note n = take(fd);
    struct adding a = {n.id, 0, f, 0, 0};
    int first = R(SYS_ioctl, fd, ADDFD, &a);
    V(first > 2);
    a.src = 99;
    S(SYS_ioctl, fd, ADDFD, &a);
    a.src = f;
    a.new = 5;
    S(SYS_ioctl, fd, ADDFD, &a);
    a.new = 0;
    a.flags = 4;
    S(SYS_ioctl, fd, ADDFD, &a);
    a.flags = 0;
    a.new_flags = O_NONBLOCK;
    S(SYS_ioctl, fd, ADDFD, &a);
    a.new_flags = 0;
    a.id += 55;
    S(SYS_ioctl, fd, ADDFD, &a);
    a.id -= 55;
    S(SYS_ioctl, fd, ADDFD, BAD);
    S(SYS_ioctl, fd, ADDFD, edge(16));
    S(SYS_ioctl, fd, 0x40102103L, &a);
    struct { struct adding a; u64 more; } longer = {a, 1};
    S(SYS_ioctl, fd, 0x40202103L, &longer);
    a.flags = 1;
    a.new = 70;
    a.new_flags = O_CLOEXEC;
    S(SYS_ioctl, fd, ADDFD, &a);
    give(fd, n.id, 70, 0, 0);
    a = (struct adding){take(fd).id, 2 | 1, f, 71, 0};
    /* The child goes on at once. */
    long with_answer = R(SYS_ioctl, fd, ADDFD, &a);
    a = (struct adding){take(fd).id, 1, f, 70, 0};
    V(with_answer);
    S(SYS_ioctl, fd, ADDFD, &a);
    give(fd, a.id, 70, 0, 0);
    joined(pid);
}
/* What the next case executes; its lines go where that one wants them. */
CASE(called) { dprintf(3, "answered: %d\n", R(SYS_getppid, 77) == 4321); }
CASE(programs) {
    int fd = listener(SYS_getppid, 0), pid = START({
        dup2(1, 3);
        dup2(open("/dev/null", O_WRONLY), 1);
        execl("/proc/self/exe", "program", "called", (char *)0);
    });
    struct note n = take(fd);
    P("%d %d %#x\n", (int)n.args[0], n.nr == SYS_getppid, n.arch);
    give(fd, n.id, 4321, 0, 0);
    joined(pid);
}
static volatile int seen;
static void on_signal(int s) { seen = s; }
CASE(interrupted) {
    int fd = listener(SYS_getppid, 0), pid = START({
        struct sigaction a = {.sa_handler = on_signal};
        sigaction(SIGUSR1, &a, 0);
        a.sa_flags = SA_RESTART;
        sigaction(SIGUSR2, &a, 0);
        S(SYS_getppid);
        V(seen == SIGUSR1);
        S(SYS_getppid);
        V(seen == SIGUSR2);
    });
    struct note n = take(fd);
    kill(pid, SIGUSR1);
    struct note m = take(fd);
    V(n.id != m.id);
    S(SYS_ioctl, fd, ID_VALID, &n.id);
    give(fd, n.id, 5, 0, 0);
    kill(pid, SIGUSR2);
    struct note k = take(fd);
    V(m.id != k.id);
    give(fd, k.id, 6, 0, 0);
    joined(pid);
}
CASE(interrupted_unseen) {
    /* Before anybody has read the notification. */
    int fd = listener(SYS_getppid, WAIT_KILLABLE), pid = START({
        struct sigaction a = {.sa_handler = on_signal};
        sigaction(SIGUSR1, &a, 0);
        S(SYS_getppid);
        V(seen == SIGUSR1);
    });
    X(events(fd, 5000));
    kill(pid, SIGUSR1);
    joined(pid);
}
CASE(wait_killable) {
    int fd = listener(SYS_getppid, WAIT_KILLABLE), pid = START({
        struct sigaction a = {.sa_handler = on_signal};
        sigaction(SIGUSR1, &a, 0);
        S(SYS_getppid);
        V(seen == SIGUSR1);
    });
    struct note n = take(fd);
    kill(pid, SIGUSR1);
    usleep(50000);
    S(SYS_ioctl, fd, ID_VALID, &n.id);
    give(fd, n.id, 5, 0, 0);
    joined(pid);
    pid = START(S(SYS_getppid));
    n = take(fd);
    kill(pid, SIGKILL);
    joined(pid);
    S(SYS_ioctl, fd, ID_VALID, &n.id);
}
CASE(closed) {
    int fd = listener(SYS_getppid, 0), pid = START(close(fd); S(SYS_getppid); S(SYS_getppid));
    take(fd);
    close(fd);
    joined(pid);
}
CASE(precedence) {
    int fd = listener(SYS_getppid, 0);
    int pid = START({
        S(SYS_getppid);
        set_filter(SYS_getppid, SECCOMP_RET_TRACE, 0);
        S(SYS_getppid);
        set_filter(SYS_getppid, USER_NOTIF, 0);
        S(SYS_getppid);
        set_filter(SYS_getppid, SECCOMP_RET_ERRNO | 5, 0);
        S(SYS_getppid);
    });
    give(fd, take(fd).id, 1, 0, 0);
    give(fd, take(fd).id, 2, 0, 0);
    joined(pid);
}
static int go[2], told[2];
static void *calls(void *unused) {
    char c;
    while (read(go[0], &c, 1) == 1) {
        S(SYS_getppid);
        if (write(told[1], "t", 1) != 1) break;
    }
    return unused;
}
static void one_call(int fd, s64 answer) {
    char c;
    if (write(go[1], "g", 1) != 1) return;
    if (answer) give(fd, take(fd).id, answer, 0, 0);
    if (read(told[0], &c, 1) != 1) P("no call\n");
}
CASE(synchronised_threads) {
    if (pipe(go) || pipe(told)) return;
    pthread_t t;
    pthread_create(&t, 0, calls, 0);
    int fd = listener(SYS_getppid, TSYNC | TSYNC_ESRCH);
    V(fd > 2);
    one_call(fd, 11);
    one_call(fd, 12);
}
CASE(synchronised_later) {
    if (pipe(go) || pipe(told)) return;
    pthread_t t;
    pthread_create(&t, 0, calls, 0);
    int fd = listener(SYS_getppid, 0);
    /* The other thread has nothing of it yet; then a second filter brings it both. */
    show("umask", set_filter(SYS_umask, SECCOMP_RET_ERRNO | 9, TSYNC));
    one_call(fd, 21);
    S(SYS_umask, 0);
}
static void *other(void *unused) {
    set_filter(SYS_umask, SECCOMP_RET_ERRNO | 9, 0);
    if (write(told[1], "t", 1) == 1) pause();
    return unused;
}
CASE(synchronised_not) {
    if (pipe(told)) return;
    /* The other thread's filter is not one of this thread's. */
    pthread_t t;
    pthread_create(&t, 0, other, 0);
    char c;
    if (read(told[0], &c, 1) != 1) return;
    show("listener", set_filter(SYS_getppid, USER_NOTIF, NEW_LISTENER | TSYNC | TSYNC_ESRCH));
    P("%d\n", R(SYS_getppid) > 0);
}
CASE(shown) {
    V(listener(SYS_getppid, 0) > 2);
    set_filter(SYS_umask, SECCOMP_RET_ERRNO | 9, 0);
    V(prctl(PR_GET_SECCOMP));
    char line[200];
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "Seccomp", 7)) P("%s", line);
}
