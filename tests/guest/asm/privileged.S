/* HLT in user mode: SIGSEGV, SI_KERNEL, no address. */
#define SIGNAL 11
#define PREPARE
#define FAULT hlt
#include "fault.inc"
