#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The demo: an ordinary Debian image with Python, one program from it as an ordinary container and, from the same bundle, as
# an enclave container.  demo.sh STAGE
set -euo pipefail
cd "$(dirname "$0")/.."
stage=$(realpath "$1")
work=${DEMO_DIR:-$(dirname "$stage")/demo}
rune=$stage/usr/bin/rune
[ "$(id -u)" -eq 0 ] || { echo "demo: containers need root here: run as root" >&2; exit 1; }
mkdir -p "$work/bundle"

if [ ! -e "$work/image/.done" ]; then
    echo "1. building an ordinary Debian 12 image with python3 (mmdebstrap, about a minute)"
    tests/images/make-image.sh "$work/image"
    rm -rf --one-file-system "$work/bundle/rootfs"
    ln -sfn "$work/image/rootfs" "$work/bundle/rootfs"
else
    echo "1. the Debian 12 image with python3 is there already ($work/bundle/rootfs)"
fi

program='
import hashlib, json, os, platform, sys
root = {n: len(os.listdir("/" + n)) for n in ("bin", "etc", "usr")}
digest = hashlib.sha256(open("/usr/bin/python3", "rb").read()).hexdigest()[:16]
print(json.dumps({"hello": "from a container", "python": platform.python_version(), "pid": os.getpid(),
                  "python3 sha256": digest, "entries": root}, sort_keys=True))
'
(
    cd "$work/bundle"
    rm -f config.json
    "$rune" spec
    PROGRAM=$program python3 - <<'PY'
import json, os
config = json.load(open("config.json"))
config["process"]["args"] = ["python3", "-c", os.environ["PROGRAM"]]
config["process"]["terminal"] = False
json.dump(config, open("config.json", "w"), indent=2)
PY
)

timed() { # LABEL COMMAND...
    local label=$1 begin end
    shift
    begin=$(date +%s%N)
    "$@" </dev/null
    end=$(date +%s%N)
    printf '   [%s: %d ms]\n' "$label" $(((end - begin) / 1000000))
}

state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT
export RUNE_CACHE_DIR=${RUNE_CACHE_DIR:-$work/cache} RUNE_SIGNING_KEY=${RUNE_SIGNING_KEY:-$work/signing-key.pem}
mkdir -p "$RUNE_CACHE_DIR"

echo "2. as an ordinary container: rune run"
timed "ordinary" "$rune" --root "$state" run --bundle "$work/bundle" "demo-plain-$$"
echo "3. from the same bundle, as an enclave container: rune --enclave run (the first run converts and signs the image)"
timed "enclave, first run" "$rune" --root "$state" --enclave run --bundle "$work/bundle" "demo-enclave-$$"
echo "4. once more, nothing is converted"
timed "enclave, cached" "$rune" --root "$state" --enclave run --bundle "$work/bundle" "demo-again-$$"
echo "5. what a verifier pins"
for manifest in "$RUNE_CACHE_DIR"/*/enclave-*/manifest.json; do
    jq -r '"   root hash of the sealed image  \(.rootHash)\n   MRENCLAVE  \(.mrenclave)\n   MRSIGNER   \(.mrsigner)"' "$manifest"
done
if [ -e /dev/sgx_enclave ]; then
    echo "   this machine has SGX hardware"
else
    echo "   this machine has no SGX: the enclave is EMULATED and protects nothing from the host"
fi
