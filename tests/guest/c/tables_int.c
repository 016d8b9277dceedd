/* Integers: arithmetic, logic, shifts, bits, with the flags that manuals define. */
#include "tables.h"

typedef unsigned long word;
struct io {
    word a, b, r, r2, flags;
};

enum { CF = 1, PF = 4, AF = 16, ZF = 64, SF = 128, OF = 0x800, ARITH = CF | PF | AF | ZF | SF | OF };

#if LONG
/* Below the red zone. */
#define DOWN "lea -128(%%rsp), %%rsp; "
#define UP "; lea 128(%%rsp), %%rsp"
#define WITH_LONG(X, op, m) X(op, b, "%b0", "%b1", m) X(op, w, "%w0", "%w1", m) X(op, l, "%k0", "%k1", m) X(op, q, "%q0", "%q1", m)
#define NOT_BYTE(X, op, m) X(op, w, "%w0", "%w1", m) X(op, l, "%k0", "%k1", m) X(op, q, "%q0", "%q1", m)
#else
#define DOWN
#define UP
#define WITH_LONG(X, op, m) X(op, b, "%b0", "%b1", m) X(op, w, "%w0", "%w1", m) X(op, l, "%k0", "%k1", m)
#define NOT_BYTE(X, op, m) X(op, w, "%w0", "%w1", m) X(op, l, "%k0", "%k1", m)
#endif

#define TWO(name, size, d, s, m)                                                                                                        \
    static void f_##name##size(struct io *p) {                                                                                          \
        word a = p->a, fl = p->flags;                                                                                                   \
        __asm__ volatile(DOWN "push %2; popf; " #name #size " " s ", " d "; pushf; pop %2" UP : "+q"(a), "+q"(p->b), "+q"(fl));         \
        p->r = a, p->flags = fl;                                                                                                        \
    }
#define ONE(name, size, d, s, m)                                                                                                        \
    static void f_##name##size(struct io *p) {                                                                                          \
        word a = p->a, fl = p->flags;                                                                                                   \
        __asm__ volatile(DOWN "push %2; popf; " #name #size " " d "; pushf; pop %2" UP : "+q"(a), "+q"(p->b), "+q"(fl));                \
        p->r = a, p->flags = fl;                                                                                                        \
    }
#define SHIFT(name, size, d, s, m)                                                                                                      \
    static void f_##name##size(struct io *p) {                                                                                          \
        word a = p->a, fl = p->flags;                                                                                                   \
        __asm__ volatile(DOWN "push %2; popf; " #name #size " %%cl, " d "; pushf; pop %2" UP : "+q"(a), "+c"(p->b), "+q"(fl));          \
        p->r = a, p->flags = fl;                                                                                                        \
    }
#define DOUBLE(name, size, d, s, m)                                                                                                     \
    static void f_##name##size(struct io *p) {                                                                                          \
        word a = p->a, fl = p->flags, o = 0x5a5a1234;                                                                                   \
        __asm__ volatile(DOWN "push %2; popf; " #name #size " %%cl, " s ", " d "; pushf; pop %2" UP                                     \
                         : "+q"(a), "+q"(o), "+q"(fl), "+c"(p->b));                                                                     \
        p->r = a, p->flags = fl;                                                                                                        \
    }
#define WIDE(name, size, d, s, m)                                                                                                       \
    static void f_##name##size(struct io *p) {                                                                                          \
        word a = p->a, h = 0x77, fl = p->flags;                                                                                         \
        __asm__ volatile(DOWN "push %2; popf; " #name #size " " s "; pushf; pop %2" UP : "+a"(a), "+q"(p->b), "+q"(fl), "+d"(h));       \
        p->r = a, p->r2 = h, p->flags = fl;                                                                                             \
    }
#define TWOS(X)                                                                                                                         \
    WITH_LONG(X, add, ARITH) WITH_LONG(X, adc, ARITH) WITH_LONG(X, sub, ARITH) WITH_LONG(X, sbb, ARITH) WITH_LONG(X, cmp, ARITH)        \
    WITH_LONG(X, and, ARITH - AF) WITH_LONG(X, or, ARITH - AF) WITH_LONG(X, xor, ARITH - AF) WITH_LONG(X, test, ARITH - AF)             \
    WITH_LONG(X, xadd, ARITH) WITH_LONG(X, xchg, ARITH) NOT_BYTE(X, imul, CF | OF) NOT_BYTE(X, bt, CF | ZF) NOT_BYTE(X, bts, CF | ZF)   \
    NOT_BYTE(X, btr, CF | ZF) NOT_BYTE(X, btc, CF | ZF) NOT_BYTE(X, cmovb, ARITH) NOT_BYTE(X, cmovle, ARITH) NOT_BYTE(X, cmovs, ARITH)  \
    NOT_BYTE(X, cmovp, ARITH) NOT_BYTE(X, popcnt, ARITH)
#define ONES(X)                                                                                                                         \
    WITH_LONG(X, inc, ARITH) WITH_LONG(X, dec, ARITH) WITH_LONG(X, neg, ARITH) WITH_LONG(X, not, ARITH)
#define SHIFTS(X)                                                                                                                       \
    WITH_LONG(X, shl, 0) WITH_LONG(X, shr, 0) WITH_LONG(X, sar, 0) WITH_LONG(X, rol, 0) WITH_LONG(X, ror, 0) WITH_LONG(X, rcl, 0)       \
    WITH_LONG(X, rcr, 0)
#define DOUBLES(X) NOT_BYTE(X, shld, 0) NOT_BYTE(X, shrd, 0)
#define WIDES(X) WITH_LONG(X, mul, CF | OF) WITH_LONG(X, imul1, CF | OF)
TWOS(TWO)
ONES(ONE)
SHIFTS(SHIFT)
DOUBLES(DOUBLE)
WITH_LONG(WIDE, mul, 0)

struct row {
    const char *name;
    void (*f)(struct io *);
    int mask, kind, width;
};
enum { PLAIN, SHIFTED, ROTATED, DOUBLED };
#define ROW(name, size, d, s, m) {#name #size, f_##name##size, m, PLAIN},
#define BITS(size) (#size[0] == 'b' ? 8 : #size[0] == 'w' ? 16 : #size[0] == 'l' ? 32 : 64)
#define ROW_S(name, size, d, s, m) {#name #size, f_##name##size, 0, #name[0] == 's' ? SHIFTED : ROTATED, BITS(size)},
#define ROW_D(name, size, d, s, m) {#name #size, f_##name##size, 0, DOUBLED, BITS(size)},
#define ROW_W(name, size, d, s, m) {#name #size, f_##name##size, CF | OF, PLAIN},
static const struct row rows[] = {TWOS(ROW) ONES(ROW) SHIFTS(ROW_S) DOUBLES(ROW_D) WITH_LONG(ROW_W, mul, 0)};

static const uint64_t values[] = {
    0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 0x7f, 0x80, 0x81, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000, 0x12345678, 0x7fffffff,
    0x80000000, 0x80000001, 0xffffffff, 0x7fffffffffffffffull, 0x8000000000000000ull, 0xfffffffffffffffeull, ~0ull, 0x0123456789abcdefull,
    0xaaaaaaaaaaaaaaaaull,
};

/* Which flags are defined depends on the count. */
static int defined(const struct row *r, unsigned count) {
    unsigned n = count & (r->width == 64 ? 63 : 31);
    switch (r->kind) {
    case PLAIN: return r->mask;
    case ROTATED: return ARITH & ~(n > 1 ? OF : 0);
    case DOUBLED: return n > r->width ? 0 : n == 0 ? ARITH : ARITH & ~AF & ~(n > 1 ? OF : 0);
    }
    return n == 0 ? ARITH : ARITH & ~AF & ~(n > 1 ? OF : 0) & ~(n >= r->width ? CF : 0);
}

int main(int argc, char **argv) {
    ARGUMENTS(argc, argv);
    for (int k = 0; k < COUNT(rows); k++) {
        for (int c = 0; c < 2; c++)
            for (int i = 0; i < COUNT(values); i++)
                for (int j = 0; j < COUNT(values); j++) {
                    if (LEFT_OUT) continue;
                    struct io io = {values[i], values[j], 0, 0, c ? 0x202 | ARITH : 0x202};
                    uint64_t in[3] = {io.a, io.b, io.flags};
                    int mask = defined(rows + k, io.b);
                    int undefined = rows[k].kind == DOUBLED && (io.b & 31) > rows[k].width;
                    rows[k].f(&io);
                    uint64_t out[4] = {undefined ? 0 : io.r, io.b, io.r2, io.flags & mask};
                    line(rows[k].name, in, 3, out, 4);
                }
        done(rows[k].name);
    }
    return finish();
}
