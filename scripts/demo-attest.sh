#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Attestation: one machine plays the tenant and the operator. The tenant computes the identity of a container, then accepts it over RA-TLS, and
# refuses what differs in a byte, an argument, a variable, a mount, and a simulated enclave.  demo-attest.sh STAGE
set -euo pipefail
cd "$(dirname "$0")/.."
stage=$(realpath "$1")
demo=${DEMO_DIR:-$(dirname "$stage")/demo}
export PATH=$stage/usr/bin:$PATH
[ "$(id -u)" -eq 0 ] || { echo "demo-attest: containers need root here: run as root" >&2; exit 1; }
if [ ! -e "$demo/image/.done" ]; then
    echo "building an ordinary Debian 12 image with python3 (mmdebstrap, about a minute)"
    tests/images/make-image.sh "$demo/image"
fi
work=$(mktemp -d)
export RUNE_CACHE_DIR=$demo/cache RUNE_SIGNING_KEY=$demo/signing-key.pem
mkdir -p "$RUNE_CACHE_DIR"
name=
stop() {
    [ -z "$name" ] || rune --root "$work/state" delete --force "$name" >/dev/null 2>&1 || true
    name=
}
trap 'stop; rm -rf --one-file-system "$work"' EXIT

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

bundle() { # DIR ROOTFS [PYTHON over c]: a web server of the image's own python3, on localhost, behind the proxy
    mkdir -p "$1"
    (
        cd "$1"
        rune spec
        ROOTFS=$2 PORT=$port python3 - "${3:-}" <<'PY'
import json, os, sys
c = json.load(open("config.json"))
c["root"]["path"] = os.environ["ROOTFS"]
c["process"]["terminal"] = False
c["process"]["cwd"] = "/etc"
c["process"]["args"] = ["python3", "-m", "http.server", "--bind", "127.0.0.1", "8080"]
c["linux"]["namespaces"] = [n for n in c["linux"]["namespaces"] if n["type"] != "network"]
c["annotations"] = {"enclave.type": "auto", "enclave.ratls": os.environ["PORT"] + ":8080"}
exec(sys.argv[1])
json.dump(c, open("config.json", "w"), indent=2)
PY
    )
}

serve() { # BUNDLE: the operator starts it
    stop
    name=demo-attest-$$-$RANDOM
    rune --root "$work/state" run --detach --bundle "$1" "$name" >"$work/log" 2>&1 </dev/null
    for _ in $(seq 300); do
        if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then return 0; fi
        sleep 0.1
    done
    cat "$work/log" >&2
    return 1
}

ask() { # OPTIONS of ratls-client...
    printf 'GET /hostname HTTP/1.0\r\n\r\n' | ratls-client --collateral "$work/collateral" --policy "$work/policy.json" "$@" "127.0.0.1:$port"
}

refused() { # WHAT WORDS OPTIONS...
    local what=$1 words=$2 line
    shift 2
    if ask --quiet "$@" >"$work/answer" 2>"$work/why"; then
        echo "   $what: ACCEPTED" >&2
        return 1
    fi
    line=$(grep -m1 'the peer is refused' "$work/why" | sed 's/^.*the peer is refused: //')
    [[ "$line" == *"$words"* && ! -s "$work/answer" ]] || { cat "$work/why" >&2; return 1; }
    echo "   $what: $line"
}

differs() { # BUNDLE LINE: what the operator says that it started, held against what was meant
    rune --root "$work/state" enclave quote "$name" >"$work/quote"
    if sgx-tools verify-quote --allow-simulation --collateral "$work/collateral" --deployment "$work/meant" --deployed "$1" "$work/quote" >"$work/words"; then
        return 1
    fi
    grep -E '^[-+] ' "$work/words" >"$work/lines" || true
    grep -qxF -e "$2" "$work/lines" || { cat "$work/words" >&2; return 1; }
    sed 's/^/        /' "$work/lines"
}

echo "1. the tenant computes, off-line, what the container will be (rune-image measure)"
bundle "$work/meant" "$demo/image/rootfs"
rune-image measure --json "$work/meant" >"$work/identity.json" 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
jq '.[0] | {mrenclave, configid: (.configid | . + "0" * (128 - length))}' "$work/identity.json" >"$work/policy.json"
sed 's/^/   /' "$work/policy.json"

echo "2. the operator starts it; the tenant asks over RA-TLS, and sees every check"
sgx-tools simulation-collateral "$work/collateral"
serve "$work/meant"
for try in $(seq 60); do # the proxy may listen before the program does, and then ends the connection
    ! ask --allow-simulation >"$work/answer" 2>"$work/checks" || break
    [ "$try" -lt 60 ] || { cat "$work/checks" >&2; exit 1; }
    sleep 0.5
done
sed 's/^/   /' "$work/checks"
echo "   the answer: $(head -1 "$work/answer" | tr -d '\r')"

echo "3. what is refused, and why; with the bundle that the operator started, verify-quote shows what differs (- meant, + started)"
refused "a simulated enclave, where the policy does not allow it" "software SGX"
bundle "$work/argument" "$demo/image/rootfs" 'c["process"]["args"][-1:-1] = ["--directory", "/etc"]'
serve "$work/argument"
refused "another argument" configid --allow-simulation
differs "$work/argument" '+ argument 5 "--directory"'
bundle "$work/variable" "$demo/image/rootfs" 'c["process"]["env"].append("PYTHONSTARTUP=/tmp/x")'
serve "$work/variable"
refused "another variable" configid --allow-simulation
differs "$work/variable" '+ environment "PYTHONSTARTUP=/tmp/x"'
bundle "$work/mount" "$demo/image/rootfs" 'c["mounts"].append({"destination": "/mnt", "type": "bind", "source": "/tmp", "options": ["bind"]})'
serve "$work/mount"
refused "a mount of the host" configid --allow-simulation
differs "$work/mount" '+ mount on "/mnt": the host'\''s files'
cp -a "$demo/image/rootfs" "$work/changed"
printf x >>"$work/changed/etc/hostname"
bundle "$work/byte" "$work/changed"
serve "$work/byte"
refused "an image with one byte more" mrenclave --allow-simulation
echo "        MRENCLAVE covers the image's files; arguments, environment and mounts are in CONFIGID"
stop
echo "nothing was sent to any of these"
