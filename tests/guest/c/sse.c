/* SSE and SSE2: packed arithmetic, shuffles, conversions, saturation, MXCSR. Compiled with -msse2 on i386 too. */
#pragma GCC target("sse2")
#include "check.h"
#include <emmintrin.h>

static void show(const char *what, __m128i v) {
    unsigned char b[16];
    memcpy(b, &v, 16);
    printf("%s ", what);
    for (int i = 15; i >= 0; i--) printf("%02x", b[i]);
    printf("\n");
}
#define I(e) show(#e, e)
#define F(e) show(#e, _mm_castps_si128(e))
#define D(e) show(#e, _mm_castpd_si128(e))

static volatile uint32_t s = 1;
static uint32_t r(void) { return s = s * 1103515245 + 12345; }

int main(void) {
    __m128i a = _mm_set_epi32((int)r(), (int)r(), (int)r(), (int)r()), b = _mm_set_epi32((int)r(), (int)r(), (int)r(), (int)r());
    I(_mm_add_epi8(a, b)); I(_mm_add_epi16(a, b)); I(_mm_add_epi32(a, b)); I(_mm_add_epi64(a, b));
    I(_mm_sub_epi8(a, b)); I(_mm_sub_epi64(a, b)); I(_mm_adds_epi8(a, b)); I(_mm_adds_epu8(a, b)); I(_mm_adds_epi16(a, b)); I(_mm_adds_epu16(a, b));
    I(_mm_subs_epi8(a, b)); I(_mm_subs_epu16(a, b)); I(_mm_mullo_epi16(a, b)); I(_mm_mulhi_epi16(a, b)); I(_mm_mulhi_epu16(a, b));
    I(_mm_mul_epu32(a, b)); I(_mm_madd_epi16(a, b)); I(_mm_sad_epu8(a, b)); I(_mm_avg_epu8(a, b)); I(_mm_avg_epu16(a, b));
    I(_mm_max_epu8(a, b)); I(_mm_min_epi16(a, b)); I(_mm_and_si128(a, b)); I(_mm_andnot_si128(a, b)); I(_mm_xor_si128(a, b));
    I(_mm_cmpeq_epi8(a, b)); I(_mm_cmpgt_epi16(a, b)); I(_mm_cmplt_epi32(a, b));
    I(_mm_slli_epi16(a, 3)); I(_mm_srai_epi32(a, 7)); I(_mm_srli_epi64(a, 13)); I(_mm_slli_si128(a, 5)); I(_mm_srli_si128(a, 3)); I(_mm_slli_epi32(a, 40));
    I(_mm_sll_epi64(a, _mm_cvtsi32_si128(9))); I(_mm_sra_epi16(a, _mm_cvtsi32_si128(100)));
    I(_mm_packs_epi16(a, b)); I(_mm_packus_epi16(a, b)); I(_mm_packs_epi32(a, b)); I(_mm_unpacklo_epi8(a, b)); I(_mm_unpackhi_epi16(a, b));
    I(_mm_unpacklo_epi64(a, b)); I(_mm_shuffle_epi32(a, 0x1B)); I(_mm_shufflelo_epi16(a, 0xC6)); I(_mm_shufflehi_epi16(a, 0x39));
    I(_mm_insert_epi16(a, 0x1234, 3));
    printf("movemask %x extract %x\n", _mm_movemask_epi8(a), _mm_extract_epi16(a, 5));

    __m128 f = _mm_set_ps(1.5f, -2.25f, 1e20f, -0.0f), g = _mm_set_ps(3.0f, 7.0f, 1e-20f, 0.0f);
    F(_mm_add_ps(f, g)); F(_mm_sub_ps(f, g)); F(_mm_mul_ps(f, g)); F(_mm_div_ps(f, _mm_set1_ps(3))); F(_mm_sqrt_ps(g)); F(_mm_min_ps(f, g)); F(_mm_max_ps(f, g));
    F(_mm_cmplt_ps(f, g)); F(_mm_cmpeq_ps(f, g)); F(_mm_cmpunord_ps(f, g)); F(_mm_cmpneq_ps(f, g)); F(_mm_cmpnle_ps(f, g));
    F(_mm_shuffle_ps(f, g, 0x4E)); F(_mm_unpackhi_ps(f, g)); F(_mm_movehl_ps(f, g)); F(_mm_add_ss(f, g)); F(_mm_cvtepi32_ps(a));
    I(_mm_cvtps_epi32(f)); I(_mm_cvttps_epi32(f));
    printf("movemask %x comi %d %d %d\n", _mm_movemask_ps(f), _mm_comilt_ss(f, g), _mm_comieq_ss(f, g), _mm_ucomigt_ss(f, g));
    __m128d d = _mm_set_pd(-1.0 / 3, 1e300), e = _mm_set_pd(2.0, 1e-300);
    D(_mm_add_pd(d, e)); D(_mm_mul_pd(d, e)); D(_mm_div_pd(e, d)); D(_mm_sqrt_pd(e)); D(_mm_max_sd(d, e)); D(_mm_cmpge_pd(d, e)); D(_mm_cvtps_pd(f));
    F(_mm_cvtpd_ps(d)); I(_mm_cvtpd_epi32(d)); I(_mm_cvttpd_epi32(d)); D(_mm_cvtepi32_pd(a)); D(_mm_unpacklo_pd(d, e)); D(_mm_shuffle_pd(d, e, 1));
    printf("cvtsd2si %d %d cvtss2si %d\n", _mm_cvtsd_si32(_mm_set_sd(2.5)), _mm_cvttsd_si32(_mm_set_sd(-2.7)), _mm_cvtss_si32(_mm_set_ss(1e10f)));

    /* MXCSR: rounding, flags, denormals as zero, flush to zero. */
    unsigned modes[] = {0x1F80, 0x3F80, 0x5F80, 0x7F80, 0x1FC0, 0x9F80, 0x9FC0};
    volatile float tiny = 1e-40f, small = 1.2e-38f, half = 0.5f, third = 3.0f, one = 1.0f;
    for (int i = 0; i < 7; i++) {
        _mm_setcsr(modes[i]);
        volatile __m128 q = _mm_div_ss(_mm_set_ss(one), _mm_set_ss(third));
        volatile __m128 u = _mm_mul_ss(_mm_set_ss(small), _mm_set_ss(half));
        volatile __m128 t = _mm_add_ss(_mm_set_ss(tiny), _mm_set_ss(tiny));
        unsigned after = _mm_getcsr();
        _mm_setcsr(0x1F80);
        __m128 qq = q, uu = u, tt = t;
        printf("mxcsr %x -> %x: %08x %08x %08x\n", modes[i], after, _mm_cvtsi128_si32(_mm_castps_si128(qq)), _mm_cvtsi128_si32(_mm_castps_si128(uu)),
               _mm_cvtsi128_si32(_mm_castps_si128(tt)));
    }
    char buf[64] __attribute__((aligned(16)));
    memset(buf, 0, sizeof buf);
    _mm_storeu_si128((__m128i *)(buf + 3), a);
    _mm_store_si128((__m128i *)(buf + 32), b);
    _mm_storel_epi64((__m128i *)(buf + 56), a);
    _mm_maskmoveu_si128(a, b, buf + 16);
    _mm_stream_si128((__m128i *)buf, _mm_loadu_si128((__m128i *)(buf + 1)));
    _mm_sfence();
    I(_mm_load_si128((__m128i *)buf)); I(_mm_load_si128((__m128i *)(buf + 16))); I(_mm_load_si128((__m128i *)(buf + 48)));
    return 0;
}
