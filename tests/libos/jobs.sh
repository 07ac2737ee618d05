#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Job control, coprocesses and process substitution of bash, natively and in the LibOS.
set -m
(exit 3) & wait $!; echo "background $?"
coproc { while read -r l; do echo "co: $l"; done; }
echo hello >&${COPROC[1]}
read -r r <&${COPROC[0]}; echo "$r"
eval "exec ${COPROC[1]}>&-"; wait
while read -r a; do echo "substituted $a"; done < <(echo x; echo y)
echo written > >(cat); wait $!
# shellcheck disable=SC2207 # splitting words is what is tried here
numbers=($(for i in {1..20}; do echo "$i"; done)); echo ${#numbers[@]}
false | true | (exit 2); echo "${PIPESTATUS[@]}"
sleep 100 & p=$!
kill -STOP $p; while [[ $(jobs -s -p) != "$p" ]]; do sleep 0.02; done; echo stopped
kill -CONT $p; while [[ $(jobs -r -p) != "$p" ]]; do sleep 0.02; done; echo running
kill -TERM %sleep; wait $p; echo "ended $?" # not %1: the coprocess may still be job 1
sleep 0.1 & sleep 0.2 & jobs -r | wc -l; wait -n; echo "first $?"; wait
trap 'echo child >&2' CHLD; (:) 2>/dev/null; trap - CHLD
( ( ( echo "$BASH_SUBSHELL" ) ) )
trap 'echo exit trap' EXIT
exit 4
