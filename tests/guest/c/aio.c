/* Asynchronous input and output by the kernel's own interface. Hosts without it, and i386 programs under Demotic, get ENOSYS
   as from a kernel that was built without; where it is there, it must work. */
#include "check.h"
#include <linux/aio_abi.h>

int main(void) {
    aio_context_t context = 0;
    errno = 0;
    if (syscall(SYS_io_setup, 8, &context) == 0) {
        enter_scratch();
        int fd = open("file", O_RDWR | O_CREAT, 0600);
        struct iocb w = {.aio_lio_opcode = IOCB_CMD_PWRITE, .aio_fildes = fd, .aio_buf = (uintptr_t)"asynchronous", .aio_nbytes = 12, .aio_data = 7};
        struct iocb *list[1] = {&w};
        struct io_event event;
        struct timespec ts = {5, 0};
        CHECK(syscall(SYS_io_submit, context, 1, list) == 1);
        CHECK(syscall(SYS_io_getevents, context, 1, 1, &event, &ts) == 1);
        CHECK(event.data == 7 && event.res == 12);
        char buf[20] = "";
        struct iocb rd = {.aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = fd, .aio_buf = (uintptr_t)buf, .aio_nbytes = 20, .aio_data = 8};
        list[0] = &rd;
        CHECK(syscall(SYS_io_submit, context, 1, list) == 1);
        CHECK(syscall(SYS_io_getevents, context, 1, 1, &event, &ts) == 1);
        CHECK(event.data == 8 && event.res == 12 && strcmp(buf, "asynchronous") == 0);
        ts.tv_sec = 0;
        CHECK(syscall(SYS_io_getevents, context, 0, 1, &event, &ts) == 0);
        list[0] = (void *)8;
        CHECK(syscall(SYS_io_submit, context, 1, list) == -1 && errno == EFAULT);
        CHECK(syscall(SYS_io_destroy, context) == 0);
        CHECK(syscall(SYS_io_destroy, context) == -1 && errno == EINVAL);
        unlink("file");
        leave_scratch();
    } else {
        CHECK(syscall(SYS_io_setup, 8, &context) == -1 && errno == ENOSYS);
    }
    printf("asynchronous I/O works or is not there\n");
    return 0;
}
