/* The program that both interpreters run: a stack machine's Collatz steps summed over many starts. */
enum { PUSH, LOAD, STORE, ADD, AND, MUL, HALF, JZ, JNZ, JMP, DUP, END, OPS };

/* Variables: 0 the value, 1 steps, 2 the start. */
static const int32_t code[] = {
    /* 0 */ LOAD, 2, STORE, 0,
    /* 4 */ LOAD, 0, PUSH, 1, AND, JZ, 24,
    /* 11 */ LOAD, 0, PUSH, 3, MUL, PUSH, 1, ADD, STORE, 0, JMP, 29, 0,
    /* 24 */ LOAD, 0, HALF, STORE, 0,
    /* 29 */ LOAD, 1, PUSH, 1, ADD, STORE, 1,
    /* 36 */ LOAD, 0, PUSH, -1, ADD, JNZ, 4,
    /* 43 */ LOAD, 2, PUSH, -1, ADD, DUP, STORE, 2, PUSH, -1, ADD, JNZ, 0,
    /* 56 */ END};
