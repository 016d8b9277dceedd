/* Writes its arguments, one a line; the exit status is their number. */
#include "guest.inc"
.globl _start
_start:
#ifdef __x86_64__
    mov (%rsp), %r12
    lea 8(%rsp), %r13
1:  mov (%r13), %rbx
    test %rbx, %rbx
    jz 3f
    mov %rbx, %r14
2:  inc %r14
    cmpb $0, -1(%r14)
    jne 2b
    dec %r14
    sub %rbx, %r14
    sys 1, 4, $1, %rbx, %r14
    print "\n"
    add $8, %r13
    jmp 1b
3:  leave_with %r12
#else
    mov (%esp), %ebp
    lea 4(%esp), %edi
1:  mov (%edi), %eax
    test %eax, %eax
    jz 3f
    mov %eax, %edx
2:  inc %edx
    cmpb $0, -1(%edx)
    jne 2b
    dec %edx
    sub %eax, %edx
    mov %eax, %ecx
    mov $1, %ebx
    mov $4, %eax
    int $0x80
    print "\n"
    add $4, %edi
    jmp 1b
3:  leave_with %ebp
#endif
