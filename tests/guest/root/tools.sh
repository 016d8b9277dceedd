# sqlite3 and openssl.
set -e
scratch=$(mktemp -d) && cd "$scratch"
trap 'rm -rf "$scratch"' EXIT
sqlite3 db 'create table t(a integer primary key, b text);
with recursive c(x) as (select 1 union all select x + 1 from c where x < 5000) insert into t select x, hex(x * x) from c;
create index i on t(b); select count(*), sum(a), max(b) from t; pragma integrity_check; select * from t where b like "31%" limit 3;'
echo hi > text
openssl dgst -sha3-256 text
openssl enc -aes-256-cbc -pbkdf2 -S 0102030405060708 -k pw -in text | sha1sum
openssl ecparam -genkey -name prime256v1 -noout -out key && openssl ec -in key -pubout -out pub 2> /dev/null
openssl dgst -sha256 -sign key -out sig text && openssl dgst -sha256 -verify pub -signature sig text
