/* Code written at run time: generated, rewritten, patched while running, replaced by the kernel, by another thread. */
#include "check.h"

typedef int (*Fn)(void);

/* mov eax, value; ret */
static void emit(unsigned char *p, int value) {
    p[0] = 0xB8;
    memcpy(p + 1, &value, 4);
    p[5] = 0xC3;
}

static unsigned char *shared;
static atomic_int phase;
static void *patcher(void *arg) {
    (void)arg;
    for (int i = 1; i <= 50; i++) {
        while (phase != 2 * i - 1) sched_yield();
        emit(shared, i * 7);
        phase = 2 * i;
    }
    return NULL;
}

int main(void) {
    unsigned char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    long sum = 0;
    for (int i = 0; i < 1000; i++) {
        emit(p, i);
        sum += ((Fn)p)();
    }
    printf("rewritten a thousand times: %ld\n", sum);
    /* Only the immediate changes. */
    sum = 0;
    for (int i = 0; i < 1000; i++) {
        p[1] = (unsigned char)i;
        sum += ((Fn)p)() & 0xFF;
    }
    printf("immediate patched: %ld\n", sum);
    /* Across a page border. */
    for (int i = 0; i < 6; i++) {
        emit(p + 4096 - i, 1000 + i);
        printf("%d ", ((Fn)(p + 4096 - i))());
    }
    printf("\n");
    /* Code that overwrites the instruction just ahead of itself: mov byte [rip or absolute], then the patched mov. */
    unsigned char *q = p + 256;
    int n = 0;
#ifdef __x86_64__
    q[n++] = 0xC6, q[n++] = 0x05; /* mov byte ptr [rip + 1], 99 : the immediate of the next instruction */
    q[n++] = 1, q[n++] = 0, q[n++] = 0, q[n++] = 0, q[n++] = 99;
#else
    q[n++] = 0xC6, q[n++] = 0x05;
    uint32_t at = (uint32_t)(uintptr_t)(q + 8);
    memcpy(q + n, &at, 4), n += 4;
    q[n++] = 99;
#endif
    emit(q + n, 1);
    printf("patched itself ahead: %d\n", ((Fn)q)());
    /* W^X discipline: writable, then executable, and again. */
    sum = 0;
    for (int i = 0; i < 100; i++) {
        mprotect(p, 4096, PROT_READ | PROT_WRITE);
        emit(p, i * 3);
        mprotect(p, 4096, PROT_READ | PROT_EXEC);
        sum += ((Fn)p)();
    }
    printf("mprotect flips: %ld\n", sum);
    /* Read from a file into executable memory: the kernel does the writing. */
    int fd = memfd_create("code", 0);
    mprotect(p, 8192, PROT_READ | PROT_WRITE | PROT_EXEC);
    sum = 0;
    for (int i = 0; i < 20; i++) {
        unsigned char code[6];
        emit(code, 500 + i);
        CHECK(pwrite(fd, code, 6, 0) == 6 && pread(fd, p, 6, 0) == 6);
        sum += ((Fn)p)();
    }
    printf("written by read(): %ld\n", sum);
    /* Replaced by another mapping at the same place. */
    for (int i = 0; i < 5; i++) {
        CHECK(mmap(p, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
        emit(p, 40 + i);
        printf("%d ", ((Fn)p)());
    }
    printf("\n");
    shared = p;
    emit(p, 0);
    pthread_t t;
    pthread_create(&t, NULL, patcher, NULL);
    sum = 0;
    for (int i = 1; i <= 50; i++) {
        sum += ((Fn)p)();
        phase = 2 * i - 1;
        while (phase != 2 * i) sched_yield();
    }
    sum += ((Fn)p)();
    pthread_join(t, NULL);
    printf("patched by another thread: %ld\n", sum);
    return 0;
}
