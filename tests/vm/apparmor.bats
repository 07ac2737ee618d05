#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# AppArmor profiles of a container and of exec, where the kernel has AppArmor.
# layouts: unified
# drivers: cgroupfs

load guest

setup() {
    guest_setup
    [ -d /sys/kernel/security/apparmor ] || skip "the kernel has no AppArmor"
    echo secret >rootfs/etc/secret
    echo open >rootfs/etc/open
    profile "$id-secret" 'deny /etc/secret r,'
    profile "$id-open" 'deny /etc/open r,'
}

teardown() {
    guest_teardown
    local name
    for name in "$id-secret" "$id-open"; do
        printf 'profile %s {}\n' "$name" | apparmor_parser --remove 2>/dev/null || true
    done
}

# profile NAME RULES: loads one that allows everything else
profile() {
    printf 'profile %s flags=(attach_disconnected,mediate_deleted) {\n file,\n network,\n capability,\n mount,\n signal,\n %s\n}\n' \
        "$1" "$2" | apparmor_parser --replace --skip-cache
}

@test "the container's profile takes effect, and exec is under it too" {
    configure ".process.apparmorProfile = \"$id-secret\""
    start
    [ "$(cat "/proc/$(rune state "$id" | jq .pid)/attr/apparmor/current")" = "$id-secret (enforce)" ]
    run -0 rune exec "$id" cat /proc/self/attr/apparmor/current
    [ "$output" = "$id-secret (enforce)" ]
    run ! rune exec "$id" cat /etc/secret
    [[ "$output" == *"Permission denied"* ]]
    run -0 rune exec "$id" cat /etc/open
    [ "$output" = open ]
}

@test "exec --apparmor is for that process alone" {
    configure ".process.apparmorProfile = \"$id-secret\""
    start
    run -0 rune exec --apparmor "$id-open" "$id" cat /etc/secret
    [ "$output" = secret ]
    run ! rune exec --apparmor "$id-open" "$id" cat /etc/open
    [[ "$output" == *"Permission denied"* ]]
    run ! rune exec "$id" cat /etc/secret
    jq ".process | .args = [\"cat\", \"/etc/open\"] | .apparmorProfile = \"$id-open\"" config.json >"$work/process.json"
    run ! rune exec --process "$work/process.json" "$id"
    [[ "$output" == *"Permission denied"* ]]
}

@test "no_new_privileges and a read-only root change nothing of it; without a profile there is none" {
    configure ".process.apparmorProfile = \"$id-secret\" | .process.noNewPrivileges = true | .root.readonly = true
        | .process.args = [\"sh\", \"-c\", \"cat /proc/self/attr/apparmor/current; cat /etc/secret\"]"
    run ! rune run "$id" </dev/null
    [[ "$output" == *"$id-secret (enforce)"*"Permission denied"* ]]
    configure 'del(.process.apparmorProfile)'
    run -0 rune run "$id" </dev/null
    [ "$output" = $'unconfined\nsecret' ]
    configure '.process.apparmorProfile = "unconfined"'
    run -0 rune run "$id" </dev/null
    [ "$output" = $'unconfined\nsecret' ]
}

@test "a profile that is not loaded is refused by name, for the container and for exec" {
    configure '.process.apparmorProfile = "no-such-profile"'
    run -1 rune run "$id" </dev/null
    echo "$output"
    [ "${#lines[@]}" -eq 1 ]
    [[ "$output" == *"apparmor profile no-such-profile is not loaded on this machine" ]]
    gone
    configure 'del(.process.apparmorProfile)'
    start
    run -255 rune exec --apparmor no-such-profile "$id" true
    echo "$output"
    [[ "$output" == *"apparmor profile no-such-profile is not loaded on this machine"* ]]
    status_is "$id" running
}
