/* Locked instructions of one thread: add, exchange, compare and exchange, or. */
#include "kernel.h"

uint64_t kernel(uint32_t n) {
    static uint32_t counters[16], lock;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n * 64; i++) {
        uint32_t *c = &counters[i & 15];
        while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE)) {}
        sum += __atomic_fetch_add(c, i, __ATOMIC_SEQ_CST);
        uint32_t old = *c;
        while (!__atomic_compare_exchange_n(c, &old, old * 3 + 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {}
        __atomic_or_fetch(&counters[(i + 1) & 15], 4, __ATOMIC_SEQ_CST);
        __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
    }
    return sum;
}
