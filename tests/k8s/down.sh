#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Stops the cluster: the end of its PID namespace ends every process in it, and
# with them its mounts and interfaces; then the cgroups are removed.
set -uo pipefail
# shellcheck source=tests/k8s/env.sh
. "$(dirname "$(readlink -f "$0")")/env.sh"
U=$(cat "$RUN/pid" 2>/dev/null) || true
if [ -n "${U:-}" ] && tr '\0' ' ' < "/proc/$U/cmdline" 2>/dev/null | grep -q "^unshare .*inside.sh"; then
  kill -KILL "$U"                            # --kill-child: takes PID 1 of the namespace along
  for _ in $(seq 100); do kill -0 "$(cat "$RUN/init.pid")" 2>/dev/null || break; sleep 0.1; done
  say "stopped"
else say "was not running"; fi
for _ in $(seq 50); do
  left=0
  for c in /sys/fs/cgroup/*/k8s-"$K8S_NODE"; do
    [ -d "$c" ] || continue
    find "$c" -depth -type d -exec rmdir {} + 2>/dev/null
    [ -d "$c" ] && left=1
  done
  [ $left = 0 ] && break; sleep 0.1
done
[ $left = 0 ] && say "cgroups removed" || { say "cgroups left:"; ls -d /sys/fs/cgroup/*/k8s-"$K8S_NODE" >&2; }
rm -f "$RUN/pid" "$RUN/init.pid"
[ "${1:-}" = --keep ] || rm -rf "$RUN"
