#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Bind mounts of an enclave container and a host that means harm: it owns the directory, puts links, devices and pipes there, and
# swaps them while a program in the enclave works. What the enclave keeps to itself (/run/secrets, a tmpfs) stays there.

# shellcheck disable=SC2016 # scripts are for the shell in the enclave
bats_require_minimum_version 1.5.0
load enclave

setup() {
    busybox_setup sh echo cat sleep id pwd ls cp mv rm ln stat readlink realpath mkdir mkfifo touch chmod head seq tr true httpd \
        wget grep tail wc timeout kill md5sum mount umount
    mkdir -p "$bundle/rootfs"/{data,srv,run/secrets} "$work/shared"
    shared=$work/shared
    configure 'c["root"]["readonly"] = False' 'c["process"]["noNewPrivileges"] = False' \
        'c["mounts"].append({"destination": "/run/secrets", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]})'
    bind /data "$shared" rbind rw
}
teardown() { enclave_teardown; }

# bind TARGET SOURCE OPTION...
bind() {
    configure "c['mounts'].append({'destination': '$1', 'type': 'bind', 'source': '$2',
        'options': $(python3 -c 'import json, sys; print(json.dumps(sys.argv[1:]))' "${@:3}")})"
}

# inside SCRIPT: run it in the enclave, with a secret in enclave memory
inside() {
    arguments sh -c "echo TENANT-KEY-4711 >/run/secrets/key; chmod 600 /run/secrets/key; $1"
    start
}

# Without the messages of rune itself.
start() {
    # shellcheck disable=SC2016 # the inner shell's
    run bash -c '"$@" 2>&1 | grep -av "level="' - timeout -k 5 120 "$RUNE" --root "$state" --enclave run --bundle "$bundle" "$id" </dev/null
    echo "$output"
}

no_secret() {
    [[ "$output" != *TENANT-KEY* ]]
    [[ "$output" != *root:x:* ]]
    ! grep -rqs TENANT-KEY "$shared"
}

@test "mounts: a web server gives out nothing but its directory" {
    echo "<p>page</p>" >"$shared/page.html"
    ln -s /run/secrets/key "$shared/index.html"
    ln -s / "$shared/root"
    ln -s ../../../../proc/1/environ "$shared/environ"
    inside 'httpd -p 127.0.0.1:8080 -h /data
        for name in page.html index.html root/run/secrets/key root/etc/passwd environ root/proc/1/environ; do
            wget -qO- http://127.0.0.1:8080/$name; done; echo end'
    [[ "$output" == *"<p>page</p>"*end* ]]
    [[ "$output" != *PATH=* ]]
    no_secret
}

@test "mounts: what is written through a link stays with the host" {
    ln -s /etc/passwd "$shared/app.log"
    ln -s ../etc/shadow "$shared/new.log"
    ln -s /run/secrets "$shared/dir"
    inside 'echo "user=attacker:x:0:0::/:/bin/sh" >>/data/app.log; echo x >/data/new.log; echo y >/data/dir/z; mkdir /data/dir/d
        cp /bin/true /data/dir/t; touch /data/dir/key; rm -f /data/dir/key; mv /data/dir /data/moved; chmod 777 /data/app.log
        grep -c attacker /etc/passwd; ls /etc/shadow /run/secrets; cat /run/secrets/key | md5sum; stat -c %a /run/secrets/key /etc/passwd'
    [[ "$output" == *$'\n0\n'* ]]
    [[ "$output" == *"/etc/shadow: No such file"* ]]
    [[ "$output" == *"key"$'\n'"$(echo TENANT-KEY-4711 | md5sum)"* ]]
    [[ "$output" == *600$'\n'644* ]]
    [ -L "$shared/moved" ]
}

@test "mounts: links in every position, and programs that resolve them by themselves" {
    mkdir "$shared/sub"
    ln -s /run/secrets/key "$shared/abs"
    ln -s ../run/secrets/key "$shared/up"
    ln -s ../../run/secrets/key "$shared/sub/up"
    ln -s / "$shared/root"
    ln -s . "$shared/dot"
    ln -s root/run/secrets/key "$shared/chain"
    inside 'cd /data/sub
        for p in /data/abs /data/up up ../up /data/root/run/secrets/key ../root/run/secrets/key /data/chain /proc/self/cwd/up /proc/self/cwd/../up /proc/self/root/data/abs; do
            cat $p; cat "$(readlink -f $p)"; cat "$(realpath $p)"; cat "$(readlink $p)"; cp $p /tmp/x; ls -lL $p; (. $p)
        done 2>/dev/null; cat /data/dot/../run/secrets/key /data/dot/../../run/secrets/key; ls /data/root; cd /data/root/run && pwd; readlink /data/abs; stat -c %s /data/abs; echo end'
    no_secret
    [[ "$output" == *"chain"*$'\n'"/data/run/secrets/key"$'\n'21$'\n'end ]]
    [[ "$output" != *secrets$'\n'* ]]
}

@test "mounts: exec, sockets, inotify, mappings and descriptors through links" {
    cc -O1 -static -o "$bundle/rootfs/bin/escape" "$BATS_TEST_DIRNAME/programs/escape.c"
    ln -s /bin/true "$shared/program"
    ln -s ../bin/true "$shared/up"
    ln -s /run/secrets "$shared/dir"
    ln -s /run/secrets/new "$shared/new"
    ln -s / "$shared/root"
    cp "$busybox" "$shared/own"
    inside 'escape /data/program /data/up /data/dir /data/root/bin/true /data/new /data/root/run/new; echo "status $?"
        ls /run /run/secrets; /data/own true || echo refused'
    [[ "$output" == *"status 0"* ]]
    [[ "$output" != *new* ]]
    [[ "$output" == *refused* ]]
}

@test "mounts: devices, pipes and sockets of the host" {
    mknod "$shared/random" c 1 9
    mknod "$shared/tty" c 5 0
    mknod "$shared/pts" c 136 0
    mknod "$shared/disk" b 8 0
    mkfifo "$shared/fifo"
    chmod 666 "$shared"/*
    python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$shared/socket"
    inside 'for f in random tty pts disk socket; do head -c 1 /data/$f && echo "got $f"; done
        timeout 1 cat /data/fifo; echo "fifo $?"; touch /data/after; echo end'
    [[ "$output" != *got* ]]
    [[ "$output" == *"fifo 143"*end* ]]
    [ -e "$shared/after" ]
}

# The host changes what is there as fast as it can, while the enclave reads, writes, lists and runs it.
@test "mounts: a host that swaps files, links, directories, pipes and devices" {
    mkdir "$work/kinds" "$work/kinds/directory"
    echo plain >"$work/kinds/file"
    echo x >"$work/kinds/directory/key"
    ln -s /run/secrets/key "$work/kinds/link"
    ln -s ../run/secrets "$work/kinds/up"
    ln -s / "$work/kinds/root"
    mkfifo "$work/kinds/fifo"
    mknod "$work/kinds/device" c 1 3
    python3 - "$work/kinds" "$shared" <<'PY' &
import os, random, shutil, sys, time
kinds, shared = sys.argv[1:]
end = time.time() + 100
while time.time() < end and not os.path.exists(shared + "/stop"):
    for target in ("f", "d"):
        new = shared + "/.new"
        kind = random.choice(os.listdir(kinds))
        try:
            if kind == "directory":
                shutil.copytree(kinds + "/directory", new)
            elif os.path.islink(kinds + "/" + kind):
                os.symlink(os.readlink(kinds + "/" + kind), new)
            else:
                os.link(kinds + "/" + kind, new)
            if os.path.isdir(shared + "/" + target) and not os.path.islink(shared + "/" + target):
                shutil.rmtree(shared + "/" + target, ignore_errors=True)
            elif kind == "directory":
                os.unlink(shared + "/" + target)
            os.rename(new, shared + "/" + target)
        except OSError:
            pass
        # Renaming a link of the same file does nothing; and rmtree() would open a pipe.
        if os.path.isdir(new) and not os.path.islink(new):
            shutil.rmtree(new, ignore_errors=True)
        elif os.path.lexists(new):
            os.unlink(new)
PY
    local swapper=$!
    background+=("$swapper")
    # Who opens a pipe waits for its other end, as on Linux: not for long here, and not as often as the names change.
    inside 'sum=$(md5sum </run/secrets/key); before=$(ls -la /etc /run /bin | md5sum); n=0
        while [ $n -lt 40 ]; do n=$((n + 1))
            timeout 1 cat /data/f /data/d/key /data/f/run/secrets/key /data/d/secrets/key
            timeout 1 sh -c "echo line $n >>/data/f"
            timeout 1 touch /data/d/key; timeout 1 cp /bin/true /data/f/run/new; rm -f /data/d/run/secrets/key
            ls /data/f/ /data/d/; cd /data/d && pwd; mkdir -p /data/f/run/secrets/x; timeout 1 /data/f
        done 2>/dev/null | grep -E "TENANT|root:x|^/run|^/bin|^passwd$"
        [ "$sum" = "$(md5sum </run/secrets/key)" ] && echo "key kept"; [ "$before" = "$(ls -la /etc /run /bin | md5sum)" ] && echo kept
        touch /data/stop'
    wait $swapper
    no_secret
    [ "$(grep -v '^rune: ' <<<"$output")" = "key kept"$'\n'kept ] # on a slow machine rune says what it waits for
    nothing_left
}

# Kubernetes' writer: a new directory, then ..data is renamed over; a reader finds the old or the new value, always.
@test "mounts: an atomically written volume is read while it changes" {
    mkdir "$shared/..1" "$shared/..2"
    echo one >"$shared/..1/token"
    echo two >"$shared/..2/token"
    ln -s ..1 "$shared/..data"
    ln -s ..data/token "$shared/token"
    (
        while [ ! -e "$shared/stop" ]; do
            for n in 2 1; do
                ln -s ..$n "$shared/.tmp"
                mv -T "$shared/.tmp" "$shared/..data"
            done
        done
    ) &
    background+=($!)
    inside 'n=0; while [ $n -lt 300 ]; do n=$((n + 1)); cat /data/token; done >/tmp/values; touch /data/stop
        wc -l </tmp/values; grep -cv -e "^one$" -e "^two$" /tmp/values; cat "$(realpath /data/token)"'
    [ "${lines[0]}" = 300 ]
    [ "${lines[1]}" = 0 ]
    [[ "${lines[2]}" = one || "${lines[2]}" = two ]]
}

@test "mounts: links that programs make in their volume work" {
    inside 'mkdir -p /data/releases/5; echo five >/data/releases/5/v; ln -s /data/releases/5 /data/current; ln -s releases/5/v /data/v
        cat /data/current/v /data/v; readlink /data/current; cd /data/current && pwd -P'
    [ "$output" = "five"$'\n'"five"$'\n'"/data/releases/5"$'\n'"/data/releases/5" ]
}

@test "mounts: a tmpfs below a bind mount is where the deployment says" {
    configure 'c["mounts"].append({"destination": "/data/a/b", "type": "tmpfs", "source": "tmpfs"})'
    mkdir -p "$shared/a/b"
    ln -s a/b/own "$shared/link"
    inside "echo TENANT-KEY-2 >/data/a/b/own; echo ready >/data/ready; while [ ! -e /data/go ]; do sleep 0.1; done
        cat /data/a/b/own | md5sum; echo TENANT-KEY-3 >/data/a/b/more; ls /data/a/b; cat /data/link" &
    local pid=$!
    within 30 test -e "$shared/ready"
    mv "$shared/a" "$shared/gone" # the host's view: the mount points of the enclave are in the enclave
    mkdir -p "$shared/a/b"
    touch "$shared/go"
    wait $pid
    [ -z "$(ls "$shared/a/b")" ]
    ! grep -rqs TENANT-KEY "$shared"
}

@test "mounts: a deployment's mount point that is a link of the host" {
    configure 'c["mounts"].append({"destination": "/data/a/b", "type": "tmpfs", "source": "tmpfs"})'
    mkdir -p "$shared/other/b"
    ln -s other "$shared/a"
    arguments true
    refused "a link of the host is on the way" rune --enclave run --bundle "$bundle" "$id"
}

@test "mounts: what engines bind, by name" {
    mkdir "$work/token" "$work/shm"
    printf '6.6.6.6 localhost peer\n' >"$work/hosts"
    echo t0k3n >"$work/token/token"
    : >"$work/log"
    bind /etc/hosts "$work/hosts" rbind rprivate
    bind /dev/termination-log "$work/log" rbind
    bind /run/secrets/kubernetes.io/serviceaccount "$work/token" rbind
    bind /dev/shm "$work/shm" rbind
    bind /etc/hidden /dev/null rbind
    inside 'grep -w localhost /etc/hosts | cut -f 1; tail -n +3 /etc/hosts; cat /run/secrets/kubernetes.io/serviceaccount/token; (echo x >>/etc/hosts) 2>/dev/null || echo "hosts: ro"
        (echo x >/run/secrets/kubernetes.io/serviceaccount/y) 2>/dev/null || echo "token: ro"; echo done >/dev/termination-log
        echo TENANT-KEY-5 >/dev/shm/x; cat /dev/shm/x | md5sum; cat /etc/hidden; echo gone >/etc/hidden; stat -c %F /etc/hidden'
    # What the host says of other names is its word; of localhost it is the enclave's.
    [[ "$output" == *"127.0.0.1"$'\n'"::1"$'\n'"6.6.6.6"$'\t'"peer"$'\n'"t0k3n"$'\n'"hosts: ro"$'\n'"token: ro"$'\n'*"character special file" ]]
    [ "$(cat "$work/log")" = "done" ]
    [ -z "$(ls "$work/shm")" ]
}

@test "mounts: a bind over /dev, /sys or /proc is the enclave's own" {
    configure 'c["mounts"] = [m for m in c["mounts"] if not m["destination"].startswith(("/dev", "/sys"))]'
    bind /dev /dev rbind
    bind /sys /sys rbind ro
    inside 'echo x >/dev/null && ls /dev/attestation; [ -e /sys/class/dmi ] || echo "not the host"; grep -c hostfs /proc/mounts'
    [[ "$output" == *report*"not the host"$'\n'1 ]]
}

@test "mounts: enclave.mounts says what a mount may be, and what cannot be is refused" {
    cp "$busybox" "$shared/echo"
    cp "$busybox" "$shared/id"
    chmod 4755 "$shared/id"
    printf '#!/bin/sh\necho script\n' >"$shared/script"
    chmod 755 "$shared/script"
    ln -s /etc/passwd "$shared/passwd"
    inside '/data/echo no; /data/script; sh /data/script; cat /data/passwd; echo x >/data/new && echo written'
    [[ "$output" != *no* ]]
    [ "$(grep -c "^script$" <<<"$output")" -eq 1 ]
    no_secret
    [[ "$output" == *written* ]]
    configure 'c["annotations"] = {"enclave.mounts": "/data=insecure-exec,insecure-links,ro"}' \
        'c["process"]["user"] = {"uid": 77, "gid": 77}'
    arguments sh -c '/data/echo yes; /data/script; /data/id -u; cat /data/passwd; echo x >/data/new2 || echo refused'
    start
    [[ "$output" == yes$'\n'script$'\n'77$'\n'root:x:*refused ]]
    configure 'c["annotations"] = {}' 'c["process"]["env"].append("ENCLAVE_MOUNTS=/dat=ro")'
    refused "no bind mount of config.json is at /dat" rune --enclave run --bundle "$bundle" "$id"
    configure 'c["process"]["env"][-1] = "ENCLAVE_MOUNTS=/data=exec"'
    refused 'use ro, rw, insecure-exec or insecure-links' rune --enclave run --bundle "$bundle" "$id"
    configure 'c["process"]["env"].pop()'
    arguments /data/script
    refused 'enclave.mounts "/data=insecure-exec"' rune --enclave run --bundle "$bundle" "$id"
}

@test "mounts: locks are shared with programs outside, both ways" {
    cc -O1 -static -o "$bundle/rootfs/bin/lock" "$BATS_TEST_DIRNAME/programs/lock.c"
    cp "$bundle/rootfs/bin/lock" "$work/lock"
    # While the enclave holds locks, nobody outside gets them; while somebody outside does, the enclave does not.
    inside 'for kind in flock posix ofd; do
            lock $kind write /data/$kind "echo >/data/$kind.held; while [ ! -e /data/$kind.go ]; do sleep 0.05; done"
            while [ ! -e /data/$kind.outside ]; do sleep 0.05; done
            lock $kind write /data/$kind; lock $kind read /data/$kind; [ $kind = flock ] || lock $kind test /data/$kind
            echo >/data/$kind.wait; lock $kind wait /data/$kind "cat /data/$kind.order"
        done' >"$work/inside" &
    local enclave=$! kind
    for kind in flock posix ofd; do
        within 30 test -e "$shared/$kind.held"
        run -1 "$work/lock" $kind write "$shared/$kind"
        [ "$output" = busy ]
        run -1 "$work/lock" $kind read "$shared/$kind"
        [ $kind = flock ] || [ "$("$work/lock" posix test "$shared/$kind")" = "write 100 100" ]
        touch "$shared/$kind.go"
        "$work/lock" $kind wait "$shared/$kind" "touch $shared/$kind.outside
            while [ ! -e $shared/$kind.wait ]; do sleep 0.05; done; sleep 0.3; echo after >$shared/$kind.order"
    done
    wait $enclave
    [ "$(grep -c '^busy$' "$work/inside")" -eq 6 ]
    [ "$(grep -c '^write 100 100$' "$work/inside")" -eq 2 ]
    [ "$(grep -c '^after$' "$work/inside")" -eq 3 ]
}

@test "mounts: a lock goes with the enclave that held it, and is refused to a second enclave" {
    cc -O1 -static -o "$bundle/rootfs/bin/lock" "$BATS_TEST_DIRNAME/programs/lock.c"
    cp "$bundle/rootfs/bin/lock" "$work/lock"
    arguments sh -c 'lock flock write /data/f "lock posix read /data/p \"echo >/data/held; sleep 1000\""'
    rune --enclave run --detach --bundle "$bundle" "$id" >/dev/null 2>&1 </dev/null
    within 30 test -e "$shared/held"
    arguments sh -c 'lock flock write /data/f; lock flock read /data/f; lock posix write /data/p; lock posix read /data/p'
    run -0 rune --enclave run --bundle "$bundle" "$id-2" </dev/null
    [ "$(grep -cx -e busy <<<"$output")" -eq 3 ]
    [ "$(grep -cx -e got <<<"$output")" -eq 1 ]
    rune kill "$id" KILL
    within 10 "$work/lock" flock write "$shared/f"
    within 10 "$work/lock" posix write "$shared/p"
    rune delete --force "$id"
}

@test "mounts: without room for /dev/attestation in what is on /dev there is no start" {
    # rune mounts no /dev of the host; another one that loads the enclave could.
    local build
    build=$(dirname "$RUNE_STAGE")
    mkdir "$work/dev"
    mount -t tmpfs -o ro none "$work/dev"
    run timeout -k 5 120 "$build/runtimes/libos/libos-run" --libos "$build/libos/libos.elf" --cache "$work/cache" --key "$work/key.pem" \
        --rootfs "$bundle/rootfs" --bind "$work/dev:/dev" -- /bin/true
    umount "$work/dev"
    echo "$output"
    [ "$status" -eq 125 ]
    [[ "$output" == *"/dev/attestation cannot be mounted"* ]]
}

@test "mounts: names, contents and races of a bind mount as Linux has them" {
    local program
    for program in fsmodel fsstress; do
        cc -O1 -static -pthread -w -o "$bundle/rootfs/bin/$program" "$BATS_TEST_DIRNAME/../libos/$program.c"
    done
    configure 'c["process"]["capabilities"] = {k: ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID"]
        for k in ("bounding", "effective", "permitted")}'
    mkdir -m 1777 "$work/tmp"
    bind /tmp "$work/tmp" rbind
    for program in fsmodel fsstress; do
        arguments /bin/$program
        start
        [ "${lines[-1]}" = passed ]
    done
    [ -z "$(ls -A "$work/tmp")" ]
}

@test "mounts: who appends to one file, inside and outside, loses nothing" {
    (
        while [ ! -e "$shared/go" ]; do sleep 0.01; done
        for n in $(seq 300); do head -c 3000 /dev/zero >>"$shared/log"; done
    ) &
    background+=($!)
    inside 'for who in a b c; do head -c 4000000 /dev/zero >>/data/log & done; echo >/data/go; wait; echo end'
    wait "${background[-1]}"
    [ "$(stat -c %s "$shared/log")" -eq 12900000 ]
}
