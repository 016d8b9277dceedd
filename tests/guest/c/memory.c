/* The address space: fixed and refused placements, protection changes, holes, moves, shared files, advice, errors. */
#include "check.h"

static sigjmp_buf out;
static void leave(int sig) { siglongjmp(out, sig); }
static const char *touch(volatile char *p, int write) {
    int sig = sigsetjmp(out, 1);
    if (sig) return sigabbrev_np(sig);
    if (write) *p = *p + 1;
    else (void)*p;
    return "fine";
}

enum { P = 4096 };
static int same(const char *p, char c, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (p[i] != c) return 0;
    return 1;
}

int main(void) {
    signal(SIGSEGV, leave);
    signal(SIGBUS, leave);
    char *a = mmap(NULL, 16 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(a != MAP_FAILED);
    printf("fresh memory is zero: %d, aligned %d\n", same(a, 0, 16 * P), (int)((uintptr_t)a % P));
    memset(a, 'a', 16 * P);
    SHOW(munmap(a + 4 * P, 2 * P));
    printf("hole: %s %s %s %s\n", touch(a + 4 * P - 1, 1), touch(a + 4 * P, 1), touch(a + 6 * P - 1, 1), touch(a + 6 * P, 1));
    CHECK(mmap(a + 4 * P, P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == a + 4 * P);
    printf("noreplace over a mapping: %d",
           mmap(a + 4 * P, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED);
    printf(" %s\n", errno_name(errno));
    printf("filled with zero: %d\n", same(a + 4 * P, 0, P));
    CHECK(mmap(a + P, 2 * P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == a + P);
    printf("replaced: %d, before %c, after %c, writing: %s\n", same(a + P, 0, 2 * P), a[P - 1], a[3 * P], touch(a + P, 1));
    SHOW(mprotect(a + 2 * P, P, PROT_NONE));
    printf("protections: %s %s %s\n", touch(a + 2 * P - 1, 0), touch(a + 2 * P, 0), touch(a + 3 * P, 1));
    SHOW(mprotect(a + 3 * P, 4 * P, PROT_READ));
    SHOW(mprotect(a + 1, P, PROT_READ));
    SHOW(munmap(a + 1, P));
    SHOW(munmap(a, 0));
    SHOW(munmap(a, 16 * P));
    SHOW(munmap(a, 16 * P));

    /* mremap: shrink, grow, move. */
    a = mmap(NULL, 8 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 8; i++) memset(a + i * P, '0' + i, P);
    CHECK(mremap(a, 8 * P, 4 * P, 0) == a);
    printf("shrunk: %s %s\n", touch(a + 4 * P - 1, 0), touch(a + 4 * P, 0));
    char *b = mremap(a, 4 * P, 64 * P, MREMAP_MAYMOVE);
    CHECK(b != MAP_FAILED);
    printf("grown: %c %c %d\n", b[0], b[4 * P - 1], b[64 * P - 1]);
    char *target = mmap(NULL, 64 * P, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(mremap(b, 64 * P, 64 * P, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target);
    printf("moved: %c, old place %s\n", target[P], touch(b, 0));
    printf("mremap of nothing: %d", mremap(b, P, 2 * P, 0) == MAP_FAILED);
    printf(" %s\n", errno_name(errno));
    SHOW(madvise(target, P, MADV_DONTNEED));
    printf("after MADV_DONTNEED: %d %c\n", target[0], target[P]);
    SHOW(madvise(target + 1, P, MADV_DONTNEED));
    unsigned char vec[4];
    SHOW(mincore(target, P, vec));
    SHOW(msync(target, P, MS_SYNC));
    munmap(target, 64 * P);

    /* Files: shared writes arrive, private ones do not, the end of the file is a border. */
    char name[] = "/tmp/demotic-guest-mem-XXXXXX";
    int fd = mkstemp(name);
    unlink(name);
    CHECK(ftruncate(fd, 3 * P + 100) == 0);
    char *s = mmap(NULL, 5 * P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *p = mmap(NULL, 5 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    s[10] = 'S';
    p[20] = 'P';
    char buf[32];
    CHECK(pread(fd, buf, 32, 0) == 32);
    printf("shared %c, private %d, private sees %c\n", buf[10], buf[20], p[10]);
    CHECK(pwrite(fd, "W", 1, 2 * P) == 1);
    printf("write() seen: %c %c\n", s[2 * P], p[2 * P]);
    printf("last page %s, behind %s\n", touch(s + 3 * P + 200, 1), touch(s + 4 * P, 0));
    CHECK(ftruncate(fd, P) == 0);
    printf("after truncation: %s %s\n", touch(s + P - 1, 0), touch(s + 2 * P, 0));
    char *offset = mmap(NULL, P, PROT_READ, MAP_SHARED, fd, P);
    CHECK(offset != MAP_FAILED);
    CHECK(ftruncate(fd, 2 * P) == 0 && pwrite(fd, "Q", 1, P) == 1);
    printf("offset mapping: %c\n", offset[0]);
    printf("unaligned offset: %d", mmap(NULL, P, PROT_READ, MAP_SHARED, fd, 10) == MAP_FAILED);
    printf(" %s\n", errno_name(errno));
    int ro = open("/proc/self/exe", O_RDONLY);
    printf("shared writable of a read-only file: %d", mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_SHARED, ro, 0) == MAP_FAILED);
    printf(" %s\n", errno_name(errno));
    printf("bad descriptor: %d", mmap(NULL, P, PROT_READ, MAP_PRIVATE, 999, 0) == MAP_FAILED);
    printf(" %s\n", errno_name(errno));
    printf("no length: %d", mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    printf(" %s\n", errno_name(errno));

    /* Shared with a child. */
    int *shared = mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid = fork();
    if (pid == 0) {
        shared[3] = 33;
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    printf("from the child: %d\n", shared[3]);
    int mfd = memfd_create("x", MFD_CLOEXEC);
    CHECK(ftruncate(mfd, P) == 0);
    char *m1 = mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_SHARED, mfd, 0), *m2 = mmap(NULL, P, PROT_READ, MAP_SHARED, mfd, 0);
    m1[7] = '7';
    printf("two views: %c\n", m2[7]);

    /* The break. */
    char *brk0 = sbrk(0);
    CHECK(sbrk(10 * P) == brk0);
    memset(brk0, 'b', 10 * P);
    printf("break grew: %d\n", (char *)sbrk(0) == brk0 + 10 * P);
    CHECK(sbrk(-10 * P) != (void *)-1);
    CHECK(sbrk(10 * P) != (void *)-1);
    printf("fresh again: %d\n", same(brk0 + P, 0, 8 * P));

    /* Kernel access to bad addresses gives EFAULT and no signal. */
    char *ronly = mmap(NULL, P, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_WRONLY);
    SHOW(read(zero, ronly, 10));
    SHOW(read(zero, (void *)16, 10));
    int pipefd[2];
    CHECK(pipe(pipefd) == 0);
    SHOW(write(pipefd[1], (void *)16, 10));
    SHOW(write(null, ronly, 10));
    SHOW(pipe((int *)16));
    SHOW(open((char *)16, O_RDONLY));
    SHOW(syscall(SYS_gettimeofday, 16, 0) == 0 ? 0 : -1);
    /* 1000 mappings and their removal. */
    int ok = 0;
    for (int i = 0; i < 1000; i++) {
        char *q = mmap(NULL, (1 + i % 7) * P, i % 3 ? PROT_READ | PROT_WRITE : PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (q != MAP_FAILED && touch(q, 0)[0] == 'f') ok++;
        if (i % 2) munmap(q, P);
    }
    printf("many mappings %d\n", ok);
    return 0;
}
