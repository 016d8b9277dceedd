/* The Mandelbrot set in floats, 32 x 32 points per round. */
#include "kernel.h"

uint64_t kernel(uint32_t n) {
    uint64_t sum = 0;
    for (uint32_t round = 0; round < n; round++)
        for (int py = 0; py < 32; py++)
            for (int px = 0; px < 32; px++) {
                float cx = -2.0f + 3.0f * (float)px / 32.0f + (float)(round & 15) * 0.001f, cy = -1.5f + 3.0f * (float)py / 32.0f;
                float x = 0, y = 0;
                int i = 0;
                while (i < 64 && x * x + y * y < 4.0f) {
                    float t = x * x - y * y + cx;
                    y = 2.0f * x * y + cy;
                    x = t;
                    i++;
                }
                sum = sum * 3 + (uint32_t)i;
            }
    return sum;
}
