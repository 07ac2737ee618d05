#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a service manager gives to a service: NOTIFY_SOCKET and, with socket activation, LISTEN_FDS.

bats_require_minimum_version 1.5.0
load ordinary

setup() {
    ordinary_setup
    listener=
}

teardown() {
    [ -z "${listener:-}" ] || kill "$listener" 2>/dev/null || true
    ordinary_teardown
}

# A socket as a service manager has it; every datagram is one line in $work/heard.
listen() {
    python3 - "$1" "$work/heard" >/dev/null 2>&1 3>&- <<'PY' &
import socket, sys
name, out = sys.argv[1:]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("\0" + name[1:] if name[0] == "@" else name)
with open(out, "a") as f:
    while True:
        f.write(repr(s.recv(4096).decode()) + "\n")
        f.flush()
PY
    listener=$!
    if [ "${1:0:1}" = @ ]; then within 10 grep -qF "$1" /proc/net/unix; else within 10 test -S "$1"; fi
}

# A program in the image that sends its arguments, each as a datagram, to the socket in its environment.
sender() {
    cat >"$work/send.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (!path || fd < 0)
        return 2;
    strncpy(to.sun_path, path, sizeof(to.sun_path) - 1);
    for (int i = 1; i < argc; i++)
        if (sendto(fd, argv[i], strlen(argv[i]), 0, (struct sockaddr *)&to, sizeof(to)) < 0)
            return perror("sendto"), 1;
    return 0;
}
C
    cc -static -o "$bundle/rootfs/bin/send" "$work/send.c"
}

@test "READY= of a detached container reaches the service manager, with the container's pid" {
    sender
    listen "$work/socket"
    arguments sh -c 'echo $NOTIFY_SOCKET; send STATUS=starting; send "STATUS=up
READY=1" READY=1; exec sleep 1000'
    NOTIFY_SOCKET=$work/socket rune run -d "$id" </dev/null >"$work/out" 2>&1
    pid=$(rune state "$id" | jq .pid)
    within 10 grep -q MAINPID "$work/heard"
    run -0 cat "$work/heard"
    # The first READY= and nothing else of what the container says.
    [ "$output" = "'READY=1\\n'
'MAINPID=$pid\\n'" ]
    rune delete --force "$id"
    nothing_left
}

@test "in the foreground the service manager looks at rune, and signals go on meanwhile" {
    sender
    listen "$work/socket"
    arguments sh -c 'trap "exit 7" TERM; send READY=1; while :; do sleep 0.1; done'
    NOTIFY_SOCKET=$work/socket "$RUNE" --root "$state" run "$id" </dev/null &
    main=$!
    within 10 grep -q MAINPID "$work/heard"
    grep -qxF "'MAINPID=$main\\n'" "$work/heard"
    kill -TERM "$main"
    status=0
    wait "$main" || status=$?
    [ "$status" -eq 7 ]
    nothing_left
}

@test "a container that ends without READY= does not keep rune waiting" {
    listen "$work/socket"
    arguments sh -c 'exit 3'
    NOTIFY_SOCKET=$work/socket run -3 timeout 20 "$RUNE" --root "$state" run "$id" </dev/null
    arguments sleep 0.2
    NOTIFY_SOCKET=$work/socket timeout 20 "$RUNE" --root "$state" run -d "$id" </dev/null >"$work/out" 2>&1
    [ ! -s "$work/heard" ]
    within 5 status_is "$id" stopped
    rune delete "$id"
    nothing_left
}

@test "create and start: start waits for READY=; the socket may be abstract" {
    sender
    local name=@rune-test-$$-$RANDOM
    listen "$name"
    arguments sh -c 'sleep 0.5; send READY=1; exec sleep 1000'
    NOTIFY_SOCKET=$name rune create "$id" </dev/null >"$work/out" 2>&1
    [ ! -s "$work/heard" ]
    NOTIFY_SOCKET=$name timeout 20 "$RUNE" --root "$state" start "$id"
    within 5 grep -qF "MAINPID=$(rune state "$id" | jq .pid)" "$work/heard"
    rune delete --force "$id"
    nothing_left
}

@test "the mount is read-only, and without NOTIFY_SOCKET there is none" {
    listen "$work/socket"
    arguments sh -c 'grep -c " /run/notify .*ro,nosuid,nodev,noexec" /proc/self/mounts; echo x >/run/notify/x || true; ls /run/notify'
    NOTIFY_SOCKET=$work/socket run -0 rune run "$id"
    [ "${lines[0]}" = 1 ]
    [[ "$output" == *"Read-only file system"*notify.sock ]]
    arguments sh -c 'echo "[$NOTIFY_SOCKET]"; grep -c /run/notify /proc/self/mounts'
    run -1 env -u NOTIFY_SOCKET "$RUNE" --root "$state" run "$id"
    [ "$output" = "[]
0" ]
}

@test "socket activation: LISTEN_FDS descriptors come first, then those of --preserve-fds" {
    echo first >"$work/first"
    echo second >"$work/second"
    arguments sh -c 'echo $LISTEN_FDS $LISTEN_PID; cat <&3; cat <&4; ls /proc/self/fd'
    # sh stays the process that becomes rune: LISTEN_PID names it.
    run -0 sh -c 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@" 3<'"$work/first 4<$work/second" sh \
        "$RUNE" --root "$state" run --preserve-fds 1 "$id"
    [ "${lines[0]}" = "1 1" ]
    [ "${lines[1]}" = first ]
    [ "${lines[2]}" = second ]
    # 0 to 4, and the directory that ls reads
    [ "${#lines[@]}" -eq 9 ]
}

@test "descriptors for another process are not taken, missing ones are refused" {
    echo first >"$work/first"
    arguments sh -c 'echo "[$LISTEN_FDS]"; ls /proc/self/fd'
    run -0 sh -c 'LISTEN_FDS=1 LISTEN_PID=1 exec "$@" 3<'"$work/first" sh "$RUNE" --root "$state" run "$id"
    [ "${lines[0]}" = "[]" ]
    [ "${#lines[@]}" -eq 5 ]
    refused "unable to stat preserved-fd 1 (of 2)" sh -c 'exec "$@" 4<&- 3<'"$work/first" sh \
        "$RUNE" --root "$state" run --preserve-fds 2 "$id"
}
