/* Quicksort of 4096 integers per round. */
#include "kernel.h"

static NOINLINE void sort(int32_t *a, int lo, int hi) {
    while (lo < hi) {
        int32_t pivot = a[(lo + hi) / 2];
        int i = lo, j = hi;
        while (i <= j) {
            while (a[i] < pivot) i++;
            while (a[j] > pivot) j--;
            if (i <= j) {
                int32_t t = a[i];
                a[i++] = a[j];
                a[j--] = t;
            }
        }
        if (j - lo < hi - i) {
            sort(a, lo, j);
            lo = i;
        } else {
            sort(a, i, hi);
            hi = j;
        }
    }
}

uint64_t kernel(uint32_t n) {
    static int32_t a[4096];
    uint64_t sum = 0;
    while (n--) {
        for (int i = 0; i < 4096; i++) a[i] = (int32_t)random32();
        sort(a, 0, 4095);
        for (int i = 0; i < 4096; i += 64) sum = sum * 31 + (uint32_t)a[i];
    }
    return sum;
}
