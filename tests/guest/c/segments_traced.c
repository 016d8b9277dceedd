/* A tracer that puts selectors of the local descriptor table into its child's registers. */
#include "segments.h"
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

int main(void) {
    prepare();
    static const unsigned char code16[] = {0x01, 0xd8, 0x50, 0x8c, 0xca, 0xcc}; /* add %bx, %ax; push %ax; mov %cs, %dx; int3 */
    static const unsigned selectors[][2] = {{SEL(CODE16), SEL(STACK16)}, {SEL(CODE32), SEL(STACK32)}, {0x3ff7, SEL(STACK16)}, {SEL(DATA32), USER_DS}, {0x10, USER_DS}, {SEL(CODE16), 0x18}, {0, USER_DS}, {USER_CS32, 0}};
    for (unsigned i = 0; i < sizeof selectors / sizeof *selectors; i++) {
        memcpy(ARENA + 0x100, code16, sizeof code16);
        fflush(stdout);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            signal(SIGTRAP, SIG_DFL);
            signal(SIGSEGV, SIG_DFL);
            signal(SIGBUS, SIG_DFL);
            ptrace(PTRACE_TRACEME, 0, 0, 0);
            raise(SIGSTOP);
            _exit(3);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child && WIFSTOPPED(status));
        struct user_regs_struct r;
        CHECK(ptrace(PTRACE_GETREGS, child, 0, &r) == 0);
#ifdef __x86_64__
        r.cs = selectors[i][0]; r.ss = selectors[i][1]; r.rip = 0x100; r.rsp = 0x8000; r.rax = 0x1111; r.rbx = 0x2222; r.rdx = 0; r.orig_rax = -1;
#else
        r.xcs = selectors[i][0]; r.xss = selectors[i][1]; r.eip = 0x100; r.esp = 0x8000; r.eax = 0x1111; r.ebx = 0x2222; r.edx = 0; r.orig_eax = -1;
#endif
        int set = ptrace(PTRACE_SETREGS, child, 0, &r) ? errno : 0;
        printf("traced, cs %x ss %x: error %d\n", selectors[i][0], selectors[i][1], set);
        if (set == 0) {
            CHECK(ptrace(PTRACE_CONT, child, 0, 0) == 0 && waitpid(child, &status, 0) == child);
            CHECK(WIFSTOPPED(status) && ptrace(PTRACE_GETREGS, child, 0, &r) == 0);
#ifdef __x86_64__
            printf("  signal %d, cs %lx ss %lx ip %lx sp %lx ax %lx dx %lx\n", WSTOPSIG(status), (long)r.cs, (long)r.ss, (long)r.rip, (long)r.rsp, (long)r.rax, (long)r.rdx);
#else
            printf("  signal %d, cs %lx ss %lx ip %lx sp %lx ax %lx dx %lx\n", WSTOPSIG(status), r.xcs & 0xffff, r.xss & 0xffff, r.eip, r.esp, r.eax, r.edx);
#endif
        }
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
    }
    return 0;
}
