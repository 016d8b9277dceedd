/* Queued signals arrive complete and in order at a thread that reads, computes and calls the kernel, beside a timer. */
#include "check.h"
#define COUNT 1000

static volatile int next_value, wrong, alarms, done;
static int ends[2];

static void queued(int s, siginfo_t *info, void *context) {
    if (info->si_value.sival_int != next_value) wrong++;
    next_value++;
}

static void alarmed(int s) { alarms++; }

static void *receiver(void *argument) {
    volatile double d = 1;
    for (unsigned n = 0; next_value < COUNT; n++) {
        char c;
        if (n % 3 == 0 && read(ends[0], &c, 1) < 0 && errno != EINTR) wrong += 10000;
        if (n % 3 == 1) {
            for (int k = 0; k < 500; k++) d = d * 1.0001;
            d = 1;
        }
        if (n % 3 == 2) getppid();
        if (n % 2 == 0) CHECK(write(ends[1], "x", 1) == 1);
    }
    done = 1;
    return NULL;
}

int main(void) {
    CHECK(pipe(ends) == 0);
    struct sigaction action = {.sa_sigaction = queued, .sa_flags = SA_SIGINFO};
    sigaction(SIGRTMIN + 1, &action, NULL);
    signal(SIGALRM, alarmed);
    struct itimerval timer = {{0, 3000}, {0, 3000}};
    setitimer(ITIMER_REAL, &timer, NULL);
    pthread_t thread;
    pthread_create(&thread, NULL, receiver, NULL);
    for (int i = 0; i < COUNT; i++) {
        union sigval value = {.sival_int = i};
        while (pthread_sigqueue(thread, SIGRTMIN + 1, value) != 0) usleep(100);
        if (i % 10 == 0) usleep(50);
    }
    while (!done) {
        usleep(1000);
        CHECK(write(ends[1], "x", 1) == 1);
    }
    pthread_join(thread, NULL);
    printf("received %d, out of order %d, alarms %d\n", next_value, wrong, alarms > 3);
}
