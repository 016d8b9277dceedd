# Ruby, PHP, Lua and LuaJIT: numbers, text, collections, exceptions, fibres, processes.
set -e
scratch=$(mktemp -d) && cd "$scratch"
trap 'rm -rf "$scratch"' EXIT
ruby -e '
def fib(n) = n < 2 ? n : fib(n - 1) + fib(n - 2)
puts fib(20), 2**300, (1..1000).select(&:even?).sum, Math.sqrt(2), "%.3e" % 12345.678, "äöü".reverse
f = Fiber.new { 3.times { |i| Fiber.yield i * i }; :done }
p 4.times.map { f.resume }
p [3, 1, 2].sort_by { -_1 }, "a1b22".scan(/\d+/), { "k" => [1, nil] }.to_s
begin; 1 / 0; rescue ZeroDivisionError => e; puts e.message; end
t = 5.times.map { |i| Thread.new { i * 2 } }
p t.map(&:value), `echo from a shell`.strip
r, w = IO.pipe; pid = fork { r.close; w.write "child"; exit! 7 }; w.close; puts r.read; Process.wait pid; p $?.exitstatus
h = Hash.new(0); 100000.times { |i| h[i % 997] += i }; p h.size, h.values.max
GC.start; p ObjectSpace.count_objects[:TOTAL] > 0
'
php -r '
function fib($n) { return $n < 2 ? $n : fib($n - 1) + fib($n - 2); }
echo fib(20), " ", PHP_INT_MAX + 1, " ", intdiv(-7, 2), " ", md5("x"), " ", hash("sha256", "x"), "\n";
$a = range(1, 1000); shuffle($a); sort($a); echo array_sum(array_map(fn($x) => $x * $x, $a)), " ", json_encode(["a" => [1, 2.5, null, "é"]]), "\n";
preg_match_all("/(\w)(\d+)/", "a1 b22 c333", $m); print_r($m[2]);
function gen() { for ($i = 0; $i < 3; $i++) { $x = yield $i => $i * 2; } return 9; }
foreach (gen() as $k => $v) echo "$k=$v ";
try { intdiv(1, 0); } catch (DivisionByZeroError $e) { echo $e->getMessage(), "\n"; }
echo sprintf("%.10f|%05d|%x", M_PI, 42, 255), " ", strrev("abc"), " ", shell_exec("echo shell");
$s = ""; for ($i = 0; $i < 50000; $i++) $s .= chr(65 + $i % 26); echo strlen($s), " ", crc32($s), " ", round(3.14159, 3), "\n";
echo serialize(new ArrayObject([1, 2])), "\n"; exit(3);
' || echo "status $?"
cat > p.lua <<'L'
local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
print(fib(22), math.sqrt(2), string.format("%5.2f|%q|%x", 3.14159, "a\nb", 255), ("x"):rep(5, ","))
local t = {} for i = 1, 20000 do t[i] = (i * 7919) % 10007 end table.sort(t) print(t[1], t[10000], t[20000])
local co = coroutine.wrap(function(a) for i = 1, 3 do a = coroutine.yield(a + i) end return "end" end)
print(co(1), co(10), co(100), co(0))
print(pcall(function() local x = nil; return x.y end))
print(select("#", 1, nil, nil), #"abc", 7 % -3, -7 % 3, 2 ^ 53, 1e15, 10 / 3)
local s = 0 for i = 1, 3000000 do s = (s + i * i) % 1000003 end print(s)
print(("key = value"):match("(%w+)%s*=%s*(%w+)"), os.time({ year = 2020, month = 1, day = 1, hour = 12 }) > 0)
local m = setmetatable({}, { __index = function(_, k) return k .. "!" end, __call = function(_, a) return a * 2 end }) print(m.hi, m(21))
local parts = {} for w in ("the quick brown fox"):gmatch("%a+") do parts[#parts + 1] = w:upper() end print(table.concat(parts, "-"))
collectgarbage() print(collectgarbage("count") > 0)
L
lua5.4 p.lua
luajit p.lua
luajit -joff p.lua | md5sum
luajit -e 'local ffi = require("ffi") ffi.cdef "int abs(int); size_t strlen(const char *);" local a = ffi.new("double[1000]") for k = 1, 50 do for i = 0, 999 do a[i] = a[i] * 0.5 + i end end print(ffi.C.abs(-5), tonumber(ffi.C.strlen("four")), a[999], bit.rol(0x12345678, 8))'
