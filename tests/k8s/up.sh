#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Starts a one-node Kubernetes: etcd, apiserver, controller-manager, scheduler,
# containerd (CRI) + runc, kubelet, kube-proxy.  Everything runs inside its own
# network, mount, UTS, IPC and PID namespaces, so that it touches neither the
# host's interfaces and iptables nor /run, /var/log and /var/lib, and so that
# ending one process ends all of it.  All sockets are on that namespace's
# loopback or are unix sockets below $K8S_BASE/run.
# $K8S_BASE must not lie under /run, /var/lib or /var/log (hidden inside).
# Needs root and: containerd runc containernetworking-plugins iptables iproute2
# openssl util-linux and a kernel with bridge, veth, overlayfs, cgroup v1.
set -euo pipefail
# shellcheck source=tests/k8s/env.sh
. "$(dirname "$(readlink -f "$0")")/env.sh"
HERE=$(dirname "$(readlink -f "$0")")
[ -e "$RUN/pid" ] && kill -0 "$(cat "$RUN/pid")" 2>/dev/null && { say "already up"; exit 0; }
t0=$(date +%s.%N); el() { printf '+%.1fs' "$(echo "$(date +%s.%N) - $t0" | bc 2>/dev/null || awk "BEGIN{print $(date +%s.%N)-$t0}")"; }
rm -rf "$RUN"; mkdir -p "$RUN"/{pki,log,cni,img,varlog,etc}

# ---- certificates ------------------------------------------------------------
P=$RUN/pki
key() { openssl ecparam -genkey -name prime256v1 -noout -out "$P/$1.key" 2>/dev/null; }
for ca in ca front-ca; do
  key $ca; openssl req -x509 -new -key "$P/$ca.key" -subj /CN=test-$ca -days 3650 -out "$P/$ca.crt" \
    -addext keyUsage=critical,keyCertSign,digitalSignature
done
cert() { # name subject usage [san [ca]]
  local ca=${5:-ca}; key "$1"
  openssl req -new -key "$P/$1.key" -subj "$2" -out "$P/$1.csr"
  { echo "basicConstraints=CA:FALSE"; echo "keyUsage=critical,digitalSignature"
    echo "extendedKeyUsage=$3"; [ -z "${4:-}" ] || echo "subjectAltName=$4"; } > "$P/$1.ext"
  openssl x509 -req -in "$P/$1.csr" -CA "$P/$ca.crt" -CAkey "$P/$ca.key" -CAcreateserial -days 3650 \
    -extfile "$P/$1.ext" -out "$P/$1.crt" 2>/dev/null
}
cert apiserver /CN=kube-apiserver serverAuth \
  DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1,IP:10.88.0.1
cert kubelet-server "/O=system:nodes/CN=system:node:$K8S_NODE" serverAuth "DNS:$K8S_NODE,DNS:localhost,IP:127.0.0.1"
cert apiserver-kubelet-client "/O=system:masters/CN=apiserver-kubelet-client" clientAuth
cert front-proxy-client /CN=front-proxy-client clientAuth "" front-ca
cert admin "/O=system:masters/CN=admin" clientAuth
cert kcm /CN=system:kube-controller-manager clientAuth
cert scheduler /CN=system:kube-scheduler clientAuth
cert proxy /CN=system:kube-proxy clientAuth
cert kubelet "/O=system:nodes/CN=system:node:$K8S_NODE" clientAuth
openssl genrsa -out "$P/sa.key" 2048 2>/dev/null; openssl rsa -in "$P/sa.key" -pubout -out "$P/sa.pub" 2>/dev/null
for u in admin kcm scheduler proxy kubelet; do cat > "$P/$u.conf" <<EOF
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:6443", certificate-authority: $P/ca.crt}}]
users: [{name: $u, user: {client-certificate: $P/$u.crt, client-key: $P/$u.key}}]
contexts: [{name: c, context: {cluster: c, user: $u}}]
current-context: c
EOF
done

# ---- configuration -----------------------------------------------------------
cat > "$RUN/etc/hosts" <<EOF
127.0.0.1 localhost $K8S_NODE
EOF
: > "$RUN/etc/resolv.conf"
cat > "$RUN/cni/10-bridge.conflist" <<EOF
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$RUN/ipam",
            "ranges": [[{"subnet": "10.88.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
EOF
cat > "$RUN/etc/containerd.toml" <<EOF
version = 2
root = "$RUN/containerd"
state = "$RUN/containerd-state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.opt"]
[grpc]
  address = "$RUN/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:3.2"
  restrict_oom_score_adj = true           # no CAP_SYS_RESOURCE: negative oom_score_adj is refused
  disable_tcp_service = true
  stream_server_address = "127.0.0.1"
  tolerate_missing_hugetlb_controller = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$RUN/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
EOF
mkdir -p "$RUN/sys/etc/containerd"; mv "$RUN/etc/containerd.toml" "$RUN/sys/etc/containerd/config.toml"
"$RUNE_STAGE/usr/bin/rune" install-runtime --sysroot "$RUN/sys" containerd >/dev/null
mv "$RUN/sys/etc/containerd/config.toml" "$RUN/etc/containerd.toml"
nofile=$(ulimit -Hn); [ "$nofile" != unlimited ] || nofile=1000000
cat > "$RUN/etc/kubelet.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 127.0.0.1
port: 10250
readOnlyPort: 0
healthzBindAddress: 127.0.0.1
healthzPort: 10248
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $P/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $P/kubelet-server.crt
tlsPrivateKeyFile: $P/kubelet-server.key
cgroupDriver: cgroupfs
cgroupRoot: /k8s-$K8S_NODE
cgroupsPerQOS: true
enforceNodeAllocatable: [pods]
failSwapOn: false
maxOpenFiles: $nofile
oomScoreAdj: 0
nodeStatusUpdateFrequency: 2s
volumePluginDir: $RUN/volumeplugins
resolvConf: $RUN/etc/resolv.conf
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
staticPodPath: ""
EOF
cat > "$RUN/etc/proxy.yaml" <<EOF
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
bindAddress: 127.0.0.1
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
hostnameOverride: $K8S_NODE
clientConnection: {kubeconfig: $P/proxy.conf}
mode: iptables
clusterCIDR: 10.88.0.0/16
conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
EOF

# ---- images: a tar in "docker save" form, made with tar and sha256sum only -------
mkimg() { # name layer.tar entrypoint-json out.tar
  local d; d=$(mktemp -d "$RUN/img/XXXXXX"); local sum; sum=$(sha256sum < "$2" | cut -d' ' -f1)
  ln "$2" "$d/layer.tar" 2>/dev/null || cp "$2" "$d/layer.tar"
  printf '{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Entrypoint":%s,"WorkingDir":"/"},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{}]}' "$3" "$sum" > "$d/config.json"
  printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$1" > "$d/manifest.json"
  tar -C "$d" -cf "$4" manifest.json config.json layer.tar; rm -rf "$d"
}
tar -C "$K8S_BASE/bin" --owner=0 --group=0 --transform 's,^pause$,./pause,' -cf "$RUN/img/pause.layer" pause
mkimg localhost/pause:3.2 "$RUN/img/pause.layer" '["/pause"]' "$RUN/img/pause.tar"
mkdir -p "$RUN/img/bb"/{bin,tmp,etc,root}; cp "$K8S_BASE/bin/busybox" "$RUN/img/bb/bin/"
for a in sh ls cat echo sleep wget nc ip ps id env true httpd date tar; do ln -s busybox "$RUN/img/bb/bin/$a"; done
tar -C "$RUN/img/bb" --owner=0 --group=0 -cf "$RUN/img/bb.layer" .
mkimg localhost/busybox:1 "$RUN/img/bb.layer" 'null' "$RUN/img/busybox.tar"
rm -rf "$RUN"/img/*.layer "$RUN/img/bb"
say "$(el) certificates, configuration, images made"

# ---- start ---------------------------------------------------------------------
export K8S_BASE K8S_NODE RUNE_STAGE
setsid unshare --net --mount --uts --ipc --pid --fork --kill-child --mount-proc \
  bash "$HERE/inside.sh" </dev/null >"$RUN/log/inside.log" 2>&1 &
U=$!
for i in $(seq 50); do C=$(cat /proc/$U/task/$U/children 2>/dev/null | tr -d ' '); [ -n "$C" ] && break; sleep 0.1; done
echo "$U" > "$RUN/pid"; echo "$C" > "$RUN/init.pid"
cat > "$RUN/kubectl" <<EOF
#!/bin/sh
# kubectl inside the cluster's network namespace
exec nsenter --target $C --net -- $BIN/kubectl --kubeconfig $P/admin.conf --cache-dir=$RUN/kubecache "\$@"
EOF
cat > "$RUN/inside" <<EOF
#!/bin/sh
# A command in the cluster's namespaces
exec nsenter --target $C --net --mount --pid -- "\$@"
EOF
cat > "$RUN/ctr" <<EOF
#!/bin/sh
exec nsenter --target $C --net --mount --pid -- ctr --address $RUN/containerd.sock -n k8s.io "\$@"
EOF
chmod +x "$RUN/kubectl" "$RUN/ctr" "$RUN/inside"
K=$RUN/kubectl
wait_for() { # what seconds command...
  local what=$1 n=$(( $2 * 5 )); shift 2
  for i in $(seq $n); do "$@" >/dev/null 2>&1 && { say "$(el) $what"; return 0; }; kill -0 $U 2>/dev/null || break; sleep 0.2; done
  say "$(el) FAILED: $what"; for i in "$RUN"/log/*.log; do echo "== $i"; tail -n 5 "$i"; done >&2; return 1
}
wait_for "containerd answers" 30 "$RUN/ctr" version
for t in "$RUN"/img/*.tar; do "$RUN/ctr" images import "$t" >> "$RUN/log/import.log" 2>&1; done
say "$(el) images imported"
wait_for "apiserver ready" 90 "$K" get --raw /readyz
wait_for "node registered" 60 "$K" get node "$K8S_NODE"
wait_for "node Ready" 60 "$K" wait --for=condition=Ready --timeout=1s "node/$K8S_NODE"
wait_for "default service account" 60 "$K" get serviceaccount default
"$K" apply -f - >/dev/null <<EOF
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: rune}
handler: rune
---
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: rune-enclave}
handler: rune-enclave
EOF
say "$(el) up; use $K"
