#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The built-in LibOS from rune's side, with Debian's static busybox as the image: the same output and exit code as the
# same bundle run as an ordinary container. What the LibOS can run is tests/libos' matter.

bats_require_minimum_version 1.5.0
load enclave

setup() {
    busybox_setup sh echo cat sleep id pwd env stty kill ps true
    mkdir -p "$bundle/rootfs/data"
    configure 'c["root"]["readonly"] = False'
}
teardown() { enclave_teardown; }

start_libos() {
    arguments "$@"
    rune --enclave run --detach --bundle "$bundle" --pid-file "$work/pid" "$id" >"$work/out" 2>"$work/err" </dev/null
}

@test "libos: output and exit codes" {
    same echo hello
    same sh -c 'exit 42'
    same sh -c 'kill -9 $$'
    same sh -c 'kill -TERM $$; sleep 5'
    same sh -c 'echo one; echo two >&2; exit 3'
}

@test "libos: cwd, user, environment" {
    configure 'c["process"]["cwd"] = "/tmp"' 'c["process"]["env"] += ["COLOUR=blue"]'
    same sh -c 'pwd; env | sort'
    configure 'c["process"]["user"] = {"uid": 1234, "gid": 567, "additionalGids": [9]}'
    same id
}

@test "libos: capability sets, no_new_privs and set-id programs as outside" {
    ln -s busybox "$bundle/rootfs/bin/grep"
    cat >"$work/raised.c" <<'C'
#include <stdio.h>
#include <string.h>
int main(void)
{
    char line[256];
    FILE *f = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof(line), f))
        if (!strncmp(line, "Cap", 3) || !strncmp(line, "Uid", 3) || !strncmp(line, "NoNew", 5))
            fputs(line, stdout);
    return 0;
}
C
    cc -O1 -static -o "$bundle/rootfs/bin/raised" "$work/raised.c"
    chmod 4755 "$bundle/rootfs/bin/raised"
    local sets
    for sets in \
        "bounding=['CAP_CHOWN', 'CAP_KILL'], permitted=['CAP_KILL'], effective=['CAP_KILL'], inheritable=[], ambient=[]" \
        "bounding=['CAP_CHOWN', 'CAP_KILL'], permitted=[], effective=[], inheritable=['CAP_CHOWN'], ambient=[]" \
        "bounding=['CAP_CHOWN', 'CAP_KILL'], permitted=['CAP_KILL'], effective=['CAP_KILL'], inheritable=['CAP_KILL'], ambient=['CAP_KILL']"; do
        for user in 0 1234; do
            for nnp in False True; do
                configure "c['process']['capabilities'] = dict($sets)" \
                    "c['process']['noNewPrivileges'] = $nnp" "c['process']['user'] = {'uid': $user, 'gid': $user}"
                same sh -c 'grep -E "^(Cap|NoNewPrivs)" /proc/self/status; raised'
            done
        done
    done
}

@test "libos: a program that is not there, one for another machine" {
    arguments /bin/nothing
    refused nothing rune --enclave run --bundle "$bundle" "$id"
    printf '\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\2\0\267\0\1\0\0\0' >"$bundle/rootfs/bin/arm"
    head -c 200 /dev/zero >>"$bundle/rootfs/bin/arm"
    chmod +x "$bundle/rootfs/bin/arm"
    arguments /bin/arm
    refused /bin/arm rune --enclave run --bundle "$bundle" "$id"
}

@test "libos: in a user namespace, with exec" {
    annotate exec any
    configure 'c["linux"]["namespaces"].append({"type": "user"})' \
        'c["linux"]["uidMappings"] = c["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]'
    chmod 755 "$work" "$bundle"
    same id
    start_libos sleep 1000
    [ "$(rune exec "$id" id -u)" = 0 ]
    grep -q "^Uid:	100000" "/proc/$(cat "$work/pid")/status"
}

@test "libos: stdio as pipes and files" {
    arguments cat
    head -c 500000 /dev/urandom >"$work/in"
    rune --enclave run --bundle "$bundle" "$id" <"$work/in" >"$work/out" 2>/dev/null
    cmp "$work/in" "$work/out"
    [ "$(echo piped | rune --enclave run --bundle "$bundle" "$id" 2>/dev/null | cat)" = piped ]
}

@test "libos: signals from rune kill" {
    start_libos sh -c 'trap "echo usr1" USR1; trap "echo term; exit 7" TERM; echo ready; while :; do sleep 0.1; done'
    within 20 grep -q ready "$work/out"
    rune kill "$id" USR1
    within 10 grep -q usr1 "$work/out"
    rune kill "$id" TERM
    within 10 status_is "$id" stopped
    grep -q term "$work/out"
}

@test "libos: signals that a shell can trap arrive, real-time ones too, those of faults never" {
    # Not 32 and 33, which no libc lets a program catch. 39 is the one that the runtime kicks its threads with.
    signals="1 2 3 6 10 12 13 14 15 16 17 18 20 21 22 23 24 25 26 27 28 29 30 $(seq -s ' ' 34 64)"
    faults="4 5 7 8 11 31"
    annotate signals all
    start_libos sh -c "for s in $signals $faults; do trap \"echo got \$s\" \$s; done; echo ready; while :; do sleep 0.05; done"
    within 20 grep -q ready "$work/out"
    for sig in $faults; do
        not_taken "$sig"
    done
    for sig in $signals; do
        rune kill "$id" "$sig"
        within 10 grep -qx "got $sig" "$work/out" || { echo "signal $sig is lost"; false; }
    done
    for sig in $faults; do
        ! grep -qx "got $sig" "$work/out" || { echo "the host sent $sig"; false; }
    done
}

@test "libos: a process 1 without a handler: only SIGKILL ends it, as in any container" {
    start_libos sleep 1000
    within 20 status_is "$id" running
    rune kill "$id" TERM
    sleep 0.5
    status_is "$id" running
    rune kill "$id" KILL
    within 10 status_is "$id" stopped
    rune delete "$id"
    nothing_left
}

@test "libos: exec with input, cwd, user, environment, exit code" {
    echo 'other:x:77:77::/home/other:/bin/sh' >>"$bundle/rootfs/etc/passwd"
    # Another user is what process 1 could become itself.
    annotate exec any
    configure 'for s in c["process"]["capabilities"].values(): s += ["CAP_SETUID", "CAP_SETGID"]'
    start_libos sh -c 'echo secret >/tmp/note; sleep 1000'
    within 20 rune exec "$id" cat /tmp/note # the same enclave, the same files
    [ "$(rune exec "$id" cat /tmp/note)" = secret ]
    [ "$(echo line | rune exec "$id" cat)" = line ]
    [ "$(rune exec --cwd /tmp "$id" pwd)" = /tmp ]
    [ "$(rune exec --user 1234:567 "$id" id -u)" = 1234 ]
    [ "$(rune exec "$id" sh -c 'echo $HOME')" = /root ]
    [ "$(rune exec --user 77:77 "$id" sh -c 'echo $HOME')" = /home/other ]
    [ "$(rune exec --env HOME=/own --user 77:77 "$id" sh -c 'echo $HOME')" = /own ]
    run -126 rune exec --cap CAP_SYS_ADMIN "$id" true
    [[ "$output" == *"ermission denied"*"at most the capabilities"* ]]
    [ "$(rune exec --env COLOUR=green "$id" sh -c 'echo $COLOUR')" = green ]
    run rune exec "$id" sh -c 'exit 19'
    [ "$status" -eq 19 ]
    run rune exec "$id" sh -c 'kill -9 $$'
    [ "$status" -eq 137 ]
}

@test "libos: a terminal, its size, ^C" {
    configure 'c["process"]["terminal"] = True'
    arguments sh -c 'stty size; trap "echo int; exit 5" INT; echo ready; while :; do sleep 0.1; done'
    "$tty" run "$work/screen" "$work/control" -- "$RUNE" --root "$state" --enclave run --bundle "$bundle" "$id" &
    runner=$!
    background+=("$runner")
    within 20 grep -q ready "$work/screen"
    printf 'send \\x03\n' >"$work/control"
    set +e
    wait $runner
    [ $? -eq 5 ]
}

@test "libos: exec with a terminal of its own: size, job control keys, exit code" {
    annotate exec any
    start_libos sleep 1000
    "$tty" run "$work/screen" "$work/control" -- "$RUNE" --root "$state" exec --tty "$id" sh -c 'tty; echo ready; cat; echo "after $?"; stty size; exit 6' &
    runner=$!
    background+=("$runner")
    within 20 grep -q ready "$work/screen"
    printf 'send line\\n\n' >"$work/control"
    within 10 grep -q line "$work/screen"
    echo "size 44 111" >"$work/control"
    printf 'send \\x04\n' >"$work/control" # ^D ends cat
    set +e
    wait $runner
    [ $? -eq 6 ]
    grep -q "44 111" "$work/screen"
}

@test "libos: bind mounts pass through, read-only ones refuse writes" {
    mkdir "$work/shared"
    echo from the host >"$work/shared/file"
    configure "c['mounts'].append({'destination': '/data', 'type': 'bind', 'source': '$work/shared', 'options': ['rbind', 'rw']})"
    same sh -c 'cat /data/file; echo written >/data/new; cat /data/new'
    [ "$(cat "$work/shared/new")" = written ]
    configure 'c["mounts"][-1]["options"] = ["rbind", "ro"]'
    same sh -c 'cat /data/file; echo no 2>/dev/null >/data/other || echo refused'
    [ ! -e "$work/shared/other" ]
}

@test "libos: writes stay in the enclave, the second run converts nothing" {
    same sh -c 'echo x >/etc/new; cat /etc/new'
    [ ! -e "$bundle/rootfs/etc/new.enclave" ]
    rm -f "$bundle/rootfs/etc/new" # the ordinary container's
    arguments sh -c 'echo x >/etc/new'
    rune --enclave run --bundle "$bundle" "$id" </dev/null 2>/dev/null
    [ ! -e "$bundle/rootfs/etc/new" ]
    count=$(cached_images | wc -l)
    rune --enclave run --bundle "$bundle" "$id" </dev/null 2>/dev/null
    [ "$(cached_images | wc -l)" -eq "$count" ]
}

@test "libos: kill -9 of rune during conversion and start: delete --force leaves nothing" {
    arguments sleep 1000
    for round in $(seq 12); do
        echo "$round" >"$bundle/rootfs/etc/round" # another image each time: converted anew
        killed_within 1200 --enclave create --bundle "$bundle" "$id"
        run rune delete --force "$id"
        within 3 nothing_left || { echo "round $round"; nothing_left; }
    done
}

@test "libos: bad input: no mkfs.erofs" {
    arguments echo hi
    echo other >"$bundle/rootfs/etc/other"
    PATH=/nowhere run /usr/bin/timeout 60 "$RUNE" --root "$state" --enclave run --bundle "$bundle" "$id"
    [ "$status" -eq 0 ] || { [ "$status" -eq 1 ] && [[ "$output" == *mkfs.erofs* ]] && nothing_left; }
}

@test "libos: bad input: a full disk during conversion" {
    mkdir "$work/small"
    mount -t tmpfs -o size=256k tmpfs "$work/small"
    arguments echo hi
    RUNE_CACHE_DIR=$work/small run rune --enclave run --bundle "$bundle" "$id"
    echo "$output"
    left=$(find "$work/small" -type f | wc -l)
    umount "$work/small"
    [ "$status" -eq 1 ]
    [ "${#lines[@]}" -eq 1 ]
    [[ "$output" == *"no space left"* ]]
    [ "$left" -eq 0 ]
    nothing_left
}
