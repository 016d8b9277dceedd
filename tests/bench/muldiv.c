/* 64-bit multiplication, division and remainder: modular powers and decimal digits. */
#include "kernel.h"

uint64_t kernel(uint32_t n) {
    uint64_t sum = 0;
    while (n--) {
        uint64_t base = random32() | 1, m = 4294967291u, r = 1;
        for (uint32_t e = 0xfedc; e; e >>= 1) {
            if (e & 1) r = r * base % m;
            base = base * base % m;
        }
        uint64_t x = r * 0x9e3779b97f4a7c15u;
        while (x) sum += x % 10, x /= 10;
        sum += (uint64_t)((int64_t)(r - m / 2) / 7) * 3;
    }
    return sum;
}
