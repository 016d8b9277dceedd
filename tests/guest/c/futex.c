/* Futexes and raw clone, as a runtime that is not the C library uses them. */
#include "check.h"
#include <linux/futex.h>

static long futex(atomic_int *at, int op, int value, const struct timespec *t, void *at2, int value3) {
    return syscall(SYS_futex, at, op, value, t, at2, value3);
}
static atomic_int word, word2, woken, tid_cell = 1;

static void *waiter(void *arg) {
    (void)arg;
    while (word == 0) futex(&word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 0);
    woken++;
    return NULL;
}
static void *requeued(void *arg) {
    (void)arg;
    futex(&word, FUTEX_WAIT, 7, NULL, NULL, 0);
    woken++;
    return NULL;
}

static char stack[65536] __attribute__((aligned(16)));
static volatile int child_ran;
static int child(void *arg) {
    child_ran = *(int *)arg;
    return 0;
}

int main(void) {
    pthread_t t[4];
    struct timespec ts = {0, 20000000};
    SHOW(futex(&word, FUTEX_WAIT, 1, NULL, NULL, 0));
    SHOW(futex(&word, FUTEX_WAIT, 0, &ts, NULL, 0));
    SHOW(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0));
    SHOW(futex((void *)1, FUTEX_WAKE, 1, NULL, NULL, 0));
    SHOW(futex(&word, 99, 1, NULL, NULL, 0));
    for (int i = 0; i < 4; i++) pthread_create(&t[i], NULL, waiter, NULL);
    usleep(20000);
    word = 1;
    futex(&word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 100, NULL, NULL, 0);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    printf("woken %d\n", (int)woken);
    word = 7;
    woken = 0;
    for (int i = 0; i < 3; i++) pthread_create(&t[i], NULL, requeued, NULL);
    usleep(50000);
    SHOW(futex(&word, FUTEX_CMP_REQUEUE, 1, (void *)100, &word2, 8));
    SHOW(futex(&word, FUTEX_CMP_REQUEUE, 1, (void *)100, &word2, 7));
    SHOW(futex(&word2, FUTEX_WAKE, 100, NULL, NULL, 0));
    for (int i = 0; i < 3; i++) pthread_join(t[i], NULL);
    printf("woken %d\n", (int)woken);
    clock_gettime(CLOCK_MONOTONIC, &ts);
    SHOW(futex(&word, FUTEX_WAIT_BITSET, 7, &ts, NULL, ~0));

    /* A thread without the C library: its id cell is cleared and woken at the end. */
    int argument = 55;
    int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID;
    int parent_tid = 0;
    int tid = clone(child, stack + sizeof stack, flags, &argument, &parent_tid, NULL, &tid_cell);
    while (tid_cell) futex(&tid_cell, FUTEX_WAIT, 1, NULL, NULL, 0);
    printf("clone: tid right %d, ran with %d\n", tid == parent_tid, child_ran);
    struct { void *head; long offset; void *pending; } robust;
    void *head;
    size_t len;
    (void)robust;
    SHOW(syscall(SYS_get_robust_list, 0, &head, &len));
    return 0;
}
