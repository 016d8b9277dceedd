/* lar, lsl, verr, verw: the segments that the kernel and the program itself have set up, and results of modify_ldt. */
#include "check.h"
#include <asm/ldt.h>

static long set(int old, struct user_desc *d) { return syscall(SYS_modify_ldt, old ? 1 : 0x11, d, sizeof *d); }

static void look(unsigned s) {
    unsigned long a = 0xaaaaaaaa, l = 0xbbbbbbbb, h = ~0ul;
    unsigned char z[5];
    __asm__("lar %2, %0\n setz %1" : "+r"(a), "=q"(z[0]) : "r"((unsigned long)s) : "cc");
    __asm__("lsl %2, %0\n setz %1" : "+r"(l), "=q"(z[1]) : "r"((unsigned long)s) : "cc");
    __asm__("lar %w2, %w0\n setz %1" : "+r"(h), "=q"(z[4]) : "r"(s) : "cc");
    __asm__("verr %w1\n setz %0" : "=q"(z[2]) : "r"(s) : "cc");
    __asm__("verw %w1\n setz %0" : "=q"(z[3]) : "r"(s) : "cc");
    if (z[0] | z[1] | z[2] | z[3])
        printf("%02x: rights %lx %lx, limit %lx, read %d, write %d\n", s, a, h & 0xffff, l, z[2], z[3]);
}

int main(void) {
    struct user_desc d = {.entry_number = 1, .base_addr = 0x1000, .limit = 0x12345, .seg_32bit = 1, .useable = 1};
    printf("%ld\n", set(1, &d));
    d.entry_number = 2; d.contents = 2; d.limit_in_pages = 1; d.read_exec_only = 1;
    printf("%ld\n", set(0, &d));
    d.entry_number = 3; d.contents = 1; d.seg_not_present = 1; d.read_exec_only = 0;
    printf("%ld\n", set(0, &d));
    d.entry_number = 4; d.contents = 2; d.seg_not_present = 0; d.limit_in_pages = 0;
    printf("%ld\n", set(0, &d));
    d.entry_number = 5; d.contents = 3;
    printf("%ld\n", set(1, &d));
    /* 78 to 7b have the processor's number. */
    for (unsigned s = 0; s < 0x78; s++) look(s);
    unsigned long node = ~0ul;
    __asm__("lsl %1, %0" : "+r"(node) : "r"(0x7bul) : "cc");
    CHECK(node < 1ul << 20);
    return 0;
}
