# SPDX-License-Identifier: Apache-2.0
# A containerd of the test's own, with containerd-shim-rune-v2 as it is installed: found in PATH by the name of the runtime.

load clients

# own_network: containerd gets a network namespace of its own, and its CRI plugin; its containers are in the namespace k8s.io then.
shim_setup_file() { # PROGRAM...
    clients_setup_file containerd ctr busybox "$@"
    export PATH=$RUNE_STAGE/usr/bin:$PATH
    [ -x "$RUNE_STAGE/usr/bin/containerd-shim-rune-v2" ] || skip "no containerd-shim-rune-v2 in $RUNE_STAGE (make stage)"
    cat >"$work/config.toml" <<TOML
version = 2
root = "$work/root"
state = "$work/run"
$([ -n "${own_network:-}" ] || echo 'disabled_plugins = ["io.containerd.grpc.v1.cri"]')
[grpc]
  address = "$work/sock"
[ttrpc]
  address = "$work/ttrpc"
TOML
    # The runtime's state is below /run/containerd/rune, by namespace.
    export CONTAINERD_ADDRESS=$work/sock CONTAINERD_NAMESPACE=shim-test-$$ state=/run/containerd/rune/shim-test-$$
    [ -z "${own_network:-}" ] || cri_setup
    export RUNE_SHIM_CONFIG=$work/shim.toml # read by shims: of the environment of containerd
    export runtime=io.containerd.rune.v2 image=docker.io/test/busybox:1
    start_containerd ${own_network:+unshare --net}
    image_archive "$work/busybox.tar" test/busybox:1 "$work/image.tar"
    ctr image import "$work/image.tar" >/dev/null
    [ -z "${own_network:-}" ] || {
        image_archive "$work/busybox.tar" test/pause:1 "$work/pause.tar" '["/bin/sleep", "1000000"]'
        ctr image import "$work/pause.tar" >/dev/null
    }
}

start_containerd() { # [PROGRAM...]: by this one
    # shellcheck disable=SC2016 # expanded there
    start_daemon containerd "$@" ${own_network:+sh -c 'ip link set lo up; exec "$@"' sh} containerd --config "$work/config.toml"
    within 30 ctr version || { tail -20 "$work/containerd.log"; return 1; }
}

cri_setup() {
    export CONTAINERD_NAMESPACE=k8s.io own_network
    mkdir "$work/cni"
    cat >>"$work/config.toml" <<TOML
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/test/pause:1"
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$work/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "rune"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.rune]
    runtime_type = "io.containerd.rune.v2"
    pod_annotations = ["enclave.*"]
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.rune-enclave]
    runtime_type = "io.containerd.rune-enclave.v2"
    pod_annotations = ["enclave.*"]
TOML
    cat >"$work/cni/10-bridge.conflist" <<JSON
{ "cniVersion": "0.4.0", "name": "pods", "plugins": [
  { "type": "bridge", "bridge": "cni0", "isGateway": true, "ipam": { "type": "host-local", "dataDir": "$work/ipam",
    "ranges": [[{ "subnet": "10.87.0.0/16" }]], "routes": [{ "dst": "0.0.0.0/0" }] } }] }
JSON
}

shim_teardown_file() {
    [ -n "${work:-}" ] || return 0
    remove_tasks
    stop_daemon containerd
    [ ! -e "$state" ] || [ -z "$(ls "$state")" ] || echo "# containers are left in $state: $(ls "$state")" >&3
    rm -rf "$state"
    # What was above the containers' own cgroups; empty, or it stays and shows.
    find /sys/fs/cgroup -depth -type d -name "$CONTAINERD_NAMESPACE" -exec rmdir {} + 2>/dev/null || true
    clients_teardown_file
}

remove_tasks() {
    ctr task ls -q 2>/dev/null | xargs -r -n 1 timeout 30 ctr task rm -f >/dev/null 2>&1 || true
    ctr container ls -q 2>/dev/null | xargs -r timeout 30 ctr container rm >/dev/null 2>&1 || true
}

setup() {
    name=test-${parent##*-}-$BATS_TEST_NUMBER # cgroups are looked for by this name
}

teardown() {
    remove_tasks
}

box() { # OPTIONS... -- COMMAND...
    local flags=()
    while [ "$1" != -- ]; do
        flags+=("$1")
        shift
    done
    timeout -s KILL 120 ctr run --runtime "$runtime" --cgroup "/$parent/$name" "${flags[@]}" "$image" "$name" "${@:2}"
}

# A container that says "up", and "told" when it gets SIGTERM; its output is in a file.
starts() { # OPTIONS...
    box -d --log-uri "file://$work/$name.out" "$@" -- sh -c 'trap "echo told; exit 3" TERM; echo up; while :; do sleep 0.1; done'
    within 20 grep -q up "$work/$name.out"
}

task_is() { # STATE
    ctr task ls | grep -q "^$name .*$1"
}

task_pid() {
    ctr task ls | awk -v name="$name" '$1 == name {print $2}'
}

bundle_of() { # CONTAINER
    echo "$work/run/io.containerd.runtime.v2.task/$CONTAINERD_NAMESPACE/$1"
}

shim_of() { # CONTAINER: its process id
    local pid
    pid=$(awk '/^PPid/ {print $2}' "/proc/$(ctr task ls | awk -v name="$1" '$1 == name {print $2}')/status")
    grep -q containerd-shim-rune "/proc/$pid/cmdline" && echo "$pid"
}

no_shims() { # TEXT of their command lines
    ! pgrep -f "containerd-shim-rune.* .*$1" >/dev/null
}

# The shim's socket, as containerd finds it after a restart.
address_of() { # CONTAINER
    sed 's#^unix://##' "$(bundle_of "$1")/address"
}

# Everything of a container is gone: runtime state, bundle, mounts, cgroups.
gone_entirely() { # CONTAINER
    [ ! -e "$state/$1" ] || { echo "state of $1 is left"; return 1; }
    [ ! -e "$(bundle_of "$1")" ] || { echo "bundle of $1 is left"; return 1; }
    ! grep -F "$(bundle_of "$1")/rootfs" /proc/self/mounts || return 1
    [ -z "$(cgroups_of "$1")" ] || { echo "cgroups of $1 are left"; return 1; }
}
