/* Runs a kernel: PROGRAM N prints its checksum. */
#include "kernel.h"
#include <stdio.h>

int main(int argc, char **argv) {
    uint32_t n = argc > 1 ? (uint32_t)strtoul(argv[1], 0, 0) : 1;
    printf("%016llx\n", (unsigned long long)kernel(n));
    return 0;
}
