/* A process that shares its parent's memory without suspending it, as only raw clone(2) makes. */
#include "check.h"

static char stack[65536] __attribute__((aligned(16)));
static atomic_int child_ran, go;
static int child(void *arg) {
    /* Bounded, in case memory is not shared after all. */
    for (int i = 0; !go && i < 1000000; i++) sched_yield();
    child_ran = *(int *)arg;
    return 3;
}

int main(void) {
    int argument = 66, status;
    int pid = clone(child, stack + sizeof stack, CLONE_VM | SIGCHLD, &argument);
    argument = 77;
    go = 1;
    CHECK(waitpid(pid, &status, 0) == pid);
    printf("ran with %d, status %x\n", (int)child_ran, status);
    return 0;
}
