/* SIGUSR1 sent to itself: the handler runs before the next instruction of the program, and the flags and registers
   come back. */
#include "guest.inc"
.globl _start
_start:
    handle 10, handler
#ifdef __x86_64__
    sys 39, 20
    mov %rax, %r9
    mov $0x1234567890, %rbx
    mov $-1, %r15
    sys 62, 37, %r9, $10
    mov $0x1234567890, %rcx
    cmp %rcx, %rbx
    jne bad
    cmp $-1, %r15
    jne bad
#else
    sys 39, 20
    mov %eax, %edi
    mov $0x12345678, %ebp
    sys 62, 37, %edi, $10
    cmp $0x12345678, %ebp
    jne bad
#endif
    print "back\n"
    leave_with $0
bad:
    print "registers were lost\n"
    leave_with $1

handler:
#ifdef __x86_64__
    xor %ebx, %ebx
    xor %r15d, %r15d
#else
    xor %ebp, %ebp
    xor %edi, %edi
#endif
    print "in the handler\n"
    ret
