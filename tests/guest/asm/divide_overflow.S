/* A quotient that does not fit: SIGFPE as for division by zero. */
#define SIGNAL 8
#define PREPARE mov $-1, %ecx; mov $0x80000000, %eax; cltd
#define FAULT idiv %ecx
#define ADDR_IS_FAULT
#include "fault.inc"
