# SPDX-License-Identifier: Apache-2.0
# Shared by the tests with Docker, containerd and Podman: the images, a daemon's life, what must be gone afterwards.

load common

# To be called by setup_file; CLIENT_PROGRAMS are what the file needs.
clients_setup_file() { # PROGRAM...
    export PATH=/usr/bin:/usr/sbin:$PATH # Debian's programs, not what somebody has in /usr/local
    [ "$(id -u)" -eq 0 ] || skip "containers need root here"
    [ -x "$RUNE" ] || skip "no rune at $RUNE (make stage)"
    for program in "$@"; do
        command -v "$program" >/dev/null || skip "no $program: its Debian package is not installed (scripts/deps.sh clients)"
    done
    # Short, for a UNIX socket's path has 107 bytes.
    work=$(mktemp -d "${TMPDIR:-/tmp}/rune-clients.XXXXXX")
    export work
    # A parent cgroup of our own shows what is left.
    export parent=rune-clients-$$
    export RUNE_CACHE_DIR=$work/cache RUNE_SIGNING_KEY=$work/key.pem
    export images=${RUNE_CHECK_IMAGES:-$repo/build/images}
    chmod 711 "$work" # a user namespace's root goes through here
    mkdir "$RUNE_CACHE_DIR"
    busybox_image "$work/busybox"
}

# An image with one static program, some users and nothing else.
busybox_image() { # DIR
    mkdir -p "$1"/{bin,etc,proc,sys,dev,tmp,root,run,mnt,home/user}
    chmod 1777 "$1/tmp"
    cp "$(command -v busybox)" "$1/bin/busybox"
    for name in $("$1/bin/busybox" --list); do
        [ -e "$1/bin/$name" ] || ln -s busybox "$1/bin/$name"
    done
    printf '%s\n' root:x:0:0:root:/root:/bin/sh user:x:1000:1000:user:/home/user:/bin/sh >"$1/etc/passwd"
    printf '%s\n' root:x:0: user:x:1000: staff:x:50:user >"$1/etc/group"
    tar -C "$1" -cf "$1.tar" .
}

# The unmodified Debian image with Python, as a stream.
debian_image() {
    "$repo/tests/images/make-image.sh" "$images/debian-python" 2>/dev/null
    tar -C "$images/debian-python/rootfs" -c .
}

# start_daemon NAME COMMAND...: its output goes to NAME.log, its process id to NAME.pid
start_daemon() {
    local name=$1
    shift
    setsid "$@" >"$work/$name.log" 2>&1 </dev/null 3>&- &
    echo $! >"$work/$name.pid"
}

# For the shell of a container whose terminal is to have 33 rows and 77 columns: the engine sets that when the program runs already.
# shellcheck disable=SC2016,SC2034 # expanded there; used by the tests
show_size='i=0; until [ "$(stty size)" = "33 77" ] || [ $i = 100 ]; do i=$((i+1)); sleep 0.1; done; stty size'

stop_daemon() { # NAME
    [ -e "$work/$1.pid" ] || return 0
    local pid
    pid=$(cat "$work/$1.pid")
    kill "$pid" 2>/dev/null || return 0
    within 20 gone "$pid" || kill -9 "$pid"
}

gone() { # PID
    [ ! -e "/proc/$1" ] || [ "$(awk '/^State/ {print $2}' "/proc/$1/status")" = Z ]
}

# Nothing of the engine or its containers is left: processes, mounts, cgroups. What is left is removed, and said.
clients_teardown_file() {
    [ -n "${work:-}" ] || return 0
    local left status=0 pid
    left=$(processes_of "$work")
    [ -z "$left" ] || { echo "# processes are left: $(ps -o pid,args -p "${left//$'\n'/,}")" >&3; status=1; kill -9 $left; for pid in $left; do within 5 gone "$pid" || true; done; }
    left=$(awk -v dir="$work/" 'index($2, dir) == 1 {print $2}' /proc/self/mounts | sort -r)
    for mount in $left; do
        # An engine's own mounts (netns, overlay of the store) may outlive it; containers' may not.
        umount -l "$mount" || true
    done
    left=$(find /sys/fs/cgroup -maxdepth 3 -type d -path "*/$parent/*" ! -name conmon 2>/dev/null || true) # conmon's own: Podman leaves it
    [ -z "$left" ] || { echo "# cgroups are left: $left" >&3; status=1; }
    find /sys/fs/cgroup -depth -type d -path "*/$parent*" -exec rmdir {} + 2>/dev/null || true
    # Podman makes plain files for controllers that are not mounted.
    for left in /sys/fs/cgroup/*/"$parent"; do
        [ ! -d "$left" ] || [ "$(stat -f -c %T "$left")" != tmpfs ] || rm -rf --one-file-system "$left"
    done
    rm -rf --one-file-system "$work"
    return $status
}

# Those whose command line or environment names the directory.
processes_of() { # DIR
    local dir
    for dir in /proc/[0-9]*; do
        [ "${dir#/proc/}" != $$ ] || continue
        grep -qsF "$1" "$dir/cmdline" && [ "$(awk '{print $1}' "$dir/comm" 2>/dev/null)" != bats ] && echo "${dir#/proc/}"
    done
    return 0
}

# A root's tar file as an image archive in the form of `docker save`.
image_archive() { # ROOT.tar NAME OUT.tar [COMMAND as JSON]
    local dir=$work/archive
    mkdir -p "$dir"
    ln "$1" "$dir/layer.tar"
    cat >"$dir/config.json" <<JSON
{ "architecture": "amd64", "os": "linux", "config": { "Cmd": ${4:-[\"/bin/sh\"]},
  "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"] },
  "rootfs": { "type": "layers", "diff_ids": ["sha256:$(sha256sum <"$1" | cut -d' ' -f1)"] } }
JSON
    echo "[{\"Config\": \"config.json\", \"RepoTags\": [\"$2\"], \"Layers\": [\"layer.tar\"]}]" >"$dir/manifest.json"
    tar -C "$dir" -cf "$3" manifest.json config.json layer.tar
    rm -rf "$dir"
}

# For a shell in an enclave: MRENCLAVE and CONFIGID of its report. identity_of reads what that prints.
# shellcheck disable=SC2034 # used by the tests
show_identity='od -An -v -tx1 -j64 -N32 /dev/attestation/report; od -An -v -tx1 -j192 -N32 /dev/attestation/report'
identity_of() {
    tr -d ' \r\n' | cut -c1-128 | fold -w 64
}

# How many containers of one deployment are started: full-identity.sh wants 50 of each engine.
identity_runs() {
    seq "${RUNE_IDENTITY_RUNS:-2}"
}

# predicted IMAGE FILE|ENGINE LINE...: what rune-image measure says of the first container, in the same form
predicted() {
    "${RUNE%/*}/rune-image" measure --json --cache "$work/measured" --key "$work/key.pem" "$@" 2>"$work/measure.err" >"$work/measure.json" || { cat "$work/measure.err"; return 1; }
    jq -r '.[0] | .mrenclave // empty, .configid' "$work/measure.json"
}

# Containers that `box` starts by ctr, with what engines give along, are what was predicted, each time.
ctr_identity_is_predicted() {
    local flags=(--annotation enclave.type=auto --env COLOUR=blue --cwd /tmp --mount "type=bind,src=$work/busybox,dst=/data,options=rbind:ro")
    predicted "$work/image.tar" ctr run "${flags[@]}" docker.io/test/busybox:1 "$name" sh -c "$show_identity" >"$work/expected"
    [ "$(wc -l <"$work/expected")" -eq 2 ]
    for _ in $(identity_runs); do
        box --rm "${flags[@]}" -- sh -c "$show_identity" 2>/dev/null | identity_of >"$work/found"
        diff "$work/expected" "$work/found" || return 1
    done
}
