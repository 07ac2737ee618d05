# SQLite with a write-ahead log and four writers, redis with its benchmark and saves by fork, PostgreSQL from initdb to a crash
cd /tmp
sqlite3 a.db 'create table t(a,b); with recursive c(x) as (select 1 union all select x+1 from c where x<20000) insert into t select x, hex(x*7) from c; pragma journal_mode=wal; create index i on t(b); vacuum; pragma integrity_check;'
for i in 1 2 3 4; do
    (for j in $(seq 20); do sqlite3 -cmd '.timeout 60000' a.db "insert into t values($i,$j)"; done) &
done
wait
sqlite3 a.db 'pragma integrity_check; select count(*), sum(a) from t; pragma mmap_size=10000000; select count(*) from t where b=1'
redis-server --port 6400 --daemonize yes --dir /tmp --logfile /tmp/r.log --save '' >/dev/null
until redis-cli -p 6400 ping 2>/dev/null; do sleep 0.2; done
redis-cli -p 6400 set a 1
redis-benchmark -p 6400 -q --csv -n 2000 -t ping,set,get,lpush,mset | cut -d, -f1
redis-cli -p 6400 bgsave
sleep 3
ls dump.rdb
redis-cli -p 6400 config set appendonly yes
sleep 2
redis-cli -p 6400 eval 'return redis.call("get","a")' 0
redis-cli -p 6400 shutdown nosave
redis-check-rdb dump.rdb | tail -1 | sed 's/^[^]]*]//'
bin=$(echo /usr/lib/postgresql/*/bin)
as() { setpriv --reuid=postgres --regid=postgres --clear-groups env HOME=/tmp "$@"; }
sql() { as psql -h /tmp -At postgres -c "$1"; }
mkdir pg && chown postgres pg
as "$bin/initdb" -D pg/d -A trust >/dev/null 2>&1
echo "initdb $?"
start() { as "$bin/pg_ctl" -D pg/d -w -t 180 -l pg/log -o '-k /tmp -c listen_addresses=127.0.0.1' start >/dev/null; echo "start $?"; }
start
sql 'create table t(a int primary key, b text); insert into t select i, md5(i::text) from generate_series(1,20000) i; select count(*), md5(string_agg(b,chr(32) order by a)) from t'
sql 'set max_parallel_workers_per_gather=2; set parallel_setup_cost=0; set parallel_tuple_cost=0; set min_parallel_table_scan_size=0; select sum(a) from t'
sql 'vacuum analyze t'
as "$bin/pgbench" -i -q -s 1 -h /tmp postgres >/dev/null 2>&1
as "$bin/pgbench" -c 4 -j 2 -t 25 -h /tmp postgres 2>/dev/null | grep -E 'processed|failed'
as pg_dump -h /tmp postgres | grep -c COPY
as "$bin/pg_ctl" -D pg/d -w -m immediate stop >/dev/null
start
sql 'select count(*) from pgbench_history'
as "$bin/pg_ctl" -D pg/d -w stop >/dev/null
echo $?
