/* Products of 24 x 24 matrices of doubles; the factors keep the elements' size about constant. */
#include "kernel.h"

enum { N = 24 };

uint64_t kernel(uint32_t n) {
    static double a[N][N], b[N][N], c[N][N];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) a[i][j] = (random32() >> 8) / 16777216.0, b[i][j] = (random32() >> 8) / 16777216.0 / 12.2;
    while (n--) {
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                double s = 0;
                for (int k = 0; k < N; k++) s += a[i][k] * b[k][j];
                c[i][j] = s;
            }
        memcpy(a, c, sizeof a);
        for (int i = 0; i < N; i++) a[i][i] += 0.01;
    }
    uint64_t sum = 0;
    for (int i = 0; i < N; i++) {
        uint64_t bits;
        memcpy(&bits, &a[i][N - 1 - i], 8);
        sum = sum * 31 + bits;
    }
    return sum;
}
