# redis-server under its own benchmark, over TCP and a Unix socket.
scratch=$(mktemp -d) && cd "$scratch"
trap 'rm -rf "$scratch"' EXIT
redis-server --port 0 --save '' --unixsocket "$scratch/socket" > log 2>&1 &
server=$!
cli() { redis-cli -s "$scratch/socket" "$@"; }
for i in $(seq 100); do cli ping 2> /dev/null | grep -q PONG && break; sleep 0.1; done
cli set a 5; cli incrby a 37; cli rpush list x y z; cli lrange list 0 -1
cli eval 'return {KEYS[1], ARGV[1] * 2}' 1 key 21
redis-benchmark -s "$scratch/socket" -q -n 5000 -c 10 -t set,get,lpush 2>&1 | tr '\r' '\n' | grep -c 'requests per second'
cli shutdown nosave; wait $server; echo "status $?"
