#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What shells do with processes; run by dash and by bash, natively and in the LibOS.
x=$(echo one; echo two)
echo "$x" | while read -r l; do echo "line $l"; done
(cd /tmp && echo "sub in $(pwd)")
reader() { while read -r l; do echo "here: $l"; done; }
reader <<EOT
first $x
EOT
for i in 1 2 3; do (exit $i) & done
wait
echo waited
(exit 5) & p=$!
wait $p; echo "background $?"
sh -c 'kill -TERM $$'; echo "TERM $?"
sh -c 'kill -KILL $$'; echo "KILL $?"
trap 'echo trapped' USR1
kill -USR1 $$
trap - USR1
i=0
while [ $i -lt 60 ]; do y=$(echo $i); i=$((i + 1)); done
echo "substitutions $y"
printf 'c\nb\na\n' | sort | cat | sed 's/^/sorted /'
seq 200 | xargs -n 20 -P 3 echo | wc -l | tr -d ' '
{ echo to stderr >&2; } 2>&1 | cat
mkfifo "/tmp/fifo.$$"
cat "/tmp/fifo.$$" & echo through a fifo >"/tmp/fifo.$$"
wait
rm "/tmp/fifo.$$"
sleep 5 & p=$!
kill $p; wait $p; echo "killed $?"
timeout 0.2 sleep 5; echo "timeout $?"
yes | head -n 3
false | true; echo "pipeline $?"
set -- a 'b c' ''
echo "$# <$2> <$3>"
(trap 'echo exit trap' EXIT; exit 3); echo "trap $?"
sh -c 'exec sh -c "exit 9"'; echo "exec $?"
no-such-program 2>/dev/null; echo "missing $?"
/tmp 2>/dev/null; echo "directory $?"
nohup sh -c 'echo survives' 2>/dev/null
(sleep 0.05; echo late) & wait
cat <<EOT | (read -r a; read -r b; echo "$b $a")
1
2
EOT
exit 7
