/* Divides by zero: SIGFPE, FPE_INTDIV, at the instruction. */
#define SIGNAL 8
#define PREPARE xor %ecx, %ecx; mov $7, %eax; xor %edx, %edx
#define FAULT div %ecx
#define ADDR_IS_FAULT
#include "fault.inc"
