#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What pods do on a real node, in the RuntimeClasses rune (ordinary) and rune-enclave, side by side; one line a feature and class, then
# "N passed, N failed, N skipped". With K8S_SUMMARY=FILE the results also go there as a page of docs/.
#   K8S_BASE=DIR RUNE_STAGE=DIR check.sh [NAME...]
set -uo pipefail
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=tests/k8s/env.sh
. "$here/env.sh"
K=$RUN/kubectl image=localhost/busybox:1
passed=0 failed=0
results=$(mktemp)
trap 'rm -f "$results"' EXIT

within() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || { echo "not within the time: $*"; return 1; }
        sleep 0.3
    done
}

# make NAME SPEC [ANNOTATION: VALUE...]: a pod of the class, with the rest of its spec as YAML that is indented by two
make() {
    local name=$1 spec=$2 annotation
    shift 2
    [[ "$*" == *enclave.exec:* ]] || set -- 'enclave.exec: any' "$@"
    {
        printf 'apiVersion: v1\nkind: Pod\nmetadata:\n  name: %s\n  labels: {app: %s}\n  annotations:\n' "$name" "$name"
        for annotation in "$@"; do echo "    $annotation"; done
        printf 'spec:\n  runtimeClassName: %s\n  terminationGracePeriodSeconds: 20\n%s\n' "$class" "$spec"
    } | "$K" apply -f - >/dev/null
}

# container NAME COMMAND [MORE]: for a spec; the command is a shell's
container() {
    printf -- '  - name: %s\n    image: %s\n    imagePullPolicy: Never\n    command: [/bin/sh, -c, %s]\n' "$1" $image "$(json "$2")"
    [ $# -lt 3 ] || echo "$3"
}

json() {
    /usr/bin/python3 -c 'import json, sys; print(json.dumps(sys.argv[1]))' "$1"
}

get() { # POD JSONPATH
    "$K" get pod "$1" -o "jsonpath={$2}"
}

phase() { [ "$(get "$1" .status.phase)" = "$2" ]; }
ready() { [ "$(get "$1" '.status.conditions[?(@.type=="Ready")].status')" = True ]; }
logs() { [ "$("$K" logs "${@:2}")" = "$1" ]; }
ends() { phase "$1" Succeeded || phase "$1" Failed; }
terminated() { [ "$(get "$1" '.status.containerStatuses[0].state.terminated.exitCode') $(get "$1" '.status.containerStatuses[0].state.terminated.reason')" = "$2" ]; }

never=$'  restartPolicy: Never\n  containers:\n'
always=$'  containers:\n'
where='test -e /dev/attestation && echo enclave || echo ordinary'
stay='trap "echo told; exit 0" TERM; echo up; while :; do sleep 0.2; done'

t_complete() { # a pod that ends: where it ran, its logs, exit codes 0 and 7
    make "$p" "$never$(container c "$where; echo line; exit 0")"
    within 60 ends "$p" && phase "$p" Succeeded && logs "$kind"$'\nline' "$p" || return 1
    make "$p-7" "$never$(container c 'exit 7')"
    within 60 ends "$p-7" && phase "$p-7" Failed && terminated "$p-7" "7 Error"
}

t_missing() { # a program that is missing: StartError, with its name
    make "$p" "$never$(container c true | sed 's#/bin/sh, -c#/no/such#')"
    within 60 ends "$p" && get "$p" '.status.containerStatuses[0].state.terminated.message' | grep -q '/no/such'
}

t_exec() { # exec: code, input, terminal
    make "$p" "$always$(container c "$stay")"
    within 60 ready "$p" || return 1
    "$K" exec "$p" -- sh -c 'exit 42' 2>/dev/null
    [ $? -eq 42 ] || return 1
    [ "$(echo word | "$K" exec -i "$p" -- cat)" = word ] || return 1
    [ "$("$K" exec "$p" -- sh -c "$where")" = "$kind" ] || return 1
    script -qec "$K exec -it $p -- sh -c 'test -t 0 && echo terminal'" /dev/null | grep -q terminal
}

t_policy() { # exec without enclave.exec: refused in an enclave, not in an ordinary container
    make "$p" "$always$(container c "$stay")" 'enclave.exec: none'
    within 60 ready "$p" || return 1
    local said
    said=$("$K" exec "$p" -- true 2>&1)
    local status=$?
    if [ "$kind" = enclave ]; then [ $status -ne 0 ] && grep -q 'enclave.exec is "none"' <<<"$said"; else [ $status -eq 0 ]; fi
}

t_attach() { # attach with input
    make "$p" "$never$(container c 'read -r line; echo "got $line"' '    stdin: true')"
    within 60 ready "$p" || return 1
    echo word | timeout 30 "$K" attach -i "$p" >/dev/null 2>&1
    within 30 logs 'got word' "$p"
}

t_logs() { # 20000 lines, --previous
    make "$p" "$(container c 'i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done; exit 3' | sed '1i\  restartPolicy: OnFailure\n  containers:')"
    within 90 restarted "$p" || return 1
    whole() { [ "$("$K" logs --previous "$p" | sha256sum)" = "$(seq 0 19999 | sha256sum)" ]; }
    within 60 whole # not there for a moment while another one starts
}

restarted() { [ "$(get "$1" '.status.containerStatuses[0].restartCount')" -ge "${2:-1}" ]; }

server='mkdir -p /tmp/www; echo page >/tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www'

t_service() { # a Service, from a pod of the other class; port-forward
    local other=rune
    [ "$class" = rune ] && other=rune-enclave
    make "$p" "$always$(container c "$server")"
    "$K" expose pod "$p" --port 80 --target-port 8080 >/dev/null || return 1
    class=$other make "$p-client" "$always$(container c "$stay")"
    within 60 ready "$p" && within 60 ready "$p-client" || return 1
    local ip
    ip=$("$K" get service "$p" -o 'jsonpath={.spec.clusterIP}')
    served() { "$K" exec "$p-client" -- sh -c "printf 'GET / HTTP/1.0\r\n\r\n' | nc $ip 80" | grep -q page; }
    within 30 served || return 1
    "$K" port-forward "pod/$p" 18080:8080 >/dev/null 2>&1 &
    local forward=$!
    forwarded() { "$RUN/inside" sh -c "printf 'GET / HTTP/1.0\r\n\r\n' | busybox nc 127.0.0.1 18080" | grep -q page; }
    within 30 forwarded
    local status=$?
    kill $forward
    "$K" delete service "$p" >/dev/null
    return $status
}

t_probes() { # readiness by exec and http, a liveness probe that fails: restart
    make "$p" "$always$(container c "$server" '    readinessProbe: {exec: {command: [/bin/sh, -c, "test -e /tmp/www/index.html"]}, periodSeconds: 1}
    livenessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 2}')"
    make "$p-fails" "$always$(container c "$stay" '    livenessProbe: {exec: {command: [/bin/sh, -c, exit 1]}, periodSeconds: 1, failureThreshold: 2}')"
    within 60 ready "$p" && within 60 restarted "$p-fails" && ! restarted "$p"
}

t_volumes() { # configMap, secret, emptyDir, projected and downward volumes, variables from each, subPath
    "$K" create configmap "$p" --from-literal=colour=blue >/dev/null && "$K" create secret generic "$p" --from-literal=word=hidden >/dev/null || return 1
    make "$p" "$never$(container c 'echo $FROM_MAP $FROM_SECRET $NAME; cat /map/colour /secret/word /all/name /all/colour /one; echo; stat -c %a /secret/..data/word; echo x >/empty/f && cat /empty/f' '    env:
    - {name: FROM_MAP, valueFrom: {configMapKeyRef: {name: '"$p"', key: colour}}}
    - {name: FROM_SECRET, valueFrom: {secretKeyRef: {name: '"$p"', key: word}}}
    - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    volumeMounts: [{name: map, mountPath: /map}, {name: secret, mountPath: /secret}, {name: empty, mountPath: /empty}, {name: all, mountPath: /all}, {name: map, mountPath: /one, subPath: colour}]
  volumes:
  - {name: map, configMap: {name: '"$p"'}}
  - {name: secret, secret: {secretName: '"$p"', defaultMode: 256}}
  - {name: empty, emptyDir: {}}
  - {name: all, projected: {sources: [{configMap: {name: '"$p"'}}, {downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}}]}}')"
    within 60 ends "$p"
    logs "blue hidden $p"$'\n'"bluehidden${p}blueblue"$'\n400\nx' "$p" || { "$K" logs "$p"; return 1; }
}

t_init() { # an init container, then two containers that share a volume
    make "$p" "  restartPolicy: Never
  initContainers:
$(container init 'echo first >/v/f' '    volumeMounts: [{name: v, mountPath: /v}]')
  containers:
$(container one 'cat /v/f; until [ -e /v/done ]; do sleep 0.2; done; cat /v/done' '    volumeMounts: [{name: v, mountPath: /v}]')
$(container two 'echo second >/v/done.new; mv /v/done.new /v/done' '    volumeMounts: [{name: v, mountPath: /v}]')
  volumes: [{name: v, emptyDir: {}}]"
    within 60 phase "$p" Succeeded && logs $'first\nsecond' "$p" -c one
}

t_restart() { # restartPolicy OnFailure: until it succeeds
    make "$p" "  restartPolicy: OnFailure
  containers:
$(container c 'echo x >>/v/n; [ "$(wc -l </v/n)" -ge 2 ]' '    volumeMounts: [{name: v, mountPath: /v}]')
  volumes: [{name: v, emptyDir: {}}]"
    within 90 phase "$p" Succeeded && [ "$(get "$p" '.status.containerStatuses[0].restartCount')" -eq 1 ]
}

t_stop() { # graceful stop: the program is told, and ends long before the grace is over
    make "$p" "$always$(container c "$stay")"
    within 60 ready "$p" && within 20 logs up "$p" || return 1
    "$K" logs -f "$p" >"$results.log" &
    local follow=$! begin=$SECONDS
    "$K" delete pod "$p" --wait=false >/dev/null
    within 15 grep -q told "$results.log"
    local status=$?
    kill $follow 2>/dev/null
    rm -f "$results.log"
    return $status
}

t_memory() { # limits.memory: what the program sees, and OOMKilled
    make "$p" "$never$(container c 'grep MemTotal /proc/meminfo; head -c 200000000 /dev/zero | tail -c 1 | wc -c; exec tail /dev/zero' '    resources: {limits: {memory: 64Mi}}')"
    within 90 ends "$p"
    terminated "$p" "137 OOMKilled" || { get "$p" '.status.containerStatuses[0].state'; return 1; }
    [ "$kind" = ordinary ] || [ "$("$K" logs "$p" | awk '/MemTotal/ {print $2; exit}')" -le 65536 ]
}

t_security() { # runAsUser, read-only root, supplemental groups
    make "$p" "  securityContext: {runAsUser: 1000, runAsGroup: 50, supplementalGroups: [77], fsGroup: 99}
$never$(container c 'id -u; id -g; id -G; touch /x 2>/dev/null || echo no' '    securityContext: {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}')"
    within 60 ends "$p"
    [ "$("$K" logs "$p" | tr '\n' ' ')" = "1000 50 50 77 99 no " ] || { "$K" logs "$p"; return 1; }
}

t_pause() { # the sandbox of a pod is ordinary
    make "$p" "$always$(container c "$stay")"
    within 60 ready "$p" || return 1
    local sandbox
    sandbox=$("$RUN/ctr" containers ls | awk '/pause/ {print $1}' | while read -r id; do
        "$RUN/ctr" containers info "$id" | grep -q "\"io.kubernetes.pod.name\": \"$p\"" && echo "$id"; done)
    local pid
    pid=$("$RUN/ctr" task ls | awk -v id="$sandbox" '$1 == id {print $2}')
    [ "$("$RUN/inside" cat "/proc/$pid/comm")" = pause ]
}

t_many() { # 20 pods at once
    { sed "s/CLASS/$class/; s/NAME/$p/g" <<'YAML'
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  replicas: 20
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      runtimeClassName: CLASS
      terminationGracePeriodSeconds: 1
      containers:
YAML
        container c 'exec sleep 100000' | sed 's/^/    /'; } | "$K" apply -f - >/dev/null
    local begin=$SECONDS
    "$K" wait --for=condition=Available --timeout=180s "deployment/$p" >/dev/null
    local status=$?
    note="$((SECONDS - begin)) s"
    "$K" delete deployment "$p" >/dev/null
    return $status
}

kills() { # PROCESS: it is gone, and its successor is there
    local old
    old=$(cat "$RUN/$1.pid")
    "$RUN/inside" kill -9 "$old" && within 30 eval "[ \"\$(cat '$RUN/$1.pid')\" != $old ]"
}

t_killed() { # kubelet and containerd killed -9: the pod goes on, exec and logs work
    make "$p" "$always$(container c "$stay")"
    within 60 ready "$p" || return 1
    local id
    id=$(get "$p" '.status.containerStatuses[0].containerID')
    kills containerd && kills kubelet && within 60 "$K" exec "$p" -- true || return 1
    [ "$(get "$p" '.status.containerStatuses[0].containerID')" = "$id" ] && logs up "$p" && ! restarted "$p"
}

t_shim() { # the shim killed -9: the container is started again, and nothing is left of the old one
    make "$p" "$always$(container c "$stay")"
    within 60 ready "$p" || return 1
    local id pid shim
    id=$(get "$p" '.status.containerStatuses[0].containerID')
    pid=$("$RUN/ctr" task ls | awk -v id="${id#containerd://}" '$1 == id {print $2}')
    shim=$("$RUN/inside" awk '/^PPid/ {print $2}' "/proc/$pid/status")
    "$RUN/inside" kill -9 "$shim"
    again() { [ "$(get "$p" '.status.containerStatuses[0].containerID')" != "$id" ] && ready "$p"; }
    within 90 again && ! "$RUN/inside" test -e "/proc/$pid"
}

t_gone() { # after the end of all pods: no state, shim or process of a container is left
    "$K" delete pods --all --grace-period=1 --wait >/dev/null 2>&1
    nothing() { [ -z "$("$RUN/inside" ls /run/containerd/rune/k8s.io 2>/dev/null)" ] && ! "$RUN/inside" pgrep -f containerd-shim-rune; }
    within 120 nothing
}

tests=(complete missing exec policy attach logs service probes volumes init restart stop memory security pause many killed shim gone)
[ $# -eq 0 ] || tests=("$@")
[ -x "$BIN/kubelet" ] || "$here/build.sh" || exit 1
"$here/up.sh" || exit 1
declare -A what
for name in "${tests[@]}"; do
    what[$name]=$(sed -n "s/^t_$name() { # //p" "$here/check.sh")
done
for name in "${tests[@]}"; do
    for class in rune rune-enclave; do
        kind=ordinary
        [ $class = rune ] || kind=enclave
        p=$name-${class##*-} note=
        if [ "$name" = gone ] && [ $class = rune ]; then continue; fi
        if "t_$name" >"$results.out" 2>&1; then
            passed=$((passed + 1)) result=ok
        else
            failed=$((failed + 1)) result='**failed**'
            sed 's/^/  /' "$results.out"
            "$K" get pods -o wide 2>&1 | sed 's/^/  /'
        fi
        printf '%s %s (%s)%s\n' "$([ "$result" = ok ] && echo ok || echo 'not ok')" "${what[$name]}" "$class" "${note:+: $note}"
        echo "$name|$class|$result${note:+, $note}" >>"$results"
        "$K" delete pods -l "app in ($p, $p-7, $p-client, $p-fails)" --grace-period=1 --wait=false >/dev/null 2>&1
    done
done
rm -f "$results.out"
if [ -n "${K8S_SUMMARY:-}" ]; then
    {
        echo "# make check-k8s"
        echo
        echo "The last run: Kubernetes $("$K" version --short 2>/dev/null | sed -n 's/^Server Version: v//p'), $(containerd --version | awk '{print "containerd", $3}'), software SGX; rune is told to containerd by \`rune install-runtime\`."
        echo
        echo "| what a pod does | RuntimeClass rune | rune-enclave |"
        echo "| --- | --- | --- |"
        for name in "${tests[@]}"; do
            one=$(sed -n "s/^$name|rune|//p" "$results") two=$(sed -n "s/^$name|rune-enclave|//p" "$results")
            echo "| ${what[$name]} | ${one:-} | $two |"
        done
    } >"$K8S_SUMMARY"
fi
"$here/down.sh"
echo "$passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
