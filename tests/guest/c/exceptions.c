/* Programs that clear the status flags of SSE arithmetic and look at them afterwards: denormal operands, and results around the least normal number, where
   hosts differ. Everything is as the processor has it from the first clearing on, without any option. */
#include "check.h"
#include <emmintrin.h>
#include <fenv.h>

static void clear(void) { _mm_setcsr(_mm_getcsr() & ~0x3f); }
static unsigned raised(void) { return _mm_getcsr() & 0x3f; }

typedef union { double d[2]; float f[4]; uint64_t u[2]; uint32_t w[4]; __m128d pd; __m128 ps; __m128i i; } Vec;

static const double doubles[] = {0.0, -0.0, 0x1p-1074, -0x1p-1074, 0x1.8p-1050, 0x0.fffffffffffffp-1022, -0x0.fffffffffffffp-1022, 0x1p-1022, -0x1p-1022,
    0x1.0000000000001p-1022, 0x1p-1021, 1.0, -1.0, 0x1.fffffffffffffp-1, 0x1.0000000000001p0, 0.5, 2.0, 3.0, 0x1p-511, 0x1.fffffffffffffp-512, 0x1p-512, 0x1p511,
    0x1.8p1000, -0x1.fffffffffffffp1023, 0x1p-126, 0x1.fffffep-127, 0x1.ffffffp-127, 0x1.ffffff8p-127, 0x1p-127, 0x1p-149, 0x1p-150, 0x1.8p-150, 0x1p1023, __builtin_inf(), __builtin_nan("")};
static const float floats[] = {0.0f, -0.0f, 0x1p-149f, -0x1p-149f, 0x1.8p-140f, 0x0.fffffep-126f, -0x0.fffffep-126f, 0x1p-126f, -0x1p-126f, 0x1.000002p-126f, 0x1p-125f,
    1.0f, -1.0f, 0x1.fffffep-1f, 0x1.000002p0f, 0.5f, 2.0f, 3.0f, 0x1p-63f, 0x1.fffffep-64f, 0x1p-64f, 0x1p63f, 0x1.8p100f, -0x1.fffffep127f, __builtin_inff(), __builtin_nanf("")};
enum { ND = sizeof doubles / sizeof *doubles, NF = sizeof floats / sizeof *floats };

static uint64_t hash;
static unsigned counts[6];

static void note(unsigned flags, Vec r) {
    for (int k = 0; k < 6; k++) counts[k] += flags >> k & 1;
    hash = (hash ^ r.u[0]) * 0x9e3779b97f4a7c15ull + flags;
    hash = (hash ^ hash >> 29 ^ r.u[1]) * 0xbf58476d1ce4e5b9ull;
}

static void show(const char *what) {
    printf("%s: %016llx", what, (unsigned long long)hash);
    for (int k = 0; k < 6; k++) printf(" %u", counts[k]), counts[k] = 0;
    printf("\n"), hash = 0;
}

#define OVER_DOUBLES(name, expression)                                                                   \
    static __attribute__((noinline)) void name(void) {                                                    \
        for (int i = 0; i < ND; i++)                                                                       \
            for (int k = 0; k < ND; k++) {                                                                  \
                volatile Vec x = {.d = {doubles[i], doubles[(i * 7 + k) % ND]}}, y = {.d = {doubles[k], doubles[(k * 5 + i) % ND]}}; \
                __m128d a = x.pd, b = y.pd;                                                                  \
                Vec r = {.u = {0, 0}};                                                                        \
                clear();                                                                                       \
                __asm__ volatile("" : "+x"(a), "+x"(b));                                                        \
                expression;                                                                                      \
                __asm__ volatile("" : "+x"(r.pd));                                                                \
                note(raised(), r);                                                                                 \
            }                                                                                                       \
        show(#name);                                                                                                 \
    }
#define OVER_FLOATS(name, expression)                                                                     \
    static __attribute__((noinline)) void name(void) {                                                     \
        for (int i = 0; i < NF; i++)                                                                        \
            for (int k = 0; k < NF; k++) {                                                                   \
                volatile Vec x = {.f = {floats[i], floats[(i * 7 + k) % NF], floats[(i + k) % NF], 1}},        \
                             y = {.f = {floats[k], floats[(k * 5 + i) % NF], floats[(3 * i + k) % NF], 1}};     \
                __m128 a = x.ps, b = y.ps;                                                                       \
                Vec r = {.u = {0, 0}};                                                                            \
                clear();                                                                                           \
                __asm__ volatile("" : "+x"(a), "+x"(b));                                                            \
                expression;                                                                                          \
                __asm__ volatile("" : "+x"(r.ps));                                                                    \
                note(raised(), r);                                                                                     \
            }                                                                                                           \
        show(#name);                                                                                                     \
    }

OVER_DOUBLES(addsd, r.pd = _mm_add_sd(a, b))
OVER_DOUBLES(subpd, r.pd = _mm_sub_pd(a, b))
OVER_DOUBLES(mulsd, r.pd = _mm_mul_sd(a, b))
OVER_DOUBLES(mulpd, r.pd = _mm_mul_pd(a, b))
OVER_DOUBLES(divsd, r.pd = _mm_div_sd(a, b))
OVER_DOUBLES(divpd, r.pd = _mm_div_pd(a, b))
OVER_DOUBLES(sqrtsd, r.pd = _mm_sqrt_sd(a, b))
OVER_DOUBLES(sqrtpd, r.pd = _mm_sqrt_pd(b))
OVER_DOUBLES(minsd, r.pd = _mm_min_sd(a, b))
OVER_DOUBLES(maxpd, r.pd = _mm_max_pd(a, b))
OVER_DOUBLES(cmpltsd, r.pd = _mm_cmplt_sd(a, b))
OVER_DOUBLES(cmpeqpd, r.pd = _mm_cmpeq_pd(a, b))
OVER_DOUBLES(cmpunordpd, r.pd = _mm_cmpunord_pd(a, b))
OVER_DOUBLES(comisd, r.u[0] = _mm_comilt_sd(a, b))
OVER_DOUBLES(ucomisd, r.u[0] = _mm_ucomigt_sd(a, b))
OVER_DOUBLES(cvtsd2ss, r.ps = _mm_cvtsd_ss((__m128)a, b))
OVER_DOUBLES(cvtpd2ps, r.ps = _mm_cvtpd_ps(a))
OVER_DOUBLES(cvtsd2si, r.u[0] = _mm_cvtsd_si32(a))
OVER_DOUBLES(cvttpd2dq, r.i = _mm_cvttpd_epi32(a))
OVER_DOUBLES(cvtdq2pd, r.pd = _mm_cvtepi32_pd((__m128i)a))
OVER_DOUBLES(cvtsi2sd, r.pd = _mm_cvtsi32_sd(a, _mm_cvtsi128_si32((__m128i)b)))
OVER_DOUBLES(chain, r.pd = _mm_mul_sd(_mm_add_sd(_mm_mul_sd(a, b), a), b))
OVER_DOUBLES(chains, r.pd = _mm_add_pd(_mm_mul_pd(_mm_sub_pd(a, b), b), _mm_div_pd(a, b)))
OVER_FLOATS(addps, r.ps = _mm_add_ps(a, b))
OVER_FLOATS(subss, r.ps = _mm_sub_ss(a, b))
OVER_FLOATS(mulss, r.ps = _mm_mul_ss(a, b))
OVER_FLOATS(mulps, r.ps = _mm_mul_ps(a, b))
OVER_FLOATS(divss, r.ps = _mm_div_ss(a, b))
OVER_FLOATS(sqrtss, r.ps = _mm_sqrt_ss(b))
OVER_FLOATS(maxss, r.ps = _mm_max_ss(a, b))
OVER_FLOATS(minps, r.ps = _mm_min_ps(a, b))
OVER_FLOATS(cmpneqss, r.ps = _mm_cmpneq_ss(a, b))
OVER_FLOATS(cmpleps, r.ps = _mm_cmple_ps(a, b))
OVER_FLOATS(comiss, r.u[0] = _mm_comieq_ss(a, b))
OVER_FLOATS(cvtss2sd, r.pd = _mm_cvtss_sd((__m128d)a, b))
OVER_FLOATS(cvtps2pd, r.pd = _mm_cvtps_pd(a))
OVER_FLOATS(cvttss2si, r.u[0] = _mm_cvttss_si32(a))
OVER_FLOATS(cvtps2dq, r.i = _mm_cvtps_epi32(a))
OVER_FLOATS(cvtdq2ps, r.ps = _mm_cvtepi32_ps((__m128i)a))
OVER_FLOATS(mixed, r.pd = _mm_mul_sd(_mm_cvtss_sd((__m128d)a, b), _mm_cvtss_sd((__m128d)b, a)))

/* Loops that get hot, and in which it happens late, or never, or only once more after flags were cleared in between. */
static __attribute__((noinline)) __m128d decay(__m128d x, __m128d by, int n) {
    for (int i = 0; i < n; i++) x = _mm_mul_sd(x, by);
    return x;
}

static __attribute__((noinline)) __m128 sum(const float *from, int n) {
    __m128 s = _mm_setzero_ps();
    for (int i = 0; i < n; i += 4) s = _mm_add_ps(s, _mm_mul_ps(_mm_loadu_ps(from + i), _mm_set1_ps(0.5f)));
    return s;
}

static void loops(void) {
    for (int n = 0; n < 3000; n += 250) {
        volatile double by = 0.75, start = 0x1p-700;
        clear();
        Vec r = {.pd = decay(_mm_set_sd(start), _mm_set_sd(by), n)};
        note(raised(), r);
    }
    show("decay");
    static float numbers[4096];
    for (int i = 0; i < 4096; i++) numbers[i] = i % 61 ? (i % 97) * 0x1p-3f : 0.0f;
    for (int k = 0; k < 40; k++) {
        if (k == 20) numbers[2049] = 0x1p-130f;
        if (k == 30) numbers[2049] = 0x1p-126f;
        clear();
        Vec r = {.ps = sum(numbers, 4096)};
        note(raised(), r);
    }
    show("sums");
    /* Flags stay until they are cleared. */
    clear();
    volatile double tiny = 0x1p-1060, one = 1.0;
    Vec r = {.pd = _mm_add_sd(_mm_set_sd(tiny), _mm_set_sd(one))};
    for (int i = 0; i < 3; i++) {
        r.pd = _mm_mul_sd(r.pd, decay(_mm_set_sd(one), _mm_set_sd(one), 500));
        note(raised(), r);
    }
    clear();
    r.pd = decay(r.pd, r.pd, 500);
    note(raised(), r);
    show("kept");
}

/* By the C library, in all rounding modes. */
static void library(void) {
    static const int modes[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
    static const char *names[] = {"nearest", "down", "up", "zero"};
    for (int m = 0; m < 4; m++) {
        fesetround(modes[m]);
        unsigned under = 0, held = 0, both = 0;
        for (int i = 0; i < 4000; i++) {
            volatile Vec x = {.d = {1 + i * 0x1p-40}};
            Vec y = {.d = {0x1p-1022}}, z = {.d = {1 - 0x1p-53}};
            __asm__ volatile("" : "+x"(y.pd), "+x"(z.pd));
            feclearexcept(FE_ALL_EXCEPT);
            y.pd = _mm_mul_sd(_mm_div_sd(y.pd, x.pd), i & 1 ? z.pd : x.pd);
            __asm__ volatile("" : "+x"(y.pd));
            under += fetestexcept(FE_UNDERFLOW) != 0;
            fenv_t env;
            feholdexcept(&env);
            y.pd = _mm_mul_sd(y.pd, z.pd);
            __asm__ volatile("" : "+x"(y.pd));
            held += fetestexcept(FE_UNDERFLOW) != 0;
            feupdateenv(&env);
            both += fetestexcept(FE_UNDERFLOW) != 0;
        }
        printf("%s: underflow %u, held %u, both %u\n", names[m], under, held, both);
    }
    fesetround(FE_TONEAREST);
}

static unsigned product(double x, double y) {
    Vec a = {.d = {x}}, b = {.d = {y}};
    __asm__ volatile("" : "+x"(a.pd), "+x"(b.pd));
    a.pd = _mm_mul_sd(a.pd, b.pd);
    __asm__ volatile("" : "+x"(a.pd));
    return raised();
}

static void *thread(void *what) {
    unsigned before = raised(), after = product(0x1p-1060, 1), more = product(0x1p-1022, 1 - 0x1p-53);
    printf("%s: %x, a denormal operand %x, underflow %x\n", (const char *)what, before, after, more);
    return 0;
}

int main(void) {
    clear();
    addsd(), subpd(), mulsd(), mulpd(), divsd(), divpd(), sqrtsd(), sqrtpd(), minsd(), maxpd(), cmpltsd(), cmpeqpd(), cmpunordpd(), comisd(), ucomisd();
    cvtsd2ss(), cvtpd2ps(), cvtsd2si(), cvttpd2dq(), cvtdq2pd(), cvtsi2sd(), chain(), chains();
    addps(), subss(), mulss(), mulps(), divss(), sqrtss(), maxss(), minps(), cmpneqss(), cmpleps(), comiss();
    cvtss2sd(), cvtps2pd(), cvttss2si(), cvtps2dq(), cvtdq2ps(), mixed();
    loops();
    library();
    /* Neither of them clears anything itself. */
    clear();
    pthread_t t;
    CHECK(pthread_create(&t, 0, thread, "thread") == 0);
    CHECK(pthread_join(t, 0) == 0);
    fflush(stdout);
    clear();
    pid_t child = fork();
    if (child == 0) {
        thread("child");
        fflush(stdout);
        _exit(0);
    }
    int status = 1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    thread("parent");
    return 0;
}
