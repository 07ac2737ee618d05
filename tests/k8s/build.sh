#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds kubelet, kube-apiserver, kube-controller-manager, kube-scheduler,
# kube-proxy and kubectl 1.20.2 from Debian bookworm's own "kubernetes" source
# package, with bookworm's own Go 1.19.  Installs nothing on the system:
# .debs are downloaded and unpacked under $K8S_BASE.
#   build.sh            everything (needs: dpkg-dev, gcc, libc6-dev, xz-utils)
set -euo pipefail
# shellcheck source=tests/k8s/env.sh
. "$(dirname "$(readlink -f "$0")")/env.sh"
mkdir -p "$K8S_BASE"/{apt/parts,apt/lists/partial,apt/cache/archives/partial,debs,src,bin,home,log}

# ---- 1. a private apt, made from the machine's own sources -----------------
A=$K8S_BASE/apt
rm -f "$A"/parts/*
for f in /etc/apt/sources.list.d/*.sources; do       # deb822: add deb-src, keep the wanted release
  [ -e "$f" ] || continue
  awk -v s="$K8S_SUITE" 'BEGIN{RS="";ORS="\n\n"} $0 ~ "Suites:[^\n]*" s {print}' "$f" |
    sed -e 's/^Types:.*/Types: deb deb-src/' > "$A/parts/$(basename "$f")"
done
for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do   # one-line format
  [ -e "$f" ] || continue
  sed -n "s/^deb \(.*$K8S_SUITE.*\)/deb \1\ndeb-src \1/p" "$f" > "$A/parts/$(basename "${f%.list}").list"
done
find "$A/parts" -size 0 -delete
apt_o=(-oDir::Etc::sourcelist=/dev/null -oDir::Etc::sourceparts="$A/parts"
       -oDir::State::Lists="$A/lists" -oDir::Cache="$A/cache" -oAPT::Sandbox::User=root -qq)
say "apt update (private lists)"
apt-get "${apt_o[@]}" update

# ---- 2. toolchain and helpers: download, unpack, do not install ------------
say "download + unpack .debs"
( cd "$K8S_BASE/debs"
  apt-get "${apt_o[@]}" download golang-1.19-go golang-1.19-src \
      golang-github-modern-go-reflect2-dev etcd-server etcd-client \
      conntrack socat busybox-static
  rm -rf "$ROOT"; mkdir -p "$ROOT"
  for d in *.deb; do dpkg -x "$d" "$ROOT"; done )
export GOROOT=$ROOT/usr/lib/go-1.19 GOPATH=$K8S_BASE/gopath GOCACHE=$K8S_BASE/gocache \
       GO111MODULE=off GOFLAGS="" GOPROXY=off CGO_ENABLED=0 HOME=$K8S_BASE/home GOMAXPROCS=$K8S_JOBS
export PATH=$GOROOT/bin:/usr/sbin:/usr/bin:/sbin:/bin
go version >&2

# ---- 3. the source ---------------------------------------------------------
say "source package"
( cd "$K8S_BASE/src"; rm -f kubernetes_*; apt-get "${apt_o[@]}" source --download-only kubernetes )
rm -rf "$SRC"; mkdir -p "$(dirname "$SRC")"
dpkg-source --no-check -x "$K8S_BASE"/src/kubernetes_*.dsc "$SRC" >/dev/null   # apt has checked the hashes
cd "$SRC"
# vendored reflect2 1.0.1 with Go >= 1.18: the apiserver dies (SIGSEGV in UnsafeIterate) when it writes a map as JSON;
# Debian's own 1.0.2 drops in
rm -rf vendor/github.com/modern-go/reflect2
cp -a "$ROOT/usr/share/gocode/src/github.com/modern-go/reflect2" vendor/github.com/modern-go/

# ---- 4. the one generated file that is not in the tarball (apiserver needs it)
say "openapi-gen"
nice -n 10 go build -p "$K8S_JOBS" -o "$K8S_BASE/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
dirs=$(find cmd pkg plugin test vendor/k8s.io/ -follow -name '*.go' -type f |
         grep -v -e ^vendor/k8s.io/code-generator/ -e ^vendor/k8s.io/sample-apiserver/ |
         xargs grep -l '^// *+k8s:' | xargs grep -l '+k8s:openapi-gen=' |
         xargs -n1 dirname | LC_ALL=C sort -u | sed 's,^,k8s.io/kubernetes/,' | paste -sd,)
nice -n 10 "$K8S_BASE/openapi-gen" --logtostderr -i "$dirs" \
  -p k8s.io/kubernetes/pkg/generated/openapi -O zz_generated.openapi \
  -h hack/boilerplate/boilerplate.generatego.txt -r "$K8S_BASE/log/violations.report"
cmp "$K8S_BASE/log/violations.report" api/api-rules/violation_exceptions.list   # same check as upstream's make

# ---- 5. build --------------------------------------------------------------
V=v1.20.2
commit=$(sed -n 's/.*gitCommit *= "\([0-9a-f]*\)".*/\1/p' staging/src/k8s.io/component-base/version/base.go)
X=
for p in component-base/version client-go/pkg/version; do
  q=k8s.io/kubernetes/vendor/k8s.io/$p
  X="$X -X $q.gitVersion=$V -X $q.gitMajor=1 -X $q.gitMinor=20 -X $q.gitTreeState=archive -X $q.gitCommit=$commit"
done
say "go build"
nice -n 10 go build -p "$K8S_JOBS" -trimpath -tags 'providerless dockerless' -ldflags "-s -w $X" \
  -o "$K8S_BASE/bin/" ./cmd/kubelet ./cmd/kube-apiserver ./cmd/kube-controller-manager \
             ./cmd/kube-scheduler ./cmd/kube-proxy ./cmd/kubectl
# upstream's own pause program, from the same source package
gcc -Os -Wall -static -DVERSION=v3.2-debian -o "$K8S_BASE/bin/pause" build/pause/linux/pause.c
strip "$K8S_BASE/bin/pause"
cp -a "$ROOT"/usr/bin/etcd "$ROOT"/usr/bin/etcdctl "$ROOT"/bin/busybox "$K8S_BASE/bin/"
"$K8S_BASE/bin/kubelet" --version >&2;
say "done"
