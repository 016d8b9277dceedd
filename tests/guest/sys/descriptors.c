/* Descriptors: duplicating, fcntl, pipes, locks, close_range, and requests by ioctl. */
#include "sys.h"
#include <sys/ioctl.h>
#include <termios.h>
#include <linux/sockios.h>

CASE(dup_lowest) { int a = dup(1); close(a); S(SYS_dup, 1); S(SYS_dup, 77); S(SYS_dup, -1); close(0); S(SYS_dup, 1); }
CASE(dup2_cases) { S(SYS_dup2, 1, 50); S(SYS_dup2, 50, 50); S(SYS_dup2, 77, 77); S(SYS_dup2, 77, 5); S(SYS_dup2, 1, -1);
    S(SYS_dup2, 1, 1 << 30); }
CASE(dup3_cases) { S(SYS_dup3, 1, 50, O_CLOEXEC); S(SYS_fcntl, 50, F_GETFD); S(SYS_dup3, 1, 1, 0);
    S(SYS_dup3, 1, 51, 1); S(SYS_dup3, 77, 51, 0); S(SYS_dup3, 1, 51, 0); S(SYS_fcntl, 51, F_GETFD); }
CASE(fcntl_dupfd) { S(SYS_fcntl, 1, F_DUPFD, 60); S(SYS_fcntl, 1, F_DUPFD, 60); S(SYS_fcntl, 1, F_DUPFD_CLOEXEC, 70);
    S(SYS_fcntl, 70, F_GETFD); S(SYS_fcntl, 1, F_DUPFD, -1); S(SYS_fcntl, 1, F_DUPFD, 1 << 30);
    S(SYS_fcntl, 77, F_DUPFD, 0); }
CASE(fcntl_flags) { int p[2]; pipe(p); S(SYS_fcntl, p[0], F_SETFD, 1); S(SYS_fcntl, p[0], F_GETFD);
    S(SYS_fcntl, p[0], F_SETFD, 6); S(SYS_fcntl, p[0], F_GETFD);
    S(SYS_fcntl, p[0], F_SETFL, O_NONBLOCK | O_CREAT | O_RDWR); S(SYS_fcntl, p[0], F_GETFL);
    S(SYS_fcntl, p[1], F_SETFL, 0); S(SYS_fcntl, p[1], F_GETFL); S(SYS_fcntl, 77, F_GETFL); S(SYS_fcntl, 1, 9999); }
CASE(fcntl_direct_flag) { int p[2]; S(SYS_pipe2, p, O_DIRECT); P("%#lx\n", R(SYS_fcntl, p[0], F_GETFL));
    S(SYS_fcntl, p[1], F_SETFL, 0); P("%#lx\n", R(SYS_fcntl, p[1], F_GETFL)); }
struct flk { short type, whence; long start, len; int pid; };
CASE(fcntl_locks) { int fd = file("0123456789"); struct flk l = {F_WRLCK, 0, 2, 4, 0}; S(SYS_fcntl, fd, 6, &l); CHILD({
    struct flk m = {F_RDLCK, 0, 0, 0, 0}; S(SYS_fcntl, fd, 5, &m);
    P("%d %d %ld %ld %d\n", m.type, m.whence, m.start, m.len, m.pid == getppid()); S(SYS_fcntl, fd, 6, &m);
    m = (struct flk){F_RDLCK, 0, 0, 2, 0}; S(SYS_fcntl, fd, 6, &m); }); S(SYS_fcntl, fd, 6, BAD); l.type = 77;
    S(SYS_fcntl, fd, 6, &l); l.type = F_UNLCK; S(SYS_fcntl, fd, 6, &l); l = (struct flk){F_WRLCK, 9, 0, 0, 0};
    S(SYS_fcntl, fd, 6, &l); l = (struct flk){F_WRLCK, 0, -5, 0, 0}; S(SYS_fcntl, fd, 6, &l); }
CASE(fcntl_lock_access) { close(file("01")); int r = open("f", 0); struct flk l = {F_WRLCK, 0, 0, 0, 0};
    S(SYS_fcntl, r, 6, &l); l.type = F_RDLCK; S(SYS_fcntl, r, 6, &l); int w = open("f", 1); S(SYS_fcntl, w, 6, &l);
    S(SYS_fcntl, 77, 6, &l); int p[2]; pipe(p); S(SYS_fcntl, p[0], 6, &l); }
#ifdef __i386__
struct __attribute__((packed)) flk64 { short type, whence; s64 start, len; int pid; };
CASE(fcntl64_locks_i386) { int fd = file("0123"); struct flk64 l = {F_WRLCK, 0, 0x100000000LL, 4, 0};
    S(SYS_fcntl64, fd, 13, &l); CHILD({ struct flk64 m = {F_RDLCK, 0, 0, 0, 0}; S(SYS_fcntl64, fd, 12, &m);
    P("%llx %llx\n", m.start, m.len); struct flk n = {F_RDLCK, 0, 0, 0, 0}; S(SYS_fcntl64, fd, 5, &n); }); l.type = 3;
    S(SYS_fcntl64, fd, 13, &l); S(SYS_fcntl, fd, 13, &l); }
CASE(fcntl_ofd_i386) { int fd = file("0123"), g = open("f", 2); struct flk64 l = {F_WRLCK, 0, 0, 4, 0};
    S(SYS_fcntl64, fd, 37, &l); S(SYS_fcntl64, g, 37, &l); S(SYS_fcntl64, g, 36, &l); P("%d %d\n", l.type, l.pid);
    l.pid = 5; S(SYS_fcntl64, g, 37, &l); }
#else
CASE(fcntl_ofd) { int fd = file("0123"), g = open("f", 2); struct flk l = {F_WRLCK, 0, 0, 4, 0};
    S(SYS_fcntl, fd, 37, &l); S(SYS_fcntl, g, 37, &l); S(SYS_fcntl, g, 36, &l); P("%d %d\n", l.type, l.pid); l.pid = 5;
    S(SYS_fcntl, g, 37, &l); }
#endif
CASE(fcntl_owner) { int p[2]; pipe(p); S(SYS_fcntl, p[0], 9); S(SYS_fcntl, p[0], 8, getpid());
    P("%d\n", R(SYS_fcntl, p[0], 9) == getpid()); S(SYS_fcntl, p[0], 8, 99999999); struct { int type, pid; }
    o = {1, getpid()}; S(SYS_fcntl, p[0], 15, &o); o.pid = 0; S(SYS_fcntl, p[0], 16, &o);
    P("%d %d\n", o.type, o.pid == getpid()); o.type = 9; S(SYS_fcntl, p[0], 15, &o); S(SYS_fcntl, p[0], 15, BAD);
    S(SYS_fcntl, p[0], 10, 99); S(SYS_fcntl, p[0], 10, SIGUSR1); S(SYS_fcntl, p[0], 11); }
CASE(fcntl_owner_group) { int p[2]; pipe(p); S(SYS_fcntl, p[0], 8, -getpgrp()); long r = R(SYS_fcntl, p[0], 9);
    P("%d\n", r == -getpgrp() || errno == getpgrp()); struct { int type, pid; } o; S(SYS_fcntl, p[0], 16, &o);
    P("%d\n", o.type); }
CASE(fcntl_pipe_size) { int p[2]; pipe(p); S(SYS_fcntl, p[0], 1032); S(SYS_fcntl, p[0], 1031, 5000);
    S(SYS_fcntl, p[0], 1032); S(SYS_fcntl, p[0], 1031, 0); S(SYS_fcntl, file(""), 1032); S(SYS_fcntl, p[0], 1031, -1); }
CASE(fcntl_lease) { int fd = file(""); S(SYS_fcntl, fd, 1025); S(SYS_fcntl, fd, 1024, F_WRLCK); S(SYS_fcntl, fd, 1025);
    S(SYS_fcntl, fd, 1024, F_UNLCK); S(SYS_fcntl, fd, 1024, 99); S(SYS_fcntl, open("f", 0), 1024, F_RDLCK);
    S(SYS_fcntl, 77, 1025); }
CASE(fcntl_notify) { int d = open(".", 0); S(SYS_fcntl, d, 1026, 4); S(SYS_fcntl, file(""), 1026, 4);
    S(SYS_fcntl, d, 1026, 0); }
CASE(fcntl_seals) { int m = R(SYS_memfd_create, "m", 2); S(SYS_fcntl, m, 1034); S(SYS_ftruncate, m, 100);
    S(SYS_fcntl, m, 1033, 6); S(SYS_ftruncate, m, 50); S(SYS_ftruncate, m, 200); S(SYS_fcntl, m, 1033, 8);
    S(SYS_write, m, "x", 1); S(SYS_fcntl, m, 1033, 1); S(SYS_fcntl, m, 1033, 8); S(SYS_fcntl, m, 1034);
    S(SYS_fcntl, m, 1033, 0x1000); S(SYS_fcntl, file(""), 1034); }
CASE(fcntl_rw_hint) { int fd = file(""); u64 h = 9; S(SYS_fcntl, fd, 1035, &h); V(h); h = 2; S(SYS_fcntl, fd, 1036, &h);
    h = 0; S(SYS_fcntl, fd, 1035, &h); V(h); h = 77; S(SYS_fcntl, fd, 1036, &h); S(SYS_fcntl, fd, 1035, BAD); }
CASE(fcntl_query_dup) { int a = dup(1); S(SYS_fcntl, 1, 1027, a); int f = file(""); S(SYS_fcntl, 1, 1027, f);
    S(SYS_fcntl, 1, 1027, 77); }
CASE(pipe_cases) { int p[2] = {0, 0}; S(SYS_pipe, p); P("%d %d\n", p[0], p[1]); S(SYS_pipe, BAD); S(SYS_pipe2, p, 1);
    S(SYS_pipe2, p, O_NONBLOCK | O_CLOEXEC); P("%ld %ld\n", R(SYS_fcntl, p[0], F_GETFL), R(SYS_fcntl, p[0], F_GETFD));
    char c; S(SYS_read, p[0], &c, 1); S(SYS_read, p[1], &c, 1); S(SYS_write, p[0], &c, 1); close(p[1]);
    S(SYS_read, p[0], &c, 1); S(SYS_pipe, readonly()); S(SYS_pipe2, p, 0); P("%d\n", p[0]); }
CASE(pipe_full) { int p[2]; pipe2(p, O_NONBLOCK); static char b[70000]; S(SYS_write, p[1], b, 70000);
    S(SYS_write, p[1], b, 1); S(SYS_read, p[0], b, 100); S(SYS_write, p[1], b, 1); int n;
    S(SYS_ioctl, p[0], FIONREAD, &n); V(n); }
CASE(pipe_packets) { int p[2]; pipe2(p, O_DIRECT); write(p[1], "abc", 3); write(p[1], "de", 2); char b[8];
    S(SYS_read, p[0], b, 8); S(SYS_read, p[0], b, 1); }
CASE(close_range_cases) { dup2(1, 40); dup2(1, 41); dup2(1, 50); S(436, 40, 45, 0); S(SYS_fcntl, 40, F_GETFD);
    S(SYS_fcntl, 50, F_GETFD); S(436, 50, 45, 0); S(436, 50, 50, 4); S(SYS_fcntl, 50, F_GETFD); S(436, 50, ~0u, 2);
    S(SYS_fcntl, 50, F_GETFD); S(436, 1, 2, 8); S(436, 3, ~0u, 0); S(SYS_fcntl, 50, F_GETFD); S(SYS_dup, 1); }
CASE(ioctl_fionbio) { int p[2]; pipe(p); int on = 1; S(SYS_ioctl, p[0], FIONBIO, &on);
    P("%#lx\n", R(SYS_fcntl, p[0], F_GETFL)); char c; S(SYS_read, p[0], &c, 1); on = 0;
    S(SYS_ioctl, p[0], FIONBIO, &on); S(SYS_ioctl, p[0], FIONBIO, BAD); S(SYS_ioctl, p[0], FIOCLEX, 0);
    S(SYS_fcntl, p[0], F_GETFD); S(SYS_ioctl, p[0], FIONCLEX, 0); S(SYS_fcntl, p[0], F_GETFD);
    S(SYS_ioctl, 77, FIONBIO, &on); }
CASE(ioctl_fionread) { int fd = file("0123456789"), n = 0; S(SYS_ioctl, fd, FIONREAD, &n); V(n); lseek(fd, 4, 0);
    S(SYS_ioctl, fd, FIONREAD, &n); V(n); S(SYS_ioctl, fd, FIONREAD, BAD); int p[2]; pipe(p); write(p[1], "abc", 3);
    S(SYS_ioctl, p[0], FIONREAD, &n); V(n); S(SYS_ioctl, open("/dev/null", 0), FIONREAD, &n); }
CASE(ioctl_not_terminal) { struct termios t; int n; S(SYS_ioctl, file(""), TCGETS, &t); int p[2]; pipe(p);
    S(SYS_ioctl, p[0], TCGETS, &t); S(SYS_ioctl, p[0], TIOCGWINSZ, &t); S(SYS_ioctl, p[0], TIOCGPGRP, &n);
    S(SYS_ioctl, 77, TCGETS, &t); S(SYS_ioctl, p[0], 0x12345678, &n); }
static int terminal(int *slave) { int m = open("/dev/ptmx", O_RDWR | O_NOCTTY), z = 0, n = 0; char name[32];
    ioctl(m, TIOCSPTLCK, &z); ioctl(m, TIOCGPTN, &n); sprintf(name, "/dev/pts/%d", n);
    *slave = open(name, O_RDWR | O_NOCTTY); return m; }
CASE(ioctl_terminal_modes) { int s, m = terminal(&s); u8 t[64]; memset(t, 0xee, 64); S(SYS_ioctl, s, TCGETS, t);
    hex("termios", t, 36); hex("behind", t + 36, 4); t[12] &= ~0xa; S(SYS_ioctl, s, TCSETS, t); u8 u[64];
    R(SYS_ioctl, s, TCGETS, u); hex("lflag", u + 12, 4); S(SYS_ioctl, s, TCSETSW, t); S(SYS_ioctl, s, TCSETSF, t);
    S(SYS_ioctl, s, TCSETS, BAD); S(SYS_ioctl, s, TCGETS, BAD); (void)m; }
CASE(ioctl_termio_old) { int s, m = terminal(&s); u8 t[32]; memset(t, 0xee, 32); S(SYS_ioctl, s, TCGETA, t);
    hex("termio", t, 17); S(SYS_ioctl, s, TCSETA, t); (void)m; }
CASE(ioctl_termios2) { int s, m = terminal(&s); u8 t[64]; memset(t, 0xee, 64); S(SYS_ioctl, s, 0x802c542a, t);
    hex("speeds", t + 36, 8); S(SYS_ioctl, s, 0x402c542b, t); (void)m; }
CASE(ioctl_window_size) { int s, m = terminal(&s); struct winsize w = {24, 80, 1, 2}; S(SYS_ioctl, m, TIOCSWINSZ, &w);
    memset(&w, 0, 8); S(SYS_ioctl, s, TIOCGWINSZ, &w); P("%d %d %d %d\n", w.ws_row, w.ws_col, w.ws_xpixel, w.ws_ypixel);
    S(SYS_ioctl, s, TIOCGWINSZ, BAD); }
CASE(ioctl_terminal_data) { int s, m = terminal(&s), n; write(m, "ab\n", 3); struct pollfd f = {s, POLLIN, 0};
    poll(&f, 1, 2000); S(SYS_ioctl, s, FIONREAD, &n); V(n); char b[16]; S(SYS_read, s, b, 16); S(SYS_read, m, b, 16);
    hex("echo", b, 4); S(SYS_ioctl, s, TCFLSH, 2); S(SYS_ioctl, s, TCSBRK, 1); S(SYS_ioctl, s, TCXONC, 99);
    S(SYS_ioctl, s, TIOCOUTQ, &n); V(n); S(SYS_ioctl, m, TIOCPKT, &n); S(SYS_ioctl, s, TIOCEXCL, 0); }
CASE(ioctl_controlling_terminal) { int s, m = terminal(&s); CHILD({ setsid(); S(SYS_ioctl, s, TIOCSCTTY, 0); int n = 0;
    S(SYS_ioctl, s, TIOCGPGRP, &n); P("%d\n", n == getpid()); S(SYS_ioctl, s, TIOCGSID, &n); P("%d\n", n == getpid());
    n = 99999999; S(SYS_ioctl, s, TIOCSPGRP, &n); S(SYS_ioctl, s, TIOCSPGRP, BAD); int t = open("/dev/tty", O_RDWR);
    P("%d\n", t >= 0); signal(SIGHUP, SIG_IGN); S(SYS_ioctl, s, TIOCNOTTY, 0); S(SYS_open, "/dev/tty", O_RDWR); });
    (void)m; }
CASE(ioctl_pty_peer) { int s, m = terminal(&s); int p = R(SYS_ioctl, m, 0x5441, O_RDWR | O_NOCTTY); P("%d\n", p >= 0);
    int n; S(SYS_ioctl, m, 0x80045439, &n); V(n); S(SYS_ioctl, m, 0x80045430, BAD); S(SYS_ioctl, s, 0x80045430, &n); }
CASE(ioctl_file_flags) { int fd = file(""); int f = -1;
    long r = R(SYS_ioctl, fd, sizeof(long) == 8 ? 0x80086601 : 0x80046601, &f); P("%d\n", r == 0 || errno == ENOTTY);
    S(SYS_ioctl, open("/proc/version", 0), sizeof(long) == 8 ? 0x80086601 : 0x80046601, &f); }
CASE(ioctl_interfaces) { int s = socket(AF_INET, SOCK_DGRAM, 0); struct { char name[16];
    char u[16 + (sizeof(long) == 8 ? 8 : 0)]; } r = {"lo"}; S(SYS_ioctl, s, 0x8933, &r); V(*(int *)r.u);
    int i = *(int *)r.u; memset(r.name, 0, 16); *(int *)r.u = i; S(SYS_ioctl, s, 0x8910, &r); P("%s\n", r.name);
    strcpy(r.name, "nope"); S(SYS_ioctl, s, 0x8933, &r); S(SYS_ioctl, s, 0x8921, &r); strcpy(r.name, "lo");
    S(SYS_ioctl, s, 0x8913, &r); P("%d\n", *(short *)r.u & 8); S(SYS_ioctl, s, 0x8921, &r); V(*(int *)r.u);
    S(SYS_ioctl, s, 0x8933, BAD); }
CASE(ioctl_interface_list) { int s = socket(AF_INET, SOCK_DGRAM, 0); char b[400]; struct { int len; void *p; }
    c = {400, b}; S(SYS_ioctl, s, 0x8912, &c); P("%d\n", c.len > 0 && c.len % (sizeof(long) == 8 ? 40 : 32) == 0);
    P("%.16s\n", b); c.p = 0; c.len = 0; S(SYS_ioctl, s, 0x8912, &c); S(SYS_ioctl, s, 0x8912, BAD); }
CASE(ioctl_sockatmark) { int p[2], n = 7; socketpair(AF_UNIX, SOCK_STREAM, 0, p); S(SYS_ioctl, p[0], SIOCATMARK, &n);
    S(SYS_ioctl, p[0], SIOCGPGRP, &n); V(n); n = getpid(); S(SYS_ioctl, p[0], SIOCSPGRP, &n);
    S(SYS_ioctl, p[0], SIOCGPGRP, &n); P("%d\n", n == getpid()); write(p[1], "abc", 3);
    S(SYS_ioctl, p[0], FIONREAD, &n); V(n); S(SYS_ioctl, p[1], 0x5411, &n); }
CASE(ioctl_tun_absent_rights) { int fd = open("/dev/net/tun", O_RDWR); if (fd < 0) { P("none\n"); return; } u32 f;
    S(SYS_ioctl, fd, 0x800454cf, &f); struct { char name[16]; char u[24]; } r = {"demo%d"}; *(short *)r.u = 0;
    S(SYS_ioctl, fd, 0x400454ca, &r); S(SYS_ioctl, fd, 0x800454d2, &r); }
CASE(memfd_cases) { int m = R(SYS_memfd_create, "name", 1); P("%d\n", m >= 0); S(SYS_fcntl, m, F_GETFD);
    S(SYS_memfd_create, "name", 0x40); S(SYS_memfd_create, BAD, 0); char n[300]; memset(n, 'a', 300); n[249] = 0;
    F(SYS_memfd_create, n, 0); n[249] = 'a'; n[250] = 0; S(SYS_memfd_create, n, 0); char b[64] = ""; char l[32];
    sprintf(l, "/proc/self/fd/%d", m); readlink(l, b, 63); P("%s\n", b); }
CASE(memfd_seal_map) { int m = R(SYS_memfd_create, "n", 2); ftruncate(m, PAGE);
    void *p = mmap(0, PAGE, 3, MAP_SHARED, m, 0); S(SYS_fcntl, m, 1033, 8); munmap(p, PAGE); S(SYS_fcntl, m, 1033, 8);
    P("%d\n", mmap(0, PAGE, 3, MAP_SHARED, m, 0) == MAP_FAILED ? errno : 0);
    P("%d\n", mmap(0, PAGE, 1, MAP_SHARED, m, 0) != MAP_FAILED); }
CASE(memfd_noexec) { int m = R(SYS_memfd_create, "n", 8); struct stat s; P("%d\n", m >= 0); if (m >= 0) { fstat(m, &s);
    P("%o\n", s.st_mode & 0777); S(SYS_fchmod, m, 0777); } S(SYS_memfd_create, "n", 0x18); }
CASE(pidfd_getfd_cases) { int p = R(434, getpid(), 0); P("%d\n", p >= 0); int f = file("abc"); int g = R(438, p, f, 0);
    P("%d\n", g >= 0); char b[4] = ""; read(g, b, 3); P("%s\n", b); S(SYS_fcntl, g, F_GETFD); S(438, p, 77, 0);
    S(438, 1, 1, 0); S(438, p, 1, 1); }
CASE(kcmp_cases) { int a = dup(1), b = file(""); S(SYS_kcmp, getpid(), getpid(), 0, 1, a);
    P("%d\n", R(SYS_kcmp, getpid(), getpid(), 0, 1, b) > 0); S(SYS_kcmp, getpid(), getpid(), 0, 1, 77);
    S(SYS_kcmp, getpid(), getpid(), 99, 1, 1); S(SYS_kcmp, getpid(), 99999999, 1, 0, 0); }
