# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034 # used by those that read this
# Shared settings. Override K8S_BASE (and the rest) from the environment.
: "${K8S_BASE:?set K8S_BASE to a directory of its own, not under /run, /var/lib or /var/log}"
: "${RUNE_STAGE:?set RUNE_STAGE to the staged tree (make stage)}"
: "${K8S_NODE:=node1}"                    # node name
: "${K8S_SUITE:=bookworm}"                # the Debian release that still carries the full source
: "${K8S_JOBS:=2}"
ROOT=$K8S_BASE/root                       # extracted .debs (Go, etcd, conntrack, socat, ...)
SRC=$K8S_BASE/gopath/src/k8s.io/kubernetes
BIN=$K8S_BASE/bin
RUN=$K8S_BASE/run                         # state of the running cluster
say() { printf '%s %s\n' "$(date +%T)" "$*" >&2; }
