# gcc and make build a program, which runs; git keeps it.
set -e
scratch=$(mktemp -d) && cd "$scratch"
trap 'rm -rf "$scratch"' EXIT
cat > part.c <<'C'
#include <math.h>
double harmonic(int n) { double s = 0; for (int i = 1; i <= n; i++) s += 1.0 / i; return s; }
double root(double x) { return sqrt(x) + sin(x); }
C
cat > main.c <<'C'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
double harmonic(int), root(double);
static void *run(void *p) { *(double *)p = harmonic(*(double *)p); return 0; }
int main(int argc, char **argv) {
    pthread_t t[4];
    double v[4] = {10, 100, 1000, 10000};
    for (int i = 0; i < 4; i++) pthread_create(&t[i], 0, run, &v[i]);
    for (int i = 0; i < 4; i++) pthread_join(t[i], 0), printf("%.10f\n", v[i]);
    printf("%.10f %s %s\n", root(2), argv[0], getenv("WORD"));
    return argc;
}
C
printf 'prog: main.o part.o\n\tgcc -o $@ $^ -lm -pthread\n%%.o: %%.c\n\tgcc -O2 -c $<\n' > Makefile
make -s -j2
WORD=word ./prog one two || echo "status $?"
make -s && echo "up to date"
export GIT_AUTHOR_DATE=2020-01-01T00:00:00Z GIT_COMMITTER_DATE=2020-01-01T00:00:00Z HOME=$scratch
git init -q -b main repo && cd repo && git config user.email a@b && git config user.name name
for i in 1 2 3; do echo "line $i" >> file && git add file && git commit -qm "commit $i"; done
git log --oneline && git diff HEAD~1 | tail -3 && git gc -q && git fsck && git clone -q . ../clone && ls ../clone
