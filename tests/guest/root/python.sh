# python3: threads, processes, databases, numbers.
exec python3 - <<'P'
import decimal, hashlib, json, math, multiprocessing, os, random, socket, sqlite3, struct, subprocess, sys, tempfile, threading, zlib
print(json.dumps({"a": [1, 2.5, None], "b": "\u00e9"}, sort_keys=True), hashlib.sha512(b"x").hexdigest()[:20])
print(subprocess.run(["sh", "-c", "echo out; echo err >&2; exit 3"], capture_output=True))
for _ in range(20):
    seen = []
    threads = [threading.Thread(target=lambda i=i: seen.append(i * i)) for i in range(20)]
    [t.start() for t in threads]; [t.join() for t in threads]
print(len(seen), sum(seen))
print(decimal.Decimal(1) / decimal.Decimal(7), zlib.crc32(b"hello"), math.sin(1), math.exp(1.5), pow(3, 1000, 997), repr(0.1 + 0.2))
db = sqlite3.connect(":memory:")
db.execute("create table t(a)"); db.executemany("insert into t values (?)", [(i,) for i in range(1000)])
print(db.execute("select sum(a), count(*) from t").fetchall())
random.seed(5); print(random.random(), random.randint(0, 10 ** 9))
a, b = socket.socketpair(); fd = os.open("/etc/passwd", os.O_RDONLY)
socket.send_fds(a, [b"x"], [fd]); data, fds, _, _ = socket.recv_fds(b, 10, 4); print(data, os.read(fds[0], 4))
with tempfile.TemporaryDirectory() as d:
    name = os.path.join(d, "socket"); server = socket.socket(socket.AF_UNIX); server.bind(name); server.listen()
    client = socket.socket(socket.AF_UNIX); client.connect(name); other, _ = server.accept()
    print(server.getsockname() == name, client.getpeername() == name, sorted(os.listdir(d)))
    other.sendall(b"hello"); print(client.recv(10))
    os.symlink("/etc/passwd", d + "/link"); print(os.path.realpath(d + "/link"), os.stat(d + "/link").st_size == os.stat("/etc/passwd").st_size)
with multiprocessing.Pool(2) as pool: print(pool.map(abs, [-1, -2, 3]))
print(os.path.basename(os.readlink("/proc/self/exe")), open("/proc/self/comm").read().strip(), sys.executable)
P
