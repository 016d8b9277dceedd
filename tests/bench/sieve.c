/* The sieve of Eratosthenes up to 64 Ki per round. */
#include "kernel.h"

uint64_t kernel(uint32_t n) {
    enum { SIZE = 65536 };
    static uint8_t composite[SIZE];
    uint64_t sum = 0;
    for (uint32_t round = 0; round < n; round++) {
        memset(composite, 0, sizeof composite);
        for (uint32_t i = 2; i < SIZE; i++) {
            if (composite[i]) continue;
            sum += i ^ round;
            for (uint32_t j = i + i; j < SIZE; j += i) composite[j] = 1;
        }
    }
    return sum;
}
