/* screen RUNS PROGRAM ARGUMENTS...: runs a finder on a terminal of its own with 1,000 lines as input, and writes the microseconds (wall clock)
   from its start until the screen shows that all of them were read to standard error, one line a run; -1 when that never happened. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    for (long runs = strtol(argv[1], 0, 0); runs > 0; runs--) {
        int master = posix_openpt(O_RDWR | O_NOCTTY), input[2];
        if (master < 0 || grantpt(master) || unlockpt(master) || pipe(input)) return 1;
        struct winsize size = {.ws_row = 24, .ws_col = 80};
        ioctl(master, TIOCSWINSZ, &size);
        for (int i = 0; i < 1000; i++) dprintf(input[1], "line %d\n", i);
        close(input[1]);
        double start = now(), shown = -1;
        pid_t child = fork();
        if (!child) {
            setsid();
            int terminal = open(ptsname(master), O_RDWR);
            ioctl(terminal, TIOCSCTTY, 0);
            dup2(input[0], 0);
            dup2(terminal, 1);
            dup2(terminal, 2);
            setenv("TERM", "xterm", 1);
            execv(argv[2], argv + 2);
            _exit(127);
        }
        close(input[0]);
        static char seen[1 << 20];
        size_t have = 0;
        struct pollfd p = {.fd = master, .events = POLLIN};
        while (have < sizeof seen - 1 && poll(&p, 1, 10000) == 1) {
            ssize_t n = read(master, seen + have, sizeof seen - 1 - have);
            if (n <= 0) break;
            have += n;
            seen[have] = 0;
            if (strstr(seen, "1000/1000")) {
                shown = now() - start;
                break;
            }
        }
        /* Escape leaves the finder; whatever does not leave is ended. */
        if (shown < 0 || write(master, "\033", 1) != 1) kill(child, SIGKILL);
        while (read(master, seen, sizeof seen) > 0) {}
        int status;
        waitpid(child, &status, 0);
        close(master);
        fprintf(stderr, "%.0f\n", shown);
    }
    return 0;
}
