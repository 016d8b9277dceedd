/* Code and data segments of modify_ldt: 16-bit code, bases, limits, rights, and what is refused. */
#include "segments.h"
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

OWN sixteen(void) {
    CASE(16, arithmetic, , "add %bx, %ax\n mov %ax, (%bx,%si)\n mov 4(%bp,%di), %dx\n sub %ebx, %ecx\n lea -0x30(%bx), %di\n lea -0x30(%bx), %esi");
    CASE(16, address32, want.cx = 0x10; want.bp = 8, "mov %ax, 0x10(%ecx,%ebp,2)\n movl $0x12345678, 0x20(%ecx)");
    CASE(16, stack, , "push %ax\n pushl %ebx\n push $0x1234\n pushl $0x56789abc\n pop %cx\n pop %dx\n call 1f\n 2: jmp 3f\n 1: mov %sp, %si\n ret\n 3: pusha\n popal\n push %ds\n pop %es\n pushf\n popl %edi\n enter $16, $2\n leave\n leavel");
    CASE(16, stack_wraps, want.sp = 0x99990002, "push %ax\n push %bx\n pop %cx\n pop %dx\n pop %si");
    CASE(16, stack_odd, want.sp = 1, "push %ax");
    CASE(16, stack_odd_call, want.sp = 1, "call . + 0x20");
    CASE(16, stack_odd_pop, want.sp = 0xffff, "pop %ax");
    CASE(16, stack_of_32, want.ss = SEL(STACK32); want.sp = 0x8000, "push %ax\n pushl %ebx\n call 1f\n 1: enter $8, $0\n pop %dx");
    CASE(16, flat_stack_of_16, want.ss = SEL(FLAT16); want.sp = (unsigned)(uintptr_t)STACK + 0x8000, "mov %ss:0x10008000, %eax");
    CASE(16, loops, , "mov $5, %cx\n 1: inc %ax\n loop 1b\n jcxz 2f\n inc %bx\n 2: mov $3, %cx\n cmp %ax, %ax\n 3: loope 3b");
    CASE(16, strings, want.cx = 5; want.si = 0x20; want.di = 0xff8, "cld\n rep movsb\n mov $4, %cx\n std\n rep stosw\n cld\n lodsl\n mov $0x20, %si\n mov $0x7ff, %cx\n repe cmpsb\n scasw");
    CASE(16, strings_end, want.cx = 20; want.si = 0x20; want.di = 0xff8, "rep movsb");
    CASE(16, strings_end_of_words, want.cx = 20; want.di = 0xff7, "rep stosl");
    CASE(16, strings_wrap, want.cx = 4; want.si = 0xfffe; want.ds = SEL(STACK16), "rep lodsb");
    CASE(16, far_pointers, want.bx = 0x40, "movw $0x55aa, (%bx)\n movw $0x0f, 2(%bx)\n les (%bx), %si\n movl $0x12345678, (%bx)\n movw $0x2b, 4(%bx)\n ldsl (%bx), %edi");
    CASE(16, far_pointer_refused, want.bx = 0x40, "movw $0x55aa, (%bx)\n movw $0x3ff7, 2(%bx)\n les (%bx), %si");
    CASE(16, far_call_to_32, , "lcallw $0x37, $(1f - begin_far_call_to_32 + 0x100)\n mov $0x77, %bx\n int3\n .code32\n 1: mov %esp, %ecx\n push %eax\n pop %edx\n lretw");
    CASE(16, far_jump_to_flat, , "ljmpl $0x23, $(1f - begin_far_jump_to_flat + 0x10000100)\n int3\n .code32\n 1: mov %esp, %ecx\n mov %cs, %edx");
    CASE(16, interrupt_return, , "pushf\n push %cs\n push $(1f - begin_interrupt_return + 0x100)\n iretw\n int3\n 1: pushfl\n pushl $0x37\n pushl $(2f - begin_interrupt_return + 0x100)\n iretl\n .code32\n int3\n 2: mov %cs, %eax");
    CASE(16, system_call, want.ax = 20, "int $0x80\n cmp $0, %eax\n setg %al\n movzbl %al, %eax\n cmp $1, %eax");
    CASE(16, x87, , "fninit\n fld1\n fldpi\n fmulp\n fstpt 0x30(%bx)\n fnstenv (%bx)\n mov 6(%bx), %ax\n movw $0, 8(%bx)\n movl $0, 0xa(%bx) /* FCS, FDP and FDS vary */");
    CASE(16, sse, want.bx = 0x40, "movdqa (%bx), %xmm0\n paddb %xmm0, %xmm0\n movdqu %xmm0, 0x11(%bx)\n movdqa 1(%bx), %xmm1");
    CASE(16, table, want.ax = 0x2205; want.bx = 0xffe, "xlat\n mov $1, %al\n xlat\n mov $2, %al\n xlat");
    CASE(16, bits, want.ax = 0x80; want.bx = 0x40, "bts %ax, (%bx)\n mov $0x7000, %cx\n btc %cx, (%bx)\n bt %ecx, 0x100(%bx)\n mov $0x7fff, %cx\n bt %cx, 0x100(%bx)");
    CASE(16, bounds, want.bx = 0xffc; want.ax = 0x70005, "movl $0x60000, (%bx)\n bound %ax, (%bx)\n bound %eax, (%bx)");
    CASE(16, bounds_outside, want.bx = 0x40; want.ax = 7, "movl $0x60000, (%bx)\n bound %ax, (%bx)");
    CASE(16, step, shown_traps = 4; want.flags = 0x100, "nop\n inc %ax\n lodsb\n nop\n nop");
    CASE(16, alignment, want.flags = 0x40000, "mov 0x20(%bx), %ax\n mov 0x21(%bx), %ax");
    CASE(16, operand32_jumps, , "data32 jmp 1f\n nop\n 1: calll 2f\n 2: popl %eax\n pushl $(3f - begin_operand32_jumps + 0x100)\n retl\n 3: mov $(4f - begin_operand32_jumps + 0x100), %ebx\n jmpl *%ebx\n nop\n 4: nop");
    CASE(16, wraps_back, , "jmp . - 0x101");
    CASE(16, wraps_back_wide, want.cs = SEL(LONG16), "jmp . - 0x101");
    CASE(16, goes_beyond_64k, want.cs = SEL(LONG16), "mov $0x10000, %eax\n jmpl *%eax");
    CASE(16, masked_move, want.bx = 0x40; want.di = 0xffc, "movq (%bx), %mm0\n pcmpeqb %mm1, %mm1\n psllq $56, %mm1\n maskmovq %mm1, %mm0\n emms");
}

OWN limits(void) {
    CASE(32, last_byte, want.bx = (0xfff), "mov (%ebx), %al\n movb $5, (%ebx)\n mov -1(%ebx), %cx\n mov (%ebx), %cx");
    CASE(32, beyond, , "mov 0x1000, %al");
    CASE(32, below, want.bx = (0), "mov -1(%ebx), %al");
    CASE(32, across, , "movl $1, 0xffd");
    CASE(32, across_rmw, , "addl $1, 0xffd");
    CASE(32, across_locked, , "lock; addl $1, 0xffd");
    CASE(32, across_vector, , "movups 0xff1, %xmm0");
    CASE(32, across_stack, , "mov %ss:0xfffd, %eax");
    CASE(32, across_stack_base, want.bp = 0xfffd, "mov (%ebp), %eax");
    CASE(32, override, want.bp = 0xffd, "mov %ds:(%ebp), %eax");
    CASE(32, stack_end, want.sp = 0x10000, "push %eax\n pop %ecx\n pop %edx");
    CASE(32, stack_below, want.sp = 2, "push %eax");
    CASE(32, stack_below_all, want.sp = 8, "pusha");
    CASE(32, stack_below_enter, want.sp = 0x20, "enter $0x40, $0");
    CASE(32, stack_below_call, want.sp = 0x10004, "call 1f\n 1: pop %eax\n pop %ecx");
    CASE(32, read_only, want.ds = SEL(READONLY); want.es = SEL(READONLY), "mov 0x10, %eax\n mov %eax, 0x10");
    CASE(32, read_only_rmw, want.ds = SEL(READONLY); want.es = SEL(READONLY), "cmpl $0, 0x20\n orl $0, 0x10");
    CASE(32, read_only_exchange, want.ds = SEL(READONLY); want.es = SEL(READONLY), "mov $0, %eax\n mov $0, %edx\n lock; cmpxchg8b 0x10");
    CASE(32, code_read, , "mov %cs:0x100, %eax");
    CASE(32, code_write, , "mov %eax, %cs:0x200");
    CASE(32, code_write_flat, want.cs = USER_CS32; want.ip = 0x10000100, "mov %cs:0x10020000, %eax\n mov %eax, %cs:0x10020000");
    CASE(32, code_of_ldt_flat, want.cs = SEL(FLATCODE); want.ip = 0x10000100; want.ss = SEL(WIDE32); want.sp = 0x10018000; want.ds = SEL(WIDE32); want.es = USER_DS, "mov $1000, %ecx\n 1: add %ecx, %eax\n mov %eax, 0x10020010\n call 2f\n loop 1b\n mov 8, %al\n int3\n 2: ret");
    CASE(32, code_only_executed, want.cs = SEL(EXECUTE), "mov %cs, %ecx\n mov %cs:0x100, %eax");
    CASE(32, down, want.ds = SEL(DOWN32); want.es = SEL(DOWN32), "mov 0x800, %eax\n mov %eax, 0x2000\n mov 0x7ff, %al");
    CASE(32, down_across, want.ds = SEL(DOWN32); want.es = SEL(DOWN32), "mov 0x7fe, %eax");
    CASE(32, down_top, want.ds = SEL(DOWN16); want.es = SEL(DOWN16), "mov 0xfffc, %eax\n mov 0xfffd, %eax");
    CASE(32, nothing, want.ds = 0; want.es = USER_DS, "mov %es:0x10020000, %eax\n mov %ds, %ecx\n mov 0x10020000, %ecx");
    CASE(32, nothing_lea, want.ds = 0, "lea 0x10(%eax), %ecx\n nopl 0x10\n prefetcht0 0x10\n clflush 0x10");
    CASE(32, strings_last, want.cx = 5; want.si = 0x1000 - 3; want.di = 0x100, "rep movsb");
    CASE(32, strings_down, want.cx = 5; want.si = 0x100; want.di = 2, "std\n rep movsb");
    CASE(32, save, want.bx = 0xe00, "fxsave (%ebx)\n mov $0xe00, %edi\n mov $512, %ecx\n rep stosb\n fxsave 0x10(%ebx)");
    CASE(32, environment, want.bx = 0xfe4, "fninit\n fnstenv (%ebx)\n fnstenv 1(%ebx)");
    CASE(32, x87_across, want.bx = 0xff7; want.varies = 1, "fninit\n fld1\n fstpt (%ebx)");
    CASE(32, gather_free, want.bx = 0xffc, "cmpxchg %ecx, (%ebx)\n xadd %ecx, 1(%ebx)");
    CASE(32, pop_to_memory, want.sp = 0x8000, "push $0x1234\n pop 0xffc\n push $0x5678\n pop 0xffd");
    CASE(32, pop_by_stack, want.ds = SEL(STACK32), "push $0x1234\n push $0x5678\n pop (%esp)\n pop %eax\n mov 0x7ff8, %ecx");
}

OWN loads(void) {
    CASE(32, data_loads, , "mov $0x27, %eax\n mov %eax, %ds\n mov %ds:0x800, %ecx\n mov $0x1f, %eax\n mov %eax, %es\n mov %es:0x10, %edx\n mov $0x2b, %eax\n mov %eax, %ds\n mov 0x10020000, %ebx");
    CASE(32, load_absent, , "mov $0x47, %eax\n mov %eax, %ds");
    CASE(32, load_absent_stack, , "mov $0x47, %eax\n mov %eax, %ss");
    CASE(32, load_readonly_stack, , "mov $0x1f, %eax\n mov %eax, %ss");
    CASE(32, load_code_stack, , "mov $0x37, %eax\n mov %eax, %ss");
    CASE(32, load_code, , "mov $0x37, %eax\n mov %eax, %ds\n mov 0x100, %ecx\n mov %ecx, 0x200");
    CASE(32, load_execute, , "mov $0x3f, %eax\n mov %eax, %es");
    CASE(32, load_user_code, , "mov $0x23, %eax\n mov %eax, %ds\n mov 0x10000100, %ecx\n mov %ecx, 0x10020000");
    CASE(32, load_outside, , "mov $0x3ff7, %eax\n mov %eax, %es");
    CASE(32, load_kernel, , "mov $0x10, %eax\n mov %eax, %es");
    CASE(32, load_gdt_outside, , "mov $0xf3, %eax\n mov %eax, %es");
    CASE(32, load_null, , "mov $3, %eax\n mov %eax, %es\n mov %es, %ecx\n mov %es:0, %al");
    CASE(32, load_null_stack, , "xor %eax, %eax\n mov %eax, %ss");
    CASE(32, load_privileged_stack, , "mov $0x2a, %eax\n mov %eax, %ss");
    CASE(32, load_privileged, , "mov $0x28, %eax\n mov %eax, %es\n mov %es:0x10020000, %ecx");
    CASE(32, load_stack, , "mov $0x0f, %eax\n mov %eax, %ss\n push %ebx\n mov %esp, %ecx");
    CASE(32, pop_refused, , "push $0x47\n pop %ds");
    CASE(32, pop_refused_stack, , "push $0x47\n pop %ss");
    CASE(32, pop_loads, , "push $0x1f\n pop %ds\n push $0\n pop %es");
    CASE(32, lss, want.bx = 0x10, "movl $0x9000, (%ebx)\n movw $0x0f, 4(%ebx)\n lss (%ebx), %esp\n push %ax\n mov %esp, %ecx");
    CASE(32, lds_refused, want.bx = 0x10, "movl $0x9000, (%ebx)\n movw $0x47, 4(%ebx)\n lds (%ebx), %esi");
    CASE(32, load_cs, , ".byte 0x8e, 0xc8");
}

OWN transfers(void) {
    CASE(32, jump_beyond, , "jmp . + 0xff00");
    CASE(32, call_beyond, want.varies = 1, "call . + 0xff00");
    CASE(32, branch_beyond, , "cmp %eax, %eax\n jne . + 0xff00\n je . + 0xff00");
    CASE(32, indirect_beyond, , "mov $0x10000, %eax\n jmp *%eax");
    CASE(32, indirect_call_beyond, want.varies = 1, "mov $0x10000, %eax\n call *%eax");
    CASE(32, return_beyond, , "push $0x10000\n ret $8");
    CASE(32, falls_off, want.ip = 0xfffe, "nop");
    CASE(16, loop_beyond, want.cs = SEL(SHORT16); want.ip = 0x100, ".org . + 0x70\n int3\n .org . + 0x8e");
    CASE(16, loop_out, want.cs = SEL(SHORT16); want.ip = 0x1f8, "nop");
    CASE(16, narrow_jumps, want.cs = SEL(CODE32), ".code32\n data16 jmp 1f\n int3\n 1: mov %esp, %ecx\n callw 2f\n 2: mov %esp, %edx\n popw %ax\n xor %ebx, %ebx\n je 3f\n int3\n 3: pushw $(4f - begin_narrow_jumps + 0x100)\n retw\n int3\n 4: data16 je 5f\n nop\n nop\n 5: nop");
    CASE(32, far_jump, , "ljmpl $0x37, $(1f - begin_far_jump + 0x100)\n int3\n 1: inc %eax");
    CASE(32, far_jump_16, , "ljmpw $7, $(1f - begin_far_jump_16 + 0x100)\n int3\n .code16\n 1: inc %ax\n mov %ax, (%bx)");
    CASE(32, far_jump_beyond, , "ljmpl $0x57, $0x200");
    CASE(32, far_jump_absent, , "ljmpl $0x4f, $0x100");
    CASE(32, far_jump_data, , "ljmpl $0x17, $0x100");
    CASE(32, far_jump_null, , "ljmpl $3, $0x100");
    CASE(32, far_jump_outside, , "ljmpl $0x3ff7, $0x100");
    CASE(32, far_jump_kernel, , "ljmpl $0x10, $0x100");
    CASE(32, far_jump_privileged, , "ljmpl $0x34, $(1f - begin_far_jump_privileged + 0x100)\n int3\n 1: mov %cs, %eax");
    CASE(32, far_call, , "lcall $0x37, $(1f - begin_far_call + 0x100)\n mov %esp, %edx\n int3\n 1: mov (%esp), %eax\n pop %ecx\n pop %ebx\n push %ebx\n push %ecx\n lret");
    CASE(32, far_call_refused, , "lcall $0x4f, $0x100");
    CASE(32, far_call_no_room, want.sp = 4, "lcall $0x37, $0x100");
    CASE(32, far_call_memory, want.bx = 0x10, "movl $(1f - begin_far_call_memory + 0x100), (%ebx)\n movw $0x37, 4(%ebx)\n lcall *(%ebx)\n int3\n 1: pop %eax\n pop %ecx");
    CASE(32, far_return_refused, , "push $0x4f\n push $0x100\n lret $4");
    CASE(32, far_return_privileged, , "push $0x34\n push $0x100\n lret");
    CASE(32, far_return_null, , "push $0\n push $0x100\n lret");
    CASE(32, far_return, , "push $1\n push $0x37\n push $(1f - begin_far_return + 0x100)\n lret $4\n int3\n 1: mov %esp, %eax");
    CASE(32, far_return_no_room, want.sp = 0xfffc, "lret");
    CASE(32, interrupt_return32, , "push $0x4d7\n push $0x37\n push $(1f - begin_interrupt_return32 + 0x100)\n iret\n int3\n 1: pushf\n pop %eax");
    CASE(32, interrupt_return_refused, , "stc\n push $0\n push $0x4f\n push $0x100\n iret");
    CASE(32, interrupt_return_nested, , "pushf\n orl $0x4000, (%esp)\n popf\n push $0x202\n push $0x37\n push $0x100\n iret");
    CASE(32, to_64, want.cs = USER_CS32; want.ip = 0x10000100; want.ss = USER_DS; want.sp = 0x10018000; want.ds = USER_DS, "ljmp $0x33, $(1f - begin_to_64 + 0x10000100)\n .code64\n 1: mov $0x123456789abcdef, %rax\n shr $8, %rax\n push $0x37\n push $(2f - begin_to_64 + 0x100)\n lretq\n .code32\n 2: mov %esp, %ecx");
    CASE(32, to_64_and_16, want.cs = USER_CS32; want.ip = 0x10000100; want.ss = USER_DS; want.sp = 0x10018000; want.ds = USER_DS, "ljmp $0x33, $(1f - begin_to_64_and_16 + 0x10000100)\n .code64\n 1: mov %rsp, %rcx\n push $0x0f\n push $0x1238000\n pushf\n push $7\n push $(2f - begin_to_64_and_16 + 0x100)\n iretq\n .code16\n 2: push %ax\n mov %ss, %dx");
    CASE(32, to_64_null_stack, want.cs = USER_CS32; want.ip = 0x10000100; want.ss = USER_DS; want.sp = 0x10018000; want.ds = USER_DS, "ljmp $0x33, $(1f - begin_to_64_null_stack + 0x10000100)\n .code64\n 1: xor %eax, %eax\n push $0\n push %rsp\n pushf\n push $0x33\n push $(2f - begin_to_64_null_stack + 0x10000100)\n iretq\n 2: nop");
    CASE(32, to_64_load_null_stack, want.cs = USER_CS32; want.ip = 0x10000100; want.ss = USER_DS; want.sp = 0x10018000; want.ds = USER_DS, "ljmp $0x33, $(1f - begin_to_64_load_null_stack + 0x10000100)\n .code64\n 1: xor %eax, %eax\n mov %eax, %ss");
    CASE(32, to_64_loads, want.cs = USER_CS32; want.ip = 0x10000100; want.ss = USER_DS; want.sp = 0x10018000; want.ds = USER_DS, "ljmp $0x33, $(1f - begin_to_64_loads + 0x10000100)\n .code64\n 1: mov $0x17, %eax\n mov %eax, %ds\n mov 0x10020000, %ecx\n pushq $0x23\n pushq $(2f - begin_to_64_loads + 0x10000100)\n lretq\n .code32\n 2: mov 0x10, %edx\n mov 0x10020000, %ebx");
}

/* What sigreturn takes and what faults then. */
OWN returns(void) {
    CASE(32, cs_absent, want.cs = SEL(ABSENTCODE), "nop");
    CASE(32, cs_data, want.cs = SEL(DATA32), "nop");
    CASE(32, cs_null, want.cs = 0, "nop");
    CASE(32, cs_outside, want.cs = 0x3ff7, "nop");
    CASE(32, cs_kernel, want.cs = 0x10, "nop");
    CASE(32, cs_absent_flat, want.cs = SEL(ABSENTCODE); want.ss = USER_DS, "nop");
    CASE(32, cs_data_flat, want.cs = SEL(DATA32); want.ss = USER_DS, "nop");
    CASE(32, cs_null_flat, want.cs = 0; want.ss = USER_DS, "nop");
    CASE(32, cs_outside_flat, want.cs = 0x3ff7; want.ss = USER_DS, "nop");
    CASE(32, ss_kernel, want.ss = 0x18, "nop");
    CASE(32, ss_user_code, want.ss = USER_CS32, "nop");
    CASE(32, ss_absent, want.ss = SEL(ABSENT), "nop");
    CASE(32, ss_readonly, want.ss = SEL(READONLY), "nop");
    CASE(32, ss_null, want.ss = 0, "nop");
    CASE(32, ss_code, want.ss = SEL(CODE32), "nop");
    CASE(32, ip_outside, want.ip = 0x20000, "nop");
#ifdef __i386__
    CASE(32, ds_absent, want.ds = SEL(ABSENT); want.es = 0x3ff7, "nop");
#endif
    CASE(32, page_fault_in_data, want.ds = SEL(WIDE32), "mov 0x1234, %eax");
    CASE(32, page_fault_based, want.hidden = 0x20000; want.rights = PROT_NONE, "mov 0x123, %eax");
    CASE(16, page_fault_fetch, want.cs = SEL(LONG16); want.hidden = 0x10000; want.rights = PROT_READ | PROT_WRITE, "mov $0x10104, %eax\n jmpl *%eax");
    CASE(16, divides, , "xor %cx, %cx\n div %cx");
    CASE(16, undefined, , "ud2");
}

/* Tables that change under loaded registers. */
OWN changes(void) {
    CASE(32, grown, set(DATA32, (uintptr_t)DATA, 0x1fff, 0, 1, 0, 0, 0), "mov 0x1ffc, %eax\n mov 0x1ffd, %eax");
    set_all();
#ifdef __i386__
    /* modify_ldt from code in the segment itself. */
    CASE(32, changed_here, want.cs = USER_CS32; want.ip = 0x10000100; want.ax = 123; want.bx = 0x11; want.cx = 0x10038000; want.dx = 16;
         want.ss = USER_DS; want.sp = 0x10018000; want.es = USER_DS;
         *(struct user_desc *)(ARENA + 0x38000) = ((struct user_desc){.entry_number = DATA32, .base_addr = 0x10020000, .limit = 0x7f, .seg_32bit = 1, .useable = 1}),
         "int $0x80\n mov 0x7c, %ecx\n mov 0x7d, %edx");
    set_all();
#endif
}

#ifdef __i386__
#define SPARE "fs"
#else
#define SPARE "gs"
#endif
/* The register that the C library leaves alone, in code that is flat otherwise. */
#define FLAT want.cs = USER_CS32; want.ip = 0x10000100; want.ss = USER_DS; want.sp = 0x10018000; want.ds = USER_DS; want.es = USER_DS
OWN spare(void) {
    CASE(32, flat_code_write, FLAT, "mov %cs:0x10020000, %eax\n nopl %cs:0x10020000\n cmpl $0, %cs:0x10020000\n mov %eax, %cs:0x10020000");
    CASE(32, flat_code_rmw, FLAT, "addl $0, %cs:0x10020000");
    CASE(32, flat_code_exchange, FLAT, "xchg %eax, %cs:0x10020000");
    CASE(32, flat_code_strings, FLAT; want.si = 0x10020000; want.di = 0x10020100, "movsl %cs:(%esi), %es:(%edi)");
    CASE(32, flat_narrow_jump, FLAT, "data16 jmp 1f\n nop\n 1: nop");
    CASE(32, flat_narrow_branch, FLAT, "cmp %eax, %eax\n data16 jne 1f\n data16 je 1f\n nop\n 1: nop");
    CASE(32, flat_narrow_call, FLAT, "callw 1f\n 1: nop");
    CASE(32, flat_narrow_call_register, FLAT, "mov $0x12345678, %ecx\n callw *%cx");
    CASE(32, flat_narrow_return, FLAT, "pushw $0x1234\n retw $2");
    CASE(32, flat_narrow_loop, FLAT, "mov $2, %ecx\n data16 loop 1f\n nop\n 1: nop");
    CASE(32, spare_limit, FLAT, "mov $0x17, %eax\n mov %eax, %" SPARE "\n mov $100, %ecx\n 1: mov %" SPARE ":0xffc, %edx\n loop 1b\n mov %" SPARE ":0xffd, %edx");
    CASE(32, spare_write, FLAT; want.bx = 0xffe, "mov $0x17, %eax\n mov %eax, %" SPARE "\n movw $5, %" SPARE ":(%ebx)\n movw $5, %" SPARE ":1(%ebx)");
    CASE(32, spare_below, FLAT; want.bx = 0, "mov $0x17, %eax\n mov %eax, %" SPARE "\n mov %" SPARE ":(%ebx), %ecx\n mov %" SPARE ":-4(%ebx), %ecx");
    CASE(32, spare_vector, FLAT, "mov $0x17, %eax\n mov %eax, %" SPARE "\n movups %" SPARE ":0xff0, %xmm0\n movups %" SPARE ":0xff1, %xmm0");
    CASE(32, spare_strings, FLAT; want.cx = 8; want.si = 0xffc; want.di = 0x10020000, "mov $0x17, %eax\n mov %eax, %" SPARE "\n rep movsb %" SPARE ":(%esi), (%edi)");
    CASE(32, spare_readonly, FLAT, "mov $0x1f, %eax\n mov %eax, %" SPARE "\n mov %" SPARE ":0x10, %ecx\n mov %ecx, %" SPARE ":0x10");
    CASE(32, spare_down, FLAT, "mov $0x27, %eax\n mov %eax, %" SPARE "\n mov %" SPARE ":0x800, %ecx\n mov %" SPARE ":0x7ff, %ecx");
    CASE(32, spare_null, FLAT, "xor %eax, %eax\n mov %eax, %" SPARE "\n lea %" SPARE ":0x10020000, %ecx\n mov %" SPARE ":0x10020000, %ecx");
    CASE(32, spare_stack_like, FLAT; want.bp = 0xffd, "mov $0x17, %eax\n mov %eax, %" SPARE "\n mov %" SPARE ":(%ebp), %ecx");
    CASE(32, spare_locked, FLAT, "mov $0x17, %eax\n mov %eax, %" SPARE "\n lock; incl %" SPARE ":0xffc\n lock; incl %" SPARE ":0xffd");
    CASE(32, spare_table, FLAT; want.bx = 0xff0, "mov $0x17, %eax\n mov %eax, %" SPARE "\n mov $0xf, %al\n xlat %" SPARE ":(%ebx)\n mov $0x10, %al\n xlat %" SPARE ":(%ebx)");
    CASE(32, spare_pushed, FLAT, "mov $0x17, %eax\n mov %eax, %" SPARE "\n push %" SPARE ":0xffc\n pop %ecx\n push %" SPARE ":0xffd");
    CASE(32, spare_jump, FLAT, "mov $0x17, %eax\n mov %eax, %" SPARE "\n jmp *%" SPARE ":0xffd");
    CASE(32, spare_save, FLAT, "mov $0x17, %eax\n mov %eax, %" SPARE "\n fxsave %" SPARE ":0xe00\n mov $0x10020e00, %edi\n mov $512, %ecx\n rep stosb\n fxsave %" SPARE ":0xe10");
    CASE(32, spare_environment, FLAT, "mov $0x17, %eax\n mov %eax, %" SPARE "\n fninit\n fnstenv %" SPARE ":0xfe4\n fnstenv %" SPARE ":0xfe5");
    CASE(32, spare_wide, FLAT, "mov $0x77, %eax\n mov %eax, %" SPARE "\n mov %" SPARE ":0x10020000, %ecx");
}

/* A selector of another thread: when its entry goes, the register becomes null. */
static int ready[2], go[2];

static void *holder(void *unused) {
    (void)unused;
    unsigned before = 0, after = 0;
    char byte = 1;
    CHECK(write(ready[1], &byte, 1) == 1);
    long got;
#ifdef __x86_64__
    __asm__ volatile("mov %4, %%es\n mov %%es, %1\n syscall\n mov %%es, %2\n mov %5, %%es"
        : "=a"(got), "=&r"(before), "=&r"(after) : "0"((long)SYS_read), "r"(SEL(DATA32)), "r"(0), "D"((long)go[0]), "S"(&byte), "d"(1L) : "rcx", "r11", "memory");
#else
    after = SEL(DATA32);
    __asm__ volatile("push %%es\n mov %2, %%es\n mov %%es, %1\n int $0x80\n mov %%es, %2\n pop %%es"
        : "=a"(got), "=&D"(before), "+S"(after) : "0"(SYS_read), "b"(go[0]), "c"(&byte), "d"(1) : "memory");
#endif
    printf("held %x, later %x\n", before & 0xffff, after & 0xffff);
    CHECK(got == 1);
    return 0;
}

OWN other_thread(void) {
    pthread_t t;
    char byte = 0;
    CHECK(pipe(ready) == 0 && pipe(go) == 0);
    fflush(stdout);
    CHECK(pthread_create(&t, 0, holder, 0) == 0);
    CHECK(read(ready[0], &byte, 1) == 1);
    usleep(50000);
    struct user_desc none = {.entry_number = DATA32, .read_exec_only = 1, .seg_not_present = 1};
    CHECK((int)syscall(SYS_modify_ldt, 0x11, &none, sizeof none) == 0);
    CHECK(write(go[1], &byte, 1) == 1);
    pthread_join(t, 0);
    set_all();
}

#ifdef __i386__
/* Where handlers run by the oldest rule: without SA_RESTORER and SA_ONSTACK the restorer is their stack when SS is not the kernel's. */
static volatile uintptr_t place;

static void stacked(int signo) {
    int here = signo;
    place = (uintptr_t)&here;
}

OWN oldest_stack(void) {
    static char other[65536];
    for (int i = 0; i < 6; i++) {
        int ss = i % 2 ? USER_DS : SEL(WIDE32);
        char *end = i < 2 ? alternate + sizeof alternate : i < 4 ? other + sizeof other : 0;
        struct { void *handler; unsigned long flags; void *restorer; unsigned long mask[2]; } action = {stacked, 0, end, {0, 0}};
        fflush(stdout);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            signal(SIGSEGV, SIG_DFL);
            CHECK(syscall(SYS_rt_sigaction, SIGUSR2, &action, 0, 8) == 0);
            place = 0;
            __asm__ volatile("mov %%ss, %%esi\n mov %2, %%ss\n int $0x80\n mov %%esi, %%ss" : : "a"(SYS_kill), "b"(getpid()), "d"(ss), "c"(SIGUSR2) : "esi", "memory");
            printf("ran %d, on the restorer's stack %d\n", place != 0, end && place >= (uintptr_t)end - 65536 && place < (uintptr_t)end);
            fflush(stdout);
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        printf("restorer %d, ss %x: status %x\n", i / 2, ss, status & 0xff7f);
    }
}
#endif

int main(void) {
    prepare();
    sixteen();
    limits();
    loads();
    transfers();
    returns();
    changes();
    spare();
    other_thread();
#ifdef __i386__
    oldest_stack();
#endif
    return 0;
}
