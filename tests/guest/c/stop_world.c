/* A process that shares its parent's memory stops and looks at all threads of the parent, as leak checkers do; and mappings are where
   sanitizers, which keep the rest of the address space for themselves, expect them. */
#include "check.h"
#include <dirent.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>

enum { THREADS = 3, ROUNDS = 12 };

static char stack[1 << 18] __attribute__((aligned(16)));
static atomic_int go, finish, done;
static atomic_long work[THREADS];
static int threads_seen, stopped, still, with_registers;

/* Something is always under way: system calls that change the address space, plain code, sleep. */
static void *worker(void *arg) {
    long me = (long)arg;
    while (!finish) {
        if (me == 0) {
            char *p = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            p[5] = 1;
            munmap(p, 1 << 16);
        } else if (me == 1) {
            for (volatile int i = 0; i < 1000; i++) { }
        } else {
            usleep(200);
        }
        work[me]++;
    }
    return NULL;
}

/* The threads of the parent, as /proc lists them. */
static int threads_of(int pid, int *tids, int room) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *dir = opendir(path);
    int n = 0;
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;)
        if (e->d_name[0] != '.' && n < room) tids[n++] = atoi(e->d_name);
    if (dir) closedir(dir);
    return n;
}

static int tracer(void *arg) {
    int parent = *(int *)arg, tids[32], status;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (!go) sched_yield();
    int n = threads_of(parent, tids, 32);
    threads_seen = n;
    stopped = with_registers = 0;
    for (int i = 0; i < n; i++) {
        if (ptrace(PTRACE_ATTACH, tids[i], NULL, NULL)) continue;
        /* Nothing that a stopped thread may have in hand is needed for going on. */
        munmap(mmap(NULL, 1 << 16, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1 << 16);
        if (syscall(SYS_wait4, tids[i], &status, __WALL, NULL) == tids[i] && WIFSTOPPED(status)) stopped++;
    }
    for (int i = 0; i < n; i++) {
        struct user_regs_struct regs;
        memset(&regs, 0, sizeof regs);
        if (ptrace(PTRACE_GETREGS, tids[i], NULL, &regs)) continue;
#ifdef __x86_64__
        unsigned long at = regs.rip, sp = regs.rsp;
#else
        unsigned long at = regs.eip, sp = regs.esp;
#endif
        if (at && sp) with_registers++;
    }
    /* Nobody goes on meanwhile. */
    long before[THREADS];
    for (int i = 0; i < THREADS; i++) before[i] = work[i];
    struct timespec pause = {0, 2000000};
    syscall(SYS_nanosleep, &pause, NULL);
    still = 1;
    for (int i = 0; i < THREADS; i++) still &= before[i] == work[i];
    for (int i = 0; i < n; i++) ptrace(PTRACE_DETACH, tids[i], NULL, NULL);
    done = 1;
    return 7;
}

/* x86-64: what ThreadSanitizer and MemorySanitizer both take for a program's own memory. */
static int is_ordinary(unsigned long long from, unsigned long long to) {
    return to <= 0x8000000000 || (from >= 0x550000000000 && to <= 0x568000000000) || from >= 0x7e8000000000;
}

static void places(void) {
    FILE *f = fopen("/proc/self/maps", "r");
    unsigned long long from, to;
    char line[4400];
    int others = 0;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "%llx-%llx", &from, &to) == 2 && !is_ordinary(from, to)) others++;
    if (f) fclose(f);
    printf("mappings elsewhere: %d\n", others);
}

int main(void) {
    pthread_t threads[THREADS];
    int pid = getpid(), rounds = 0, status, tids[32];
    places();
    for (long i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, worker, (void *)i);
    for (int i = 0; i < ROUNDS; i++) {
        go = done = 0;
        int child = clone(tracer, stack + sizeof stack, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_UNTRACED | SIGCHLD, &pid);
        CHECK(child > 0);
        if (child <= 0) break;
        prctl(PR_SET_PTRACER, child);
        go = 1;
        while (!done) sched_yield();
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
        CHECK(threads_seen == THREADS + 1 && stopped == THREADS + 1 && with_registers == THREADS + 1 && still);
        rounds++;
    }
    finish = 1;
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    /* A thread that was joined may be listed for a moment. */
    int left = 0;
    for (int i = 0; i < 1000 && (left = threads_of(pid, tids, 32)) > 1; i++) usleep(1000);
    printf("rounds %d, threads in the end: %d\n", rounds, left);
    return 0;
}
