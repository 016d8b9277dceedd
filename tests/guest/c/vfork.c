/* vfork: the child runs in its parent's memory, and the parent waits for its exec or end. */
#include "check.h"
#include <spawn.h>

extern char **environ;

int main(void) {
    volatile int shared = 0;
    int status;
    pid_t pid = vfork();
    if (pid == 0) {
        usleep(10000);
        shared = 5;
        _exit(9);
    }
    printf("shared %d\n", shared);
    CHECK(waitpid(pid, &status, 0) == pid);
    printf("status %x\n", status);
    /* The C library learns through the shared memory that the exec failed. */
    char *argv[] = {"x", NULL};
    printf("posix_spawn of nothing: %s\n", errno_name(posix_spawn(&pid, "/no/such/program", NULL, NULL, argv, environ)));
    return 0;
}
