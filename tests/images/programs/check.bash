#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What bash has beyond a POSIX shell.
set -o pipefail
shopt -s extglob
cd /tmp || exit 1
declare -A map=([one]=1 [two]=2)
list=({a..e} "with space")
echo "${#list[@]} ${list[-1]} ${map[two]} ${list[@]:1:2}"
diff <(printf '1\n2\n3\n') <(printf '1\n3\n') && echo same
read -r a b <<<"here string"
echo "$b $a"
false | true
echo "pipefail: $? ${PIPESTATUS[*]}"
mapfile -t lines < <(seq 1 5)
echo "mapfile: ${lines[*]}"
coproc { while read -r l; do echo "co: $l"; done; }
coproc_pid=$COPROC_PID # which bash unsets when the coprocess has ended
echo hello >&"${COPROC[1]}"
read -r answer <&"${COPROC[0]}"
echo "$answer"
exec {COPROC[1]}>&-
wait "$coproc_pid"
echo "coproc: $?"
out=$(for i in {1..50}; do echo $i & done | wc -l)
wait
echo "background in a pipeline: $out"
sleep 0.1 & sleep 0.2 & sleep 0.3 &
wait -n; echo "wait -n: $?"
wait
sub() { local x=$1; ((x == 0)) && return 0; echo -n "$x "; sub $((x - 1)); }
sub 10; echo
printf '%s\n' "${BASH_VERSINFO[0]}" "${list[@]/a/A}"
[[ "file.tar.gz" == *.tar.+(gz|xz) ]] && echo extglob
set -m
sleep 60 &
kill %1
wait %1
echo "job: $?"
time_taken=$SECONDS
echo "quick: $((time_taken < 60))"
trap 'echo "exit trap $?"' EXIT
exit 11
