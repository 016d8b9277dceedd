/* Where the last x87 instruction and its operand were: environments, FXSAVE, signal frames; and that handlers begin with a fresh unit. */
#include "check.h"
#include <ucontext.h>

static unsigned char image[512] __attribute__((aligned(64)));
static uint32_t env[27];
static uint16_t short_env[47];
static double d = 1.5, zero;
static unsigned short open_zero = 0x37b;
extern char fld_at[], sqrt_at[], xch_at[], add_at[], nop_at[], free_at[], div_at[], pending_at[], save_at[], low_at[], far_load_at[], far_root_at[];

static const char *place(uint64_t at) {
    static const struct { const char *name; const void *at; } known[] = {
        {"nowhere", 0}, {"fld", fld_at}, {"fsqrt", sqrt_at}, {"fxch", xch_at}, {"fadd", add_at}, {"fnop", nop_at}, {"ffree", free_at},
        {"fdiv", div_at}, {"pending", pending_at}, {"fld before fsave", save_at}, {"fdiv of the loop", low_at}, {"load of a function", far_load_at},
        {"root of a function", far_root_at}, {"d", &d}, {"zero", &zero},
    };
    for (unsigned i = 0; i < sizeof known / sizeof *known; i++)
        if ((uint32_t)(uintptr_t)known[i].at == (uint32_t)at) return known[i].name;
    return "elsewhere";
}

/* The opcode without mode and register of an operand in memory, which the compiler chooses. */
static void show(const char *what) {
    printf("%s: last %s, operand %s, opcode %x, cs %s\n", what, place(env[3]), place(env[5]), env[4] >> 16 & 0x738,
           (env[4] & 0xffff) == 0 ? "none" : (env[4] & 0xffff) == (sizeof(long) == 8 ? 0x33 : 0x23) ? "own" : "another");
}

static void show_image(void) {
    uint16_t fop; uint32_t fip, fdp;
    memcpy(&fop, image + 6, 2); memcpy(&fip, image + 8, 4); memcpy(&fdp, image + 16, 4);
    printf("  fxsave: last %s, operand %s, opcode %x\n", place(fip), place(fdp), fop & 0x738);
}

static void handler(int signo, siginfo_t *info, void *context) {
    unsigned short cw, sw; unsigned mxcsr;
    __asm__ volatile("fnstcw %0; fnstsw %1; stmxcsr %2; fnstenv %3" : "=m"(cw), "=m"(sw), "=m"(mxcsr), "=m"(env));
    printf("signal %d: handler has %x %x %x tags %x, ", signo, cw, sw, mxcsr, env[2]);
    show("environment");
    ucontext_t *u = context;
    uint32_t fop, fip, fdp;
    unsigned char *p = (unsigned char *)u->uc_mcontext.fpregs;
#ifdef __x86_64__
    memcpy(&fop, p + 4, 4); memcpy(&fip, p + 8, 4); memcpy(&fdp, p + 16, 4);
    uint16_t status; memcpy(&status, p + 2, 2);
    fop >>= 16; status &= ~0x80ff; memcpy(p + 2, &status, 2);
#else
    memcpy(&fip, p + 12, 4); memcpy(&fop, p + 16, 4); memcpy(&fdp, p + 20, 4);
    printf("  cs in the frame %s, ", (fop & 0xffff) == 0x23 ? "own" : "another");
    fop >>= 16; p[4] = 0; p[5] &= 0x7f; p[114] = 0; p[115] &= 0x7f;
#endif
    printf("  frame: last %s, operand %s, opcode %x\n", place(fip), place(fdp), fop & 0x738);
    if (signo == SIGFPE) printf("  si_code %d\n", info->si_code);
}

#define AFTER(code) __asm__ volatile(code "; fnstenv %0; fldenv %0; fxsave %1" : "=m"(env), "=m"(image) : "m"(d), "m"(zero))

/* Far from each other, so that each is translated by itself. */
__asm__(".text; .skip 8192, 0x90\n .type far_root, @function; far_root: far_root_at: fsqrt\n ret\n"
        ".skip 8192, 0x90\n .type far_look, @function; far_look:\n"
#ifdef __x86_64__
        "fnstenv (%rdi); ret\n"
#else
        "mov 4(%esp), %eax; fnstenv (%eax); ret\n"
#endif
        ".skip 8192, 0x90\n");
void far_root(void), far_look(uint32_t *where);
static void __attribute__((noinline)) far_load(void) { __asm__ volatile("far_load_at: fldl %0" ::"m"(d)); }
static void __attribute__((noinline)) far_drop(void) { __asm__ volatile("fldenv %0; fninit" ::"m"(env)); }

int main(void) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGFPE, &action, 0);
    sigaction(SIGUSR1, &action, 0);
    AFTER("fninit"); show("fninit"); show_image();
    AFTER("fninit; fld_at: fldl %2"); show("fld"); show_image();
    AFTER("fldl %2; sqrt_at: fsqrt; fwait; fnclex"); show("fsqrt, then control instructions"); show_image();
    AFTER("fldz; .byte 0x66; xch_at: fxch"); show("fxch behind a prefix");
    AFTER("add_at: fadds %2"); show("fadd");
    AFTER("fninit; nop_at: fnop"); show("fnop");
    AFTER("fninit; free_at: ffree %%st(7)"); show("ffree");
    AFTER("emms"); show("emms");
    __asm__ volatile("fninit; save_at: fldl %1; fnsave %0" : "=m"(env) : "m"(d)); show("fnsave");
    __asm__ volatile("fnstenv %0" : "=m"(env)); show("behind fnsave");
    __asm__ volatile("fninit; fldl %1; .byte 0x66; fnsave %0" : "=m"(short_env) : "m"(d));
    printf("short: operand %s\n", short_env[5] == (uint16_t)(uintptr_t)&d ? "d" : "elsewhere");

    __asm__ volatile("fninit; fldpi");
    raise(SIGUSR1);
    __asm__ volatile("fnstenv %0" : "=m"(env)); show("behind a signal");

    /* An unmasked exception: pending, in images, delivered. */
    __asm__ volatile("fninit; fldcw %2; fld1; pending_at: fdivl %3; fxsave %0; fnstenv %1; fnclex; fninit"
                     : "=m"(image), "=m"(env) : "m"(open_zero), "m"(zero));
    show("pending"); show_image();
    __asm__ volatile("fninit; fldcw %0; fld1; div_at: fdivl %1; nop; nop; fwait; fninit" ::"m"(open_zero), "m"(zero) : "memory");
    /* The same in code that runs often: the exception comes in the last round. */
    double values[3000];
    for (int i = 0; i < 3000; i++) values[i] = 2;
    values[2999] = 0;
    for (int round = 0; round < 2; round++) {
        double *p = values;
        long n = 3000;
        __asm__ volatile("fninit; fldcw %2\n"
                         "1: fld1; low_at: fdivl (%0); fstp %%st(0); add $8, %0; dec %1; jnz 1b\n fwait; fninit"
                         : "+r"(p), "+r"(n) : "m"(open_zero) : "memory", "cc");
        printf("rounds left %ld\n", n);
    }
    /* The last instruction and its operand are elsewhere than the look at them, in code that runs often. */
    void (*volatile load)(void) = far_load, (*volatile root)(void) = far_root, (*volatile drop)(void) = far_drop;
    void (*volatile look)(uint32_t *) = far_look;
    unsigned loads = 0, roots = 0, operands = 0;
    __asm__ volatile("fninit");
    for (int i = 0; i < 3000; i++) {
        load();
        if (i % 3 == 0) root();
        look(env);
        loads += !strcmp(place(env[3]), "load of a function");
        roots += !strcmp(place(env[3]), "root of a function");
        operands += env[5] == (uint32_t)(uintptr_t)&d;
        if (i == 2998 || i == 2999) show("far away");
        drop();
    }
    printf("%u loads, %u roots, %u operands\n", loads, roots, operands);
    return 0;
}
