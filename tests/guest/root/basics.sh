# The shell, coreutils, text tools, archives.
set -e
scratch=$(mktemp -d) && cd "$scratch"
trap 'rm -rf "$scratch"' EXIT
echo "-- paths"
mkdir -p dir/sub && ln -s ../target dir/link && echo text > target
cat dir/link && readlink dir/link && (cd dir/sub && cat ../../target && cd ../.. && [ "$(pwd)" = "$scratch" ] && echo here)
cd / && ls -d bin etc usr && cd ../../.. && pwd && cd "$scratch"
readlink -f /bin/sh && readlink /etc/alternatives/awk && ls -l /etc/alternatives/awk | sed 's/.*awk ->/->/'
[ -e /etc/debian_version ] && stat -c '%F %a' /etc/passwd
mv target dir/moved && rmdir dir/sub && ln dir/moved hard && stat -c %h hard && rm dir/moved && cat hard
ls -l /proc/self/exe /proc/self/cwd | sed 's/.*exe ->/exe ->/;s/.*cwd -> .*/cwd/'
echo "-- coreutils"
seq 20 | sort -rn | head -3 | paste -sd,
echo abc | sha256sum
printf 'b\na\nc\na\n' | sort | uniq -c
date -u -d @86400
expr 6 \* 7
dd if=/dev/zero bs=1k count=10 2> /dev/null | wc -c
tr a-z A-Z <<< hello
factor 1234567890
numfmt --to=iec 123456
timeout 0.2 sleep 5 || echo "timeout $?"
nice -n 5 nice
env -i A=1 env
cp -a /etc/passwd p && cmp p /etc/passwd && echo same
find . -type l | sort
split -l 5 -d p part. && cat part.* | cmp - p && echo whole
echo "-- shell"
f() { local x=$1; [ "$x" -le 1 ] && echo 1 || echo $((x * $(f $((x - 1))))); }
f 6
for i in 1 2 3; do (exit $i) || echo "status $?"; done
{ sleep 0.1; echo late; } & echo early; wait
trap 'echo caught' USR1; kill -USR1 $$
printf '#!/bin/sh\necho "script $0 $*"\n' > script && chmod +x script && ./script one two
bash -c 'kill -TERM $$' || echo "killed $?"
(ulimit -n 40; /bin/echo few; sh -c 'exec 3< /etc/passwd; read line <&3; echo "$line"; /bin/true && echo fine')
awk 'BEGIN { for (i = 0; i < 5; i++) s += sqrt(i); print s }'
sed -n 's/^root:\([^:]*\).*/\1/p' /etc/passwd
grep -c root /etc/passwd
echo "-- archives"
head -c 300000 /usr/bin/perl > big
for tool in gzip xz zstd; do $tool -kq big && $tool -dc big.* | cmp - big && echo "$tool"; rm -f big.*; done
tar --sort=name --mtime=@0 --owner=0 --group=0 -cf a.tar hard p && mkdir out && tar -xf a.tar -C out && cmp out/hard hard && tar -tf a.tar
