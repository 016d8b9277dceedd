/* Integer instructions by hand: flags of every arithmetic class, string instructions, BCD (i386), bit tests, exchanges. */
#include "check.h"

#ifdef __x86_64__
#define PUSHF "pushfq; popq %0"
typedef unsigned long Flags;
#else
#define PUSHF "pushfl; popl %0"
typedef unsigned Flags;
#endif
enum { CF = 1, PF = 4, AF = 16, ZF = 64, SF = 128, OF = 2048, ALL = CF | PF | AF | ZF | SF | OF, LOGIC = ALL & ~AF };

static const char *flags(Flags f, unsigned mask) {
    static char t[8];
    snprintf(t, sizeof t, "%c%c%c%c%c%c", mask & OF ? (f & OF ? 'O' : 'o') : '-', mask & SF ? (f & SF ? 'S' : 's') : '-',
             mask & ZF ? (f & ZF ? 'Z' : 'z') : '-', mask & AF ? (f & AF ? 'A' : 'a') : '-', mask & PF ? (f & PF ? 'P' : 'p') : '-',
             mask & CF ? (f & CF ? 'C' : 'c') : '-');
    return t;
}

#define TWO(insn, type, spec, x, y, mask)                                                                                  \
    do {                                                                                                                   \
        type a_ = (type)(x), b_ = (type)(y);                                                                               \
        Flags f_;                                                                                                          \
        __asm__ volatile("stc; " insn " %2, %1; " PUSHF : "=r"(f_), "+" spec(a_) : spec(b_) : "cc", "memory");             \
        printf("%s %llx, %llx = %llx %s\n", insn, (unsigned long long)(type)(x), (unsigned long long)(type)(y),            \
               (unsigned long long)a_, flags(f_, mask));                                                                   \
    } while (0)
#define ONE(insn, type, spec, x, mask)                                                                                     \
    do {                                                                                                                   \
        type a_ = (type)(x);                                                                                               \
        Flags f_;                                                                                                          \
        __asm__ volatile("stc; " insn " %1; " PUSHF : "=r"(f_), "+" spec(a_) : : "cc", "memory");                          \
        printf("%s %llx = %llx %s\n", insn, (unsigned long long)(type)(x), (unsigned long long)a_, flags(f_, mask));       \
    } while (0)
#define SHIFT(insn, type, spec, x, n, mask)                                                                                \
    do {                                                                                                                   \
        type a_ = (type)(x);                                                                                               \
        Flags f_;                                                                                                          \
        __asm__ volatile("stc; " insn " %%cl, %1; " PUSHF : "=r"(f_), "+" spec(a_) : "c"(n) : "cc", "memory");             \
        printf("%s %llx, %d = %llx %s\n", insn, (unsigned long long)(type)(x), n, (unsigned long long)a_, flags(f_, mask)); \
    } while (0)

static const uint32_t values[] = {0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x12345678};
enum { N = sizeof values / sizeof *values };

int main(void) {
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j += 3) {
            uint32_t x = values[i], y = values[(i + j) % N];
            TWO("addb", uint8_t, "q", x, y, ALL);
            TWO("adcl", uint32_t, "r", x, y, ALL);
            TWO("subw", uint16_t, "r", x, y, ALL);
            TWO("sbbl", uint32_t, "r", x, y, ALL);
            TWO("cmpl", uint32_t, "r", x, y, ALL);
            TWO("andl", uint32_t, "r", x, y, LOGIC);
            TWO("xorb", uint8_t, "q", x, y, LOGIC);
            TWO("imull", uint32_t, "r", x, y, CF | OF);
            TWO("xaddl", uint32_t, "r", x, y, ALL);
        }
    for (int i = 0; i < N; i++) {
        uint32_t x = values[i];
        ONE("incl", uint32_t, "r", x, ALL);
        ONE("decb", uint8_t, "q", x, ALL);
        ONE("negw", uint16_t, "r", x, ALL);
        ONE("notl", uint32_t, "r", x, 0);
        for (int n = 0; n < 36; n += 5) {
            unsigned m = (n & 31) == 0 ? CF : LOGIC & ~OF, one = (n & 31) == 1 ? OF : 0;
            SHIFT("shll", uint32_t, "r", x, n, m | one);
            SHIFT("shrl", uint32_t, "r", x, n, m | one);
            SHIFT("sarl", uint32_t, "r", x, n, m | one);
            SHIFT("roll", uint32_t, "r", x, n, CF | one);
            SHIFT("rcrl", uint32_t, "r", x, n, CF | one);
            SHIFT("rclw", uint16_t, "r", x, n, CF | one);
            SHIFT("rorb", uint8_t, "q", x, n, (n & 31) ? CF : 0);
        }
        uint32_t bsf = 77, bsr = 77;
        unsigned char z;
        __asm__ volatile("bsfl %2, %0; setz %1" : "+r"(bsf), "=q"(z) : "r"(x) : "cc");
        __asm__ volatile("bsrl %1, %0" : "+r"(bsr) : "r"(x) : "cc");
        printf("bsf %u bsr %u zero %d bswap %x\n", x ? bsf : 0, x ? bsr : 0, z, __builtin_bswap32(x));
        uint32_t lo = x, hi = values[(i + 5) % N];
        __asm__ volatile("shldl $7, %1, %0" : "+r"(hi) : "r"(lo) : "cc");
        printf("shld %x\n", hi);
        uint32_t q, r;
        __asm__ volatile("divl %4" : "=a"(q), "=d"(r) : "0"(x), "1"(1), "r"(0x10001) : "cc");
        printf("div %x %x\n", q, r);
        int32_t sq, sr;
        __asm__ volatile("cltd; idivl %3" : "=a"(sq), "=&d"(sr) : "0"(x), "r"(7) : "cc");
        printf("idiv %d %d\n", sq, sr);
        __asm__ volatile("mull %3" : "=a"(q), "=d"(r) : "0"(x), "r"(x) : "cc");
        printf("mul %x %x\n", r, q);
    }
    /* Bit tests with an offset far outside the operand. */
    uint32_t bits[8] = {0};
    unsigned char c1, c2;
    __asm__ volatile("btsl %2, %0; setc %1" : "+m"(bits), "=q"(c1) : "r"(100) : "cc", "memory");
    __asm__ volatile("btcl %2, %0; setc %1" : "+m"(bits), "=q"(c2) : "r"(100) : "cc", "memory");
    printf("bts %d btc %d -> %x\n", c1, c2, bits[3]);
    /* Compare and exchange, 4 and 8 bytes wide. */
    uint32_t cell = 5, old = 5;
    unsigned char ok;
    __asm__ volatile("lock cmpxchgl %3, %1; setz %2" : "+a"(old), "+m"(cell), "=q"(ok) : "r"(9) : "cc", "memory");
    printf("cmpxchg %d cell %u\n", ok, cell);
    old = 5;
    __asm__ volatile("lock cmpxchgl %3, %1; setz %2" : "+a"(old), "+m"(cell), "=q"(ok) : "r"(11) : "cc", "memory");
    printf("cmpxchg %d cell %u old %u\n", ok, cell, old);
    uint64_t wide = 0x1111111122222222ull;
    uint32_t lo = 0x22222222, hi = 0x11111111;
    __asm__ volatile("lock cmpxchg8b %2; setz %3" : "+a"(lo), "+d"(hi), "+m"(wide), "=q"(ok) : "b"(0xAAAAAAAA), "c"(0xBBBBBBBB) : "cc", "memory");
    printf("cmpxchg8b %d %llx\n", ok, (unsigned long long)wide);
    /* String instructions in both directions. */
    char src[32] = "abcdefghijklmnopqrstuvwxyz", dst[32] = "";
    char *s = src, *d = dst;
    size_t n = 10;
    __asm__ volatile("cld; rep movsb" : "+S"(s), "+D"(d), "+c"(n)::"memory");
    printf("movs [%s] %d %d %d\n", dst, (int)(s - src), (int)(d - dst), (int)n);
    s = src + 12, d = src + 14, n = 10;
    __asm__ volatile("std; rep movsb; cld" : "+S"(s), "+D"(d), "+c"(n)::"memory");
    printf("backwards [%s]\n", src);
    d = dst, n = 5;
    __asm__ volatile("rep stosw" : "+D"(d), "+c"(n) : "a"(0x4241) : "memory");
    printf("stos [%s]\n", dst);
    d = src, n = 26;
    __asm__ volatile("repne scasb" : "+D"(d), "+c"(n) : "a"('h') : "cc", "memory");
    printf("scas at %d rest %d\n", (int)(d - src), (int)n);
    s = "abcdeX", d = "abcdeY", n = 6;
    char *s0 = s;
    __asm__ volatile("repe cmpsb; setb %3" : "+S"(s), "+D"(d), "+c"(n), "=q"(ok)::"cc", "memory");
    printf("cmps after %d, below %d\n", (int)(s - s0), ok);
    /* Odd corners: xlat, lahf/sahf, cbw family, enter/leave, movbe-free bswap16, setcc, cmov. */
    unsigned char table[256], al = 3;
    for (int i = 0; i < 256; i++) table[i] = (unsigned char)(255 - i);
    __asm__ volatile("xlatb" : "+a"(al) : "b"(table) : "memory");
    printf("xlat %d\n", al);
    uint32_t eax = 0x00800080;
    __asm__ volatile("cbtw; cwtl" : "+a"(eax));
    printf("cbw cwde %x\n", eax);
    uint32_t cm = 1;
    __asm__ volatile("cmpl $5, %1; cmovgl %2, %0" : "+r"(cm) : "r"(6), "r"(42) : "cc");
    printf("cmov %u\n", cm);
    uint16_t ah = 0xD500;
    Flags f;
    __asm__ volatile("sahf; " PUSHF : "=r"(f) : "a"((uint32_t)ah) : "cc");
    printf("sahf %s\n", flags(f, LOGIC & ~OF));
#ifdef __i386__
    for (int i = 0; i < 256; i += 17) {
        uint32_t v = (uint32_t)i;
        __asm__ volatile("cmpl %%esp, %%esp; stc; daa; " PUSHF : "=r"(f), "+a"(v) : : "cc");
        printf("daa %x %s ", v & 0xFF, flags(f, ALL & ~OF));
        v = (uint32_t)i;
        __asm__ volatile("cmpl %%esp, %%esp; das; " PUSHF : "=r"(f), "+a"(v) : : "cc");
        printf("das %x %s ", v & 0xFF, flags(f, ALL & ~OF));
        v = (uint32_t)i;
        __asm__ volatile("cmpl %%esp, %%esp; aaa" : "+a"(v) : : "cc");
        printf("aaa %x ", v & 0xFFFF);
        v = (uint32_t)i;
        __asm__ volatile("aam" : "+a"(v) : : "cc");
        printf("aam %x ", v & 0xFFFF);
        __asm__ volatile("aad" : "+a"(v) : : "cc");
        printf("aad %x\n", v & 0xFFFF);
    }
    uint32_t bound[2] = {1, 10}, index = 5;
    __asm__ volatile("bound %0, %1" : : "r"(index), "m"(bound));
    uint32_t regs = 0;
    __asm__ volatile("pushal; movl $7, %%eax; popal; movl $1, %0" : "=r"(regs) : : "memory");
    printf("pusha %u\n", regs);
#endif
    return 0;
}
