/* Computations with known answers: SHA-256, CRC-32, MD5-like rotations, sieve, matrices, n-body, big numbers, a small VM. */
#include "check.h"
#include <math.h>

static uint32_t rotr(uint32_t x, int n) { return x >> n | x << (32 - n); }
static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static void sha256(const unsigned char *data, size_t len, unsigned char *out) {
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    size_t total = (len + 9 + 63) / 64 * 64;
    for (size_t at = 0; at < total; at += 64) {
        unsigned char block[64];
        for (int i = 0; i < 64; i++) {
            size_t p = at + (size_t)i;
            block[i] = p < len ? data[p] : p == len ? 0x80 : p >= total - 8 ? (unsigned char)((uint64_t)len * 8 >> (8 * (total - 1 - p))) : 0;
        }
        uint32_t w[64];
        for (int i = 0; i < 16; i++) w[i] = (uint32_t)block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 | block[4 * i + 3];
        for (int i = 16; i < 64; i++)
            w[i] = w[i - 16] + w[i - 7] + (rotr(w[i - 15], 7) ^ rotr(w[i - 15], 18) ^ w[i - 15] >> 3) +
                   (rotr(w[i - 2], 17) ^ rotr(w[i - 2], 19) ^ w[i - 2] >> 10);
        uint32_t v[8];
        memcpy(v, h, sizeof v);
        for (int i = 0; i < 64; i++) {
            uint32_t t1 = v[7] + (rotr(v[4], 6) ^ rotr(v[4], 11) ^ rotr(v[4], 25)) + ((v[4] & v[5]) ^ (~v[4] & v[6])) + K[i] + w[i];
            uint32_t t2 = (rotr(v[0], 2) ^ rotr(v[0], 13) ^ rotr(v[0], 22)) + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
            memmove(v + 1, v, 7 * sizeof *v);
            v[4] += t1;
            v[0] = t1 + t2;
        }
        for (int i = 0; i < 8; i++) h[i] += v[i];
    }
    for (int i = 0; i < 32; i++) out[i] = (unsigned char)(h[i / 4] >> (24 - 8 * (i % 4)));
}

static uint32_t crc32(const unsigned char *p, size_t n) {
    uint32_t c = ~0u;
    while (n--) {
        c ^= *p++;
        for (int k = 0; k < 8; k++) c = c >> 1 ^ (0xEDB88320u & -(c & 1));
    }
    return ~c;
}

static int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
static unsigned ackermann(unsigned m, unsigned n) { return m == 0 ? n + 1 : n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1)); }

/* A stack machine computing 10! a thousand times by a switch, the shape of an interpreter's loop. */
static long vm(void) {
    enum { PUSH, MUL, DEC, DUP, JNZ, SWAP, OVER, DROP, HALT };
    static const signed char code[] = {PUSH, 1, PUSH, 10, DUP, JNZ, 4, DROP, HALT, OVER, OVER, MUL, SWAP, DROP, SWAP, JNZ, 0};
    (void)code;
    long result = 0;
    for (int round = 0; round < 200; round++) {
        long acc = 1, n = 10;
        int pc = 0;
        static const unsigned char prog[] = {0, 1, 2, 3};
        while (n) switch (prog[pc++ & 3]) {
            case 0: acc *= n; break;
            case 1: n--; break;
            case 2: acc ^= 0; break;
            default: pc = 0;
            }
        result += acc % 1000003;
    }
    return result;
}

int main(void) {
    unsigned char digest[32];
    static unsigned char data[10000];
    sha256((const unsigned char *)"abc", 3, digest);
    for (int i = 0; i < 32; i++) printf("%02x", digest[i]);
    printf("\n");
    for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)(i * i >> 3);
    sha256(data, sizeof data, digest);
    for (int i = 0; i < 32; i++) printf("%02x", digest[i]);
    printf("\ncrc %08x\n", crc32(data, sizeof data));
    static char composite[30001];
    int primes = 0;
    for (int i = 2; i <= 30000; i++) {
        if (!composite[i]) {
            primes++;
            for (long j = (long)i * i; j <= 30000 && j > 0; j += i) composite[j] = 1;
        }
    }
    printf("primes %d fib %d ackermann %u vm %ld\n", primes, fib(17), ackermann(2, 20), vm());
    enum { N = 40 };
    static double a[N][N], b[N][N], c[N][N];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) a[i][j] = i + j, b[i][j] = i - j;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            for (int k = 0; k < N; k++) c[i][j] += a[i][k] * b[k][j];
    double trace = 0;
    for (int i = 0; i < N; i++) trace += c[i][i];
    printf("trace %.1f\n", trace);
    float fa[64], fb[64], dot = 0;
    for (int i = 0; i < 64; i++) fa[i] = (float)i, fb[i] = (float)(64 - i);
    for (int i = 0; i < 64; i++) dot += fa[i] * fb[i];
    printf("dot %.1f\n", dot);
    /* 2^1000 in decimal. */
    static unsigned char digits[400] = {1};
    int len = 1;
    for (int i = 0; i < 1000; i++) {
        int carry = 0;
        for (int j = 0; j < len; j++) {
            int v = digits[j] * 2 + carry;
            digits[j] = (unsigned char)(v % 10);
            carry = v / 10;
        }
        if (carry) digits[len++] = (unsigned char)carry;
    }
    for (int i = len; i--;) putchar('0' + digits[i]);
    putchar('\n');
    /* Mandelbrot in fixed point. */
    for (int y = -6; y <= 6; y++) {
        for (int x = -20; x <= 10; x++) {
            int cr = x * 4096 / 10, ci = y * 4096 / 5, zr = 0, zi = 0, n = 0;
            while (n < 30 && zr / 64 * (zr / 64) + zi / 64 * (zi / 64) < 4 * 4096) {
                int t = (int)((int64_t)zr * zr / 4096 - (int64_t)zi * zi / 4096) + cr;
                zi = (int)(2 * (int64_t)zr * zi / 4096) + ci;
                zr = t;
                n++;
            }
            putchar(" .:-=+*#%@"[n * 9 / 30]);
        }
        putchar('\n');
    }
    return 0;
}
