/* Mapping, protecting, moving and asking about memory. */
#include "sys.h"
#ifdef __i386__
#define MMAP SYS_mmap2
#else
#define MMAP SYS_mmap
#endif
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
static int can_read(void *p) { int q[2]; pipe(q); long r = write(q[1], p, 1); close(q[0]); close(q[1]); return r == 1; }
static int can_write(void *p) { int q[2]; pipe(q); write(q[1], "x", 1); long r = read(q[0], p, 1); close(q[0]);
    close(q[1]); return r == 1; }

CASE(mmap_zero_length) { S(MMAP, 0L, 0L, RW, ANON, -1, 0L); }
CASE(mmap_no_kind) { S(MMAP, 0L, 4096L, RW, MAP_ANONYMOUS, -1, 0L); S(MMAP, 0L, 4096L, RW, MAP_ANONYMOUS | 0xc, -1, 0L);
    }
CASE(mmap_unaligned_fixed) { S(MMAP, 0x10000001L, 4096L, RW, ANON | MAP_FIXED, -1, 0L);
    F(MMAP, 0x10000001L, 4096L, RW, ANON, -1, 0L); }
CASE(mmap_descriptor_errors) { close(file("abc")); int r = open("f", 0), w = open("f", 1);
    S(MMAP, 0L, 4096L, PROT_READ, MAP_PRIVATE, 77, 0L); S(MMAP, 0L, 4096L, RW, MAP_SHARED, r, 0L);
    F(MMAP, 0L, 4096L, RW, MAP_PRIVATE, r, 0L); S(MMAP, 0L, 4096L, PROT_READ, MAP_PRIVATE, w, 0L);
    S(MMAP, 0L, 4096L, PROT_READ, MAP_PRIVATE, open(".", 0), 0L); int p[2]; pipe(p);
    S(MMAP, 0L, 4096L, PROT_READ, MAP_PRIVATE, p[0], 0L); F(MMAP, 0L, 4096L, PROT_READ, ANON, 77, 0L); }
CASE(mmap_fixed_noreplace) { char *p = pages(2); S(MMAP, p, 4096L, RW, ANON | 0x100000, -1, 0L); munmap(p, PAGE);
    P("%d\n", (char *)R(MMAP, p, 4096L, RW, ANON | 0x100000, -1, 0L) == p); }
CASE(mmap_fixed_replaces) { char *p = pages(2); p[0] = 1;
    P("%d\n", (char *)R(MMAP, p, 4096L, RW, ANON | MAP_FIXED, -1, 0L) == p); V(p[0]); }
CASE(mmap_huge) { S(MMAP, 0L, -4096L, RW, ANON, -1, 0L);
    P("%d\n", sizeof(long) == 4 || R(MMAP, 0L, LONG_MAX, RW, ANON, -1, 0L) == -1); S(MMAP, 0L, -1L, RW, ANON, -1, 0L); }
CASE(mmap_fixed_outside) { S(MMAP, -4096L, 4096L, RW, ANON | MAP_FIXED, -1, 0L);
    S(MMAP, -8192L, 16384L, RW, ANON | MAP_FIXED, -1, 0L); }
CASE(mmap_beyond_file) { int fd = file("abc"); char *p = mmap(0, 3 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    P("%c %d\n", p[0], p[100]); V(can_read(p)); V(can_read(p + PAGE)); CHILD({ volatile char c = p[PAGE]; (void)c; }); }
CASE(mmap_shared_visible) { int fd = file("abc"); char *p = mmap(0, PAGE, RW, MAP_SHARED, fd, 0); p[1] = 'X';
    char b[4] = ""; pread(fd, b, 3, 0); P("%s\n", b); pwrite(fd, "Y", 1, 2); P("%c\n", p[2]); CHILD({ p[0] = 'Z'; });
    P("%c\n", p[0]); }
CASE(mmap_private_copy) { int fd = file("abc"); char *p = mmap(0, PAGE, RW, MAP_PRIVATE, fd, 0); p[1] = 'X';
    char b[4] = ""; pread(fd, b, 3, 0); P("%s\n", b); CHILD({ p[0] = 'Z'; }); P("%c\n", p[0]); }
CASE(mmap_validate) { int fd = file("abc"); S(MMAP, 0L, 4096L, PROT_READ, 3 | 0x80000, fd, 0L);
    F(MMAP, 0L, 4096L, PROT_READ, 3, fd, 0L); F(MMAP, 0L, 4096L, PROT_READ, MAP_PRIVATE | 0x400000, fd, 0L); }
CASE(mmap_offset_page) { int fd = file("abc"); ftruncate(fd, 3 * PAGE); pwrite(fd, "two", 3, 2 * PAGE);
    char *p = mmap(0, PAGE, PROT_READ, MAP_PRIVATE, fd, 2 * PAGE); P("%.3s\n", p); }
#ifdef __i386__
CASE(mmap2_far_offset_i386) { int fd = open64("f", O_RDWR | O_CREAT | 0100000, 0600);
    R(SYS_pwrite64, fd, "far", 3, WIDE(0x200000000LL)); char *p = (char *)R(SYS_mmap2, 0, 4096, 1, 2, fd, 0x200000);
    P("%.3s\n", p); }
CASE(old_mmap_i386) { u32 a[6] = {0, 4096, 3, 0x22, -1u, 0}; F(SYS_mmap, a); a[5] = 5; S(SYS_mmap, a); a[5] = 0;
    a[1] = 0; S(SYS_mmap, a); S(SYS_mmap, BAD); }
#endif
CASE(mprotect_cases) { char *p = pages(3); S(SYS_mprotect, p + 1, 4096L, 1); S(SYS_mprotect, p, 0L, 1);
    S(SYS_mprotect, p, 1L, 1); V(can_write(p)); V(can_read(p)); S(SYS_mprotect, p, 4096L, 0); V(can_read(p));
    S(SYS_mprotect, BAD - 16, 4096L, 1); S(SYS_mprotect, p, 4096L, 0x100); S(SYS_mprotect, p, 4096L, 0x01000000);
    S(SYS_mprotect, p, 4096L, 0x03000000); }
CASE(mprotect_gap) { char *p = pages(3); munmap(p + PAGE, PAGE); S(SYS_mprotect, p, 3L * PAGE, 1); V(can_write(p));
    V(can_write(p + 2 * PAGE)); }
CASE(mprotect_file_access) { close(file("abc")); int r = open("f", 0);
    char *p = mmap(0, PAGE, PROT_READ, MAP_SHARED, r, 0); S(SYS_mprotect, p, 4096L, 3);
    p = mmap(0, PAGE, PROT_READ, MAP_PRIVATE, r, 0); S(SYS_mprotect, p, 4096L, 3); }
CASE(munmap_cases) { char *p = pages(3); S(SYS_munmap, p + 1, 4096L); S(SYS_munmap, p, 0L); S(SYS_munmap, p + PAGE, 1L);
    V(can_read(p)); V(can_read(p + PAGE)); V(can_read(p + 2 * PAGE)); S(SYS_munmap, p + PAGE, 4096L);
    S(SYS_munmap, -4096L, 4096L); S(SYS_munmap, p, -1L); }
CASE(mremap_grow_shrink) { char *p = mmap(0, 4 * PAGE, RW, ANON, -1, 0); munmap(p + 2 * PAGE, 2 * PAGE); p[0] = 7;
    P("%d\n", (char *)R(SYS_mremap, p, 2L * PAGE, 1L * PAGE, 0) == p);
    P("%d\n", (char *)R(SYS_mremap, p, 1L * PAGE, 3L * PAGE, 0) == p); V(p[0]); V(can_write(p + 2 * PAGE)); }
CASE(mremap_blocked) { char *p = pages(1); p[0] = 9; S(SYS_mremap, p, 4096L, 8192L, 0);
    char *q = (char *)R(SYS_mremap, p, 4096L, 8192L, 1); P("%d %d %d\n", q != p, q[0], can_read(p)); }
CASE(mremap_fixed) { char *p = pages(1), *q = pages(1); p[0] = 5; q[0] = 6;
    P("%d\n", (char *)R(SYS_mremap, p, 4096L, 4096L, 3, q) == q); V(q[0]); V(can_read(p)); }
CASE(mremap_errors) { char *p = pages(2); S(SYS_mremap, p + 1, 4096L, 4096L, 0); S(SYS_mremap, p, 4096L, 0L, 0);
    S(SYS_mremap, p, 0L, 4096L, 1); S(SYS_mremap, p, 4096L, 4096L, 8); S(SYS_mremap, p, 4096L, 4096L, 2, p);
    S(SYS_mremap, p, 4096L, 4096L, 3, p + 1); S(SYS_mremap, p, 8192L, 8192L, 3, p + PAGE);
    S(SYS_mremap, BAD - 16, 4096L, 8192L, 1); S(SYS_mremap, p, 4096L, -4096L, 1);
    S(SYS_mremap, p, 4L * PAGE, 8L * PAGE, 1); }
CASE(mremap_dontunmap) { char *p = pages(1); p[0] = 5; char *q = (char *)R(SYS_mremap, p, 4096L, 4096L, 5, 0);
    P("%d %d %d\n", q != p, q[0], p[0]); S(SYS_mremap, p, 4096L, 8192L, 5, 0); S(SYS_mremap, p, 4096L, 4096L, 4, 0); }
CASE(mremap_shared_copy) { char *p = mmap(0, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0); p[0] = 5;
    char *q = (char *)R(SYS_mremap, p, 0L, 4096L, 1); P("%d\n", q != MAP_FAILED && q != p && q[0] == 5); q[0] = 6;
    V(p[0]); }
CASE(brk_moves) { char *a = (char *)R(SYS_brk, 0L), *b = (char *)R(SYS_brk, a + 3 * PAGE); P("%ld\n", (long)(b - a));
    b[-1] = 1; P("%ld\n", (long)((char *)R(SYS_brk, a + 100) - a)); P("%ld\n", (long)((char *)R(SYS_brk, 0L) - a));
    P("%ld\n", (long)((char *)R(SYS_brk, 4096L) - a)); P("%ld\n", (long)((char *)R(SYS_brk, -1L) - a));
    R(SYS_brk, a + 2 * PAGE); P("%d\n", a[PAGE * 2 - 1]); }
CASE(brk_limit) { struct rlimit l = {1 << 20, 1 << 20}; setrlimit(RLIMIT_DATA, &l); char *a = (char *)R(SYS_brk, 0L);
    P("%ld\n", (long)((char *)R(SYS_brk, a + (2 << 20)) - a));
    P("%d\n", mmap(0, 2 << 20, RW, ANON, -1, 0) == MAP_FAILED);
    P("%d\n", mmap(0, 2 << 20, PROT_READ, ANON, -1, 0) == MAP_FAILED); }
CASE(address_space_limit) { struct rlimit l = {16 << 20, 16 << 20}; setrlimit(RLIMIT_AS, &l);
    S(MMAP, 0L, 32L << 20, RW, ANON, -1, 0L); F(MMAP, 0L, 1L << 20, RW, ANON, -1, 0L); }
CASE(madvise_dontneed) { char *p = pages(1); p[5] = 9; S(SYS_madvise, p, 4096L, MADV_DONTNEED); V(p[5]);
    S(SYS_madvise, p + 1, 4096L, MADV_DONTNEED); S(SYS_madvise, p, 0L, MADV_DONTNEED); S(SYS_madvise, p, 4096L, 9999);
    S(SYS_madvise, BAD - 16, 4096L, MADV_DONTNEED); S(SYS_madvise, p, -1L, MADV_DONTNEED); }
CASE(madvise_dontneed_file) { int fd = file("abc"); char *p = mmap(0, PAGE, RW, MAP_PRIVATE, fd, 0); p[0] = 'X';
    S(SYS_madvise, p, 4096L, MADV_DONTNEED); P("%c\n", p[0]); }
CASE(madvise_kinds) { char *p = pages(2);
    static const int k[] = {0, 1, 2, 3, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23}; for (int i = 0;
    i < 19; i++) { P("%d ", k[i]); S(SYS_madvise, p, 4096L, k[i]); } }
CASE(madvise_dontfork) { char *p = pages(2); p[0] = 1; S(SYS_madvise, p, 4096L, MADV_DONTFORK); CHILD({ V(can_read(p));
    V(can_read(p + PAGE)); }); S(SYS_madvise, p, 4096L, MADV_DOFORK); CHILD({ V(p[0]); }); }
CASE(madvise_wipeonfork) { char *p = pages(1); p[0] = 1; S(SYS_madvise, p, 4096L, 18); CHILD({ V(p[0]); }); V(p[0]);
    S(SYS_madvise, p, 4096L, 19); CHILD({ V(p[0]); }); }
CASE(madvise_gap) { char *p = pages(3); p[2 * PAGE] = 1; munmap(p + PAGE, PAGE);
    S(SYS_madvise, p, 3L * PAGE, MADV_DONTNEED); V(p[2 * PAGE]); }
CASE(msync_cases) { int fd = file("abc"); char *p = mmap(0, PAGE, RW, MAP_SHARED, fd, 0);
    S(SYS_msync, p, 4096L, MS_SYNC); S(SYS_msync, p, 4096L, MS_ASYNC | MS_SYNC); S(SYS_msync, p, 4096L, 99);
    S(SYS_msync, p + 1, 4096L, MS_SYNC); S(SYS_msync, p, 0L, MS_SYNC); S(SYS_msync, BAD - 16, 4096L, MS_SYNC);
    munmap(p, PAGE); S(SYS_msync, p, 4096L, MS_ASYNC); }
CASE(mincore_cases) { char *p = pages(2); u8 v[4] = {9, 9, 9, 9}; p[0] = 1; S(SYS_mincore, p, 2L * PAGE, v);
    P("%d %d %d\n", v[0] & 1, v[1] & 1, v[2]); S(SYS_mincore, p + 1, 4096L, v); S(SYS_mincore, p, 4096L, BAD);
    S(SYS_mincore, BAD - 16, 4096L, v); S(SYS_mincore, p, 0L, v); S(SYS_mincore, p, -1L, v); }
CASE(mlock_cases) { char *p = pages(1); S(SYS_mlock, p, 4096L); S(SYS_mlock, p + 5, 1L); S(SYS_munlock, p, 4096L);
    S(SYS_mlock, BAD - 16, 4096L); S(SYS_mlock, p, -1L); S(SYS_mlock2, p, 4096L, 1); S(SYS_mlock2, p, 4096L, 2);
    S(SYS_munlock, BAD - 16, 4096L); S(SYS_mlockall, 0); S(SYS_mlockall, 8); S(SYS_mlockall, 4); S(SYS_munlockall); }
CASE(mlock_limit) { UNPRIVILEGED({ struct rlimit l = {4096, 4096}; setrlimit(RLIMIT_MEMLOCK, &l); drop();
    char *p = pages(2); S(SYS_mlock, p, 4096L); S(SYS_mlock, p, 8192L); l.rlim_cur = 0; setrlimit(RLIMIT_MEMLOCK, &l);
    S(SYS_munlock, p, 4096L); S(SYS_mlock, p, 1L); }); }
CASE(memory_fault_signals) { CHILD({ *(volatile int *)BAD = 1; }); CHILD({ *(volatile char *)readonly() = 1; }); CHILD({
    ((void (*)(void))pages(1))(); }); }
CASE(exec_permission) { u8 *p = (u8 *)pages(1); p[0] = 0xb8; p[1] = 7; p[2] = p[3] = p[4] = 0; p[5] = 0xc3;
    S(SYS_mprotect, p, 4096L, 5); V(((int (*)(void))p)()); CHILD({ mprotect(p, PAGE, 3); ((int (*)(void))p)(); }); }
CASE(growsdown) { char *p = mmap(0, 16 * PAGE, PROT_NONE, ANON, -1, 0); munmap(p, 16 * PAGE);
    p = mmap(p + 15 * PAGE, PAGE, RW, ANON | MAP_GROWSDOWN | MAP_FIXED, -1, 0); P("%d\n", p != MAP_FAILED); p[0] = 1;
    S(SYS_mprotect, p, 4096L, RW | 0x01000000); }
CASE(process_vm) { char a[8] = "abcdefg", b[8] = ""; struct iovec l = {b, 4}, r = {a, 4};
    S(SYS_process_vm_readv, getpid(), &l, 1L, &r, 1L, 0L); P("%s\n", b);
    S(SYS_process_vm_writev, getpid(), &l, 1L, &r, 1L, 0L); S(SYS_process_vm_readv, getpid(), &l, 1L, &r, 1L, 1L);
    S(SYS_process_vm_readv, 99999999, &l, 1L, &r, 1L, 0L); r.iov_base = BAD;
    S(SYS_process_vm_readv, getpid(), &l, 1L, &r, 1L, 0L); S(SYS_process_vm_readv, getpid(), BAD, 1L, &r, 1L, 0L);
    S(SYS_process_vm_readv, getpid(), &l, 2000L, &r, 1L, 0L); S(SYS_process_vm_readv, getpid(), &l, 0L, &r, 1L, 0L); }
CASE(process_vm_partial) { char *p = pages(1); char b[64]; memset(p + PAGE - 8, 'z', 8);
    struct iovec l = {b, 16}, r = {p + PAGE - 8, 16}; S(SYS_process_vm_readv, getpid(), &l, 1L, &r, 1L, 0L);
    struct iovec rr[2] = {{p, 4}, {BAD, 4}}; S(SYS_process_vm_readv, getpid(), &l, 1L, rr, 2L, 0L); }
CASE(process_vm_child) { char *p = pages(1); strcpy(p, "parent"); int q[2]; pipe(q); int pid = fork(); if (!pid) {
    strcpy(p, "child!"); write(q[1], "x", 1); pause(); _exit(0); } char c, b[8] = ""; read(q[0], &c, 1);
    struct iovec l = {b, 6}, r = {p, 6}; S(SYS_process_vm_readv, pid, &l, 1L, &r, 1L, 0L); P("%s %s\n", b, p);
    kill(pid, 9); waitpid(pid, 0, 0); }
CASE(process_madvise_self) { int p = R(434, getpid(), 0); char *m = pages(1); struct iovec v = {m, PAGE};
    S(440, p, &v, 1L, 20, 0); S(440, p, &v, 1L, 4, 0); S(440, p, &v, 1L, 20, 1); S(440, 77, &v, 1L, 20, 0); }
CASE(memfd_secret_absent_or_there) { long r = R(447, 0); P("%d\n", r >= 0 || errno == ENOSYS); S(447, 0x100); }
CASE(mseal_cases) { char *p = pages(2); S(462, p, 4096L, 0L); S(SYS_munmap, p, 4096L); S(SYS_mprotect, p, 4096L, 1);
    S(SYS_mremap, p, 4096L, 8192L, 1); S(MMAP, p, 4096L, RW, ANON | MAP_FIXED, -1, 0L); S(462, p, 4096L, 1L);
    S(462, p + 1, 4096L, 0L); S(462, BAD - 16, 4096L, 0L); S(SYS_mprotect, p, 8192L, 1);
    S(SYS_mprotect, p + PAGE, 4096L, 1); }
CASE(remap_file_pages_old) { int fd = file(""); ftruncate(fd, 2 * PAGE); pwrite(fd, "A", 1, 0);
    pwrite(fd, "B", 1, PAGE); char *p = mmap(0, 2 * PAGE, RW, MAP_SHARED, fd, 0);
    S(SYS_remap_file_pages, p, 4096L, 0, 1L, 0); P("%c%c\n", p[0], p[PAGE]);
    S(SYS_remap_file_pages, p, 4096L, 1, 1L, 0); S(SYS_remap_file_pages, pages(1), 4096L, 0, 0L, 0); }
CASE(pkeys) { S(SYS_pkey_free, 5); char *p = pages(1); S(SYS_pkey_mprotect, p, 4096L, 1, -1); V(can_write(p));
    S(SYS_pkey_mprotect, p, 4096L, 1, 14); S(SYS_pkey_alloc, 1, 0); }
CASE(numa_policy) { int m = 9; S(SYS_get_mempolicy, &m, 0, 0L, 0L, 0L); V(m); S(SYS_get_mempolicy, &m, 0, 0L, 0L, 8L);
    S(SYS_set_mempolicy, 0, 0, 0L); S(SYS_set_mempolicy, 99, 0, 0L); char *p = pages(1);
    S(SYS_mbind, p, 4096L, 0, 0, 0L, 0); S(SYS_mbind, p, 4096L, 99, 0, 0L, 0); S(SYS_mbind, p + 1, 4096L, 0, 0, 0L, 0);
    }
CASE(map_shadow_stack_absent) { long r = R(453, 0L, 4096L, 0L); P("%d\n", r == -1); }
