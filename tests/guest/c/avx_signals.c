/* XSAVE and its kin, and the extended state in signal frames: what a handler finds, changes and leaves. Runs with --cpu max. */
/* The compiler itself uses no YMM here, and so clears none. */
#pragma GCC target("sse2,xsave,xsavec")
#include "check.h"
#include <immintrin.h>
#include <cpuid.h>
#include <sys/auxv.h>
#include <ucontext.h>

struct sw { uint32_t magic1, extended_size; uint64_t features; uint32_t xstate_size; };
static unsigned char area[8192] __attribute__((aligned(64)));

static void fill(unsigned char *b, int k) { for (int i = 0; i < 32; i++) b[i] = (unsigned char)(k * 37 + i); }
static unsigned char *fp_area(ucontext_t *u) {
#ifdef __x86_64__
    return (unsigned char *)u->uc_mcontext.fpregs;
#else
    return (unsigned char *)u->uc_mcontext.fpregs + 112;
#endif
}
static int variant;
static sigjmp_buf back;

static void handler(int s, siginfo_t *info, void *context) {
    ucontext_t *u = context;
    unsigned char *fx = fp_area(u);
    struct sw *sw = (struct sw *)(fx + 464);
    uint64_t bv;
    memcpy(&bv, fx + 512, 8);
    uint32_t magic2;
    memcpy(&magic2, fx + sw->xstate_size, 4);
    int before = sizeof(long) == 4 ? 112 : 0;
    if (variant == 0) {
        printf("aligned %d magic %x %x, sizes agree %d, features %d, in use %d", (int)((uintptr_t)fx & 63), sw->magic1, magic2,
            sw->extended_size == sw->xstate_size + 4 + before, (int)(sw->features & 7), (int)(bv & 7));
#ifdef __x86_64__
        printf(", flags %d", (int)(u->uc_flags & 7));
#endif
        printf("\n");
    }
    unsigned char b[32];
    memcpy(b, fx + 160 + 16 * 6, 16);
    memcpy(b + 16, fx + 576 + 16 * 6, 16);
    printf("ymm6 in the frame %02x %02x .. %02x %02x\n", b[0], b[1], b[16], b[31]);
    fill(b, 9);
    memcpy(fx + 576 + 16 * 6, b + 16, 16);
    if (variant == 1) bv &= ~4ull, memcpy(fx + 512, &bv, 8);     /* upper halves: initial */
    if (variant == 2) memset(fx + sw->xstate_size, 0, 4);        /* the first 512 bytes only */
    if (variant == 3) sw->features &= ~4ull;
    if (variant == 4) bv |= 1ull << 40, memcpy(fx + 512, &bv, 8); /* what does not exist */
    /* The handler's own use of the registers is not seen behind it. */
    __asm__ volatile("vpcmpeqd %%ymm6, %%ymm6, %%ymm6" ::: "xmm6");
}
static void bad(int s) { siglongjmp(back, s); }

static void show(const char *what) {
    unsigned char b[32];
    __asm__ volatile("vmovdqu %%ymm6, (%0)" ::"r"(b) : "memory");
    printf("%s %02x%02x %02x%02x\n", what, b[0], b[1], b[16], b[17]);
}

static void load(int k) { unsigned char b[32]; fill(b, k); __asm__ volatile("vmovdqu (%0), %%ymm6" ::"r"(b) : "xmm6", "memory"); }

static void images(void) {
    unsigned a, b, c, d;
    __cpuid_count(1, 0, a, b, c, d);
    printf("xsave %d osxsave %d avx %d\n", c >> 26 & 1, c >> 27 & 1, c >> 28 & 1);
    __cpuid_count(13, 2, a, b, c, d);
    printf("upper halves: %u bytes at %u\n", a, b);
    printf("xcr0 %d\n", (int)(_xgetbv(0) & 7));
    memset(area, 0xcc, sizeof area); memset(area + 512, 0, 64);
    load(3);
    _xsave(area, 4);
    printf("saved %02x %02x, not %02x %02x, header %d\n", area[576 + 96], area[576 + 97], area[0], area[160], area[512]);
    load(5);
    _xrstor(area, 4);
    show("upper half restored");
    memset(area + 512, 0, 64);
    _xrstor(area, 4);
    show("upper half initial");
    memset(area, 0xcc, sizeof area); memset(area + 528, 0, 48);
    /* A C library's memset may clear upper halves. */
    load(7);
    _xsavec(area, 6);
    printf("compact %02x %02x, header %d %02x%02x\n", area[160 + 96], area[576 + 96], area[512] & 6, area[520], area[527]);
    load(8);
    _xrstor(area, 6);
    show("compact restored");
    signal(SIGSEGV, bad);
    int s = sigsetjmp(back, 1);
    if (!s) { _xsave(area + 8, 7); printf("misaligned: no fault\n"); } else printf("misaligned: signal %d\n", s);
    area[512 + 5] = 1;
    s = sigsetjmp(back, 1);
    if (!s) { _xrstor(area, 7); printf("no such component: no fault\n"); } else printf("no such component: signal %d\n", s);
}

int main(void) {
    images();
    printf("minimum stack covers the frame %d\n", getauxval(AT_MINSIGSTKSZ) >= 1024);
    struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &sa, 0);
    signal(SIGSEGV, bad);
    for (variant = 0; variant < 5; variant++) {
        int s = sigsetjmp(back, 1);
        if (s) { printf("variant %d: signal %d\n", variant, s); continue; }
        load(2 + variant);
        syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1);
        show("behind the handler");
    }
    __asm__ volatile("vzeroall" ::: "xmm6");
    return 0;
}
