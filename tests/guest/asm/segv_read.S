/* Reads an unmapped address: SEGV_MAPERR with that address. */
#define SIGNAL 11
#define PREPARE
#define FAULT mov 0x123, %al
#include "fault.inc"
