/* ptrace(2): a tracer and what it sees of its children, stop by stop. Only what a kernel must give every time is printed: no addresses, no ids. */
#include "sys.h"
#include <sys/ptrace.h>
#include <sys/user.h>
#include <elf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#undef PTRACE_GET_SYSCALL_INFO
#define GET_SYSCALL_INFO 0x420e
#ifdef __i386__
#define IP(r) (r).eip
#define SP(r) (r).esp
#define AX(r) (r).eax
#define NR(r) (r).orig_eax
#define ARG(r) (r).ebx
#define U_NR offsetof(struct user, regs.orig_eax)
#define U_IP offsetof(struct user, regs.eip)
#define U_AX offsetof(struct user, regs.eax)
#else
#define IP(r) (r).rip
#define SP(r) (r).rsp
#define AX(r) (r).rax
#define NR(r) (r).orig_rax
#define ARG(r) (r).rdi
#define U_NR offsetof(struct user, regs.orig_rax)
#define U_IP offsetof(struct user, regs.rip)
#define U_AX offsetof(struct user, regs.rax)
#endif
#define T(req, pid, addr, data) (errno = 0, syscall(SYS_ptrace, (long)(req), (long)(pid), (long)(addr), (long)(data)))

static int child; /* the traced one */

static const char *name(long nr) {
    switch (nr) {
    case SYS_getpid: return "getpid";
    case SYS_getppid: return "getppid";
    case SYS_write: return "write";
    case SYS_exit_group: return "exit_group";
    case SYS_close: return "close";
    case SYS_kill: return "kill";
    case SYS_nanosleep: return "nanosleep";
    case SYS_umask: return "umask";
    case SYS_rt_sigreturn: return "rt_sigreturn";
    case SYS_execve: return "execve";
    case -1: return "none";
    }
    static char text[20];
    sprintf(text, "%ld", nr);
    return text;
}
static void say(const char *who, int st) {
    if (WIFSTOPPED(st)) P("%s: stopped %d%s event %d\n", who, WSTOPSIG(st) & 0x7f, WSTOPSIG(st) & 0x80 ? "|80" : "", st >> 16);
    else ended(who, st);
}
static int see(int pid) {
    int st = 0;
    int r = waitpid(pid, &st, __WALL);
    if (r < 0) { P("wait: %s\n", err(errno)); return 0; }
    say("tracee", st);
    return st;
}
/* The same without a line. */
static int quiet(int pid) {
    int st = 0;
    if (waitpid(pid, &st, __WALL) < 0) P("wait: %s\n", err(errno));
    return st;
}
static struct user_regs_struct regs(int pid) {
    struct user_regs_struct r;
    memset(&r, 0, sizeof r);
    if (T(PTRACE_GETREGS, pid, 0, &r) < 0) P("getregs: %s\n", err(errno));
    return r;
}
/* A child that is traced and stopped by SIGSTOP. */
#define TRACED(...)                              \
    do {                                         \
        child = fork();                          \
        if (!child) {                            \
            syscall(SYS_ptrace, 0, 0, 0, 0);     \
            kill(getpid(), SIGSTOP);             \
            __VA_ARGS__;                         \
            _exit(0);                            \
        }                                        \
        see(child);                              \
    } while (0)
static void finish(void) {
    T(PTRACE_CONT, child, 0, 0);
    see(child);
}

CASE(traceme) {
    TRACED(P("in the child\n"));
    siginfo_t info;
    F(SYS_ptrace, PTRACE_GETSIGINFO, child, 0, &info);
    P("signal %d, code %d, mine %d\n", info.si_signo, info.si_code, info.si_pid == child);
    finish();
}
CASE(errors) {
    S(SYS_ptrace, PTRACE_CONT, getppid(), 0, 0);
    S(SYS_ptrace, PTRACE_GETREGS, 1, 0, 0);
    S(SYS_ptrace, PTRACE_ATTACH, getpid(), 0, 0);
    S(SYS_ptrace, PTRACE_ATTACH, 0x3ffffffe, 0, 0);
    TRACED();
    S(SYS_ptrace, PTRACE_CONT, child, 0, 200);
    S(SYS_ptrace, PTRACE_SETOPTIONS, child, 0, 0x40000000);
    S(SYS_ptrace, PTRACE_ATTACH, child, 0, 0);
    S(SYS_ptrace, PTRACE_SEIZE, child, 0, 0);
    S(SYS_ptrace, PTRACE_INTERRUPT, child, 0, 0);
    S(SYS_ptrace, PTRACE_LISTEN, child, 0, 0);
    S(SYS_ptrace, PTRACE_PEEKUSER, child, 3, &errno);
    S(SYS_ptrace, PTRACE_PEEKUSER, child, 100000, &errno);
    S(SYS_ptrace, PTRACE_GETREGS, child, 0, BAD);
    S(SYS_ptrace, 99, child, 0, 0);
    T(PTRACE_CONT, child, 0, 0);
    see(child);
    S(SYS_ptrace, PTRACE_CONT, child, 0, 0);
}
CASE(calls) {
    TRACED(syscall(SYS_getpid); syscall(SYS_close, -5); syscall(SYS_write, 1, "text\n", 5); _exit(3));
    F(SYS_ptrace, PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD);
    for (;;) {
        T(PTRACE_SYSCALL, child, 0, 0);
        int st = see(child);
        if (!WIFSTOPPED(st)) break;
        struct user_regs_struct r = regs(child);
        long message = -1;
        T(PTRACE_GETEVENTMSG, child, 0, &message);
        long answer = AX(r);
        P("  %s, first %ld, answer %s, message %ld\n", name(NR(r)), NR(r) == SYS_close || NR(r) == SYS_write ? (long)ARG(r) : 0,
          answer == -ENOSYS ? "ENOSYS" : answer == child ? "child" : answer < 0 ? err(-answer) : "other", message);
        siginfo_t info;
        T(PTRACE_GETSIGINFO, child, 0, &info);
        P("  signal %d, code %#x\n", info.si_signo, info.si_code);
    }
}
CASE(plain_calls) {
    TRACED(syscall(SYS_getppid));
    for (int i = 0; i < 3; i++) {
        T(PTRACE_SYSCALL, child, 0, 0);
        see(child);
        long nr = -1;
        T(PTRACE_PEEKUSER, child, U_NR, &nr);
        P("%s\n", name(nr));
    }
    finish();
}
CASE(syscall_info) {
    struct { u8 op, pad[3]; u32 arch; u64 ip, sp; u64 rest[7]; } __attribute__((packed)) info;
    TRACED(syscall(SYS_close, 77); syscall(SYS_getpid));
    memset(&info, 0, sizeof info);
    long n = T(GET_SYSCALL_INFO, child, sizeof info, &info);
    P("%ld: op %d arch %#x\n", n, info.op, info.arch);
    T(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD);
    for (int i = 0; i < 4; i++) {
        T(PTRACE_SYSCALL, child, 0, 0);
        see(child);
        memset(&info, 0, sizeof info);
        n = T(GET_SYSCALL_INFO, child, sizeof info, &info);
        struct user_regs_struct r = regs(child);
        P("%ld: op %d arch %#x ip %d sp %d\n", n, info.op, info.arch, info.ip == (size_t)IP(r), info.sp == (size_t)SP(r));
        if (info.op == 1) P("  %s %lld\n", name(info.rest[0]), i < 2 ? info.rest[1] : 0);
        if (info.op == 2) P("  error %d, %s\n", ((u8 *)&info.rest[1])[0], i < 2 ? err(-(s64)info.rest[0]) : "");
    }
    P("short: %ld\n", T(GET_SYSCALL_INFO, child, 10, &info));
    finish();
}
/* A filter that asks the tracer about getppid and close, with a message. */
#define ASKED(nr, message) {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, nr}, {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_TRACE | (message)}
#define ASK_THEN(last)                                                                                                \
    ({ struct sock_filter f[] = {{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0}, ASKED(SYS_getppid, 0x1234), ASKED(SYS_close, 7),\
                                 {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_umask}, {BPF_RET | BPF_K, 0, 0, last},         \
                                 {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};                                         \
       struct sock_fprog g = {8, f}; prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); R(SYS_seccomp, 1, 0, &g); })
static void tell_filtered(void) {
    struct { u8 op, pad[3]; u32 arch; u64 ip, sp; u64 call[7]; u32 ret; } __attribute__((packed)) info;
    memset(&info, 0, sizeof info);
    struct user_regs_struct r = regs(child);
    long message = -1;
    T(PTRACE_GETEVENTMSG, child, 0, &message);
    siginfo_t sig;
    T(PTRACE_GETSIGINFO, child, 0, &sig);
    long n = T(GET_SYSCALL_INFO, child, sizeof info, &info);
    P("  %s, answer %s, message %#lx, code %#x\n", name(NR(r)), (long)AX(r) == -ENOSYS ? "ENOSYS" : (long)AX(r) < 0 ? err(-(long)AX(r)) : "other", message, sig.si_code);
    P("  %ld: op %d arch %#x %s ret %#x ip %d\n", n, info.op, info.arch, name(info.call[0]), info.ret, info.ip == (size_t)IP(r));
}
CASE(seccomp_events) {
    TRACED(V(ASK_THEN(SECCOMP_RET_ERRNO | 55)); P("%d\n", R(SYS_getppid) == getppid()); S(SYS_close, 77); S(SYS_umask, 0));
    F(SYS_ptrace, PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD);
    for (;;) {
        T(PTRACE_CONT, child, 0, 0);
        if (!WIFSTOPPED(see(child))) break;
        tell_filtered();
    }
}
CASE(seccomp_events_and_calls) {
    TRACED(V(ASK_THEN(SECCOMP_RET_ALLOW)); syscall(SYS_close, 77));
    T(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD);
    T(PTRACE_CONT, child, 0, 0);
    see(child);
    /* Its exit is next. */
    T(PTRACE_SYSCALL, child, 0, 0);
    see(child);
    tell_filtered();
    T(PTRACE_SYSCALL, child, 0, 0);
    see(child);
    tell_filtered();
    finish();
    TRACED(V(ASK_THEN(SECCOMP_RET_ALLOW)); syscall(SYS_close, 77));
    T(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD);
    for (int i = 0, n = 0; i < 60 && n < 4; i++) {
        T(PTRACE_SYSCALL, child, 0, 0);
        int st = quiet(child);
        if (!WIFSTOPPED(st)) break;
        if (NR(regs(child)) != SYS_close) continue;
        n++;
        say("tracee", st);
        tell_filtered();
    }
    finish();
}
CASE(seccomp_events_change) {
    TRACED(V(ASK_THEN(SECCOMP_RET_ERRNO | 55)); V(syscall(SYS_close, 77)); V(syscall(SYS_close, 78)); V(errno); V(syscall(SYS_close, 79));
           V(errno); V(syscall(SYS_close, 80)); V(errno));
    T(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESECCOMP);
    for (int n = 0;; n++) {
        T(PTRACE_CONT, child, 0, 0);
        if (!WIFSTOPPED(see(child))) break;
        struct user_regs_struct r = regs(child);
        if (n == 0) NR(r) = -1, AX(r) = 1234;      /* skipped, with an answer */
        else if (n == 1) NR(r) = -1;                /* skipped */
        else if (n == 2) NR(r) = SYS_umask;         /* the filter is asked about this one */
        else NR(r) = SYS_getppid;                   /* a tracer is there already */
        if (n < 3) T(PTRACE_SETREGS, child, 0, &r);
    }
}
CASE(seccomp_events_unwanted) {
    TRACED(ASK_THEN(SECCOMP_RET_ALLOW); S(SYS_close, 77));
    finish();
    TRACED(ASK_THEN(SECCOMP_RET_ALLOW); S(SYS_close, 77));
    T(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESECCOMP);
    T(PTRACE_CONT, child, 0, 0);
    see(child);
    T(PTRACE_DETACH, child, 0, 0);
    see(child);
}
CASE(seccomp_events_of_children) {
    TRACED(ASK_THEN(SECCOMP_RET_ALLOW); if (!fork()) { syscall(SYS_close, 78); _exit(4); } wait(0); syscall(SYS_close, 77));
    T(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEFORK);
    T(PTRACE_CONT, child, 0, 0);
    see(child);
    unsigned long message = 0;
    T(PTRACE_GETEVENTMSG, child, 0, &message);
    int second = message;
    see(second);
    T(PTRACE_CONT, second, 0, 0);
    see(second);
    P("%s %d\n", name(NR(regs(second))), (int)ARG(regs(second)));
    T(PTRACE_CONT, second, 0, 0);
    see(second);
    T(PTRACE_CONT, child, 0, 0);
    if (WSTOPSIG(see(child)) == SIGCHLD) { T(PTRACE_CONT, child, 0, SIGCHLD); see(child); }
    P("%s %d\n", name(NR(regs(child))), (int)ARG(regs(child)));
    finish();
}
CASE(seccomp_suspended) {
    TRACED(V(ASK_THEN(SECCOMP_RET_ERRNO | 55)); S(SYS_umask, 0); kill(getpid(), SIGSTOP); S(SYS_umask, 0));
    F(SYS_ptrace, PTRACE_SETOPTIONS, child, 0, 1 << 21);
    T(PTRACE_CONT, child, 0, 0);
    see(child);
    F(SYS_ptrace, PTRACE_SETOPTIONS, child, 0, 0);
    finish();
    UNPRIVILEGED({ drop(); TRACED(); S(SYS_ptrace, PTRACE_SETOPTIONS, child, 0, 1 << 21); finish(); });
}
struct peek { u64 off; u32 flags; int nr; };
static void queue(int shared) {
    struct peek p = {0, shared, 9};
    siginfo_t q[9];
    memset(q, 0, sizeof q);
    long n = T(0x4209, child, &p, q);
    P("%s: %ld\n", shared ? "process" : "thread", n);
    for (long i = 0; i < n; i++)
        P("  signal %d code %d from %s value %d\n", q[i].si_signo, q[i].si_code, q[i].si_pid == child ? "child" : q[i].si_pid == getpid() ? "me" : "?",
          q[i].si_code == SI_QUEUE ? q[i].si_value.sival_int : 0);
}
static void block(void) {
    u64 all = ~0ull;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, 0, 8L);
}
CASE(pending_signals) {
    TRACED({
        block();
        syscall(SYS_tgkill, getpid(), getpid(), SIGSEGV);
        syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1);
        kill(getpid(), SIGUSR2);
        for (int i = 0; i < 3; i++) sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 40 + i});
        kill(getpid(), SIGUSR2);
        kill(getpid(), SIGSTOP);
    });
    queue(0);
    T(PTRACE_CONT, child, 0, 0);
    see(child);
    queue(0);
    queue(1);
    struct peek p = {1, 1, 2};
    siginfo_t q[4], *end = edge(sizeof *end);
    V(T(0x4209, child, &p, q));
    P("%d %d\n", q[0].si_signo, q[1].si_signo);
    V(T(0x4209, child, &p, end));
    P("%d\n", end->si_signo);
    V(T(0x4209, child, &p, readonly()));
    p.nr = 0;
    V(T(0x4209, child, &p, BAD));
    p.off = 100;
    V(T(0x4209, child, &p, q));
    p.off = ~0ull;
    p.nr = 3;
    V(T(0x4209, child, &p, q));
    p.off = 0;
    p.nr = -1;
    S(SYS_ptrace, 0x4209, child, &p, q);
    p.nr = 1;
    p.flags = 2;
    S(SYS_ptrace, 0x4209, child, &p, q);
    S(SYS_ptrace, 0x4209, child, BAD, q);
    S(SYS_ptrace, 0x4209, child, edge(12), q);
    p.flags = 1;
    S(SYS_ptrace, 0x4209, child, &p, BAD);
    finish();
}
CASE(pending_open_signals) {
    /* Not blocked: the thread's own come first, and each stop takes one from the queue. */
    TRACED();
    queue(1);
    kill(child, SIGUSR1);
    kill(child, SIGUSR2);
    syscall(SYS_tgkill, child, child, SIGTERM);
    queue(0);
    queue(1);
    for (int i = 0; i < 3; i++) {
        T(PTRACE_CONT, child, 0, 0);
        see(child);
        queue(0);
        queue(1);
    }
    finish();
}
CASE(pending_at_calls) {
    TRACED(block(); kill(getpid(), SIGUSR1); syscall(SYS_getppid));
    for (;;) {
        T(PTRACE_SYSCALL, child, 0, 0);
        if (!WIFSTOPPED(quiet(child)) || NR(regs(child)) == SYS_getppid) break;
    }
    queue(0);
    queue(1);
    finish();
}
static void filters(int n) {
    for (int i = 0; i < n; i++) {
        struct sock_filter f[20];
        memset(f, 0, sizeof f);
        long len = T(0x420c, child, i, f);
        P("filter %d: %ld %s\n", i, len, len < 0 ? err(errno) : "");
        for (long k = 0; k < len; k++) P("  %#x %d %d %#x\n", f[k].code, f[k].jt, f[k].jf, f[k].k);
        u64 m[2] = {i, 77};
        len = T(0x420d, child, sizeof m, m);
        P("metadata: %ld %s %lld %lld\n", len, len < 0 ? err(errno) : "", m[0], m[1]);
    }
}
CASE(filters_of_others) {
    TRACED({
        struct sock_filter f[] = {{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0}, {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 9999}, {BPF_RET | BPF_K, 0, 0, 0x50007}, {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
        struct sock_fprog g = {4, f}, h = {1, f + 3};
        kill(getpid(), SIGSTOP);
        R(SYS_seccomp, 1, 0, &g);
        R(SYS_seccomp, 1, 2, &h);
        kill(getpid(), SIGSTOP);
        execl("/proc/self/exe", "program", "--list", (char *)0);
    });
    filters(1);
    T(PTRACE_CONT, child, 0, 0);
    see(child);
    filters(1);
    T(PTRACE_CONT, child, 0, 0);
    see(child);
    filters(3);
    S(SYS_ptrace, 0x420c, child, 0, 0);
    S(SYS_ptrace, 0x420c, child, 0, BAD);
    S(SYS_ptrace, 0x420c, child, 0, edge(16));
    S(SYS_ptrace, 0x420c, child, -1L, 0);
    u64 m[2] = {1, 77};
    S(SYS_ptrace, 0x420d, child, 8, m);
    P("%lld %lld\n", m[0], m[1]);
    S(SYS_ptrace, 0x420d, child, 12, m);
    P("%lld %lld\n", m[0], m[1]);
    S(SYS_ptrace, 0x420d, child, 100, m);
    S(SYS_ptrace, 0x420d, child, 7, m);
    S(SYS_ptrace, 0x420d, child, 16, BAD);
    S(SYS_ptrace, 0x420d, child, 16, edge(8));
    /* They are the next program's, too. */
    T(PTRACE_CONT, child, 0, 0);
    see(child);
    filters(3);
    T(PTRACE_KILL, child, 0, 0);
    quiet(child);
    /* Whoever has filters is told nothing, and so is a user like any other. */
    TRACED();
    struct sock_filter f = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
    struct sock_fprog g = {1, &f};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    R(SYS_seccomp, 1, 0, &g);
    filters(1);
    S(SYS_ptrace, 0x420d, child, 7, m);
    finish();
}
CASE(filters_unprivileged) {
    UNPRIVILEGED({
        drop();
        TRACED({ struct sock_filter f = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}; struct sock_fprog g = {1, &f};
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); R(SYS_seccomp, 1, 0, &g); });
        filters(1);
        finish();
    });
}
CASE(emulated_calls) {
    TRACED(V(syscall(SYS_close, 77)); V(errno == ENOSYS); V(syscall(SYS_getppid)); V(syscall(SYS_close, 78)));
    T(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD);
    int n = 0;
    for (;;) {
        T(n < 2 ? PTRACE_SYSEMU : PTRACE_CONT, child, 0, 0);
        int st = quiet(child);
        if (!WIFSTOPPED(st)) { say("tracee", st); break; }
        struct user_regs_struct r = regs(child);
        if (NR(r) != SYS_close && NR(r) != SYS_getppid) {
            /* This one is to be made all the same: once more, from its instruction. */
            IP(r) -= 2;
            AX(r) = NR(r);
            T(PTRACE_SETREGS, child, 0, &r);
            T(PTRACE_SYSCALL, child, 0, 0);
            quiet(child);
            T(PTRACE_SYSCALL, child, 0, 0);
            quiet(child);
            T(PTRACE_SYSCALL, child, 0, 0);
            quiet(child);
            continue;
        }
        say("tracee", st);
        P("%s\n", name(NR(r)));
        tell_filtered();
        if (NR(r) == SYS_getppid) {
            AX(r) = 4321;
            T(PTRACE_SETREGS, child, 0, &r);
        }
        n++;
    }
}
CASE(emulated_then_call) {
    TRACED(syscall(SYS_getppid); syscall(SYS_close, 5));
    T(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD);
    T(PTRACE_SYSEMU, child, 0, 0);
    see(child);
    P("%s\n", name(NR(regs(child))));
    T(PTRACE_SYSCALL, child, 0, 0);
    see(child);
    P("%s %s\n", name(NR(regs(child))), err(-(int)AX(regs(child))));
    T(PTRACE_SYSCALL, child, 0, 0);
    see(child);
    P("%s\n", name(NR(regs(child))));
    finish();
}
CASE(emulated_steps) {
    TRACED(__asm__ volatile("nop; nop; nop"); syscall(SYS_getppid); syscall(SYS_close, 5));
    T(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD);
    int calls = 0, steps = 0;
    for (int i = 0; i < 4000 && calls < 2; i++) {
        T(32, child, 0, 0);
        int st = quiet(child);
        if (!WIFSTOPPED(st)) { say("tracee", st); return; }
        if (WSTOPSIG(st) & 0x80) {
            calls++;
            say("tracee", st);
            P("%s, stepped before: %d\n", name(NR(regs(child))), steps > 3);
            size_t before = IP(regs(child));
            T(32, child, 0, 0);
            see(child);
            P("went on: %d\n", IP(regs(child)) != before);
        } else steps++;
    }
    T(PTRACE_KILL, child, 0, 0);
    see(child);
}
CASE(change_call) {
    TRACED(V(syscall(SYS_close, 77)); V(syscall(SYS_close, 78)); V(errno); V(syscall(SYS_close, 79)));
    T(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD);
    int n = 0;
    for (;;) {
        T(PTRACE_SYSCALL, child, 0, 0);
        int st = quiet(child);
        if (!WIFSTOPPED(st)) break;
        struct user_regs_struct r = regs(child);
        if (NR(r) == SYS_close && ARG(r) == 77 && AX(r) == -ENOSYS) {
            /* Not made at all. */
            NR(r) = -1;
            T(PTRACE_SETREGS, child, 0, &r);
            T(PTRACE_SYSCALL, child, 0, 0);
            quiet(child);
            T(PTRACE_POKEUSER, child, U_AX, 4242);
        } else if (NR(r) == SYS_close && ARG(r) == 78 && AX(r) == -ENOSYS) {
            /* Left as it is, with another answer. */
            T(PTRACE_SYSCALL, child, 0, 0);
            quiet(child);
            T(PTRACE_POKEUSER, child, U_AX, -EXDEV);
        } else if (NR(r) == SYS_close && ARG(r) == 79 && AX(r) == -ENOSYS) {
            /* Another call. */
            NR(r) = SYS_getuid;
            T(PTRACE_SETREGS, child, 0, &r);
            n++;
        }
    }
    V(n);
}
static volatile int got;
/* The other process tells something. */
static int told[2];
static void hear(void) { char c; read(told[0], &c, 1); }
static void handler(int s) { got = s; P("handler %d\n", s); if (told[1]) write(told[1], "h", 1); }
static void handler_info(int s, siginfo_t *i, void *c) { P("handler %d code %d value %d\n", s, i->si_code, i->si_value.sival_int); }
CASE(signals) {
    TRACED(signal(SIGUSR1, handler); kill(getpid(), SIGUSR1); P("after 1\n"); kill(getpid(), SIGUSR1); P("after 2\n");
           kill(getpid(), SIGCHLD); kill(getpid(), SIGUSR2); P("after 3\n"); signal(SIGWINCH, SIG_IGN); kill(getpid(), SIGWINCH);
           kill(getpid(), SIGTERM); P("never\n"));
    T(PTRACE_CONT, child, 0, 0);
    see(child); /* USR1: delivered */
    siginfo_t info;
    T(PTRACE_GETSIGINFO, child, 0, &info);
    P("code %d from %d\n", info.si_code, info.si_pid == child);
    T(PTRACE_CONT, child, 0, SIGUSR1);
    see(child); /* USR1: suppressed */
    T(PTRACE_CONT, child, 0, 0);
    see(child); /* CHLD */
    T(PTRACE_CONT, child, 0, SIGCHLD);
    see(child); /* USR2 becomes USR1 */
    T(PTRACE_CONT, child, 0, SIGUSR1);
    see(child); /* WINCH, ignored, is seen */
    T(PTRACE_CONT, child, 0, SIGWINCH);
    see(child); /* TERM */
    T(PTRACE_CONT, child, 0, SIGTERM);
    see(child);
}
CASE(change_siginfo) {
    TRACED(struct sigaction a = {.sa_sigaction = handler_info, .sa_flags = SA_SIGINFO}; sigaction(SIGUSR1, &a, 0);
           sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 5}));
    T(PTRACE_CONT, child, 0, 0);
    see(child);
    siginfo_t info;
    T(PTRACE_GETSIGINFO, child, 0, &info);
    P("code %d value %d\n", info.si_code, info.si_value.sival_int);
    info.si_value.sival_int = 99;
    F(SYS_ptrace, PTRACE_SETSIGINFO, child, 0, &info);
    T(PTRACE_CONT, child, 0, SIGUSR1);
    see(child);
}
CASE(blocked_and_mask) {
    TRACED(sigset_t s; sigemptyset(&s); sigaddset(&s, SIGUSR1); sigprocmask(SIG_BLOCK, &s, 0); signal(SIGUSR1, handler);
           kill(getpid(), SIGUSR1); P("blocked\n"); kill(getpid(), SIGUSR2); sigprocmask(SIG_UNBLOCK, &s, 0); P("open\n"));
    T(PTRACE_CONT, child, 0, 0);
    see(child); /* USR2 */
    u64 mask = 0;
    F(SYS_ptrace, 0x420a, child, 8, &mask);
    X(mask);
    S(SYS_ptrace, 0x420a, child, 4, &mask);
    T(PTRACE_CONT, child, 0, 0);
    see(child); /* USR1 */
    T(PTRACE_CONT, child, 0, SIGUSR1);
    see(child);
}
CASE(fault) {
    TRACED(*(volatile int *)0x10 = 1);
    T(PTRACE_CONT, child, 0, 0);
    see(child);
    siginfo_t info;
    T(PTRACE_GETSIGINFO, child, 0, &info);
    P("signal %d code %d address %#lx\n", info.si_signo, info.si_code, (long)info.si_addr);
    T(PTRACE_CONT, child, 0, SIGSEGV);
    see(child);
}
CASE(skip_fault) {
    /* The tracer steps over the instruction: mov to memory through eax, two bytes. */
    TRACED(int x = 7; asm volatile("mov %%eax, (%%eax)" : : "a"(16) : "memory"); P("behind it %d\n", x));
    T(PTRACE_CONT, child, 0, 0);
    see(child);
    struct user_regs_struct r = regs(child);
    u8 code[8];
    *(long *)code = 0;
    T(PTRACE_PEEKTEXT, child, IP(r), code);
    int prefix = code[0] == 0x67;
    IP(r) += 2 + prefix;
    T(PTRACE_SETREGS, child, 0, &r);
    finish();
}
static __attribute__((noinline)) int target(int a) {
    asm volatile("");
    return a + 1;
}
CASE(breakpoint) {
    TRACED(int sum = 0; for (int i = 0; i < 3000; i++) sum += target(i); V(sum); sum = target(5); V(sum));
    long old = 0, word;
    F(SYS_ptrace, PTRACE_PEEKTEXT, child, target, &old);
    P("same %d\n", !memcmp(&old, (void *)target, sizeof old));
    word = old & ~0xffL | 0xcc;
    F(SYS_ptrace, PTRACE_POKETEXT, child, target, word);
    int hits = 0;
    for (int i = 0; i < 3; i++) {
        T(PTRACE_CONT, child, 0, 0);
        int st = quiet(child);
        struct user_regs_struct r = regs(child);
        siginfo_t info;
        T(PTRACE_GETSIGINFO, child, 0, &info);
        P("stopped %d at %ld code %#x\n", WSTOPSIG(st), (long)(IP(r) - (long)target), info.si_code);
        /* One step over the instruction, and the breakpoint again. */
        IP(r) = (long)target;
        T(PTRACE_SETREGS, child, 0, &r);
        T(PTRACE_POKETEXT, child, target, old);
        T(PTRACE_SINGLESTEP, child, 0, 0);
        st = quiet(child);
        r = regs(child);
        P("stepped %d away %d\n", WSTOPSIG(st), IP(r) != (long)target);
        T(PTRACE_POKETEXT, child, target, word);
    }
    T(PTRACE_POKETEXT, child, target, old);
    T(PTRACE_CONT, child, 0, 0);
    see(child);
}
/* The loop is translated by the time that the breakpoint comes. */
CASE(late_breakpoint) {
    int p[2];
    pipe(p);
    TRACED(volatile int sum = 0; for (int i = 0; i < 100000; i++) sum += target(i); kill(getpid(), SIGUSR1); sum = target(5); P("sum %d\n", sum));
    T(PTRACE_CONT, child, 0, 0);
    see(child);
    long old = 0;
    T(PTRACE_PEEKTEXT, child, target, &old);
    T(PTRACE_POKETEXT, child, target, old & ~0xffL | 0xcc);
    T(PTRACE_CONT, child, 0, 0);
    see(child);
    struct user_regs_struct r = regs(child);
    P("at %ld\n", (long)(IP(r) - (long)target));
    T(PTRACE_POKETEXT, child, target, old);
    IP(r) = (long)target;
    T(PTRACE_SETREGS, child, 0, &r);
    finish();
}
CASE(mem_file_breakpoint) {
    TRACED(volatile int sum = 0; for (int i = 0; i < 100000; i++) sum += target(i); kill(getpid(), SIGUSR1); sum = target(5); P("sum %d\n", sum));
    T(PTRACE_CONT, child, 0, 0);
    see(child);
    char path[40];
    sprintf(path, "/proc/%d/mem", child);
    int fd = open(path, O_RDWR);
    u8 old, stop = 0xcc;
    V(pread64(fd, &old, 1, (long)target));
    V(pwrite64(fd, &stop, 1, (long)target));
    T(PTRACE_CONT, child, 0, 0);
    see(child);
    struct user_regs_struct r = regs(child);
    P("at %ld\n", (long)(IP(r) - (long)target));
    lseek64(fd, (long)target, SEEK_SET);
    V(write(fd, &old, 1));
    IP(r) = (long)target;
    T(PTRACE_SETREGS, child, 0, &r);
    finish();
}
CASE(steps) {
    /* Registers after each of a few instructions of known length. */
    TRACED(asm volatile("int3\n xor %%eax, %%eax\n mov $7, %%ecx\n 1: inc %%eax\n dec %%ecx\n jnz 1b\n nop\n int3" : : "c"(5) : "eax", "cc", "memory"));
    T(PTRACE_CONT, child, 0, 0);
    see(child);
    struct user_regs_struct r = regs(child);
    long from = IP(r);
    for (int i = 0; i < 26; i++) {
        T(PTRACE_SINGLESTEP, child, 0, 0);
        int st = quiet(child);
        r = regs(child);
        siginfo_t info;
        T(PTRACE_GETSIGINFO, child, 0, &info);
#ifdef __i386__
        P("%d +%ld a %ld c %ld flags %#lx sig %d code %d\n", i, (long)IP(r) - from, (long)(int)r.eax, r.ecx, r.eflags & 0x3c5, WSTOPSIG(st), info.si_code);
#else
        P("%d +%ld a %ld c %ld flags %#lx sig %d code %d\n", i, (long)IP(r) - from, (long)(int)r.rax, r.rcx, r.eflags & 0x3c5, WSTOPSIG(st), info.si_code);
#endif
    }
    T(PTRACE_KILL, child, 0, 0);
    see(child);
}
CASE(step_over_call) {
#ifdef __i386__
    TRACED(int r; asm volatile("int3\n mov $224, %%eax\n int $0x80\n nop\n nop\n" : "=a"(r)));
#else
    TRACED(long r; asm volatile("int3\n mov $186, %%eax\n syscall\n nop\n nop\n" : "=a"(r) : : "rcx", "r11"));
#endif
    T(PTRACE_CONT, child, 0, 0);
    see(child);
    struct user_regs_struct r = regs(child);
    long from = IP(r);
    for (int i = 0; i < 4; i++) {
        T(PTRACE_SINGLESTEP, child, 0, 0);
        int st = quiet(child);
        r = regs(child);
        P("%d +%ld tid %d sig %d nr %d\n", i, (long)IP(r) - from, AX(r) == child, WSTOPSIG(st), (int)NR(r) >= 0);
    }
    finish();
}
CASE(step_into_handler) {
    TRACED(signal(SIGUSR1, handler); kill(getpid(), SIGUSR1); P("back\n"));
    T(PTRACE_CONT, child, 0, 0);
    see(child);
    T(PTRACE_SINGLESTEP, child, 0, SIGUSR1);
    see(child);
    struct user_regs_struct r = regs(child);
    P("in the handler %d\n", IP(r) == (long)handler);
    siginfo_t info;
    T(PTRACE_GETSIGINFO, child, 0, &info);
    V(info.si_code);
    T(PTRACE_SINGLESTEP, child, 0, 0);
    see(child);
    r = regs(child);
    P("behind its first %d\n", IP(r) > (long)handler && IP(r) < (long)handler + 8);
    finish();
}
CASE(general_registers) {
#ifdef __i386__
    TRACED(u32 a = 1, b = 2, c; asm volatile("int3\n" : "+a"(a), "+b"(b), "=c"(c) : "c"(3), "d"(4), "S"(5), "D"(6)); P("%#x %#x %#x\n", a, b, c));
#else
    TRACED(u64 a = 1, b = 2, c; asm volatile("int3\n" : "+a"(a), "+b"(b), "=c"(c) : "c"(3), "d"(4), "S"(5), "D"(6)); P("%#llx %#llx %#llx\n", a, b, c));
#endif
    T(PTRACE_CONT, child, 0, 0);
    see(child);
    struct user_regs_struct r = regs(child);
#ifdef __i386__
    P("%lx %lx %lx %lx %lx %lx\n", r.eax, r.ebx, r.ecx, r.edx, r.esi, r.edi);
    P("cs %lx ss %lx ds %lx es %lx\n", r.xcs & 0xffff, r.xss & 0xffff, r.xds & 0xffff, r.xes & 0xffff);
    r.eax = 0x11111111, r.ebx = 0x22222222, r.ecx = 0x33333333;
#else
    P("%llx %llx %llx %llx %llx %llx\n", r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi);
    P("cs %llx ss %llx ds %llx es %llx fs %d\n", r.cs, r.ss, r.ds, r.es, r.fs_base != 0);
    r.rax = 0x1111111111, r.rbx = 0x2222222222, r.rcx = -1;
#endif
    P("nr %ld\n", (long)NR(r));
    F(SYS_ptrace, PTRACE_SETREGS, child, 0, &r);
    long word = 0;
    F(SYS_ptrace, PTRACE_PEEKUSER, child, U_AX, &word);
    X(word);
    struct iovec v = {&r, sizeof r};
    memset(&r, 0, sizeof r);
    F(SYS_ptrace, PTRACE_GETREGSET, child, NT_PRSTATUS, &v);
    P("%d %#lx\n", (int)v.iov_len, (long)AX(r));
    char more[1000];
    v = (struct iovec){more, sizeof more};
    F(SYS_ptrace, PTRACE_GETREGSET, child, NT_PRSTATUS, &v);
    V(v.iov_len);
    v.iov_len = 7;
    F(SYS_ptrace, PTRACE_GETREGSET, child, NT_PRSTATUS, &v);
    F(SYS_ptrace, PTRACE_GETREGSET, child, 0x7777, &v);
    T(PTRACE_POKEUSER, child, offsetof(struct user, u_debugreg), 0);
    finish();
}
CASE(float_registers) {
    TRACED(double d = 1.5; u64 x[2] = {0x1122334455667788, 42}; u32 n = 0;
           asm volatile("fldl %1\n movdqu %2, %%xmm3\n int3\n movd %%xmm3, %0\n fstp %%st(0)" : "=r"(n) : "m"(d), "m"(x)); P("%#x\n", n));
    T(PTRACE_CONT, child, 0, 0);
    see(child);
#ifdef __i386__
    u8 fp[108], fx[512];
    F(SYS_ptrace, PTRACE_GETFPREGS, child, 0, fp);
    hex("control", fp, 2);
    hex("tags", fp + 8, 2);
    hex("top", fp + 28, 10);
    F(SYS_ptrace, PTRACE_GETFPXREGS, child, 0, fx);
#else
    u8 fx[512];
    F(SYS_ptrace, PTRACE_GETFPREGS, child, 0, fx);
#endif
    hex("control", fx, 2);
    hex("tags", fx + 4, 1);
    hex("top", fx + 32, 10);
    hex("mxcsr", fx + 24, 4);
    hex("xmm3", fx + 160 + 48, 16);
    fx[160 + 48] = 0x99;
#ifdef __i386__
    F(SYS_ptrace, PTRACE_SETFPXREGS, child, 0, fx);
#else
    F(SYS_ptrace, PTRACE_SETFPREGS, child, 0, fx);
    struct iovec v = {fx, sizeof fx};
    F(SYS_ptrace, PTRACE_GETREGSET, child, NT_PRFPREG, &v);
    P("%d %#x\n", (int)v.iov_len, fx[160 + 48]);
#endif
    finish();
}
CASE(memory) {
    static int variable = 0x12345678;
    TRACED(X(variable));
    long w = 0;
    F(SYS_ptrace, PTRACE_PEEKDATA, child, &variable, &w);
    X((u32)w);
    F(SYS_ptrace, PTRACE_POKEDATA, child, &variable, w & ~0xffffL | 0xbeef);
    S(SYS_ptrace, PTRACE_PEEKDATA, child, BAD, &w);
    S(SYS_ptrace, PTRACE_POKEDATA, child, BAD, 1);
    S(SYS_ptrace, PTRACE_PEEKDATA, child, HIGH, &w);
    int copy = 0;
    struct iovec local = {&copy, 4}, remote = {&variable, 4};
    V(process_vm_readv(child, &local, 1, &remote, 1, 0));
    X(copy);
    copy = 0x1111beef;
    V(process_vm_writev(child, &local, 1, &remote, 1, 0));
    finish();
}
CASE(fork_event) {
    TRACED(int p = fork(); if (!p) { P("grandchild\n"); _exit(9); } int st; waitpid(p, &st, 0); ended("grandchild", st));
    F(SYS_ptrace, PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACEFORK | PTRACE_O_TRACESYSGOOD);
    T(PTRACE_CONT, child, 0, 0);
    see(child);
    long new = 0;
    T(PTRACE_GETEVENTMSG, child, 0, &new);
    P("new %d\n", new > 0 && new != child);
    siginfo_t info;
    T(PTRACE_GETSIGINFO, child, 0, &info);
    P("signal %d code %#x\n", info.si_signo, info.si_code);
    int st = 0;
    waitpid(new, &st, __WALL);
    say("new", st);
    struct user_regs_struct r = regs(new), s = regs(child);
    P("answers %ld, same stack %d\n", (long)AX(r), SP(r) == SP(s));
    T(PTRACE_SYSCALL, new, 0, 0);
    waitpid(new, &st, __WALL);
    say("new", st);
    T(PTRACE_CONT, new, 0, 0);
    waitpid(new, &st, __WALL);
    say("new", st);
    T(PTRACE_CONT, child, 0, 0);
    see(child); /* SIGCHLD */
    T(PTRACE_CONT, child, 0, SIGCHLD);
    see(child);
}
CASE(vfork_event) {
    TRACED(int p = vfork(); if (!p) _exit(9); int st; waitpid(p, &st, 0); ended("grandchild", st));
    F(SYS_ptrace, PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE | PTRACE_O_TRACEEXIT);
    T(PTRACE_CONT, child, 0, 0);
    see(child);
    long new = 0, message = 0;
    T(PTRACE_GETEVENTMSG, child, 0, &new);
    int st = 0;
    waitpid(new, &st, __WALL);
    say("new", st);
    T(PTRACE_CONT, child, 0, 0);
    T(PTRACE_CONT, new, 0, 0);
    waitpid(new, &st, __WALL);
    say("new", st);
    T(PTRACE_GETEVENTMSG, new, 0, &message);
    X(message);
    T(PTRACE_CONT, new, 0, 0);
    waitpid(new, &st, __WALL);
    say("new", st);
    for (int i = 0; i < 5; i++) {
        st = see(child);
        if (!WIFSTOPPED(st)) break;
        T(PTRACE_CONT, child, 0, WSTOPSIG(st) == SIGCHLD ? SIGCHLD : 0);
    }
}
static void *run(void *arg) { P("thread\n"); return arg; }
#include <pthread.h>
CASE(clone_event) {
    TRACED(pthread_t t; pthread_create(&t, 0, run, 0); pthread_join(t, 0); usleep(100000); _exit(6));
    F(SYS_ptrace, PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACECLONE);
    T(PTRACE_CONT, child, 0, 0);
    see(child);
    long new = 0;
    T(PTRACE_GETEVENTMSG, child, 0, &new);
    int st = 0;
    waitpid(new, &st, __WALL);
    say("new", st);
    struct user_regs_struct r = regs(new), s = regs(child);
    P("answers %ld, same stack %d\n", (long)AX(r), SP(r) == SP(s));
    T(PTRACE_CONT, child, 0, 0);
    T(PTRACE_CONT, new, 0, 0);
    waitpid(new, &st, __WALL);
    say("new", st);
    see(child);
}
static void again(const char *how) {
    extern char **environ;
    char *argv[] = {"ptrace", (char *)how, 0};
    execve("/proc/self/exe", argv, environ);
    _exit(50);
}
CASE(exec_plain) {
    TRACED(again("--list"));
    T(PTRACE_CONT, child, 0, 0);
    see(child);
    siginfo_t info;
    T(PTRACE_GETSIGINFO, child, 0, &info);
    P("code %d\n", info.si_code);
    struct user_regs_struct r = regs(child);
    P("nr %s answer %ld\n", name(NR(r)), (long)AX(r));
    T(PTRACE_KILL, child, 0, 0);
    see(child);
}
CASE(exec_event) {
    TRACED(again("--list"));
    F(SYS_ptrace, PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD);
    T(PTRACE_SYSCALL, child, 0, 0);
    see(child);
    struct user_regs_struct r = regs(child);
    P("nr %s\n", name(NR(r)));
    T(PTRACE_SYSCALL, child, 0, 0);
    see(child);
    long message = 0;
    T(PTRACE_GETEVENTMSG, child, 0, &message);
    P("mine %d\n", message == child);
    T(PTRACE_SYSCALL, child, 0, 0);
    see(child);
    r = regs(child);
    P("nr %s answer %ld\n", name(NR(r)), (long)AX(r));
    T(PTRACE_SYSCALL, child, 0, 0);
    see(child);
    T(PTRACE_KILL, child, 0, 0);
    see(child);
}
CASE(exec_calls_plain) {
    TRACED(again("--list"));
    for (int i = 0; i < 3; i++) {
        T(PTRACE_SYSCALL, child, 0, 0);
        see(child);
        struct user_regs_struct r = regs(child);
        P("nr %s answer %ld\n", name(NR(r)), (long)AX(r));
    }
    T(PTRACE_KILL, child, 0, 0);
    see(child);
}
CASE(exit_event) {
    TRACED(_exit(5));
    F(SYS_ptrace, PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACEEXIT);
    T(PTRACE_CONT, child, 0, 0);
    see(child);
    long message = 0;
    T(PTRACE_GETEVENTMSG, child, 0, &message);
    X(message);
    struct user_regs_struct r = regs(child);
    P("nr %s\n", name(NR(r)));
    finish();
    TRACED(kill(getpid(), SIGTERM));
    F(SYS_ptrace, PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACEEXIT);
    T(PTRACE_CONT, child, 0, 0);
    see(child);
    T(PTRACE_CONT, child, 0, SIGTERM);
    see(child);
    T(PTRACE_GETEVENTMSG, child, 0, &message);
    X(message);
    finish();
}
/* Another process, busy or asleep. It tells when it is ready, and when its handler is done. */
static int other(int sleeps) {
    if (!told[1]) pipe(told);
    int pid = fork();
    if (!pid) {
        signal(SIGUSR1, handler);
        write(told[1], "r", 1);
        for (volatile long i = 0;; i++)
            if (sleeps) pause();
    }
    hear();
    /* Until it sleeps. */
    char path[40], state = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    for (int i = 0; sleeps && state != 'S' && i < 10000; i++) {
        FILE *f = fopen(path, "r");
        if (!f || fscanf(f, "%*d (%*[^)]) %c", &state) != 1) break;
        fclose(f);
        usleep(1000);
    }
    return pid;
}
CASE(attach) {
    for (int sleeps = 0; sleeps < 2; sleeps++) {
        child = other(sleeps);
        F(SYS_ptrace, PTRACE_ATTACH, child, 0, 0);
        see(child);
        struct user_regs_struct r = regs(child);
        P("stack %d\n", SP(r) != 0);
        if (sleeps) P("nr %d answer %ld\n", (int)NR(r) > 0, (long)AX(r));
        T(PTRACE_CONT, child, 0, SIGUSR1);
        hear();
        kill(child, SIGUSR2);
        see(child);
        F(SYS_ptrace, PTRACE_DETACH, child, 0, 0);
        usleep(30000);
        S(SYS_ptrace, PTRACE_CONT, child, 0, 0);
        kill(child, SIGUSR1);
        hear();
        kill(child, SIGKILL);
        int st;
        waitpid(child, &st, 0);
        say("child", st);
    }
}
/* Waits until the process is in that state. */
static void until_state(int pid, char wanted) {
    char path[64], state = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    for (int i = 0; i < 5000 && state != wanted; i++) {
        FILE *f = fopen(path, "r");
        if (!f || fscanf(f, "%*d (%*[^)]) %c", &state) != 1) break;
        fclose(f);
        usleep(1000);
    }
}
/* How: 0 a wait first, 1 resumed at once as gdb does it, 2 detached at once. */
static void attach_to_stopped(int sleeps, int how) {
    child = other(sleeps);
    kill(child, SIGSTOP);
    until_state(child, 'T');
    F(SYS_ptrace, PTRACE_ATTACH, child, 0, 0);
    siginfo_t info;
    if (how == 1) {
        syscall(SYS_tkill, child, SIGSTOP);
        F(SYS_ptrace, PTRACE_CONT, child, 0, 0);
    }
    see(child);
    int res = T(PTRACE_GETSIGINFO, child, 0, &info);
    P("siginfo %d errno %d\n", res, res ? errno : 0);
    struct user_regs_struct r = regs(child);
    P("stack %d\n", SP(r) != 0);
    if (sleeps) P("nr %d answer %ld\n", (int)NR(r) > 0, (long)AX(r));
    if (how == 0) {
        F(SYS_ptrace, PTRACE_CONT, child, 0, 0);
        see(child); /* the one that attaching sent */
        T(PTRACE_GETSIGINFO, child, 0, &info);
        P("signal %d code %#x\n", info.si_signo, info.si_code);
    }
    if (how != 2) {
        T(PTRACE_CONT, child, 0, SIGUSR1);
        hear();
        kill(child, SIGUSR2);
        see(child);
    }
    F(SYS_ptrace, PTRACE_DETACH, child, 0, 0);
    if (how == 2) {
        until_state(child, 'T');
        kill(child, SIGCONT);
        until_state(child, sleeps ? 'S' : 'R');
    }
    kill(child, SIGUSR1);
    if (how == 2) hear();
    kill(child, SIGKILL);
    int st;
    waitpid(child, &st, 0);
    say("child", st);
}
CASE(attach_stopped) { attach_to_stopped(0, 0); }
CASE(attach_stopped_sleeping) { attach_to_stopped(1, 0); }
CASE(attach_stopped_resumed) { attach_to_stopped(0, 1); }
CASE(attach_stopped_sleeping_resumed) { attach_to_stopped(1, 1); }
CASE(attach_stopped_detached) { attach_to_stopped(0, 2); }
CASE(attach_stopped_sleeping_detached) { attach_to_stopped(1, 2); }
CASE(seize) {
    for (int sleeps = 0; sleeps < 2; sleeps++) {
        child = other(sleeps);
        F(SYS_ptrace, PTRACE_SEIZE, child, 0, PTRACE_O_TRACESYSGOOD);
        S(SYS_ptrace, PTRACE_CONT, child, 0, 0);
        F(SYS_ptrace, PTRACE_INTERRUPT, child, 0, 0);
        see(child);
        struct user_regs_struct r = regs(child);
        if (sleeps) P("nr %d answer %ld\n", (int)NR(r) > 0, (long)AX(r));
        siginfo_t info;
        T(PTRACE_GETSIGINFO, child, 0, &info);
        P("signal %d code %#x\n", info.si_signo, info.si_code);
        T(PTRACE_CONT, child, 0, 0);
        usleep(20000);
        kill(child, SIGUSR1);
        see(child);
        T(PTRACE_CONT, child, 0, SIGUSR1);
        hear();
        F(SYS_ptrace, PTRACE_INTERRUPT, child, 0, 0);
        see(child);
        F(SYS_ptrace, PTRACE_DETACH, child, 0, 0);
        kill(child, SIGTERM);
        int st;
        waitpid(child, &st, 0);
        say("child", st);
    }
}
CASE(group_stop) {
    child = other(1);
    F(SYS_ptrace, PTRACE_SEIZE, child, 0, 0);
    kill(child, SIGSTOP);
    see(child);
    T(PTRACE_CONT, child, 0, SIGSTOP);
    see(child); /* the group */
    F(SYS_ptrace, PTRACE_LISTEN, child, 0, 0);
    S(SYS_ptrace, PTRACE_CONT, child, 0, 0);
    kill(child, SIGCONT);
    see(child);
    T(PTRACE_CONT, child, 0, 0);
    see(child); /* SIGCONT */
    T(PTRACE_CONT, child, 0, SIGCONT);
    usleep(20000);
    kill(child, SIGTSTP);
    see(child);
    T(PTRACE_CONT, child, 0, 0);
    usleep(20000);
    kill(child, SIGKILL);
    see(child);
}
CASE(group_stop_plain) {
    TRACED(kill(getpid(), SIGTSTP); P("on\n"); kill(getpid(), SIGSTOP); P("further\n"));
    T(PTRACE_CONT, child, 0, 0);
    see(child);
    T(PTRACE_CONT, child, 0, 0); /* not delivered */
    see(child);
    T(PTRACE_CONT, child, 0, SIGSTOP);
    see(child);
    siginfo_t info;
    S(SYS_ptrace, PTRACE_GETSIGINFO, child, 0, &info);
    finish();
}
CASE(waitid_status) {
    TRACED(kill(getpid(), SIGUSR2); _exit(4));
    T(PTRACE_CONT, child, 0, 0);
    siginfo_t info = {0};
    F(SYS_waitid, P_PID, child, &info, WEXITED | WSTOPPED | WNOWAIT | __WALL, 0);
    P("code %d status %#x\n", info.si_code, info.si_status);
    F(SYS_waitid, P_PID, child, &info, WEXITED | WSTOPPED | __WALL, 0);
    P("code %d status %#x\n", info.si_code, info.si_status);
    S(SYS_wait4, child, 0, WNOHANG | __WALL, 0);
    T(PTRACE_CONT, child, 0, 0);
    F(SYS_waitid, P_PID, child, &info, WEXITED | __WALL, 0);
    P("code %d status %#x\n", info.si_code, info.si_status);
}
CASE(tracer_dies) {
    int p[2];
    pipe(p);
    pipe(told);
    int pid = fork();
    if (!pid) {
        /* The tracer: attaches to its own child and dies. */
        int c = other(0);
        write(p[1], &c, 4);
        syscall(SYS_ptrace, PTRACE_ATTACH, c, 0, 0);
        int st;
        waitpid(c, &st, __WALL);
        syscall(SYS_ptrace, PTRACE_SYSCALL, c, 0, 0);
        usleep(20000);
        _exit(0);
    }
    int c, st;
    read(p[0], &c, 4);
    waitpid(pid, &st, 0);
    say("tracer", st);
    usleep(20000);
    kill(c, SIGUSR1);
    hear();
    kill(c, SIGKILL);
}
CASE(exitkill) {
    int p[2];
    pipe(p);
    int pid = fork();
    if (!pid) {
        int c = fork();
        if (!c) { close(p[0]); for (;;) pause(); }
        syscall(SYS_ptrace, PTRACE_SEIZE, c, 0, PTRACE_O_EXITKILL);
        _exit(0);
    }
    int st;
    close(p[1]);
    waitpid(pid, &st, 0);
    char b;
    V(read(p[0], &b, 1));
}
CASE(interrupted_call) {
    /* A signal that is suppressed lets the call go on, one with a handler ends it. */
    TRACED(signal(SIGUSR1, handler); siginterrupt(SIGUSR1, 1); int q[2]; pipe(q); char b; long r = read(q[0], &b, 1); P("%ld %s\n", r, err(errno)));
    T(PTRACE_CONT, child, 0, 0);
    usleep(50000);
    kill(child, SIGUSR2);
    see(child);
    struct user_regs_struct r = regs(child);
    P("nr %d answer %ld\n", NR(r) == SYS_read, (long)AX(r));
    T(PTRACE_CONT, child, 0, 0);
    usleep(50000);
    kill(child, SIGUSR1);
    see(child);
    T(PTRACE_CONT, child, 0, SIGUSR1);
    see(child);
}
/* The tracer reads from its tracee instead of waiting for it. */
CASE(unwaited) {
    int p[2];
    pipe(p);
    TRACED(char *m = mmap(0, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); int sum = 0;
           for (int i = 0; i < 50; i++) { memcpy(m, "\xb8\0\0\0\0\xc3", 6); m[1] = i; sum += ((int (*)(void))m)(); }
           write(p[1], &sum, 4));
    T(PTRACE_CONT, child, 0, 0);
    int sum = 0;
    V(read(p[0], &sum, 4));
    V(sum);
    see(child);
}
/* Debug registers: watched memory and code. */
#define U_DR(n) (offsetof(struct user, u_debugreg) + (n) * sizeof(long))
static volatile struct { int a, b; char bytes[24]; } seen_by __attribute__((aligned(32)));
static volatile unsigned long flags_seen;
__attribute__((noinline)) static int called(int n) { __asm__ volatile(""); return n + 1; }
static void watched_child(void) {
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    seen_by.a = 1;
    seen_by.a = 1;
    seen_by.b = 2;
    unsigned long f;
    __asm__ volatile("pushf\n\tpop %0" : "=r"(f));
    flags_seen = f & 0x100;
    seen_by.b = seen_by.a + called(3);
    char *to = (char *)seen_by.bytes;
    const char *from = "0123456789";
    long n = 6;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
    _exit(flags_seen ? 1 : 0);
}
static void stops(int most, int step) {
    while (most--) {
        int st;
        if (ptrace(step ? PTRACE_SINGLESTEP : PTRACE_CONT, child, 0, 0) < 0 || waitpid(child, &st, 0) != child) { P("gone\n"); return; }
        if (!WIFSTOPPED(st)) { ended("tracee", st); return; }
        siginfo_t si;
        struct user_regs_struct r;
        ptrace(PTRACE_GETSIGINFO, child, 0, &si);
        ptrace(PTRACE_GETREGS, child, 0, &r);
        errno = 0;
        unsigned long status = ptrace(PTRACE_PEEKUSER, child, U_DR(6), 0);
        P("signal %d code %d status %#lx at the address %d, at the function %d\n", WSTOPSIG(st), si.si_code, status, (unsigned long)si.si_addr == IP(r), IP(r) == (unsigned long)called);
    }
}
static void watched(unsigned long control, volatile void *a, volatile void *b, int most, int step) {
    child = fork();
    if (!child) watched_child();
    waitpid(child, 0, 0);
    T(PTRACE_POKEUSER, child, U_DR(0), a);
    T(PTRACE_POKEUSER, child, U_DR(1), b);
    P("control %#lx: ", control);
    if (T(PTRACE_POKEUSER, child, U_DR(7), control) < 0) P("%s\n", err(errno));
    else P("%d\n", ptrace(PTRACE_PEEKUSER, child, U_DR(7), 0) == (long)control && ptrace(PTRACE_PEEKUSER, child, U_DR(0), 0) == (long)a);
    stops(most, step);
    kill(child, SIGKILL);
    waitpid(child, 0, 0);
}
CASE(debug_registers_write) { watched(0xd0001, &seen_by.a, 0, 9, 0); }
CASE(debug_registers_access) { watched(0xf0002, &seen_by.a, 0, 9, 0); }
CASE(debug_registers_two) { watched(0x5d0005, &seen_by.a, &seen_by.b, 9, 0); }
CASE(debug_registers_code) { watched(0x00001, called, 0, 4, 0); }
CASE(debug_registers_code_and_data) { watched(0xd00005, called, &seen_by.b, 6, 0); }
CASE(debug_registers_string) { watched(0x50001, &seen_by.bytes[2], 0, 4, 0); }
CASE(debug_registers_overlap) { watched(0x10001, (char *)&seen_by.b + 3, 0, 6, 0); }
CASE(debug_registers_off) { watched(0xd0000, &seen_by.a, 0, 4, 0); }
CASE(debug_registers_refused) {
    child = fork();
    if (!child) watched_child();
    waitpid(child, 0, 0);
    struct { int n; unsigned long value; } tries[] = {{0, 0x1001}, {7, 0xd0001}, {7, 0x20001}, {7, 0x50000}, {7, 0x40001}, {4, 0}, {5, 1}, {0, -4096ul}, {6, 0}, {7, 0x10001}};
    for (unsigned i = 0; i < sizeof tries / sizeof *tries; i++) {
        long r = T(PTRACE_POKEUSER, child, U_DR(tries[i].n), tries[i].value);
        P("%d %#lx: %s\n", tries[i].n, tries[i].value, r < 0 ? err(errno) : "fine");
    }
    for (int n = 0; n < 8; n++) P("%d: %#lx\n", n, (unsigned long)ptrace(PTRACE_PEEKUSER, child, U_DR(n), 0));
    kill(child, SIGKILL);
}
/* A step and an access at once; a step alone. */
CASE(debug_registers_stepping) {
    child = fork();
    if (!child) watched_child();
    waitpid(child, 0, 0);
    T(PTRACE_POKEUSER, child, U_DR(0), &seen_by.a);
    T(PTRACE_POKEUSER, child, U_DR(7), 0xd0001);
    int found = 0, st = 0;
    for (int i = 0; i < 2000 && found < 2; i++) {
        ptrace(PTRACE_SINGLESTEP, child, 0, 0);
        waitpid(child, &st, 0);
        if (!WIFSTOPPED(st)) { ended("tracee", st); break; }
        siginfo_t si;
        ptrace(PTRACE_GETSIGINFO, child, 0, &si);
        unsigned long status = ptrace(PTRACE_PEEKUSER, child, U_DR(6), 0);
        if (i == 0) P("first: code %d\n", si.si_code);
        if (status & 1) { found++; P("found: code %d status %#lx\n", si.si_code, status); }
        else if (si.si_code != TRAP_TRACE && si.si_code != TRAP_BRKPT) P("code %d status %#lx\n", si.si_code, status);
    }
    kill(child, SIGKILL);
}
/* A child of the traced one watches nothing. */
CASE(debug_registers_not_inherited) {
    child = fork();
    if (!child) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        int c = fork();
        if (!c) { seen_by.a = 9; _exit(seen_by.a); }
        int st;
        waitpid(c, &st, 0);
        _exit(WIFEXITED(st) ? WEXITSTATUS(st) : 100);
    }
    waitpid(child, 0, 0);
    T(PTRACE_POKEUSER, child, U_DR(0), &seen_by.a);
    T(PTRACE_POKEUSER, child, U_DR(7), 0xd0001);
    int st;
    do {
        ptrace(PTRACE_CONT, child, 0, 0);
        waitpid(child, &st, 0);
    } while (WIFSTOPPED(st) && WSTOPSIG(st) == SIGCHLD);
    ended("tracee", st);
}
/* The registers stay when the tracer goes, and the thread's own handler gets their traps, RF set for an instruction's; no child and no other thread has them. */
#ifdef __i386__
#define CONTEXT_IP(u) ((u)->uc_mcontext.gregs[REG_EIP])
#else
#define CONTEXT_IP(u) ((u)->uc_mcontext.gregs[REG_RIP])
#endif
static int handled, at_function, flagged, clears;
static void on_debug(int s, siginfo_t *i, void *context) {
    ucontext_t *u = context;
    int is_function = (unsigned long)CONTEXT_IP(u) == (unsigned long)called;
    handled++;
    at_function += is_function;
    flagged += (u->uc_mcontext.gregs[REG_EFL] >> 16 & 1) == is_function && s == SIGTRAP && i->si_code == 4;
    /* Without the flag it traps once more. */
    if (is_function && clears && clears--) u->uc_mcontext.gregs[REG_EFL] &= ~0x10000;
}
/* Returns to `called` with the given flags by an interrupt's way. */
__attribute__((noinline)) static int returns_to(unsigned long flags) {
    int answer = 5;
#ifdef __i386__
    __asm__ volatile("push $1f\n\tpush %1\n\tpush %%cs\n\tpush $called_plainly\n\tiret\n1:" : "+a"(answer) : "r"(flags) : "memory", "cc", "ecx", "edx");
#else
    __asm__ volatile("mov %%rsp, %%rbx\n\tlea -128(%%rsp), %%rsp\n\tand $-16, %%rsp\n\tlea 1f(%%rip), %%rcx\n\tpush %%rcx\n\tmov %%rsp, %%rcx\n\t"
                     "mov %%ss, %%edx\n\tpush %%rdx\n\tpush %%rcx\n\tpush %1\n\tmov %%cs, %%edx\n\tpush %%rdx\n\tlea called_plainly(%%rip), %%rcx\n\tpush %%rcx\n\tiretq\n"
                     "1:\tmov %%rbx, %%rsp" : "+a"(answer) : "r"(flags) : "memory", "cc", "rbx", "rcx", "rdx");
#endif
    return answer;
}
int called_plainly(void);
__asm__(".text\n\t.globl called_plainly\ncalled_plainly:\n\tmov $77, %eax\n\tret\n");
static void staying(unsigned long control, volatile void *a, volatile void *b, void (*act)(void)) {
    int go[2], done[2], st;
    char byte = 0;
    pipe(go);
    pipe(done);
    child = fork();
    if (!child) {
        struct sigaction action = {.sa_sigaction = on_debug, .sa_flags = SA_SIGINFO};
        sigaction(SIGTRAP, &action, 0);
        while (read(go[0], &byte, 1) < 0);
        act();
        P("handled %d, %d at the function, %d as they should be\n", handled, at_function, flagged);
        write(done[1], &byte, 1);
        while (read(go[0], &byte, 1) < 0);
        _exit(3);
    }
    close(done[1]);
    V(T(PTRACE_ATTACH, child, 0, 0));
    waitpid(child, &st, __WALL);
    T(PTRACE_POKEUSER, child, U_DR(0), a);
    T(PTRACE_POKEUSER, child, U_DR(1), b);
    V(T(PTRACE_POKEUSER, child, U_DR(7), control));
    V(T(PTRACE_DETACH, child, 0, 0));
    write(go[1], &byte, 1);
    read(done[0], &byte, 1);
    V(T(PTRACE_ATTACH, child, 0, 0));
    waitpid(child, &st, __WALL);
    P("status %#lx control %#lx\n", (unsigned long)ptrace(PTRACE_PEEKUSER, child, U_DR(6), 0), (unsigned long)ptrace(PTRACE_PEEKUSER, child, U_DR(7), 0));
    kill(child, SIGKILL);
    waitpid(child, &st, __WALL);
    ended("child", st);
}
static void act_plain(void) { seen_by.a = 1; seen_by.b = 2; V(called(3)); seen_by.a = called(4); }
static void act_cleared(void) { clears = 3; V(called(3)); V(called(4)); }
static void act_iret(void) { V(returns_to(0x202)); P("handled %d\n", handled); V(returns_to(0x10202)); }
static void act_children(void) {
    seen_by.a = 1;
    int c = fork(), st;
    if (!c) { handled = 0; seen_by.a = called(2); _exit(handled); }
    waitpid(c, &st, 0);
    ended("its child", st);
}
CASE(debug_registers_stay) { staying(0xd00005, called, &seen_by.a, act_plain); }
CASE(debug_registers_stay_flag_cleared) { staying(0x00001, called, 0, act_cleared); }
CASE(debug_registers_stay_iret) { staying(0x00001, called_plainly, 0, act_iret); }
CASE(debug_registers_stay_not_inherited) { staying(0xd00005, called, &seen_by.a, act_children); }
