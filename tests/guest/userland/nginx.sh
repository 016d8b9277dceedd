# nginx serves files under a load of 10,000 requests; big files, ranges, missing ones.
set -e
scratch=$(mktemp -d) && cd "$scratch" && chmod 755 .
mkdir www logs && head -c 3000 /dev/zero | tr '\0' a > www/small.txt && seq 1 200000 > www/big.txt
cat > nginx.conf <<N
worker_processes 2; pid $scratch/pid; error_log $scratch/logs/error.log; daemon on; user root;
events { worker_connections 256; }
http { access_log off; gzip on; gzip_types text/plain; sendfile on; client_body_temp_path $scratch/b; proxy_temp_path $scratch/p; fastcgi_temp_path $scratch/f; uwsgi_temp_path $scratch/u; scgi_temp_path $scratch/s;
server { listen 127.0.0.1:18973; root $scratch/www; location /hidden { return 403; } location /moved { return 301 /small.txt; } } }
N
nginx -p "$scratch" -c "$scratch/nginx.conf"
trap 'nginx -p "$scratch" -c "$scratch/nginx.conf" -s stop; sleep 0.3; rm -rf "$scratch"' EXIT
u=http://127.0.0.1:18973
for i in $(seq 50); do curl -s -o /dev/null $u/small.txt && break; sleep 0.1; done
curl -s $u/small.txt | md5sum
curl -s $u/big.txt | md5sum
curl -s --compressed $u/big.txt | md5sum
curl -s -r 100-119 $u/big.txt; echo
for p in hidden moved nothing; do curl -s -o /dev/null -w '%{http_code}\n' $u/$p; done
curl -sL $u/moved | wc -c
ab -q -k -n 10000 -c 20 $u/small.txt | grep -E '^(Complete requests|Failed requests|HTML transferred|Document Length)'
nginx -p "$scratch" -c "$scratch/nginx.conf" -s reload && sleep 0.3 && curl -s $u/small.txt | wc -c
grep -c '\[error\]' logs/error.log
