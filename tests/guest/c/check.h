/* What the C guests share. Every program prints deterministic lines; CHECK says what went wrong and goes on. */
#ifndef CHECK_H
#define CHECK_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(x)                                                                          \
    do {                                                                                  \
        errno = 0;                                                                        \
        if (!(x)) printf("line %d: %s failed, errno %s\n", __LINE__, #x, errno_name(errno)); \
    } while (0)

static inline const char *errno_name(int e) {
    const char *name = strerrorname_np(e);
    return name ? name : "?";
}

/* Prints what a call returned: its value, or the error's name. */
#define SHOW(call)                                                                           \
    do {                                                                                     \
        errno = 0;                                                                           \
        long long r_ = (long long)(call);                                                    \
        if (r_ == -1) printf("%s: %s\n", #call, errno_name(errno));                          \
        else printf("%s: %lld\n", #call, r_);                                                \
    } while (0)

/* A fresh directory for files, made the working directory; the path is not printed. */
static inline void enter_scratch(void) {
    char path[] = "/tmp/demotic-guest-XXXXXX";
    if (!mkdtemp(path) || chdir(path)) {
        printf("no scratch directory: %s\n", errno_name(errno));
        exit(99);
    }
}

static inline void leave_scratch(void) {
    char path[4096];
    if (getcwd(path, sizeof path) && !chdir("/")) rmdir(path);
}
#endif
