/* Elements of AVX instructions beyond the end of FS or GS in 32-bit code. Runs with --cpu max. */
#include "segments.h"

#ifdef __i386__
#define SPARE "fs"
#define PREFIX ".byte 0x64\n "
#else
#define SPARE "gs"
#define PREFIX ".byte 0x65\n "
#endif
#define FLAT want.cs = USER_CS32; want.ip = 0x10000100; want.ss = USER_DS; want.sp = 0x10018000; want.ds = USER_DS; want.es = USER_DS; \
    memset(DATA + 0x2000, 0, 256)
/* Loads the register with a segment of 4 KiB, and vectors with numbers (xmm1, by dwords at 0x10022000) and a mask (xmm2, at 0x10022040). */
#define LOADED "mov $0x17, %eax\n mov %eax, %" SPARE "\n vmovdqu 0x10022000, %ymm1\n vmovdqu 0x10022040, %ymm2\n vpxor %ymm0, %ymm0, %ymm0\n"
#define STORED "\n vmovdqu %ymm0, 0x10022080\n vmovdqu %ymm2, 0x100220a0"
#define NUMBERS(...) FLAT; memcpy(DATA + 0x2000, (int[]){__VA_ARGS__}, sizeof((int[]){__VA_ARGS__}))
#define MASK(...) memcpy(DATA + 0x2040, (int[]){__VA_ARGS__}, sizeof((int[]){__VA_ARGS__}))

OWN gathers(void) {
    CASE(32, gather_inside, NUMBERS(0, 1, 2, 0x3ff); MASK(-1, -1, -1, -1), LOADED "vpgatherdd %xmm2, %" SPARE ":(,%xmm1,4), %xmm0" STORED);
    CASE(32, gather_beyond, NUMBERS(0, 1, 0x400, 3); MASK(-1, -1, -1, -1), LOADED "vpgatherdd %xmm2, %" SPARE ":(,%xmm1,4), %xmm0" STORED);
    CASE(32, gather_beyond_not_chosen, NUMBERS(0, 1, 0x400, 3); MASK(-1, -1, 0x7fffffff, -1), LOADED "vpgatherdd %xmm2, %" SPARE ":(,%xmm1,4), %xmm0" STORED);
    CASE(32, gather_across, NUMBERS(0, 0xffd, 1, 3); MASK(-1, -1, -1, -1), LOADED "vpgatherdd %xmm2, %" SPARE ":(,%xmm1,1), %xmm0" STORED);
    CASE(32, gather_of_8, NUMBERS(0, 0x1fe, 0x1ff, 0x1ff); MASK(-1, -1, -1, -1, -1, -1, -1, -1), LOADED "vpgatherdq %ymm2, %" SPARE ":8(,%xmm1,8), %ymm0" STORED);
    CASE(32, gather_below, NUMBERS(1, 0, 1, 1); MASK(-1, -1, -1, -1), LOADED "vpgatherdd %xmm2, %" SPARE ":-4(,%xmm1,4), %xmm0" STORED);
    CASE(32, masked_load, NUMBERS(0); MASK(-1, -1, 0, 0, 0, 0, 0, 0), LOADED "vpmaskmovd %" SPARE ":0xff8, %xmm2, %xmm0" STORED);
    CASE(32, masked_load_beyond, NUMBERS(0); MASK(-1, -1, -1, 0, 0, 0, 0, 0), LOADED "vpmaskmovd %" SPARE ":0xff8, %xmm2, %xmm0" STORED);
    CASE(32, masked_load_wide, NUMBERS(0); MASK(0, 0, 0, -1, 0, 0, 0, 0), LOADED "vpmaskmovd %" SPARE ":0xff0, %ymm2, %ymm0" STORED);
    CASE(32, masked_store, NUMBERS(0); MASK(-1, -1, 0, 0, 0, 0, 0, 0), LOADED "vpmaskmovd %xmm1, %xmm2, %" SPARE ":0xff8");
    CASE(32, masked_store_beyond, NUMBERS(0); MASK(0, 0, -1, 0, 0, 0, 0, 0), LOADED "vpmaskmovd %xmm1, %xmm2, %" SPARE ":0xff8");
    CASE(32, masked_store_none, NUMBERS(0); MASK(0, 0, 0, 0, 0, 0, 0, 0), LOADED "vpmaskmovd %xmm1, %xmm2, %" SPARE ":0x1000");
    CASE(32, masked_bytes_beyond, NUMBERS(1, 2, 3, 4); MASK(0, -1, 0, 0); want.di = 0xffc, LOADED PREFIX "maskmovdqu %xmm2, %xmm1");
}

int main(void) {
    prepare();
    gathers();
    return 0;
}
