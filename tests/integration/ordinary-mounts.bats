#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Mounts: options, recursive attributes, propagation, id maps, tmpcopyup, masked and read-only paths.

load ordinary

setup() { ordinary_setup; }
teardown() { ordinary_teardown; }

# A tree of the host with a mount in it.
make_tree() { # OPTIONS-OF-THE-INNER-MOUNT
    mkdir -p "$work/tree/sub"
    mount -t tmpfs -o "${1:-rw}" inner "$work/tree/sub"
}

user_namespace() {
    chown -R 100000:100000 rootfs
    configure 'c["linux"]["namespaces"].append({"type": "user"})' \
        'c["linux"]["uidMappings"] = c["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]'
}

# look NAME...: python over `at`, mount point -> (per-mount options, optional fields); prints what is wrong
look() {
    rune run "$id" >"$work/mountinfo" </dev/null || { cat "$work/mountinfo"; return 1; }
    python3 - "$work/mountinfo" "$@" <<'PY'
import sys
at = {}
for line in open(sys.argv[1]):
    f = line.split()
    if "-" in f and len(f) > 6:
        at[f[4]] = (set(f[5].split(",")), f[6:f.index("-")])
bad = []
def expect(place, options, absent=""):
    have = at.get(place, (set(), []))[0]
    if place not in at or not set(options.split()) <= have or set(absent.split()) & have:
        bad.append(f"{place}: {sorted(have)}, expected {options or 'no'} without {absent or 'anything'}")
def propagation(place, *words):
    have = sorted(w.split(":")[0] for w in at[place][1]) if place in at else None
    if have != sorted(words):
        bad.append(f"{place}: propagation {have}, expected {list(words)}")
for statement in sys.argv[2:]:
    exec(statement)
sys.exit("\n".join(bad) if bad else 0)
PY
}

@test "attributes of binds: plain ones for the top, recursive ones for all below" {
    make_tree
    configure 'pairs = {"ro": "rro", "nosuid": "rnosuid", "nodev": "rnodev", "noexec": "rnoexec", "noatime": "rnoatime", "nodiratime": "rnodiratime", "nosymfollow": "rnosymfollow"}' \
        "c['mounts'] += [{'destination': '/m/' + o, 'type': 'bind', 'source': '$work/tree', 'options': ['rbind', o]} for p in pairs.items() for o in p]" \
        "c['mounts'] += [{'destination': '/m/' + o, 'type': 'bind', 'source': '$work/tree', 'options': ['rbind', o]} for o in ('rstrictatime', 'strictatime', 'rrelatime')]"
    arguments cat /proc/self/mountinfo
    look 'pairs = {"ro": "rro", "nosuid": "rnosuid", "nodev": "rnodev", "noexec": "rnoexec", "noatime": "rnoatime", "nodiratime": "rnodiratime", "nosymfollow": "rnosymfollow"}' \
        'for plain, recursive in pairs.items():
    expect("/m/" + plain, plain); expect("/m/" + plain + "/sub", "", plain)
    expect("/m/" + recursive, plain); expect("/m/" + recursive + "/sub", plain)' \
        'expect("/m/rstrictatime", "", "relatime noatime"); expect("/m/rstrictatime/sub", "", "relatime noatime")
expect("/m/strictatime", "", "relatime noatime"); expect("/m/strictatime/sub", "relatime")
expect("/m/rrelatime", "relatime"); expect("/m/rrelatime/sub", "relatime")'
    nothing_left || true
    [ -z "$(ls "$state" 2>/dev/null)" ]
}

@test "attributes of binds are taken away again, recursively, and the last word counts" {
    make_tree ro,nosuid,nodev,noexec,noatime,nodiratime
    configure "bind = lambda d, *o: {'destination': d, 'type': 'bind', 'source': '$work/tree', 'options': ['rbind', *o]}" \
        'c["mounts"] += [bind("/m/all", "rrw", "rsuid", "rdev", "rexec", "ratime", "rdiratime", "rsymfollow"), bind("/m/none"), bind("/m/last", "ro", "rw", "nosuid", "suid", "nodev", "rro", "rrw")]' \
        'c["mounts"] += [bind("/m/" + o, o) for o in ("ratime", "rnoatime", "rnostrictatime", "rnorelatime")]'
    arguments cat /proc/self/mountinfo
    look 'expect("/m/none/sub", "ro nosuid nodev noexec noatime nodiratime")
expect("/m/all/sub", "rw relatime", "ro nosuid nodev noexec noatime nodiratime")
expect("/m/last", "rw nodev", "nosuid ro"); expect("/m/last/sub", "rw nosuid nodev")
expect("/m/ratime/sub", "relatime", "noatime"); expect("/m/rnoatime/sub", "noatime")
expect("/m/rnostrictatime/sub", "relatime", "noatime")'
}

@test "every option that features lists is taken by a tmpfs or a bind" {
    make_tree
    configure "import subprocess" "names = json.loads(subprocess.run(['$RUNE', 'features'], capture_output=True).stdout)['mountOptions']" \
        'assert len(names) > 50 and len(set(names)) == len(names)' \
        "c['mounts'] += [{'destination': '/t/' + o, 'type': 'tmpfs', 'source': 'tmpfs', 'options': [o]} for o in names if o not in ('bind', 'rbind', 'remount', 'idmap', 'ridmap')]" \
        "c['mounts'] += [{'destination': '/b/' + o, 'type': 'bind', 'source': '$work/tree', 'options': ['rbind', o]} for o in names if o not in ('remount', 'idmap', 'ridmap')]"
    arguments cat /proc/self/mountinfo
    look 'expect("/t/noexec", "noexec"); expect("/t/rnoexec", "noexec"); expect("/t/ro", "ro"); expect("/t/nosymfollow", "nosymfollow"); expect("/t/rro", "ro"); expect("/t/strictatime", "", "relatime")
expect("/t/sync", ""); expect("/b/defaults", ""); propagation("/t/unbindable", "unbindable")'
}

@test "file system data, relative and nested destinations, files, order" {
    echo file >"$work/file"
    configure 'c["process"]["capabilities"] = {k: ["CAP_DAC_OVERRIDE"] for k in ("bounding", "effective", "permitted")}' \
        "c['mounts'] += [{'destination': 'relative/place', 'type': 'tmpfs', 'source': 'x', 'options': ['size=64k', 'mode=711', 'uid=7']}, {'destination': '/relative/place/inner', 'type': 'tmpfs', 'source': 'y'}, {'destination': '/relative/place/inner/file', 'type': 'bind', 'source': '$work/file', 'options': ['ro', 'bind']}]"
    arguments sh -c 'ls -ldn /relative/place; cat /relative/place/inner/file; echo x >/relative/place/inner/file; dd if=/dev/zero of=/relative/place/big bs=1k count=100; cat /proc/self/mountinfo | grep relative'
    run_container
    [[ "${lines[0]}" == drwx--x--x*" 7 "* ]]
    [ "${lines[1]}" = file ]
    [[ "$output" == *"Read-only file system"* ]]
    [[ "$output" == *"No space left"* ]]
    [ "$(cat "$work/file")" = file ]
    # A source relative to the bundle; remount of what is there.
    mkdir data && echo here >data/f
    configure 'c["mounts"] = c["mounts"][:-3] + [{"destination": "/d", "type": "none", "source": "data", "options": ["bind"]}, {"destination": "/d", "type": "none", "source": "data", "options": ["bind", "remount", "ro", "nosuid"]}]'
    arguments sh -c 'cat /d/f; grep " /d " /proc/self/mountinfo'
    run_container
    [ "${lines[0]}" = here ]
    [[ "${lines[1]}" == *" ro,nosuid"* ]]
}

@test "tmpfs: the mode is that of the directory it covers, or 1777 where there was none" {
    mkdir -m 750 rootfs/private
    configure 'c["root"]["readonly"] = False' 'c["mounts"] += [{"destination": d, "type": "tmpfs", "source": "tmpfs"} for d in ("/private", "/scratch", "/new/deep")]' \
        'c["mounts"] += [{"destination": "/said", "type": "tmpfs", "source": "tmpfs", "options": ["mode=711"]}]'
    arguments sh -c 'ls -ld /private /scratch /new/deep /said'
    run_container
    [[ "$output" == *drwxr-x---*/private* && "$output" == *drwxrwxrwt*/scratch* && "$output" == *drwxrwxrwt*/new/deep* && "$output" == *drwx--x--x*/said* ]]
}

@test "tmpcopyup: the image's content, with owners, modes, links and directories, is in the tmpfs" {
    mkdir -p rootfs/data/deep/er
    echo one >rootfs/data/deep/er/one
    chmod 640 rootfs/data/deep/er/one
    chown 3:4 rootfs/data/deep/er/one
    ln -s deep/er/one rootfs/data/link
    mkfifo rootfs/data/fifo
    echo hidden >rootfs/data/.hidden
    chmod 1770 rootfs/data/deep
    configure 'c["root"]["readonly"] = False' 'c["process"]["capabilities"] = {k: ["CAP_DAC_OVERRIDE"] for k in ("bounding", "effective", "permitted")}' \
        'c["mounts"] += [{"destination": "/data", "type": "tmpfs", "source": "up", "options": ["tmpcopyup", "nodev"]}]'
    arguments sh -c 'cat /data/link /data/.hidden; ls -ln /data/deep/er/one; ls -ld /data/deep; ls -l /data/fifo; echo two >/data/deep/er/one; grep " /data " /proc/self/mountinfo'
    run_container
    [ "${lines[0]}" = one ]
    [ "${lines[1]}" = hidden ]
    [[ "${lines[2]}" == -rw-r-----*" 3 "*" 4 "* ]]
    [[ "${lines[3]}" == drwxrwx--T* ]]
    [[ "${lines[4]}" == p* ]]
    [[ "${lines[5]}" == *nodev*" tmpfs "* ]]
    [ "$(cat rootfs/data/deep/er/one)" = one ]
    # Read-only takes effect after the copy.
    configure 'c["mounts"][-1]["options"] = ["tmpcopyup", "ro"]'
    arguments sh -c 'cat /data/link; echo x >/data/new'
    run_container
    [ "${lines[0]}" = one ]
    [[ "${lines[1]}" == *"Read-only"* ]]
}

@test "rootfsPropagation: every value" {
    # A root on a shared mount, so that slave can be told from private.
    mount --bind "$bundle" "$bundle"
    mount --make-shared "$bundle"
    cd "$bundle"
    arguments cat /proc/self/mountinfo
    try() { # VALUE PYTHON
        configure "c['linux']['rootfsPropagation'] = '$1'"
        look "$2" || { echo "with $1"; return 1; }
    }
    try private 'propagation("/")'
    try rprivate 'propagation("/")'
    try slave 'propagation("/", "master")'
    try rslave 'propagation("/", "master")'
    try shared 'assert "shared" in [w.split(":")[0] for w in at["/"][1]]'
    try rshared 'assert "shared" in [w.split(":")[0] for w in at["/"][1]]'
    try unbindable 'propagation("/", "unbindable")'
    try runbindable 'propagation("/", "unbindable")'
    # Nothing said: what the container mounts does not reach the host, what the host mounts does reach it.
    configure 'del c["linux"]["rootfsPropagation"]'
    look 'propagation("/", "master")'
    configure 'c["linux"]["rootfsPropagation"] = "sideways"'
    arguments true
    run rune run "$id"
    [ "$status" -eq 1 ]
    [[ "$output" == *"rootfsPropagation"*"sideways"* ]]
}

@test "propagation of binds: what each option makes of a shared source, and a mount that comes later" {
    mkdir -p "$work/source"
    mount -t tmpfs source "$work/source"
    mount --make-shared "$work/source"
    mkdir "$work/source/late"
    configure "c['mounts'] += [{'destination': '/m/' + o, 'type': 'bind', 'source': '$work/source', 'options': ['rbind', o]} for o in ('private', 'rprivate', 'slave', 'rslave', 'shared', 'rshared', 'unbindable', 'runbindable')]"
    arguments cat /proc/self/mountinfo
    look 'for o in ("private", "rprivate"): propagation("/m/" + o)
for o in ("slave", "rslave"): propagation("/m/" + o, "master")
for o in ("shared", "rshared"): propagation("/m/" + o, "master", "shared")
for o in ("unbindable", "runbindable"): propagation("/m/" + o, "unbindable")'
    arguments sleep 100
    rune run --detach "$id" </dev/null >/dev/null 2>&1
    mount -t tmpfs late "$work/source/late"
    rune exec "$id" grep -q " /m/rslave/late " /proc/self/mountinfo
    ! rune exec "$id" grep -q " /m/rprivate/late " /proc/self/mountinfo || false
    umount "$work/source/late"
    ! rune exec "$id" grep -q " /m/rslave/late " /proc/self/mountinfo || false
    rune delete --force "$id"
    # The other direction only when the root is shared too.
    configure 'c["linux"]["rootfsPropagation"] = "rshared"' 'c["process"]["capabilities"] = {k: ["CAP_SYS_ADMIN"] for k in ("bounding", "effective", "permitted")}'
    arguments sh -c 'mount -t tmpfs fromwithin /m/rshared/late'
    rune run "$id"
    grep -q "fromwithin $work/source/late" /proc/self/mounts
    umount "$work/source/late"
}

# Owners of the files as the container sees them.
@test "idmap and ridmap without a user namespace, with mappings of their own" {
    make_tree
    touch "$work/tree/top" "$work/tree/sub/low"
    configure 'm = [{"containerID": 0, "hostID": 5000, "size": 1000}]' \
        "c['mounts'] += [{'destination': '/m/' + o, 'type': 'bind', 'source': '$work/tree', 'options': ['rbind', o], 'uidMappings': m, 'gidMappings': m} for o in ('idmap', 'ridmap', 'rw')]"
    arguments sh -c 'ls -n /m/*/top /m/*/sub/low; touch /m/idmap/new; echo $?'
    run_container
    seen() { grep -E " $2 +$2 .* $1\$" <<<"$output"; }
    seen /m/idmap/top 5000
    seen /m/idmap/sub/low 0
    seen /m/ridmap/top 5000
    seen /m/ridmap/sub/low 5000
    # Mappings without the option count as well.
    seen /m/rw/top 5000
    # Container ids that no mapping has cannot own a file there (EOVERFLOW).
    [ "${lines[-1]}" = 1 ]
}

@test "idmap in a user namespace: the container's map, one of its own, and a namespace by path" {
    make_tree
    touch "$work/tree/top" "$work/tree/sub/low"
    user_namespace
    configure 'm = [{"containerID": 0, "hostID": 100007, "size": 1000}]' \
        "c['mounts'] += [{'destination': '/m/plain', 'type': 'bind', 'source': '$work/tree', 'options': ['rbind']}, {'destination': '/m/idmap', 'type': 'bind', 'source': '$work/tree', 'options': ['rbind', 'idmap']}, {'destination': '/m/ridmap', 'type': 'bind', 'source': '$work/tree', 'options': ['rbind', 'ridmap']}, {'destination': '/m/own', 'type': 'bind', 'source': '$work/tree', 'options': ['rbind', 'idmap', 'ro'], 'uidMappings': m, 'gidMappings': m}]"
    arguments sh -c 'ls -n /m/*/top /m/*/sub/low; echo made >/m/ridmap/sub/made; grep " /m/own " /proc/self/mountinfo'
    run_container
    [ "$status" -eq 0 ]
    seen() { grep -E " $2 +$2 .* $1\$" <<<"$output"; }
    seen /m/plain/top 65534
    seen /m/idmap/top 0
    seen /m/idmap/sub/low 65534
    seen /m/ridmap/sub/low 0
    seen /m/own/top 7
    [[ "${lines[-1]}" == *" ro,"* ]]
    # What the container writes belongs to the host's root on disk.
    [ "$(stat -c %u:%g "$work/tree/sub/made")" = 0:0 ]
    # The user namespace of another container.
    arguments sleep 100
    rune run --detach --pid-file "$work/pid" "$id" </dev/null >/dev/null 2>&1
    configure "c['linux']['namespaces'] = [n if n['type'] != 'user' else {'type': 'user', 'path': '/proc/$(cat "$work/pid")/ns/user'} for n in c['linux']['namespaces']]" \
        'del c["linux"]["uidMappings"], c["linux"]["gidMappings"]'
    arguments ls -n /m/idmap/top
    run rune run "$id-second"
    echo "$output"
    seen /m/idmap/top 0
    rune delete --force "$id"
}

@test "idmap: what cannot be is refused" {
    mkdir "$work/tree"
    arguments true
    local one='[{"containerID": 0, "hostID": 5000, "size": 1000}]'
    try() { # PART MOUNT-MEMBERS
        configure "c['mounts'] = [m for m in c['mounts'] if m['destination'] != '/m'] + [{'destination': '/m', **$2}]"
        refused "$1" rune run "$id"
    }
    try "go together" "{'type': 'bind', 'source': '$work/tree', 'options': ['bind', 'idmap'], 'uidMappings': $one}"
    try "user namespace" "{'type': 'bind', 'source': '$work/tree', 'options': ['bind', 'idmap']}"
    try "option 'bind'" "{'type': 'tmpfs', 'source': 'tmpfs', 'options': ['idmap'], 'uidMappings': $one, 'gidMappings': $one}"
    try "id-map /m" "{'type': 'bind', 'source': '/proc/self', 'options': ['bind', 'idmap'], 'uidMappings': $one, 'gidMappings': $one}"
}

@test "user namespace: a source that its root may not reach is bound all the same, and no more than that" {
    mkdir -p "$work/closed/inner"
    echo secret >"$work/closed/other"
    echo given >"$work/closed/inner/file"
    chmod 700 "$work/closed"
    user_namespace
    configure "c['mounts'] += [{'destination': '/given', 'type': 'bind', 'source': '$work/closed/inner', 'options': ['rbind', 'ro']}]"
    arguments sh -c 'cat /given/file; ls /given/..; cat /given/../other; echo x >/given/new'
    run_container
    [ "${lines[0]}" = given ]
    [[ "$output" != *secret* ]]
    [[ "$output" == *"Read-only"* || "$output" == *"ermission denied"* ]]
    configure "c['mounts'][-1]['source'] = '$work/closed/missing'"
    refused "missing" rune run "$id"
}

@test "user namespace: a source that the host has read-only stays so, whatever the container may do" {
    make_tree ro
    mkdir -p "$work/closed"
    chmod 700 "$work/closed"
    mkdir "$work/closed/tree"
    mount --rbind "$work/tree" "$work/closed/tree"
    user_namespace
    configure "c['mounts'] += [{'destination': '/m', 'type': 'bind', 'source': '$work/closed/tree/sub', 'options': ['bind']}]" \
        'c["process"]["capabilities"] = {k: ["CAP_SYS_ADMIN"] for k in ("bounding", "effective", "permitted")}'
    arguments sh -c 'mount -o remount,bind,rw /m; grep " /m " /proc/self/mountinfo'
    run_container
    [[ "$output" == *" ro,"* ]]
}

@test "masked and read-only paths: files, directories, links, what is missing, the root" {
    mkdir -p rootfs/secret/dir rootfs/fixed/dir
    echo hidden >rootfs/secret/file
    echo hidden >rootfs/secret/dir/file
    echo text >rootfs/fixed/file
    echo text >rootfs/fixed/dir/file
    ln -s dir rootfs/secret/link
    configure 'c["root"]["readonly"] = False' 'c["linux"]["maskedPaths"] = ["/secret/file", "/secret/link", "/missing", "/secret/file/below"]' \
        'c["linux"]["readonlyPaths"] = ["/fixed/file", "/fixed/dir", "/missing", "/dev/shm"]'
    arguments sh -c 'cat /secret/file | wc -c; ls /secret/dir | wc -l; touch /secret/dir/x; echo a >/fixed/file; echo a >/fixed/dir/new; echo a >/dev/shm/x; echo a >/fixed/new; cat /fixed/new'
    run_container
    [ "${lines[0]}" = 0 ]
    [ "${lines[1]}" = 0 ]
    [ "$(grep -c 'Read-only' <<<"$output")" = 4 ]
    [ "${lines[-1]}" = a ]
    configure 'c["root"]["readonly"] = True'
    arguments sh -c 'echo a >/fixed/other; echo a >/dev/shm/../null && echo fine'
    run rune run "$id"
    [[ "$output" == *"Read-only"*fine* ]]
}
