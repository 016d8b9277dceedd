# OpenJDK: javac compiles a program with threads, locks, streams and much garbage; null pointers are found by faults, divisions by zero by signals.
set -e
scratch=$(mktemp -d) && cd "$scratch"
trap 'rm -rf "$scratch"' EXIT
cat > Main.java <<'J'
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.stream.*;
public class Main {
    record Point(int x, int y) {}
    interface Shape { double area(); }
    static int depth(int n) { return n == 0 ? 0 : 1 + depth(n - 1); }
    static int endless(int n) { return endless(n + 1) + 1; }
    static Object nothing() { return null; }
    public static void main(String[] a) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(4);
        AtomicLong sum = new AtomicLong();
        List<Future<Integer>> list = new ArrayList<>();
        for (int t = 0; t < 16; t++) {
            final int n = t;
            list.add(pool.submit(() -> { for (int i = 0; i < 20000; i++) sum.addAndGet(i % (n + 1)); return n * n; }));
        }
        int squares = 0;
        for (Future<Integer> f : list) squares += f.get();
        pool.shutdown();
        System.out.println(sum + " " + squares);
        Map<Integer, byte[]> kept = new HashMap<>();
        long made = 0;
        for (int i = 0; i < 20000; i++) { kept.put(i % 300, new byte[1000 + i % 7000]); made += kept.get(i % 300).length; }
        System.out.println(kept.size() + " " + made);
        Object lock = new Object();
        int[] shared = {0};
        Thread[] threads = new Thread[6];
        for (int t = 0; t < 6; t++) (threads[t] = new Thread(() -> { for (int i = 0; i < 5000; i++) synchronized (lock) { shared[0]++; } })).start();
        for (Thread t : threads) t.join();
        System.out.println(shared[0]);
        int zero = a.length, faults = 0;
        for (int i = 0; i < 3000; i++) {
            try { System.out.print(i / zero); } catch (ArithmeticException e) { faults++; }
            try { nothing().hashCode(); } catch (NullPointerException e) { faults++; }
            try { shared[i + 1]++; } catch (ArrayIndexOutOfBoundsException e) { faults++; }
        }
        System.out.println("faults " + faults + " " + depth(3000));
        try { endless(0); } catch (StackOverflowError e) { System.out.println("overflow"); }
        System.out.println(IntStream.range(0, 5000).filter(i -> i % 3 == 0).mapToObj(Integer::toString).collect(Collectors.joining()).hashCode());
        System.out.println(new TreeSet<>(List.of(3, 1, 2)) + " " + new Point(1, 2) + " " + Math.sin(2) + " " + (0.1f + 0.2f) + " " + Long.MIN_VALUE / -1 + " " + (int) Double.NaN);
        double[] v = new double[1000];
        for (int r = 0; r < 300; r++) for (int i = 0; i < v.length; i++) v[i] = v[i] * 0.5 + i;
        System.out.printf("%.6f %s%n", Arrays.stream(v).sum(), String.format("%08x", Arrays.hashCode(v)));
        System.exit(4);
    }
}
J
javac Main.java
java -Xmx96m Main || echo "status $?"
java -Xmx96m -XX:+UseSerialGC -Xint Main | md5sum
