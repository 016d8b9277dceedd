/* Signals: handlers with siginfo, masks, nesting, SA_ flags, waiting for signals, queued values, restart and EINTR. */
#include "check.h"
#include <poll.h>

static volatile sig_atomic_t seen, depth, deepest, raises;
static volatile int last_code, last_value;
static volatile long last_pid_ok;

static void simple(int sig) { seen = seen * 100 + sig; }

static void info(int sig, siginfo_t *si, void *uc) {
    (void)uc;
    seen = sig;
    last_code = si->si_code;
    last_value = si->si_value.sival_int;
    last_pid_ok = si->si_pid == getpid() && si->si_uid == getuid();
}

static void nested(int sig) {
    depth++;
    if (depth > deepest) deepest = depth;
    if (raises++ < 3) raise(sig);
    depth--;
}

static void install(int sig, void (*handler)(int), int flags) {
    struct sigaction sa = {.sa_handler = handler, .sa_flags = flags};
    sigemptyset(&sa.sa_mask);
    CHECK(sigaction(sig, &sa, NULL) == 0);
}

static void install_info(int sig, int flags) {
    struct sigaction sa = {.sa_sigaction = info, .sa_flags = SA_SIGINFO | flags};
    sigemptyset(&sa.sa_mask);
    CHECK(sigaction(sig, &sa, NULL) == 0);
}

static char alt[65536] __attribute__((aligned(16)));
static void on_alt(int sig) {
    char here;
    stack_t ss;
    (void)sig;
    CHECK(sigaltstack(NULL, &ss) == 0);
    printf("on the alternate stack: %d, SS_ONSTACK %d, switching then: ", &here >= alt && &here < alt + sizeof alt,
           ss.ss_flags == SS_ONSTACK);
    stack_t off = {.ss_flags = SS_DISABLE};
    printf("%s\n", sigaltstack(&off, NULL) ? errno_name(errno) : "allowed");
}

static void masked_inside(int sig) {
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    printf("inside handler of %d: self blocked %d, USR2 blocked %d, TERM blocked %d\n", sig, sigismember(&now, sig),
           sigismember(&now, SIGUSR2), sigismember(&now, SIGTERM));
}

static sigjmp_buf jump;
static void jumper(int sig) { siglongjmp(jump, sig); }

/* A child that signals its parent after a while, and the parent in a blocking call meanwhile. */
static pid_t poke(int sig, int ms) {
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        usleep(ms * 1000);
        kill(parent, sig);
        usleep(ms * 2000);
        _exit(0);
    }
    return pid;
}

int main(void) {
    setvbuf(stdout, NULL, _IONBF, 0);
    install(SIGUSR1, simple, 0);
    raise(SIGUSR1);
    printf("raise: %d\n", (int)seen);

    install_info(SIGUSR2, 0);
    kill(getpid(), SIGUSR2);
    printf("kill: signal %d code %d from myself %ld\n", (int)seen, last_code, last_pid_ok);
    union sigval v = {.sival_int = 4242};
    sigqueue(getpid(), SIGUSR2, v);
    printf("sigqueue: signal %d code %d value %d\n", (int)seen, last_code, last_value);
    syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR2);
    printf("tgkill: code %d\n", last_code);
    pthread_kill(pthread_self(), SIGUSR2);
    printf("pthread_kill: code %d\n", last_code);

    /* Real-time signals queue in order; ordinary ones merge. */
    install(SIGRTMIN, simple, 0);
    install(SIGRTMIN + 1, simple, 0);
    sigset_t block, old, pending;
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigaddset(&block, SIGRTMIN);
    sigaddset(&block, SIGRTMIN + 1);
    sigprocmask(SIG_BLOCK, &block, &old);
    seen = 0;
    for (int i = 0; i < 2; i++) sigqueue(getpid(), SIGRTMIN + 1, v);
    sigqueue(getpid(), SIGRTMIN, v);
    raise(SIGUSR1);
    raise(SIGUSR1);
    sigpending(&pending);
    printf("pending: USR1 %d RTMIN %d RTMIN+1 %d USR2 %d, delivered %d\n", sigismember(&pending, SIGUSR1),
           sigismember(&pending, SIGRTMIN), sigismember(&pending, SIGRTMIN + 1), sigismember(&pending, SIGUSR2), (int)seen);
    /* sigtimedwait takes them by number, lowest first. */
    siginfo_t si;
    struct timespec none = {0, 0}, some = {0, 20000000};
    int a = sigtimedwait(&block, &si, &none), b = sigwaitinfo(&block, &si);
    printf("taken: %s", a == SIGUSR1 ? "USR1" : "other");
    printf(" %s code %d value %d", b == SIGRTMIN ? "RTMIN" : "other", si.si_code, si.si_value.sival_int);
    printf(" %d", sigwaitinfo(&block, &si) - SIGRTMIN);
    printf(" %d\n", sigwaitinfo(&block, &si) - SIGRTMIN);
    SHOW(sigtimedwait(&block, &si, &some));
    raise(SIGUSR1);
    seen = 0;
    sigprocmask(SIG_SETMASK, &old, NULL);
    printf("delivered when unblocked: %d\n", (int)seen);

    install(SIGUSR1, nested, 0);
    raise(SIGUSR1);
    printf("without SA_NODEFER: deepest %d\n", (int)deepest);
    deepest = raises = 0;
    install(SIGUSR1, nested, SA_NODEFER);
    raise(SIGUSR1);
    printf("with SA_NODEFER: deepest %d\n", (int)deepest);

    install(SIGUSR1, simple, SA_RESETHAND);
    raise(SIGUSR1);
    struct sigaction sa;
    sigaction(SIGUSR1, NULL, &sa);
    printf("after SA_RESETHAND: default %d\n", sa.sa_handler == SIG_DFL);

    memset(&sa, 0, sizeof sa);
    sa.sa_handler = masked_inside;
    sigemptyset(&sa.sa_mask);
    sigaddset(&sa.sa_mask, SIGTERM);
    sigaction(SIGUSR1, &sa, NULL);
    raise(SIGUSR1);
    sigprocmask(SIG_BLOCK, NULL, &old);
    printf("after: USR1 blocked %d, TERM blocked %d\n", sigismember(&old, SIGUSR1), sigismember(&old, SIGTERM));

    stack_t ss = {.ss_sp = alt, .ss_size = sizeof alt};
    CHECK(sigaltstack(&ss, NULL) == 0);
    install(SIGUSR1, on_alt, SA_ONSTACK);
    raise(SIGUSR1);
    stack_t small = {.ss_sp = alt, .ss_size = 100};
    SHOW(sigaltstack(&small, NULL));

    install(SIGUSR1, jumper, 0);
    int came = sigsetjmp(jump, 1);
    if (!came) raise(SIGUSR1);
    sigprocmask(SIG_BLOCK, NULL, &old);
    printf("siglongjmp brought %d, USR1 blocked %d\n", came, sigismember(&old, SIGUSR1));

    /* sigsuspend: the signal is delivered under the temporary mask. */
    install(SIGUSR1, simple, 0);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigprocmask(SIG_BLOCK, &block, &old);
    seen = 0;
    pid_t child = poke(SIGUSR1, 20);
    sigset_t empty;
    sigemptyset(&empty);
    int r = sigsuspend(&empty);
    printf("sigsuspend: %d %s, seen %d\n", r, errno_name(errno), (int)seen);
    sigprocmask(SIG_SETMASK, &old, NULL);
    waitpid(child, NULL, 0);

    /* EINTR without SA_RESTART, restart with it. */
    int fds[2];
    char c;
    CHECK(pipe(fds) == 0);
    child = poke(SIGUSR1, 20);
    r = read(fds[0], &c, 1);
    printf("read interrupted: %d %s\n", r, errno_name(errno));
    waitpid(child, NULL, 0);
    install(SIGUSR1, simple, SA_RESTART);
    pid_t parent = getpid();
    child = fork();
    if (child == 0) {
        usleep(20000);
        kill(parent, SIGUSR1);
        usleep(40000);
        CHECK(write(fds[1], "x", 1) == 1);
        _exit(0);
    }
    seen = 0;
    r = read(fds[0], &c, 1);
    printf("read restarted: %d '%c', seen %d\n", r, c, (int)seen);
    waitpid(child, NULL, 0);
    /* nanosleep and poll return EINTR even with SA_RESTART; nanosleep reports the rest. */
    child = poke(SIGUSR1, 20);
    struct timespec ts = {5, 0}, rest = {0, 0};
    r = nanosleep(&ts, &rest);
    printf("nanosleep: %d %s, rest below 5 s %d\n", r, errno_name(errno), rest.tv_sec == 4);
    waitpid(child, NULL, 0);
    child = poke(SIGUSR1, 20);
    struct pollfd p = {.fd = fds[0], .events = POLLIN};
    r = poll(&p, 1, 5000);
    printf("poll: %d %s\n", r, errno_name(errno));
    waitpid(child, NULL, 0);

    /* SIGCHLD tells how the child ended. */
    install_info(SIGCHLD, 0);
    seen = 0;
    sigemptyset(&block);
    sigaddset(&block, SIGCHLD);
    sigprocmask(SIG_BLOCK, &block, &old);
    child = fork();
    if (child == 0) _exit(3);
    sigwaitinfo(&block, &si);
    printf("SIGCHLD: code %d status %d pid right %d\n", si.si_code == CLD_EXITED, si.si_status, si.si_pid == child);
    waitpid(child, NULL, 0);
    sigprocmask(SIG_SETMASK, &old, NULL);

    /* Ignored signals vanish; SIGKILL and SIGSTOP cannot be changed. */
    signal(SIGUSR1, SIG_IGN);
    raise(SIGUSR1);
    printf("signal(SIGKILL): %d\n", signal(SIGKILL, simple) == SIG_ERR);
    SHOW(sigaction(SIGSTOP, &sa, NULL));
    SHOW(sigaction(65, &sa, NULL));
    SHOW(kill(getpid(), 0));
    SHOW(kill(getpid(), 99));
    signal(SIGPIPE, SIG_IGN);
    close(fds[0]);
    SHOW(write(fds[1], "x", 1));

    /* A signal that stops and continues a child. */
    signal(SIGCHLD, SIG_DFL);
    child = fork();
    if (child == 0) {
        raise(SIGSTOP);
        _exit(5);
    }
    int status;
    waitpid(child, &status, WUNTRACED);
    printf("stopped %d by %d\n", WIFSTOPPED(status), WSTOPSIG(status));
    kill(child, SIGCONT);
    waitpid(child, &status, 0);
    printf("then exited %d with %d\n", WIFEXITED(status), WEXITSTATUS(status));
    return 0;
}
