#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# From a program in an enclave container to a verdict: its report over a verifier's nonce, the software SGX's quote, verify-quote.

bats_require_minimum_version 1.5.0
load enclave

setup() {
    busybox_setup sh cat
    sgx-tools simulation-collateral "$work/sim"
    cp "$work/sim/target_info" "$bundle/rootfs/target_info"
    annotate type simulatedSgx
}
teardown() { enclave_teardown; }

verify() {
    sgx-tools verify-quote --allow-simulation --collateral "$work/sim" "$@" "$work/quote"
}

@test "a container's report is quoted and judged, against what it should run" {
    arguments sh -c 'cat /target_info >/dev/attestation/target_info; echo -n of-the-verifier >/dev/attestation/user_report_data
        cat /dev/attestation/report'
    rune run --bundle "$bundle" "$id" >"$work/report" 2>"$work/err" </dev/null
    sgx-tools simulation-quote --out "$work/quote" "$work/report"
    nonce=$(printf of-the-verifier | od -An -tx1 | tr -d ' \n')

    run verify --nonce "$nonce"
    [ "$status" -eq 0 ]
    # What was measured when the image was converted is what the quote says.
    measured=$(built mrenclave)
    jq -n --arg m "$measured" '{mrenclave: $m}' >"$work/policy"
    run verify --nonce "$nonce" --policy "$work/policy"
    echo "$output"
    [ "$status" -eq 0 ]
    run verify --nonce "${nonce/6f/6e}"
    [ "$status" -eq 6 ]
    jq -n --arg m "${measured//[0-4]/5}" '{mrenclave: $m}' >"$work/policy"
    run verify --policy "$work/policy"
    [ "$status" -eq 6 ]
    [[ "${lines[-1]}" == *"mrenclave: it is $measured"* ]]
    run sgx-tools verify-quote --collateral "$work/sim" "$work/quote"
    [ "$status" -eq 4 ]

    # A report that was changed, or is for somebody else, is not quoted.
    printf x | dd of="$work/report" bs=1 seek=70 conv=notrunc status=none
    run sgx-tools simulation-quote --out "$work/none" "$work/report"
    [ "$status" -eq 1 ]
    [ "${#lines[@]}" -eq 1 ]
    [ ! -e "$work/none" ]
}

@test "a sealing key of an earlier microcode has a name" {
    arguments sh -c 'cd /dev/attestation/keys; svn=$(cat ../cpu_svn); cat _sgx_mrenclave "_sgx_mrenclave.$svn" _sgx_mrenclave.00000000000000000000000000000000
        cat "_sgx_mrenclave.ff${svn#??}"'
    status=0
    rune run --bundle "$bundle" "$id" >"$work/keys" 2>"$work/err" </dev/null || status=$?
    [ "$status" -eq 1 ]
    [ "$(stat -c %s "$work/keys")" = 48 ]
    cmp <(head -c 16 "$work/keys") <(tail -c 32 "$work/keys" | head -c 16)
    run ! cmp <(head -c 16 "$work/keys") <(tail -c 16 "$work/keys")
    grep -q "read error: Permission denied" "$work/err"
}

@test "a deployment is recomputed, and what differs is said" {
    configure 'c["process"]["env"] += ["COLOUR=blue"]'
    arguments sh -c 'cat /target_info >/dev/attestation/target_info; cat /dev/attestation/report' one
    rune run --bundle "$bundle" "$id" >"$work/report" 2>"$work/err" </dev/null
    sgx-tools simulation-quote --out "$work/quote" "$work/report"
    run verify --deployment "$bundle"
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" == *"ok      configid"* ]]

    # What the tenant meant: another argument, another colour, no exec from outside.
    cp -r "$bundle" "$work/meant"
    (bundle=$work/meant && configure 'c["process"]["args"][-1] = "two"' 'c["process"]["env"][-1] = "COLOUR=red"' \
        'c.setdefault("annotations", {})["enclave.stdio"] = "none"' \
        'c["mounts"] += [{"destination": "/data", "type": "bind", "source": "/tmp", "options": ["bind", "ro"]}]')
    run verify --deployment "$work/meant"
    [ "$status" -eq 6 ]
    [[ "${lines[0]}" == *"another deployment"* ]]
    run verify --deployment "$work/meant" --deployed "$bundle"
    echo "$output"
    [ "$status" -eq 6 ]
    for line in '- argument 3 "two"' '+ argument 3 "one"' '- environment "COLOUR=red"' '+ environment "COLOUR=blue"' \
        "- policy: exec none, output none, input none" "+ policy: exec none, output to the host, input from the host" \
        '- mount on "/data": the host'; do
        [[ "$output" == *"$line"* ]]
    done
    [ "$(grep -c '^[-+] ' <<<"$output")" -eq 7 ]
    # A node that names a bundle that it did not start is found out.
    (bundle=$work/meant && configure 'c["process"]["cwd"] = "/tmp"')
    run verify --deployment "$bundle" --deployed "$work/meant"
    [ "$status" -eq 0 ]
    run verify --deployment "$work/meant" --deployed "$work/meant"
    [ "$status" -eq 6 ]
    [[ "${lines[0]}" == *"is not what the enclave was started from either"* ]]
    verify --json --deployment "$work/meant" --deployed "$bundle" >"$work/json" || true
    jq -e '.deployment | contains("+ argument 3")' "$work/json"
}
