/* Many processes: what leaks, deadlocks or is lost shows after thousands of them.
     stress threads T N   T threads, each forks and executes this program N times and looks at its answer
     stress execs N       one process executes itself N times; descriptors and memory must not grow
     stress storm T N     T threads, N signals to each while they call and are called
   Every form prints the same line each time. */
#define _GNU_SOURCE
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char *self;
static int rounds;
static atomic_int good;

static void *maker(void *number) {
    for (int i = 0; i < rounds; i++) {
        int pid = fork(), status;
        if (!pid) {
            char text[16];
            sprintf(text, "%d", ((int)(long)number * 7 + i) % 100);
            execl(self, self, "answer", text, (char *)0);
            _exit(127);
        }
        if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == ((int)(long)number * 7 + i) % 100) good++;
    }
    return 0;
}

static int threads(int count) {
    pthread_t *t = calloc(count, sizeof *t);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);
    for (long i = 0; i < count; i++)
        if (pthread_create(&t[i], &attr, maker, (void *)i)) printf("thread %ld does not start\n", i);
    for (int i = 0; i < count; i++) pthread_join(t[i], 0);
    printf("%d of %d processes answered\n", good, count * rounds);
    return 0;
}

static int descriptors(void) {
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d)) n++;
    if (d) closedir(d);
    return n;
}

static long memory(void) {
    long pages = 0, all = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f) {
        if (fscanf(f, "%ld %ld", &all, &pages) != 2) pages = 0;
        fclose(f);
    }
    return pages * 4;
}

/* execs LEFT [DESCRIPTORS MEMORY]: as they were the first time. */
static int execs(int argc, char **argv) {
    int left = atoi(argv[2]);
    char text[16], fds[16], kib[16];
    if (argc < 5) {
        sprintf(fds, "%d", descriptors());
        sprintf(kib, "%ld", memory());
    } else {
        strcpy(fds, argv[3]);
        strcpy(kib, argv[4]);
    }
    if (left == 0) {
        printf("descriptors %s, memory %s\n", descriptors() == atoi(fds) ? "as before" : "leak",
               memory() < atol(kib) * 3 / 2 + 2048 ? "as before" : "leaks");
        return 0;
    }
    sprintf(text, "%d", left - 1);
    execl(self, self, "execs", text, fds, kib, (char *)0);
    perror("exec");
    return 1;
}

static atomic_long arrived;
static atomic_int stop;
static void count(int s) { arrived++; (void)s; }

static void *target(void *none) {
    char path[64];
    while (!stop) {
        snprintf(path, sizeof path, "/proc/%d", getpid());
        if (access(path, 0)) return (void *)1;
        for (volatile int i = 0; i < 1000; i++) {}
    }
    return none;
}

static int storm(int how_many, int n) {
    /* Real-time signals queue: not one may be lost. */
    struct sigaction a = {0};
    a.sa_handler = count;
    a.sa_flags = SA_RESTART;
    sigaction(SIGRTMIN, &a, 0);
    pthread_t *t = calloc(how_many, sizeof *t);
    for (int i = 0; i < how_many; i++) pthread_create(&t[i], 0, target, 0);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < how_many; k++) {
            union sigval v = {.sival_int = i};
            while (pthread_sigqueue(t[k], SIGRTMIN, v)) usleep(1000);
        }
    for (int i = 0; i < 30000 && arrived < (long)n * how_many; i++) usleep(1000);
    stop = 1;
    long failed = 0;
    for (int i = 0; i < how_many; i++) {
        void *r;
        pthread_join(t[i], &r);
        failed += r != 0;
    }
    printf("%ld signals of %ld, %ld threads failed\n", arrived, (long)n * how_many, failed);
    return 0;
}

int main(int argc, char **argv) {
    self = argv[0];
    if (argc > 2 && !strcmp(argv[1], "answer")) return atoi(argv[2]);
    if (argc > 2 && !strcmp(argv[1], "execs")) return execs(argc, argv);
    if (argc > 3 && !strcmp(argv[1], "storm")) return storm(atoi(argv[2]), atoi(argv[3]));
    if (argc > 3 && !strcmp(argv[1], "threads")) {
        rounds = atoi(argv[3]);
        return threads(atoi(argv[2]));
    }
    return 2;
}
