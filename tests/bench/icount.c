/* A plugin for qemu's user-mode emulators that counts the guest instructions executed (plugin API 1, qemu 7.2): the header is not
   packaged, so the functions used are declared here. Option out=FILE: appends one line to FILE at the end. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t plugin_id;
struct block;
struct instruction;
enum operation { ADD_U64 };

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct block *));
void qemu_plugin_register_vcpu_insn_exec_inline(struct instruction *, enum operation, void *, uint64_t);
size_t qemu_plugin_tb_n_insns(const struct block *);
struct instruction *qemu_plugin_tb_get_insn(const struct block *, size_t);
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);

int qemu_plugin_version = 1;
static uint64_t count;
static char out[4096];

static void translated(plugin_id id, struct block *block) {
    (void)id;
    for (size_t i = 0, n = qemu_plugin_tb_n_insns(block); i < n; i++)
        qemu_plugin_register_vcpu_insn_exec_inline(qemu_plugin_tb_get_insn(block, i), ADD_U64, &count, 1);
}

static void done(plugin_id id, void *unused) {
    (void)id, (void)unused;
    FILE *f = fopen(out, "a");
    if (f) {
        fprintf(f, "%llu\n", (unsigned long long)count);
        fclose(f);
    }
}

int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
    (void)info;
    for (int i = 0; i < argc; i++)
        if (!strncmp(argv[i], "out=", 4) && strlen(argv[i]) < sizeof out) strcpy(out, argv[i] + 4);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, done, 0);
    return 0;
}
