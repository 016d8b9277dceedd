/* Calls through tables of functions: four kinds of shapes in random order. */
#include "kernel.h"

struct shape;
struct methods {
    uint32_t (*area)(const struct shape *);
    void (*grow)(struct shape *, uint32_t);
};
struct shape {
    const struct methods *m;
    uint32_t a, b;
};

static NOINLINE uint32_t area_square(const struct shape *s) { return s->a * s->a; }
static NOINLINE uint32_t area_rectangle(const struct shape *s) { return s->a * s->b; }
static NOINLINE uint32_t area_triangle(const struct shape *s) { return s->a * s->b / 2; }
static NOINLINE uint32_t area_ring(const struct shape *s) { return 3 * (s->a * s->a - s->b * s->b); }
static NOINLINE void grow_one(struct shape *s, uint32_t by) { s->a += by; }
static NOINLINE void grow_both(struct shape *s, uint32_t by) { s->a += by, s->b += by; }

uint64_t kernel(uint32_t n) {
    static const struct methods kinds[4] = {
        {area_square, grow_one}, {area_rectangle, grow_both}, {area_triangle, grow_both}, {area_ring, grow_one}};
    static struct shape shapes[256];
    for (int i = 0; i < 256; i++) {
        shapes[i].m = &kinds[random32() >> 30];
        shapes[i].a = random32() & 255;
        shapes[i].b = random32() & 255;
    }
    uint64_t sum = 0;
    while (n--)
        for (int i = 0; i < 256; i++) {
            struct shape *s = &shapes[i];
            sum += s->m->area(s);
            s->m->grow(s, n & 3);
        }
    return sum;
}
