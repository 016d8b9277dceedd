/* x87: every exact instruction with every pair of a list of extended reals, under every precision and rounding; conversions to and from memory. */
#include "tables.h"

struct real {
    uint64_t m;
    uint16_t se;
} __attribute__((packed));

static const struct real reals[] = {
    {0, 0}, {0, 0x8000}, {1, 0}, {0x7fffffffffffffffull, 0}, {0x8000000000000000ull, 0}, {0x8000000000000000ull, 1},
    {0xffffffffffffffffull, 0x7ffe}, {0xffffffffffffffffull, 0xfffe}, {0x8000000000000000ull, 0x7fff}, {0x8000000000000000ull, 0xffff},
    {0xc000000000000000ull, 0x7fff}, {0xa000000000000001ull, 0x7fff}, {0xc000000000000000ull, 0xffff}, {0x4000000000000000ull, 0x3fff},
    {0, 0x7fff}, {0x8000000000000000ull, 0x3fff}, {0x8000000000000000ull, 0xbfff}, {0xc90fdaa22168c235ull, 0x4000}, {0xaaaaaaaaaaaaaaabull, 0xbffd},
    {0xffffffffffffffffull, 0x3ffe}, {0x8000000000000001ull, 0x3fff}, {0xfffffffffffffc00ull, 0x401e}, {0x8000008000000000ull, 0x3f81},
    {0xc000000000000000ull, 0x4003}, {0xfffffffffffff800ull, 0x43fe}, {0x8000000000000400ull, 0x3c01}, {0xffffff0000000000ull, 0x407e},
};

struct io {
    struct real a, b, r, r1;
    uint16_t cw, sw;
    uint64_t extra;
};

/* b below a on the stack; what is left on top, one below, and the status word. */
#define STEP(name, code)                                                                                                                \
    static void f_##name(struct io *p) {                                                                                                \
        __asm__ volatile("fninit; fldt %3; fldt %4; fnclex; fldcw %5; " code "; fnstsw %2; fnclex; fstpt %0; fstpt %1; fninit"          \
                         : "=m"(p->r), "=m"(p->r1), "=m"(p->sw)                                                                         \
                         : "m"(p->b), "m"(p->a), "m"(p->cw));                                                                           \
    }
#define STEPS(X)                                                                                                                        \
    X(fadd, "fadd %%st(1), %%st") X(fsub, "fsub %%st(1), %%st") X(fsubr, "fsubr %%st(1), %%st") X(fmul, "fmul %%st(1), %%st")           \
    X(fdiv, "fdiv %%st(1), %%st") X(fdivr, "fdivr %%st(1), %%st") X(fcom, "fcom") X(fucom, "fucom") X(fprem, "fprem")                   \
    X(fprem1, "fprem1") X(fscale, "fscale") X(fxch, "fxch; fchs") X(faddp, "fld %%st; faddp %%st, %%st(2)")                             \
    X(fcmovbe, "fcomi %%st(1), %%st; fcmovbe %%st(1), %%st") X(fcmovu, "fucomi %%st(1), %%st; fcmovu %%st(1), %%st")
STEPS(STEP)

#define ONES(X)                                                                                                                         \
    X(fsqrt, "fsqrt") X(frndint, "frndint") X(fxtract, "fxtract") X(fabs, "fabs") X(fchs, "fchs") X(ftst, "ftst") X(fxam, "fxam")      \
    X(empty, "ffree %%st(1); fadd %%st(1), %%st")
ONES(STEP)

/* Through memory and back. */
#define STORE(name, code)                                                                                                               \
    static void m_##name(struct io *p) {                                                                                                \
        uint64_t at[2] = {0x1111111111111111ull, 0x1111111111111111ull};                                                                \
        __asm__ volatile("fninit; fldt %3; fnclex; fldcw %4; " code " %0; fnstsw %2; fninit"                                             \
                         : "+m"(at), "=m"(p->r1), "=m"(p->sw)                                                                           \
                         : "m"(p->a), "m"(p->cw));                                                                                      \
        p->r.m = at[0];                                                                                                                 \
        p->r.se = at[1];                                                                                                                \
        p->r1 = (struct real){0, 0};                                                                                                    \
    }
#define STORES(X)                                                                                                                       \
    X(fstps, "fstps") X(fstpl, "fstpl") X(fstpt, "fstpt") X(fistps, "fistps") X(fistpl, "fistpl") X(fistpll, "fistpll")                 \
    X(fisttps, "fisttps") X(fisttpl, "fisttpl") X(fisttpll, "fisttpll") X(fbstp, "fbstp")
STORES(STORE)

/* Memory operands of 32 and 64 bits: the bits of a's significand. */
#define LOAD(name, code)                                                                                                                \
    static void f_##name(struct io *p) {                                                                                                \
        __asm__ volatile("fninit; fld1; fldt %4; fnclex; fldcw %5; " code " %3; fnstsw %2; fnclex; fstpt %0; fstpt %1; fninit"          \
                         : "=m"(p->r), "=m"(p->r1), "=m"(p->sw)                                                                         \
                         : "m"(p->extra), "m"(p->b), "m"(p->cw));                                                                       \
    }
#define LOADS(X)                                                                                                                        \
    X(flds, "flds") X(fldl, "fldl") X(filds, "filds") X(fildl, "fildl") X(fildll, "fildll") X(fadds, "fadds") X(faddl, "faddl")         \
    X(fsubs, "fsubs") X(fdivl, "fdivl") X(fdivrs, "fdivrs") X(fmull, "fmull") X(fiaddl, "fiaddl") X(fidivs, "fidivs")                   \
    X(fisubrl, "fisubrl") X(fcoms, "fcoms") X(fcompl, "fcoml") X(ficoms, "ficoms")
LOADS(LOAD)

struct row {
    const char *name;
    void (*f)(struct io *);
};
#define ROW(name, code) {#name, f_##name},
#define ROW_M(name, code) {#name, m_##name},
static const struct row twos[] = {STEPS(ROW)}, ones[] = {ONES(ROW) STORES(ROW_M)}, loads[] = {LOADS(ROW)};

static const uint16_t roundings[] = {0x07f, 0x27f, 0x37f, 0x47f, 0x67f, 0x77f, 0x87f, 0xa7f, 0xb7f, 0xc7f, 0xe7f, 0xf7f};

static void show(const char *name, struct io *p) {
    uint64_t in[6] = {p->cw, p->a.se, p->a.m, p->b.se, p->b.m, p->extra};
    uint64_t out[5] = {p->sw, p->r.se, p->r.m, p->r1.se, p->r1.m};
    line(name, in, 6, out, 5);
}

int main(int argc, char **argv) {
    ARGUMENTS(argc, argv);
    for (int k = 0; k < COUNT(twos); k++) {
        for (int c = 0; c < COUNT(roundings); c++)
            for (int i = 0; i < COUNT(reals); i++)
                for (int j = 0; j < COUNT(reals); j++) {
                    if (LEFT_OUT) continue;
                    struct io io = {.a = reals[i], .b = reals[j], .cw = roundings[c]};
                    twos[k].f(&io);
                    show(twos[k].name, &io);
                }
        done(twos[k].name);
    }
    for (int k = 0; k < COUNT(ones); k++) {
        for (int c = 0; c < COUNT(roundings); c++)
            for (int i = 0; i < COUNT(reals); i++) {
                if (LEFT_OUT) continue;
                struct io io = {.a = reals[i], .b = reals[15], .cw = roundings[c]};
                ones[k].f(&io);
                show(ones[k].name, &io);
            }
        done(ones[k].name);
    }
    static const uint64_t images[] = {0x7ff0000000000000ull, 0x7ff0000000000001ull, 0xfff8000000000001ull, 0x7f800000ull, 0x7f800001ull,
                                      0xffc00000ull, 0x00000001ull, 0x000fffffffffffffull, 0x3ff0000000000000ull, 0x3f800000ull,
                                      0x807fffffull, 0x40490fdbull, 0xc00921fb54442d18ull};
    for (int k = 0; k < COUNT(loads); k++) {
        for (int c = 0; c < COUNT(roundings); c += 4)
            for (int i = 0; i < COUNT(images) + COUNT(patterns); i++)
                for (int j = 0; j < COUNT(reals); j += 3) {
                    if (LEFT_OUT) continue;
                    struct io io = {.b = reals[j], .cw = roundings[c]};
                    io.extra = i < COUNT(images) ? images[i] : patterns[i - COUNT(images)];
                    loads[k].f(&io);
                    show(loads[k].name, &io);
                }
        done(loads[k].name);
    }
    return finish();
}
