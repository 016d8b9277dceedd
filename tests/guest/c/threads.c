/* Threads: mutexes, condition variables, barriers, atomics, thread-local storage, keys, cancellation, robust mutexes. */
#include "check.h"
#include <semaphore.h>

enum { THREADS = 8, ROUNDS = 500 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ready = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static long counter;
static atomic_long atomic_counter;
static atomic_llong atomic64;
static __thread int tls_value = 7;
static __thread char tls_buffer[100];
static pthread_key_t key;
static atomic_int destroyed;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_int once_runs;

static void run_once(void) { once_runs++; }
static void destroy(void *p) { destroyed += (int)(intptr_t)p; }

static void *worker(void *arg) {
    int id = (int)(intptr_t)arg;
    CHECK(tls_value == 7);
    tls_value = id;
    snprintf(tls_buffer, sizeof tls_buffer, "thread %d", id);
    pthread_setspecific(key, (void *)(intptr_t)(id + 1));
    pthread_once(&once, run_once);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&lock);
        counter++;
        pthread_mutex_unlock(&lock);
        atomic_fetch_add(&atomic_counter, 3);
        atomic_fetch_sub(&atomic64, 0x100000001ll);
    }
    CHECK(tls_value == id);
    char want[100];
    snprintf(want, sizeof want, "thread %d", id);
    CHECK(strcmp(want, tls_buffer) == 0);
    return (void *)(intptr_t)(id * 10);
}

/* A bounded queue between two producers and two consumers. */
static int queue[16], head, tail, produced, consumed_sum, consumed;
static pthread_cond_t space = PTHREAD_COND_INITIALIZER;
enum { ITEMS = 500 };

static void *producer(void *arg) {
    (void)arg;
    for (;;) {
        pthread_mutex_lock(&lock);
        while (tail - head == 16 && produced < ITEMS) pthread_cond_wait(&space, &lock);
        if (produced == ITEMS) {
            pthread_mutex_unlock(&lock);
            return NULL;
        }
        queue[tail++ % 16] = ++produced;
        pthread_cond_broadcast(&ready);
        if (produced == ITEMS) pthread_cond_broadcast(&space);
        pthread_mutex_unlock(&lock);
    }
}

static void *consumer(void *arg) {
    (void)arg;
    pthread_mutex_lock(&lock);
    for (;;) {
        while (head == tail && consumed < ITEMS) pthread_cond_wait(&ready, &lock);
        if (consumed == ITEMS) break;
        consumed_sum += queue[head++ % 16];
        consumed++;
        if (consumed == ITEMS) pthread_cond_broadcast(&ready);
        pthread_cond_broadcast(&space);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

/* Peterson's lock: only right under the x86 memory order with its one full fence. */
static volatile int flag[2], turn, peterson;
static void *peterson_side(void *arg) {
    int me = (int)(intptr_t)arg, other = 1 - me;
    for (int i = 0; i < 1000; i++) {
        flag[me] = 1;
        turn = other;
        __sync_synchronize();
        while (flag[other] && turn == other) sched_yield();
        peterson = peterson + 1;
        flag[me] = 0;
    }
    return NULL;
}

/* Message passing without fences: stores and loads keep their order on x86. */
static volatile int payload, published;
static void *reader(void *arg) {
    (void)arg;
    for (int i = 1; i <= 1000; i++) {
        while (published < i) sched_yield();
        if (payload < i) return (void *)1;
    }
    return NULL;
}

static void *sleeper(void *arg) {
    (void)arg;
    for (;;) sleep(100);
}

static void cleanup(void *arg) { *(int *)arg = 1; }
static int cleaned;
static void *cancellable(void *arg) {
    (void)arg;
    pthread_cleanup_push(cleanup, &cleaned);
    sleeper(NULL);
    pthread_cleanup_pop(0);
    return NULL;
}

static pthread_mutex_t robust;
static void *dies_holding(void *arg) {
    (void)arg;
    pthread_mutex_lock(&robust);
    return NULL;
}

static sem_t semaphore;
static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
static int shared;
static void *rw_user(void *arg) {
    for (int i = 0; i < 500; i++) {
        if ((intptr_t)arg % 2) {
            pthread_rwlock_wrlock(&rw);
            shared++;
            pthread_rwlock_unlock(&rw);
        } else {
            pthread_rwlock_rdlock(&rw);
            (void)*(volatile int *)&shared;
            pthread_rwlock_unlock(&rw);
        }
    }
    sem_post(&semaphore);
    return NULL;
}

int main(void) {
    pthread_t t[THREADS];
    void *result;
    long sum = 0;
    pthread_barrier_init(&barrier, NULL, THREADS);
    pthread_key_create(&key, destroy);
    for (int i = 0; i < THREADS; i++) CHECK(pthread_create(&t[i], NULL, worker, (void *)(intptr_t)i) == 0);
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(t[i], &result) == 0);
        sum += (intptr_t)result;
    }
    printf("counter %ld atomic %ld atomic64 %lld results %ld\n", counter, (long)atomic_counter, (long long)atomic64, sum);
    printf("main tls %d, key destructors %d, once %d\n", tls_value, (int)destroyed, (int)once_runs);

    pthread_create(&t[0], NULL, producer, NULL);
    pthread_create(&t[1], NULL, producer, NULL);
    pthread_create(&t[2], NULL, consumer, NULL);
    pthread_create(&t[3], NULL, consumer, NULL);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    printf("queue: %d items, sum %d\n", consumed, consumed_sum);

    for (int i = 0; i < 2; i++) pthread_create(&t[i], NULL, peterson_side, (void *)(intptr_t)i);
    for (int i = 0; i < 2; i++) pthread_join(t[i], NULL);
    printf("peterson %d\n", peterson);

    pthread_create(&t[0], NULL, reader, NULL);
    for (int i = 1; i <= 1000; i++) {
        payload = i;
        published = i;
        if (i % 100 == 0) sched_yield();
    }
    pthread_join(t[0], &result);
    printf("message passing %s\n", result ? "broken" : "in order");

    pthread_create(&t[0], NULL, cancellable, NULL);
    usleep(10000);
    CHECK(pthread_cancel(t[0]) == 0);
    pthread_join(t[0], &result);
    printf("cancelled %d cleaned %d\n", result == PTHREAD_CANCELED, cleaned);

    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&robust, &attr);
    pthread_create(&t[0], NULL, dies_holding, NULL);
    pthread_join(t[0], NULL);
    printf("robust mutex of a dead thread: %s\n", errno_name(pthread_mutex_lock(&robust)));
    CHECK(pthread_mutex_consistent(&robust) == 0);
    CHECK(pthread_mutex_unlock(&robust) == 0);

    sem_init(&semaphore, 0, 0);
    for (int i = 0; i < 4; i++) pthread_create(&t[i], NULL, rw_user, (void *)(intptr_t)i);
    for (int i = 0; i < 4; i++) sem_wait(&semaphore);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    printf("rwlock %d\n", shared);

    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 20000000;
    if (until.tv_nsec >= 1000000000) until.tv_nsec -= 1000000000, until.tv_sec++;
    pthread_mutex_lock(&lock);
    printf("timed wait: %s\n", errno_name(pthread_cond_timedwait(&ready, &lock, &until)));
    pthread_mutex_unlock(&lock);

    /* A thread with a stack of its own choosing, and many short-lived ones. */
    pthread_attr_t pattr;
    pthread_attr_init(&pattr);
    pthread_attr_setstacksize(&pattr, 256 * 1024);
    int alive = 0;
    for (int i = 0; i < 100; i++) {
        if (pthread_create(&t[0], &pattr, rw_user, NULL) == 0) alive++, pthread_join(t[0], NULL);
    }
    printf("short-lived threads %d\n", alive);
    return 0;
}
