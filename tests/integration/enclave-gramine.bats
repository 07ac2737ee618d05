#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Containers of runtimes/gramine, with a loader that stands for Gramine's (tests/pal/gramine_loader.c): the program of the manifest is a shell.
# The genuine one: full-gramine.sh.

bats_require_minimum_version 1.5.0
load enclave

setup() {
    enclave_setup
    export RUNE_GRAMINE=$work/gramine RUNE_RUNTIMES_DIR RUNE_SGX_EMULATOR_ROOT=$work/key
    RUNE_RUNTIMES_DIR=$(dirname "$(find "$RUNE_STAGE" -name liberpal-gramine.so | head -1)")
    sgx=$RUNE_GRAMINE/lib/x86_64-linux-gnu/gramine/sgx
    mkdir -p "$sgx" "$bundle/rootfs"/{bin,lib64,lib/x86_64-linux-gnu,app}
    cp "$pals/gramine-loader" "$sgx/loader"
    echo libpal >"$sgx/libpal.so"
    cp -L /lib64/ld-linux-x86-64.so.2 "$bundle/rootfs/lib64"
    cp -L /lib/x86_64-linux-gnu/libc.so.6 "$bundle/rootfs/lib/x86_64-linux-gnu"
    cp /bin/dash "$bundle/rootfs/bin/sh"
    cp /bin/sleep "$bundle/rootfs/bin"
    image app
    configure 'c["annotations"] = {"enclave.type": "auto", "enclave.runtime.path": "gramine", "enclave.mode": "debug"}' \
        'c["process"]["cwd"] = "/app"'
}
teardown() { enclave_teardown; }

# image NAME: a manifest and its signature in /app
image() {
    echo 'libos.entrypoint = "/bin/sh"' >"$bundle/rootfs/app/$1.manifest.sgx"
    cp "$(dirname "$RUNE_STAGE")/runtimes/skeleton/skeleton.sigstruct" "$bundle/rootfs/app/$1.sig"
}

script() { arguments app -c "$1"; }

@test "arguments, environment, directory, stdin, stdout, stderr, exit code" {
    arguments app -c 'read -r line; echo "$line $1 $X $PWD"; echo err >&2; exit 7' sh 'a  b'
    configure 'c["process"]["env"] += ["X=y", "LD_PRELOAD=/nowhere.so"]'
    run --separate-stderr rune run --bundle "$bundle" "$id" <<<hello
    echo "$output $stderr"
    [ "$status" -eq 7 ]
    [ "$output" = "hello a  b y /app" ]
    [[ "$stderr" == *EMULATED* && "$stderr" == *err* && "$stderr" != *nowhere* ]]
    nothing_left
}

@test "the carriers of Inclavare Containers: graphene, and its name now" {
    script 'echo ran'
    for carrier in graphene gramine; do
        configure 'c["annotations"] = {"enclave.mode": "debug"}' "c['process']['env'] = ['RUNE_CARRIER=$carrier']"
        [ "$(rune run --bundle "$bundle" "$id" 2>/dev/null </dev/null)" = ran ]
    done
    export RUNE_CARRIER_GRAPHENE=/nowhere/graphene.so
    configure 'c["process"]["env"] = ["RUNE_CARRIER=graphene"]'
    refused /nowhere/graphene.so rune run --bundle "$bundle" "$id"
}

@test "the program's end by a signal is the container's" {
    script 'kill -KILL $$'
    run rune run --bundle "$bundle" "$id"
    [ "$status" -eq 137 ]
    nothing_left
}

@test "create runs nothing, start does; rune kill reaches it; its children end with it" {
    script 'trap "echo got; exit 3" TERM; echo up; sleep 1000 & while :; do sleep 0.1; done'
    rune create --bundle "$bundle" "$id" >"$work/out" 2>"$work/err" </dev/null
    sleep 0.3
    run ! grep -q up "$work/out"
    rune start "$id"
    within 5 grep -q up "$work/out"
    rune kill "$id" TERM
    within 5 status_is "$id" stopped
    grep -q got "$work/out"
    rune delete "$id"
    nothing_left
}

@test "rune exec is refused, and says why" {
    script 'sleep 1000'
    rune run --detach --bundle "$bundle" "$id" >"$work/out" 2>&1 </dev/null
    run rune exec "$id" echo hi
    echo "$output"
    [ "$status" -ne 0 ]
    [[ "$output" == *"Gramine runs the program of its manifest only"* ]]
    rune enclave info "$id" | grep -q '"tee": "Intel SGX (emulated)"'
    run ! rune enclave report "$id"
    rune kill "$id" KILL
    within 5 status_is "$id" stopped
}

@test "a terminal is the program's: size, interrupt" {
    script 'trap "echo interrupted; exit 4" INT; echo ready; while :; do sleep 0.1; done'
    configure 'c["process"]["terminal"] = True'
    "$tty" recv "$work/socket" "$work/screen" "$work/control" &
    background+=($!)
    within 5 test -S "$work/socket"
    rune create --bundle "$bundle" --console-socket "$work/socket" "$id"
    rune start "$id"
    within 5 grep -q ready "$work/screen"
    printf 'send \\x03\n' >"$work/control"
    within 5 grep -q interrupted "$work/screen"
    within 5 status_is "$id" stopped
}

@test "limits and user are config.json's" {
    script 'ulimit -n; ulimit -c; read -r _ line </proc/self/status; while read -r name id _; do [ "$name" = Uid: ] && echo "$id"; done </proc/self/status'
    configure 'c["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 88}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]' \
        'c["process"]["user"] = {"uid": 1000, "gid": 1000}'
    run --separate-stderr rune run --bundle "$bundle" "$id" </dev/null
    echo "$output $stderr"
    [ "$output" = "$(printf '77\n0\n1000')" ]
    nothing_left
}

@test "which manifest: the only one, the one that is named, that of an image of Gramine's own tool" {
    script 'echo $0 ran'
    image other
    refused "more than one" rune run --bundle "$bundle" "$id"
    annotate runtime.args /app/other
    rune run --bundle "$bundle" "$id" 2>/dev/null </dev/null | grep -q ran
    annotate runtime.args /app/third
    refused "no /app/third.manifest.sgx" rune run --bundle "$bundle" "$id"
    annotate runtime.args ''
    mkdir -p "$bundle/rootfs/gramine/meson_build_output/lib" "$bundle/rootfs/gramine/app_files"
    mv "$RUNE_GRAMINE/lib/x86_64-linux-gnu" "$bundle/rootfs/gramine/meson_build_output/lib"
    for ending in manifest.sgx sig; do
        cp "$bundle/rootfs/app/app.$ending" "$bundle/rootfs/gramine/app_files/entrypoint.$ending"
    done
    rune run --bundle "$bundle" "$id" 2>/dev/null </dev/null | grep -q ran
    nothing_left
}

@test "what is missing is said: Gramine, manifest, signature" {
    script 'exit 0'
    mv "$sgx" "$sgx.away"
    refused "neither the image nor this machine has Gramine" rune run --bundle "$bundle" "$id"
    mv "$sgx.away" "$sgx"
    truncate -s 100 "$bundle/rootfs/app/app.sig"
    refused "not 1808 bytes" rune run --bundle "$bundle" "$id"
    rm "$bundle/rootfs/app/app.sig"
    refused "app.sig" rune run --bundle "$bundle" "$id"
}

@test "an image without glibc is given the node's for the loader" {
    script 'echo "$LD_LIBRARY_PATH"'
    configure 'c["process"]["env"] += ["LD_LIBRARY_PATH=/app"]'
    rm -r "$bundle/rootfs/lib64" "$bundle/rootfs/lib"
    for _ in 1 2; do # the second time with a mount point there
        [ "$(rune run --bundle "$bundle" "$id" 2>"$work/err" </dev/null)" = /run/rune-gramine:/app ] || { cat "$work/err"; false; }
    done
    nothing_left
}

@test "a debug enclave needs enclave.mode debug" {
    script 'exit 0'
    annotate mode production
    refused "is of a debug enclave" rune run --bundle "$bundle" "$id"
}

# An ordinary image; gramine-sgx-sign is one that copies and counts.
ordinary() {
    export RUNE_GRAMINE_CACHE=$work/cache RUNE_SIGNING_KEY=$work/keys/key.pem
    rm "$bundle/rootfs/app"/*
    mkdir -p "$RUNE_GRAMINE/bin"
    cat >"$RUNE_GRAMINE/bin/gramine-sgx-sign" <<END
#!/bin/sh -e
[ "\$1 \$3 \$5 \$7" = "--chroot --manifest --output --key" ]
[ -r "\$8" ] && cp "\$4" "\$6" && cp "$(dirname "$RUNE_STAGE")/runtimes/skeleton/skeleton.sigstruct" "\${4%.manifest}.sig"
echo signed >>"$work/signed"
END
    printf '#!/bin/sh\necho key >"$1"\n' >"$RUNE_GRAMINE/bin/gramine-sgx-gen-private-key"
    chmod +x "$RUNE_GRAMINE/bin"/*
}

signed() { wc -l <"$work/signed"; }
manifest() { cat "$work/cache"/*/entrypoint.manifest.sgx; }

@test "an ordinary image: its manifest is made, with program, arguments, environment and files, and kept" {
    ordinary
    ln -s bin "$bundle/rootfs/tools"
    ln -s ../../../etc/passwd "$bundle/rootfs/app/link"
    ln -s /nowhere "$bundle/rootfs/app/broken"
    arguments sh -c 'echo ran; exit 6'
    configure 'c["process"]["env"] = ["PATH=/tools", "X=a \"b\"", "HOSTNAME=h1", "ENCLAVE_TYPE=auto"]' \
        'c["linux"]["resources"] = {"memory": {"limit": 300 << 20}, "pids": {"limit": 20}}'
    for host in h1 h2; do
        configure "c['process']['env'][2] = 'HOSTNAME=$host'"
        run --separate-stderr rune run --bundle "$bundle" "$id" </dev/null
        echo "$output $stderr"
        [ "$status" -eq 6 ]
        [ "$output" = ran ]
        [ "$(signed)" -eq 1 ]
    done
    manifest >"$work/manifest"
    for line in 'libos.entrypoint = "/bin/sh"' 'loader.argv = ["sh", "-c", "echo ran; exit 6"]' 'loader.env."X" = "a \"b\""' 'fs.start_dir = "/app"' \
        'loader.env."HOSTNAME" = {passthrough = true}' 'loader.env."HOME" = "/root"' 'sgx.enclave_size = "512M"' 'sgx.max_threads = 20' 'sgx.debug = true' \
        'sgx.file_check_policy = "strict"' 'uri = "file:/bin/sh"' 'uri = "file:/tools/sh"' 'uri = "file:/app/link"' 'uri = "file:/etc/passwd"'; do
        grep -qxF "$line" "$work/manifest" || { echo "no: $line"; cat "$work/manifest"; false; }
    done
    run ! grep -E 'ENCLAVE_|allowed_files|broken|file:/(proc|dev|run|tmp)' "$work/manifest"
    grep -A1 -xF 'uri = "file:/app/link"' "$work/manifest" | grep -q "$(sha256sum <"$bundle/rootfs/etc/passwd" | cut -d' ' -f1)"
    nothing_left
}

@test "an ordinary image: a changed file, other arguments and another mode are other enclaves" {
    ordinary
    arguments sh -c 'exit 0'
    rune run --bundle "$bundle" "$id" 2>/dev/null </dev/null
    echo more >>"$bundle/rootfs/etc/passwd"
    rune run --bundle "$bundle" "$id" 2>/dev/null </dev/null
    [ "$(signed)" -eq 2 ]
    arguments sh -c 'exit 1'
    run -1 rune run --bundle "$bundle" "$id" </dev/null
    [ "$(signed)" -eq 3 ]
}

@test "an ordinary image: volumes are not the enclave's unless enclave.mounts says so" {
    ordinary
    mkdir -p "$work/data"
    arguments sh -c 'exit 0'
    configure "c['mounts'] += [{'destination': '/data', 'type': 'bind', 'source': '$work/data', 'options': ['rbind']}]"
    rune run --bundle "$bundle" "$id" 2>/dev/null </dev/null
    run ! grep -r 'file:/data' "$work/cache"
    annotate mounts /data=rw
    rune run --bundle "$bundle" "$id" 2>/dev/null </dev/null
    grep -rqxF 'sgx.allowed_files = ["file:/data/"]' "$work/cache"
}

@test "an ordinary image: what cannot be made is said" {
    ordinary
    arguments missing
    refused 'exec: "missing": executable file not found' rune run --bundle "$bundle" "$id"
    arguments sh
    RUNE_SIGNING=client refused "signatures that are made elsewhere" rune run --bundle "$bundle" "$id"
    printf '#!/bin/sh\necho "no such curve" >&2; exit 3\n' >"$RUNE_GRAMINE/bin/gramine-sgx-sign"
    refused "gramine-sgx-sign: no such curve" rune run --bundle "$bundle" "$id"
    rm "$RUNE_GRAMINE/bin/gramine-sgx-sign"
    refused "this node has not Gramine's tools" rune run --bundle "$bundle" "$id"
}
