/* An interpreter around a switch. */
#include "kernel.h"
#include "program.h"

static NOINLINE uint32_t run(int32_t start) {
    uint32_t stack[16], *sp = stack, vars[4] = {0, 0, (uint32_t)start, 0};
    const int32_t *pc = code;
    for (;;) switch (*pc++) {
        case PUSH: *sp++ = (uint32_t)*pc++; break;
        case LOAD: *sp++ = vars[*pc++]; break;
        case STORE: vars[*pc++] = *--sp; break;
        case ADD: sp--; sp[-1] += *sp; break;
        case AND: sp--; sp[-1] &= *sp; break;
        case MUL: sp--; sp[-1] *= *sp; break;
        case HALF: sp[-1] >>= 1; break;
        case JZ: pc = *--sp ? pc + 1 : code + *pc; break;
        case JNZ: pc = *--sp ? code + *pc : pc + 1; break;
        case JMP: pc = code + *pc; break;
        case DUP: *sp = sp[-1]; sp++; break;
        case END: return vars[1];
        }
}

uint64_t kernel(uint32_t n) {
    uint64_t sum = 0;
    while (n--) sum += run(40);
    return sum;
}
