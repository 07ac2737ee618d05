#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What the operator may do to a running enclave: the settings, and that the LibOS holds them against rune and against a
# host that skips rune's own checks (hostile-agent.py).

bats_require_minimum_version 1.5.0
load enclave

setup() {
    busybox_setup sh echo cat sleep id pwd env kill true printf grep touch tar
    mkdir -p "$bundle/rootfs/tmp" "$bundle/rootfs/log/sub"
    echo one >"$bundle/rootfs/log/a.log"
    echo two >"$bundle/rootfs/log/sub/b.log"
    echo shadow >"$bundle/rootfs/etc/shadow.log"
    chmod 1777 "$bundle/rootfs/tmp"
    configure 'c["root"]["readonly"] = False' \
        'c["process"]["user"] = {"uid": 1000, "gid": 1000}' \
        'c["process"]["capabilities"] = {}' \
        'c["process"]["env"] = ["PATH=/bin", "OWN=mine"]'
}
teardown() { enclave_teardown; }

# start COMMAND...: detached; rune's log in $work/log
start() {
    arguments "$@"
    rune --log "$work/log" --enclave run --detach --bundle "$bundle" "$id" >"$work/out" 2>"$work/err" </dev/null
}

hostile() {
    local what=$1
    shift
    run -0 "$BATS_TEST_DIRNAME/hostile-agent.py" "$state/$id" "$what" "$@"
    echo "$output"
}

# denied PART COMMAND...: rune exec ends with 126 and one line that says permission denied and PART
denied() {
    local part=$1
    shift
    run -126 rune exec "$@"
    echo "$output"
    [ "${#lines[@]}" -eq 1 ]
    [[ "$output" == *"permission denied"*"$part"* ]]
}

@test "exec is none by default, and the refusal says what would allow it" {
    start sh -c 'umask 077; echo secret >/tmp/secret; echo ready; sleep 1000'
    within 20 grep -q ready "$work/out"
    run ! grep -q "this enclave" "$work/log" # there is nothing to tell
    denied "enclave.exec '[[\"cat\",\"/tmp/secret\"]]'" --user 1000:1000 "$id" cat /tmp/secret
    [[ "$output" == *'"any" (insecure)'* ]]
    denied "none" --user 0:0 --cap CAP_DAC_OVERRIDE "$id" cat /tmp/secret
    denied "none" --detach "$id" cat /tmp/secret
    # Straight to the agent, as the first process and as root.
    hostile exec --uid=1000 --gid=1000 cat /tmp/secret
    [[ "$output" == "error"*"'code': 13"* ]]
    hostile exec --uid=0 --capabilities=0x1ffffffffff --flags=7 cat /tmp/secret
    [[ "$output" == "error"*"'code': 13"* && "$output" != *secret$'\n'* ]]
}

@test "exec any is insecure, said at start, and gives no more than the container has" {
    annotate exec any
    start sh -c 'umask 077; echo secret >/tmp/secret; echo ready; sleep 1000'
    within 20 grep -q ready "$work/out"
    grep -q 'level=warning.*this enclave: exec any (insecure)' "$work/log"
    [ "$(rune exec "$id" cat /tmp/secret)" = secret ]
    denied "user" --user 0:0 "$id" cat /tmp/secret
    denied "user" --user 1000:0 "$id" cat /tmp/secret
    denied "capabilities" --cap CAP_DAC_OVERRIDE "$id" cat /tmp/secret
    hostile exec --uid=0 --gid=0 id
    [[ "$output" == "error"*"'code': 13"* ]]
    hostile exec --uid=1000 --gid=1000 --capabilities=2 id
    [[ "$output" == "error"*"'code': 13"* ]]
    # Limits and umask are the container's own, whatever the request says.
    configure 'c["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 78}]'
    rune delete --force "$id"
    start sh -c 'sleep 1000'
    hostile exec --uid=1000 --gid=1000 sh -c 'ulimit -n; ulimit -Hn; umask'
    [[ "$output" == *$'77\n78\n0022'* ]]
}

@test "noNewPrivileges holds for the container and for exec" {
    annotate exec any
    configure 'c["process"]["noNewPrivileges"] = True'
    start grep NoNewPrivs /proc/self/status
    within 20 grep -q 'NoNewPrivs:.1' "$work/out"
    rune delete --force "$id"
    start sleep 1000
    hostile exec --uid=1000 --gid=1000 grep NoNewPrivs /proc/self/status
    [[ "$output" == *NoNewPrivs:?1* ]]
}

@test "a list allows its commands, argument by argument" {
    annotate exec '[["cat", {"pattern": "/log/*.log"}], ["echo", "exact words"], ["sleep", "1000"]]'
    start sleep 1000
    denied "no entry" "$id" true
    [ "$(rune exec "$id" echo "exact words")" = "exact words" ]
    [ "$(rune exec "$id" cat /log/a.log)" = one ]
    [ "$(rune exec "$id" cat /log/sub/b.log)" = two ]
    for words in "echo exact" "echo exact words" "cat /log/../etc/shadow.log" "cat /log/a.log /etc/shadow.log" "cat /etc/shadow.log" "cat" \
        "/bin/cat /log/a.log" "sh -c id"; do
        # shellcheck disable=SC2086 # words
        denied "no entry" "$id" $words
        # shellcheck disable=SC2086
        hostile exec --uid=1000 --gid=1000 --env=PATH=/bin --env=OWN=mine $words
        [[ "$output" == "error"*"'code': 13"* ]]
    done
    denied "user" --user 0 "$id" cat /log/a.log
    denied "capabilities" --cap CAP_CHOWN "$id" cat /log/a.log
    denied "terminal" --tty "$id" cat /log/a.log
}

@test "cp copies what the programs wrote, and into it, where a list allows tar" {
    annotate exec '[["tar", "-cf", "-", "-C", "/tmp", "made"], ["tar", "-xf", "-", "-C", "/tmp/in"], ["cat", "/tmp/in/given"]]'
    start sh -c 'mkdir /tmp/made /tmp/in; echo inside >/tmp/made/file; echo ready; sleep 1000'
    within 20 grep -q ready "$work/out"
    mkdir "$work/taken"
    rune cp "$id":/tmp/made/ - | tar -x -C "$work/taken"
    [ "$(cat "$work/taken/made/file")" = inside ]
    echo outside >"$work/given"
    tar -c -C "$work" given | rune cp - "$id:/tmp/in"
    [ "$(rune exec "$id" cat /tmp/in/given)" = outside ]
    run -126 rune cp "$id:/etc" -
    echo "$output"
    [[ "$output" == *"permission denied"*"no entry"* ]]
}

@test "a listed command has the container's environment and directory, but for what its entry names" {
    # shellcheck disable=SC2016 # the container's shell
    annotate exec '[{"args": ["sh", "-c", "echo $OWN $EXTRA $PWD"], "env": [{"pattern": "EXTRA=*"}], "cwd": ["/log"]}, ["env"]]'
    # shellcheck disable=SC2016 # the container's shell
    local command=(sh -c 'echo $OWN $EXTRA $PWD')
    start sleep 1000
    [ "$(rune exec "$id" "${command[@]}")" = "mine /" ]
    [ "$(rune exec --env EXTRA=more --cwd /log "$id" "${command[@]}")" = "mine more /log" ]
    denied "variable" --env LD_PRELOAD=/tmp/evil.so "$id" "${command[@]}"
    denied "variable" --env PATH=/tmp:/bin "$id" "${command[@]}"
    denied "variable" --env EXTRA=more "$id" env
    denied "directory" --cwd /tmp "$id" "${command[@]}"
    # What a host leaves out is there all the same, HOME is the container's.
    hostile exec --uid=1000 --gid=1000 --env=HOME=/tmp/evil env
    [[ "$output" == *OWN=mine* && "$output" != *evil* ]]
    hostile exec --uid=1000 --gid=1000 --env=LD_LIBRARY_PATH=/tmp env
    [[ "$output" == "error"*"'code': 13"* ]]
    hostile exec --uid=1000 --gid=1000 --cwd=/tmp env
    [[ "$output" == "error"*"'code': 13"* ]]
}

# As kubelet asks through the CRI: the probe's command as it is, in the container's own process (containerd's process.json).
@test "exec probes of Kubernetes work by the list, with process.json as containerd writes it" {
    annotate exec '[["cat", "/tmp/healthy"], ["/bin/sh", "-c", "test -f /tmp/healthy && exit 0 || exit 3"]]'
    start sh -c 'echo yes >/tmp/healthy; echo ready; sleep 1000'
    within 20 grep -q ready "$work/out"
    probe() {
        python3 - "$bundle/config.json" "$work/process.json" "$@" <<'PY'
import json, sys
process = json.load(open(sys.argv[1]))["process"]
process["args"] = sys.argv[3:]
process["terminal"] = False
json.dump(process, open(sys.argv[2], "w"))
PY
        rune exec --process "$work/process.json" --detach=false "$id"
    }
    [ "$(probe cat /tmp/healthy)" = yes ]
    run -0 probe /bin/sh -c 'test -f /tmp/healthy && exit 0 || exit 3'
    run -126 probe cat /tmp/other
    [[ "$output" == *"permission denied"* ]]
    run -126 probe sh -c 'test -f /tmp/healthy && exit 0 || exit 3'
}

@test "settings of the policy that cannot be are refused in one line" {
    while IFS=' ' read -r name value; do
        annotate "$name" "$value"
        refused "enclave.$name" rune --enclave run --bundle "$bundle" "$id"
        annotate "$name" ''
    done <<'EOF'
exec some
exec []
exec [[]]
exec ["cat"]
exec [["cat", 5]]
exec [["cat", {"glob": "*"}]]
exec [["cat", {"pattern": "x\\"}]]
exec [{"args": ["x"], "user": "root"}]
exec [{"args": ["x"], "env": ["PATH"]}]
exec [{"args": ["x"], "env": [{"pattern": "*=1"}]}]
exec [{"args": ["x"], "cwd": ["tmp"]}]
exec [{"args": ["x"], "terminal": "yes"}]
exec [["x"]
signals TERM,SEGV
signals 11
signals HUB
network.loopback mine
stdio all
mode fast
EOF
    annotate exec '[{"args": ["x"], "terminal": true}]'
    annotate stdio none
    refused "enclave.stdio" rune --enclave run --bundle "$bundle" "$id"
}

@test "signals: those of faults, and what is not listed, do not arrive" {
    # shellcheck disable=SC2016 # the container's shell
    start sh -c 'for s in 1 2 3 4 5 6 7 8 10 11 12 13 14 15 16 23 26 27 28 29 31 34 64; do trap "echo got $s" $s; done
                 echo ready; while :; do sleep 0.05; done'
    within 20 grep -q ready "$work/out"
    for sig in 4 5 6 7 8 11 13 14 16 17 23 26 27 29 31 34 64; do
        not_taken "$sig"
    done
    for sig in 1 2 3 10 12 15 28; do
        rune kill "$id" "$sig"
        within 10 grep -qx "got $sig" "$work/out"
    done
    [ "$(grep -c got "$work/out")" -eq 7 ]
    grep -q 'level=warning.*signal SEGV is not passed on.*enclave.signals' "$work/log"
}

@test "signals: a list of its own, and none" {
    annotate signals 'ALRM,RTMIN+3'
    # shellcheck disable=SC2016
    start sh -c 'for s in 14 15 37; do trap "echo got $s" $s; done; echo ready; while :; do sleep 0.05; done'
    within 20 grep -q ready "$work/out"
    grep -q 'this enclave: further signals' "$work/log" || ! grep -q insecure "$work/log"
    not_taken 15
    for sig in 14 37; do
        rune kill "$id" "$sig"
        within 10 grep -qx "got $sig" "$work/out"
    done
    run ! grep -q "got 15" "$work/out"
    rune delete --force "$id"
    annotate signals none
    # shellcheck disable=SC2016
    start sh -c 'trap "echo got 15" 15; echo ready; while :; do sleep 0.05; done'
    within 20 grep -q ready "$work/out"
    not_taken 15
    sleep 0.3
    run ! grep -q got "$work/out"
    rune kill "$id" KILL # that ends the host's process, as anywhere
    within 10 status_is "$id" stopped
}

@test "a command of the list ends with the one that asked for it, whatever enclave.signals says" {
    annotate exec '[["sleep", "1000"]]'
    annotate signals none
    start sleep 1000
    rune exec --detach --pid-file "$work/exec-pid" "$id" sleep 1000 </dev/null >/dev/null 2>&1
    processes() { [ "$(rune enclave stats "$id" | python3 -c 'import json,sys; print(json.load(sys.stdin)["processes"])')" = "$1" ]; }
    within 10 processes 2
    kill -9 "$(cat "$work/exec-pid")"
    within 10 processes 1
}

@test "a report that the host asks for says so, and holds nothing of its choice" {
    tag=$(printf 'rune: asked for by the host, bound to nothing in the enclave' | xxd -p -c 0)00000000
    annotate exec any
    start sleep 1000
    for data in "" "$(printf 'ab%.0s' {1..32})"; do # the target's MRENCLAVE
        rune enclave report ${data:+--data "$data"} "$id" | tail -c +321 | head -c 64 | xxd -p -c 0 >"$work/data"
        [ "$(cat "$work/data")" = "$tag" ]
    done
    # Straight to the agent, with report data behind the target.
    hostile report "SHA256 of the host's own key"
    [[ "$output" != "ok"* ]]
    # A program has the rest, and not this.
    [ "$(rune exec "$id" sh -c 'echo mine >/dev/attestation/user_report_data; head -c 325 /dev/attestation/report | tail -c 5')" = mine ]
    run -1 rune exec "$id" sh -c 'printf "rune: asked for by the host, bound to nothing in the enclave" >/dev/attestation/user_report_data'
}

@test "report data is of who wrote it, or of its own session and user, whatever another process writes" {
    annotate exec any
    configure 'c["process"]["user"] = {"uid": 0, "gid": 0}' \
        'c["process"]["capabilities"] = {s: ["CAP_SETUID", "CAP_SETGID"] for s in ("bounding", "permitted", "effective")}'
    start sleep 1000
    rune exec "$id" sh -c 'echo mine >/dev/attestation/user_report_data; >/tmp/go; until [ -e /tmp/gone ]; do sleep 0.05; done
        cat /dev/attestation/report; true' >"$work/report" & # a child, not what the shell becomes
    local writer=$!
    within 20 rune exec "$id" sh -c '[ -e /tmp/go ]'
    rune exec --user 77:77 "$id" sh -c 'echo evil >/dev/attestation/user_report_data'
    rune exec "$id" sh -c 'echo evil >/dev/attestation/user_report_data; >/tmp/gone'
    wait $writer
    [ "$(tail -c +321 "$work/report" | head -c 4)" = mine ]
}

@test "production is the default: another enclave than that for debugging, and its log tells no arguments" {
    annotate runtime.loglevel trace
    arguments cat /log/a.log /log/sub/b.log
    rune --debug --log "$work/log" --enclave run --bundle "$bundle" "$id" >"$work/out" </dev/null
    [ "$(cat "$work/out")" = $'one\ntwo' ]
    run ! grep -E 'enclave: .*(sub/b.log|openat|a\.log)' "$work/log"
    run ! grep -q 'this enclave: .*debuggable' "$work/log"
    annotate mode debug
    rune --debug --log "$work/debug-log" --enclave run --bundle "$bundle" "$id" >"$work/out" </dev/null
    grep -q 'enclave: .*openat' "$work/debug-log"
    grep -q 'level=warning.*this enclave: exec any (insecure), debuggable (insecure)' "$work/debug-log"
    mrenclaves() { python3 -c 'import glob, json; print(*sorted((json.load(open(f))["debug"], json.load(open(f))["mrenclave"]) for f in glob.glob("'"$RUNE_CACHE_DIR"'/*/enclave-*/manifest.json")))'; }
    mrenclaves
    [ "$(mrenclaves | grep -o True | wc -l)" -eq 1 ]
    annotate mode default
    run -0 rune --enclave run --bundle "$bundle" "$id" </dev/null
    [[ "$output" == *"enclave.mode default is production by now"* ]]
}

@test "enclave.trace shows the calls that it names, in an enclave for debugging only" {
    arguments cat /log/a.log /log/none.log
    annotate trace open,openat,exit_group
    refused "enclave.mode debug" rune --enclave run --bundle "$bundle" "$id"
    annotate mode debug
    rune --log "$work/log" --enclave run --bundle "$bundle" "$id" >"$work/out" </dev/null || true
    grep -qE 'enclave: \[pid 1\] open.*/log/none.log.*, O_RDONLY.* = -1 ENOENT' "$work/log"
    grep -q 'exit_group(1) = ?' "$work/log"
    run ! grep -q 'write(' "$work/log"
    grep -q 'level=warning.*this enclave: .*system calls told to the host: open,openat,exit_group (insecure)' "$work/log"
    annotate trace openat,opensesame
    refused "opensesame" rune --enclave run --bundle "$bundle" "$id"
}

@test "the line at start counts host mounts, and nothing is said where there is nothing" {
    mkdir "$work/data"
    configure "c['mounts'] += [{'destination': '/data', 'type': 'bind', 'source': '$work/data', 'options': ['rbind', 'ro']}]"
    annotate network.loopback host
    annotate signals 'default,any-process'
    arguments true
    rune --debug --log "$work/log" --enclave run --bundle "$bundle" "$id" </dev/null
    grep -q 'this enclave: 1 host mount, host loopback (insecure), signals to any process (insecure)' "$work/log"
}

@test "stdio: output and input that do not go to the host" {
    arguments sh -c 'cat; echo said; echo failed >&2; ls -l /proc/self/fd >/dev/null 2>&1; exit 7'
    for value in host output none; do
        annotate stdio "$value"
        run -7 --separate-stderr rune --enclave run --bundle "$bundle" "$id" <<<"input"
        case $value in
        host) [ "$output" = $'input\nsaid' ] ;;
        output) [ "$output" = said ] ;;
        none) [ -z "$output" ] && [[ "$stderr" != *failed* ]] ;;
        esac
    done
    configure 'c["process"]["terminal"] = True'
    refused "enclave.stdio" rune --enclave create --bundle "$bundle" "$id"
}

@test "stdio: a terminal of the host is none where one way is kept from it" {
    # shellcheck disable=SC2016 # the container's shell
    arguments sh -c 'test -t 1 && echo "a terminal"; read -t 2 -r line <&1 && echo "read: $line"
                     read -t 2 -r line </proc/self/fd/1 && echo "opened: $line"; echo end'
    for value in host output; do
        annotate stdio "$value"
        run script -qec "rune --enclave run --bundle '$bundle' '$id'" /dev/null <<<"typed"
        echo "$output"
        [[ "$output" == *end* ]]
        case $value in
        host) [[ "$output" == *"a terminal"*"read: typed"* ]] ;;
        output) [[ "$output" != *"a terminal"* && "$output" != *read:* && "$output" != *opened:* ]] ;;
        esac
    done
}
