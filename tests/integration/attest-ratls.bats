#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# RA-TLS between a program in an enclave container and clients that judge it, and clients that know nothing of it.

bats_require_minimum_version 1.5.0
load enclave

setup() {
    busybox_setup sh cat sleep nc tr httpd
    mkdir -p "$bundle/rootfs/collateral"
    cp "$RUNE_STAGE/usr/bin/ratls-server" "$bundle/rootfs/bin"
    sgx-tools simulation-collateral "$work/sim"
    annotate type simulatedSgx
    configure 'c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "network"]'
    port=$(free_port)
}
teardown() { enclave_teardown; }

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

serve() { # ARGS... of ratls-server
    arguments ratls-server --listen "$port" "$@"
    rune run --detach --bundle "$bundle" "$id" >"$work/log" 2>&1 </dev/null
    within 60 listens || { cat "$work/log"; return 1; }
}

listens() { : <"/dev/tcp/127.0.0.1/$port"; }

client() { # ARGS... of ratls-client; its input is "hello"
    echo hello | timeout -k 5 60 "$RUNE_STAGE/usr/bin/ratls-client" "$@" "127.0.0.1:$port" 2>"$work/checks"
}

@test "a client accepts the enclave that it expects, and sends nothing to another" {
    serve tr a-z A-Z
    run client --allow-simulation --collateral "$work/sim"
    cat "$work/checks"
    [ "$status" -eq 0 ]
    [ "$output" = HELLO ]
    grep -q "report_data" "$work/checks"
    measured=$(built mrenclave)
    jq -n --arg m "$measured" '{mrenclave: $m}' >"$work/policy"
    run client --allow-simulation --collateral "$work/sim" --policy "$work/policy"
    [ "$output" = HELLO ]

    run client --collateral "$work/sim"
    [ "$status" -eq 1 ]
    [ -z "$output" ]
    grep -q "software SGX" "$work/checks"
    jq -n --arg m "${measured//[0-4]/5}" '{mrenclave: $m}' >"$work/policy"
    run client --allow-simulation --collateral "$work/sim" --policy "$work/policy"
    [ "$status" -eq 1 ]
    [ -z "$output" ]
    grep -q "mrenclave: it is $measured" "$work/checks"
    # Without collateral there is nothing to judge by.
    run client --allow-simulation --simulation-root "$work/sim/simulation_root.pem"
    [ "$status" -eq 1 ]
    grep -q missing "$work/checks"
}

@test "a certificate that carries its collateral needs nothing else, and openssl and curl take it" {
    cp "$work"/sim/* "$bundle/rootfs/collateral"
    mkdir "$bundle/rootfs/www"
    echo page >"$bundle/rootfs/www/index.html"
    serve --embed /collateral --gramine httpd -i -h /www
    openssl s_client -connect "127.0.0.1:$port" -tls1_3 </dev/null >"$work/s_client" 2>&1
    grep -q "TLSv1.3" "$work/s_client"
    openssl x509 -noout -text -in "$work/s_client" >"$work/certificate"
    for oid in 2.23.133.5.4.9 2.23.133.5.4.2 0.6.9.42.840.113741.1337.6; do
        grep -qF "$oid" "$work/certificate"
    done
    if command -v curl >/dev/null; then
        [ "$(curl -sk --max-time 60 "https://127.0.0.1:$port/index.html")" = page ]
    fi
    run ! openssl s_client -connect "127.0.0.1:$port" -tls1_2 </dev/null
    run bash -c "printf 'GET /index.html HTTP/1.0\r\n\r\n' | timeout -k 5 60 '$RUNE_STAGE/usr/bin/ratls-client' --quiet --allow-simulation \
        --simulation-root '$work/sim/simulation_root.pem' 127.0.0.1:$port"
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" == *page* ]]
}

@test "an ordinary client talks to an enclave through ratls-client" {
    serve
    local plain
    plain=$(free_port)
    "$RUNE_STAGE/usr/bin/ratls-client" --quiet --allow-simulation --collateral "$work/sim" --listen "$plain" "127.0.0.1:$port" \
        2>"$work/forward" &
    background+=($!)
    within 20 bash -c ": </dev/tcp/127.0.0.1/$plain"
    # A megabyte there and back, as an echo gives it.
    head -c 1000000 /dev/urandom >"$work/data"
    python3 - "$plain" "$work/data" <<'PY'
import socket, sys, threading
data = open(sys.argv[2], "rb").read()
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60)
def send():
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
threading.Thread(target=send).start()
got = b""
while piece := s.recv(65536):
    got += piece
assert got == data, (len(got), len(data))
PY
}

@test "who is not in an enclave has no certificate to show" {
    run "$RUNE_STAGE/usr/bin/ratls-server" --listen "$port"
    echo "$output"
    [ "$status" -eq 1 ]
    [ "${#lines[@]}" -eq 1 ]
    [[ "$output" == *"not an enclave"* ]]
}

@test "enclave.ratls puts the project's measured proxy in front of an image that knows nothing of it" {
    rm "$bundle/rootfs/bin/ratls-server"
    mkdir "$bundle/rootfs/www"
    echo page >"$bundle/rootfs/www/index.html"
    local inside=$((port % 30000 + 20000))
    annotate ratls "$port:$inside"
    arguments httpd -f -p "127.0.0.1:$inside" -h /www
    rune run --detach --bundle "$bundle" "$id" >"$work/log" 2>&1 </dev/null || { cat "$work/log"; return 1; }
    within 60 listens || { cat "$work/log"; return 1; }
    measured=$(built mrenclave)
    jq -n --arg m "$measured" '{mrenclave: $m}' >"$work/policy"
    run bash -c "printf 'GET /index.html HTTP/1.0\r\n\r\n' | timeout -k 5 60 '$RUNE_STAGE/usr/bin/ratls-client' --quiet --allow-simulation \
        --collateral '$work/sim' --policy '$work/policy' 127.0.0.1:$port"
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" == *page* ]]
    openssl s_client -connect "127.0.0.1:$port" -tls1_3 </dev/null >"$work/s_client" 2>&1
    [ "$(curl -sk --max-time 60 "https://127.0.0.1:$port/index.html")" = page ]
    # The ports are part of what CONFIGID names.
    rune enclave quote "$id" >"$work/quote"
    cp -r "$bundle" "$work/other"
    (bundle=$work/other && annotate ratls "$port:$((inside + 1))")
    sgx-tools verify-quote --allow-simulation --collateral "$work/sim" --deployment "$bundle" "$work/quote"
    run sgx-tools verify-quote --allow-simulation --collateral "$work/sim" --deployment "$work/other" --deployed "$bundle" "$work/quote"
    echo "$output"
    [ "$status" -eq 6 ]
    [[ "$output" == *"+ RA-TLS ports \"$port:$inside\""* ]]
}

# with_libraries PROGRAM: into the image, with what it loads
with_libraries() {
    cp "$1" "$bundle/rootfs/bin"
    ldd "$1" | awk '$3 ~ "^/" {print $3} $1 ~ "^/" {print $1}' | while read -r library; do
        mkdir -p "$bundle/rootfs${library%/*}"
        cp -L "$library" "$bundle/rootfs$library"
    done
}

@test "enclave.ratls.clients lets in the clients that the deployment's policy describes, and nobody else" {
    mkdir "$bundle/rootfs/www"
    echo page >"$bundle/rootfs/www/index.html"
    cp "$work"/sim/* "$bundle/rootfs/collateral"
    with_libraries "$RUNE_STAGE/usr/bin/ratls-client"
    local inside=$((port % 30000 + 20000)) mutual
    # The client's deployment is known before anything runs, and the server's policy names it.
    cp -r "$bundle" "$work/client"
    (
        bundle=$work/client
        annotate network.loopback host
        arguments ratls-client --quiet --prove --embed /collateral --allow-simulation --collateral /collateral "127.0.0.1:$port"
    )
    mutual=$(rune-image measure --json "$work/client" | jq -c '.[0] | {mrenclave, configid: (.configid | . + "0" * (128 - length)), allow_simulation: true}')
    annotate ratls "$port:$inside"
    annotate ratls.clients "$mutual"
    arguments httpd -f -p "127.0.0.1:$inside" -h /www
    rune run --detach --bundle "$bundle" "$id" >"$work/log" 2>&1 </dev/null || { cat "$work/log"; return 1; }
    within 60 listens || { cat "$work/log"; return 1; }
    printf 'GET /index.html HTTP/1.0\r\n\r\n' >"$work/request"
    run --separate-stderr rune run --bundle "$work/client" "$id-client" <"$work/request"
    echo "$output $stderr"
    [ "$status" -eq 0 ]
    [[ "$output" == *page* ]]
    # Another deployment of the same image, and who has no evidence.
    (bundle=$work/client && configure 'c["process"]["env"].append("OTHER=1")')
    run --separate-stderr rune run --bundle "$work/client" "$id-other" <"$work/request"
    echo "$output $stderr"
    [ "$status" -ne 0 ]
    [ -z "$output" ]
    [[ "$stderr" == *"the peer refuses this side's evidence"* ]]
    grep -q 'connection of [0-9.:]*: handshake: the peer is refused: .*configid' "$work/log"
    run client --allow-simulation --collateral "$work/sim"
    [ "$status" -eq 1 ]
    grep -q "the peer demands evidence of this side (--prove)" "$work/checks"
    run ! curl -sk --max-time 60 "https://127.0.0.1:$port/index.html"
    grep -q 'connection of [0-9.:]*: handshake: peer did not return a certificate' "$work/log"
    # The policy is part of what CONFIGID names.
    rune enclave quote "$id" >"$work/quote"
    cp -r "$bundle" "$work/other"
    (bundle=$work/other && annotate ratls.clients '{"allow_simulation": true}')
    run sgx-tools verify-quote --allow-simulation --collateral "$work/sim" --deployment "$work/other" --deployed "$bundle" "$work/quote"
    echo "$output"
    [ "$status" -eq 6 ]
    [[ "$output" == *"+ RA-TLS clients \"{\x22mrenclave"* ]]
}

@test "behind ratls-proxy a port where nothing listens is a reset, and a line of the log" {
    annotate ratls "$port:9"
    arguments sleep 120
    rune run --detach --bundle "$bundle" "$id" >"$work/log" 2>&1 </dev/null || { cat "$work/log"; return 1; }
    within 60 listens || { cat "$work/log"; return 1; }
    run client --quiet --allow-simulation --collateral "$work/sim"
    cat "$work/checks"
    [ "$status" -eq 1 ]
    grep -q 'ended it without close_notify.*does not run' "$work/checks"
    grep -q 'reach 127.0.0.1:9, which is behind: connection refused' "$work/log"
    run curl -sSk --max-time 60 "https://127.0.0.1:$port/"
    echo "$output"
    [ "$status" -ne 0 ]
    [[ "$output" != *"Empty reply"* && "$output" != *"unexpected eof"* ]]
}

@test "a policy of enclave.ratls.clients that is none is named, and opens nothing" {
    arguments sleep 60
    annotate ratls.clients '{}'
    refused "enclave.ratls.clients without enclave.ratls" rune run --bundle "$bundle" "$id"
    annotate ratls "$port:9"
    annotate ratls.clients '['
    refused "enclave.ratls.clients" rune run --bundle "$bundle" "$id"
    annotate ratls.clients '[]'
    refused "expected a policy, a JSON object" rune run --bundle "$bundle" "$id"
    # Members that libattest does not know, or whose value it does not take; also off-line.
    for policy in '{"mrenclav": "00"}' '{"mrenclave": "0g"}' '{"isv_svn_min": -1}' '{"tcb_status": ["Revoked"]}' '{"mrenclave": "00", "mrenclave": "00"}'; do
        annotate ratls.clients "$policy"
        refused "enclave.ratls.clients: " rune run --bundle "$bundle" "$id"
        refused "enclave.ratls.clients: " rune-image measure "$bundle"
    done
    run ! listens
}

@test "ports of enclave.ratls that are none are named" {
    arguments sleep 60
    for ports in 8443 8443: 0:1 1:65536 "1:2," "1:2 3:4" a:b; do
        annotate ratls "$ports"
        refused "expected ports outside and inside" rune run --bundle "$bundle" "$id"
    done
}
