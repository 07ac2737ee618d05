#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The image's bound: what deployments may say, in MRENCLAVE, enforced inside.

bats_require_minimum_version 1.5.0
load enclave

setup_file() {
    export RUNE_CACHE_DIR=$BATS_FILE_TMPDIR/cache RUNE_SIGNING_KEY=$BATS_FILE_TMPDIR/key.pem
    mkdir -p "$RUNE_CACHE_DIR"
    cc -O1 -static -pthread -o "$BATS_FILE_TMPDIR/machine" "$BATS_TEST_DIRNAME/../images/programs/machine.c"
}

setup() {
    [ "$(id -u)" -eq 0 ] || skip "containers need root here"
    enclave_setup
    image=${RUNE%/*}/rune-image
    mkdir -p "$bundle/rootfs/bin" "$work/data"
    cp "$BATS_FILE_TMPDIR/machine" "$bundle/rootfs/bin/machine"
    configure "c['annotations'] = {'enclave.type': 'simulatedSgx', 'enclave.exec': 'any', 'enclave.signals': 'all,any-process'}" \
        "c['process'].update(env=['PATH=/bin', 'HOME=/root'], rlimits=[], noNewPrivileges=True)" "c.pop('hostname', None)"
    arguments /bin/machine environment HOME
    write_bound
}

teardown() { enclave_teardown; }

# write_bound [PYTHON...]: the bound of the tests, changed by statements over b; one member a line, so that lines can be told
write_bound() {
    python3 - "$bundle/rootfs/.rune-bound.json" "$@" <<'PYTHON'
import json, sys
b = {
    'version': 1,
    'args': [['/bin/machine', 'environment', {'any': True}]],
    'env': ['PATH=/bin', 'HOME=/root', {'name': 'COLOUR', 'pattern': 'r*', 'optional': True}],
    'user': {'uid': 0, 'gid': 0, 'capabilities': ['AUDIT_WRITE', 'KILL', 'NET_BIND_SERVICE']},
    'mounts': [{'target': '/data', 'kind': 'host', 'optional': True}],
    'exec': 'any',
    'signals': 'any',
    'signalAnyProcess': True,
    'stdin': True,
    'stdout': True,
}
for change in sys.argv[2:]:
    exec(change)
lines = ',\n'.join(json.dumps(k) + ': ' + json.dumps(v) for k, v in b.items())
open(sys.argv[1], 'w').write('{\n' + lines + '\n}\n')
PYTHON
}

# outside TEXT: the start is refused with the LibOS's line
outside() {
    refused "the deployment is outside of the image's bound: $1" rune run --bundle "$bundle" "$id"
}

inside() {
    run rune run --bundle "$bundle" "$id"
    echo "$output"
    [ "$status" -eq 0 ] && [[ "$output" == *"$1"* ]]
}

@test "a deployment inside the image's bound runs" {
    inside HOME=/root
    configure "c['process']['env'].append('COLOUR=red')" \
        "c['mounts'].append({'destination': '/data', 'type': 'bind', 'source': '$work/data', 'options': ['bind', 'ro']})"
    arguments /bin/machine environment COLOUR
    inside COLOUR=red
}

@test "each forbidden change is refused at create, with the line of the rule" {
    cp "$bundle/config.json" "$work/good"
    change() { # REFUSAL STATEMENT...: of config.json
        local refusal=$1
        shift
        cp "$work/good" "$bundle/config.json"
        configure "$@"
        outside "$refusal"
    }
    change "argument 1 of process 1: no rule of args (bound.json:3) allows it" "c['process']['args'] = ['/bin/machine', 'memory', '1']"
    change "environment variable LD_PRELOAD: no rule of env (bound.json:4) allows it" "c['process']['env'].append('LD_PRELOAD=/data/x.so')"
    change "environment variable COLOUR: env (bound.json:4) does not allow it" "c['process']['env'].append('COLOUR=blue')"
    change "environment variable PATH is missing: env (bound.json:4) requires it" "c['process']['env'].pop(0)"
    change "user 1000: no rule of user.uid (bound.json:5) allows it" "c['process']['user']['uid'] = 1000"
    change "capability number 21: user.capabilities (bound.json:5) does not allow it" "c['process']['capabilities']['effective'] = ['CAP_SYS_ADMIN']" \
        "c['process']['capabilities']['permitted'] = ['CAP_SYS_ADMIN']" "c['process']['capabilities']['bounding'] = ['CAP_SYS_ADMIN']"
    change "mount /data with these options: mounts (bound.json:6) does not allow it" \
        "c['mounts'].append({'destination': '/data', 'type': 'bind', 'source': '$work/data', 'options': ['bind']})"
    change "mount /etc in this place of the order: no rule of mounts (bound.json:6) allows it" \
        "c['mounts'].append({'destination': '/etc', 'type': 'bind', 'source': '$work/data', 'options': ['bind', 'ro']})"
    change "masked path /bin/machine: the bound has no maskedPaths, so it is not allowed" "c['linux']['maskedPaths'].append('/bin/machine')"
    change "working directory /tmp: the bound has no cwd" "c['process']['cwd'] = '/tmp'"
    change "hostname other: the bound has no hostname" "c['hostname'] = 'other'" \
        "c['annotations']['enclave.host.name'] = 'measured'"
    change "resource limit number 7: the bound has no rlimits" "c['process']['rlimits'] = [{'type': 'RLIMIT_NOFILE', 'soft': 64, 'hard': 64}]"
    cp "$work/good" "$bundle/config.json"
    inside HOME=/root
}

@test "what the host may do is bounded: exec, signals, streams, loopback" {
    write_bound "b['exec'] = 'none'"
    outside "exec of any command: exec (bound.json:7) does not allow it"
    write_bound "b['signals'] = ['TERM']"
    outside "signal 1 from the host: signals (bound.json:8) does not allow it"
    write_bound "b['signalAnyProcess'] = False"
    outside "signals from the host to any process: signalAnyProcess (bound.json:9) does not allow it"
    write_bound "del b['stdin']"
    outside "standard input from the host: the bound has no stdin, so it is not allowed"
    write_bound "del b['stdout']"
    outside "standard output to the host: the bound has no stdout, so it is not allowed"
    write_bound "b['exec'] = [['/bin/machine', 'memory', {'pattern': '?'}]]"
    configure "c['annotations']['enclave.exec'] = '[[\"/bin/machine\", \"memory\", \"1\"]]'"
    inside HOME=/root
    configure "c['annotations']['enclave.exec'] = '[[\"/bin/machine\", \"memory\", {\"pattern\": \"*\"}]]'"
    outside "command 0 of the exec list: no rule of exec (bound.json:7) allows it"
    write_bound
    configure "c['annotations'].update({'enclave.exec': 'none', 'enclave.network.loopback': 'host'})"
    outside "the host's loopback: the bound has no loopback, so it is not allowed"
    write_bound "b['loopback'] = 'host'"
    inside HOME=/root
}

@test "without KSS the bound holds too, and on SGX1" {
    configure "c['annotations']['enclave.kss'] = 'false'"
    inside HOME=/root
    [ "$(built kss)" = false ]
    configure "c['process']['env'].append('LD_PRELOAD=/x')"
    outside "environment variable LD_PRELOAD: no rule of env (bound.json:4) allows it"
    export RUNE_SGX_EMULATOR_FEATURES=sgx1
    configure "del c['annotations']['enclave.kss']"
    outside "environment variable LD_PRELOAD: no rule of env (bound.json:4) allows it"
}

convert() { # [OPTION...]: MRENCLAVE
    "$image" convert --quiet --cache "$RUNE_CACHE_DIR" --key "$RUNE_SIGNING_KEY" "$@" "$bundle/rootfs" >"$work/out"
    sed -n 's/^MRENCLAVE *//p' "$work/out"
}

@test "MRENCLAVE covers the bound: the same twice, another with one byte changed, and it is in the summary" {
    local first
    first=$(convert)
    [ -n "$first" ]
    rm -rf "${RUNE_CACHE_DIR:?}"/*
    [ "$(convert)" = "$first" ]
    grep -q '^bound  *[0-9a-f]\{64\}$' "$work/out"
    [ "$(built boundHash)" = "$(sed -n 's/^bound *//p' "$work/out")" ]
    [[ "$(built bound)" == *'"name": "COLOUR"'* ]]
    # The image stays; only the named bound differs from the first, by one byte.
    mv "$bundle/rootfs/.rune-bound.json" "$work/bound.json"
    local named
    named=$(convert --bound "$work/bound.json")
    [ "$(convert --bound "$work/bound.json")" = "$named" ] && [ "$named" != "$first" ] # another sealed root
    sed 's/"r\*"/"s*"/' "$work/bound.json" >"$work/other.json"
    [ "$(convert --bound "$work/other.json")" != "$named" ]
    grep -q '(cached)' "$work/out"
    [ "$(convert)" != "$named" ]
    grep -q '^bound  *none: a deployment may say anything' "$work/out"
}

@test "the bound that an annotation or a variable names" {
    mv "$bundle/rootfs/.rune-bound.json" "$work/bound.json"
    configure "c['annotations']['enclave.bound'] = '$work/bound.json'" "c['process']['env'].append('COLOUR=blue')"
    outside "environment variable COLOUR: env (bound.json:4) does not allow it"
    configure "del c['annotations']['enclave.bound']"
    inside HOME=/root
    configure "c['process']['env'].append('ENCLAVE_BOUND=$work/bound.json')"
    outside "environment variable COLOUR: env (bound.json:4) does not allow it"
}

@test "an image's bound cannot be replaced by another, only said again" {
    cp "$bundle/rootfs/.rune-bound.json" "$work/bound.json"
    configure "c['annotations']['enclave.bound'] = '$work/bound.json'"
    inside HOME=/root
    sed -i 's/"r\*"/"*"/' "$work/bound.json"
    refused "the image has another one, /.rune-bound.json" rune run --bundle "$bundle" "$id"
}

@test "a bound that cannot be read is refused in one line, and tells nothing of another file" {
    rm "$bundle/rootfs/.rune-bound.json"
    configure "c['annotations']['enclave.bound'] = 'bound.json'"
    refused 'enclave.bound "bound.json": give an absolute path' rune run --bundle "$bundle" "$id"
    configure "c['annotations']['enclave.bound'] = '$work/none.json'"
    refused "$work/none.json: no such file" rune run --bundle "$bundle" "$id"
    configure "c['annotations']['enclave.bound'] = '$work/data'"
    refused "not a regular file" rune run --bundle "$bundle" "$id"
    echo 'root:secret:19000' >"$work/shadow"
    configure "c['annotations']['enclave.bound'] = '$work/shadow'"
    refused "$work/shadow:1:4:" rune run --bundle "$bundle" "$id"
    [[ "$output" != *root:* ]]
    configure "del c['annotations']['enclave.bound']"
    write_bound "b['envs'] = []"
    refused "/.rune-bound.json:12: bound: unknown member" rune run --bundle "$bundle" "$id"
    ln -sf /bin/machine "$bundle/rootfs/.rune-bound.json"
    refused "the image's /.rune-bound.json is not a regular file" rune run --bundle "$bundle" "$id"
}

@test "the file in the image is the one that was sealed" {
    inside HOME=/root
    write_bound "b['env'] = ['PATH=/bin']"
    outside "environment variable HOME: no rule of env (bound.json:4) allows it"
}
