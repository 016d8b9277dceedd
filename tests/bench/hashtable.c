/* A chained hash table of strings: 1024 inserts or updates and look-ups per round. */
#include "kernel.h"

struct node {
    struct node *next;
    uint32_t count;
    char key[12];
};

static struct node *buckets[512], pool[2048];
static unsigned used;

static uint32_t hash(const char *s) {
    uint32_t h = 2166136261u;
    while (*s) h = (h ^ (uint8_t)*s++) * 16777619u;
    return h;
}

static NOINLINE struct node *find(const char *key, int insert) {
    struct node **at = &buckets[hash(key) & 511];
    for (struct node *p = *at; p; p = p->next) {
        const char *a = p->key, *b = key;
        while (*a && *a == *b) a++, b++;
        if (*a == *b) return p;
    }
    if (!insert || used == 2048) return 0;
    struct node *p = &pool[used++];
    size_t i = 0;
    for (; key[i]; i++) p->key[i] = key[i];
    p->key[i] = 0;
    p->count = 0;
    p->next = *at;
    return *at = p;
}

uint64_t kernel(uint32_t n) {
    uint64_t sum = 0;
    while (n--)
        for (int i = 0; i < 1024; i++) {
            char key[12];
            uint32_t r = random32() >> 20, k = 0;
            do key[k++] = (char)('a' + r % 23); while (r /= 23);
            key[k] = 0;
            struct node *p = find(key, i & 1);
            if (p) sum += ++p->count;
        }
    return sum;
}
