/* /proc/self/mem: the guest's own addresses as file offsets, reading and writing. */
#include "check.h"

int main(void) {
    int mem = open("/proc/self/mem", O_RDWR);
    volatile int value = 0x1234;
    int copy = 0, fresh = 0x5678;
    CHECK(mem >= 0);
    SHOW(pread64(mem, &copy, sizeof copy, (off64_t)(uintptr_t)&value));
    printf("read %x\n", copy);
    SHOW(pwrite64(mem, &fresh, sizeof fresh, (off64_t)(uintptr_t)&value));
    printf("written %x\n", value);
    SHOW(pread64(mem, &copy, sizeof copy, 16));
    return 0;
}
