/* Making processes and threads, waiting for them, and executing programs. */
#include "sys.h"
#include <linux/sched.h>
#include <sys/prctl.h>

struct c3 { u64 flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
    };

CASE(wait_statuses) { CHILD(_exit(0)); CHILD(_exit(256 + 7)); CHILD(_exit(-1)); CHILD(abort()); CHILD(raise(9)); }
CASE(wait_errors) { S(SYS_wait4, -1, 0, 0, 0); S(SYS_wait4, 99999999, 0, 0, 0); S(SYS_wait4, -1, 0, 0x100, 0);
    S(SYS_wait4, (long)INT_MIN, 0, 0, 0); int pid = fork(); if (!pid) _exit(1); S(SYS_wait4, -1, BAD, 0, 0);
    S(SYS_wait4, -1, 0, 0, 0); }
CASE(wait_nohang) { int p[2]; pipe(p); int pid = fork(); if (!pid) { char c; close(p[1]); read(p[0], &c, 1); _exit(2); }
    int st = 77; S(SYS_wait4, -1, &st, 1, 0); V(st); close(p[1]); P("%d\n", R(SYS_wait4, pid, &st, 0, 0) == pid); X(st);
    }
CASE(wait_groups) { int pid = fork(); if (!pid) { setpgid(0, 0); _exit(3); } setpgid(pid, pid);
    S(SYS_wait4, 0, 0, 0, 0); P("%d\n", R(SYS_wait4, -pid, 0, 0, 0) == pid); S(SYS_wait4, -pid, 0, 0, 0); }
CASE(wait_rusage) { int pid = fork(); if (!pid) _exit(3); long u[36]; memset(u, 0xee, sizeof u);
    P("%d\n", R(SYS_wait4, pid, 0, 0, u) == pid);
    P("%d %d\n", u[0] == 0, u[18] == *(long *)"\xee\xee\xee\xee\xee\xee\xee\xee"); pid = fork(); if (!pid) _exit(3);
    S(SYS_wait4, pid * 0 - 1, 0, 0, BAD); }
CASE(waitid_cases) { siginfo_t i; memset(&i, 0, sizeof i); int pid = fork(); if (!pid) _exit(9);
    S(SYS_waitid, 1, pid * 1L, &i, 4 | 0x01000000, 0) ;
    P("%d %d %d %d\n", i.si_signo, i.si_code, i.si_status, i.si_pid == pid); S(SYS_waitid, 0, 0, &i, 4, 0);
    P("%d\n", i.si_status); S(SYS_waitid, 0, 0, &i, 4, 0); S(SYS_waitid, 9, 0, &i, 4, 0); S(SYS_waitid, 0, 0, &i, 0, 0);
    S(SYS_waitid, 1, 0, &i, 4, 0); S(SYS_waitid, 1, -5, &i, 4, 0); S(SYS_waitid, 3, 77, &i, 4, 0);
    S(SYS_waitid, 3, 1, &i, 4, 0); }
CASE(waitid_pidfd) { int pid = fork(); if (!pid) { raise(11); } int p = R(434, pid, 0); siginfo_t i;
    memset(&i, 0, sizeof i); S(SYS_waitid, 3, p, &i, 4, 0); P("%d %d\n", i.si_code, i.si_status);
    S(SYS_waitid, 3, p, &i, 4, 0); }
CASE(waitid_stopped) { siginfo_t i; memset(&i, 0, sizeof i); int pid = fork(); if (!pid) { raise(SIGSTOP); pause();
    _exit(1); } S(SYS_waitid, 1, pid * 1L, &i, 2, 0); P("%d %d\n", i.si_code, i.si_status); kill(pid, SIGCONT);
    S(SYS_waitid, 1, pid * 1L, &i, 8, 0); P("%d %d\n", i.si_code, i.si_status); kill(pid, SIGKILL);
    S(SYS_waitid, 1, pid * 1L, BAD, 4, 0); i.si_code = 77; S(SYS_waitid, 0, 0, &i, 5, 0); }
CASE(waitid_nothing_yet) { int p[2]; pipe(p); int pid = fork(); if (!pid) { char c; close(p[1]); read(p[0], &c, 1);
    _exit(2); } siginfo_t i; memset(&i, 0xee, sizeof i); S(SYS_waitid, 0, 0, &i, 5, 0);
    P("%d %d\n", i.si_signo, i.si_pid); close(p[1]); wait(0); }
CASE(clone_flag_errors) { S(SYS_clone, 0x800, 0L, 0L, 0L, 0L); S(SYS_clone, 0x10000, 0L, 0L, 0L, 0L);
    S(SYS_clone, 0x20000 | 0x200, 0L, 0L, 0L, 0L); S(SYS_clone, 0x20000000 | 0x10000 | 0x900, 0L, 0L, 0L, 0L);
    S(SYS_clone, 0x1000 | 0x400000, 0L, BAD, 0L, 0L); S(SYS_clone, 0x10000000 | 0x200, 0L, 0L, 0L, 0L);
    S(SYS_clone, 0x08000000 | 0x40000, 0L, 0L, 0L, 0L); }
CASE(clone_exit_signal) { int pid = R(SYS_clone, 0, 0L, 0L, 0L, 0L); if (!pid) _exit(3);
    S(SYS_wait4, pid * 0 - 1, 0, 0, 0); int st = 0; P("%d\n", R(SYS_wait4, pid, &st, 0x80000000u, 0) == pid); X(st);
    signal(SIGUSR1, (void (*)(int))abs); pid = R(SYS_clone, SIGUSR1, 0L, 0L, 0L, 0L); if (!pid) _exit(3); long r;
    do r = R(SYS_wait4, -1, &st, 0x40000000, 0); while (r == -1 && errno == EINTR); P("%d\n", r == pid); }
CASE(clone_tids) { int a = 0, b = 0;
#ifdef __i386__
    int pid = R(SYS_clone, 0x1300000 | SIGCHLD, 0L, &a, 0L, &b);
#else
    int pid = R(SYS_clone, 0x1300000 | SIGCHLD, 0L, &a, &b, 0L);
#endif
    if (!pid) { V(b == getpid()); _exit(0); } wait(0); P("%d %d\n", a == pid, b); }
CASE(clone_pidfd) { int f = -1, st; int pid = R(SYS_clone, 0x1000 | SIGCHLD, 0L, &f, 0L, 0L); if (!pid) _exit(4);
    struct pollfd p = {f, POLLIN, 0}; P("%d\n", f >= 0); S(SYS_poll, &p, 1, 5000); V(p.revents);
    S(SYS_fcntl, f, F_GETFD); wait(&st); ended("child", st); }
CASE(clone_parent) { int st, me = getpid(); CHILD({ int pid = R(SYS_clone, 0x8000 | SIGCHLD, 0L, 0L, 0L, 0L);
    if (!pid) _exit(getppid() == me ? 6 : 7); S(SYS_wait4, -1, 0, 0, 0); _exit(0); }); wait(&st); ended("other", st); }
CASE(clone_files_shared) { int pid = R(SYS_clone, 0x400 | SIGCHLD, 0L, 0L, 0L, 0L); if (!pid) { dup2(1, 60); _exit(0); }
    wait(0); S(SYS_fcntl, 60, F_GETFD); }
CASE(clone_fs_shared) { mkdir("d", 0755); int pid = R(SYS_clone, 0x200 | SIGCHLD, 0L, 0L, 0L, 0L); if (!pid) {
    chdir("d"); umask(077); _exit(0); } wait(0); S(SYS_umask, 0); S(SYS_access, "../d", 0); }
CASE(clone3_errors) { struct c3 a = {0}; S(435, &a, 0L); S(435, &a, 63L); S(435, BAD, 88L); a.exit_signal = 65;
    S(435, &a, 64L); a.exit_signal = 0; a.flags = 0xff; S(435, &a, 64L); a.flags = 0; a.stack = 4096; S(435, &a, 64L);
    a.stack = 0; a.stack_size = 4096; S(435, &a, 64L); a.stack_size = 0; a.set_tid_size = 40; S(435, &a, 80L);
    a.set_tid_size = 0; u8 big[200] = {0}; big[150] = 1; S(435, big, 200L); S(435, &a, 5000L); a.flags = 1ull << 40;
    S(435, &a, 88L); a.flags = 0x400000; S(435, &a, 88L); a.flags = 0x200000000ull; a.cgroup = 77; S(435, &a, 88L);
    a.flags = 0x100000800ull; a.cgroup = 0; S(435, &a, 88L); }
CASE(clone3_child) { int f = -1, tid = 0, st;
    struct c3 a = {.flags = 0x1000 | 0x100000, .pidfd = (uintptr_t)&f, .parent_tid = (uintptr_t)&tid, .exit_signal =
        SIGCHLD}; int pid = R(435, &a, 88L); if (!pid) _exit(7); P("%d %d\n", tid == pid, f >= 0); wait(&st);
    ended("child", st); }
CASE(clone3_clear_handlers) { signal(SIGUSR1, (void (*)(int))_exit); signal(SIGUSR2, SIG_IGN);
    struct c3 a = {.flags = 0x100000000ull, .exit_signal = SIGCHLD}; int st, pid = R(435, &a, 88L); if (!pid) {
    struct sigaction s; sigaction(SIGUSR1, 0, &s); P("%d\n", s.sa_handler == SIG_DFL); sigaction(SIGUSR2, 0, &s);
    P("%d\n", s.sa_handler == SIG_IGN); _exit(0); } wait(&st); ended("child", st); }
CASE(clone3_set_tid) { int want = 99999999;
    struct c3 a = {.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&want, .set_tid_size = 1}; S(435, &a, 88L);
    want = getpid(); S(435, &a, 88L); a.set_tid = 0; S(435, &a, 88L); a.set_tid_size = 0; a.set_tid = 8;
    S(435, &a, 88L); }
CASE(fork_many) { int n = 0, st; for (int i = 0; i < 50; i++) if (!fork()) _exit(i); for (int i = 0; i < 50; i++) {
    wait(&st); n += WEXITSTATUS(st); } V(n); }
CASE(fork_limit) { UNPRIVILEGED({ if (setresuid(54322, 54322, 54322)) P("no\n"); struct rlimit l = {1, 1};
    setrlimit(RLIMIT_NPROC, &l); S(SYS_fork); }); }
CASE(vfork_shares) { volatile int v = 1; int pid = vfork(); if (!pid) { v = 5; _exit(2); } V(v); int st; wait(&st);
    ended("child", st); }
CASE(orphan_adopted) { prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); int me = getpid(), p[2]; pipe(p); CHILD({
    if (!fork()) { while (getppid() != me) usleep(1000); write(p[1], "x", 1); _exit(9); } }); char c; read(p[0], &c, 1);
    int st; P("%d\n", wait(&st) > 0); ended("orphan", st); }
CASE(parent_death_signal) { int p[2]; pipe(p); CHILD({ if (!fork()) { close(p[0]);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); write(p[1], "x", 1); pause(); } char c; read(p[0], &c, 1); });
    close(p[1]); char c; S(SYS_read, p[0], &c, 1); }
CASE(setpgid_cases) { S(SYS_setpgid, -1, 0); S(SYS_setpgid, 0, -1); S(SYS_setpgid, 99999999, 0);
    S(SYS_setpgid, 0, 99999999); S(SYS_getpgid, 99999999); P("%d\n", R(SYS_getpgid, 0) == getpgrp()); CHILD({
    P("%d\n", R(SYS_setsid) == getpid()); S(SYS_setsid); S(SYS_setpgid, 0, 0); P("%d\n", R(SYS_getsid, 0) == getpid());
    }); S(SYS_getsid, 99999999); }
CASE(exit_group_status) { CHILD(syscall(SYS_exit_group, 0x1234)); CHILD(syscall(SYS_exit, 0x99)); }
CASE(execve_errors) { char *no[] = {0}; S(SYS_execve, "none", no, no); S(SYS_execve, BAD, no, no);
    S(SYS_execve, ".", no, no); close(file("text")); S(SYS_execve, "f", no, no); chmod("f", 0755);
    S(SYS_execve, "f", no, no); S(SYS_execve, "", no, no); S(SYS_execve, "f/x", no, no);
    S(SYS_execve, "/bin/sh", BAD, no); char *one[] = {"sh", BAD, 0}; S(SYS_execve, "/bin/sh", one, no);
    close(open("e", O_CREAT, 0755)); S(SYS_execve, "e", no, no); }
CASE(execve_script) { int fd = open("s", O_CREAT | O_WRONLY, 0755);
    P("%ld\n", (long)write(fd, "#!/bin/sh -e\necho $0 $1 $#; exit 3\n", 36)); close(fd);
    CHILD(execl("./s", "zero", "one", "two words", (char *)0)); }
CASE(execve_script_errors) { static const char *t[] = {"#!", "#! \n", "#!/none/there\n", "#!.\n", "#!/bin/sh"};
    char *no[] = {"x", 0}; for (int i = 0; i < 4; i++) { int fd = open("s", O_CREAT | O_WRONLY | O_TRUNC, 0755);
    write(fd, t[i], strlen(t[i])); close(fd); CHILD({ S(SYS_execve, "./s", no, no); }); } }
CASE(execve_script_loop) { int fd = open("s", O_CREAT | O_WRONLY, 0755); write(fd, "#!./s\n", 6); close(fd);
    char *a[] = {"x", 0}; S(SYS_execve, "./s", a, a); }
CASE(execve_busy) { int fd = open("b", O_CREAT | O_RDWR, 0755); write(fd, "\177ELF", 4); char *a[] = {"x", 0};
    S(SYS_execve, "./b", a, a); close(fd); S(SYS_execve, "./b", a, a); }
CASE(execve_argument_limit) { static char big[200000]; memset(big, 'a', 199999);
    char *a[] = {"sh", "-c", "exit 0", big, 0}; S(SYS_execve, "/bin/sh", a, 0); big[131071] = 0; CHILD({
    S(SYS_execve, "/bin/sh", a, 0); }); }
CASE(execve_many_arguments) { static char *a[3000]; a[0] = "sh"; a[1] = "-c"; a[2] = "echo $#"; a[3] = "sh";
    for (int i = 4; i < 2999; i++) a[i] = "x"; CHILD({ S(SYS_execve, "/bin/sh", a, 0); }); }
CASE(execve_null_argv) { CHILD({ S(SYS_execve, "/bin/true", 0, 0); }); }
CASE(execve_closes) { int a = dup(1), b = fcntl(1, F_DUPFD_CLOEXEC, 0); char s[80];
    sprintf(s, "test -e /proc/self/fd/%d && echo a; test -e /proc/self/fd/%d && echo b", a, b);
    CHILD(execl("/bin/sh", "sh", "-c", s, (char *)0)); }
CASE(execveat_cases) { int sh = open("/bin/sh", O_PATH), d = open("/bin", O_PATH);
    char *a[] = {"sh", "-c", "echo $0", "zero", 0}, *no[] = {0}; CHILD({ S(SYS_execveat, d, "sh", a, no, 0); }); CHILD({
    S(SYS_execveat, sh, "", a, no, 0x1000); }); S(SYS_execveat, sh, "", a, no, 0);
    S(SYS_execveat, 77, "", a, no, 0x1000); S(SYS_execveat, d, "sh", a, no, 0x8000); symlink("/bin/sh", "l");
    S(SYS_execveat, AT_FDCWD, "l", a, no, 0x100); }
CASE(execve_environment) { char *a[] = {"sh", "-c", "echo $A-$B", 0}, *e[] = {"A=1", "B=two words", 0}; CHILD({
    S(SYS_execve, "/bin/sh", a, e); }); }
CASE(sched_affinity) { u8 m[128]; long n = R(SYS_sched_getaffinity, 0, 128, m);
    P("%d\n", n > 0 && n % sizeof(long) == 0); S(SYS_sched_getaffinity, 0, 3, m);
    S(SYS_sched_getaffinity, 99999999, 128, m); S(SYS_sched_getaffinity, 0, 128, BAD); memset(m, 0, 128);
    S(SYS_sched_setaffinity, 0, 128, m); m[0] = 1; S(SYS_sched_setaffinity, 0, 128, m);
    S(SYS_sched_setaffinity, 0, 128, BAD); memset(m, 0, 128); R(SYS_sched_getaffinity, 0, 128, m); V(m[0]);
    u32 c = 9, d; S(SYS_getcpu, &c, &d, 0); V(c); S(SYS_getcpu, BAD, 0, 0); }
CASE(sched_policies) { int p = 0; S(SYS_sched_getscheduler, 0); S(SYS_sched_getscheduler, 99999999);
    S(SYS_sched_getscheduler, -1); S(SYS_sched_setscheduler, 0, 3, &p); S(SYS_sched_getscheduler, 0); p = 5;
    S(SYS_sched_setscheduler, 0, 0, &p); S(SYS_sched_setscheduler, 0, 99, &p); S(SYS_sched_getparam, 0, &p); V(p);
    S(SYS_sched_getparam, 0, 0); S(SYS_sched_setparam, 0, BAD); S(SYS_sched_get_priority_max, 1);
    S(SYS_sched_get_priority_min, 1); S(SYS_sched_get_priority_max, 99); S(SYS_sched_yield); struct tsl t;
    S(SYS_sched_rr_get_interval, 99999999, &t); S(SYS_sched_rr_get_interval, 0, BAD); }
CASE(sched_attributes) { struct { u32 size, policy; u64 flags; int nice; u32 prio; u64 a, b, c; u32 lo, hi; } s;
    memset(&s, 0, sizeof s); S(SYS_sched_getattr, 0, &s, 56, 0); P("%d %d %d\n", s.size, s.policy, s.nice);
    S(SYS_sched_getattr, 0, &s, 40, 0); S(SYS_sched_getattr, 0, BAD, 56, 0); S(SYS_sched_getattr, 0, &s, 56, 1);
    s.size = 48; s.policy = 3; S(SYS_sched_setattr, 0, &s, 0); s.policy = 77; S(SYS_sched_setattr, 0, &s, 0);
    S(SYS_sched_setattr, 0, BAD, 0); s.size = 20; S(SYS_sched_setattr, 0, &s, 0); V(s.size); }
CASE(priorities) { S(SYS_getpriority, 0, 0); S(SYS_setpriority, 0, 0, 5); S(SYS_getpriority, 0, 0);
    S(SYS_setpriority, 0, 0, 100); S(SYS_getpriority, 0, 0); S(SYS_getpriority, 9, 0); S(SYS_getpriority, 0, 99999999);
    S(SYS_setpriority, 9, 0, 0); S(SYS_ioprio_get, 1, 0); S(SYS_ioprio_set, 1, 0, 0x4004); S(SYS_ioprio_get, 1, 0);
    S(SYS_ioprio_get, 9, 0); S(SYS_ioprio_set, 1, 0, 0x8000); }
#ifdef __i386__
CASE(nice_i386) { S(SYS_nice, 3); S(SYS_getpriority, 0, 0); S(SYS_nice, 100); S(SYS_getpriority, 0, 0); }
CASE(waitpid_i386) { int st, pid = fork(); if (!pid) _exit(5); P("%d\n", R(SYS_waitpid, pid, &st, 0) == pid); X(st);
    S(SYS_waitpid, -1, &st, 0); }
#endif
CASE(limits) { struct rlimit l; u64 q[2]; unsigned long o[2]; S(SYS_setrlimit, 7, ((unsigned long[]){100, 200}));
    S(SYS_prlimit64, 0, 7, 0, q); P("%llu %llu\n", q[0], q[1]);
#ifdef __i386__
    S(SYS_ugetrlimit, 7, o); P("%lu %lu\n", o[0], o[1]); S(SYS_getrlimit, 99, o); q[0] = q[1] = 5ull << 32; S(SYS_prlimit64, 0, 1, q, 0); S(SYS_ugetrlimit, 1, o); P("%lx\n", o[0]); S(SYS_getrlimit, 1, o); P("%lx\n", o[0]);
#else
    S(SYS_getrlimit, 7, o); P("%lu %lu\n", o[0], o[1]); S(SYS_getrlimit, 99, o);
#endif
    S(SYS_setrlimit, 7, ((unsigned long[]){300, 200})); S(SYS_setrlimit, 99, o); S(SYS_setrlimit, 7, BAD); S(SYS_prlimit64, 99999999, 7, 0, q); S(SYS_prlimit64, 0, 99, 0, q); S(SYS_prlimit64, 0, 7, BAD, 0); S(SYS_prlimit64, 0, 7, 0, BAD); CHILD({ getrlimit(7, &l); V(l.rlim_cur); }); UNPRIVILEGED({ drop(); u64 r[2] = {100, 300}; S(SYS_prlimit64, 0, 7, r, 0); }); }
CASE(rusage) { long u[18]; S(SYS_getrusage, 0, u); S(SYS_getrusage, -1, u); S(SYS_getrusage, 1, u);
    S(SYS_getrusage, 5, u); S(SYS_getrusage, 0, BAD); }
CASE(pidfd_open_cases) { S(434, 0, 0); S(434, -1, 0); S(434, 99999999, 0); S(434, getpid(), 1);
    int p = R(434, getpid(), 0x800); P("%#lx %ld\n", R(SYS_fcntl, p, F_GETFL), R(SYS_fcntl, p, F_GETFD));
    struct pollfd f = {p, POLLIN, 0}; S(SYS_poll, &f, 1, 0); char c; S(SYS_read, p, &c, 1); S(448, p, 1); S(448, 77, 0);
    }
CASE(unshare_cases) { S(SYS_unshare, 0); S(SYS_unshare, 0x400); S(SYS_unshare, 0x200); S(SYS_unshare, 1);
    S(SYS_unshare, 0x40000); CHILD({ own(0x04000000); S(SYS_sethostname, "inside", 6); char b[400];
    S(SYS_uname, b); P("%s\n", b + 65); }); CHILD({ S(SYS_unshare, 0x20000000); CHILD({ V(getpid()); V(getppid()); });
    }); UNPRIVILEGED({ drop(); S(SYS_unshare, 0x04000000); }); }
CASE(user_namespace) { UNPRIVILEGED({ drop(); S(SYS_unshare, 0x10000000); V(getuid());
    int fd = open("/proc/self/uid_map", O_WRONLY); S(SYS_write, fd, "0 65534 1", 9); V(getuid());
    S(SYS_unshare, 0x04000000); S(SYS_sethostname, "x", 1); }); }
CASE(clone_new_pid) { int st, pid = R(SYS_clone, 0x20000000 | SIGCHLD, 0L, 0L, 0L, 0L); if (!pid) { V(getpid());
    V(getppid()); int k = fork(); if (!k) { V(getpid()); _exit(0); } wait(0); _exit(0); } wait(&st); ended("child", st);
    }
CASE(setns_cases) { S(SYS_setns, 77, 0); S(SYS_setns, 1, 0); int n = open("/proc/self/ns/uts", 0);
    S(SYS_setns, n, 0x20000000); S(SYS_setns, n, 0x04000000); S(SYS_setns, n, 0); S(SYS_setns, R(434, getpid(), 0), 0);
    S(SYS_setns, R(434, getpid(), 0), 0x04000000); }
CASE(prctl_names) { char n[20] = ""; S(SYS_prctl, 15, "a-name-too-long-for-it", 0, 0, 0); S(SYS_prctl, 16, n, 0, 0, 0);
    P("%s\n", n); S(SYS_prctl, 15, BAD, 0, 0, 0); S(SYS_prctl, 16, BAD, 0, 0, 0); int fd = open("/proc/self/comm", 0);
    char c[20] = ""; read(fd, c, 19); P("%s", c); }
CASE(prctl_simple) { int v = 9; S(SYS_prctl, 1, 65L, 0L, 0L, 0L); S(SYS_prctl, 1, 10L, 0L, 0L, 0L);
    S(SYS_prctl, 2, &v, 0L, 0L, 0L); V(v); S(SYS_prctl, 2, BAD, 0L, 0L, 0L); S(SYS_prctl, 3, 0L, 0L, 0L, 0L);
    S(SYS_prctl, 4, 0L, 0L, 0L, 0L); S(SYS_prctl, 3, 0L, 0L, 0L, 0L); S(SYS_prctl, 4, 5L, 0L, 0L, 0L);
    S(SYS_prctl, 7, 0L, 0L, 0L, 0L); S(SYS_prctl, 8, 1L, 0L, 0L, 0L); S(SYS_prctl, 7, 0L, 0L, 0L, 0L);
    S(SYS_prctl, 9999, 0L, 0L, 0L, 0L); }
CASE(prctl_no_new_privs) { S(SYS_prctl, 39, 0L, 0L, 0L, 0L); S(SYS_prctl, 38, 0L, 0L, 0L, 0L);
    S(SYS_prctl, 38, 1L, 1L, 0L, 0L); S(SYS_prctl, 38, 1L, 0L, 0L, 0L); S(SYS_prctl, 39, 0L, 0L, 0L, 0L); CHILD({
    S(SYS_prctl, 39, 0L, 0L, 0L, 0L); }); }
CASE(prctl_capabilities) { S(SYS_prctl, 23, 0L, 0L, 0L, 0L); S(SYS_prctl, 23, 99L, 0L, 0L, 0L);
    S(SYS_prctl, 24, 5L, 0L, 0L, 0L); S(SYS_prctl, 23, 5L, 0L, 0L, 0L); S(SYS_prctl, 27, 0L, 0L, 0L, 0L);
    S(SYS_prctl, 28, 0x10L, 0L, 0L, 0L); S(SYS_prctl, 27, 0L, 0L, 0L, 0L); S(SYS_prctl, 47, 1L, 5L, 0L, 0L);
    S(SYS_prctl, 47, 4L, 0L, 0L, 0L); S(SYS_prctl, 47, 9L, 0L, 0L, 0L); UNPRIVILEGED({ drop();
    S(SYS_prctl, 24, 6L, 0L, 0L, 0L); }); }
CASE(prctl_timer_slack) { S(SYS_prctl, 29, 777L, 0L, 0L, 0L); S(SYS_prctl, 30, 0L, 0L, 0L, 0L);
    S(SYS_prctl, 29, 0L, 0L, 0L, 0L); S(SYS_prctl, 33, 0L, 0L, 0L, 0L); S(SYS_prctl, 33, 1L, 2L, 0L, 0L);
    S(SYS_prctl, 34, 0L, 0L, 0L, 0L); S(SYS_prctl, 34, 1L, 0L, 0L, 0L); }
CASE(prctl_subreaper) { int v = 9; S(SYS_prctl, 36, 1L, 0L, 0L, 0L); S(SYS_prctl, 37, &v, 0L, 0L, 0L); V(v); CHILD({
    int w = 9; S(SYS_prctl, 37, &w, 0L, 0L, 0L); V(w); }); S(SYS_prctl, 37, BAD, 0L, 0L, 0L); }
CASE(prctl_thp) { S(SYS_prctl, 42, 0L, 0L, 0L, 0L); S(SYS_prctl, 41, 1L, 0L, 0L, 0L); S(SYS_prctl, 42, 0L, 0L, 0L, 0L);
    S(SYS_prctl, 42, 1L, 0L, 0L, 0L); S(SYS_prctl, 57, 5L, 0L, 0L, 0L); S(SYS_prctl, 58, 0L, 0L, 0L, 0L); }
CASE(prctl_tsc_and_unalign) { int v = 0; S(SYS_prctl, 25, &v, 0L, 0L, 0L); V(v); S(SYS_prctl, 26, 9L, 0L, 0L, 0L);
    S(SYS_prctl, 5, &v, 0L, 0L, 0L); S(SYS_prctl, 9, 0L, 0L, 0L, 0L); S(SYS_prctl, 13, 0L, 0L, 0L, 0L);
    S(SYS_prctl, 14, 1L, 0L, 0L, 0L); S(SYS_prctl, 19, 0L, 0L, 0L, 0L); }
CASE(prctl_set_mm) { S(SYS_prctl, 35, 99L, 0L, 0L, 0L); UNPRIVILEGED({ drop(); S(SYS_prctl, 35, 6L, 4096L, 0L, 0L); });
    S(SYS_prctl, 0x53564d41, 0L, pages(1), 4096L, 0L) ; }
CASE(tid_address) { int t = 5; P("%d\n", R(SYS_set_tid_address, &t) == gettid()); CHILD({ void *a = 0;
    S(SYS_prctl, 40, &a, 0L, 0L, 0L); }); }
#ifdef __i386__
CASE(thread_area_i386) { struct { u32 entry, base, limit, flags; } d = {-1u, 0x1234, 0xfffff, 0x51};
    F(SYS_set_thread_area, &d); P("%d\n", d.entry >= 12 && d.entry <= 14); d.base = 0; S(SYS_get_thread_area, &d);
    X(d.base); X(d.flags); d.entry = 5; S(SYS_get_thread_area, &d); S(SYS_set_thread_area, &d);
    S(SYS_set_thread_area, BAD); d.entry = d.limit = 0; S(SYS_get_thread_area, &d); }
CASE(ldt_i386) { u8 b[64]; S(SYS_modify_ldt, 0, b, 64); struct { u32 entry, base, limit, flags; }
    d = {3, 0x1000, 0xff, 0x51}; S(SYS_modify_ldt, 1, &d, 16); S(SYS_modify_ldt, 0, b, 64); hex("entry", b + 24, 8);
    S(SYS_modify_ldt, 1, &d, 15); S(SYS_modify_ldt, 1, BAD, 16); d.entry = 9000; S(SYS_modify_ldt, 1, &d, 16);
    S(SYS_modify_ldt, 7, b, 64); }
#else
CASE(arch_prctl_x86_64) { u64 v = 1; S(SYS_arch_prctl, 0x1001, 0x123456000L); S(SYS_arch_prctl, 0x1004, &v); X(v);
    S(SYS_arch_prctl, 0x1001, -1L); S(SYS_arch_prctl, 0x1004, BAD); S(SYS_arch_prctl, 0x9999, 0L);
    S(SYS_arch_prctl, 0x1002, -4096L); S(SYS_arch_prctl, 0x1011, 0L); }
#endif
CASE(personality_cases) { X(R(SYS_personality, 0xffffffffL)); X(R(SYS_personality, 0x0040000L));
    X(R(SYS_personality, 0xffffffffL)); CHILD({ X(R(SYS_personality, 0xffffffffL)); }); X(R(SYS_personality, 8L));
    char u[400]; uname((void *)u); P("%s\n", u + 65 * 4); }
