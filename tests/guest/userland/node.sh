# Node.js: compiled JavaScript, files, processes, worker threads, a server and its client, garbage.
set -e
scratch=$(mktemp -d) && cd "$scratch"
trap 'rm -rf "$scratch"' EXIT
cat > main.js <<'J'
const fs = require('fs'), crypto = require('crypto'), http = require('http'), zlib = require('zlib');
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const { execFileSync, spawn } = require('child_process');
function primes(n) { const s = new Uint8Array(n + 1); let c = 0; for (let i = 2; i <= n; i++) if (!s[i]) { c++; for (let j = i * i; j <= n; j += i) s[j] = 1; } return c; }
if (!isMainThread) { parentPort.postMessage(primes(workerData)); return; }
function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
async function main() {
    console.log(fib(24), primes(500000), 2n ** 200n, 0.1 + 0.2, Math.sin(1), (1e21).toString(), Number.MAX_SAFE_INTEGER);
    console.log([5, 3, 9, 1].sort((a, b) => a - b), new Map([[1, { a: 2 }]]), /(\w+)@(\w+)\.com/.exec('x me@host.com y').slice(1));
    const results = await Promise.all([10000, 20000, 30000].map(n => new Promise((ok, no) => {
        const w = new Worker(__filename, { workerData: n }); w.on('message', ok); w.on('error', no);
    })));
    console.log(results);
    let kept = [];
    for (let i = 0; i < 200000; i++) { kept.push({ i, text: 'x' + i }); if (kept.length > 1000) kept = kept.slice(500); }
    console.log(kept.length, kept[0].text);
    fs.writeFileSync('a.json', JSON.stringify({ list: Array.from({ length: 1000 }, (_, i) => i * i) }));
    const read = JSON.parse(fs.readFileSync('a.json', 'utf8'));
    console.log(read.list.reduce((a, b) => a + b), crypto.createHash('sha256').update(fs.readFileSync('a.json')).digest('hex'));
    console.log(zlib.gunzipSync(zlib.gzipSync(Buffer.alloc(100000, 'abc'))).length, crypto.createHmac('sha1', 'k').update('v').digest('base64'));
    console.log(execFileSync('sh', ['-c', 'echo from a shell; echo $0']).toString().trim());
    const child = spawn('cat'); child.stdin.end('through a pipe');
    for await (const chunk of child.stdout) console.log(chunk.toString());
    const server = http.createServer((q, r) => { r.setHeader('x-y', 'z'); r.end('asked for ' + q.url); });
    await new Promise(ok => server.listen(0, '127.0.0.1', ok));
    let n = 0;
    for (let i = 0; i < 50; i++) n += (await (new Promise(ok => http.get({ port: server.address().port, host: '127.0.0.1', path: '/p' + i }, r => {
        let s = ''; r.on('data', d => s += d); r.on('end', () => ok(s)); })))).length;
    console.log('served', n); server.close();
    try { null.x } catch (e) { console.log(e.message); }
    const wasm = new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 7, 1, 96, 2, 127, 127, 1, 127, 3, 2, 1, 0, 7, 7, 1, 3, 97, 100, 100, 0, 0, 10, 9, 1, 7, 0, 32, 0, 32, 1, 106, 11])));
    console.log('wasm', wasm.exports.add(40, 2));
}
main().then(() => process.exit(3));
J
node main.js || echo "status $?"
