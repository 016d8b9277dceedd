/* Gravity between five bodies, in doubles: 100 steps per round. */
#include "kernel.h"

struct body {
    double x, y, z, vx, vy, vz, mass;
};

static double root(double x) {
    double r;
#ifdef __SSE2__
    __asm__("sqrtsd %1, %0" : "=x"(r) : "x"(x));
#else
    r = __builtin_sqrt(x);
#endif
    return r;
}

uint64_t kernel(uint32_t n) {
    struct body b[5];
    for (int i = 0; i < 5; i++) {
        double *f = &b[i].x;
        for (int k = 0; k < 7; k++) f[k] = (random32() >> 8) / 16777216.0 + (k < 3 ? i : 0.1);
    }
    for (uint32_t step = 0; step < n * 100; step++) {
        for (int i = 0; i < 5; i++)
            for (int j = i + 1; j < 5; j++) {
                double dx = b[i].x - b[j].x, dy = b[i].y - b[j].y, dz = b[i].z - b[j].z;
                double d2 = dx * dx + dy * dy + dz * dz + 0.01, f = 0.001 / (d2 * root(d2));
                b[i].vx -= dx * b[j].mass * f, b[i].vy -= dy * b[j].mass * f, b[i].vz -= dz * b[j].mass * f;
                b[j].vx += dx * b[i].mass * f, b[j].vy += dy * b[i].mass * f, b[j].vz += dz * b[i].mass * f;
            }
        for (int i = 0; i < 5; i++) b[i].x += 0.001 * b[i].vx, b[i].y += 0.001 * b[i].vy, b[i].z += 0.001 * b[i].vz;
    }
    uint64_t sum = 0;
    for (int i = 0; i < 5; i++) {
        uint64_t bits;
        memcpy(&bits, &b[i].x, 8);
        sum = sum * 31 + bits;
    }
    return sum;
}
