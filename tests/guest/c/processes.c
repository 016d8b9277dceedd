/* Processes: fork, exec with arguments and environment, every kind of wait status, vfork, posix_spawn, pipes, groups. */
#include "check.h"
#include <spawn.h>
#include <sys/resource.h>

extern char **environ;

static void show_status(const char *what, int status) {
    if (WIFEXITED(status)) printf("%s: exited %d\n", what, WEXITSTATUS(status));
    else if (WIFSIGNALED(status)) printf("%s: killed by %s\n", what, sigabbrev_np(WTERMSIG(status)));
    else printf("%s: status %x\n", what, status);
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* What the executed copy of this program does. */
static int as_child(int argc, char **argv) {
    if (!strcmp(argv[1], "echo")) {
        for (int i = 2; i < argc; i++) printf("arg %d: [%s]\n", i, argv[i]);
        /* Sorted: an emulator under Demotic may turn the order round. */
        int n = 0;
        while (environ[n]) n++;
        qsort(environ, n, sizeof *environ, by_text);
        for (char **e = environ; *e; e++) printf("env [%s]\n", *e);
        return argc;
    }
    if (!strcmp(argv[1], "upper")) {
        int c;
        while ((c = getchar()) != EOF) putchar(c >= 'a' && c <= 'z' ? c - 32 : c);
        return 0;
    }
    if (!strcmp(argv[1], "fds")) {
        printf("inherited %d, close-on-exec %d\n", fcntl(atoi(argv[2]), F_GETFD) >= 0, fcntl(atoi(argv[3]), F_GETFD) >= 0);
        return 0;
    }
    if (!strcmp(argv[1], "signals")) {
        struct sigaction sa;
        sigset_t mask;
        sigaction(SIGUSR1, NULL, &sa);
        printf("ignored stays ignored %d", sa.sa_handler == SIG_IGN);
        sigaction(SIGUSR2, NULL, &sa);
        printf(", handled becomes default %d", sa.sa_handler == SIG_DFL);
        sigprocmask(SIG_BLOCK, NULL, &mask);
        printf(", mask kept %d\n", sigismember(&mask, SIGHUP));
        return 0;
    }
    return 98;
}

static void nothing(int sig) { (void)sig; }

static int run(char **argv, char **env) {
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        execve("/proc/self/exe", argv, env);
        _exit(97);
    }
    waitpid(pid, &status, 0);
    return status;
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IONBF, 0);
    /* Whoever started the tests in the background may have had it ignored. */
    signal(SIGINT, SIG_DFL);
    if (argc > 1) return as_child(argc, argv);
    int status, fds[2];
    pid_t pid;

    for (int i = 0; i < 4; i++) {
        fflush(stdout);
        pid = fork();
        if (pid == 0) {
            if (i == 0) _exit(0);
            if (i == 1) _exit(300);
            if (i == 2) raise(SIGKILL);
            raise(SIGTERM);
        }
        CHECK(waitpid(pid, &status, 0) == pid);
        show_status("child", status);
    }
    SHOW(waitpid(-1, &status, 0));

    char *env[] = {"A=1", "EMPTY=", "LONG=a value with spaces", NULL};
    show_status("exec", run((char *[]){"name", "echo", "", "two words", "\xff\x01", NULL}, env));

    /* fork copies memory; a pipe brings the answer. */
    CHECK(pipe(fds) == 0);
    int value = 1;
    pid = fork();
    if (pid == 0) {
        value += 41;
        CHECK(write(fds[1], &value, sizeof value) == sizeof value);
        _exit(0);
    }
    int got = 0;
    CHECK(read(fds[0], &got, sizeof got) == sizeof got);
    waitpid(pid, NULL, 0);
    printf("child said %d, mine is still %d\n", got, value);

    /* A pipeline through an executed filter. */
    int in[2], outp[2];
    CHECK(pipe(in) == 0 && pipe(outp) == 0);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        dup2(in[0], 0);
        dup2(outp[1], 1);
        close(in[0]), close(in[1]), close(outp[0]), close(outp[1]);
        execl("/proc/self/exe", "filter", "upper", (char *)NULL);
        _exit(97);
    }
    close(in[0]), close(outp[1]);
    CHECK(write(in[1], "hello through a pipe\n", 21) == 21);
    close(in[1]);
    char text[100] = "";
    int n = 0, r;
    while ((r = read(outp[0], text + n, sizeof text - 1 - n)) > 0) n += r;
    waitpid(pid, &status, 0);
    printf("filter: %s", text);
    show_status("filter", status);

    /* vfork: the parent waits (vfork.c says more). */
    pid = vfork();
    if (pid == 0) {
        _exit(9);
    }
    waitpid(pid, &status, 0);
    show_status("vfork", status);

    posix_spawn_file_actions_t fa;
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
    CHECK(posix_spawn(&pid, "/proc/self/exe", &fa, NULL, (char *[]){"spawned", "echo", "x", NULL}, (char *[]){"S=1", NULL}) == 0);
    waitpid(pid, &status, 0);
    show_status("posix_spawn", status);
    SHOW(execl("/", "x", (char *)NULL));
    SHOW(execl("/proc/self/status", "x", (char *)NULL));

    int keep = open("/dev/null", O_RDONLY), lose = open("/dev/null", O_RDONLY | O_CLOEXEC);
    char a[12], b[12];
    snprintf(a, sizeof a, "%d", keep);
    snprintf(b, sizeof b, "%d", lose);
    run((char *[]){"name", "fds", a, b, NULL}, env);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, nothing);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGHUP);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    run((char *[]){"name", "signals", NULL}, env);

    /* Sessions, groups, waitid, resource usage, nice. */
    pid = fork();
    if (pid == 0) {
        CHECK(setsid() == getpid());
        CHECK(getpgid(0) == getpid() && getsid(0) == getpid());
        _exit(7);
    }
    siginfo_t si;
    memset(&si, 0, sizeof si);
    CHECK(waitid(P_PID, pid, &si, WEXITED | WNOWAIT) == 0);
    printf("waitid: code %d status %d\n", si.si_code, si.si_status);
    struct rusage ru;
    CHECK(wait4(pid, &status, 0, &ru) == pid);
    show_status("wait4", status);
    pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    SHOW(waitpid(pid, &status, WNOHANG));
    kill(pid, SIGINT);
    waitpid(pid, &status, 0);
    show_status("interrupted", status);
    CHECK(getppid() > 0);
    struct rlimit rl;
    CHECK(getrlimit(RLIMIT_NOFILE, &rl) == 0);
    rl.rlim_cur = 64;
    CHECK(setrlimit(RLIMIT_NOFILE, &rl) == 0);
    int last = -1, fd;
    while ((fd = open("/dev/null", O_RDONLY)) >= 0) last = fd;
    printf("descriptors end at %d: %s\n", last, errno_name(errno));
    fflush(stdout);
    return 0;
}
