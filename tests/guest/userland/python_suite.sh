# Python's own test suite, module by module.
for m in abc array ast asyncio.test_events augassign base64 bigmem binascii binop bisect bool bytes bz2 call capi.test_misc class cmath codecs collections \
    compile complex contextlib copy csv ctypes dataclasses datetime decimal deque dict difflib enum enumerate exceptions \
    fcntl file float fork1 format fractions fstring functools gc generators glob grp hash hashlib heapq hmac int io itertools json \
    linecache list long lzma marshal math memoryio memoryview mmap operator ordered_dict os pathlib pickle pipes poll posix \
    pty pwd queue random range re richcmp sched select selectors set shelve shlex shutil signal slice socket sort sqlite3 \
    ssl statistics stat str strftime string struct subprocess sys syslog tarfile tempfile textwrap thread threading time timeit \
    tokenize traceback tuple types typing unicode userdict uuid wait3 wait4 weakref zipfile zlib; do
    case $m in *.*) t=test.test_$m ;; *) t=test_$m ;; esac
    timeout 900 python3 -m test -q --timeout 600 "$t" > /tmp/suite.$$ 2>&1; s=$?
    echo "$m $s"
    [ $s = 0 ] || grep -E '^(FAIL|ERROR):' /tmp/suite.$$ | sort -u
done
rm -f /tmp/suite.$$
