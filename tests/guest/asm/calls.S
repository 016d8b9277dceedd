/* Makes random system calls: reads records of seven words from standard input (number and six arguments, little-endian, of
   the ABI's size) and makes each call. A timer interrupts what would wait. Ends with status 0. An argument
   with all but its low 12 bits equal to 0xB0FFE000 points into a page of memory, at that offset. */
#include "guest.inc"
#define MARK 0xB0FFE000
.globl _start
_start:
    handle 14, tick
    /* The records keep coming when a random call closes standard input. */
    sys 33, 63, $0, $100
#ifdef __x86_64__
    lea interval(%rip), %r9
    sys 38, 104, $0, %r9, $0
again:
    xor %ebx, %ebx
1:  lea record(%rip), %r12
    add %rbx, %r12
    mov $56, %r13d
    sub %rbx, %r13
    jz 2f
    sys 0, 3, $100, %r12, %r13
    cmp $-4, %rax
    je 1b
    test %rax, %rax
    jle done
    add %rax, %rbx
    jmp 1b
2:  mov $1, %ebx
3:  lea record(%rip), %r12
    mov (%r12, %rbx, 8), %rax
    mov %rax, %rcx
    and $0xFFFFF000, %ecx
    mov $MARK, %r14d
    cmp %r14, %rcx
    jne 4f
    mov %eax, %ecx
    and $0xFFF, %ecx
    lea page(%rip), %rax
    add %rcx, %rax
    mov %rax, (%r12, %rbx, 8)
4:  inc %ebx
    cmp $7, %ebx
    jne 3b
    mov 8(%r12), %rdi
    mov 16(%r12), %rsi
    mov 24(%r12), %rdx
    mov 32(%r12), %r10
    mov 40(%r12), %r8
    mov 48(%r12), %r9
    mov (%r12), %rax
    syscall
    jmp again
#else
    sys 38, 104, $0, $interval, $0
again:
    xor %edi, %edi
1:  mov $100, %ebx
    lea record(%edi), %ecx
    mov $28, %edx
    sub %edi, %edx
    jz 2f
    mov $3, %eax
    int $0x80
    cmp $-4, %eax
    je 1b
    test %eax, %eax
    jle done
    add %eax, %edi
    jmp 1b
2:  mov $1, %ebx
3:  mov record(, %ebx, 4), %eax
    mov %eax, %ecx
    and $0xFFFFF000, %ecx
    cmp $MARK, %ecx
    jne 4f
    and $0xFFF, %eax
    add $page, %eax
    mov %eax, record(, %ebx, 4)
4:  inc %ebx
    cmp $7, %ebx
    jne 3b
    mov record + 4, %ebx
    mov record + 8, %ecx
    mov record + 12, %edx
    mov record + 16, %esi
    mov record + 20, %edi
    mov record + 24, %ebp
    mov record, %eax
    int $0x80
    jmp again
#endif
done:
    leave_with $0
tick:
    ret

.pushsection .rodata
.balign 8
#ifdef __x86_64__
interval: .quad 0, 20000, 0, 20000
#else
interval: .long 0, 20000, 0, 20000
#endif
.popsection
.bss
.balign 4096
page: .skip 4096
.skip 64
record: .skip 64
