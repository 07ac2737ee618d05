#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# rune install-runtime: engines are told of rune, and that is taken back to the byte.

bats_require_minimum_version 1.5.0
load common

setup() {
    [ -x "$RUNE" ] || skip "no rune at $RUNE (make stage)"
    root=$BATS_TEST_TMPDIR/root
    mkdir -p "$root"
    docker=$root/etc/docker/daemon.json containerd=$root/etc/containerd/config.toml
    mkdir -p "$root/etc/docker" "$root/etc/containerd" "$root/var/lib"
}

install_runtime() {
    "$RUNE" install-runtime --sysroot "$root" "$@"
}

# The whole tree, names and contents.
tree() {
    (cd "$root" && find . -type f -printf '%p %m ' -exec sha256sum {} + -o -printf '%p %y\n' | sort)
}

# Put in and taken out again, the tree is as it was. Between, COMMAND holds.
goes_and_comes() { # ENGINE COMMAND...
    local before
    before=$(tree)
    run -0 install_runtime "$1"
    [[ "$output" == *"nothing was restarted"* ]]
    "${@:2}"
    local between
    between=$(tree)
    run -0 install_runtime "$1"
    [[ "$output" == *already* ]]
    [ "$(tree)" = "$between" ]
    run -0 install_runtime --undo "$1"
    [ "$(tree)" = "$before" ] || { diff <(echo "$before") <(tree); return 1; }
    run -0 install_runtime --undo "$1"
    [[ "$output" == *"nothing is changed"* ]]
}

docker_knows() {
    [ "$(jq -r '.runtimes["rune-enclave"].runtimeArgs[0], .runtimes.rune.path' "$docker" | xargs)" = "--enclave $RUNE" ]
}

@test "docker: no file, an empty one, other members, other runtimes, odd forms: its JSON, and back" {
    goes_and_comes docker docker_knows
    for text in '' ' \n' '{}' '{ }\n' '{"debug": true}' '{\n\t"log-opts": { "runtimes": "{" },\n\t"debug": true\n}\n' \
        '{"runtimes": {}}' '{\n    "runtimes": {}\n}' '{"a": "x\\"runtimes\\": {", "runtimes" :\n{ "crun": {"path": "/usr/bin/crun"} }, "b": [{}]}'; do
        printf '%b' "$text" >"$docker"
        chmod 600 "$docker"
        goes_and_comes docker docker_knows
    done
    # The order and form of the rest.
    printf '{\n  "z": 1,\n  "runtimes": { "crun": { "path": "/c" } },\n  "a": 2\n}\n' >"$docker"
    install_runtime docker >/dev/null
    [ "$(sed -n '1,2p;$p' "$docker" | tr -d '\n ')" = '{"z":1,}' ]
    [ "$(jq -r '.runtimes.crun.path' "$docker")" = /c ]
}

containerd_knows() {
    command -v containerd >/dev/null || return 0
    containerd --config "$containerd" config dump >"$BATS_TEST_TMPDIR/dump"
    grep -q 'runtimes.rune-enclave\]' "$BATS_TEST_TMPDIR/dump"
    grep -q 'runtime_type = "io.containerd.rune.v2"' "$BATS_TEST_TMPDIR/dump"
    grep -q 'runtimes.runc\]' "$BATS_TEST_TMPDIR/dump"
}

@test "containerd: no file, Debian's, with comments and without a last newline, with other runtimes: its TOML, and back" {
    goes_and_comes containerd containerd_knows
    for end in '' '\n'; do
        printf '%b' '# ours\nversion = 2 # two\n\n[plugins]\n  [plugins."io.containerd.grpc.v1.cri"]\n    [plugins."io.containerd.grpc.v1.cri".cni]\n      bin_dir = "/usr/lib/cni"'"$end" >"$containerd"
        goes_and_comes containerd containerd_knows
    done
    printf 'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]\nruntime_type = "io.containerd.runc.v2"\n' >"$containerd"
    goes_and_comes containerd containerd_knows
    printf 'version = 3\n' >"$containerd"
    goes_and_comes containerd grep -q 'io.containerd.cri.v1.runtime".containerd.runtimes.rune\]' "$containerd"
    # Debian's containerd starts with it.
    printf 'version = 2\n' >"$containerd"
    install_runtime containerd >/dev/null
    # What others change meanwhile stays.
    printf '[debug]\nlevel = "info"\n' >>"$containerd"
    run -0 install_runtime --undo containerd
    [ "$(cat "$containerd")" = $'version = 2\n[debug]\nlevel = "info"' ]
}

@test "podman and cri-o: files of their own, and back" {
    goes_and_comes podman grep -qF "rune = [\"$RUNE\"]" "$root/etc/containers/containers.conf.d/50-rune.conf"
    goes_and_comes cri-o grep -qF "runtime_path = \"$RUNE\"" "$root/etc/crio/crio.conf.d/50-rune.conf"
}

@test "the change is shown first; --dry-run makes none; modes and links stay" {
    printf '{\n  "debug": true\n}\n' >"$root/real.json"
    chmod 640 "$root/real.json"
    ln -s ../../real.json "$docker"
    before=$(tree)
    run -0 install_runtime --dry-run docker
    [[ "$output" == *"real.json, line 1:"*'+ '*'"rune": { "path": '* ]]
    [ "$(tree)" = "$before" ]
    run -0 install_runtime docker
    [ -L "$docker" ]
    [ "$(stat -c %a "$root/real.json")" = 640 ]
    run -0 install_runtime --dry-run --undo docker
    [[ "$output" == *'- '*'"rune": '* ]]
    run -0 install_runtime --undo docker
    [ "$(tree)" = "$before" ]
}

@test "what cannot be done is said, and changes nothing" {
    refused() { # ENGINE FILE TEXT MESSAGE
        mkdir -p "$(dirname "$root/$2")"
        printf '%b' "$3" >"$root/$2"
        before=$(tree)
        run -1 install_runtime "$1"
        [[ "$output" == *"$4"* ]] || { echo "$output"; return 1; }
        [ "$(tree)" = "$before" ]
    }
    refused docker etc/docker/daemon.json '{\n"a": 1,\n}' daemon.json
    refused docker etc/docker/daemon.json '[]' 'it is no JSON object'
    refused docker etc/docker/daemon.json '{"runtimes": []}' 'runtimes is no JSON object'
    refused containerd etc/containerd/config.toml 'version = 2\nbroken\n' 'config.toml:2: = is expected'
    refused containerd etc/containerd/config.toml '[plugins]\n' 'only configurations of version 2 or 3'
    refused containerd etc/containerd/config.toml \
        'version = 2\nplugins."io.containerd.grpc.v1.cri".containerd.runtimes = { runc = {} }\n' 'config.toml:2: the runtimes are in one line'
    refused podman etc/containers/containers.conf.d/50-rune.conf '# mine\n' 'with other text'
    run -1 install_runtime rkt
    [[ "$output" == *'there is no engine "rkt": docker, containerd, podman or cri-o'* ]]
    # A runtime of that name that somebody else wrote stays.
    printf '{"runtimes": {"rune": {"path": "/x"}}}' >"$docker"
    run -0 install_runtime docker
    [[ "$output" == *"not by this command: nothing is changed"* ]]
    [ "$(cat "$docker")" = '{"runtimes": {"rune": {"path": "/x"}}}' ]
    # Lines that were changed since are not guessed at.
    rm "$docker"
    install_runtime docker >/dev/null
    sed -i 's/--enclave/--debug/' "$docker"
    before=$(tree)
    run -1 install_runtime --undo docker
    [[ "$output" == *"take them out by hand"* ]]
    [ "$(tree)" = "$before" ]
}
