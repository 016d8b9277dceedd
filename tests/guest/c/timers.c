/* Clocks and timers: itimers, POSIX timers with signals and threads' ids, nanosleep, alarm, clock functions. */
#include "check.h"
#include <sys/times.h>

static volatile int ticks, last_value, last_code, overruns;
static timer_t timer;
static void tick(int sig, siginfo_t *si, void *uc) {
    (void)sig;
    (void)uc;
    ticks++;
    last_code = si->si_code;
    last_value = si->si_value.sival_int;
}

static double now(clockid_t c) {
    struct timespec t;
    CHECK(clock_gettime(c, &t) == 0);
    return t.tv_sec + t.tv_nsec / 1e9;
}

int main(void) {
    struct sigaction sa = {.sa_sigaction = tick, .sa_flags = SA_SIGINFO};
    sigaction(SIGALRM, &sa, NULL);
    sigaction(SIGVTALRM, &sa, NULL);
    sigaction(SIGRTMIN, &sa, NULL);

    double a = now(CLOCK_MONOTONIC);
    struct timespec ts = {0, 20000000};
    SHOW(nanosleep(&ts, NULL));
    SHOW(clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL));
    double b = now(CLOCK_MONOTONIC);
    printf("slept at least 40 ms: %d, below 5 s: %d\n", b - a >= 0.040, b - a < 5);
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_nsec = 0;
    SHOW(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &ts, NULL));
    ts.tv_nsec = 1000000000;
    SHOW(nanosleep(&ts, NULL));
    printf("clock_nanosleep bad clock: %s\n", errno_name(clock_nanosleep(99, 0, &ts, NULL)));

    struct timeval tv;
    CHECK(gettimeofday(&tv, NULL) == 0);
    double r = now(CLOCK_REALTIME);
    printf("clocks agree: %d %d\n", r - (tv.tv_sec + tv.tv_usec / 1e6) < 5, labs((long)time(NULL) - (long)r) < 5);
    printf("this century: %d\n", tv.tv_sec > 1700000000);
    printf("boot time runs: %d, cpu clock small: %d\n", now(CLOCK_BOOTTIME) > 0, now(CLOCK_PROCESS_CPUTIME_ID) < 3600);
    CHECK(clock_getres(CLOCK_MONOTONIC, &ts) == 0);
    printf("resolution %ld ns\n", (long)ts.tv_nsec);
    SHOW(clock_gettime(77, &ts));

    struct itimerval it = {.it_interval = {0, 5000}, .it_value = {0, 5000}}, old;
    SHOW(setitimer(ITIMER_REAL, &it, NULL));
    while (ticks < 5) pause();
    it.it_value.tv_usec = it.it_interval.tv_usec = 0;
    SHOW(setitimer(ITIMER_REAL, &it, &old));
    printf("interval %ld, code %d\n", (long)old.it_interval.tv_usec, last_code);
    ticks = 0;
    it.it_value.tv_usec = 10000;
    setitimer(ITIMER_VIRTUAL, &it, NULL);
    volatile unsigned long spin = 0;
    while (!ticks) spin = spin + 1;
    printf("virtual timer after work: %d\n", spin > 1000);

    SHOW(alarm(100));
    printf("alarm left: %d\n", alarm(0) >= 99);

    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 1234};
    SHOW(timer_create(CLOCK_MONOTONIC, &ev, &timer));
    ticks = 0;
    struct itimerspec its = {.it_value = {0, 5000000}, .it_interval = {0, 5000000}}, left;
    SHOW(timer_settime(timer, 0, &its, NULL));
    while (ticks < 3) pause();
    printf("code %d value %d\n", last_code, last_value);
    SHOW(timer_gettime(timer, &left));
    printf("interval %ld\n", (long)left.it_interval.tv_nsec);
    sigset_t block;
    sigemptyset(&block);
    sigaddset(&block, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &block, NULL);
    usleep(30000);
    siginfo_t si;
    sigwaitinfo(&block, &si);
    printf("overrun counted: %d\n", si.si_overrun >= 2 || timer_getoverrun(timer) >= 2);
    SHOW(timer_delete(timer));

    tzset();
    time_t fixed = 1000000000;
    struct tm tm;
    char text[64];
    gmtime_r(&fixed, &tm);
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %a %j", &tm);
    printf("%s, back %lld\n", text, (long long)timegm(&tm));
    struct tms tms;
    printf("times: %d\n", times(&tms) != (clock_t)-1);
    return 0;
}
