#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# ci-runc-cli.sh STAGE: the same ordinary and erroneous invocations of runc and of rune, one after the other. TAP: each must
# have the same exit code with both, say on stderr what tools look for, and print every JSON key that runc prints.
set -uo pipefail

stage=${1:?usage: ci-runc-cli.sh STAGE}
rune=$(cd "$stage" && pwd)/usr/bin/rune
for tool in runc jq busybox; do
    command -v "$tool" >/dev/null || { echo "1..0 # SKIP $tool is missing"; exit 0; }
done
work=$(mktemp -d "${TMPDIR:-/tmp}/runc-cli.XXXXXX")
trap 'clean; rm -rf "$work"' EXIT
# Under one name, which is in the help texts.
mkdir -p "$work/ours" "$work/theirs"
ln -s "$rune" "$work/ours/runc"
ln -s "$(command -v runc)" "$work/theirs/runc"

clean() {
    local side
    for side in ours theirs; do
        for id in $("$work/$side/runc" --root "$work/$side/state" list -q 2>/dev/null); do
            "$work/$side/runc" --root "$work/$side/state" delete --force "$id"
        done
    done
}

make_bundle() {
    local applet
    mkdir -p "$1/rootfs"/{bin,proc,dev,sys,tmp,etc,root}
    cp "$(command -v busybox)" "$1/rootfs/bin/busybox"
    for applet in sh cat ls true env sleep echo; do ln "$1/rootfs/bin/busybox" "$1/rootfs/bin/$applet"; done
    echo 'root:x:0:0:root:/root:/bin/sh' >"$1/rootfs/etc/passwd"
}

# check NAME PHRASE ARGUMENT...: run it; PHRASE is to be on stderr ("-": nothing is looked for)
check() {
    local name=$1 phrase=$2
    shift 2
    timeout 30 "$program" --root "$state" "$@" >"$out/$name.out" 2>"$out/$name.err" </dev/null
    echo $? >"$out/$name.code"
    echo "$phrase" >"$out/$name.phrase"
    echo "$name" >>"$out/names"
}

# config JQ-PROGRAM...: the bundle's first configuration, changed
config() {
    jq "$*" first.json >config.json
}

without_container() {
    check spec - spec
    check spec-again "exists" spec
    jq '.process.terminal = false | .process.args = ["sleep", "1000"] | .hostname = "x"' config.json >first.json
    cp first.json config.json
    check no-command - --version
    check unknown-command "No help topic for 'frobnicate'" frobnicate
    check unknown-flag "flag provided but not defined: -nope" run --nope c1
    check log-format "invalid log-format" --log-format xml list
    check features - features
    check list-empty - list
    check list-empty-json - list -f json
    check list-empty-quiet - list -q
    check list-format "invalid format option" list -f xml
    local command
    for command in state start kill delete pause resume ps update; do
        check "none-$command" "does not exist" "$command" nope
    done
    check none-events "does not exist" events --stats nope
    check none-exec "does not exist" exec nope true
    check none-delete-force - delete --force nope
    for command in state start kill delete exec run create pause resume; do
        check "no-arguments-$command" "argument" "$command"
    done
    check state-two "exactly 1 argument" state a b
    check bad-id "invalid container ID format" run ../x
    check bad-bundle "no such file or directory" create -b /nowhere c1
    check no-config "config.json not found" create -b /proc c1
}

with_container() {
    check create - create --pid-file "$out/pid" c1
    check created-state - state c1
    check created-exec - exec c1 true
    check created-again "already exists" create c1
    check created-pause - pause c1
    check created-paused-state - state c1
    check created-paused-start "cannot start a container in the paused state" start c1
    check created-resume - resume c1
    check start - start c1
    check start-again "cannot start an already running container" start c1
    check state - state c1
    check list - list
    check list-json - list -f json
    check list-quiet - list -q
    check ps - ps c1
    check ps-json - ps -f json c1
    check ps-format "invalid format option" ps -f xml c1
    check ps-options - ps c1 -o pid,comm
    # What the kernel counts for block devices is empty before the first transfer: each side reads one page around the cache.
    check exec-read - exec c1 busybox dd if=/bin/busybox of=/dev/null bs=4096 count=1 iflag=direct
    check events-stats - events --stats c1
    check events-interval "interval" events --interval 0 c1
    check update - update --pids-limit 50 c1
    check update-nothing - update c1
    check update-memory "invalid value for memory" update --memory xyz c1
    check update-shares "invalid value for cpu-share" update --cpu-share abc c1
    check update-file "no such file or directory" update -r /nowhere c1
    check kill-unknown "unknown signal" kill c1 NOPE
    check kill-99 - kill c1 99
    check delete-running "is not stopped" delete c1
    check run-again "already exists" run c1
}

execs() {
    check exec - exec c1 echo hi
    check exec-code - exec c1 sh -c 'exit 7'
    check exec-signal - exec c1 sh -c 'kill -9 $$'
    check exec-missing "executable file not found in \$PATH" exec c1 nosuch
    check exec-missing-path "no such file or directory" exec c1 /bin/nosuch
    check exec-directory "permission denied" exec c1 /etc
    check exec-not-executable "permission denied" exec c1 /etc/passwd
    check exec-nothing "args cannot be empty" exec c1
    check exec-user "parsing bob as int for uid failed" exec -u bob c1 true
    check exec-cwd "no such file or directory" exec --cwd /nowhere c1 true
    check exec-cap "CAP_NOPE" exec --cap CAP_NOPE c1 true
    check exec-process "no such file or directory" exec -p /nowhere c1
    check exec-env "invalid environment variable" exec --env FOO c1 env
    check exec-env-twice - exec --env A=1 --env A=2 c1 env
    check exec-tty-detach "without setting console socket" exec -d -t c1 true
    check exec-descriptors "preserved-fd" exec --preserve-fds 5 c1 true
    check exec-cgroup "no such file or directory" exec --cgroup /nope c1 true
}

pausing_and_stopping() {
    check pause - pause c1
    check pause-again "not running" pause c1
    check paused-state - state c1
    check paused-exec "cannot exec in a paused container" exec c1 true
    check paused-kill - kill c1 TERM
    check resume - resume c1
    check resume-again "container not paused" resume c1
    check kill - kill c1 KILL
    for _ in $(seq 100); do
        "$program" --root "$state" state c1 | grep -q stopped && break
        sleep 0.05
    done
    check stopped-state - state c1
    check stopped-kill "container not running" kill c1 KILL
    check stopped-exec "cannot exec in a stopped container" exec c1 true
    check stopped-ps - ps c1
    check stopped-start "cannot start a container that has stopped" start c1
    check stopped-pause "not running" pause c1
    check stopped-resume "container not paused" resume c1
    check stopped-events "not running" events --stats c1
    check stopped-update "not running" update --pids-limit 20 c1
    check delete - delete c1
    check delete-again "does not exist" delete c1
}

runs() {
    # Name, phrase, change to the configuration.
    local name phrase change
    while IFS='~' read -r name phrase change; do
        config "$change"
        check "run-$name" "$phrase" run c2
    done <<'TABLE'
code~-~.process.args = ["sh", "-c", "exit 5"]
signal~-~.process.args = ["sh", "-c", "kill -9 $$"]
missing~executable file not found in $PATH~.process.args = ["nosuch"]
missing-path~no such file or directory~.process.args = ["/bin/nosuch"]
directory~permission denied~.process.args = ["/etc"]
not-executable~permission denied~.process.args = ["/etc/passwd"]
no-arguments~args must not be empty~.process.args = []
cwd-relative~Cwd must be an absolute path~.process.cwd = "rel"
cwd-missing~-~.process.cwd = "/made/here" | .root.readonly = false | .process.args = ["true"]
root-missing~rootfs~.root.path = "nope"
namespace-twice~pid~.linux.namespaces += [{"type": "pid"}]
namespace-path~/nowhere: no such file or directory~(.linux.namespaces[] | select(.type == "network")).path = "/nowhere"
bind-missing~/nowhere~.mounts += [{"destination": "/x", "source": "/nowhere", "type": "bind", "options": ["bind"]}]
hook~error running hook~.hooks = {"prestart": [{"path": "/bin/false"}]}
hook-missing~no such file or directory~.hooks = {"prestart": [{"path": "/nowhere"}]}
environment~invalid environment variable~.process.env += ["FOO"]
rlimit~RLIMIT_X~.process.rlimits = [{"type": "RLIMIT_X", "soft": 1, "hard": 1}]
memory~memory limit~.linux.resources = {"memory": {"limit": 1}}
seccomp~SCMP_ACT_WRONG~.linux.seccomp = {"defaultAction": "SCMP_ACT_WRONG"}
sysctl~vm.swappiness~.linux.sysctl = {"vm.swappiness": "1"}
terminal-detached~-~.process.args = ["true"]
TABLE
    config '.process.terminal = true'
    check create-terminal "without setting console socket" create c2
    check run-detached-terminal "without setting console socket" run -d c2
    config '.process.args = ["true"]'
    check run-console-socket "cannot use console socket" run --console-socket /nowhere c2
    check run-pid-file "no such file or directory" run --pid-file /nowhere/x c2
    check run-descriptors "preserved-fd" run --preserve-fds 5 c2
    check run-keep - run --keep c3
    check keep-state - state c3
    check keep-delete - delete c3
    check left - list -q
}

run_all() {
    program=$work/$1/runc state=$work/$1/state out=$work/$1/results
    mkdir -p "$out" "$work/$1/bundle"
    cd "$work/$1/bundle" || exit 1
    make_bundle .
    without_container
    with_container
    execs
    pausing_and_stopping
    runs
}

# Every key of a JSON document, with # for an index.
keys() {
    jq -r 'paths | map(if type == "number" then "#" else . end) | join(".")' "$1" 2>/dev/null | sort -u |
        grep -v '^annotations\.'
}

# Why the two differ in NAME, nothing when they do not.
difference() {
    local ours=$work/ours/results/$1 theirs=$work/theirs/results/$1 phrase
    phrase=$(cat "$ours.phrase")
    [ "$(cat "$ours.code")" = "$(cat "$theirs.code")" ] ||
        echo "exit code $(cat "$ours.code"), runc's $(cat "$theirs.code")"
    [ "$phrase" = - ] || grep -qF -e "$phrase" "$theirs.err" || echo "runc itself does not say '$phrase'"
    [ "$phrase" = - ] || grep -qF -e "$phrase" "$ours.err" || echo "does not say '$phrase'"
    # JSON only: what begins with a bracket.
    case $(head -c 1 "$theirs.out") in
    '{' | '[')
        comm -23 <(keys "$theirs.out") <(keys "$ours.out") | sed 's/^/no key /'
        ;;
    esac
}

run_all theirs
run_all ours
number=0 bad=0
echo "1..$(wc -l <"$work/ours/results/names")"
while read -r name; do
    number=$((number + 1))
    reason=$(difference "$name")
    if [ -z "$reason" ]; then
        echo "ok $number - $name"
    else
        bad=$((bad + 1))
        echo "not ok $number - $name"
        { echo "$reason"; echo "runc: $(head -c 300 "$work/theirs/results/$name.err")"
          echo "rune: $(head -c 300 "$work/ours/results/$name.err")"; } | sed 's/^/# /'
    fi
done <"$work/ours/results/names"
[ $bad -eq 0 ]
