/* The mix of ordinary integer programs: records, pointers, short strings, small functions, branches. */
#include "kernel.h"

struct record {
    struct record *next;
    int kind, value;
    char name[16];
};

static struct record table[64];

static NOINLINE int classify(int c) {
    if (c >= 'a' && c <= 'z') return 1;
    if (c >= 'A' && c <= 'Z') return 2;
    return c >= '0' && c <= '9' ? 3 : 0;
}

static NOINLINE int compare(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return (uint8_t)*a - (uint8_t)*b;
}

static NOINLINE void update(struct record *r, int by) {
    switch (r->kind) {
    case 0: r->value += by; break;
    case 1: r->value -= by * 2; break;
    case 2: r->value ^= by << 3; break;
    default: r->value = r->value / 3 + by; break;
    }
    struct record copy = *r;
    copy.kind = (copy.kind + 1) & 3;
    r->kind = copy.kind;
}

uint64_t kernel(uint32_t n) {
    uint64_t sum = 0;
    for (int i = 0; i < 64; i++) {
        struct record *r = &table[i];
        r->next = &table[(i * 37 + 11) & 63];
        r->kind = i & 3;
        for (int k = 0; k < 15; k++) r->name[k] = (char)("abcXYZ019-"[random32() % 10]);
    }
    while (n--) {
        struct record *r = table;
        for (int i = 0; i < 64; i++, r = r->next) {
            update(r, i + (int)n);
            int counts[4] = {0, 0, 0, 0};
            for (const char *s = r->name; *s; s++) counts[classify(*s)]++;
            if (compare(r->name, r->next->name) < 0) sum += (uint32_t)(counts[1] * 2 + counts[2]);
            sum += (uint32_t)r->value & 0xff;
        }
    }
    return sum;
}
