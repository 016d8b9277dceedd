/* cputime RUNS PROGRAM ARGUMENTS...: runs the program RUNS times and writes the microseconds of processor time (user and system) that each
   run and its children took to standard error, one line each; -1 when it failed. */
#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

extern char **environ;

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    for (long runs = strtol(argv[1], 0, 0); runs > 0; runs--) {
        pid_t child;
        int status;
        struct rusage r;
        if (posix_spawn(&child, argv[2], 0, 0, argv + 2, environ)) return 1;
        if (wait4(child, &status, 0, &r) != child) return 1;
        long us = (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000L + r.ru_utime.tv_usec + r.ru_stime.tv_usec;
        fprintf(stderr, "%ld\n", status ? -1 : us);
    }
    return 0;
}
