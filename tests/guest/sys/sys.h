/* What the system call cases share. A case is a function with a name: it runs in a process and an empty folder of its own and
   prints what calls, made by number, answer. A program holds the cases of one family: without arguments it runs all of them,
   with arguments those named. Output of a case goes between "== NAME" and a line that says how its process ended; only what a
   kernel must give every time is printed. Nothing is buffered, so that cases may fork as they like. */
#ifndef SYS_H
#define SYS_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define P(...) dprintf(1, __VA_ARGS__)
/* An address that is mapped nowhere, and one in the kernel's half or at the end of the space. */
#define BAD ((void *)16)
#define HIGH ((void *)-4096L)
#define PAGE 4096
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long s64;
/* struct __kernel_timespec, struct timespec of the call without 64, and of timeval. */
struct ts64 { s64 sec, nsec; };
struct tsl { long sec, nsec; };
/* A 64-bit argument as i386 splits it. */
#ifdef __i386__
#define WIDE(x) (long)(u32)(x), (long)(u32)((u64)(s64)(x) >> 32)
#else
#define WIDE(x) (long)(x)
#endif

static const char *err(int e) {
    const char *n = strerrorname_np(e);
    return n ? n : "?";
}
static void show(const char *what, long r) {
    if (r == -1) P("%s: %s\n", what, err(errno));
    else P("%s: %ld\n", what, r);
}
static void fine(const char *what, long r) {
    if (r == -1) P("%s: %s\n", what, err(errno));
    else P("%s: ok\n", what);
}
#define R(...) (errno = 0, syscall(__VA_ARGS__))
/* Shows the value that a call answers; F only that it worked. */
#define S(...) show(#__VA_ARGS__, R(__VA_ARGS__))
#define F(...) fine(#__VA_ARGS__, R(__VA_ARGS__))
#define V(x) P(#x " = %lld\n", (s64)(x))
#define X(x) P(#x " = %#llx\n", (u64)(x))

static __attribute__((unused)) void hex(const char *what, const void *p, int n) {
    char line[2100];
    int at = 0;
    for (int i = 0; i < n && i < 1000; i++) at += sprintf(line + at, "%02x", ((const u8 *)p)[i]);
    line[at] = 0;
    P("%s: %s\n", what, line);
}
/* A file "f" with this text, open for reading and writing, at its beginning. */
static __attribute__((unused)) int file(const char *text) {
    int fd = open("f", O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (write(fd, text, strlen(text)) < 0) P("write failed\n");
    lseek(fd, 0, SEEK_SET);
    return fd;
}
/* Pages that can be used, with one behind them that cannot. */
static __attribute__((unused)) char *pages(int n) {
    char *p = mmap(0, (n + 1) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(p + n * PAGE, PAGE, PROT_NONE);
    return p;
}
/* N bytes before a page that cannot be used. */
static __attribute__((unused)) void *edge(int n) { return pages(1) + PAGE - n; }
/* A page that can only be read. */
static __attribute__((unused)) void *readonly(void) {
    return mmap(0, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
static __attribute__((unused)) void ended(const char *what, int status) {
    if (WIFEXITED(status)) P("%s: exit %d\n", what, WEXITSTATUS(status));
    else if (WIFSIGNALED(status)) P("%s: signal %d\n", what, WTERMSIG(status));
    else if (WIFSTOPPED(status)) P("%s: stopped %d\n", what, WSTOPSIG(status));
    else P("%s: status %#x\n", what, status);
}
/* A child that does BODY and exits with its value or 0; the parent shows how it ended. */
#define CHILD(...)                           \
    do {                                     \
        int pid_ = fork(), st_;              \
        if (!pid_) {                         \
            __VA_ARGS__;                     \
            _exit(0);                        \
        }                                    \
        if (waitpid(pid_, &st_, 0) == pid_) ended("child", st_); \
    } while (0)
#define UNPRIVILEGED CHILD
/* Becomes another user, or ends the process: what follows is meant to be refused and must never run with the rights of before. In a
   user namespace with one id there is no other user. */
static __attribute__((unused)) void drop(void) {
    if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534) || !getuid() || !geteuid()) {
        P("no other user\n");
        _exit(77);
    }
}
/* A namespace of the process's own, or its end: what follows must never change the machine's. */
static __attribute__((unused)) void own(int flags) {
    if (unshare(flags)) {
        P("no namespace: %s\n", err(errno));
        _exit(77);
    }
}

struct test { const char *name; void (*body)(void); };
static struct test tests[200];
static int count;
#define CASE(name)                                                    \
    static void case_##name(void);                                    \
    __attribute__((constructor)) static void add_##name(void) {       \
        tests[count++] = (struct test){#name, case_##name};           \
    }                                                                 \
    static void case_##name(void)

static int gone(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind, (void)at;
    remove(path);
    return 0;
}
static void one(struct test *t) {
    char folder[] = "/tmp/demotic-sys-XXXXXX";
    P("== %s\n", t->name);
    if (!mkdtemp(folder)) { P("no folder: %s\n", err(errno)); return; }
    chmod(folder, 0777);
    int pid = fork();
    if (pid < 0) { P("no process: %s\n", err(errno)); return; }
    if (!pid) {
        umask(022);
        setpgid(0, 0);
        if (chdir(folder)) _exit(99);
        t->body();
        _exit(0);
    }
    int status = 0, done = 0;
    for (int i = 0; i < 20000; i++) {
        if (waitpid(pid, &status, WNOHANG) == pid) { done = 1; break; }
        usleep(i < 200 ? 100 : 1000);
    }
    kill(-pid, SIGKILL);
    if (!done) { kill(pid, SIGKILL); waitpid(pid, &status, 0); P("[timeout]\n"); }
    else if (WIFEXITED(status)) P("[exit %d]\n", WEXITSTATUS(status));
    else P("[signal %d%s]\n", WTERMSIG(status), "");
    nftw(folder, gone, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "--list")) {
        for (int i = 0; i < count; i++) P("%s\n", tests[i].name);
        return 0;
    }
    signal(SIGTTOU, SIG_IGN);
    for (int i = 0; i < count; i++) {
        int wanted = argc == 1;
        for (int k = 1; k < argc; k++) wanted |= !strcmp(argv[k], tests[i].name);
        if (wanted) one(&tests[i]);
    }
    return 0;
}
#endif
