/* What every kernel of `cargo xtask bench` and `cargo xtask count` is: one function that does N rounds of its work and returns a
   checksum. Linked with main.c, which takes N from the command line. No input, no time, no random numbers but random32(). */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

uint64_t kernel(uint32_t n);

/* A linear congruential generator (Numerical Recipes' constants). */
static uint32_t random_state = 12345;
static inline uint32_t random32(void) { return random_state = random_state * 1664525u + 1013904223u; }

#define NOINLINE __attribute__((noinline, noclone))
