/* INT3: SIGTRAP, SI_KERNEL, no address; the saved instruction pointer is behind it. */
#define SIGNAL 5
#define PREPARE
#define FAULT int3
#include "fault.inc"
