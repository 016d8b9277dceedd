# redis-benchmark, signatures and large numbers: bc, gmp, fftw.
set -e
scratch=$(mktemp -d) && cd "$scratch"
redis-server --port 18974 --save '' --daemonize yes --dir "$scratch" --io-threads 2 > /dev/null
trap 'redis-cli -p 18974 shutdown nosave; rm -rf "$scratch"' EXIT
for i in $(seq 100); do redis-cli -p 18974 ping 2> /dev/null | grep -q PONG && break; sleep 0.1; done
redis-benchmark -p 18974 -n 5000 -c 20 -P 4 -t set,get,incr,lpush,lpop,sadd,hset,zadd,lrange_100 --csv | cut -d, -f1
redis-cli -p 18974 get counter:__rand_int__
echo 'scale=60; 4*a(1); e(1); 2^500 % 1000007' | BC_LINE_LENGTH=0 bc -l
cat > n.c <<'C'
#include <fftw3.h>
#include <gmp.h>
#include <math.h>
#include <stdio.h>
int main(void) {
    mpz_t a, b, m;
    mpz_inits(a, b, m, NULL);
    mpz_fac_ui(a, 2000); mpz_ui_pow_ui(b, 3, 3000); mpz_gcd(m, a, b); gmp_printf("%Zd\n", m);
    mpz_mul(m, a, b); mpz_add_ui(m, m, 1); mpz_powm(a, b, a, m); printf("%zu %lu\n", mpz_sizeinbase(m, 2), mpz_fdiv_ui(a, 1000003));
    mpz_ui_pow_ui(a, 2, 521); mpz_sub_ui(a, a, 1); printf("prime %d\n", mpz_probab_prime_p(a, 20) > 0);
    mpz_sqrt(b, m); mpz_tdiv_qr(a, b, m, b); printf("%lu %lu\n", mpz_fdiv_ui(a, 999983), mpz_fdiv_ui(b, 999983));
    int n = 480;
    fftw_complex *x = fftw_malloc(sizeof *x * n), *y = fftw_malloc(sizeof *x * n);
    fftw_plan p = fftw_plan_dft_1d(n, x, y, FFTW_FORWARD, FFTW_ESTIMATE), q = fftw_plan_dft_1d(n, y, x, FFTW_BACKWARD, FFTW_ESTIMATE);
    for (int i = 0; i < n; i++) x[i][0] = sin(i * 0.1), x[i][1] = i % 7;
    fftw_execute(p); double e = 0; for (int i = 0; i < n; i++) e += y[i][0] * y[i][0] + y[i][1] * y[i][1];
    fftw_execute(q); double d = 0; for (int i = 0; i < n; i++) d = fmax(d, fabs(x[i][0] / n - sin(i * 0.1)));
    printf("%.6f %d\n", e, d < 1e-12);
}
C
gcc -O2 n.c -o n -lfftw3 -lgmp -lm && ./n
python3 - <<'P'
import numpy as np
r = np.random.RandomState(1); a = r.rand(60, 60)
print(np.round(np.linalg.det(a), 8), np.round(np.linalg.norm(np.linalg.inv(a) @ a - np.eye(60)), 6), np.fft.fft(np.arange(64)).real.sum().round(6))
print(np.sort(r.randint(0, 1000, 500))[::100], (a > .5).sum(), np.round(np.linalg.eigvalsh(a + a.T)[:3], 8), a.astype(np.float32).sum().round(2))
P
