/* Code written through one mapping of a memory object and run through another, as code generators with W^X do. */
#include "check.h"

typedef int (*Fn)(void);

/* mov eax, value; ret */
static void emit(unsigned char *p, int value) {
    p[0] = 0xB8;
    memcpy(p + 1, &value, 4);
    p[5] = 0xC3;
}

int main(void) {
    long sum;
    /* Two views of one memory object. */
    int fd = memfd_create("code", 0);
    CHECK(ftruncate(fd, 4096) == 0);
    unsigned char *w = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), *x = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    sum = 0;
    for (int i = 0; i < 100; i++) {
        emit(w, i * 5);
        sum += ((Fn)x)();
    }
    printf("two views: %ld\n", sum);
    close(fd);
    return 0;
}
