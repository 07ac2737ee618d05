#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# PID 1 of the cluster's namespaces (started by up.sh).
set -eu
# shellcheck source=tests/k8s/env.sh
. "$(dirname "$(readlink -f "$0")")/env.sh"
P=$RUN/pki; L=$RUN/log
export PATH=$RUNE_STAGE/usr/bin:$BIN:$ROOT/usr/sbin:$ROOT/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=$RUN
export AWS_EC2_METADATA_DISABLED=true        # else kubelet's AWS credential provider waits 6 s for a metadata server
cd "$RUN"
mount --make-rshared /                       # a new peer group: nothing shows outside
mount -t tmpfs -o mode=755 tmpfs /run        # /run/containerd (shim sockets), /run/netns, /run/runc
mkdir -p /run/lock /run/netns
mount -t tmpfs -o mode=755 tmpfs /var/lib    # /var/lib/kubelet/device-plugins and /var/lib/cni are fixed paths
mkdir -p /var/lib/kubelet /var/lib/cni
mount --bind "$RUN/varlog" /var/log          # so is /var/log/pods
mount --bind "$RUN/etc/hosts" /etc/hosts
mount --bind "$RUN/etc/resolv.conf" "$(readlink -f /etc/resolv.conf)"
# kubelet sets these for the whole machine (they belong to no namespace): let it see and write plain files
sysctl_() { mkdir -p "$RUN/sysctl"; echo "$2" > "$RUN/sysctl/${1##*/}"; mount --bind "$RUN/sysctl/${1##*/}" "/proc/sys/$1"; }
sysctl_ vm/overcommit_memory 1;  sysctl_ vm/panic_on_oom 0; sysctl_ kernel/panic 10; sysctl_ kernel/panic_on_oops 1
sysctl_ kernel/keys/root_maxkeys 1000000; sysctl_ kernel/keys/root_maxbytes 25000000
hostname "$K8S_NODE"
ip link set lo up
ip link add cni0 type bridge; ip addr add 10.88.0.1/16 dev cni0; ip link set cni0 up   # the CNI bridge plugin takes it as it is
ip route add default dev cni0                # kubelet and apiserver look for a default route
echo 1 > /proc/sys/net/ipv4/ip_forward
for c in /sys/fs/cgroup/*/; do               # kubelet wants its cgroup root to exist
  [ "$c" = /sys/fs/cgroup/unified/ ] || mkdir -p "$c/k8s-$K8S_NODE"
done
for f in cpuset.cpus cpuset.mems; do cat /sys/fs/cgroup/cpuset/$f > "/sys/fs/cgroup/cpuset/k8s-$K8S_NODE/$f"; done

# Each daemon is started again when it is killed.
d() { local n=$1; shift; { while :; do "$@" >>"$L/$n.log" 2>&1 & echo $! >"$RUN/$n.pid"; wait $! || true; sleep 0.5; done; } & }
d etcd etcd --name default --data-dir "$RUN/etcd" --listen-client-urls http://127.0.0.1:2379 \
  --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 \
  --initial-advertise-peer-urls http://127.0.0.1:2380 --initial-cluster default=http://127.0.0.1:2380 \
  --unsafe-no-fsync --log-level warn
d containerd containerd --config "$RUN/etc/containerd.toml"
d apiserver kube-apiserver --bind-address=127.0.0.1 --secure-port=6443 --insecure-port=0 --advertise-address=10.88.0.1 \
  --endpoint-reconciler-type=none \
  --etcd-servers=http://127.0.0.1:2379 --tls-cert-file="$P/apiserver.crt" --tls-private-key-file="$P/apiserver.key" \
  --client-ca-file="$P/ca.crt" --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
  --kubelet-client-certificate="$P/apiserver-kubelet-client.crt" --kubelet-client-key="$P/apiserver-kubelet-client.key" \
  --kubelet-certificate-authority="$P/ca.crt" --kubelet-preferred-address-types=Hostname \
  --requestheader-client-ca-file="$P/front-ca.crt" --requestheader-allowed-names=front-proxy-client \
  --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
  --requestheader-extra-headers-prefix=X-Remote-Extra- \
  --proxy-client-cert-file="$P/front-proxy-client.crt" --proxy-client-key-file="$P/front-proxy-client.key" \
  --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$P/sa.pub" \
  --service-account-signing-key-file="$P/sa.key" --service-cluster-ip-range=10.96.0.0/16 --allow-privileged=true
for _ in $(seq 300); do                      # kcm gives up for good if RBAC is not there yet
  kubectl --kubeconfig "$P/admin.conf" get --raw /readyz >/dev/null 2>&1 && break; sleep 0.1
done
d kcm kube-controller-manager --kubeconfig="$P/kcm.conf" --authentication-kubeconfig="$P/kcm.conf" \
  --authorization-kubeconfig="$P/kcm.conf" --bind-address=127.0.0.1 --port=0 --leader-elect=false \
  --service-account-private-key-file="$P/sa.key" --root-ca-file="$P/ca.crt" --use-service-account-credentials=true \
  --cluster-signing-cert-file="$P/ca.crt" --cluster-signing-key-file="$P/ca.key" \
  --flex-volume-plugin-dir="$RUN/volumeplugins" --cert-dir="$RUN/kcm"
d scheduler kube-scheduler --kubeconfig="$P/scheduler.conf" --authentication-kubeconfig="$P/scheduler.conf" \
  --authorization-kubeconfig="$P/scheduler.conf" --bind-address=127.0.0.1 --port=0 --leader-elect=false \
  --cert-dir="$RUN/scheduler"
for _ in $(seq 300); do [ -S "$RUN/containerd.sock" ] && break; sleep 0.1; done
d kubelet kubelet --config="$RUN/etc/kubelet.yaml" --kubeconfig="$P/kubelet.conf" --root-dir="$RUN/kubelet" \
  --cert-dir="$RUN/kubelet-pki" --hostname-override="$K8S_NODE" --node-ip=10.88.0.1 \
  --container-runtime=remote --container-runtime-endpoint="unix://$RUN/containerd.sock" \
  --image-service-endpoint="unix://$RUN/containerd.sock" --pod-infra-container-image=localhost/pause:3.2
d proxy kube-proxy --config="$RUN/etc/proxy.yaml"
trap 'exit 0' TERM INT
while :; do wait || true; sleep 1; done      # PID 1: reaps what is orphaned
