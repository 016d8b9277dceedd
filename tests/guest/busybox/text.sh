# Text tools on generated files.
$BB seq 1 200 > numbers
$BB awk '{ s += $1; if ($1 % 7 == 0) n++ } END { print s, n, s / n }' numbers
$BB awk 'BEGIN { for (i = 0; i < 5; i++) printf "%s %.3f %d\n", substr("abcdef", i + 1, 2), sqrt(i), i ^ 2; print length("hello"), toupper("up"), index("haystack", "st") }'
$BB awk '{ words[$1 % 3] = words[$1 % 3] " " $1 } END { print length(words[0]), length(words[1]), length(words[2]) }' numbers
$BB sed -n '5,8p; s/^1\(.\)$/<\1>/p' numbers | $BB head -n 12
echo "The quick brown fox" | $BB sed 's/\(quick\) \(brown\)/\2 \1/; s/fox/&es/; y/T/t/'
$BB grep -c '7' numbers
$BB grep -E '^(1|2)0+$' numbers
$BB sort -rn numbers | $BB head -n 3
$BB sort numbers | $BB uniq -c | $BB wc -l
$BB cut -c1-2 numbers | $BB sort -u | $BB wc -l
$BB paste numbers numbers | $BB tail -n 2
$BB od -A d -t x1 -N 20 numbers
$BB tac numbers | $BB head -n 1
$BB rev numbers | $BB tail -n 1
echo 'hello world' | $BB md5sum
echo 'hello world' | $BB sha1sum
$BB sha256sum numbers
$BB sha512sum numbers
$BB cksum numbers
echo 'scale=5; 22/7; 2^100' | $BB bc 2>/dev/null || echo '22 7 / p' | $BB dc 2>/dev/null || echo "no calculator"
$BB expr 6 \* 7
$BB factor 1234567890 2>/dev/null || echo "no factor"
$BB base64 numbers | $BB base64 -d | $BB cmp - numbers && echo "base64 round trip"
$BB diff numbers /dev/null | $BB wc -l
$BB printf '%d %o %e\n' 10 8 1234.5
$BB date -u -d @1000000000 '+%Y-%m-%d %H:%M:%S'
$BB cal 2 2000
