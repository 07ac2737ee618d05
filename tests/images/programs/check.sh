#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What an ordinary shell script does, for dash and, as `bash check.sh`, for bash.
set -u
cd /tmp || exit 1
echo "arguments: $#: $*"
echo "command substitution: $(echo inner $(echo nested))"
printf 'b\na\nc\n' | sort | tr '\n' ' '
echo
seq 1 1000 | grep 5 | wc -l
x=outer
(x=inner; cd /; echo "subshell: $x $(pwd)")
echo "parent: $x $(pwd)"
cat <<EOF
here-document: $x $((6 * 7))
EOF
cat <<'EOF'
quoted here-document: $x
EOF
echo one >file
echo two >>file
cat <file
wc -l <file
{ echo to-out; echo to-err >&2; } 2>errors >out
echo "out: $(cat out); err: $(cat errors)"
ls /no/such/file 2>&1 | sed 's/^.*ls: /ls: /'
exec 5>five
echo through-five >&5
exec 5>&-
cat five
if ! false; then echo "status: $?"; fi
true && echo and || echo or
(exit 9)
echo "exit of subshell: $?"
sh -c 'kill -TERM $$'
echo "killed: $?"
sleep 0.2 &
first=$!
(sleep 0.1; exit 4) &
second=$!
wait $second
echo "second: $?"
wait $first
echo "first: $?"
for i in 1 2 3; do (sleep 0.0$i; echo "job $i") & wait $!; done
wait
echo "left: $(jobs | wc -l)"
trap 'echo "trapped TERM"' TERM
kill -TERM $$
trap 'echo "at exit"' EXIT
i=0
while [ $i -lt 20 ]; do i=$((i + 1)); /bin/true || echo bad; done
echo "forked $i times"
yes | head -n 2
find /etc/apt -type d | sort
[ -d /proc/self ] && [ -c /dev/null ] && echo "proc and dev are there"
read -r line <<EOF
a line with spaces
EOF
echo "read: $line"
case $line in a*) echo matched ;; *) echo not ;; esac
rm -f file out errors five
exit 6
