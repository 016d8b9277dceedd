/* Memory order: litmus tests whose outcomes x86-TSO forbids, run many times by threads that race. Every access is one instruction of
   its own; the threads walk over arrays of cells, so that each place is a fresh experiment. */
#include "check.h"

enum { PLACES = 1000, THREADS = 4 };
static int rounds;

struct place {
    uint8_t x[64] __attribute__((aligned(64)));
    uint8_t y[64] __attribute__((aligned(64)));
    uint8_t own[THREADS][64] __attribute__((aligned(64)));
    uint32_t seen[THREADS][2];
};
static struct place *places;
static atomic_int turn, done;

#ifdef __SSE2__
#define XMM , "xmm0"
#else
#define XMM
#endif
#define STORE(at, v) __asm__ volatile("movl %1, %0" : "=m"(*(uint32_t *)(at)) : "r"((uint32_t)(v)) : "memory")
#define LOAD(r, at) __asm__ volatile("movl %1, %0" : "=r"(r) : "m"(*(uint32_t *)(at)) : "memory")
#define LOAD8(r, at) __asm__ volatile("movzbl %1, %0" : "=r"(r) : "m"(*(uint8_t *)(at)) : "memory")
#define STORE16(at) __asm__ volatile("pcmpeqd %%xmm0, %%xmm0\n\tmovups %%xmm0, %0" : "=m"(*(char(*)[16])(at)) : : "memory" XMM)
#define COPY16(to, at) \
    __asm__ volatile("movups %1, %%xmm0\n\tmovups %%xmm0, %0" : "=m"(*(char(*)[16])(to)) : "m"(*(char(*)[16])(at)) : "memory" XMM)
#define FENCE() __asm__ volatile("mfence" : : : "memory")

static void exchange(void *at, uint32_t v) { __asm__ volatile("xchgl %0, %1" : "+r"(v), "+m"(*(uint32_t *)at) : : "memory"); }

/* A locked comparison that fails: a fence all the same. */
static void compare(void *at) {
    uint32_t a = 77;
    __asm__ volatile("lock cmpxchgl %2, %1" : "+a"(a), "+m"(*(uint32_t *)at) : "r"(5) : "memory", "cc");
}

static void fill(void *to, size_t n) { __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(-1) : "memory"); }
static void copy(void *to, void *from, size_t n) { __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); }

/* What thread `t` does at a place. */
typedef void act(struct place *p, int t, uint32_t *seen);

static void mp(struct place *p, int t, uint32_t *seen) {
    if (t == 0) {
        STORE(p->x, 1);
        STORE(p->y, 1);
    } else if (t == 1) {
        LOAD(seen[0], p->y);
        LOAD(seen[1], p->x);
    }
}
static int mp_forbidden(struct place *p) { return p->seen[1][0] == 1 && p->seen[1][1] == 0; }

static void sb_mfence(struct place *p, int t, uint32_t *seen) {
    if (t > 1) return;
    STORE(t ? p->y : p->x, 1);
    FENCE();
    LOAD(seen[0], t ? p->x : p->y);
}
static void sb_xchg(struct place *p, int t, uint32_t *seen) {
    if (t > 1) return;
    exchange(t ? p->y : p->x, 1);
    LOAD(seen[0], t ? p->x : p->y);
}
static void sb_cmpxchg(struct place *p, int t, uint32_t *seen) {
    if (t > 1) return;
    STORE(t ? p->y : p->x, 1);
    compare(p->own[t]);
    LOAD(seen[0], t ? p->x : p->y);
}
/* The same with a store and a load that are not aligned. */
static void sb_unaligned(struct place *p, int t, uint32_t *seen) {
    if (t > 1) return;
    STORE((t ? p->y : p->x) + 57, 0x01010101);
    compare(p->own[t]);
    LOAD(seen[0], (t ? p->x : p->y) + 1);
    LOAD8(seen[0], (t ? p->x : p->y) + 59);
}
static int both_zero(struct place *p) { return p->seen[0][0] == 0 && p->seen[1][0] == 0; }

static void lb(struct place *p, int t, uint32_t *seen) {
    if (t > 1) return;
    LOAD(seen[0], t ? p->y : p->x);
    STORE(t ? p->x : p->y, 1);
}
static int both_one(struct place *p) { return p->seen[0][0] == 1 && p->seen[1][0] == 1; }

static void iriw(struct place *p, int t, uint32_t *seen) {
    switch (t) {
    case 0: STORE(p->x, 1); break;
    case 1: STORE(p->y, 1); break;
    default:
        LOAD(seen[0], t == 2 ? p->x : p->y);
        LOAD(seen[1], t == 2 ? p->y : p->x);
    }
}
static int iriw_forbidden(struct place *p) {
    return p->seen[2][0] && !p->seen[2][1] && p->seen[3][0] && !p->seen[3][1];
}

/* Wide stores and narrow loads, and the other way round. */
static void mp_mixed(struct place *p, int t, uint32_t *seen) {
    if (t == 0) {
        STORE(p->x + 4, 0x01010101);
        *(volatile uint8_t *)(p->y + 2) = 1;
    } else if (t == 1) {
        LOAD(seen[0], p->y);
        LOAD8(seen[1], p->x + 6);
        seen[0] = seen[0] != 0;
    }
}
static void mp_unaligned(struct place *p, int t, uint32_t *seen) {
    if (t == 0) {
        STORE(p->x + 59, 0x01010101);
        STORE(p->x + 5, 0x01010101);
        STORE(p->y + 3, 1);
    } else if (t == 1) {
        uint32_t other;
        LOAD(seen[0], p->y + 3);
        LOAD(seen[1], p->x + 59);
        LOAD(other, p->x + 5);
        if (seen[1] != 0x01010101 || other != 0x01010101) seen[1] = 0;
    }
}
static void mp_vector(struct place *p, int t, uint32_t *seen) {
    if (t == 0) {
        STORE16(p->x);
        STORE16(p->x + 23);
        STORE16(p->y);
    } else if (t == 1) {
        COPY16(p->own[1], p->y);
        COPY16(p->own[1] + 16, p->x);
        COPY16(p->own[1] + 32, p->x + 23);
        seen[0] = p->own[1][0] != 0;
        seen[1] = 1;
        for (int i = 16; i < 48; i++) seen[1] &= p->own[1][i] == 255;
    }
}
static void mp_string(struct place *p, int t, uint32_t *seen) {
    if (t == 0) {
        fill(p->x + 1, 40);
        STORE(p->y, 1);
    } else if (t == 1) {
        LOAD(seen[0], p->y);
        copy(p->own[1], p->x + 1, 40);
        seen[1] = 1;
        for (int i = 0; i < 40; i++) seen[1] &= p->own[1][i] == 255;
    }
}
/* Message passing by a locked instruction on the other side of a vector store. */
static void mp_locked(struct place *p, int t, uint32_t *seen) {
    if (t == 0) {
        STORE16(p->x);
        __asm__ volatile("lock incl %0" : "+m"(*(uint32_t *)p->y) : : "memory", "cc");
    } else if (t == 1) {
        uint32_t r = 0;
        __asm__ volatile("lock xaddl %0, %1" : "+r"(r), "+m"(*(uint32_t *)p->y) : : "memory", "cc");
        seen[0] = r;
        COPY16(p->own[1], p->x);
        seen[1] = p->own[1][0] == 255 && p->own[1][15] == 255;
    }
}

static act *current;

static void *worker(void *arg) {
    int t = (int)(intptr_t)arg;
    for (int round = 1;; round++) {
        while (atomic_load(&turn) < round) sched_yield();
        act *f = current;
        if (!f) return NULL;
        for (int i = 0; i < PLACES; i++) {
            /* In different directions, so that the threads meet somewhere. */
            struct place *p = &places[t & 1 ? i : (i + round * 7) % PLACES];
            f(p, t, p->seen[t]);
        }
        atomic_fetch_add(&done, 1);
    }
}

static void experiment(const char *name, act *f, int (*forbidden)(struct place *)) {
    int bad = 0;
    for (int round = 0; round < rounds; round++) {
        memset(places, 0, PLACES * sizeof *places);
        current = f;
        atomic_store(&done, 0);
        atomic_fetch_add(&turn, 1);
        while (atomic_load(&done) < THREADS) sched_yield();
        for (int i = 0; i < PLACES; i++) bad += forbidden(&places[i]);
    }
    printf("%s: %d forbidden\n", name, bad);
}

int main(int argc, char **argv) {
    /* Fewer for hosts that interpret an interpreter. */
    rounds = argc > 1 && !strcmp(argv[1], "few") ? 3 : 30;
    pthread_t threads[THREADS];
    places = aligned_alloc(64, PLACES * sizeof *places);
    CHECK(places != NULL);
    for (int t = 0; t < THREADS; t++) CHECK(!pthread_create(&threads[t], NULL, worker, (void *)(intptr_t)t));
    experiment("message passing", mp, mp_forbidden);
    experiment("message passing, mixed sizes", mp_mixed, mp_forbidden);
    experiment("message passing, not aligned", mp_unaligned, mp_forbidden);
    experiment("message passing, vectors", mp_vector, mp_forbidden);
    experiment("message passing, strings", mp_string, mp_forbidden);
    experiment("message passing, locked", mp_locked, mp_forbidden);
    experiment("store buffering, mfence", sb_mfence, both_zero);
    experiment("store buffering, xchg", sb_xchg, both_zero);
    experiment("store buffering, cmpxchg that fails", sb_cmpxchg, both_zero);
    experiment("store buffering, not aligned", sb_unaligned, both_zero);
    experiment("load buffering", lb, both_one);
    experiment("independent reads of independent writes", iriw, iriw_forbidden);
    current = NULL;
    atomic_fetch_add(&turn, 1);
    for (int t = 0; t < THREADS; t++) CHECK(!pthread_join(threads[t], NULL));
    return 0;
}
