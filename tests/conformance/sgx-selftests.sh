#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The Linux kernel's SGX selftests, their source unchanged, against the SGX emulator.
#
#   sgx-selftests.sh SGX_EMULATE HEADER_DIR [--verbose]
#
# The source comes from Debian's linux-source package, is kept in a cache directory and never in the tree. TAP output. Where the
# package cannot be had the whole is skipped, saying so. NO_DEPS=1: nothing is downloaded.
set -euo pipefail

emulate=$(realpath "$1")
headers=$(realpath "$2")
[ "${3:-}" != --verbose ] || export RUNE_SGX_EMULATE_VERBOSE=1
cache=${RUNE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rune-tests}
package=linux-source-6.1
tests=16

skip_all() {
    echo "1..0 # SKIP $*"
    exit 0
}

fail_all() {
    echo "1..1"
    echo "not ok 1 - $*"
    exit 1
}

# Only the selftests and what their Makefile needs are unpacked.
fetch() {
    local temporary
    temporary=$(mktemp -d "$cache/fetch.XXXXXX")
    if ! (cd "$temporary" && apt-get download -q "$package" >download.log 2>&1); then
        tail -n 1 "$temporary/download.log" >&2
        rm -rf "$temporary"
        return 1
    fi
    mkdir "$temporary/tree"
    dpkg-deb --fsys-tarfile "$temporary"/*.deb | tar xO "./usr/src/$package.tar.xz" | xz -dc -T0 |
        tar x -C "$temporary/tree" --strip-components=1 --wildcards \
            '*/tools/testing/selftests/sgx' '*/tools/testing/selftests/x86/check_cc.sh' \
            '*/tools/testing/selftests/x86/trivial_64bit_program.c' \
            '*/tools/testing/selftests/lib.mk' '*/tools/testing/selftests/kselftest*' \
            '*/tools/include' '*/tools/scripts' '*/tools/build' '*/scripts/subarch.include' \
            '*/scripts/Makefile.*' '*/scripts/Kbuild.include' '*/arch/x86/include/asm/sgx.h' \
            '*/arch/x86/include/asm/enclu.h' '*/arch/x86/include/uapi/asm/sgx.h'
    [ -d "$temporary/tree/tools/testing/selftests/sgx" ] || { rm -rf "$temporary"; return 1; }
    mv -T "$temporary/tree" "$cache/$package" 2>/dev/null || [ -d "$cache/$package" ]
    rm -rf "$temporary"
}

mkdir -p "$cache"
[ -d "$cache/$package" ] || [ -z "${NO_DEPS:-}" ] || skip_all "Debian package $package is not in $cache, and NO_DEPS is set"
[ -d "$cache/$package" ] || fetch || skip_all "Debian package $package cannot be downloaded"
for tool in make gcc openssl; do
    command -v "$tool" >/dev/null || skip_all "no $tool"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export RUNE_SGX_EMULATOR_ROOT=$work/root

make -s -C "$cache/$package/tools/testing/selftests/sgx" OUTPUT="$work" \
    CC="gcc -include $headers/cpuid.h -Wno-error=deprecated-declarations" all >"$work/build.log" 2>&1 || {
    sed 's/^/# /' "$work/build.log"
    fail_all "the selftests do not build"
}

# The programs' own TAP output, with the kernel's version of the names. The EPC is as large as cpuid.h says, so that what the
# tests call oversubscribed is.
cd "$work"
status=0
export RUNE_SGX_EMULATOR_EPC=64M RUNE_SGX_EMULATE_EPC=$work/epc
timeout 200 "$emulate" ./test_sgx >out 2>&1 || status=$?
sed -e 's/^ok \([0-9]*\) /ok \1 - /; s/^not ok \([0-9]*\) /not ok \1 - /' -e '/^TAP version/d' out
ran=$(grep -c '^ok ' out || true)
if [ "$ran" -lt "$tests" ] && [ "$status" = 0 ]; then
    echo "# only $ran of $tests selftests passed"
    exit 1
fi
paged=$(awk '$1 > 0 && $3 > 0 && $5 == 16384 { n++ } END { print n + 0 }' epc)
echo "# enclaves that had pages written back and loaded again: $paged"
if [ "$paged" -lt 2 ]; then
    echo "# the two tests of an oversubscribed EPC did not oversubscribe it"
    exit 1
fi
exit "$status"
