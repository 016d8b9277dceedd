# PostgreSQL: initdb, a server with several backends, transactions, pgbench, a crash of nothing and a clean stop.
set -e
bin=$(echo /usr/lib/postgresql/*/bin)
scratch=$(mktemp -d) && chmod 755 "$scratch" && mkdir "$scratch/d" && chown postgres "$scratch/d"
as() { setpriv --reuid postgres --regid postgres --clear-groups env HOME="$scratch/d" LC_ALL=C "$@"; }
trap 'as $bin/pg_ctl -D "$scratch/d/db" -m immediate stop > /dev/null 2>&1 || true; rm -rf "$scratch"' EXIT
cd "$scratch/d"
as $bin/initdb -D "$scratch/d/db" -E UTF8 -A trust > "$scratch/d/log" 2>&1 || { tail "$scratch/d/log"; exit 1; }
tail -4 "$scratch/d/log" | head -1
as $bin/pg_ctl -D "$scratch/d/db" -w -t 300 -o "-k $scratch/d -h '' -c fsync=off" -l "$scratch/d/server" start | tail -1
sql() { as $bin/psql -h "$scratch/d" -X -q -A -t -d "${db:-postgres}" -c "$1"; }
sql 'create database bench'
db=bench
sql 'create table t(a serial primary key, b text, c numeric, d double precision); insert into t(b, c, d) select md5(i::text), i / 7.0, sqrt(i) from generate_series(1, 20000) i; create index on t(b)'
sql "select count(*), sum(c), round(sum(d)::numeric, 9), max(b), (select a from t where b = md5('77')) from t"
sql 'begin; delete from t where a % 2 = 0; rollback; select count(*) from t'
sql "select json_agg(x) from (select a % 3 as k, count(*) from t group by 1 order by 1) x; select regexp_replace('abc123', '\d+', '!'), to_char(date '2020-02-29' + interval '1 year', 'YYYY-MM-DD')"
sql "select 1 / 0" 2>&1 || echo "status $?"
sql "create function f(n int) returns bigint language plpgsql as 'declare s bigint := 0; begin for i in 1..n loop s := s + i; end loop; return s; end'; select f(100000)"
as $bin/pgbench -h "$scratch/d" -i -q -s 1 bench 2> /dev/null
as $bin/pgbench -h "$scratch/d" -c 4 -j 2 -t 50 bench 2> /dev/null | grep -E 'number of (clients|transactions actually|failed)'
sql 'select count(*) from pgbench_history; select sum(abalance) = (select sum(delta) from pgbench_history) from pgbench_accounts'
sql 'vacuum analyze'
sql 'select pg_size_pretty(10240::bigint)'
as $bin/pg_dump -h "$scratch/d" -t t bench | sed -n '/^COPY/,/^\\\./p' | md5sum
as $bin/pg_ctl -D "$scratch/d/db" -m fast -w stop | tail -1
