/* Sockets: making, naming, sending, receiving, options and control messages. */
#include "sys.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#ifdef __i386__
#define ACCEPT(fd, a, l) SYS_accept4, fd, a, l, 0
#else
#define ACCEPT(fd, a, l) SYS_accept, fd, a, l
#endif
static int p[2];
static void pair(int type) { socketpair(AF_UNIX, type, 0, p); }
static struct sockaddr_in local(int port) { struct sockaddr_in a = {AF_INET, htons(port), {htonl(0x7f000001)}};
    return a; }
static int listener(struct sockaddr_in *a) { int s = socket(AF_INET, SOCK_STREAM, 0); *a = local(0);
    bind(s, (void *)a, 16); listen(s, 5); socklen_t l = 16; getsockname(s, (void *)a, &l); return s; }

CASE(socket_errors) { S(SYS_socket, 99, 1, 0); S(SYS_socket, -1, 1, 0); S(SYS_socket, AF_UNIX, 77, 0);
    S(SYS_socket, AF_INET, SOCK_STREAM, 17); S(SYS_socket, AF_UNIX, SOCK_STREAM, 5);
    S(SYS_socket, AF_UNIX, SOCK_STREAM | 0x10, 0); S(SYS_socket, AF_INET, SOCK_RAW, 0);
    S(SYS_socketpair, AF_INET, SOCK_STREAM, 0, p); S(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, BAD); }
CASE(socket_flags) { int s = R(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    P("%#lx %ld\n", R(SYS_fcntl, s, F_GETFL), R(SYS_fcntl, s, F_GETFD)); }
CASE(bind_unix) { struct sockaddr_un a = {AF_UNIX, "sock"};
    int s = socket(AF_UNIX, SOCK_STREAM, 0), t = socket(AF_UNIX, SOCK_STREAM, 0); S(SYS_bind, s, &a, 7);
    S(SYS_bind, s, &a, 7); S(SYS_bind, t, &a, 7); S(SYS_bind, t, &a, 2); S(SYS_bind, t, &a, 1); S(SYS_bind, t, &a, -1);
    S(SYS_bind, t, &a, 200); S(SYS_bind, t, BAD, 7); S(SYS_bind, 77, &a, 7); S(SYS_bind, 1, &a, 7);
    a.sun_family = AF_INET; S(SYS_bind, t, &a, 7); struct stat st; stat("sock", &st); P("%o\n", st.st_mode & S_IFMT); }
CASE(bind_abstract) { struct sockaddr_un a = {AF_UNIX, "\0demotic-case"};
    int s = socket(AF_UNIX, SOCK_DGRAM, 0), t = socket(AF_UNIX, SOCK_DGRAM, 0); S(SYS_bind, s, &a, 15);
    S(SYS_bind, t, &a, 15); struct sockaddr_un o; socklen_t l = sizeof o; S(SYS_getsockname, s, &o, &l); V(l);
    hex("name", o.sun_path, 13); S(SYS_connect, t, &a, 15); S(SYS_connect, t, &a, 14); }
CASE(connect_unix) { struct sockaddr_un a = {AF_UNIX, "sock"};
    int s = socket(AF_UNIX, SOCK_STREAM, 0), t = socket(AF_UNIX, SOCK_STREAM, 0); S(SYS_connect, t, &a, 7);
    S(SYS_bind, s, &a, 7); S(SYS_connect, t, &a, 7); S(SYS_listen, s, 5); S(SYS_connect, t, &a, 7);
    S(SYS_connect, t, &a, 7); int c = R(ACCEPT(s, 0, 0)); P("%d\n", c >= 0); S(SYS_write, t, "hi", 2); char b[4] = "";
    S(SYS_read, c, b, 4); P("%s\n", b); S(SYS_shutdown, t, 1); S(SYS_read, c, b, 4); S(SYS_shutdown, t, 7); close(t);
    signal(SIGPIPE, SIG_IGN); S(SYS_write, c, "x", 1); S(SYS_listen, 1, 1); }
CASE(inet_connect) { struct sockaddr_in a, b; int s = listener(&a), c = socket(AF_INET, SOCK_STREAM, 0);
    S(SYS_connect, c, &a, 16); S(SYS_connect, c, &a, 16); socklen_t l = 16; int d = R(ACCEPT(s, &b, &l));
    P("%d %d %d\n", d >= 0, l, b.sin_family); l = 4; memset(&b, 0, 16); S(SYS_getpeername, c, &b, &l);
    P("%d %d\n", l, b.sin_addr.s_addr); l = -1; S(SYS_getpeername, c, &b, &l); S(SYS_getpeername, c, &b, BAD);
    S(SYS_getpeername, s, &b, &l); l = 16; S(SYS_getpeername, c, BAD, &l); S(SYS_getsockname, 77, &b, &l); }
CASE(inet_refused) { struct sockaddr_in a; int s = listener(&a); close(s); int c = socket(AF_INET, SOCK_STREAM, 0);
    S(SYS_connect, c, &a, 16); S(SYS_connect, c, &a, 8); a.sin_family = 99; S(SYS_connect, c, &a, 16); char x;
    S(SYS_read, c, &x, 1); S(SYS_sendto, c, "x", 1, MSG_NOSIGNAL, 0, 0); }
CASE(accept_errors) { struct sockaddr_in a; int s = listener(&a); fcntl(s, F_SETFL, O_NONBLOCK);
    S(SYS_accept4, s, 0, 0, 0); S(SYS_accept4, s, 0, 0, 0x10); S(SYS_accept4, 1, 0, 0, 0); S(SYS_accept4, 77, 0, 0, 0);
    S(SYS_accept4, socket(AF_INET, SOCK_STREAM, 0), 0, 0, 0); S(SYS_accept4, socket(AF_INET, SOCK_DGRAM, 0), 0, 0, 0); }
CASE(accept4_flags) { struct sockaddr_in a; int s = listener(&a), c = socket(AF_INET, SOCK_STREAM, 0);
    connect(c, (void *)&a, 16); int d = R(SYS_accept4, s, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
    P("%#lx %ld\n", R(SYS_fcntl, d, F_GETFL), R(SYS_fcntl, d, F_GETFD)); }
CASE(udp_exchange) { struct sockaddr_in a = local(0), b;
    int s = socket(AF_INET, SOCK_DGRAM, 0), c = socket(AF_INET, SOCK_DGRAM, 0); bind(s, (void *)&a, 16);
    socklen_t l = 16; getsockname(s, (void *)&a, &l); S(SYS_sendto, c, "hello", 5, 0, &a, 16); char x[8] = ""; l = 16;
    S(SYS_recvfrom, s, x, 3, 0x20, &b, &l); P("%s %d\n", x, l); S(SYS_sendto, c, "hello", 5, 0, 0, 0);
    S(SYS_sendto, c, "hello", 5, 0, &a, 3); S(SYS_sendto, c, BAD, 5, 0, &a, 16);
    S(SYS_recvfrom, s, x, 3, MSG_DONTWAIT, 0, 0); S(SYS_sendto, c, x, 70000, 0, &a, 16); }
CASE(stream_flags) { pair(SOCK_STREAM); write(p[1], "abcdef", 6); char b[8] = "";
    S(SYS_recvfrom, p[0], b, 3, MSG_PEEK, 0, 0); P("%s\n", b); S(SYS_recvfrom, p[0], b, 8, MSG_DONTWAIT, 0, 0);
    S(SYS_recvfrom, p[0], b, 8, MSG_DONTWAIT, 0, 0); S(SYS_recvfrom, p[0], b, 8, MSG_OOB, 0, 0);
    S(SYS_recvfrom, p[0], BAD, 8, MSG_DONTWAIT, 0, 0); S(SYS_recvfrom, 1, b, 8, 0, 0, 0);
    S(SYS_recvfrom, 77, b, 8, 0, 0, 0); }
CASE(send_closed) { pair(SOCK_STREAM); close(p[0]); S(SYS_sendto, p[1], "x", 1, MSG_NOSIGNAL, 0, 0); CHILD({
    S(SYS_sendto, p[1], "x", 1, 0, 0, 0); }); }
CASE(seqpacket) { pair(SOCK_SEQPACKET); write(p[1], "abc", 3); write(p[1], "", 0); write(p[1], "de", 2); char b[8];
    S(SYS_read, p[0], b, 2); S(SYS_read, p[0], b, 8); S(SYS_read, p[0], b, 8); }
CASE(msg_simple) { pair(SOCK_DGRAM); struct iovec v[2] = {{"ab", 2}, {"cd", 2}};
    struct msghdr m = {.msg_iov = v, .msg_iovlen = 2}; S(SYS_sendmsg, p[0], &m, 0); char x[3] = "", y[3] = "";
    struct iovec w[2] = {{x, 1}, {y, 2}}; m.msg_iov = w; S(SYS_recvmsg, p[1], &m, 0);
    P("%s %s %x\n", x, y, m.msg_flags); S(SYS_sendmsg, p[0], BAD, 0); S(SYS_recvmsg, p[1], BAD, MSG_DONTWAIT);
    m.msg_iovlen = 1025; S(SYS_sendmsg, p[0], &m, 0); m.msg_iovlen = 1; m.msg_iov = BAD; S(SYS_sendmsg, p[0], &m, 0);
    S(SYS_sendmsg, 77, &m, 0); S(SYS_sendmsg, 1, &m, 0); }
CASE(msg_name) { struct sockaddr_in a = local(0), b; int s = socket(AF_INET, SOCK_DGRAM, 0); bind(s, (void *)&a, 16);
    socklen_t l = 16; getsockname(s, (void *)&a, &l); struct iovec v = {"ab", 2};
    struct msghdr m = {.msg_name = &a, .msg_namelen = 16, .msg_iov = &v, .msg_iovlen = 1}; S(SYS_sendmsg, s, &m, 0);
    char x[4]; v.iov_base = x; m.msg_name = &b; m.msg_namelen = 6; S(SYS_recvmsg, s, &m, 0); V(m.msg_namelen);
    m.msg_namelen = -1; S(SYS_sendmsg, s, &m, 0); }
static union { char b[256]; struct cmsghdr h; } c;
static struct iovec v1;
static char byte[8];
static struct msghdr message(int room) { v1 = (struct iovec){byte, 1};
    struct msghdr m = {.msg_iov = &v1, .msg_iovlen = 1, .msg_control = c.b, .msg_controllen = room}; return m; }
CASE(rights_passed) { pair(SOCK_STREAM); int fd = file("abc"); struct msghdr m = message(CMSG_SPACE(4));
    c.h = (struct cmsghdr){.cmsg_len = CMSG_LEN(4), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    *(int *)CMSG_DATA(&c.h) = fd; S(SYS_sendmsg, p[0], &m, 0); memset(&c, 0, sizeof c); m = message(200);
    S(SYS_recvmsg, p[1], &m, MSG_CMSG_CLOEXEC);
    P("%d %d %d %d %x\n", (int)m.msg_controllen, (int)c.h.cmsg_len, c.h.cmsg_level, c.h.cmsg_type, m.msg_flags);
    int g = *(int *)CMSG_DATA(&c.h); char b[4] = ""; S(SYS_read, g, b, 3); P("%s %ld\n", b, R(SYS_fcntl, g, F_GETFD)); }
CASE(rights_truncated) { pair(SOCK_STREAM); for (int room = 0; room <= (int)CMSG_SPACE(12); room += 4) {
    struct msghdr m = message(CMSG_SPACE(12));
    c.h = (struct cmsghdr){.cmsg_len = CMSG_LEN(12), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}; for (int i = 0;
    i < 3; i++) ((int *)CMSG_DATA(&c.h))[i] = 1; R(SYS_sendmsg, p[0], &m, 0); memset(&c, 0, sizeof c);
    m = message(room); long r = R(SYS_recvmsg, p[1], &m, 0);
    P("%d: %ld %d %d %x\n", room, r, (int)m.msg_controllen, (int)c.h.cmsg_len, m.msg_flags); } }
CASE(rights_errors) { pair(SOCK_STREAM); struct msghdr m = message(CMSG_SPACE(4));
    c.h = (struct cmsghdr){.cmsg_len = CMSG_LEN(4), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    *(int *)CMSG_DATA(&c.h) = 77; S(SYS_sendmsg, p[0], &m, 0); c.h.cmsg_len = 3; S(SYS_sendmsg, p[0], &m, 0);
    c.h.cmsg_len = 500; S(SYS_sendmsg, p[0], &m, 0); c.h.cmsg_len = CMSG_LEN(4); c.h.cmsg_type = 99;
    S(SYS_sendmsg, p[0], &m, 0); m.msg_control = BAD; S(SYS_sendmsg, p[0], &m, 0); }
CASE(credentials_passed) { pair(SOCK_DGRAM); int on = 1; S(SYS_setsockopt, p[1], SOL_SOCKET, SO_PASSCRED, &on, 4);
    write(p[0], "x", 1); struct msghdr m = message(200); S(SYS_recvmsg, p[1], &m, 0); int *u = (int *)CMSG_DATA(&c.h);
    P("%d %d %d %d %d\n", (int)m.msg_controllen, c.h.cmsg_type, u[0] == getpid(), u[1], u[2]);
    m = message(CMSG_SPACE(12));
    c.h = (struct cmsghdr){.cmsg_len = CMSG_LEN(12), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_CREDENTIALS};
    u[0] = 99999999; S(SYS_sendmsg, p[0], &m, 0); struct { int pid, uid, gid; } w; socklen_t l = 12;
    S(SYS_getsockopt, p[0], SOL_SOCKET, SO_PEERCRED, &w, &l); P("%d %d %d\n", w.pid == getpid(), w.uid, l); }
CASE(timestamp_messages) { struct sockaddr_in a = local(0); int s = socket(AF_INET, SOCK_DGRAM, 0), on = 1;
    bind(s, (void *)&a, 16); socklen_t l = 16; getsockname(s, (void *)&a, &l);
    S(SYS_setsockopt, s, SOL_SOCKET, 29, &on, 4); sendto(s, "x", 1, 0, (void *)&a, 16); struct msghdr m = message(200);
    S(SYS_recvmsg, s, &m, 0);
    P("%d %d %d %d\n", (int)m.msg_controllen, (int)c.h.cmsg_len, c.h.cmsg_type, *(long *)CMSG_DATA(&c.h) > 1600000000L);
    S(SYS_setsockopt, s, SOL_SOCKET, 35, &on, 4); sendto(s, "x", 1, 0, (void *)&a, 16); m = message(200);
    S(SYS_recvmsg, s, &m, 0); P("%d %d %d\n", (int)m.msg_controllen, (int)c.h.cmsg_len, c.h.cmsg_type);
    S(SYS_setsockopt, s, SOL_SOCKET, 64, &on, 4); sendto(s, "x", 1, 0, (void *)&a, 16); m = message(200);
    S(SYS_recvmsg, s, &m, 0); P("%d %d %d\n", (int)m.msg_controllen, (int)c.h.cmsg_len, c.h.cmsg_type); }
CASE(packet_info) { struct sockaddr_in a = local(0); int s = socket(AF_INET, SOCK_DGRAM, 0), on = 1;
    bind(s, (void *)&a, 16); socklen_t l = 16; getsockname(s, (void *)&a, &l); S(SYS_setsockopt, s, 0, 8, &on, 4);
    S(SYS_setsockopt, s, 0, 12, &on, 4); sendto(s, "x", 1, 0, (void *)&a, 16); struct msghdr m = message(200);
    S(SYS_recvmsg, s, &m, 0); for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
    P("%d %d %d\n", (int)h->cmsg_len, h->cmsg_level, h->cmsg_type); } }
CASE(mmsg) { pair(SOCK_DGRAM); struct iovec v[2] = {{"ab", 2}, {"cde", 3}};
    struct mmsghdr m[2] = {{{.msg_iov = &v[0], .msg_iovlen = 1}}, {{.msg_iov = &v[1], .msg_iovlen = 1}}};
    S(SYS_sendmmsg, p[0], m, 2, 0); P("%d %d\n", m[0].msg_len, m[1].msg_len); char x[8], y[8];
    v[0] = (struct iovec){x, 8}; v[1] = (struct iovec){y, 8}; S(SYS_recvmmsg, p[1], m, 2, 0, 0);
    P("%d %d\n", m[0].msg_len, m[1].msg_len); struct tsl t = {0, -1}; S(SYS_recvmmsg, p[1], m, 2, 0, &t); t.nsec = 0;
    write(p[0], "x", 1); S(SYS_recvmmsg, p[1], m, 2, 0, &t); S(SYS_recvmmsg, p[1], m, 2, MSG_DONTWAIT, 0);
    S(SYS_recvmmsg, p[1], BAD, 2, MSG_DONTWAIT, 0); S(SYS_sendmmsg, p[0], BAD, 1, 0); S(SYS_sendmmsg, p[0], m, 0, 0);
    S(SYS_sendmmsg, 77, m, 1, 0); }
CASE(socket_options) { int s = socket(AF_INET, SOCK_STREAM, 0), v = 9; socklen_t l = 4;
    S(SYS_getsockopt, s, 1, SO_TYPE, &v, &l); V(v); S(SYS_getsockopt, s, 1, SO_DOMAIN, &v, &l); V(v);
    S(SYS_getsockopt, s, 1, SO_PROTOCOL, &v, &l); V(v); v = 1; S(SYS_setsockopt, s, 1, SO_REUSEADDR, &v, 4);
    S(SYS_getsockopt, s, 1, SO_REUSEADDR, &v, &l); V(v); S(SYS_setsockopt, s, 1, SO_REUSEADDR, &v, 3);
    S(SYS_setsockopt, s, 1, SO_REUSEADDR, BAD, 4); S(SYS_setsockopt, s, 1, 9999, &v, 4);
    S(SYS_getsockopt, s, 1, 9999, &v, &l); S(SYS_getsockopt, s, 99, 1, &v, &l);
    S(SYS_getsockopt, s, 1, SO_TYPE, BAD, &l); S(SYS_getsockopt, s, 1, SO_TYPE, &v, BAD); l = -1;
    S(SYS_getsockopt, s, 1, SO_TYPE, &v, &l); l = 2; v = 0x7777; S(SYS_getsockopt, s, 1, SO_TYPE, &v, &l);
    P("%x %d\n", v, l); S(SYS_setsockopt, 77, 1, SO_REUSEADDR, &v, 4); S(SYS_setsockopt, 1, 1, SO_REUSEADDR, &v, 4); }
CASE(socket_timeouts) { pair(SOCK_STREAM); long t[2] = {0, 30000}; S(SYS_setsockopt, p[0], 1, 20, t, sizeof t); char x;
    S(SYS_read, p[0], &x, 1); socklen_t l = sizeof t; t[1] = 0; S(SYS_getsockopt, p[0], 1, 20, t, &l);
    P("%ld %d %d\n", t[0], t[1] > 0, l == sizeof t); t[1] = 2000000; S(SYS_setsockopt, p[0], 1, 20, t, sizeof t);
    S(SYS_setsockopt, p[0], 1, 20, t, 4); s64 w[2] = {1, 500000}; S(SYS_setsockopt, p[0], 1, 66, w, 16); l = 16;
    memset(w, 0, 16); S(SYS_getsockopt, p[0], 1, 66, w, &l); P("%lld %lld %d\n", w[0], w[1], l);
    S(SYS_setsockopt, p[0], 1, 21, BAD, sizeof t); }
CASE(socket_linger) { int s = socket(AF_INET, SOCK_STREAM, 0); struct linger g = {1, 5};
    S(SYS_setsockopt, s, 1, SO_LINGER, &g, 8); socklen_t l = 8; memset(&g, 0, 8);
    S(SYS_getsockopt, s, 1, SO_LINGER, &g, &l); P("%d %d\n", g.l_onoff, g.l_linger);
    S(SYS_setsockopt, s, 1, SO_LINGER, &g, 4); }
CASE(socket_buffers) { int s = socket(AF_UNIX, SOCK_STREAM, 0), v = 10000; socklen_t l = 4;
    S(SYS_setsockopt, s, 1, SO_SNDBUF, &v, 4); S(SYS_getsockopt, s, 1, SO_SNDBUF, &v, &l); V(v); v = 1;
    S(SYS_setsockopt, s, 1, SO_RCVBUF, &v, 4); S(SYS_getsockopt, s, 1, SO_RCVBUF, &v, &l); V(v); }
CASE(socket_error_option) { struct sockaddr_in a; int l = listener(&a); close(l);
    int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0); long r = R(SYS_connect, s, &a, 16);
    P("%d\n", r == -1 && (errno == EINPROGRESS || errno == ECONNREFUSED)); struct pollfd f = {s, POLLOUT, 0};
    poll(&f, 1, 1000); int v = 0; socklen_t n = 4; S(SYS_getsockopt, s, 1, SO_ERROR, &v, &n); P("%s\n", err(v));
    S(SYS_getsockopt, s, 1, SO_ERROR, &v, &n); V(v); }
CASE(tcp_options) { int s = socket(AF_INET, SOCK_STREAM, 0), v = 1; socklen_t l = 4;
    S(SYS_setsockopt, s, 6, TCP_NODELAY, &v, 4); v = 0; S(SYS_getsockopt, s, 6, TCP_NODELAY, &v, &l); V(v); v = 77;
    S(SYS_setsockopt, s, 6, TCP_KEEPIDLE, &v, 4); S(SYS_getsockopt, s, 6, TCP_KEEPIDLE, &v, &l); V(v); u8 i[256];
    l = 256; S(SYS_getsockopt, s, 6, TCP_INFO, i, &l); V(i[0]); char n[16]; l = 16;
    S(SYS_setsockopt, s, 6, 13, "nonsense", 8); S(SYS_setsockopt, s, 6, 9999, &v, 4); }
CASE(ip_options) { int s = socket(AF_INET, SOCK_DGRAM, 0), v = 33; socklen_t l = 4; S(SYS_setsockopt, s, 0, 2, &v, 4);
    S(SYS_getsockopt, s, 0, 2, &v, &l); V(v); v = 300; S(SYS_setsockopt, s, 0, 2, &v, 4); struct { u32 a, b; int c; }
    m = {htonl(0xe0000001), 0, 1}; S(SYS_setsockopt, s, 0, 35, &m, 12); S(SYS_setsockopt, s, 0, 36, &m, 12);
    S(SYS_setsockopt, s, 0, 36, &m, 12); }
CASE(socket_filter) { pair(SOCK_DGRAM); struct { u16 code; u8 jt, jf; u32 k; } f[1] = {{6, 0, 0, 2}}; struct { u16 n;
    void *f; } g = {1, f}; S(SYS_setsockopt, p[1], 1, 26, &g, sizeof g); write(p[0], "abcdef", 6); char b[8];
    S(SYS_read, p[1], b, 8); S(SYS_setsockopt, p[1], 1, 27, &g, sizeof g); write(p[0], "abcdef", 6);
    S(SYS_read, p[1], b, 8); f[0].code = 0xffff; S(SYS_setsockopt, p[1], 1, 26, &g, sizeof g); g.f = BAD;
    S(SYS_setsockopt, p[1], 1, 26, &g, sizeof g); S(SYS_setsockopt, p[1], 1, 26, &g, 2); g.n = 0;
    S(SYS_setsockopt, p[1], 1, 26, &g, sizeof g); }
CASE(netlink_route) { int s = socket(AF_NETLINK, SOCK_RAW, 0); struct { u32 len; u16 type, flags; u32 seq, pid;
    u8 body[16]; } m = {32, 18, 0x301, 7, 0, {0}}; S(SYS_sendto, s, &m, 32, 0, 0, 0); static u8 b[65536];
    long n = R(SYS_recvfrom, s, b, sizeof b, 0, 0, 0); P("%d %d %d\n", n > 16, *(u16 *)(b + 4), *(u32 *)(b + 8)); }
CASE(oob_data) { struct sockaddr_in a; int s = listener(&a), c = socket(AF_INET, SOCK_STREAM, 0);
    connect(c, (void *)&a, 16); int d = accept(s, 0, 0); S(SYS_sendto, c, "abc", 3, MSG_OOB, 0, 0);
    struct pollfd f = {d, POLLPRI, 0}; S(SYS_poll, &f, 1, 2000); char b[4] = "";
    S(SYS_recvfrom, d, b, 1, MSG_OOB, 0, 0); P("%s\n", b); S(SYS_recvfrom, d, b, 4, 0, 0, 0); }
#ifdef __i386__
CASE(socketcall_i386) { long a[6] = {AF_UNIX, SOCK_DGRAM, 0, (long)p}; S(SYS_socketcall, 8, a);
    long w[6] = {p[0], (long)"hello", 5, 0}; S(SYS_socketcall, 9, w); char b[8] = ""; long r[6] = {p[1], (long)b, 8, 0};
    S(SYS_socketcall, 10, r); P("%s\n", b); long o[5] = {p[0], 1, SO_TYPE, (long)b, (long)(b + 4)}; *(int *)(b + 4) = 4;
    S(SYS_socketcall, 15, o); V(*(int *)b); long s[2] = {p[0], 2}; S(SYS_socketcall, 13, s); S(SYS_socketcall, 0, a);
    S(SYS_socketcall, 21, a); S(SYS_socketcall, 1, BAD); long n[3] = {99, 1, 0}; S(SYS_socketcall, 1, n);
    struct iovec v = {"m", 1}; struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1}; long q[3] = {p[1], (long)&m, 0};
    S(SYS_socketcall, 16, q); v.iov_base = b; q[0] = p[0]; S(SYS_socketcall, 17, q); }
CASE(recvmmsg_time64_i386) { pair(SOCK_DGRAM); write(p[0], "x", 1); char x[8]; struct iovec v = {x, 8};
    struct mmsghdr m = {{.msg_iov = &v, .msg_iovlen = 1}}; struct ts64 t = {0, 0}; S(417, p[1], &m, 1, 0, &t);
    t.nsec = 1000000000; S(417, p[1], &m, 1, 0, &t); }
#endif
