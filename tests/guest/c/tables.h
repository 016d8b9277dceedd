/* What the tables of instructions share: every instruction with every operand of a list, one line each.
 *
 * Without arguments a program prints, for each instruction, how many lines it has and a digest of them; with the argument `all` the lines themselves
 * (`cargo xtask tables` compares them with the processor's own). Only what manuals define is in a line. MXCSR's denormal-operand flag, which not
 * every host keeps, has a digest of its own, and with the argument `most` it is not in the lines. With the argument `few` there are digests of every
 * eleventh line, for hosts that interpret an interpreter. */
#ifndef TABLES_H
#define TABLES_H
#include "check.h"

static int show_all, show_most, show_few;
static unsigned turn;
static uint64_t digest, denormals, lines, all_lines;

static uint64_t mix(uint64_t h, uint64_t v) {
    h = (h ^ v) * 0x9e3779b97f4a7c15ull;
    return h ^ h >> 29;
}

/* What of MXCSR stands in a line. */
static uint32_t flags_of(uint32_t mxcsr) {
    denormals = mix(denormals, mxcsr & 2);
    return show_all && !show_most ? mxcsr : mxcsr & ~2;
}

/* Everything an instruction gives, in 64-bit words. */
static void line(const char *name, const uint64_t *in, int nin, const uint64_t *out, int nout) {
    lines++;
    if (!show_all) {
        for (int i = 0; i < nout; i++) digest = mix(digest, out[i]);
        return;
    }
    static const char hex[] = "0123456789abcdef";
    char text[1024], *p = text;
    while (*name) *p++ = *name++;
    for (int i = 0; i < nin + nout; i++) {
        uint64_t w = i < nin ? in[i] : out[i - nin];
        *p++ = i == nin ? '=' : ' ';
        int k = 60;
        while (k > 0 && !(w >> k)) k -= 4;
        for (; k >= 0; k -= 4) *p++ = hex[w >> k & 15];
    }
    *p++ = '\n';
    fwrite(text, 1, p - text, stdout);
}

/* The end of an instruction's lines. */
static void done(const char *name) {
    if (!show_all) printf("%s %llu %016llx\n", name, (unsigned long long)lines, (unsigned long long)digest);
    all_lines += lines;
    lines = digest = 0;
}

static int finish(void) {
    if (denormals && !show_all) printf("denormal-operand flags %016llx\n", (unsigned long long)denormals);
    printf("%llu lines\n", (unsigned long long)all_lines);
    return 0;
}

/* Whether there is an argument `name`. */
static int is_given(int argc, char **argv, const char *name) { return argc > 1 && !strcmp(argv[1], name); }
#define ARGUMENTS(argc, argv)                                            \
    (show_most = is_given(argc, argv, "most"),                          \
     show_all = show_most || is_given(argc, argv, "all"),               \
     show_few = is_given(argc, argv, "few"))
/* Whether the next line is not for this run. */
#define LEFT_OUT (show_few && turn++ % 11)
#define COUNT(a) (sizeof(a) / sizeof *(a))

#ifdef __x86_64__
#define LONG 1
#define VECTORS , "xmm0", "xmm1", "xmm2"
#else
#define LONG 0
#define VECTORS
#endif

/* Patterns of 64 bits for vectors of integers. */
static const uint64_t patterns[] = {
    0, ~0ull, 1, 0x8000000000000000ull, 0x7fffffffffffffffull, 0x8000800080008000ull, 0x7fff7fff7fff7fffull, 0x8080808080808080ull,
    0x7f7f7f7f7f7f7f7full, 0x0102030405060708ull, 0xfffefdfcfbfaf9f8ull, 0x8000000080000000ull, 0x7fffffff7fffffffull, 0x00ff00ff00ff00ffull,
    0xff00ff00ff00ff00ull, 0x123456789abcdef0ull, 0x0000000100000001ull, 0xffff0000ffff0000ull, 0x0001800000017fffull, 0xdeadbeefcafebabeull,
    7, 15, 16, 31, 32, 63, 64, 0x0f0e0d0c0b0a0908ull, 0x8001800280038004ull, 0x00007fffffff8000ull, 0x7f80ff0001fe0203ull, 0xa5a5a5a55a5a5a5aull,
    0x0000000000ffff80ull, 0xfedcba9876543210ull, 0x3f80000040490fdbull, 0x0080ff7f80017ffeull, 0xffffffff00000000ull, 0x00000000ffffffffull,
    0x55aa55aa55aa55aaull, 0x8000000000000001ull,
};
#endif
