# SPDX-License-Identifier: Apache-2.0
# Shared by all tests that start containers: which rune, the configuration of a bundle, waiting, cleaning.

repo=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
: "${RUNE_STAGE:=$repo/build/stage}"
: "${RUNE:=$RUNE_STAGE/usr/bin/rune}"
export RUNE_STAGE RUNE

# Entries of the cache that are images: beside them is what was learned of an engine's layers.
cached_images() {
    find "$RUNE_CACHE_DIR" -mindepth 1 -maxdepth 1 ! -name layers -printf '%f\n' | sort
}

# configure 'python statements over c, the configuration of $bundle' ...
configure() {
    CONFIG=$bundle/config.json python3 - "$@" <<'PY'
import json, os, sys
path = os.environ["CONFIG"]
c = json.load(open(path))
for statement in sys.argv[1:]:
    exec(statement)
json.dump(c, open(path, "w"), indent=2)
PY
}

# The entrypoint of $bundle.
arguments() {
    configure "c['process']['args'] = $(python3 -c 'import json, sys; print(json.dumps(sys.argv[1:]))' "$@")"
}

# within SECONDS COMMAND...: try until it succeeds
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || { echo "not within the time: $*" >&2; return 1; }
        sleep 0.05
    done
}

# Linux takes times of files from a clock that ticks every 1 to 10 ms: what changes from now on is later than all before, and what is there
# is old enough for the cache of converted images.
after_a_tick() {
    sleep 0.05
}

status_is() { # CONTAINER STATUS
    [ "$("$RUNE" --root "$state" state "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["status"])')" = "$2" ]
}

# Those of other containers may go while find looks, which find takes for a failure.
cgroups_of() { # CONTAINER
    find /sys/fs/cgroup -maxdepth 4 -type d -name "*$1*" 2>/dev/null || true
}

# Whatever containers are left below $state.
delete_containers() {
    local container
    for container in "$state"/*/; do
        [ ! -d "$container" ] ||
            timeout -k 5 60 "$RUNE" --root "$state" delete --force "$(basename "$container")" >/dev/null 2>&1 || true
    done
}

# nothing_left [CONTAINER]: nothing of it is left, be it state, cgroups, mounts or processes (those that processes_left prints)
# shellcheck disable=SC2120 # the container's name is given elsewhere
nothing_left() {
    local name=${1:-$id} left
    [ ! -e "$state/$name" ] || { echo "state directory is left"; return 1; }
    left=$(cgroups_of "$name")
    [ -z "$left" ] || { echo "cgroups are left: $left"; return 1; }
    left=$(grep -F "$work" /proc/self/mounts || true)
    [ -z "$left" ] || { echo "mounts are left: $left"; return 1; }
    left=$(processes_left)
    [ -z "$left" ] || { echo "processes are left: $left"; return 1; }
}
