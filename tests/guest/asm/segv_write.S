/* Writes to its own code: SEGV_ACCERR at the address written. */
#define SIGNAL 11
#define PREPARE
#ifdef __x86_64__
#define FAULT movb $0, fault(%rip)
#else
#define FAULT movb $0, fault
#endif
#define ADDR_IS_FAULT
#include "fault.inc"
