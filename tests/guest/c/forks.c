/* fork while other threads allocate, map, set handlers and rewrite their code: no lock of theirs is left closed in a child. */
#include "check.h"
#define FORKS 60

static volatile int stop;

static void *busy(void *argument) {
    unsigned char *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int n = 0; !stop; n++) {
        /* mov $n, %eax; ret */
        code[0] = 0xb8;
        memcpy(code + 1, &n, 4);
        code[5] = 0xc3;
        if (((int (*)(void))code)() != n) printf("stale code\n");
        void *block = malloc(n % 5000 + 10);
        memset(block, 1, 10);
        free(block);
        munmap(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 8192);
        if (n % 50 == 0) signal(SIGUSR1, n & 64 ? SIG_IGN : SIG_DFL);
    }
    return NULL;
}

int main(void) {
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, busy, NULL);
    int good = 0;
    for (int i = 0; i < FORKS; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            char *block = malloc(100000);
            memset(block, 1, 100000);
            munmap(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 8192);
            _exit(i);
        }
        int status;
        waitpid(pid, &status, 0);
        good += WIFEXITED(status) && WEXITSTATUS(status) == i;
    }
    stop = 1;
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    printf("children that ended well: %d\n", good);
}
