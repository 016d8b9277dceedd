# Round trips: gzip, bzip2, xz, zstd, tar; the same bytes out of every one, and the same archives.
set -e
scratch=$(mktemp -d) && cd "$scratch"
trap 'rm -rf "$scratch"' EXIT
{ seq 1 60000; awk 'BEGIN { x = 1; for (i = 0; i < 60000; i++) { x = (x * 1103515245 + 12345) % 2147483648; printf "%c", x / 8388608 % 94 + 33 } }' < /dev/null; head -c 200000 /dev/zero; } > in
for level in 1 6 9; do
    gzip -n -$level < in > g && gzip -dc < g | cmp - in && md5sum < g
    bzip2 -$level < in > b && bzip2 -dc < b | cmp - in && md5sum < b
    xz -T1 -$level < in > x && xz -dc < x | cmp - in && md5sum < x
    zstd -q -$level < in > z && zstd -dcq < z | cmp - in && md5sum < z
done
xz -T2 --block-size=100000 < in | xz -dc -T2 | md5sum
zstd -q -T2 -19 --long < in | zstd -dcq --long=27 | md5sum
mkdir t && cp in t/a && ln -s a t/l && ln t/a t/h && tar --sort=name --mtime=@0 --owner=0 --group=0 -cf - t | tee tar.out | md5sum
mkdir u && tar -C u -xJf <(xz < tar.out) && cmp u/t/l in && readlink u/t/l
printf 'x' | dd of=g bs=1 seek=100 conv=notrunc 2> /dev/null; gzip -dc < g > /dev/null 2>&1 || echo "broken $?"
