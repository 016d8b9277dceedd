# Directory trees, find, tar and compression.
$BB mkdir -p tree/a/b/c tree/d
for i in 1 2 3 4 5; do $BB seq 1 $((i * 400)) > tree/a/f$i; done
$BB dd if=/dev/zero of=tree/d/zeros bs=1024 count=24 2>/dev/null
$BB ln -s ../a/f1 tree/d/link
$BB ln tree/a/f2 tree/d/hard
$BB chmod 640 tree/a/f3
$BB touch -d '2001-09-09 01:46:40' tree/a/f4
$BB find tree | $BB sort
$BB find tree -type f -size +4k | $BB sort
$BB find tree -name 'f[12]' -exec $BB wc -l {} \; | $BB sort
$BB find tree -type l
$BB stat -c '%n %a %h %s' tree/a/f3 tree/d/hard
$BB du -a tree > /dev/null && echo "du works"
$BB tar -cf one.tar tree && $BB tar -tf one.tar | $BB sort | $BB head -n 5
$BB gzip -k -9 one.tar 2>/dev/null || $BB gzip -c one.tar > one.tar.gz
$BB bzip2 -c one.tar > one.tar.bz2 2>/dev/null && echo "bzip2 works"
$BB mkdir back && $BB tar -xzf one.tar.gz -C back
(cd tree && $BB find . -type f | $BB sort | $BB xargs $BB sha256sum) > before
(cd back/tree && $BB find . -type f | $BB sort | $BB xargs $BB sha256sum) > after
$BB cmp before after && $BB cat after
$BB bunzip2 -c one.tar.bz2 | $BB cmp - one.tar && echo "bzip2 round trip"
$BB gunzip -c one.tar.gz | $BB cmp - one.tar && echo "gzip round trip"
$BB cp -r tree copy && $BB diff -r tree copy && echo "copies agree"
$BB mv copy moved && $BB ls moved
$BB rm -r moved back && $BB ls | $BB sort
(cd tree && $BB find . | $BB cpio -o -H newc 2>/dev/null | $BB cpio -t 2>/dev/null | $BB wc -l)
$BB readlink tree/d/link; $BB realpath tree/d/link | $BB sed 's/.*tree/tree/'
