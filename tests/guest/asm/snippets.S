/* Runs random instructions: reads up to 64 KiB from standard input into executable memory and starts at every 32nd byte in
   turn, with fixed registers. Any signal, a timer included, moves on to the next start. Ends with status 0. */
#include "guest.inc"
#define REGION 0x10000000
#define LENGTH 0x10000
#define STRIDE 32
#define SA_ONSTACK 0x08000000
#define SA_NODEFER 0x40000000
.macro on sig
    handle \sig, next, SA_ONSTACK | SA_NODEFER
.endm

.globl _start
_start:
#ifdef __x86_64__
    /* mmap(REGION, LENGTH, rwx, private | fixed | anonymous); the sixth argument is zero */
    mov $-1, %r8
    xor %r9d, %r9d
    sys 9, 192, $REGION, $LENGTH, $7, $0x32
    xor %ebx, %ebx
1:  lea REGION(%rbx), %r12
    mov $LENGTH, %r13d
    sub %rbx, %r13
    jz 2f
    sys 0, 3, $0, %r12, %r13
    test %rax, %rax
    jle 2f
    add %rax, %rbx
    jmp 1b
2:  mov %ebx, count(%rip)
    lea alternate(%rip), %rax
    mov %rax, stack_t(%rip)
    movq $0x4000, stack_t + 16(%rip)
    lea stack_t(%rip), %r9
    sys 131, 186, %r9, $0
#else
    mov %esp, %ebp
    push $0
    push $-1
    push $0x32
    push $7
    push $LENGTH
    push $REGION
    mov %esp, %ebx
    mov $90, %eax
    int $0x80
    xor %edi, %edi
1:  mov $0, %ebx
    lea REGION(%edi), %ecx
    mov $LENGTH, %edx
    sub %edi, %edx
    jz 2f
    mov $3, %eax
    int $0x80
    test %eax, %eax
    jle 2f
    add %eax, %edi
    jmp 1b
2:  mov %edi, count
    movl $alternate, stack_t
    movl $0x4000, stack_t + 8
    sys 131, 186, $stack_t, $0
#endif
    on 4
    on 5
    on 7
    on 8
    on 11
    on 14
    on 31
    /* A tick every 20 ms gets out of loops. */
#ifdef __x86_64__
    lea interval(%rip), %r9
    sys 38, 104, $0, %r9, $0
#else
    sys 38, 104, $0, $interval, $0
#endif

next:
    cld
    fninit
#ifdef __x86_64__
    lea top(%rip), %rsp
    movl $0x1F80, -4(%rsp)
    ldmxcsr -4(%rsp)
    mov position(%rip), %eax
    cmp count(%rip), %eax
    jae done
    addl $STRIDE, position(%rip)
    add $REGION, %eax
    push $0x246
    popf
    lea memory(%rip), %rbx
    lea memory(%rip), %rsi
    lea memory + 64(%rip), %rdi
    mov $0x8877665544332211, %rcx
    mov $5, %edx
    lea memory + 128(%rip), %rbp
    mov %rax, %r8
    mov $-1, %r9
    xor %r10d, %r10d
    mov $0x7F, %r11d
    lea memory + 256(%rip), %r12
    lea memory + 512(%rip), %r13
    mov $1, %r14d
    mov $0x80000000, %r15d
    jmp *%rax
#else
    mov $top, %esp
    mov position, %eax
    cmp count, %eax
    jae done
    addl $STRIDE, position
    add $REGION, %eax
    push $0x246
    popf
    mov $memory, %ebx
    mov $memory, %esi
    mov $memory + 64, %edi
    mov $0x44332211, %ecx
    mov $5, %edx
    mov $memory + 128, %ebp
    jmp *%eax
#endif
done:
    leave_with $0

.pushsection .rodata
.balign 8
#ifdef __x86_64__
interval: .quad 0, 20000, 0, 20000
#else
interval: .long 0, 20000, 0, 20000
#endif
.popsection
.bss
.balign 64
position: .skip 4
count: .skip 4
stack_t: .skip 24
.skip 4096
memory: .skip 4096
.skip 4096
top: .skip 4096
alternate: .skip 0x4000
