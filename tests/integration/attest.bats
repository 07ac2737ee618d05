#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# sgx-tools verify-quote on a quote of the software SGX: exit codes, and collateral from a PCCS that is good, slow, lying or away.

setup_file() {
    WORK=$(mktemp -d)
    export WORK RUNE_SGX_EMULATOR_ROOT=$WORK/root
    mkdir "$WORK/c"
    "$RUNE_STAGE/../tests/unit/attest/make-test-quote" "$WORK/c"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=pccs -addext subjectAltName=IP:127.0.0.1 \
        -keyout "$WORK/tls.pem" -out "$WORK/tls.crt" 2>/dev/null
    cat "$WORK/tls.crt" >>"$WORK/tls.pem"
    python3 "$BATS_TEST_DIRNAME/pccs.py" "$WORK/c" "$WORK/port" "$WORK/log" 3>&- &
    echo $! >"$WORK/pid"
    python3 "$BATS_TEST_DIRNAME/pccs.py" "$WORK/c" "$WORK/tls-port" "$WORK/log" "$WORK/tls.pem" 3>&- &
    echo $! >>"$WORK/pid"
    for _ in $(seq 300); do
        [ ! -e "$WORK/port" ] || [ ! -e "$WORK/tls-port" ] || break
        sleep 0.1
    done
    PCCS=http://127.0.0.1:$(cat "$WORK/port")
    export PCCS
}

teardown_file() {
    # shellcheck disable=SC2046
    [ ! -e "$WORK/pid" ] || kill $(cat "$WORK/pid")
    rm -rf "$WORK"
}

verify() { # ARGUMENT...
    sgx-tools verify-quote --allow-simulation --simulation-root "$WORK/c/simulation_root.pem" "$@" "$WORK/c/quote"
}

@test "verify-quote: accepted, and says that it is simulated" {
    run verify --collateral "$WORK/c" --nonce "$(printf nonce | od -An -tx1 | tr -d ' ')"
    [ "$status" -eq 0 ]
    [[ "$output" == *SIMULATED* ]]
    [ "${lines[-1]}" = "accepted, although SIMULATED: it protects nothing from the machine's operator" ]
    verify --json --collateral "$WORK/c" | jq -e '.verdict == "accepted" and .simulated and .tcb.status == "UpToDate"
        and ([.checks[] | select(.outcome == "failed")] | length) == 0'
}

@test "verify-quote: one page that needs nothing else" {
    verify --html --collateral "$WORK/c" >"$WORK/page"
    grep -q 'class="verdict warn">accepted, although SIMULATED' "$WORK/page"
    grep -q 'Simulated SGX Root CA' "$WORK/page"
    if grep -qE '<script|https?:|src=|url\(' "$WORK/page"; then false; fi
    # every tag that is opened is closed
    python3 -c 'import sys, html.parser
class P(html.parser.HTMLParser):
    open = []
    def handle_starttag(self, tag, attrs):
        if tag not in ("meta",): self.open.append(tag)
    def handle_endtag(self, tag): assert self.open.pop() == tag, tag
p = P(); p.feed(open(sys.argv[1]).read()); assert p.open == [], p.open' "$WORK/page"
}

@test "verify-quote: the page is no wider than a narrow or a wide window, and lines of a check stand below each other" {
    command -v chromium >/dev/null || skip "no chromium"
    verify --html --collateral "$WORK/c" >"$WORK/page.html"
    cat >>"$WORK/page.html" <<'HTML'
<script>
let under = 0;
for (const mark of document.querySelectorAll(".mark")) {
    const right = mark.getBoundingClientRect().right, range = document.createRange();
    range.setStartAfter(mark);
    range.setEndAfter(mark.parentNode.lastChild);
    for (const r of range.getClientRects()) under += r.left < right - 1;
}
document.documentElement.dataset.seen = [innerWidth, document.documentElement.scrollWidth <= innerWidth, under];
</script>
HTML
    for width in 500 1200; do
        timeout -k 5 60 chromium --headless --no-sandbox --disable-gpu --user-data-dir="$WORK/chromium" --window-size=$width,1000 --dump-dom \
            "file://$WORK/page.html" >"$WORK/dom" 2>/dev/null
        grep -o 'data-seen="[^"]*"' "$WORK/dom"
        grep -q "data-seen=\"$width,true,0\"" "$WORK/dom"
    done
}

@test "verify-quote: a code for each kind of refusal, the last line says why" {
    run sgx-tools verify-quote --collateral "$WORK/c" "$WORK/c/quote"
    [ "$status" -eq 4 ]
    [[ "${lines[-1]}" == "refused, simulated: "* ]]
    run verify
    [ "$status" -eq 3 ]
    [[ "${lines[-1]}" == *"is missing"* ]]
    run verify --collateral "$WORK/c" --time 2040-01-01
    [ "$status" -eq 3 ]
    [[ "${lines[-1]}" == *"expired at"* ]]
    run verify --collateral "$WORK/c" --nonce 00ff
    [ "$status" -eq 6 ]
    [[ "${lines[-1]}" == *"freshness: report data is 6e6f6e6365"* ]]
    echo '{"isv_svn_min": 1}' >"$WORK/policy"
    run verify --collateral "$WORK/c" --policy "$WORK/policy"
    [ "$status" -eq 6 ]
    head -c 2000 "$WORK/c/quote" >"$WORK/short"
    run sgx-tools verify-quote --collateral "$WORK/c" "$WORK/short"
    [ "$status" -eq 2 ]
    head -c 2000 /dev/urandom >"$WORK/noise"
    run sgx-tools verify-quote --collateral "$WORK/c" "$WORK/noise"
    [ "$status" -eq 2 ]
}

@test "verify-quote: bad arguments are one line and exit code 1" {
    echo '{"mrenclav": "00"}' >"$WORK/bad"
    for arguments in "--policy $WORK/bad" "--policy $WORK/none" "--time yesterday" "--nonce xyz" "--collateral $WORK/none" \
        "--simulation-root $WORK/c/quote" "--pccs $PCCS --collateral $WORK/c"; do
        # shellcheck disable=SC2086
        run verify $arguments
        [ "$status" -eq 1 ]
        [ "${#lines[@]}" -eq 1 ]
    done
}

@test "pccs: fetched once, then from the cache" {
    : >"$WORK/log"
    verify --pccs "$PCCS/good" --cache "$WORK/cache" | tail -1 | grep -q ^accepted
    [ "$(wc -l <"$WORK/log")" -eq 4 ]
    verify --pccs "$PCCS/good/sgx/certification/v4/" --cache "$WORK/cache" | tail -1 | grep -q ^accepted
    [ "$(wc -l <"$WORK/log")" -eq 4 ]
    # The cache is a directory of collateral like any other.
    verify --collateral "$WORK/cache/sgx-454d554c0000-processor" | tail -1 | grep -q ^accepted
    # Damaged or old, it is fetched again.
    echo x >"$WORK/cache/sgx-454d554c0000-processor/tcb_info.json"
    verify --pccs "$PCCS/good" --cache "$WORK/cache" | tail -1 | grep -q ^accepted
    [ "$(wc -l <"$WORK/log")" -eq 8 ]
    run verify --pccs "$PCCS/good" --cache "$WORK/cache" --time 2040-01-01
    [ "$status" -eq 3 ]
    [ "$(wc -l <"$WORK/log")" -eq 12 ]
}

@test "pccs: a certificate of its own has to be vouched for" {
    run verify --pccs "https://127.0.0.1:$(cat "$WORK/tls-port")/good"
    [ "$status" -eq 1 ]
    [[ "$output" == *"--pccs-ca"* ]]
    verify --pccs "https://127.0.0.1:$(cat "$WORK/tls-port")/good" --pccs-ca "$WORK/tls.crt" | tail -1 | grep -q ^accepted
}

@test "pccs: slow, endless, redirecting, lying, absent: one line that says so, nothing kept" {
    local mode expected
    while read -r mode expected; do
        run timeout 60 sgx-tools verify-quote --allow-simulation --simulation-root "$WORK/c/simulation_root.pem" --pccs "$PCCS/$mode" \
            --pccs-timeout 5 --cache "$WORK/bad-cache" "$WORK/c/quote"
        echo "$mode: $output"
        [ "$status" -eq 1 ]
        [ "${#lines[@]}" -eq 1 ]
        [[ "$output" == *"$expected"* ]]
        [ -z "$(find "$WORK/bad-cache" -type f)" ]
    done <<'END'
slow too slow
endless too long
headers too long
redirect redirects to http://127.0.0.1:1/elsewhere, which is not followed
unknown does not know this platform
busy too many requests
broken the service has a problem
empty the answer is empty
bare no header TCB-Info-Issuer-Chain
lies tcb_info.json: the signature is wrong
html tcb_info.json
END
    run verify --pccs http://127.0.0.1:1
    [ "$status" -eq 1 ]
    [[ "$output" == *"does the service run?"* ]]
    run verify --pccs file:///etc/passwd
    [ "$status" -eq 1 ]
    [ "${#lines[@]}" -eq 1 ]
}

@test "a prover in an enclave reads no openssl.cnf, which may be the operator's" {
    printf '%s\n' 'config_diagnostics = 1' 'openssl_conf = all' '[all]' 'providers = none' '[none]' 'null = chosen' '[chosen]' 'activate = 1' \
        >"$WORK/openssl.cnf"
    for program in "$RUNE_STAGE/usr/bin/ratls-server" "$(find "$RUNE_STAGE/usr" -name ratls-proxy) 1:2"; do
        # shellcheck disable=SC2086
        OPENSSL_CONF=$WORK/openssl.cnf run $program
        [ "$status" -eq 1 ]
        [[ "$output" == *"there is no /dev/attestation: this is not an enclave" ]]
    done
}
