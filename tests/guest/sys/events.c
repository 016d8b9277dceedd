/* Waiting: poll, select, epoll, eventfd, timerfd, futexes. */
#include "sys.h"
static int q[2];
CASE(poll_cases) { pipe(q); struct pollfd f[3] = {{q[0], POLLIN, 9}, {q[1], POLLOUT, 9}, {-1, POLLIN, 9}};
    S(SYS_poll, f, 3, 0); P("%d %d %d\n", f[0].revents, f[1].revents, f[2].revents); f[0].fd = 77;
    S(SYS_poll, f, 1, -1); V(f[0].revents); S(SYS_poll, BAD, 1, 0); S(SYS_poll, 0, 0, 0); S(SYS_poll, f, -1, 0);
    close(q[1]); f[0].fd = q[0]; S(SYS_poll, f, 1, -1); V(f[0].revents); S(SYS_poll, f, 0, 10); }
CASE(ppoll_cases) { pipe(q); struct pollfd f = {q[0], POLLIN, 0}; struct tsl t = {0, 1000};
    S(SYS_ppoll, &f, 1, &t, 0, 8L); P("%ld %ld\n", t.sec, t.nsec); t.nsec = -1; S(SYS_ppoll, &f, 1, &t, 0, 8L);
    t.nsec = 0; t.sec = -1; S(SYS_ppoll, &f, 1, &t, 0, 8L); t.sec = 0; u64 m = 0; S(SYS_ppoll, &f, 1, &t, &m, 4L);
    S(SYS_ppoll, &f, 1, &t, BAD, 8L); S(SYS_ppoll, &f, 1, BAD, 0, 8L); t.nsec = 1000000000;
    S(SYS_ppoll, &f, 1, &t, 0, 8L); }
CASE(ppoll_mask) { signal(SIGUSR1, (void (*)(int))abs); u64 m = 1 << 9; R(SYS_rt_sigprocmask, 0, &m, 0, 8L);
    raise(SIGUSR1); u64 none = 0; struct tsl t = {5, 0}; S(SYS_ppoll, 0, 0, &t, &none, 8L);
    R(SYS_rt_sigprocmask, 0, 0, &m, 8L); X(m); }
#ifdef __i386__
#define SELECT SYS__newselect
#else
#define SELECT SYS_select
#endif
CASE(select_cases) { pipe(q); fd_set r, w; FD_ZERO(&r); FD_ZERO(&w); FD_SET(q[0], &r); FD_SET(q[1], &w);
    long t[2] = {0, 0}; S(SELECT, q[1] + 1, &r, &w, 0, t);
    P("%d %d\n", FD_ISSET(q[0], &r) != 0, FD_ISSET(q[1], &w) != 0);
    /* The kernel looks no further than its table of descriptors is long, which depends on what was open before. */
    dup2(q[0], 300); FD_SET(77, &r); S(SELECT, 78, &r, 0, 0, t);
    S(SELECT, -1, 0, 0, 0, t); S(SELECT, 5, BAD, 0, 0, t); t[1] = -1; S(SELECT, 0, 0, 0, 0, t); t[1] = 2000000;
    t[0] = -5; S(SELECT, 0, 0, 0, 0, t); S(SELECT, 0, 0, 0, 0, BAD); t[0] = 0; t[1] = 1000; S(SELECT, 0, 0, 0, 0, t);
    P("%ld %ld\n", t[0], t[1]); }
CASE(pselect_cases) { pipe(q); fd_set r; FD_ZERO(&r); FD_SET(q[0], &r); struct tsl t = {0, 1000};
    S(SYS_pselect6, q[0] + 1, &r, 0, 0, &t, 0); P("%ld %d\n", t.nsec, FD_ISSET(q[0], &r) != 0); u64 m = 0; struct {
    void *p; unsigned long n; } s = {&m, 8}; S(SYS_pselect6, 0, 0, 0, 0, &t, &s); s.n = 4;
    S(SYS_pselect6, 0, 0, 0, 0, &t, &s); S(SYS_pselect6, 0, 0, 0, 0, &t, BAD); s.n = 8; s.p = BAD;
    S(SYS_pselect6, 0, 0, 0, 0, &t, &s); t.nsec = -1; S(SYS_pselect6, 0, 0, 0, 0, &t, 0); }
#ifdef __i386__
CASE(old_select_i386) { pipe(q); u32 r = 1u << q[1]; long t[2] = {0, 0}; u32 a[5] = {q[1] + 1, 0, (u32)&r, 0, (u32)t};
    S(SYS_select, a); P("%d\n", r == 1u << q[1]); S(SYS_select, BAD); }
CASE(time64_waits_i386) { struct ts64 t = {0, 1000}; S(414, 0, 0, &t, 0, 8L); P("%lld\n", t.nsec);
    t.nsec = 0x1000003e8LL; S(414, 0, 0, &t, 0, 8L); t.nsec = 1000; S(413, 0, 0, 0, 0, &t, 0); u32 f = 0; t.nsec = 1000;
    S(422, &f, 0, 0, &t); t.sec = -1; S(422, &f, 0, 0, &t); }
#endif
CASE(epoll_create_cases) { S(SYS_epoll_create, 0); S(SYS_epoll_create, -1); F(SYS_epoll_create, 1);
    S(SYS_epoll_create1, 1); int e = R(SYS_epoll_create1, O_CLOEXEC); S(SYS_fcntl, e, F_GETFD); }
CASE(epoll_ctl_cases) { pipe(q); int e = R(SYS_epoll_create1, 0);
    struct epoll_event v = {EPOLLIN, {.u64 = 0x123456789abcdefull}}; S(SYS_epoll_ctl, e, 1, q[0], &v);
    S(SYS_epoll_ctl, e, 1, q[0], &v); S(SYS_epoll_ctl, e, 3, q[1], &v); S(SYS_epoll_ctl, e, 2, q[1], 0);
    S(SYS_epoll_ctl, e, 9, q[1], &v); S(SYS_epoll_ctl, e, 1, e, &v); S(SYS_epoll_ctl, e, 1, 77, &v);
    S(SYS_epoll_ctl, 77, 1, q[1], &v); S(SYS_epoll_ctl, 1, 1, q[1], &v); S(SYS_epoll_ctl, e, 1, q[1], BAD);
    S(SYS_epoll_ctl, e, 1, file(""), &v); v.events = EPOLLIN | EPOLLEXCLUSIVE; S(SYS_epoll_ctl, e, 3, q[0], &v);
    S(SYS_epoll_ctl, e, 2, q[0], BAD); }
CASE(epoll_wait_cases) { pipe(q); int e = R(SYS_epoll_create1, 0);
    struct epoll_event v = {EPOLLIN, {.u64 = 0x123456789abcdefull}}, o[2]; R(SYS_epoll_ctl, e, 1, q[0], &v);
    S(SYS_epoll_wait, e, o, 2, 0); write(q[1], "x", 1); S(SYS_epoll_wait, e, o, 2, -1);
    P("%x %llx %d\n", o[0].events, (u64)o[0].data.u64, (int)sizeof v); S(SYS_epoll_wait, e, o, 0, 0);
    S(SYS_epoll_wait, e, o, -1, 0); S(SYS_epoll_wait, e, BAD, 2, 0); S(SYS_epoll_wait, 77, o, 2, 0);
    S(SYS_epoll_wait, 1, o, 2, 0); S(SYS_epoll_wait, e, o, 1 << 30, 0); close(q[1]); char c; read(q[0], &c, 1);
    S(SYS_epoll_wait, e, o, 2, -1); X(o[0].events); }
CASE(epoll_edge) { pipe(q); int e = R(SYS_epoll_create1, 0); struct epoll_event v = {EPOLLIN | EPOLLET, {.u64 = 1}}, o;
    R(SYS_epoll_ctl, e, 1, q[0], &v); write(q[1], "x", 1); S(SYS_epoll_wait, e, &o, 1, 0);
    S(SYS_epoll_wait, e, &o, 1, 0); write(q[1], "x", 1); S(SYS_epoll_wait, e, &o, 1, 0);
    v.events = EPOLLIN | EPOLLONESHOT; R(SYS_epoll_ctl, e, 3, q[0], &v); S(SYS_epoll_wait, e, &o, 1, 0);
    S(SYS_epoll_wait, e, &o, 1, 0); }
CASE(epoll_pwait_cases) { int e = R(SYS_epoll_create1, 0); struct epoll_event o; u64 m = 0;
    S(SYS_epoll_pwait, e, &o, 1, 0, &m, 8L); S(SYS_epoll_pwait, e, &o, 1, 0, &m, 4L);
    S(SYS_epoll_pwait, e, &o, 1, 0, BAD, 8L); struct ts64 t = {0, 1000}; S(441, e, &o, 1, &t, 0, 8L); t.nsec = -1;
    S(441, e, &o, 1, &t, 0, 8L); S(441, e, &o, 1, BAD, 0, 8L); }
CASE(epoll_nested) { int a = R(SYS_epoll_create1, 0), b = R(SYS_epoll_create1, 0); pipe(q);
    struct epoll_event v = {EPOLLIN, {.u64 = 1}}, o; S(SYS_epoll_ctl, a, 1, b, &v); S(SYS_epoll_ctl, b, 1, a, &v);
    S(SYS_epoll_ctl, b, 1, q[0], &v); write(q[1], "x", 1); S(SYS_epoll_wait, a, &o, 1, 0);
    struct pollfd f = {a, POLLIN, 0}; S(SYS_poll, &f, 1, 0); }
CASE(eventfd_cases) { int e = R(SYS_eventfd2, 3, O_NONBLOCK); u64 v; S(SYS_read, e, &v, 8); V(v); S(SYS_read, e, &v, 8);
    S(SYS_read, e, &v, 7); v = -1; S(SYS_write, e, &v, 8); v = -2; S(SYS_write, e, &v, 8); v = 1;
    S(SYS_write, e, &v, 8); S(SYS_write, e, &v, 7); S(SYS_write, e, BAD, 8); S(SYS_eventfd2, 0, 8);
    S(SYS_lseek, e, 0, 0); e = R(SYS_eventfd2, 2, 1); S(SYS_read, e, &v, 8); V(v); F(SYS_eventfd, 1); }
CASE(timerfd_cases) { int t = R(SYS_timerfd_create, 1, O_NONBLOCK); u64 v; S(SYS_read, t, &v, 8); struct {
    struct tsl i, v; } n = {{0, 0}, {0, 1000000}}, o; S(SYS_timerfd_settime, t, 0, &n, &o);
    P("%ld %ld\n", o.v.sec, o.v.nsec); struct pollfd f = {t, POLLIN, 0}; S(SYS_poll, &f, 1, 1000);
    S(SYS_read, t, &v, 8); V(v); S(SYS_timerfd_gettime, t, &o); P("%ld %ld\n", o.v.sec, o.v.nsec);
    n.v.nsec = 1000000000; S(SYS_timerfd_settime, t, 0, &n, 0); n.v.nsec = 0; S(SYS_timerfd_settime, t, 8, &n, 0);
    S(SYS_timerfd_settime, t, 0, BAD, 0); S(SYS_timerfd_gettime, t, BAD); S(SYS_timerfd_settime, 1, 0, &n, 0);
    S(SYS_timerfd_settime, 77, 0, &n, 0); S(SYS_timerfd_create, 99, 0); S(SYS_timerfd_create, 2, 0);
    S(SYS_timerfd_create, 1, 1); S(SYS_read, t, &v, 4); }
CASE(timerfd_absolute) { int t = R(SYS_timerfd_create, 1, 0); struct { struct tsl i, v; } n = {{0, 0}, {1, 0}};
    S(SYS_timerfd_settime, t, 1, &n, 0); u64 v; S(SYS_read, t, &v, 8); V(v); }
CASE(futex_wait_errors) { u32 f = 1; S(SYS_futex, &f, 0, 2, 0); struct tsl t = {0, 1000000}; S(SYS_futex, &f, 0, 1, &t);
    S(SYS_futex, (char *)&f + 1, 0, 1, &t); S(SYS_futex, BAD, 0, 1, &t); S(SYS_futex, &f, 0, 1, BAD); t.nsec = -1;
    S(SYS_futex, &f, 0, 1, &t); t.nsec = 1000000000; S(SYS_futex, &f, 0, 1, &t); S(SYS_futex, &f, 99, 1, 0); t.nsec = 1;
    S(SYS_futex, &f, 9, 1, &t, 0, 0); S(SYS_futex, &f, 9, 1, &t, 0, 1); S(SYS_futex, &f, 0x100, 1, &t); }
CASE(futex_wake_counts) { u32 f = 1; S(SYS_futex, &f, 1, 1); S(SYS_futex, &f, 1, 0); S(SYS_futex, &f, 10, 1, 0, 0, 0);
    S(SYS_futex, BAD, 1, 1); S(SYS_futex, (char *)&f + 2, 1, 1); u32 g = 5; S(SYS_futex, &f, 3, 1, 1, &g, 0);
    S(SYS_futex, &f, 4, 1, 1, &g, 1); S(SYS_futex, &f, 4, 1, 1, &g, 2); S(SYS_futex, &f, 3, -1, 1, &g, 0); }
CASE(futex_wake_op) { u32 f = 1, g = 5; S(SYS_futex, &f, 5, 1, 1, &g, (1 << 28) | (0 << 24) | (3 << 12) | 5); V(g);
    S(SYS_futex, &f, 5, 1, 1, &g, 0x70000000); S(SYS_futex, &f, 5, 1, 1, BAD, 0);
    S(SYS_futex, &f, 5, 1, 1, &g, (2 << 28) | (1 << 12)); V(g); }
CASE(futex_shared) { u32 *f = mmap(0, PAGE, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0); int pid = fork(); if (!pid) { long r;
    do { usleep(1000); r = R(SYS_futex, f, 1, 1); } while (r == 0); _exit(0); } S(SYS_futex, f, 0, 0, 0); wait(0); }
CASE(futex_pi) { u32 f = 0; S(SYS_futex, &f, 6, 0, 0); P("%d\n", f == (u32)gettid()); S(SYS_futex, &f, 6, 0, 0);
    S(SYS_futex, &f, 8, 0, 0); S(SYS_futex, &f, 7, 0); V(f); S(SYS_futex, &f, 7, 0); f = 99999999;
    S(SYS_futex, &f, 6, 0, 0); }
CASE(futex_waitv_cases) { u32 f = 1; struct { u64 val, addr; u32 flags, zero; }
    w[2] = {{1, (uintptr_t)&f, 2, 0}, {2, (uintptr_t)&f, 2, 0}}; S(449, w, 2, 0, 0, 0); struct ts64 t = {0, 1};
    S(449, w, 1, 0, &t, 1); S(449, w, 0, 0, 0, 0); S(449, w, 129, 0, 0, 0); S(449, BAD, 1, 0, 0, 0);
    S(449, w, 1, 1, 0, 0); S(449, w, 1, 0, &t, 99); w[0].zero = 1; S(449, w, 1, 0, &t, 1); }
CASE(futex2_calls) { u32 f = 1; S(454, &f, ~0L, 1, 2); S(454, &f, 0L, 1, 2); S(454, &f, ~0L, 1, 0xff00);
    S(455, &f, 2L, ~0L, 2, 0, 1); struct ts64 t = {0, 1}; S(455, &f, 1L, ~0L, 2, &t, 1); S(455, BAD, 1L, ~0L, 2, &t, 1);
    struct { u64 val, addr; u32 flags, zero; } w[2] = {{1, (uintptr_t)&f, 2, 0}, {1, (uintptr_t)&f, 2, 0}};
    S(456, w, 0, 1, 1); S(456, BAD, 0, 1, 1); }
CASE(robust_list) { struct { void *next; long off; void *pending; } h = {&h, 0, 0};
    S(SYS_set_robust_list, &h, sizeof h); S(SYS_set_robust_list, &h, 1L); void *p; long n = 0;
    S(SYS_get_robust_list, 0, &p, &n); P("%d %ld\n", p == &h, n == sizeof h); S(SYS_get_robust_list, 0, BAD, &n);
    S(SYS_get_robust_list, 99999999, &p, &n); }
CASE(robust_owner_died) { struct node { void *next; u32 word; }
    *m = mmap(0, PAGE, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0); CHILD({ static struct { void *next; long off;
    void *pending; } h; h.next = m; m->next = &h; h.off = offsetof(struct node, word); m->word = gettid();
    R(SYS_set_robust_list, &h, sizeof h); }); X(m->word & 0xc0000000); CHILD({ static struct { void *next; long off;
    void *pending; } h; h.next = m; m->next = &h; h.off = offsetof(struct node, word); m->word = gettid();
    R(SYS_set_robust_list, &h, sizeof h); raise(SIGKILL); }); }
