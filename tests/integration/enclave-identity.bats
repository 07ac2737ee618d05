#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One deployment, one CONFIGID and one sealing key: what engines make anew for each container changes neither.

bats_require_minimum_version 1.5.0
load enclave

setup() {
    [ "$(id -u)" -eq 0 ] || skip "containers need root here"
    enclave_setup
    busybox=$(command -v busybox) || skip "no busybox"
    mkdir -p "$bundle/rootfs/bin" "$work/one" "$work/two"
    cp "$busybox" "$bundle/rootfs/bin/busybox"
    for applet in sh cat od env; do
        ln -s busybox "$bundle/rootfs/bin/$applet"
    done
    annotate type simulatedSgx
    export RUNE_CACHE_DIR=$BATS_FILE_TMPDIR/cache RUNE_SIGNING_KEY=$BATS_FILE_TMPDIR/key.pem
    mkdir -p "$RUNE_CACHE_DIR"
}

teardown() { enclave_teardown; }

# changed STATEMENT...: identity and key of the container with a changed configuration, which then is as before
changed() {
    cp "$bundle/config.json" "$work/as-it-was"
    configure "$@"
    local status=0
    rune run --bundle "$bundle" "$id" </dev/null 2>"$work/err" || status=$?
    cat "$work/err" >&2
    mv "$work/as-it-was" "$bundle/config.json"
    return $status
}

identity='od -An -v -tx1 -j64 -N320 /dev/attestation/report; od -An -tx1 /dev/attestation/keys/_sgx_mrenclave'

# The same without a start: CONFIGID of a changed configuration.
predicted_with() { # STATEMENT...
    cp "$bundle/config.json" "$work/as-it-was"
    configure "$@"
    "${RUNE%/*}/rune-image" measure --configid-only --json "$bundle" | jq -r '.[0].configid'
    mv "$work/as-it-was" "$bundle/config.json"
}

@test "what engines make anew changes neither CONFIGID nor the sealing key" {
    arguments sh -c "$identity"
    configure "c['mounts'] += [{'destination': t, 'type': 'bind', 'source': '$work/one', 'options': ['bind']} for t in ['/b', '/a', '/a/c']]" \
        "c['process']['env'] += ['HOSTNAME=one', 'A=1', 'A1=2', 'B=3']"
    local same=('c["hostname"] = "other"' "c['process']['env'].reverse()" "c['process']['env'].insert(0, 'A=0')"
        "c['process']['env'] = [e.replace('HOSTNAME=one', 'HOSTNAME=two') for e in c['process']['env']]"
        "c['process']['rlimits'].reverse()" "c['linux']['maskedPaths'].reverse()" "c['annotations']['io.test'] = 'x'"
        "[m.update(source='$work/two') for m in c['mounts'] if m['type'] == 'bind']"
        "c['mounts'][-3:] = [c['mounts'][-2], c['mounts'][-1], c['mounts'][-3]]")
    first=$(changed pass)
    [ "$(wc -l <<<"$first")" -eq 21 ]
    [ "$(changed "${same[@]}")" = "$first" ]
    expected=$(predicted_with pass)
    [[ "$(tr -d ' \n' <<<"$first")" == *"$expected"* ]]
    for one in "${same[@]}"; do
        [ "$(predicted_with "$one")" = "$expected" ] || { echo "another with $one"; return 1; }
    done

    # What the tenant decides does.
    for other in "c['process']['env'] += ['C=1']" "c['process']['env'] += ['A=2']" "c['mounts'].pop()" "c['process']['args'] += ['x']" \
        "c['process']['env'] += ['DB_SERVICE_HOST=10.0.0.1']" "c['process']['env'] += ['HOSTNAME=a b']" \
        "c['annotations']['enclave.host.env'] = 'default POD_*'" "c['annotations']['enclave.host.name'] = 'measured'"; do
        [ "$(predicted_with "$other")" != "$expected" ] || { echo "the same with $other"; return 1; }
    done
    [ "$(changed "$other" | tail -1)" != "$(tail -1 <<<"$first")" ]
}

@test "in a pod the variables of services are the host's, and a program can tell them apart" {
    arguments sh -c "$identity; cat /dev/attestation/host_values"
    configure "c['annotations'].update({'io.kubernetes.cri.container-type': 'container', 'enclave.host.env': 'default,POD_IP -KEPT_*'})" \
        "c['process']['env'] += ['DB_PORT=5432', 'PORT=80', 'KEPT_SERVICE_HOST=10.1.1.1']" \
        "c['mounts'] += [{'destination': '/etc/hosts', 'type': 'bind', 'source': '/etc/hosts', 'options': ['bind']}]"
    first=$(changed "c['hostname'] = 'web-0'" "c['process']['env'] += ['HOSTNAME=web-0', 'POD_IP=\"10.0.0.7\"']")
    second=$(changed "c['hostname'] = 'web-1'" "c['process']['env'] += ['KUBERNETES_SERVICE_HOST=10.96.0.1', 'KUBERNETES_PORT=tcp://10.96.0.1:443']" \
        "c['process']['env'] += ['HOSTNAME=web-1', 'KUBERNETES_PORT_443_TCP_PROTO=tcp', 'KUBERNETES_SERVICE_PORT_HTTPS=443']")
    [ "$(head -21 <<<"$first")" = "$(head -21 <<<"$second")" ]
    python3 - "$(tail -1 <<<"$first")" "$(tail -1 <<<"$second")" <<'PYTHON'
import json, sys
one, two = (json.loads(text) for text in sys.argv[1:])
assert one == {'hostname': 'web-0', 'domainname': None, 'env': {'HOSTNAME': 'web-0', 'POD_IP': '"10.0.0.7"'}, 'mounts': ['/etc/hosts']}, one
assert two['env'] == {'HOSTNAME': 'web-1', 'KUBERNETES_SERVICE_HOST': '10.96.0.1', 'KUBERNETES_PORT': 'tcp://10.96.0.1:443',
    'KUBERNETES_PORT_443_TCP_PROTO': 'tcp', 'KUBERNETES_SERVICE_PORT_HTTPS': '443'}, two
PYTHON
}

@test "settings that no rule can be are refused" {
    arguments sh
    annotate host.env 'default LD_PRELOAD'
    refused "enclave.host.env: LD_PRELOAD steers any program" rune run --bundle "$bundle" "$id"
    annotate host.env '*'
    refused "enclave.host.env: \"*\" is no name of variables" rune run --bundle "$bundle" "$id"
    annotate host.env ''
    annotate host.name mine
    refused "enclave.host.name \"mine\" is not known: use host or measured" rune run --bundle "$bundle" "$id"
}

@test "a variable that steers programs is measured under the widest rule" {
    arguments sh -c "$identity; env; cat /dev/attestation/host_values"
    annotate host.env 'default *D* *P*'
    first=$(changed pass)
    second=$(changed "c['process']['env'] += ['LD_PRELOAD=']")
    [ "$(head -21 <<<"$first")" != "$(head -21 <<<"$second")" ]
    grep -q '"env": {}' <<<"$second"
    grep -q '^LD_PRELOAD=$' <<<"$second"
}

@test "rune-image measure predicts CONFIGID of a bundle, and policy writes the bound for it" {
    image=${RUNE%/*}/rune-image
    arguments sh -c "od -An -v -tx1 -j192 -N32 /dev/attestation/report; cat /dev/attestation/host_values"
    configure "c['process']['env'] += ['HOSTNAME=one', 'COLOUR=blue']" "c['hostname'] = 'one'" \
        "c['mounts'] += [{'destination': '/data', 'type': 'bind', 'source': '$work/one', 'options': ['bind', 'ro']}]"
    expected=$("$image" measure --configid-only --json "$bundle" | jq -r '.[0].configid')
    [ "$(rune run --bundle "$bundle" "$id" </dev/null 2>/dev/null | head -2 | tr -d ' \n')" = "$expected" ]

    "$image" policy "$bundle" >"$work/bound.json"
    annotate bound "$work/bound.json"
    [[ "$(changed "c['process']['env'] += ['HOSTNAME=two']" "c['hostname'] = 'two'")" == *'"env": {"HOSTNAME": "two"}'* ]]
    for other in "c['process']['env'] += ['MORE=1']" "c['process']['args'] += ['more']" "c['process']['cwd'] = '/tmp'" "c['mounts'][-1]['options'] = ['bind']" \
        "c['annotations']['enclave.exec'] = 'any'" "c['process']['user']['uid'] = 7" "c['linux']['maskedPaths'] += ['/bin']"; do
        run changed "$other"
        [[ "$output" == *"the deployment is outside of the image's bound"* ]] || { echo "$other: $output"; return 1; }
    done
}

@test "what nobody can know beforehand is refused, with what to write" {
    image=${RUNE%/*}/rune-image
    says() { # TEXT ARGUMENT...
        local text=$1
        shift
        run "$image" measure --configid-only "$bundle/rootfs" "$@"
        [ "$status" -eq 1 ] && [ "${#lines[@]}" -eq 1 ] && [[ "$output" == *"$text"* ]] || { echo "$output"; return 1; }
    }
    says "gives the capabilities of the node's kernel" docker run --privileged app sh
    says "its value, which is measured (COLOUR=VALUE)" docker run -e COLOUR app sh
    says "podman takes the node's own limit of processes" podman run app sh
    says "all capabilities are those of the node's kernel" podman run --ulimit nproc=1 --cap-add ALL app sh
    says "podman adds mounts for /sbin/init" podman run --ulimit nproc=1 app /sbin/init
    says "the working directory here is no absolute path" docker run -w here app sh
    says 'shared memory of "much": expected bytes' docker run --shm-size much app sh
    says 'option "O" is not known to measure' podman run --ulimit nproc=1 -v /tmp:/tmp:O app sh
    says "word 4 of the line is not UTF-8" docker run app $'\xff'
    says "give SOFT or SOFT:HARD, -1 for no limit" docker run --ulimit core=x app sh
    says "--frobnicate is not known to measure" docker run --frobnicate app sh
    says "the host name is measured" docker run -e ENCLAVE_HOST_ENV=none app sh
    says 'no user "nobody"' docker run -u nobody app sh
    says "says what to run" docker run app
    cat >"$work/pod.yaml" <<YAML
kind: Pod
spec: {containers: [{name: web, image: app, command: [sh], env: [{name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]}]}
YAML
    says 'enclave.host.env: "default POD_IP"' "$work/pod.yaml"
    sed -i 's/fieldRef.*}}}\]/secretKeyRef: {name: s, key: k}}}]/' "$work/pod.yaml"
    says "give --env POD_IP=VALUE" "$work/pod.yaml"
    "$image" measure --configid-only --env POD_IP=x "$bundle/rootfs" "$work/pod.yaml"
    printf 'services: {web: {image: app, command: sh, environment: ["A=${B}"]}}\n' >"$work/compose.yaml"
    says "has a variable: write its value out" "$work/compose.yaml"
    printf 'services: {web: {image: app, privileged: true}}\n' >"$work/compose.yaml"
    says "services.web.privileged is not known to measure" "$work/compose.yaml"
    # Aliases multiply, nesting and broken files end.
    { printf 'a0: &a0 [x]\n'; for i in $(seq 30); do printf 'a%d: &a%d [*a%d, *a%d]\n' "$i" "$i" $((i - 1)) $((i - 1)); done; } >"$work/bomb.yaml"
    says "nested too deeply, or too large" "$work/bomb.yaml"
    printf '%0200d' 0 | tr 0 '[' >"$work/deep.yaml"
    says "$work/deep.yaml: " "$work/deep.yaml"
    printf 'a: [1\n' >"$work/broken.yaml"
    says "$work/broken.yaml: line " "$work/broken.yaml"
}
