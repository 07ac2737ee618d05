#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Ordinary containers by rune, crun and runc, in one run and in turns. ordinary.sh STAGE [ROUNDS]
# All three get a mount namespace without the unified hierarchy: crun refuses the hybrid layout otherwise.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
rune=$(cd "$1" && pwd)/usr/bin/rune
for tool in crun runc busybox; do
    command -v "$tool" >/dev/null || { echo "no $tool: skipped"; exit 0; }
done
work=$(mktemp -d "${TMPDIR:-/tmp}/rune-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
export work rune
cc -O2 -static -D_GNU_SOURCE -o "$work/peak" "$here/peak.c"
unshare --mount sh -c '
    mountpoint -q /sys/fs/cgroup/unified && umount /sys/fs/cgroup/unified
    mkdir "$work/state" && mount -t tmpfs none "$work/state"
    exec python3 "$0" "$work" "$rune" "$1"' "$here/ordinary.py" "${2:-40}"
