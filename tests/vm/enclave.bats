#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# An enclave container on the unified hierarchy: the same engine, its cgroup and limits.
# layouts: unified
# drivers: cgroupfs

load guest

setup() { guest_setup; }
teardown() { guest_teardown; }

@test "an enclave container runs in its cgroup with its limits" {
    configure '.annotations = {"enclave.type": "simulatedSgx"} | .linux.resources.memory = {limit: 1073741824}
        | .process.args = ["busybox", "echo", "from the enclave"]'
    run -0 timeout -k 5 300 "$RUNE" --root "$state" run "$id" </dev/null
    [[ "$output" == *"from the enclave"* ]]
    gone
}
