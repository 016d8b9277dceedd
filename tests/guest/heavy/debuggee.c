/* What a debugger looks at: calls, data, a thread, signals of its own, registers, a fault that the debugger mends, an execve. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct list {
    int value;
    struct list *next;
} first = {1, 0}, second = {2, &first};
static volatile sig_atomic_t taken;
static volatile int *volatile where = (volatile int *)16;
static int mended;
double half = 0.5;
unsigned lanes[4];
double top;

static void on(int signal) {
    taken += signal;
}

__attribute__((noinline)) int fact(int n) {
    if (n <= 1) return 1;
    return n * fact(n - 1);
}

__attribute__((noinline)) static void *work(void *argument) {
    struct list *list = argument;
    int sum = 0;
    for (; list; list = list->next) sum += list->value;
    return (void *)(long)sum;
}

/* The debugger stops at `registers_set`, looks at a vector and an x87 register, and changes them. */
__attribute__((noinline, target("sse2"))) static void registers(void) {
    __asm__ volatile(
        "pcmpeqd %%xmm5, %%xmm5\n\tpsrld $28, %%xmm5\n\tfldpi\n\t"
        ".globl registers_set\nregisters_set:\n\t"
        "nop\n\tmovups %%xmm5, %0\n\tfstpl %1"
        : "=m"(lanes), "=m"(top)::"xmm5");
}

__attribute__((noinline)) static void touch(void) {
    *where = 7;
}

/* Runs until it is told otherwise. */
__attribute__((noinline)) static void spin(void) {
    volatile unsigned long n = 0;
    for (;;) n++;
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "spin") == 0) spin();
    if (argc > 1 && strcmp(argv[1], "exec") == 0) {
        execl(argv[0], argv[0], "again", (char *)0);
        return 1;
    }
    signal(SIGUSR1, on);
    signal(SIGUSR2, on);
    int value = fact(5);
    pthread_t thread;
    void *sum;
    pthread_create(&thread, 0, work, &second);
    pthread_join(thread, &sum);
    raise(SIGUSR1);
    raise(SIGUSR2);
    registers();
    touch();
    printf("fact %d, sum %ld, signals %d, mended %d, half %g, lanes %u %u %u %u, top %g\n", value, (long)sum, (int)taken,
           mended, half, lanes[0], lanes[1], lanes[2], lanes[3], top);
    fflush(stdout);
    return 3;
}
