/* Extended precision: Horner's rule, a continued fraction and a dot product in long double. */
#include "kernel.h"

uint64_t kernel(uint32_t n) {
    static long double v[64];
    for (int i = 0; i < 64; i++) v[i] = (random32() >> 4) / 268435456.0L + 0.5L;
    long double sum = 0;
    for (uint32_t round = 0; round < n; round++) {
        long double x = v[round & 63], p = 0, f = 1, d = 0;
        for (int i = 0; i < 64; i++) p = p * x + v[i], d += v[i] * v[63 - i];
        for (int i = 0; i < 16; i++) f = 1 + x / (f + v[i]);
        sum = sum * 0.5L + (p > 1e6L ? p / 1e6L : p) + f - d;
    }
    uint64_t mant;
    memcpy(&mant, &sum, 8);
    return mant;
}
