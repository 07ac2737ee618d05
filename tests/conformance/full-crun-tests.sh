#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# crun's own tests (tests/*.py of Debian's crun source package, unmodified) against crun and against rune. Every test that
# passes with crun must pass with rune, but those that crun-tests/exceptions names with the reason.
#
#   full-crun-tests.sh [-k DIR] [-f FILES] STAGE
#
#   -k DIR    keep the sources and results in DIR and reuse them
#   -f FILES  only these test files ("exec hooks"), by name without test_ and .py
#
# The tests' static program `init` is compiled from crun's source; crun-tests/ has a stand-in for a Python module that they
# want and the translation of crun's own flags. crun refuses the hybrid layout of cgroups, so both run in a mount namespace
# where the unified hierarchy beside those of version 1 is unmounted.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
. "$here/debian-source.bash"
keep='' files=''
while getopts k:f: option; do
    case $option in
    k) keep=$OPTARG ;;
    f) files=$OPTARG ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
stage=${1:?usage: full-crun-tests.sh [-k DIR] [-f FILES] STAGE}
rune=$(cd "$stage" && pwd)/usr/bin/rune
for tool in crun python3 cc unshare; do
    command -v "$tool" >/dev/null || { echo "crun-tests: $tool is missing"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }
done

if [ -n "$keep" ]; then
    work=$keep
    mkdir -p "$work"
else
    work=$(mktemp -d "${TMPDIR:-/tmp}/crun-tests.XXXXXX")
    trap 'rm -rf "$work"' EXIT
fi
work=$(cd "$work" && pwd)
# Users of containers have to get through to their root.
chmod 755 "$work"

# The tests leave some of their bundles.
mkdir -p "$work/tmp"
chmod 1777 "$work/tmp"

# With what configure would find here.
make_init() {
    mkdir -p "$work/include"
    printf '#define HAVE_ERROR_H 1\n#define HAVE_SECCOMP 1\n' >"$work/include/config.h"
    cc -O1 -w -static -I "$work/include" -o "$work/crun/tests/init" "$work/crun/tests/init.c"
}

# A test puts a container into a freezer of its own and leaves it there.
thaw() {
    local frozen=/sys/fs/cgroup/freezer/frozen
    [ -z "$had_frozen" ] && [ -d $frozen ] || return 0
    xargs -r kill -KILL <$frozen/tasks || true
    echo THAWED >$frozen/freezer.state
    for _ in $(seq 100); do
        ! rmdir $frozen 2>/dev/null || break
        sleep 0.1
    done
    # Who was in it may still be dying.
    for _ in {1..50}; do
        ! find /sys/fs/cgroup -maxdepth 2 -type d -name 'test-tmp*' -exec rmdir {} + 2>/dev/null || break
        sleep 0.1
    done
}

# run_suite NAME PROGRAM: every test with its result, "ok file: name", in $work/NAME.tests
run_suite() {
    local name=$1 program=$2 file base
    : >"$work/$name.tests"
    for file in "$work"/crun/tests/test_*.py; do
        base=$(basename "$file" .py)
        base=${base#test_}
        [ -z "$files" ] || [[ " $files " == *" $base "* ]] || continue
        # From crun's directory, where they look for tests/init; with a terminal, which some want.
        cat >"$work/one.sh" <<SCRIPT
umount /sys/fs/cgroup/unified 2>/dev/null
cd $work/crun
export INIT=tests/init OCI_RUNTIME=$program RUNE_UNDER_TEST=$rune PYTHONPATH=$here/crun-tests TMPDIR=$work/tmp
exec timeout --foreground --kill-after=10 60 /usr/bin/python3 $file 2>$work/$name.$base.err
SCRIPT
        unshare --mount --propagation private script --quiet --return --command "sh $work/one.sh" /dev/null \
            </dev/null >"$work/$name.$base.tap" || true
        thaw
        tr -d '\r' <"$work/$name.$base.tap" |
            sed -nE "s/^ok [0-9]+ - (\S+) #SKIP/skip\t$base: \1/p; s/^(ok|not ok) [0-9]+ - (\S+)$/\1\t$base: \2/p" \
                >>"$work/$name.tests"
        printf '%-6s %-22s %3s ok %3s failed %3s skipped\n' "$name" "$base" \
            "$(grep -c "^ok	$base:" "$work/$name.tests" || true)" \
            "$(grep -c "^not ok	$base:" "$work/$name.tests" || true)" \
            "$(grep -c "^skip	$base:" "$work/$name.tests" || true)"
    done
}

had_frozen=$(find /sys/fs/cgroup/freezer -maxdepth 1 -name frozen)
fetch_source "$work" crun
make_init
if [ -n "${CRUN_TESTS_REUSE:-}" ] && [ -s "$work/crun.tests" ]; then
    echo "crun: results of an earlier run"
else
    run_suite crun "$(command -v crun)"
fi
run_suite rune "$here/crun-tests/flags.sh"

sed -n 's/^ok\t//p' "$work/crun.tests" | sort >"$work/crun.ok"
sed -n 's/^ok\t//p' "$work/rune.tests" | sort >"$work/rune.ok"
sed -n 's/^\([a-z_]*: [^ ]*\) .*/\1/p' "$here/crun-tests/exceptions" | sort >"$work/exceptions"
if [ -n "$files" ]; then
    grep -E "^($(echo "$files" | tr ' ' '|')): " "$work/crun.ok" >"$work/crun.some" || true
    mv "$work/crun.some" "$work/crun.ok"
fi
missing=$(comm -23 "$work/crun.ok" "$work/rune.ok")
excused=$(printf '%s\n' "$missing" | comm -12 - "$work/exceptions")
missing=$(printf '%s\n' "$missing" | comm -23 - "$work/exceptions")
extra=$(comm -13 "$work/crun.ok" "$work/rune.ok")
passed=$(wc -l <"$work/rune.ok")
failed=$(printf '%s' "$missing" | grep -c . || true)
skipped=$(($(grep -c '^skip' "$work/rune.tests" || true) + $(printf '%s' "$excused" | grep -c . || true)))
[ -z "$excused" ] || grep -F -f <(printf '%s\n' "$excused") "$here/crun-tests/exceptions" | sed 's/^/does not apply: /'
[ -z "$extra" ] || printf 'passes with rune, not with crun:\n%s\n' "$extra"
[ -z "$missing" ] || printf 'passes with crun, not with rune:\n%s\n' "$missing"
echo "crun's tests: $(wc -l <"$work/crun.ok") pass with crun"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
