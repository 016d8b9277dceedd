/* Arguments, environment, identity, limits, scheduling, random numbers, resource information. */
#include "check.h"
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>

extern char **environ;

int main(int argc, char **argv) {
    printf("argc %d last is NULL %d\n", argc, argv[argc] == NULL);
    setenv("DEMOTIC_TEST", "value", 1);
    printf("%s\n", getenv("DEMOTIC_TEST"));
    unsetenv("DEMOTIC_TEST");
    printf("gone %d\n", getenv("DEMOTIC_TEST") == NULL);
    printf("ids agree %d %d\n", getuid() == geteuid(), getgid() == getegid());
    uid_t r, e, s;
    CHECK(getresuid(&r, &e, &s) == 0);
    printf("resuid %d\n", r == e && e == s);
    SHOW(getgroups(0, NULL) >= 0);
    unsigned char random[16] = {0}, zero[16] = {0};
    SHOW(getrandom(random, 16, 0));
    printf("random %d\n", memcmp(random, zero, 16) != 0);
    char name[16];
    SHOW(prctl(PR_SET_NAME, "renamed"));
    SHOW(prctl(PR_GET_NAME, name));
    printf("%s\n", name);
    SHOW(prctl(12345));
    struct sysinfo si;
    SHOW(sysinfo(&si));
    printf("memory %d unit %d uptime %d\n", si.totalram > 0, si.mem_unit > 0, si.uptime > 0);
    struct rlimit rl = {1000, 2000};
    CHECK(setrlimit(RLIMIT_CORE, &rl) == 0);
    memset(&rl, 0, sizeof rl);
    CHECK(getrlimit(RLIMIT_CORE, &rl) == 0);
    printf("limit %lu %lu\n", (unsigned long)rl.rlim_cur, (unsigned long)rl.rlim_max);
    CHECK(getrlimit(RLIMIT_STACK, &rl) == 0);
    printf("stack limit positive %d\n", rl.rlim_cur > 0);
    struct rusage ru;
    CHECK(getrusage(RUSAGE_SELF, &ru) == 0);
    printf("max rss %d\n", ru.ru_maxrss > 0);
    cpu_set_t set;
    CHECK(sched_getaffinity(0, sizeof set, &set) == 0);
    printf("processors %d %d\n", CPU_COUNT(&set) > 0, sysconf(_SC_NPROCESSORS_ONLN) > 0);
    SHOW(sched_yield());
    SHOW(sched_getscheduler(0));
    SHOW(getpriority(PRIO_PROCESS, 0));
    printf("page size %ld\n", sysconf(_SC_PAGESIZE));
    printf("getcpu %d\n", sched_getcpu() >= 0);
    printf("tid is pid %d\n", syscall(SYS_gettid) == getpid());
    errno = 0;
    printf("unknown call: %ld", syscall(999));
    printf(" %s\n", errno_name(errno));
    return 42;
}
