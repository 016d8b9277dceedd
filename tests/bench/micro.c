/* Single costs, in loops whose own cost is measured by KIND 0: 1 call and return, 2 indirect call and return, 3 indirect jump.
   Ten of each in a round. */
#include "kernel.h"

#ifdef __x86_64__
#define REGISTER "rax"
#define LOAD(label) "lea " label "(%%rip), %%rax\n\t"
#else
#define REGISTER "eax"
#define LOAD(label) "mov $" label ", %%eax\n\t"
#endif
#define TEN(x) x x x x x x x x x x

uint64_t kernel(uint32_t n) {
    uint32_t rounds = n + 1;
    __asm__ volatile(
#if KIND == 0
        "1:\n\tdecl %0\n\tjnz 1b\n\t"
#elif KIND == 1
        "jmp 3f\n2:\n\tret\n3:\n1:\n\t" TEN("call 2b\n\t") "decl %0\n\tjnz 1b\n\t"
#elif KIND == 2
        LOAD("2f") "jmp 3f\n2:\n\tret\n3:\n1:\n\t" TEN("call *%%" REGISTER "\n\t") "decl %0\n\tjnz 1b\n\t"
#else
        /* Jumps to the instruction behind: the address goes on by the jump's own length and that of the add. */
        "1:\n\t" LOAD("4f") TEN("jmp *%%" REGISTER "\n4:\n\tadd $5, %%eax\n\t") "decl %0\n\tjnz 1b\n\t"
#endif
        : "+c"(rounds)
        :
        : REGISTER, "memory", "cc");
    return n;
}
