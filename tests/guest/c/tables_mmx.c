/* MMX with its extensions by SSE, SSE2 and SSSE3. */
#include "tables.h"

struct io {
    uint64_t a, b, r;
    uint32_t gpr;
};

#define TWO(X)                                                                                                                          \
    X(paddb) X(paddw) X(paddd) X(paddq) X(psubb) X(psubw) X(psubd) X(psubq) X(paddsb) X(paddsw) X(paddusb) X(paddusw) X(psubsb)        \
    X(psubsw) X(psubusb) X(psubusw) X(pmullw) X(pmulhw) X(pmulhuw) X(pmuludq) X(pmaddwd) X(psadbw) X(pavgb) X(pavgw) X(pminub)         \
    X(pmaxub) X(pminsw) X(pmaxsw) X(pcmpeqb) X(pcmpeqw) X(pcmpeqd) X(pcmpgtb) X(pcmpgtw) X(pcmpgtd) X(pand) X(pandn) X(por) X(pxor)    \
    X(packsswb) X(packssdw) X(packuswb) X(punpcklbw) X(punpcklwd) X(punpckldq) X(punpckhbw) X(punpckhwd) X(punpckhdq) X(psllw)         \
    X(pslld) X(psllq) X(psrlw) X(psrld) X(psrlq) X(psraw) X(psrad) X(pshufb) X(phaddw) X(phaddd) X(phaddsw) X(phsubw) X(phsubd)        \
    X(phsubsw) X(pmaddubsw) X(pmulhrsw) X(psignb) X(psignw) X(psignd) X(pabsb) X(pabsw) X(pabsd) X(movq)

/* Between registers and with memory, which have to agree. */
#define DEFINE(op)                                                                                                                      \
    static void f_##op(struct io *p) {                                                                                                  \
        uint64_t m;                                                                                                                     \
        __asm__ volatile("movq %2, %%mm0; movq %3, %%mm1; " #op " %%mm1, %%mm0; movq %%mm0, %0; movq %2, %%mm2; " #op                   \
                         " %3, %%mm2; movq %%mm2, %1; emms"                                                                             \
                         : "=m"(p->r), "=m"(m)                                                                                          \
                         : "m"(p->a), "m"(p->b));                                                                                       \
        if (m != p->r) printf(#op " with memory gives something else\n");                                                               \
    }
TWO(DEFINE)

#define IMM(X)                                                                                                                          \
    X(pshufw, 0x1b) X(pshufw, 0xe4) X(pshufw, 0x93) X(palignr, 0) X(palignr, 3) X(palignr, 8) X(palignr, 13) X(palignr, 16)
#define DEFINE_IMM(op, n)                                                                                                               \
    static void f_##op##_##n(struct io *p) {                                                                                            \
        __asm__ volatile("movq %1, %%mm0; movq %2, %%mm1; " #op " $" #n ", %%mm1, %%mm0; movq %%mm0, %0; emms"                          \
                         : "=m"(p->r)                                                                                                   \
                         : "m"(p->a), "m"(p->b));                                                                                       \
    }
IMM(DEFINE_IMM)

#define SHIFTS(X)                                                                                                                       \
    X(psllw, 1) X(psllw, 15) X(psllw, 16) X(pslld, 7) X(pslld, 32) X(psllq, 33) X(psllq, 64) X(psrlw, 3) X(psrld, 31) X(psrlq, 1)       \
    X(psrlq, 63) X(psraw, 15) X(psraw, 200) X(psrad, 5) X(psrad, 255)
#define DEFINE_SHIFT(op, n)                                                                                                             \
    static void s_##op##_##n(struct io *p) {                                                                                            \
        __asm__ volatile("movq %1, %%mm7; " #op " $" #n ", %%mm7; movq %%mm7, %0; emms" : "=m"(p->r) : "m"(p->a));                      \
    }
SHIFTS(DEFINE_SHIFT)

static void f_movd(struct io *p) {
    __asm__ volatile("movd %2, %%mm3; movd %%mm3, %1; movq %%mm3, %0; emms" : "=m"(p->r), "=r"(p->gpr) : "r"((uint32_t)p->a));
}
static void f_pmovmskb(struct io *p) {
    __asm__ volatile("movq %2, %%mm5; pmovmskb %%mm5, %1; movq %%mm5, %0; emms" : "=m"(p->r), "=r"(p->gpr) : "m"(p->a));
}
static void f_pextrw(struct io *p) {
    __asm__ volatile("movq %2, %%mm6; pextrw $2, %%mm6, %1; movq %%mm6, %0; emms" : "=m"(p->r), "=r"(p->gpr) : "m"(p->a));
}
static void f_pinsrw(struct io *p) {
    __asm__ volatile("movq %1, %%mm4; pinsrw $1, %2, %%mm4; pinsrw $7, %3, %%mm4; movq %%mm4, %0; emms"
                     : "=m"(p->r)
                     : "m"(p->a), "r"((uint32_t)p->b), "m"(p->b));
}
/* The x87 registers under it: sign and exponent of what was written, and the tags. */
static void f_alias(struct io *p) {
    unsigned char image[108] __attribute__((aligned(16)));
    __asm__ volatile("fninit; fld1; fldpi; movq %1, %%mm1; paddb %2, %%mm1; fnsave %0; fninit" : "=m"(image) : "m"(p->a), "m"(p->b));
    uint64_t sum = 0;
    for (int i = 4; i < 12; i++) sum = sum * 31 + image[i];
    for (int i = 28; i < 108; i++) sum = sum * 31 + image[i];
    p->r = sum;
}
static void f_movq2dq(struct io *p) {
    uint64_t v[2];
    __asm__ volatile("movq %1, %%mm1; movq2dq %%mm1, %%xmm0; paddb %%xmm0, %%xmm0; movups %%xmm0, %0; movdq2q %%xmm0, %%mm2; movq %%mm2, %2; emms"
                     : "=m"(v), "+m"(p->a), "=m"(p->r)
                     :
                     : "memory" VECTORS);
    p->gpr = (uint32_t)v[1];
}

struct row {
    const char *name;
    void (*f)(struct io *);
};
#define ROW(op) {#op, f_##op},
#define ROW_IMM(op, n) {#op " " #n, f_##op##_##n},
#define ROW_SHIFT(op, n) {#op " " #n, s_##op##_##n},
static const struct row rows[] = {TWO(ROW) IMM(ROW_IMM) SHIFTS(ROW_SHIFT) ROW(movd) ROW(pmovmskb) ROW(pextrw) ROW(pinsrw) ROW(alias) ROW(movq2dq)};

int main(int argc, char **argv) {
    ARGUMENTS(argc, argv);
    for (int k = 0; k < COUNT(rows); k++) {
        for (int i = 0; i < COUNT(patterns); i++)
            for (int j = 0; j < COUNT(patterns); j++) {
                if (LEFT_OUT) continue;
                struct io io = {patterns[i], patterns[j]};
                uint64_t in[2] = {io.a, io.b};
                rows[k].f(&io);
                uint64_t out[2] = {io.r, io.gpr};
                line(rows[k].name, in, 2, out, 2);
            }
        done(rows[k].name);
    }
    return finish();
}
