#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An ordinary Debian 12 root with python3, for the demo and the tests; no file of ours is in it.
#   make-image.sh DIR [PACKAGE...]   makes DIR/rootfs once (about a minute, 190 MB); prints nothing when it is there already.
# A root that was not finished is made again; two callers at once wait for each other.
set -euo pipefail
dir=$1
shift
include=$(IFS=,; echo "python3${*:+,$*}")
mkdir -p "$dir"
dir=$(realpath "$dir")
exec 9>"$dir/.lock"
flock 9
[ "$(cat "$dir/.done" 2>/dev/null)" != "$include" ] || exit 0
rm -rf --one-file-system "$dir/rootfs" "$dir/.done"

log=$dir/mmdebstrap.log
# In a mount namespace of its own: a run that is killed leaves no mount behind.
unshare --mount mmdebstrap --variant=minbase --include="$include" bookworm "$dir/rootfs" >"$log" 2>&1 9>&- &
pid=$!
trap 'kill $pid 2>/dev/null || true' EXIT
start=$SECONDS
while kill -0 $pid 2>/dev/null; do
    printf '\r   Debian 12 with %s: %3d s, %s ' "$include" $((SECONDS - start)) \
        "$(du -sh "$dir/rootfs" 2>/dev/null | cut -f1)" >&2
    sleep 1
done
trap - EXIT
echo >&2
wait $pid || { tail -20 "$log" >&2; echo "make-image.sh: mmdebstrap failed" >&2; exit 1; }
echo "$include" >"$dir/.done"
