/* io_uring: rings that are set up, filled and emptied by hand. i386 programs have none: theirs is a note. */
#include "sys.h"
#include <linux/io_uring.h>
#ifdef __i386__
CASE(none) { P("no ring\n"); }
#else
static int ring;
static u32 *sq_head, *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail, *cq_mask;
static struct io_uring_sqe *sqes;
static struct io_uring_cqe *cqes;
static struct io_uring_params params;

static int make(int entries, int flags) {
    memset(&params, 0, sizeof params);
    params.flags = flags;
    ring = R(SYS_io_uring_setup, entries, &params);
    if (ring < 0) { P("setup: %s\n", err(errno)); _exit(1); }
    char *sq = mmap(0, params.sq_off.array + params.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
    char *cq = mmap(0, params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_CQ_RING);
    sqes = mmap(0, params.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
    if (sq == MAP_FAILED || cq == MAP_FAILED || sqes == MAP_FAILED) { P("mmap: %s\n", err(errno)); _exit(1); }
    sq_head = (u32 *)(sq + params.sq_off.head), sq_tail = (u32 *)(sq + params.sq_off.tail), sq_mask = (u32 *)(sq + params.sq_off.ring_mask);
    sq_array = (u32 *)(sq + params.sq_off.array);
    cq_head = (u32 *)(cq + params.cq_off.head), cq_tail = (u32 *)(cq + params.cq_off.tail), cq_mask = (u32 *)(cq + params.cq_off.ring_mask);
    cqes = (struct io_uring_cqe *)(cq + params.cq_off.cqes);
    return ring;
}
static struct io_uring_sqe *next(int op, int fd, const void *addr, u32 len, u64 off, u64 user) {
    u32 tail = *sq_tail, at = tail & *sq_mask;
    struct io_uring_sqe *e = &sqes[at];
    memset(e, 0, sizeof *e);
    e->opcode = op, e->fd = fd, e->addr = (u64)addr, e->len = len, e->off = off, e->user_data = user;
    sq_array[at] = at;
    __atomic_store_n(sq_tail, tail + 1, __ATOMIC_RELEASE);
    return e;
}
static void reap(void) {
    while (*cq_head != __atomic_load_n(cq_tail, __ATOMIC_ACQUIRE)) {
        struct io_uring_cqe *c = &cqes[*cq_head & *cq_mask];
        if (c->res < 0) P("%llu: %s\n", c->user_data, err(-c->res));
        else P("%llu: %d\n", c->user_data, c->res);
        __atomic_store_n(cq_head, *cq_head + 1, __ATOMIC_RELEASE);
    }
}
CASE(setup_errors) {
    S(SYS_io_uring_setup, 0, &params);
    S(SYS_io_uring_setup, 4, BAD);
    params.flags = 1u << 31;
    S(SYS_io_uring_setup, 4, &params);
    S(SYS_io_uring_enter, 1, 0, 0, 0, 0, 0);
    S(SYS_io_uring_enter, -1, 0, 0, 0, 0, 0);
    S(SYS_io_uring_register, -1, 0, 0, 0);
}
CASE(nop) {
    make(4, 0);
    V(params.sq_entries);
    next(IORING_OP_NOP, -1, 0, 0, 0, 7);
    next(IORING_OP_NOP, -1, 0, 0, 0, 8);
    S(SYS_io_uring_enter, ring, 2, 2, IORING_ENTER_GETEVENTS, 0, 0);
    reap();
}
CASE(files) {
    make(8, 0);
    int fd = file("some text in a file");
    char a[8] = "", b[16] = "";
    struct iovec v[2] = {{a, 4}, {b, 9}};
    next(IORING_OP_READV, fd, v, 2, 0, 1);
    S(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0);
    reap();
    P("%.4s|%.9s\n", a, b);
    next(IORING_OP_WRITE, fd, "other", 5, 5, 2)->flags = IOSQE_IO_LINK;
    next(IORING_OP_READ, fd, b, 12, 0, 3);
    S(SYS_io_uring_enter, ring, 2, 2, IORING_ENTER_GETEVENTS, 0, 0);
    reap();
    P("%.12s\n", b);
    next(IORING_OP_OPENAT, AT_FDCWD, "f", 0, 0, 4)->open_flags = O_RDONLY;
    next(IORING_OP_READ, 999, b, 1, 0, 5);
    next(IORING_OP_READ, fd, BAD, 1, 0, 6);
    S(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0);
    u32 opened = cqes[*cq_head & *cq_mask].res;
    V((int)opened > fd);
    *cq_head += 1;
    S(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0);
    S(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0);
    reap();
}
CASE(fixed_buffers) {
    make(4, 0);
    int fd = file("0123456789");
    char *p = pages(1);
    struct iovec v = {p, PAGE};
    S(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &v, 1);
    S(SYS_io_uring_register, ring, IORING_REGISTER_FILES, &fd, 1);
    struct io_uring_sqe *e = next(IORING_OP_READ_FIXED, 0, p + 100, 5, 3, 1);
    e->flags = IOSQE_FIXED_FILE;
    S(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0);
    reap();
    P("%.5s\n", p + 100);
    S(SYS_io_uring_register, ring, IORING_UNREGISTER_BUFFERS, 0, 0);
    S(SYS_io_uring_register, ring, IORING_UNREGISTER_BUFFERS, 0, 0);
}
CASE(timeouts) {
    make(4, 0);
    struct __kernel_timespec { s64 s, n; } t = {0, 20000000};
    next(IORING_OP_TIMEOUT, -1, &t, 1, 0, 1);
    S(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0);
    reap();
    struct { u64 mask; u32 size, pad; u64 ts; } arg = {0, 8, 0, (u64)&t};
    S(SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, sizeof arg);
    S(SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, 8);
}
static void on(int s) { P("handler %d\n", s); }
CASE(signals) {
    make(4, 0);
    struct sigaction a = {.sa_handler = on, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &a, 0);
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, SIGALRM);
    struct itimerval t = {{0, 0}, {0, 30000}};
    setitimer(ITIMER_REAL, &t, 0);
    S(SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS, 0, 0);
    sigprocmask(SIG_BLOCK, &s, 0);
    setitimer(ITIMER_REAL, &t, 0);
    u64 none = 0;
    S(SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS, &none, 8);
    S(SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS, &none, 4);
}
/* What means something else on other processors: flags of open, the event of epoll_ctl. The entries are the program's own afterwards. */
CASE(translated) {
    make(8, 0);
    close(file("x"));
    mkdir("d", 0755);
    symlink("d", "l");
    struct { u64 flags, mode, resolve; } hows[] = {{O_DIRECTORY, 0, 0}, {O_DIRECTORY | O_NOFOLLOW, 0, 0}, {O_DIRECTORY, 0, 4}};
    static const char *names[] = {"d", "l", "f", "l", "d", "l"};
    static const int flags[] = {O_DIRECTORY, O_NOFOLLOW, O_DIRECTORY, O_DIRECTORY, O_NOFOLLOW | O_CLOEXEC, O_PATH | O_NOFOLLOW};
    struct io_uring_sqe *e[8];
    for (int i = 0; i < 6; i++) {
        e[i] = next(IORING_OP_OPENAT, AT_FDCWD, names[i], 0, 0, i);
        e[i]->open_flags = flags[i];
        e[i]->flags = IOSQE_IO_HARDLINK;
    }
    S(SYS_io_uring_enter, ring, 6, 6, IORING_ENTER_GETEVENTS, 0, 0);
    int kept = 0;
    for (int i = 0; i < 6; i++) kept += e[i]->open_flags == (u32)flags[i];
    V(kept);
    for (; *cq_head != *cq_tail; ++*cq_head) {
        struct io_uring_cqe *c = &cqes[*cq_head & *cq_mask];
        if (c->res < 0) P("open %llu: %s\n", c->user_data, err(-c->res));
        else {
            struct stat st;
            fstat(c->res, &st);
            P("open %llu: directory %d, link %d, flags %#x\n", c->user_data, S_ISDIR(st.st_mode), S_ISLNK(st.st_mode), (int)R(SYS_fcntl, c->res, F_GETFL) & ~0x8000);
        }
    }
    for (int i = 0; i < 3; i++) {
        e[i] = next(IORING_OP_OPENAT2, AT_FDCWD, i ? "l" : "d", sizeof hows[i], (u64)&hows[i], i);
        e[i]->flags = IOSQE_IO_HARDLINK;
    }
    S(SYS_io_uring_enter, ring, 3, 3, IORING_ENTER_GETEVENTS, 0, 0);
    next(IORING_OP_OPENAT2, AT_FDCWD, "d", 8, (u64)&hows[0], 3);
    S(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0);
    next(IORING_OP_OPENAT2, AT_FDCWD, "d", sizeof hows[0], (u64)BAD, 4);
    S(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0);
    V(e[1]->off == (u64)&hows[1]);
    for (; *cq_head != *cq_tail; ++*cq_head) {
        struct io_uring_cqe *c = &cqes[*cq_head & *cq_mask];
        P("openat2 %llu: %s\n", c->user_data, c->res < 0 ? err(-c->res) : "opened");
    }
    int p[2], epoll = R(SYS_epoll_create1, 0);
    pipe(p);
    struct epoll_event in = {EPOLLOUT, {.u64 = 0x1122334455667788}}, out = {0};
    e[0] = next(IORING_OP_EPOLL_CTL, epoll, &in, EPOLL_CTL_ADD, p[1], 1);
    S(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0);
    V(e[0]->addr == (u64)&in);
    reap();
    S(SYS_epoll_wait, epoll, &out, 1, 0);
    P("%#x %#llx\n", out.events, (unsigned long long)out.data.u64);
    next(IORING_OP_EPOLL_CTL, epoll, BAD, EPOLL_CTL_MOD, p[1], 2);
    S(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0);
    next(IORING_OP_EPOLL_CTL, epoll, 0, EPOLL_CTL_DEL, p[1], 3);
    S(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0);
    reap();
    S(SYS_epoll_wait, epoll, &out, 1, 0);
    next(200, -1, 0, 0, 0, 5);
    S(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0);
    reap();
}
CASE(sockets) {
    make(8, 0);
    int p[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, p);
    char b[8] = "";
    next(IORING_OP_RECV, p[0], b, 8, 0, 1);
    S(SYS_io_uring_enter, ring, 1, 0, 0, 0, 0);
    next(IORING_OP_SEND, p[1], "hello", 5, 0, 2);
    S(SYS_io_uring_enter, ring, 1, 2, IORING_ENTER_GETEVENTS, 0, 0);
    int sum = 0;
    while (*cq_head != *cq_tail) sum += cqes[(*cq_head)++ & *cq_mask].res;
    V(sum);
    P("%s\n", b);
}
#endif
