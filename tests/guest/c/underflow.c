/* Status flags of products near the least normal number, and of denormal operands: hosts that look for underflow before rounding have others. */
#include "check.h"

#ifdef __SSE__
#define USED "xmm0"
#else
#define USED "memory"
#endif

static unsigned flags(float x, float y, float *z) {
    unsigned status = 0x1f80;
    __asm__ volatile("ldmxcsr %1\n movss %2, %%xmm0\n mulss %3, %%xmm0\n movss %%xmm0, %0\n stmxcsr %1"
                     : "=m"(*z), "+m"(status) : "m"(x), "m"(y) : USED);
    return status & 0x3f;
}

int main(void) {
    uint64_t s = 88172645463325252ull;
    unsigned hash = 0, counts[6] = {0};
    for (int i = 0; i < 20000; i++) {
        s ^= s << 13, s ^= s >> 7, s ^= s << 17;
        uint32_t ea = (s >> 40) % 127, eb = 127 - ea + (s >> 20) % 2, a = ea << 23 | s & 0x7fffff, b = eb << 23 | s >> 23 & 0x7fffff;
        float x, y, z;
        memcpy(&x, &a, 4), memcpy(&y, &b, 4);
        /* Every other product just below it. */
        if (i & 1 && ea) y = 0x1p-126 * (1 - 0x1p-26) / x;
        unsigned f = flags(x, y, &z), word;
        memcpy(&word, &z, 4);
        for (int k = 0; k < 6; k++) counts[k] += f >> k & 1;
        hash = hash * 31 + f + word;
    }
    printf("%x, invalid %u denormal %u zero %u overflow %u underflow %u inexact %u\n", hash, counts[0], counts[1], counts[2], counts[3], counts[4], counts[5]);
    return 0;
}
