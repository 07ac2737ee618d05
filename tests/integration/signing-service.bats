#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Signing by a service: rune-signd, and those that are slow, lie or are away.

bats_require_minimum_version 1.5.0
load enclave

certificate() { # NAME SUBJECT [OPTIONS of x509]: signed by the test's CA
    local name=$1 subject=$2
    shift 2
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/$name.key" -subj "$subject" -out "$work/$name.csr" 2>/dev/null
    openssl x509 -req -in "$work/$name.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" -CAcreateserial -days 2 -out "$work/$name.pem" "$@" 2>/dev/null
}

authority() { # NAME
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout "$work/$1.key" -out "$work/$1.pem" -subj "/CN=$1" 2>/dev/null
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

configuration() { # further lines
    cat >"$work/signd.toml" <<TOML
listen = "127.0.0.1:$port"
certificate = "server.pem"
certificate_key = "server.key"
client_ca = "ca.pem"
signing_key = "signing.pem"
allow = "allow.jsonl"
audit = "audit.jsonl"
isv_prod_id = 7
isv_svn = 3
timeout = 5
$*
TOML
}

start_signd() {
    rune-signd --config "$work/signd.toml" 2>>"$work/signd.log" 3>&- &
    echo $! >"$work/signd.pid"
    within 20 bash -c "exec 9<>/dev/tcp/127.0.0.1/$port"
}

# renew_signd [LINE of the configuration]: at another port
renew_signd() {
    stop_signd
    port=$(free_port)
    echo "$port" >"$work/port"
    configuration "$@"
    start_signd
}

stop_signd() {
    [ ! -e "$work/signd.pid" ] || kill "$(cat "$work/signd.pid")"
    rm -f "$work/signd.pid"
}

setup_file() {
    export work=$BATS_FILE_TMPDIR
    printf 'subjectAltName=IP:127.0.0.1\n' >"$work/san"
    authority ca
    authority stranger
    certificate server /CN=signd -extfile "$work/san"
    certificate client "/O=Test/CN=node-1"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/foreign.key" -subj /CN=foreign -out "$work/foreign.csr" 2>/dev/null
    openssl x509 -req -in "$work/foreign.csr" -CA "$work/stranger.pem" -CAkey "$work/stranger.key" -CAcreateserial -days 2 \
        -out "$work/foreign.pem" 2>/dev/null
    cat "$work/server.pem" "$work/server.key" >"$work/server-both.pem"
    sgx-tools keygen "$work/signing.pem"
    for name in app other; do
        mkdir -p "$work/$name/bin"
        echo "$name" >"$work/$name/bin/file"
        rune-image convert --quiet --client-signing --cache "$work/unsigned" "$work/$name" >"$work/$name.unsigned"
    done
    # shellcheck disable=SC2046 # one directory
    rune-image allow --name app:1 "$(dirname $(sed -n 's/^enclave *//p' "$work/app.unsigned"))" >"$work/allow.jsonl"
    cp "$work/allow.jsonl" "$work/allow.good"
    renew_signd
    MRSIGNER=$(rune-signd --config "$work/signd.toml" --check | sed 's/^MRSIGNER //')
    export MRSIGNER
}

teardown_file() {
    stop_signd
    [ ! -e "$work/bad.pid" ] || kill "$(cat "$work/bad.pid")"
}

setup() {
    cache=$BATS_TEST_TMPDIR/cache
    port=$(cat "$work/port")
    cp "$work/allow.good" "$work/allow.jsonl"
}

# convert IMAGE OPTIONS...
convert() {
    local image=$1
    shift
    run timeout 60 rune-image convert --quiet --cache "$cache" --signing-server "https://127.0.0.1:$port" --signing-ca "$work/ca.pem" \
        --signing-certificate "$work/client.pem" --signing-certificate-key "$work/client.key" "$@" "$work/$image"
}

# One line on stderr that has all of these; nothing in the cache but the image.
refused() { # TEXT...
    [ "$status" -eq 1 ]
    [ "${#lines[@]}" -eq 1 ]
    for text in "$@"; do
        [[ $output == *"$text"* ]] || { echo "\"$text\" is not in: $output"; return 1; }
    done
    [ -z "$(find "$cache" -name sigstruct)" ]
}

# The last line of the audit log has these members.
audited() { # jq's condition
    tail -n 1 "$work/audit.jsonl" | jq -e "$1" >/dev/null || { tail -n 1 "$work/audit.jsonl"; return 1; }
}

raw() { # curl's options: a request by hand
    curl --silent --show-error --cacert "$work/ca.pem" --cert "$work/client.pem" --key "$work/client.key" "$@"
}

@test "an image on the list is signed, with the service's product and version, and the log says for whom" {
    convert app --signer "$MRSIGNER"
    [ "$status" -eq 0 ]
    grep -qx "MRSIGNER   $MRSIGNER" <<<"$output"
    mrenclave=$(sed -n 's/^MRENCLAVE *//p' <<<"$output")
    grep -q "$mrenclave" "$work/app.unsigned"
    run sgx-tools sigstruct "$(find "$cache" -name sigstruct)"
    [ "$status" -eq 0 ]
    grep -qE '^isv-prod-id +7$' <<<"$output"
    grep -qE '^isv-svn +3$' <<<"$output"
    audited ".answer == \"signed\" and .status == 200 and .image == \"app:1\" and .client == \"CN=node-1,O=Test\" and .mrenclave == \"$mrenclave\""
    audited ".rootHash == $(jq .rootHash "$work/allow.good") and .address == \"127.0.0.1\" and (.certificate | length) == 64 and .reason == null"
    [ "$(jq -s 'map(select(.answer == "signed")) | length' "$work/audit.jsonl")" -ge 1 ]
}

@test "what is in the cache is not asked for again" {
    convert app
    [ "$status" -eq 0 ]
    count=$(wc -l <"$work/audit.jsonl")
    convert app
    [ "$status" -eq 0 ]
    [ "$(wc -l <"$work/audit.jsonl")" -eq "$count" ]
}

@test "enclaves for SGX1, without KSS and with AEX-Notify are signed as well" {
    for options in "--no-sgx2 --memory 128M --threads 8" "--no-kss $(printf '%064d' 7)" --aexnotify "--enclave-size 1T --memory 2G"; do
        # shellcheck disable=SC2086
        convert app $options
        echo "$options: $output"
        [ "$status" -eq 0 ]
    done
}

@test "an image that is not on the list is refused, and the log has it" {
    convert other
    refused "no image with root hash" "is on the allow-list" "(HTTP status 403)"
    audited '.answer == "refused" and .status == 403 and .image == null and .mrenclave == null'
}

@test "the list is read anew: an image that is put on it is signed, one that is taken off is not" {
    : >"$work/allow.jsonl"
    convert app
    refused "is on the allow-list"
    cp "$work/allow.good" "$work/allow.jsonl"
    convert app
    [ "$status" -eq 0 ]
}

@test "an entry is for one site table, one size and one bound" {
    zeros=$(printf '%064d' 0)
    jq -c ".sitesHash = \"$zeros\"" "$work/allow.good" >"$work/allow.jsonl"
    convert app
    refused "but its site table (sitesHash) is another"
    jq -c '.dataSize += 4096' "$work/allow.good" >"$work/allow.jsonl"
    convert app
    refused "but its size (dataSize) is another"
    jq -c ".bound = \"$zeros\"" "$work/allow.good" >"$work/allow.jsonl"
    convert app
    refused "it is to have a bound, and has none"
    cp "$work/allow.good" "$work/allow.jsonl"
    echo '{"version": 1, "args": [["/bin/file"]], "user": {"uid": 0, "gid": 0}}' >"$BATS_TEST_TMPDIR/bound.json"
    convert app --bound "$BATS_TEST_TMPDIR/bound.json"
    refused "it is to have no bound, and has one"
}

@test "a bound that the list names is signed" {
    echo '{"version": 1, "args": [["/bin/file"]], "user": {"uid": 0, "gid": 0}}' >"$BATS_TEST_TMPDIR/bound.json"
    rune-image convert --quiet --client-signing --bound "$BATS_TEST_TMPDIR/bound.json" --cache "$BATS_TEST_TMPDIR/unsigned" "$work/app" >"$BATS_TEST_TMPDIR/out"
    rune-image allow "$(dirname "$(sed -n 's/^enclave *//p' "$BATS_TEST_TMPDIR/out")")" >>"$work/allow.jsonl"
    convert app --bound "$BATS_TEST_TMPDIR/bound.json"
    [ "$status" -eq 0 ]
}

@test "an enclave that may be debugged is signed only if its entry says so" {
    convert app --debug-enclave
    refused "it may not have the DEBUG attribute"
    jq -c '.insecureDebug = true' "$work/allow.good" >"$work/allow.jsonl"
    convert app --debug-enclave
    [ "$status" -eq 0 ]
    grep -q yes <(jq -r 'if .debug then "yes" else "no" end' "$(find "$cache" -name manifest.json)")
}

@test "the service decides on product and version; who asks for others is refused" {
    convert app --isv-svn 4
    refused "its security version is another"
    convert app --isv-prod-id 8
    refused "its product id is another"
    jq -c '.isvSvn = 4' "$work/allow.good" >"$work/allow.jsonl"
    convert app --isv-svn 4
    [ "$status" -eq 0 ]
}

@test "another LibOS than the service's is refused, whatever the client says of its measurement" {
    mkdir "$BATS_TEST_TMPDIR/runtimes"
    cp "$(dirname "$(find "$RUNE_STAGE/usr" -name libos.elf)")"/{libos.elf,ratls-proxy} "$BATS_TEST_TMPDIR/runtimes"
    printf 'x' >>"$BATS_TEST_TMPDIR/runtimes/libos.elf"
    convert app --libos "$BATS_TEST_TMPDIR/runtimes/libos.elf"
    refused "the enclave has LibOS" "install the same version of rune on both sides" "(HTTP status 409)"
    printf 'x' >>"$BATS_TEST_TMPDIR/runtimes/ratls-proxy"
    cp "$(find "$RUNE_STAGE/usr" -name libos.elf)" "$BATS_TEST_TMPDIR/runtimes/libos.elf"
    convert app --libos "$BATS_TEST_TMPDIR/runtimes/libos.elf"
    refused "the enclave has ratls-proxy"
}

@test "a client without a certificate, or with a stranger's, gets no answer, and is told so" {
    run timeout 60 rune-image convert --quiet --cache "$cache" --signing-server "https://127.0.0.1:$port" --signing-ca "$work/ca.pem" "$work/app"
    refused "signing service https://127.0.0.1:$port" "(does the service take this client's certificate?)"
    count=$(wc -l <"$work/audit.jsonl")
    convert app --signing-certificate "$work/foreign.pem" --signing-certificate-key "$work/foreign.key"
    refused "signing service https://127.0.0.1:$port"
    [ "$(wc -l <"$work/audit.jsonl")" -eq "$count" ]
}

@test "a service that nobody vouches for is refused" {
    convert app --signing-ca "$work/stranger.pem"
    refused "signing.ca of config.toml"
}

@test "a signer that is not the expected one is refused" {
    convert app --signer "$(printf '%064d' 1)"
    refused "signed with another key than MRSIGNER 0000"
}

@test "bad requests are refused in one line each, and the service lives on" {
    request=$BATS_TEST_TMPDIR/request
    hash=$(printf '%064d' 0)
    jq -n --arg h "$hash" '{version: 1, rootHash: $h, salt: $h, sitesHash: $h, libosHash: $h, proxyHash: $h, mrenclave: $h, dataSize: 4096, sitesSize: 0,
        enclaveSize: 0, memory: 0, threads: 0, insecureDebug: false, sgx1: false, aexnotify: false}' >"$request"
    post() { raw --max-time 20 -o "$BATS_TEST_TMPDIR/body" -w '%{http_code}' --data-binary "$1" "https://127.0.0.1:$port/v1/sign"; }
    [ "$(post "@$request")" = 403 ]
    for change in '.version = 2' '.more = 1' '.rootHash = "12"' '.rootHash = 5' '.dataSize = -1' '.dataSize = 1e300' '.dataSize = 4097' '.dataSize = 0' \
        '.memory = "1"' '.sgx1 = 1' '.threads = 4294967296' '.bound = "zz"' '.bound = ""' '.deploymentHash = "00"' '.isvSvn = 65536' 'del(.salt)' '[.]' '"text"' 'null'; do
        jq "$change" "$request" >"$request.bad"
        echo "$change"
        [ "$(post "@$request.bad")" = 400 ]
        [ "$(wc -l <"$BATS_TEST_TMPDIR/body")" -eq 0 ]
        audited '.status == 400 and .answer == "refused" and (.reason | length) > 5'
    done
    for text in '' '{' '{"version": 1, "version": 1}' '[[[[' "$(printf '[%.0s' {1..5000})"; do
        [ "$(post "$text")" = 400 ]
    done
    head -c 4000000 /dev/zero >"$request.big"
    [ "$(post "@$request.big")" = 413 ] || [ "$(post "@$request.big")" = 000 ]
    [ "$(raw -o /dev/null -w '%{http_code}' "https://127.0.0.1:$port/v1/sign")" = 405 ]
    [ "$(raw -o /dev/null -w '%{http_code}' "https://127.0.0.1:$port/elsewhere" -d x)" = 404 ]
    convert app
    [ "$status" -eq 0 ]
}

@test "a client that says nothing, or speaks no TLS, holds nobody up, and is let go" {
    exec 8<>"/dev/tcp/127.0.0.1/$port" 9<>"/dev/tcp/127.0.0.1/$port"
    # In a shell of its own: the service may be gone before the second line, which is a SIGPIPE.
    (printf 'GET / HTTP/1.0\r\n\r\n' >&9) || true
    convert app
    [ "$status" -eq 0 ]
    run timeout 15 cat <&8
    [ "$status" -eq 0 ]
    exec 8>&- 9>&-
}

# shaken LINES REASON: of the service's log behind its first LINES lines there is a failed handshake for that reason
shaken() {
    tail -n "+$(($1 + 1))" "$work/signd.log" | grep -qE "TLS handshake with 127.0.0.1:[0-9]+ failed: $2"
}

@test "the service's log says whose TLS handshake failed, and why" {
    renew_signd
    before=$(wc -l <"$work/signd.log")
    curl -s --cacert "$work/ca.pem" "https://127.0.0.1:$port/" || true
    within 20 shaken "$before" "peer did not return a certificate"
    convert app --signing-certificate "$work/foreign.pem" --signing-certificate-key "$work/foreign.key"
    within 20 shaken "$before" "unable to get local issuer certificate"
    convert app --signing-ca "$work/stranger.pem"
    within 20 shaken "$before" "tlsv1 alert unknown ca"
    (printf 'GET / HTTP/1.0\r\n\r\n' >"/dev/tcp/127.0.0.1/$port") || true
    within 20 shaken "$before" "http request"
    : <"/dev/tcp/127.0.0.1/$port"
    within 20 shaken "$before" "the client went away"
    exec 8<>"/dev/tcp/127.0.0.1/$port"
    within 20 shaken "$before" "the client was too slow"
    exec 8>&-
    # A good one is not in the log.
    renew_signd
    before=$(wc -l <"$work/signd.log")
    convert app
    [ "$status" -eq 0 ]
    run ! shaken "$((before + 1))" ""
}

@test "who cannot shake hands a hundred times does not fill the service's log" {
    renew_signd
    before=$(wc -l <"$work/signd.log")
    for _ in {1..100}; do : <"/dev/tcp/127.0.0.1/$port"; done
    within 30 bash -c ": <'/dev/tcp/127.0.0.1/$port'; sleep 1; tail -n +$((before + 1)) '$work/signd.log' | grep -q 'lines before it that were left out'"
    [ "$(wc -l <"$work/signd.log")" -lt "$((before + 60))" ]
}

@test "more connections than the service takes wait, and are served" {
    fds=()
    for _ in {1..70}; do
        exec {fd}<>"/dev/tcp/127.0.0.1/$port"
        fds+=("$fd")
    done
    convert app --signing-timeout 50
    for fd in "${fds[@]}"; do exec {fd}>&-; done
    [ "$status" -eq 0 ]
}

@test "without a list or a log that can be written nothing is signed, and the service's log says why" {
    echo '{"rootHash": 1}' >>"$work/allow.jsonl"
    convert app
    refused "the signing service has a problem of its own: see its log"
    grep -q 'allow.jsonl:2: rootHash is not 64 hexadecimal digits' "$work/signd.log"
    cp "$work/allow.good" "$work/allow.jsonl"
    mv "$work/audit.jsonl" "$work/audit.kept"
    mkdir "$work/audit.jsonl"
    convert app
    rmdir "$work/audit.jsonl"
    mv "$work/audit.kept" "$work/audit.jsonl"
    refused "cannot write its audit log"
}

@test "a revoked certificate is refused" {
    mkdir "$BATS_TEST_TMPDIR/ca"
    : >"$BATS_TEST_TMPDIR/ca/index"
    printf '[ca]\ndefault_ca = d\n[d]\ndatabase = %s/ca/index\ndefault_md = sha256\ndefault_crl_days = 2\n' "$BATS_TEST_TMPDIR" >"$BATS_TEST_TMPDIR/ca/conf"
    ca() { openssl ca -config "$BATS_TEST_TMPDIR/ca/conf" -cert "$work/ca.pem" -keyfile "$work/ca.key" "$@" 2>/dev/null; }
    ca -gencrl -out "$work/crl.pem"
    renew_signd 'client_crl = "crl.pem"'
    convert app
    [ "$status" -eq 0 ]
    ca -revoke "$work/client.pem"
    ca -gencrl -out "$work/crl.pem"
    renew_signd 'client_crl = "crl.pem"'
    rm -rf "$cache"
    convert app
    renew_signd
    refused "signing service"
}

@test "a configuration that is wrong is told in one line" {
    while IFS='|' read -r change text; do
        sed "$change" "$work/signd.toml" >"$work/wrong.toml"
        echo "$change"
        run rune-signd --config "$work/wrong.toml" --check
        [ "$status" -eq 1 ]
        [ "${#lines[@]}" -eq 1 ]
        [[ $output == *"$text"* ]]
    done <<'CASES'
/^signing_key/d|signing_key is missing
s/^timeout.*/timeout = 0/|timeout is an integer from 1 to 3600
s/^timeout.*/sometimes = 1/|wrong.toml:10: the key sometimes is not known
s/^isv_svn.*/isv_svn = "3"/|isv_svn is an integer
s/^signing_key.*/signing_key = "none.pem"/|none.pem
s/^signing_key.*/signing_key = "server.key"/|server.key
s/^allow.*/allow = "none"/|none is not there
s/^audit.*/audit = "none\/none"/|audit log
CASES
    run rune-signd --config "$work/none.toml"
    [[ $output == *"none.toml is not there"* ]]
}

@test "the key may be in a token" {
    module=/usr/lib/softhsm/libsofthsm2.so
    [ -e "$module" ] || skip "softhsm2 is not installed"
    ls /usr/lib/*/engines-3/pkcs11.so >/dev/null 2>&1 || skip "libengine-pkcs11-openssl is not installed"
    export SOFTHSM2_CONF=$BATS_TEST_TMPDIR/softhsm2.conf
    mkdir "$BATS_TEST_TMPDIR/tokens"
    printf 'directories.tokendir = %s\nlog.level = ERROR\n' "$BATS_TEST_TMPDIR/tokens" >"$SOFTHSM2_CONF"
    softhsm2-util --init-token --free --label rune --pin 1234 --so-pin 5678
    openssl pkcs8 -topk8 -nocrypt -in "$work/signing.pem" -out "$BATS_TEST_TMPDIR/key.p8"
    softhsm2-util --import "$BATS_TEST_TMPDIR/key.p8" --token rune --label signer --id a1b2 --pin 1234
    sed "s#^signing_key.*#signing_key = \"pkcs11:token=rune;object=signer?pin-value=1234\&module-path=$module\"#" "$work/signd.toml" >"$work/token.toml"
    sed -i "s/^listen.*/listen = \"127.0.0.1:$(free_port)\"/" "$work/token.toml"
    run rune-signd --config "$work/token.toml" --check
    [ "$output" = "MRSIGNER $MRSIGNER" ]
    port=$(sed -n 's/^listen.*:\([0-9]*\)"/\1/p' "$work/token.toml")
    rune-signd --config "$work/token.toml" 2>>"$work/signd.log" 3>&- &
    pid=$!
    within 20 bash -c "exec 9<>/dev/tcp/127.0.0.1/$port"
    convert app --signer "$MRSIGNER"
    kill $pid
    [ "$status" -eq 0 ]
}

# ---- from rune ----

@test "rune has an enclave signed by the service; its key is the signer's alone, so the program may have it" {
    box=$(command -v busybox) && ldd "$box" 2>&1 | grep -q 'not a dynamic' || skip "no static busybox (busybox-static)"
    # shellcheck disable=SC2034 # enclave.bash uses it
    bundle=$BATS_TEST_TMPDIR/bundle state=$BATS_TEST_TMPDIR/state id=sign-$$-$BATS_TEST_NUMBER
    mkdir -p "$bundle/rootfs"/{bin,proc,dev,sys,tmp,etc}
    cp "$box" "$bundle/rootfs/bin/busybox"
    (cd "$bundle" && "$RUNE" spec)
    configure 'c["process"]["terminal"] = False'
    arguments /bin/busybox wc -c /dev/attestation/keys/_sgx_mrsigner
    export RUNE_CACHE_DIR=$cache RUNE_SIGNING_SERVER=https://127.0.0.1:$port RUNE_SIGNING_CA=$work/ca.pem
    export RUNE_SIGNING_CERTIFICATE=$work/client.pem RUNE_SIGNING_CERTIFICATE_KEY=$work/client.key RUNE_SIGNING_SIGNER=$MRSIGNER
    after_a_tick
    run rune --enclave run --bundle "$bundle" "$id" </dev/null
    [ "$status" -eq 1 ]
    [[ $output == *"signing service https://127.0.0.1:$port/v1/sign: no image with root hash"*"is on the allow-list (HTTP status 403)"* ]]
    rune-image convert --quiet --client-signing --cache "$cache" "$bundle/rootfs" >"$BATS_TEST_TMPDIR/out"
    rune-image allow "$(dirname "$(sed -n 's/^enclave *\([^ ]*\).*/\1/p' "$BATS_TEST_TMPDIR/out")")" >>"$work/allow.jsonl"
    run rune --enclave run --bundle "$bundle" "$id" </dev/null
    echo "$output"
    [ "$status" -eq 0 ]
    [[ $output == *"16 /dev/attestation/keys/_sgx_mrsigner"* ]]
    RUNE_SIGNING_KEY=$work/signing.pem run rune --enclave run --bundle "$bundle" "$id" </dev/null
    [ "$status" -eq 1 ]
    [[ $output == *"both a signing key and a signing service are configured"* ]]
}

# version DIRECTORY SVN: a bundle of its own image, that the service signs with this version
version() {
    bundle=$1
    mkdir -p "$bundle/rootfs"/{bin,proc,dev,sys,tmp,etc}
    cp "$box" "$bundle/rootfs/bin/busybox"
    echo "$2" >"$bundle/rootfs/etc/version"
    (cd "$bundle" && "$RUNE" spec)
    configure 'c["process"]["terminal"] = False'
    after_a_tick
    rune-image convert --quiet --client-signing --cache "$cache" "$bundle/rootfs" >"$BATS_TEST_TMPDIR/out"
    rune-image allow "$(dirname "$(sed -n 's/^enclave *\([^ ]*\).*/\1/p' "$BATS_TEST_TMPDIR/out")")" | jq -c ".isvProdId = ${3:-7} | .isvSvn = $2" >>"$work/allow.jsonl"
}

# key DIRECTORY NAME [ARGUMENT of the deployment]: what the file says, or its error
key() {
    bundle=$1
    # shellcheck disable=SC2016 # expanded there
    arguments /bin/busybox sh -c 'busybox od -An -tx1 /dev/attestation/keys/$KEY 2>&1' "${3:-}"
    # The same deployment for all names: the host fills this one in.
    KEY=$2 configure 'c["annotations"] = {"enclave.host.env": "default KEY"}' 'c["process"]["env"] = ["PATH=/bin", "KEY=" + os.environ["KEY"]]'
    rune --enclave run --bundle "$bundle" "sign-$$-$RANDOM" </dev/null 2>"$BATS_TEST_TMPDIR/log" || true
}

@test "sealing: the next version opens what an earlier one sealed, an earlier one nothing of a later one" {
    box=$(command -v busybox) && ldd "$box" 2>&1 | grep -q 'not a dynamic' || skip "no static busybox (busybox-static)"
    # shellcheck disable=SC2034 # enclave.bash uses it
    state=$BATS_TEST_TMPDIR/state one=$BATS_TEST_TMPDIR/one two=$BATS_TEST_TMPDIR/two other=$BATS_TEST_TMPDIR/other
    export RUNE_CACHE_DIR=$cache RUNE_SIGNING_SERVER=https://127.0.0.1:$port RUNE_SIGNING_CA=$work/ca.pem
    export RUNE_SIGNING_CERTIFICATE=$work/client.pem RUNE_SIGNING_CERTIFICATE_KEY=$work/client.key
    version "$one" 1
    version "$two" 2
    version "$other" 2 8
    first=$(key "$one" _sgx_mrsigner)
    second=$(key "$two" _sgx_mrsigner)
    [[ $first =~ ^(\ [0-9a-f]{2}){16}$ && $second =~ ^(\ [0-9a-f]{2}){16}$ ]] || { echo "$first, $second"; cat "$BATS_TEST_TMPDIR/log"; return 1; }
    [ "$first" != "$second" ]
    # Forward
    [ "$(key "$two" _sgx_mrsigner.1)" = "$first" ]
    [ "$(key "$two" _sgx_mrsigner.2)" = "$second" ]
    [ "$(key "$one" _sgx_mrsigner.1)" = "$first" ]
    # Not back
    for name in _sgx_mrsigner.2 _sgx_mrsigner.65537 _sgx_mrsigner.-1 _sgx_mrsigner.01 _sgx_mrsigner. _sgx_mrsigner.1x _sgx_mrenclave.1; do
        [[ $(key "$one" "$name") == *"No such file or directory"* ]] || { echo "$name"; return 1; }
    done
    # Not for another deployment, another product, or the same MRSIGNER without CONFIGID
    [[ $(key "$two" _sgx_mrsigner.1 more) =~ ^(\ [0-9a-f]{2}){16}$ ]]
    [ "$(key "$two" _sgx_mrsigner.1 more)" != "$first" ]
    [ "$(key "$other" _sgx_mrsigner.1)" != "$first" ]
    [ "$(key "$two" _sgx_mrenclave)" != "$(key "$one" _sgx_mrenclave)" ]
    key "$two" _sgx_mrsigner >/dev/null
    bundle=$two
    configure 'c["annotations"]["enclave.kss"] = "false"'
    run rune --enclave run --bundle "$two" "sign-$$-$RANDOM" </dev/null
    [[ $output == *"_sgx_mrsigner: read error"* && $output == *"without KSS the key would be that of every deployment"* ]] || { echo "$output"; return 1; }
}

# ---- services that are not good ----

bad_service() {
    [ ! -e "$work/bad.pid" ] || return 0
    sgx-tools keygen "$work/another.pem"
    rune-image convert --quiet --cache "$work/signed" --key "$work/another.pem" "$work/other" >/dev/null
    cp "$(find "$work/signed" -name sigstruct)" "$work/other.sigstruct"
    python3 "$BATS_TEST_DIRNAME/signing-service.py" "$work/bad.port" "$work/server-both.pem" "$work/other.sigstruct" 3>&- &
    echo $! >"$work/bad.pid"
    within 20 test -e "$work/bad.port"
}

@test "a service that lies, is slow, redirects, sends too much or nothing: one line, in time, and nothing is kept" {
    bad_service
    while IFS='|' read -r mode text; do
        echo "$mode"
        start=$SECONDS
        convert app --signing-timeout 3 --signing-server "https://127.0.0.1:$(cat "$work/bad.port")/$mode"
        refused "https://127.0.0.1:$(cat "$work/bad.port")/$mode" "$text"
        [ $((SECONDS - start)) -lt 15 ]
    done <<'CASES'
slow|the service is too slow
silent|the service is too slow
endless|the answer is too long
headers|the answer is too long
redirect|it redirects to https://127.0.0.1:1/elsewhere, which is not followed
html|HTTP status 404: is this the URL of a signing service?
escapes|no?[31m? (HTTP status 403)
short|the answer has 100 bytes; a SIGSTRUCT has 1808
garbage|what the signing service
empty|the answer has 0 bytes
hangup|signing service
other|signed another enclave than it was asked
busy|the service is busy
CASES
}

@test "a service that is away, or no HTTPS: one line" {
    convert app --signing-server "https://127.0.0.1:1"
    refused "https://127.0.0.1:1/v1/sign" "does the service run?"
    convert app --signing-server "http://127.0.0.1:$port"
    refused "give a URL that begins with https://"
    convert app --signing-certificate "$work/none.pem"
    refused "none.pem"
    convert app --signing-timeout 0
    refused "give 1 to 3600 seconds"
    convert app --key "$work/signing.pem"
    refused "give one of --signing-server, --key and --client-signing"
}
