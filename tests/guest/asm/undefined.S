/* UD2: SIGILL, ILL_ILLOPN, at the instruction. */
#define SIGNAL 4
#define PREPARE
#define FAULT ud2
#define ADDR_IS_FAULT
#include "fault.inc"
