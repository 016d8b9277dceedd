/* Numbers of many words: schoolbook products and additions with carries. */
#include "kernel.h"

#ifdef __x86_64__
typedef uint64_t word;
typedef unsigned __int128 twice;
#else
typedef uint32_t word;
typedef uint64_t twice;
#endif
enum { WORDS = 24 };

/* a += b * m at an offset; the carry out. */
static NOINLINE word multiply_add(word *a, const word *b, word m) {
    word carry = 0;
    for (int i = 0; i < WORDS; i++) {
        twice t = (twice)b[i] * m + a[i] + carry;
        a[i] = (word)t;
        carry = (word)(t >> (8 * sizeof(word)));
    }
    return carry;
}

/* a += b, by add with carry. */
static NOINLINE word add(word *a, const word *b) {
    word carry = 0;
    for (int i = 0; i < WORDS; i += 4) {
        word x;
        __asm__("neg %[c]\n\t"
                "mov %[b0], %[x]\n\tadc %[x], %[a0]\n\t"
                "mov %[b1], %[x]\n\tadc %[x], %[a1]\n\t"
                "mov %[b2], %[x]\n\tadc %[x], %[a2]\n\t"
                "mov %[b3], %[x]\n\tadc %[x], %[a3]\n\t"
                "sbb %[c], %[c]\n\tneg %[c]"
                : [c] "+r"(carry), [x] "=&r"(x), [a0] "+m"(a[i]), [a1] "+m"(a[i + 1]), [a2] "+m"(a[i + 2]), [a3] "+m"(a[i + 3])
                : [b0] "m"(b[i]), [b1] "m"(b[i + 1]), [b2] "m"(b[i + 2]), [b3] "m"(b[i + 3])
                : "cc");
    }
    return carry;
}

uint64_t kernel(uint32_t n) {
    static word a[WORDS], b[WORDS], p[2 * WORDS];
    for (int i = 0; i < WORDS; i++) a[i] = (word)random32() * 0x10001u, b[i] = (word)random32() * 0x7001u;
    while (n--) {
        memset(p, 0, sizeof p);
        for (int i = 0; i < WORDS; i++) p[i + WORDS] = multiply_add(p + i, b, a[i]);
        a[0] += add(a, p + WORDS) + add(a, b);
    }
    uint64_t sum = 0;
    for (int i = 0; i < WORDS; i++) sum = sum * 31 + a[i];
    return sum;
}
