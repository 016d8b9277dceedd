/* Pipes, socket pairs, unix and loopback sockets, poll, select, epoll, eventfd, signalfd, timerfd, descriptor passing. */
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>

static void *echo_server(void *arg) {
    int listener = (int)(intptr_t)arg;
    int c = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    char buf[256];
    ssize_t n;
    while ((n = recv(c, buf, sizeof buf, 0)) > 0) {
        for (ssize_t i = 0; i < n / 2; i++) {
            char t = buf[i];
            buf[i] = buf[n - 1 - i];
            buf[n - 1 - i] = t;
        }
        send(c, buf, n, MSG_NOSIGNAL);
    }
    close(c);
    return NULL;
}

int main(void) {
    int p[2], s[2];
    char buf[300];
    CHECK(pipe2(p, O_NONBLOCK | O_CLOEXEC) == 0);
    SHOW(read(p[0], buf, 1));
    memset(buf, 'a', sizeof buf);
    long total = 0;
    ssize_t n;
    while ((n = write(p[1], buf, 256)) > 0) total += n;
    printf("pipe holds %ld: %s\n", total, errno_name(errno));
    SHOW(fcntl(p[1], F_GETPIPE_SZ));
    close(p[1]);
    total = 0;
    while ((n = read(p[0], buf, sizeof buf)) > 0) total += n;
    printf("drained %ld, end %zd\n", total, n);
    close(p[0]);

    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    struct iovec v[2] = {{"hello ", 6}, {"world", 5}};
    SHOW(writev(s[0], v, 2));
    struct iovec r[2] = {{buf, 3}, {buf + 100, 50}};
    n = readv(s[1], r, 2);
    printf("readv %zd: %.3s|%.*s\n", n, buf, (int)n - 3, buf + 100);
    /* A descriptor sent over a socket, with credentials asked for. */
    int one = 1;
    CHECK(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof one) == 0);
    CHECK(pipe(p) == 0);
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec io = {"F", 1};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &p[1], sizeof(int));
    SHOW(sendmsg(s[0], &m, 0));
    char big[200];
    struct iovec io2 = {buf, 10};
    struct msghdr m2 = {.msg_iov = &io2, .msg_iovlen = 1, .msg_control = big, .msg_controllen = sizeof big};
    SHOW(recvmsg(s[1], &m2, 0));
    int passed = -1;
    for (c = CMSG_FIRSTHDR(&m2); c; c = CMSG_NXTHDR(&m2, c)) {
        if (c->cmsg_type == SCM_RIGHTS) memcpy(&passed, CMSG_DATA(c), sizeof passed), printf("got a descriptor\n");
        if (c->cmsg_type == SCM_CREDENTIALS) {
            struct ucred cred;
            memcpy(&cred, CMSG_DATA(c), sizeof cred);
            printf("credentials right %d\n", cred.pid == getpid() && cred.uid == getuid());
        }
    }
    CHECK(write(passed, "via passed", 10) == 10);
    CHECK(read(p[0], buf, 10) == 10);
    printf("%.10s\n", buf);
    SHOW(shutdown(s[0], SHUT_WR));
    SHOW(recv(s[1], buf, 10, 0));

    /* Datagrams keep their borders. */
    int d[2];
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, d) == 0);
    send(d[0], "one", 3, 0);
    send(d[0], "twotwo", 6, 0);
    SHOW(recv(d[1], buf, 100, 0));
    SHOW(recv(d[1], buf, 2, MSG_TRUNC));
    SHOW(recv(d[1], buf, 2, MSG_DONTWAIT));

    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, peer;
    socklen_t len = sizeof addr;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0);
    CHECK(bind(listener, (struct sockaddr *)&addr, sizeof addr) == 0);
    CHECK(listen(listener, 5) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&addr, &len) == 0);
    printf("bound to %s, port %d\n", inet_ntoa(addr.sin_addr), addr.sin_port != 0);
    pthread_t t;
    pthread_create(&t, NULL, echo_server, (void *)(intptr_t)listener);
    int cl = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(cl, (struct sockaddr *)&addr, sizeof addr) == 0);
    CHECK(setsockopt(cl, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
    len = sizeof peer;
    CHECK(getpeername(cl, (struct sockaddr *)&peer, &len) == 0);
    printf("peer right %d\n", peer.sin_port == addr.sin_port);
    for (int i = 0; i < 3; i++) {
        snprintf(buf, sizeof buf, "message %d", i);
        send(cl, buf, strlen(buf), 0);
        n = recv(cl, buf, sizeof buf, 0);
        printf("echo: %.*s\n", (int)n, buf);
    }
    int type;
    len = sizeof type;
    CHECK(getsockopt(cl, SOL_SOCKET, SO_TYPE, &type, &len) == 0);
    printf("type %d length %d\n", type, (int)len);
    struct timeval tv = {0, 20000};
    CHECK(setsockopt(cl, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv) == 0);
    SHOW(recv(cl, buf, 1, 0));
    close(cl);
    pthread_join(t, NULL);
    close(listener);
    cl = socket(AF_INET, SOCK_STREAM, 0);
    SHOW(connect(cl, (struct sockaddr *)&addr, sizeof addr));
    SHOW(socket(AF_INET, 77, 0));
    SHOW(send(999, "x", 1, 0));

    enter_scratch();
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "socket"};
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    SHOW(bind(listener, (struct sockaddr *)&un, sizeof un));
    SHOW(listen(listener, 1));
    pthread_create(&t, NULL, echo_server, (void *)(intptr_t)listener);
    cl = socket(AF_UNIX, SOCK_STREAM, 0);
    SHOW(connect(cl, (struct sockaddr *)&un, sizeof un));
    send(cl, "abcdef", 6, 0);
    n = recv(cl, buf, sizeof buf, 0);
    printf("unix echo %.*s\n", (int)n, buf);
    close(cl);
    pthread_join(t, NULL);
    unlink("socket");
    leave_scratch();

    /* Waiting for several things. */
    int ev = eventfd(0, EFD_NONBLOCK), tf = timerfd_create(CLOCK_MONOTONIC, 0), ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = 0x1111222233334444}, out[4];
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, ev, &e) == 0);
    e.data.u64 = 0x5555666677778888;
    e.events = EPOLLIN | EPOLLONESHOT;
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, tf, &e) == 0);
    SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, tf, &e));
    SHOW(epoll_wait(ep, out, 4, 0));
    uint64_t five = 5, value = 0;
    CHECK(write(ev, &five, 8) == 8 && write(ev, &five, 8) == 8);
    SHOW(epoll_wait(ep, out, 4, 100));
    printf("event %x data %llx\n", out[0].events, (unsigned long long)out[0].data.u64);
    CHECK(read(ev, &value, 8) == 8);
    printf("eventfd %llu\n", (unsigned long long)value);
    SHOW(read(ev, &value, 8));
    struct itimerspec its = {.it_value = {0, 10000000}, .it_interval = {0, 10000000}};
    CHECK(timerfd_settime(tf, 0, &its, NULL) == 0);
    SHOW(epoll_pwait(ep, out, 4, 1000, NULL));
    printf("data %llx\n", (unsigned long long)out[0].data.u64);
    usleep(25000);
    CHECK(read(tf, &value, 8) == 8);
    printf("timerfd expired more than once %d\n", value >= 2);
    SHOW(epoll_wait(ep, out, 4, 20));
    CHECK(epoll_ctl(ep, EPOLL_CTL_DEL, ev, NULL) == 0);

    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    int sf = signalfd(-1, &mask, SFD_NONBLOCK);
    struct signalfd_siginfo ssi;
    SHOW(read(sf, &ssi, sizeof ssi));
    union sigval sv = {.sival_int = 99};
    sigqueue(getpid(), SIGUSR1, sv);
    SHOW(read(sf, &ssi, sizeof ssi));
    printf("signalfd: signo %d code %d int %d\n", ssi.ssi_signo, ssi.ssi_code, ssi.ssi_int);

    CHECK(pipe(p) == 0);
    struct pollfd pf[3] = {{p[0], POLLIN, 0}, {p[1], POLLOUT, 0}, {999, POLLIN, 0}};
    SHOW(poll(pf, 3, 0));
    printf("revents %x %x %x\n", pf[0].revents, pf[1].revents, pf[2].revents);
    CHECK(write(p[1], "x", 1) == 1);
    close(p[1]);
    struct timespec ts = {1, 0};
    SHOW(ppoll(pf, 1, &ts, NULL));
    printf("revents %x\n", pf[0].revents);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(p[0], &set);
    FD_SET(ev, &set);
    tv.tv_sec = 1, tv.tv_usec = 0;
    SHOW(select(p[0] + 1, &set, NULL, NULL, &tv));
    printf("set %d %d, time left %d\n", !!FD_ISSET(p[0], &set), !!FD_ISSET(ev, &set), tv.tv_sec == 1 || tv.tv_usec > 0);
    FD_ZERO(&set);
    tv.tv_sec = 0, tv.tv_usec = 10000;
    SHOW(select(0, NULL, NULL, NULL, &tv));
    return 0;
}
