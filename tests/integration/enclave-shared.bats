#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What an enclave container shares with others: a directory that an ordinary container has, too (sockets, FIFOs, events), and the name and
# limits that a container has from where it is started.

# shellcheck disable=SC2016 # scripts are for the shell in the containers
bats_require_minimum_version 1.5.0
load enclave

setup_file() {
    cc -O1 -Wall -static -o "$BATS_FILE_TMPDIR/share" "$BATS_TEST_DIRNAME/programs/share.c"
}

setup() {
    [ "$(id -u)" -eq 0 ] || skip "containers need root here"
    enclave_setup
    busybox=$(command -v busybox) || skip "no busybox"
    [ -n "$(find "$RUNE_STAGE" -name libos.elf)" ] || skip "no LibOS in $RUNE_STAGE"
    mkdir -p "$bundle/rootfs"/{bin,data,etc} "$work/shared"
    chmod 777 "$work/shared"
    cp "$busybox" "$bundle/rootfs/bin/busybox"
    cp "$BATS_FILE_TMPDIR/share" "$bundle/rootfs/bin/share"
    for applet in touch sh echo cat sleep rm mv ln mkdir mkfifo stat seq head wc timeout hostname; do
        ln -s busybox "$bundle/rootfs/bin/$applet"
    done
    echo 'root:x:0:0:root:/:/bin/sh' >"$bundle/rootfs/etc/passwd"
    configure 'c["root"]["readonly"] = True' 'c["process"]["noNewPrivileges"] = False' 'c["process"]["rlimits"] = []' \
        "c['mounts'].append({'destination': '/data', 'type': 'bind', 'source': '$work/shared', 'options': ['rbind', 'rw']})" \
        "c['process']['capabilities'] = {k: ['CAP_SETUID', 'CAP_SETGID', 'CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_FOWNER'] for k in ('bounding', 'effective', 'permitted')}"
    export RUNE_CACHE_DIR=$BATS_FILE_TMPDIR/cache RUNE_SIGNING_KEY=$BATS_FILE_TMPDIR/key.pem
    mkdir -p "$RUNE_CACHE_DIR"
}
teardown() { enclave_teardown; }

# container KIND SCRIPT: run it in a container of that kind ("enclave" or "ordinary"), without the messages of rune itself
container() {
    local dir=$work/$1-$RANDOM options=()
    [ "$1" != enclave ] || options=(--enclave)
    mkdir "$dir"
    ln -s "$bundle/rootfs" "$dir/rootfs"
    cp "$bundle/config.json" "$dir/config.json"
    bundle=$dir arguments sh -c "$2"
    timeout -k 5 120 "$RUNE" --root "$state" "${options[@]}" run --bundle "$dir" "$id-$(basename "$dir")" 2>&1 </dev/null | grep --line-buffered -av "level="
}

# behind KIND SCRIPT: the same in the background; its output goes to $work/behind, and `finish` waits for it
behind() {
    container "$@" >"$work/behind" 3>&- &
    background+=($!)
}
finish() { wait "${background[-1]}" || true; cat "$work/behind"; }
says() { within 60 grep -q "$1" "$work/behind"; }

# meet KIND KIND TYPE [OWN]: a server there, a client here, by a socket in the shared directory
meet() {
    behind "$1" "share serve $3 /data/sock 1"
    says ready
    run container "$2" "share ask $3 /data/sock hello $4"
    echo "$output"
    finish
    [[ "$output" == *"back HELLO"* ]]
    grep -q "got hello" "$work/behind"
    [ ! -e "$work/shared/sock" ]
}

@test "shared: a stream socket of an ordinary container, from the enclave" {
    meet ordinary enclave stream
    # Outside, the enclave's program is the user that it is inside; inside, nobody outside is anybody.
    grep -q "client pid none uid 0 gid 0" "$work/behind"
    [[ "$output" == *"server pid none uid -1 gid -1"* ]]
}

@test "shared: a stream socket of the enclave, from an ordinary container" {
    meet enclave ordinary stream
    grep -q "client pid none uid -1 gid -1" "$work/behind"
    grep -q "sender pid none uid -1 gid -1" "$work/behind"
    [[ "$output" == *"server pid none uid 0 gid 0"* ]]
}

@test "shared: sequenced packets and datagrams, both ways, with the names of their senders" {
    meet enclave ordinary packet
    meet ordinary enclave packet
    meet enclave ordinary datagram /data/own
    grep -q "from /data/own" "$work/behind"
    meet ordinary enclave datagram /data/own
    grep -q "from /data/own" "$work/behind"
    grep -q "sender pid none uid 0 gid 0" "$work/behind"
}

@test "shared: two enclaves meet by a socket, and two programs of one enclave stay inside" {
    meet enclave enclave stream
    grep -q "client pid none uid -1 gid -1" "$work/behind"
    run container enclave 'share serve stream /data/sock 2 & until [ -S /data/sock ]; do sleep 0.1; done; sleep 0.5
        share ask stream /data/sock hello; share descriptor /data/sock; wait'
    echo "$output"
    [[ "$output" == *"client pid some uid 0 gid 0"* ]]
    [[ "$output" == *"back HELLO"* ]]
    [[ "$output" == *"descriptor sent"* ]]
}

@test "shared: other users of the enclave are other users outside, and descriptors stay inside" {
    behind ordinary 'share serve stream /data/sock 2'
    says ready
    run container enclave 'share as 1000 1001 ask stream /data/sock hello; share descriptor /data/sock'
    echo "$output"
    finish
    [[ "$output" == *"back HELLO"* ]]
    [[ "$output" == *"descriptor: Operation not permitted"* ]]
    grep -q "client pid none uid 1000 gid 1001" "$work/behind"
    grep -q "sender pid none uid 1000 gid 1001" "$work/behind"
}

@test "shared: an event loop serves programs of both kinds at once; connections wait for a full backlog" {
    behind enclave 'share poll /data/sock 24 & for i in $(seq 4); do until [ -S /data/sock ]; do sleep 0.1; done; sleep 0.3; share ask stream /data/sock inside; done; wait'
    says ready
    run container ordinary 'for i in $(seq 20); do share ask stream /data/sock outside & done; wait'
    echo "$output"
    finish
    [ "$(grep -c "back OUTSIDE" <<<"$output")" -eq 20 ]
    grep -q "served 24" "$work/behind"
    behind ordinary 'share serve stream /data/sock2 12'
    says ready
    run container enclave 'for i in $(seq 12); do share ask stream /data/sock2 waits & done; wait'
    echo "$output"
    finish
    [ "$(grep -c "back WAITS" <<<"$output")" -eq 12 ]
}

@test "shared: a socket that is gone, that nobody listens on, or that is no socket" {
    python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$work/shared/dead"
    echo x >"$work/shared/file"
    ln -s /etc/passwd "$work/shared/link"
    run container enclave 'for f in dead file link none; do share ask stream /data/$f x; done; share ask datagram /data/dead x
        share serve stream /data/file 1; rm /data/dead; stat /data/dead; echo end'
    echo "$output"
    [ "$(grep -c "connect: Connection refused" <<<"$output")" -eq 3 ]
    [ "$(grep -c "connect: No such file" <<<"$output")" -eq 2 ]
    [[ "$output" == *"bind: Address already in use"*end* ]]
    [ ! -e "$work/shared/dead" ]
}

@test "shared: a FIFO between an enclave and an ordinary container, both ways, with waiting for the other side" {
    mkfifo -m 666 "$work/shared/fifo"
    behind ordinary 'cat /data/fifo; echo ended'
    run container enclave 'sleep 1; (echo one; sleep 1; echo two) >/data/fifo; mkfifo -m 666 /data/made; cat /data/made; echo ended'  &
    local enclave=$!
    says ended
    [ "$(head -2 "$work/behind" | tr '\n' ' ')" = "one two " ]
    within 60 test -p "$work/shared/made"
    sleep 1
    echo back | timeout 20 tee "$work/shared/made" >/dev/null
    wait $enclave
    finish
}

@test "shared: FIFOs as Linux has them: no reader, no writer, a reader that goes" {
    mkfifo -m 666 "$work/shared/fifo"
    run container enclave 'timeout 1 cat /data/fifo; echo "reader $?"
        timeout 1 sh -c "echo x >/data/fifo"; echo "writer $?"
        (exec 3<>/data/fifo; echo kept >&3; head -n 1 <&3)
        (cat /data/fifo; echo "cat ended") & echo from the same enclave >/data/fifo; wait
        (head -n 1 /data/fifo) & (while echo line; do :; done) >/data/fifo 2>/dev/null; echo "broken $?"; wait'
    echo "$output"
    [[ "$output" == *"reader 143"*"writer 143"*kept*"from the same enclave"*"cat ended"*line*"broken "* ]]
}

@test "shared: inotify tells what others do, as a configuration reloader needs it, and own changes once" {
    # A configMap: files are links through ..data, which is replaced by rename.
    mkdir "$work/shared/..one"
    echo 1 >"$work/shared/..one/app.conf"
    ln -s ..one "$work/shared/..data"
    ln -s ..data/app.conf "$work/shared/app.conf"
    behind enclave 'share watch 90 /data /data/app.conf & until [ -e /data/go ]; do sleep 0.1; done
        echo own >/data/own; mv /data/own /data/own2; rm /data/own2; touch /data/done; wait'
    says ready
    mkdir "$work/shared/..two"
    echo 2 >"$work/shared/..two/app.conf"
    ln -s ..two "$work/shared/..tmp"
    mv -T "$work/shared/..tmp" "$work/shared/..data"
    rm -r "$work/shared/..one"
    echo x >"$work/shared/new"
    touch "$work/shared/go"
    within 60 test -e "$work/shared/done"
    touch "$work/shared/stop"
    finish
    for line in '1 create|dir ..two' '1 create ..tmp' '1 moved_from ..tmp' '1 moved_to ..data' '2 delete_self -' '2 ignored -' \
        '1 delete|dir ..one' '1 create new' '1 modify new' '1 close_write new' '1 create own' '1 modify own' '1 close_write own' '1 moved_from own' \
        '1 moved_to own2' '1 delete own2' '1 create done' '1 create stop'; do
        [ "$(grep -cxF "$line" "$work/behind")" -eq 1 ] || { echo "not once: $line"; return 1; }
    done
}

@test "shared: the name and limits of the container are those of where it is started" {
    configure 'c.pop("hostname", None)'
    # As of a pod: the UTS namespace is another process's.
    unshare --uts sh -c 'hostname pod-7.test && echo $$ >"$1" && exec sleep 100' - "$work/pid" &
    background+=($!)
    within 20 test -s "$work/pid"
    within 20 sh -c "[ \"\$(nsenter --uts=/proc/$(cat "$work/pid")/ns/uts hostname)\" = pod-7.test ]"
    configure "[n for n in c['linux']['namespaces'] if n['type'] == 'uts'][0]['path'] = '/proc/$(cat "$work/pid")/ns/uts'"
    ulimit -n 700
    run container enclave 'hostname; cat /proc/sys/kernel/hostname; ulimit -n'
    echo "$output"
    [ "$output" = $'pod-7.test\npod-7.test\n700' ]
    configure 'c["hostname"] = "own"' 'c["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 300, "hard": 400}]' \
        "[n for n in c['linux']['namespaces'] if n['type'] == 'uts'][0].pop('path')"
    run container enclave 'hostname; ulimit -n'
    [ "$output" = $'own\n300' ]
}
