/* The x87 unit: stack discipline, control word, status flags, saved state, 80-bit results to the bit. */
#include "check.h"

static void show(const char *what, long double v) {
    unsigned char raw[16] = {0};
    memcpy(raw, &v, 10);
    printf("%s ", what);
    for (int k = 9; k >= 0; k--) printf("%02x", raw[k]);
    printf("\n");
}

static unsigned short status(void) {
    unsigned short s;
    __asm__ volatile("fnstsw %0" : "=m"(s));
    return s;
}

int main(void) {
    volatile long double a = 1.0L, b = 3.0L, r;
    r = a / b;
    show("1/3", r);
    r = r * b - a;
    show("residue", r);
    unsigned short words[] = {0x37F, 0x27F, 0x07F, 0x77F, 0xB7F, 0xF7F};
    for (int i = 0; i < 6; i++) {
        __asm__ volatile("fninit; fldcw %0" ::"m"(words[i]));
        long double q;
        __asm__ volatile("fdivrp" : "=t"(q) : "0"(a), "u"(b) : "st(1)");
        unsigned s = status();
        __asm__ volatile("fninit");
        printf("cw %x status %x ", words[i], s & 0x47FF);
        show("quotient", q);
    }
    long double c;
    __asm__ volatile("fldpi" : "=t"(c));
    show("pi", c);
    __asm__ volatile("fldl2t" : "=t"(c));
    show("log2 10", c);
    __asm__ volatile("fldln2" : "=t"(c));
    show("ln 2", c);
    __asm__ volatile("fsqrt" : "=t"(c) : "0"(2.0L));
    show("sqrt 2", c);
    __asm__ volatile("fprem" : "=t"(c) : "0"(1e15L), "u"(7.0L));
    show("fprem", c);
    __asm__ volatile("fscale" : "=t"(c) : "0"(1.5L), "u"(100.7L));
    show("fscale", c);
    long double e;
    __asm__ volatile("fxtract" : "=t"(c), "=u"(e) : "0"(-12345.678L));
    show("significand", c);
    show("exponent", e);
    __asm__ volatile("frndint" : "=t"(c) : "0"(2.5L));
    show("frndint", c);

    /* Stack underflow and overflow: the indefinite, IE, SF and C1. */
    __asm__ volatile("fninit; fstp %0" : "=m"(c));
    printf("underflow status %x ", status() & 0x7FF);
    show("value", c);
    __asm__ volatile("fninit; fld1; fld1; fld1; fld1; fld1; fld1; fld1; fld1; fld1");
    printf("overflow status %x ", status() & 0x3FFF);
    __asm__ volatile("fstp %0" : "=m"(c));
    show("value", c);
    __asm__ volatile("fninit");

    /* Comparison flags and classification. */
    long double xs[] = {1.0L, -2.0L, 0.0L, -0.0L, 1e4931L * 10, 1e-4940L, 0};
    unsigned char nan[16] = {0, 0, 0, 0, 0, 0, 0, 0xC0, 0xFF, 0x7F};
    memcpy(&xs[6], nan, 10);
    for (int i = 0; i < 7; i++) {
        unsigned short s1, s2;
        __asm__ volatile("fldt %2; fxam; fnstsw %0; ftst; fnstsw %1; fstp %%st" : "=m"(s1), "=m"(s2) : "m"(xs[i]));
        printf("fxam %04x ftst %04x\n", s1 & 0x4700, s2 & 0x4700);
        __asm__ volatile("fnclex");
    }
    /* fcomi sets the integer flags. */
    unsigned char zf, pf, cf;
    __asm__ volatile("fcomi %%st(1), %%st; setz %0; setp %1; setc %2" : "=q"(zf), "=q"(pf), "=q"(cf) : "t"(1.0L), "u"(2.0L));
    printf("fcomi 1, 2: %d%d%d\n", zf, pf, cf);

    /* Integers and packed decimal. */
    short h;
    int w;
    long long q;
    unsigned char bcd[10];
    volatile long double big = 1e10L, neg = -12345.5L;
    __asm__ volatile("fldt %1; fistps %0" : "=m"(h) : "m"(big));
    __asm__ volatile("fldt %1; fistpl %0" : "=m"(w) : "m"(neg));
    __asm__ volatile("fldt %1; fistpll %0" : "=m"(q) : "m"(big));
    __asm__ volatile("fldt %1; fbstp %0" : "=m"(bcd) : "m"(neg));
    printf("%d %d %lld ", h, w, q);
    for (int k = 9; k >= 0; k--) printf("%02x", bcd[k]);
    printf("\n");
    __asm__ volatile("fbld %1; fstpt %0" : "=m"(c) : "m"(bcd));
    show("fbld", c);

    /* FXCH, FCMOV, environment and full state. */
    __asm__ volatile("fninit; fld1; fldz; fldpi; fxch %%st(2); fstpt %0; fstp %%st; fstp %%st" : "=m"(c));
    show("exchanged", c);
    unsigned char image[108], again[108];
    __asm__ volatile("fld1; fldpi; fnsave %0; frstor %0; fnsave %1" : "=m"(image), "=m"(again));
    printf("saved and restored %d tag %02x%02x\n", memcmp(image + 28, again + 28, 80) == 0, image[9], image[8]);
    unsigned char fx[512] __attribute__((aligned(16)));
    __asm__ volatile("fninit; fld1; fxsave %0; fninit; fxrstor %0; fstpt %1" : "=m"(fx), "=m"(c));
    show("through fxsave", c);
    printf("abridged tag %02x control %02x%02x\n", fx[4], fx[1], fx[0]);
    /* MMX aliases the registers. */
    unsigned long long m1 = 0x0102030405060708ull, m2 = 0x1010101010101010ull, m3;
    __asm__ volatile("movq %1, %%mm0; paddb %2, %%mm0; psllw $4, %%mm0; movq %%mm0, %0; emms" : "=m"(m3) : "m"(m1), "m"(m2));
    printf("mmx %016llx\n", m3);
    /* A long sum that shows lost bits at once. */
    long double sum = 0;
    for (int i = 1; i <= 10000; i++) sum += 1.0L / i;
    show("harmonic", sum);
    return 0;
}
