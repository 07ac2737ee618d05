#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# An unmodified Debian image with Python as an ordinary container and as an enclave container from the same bundle: the same output
# and the same exit code. The image is built once for all runs of the suite (RUNE_CHECK_IMAGES).

bats_require_minimum_version 1.5.0
load common

setup_file() {
    [ -x "$RUNE" ] || { export skip_reason="no rune at $RUNE (make stage)"; return 0; }
    [ "$(id -u)" -eq 0 ] || { export skip_reason="containers need root here"; return 0; }
    export images=${RUNE_CHECK_IMAGES:-$repo/build/images}
    "$repo/tests/images/make-image.sh" "$images/debian-python" 2>/dev/null || {
        echo "the Debian image could not be built, see $images/debian-python/mmdebstrap.log" >&2
        return 1
    }
    export RUNE_CACHE_DIR=$BATS_FILE_TMPDIR/cache RUNE_SIGNING_KEY=$BATS_FILE_TMPDIR/key.pem
    mkdir -p "$RUNE_CACHE_DIR"
    prepare "$BATS_FILE_TMPDIR/plain" "$images/debian-python/rootfs"
    # A second root with the programs of the tests in it, each linked in every way.
    mkdir -p "$BATS_FILE_TMPDIR/programs"
    cp -a --reflink=auto "$images/debian-python/rootfs" "$BATS_FILE_TMPDIR/programs/rootfs"
    install_programs "$BATS_FILE_TMPDIR/programs/rootfs/opt/check"
    prepare "$BATS_FILE_TMPDIR/programs" "$BATS_FILE_TMPDIR/programs/rootfs"
}

install_programs() { # DIR
    mkdir -p "$1"
    cp "$repo"/tests/images/programs/*.{sh,py,bash} "$1"
    local source=$repo/tests/images/programs/hello.c
    cc -O1 -pthread -fPIE -pie -o "$1/hello-pie" "$source"
    cc -O1 -pthread -fno-pie -no-pie -o "$1/hello-fixed" "$source"
    cc -O1 -pthread -static -o "$1/hello-static" "$source"
    cc -O1 -pthread -static-pie -o "$1/hello-static-pie" "$source"
    if command -v musl-gcc >/dev/null; then
        musl-gcc -O1 -pthread -static -o "$1/hello-musl" "$source"
        musl-gcc -O1 -pthread -static -fno-pie -no-pie -o "$1/hello-musl-fixed" "$source"
    fi
    file_of_another_machine >"$1/other-machine"
    chmod 755 "$1"/*
}

# An ELF header that says AArch64.
file_of_another_machine() {
    printf '\177ELF\002\001\001\0\0\0\0\0\0\0\0\0\002\0\267\0\001\0\0\0'
    head -c 4096 /dev/zero
}

prepare() { # BUNDLE ROOT
    local bundle=$1
    mkdir -p "$bundle"
    (cd "$bundle" && "$RUNE" spec)
    configure "c['root']['path'] = '$2'" "c['root']['readonly'] = True" "c['process']['terminal'] = False" \
        "c['process']['env'].append('GREETING=from the bundle')" \
        "c['mounts'].append({'destination': '/tmp', 'type': 'tmpfs', 'source': 'tmpfs', 'options': ['mode=1777']})"
}

setup() {
    [ -z "${skip_reason:-}" ] || skip "$skip_reason"
    state=$BATS_TEST_TMPDIR/state
    id=image-$$-$BATS_TEST_NUMBER-$RANDOM
}

teardown() {
    [ -z "${skip_reason:-}" ] || return 0
    delete_containers
}

# same BUNDLE COMMAND...: run it both ways. The standard error of the enclave is shown when it differs.
same() {
    local bundle=$BATS_FILE_TMPDIR/$1
    shift
    arguments "$@"
    local out=$BATS_TEST_TMPDIR/plain err=$BATS_TEST_TMPDIR/enclave
    local status=0
    timeout -k 5 120 "$RUNE" --root "$state" run --bundle "$bundle" "$id-plain" >"$out" 2>"$out.err" </dev/null || status=$?
    echo "exit $status" >>"$out"
    status=0
    timeout -k 5 280 "$RUNE" --root "$state" --enclave run --bundle "$bundle" "$id" >"$err" 2>"$err.err" </dev/null || status=$?
    echo "exit $status" >>"$err"
    if ! cmp -s "$out" "$err"; then
        echo "--- ordinary, +++ enclave"
        diff -u "$out" "$err" | tail -n +3 | head -60
        echo "standard error of the enclave:"
        tail -30 "$err.err"
        return 1
    fi
    plain_output=$(cat "$out")
}

@test "true, echo and exit codes" {
    same plain /bin/true
    same plain /bin/echo hello "from an" enclave
    same plain /bin/sh -c 'exit 42'
    [ "$plain_output" = "exit 42" ]
    same plain /bin/sh -c 'kill -KILL $$; exit 9' # the first process of a container cannot do that
    same plain /bin/sh -c 'sh -c "kill -KILL \$\$"; exit $?'
    [ "$plain_output" = "exit 137" ]
}

@test "python: files, json, threads, subprocesses, TCP, time, random" {
    same plain python3 -c "$(cat "$repo/tests/images/programs/check.py")" first "second argument"
    [[ "$plain_output" == *'"seeded"'*"exit 3" ]]
}

@test "dash: pipelines, substitution, subshells, redirections, here-documents, jobs" {
    same plain /bin/sh -c "$(cat "$repo/tests/images/programs/check.sh")"
    [[ "$plain_output" == *"at exit"*"exit 6" ]]
}

@test "bash: the same script" {
    same plain /bin/bash -c "$(cat "$repo/tests/images/programs/check.sh")" bash one "two three"
    [[ "$plain_output" == *"at exit"*"exit 6" ]]
}

@test "bash: arrays, process substitution, coprocesses, job control" {
    same plain /bin/bash -c "$(cat "$repo/tests/images/programs/check.bash")"
    [[ "$plain_output" == *"exit trap 11"*"exit 11" ]]
}

@test "bash: limits, wait -n, read -t, traps in children, job control, statuses of signals" {
    same plain /bin/bash -c "$(cat "$repo/tests/images/programs/behaviour.bash")"
    [[ "$plain_output" == *"processor time 137"*"exit 9" ]]
}

@test "ls, cat, cp, mv, rm, find, grep, sed, sort, tar, sha256sum" {
    same plain /bin/sh -c "$(cat "$repo/tests/images/programs/tools.sh")" sh /tmp
    [[ "$plain_output" == *"Linux"*"exit 0" ]]
}

@test "the checksums of every file of the image are the same" {
    same plain /bin/sh -c 'find / -xdev -type f -print0 | xargs -0 sha256sum | sort'
    [ "$(wc -l <<<"$plain_output")" -gt 2000 ]
}

# But for the time of the root itself, which tells when somebody made the directory.
@test "the tree is the same: types, modes, owners, sizes, times, links" {
    same plain /bin/sh -c "find / -xdev -mindepth 1 \( -path /tmp -o -path /dev -o -path /proc -o -path /sys \) -prune -o -type d -printf '%p %m %U %G %T@\n' -o \
        -printf '%p %y %m %U %G %s %T@ %n %l\n' | sort"
    [ "$(wc -l <<<"$plain_output")" -gt 2000 ]
}

@test "scripts as entrypoints" {
    same programs /opt/check/check.sh a "b c"
    same programs /opt/check/check.bash
    same programs /opt/check/check.py x
}

@test "programs of every kind of link: PIE, fixed, static, static-pie, musl" {
    for program in "$BATS_FILE_TMPDIR"/programs/rootfs/opt/check/hello-*; do
        echo "${program##*/}"
        same programs "/opt/check/${program##*/}" one two
        [[ "$plain_output" == *"child 4001, parent 4000, status 9"*"exit 7" ]]
    done
    same programs /bin/sh -c 'for p in /opt/check/hello-*; do $p x | $p y & done | sort; wait'
}

@test "writes go to an overlay in the enclave, and not to the image" {
    local bundle=$BATS_FILE_TMPDIR/programs tree
    configure "c['root']['readonly'] = False"
    same programs /opt/check/tools.sh /srv
    same programs /bin/sh -c 'echo x >/etc/new && rm /etc/debian_version && mkdir /etc/apt/more && ls /etc/new /etc/apt &&
        cat /etc/new && ! cat /etc/debian_version 2>/dev/null && git --version 2>/dev/null
        echo 12.99 >/etc/debian_version; rm /etc/new; rmdir /etc/apt/more; cat /etc/debian_version'
    [ "$(cat "$BATS_FILE_TMPDIR/programs/rootfs/etc/debian_version")" = 12.99 ] # the ordinary container's doing
    cp -p "$images/debian-python/rootfs/etc/debian_version" "$BATS_FILE_TMPDIR/programs/rootfs/etc/debian_version"
    tree=$(cd "$bundle/rootfs" && find . -printf '%p %s %T@\n' | sort | sha256sum)
    configure "c['process']['args'] = ['/bin/sh', '-c', 'rm -rf /usr/share/doc; echo gone >/srv/x']"
    run -0 --separate-stderr timeout -k 5 120 "$RUNE" --root "$state" --enclave run --bundle "$BATS_FILE_TMPDIR/programs" "$id-w"
    [ "$tree" = "$(cd "$BATS_FILE_TMPDIR/programs/rootfs" && find . -printf '%p %s %T@\n' | sort | sha256sum)" ]
    configure "c['root']['readonly'] = True"
}

@test "standard input through the container" {
    local bundle=$BATS_FILE_TMPDIR/plain
    configure "c['process']['args'] = ['/bin/sh', '-c', 'wc -c; echo done >&2']"
    for flag in "" --enclave; do
        run -0 --separate-stderr bash -c "head -c 300000 /dev/zero | timeout -k 5 120 '$RUNE' --root '$state' $flag run --bundle '$bundle' '$id-in'"
        [ "$output" = 300000 ]
        [[ "$stderr" == *done* ]]
    done
}

@test "bad programs are refused with one line" {
    local bundle=$BATS_FILE_TMPDIR/programs
    same programs /bin/true # converts the image, which says so on standard error
    for program in /no/such/program /etc/passwd /opt/check/other-machine; do
        configure "c['process']['args'] = ['$program']"
        run timeout -k 5 120 "$RUNE" --root "$state" --enclave run --bundle "$bundle" "$id-bad"
        echo "$program: $status $output"
        [ "$status" -eq 1 ]
        [ "${#lines[@]}" -eq 1 ]
        [[ "$output" == *"$program"* ]]
        [ ! -e "$state/$id-bad" ]
    done
}
