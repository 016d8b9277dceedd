/* Alignment checks: what accesses raise #AC while EFLAGS.AC is set, and how it arrives. A line for each instruction: 'A' where the address, from a
   multiple of 64 on, raised #AC (SIGBUS, BUS_ADRALN, no address, trap 17), 'G' for SIGSEGV. */
#include "check.h"
#include <ucontext.h>

static sigjmp_buf back;
static volatile int got, trap, error, code;
static void *volatile address;
static unsigned char buf[1024] __attribute__((aligned(64)));

#ifdef __x86_64__
#define FLAGS "pushfq; andl $~0x40000,(%rsp); popfq"
#define CX "rcx"
#define BX "rbx"
#define P "(%%rcx)"
/* AC is set around the body only; rsi and rcx are the address. */
#define T(name, body)                                                                                                            \
    static __attribute__((noinline)) void name(void *p) {                                                                        \
        void *c = p, *s = p, *d = buf + 512;                                                                                     \
        if (sigsetjmp(back, 1)) return;                                                                                          \
        __asm__ volatile("push %%rbp; push %%rbx; mov %%rsp,%%r15; pushfq; orl $0x40000,(%%rsp); popfq\n " body                  \
                         "\n mov %%r15,%%rsp; pushfq; andl $~0x40000,(%%rsp); popfq; pop %%rbx; pop %%rbp"                       \
                         : "+c"(c), "+S"(s), "+D"(d) : "a"(0), "d"(0) : "memory", "xmm0", "r15", "cc");                          \
    }
#else
long saved_sp;
#define FLAGS "pushf; andl $~0x40000,(%esp); popf"
#define CX "ecx"
#define BX "ebx"
#define P "(%%ecx)"
#define T(name, body)                                                                                                            \
    static __attribute__((noinline)) void name(void *p) {                                                                        \
        void *c = p, *s = p, *d = buf + 512;                                                                                     \
        if (sigsetjmp(back, 1)) return;                                                                                          \
        __asm__ volatile("push %%ebp; push %%ebx; mov %%esp,saved_sp; pushf; orl $0x40000,(%%esp); popf\n " body                 \
                         "\n mov saved_sp,%%esp; pushf; andl $~0x40000,(%%esp); popf; pop %%ebx; pop %%ebp"                      \
                         : "+c"(c), "+S"(s), "+D"(d) : "a"(0), "d"(0) : "memory", "cc");                                         \
    }
#endif

static void handler(int signo, siginfo_t *info, void *context) {
    /* Handlers begin with AC as it was. */
    __asm__ volatile(FLAGS);
    ucontext_t *u = context;
    got = signo;
    code = info->si_code;
    address = info->si_addr;
    trap = u->uc_mcontext.gregs[REG_TRAPNO];
    error = u->uc_mcontext.gregs[REG_ERR];
    siglongjmp(back, 1);
}

#define ALL(X) \
    X(mov8,"mov " P ",%%al") \
    X(mov16,"mov " P ",%%ax") \
    X(mov32,"mov " P ",%%eax") \
    X(st16,"mov %%ax," P) \
    X(st32,"mov %%eax," P) \
    X(add32,"add %%eax," P) \
    X(lock32,"lock addl $1," P) \
    X(xchg16,"xchg %%ax," P) \
    X(cmpxchg32,"cmpxchg %%eax," P) \
    X(bts32,"btsl $3," P) \
    X(btsr32,"btsl %%eax," P) \
    X(bt16,"btw $3," P) \
    X(movzx8,"movzbl " P ",%%eax") \
    X(movzx16,"movzwl " P ",%%eax") \
    X(cmpxchg8b,"cmpxchg8b " P) \
    X(movd,"movd " P ",%%xmm0") \
    X(movq,"movq " P ",%%xmm0") \
    X(movaps,"movaps " P ",%%xmm0") \
    X(paddb,"paddb " P ",%%xmm0") \
    X(movss,"movss " P ",%%xmm0") \
    X(movsd,"movsd " P ",%%xmm0") \
    X(movlps,"movlps " P ",%%xmm0") \
    X(pinsrw,"pinsrw $1," P ",%%xmm0") \
    X(fld32,"flds " P "\n fstp %%st(0)") \
    X(fld64,"fldl " P "\n fstp %%st(0)") \
    X(fld80,"fldt " P "\n fstp %%st(0)") \
    X(fst80,"fldz\n fstpt " P) \
    X(fild16,"filds " P "\n fstp %%st(0)") \
    X(fild64,"fildll " P "\n fstp %%st(0)") \
    X(fbld,"fbld " P "\n fstp %%st(0)") \
    X(fnstcw,"fnstcw " P) \
    X(fldcw,"fnstcw "  P "\n fldcw " P "") \
    X(fnstenv,"fnstenv " P "\n fldenv " P) \
    X(fnsave,"fnsave " P "\n frstor " P) \
    X(stmxcsr,"stmxcsr " P) \
    X(movq_mm,"movq " P ",%%mm0\n emms") \
    X(movd_mm,"movd " P ",%%mm0\n emms") \
    X(movsw,"movsw") \
    X(movsl,"movsl") \
    X(lodsl,"lodsl") \
    X(repmovsl,"mov $3,%%ecx\n rep movsl") \
    X(repmovsb,"mov $3,%%ecx\n rep movsb") \
    X(xlat,"mov %%" CX ",%%" BX "\n xlat") \
    X(movnti,"movnti %%eax," P) \
    X(lea,"lea 1" P ",%%eax") \
    X(pushm,"pushw " P "\n popw " P) \
    X(cvtsi2sd,"cvtsi2sdl " P ",%%xmm0") \
    X(movhps,"movhps " P ",%%xmm0")

#ifdef __x86_64__
#define ALL2(X) \
    X(mov64,"mov " P ",%%rax") \
    X(st64,"mov %%rax," P) \
    X(cmpxchg16b,"cmpxchg16b " P) \
    X(push16,"lea -64(%%rsp),%%rsp\n pushw $1\n pushq $1") \
    X(add64,"add %%rax," P)
#else
#define ALL2(X) \
    X(push16,"lea -64(%%esp),%%esp\n pushw $1\n pushl $1") \
    X(pusha,"lea -66(%%esp),%%esp\n pusha") \
    X(bound,"bound %%eax," P)
#endif

ALL(T) ALL2(T)
#define ENTRY(name, body) {#name, name},
static const struct { const char *name; void (*run)(void *); } all[] = {ALL(ENTRY) ALL2(ENTRY)};

static char seen(void) {
    if (!got) return '.';
    if (got == SIGBUS && trap == 17 && error == 0 && code == BUS_ADRALN && !address) return 'A';
    return got == SIGSEGV && trap == 13 ? 'G' : '?';
}

int main(void) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &action, 0);
    sigaction(SIGSEGV, &action, 0);
    for (unsigned k = 0; k < sizeof all / sizeof *all; k++) {
        char line[18] = {0};
        for (int o = 0; o < 17; o++) {
            memset(buf, 0, sizeof buf);
            got = 0;
            all[k].run(buf + o);
            line[o] = seen();
        }
        printf("%-10s %s\n", all[k].name, line);
    }
    /* Alignment is looked at before the page. */
    char *m = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(m + 4096, 4096);
    got = 0; mov32(m + 4096 + 1); printf("not mapped: trap %d\n", trap);
    got = 0; mov32(m + 4096); printf("not mapped, aligned: trap %d\n", trap);
    mprotect(m, 4096, PROT_READ);
    got = 0; st32(m + 1); printf("not writable: trap %d\n", trap);
#ifdef __x86_64__
    got = 0; mov32((void *)0x800000000001); printf("not canonical: trap %d\n", trap);
#endif
    return 0;
}
