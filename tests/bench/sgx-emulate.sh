#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Programs by sgx-emulate against the same without: system calls, before and after the device is open, and EENTER with EEXIT; with GRAMINE_PREFIX the
# start of a program by gramine-sgx against gramine-direct, in turns. sgx-emulate.sh STAGE [ROUNDS]
set -euo pipefail
stage=$(cd "$1" && pwd)
rounds=${2:-7}
build=$(dirname "$stage")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export RUNE_SGX_EMULATOR_ROOT=$work/root
ninja -C "$build" tests/unit/sgx/bench-sgx-emulate >/dev/null
program=$build/tests/unit/sgx/bench-sgx-emulate
mapfile -t outside < <("$program")
mapfile -t inside < <("$stage/usr/bin/sgx-emulate" "$program" enclave 2>/dev/null)
row() { # WHAT OURS PEER
    awk -v w="$1" -v a="$2" -v b="$3" 'BEGIN { printf "%-62s %9.0f ns  outside %6.0f ns  %6.1f x\n", w, a, b, a / b }'
}
row "system call of libc, no enclave" "${inside[0]}" "${outside[0]}"
row "system call of another form, no enclave" "${inside[1]}" "${outside[1]}"
row "system call of libc, with an enclave" "${inside[2]}" "${outside[0]}"
row "system call of another form, with an enclave" "${inside[3]}" "${outside[1]}"
printf '%-62s %9d ns\n' "EENTER and EEXIT by the program's own ENCLU" "${inside[4]}"

[ -n "${GRAMINE_PREFIX:-}" ] || { echo "gramine-sgx: GRAMINE_PREFIX is not set: skipped"; exit 0; }
packages=$(echo "$GRAMINE_PREFIX"/lib/python3*/*-packages)
export PATH=$GRAMINE_PREFIX/bin:$PATH PYTHONPATH=$packages
cd "$work"
printf '#include <stdio.h>\nint main(void) { return puts("hello") < 0; }\n' >hello.c
gcc -O1 -o hello hello.c
openssl genrsa -3 -out key.pem 3072 2>/dev/null
cat >hello.manifest.template <<END
loader.log_level = "error"
libos.entrypoint = "$work/hello"
loader.env.LD_LIBRARY_PATH = "/lib/x86_64-linux-gnu"
fs.mounts = [ {path="/lib", uri="file:/lib"}, {path="/lib64", uri="file:/lib64"}, {path="$work/hello", uri="file:$work/hello"} ]
sgx.enclave_size = "256M"
sgx.max_threads = 8
sgx.file_check_policy = "allow_all_but_log"
sgx.allowed_files = ["file:/lib/", "file:/lib64/", "file:$work/hello"]
END
gramine-manifest hello.manifest.template hello.manifest
gramine-sgx-sign --manifest hello.manifest --output hello.manifest.sgx --key key.pem >/dev/null
python3 - "$stage/usr/bin/sgx-emulate" "$rounds" <<'PY'
import resource, statistics, subprocess, sys, time
emulate, rounds = sys.argv[1], int(sys.argv[2])
ways = {"gramine-direct": ["gramine-direct", "hello"], "gramine-sgx by sgx-emulate": [emulate, "gramine-sgx", "hello"]}
times, processor = {w: [] for w in ways}, {w: [] for w in ways}
for _ in range(rounds):
    for way, command in ways.items():
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times[way].append(time.monotonic() - start)
        processor[way].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
peer = statistics.median(times["gramine-direct"])
for way in ways:
    print(f"hello (256M) by {way:30} {statistics.median(times[way]) * 1e3:6.0f} ms, processor {statistics.median(processor[way]) * 1e3:5.0f} ms"
          f"  {statistics.median(times[way]) / peer:5.1f} x")
PY
