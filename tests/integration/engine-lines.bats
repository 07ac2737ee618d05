#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What rune-image measure predicts of command lines is what the engines make of them: their own config.json, caught by a runtime that
# starts nothing, has the predicted CONFIGID; and 50 containers of one deployment have it in their reports. Slow: RUNE_CHECK_ENGINES=1.

bats_require_minimum_version 1.5.0
load clients

setup_file() {
    [ -n "${RUNE_CHECK_ENGINES:-}" ] || return 0
    clients_setup_file dockerd docker containerd podman conmon busybox jq
    cat >"$work/catch" <<SH
#!/bin/sh
bundle=.
for word; do
    [ "\$last" != --bundle ] || bundle=\$word
    last=\$word
done
case " \$* " in *" create "*) cp "\$bundle/config.json" "$work/caught.json" && echo caught >&2 && exit 1 ;; esac
SH
    chmod 755 "$work/catch"
    cat >"$work/daemon.json" <<JSON
{ "runtimes": { "catch": { "path": "$work/catch" }, "rune-enclave": { "path": "$RUNE", "runtimeArgs": ["--enclave"] } },
  "default-runtime": "catch", "cgroup-parent": "/$parent",
  "data-root": "$work/data", "exec-root": "$work/exec", "pidfile": "$work/docker.pidfile", "hosts": ["unix://$work/sock"],
  "bridge": "none", "iptables": false, "ip6tables": false, "ip-forward": false, "ip-masq": false }
JSON
    echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$work/policy.json"
    export DOCKER_HOST=unix://$work/sock DOCKER_CONFIG=$work/client
    start_daemon dockerd dockerd --config-file "$work/daemon.json"
    within 120 docker version || { tail -20 "$work/dockerd.log"; return 1; }
    plain=(-c 'ENV PATH=/bin' -c 'CMD ["/bin/sh"]')
    more=(-c 'USER user' -c 'WORKDIR /srv/x' -c 'VOLUME /data' -c 'EXPOSE 80')
    docker import "${plain[@]}" "$work/busybox.tar" plain >/dev/null
    docker import "${plain[@]}" "${more[@]}" "$work/busybox.tar" more >/dev/null
    pod import --signature-policy "$work/policy.json" "${plain[@]}" "$work/busybox.tar" plain >/dev/null
    pod import --signature-policy "$work/policy.json" "${plain[@]}" "${more[@]}" "$work/busybox.tar" more >/dev/null
    for image in plain more; do
        docker save -o "$work/docker-$image" $image
        pod save --format docker-archive -o "$work/podman-$image" $image >/dev/null
    done
    touch "$work/file"
    mkdir "$work/dir"
}

teardown_file() {
    [ -n "${work:-}" ] || return 0
    pod rm -af -t 0 >/dev/null 2>&1 || true
    [ ! -S "$work/sock" ] || docker ps -aq | xargs -r docker rm -f >/dev/null
    stop_daemon dockerd
    clients_teardown_file
}

setup() {
    [ -n "${RUNE_CHECK_ENGINES:-}" ] || skip "slow: RUNE_CHECK_ENGINES=1 (tests/conformance/full-identity.sh)"
}

pod() {
    env -u DOCKER_HOST -u DOCKER_CONFIG podman --root "$work/root" --runroot "$work/run" --tmpdir "$work/tmp" --network-config-dir "$work/net" --cgroup-manager cgroupfs \
        --events-backend file --runtime "$work/catch" "$@"
}

# caught ENGINE: of each line on standard input that prediction and config.json agree; what differs is said in words
caught() {
    local line words image wrong=0
    while IFS= read -r line; do
        eval "words=($line)"
        image="plain"
        [[ " $line " != *" more "* ]] || image="more"
        rm -f "$work/caught.json"
        if [ "$1" = docker ]; then
            docker run --rm "${words[@]}" >"$work/said" 2>&1 </dev/null || true
        else
            [[ $line == *--network* ]] || words=(--network none "${words[@]}")
            words=(--ulimit nofile=1024:1024 --ulimit nproc=4096:4096 "${words[@]}")
            (cd "$work" && pod run --rm --cgroup-parent "/$parent" "${words[@]}") >"$work/said" 2>&1 </dev/null || true
        fi
        if [ ! -e "$work/caught.json" ]; then
            echo "$1 runs no: $line: $(tail -1 "$work/said")"
            wrong=1
        elif ! "${RUNE%/*}/rune-image" measure --configid-only --compare "$work/caught.json" "$work/$1-$image" "$1" run "${words[@]}" \
            >"$work/compared" 2>&1 || grep -qE '^ *[-+] ' "$work/compared"; then
            echo "not what $1 makes: $line"
            cat "$work/compared"
            wrong=1
        fi
    done
    return $wrong
}

@test "docker: options are predicted as its daemon makes them" {
    caught docker <<'LINES'
plain sh
--memory 256m --memory-swap -1 --memory-reservation 128m --kernel-memory 50m --cpus 1.5 --pids-limit 100 plain sh
--cpu-shares 512 --cpuset-cpus 0 --cpuset-mems 0 --memory-swappiness 10 --oom-score-adj 500 --blkio-weight 100 plain sh
--ulimit nofile=1024:2048 --ulimit nproc=100 --ulimit core=-1 --ulimit memlock=-1:-1 plain sh
-u 1000:50 --group-add 7 --group-add staff -w /a/../b/./c/ plain sh
-u :50 plain sh
-u root more sh
-v $work/dir:/data/ more
--read-only --tmpfs /tmp:exec,uid=1000,gid=1000,mode=700 --tmpfs /run:size=1k,size=2k plain sh
--mount type=tmpfs,dst=/x,tmpfs-size=64m,tmpfs-mode=0700 --mount type=tmpfs,dst=/y,readonly plain sh
--mount type=volume,dst=/vol --mount type=bind,src=$work/dir,dst=/bind,readonly -v /more -v $work/file:/etc/thing:ro,z plain sh
--cap-drop ALL --cap-add NET_BIND_SERVICE plain sh
--cap-add ALL --cap-drop SYS_ADMIN plain sh
--cap-add CAP_SYS_PTRACE -u user plain sh
--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt label=disable plain sh
--security-opt no-new-privileges --security-opt systempaths=unconfined plain sh
--shm-size 100mb plain sh
--ipc host --pid host --uts host plain sh
--ipc shareable --cgroupns private --userns host plain sh
--ipc none --network host plain sh
-h web1 --domainname example.com --sysctl net.core.somaxconn=100 plain sh
--device /dev/null:/dev/xnull -a stdout -t --init=false plain sh
--entrypoint "" -e A=1 -e A=2 -e PATH=/x plain sh -c "echo '\$A' \"q\""
LINES
}

@test "podman: options are predicted as it makes them" {
    caught podman <<'LINES'
plain sh
--memory 256m --cpus 1.5 --pids-limit 100 --cpuset-cpus 0 --cpuset-mems 0 --oom-score-adj 500 plain sh
--ulimit core=-1 --ulimit memlock=-1:-1 plain sh
-u 1000:50 --group-add 7 --group-add staff -w /tmp/ plain sh
-u :50 plain sh
-u 0 plain sh
-u root more
more
--tmpfs /tmp/:exec,mode=700 --tmpfs /run:notmpcopyup plain sh
--read-only --tmpfs /tmp:size=1m plain sh
--read-only --read-only-tmpfs=false plain sh
--mount type=tmpfs,dst=/x,tmpfs-size=64m,tmpfs-mode=0700 --mount type=volume,dst=/vol -v /more -v v:/v:exec,suid plain sh
-v $work/dir:/bind:ro,noexec,z -v $work/file:/etc/thing plain sh
--cap-drop all --cap-add chown,kill plain sh
--cap-add SYS_ADMIN -u user plain sh
--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt no-new-privileges plain sh
--ipc none --umask 0077 --systemd=false plain /sbin/init
--network host plain sh
--entrypoint '["sh", "-c"]' plain "exit 0"
LINES
}

@test "50 containers of a deployment have the identity that is predicted" {
    # shellcheck disable=SC2054 # the commas are options'
    line=(docker run --runtime rune-enclave --memory 256m --cpus 1 --ulimit core=-1 --read-only --tmpfs /tmp:exec,size=1m -u user -w /tmp/
        --cap-drop ALL --shm-size 1mb -v "$work/dir:/bind" plain sh -c "$show_identity")
    expected=$(predicted "$work/docker-plain" "${line[@]}")
    [ "${#expected}" -eq 129 ]
    for i in $(RUNE_IDENTITY_RUNS=50 identity_runs); do
        found=$(docker run --rm --name "web-$i" --hostname "web-$i" "${line[@]:2}" | identity_of)
        [ "$found" = "$expected" ] || { echo "container $i: $found, expected $expected"; return 1; }
    done
}
