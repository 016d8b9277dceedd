/* Pieces of code that are entered by sigreturn in segments of modify_ldt and end in int3 or a fault; what the handler sees then is printed. */
#include "check.h"
#include <asm/ldt.h>
#include <sys/ucontext.h>

/* Code at ARENA, a stack 64 KiB behind it, data behind that. */
#define ARENA ((unsigned char *)0x10000000)
#define STACK (ARENA + 0x10000)
#define DATA (ARENA + 0x20000)
#define SIZE 0x40000

enum { CODE16, STACK16, DATA32, READONLY, DOWN32, DOWN16, CODE32, EXECUTE, ABSENT, ABSENTCODE, SHORT16, FLAT16, LONG16, STACK32, WIDE32, FLATCODE };
#define SEL(n) ((n) * 8 + 7)

static void set(int entry, unsigned base, unsigned limit, int contents, int bits32, int readonly, int absent, int pages) {
    struct user_desc d = {.entry_number = entry, .base_addr = base, .limit = limit, .contents = contents, .seg_32bit = bits32,
        .read_exec_only = readonly, .seg_not_present = absent, .limit_in_pages = pages, .useable = 1};
    CHECK((int)syscall(SYS_modify_ldt, 0x11, &d, sizeof d) == 0);
}

static void set_all(void) {
    unsigned code = (uintptr_t)ARENA, stack = (uintptr_t)STACK, data = (uintptr_t)DATA;
    set(CODE16, code, 0xffff, 2, 0, 0, 0, 0);
    set(STACK16, stack, 0xffff, 0, 0, 0, 0, 0);
    set(DATA32, data, 0xfff, 0, 1, 0, 0, 0);
    set(READONLY, data, 0xfff, 0, 1, 1, 0, 0);
    set(DOWN32, data, 0x7ff, 1, 1, 0, 0, 0);
    set(DOWN16, data, 0x7ff, 1, 0, 0, 0, 0);
    set(CODE32, code, 0xffff, 2, 1, 0, 0, 0);
    set(EXECUTE, code, 0xffff, 2, 1, 1, 0, 0);
    set(ABSENT, data, 0xfff, 0, 1, 0, 1, 0);
    set(ABSENTCODE, code, 0xffff, 2, 1, 0, 1, 0);
    set(SHORT16, code, 0x1ff, 2, 0, 0, 0, 0);
    set(FLAT16, 0, 0xfffff, 0, 0, 0, 0, 1);
    set(LONG16, code, 0x1ffff, 2, 0, 0, 0, 0);
    set(STACK32, stack, 0xffff, 0, 1, 0, 0, 0);
    set(WIDE32, 0, 0xfffff, 0, 1, 0, 0, 1);
    set(FLATCODE, 0, 0xfffff, 2, 1, 0, 0, 1);
}

/* The flat selectors of the kernel. */
#define USER_CS32 0x23
#define USER_DS 0x2b

static ucontext_t home;
static volatile int entering, inside;
static struct { unsigned cs, ip, ss, sp, ds, es, ax, bx, cx, dx, si, di, bp, flags, hidden, rights, varies; } want;
static int shown_traps;

#ifdef __x86_64__
#define R(context, name) ((context)->uc_mcontext.gregs[REG_R##name])
#define FLAGS(context) ((context)->uc_mcontext.gregs[REG_EFL])
static unsigned get_ds(void) { unsigned short v; __asm__("mov %%ds, %0" : "=r"(v)); return v; }
static unsigned get_es(void) { unsigned short v; __asm__("mov %%es, %0" : "=r"(v)); return v; }
#else
#define R(context, name) ((context)->uc_mcontext.gregs[REG_E##name])
#define FLAGS(context) ((context)->uc_mcontext.gregs[REG_EFL])
#endif

static void show(int signo, siginfo_t *info, ucontext_t *c) {
    unsigned cs, ss, ds, es;
#ifdef __x86_64__
    unsigned long long w = c->uc_mcontext.gregs[REG_CSGSFS];
    cs = w & 0xffff; ss = w >> 48; ds = get_ds(); es = get_es();
#else
    cs = c->uc_mcontext.gregs[REG_CS] & 0xffff; ss = c->uc_mcontext.gregs[REG_SS] & 0xffff;
    ds = c->uc_mcontext.gregs[REG_DS] & 0xffff; es = c->uc_mcontext.gregs[REG_ES] & 0xffff;
#endif
    int trap = c->uc_mcontext.gregs[REG_TRAPNO], error = c->uc_mcontext.gregs[REG_ERR];
    printf("  %s trap %d error %x code %d", strsignal(signo), trap, error, info->si_code);
    if (trap == 14) printf(" address %lx", (unsigned long)info->si_addr);
    printf("\n  cs:ip %x:%x ss:sp %x:%x ds %x es %x flags %x\n", cs, (unsigned)R(c, IP), ss, (unsigned)R(c, SP), ds, es,
        (unsigned)FLAGS(c) & 0x4cc5 /* AF and RF vary */);
    printf("  ax %x bx %x cx %x dx %x si %x di %x bp %x\n", (unsigned)R(c, AX), (unsigned)R(c, BX), (unsigned)R(c, CX),
        (unsigned)R(c, DX), (unsigned)R(c, SI), (unsigned)R(c, DI), (unsigned)R(c, BP));
}

static void handler(int signo, siginfo_t *info, void *p) {
    ucontext_t *c = p;
    /* AC and NT, which handlers inherit. */
#ifdef __x86_64__
    __asm__ volatile("pushf\n andl $~0x44000, (%%rsp)\n popf" : : : "cc", "memory");
#else
    __asm__ volatile("pushf\n andl $~0x44000, (%%esp)\n popf" : : : "cc", "memory");
#endif
    if (entering) {
        entering = 0;
        home = *c;
        R(c, IP) = want.ip; R(c, SP) = want.sp; R(c, AX) = want.ax; R(c, BX) = want.bx; R(c, CX) = want.cx;
        R(c, DX) = want.dx; R(c, SI) = want.si; R(c, DI) = want.di; R(c, BP) = want.bp;
        FLAGS(c) = want.flags | 0x202;
#ifdef __x86_64__
        c->uc_mcontext.gregs[REG_CSGSFS] = want.cs | (unsigned long long)want.ss << 48;
        __asm__ volatile("mov %0, %%ds\n mov %1, %%es" : : "r"(want.ds), "r"(want.es));
#else
        c->uc_mcontext.gregs[REG_CS] = want.cs; c->uc_mcontext.gregs[REG_SS] = want.ss;
        c->uc_mcontext.gregs[REG_DS] = want.ds; c->uc_mcontext.gregs[REG_ES] = want.es;
#endif
        return;
    }
    show(signo, info, c);
    if (!inside) {
        printf("not in a case\n");
        fflush(stdout);
        _exit(1);
    }
    if (shown_traps && c->uc_mcontext.gregs[REG_TRAPNO] == 1 && --shown_traps) return;
#ifdef __x86_64__
    __asm__ volatile("mov %0, %%ds\n mov %0, %%es" : : "r"(0));
    for (int i = 0; i < 23; i++) c->uc_mcontext.gregs[i] = home.uc_mcontext.gregs[i];
#else
    for (int i = 0; i < 19; i++) c->uc_mcontext.gregs[i] = home.uc_mcontext.gregs[i];
#endif
}

/* What the three parts hold before a case. */
static uint64_t fresh[3][0x10000 / 8];

static void fill(void) {
    unsigned char *code = (void *)fresh[0], *stack = (void *)fresh[1], *data = (void *)fresh[2];
    for (unsigned i = 0; i < 0x10000; i++) code[i] = 0xcc, stack[i] = i * 7 + (i >> 8), data[i] = i * 11 + (i >> 7);
    memcpy(ARENA, fresh, sizeof fresh);
}

/* Tells whether a part has changed, by a number made of its words, unless processors differ in that, and makes it as before. */
static void look(const char *name, int part) {
    uint64_t *now = (void *)(ARENA + 0x10000 * part);
    unsigned i = 0, n = 0x10000 / 8, s = 0;
    while (i < n && now[i] == fresh[part][i]) i++;
    if (i == n) return;
    if (want.varies) {
        memcpy(now, fresh[part], 0x10000);
        return;
    }
    for (i = 0; i < n; i++) s = s * 31 + (unsigned)now[i] + (unsigned)(now[i] >> 32) * 7;
    printf("  %s changed: %x\n", name, s);
    memcpy(now, fresh[part], 0x10000);
}

/* Runs `n` bytes of code at an offset in the arena. */
static void run_at(const char *name, unsigned offset, const unsigned char *code, unsigned n) {
    memcpy(ARENA + offset, code, n);
    printf("%s\n", name);
    fflush(stdout);
    if (want.hidden) mprotect(ARENA + want.hidden, 0x10000, want.rights);
    entering = inside = 1;
    raise(SIGUSR1);
    inside = 0;
    mprotect(ARENA, SIZE, PROT_READ | PROT_WRITE | PROT_EXEC);
    if (memcmp(ARENA + offset, code, n)) printf("  its code changed\n");
    memset(ARENA + offset, 0xcc, n);
    look("code", 0);
    look("stack", 1);
    look("data", 2);
}

static void usual(unsigned cs, unsigned ss, unsigned ds) {
    want.cs = cs; want.ss = ss; want.ds = ds; want.es = ds; want.ip = 0x100; want.sp = 0x8000;
    want.ax = 0x11112222; want.bx = 0x33330010; want.cx = 0x44440003; want.dx = 0x55556666;
    want.si = 0x77770020; want.di = 0x88880040; want.bp = 0x99990080; want.flags = want.hidden = want.varies = 0;
}

#ifdef __x86_64__
#define BACK ".code64\n"
#else
#define BACK ".code32\n"
#endif
/* Statements `before`, and code in the segments that they leave in `want`. */
#define CASE(bits, name, before, text)                                                                           \
    do {                                                                                                          \
        extern const unsigned char begin_##name[], end_##name[];                                                  \
        __asm__(".pushsection .rodata\n .code" #bits "\n begin_" #name ": " text "\n int3\n end_" #name ":\n" BACK \
                ".popsection\n");                                                                                 \
        if (bits == 16) usual(SEL(CODE16), SEL(STACK16), SEL(DATA32));                                            \
        else usual(SEL(CODE32), SEL(STACK32), SEL(DATA32));                                                       \
        before;                                                                                                   \
        run_at(#name, 0x100, begin_##name, end_##name - begin_##name);                                            \
    } while (0)

#define OWN static __attribute__((noinline, noclone)) void


static char alternate[65536] __attribute__((aligned(64)));

/* The arena, the handler and the table. */
static void prepare(void) {
    CHECK(mmap(ARENA, SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == ARENA);
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    CHECK(sigaltstack(&stack, 0) == 0);
    struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    for (int i = 0; i < 6; i++) CHECK(sigaction((int[]){SIGUSR1, SIGSEGV, SIGBUS, SIGTRAP, SIGILL, SIGFPE}[i], &sa, 0) == 0);
    fill();
    set_all();
}
