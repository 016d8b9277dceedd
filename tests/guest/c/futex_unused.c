/* Arguments of futex(2) that a command does not look at may be anything: C libraries leave in the registers what was there. */
#include "check.h"
#include <linux/futex.h>

static int word, other;

static long futex(int *at, int op, long val, long timeout, long second, long third) {
    return syscall(SYS_futex, at, op, val, timeout, second, third);
}

int main(void) {
    static const long garbage[] = {0, -1, -2, 1, 0xfffff001, 0x12345};
    for (unsigned i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        long g = garbage[i];
        SHOW(futex(&word, FUTEX_WAKE, 1, g, g, g));
        SHOW(futex(&word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, g, g, g));
        SHOW(futex(&word, FUTEX_WAIT, 5, 0, g, g));
        SHOW(futex(&word, FUTEX_WAIT_BITSET, 5, 0, g, FUTEX_BITSET_MATCH_ANY));
        SHOW(futex(&word, FUTEX_WAKE_BITSET, 5, g, g, FUTEX_BITSET_MATCH_ANY));
        SHOW(futex(&word, FUTEX_REQUEUE, 1, 1, (long)&other, g));
        SHOW(futex(&word, FUTEX_TRYLOCK_PI, g, g, g, g));
        SHOW(futex(&word, FUTEX_UNLOCK_PI, g, g, g, g));
    }
    SHOW(futex(&word, FUTEX_WAIT, 0, -1, 0, 0));
    SHOW(futex(&word, FUTEX_CMP_REQUEUE, 1, 1, -1, 0));
    SHOW(futex(&word, FUTEX_WAKE_OP, 1, 1, -1, 0));
    SHOW(futex((int *)-4, FUTEX_WAKE, 1, 0, 0, 0));
    SHOW(futex((int *)3, FUTEX_WAKE, 1, 0, 0, 0));
    return 0;
}
