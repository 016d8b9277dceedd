/* Dies of an unhandled SIGSEGV. */
#include "guest.inc"
.globl _start
_start:
    print "about to die\n"
    mov 0x123, %al
    leave_with $0
