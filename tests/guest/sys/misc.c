/* Time, System V and POSIX messages, keys, asynchronous input and output, seccomp, landlock, and the rest. */
#include "sys.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/prctl.h>

CASE(clock_gettime_cases) { struct tsl t; static const int c[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, -1, 99};
    for (int i = 0; i < 15; i++) { P("%d ", c[i]); S(SYS_clock_gettime, c[i], &t); } S(SYS_clock_gettime, 0, BAD);
    S(SYS_clock_getres, 1, &t); P("%ld %ld\n", t.sec, t.nsec); S(SYS_clock_getres, 99, &t); S(SYS_clock_getres, 1, 0);
    S(SYS_clock_getres, 1, BAD); }
CASE(clock_of_process) { int c = (~getpid() << 3) | 2; struct tsl t; S(SYS_clock_gettime, c, &t);
    S(SYS_clock_gettime, (~99999999 << 3) | 2, &t); S(SYS_clock_gettime, (~gettid() << 3) | 6, &t); }
CASE(clock_settime_denied) { struct tsl t = {0, 0}; UNPRIVILEGED({ drop(); S(SYS_clock_settime, 0, &t);
    S(SYS_settimeofday, &t, 0); long x[2] = {0, 0}; S(SYS_settimeofday, 0, x); }); S(SYS_clock_settime, 1, &t);
    S(SYS_clock_settime, 0, BAD); t.nsec = -1; S(SYS_clock_settime, 0, &t); t.nsec = 2000000; t.sec = 1;
    struct tsl v = {0, 1000000}; S(SYS_settimeofday, &v, 0); }
CASE(time_cases) { long t = 0; P("%d\n", R(SYS_time, &t) == t); S(SYS_time, BAD); struct tsl v;
    S(SYS_gettimeofday, &v, 0); S(SYS_gettimeofday, BAD, 0); S(SYS_gettimeofday, 0, 0); S(SYS_gettimeofday, 0, BAD);
    u8 x[200]; memset(x, 0, 200); P("%d\n", R(SYS_adjtimex, x) >= 0); S(SYS_adjtimex, BAD); S(SYS_times, BAD); }
CASE(nanosleep_cases) { struct tsl t = {0, 1000}; S(SYS_nanosleep, &t, 0); t.nsec = -1; S(SYS_nanosleep, &t, 0);
    t.nsec = 1000000000; S(SYS_nanosleep, &t, 0); t.sec = -1; t.nsec = 0; S(SYS_nanosleep, &t, 0);
    S(SYS_nanosleep, BAD, 0); t.sec = 0; S(SYS_clock_nanosleep, 1, 1, &t, 0); S(SYS_clock_nanosleep, 99, 0, &t, 0);
    S(SYS_clock_nanosleep, 3, 0, &t, 0); S(SYS_clock_nanosleep, 1, 0, BAD, 0); S(SYS_clock_nanosleep, 1, 8, &t, 0); }
CASE(itimers) { struct tsl n[2] = {{5, 0}, {100, 500}}, o[2]; S(SYS_setitimer, 0, n, 0); S(SYS_setitimer, 0, n, o);
    P("%ld %d\n", o[0].sec, o[1].sec == 99 || o[1].sec == 100); S(SYS_getitimer, 0, o); P("%ld\n", o[0].sec);
    S(SYS_setitimer, 9, n, 0); S(SYS_getitimer, 9, o); S(SYS_setitimer, 0, BAD, 0); S(SYS_getitimer, 0, BAD);
    n[1].nsec = 1000000; S(SYS_setitimer, 0, n, 0); S(SYS_alarm, 10) ; S(SYS_alarm, 0); S(SYS_setitimer, 0, 0, o); }
CASE(posix_timers) { int id = -1; S(SYS_timer_create, 1, 0, &id); struct { struct tsl i, v; } n = {{0, 0}, {100, 0}}, o;
    S(SYS_timer_settime, id, 0, &n, 0); S(SYS_timer_gettime, id, &o); P("%d\n", o.v.sec == 99 || o.v.sec == 100);
    S(SYS_timer_getoverrun, id); n.v.nsec = -1; S(SYS_timer_settime, id, 0, &n, 0); S(SYS_timer_settime, 77, 0, &n, 0);
    S(SYS_timer_gettime, 77, &o); S(SYS_timer_settime, id, 0, BAD, 0); S(SYS_timer_settime, id, 0, 0, 0);
    S(SYS_timer_delete, id); S(SYS_timer_delete, id); S(SYS_timer_create, 99, 0, &id); S(SYS_timer_create, 1, BAD, &id);
    S(SYS_timer_create, 1, 0, BAD); }
static volatile int sig, val, cod;
static void on_timer(int s, siginfo_t *i, void *u) { sig = s; val = i->si_value.sival_int; cod = i->si_code; (void)u; }
CASE(posix_timer_signal) { struct sigaction a = {0}; a.sa_sigaction = on_timer; a.sa_flags = SA_SIGINFO;
    sigaction(40, &a, 0); struct sigevent e; memset(&e, 0, sizeof e); e.sigev_notify = SIGEV_SIGNAL; e.sigev_signo = 40;
    e.sigev_value.sival_int = 55; int id; S(SYS_timer_create, 1, &e, &id); struct { struct tsl i, v; }
    n = {{0, 0}, {0, 1000000}}; S(SYS_timer_settime, id, 0, &n, 0); while (!sig) usleep(1000);
    P("%d %d %d\n", sig, val, cod); e.sigev_signo = 99; S(SYS_timer_create, 1, &e, &id); e.sigev_notify = 77;
    S(SYS_timer_create, 1, &e, &id); e.sigev_notify = SIGEV_THREAD_ID; e.sigev_signo = 40;
    S(SYS_timer_create, 1, &e, &id); e.sigev_notify = SIGEV_NONE; S(SYS_timer_create, 1, &e, &id); }
#ifdef __i386__
CASE(stime_i386) { long t = 5; UNPRIVILEGED({ drop(); S(SYS_stime, &t); }); S(SYS_stime, BAD); }
CASE(clock64_i386) { struct ts64 t; S(403, 0, &t); P("%d\n", t.sec > 1600000000); S(403, 0, BAD); S(406, 1, &t);
    P("%lld\n", t.nsec); t.sec = 0; t.nsec = 1000; S(407, 1, 0, &t, 0); t.nsec = 1000000000; S(407, 1, 0, &t, 0);
    u8 x[300]; memset(x, 0, 300); P("%d\n", R(405, 0, x) >= 0); struct { struct ts64 i, v; } n = {{0, 0}, {0, 1000}};
    int f = R(SYS_timerfd_create, 1, 0); S(411, f, 0, &n, 0); S(410, f, &n); int id; R(SYS_timer_create, 1, 0, &id);
    n.v.sec = 0x100000000LL; S(409, id, 0, &n, 0); S(408, id, &n); P("%d\n", n.v.sec >= 0xffffffffLL); struct {
    struct tsl i, v; } o; S(SYS_timer_gettime, id, &o); }
#endif

#ifdef __i386__
#define IPC(nr, call, ...) SYS_ipc, call, ##__VA_ARGS__
#endif
CASE(msg_queues) { int m = R(SYS_msgget, 0, 01600); P("%d\n", m >= 0); struct { long t; char d[16]; } b = {5, "hello"};
#ifndef __i386__
    S(SYS_msgsnd, m, &b, 5L, 0); b.t = 7; S(SYS_msgsnd, m, &b, 3L, 0); b.t = 0; S(SYS_msgsnd, m, &b, 3L, 0); S(SYS_msgsnd, m, BAD, 3L, 0); S(SYS_msgsnd, m, &b, -1L, 0); memset(&b, 0, sizeof b); S(SYS_msgrcv, m, &b, 16L, 7L, 0); P("%ld %.3s\n", b.t, b.d); S(SYS_msgrcv, m, &b, 2L, 0L, 0); S(SYS_msgrcv, m, &b, 2L, 0L, 010000); P("%.2s\n", b.d); S(SYS_msgrcv, m, &b, 2L, 0L, 04000); S(SYS_msgrcv, m, &b, -1L, 0L, 04000); S(SYS_msgrcv, 99999, &b, 2L, 0L, 04000);
#else
    S(SYS_ipc, 11, m, 5, 0, &b); b.t = 7; S(SYS_ipc, 11, m, 3, 0, &b); b.t = 0; S(SYS_ipc, 11, m, 3, 0, &b); S(SYS_ipc, 11, m, 3, 0, BAD); memset(&b, 0, sizeof b); struct { void *p; long t; } k = {&b, 7}; S(SYS_ipc, 12, m, 16, 0, &k); P("%ld %.3s\n", b.t, b.d); S(SYS_ipc, 12 | 0x10000, m, 2, 0, &b, 0); S(SYS_ipc, 12 | 0x10000, m, 2, 010000, &b, 0); P("%.2s\n", b.d); S(SYS_ipc, 12, m, 2, 04000, 0); S(SYS_ipc, 12, m, 2, 04000, &k); S(SYS_ipc, 99, 0, 0, 0, 0);
#endif
    struct msqid_ds d; P("%d\n", msgctl(m, IPC_STAT, &d)); P("%d %d %o\n", (int)d.msg_qnum, (int)d.msg_qbytes, d.msg_perm.mode); d.msg_qbytes = 100; P("%d\n", msgctl(m, IPC_SET, &d)); S(SYS_msgctl, m, 99 | (sizeof(long) == 4 ? 0x100 : 0), &d); P("%d\n", msgctl(m, IPC_RMID, 0)); P("%d %s\n", msgctl(m, IPC_STAT, &d), err(errno)); S(SYS_msgget, 0x12345, 0); }
CASE(semaphores) { int s = R(SYS_semget, 0, 3, 01600); P("%d\n", s >= 0); struct sembuf o[2] = {{0, 5, 0}, {1, 2, 0}};
    P("%d\n", semop(s, o, 2)); P("%d %d\n", semctl(s, 0, GETVAL), semctl(s, 1, GETVAL)); o[0].sem_op = -6;
    o[0].sem_flg = IPC_NOWAIT; P("%d %s\n", semop(s, o, 1), err(errno)); o[0].sem_num = 9;
    P("%d %s\n", semop(s, o, 1), err(errno)); P("%d %s\n", semop(s, o, 0), err(errno));
    P("%d %s\n", semop(s, (void *)BAD, 1), err(errno)); struct timespec t = {0, 1000000};
    o[0] = (struct sembuf){2, -1, 0}; P("%d %s\n", semtimedop(s, o, 1, &t), err(errno)); u16 all[3] = {7, 8, 9}; union {
    int v; void *p; } u = {.p = all}; P("%d\n", semctl(s, 0, SETALL, u)); P("%d\n", semctl(s, 2, GETVAL));
    memset(all, 0, 6); V(semctl(s, 0, GETALL, u)); V(all[1]); struct semid_ds d; u.p = &d; V(semctl(s, 0, IPC_STAT, u));
    V(d.sem_nsems); u.v = 99999; P("%d %s\n", semctl(s, 0, SETVAL, u), err(errno));
    P("%d %d\n", semctl(s, 0, GETPID) == getpid(), semctl(s, 0, GETNCNT)); P("%d\n", semctl(s, 0, IPC_RMID));
    P("%d %s\n", semop(s, o, 1), err(errno)); S(SYS_semget, 0, 0, 01600); S(SYS_semget, 0, -1, 01600); }
CASE(semaphore_undo) { int s = R(SYS_semget, 0, 1, 01600); CHILD({ struct sembuf o = {0, 3, SEM_UNDO}; semop(s, &o, 1);
    V(semctl(s, 0, GETVAL)); }); V(semctl(s, 0, GETVAL)); semctl(s, 0, IPC_RMID); }
CASE(shared_memory) { int m = R(SYS_shmget, 0, 5000, 01600); P("%d\n", m >= 0);
    char *a = shmat(m, 0, 0), *b = shmat(m, 0, SHM_RDONLY); P("%d\n", a != b); a[4999] = 7; V(b[4999]); V(b[8191]);
    CHILD(b[0] = 1); CHILD(a[0] = 9); V(b[0]); struct shmid_ds d; V(shmctl(m, IPC_STAT, &d)); V(d.shm_segsz);
    V(d.shm_nattch); P("%d\n", shmdt(b)); P("%d %s\n", shmdt(b), err(errno)); P("%d %s\n", shmdt(a + 4096), err(errno));
    P("%d\n", shmctl(m, IPC_RMID, 0)); V(a[0]); P("%ld %s\n", (long)shmat(m, a + 1, 0), err(errno));
    P("%d\n", shmdt(a)); P("%ld %s\n", (long)shmat(m, 0, 0), err(errno)); S(SYS_shmget, 0, 0, 01600);
    S(SYS_shmget, 0x777, 10, 0); }
CASE(shared_memory_at) { int m = R(SYS_shmget, 0, 4096, 01600); char *p = pages(2);
    P("%d\n", (char *)shmat(m, p, 0) == p); P("%d\n", (char *)shmat(m, p, SHM_REMAP) == p);
    P("%d\n", (char *)shmat(m, p + 5, SHM_RND | SHM_REMAP) == p); shmctl(m, IPC_RMID, 0); }
CASE(posix_queues) { struct { long f, max, size, cur, r[4]; } a = {0, 2, 8, 0}, o; R(SYS_mq_unlink, "demotic-case");
    int q = R(SYS_mq_open, "demotic-case", O_CREAT | O_RDWR | O_NONBLOCK | O_EXCL, 0600, &a); P("%d\n", q >= 0);
    S(SYS_mq_open, "demotic-case", O_CREAT | O_RDWR | O_EXCL, 0600, &a); S(SYS_mq_timedsend, q, "abc", 3L, 5, 0);
    S(SYS_mq_timedsend, q, "de", 2L, 9, 0); S(SYS_mq_timedsend, q, "x", 1L, 9, 0);
    S(SYS_mq_timedsend, q, "123456789", 9L, 1, 0); S(SYS_mq_timedsend, q, "x", 1L, 40000, 0); char b[8] = "";
    u32 pr = 0; S(SYS_mq_timedreceive, q, b, 8L, &pr, 0); P("%s %d\n", b, pr); S(SYS_mq_timedreceive, q, b, 4L, &pr, 0);
    S(SYS_mq_getsetattr, q, 0, &o); P("%lx %ld %ld %ld\n", o.f, o.max, o.size, o.cur); a.f = 0;
    S(SYS_mq_getsetattr, q, &a, &o); P("%lx\n", o.f); struct tsl t = {0, 0}; S(SYS_mq_timedreceive, q, b, 8L, 0, &t);
    S(SYS_mq_timedreceive, q, b, 8L, 0, &t); t.nsec = -1; S(SYS_mq_timedreceive, q, b, 8L, 0, &t);
    S(SYS_mq_timedreceive, q, BAD, 8L, 0, &t); S(SYS_mq_unlink, "demotic-case"); S(SYS_mq_unlink, "demotic-case");
    S(SYS_mq_open, "none", O_RDWR, 0, 0); S(SYS_mq_open, "/x", O_RDWR, 0, 0); S(SYS_mq_unlink, BAD);
    S(SYS_mq_timedsend, 1, "x", 1L, 0, 0); }
CASE(posix_queue_notify) { R(SYS_mq_unlink, "demotic-case2");
    int q = R(SYS_mq_open, "demotic-case2", O_CREAT | O_RDWR, 0600, 0); struct sigaction a = {0};
    a.sa_sigaction = on_timer; a.sa_flags = SA_SIGINFO; sigaction(SIGUSR1, &a, 0); struct sigevent e;
    memset(&e, 0, sizeof e); e.sigev_signo = SIGUSR1; e.sigev_value.sival_int = 44; S(SYS_mq_notify, q, &e);
    S(SYS_mq_notify, q, &e); S(SYS_mq_timedsend, q, "x", 1L, 0, 0); P("%d %d %d\n", sig, val, cod);
    S(SYS_mq_notify, q, &e); S(SYS_mq_notify, q, 0); e.sigev_notify = 99; S(SYS_mq_notify, q, &e);
    S(SYS_mq_notify, 1, 0); R(SYS_mq_unlink, "demotic-case2"); }

CASE(keys) { int k = R(SYS_add_key, "user", "demotic:case", "secret", 6L, -2); if (k < 0) { P("%s\n", err(errno));
    return; } char b[16] = ""; S(SYS_keyctl, 11, k, b, 16L, 0L); P("%s\n", b); S(SYS_keyctl, 11, k, b, 3L, 0L);
    P("%d\n", R(SYS_keyctl, 10, -2, "user", "demotic:case", 0L) == k); S(SYS_keyctl, 2, k, "other", 5L, 0L);
    S(SYS_keyctl, 11, k, b, 16L, 0L); char d[64] = ""; P("%d\n", R(SYS_keyctl, 6, k, d, 64L, 0L) > 10); P("%.5s\n", d);
    S(SYS_keyctl, 3, k, 0L, 0L, 0L); S(SYS_keyctl, 11, k, b, 16L, 0L); S(SYS_keyctl, 999, 0L, 0L, 0L, 0L);
    S(SYS_add_key, "nokind", "x", "y", 1L, -2); S(SYS_add_key, BAD, "x", "y", 1L, -2);
    S(SYS_add_key, "user", "x", "y", 1L, 99999999); S(SYS_keyctl, 11, 99999999, b, 16L, 0L);
    S(SYS_request_key, "user", "demotic:none", 0L, -2); }
CASE(key_expiry) { int k = R(SYS_add_key, "user", "demotic:two", "x", 1L, -2); if (k < 0) { P("%s\n", err(errno));
    return; } S(SYS_keyctl, 5, k, 0x3f3f0000L, 0L, 0L); S(SYS_keyctl, 15, k, 1000L, 0L, 0L);
    S(SYS_keyctl, 4, k, -1L, -1L, 0L); S(SYS_keyctl, 9, k, -2L, 0L, 0L); S(SYS_keyctl, 7, -2L, 0L, 0L, 0L);
    S(SYS_keyctl, 21, k, 0L, 0L, 0L); }

#ifndef __i386__
CASE(aio_x86_64) { unsigned long c = 0; S(SYS_io_setup, 4, &c); int fd = file("0123456789"); char b[8] = ""; struct {
    u64 data; u32 key, rw; u16 op, prio; u32 fd; u64 buf, n; s64 off; u64 r2; u32 flags, resfd; }
    i = {7, 0, 0, 0, 0, fd, (uintptr_t)b, 4, 3}, *l[1] = {&i}; S(SYS_io_submit, c, 1L, l); struct { u64 data, obj;
    s64 res, res2; } e[2]; S(SYS_io_getevents, c, 1L, 2L, e, 0); P("%lld %lld %s\n", e[0].data, e[0].res, b); i.op = 99;
    S(SYS_io_submit, c, 1L, l); i.op = 0; i.fd = 77; S(SYS_io_submit, c, 1L, l); S(SYS_io_submit, c, -1L, l);
    S(SYS_io_submit, c, 0L, l); S(SYS_io_submit, c, 1L, BAD); S(SYS_io_submit, 0L, 1L, l); struct tsl t = {0, 0};
    S(SYS_io_getevents, c, 1L, 2L, e, &t); S(SYS_io_getevents, c, 3L, 2L, e, &t);
    S(SYS_io_pgetevents, c, 0L, 2L, e, &t, 0); S(SYS_io_cancel, c, &i, e); S(SYS_io_destroy, c); S(SYS_io_destroy, c);
    S(SYS_io_setup, 0, &c); S(SYS_io_setup, 4, BAD); }
#endif

#define DENY(nr, what) {BPF_LD | BPF_W | BPF_ABS, 0, 0, 0}, {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, nr}, {BPF_RET | BPF_K, 0, 0, what}, {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}
static long filter(struct sock_filter *f, int n) { struct sock_fprog g = {n, f}; prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return R(SYS_seccomp, 1, 0, &g); }
CASE(seccomp_errno) { struct sock_filter f[] = {DENY(SYS_getppid, SECCOMP_RET_ERRNO | 55)}; CHILD({ V(filter(f, 4));
    S(SYS_getppid); S(SYS_umask, 0); V(prctl(PR_GET_SECCOMP)); }); }
CASE(seccomp_errno_large) { struct sock_filter f[] = {DENY(SYS_getppid, SECCOMP_RET_ERRNO | 0xffff)}; CHILD({
    filter(f, 4); S(SYS_getppid); }); struct sock_filter z[] = {DENY(SYS_getppid, SECCOMP_RET_ERRNO)}; CHILD({
    filter(z, 4); S(SYS_getppid); }); }
CASE(seccomp_kill) { struct sock_filter f[] = {DENY(SYS_getppid, SECCOMP_RET_KILL_PROCESS)}; CHILD({ filter(f, 4);
    S(SYS_getppid); }); struct sock_filter t[] = {DENY(SYS_getppid, SECCOMP_RET_KILL_THREAD)}; CHILD({ filter(t, 4);
    S(SYS_getppid); }); struct sock_filter u[] = {DENY(SYS_getppid, 0x12340000)}; CHILD({ filter(u, 4); S(SYS_getppid);
    }); }
static void on_sys(int s, siginfo_t *i, void *u) {
    P("%d code %d errno %d nr %d arch %x\n", s, i->si_code, i->si_errno, i->si_syscall == SYS_getppid, i->si_arch);
    (void)u; }
CASE(seccomp_trap) { struct sock_filter f[] = {DENY(SYS_getppid, SECCOMP_RET_TRAP | 33)}; CHILD({
    struct sigaction a = {0}; a.sa_sigaction = on_sys; a.sa_flags = SA_SIGINFO; sigaction(SIGSYS, &a, 0); filter(f, 4);
    P("%d\n", R(SYS_getppid) == SYS_getppid || errno); }); CHILD({ filter(f, 4); S(SYS_getppid); }); }
CASE(seccomp_trace_untraced) { struct sock_filter f[] = {DENY(SYS_getppid, SECCOMP_RET_TRACE)}; CHILD({ filter(f, 4);
    S(SYS_getppid); }); struct sock_filter l[] = {DENY(SYS_getppid, SECCOMP_RET_LOG)}; CHILD({ filter(l, 4);
    P("%d\n", R(SYS_getppid) > 0); }); }
CASE(seccomp_arguments) {
    struct sock_filter f[] = {{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0}, {BPF_JMP | BPF_JEQ | BPF_K, 0, 3, SYS_umask}, {BPF_LD
        | BPF_W | BPF_ABS, 0, 0, 16}, {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 077}, {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO
        | 99}, {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}}; CHILD({ V(filter(f, 6)); S(SYS_umask, 022);
    S(SYS_umask, 077); S(SYS_umask, 022); }); }
CASE(seccomp_arch) {
    struct sock_filter f[] = {{BPF_LD | BPF_W | BPF_ABS, 0, 0, 4}, {BPF_ALU | BPF_AND | BPF_K, 0, 0, 0xff}, {BPF_ALU |
        BPF_OR | BPF_K, 0, 0, SECCOMP_RET_ERRNO}, {BPF_MISC | BPF_TAX, 0, 0, 0}, {BPF_LD | BPF_W | BPF_ABS, 0, 0, 0},
        {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, SYS_getppid}, {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}, {BPF_MISC | BPF_TXA,
        0, 0, 0}, {BPF_RET | BPF_A, 0, 0, 0}}; CHILD({ V(filter(f, 9)); S(SYS_getppid); }); }
CASE(seccomp_stacked) {
    struct sock_filter f[] = {DENY(SYS_getppid, SECCOMP_RET_ERRNO | 5)}, g[] = {DENY(SYS_getppid, SECCOMP_RET_ERRNO |
        7)}, h[] = {DENY(SYS_getppid, SECCOMP_RET_KILL_PROCESS)}; CHILD({ filter(f, 4); filter(g, 4); S(SYS_getppid);
    CHILD({ S(SYS_getppid); filter(h, 4); S(SYS_getppid); }); S(SYS_getppid); }); }
CASE(seccomp_inherited) {
    struct sock_filter f[] = {DENY(SYS_mkdir, SECCOMP_RET_ERRNO | EPERM)}, g[] = {DENY(SYS_mkdirat, SECCOMP_RET_ERRNO |
        EPERM)}; CHILD({ filter(f, 4); filter(g, 4);
    execl("/bin/sh", "sh", "-c", "mkdir d 2>/dev/null && echo made; grep Seccomp: /proc/self/status", (char *)0); }); }
CASE(seccomp_strict) { CHILD({ int v = prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    if (write(1, "still\n", 6) != 6) v = 5; syscall(SYS_exit, v); }); CHILD({
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT); syscall(SYS_getppid); }); CHILD({ S(SYS_seccomp, 0, 1, 0);
    S(SYS_seccomp, 0, 0, 1L); S(SYS_seccomp, 0, 0, 0); }); }
CASE(seccomp_errors) { struct sock_filter f[] = {DENY(SYS_getppid, SECCOMP_RET_ERRNO | 5)};
    struct sock_fprog g = {4, f}; S(SYS_seccomp, 99, 0, 0); S(SYS_seccomp, 1, 0, BAD); S(SYS_seccomp, 1, 0x8000, &g);
    g.len = 0; S(SYS_seccomp, 1, 0, &g); g.len = 5000; S(SYS_seccomp, 1, 0, &g); g.len = 3; S(SYS_seccomp, 1, 0, &g);
    g.len = 4; f[0].k = 2; S(SYS_seccomp, 1, 0, &g); f[0].k = 400; S(SYS_seccomp, 1, 0, &g); f[0].code = 0x28;
    f[0].k = 0; S(SYS_seccomp, 1, 0, &g); UNPRIVILEGED({ drop(); f[0].code = 0x20; S(SYS_seccomp, 1, 0, &g); });
    V(prctl(PR_GET_SECCOMP)); V(prctl(PR_SET_SECCOMP, 9)); u32 a = SECCOMP_RET_TRAP; S(SYS_seccomp, 2, 0, &a);
    a = 0x1230000; S(SYS_seccomp, 2, 0, &a); S(SYS_seccomp, 2, 1, &a); S(SYS_seccomp, 2, 0, BAD); u16 sizes[3] = {0};
    S(SYS_seccomp, 3, 0, sizes); P("%d %d %d\n", sizes[0], sizes[1], sizes[2]); }
CASE(landlock) { long v = R(444, 0, 0L, 1); P("%d\n", v > 0 || errno == EOPNOTSUPP || errno == ENOSYS);
    if (v <= 0) return; u64 a = 1ull << 3; int r = R(444, &a, 8L, 0); P("%d\n", r >= 0); S(444, &a, 4L, 0);
    S(444, BAD, 8L, 0); S(445, r, 1, BAD, 0); S(445, 77, 1, &a, 0); S(445, r, 9, &a, 0); S(446, 77, 0);
    mkdir("d", 0755); CHILD({ prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); S(446, r, 0); S(SYS_open, ".", O_RDONLY); }); }
CASE(membarrier) { P("%d\n", R(SYS_membarrier, 0, 0, 0) > 0); S(SYS_membarrier, 1, 0, 0); S(SYS_membarrier, 8, 0, 0);
    S(SYS_membarrier, 16, 0, 0); S(SYS_membarrier, 8, 0, 0); S(SYS_membarrier, 99 << 10, 0, 0);
    S(SYS_membarrier, 0, 1, 0); }
CASE(io_uring_and_bpf_refused) { long r = R(425, 0, BAD); P("%d\n", r == -1); r = R(SYS_bpf, 999, 0, 0);
    P("%d\n", r == -1); r = R(SYS_perf_event_open, BAD, 0, -1, -1, 0L); P("%d\n", r == -1); }
CASE(lsm_calls) { u64 ids[8]; u32 n = sizeof ids; long r = R(461, ids, &n, 1); P("%d\n", r == -1);
    r = R(459, 99, ids, &n, 0); P("%d\n", r == -1); }
CASE(module_calls_denied) { UNPRIVILEGED({ drop(); S(SYS_delete_module, "none", 0); S(SYS_init_module, BAD, 0L, "");
    S(SYS_finit_module, 77, "", 0); S(SYS_kexec_load, 0L, 0L, 0, 0L); }); }
