# The core modules of Python's own test suite: what each ends with, and how many tests it ran.
scratch=$(mktemp -d) && cd "$scratch"
trap 'rm -rf "$scratch"' EXIT
for module in int float complex math cmath struct array decimal fractions re json pickle marshal string unicode bytes memoryview list dict set deque \
    heapq itertools functools generators coroutines exceptions io fileio tempfile posix pathlib shutil glob mmap select selectors signal \
    subprocess threading thread queue hashlib hmac zlib gzip bz2 lzma sqlite3 ctypes random time statistics ast compile grammar gc weakref; do
    name=test_$module
    # Some ask for a network, a large disk or a quiet machine: those resources are off, which is the default.
    python3 -m test --timeout 600 "$name" > log 2>&1
    status=$?
    [ $status = 0 ] || tail -n 30 log >&2
    echo "$name $status $(grep -o '^Total tests: run=[0-9,]*' log) $(grep -oE '^== Tests result: [A-Z ]+' log | head -n 1)"
done
