#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# runc's own integration tests (the bats files of Debian's runc source package, unmodified) against rune and against
# Debian's runc on this machine. Every test that passes with runc must pass with rune.
#
#   runc-bats.sh [-k DIR] [-f FILES] [-u FEATURES] [-p] STAGE
#
#   -k DIR       keep the sources, images and results in DIR and reuse them
#   -f FILES     only these bats files ("run create"), by name without .bats
#   -u FEATURES  as an ordinary user that has none, idmap, cgroup or idmap+cgroup (rootless.sh of runc's source)
#   -p           only fetch and make what the tests need, in the DIR of -k (tests/conformance/vm.sh takes it from there)
#
# In place of what the tests download or compile with Go there are: an image made of Debian's busybox-static, one of a
# Debian root without documentation, recvtty.c and seccompagent.c for the programs of these names, and a stand-in for
# `go env GOARCH`.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
. "$here/debian-source.bash"
. "$here/ordinary-user.bash"
keep='' files='' features='' prepare=''
while getopts k:f:u:p option; do
    case $option in
    k) keep=$OPTARG ;;
    f) files=$OPTARG ;;
    u) features=$OPTARG ;;
    p) prepare=1 ;;
    *) exit 2 ;;
    esac
done
[ -z "$features" ] || own_mounts "$0" "$@"
shift $((OPTIND - 1))
stage=${1:?usage: runc-bats.sh [-k DIR] [-f FILES] [-u FEATURES] [-p] STAGE}
rune=$(cd "$stage" && pwd)/usr/bin/rune
for tool in bats jq gawk busybox script runc cc; do
    command -v "$tool" >/dev/null || { echo "runc-bats: $tool is missing"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }
done

work=$keep
[ -n "$keep" ] || work=$(mktemp -d "${TMPDIR:-/tmp}/runc-bats.XXXXXX")
mkdir -p "$work"
# The tests leave the parent cgroup that they made, with all the real time that there is.
clean_up() {
    find /sys/fs/cgroup -depth -type d -path '*/runc-cgroups-integration-test*' -exec rmdir {} + 2>/dev/null || true
    [ -z "$features" ] || { remove_user_cgroups; rm -rf "$work/home".*; }
    [ -n "$keep" ] || rm -rf "$work"
}
trap clean_up EXIT
work=$(cd "$work" && pwd)

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
    mv "$data/busybox-amd64.tar.xz.part" "$data/busybox-amd64.tar.xz"
}

# tar finds out itself that this one is not compressed. Where no Debian root can be made, hooks.bats fails with both.
make_debian_image() {
    local data=$work/runc/tests/integration/testdata images=${RUNE_CHECK_IMAGES:-$work/images}
    [ -L "$data/debian-amd64.tar.xz" ] && rm "$data/debian-amd64.tar.xz"
    [ -e "$data/debian-amd64.tar.xz" ] && return
    if [ -n "$files" ] && [[ " $files " != *" hooks "* ]]; then
        ln -s busybox-amd64.tar.xz "$data/debian-amd64.tar.xz"
    elif command -v mmdebstrap >/dev/null && "$here/../images/make-image.sh" "$images/debian-python"; then
        tar -C "$images/debian-python/rootfs" --exclude './dev/*' --exclude './usr/share/*' --exclude './var/*/*' \
            --exclude './usr/lib/python3*' -cf "$data/debian-amd64.tar.xz.part" .
        mv "$data/debian-amd64.tar.xz.part" "$data/debian-amd64.tar.xz"
    else
        ln -s busybox-amd64.tar.xz "$data/debian-amd64.tar.xz"
    fi
}

make_helpers() {
    local contrib=$work/runc/contrib/cmd
    mkdir -p "$work/bin" "$contrib/recvtty"
    cc -O2 -static -D_GNU_SOURCE -o "$contrib/recvtty/recvtty" "$here/recvtty.c"
    cc -O2 -D_GNU_SOURCE -o "$contrib/seccompagent/seccompagent" "$here/seccompagent.c" -lseccomp -ljansson
    printf '#!/bin/sh\n[ "$1" = env ] && echo amd64\n' >"$work/bin/go"
    chmod +x "$work/bin/go"
    # Help texts and log lines go by the name that the program is installed under.
    mkdir -p "$work/as-runc"
    ln -sf "$program" "$work/as-runc/runc"
}

# The command of one bats file, as root or as the user.
run_file() {
    # Many tests run a container in the foreground with a terminal: script(1) gives them one to stand on.
    local runner=(env -u NOTIFY_SOCKET PATH="$work/bin:$PATH" RUNC="$1" TMPDIR="${TMPDIR:-/tmp}"
        timeout --kill-after=10 "${RUNC_BATS_TIMEOUT:-240}" script --quiet --return --command "sh $work/one.sh" /dev/null)
    [ -z "$features" ] || runner=(as_user "${runner[@]}")
    printf '#!/bin/sh\nexec bats --tap %s >%s 2>&1\n' "$2" "$3" >"$work/one.sh"
    : >"$3"
    [ -z "$features" ] || chown "$user_id" "$3"
    "${runner[@]}" </dev/null >/dev/null 2>&1 || true
}

# NAME PROGRAM: every test with its result, "ok file: title", in $work/NAME.results
run_suite() {
    local name=$1 program=$2 file base
    : >"$work/$name.results"
    : >"$work/$name.log"
    for file in "$work"/runc/tests/integration/*.bats; do
        base=$(basename "$file" .bats)
        [ -z "$files" ] || [[ " $files " == *" $base "* ]] || continue
        run_file "$program" "$file" "$work/$name.$base.tap"
        cat "$work/$name.$base.tap" >>"$work/$name.log"
        sed -n 's/^\(ok\|not ok\) [0-9]* \(.*\)/\1\t\2/p' "$work/$name.$base.tap" | while IFS=$'\t' read -r result title; do
            case $title in
            *' # skip'*) result=skip title=${title%% # skip*} ;;
            esac
            printf '%s\t%s: %s\n' "$result" "$base" "$title"
        done >>"$work/$name.results"
        printf '%-22s %-22s %3s ok %3s failed %3s skipped\n' "$name" "$base" \
            "$(grep -c "^ok	$base:" "$work/$name.results" || true)" \
            "$(grep -c "^not ok	$base:" "$work/$name.results" || true)" \
            "$(grep -c "^skip	$base:" "$work/$name.results" || true)"
    done
}

fetch_source "$work" runc
make_image
make_debian_image
program=$rune
suffix=
if [ -n "$features" ]; then
    suffix=-$features
    # Nothing on the way to what the user runs may be closed to it.
    chmod 755 "$work"
    program=$work/rune-for-users
    cp -f "$rune" "$program"
    make_user "$work/home" "${features/none/}"
fi
make_helpers
[ -z "$prepare" ] || exit 0
runc=runc$suffix ours=rune$suffix
if [ -n "${RUNC_BATS_REUSE:-}" ] && [ -s "$work/$runc.results" ]; then
    echo "runc: results of an earlier run"
else
    run_suite "$runc" "$(command -v runc)"
fi
run_suite "$ours" "$work/as-runc/runc"

sed -n 's/^ok\t//p' "$work/$runc.results" | sort >"$work/$runc.ok"
sed -n 's/^ok\t//p' "$work/$ours.results" | sort >"$work/$ours.ok"
if [ -n "$files" ]; then
    grep -E "^($(echo "$files" | tr ' ' '|')): " "$work/$runc.ok" >"$work/runc.some" || true
    mv "$work/runc.some" "$work/$runc.ok"
fi
missing=$(comm -23 "$work/$runc.ok" "$work/$ours.ok")
passed=$(wc -l <"$work/$ours.ok")
failed=$(printf '%s' "$missing" | grep -c . || true)
skipped=$(grep -c '^skip' "$work/$ours.results" || true)
[ -z "$missing" ] || printf 'passes with runc, not with rune:\n%s\n' "$missing"
extra=$(comm -13 "$work/$runc.ok" "$work/$ours.ok")
[ -z "$extra" ] || printf 'passes with rune, not with runc:\n%s\n' "$extra"
echo "runc's bats files${features:+, as an ordinary user ($features)}: $(wc -l <"$work/$runc.ok") pass with runc"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
