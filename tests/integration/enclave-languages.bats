#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Node.js, Java and Go from Debian's packages, both ways. The image is big (1.5 GB, some minutes): only with RUNE_CHECK_LANGUAGES=1.

bats_require_minimum_version 1.5.0
load common

setup_file() {
    [ -n "${RUNE_CHECK_LANGUAGES:-}" ] || { export skip_reason="a big image: set RUNE_CHECK_LANGUAGES=1"; return 0; }
    [ -x "$RUNE" ] || { export skip_reason="no rune at $RUNE (make stage)"; return 0; }
    [ "$(id -u)" -eq 0 ] || { export skip_reason="containers need root here"; return 0; }
    local images=${RUNE_CHECK_IMAGES:-$repo/build/images}
    "$repo/tests/images/make-image.sh" "$images/debian-languages" nodejs default-jdk-headless golang-go 2>/dev/null || {
        echo "the image could not be built, see $images/debian-languages/mmdebstrap.log" >&2
        return 1
    }
    export root=$images/debian-languages/rootfs
    export RUNE_CACHE_DIR=$BATS_FILE_TMPDIR/cache RUNE_SIGNING_KEY=$BATS_FILE_TMPDIR/key.pem
    export bundle=$BATS_FILE_TMPDIR/bundle
    mkdir -p "$RUNE_CACHE_DIR" "$root/opt/check" "$bundle"
    (cd "$bundle" && "$RUNE" spec)
    cp "$repo"/tests/images/programs/{check.js,check.go,Check.java} "$root/opt/check"
    # The compilers want /proc; a container is the way to have it without mounting into the image.
    run_in_image /bin/sh -c 'cd /opt/check && javac Check.java && HOME=/tmp CGO_ENABLED=0 go build -o check-go check.go'
    configure "c['root']['readonly'] = True"
}

run_in_image() { # PROGRAM ARGUMENTS...
    arguments "$@"
    configure "c['root'] = {'path': '$root', 'readonly': False}" "c['process']['terminal'] = False" \
        "c['mounts'] = [m for m in c['mounts'] if m['destination'] != '/tmp']" \
        "c['mounts'].append({'destination': '/tmp', 'type': 'tmpfs', 'source': 'tmpfs', 'options': ['mode=1777']})"
    "$RUNE" --root "$BATS_FILE_TMPDIR/state" run --bundle "$bundle" "languages-make-$$" </dev/null
}

setup() {
    [ -z "${skip_reason:-}" ] || skip "$skip_reason"
    state=$BATS_TEST_TMPDIR/state
    id=languages-$$-$BATS_TEST_NUMBER-$RANDOM
}

teardown() {
    [ -z "${skip_reason:-}" ] || return 0
    delete_containers
}

same() { # EXIT-CODE COMMAND...
    local expected=$1 flag
    shift
    arguments "$@"
    for flag in "" --enclave; do
        run --separate-stderr timeout -k 5 280 "$RUNE" --root "$state" $flag run --bundle "$bundle" "$id$flag"
        echo "$flag: $status: $output"
        echo "$stderr"
        [ "$status" -eq "$expected" ]
        [ -z "$flag" ] || [ "$output" = "$plain" ]
        plain=$output
    done
}

@test "Node.js: HTTP, files, a child process, a worker thread" {
    same 6 node /opt/check/check.js
}

@test "Java: threads, sockets, a child process, interfaces, garbage collection" {
    same 5 java -cp /opt/check Check
}

@test "Go: goroutines, TCP, a child process, preemption, a recovered fault" {
    same 4 /opt/check/check-go
}
