/* Hardware faults as signals: si_code, si_addr, the register context, resuming elsewhere, leaving by siglongjmp. */
#include "check.h"
#include <ucontext.h>

static sigjmp_buf out;
static volatile int code, signo;
static void *volatile address;
static volatile unsigned long trapno, error;

static void leave(int sig, siginfo_t *si, void *ctx) {
    ucontext_t *uc = ctx;
    signo = sig;
    code = si->si_code;
    address = si->si_addr;
    trapno = uc->uc_mcontext.gregs[REG_TRAPNO];
    error = uc->uc_mcontext.gregs[REG_ERR];
    siglongjmp(out, 1);
}

static const char *kind(void) {
    static char text[64];
    snprintf(text, sizeof text, "%s code %d trap %lu", sigabbrev_np(signo), code, trapno);
    return text;
}

static void on(int sig, void (*handler)(int, siginfo_t *, void *)) {
    struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigemptyset(&sa.sa_mask);
    CHECK(sigaction(sig, &sa, NULL) == 0);
}

/* Steps over the two-byte UD2 and leaves a mark in a register and in the carry flag. */
static void step_over(int sig, siginfo_t *si, void *ctx) {
    ucontext_t *uc = ctx;
    (void)sig;
    (void)si;
#ifdef __x86_64__
    uc->uc_mcontext.gregs[REG_RIP] += 2;
    uc->uc_mcontext.gregs[REG_RAX] = 0x1122334455667788;
#else
    uc->uc_mcontext.gregs[REG_EIP] += 2;
    uc->uc_mcontext.gregs[REG_EAX] = 0x11223344;
#endif
    uc->uc_mcontext.gregs[REG_EFL] |= 1;
}

/* Lets the faulting store succeed. */
static char *page;
static volatile int grants;
static void grant(int sig, siginfo_t *si, void *ctx) {
    (void)sig;
    (void)ctx;
    grants++;
    mprotect((void *)((uintptr_t)si->si_addr & ~(uintptr_t)4095), 4096, PROT_READ | PROT_WRITE);
}

static int recurse(int n) {
    volatile char pad[4096];
    pad[0] = (char)n;
    return n == 0 ? 0 : recurse(n + 1) + pad[0];
}

int main(void) {
    setvbuf(stdout, NULL, _IONBF, 0);
    on(SIGSEGV, leave);
    on(SIGBUS, leave);
    on(SIGFPE, leave);
    on(SIGILL, leave);
    on(SIGTRAP, leave);

    if (!sigsetjmp(out, 1)) *(volatile char *)0x1234 = 1;
    printf("store to nowhere: %s error %lu addr %p\n", kind(), error, address);
    if (!sigsetjmp(out, 1)) (void)*(volatile int *)0x4321;
    printf("load from nowhere: %s error %lu addr %p\n", kind(), error, address);
    /* The last page of all addresses, where a page's end is no address; a store of eight bytes that would wrap around. */
    for (int k = 0; k < 3; k++) {
        uintptr_t top = -(uintptr_t)(k == 0 ? 4096 : k == 1 ? 16 : 4);
        if (!sigsetjmp(out, 1)) *(volatile char *)top = 1;
        printf("store to the last page: %s error %lu addr %p\n", kind(), error, address);
        if (!sigsetjmp(out, 1)) __sync_fetch_and_add((volatile int *)(top & ~(uintptr_t)3), 1);
        printf("locked add to the last page: %s error %lu addr %p\n", kind(), error, address);
        if (!sigsetjmp(out, 1)) (void)*(volatile char *)top;
        printf("load from the last page: %s error %lu addr %p\n", kind(), error, address);
        if (!sigsetjmp(out, 1)) ((void (*)(void))top)();
        printf("jump to the last page: %s addr %p\n", kind(), address);
    }
#ifdef __x86_64__
    /* What happens around the end of a 4 GiB segment depends on the processor. */
    if (!sigsetjmp(out, 1)) __asm__ volatile("movups %%xmm0, (%0)" ::"r"(-(uintptr_t)8) : "memory");
    printf("store around the end: %s error %lu addr %p\n", kind(), error, address);
#endif
    if (!sigsetjmp(out, 1)) ((void (*)(void))0x6000)();
    printf("jump to nowhere: %s addr %p\n", kind(), address);

    page = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    /* Touched first: an untouched page is "not present" in the error code whatever its protection. */
    (void)*(volatile char *)page;
    if (!sigsetjmp(out, 1)) page[100] = 1;
    printf("store to read-only: %s error %lu offset %ld\n", kind(), error, (long)((char *)address - page));
    mprotect(page, 8192, PROT_NONE);
    if (!sigsetjmp(out, 1)) (void)*(volatile char *)(page + 5000);
    printf("load from PROT_NONE: %s error %lu offset %ld\n", kind(), error, (long)((char *)address - page));
    mprotect(page, 4096, PROT_READ | PROT_WRITE);
    mprotect(page + 4096, 4096, PROT_NONE);
    if (!sigsetjmp(out, 1)) *(volatile long long *)(page + 4092) = -1;
    long off = (long)((char *)address - page);
    /* i386 compilers may split the store into two of four bytes; the second one faults. */
    printf("store across a boundary: %s offset %ld\n", kind(), off);
    mprotect(page, 8192, PROT_READ | PROT_WRITE);
    page[0] = (char)0xC3;
    if (!sigsetjmp(out, 1)) ((void (*)(void))page)();
    printf("execute data: %s addr at page %d\n", kind(), address == page);

    volatile int zero = 0, seven = 7;
    if (!sigsetjmp(out, 1)) seven = seven / zero;
    printf("divide by zero: %s\n", kind());
    volatile int low = -2147483647 - 1, minus = -1;
    if (!sigsetjmp(out, 1)) seven = low / minus;
    printf("divide overflow: %s\n", kind());
    if (!sigsetjmp(out, 1)) __asm__ volatile("ud2");
    printf("ud2: %s\n", kind());
    if (!sigsetjmp(out, 1)) __asm__ volatile("int3");
    printf("int3: %s\n", kind());
    if (!sigsetjmp(out, 1)) __asm__ volatile("hlt");
    printf("hlt: %s\n", kind());
    if (!sigsetjmp(out, 1)) __asm__ volatile("int $0x42");
    printf("int 0x42: %s error %lu\n", kind(), error);
    if (!sigsetjmp(out, 1)) __asm__ volatile("in $0x60, %%al" ::: "eax");
    printf("in: %s\n", kind());
    if (!sigsetjmp(out, 1)) __asm__ volatile("movaps (%0), %%xmm0" ::"r"(page + 1));
    printf("misaligned movaps: %s\n", kind());

    char name[] = "/tmp/demotic-guest-bus-XXXXXX";
    int fd = mkstemp(name);
    unlink(name);
    CHECK(ftruncate(fd, 100) == 0);
    char *file = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    file[50] = 1;
    if (!sigsetjmp(out, 1)) file[4096 + 10] = 1;
    printf("behind the end of a file: %s offset %ld\n", kind(), (long)((char *)address - file));

    /* Trap flag: one instruction, then SIGTRAP. */
    if (!sigsetjmp(out, 1)) {
#ifdef __x86_64__
        __asm__ volatile("pushfq; orl $0x100, (%%rsp); popfq; nop; nop" ::: "memory");
#else
        __asm__ volatile("pushfl; orl $0x100, (%%esp); popfl; nop; nop" ::: "memory");
#endif
    }
    printf("single step: %s\n", kind());

    on(SIGILL, step_over);
    unsigned long r;
    unsigned char carry;
    __asm__ volatile("clc; ud2; setc %b1" : "=a"(r), "=c"(carry)::"cc");
    printf("resumed behind ud2: rax %lx carry %d\n", r, carry & 1);

    on(SIGSEGV, grant);
    mprotect(page, 8192, PROT_READ);
    memset(page, 'x', 8192);
    printf("pages granted on demand: %d, content %c%c\n", grants, page[0], page[8191]);

    /* Unmasked floating-point exceptions. */
    on(SIGFPE, leave);
    unsigned mxcsr = 0x1F80 & ~0x200u;
    if (!sigsetjmp(out, 1)) {
        __asm__ volatile("ldmxcsr %0" ::"m"(mxcsr));
        float one = 1, none = 0;
        __asm__ volatile("movss %0, %%xmm0; divss %1, %%xmm0" ::"m"(one), "m"(none));
    }
    mxcsr = 0x1F80;
    __asm__ volatile("ldmxcsr %0" ::"m"(mxcsr));
    printf("SSE divide: %s\n", kind());
    unsigned short cw = 0x37B;
    if (!sigsetjmp(out, 1)) __asm__ volatile("fldcw %0; fld1; fldz; fdivrp; fwait" ::"m"(cw));
    __asm__ volatile("fninit");
    printf("x87 divide: %s\n", kind());

    /* Stack overflow caught on an alternate stack. */
    on(SIGSEGV, leave);
    static char alt[65536] __attribute__((aligned(16)));
    stack_t ss = {.ss_sp = alt, .ss_size = sizeof alt};
    sigaltstack(&ss, NULL);
    struct sigaction sa = {.sa_sigaction = leave, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGSEGV, &sa, NULL);
    if (!sigsetjmp(out, 1)) printf("%d\n", recurse(1));
    printf("stack overflow: %s\n", sigabbrev_np(signo));

    /* And the children that die of it. */
    for (int i = 0; i < 4; i++) {
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            signal(SIGSEGV, SIG_DFL);
            signal(SIGFPE, SIG_DFL);
            signal(SIGILL, SIG_DFL);
            if (i == 0) *(volatile char *)8 = 1;
            if (i == 1) seven = seven / zero;
            if (i == 2) __asm__ volatile("ud2");
            abort();
        }
        int status;
        waitpid(pid, &status, 0);
        printf("child %d: signalled %d by %s\n", i, WIFSIGNALED(status), sigabbrev_np(WTERMSIG(status)));
    }
    return 0;
}
