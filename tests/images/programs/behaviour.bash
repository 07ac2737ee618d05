#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What bash asks of the system beyond pipes: limits, wait -n, read -t, traps in children, job control, statuses of signals.
cd "${TMPDIR:-/tmp}" || exit 1
trap 'echo usr1' USR1
kill -USR1 $$
(
    trap 'echo terminated; exit 7' TERM
    while :; do sleep 0.05; done
) &
child=$!
sleep 0.3
kill $child
wait $child
echo "trap in a child $?"
coproc C { while read -r x; do echo "got $x"; done; }
coproc_pid=$C_PID
echo hello >&"${C[1]}"
read -ru "${C[0]}" y
echo "$y"
eval "exec ${C[1]}>&-"
wait "$coproc_pid"
echo "coprocess $?"
sleep 5 &
long=$!
(sleep 0.1; exit 5) &
wait -n
echo "wait -n $?"
kill $long
wait $long
echo "killed $?"
(ulimit -n 20; i=3; while eval "exec $i</dev/null" 2>/dev/null; do i=$((i + 1)); done; echo "descriptors up to $i")
(ulimit -f 1; head -c 5000 /dev/zero >big; echo "file size $?") 2>/dev/null
stat -c %s big
(ulimit -t 1; bash -c 'while :; do :; done'; echo "processor time $?") 2>/dev/null
(ulimit -s 256; bash -c 'f() { f; }; f' 2>/dev/null; echo "stack $?") 2>/dev/null
(ulimit -u 1 && ulimit -u)
read -rt 0.2 x < <(sleep 1)
echo "read -t $?"
exec 5<>both
echo data >&5
exec 5>&-
cat both
(exec 6</dev/tcp/127.0.0.1/1) 2>/dev/null
echo "refused $?"
diff <(seq 5) <(seq 6)
set -m
sleep 10 &
job=$!
kill -STOP %1
sleep 0.2
jobs -s | grep -c Stopped
kill -CONT %1
kill %1
wait "$job" # by number: bash forgets %1 when it hears of the end first
echo "job $?"
set +m
timeout 0.2 sleep 5
echo "timeout $?"
bash -c 'kill -SEGV $$' 2>/dev/null
echo "fault $?"
setsid sh -c 'echo session'
echo $(($(nice -n 5 nice) - $(nice))) # however nice the suite itself runs
flock both echo locked
ps -o rss= -p $$ 2>/dev/null | awk '$1 < 100 { print "no memory in use?" }'
awk '/^VmRSS/ { print ($2 > 500) }' /proc/self/status
exit 9
