/* A Lempel-Ziv compressor with a hash of three bytes, and the decompressor, on 8 KiB per round. */
#include "kernel.h"

enum { SIZE = 8192 };

static NOINLINE size_t compress(const uint8_t *in, size_t n, uint8_t *out) {
    static uint16_t head[1024];
    memset(head, 0, sizeof head);
    size_t i = 0, o = 0;
    while (i < n) {
        size_t length = 0, distance = 0;
        if (i + 3 < n) {
            uint32_t h = ((in[i] | in[i + 1] << 8 | (uint32_t)in[i + 2] << 16) * 2654435761u) >> 22;
            size_t j = head[h];
            head[h] = (uint16_t)i;
            if (j < i) {
                while (i + length < n && length < 255 && in[j + length] == in[i + length]) length++;
                distance = i - j;
            }
        }
        if (length >= 4) {
            out[o++] = 1;
            out[o++] = (uint8_t)length;
            out[o++] = (uint8_t)distance;
            out[o++] = (uint8_t)(distance >> 8);
            i += length;
        } else {
            out[o++] = 0;
            out[o++] = in[i++];
        }
    }
    return o;
}

static NOINLINE size_t expand(const uint8_t *in, size_t n, uint8_t *out) {
    size_t o = 0;
    for (size_t i = 0; i < n;) {
        if (in[i]) {
            size_t length = in[i + 1], distance = in[i + 2] | in[i + 3] << 8;
            for (size_t k = 0; k < length; k++, o++) out[o] = out[o - distance];
            i += 4;
        } else {
            out[o++] = in[i + 1];
            i += 2;
        }
    }
    return o;
}

uint64_t kernel(uint32_t n) {
    static uint8_t text[SIZE], packed[2 * SIZE], back[SIZE];
    static const char *const words[8] = {"static ", "return ", "uint8_t ", "while (", "int ", "if (x", "; ", "\n    "};
    size_t at = 0;
    while (at < SIZE)
        for (const char *w = words[random32() >> 29]; *w && at < SIZE;) text[at++] = (uint8_t)*w++;
    uint64_t sum = 0;
    while (n--) {
        text[n % SIZE] ^= 1;
        size_t c = compress(text, SIZE, packed);
        if (expand(packed, c, back) != SIZE || memcmp(text, back, SIZE)) return 0;
        sum = sum * 31 + c + packed[c / 2];
    }
    return sum;
}
