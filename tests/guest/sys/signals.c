/* Sending, blocking, waiting for and handling signals. */
#include "sys.h"
#include <sys/signalfd.h>
#include <ucontext.h>

#ifdef __i386__
struct kact { void *handler; unsigned long flags; void *restorer; u64 mask; };
#else
struct kact { void *handler; unsigned long flags; void *restorer; u64 mask; };
#endif
static volatile int got, code, value;
static void count_it(int s) { got++; (void)s; }
static void with_info(int s, siginfo_t *i, void *u) { got = s; code = i->si_code; value = i->si_value.sival_int;
    (void)u; }
static void handle(int s, void *h, int flags) { struct sigaction a = {0}; a.sa_handler = h; a.sa_flags = flags;
    sigaction(s, &a, 0); }
static u64 bit(int s) { return 1ull << (s - 1); }
static void block(u64 m) { R(SYS_rt_sigprocmask, SIG_BLOCK, &m, 0, 8L); }

CASE(sigaction_errors) { struct kact a = {0}; S(SYS_rt_sigaction, 0, &a, 0, 8L); S(SYS_rt_sigaction, 65, &a, 0, 8L);
    S(SYS_rt_sigaction, SIGKILL, &a, 0, 8L); S(SYS_rt_sigaction, SIGSTOP, &a, 0, 8L);
    S(SYS_rt_sigaction, SIGKILL, 0, &a, 8L); S(SYS_rt_sigaction, SIGUSR1, BAD, 0, 8L);
    S(SYS_rt_sigaction, SIGUSR1, 0, BAD, 8L); S(SYS_rt_sigaction, SIGUSR1, &a, 0, 4L);
    S(SYS_rt_sigaction, 64, &a, 0, 8L); }
CASE(sigaction_kept) { struct kact a = {(void *)0x1234, 0x54000004, (void *)0x99, ~0ull}, b = {0};
    S(SYS_rt_sigaction, SIGUSR1, &a, 0, 8L); S(SYS_rt_sigaction, SIGUSR1, 0, &b, 8L);
    P("%p %lx %p %llx\n", b.handler, b.flags, b.restorer, b.mask); }
CASE(sigaction_unknown_flags) { struct kact a = {SIG_IGN, 0x3f2, 0, 0}, b = {0};
    R(SYS_rt_sigaction, SIGUSR1, &a, 0, 8L); R(SYS_rt_sigaction, SIGUSR1, 0, &b, 8L); X(b.flags & ~0x04000000ul); }
CASE(sigprocmask_cases) { u64 m = ~0ull, o = 0; S(SYS_rt_sigprocmask, SIG_SETMASK, &m, &o, 8L); X(o);
    S(SYS_rt_sigprocmask, 9, 0, &o, 8L); X(o); S(SYS_rt_sigprocmask, 9, &m, &o, 8L);
    S(SYS_rt_sigprocmask, 0, &m, 0, 4L); S(SYS_rt_sigprocmask, 0, BAD, 0, 8L); S(SYS_rt_sigprocmask, 0, 0, BAD, 8L);
    m = bit(SIGUSR1); S(SYS_rt_sigprocmask, SIG_UNBLOCK, &m, 0, 8L); R(SYS_rt_sigprocmask, 0, 0, &o, 8L); X(o); }
CASE(sigpending_cases) { block(bit(SIGUSR1) | bit(40)); raise(SIGUSR1); raise(SIGUSR1); raise(40); u64 m = 0;
    S(SYS_rt_sigpending, &m, 8L); X(m); S(SYS_rt_sigpending, &m, 16L); S(SYS_rt_sigpending, BAD, 8L);
    u32 h[2] = {0, 0x77}; S(SYS_rt_sigpending, h, 4L); X(h[1]); }
CASE(kill_cases) { S(SYS_kill, getpid(), 0); S(SYS_kill, getpid(), 65); S(SYS_kill, getpid(), -1);
    S(SYS_kill, 99999999, 0); S(SYS_kill, -99999999, 0); S(SYS_kill, (long)INT_MIN, 0); UNPRIVILEGED({ drop();
    S(SYS_kill, getppid(), 0); S(SYS_kill, getppid(), SIGURG); }); }
CASE(tkill_cases) { S(SYS_tkill, 0, 0); S(SYS_tkill, -1, 0); S(SYS_tkill, gettid(), 65);
    S(SYS_tgkill, getpid(), gettid(), 0); S(SYS_tgkill, getpid(), 99999999, 0); S(SYS_tgkill, 0, gettid(), 0);
    S(SYS_tgkill, getpid() + 1, gettid(), 0); }
CASE(kill_default) {
    static const int s[] = {1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 23, 24, 25, 26, 27, 28, 29, 30,
        31, 34, 64}; for (int i = 0; i < 28; i++) { struct rlimit l = {0, 0}; setrlimit(RLIMIT_CORE, &l); CHILD({
    raise(s[i]); }); } }
CASE(handler_order) { handle(40, count_it, 0); handle(SIGUSR1, count_it, 0); block(bit(40) | bit(SIGUSR1)); raise(40);
    raise(40); raise(SIGUSR1); raise(SIGUSR1); u64 m = 0; got = 0; R(SYS_rt_sigprocmask, SIG_SETMASK, &m, 0, 8L);
    V(got); }
static void nested(int s) { P("in %d\n", s); if (s == SIGUSR1) { raise(SIGUSR2); raise(SIGUSR1); } P("out %d\n", s);
    if (got++ > 4) _exit(1); signal(SIGUSR1, count_it); }
CASE(handler_nested) { handle(SIGUSR1, nested, 0); handle(SIGUSR2, nested, 0); raise(SIGUSR1); }
CASE(handler_mask) { struct sigaction a = {0}; a.sa_handler = nested; sigaddset(&a.sa_mask, SIGUSR2);
    sigaction(SIGUSR1, &a, 0); handle(SIGUSR2, nested, 0); raise(SIGUSR1); }
CASE(handler_reset) { handle(SIGUSR1, count_it, SA_RESETHAND); raise(SIGUSR1); struct sigaction a;
    sigaction(SIGUSR1, 0, &a); P("%d %d\n", got, a.sa_handler == SIG_DFL); CHILD({ raise(SIGUSR1); }); }
CASE(handler_nodefer) { handle(SIGUSR1, nested, SA_NODEFER); raise(SIGUSR1); }
CASE(sigqueue_value) { handle(40, with_info, SA_SIGINFO); siginfo_t i = {0}; i.si_code = SI_QUEUE; i.si_pid = 5;
    i.si_value.sival_int = 77; S(SYS_rt_sigqueueinfo, getpid(), 40, &i); P("%d %d %d\n", got, code, value);
    i.si_code = 1; S(SYS_rt_sigqueueinfo, getppid(), 40, &i); i.si_code = SI_USER;
    S(SYS_rt_sigqueueinfo, getppid(), 0, &i); S(SYS_rt_sigqueueinfo, getpid(), 40, BAD);
    S(SYS_rt_sigqueueinfo, getpid(), 65, &i); S(SYS_rt_tgsigqueueinfo, getpid(), gettid(), 40, &i);
    P("%d %d\n", got, code); S(SYS_rt_tgsigqueueinfo, 0, gettid(), 40, &i); }
CASE(siginfo_of_kill) { handle(SIGUSR1, with_info, SA_SIGINFO); R(SYS_kill, getpid(), SIGUSR1); P("%d %d\n", got, code);
    R(SYS_tkill, gettid(), SIGUSR1); P("%d %d\n", got, code); }
static void child_info(int s, siginfo_t *i, void *u) {
    P("%d code %d status %d own %d\n", s, i->si_code, i->si_status, i->si_uid == getuid()); got++; (void)u; }
CASE(siginfo_of_child) { handle(SIGCHLD, child_info, SA_SIGINFO); int pid = fork(); if (!pid) _exit(5);
    while (!got) usleep(1000); waitpid(pid, 0, 0); got = 0; pid = fork(); if (!pid) { raise(SIGKILL); }
    while (!got) usleep(1000); waitpid(pid, 0, 0); }
CASE(sigchld_nocldstop) { handle(SIGCHLD, child_info, SA_SIGINFO); int st, pid = fork(); if (!pid) { raise(SIGSTOP);
    for (;;) pause(); } waitpid(pid, &st, WUNTRACED); while (!got) usleep(1000); kill(pid, SIGCONT);
    while (got < 2) usleep(1000); kill(pid, SIGKILL); while (got < 3) usleep(1000); waitpid(pid, 0, 0);
    handle(SIGCHLD, child_info, SA_SIGINFO | SA_NOCLDSTOP); got = 0; pid = fork(); if (!pid) { raise(SIGSTOP); _exit(0);
    } waitpid(pid, &st, WUNTRACED); kill(pid, SIGCONT); while (!got) usleep(1000); V(got); waitpid(pid, 0, 0); }
CASE(sigchld_ignored) { signal(SIGCHLD, SIG_IGN); int pid = fork(); if (!pid) _exit(5);
    S(SYS_wait4, pid * 0 - 1, 0, 0, 0); handle(SIGCHLD, SIG_DFL, SA_NOCLDWAIT); pid = fork(); if (!pid) _exit(5);
    S(SYS_wait4, -1, 0, 0, 0); }
CASE(sigsuspend_returns) { handle(SIGUSR1, count_it, 0); block(bit(SIGUSR1)); raise(SIGUSR1); u64 m = 0;
    S(SYS_rt_sigsuspend, &m, 8L); V(got); R(SYS_rt_sigprocmask, 0, 0, &m, 8L); X(m); S(SYS_rt_sigsuspend, &m, 4L);
    S(SYS_rt_sigsuspend, BAD, 8L); }
CASE(pause_returns) { handle(SIGALRM, count_it, SA_RESTART); struct itimerval t = {{0, 200000}, {0, 20000}};
    /* Again and again: on a slow machine the first one comes before the call. */
    setitimer(ITIMER_REAL, &t, 0); S(SYS_pause); V(got > 0); }
CASE(sigtimedwait_cases) { u64 m = bit(SIGUSR1); block(m); struct tsl t = {0, 0}; siginfo_t i;
    S(SYS_rt_sigtimedwait, &m, &i, &t, 8L); raise(SIGUSR1); memset(&i, 0, sizeof i);
    S(SYS_rt_sigtimedwait, &m, &i, &t, 8L); P("%d %d %d\n", i.si_signo, i.si_code, i.si_pid == getpid());
    S(SYS_rt_sigtimedwait, BAD, 0, &t, 8L); S(SYS_rt_sigtimedwait, &m, 0, BAD, 8L); t.nsec = -1;
    S(SYS_rt_sigtimedwait, &m, 0, &t, 8L); t.nsec = 1000000000; S(SYS_rt_sigtimedwait, &m, 0, &t, 8L); t.nsec = 0;
    S(SYS_rt_sigtimedwait, &m, 0, &t, 4L); raise(SIGUSR1); S(SYS_rt_sigtimedwait, &m, BAD, &t, 8L); }
CASE(sigtimedwait_order) { u64 m = bit(40) | bit(41) | bit(SIGUSR1) | bit(SIGSEGV); block(m); raise(41); raise(40);
    raise(SIGUSR1); raise(SIGSEGV); struct tsl t = {0, 0}; for (int k = 0; k < 5;
    k++) S(SYS_rt_sigtimedwait, &m, 0, &t, 8L); }
CASE(sigtimedwait_interrupted) { handle(SIGALRM, count_it, SA_RESTART); struct itimerval it = {{0, 0}, {0, 20000}};
    setitimer(ITIMER_REAL, &it, 0); u64 m = bit(SIGUSR1); block(m); S(SYS_rt_sigtimedwait, &m, 0, 0, 8L); }
static char stack[16384];
static void on_stack(int s) { char c; P("on it: %d\n", &c >= stack && &c < stack + sizeof stack); stack_t o;
    sigaltstack(0, &o); P("flags %d\n", o.ss_flags); stack_t n = {stack, 0, sizeof stack}; S(SYS_sigaltstack, &n, 0);
    (void)s; }
CASE(altstack_used) { stack_t n = {stack, 0, sizeof stack}, o; S(SYS_sigaltstack, &n, &o); V(o.ss_flags);
    handle(SIGUSR1, on_stack, SA_ONSTACK); raise(SIGUSR1); R(SYS_sigaltstack, 0, &o);
    P("%d %d %d\n", o.ss_sp == stack, o.ss_flags, (int)o.ss_size); }
CASE(altstack_errors) { stack_t n = {stack, 0, 100}; S(SYS_sigaltstack, &n, 0); n.ss_size = sizeof stack;
    n.ss_flags = 8; S(SYS_sigaltstack, &n, 0); S(SYS_sigaltstack, BAD, 0); n.ss_flags = 2; S(SYS_sigaltstack, &n, 0);
    S(SYS_sigaltstack, 0, BAD); n.ss_flags = 1; S(SYS_sigaltstack, &n, 0); }
static void overflow(int s) { P("overflow handled %d\n", s); _exit(3); }
CASE(altstack_for_overflow) { stack_t n = {stack, 0, sizeof stack}; sigaltstack(&n, 0);
    handle(SIGSEGV, overflow, SA_ONSTACK); struct rlimit l = {1 << 18, 1 << 18}; CHILD({ setrlimit(RLIMIT_STACK, &l);
    volatile char *p = (char *)&l; for (;;) { p -= 4096; *p = 1; } }); }
CASE(no_stack_for_frame) { CHILD({ handle(SIGUSR1, count_it, SA_ONSTACK);
    stack_t n = {(void *)(16L << 12), 0, sizeof stack}; S(SYS_sigaltstack, &n, 0); raise(SIGUSR1); }); }
static void fault(int s, siginfo_t *i, void *u) { P("%d code %d addr %#lx\n", s, i->si_code, (long)i->si_addr);
    _exit(0); (void)u; }
CASE(fault_info) { handle(SIGSEGV, fault, SA_SIGINFO); handle(SIGBUS, fault, SA_SIGINFO); CHILD({
    *(volatile int *)0x20 = 1; }); CHILD({
    char *p = mmap((void *)0x20000000, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0); p[5] = 1; });
    CHILD({ char *p = mmap((void *)0x20000000, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, file(""), 0);
    *(volatile char *)(p + 7); }); }
CASE(fault_blocked) { CHILD({ handle(SIGSEGV, fault, SA_SIGINFO); block(bit(SIGSEGV)); *(volatile int *)0x20 = 1; });
    CHILD({ signal(SIGSEGV, SIG_IGN); *(volatile int *)0x20 = 1; }); }
static void skip(int s, siginfo_t *i, void *u) { ucontext_t *c = u; P("%d code %d\n", s, i->si_code);
#ifdef __i386__
    c->uc_mcontext.gregs[REG_EIP] += 2; c->uc_mcontext.gregs[REG_EAX] = 77;
#else
    c->uc_mcontext.gregs[REG_RIP] += 2; c->uc_mcontext.gregs[REG_RAX] = 77;
#endif
}
CASE(handler_changes_registers) { handle(SIGILL, skip, SA_SIGINFO); long r = 0;
    __asm__ volatile("ud2" : "=a"(r) : "a"(1)); V(r); }
CASE(signal_mask_in_frame) { handle(SIGUSR1, with_info, SA_SIGINFO); block(bit(SIGUSR2)); raise(SIGUSR1); u64 m;
    R(SYS_rt_sigprocmask, 0, 0, &m, 8L); X(m); }
CASE(read_restarted) { int p[2]; pipe(p); handle(SIGALRM, count_it, SA_RESTART); int pid = fork(); if (!pid) {
    usleep(60000); write(p[1], "x", 1); _exit(0); } struct itimerval t = {{0, 0}, {0, 20000}};
    setitimer(ITIMER_REAL, &t, 0); char c; S(SYS_read, p[0], &c, 1); V(got); }
CASE(read_interrupted) { int p[2]; pipe(p); handle(SIGALRM, count_it, 0); struct itimerval t = {{0, 0}, {0, 20000}};
    setitimer(ITIMER_REAL, &t, 0); char c; S(SYS_read, p[0], &c, 1); V(got); }
CASE(never_restarted) { handle(SIGALRM, count_it, SA_RESTART); struct itimerval t = {{0, 15000}, {0, 15000}};
    setitimer(ITIMER_REAL, &t, 0); struct pollfd f = {-1, 1, 0}; S(SYS_poll, &f, 0, -1); struct tsl s = {5, 0};
    S(SYS_nanosleep, &s, &s); P("%d\n", s.sec == 4); int e = R(SYS_epoll_create1, 0); struct epoll_event v;
    S(SYS_epoll_wait, e, &v, 1, -1); S(SYS_ppoll, 0, 0, 0, 0, 8L); u32 f2 = 0; S(SYS_futex, &f2, 0, 1, 0);
    S(SYS_pselect6, 0, 0, 0, 0, 0, 0); }
CASE(signalfd_cases) { u64 m = bit(SIGUSR1) | bit(40); block(m); int s = R(SYS_signalfd4, -1, &m, 8L, O_NONBLOCK);
    struct signalfd_siginfo i[2]; S(SYS_read, s, i, 128); raise(SIGUSR1);
    sigqueue(getpid(), 40, (union sigval){.sival_int = 7}); S(SYS_read, s, i, 256);
    P("%d %d %d / %d %d %d\n", i[0].ssi_signo, i[0].ssi_code, i[0].ssi_pid == getpid(), i[1].ssi_signo, i[1].ssi_code,
        i[1].ssi_int); S(SYS_read, s, i, 100); S(SYS_signalfd4, -1, &m, 4L, 0); S(SYS_signalfd4, -1, &m, 8L, 1);
    S(SYS_signalfd4, 77, &m, 8L, 0); S(SYS_signalfd4, 1, &m, 8L, 0); S(SYS_signalfd4, -1, BAD, 8L, 0); m = bit(SIGUSR2);
    P("%d\n", R(SYS_signalfd4, s, &m, 8L, 0) == s); raise(SIGUSR1); S(SYS_read, s, i, 128); S(SYS_write, s, i, 128); }
CASE(signalfd_poll) { u64 m = bit(SIGUSR1); block(m); int s = R(SYS_signalfd, -1, &m, 8L);
    struct pollfd f = {s, POLLIN, 0}; S(SYS_poll, &f, 1, 0); raise(SIGUSR1); S(SYS_poll, &f, 1, 0); V(f.revents); }
CASE(sigqueue_limit) { struct rlimit l = {3, 3}; setrlimit(RLIMIT_SIGPENDING, &l); UNPRIVILEGED({
    if (setresuid(54321, 54321, 54321)) P("no\n"); block(bit(40)); for (int k = 0; k < 5;
    k++) P("%d\n", sigqueue(getpid(), 40, (union sigval){.sival_int = k})); S(SYS_kill, getpid(), 40); }); }
CASE(stop_and_continue) { int st, p[2]; pipe(p); int pid = fork(); char c = 0; if (!pid) { raise(SIGSTOP);
    read(p[0], &c, 1); raise(SIGTSTP); _exit(4); }
    waitpid(pid, &st, WUNTRACED); ended("child", st); kill(pid, SIGCONT); waitpid(pid, &st, WCONTINUED);
    P("%d\n", WIFCONTINUED(st)); write(p[1], &c, 1); waitpid(pid, &st, WUNTRACED); ended("child", st);
    kill(pid, SIGCONT); waitpid(pid, &st, 0); ended("child", st); }
CASE(continue_handler) { int st, p[2]; pipe(p); int pid = fork(); if (!pid) { handle(SIGCONT, count_it, 0);
    write(p[1], "x", 1); raise(SIGSTOP); _exit(got); } char c; read(p[0], &c, 1); waitpid(pid, &st, WUNTRACED);
    kill(pid, SIGCONT); waitpid(pid, &st, 0); ended("child", st); }
CASE(pidfd_signal) { int pid = fork(); if (!pid) { pause(); _exit(0); } int p = R(434, pid, 0); S(424, p, 0, 0, 0);
    S(424, p, 65, 0, 0); S(424, 77, 9, 0, 0); S(424, 1, 9, 0, 0); siginfo_t i = {0}; i.si_signo = 9;
    S(424, p, 10, &i, 0); S(424, p, 9, BAD, 0); S(424, p, 9, 0, 99); S(424, p, 9, 0, 0); int st; waitpid(pid, &st, 0);
    ended("child", st); S(424, p, 0, 0, 0); }
CASE(exec_keeps_ignored) { signal(SIGUSR1, SIG_IGN); handle(SIGUSR2, count_it, 0); block(bit(SIGTERM)); CHILD({
    execl("/bin/sh", "sh", "-c", "kill -USR1 $$; kill -TERM $$; echo alive; kill -USR2 $$; echo not", (char *)0); }); }
CASE(restart_syscall_alone) { S(SYS_restart_syscall); }
#ifdef __i386__
struct old { void *handler; u32 mask, flags; void *restorer; };
CASE(old_sigaction_i386) { struct old a = {count_it, 0x800, 0x10000000, 0}, b = {0}; S(SYS_sigaction, SIGUSR1, &a, 0);
    S(SYS_sigaction, SIGUSR1, 0, &b); P("%d %x %x\n", b.handler == (void *)count_it, b.mask, b.flags & ~0x04000000);
    raise(SIGUSR1); V(got); S(SYS_sigaction, 0, &a, 0); S(SYS_sigaction, SIGKILL, &a, 0); S(SYS_sigaction, 10, BAD, 0);
    S(SYS_sigaction, 10, 0, BAD); S(SYS_sigaction, 65, 0, 0); }
CASE(old_signal_i386) { P("%d\n", (int)R(SYS_signal, SIGUSR1, count_it));
    P("%d\n", (void *)R(SYS_signal, SIGUSR1, SIG_IGN) == (void *)count_it); S(SYS_signal, SIGKILL, SIG_IGN);
    S(SYS_signal, 99, SIG_IGN); R(SYS_signal, SIGUSR1, count_it); raise(SIGUSR1); V(got); struct sigaction a;
    sigaction(SIGUSR1, 0, &a); X(a.sa_flags); P("%d\n", a.sa_handler == SIG_DFL); }
CASE(old_masks_i386) { S(SYS_sgetmask); S(SYS_ssetmask, 0x600); S(SYS_sgetmask); u32 m = 0x800, o = 0;
    S(SYS_sigprocmask, SIG_BLOCK, &m, &o); X(o); S(SYS_sigprocmask, 9, &m, &o); S(SYS_sigprocmask, 0, BAD, 0);
    S(SYS_sigprocmask, 0, 0, BAD); raise(SIGUSR1); S(SYS_sigpending, &o); X(o); S(SYS_sigpending, BAD); }
CASE(old_sigsuspend_i386) { handle(SIGUSR1, count_it, 0); R(SYS_ssetmask, 0x200); raise(SIGUSR1);
    S(SYS_sigsuspend, 0, 0, 0); V(got); S(SYS_sgetmask); }
CASE(sigtimedwait_time64_i386) { u64 m = bit(SIGUSR1); block(m); struct ts64 t = {0, 1000000}; S(421, &m, 0, &t, 8L);
    t.nsec = 0x100000000LL; S(421, &m, 0, &t, 8L); t.sec = -1; S(421, &m, 0, &t, 8L); }
#endif
/* Faults are to be repeated, which RF in the frame says; traps are over. The code of int1 is no step's. */
static ucontext_t behind;
static const char *what;
static void show_flag(int s, siginfo_t *i, void *context) { ucontext_t *u = context;
    P("%s: signal %d code %d RF %d\n", what, s, i->si_code, (int)(u->uc_mcontext.gregs[REG_EFL] >> 16 & 1));
    setcontext(&behind); }
#ifdef __i386__
#define TOP "(%%esp)"
#else
#define TOP "(%%rsp)"
#endif
#define RAISES(name, ...) do { static volatile int again; again = 0; what = name; getcontext(&behind); if (!again++) { __VA_ARGS__; } } while (0)
CASE(resume_flag) { int all[] = {SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGBUS, SIGUSR1}; short word = 0;
    for (unsigned n = 0; n < 6; n++) handle(all[n], show_flag, SA_SIGINFO | SA_NODEFER);
    RAISES("read", *(volatile int *)BAD); RAISES("write", *(volatile int *)BAD = 1); RAISES("execution", ((void (*)(void))BAD)());
    RAISES("division", __asm__ volatile("xor %%ecx, %%ecx\n\tdiv %%ecx" : : : "eax", "edx", "ecx"));
    RAISES("ud2", __asm__ volatile("ud2")); RAISES("hlt", __asm__ volatile("hlt")); RAISES("int 0x50", __asm__ volatile("int $0x50"));
    RAISES("x87", __asm__ volatile("fninit\n\tfnstcw %0\n\tandw $-5, %0\n\tfldcw %0\n\tfldz\n\tfld1\n\tfdivp\n\tfwait" : "+m"(word)));
    __asm__ volatile("fninit");
    RAISES("int3", __asm__ volatile("int3")); RAISES("int1", __asm__ volatile(".byte 0xf1"));
    RAISES("step", __asm__ volatile("pushf\n\torl $0x100, " TOP "\n\tpopf\n\tnop\n\tnop" : : : "memory", "cc"));
    RAISES("raise", raise(SIGUSR1)); }
