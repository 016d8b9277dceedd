# Processes that trace others: strace and gdb of the root's own kind, on programs of its own kind.
set -e
scratch=$(mktemp -d) && cd "$scratch"
trap 'rm -rf "$scratch"' EXIT
cat > p.c << 'END'
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static void on(int s) { (void)s; }
static void *thread(void *a) { return (char *)a + 1; }
__attribute__((noinline)) int fact(int n) {
    if (n <= 1) return 1;
    return n * fact(n - 1);
}
struct list { int value; struct list *next; } first = {1, 0}, second = {2, &first};
int main(int argc, char **argv) {
    signal(SIGUSR1, on);
    raise(SIGUSR1);
    pthread_t t;
    pthread_create(&t, 0, thread, 0);
    pthread_join(t, 0);
    if (!fork()) { execl("/bin/true", "true", (char *)0); _exit(1); }
    int status;
    wait(&status);
    printf("fact %d\n", fact(argc + 4));
    fflush(stdout);
    if (argc > 1) *(volatile int *)16 = 1;
    return 3;
}
END
gcc -g -O1 -fno-inline -pthread -o p p.c
cat > loop.c << 'END'
#include <fcntl.h>
#include <unistd.h>
int counter;
int work(int i) { return counter += i; }
int main() { creat("looping", 0600); for (int i = 0; i < 1000000; i++) { usleep(1000); work(i); } return 0; }
END
# However slow the machine is, it has begun then.
looping() { rm -f looping; ./loop & pid=$!; until [ -e looping ]; do sleep 0.1; done; }
gcc -g -O0 -o loop loop.c
cat > turns.c << 'END'
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>
int shared;
static void *add(void *n) { shared += *(int *)n; return n; }
static int leaf(int n) {
    int square = 0;
    square = n * n;
    return square + 1;
}
int main() {
    pthread_t thread;
    for (int i = 1; i <= 2; i++) {
        pthread_create(&thread, 0, add, &i);
        pthread_join(thread, 0);
    }
    int sum = leaf(shared);
    pid_t child = fork();
    if (child == 0) _exit(leaf(2));
    waitpid(child, 0, 0);
    return sum;
}
END
gcc -g -O0 -pthread -o turns turns.c
echo "-- strace"
calls='(write|kill|tgkill|wait4|waitpid|execve|exit|exit_group|rt_sigreturn|sigreturn)'
clean() { sed -E 's/^[0-9]+ +//; s/0x[0-9a-f]+/X/g; s/(pid=|tgkill\(|kill\()[0-9]+(, [0-9]+)?/\1N/g; s/= [0-9]{2,}$/= N/; s/_time=[0-9]+( \/\*[^*]*\*\/)?/_time=N/g; s/si_[us]time=[0-9]+( \/\*[^*]*\*\/)?/T/g; s/\/\* [0-9]+ vars \*\//VARS/; s/  +/ /g'; }
strace -o out ./p || echo "status $?"
grep -E "^$calls\(|^[-+]" out | grep -vE '^(wait|--- SIGCHLD)' | clean
sh -c 'strace -f -o out ./p x; echo "status $?"' 2> /dev/null
grep -E " $calls\(| [-+]{3} " out | grep -v resumed | clean | sed -E '/^[a-z]/s/\(.*//' | sort | uniq -c
strace -f -c -o out ./p || echo "status $?"
grep -E " (execve|clone3?|exit_group)$" out | awk '{ print $NF }' | sort
strace --seccomp-bpf -f -e trace=execve,write,exit_group -o out ./p || echo "status $?"
clean < out | grep -v SIGUSR1 | sort
strace --seccomp-bpf -f -c -e trace=fork,vfork,clone,clone3,exit_group -o out ./turns || echo "status $?"
awk '$NF ~ /^(clone3?|exit_group)$/ { print $4, $NF }' out | sort
strace -e trace=write -e inject=write:error=ENOSPC ./p > /dev/full 2> out || echo "status $?"
grep -c INJECTED out
looping
strace -p $pid -o out 2> /dev/null & tracer=$!
until [ "$(grep -c nanosleep out)" -gt 5 ] 2> /dev/null; do sleep 0.1; done
kill $tracer && wait $tracer || echo "strace $?"
kill -0 $pid && kill $pid && wait $pid || echo "ended $?"
echo "-- gdb"
debug() { gdb -nx -q -batch -iex 'set debuginfod enabled off' -iex 'set auto-load off' -ex 'set pagination off' -ex 'set width 0' -ex 'set startup-with-shell off' -ex 'handle SIGUSR1 nostop noprint pass' "$@" 2> err < /dev/null | grep -vE '^\[|^Using host|^$|warning|^Signal |^SIGUSR1|^Kill the|kernel_vsyscall|_dl_sysinfo|[?]{2} \(\)|^#.* raise|^0x[0-9a-f]+ in|in main \(|^__|^[0-9]+.*No such file'  | sed -E 's/0x[0-9a-f]+/X/g; s/process [0-9]+/process N/; s/LWP [0-9]+/LWP N/; s/argv=X/argv=A/; s/<main\+[0-9]+>//' || true; }
debug -ex 'break fact' -ex run -ex bt -ex 'info breakpoints' -ex 'print n' -ex next -ex step -ex 'print fact(6)' -ex 'delete' -ex finish -ex 'print second' -ex 'print *second.next' -ex continue ./p
debug -ex 'handle SIGUSR1 stop print' -ex run -ex 'print $_siginfo.si_signo' -ex 'signal 0' ./p
debug -ex run -ex bt -ex 'print $_siginfo.si_signo' -ex 'print $_siginfo._sifields._sigfault.si_addr' -ex 'x/i $pc' -ex kill --args ./p x | sed -E 's/^(=> X <main\+)[0-9]+/\1N/'
debug -ex 'catch exec' -ex 'set follow-fork-mode child' -ex run -ex 'info inferiors' -ex continue ./p | grep -oE 'Catchpoint 1|/bin/true|/usr/bin/true|exited normally' | sort -u
debug -ex 'break work if i == 3' -ex run -ex 'print i' -ex 'watch counter' -ex continue -ex continue -ex 'print counter' -ex 'awatch counter' -ex 'delete 2' -ex continue -ex continue -ex kill ./loop
debug -ex 'tbreak main' -ex run -ex 'stepi' -ex 'stepi' -ex 'print $eflags & 0x200' -ex 'print/x $cs' -ex 'set var $st0 = 1.5' -ex 'print $st0' -ex kill ./p
debug -ex 'break fact if n == 3' -ex run -ex bt -ex 'info registers' -ex 'up' -ex 'hbreak fact' -ex 'delete 1' -ex continue -ex bt -ex 'delete' -ex 'set var $xmm1.v4_int32[2] = 77' -ex stepi -ex 'print $xmm1.v4_int32[2]' -ex 'print $_exitcode' -ex continue -ex 'print $_exitcode' ./p | grep -vE '^([er]?([abcd]x|[sd]i|[bs]p|ip)|r[89]|r1[0-5]|[fg]s(_base)?|k[0-7]|eflags) '
debug -ex 'watch shared' -ex run -ex 'print $_thread' -ex continue -ex 'print n == 0' -ex delete -ex 'break leaf' -ex continue -ex next -ex 'watch square' -ex 'rwatch n' -ex continue -ex continue -ex 'delete 4' -ex continue -ex 'info watchpoints' ./turns
debug -ex 'catch fork' -ex 'catch syscall exit_group' -ex 'set follow-fork-mode child' -ex run -ex 'print $_inferior' -ex continue -ex 'print $_inferior' -ex 'info breakpoints' -ex continue -ex 'print $_exitcode' ./turns | grep -v 'hit Catchpoint' | sed -E 's/forked process [0-9]+/forked process N/'
looping
debug -p $pid -ex 'break work' -ex continue -ex 'print i > 0' -ex 'set var i = 10000000' -ex finish -ex delete -ex 'print counter > 10000000' -ex detach | grep -vE '^(#|__|[0-9]+.*No such file|Reading|clock_nano|Value returned)' | sed 's/i=[0-9]*/i=N/'
kill -0 $pid && kill $pid && wait $pid || echo "ended $?"
