/* Asynchronous input and output by the kernel's own interface. i386 may answer ENOSYS, as kernels without it do. */
#include "check.h"
#include <linux/aio_abi.h>

int main(void) {
    aio_context_t context = 0;
    errno = 0;
    int r = syscall(SYS_io_setup, 8, &context);
    if (r == -1 && errno == ENOSYS) {
        printf("not there\n");
        return sizeof(long) == 4 ? 0 : 1;
    }
#ifdef __i386__
    printf("not there\n");
    return 0;
#else
    enter_scratch();
    int fd = open("file", O_RDWR | O_CREAT, 0600);
    struct iocb w = {.aio_lio_opcode = IOCB_CMD_PWRITE, .aio_fildes = fd, .aio_buf = (uintptr_t)"asynchronous", .aio_nbytes = 12, .aio_data = 7};
    struct iocb *list[1] = {&w};
    struct io_event event;
    struct timespec ts = {5, 0};
    SHOW(syscall(SYS_io_submit, context, 1, list));
    SHOW(syscall(SYS_io_getevents, context, 1, 1, &event, &ts));
    printf("data %llu result %lld\n", (unsigned long long)event.data, (long long)event.res);
    char buf[20] = "";
    struct iocb rd = {.aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = fd, .aio_buf = (uintptr_t)buf, .aio_nbytes = 20, .aio_data = 8};
    list[0] = &rd;
    SHOW(syscall(SYS_io_submit, context, 1, list));
    SHOW(syscall(SYS_io_getevents, context, 1, 1, &event, &ts));
    printf("data %llu result %lld %s\n", (unsigned long long)event.data, (long long)event.res, buf);
    ts.tv_sec = 0;
    SHOW(syscall(SYS_io_getevents, context, 0, 1, &event, &ts));
    list[0] = (void *)8;
    SHOW(syscall(SYS_io_submit, context, 1, list));
    SHOW(syscall(SYS_io_destroy, context));
    SHOW(syscall(SYS_io_destroy, context));
    unlink("file");
    leave_scratch();
    return 0;
#endif
}
