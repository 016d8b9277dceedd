/* The C library's string functions on short and long strings. */
#include "kernel.h"

uint64_t kernel(uint32_t n) {
    static char a[2048], b[2048];
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof a - 1; i++) a[i] = (char)('a' + random32() % 26);
    while (n--) {
        for (size_t length = 1; length < 2000; length += length / 2 + 1) {
            memcpy(b, a, length);
            b[length] = 0;
            sum += strlen(b);
            sum += (size_t)(strchr(b, a[length - 1]) - b);
            sum += memcmp(a, b, length) == 0;
            memmove(b + 1, b, length);
            b[length + 1] = 0;
            sum += (uint32_t)strcmp(a, b) >> 31;
            memset(b, (int)n, length);
        }
        a[n % 2000] ^= 1;
    }
    return sum;
}
