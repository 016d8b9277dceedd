/* A misaligned MOVAPS: general protection, so SIGSEGV with SI_KERNEL and no address. */
#define SIGNAL 11
#define PREPARE
#ifdef __x86_64__
#define FAULT movaps action + 1(%rip), %xmm0
#else
#define FAULT movaps action + 1, %xmm0
#endif
#include "fault.inc"
