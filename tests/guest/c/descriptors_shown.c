/* A program has the descriptors that it opened and no others, by asking for each and by what /proc lists. */
#include "check.h"
#include <dirent.h>

static void list(const char *path) {
    DIR *d = opendir(path);
    struct dirent *e;
    int seen = 0, above = 0;
    if (!d) {
        printf("%s: %s\n", path, errno_name(errno));
        return;
    }
    while ((e = readdir(d)) != NULL) {
        int n = atoi(e->d_name);
        if (e->d_name[0] == '.' || n == dirfd(d)) continue;
        seen++;
        above += n > 20;
    }
    printf("%s: %d, high %d\n", path, seen, above);
    closedir(d);
}

int main(void) {
    struct stat s;
    char own[64];
    for (int fd = 3; fd < 1024; fd++) close(fd);
    int a = open("/dev/null", O_RDONLY);
    SHOW(a);
    SHOW(dup2(a, 900));
    SHOW(dup2(a, 901));
    int open_ones = 0;
    for (int fd = 0; fd < 1024; fd++) open_ones += fstat(fd, &s) == 0;
    printf("open: %d\n", open_ones);
    list("/proc/self/fd");
    sprintf(own, "/proc/%d/fdinfo", getpid());
    DIR *d = opendir(own);
    CHECK(d != NULL);
    closedir(d);
    SHOW(close(900));
    SHOW(close(901));
    list("/proc/self/fd");
    SHOW(fcntl(900, F_GETFD));
    SHOW(fcntl(901, F_GETFD));
    open_ones = 0;
    for (int fd = 0; fd < 1024; fd++) open_ones += fcntl(fd, F_GETFL) >= 0;
    printf("open: %d\n", open_ones);
    return 0;
}
