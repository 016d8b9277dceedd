/* Numbers: conversions, printing and scanning of every kind, 64-bit and 128-bit arithmetic, floating point to the bit. */
#include "check.h"
#include <fenv.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <wchar.h>
#include <locale.h>

static uint64_t bits(double d) {
    uint64_t u;
    memcpy(&u, &d, 8);
    return u;
}

static uint64_t state = 88172645463325252ull;
static uint64_t next(void) {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

int main(void) {
    volatile int zero = 0;
    printf("%d %i %u %x %X %o %c %s %p %%\n", -1, INT32_MIN, UINT32_MAX, 0xdeadbeef, 0xABCDEF, 0777, 'c', "s", (void *)0x1234);
    printf("[%5d] [%-5d] [%05d] [%+d] [% d] [%#x] [%#o] [%.3d] [%8.3s]\n", 42, 42, 42, 42, 42, 42, 42, 7, "abcdef");
    printf("%lld %llu %" PRId64 " %zu %td %hhd %hd\n", INT64_MIN, UINT64_MAX, (int64_t)-5, sizeof(int), (ptrdiff_t)-3, (char)200, (short)40000);
    printf("%f %e %g %a | %.0f %.10f %.20g\n", 3.14159, 1e100, 1e-5, 1.5, 2.5, 1.0 / 3, 0.1);
    printf("%Lf %Le %Lg %La %.25Lg\n", 1.0L / 3, 1e4000L, 1e-4000L, 1.5L, 0.1L);
    printf("%f %f %f %Lf\n", 1.0 / zero, -1.0 / zero, copysign(NAN, 1), -1.0L / zero);
    printf("%.17g %.17g %.17g %.17g\n", DBL_MAX, DBL_MIN, DBL_TRUE_MIN, DBL_EPSILON);
    printf("%.21Lg %.21Lg %.21Lg %.21Lg\n", LDBL_MAX, LDBL_MIN, LDBL_TRUE_MIN, LDBL_EPSILON);
    const char *texts[] = {"1e23", "0.1", "1.7976931348623157e308", "4.9e-324", "2.4703282292062328e-324", "9007199254740993", "0x1.8p3", "-inf", "1e-400",
                           "123456789012345678901234567890"};
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
        long double l = strtold(texts[i], NULL);
        unsigned char raw[16] = {0};
        memcpy(raw, &l, 10);
        printf("%s: %016" PRIx64 " %.9g ", texts[i], bits(strtod(texts[i], NULL)), strtof(texts[i], NULL));
        for (int k = 9; k >= 0; k--) printf("%02x", raw[k]);
        printf("\n");
    }
    printf("%ld %ld %lu %lld %d\n", strtol("-123abc", NULL, 10), strtol("0x7f", NULL, 0), strtoul("777", NULL, 8), strtoll("-9223372036854775809", NULL, 10),
           errno == ERANGE);
    int i;
    double d;
    char word[10];
    CHECK(sscanf("  42 3.5e2 word", "%d %lf %9s", &i, &d, word) == 3);
    printf("%d %g %s\n", i, d, word);

    /* Integer arithmetic over random operands, summed up. */
    uint64_t hash = 0;
    for (int k = 0; k < 2000; k++) {
        uint64_t a = next(), b = next() >> (next() & 63) | 1;
        int64_t sa = (int64_t)a, sb = (int64_t)b;
        hash = hash * 31 + a / b;
        hash = hash * 31 + a % b;
        if (sb != -1) hash = hash * 31 + (uint64_t)(sa / sb), hash = hash * 31 + (uint64_t)(sa % sb);
        hash = hash * 31 + a * b;
        hash ^= (a << (b & 63)) | (a >> (63 - (b & 63)));
        hash += (uint64_t)(sa >> (b & 63));
        hash += (uint64_t)__builtin_popcountll(a) + (uint64_t)__builtin_clzll(b) + (uint64_t)__builtin_ctzll(b) + __builtin_bswap64(a);
        hash ^= (uint32_t)a / (uint32_t)(b | 1) + (uint16_t)a % (uint16_t)(b | 1);
        int32_t r;
        hash += (uint64_t)__builtin_add_overflow((int32_t)a, (int32_t)b, &r) + (uint32_t)r;
        hash += (uint64_t)__builtin_mul_overflow((int32_t)a, (int32_t)b, &r);
    }
    printf("integer hash %016" PRIx64 "\n", hash);

    /* Floating point: exact bits of the basic operations (IEEE 754 determines them; volatile keeps i386 honest). */
    hash = 0;
    for (int k = 0; k < 2000; k++) {
        volatile double x = (double)(int64_t)next() / 1e9, y = (double)(int64_t)next() / 1e12;
        volatile double r = x + y;
        hash = hash * 31 + (uint64_t)llrint(r);
        r = fmod(x, y);
        hash = hash * 31 + bits(r);
        r = floor(x) + ceil(y) + trunc(x) - rint(y);
        hash = hash * 31 + (uint64_t)(int64_t)r;
        hash += (uint64_t)(x < y) + 2 * (uint64_t)(x >= y) + 4 * (uint64_t)(x == x) + 8 * (uint64_t)isunordered(x, y);
        volatile float f = (float)x;
        uint32_t fb;
        float fv = f;
        memcpy(&fb, &fv, 4);
        hash = hash * 31 + fb;
        hash = hash * 31 + (uint32_t)(int32_t)(float)(k * 1.25f);
    }
    printf("float hash %016" PRIx64 "\n", hash);
    printf("%.6f %.6f %.6f %.6f %.6f\n", sin(1), cos(2), tan(0.5), atan2(1, -2), exp(1.5));
    printf("%.6f %.6f %.6f %.6f %.6f\n", log(10), pow(2.5, 3.5), sqrt(2), cbrt(27), hypot(3, 4));
    printf("%.6f %.6f %.6f %.6f\n", tgamma(5.5), erf(0.3), lgamma(10), sinh(1));
    printf("%.6Lf %.6Lf %.6Lf %.6Lf %.6Lf\n", sinl(1), expl(1.5L), logl(10), powl(2.5L, 3.5L), sqrtl(2));
    printf("%.3f %.3f\n", sin(1e10), cosl(12345.678L) + 0.0);
    int e;
    double mantissa = frexp(100, &e);
    printf("%g %d %g\n", mantissa, e, ldexp(0.75, 10));
    double whole, frac = modf(-3.75, &whole);
    printf("%g %g %g %g\n", frac, whole, nextafter(1, 2) - 1, remainder(10, 3));

    /* Rounding modes and exception flags. */
    int modes[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
    for (int k = 0; k < 4; k++) {
        fesetround(modes[k]);
        volatile double one = 1, three = 3, q = one / three, half = 2.5, minus = -2.5;
        volatile long double lq = (long double)one / three;
        printf("mode %d: %016" PRIx64 " %g %g %ld %.22Lg\n", k, bits(q), rint(half), rint(minus), lrint(half), lq);
    }
    fesetround(FE_TONEAREST);
    feclearexcept(FE_ALL_EXCEPT);
    volatile double one = 1, none = 0, tiny = DBL_MIN, huge = DBL_MAX;
    volatile double r = one / none;
    printf("divide: %d%d%d%d%d\n", !!fetestexcept(FE_DIVBYZERO), !!fetestexcept(FE_INVALID), !!fetestexcept(FE_OVERFLOW), !!fetestexcept(FE_UNDERFLOW),
           !!fetestexcept(FE_INEXACT));
    feclearexcept(FE_ALL_EXCEPT);
    r = huge * huge;
    printf("overflow: %d%d\n", !!fetestexcept(FE_OVERFLOW), !!fetestexcept(FE_INEXACT));
    feclearexcept(FE_ALL_EXCEPT);
    r = tiny * tiny;
    printf("underflow: %d%d\n", !!fetestexcept(FE_UNDERFLOW), !!fetestexcept(FE_INEXACT));
    feclearexcept(FE_ALL_EXCEPT);
    r = none / none;
    printf("invalid: %d nan %d\n", !!fetestexcept(FE_INVALID), r != r);
    setlocale(LC_ALL, "C");
    wchar_t wide[32];
    swprintf(wide, 32, L"%ls %d", L"wide", 5);
    printf("%ls %zu\n", wide, wcslen(wide));
    return 0;
}
