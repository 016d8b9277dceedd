/* AVX, AVX2, FMA and F16C: many operands through every kind of instruction, one digest for each; upper halves that are cleared or kept; faults of masked,
   gathering and aligned accesses. Runs with --cpu max. */
#pragma GCC target("sse2,avx2,fma,f16c,aes,pclmul,vaes,vpclmulqdq,gfni")
#include "check.h"
#include <immintrin.h>

static uint64_t seed = 88172645463325252ull, digest;
static uint64_t rnd(void) { seed ^= seed << 13; seed ^= seed >> 7; return seed ^= seed << 17; }

/* Lanes with edge values now and then. */
static __m256i any(void) {
    static const uint64_t edges[] = {0, ~0ull, 1ull << 63, 0x7ff0000000000000, 0x7ff8000000000001, 0x7ff0000000000001, 0x000fffffffffffff, 1,
        0x7f8000003f800000, 0xff800000bf800000, 0x7fc000017f800001, 0x007fffff00800000, 0x8000000000000001, 0x3ff0000000000000, 0x477fe000387fc000};
    uint64_t w[4];
    for (int i = 0; i < 4; i++) {
        switch (rnd() & 3) {
        case 0: w[i] = edges[rnd() % 15]; break;
        case 1: w[i] = (rnd() & 0x807fffff807fffff) | 0x3000000030000000 | (rnd() & 0x0f8000000f800000); break;
        case 2: w[i] = (rnd() & 0x800fffffffffffff) | (0x3f00000000000000 + ((rnd() & 0x1f) << 52)); break;
        default: w[i] = rnd();
        }
    }
    return _mm256_loadu_si256((__m256i *)w);
}
static void take(const void *p, int n) { for (int i = 0; i < n; i++) digest = (digest ^ ((const unsigned char *)p)[i]) * 0x100000001b3ull; }
static void take256(__m256i v) { take(&v, 32); }
static void take128(__m128i v) { take(&v, 16); }
static void end(const char *name) { printf("%s %016llx\n", name, (unsigned long long)digest); digest = 0xcbf29ce484222325ull; }

static int rounds;
#define EACH(name, ...) do { for (int n = 0; n < rounds; n++) { __m256i a = any(), b = any(), c = any(); \
    __m256 fa = _mm256_castsi256_ps(a), fb = _mm256_castsi256_ps(b), fc = _mm256_castsi256_ps(c); \
    __m256d da = _mm256_castsi256_pd(a), db = _mm256_castsi256_pd(b), dc = _mm256_castsi256_pd(c); \
    __m128i la = _mm256_castsi256_si128(a), lb = _mm256_castsi256_si128(b); (void)c; (void)fa; (void)fb; (void)fc; (void)da; (void)db; (void)dc; (void)la; (void)lb; \
    __VA_ARGS__; } end(name); } while (0)
#define I(f) EACH(#f, take256(_mm256_##f(a, b)))
#define U(f) EACH(#f, take256(_mm256_##f(a)))
#define PS(n) EACH(#n "ps", WIDE(__m256, f, #n "ps"))
#define PD(n) EACH(#n "pd", WIDE(__m256d, d, #n "pd"))
/* In assembly: which operand's NaN wins depends on form and order, which a compiler is free to choose. */
#define FORM(t, a, b, c, text) do { t r = a; __asm__(text : "+x"(r) : "x"(b), "x"(c)); take(&r, sizeof r); } while (0)
#define WIDE(t, v, name) FORM(t, v##a, v##b, v##c, "v" name " %2, %1, %0")
#define LOW(t, v, name) FORM(t, v##a, v##b, v##c, "v" name " %x2, %x1, %x0")
#define FMA(n) EACH(#n, WIDE(__m256, f, #n "132ps"); WIDE(__m256, f, #n "213ps"); WIDE(__m256, f, #n "231ps"); \
    WIDE(__m256d, d, #n "132pd"); WIDE(__m256d, d, #n "213pd"); WIDE(__m256d, d, #n "231pd"))
#define SCALAR(n) EACH(#n " scalar", LOW(__m256, f, #n "132ss"); LOW(__m256, f, #n "213ss"); LOW(__m256, f, #n "231ss"); \
    LOW(__m256d, d, #n "132sd"); LOW(__m256d, d, #n "213sd"); LOW(__m256d, d, #n "231sd"))
#define IMM(f, k) EACH(#f " " #k, take256(_mm256_##f(a, b, k)))
#define SH(f, k) EACH(#f " " #k, take256(_mm256_##f(a, k)))

static sigjmp_buf back;
static volatile long where;
static char *page;
static void fault(int s, siginfo_t *i, void *u) { where = (s == SIGSEGV && i->si_code != SI_KERNEL) ? (char *)i->si_addr - page : -1; siglongjmp(back, s); }

static void integers(void) {
    I(add_epi8); I(add_epi16); I(add_epi32); I(add_epi64); I(adds_epi8); I(adds_epi16); I(adds_epu8); I(adds_epu16);
    I(sub_epi8); I(sub_epi16); I(sub_epi32); I(sub_epi64); I(subs_epi8); I(subs_epi16); I(subs_epu8); I(subs_epu16);
    I(mullo_epi16); I(mullo_epi32); I(mulhi_epi16); I(mulhi_epu16); I(mulhrs_epi16); I(mul_epi32); I(mul_epu32); I(madd_epi16); I(maddubs_epi16);
    I(sad_epu8); I(avg_epu8); I(avg_epu16); I(min_epi8); I(min_epi16); I(min_epi32); I(min_epu8); I(min_epu16); I(min_epu32);
    I(max_epi8); I(max_epi16); I(max_epi32); I(max_epu8); I(max_epu16); I(max_epu32); I(and_si256); I(andnot_si256); I(or_si256); I(xor_si256);
    I(cmpeq_epi8); I(cmpeq_epi16); I(cmpeq_epi32); I(cmpeq_epi64); I(cmpgt_epi8); I(cmpgt_epi16); I(cmpgt_epi32); I(cmpgt_epi64);
    I(sign_epi8); I(sign_epi16); I(sign_epi32); U(abs_epi8); U(abs_epi16); U(abs_epi32);
    I(hadd_epi16); I(hadd_epi32); I(hadds_epi16); I(hsub_epi16); I(hsub_epi32); I(hsubs_epi16);
    I(packs_epi16); I(packs_epi32); I(packus_epi16); I(packus_epi32); I(unpacklo_epi8); I(unpackhi_epi16); I(unpacklo_epi32); I(unpackhi_epi64);
    I(shuffle_epi8); I(sllv_epi32); I(sllv_epi64); I(srlv_epi32); I(srlv_epi64); I(srav_epi32); I(permutevar8x32_epi32);
    SH(slli_epi16, 3); SH(slli_epi32, 31); SH(slli_epi64, 33); SH(srli_epi16, 16); SH(srli_epi32, 9); SH(srli_epi64, 63); SH(srai_epi16, 7); SH(srai_epi32, 40);
    SH(slli_si256, 5); SH(srli_si256, 11); SH(shuffle_epi32, 0x1b); SH(shufflelo_epi16, 0xc6); SH(shufflehi_epi16, 0x39); SH(permute4x64_epi64, 0x93);
    IMM(alignr_epi8, 7); IMM(alignr_epi8, 21); IMM(mpsadbw_epu8, 0x2d); IMM(blend_epi16, 0x5a); IMM(blend_epi32, 0xa6);
    IMM(permute2x128_si256, 0x21); IMM(permute2x128_si256, 0x83); EACH("blendv_epi8", take256(_mm256_blendv_epi8(a, b, c)));
    EACH("shifts by vector", take256(_mm256_sll_epi16(a, _mm_and_si128(lb, _mm_set_epi64x(0, 31)))); take256(_mm256_sra_epi32(a, lb)); take256(_mm256_srl_epi64(a, _mm_and_si128(lb, _mm_set_epi64x(-1, 127)))));
    EACH("widen", take256(_mm256_cvtepi8_epi16(la)); take256(_mm256_cvtepi8_epi64(la)); take256(_mm256_cvtepu8_epi32(la)); take256(_mm256_cvtepi16_epi64(la));
        take256(_mm256_cvtepu16_epi32(la)); take256(_mm256_cvtepi32_epi64(la)); take256(_mm256_cvtepu32_epi64(la)));
    EACH("broadcast", take256(_mm256_broadcastb_epi8(la)); take256(_mm256_broadcastw_epi16(la)); take256(_mm256_broadcastd_epi32(la)); take256(_mm256_broadcastq_epi64(la));
        take256(_mm256_broadcastsi128_si256(la)); take256(_mm256_castps_si256(_mm256_broadcast_ss((float *)&b))));
    EACH("halves", take128(_mm256_extracti128_si256(a, 1)); take256(_mm256_inserti128_si256(a, lb, 0)); take256(_mm256_inserti128_si256(a, lb, 1)));
    EACH("masks", int m[3] = {_mm256_movemask_epi8(a), _mm256_movemask_ps(fa), _mm256_movemask_pd(da)}; take(m, 12));
    EACH("tests", int m[6] = {_mm256_testz_si256(a, b), _mm256_testc_si256(a, b), _mm256_testnzc_ps(fa, fb), _mm256_testz_pd(da, db), _mm256_testc_ps(fa, fb),
        _mm256_testc_si256(_mm256_or_si256(a, b), a)}; take(m, 24));
    EACH("aes", take256(_mm256_aesenc_epi128(a, b)); take256(_mm256_aesenclast_epi128(a, b)); take256(_mm256_aesdec_epi128(a, b)); take256(_mm256_aesdeclast_epi128(a, b)); take128(_mm_aesimc_si128(la)));
    EACH("clmul", take256(_mm256_clmulepi64_epi128(a, b, 0x10)); take256(_mm256_clmulepi64_epi128(a, b, 0x01)));
    /* Few processors have these: they are in the long form only, so that any machine can make the short one anew. */
    if (rounds == 400) EACH("gf2p8", take256(_mm256_gf2p8mul_epi8(a, b)); take256(_mm256_gf2p8affine_epi64_epi8(a, b, 0x63)); take256(_mm256_gf2p8affineinv_epi64_epi8(a, b, 5)));
}

static void floats(void) {
    PS(add); PS(sub); PS(mul); PS(div); PS(min); PS(max); PS(hadd); PS(hsub); PS(addsub); PS(unpckl); PS(unpckh); PS(andn);
    PD(add); PD(sub); PD(mul); PD(div); PD(min); PD(max); PD(hadd); PD(hsub); PD(addsub); PD(unpckl); PD(unpckh); PD(xor);
    EACH("sqrt", take256(_mm256_castps_si256(_mm256_sqrt_ps(fa))); take256(_mm256_castpd_si256(_mm256_sqrt_pd(da))));
    EACH("round", take256(_mm256_castps_si256(_mm256_round_ps(fa, 1))); take256(_mm256_castpd_si256(_mm256_round_pd(da, 10))); take256(_mm256_castps_si256(_mm256_round_ps(fb, 4))));
    EACH("dp", FORM(__m256, fa, fb, fc, "vdpps $0x7d, %2, %1, %0"));
#define CMP(k) EACH("cmp " #k, take256(_mm256_castps_si256(_mm256_cmp_ps(fa, fb, k))); take256(_mm256_castpd_si256(_mm256_cmp_pd(da, db, k))))
    CMP(0); CMP(1); CMP(2); CMP(3); CMP(4); CMP(5); CMP(6); CMP(7); CMP(8); CMP(9); CMP(10); CMP(11); CMP(12); CMP(13); CMP(14); CMP(15);
    CMP(16); CMP(17); CMP(20); CMP(23); CMP(26); CMP(29); CMP(30); CMP(31);
    EACH("shuffles", take256(_mm256_castps_si256(_mm256_shuffle_ps(fa, fb, 0x4e))); take256(_mm256_castpd_si256(_mm256_shuffle_pd(da, db, 9)));
        take256(_mm256_castps_si256(_mm256_permutevar_ps(fa, b))); take256(_mm256_castpd_si256(_mm256_permutevar_pd(da, b))); take256(_mm256_castpd_si256(_mm256_permute_pd(da, 6)));
        take256(_mm256_castps_si256(_mm256_blendv_ps(fa, fb, fc))); take256(_mm256_castpd_si256(_mm256_blendv_pd(da, db, dc))); take256(_mm256_castps_si256(_mm256_movehdup_ps(fa)));
        take256(_mm256_castps_si256(_mm256_moveldup_ps(fa))); take256(_mm256_castpd_si256(_mm256_movedup_pd(da))));
    EACH("conversions", take256(_mm256_castps_si256(_mm256_cvtepi32_ps(a))); take256(_mm256_cvtps_epi32(fa)); take256(_mm256_cvttps_epi32(fa)); take128(_mm256_cvtpd_epi32(da));
        take128(_mm256_cvttpd_epi32(da)); take128(_mm_castps_si128(_mm256_cvtpd_ps(da))); take256(_mm256_castpd_si256(_mm256_cvtps_pd(_mm_castsi128_ps(la)))); take256(_mm256_castpd_si256(_mm256_cvtepi32_pd(la))));
    EACH("half precision", take128(_mm256_cvtps_ph(fa, 0)); take128(_mm256_cvtps_ph(fa, 1)); take128(_mm256_cvtps_ph(fa, 2)); take128(_mm256_cvtps_ph(fa, 3)); take256(_mm256_castps_si256(_mm256_cvtph_ps(la))));
    FMA(fmadd); FMA(fmsub); FMA(fnmadd); FMA(fnmsub); FMA(fmaddsub); FMA(fmsubadd);
    SCALAR(fmadd); SCALAR(fmsub); SCALAR(fnmadd); SCALAR(fnmsub);
}

/* What 128-bit instructions do to the upper halves. */
static void uppers(void) {
    __m256i v = _mm256_set1_epi8(0x5a), r;
    __asm__("vmovdqa %1, %%ymm1\n vpaddb %%xmm1, %%xmm1, %%xmm1\n vmovdqa %%ymm1, %0" : "=x"(r) : "x"(v) : "xmm1"); take256(r); end("vex clears");
    __asm__("vmovdqa %1, %%ymm1\n paddb %%xmm1, %%xmm1\n vmovdqa %%ymm1, %0" : "=x"(r) : "x"(v) : "xmm1"); take256(r); end("legacy keeps");
    __asm__("vmovdqa %1, %%ymm1\n vzeroupper\n vmovdqa %%ymm1, %0" : "=x"(r) : "x"(v) : "xmm1"); take256(r); end("vzeroupper");
    __asm__("vmovdqa %1, %%ymm1\n vmovd %%xmm1, %%eax\n vmovd %%eax, %%xmm1\n vmovdqa %%ymm1, %0" : "=x"(r) : "x"(v) : "xmm1", "eax"); take256(r); end("vmovd clears");
}

#define TRY(what) do { int s_ = sigsetjmp(back, 1); if (!s_) { what; printf("%s: no fault\n", #what); } else printf("%s: signal %d at %ld\n", #what, s_, where); } while (0)

static void faults(void) {
    char *map = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(map + 4096, 4096, PROT_NONE);
    page = map + 4096;
    struct sigaction sa = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &sa, 0); sigaction(SIGFPE, &sa, 0); sigaction(SIGBUS, &sa, 0);
    for (int i = 0; i < 4096; i++) map[i] = (char)i;
    volatile __m256i sink; volatile __m256i *at = &sink;
    __m256i low = _mm256_set_epi32(0, 0, 0, 0, -1, -1, -1, -1), all = _mm256_set1_epi32(-1);
    TRY(*at = _mm256_loadu_si256((void *)(page - 32)));
    TRY(*at = _mm256_loadu_si256((void *)(page - 31)));
    TRY(*at = _mm256_loadu_si256((void *)(page - 5)));
    TRY(__asm__ volatile("vmovaps (%0), %%ymm0" ::"r"(page - 48) : "xmm0"));
    TRY(__asm__ volatile("vaddps -48(%0), %%ymm0, %%ymm0" ::"r"(page) : "xmm0"));
    TRY(__asm__ volatile("vmovaps -48(%0), %%xmm0" ::"r"(page) : "xmm0"));
    TRY(__asm__ volatile("vmovntps %%ymm0, -48(%0)" ::"r"(page)));
    TRY(*at = _mm256_maskload_epi32((int *)(page - 16), low));
    TRY(*at = _mm256_maskload_epi32((int *)(page - 16), all));
    TRY(_mm256_maskstore_epi32((int *)(page - 16), low, all));
    memset(page - 32, 0x11, 32);
    TRY(_mm256_maskstore_epi32((int *)(page - 12), all, low));
    take(page - 32, 32); end("nothing of a masked store that faults");
    TRY(_mm256_storeu_si256((void *)(page - 20), all));
    take(page - 32, 32); end("nothing of a store that faults");
    /* A gather that faults in its fourth element has the first three. */
    static uint32_t image[16];
    __m256i index = _mm256_set_epi32(-3, -7, -8, -9, 5, -4, -2, -1);
    int s = sigsetjmp(back, 1);
    if (!s) {
        __asm__ volatile("vmovdqu %2, %%ymm1\n vpcmpeqd %%ymm2, %%ymm2, %%ymm2\n vpxor %%ymm0, %%ymm0, %%ymm0\n vpgatherdd %%ymm2, (%0,%%ymm1,4), %%ymm0\n vmovdqu %%ymm0, %1"
            ::"r"(page), "m"(image[0]), "m"(index) : "xmm0", "xmm1", "xmm2", "memory");
        printf("no fault of a gather\n");
    } else printf("gather: signal %d at %ld\n", s, where);
    EACH("gathers", static int from[64]; for (int i = 0; i < 64; i++) from[i] = (int)rnd(); __m256i x = _mm256_and_si256(a, _mm256_set1_epi32(63));
        take256(_mm256_mask_i32gather_epi32(b, from, x, c, 4)); take256(_mm256_i32gather_epi32(from, x, 4));
        take128(_mm256_i64gather_epi32(from, _mm256_and_si256(a, _mm256_set1_epi64x(63)), 4)); take256(_mm256_i32gather_epi64((void *)from, _mm_and_si128(la, _mm_set1_epi32(31)), 8));
        take256(_mm256_castpd_si256(_mm256_mask_i64gather_pd(db, (void *)from, _mm256_and_si256(a, _mm256_set1_epi64x(31)), dc, 8))));
    /* Exceptions of any lane count. */
    unsigned csr = 0x1f80 & ~0x200;
    __m256 zero = _mm256_setzero_ps(), one = _mm256_set1_ps(1), high = _mm256_set_ps(0, 1, 1, 1, 1, 1, 1, 1);
    _mm_setcsr(0x1f80);
    volatile __m256 q = _mm256_div_ps(one, high);
    printf("mxcsr %x\n", _mm_getcsr());
    TRY(_mm_setcsr(csr); q = _mm256_div_ps(one, high));
    _mm_setcsr(0x1f80);
}

int main(int argc, char **argv) {
    /* Fewer for hosts that interpret an interpreter. */
    rounds = argc > 1 && !strcmp(argv[1], "few") ? 36 : 400;
    digest = 0xcbf29ce484222325ull;
    printf("avx2 %d fma %d\n", !!__builtin_cpu_supports("avx2"), !!__builtin_cpu_supports("fma"));
    integers();
    unsigned modes[] = {0x1f80, 0x3f80, 0x5f80, 0xffc0};
    for (int i = 0; i < 4; i++) {
        _mm_setcsr(modes[i]);
        floats();
        unsigned after = _mm_getcsr();
        _mm_setcsr(0x1f80);
        printf("mxcsr %x -> %x\n", modes[i], after);
    }
    uppers();
    faults();
    return 0;
}
