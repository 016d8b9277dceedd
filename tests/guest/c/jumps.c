/* setjmp/longjmp, and coroutines by makecontext/swapcontext. */
#include "check.h"
#include <ucontext.h>

static jmp_buf env;
static void deep(int n) {
    volatile int local = n;
    if (n == 0) longjmp(env, 77);
    deep(local - 1);
}

static ucontext_t back, co[2];
static int turns;
static void coroutine(int id, int rounds) {
    double x = id + 0.5;
    for (int i = 0; i < rounds; i++) {
        printf("coroutine %d round %d x %.2f\n", id, i, x);
        x *= 1.5;
        turns++;
        swapcontext(&co[id], &co[1 - id]);
    }
}

int main(void) {
    volatile int tries = 0;
    int r = setjmp(env);
    if (r == 0) deep(50);
    tries = tries + 1;
    printf("longjmp gave %d after %d\n", r, tries);
    for (volatile int i = 0; i < 3;) {
        int v = setjmp(env);
        if (v) printf("round %d value %d\n", i, v);
        i = i + 1;
        if (!v) longjmp(env, 0);
    }
    static char stack[2][65536] __attribute__((aligned(16)));
    for (int i = 0; i < 2; i++) {
        getcontext(&co[i]);
        co[i].uc_stack.ss_sp = stack[i];
        co[i].uc_stack.ss_size = sizeof stack[i];
        co[i].uc_link = &back;
        makecontext(&co[i], (void (*)(void))coroutine, 2, i, 4);
    }
    swapcontext(&back, &co[0]);
    printf("turns %d\n", turns);
    return 0;
}
