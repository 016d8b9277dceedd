/* AVX, AVX2, FMA, F16C, VAES, VPCLMULQDQ, GFNI and BMI: three operands, 128 and 256 bits, scalars with the upper part of their first source; sticky flags. */
#include "tables.h"

struct io {
    uint64_t a[4], b[4], r[4];
    uint32_t mxcsr, gpr;
};

#define FLOATS(X)                                                                                                                       \
    X(vaddps) X(vaddpd) X(vsubps) X(vsubpd) X(vmulps) X(vmulpd) X(vdivps) X(vdivpd) X(vminps) X(vminpd) X(vmaxps) X(vmaxpd)             \
    X(vcmpeqps) X(vcmpltpd) X(vcmpngeps) X(vcmpunord_spd) X(vcmpeq_uqps) X(vcmptruepd) X(vhaddps) X(vhaddpd) X(vhsubps) X(vaddsubps)    \
    X(vaddsubpd) X(vfmadd132ps) X(vfmadd213ps) X(vfmadd231pd) X(vfmsub213pd) X(vfmsub231ps) X(vfnmadd231ps) X(vfnmadd132pd)             \
    X(vfnmsub213ps) X(vfnmsub231pd) X(vfmaddsub213ps) X(vfmaddsub231pd) X(vfmsubadd132ps) X(vfmsubadd213pd)
#define UNARY(X) X(vsqrtps) X(vsqrtpd) X(vcvtdq2ps) X(vcvtps2dq) X(vcvttps2dq)
#define WIDENS(X) X(vcvtps2pd) X(vcvtdq2pd) X(vcvtph2ps) X(vpmovsxbw) X(vpmovzxbd) X(vpmovsxwq) X(vpmovzxdq)
#define SCALARS(X)                                                                                                                      \
    X(vaddss) X(vsubsd) X(vmulss) X(vdivsd) X(vminss) X(vmaxsd) X(vsqrtss) X(vsqrtsd) X(vcvtss2sd) X(vcvtsd2ss) X(vfmadd213ss)          \
    X(vfmadd231sd) X(vfnmsub132ss) X(vfmsub213sd)
#define INTS(X)                                                                                                                         \
    X(vpaddb) X(vpaddw) X(vpaddd) X(vpaddq) X(vpsubb) X(vpsubw) X(vpsubd) X(vpsubq) X(vpaddsb) X(vpaddsw) X(vpaddusb) X(vpaddusw)      \
    X(vpsubsb) X(vpsubsw) X(vpsubusb) X(vpsubusw) X(vpmullw) X(vpmulhw) X(vpmulhuw) X(vpmuludq) X(vpmuldq) X(vpmulld) X(vpmaddwd)      \
    X(vpsadbw) X(vpavgb) X(vpavgw) X(vpminub) X(vpmaxub) X(vpminsw) X(vpmaxsw) X(vpminsd) X(vpmaxud) X(vpcmpeqb) X(vpcmpeqq)           \
    X(vpcmpgtw) X(vpcmpgtq) X(vpand) X(vpandn) X(vpor) X(vpxor) X(vpacksswb) X(vpackssdw) X(vpackuswb) X(vpackusdw) X(vpunpcklbw)      \
    X(vpunpckhwd) X(vpunpckldq) X(vpunpckhqdq) X(vunpcklps) X(vunpckhpd) X(vpshufb) X(vphaddw) X(vphsubd) X(vphaddsw) X(vpmaddubsw)    \
    X(vpmulhrsw) X(vpsignb) X(vpsignd) X(vpsllvd) X(vpsllvq) X(vpsrlvd) X(vpsrlvq) X(vpsravd) X(vpermd) X(vpermps) X(vpermilps)        \
    X(vpermilpd) X(vandps) X(vorpd) X(vxorps) X(vgf2p8mulb) X(vaesenc) X(vaesenclast) X(vaesdec) X(vaesdeclast)
#define IMM(X)                                                                                                                          \
    X(vshufps, 0x1b) X(vshufpd, 6) X(vpalignr, 5) X(vpalignr, 21) X(vpblendw, 0x5a) X(vblendps, 0xc6) X(vblendpd, 9) X(vpblendd, 0x3c)  \
    X(vperm2f128, 0x31) X(vperm2i128, 0x83) X(vmpsadbw, 0x2e) X(vdpps, 0xf1) X(vpclmulqdq, 0x01) X(vpclmulqdq, 0x11)                   \
    X(vgf2p8affineqb, 0x63) X(vgf2p8affineinvqb, 0x05)
#define IMM1(X)                                                                                                                         \
    X(vpshufd, 0x93) X(vpshuflw, 0x39) X(vpshufhw, 0x4e) X(vpermq, 0x1b) X(vpermpd, 0xd2) X(vpermilps, 0x2d) X(vpslld, 7) X(vpsraw, 9)  \
    X(vpsrlq, 33) X(vpslldq, 5) X(vpsrldq, 11) X(vroundps, 0) X(vroundpd, 1)

#ifdef __x86_64__
#define Y , "xmm0", "xmm1", "xmm2", "xmm3"
#else
#define Y
#endif
#define RUN(code)                                                                                                                       \
    __asm__ volatile("vmovdqu %2, %%ymm0; vmovdqu %2, %%ymm1; vmovdqu %3, %%ymm2; ldmxcsr %1; " code "; stmxcsr %1; vmovdqu %%ymm0, %0; vzeroupper" \
                     : "=m"(p->r), "+m"(p->mxcsr)                                                                                       \
                     : "m"(p->a), "m"(p->b)                                                                                             \
                     : "memory" Y)
#define DEFINE(op)                                                                                                                      \
    static void f_##op(struct io *p) { RUN(#op " %%ymm2, %%ymm1, %%ymm0"); }                                                            \
    static void g_##op(struct io *p) { RUN(#op " %3, %%xmm1, %%xmm0"); }
#define DEFINE_INT(op)                                                                                                                  \
    static void f_##op(struct io *p) { RUN(#op " %%ymm2, %%ymm1, %%ymm0"); }                                                            \
    static void g_##op(struct io *p) { RUN(#op " %3, %%ymm1, %%ymm0"); }
#define DEFINE_SCALAR(op)                                                                                                               \
    static void f_##op(struct io *p) { RUN(#op " %%xmm2, %%xmm1, %%xmm0"); }                                                            \
    static void g_##op(struct io *p) { RUN(#op " %3, %%xmm1, %%xmm0"); }
#define DEFINE_UNARY(op)                                                                                                                \
    static void f_##op(struct io *p) { RUN(#op " %%ymm2, %%ymm0"); }                                                                    \
    static void g_##op(struct io *p) { RUN(#op " %3, %%ymm0"); }
#define DEFINE_WIDEN(op)                                                                                                                \
    static void f_##op(struct io *p) { RUN(#op " %%xmm2, %%ymm0"); }                                                                    \
    static void g_##op(struct io *p) { RUN(#op " %3, %%xmm0"); }
#define DEFINE_IMM(op, n)                                                                                                               \
    static void f_##op##_##n(struct io *p) { RUN(#op " $" #n ", %%ymm2, %%ymm1, %%ymm0"); }                                             \
    static void g_##op##_##n(struct io *p) { RUN(#op " $" #n ", %3, %%ymm1, %%ymm0"); }
#define DEFINE_IMM1(op, n)                                                                                                              \
    static void f_##op##_##n(struct io *p) { RUN(#op " $" #n ", %%ymm2, %%ymm0"); }
FLOATS(DEFINE)
INTS(DEFINE_INT)
SCALARS(DEFINE_SCALAR)
UNARY(DEFINE_UNARY)
WIDENS(DEFINE_WIDEN)
IMM(DEFINE_IMM)
IMM1(DEFINE_IMM1)

static void f_narrow(struct io *p) { RUN("vcvtpd2ps %%ymm2, %%xmm0"); }
static void f_todq(struct io *p) { RUN("vcvttpd2dq %%ymm2, %%xmm0"); }
static void f_toph(struct io *p) { RUN("vcvtps2ph $3, %%ymm2, %%xmm0"); }
static void f_toph0(struct io *p) { RUN("vcvtps2ph $4, %%ymm2, %%xmm0"); }
static void f_vblendvps(struct io *p) { RUN("vblendvps %%ymm1, %%ymm2, %%ymm0, %%ymm0"); }
static void f_vpblendvb(struct io *p) { RUN("vpblendvb %%ymm2, %%ymm2, %%ymm1, %%ymm0"); }
static void f_vbroadcastss(struct io *p) { RUN("vbroadcastss %3, %%ymm0"); }
static void f_vpbroadcastb(struct io *p) { RUN("vpbroadcastb %%xmm2, %%ymm0"); }
static void f_vextracti128(struct io *p) { RUN("vextracti128 $1, %%ymm2, %%xmm0"); }
static void f_vinserti128(struct io *p) { RUN("vinserti128 $1, %3, %%ymm1, %%ymm0"); }
static void f_vpmaskmovd(struct io *p) { RUN("vpmaskmovd %3, %%ymm1, %%ymm0"); }
static void f_vmaskmovpd(struct io *p) { RUN("vmovdqu %2, %%ymm3; vmovdqu %%ymm3, %0; vmaskmovpd %%ymm2, %%ymm1, %0; vmovdqu %0, %%ymm0"); }
static void f_vzeroupper(struct io *p) { RUN("vzeroupper; vpaddb %%xmm1, %%xmm2, %%xmm0"); }

/* Elements of b, by indices from b's own upper bits, where a has its sign bit set. */
#define GATHER(op, shift, n)                                                                                                            \
    static void f_##op(struct io *p) {                                                                                                  \
        __asm__ volatile("vmovdqu %1, %%ymm0; vmovdqu %2, %%ymm1; " #shift ", %%ymm1, %%ymm1; vmovdqa %%ymm0, %%ymm3; " #op             \
                         " %%ymm3, (%3,%%ymm1," #n "), %%ymm0; vpaddd %%ymm3, %%ymm0, %%ymm0; vmovdqu %%ymm0, %0; vzeroupper"           \
                         : "=m"(p->r)                                                                                                   \
                         : "m"(p->a), "m"(p->b), "r"(p->b)                                                                              \
                         : "memory" Y);                                                                                                 \
    }
GATHER(vpgatherdd, vpsrld $29, 4)
GATHER(vgatherqpd, vpsrlq $62, 8)

struct row {
    const char *name;
    void (*f)(struct io *);
};
#define ROW(op) {#op, f_##op}, {#op " 128", g_##op},
#define ROW_1(op) {#op, f_##op},
#define ROW_IMM(op, n) {#op " " #n, f_##op##_##n}, {#op " " #n " memory", g_##op##_##n},
#define ROW_IMM1(op, n) {#op " " #n, f_##op##_##n},
static const struct row floats[] = {FLOATS(ROW) SCALARS(ROW) UNARY(ROW) WIDENS(ROW) ROW_1(narrow) ROW_1(todq) ROW_1(toph) ROW_1(toph0)};
static const struct row ints[] = {INTS(ROW) IMM(ROW_IMM) IMM1(ROW_IMM1) ROW_1(vblendvps) ROW_1(vpblendvb) ROW_1(vbroadcastss) ROW_1(vpbroadcastb)
                                  ROW_1(vextracti128) ROW_1(vinserti128) ROW_1(vpmaskmovd) ROW_1(vmaskmovpd) ROW_1(vzeroupper)
                                  ROW_1(vpgatherdd) ROW_1(vgatherqpd)};

static const uint64_t reals[] = {
    0, 0x8000000080000000ull, 0x3f8000003f800000ull, 0xbff0000000000000ull, 0x0000000100000001ull, 0x000fffffffffffffull, 0x007fffff00800000ull,
    0x7fefffffffffffffull, 0x7f7fffff7f7fffffull, 0x7ff0000000000000ull, 0xff8000007f800000ull, 0x7ff0000000000001ull, 0x7fc000007f800001ull,
    0xffc12345ff876543ull, 0x400921fb54442d18ull, 0x40490fdb3eaaaaabull, 0xc1d0000000200000ull, 0x41dfffffffc00000ull,
};
static const uint32_t modes[] = {0x1f80, 0x7f80, 0x9fc0};

static void show(const struct row *r, const uint64_t *list, int n, int i, int j, uint32_t mode) {
    struct io io = {{0}, {0}, {0}, mode};
    for (int k = 0; k < 4; k++) io.a[k] = list[(i * (1 + k) + k) % n], io.b[k] = list[(j + k * (i + 2)) % n];
    uint64_t in[9] = {mode, io.a[0], io.a[1], io.a[2], io.a[3], io.b[0], io.b[1], io.b[2], io.b[3]};
    r->f(&io);
    uint64_t out[6] = {io.r[0], io.r[1], io.r[2], io.r[3], flags_of(io.mxcsr), io.gpr};
    line(r->name, in, 9, out, 6);
}

int main(int argc, char **argv) {
    ARGUMENTS(argc, argv);
    for (int k = 0; k < COUNT(floats); k++) {
        for (int c = 0; c < COUNT(modes); c++)
            for (int i = 0; i < COUNT(reals); i++)
                for (int j = 0; j < COUNT(reals); j++)
                    if (!LEFT_OUT) show(floats + k, reals, COUNT(reals), i, j, modes[c]);
        done(floats[k].name);
    }
    for (int k = 0; k < COUNT(ints); k++) {
        /* Few processors have these: their lines are in the long form only, so that any machine can make the short one anew. */
        if (show_few && strstr(ints[k].name, "gf2p8")) continue;
        for (int i = 0; i < COUNT(patterns); i += 2)
            for (int j = 0; j < COUNT(patterns); j++)
                if (!LEFT_OUT) show(ints + k, patterns, COUNT(patterns), i, j, 0x1f80);
        done(ints[k].name);
    }
    unsigned mxcsr = 0x1f80;
    __asm__ volatile("ldmxcsr %0" ::"m"(mxcsr));
    return finish();
}
