# What ps and /proc say of programs.
scratch=$(mktemp -d) && cd "$scratch"
trap 'rm -rf "$scratch"' EXIT
bash -c 'exec -a myname sleep 20' &
sleep 0.3
ps -o comm,args --no-headers -p $!
pgrep -x sleep > /dev/null && echo found
tr '\0' ' ' < /proc/$!/cmdline; echo
readlink /proc/$!/exe
cat /proc/$!/comm
kill $!; wait $! 2> /dev/null; echo "status $?"
cp /bin/cat mycat && ./mycat /proc/self/comm
printf '#!/bin/bash\ncat /proc/$$/comm; ps -o args= -p $$; readlink /proc/$$/exe\n' > script && chmod +x script && ./script
perl -e '$0 = "renamed"; system("ps -o args= -p $$; cat /proc/$$/comm"); exec {"/bin/cat"} "xx", "/proc/self/cmdline"' | tr '\0' ' '; echo
A=1 sh -c 'tr "\0" "\n" < /proc/$$/environ | grep A=; ps -o args= -p $$ | cut -c1-8'
printf '#!/usr/bin/python3\nimport ctypes\nl = ctypes.CDLL(None)\nl.getauxval.restype = ctypes.c_char_p\nprint(l.getauxval(31))\n' > execfn
chmod +x execfn && ./execfn
perl -e 'open F, "<", "/bin/readlink"; $^F = 10; exec "/proc/self/fd/" . fileno(F), "/proc/self/exe"' | sed 's/[0-9]*$//'
