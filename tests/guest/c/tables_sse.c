/* SSE to SSE4.2: arithmetic of every kind under every rounding mode, with and without flushing and denormals as zero, its sticky flags; integers. */
#include "tables.h"

struct io {
    uint64_t a[2], b[2], r[2];
    uint32_t mxcsr, gpr;
};

#define FLOATS(X)                                                                                                                       \
    X(addps) X(addpd) X(addss) X(addsd) X(subps) X(subpd) X(subss) X(subsd) X(mulps) X(mulpd) X(mulss) X(mulsd) X(divps) X(divpd)      \
    X(divss) X(divsd) X(minps) X(minpd) X(minss) X(minsd) X(maxps) X(maxpd) X(maxss) X(maxsd) X(sqrtps) X(sqrtpd) X(sqrtss) X(sqrtsd)  \
    X(cmpeqps) X(cmpltpd) X(cmpless) X(cmpunordsd) X(cmpneqps) X(cmpnltpd) X(cmpnless) X(cmpordsd) X(cvtps2pd) X(cvtpd2ps) X(cvtss2sd) \
    X(cvtsd2ss) X(cvtdq2ps) X(cvtdq2pd) X(cvtps2dq) X(cvttps2dq) X(cvtpd2dq) X(cvttpd2dq) X(haddps) X(haddpd) X(hsubps) X(hsubpd)      \
    X(addsubps) X(addsubpd)
#define INTS(X)                                                                                                                         \
    X(paddb) X(paddw) X(paddd) X(paddq) X(psubb) X(psubw) X(psubd) X(psubq) X(paddsb) X(paddsw) X(paddusb) X(paddusw) X(psubsb)        \
    X(psubsw) X(psubusb) X(psubusw) X(pmullw) X(pmulhw) X(pmulhuw) X(pmuludq) X(pmaddwd) X(psadbw) X(pavgb) X(pavgw) X(pminub)         \
    X(pmaxub) X(pminsw) X(pmaxsw) X(pcmpeqb) X(pcmpeqw) X(pcmpeqd) X(pcmpgtb) X(pcmpgtw) X(pcmpgtd) X(pand) X(pandn) X(por) X(pxor)    \
    X(packsswb) X(packssdw) X(packuswb) X(punpcklbw) X(punpcklwd) X(punpckldq) X(punpcklqdq) X(punpckhbw) X(punpckhwd) X(punpckhdq)    \
    X(punpckhqdq) X(psllw) X(pslld) X(psllq) X(psrlw) X(psrld) X(psrlq) X(psraw) X(psrad) X(andps) X(andnpd) X(orps) X(xorpd)          \
    X(unpcklps) X(unpckhpd) X(movddup) X(movsldup) X(movshdup) X(pshufb) X(phaddw) X(phaddd) X(phaddsw) X(phsubw) X(phsubd)            \
    X(phsubsw) X(pmaddubsw) X(pmulhrsw) X(psignb) X(psignw) X(psignd) X(pabsb) X(pabsw) X(pabsd) X(packusdw) X(pmuldq) X(pmulld)       \
    X(pminsb) X(pminsd) X(pminuw) X(pminud) X(pmaxsb) X(pmaxsd) X(pmaxuw) X(pmaxud) X(pcmpeqq) X(pcmpgtq) X(phminposuw) X(pmovsxbw)    \
    X(pmovsxbd) X(pmovsxbq) X(pmovsxwd) X(pmovsxwq) X(pmovsxdq) X(pmovzxbw) X(pmovzxbd) X(pmovzxbq) X(pmovzxwd) X(pmovzxwq)            \
    X(pmovzxdq) X(movhlps) X(movlhps) X(movss) X(movsd) X(movq)
#define IMM(X)                                                                                                                          \
    X(shufps, 0x1b) X(shufpd, 2) X(pshufd, 0x93) X(pshuflw, 0x39) X(pshufhw, 0x4e) X(palignr, 0) X(palignr, 5) X(palignr, 16)          \
    X(palignr, 21) X(palignr, 33) X(pblendw, 0x5a) X(blendps, 6) X(blendpd, 1) X(insertps, 0x5c) X(mpsadbw, 0) X(mpsadbw, 6)           \
    X(cmpps, 0) X(cmppd, 7)
#define ROUNDS(X)                                                                                                                       \
    X(roundps, 0) X(roundps, 4) X(roundpd, 1) X(roundss, 10) X(roundsd, 3) X(dpps, 0xf1) X(dpps, 0x7c) X(dppd, 0x31) X(dppd, 0x13)
#define STRINGS(X)                                                                                                                      \
    X(pcmpistri, 0) X(pcmpistri, 0x0c) X(pcmpistri, 0x18) X(pcmpistri, 0x45) X(pcmpistri, 0x3a) X(pcmpistri, 0x7f)

#define DEFINE(op)                                                                                                                      \
    static void f_##op(struct io *p) {                                                                                                  \
        __asm__ volatile("movups %2, %%xmm0; movups %3, %%xmm1; ldmxcsr %1; " #op " %%xmm1, %%xmm0; stmxcsr %1; movups %%xmm0, %0"      \
                         : "=m"(p->r), "+m"(p->mxcsr)                                                                                   \
                         : "m"(p->a), "m"(p->b)                                                                                         \
                         : "memory" VECTORS);                                                                                           \
    }
#define DEFINE_IMM(op, n)                                                                                                               \
    static void f_##op##_##n(struct io *p) {                                                                                            \
        __asm__ volatile("movups %2, %%xmm0; movups %3, %%xmm1; ldmxcsr %1; " #op " $" #n                                               \
                         ", %%xmm1, %%xmm0; stmxcsr %1; movups %%xmm0, %0"                                                              \
                         : "=m"(p->r), "+m"(p->mxcsr)                                                                                   \
                         : "m"(p->a), "m"(p->b)                                                                                         \
                         : "memory" VECTORS);                                                                                           \
    }
#define DEFINE_STRING(op, n)                                                                                                            \
    static void f_##op##_##n(struct io *p) {                                                                                            \
        unsigned c, cc, ss;                                                                                                             \
        unsigned char f[4];                                                                                                             \
        __asm__ volatile("movups %5, %%xmm0; movups %6, %%xmm1; " #op " $" #n                                                           \
                         ", %%xmm1, %%xmm0; setc %0; setz %1; sets %2; seto %3"                                                         \
                         : "=m"(f[0]), "=m"(f[1]), "=m"(f[2]), "=m"(f[3]), "=&c"(c)                                                     \
                         : "m"(p->a), "m"(p->b)                                                                                         \
                         : "memory" VECTORS);                                                                                           \
        p->r[0] = f[0] | f[1] << 1 | f[2] << 2 | f[3] << 3;                                                                             \
        p->gpr = c;                                                                                                                     \
    }
#define SCALARS(X)                                                                                                                      \
    X(cvtss2si) X(cvtsd2si) X(cvttss2si) X(cvttsd2si) X(movmskps) X(movmskpd) X(pmovmskb) X(movd)
#define DEFINE_SCALAR(op)                                                                                                               \
    static void f_##op(struct io *p) {                                                                                                  \
        __asm__ volatile("movups %2, %%xmm1; ldmxcsr %1; " #op " %%xmm1, %0; stmxcsr %1"                                                \
                         : "=r"(p->gpr), "+m"(p->mxcsr)                                                                                 \
                         : "m"(p->b)                                                                                                    \
                         : "memory" VECTORS);                                                                                           \
    }
#define COMPARES(X) X(comiss) X(comisd) X(ucomiss) X(ucomisd) X(ptest)
#define DEFINE_COMPARE(op)                                                                                                              \
    static void f_##op(struct io *p) {                                                                                                  \
        unsigned char f[3];                                                                                                             \
        __asm__ volatile("movups %4, %%xmm0; movups %5, %%xmm1; ldmxcsr %3; " #op " %%xmm1, %%xmm0; setc %0; setz %1; setp %2; stmxcsr %3" \
                         : "=m"(f[0]), "=m"(f[1]), "=m"(f[2]), "+m"(p->mxcsr)                                                           \
                         : "m"(p->a), "m"(p->b)                                                                                         \
                         : "memory" VECTORS);                                                                                           \
        p->gpr = f[0] | f[1] << 1 | f[2] << 2;                                                                                          \
    }
FLOATS(DEFINE)
INTS(DEFINE)
IMM(DEFINE_IMM)
ROUNDS(DEFINE_IMM)
STRINGS(DEFINE_STRING)
SCALARS(DEFINE_SCALAR)
COMPARES(DEFINE_COMPARE)

struct row {
    const char *name;
    void (*f)(struct io *);
};
#define ROW(op) {#op, f_##op},
#define ROW_IMM(op, n) {#op " " #n, f_##op##_##n},
static const struct row floats[] = {FLOATS(ROW) ROUNDS(ROW_IMM) SCALARS(ROW) COMPARES(ROW)}, ints[] = {INTS(ROW) IMM(ROW_IMM) STRINGS(ROW_IMM)};

static const uint64_t reals[] = {
    0, 0x8000000080000000ull, 0x3f8000003f800000ull, 0x3ff0000000000000ull, 0xbff0000000000000ull, 0x0000000100000001ull, 0x000fffffffffffffull,
    0x8000000000000001ull, 0x0010000000000000ull, 0x007fffff00800000ull, 0x7fefffffffffffffull, 0x7f7fffff7f7fffffull, 0x7ff0000000000000ull,
    0xff8000007f800000ull, 0x7ff8000000000000ull, 0x7ff0000000000001ull, 0x7fc000007f800001ull, 0xffc12345ff876543ull, 0x400921fb54442d18ull,
    0x40490fdb3eaaaaabull, 0xc1d0000000200000ull, 0x4f0000004f000001ull, 0x41dfffffffc00000ull, 0xcf000000bf000000ull,
};
static const uint32_t modes[] = {0x1f80, 0x3f80, 0x5f80, 0x7f80, 0x1fc0, 0x9f80, 0x9fc0, 0xbfc0};

static void show(const struct row *r, struct io io) {
    uint64_t in[5] = {io.mxcsr, io.a[0], io.a[1], io.b[0], io.b[1]};
    r->f(&io);
    uint64_t out[4] = {io.r[0], io.r[1], flags_of(io.mxcsr), io.gpr};
    line(r->name, in, 5, out, 4);
}

int main(int argc, char **argv) {
    ARGUMENTS(argc, argv);
    for (int k = 0; k < COUNT(floats); k++) {
        for (int c = 0; c < COUNT(modes); c++)
            for (int i = 0; i < COUNT(reals); i++)
                for (int j = 0; j < COUNT(reals); j++)
                    if (!LEFT_OUT)
                        show(floats + k, (struct io){{reals[i], reals[(i * 7 + 3) % COUNT(reals)]}, {reals[j], reals[(i + j) % COUNT(reals)]}, {0}, modes[c]});
        done(floats[k].name);
    }
    for (int k = 0; k < COUNT(ints); k++) {
        for (int i = 0; i < COUNT(patterns); i++)
            for (int j = 0; j < COUNT(patterns); j++)
                if (!LEFT_OUT)
                    show(ints + k, (struct io){{patterns[i], patterns[(i * 7 + 3) % COUNT(patterns)]}, {patterns[j], patterns[(i + j) % COUNT(patterns)]}, {0}, 0x1f80});
        done(ints[k].name);
    }
    unsigned mxcsr = 0x1f80;
    __asm__ volatile("ldmxcsr %0" ::"m"(mxcsr));
    return finish();
}
