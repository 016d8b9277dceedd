/* Dies three calls deep, with values in memory and registers that a debugger finds again: of SIGSEGV, or of SIGABRT with an argument. */
#include <stdlib.h>

struct point { int x, y; };

static int level3(struct point *p, int n, int abrt) {
    volatile double d = n * 1.5;
    p->x += n;
    if (abrt) abort();
    *(volatile int *)16 = (int)d;
    return p->x;
}

static int level2(struct point *p, int n, int abrt) { return level3(p, n * 2, abrt) + 1; }

static int level1(int n, int abrt) {
    struct point p = {1000, 2000};
    return level2(&p, n, abrt) + p.y;
}

int main(int argc, char **argv) { return level1(21, argc > 1); }
