#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# runc's own integration tests (the bats files of Debian's runc source package, unmodified) against rune and against
# Debian's runc on this machine. Every test that passes with runc must pass with rune.
#
#   runc-bats.sh [-k DIR] [-f FILES] [-p] STAGE
#
#   -k DIR    keep the sources, images and results in DIR and reuse them
#   -f FILES  only these bats files ("run create"), by name without .bats
#   -p        only fetch and make what the tests need, in the DIR of -k (tests/conformance/vm.sh takes it from there)
#
# In place of what the tests download or compile with Go there are: an image made of Debian's busybox-static, recvtty.c
# for recvtty, and a stand-in for `go env GOARCH`. Tests that need seccompagent, sd-helper or a Debian image skip or fail
# alike in both runs.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
keep= files= prepare=
while getopts k:f:p option; do
    case $option in
    k) keep=$OPTARG ;;
    f) files=$OPTARG ;;
    p) prepare=1 ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
stage=${1:?usage: runc-bats.sh [-k DIR] [-f FILES] STAGE}
rune=$(cd "$stage" && pwd)/usr/bin/rune
for tool in bats jq gawk busybox script runc cc; do
    command -v "$tool" >/dev/null || { echo "runc-bats: $tool is missing"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }
done

if [ -n "$keep" ]; then
    work=$keep
    mkdir -p "$work"
else
    work=$(mktemp -d "${TMPDIR:-/tmp}/runc-bats.XXXXXX")
    trap 'rm -rf "$work"' EXIT
fi
work=$(cd "$work" && pwd)

fetch() {
    [ -d "$work/runc" ] && return
    local conf=$work/apt.conf
    mkdir -p "$work/apt/parts" "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/source"
    # Our own lists: the machine's configuration need not have source packages enabled.
    local file
    for file in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
        [ -s "$file" ] || continue
        case $file in
        *.sources) sed 's/^Types:.*/Types: deb-src/' "$file" >"$work/apt/parts/src.sources" ;;
        *) sed -n 's/^deb \(.*debian.*\)/deb-src \1/p' "$file" >"$work/apt/parts/src.list" ;;
        esac
    done
    cat >"$conf" <<CONF
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$work/apt/parts";
Dir::State::lists "$work/apt/lists";
Dir::Cache "$work/apt/cache";
APT::Sandbox::User "root";
CONF
    APT_CONFIG=$conf apt-get update -qq
    (cd "$work/source" && APT_CONFIG=$conf apt-get source -qq --download-only runc)
    mkdir "$work/runc.part"
    tar -C "$work/runc.part" --strip-components=1 -xf "$work"/source/runc_*.orig.tar.*
    mv "$work/runc.part" "$work/runc"
}

# The tests expect what the busybox image of Docker Hub has: applets as links in /bin, a passwd file, empty directories.
make_image() {
    local data=$work/runc/tests/integration/testdata root=$work/image applet
    [ -e "$data/busybox-amd64.tar.xz" ] && return
    rm -rf "$root"
    mkdir -p "$root"/{bin,dev/pts,etc,home,root,tmp,usr/sbin,var/spool/mail,var/www}
    cp "$(command -v busybox)" "$root/bin/busybox"
    for applet in $(busybox --list); do
        [ "$applet" = busybox ] || ln "$root/bin/busybox" "$root/bin/$applet" 2>/dev/null || true
    done
    printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n' >"$root/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
    chmod 1777 "$root/tmp"
    tar -C "$root" --xz -cf "$data/busybox-amd64.tar.xz.part" .
    cp "$data/busybox-amd64.tar.xz.part" "$data/debian-amd64.tar.xz"
    mv "$data/busybox-amd64.tar.xz.part" "$data/busybox-amd64.tar.xz"
}

make_helpers() {
    local contrib=$work/runc/contrib/cmd
    mkdir -p "$work/bin" "$contrib/recvtty"
    cc -O2 -static -D_GNU_SOURCE -o "$contrib/recvtty/recvtty" "$here/recvtty.c"
    printf '#!/bin/sh\n[ "$1" = env ] && echo amd64\n' >"$work/bin/go"
    chmod +x "$work/bin/go"
    # Help texts and log lines go by the name that the program is installed under.
    mkdir -p "$work/as-runc"
    ln -sf "$rune" "$work/as-runc/runc"
}

# NAME PROGRAM: every test with its result, "ok file: title", in $work/NAME.results
run_suite() {
    local name=$1 program=$2 file base
    : >"$work/$name.results"
    : >"$work/$name.log"
    for file in "$work"/runc/tests/integration/*.bats; do
        base=$(basename "$file" .bats)
        [ -z "$files" ] || [[ " $files " == *" $base "* ]] || continue
        # Many tests run a container in the foreground with a terminal: script(1) gives them one to stand on.
        printf '#!/bin/sh\nexec bats --tap %s >%s 2>&1\n' "$file" "$work/$name.$base.tap" >"$work/one.sh"
        env -u NOTIFY_SOCKET PATH="$work/bin:$PATH" RUNC="$program" TMPDIR="${TMPDIR:-/tmp}" \
            timeout --kill-after=10 "${RUNC_BATS_TIMEOUT:-240}" \
            script --quiet --return --command "sh $work/one.sh" /dev/null </dev/null >/dev/null 2>&1 || true
        cat "$work/$name.$base.tap" >>"$work/$name.log"
        sed -n 's/^\(ok\|not ok\) [0-9]* \(.*\)/\1\t\2/p' "$work/$name.$base.tap" | while IFS=$'\t' read -r result title; do
            case $title in
            *' # skip'*) result=skip title=${title%% # skip*} ;;
            esac
            printf '%s\t%s: %s\n' "$result" "$base" "$title"
        done >>"$work/$name.results"
        printf '%-6s %-28s %3s ok %3s failed %3s skipped\n' "$name" "$base" \
            "$(grep -c "^ok	$base:" "$work/$name.results" || true)" \
            "$(grep -c "^not ok	$base:" "$work/$name.results" || true)" \
            "$(grep -c "^skip	$base:" "$work/$name.results" || true)"
    done
}

fetch
make_image
make_helpers
[ -z "$prepare" ] || exit 0
if [ -n "${RUNC_BATS_REUSE:-}" ] && [ -s "$work/runc.results" ]; then
    echo "runc: results of an earlier run"
else
    run_suite runc "$(command -v runc)"
fi
run_suite rune "$work/as-runc/runc"

sed -n 's/^ok\t//p' "$work/runc.results" | sort >"$work/runc.ok"
sed -n 's/^ok\t//p' "$work/rune.results" | sort >"$work/rune.ok"
if [ -n "$files" ]; then
    grep -E "^($(echo "$files" | tr ' ' '|')): " "$work/runc.ok" >"$work/runc.some" || true
    mv "$work/runc.some" "$work/runc.ok"
fi
missing=$(comm -23 "$work/runc.ok" "$work/rune.ok")
passed=$(wc -l <"$work/rune.ok")
failed=$(printf '%s' "$missing" | grep -c . || true)
skipped=$(grep -c '^skip' "$work/rune.results" || true)
[ -z "$missing" ] || printf 'passes with runc, not with rune:\n%s\n' "$missing"
echo "runc's bats files: $(wc -l <"$work/runc.ok") pass with runc"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
