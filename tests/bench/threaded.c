/* The same interpreter with a computed goto behind every operation. */
#include "kernel.h"
#include "program.h"

static NOINLINE uint32_t run(int32_t start) {
    static const void *const labels[OPS] = {&&push, &&load, &&store, &&add, &&and, &&mul, &&half, &&jz, &&jnz, &&jmp, &&dup, &&end};
    uint32_t stack[16], *sp = stack, vars[4] = {0, 0, (uint32_t)start, 0};
    const int32_t *pc = code;
#define NEXT goto *labels[*pc++]
    NEXT;
push: *sp++ = (uint32_t)*pc++; NEXT;
load: *sp++ = vars[*pc++]; NEXT;
store: vars[*pc++] = *--sp; NEXT;
add: sp--; sp[-1] += *sp; NEXT;
and: sp--; sp[-1] &= *sp; NEXT;
mul: sp--; sp[-1] *= *sp; NEXT;
half: sp[-1] >>= 1; NEXT;
jz: pc = *--sp ? pc + 1 : code + *pc; NEXT;
jnz: pc = *--sp ? code + *pc : pc + 1; NEXT;
jmp: pc = code + *pc; NEXT;
dup: *sp = sp[-1]; sp++; NEXT;
end: return vars[1];
}

uint64_t kernel(uint32_t n) {
    uint64_t sum = 0;
    while (n--) sum += run(40);
    return sum;
}
