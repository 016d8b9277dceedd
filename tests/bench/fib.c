/* Recursive Fibonacci numbers: calls and returns. */
#include "kernel.h"

static NOINLINE uint32_t fib(uint32_t n) {
    if (n < 2) return n;
    uint32_t a = fib(n - 1);
    return a + fib(n - 2);
}

uint64_t kernel(uint32_t n) {
    uint64_t sum = 0;
    while (n--) sum += fib(18 + (n & 1));
    return sum;
}
