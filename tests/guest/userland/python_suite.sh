# The core modules of Python's own test suite: what each ends with, and how many tests it ran.
scratch=$(mktemp -d) && cd "$scratch"
trap 'rm -rf "$scratch"' EXIT
for module in int float complex math cmath struct array decimal fractions datetime re json pickle marshal string unicode bytes memoryview \
    list dict set deque heapq itertools functools generators coroutines exceptions io fileio tempfile os posix pathlib shutil glob mmap select \
    selectors signal subprocess socket threading thread queue concurrent_futures.test_thread_pool asyncio.test_locks hashlib hmac zlib gzip bz2 \
    lzma sqlite3.test_types ctypes.test_numbers random time statistics ast compile grammar sys gc weakref contextlib; do
    case $module in *.*) name=$module ;; *) name=test_$module ;; esac
    # Some ask for a network, a large disk or a quiet machine: those resources are off, which is the default.
    python3 -m test --timeout 600 "$name" > log 2>&1
    status=$?
    [ $status = 0 ] || tail -n 30 log >&2
    echo "$name $status $(grep -o '^Total tests: run=[0-9,]*' log) $(grep -oE '^== Tests result: [A-Z ]+' log | head -n 1)"
done
