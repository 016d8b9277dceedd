/* What the guest sees of itself under /proc: its own program, arguments, mappings, x86 machine. */
#include "check.h"
#include <elf.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/utsname.h>

static int slurp(const char *path, char *buf, int size) {
    int fd = open(path, O_RDONLY), n = 0, r;
    if (fd < 0) return -1;
    while (n < size - 1 && (r = read(fd, buf + n, size - 1 - n)) > 0) n += r;
    close(fd);
    buf[n] = 0;
    return n;
}

int main(int argc, char **argv) {
    static char buf[1 << 20];
    char path[4096];
    int n = readlink("/proc/self/exe", path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    char *base = strrchr(path, '/');
    char *mine = strrchr(argv[0], '/');
    printf("exe is this program: %d\n", base && strcmp(base + 1, mine ? mine + 1 : argv[0]) == 0);
    n = slurp("/proc/self/cmdline", buf, sizeof buf);
    printf("cmdline: arguments %d, first right %d, length right %d\n", argc, strcmp(buf, argv[0]) == 0, n == (int)strlen(argv[0]) + 1);
    n = slurp("/proc/self/comm", buf, sizeof buf);
    printf("comm right: %d\n", strncmp(buf, mine ? mine + 1 : argv[0], n - 1 < 15 ? n - 1 : 15) == 0);

    n = slurp("/proc/self/maps", buf, sizeof buf);
    int exe = 0, stack = 0, mine_found = 0, sorted = 1, code = 0;
    unsigned long long last = 0;
    for (char *line = strtok(buf, "\n"); line; line = strtok(NULL, "\n")) {
        unsigned long long from, to;
        char perm[5], *name = strchr(line, '/');
        if (sscanf(line, "%llx-%llx %4s", &from, &to, perm) != 3) continue;
        if (from < last) sorted = 0;
        last = to;
        if (name && strcmp(name, path) == 0) exe++;
        if (strstr(line, "[stack]") && (uintptr_t)&n >= from && (uintptr_t)&n < to) stack++;
        if ((uintptr_t)&exe >= from && (uintptr_t)&exe < to) mine_found++;
        if ((uintptr_t)main >= from && (uintptr_t)main < to) code = perm[2] == 'x';
    }
    printf("maps: sorted %d, program %d, stack %d, my variable %d, main executable %d\n", sorted, exe > 0, stack, mine_found, code);

    n = slurp("/proc/self/auxv", buf, sizeof buf);
    typedef ElfW(auxv_t) Aux;
    int found = 0;
    for (Aux *a = (Aux *)buf; (char *)(a + 1) <= buf + n && a->a_type; a++)
        if (a->a_type == AT_ENTRY && a->a_un.a_val == getauxval(AT_ENTRY)) found = 1;
    printf("auxv: entry right %d\n", found);
    printf("page size %ld, clock ticks %ld, platform %s, secure %ld, random there %d, uid right %d\n", (long)getauxval(AT_PAGESZ),
           (long)getauxval(AT_CLKTCK), (char *)getauxval(AT_PLATFORM), (long)getauxval(AT_SECURE), getauxval(AT_RANDOM) != 0,
           getauxval(AT_UID) == getuid());
    char *fn = (char *)getauxval(AT_EXECFN);
    printf("execfn right %d\n", fn && strcmp(strrchr(fn, '/') ? strrchr(fn, '/') + 1 : fn, base + 1) == 0);

    n = slurp("/proc/self/status", buf, sizeof buf);
    int pid = 0, threads = 0, ppid = 0;
    char *p;
    if ((p = strstr(buf, "\nPid:"))) pid = atoi(p + 5);
    if ((p = strstr(buf, "\nPPid:"))) ppid = atoi(p + 6);
    if ((p = strstr(buf, "\nThreads:"))) threads = atoi(p + 9);
    printf("status: pid right %d, parent right %d, threads there %d\n", pid == getpid(), ppid == getppid(), threads >= 1);
    n = slurp("/proc/self/stat", buf, sizeof buf);
    printf("stat: pid right %d, name %.30s\n", atoi(buf) == getpid(), strchr(buf, '(') && strstr(buf, "procself") ? "right" : "wrong");
    snprintf(path, sizeof path, "/proc/%d/exe", getpid());
    char other[4096];
    int m = readlink(path, other, sizeof other - 1);
    other[m > 0 ? m : 0] = 0;
    n = readlink("/proc/self/exe", path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    printf("/proc/PID/exe the same: %d\n", strcmp(path, other) == 0);
    int fd = open("/proc/self/exe", O_RDONLY);
    unsigned char ident[20];
    CHECK(read(fd, ident, 20) == 20);
    printf("exe is ELF for x86: %d\n", memcmp(ident, "\177ELF", 4) == 0 && (ident[18] == 3 || ident[18] == 62));
    struct stat a, b;
    CHECK(stat("/proc/self/exe", &a) == 0 && fstat(fd, &b) == 0);
    printf("the same file: %d\n", a.st_ino == b.st_ino);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    printf("fd link there: %d\n", (int)readlink(path, other, sizeof other) > 0);
    n = slurp("/proc/self/environ", buf, sizeof buf);
    printf("environ there: %d\n", n >= 0);
    n = slurp("/proc/cpuinfo", buf, sizeof buf);
    printf("cpuinfo is an x86 one: flags %d vendor_id %d\n", strstr(buf, "\nflags") != NULL, strstr(buf, "vendor_id") != NULL);
    struct utsname u;
    CHECK(uname(&u) == 0);
    /* What a 64-bit kernel tells 32-bit programs depends on the personality. */
    printf("machine is x86 %d\n", !strcmp(u.machine, "x86_64") || (sizeof(long) == 4 && !strcmp(u.machine, "i686")));
    return 0;
}
