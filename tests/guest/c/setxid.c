/* The C library changes the user of all threads: it interrupts them by a signal of its own, wherever they are. */
#include "check.h"
#include <semaphore.h>

static int ends[2];
static volatile int stop;
static sem_t ready;

static void *sleeper(void *argument) {
    char c;
    sem_post(&ready);
    /* The signal must not be seen here: the call is restarted. */
    long got = read(ends[0], &c, 1);
    return (void *)(got == 1 && getegid() == (gid_t)(long)argument);
}

static void *worker(void *argument) {
    unsigned long n = 0;
    sem_post(&ready);
    while (!stop) n++;
    return (void *)(long)(getegid() == (gid_t)(long)argument);
}

int main(void) {
    CHECK(pipe(ends) == 0);
    sem_init(&ready, 0, 0);
    /* Root may take another group and back, where the namespace has one; anybody may keep the own one. */
    gid_t own = getegid(), other = setegid(4242) == 0 ? 4242 : own;
    CHECK(setegid(own) == 0);
    pthread_t threads[4];
    for (long i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, i & 1 ? worker : sleeper, (void *)(long)other) == 0);
    for (int i = 0; i < 4; i++) sem_wait(&ready);
    usleep(20000);
    for (int i = 0; i < 20; i++) {
        CHECK(setegid(other) == 0);
        CHECK(setegid(own) == 0);
    }
    CHECK(setegid(other) == 0);
    stop = 1;
    CHECK(write(ends[1], "xx", 2) == 2);
    for (int i = 0; i < 4; i++) {
        void *good;
        pthread_join(threads[i], &good);
        printf("thread %d has the group: %d\n", i, good != NULL);
    }
    CHECK(seteuid(geteuid()) == 0);
    /* Refused in all of them. */
    printf("a group that does not exist: %d\n", setegid(-1));
    return 0;
}
